"""Wires of SPECIALNETS as rectangles, and the vias they place."""

from typing import Any

import numpy as np

from circuit_io.def_pins import ORIENT_CODE, box
from circuit_io.def_text import DefText, show

_STARTS = frozenset([b"ROUTED", b"FIXED", b"COVER", b"SHIELD"])
_PASSED = frozenset(
    b"USE SOURCE FIXEDBUMP ORIGINAL PATTERN ESTCAP WEIGHT PROPERTY VOLTAGE SPACING NONDEFAULTRULE WIDTH".split()
)
MAX_VIAS = 10_000_000


class WireReader:
    """Collects the rectangles and vias of all special nets of one file."""

    def __init__(self, text: DefText, layers: dict[bytes, int], vias: dict[bytes, int]) -> None:
        self.text, self.layers, self.vias = text, layers, vias
        self.net, self.at = 0, 0
        self.wires: list[tuple[int, int, int, int, int, int]] = []
        self.placed: list[tuple[int, int, int, int]] = []

    def columns(self) -> dict[str, Any]:
        """The swire and svia fields of `DefDesign`."""
        wires = np.array(self.wires, np.int64).reshape(-1, 6)
        vias = np.array(self.placed, np.int64).reshape(-1, 4)
        return {
            "swire_special": wires[:, 0].astype(np.int32),
            "swire_layer": wires[:, 1].astype(np.int32),
            "swire_rect_dbu": wires[:, 2:],
            "svia_special": vias[:, 0].astype(np.int32),
            "svia_via": vias[:, 1].astype(np.int32),
            "svia_xy_dbu": vias[:, 2:],
        }

    def read(self, net: int, rest: bytes, position: int) -> None:
        """Read everything after the connections of special net number `net`, which begins at `position`."""
        self.net, self.at = net, position
        words = rest.split()
        i = 0
        while i < len(words):
            i = self._attribute(words, i)

    def _whole(self, word: bytes) -> int:
        try:
            return int(word)
        except ValueError:
            return self.text.whole(word, self.at, "wire")

    def _fault(self, words: list[bytes], i: int) -> int:
        shown = show(b" ".join(words[max(0, i - 3) : i + 6]))
        self.text.fault(f'special wiring that cannot be read near "{shown}"', self.at)
        return len(words)

    def _attribute(self, words: list[bytes], i: int) -> int:
        key = words[i + 1] if words[i] == b"+" and i + 1 < len(words) else b""
        if key in _STARTS:
            return self._paths(words, i + (3 if key == b"SHIELD" else 2))
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

    def _points(self, words: list[bytes], i: int) -> tuple[list[tuple[int, int]], int]:
        out: list[tuple[int, int]] = []
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
        self.wires.append((self.net, self._layer(layer), *box(corners)))
        return end

    def _loose_vias(self, words: list[bytes], i: int) -> int:
        name = words[i] if i < len(words) else b""
        i += 2 if i + 1 < len(words) and words[i + 1] in ORIENT_CODE else 1
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
        via = self.vias.setdefault(words[i], len(self.vias))
        i += 1
        if i < len(words) and words[i] in ORIENT_CODE:
            i += 1
        columns, rows, dx, dy = 1, 1, 0, 0
        if i < len(words) and words[i] == b"DO":
            if words[i + 2 : i + 3] != [b"BY"] or words[i + 4 : i + 5] != [b"STEP"] or i + 6 >= len(words):
                return self._fault(words, i)
            columns, rows, dx, dy = (self._whole(words[i + k]) for k in (1, 3, 5, 6))
            i += 7
        if columns < 1 or rows < 1 or columns * rows + len(self.placed) > MAX_VIAS:
            return self._fault(words, i)
        self.placed += [
            (self.net, via, last[0] + c * dx, last[1] + r * dy) for r in range(rows) for c in range(columns)
        ]
        return i

    def _segment(self, layer: int, width: int, a: tuple[int, int, int], b: tuple[int, int, int]) -> None:
        """A straight wire from a to b, widened by half its width aside and by the extensions at its ends."""
        (x1, y1, e1), (x2, y2, e2), half = a, b, width // 2
        if x1 == x2 and y1 != y2:
            low, high = (y1 - e1, y2 + e2) if y1 < y2 else (y2 - e2, y1 + e1)
            rect = (x1 - half, low, x1 - half + width, high)
        elif y1 == y2:
            low, high = (x1 - e1, x2 + e2) if x1 <= x2 else (x2 - e2, x1 + e1)
            rect = (low, y1 - half, high, y1 - half + width)
        else:
            rect = (min(x1, x2) - half, min(y1, y2) - half, max(x1, x2) + half, max(y1, y2) + half)
        if max(map(abs, rect)) > 2**31:
            self.text.fault(f"a wire reaches beyond 32 bits: {rect}", self.at)
            return
        self.wires.append((self.net, layer, *rect))
