"""The steps: a prediction, a placement with its plan, a routing with its annotations, a gate, labels."""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from librelane.common import TclUtils
from librelane.logging import info
from librelane.state import DesignFormat, State
from librelane.steps import MetricsUpdate, OpenROAD, Step, StepError, ViewsUpdate
from librelane.steps.checker import MetricChecker
from librelane.steps.common_variables import routing_layer_variables
from rich.markup import escape

from circuit_io.metric_keys import DIRECTIONS
from flow_hooks import TCL

from . import variables, views
from .child import python_command
from .prediction import absolute, layer_adjustment, lef_files, lib_files, predict

Updates = tuple[ViewsUpdate, MetricsUpdate]


def script(name: str) -> str:
    """A script that OpenROAD runs for LibreLane."""
    return str(TCL / "librelane" / name)


def settings(step: Step, prediction: Any = None) -> dict[str, str]:
    """What the Tcl side must know beside the variables of the step, which reach it by their own names."""
    state, config = step.state_in.result(), step.config
    env = {
        "GSR_OUT_DIR": absolute(step.step_dir),
        "GSR_LEFS": TclUtils.join(lef_files(step)),
        "GSR_LIBS": TclUtils.join(lib_files(step)),
        "PLATFORM": config["PDK"],
        "MIN_ROUTING_LAYER": config["RT_MIN_LAYER"],
        "MAX_ROUTING_LAYER": config["RT_MAX_LAYER"],
    }
    if sdc := state.get_by_df(DesignFormat.SDC):
        env["SDC_FILE"] = absolute(sdc)
    if prediction is not None:
        env["GSR_PREDICTION_DIR"] = absolute(prediction)
    return env


def placement_settings(step: Step) -> dict[str, str]:
    """What a prediction within OpenROAD must know besides, and what a planner asks of the flow."""
    config = step.config
    adjustment = layer_adjustment(config, Path(lef_files(step)[0]))
    env = {
        "GSR_PYTHON": TclUtils.join(python_command(config["GSR_PYTHON"])),
        "GSR_LAYER_ADJUSTMENTS": " ".join(f"{layer}={share}" for layer, share in adjustment.items()),
        "GPL_ROUTABILITY_DRIVEN": str(int(config["PL_ROUTABILITY_DRIVEN"])),
        "ENABLE_DPO": "0",  # no step of LibreLane runs improve_placement
    }
    if given := config["IO_PIN_ORDER_CFG"] or config["FP_DEF_TEMPLATE"]:
        env["FLOORPLAN_DEF"] = absolute(given)  # pins that the user placed stay
    return env


def tell_feedback(record: Path) -> None:
    """Say what was planned and became of it; the Tcl side has warned where there is no record."""
    if record.is_file():
        found = json.loads(record.read_text(encoding="utf-8"))
        counts = ", ".join(f"{found[f'num_{status}']} {status}" for status in ("applied", "skipped", "unsupported"))
        said = [*([found["verdict"]] if found["verdict"] else []), *found["advice"]]
        info(escape(" ".join([*said, f"Actions of the plan: {counts} ({record})."])))


@Step.factory.register()
class Predict(Step):
    """
    Predicts the congestion of the global router from the placement, in a process of its own.

    The folder of the step holds a report, hot spots, markers, heat maps and, unless ``GSR_MODE`` is ``observe``, a plan
    of feedback. A prediction that fails is a warning, unless ``GSR_ON_ERROR`` is ``fail``; metrics and views of an
    earlier one are then taken out of the state.
    """

    id = "GSR.Predict"
    name = "Congestion Prediction"

    inputs = [DesignFormat.DEF, DesignFormat.SDC.mkOptional()]
    outputs = views.FORMATS
    config_vars = [*routing_layer_variables, *variables.CALL, variables.PLANNER]

    def run(self, state_in: State, **kwargs: Any) -> Updates:
        """One prediction for the DEF of the state."""
        folder = Path(self.step_dir).absolute()
        old_views, old_metrics = views.forgotten(state_in)
        metrics = predict(self, state_in, folder)
        if metrics is None:
            return old_views, old_metrics
        known = {way: metrics.get(f"gsr__congestion_{d}__max") for d, way in DIRECTIONS.items()}
        highest = ", ".join(f"{way} {value:.2f}" for way, value in known.items() if value is not None)
        info(f"Highest predicted congestion (1 = full): {highest}. Report: {folder / 'report.html'}")
        return {**old_views, **views.read_views(folder)}, {**old_metrics, **metrics}


