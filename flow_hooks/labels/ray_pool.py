"""The processes of `jobs.pool` on the machines of a Ray cluster: same limits, same ends, none lost with a machine."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from circuit_io.errors import InputError, ToolError
from flow_hooks.jobs.pool import End, Start, run_pool
from flow_hooks.openroad.binary import probe_openroad
from flow_hooks.version import own_version

T = TypeVar("T")
MAX_TRIES = 3  # of a job whose machine dies
_LOST = 5  # exit code of a job that was lost as often
_WAIT_S, _CANCEL_S = 0.2, 10


@dataclass(frozen=True)
class Needs:
    """What every machine must have: a file with a word that only this run wrote, inputs, and the same versions."""

    token: Path
    word: str
    files: tuple[str, ...] = ()
    binary: str = ""
    binary_version: str = ""
    version: str = own_version()

    @lru_cache(maxsize=4)  # noqa: B019 - a worker process asks for each of its jobs
    def fault(self) -> str:
        """What this machine lacks; empty when it lacks nothing."""
        try:
            is_same = self.token.read_text("utf-8") == self.word
        except (OSError, UnicodeDecodeError):
            is_same = False
        if not is_same:
            return f"does not see {self.token.parent.parent}, which all machines must share"
        if own_version() != self.version:
            return f"has gsr-plugin {own_version()}, not {self.version}"
        lost = next((name for name in self.files if not Path(name).is_file()), "")
        if lost:
            return f"does not see {lost}"
        if self.binary:
            try:
                found = probe_openroad(Path(self.binary)).version
            except ToolError as e:
                return str(e)
            if found != self.binary_version:
                return f"{self.binary} is {found or 'of no version'}, not {self.binary_version}"
        return ""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connected to a cluster that runs; "auto" is the one of this machine, or of RAY_ADDRESS.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ImportError as e:
        raise InputError("Ray is not installed", path="--ray", mend="pip install gsr-plugin[ray]") from e
    try:
        with _own_handlers():
            ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as e:
        said = str(e).strip().splitlines()
        mend = "Start one by `ray start --head`, join others to it, and give its HOST:PORT."
        raise InputError(f"no cluster at {address}: {said[0] if said else e!r}", path="--ray", mend=mend) from e
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Ray sets a handler of SIGTERM that exits at once; ours ends the jobs and writes the manifest."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_machines(needs: Needs, *, memory_bytes: int) -> int:
    """Look at every machine of the cluster; how many jobs they can run at a time.

    Raises:
        InputError: one lacks something, or none has the memory of a job.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    machines = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    room = [_room(node["Resources"], memory_bytes) for node in machines]
    if not sum(room):
        most = max((node["Resources"].get("memory", 0) for node in machines), default=0)
        what = f"no machine has a CPU and {memory_bytes >> 20} MB for a job; the largest offers {int(most) >> 20} MB"
        raise InputError(what, path="--ray", mend="Lower memory_mb in [limits], or add a larger machine.")
    look = ray.remote(num_cpus=0, max_retries=0)(_look)
    answers = [look.options(scheduling_strategy=On(node["NodeID"], soft=False)).remote(needs) for node in machines]
    for node, answer in zip(machines, answers, strict=True):
        try:
            fault = ray.get(answer)
        except RayTaskError as e:
            fault = f"cannot run gsr-plugin: {_last_line(e)}"
        except RayError:  # it died meanwhile, and will be given no job
            continue
        _refuse(node["NodeManagerHostname"], fault)
    return sum(room)


def run_cluster(
    starts: Iterable[Start[T]],
    *,
    again: Callable[[T], Start[T]],
    needs: Needs,
    memory_bytes: int,
    width: int,
    should_stop: Callable[[], bool],
) -> Iterator[End[T]]:
    """The ends of processes as they come, `width` at a time, as `jobs.pool.run_pool` has them.

    Each claims a CPU and the memory of its limit. One whose machine dies is started anew by `again`, unless its proof
    is there; after `should_stop`, or when the caller ends, those under way are ended without an `End`.

    Raises:
        InputError: a machine that came later lacks something.
    """
    import ray
    from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

    run = ray.remote(num_cpus=1, memory=memory_bytes, max_retries=0)(_run)
    waiting, running, tries = iter(starts), dict[Any, Start[T]](), dict[T, int]()
    is_all = False
    try:
        while True:
            while not is_all and len(running) < width and not should_stop():
                start = next(waiting, None)
                is_all = start is None
                if start is not None:
                    running[run.remote(start, needs)] = start
            if should_stop() or not running:
                return
            for ref in ray.wait(list(running), timeout=_WAIT_S)[0]:
                start = running.pop(ref)
                try:
                    host, found = ray.get(ref)
                except RayTaskError as e:
                    found = End(start.what, 1, 0.0, is_late=False, reason=_last_line(e))
                except OutOfMemoryError:
                    reason = "was ended by Ray: its machine ran out of memory"
                    found = End(start.what, _LOST, 0.0, is_late=False, reason=reason)
                except RayError as e:
                    if start.proof is not None and start.proof.is_file():
                        found = End(start.what, 0, 0.0, is_late=False)
                    elif tries.setdefault(start.what, 1) < MAX_TRIES:
                        tries[start.what] += 1
                        fresh = again(start.what)
                        running[run.remote(fresh, needs)] = fresh
                        continue
                    else:
                        reason = f"its machine died, {MAX_TRIES} times: {type(e).__name__}"
                        found = End(start.what, _LOST, 0.0, is_late=False, reason=reason)
                if isinstance(found, str):
                    _refuse(host, found)
                else:
                    yield found
    finally:
        for ref in running:
            ray.cancel(ref, force=True)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=_CANCEL_S)


def _run(start: Start[T], needs: Needs) -> tuple[str, End[T] | str]:
    """On a machine of the cluster: its name, and the end of a process there, or what it lacks."""
    fault = needs.fault()
    if fault:
        return socket.gethostname(), fault
    here = replace(start, command=[sys.executable, *start.command[1:]])
    (end,) = run_pool([here], width=1, should_stop=lambda: False)
    return socket.gethostname(), end


def _look(needs: Needs) -> str:
    return needs.fault()


def _refuse(host: str, fault: str) -> None:
    if fault:
        mend = "All machines need the same paths, gsr-plugin and openroad (docs/labels.md)."
        raise InputError(f"machine {host}: {fault}", path="--ray", mend=mend)


def _room(resources: dict[str, float], memory_bytes: int) -> int:
    return int(min(resources.get("CPU", 0), resources.get("memory", 0) // memory_bytes))


def _last_line(e: Exception) -> str:
    return next((line.strip() for line in reversed(str(e).splitlines()) if line.strip()), type(e).__name__)


def token_in(folder: Path, files: Sequence[str], *, binary: str, binary_version: str) -> Needs:
    """What machines need for jobs in `folder`, where the word that they must see is written."""
    word = os.urandom(16).hex()
    token = folder / "token"
    token.write_text(word, "utf-8")
    return Needs(token, word, tuple(sorted(set(files))), binary, binary_version if binary else "")
