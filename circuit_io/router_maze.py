"""What the maze passes of the embedded router begin with: the nets of a board in their order, and their points."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from circuit_io.router_board import Board, Plan


@dataclass(frozen=True)
class MazeTask:
    """Nets in the order in which they are routed; segments of a net lie side by side on the board.

    Attributes:
        net: number of each, in this order; nets without segments come last.
        first: segments of each, one more than nets.
        first_point: points of each, one more than nets.
        gcell: of each point.
        layer: of each point.
    """

    net: Int64[np.ndarray, " nets"]
    first: Int64[np.ndarray, " nets_plus_1"]
    first_point: Int64[np.ndarray, " nets_plus_1"]
    gcell: Int32[np.ndarray, " points"]
    layer: UInt8[np.ndarray, " points"]


def maze_task(plan: Plan, board: Board) -> MazeTask:
    """Nets and points in the order of a board."""
    num_nets, points = plan.task.num_nets, plan.points
    begins = np.flatnonzero(np.diff(board.net, prepend=-1))
    has_none = np.ones(num_nets, bool)
    has_none[board.net] = False
    net = np.concatenate([board.net[begins], np.flatnonzero(has_none)]).astype(np.int64)
    segments = np.bincount(board.net, minlength=num_nets)[net]
    count, first = points.count[net], points.first()[net]
    place = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(count.sum())
    return MazeTask(
        net=net,
        first=np.concatenate([[0], np.cumsum(segments)]).astype(np.int64),
        first_point=np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        gcell=np.ascontiguousarray(points.gcell[place]),
        layer=np.ascontiguousarray(points.layer[place]),
    )


@dataclass(frozen=True)
class Round:
    """What one round of rip-up may do.

    Attributes:
        price: of an edge by the wires that fit on it still, from -half to half.
        bend: price of a bend.
        least: edges of a tree of this length or less stay.
        reach: gcells beyond the box of an edge.
        times: the same, in lengths of its route.
        by_crowd: nets with the most wires above the room come first.
    """

    price: Int64[np.ndarray, " free"]
    bend: int
    least: int
    reach: int
    times: int
    by_crowd: bool
