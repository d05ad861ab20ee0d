"""Whole files as bytes: gz by content, bounded, and no memory set aside beyond what is there."""

import gzip
import random
import tracemalloc
from pathlib import Path

import pytest

from circuit_io import text
from circuit_io.errors import InputError


def test_a_packed_file_takes_no_more_memory_than_it_unpacks_to(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(1 << 20)
    path = tmp_path / "x.def"
    path.write_bytes(gzip.compress(data))
    tracemalloc.start()
    try:
        assert text.read_bytes(path) == data
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * text.PIECE


@pytest.mark.parametrize("size", [999, 1000, 1001, 100_000])
def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(text, "MAX_BYTES", 1000)
    monkeypatch.setattr(text, "PIECE", 100)
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(bytes(size)))
    if size <= 1000:
        assert len(text.read_bytes(path)) == size
        return
    with pytest.raises(InputError, match="unpacks to more than 1,000 bytes"):
        text.read_bytes(path)


@pytest.mark.parametrize("cut", [3, 20, -1, -9])
def test_a_cut_archive_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"VERSION 5.8 ;\n" * 9)[:cut])
    with pytest.raises(InputError, match="broken gzip archive"):
        text.read_bytes(path)
