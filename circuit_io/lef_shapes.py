"""Shapes of LEF pins, obstructions and vias as rectangles."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from circuit_io.def_text import CUT, show
from circuit_io.geometry import polygon_rects
from circuit_io.lef_words import MAX_UM, NAN, LefWords

MAX_COPIES = 1 << 16  # rectangles made by ITERATE and VIA, on top of one for each byte of the file
Rect = tuple[float, float, float, float]
Point = tuple[float, float]


@dataclass
class Shapes:
    """Rectangles with their layer and PORT numbers; `words` are the coordinates as text, four to each."""

    layers: list[int] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    words: list[bytes] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)  # the word number of each statement

    def add(self, layer: int, port: int, rect: Rect, start: int) -> None:
        """Append one rectangle in um."""
        self.layers.append(layer)
        self.ports.append(port)
        self.words += [repr(float(v)).encode() for v in rect]
        self.starts.append(start)


class ShapeReader:
    """Reads the shapes of one file."""

    def __init__(
        self, file: LefWords, layer_ids: dict[bytes, int], vias: Mapping[bytes, Shapes], width: Callable[[bytes], float]
    ) -> None:
        """Layers met for the first time are added to `layer_ids`; `vias` are those defined so far.

        `width` gives the default width of a layer in um, nan when it has none.
        """
        self.file, self.layer_ids, self.vias, self.width = file, layer_ids, vias, width
        self.copies_left = MAX_COPIES + len(file.raw)

    def layer(self, words: list[bytes], at: int) -> int:
        """The number of the layer that a LAYER statement names."""
        if len(words) < 2:
            self.file.fail("LAYER has no name", at)
        return self.layer_ids.setdefault(words[1], len(self.layer_ids))

    def block(self, shapes: Shapes, port: int) -> None:
        """Read one PORT or OBS up to its END; `port` numbers its shapes."""
        file, words, begin = self.file, self.file.words, self.file.at - 1
        layer, width = -1, NAN
        while True:
            at = file.at
            while layer >= 0 and words[at : at + 1] == [b"RECT"] and words[at + 5 : at + 6] == [b";"]:
                shapes.layers.append(layer)
                shapes.ports.append(port)
                shapes.words += words[at + 1 : at + 5]
                shapes.starts.append(at)
                at += 6
            file.at = at
            key = words[at].upper() if at < len(words) else b""
            if key == b"END":
                file.at += 1
                return
            if not key:
                file.fail(f"{show(words[begin])} has no END", begin, CUT)
            statement = file.statement()
            if key == b"LAYER":
                layer, width = self.layer(statement, at), NAN
            elif key == b"WIDTH":
                width = file.numbers(statement[1:], 1, at)[0]
            elif key in (b"RECT", b"PATH", b"POLYGON"):
                self.shape(shapes, statement, at, layer=layer, width=width, port=port)
            elif key == b"VIA":
                self._via(shapes, statement, port, at)
            elif key not in (b"CLASS", b"PROPERTY"):
                file.unknown("shapes", key, [b"LAYER", b"WIDTH", b"RECT", b"PATH", b"POLYGON", b"VIA"], at)

    def shape(
        self, shapes: Shapes, words: list[bytes], at: int, *, layer: int, width: float = NAN, port: int = 0
    ) -> None:
        """Add one RECT, PATH or POLYGON with all its copies."""
        key, file = words[0].upper(), self.file
        if layer < 0:
            return file.fault(f"{show(key)} before any LAYER", at)
        rest, shifts = self._copies(words, at)
        values = file.numbers(rest, 4 if key == b"RECT" else len(rest) // 2 * 2, at)
        points = list(zip(values[::2], values[1::2], strict=True))
        if any(math.isnan(v) for v in values):
            return None
        if key == b"PATH" and math.isnan(width):
            name = list(self.layer_ids)[layer]
            width = self.width(name)
            if math.isnan(width):
                what = f'PATH without a WIDTH before it, on layer "{show(name)}" of no known width'
                return file.fault(what, at, "Give the technology LEF first.")
        if len(points) < {b"RECT": 2, b"PATH": 1, b"POLYGON": 3}[key]:
            return file.fault(f"{show(key)} has too few points", at)
        if key == b"RECT":
            rects: list[Rect] = [(*points[0], *points[1])]
        else:
            try:
                rects = polygon_rects(points) if key == b"POLYGON" else _path(points, width / 2)
            except ValueError as e:
                return file.fault(str(e), at)
        for dx, dy in self._affordable(shifts, len(rects), at):
            for x1, y1, x2, y2 in rects:
                shapes.add(layer, port, (x1 + dx, y1 + dy, x2 + dx, y2 + dy), at)
        return None

    def _copies(self, words: list[bytes], at: int) -> tuple[list[bytes], list[Point]]:
        """The coordinates of a shape without MASK and ITERATE, and the shifts of its copies."""
        rest = [w for w in words[1:] if w not in (b"(", b")")]
        upper = [w.upper() for w in rest]
        if upper[:1] == [b"MASK"]:
            rest, upper = rest[2:], upper[2:]
        if upper[:1] != [b"ITERATE"]:
            return rest, [(0.0, 0.0)]
        do = upper.index(b"DO") if b"DO" in upper else len(upper)
        if len(upper) != do + 7 or upper[do + 2] != b"BY" or upper[do + 4] != b"STEP":
            self.file.fault("ITERATE without DO nx BY ny STEP dx dy", at)
            return rest[1:do], []
        nx, ny, dx, dy = self.file.numbers([rest[do + k] for k in (1, 3, 5, 6)], 4, at)
        if not (nx >= 1 and ny >= 1 and nx == nx // 1 and ny == ny // 1 and nx * ny <= self.copies_left):
            self.file.fault("ITERATE makes no copies, or too many", at)
            return rest[1:do], []
        return rest[1:do], [(i * dx, j * dy) for j in range(int(ny)) for i in range(int(nx))]

    def _affordable(self, shifts: list[Point], each: int, at: int) -> list[Point]:
        """The shifts of copies of `each` rectangles, or a fault when the file has made too many."""
        if len(shifts) > 1 or each > 1:
            self.copies_left -= len(shifts) * each
        if self.copies_left >= 0:
            return shifts
        self.copies_left = 0
        self.file.fault("ITERATE or VIA makes too many copies", at)
        return []

    def _via(self, shapes: Shapes, words: list[bytes], port: int, at: int) -> None:
        """Add the shapes of a via that the library defines, at its place."""
        rest, shifts = self._copies(words, at)
        via = self.vias.get(rest[2]) if len(rest) == 3 else None
        if via is None:
            what = f'VIA that cannot be read, or that no VIA block defines: "{show(b" ".join(words)[:60])}"'
            return self.file.fault(what, at, "Give the technology LEF first.")
        x, y = self.file.numbers(rest[:2], 2, at)
        shifts = self._affordable(shifts, len(via.layers), at)
        table = [float(w) for w in via.words] if shifts else []
        for dx, dy in shifts:
            for i, layer in enumerate(via.layers):
                x1, y1, x2, y2 = table[4 * i : 4 * i + 4]
                shapes.add(layer, port, (x1 + x + dx, y1 + y + dy, x2 + x + dx, y2 + y + dy), at)
        return None


def rectangles(file: LefWords, shapes: list[Shapes]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The rectangles of all `shapes` of one file, corners in order; faults where a coordinate is no number."""
    words = [w for s in shapes for w in s.words]
    try:
        values = np.array(list(map(float, words)), np.float64)
    except ValueError:
        values = np.array([_number(w) for w in words], np.float64)
    if b"_" in b"".join(words):
        values[[b"_" in w for w in words]] = NAN
    table = values.reshape(-1, 4)
    starts = [at for s in shapes for at in s.starts]
    for i in np.flatnonzero(~(np.abs(table) <= MAX_UM).all(axis=1)).tolist():
        found = show(b" ".join(words[4 * i : 4 * i + 4])[:60])
        file.fault(f'RECT: expected 4 numbers in um, found "{found}"', starts[i])
    return np.concatenate([np.minimum(table[:, :2], table[:, 2:]), np.maximum(table[:, :2], table[:, 2:])], axis=1)


def _number(word: bytes) -> float:
    try:
        return float(word)
    except ValueError:
        return NAN


def _path(points: list[tuple[float, float]], half: float) -> list[Rect]:
    """The rectangles of a path, half its width to all sides, also beyond its ends (LEF 5.8, PATH)."""
    return [
        (min(a[0], b[0]) - half, min(a[1], b[1]) - half, max(a[0], b[0]) + half, max(a[1], b[1]) + half)
        for a, b in zip(points, points[1:] or points, strict=False)
    ]
