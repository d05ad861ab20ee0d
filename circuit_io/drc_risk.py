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


def find_risks(prediction: Prediction, *, least: float = LIKELY, most: int = MOST) -> list[DrcRisk]:
    """Groups of gcells with a probability of `least` and more, those first that expect most; none without the map."""
    prob = prediction.maps.get(VIOLATED)
    if prob is None:
        return []
    group, count = connected_groups(prob >= least)
    found = []
    for number in range(count):
        iy, ix = np.nonzero(group == number)
        inside = prob[iy, ix].astype(np.float64)
        x, y = prediction.x_um[[ix.min(), ix.max() + 1]], prediction.y_um[[iy.min(), iy.max() + 1]]
        box = (float(x[0]), float(y[0]), float(x[1]), float(y[1]))
        found.append(DrcRisk(box, len(inside), float(inside.sum()), float(inside.max())))
    return sorted(found, key=lambda risk: -risk.expected)[:most]
