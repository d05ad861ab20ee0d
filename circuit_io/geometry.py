"""The eight orientations of DEF, and rectangles cut from polygons, on whole arrays at once."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

_N = TypeVar("_N", int, float)
MAX_RECTS = 64  # of a polygon for each of its corners
Array = np.ndarray[Any, np.dtype[Any]]

ORIENTS = ("N", "S", "W", "E", "FN", "FS", "FW", "FE")
"""Names of the orientation codes 0..7, in the order of the LEF/DEF Language Reference."""

# x' = xx * x + xy * y, y' = yx * x + yy * y, then the box of the master is moved back to the first quadrant by
# (wx * w + hx * h, wy * w + hy * h). LEF/DEF 5.8 Language Reference, "Orientation"; checked against klayout.
_XX = np.array([1, -1, 0, 0, -1, 1, 0, 0], np.int8)
_XY = np.array([0, 0, -1, 1, 0, 0, 1, -1], np.int8)
_YX = np.array([0, 0, 1, -1, 0, 0, 1, -1], np.int8)
_YY = np.array([1, -1, 0, 0, 1, -1, 0, 0], np.int8)
_WX = np.array([0, 1, 0, 0, 1, 0, 0, 0], np.int8)
_HX = np.array([0, 0, 1, 0, 0, 0, 0, 1], np.int8)
_WY = np.array([0, 0, 0, 1, 0, 0, 0, 1], np.int8)
_HY = np.array([0, 1, 0, 0, 0, 1, 0, 0], np.int8)


def is_turned(orient: Any) -> Array:  # noqa: ANN401
    """True where the orientation exchanges width and height (W, E, FW, FE)."""
    return np.asarray(_XX[np.asarray(orient)] == 0)


def placed_size(size: Any, orient: Any) -> Array:  # noqa: ANN401
    """Width and height after the turn, `[n, 2]`, in the unit of `size`."""
    size = np.asarray(size)
    return np.asarray(np.where(is_turned(orient)[..., None], size[..., ::-1], size))


def place_points(point: Any, size: Any, orient: Any, xy: Any, *, origin: Any = 0) -> Array:  # noqa: ANN401
    """Points of masters in the coordinates of the design, `[n, 2]`, in the unit of the arguments.

    Args:
        point: x, y as LEF has them, `[n, 2]` or `[2]`.
        size: width and height of each master (LEF SIZE), `[n, 2]` or `[2]`; 0 turns about the point itself, as
            DEF does with the shapes of a PIN.
        orient: codes of `ORIENTS`, `[n]` or one.
        xy: lower left corner of each placed box, `[n, 2]` or `[2]`.
        origin: LEF ORIGIN of each master, added to `point` first.
    """
    p, o, wh = np.asarray(point) + np.asarray(origin), np.asarray(orient), np.asarray(size)
    wh = np.broadcast_to(wh, (*wh.shape[:-1], 2)) if wh.ndim else np.full(2, wh)
    x, y, w, h = p[..., 0], p[..., 1], wh[..., 0], wh[..., 1]
    moved_x = _XX[o] * x + _XY[o] * y + _WX[o] * w + _HX[o] * h
    moved_y = _YX[o] * x + _YY[o] * y + _WY[o] * w + _HY[o] * h
    return np.asarray(np.stack(np.broadcast_arrays(moved_x, moved_y), axis=-1) + np.asarray(xy))


def place_rects(rect: Any, size: Any, orient: Any, xy: Any, *, origin: Any = 0) -> Array:  # noqa: ANN401
    """Rectangles x1, y1, x2, y2 of masters in the coordinates of the design; arguments as in `place_points`."""
    rect = np.asarray(rect)
    a = place_points(rect[..., :2], size, orient, xy, origin=origin)
    b = place_points(rect[..., 2:], size, orient, xy, origin=origin)
    return np.concatenate([np.minimum(a, b), np.maximum(a, b)], axis=-1)


def polygon_rects(points: Sequence[tuple[_N, _N]]) -> list[tuple[_N, _N, _N, _N]]:
    """Rectangles that tile a rectilinear polygon, or the bounding box of any other, in the unit of `points`.

    Slabs between neighbouring y values; inside one, the sorted vertical edges pair up (even-odd rule).

    Raises:
        ValueError: more than `MAX_RECTS` rectangles for each corner: a comb of thousands of teeth, which nobody draws.
    """
    edges: list[tuple[tuple[_N, _N], tuple[_N, _N]]] = list(zip(points, [*points[1:], points[0]], strict=True))  # type: ignore[list-item]
    xs, ys = [p[0] for p in points], sorted({p[1] for p in points})
    if any(a[0] != b[0] and a[1] != b[1] for a, b in edges):
        return [(min(xs), ys[0], max(xs), ys[-1])]
    starts: dict[_N, list[tuple[_N, _N]]] = {}
    for a, b in edges:
        if a[1] != b[1]:
            starts.setdefault(min(a[1], b[1]), []).append((a[0], max(a[1], b[1])))
    rects: list[tuple[_N, _N, _N, _N]] = []
    cuts: list[tuple[_N, _N]] = []  # x and upper end of the edges in a slab
    for y1, y2 in pairwise(ys):
        cuts = sorted([cut for cut in cuts if cut[1] > y1] + starts.get(y1, []))
        if len(rects) + len(cuts) // 2 > MAX_RECTS * len(points):
            raise ValueError(f"a polygon of {len(points):,} corners is too many rectangles")
        rects += [(x1, y1, x2, y2) for (x1, _), (x2, _) in zip(cuts[::2], cuts[1::2], strict=True) if x1 < x2]
    return rects
