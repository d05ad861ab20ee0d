"""The prediction for a state: hook.json from state and configuration, one run of `gsr flow`."""

import json
import re
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

from librelane.state import DesignFormat, State
from librelane.steps import Step, StepError
from rich.markup import escape

from circuit_io.errors import GsrError

from .child import python_command, run_child
from .views import read_metrics


def predict(step: Step, state: State, folder: Path) -> dict[str, Decimal] | None:
    """The metrics of a prediction for the DEF of a state, made in `folder`; None after a warning when that fails.

    Raises:
        StepError: it fails, and GSR_ON_ERROR is fail.
    """
    config = step.config
    try:
        run_id = write_hook(step, state, folder)
        command = [*python_command(config["GSR_PYTHON"]), "-m", "gsr_plugin", "flow", "--hook", folder / "hook.json"]
        command += ["--out", folder, "--mode", config["GSR_MODE"], "--device", config["GSR_DEVICE"]]
        if config["GSR_MODEL"]:
            command += ["--weights", absolute(config["GSR_MODEL"])]
        for assignment in config["GSR_PLAN"] or []:
            command += ["--set", assignment]
        run_child([str(word) for word in command], log=folder / "gsr.log", timeout_s=float(config["GSR_TIMEOUT"]))
        # an exit code of 0 alone is not believed: the run writes its id at the very end
        done = folder / "done"
        if not done.is_file() or done.read_text(encoding="utf-8").strip() != run_id:
            raise GsrError(f"{command[0]} ended without writing the id of this run into {done}")
        return read_metrics(folder)
    except (GsrError, OSError) as error:
        message = escape(f"No prediction: {error}. Does GSR_PYTHON name a Python with gsr?")
        if config["GSR_ON_ERROR"] == "fail":
            raise StepError(message) from error
        step.warn(message)
        return None


def absolute(path: Any) -> str:
    """A path as another process with another working folder must be told it."""
    return str(Path(path).absolute())


def write_hook(step: Step, state: State, folder: Path) -> str:
    """Write what a hook in Tcl would tell of the design; returns the id of the run.

    Raises:
        OSError: a file cannot be read or written.
    """
    config = step.config
    lefs = lef_files(step)
    hook: dict[str, Any] = {
        "schema": "gsr-hook",
        "schema_version": 1,
        "run_id": f"librelane-{uuid.uuid4().hex[:16]}",
        "stage": "place",
        "mode": config["GSR_MODE"],
        "design": config["DESIGN_NAME"],
        "platform": config["PDK"],
        "def": absolute(state[DesignFormat.DEF]),
        "lefs": lefs,
        "libs": lib_files(step),
        "signal_layers": [config["RT_MIN_LAYER"], config["RT_MAX_LAYER"]],
        "layer_adjustment": layer_adjustment(config, Path(lefs[0])),
    }
    if sdc := state.get_by_df(DesignFormat.SDC):
        hook["sdc"] = absolute(sdc)
    if config["GSR_RTL"]:
        hook["rtl"] = [absolute(path) for path in config["GSR_RTL"]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hook.json").write_text(json.dumps(hook, indent=2) + "\n", encoding="utf-8")
    return str(hook["run_id"])


def lef_files(step: Step) -> list[str]:
    """The LEF files of the design, the technology's first."""
    config, box = step.config, step.toolbox
    paths = [*box.filter_views(config, config["TECH_LEFS"])[:1], *config["CELL_LEFS"]]
    paths += [
        *box.get_macro_views(config, DesignFormat.LEF),
        *(config["PAD_LEFS"] or []),
        *(config["EXTRA_LEFS"] or []),
    ]
    return [absolute(path) for path in paths]


def lib_files(step: Step) -> list[str]:
    """The Liberty files of the default corner."""
    config, box = step.config, step.toolbox
    paths = box.filter_views(config, config["LIB"]) + box.get_macro_views(config, DesignFormat.LIB)
    paths += box.filter_views(config, config["PAD_LIBS"]) if config["PAD_LIBS"] else []
    return [absolute(path) for path in [*paths, *(config["EXTRA_LIBS"] or [])]]


def layer_adjustment(config: Any, tech_lef: Path) -> dict[str, float]:
    """The router's adjustments, as LibreLane sets them: one for all, then by position among the routing layers."""
    text = tech_lef.read_text(encoding="utf-8", errors="replace")
    names = re.findall(r"^\s*LAYER\s+(\S+)\s+TYPE\s+ROUTING\s*;", text, re.MULTILINE)
    adjustment = dict.fromkeys(names, float(config["GRT_ADJUSTMENT"]))
    return adjustment | dict(zip(names, map(float, config["GRT_LAYER_ADJUSTMENTS"]), strict=False))
