"""Running gsr: one process in its own environment, with a time limit."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from circuit_io.errors import GsrError
from flow_hooks.openroad.child_python import child_environment

PATIENCE_S = 5  # how long a child that was asked to end may take, before it is killed


def python_command(given: str | None) -> list[str]:
    """The words that run the Python which has gsr: `given`, a path or a command, or the one that runs LibreLane."""
    if not given:
        return [sys.executable]
    return [given] if shutil.which(given) else shlex.split(given)


def run_child(command: Sequence[str], *, log: Path, timeout_s: float) -> None:
    """Run a command to its end or to the time limit; what it prints goes to `log`.

    Raises:
        GsrError: it cannot be started, fails or runs too long; the message has the last lines of the log.
    """
    env = child_environment(os.environ)
    with log.open("wb") as out:
        try:
            # a session of its own, so that what the child starts can be ended with it
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, start_new_session=True
            )
        except OSError as error:
            raise GsrError(f"{command[0]} cannot be started: {error.strerror}") from error
        try:
            code = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise GsrError(f"{command[0]} was stopped: it ran longer than GSR_TIMEOUT ({timeout_s:g} s)") from None
        finally:
            if child.poll() is None:
                end(child)
    if code:
        how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"failed with exit code {code}"
        raise GsrError(f"{command[0]} {how}: {last_lines(log)} (log: {log})")


def end(child: subprocess.Popen[bytes]) -> None:
    """End a child and what it has started."""
    os.killpg(child.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(PATIENCE_S)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def last_lines(log: Path) -> str:
    """The last lines that say something, for a message."""
    lines = log.read_bytes()[-2000:].decode(errors="replace").splitlines()
    return " / ".join([line.strip() for line in lines if line.strip()][-3:])
