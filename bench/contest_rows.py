"""The rows of the contest: each learns from the training families of a fold and predicts placements of the others."""

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.contest_torch import HeteroGnn, UNet, fit_network, predict_network, step_loss
from bench.contest_trees import EDGES, LEAVES, RATE, ROUNDS, Trees, TreeTables
from circuit_io.errors import InputError
from circuit_io.fields import GCELL_FEATURES, ROUTER_FEATURES, column, names
from circuit_io.graph import CircuitGraph
from circuit_io.transform import without_router
from gsr_plugin.baselines import RudyLine
from gsr_plugin.config import RunConfig, TrainConfig, load_config
from gsr_plugin.dataset import Entry, Loader
from gsr_plugin.losses import placement_loss
from gsr_plugin.model import GsrGnn
from gsr_plugin.normaliser import fit_normaliser
from gsr_plugin.schedule import epoch_plan
from gsr_plugin.train import train
from gsr_plugin.weights import load_weights

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "bench" / "gsr-base.toml"
TIMED = 24  # steps that tell how many epochs fit into the time
WIDTHS = {4: 128, 8: 90, 16: 64, 32: 46, 64: 32}  # layers to width: as many weights as 16 layers of 64
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Guess:
    """Predicted congestion of the edges to the right and above, and a standard deviation where the row has one."""

    h: np.ndarray
    v: np.ndarray
    sigma_h: np.ndarray | None = None
    sigma_v: np.ndarray | None = None


Fold = int | str
"""A number of folds.toml, or a technology that is left out."""
Predict = Callable[[CircuitGraph, Entry], Guess]