@Step.factory.register()
class GlobalPlacement(OpenROAD.GlobalPlacement):
    """
    Global placement that carries out a plan of feedback if ``GSR_MODE`` is ``apply``, else OpenROAD.GlobalPlacement.

    The plan is that of an earlier run (``GSR_PREDICTION_DIR``), or the design is placed without a plan, then, from the
    same start, with the plan made for the first placement, and the one with the lower predicted overflow stays. Where
    the plan is empty, or there is none, the first placement is the result. What was planned and became of it is in
    ``gsr_feedback.json``.
    """

    id = "GSR.GlobalPlacement"
    name = "Global Placement with Feedback"

    config_vars = [
        *OpenROAD.GlobalPlacement.config_vars,
        *(v for v in OpenROAD.IOPlacement.config_vars if v.name in ("IO_PIN_ORDER_CFG", "FP_DEF_TEMPLATE")),
        *variables.CALL,
        *variables.PLAN,
    ]

    def get_script_path(self) -> str:
        """LibreLane's own script, or ours around it."""
        return script("global_placement.tcl") if self.config["GSR_MODE"] == "apply" else super().get_script_path()

    def run(self, state_in: State, **kwargs: Any) -> Updates:
        """One placement, or two with a prediction between them."""
        if self.config["GSR_MODE"] != "apply":
            return super().run(state_in, **kwargs)
        kwargs, env = self.extract_env(kwargs)
        plan = self.config["GSR_PREDICTION_DIR"]
        updates = super().run(state_in, env={**env, **settings(self, plan), **placement_settings(self)}, **kwargs)
        tell_feedback(Path(self.step_dir).absolute() / "gsr_feedback.json")
        return updates


@Step.factory.register()
class GlobalRouting(OpenROAD.GlobalRouting):
    """
    Global routing that leaves the latest prediction in the database, as markers and inst properties, if ``GSR_MODE`` is
    ``advise`` or ``apply``; else, and without a prediction in the state, OpenROAD.GlobalRouting.

    In mode ``apply`` the actions of the prediction's plan that are meant for the router are in force while it runs.
    """

    id = "GSR.GlobalRouting"
    name = "Global Routing with Annotations"

    inputs = [*OpenROAD.GlobalRouting.inputs, views.HOTSPOTS.mkOptional()]
    config_vars = [*OpenROAD.GlobalRouting.config_vars, variables.MODE, variables.ON_ERROR, variables.ACTIONS]

    def get_script_path(self) -> str:
        """LibreLane's own script, or ours around it."""
        return script("global_routing.tcl") if self.has_prediction() else super().get_script_path()

    def has_prediction(self) -> bool:
        """Whether there is something to annotate with, and the mode wants it."""
        return self.config["GSR_MODE"] != "observe" and self.state_in.result().get_by_df(views.HOTSPOTS) is not None

    def run(self, state_in: State, **kwargs: Any) -> Updates:
        """One routing."""
        if not self.has_prediction():
            if self.config["GSR_MODE"] != "observe":
                self.warn("There is no prediction to annotate the design with: run GSR.Predict before.")
            return super().run(state_in, **kwargs)
        kwargs, env = self.extract_env(kwargs)
        folder = Path(state_in[views.HOTSPOTS]).parent
        return super().run(state_in, env={**env, **settings(self, folder)}, **kwargs)


@Step.factory.register()
class ExportLabels(OpenROAD.OpenROADStep):
    """
    Writes what the global router did as labels for training: ``gsr export --hook D/hook.json --labels D/labels``, where
    D is the folder of the step. A kind of label that cannot be written is told in ``labels/done.json``.
    """

    id = "GSR.ExportLabels"
    name = "Label Export"

    inputs = [DesignFormat.ODB, DesignFormat.SDC.mkOptional()]
    outputs: list[DesignFormat] = []
    config_vars = [*OpenROAD.OpenROADStep.config_vars, variables.ON_ERROR, variables.LABELS, variables.FAMILY]

    def get_script_path(self) -> str:
        """Our script."""
        return script("export_labels.tcl")

    def run(self, state_in: State, **kwargs: Any) -> Updates:
        """One reading of the routed database."""
        kwargs, env = self.extract_env(kwargs)
        return super().run(state_in, env={**env, **settings(self)}, **kwargs)


@Step.factory.register()
class GateChecker(MetricChecker):
    """Docstring made by MetricChecker."""

    id = "GSR.GateChecker"
    name = "Predicted Congestion Checker"

    metric_name = "gsr__*"
    metric_description = "predicted metrics"
    deferred = False
    error_on_var = variables.ERROR_ON_GATE
    config_vars = [variables.GATE, variables.ERROR_ON_GATE]

    def get_threshold_description(self) -> str:
        """For the documentation."""
        return "their limits in ``GSR_GATE``"

    def get_threshold(self) -> Decimal:
        """The limit of the metric at hand."""
        limit: Decimal = self.config["GSR_GATE"][self.metric_name]
        return limit

    def run(self, state_in: State, **kwargs: Any) -> Updates:
        """Check every limit; all that are exceeded are told together."""
        limits: Mapping[str, Decimal] = self.config["GSR_GATE"] or {}
        if not limits:
            info("GSR_GATE sets no limits: the gate is open.")
        exceeded = []
        for name, limit in limits.items():
            self.metric_name = name
            self.metric_description = f"{name} (limit {float(limit):g})"
            try:
                super().run(state_in, **kwargs)
            except StepError as error:
                exceeded.append(str(error))
        if exceeded:
            raise StepError("The gate is closed: " + " ".join(exceeded))
        return {}, {}
