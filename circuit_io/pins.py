"""The pins of a placed design: which mterm or port each is, its shapes on the die, its capacitance."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from circuit_io.arrays import numbered
from circuit_io.def_ import DefDesign
from circuit_io.errors import Faults, did_you_mean
from circuit_io.forms import PinForms, turned
from circuit_io.geometry import ORIENTS
from circuit_io.lef import LefLibrary
from circuit_io.liberty import Liberty
from circuit_io.names import Names

POWER, GROUND = 1, 2  # of `net_use` and `mterm_use`


def levels_of(library: LefLibrary, names: Names) -> Int32[np.ndarray, " layers"]:
    """Routing level of each layer name, 0 for what is no routing layer."""
    at = library.layer_names.rows_of(names)
    return np.where(at >= 0, library.routing_level[at], 0).astype(np.int32) if len(at) else np.zeros(0, np.int32)


def pins_of(
    library: LefLibrary,
    placed: DefDesign,
    macro: Int64[np.ndarray, " masters"],
    liberty: Liberty | None,
    libcell: Int32[np.ndarray, " masters"],
) -> dict[str, Any]:
    """Pins of all signal nets, sorted by net, then inst, ports last, with the shapes that the router takes."""
    supply = (placed.net_use == POWER) | (placed.net_use == GROUND)
    net = np.repeat(np.arange(len(supply), dtype=np.int32), np.diff(placed.net_ptr))
    inst, name = placed.conn_inst, placed.conn_pin
    if supply.any():
        keep = ~supply[net]
        net, inst, name = net[keep], inst[keep], name[keep]
    order = _order(net, inst, len(placed.inst_master))
    inst, name = inst[order], name[order]  # `net` is sorted as it is
    of_inst = inst >= 0
    kind, mterm = _mterms(library, placed, macro, net, inst, name, of_inst)
    port = np.full(len(net), -1, np.int32)
    port[~of_inst] = _ports(placed, net[~of_inst], name[~of_inst])
    direction = np.empty(len(net), np.int8)
    direction[of_inst] = library.mterm_direction[mterm][kind]
    direction[~of_inst] = placed.bterm_direction[port[~of_inst]]
    form, forms = _forms(library, placed, mterm, kind, inst[of_inst])
    pin_form = np.empty(len(net), np.int32)
    pin_form[of_inst] = form
    pin_form[~of_inst] = len(forms.level) - len(placed.bterm_names) + port[~of_inst]
    return {
        "pin_net": net,
        "pin_inst": inst,
        "pin_port": port,
        "pin_name": name,
        "pin_direction": direction,
        "pin_cap_ff": _pin_caps(library, placed, liberty, libcell, inst, of_inst, mterm[kind]),
        "pin_form": pin_form,
        "forms": forms,
    }


def _order(
    net: Int32[np.ndarray, " pins"], inst: Int32[np.ndarray, " pins"], num_insts: int
) -> Int64[np.ndarray, " pins"]:
    """Order of the pins by net, then inst, ports last; pins of one inst on one net stay in the file's order."""
    key = net.astype(np.int64)
    key *= num_insts + 1
    key += np.where(inst >= 0, inst, num_insts)
    return np.argsort(key, kind="stable")


