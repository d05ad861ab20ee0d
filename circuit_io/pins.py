"""The pins of a placed design: which mterm or port each is, its shapes on the die, its capacitance."""

import numpy as np
from jaxtyping import Float32, Int32, Int64

from circuit_io.def_ import DefDesign
from circuit_io.errors import Faults, did_you_mean
from circuit_io.gcells import expand
from circuit_io.geometry import place_rects
from circuit_io.lef import LefLibrary
from circuit_io.liberty import Liberty
from circuit_io.names import Names

POWER, GROUND = 1, 2  # of `net_use` and `mterm_use`


def levels_of(library: LefLibrary, names: Names) -> Int32[np.ndarray, " layers"]:
    """Routing level of each layer name, 0 for what is no routing layer."""
    at = np.asarray([library.layer_names.find(n) for n in names.raw_list()], np.int64)
    return np.where(at >= 0, library.routing_level[at], 0).astype(np.int32) if len(at) else np.zeros(0, np.int32)


def pins_of(
    library: LefLibrary,
    placed: DefDesign,
    macro: Int64[np.ndarray, " masters"],
    liberty: Liberty | None,
    libcell: Int32[np.ndarray, " masters"],
) -> dict[str, np.ndarray]:
    """Pins of all signal nets with their shapes on the top layer, as the router takes them."""
    net = np.repeat(np.arange(len(placed.net_names)), np.diff(placed.net_ptr))
    inst, name = placed.conn_inst.astype(np.int64), placed.conn_pin.astype(np.int64)
    keep = (placed.net_use[net] != POWER) & (placed.net_use[net] != GROUND)
    net, inst, name = net[keep], inst[keep], name[keep]
    mterm = _mterms(library, placed, macro, net, inst, name)
    port = _ports(placed, net, inst, name)
    order = np.lexsort((np.where(inst >= 0, inst, np.iinfo(np.int32).max), net))
    net, inst, name, mterm, port = net[order], inst[order], name[order], mterm[order], port[order]
    direction = np.where(
        inst >= 0, library.mterm_direction[np.maximum(mterm, 0)], placed.bterm_direction[np.maximum(port, 0)]
        if len(placed.bterm_direction) else -1,
    )  # fmt: skip
    shape_pin, shape_rect, level = _pin_shapes(library, placed, inst, mterm, port)
    return {
        "pin_net": net.astype(np.int32),
        "pin_inst": inst.astype(np.int32),
        "pin_port": port.astype(np.int32),
        "pin_name": name.astype(np.int32),
        "pin_direction": direction.astype(np.int8),
        "pin_cap_ff": _pin_caps(library, placed, liberty, libcell, inst, mterm),
        "pin_level": level,
        "shape_pin": shape_pin,
        "shape_rect_dbu": shape_rect,
    }


