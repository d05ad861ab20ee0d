"""Pins to gcells, exactly as OpenROAD's router puts them: a wrong one costs more than a model gains."""

import numpy as np
from jaxtyping import Int32, Int64

from circuit_io.arrays import blocks, expand
from circuit_io.design import Design
from circuit_io.gcells import HORIZONTAL, GcellGrid


def pin_gcells(design: Design, grid: GcellGrid) -> Int32[np.ndarray, " pins"]:
    """The gcell of each pin, as the router takes it.

    The middle of every shape on the pin's top layer votes for its gcell, the first of the most frequent wins; then, if
    the shapes reach over a single track of that layer, the track's gcell counts across the layer's direction.

    Source:
        FastRoute's `findPins` and `pinOverlapsWithSingleTrack` in OpenROAD, read and re-expressed.
    """
    out = np.empty(len(design.pin_net), np.int32)
    forms = design.forms
    middle = forms.middles_2dbu() >> 1
    span = np.concatenate([forms.reduced(np.minimum, middle), forms.reduced(np.maximum, middle)], axis=1)
    box, bare = forms.box_dbu(), ~forms.has_shape()
    for block in blocks(len(out)):
        form, base = design.pin_form[block], design.pin_base_dbu(block)
        low, high = span[form, :2] + base, span[form, 2:] + base
        x, y = grid.column(low[:, 0]), grid.row(low[:, 1])
        split = np.flatnonzero((x != grid.column(high[:, 0])) | (y != grid.row(high[:, 1])))
        if len(split):
            x[split], y[split] = _vote(design, grid, middle, form[split], base[split])
        alone = np.flatnonzero(bare[form])
        if len(alone):
            x[alone], y[alone] = _centres(design, grid, block.start + alone)
        _to_single_tracks(design, grid, form, box[form] + np.tile(base, 2), x, y)
        out[block] = y * grid.nx + x
    return out


def _vote(
    design: Design,
    grid: GcellGrid,
    middle_dbu: Int64[np.ndarray, "shapes 2"],
    form: Int32[np.ndarray, " pins"],
    base_dbu: Int64[np.ndarray, "pins 2"],
) -> tuple[Int64[np.ndarray, " pins"], Int64[np.ndarray, " pins"]]:
    """Column and row of pins whose shapes lie in more than one gcell."""
    pin, nth = expand(design.forms.count[form])
    xy = middle_dbu[design.forms.ptr[form[pin]] + nth] + base_dbu[pin]
    num_gcells = grid.nx * grid.ny
    key = pin * num_gcells + grid.row(xy[:, 1]) * grid.nx + grid.column(xy[:, 0])
    unique, first, votes = np.unique(key, return_index=True, return_counts=True)
    owner = unique // num_gcells
    order = np.lexsort((first, -votes, owner))
    winner = unique[order[np.flatnonzero(np.diff(owner[order], prepend=-1))]] % num_gcells
    return winner % grid.nx, winner // grid.nx


def _centres(
    design: Design, grid: GcellGrid, pins: Int64[np.ndarray, " pins"]
) -> tuple[Int64[np.ndarray, " pins"], Int64[np.ndarray, " pins"]]:
    """Column and row of the owner of each pin, for pins without a shape on a routing layer."""
    inst, port = np.maximum(design.pin_inst[pins], 0), np.maximum(design.pin_port[pins], 0)
    xy = (design.inst_rect_dbu[inst, :2] + design.inst_rect_dbu[inst, 2:]) // 2
    if len(design.port_xy_dbu):
        xy = np.where((design.pin_inst[pins] >= 0)[:, None], xy, design.port_xy_dbu[port])
    return grid.column(xy[:, 0]), grid.row(xy[:, 1])


def _to_single_tracks(
    design: Design,
    grid: GcellGrid,
    form: Int32[np.ndarray, " pins"],
    box_dbu: Int64[np.ndarray, "pins 4"],
    x: Int64[np.ndarray, " pins"],
    y: Int64[np.ndarray, " pins"],
) -> None:
    """Move pins that overlap one track only into that track's gcell."""
    level = design.forms.level[form]
    for layer in design.layers:
        pitch = layer.spacing_dbu
        mine = np.flatnonzero(level == layer.level)
        if pitch <= 0 or not len(mine):
            continue
        axis = 1 if layer.direction == HORIZONTAL else 0
        lo, hi = box_dbu[mine, axis], box_dbu[mine, axis + 2]
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
