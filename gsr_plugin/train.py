"""Training: a plain loop over labelled placements that can be stopped at any step and taken up again bit for bit.

A run folder holds `weights.safetensors` and `model.json` (what `gsr predict` needs), `config.toml` (the resolved
settings), `log.jsonl` (one JSON object a line) and `state/` (what `--resume` needs).
"""

import json
import logging
import math
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from torch import nn

from circuit_io.errors import GsrError
from gsr_plugin.checkpoint import read_checkpoint
from gsr_plugin.config import RunConfig, load_config
from gsr_plugin.dataset import Entry, find_designs, read_split
from gsr_plugin.evaluate import score_entry
from gsr_plugin.losses import LOSS_PARTS, placement_loss
from gsr_plugin.metrics import summarize
from gsr_plugin.model import APART, in_order
from gsr_plugin.ops.topk import NotANumberError
from gsr_plugin.progress import Progress, stop_signals
from gsr_plugin.ranks import Ranks
from gsr_plugin.reversible import RangeError
from gsr_plugin.run import Run, begin, held_out_besides, of_size, take_up, with_model_of
from gsr_plugin.run_folder import LOG, check_out, kept_settings, prepare_out, refuse_base, write_line
from gsr_plugin.schedule import Step, learning_rate
from gsr_plugin.weights import load_weights, pick_device, predict_maps

_log = logging.getLogger(__name__)

ADDED = Path(__file__).parent / "templates" / "add.toml"  # settings where tasks are added
PARTS = (*LOSS_PARTS, "range_frac")  # what the log tells of a step
STOPS = ("interrupted", "max_minutes", "stop_after")


class DivergedError(GsrError):
    """Loss or gradient stopped being finite."""

    exit_code = 1


@dataclass(frozen=True)
class TrainResult:
    """How a run ended. `stopped` says why: "done", "max_minutes" or "stop_after"."""

    out: Path
    steps: int
    epochs: int
    loss: float
    num_train: int
    num_held_out: int
    num_parameters: int
    seconds: float
    stopped: str
    held_out_pearson: float = math.nan


def run_config(out: Path, path: Path | None = None, sets: Sequence[str] = (), *, resume: bool = False) -> RunConfig:
    """The settings of a run: of the file `path`, or of the run folder that is resumed; overridden by `sets`."""
    return load_config(kept_settings(out) if resume and path is None else path, sets)


def train(
    data: Sequence[Path],
    out: Path,
    *,
    config: RunConfig | None = None,
    fold: int | None = None,
    folds: Path | None = None,
    base: Path | None = None,
    add: Sequence[str] = (),
    hold_out: Collection[Entry] = (),
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
    stop_after: int = 0,
    ranks: Ranks = Ranks(),  # noqa: B008
) -> TrainResult:
    """Train a GSR-GNN on labelled placements; `out` holds a valid model whenever the run ends.

    Args:
        data: folders that hold folders written by `gsr export --labels`.
        out: the run folder.
        config: settings; the defaults when not given.
        fold: hold the families of this fold out; none trains on everything (or goes on with a resumed run's fold).
        folds: the file that gives families their folds; else `folds.toml` in or beside the data.
        base: weights to begin with, whose model and statistics are kept; else new ones.
        add: further tasks for these weights: the heads of these are trained alone, on placements that have labels of
            them, and the fold is that of the weights when not given.
        hold_out: placements of `data` to hold out besides.
        resume: go on with the run in `out`.
        overwrite: start anew in an `out` that holds a run.
        quiet: show no progress.
        stop_after: stop after so many steps of this call; 0 goes to the end.
        ranks: this process among those of the run, `gsr_plugin.ranks.joined()`; only the first one writes.

    Raises:
        InputError: no data, a family without a fold, an `out` that exists, or a run that `resume` does not fit.
        DivergedError: a loss or gradient that is not finite; names the placement and the tensor.
        PeerLostError: another process of the run ended.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint is written.
    """
    config = config or RunConfig()
    started = time.monotonic()
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    checkpoint = read_checkpoint(out) if resume else None
    start = None if base is None else load_weights(base, device=str(pick_device(config.train.device)))
    if base is not None and start is not None:
        refuse_base(out, base)
        config = with_model_of(start, config, add=add)
        fold = start.card.fold if fold is None and add else fold
    if checkpoint is not None and fold is None:
        fold = json.loads(checkpoint.run.get("fold", "null"))
    train_set, held_out = read_split(
        find_designs(data), data, fold=fold, folds=folds, technology_out=config.data.technology_out
    )
    train_set, held_out = held_out_besides(train_set, held_out, hold_out)
    train_set = of_size(train_set, config)
    if ranks.leads:
        check_out(out, resume=resume, overwrite=overwrite)
    run = begin(out, config, train_set, held_out, fold, ranks, start, in_order(add))
    if checkpoint is not None:
        take_up(run, checkpoint)
    ranks.add_up_([torch.zeros(1)])  # nobody writes before all have read
    if ranks.leads:
        prepare_out(out, config, resume_at=run.step if resume else None)
    stopped = _loop(run, started, quiet=quiet or not ranks.leads, stop_after=stop_after)
    return TrainResult(
        out=out,
        steps=run.step,
        epochs=run.step // run.steps_per_epoch,
        loss=run.last_loss,
        num_train=len(run.train_set),
        num_held_out=len(held_out),
        num_parameters=sum(p.numel() for p in run.model.parameters()),
        seconds=run.seconds,
        stopped=stopped,
        held_out_pearson=run.held_out_pearson,
    )


