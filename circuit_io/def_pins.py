"""PINS of a DEF file: ports with their nets, places and shapes."""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from circuit_io.def_text import JUNK, PLUS, DefText, show
from circuit_io.geometry import ORIENTS, place_rects
from circuit_io.names import Names

DIRECTIONS = {b"INPUT": 0, b"OUTPUT": 1, b"INOUT": 2, b"FEEDTHRU": 3}
USES = {b"SIGNAL": 0, b"POWER": 1, b"GROUND": 2, b"CLOCK": 3, b"ANALOG": 4, b"RESET": 5, b"SCAN": 5, b"TIEOFF": 5}
STATUS = {b"UNPLACED": 0, b"PLACED": 1, b"FIXED": 2, b"COVER": 3}
ORIENT_CODE = {name.encode(): code for code, name in enumerate(ORIENTS)}
NO_NET = -(2**31)

_PIN = re.compile(rb"\s*(?:-\s+([^\s;]+)\s*(\+[^;]*)?;" + JUNK)
_POINT = re.compile(rb"\(\s*(\S+)\s+(\S+)\s*\)")
_PLACE = re.compile(rb"\w+\s*\(\s*(\S+)\s+(\S+)\s*\)\s*(\w+)\s*")
_SHAPE = re.compile(
    rb"(LAYER|POLYGON)\s+(\S+)((?:\s+(?:MASK|SPACING|DESIGNRULEWIDTH)\s+\d+)*)((?:\s*\(\s*\S+\s+\S+\s*\))+)\s*"
)
_PASSED = frozenset(b"SPECIAL NETEXPR SUPPLYSENSITIVITY GROUNDSENSITIVITY VIA PROPERTY".split())


@dataclass
class _Port:
    """Shapes that move together; before the first + PORT they belong to the pin itself."""

    layers: list[int] = field(default_factory=list)
    rects: list[tuple[int, int, int, int]] = field(default_factory=list)
    status: int = 0
    xy: tuple[int, int] = (0, 0)
    orient: int = 0


@dataclass
class _Pin:
    net: bytes = b""
    direction: int = -1
    use: int = 0
    ports: list[_Port] = field(default_factory=lambda: [_Port()])


def place(text: DefText, attribute: bytes, position: int) -> tuple[int, tuple[int, int], int]:
    """Status, lower left corner and orientation of a PLACED, FIXED, COVER or UNPLACED attribute."""
    word = attribute.split(None, 1)[0]
    if word == b"UNPLACED":
        return 0, (0, 0), 0
    match = _PLACE.fullmatch(attribute)
    if not match or match.group(3) not in ORIENT_CODE:
        shown = " ".join(show(attribute).split())
        text.fault(
            f'a place that cannot be read: "{shown}"', position, "Expected ( x y ) and one of " + " ".join(ORIENTS)
        )
        return 0, (0, 0), 0
    x, y = (text.whole(w, position, "coordinate") for w in match.groups()[:2])
    return STATUS[word], (x, y), ORIENT_CODE[match.group(3)]


def points(text: DefText, words: bytes, position: int) -> list[tuple[int, int]]:
    """All `( x y )` in `words`, where `*` repeats the value before."""
    out: list[tuple[int, int]] = []
    for x, y in _POINT.findall(words):
        px = out[-1][0] if x == b"*" and out else text.whole(x, position, "coordinate")
        py = out[-1][1] if y == b"*" and out else text.whole(y, position, "coordinate")
        out.append((px, py))
    return out


def box(corners: list[tuple[int, int]]) -> tuple[int, int, int, int]:
    """The bounding box of points."""
    xs, ys = [p[0] for p in corners], [p[1] for p in corners]
    return min(xs), min(ys), max(xs), max(ys)


