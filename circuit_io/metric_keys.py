"""Every metric key once, with its unit and which direction is better, and the metrics of a prediction.

Keys follow METRICS2.1, so that flow tools read them as they are: `<stage>__gsr__<metric>`, the stage in the flow's own
words, e.g. `detailedplace__gsr__congestion_h__max`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from circuit_io.errors import InputError, did_you_mean
from circuit_io.hotspots import hot_totals
from circuit_io.maps import FULL, Prediction

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True)
class MetricKey:
    """One metric: the key without its stage, unit, which direction is better, and what it says."""

    name: str
    unit: str
    better: Better
    meaning: str


def _per_direction(name: str, unit: str, better: Better, meaning: str) -> list[MetricKey]:
    return [MetricKey(name.format(d), unit, better, f"{meaning}, {long}") for d, long in _DIRECTIONS.items()]


_DIRECTIONS = {"h": "horizontal", "v": "vertical"}
_KEYS = [
    *_per_direction("gsr__congestion_{}__max", "1 = full", "lower", "highest predicted congestion of an edge"),
    *_per_direction("gsr__congestion_{}__mean", "1 = full", "lower", "mean predicted congestion of the edges"),
    *_per_direction("gsr__congestion_{}__p95", "1 = full", "lower", "congestion that 5 % of the edges exceed"),
    *_per_direction("gsr__overflow_{}__expected", "tracks", "lower", "expected sum of demand above the tracks"),
    *_per_direction("gsr__overflow_{}__edges", "edges", "lower", "expected number of edges above full"),
    MetricKey("gsr__overflow__expected", "tracks", "lower", "expected overflow of both directions"),
    MetricKey("gsr__congestion__load", "1 = full", "lower", "all predicted demand over all tracks, both directions"),
    MetricKey("gsr__hotspot__count", "edges", "lower", "edges predicted above 0.95, both directions"),
    MetricKey("gsr__hotspot__area", "um^2", "lower", "area of the gcells at these edges"),
    MetricKey("gsr__hotspot__peak", "1 = full", "lower", "highest congestion of these edges"),
    MetricKey("gsr__gcell__count", "gcells", "neither", "size of the grid"),
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


def key_of(full: str) -> MetricKey:
    """What a full key means.

    Raises:
        KeyError: it is not registered.
    """
    return METRIC_KEYS[full.partition("__")[2]]


def prediction_metrics(prediction: Prediction) -> dict[str, float]:
    """The metrics of a prediction under their full keys; one that is not defined (a grid without edges) is left out.

    The expected overflow of an edge with capacity c, congestion m and uncertainty s is `c (s phi(z) + (m - 1) Phi(z))`,
    z = (m - 1) / s: the mean of `max(0, X - 1)` under the normal distribution that the prediction claims; without an
    uncertainty it is `c max(0, m - 1)`.
    """
    values: dict[str, float] = {"gsr__gcell__count": float(np.prod(prediction.shape))}
    demand = tracks = overflow = 0.0
    for d in _DIRECTIONS:
        edges, capacity = prediction.maps[f"congestion_{d}"], prediction.maps[f"capacity_{d}"]
        seen = np.isfinite(edges) & np.isfinite(capacity)
        if not seen.any():
            continue
        m, c = edges[seen].astype(np.float64), capacity[seen].astype(np.float64)
        values[f"gsr__congestion_{d}__max"] = m.max()
        values[f"gsr__congestion_{d}__mean"] = m.mean()
        values[f"gsr__congestion_{d}__p95"] = np.quantile(m, 0.95)
        sigma = prediction.maps.get(f"sigma_{d}")
        excess = expected_excess(m, None if sigma is None else np.nan_to_num(sigma[seen].astype(np.float64)))
        values[f"gsr__overflow_{d}__expected"] = (c * excess).sum()
        prob = prediction.maps.get(f"overflow_prob_{d}")
        values[f"gsr__overflow_{d}__edges"] = (m > FULL).sum() if prob is None else np.nansum(prob[seen])
        demand, tracks, overflow = demand + (m * c).sum(), tracks + c.sum(), overflow + (c * excess).sum()
    if tracks > 0:
        values["gsr__congestion__load"] = demand / tracks
        values["gsr__overflow__expected"] = overflow
    hot = hot_totals(prediction)
    values["gsr__hotspot__count"] = hot.num_edges
    values["gsr__hotspot__area"] = hot.area_um2
    values["gsr__hotspot__peak"] = hot.peak
    stage = prediction.stage
    return {metric(stage, name): float(value) for name, value in sorted(values.items()) if math.isfinite(value)}


def expected_excess(mean: np.ndarray, sigma: np.ndarray | None) -> np.ndarray:
    """Mean of `max(0, X - 1)` for X normal with `mean` and `sigma`, elementwise."""
    over = mean - FULL
    if sigma is None:
        return np.maximum(over, 0.0)
    safe = np.where(sigma > 0, sigma, 1.0)
    z = over / safe
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    spread = safe * density + over * _normal_cdf(z)
    return np.where(sigma > 0, np.maximum(spread, 0.0), np.maximum(over, 0.0))


def _normal_cdf(z: np.ndarray) -> np.ndarray:
    return np.asarray([0.5 * math.erfc(-v / math.sqrt(2)) for v in z.ravel().tolist()]).reshape(z.shape)
