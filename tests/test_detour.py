"""The second task, routed length of nets: target, loss and its gradients, training, scores, and what users get."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from synthetic_graph import TILE_UM, synthetic_graph, write_corpus, write_synthetic
from toy_graphs import check_gradients, features, toy_graph

from circuit_io.crop import crop_graph, held_frac
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.fields import NET_FEATURES, column
from circuit_io.graph import CircuitGraph
from circuit_io.net_lengths import log_detour, tree_lengths
from circuit_io.prediction import read_prediction
from circuit_io.store import open_design
from circuit_io.transform import SYMMETRIES, transform
from gsr_plugin.config import RunConfig, TrainConfig, load_config
from gsr_plugin.dataset import Loader, Sample, find_designs
from gsr_plugin.detour import detour_loss
from gsr_plugin.detour_scores import MEAN, MODEL, SHORTEST, TREE, DetourScores
from gsr_plugin.evaluate import evaluate
from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.losses import placement_loss
from gsr_plugin.model import GsrGnn, ModelConfig, Output
from gsr_plugin.normaliser import fit_normaliser
from gsr_plugin.predict import predict, predict_tiles, predict_views
from gsr_plugin.report import report
from gsr_plugin.schedule import epoch_plan
from gsr_plugin.train import train
from gsr_plugin.weights import WEIGHTS, load_weights

TASKS = 'model.tasks=["congestion","detour"]'
COUNTS = {"num_inst_features": 5, "num_net_features": 4, "num_gcell_features": 6}
CPU = torch.device("cpu")
ROUTED = ("router_detour", "router_runs")


def config(*sets: str, epochs: int = 2) -> RunConfig:
    small = ["model.layers=2", "model.width=16", "model.k=4", "train.warm_up_steps=2", TASKS]
    return load_config(None, [*small, f"train.epochs={epochs}", *sets], env={})


def model_of(*, tasks: tuple[str, ...] = ("congestion", "detour"), **options: object) -> GsrGnn:
    settings = {**COUNTS, "layers": 3, "width": 16, "k": 2, "head_width": 8, "tasks": tasks, **options}
    return GsrGnn(ModelConfig.model_validate(settings), seed=2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), lengths=True)


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights with both tasks that held fold 0 out."""
    return train([corpus], tmp_path_factory.mktemp("run") / "r", config=config(), fold=0).out


def graph_of(nets: list[list[tuple[int, int]]], nx: int = 6, ny: int = 5) -> CircuitGraph:
    """A graph with an inst at every pin."""
    cells = np.array([y * nx + x for net in nets for x, y in net], np.int32)
    pin_net = np.array([i for i, net in enumerate(nets) for _ in net], np.int32)
    one = synthetic_graph(0, nx=nx, ny=ny, insts=len(cells), nets=len(nets), pins=len(cells))
    box = [(*np.min(net, axis=0), *np.max(net, axis=0)) if net else (1, 1, 0, 0) for net in nets]
    return replace(
        one, inst_gcell=cells, pin_gcell=cells, pin_net=pin_net, pin_inst=np.arange(len(cells), dtype=np.int32),
        net_box=np.array(box, np.int32),
    )  # fmt: skip


def test_the_shortest_length_counts_a_gcell_for_each_straight_segment() -> None:
    nets = [
        [(0, 0), (3, 0)],
        [(0, 0), (2, 1)],
        [(1, 1), (1, 1)],
        [],
        [(0, 2), (2, 2), (4, 2)],
        [(0, 0), (2, 2), (4, 0)],
    ]
    found = tree_lengths(graph_of(nets))
    assert found.tree.tolist() == [3, 3, 0, 0, 4, 6]
    assert found.segments.tolist() == [1, 2, 0, 0, 2, 3]  # the last has a Steiner point at (2, 0)
    assert found.shortest_um(0.5).tolist() == [2, 2.5, 0, 0, 3, 4.5]


def test_a_detour_is_known_where_a_wire_leaves_its_gcell_and_the_router_tells_its_length() -> None:
    found = log_detour(np.array([4, np.nan, 0, 3, 0], np.float32), np.array([2, 2, 2, 0, 0.0]))
    assert found[0] == pytest.approx(math.log(2))
    assert np.isnan(found[1:]).all()


