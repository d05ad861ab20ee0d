"""Predictions: made by a model or the embedded router, planned for and shown."""

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
    loading,
    planner_option,
    status,
    views_option,
    weights_option,
)


@click.command()
@click.argument("design", type=FOLDER)
@click.option("--out", type=OUT, required=True, help="Folder to write.")
@weights_option
@views_option
@click.option("--tile-gcells", type=click.IntRange(min=0), default=0, help="Largest side of a tile; 0: no tiles.")
@click.option("--halo", type=click.IntRange(min=1), help="Gcells seen around a tile; else 8.")
@click.option("--run-id", default="", help="Name of this run; else made from the inputs.")
@device_option
@common_options
def predict(
    design: Path,
    out: Path,
    overwrite: bool,
    quiet: bool,
    **options: Any,  # noqa: ANN401
) -> Result:
    """Predict congestion for a DESIGN that gsr export wrote.

    Whole, unless --tile-gcells asks for tiles: for designs that exceed the memory, nearly as they would be whole
    (docs/prediction.md).

    \b
    gsr predict design --out prediction
    gsr predict design --weights runs/all --views 8 --out prediction
    gsr predict design --tile-gcells 256 --out prediction
    """
    if options["halo"] is None:
        del options["halo"]
    elif not options["tile_gcells"]:
        raise InputError("is for tiles", path="--halo", mend="Give --tile-gcells too.")
    with status(f"predicting {design}", quiet=quiet):
        with loading():
            from gsr_plugin.predict import predict as run

        manifest = run(design, out, overwrite=overwrite, **options)
    return Result(manifest, f"{out}: prediction of {manifest['design']}")


@click.command()
@click.argument("design", type=FOLDER)
@click.option("--out", type=OUT, required=True, help="Folder to write.")
@click.option("--runs", type=int, default=8, show_default=True, help="Runs to average, each with its own order.")
@click.option("--seed", type=int, default=0, show_default=True, help="Number of the first run.")
@common_options
def route(design: Path, out: Path, runs: int, seed: int, overwrite: bool, quiet: bool) -> Result:
    """Route a DESIGN of gsr export with the embedded router.

    Its maps have the form of a prediction. They are approximate (docs/results.md), and the manifest says so.

    \b
    gsr route design --out routed
    gsr route design --runs 1 --out routed
    """
    with status(f"routing {design}", quiet=quiet):
        from circuit_io.router_prediction import route_export

        manifest = route_export(design, out, runs=runs, seed=seed, overwrite=overwrite)
    tracks = manifest["model"]["overflow_tracks"]
    mean = sum(tracks) / len(tracks)
    return Result(manifest, f"{out}: {manifest['design']} routed {runs} times, {mean:.1f} tracks of overflow")


@click.command()
@click.argument("pred", type=FOLDER)
@click.option("--out", type=OUT, required=True, help="The feedback.tsv to write; the plan as JSON goes beside it.")
@planner_option
@click.option("--previous", type=FILE, help="feedback.tsv of an earlier round, whose blockages are kept.")
@common_options
def feedback(
    pred: Path, out: Path, sets: tuple[str, ...], previous: Path | None, overwrite: bool, quiet: bool
) -> Result:
    """Plan what placer and router should do about prediction PRED.

    \b
    gsr feedback prediction --out feedback.tsv
    gsr feedback prediction --set threshold=0.9 --out feedback.tsv
    """
    with status(f"planning for {pred}", quiet=quiet):
        from flow_hooks.feedback.plan_prediction import plan_prediction

        plan = plan_prediction(pred, out, sets=sets, previous=previous, overwrite=overwrite)
    return Result(plan, "\n".join([f"{out}: {len(plan.actions)} actions. {plan.verdict}", *plan.advice]))


@click.command()
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
@common_options
def report(
    pred: Path,
    out: Path,
    feedback: Path | None,
    record: Path | None,
    guides: Path | None,
    drc: Path | None,
    overwrite: bool,
    quiet: bool,
) -> Result:
    """Show a prediction PRED as an HTML page to work with.

    The same as Markdown, and its maps as PNG, go beside it.

    \b
    gsr report prediction --out report.html
    gsr report prediction --feedback feedback.tsv --guides route.guide --out report.html
    """
    with status(f"reporting on {pred}", quiet=quiet):
        from gsr_plugin.report import report as run

        files = run(pred, out, feedback=feedback, record=record, guides=guides, drc=drc, overwrite=overwrite)
    return Result({"files": files}, str(out))
