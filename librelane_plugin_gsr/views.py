"""What a prediction adds to a state: views and metrics."""

from decimal import Decimal, InvalidOperation
from pathlib import Path

from librelane.common import Path as ViewPath
from librelane.common.metrics import Metric
from librelane.state import DesignFormat, State

from circuit_io.errors import InputError
from circuit_io.metric_keys import METRIC_KEYS

# the file of a prediction's folder behind each view
FILES = {
    DesignFormat("gsr_report", "html", "Predicted Congestion: Report", folder_override="gsr"): "report.html",
    DesignFormat("gsr_hotspots", "tsv", "Predicted Congestion: Hot Spots", folder_override="gsr"): "hotspots.tsv",
    DesignFormat("gsr_markers", "json", "Predicted Congestion: Markers", folder_override="gsr"): "markers.json",
    DesignFormat("gsr_feedback", "tsv", "Feedback Plan", folder_override="gsr"): "feedback.tsv",
}
FORMATS = list(FILES)
REPORT, HOTSPOTS, MARKERS, FEEDBACK = FORMATS
for _format in FORMATS:
    _format.register()

_HIGHER = {"higher": True, "lower": False, "neither": None}
for _key in METRIC_KEYS.values():
    Metric(_key.name, higher_is_better=_HIGHER[_key.better])


def read_metrics(folder: Path) -> dict[str, Decimal]:
    """Metrics of a prediction by their registered keys: a state names no stage, its latest values hold.

    Raises:
        InputError: the file holds anything else.
        OSError: it cannot be read.
    """
    path, found = folder / "metrics.tsv", {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#"):
            continue
        try:
            key, value = line.split("\t")
            found[key.partition("__")[2]] = Decimal(value)
        except (ValueError, InvalidOperation) as error:
            raise InputError("is not a key and a number", path=path, line=number) from error
    return found


def read_views(folder: Path) -> dict[DesignFormat, ViewPath]:
    """Views of a prediction; a plan only where one was made."""
    return {view: ViewPath(folder / name) for view, name in FILES.items() if (folder / name).exists()}


def forgotten(state: State) -> tuple[dict[DesignFormat, None], dict[str, None]]:
    """Updates that take an earlier prediction out of a state, so that no gate judges an old placement."""
    return dict.fromkeys(FORMATS), {key: None for key in METRIC_KEYS if key in state.metrics}
