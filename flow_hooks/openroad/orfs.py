"""What a checkout of OpenROAD-flow-scripts knows of our hooks."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flow_hooks import TCL

_STEP = re.compile(r"\bsource_step_tcl\s+(PRE|POST)\s+([A-Z_]+)")
_VARIABLE = re.compile(r"\b((?:PRE|POST)_[A-Z_]+)_TCL\b")
_MAX_SCRIPT_BYTES = 2**20


@dataclass(frozen=True)
class FlowScripts:
    """A checkout: its folder `flow`, the hooks that its scripts source, and whether it reads a private.mk."""

    path: Path
    hooks: frozenset[str]
    reads_private_mk: bool


def hook_names() -> list[str]:
    """The hooks that we have a script for, as PRE_GLOBAL_PLACE."""
    return sorted(p.stem.upper() for p in (TCL / "orfs").glob("*.tcl"))


def find_flow(env: Mapping[str, str] = os.environ, *, cwd: Path | None = None) -> Path | None:
    """The folder `flow` of a checkout: FLOW_HOME, the one above SCRIPTS_DIR, or the current folder."""
    here = cwd or Path.cwd()
    if env.get("FLOW_HOME", "").strip():
        return Path(env["FLOW_HOME"].strip()).expanduser()
    if env.get("SCRIPTS_DIR", "").strip():
        return Path(env["SCRIPTS_DIR"].strip()).expanduser().parent
    near = [here, here / "flow"]
    return next((p for p in near if (p / "scripts" / "global_place.tcl").is_file()), None)


def read_flow(path: Path) -> FlowScripts:
    """What the scripts below a folder `flow` source."""
    hooks: set[str] = set()
    for script in sorted((path / "scripts").glob("*.tcl")):
        text = _text(script)
        hooks |= {f"{when}_{step}" for when, step in _STEP.findall(text)} | set(_VARIABLE.findall(text))
    return FlowScripts(path, frozenset(hooks), "private.mk" in _text(path / "Makefile"))


def attaches_us(private_dir: Path) -> bool:
    """Whether the private.mk of a folder is ours or includes ours."""
    own = private_dir / "private.mk"
    if own.exists() and own.samefile(TCL / "private.mk"):
        return True
    lines = [line.split("#", 1)[0] for line in _text(own).splitlines()]
    return any("include" in line and ("gsr hooks" in line or "flow_hooks/tcl/private.mk" in line) for line in lines)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as f:
            return f.read(_MAX_SCRIPT_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
