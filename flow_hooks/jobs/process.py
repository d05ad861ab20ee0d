"""A job in a process of its own: limits, an end with whoever started it, and its result or error as a file.

`python -m MODULE TASK FOLDER`: TASK is a JSON file with `memory_mb` and what the job needs; into FOLDER go the job's
files and `result.json`, or `error.txt`.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from circuit_io.atomic import write_whole
from circuit_io.errors import GsrError
from circuit_io.manifest import to_json

OUT_OF_MEMORY = 4
_PR_SET_PDEATHSIG = 1  # of Linux's sys/prctl.h
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
RESULT, ERROR = "result.json", "error.txt"


def job_main(run: Callable[[dict[str, Any], Path], dict[str, Any]]) -> int:
    """Run the job of the command line; 0, or the exit code of what went wrong, told in `error.txt`.

    Args:
        run: gives what is said of a task that was done into a folder.
    """
    task_path, folder = Path(sys.argv[1]), Path(sys.argv[2])
    task = json.loads(task_path.read_bytes())
    _end_with_owner()
    memory = task["memory_mb"] << 20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    start = time.perf_counter()
    try:
        said = run(task, folder)
    except GsrError as e:
        (folder / ERROR).write_text(str(e), "utf-8", "surrogateescape")
        return e.exit_code
    except MemoryError:
        (folder / ERROR).write_text(f"needs more memory than the limit of {task['memory_mb']} MB")
        return OUT_OF_MEMORY
    used = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    said |= {"seconds": round(time.perf_counter() - start, 3), "peak_bytes": max(used) * 1024}
    write_whole(folder / RESULT, to_json(said))
    return 0


def end_with_parent() -> None:
    """For `preexec_fn`: the process ends at once when this one does, even when this one has no time to end it."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_owner() -> None:
    """End this process and all it started when whoever started it is gone: then its end of stdin is closed."""
    if os.getsid(0) != os.getpid():
        return  # run by hand: the group is not ours alone

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
