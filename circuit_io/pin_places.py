"""Where pins are, from the shapes of their top layer, and the half perimeter of nets."""

import numpy as np
from jaxtyping import Float64, Int64

from circuit_io.arrays import blocks
from circuit_io.design import Design


def pin_places_dbu(design: Design, otherwise: Int64[np.ndarray, "pins 2"]) -> Float64[np.ndarray, "pins 2"]:
    """Mean of the middles of each pin's shapes on its top layer; the centre of its inst where it has none."""
    count, total = design.forms.count[:, None], design.forms.reduced(np.add, design.forms.middles_2dbu())
    out = np.empty((len(design.pin_net), 2))
    for block in blocks(len(out)):
        form = design.pin_form[block]
        of = count[form]
        place = (total[form] + 2 * of * design.pin_base_dbu(block)) / 2.0 / np.maximum(of, 1)
        out[block] = np.where(of > 0, place, otherwise[block])
    return out


def net_hpwl_um(design: Design) -> Float64[np.ndarray, " nets"]:
    """Half perimeter of the box of each net's pin shapes' middles, in um."""
    forms, n = design.forms, len(design.net_names)
    span = np.concatenate([forms.reduced(f, forms.middles_2dbu()) for f in (np.minimum, np.maximum)], axis=1)
    has = forms.has_shape()
    low, high = np.full((n, 2), np.iinfo(np.int64).max), np.full((n, 2), np.iinfo(np.int64).min)
    for block in blocks(len(design.pin_net)):
        form, base, net = design.pin_form[block], 2 * design.pin_base_dbu(block), design.pin_net[block]
        seen = has[form]
        form, base, net = form[seen], base[seen], net[seen]
        first = np.flatnonzero(np.diff(net, prepend=-1))
        if len(first):
            at = net[first]  # a net's pins may lie in several blocks
            low[at] = np.minimum(low[at], np.minimum.reduceat(span[form, :2] + base, first, axis=0))
            high[at] = np.maximum(high[at], np.maximum.reduceat(span[form, 2:] + base, first, axis=0))
    size = np.where(high >= low, high, 0) - np.where(high >= low, low, 0)
    hpwl: Float64[np.ndarray, " nets"] = size.sum(axis=1) / 2.0 / design.dbu_per_um
    return hpwl
