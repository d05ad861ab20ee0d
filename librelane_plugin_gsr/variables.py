"""The configuration variables of the steps; named as the settings of the Tcl side, which thus reach it as they are."""

from decimal import Decimal
from typing import Any, Literal

from librelane.common import Path
from librelane.config import Variable

from circuit_io.errors import did_you_mean
from circuit_io.metric_keys import METRIC_KEYS

PREFIX = "gsr__"


def full_names(variable: Variable, limits: Any, warnings: list[str]) -> dict[str, Decimal] | None:
    """Limits by the registered key, which may be given without its `gsr__`.

    Raises:
        ValueError: a metric that no prediction has.
    """
    if limits is None:
        return None
    full = {name if name.startswith(PREFIX) else PREFIX + name: limit for name, limit in limits.items()}
    for name in full:
        if name not in METRIC_KEYS:
            hint = did_you_mean(name, METRIC_KEYS)
            raise ValueError(f"{variable.name}: no prediction has a metric '{name}'. {hint}".rstrip())
    return full


def positive(variable: Variable, value: Decimal, warnings: list[str]) -> Decimal:
    """The value, above 0.

    Raises:
        ValueError: it is not.
    """
    if value <= 0:
        raise ValueError(f"{variable.name} is {value}; it must be above 0.")
    return value


# LibreLane tells variables of equal names apart by their fields, so each is made once.
MODE = Variable(
    "GSR_MODE",
    Literal["observe", "advise", "apply"],
    "observe: predict, and leave the design as it is. advise: also plan feedback, and put the predicted hot spots into"
    " the database as markers and inst properties. apply: also place with the plan.",
    default="observe",
)
ON_ERROR = Variable(
    "GSR_ON_ERROR",
    Literal["warn", "fail"],
    "What a prediction or a plan that fails costs: a warning, or the step.",
    default="warn",
)

CALL = [
    MODE,
    ON_ERROR,
    Variable(
        "GSR_PYTHON",
        str | None,
        "The Python that has gsr and torch, e.g. `/opt/gsr/bin/python`; a command of several words is allowed. If"
        " unset, the Python that runs LibreLane.",
    ),
    Variable(
        "GSR_TIMEOUT",
        Decimal,
        "How long a prediction may take.",
        default=600,
        units="s",
        validator=positive,
    ),
    Variable("GSR_MODEL", Path | None, "Weights, or the folder of a training run. If unset, the shipped model."),
    Variable("GSR_DEVICE", Literal["auto", "cpu", "cuda"], "Where the model runs.", default="auto"),
    Variable("GSR_RTL", list[Path] | None, "RTL files, so that hot spots are laid to modules."),
]
FAMILY = Variable("GSR_FAMILY", str | None, "Designs that share RTL have one family. If unset, the name of the design.")
ACTIONS = Variable(
    "GSR_FEEDBACK",
    list[str] | None,
    "Actions of a plan that are carried out, e.g. `density_blockage`. If unset, all.",
)
PLANNER = Variable("GSR_PLAN", list[str] | None, "Settings of the planner, e.g. `gentle=always` (docs/prediction.md).")
PLAN = [
    Variable(
        "GSR_PREDICTION_DIR",
        Path | None,
        "Folder of an earlier prediction, whose feedback.tsv is carried out by the only placement. If unset, the"
        " plan is made for a first placement.",
    ),
    Variable(
        "GSR_ROUNDS",
        int,
        "How many placements with a plan may be tried, 1 to 9; each plan is made for the placement before it.",
        default=1,
    ),
    PLANNER,
    ACTIONS,
]
LABELS = Variable(
    "GSR_LABELS",
    list[Literal["grt", "wire_length", "timing", "drc"]],
    "Which labels are written.",
    default=["grt", "wire_length"],
)
GATE = Variable(
    "GSR_GATE",
    dict[str, Decimal] | None,
    "Limits of predicted metrics, e.g. `{congestion_h__max: 1.3}`; the leading `gsr__` may be left out.",
    units="of the metric",
    validator=full_names,
)
ERROR_ON_GATE = Variable(
    "ERROR_ON_GSR_GATE",
    bool,
    "Whether a metric above its limit in GSR_GATE ends the flow at once; else it is a warning.",
    default=True,
)
RUN_EXPORT_LABELS = Variable(
    "RUN_GSR_EXPORT_LABELS",
    bool,
    "Enables the GSR.ExportLabels step, which writes the router's results as labels for training.",
    default=False,
)
