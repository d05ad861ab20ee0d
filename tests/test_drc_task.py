"""The fourth task, gcells with violations after detailed route: loss, heads added to weights, scores, reports."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from synthetic_graph import write_corpus
from toy_graphs import check_gradients, features, toy_graph

from bench import drc
from circuit_io.drc import gcell_heat, read_stored_drc
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.maps import VIOLATED
from circuit_io.prediction import read_prediction
from circuit_io.store import open_design
from circuit_io.transform import SYMMETRIES, inverse, transform_cells, transform_edges
from flow_hooks.labels.batch import read_batch
from flow_hooks.labels.batch_jobs import OPENROAD, jobs_of
from gsr_plugin.cli import main
from gsr_plugin.config import RunConfig, TrainConfig, load_config
from gsr_plugin.dataset import Loader, find_designs
from gsr_plugin.drc_scores import MODEL, PINS, PREDICTED, ROUTED, DrcScores
from gsr_plugin.evaluate import evaluate
from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.losses import placement_loss
from gsr_plugin.model import GsrGnn, ModelConfig, in_order
from gsr_plugin.normaliser import fit_normaliser
from gsr_plugin.predict import predict, predict_tiles, predict_views
from gsr_plugin.report import build_report
from gsr_plugin.run import with_model_of
from gsr_plugin.schedule import epoch_plan
from gsr_plugin.train import train
from gsr_plugin.weights import load_weights

DESIGNS = ("crc_bank", "sort16", "rv32_core")
SMALL = ["model.layers=2", "model.width=16", "model.k=4", "train.warm_up_steps=2", "train.crop_gcells=16"]
HOT = 0.9  # violations are planted where the router's worst edge is above this quantile


def config(*sets: str, epochs: int = 2) -> RunConfig:
    return load_config(None, [*SMALL, f"train.epochs={epochs}", *sets], env={})


def plant(labels: Path, folder: Path, lef: list[Path]) -> None:
    """Labels with a report of violations in the gcells whose worst edge is hottest."""
    shutil.copytree(labels, folder)
    export_design(replace(sources_of_labels(folder, lef=lef), router_runs=0), folder.with_suffix(".bare"))
    bare = open_design(folder.with_suffix(".bare"))
    assert bare.labels is not None
    heat = gcell_heat(bare.labels.congestion_h, bare.labels.congestion_v)
    x, y = (bare.manifest["grid"][f"{axis}_um"] for axis in "xy")
    lines = []
    for iy, ix in np.argwhere(heat > np.quantile(heat, HOT)).tolist():
        at = ((x[ix] + x[ix + 1]) / 2, (y[iy] + y[iy + 1]) / 2)
        box = f"({at[0]:.4f}, {at[1]:.4f}) - ({at[0]:.4f}, {at[1]:.4f})"
        lines += ["violation type: Short", "\tsrcs: net:a net:b", f"\tbbox = {box} on Layer M2"]
    (folder / "route_drc.rpt").write_text("\n".join([*lines, ""]))


@pytest.fixture(scope="module")
def data(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three designs of the kit with planted violations, the last one in fold 1."""
    root = tmp_path_factory.mktemp("drc")
    lef, lib = [kit / "tech" / f"gsr45_{part}.lef" for part in ("tech", "cells")], [kit / "tech" / "gsr45_typ.lib"]
    for name in DESIGNS:
        plant(kit / "labels" / "gsr45" / name / "v0", root / name, lef)
        sources = replace(sources_of_labels(root / name, lef=lef, lib=lib), router_runs=0, family=name)
        (root / "data").mkdir(exist_ok=True)
        export_design(sources, root / "data" / name)
    folds = [f'"{name}" = {int(i == 2)}' for i, name in enumerate(DESIGNS)]
    text = "\n".join(['schema = "gsr-folds"', "schema_version = 1", "[fold]", *folds])
    (root / "data" / "folds.toml").write_text(text)
    return root / "data"


@pytest.fixture(scope="module")
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights for congestion that have held rv32_core out."""
    return train([data], tmp_path_factory.mktemp("base") / "b", config=config("train.lr=0.01", epochs=15), fold=1).out


def short(*sets: str, epochs: int = 25) -> RunConfig:
    return load_config(None, [f"train.epochs={epochs}", "train.warm_up_steps=2", "train.lr=0.01", *sets], env={})


@pytest.fixture(scope="module")
def run(data: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a head for violations."""
    return train([data], tmp_path_factory.mktemp("run") / "r", config=short(), base=base, add=["drc"]).out


def _toy(tasks: tuple[str, ...], **options: object) -> GsrGnn:
    counts = {"num_inst_features": 5, "num_net_features": 4, "num_gcell_features": 6}
    settings = {**counts, "layers": 3, "width": 16, "k": 2, "head_width": 8, "tasks": tasks, **options}
    return GsrGnn(ModelConfig.model_validate(settings), seed=2)


