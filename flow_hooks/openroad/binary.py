"""Finds the openroad binary and asks it what it can do: its commands and their options tell, its version does not."""

import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from circuit_io.errors import InputError, ToolError

TIMEOUT_S = 60.0
MAX_OUTPUT_BYTES = 2**20
FLAGS = ("-exit", "-no_init", "-no_splash", "-no_settings")
DRC_LABELS = "labels: DRC violations"
ACCESS_POINTS = "access points of a library"
_SIGN = "gsr-probe"


@dataclass(frozen=True)
class Capability:
    """Something that the hooks use: any one of some commands, with an option where that matters."""

    name: str
    commands: tuple[str, ...]
    option: str = ""
    is_needed: bool = False


CAPABILITIES = (
    Capability("read the design", ("ord::get_db_block",), is_needed=True),
    Capability("read the technology", ("ord::get_db_tech",), is_needed=True),
    Capability("write_def", ("write_def",), is_needed=True),
    Capability("write_lef, where no LEF is named", ("write_lef",)),
    Capability("messages in the flow's log", ("utl::warn",)),
    Capability("density blockages", ("create_blockage",), "-max_density"),
    Capability("density blockages taken back", ("odb::dbBlockage_destroy",)),
    Capability("uniform density", ("gpl::get_global_placement_uniform_density",)),
    Capability("gentle inflation", ("global_placement",), "-routability_inflation_ratio_coef"),
    Capability("insts placed anew among the others", ("global_placement",), "-incremental"),
    Capability("ports placed anew", ("place_pins",), "-hor_layers"),
    Capability("ports put back", ("odb::dbBPin_create",)),
    Capability("region adjustments", ("set_global_routing_region_adjustment",)),
    Capability("layer adjustments", ("set_global_routing_layer_adjustment",)),
    Capability("padding of insts", ("dpl::set_padding_inst", "set_placement_padding")),
    Capability("markers", ("odb::dbMarkerCategory_fromJSON", "odb::dbMarkerCategory_fromTR")),
    Capability("inst properties", ("odb::dbDoubleProperty_create",)),
    Capability("labels: wire length", ("report_wire_length",)),
    Capability("labels: slack", ("find_timing_paths",)),
    Capability(DRC_LABELS, ("detailed_route",)),
    Capability(ACCESS_POINTS, ("pin_access",)),
)


@dataclass(frozen=True)
class OpenRoad:
    """An openroad that ran: what it says of itself, and which capabilities it has."""

    path: Path
    version: str
    tcl: str
    has: dict[str, bool]


def find_openroad(env: Mapping[str, str] = os.environ) -> tuple[Path, str] | None:
    """The binary that a flow would run, and what names it: GSR_OPENROAD, OPENROAD_EXE, PATH, or the build of ORFS."""
    for name in ("GSR_OPENROAD", "OPENROAD_EXE"):
        if env.get(name, "").strip():
            return _program(env[name].strip(), env), name
    found = shutil.which("openroad", path=env.get("PATH"))
    if found:
        return Path(found), "PATH"
    if env.get("FLOW_HOME", "").strip():
        built = Path(env["FLOW_HOME"].strip()).parent / "tools" / "install" / "OpenROAD" / "bin" / "openroad"
        if built.is_file():
            return built, "FLOW_HOME"
    return None


def chosen_openroad(given: str | None = None, env: Mapping[str, str] = os.environ) -> Path:
    """The binary that a user named, by its path or by its name on PATH; else the one that a flow would run.

    Raises:
        InputError: there is none.
    """
    found = find_openroad(env) if given is None else (_program(given, env), "--openroad")
    if found is None:
        raise InputError("no openroad was found", path="--openroad", mend="Name the binary, or set GSR_OPENROAD.")
    path, named_by = found
    if not path.is_file():
        mend = "Name the binary by its path, or one that is on PATH."
        raise InputError(f"is no file (named by {named_by})", path=path, mend=mend)
    return path


def _program(given: str, env: Mapping[str, str]) -> Path:
    """A program by its name on PATH or by its path."""
    return Path(shutil.which(given, path=env.get("PATH")) or given).expanduser()