def _mterms(
    library: LefLibrary,
    placed: DefDesign,
    macro: Int64[np.ndarray, " masters"],
    net: Int64[np.ndarray, " pins"],
    inst: Int64[np.ndarray, " pins"],
    name: Int64[np.ndarray, " pins"],
) -> Int64[np.ndarray, " pins"]:
    """The mterm of each pin of an inst, -1 for a port; each (master, pin name) pair is looked up once."""
    out = np.full(len(net), -1, np.int64)
    of_inst = np.flatnonzero(inst >= 0)
    if not len(of_inst):
        return out
    key = placed.inst_master[inst[of_inst]].astype(np.int64) * len(placed.pin_names) + name[of_inst]
    unique, first, back = np.unique(key, return_index=True, return_inverse=True)
    found = np.full(len(unique), -1, np.int64)
    faults = Faults(placed.path)
    pin_names = placed.pin_names
    for i, k in enumerate(unique.tolist()):
        m = int(macro[k // len(pin_names)])
        start, end = int(library.mterm_ptr[m]), int(library.mterm_ptr[m + 1])
        wanted = pin_names.raw(k % len(pin_names))
        found[i] = next((t for t in range(start, end) if library.mterm_names.raw(t) == wanted), -1)
        if found[i] < 0:
            at, shown = of_inst[first[i]], wanted.decode("utf-8", "replace")
            known = [library.mterm_names[t] for t in range(start, end)]
            faults.add(
                f'net "{placed.net_names[int(net[at])]}" uses pin "{shown}" of inst '
                f'"{placed.inst_names[int(inst[at])]}", but master "{library.macro_names[m]}" has no such pin',
                mend="Give the LEF that the design was made with. " + did_you_mean(shown, known),
            )
    faults.raise_if_any()
    out[of_inst] = found[back]
    return out


def _ports(
    placed: DefDesign,
    net: Int64[np.ndarray, " pins"],
    inst: Int64[np.ndarray, " pins"],
    name: Int64[np.ndarray, " pins"],
) -> Int64[np.ndarray, " pins"]:
    """The port of each pin that belongs to no inst, -1 for the others."""
    out = np.full(len(net), -1, np.int64)
    faults = Faults(placed.path)
    for i in np.flatnonzero(inst < 0).tolist():
        wanted = placed.pin_names.raw(int(name[i]))
        out[i] = placed.bterm_names.find(wanted)
        if out[i] < 0:
            faults.add(
                f'net "{placed.net_names[int(net[i])]}" joins ( PIN {wanted.decode(errors="replace")} ), '
                "which PINS does not list",
                mend="Write the DEF again; it was cut or edited.",
            )
    faults.raise_if_any()
    return out


def _pin_shapes(
    library: LefLibrary,
    placed: DefDesign,
    inst: Int64[np.ndarray, " pins"],
    mterm: Int64[np.ndarray, " pins"],
    port: Int64[np.ndarray, " pins"],
) -> tuple[Int64[np.ndarray, " shapes"], Int64[np.ndarray, "shapes 4"], Int32[np.ndarray, " pins"]]:
    """Shapes of every pin on its highest routing layer, in dbu on the die, and that layer's level."""
    level_of_shape = library.routing_level[library.shape_layer].astype(np.int64)
    top, ptr, which = _top_shapes(library.shape_mterm, level_of_shape, len(library.mterm_macro))
    port_level = levels_of(library, placed.layer_names)[placed.bterm_shape_layer].astype(np.int64)
    port_top, port_ptr, port_which = _top_shapes(placed.bterm_shape_bterm, port_level, len(placed.bterm_names))
    count, level = np.zeros(len(inst), np.int64), np.zeros(len(inst), np.int64)
    of_inst, of_port = inst >= 0, inst < 0
    count[of_inst], level[of_inst] = np.diff(ptr)[mterm[of_inst]], top[mterm[of_inst]]
    count[of_port], level[of_port] = np.diff(port_ptr)[port[of_port]], port_top[port[of_port]]
    pin, nth = expand(count)
    rect = np.zeros((len(pin), 4), np.int64)
    a = of_inst[pin]
    shape = which[ptr[mterm[pin[a]]] + nth[a]]
    owner = inst[pin[a]]
    master_macro = library.mterm_macro[mterm[pin[a]]]
    local = library.shape_rect_um[shape] + np.tile(library.macro_origin_um[master_macro], (1, 2))
    rect[a] = place_rects(
        np.rint(local * placed.dbu_per_um).astype(np.int64),
        np.rint(library.macro_size_um[master_macro] * placed.dbu_per_um).astype(np.int64),
        placed.inst_orient[owner],
        placed.inst_xy_dbu[owner],
    )
    b = ~a
    rect[b] = placed.bterm_shape_rect_dbu[port_which[port_ptr[port[pin[b]]] + nth[b]]]
    return pin, rect, level.astype(np.int32)


def _top_shapes(
    owner: Int32[np.ndarray, " shapes"], level: Int64[np.ndarray, " shapes"], num_owners: int
) -> tuple[Int64[np.ndarray, " owners"], Int64[np.ndarray, " owners_plus_1"], Int64[np.ndarray, " kept"]]:
    """For each owner its highest level, and in CSR form its shapes on that level, in their order."""
    top = np.zeros(num_owners, np.int64)
    np.maximum.at(top, owner, level)
    kept = np.flatnonzero((level == top[owner]) & (level > 0))
    kept = kept[np.argsort(owner[kept], kind="stable")]
    ptr = np.zeros(num_owners + 1, np.int64)
    np.cumsum(np.bincount(owner[kept], minlength=num_owners), out=ptr[1:])
    return top, ptr, kept


def _pin_caps(
    library: LefLibrary,
    placed: DefDesign,
    liberty: Liberty | None,
    libcell: Int32[np.ndarray, " masters"],
    inst: Int64[np.ndarray, " pins"],
    mterm: Int64[np.ndarray, " pins"],
) -> Float32[np.ndarray, " pins"]:
    """Input capacitance from Liberty, nan where it does not tell."""
    out = np.full(len(inst), np.nan, np.float32)
    if liberty is None:
        return out
    of_inst = np.flatnonzero(inst >= 0)
    cell = libcell[placed.inst_master[inst[of_inst]]].astype(np.int64)
    rows = zip(liberty.pin_cell.tolist(), liberty.pin_names.raw_list(), liberty.pin_cap_ff.tolist(), strict=True)
    table = {(c, name): cap for c, name, cap in rows}
    base = len(liberty.cell_names) + 1  # cell -1, none, becomes 0
    unique, back = np.unique(mterm[of_inst] * base + cell + 1, return_inverse=True)
    caps = [table.get((k % base - 1, library.mterm_names.raw(k // base)), np.nan) for k in unique.tolist()]
    if caps:
        out[of_inst] = np.asarray(caps, np.float32)[back]
    return out