def test_tasks_stand_in_one_order() -> None:
    assert in_order(["drc", "congestion", "detour"]) == ("congestion", "detour", "drc")
    for wrong in (("drc",), ("congestion", "drc", "slack"), ("congestion", "congestion")):
        with pytest.raises(ValueError, match="then detour, slack, drc"):
            _toy(wrong)


def test_the_head_has_the_gradient_of_the_loss_and_nothing_else_gets_any() -> None:
    graph = GraphTensors.of(toy_graph(40, 50, 6, 5))
    model = _toy(("congestion", "drc"), t="off").double()
    x = [part.double() for part in features(graph)]

    def loss() -> torch.Tensor:
        out = model(graph, *x)
        assert out.drc_logit is not None
        assert out.drc_logit.shape == (30,)
        return out.congestion.square().mean() + (out.drc_logit - 0.3).square().mean()

    loss().backward()
    names = [name for name, _ in model.named_parameters() if name.startswith("drc_head.")]
    assert len(names) == 8
    check_gradients(model, names, loss)
    alone = _toy(("congestion",), t="off").double()
    alone(graph, *x).congestion.square().mean().backward()
    for name, p in alone.named_parameters():
        twin = model.get_parameter(name)
        assert torch.equal(p, twin), name
        assert (p.grad is None and twin.grad is None) or torch.equal(p.grad, twin.grad), name  # type: ignore[arg-type]


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_cells_move_as_the_ends_of_edges_do(symmetry: tuple[bool, bool, bool]) -> None:
    cells = np.arange(12.0).reshape(3, 4)
    h, v = np.full((3, 4), np.nan), np.full((3, 4), np.nan)
    h[:, :-1], v[:-1] = cells[:, :-1] + cells[:, 1:], cells[:-1] + cells[1:]
    moved = transform_cells(cells, symmetry)  # type: ignore[arg-type]
    moved_h, moved_v = transform_edges(h, v, symmetry)  # type: ignore[arg-type]
    assert (moved_h[:, :-1] == moved[:, :-1] + moved[:, 1:]).all()
    assert (moved_v[:-1] == moved[:-1] + moved[1:]).all()
    assert (transform_cells(moved, inverse(symmetry)) == cells).all()  # type: ignore[arg-type]


def test_the_loss_of_a_placement_is_the_cross_entropy_of_a_turned_window(data: Path) -> None:
    entry, load = find_designs([data])[0], Loader()
    normaliser, sample = fit_normaliser([entry], load), load(entry)
    assert sample.drc is not None
    assert 0 < (sample.drc > 0).sum() < sample.drc.size / 4
    model = GsrGnn(config('model.tasks=["congestion","drc"]').model, seed=1)
    seen: list[torch.Tensor] = []
    model.drc_head.register_forward_hook(lambda *call: seen.append(call[2]))
    ny, nx = sample.drc.shape
    iy, ix = np.argwhere(sample.drc)[0].tolist()
    for crop, symmetry in ((0, SYMMETRIES[0]), (6, SYMMETRIES[5])):
        settings = TrainConfig(overflow_weight=0, sigma_weight=0, crop_gcells=crop)
        step = epoch_plan([entry], settings, 0)[0]
        x, y = (min(i, n - crop) if crop else 0 for i, n in ((ix, nx), (iy, ny)))
        place = ((x + 0.5) / (nx - crop + 1), (y + 0.5) / (ny - crop + 1))
        step = replace(step, hide_liberty=False, hide_router=False, place=place, symmetry=symmetry)
        loss, parts = placement_loss(model, normaliser, settings, sample, step, torch.device("cpu"))
        assert float(loss.detach()) == pytest.approx(parts["squared"] + parts["drc"], rel=1e-5)
        drc = sample.drc[y : y + crop, x : x + crop] if crop else sample.drc
        assert drc.any()
        logit = seen[-1].detach().double().numpy().ravel()
        hit = transform_cells(drc > 0, symmetry).ravel()
        by_hand = np.where(hit, np.log1p(np.exp(-logit)), np.log1p(np.exp(logit))).mean()
        assert parts["drc"] == pytest.approx(by_hand, rel=1e-5)


def _bits(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "weights.safetensors")


def test_the_task_changes_no_bit_of_the_others(data: Path, tmp_path: Path) -> None:
    settings = config("train.lr=0.02", 'model.tasks=["congestion","drc"]')
    a = _bits(train([data], tmp_path / "whole", config=settings).out)
    b = _bits(train([data], tmp_path / "bare", config=config("train.lr=0.02")).out)
    assert {name for name in a if name not in b} == {name for name in a if "drc_head" in name}
    assert all(torch.equal(t, a[name]) for name, t in b.items())


