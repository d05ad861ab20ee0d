"""Models: trained, tuned, scored, calibrated and shown."""

import math
from pathlib import Path
from typing import Any

import click

from circuit_io.errors import InputError
from gsr_plugin.cli.program import (
    FILE,
    FOLDER,
    OUT,
    Result,
    common_options,
    device_option,
    settings_option,
    views_option,
    weights_option,
)

ADDABLE = ("detour", "slack", "drc")


@click.command()
@click.argument("data", type=FOLDER, nargs=-1, required=True)
@click.option("--config", type=FILE, help="TOML file with [model], [train] and [data].")
@settings_option
@click.option("--fold", type=int, help="Hold the families of this fold out of training.")
@click.option("--folds", type=FILE, help="Which family is in which fold; else folds.toml in or beside DATA.")
@click.option("--add", multiple=True, type=click.Choice(ADDABLE), help="Teach weights a further task, nothing else.")
@click.option("--from", "base", type=OUT, help="With --add: the weights, a run folder, file or name; else the shipped.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, with its settings.")
@click.option("--out", type=OUT, required=True, help="Run folder.")
@common_options
def train(
    data: tuple[Path, ...],
    config: Path | None,
    sets: tuple[str, ...],
    fold: int | None,
    folds: Path | None,
    add: tuple[str, ...],
    base: Path | None,
    resume: bool,
    out: Path,
    overwrite: bool,
    quiet: bool,
) -> Result:
    """Train a GSR-GNN on the labelled designs below DATA.

    --add gives weights a head for a further task and trains it alone: what they predicted before stays the same to the
    bit. Designs without labels of that task are left out.

    Ctrl-C ends the run after the step under way with a checkpoint that --resume takes up bit for bit. torchrun starts
    several processes that share the placements of every step (train.placements_per_step).

    \b
    gsr train data/labels --config c.toml --fold 0 --out runs/f0
    gsr train data/labels --set train.epochs=100 --set model.layers=32 --out runs/all
    gsr train data/labels --resume --out runs/all
    gsr train data/routed --add drc --out runs/drc
    """
    from gsr_plugin.ranks import joined
    from gsr_plugin.shipped import find_weights
    from gsr_plugin.train import ADDED, run_config
    from gsr_plugin.train import train as run

    if base is not None and not add:
        raise InputError("is for --add", path="--from", mend="gsr finetune tunes weights on designs of yours.")
    with joined() as ranks:
        settings = run_config(out, config or (ADDED if add and not resume else None), sets, resume=resume)
        found = run(
            data, out, config=settings, fold=fold, folds=folds, base=find_weights(base) if add else None, add=add,
            resume=resume, overwrite=overwrite, quiet=quiet, ranks=ranks,
        )  # fmt: skip
    if not ranks.leads:
        click.get_current_context().exit()
    loss = "done before" if math.isnan(found.loss) else f"mean loss {found.loss:.4f}"
    text = f"{out}: {found.steps} steps, {found.epochs} epochs, {found.seconds:.0f} s, {loss}"
    return Result(found, text if found.stopped == "done" else f"{text}; stopped by {found.stopped}, --resume goes on")


@click.command()
@click.argument("data", type=FOLDER, nargs=-1, required=True)
@click.option("--from", "base", type=OUT, help="Weights to begin with: run folder, file, or the name of shipped ones.")
@click.option("--keep", type=FOLDER, multiple=True, metavar="DIR", help="Labelled designs, to see what it forgot.")
@click.option("--config", type=FILE, help="TOML file with [train] and [data]; else few steps at a low rate.")
@settings_option
@click.option("--resume", is_flag=True, help="Go on with what was begun in --out, with its settings.")
@click.option("--out", type=OUT, required=True, help="Run folder.")
@common_options
def finetune(data: tuple[Path, ...], out: Path, overwrite: bool, quiet: bool, **options: Any) -> Result:  # noqa: ANN401
    """Tune weights on the labelled designs below DATA.

    Each of three groups of families is held out in turn and scored before and after, to report what tuning gains; then
    the weights are tuned on all of DATA. --out holds them, finetune.md and finetune.json (docs/training.md).

    \b
    gsr finetune data/own --out runs/own
    gsr finetune data/own --from runs/all --keep data/labels --set train.epochs=20 --out runs/own
    gsr finetune data/own --resume --out runs/own
    """
    from gsr_plugin.finetune import finetune as run

    found = run(data, out, overwrite=overwrite, quiet=quiet, **options)
    return Result(found.to_json(), f"{out}: {found.run.steps} steps. {found.verdict()}")


