"""Runs of OpenROAD: labels, the closed loop, and where the pins of a library are reached."""

from pathlib import Path
from typing import Any

import click

from circuit_io.errors import InputError
from gsr_plugin.cli.program import (
    FILE,
    FOLDER,
    INTERRUPTED,
    OUT,
    ManyValues,
    Result,
    common_options,
    openroad_option,
    planner_option,
    status,
    weights_option,
)


@click.command()
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
@common_options
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
) -> Result:
    """Label many designs and variants of a BATCH file.

    Floorplan, place, route, and what training reads. What is done is not done again: the same command goes on after a
    kill. One failing job does not stop the others; exit code 1 when some failed.

    \b
    gsr label batch.toml --out labels --jobs 8
    gsr label batch.toml --out labels --router embedded
    gsr label batch.toml --out labels --ray
    gsr label batch.toml --out labels --jobs 50 --slurm array.sh && sbatch array.sh
    gsr train labels --out runs/all
    """
    if overwrite and slurm is None:
        raise InputError("is for --slurm", path="--overwrite", mend="Remove the folder, or run failed jobs by --retry.")
    if ray is not None and (slurm is not None or only is not None):
        raise InputError("is for a whole batch", path="--ray", mend="Leave --slurm and --job out.")
    if slurm is not None:
        if only is not None:
            raise InputError("is for a whole batch", path="--slurm", mend="Leave --job out.")
        from circuit_io.atomic import write_files
        from flow_hooks.labels.slurm import array_script

        script = array_script(batch, out, router=router, retry=retry, width=jobs or 1)
        write_files({slurm: script}, overwrite=overwrite)
        return Result({"script": slurm}, f"{slurm}: sbatch {slurm}")
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
    return Result(found, found.text(), exit_code=INTERRUPTED if is_cut else int(found.count(FAIL) > 0))


@click.command(cls=ManyValues)
@click.option(
    "--designs", type=FOLDER, multiple=True, required=True, metavar="DIR..",
    help="Folders with labels at any depth, beside the files of their technologies.",
)  # fmt: skip
@openroad_option
@click.option("--out", type=OUT, required=True, help="Folder to write, or to go on with.")
@click.option("--arms", default="a,b,g,p,q,c,d,e,t", show_default=True, help="Which to run, see docs/feedback.md.")
@click.option("--cases", multiple=True, metavar="PATTERN..", help="Only cases of such names, as in 'labels/gsr45/*'.")
@click.option("--runs", type=FOLDER, help="Runs 0, 1, ..: each case is predicted by the one that held its family out.")
@click.option("--fold", type=int, help="Only cases of the families of this fold.")
@click.option("--folds", type=FILE, help="Which family is in which fold; else folds.toml in or beside the designs.")
@weights_option
@click.option("--rounds", type=click.IntRange(1, 9), default=1, show_default=True, help="Most placements with a plan.")
@planner_option
@click.option("--min-overflow", type=click.FloatRange(min=0), default=100, show_default=True, help="Tracks of a case.")
@click.option("--limit-s", type=click.FloatRange(min=1), default=1800, show_default=True, help="Limit of each process.")
@click.option("--memory-mb", type=click.IntRange(min=64), default=8192, show_default=True, help="Limit of each arm.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="How many arms at a time.")
@click.option("--retry", is_flag=True, help="Run arms again that failed.")
@common_options
def loop(out: Path, jobs: int, retry: bool, overwrite: bool, quiet: bool, **options: Any) -> Result:  # noqa: ANN401
    """Close the loop on labelled layouts, and judge it.

    Place, predict, plan, place again; then the router judges every arm. What is done is not done again: the same
    command goes on after a kill. One failing arm does not stop the others; exit code 1 when some failed.

    \b
    gsr loop --designs demos/kit/labels --out loop
    gsr loop --designs data/labels data/labels_hard --runs runs --jobs 4 --out loop
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
    return Result(found.results, found.text(), exit_code=INTERRUPTED if is_cut else int(found.count(FAIL) > 0))


@click.command("access-points", cls=ManyValues)
@click.option("--lef", type=FILE, multiple=True, required=True, metavar="F..", help="LEF files, the technology first.")
@openroad_option
@click.option("--signal-layers", required=True, metavar="LOW-HIGH", help="Layers that the router may use.")
@click.option("--site", default="", help="Site of the rows; else the one that most macros name.")
@click.option("--tracks", type=FILE, help="Tcl that makes the tracks, as a platform has it; else make_tracks does.")
@click.option(
    "--pin-access-args", default="", metavar="WORDS", help="More words for pin_access, as your flow gives it."
)
@click.option("--threads", type=click.IntRange(min=1), help="Of pin_access; else as many as there are cores.")
@click.option("--out", type=OUT, required=True, help="Table to write.")
@common_options
def access_points(
    lef: tuple[Path, ...],
    openroad: Path,
    signal_layers: str,
    tracks: Path | None,
    out: Path,
    overwrite: bool,
    quiet: bool,
    **options: Any,  # noqa: ANN401
) -> Result:
    """Find where the router reaches the pins of a library.

    Runs pin_access on a design of its own, which holds every CORE macro in every orientation, once for a platform and
    before any design is routed. Give the table to export, or to the hooks as GSR_ACCESS_POINTS. Macros without access
    points are named.

    \b
    gsr access-points --lef tech.lef cells.lef --signal-layers met1-met5 \\
        --tracks make_tracks.tcl --out access_points.csv
    """
    from circuit_io.export_sources import parse_layer_range
    from flow_hooks.openroad.access_points import library_access_points

    with status("pin_access of the library", quiet=quiet):
        found = library_access_points(
            lef, out, openroad=openroad, signal_layers=parse_layer_range(signal_layers), tracks=tracks,
            overwrite=overwrite, **options,
        )  # fmt: skip
    return Result(found, found.text())