class PinReader:
    """Reads PINS once; `columns` are the bterm fields of `DefDesign`."""

    def __init__(self, text: DefText, layers: dict[bytes, int]) -> None:
        self.text, self.layers = text, layers

    def read(self, nets: dict[bytes, int], specials: dict[bytes, int]) -> dict[str, Any]:
        """The columns of all ports."""
        rows = self.text.rows(b"PINS", _PIN)
        where = [m.start() for m in _PIN.finditer(self.text.text, *self.text.sections.get(b"PINS", (0, 0))) if not m[3]]
        pins = [self._pin(row, at + 1) for row, at in zip(rows, where, strict=True)]
        have_nets = {b"NETS", b"SPECIALNETS"} & self.text.sections.keys()
        net = np.full(len(pins), NO_NET, np.int32)
        for i, pin in enumerate(pins):
            if pin.net in nets:
                net[i] = nets[pin.net]
            elif pin.net in specials:
                net[i] = -1 - specials[pin.net]
            elif pin.net and have_nets:
                self.text.fault(
                    f'pin "{show(rows[i][0])}" is on net "{show(pin.net)}", which the file does not list', where[i] + 1
                )
        self._unique([row[0] for row in rows], where)
        return {"bterm_names": Names.of(row[0] for row in rows), "bterm_net": net} | _columns(pins)

    def _unique(self, names: list[bytes], where: list[int]) -> None:
        seen: set[bytes] = set()
        for name, at in zip(names, where, strict=True):
            if name in seen:
                self.text.fault(f'pin "{show(name)}" is listed twice', at + 1)
            seen.add(name)

    def _pin(self, row: tuple[bytes, ...], at: int) -> _Pin:
        pin = _Pin()
        for attribute in PLUS.split(row[1])[1:]:
            words = attribute.split()
            key = words[0] if words else b""
            if key == b"NET" and len(words) == 2:
                pin.net = words[1]
            elif key == b"DIRECTION" and len(words) == 2 and words[1] in DIRECTIONS:
                pin.direction = DIRECTIONS[words[1]]
            elif key == b"USE" and len(words) == 2 and words[1] in USES:
                pin.use = USES[words[1]]
            elif key == b"PORT":
                pin.ports.append(_Port())
            elif key in STATUS:
                port = pin.ports[-1]
                port.status, port.xy, port.orient = place(self.text, attribute.strip(), at)
            elif key in (b"LAYER", b"POLYGON"):
                self._shape(pin.ports[-1], attribute.strip(), at)
            elif key not in _PASSED and not key.startswith(b"ANTENNA"):
                shown = " ".join(show(attribute).split())
                self.text.fault(f'pin "{show(row[0])}": attribute "+ {shown[:80]}" cannot be read', at)
        return pin

    def _shape(self, port: _Port, attribute: bytes, at: int) -> None:
        match = _SHAPE.fullmatch(attribute)
        corners = points(self.text, match[4], at) if match else []
        if not match or len(corners) < 2 or (match[1] == b"LAYER" and len(corners) != 2):
            self.text.fault(f'a shape that cannot be read: "{" ".join(show(attribute).split())[:80]}"', at)
            return
        port.layers.append(self.layers.setdefault(match[2], len(self.layers)))
        port.rects.append(box(corners))


def _columns(pins: list[_Pin]) -> dict[str, Any]:
    first = [next((p for p in pin.ports if p.status), pin.ports[0]) for pin in pins]
    shapes: list[tuple[int, int, int]] = []
    rects: list[tuple[int, int, int, int]] = []
    places: list[tuple[int, int, int]] = []
    for i, pin in enumerate(pins):
        kept = [p for p in pin.ports if p.rects and p.status]
        for number, port in enumerate(kept):
            for layer, rect in zip(port.layers, port.rects, strict=True):
                shapes.append((i, number, layer))
                rects.append(rect)
                places.append((*port.xy, port.orient))
    shape = np.array(shapes, np.int64).reshape(-1, 3)
    where = np.array(places, np.int64).reshape(-1, 3)
    return {
        "bterm_direction": np.array([p.direction for p in pins], np.int8),
        "bterm_use": np.array([p.use for p in pins], np.int8),
        "bterm_status": np.array([p.status for p in first], np.int8),
        "bterm_xy_dbu": np.array([p.xy for p in first], np.int64).reshape(-1, 2),
        "bterm_orient": np.array([p.orient for p in first], np.int8),
        "bterm_shape_bterm": shape[:, 0].astype(np.int32),
        "bterm_shape_port": shape[:, 1].astype(np.int16),
        "bterm_shape_layer": shape[:, 2].astype(np.int32),
        "bterm_shape_rect_dbu": place_rects(np.array(rects, np.int64).reshape(-1, 4), 0, where[:, 2], where[:, :2]),
    }
