"""The contest: its features, scores and intervals, and that what is done is not done again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_graph import synthetic_graph, synthetic_labels, write_corpus, write_synthetic

from bench import contest, contest_trees, uncertainty
from bench.contest_scores import Scored, blocks, by_family, paired, per_gcell, score
from bench.contest_torch import HeteroGnn, UNet, inputs_of, predict_network
from bench.contest_trees import TreeTables, horizontal_table, without_nets
from circuit_io.errors import InputError
from circuit_io.fields import GCELL_FEATURES, INST_FEATURES, ROUTER_FEATURES, column, names
from circuit_io.graph import CircuitGraph
from circuit_io.maps import Prediction
from circuit_io.transform import SYMMETRIES, Symmetry, transform, transform_edges, without_router
from gsr_plugin.config import load_config
from gsr_plugin.dataset import Entry, Loader, Sample, find_designs
from gsr_plugin.normaliser import KINDS, Normaliser
from gsr_plugin.train import train
from gsr_plugin.weights import load_weights


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(autouse=True)
def one_thread() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def _unit() -> Normaliser:
    return Normaliser(
        {k: np.zeros(len(f), np.float32) for k, f in KINDS.items()},
        {k: np.ones(len(f), np.float32) for k, f in KINDS.items()},
        0.5,
        2.0,
    )


def test_tables_hold_a_row_an_edge_and_tell_what_a_column_is_of() -> None:
    graph = synthetic_graph(3)
    table, sources = horizontal_table(graph)
    assert table.shape == ((graph.nx - 1) * graph.ny, len(sources))
    differs = (table != horizontal_table(without_router(graph))[0]).any(axis=0)
    assert {name for name, other in zip(sources, differs, strict=True) if other} == set(names(ROUTER_FEATURES))
    own = graph.gcell_features[:, column(GCELL_FEATURES, "demand_l_h")].reshape(5, 7)[:, :-1].ravel()
    assert [s for s, values in zip(sources, table.T, strict=True) if np.array_equal(values, own)] == ["demand_l_h"]


def test_designs_of_one_name_are_told_apart(corpus: Path) -> None:
    entry = find_designs([corpus])[0]
    assert contest.key_of(entry) != contest.key_of(replace(entry, family="another"))


def test_a_vertical_edge_is_a_horizontal_one_of_the_transposed_design() -> None:
    graph = synthetic_graph(4)
    tables = TreeTables(Loader())
    h, v = tables.whole(graph)
    turned_h, turned_v = tables.whole(transform(graph, Symmetry(transpose=True)))
    np.testing.assert_array_equal(h, turned_v)
    np.testing.assert_array_equal(v, turned_h)


def test_trees_learn_what_is_there(corpus: Path) -> None:
    entries, load = find_designs([corpus]), Loader()
    model = contest_trees.Trees(TreeTables(load), entries, rounds=60)
    found = load(entries[0])
    h, v = model.predict(found.graph)
    for guess, truth in ((h, found.labels.congestion_h), (v, found.labels.congestion_v)):
        np.testing.assert_array_equal(np.isnan(guess), np.isnan(truth))
    seen = np.isfinite(h)
    assert np.corrcoef(h[seen], found.labels.congestion_h[seen])[0, 1] > 0.7


def test_networks_read_the_relations_of_the_graph() -> None:
    graph = synthetic_graph(5)
    edges = inputs_of(graph, _unit()).edges
    for name in ("pin", "pinned", "in", "holds", "west", "east", "south", "north"):
        wanted = graph.explicit(name).edge_index
        got = np.stack([edges[name][2].numpy(), edges[name][3].numpy()])
        np.testing.assert_array_equal(got[:, np.lexsort(got)], wanted[:, np.lexsort(wanted)], err_msg=name)


@pytest.mark.parametrize("kind", [UNet, HeteroGnn])
def test_networks_predict_every_edge_and_learn(kind: type[torch.nn.Module]) -> None:
    torch.manual_seed(0)
    graph, normaliser, model = synthetic_graph(6), _unit(), kind()
    h, v = predict_network(model, normaliser, graph)
    assert np.isnan(h).sum() == graph.ny
    assert np.isnan(v).sum() == graph.nx
    inputs = inputs_of(graph, normaliser, with_nets=model.with_nets)
    target = torch.randn(graph.num_gcells, 2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (model(inputs) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    if not model.with_nets:
        with torch.no_grad():
            bare = inputs_of(without_nets(graph), normaliser, with_nets=False)
            torch.testing.assert_close(model(bare), model(inputs))


def test_gcells_take_the_mean_of_their_edges() -> None:
    labels = synthetic_labels(synthetic_graph(8))
    maps = {f"congestion_{d}": getattr(labels, f"congestion_{d}") for d in "hv"}
    made = Prediction({}, np.arange(8.0), np.arange(6.0), maps)
    wanted = (made.per_gcell("congestion_h") + made.per_gcell("congestion_v")) / 2
    got = per_gcell(made.maps["congestion_h"], made.maps["congestion_v"])
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    h, v = made.maps["congestion_h"], made.maps["congestion_v"]
    for symmetry in SYMMETRIES:
        moved = per_gcell(*transform_edges(h, v, symmetry))
        assert np.sort(moved.ravel()) == pytest.approx(np.sort(got.ravel()))


def test_blocks_are_whole_and_known() -> None:
    values = np.arange(56.0).reshape(7, 8)
    assert blocks(values).tolist() == [9, 12, 33, 36]
    values[0, 0] = np.nan
    assert blocks(values).tolist() == [12, 33, 36]
    assert blocks(values[:2]).tolist() == []


def test_a_perfect_guess_scores_one_and_ports_are_no_insts() -> None:
    graph = synthetic_graph(7, nx=33, ny=33, insts=400)
    labels = synthetic_labels(graph)
    about = {"family": "f", "technology": "t", "design": "d", "variant": "v"}
    is_port = column(INST_FEATURES, "is_port")

    def with_insts(num: int) -> CircuitGraph:
        features = graph.inst_features.copy()
        features[:, is_port] = np.arange(400) >= num
        return replace(graph, inst_features=features)

    found = score(with_insts(400), labels, (labels.congestion_h, labels.congestion_v), about)
    for name in ("pearson", "inst_spearman", "gcell_kendall", "block_pearson", "block_r2"):
        assert found.values[name] == pytest.approx(1), name
    half = (labels.congestion_h, 0 * labels.congestion_v)
    assert 0.5 < score(with_insts(400), labels, half, about).values["inst_pearson"] < 0.9
    assert abs(score(with_insts(2), labels, half, about).values["inst_pearson"]) == pytest.approx(1)


def _scored(family: str, value: float, design: str = "d", num_gcells: int = 500) -> Scored:
    values = dict.fromkeys(("pearson",), value)
    return Scored(family, "t", design, "v", num_gcells, 0.0, 0.0, values)


def test_intervals_are_of_families() -> None:
    many = [_scored("a", 0.2, "x"), _scored("a", 0.4, "x"), _scored("a", 0.7, "y"), _scored("b", 0.1, num_gcells=9)]
    assert by_family(many, "pearson") == {"a": pytest.approx(0.5), "b": 0.1}
    assert by_family(many, "pearson", least_gcells=400) == {"a": pytest.approx(0.5)}
    same = paired({"a": 0.5, "b": 0.7, "c": 1.0}, {"a": 0.4, "b": 0.6, "d": 0.0})
    assert same["families"] == 2
    assert [same[k] for k in ("gain", "low", "high")] == pytest.approx([0.1, 0.1, 0.1])
    rng = np.random.default_rng(0)
    gains = {str(i): float(g) for i, g in enumerate(rng.normal(0.01, 0.02, 400))}
    wide = paired(gains, dict.fromkeys(gains, 0.0))
    assert wide["high"] - wide["low"] == pytest.approx(2 * 1.96 * 0.02 / 20, rel=0.1)


def _run(corpus: Path, home: Path, *more: str) -> dict:
    asked = [str(corpus), "--results", str(home / "results"), "--steps", "3", "--out", str(home / "out.json"), *more]
    assert contest.main(asked) == 0
    return json.loads((home / "out.json").read_text())


def test_what_is_done_is_not_done_again(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest_trees, "ROUNDS", 5)
    small = ["--set", "model.layers=2", "--set", "model.width=16", "--set", "model.k=4"]
    asked = ["--rows", "rudy,router-*,trees,unet,gnn-3-plain,gsr-16,trees+gsr-16", *small]
    first = _run(corpus, tmp_path, *asked)
    assert list(first["rows"]) == [
        "rudy",
        "router-1",
        "router-8",
        "trees",
        "unet",
        "gsr-16",
        "gnn-3-plain",
        "trees+gsr-16",
    ]
    assert all(row["folds"] == [0, 1] and row["scores"]["num_placements"] == 5 for row in first["rows"].values())
    assert first["rows"]["gsr-16"]["told"][0][0]["epochs"] == 2  # 3 steps of 2 designs
    assert {"row": "trees", "than": "router-8"}.items() <= first["claims"][1].items()
    assert first["claims"][1]["all"]["pearson"]["families"] == 4
    assert first["claims"][1]["headline"]["pearson"]["families"] == 0
    made = {p: p.stat().st_mtime_ns for p in (tmp_path / "results").rglob("*") if p.is_file()}
    assert _run(corpus, tmp_path, *asked)["rows"] == first["rows"]
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "results").rglob("*") if p.is_file()} == made
    home = tmp_path / "results" / "gsr-16" / "0"  # as if it was killed before its first checkpoint
    (home / "done.json").unlink()
    shutil.rmtree(home / "run" / "state")
    assert _run(corpus, tmp_path, *asked)["rows"]["gsr-16"]["scores"] == first["rows"]["gsr-16"]["scores"]
    with pytest.raises(InputError, match="was made with another sets, steps"):
        contest.main([str(corpus), "--results", str(tmp_path / "results"), "--steps", "4", "--rows", "gsr-16"])
    with pytest.raises(InputError, match='no row "tree"'):
        contest.main([str(corpus), "--results", str(tmp_path / "results"), "--rows", "tree"])
    both, one, other = (
        contest.read_guesses(tmp_path / "results" / name / "0") if "+" not in name else
        contest.guesses_of(contest.rows()[name], tmp_path / "results", 0)
        for name in ("trees+gsr-16", "trees", "gsr-16")
    )  # fmt: skip
    for name, guess in both.items():
        np.testing.assert_allclose(guess.h, (one[name].h + other[name].h) / 2, rtol=1e-5)


def test_a_plain_row_does_not_see_the_router(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest_trees, "ROUNDS", 5)
    asked = ["--rows", "trees-plain,unet-plain,gsr-16-plain", "--folds", "0"]
    asked += ["--set", "model.layers=2", "--set", "model.width=16", "--set", "model.k=4"]
    _run(corpus, tmp_path / "a", *asked)
    read = Loader.__call__
    maps = [column(GCELL_FEATURES, name) for name in names(ROUTER_FEATURES) if name != "router_runs"]

    def other_maps(self: Loader, entry: Entry) -> Sample:
        sample = read(self, entry)
        features = sample.graph.gcell_features.copy()
        features[:, maps] = np.random.default_rng(0).random((len(features), len(maps)))
        return replace(sample, graph=replace(sample.graph, gcell_features=features))

    monkeypatch.setattr(Loader, "__call__", other_maps)
    _run(corpus, tmp_path / "b", *asked)
    for name in asked[1].split(","):
        got, wanted = (contest.read_guesses(tmp_path / side / "results" / name / "0") for side in "ab")
        for key, guess in got.items():
            np.testing.assert_allclose(guess.h, wanted[key].h, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_recipe_is_judged_by_runs_that_held_the_fold_out(corpus: Path, tmp_path: Path) -> None:
    small = ["model.layers=2", "model.width=16", "model.k=4", "train.epochs=1"]
    runs = tmp_path / "runs"
    for fold in (0, 1):
        train([corpus], runs / str(fold), config=load_config(None, small, env={}), fold=fold)
    found = _run(corpus, tmp_path, "--runs", str(runs), "--rows", "recipe,recipe-withheld,router-8")["rows"]
    assert [row["folds"] for row in found.values()] == [[0, 1]] * 3
    assert found["recipe"]["told"][0][0]["steps"] == 2
    assert found["recipe"]["train_s"] > 0
    weights, entry = load_weights(runs / "0"), next(e for e in find_designs([corpus]) if e.family == "fa")
    graph = Loader()(entry).graph
    for row, seen in (("recipe", graph), ("recipe-withheld", without_router(graph))):
        guess = contest.read_guesses(tmp_path / "results" / row / "0")[contest.key_of(entry)]
        np.testing.assert_allclose(guess.sigma_v, weights.predict(seen).sigma_v, rtol=1e-6)
    asked = [str(corpus), "--results", str(tmp_path / "results"), "--rows", "recipe,router-8"]
    assert uncertainty.main([*asked, "--out", str(tmp_path / "u.json")]) == 0
    told = json.loads((tmp_path / "u.json").read_text())["rows"]
    kinds = [("recipe", "own"), *((row, kind) for row in ("recipe", "router-8") for kind in ("constant", "fitted"))]
    assert list(told) == [f"{row}, {kind}" for row, kind in kinds]
    assert told["recipe, own"]["num_families"] == 4
    (runs / "0").rename(runs / "2")
    (runs / "1").rename(runs / "0")
    with pytest.raises(InputError, match="is no run that held fold 0 out"):
        contest.main([str(corpus), "--results", str(tmp_path / "b"), "--rows", "recipe", "--runs", str(runs)])


def test_a_technology_is_left_out_with_all_its_families(tmp_path: Path) -> None:
    placements = (("fa", "t0"), ("fa", "t1"), ("fb", "t1"), ("fc", "t2"), ("fd", "t2"))
    for seed, (family, technology) in enumerate(placements):
        folder = tmp_path / "corpus" / technology / family
        write_synthetic(folder, seed, family=family, variant=technology)
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"technology": technology}))
    (tmp_path / "corpus" / "folds.toml").write_text(
        'schema = "gsr-folds"\nschema_version = 1\n[fold]\nfa = 0\nfb = 0\nfc = 1\nfd = 1\n'
    )
    asked = ["--rows", "gsr-16", "--loto", "--set", "model.layers=2", "--set", "model.width=16", "--set", "model.k=4"]
    found = _run(tmp_path / "corpus", tmp_path, *asked)["rows"]["gsr-16"]
    assert found["folds"] == ["t0", "t1", "t2"]
    assert found["scores"]["num_placements"] == 5
    card = load_weights(tmp_path / "results" / "gsr-16" / "t1" / "run").card
    assert (card.technology_out, card.families) == ("t1", ("fc", "fd"))  # fa is in t1 too


def test_intervals_of_a_row_cover_what_they_should() -> None:
    rng = np.random.default_rng(0)
    edges = []
    for i in range(20):
        mean, sigma = rng.uniform(0.5, 1, 2000), rng.uniform(0.05, 0.2, 2000)
        truth = mean + rng.normal(0, sigma)
        tracks = np.ones(2000)
        edges.append(uncertainty.Edges(i % 5, f"f{i}", (f"f{i}", "t", "d"), truth, mean, sigma / 3, tracks))
    found = uncertainty.judged("row", edges)
    assert list(found) == ["row, own", "row, constant", "row, fitted"]
    for got in found.values():
        assert got["coverage"] == pytest.approx(0.9, abs=0.01)
        assert got["num_families"] == got["families_85_95"] == 20
    own = found["row, own"]
    assert own["sigma_scale"] == pytest.approx(3, rel=0.02)
    assert own["coverage_at"]["0.5"] == pytest.approx(0.5, abs=0.02)
    assert own["width"] < found["row, constant"]["width"]
    assert 0.1 < own["risk"]["gain"] < 1
    assert own["risk"]["kept"][0] < own["risk"]["kept"][-1]
    tracks = own["expected_tracks"]
    assert tracks[str(own["sigma_scale"])] == pytest.approx(own["overflow_tracks"], rel=0.1)
    assert tracks["0.0"] == 0
