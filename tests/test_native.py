"""The optional C code: found, refused or absent, and what the environment variable says."""

import ctypes
import logging
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from circuit_io import native
from circuit_io.errors import InputError


def test_an_absent_extension_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert native.extension(tmp_path / "_x", lambda lib: lib, otherwise="Python reads") is None
    assert caplog.messages == []


def test_a_broken_extension_is_none_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / f"_x{EXTENSION_SUFFIXES[0]}"
    path.write_bytes(b"no library")
    with caplog.at_level(logging.WARNING):
        assert native.extension(tmp_path / "_x", lambda lib: lib, otherwise="Python reads") is None
    (message,) = caplog.messages
    assert str(path) in message
    assert message.endswith("Python reads")


def test_an_extension_out_of_date_is_none_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    if native.library() is None:
        pytest.skip("the C scanner is not built")

    def declare(lib: ctypes.CDLL) -> ctypes.CDLL:
        lib.scan_of_next_year.restype = None
        return lib

    stem = Path(native.__file__).with_name("_scan")
    assert native.extension(stem, declare, otherwise="Python reads") is None
    assert "scan_of_next_year" in caplog.text


@pytest.mark.parametrize("value", ["C", "cython", "1"])
def test_an_unknown_scanner_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GSR_SCANNER", value)
    with pytest.raises(InputError, match=f'GSR_SCANNER is "{value}"\n.*"python" or "c"'):
        native.scan("scan_def", b"text")


@pytest.mark.parametrize("value", ["", "python"])
def test_without_the_scanner_python_reads(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setattr(native, "library", lambda: None)
    monkeypatch.setenv("GSR_SCANNER", value)
    assert native.scan("scan_def", b"text") is None


def test_insisting_on_an_absent_scanner_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "library", lambda: None)
    monkeypatch.setenv("GSR_SCANNER", "c")
    with pytest.raises(InputError, match=r"not built\n.*build_ext --inplace"):
        native.scan("scan_def", b"text")


def test_insisting_on_a_scanner_out_of_date_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if native.library() is None:
        pytest.skip("the C scanner is not built")
    monkeypatch.setenv("GSR_SCANNER", "c")
    with pytest.raises(InputError, match="not built anew"):
        native.scan("scan_of_next_year", b"text")