def _loop(run: Run, started: float, *, quiet: bool, stop_after: int) -> str:
    """Steps until the end, the time limit, `stop_after` or Ctrl-C; the state is saved whatever ends it but an error."""
    settings, device = run.config.train, run.device
    total = settings.epochs * run.steps_per_epoch
    first, before, saved, stopped = run.step, run.seconds, started, "done"
    with (
        (run.out / LOG if run.ranks.leads else Path(os.devnull)).open("a", encoding="utf-8") as log,
        stop_signals() as interrupted,
        Progress(total, done=run.step, quiet=quiet) as progress,
    ):
        write_line(log, "resume" if first else "start", step=first, card=run.card.to_json())
        while run.step < total and stopped == "done":
            epoch, nth = divmod(run.step, run.steps_per_epoch)
            group = run.group(epoch, nth)
            rate = learning_rate(settings, run.step, total)
            found = _update(run, group, rate, device)
            run.step += 1
            run.losses.append(found["loss"])
            run.range_frac = max(run.range_frac, found["range_frac"])
            run.last_loss = fmean(run.losses)
            now = time.monotonic()
            run.seconds = before + now - started
            designs = [item.entry.name for item in group]
            write_line(log, "step", step=run.step, epoch=epoch, lr=rate, designs=designs, **found)
            progress.update(run.step, f"epoch {epoch + 1}/{settings.epochs}  loss {run.last_loss:.4f}")
            if run.step % run.steps_per_epoch == 0:
                told = {"loss": run.last_loss, "range_frac": run.range_frac, "seconds": run.seconds}
                write_line(log, "epoch", step=run.step, epoch=epoch, **told, **_score(run, epoch))
                run.losses, run.range_frac = [], 0.0
            late = settings.max_minutes and run.seconds >= 60 * settings.max_minutes
            wanted = (interrupted(), late, stop_after and run.step - first >= stop_after)
            flags = torch.tensor([float(bool(w)) for w in wanted])
            run.ranks.add_up_([flags])  # the processes stop after the same step
            stopped = next((name for name, flag in zip(STOPS, flags, strict=True) if flag), "done")
            if stopped == "done" and now - saved >= 60 * settings.checkpoint_minutes:
                run.save()
                saved = now
        run.save()
        write_line(log, "end", step=run.step, stopped=stopped, seconds=run.seconds)
    if stopped == "interrupted":
        raise KeyboardInterrupt
    return stopped


