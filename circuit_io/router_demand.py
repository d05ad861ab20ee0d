"""What the embedded router is asked: pins on the gcell grid, and the tracks between the gcells."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Int32, Int64

from circuit_io.errors import InputError
from circuit_io.fields import GCELL_FEATURES, INST_FEATURES, PIN_FEATURES, TRACKS_PER_UNIT, column
from circuit_io.graph import CircuitGraph, Layers

MapI = Int32[np.ndarray, "ny nx"]
Pair = tuple[MapI, MapI]
Pair64 = tuple[Int64[np.ndarray, "ny nx"], Int64[np.ndarray, "ny nx"]]

_WHOLE = 1e-2  # tracks by which a capacity may differ from a whole number
_MOST_LAYERS = 64  # as in csrc/route_maze.h
_MOST_CELLS = 2**30 - 1  # int32 in C, and x and y of one fit into 31 bits in csrc/route_planes.c


@dataclass(frozen=True)
class Demand:
    """What is to be routed, and over which tracks; pairs are horizontal, vertical.

    Attributes:
        nx: columns.
        ny: rows.
        num_nets: nets, those without a pin included.
        pin_net: net of each pin.
        pin_gcell: gcell of each pin, `iy * nx + ix`.
        capacity: tracks across each edge that adjustments leave.
        total: tracks across each edge before adjustments.
        blocked: tracks of the capacity that fixed shapes take.
        is_driver: pins that drive their net; nets are grown from the last of theirs, or from the first pin.
        is_port: pins that are ports.
        layers: tracks by layer and layers of the pins; without them nets are routed flat only.
    """

    nx: int
    ny: int
    num_nets: int
    pin_net: Int[np.ndarray, " pins"]
    pin_gcell: Int[np.ndarray, " pins"]
    capacity: Pair
    total: Pair
    blocked: Pair
    is_driver: Bool[np.ndarray, " pins"] | None = None
    is_port: Bool[np.ndarray, " pins"] | None = None
    layers: Layers | None = None


def demand_of(graph: CircuitGraph) -> Demand:
    """What an exported design asks of the router, from its graph and the maps among its gcell features.

    Raises:
        InputError: there are no routing layers, as in imported designs, or no whole numbers of tracks.
    """
    capacity, total, blocked = [], [], []
    for letter in "hv":
        tracks, lost, taken = (
            graph.gcell_features[:, column(GCELL_FEATURES, f"{name}_{letter}")]
            .astype(float)
            .reshape(graph.ny, graph.nx)
            for name in ("capacity", "adjusted", "blocked")
        )
        capacity.append(_whole(tracks * TRACKS_PER_UNIT, f"capacity_{letter}"))
        left = np.where((tracks > 0) & (lost < 1), 1 - lost, 1.0)
        total.append(_whole(tracks * TRACKS_PER_UNIT / left, f"adjusted_{letter}"))
        blocked.append(_whole(taken * tracks * TRACKS_PER_UNIT, f"blocked_{letter}"))
    if graph.layers is not None:
        for direction, along_x in enumerate((True, False)):
            room = graph.layers.room[graph.layers.along_x == along_x].sum(axis=0, dtype=np.int32)
            blocked[direction] = np.maximum(capacity[direction] - room, 0)
    pairs = ((capacity[0], capacity[1]), (total[0], total[1]), (blocked[0], blocked[1]))
    driver = graph.pin_features[:, column(PIN_FEATURES, "is_driver")] > 0
    port = graph.inst_features[graph.pin_inst, column(INST_FEATURES, "is_port")] > 0
    pins = (graph.pin_net, graph.pin_gcell)
    return Demand(graph.nx, graph.ny, graph.num_nets, *pins, *pairs, driver, port, graph.layers)


def _whole(tracks: Float64[np.ndarray, "ny nx"], name: str) -> MapI:
    out: Float64[np.ndarray, "ny nx"] = np.rint(tracks)
    if (np.abs(tracks - out) > _WHOLE).any() or (out < 0).any():
        mend = "Export the design again; imported data sets hold no tracks to route on."
        raise InputError(f'feature "{name}" is no whole number of tracks', path="gcell features", mend=mend)
    whole: MapI = out.astype(np.int32)
    return whole


def check_demand(task: Demand) -> None:
    """Refuse what cannot be routed; see `router.route`."""

    def refuse(what: str, mend: str) -> None:
        raise InputError(what, path="router", mend=mend)

    shape = (task.ny, task.nx)
    if task.nx * task.ny < 2:
        refuse(f"a grid of {task.nx} x {task.ny} gcells has no edge to route over", "Export with a smaller --gcell-um.")
    planes = len(task.layers.along_x) if task.layers is not None else 1
    if task.nx * task.ny * planes > _MOST_CELLS:
        refuse(f"{task.nx} x {task.ny} gcells on {planes} layers are too many", "Export with a larger --gcell-um.")
    for name in ("capacity", "total", "blocked"):
        for letter, tracks in zip("hv", getattr(task, name), strict=True):
            if tracks.shape != shape:
                refuse(f"{name}_{letter} is {list(tracks.shape)}, the grid {list(shape)}", "Give maps of the grid.")
            if (tracks < 0).any():
                refuse(f"{name}_{letter} holds negative tracks", "Give numbers of tracks.")
    if len(task.pin_net) != len(task.pin_gcell):
        refuse(f"{len(task.pin_net)} nets of pins, {len(task.pin_gcell)} gcells", "Give one of each a pin.")
    for name, index, count in (("net", task.pin_net, task.num_nets), ("gcell", task.pin_gcell, task.nx * task.ny)):
        if len(index) and not (int(index.min()) >= 0 and int(index.max()) < count):
            refuse(f"a pin is of a {name} that is not there: there are {count}", "Give the grid the pins were put on.")
    layers = task.layers
    if layers is not None:
        if layers.room.shape != (planes, *shape) or len(layers.pin_layer) != len(task.pin_net):
            refuse(f"layers of {list(layers.room.shape[1:])} gcells, {len(layers.pin_layer)} pins", "Export it again.")
        if int(layers.pin_layer.max(initial=0)) >= planes:
            refuse(f"a pin is on a layer that is not there: there are {planes}", "Export it again.")
        if planes > _MOST_LAYERS:
            refuse(f"{planes} layers, more than {_MOST_LAYERS}", "Give a lower highest signal layer.")
    for letter, word, tracks, seen in zip("hv", ("horizontal", "vertical"), task.capacity, is_edge(shape), strict=True):
        if seen.any() and not (tracks[seen] > 0).any():
            refuse(f"no {word} track on any edge (capacity_{letter} is 0)", "Give signal layers of both directions.")


def is_edge(shape: tuple[int, int]) -> tuple[Bool[np.ndarray, "ny nx"], Bool[np.ndarray, "ny nx"]]:
    """Entries of the two maps that are edges: not the last column of the first, nor the last row of the second."""
    h, v = np.ones(shape, bool), np.ones(shape, bool)
    h[:, -1] = False
    v[-1] = False
    return h, v