def test_approximate_lengths_and_gcells_of_unknown_size_are_masked(tmp_path: Path) -> None:
    graph = write_synthetic(tmp_path / "d", 3, family="f", lengths=True)
    sample = Loader()(find_designs([tmp_path])[0])
    seen = np.isfinite(sample.detour)
    shortest = tree_lengths(graph).shortest_um(TILE_UM)
    assert 0 < seen.sum() < graph.num_nets
    assert np.array_equal(seen, (shortest > 0) & (np.arange(graph.num_nets) % 5 > 0))
    np.testing.assert_allclose(np.exp(sample.detour[seen]) * shortest[seen], sample.labels.net_length_um[seen], 1e-5)
    for manifest in ({**sample.manifest, "labels_from": {"is_approximate": True}}, {}):
        assert np.isnan(Sample(graph, sample.labels, manifest).detour).all()


@given(st.integers(0, 99), st.integers(0, 4), st.integers(0, 3), st.integers(1, 3))
def test_a_window_holds_a_share_of_each_box(seed: int, x0: int, y0: int, side: int) -> None:
    graph = synthetic_graph(seed, empty_net=True)
    part, nets = crop_graph(graph, (x0, y0, min(side, 7 - x0), min(side, 5 - y0)))
    for frac, net in zip(held_frac(graph, part, nets), nets, strict=True):
        a, b, c, d = graph.net_box[net].tolist()
        cells = [(x, y) for x in range(a, c + 1) for y in range(b, d + 1)]
        inside = [1 for x, y in cells if x0 <= x < x0 + side and y0 <= y < y0 + side]
        assert frac == pytest.approx(len(inside) / len(cells))


def test_the_loss_is_that_of_plain_loops_and_has_its_gradient() -> None:
    guess = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    target = torch.tensor([0.3, math.nan, -1.0, 4.0, 0.0, math.nan, 2.0], dtype=torch.float64)
    weight = torch.tensor([1.0, 1.0, 0.5, 0.25, 1.0, 0.3, 0.1], dtype=torch.float64)
    total = 0.0
    for (median, mean), t, w in zip(guess.tolist(), target.tolist(), weight.tolist(), strict=True):
        total += 0.0 if math.isnan(t) else w * (abs(median - t) + (mean - t) ** 2)
    loss = detour_loss(guess, target, weight)
    assert float(loss.detach()) == pytest.approx(total / 2.85)
    assert torch.autograd.gradcheck(lambda g: detour_loss(g, target, weight), guess)
    (grad,) = torch.autograd.grad(loss, guess)
    assert (grad[[1, 5]] == 0).all()
    assert float(detour_loss(guess.detach(), target * math.nan, weight)) == 0


def _loss(out: Output, target: torch.Tensor) -> torch.Tensor:
    assert out.detour is not None
    return out.congestion.square().mean() + detour_loss(out.detour, target, torch.ones_like(target))


def test_the_head_and_the_stack_below_it_have_the_gradient_of_the_loss() -> None:
    graph = GraphTensors.of(toy_graph(40, 50, 6, 5))
    model = model_of(t="off").double()
    x = [part.double() for part in features(graph)]
    target = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    _loss(model(graph, *x), target).backward()
    names = ["net_head.0.weight", "net_head.1.weight", "net_head.3.bias", "stack.mix_net", "encoders.inst.2.weight"]
    check_gradients(model, names, lambda: _loss(model(graph, *x), target))


