"""A window of a placed design as a graph of its own, for training steps of even size and for predictions by tiles."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from circuit_io.graph import CircuitGraph
from circuit_io.labels import Labels

Window = tuple[int, int, int, int]
"""First column, first row, number of columns, number of rows."""


class Tile(NamedTuple):
    """A part of the grid, and the window around it that is looked at."""

    core: Window
    window: Window


def crop(
    graph: CircuitGraph, labels: Labels, window: Window
) -> tuple[CircuitGraph, Labels, Int64[np.ndarray, " nets_inside"]]:
    """A window of a design and of its labels, and its nets; edges that leave it are masked like those at a die edge.

    Routed lengths stay those of the whole nets.

    Args:
        graph: the whole design.
        labels: its labels.
        window: inside the grid.
    """
    x0, y0, nx, ny = window
    part, net = crop_graph(graph, window)
    view = (slice(y0, y0 + ny), slice(x0, x0 + nx))
    maps = {
        name: getattr(labels, name)[view].copy()
        for name in ("congestion_h", "congestion_v", "overflow_h", "overflow_v")
    }
    for name, values in maps.items():
        values[(slice(None), -1) if name.endswith("h") else -1] = np.nan
    return part, replace(labels, **maps, net_length_um=labels.net_length_um[net]), net


def crop_graph(graph: CircuitGraph, window: Window) -> tuple[CircuitGraph, Int64[np.ndarray, " nets_inside"]]:
    """The gcells of a window, the insts in them, and every net whose box reaches into it, boxes cut at the border.

    Features stay those of the whole design. The nets that are kept are given beside the graph.
    """
    x0, y0, nx, ny = window
    cell_x, cell_y = graph.inst_gcell % graph.nx - x0, graph.inst_gcell // graph.nx - y0
    inst = np.flatnonzero((cell_x >= 0) & (cell_x < nx) & (cell_y >= 0) & (cell_y < ny))
    low, high = graph.net_box[:, :2] - (x0, y0), graph.net_box[:, 2:] - (x0, y0)
    last = np.asarray((nx - 1, ny - 1), np.int32)
    reaches = (low <= last).all(axis=1) & (high >= 0).all(axis=1) & (low <= high).all(axis=1)
    net = np.flatnonzero(reaches)
    new_inst = np.full(graph.num_insts, -1, np.int32)
    new_inst[inst] = np.arange(len(inst), dtype=np.int32)
    new_net = np.full(graph.num_nets, -1, np.int32)
    new_net[net] = np.arange(len(net), dtype=np.int32)
    pin = np.flatnonzero((new_inst[graph.pin_inst] >= 0) & (new_net[graph.pin_net] >= 0))
    pin_x = np.clip(graph.pin_gcell[pin] % graph.nx - x0, 0, nx - 1)
    pin_y = np.clip(graph.pin_gcell[pin] // graph.nx - y0, 0, ny - 1)
    box = np.concatenate([np.maximum(low[net], 0), np.minimum(high[net], last)], axis=1)
    gcell = ((y0 + np.arange(ny))[:, None] * graph.nx + x0 + np.arange(nx)).ravel()
    part = CircuitGraph(
        nx=nx,
        ny=ny,
        inst_gcell=(cell_y[inst] * nx + cell_x[inst]).astype(np.int32),
        pin_inst=new_inst[graph.pin_inst[pin]],
        pin_net=new_net[graph.pin_net[pin]],
        pin_gcell=(pin_y * nx + pin_x).astype(np.int32),
        net_box=box.astype(np.int32),
        inst_features=graph.inst_features[inst],
        net_features=graph.net_features[net],
        gcell_features=graph.gcell_features[gcell],
        pin_features=graph.pin_features[pin],
    )
    return part, net


def held_frac(
    graph: CircuitGraph, part: CircuitGraph, net: Int64[np.ndarray, " nets_inside"]
) -> Float64[np.ndarray, " nets_inside"]:
    """Share of the box of each net that a window holds, from what `crop_graph` made of `graph`."""
    whole, held = (
        (box[:, 2:] - box[:, :2] + 1).astype(np.float64).prod(axis=1) for box in (graph.net_box[net], part.net_box)
    )
    frac: Float64[np.ndarray, " nets_inside"] = held / whole
    return frac


def window_at(nx: int, ny: int, side: int, place: tuple[float, float]) -> Window:
    """The window of at most `side` x `side` gcells at `place`, each in 0..1 from the first to the last possible."""
    width, height = min(side, nx), min(side, ny)
    x, y = (int(p * (room + 1)) for p, room in zip(place, (nx - width, ny - height), strict=True))
    return min(x, nx - width), min(y, ny - height), width, height


def tiles_of(nx: int, ny: int, side: int, halo: int) -> Iterator[Tile]:
    """Tiles of at most `side` x `side` gcells, as even as can be; each gcell in one core, windows wider by `halo`."""
    columns, rows = (np.linspace(0, n, -(-n // side) + 1).astype(int).tolist() for n in (nx, ny))
    for y0, y1 in pairwise(rows):
        for x0, x1 in pairwise(columns):
            left, low = max(x0 - halo, 0), max(y0 - halo, 0)
            right, high = min(x1 + halo, nx), min(y1 + halo, ny)
            yield Tile((x0, y0, x1 - x0, y1 - y0), (left, low, right - left, high - low))