def _update(run: Run, group: Sequence[Step], rate: float, device: torch.device) -> dict[str, float]:
    """One step of Adam on the mean loss of a group of placements; returns the parts of the loss."""
    settings, parameters = run.config.train, [p for p in run.model.parameters() if p.requires_grad]
    run.optimizer.zero_grad(set_to_none=True)
    parts = torch.zeros(len(group), len(PARTS), dtype=torch.float64)
    for i in run.ranks.share([item.entry.num_gcells for item in group]):
        item = group[i]
        sample = run.load(item.entry)
        try:
            loss, found = placement_loss(run.model, run.normaliser, settings, sample, item, device)
        except (NotANumberError, RangeError) as e:
            raise DivergedError(f"step {run.step + 1}, {item.entry.name}: {e}") from e
        if not all(math.isfinite(value) for value in found.values()):
            bad = ", ".join(f"{name} = {value}" for name, value in found.items() if not math.isfinite(value))
            raise DivergedError(f"step {run.step + 1}, {item.entry.name}: {bad}\n  Lower train.lr or train.clip.")
        if loss.requires_grad:  # a head that is trained alone may have no label here
            (loss * (item.weight / len(group))).backward()  # type: ignore[no-untyped-call]
        found["range_frac"] = run.model.range_used_frac()
        parts[i] = torch.tensor([found[name] for name in PARTS], dtype=torch.float64)
        run.model.stack.free_memory()
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad  # no net or endpoint of the step has a label
    run.ranks.add_up_([p.grad for p in parameters if p.grad is not None])
    run.ranks.add_up_([parts])
    parts_of: dict[str, list[nn.Parameter]] = {}  # heads that must change nothing else are clipped apart
    for name, p in run.model.named_parameters():
        if p.requires_grad:
            parts_of.setdefault(next((head for head in APART if name.startswith(head)), ""), []).append(p)
    norms = [nn.utils.clip_grad_norm_(ps, settings.clip) for ps in parts_of.values()]
    if not all(bool(torch.isfinite(norm)) for norm in norms):
        graded = ((n, p.grad) for n, p in run.model.named_parameters() if p.grad is not None)
        bad = next(name for name, grad in graded if not bool(grad.isfinite().all()))
        names = ", ".join(item.entry.name for item in group)
        raise DivergedError(f'step {run.step + 1}, {names}: the gradient of "{bad}" is not finite\n  Lower train.lr.')
    for options in run.optimizer.param_groups:
        options["lr"] = rate * options["share"]
    run.optimizer.step()
    decay = min(settings.ema, (1 + run.step) / (10 + run.step))
    for name, parameter in run.model.named_parameters():
        if name in run.average:
            run.average[name].lerp_(parameter.detach(), 1 - decay)
    columns = dict(zip(PARTS, parts.T.tolist(), strict=True))
    mean = {name: fmean(values) for name, values in columns.items()}
    return mean | {"range_frac": max(columns["range_frac"]), "grad_norm": float(norms[0])}


def _score(run: Run, epoch: int) -> dict[str, float]:
    """Scores of the held-out placements, every `score_epochs` epochs; they choose nothing."""
    every = run.config.train.score_epochs
    if not every or (epoch + 1) % every or not run.held_out or not run.ranks.leads:
        return {}
    last = {name: p.detach().clone() for name, p in run.model.state_dict().items()}
    run.model.load_state_dict(run.state())
    run.model.eval()
    scored = []
    for entry in run.held_out:
        guess = predict_maps(run.model, run.normaliser, run.load(entry).graph)
        scored.append(score_entry(guess.congestion, entry, run.load))
    run.model.train()
    run.model.load_state_dict(last)
    summary = summarize(scored)
    headline = summary.headline if summary.num_headline else summary.small
    run.held_out_pearson = headline.pearson
    return {f"held_out_{name}": getattr(headline, name) for name in ("pearson", "spearman", "r2", "nrmse")}
