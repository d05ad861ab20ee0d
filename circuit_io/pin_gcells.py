"""Pins to gcells, exactly as OpenROAD's router puts them: a wrong one costs more than a model gains."""

import numpy as np
from jaxtyping import Int64

from circuit_io.design import Design
from circuit_io.gcells import HORIZONTAL, GcellGrid


def pin_gcells(design: Design, grid: GcellGrid) -> Int64[np.ndarray, " pins"]:
    """The gcell of each pin, as the router takes it.

    The middle of every shape on the pin's top layer votes for its gcell, the first of the most frequent wins; then, if
    the shapes reach over a single track of that layer, the track's gcell counts across the layer's direction.

    Source:
        FastRoute's `findPins` and `pinOverlapsWithSingleTrack` in OpenROAD, read and re-expressed.
    """
    num_pins = len(design.pin_net)
    rect, pin = design.shape_rect_dbu, design.shape_pin
    middle = (rect[:, :2] + rect[:, 2:]) // 2
    gcell = grid.row(middle[:, 1]) * grid.nx + grid.column(middle[:, 0])
    out = np.zeros(num_pins, np.int64)
    key = pin * grid.nx * grid.ny + gcell
    unique, first, votes = np.unique(key, return_index=True, return_counts=True)
    order = np.lexsort((first, -votes, unique // (grid.nx * grid.ny)))
    owner = unique[order] // (grid.nx * grid.ny)
    winner = np.flatnonzero(np.diff(owner, prepend=-1))
    out[owner[winner]] = (unique[order] % (grid.nx * grid.ny))[winner]
    bare = np.ones(num_pins, bool)
    bare[pin] = False
    out[bare] = _centres(design, grid)[bare]
    return _to_single_tracks(design, grid, out)


def _centres(design: Design, grid: GcellGrid) -> Int64[np.ndarray, " pins"]:
    """Gcell of the owner of each pin, for pins without a shape on a routing layer."""
    inst, port = np.maximum(design.pin_inst, 0), np.maximum(design.pin_port, 0)
    xy = (design.inst_rect_dbu[inst, :2] + design.inst_rect_dbu[inst, 2:]) // 2
    if len(design.port_xy_dbu):
        xy = np.where((design.pin_inst >= 0)[:, None], xy, design.port_xy_dbu[port])
    gcell: Int64[np.ndarray, " pins"] = grid.row(xy[:, 1]) * grid.nx + grid.column(xy[:, 0])
    return gcell


def _to_single_tracks(design: Design, grid: GcellGrid, gcell: Int64[np.ndarray, " pins"]) -> Int64[np.ndarray, " pins"]:
    """Move pins that overlap one track only into that track's gcell."""
    num_pins = len(gcell)
    low = np.full((num_pins, 2), np.iinfo(np.int64).max)
    high = np.full((num_pins, 2), np.iinfo(np.int64).min)
    np.minimum.at(low, design.shape_pin, design.shape_rect_dbu[:, :2])
    np.maximum.at(high, design.shape_pin, design.shape_rect_dbu[:, 2:])
    x, y = gcell % grid.nx, gcell // grid.nx
    for layer in design.layers:
        pitch = layer.spacing_dbu
        mine = np.flatnonzero((design.pin_level == layer.level) & (high[:, 0] >= low[:, 0]))
        if pitch <= 0 or not len(mine):
            continue
        axis = 1 if layer.direction == HORIZONTAL else 0
        lo, hi = low[mine, axis], high[mine, axis]
        start = layer.track_start[0]
        upper = (hi - start) // pitch * pitch + start
        lower = upper - pitch
        narrow = (hi - lo) <= 3 * pitch
        both = (upper >= lo) & (upper <= hi) & (lower >= lo) & (lower <= hi)
        use_upper = narrow & ~both & (upper > lo) & (upper < hi)
        use_lower = narrow & ~both & ~use_upper & (lower > lo) & (lower < hi)
        track = np.where(use_upper, upper, lower)
        moved = use_upper | use_lower
        target = grid.row(track) if axis else grid.column(track)
        (y if axis else x)[mine[moved]] = target[moved]
    moved_gcell: Int64[np.ndarray, " pins"] = y * grid.nx + x
    return moved_gcell
