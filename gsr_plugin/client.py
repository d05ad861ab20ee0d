"""Hands a command to a warm server (`gsr serve`); the standard library alone, since it runs before anything is loaded.

Used when `GSR_SERVER` names an address file. Whenever the server cannot be used, one line on stderr says why, and the
process does the work itself.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from gsr_plugin.processes import flow_of
from gsr_plugin.server_address import HOST, MAX_REQUEST_BYTES, Address, NoServerError, read_address

COMMANDS = ("flow", "export", "predict", "feedback")  # what a server does
VARIABLES = ("GSR_MODEL", "GSR_DEVICE", "GSR_SCANNER", "GSR_BACKEND")  # of the environment, which the answer depends on
ACCEPT_S = 60.0  # until a server has taken a request, which may still be loading; the work itself has no limit here
START_S = 120.0  # until a server that was started says where it is
MAX_ANSWER_BYTES = 64 * 2**20
_FLOW_FOLDERS = ("OBJECTS_DIR", "RESULTS_DIR", "REPORTS_DIR", "LOG_DIR")  # of ORFS; later steps write there too
_HOOK_FILES = ("def", "lefs", "libs", "verilog", "sdc", "access_points", "rtl", "rtl_include")


def answer_from_server(arguments: Sequence[str], env: Mapping[str, str] = os.environ) -> int | None:
    """The exit code of a command that a server has done, its text printed; None when this process has to do it.

    Args:
        arguments: the command and its own arguments.
        env: the environment: `GSR_SERVER` names the address file, `GSR_SERVE=1` starts a server that is not there.
    """
    name, starts = env.get("GSR_SERVER", "").strip(), env.get("GSR_SERVE", "").strip() == "1"
    if not (name or starts) or not arguments or arguments[0] not in COMMANDS or {"-h", "--help"} & set(arguments):
        return None
    path = Path(name).absolute()
    try:
        if not name:
            raise NoServerError("GSR_SERVE is 1, but GSR_SERVER names no address file")
        address = _running(path, arguments, env)
        answer = ask(address, arguments, {v: env[v] for v in VARIABLES if v in env})
    except NoServerError as e:
        sys.stderr.write(f"gsr: the server is not used: {e}; this process does the work\n")
        return None
    sys.stderr.write(answer["stderr"])
    sys.stdout.write(answer["stdout"])
    return int(answer["exit_code"])


def ask(address: Address, arguments: Sequence[str], variables: Mapping[str, str]) -> dict[str, Any]:
    """What a server answers: `exit_code`, `stdout` and `stderr`.

    Raises:
        NoServerError: it is away, refuses, ends in the middle, or its answer makes no sense.
    """
    request = {"token": address.token, "arguments": list(arguments), "cwd": str(Path.cwd()), "env": dict(variables)}
    line = json.dumps(request).encode() + b"\n"
    if len(line) > MAX_REQUEST_BYTES:
        raise NoServerError(f"the command line is longer than {MAX_REQUEST_BYTES} bytes")
    try:
        with socket.create_connection((HOST, address.port), timeout=ACCEPT_S) as connection:
            connection.sendall(line)
            with connection.makefile("rb") as stream:
                taken = _object(stream.readline(MAX_REQUEST_BYTES))
                if taken.get("taken") is not True:
                    raise NoServerError(f"it refuses: {taken.get('refused', 'it does not say why')}")
                connection.settimeout(None)
                answer = _object(stream.readline(MAX_ANSWER_BYTES))
    except OSError as e:
        raise NoServerError(f"it does not answer ({e.strerror or e})") from e
    if "refused" in answer:
        raise NoServerError(f"it refuses: {answer['refused']}")
    kinds = {"exit_code": int, "stdout": str, "stderr": str}
    if not all(isinstance(answer.get(key), kind) for key, kind in kinds.items()):
        raise NoServerError("its answer makes no sense")
    return answer


def _object(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise NoServerError("it ended before it had answered")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise NoServerError("its answer makes no sense") from e
    if not isinstance(found, dict):
        raise NoServerError("its answer makes no sense")
    return found


def _running(path: Path, arguments: Sequence[str], env: Mapping[str, str]) -> Address:
    try:
        return read_address(path)
    except NoServerError as e:
        if env.get("GSR_SERVE", "").strip() != "1" or not e.has_room:
            raise
    return _start(path, arguments, env)


def _start(path: Path, arguments: Sequence[str], env: Mapping[str, str]) -> Address:
    """Start a server that outlives this process and ends with the flow; its log goes beside the address file."""
    import subprocess

    write, read = roots_of(path, arguments, env)
    command = [sys.executable, "-m", "gsr_plugin", "serve", "--address", str(path)]
    command += [word for folder in write for word in ("--root", str(folder))]
    command += [word for folder in read for word in ("--read", str(folder))]
    command += ["--pid", str(flow_process(env))]
    own = {k: v for k, v in env.items() if k not in ("GSR_SERVER", "GSR_SERVE")}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".log").open("ab") as log:
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=own, start_new_session=True
            )
    except OSError as e:
        raise NoServerError(f"it cannot be started ({e.filename or path}: {e.strerror})") from e
    last = time.monotonic() + START_S
    while True:
        if server.poll() is not None:  # perhaps since another was quicker
            last = min(last, time.monotonic() + 1)
        try:
            return read_address(path)
        except NoServerError as e:
            if time.monotonic() > last:
                raise NoServerError(f"it did not start ({path.with_suffix('.log')} may say why)") from e
        time.sleep(0.02)


def flow_process(env: Mapping[str, str]) -> int:
    """The process that a started server ends with.

    `GSR_FLOW_PID`, else the outermost make above the session of OpenROAD that calls (`GSR_SESSION_PID`, which the hooks
    set) or above the parent, else that one itself.
    """
    given, session = (env.get(name, "").strip() for name in ("GSR_FLOW_PID", "GSR_SESSION_PID"))
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return flow_of(int(session) if session.isdecimal() and int(session) > 0 else os.getppid())


def roots_of(address: Path, arguments: Sequence[str], env: Mapping[str, str]) -> tuple[list[Path], list[Path]]:
    """Folders that a server started for this command may write to, and those it may only read.

    It writes beside its address file, where the command says and into the flow's own folders; it reads from the folders
    of the files named.
    """
    write, read = {address.parent}, set()
    write |= {Path(env[name].strip()).absolute() for name in _FLOW_FOLDERS if env.get(name, "").strip()}
    if env.get("GSR_MODEL", "").strip():
        read.add(Path(env["GSR_MODEL"].strip()).absolute().parent)
    for name, value in pairwise(arguments):
        if name in ("--out", "--log-dir"):
            write.add(Path(value).absolute())
        elif name in ("--weights", "--hook"):
            read.add(Path(value).absolute().parent)
        if name == "--hook":
            read |= _folders_of_hook(Path(value))
    return sorted(write), sorted(read - write)


def _folders_of_hook(path: Path) -> set[Path]:
    try:
        hook = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return set()  # the command itself says what is wrong with it
    found: set[Path] = set()
    for key in _HOOK_FILES if isinstance(hook, dict) else ():
        values = hook.get(key)
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, str) and value:
                place = (path.parent / value).absolute()
                found.add(place if key == "rtl_include" else place.parent)
    return found
