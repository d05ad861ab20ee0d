"""The one call of a hook, with the shipped model: settings of the planner, and a second round."""

import gzip
import json
from pathlib import Path

import pytest

from flow_hooks.feedback.file import read_feedback
from gsr_plugin.flow import run_flow


@pytest.mark.slow
def test_settings_and_the_plan_before_reach_the_planner(kit: Path, tmp_path: Path) -> None:
    placed = kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz"
    (tmp_path / "design.def").write_bytes(gzip.decompress(placed.read_bytes()))
    hook = {
        "schema": "gsr-hook",
        "schema_version": 1,
        "run_id": "r1",
        "design": "crc_bank",
        "def": "design.def",
        "lefs": [str(kit / "tech" / f"gsr45_{name}.lef") for name in ("tech", "cells")],
        "signal_layers": ["M2", "M5"],
        "layer_adjustment": {f"M{level}": 0.2 for level in range(2, 6)},
        "improve_placement": False,
    }
    (tmp_path / "hook.json").write_text(json.dumps(hook))
    sets = ["threshold=0.2", "min_gain_sigmas=0", "place_pins=always", "budget_frac=0.2"]
    found = run_flow(tmp_path / "hook.json", tmp_path / "first", mode="apply", sets=sets)
    first = read_feedback(tmp_path / "first" / "feedback.tsv")
    assert found.num_actions == len(first.actions)
    assert {a.action for a in first.actions} == {"place_pins", "density_blockage"}
    assert [line.split()[1] for line in first.advice] == ["improve_placement"]
    assert first.run_id == (tmp_path / "first" / "done").read_text() == "r1"
    plan = tmp_path / "first" / "feedback.tsv"
    run_flow(tmp_path / "hook.json", tmp_path / "second", mode="apply", sets=sets, previous=plan)
    second = read_feedback(tmp_path / "second" / "feedback.tsv")
    assert any(note.startswith("Second round") for note in second.notes)
    assert second.used_um2 <= second.budget_um2
    quiet = run_flow(tmp_path / "hook.json", tmp_path / "quiet", mode="apply", sets=["threshold=2"])
    assert quiet.num_actions == 0
    assert "no gcell exceeds 2 after smoothing" in (tmp_path / "quiet" / "report.md").read_text()
