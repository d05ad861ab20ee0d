"""Rectilinear Steiner trees of all nets at once, on gcell coordinates, as flat arrays of two-pin segments.

A Prim tree for each net, then Steiner points by the median of a node and two of its tree neighbours wherever that
shortens the tree. Nets with the same number of points are built together, so that no step is a loop over nets.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int32, Int64

from circuit_io import native
from circuit_io.arrays import expand, unique

_BATCH = 1 << 17  # points of nets of one size that are built at once: they stay in the cache
_ROUNDS = 3  # of median improvement; later rounds save under 0.1 % of the length on the labelled designs
_WIDE = 1 << 15  # points of a net from which on they are kept by neighbourhood: fewer are looked at in one sweep
_HOOD = 256  # points of a neighbourhood
_FAR = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Trees:
    """`segment_net` and `ends` (x0, y0, x1, y1 in gcells) of every segment; nets within one gcell have none."""

    segment_net: Int[np.ndarray, " segments"]
    ends: Int[np.ndarray, "segments 4"]

    def lengths(self) -> Int[np.ndarray, " segments"]:
        """Manhattan length of every segment, in gcells."""
        x0, y0, x1, y1 = self.ends.T
        lengths: Int[np.ndarray, " segments"] = np.abs(x1 - x0) + np.abs(y1 - y0)
        return lengths


def points_of_nets(
    pin_net: Int[np.ndarray, " pins"], pin_gcell: Int[np.ndarray, " pins"], nx: int
) -> tuple[Int32[np.ndarray, " points"], Int32[np.ndarray, "points 2"]]:
    """The different gcells of every net: their net and (ix, iy), sorted by net."""
    bits = int(pin_gcell.max()).bit_length() if len(pin_gcell) else 0
    key = unique((pin_net.astype(np.int64) << bits) | pin_gcell)
    gcell = (key & ((1 << bits) - 1)).astype(np.int32)
    xy = np.empty((len(key), 2), np.int32)
    np.divmod(gcell, nx, out=(xy[:, 1], xy[:, 0]))
    return (key >> bits).astype(np.int32), xy


def steiner_trees(net: Int32[np.ndarray, " points"], xy: Int32[np.ndarray, "points 2"], num_nets: int) -> Trees:
    """A short rectilinear tree for every net, from its points sorted by net (see `points_of_nets`).

    Source:
        R. C. Prim, "Shortest connection networks and some generalizations", 1957; median improvement as in
        A. B. Kahng and G. Robins, "A new class of iterative Steiner tree heuristics", 1992.
    """
    count = np.bincount(net, minlength=num_nets)
    numbers = np.concatenate([count, xy.ravel()], dtype=np.int32)
    columns = native.scan("scan_steiner", numbers.tobytes(), num_nets)
    if columns is not None:
        return Trees(columns.array(0, np.int32), columns.array(1, np.int32, 4))
    first = np.cumsum(count) - count
    a, b = _prim_trees(xy, count, first)
    segments = np.maximum(count - 1, 0)
    ptr = np.concatenate([[0], np.cumsum(segments)])
    nets, ends = [np.zeros(0, np.int32)], [np.zeros((0, 4), np.int32)]
    begin = 0
    while begin < num_nets:
        end = max(begin + 1, int(np.searchsorted(ptr, ptr[begin] + _BATCH, side="right")) - 1)
        mine, low = slice(ptr[begin], ptr[end]), first[begin]
        points = xy[low : first[end - 1] + count[end - 1]]
        found = _improved(segments[begin:end], a[mine] - low, b[mine] - low, points)
        nets.append(found[0] + np.int32(begin))
        ends.append(found[1])
        begin = end
    return Trees(np.concatenate(nets), np.concatenate(ends))


def _prim_trees(
    xy: Int32[np.ndarray, "points 2"], count: Int64[np.ndarray, " nets"], first: Int64[np.ndarray, " nets"]
) -> tuple[Int64[np.ndarray, " segments"], Int64[np.ndarray, " segments"]]:
    """Child and parent (points) of the segments of every net's minimum tree, by net, in the order they are added."""
    segments = np.maximum(count - 1, 0)
    begin = np.cumsum(segments) - segments
    a, b = np.empty(segments.sum(), np.int64), np.empty(segments.sum(), np.int64)
    order = np.argsort(count, kind="stable")
    sizes, starts = np.unique(count[order], return_index=True)
    for size, of_size in zip(sizes.tolist(), np.split(order, starts[1:]), strict=True):
        if size < 2:
            continue
        for part in np.array_split(of_size, len(of_size) * size // _BATCH + 1):
            points = xy[first[part] + np.arange(size)[:, None]]
            child, parent = _prim(points[..., 0], points[..., 1]) if size < _WIDE else _prim_wide(points[:, 0])
            at = begin[part] + np.arange(size - 1)[:, None]
            a[at], b[at] = first[part] + child, first[part] + parent
    return a, b


def _prim(
    x: Int32[np.ndarray, "points nets"], y: Int32[np.ndarray, "points nets"]
) -> tuple[Int64[np.ndarray, "points_less_1 nets"], Int64[np.ndarray, "points_less_1 nets"]]:
    """Child and parent of each edge of a minimum tree per net; among equals the lowest index."""
    size, n = x.shape
    x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
    rows, bits = np.arange(n), (size - 1).bit_length()
    wide = (int(np.ptp(x)) + int(np.ptp(y)) + 1) << bits > np.iinfo(np.int32).max
    kind = np.int64 if wide else np.int32
    number, far = np.arange(size, dtype=kind)[:, None], np.iinfo(kind).max
    key = np.full((size, n), far, kind)  # distance to the tree, then the point's number
    parent = np.zeros((size, n), np.int32)
    outside = np.ones((size, n), bool)
    children, parents = np.empty((size - 1, n), np.int64), np.empty((size - 1, n), np.int64)
    new = np.zeros(n, np.int64)
    for step in range(size - 1):
        outside[new, rows] = False
        key[new, rows] = far
        distance = np.abs(x - x[new, rows]).astype(kind, copy=False)
        distance += np.abs(y - y[new, rows])
        distance <<= bits
        distance |= number
        closer = distance < key
        closer &= outside
        np.copyto(key, distance, where=closer)
        np.copyto(parent, new.astype(np.int32), where=closer)
        new = (key.min(axis=0) & ((1 << bits) - 1)).astype(np.int64)
        children[step], parents[step] = new, parent[new, rows]
    return children, parents


class _Hoods:
    """The points of one net of many by neighbourhood: boxes, and what of the tree each has not looked at yet."""

    def __init__(self, xy: Int32[np.ndarray, "points 2"]) -> None:
        n, self.xy = len(xy), xy.astype(np.int64)
        count, self.bits = -(-n // _HOOD), (n - 1).bit_length()
        strip = max(1, int((int(np.ptp(xy[:, 1])) + 1) / count**0.5))
        order = np.lexsort((xy[:, 0], xy[:, 1] // strip))
        self.place = np.empty(n, np.int64)
        self.place[order] = np.arange(n)
        self.number = np.zeros((count, _HOOD), np.int64)
        self.number.ravel()[:n] = order
        self.x, self.y = self.xy[self.number, 0], self.xy[self.number, 1]
        self.low = np.stack([self.x.min(axis=1), self.y.min(axis=1)], axis=1)
        self.high = np.stack([self.x.max(axis=1), self.y.max(axis=1)], axis=1)
        self.key = (np.int64(1) << 61) | self.number  # distance to the tree, then the point's number; -1 inside it
        self.key.ravel()[n:] = -1
        self.parent = np.zeros((count, _HOOD), np.int64)
        self.most = self.key.max(axis=1) >> self.bits
        self.nearest, self.bound, self.seen = np.full(count, _FAR), np.full(count, _FAR), [0] * count
        self.tree, self.size = np.empty(n, np.int64), 0

    def add(self, point: int) -> None:
        """The tree has gained a point: each hood has it as near as `bound` at least, or need not look at it."""
        self.tree[self.size] = point
        self.size += 1
        hood, at = divmod(int(self.place[point]), _HOOD)
        self.key[hood, at] = -1
        xy = self.xy[point]
        away = np.maximum(self.low - xy, xy - self.high)
        np.maximum(away, 0, out=away)
        gap = away[:, 0] + away[:, 1]
        np.minimum(self.bound, gap, out=self.bound, where=gap < self.most)
        self.bound[hood], self.nearest[hood] = 0, _FAR

    def next(self) -> int:
        """The point outside the tree that is nearest to it, among equals the lowest number."""
        while True:
            best = int(self.nearest.min())
            due = (self.bound <= best >> self.bits).nonzero()[0]
            if not len(due):
                return best & ((1 << self.bits) - 1)
            for hood in due.tolist():
                self._look(hood)

    def _look(self, hood: int) -> None:
        """Bring a hood up to date with the tree."""
        tree, self.seen[hood] = self.tree[self.seen[hood] : self.size], self.size
        if len(tree) > 1:
            low, high = self.xy[tree] - self.low[hood], self.high[hood] - self.xy[tree]
            gap = np.maximum(-np.minimum(low, high), 0).sum(axis=1)
            tree = tree[(gap < self.most[hood]) & (gap <= np.maximum(low, high).sum(axis=1).min())]
        key, (x, y) = self.key[hood], self.xy[tree].T
        if len(tree) == 1:
            nearest, found = tree, np.abs(self.x[hood] - x) + np.abs(self.y[hood] - y)
        elif len(tree):
            away = np.abs(self.x[hood, :, None] - x) + np.abs(self.y[hood, :, None] - y)
            first = away.argmin(axis=1)
            nearest, found = tree[first], away[np.arange(_HOOD), first]
        if len(tree):
            found = (found << self.bits) | self.number[hood]
            closer = found < key
            np.copyto(key, found, where=closer)
            np.copyto(self.parent[hood], nearest, where=closer)
        self.nearest[hood] = min(int(key.view(np.uint64).min()), _FAR)  # -1 is the largest of all
        self.most[hood], self.bound[hood] = int(key.max()) >> self.bits, _FAR


def _prim_wide(
    xy: Int32[np.ndarray, "points 2"],
) -> tuple[Int64[np.ndarray, "points_less_1 1"], Int64[np.ndarray, "points_less_1 1"]]:
    """The tree of `_prim` for one net of many points: a hood is looked at only where it may hold the next point."""
    hoods = _Hoods(xy)
    children, parents = np.empty((len(xy) - 1, 1), np.int64), np.empty((len(xy) - 1, 1), np.int64)
    point = 0
    for step in range(len(xy) - 1):
        hoods.add(point)
        point = hoods.next()
        children[step], parents[step] = point, hoods.parent.ravel()[hoods.place[point]]
    return children, parents


def _improved(
    segments: Int64[np.ndarray, " nets"],
    a: Int64[np.ndarray, " segments"],
    b: Int64[np.ndarray, " segments"],
    xy: Int32[np.ndarray, "points 2"],
) -> tuple[Int32[np.ndarray, " kept"], Int32[np.ndarray, "kept 4"]]:
    """The segments of some nets after all rounds, sorted by net, without those of no length."""
    net = np.repeat(np.arange(len(segments), dtype=np.int32), segments)
    nets, ends = [], []
    done = segments[net] == 1
    for left in reversed(range(_ROUNDS + 1)):
        done |= left == 0
        nets.append(net[done])
        ends.append(np.concatenate([xy[a[done]], xy[b[done]]], axis=1))
        net, a, b = net[~done], a[~done], b[~done]
        if not len(net):
            break
        net, a, b, xy, is_shorter = _round(net, a, b, xy, len(segments))
        done = ~is_shorter[net]
    all_nets, all_ends = np.concatenate(nets), np.concatenate(ends)
    order = np.argsort(all_nets, kind="stable")
    all_nets, all_ends = all_nets[order], all_ends[order]
    keep = (all_ends[:, :2] != all_ends[:, 2:]).any(axis=1)
    return all_nets[keep], all_ends[keep]


def _round(
    net: Int32[np.ndarray, " segments"],
    a: Int64[np.ndarray, " segments"],
    b: Int64[np.ndarray, " segments"],
    xy: Int32[np.ndarray, "points 2"],
    num_nets: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of segments at a common node are replaced by three to their median where that is shorter.

    Each segment joins its best pair only, so that all replacements of a round are independent. The last array marks
    the nets that have become shorter.
    """
    half = np.sort((np.concatenate([a, b]) << 32) | np.arange(2 * len(a)))  # by node, in their order
    node, half = half >> 32, half & 0xFFFFFFFF
    segment = half % len(a)
    other = np.concatenate([b, a])[half]
    first = np.searchsorted(node, np.arange(len(xy)))
    i, nth = expand(np.arange(len(node)) - first[node])  # every half-segment with all earlier ones at the same node
    j = first[node[i]] + nth
    p, q, r = xy[node[i]], xy[other[i]], xy[other[j]]
    low, high = np.minimum(np.minimum(p, q), r), np.maximum(np.maximum(p, q), r)
    saving = np.abs(p - q).sum(1) + np.abs(p - r).sum(1) - (high - low).sum(1)
    good = np.flatnonzero(saving > 0)
    i, j = i[good], j[good]
    median = (p[good] + q[good] + r[good] - low[good] - high[good]).astype(np.int32)
    # the best pair of each segment: larger saving first, then the order of the pairs
    rank = (-saving[good].astype(np.int64) << 32) | np.arange(len(good))
    best = np.full(len(a), _FAR)
    np.minimum.at(best, segment[i], rank)
    np.minimum.at(best, segment[j], rank)
    chosen = (best[segment[i]] == rank) & (best[segment[j]] == rank)
    i, j, median = i[chosen], j[chosen], median[chosen]
    new = len(xy) + np.arange(len(i))
    keep = np.ones(len(a), bool)
    keep[segment[i]] = keep[segment[j]] = False
    is_shorter = np.zeros(num_nets, bool)
    is_shorter[net[segment[i]]] = True
    net_out = np.concatenate([net[keep], np.repeat(net[segment[i]], 3)])
    a_out = np.concatenate([a[keep], np.stack([node[i], other[i], other[j]], axis=1).ravel()])
    b_out = np.concatenate([b[keep], np.repeat(new, 3)])
    return net_out, a_out, b_out, np.concatenate([xy, median]), is_shorter
