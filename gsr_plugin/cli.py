"""The program `gsr`: each command is a thin shell over one library function, which is imported when it is called.

stdout carries the result alone, stderr the rest. Exit codes: 0 done; 1 done and a check failed; 2 bad usage or input;
3 an outside tool failed; 130 interrupted.
"""

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeVar

import click

from circuit_io.errors import GsrError, InputError

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
ANY = click.Path(path_type=Path, exists=True)
OUT = click.Path(path_type=Path)
INTERRUPTED = 130


class _Result(NamedTuple):
    """What a command found: for --json, for people, and its exit code."""

    value: Any
    text: str
    exit_code: int = 0


class _LogToStderr(logging.StreamHandler[TextIO]):
    """Writes to what sys.stderr is at the time: above a status line while there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


@contextmanager
def _status(text: str, *, quiet: bool) -> Iterator[None]:
    """A line on stderr that moves while the work is under way; nothing when `quiet` or not on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(f"{text} ...")):
        yield


class _Program(click.Group):
    """Turns what a user can mend into one clear message and an exit code; everything else is a fault of ours."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        try:
            return super().invoke(ctx)
        except GsrError as e:
            message, code = str(e), e.exit_code
        except KeyboardInterrupt:
            message, code = "interrupted", INTERRUPTED
        except OSError as e:
            if e.errno == errno.EPIPE:
                raise
            full = e.errno in (errno.ENOSPC, errno.EDQUOT)
            where = f"{e.filename}: " if e.filename else ""
            message = f"{where}the disk is full" if full else f"{where}{e.strerror or e}"
            code = InputError.exit_code
        click.echo(f"gsr: {message}", err=True)
        ctx.exit(code)


class _ManyValues(click.Command):
    """A command whose `multiple` options also take several values after one name: --lef a.lef b.lef."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        many = {name for p in self.params if isinstance(p, click.Option) and p.multiple for name in p.opts}
        out: list[str] = []
        current, taken = "", False
        for arg in args:
            if arg.startswith("-") and len(arg) > 1:
                current, taken = (arg if arg in many else ""), False
                out.append(arg)
                continue
            if current and taken:
                out.append(current)
            taken = True
            out.append(arg)
        return super().parse_args(ctx, out)


def _common(command: F) -> F:
    """--overwrite, --quiet and --json, and what they do; the wrapped command gives a `_Result`."""

    @click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
    @click.option("--quiet", is_flag=True, help="Show no progress and no remarks, only warnings.")
    @click.option(
        "--json", "json_path", is_flag=False, flag_value="-", metavar="[PATH]",
        help="Write the result as JSON to PATH, or to stdout when no PATH follows (put it last then).",
    )  # fmt: skip
    @wraps(command)
    def run(*args: Any, overwrite: bool, quiet: bool, json_path: str | None, **options: Any) -> None:  # noqa: ANN401
        from gsr_plugin.jsonable import to_json_line

        folders = click.get_current_context().obj  # of a warm server, see gsr_plugin.served_command
        if folders is not None:
            folders.check(options | {"json_path": json_path})
        logging.basicConfig(
            format="%(levelname)s: %(message)s",
            level=logging.WARNING if quiet else logging.INFO,
            handlers=[_LogToStderr()],
        )
        if json_path not in (None, "-") and Path(str(json_path)).exists() and not overwrite:
            raise InputError("exists already", path=str(json_path), mend="Pass --overwrite to replace it.")
        found: _Result = command(*args, overwrite=overwrite, quiet=quiet, **options)
        if json_path == "-":
            click.echo(to_json_line(found.value))
        elif json_path is not None:
            from circuit_io.atomic import write_files

            write_files({Path(json_path): to_json_line(found.value) + "\n"}, overwrite=overwrite)
        if json_path != "-" and found.text:
            click.echo(found.text)
        if found.exit_code:
            click.get_current_context().exit(found.exit_code)

    return run  # type: ignore[return-value]


def _device(command: F) -> F:
    return click.option("--device", default="auto", envvar="GSR_DEVICE", show_default=True, help="auto, cpu or cuda.")(
        command
    )