@click.command()
@click.argument("data", type=FOLDER, nargs=-1, required=True)
@weights_option
@click.option("--fold", type=int, help="Score the families of this fold; else of the fold the model held out.")
@click.option("--folds", type=FILE, help="Which family is in which fold; else folds.toml in or beside DATA.")
@click.option("--all", "everything", is_flag=True, help="Score all designs, those of the training set too.")
@views_option
@device_option
@common_options
def evaluate(
    data: tuple[Path, ...],
    weights: Path | None,
    fold: int | None,
    folds: Path | None,
    everything: bool,
    views: int,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> Result:
    """Score a model on the labelled designs below DATA.

    Beside it stand RUDY and the nearest training cell.

    \b
    gsr evaluate data/labels --weights runs/f0
    gsr evaluate data/labels --weights runs/f0 --json scores.json
    """
    from gsr_plugin.evaluate import evaluate as run

    found = run(data, weights, fold=fold, folds=folds, everything=everything, views=views, device=device, quiet=quiet)
    return Result(found.to_json(), found.table())


@click.command()
@click.argument("run_folder", metavar="RUN", type=FOLDER)
@click.argument("data", type=FOLDER, nargs=-1, required=True)
@click.option("--runs", type=FOLDER, help="Runs 0, 1, .. of a cross-validation; else RUN tells of what it held out.")
@device_option
@common_options
def calibrate(
    run_folder: Path, data: tuple[Path, ...], runs: Path | None, device: str, overwrite: bool, quiet: bool
) -> Result:
    """Scale the sigma of RUN so that it holds on unseen families.

    Its probability of overflow is weighed there too. Both go into RUN's weights. They are fitted on the labelled
    designs below DATA, of families that the predicting run has not seen: those that RUN held out or, for a run on all
    data, those that each run of its cross-validation did.

    \b
    gsr calibrate runs/f0 data/labels
    gsr calibrate runs/all data/labels --runs runs
    """
    from gsr_plugin.calibration import calibrate as run

    folds = sorted((p for p in runs.iterdir() if p.name.isdigit()), key=lambda p: int(p.name)) if runs else []
    if runs and not folds:
        raise InputError("holds no runs 0, 1, ..", path=runs, mend="Give the folder of a cross-validation.")
    found = run(run_folder, data, runs=folds, device=device, overwrite=overwrite)
    text = (
        f"{run_folder}: sigma times {found.sigma_scale:.3f}; {found.level:.0%} intervals hold {found.coverage:.1%} "
        f"({found.least_coverage:.1%} to {found.most_coverage:.1%}) of {found.num_families} families left out in turn\n"
        f"log odds of overflow: {found.overflow_head:.2f} x the head's, {found.overflow_normal:.2f} x those of mean "
        f"and sigma, {found.overflow_offset:+.2f}; cross entropy {found.cross_entropy:.4f}, by the head alone "
        f"{found.cross_entropy_head:.4f}"
    )
    return Result(found, text)


@click.command()
@click.argument("action", type=click.Choice(["list", "verify", "show", "choose"]), default="list")
@click.argument("name", default="")
@common_options
def weights(action: str, name: str, overwrite: bool, quiet: bool) -> Result:
    """List, verify, show or choose the shipped models.

    show takes the name of a shipped model or the path of any weights; verify a name, or checks all their hashes; choose
    a task, and says which weights a command takes for it. list and verify end with exit code 1 where weights are not
    what their card says.

    \b
    gsr weights
    gsr weights show gsr-base
    gsr weights show runs/all
    gsr weights verify
    gsr weights choose congestion
    """
    from gsr_plugin.weights_card import do

    found = do(action, name)
    return Result(found.value, found.text, exit_code=0 if found.is_good else 1)
