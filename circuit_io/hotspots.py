"""Hot spots of a predicted congestion map; which nets fill them and take the overflow: spot_nets.py."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int

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


def hot_totals(prediction: Prediction) -> HotTotals:
    """Number, area and peak of the edges above the usual threshold, which unlike the level of the lists never moves."""
    touched = np.zeros(prediction.shape, bool)
    num_edges, peak = 0, float("nan")
    for d in DIRECTIONS:
        values = prediction.maps[f"congestion_{d}"]
        iy, ix = np.nonzero(np.nan_to_num(values, nan=-1.0) > HotspotConfig.threshold)
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
