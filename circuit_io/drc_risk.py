"""Where detailed routing is likely to leave DRC violations: connected gcells of a prediction."""

from dataclasses import dataclass

import numpy as np

from circuit_io.hotspots import connected_groups
from circuit_io.maps import VIOLATED, Prediction

LIKELY = 0.5  # probability from which a gcell counts
MOST = 50


@dataclass(frozen=True)
class DrcRisk:
    """Connected gcells that are likely to keep violations.

    Attributes:
        box_um: x1, y1, x2, y2 around them.
        gcells: how many.
        expected: how many of them are expected to be violated.
        peak: highest probability.
    """

    box_um: tuple[float, float, float, float]
    gcells: int
    expected: float
    peak: float


def find_risks(prediction: Prediction) -> list[DrcRisk]:
    """Groups of gcells with a probability of `LIKELY` and more, those first that expect most; none without the map."""
    prob = prediction.maps.get(VIOLATED)
    if prob is None:
        return []
    group, count = connected_groups(prob >= LIKELY)
    iy, ix = np.nonzero(group >= 0)
    of, inside = group[iy, ix], prob[iy, ix].astype(np.float64)
    gcells, expected, peak = np.bincount(of, minlength=count), np.bincount(of, inside, count), np.zeros(count)
    np.maximum.at(peak, of, inside)
    low, high = np.full((count, 2), max(prob.shape)), np.zeros((count, 2), np.int64)
    np.minimum.at(low, of, np.stack([ix, iy], 1))
    np.maximum.at(high, of, np.stack([ix, iy], 1) + 1)
    found = []
    for g in np.argsort(-expected, kind="stable")[:MOST].tolist():
        (x0, y0), (x1, y1) = low[g].tolist(), high[g].tolist()
        corners = (prediction.x_um[x0], prediction.y_um[y0], prediction.x_um[x1], prediction.y_um[y1])
        box = (float(corners[0]), float(corners[1]), float(corners[2]), float(corners[3]))
        found.append(DrcRisk(box, int(gcells[g]), float(expected[g]), float(peak[g])))
    return found