def _torch_settings() -> None:
    """What torch reads when it starts, unless the user has chosen: see docs/engine.md.

    Large pages for CPU memory are 3 to 6 times faster above 32 MB a tensor; threads that spin while they wait slow each
    other down by factors on a busy machine.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gsr-plugin", prog_name="gsr")
def main() -> None:
    """Predict routing congestion of a placed design by a deep graph network, inside OpenROAD flows and outside.

    \b
    gsr export --lef tech.lef cells.lef --def placed.def \\
        --signal-layers met1-met5 --layer-adjustment 0.3 --out design
    gsr predict design --out prediction
    gsr report prediction --out report.html
    """
    _torch_settings()


def _size(manifest: dict[str, Any]) -> str:
    """A design's name and size, from its manifest."""
    counts, grid = manifest["counts"], manifest["grid"]
    return f"{manifest['design']}, {counts['insts']} insts, {counts['nets']} nets, {grid['nx']} x {grid['ny']} gcells"


@main.command(cls=_ManyValues)
@click.option("--lef", type=FILE, multiple=True, metavar="F..", help="LEF files, the technology first.")
@click.option("--def", "def_", type=FILE, help="The placed design.")
@click.option("--lib", type=FILE, multiple=True, metavar="F..", help="Liberty files.")
@click.option("--verilog", type=FILE, help="The netlist, to check the DEF against.")
@click.option("--rtl", type=FILE, multiple=True, metavar="F..", help="RTL, so that hot spots are laid to its modules.")
@click.option("--rtl-include", type=FOLDER, multiple=True, metavar="DIR..", help="Where `include of the RTL looks.")
@click.option("--rtl-define", multiple=True, metavar="NAME[=TEXT]..", help="Macros of the RTL, beside SYNTHESIS.")
@click.option("--spef", type=FILE, help="Parasitics after routing, for the table of nets; the model never sees them.")
@click.option("--sdc", type=FILE, help="Constraints: clocks, their periods and nets.")
@click.option("--sdc-variable", multiple=True, metavar="NAME=VALUE..", help="Tcl variables that the SDC reads.")
@click.option("--signal-layers", metavar="LOW-HIGH", help="Layers that the router may use, as in met1-met5.")
@click.option("--layer-adjustment", metavar="A|LAYER=A,..", help="Share of the tracks that the router leaves free.")
@click.option("--gcell-um", type=float, help="Side of a gcell; else what OpenROAD's router takes.")
@click.option("--family", help="Designs that share RTL have the same family; else the design's name.")
@click.option("--technology", help="Name of the technology.")
@click.option("--variant", help="Name of this placement among others of the design.")
@click.option("--stage", help="What has run before: place, cts, ...")
@click.option("--labels", type=FOLDER, help="Router results; with done.json, --def and the settings come from there.")
@click.option("--hook", type=FILE, help="hook.json of gsr_export_design, which names all files and settings.")
@click.option(
    "--router-runs",
    type=click.IntRange(min=0),
    metavar="N",
    help="Runs of the embedded router for its features, 0: none; else 8, fewer where they take long.",
)
@click.option("--parquet", is_flag=True, help="Write tables of pins, gcells and masters too, beside insts and nets.")
@click.option("--out", type=OUT, required=True, help="Folder to write.")
@_common
def export(out: Path, parquet: bool, overwrite: bool, quiet: bool, **options: Any) -> _Result:  # noqa: ANN401
    """Read a placed design and write its graph: the input of predict, train and evaluate.

    \b
    gsr export --lef tech.lef cells.lef --def placed.def \\
        --signal-layers met1-met5 --layer-adjustment 0.3 --out design
    gsr export --lef tech.lef cells.lef --lib cells.lib --def placed.def \\
        --signal-layers met1-met5 --layer-adjustment met1=0.8,met2=0.4 --out design
    gsr export --hook gsr/hook.json --out design
    gsr export --lef tech.lef cells.lef --labels labels/aes/v0 --out data/aes_v0
    """
    with _status(f"exporting to {out}", quiet=quiet):
        from circuit_io.export import export_design
        from circuit_io.export_sources import sources_of_options

        manifest = export_design(sources_of_options(**options), out, parquet=parquet, overwrite=overwrite)
    return _Result(manifest, f"{out}: {_size(manifest)}")


