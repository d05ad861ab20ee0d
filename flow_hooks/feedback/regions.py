"""Rectangles of equal gcells."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

from circuit_io.maps import Prediction


@dataclass(frozen=True)
class Region:
    """A rectangle of gcells, inclusive, that share one value."""

    x0: int
    y0: int
    x1: int
    y1: int
    value: int

    @property
    def num_gcells(self) -> int:
        """Gcells inside."""
        return (self.x1 - self.x0 + 1) * (self.y1 - self.y0 + 1)


def merge_equal(values: Int[np.ndarray, "ny nx"]) -> list[Region]:
    """Disjoint rectangles that cover the gcells with a positive value, each of one value.

    From the lowest, leftmost free gcell on, the larger of the two rectangles that grow first right or first up.
    """
    left = np.where(values > 0, values, 0).astype(np.int64)
    out = []
    for iy, ix in np.argwhere(left > 0).tolist():
        value = int(left[iy, ix])
        if not value:
            continue  # taken by an earlier rectangle
        a, b = _grow(left, value, iy, ix), _grow(left.T, value, ix, iy)
        x1, y1 = (a[1], a[0]) if (a[0] - iy + 1) * (a[1] - ix + 1) >= (b[1] - iy + 1) * (b[0] - ix + 1) else b
        out.append(Region(ix, iy, x1, y1, value))
        left[iy : y1 + 1, ix : x1 + 1] = 0
    return out


def _grow(left: Int[np.ndarray, "ny nx"], value: int, iy: int, ix: int) -> tuple[int, int]:
    """Last row and column of the rectangle from (iy, ix) that grows along the row first, then over further rows."""
    width = _run(left[iy, ix:] == value)
    height = _run((left[iy:, ix : ix + width] == value).all(1))
    return iy + height - 1, ix + width - 1


def _run(same: Bool[np.ndarray, " n"]) -> int:
    """How many entries hold from the first on."""
    return len(same) if same.all() else int(np.argmin(same))


def region_sum(values: Float64[np.ndarray, "ny nx"], r: Region) -> float:
    """Sum of `values` over the gcells of a region, to six digits."""
    return round(float(values[r.y0 : r.y1 + 1, r.x0 : r.x1 + 1].sum()), 6)


def box_um(prediction: Prediction, r: Region) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of a region, on gcell edges."""
    x, y = prediction.x_um, prediction.y_um
    return float(x[r.x0]), float(y[r.y0]), float(x[r.x1 + 1]), float(y[r.y1 + 1])
