"""Checks and measurements: of files, of this machine, of an OpenROAD, of this package."""

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from circuit_io.errors import InputError
from gsr_plugin.cli.program import ANY, OUT, Result, common_options, openroad_option, status


@click.command()
@click.argument("paths", type=ANY, nargs=-1, required=True, metavar="PATH..")
@common_options
def check(paths: tuple[Path, ...], overwrite: bool, quiet: bool) -> Result:
    """Check folders and files that gsr reads or writes.

    Exports, predictions, runs, weights, plans and settings; LEF, DEF, Liberty, Verilog, SPEF and SDC. A folder of such
    folders is searched. Exit code 1 when anything is wrong.

    \b
    gsr check data/labels runs/f0 feedback.tsv
    """
    from gsr_plugin.check import check as run

    found = run(paths)
    bad = sum(not c.is_good for c in found)
    lines = [f"{c.path}: {c.kind}, {c.text}" if c.is_good else f"BAD {c.text}" for c in found]
    lines.append(f"{len(found)} checked, {bad} bad")
    return Result({"checked": found, "num_bad": bad}, "\n".join(lines), exit_code=1 if bad else 0)


@click.command()
@common_options
def doctor(overwrite: bool, quiet: bool) -> Result:
    """Look for all that a flow needs.

    openroad and its commands, ORFS and its hooks, Python, torch, device, model. Each miss says what to do about it.
    Exit code 1 when something needed is missing.

    \b
    GSR_OPENROAD=tools/install/OpenROAD/bin/openroad FLOW_HOME=flow gsr doctor
    """
    with status("looking", quiet=quiet):
        from gsr_plugin.doctor import MISS, table
        from gsr_plugin.doctor import doctor as run

        checks = run()
    missing = sum(c.status == MISS for c in checks)
    return Result({"checks": checks, "num_missing": missing}, table(checks), exit_code=1 if missing else 0)


@click.command()
@openroad_option
@click.option("--out", type=OUT, help="File to write the report to, as well as to stdout.")
@click.option("--claim", "only", multiple=True, metavar="NAME", help="Try this claim alone; may be repeated.")
@click.option("--keep", type=OUT, metavar="DIR", help="Folder for all that the claims write; else it is removed.")
@click.option(
    "--timeout-s", type=click.FloatRange(min=1), default=600, show_default=True, help="What one claim may take."
)
@common_options
def conformance(
    openroad: Path,
    out: Path | None,
    only: tuple[str, ...],
    keep: Path | None,
    timeout_s: float,
    overwrite: bool,
    quiet: bool,
) -> Result:
    """Try all that gsr relies on in an OpenROAD, on a small design.

    Each claim passes, fails, or is absent there. The report is made to be attached to a bug report. What a run should
    give is in docs/conformance.md. Exit code 1 when a claim failed.

    \b
    gsr conformance --openroad tools/install/OpenROAD/bin/openroad --out conformance.txt
    """
    from circuit_io.atomic import write_files
    from flow_hooks.openroad.conformance import FAIL, report
    from flow_hooks.openroad.conformance import conformance as run

    if out is not None and out.exists() and not overwrite:
        raise InputError("exists already", path=out, mend="Pass --overwrite to replace it.")
    with status("trying claims", quiet=quiet):
        found = run(openroad, only=only, timeout_s=timeout_s, keep=keep)
    text = report(found)
    if out is not None:
        write_files({out: text + "\n"}, overwrite=overwrite)
    counts = {f"num_{status}": found.count(status) for status in ("pass", "fail", "absent")}
    value = {"openroad": found.tool.version, "tcl": found.tool.tcl, "claims": found.outcomes, **counts}
    return Result(value, text, exit_code=1 if found.count(FAIL) else 0)


class Benches(click.Command):
    """A command whose help lists what can be measured."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and what each module says of itself."""
        from gsr_plugin.bench import TOOLS, benches

        rows = list(benches().items())
        for title, is_tool in (("Measurements", False), ("Tools", True)):
            if chosen := [row for row in rows if (row[0] in TOOLS) is is_tool]:
                with formatter.section(title):
                    formatter.write_dl(chosen)


@click.command(cls=Benches, context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS]..")
@click.option("--quick", is_flag=True, help="A short form, to see that it runs.")
@common_options
def bench(name: str, arguments: tuple[str, ...], quick: bool, overwrite: bool, quiet: bool) -> Result:
    """Run a measurement, a file in bench/ of a checkout.

    NAME is one of those below, ARGUMENTS are its own.

    \b
    gsr bench designs DATA --out out/designs --quick
    """
    from gsr_plugin.bench import run_bench

    to_stdout = click.get_current_context().params["json_path"] == "-"
    with redirect_stdout(sys.stderr if to_stdout else sys.stdout):
        code = run_bench(name, [*arguments, *(["--quick"] if quick else [])])
    return Result({"bench": name, "exit_code": code}, "", code)
