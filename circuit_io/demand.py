"""Routing demand per gcell edge, in tracks, from net boxes and Steiner trees: no router is asked.

Horizontal maps are [ny, nx] with entry [iy, ix] the edge to the right, vertical maps with the edge above; the last
column (horizontal) or row (vertical) is 0. All maps are sums over nets, done with difference arrays.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int

from circuit_io.steiner import Trees

Map = Float64[np.ndarray, "ny nx"]


def _scatter(index: Int[np.ndarray, " n"], weight: Float64[np.ndarray, " n"], shape: tuple[int, int]) -> Map:
    return np.bincount(index, weights=weight, minlength=shape[0] * shape[1]).astype(np.float64).reshape(shape)


def rudy(box: Int[np.ndarray, "nets 4"], nx: int, ny: int) -> tuple[Map, Map]:
    """Expected wires per edge if every net has one straight wire of each direction, anywhere in its gcell box.

    Args:
        box: x0, y0, x1, y1 of each net in gcells, both ends included; a net without pins has x1 < x0.
        nx: columns.
        ny: rows.

    Source:
        P. Spindler and F. M. Johannes, "Fast and accurate routing demand estimation for efficient routability-driven
        placement", DATE 2007; here on gcell boxes, for each direction apart and straight on the edges, the strongest
        of the forms measured (docs/results.md).
    """
    x0, y0, x1, y1 = box[box[:, 2] >= box[:, 0]].T
    return _boxes(x0, x1, y0, y1, 1.0 / (y1 - y0 + 1), nx, ny), _boxes(y0, y1, x0, x1, 1.0 / (x1 - x0 + 1), ny, nx).T


def _boxes(
    a0: Int[np.ndarray, " n"],
    a1: Int[np.ndarray, " n"],
    b0: Int[np.ndarray, " n"],
    b1: Int[np.ndarray, " n"],
    weight: Float64[np.ndarray, " n"],
    na: int,
    nb: int,
) -> Map:
    """`weight` on every edge from a0 to a1 of every line b0 to b1; [nb, na]."""
    width = na + 1
    corners = np.concatenate([b * width + a for b in (b0, b1 + 1) for a in (a0, a1)])
    signs = np.concatenate([weight, -weight, -weight, weight])
    return _scatter(corners, signs, (nb + 1, width)).cumsum(0).cumsum(1)[:nb, :na]


def demand_l(trees: Trees, nx: int, ny: int) -> tuple[Map, Map]:
    """Expected wires per edge if each segment takes either of its two L shapes with equal chance."""
    x0, y0, x1, y1 = trees.ends.T
    half = np.full(len(x0), 0.5)
    return _runs(x0, x1, y0, y1, half, half, nx, ny), _runs(y0, y1, x0, x1, half, half, ny, nx).T


def _runs(
    a0: Int[np.ndarray, " n"],
    a1: Int[np.ndarray, " n"],
    b0: Int[np.ndarray, " n"],
    b1: Int[np.ndarray, " n"],
    w0: Float64[np.ndarray, " n"],
    w1: Float64[np.ndarray, " n"],
    na: int,
    nb: int,
) -> Map:
    """Straight runs from a0 to a1, `w0` of them on line b0 and `w1` on line b1; [nb, na]."""
    low, high = np.minimum(a0, a1), np.maximum(a0, a1)
    width = na + 1
    index = np.concatenate([b0 * width + low, b0 * width + high, b1 * width + low, b1 * width + high])
    return _scatter(index, np.concatenate([w0, -w0, w1, -w1]), (nb, width)).cumsum(1)[:, :na]


def demand_z(trees: Trees, nx: int, ny: int) -> tuple[Map, Map]:
    """Expected wires per edge if each segment takes any of its Z shapes (L shapes included) with equal chance.

    A segment over dx columns and dy rows has dx + 1 shapes that run horizontal-vertical-horizontal and dy + 1 that run
    the other way round; a straight segment has one.
    """
    x0, y0, x1, y1 = trees.ends.T
    dx, dy = np.abs(x1 - x0), np.abs(y1 - y0)
    bent = (dx > 0) & (dy > 0)
    total = np.where(bent, dx + dy + 2.0, 1.0)
    hvh = np.where(bent, (dx + 1) / total, (dx > 0) * 1.0)  # share of shapes that start and end horizontally
    vhv = np.where(bent, (dy + 1) / total, (dy > 0) * 1.0)
    h = _z_direction(x0, x1, y0, y1, hvh, vhv, bent, nx, ny)
    v = _z_direction(y0, y1, x0, x1, vhv, hvh, bent, ny, nx)
    return h, v.T


def _z_direction(
    a0: Int[np.ndarray, " n"],
    a1: Int[np.ndarray, " n"],
    b0: Int[np.ndarray, " n"],
    b1: Int[np.ndarray, " n"],
    outer: Float64[np.ndarray, " n"],
    inner: Float64[np.ndarray, " n"],
    bent: Bool[np.ndarray, " n"],
    na: int,
    nb: int,
) -> Map:
    """Wires along axis a: straight segments, outer parts with a bend anywhere, middle parts on any line; [nb, na]."""
    flip = a1 < a0
    low, high = np.where(flip, a1, a0), np.where(flip, a0, a1)
    b_low, b_high = np.where(flip, b1, b0), np.where(flip, b0, b1)  # line at the low and at the high end
    straight = ~bent & (high > low)
    out = _runs(low[straight], high[straight], b_low[straight], b_low[straight],
                np.ones(straight.sum()), np.zeros(straight.sum()), na, nb)  # fmt: skip
    low, high, b_low, b_high = low[bent], high[bent], b_low[bent], b_high[bent]
    outer, inner = outer[bent], inner[bent]
    n = (high - low).astype(np.float64)
    # a bend column uniform in low..high puts edge low + t on b_low with chance (n - t) / (n + 1), else on b_high
    width = na + 2
    slope = np.zeros((nb, width))
    level = np.zeros((nb, width))
    step = outer / (n + 1)
    for line, start, ramp in ((b_low, outer * n / (n + 1), -step), (b_high, step, step)):
        # on edges low .. high-1: start + ramp * t
        end_value = start + ramp * n
        level += _scatter(np.concatenate([line * width + low, line * width + high]),
                          np.concatenate([start - 0.0, -end_value]), (nb, width))  # fmt: skip
        slope += _scatter(np.concatenate([line * width + low + 1, line * width + high + 1]),
                          np.concatenate([ramp, -ramp]), (nb, width))  # fmt: skip
    out += (level + slope.cumsum(1)).cumsum(1)[:, :na]
    # middle part on a line uniform in b_min..b_max over the whole run
    b_min, b_max = np.minimum(b_low, b_high), np.maximum(b_low, b_high)
    out += _boxes(low, high, b_min, b_max, inner / (b_max - b_min + 1.0), na, nb)
    return out


def window_mean(values: Map, half_rows: int, half_columns: int) -> Map:
    """Mean over a window of (2 half_rows + 1) x (2 half_columns + 1) entries, cut at the border."""
    ny, nx = values.shape
    table = np.zeros((ny + 1, nx + 1))
    table[1:, 1:] = values.cumsum(0).cumsum(1)
    y0, y1 = np.maximum(np.arange(ny) - half_rows, 0), np.minimum(np.arange(ny) + half_rows + 1, ny)
    x0, x1 = np.maximum(np.arange(nx) - half_columns, 0), np.minimum(np.arange(nx) + half_columns + 1, nx)
    total = table[y1][:, x1] - table[y0][:, x1] - table[y1][:, x0] + table[y0][:, x0]
    mean: Map = total / ((y1 - y0)[:, None] * (x1 - x0)[None, :])
    return mean
