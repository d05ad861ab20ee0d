"""The embedded router's maps as features: on the edges of the labels, fewer runs where each is long."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from synthetic_graph import write_synthetic

from bench.corpus import library_files
from circuit_io import router_features
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import ExportSources, sources_of_labels
from circuit_io.fields import GCELL_FEATURES, NET_FEATURES, NET_ROUTER_FEATURES, ROUTER_FEATURES, column, names
from circuit_io.graph import CircuitGraph
from circuit_io.net_lengths import tree_lengths
from circuit_io.router import route
from circuit_io.router_demand import Demand, demand_of
from circuit_io.router_features import RUNS, with_router
from circuit_io.router_run import is_compiled, route_once
from circuit_io.store import FEATURES, StoredDesign, open_design, write_design
from circuit_io.transform import without_router
from gsr_plugin.cli import main
from gsr_plugin.dataset import Loader, find_designs
from gsr_plugin.metrics import pearson
from gsr_plugin.model import GsrGnn, ModelConfig
from gsr_plugin.model_card import ModelCard, versions
from gsr_plugin.normaliser import fit_normaliser
from gsr_plugin.weights import load_weights, write_weights

NATIVE = pytest.mark.skipif(not is_compiled(), reason="the router is not built")
NUM_EARLIER = len(GCELL_FEATURES) - len(ROUTER_FEATURES)
EARLIER = {"gcell": NUM_EARLIER, "net": len(NET_FEATURES) - len(NET_ROUTER_FEATURES)}


@pytest.fixture(scope="module")
def sources(kit: Path) -> ExportSources:
    lef, lib = library_files(kit, "gsr45")
    return sources_of_labels(kit / "labels" / "gsr45" / "crc_bank" / "v0", lef=lef, lib=lib)


@pytest.fixture(scope="module")
def design(sources: ExportSources, tmp_path_factory: pytest.TempPathFactory) -> StoredDesign:
    out = tmp_path_factory.mktemp("router") / "d"
    export_design(sources, out)
    return open_design(out)


def feature(graph: CircuitGraph, name: str) -> np.ndarray:
    return graph.gcell_features[:, column(GCELL_FEATURES, name)].reshape(graph.ny, graph.nx)


@NATIVE
def test_features_are_the_maps_of_the_router(design: StoredDesign) -> None:
    bare = without_router(design.graph)
    task = demand_of(bare)
    graph, said = with_router(bare, task, runs=3)
    routing, first = route(task, runs=3), route(task, runs=1)
    for letter, cut in (("h", np.s_[:, :-1]), ("v", np.s_[:-1])):
        for name, wanted in (("router", routing), ("router_first", first)):
            values = feature(graph, f"{name}_{letter}")
            np.testing.assert_array_equal(values[cut], getattr(wanted, letter)[cut])
            assert values.sum() == pytest.approx(values[cut].sum()), "the border is no edge"
        np.testing.assert_array_equal(
            feature(graph, f"router_spread_{letter}"), np.nan_to_num(getattr(routing, f"spread_{letter}"))
        )
        tracks = feature(graph, f"router_over_{letter}") * feature(graph, f"capacity_{letter}") * 15
        np.testing.assert_allclose(tracks, np.nan_to_num(getattr(routing, f"overflow_{letter}")), atol=1e-4)
    assert feature(graph, "router_runs").ravel().tolist() == pytest.approx([3 / RUNS] * graph.num_gcells)
    assert said == {"runs": 3, "rounds": list(routing.rounds), "overflow_tracks": list(routing.overflow)}
    np.testing.assert_array_equal(graph.gcell_features[:, :NUM_EARLIER], bare.gcell_features[:, :NUM_EARLIER])


@NATIVE
def test_features_of_nets_are_their_routed_lengths(design: StoredDesign) -> None:
    """Where nothing overflows the first run tells; else the median."""
    bare = without_router(design.graph)
    task = demand_of(bare)
    assert route(task, runs=1).overflow == (0,)
    (h, v), (taken_h, taken_v) = task.capacity, task.blocked
    crowded = replace(task, capacity=(h // 3, v // 3), blocked=(taken_h // 3, taken_v // 3))
    assert route(crowded, runs=1).overflow[0] > 0
    trees = tree_lengths(bare)
    shortest = np.maximum(trees.tree + trees.segments, 1)
    for demand, best in ((task, lambda runs: runs[0]), (crowded, lambda runs: np.median(runs, axis=0))):
        graph, runs = with_router(bare, demand, runs=3)[0], route(demand, runs=3).net_gcells
        leaves = runs[0] > 0  # its gcell
        assert 0.2 < leaves.mean() < 1
        found = {name: graph.net_features[:, column(NET_FEATURES, name)] for name in names(NET_ROUTER_FEATURES)}
        for name, wanted in (("router_detour", best(runs)), ("router_mean_detour", runs.mean(axis=0))):
            np.testing.assert_allclose(np.exp(found[name][leaves]) * shortest[leaves], wanted[leaves], rtol=1e-5)
            assert not found[name][~leaves].any()
        np.testing.assert_allclose(found["router_spread"], runs.std(axis=0) / shortest, rtol=1e-5)
        assert found["router_runs"].tolist() == pytest.approx([3 / RUNS] * graph.num_nets)
        np.testing.assert_array_equal(graph.net_features[:, : EARLIER["net"]], bare.net_features[:, : EARLIER["net"]])


@NATIVE
def test_lengths_are_those_of_the_router_that_made_the_labels(design: StoredDesign) -> None:
    assert design.labels is not None
    routed = design.labels.net_length_um / design.manifest["grid"]["tile_um"]
    seen = np.isfinite(routed) & (routed > 0)
    ours = route(demand_of(design.graph), runs=1).net_gcells[0]
    assert np.mean(np.abs(ours[seen] - routed[seen]) < 0.5) > 0.9


@NATIVE
def test_features_lie_on_the_edges_of_the_labels(design: StoredDesign) -> None:
    """Shifted by one gcell in any direction they fit worse."""
    assert design.labels is not None
    for name, truth in (("router_h", design.labels.congestion_h), ("router_v", design.labels.congestion_v)):
        values, seen = feature(design.graph, name), np.isfinite(truth)
        fits = pearson(truth[seen].astype(float), values[seen].astype(float))
        assert fits > 0.8
        for axis in (0, 1):
            for by in (-1, 1):
                assert pearson(truth[seen].astype(float), np.roll(values, by, axis)[seen].astype(float)) < fits - 0.05


@NATIVE
def test_fewer_runs_where_each_is_long(design: StoredDesign, monkeypatch: pytest.MonkeyPatch) -> None:
    bare, counts = without_router(design.graph), []
    task = demand_of(bare)
    (h, v), (taken_h, taken_v) = task.capacity, task.blocked
    crowded = replace(task, capacity=(h // 3, v // 3), blocked=(taken_h // 3, taken_v // 3))
    assert with_router(bare, task)[1]["runs"] == RUNS
    assert with_router(bare, crowded)[1]["runs"] == RUNS // 2  # it overflows
    monkeypatch.setattr(router_features, "SEARCHED_A_NET", 0)
    for most in (1, 3 * route_once(crowded, 0).searched, 10**12):
        monkeypatch.setattr(router_features, "SEARCHED", most)
        counts.append(with_router(bare, crowded)[1]["runs"])
        assert with_router(bare, crowded, runs=5)[1]["runs"] == 5
    assert counts[0] == 1
    assert 1 < counts[1] < RUNS // 2
    assert counts[2] == RUNS // 2


def test_none_on_request_without_c_and_where_nothing_can_be_routed(
    design: StoredDesign, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bare = without_router(design.graph)
    task = demand_of(bare)
    assert with_router(bare, task, runs=0) == (bare, {"runs": 0})
    monkeypatch.setattr(router_features, "is_compiled", lambda: False)
    assert with_router(bare, task) == (bare, {"runs": 0, "why": "the router is not compiled"})
    shut: Demand = replace(task, capacity=(np.zeros_like(task.capacity[0]), task.capacity[1]))
    with caplog.at_level(logging.WARNING):
        graph, said = with_router(bare, shut, runs=1)
    assert graph is bare
    assert "no horizontal track" in said["why"]
    assert "no horizontal track" in caplog.text


def test_labels_of_the_embedded_router_get_none_of_its_maps(sources: ExportSources, tmp_path: Path) -> None:
    """A model would learn to copy them."""
    assert sources.labels is not None
    labels = tmp_path / "labels"
    labels.mkdir()
    for path in sources.labels.iterdir():
        (labels / path.name).write_bytes(path.read_bytes())
    done = json.loads((labels / "done.json").read_text())
    (labels / "done.json").write_text(json.dumps(done | {"is_approximate": True, "router": "embedded router"}))
    manifest = export_design(replace(sources, labels=labels), tmp_path / "d")
    assert manifest["router"] == {"runs": 0, "why": "the labels are of the embedded router itself"}
    assert not feature(open_design(tmp_path / "d").graph, "router_runs").any()


def test_the_command_leaves_them_out_on_request(sources: ExportSources, tmp_path: Path) -> None:
    words = ["export", "--lef", *map(str, sources.lef), "--labels", str(sources.labels), "--out", str(tmp_path / "d")]
    done = CliRunner().invoke(main, [*words, "--router-runs", "0"])
    assert done.exit_code == 0, done.output
    stored = open_design(tmp_path / "d")
    assert stored.manifest["router"] == {"runs": 0}
    assert not stored.graph.gcell_features[:, NUM_EARLIER:].any()


@pytest.mark.parametrize("kind", ["gcell", "net"])
def test_an_export_of_before_is_read_with_unknown_router_features(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    num = EARLIER[kind]
    with monkeypatch.context() as patch:
        patch.setattr(f"synthetic_graph.{kind.upper()}_FEATURES", FEATURES[kind][:num])
        patch.setattr("circuit_io.store.FEATURES", {**FEATURES, kind: FEATURES[kind][:num]})
        old = write_synthetic(tmp_path / "old", family="f")
    stored = json.loads((tmp_path / "old" / "manifest.json").read_text())["fields"][kind]
    assert len(stored) == num
    values, before = (getattr(g, f"{kind}_features") for g in (open_design(tmp_path / "old").graph, old))
    np.testing.assert_array_equal(values[:, :num], before)
    assert values.shape[1] == len(FEATURES[kind])
    assert not values[:, num:].any()


@pytest.mark.parametrize("kinds", [("net",), ("gcell", "net")])
def test_weights_of_before_do_not_see_router_features(kinds: tuple[str, ...], tmp_path: Path) -> None:
    graph = write_synthetic(tmp_path / "d", family="f")
    entries = find_designs([tmp_path])
    whole = replace(fit_normaliser(entries, Loader()), detour=(0.1, 0.2))
    cut = {kind: EARLIER[kind] if kind in kinds else None for kind in ("inst", "net", "gcell")}
    mean, std = ({kind: values[: cut[kind]] for kind, values in part.items()} for part in (whole.mean, whole.std))
    features = {kind: names(FEATURES[kind][: cut[kind]]) for kind in cut}
    counts = {f"num_{kind}_features": len(found) for kind, found in features.items()}
    more = {"layers": 2, "width": 16, "k": 4, "tasks": ["congestion", "detour"]}
    config = ModelConfig.model_validate(counts | more)
    model = GsrGnn(config, seed=1)
    card = ModelCard(config, features, "", 1, ("f",), ("made_up",), versions=versions())
    write_weights(tmp_path, model.state_dict(), replace(whole, mean=mean, std=std), card)
    loaded = load_weights(tmp_path, device="cpu")
    bare = without_router(graph)
    seen, blind = (
        loaded.predict(g)
        for g in (graph, replace(bare, gcell_features=(bare if len(kinds) > 1 else graph).gcell_features))
    )
    for ours, theirs in zip((*seen.congestion, seen.detour), (*blind.congestion, blind.detour), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert np.isfinite(ours).sum() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lowest": 9}, "the lowest layer for signals is not there"),
        ({"pin_layer": np.zeros(3, np.uint8)}, "layers are of other pins"),
        ({"pin_layer": 200}, "a pin's layer is not there"),
    ],
)
def test_layers_of_another_design_are_refused(
    design: StoredDesign, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    layers = design.graph.layers
    assert layers is not None
    if isinstance(change.get("pin_layer"), int):
        change = {"pin_layer": np.full_like(layers.pin_layer, 200)}
    bad = replace(design.graph, layers=replace(layers, **change))
    write_design(tmp_path / "d", manifest=design.manifest, insts=design.insts, nets=design.nets, graph=bad)
    with pytest.raises(InputError, match=message):
        open_design(tmp_path / "d")
