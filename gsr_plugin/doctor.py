"""What a flow with gsr needs on this machine, what is there, and what to do about the rest: what `gsr doctor` does."""

import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from circuit_io.errors import GsrError, ToolError, did_you_mean
from flow_hooks import TCL
from flow_hooks.openroad.binary import CAPABILITIES, TIMEOUT_S, find_openroad, probe_openroad, run_bounded
from flow_hooks.openroad.child_python import child_environment, hook_python
from flow_hooks.openroad.orfs import attaches_us, find_flow, hook_names, read_flow

OK, WARNING, MISS = "ok", "warning", "miss"
# what the hooks do their work in; the others run the user's own scripts, or write labels
HOOKS = (
    "PRE_GLOBAL_PLACE", "POST_GLOBAL_PLACE", "PRE_DETAIL_PLACE", "POST_DETAIL_PLACE", "PRE_CTS", "PRE_GLOBAL_ROUTE",
    "POST_GLOBAL_ROUTE", "POST_DETAIL_ROUTE",
)  # fmt: skip
SETTINGS = (
    "GSR_ACCESS_POINTS", "GSR_BACKEND", "GSR_DEVICE", "GSR_ENABLE", "GSR_FAMILY", "GSR_FEEDBACK", "GSR_FLOW_PID",
    "GSR_GATE", "GSR_HOME", "GSR_LABELS", "GSR_LAYER_ADJUSTMENTS", "GSR_LEFS", "GSR_LIBS", "GSR_MODE", "GSR_MODEL",
    "GSR_ODB", "GSR_ON_ERROR", "GSR_OPENROAD", "GSR_OUT_DIR", "GSR_OUT_ROOT", "GSR_PLAN", "GSR_PREDICTION_DIR",
    "GSR_PREDICT_AT", "GSR_PYTHON", "GSR_ROUNDS", "GSR_RTL", "GSR_RTL_DEFINES", "GSR_RTL_INCLUDE", "GSR_SCANNER",
    "GSR_SERVE", "GSR_SERVER", "GSR_TIMEOUT", "GSR_WITH_VERILOG", "GSR_WORST_SLACK_NS",
)  # fmt: skip
_LOAD = "import gsr_plugin.flow; print(gsr_plugin.__path__[0])"  # of the hooks' Python: all that a prediction needs
_OTHERS = ("GSR_CHAIN_", "GSR_TRAIN_", "GSR_MODEL_", "GSR_DATA", "GSR_CORPUS")
_CHOICES = {
    "GSR_MODE": ("observe", "advise", "apply", "gate"),
    "GSR_ON_ERROR": ("warn", "fail"),
    "GSR_SCANNER": ("python", "c"),
    "GSR_SERVE": ("0", "1"),
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: `status` is ok, warning (works without) or miss."""

    name: str
    status: str
    found: str
    to_do: str = ""


def doctor(env: Mapping[str, str] = os.environ, *, timeout_s: float = TIMEOUT_S) -> list[Check]:
    """Look at everything that a flow needs.

    Args:
        env: the environment that the flow will have.
        timeout_s: what a program that is asked may take.
    """
    parts: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        partial(_model, env),
        _scanners,
        partial(_hook_python, env, timeout_s),
        partial(_openroad, env, timeout_s),
        partial(_orfs, env),
        partial(_access_points, env),
        partial(_settings, env),
        partial(_server, env),
    )
    return [check for part in parts for check in part()]


def table(checks: list[Check]) -> str:
    """The checks for people: a line each, and what to do below where something is to be done."""
    wide = max(len(c.name) for c in checks)
    lines = []
    for c in checks:
        lines.append(f"{c.status:<7}  {c.name:<{wide}}  {c.found}".rstrip())
        if c.to_do:
            lines.append(f"{'':<9}{'':<{wide}}  -> {c.to_do}")
    number = {status: sum(c.status == status for c in checks) for status in (OK, WARNING, MISS)}
    return "\n".join([*lines, f"{number[OK]} ok, {number[WARNING]} warnings, {number[MISS]} missing"])


def _python() -> Iterator[Check]:
    yield Check("python", OK, f"{platform.python_version()}, {sys.executable}")


def _model(env: Mapping[str, str]) -> Iterator[Check]:
    """torch, and with it the device and the model."""
    try:
        import torch
    except Exception as e:  # a broken installation raises what it likes
        mend = "pip install torch, for this Python."
        yield Check("torch", MISS, f"cannot be loaded ({type(e).__name__}: {str(e)[:120]})", mend)
        return
    from gsr_plugin.shipped import find_weights
    from gsr_plugin.weights import load_weights, pick_device

    yield Check("torch", OK, torch.__version__)
    try:
        device = pick_device(env.get("GSR_DEVICE", "").strip() or "auto")
        yield Check("device", OK, str(device))
    except GsrError as e:
        yield Check("device", MISS, _first(e), "Set GSR_DEVICE to cpu, or unset it.")
    wanted = Path(env["GSR_MODEL"].strip()) if env.get("GSR_MODEL", "").strip() else None
    try:
        path = find_weights(wanted)
        card = load_weights(path, device="cpu").card.model
        yield Check("model", OK, f"{path.name}, {card.layers} layers of {card.width} channels")
    except GsrError as e:
        mend = "Set GSR_MODEL to a run folder of gsr train or its weights, or unset it."
        yield Check("model", MISS, _first(e), mend if wanted else "Install gsr-plugin again.")


def _scanners() -> Iterator[Check]:
    from circuit_io import native as reader

    yield _built("C scanner", reader.library, "files are read in Python, some ten times slower")
    with suppress(ImportError):  # without torch there is more to mend
        from gsr_plugin.ops import native as kernels

        yield _built("C kernels", kernels.library, "the model runs in plain torch, more slowly")
    tclsh = next(filter(None, map(shutil.which, ("tclsh", "tclsh8.6", "tclsh9.0"))), None)
    mend = "" if tclsh else "Install Tcl (Debian: apt-get install tcl)."
    yield Check("tclsh", OK if tclsh else WARNING, tclsh or "not on PATH: SDC files are not read", mend)


def _built(name: str, library: Callable[[], object], otherwise: str) -> Check:
    if library() is not None:
        return Check(name, OK, "built")
    return Check(name, WARNING, f"not built: {otherwise}", "Install a C compiler, then gsr-plugin again.")


def _hook_python(env: Mapping[str, str], timeout_s: float) -> Iterator[Check]:
    """The Python that the hooks call, in the environment that they give it."""
    words, named_by = hook_python(env, Path(env.get("GSR_HOME", "").strip() or TCL))
    named = f"{shlex.join(words)} (named by {named_by})"
    mend = f"Set GSR_PYTHON to a Python that has gsr-plugin, such as {sys.executable}."
    try:
        code, text = run_bounded([*words, "-c", _LOAD], Path.cwd(), timeout_s, child_environment(env))
    except (ToolError, ValueError) as e:
        yield Check("python of the hooks", MISS, f"{named}: {_first(e)}", mend)
        return
    said = text.strip().splitlines()
    if code == 0 and said:
        yield Check("python of the hooks", OK, f"{named}: {said[-1]}")
    else:
        why = said[-1] if said else f"exit code {code}"
        yield Check("python of the hooks", MISS, f"{named}: {why}", mend)


def _openroad(env: Mapping[str, str], timeout_s: float) -> Iterator[Check]:
    found = find_openroad(env)
    if found is None:
        mend = "Put openroad on PATH, or set GSR_OPENROAD (or ORFS's OPENROAD_EXE) to the binary."
        yield Check("openroad", MISS, "not found", mend)
        return
    path, named_by = found
    try:
        tool = probe_openroad(path, timeout_s=timeout_s)
    except GsrError as e:
        yield Check("openroad", MISS, f"{_first(e)} (named by {named_by})", "Set GSR_OPENROAD to a binary that runs.")
        return
    yield Check("openroad", OK, f"{tool.version}, Tcl {tool.tcl}, {path} (named by {named_by})")
    for c in CAPABILITIES:
        if tool.has[c.name]:
            continue
        lacks = " or ".join(c.commands) + (f" {c.option}" if c.option else "")
        if c.is_needed:
            yield Check(f"openroad: {c.name}", MISS, f"no {lacks}", "Use a newer openroad.")
        else:
            yield Check(f"openroad: {c.name}", WARNING, f"no {lacks}", "Use a newer openroad, or go without.")
    number = sum(tool.has.values())
    yield Check("openroad: capabilities", OK, f"{number} of {len(CAPABILITIES)}")


def _orfs(env: Mapping[str, str]) -> Iterator[Check]:
    path = find_flow(env)
    if path is None:
        mend = "Set FLOW_HOME to its folder flow, or run this there; a Tcl script of your own needs neither."
        yield Check("ORFS", WARNING, "not found", mend)
        return
    flow = read_flow(path)
    if not flow.hooks and not flow.reads_private_mk:
        yield Check("ORFS", MISS, f"{path}: no scripts of OpenROAD-flow-scripts", "Set FLOW_HOME to its folder flow.")
        return
    yield Check("ORFS", OK, str(path))
    lacking = [h for h in HOOKS if h not in flow.hooks]
    found = f"{len(flow.hooks & set(hook_names()))} of {len(hook_names())} hook variables"
    if lacking:
        mend = "Use ORFS of March 2026 or later; the hooks that are not sourced do nothing."
        yield Check("ORFS: hooks", WARNING, f"{found}; not {', '.join(lacking)}", mend)
    else:
        yield Check("ORFS: hooks", OK, found)
    yield from _attached(env, path, flow.reads_private_mk)


def _attached(env: Mapping[str, str], path: Path, reads_private_mk: bool) -> Iterator[Check]:
    """Whether the flow runs our hooks: by private.mk, or by hook variables."""
    ours = [h for h in hook_names() if _is_ours(env.get(f"{h}_TCL", ""))]
    named = env.get("PRIVATE_DIR", "").strip()
    if named and reads_private_mk:
        if attaches_us(path / named):
            yield Check("ORFS: PRIVATE_DIR", OK, f"{named} attaches all hooks")
            return
        mend = "Put `include $(shell gsr hooks --mk)` into its private.mk."
        yield Check("ORFS: PRIVATE_DIR", WARNING, f"{named} does not attach gsr", mend)
    elif ours:
        yield Check("ORFS: hook variables", OK, f"{len(ours)} set to ours")
    else:
        mend = "In config.mk or the environment: export PRIVATE_DIR=$(gsr hooks --path)"
        yield Check("ORFS: PRIVATE_DIR", WARNING, "not set here: the flow runs without gsr", mend)
    for hook in ours:
        if not Path(env[f"{hook}_TCL"].strip()).is_file():
            yield Check(
                f"ORFS: {hook}_TCL", MISS, f"{env[f'{hook}_TCL']} is not there", f"Use a file of {TCL / 'orfs'}."
            )


def _is_ours(value: str) -> bool:
    path = Path(value.strip() or "none")
    return path.parent.name == "orfs" and path.parent.parent.parent.name == "flow_hooks"


def _access_points(env: Mapping[str, str]) -> Iterator[Check]:
    """The table of where the router goes for pins, which is made once for a library."""
    from circuit_io.access_points import read_access_points

    given = env.get("GSR_ACCESS_POINTS", "").strip()
    mend = "Make it once for a platform: gsr access-points, or make gsr_access_points in ORFS."
    if not given:
        what = "GSR_ACCESS_POINTS is not set: pins are taken for the middles of their shapes, pin_access moves them"
        yield Check("access points", WARNING, what, f"{mend} Then set GSR_ACCESS_POINTS to it.")
    elif not Path(given).is_file():
        yield Check("access points", WARNING, f"GSR_ACCESS_POINTS: {given} is no file", mend)
    else:
        try:
            yield Check("access points", OK, f"{len(read_access_points(Path(given)).points)} pins, {given}")
        except GsrError as e:
            yield Check("access points", MISS, _first(e), mend)


def _settings(env: Mapping[str, str]) -> Iterator[Check]:
    """Wrong values, names that nothing reads, and a folder that cannot be written."""
    for name, value in sorted(env.items()):
        if name.startswith("GSR_") and name not in SETTINGS and not name.startswith(_OTHERS):
            yield Check(name, WARNING, "nothing reads this setting", did_you_mean(name, SETTINGS))
        elif name in _CHOICES and value.strip() and value.strip().lower() not in _CHOICES[name]:
            yield Check(name, WARNING, f'is "{value}"', f"One of {', '.join(_CHOICES[name])}.")
    text = env.get("GSR_TIMEOUT", "").strip()
    if text and not _is_positive(text):
        yield Check("GSR_TIMEOUT", WARNING, f'is "{text}"', "A number of seconds.")
    given = (
        env.get("GSR_OUT_DIR", "").strip() or env.get("GSR_OUT_ROOT", "").strip() or env.get("OBJECTS_DIR", "").strip()
    )
    folder = Path(given or ".").absolute()
    there = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    if there.is_dir() and os.access(there, os.W_OK):
        yield Check("output", OK, str(folder))
    else:
        yield Check("output", MISS, f"{there} cannot be written", "Set GSR_OUT_ROOT to a folder of your own.")


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def _server(env: Mapping[str, str]) -> Iterator[Check]:
    from gsr_plugin.server_address import NoServerError, read_address

    named, starts = env.get("GSR_SERVER", "").strip(), env.get("GSR_SERVE", "").strip() == "1"
    if not named:
        if starts:
            mend = "For commands of your own, also set GSR_SERVER to its address file."
            yield Check("server", OK, "the first prediction of a flow starts it", mend)
        return
    try:
        yield Check("server", OK, f"process {read_address(Path(named)).pid}")
    except NoServerError as e:
        if starts and e.has_room:
            yield Check("server", OK, "the first call starts it")
            return
        mend = "Start it (gsr serve), or set GSR_SERVE=1; the work is done without." if e.has_room else ""
        yield Check("server", WARNING, str(e), mend or "The work is done without.")


def _first(e: Exception) -> str:
    return str(e).splitlines()[0]