def _mterms(
    library: LefLibrary,
    placed: DefDesign,
    macro: Int64[np.ndarray, " masters"],
    net: Int32[np.ndarray, " pins"],
    inst: Int32[np.ndarray, " pins"],
    name: Int32[np.ndarray, " pins"],
    of_inst: Bool[np.ndarray, " pins"],
) -> tuple[Int32[np.ndarray, " inst_pins"], Int64[np.ndarray, " kinds"]]:
    """For each pin of an inst its kind, and the mterm of each kind: every (master, pin name) is looked up once."""
    known, pin = numbered(name[of_inst], len(placed.pin_names))
    mterms: dict[int, dict[bytes, int]] = {}
    key = placed.inst_master[inst[of_inst]].astype(np.int64) * len(known) + pin
    kinds, kind = numbered(key, len(macro) * len(known))
    found = np.full(len(kinds), -1, np.int64)
    faults = Faults(placed.path)
    for i, k in enumerate(kinds.tolist()):
        m = int(macro[k // len(known)])
        if m not in mterms:
            span = range(int(library.mterm_ptr[m]), int(library.mterm_ptr[m + 1]))
            mterms[m] = {library.mterm_names.raw(t): t for t in reversed(span)}  # the first of a name counts
        wanted = placed.pin_names.raw(int(known[k % len(known)]))
        found[i] = mterms[m].get(wanted, -1)
        if found[i] < 0:
            at, shown = np.flatnonzero(of_inst)[np.argmax(kind == i)], wanted.decode("utf-8", "replace")
            faults.add(
                f'net "{placed.net_names[int(net[at])]}" uses pin "{shown}" of inst '
                f'"{placed.inst_names[int(inst[at])]}", but master "{library.macro_names[m]}" has no such pin',
                mend="Give the LEF that the design was made with. "
                + did_you_mean(shown, [other.decode("utf-8", "replace") for other in reversed(mterms[m])]),
            )
    faults.raise_if_any()
    return kind, found


def _ports(
    placed: DefDesign, net: Int32[np.ndarray, " port_pins"], name: Int32[np.ndarray, " port_pins"]
) -> Int32[np.ndarray, " port_pins"]:
    """The port of each pin that belongs to no inst."""
    names = (placed.pin_names.raw(i) for i in name.tolist())
    out = np.fromiter(map(placed.bterm_names.find, names), np.int32, len(name))
    faults = Faults(placed.path)
    for i in np.flatnonzero(out < 0).tolist():
        wanted = placed.pin_names.raw(int(name[i]))
        faults.add(
            f'net "{placed.net_names[int(net[i])]}" joins ( PIN {wanted.decode(errors="replace")} ), '
            "which PINS does not list",
            mend="Write the DEF again; it was cut or edited.",
        )
    faults.raise_if_any()
    return out


def _forms(
    library: LefLibrary,
    placed: DefDesign,
    mterm: Int64[np.ndarray, " kinds"],
    kind: Int32[np.ndarray, " inst_pins"],
    inst: Int32[np.ndarray, " inst_pins"],
) -> tuple[Int32[np.ndarray, " inst_pins"], PinForms]:
    """The form of each pin of an inst, and all forms: those of insts' pins, then one for each port."""
    turns = len(ORIENTS)
    used, form = numbered(kind.astype(np.int64) * turns + placed.inst_orient[inst], len(mterm) * turns)
    of = mterm[used // turns]
    top, ptr, which = _top_shapes(
        library.shape_mterm, library.routing_level[library.shape_layer].astype(np.int32), len(library.mterm_macro)
    )
    owner = library.mterm_macro[library.shape_mterm[which]]
    local = library.shape_rect_um[which] + np.tile(library.macro_origin_um[owner], (1, 2))
    rect = np.rint(local * placed.dbu_per_um).astype(np.int64)
    size = np.rint(library.macro_size_um[library.mterm_macro] * placed.dbu_per_um).astype(np.int64)
    insts = turned(ptr, rect, size, of, used % turns)
    port_level = levels_of(library, placed.layer_names)[placed.bterm_shape_layer]
    port_top, port_ptr, port_which = _top_shapes(placed.bterm_shape_bterm, port_level, len(placed.bterm_names))
    forms = PinForms(
        ptr=np.concatenate([insts.ptr, insts.ptr[-1] + port_ptr[1:]]),
        rect_dbu=np.concatenate([insts.rect_dbu, placed.bterm_shape_rect_dbu[port_which]]),
        level=np.concatenate([top[of], port_top]).astype(np.int32),
    )
    return form, forms


def _top_shapes(
    owner: Int32[np.ndarray, " shapes"], level: Int32[np.ndarray, " shapes"], num_owners: int
) -> tuple[Int32[np.ndarray, " owners"], Int64[np.ndarray, " owners_plus_1"], Int64[np.ndarray, " kept"]]:
    """For each owner its highest level, and in CSR form its shapes on that level, in their order."""
    top = np.zeros(num_owners, np.int32)
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
    inst: Int32[np.ndarray, " pins"],
    of_inst: Bool[np.ndarray, " pins"],
    mterm: Int64[np.ndarray, " inst_pins"],
) -> Float32[np.ndarray, " pins"]:
    """Input capacitance from Liberty, nan where it does not tell."""
    out = np.full(len(inst), np.nan, np.float32)
    if liberty is None or not len(mterm):
        return out
    cell = libcell[placed.inst_master[inst[of_inst]]]
    rows = zip(liberty.pin_cell.tolist(), liberty.pin_names.raw_list(), liberty.pin_cap_ff.tolist(), strict=True)
    table = {(c, name): cap for c, name, cap in rows}
    base = len(liberty.cell_names) + 1  # cell -1, none, becomes 0
    used, at = numbered(mterm * base + cell + 1, len(library.mterm_macro) * base)
    caps = [table.get((k % base - 1, library.mterm_names.raw(k // base)), np.nan) for k in used.tolist()]
    out[of_inst] = np.asarray(caps, np.float32)[at]
    return out
