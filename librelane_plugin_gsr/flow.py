"""The flow: Classic with our steps."""

from librelane.flows import Flow
from librelane.flows.classic import Classic

from . import variables
from .steps import ExportLabels, GateChecker, GlobalPlacement, GlobalRouting, Predict


@Flow.factory.register()
class GSRClassic(Classic):
    """
    Classic with a prediction and a gate after detailed placement, placement by plan, annotations and label export.

    With the default ``GSR_MODE`` the design is the same as that of Classic.
    """

    Substitutions = [
        ("OpenROAD.GlobalPlacement", GlobalPlacement),
        ("+OpenROAD.DetailedPlacement", Predict),
        ("+GSR.Predict", GateChecker),
        ("OpenROAD.GlobalRouting", GlobalRouting),
        ("+GSR.GlobalRouting", ExportLabels),
    ]
    config_vars = [*Classic.config_vars, variables.RUN_EXPORT_LABELS]
    gating_config_vars = {**Classic.gating_config_vars, "GSR.ExportLabels": ["RUN_GSR_EXPORT_LABELS"]}
