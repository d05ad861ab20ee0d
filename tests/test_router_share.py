"""The share of the embedded router's map in predicted congestion."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_graph import synthetic_graph, write_corpus

from circuit_io.fields import GCELL_FEATURES, column
from circuit_io.graph import CircuitGraph
from gsr_plugin.calibration import calibrate
from gsr_plugin.config import load_config
from gsr_plugin.dataset import Loader, find_designs
from gsr_plugin.router_share import Edges, fit, mixed, router_maps
from gsr_plugin.train import train
from gsr_plugin.weights import load_weights, predict_maps


def _routed(graph: CircuitGraph, h: float, v: float) -> CircuitGraph:
    """The graph with one value of the router on all edges each way."""
    features = graph.gcell_features.copy()
    for name, value in (("router_runs", 1.0), ("router_h", h), ("router_v", v)):
        features[:, column(GCELL_FEATURES, name)] = value
    return replace(graph, gcell_features=features)


def _edges(family: str, share: float, rng: np.random.Generator, n: int = 500) -> Edges:
    network, router = rng.random(n), rng.random(n)
    truth = (1 - share) * network + share * router + rng.normal(0, 0.05, n)
    return Edges(family, (family, "t", "d"), truth, network, router)


def test_a_map_without_router_stays_and_one_with_it_takes_its_share() -> None:
    graph = synthetic_graph(0)
    graph = replace(graph, gcell_features=np.zeros_like(graph.gcell_features))
    assert router_maps(graph) is None
    maps = (np.full((graph.ny, graph.nx), 0.5, np.float32), np.full((graph.ny, graph.nx), np.nan, np.float32))
    assert mixed(maps, None, 0.3) is maps
    router = router_maps(_routed(graph, 1.0, 2.0))
    assert router is not None
    assert mixed(maps, router, 0.0) is maps
    h, v = mixed(maps, router, 0.2)
    np.testing.assert_allclose(h, 0.6, rtol=1e-6)
    assert np.isnan(v).all()
    assert h.dtype == np.float32


def test_the_share_is_that_of_least_error_on_others() -> None:
    rng = np.random.default_rng(0)
    found = fit([_edges(f, 0.3, rng) for f in "abc"])
    assert found.share == pytest.approx(0.3, abs=0.02)
    assert found.error == pytest.approx(0.05**2, rel=0.1)
    assert found.error < 0.5 * found.error_without
    assert fit([_edges("a", 0.3, rng), _edges("a", 0.3, rng)]).share == 0  # nothing tells of another family
    apart = fit([_edges("a", 1.0, rng), _edges("b", -1.0, rng)])
    assert (apart.share, apart.error) == (0, apart.error_without)  # what helps one harms the other
    assert fit([]).share == 0


def test_masked_edges_tell_nothing() -> None:
    truth = (np.asarray([[1.0, np.nan]], np.float32), np.asarray([[np.nan, np.nan]], np.float32))
    one = (np.ones((1, 2), np.float32), np.ones((1, 2), np.float32))
    found = Edges.of("a", ("a", "t", "d"), truth, one, one)
    assert found.num_edges == 1
    assert fit([found, replace(found, family="b")]).share == 0  # the two agree everywhere


def test_the_share_is_in_the_card_and_in_the_prediction(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    small = load_config(None, ["model.layers=2", "model.width=16", "model.k=4", "train.epochs=1"], env={})
    train([corpus], tmp_path / "run", config=small, fold=0)
    found = calibrate(tmp_path / "run", [corpus])
    assert found.squared_error <= found.squared_error_without
    weights = load_weights(tmp_path / "run")
    assert weights.card.router_share == found.router_share
    graph = _routed(Loader()(find_designs([corpus])[0]).graph, 0.25, 0.75)
    calibration = weights.card.calibration
    alone, half = (
        replace(weights, card=replace(weights.card, calibration=calibration | {"router_share": s})).predict(graph)
        for s in (0.0, 0.5)
    )
    np.testing.assert_allclose(half.congestion_h, 0.5 * alone.congestion_h + 0.125, rtol=1e-5)
    np.testing.assert_allclose(half.congestion_v, 0.5 * alone.congestion_v + 0.375, rtol=1e-5)
    head = predict_maps(weights.model, weights.normaliser, graph).overflow_prob_h
    wanted = weights.card.overflow_blend.prob(head, half.congestion_h, half.sigma_h)
    np.testing.assert_array_equal(half.overflow_prob_h, wanted)
