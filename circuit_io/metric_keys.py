"""Every metric key once, with its unit and which direction is better.

Keys follow METRICS2.1, so that flow tools read them as they are: `<stage>__gsr__<metric>`, the stage in the flow's own
words, e.g. `detailedplace__gsr__congestion_h__max`. Free of numpy, since LibreLane reads this table as well.
"""

from dataclasses import dataclass
from typing import Literal

from circuit_io.errors import InputError, did_you_mean

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True)
class MetricKey:
    """One metric: the key without its stage, unit, which direction is better, and what it says."""

    name: str
    unit: str
    better: Better
    meaning: str


def _per_direction(name: str, unit: str, better: Better, meaning: str) -> list[MetricKey]:
    return [MetricKey(name.format(d), unit, better, f"{meaning}, {long}") for d, long in DIRECTIONS.items()]


DIRECTIONS = {"h": "horizontal", "v": "vertical"}
_KEYS = [
    *_per_direction("gsr__congestion_{}__max", "1 = full", "lower", "highest predicted congestion of an edge"),
    *_per_direction("gsr__congestion_{}__mean", "1 = full", "lower", "mean predicted congestion of the edges"),
    *_per_direction("gsr__congestion_{}__p95", "1 = full", "lower", "congestion that 5 % of the edges exceed"),
    *_per_direction("gsr__overflow_{}__expected", "tracks", "lower", "expected sum of demand above the tracks"),
    *_per_direction("gsr__overflow_{}__edges", "edges", "lower", "expected number of edges above full"),
    MetricKey("gsr__overflow__expected", "tracks", "lower", "expected overflow of both directions"),
    MetricKey("gsr__overflow__predicted", "tracks", "lower", "the same without uncertainty; ranks placements"),
    MetricKey("gsr__congestion__load", "1 = full", "lower", "all predicted demand over all tracks, both directions"),
    MetricKey("gsr__hotspot__count", "edges", "lower", "edges predicted above 0.95, both directions"),
    MetricKey("gsr__hotspot__area", "um^2", "lower", "area of the gcells at these edges"),
    MetricKey("gsr__hotspot__peak", "1 = full", "lower", "highest congestion of these edges"),
    MetricKey("gsr__wirelength__predicted", "um", "lower", "predicted routed length of all nets"),
    MetricKey("gsr__detour__predicted", "ratio", "lower", "the same over the shortest length of the nets"),
    MetricKey("gsr__timing__setup__ws", "ns", "higher", "worst predicted slack after global route"),
    MetricKey("gsr__timing__setup__wns", "ns", "higher", "the same where it is negative, else 0"),
    MetricKey("gsr__timing__setup__tns", "ns", "higher", "sum of the negative predicted slacks"),
    MetricKey("gsr__drc__gcells", "gcells", "lower", "expected number of gcells with violations in detailed routing"),
    MetricKey("gsr__gcell__count", "gcells", "neither", "size of the grid"),
    MetricKey("gsr__drift__count", "measures", "lower", "measures of the design outside of what the model has seen"),
    MetricKey("gsr__drift__farthest", "widths", "lower", "how far the farthest of them is, in widths of its range"),
    MetricKey("gsr__feedback__actions", "actions", "neither", "actions that the feedback plan holds"),
    MetricKey("gsr__feedback__blocked_area", "um^2", "neither", "placement area that the feedback plan blocks"),
]
METRIC_KEYS: dict[str, MetricKey] = {key.name: key for key in _KEYS}

# our stages (and ORFS's steps) -> the prefix of OpenROAD's `utl::set_metrics_stage`
STAGE_PREFIX = {
    "synth": "synth",
    "floorplan": "floorplan",
    "macro_place": "floorplan",
    "tapcell": "floorplan",
    "pdn": "floorplan",
    "global_place_skip_io": "globalplace_skip_io",
    "globalplace_skip_io": "globalplace_skip_io",
    "io_placement": "globalplace_io",
    "globalplace_io": "globalplace_io",
    "global_place": "globalplace",
    "globalplace": "globalplace",
    "resize": "placeopt",
    "placeopt": "placeopt",
    "place": "detailedplace",
    "detail_place": "detailedplace",
    "detailedplace": "detailedplace",
    "cts": "cts",
    "grt": "globalroute",
    "global_route": "globalroute",
    "globalroute": "globalroute",
    "route": "detailedroute",
    "detail_route": "detailedroute",
    "detailedroute": "detailedroute",
    "fillcell": "detailedroute",
    "density_fill": "finish",
    "final_report": "finish",
    "final": "finish",
    "finish": "finish",
}


def stage_prefix(stage: str) -> str:
    """The flow's metric prefix for a stage or an ORFS step in any case, e.g. "place" and "DETAIL_PLACE".

    Raises:
        InputError: an unknown stage.
    """
    known = STAGE_PREFIX.get(stage.lower())
    if known is None:
        mend = did_you_mean(stage.lower(), STAGE_PREFIX)
        raise InputError(f'unknown stage "{stage}"', path="--stage", mend=mend)
    return known


def metric(stage: str, name: str) -> str:
    """The full key of a registered metric."""
    if name not in METRIC_KEYS:
        raise KeyError(f"{name} is not in METRIC_KEYS")
    return f"{stage_prefix(stage)}__{name}"
