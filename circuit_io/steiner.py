"""Rectilinear Steiner trees of all nets at once, on gcell coordinates, as flat arrays of two-pin segments.

A Prim tree for each net, then Steiner points by the median of a node and two of its tree neighbours wherever that
shortens the tree. Nets with the same number of points are built together, so that no step is a loop over nets.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from circuit_io.gcells import expand

_BATCHED = 64  # nets with more points are built one by one
_ROUNDS = 3  # of median improvement; later rounds save under 0.1 % of the length on the labelled designs


@dataclass(frozen=True)
class Trees:
    """`segment_net` and `ends` (x0, y0, x1, y1 in gcells) of every segment; nets within one gcell have none."""

    segment_net: Int64[np.ndarray, " segments"]
    ends: Int64[np.ndarray, "segments 4"]

    def lengths(self) -> Int64[np.ndarray, " segments"]:
        """Manhattan length of every segment, in gcells."""
        lengths: Int64[np.ndarray, " segments"] = np.abs(self.ends[:, 2:] - self.ends[:, :2]).sum(axis=1)
        return lengths


def points_of_nets(
    pin_net: Int64[np.ndarray, " pins"], pin_gcell: Int64[np.ndarray, " pins"], nx: int
) -> tuple[Int64[np.ndarray, " points"], Int64[np.ndarray, "points 2"]]:
    """The different gcells of every net: their net and (ix, iy), sorted by net."""
    big = int(pin_gcell.max()) + 1 if len(pin_gcell) else 1
    key = np.unique(pin_net * big + pin_gcell)
    gcell = key % big
    return key // big, np.stack([gcell % nx, gcell // nx], axis=1)


def steiner_trees(net: Int64[np.ndarray, " points"], xy: Int64[np.ndarray, "points 2"], num_nets: int) -> Trees:
    """A short rectilinear tree for every net, from its points sorted by net (see `points_of_nets`).

    Source:
        R. C. Prim, "Shortest connection networks and some generalizations", 1957; median improvement as in
        A. B. Kahng and G. Robins, "A new class of iterative Steiner tree heuristics", 1992.
    """
    count = np.bincount(net, minlength=num_nets)
    first = np.cumsum(count) - count
    nets, children, parents = [], [], []
    for size in np.unique(count[count > 1]).tolist():
        mine = np.flatnonzero(count == size)
        for part in np.array_split(mine, max(1, len(mine) * size // 4_000_000 + 1) if size <= _BATCHED else len(mine)):
            at = first[part][:, None] + np.arange(size)
            child, parent = _prim(xy[at])
            nets.append(np.repeat(part, size - 1))
            children.append(np.take_along_axis(at, child, 1).ravel())
            parents.append(np.take_along_axis(at, parent, 1).ravel())
    if not nets:
        return Trees(np.zeros(0, np.int64), np.zeros((0, 4), np.int64))
    segment_net, a, b = np.concatenate(nets), np.concatenate(children), np.concatenate(parents)
    for _ in range(_ROUNDS):
        segment_net, a, b, xy, changed = _improve(segment_net, a, b, xy)
        if not changed:
            break
    order = np.argsort(segment_net, kind="stable")
    ends = np.concatenate([xy[a[order]], xy[b[order]]], axis=1)
    keep = (ends[:, :2] != ends[:, 2:]).any(axis=1)
    return Trees(segment_net[order][keep], ends[keep])


def _prim(
    xy: Int64[np.ndarray, "nets points 2"],
) -> tuple[Int64[np.ndarray, "nets points_less_1"], Int64[np.ndarray, "nets points_less_1"]]:
    """Child and parent of each edge of a minimum tree per net; among equals the lowest index."""
    n, size = xy.shape[:2]
    rows = np.arange(n)
    far = np.iinfo(np.int64).max
    distance = np.abs(xy - xy[:, :1]).sum(axis=2)
    distance[:, 0] = far
    parent = np.zeros((n, size), np.int64)
    done = np.zeros((n, size), bool)
    done[:, 0] = True
    child_out = np.empty((n, size - 1), np.int64)
    parent_out = np.empty((n, size - 1), np.int64)
    for step in range(size - 1):
        new = distance.argmin(axis=1)
        child_out[:, step], parent_out[:, step] = new, parent[rows, new]
        done[rows, new] = True
        d = np.abs(xy - xy[rows, new][:, None]).sum(axis=2)
        closer = (d < distance) & ~done
        distance[closer] = d[closer]
        parent[closer] = np.broadcast_to(new[:, None], parent.shape)[closer]
        distance[rows, new] = far
    return child_out, parent_out


def _improve(
    net: Int64[np.ndarray, " segments"],
    a: Int64[np.ndarray, " segments"],
    b: Int64[np.ndarray, " segments"],
    xy: Int64[np.ndarray, "points 2"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, bool]:
    """One round: pairs of segments at a common node are replaced by three to their median where that is shorter.

    Each segment joins its best pair only, so that all replacements of a round are independent.
    """
    node = np.concatenate([a, b])
    other = np.concatenate([b, a])
    segment = np.tile(np.arange(len(a)), 2)
    order = np.argsort(node, kind="stable")
    node, other, segment = node[order], other[order], segment[order]
    degree = np.bincount(node, minlength=len(xy))
    first = np.cumsum(degree) - degree
    rank = np.arange(len(node)) - first[node]
    i, nth = expand(rank)  # every half-segment with all earlier ones at the same node
    j = first[node[i]] + nth
    p, q, r = xy[node[i]], xy[other[i]], xy[other[j]]
    low, high = np.minimum(np.minimum(p, q), r), np.maximum(np.maximum(p, q), r)
    saving = np.abs(p - q).sum(1) + np.abs(p - r).sum(1) - (high - low).sum(1)
    good = np.flatnonzero(saving > 0)
    if not len(good):
        return net, a, b, xy, False
    i, j, saving = i[good], j[good], saving[good]
    median = p[good] + q[good] + r[good] - low[good] - high[good]
    # the best pair of each segment: larger saving first, then the order of the pairs
    rank_of = np.empty(len(good), np.int64)
    rank_of[np.lexsort((np.arange(len(good)), -saving))] = np.arange(len(good))
    best = np.full(len(a), len(good), np.int64)
    np.minimum.at(best, segment[i], rank_of)
    np.minimum.at(best, segment[j], rank_of)
    chosen = (best[segment[i]] == rank_of) & (best[segment[j]] == rank_of)
    i, j, median = i[chosen], j[chosen], median[chosen]
    new = len(xy) + np.arange(len(i))
    keep = np.ones(len(a), bool)
    keep[segment[i]] = keep[segment[j]] = False
    net_out = np.concatenate([net[keep], np.repeat(net[segment[i]], 3)])
    a_out = np.concatenate([a[keep], np.stack([node[i], other[i], other[j]], axis=1).ravel()])
    b_out = np.concatenate([b[keep], np.repeat(new, 3)])
    return net_out, a_out, b_out, np.concatenate([xy, median]), True
