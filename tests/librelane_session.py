"""Runs a flow in LibreLane's own environment, from a JSON file to a JSON file; started by tests/test_librelane.py.

.venv/librelane/bin/python tests/librelane_session.py asked.json answer.json
"""

import json
import sys
from pathlib import Path

import librelane
from librelane.config import Variable
from librelane.flows import Flow, FlowError, SequentialFlow
from librelane.state import State
from librelane.steps import Step


def registry() -> dict[str, object]:
    """What LibreLane knows of the plug-in, and what importing it has loaded."""
    from librelane.common.metrics import Metric

    flow = Flow.factory.get("GSRClassic")
    steps = [Step.factory.get(name) for name in Step.factory.list() if name.startswith("GSR.")]
    seen: dict[str, Variable] = {v.name: v for step in steps for v in step.config_vars if "GSR_" in v.name}
    seen |= {v.name: v for v in flow.config_vars if "GSR_" in v.name}
    return {
        "plugins": {name: module.__version__ for name, module in librelane.discovered_plugins.items()},
        "steps": [step.id for step in steps],
        "flow": [step.id for step in flow.Steps],
        "classic": [step.id for step in Flow.factory.get("Classic").Steps],
        "gates": {key: value for key, value in flow.gating_config_vars.items() if "GSR" in key},
        "variables": {
            v.name: [v.type_repr_md(), v.units, v.description, v.default if v.default is None else str(v.default)]
            for v in seen.values()
        },
        # raises where two steps mean different things by one name
        "variables_of_flow": len(flow.get_all_config_variables(flow)),
        "metrics": {m.name: m.higher_is_better for m in Metric.by_name.values() if m.name.startswith("gsr__")},
        "loaded": sorted({name.partition(".")[0] for name in sys.modules}),
    }


def run(asked: dict[str, object]) -> dict[str, object]:
    """One run of a flow that is named, or made of the steps asked for; the state after it, or the error."""
    name = asked["flow"]
    flow_class = Flow.factory.get(name) if name else SequentialFlow.Make(asked["steps"])
    if asked["substitutions"]:
        flow_class = flow_class.Substitute(asked["substitutions"])
    try:
        flow = flow_class(asked["config"], design_dir=asked["design_dir"], pdk="kit", pdk_root=asked["pdk_root"])
        state = flow.start(
            with_initial_state=State.loads(json.dumps(asked["state"])), tag=asked["tag"], **asked["options"]
        )
    except FlowError as error:
        return {"error": str(error), "kind": type(error).__name__}
    except Exception as error:  # what a step or the configuration raises is what the tests look at
        return {"error": f"{error} {getattr(error, 'errors', '')}", "kind": type(error).__name__}
    return {"error": "", "steps": [step.id for step in flow.step_objects], "state": json.loads(state.dumps())}


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    answer = run(asked) if asked else registry()
    Path(sys.argv[2]).write_text(json.dumps(answer, indent=1, default=str))
