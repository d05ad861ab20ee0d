"""COMPONENTS, NETS and SPECIALNETS of a DEF file by the C scanner, equal to what `def_nets` reads of them."""

from typing import Any

import numpy as np

from circuit_io import native
from circuit_io.def_nets import Netlist, read_attributes
from circuit_io.def_text import DefText
from circuit_io.def_wires import NetWires

# columns of scan_def.c
_INST, _NET, _SPECIAL, _PIN, _PORT, _WIRE = 0, 9, 15, 21, 23, 27
_LEFT = 8
_HAS_ROUTING = 0


def scan_netlist(text: DefText) -> Netlist | None:
    """What `def_nets.read_netlist` returns, or None when that has to read it."""
    sections = (b"COMPONENTS", b"NETS", b"SPECIALNETS", b"PINS")
    where = (position for section in sections for position in text.sections.get(section, (0, 0)))
    columns = native.scan("scan_def_netlist", text.text, *where)
    if columns is None:
        return None
    insts = _insts(text, columns)
    nets, specials = _nets(columns, _NET), _nets(columns, _SPECIAL)
    ports = columns.names(_PORT, _PORT + 1).raw_list()
    net_ids, special_ids = (
        {name: i for name, i in zip(ports, columns.array(_PORT + k, np.int32).tolist(), strict=True) if i >= 0}
        for k in (2, 3)
    )
    return Netlist(
        insts=insts,
        nets=nets,
        specials=specials,
        wires=_wires(text, columns),
        pin_names=columns.names(_PIN, _PIN + 1),
        net_ids=net_ids,
        special_ids=special_ids,
        has_routing=bool(columns.numbers[_HAS_ROUTING]),
    )


def _insts(text: DefText, columns: native.Columns) -> dict[str, Any]:
    names = columns.names(_INST, _INST + 1)
    found = {
        "inst_names": names,
        "master_names": columns.names(_INST + 2, _INST + 3),
        "inst_master": columns.array(_INST + 4, np.int32),
        "inst_status": columns.array(_INST + 5, np.int8),
        "inst_xy_dbu": columns.array(_INST + 6, np.int64, 2),
        "inst_orient": columns.array(_INST + 7, np.int8),
    }
    left = columns.array(_LEFT, np.int64, 3).tolist()
    read_attributes(text, ((i, names.raw(i), text.text[begin:end]) for i, begin, end in left), found)
    return found


def _nets(columns: native.Columns, first: int) -> dict[str, Any]:
    return {
        "names": columns.names(first, first + 1),
        "use": columns.array(first + 2, np.int8),
        "ptr": columns.array(first + 3, np.int64),
        "conn_inst": columns.array(first + 4, np.int32),
        "conn_pin": columns.array(first + 5, np.int32),
    }


def _wires(text: DefText, columns: native.Columns) -> list[NetWires]:
    table, vias = columns.array(_WIRE, np.int64, 6), columns.array(_WIRE + 1, np.int64)
    odd = [text.text[begin:end] for begin, end in columns.array(_WIRE + 2, np.int64, 2).tolist()]
    nets = columns.array(_WIRE + 3, np.int64, 3).tolist()
    layer_names, via_names = (columns.names(_WIRE + k, _WIRE + k + 1).raw_list() for k in (4, 6))
    found, row, word = [], 0, 0
    for position, row_end, odd_end in nets:
        found.append(
            NetWires(position, odd[word:odd_end], table[row:row_end], vias[row:row_end], layer_names, via_names)
        )
        row, word = row_end, odd_end
    return found