def probe_openroad(path: Path, *, timeout_s: float = TIMEOUT_S) -> OpenRoad:
    """Run a binary twice: for its version, and with a script that looks for what the hooks use.

    Raises:
        ToolError: it is not there, cannot be run, fails, hangs, or is no openroad.
    """
    if not path.is_file():
        raise ToolError(f"{path}: is not there")
    if not os.access(path, os.X_OK):
        raise ToolError(f"{path}: is not executable (chmod +x)")
    with tempfile.TemporaryDirectory(prefix="gsr-probe-") as folder:
        code, text = run_bounded([str(path), "-version"], Path(folder), timeout_s)
        if code != 0:
            raise ToolError(f"{path}: -version fails with exit code {code}{_tail(text)}")
        version = next((line.strip()[:120] for line in text.splitlines() if line.strip()), "")
        script = Path(folder) / "probe.tcl"
        script.write_text(_script(), encoding="ascii")
        code, text = run_bounded([str(path), *FLAGS, str(script)], Path(folder), timeout_s)
    rows = [line.split("\t") for line in text.splitlines() if line.startswith(f"{_SIGN}\t")]
    facts = {row[1]: row[2] for row in rows if len(row) == 3}
    if facts.get("end") != "1":
        raise ToolError(f"{path}: does not run a Tcl script (exit code {code}){_tail(text)}")
    has = {c.name: facts.get(c.name) == "1" for c in CAPABILITIES}
    if not has["read the design"]:
        raise ToolError(f"{path}: runs Tcl, but is no openroad ({version or 'it names no version'})")
    return OpenRoad(path, version, facts.get("tcl", ""), has)


def _script() -> str:
    """Tcl that prints a line for each capability; OpenSTA keeps the options of a command in sta::cmd_args."""
    lines = [f'puts "{_SIGN}\\ttcl\\t[info patchlevel]"']
    for c in CAPABILITIES:
        there = " || ".join(f'[info commands ::{name}] ne ""' for name in c.commands)
        if c.option:
            usage = f"$::sta::cmd_args({c.commands[0]})"
            there = f'({there}) && ![catch {{ set usage {usage} }}] && [string first "{c.option}" $usage] >= 0'
        lines.append(f'puts "{_SIGN}\\t{c.name}\\t[expr {{ {there} }}]"')
    return "\n".join([*lines, f'puts "{_SIGN}\\tend\\t1"', "exit", ""])


def run_bounded(
    command: Sequence[str], folder: Path, timeout_s: float, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and output of a program, which is ended with all it started when it takes or says too much.

    Raises:
        ToolError: it cannot be run, does not end in time or says too much.
    """
    env = {**os.environ, "OMP_WAIT_POLICY": "passive"} if env is None else env
    try:
        child = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    except OSError as e:
        raise ToolError(f"{command[0]}: cannot be run ({e.strerror})") from e
    last, data, code, is_over = time.monotonic() + timeout_s, b"", None, False
    assert child.stdout
    with child.stdout, selectors.DefaultSelector() as ready:
        ready.register(child.stdout, selectors.EVENT_READ)
        while not is_over and len(data) <= MAX_OUTPUT_BYTES and ready.select(max(0.0, last - time.monotonic())):
            more = os.read(child.stdout.fileno(), 65_536)
            data, is_over = data + more, not more
        with suppress(subprocess.TimeoutExpired):  # it may have ended and left somebody behind who holds the pipe
            code = child.wait(max(0.0, last - time.monotonic()) if is_over else 0)
        if code is None or not is_over:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    text = data.decode("utf-8", "replace")
    if code is None:
        what = "says too much" if len(data) > MAX_OUTPUT_BYTES else f"does not end within {timeout_s:g} s"
        raise ToolError(f"{' '.join(command[:2])}: {what}{_tail(text)}")
    return code, text


def _tail(text: str) -> str:
    """The last line that says something, for a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f": {lines[-1][:200]}" if lines else ""
