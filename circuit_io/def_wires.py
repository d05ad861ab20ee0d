"""Wires of SPECIALNETS as rectangles, and the vias they place."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuit_io.codes import ORIENT_CODES
from circuit_io.def_places import Point, box, clip, polygon
from circuit_io.def_text import MAX_DBU, DefText, Ints

# A straight wire, or a via at a point, takes the first groups; any other path or attribute up to the next the last one.
_PATH = re.compile(
    rb"\s*+(?:(?:NEW|\+\s++(?:ROUTED|FIXED|COVER|SHIELD\s++\S++))\s++(\S++)\s++(\d++)\s++"
    rb"(?:\+\s++(?:SHAPE|STYLE)\s++\S++\s++)*+\(\s++(-?\d++)\s++(-?\d++)\s++\)\s*+"
    rb"(?:\(\s++(\*|-?\d++)\s++(\*|-?\d++)\s++\)|([^\s(+]\S*+))\s*+(?=NEW\s|\+\s++(?!SHAPE\s|STYLE\s|MASK\s)|\Z)"
    rb"|(\S++(?:\s++(?!NEW\s|\+\s++(?!SHAPE\s|STYLE\s|MASK\s))\S++)*+))"
)
_STARTS = frozenset([b"ROUTED", b"FIXED", b"COVER", b"SHIELD"])
_PASSED = frozenset(
    b"USE SOURCE FIXEDBUMP ORIGINAL PATTERN ESTCAP WEIGHT PROPERTY VOLTAGE SPACING NONDEFAULTRULE WIDTH".split()
)
MAX_COPIES = 1 << 17  # of vias by DO, on top of one for each byte of the file


@dataclass(frozen=True)
class NetWires:
    """The wiring of one special net: simple wires and vias as a table, all else as words."""

    position: int  # of the net's "-" in the text
    odd: list[bytes]  # paths and attributes of any other form
    table: Ints  # layer, width, x1, y1, x2, y2 of wires of two points, and of vias at one point, `[n, 6]`
    vias: Ints  # of each row its via, or -1
    layer_names: Sequence[bytes]  # of the layers and vias in the table
    via_names: Sequence[bytes]


def net_wires(text: DefText, rest: bytes, position: int) -> NetWires:
    """The wiring in `rest`, everything after the connections of a special net, whose "-" is at `position`."""
    rows = _PATH.findall(rest.strip())
    plain = [row for row in rows if not row[-1]]
    layers, widths, x1, y1, x2, y2, vias, _ = map(list, zip(*plain, strict=True)) if plain else ([] for _ in range(8))
    x2, y2 = ([a if b in (b"*", b"") else b for a, b in zip(*pair, strict=True)] for pair in ((x1, x2), (y1, y2)))
    table = np.empty((len(plain), 6), np.int64)
    layer_ids, via_ids = ({name: i for i, name in enumerate(dict.fromkeys(names))} for names in (layers, vias))
    table[:, 0] = [layer_ids[name] for name in layers]
    for column, words in enumerate((widths, x1, y1, x2, y2), start=1):
        table[:, column] = text.ints(words, "wire", lambda _: position)
    placed = np.array([via_ids[name] if name else -1 for name in vias], np.int64)
    return NetWires(position, [row[-1] for row in rows if row[-1]], table, placed, list(layer_ids), list(via_ids))


def _renumbered(ids: Ints, names: Sequence[bytes], index: dict[bytes, int]) -> Ints:
    """Numbers in `index`, which gains new names in the order in which `ids` first brings them."""
    known, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    numbers = np.empty(len(known), np.int64)
    for k in np.argsort(first).tolist():
        numbers[k] = index.setdefault(names[known[k]], len(index))
    return numbers[inverse.reshape(-1)]


class WireReader:
    """Collects the rectangles and vias of all special nets of one file."""

    def __init__(self, text: DefText, layers: dict[bytes, int], vias: dict[bytes, int]) -> None:
        """Layers and vias met for the first time are added to `layers` and `vias`."""
        self.text, self.layers, self.vias = text, layers, vias
        self.net, self.at = 0, 0
        self.wires: list[tuple[int, int, int, int, int, int]] = []
        self.placed: list[tuple[int, int, int, int]] = []
        self.straight: list[Ints] = []  # like `wires`
        self.points: list[Ints] = []  # like `placed`

    def columns(self) -> dict[str, Any]:
        """The swire and svia fields of `DefDesign`."""
        wires = np.concatenate([np.array(self.wires, np.int64).reshape(-1, 6), *self.straight])
        vias = np.concatenate([np.array(self.placed, np.int64).reshape(-1, 4), *self.points])
        wires, vias = (table[np.argsort(table[:, 0], kind="stable")] for table in (wires, vias))
        return {
            "swire_special": wires[:, 0].astype(np.int32),
            "swire_layer": wires[:, 1].astype(np.int32),
            "swire_rect_dbu": wires[:, 2:],
            "svia_special": vias[:, 0].astype(np.int32),
            "svia_via": vias[:, 1].astype(np.int32),
            "svia_xy_dbu": vias[:, 2:],
        }

    def read(self, net: int, wires: NetWires) -> None:
        """Read the wiring of special net number `net`."""
        self.net, self.at = net, wires.position
        for row in wires.odd:
            words = row.split()
            i = self._paths(words, 1) if words[0] == b"NEW" else 0
            while i < len(words):
                i = self._attribute(words, i)
        if not len(wires.table):
            return
        layers = _renumbered(wires.table[:, 0], wires.layer_names, self.layers)
        table = np.column_stack([layers, wires.table[:, 1:]])
        is_via = wires.vias >= 0
        ids = _renumbered(wires.vias[is_via], wires.via_names, self.vias)
        self.points.append(np.column_stack([np.full(len(ids), net), ids, table[is_via, 2:4]]))
        self._straight(table[~is_via])

    def _straight(self, table: Ints) -> None:
        """Wires from layer, width, x1, y1, x2, y2: `_segment` for many at once, without extensions."""
        table = table[(table[:, 2:4] != table[:, 4:]).any(axis=1)]
        low, high = np.minimum(table[:, 2:4], table[:, 4:]), np.maximum(table[:, 2:4], table[:, 4:])
        slanted = (low < high).all(axis=1, keepdims=True)
        half = table[:, 1:2] // 2 * ((low == high) | slanted)
        rect = np.concatenate([low - half, high + half], axis=1)
        if np.abs(rect).max(initial=0) > MAX_DBU:
            self.text.fault("a wire reaches beyond 32 bits", self.at)
        self.straight.append(np.column_stack([np.full(len(table), self.net), table[:, 0], rect]))

    def _whole(self, word: bytes) -> int:
        try:
            value = int(word)
        except ValueError:
            value = MAX_DBU + 1
        return value if abs(value) <= MAX_DBU and b"_" not in word else self.text.whole(word, self.at, "wire")

    def _fault(self, words: list[bytes], i: int) -> int:
        shown = clip(b" ".join(words[max(0, i - 3) : i + 6]))
        self.text.fault(f'special wiring that cannot be read near "{shown}"', self.at)
        return len(words)

    def _attribute(self, words: list[bytes], i: int) -> int:
        key = words[i + 1] if words[i] == b"+" and i + 1 < len(words) else b""
        if key in _STARTS:
            i += 3 if key == b"SHIELD" else 2
            return self._paths(words, i) if i < len(words) and words[i] != b"+" else i
        if key in (b"SHAPE", b"STYLE", b"MASK"):
            return i + 3
        if key in (b"RECT", b"POLYGON"):
            return self._box(words, i + 2)
        if key == b"VIA":
            return self._loose_vias(words, i + 2)
        if key in _PASSED:
            i += 2
            while i < len(words) and words[i] != b"+":
                i += 1
            return i
        return self._fault(words, i)

    def _points(self, words: list[bytes], i: int) -> tuple[list[Point], int]:
        out: list[Point] = []
        while i + 3 < len(words) and words[i] == b"(" and words[i + 3] == b")":
            x = out[-1][0] if words[i + 1] == b"*" and out else self._whole(words[i + 1])
            y = out[-1][1] if words[i + 2] == b"*" and out else self._whole(words[i + 2])
            out.append((x, y))
            i += 4
        return out, i

    def _layer(self, name: bytes) -> int:
        return self.layers.setdefault(name, len(self.layers))

    def _box(self, words: list[bytes], i: int) -> int:
        layer = words[i] if i < len(words) else b""
        corners, end = self._points(words, i + 1)
        if len(corners) < 2:
            return self._fault(words, i)
        rects = [box(corners)] if words[i - 1] == b"RECT" else polygon(self.text, corners, self.at)
        self.wires += [(self.net, self._layer(layer), *rect) for rect in rects]
        return end

    def _loose_vias(self, words: list[bytes], i: int) -> int:
        name = words[i] if i < len(words) else b""
        i += 2 if i + 1 < len(words) and words[i + 1] in ORIENT_CODES else 1
        corners, end = self._points(words, i)
        if not corners:
            return self._fault(words, i)
        via = self.vias.setdefault(name, len(self.vias))
        self.placed += [(self.net, via, x, y) for x, y in corners]
        return end

    def _paths(self, words: list[bytes], i: int) -> int:
        """The paths from the layer name at `i` on, up to an attribute that is none of theirs."""
        while i + 1 < len(words):
            layer, width = self._layer(words[i]), self._whole(words[i + 1])
            i += 2
            while i + 2 < len(words) and words[i] == b"+" and words[i + 1] in (b"SHAPE", b"STYLE", b"MASK"):
                i += 3
            i = self._path(words, i, layer, width)
            if i >= len(words) or words[i] != b"NEW":
                return i
            i += 1
        return self._fault(words, i)

    def _path(self, words: list[bytes], i: int, layer: int, width: int) -> int:
        last: tuple[int, int, int] | None = None
        while i < len(words) and words[i] not in (b"+", b"NEW"):
            word = words[i]
            if word == b"(":
                end = i + 3 if i + 3 < len(words) and words[i + 3] == b")" else i + 4
                if end >= len(words) or words[end] != b")":
                    return self._fault(words, i)
                if last is None and b"*" in words[i + 1 : i + 3]:
                    return self._fault(words, i)
                x = last[0] if last and words[i + 1] == b"*" else self._whole(words[i + 1])
                y = last[1] if last and words[i + 2] == b"*" else self._whole(words[i + 2])
                ext = self._whole(words[i + 3]) if end == i + 4 else 0
                if last is not None:
                    self._segment(layer, width, last, (x, y, ext))
                last = (x, y, ext)
                i = end + 1
            elif word == b"MASK":
                i += 2
            elif (
                word == b"RECT"
                and last is not None
                and words[i + 1 : i + 2] == [b"("]
                and words[i + 6 : i + 7] == [b")"]
            ):
                x1, y1, x2, y2 = (self._whole(w) for w in words[i + 2 : i + 6])
                corners = [(last[0] + x1, last[1] + y1), (last[0] + x2, last[1] + y2)]
                self.wires.append((self.net, layer, *box(corners)))
                i += 7
            elif word == b"VIRTUAL":
                i += 1
            elif last is None:
                return self._fault(words, i)
            else:
                i = self._via(words, i, last)
        if last is None:
            return self._fault(words, i)
        return i

    def _via(self, words: list[bytes], i: int, last: tuple[int, int, int]) -> int:
        begin, via = i, self.vias.setdefault(words[i], len(self.vias))
        i += 1
        if i < len(words) and words[i] in ORIENT_CODES:
            i += 1
        columns, rows, dx, dy = 1, 1, 0, 0
        if i < len(words) and words[i] == b"DO":
            if words[i + 2 : i + 3] != [b"BY"] or words[i + 4 : i + 5] != [b"STEP"] or i + 6 >= len(words):
                return self._fault(words, begin)
            columns, rows, dx, dy = (self._whole(words[i + k]) for k in (1, 3, 5, 6))
            i += 7
        most = MAX_COPIES + len(self.text.text) - len(self.placed)
        if columns < 1 or rows < 1 or columns * rows > most:
            return self._fault(words, begin)
        self.placed += [
            (self.net, via, last[0] + c * dx, last[1] + r * dy) for r in range(rows) for c in range(columns)
        ]
        return i

    def _segment(self, layer: int, width: int, a: tuple[int, int, int], b: tuple[int, int, int]) -> None:
        """A straight wire from a to b, widened by half its width aside and by the extensions at its ends.

        As OpenROAD draws it: half an odd width is rounded down, no wire for two equal points. A slanted wire becomes
        its bounding box.
        """
        if a[:2] == b[:2]:
            return
        (x1, y1, e1), (x2, y2, e2), half = a, b, width // 2
        if x1 == x2:
            low, high = (y1 - e1, y2 + e2) if y1 < y2 else (y2 - e2, y1 + e1)
            rect = (x1 - half, low, x1 + half, high)
        elif y1 == y2:
            low, high = (x1 - e1, x2 + e2) if x1 < x2 else (x2 - e2, x1 + e1)
            rect = (low, y1 - half, high, y1 + half)
        else:
            rect = (min(x1, x2) - half, min(y1, y2) - half, max(x1, x2) + half, max(y1, y2) + half)
        if rect[0] > rect[2] or rect[1] > rect[3] or max(map(abs, rect)) > MAX_DBU:
            self.text.fault(f"a wire reaches beyond 32 bits or ends before it starts: {rect}", self.at)
            return
        self.wires.append((self.net, layer, *rect))
