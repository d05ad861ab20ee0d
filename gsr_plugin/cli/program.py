"""What all commands share: how a fault ends the program, what a command gives, and the options that several take."""

import errno
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from circuit_io.errors import GsrError, InputError

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
ANY = click.Path(path_type=Path, exists=True)
OUT = click.Path(path_type=Path)
INTERRUPTED = 130
_has_loaded = False

device_option = click.option(
    "--device", default="auto", envvar="GSR_DEVICE", show_default=True, help="auto, cpu or cuda."
)
planner_option = click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting of the planner (docs/prediction.md)."
)
settings_option = click.option(
    "--set", "sets", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one setting."
)
views_option = click.option(
    "--views", type=int, default=1, show_default=True, help="Mirrored and turned views to average, 1 to 8."
)
weights_option = click.option(
    "--weights", type=OUT, envvar="GSR_MODEL", help="Run folder, weights, or the name of shipped ones."
)


def _chosen_openroad(ctx: click.Context, param: click.Parameter, value: str | None) -> Path:
    from flow_hooks.openroad.binary import chosen_openroad

    return chosen_openroad(value)


openroad_option = click.option(
    "--openroad", metavar="PATH", callback=_chosen_openroad,
    help="The binary, or its name on PATH; else GSR_OPENROAD, OPENROAD_EXE, openroad on PATH, or what ORFS built.",
)  # fmt: skip


class Result(NamedTuple):
    """What a command found: for --json, for people, and its exit code."""

    value: Any
    text: str
    exit_code: int = 0


@contextmanager
def status(text: str, *, quiet: bool) -> Iterator[None]:
    """A line on stderr that moves while the work is under way; nothing when `quiet` or not on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(f"{text} ...")):
        yield


@contextmanager
def loading() -> Iterator[None]:
    """For heavy imports, once a process: they stay to its end, so no search for garbage goes through them."""
    global _has_loaded
    if _has_loaded:
        yield
        return
    _has_loaded = True
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Program(click.Group):
    """Turns what a user can mend into one clear message and an exit code; everything else is a fault of ours."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        """Run the command; a fault that a user can mend is told and ends the program."""
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


class ManyValues(click.Command):
    """A command whose `multiple` options also take several values after one name: --lef a.lef b.lef."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give each value its option's name again."""
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


def common_options(command: F) -> F:
    """--overwrite, --quiet and --json, and what they do; the wrapped command gives a `Result`."""

    @click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
    @click.option("--quiet", is_flag=True, help="Show no progress and no remarks, only warnings.")
    @click.option(
        "--json", "json_path", is_flag=False, flag_value="-", metavar="[PATH]",
        help="Write the result as JSON to PATH, or to stdout when no PATH follows (put it last then).",
    )  # fmt: skip
    @wraps(command)
    def run(*args: Any, overwrite: bool, quiet: bool, json_path: str | None, **options: Any) -> None:  # noqa: ANN401
        from gsr_plugin.cli.log import log_to_stderr
        from gsr_plugin.jsonable import to_json_line

        folders = click.get_current_context().obj  # of a warm server, see gsr_plugin.served_command
        if folders is not None:
            folders.check(options | {"json_path": json_path})
        log_to_stderr(quiet=quiet)
        if json_path not in (None, "-") and Path(str(json_path)).exists() and not overwrite:
            raise InputError("exists already", path=str(json_path), mend="Pass --overwrite to replace it.")
        found: Result = command(*args, overwrite=overwrite, quiet=quiet, **options)
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
