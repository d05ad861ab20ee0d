"""A window of a placed design as a graph of its own, for training steps of even size."""

from dataclasses import replace

import numpy as np

from circuit_io.graph import CircuitGraph
from circuit_io.labels import Labels


def crop(graph: CircuitGraph, labels: Labels, window: tuple[int, int, int, int]) -> tuple[CircuitGraph, Labels]:
    """The gcells of a window, the insts in them, and every net whose box reaches into it, boxes cut at the border.

    Features stay those of the whole design. Edges that leave the window are masked like those at a die edge.

    Args:
        graph: the whole design.
        labels: its labels.
        window: first column, first row, number of columns, number of rows; inside the grid.
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
    view = (slice(y0, y0 + ny), slice(x0, x0 + nx))
    maps = {
        name: getattr(labels, name)[view].copy()
        for name in ("congestion_h", "congestion_v", "overflow_h", "overflow_v")
    }
    for name, values in maps.items():
        values[(slice(None), -1) if name.endswith("h") else -1] = np.nan
    return part, replace(labels, **maps, net_length_um=labels.net_length_um[net])


def window_at(nx: int, ny: int, side: int, place: tuple[float, float]) -> tuple[int, int, int, int]:
    """The window of at most `side` x `side` gcells at `place`, each in 0..1 from the first to the last possible."""
    width, height = min(side, nx), min(side, ny)
    x, y = (int(p * (room + 1)) for p, room in zip(place, (nx - width, ny - height), strict=True))
    return min(x, nx - width), min(y, ny - height), width, height
