"""COMPONENTS, NETS and SPECIALNETS of a DEF file: insts and their connections, whole sections at a time."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from circuit_io.codes import ORIENT_CODES, STATUS, USES
from circuit_io.def_places import place
from circuit_io.def_text import JUNK, PLUS, DefText, near, show
from circuit_io.def_wires import NetWires, net_wires
from circuit_io.errors import did_you_mean
from circuit_io.geometry import ORIENTS
from circuit_io.names import Names

COMPONENT = re.compile(
    rb"\s*+(?:-\s++([^\s;]++)\s++([^\s;]++)\s*+(?:\+\s++SOURCE\s++\w++\s*+)?"
    rb"(?:\+\s++(PLACED|FIXED|COVER)\s++\(\s*+(-?\d++)\s++(-?\d++)\s*+\)\s*+(\w++)\s*+)?(\+[^;]*)?;" + JUNK
)
NET = re.compile(
    rb"\s*+(?:-\s++([^\s;]++)((?:\s++\(\s++\S++\s++\S++\s++(?:\+\s++SYNTHESIZED\s++)?\))*+)\s*+"
    rb"(?:\+\s++USE\s++(\w++)\s*+)?(\+[^;]*)?;" + JUNK
)
_CONNECTION = re.compile(rb"\(\s++(\S++)\s++(\S++)\s++(?:\+\s++SYNTHESIZED\s++)?\)")
_USE = re.compile(rb"\+\s++USE\s++(\w++)")
_ROUTED = re.compile(rb"\+\s++ROUTED\s")
_PASSED = frozenset(
    b"SOURCE EEQMASTER FOREIGN HALO ROUTEHALO WEIGHT REGION PROPERTY MASKSHIFT GENERATE POWERDOMAIN".split()
)
FROM_ONE_RUN = "Write LEF and DEF from the same run."
_BTERM, _EVERY, _UNKNOWN = -1, -2, -9


@dataclass(frozen=True)
class Netlist:
    """The columns of COMPONENTS, NETS and SPECIALNETS, and what PINS and the special wires ask of them."""

    insts: dict[str, Any]  # the inst fields of `DefDesign`
    nets: dict[str, Any]  # names, use, ptr, conn_inst, conn_pin
    specials: dict[str, Any]
    wires: Iterable[NetWires]  # of each special net
    pin_names: Names
    net_ids: Mapping[bytes, int]  # at least of the nets that PINS names
    special_ids: Mapping[bytes, int]
    has_routing: bool


def read_netlist(text: DefText) -> Netlist:
    """All of it, in Python."""
    insts = read_components(text)
    index, pins = insts["inst_names"].index, dict[bytes, int]()
    nets, _ = read_nets(text, b"NETS", insts=index, pins=pins)
    specials, rests = read_nets(text, b"SPECIALNETS", insts=index, pins=pins)
    return Netlist(
        insts=insts,
        nets=nets,
        specials=specials,
        wires=(net_wires(text, *net) for net in zip(rests, text.positions(b"SPECIALNETS", NET), strict=True)),
        pin_names=Names.of(pins),
        net_ids=nets["names"].index,
        special_ids=specials["names"].index,
        has_routing=b"NETS" in text.sections and bool(_ROUTED.search(text.text, *text.sections[b"NETS"])),
    )


def read_components(text: DefText) -> dict[str, Any]:
    """The inst fields of `DefDesign`."""
    rows = text.rows(b"COMPONENTS", COMPONENT)
    columns = map(list, zip(*rows, strict=True)) if rows else ([] for _ in range(8))
    names, masters, states, xs, ys, turns, rests, _ = columns

    def where(i: int) -> int:
        return text.positions(b"COMPONENTS", COMPONENT)[i]

    status = np.fromiter(map(STATUS.get, states, repeat(0)), np.int8, len(rows))
    xy = np.stack([text.ints([v or b"0" for v in axis], "coordinate", where) for axis in (xs, ys)], axis=1)
    orient = np.fromiter(map(({b"": 0} | ORIENT_CODES).get, turns, repeat(-1)), np.int8, len(rows))
    for i in np.flatnonzero(orient < 0).tolist():
        what = f'inst "{show(names[i])}": "{show(turns[i])}" is no orientation'
        text.fault(what, where(i), "Use one of " + " ".join(ORIENTS) + ".")
    orient[orient < 0] = 0
    table = {"inst_status": status, "inst_xy_dbu": xy, "inst_orient": orient}
    read_attributes(text, ((i, names[i], rest) for i, rest in enumerate(rests) if rest), table)
    master_ids = {m: i for i, m in enumerate(dict.fromkeys(masters))}
    _report_repeats(text, names, "inst", where)
    return {
        "inst_names": Names.of(names),
        "inst_master": np.fromiter(map(master_ids.__getitem__, masters), np.int32, len(rows)),
        "master_names": Names.of(master_ids),
        **table,
    }


def read_attributes(text: DefText, rests: Iterable[tuple[int, bytes, bytes]], table: dict[str, Any]) -> None:
    """Read number, name and attributes of insts into the columns `inst_status`, `inst_xy_dbu` and `inst_orient`."""
    for i, name, rest in rests:
        for attribute in PLUS.split(rest)[1:]:
            key = attribute.split(None, 1)[0] if attribute.strip() else b""
            if key in STATUS:
                at = text.positions(b"COMPONENTS", COMPONENT)[i]
                table["inst_status"][i], table["inst_xy_dbu"][i], table["inst_orient"][i] = place(
                    text, attribute.strip(), at
                )
            elif key not in _PASSED:
                what = f'inst "{show(name)}": unknown attribute "+ {show(key[:40])}"'
                at = text.positions(b"COMPONENTS", COMPONENT)[i]
                text.fault(what, at, near(key[:40], _PASSED | STATUS.keys()))


def _report_repeats(text: DefText, names: list[bytes], kind: str, where: Callable[[int], int]) -> None:
    if len(set(names)) == len(names):
        return
    seen: set[bytes] = {b""}
    for i, name in enumerate(names):
        if name in seen and name != b"MUSTJOIN":
            text.fault(f'{kind} "{show(name)}" is listed twice', where(i), "Give each its own name.")
        seen.add(name)


def read_nets(
    text: DefText, section: bytes, *, insts: dict[bytes, int], pins: dict[bytes, int]
) -> tuple[dict[str, Any], list[bytes]]:
    """Names, uses and connections of NETS or SPECIALNETS, and what follows the connections of each net.

    Args:
        text: the file.
        section: `NETS` or `SPECIALNETS`.
        insts: inst name to its number.
        pins: pin name to its number; names met for the first time are added.
    """
    rows = text.rows(section, NET)
    names, conns, uses, rests, _ = map(list, zip(*rows, strict=True)) if rows else ([] for _ in range(5))
    inst_words, pin_words, ptr = _connections(conns)
    index = insts | {b"PIN": _BTERM} | ({b"*": _EVERY} if section == b"SPECIALNETS" else {})
    inst = np.fromiter(map(index.get, inst_words, repeat(_UNKNOWN)), np.int32, len(inst_words))

    def where(i: int) -> int:
        return text.positions(section, NET)[i]

    for c in np.flatnonzero(inst == _UNKNOWN).tolist():
        i = int(np.searchsorted(ptr, c, side="right")) - 1
        what = f'net "{show(names[i])}" uses inst "{show(inst_words[c])}", which COMPONENTS does not list'
        text.fault(what, where(i), FROM_ONE_RUN)
    for pin in dict.fromkeys(pin_words):
        pins.setdefault(pin, len(pins))
    _report_repeats(text, names, "net", where)
    columns = {
        "names": Names.of(names),
        "use": _uses(text, names, uses, rests, where),
        "ptr": ptr,
        "conn_inst": inst,
        "conn_pin": np.fromiter(map(pins.__getitem__, pin_words), np.int32, len(pin_words)),
    }
    return columns, rests


def _connections(conns: list[bytes]) -> tuple[list[bytes], list[bytes], np.ndarray[Any, np.dtype[np.int64]]]:
    """First and second words of all `( inst pin )`, and where those of each net begin."""
    text = b"".join(conns)
    if b"SYNTHESIZED" in text:
        conns = [_CONNECTION.sub(rb"( \1 \2 )", c) for c in conns]
        text = b"".join(conns)
    words = text.split()
    counts = np.fromiter((c.count(b"(") for c in conns), np.int64, len(conns))
    if 4 * counts.sum() != len(words):  # some name holds a parenthesis
        counts = np.fromiter((len(c.split()) // 4 for c in conns), np.int64, len(conns))
    ptr = np.zeros(len(conns) + 1, np.int64)
    np.cumsum(counts, out=ptr[1:])
    return words[1::4], words[2::4], ptr


def _uses(
    text: DefText, names: list[bytes], uses: list[bytes], rests: list[bytes], where: Callable[[int], int]
) -> np.ndarray[Any, np.dtype[np.int8]]:
    late = [
        match[1] if not use and b"USE" in rest and (match := _USE.search(rest)) else use
        for use, rest in zip(uses, rests, strict=True)
    ]
    codes = np.fromiter(map(({b"": 0} | USES).get, late, repeat(-1)), np.int8, len(names))
    for i in np.flatnonzero(codes < 0).tolist():
        mend = did_you_mean(show(late[i]), map(show, USES))
        text.fault(f'net "{show(names[i])}": unknown USE {show(late[i])}', where(i), mend)
    return codes


def check_ports(text: DefText, netlist: Netlist, ports: set[bytes]) -> None:
    """A fault for each `( PIN name )` of NETS that is not among `ports`, the names in PINS."""
    nets = netlist.nets
    on_port = np.flatnonzero(nets["conn_inst"] == _BTERM)
    used = nets["conn_pin"][on_port]
    pins = {p: netlist.pin_names.raw(p) for p in np.unique(used).tolist()}
    unknown = {p for p, name in pins.items() if name not in ports}
    for c, p in zip(on_port.tolist(), used.tolist(), strict=True) if unknown else ():
        if p in unknown:
            i = int(np.searchsorted(nets["ptr"], c, side="right")) - 1
            what = f'net "{nets["names"][i]}" uses pin "{show(pins[p])}", which PINS does not list'
            text.fault(what, text.positions(b"NETS", NET)[i], FROM_ONE_RUN)
