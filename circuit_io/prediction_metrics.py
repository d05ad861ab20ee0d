"""The metrics of a prediction."""

import math

import numpy as np

from circuit_io.drift import drift_of
from circuit_io.hotspots import hot_totals
from circuit_io.maps import FULL, VIOLATED, Prediction
from circuit_io.metric_keys import DIRECTIONS, metric


def prediction_metrics(prediction: Prediction) -> dict[str, float]:
    """The metrics of a prediction under their full keys; one that is not defined (a grid without edges) is left out.

    The expected overflow of an edge with capacity c, congestion m and uncertainty s is `c (s phi(z) + (m - 1) Phi(z))`,
    z = (m - 1) / s: the mean of `max(0, X - 1)` under the normal distribution that the prediction claims; without an
    uncertainty it is `c max(0, m - 1)`. The sum of the latter is `gsr__overflow__predicted`: placements of a design are
    ranked better by it: most of the expected overflow is of edges that may overflow and do not (docs/feedback.md).
    """
    values: dict[str, float] = {"gsr__gcell__count": float(np.prod(prediction.shape))}
    demand = tracks = overflow = plain = 0.0
    for d in DIRECTIONS:
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
        plain += float((c * expected_excess(m, None)).sum())
        demand, tracks, overflow = demand + (m * c).sum(), tracks + c.sum(), overflow + (c * excess).sum()
    if tracks > 0:
        values["gsr__congestion__load"] = demand / tracks
        values["gsr__overflow__expected"] = overflow
        values["gsr__overflow__predicted"] = plain
    if prediction.net_lengths is not None:
        values["gsr__wirelength__predicted"] = prediction.net_lengths.total_um()
        values["gsr__detour__predicted"] = prediction.net_lengths.detour()
    if prediction.slacks is not None:
        values["gsr__timing__setup__ws"] = prediction.slacks.ws_ns()
        values["gsr__timing__setup__wns"] = prediction.slacks.wns_ns()
        values["gsr__timing__setup__tns"] = prediction.slacks.tns_ns()
    if VIOLATED in prediction.maps:
        values["gsr__drc__gcells"] = float(prediction.maps[VIOLATED].sum(dtype=np.float64))
    hot = hot_totals(prediction)
    values["gsr__hotspot__count"] = hot.num_edges
    values["gsr__hotspot__area"] = hot.area_um2
    values["gsr__hotspot__peak"] = hot.peak
    drift = drift_of(prediction.manifest, path=prediction.path or "prediction")
    if drift is not None:
        values["gsr__drift__count"] = len(drift)
        values["gsr__drift__farthest"] = max((d.far for d in drift if math.isfinite(d.far)), default=0.0)
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
    out, near = (z > 0).astype(np.float64), np.abs(z) < 9  # beyond it is 0 or 1 to the last place
    out[near] = [0.5 * math.erfc(-v / math.sqrt(2)) for v in z[near].tolist()]
    return out
