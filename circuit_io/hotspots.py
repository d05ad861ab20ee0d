"""Hot spots of a predicted congestion map, and the nets that overflow falls to; nets in a hot spot: spot_nets.py."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int32

from circuit_io.maps import FULL, Prediction

DIRECTIONS = ("h", "v")


@dataclass(frozen=True)
class HotspotConfig:
    """What counts as hot.

    Attributes:
        threshold: congestion above which an edge is hot.
        max_frac: at most this share of a direction's edges is listed; the level of the list rises where more would be.
        worst_frac: when no edge of the design is hot, this share of its edges is reported as merely the worst.
        max_spots: longest list, the worst first.
    """

    threshold: float = 0.95
    max_frac: float = 0.10
    worst_frac: float = 0.01
    max_spots: int = 50


@dataclass(frozen=True)
class HotSpot:
    """A connected group of edges of one direction above a level of congestion.

    Attributes:
        rank: from 1, the worst first.
        direction: "h" or "v".
        edges: ix0, iy0, ix1, iy1 of the group's box on the edge lattice, inclusive.
        box_um: x1, y1, x2, y2 of the gcells that these edges join.
        peak, mean: congestion of the group's edges.
        level: congestion that all of its edges exceed.
        excess_tracks: demand above `level`, summed over the edges; hot spots are ranked by it.
        overflow_tracks: demand above full, summed over the edges.
        peak_demand, peak_capacity: tracks at the peak.
        num_edges: edges in the group (not in its box).
        area_um2: area of the gcells that the group's edges join.
        is_hot: False for the worst edges of a design that has none above the threshold.
    """

    rank: int
    direction: str
    edges: tuple[int, int, int, int]
    box_um: tuple[float, float, float, float]
    peak: float
    mean: float
    level: float
    excess_tracks: float
    overflow_tracks: float
    peak_demand: float
    peak_capacity: float
    num_edges: int
    area_um2: float
    is_hot: bool

    @property
    def name(self) -> str:
        """ "horizontal" or "vertical"."""
        return "horizontal" if self.direction == "h" else "vertical"


def find_hotspots(prediction: Prediction, config: HotspotConfig | None = None) -> list[HotSpot]:
    """Groups of neighbouring hot edges, the worst first; of an all-cool design its worst edges, with `is_hot` False."""
    config = config or HotspotConfig()
    levels = {d: _level(prediction.maps[f"congestion_{d}"], config) for d in DIRECTIONS}
    is_hot = any(level is not None for level in levels.values())
    if not is_hot:
        levels = dict.fromkeys(DIRECTIONS, _worst_level(prediction, config))
    spots = [
        spot
        for d, level in levels.items()
        if level is not None
        for spot in _groups(prediction, d, level, is_hot=is_hot)
    ]
    spots.sort(key=lambda s: (-s.excess_tracks, s.direction, s.edges))
    return [replace(spot, rank=i) for i, spot in enumerate(spots[: config.max_spots], 1)]


@dataclass(frozen=True)
class HotTotals:
    """All edges above a fixed congestion: none of these numbers falls when the congestion of an edge rises.

    Attributes:
        num_edges: edges of both directions.
        area_um2: area of the gcells at their ends, every gcell once.
        peak: highest congestion among them, NaN when there is none.
    """

    num_edges: int
    area_um2: float
    peak: float


def hot_totals(prediction: Prediction, threshold: float = HotspotConfig.threshold) -> HotTotals:
    """Number, area and peak of the edges above `threshold`, which unlike the level of the lists never moves."""
    touched = np.zeros(prediction.shape, bool)
    num_edges, peak = 0, float("nan")
    for d in DIRECTIONS:
        values = prediction.maps[f"congestion_{d}"]
        iy, ix = np.nonzero(np.nan_to_num(values, nan=-1.0) > threshold)
        if not len(iy):
            continue
        jy, jx = (iy, ix + 1) if d == "h" else (iy + 1, ix)
        touched[iy, ix] = touched[jy, jx] = True
        num_edges += len(iy)
        peak = float(np.fmax(peak, values[iy, ix].max()))
    area = np.diff(prediction.y_um)[:, None] * np.diff(prediction.x_um)[None, :]
    return HotTotals(num_edges, float(area[touched].sum()), peak)


def _level(edges: Float32[np.ndarray, "ny nx"], config: HotspotConfig) -> float | None:
    """The level that makes edges hot, or None when none is."""
    values = edges[np.isfinite(edges)]
    if not (values > config.threshold).any():
        return None
    raised = float(np.quantile(values, 1 - config.max_frac))
    return raised if raised > config.threshold and (values > raised).any() else config.threshold


def _worst_level(prediction: Prediction, config: HotspotConfig) -> float | None:
    both = np.concatenate([prediction.maps[f"congestion_{d}"].ravel() for d in DIRECTIONS])
    both = both[np.isfinite(both)]
    if not len(both) or both.max() <= 0:
        return None
    level = float(np.quantile(both, 1 - config.worst_frac))
    return level if (both > level).any() else None


def _groups(prediction: Prediction, d: str, level: float, *, is_hot: bool) -> list[HotSpot]:
    values = prediction.maps[f"congestion_{d}"]
    capacity = np.nan_to_num(prediction.maps[f"capacity_{d}"])
    hot = np.nan_to_num(values, nan=-1.0) > level
    label, count = connected_groups(hot)
    if not count:
        return []
    iy, ix = np.nonzero(hot)
    of = label[iy, ix]
    v, c = values[iy, ix].astype(np.float64), capacity[iy, ix].astype(np.float64)
    sums = {
        "excess": np.bincount(of, (v - level) * c, count),
        "overflow": np.bincount(of, np.maximum(v - FULL, 0) * c, count),
        "sum": np.bincount(of, v, count),
        "n": np.bincount(of, minlength=count),
    }
    low, high = np.full((count, 2), 1 << 30), np.full((count, 2), -1)
    at = np.stack([ix, iy], 1)
    np.minimum.at(low, of, at)
    np.maximum.at(high, of, at)
    order = np.lexsort((ix, iy, -v, of))
    peak = order[np.searchsorted(of[order], np.arange(count))]
    area = _area(prediction, d, label, count)
    out = []
    for g in range(count):
        x0, y0, x1, y1 = (int(k) for k in (*low[g], *high[g]))
        gx, gy = (x1 + 1, y1) if d == "h" else (x1, y1 + 1)
        box = (prediction.x_um[x0], prediction.y_um[y0], prediction.x_um[gx + 1], prediction.y_um[gy + 1])
        out.append(
            HotSpot(
                rank=0,
                direction=d,
                edges=(x0, y0, x1, y1),
                box_um=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                peak=float(v[peak[g]]),
                mean=float(sums["sum"][g] / sums["n"][g]),
                level=level,
                excess_tracks=float(sums["excess"][g]),
                overflow_tracks=float(sums["overflow"][g]),
                peak_demand=float(v[peak[g]] * c[peak[g]]),
                peak_capacity=float(c[peak[g]]),
                num_edges=int(sums["n"][g]),
                area_um2=float(area[g]),
                is_hot=is_hot,
            )
        )
    return out


def _area(prediction: Prediction, d: str, label: Int[np.ndarray, "ny nx"], count: int) -> Float64[np.ndarray, " n"]:
    """Area of the gcells at either end of each group's edges, every gcell once a group."""
    ny, nx = prediction.shape
    iy, ix = np.nonzero(label >= 0)
    group = label[iy, ix]
    jx, jy = (ix + 1, iy) if d == "h" else (ix, iy + 1)
    keys = np.unique(np.concatenate([group * (nx * ny) + iy * nx + ix, group * (nx * ny) + jy * nx + jx]))
    cell = keys % (nx * ny)
    area = np.diff(prediction.x_um)[cell % nx] * np.diff(prediction.y_um)[cell // nx]
    return np.bincount(keys // (nx * ny), area, count)


def connected_groups(hot: Bool[np.ndarray, "ny nx"]) -> tuple[Int[np.ndarray, "ny nx"], int]:
    """Groups of 4-neighbours: a number from 0 per group (-1 elsewhere), in the order of their first entry."""
    ny, nx = hot.shape
    node = np.arange(ny * nx).reshape(ny, nx)
    a, b = hot[:, :-1] & hot[:, 1:], hot[:-1] & hot[1:]
    ends = np.concatenate(
        [np.stack([node[:, :-1][a], node[:, 1:][a]], 1), np.stack([node[:-1][b], node[1:][b]], 1)], axis=0
    )
    root = np.arange(ny * nx)
    while len(ends):  # hook each root to the smaller one it meets, then halve all paths
        ends = root[ends]
        ends = ends[ends[:, 0] != ends[:, 1]]
        np.minimum.at(root, ends.max(1), ends.min(1))
        while not np.array_equal(root, root[root]):
            root = root[root]
    first, number = np.unique(root[hot.ravel()], return_inverse=True)
    out = np.full(ny * nx, -1, np.int64)
    out[hot.ravel()] = number
    return out.reshape(ny, nx), len(first)


class NetShares:
    """Splits a quantity on the edges among the nets, in proportion to their RUDY density there.

    Net n has the box of gcells w x h; RUDY on gcell boxes expects 1/h horizontal wires on each of its horizontal edges
    and 1/w vertical ones on each of its vertical edges. Where all nets together expect rho_e wires on edge e and the
    quantity there is q_e, net n gets `q_e / (h_n rho_e)` of it. The parts of all nets add up to the whole, except on
    edges that no box covers (a detour), which are left out.

    Source:
        RUDY: P. Spindler and F. M. Johannes, DATE 2007; on gcell boxes: docs/prediction.md.
    """

    def __init__(
        self, net_box: Int32[np.ndarray, "nets 4"], quantity: Float[np.ndarray, "ny nx"], *, direction: str
    ) -> None:
        """Prepare the split of `quantity`; `net_box` is x0, y0, x1, y1 of each net, inclusive gcell indices."""
        x0, y0, x1, y1 = net_box.astype(np.int64).T
        self._edges = (x0, y0, x1 - 1, y1) if direction == "h" else (x0, y0, x1, y1 - 1)
        rows = y1 - y0 + 1 if direction == "h" else x1 - x0 + 1
        valid = (self._edges[2] >= x0) & (self._edges[3] >= y0) & (rows > 0)
        self._density = np.where(valid, 1.0 / np.maximum(rows, 1), 0.0)
        rho = _box_sum(self._edges, self._density, quantity.shape, valid)
        per_wire = np.where(rho > 1e-9, np.nan_to_num(quantity) / np.maximum(rho, 1e-9), 0.0)
        self._table = np.zeros((quantity.shape[0] + 1, quantity.shape[1] + 1))
        self._table[1:, 1:] = per_wire.cumsum(0).cumsum(1)

    def inside(self, box: tuple[int, int, int, int]) -> Float64[np.ndarray, " nets"]:
        """Each net's part on the edges of the box ix0, iy0, ix1, iy1 (inclusive)."""
        x0, y0 = np.maximum(self._edges[0], box[0]), np.maximum(self._edges[1], box[1])
        x1, y1 = np.minimum(self._edges[2], box[2]), np.minimum(self._edges[3], box[3])
        out = np.zeros(len(x0))
        meets = np.flatnonzero((x1 >= x0) & (y1 >= y0) & (self._density > 0))
        a, b, c, d = x0[meets], y0[meets], x1[meets] + 1, y1[meets] + 1
        t = self._table
        out[meets] = self._density[meets] * np.maximum(t[d, c] - t[b, c] - t[d, a] + t[b, a], 0.0)
        return out


def _box_sum(
    edges: tuple[Int[np.ndarray, " nets"], ...],
    weight: Float64[np.ndarray, " nets"],
    shape: tuple[int, int],
    valid: Bool[np.ndarray, " nets"],
) -> Float64[np.ndarray, "ny nx"]:
    """Sum over the valid nets of `weight` on each edge of the net's box."""
    ny, nx = shape
    x0, y0, x1, y1 = (e[valid] for e in edges)
    w = weight[valid]
    corners = np.zeros((ny + 1) * (nx + 1))
    for x, y, sign in ((x0, y0, 1), (x1 + 1, y0, -1), (x0, y1 + 1, -1), (x1 + 1, y1 + 1, 1)):
        corners += sign * np.bincount(y * (nx + 1) + x, w, len(corners))
    return np.asarray(corners.reshape(ny + 1, nx + 1).cumsum(0).cumsum(1)[:ny, :nx], np.float64)


def net_overflow(
    net_box: Int32[np.ndarray, "nets 4"], overflow_h: Float[np.ndarray, "ny nx"], overflow_v: Float[np.ndarray, "ny nx"]
) -> Float32[np.ndarray, " nets"]:
    """Each net's part in the expected overflow (tracks) of the edges in its box; see `NetShares`."""
    out = np.zeros(len(net_box))
    for d, overflow in zip(DIRECTIONS, (overflow_h, overflow_v), strict=True):
        ny, nx = overflow.shape
        out += NetShares(net_box, overflow, direction=d).inside((0, 0, nx - 1, ny - 1))
    return out.astype(np.float32)