def test_an_added_head_alone_is_trained_and_resumes(data: Path, base: Path, run: Path, tmp_path: Path) -> None:
    a, b = _bits(base), _bits(run)
    assert all(torch.equal(t, b[name]) for name, t in a.items())
    assert {name.split(".")[0] for name in b if name not in a} == {"model/drc_head"}
    before, after = load_weights(base), load_weights(run)
    assert after.card.model.tasks == ("congestion", "drc")
    assert after.card.base["weights_sha256"] == before.sha256
    assert after.card.added == {"drc": {"num_placements": 2, "families": 2}}
    assert (after.card.ranges, after.card.fold) == (before.card.ranges, 1)
    assert after.card.num_placements == before.card.num_placements == 2
    steps = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines() if '"step"' in line]
    assert all(step["loss"] == step["drc"] for step in steps if step["event"] == "step")
    with pytest.raises(InputError, match="have the task drc already"):
        train([data], tmp_path / "twice", config=short(), base=run, add=["drc"])
    with pytest.raises(InputError, match="holds the weights to begin with"):
        train([data], base, config=short(), base=base, add=["drc"], overwrite=True)
    graph = open_design(data / "rv32_core").graph
    for old, new in zip(before.predict(graph).congestion, after.predict(graph).congestion, strict=True):
        np.testing.assert_array_equal(old, new)
    settings = short("train.ema=0.9", epochs=3)
    whole = _bits(train([data], tmp_path / "whole", config=settings, base=base, add=["drc"]).out)
    train([data], tmp_path / "cut", config=settings, base=base, add=["drc"], stop_after=3)
    cut = _bits(train([data], tmp_path / "cut", config=settings, base=base, add=["drc"], resume=True).out)
    assert all(torch.equal(t, cut[name]) for name, t in whole.items())
    assert all(torch.equal(t, whole[name]) for name, t in a.items())


def test_slack_and_detours_can_be_added_too(data: Path, base: Path, tmp_path: Path) -> None:
    out = train([data], tmp_path / "r", config=short(epochs=2), base=base, add=["slack", "detour"]).out
    a, b = _bits(base), _bits(out)
    assert all(torch.equal(t, b[name]) for name, t in a.items())
    found = load_weights(out)
    assert found.card.model.tasks == ("congestion", "detour", "slack")
    assert found.normaliser.detour is not None
    assert found.normaliser.endpoint is not None
    scores = evaluate([data], out)
    assert scores.detour is not None
    assert scores.slack is not None


def test_scores_by_hand() -> None:
    violations = np.zeros((4, 5), np.int64)
    violations[0] = [1, 3, 1, 1, 2]
    heat = np.arange(20.0)[::-1].reshape(4, 5)
    assert DrcScores.of(violations, heat) == DrcScores(1.0, 1.0, 1 / 8)
    assert DrcScores.of(violations, -heat).auc == 0
    violations[0, 0] = 0
    assert np.isnan(DrcScores.of(violations, heat).auc), "four gcells say little"


def test_evaluate_finds_planted_violations_of_a_family_never_seen(data: Path, run: Path) -> None:
    found = evaluate([data], run)
    assert found.drc is not None
    (placement,) = found.drc.placements
    assert placement.design == "rv32_core"
    scores = placement.methods
    assert scores[ROUTED].auc == pytest.approx(1.0)  # planted there
    assert scores[MODEL].auc > max(0.8, scores[PINS].auc)
    assert scores[PREDICTED].auc > 0.8
    known = evaluate([data], run, everything=True)
    assert known.drc is not None
    for p in (p for p in known.drc.placements if p.design != "rv32_core"):
        assert p.expected[MODEL] == pytest.approx(p.violated, abs=0.05)
    assert "| gsr-gnn | 1 of 1 |" in found.table()
    said = json.loads(json.dumps(found.to_json(), allow_nan=False))["drc"]
    assert said["by_family"][MODEL]["auc"] == pytest.approx(scores[MODEL].auc)


