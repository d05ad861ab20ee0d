"""Other processes of this machine, as /proc tells: whether one still runs, and which `make` a flow began with."""

import os
from pathlib import Path

_FLOW_PROGRAMS = ("make", "gmake")


def started_at(pid: int) -> str | None:
    """When a running process began, in the system's own unit, which tells it from a later one of its number.

    None when it does not run, or has ended and waits to be noticed. "" where there is no /proc to say when.
    """
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except PermissionError:
            return ""
        except OSError:
            return None
        return ""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else fields[19]


def flow_of(pid: int) -> int:
    """The outermost `make` that a process runs under, or the process itself when there is none.

    A flow of makefiles runs every step in a process of its own, and calls make for it: the outermost one is the flow.
    """
    found, at = pid, pid
    for _ in range(1000):
        fields = _stat(at)
        if fields is None or int(fields[1]) < 1:  # in a container, make itself may be process 1
            return found
        at = int(fields[1])
        if _name(at) in _FLOW_PROGRAMS:
            found = at
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of a process after its name: state, parent, ..."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text[text.rindex(")") + 1 :].split()


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