@dataclass
class Task:
    """One fold: what is learned from, the budget of one row, and a folder of its own for it.

    Attributes:
        minutes: processor time of a network's training; 0 where `steps` tells.
        steps: updates of a network instead.
        sets: settings of all GSR-GNN rows, as `gsr train --set`.
        told: what a row adds to its record.
    """

    data: list[Path]
    folds: Path
    fold: Fold
    train_set: list[Entry]
    held_out: list[Entry]
    load: Loader
    tables: TreeTables
    home: Path
    minutes: float
    steps: int
    seed: int
    runs: Path | None
    sets: tuple[str, ...] = ()
    told: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One method. `parts` names the rows of which it is the mean; such a row has no `fit`."""

    name: str
    what: str
    fit: Callable[[Task], Predict] | None = None
    parts: tuple[str, ...] = ()
    is_trained: bool = False  # whether the budget applies
    needs_runs: bool = False


def _rudy(task: Task) -> Predict:
    line = RudyLine.fit(task.train_set, task.load)
    return lambda graph, entry: Guess(*line.predict(graph, entry))


def _router(mean: str, spread: str = "") -> Callable[[Task], Predict]:
    def predict(graph: CircuitGraph, entry: Entry) -> Guess:
        if not graph.gcell_features[0, column(GCELL_FEATURES, "router_runs")]:
            raise InputError("has no maps of the embedded router", path=entry.path, mend="Export it again.")
        maps = [_map(graph, f"{name}_{d}") for name in (mean, spread) if name for d in "hv"]
        return Guess(*maps)

    return lambda task: predict


def _map(graph: CircuitGraph, name: str) -> np.ndarray:
    return graph.gcell_features[:, column(GCELL_FEATURES, name)].reshape(graph.ny, graph.nx)


def _trees(*, routed: bool) -> Callable[[Task], Predict]:
    def fit(task: Task) -> Predict:
        hidden = () if routed else names(ROUTER_FEATURES)
        model = Trees(task.tables, task.train_set, hidden=hidden, seed=task.seed)
        task.told.update(edges=EDGES, rounds=ROUNDS, leaves=LEAVES, rate=RATE)
        return lambda graph, _: Guess(*model.predict(graph))

    return fit


def _epochs(task: Task, settings: TrainConfig, step: Callable[[Any], None]) -> int:
    """Epochs that the budget allows; measured once, so that a run that stopped goes on with the same."""
    plan = epoch_plan(task.train_set, settings, 0)
    if task.steps:
        return math.ceil(task.steps / len(plan))
    kept = task.home / "epochs.json"
    if not kept.is_file():
        timed = plan[:TIMED]
        for item in timed:
            task.load(item.entry)
        step(timed[0])
        start = time.process_time()
        for item in timed:
            step(item)
        seconds = (time.process_time() - start) / len(timed)
        epochs = max(1, round(60 * task.minutes / (seconds * len(plan))))
        kept.write_text(json.dumps({"epochs": epochs, "step_seconds": seconds, "steps_per_epoch": len(plan)}))
    return int(json.loads(kept.read_text())["epochs"])


def _as_it_is(graph: CircuitGraph) -> CircuitGraph:
    return graph


def _network(make: Callable[[], torch.nn.Module], *, routed: bool = True) -> Callable[[Task], Predict]:
    hide = _as_it_is if routed else without_router

    def fit(task: Task) -> Predict:
        settings = load_config(
            RECIPE, [f"train.seed={task.seed}", "train.lr=2e-3", "train.crop_gcells=64"], env={}
        ).train
        normaliser = fit_normaliser(task.train_set, task.load)
        torch.manual_seed(task.seed)
        model = make()

        def step(item: Any) -> None:  # noqa: ANN401
            step_loss(model, normaliser, settings, task.load, item, hide).backward()

        settings = settings.model_copy(update={"epochs": _epochs(task, settings, step)})
        model.zero_grad()
        num = sum(p.numel() for p in model.parameters())
        task.told.update(epochs=settings.epochs, parameters=num, lr=settings.lr, crop_gcells=settings.crop_gcells)
        trained = fit_network(model, normaliser, settings, task.train_set, task.load, hide)
        return lambda graph, _: Guess(*predict_network(trained, normaliser, hide(graph)))

    return fit


def _gsr(*sets: str, routed: bool = True) -> Callable[[Task], Predict]:
    def fit(task: Task) -> Predict:
        shown = f"train.drop_router={0 if routed else 1}"
        technology = task.fold if isinstance(task.fold, str) else ""
        base = [f"train.seed={task.seed}", "train.full_rate_layers=16", f'data.technology_out="{technology}"', shown]
        base += ['model.tasks=["congestion"]', *sets, *task.sets]  # all that the other rows learn
        config = load_config(RECIPE, base, env={})
        normaliser = fit_normaliser(task.train_set, task.load)
        model = GsrGnn(config.model, seed=task.seed)

        def step(item: Any) -> None:  # noqa: ANN401
            sample = task.load(item.entry)
            placement_loss(model, normaliser, config.train, sample, item, CPU)[0].backward()
            model.stack.free_memory()

        config = _with_epochs(config, _epochs(task, config.train, step))
        out = task.home / "run"
        resume = (out / "state").is_dir()  # else it was killed before it had any
        fold = task.fold if isinstance(task.fold, int) else None
        found = train(task.data, out, config=config, fold=fold, folds=task.folds, resume=resume, overwrite=not resume)
        task.told.update(epochs=config.train.epochs, parameters=found.num_parameters, steps=found.steps,
                         lr=config.train.lr, crop_gcells=config.train.crop_gcells)  # fmt: skip
        return _of_run(out, _as_it_is if routed else without_router)

    return fit


def _with_epochs(config: RunConfig, epochs: int) -> RunConfig:
    return config.model_copy(update={"train": config.train.model_copy(update={"epochs": epochs})})


def _of_run(out: Path, hide: Callable[[CircuitGraph], CircuitGraph]) -> Predict:
    weights = load_weights(out, device="cpu")

    def predict(graph: CircuitGraph, _: Entry) -> Guess:
        found = weights.predict(hide(graph))
        return Guess(found.congestion_h, found.congestion_v, found.sigma_h, found.sigma_v)

    return predict


def _recipe(hide: Callable[[CircuitGraph], CircuitGraph]) -> Callable[[Task], Predict]:
    def fit(task: Task) -> Predict:
        assert task.runs is not None
        out = task.runs / str(task.fold)
        card = load_weights(out, device="cpu").card
        tested = {e.family for e in task.held_out}
        if task.fold not in (card.fold, card.technology_out) or tested & set(card.families):
            raise InputError(f"is no run that held fold {task.fold} out", path=out, mend="Give --runs of these folds.")
        last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
        if last.get("event") != "end" or last.get("stopped") != "done":
            raise InputError("is no run that has ended", path=out, mend="Go on with it by gsr train --resume.")
        task.told.update(steps=card.step, epochs=card.epoch, placements=card.num_placements, train_s=last["seconds"])
        return _of_run(out, hide)

    return fit


def rows() -> dict[str, Row]:
    """All rows, in the order of the table; `-plain` ones do not see the router's maps."""
    found = [
        Row("rudy", "RUDY on gcell boxes, one line fitted on the training families", _rudy),
        Row("router-1", "embedded router, one run", _router("router_first")),
        Row("router-8", "embedded router, mean of its runs (8, fewer where each takes long)",
            _router("router", "router_spread")),
    ]  # fmt: skip
    for routed in (True, False):
        end, words = ("", "") if routed else ("-plain", ", without the router's maps")
        found += [
            Row(f"trees{end}", f"boosted trees{words}", _trees(routed=routed)),
            Row(f"unet{end}", f"U-Net on the same maps{words}", _network(UNet, routed=routed), is_trained=True),
            Row(f"gnn-3{end}", f"dense heterogeneous GNN, 3 layers{words}", _network(HeteroGnn, routed=routed),
                is_trained=True),
        ]  # fmt: skip
        for layers, width in WIDTHS.items():
            size = (f"model.layers={layers}", f"model.width={width}")
            for kind, what, k in (("", "", width // 8), ("-dense", ", no top-k", width // 2)):
                fit = _gsr(*size, f"model.k={k}", routed=routed)
                found.append(
                    Row(f"gsr-{layers}{kind}{end}", f"GSR-GNN, {layers} layers{what}{words}", fit, is_trained=True)
                )
    paper = _gsr("model.layers=16", "model.width=64", "model.k=8", 'model.variant="paper"', 'model.t="auto"')
    found += [
        Row("gsr-16-paper", "GSR-GNN, 16 layers, the published layer", paper, is_trained=True),
        Row("recipe", "GSR-GNN, the recipe of the shipped model", _recipe(_as_it_is), needs_runs=True),
        Row(
            "recipe-withheld", "the same weights, the router's maps withheld", _recipe(without_router), needs_runs=True
        ),
        Row("trees+recipe", "mean of trees and the recipe", parts=("trees", "recipe")),
        Row("trees+gsr-16", "mean of trees and GSR-GNN, 16 layers", parts=("trees", "gsr-16")),
    ]
    return {row.name: row for row in found}


_TO_TREES = ("unet", "gnn-3", "gsr-16", "recipe", "trees+recipe", "trees+gsr-16")
_ROUTED = ("trees", "unet", "gnn-3", *(f"gsr-{n}" for n in WIDTHS))
CLAIMS = (
    ("router-8", "router-1"), ("trees", "router-8"), ("recipe", "rudy"), ("recipe", "router-8"),
    *((row, "trees") for row in _TO_TREES), ("recipe", "unet"), ("recipe", "gnn-3"), ("trees+recipe", "recipe"),
    *((row, f"{row}-plain") for row in _ROUTED), ("recipe-withheld", "trees-plain"),
    *((f"{row}-plain", "trees-plain") for row in ("unet", "gnn-3", "gsr-16")), ("gsr-16", "gnn-3"),
    *((f"gsr-{n}{end}", f"gsr-16{end}") for end in ("", "-plain") for n in WIDTHS if n != 16),
    *((f"gsr-{n}", f"gsr-{n}-dense") for n in WIDTHS), ("gsr-16", "gsr-16-paper"),
)  # fmt: skip
"""Pairs of rows: is the first better than the second?"""


def forget(home: Path) -> None:
    """Remove what a row left that did not finish, but for the state of a training run."""
    for path in home.glob("*"):
        if path.name not in ("run", "epochs.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
