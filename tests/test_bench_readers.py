"""The comparison of readers: every peer counts what we count, and a time stands only beside equal counts."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import readers
from bench.reader_cases import flat_counts


def test_quick_run_agrees_with_all_that_is_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "readers.json"
    assert readers.main(["--quick", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    rows = {(row["format"], row["case"]): row for row in found["rows"]}
    assert set(rows) == {(form, case) for form, cases in readers.CASES.items() for case in cases}
    for (_, case), row in rows.items():
        if case in (readers.PYTHON, readers.C) or "reason" not in row:
            assert row["cpu_s"] >= 0  # in ticks of 10 ms: a small file may take none
            assert row["counts"]
            assert row["peak_mb"] > 1
        else:
            assert row["reason"].startswith("not installed"), row
    assert found["machine"]["commit"]
    assert sum(
        line.startswith(("| DEF |", "| Verilog |", "| Liberty |")) for line in capsys.readouterr().out.splitlines()
    )


def test_no_time_stands_beside_a_wrong_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.def").write_text("any")

    def measure(job: dict[str, Any], case: str, *, count: bool, limit_s: int) -> dict[str, Any]:
        return {"cpu_s": 1.0, "wall_s": 1.0, "start_s": 0.0, "peak_mb": 9.0,
                "counts": {"insts": 7, "placed": 5 + (case == "klayout")}}  # fmt: skip

    monkeypatch.setattr(readers, "measure", measure)
    job = {"format": "DEF", "file": "a", "path": str(tmp_path / "a.def")}
    contest = readers.Contest(job, limit_s=9)
    for number in range(3):
        contest.play(number)
    rows = {row["case"]: row for row in contest.rows()}
    assert rows["klayout"]["reason"] == "placed 6, not 5"
    assert "cpu_s" not in rows["klayout"]
    assert "placed 6, not 5" in readers.line(rows["klayout"])
    assert (rows[readers.C]["cpu_s"], rows[readers.C]["rounds"]) == (1.0, 3)


def test_a_reader_that_never_ends_shows_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bench" / "reader_cases.py"
    program.parent.mkdir()
    program.write_text("import resource, signal\nresource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass\n")
    monkeypatch.setattr(readers, "ROOT", tmp_path)
    assert readers.measure({"format": "DEF"}, "klayout", count=False, limit_s=1) == {"reason": "over 1 s"}


def test_counts_of_a_syntax_tree_are_multiplied_down_the_hierarchy() -> None:
    modules = {"top": [("half", 2), ("half", 2), ("INV", 2)], "half": [("NAND", 3), ("INV", 1)]}
    assert flat_counts(modules, "top") == {"insts": 5, "cells": 7, "pins": 2 * (3 + 1) + 2}
