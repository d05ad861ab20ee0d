"""Which nets fill a hot spot, and which ones overflow falls to: the expected wire of every net, from Steiner trees.

Each segment of a net's tree takes either of its two L shapes with equal chance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int64

from circuit_io.demand import demand_l
from circuit_io.hotspots import HotSpot
from circuit_io.maps import HasNets, Prediction
from circuit_io.steiner import Trees, points_of_nets, steiner_trees


@dataclass(frozen=True)
class NetInSpot:
    """A net's part in a hot spot: its expected wire in the box, and its share of all expected wire there."""

    net_id: int
    wire_um: float
    share_frac: float


def first_nets(wire_um: Float64[np.ndarray, " nets"], top: int) -> list[NetInSpot]:
    """The nets with most wire, the first `top` of them."""
    total = wire_um.sum()
    return [NetInSpot(int(i), float(wire_um[i]), float(wire_um[i] / total)) for i in largest(wire_um, top)]


def largest(values: Float64[np.ndarray, " n"], top: int) -> Int64[np.ndarray, " top"]:
    """Where the `top` largest values above 0 are, the largest first, equal ones by their place."""
    rows = np.flatnonzero(values > 0)
    if len(rows) > top:
        rows = rows[values[rows] >= np.partition(values[rows], -top)[-top]]
    return rows[np.argsort(-values[rows], kind="stable")][:top]


def spot_wires(
    prediction: Prediction, graph: HasNets, spots: Sequence[HotSpot]
) -> Iterator[Float64[np.ndarray, " nets"]]:
    """For each hot spot the expected wire of every net over the edges of its box and direction, in um.

    A wire over an edge is one gcell long.
    """
    trees = _trees_near(graph, spots, prediction.shape[1])
    width, height = prediction.gcell_um()
    x0, y0, x1, y1 = trees.ends.T.astype(np.int64)
    for spot in spots:
        left, low, right, top = spot.edges
        if spot.direction == "h":
            edges, length = _overlap(x0, x1, left, right), width
            shapes = _within(y0, low, top).astype(np.float64) + _within(y1, low, top)
        else:
            edges, length = _overlap(y0, y1, low, top), height
            shapes = _within(x0, left, right).astype(np.float64) + _within(x1, left, right)
        wires = np.bincount(trees.segment_net, 0.5 * shapes * edges, len(graph.net_box))
        yield wires.astype(np.float64) * length


def net_overflow(
    graph: HasNets, overflow_h: Float[np.ndarray, "ny nx"], overflow_v: Float[np.ndarray, "ny nx"]
) -> Float32[np.ndarray, " nets"]:
    """Each net's part in the overflow of the edges (tracks), in proportion to its expected wires there.

    The parts add up to the whole, except on edges that no tree uses (detours), which are left out.
    """
    ny, nx = overflow_h.shape
    net, points = points_of_nets(graph.pin_net, graph.pin_gcell, nx)
    trees = steiner_trees(net, points, len(graph.net_box))
    (wires_h, wires_v), (x0, y0, x1, y1) = demand_l(trees, nx, ny), trees.ends.T
    parts = _overflow_between(overflow_h, wires_h, (x0, x1), (y0, y1))
    parts += _overflow_between(overflow_v.T, wires_v.T, (y0, y1), (x0, x1))
    return np.bincount(trees.segment_net, 0.5 * parts, len(graph.net_box)).astype(np.float32)


def _overflow_between(
    overflow: Float[np.ndarray, "lines n"],
    wires: Float64[np.ndarray, "lines n"],
    ends: tuple[Int[np.ndarray, " segments"], Int[np.ndarray, " segments"]],
    lines: tuple[Int[np.ndarray, " segments"], Int[np.ndarray, " segments"]],
) -> Float64[np.ndarray, " segments"]:
    """What falls to two wires between two gcells, one along each line, by the expected wires on each edge there."""
    per_wire = np.divide(np.nan_to_num(overflow), wires, out=np.zeros(wires.shape), where=wires > 0)
    table = np.pad(per_wire.cumsum(axis=1), ((0, 0), (1, 0)))
    first, second = (np.abs(table[line, ends[1]] - table[line, ends[0]]) for line in lines)
    parts: Float64[np.ndarray, " segments"] = first + second
    return parts


def _trees_near(graph: HasNets, spots: Sequence[HotSpot], nx: int) -> Trees:
    """Trees of the nets whose boxes meet a hot spot; the others have no segment."""
    box = graph.net_box
    is_near = np.zeros(len(box), bool)
    for spot in spots:
        left, low, right, top = spot.edges
        right, top = (right + 1, top) if spot.direction == "h" else (right, top + 1)
        is_near |= (box[:, 0] <= right) & (box[:, 2] >= left) & (box[:, 1] <= top) & (box[:, 3] >= low)
    pins = is_near[graph.pin_net]
    net, points = points_of_nets(graph.pin_net[pins], graph.pin_gcell[pins], nx)
    return steiner_trees(net, points, len(box))


def _overlap(a: Int64[np.ndarray, " n"], b: Int64[np.ndarray, " n"], low: int, high: int) -> Int64[np.ndarray, " n"]:
    """How many of the edges low .. high lie between two gcells a and b of a line."""
    edges: Int64[np.ndarray, " n"] = np.minimum(np.maximum(a, b), high + 1) - np.maximum(np.minimum(a, b), low)
    return np.where(edges > 0, edges, 0)


def _within(line: Int64[np.ndarray, " n"], low: int, high: int) -> Bool[np.ndarray, " n"]:
    return (line >= low) & (line <= high)
