"""What the embedded router works on: segments, their routes, and the wires on every edge of the gcell grid."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8

from circuit_io import demand
from circuit_io.router_demand import Demand, Pair, is_edge
from circuit_io.steiner import Trees, points_of_nets, steiner_trees

_ASPECTS = ((5, 6), (1, 1))  # width and height of a gcell to a tree, of four runs each; 1.2 is FastRoute's
X_FIRST, THEN_X = 1, 2  # bits of `turn`: the first L leaves along x; the second does


@dataclass(frozen=True)
class Board:
    """Segments in the order in which they are routed, and the state that the passes change in place.

    A route is two L shapes that meet at the gcell `via`. Entry `[iy, ix]` of a map of index 0 is the edge to the
    right, of index 1 the edge above.

    Attributes:
        net: net of each segment.
        ends: x1, y1, x2, y2 in gcells, x1 <= x2.
        box: x0, y0, x1, y1 of the segment's net.
        is_alone: the net has two gcells, so that the segment is all of it.
        via: x, y.
        turn: `X_FIRST`, `THEN_X`.
        wires: on each edge.
        room: wires that fill each edge.
        soft: tenths of wires from which on an edge counts as crowded.
    """

    net: Int32[np.ndarray, " segments"]
    ends: Int32[np.ndarray, "segments 4"]
    box: Int32[np.ndarray, "segments 4"]
    is_alone: Bool[np.ndarray, " segments"]
    via: Int32[np.ndarray, "segments 2"]
    turn: UInt8[np.ndarray, " segments"]
    wires: Pair
    room: Pair
    soft: Pair

    def lengths(self) -> Int64[np.ndarray, " segments"]:
        """Edges that each route takes."""
        to_via = np.abs(self.via - self.ends[:, :2]) + np.abs(self.ends[:, 2:] - self.via)
        total: Int64[np.ndarray, " segments"] = to_via.astype(np.int64).sum(axis=1)
        return total

    def unbound(self) -> "Board":
        """The same board, whose detours may leave the boxes of their nets."""
        low, high = np.minimum(self.ends[:, :2], self.ends[:, 2:]), np.maximum(self.ends[:, :2], self.ends[:, 2:])
        return replace(self, box=np.concatenate([low, high], axis=1))

    def overflow(self) -> tuple[int, int]:
        """Wires above the room, summed over all edges, and the most on one edge, below 0 where none is full."""
        above = [w.astype(np.int64) - r for w, r in zip(self.wires, self.room, strict=True)]
        edges = [a[seen] for a, seen in zip(above, is_edge(above[0].shape), strict=True)]
        every = np.concatenate(edges)
        return int(np.maximum(every, 0).sum()), int(every.max(initial=0))


@dataclass(frozen=True)
class Detours:
    """What one pass of detours may do.

    Attributes:
        price: of an edge by the wires that fit on it still, from -half to half.
        least: segments of this length or less stay.
        spare: routes stay all of whose edges have room for more than this.
        reach: gcells beyond the box of a segment.
        times: the same, in lengths of the segment.
    """

    price: Int32[np.ndarray, " free"]
    least: int
    spare: int
    reach: int
    times: int


def board_of(task: Demand, number: int) -> Board:
    """Segments of all nets in the order of run `number`, as half wires on both of their L shapes."""
    trees, points = _trees(task, number)
    x1, y1, x2, y2 = trees.ends.T
    turned = np.where((x1 > x2)[:, None], np.stack([x2, y2, x1, y1], axis=1), trees.ends)
    net, ends = trees.segment_net, turned.astype(np.int32)
    if number:
        order = np.argsort(_shuffled(task.num_nets, number)[net], kind="stable")
        net, ends = net[order], ends[order]
    half = (np.rint(2 * m).astype(np.int32) for m in demand.demand_l(Trees(net, ends), task.nx, task.ny))
    wires = tuple(np.ascontiguousarray(m) for m in half)
    room = [np.ascontiguousarray(c - b, np.int32) for c, b in zip(task.capacity, task.blocked, strict=True)]
    soft = [np.ascontiguousarray(10 * r - t, np.int32) for r, t in zip(room, task.total, strict=True)]
    return Board(
        net=net,
        ends=ends,
        box=_boxes(net, ends, task.num_nets),
        is_alone=points[net] == 2,
        via=np.ascontiguousarray(ends[:, [2, 1]]),
        turn=np.full(len(ends), X_FIRST, np.uint8),
        wires=(wires[0], wires[1]),
        room=(room[0], room[1]),
        soft=(soft[0], soft[1]),
    )


def _trees(task: Demand, number: int) -> tuple[Trees, Int64[np.ndarray, " nets"]]:
    """Trees grown in one of four mirrors, which differ among equals, and two aspects; and the gcells of each net."""
    nx, ny = task.nx, task.ny
    mirror = np.asarray([number & 1, number >> 1 & 1], bool)
    last = np.asarray([nx - 1, ny - 1], np.int32)
    y, x = np.divmod(task.pin_gcell, nx)
    gcell = np.where(mirror[1], ny - 1 - y, y) * nx + np.where(mirror[0], nx - 1 - x, x)
    net, xy = points_of_nets(task.pin_net, gcell, nx)
    aspect = np.asarray(_ASPECTS[number >> 2 & 1], np.int32)
    trees = steiner_trees(net, xy * aspect, task.num_nets)
    ends = trees.ends.reshape(-1, 2, 2) // aspect
    ends = np.where(mirror, last - ends, ends).reshape(-1, 4)
    return Trees(trees.segment_net, ends), np.bincount(net, minlength=task.num_nets)


def _boxes(
    net: Int32[np.ndarray, " segments"], ends: Int32[np.ndarray, "segments 4"], num_nets: int
) -> Int32[np.ndarray, "segments 4"]:
    """Box of each segment's net."""
    first = np.flatnonzero(np.diff(net, prepend=-1))
    if not len(first):
        return np.zeros((0, 4), np.int32)
    low = np.minimum.reduceat(np.minimum(ends[:, :2], ends[:, 2:]), first, axis=0)
    high = np.maximum.reduceat(np.maximum(ends[:, :2], ends[:, 2:]), first, axis=0)
    box = np.zeros((num_nets, 4), np.int32)
    box[net[first]] = np.concatenate([low, high], axis=1)
    of_segment: Int32[np.ndarray, "segments 4"] = box[net]
    return of_segment


def _shuffled(count: int, number: int) -> Int64[np.ndarray, " count"]:
    """A key for each net that sorts them at random: the finaliser of SplitMix64, the same on every machine."""
    golden = 0x9E3779B97F4A7C15
    key = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(golden) + np.uint64(number * golden >> 7 & (1 << 63) - 1)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        key = (key ^ (key >> np.uint64(shift))) * np.uint64(factor)
    last: Int64[np.ndarray, " count"] = ((key ^ (key >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)
    return last
