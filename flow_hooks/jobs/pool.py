"""Processes side by side on this machine, each with a limit of time, and all of them ended when their owner ends."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
_PAUSE_S = 0.02


@dataclass(frozen=True)
class Start(Generic[T]):
    """A process to start: for what, its command, where its output goes, and how long it may take.

    `proof` is a file that is there, whole, once the process has done its work.
    """

    what: T
    command: list[str]
    log: Path
    time_s: float
    proof: Path | None = None


@dataclass(frozen=True)
class End(Generic[T]):
    """How a process ended: its exit code, negative for a signal, whether it took too long, and why it never ran."""

    what: T
    code: int
    seconds: float
    is_late: bool
    reason: str = ""


@dataclass
class _Running(Generic[T]):
    start: Start[T]
    child: subprocess.Popen[bytes]
    began: float
    is_late: bool = False


def run_pool(starts: Iterable[Start[T]], *, width: int, should_stop: Callable[[], bool]) -> Iterator[End[T]]:
    """The ends of processes as they come, `width` at a time; the next start is asked for when there is room.

    A process gets a session of its own, and a stdin that closes when this process is gone. After `should_stop` no more
    are started, and those under way are ended without an `End`.
    """
    waiting, running = iter(starts), list[_Running[T]]()
    is_all = False
    try:
        while True:
            while not is_all and len(running) < width and not should_stop():
                start = next(waiting, None)
                is_all = start is None
                if start is not None:
                    running.append(_begin(start))
            for one in list(running):
                seconds = time.monotonic() - one.began
                if seconds > one.start.time_s and not one.is_late:
                    one.is_late = True
                    _kill(one.child)
                if _has_ended(one.child):
                    running.remove(one)
                    yield End(one.start.what, _finish(one.child), seconds, one.is_late)
            if should_stop() or (is_all and not running):
                return
            time.sleep(_PAUSE_S)
    finally:
        for one in running:
            _finish(one.child)


def _begin(start: Start[T]) -> _Running[T]:
    env = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        env.setdefault(name, "1")
    with start.log.open("wb") as log:
        child = subprocess.Popen(
            start.command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=env
        )
    return _Running(start, child, time.monotonic())


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether it ended, while its number is still its own."""
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _finish(child: subprocess.Popen[bytes]) -> int:
    """The exit code, when nothing is left of the process and of what it started."""
    _kill(child)
    if child.stdin:
        child.stdin.close()
    return child.wait()