@main.command("import")
@click.argument("format_", metavar="FORMAT", type=click.Choice(["circuitops", "circuitnet"]))
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--name", help="circuitnet: the layout, where DIR holds several.")
@click.option("--gcell-um", type=float, help="Side of a gcell; circuitnet: else 2.25.")
@click.option("--dbu-per-um", type=click.IntRange(min=1), help="circuitops: unit of coordinates, where not to be told.")
@click.option("--family", help="Designs that share RTL have the same family; else as the names say.")
@click.option("--technology", help="Name of the technology.")
@click.option("--variant", help="Name of this placement among others of the design.")
@click.option("--out", type=OUT, required=True, help="Folder to write.")
@_common
def import_(format_: str, folder: Path, out: Path, overwrite: bool, quiet: bool, **options: Any) -> _Result:  # noqa: ANN401
    """Make a design from DIR, a folder of another data set: FORMAT is circuitops or circuitnet.

    What the data set does not tell is masked (docs/interchange.md).

    \b
    gsr import circuitops IRs/nangate45/gcd --gcell-um 2.1 --out design
    gsr import circuitnet build_graph_demo --name 7157-zero-riscy-a-1-c2-u0.8-m1-p1-f0 --out data/7157
    """
    with _status(f"importing to {out}", quiet=quiet):
        from circuit_io.importers import import_design

        manifest = import_design(format_, folder, out, overwrite=overwrite, **options)
    return _Result(manifest, f"{out}: {_size(manifest)}")


