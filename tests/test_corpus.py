"""The corpus command: every file is read, refused, found different, or its process ends; the rest goes on."""

import gzip
import os
import signal
import time
from pathlib import Path
from typing import Any

import corpus
import pytest

from circuit_io.def_ import read_def
from circuit_io.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # no thread of ours holds a lock
DEF = 'VERSION 5.8 ;\nDIVIDERCHAR "/" ;\nBUSBITCHARS "[]" ;\nDESIGN {} ;\nUNITS DISTANCE MICRONS 1000 ;\nEND DESIGN\n'
STATES = {
    "ok": "equal", "bad": "refused", "raises": "crashed", "ends": "crashed", "large": "crashed", "hangs": "timed out",
    "differs": "disagrees", "peerless": "read", "peer_ends": "read", "peer_hangs": "read",
}  # fmt: skip


def reads(path: Path) -> None:
    """As a reader would, unless the name of the design asks for something worse."""
    name = read_def(path).design
    if name == "raises":
        raise KeyError("x")
    if name == "ends":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "large":
        bytearray(1 << 33)
    while name == "hangs":
        time.sleep(1)


def agrees(path: Path, scratch: Path) -> None:
    """As another tool would."""
    name = read_def(path).design
    assert scratch.is_dir()
    assert name != "differs", "one net more"
    if name == "peerless":
        raise NotImplementedError("refuses the file")
    if name == "peer_ends":
        os.kill(os.getpid(), signal.SIGKILL)
    while name == "peer_hangs":
        time.sleep(1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(corpus.READERS, "def", "test_corpus:reads")
    monkeypatch.setitem(corpus.PEERS, "def", "test_corpus:agrees")
    for i, name in enumerate(STATES):
        text = DEF.format(name) if name != "bad" else DEF.replace("UNITS", "UNITES")
        path = tmp_path / "files" / f"sub{i % 2}" / f"{name}.def{'.gz' * (i % 3 == 0)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if i % 2 else text.encode())
    return tmp_path / "files"


def test_states(folder: Path) -> None:
    found = corpus.find_files(folder)
    rows = {Path(r.path).name.split(".")[0]: r for r in corpus.sweep(found, folder, seconds=1.5)}
    assert {name: r.state for name, r in rows.items()} == STATES
    assert "UNITES" in rows["bad"].reason
    assert "one net more" in rows["differs"].reason
    assert rows["raises"].reason == "KeyError: 'x'"
    assert "MemoryError" in rows["large"].reason
    assert rows["peerless"].reason == "no comparison: NotImplementedError: refuses the file"


def test_a_second_run_goes_on_where_the_first_stopped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("hangs", "peer_hangs"):
        next(folder.rglob(f"{name}.def*")).unlink()
    out, arguments = tmp_path / "t.tsv", [str(folder), "--out", str(tmp_path / "t.tsv")]
    assert corpus.main(arguments) == 1
    first = capsys.readouterr().out
    assert "| def | 8 | 1 | 2 | 1 | 1 | 3 | 0 |" in first
    (folder / "copy.def").write_text(DEF.format("peerless"))  # counts once more, not twice: the other is packed
    read: list[str] = []
    begin = corpus.start
    monkeypatch.setattr(corpus, "start", lambda f, folder: (read.append(f.path), begin(f, folder))[1])
    assert corpus.main(arguments) == 1
    assert read == ["copy.def"]
    assert corpus.main([*arguments, "--again", "refused,disagrees"]) == 1
    assert sorted(Path(r).name.split(".")[0] for r in read[1:]) == ["bad", "differs"]
    assert len(out.read_text().splitlines()) == 8 + 1 + 2
    assert out.read_bytes().isascii()


def test_reasons_fall_into_groups() -> None:
    def said(text: str) -> str:
        with pytest.raises(InputError) as caught:
            raise InputError(text, path="/a/b.def", line=3)
        return corpus.group(str(caught.value))

    assert said('net "a" uses inst "u1" 4 times') == said('net "xyz" uses inst "q" 17 times')
    assert said("no UNITS") == "no UNITS"
    assert corpus.group('/a.lef: 2 faults | /a.lef:5: macro "b" has no SIZE | /a.lef:9: x') == 'macro "..." has no SIZE'


def test_names_and_kinds() -> None:
    names: dict[str, Any] = {"a.def": "def", "a.DEF.gz": "def", "t.tlef": "lef", "x.lib": "liberty", "x.def.py": ""}
    assert {n: corpus.kind_of(Path(n)) for n in names} == names
