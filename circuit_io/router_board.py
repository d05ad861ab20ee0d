"""What the embedded router works on: segments, their routes, and the wires on every edge of the gcell grid."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8

from circuit_io import demand
from circuit_io.router_demand import Demand, Pair, is_edge
from circuit_io.router_trees import Points, points_of, router_trees
from circuit_io.steiner import Trees

X_FIRST, THEN_X = 1, 2  # bits of `turn`: the first L leaves along x; the second does


@dataclass(frozen=True)
class Plan:
    """What all runs have in common: what is routed, and the trees that they begin with."""

    task: Demand
    points: Points
    trees: Trees


@dataclass(frozen=True)
class Board:
    """Segments in the order in which they are routed, and the state that the passes change in place.

    A route is two L shapes that meet at the gcell `via`. Entry `[iy, ix]` of a map of index 0 is the edge to the
    right, of index 1 the edge above.

    Attributes:
        net: net of each segment.
        ends: x1, y1, x2, y2 in gcells, x1 <= x2.
        box: x0, y0, x1, y1 of the segment's net.
        is_alone: the net has two points, so that the segment is all of it.
        via: x, y.
        turn: `X_FIRST`, `THEN_X`.
        wires: on each edge.
        room: wires that fill each edge.
        level: wires that fill it to a price, which takes an edge of more tracks than the fewest of its direction to be
            as much fuller.
        soft: tenths of wires from which on an edge counts as crowded: a tenth of the fewest tracks below `level`.
        tilt: tracks of which the fewest of horizontal edges are more than those of vertical ones.
    """

    net: Int32[np.ndarray, " segments"]
    ends: Int32[np.ndarray, "segments 4"]
    box: Int32[np.ndarray, "segments 4"]
    is_alone: Bool[np.ndarray, " segments"]
    via: Int32[np.ndarray, "segments 2"]
    turn: UInt8[np.ndarray, " segments"]
    wires: Pair
    room: Pair
    level: Pair
    soft: Pair
    tilt: int

    def overflow(self) -> tuple[int, int]:
        """Wires above the room, summed over all edges, and the most on one edge, 0 where none is."""
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
    """

    price: Int64[np.ndarray, " free"]
    least: int
    spare: int
    reach: int


def plan_of(task: Demand) -> Plan:
    """Points and trees of a task."""
    points = points_of(task)
    return Plan(task, points, router_trees(task, points))


def board_of(plan: Plan, number: int) -> Board:
    """Segments of all nets in the order of run `number`, as half wires on both of their L shapes."""
    task = plan.task
    net, ends = plan.trees.segment_net.astype(np.int32), plan.trees.ends.astype(np.int32)
    if number:
        order = np.argsort(_shuffled(task.num_nets, number)[net], kind="stable")
        net, ends = net[order], ends[order]
    half = (np.rint(2 * m).astype(np.int32) for m in demand.demand_l(Trees(net, ends), task.nx, task.ny))
    wires = tuple(np.ascontiguousarray(m) for m in half)
    room = [np.ascontiguousarray(c - b, np.int32) for c, b in zip(task.capacity, task.blocked, strict=True)]
    seen = is_edge((task.ny, task.nx))
    fewest = [int(t[s].min(initial=t.max(initial=0))) for t, s in zip(task.total, seen, strict=True)]
    level = [np.ascontiguousarray(r - (t - f), np.int32) for r, t, f in zip(room, task.total, fewest, strict=True)]
    soft = [np.ascontiguousarray(10 * v - f, np.int32) for v, f in zip(level, fewest, strict=True)]
    return Board(
        net=net,
        ends=np.ascontiguousarray(ends),
        box=_boxes(net, ends, task.num_nets),
        is_alone=plan.points.count[net] == 2,
        via=np.ascontiguousarray(ends[:, [2, 1]]),
        turn=np.full(len(ends), X_FIRST, np.uint8),
        wires=(wires[0], wires[1]),
        room=(room[0], room[1]),
        level=(level[0], level[1]),
        soft=(soft[0], soft[1]),
        tilt=fewest[0] - fewest[1],
    )


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
