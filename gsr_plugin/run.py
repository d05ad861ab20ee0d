"""A training run while it goes on: how it begins, from new weights or from those of another, and how it is taken up.

With weights to begin with, all of them are tuned; or, where the settings name a task that they lack, its head alone is
trained and the rest stays what it is, to the bit.
"""

import json
import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from circuit_io.errors import InputError
from gsr_plugin.checkpoint import Checkpoint, write_checkpoint
from gsr_plugin.config import RunConfig, TrainConfig, default_model
from gsr_plugin.dataset import Entry, Loader
from gsr_plugin.model import DETOUR, DRC, HEADS, SLACK, GsrGnn, ModelConfig, in_order
from gsr_plugin.model_card import ModelCard
from gsr_plugin.normaliser import Normaliser, fit_normaliser
from gsr_plugin.ranks import Ranks
from gsr_plugin.schedule import Step, epoch_plan, stack_rate
from gsr_plugin.training_range import TrainingRange
from gsr_plugin.weights import WEIGHTS, Weights, pick_device, write_weights

_log = logging.getLogger(__name__)


@dataclass
class Run:
    """What changes while a run goes on."""

    out: Path
    config: RunConfig
    card: ModelCard
    normaliser: Normaliser
    train_set: list[Entry]
    held_out: list[Entry]
    load: Loader
    model: GsrGnn
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    ranks: Ranks
    step: int = 0
    losses: list[float] = field(default_factory=list)  # of the epoch under way
    range_frac: float = 0.0  # largest of the epoch under way
    seconds: float = 0.0
    last_loss: float = math.nan
    held_out_pearson: float = math.nan
    plan: tuple[int, list[Step]] = (-1, [])  # of the epoch under way

    @cached_property
    def steps_per_epoch(self) -> int:
        """Steps of every epoch."""
        settings = self.config.train
        return math.ceil(len(epoch_plan(self.train_set, settings, 0)) / settings.placements_per_step)

    def group(self, epoch: int, nth: int) -> list[Step]:
        """The placements of a step of an epoch."""
        if self.plan[0] != epoch:
            self.plan = (epoch, epoch_plan(self.train_set, self.config.train, epoch))
        num = self.config.train.placements_per_step
        return self.plan[1][nth * num : (nth + 1) * num]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def state(self) -> dict[str, Tensor]:
        """The weights to keep: averaged ones where there are any."""
        return {**self.model.state_dict(), **self.average}

    def save(self) -> None:
        """Write weights and checkpoint, in the process that writes."""
        if not self.ranks.leads:
            return
        card = self.card.at(step=self.step, epoch=self.step // self.steps_per_epoch)
        write_weights(self.out, self.state(), self.normaliser, card)
        checkpoint = Checkpoint.of(
            self.model, self.optimizer, self.average, step=self.step, losses=self.losses, seconds=self.seconds,
            range_frac=self.range_frac, run=_fingerprint(self.card, self.ranks),
        )  # fmt: skip
        write_checkpoint(self.out, checkpoint)


def held_out_besides(
    train_set: list[Entry], held_out: list[Entry], besides: Collection[Entry]
) -> tuple[list[Entry], list[Entry]]:
    """The split with these placements held out besides."""
    left = [e for e in train_set if e not in besides]
    if not left:
        raise InputError("nothing is left to train on", mend="Hold fewer placements out.")
    return left, [*held_out, *(e for e in train_set if e in besides)]


def begin(
    out: Path,
    config: RunConfig,
    train_set: list[Entry],
    held_out: list[Entry],
    fold: int | None,
    ranks: Ranks,
    start: Weights | None,
    added: tuple[str, ...],
) -> Run:
    """A run at its first step, from the weights of `start` where there are any; see `train`."""
    settings = config.train
    if ranks.size > settings.placements_per_step:
        raise InputError(
            f"train.placements_per_step: {settings.placements_per_step} for {ranks.size} processes, which share them",
            path="settings",
            mend=f"Set it to {ranks.size} or more: each process takes its part of every step.",
        )
    device = pick_device(settings.device)
    if device.type == "cuda" and ranks.size > 1:
        device = pick_device(f"cuda:{ranks.local}")
    load = Loader(settings.cache_mb)
    learned = config.model.tasks if start is None else added
    if added:
        train_set = _that_teach(train_set, load, added)
    normaliser = fit_normaliser(train_set, load, detour=DETOUR in learned, slack=SLACK in learned)
    if DRC in learned and not any(load(e).teaches(DRC) for e in train_set):
        raise InputError(
            f"none of {len(train_set)} placements has a report of a detailed route",
            path=train_set[0].path,
            mend='Label with route_drc.rpt (docs/labels.md), or train without "drc" in model.tasks.',
        )
    card = ModelCard.of_run(config, train_set, held_out, ranges=TrainingRange.of(train_set, load), fold=fold)
    torch.manual_seed(settings.seed)
    model = GsrGnn(config.model, seed=settings.seed).to(device)
    if start is not None:
        model.load_state_dict({**model.state_dict(), **start.model.state_dict()})
        normaliser = replace(
            start.normaliser,
            detour=normaliser.detour if DETOUR in added else start.normaliser.detour,
            endpoint=normaliser.endpoint if SLACK in added else start.normaliser.endpoint,
        )
        for task in () if added else config.model.tasks:
            if not any(load(e).teaches(task) for e in train_set):
                _log.warning("no placement has %s: %s is not tuned and may get worse", _LABELS[task], task)
        home = start.path.parent.name if start.path.name == WEIGHTS else start.path.name
        card = card.tuned_from(start.card, name=home, sha256=start.sha256, added=added)
    heads = tuple(HEADS[task] for task in added)
    for name, p in model.named_parameters():
        p.requires_grad_(not added or name.startswith(heads))
    return Run(
        out=out,
        config=config,
        card=card,
        normaliser=normaliser,
        train_set=train_set,
        held_out=held_out,
        load=load,
        model=model,
        optimizer=torch.optim.AdamW(_groups(model, settings), lr=settings.lr, betas=(0.9, 0.99)),
        average={n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        if settings.ema and ranks.leads
        else {},
        ranks=ranks,
    )


_LABELS = {
    DETOUR: "routed lengths of nets",
    SLACK: "slacks before and after routing",
    DRC: "a report of a detailed route",
}


def _that_teach(train_set: list[Entry], load: Loader, added: tuple[str, ...]) -> list[Entry]:
    """The placements with labels of an added task; all where there is none, so that the error counts them."""
    found = [e for e in train_set if any(load(e).teaches(task) for task in added)]
    if found and len(found) < len(train_set):
        left = len(train_set) - len(found)
        _log.warning("%d of %d placements have no labels of %s: left out", left, len(train_set), ", ".join(added))
    return found or train_set


def with_model_of(start: Weights, settings: RunConfig, *, add: Sequence[str] = ()) -> RunConfig:
    """Settings with the model of the weights to begin with, and further tasks.

    Raises:
        InputError: the settings are of another model, or the weights have the task.
    """
    had = start.card.model
    if twice := sorted(set(add) & set(had.tasks)):
        what = f"have the task {twice[0]} already"
        raise InputError(what, path=start.path, mend="gsr finetune tunes weights for the tasks that they have.")
    model = had.model_copy(update={"tasks": in_order((*had.tasks, *add))})
    if _shape(settings.model) not in (_shape(default_model()), _shape(had), _shape(model)):
        mend = "Leave the [model] settings out, or give the weights that they are of (--from)."
        raise InputError("the model is that of the weights", path="settings", mend=mend)
    return settings.model_copy(update={"model": model})


def _shape(model: ModelConfig) -> dict[str, Any]:
    """Without the numbers of features, which follow from the exports that the weights were trained on."""
    return {k: v for k, v in model.model_dump().items() if not k.startswith("num_")}


def _groups(model: GsrGnn, settings: TrainConfig) -> list[dict[str, Any]]:
    """Parameters by decay and by their share of the rate."""
    share = stack_rate(settings, model.config.layers)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        decay = settings.weight_decay if p.ndim > 1 else 0.0
        groups.setdefault((decay, share if name.startswith("stack.") else 1.0), []).append(p)
    return [{"params": ps, "weight_decay": decay, "share": share} for (decay, share), ps in groups.items()]


_ADDED = {  # what runs had before they told it
    "processes": "1",
    "base": "",
    "train.full_rate_layers": "0",
    "model.branch_dtype": '"float32"',
    "train.drop_router": "0.0",
    "model.tasks": '["congestion"]',
    "model.head_convolutions": "0",
    "train.detour_weight": json.dumps(TrainConfig().detour_weight),
}


def take_up(run: Run, checkpoint: Checkpoint) -> None:
    """Put a run where the checkpoint left it; refuse one that was made with other settings or data."""
    for name, ours in _fingerprint(run.card, run.ranks).items():
        stored = checkpoint.run.get(name, _ADDED.get(name))
        if ours != stored:
            raise InputError(
                f"the run there has {name} = {stored}, this call {ours}",
                path=run.out,
                mend="Resume with the same data, fold and settings (RUN/config.toml), and with --add and --from where "
                "the run had them; or start anew with --overwrite.",
            )
    checkpoint.restore(run.model, run.optimizer, run.average)
    run.step, run.losses, run.seconds = checkpoint.step, list(checkpoint.losses), checkpoint.seconds
    run.range_frac = checkpoint.range_frac
    run.last_loss = fmean(run.losses) if run.losses else math.nan


_MAY_CHANGE = {"max_minutes", "checkpoint_minutes", "cache_mb", "device", "threads", "score_epochs"}


def _fingerprint(card: ModelCard, ranks: Ranks) -> dict[str, str]:
    """What must be the same for a run to go on with the same losses."""
    train = {f"train.{k}": json.dumps(v) for k, v in card.settings["train"].items() if k not in _MAY_CHANGE}
    model = {f"model.{k}": json.dumps(v) for k, v in card.model.model_dump(mode="json").items()}
    whole = {"fold": json.dumps(card.fold), "data": card.data_sha256, "processes": str(ranks.size)}
    return whole | {"base": card.base.get("weights_sha256", "")} | model | train


def of_size(entries: list[Entry], config: RunConfig) -> list[Entry]:
    """Those of the size that the settings allow."""
    most = config.data.max_gcells or math.inf
    kept = [e for e in entries if config.data.min_gcells <= e.num_gcells <= most]
    if not kept:
        sizes = f"{min(e.num_gcells for e in entries)} to {max(e.num_gcells for e in entries)}"
        raise InputError(
            "no placement is of the size that data.min_gcells and data.max_gcells allow",
            path="settings",
            mend=f"The placements have {sizes} gcells.",
        )
    return kept
