"""What a warm server does with a request: the command itself, in this process, on files of its own folders alone."""

import importlib
import io
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO

from circuit_io.export_sources import sources_of_hook
from circuit_io.manifest import MANIFEST, read_json_object
from gsr_plugin.client import COMMANDS, VARIABLES
from gsr_plugin.serve import RefusedError, Request, Server

_OUTPUTS = ("out", "log_dir", "json_path")  # parameters of the commands that name what they write


def serve(
    address: Path,
    *,
    root: Sequence[Path],
    read: Sequence[Path] = (),
    pid: int | None = None,
    idle_s: float = 900.0,
) -> dict[str, Any]:
    """Serve the commands of a flow until it ends; returns how many requests were done, and why it has ended.

    Args:
        address: the file that tells clients where the server is.
        root: folders that requests may write to and read from.
        read: folders that they may only read.
        pid: the process to end with.
        idle_s: seconds without a request after which the server ends.

    Raises:
        InputError: the address file cannot be written, or another server holds it.
    """
    folders = Folders(root, read)
    say = _sayer(sys.stderr)
    server = Server(address, lambda request: do_command(request, folders), say=say, pid=pid, idle_s=idle_s)

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        server.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    reason = server.run(_load)
    return {"num_answers": server.num_answers, "reason": reason}


def _sayer(stream: TextIO) -> Callable[[str], None]:
    """Writes lines to a stream, whatever stands for sys.stderr meanwhile."""

    def say(text: str) -> None:
        with suppress(OSError, ValueError):
            stream.write(f"{time.strftime('%H:%M:%S')} {text}\n")
            stream.flush()

    return say


def _load() -> None:
    from gsr_plugin.cli.program import loading

    with loading():
        importlib.import_module("gsr_plugin.flow")


class Folders:
    """Where the commands of a server may write, and where they may read besides."""

    def __init__(self, write: Sequence[Path], read: Sequence[Path] = ()) -> None:
        self.write = [p.resolve() for p in write]
        self.read = [*self.write, *(p.resolve() for p in read)]

    def check(self, params: Mapping[str, Any]) -> None:
        """Refuse the parameters of a command when a file that they name, or lead to, is outside.

        Links are followed, those directly in a folder that is named too.

        Raises:
            RefusedError: there is such a file.
            InputError: a hook.json or a manifest that names files cannot be read.
        """
        for name, value in params.items():
            for path in _paths(value, name):
                self._check(path, self.write if name in _OUTPUTS else self.read)
        if params.get("hook"):
            sources = sources_of_hook(params["hook"])
            single = [p for p in (sources.verilog, sources.timing.sdc, sources.access_points) if p]
            for path in (*sources.lef, sources.def_, *sources.lib, *single, *sources.rtl.paths, *sources.rtl.include):
                self._check(path, self.read)
        if params.get("pred"):
            export = read_json_object(params["pred"] / MANIFEST).get("export")
            if isinstance(export, str):
                self._check(params["pred"].resolve() / export, self.read)

    def _check(self, path: Path, folders: Sequence[Path]) -> None:
        below = [Path(e.path) for e in os.scandir(path) if e.is_symlink()] if path.is_dir() else []
        for place in (path, *below):
            found = Path(os.path.realpath(place))
            if not any(found.is_relative_to(f) for f in folders):
                raise RefusedError(f"{place} is outside the folders of the server")


def do_command(request: Request, folders: Folders) -> dict[str, Any]:
    """Do a command; the answer for the client."""
    from gsr_plugin import cli

    if not request.arguments or request.arguments[0] not in COMMANDS:
        return {"refused": f"it does {', '.join(COMMANDS)} alone"}
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        with _place(request), _new_log(), redirect_stdout(out), redirect_stderr(err):
            cli.main.main(list(request.arguments), prog_name="gsr", obj=folders)
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    except RefusedError as e:
        return {"refused": str(e)}
    except Exception as e:  # a fault of ours: the client's own process shows it with its trace
        return {"refused": f"it failed ({type(e).__name__}: {e})"}
    return {"exit_code": code, "stdout": out.getvalue(), "stderr": err.getvalue()}


@contextmanager
def _place(request: Request) -> Iterator[None]:
    """The folder and the settings of the client, for a while."""
    env = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    with ExitStack() as stack:
        try:
            stack.enter_context(chdir(request.cwd))
        except (OSError, ValueError) as e:
            raise RefusedError(f"it cannot go to {request.cwd}") from e
        stack.callback(_set_variables, env)
        _set_variables(request.env)
        yield


@contextmanager
def _new_log() -> Iterator[None]:
    """No log is set up yet, so that the command does so by its own --quiet."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def _set_variables(env: Mapping[str, str]) -> None:
    for name in VARIABLES:
        os.environ.pop(name, None)
        if name in env:
            os.environ[name] = env[name]


def _paths(value: object, name: str) -> list[Path]:
    if isinstance(value, Path):
        return [value]
    if name == "json_path" and isinstance(value, str) and value != "-":
        return [Path(value)]
    if isinstance(value, tuple | list):
        return [v for v in value if isinstance(v, Path)]
    return []
