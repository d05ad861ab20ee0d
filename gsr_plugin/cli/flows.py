"""Within a flow: where the hooks lie, all that a hook needs in one call, and a server that keeps it warm."""

from pathlib import Path

import click

from gsr_plugin.cli.program import FILE, OUT, ManyValues, Result, common_options, device_option, loading, planner_option


@click.command()
@click.option("--path", "what", flag_value="path", default="path", help="The folder with gsr.tcl and private.mk.")
@click.option("--mk", "what", flag_value="mk", help="The makefile to include when you have a private.mk of your own.")
@common_options
def hooks(what: str, overwrite: bool, quiet: bool) -> Result:
    """Say where the Tcl for OpenROAD and its flow scripts lies.

    \b
    export PRIVATE_DIR=$(gsr hooks --path)      # attaches all hooks of OpenROAD-flow-scripts
    """
    from flow_hooks import TCL

    found = {"path": TCL, "mk": TCL / "private.mk", "tcl": TCL / "gsr.tcl"}
    return Result(found, str(found[what]))


@click.command()
@click.option("--hook", type=FILE, required=True, help="hook.json of gsr_export_design.")
@click.option("--out", type=OUT, required=True, help="Folder of the step; earlier results in it are replaced.")
@click.option(
    "--mode", type=click.Choice(["observe", "advise", "apply", "gate"]), default="observe", show_default=True,
    help="advise and apply also plan feedback.",
)  # fmt: skip
@click.option("--weights", type=OUT, help="Run folder, weights, or the name of shipped ones.")
@click.option("--log-dir", type=OUT, help="The flow's LOG_DIR, where the metrics go.")
@planner_option
@click.option("--previous", type=FILE, help="The plan that led to this placement, whose blockages are kept.")
@device_option
@common_options
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
) -> Result:
    """Do all that a flow hook needs in one call.

    That is export, predict, plan, annotate and report.

    \b
    gsr flow --hook gsr/hook.json --out gsr --mode advise
    """
    with loading():
        from gsr_plugin.flow import run_flow

    found = run_flow(
        hook, out, mode=mode, weights=weights, device=device, log_dir=log_dir, sets=sets, previous=previous
    )
    return Result(found, f"{out}: {found.num_actions} actions, run {found.run_id}")


@click.command(cls=ManyValues)
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
@common_options
def serve(
    address: Path,
    root: tuple[Path, ...],
    read: tuple[Path, ...],
    pid: int | None,
    idle_s: float,
    overwrite: bool,
    quiet: bool,
) -> Result:
    """Do flow, export, predict and feedback for other processes.

    They then need not load anything. They ask this server when GSR_SERVER names its address file, and do the work
    themselves when it cannot be reached.

    \b
    gsr serve --address gsr-server.tsv --root objects logs --read platforms designs &
    export GSR_SERVER=$PWD/gsr-server.tsv
    """
    from gsr_plugin.served_command import serve as run

    found = run(address, root=root or [Path.cwd()], read=read, pid=pid, idle_s=idle_s)
    return Result(found, f"{address}: {found['num_answers']} requests done, {found['reason']}")