@main.command()
@click.argument("data", type=FOLDER, nargs=-1, required=True)
@click.option("--config", type=FILE, help="TOML file with [model], [train] and [data].")
@click.option("--set", "sets", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one setting.")
@click.option("--fold", type=int, help="Hold the families of this fold out of training.")
@click.option("--folds", type=FILE, help="Which family is in which fold; else folds.toml in or beside DATA.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, with its settings.")
@click.option("--out", type=OUT, required=True, help="Run folder.")
@_common
def train(
    data: tuple[Path, ...],
    config: Path | None,
    sets: tuple[str, ...],
    fold: int | None,
    folds: Path | None,
    resume: bool,
    out: Path,
    overwrite: bool,
    quiet: bool,
) -> _Result:
    """Train a GSR-GNN on the labelled designs below DATA.

    Ctrl-C ends the run after the step under way with a checkpoint that --resume takes up bit for bit. torchrun starts
    several processes that share the placements of every step (train.placements_per_step).

    \b
    gsr train data/labels --config c.toml --fold 0 --out runs/f0
    gsr train data/labels --set train.epochs=100 --set model.layers=32 --out runs/all
    gsr train data/labels --resume --out runs/all
    """
    from gsr_plugin.ranks import joined
    from gsr_plugin.train import run_config
    from gsr_plugin.train import train as run

    with joined() as ranks:
        settings = run_config(out, config, sets, resume=resume)
        found = run(
            data, out, config=settings, fold=fold, folds=folds, resume=resume, overwrite=overwrite, quiet=quiet,
            ranks=ranks,
        )  # fmt: skip
    if not ranks.leads:
        click.get_current_context().exit()
    text = f"{out}: {found.steps} steps, {found.epochs} epochs, {found.seconds:.0f} s, mean loss {found.loss:.4f}"
    return _Result(found, text if found.stopped == "done" else f"{text}; stopped by {found.stopped}, --resume goes on")


@main.command()
@click.argument("data", type=FOLDER, nargs=-1, required=True)
@click.option("--from", "base", type=OUT, help="Weights to begin with: run folder, file, or the name of shipped ones.")
@click.option("--keep", type=FOLDER, multiple=True, metavar="DIR", help="Labelled designs, to see what it forgot.")
@click.option("--config", type=FILE, help="TOML file with [train] and [data]; else few steps at a low rate.")
@click.option("--set", "sets", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one setting.")
@click.option("--resume", is_flag=True, help="Go on with what was begun in --out, with its settings.")
@click.option("--out", type=OUT, required=True, help="Run folder.")
@_common
def finetune(data: tuple[Path, ...], out: Path, overwrite: bool, quiet: bool, **options: Any) -> _Result:  # noqa: ANN401
    """Tune weights on the labelled designs below DATA, and report what that gained on designs held out.

    Each of three groups of families is held out in turn and scored before and after; then the weights are tuned on all
    of DATA. --out holds them, finetune.md and finetune.json (docs/training.md).

    \b
    gsr finetune data/own --out runs/own
    gsr finetune data/own --from runs/all --keep data/labels --set train.epochs=20 --out runs/own
    gsr finetune data/own --resume --out runs/own
    """
    from gsr_plugin.finetune import finetune as run

    found = run(data, out, overwrite=overwrite, quiet=quiet, **options)
    return _Result(found.to_json(), f"{out}: {found.run.steps} steps. {found.verdict()}")


@main.command()
@click.argument("data", type=FOLDER, nargs=-1, required=True)
@click.option("--weights", type=OUT, envvar="GSR_MODEL", help="Run folder, weights, or the name of shipped ones.")
@click.option("--fold", type=int, help="Score the families of this fold; else of the fold the model held out.")
@click.option("--folds", type=FILE, help="Which family is in which fold; else folds.toml in or beside DATA.")
@click.option("--all", "everything", is_flag=True, help="Score all designs, those of the training set too.")
@click.option("--views", type=int, default=1, show_default=True, help="Mirrored and turned views to average, 1 to 8.")
@_device
@_common
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
) -> _Result:
    """Score a model on the labelled designs below DATA, beside RUDY and the nearest training cell.

    \b
    gsr evaluate data/labels --weights runs/f0
    gsr evaluate data/labels --weights runs/f0 --json scores.json
    """
    from gsr_plugin.evaluate import evaluate as run

    found = run(data, weights, fold=fold, folds=folds, everything=everything, views=views, device=device, quiet=quiet)
    return _Result(found.to_json(), found.table())


@main.command()
@click.argument("run_folder", metavar="RUN", type=FOLDER)
@click.argument("data", type=FOLDER, nargs=-1, required=True)
@click.option("--runs", type=FOLDER, help="Runs 0, 1, .. of a cross-validation; else RUN tells of what it held out.")
@_device
@_common
def calibrate(
    run_folder: Path, data: tuple[Path, ...], runs: Path | None, device: str, overwrite: bool, quiet: bool
) -> _Result:
    """Make the sigma of RUN's predictions hold on families never seen, by errors on the labelled designs below DATA.

    The factor goes into RUN's weights. It is taken from families that the predicting run has not seen: those that RUN
    held out or, for a run on all data, those that each run of its cross-validation did.

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
        f"({found.least_coverage:.1%} to {found.most_coverage:.1%}) of {found.num_families} families left out in turn"
    )
    return _Result(found, text)


@main.command()
@click.argument("design", type=FOLDER)
@click.option("--out", type=OUT, required=True, help="Folder to write.")
@click.option("--weights", type=OUT, envvar="GSR_MODEL", help="Run folder, weights, or the name of shipped ones.")
@click.option("--views", type=int, default=1, show_default=True, help="Mirrored and turned views to average, 1 to 8.")
@click.option("--tile-gcells", type=click.IntRange(min=0), default=0, help="Largest side of a tile; 0: no tiles.")
@click.option("--halo", type=click.IntRange(min=1), default=8, show_default=True, help="Gcells seen around a tile.")
@click.option("--run-id", default="", help="Name of this run; else made from the inputs.")
@_device
@_common
def predict(
    design: Path,
    out: Path,
    overwrite: bool,
    quiet: bool,
    **options: Any,  # noqa: ANN401
) -> _Result:
    """Predict congestion for a DESIGN that gsr export wrote.

    A design that exceeds the memory is predicted by tiles, nearly as it would be whole (docs/prediction.md).

    \b
    gsr predict design --out prediction
    gsr predict design --weights runs/all --views 8 --out prediction
    gsr predict design --tile-gcells 256 --out prediction
    """
    with _status(f"predicting {design}", quiet=quiet):
        from gsr_plugin.predict import predict as run

        manifest = run(design, out, overwrite=overwrite, **options)
    return _Result(manifest, f"{out}: prediction of {manifest['design']}")


@main.command()
@click.argument("design", type=FOLDER)
@click.option("--out", type=OUT, required=True, help="Folder to write.")
@click.option("--runs", type=int, default=8, show_default=True, help="Runs to average, each with its own order.")
@click.option("--seed", type=int, default=0, show_default=True, help="Number of the first run.")
@_common
def route(design: Path, out: Path, runs: int, seed: int, overwrite: bool, quiet: bool) -> _Result:
    """Route a DESIGN that gsr export wrote with the embedded router: maps in the form of a prediction.

    Its maps are approximate (docs/results.md), and its manifest says so.

    \b
    gsr route design --out routed
    gsr route design --runs 1 --out routed
    """
    with _status(f"routing {design}", quiet=quiet):
        from circuit_io.router_prediction import route_export

        manifest = route_export(design, out, runs=runs, seed=seed, overwrite=overwrite)
    tracks = manifest["model"]["overflow_tracks"]
    mean = sum(tracks) / len(tracks)
    return _Result(manifest, f"{out}: {manifest['design']} routed {runs} times, {mean:.1f} tracks of overflow")


@main.command()
@click.argument("batch", type=FILE)
@click.option("--out", type=OUT, required=True, help="Folder to write, or to go on with.")
@click.option(
    "--router", type=click.Choice(["openroad", "embedded"]), default="openroad", show_default=True,
    help="embedded: approximate labels of placed DEFs, where no OpenROAD is installed.",
)  # fmt: skip
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="How many to run at a time; one, with --ray as the cluster has room.",
)
@click.option("--retry", is_flag=True, help="Run jobs again that failed.")
@click.option(
    "--ray", is_flag=False, flag_value="auto", metavar="[ADDRESS]",
    help="Run on a Ray cluster: the one at HOST:PORT, else that of this machine or of RAY_ADDRESS.",
)  # fmt: skip
@click.option("--job", "only", type=int, help="Run this one job alone, as a task of an array.")
@click.option("--slurm", type=OUT, metavar="FILE", help="Write a Slurm array of the jobs instead, --jobs at a time.")
@_common
def label(
    batch: Path,
    out: Path,
    router: str,
    jobs: int | None,
    retry: bool,
    ray: str | None,
    only: int | None,
    slurm: Path | None,
    overwrite: bool,
    quiet: bool,
) -> _Result:
    """Label many designs and variants of a BATCH file: floorplan, place, route, and what training reads.

    What is done is not done again: the same command goes on after a kill. One failing job does not stop the others;
    exit code 1 when some failed.

    \b
    gsr label batch.toml --out labels --jobs 8
    gsr label batch.toml --out labels --router embedded
    gsr label batch.toml --out labels --ray
    gsr label batch.toml --out labels --jobs 50 --slurm array.sh && sbatch array.sh
    gsr train labels --out runs/all
    """
    if ray is not None and (slurm is not None or only is not None):
        raise InputError("is for a whole batch", path="--ray", mend="Leave --slurm and --job out.")
    if slurm is not None:
        from circuit_io.atomic import write_files
        from flow_hooks.labels.slurm import array_script

        script = array_script(batch, out, router=router, width=jobs or 1)
        write_files({slurm: script}, overwrite=overwrite)
        return _Result({"script": slurm}, f"{slurm}: sbatch {slurm}")
    from flow_hooks.jobs.folders import FAIL, PENDING
    from flow_hooks.labels.labeler import label as run
    from flow_hooks.labels.labeler import plan_batch
    from gsr_plugin.progress import Progress, stop_signals

    plan = plan_batch(batch, router=router)
    with stop_signals() as should_stop, Progress(len(plan.jobs), quiet=quiet, what="label") as progress:
        found = run(
            plan, out, jobs=jobs, only=only, retry=retry, ray=ray or "", on_end=progress.update, should_stop=should_stop
        )
        is_cut = should_stop() and found.count(PENDING) > 0
    return _Result(found, found.text(), exit_code=INTERRUPTED if is_cut else int(found.count(FAIL) > 0))


@main.command()
@click.argument("pred", type=FOLDER)
@click.option("--out", type=OUT, required=True, help="The feedback.tsv to write; the plan as JSON goes beside it.")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting of the planner (docs/prediction.md)."
)
@click.option("--previous", type=FILE, help="feedback.tsv of an earlier round, whose blockages are kept.")
@_common
def feedback(
    pred: Path, out: Path, sets: tuple[str, ...], previous: Path | None, overwrite: bool, quiet: bool
) -> _Result:
    """Plan what placer and router should do about a prediction PRED.

    \b
    gsr feedback prediction --out feedback.tsv
    gsr feedback prediction --set threshold=0.9 --out feedback.tsv
    """
    with _status(f"planning for {pred}", quiet=quiet):
        from flow_hooks.feedback.plan_prediction import plan_prediction

        plan = plan_prediction(pred, out, sets=sets, previous=previous, overwrite=overwrite)
    return _Result(plan, "\n".join([f"{out}: {len(plan.actions)} actions. {plan.verdict}", *plan.advice]))


@main.command()
@click.argument("pred", type=FOLDER)
@click.option("--out", type=OUT, required=True, help="The HTML file; Markdown and PNGs go beside it.")
@click.option("--feedback", type=FILE, help="The plan to show; else what the default settings plan.")
@click.option(
    "--record", type=FILE, help="gsr_feedback.json: what became of that plan; else the one beside it, if any."
)
@click.option(
    "--guides", type=FILE, help="Route guides of this placement (write_guides), to see which nets were named."
)
@click.option("--drc", type=FILE, help="DRC report of its detailed route (-output_drc), to see which hot spots held.")
@_common
def report(
    pred: Path,
    out: Path,
    feedback: Path | None,
    record: Path | None,
    guides: Path | None,
    drc: Path | None,
    overwrite: bool,
    quiet: bool,
) -> _Result:
    """Show a prediction PRED as one HTML page to work with, the same as Markdown, and its maps as PNG.

    \b
    gsr report prediction --out report.html
    gsr report prediction --feedback feedback.tsv --guides route.guide --out report.html
    """
    with _status(f"reporting on {pred}", quiet=quiet):
        from gsr_plugin.report import report as run

        files = run(pred, out, feedback=feedback, record=record, guides=guides, drc=drc, overwrite=overwrite)
    return _Result({"files": files}, str(out))


@main.command()
@click.argument("paths", type=ANY, nargs=-1, required=True, metavar="PATH..")
@_common
def check(paths: tuple[Path, ...], overwrite: bool, quiet: bool) -> _Result:
    """Check folders and files: exports, predictions, runs, weights, plans, settings, and all files that gsr reads.

    Files are LEF, DEF, Liberty, Verilog, SPEF and SDC. A folder of such folders is searched. Exit code 1 when
    anything is wrong.

    \b
    gsr check data/labels runs/f0 feedback.tsv
    """
    from gsr_plugin.check import check as run

    found = run(paths)
    bad = sum(not c.is_good for c in found)
    lines = [f"{c.path}: {c.kind}, {c.text}" if c.is_good else f"BAD {c.text}" for c in found]
    lines.append(f"{len(found)} checked, {bad} bad")
    return _Result({"checked": found, "num_bad": bad}, "\n".join(lines), exit_code=1 if bad else 0)


@main.command()
@click.argument("action", type=click.Choice(["list", "verify", "show", "choose"]), default="list")
@click.argument("name", default="")
@_common
def weights(action: str, name: str, overwrite: bool, quiet: bool) -> _Result:
    """Shipped models: list them, verify their hashes, show a card, or choose by task.

    show takes the name of a shipped model or the path of any weights; verify a name, or checks all; choose a task, and
    says which weights a command takes for it. list and verify end with exit code 1 where weights are not what their
    card says.

    \b
    gsr weights
    gsr weights show gsr-base
    gsr weights show runs/all
    gsr weights verify
    gsr weights choose congestion
    """
    from gsr_plugin.weights_card import do

    found = do(action, name)
    return _Result(found.value, found.text, exit_code=0 if found.is_good else 1)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS]..")
@click.option("--quick", is_flag=True, help="A short form, to see that it runs.")
@_common
def bench(name: str, arguments: tuple[str, ...], quick: bool, overwrite: bool, quiet: bool) -> _Result:
    """Run the measurement NAME, a file in bench/ of a checkout, with its own ARGUMENTS.

    \b
    gsr bench designs DATA --out out/designs --quick
    """
    from gsr_plugin.bench import run_bench

    to_stdout = click.get_current_context().params["json_path"] == "-"
    with redirect_stdout(sys.stderr if to_stdout else sys.stdout):
        code = run_bench(name, [*arguments, *(["--quick"] if quick else [])])
    return _Result({"bench": name, "exit_code": code}, "", code)


@main.command(cls=_ManyValues)
@click.option(
    "--designs", type=FOLDER, multiple=True, required=True, metavar="DIR..",
    help="Folders with labels at any depth, beside the files of their technologies.",
)  # fmt: skip
@click.option("--openroad", type=FILE, envvar="GSR_OPENROAD", required=True, help="The binary to place and route with.")
@click.option("--out", type=OUT, required=True, help="Folder to write, or to go on with.")
@click.option("--arms", default="a,b,g,c,d,e,t", show_default=True, help="Which to run, see docs/feedback.md.")
@click.option("--cases", multiple=True, metavar="PATTERN..", help="Only cases of such names, as in 'labels/gsr45/*'.")
@click.option("--runs", type=FOLDER, help="Runs 0, 1, ..: each case is predicted by the one that held its family out.")
@click.option("--fold", type=int, help="Only cases of the families of this fold.")
@click.option("--folds", type=FILE, help="Which family is in which fold; else folds.toml in or beside the designs.")
@click.option("--weights", type=OUT, envvar="GSR_MODEL", help="Run folder, weights, or the name of shipped ones.")
@click.option("--rounds", type=click.IntRange(1, 9), default=1, show_default=True, help="Most placements with a plan.")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting of the planner (docs/prediction.md)."
)
@click.option("--min-overflow", type=click.FloatRange(min=0), default=100, show_default=True, help="Tracks of a case.")
@click.option("--limit-s", type=click.FloatRange(min=1), default=1800, show_default=True, help="Limit of each process.")
@click.option("--memory-mb", type=click.IntRange(min=64), default=8192, show_default=True, help="Limit of each arm.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="How many arms at a time.")
@click.option("--retry", is_flag=True, help="Run arms again that failed.")
@_common
def loop(out: Path, jobs: int, retry: bool, overwrite: bool, quiet: bool, **options: Any) -> _Result:  # noqa: ANN401
    """Close the loop on labelled layouts: place, predict, plan, place again; then the router judges every arm.

    What is done is not done again: the same command goes on after a kill. One failing arm does not stop the others;
    exit code 1 when some failed.

    \b
    gsr loop --designs demos/kit/labels --openroad openroad --out loop
    gsr loop --designs data/labels data/labels_hard --runs runs --jobs 4 --openroad openroad --out loop
    """
    from flow_hooks.jobs.folders import FAIL, PENDING
    from flow_hooks.loop.runner import run_loop
    from gsr_plugin.loop import plan_closed_loop
    from gsr_plugin.progress import Progress, stop_signals

    plan = plan_closed_loop(**options)
    total = len(plan.cases) * len(plan.arms)
    with stop_signals() as should_stop, Progress(total, quiet=quiet, what="loop") as progress:
        found = run_loop(plan, out, jobs=jobs, retry=retry, on_end=progress.update, should_stop=should_stop)
        is_cut = should_stop() and found.count(PENDING) > 0
    return _Result(found.results, found.text(), exit_code=INTERRUPTED if is_cut else int(found.count(FAIL) > 0))


@main.command()
@click.option("--path", "what", flag_value="path", default="path", help="The folder with gsr.tcl and private.mk.")
@click.option("--mk", "what", flag_value="mk", help="The makefile to include when you have a private.mk of your own.")
@_common
def hooks(what: str, overwrite: bool, quiet: bool) -> _Result:
    """Say where the Tcl for OpenROAD and OpenROAD-flow-scripts lies.

    \b
    export PRIVATE_DIR=$(gsr hooks --path)      # attaches all hooks of OpenROAD-flow-scripts
    """
    from flow_hooks import TCL

    found = {"path": TCL, "mk": TCL / "private.mk", "tcl": TCL / "gsr.tcl"}
    return _Result(found, str(found[what]))


@main.command()
@click.option("--hook", type=FILE, required=True, help="hook.json of gsr_export_design.")
@click.option("--out", type=OUT, required=True, help="Folder of the step; earlier results in it are replaced.")
@click.option(
    "--mode", type=click.Choice(["observe", "advise", "apply", "gate"]), default="observe", show_default=True,
    help="advise and apply also plan feedback.",
)  # fmt: skip
@click.option("--weights", type=OUT, help="Run folder, weights, or the name of shipped ones.")
@click.option("--log-dir", type=OUT, help="The flow's LOG_DIR, where the metrics go.")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting of the planner (docs/prediction.md)."
)
@click.option("--previous", type=FILE, help="The plan that led to this placement, whose blockages are kept.")
@_device
@_common
def flow(
    hook: Path,
    out: Path,
    mode: str,
    weights: Path | None,
    log_dir: Path | None,
    sets: tuple[str, ...],
    previous: Path | None,
    device: str,
    overwrite: bool,
    quiet: bool,
) -> _Result:
    """Do all that a flow hook needs in one call: export, predict, plan, annotate, report.

    \b
    gsr flow --hook gsr/hook.json --out gsr --mode advise
    """
    from gsr_plugin.flow import run_flow

    found = run_flow(
        hook, out, mode=mode, weights=weights, device=device, log_dir=log_dir, sets=sets, previous=previous
    )
    return _Result(found, f"{out}: {found.num_actions} actions, run {found.run_id}")


@main.command(cls=_ManyValues)
@click.option(
    "--address", type=OUT, default="gsr-server.tsv", show_default=True, envvar="GSR_SERVER",
    help="File to write for the clients: where the server is, and its token.",
)  # fmt: skip
@click.option(
    "--root", type=OUT, multiple=True, metavar="DIR..", help="Where requests may write; else the folder here."
)
@click.option("--read", type=OUT, multiple=True, metavar="DIR..", help="Where requests may read besides.")
@click.option("--pid", type=click.IntRange(min=1), help="End with this process.")
@click.option(
    "--idle-s", type=click.FloatRange(min=0), default=900, show_default=True, help="End after so long a rest."
)
@_common
def serve(
    address: Path,
    root: tuple[Path, ...],
    read: tuple[Path, ...],
    pid: int | None,
    idle_s: float,
    overwrite: bool,
    quiet: bool,
) -> _Result:
    """Do flow, export, predict and feedback for other processes, which then need not load anything.

    They ask this server when GSR_SERVER names its address file, and do the work themselves when it cannot be reached.

    \b
    gsr serve --address gsr-server.tsv --root objects logs --read platforms designs &
    export GSR_SERVER=$PWD/gsr-server.tsv
    """
    from gsr_plugin.served_command import serve as run

    found = run(address, root=root or [Path.cwd()], read=read, pid=pid, idle_s=idle_s)
    return _Result(found, f"{address}: {found['num_answers']} requests done, {found['reason']}")


@main.command()
@_common
def doctor(overwrite: bool, quiet: bool) -> _Result:
    """Look for all that a flow needs: openroad and its commands, ORFS and its hooks, Python, torch, device, model.

    Each miss says what to do about it. Exit code 1 when something needed is missing.

    \b
    GSR_OPENROAD=tools/install/OpenROAD/bin/openroad FLOW_HOME=flow gsr doctor
    """
    with _status("looking", quiet=quiet):
        from gsr_plugin.doctor import MISS, table
        from gsr_plugin.doctor import doctor as run

        checks = run()
    missing = sum(c.status == MISS for c in checks)
    return _Result({"checks": checks, "num_missing": missing}, table(checks), exit_code=1 if missing else 0)


@main.command()
@click.option("--openroad", type=FILE, help="The binary; else GSR_OPENROAD, OPENROAD_EXE, or openroad on PATH.")
@click.option("--out", type=OUT, help="File to write the report to, as well as to stdout.")
@click.option("--claim", "only", multiple=True, metavar="NAME", help="Try this claim alone; may be repeated.")
@click.option("--keep", type=OUT, metavar="DIR", help="Folder for all that the claims write; else it is removed.")
@click.option(
    "--timeout-s", type=click.FloatRange(min=1), default=600, show_default=True, help="What one claim may take."
)
@_common
def conformance(
    openroad: Path | None,
    out: Path | None,
    only: tuple[str, ...],
    keep: Path | None,
    timeout_s: float,
    overwrite: bool,
    quiet: bool,
) -> _Result:
    """Try all that gsr relies on in an OpenROAD on a small design: each claim passes, fails, or is absent there.

    The report is made to be attached to a bug report. What a run should give is in docs/conformance.md. Exit code 1
    when a claim failed.

    \b
    gsr conformance --openroad tools/install/OpenROAD/bin/openroad --out conformance.txt
    """
    from circuit_io.atomic import write_files
    from flow_hooks.openroad.binary import find_openroad
    from flow_hooks.openroad.conformance import FAIL, report
    from flow_hooks.openroad.conformance import conformance as run

    if openroad is None:
        named = find_openroad()
        if named is None:
            raise InputError("no openroad was found", path="--openroad", mend="Name the binary, or set GSR_OPENROAD.")
        openroad = named[0]
    if out is not None and out.exists() and not overwrite:
        raise InputError("exists already", path=out, mend="Pass --overwrite to replace it.")
    with _status("trying claims", quiet=quiet):
        found = run(openroad, only=only, timeout_s=timeout_s, keep=keep)
    text = report(found)
    if out is not None:
        write_files({out: text + "\n"}, overwrite=overwrite)
    counts = {f"num_{status}": found.count(status) for status in ("pass", "fail", "absent")}
    value = {"openroad": found.tool.version, "tcl": found.tool.tcl, "claims": found.outcomes, **counts}
    return _Result(value, text, exit_code=1 if found.count(FAIL) else 0)
