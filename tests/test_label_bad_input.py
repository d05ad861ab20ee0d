"""Bad input of labels, one error or stated skip each: other grids, designs, settings; nothing to route or routed."""

import csv
import gzip
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_label import batch_text, run_label, write_batch

from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.gcells import adjusted

Change = Callable[[Path], None]


def rewritten(folder: Path, name: str, change: Callable[[list[list[str]]], list[list[str]]]) -> None:
    """Change the rows of a table below its header."""
    path = next(p for p in (folder / name, folder / f"{name}.gz") if p.is_file())
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    header, *rows = csv.reader(io.StringIO(text))
    path.unlink()
    with (folder / name).open("w", newline="") as f:
        csv.writer(f, lineterminator="\n").writerows([header, *change(rows)])


def usage(change: Callable[[list[str]], list[str]]) -> Change:
    return lambda folder: rewritten(folder, "gcell_usage.csv", lambda rows: [change(row) for row in rows])


def done(**values: object) -> Change:
    def change(folder: Path) -> None:
        said = json.loads((folder / "done.json").read_text())
        (folder / "done.json").write_text(json.dumps(said | values))

    return change


def longer(folder: Path) -> None:
    with gzip.open(folder / "wire_length.csv.gz", "at") as f:
        f.write("grt: of_another_design 3 2\n")


def cut(folder: Path) -> None:
    rewritten(folder, "gcell_usage.csv", lambda rows: rows[:-1])


def bare(folder: Path) -> None:
    (folder / "gcell_usage.csv.gz").unlink()


def adjusted_alone(row: list[str]) -> list[str]:
    """A row whose usage is what the adjustment of the kit takes, and no wire."""
    capacity = np.array([[float(row[4])]]).astype(np.int64)
    return [*row[:5], str(capacity[0, 0] - adjusted(capacity, 0.2)[0, 0])]


LABELS = {
    "another grid": (
        lambda folder: rewritten(folder, "gcell_grid.csv", lambda rows: rows[:-1]),
        "the labels' grid is",
    ),
    "another design": (longer, 'net "of_another_design" is not in the design'),
    "other layers": (done(signal_layers=["M2", "M4"]), "the router used layers M2, M3, M4, M5"),
    "an unknown layer": (done(layer_adjustment={"met1": 0.2}), '"met1" is no routing layer'),
    "half written": (bare, "no gcell_usage.csv"),
    "cut": (cut, "entries are missing"),
    "capacities of zero": (usage(lambda row: [*row[:4], "0", "0"]), "gcells has tracks left"),
    "all zero": (usage(lambda row: [*row[:4], row[4], "0"]), "no edge has a wire"),
    "all adjusted, none routed": (usage(adjusted_alone), "no edge has a wire"),
}


@pytest.mark.parametrize("name", LABELS)
def test_bad_label_folders_are_one_error(kit: Path, tmp_path: Path, name: str) -> None:
    change, said = LABELS[name]
    folder = tmp_path / "labels"
    shutil.copytree(kit / "labels" / "gsr45" / "crc_bank" / "v0", folder)
    change(folder)
    lef = [kit / "tech" / f"gsr45_{part}.lef" for part in ("tech", "cells")]
    with pytest.raises(InputError) as caught:
        export_design(sources_of_labels(folder, lef=lef), tmp_path / "design")
    assert said in str(caught.value), caught.value
    assert not (tmp_path / "design").exists()


def replaced(before: str, after: str, count: int = -1) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert before in text
        return text.replace(before, after, count)

    return change


def one_gcell(text: str) -> str:
    """The die as small as one gcell; what lies outside belongs to it."""
    line = next(line for line in text.splitlines() if line.startswith("DIEAREA"))
    return text.replace(line, "DIEAREA ( 0 0 ) ( 7000 7000 ) ;")


def without(start: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        kept = [line for line in text.splitlines(keepends=True) if not line.startswith(start)]
        assert len(kept) < text.count("\n")
        return "".join(kept)

    return change


PLACEMENTS = {
    "nothing placed": (replaced("+ PLACED", "+ UNPLACED", 1), "1 of 1005 insts have no place"),
    "no tracks": (without("TRACKS"), "no TRACKS on any routing layer"),
    "a layer without tracks": (lambda text: "".join(
        line for line in text.splitlines(keepends=True) if not (line.startswith("TRACKS") and "LAYER M3" in line)
    ), "tracks"),
    "an unknown technology": (replaced(" G45_", " sky130_", 1), "sky130_"),
    "one gcell": (one_gcell, "1 x 1 gcells"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACEMENTS)
def test_placements_that_cannot_be_labelled_fail_with_their_reason(kit: Path, tmp_path: Path, name: str) -> None:
    change, said = PLACEMENTS[name]
    placed = kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz"
    (tmp_path / "bad.def").write_text(change(gzip.decompress(placed.read_bytes()).decode()))
    text = batch_text(kit, "crc_bank").replace(str(placed), "bad.def")
    more = '[design.empty]\ntechnology = "gsr45"\n'
    run = run_label(write_batch(tmp_path, text + more), tmp_path / "out")
    assert run.exit_code == 1, run.output
    assert said in run.output, run.output
    assert "gsr45/empty/v0: skipped: the design has neither def nor netlist" in run.output
    assert "2 jobs: 0 done, 1 failed, 1 skipped" in run.output
    assert not (tmp_path / "out" / "gsr45").exists(), "nothing for training to find"