@pytest.mark.parametrize("options", [{}, {"variant": "paper"}, {"save_indices": True}], ids=str)
def test_reversible_and_stored_models_agree_on_nets(options: dict[str, object]) -> None:
    graph = GraphTensors.of(toy_graph(300, 350, 15, 10))
    x, target, found = features(graph), torch.ones(350), []
    for reversible in (True, False):
        model = model_of(reversible=reversible, **options)
        out = model(graph, *x)
        _loss(out, target).backward()
        found.append((out, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
    assert torch.equal(found[0][0].detour, found[1][0].detour)
    for name, grad in found[0][1].items():
        assert (grad - found[1][1][name]).abs().max() <= 1e-6 * found[1][1][name].abs().max(), name


def test_gcells_keep_their_bits_beside_the_head_of_the_nets() -> None:
    graph = GraphTensors.of(toy_graph(300, 350, 15, 10))
    both, alone = model_of(), model_of(tasks=("congestion",))
    assert set(both.state_dict()) - set(alone.state_dict()) == {n for n in both.state_dict() if "net_head" in n}
    assert all(torch.equal(t, both.state_dict()[n]) for n, t in alone.state_dict().items())
    a, b = both(graph, *features(graph)), alone(graph, *features(graph))
    for name in ("congestion", "overflow_logit", "log_sigma"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert a.detour is not None
    assert a.detour.shape == (350, 2)
    assert b.detour is None
    bare = GraphTensors.of(toy_graph(5, 0, 2, 2))
    none = model_of()(bare, *features(bare)).detour
    assert none is not None
    assert none.shape == (0, 2)


def test_the_loss_of_a_placement_counts_what_a_window_holds(corpus: Path) -> None:
    entry, load = find_designs([corpus])[0], Loader()
    normaliser = fit_normaliser([entry], load, detour=True)
    assert normaliser.detour is not None
    sample = load(entry)
    seen = np.isfinite(sample.detour)
    np.testing.assert_allclose(normaliser.detour, (sample.detour[seen].mean(), sample.detour[seen].std()), rtol=1e-4)
    model = GsrGnn(config().model, seed=1)
    losses = {}
    for crop in (0, 3):
        settings = TrainConfig(augment=False, overflow_weight=0, sigma_weight=0, detour_weight=0.5, crop_gcells=crop)
        step = replace(epoch_plan([entry], settings, 0)[0], hide_liberty=False, hide_router=False, place=(0.0, 0.0))
        loss, parts = placement_loss(model, normaliser, settings, sample, step, CPU)
        assert float(loss.detach()) == pytest.approx(parts["squared"] + 0.5 * parts["detour"], rel=1e-5)
        losses[crop] = parts["detour"]
    for crop in (0, 3):
        graph, nets, held = sample.graph, np.arange(sample.graph.num_nets), np.ones(sample.graph.num_nets)
        if crop:
            graph, nets = crop_graph(sample.graph, (0, 0, 3, 3))
            held = held_frac(sample.graph, graph, nets)
        x = [torch.from_numpy(part) for part in normaliser.features(graph).values()]
        with torch.no_grad():
            guess = model(GraphTensors.of(graph), *x).detour
        total = weights = 0.0
        for i, net in enumerate(nets):
            if np.isfinite(sample.detour[net]):
                routed, runs = (graph.net_features[i, column(NET_FEATURES, name)] for name in ROUTED)
                usual = routed if runs > 0 else normaliser.detour[0]
                t = (float(sample.detour[net]) - usual) / normaliser.detour[1]
                total += held[i] * (abs(float(guess[i, 0]) - t) + (float(guess[i, 1]) - t) ** 2)
                weights += held[i]
        assert losses[crop] == pytest.approx(total / weights, rel=1e-4)


def _steps(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == "step"]


def test_a_run_with_both_tasks_resumes_bit_for_bit(corpus: Path, tmp_path: Path) -> None:
    settings = config("train.lr=0.02", "train.detour_weight=1", "train.crop_gcells=4", epochs=4)
    whole = train([corpus], tmp_path / "whole", config=settings).out
    train([corpus], tmp_path / "cut", config=settings, stop_after=5)
    cut = train([corpus], tmp_path / "cut", config=settings, resume=True).out
    steps = _steps(whole)
    told = ("step", "loss", "detour", "grad_norm")
    assert [[s[n] for n in told] for s in steps] == [[s[n] for n in told] for s in _steps(cut)]
    a, b = (load_file(out / "weights.safetensors") for out in (whole, cut))
    assert all(torch.equal(t, b[name]) for name, t in a.items())


def test_placements_without_lengths_teach_congestion_alone(corpus: Path, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "more" / "fe", 7, family="fe")
    out = train([corpus, tmp_path / "more"], tmp_path / "run", config=config()).out
    parts = {s["designs"][0]: s["detour"] for s in _steps(out)}  # type: ignore[index]
    assert parts.pop("made_up/fe/v0") == 0
    assert all(value > 0 for value in parts.values())
    with pytest.raises(InputError, match=r"none of 1 placements has routed lengths[\s\S]*model\.tasks"):
        train([tmp_path / "more"], tmp_path / "none", config=config())


def test_tuning_without_lengths_leaves_the_head_of_the_nets_and_warns(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_synthetic(tmp_path / "more" / "fe", 7, family="fe")
    settings = config("train.lr=0.01", "train.weight_decay=0", epochs=3)
    train([tmp_path / "more"], tmp_path / "cut", config=settings, base=run, stop_after=1)
    assert "detour is not tuned" in caplog.text
    out = train([tmp_path / "more"], tmp_path / "cut", config=settings, base=run, resume=True).out
    a, b = load_file(run / "weights.safetensors"), load_file(out / "weights.safetensors")
    assert torch.equal(a["statistics/detour"], b["statistics/detour"])
    heads = [name for name in a if "net_head" in name]
    assert heads
    assert all(torch.equal(a[name], b[name]) for name in heads)
    assert not torch.equal(a["model/stack.mix_net"], b["model/stack.mix_net"])


def test_tasks_are_told_and_wrong_ones_refused(run: Path, tmp_path: Path) -> None:
    card = json.loads((run / "model.json").read_text())
    assert card["model"]["tasks"] == ["congestion", "detour"]
    for tasks in ('["detour"]', "[]", '["congestion","slack","detour"]', '["congestion","area"]'):
        with pytest.raises(InputError, match=r"model\.tasks"):
            load_config(None, [f"model.tasks={tasks}"], env={})
    stored = load_file(run / "weights.safetensors")
    del stored["statistics/detour"]
    save_file(stored, tmp_path / "weights.safetensors", {"gsr": json.dumps(card)})
    with pytest.raises(InputError, match='statistics "detour" are missing'):
        load_weights(tmp_path / "weights.safetensors")


def test_scores_by_hand() -> None:
    truth, weight = np.log([1.0, 2.0, 4.0]), np.array([1.0, 1.0, 3.0])
    found = DetourScores.of(truth, weight, np.log([1.0, 1.0, 5.0]), np.log([2.0, 2.0, 4.0]))
    assert found.mape == pytest.approx((0 + 0.5 + 0.25) / 3)
    assert found.total == pytest.approx(16 / 15 - 1)
    assert found.pearson == pytest.approx(np.corrcoef(truth, np.log([2, 2, 4]))[0, 1])
    assert DetourScores.of(truth, weight, 0 * truth, 0 * truth).pearson == 0


def test_evaluate_scores_lengths_beside_what_needs_no_learning(corpus: Path, run: Path, tmp_path: Path) -> None:
    found = evaluate([corpus], run)
    assert found.detour is not None
    assert [(p.family, p.variant) for p in found.detour.placements] == [("fa", "v0"), ("fa", "v1"), ("fb", "v0")]
    load = Loader()
    entries = {(e.family, e.variant): e for e in find_designs([corpus])}
    others = [load(entries[f, "v0"]) for f in ("fc", "fd")]
    constant = np.mean([np.nanmean(s.detour) for s in others])
    for p in found.detour.placements:
        sample = load(entries[p.family, p.variant])
        seen = np.isfinite(sample.detour)
        length, shortest = sample.labels.net_length_um[seen], sample.shortest_um[seen]
        assert p.methods[SHORTEST].mape == pytest.approx(np.mean(np.abs(shortest / length - 1)), rel=1e-4)
        assert p.methods[SHORTEST].total == pytest.approx(1 - shortest.sum() / length.sum(), rel=1e-4)
        assert p.methods[MEAN].mape == pytest.approx(
            np.mean(np.abs(np.exp(constant) * shortest / length - 1)), rel=1e-4
        )
        tree = tree_lengths(sample.graph).tree[seen] * TILE_UM
        logs = [np.log(s.labels.net_length_um[m] / (tree_lengths(s.graph).tree[m] * TILE_UM)).mean()
                for s in others for m in [np.isfinite(s.detour)]]  # fmt: skip
        assert p.methods[TREE].mape == pytest.approx(
            np.mean(np.abs(np.exp(np.mean(logs)) * tree / length - 1)), rel=1e-3
        )
        assert p.is_overflowing
    of_fa = [p.methods[MODEL].mape for p in found.detour.placements[:2]]
    by_family = (np.mean(of_fa) + found.detour.placements[2].methods[MODEL].mape) / 2
    assert found.detour.means(overflowing=True)[MODEL].mape == pytest.approx(by_family)
    for name in ("gsr-gnn", "embedded router", "shortest length", "shortest x mean detour", "Steiner tree x constant"):
        assert f"| {name} | 3 that overflow |" in found.table()
    said = json.loads(json.dumps(found.to_json(), allow_nan=False))["detour"]
    assert said["overflowing"]["by_family"][MODEL]["mape"] == pytest.approx(by_family)


def test_weights_without_the_task_say_so(corpus: Path, tmp_path: Path) -> None:
    plain = load_config(None, ["model.layers=2", "model.width=16", "model.k=4", "train.epochs=1"], env={})
    found = evaluate([corpus], train([corpus], tmp_path / "r", config=plain, fold=0).out)
    assert found.detour is None
    assert "no detour task" in found.table()


@pytest.fixture(scope="module")
def export(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    lef = [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]
    labels = kit / "labels" / "gsr45" / "rv32_core" / "v1"
    out = tmp_path_factory.mktemp("detour") / "export"
    sources = sources_of_labels(labels, lef=lef, lib=[kit / "tech" / "gsr45_typ.lib"])
    export_design(replace(sources, router_runs=0), out)
    return out


@pytest.fixture(scope="module")
def kit_run(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that have seen the kit's layout, and nothing else."""
    settings = config(
        "train.lr=0.01", "train.crop_gcells=16", "train.augment=false", "train.detour_weight=1", epochs=150
    )
    return train([export.parent], tmp_path_factory.mktemp("kit") / "run", config=settings).out


def test_a_prediction_holds_the_length_of_every_net(export: Path, kit_run: Path, tmp_path: Path) -> None:
    said = predict(export, tmp_path / "p", weights=kit_run, device="cpu")
    found, design = read_prediction(tmp_path / "p"), open_design(export)
    lengths = found.net_lengths
    assert said["model"]["tasks"] == ["congestion", "detour"]
    assert lengths is not None
    assert design.labels is not None
    tile = design.manifest["grid"]["tile_um"]
    np.testing.assert_allclose(lengths.shortest_um, tree_lengths(design.graph).shortest_um(tile), rtol=1e-6)
    metrics = json.loads((tmp_path / "p" / "metrics.json").read_text())
    total = metrics["detailedplace__gsr__wirelength__predicted"]
    assert total == pytest.approx(lengths.mean_length_um.sum(dtype=np.float64))
    assert metrics["detailedplace__gsr__detour__predicted"] == pytest.approx(
        total / lengths.shortest_um.sum(), rel=1e-5
    )
    truth = design.labels.net_length_um
    seen = np.isfinite(truth) & (truth > 0)
    shortest = float(np.sum(lengths.shortest_um[seen], dtype=np.float64))
    routed = float(np.sum(truth[seen], dtype=np.float64))
    assert shortest < 0.99 * routed  # the layout has detours, and what it was shown is predicted
    assert abs(lengths.mean_length_um[seen].sum(dtype=np.float64) - routed) < 0.5 * (routed - shortest)
    assert (lengths.length_um[lengths.shortest_um == 0] == 0).all()
    report(tmp_path / "p", tmp_path / "r.html")
    table = (tmp_path / "r.md").read_text().partition("### Routed length")[2].partition("\n#")[0]
    worst = int(np.argmax(lengths.mean_length_um - lengths.shortest_um))
    assert f"`{design.nets['name'][worst]}`" in next(line for line in table.splitlines() if line.startswith("| `"))
    assert f"{total:,.0f} um" in table


def test_nets_keep_their_values_in_one_tile_and_in_turned_views(export: Path, kit_run: Path) -> None:
    graph, weights = open_design(export).graph, load_weights(kit_run, device="cpu")
    whole = predict_views(graph, weights, views=2)
    pinned = graph.net_box[:, 2] >= graph.net_box[:, 0]
    tile = predict_tiles(graph, weights, side=max(graph.nx, graph.ny), halo=1, views=2)
    assert whole.detour is not None
    assert tile.detour is not None
    assert np.array_equal(whole.detour[pinned], tile.detour[pinned])
    one, other = (weights.predict(g).detour for g in (graph, transform(graph, SYMMETRIES[1])))
    np.testing.assert_allclose(whole.detour, (one + other) / 2, atol=1e-6)
    tiled = predict_tiles(graph, weights, side=16, halo=4).detour
    apart = np.abs(tiled - weights.predict(graph).detour)[pinned]
    assert np.sqrt(np.mean(apart**2)) < 0.5 * np.std(whole.detour[pinned])


def test_weights_of_before_these_settings_predict_no_lengths(export: Path, tmp_path: Path) -> None:
    settings = ["model.layers=2", "model.width=16", "model.k=4", "train.epochs=1", "train.crop_gcells=16"]
    run = train([export.parent], tmp_path / "run", config=load_config(None, settings, env={})).out
    predict(export, tmp_path / "now", weights=run, device="cpu")
    with safe_open(str(run / WEIGHTS), framework="pt") as f:
        card = json.loads(f.metadata()["gsr"])
    del card["model"]["tasks"], card["model"]["head_convolutions"]
    save_file(load_file(run / WEIGHTS), run / WEIGHTS, {"gsr": json.dumps(card)})
    said = predict(export, tmp_path / "p", weights=run, device="cpu")
    assert said["model"]["tasks"] == ["congestion"]
    found, now = (read_prediction(tmp_path / name) for name in ("p", "now"))
    assert found.net_lengths is None
    assert found.maps.keys() == now.maps.keys()
    assert all(np.array_equal(values, now.maps[name], equal_nan=True) for name, values in found.maps.items())
    report(tmp_path / "p", tmp_path / "r.html")
    assert "Routed length" not in (tmp_path / "r.md").read_text()
    assert not any("wirelength" in key for key in json.loads((tmp_path / "p" / "metrics.json").read_text()))
