"""Whether a Verilog netlist and a placed design are the same circuit: insts, masters, and which pins share a net."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from circuit_io.design import Design
from circuit_io.errors import MAX_NAMES, InputError, listed
from circuit_io.names import Names
from circuit_io.verilog import Netlist, read_verilog

_MEND = "Give the netlist that this DEF was placed from, or leave --verilog out."


def check_netlist(design: Design, path: Path) -> tuple[Netlist, list[str]]:
    """The netlist of a Verilog file and warnings; it must be the placed design's.

    Insts of the netlist must be in the DEF with the same master, and pins that share a net there must do so here; nets
    may have other names. Names are compared without backslashes. Insts that no signal reaches (fill, taps) may be in
    either alone. Where the DEF has more logic (buffers put in since), other nets are told as a warning.

    Raises:
        InputError: no module of the design's name, or another circuit: how many insts and pins, five of each.
    """
    netlist = _read(design, path)
    found = design.inst_names.plain().rows_of(netlist.inst_names.plain())
    faults = _insts(design, netlist, found)
    added = _added(design, found)
    moved = _pins(design, netlist, found)
    warnings = []
    if len(added):
        names = listed(design.inst_names.take(added[:MAX_NAMES]), len(added))
        warnings.append(f"{len(added)} insts of the DEF that signals reach are not in {path.name} ({names})")
    if moved and len(added):
        warnings.append(f"{path.name}: {moved}")
    elif moved:
        faults.append(moved)
    if faults:
        raise InputError(f"is another netlist than {design.path.name}: {'; '.join([*faults, *warnings])}", path=path,
                         mend=_MEND)  # fmt: skip
    return netlist, warnings


def _read(design: Design, path: Path) -> Netlist:
    top = design.name.replace("\\", "")
    try:
        return read_verilog(path, top)
    except InputError as e:
        if e.what != f'no module "{top}"':
            raise
        raise InputError(f'has no module "{top}", the design of {design.path.name}', path=path,
                         mend=f"{e.mend} {_MEND}") from e  # fmt: skip


def _insts(design: Design, netlist: Netlist, found: Int64[np.ndarray, " insts"]) -> list[str]:
    """What is wrong with insts: those that the DEF lacks, those of another master."""
    out = []
    reached = np.zeros(netlist.num_insts, bool)
    reached[netlist.conn_inst[netlist.conn_inst >= 0]] = True
    lacking = np.flatnonzero((found < 0) & reached)
    if len(lacking):
        names = listed(netlist.inst_names.take(lacking[:MAX_NAMES]), len(lacking))
        out.append(f"{len(lacking)} of its {netlist.num_insts} insts are not in the DEF ({names})")
    same = design.masters.names.plain().rows_of(netlist.master_names.plain())
    both = np.flatnonzero(found >= 0)
    other = both[same[netlist.inst_master[both]] != design.inst_master[found[both]]]
    if len(other):
        texts = [
            f"{netlist.inst_names[i]} is a {netlist.master_names[int(netlist.inst_master[i])]}, in the DEF a "
            f"{design.masters.names[int(design.inst_master[found[i]])]}"
            for i in other.tolist()[:MAX_NAMES]
        ]
        out.append(f"{len(other)} insts have another master ({listed(texts, len(other))})")
    return out


def _added(design: Design, found: Int64[np.ndarray, " insts"]) -> Int64[np.ndarray, " added"]:
    """Insts of the design that signals reach and the netlist lacks."""
    reached = np.zeros(design.num_insts, bool)
    reached[design.pin_inst[design.pin_inst >= 0]] = True
    reached[found[found >= 0]] = False
    return np.flatnonzero(reached & ~design.masters.is_physical[design.inst_master])


def _pins(design: Design, netlist: Netlist, found: Int64[np.ndarray, " insts"]) -> str:
    """How many pins are on other nets, or "".

    A net of one side belongs to the net of its name on the other, if they share a pin, else to that with which it
    shares most pins, if that is so both ways; a pin that is on another pair of nets, or on a net with a partner and
    missing on the other side, is on another net.
    """
    width = max(len(design.pin_names), len(design.port_names)) + 1
    shared = np.zeros(design.num_insts + 1, bool)
    shared[found[found >= 0]] = True
    shared[-1] = True  # ports count as pins of one more inst
    ours, our_net = _placed_pins(design, width, shared)
    theirs, their_net = _netlist_pins(design, netlist, found, width)
    _, a, b = np.intersect1d(ours, theirs, assume_unique=True, return_indices=True)
    pair, back, count = np.unique(
        their_net[b] * len(design.net_names) + our_net[a], return_inverse=True, return_counts=True
    )
    pair_theirs, pair_ours = np.divmod(pair, max(len(design.net_names), 1))
    has_name = design.net_names.plain().rows_of(netlist.net_names.plain())[pair_theirs] == pair_ours
    best = _most(pair_theirs, count, has_name) & _most(pair_ours, count, has_name)
    wrong = ~best[back]
    ours_only, theirs_only = np.ones(len(ours), bool), np.ones(len(theirs), bool)
    ours_only[a], theirs_only[b] = False, False
    ours_only &= np.isin(our_net, pair_ours)
    theirs_only &= np.isin(their_net, pair_theirs)
    total = int(wrong.sum() + ours_only.sum() + theirs_only.sum())
    if not total:
        return ""
    rows = [(int(theirs[b[i]]), int(their_net[b[i]]), int(our_net[a[i]])) for i in np.flatnonzero(wrong)[:MAX_NAMES]]
    rows += [(int(theirs[i]), int(their_net[i]), -1) for i in np.flatnonzero(theirs_only)[:MAX_NAMES]]
    rows += [(int(ours[i]), -1, int(our_net[i])) for i in np.flatnonzero(ours_only)[:MAX_NAMES]]
    texts = [
        f"{_pin_name(design, key, width)} is on {_net_name(netlist.net_names, there)}, in the DEF on "
        f"{_net_name(design.net_names, here)}"
        for key, there, here in rows[:MAX_NAMES]
    ]
    return f"{total} of {len(np.union1d(ours, theirs))} pins are on another net ({listed(texts, total)})"


def _most(
    net: Int64[np.ndarray, " pairs"], count: Int64[np.ndarray, " pairs"], has_name: Bool[np.ndarray, " pairs"]
) -> Bool[np.ndarray, " pairs"]:
    """For each net its pair of one name, else the first of its pairs with the most pins."""
    order = np.lexsort((np.arange(len(net)), -count, ~has_name, net))
    out = np.zeros(len(net), bool)
    out[order[np.diff(net[order], prepend=-1) != 0]] = True
    return out


_Pins = tuple[Int64[np.ndarray, " pins"], Int64[np.ndarray, " pins"]]  # what pin it is, and its net; each pin once


def _placed_pins(design: Design, width: int, shared: Bool[np.ndarray, " insts_plus_1"]) -> _Pins:
    inst = np.where(design.pin_inst >= 0, design.pin_inst, design.num_insts).astype(np.int64)
    name = np.where(design.pin_inst >= 0, design.pin_name, design.pin_port)
    key, first = np.unique((inst * width + name)[shared[inst]], return_index=True)
    return key, design.pin_net[shared[inst]][first].astype(np.int64)


def _netlist_pins(design: Design, netlist: Netlist, found: Int64[np.ndarray, " insts"], width: int) -> _Pins:
    """Pins of the netlist that the design may have, numbered as the design's."""
    names = netlist.pin_names.plain()
    as_pin, as_port = (known.plain().rows_of(names) for known in (design.pin_names, design.port_names))
    net = np.repeat(np.arange(len(netlist.net_names)), np.diff(netlist.net_ptr))
    is_port = netlist.conn_inst < 0
    inst = np.where(is_port, design.num_insts, found[np.maximum(netlist.conn_inst, 0)] if len(found) else -1)
    name = np.where(is_port, as_port[netlist.conn_pin], as_pin[netlist.conn_pin])
    keep = (inst >= 0) & (name >= 0)
    key, first = np.unique((inst * width + name)[keep], return_index=True)
    return key, net[keep][first]


def _pin_name(design: Design, key: int, width: int) -> str:
    inst, pin = divmod(key, width)
    return f"{design.inst_names[inst]}/{design.pin_names[pin]}" if inst < design.num_insts else design.port_names[pin]


def _net_name(names: Names, net: int) -> str:
    return f'"{names[net]}"' if net >= 0 else "none"
