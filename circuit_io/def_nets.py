"""COMPONENTS, NETS and SPECIALNETS of a DEF file: insts and their connections, whole sections at a time."""

import re
from itertools import chain, repeat
from typing import Any

import numpy as np

from circuit_io.def_pins import ORIENT_CODE, STATUS, USES, place
from circuit_io.def_text import JUNK, PLUS, DefText, Statement, show
from circuit_io.errors import did_you_mean
from circuit_io.geometry import ORIENTS as ORIENT_NAMES
from circuit_io.names import Names

_COMPONENT = re.compile(
    rb"\s*(?:-\s+([^\s;]+)\s+([^\s;]+)\s*(?:\+\s+SOURCE\s+\w+\s*)?"
    rb"(?:\+\s+(PLACED|FIXED|COVER)\s+\(\s*(-?\d+)\s+(-?\d+)\s*\)\s*(\w+)\s*)?(\+[^;]*)?;" + JUNK
)
NET = re.compile(
    rb"\s*(?:-\s+([^\s;]+)((?:\s+\(\s+\S++\s++\S++\s+(?:\+\s+SYNTHESIZED\s+)?\))*+)\s*"
    rb"(?:\+\s+USE\s+(\w+)\s*)?(\+[^;]*)?;" + JUNK
)
_SYNTHESIZED = re.compile(rb"\+\s+SYNTHESIZED\s+\)")
_USE = re.compile(rb"\+\s+USE\s+(\w+)")
_ROUTED = re.compile(rb"\+\s+ROUTED\s")
_PASSED = frozenset(
    b"SOURCE EEQMASTER FOREIGN HALO ROUTEHALO WEIGHT REGION PROPERTY MASKSHIFT GENERATE POWERDOMAIN".split()
)
UNKNOWN = -9
FROM_ONE_RUN = "Write LEF and DEF from the same run."


def read_components(text: DefText) -> dict[str, Any]:
    """The inst fields of `DefDesign`."""
    rows = text.rows(b"COMPONENTS", _COMPONENT)
    names, masters, states, xs, ys, turns, rests, _ = (
        map(list, zip(*rows, strict=True)) if rows else ([] for _ in range(8))
    )
    start = text.sections.get(b"COMPONENTS", (0, 0))[0]
    status = np.fromiter((STATUS[s] if s else 0 for s in states), np.int8, len(rows))
    xy = np.stack(
        [text.ints([v or b"0" for v in axis], start, "COMPONENTS: a coordinate") for axis in (xs, ys)], axis=1
    )
    orient = np.fromiter((ORIENT_CODE.get(t, -1) if t else 0 for t in turns), np.int8, len(rows))
    for i in np.flatnonzero(orient < 0).tolist():
        at = text.where(b"COMPONENTS", _COMPONENT, i)
        text.fault(
            f'inst "{show(names[i])}": "{show(turns[i])}" is no orientation', at, "One of " + " ".join(ORIENT_NAMES)
        )
    for i, rest in enumerate(rests):
        if rest:
            _attributes(text, rows[i], i, status, xy, orient)
    master_index = {m: i for i, m in enumerate(dict.fromkeys(masters))}
    _unique(text, names, b"COMPONENTS", _COMPONENT, "inst")
    return {
        "inst_names": Names.of(names),
        "inst_master": np.fromiter(map(master_index.__getitem__, masters), np.int32, len(rows)),
        "master_names": Names.of(master_index),
        "inst_status": status,
        "inst_xy_dbu": xy,
        "inst_orient": orient,
    }


def _attributes(text: DefText, row: Statement, i: int, status: Any, xy: Any, orient: Any) -> None:  # noqa: ANN401
    for attribute in PLUS.split(row[6])[1:]:
        words = attribute.split(None, 1)
        key = words[0] if words else b""
        if key in STATUS:
            at = text.where(b"COMPONENTS", _COMPONENT, i) if key != b"UNPLACED" else 0
            status[i], xy[i], orient[i] = place(text, attribute.strip(), at)
        elif key not in _PASSED:
            at = text.where(b"COMPONENTS", _COMPONENT, i)
            mend = did_you_mean(show(key), (show(k) for k in sorted(_PASSED | STATUS.keys())))
            text.fault(f'inst "{show(row[0])}": unknown attribute "+ {show(key)}"', at, mend)


def _unique(text: DefText, names: list[bytes], section: bytes, pattern: re.Pattern[bytes], kind: str) -> None:
    if len(set(names)) == len(names):
        return
    seen: set[bytes] = set()
    for i, name in enumerate(names):
        if name in seen and name != b"MUSTJOIN":
            text.fault(f'{kind} "{show(name)}" is listed twice', text.where(section, pattern, i))
        seen.add(name)


def read_nets(text: DefText, insts: dict[bytes, int], pins: dict[bytes, int], section: bytes) -> dict[str, Any]:
    """Names, uses and connections of NETS or SPECIALNETS, and the rest of each statement (`rests`).

    Args:
        text: the file.
        insts: inst name to its number.
        pins: pin name to its number; names met for the first time are added.
        section: `NETS` or `SPECIALNETS`.
    """
    rows = text.rows(section, NET)
    names, conns, uses, rests, _ = map(list, zip(*rows, strict=True)) if rows else ([] for _ in range(5))
    words = [(_SYNTHESIZED.sub(b")", c) if b"SYNTHESIZED" in c else c).split() for c in conns]
    ptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, words), np.int64, len(rows)) // 4, out=ptr[1:])
    flat = list(chain.from_iterable(words))
    index = insts | {b"PIN": -1}
    if section == b"SPECIALNETS":
        index[b"*"] = -2
    inst = np.fromiter(map(index.get, flat[1::4], repeat(UNKNOWN)), np.int32, len(flat) // 4)
    for c in np.flatnonzero(inst == UNKNOWN).tolist():
        i = int(np.searchsorted(ptr, c, side="right")) - 1
        what = f'net "{show(names[i])}" uses inst "{show(flat[4 * c + 1])}", which COMPONENTS does not list'
        text.fault(what, text.where(section, NET, i), FROM_ONE_RUN)
    pin_words = flat[2::4]
    for pin in dict.fromkeys(pin_words):
        pins.setdefault(pin, len(pins))
    _unique(text, names, section, NET, "net")
    return {
        "names": Names.of(names),
        "use": _uses(text, section, names, uses, rests),
        "ptr": ptr,
        "conn_inst": inst,
        "conn_pin": np.fromiter(map(pins.__getitem__, pin_words), np.int32, len(pin_words)),
        "rests": rests,
    }


def _uses(text: DefText, section: bytes, names: list[bytes], uses: list[bytes], rests: list[bytes]) -> Any:  # noqa: ANN401
    codes = np.zeros(len(names), np.int8)
    for i, (use, rest) in enumerate(zip(uses, rests, strict=True)):
        if not use and b"USE" in rest and (match := _USE.search(rest)):
            use = match[1]
        if use:
            code = USES.get(use)
            if code is None:
                at = text.where(section, NET, i)
                text.fault(
                    f'net "{show(names[i])}": unknown USE {show(use)}', at, did_you_mean(show(use), map(show, USES))
                )
            codes[i] = code or 0
    return codes


def has_routing(text: DefText) -> bool:
    """True when any net of NETS is routed."""
    return b"NETS" in text.sections and bool(_ROUTED.search(text.text, *text.sections[b"NETS"]))
