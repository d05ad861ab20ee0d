"""VIAS of a DEF file: the shapes of the vias that the file itself defines."""

import re
from typing import Any

import numpy as np

from circuit_io.def_places import POINTS, Rect, box, clip, points, polygon
from circuit_io.def_text import JUNK, PLUS, DefText, near, show

_VIA = re.compile(rb"\s*+(?:-\s++([^\s;]++)\s*+(\+[^;]*)?;" + JUNK)
_AREA = re.compile(rb"(RECT|POLYGON)\s++(\S++)\s*+(" + POINTS + rb")\s*+")
_MASK = re.compile(rb"\+\s++MASK\s++\d++\s++(?=\()")
_RULE = frozenset(b"VIARULE CUTSIZE LAYERS CUTSPACING ENCLOSURE ROWCOL ORIGIN OFFSET PATTERN PATTERNNAME".split())
_COUNTS = {b"CUTSIZE": 2, b"CUTSPACING": 2, b"ENCLOSURE": 4, b"ROWCOL": 2, b"ORIGIN": 2, b"OFFSET": 4}
_DEFAULTS = {b"ROWCOL": [1, 1], b"ORIGIN": [0, 0], b"OFFSET": [0, 0, 0, 0]}


def read_vias(text: DefText, layers: dict[bytes, int], names: dict[bytes, int]) -> dict[str, Any]:
    """The via_shape fields of `DefDesign`, about the placing point; of a generated via its two metal shapes."""
    shapes: list[tuple[int, int, int, int, int, int]] = []
    for (name, rest, _), at in zip(text.rows(b"VIAS", _VIA), text.positions(b"VIAS", _VIA), strict=True):
        if name in names:
            text.fault(f'via "{show(name)}" is listed twice', at)
        via = names.setdefault(name, len(names))
        rule: dict[bytes, list[bytes]] = {}
        for part in PLUS.split(_MASK.sub(b"", rest))[1:]:
            words = part.split()
            if match := _AREA.fullmatch(part.strip()):
                corners = points(text, match[3], at)
                rects = [box(corners)] if match[1] == b"RECT" else polygon(text, corners, at)
                shapes += [(via, layers.setdefault(match[2], len(layers)), *rect) for rect in rects]
            elif words and words[0] in _RULE:
                rule[words[0]] = words[1:]
            else:
                mend = near(words[0], _RULE | {b"RECT", b"POLYGON"}) if words else ""
                text.fault(f'via "{show(name)}": "+ {clip(part)}" cannot be read', at, mend)
        if b"VIARULE" in rule or b"CUTSIZE" in rule:
            shapes += [
                (via, layers.setdefault(layer, len(layers)), *r) for layer, r in _generated(text, name, rule, at)
            ]
    table = np.array(shapes, np.int64).reshape(-1, 6)
    return {
        "via_shape_via": table[:, 0].astype(np.int32),
        "via_shape_layer": table[:, 1].astype(np.int32),
        "via_shape_rect_dbu": table[:, 2:],
    }


def _generated(text: DefText, name: bytes, rule: dict[bytes, list[bytes]], at: int) -> list[tuple[bytes, Rect]]:
    """Bottom and top metal of a via made by a rule: the array of cuts grown by the enclosures.

    Source:
        LEF/DEF 5.8 Language Reference, DEF VIAS.
    """
    layers = rule.get(b"LAYERS", [])
    numbers = dict(_DEFAULTS)
    for key, count in _COUNTS.items():
        if key in rule and len(rule[key]) == count:
            numbers[key] = [text.whole(w, at, show(key)) for w in rule[key]]
        elif key in rule or key not in _DEFAULTS:
            text.fault(f'via "{show(name)}" needs {show(key)} with {count} numbers', at)
            return []
    if len(layers) != 3:
        text.fault(f'via "{show(name)}" needs LAYERS with 3 names', at)
        return []
    (cut_x, cut_y), (gap_x, gap_y), (rows, columns) = numbers[b"CUTSIZE"], numbers[b"CUTSPACING"], numbers[b"ROWCOL"]
    width, height = columns * (cut_x + gap_x) - gap_x, rows * (cut_y + gap_y) - gap_y
    x, y = numbers[b"ORIGIN"][0] - width // 2, numbers[b"ORIGIN"][1] - height // 2
    if min(width, height) < 0 or max(width, height) > 2**31:
        text.fault(f'via "{show(name)}" has cuts of no or too much area', at)
        return []
    out = []
    for k in (0, 2):
        (ex, ey), (ox, oy) = numbers[b"ENCLOSURE"][k : k + 2], numbers[b"OFFSET"][k : k + 2]
        out.append((layers[k], (x - ex + ox, y - ey + oy, x + width + ex + ox, y + height + ey + oy)))
    return out
