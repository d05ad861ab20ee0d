"""Labels and designs that say nothing or contradict each other, in train, predict and evaluate: never a silent 0."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from synthetic_graph import synthetic_graph, synthetic_labels, write_corpus, write_synthetic

from circuit_io.errors import InputError
from circuit_io.fields import GCELL_FEATURES, column
from circuit_io.store import write_design
from gsr_plugin.cli import main
from gsr_plugin.config import load_config
from gsr_plugin.dataset import read_folds
from gsr_plugin.evaluate import evaluate
from gsr_plugin.train import train

SMALL = ["model.layers=2", "model.width=16", "model.k=4", "train.epochs=1"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], prog_name="gsr")


def write(folder: Path, *, level: float | None = None, capacity: float | None = None, nx: int = 7, ny: int = 5) -> Path:
    """A placement of family "odd", with the same congestion everywhere or the same capacity."""
    graph = synthetic_graph(9, nx=nx, ny=ny)
    values = np.abs(graph.gcell_features)
    if capacity is not None:
        values[:, [column(GCELL_FEATURES, f"capacity_{d}") for d in "hv"]] = capacity
    graph = replace(graph, gcell_features=values)
    labels = synthetic_labels(graph)
    if level is not None:
        maps = (np.where(np.isfinite(m), np.float32(level), m) for m in (labels.congestion_h, labels.congestion_v))
        labels = replace(labels, **dict(zip(("congestion_h", "congestion_v"), maps, strict=True)))
    grid = {"nx": nx, "ny": ny, "x_um": [5.0 * i for i in range(nx + 1)], "y_um": [5.0 * i for i in range(ny + 1)]}
    manifest = {"design": "odd", "family": "odd", "technology": "made_up", "variant": "v0", "grid": grid}
    insts = pa.table({"name": [f"u{i}" for i in range(graph.num_insts)]})
    nets = pa.table({"name": [f"n{i}" for i in range(graph.num_nets)]})
    write_design(folder, manifest=manifest, insts=insts, nets=nets, graph=graph, labels=labels)
    return folder


def learn(data: Path, out: Path, **options: object) -> Path:
    train([data], out, config=load_config(None, SMALL, env={}), **options)  # type: ignore[arg-type]
    return out


def test_labels_of_zeros_are_told_and_nothing_but_zeros_is_refused(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = write(corpus / "odd", level=0.0)
    learn(corpus, tmp_path / "run")
    (record,) = caplog.records
    assert record.getMessage() == f"1 of 6 placements have congestion 0 on every edge (first: {odd})"
    with pytest.raises(InputError, match="congestion is 0 on every edge of every placement"):
        learn(odd, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_map_without_contrast_is_counted_not_averaged(corpus: Path, tmp_path: Path) -> None:
    weights = learn(corpus, tmp_path / "run")
    plain = evaluate([corpus], weights, everything=True)
    write(corpus / "odd", level=0.0)
    found = evaluate([corpus], weights, everything=True)
    assert any(n.startswith("1 placements have the same congestion on all edges") for n in found.notes)
    ours = found.methods["gsr-gnn"].small
    assert ours.pearson == pytest.approx(plain.methods["gsr-gnn"].small.pearson)
    assert "Note: 1 placements have the same congestion" in found.table()


def test_a_placement_of_one_gcell_is_refused_in_training_and_prediction_and_left_out_of_scores(
    corpus: Path, tmp_path: Path
) -> None:
    weights = learn(corpus, tmp_path / "run")
    odd = write(corpus / "odd", nx=1, ny=1)
    with pytest.raises(InputError, match=r"odd: has no unmasked edge"):
        learn(corpus, tmp_path / "other")
    predicted = run("predict", odd, "--weights", weights, "--out", tmp_path / "p")
    assert predicted.exit_code == 2
    assert "is one gcell, which has no edge to predict" in predicted.stderr
    assert not (tmp_path / "p").exists()
    found = evaluate([corpus], weights, everything=True)
    assert len(found.placements["gsr-gnn"]) == 5
    assert any("1 placements have no unmasked edge and are left out (first: made_up/odd/v0)" in n for n in found.notes)
    with pytest.raises(InputError, match="no placement has an unmasked edge"):
        evaluate([odd], weights)


def test_a_design_without_tracks_is_refused(corpus: Path, tmp_path: Path) -> None:
    weights = learn(corpus, tmp_path / "run")
    predicted = run("predict", write(tmp_path / "odd", capacity=0.0), "--weights", weights, "--out", tmp_path / "p")
    assert predicted.exit_code == 2
    assert "has no tracks: the capacity of every gcell is 0" in predicted.stderr
    good = run("predict", write(tmp_path / "good", capacity=0.5), "--weights", weights, "--out", tmp_path / "p")
    assert good.exit_code == 0, good.output


def test_a_design_without_labels_is_neither_trained_on_nor_scored(corpus: Path, tmp_path: Path) -> None:
    weights = learn(corpus, tmp_path / "run")
    write_synthetic(tmp_path / "bare", 3, family="bare", labelled=False)
    for words in (
        ("train", tmp_path / "bare", "--out", tmp_path / "x"),
        ("evaluate", tmp_path / "bare", "--weights", weights),
    ):
        found = run(*words)
        assert found.exit_code == 2
        assert "1 designs, but none with labels" in found.stderr


def test_a_family_in_two_folds_is_refused(corpus: Path, tmp_path: Path) -> None:
    folds = tmp_path / "folds.toml"
    folds.write_text((corpus / "folds.toml").read_text() + "\nfa = 1\n")
    with pytest.raises(InputError, match=r"folds\.toml: is no TOML: .*fa|folds\.toml: is no TOML: Cannot overwrite"):
        read_folds(folds)
    for words in (("train", corpus, "--out", tmp_path / "x"), ("evaluate", corpus, "--all")):
        found = run(*words, "--fold", 0, "--folds", folds)
        assert found.exit_code == 2
        assert "is no TOML" in found.stderr


def test_a_placement_under_two_families_does_not_leak(corpus: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(corpus / "fa" / "v0", corpus / "again"))
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"family": "fd"}))
    found = run("train", corpus, "--fold", 0, "--out", tmp_path / "x")
    assert found.exit_code == 2
    assert "held out as family fa and trained on as fd" in found.stderr
    assert "--family" in found.stderr


def test_an_unknown_technology_lists_the_near_ones(corpus: Path, tmp_path: Path) -> None:
    found = run("train", corpus, "--set", "data.technology_out=made_upp", "--out", tmp_path / "x")
    assert found.exit_code == 2
    assert 'no design of technology "made_upp"' in found.stderr
    assert 'Did you mean "made_up"?' in found.stderr
