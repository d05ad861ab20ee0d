"""PINS of a DEF file: ports with their nets, places and shapes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from circuit_io.codes import DIRECTIONS, NO_NET, STATUS, USES
from circuit_io.def_places import POINTS, Point, Rect, box, clip, place, points, polygon
from circuit_io.def_text import JUNK, PLUS, DefText, near, show
from circuit_io.geometry import place_rects
from circuit_io.names import Names

MAX_PORTS = 2**15 - 1
_PIN = re.compile(rb"\s*+(?:-\s++([^\s;]++)\s*+(\+[^;]*)?;" + JUNK)
_SHAPE = re.compile(
    rb"(LAYER|POLYGON)\s++(\S++)((?:\s++(?:MASK|SPACING|DESIGNRULEWIDTH)\s++\d++)*+)(" + POINTS + rb")\s*+"
)
_EXTRA = re.compile(rb"(.+)\.extra\d+(\[\d+\])?", re.DOTALL)
_PASSED = frozenset(b"SPECIAL NETEXPR SUPPLYSENSITIVITY GROUNDSENSITIVITY VIA PROPERTY".split())
_KNOWN = _PASSED | STATUS.keys() | {b"NET", b"DIRECTION", b"USE", b"PORT", b"LAYER", b"POLYGON"}


@dataclass
class _Port:
    """Shapes that move together; before the first + PORT they belong to the pin itself."""

    layers: list[int] = field(default_factory=list)
    rects: list[Rect] = field(default_factory=list)
    status: int = 0
    xy: Point = (0, 0)
    orient: int = 0


@dataclass
class _Pin:
    net: bytes = b""
    direction: int = -1
    use: int = 0
    ports: list[_Port] = field(default_factory=list)


def read_pins(
    text: DefText, layers: dict[bytes, int], nets: Mapping[bytes, int], specials: Mapping[bytes, int]
) -> dict[str, Any]:
    """The bterm fields of `DefDesign`.

    A name listed again, or as `name.extra1`, on the same net adds PORTs to the first: power pins are written so. A net
    that the file does not list has this pin alone; OpenROAD makes it, here the pin is on none.
    """
    pins: dict[bytes, _Pin] = {}
    where = text.positions(b"PINS", _PIN)
    for (name, rest, _), at in zip(text.rows(b"PINS", _PIN), where, strict=True):
        pin = _pin(text, name, rest, at, layers)
        first = pins.get(name) or pins.get(_base(name))
        if first is None:
            pins[name] = pin
        elif first.net != pin.net:
            text.fault(f'pin "{show(name)}" is listed twice, on different nets', at)
        else:
            first.ports += pin.ports
    net = [nets.get(p.net, -1 - specials[p.net] if p.net in specials else NO_NET) for p in pins.values()]
    columns = _columns(text, list(pins.values()))
    return {"bterm_names": Names.of(pins), "bterm_net": np.array(net, np.int32)} | columns


def _base(name: bytes) -> bytes:
    match = _EXTRA.fullmatch(name)
    return match[1] + (match[2] or b"") if match else name


def _pin(text: DefText, name: bytes, rest: bytes, at: int, layers: dict[bytes, int]) -> _Pin:
    pin = _Pin(ports=[_Port()])
    for attribute in PLUS.split(rest)[1:]:
        words = attribute.split()
        key, value = (words[0] if words else b""), (words[1] if len(words) == 2 else b"")
        if key == b"NET" and value:
            pin.net = value
        elif key == b"DIRECTION" and value in DIRECTIONS:
            pin.direction = DIRECTIONS[value]
        elif key == b"USE" and value in USES:
            pin.use = USES[value]
        elif key == b"PORT" and len(words) == 1:
            pin.ports.append(_Port())
        elif key in STATUS:
            port = pin.ports[-1]
            port.status, port.xy, port.orient = place(text, attribute.strip(), at)
        elif key in (b"LAYER", b"POLYGON"):
            _shape(text, pin.ports[-1], attribute.strip(), at, layers)
        elif key not in _PASSED and not key.startswith(b"ANTENNA"):
            mend = near(key, _KNOWN) if key not in _KNOWN else ""
            text.fault(f'pin "{show(name)}": attribute "+ {clip(attribute)}" cannot be read', at, mend)
    return pin


def _shape(text: DefText, port: _Port, attribute: bytes, at: int, layers: dict[bytes, int]) -> None:
    match = _SHAPE.fullmatch(attribute)
    corners = points(text, match[4], at) if match else []
    if not match or len(corners) < 2 or (match[1] == b"LAYER" and len(corners) != 2):
        text.fault(f'a shape that cannot be read: "{clip(attribute)}"', at)
        return
    rects = [box(corners)] if match[1] == b"LAYER" else polygon(text, corners, at)
    port.layers += [layers.setdefault(match[2], len(layers))] * len(rects)
    port.rects += rects


def _columns(text: DefText, pins: list[_Pin]) -> dict[str, Any]:
    first = [next((p for p in pin.ports if p.status), pin.ports[0]) for pin in pins]
    shapes: list[tuple[int, int, int]] = []
    rects: list[Rect] = []
    places: list[tuple[int, int, int]] = []
    for i, pin in enumerate(pins):
        kept = [p for p in pin.ports if p.rects and p.status]
        if len(kept) > MAX_PORTS:
            text.fault(f"a pin has more than {MAX_PORTS} ports", text.sections[b"PINS"][0])
        for number, port in enumerate(kept[:MAX_PORTS]):
            shapes += [(i, number, layer) for layer in port.layers]
            rects += port.rects
            places += [(*port.xy, port.orient)] * len(port.rects)
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
