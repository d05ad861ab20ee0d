"""The third task, slack of endpoints: inputs, loss and gradients, training with the others, scores, what users get."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from synthetic_graph import write_corpus
from toy_graphs import check_gradients, features, toy_graph

from circuit_io.crop import crop_graph, held_frac
from circuit_io.endpoints import read_stored_endpoints
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.fields import ENDPOINT_FEATURES, column
from circuit_io.path_delays import path_delays
from circuit_io.predicted_slacks import PredictedSlacks
from circuit_io.prediction import read_prediction
from circuit_io.store import open_design
from gsr_plugin.config import RunConfig, TrainConfig, load_config
from gsr_plugin.dataset import Loader, Sample, find_designs
from gsr_plugin.evaluate import evaluate
from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.heads import EndpointTensors
from gsr_plugin.losses import placement_loss
from gsr_plugin.model import GsrGnn, ModelConfig, Output
from gsr_plugin.normaliser import fit_normaliser
from gsr_plugin.predict import predict, predict_tiles, predict_views
from gsr_plugin.report import report
from gsr_plugin.schedule import epoch_plan
from gsr_plugin.slack import OF_ROUTER, SlackInputs, slack_inputs, slack_loss
from gsr_plugin.slack_scores import DELAYS, MEAN, MODEL, PLACED, SlackScores
from gsr_plugin.train import train
from gsr_plugin.weights import load_weights

TASKS = 'model.tasks=["congestion","slack"]'
CPU = torch.device("cpu")
DESIGNS = ("crc_bank", "sort16", "rv32_core")


def config(*sets: str, epochs: int = 2) -> RunConfig:
    small = ["model.layers=2", "model.width=16", "model.k=4", "train.warm_up_steps=2", "train.crop_gcells=16", TASKS]
    return load_config(None, [*small, f"train.epochs={epochs}", *sets], env={})


@pytest.fixture(scope="module")
def data(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three designs of the kit, two of them in fold 0."""
    out = tmp_path_factory.mktemp("slack") / "data"
    lef, lib = [kit / "tech" / f"gsr45_{part}.lef" for part in ("tech", "cells")], [kit / "tech" / "gsr45_typ.lib"]
    for name in DESIGNS:
        sources = sources_of_labels(kit / "labels" / "gsr45" / name / "v0", lef=lef, lib=lib)
        out.mkdir(exist_ok=True)
        export_design(replace(sources, router_runs=0, family=name), out / name)
    folds = [f'"{name}" = {int(i == 2)}' for i, name in enumerate(DESIGNS)]
    (out / "folds.toml").write_text("\n".join(['schema = "gsr-folds"', "schema_version = 1", "[fold]", *folds]))
    return out


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that held rv32_core out."""
    return train([data], tmp_path_factory.mktemp("run") / "r", config=config("train.lr=0.01", epochs=25), fold=1).out


def inputs_of(data: Path, name: str = "crc_bank") -> SlackInputs:
    found = slack_inputs(open_design(data / name))
    assert found is not None
    return found


def test_inputs_are_what_export_and_delays_tell(data: Path) -> None:
    design, found = open_design(data / "crc_bank"), inputs_of(data)
    ends = read_stored_endpoints(design)
    assert ends is not None
    tile = design.manifest["grid"]["tile_um"]
    delays = path_delays(design.graph, ends.pins_of(design.graph), insts=design.insts, nets=design.nets, tile_um=tile)
    assert delays is not None
    np.testing.assert_allclose(found.scale_ns, delays.drive_ns + delays.wire_ns + delays.gate_ns)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found.shares[:, 1] * found.scale_ns, delays.wire_ns, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found.change_ns, ends.routed_ns - ends.slack_ns)
    assert found.mean_scale_ns == pytest.approx(found.scale_ns.mean())
    late = np.quantile(ends.slack_ns, 0.99) - ends.slack_ns[3]
    at = column(ENDPOINT_FEATURES, "late_here")
    assert found.features[3, at] == pytest.approx(math.log1p(late / (delays.arrival_ns[3] + delays.gate_ns)), rel=1e-5)
    assert not found.has_router
    assert (found.known()[:, OF_ROUTER] == 0).all()
    seen = replace(found, has_router=True)
    assert (seen.known() == 1).all()
    assert (seen.known(hide_router=True) == found.known()).all()


def test_without_endpoints_liberty_or_a_tile_there_are_none(data: Path, tmp_path: Path) -> None:
    design = open_design(data / "crc_bank")
    bare = {"drive_kohm": design.insts.drop_columns(["drive_kohm"]), "pin_cap_ff": design.nets}
    assert slack_inputs(replace(design, insts=bare["drive_kohm"])) is None
    assert slack_inputs(replace(design, manifest={**design.manifest, "grid": {}})) is None
    files = {k: v for k, v in design.manifest["files"].items() if k != "endpoints.parquet"}
    assert slack_inputs(replace(design, manifest={**design.manifest, "files": files})) is None
    assert Sample(design.graph, design.labels).slack is None  # type: ignore[arg-type]


def test_endpoints_of_a_window_are_those_on_its_nets(data: Path) -> None:
    found = inputs_of(data)
    graph = open_design(data / "crc_bank").graph
    _, nets = crop_graph(graph, (1, 1, 4, 4))
    inside, rows = found.on(nets)
    assert rows.tolist() == [i for i, net in enumerate(found.net.tolist()) if net in set(nets.tolist())]
    assert 0 < len(rows) < len(found.net)
    assert (nets[inside.net] == found.net[rows]).all()
    assert inside.pin == tuple(found.pin[i] for i in rows)
    assert inside.mean_scale_ns == found.mean_scale_ns


def test_the_loss_is_that_of_plain_loops_and_has_its_gradient(data: Path) -> None:
    ends = inputs_of(data).at(np.arange(6))
    change = ends.change_ns.copy()
    change[[1, 4]] = np.nan
    ends, weight = replace(ends, change_ns=change), np.array([1, 1, 0.5, 0.25, 1, 0.1])
    guess = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    total = sum(
        weight[i] * abs(float(guess[i].detach()) * ends.scale_ns[i] - change[i]) / ends.mean_scale_ns
        for i in (0, 2, 3, 5)
    )
    loss = slack_loss(guess, ends, weight)
    assert float(loss.detach()) == pytest.approx(total / 1.85)
    assert torch.autograd.gradcheck(lambda g: slack_loss(g, ends, weight), guess)
    (grad,) = torch.autograd.grad(loss, guess)
    assert (grad[[1, 4]] == 0).all()
    none = replace(ends, change_ns=change * np.nan)
    assert float(slack_loss(guess.detach(), none, weight)) == 0


def _toy(tasks: tuple[str, ...] = ("congestion", "slack"), **options: object) -> GsrGnn:
    counts = {"num_inst_features": 5, "num_net_features": 4, "num_gcell_features": 6}
    settings = {**counts, "layers": 3, "width": 16, "k": 2, "head_width": 8, "tasks": tasks, **options}
    return GsrGnn(ModelConfig.model_validate(settings), seed=2)


def _toy_ends(dtype: torch.dtype, num_nets: int = 50, num: int = 20) -> EndpointTensors:
    random = torch.Generator().manual_seed(6)
    shares = torch.rand(num, 3, dtype=dtype, generator=random)
    return EndpointTensors(
        torch.randint(0, num_nets, (num,), generator=random),
        torch.randn(num, len(ENDPOINT_FEATURES), dtype=dtype, generator=random),
        shares / shares.sum(1, keepdim=True),
    )


def _loss(out: Output) -> torch.Tensor:
    assert out.slack is not None
    return out.congestion.square().mean() + (out.slack - 0.3).square().mean()


def test_the_head_has_the_gradient_of_the_loss_and_the_stack_gets_none_of_it() -> None:
    graph, ends = GraphTensors.of(toy_graph(40, 50, 6, 5)), _toy_ends(torch.float64)
    model = _toy(t="off").double()
    x = [part.double() for part in features(graph)]
    _loss(model(graph, *x, ends)).backward()
    names = [name for name, _ in model.named_parameters() if name.startswith("slack_head.")]
    assert len(names) == 8
    check_gradients(model, names, lambda: _loss(model(graph, *x, ends)))
    alone = _toy(("congestion",), t="off").double()
    alone(graph, *x).congestion.square().mean().backward()
    for name, p in alone.named_parameters():
        twin = model.get_parameter(name)
        assert torch.equal(p, twin), name
        assert (p.grad is None and twin.grad is None) or torch.equal(p.grad, twin.grad), name  # type: ignore[arg-type]


def test_the_head_says_nothing_without_endpoints_and_never_gains_slack() -> None:
    graph = GraphTensors.of(toy_graph(40, 50, 6, 5))
    model = _toy(("congestion", "detour", "slack"))
    out = model(graph, *features(graph))
    assert out.slack is None
    assert out.detour is not None
    ends = _toy_ends(torch.float32)
    out = model(graph, *features(graph), ends)
    assert out.slack is not None
    assert (out.slack < 0).all()
    usual = -(ends.shares * model.slack_head.usual).sum(1)
    assert ((out.slack / usual - 1).abs() < 1).all()  # a new head is near what is usual
    assert not any("usual" in name for name in model.state_dict())
    assert _toy(("congestion",))(graph, *features(graph), ends).slack is None


def test_the_loss_of_a_placement_counts_what_a_window_holds(data: Path) -> None:
    entry, load = find_designs([data])[0], Loader()
    normaliser, sample = fit_normaliser([entry], load, slack=True), load(entry)
    assert sample.slack is not None
    mean, std = sample.slack.features.mean(axis=0), sample.slack.features.std(axis=0)
    assert normaliser.endpoint is not None
    at = [i for i in range(len(mean)) if i not in OF_ROUTER]
    np.testing.assert_allclose(normaliser.endpoint[0][at], mean[at], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(normaliser.endpoint[1][at], np.where(std > 1e-3, std, 1)[at], rtol=1e-2)
    model = GsrGnn(config().model, seed=1)
    for crop in (0, 6):
        settings = TrainConfig(augment=False, overflow_weight=0, sigma_weight=0, crop_gcells=crop)
        step = replace(epoch_plan([entry], settings, 0)[0], hide_liberty=False, hide_router=False, place=(0.0, 0.0))
        loss, parts = placement_loss(model, normaliser, settings, sample, step, CPU)
        assert float(loss.detach()) == pytest.approx(parts["squared"] + parts["slack"], rel=1e-5)
        graph, nets, held = sample.graph, np.arange(sample.graph.num_nets), np.ones(sample.graph.num_nets)
        if crop:
            graph, nets = crop_graph(sample.graph, (0, 0, crop, crop))
            held = held_frac(sample.graph, graph, nets)
        inside, rows = sample.slack.on(nets)
        x = [torch.from_numpy(part) for part in normaliser.features(graph).values()]
        with torch.no_grad():
            guess = model(GraphTensors.of(graph), *x, inside.tensors(normaliser.endpoints(inside), CPU)).slack
        error = [
            abs(float(g) * sample.slack.scale_ns[i] - sample.slack.change_ns[i]) / sample.slack.mean_scale_ns
            for g, i in zip(guess, rows.tolist(), strict=True)
        ]
        assert parts["slack"] == pytest.approx(np.average(error, weights=held[inside.net]), rel=1e-4)
        hidden = replace(step, hide_liberty=True)
        assert placement_loss(model, normaliser, settings, sample, hidden, CPU)[1]["slack"] == 0


def _steps(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == "step"]


def test_the_task_changes_no_bit_of_the_others_and_resumes(data: Path, tmp_path: Path) -> None:
    settings = config("train.lr=0.02", epochs=2)
    whole = train([data], tmp_path / "whole", config=settings).out
    bare = train([data], tmp_path / "bare", config=config("train.lr=0.02", 'model.tasks=["congestion"]', epochs=2)).out
    a, b = (load_file(out / "weights.safetensors") for out in (whole, bare))
    assert {name for name in a if name not in b} == {
        *(name for name in a if "slack_head" in name), "statistics/endpoint_mean", "statistics/endpoint_std",
    }  # fmt: skip
    assert all(torch.equal(t, a[name]) for name, t in b.items())
    assert [s["grad_norm"] for s in _steps(whole)] == [s["grad_norm"] for s in _steps(bare)]
    train([data], tmp_path / "cut", config=settings, stop_after=3)
    cut = train([data], tmp_path / "cut", config=settings, resume=True).out
    c = load_file(cut / "weights.safetensors")
    assert all(torch.equal(t, c[name]) for name, t in a.items())
    assert any(s["slack"] > 0 for s in _steps(whole))


def test_data_without_slacks_are_refused_and_tuning_on_them_warns(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    with pytest.raises(InputError, match=r"none of 5 placements has slacks[\s\S]*endpoints_place\.csv"):
        train([corpus], tmp_path / "none", config=config())
    train([corpus], tmp_path / "tuned", config=config("train.weight_decay=0"), base=run, stop_after=1)
    assert "slack is not tuned" in caplog.text


def test_weights_without_statistics_or_of_other_features_are_refused(run: Path, tmp_path: Path) -> None:
    card = json.loads((run / "model.json").read_text())
    assert card["model"]["tasks"] == ["congestion", "slack"]
    stored = load_file(run / "weights.safetensors")
    path = tmp_path / "weights.safetensors"
    less = {name: t for name, t in stored.items() if name != "statistics/endpoint_std"}
    for tensors in (less, {name: t for name, t in less.items() if "endpoint" not in name}):
        save_file(tensors, path, {"gsr": json.dumps(card)})
        with pytest.raises(InputError, match='statistics of "endpoint" are missing'):
            load_weights(path)
    card["features"]["endpoint"][0] = "colour"
    save_file(stored, path, {"gsr": json.dumps(card)})
    with pytest.raises(InputError, match="differ in the endpoint features: colour"):
        load_weights(path)


def test_scores_by_hand() -> None:
    slack, change = np.array([-0.1, 0.2, 0.05]), np.array([-0.1, -0.2, -0.15])
    found = SlackScores.of(slack, change, np.array([-0.1, -0.1, -0.1]))
    assert found.mae_ps == pytest.approx(1e3 * 0.15 / 3)
    assert found.mae_frac == pytest.approx(0.15 / 0.45)
    assert found.r2 == pytest.approx(1 - (0.01 + 0.0025) / (0.0025 + 0.0025))
    assert found.pearson == 0
    assert found.ws_ps == pytest.approx(0)
    assert found.tns_frac == pytest.approx(abs(-0.25 / -0.3 - 1))
    assert math.isnan(SlackScores.of(slack + 1, change, change).tns_frac)


def test_evaluate_scores_slack_beside_what_needs_no_network(data: Path, run: Path) -> None:
    found = evaluate([data], run)
    assert found.slack is not None
    (placement,) = found.slack.placements
    assert placement.design == "rv32_core"
    held, others = inputs_of(data, "rv32_core"), [inputs_of(data, name) for name in DESIGNS[:2]]
    seen = held.change_ns
    scores = placement.methods
    assert scores[PLACED].mae_ps == pytest.approx(1e3 * np.abs(seen).mean())
    assert scores[PLACED].mae_frac == pytest.approx(1)
    mean = np.mean([ends.change_ns.mean() for ends in others])
    assert scores[MEAN].mae_ps == pytest.approx(1e3 * np.abs(seen - mean).mean())
    design = [
        np.concatenate([ends.shares[:, :2].T * ends.scale_ns, ends.change_ns[None]])
        / ends.mean_scale_ns / math.sqrt(len(ends.net)) for ends in others
    ]  # fmt: skip
    x = np.concatenate(design, axis=1)
    line = np.linalg.lstsq(x[:2].T, x[2], rcond=None)[0]
    guess = line @ (held.shares[:, :2].T * held.scale_ns)
    assert scores[DELAYS].mae_ps == pytest.approx(1e3 * np.abs(seen - guess).mean(), rel=1e-3)
    assert scores[MODEL].pearson > 0.7  # on a family never seen
    assert "| gsr-gnn | 1 |" in found.table()
    said = json.loads(json.dumps(found.to_json(), allow_nan=False))["slack"]
    assert said["by_technology"]["gsr45"][MODEL]["mae_ps"] == pytest.approx(scores[MODEL].mae_ps)
    shown = evaluate([data], run, everything=True)
    assert shown.slack is not None
    learned = {p.design: p.methods[MODEL].mae_frac for p in shown.slack.placements}
    assert len(learned) == 3
    assert max(learned[name] for name in DESIGNS[:2]) < 0.5, learned


def test_a_prediction_holds_the_slack_of_every_endpoint(data: Path, run: Path, tmp_path: Path) -> None:
    predict(data / "rv32_core", tmp_path / "p", weights=run, device="cpu")
    found, ends = read_prediction(tmp_path / "p").slacks, inputs_of(data, "rv32_core")
    assert found is not None
    assert found.pin == ends.pin
    assert found.slack_ns.tolist() == ends.slack_ns.tolist()
    change = predict_views(open_design(data / "rv32_core").graph, load_weights(run, device="cpu"), endpoints=ends)
    np.testing.assert_array_equal(found.routed_ns, ends.slack_ns + change.slack_change_ns)
    with (tmp_path / "p" / "endpoints.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))
    assert [float(row["predicted_slack_ns"]) for row in rows] == found.routed_ns.tolist()
    metrics = json.loads((tmp_path / "p" / "metrics.json").read_text())
    told = {name: metrics[f"detailedplace__gsr__timing__setup__{name}"] for name in ("ws", "wns", "tns")}
    worst = float(found.routed_ns.min())
    assert told == {"ws": worst, "wns": min(worst, 0), "tns": pytest.approx(found.routed_ns[found.routed_ns < 0].sum())}
    report(tmp_path / "p", tmp_path / "r.html")
    table = (tmp_path / "r.md").read_text().partition("### Slack after global route")[2].partition("\n#")[0]
    first = next(line for line in table.splitlines() if line.startswith("| `"))
    at = int(np.argmin(found.routed_ns))
    assert f"`{found.pin[at]}`" in first
    assert f"{found.routed_ns[at]:.3f}" in first


def test_endpoints_keep_their_values_in_one_tile_and_come_from_near_it(data: Path, run: Path) -> None:
    graph, ends, weights = open_design(data / "rv32_core").graph, inputs_of(data, "rv32_core"), load_weights(run)
    whole = predict_views(graph, weights, views=2, endpoints=ends).slack_change_ns
    tile = predict_tiles(graph, weights, side=max(graph.nx, graph.ny), halo=1, views=2, endpoints=ends).slack_change_ns
    assert np.array_equal(whole, tile)
    tiled = predict_tiles(graph, weights, side=16, halo=4, endpoints=ends).slack_change_ns
    assert (tiled < 0).all()
    assert (
        np.abs(tiled - predict_views(graph, weights, endpoints=ends).slack_change_ns).mean()
        < 0.2 * np.abs(whole).mean()
    )


def test_exports_without_slacks_are_predicted_without(
    kit: Path, data: Path, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lef = [kit / "tech" / f"gsr45_{part}.lef" for part in ("tech", "cells")]
    sources = sources_of_labels(kit / "labels" / "gsr45" / "crc_bank" / "v0", lef=lef)
    export_design(replace(sources, router_runs=0), tmp_path / "bare")
    predict(tmp_path / "bare", tmp_path / "b", weights=run, device="cpu")
    assert read_prediction(tmp_path / "b").slacks is None
    assert "slack is not predicted" in caplog.text
    graph = open_design(data / "crc_bank").graph
    assert load_weights(run, device="cpu").predict(graph).slack_change_ns is None
    assert predict_tiles(graph, load_weights(run, device="cpu"), side=16).slack_change_ns is None
    plain = train([data], tmp_path / "r", config=config('model.tasks=["congestion"]')).out
    predict(data / "crc_bank", tmp_path / "p", weights=plain, device="cpu")
    assert read_prediction(tmp_path / "p").slacks is None
    assert not (tmp_path / "p" / "endpoints.csv").exists()
    assert not any("timing" in key for key in json.loads((tmp_path / "p" / "metrics.json").read_text()))


def test_the_table_comes_back_as_it_was(tmp_path: Path) -> None:
    one = PredictedSlacks(("a,[0]", 'u"1/D'), np.array([0.1, -1 / 3]), np.array([0.05, -1e-9]))
    back = PredictedSlacks.of_csv(one.to_csv(), path="t")
    assert back.pin == one.pin
    assert np.array_equal(back.slack_ns, one.slack_ns)
    assert np.array_equal(back.routed_ns, one.routed_ns)
    for text in (
        b"",
        b"pin,x\n",
        b"pin,slack_ns,predicted_slack_ns\na,1\n",
        b"pin,slack_ns,predicted_slack_ns\na,1,b\n",
    ):
        with pytest.raises(InputError, match="is no table of endpoints"):
            PredictedSlacks.of_csv(text, path="t")
