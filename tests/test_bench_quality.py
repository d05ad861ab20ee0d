"""`gsr bench quality`: all sets inside the same folds, each scored apart, and with the maps of the router hidden."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic_graph import write_corpus

from bench import quality


def test_sets_share_the_folds_and_are_scored_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exports = tmp_path / "exports"
    for name in ("labels", "labels_hard"):
        write_corpus(exports / name)
    shutil.rmtree(exports / "labels_hard" / "fa" / "v1")
    shutil.copy(exports / "labels" / "folds.toml", exports)
    recipe, out = tmp_path / "recipe.toml", tmp_path / "quality.json"
    recipe.write_text("[model]\nlayers = 2\nwidth = 16\nk = 4\n[train]\nepochs = 1\n")
    words = [str(exports), "--sets", "labels,labels_hard", "--runs", str(tmp_path / "runs"), "--out", str(out)]
    assert quality.main([*words, "--train", str(recipe)]) == 0
    found = json.loads(out.read_text())
    assert {name: {row: s["num_placements"] for row, s in rows.items()} for name, rows in found["sets"].items()} == {
        "labels": {"gsr-gnn": 5, "gsr-gnn, router hidden": 5, "embedded router": 5},
        "labels_hard": {"gsr-gnn": 4, "gsr-gnn, router hidden": 4, "embedded router": 4},
    }
    of_set = found["sets"]["labels"]
    assert of_set["gsr-gnn"]["alike"]["pearson"] == pytest.approx(found["methods"]["gsr-gnn"]["alike"]["pearson"])
    assert of_set["gsr-gnn"]["alike"]["pearson"] != of_set["gsr-gnn, router hidden"]["alike"]["pearson"]
    assert found["gain_over_router"]["all"]["pearson"]["families"] == 4
    card = json.loads((tmp_path / "runs" / "0" / "model.json").read_text())
    assert card["num_placements"] == 4, "two placements of each set are of the other fold"
    assert json.loads((tmp_path / "runs" / "all" / "model.json").read_text())["num_placements"] == 9
    weights = (tmp_path / "runs" / "1" / "weights.safetensors").read_bytes()
    assert quality.main([*words, "--train", str(recipe)]) == 0, "a finished fold stays"
    assert (tmp_path / "runs" / "1" / "weights.safetensors").read_bytes() == weights
    assert "| labels_hard | embedded router | all |" in capsys.readouterr().out
    assert np.isfinite(of_set["embedded router"]["alike"]["pearson"])