def test_a_prediction_has_the_map_and_reports_show_it(data: Path, run: Path, tmp_path: Path) -> None:
    made = predict(data / "rv32_core", tmp_path / "p", weights=run, device="cpu")
    prediction = read_prediction(tmp_path / "p")
    prob = prediction.maps[VIOLATED]
    assert prob.shape == prediction.shape
    assert ((prob > 0) & (prob < 1)).all()
    metrics = made["metrics"] if "metrics" in made else json.loads((tmp_path / "p" / "metrics.json").read_text())
    name = next(key for key in metrics if key.endswith("gsr__drc__gcells"))
    assert metrics[name] == pytest.approx(prob.sum(), rel=1e-4)
    weights, graph = load_weights(run), open_design(data / "rv32_core").graph
    views = predict_views(graph, weights, views=8).drc_prob
    assert views is not None
    assert np.corrcoef(views.ravel(), prob.ravel())[0, 1] > 0.9
    tiled = predict_tiles(graph, weights, side=max(prob.shape), halo=1).drc_prob
    np.testing.assert_array_equal(tiled, prob)
    part = predict_tiles(graph, weights, side=16, halo=8).drc_prob
    assert part is not None
    assert np.corrcoef(part.ravel(), prob.ravel())[0, 1] > 0.95
    report = build_report(prediction)
    text = report.markdown("figures")
    assert "Likely DRC violations" in text
    assert f"in {prob.sum():,.1f} of {prob.size:,} gcells" in text
    assert '"drc_prob":{' in report.html()
    design = open_design(data / "rv32_core")
    beside = build_report(prediction, drc=read_stored_drc(design)).markdown("figures")
    assert "violations there, predicted violations" in beside


def test_data_without_reports_are_refused_or_warned_of(
    base: Path, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    with pytest.raises(InputError, match=r"none of 2 placements has a report of a detailed route[\s\S]*route_drc\.rpt"):
        train([corpus], tmp_path / "none", config=short(), base=base, add=["drc"], fold=0)
    train([corpus], tmp_path / "tuned", config=short(), base=run, stop_after=1)
    assert "no placement has a report of a detailed route: drc is not tuned" in caplog.text
    with pytest.raises(InputError, match=r"\[model\] settings"):
        with_model_of(load_weights(base), config("model.layers=3"), add=("drc",))


def test_the_command_adds_a_task(data: Path, base: Path, tmp_path: Path) -> None:
    words = ["train", str(data), "--out", str(tmp_path / "r"), "--set", "train.epochs=1", "--fold", "1"]
    done = CliRunner().invoke(main, [*words, "--from", str(base)])
    assert done.exit_code == 2
    assert "--from: is for --add" in done.output
    done = CliRunner().invoke(main, [*words, "--from", str(base), "--add", "drc"])
    assert done.exit_code == 0, done.output
    assert load_weights(tmp_path / "r").card.model.tasks == ("congestion", "drc")
    done = CliRunner().invoke(main, [*words, "--from", str(base), "--add", "drc", "--resume"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(main, [*words, "--resume"])
    assert done.exit_code == 2
    assert "with --add and --from where the run had them" in done.output
    shown = CliRunner().invoke(main, ["weights", "show", str(tmp_path / "r")]).output
    assert "| added: drc | on 2 placements |" in shown


def test_the_bench_writes_a_batch_and_scores_every_fold(
    data: Path, kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "placements.txt").write_text("# words\nlabels/gsr45/crc_bank/v0 M2-M4 0.2\n")
    monkeypatch.setattr(drc, "PLACEMENTS", tmp_path / "placements.txt")
    assert drc.main(["batch", str(kit), "--out", str(tmp_path / "batch.toml")]) == 0
    (job,) = jobs_of(read_batch(tmp_path / "batch.toml"), tmp_path, router=OPENROAD, version="1")
    assert job.name == "gsr45/crc_bank_v0_M2_M4/v0"
    assert job.settings["router"]["detailed_iterations"] == drc.ITERATIONS
    (tmp_path / "placements.txt").write_text("labels/gsr45/none/v0 M2-M4 0.2\n")
    with pytest.raises(InputError, match="is no folder"):
        drc.main(["batch", str(kit), "--out", str(tmp_path / "batch.toml")])
    for fold in (0, 1):
        train([data], tmp_path / "runs" / str(fold), config=config(epochs=1), fold=fold)
    (tmp_path / "recipe.toml").write_text("[train]\nepochs = 2\n")
    monkeypatch.setattr(drc, "ADDED", tmp_path / "recipe.toml")
    words = ["score", str(data), "--runs", str(tmp_path / "runs"), "--folds", str(data / "folds.toml")]
    words += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "scores.json")]
    assert drc.main(words) == 0
    said = capsys.readouterr().out
    assert "fold 1: 4 steps on 2 placements" in said
    assert "| gsr-gnn | 3 of 3 |" in said
    found = json.loads((tmp_path / "scores.json").read_text())
    assert {p["design"] for p in found["placements"]} == set(DESIGNS)
    gain = found["gains"][ROUTED]["auc"]
    assert gain["families"] == 3
    assert gain["low"] <= gain["gain"] <= gain["high"] < 0  # violations were planted where the router is full
    again = drc.main(words)
    assert again == 0
    assert "steps on" not in capsys.readouterr().out
