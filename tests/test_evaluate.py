"""Scores of a trained model beside RUDY and the nearest training cell."""

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic_graph import write_corpus

from circuit_io.errors import InputError
from circuit_io.fields import GCELL_FEATURES, column
from gsr_plugin.baselines import NearestCell, RudyLine
from gsr_plugin.config import load_config
from gsr_plugin.dataset import Loader, find_designs
from gsr_plugin.evaluate import MODEL, NEAREST, RUDY, evaluate
from gsr_plugin.metrics import Scores
from gsr_plugin.normaliser import fit_normaliser
from gsr_plugin.train import train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def weights(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = ["model.layers=2", "model.width=16", "model.k=4", "train.epochs=2"]
    return train([corpus], tmp_path_factory.mktemp("run") / "r", config=load_config(None, small, env={}), fold=0).out


def test_only_the_held_out_families_are_scored(corpus: Path, weights: Path) -> None:
    got = evaluate([corpus], weights)
    assert list(got.methods) == [MODEL, RUDY, NEAREST]
    assert got.fold == 0
    assert got.num_seen == 0
    for placements in got.placements.values():
        assert sorted((p.family, p.variant) for p in placements) == [("fa", "v0"), ("fa", "v1"), ("fb", "v0")]
    assert got.notes == ()


def test_seen_families_are_told(corpus: Path, weights: Path) -> None:
    got = evaluate([corpus], weights, everything=True)
    assert got.num_seen == 2
    assert "2 of 5 placements" in got.table()
    assert evaluate([corpus], weights, fold=1).num_seen == 2


@pytest.fixture(scope="module")
def without_fold(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that held nothing out."""
    small = ["model.layers=2", "model.width=16", "model.k=4", "train.epochs=1"]
    return train([corpus], tmp_path_factory.mktemp("run") / "all", config=load_config(None, small, env={})).out


def test_one_labelled_design_is_scored_without_the_nearest_cell(corpus: Path, without_fold: Path) -> None:
    got = evaluate([corpus / "fc"], without_fold)
    assert [len(got.placements[name]) for name in (MODEL, RUDY, NEAREST)] == [1, 1, 0]
    row = next(line for line in got.table().splitlines() if line.startswith(f"| {NEAREST} |"))
    assert set(row.split(" | ")[2:]) <= {"-", "- |"}
    assert json.loads(json.dumps(got.to_json(), allow_nan=False))["methods"][NEAREST]["small"]["pearson"] is None
    assert any("no other family than fc" in note and "very labels" in note for note in got.notes)


def test_with_nothing_held_out_rudy_is_fitted_on_the_other_families(corpus: Path, without_fold: Path) -> None:
    got = evaluate([corpus], without_fold)
    assert any("RUDY's line are of other families" in note for note in got.notes)
    entries, load = find_designs([corpus]), Loader()
    line = RudyLine.fit(entries, load)
    for entry, scores in zip(entries, got.placements[RUDY], strict=True):
        others = RudyLine.fit([e for e in entries if e.family != entry.family], load)
        assert line.line(entry.family) == pytest.approx(others.line("none"))
        h, _ = others.predict(load(entry).graph, entry)
        truth = load(entry).labels.congestion_h
        assert scores.h.mae == pytest.approx(np.nanmean(np.abs(h - truth)), rel=1e-4)


def test_the_table_and_json_hold_every_score(corpus: Path, weights: Path) -> None:
    got = evaluate([corpus], weights)
    text = json.dumps(got.to_json(), allow_nan=False)
    stored = json.loads(text)
    assert stored["schema"] == "gsr-evaluation"
    assert set(stored["methods"][RUDY]["small"]) == set(Scores.names())
    assert len(stored["placements"][MODEL]) == 3
    for name in (*Scores.names(), MODEL, RUDY, NEAREST):
        assert name in got.table()


def test_the_nearest_cell_is_of_another_family(corpus: Path) -> None:
    entries = find_designs([corpus])
    load = Loader()
    normaliser = fit_normaliser(entries, load)
    nearest = NearestCell.fit(entries, load, normaliser)
    sample = load(entries[0])
    h, v = nearest.predict(sample.graph, entries[0])
    others = nearest.family != entries[0].family
    mine = normaliser.features(sample.graph)["gcell"]
    for g in range(sample.graph.num_gcells):
        distance = np.square(nearest.features[others] - mine[g]).sum(axis=1)
        best = nearest.congestion[others][np.argmin(distance)]
        assert (h.ravel()[g], v.ravel()[g]) == (best[0], best[1])
    alone = NearestCell.fit(entries[:2], load, normaliser)
    with pytest.raises(InputError, match="alone"):
        alone.predict(sample.graph, entries[0])


def test_a_leak_shows_in_the_nearest_cell(corpus: Path) -> None:
    entries = find_designs([corpus])
    load = Loader()
    nearest = NearestCell.fit(entries, load, fit_normaliser(entries, load))
    sample = load(entries[0])
    renamed = type(entries[0])(
        "other", *(getattr(entries[0], n) for n in ("technology", "design", "variant", "path")), 35, ""
    )
    h, _ = nearest.predict(sample.graph, renamed)
    seen = np.isfinite(sample.labels.congestion_h) & np.isfinite(sample.labels.congestion_v)
    np.testing.assert_array_equal(h[seen], sample.labels.congestion_h[seen])


def test_the_rudy_line_is_least_squares(corpus: Path) -> None:
    entries = find_designs([corpus])[3:4]
    load = Loader()
    offset, slope = RudyLine.fit(entries, load).line("another family")
    sample = load(entries[0])
    x = np.concatenate([sample.graph.gcell_features[:, column(GCELL_FEATURES, f"rudy_{d}")] for d in "hv"])
    y = np.concatenate([sample.labels.congestion_h.ravel(), sample.labels.congestion_v.ravel()])
    want = np.polyfit(x[np.isfinite(y)], y[np.isfinite(y)], 1)
    assert (slope, offset) == pytest.approx(tuple(want), rel=1e-5)
