"""Places and points as all sections of a DEF file write them."""

import re

from circuit_io.codes import ORIENT_CODES, STATUS
from circuit_io.def_text import POINT, DefText, show
from circuit_io.geometry import ORIENTS, polygon_rects

Point = tuple[int, int]
Rect = tuple[int, int, int, int]
POINTS = rb"(?:\s*+" + POINT.replace(b"([^\\s()]++)", b"[^\\s()]++") + rb")++"
_POINT = re.compile(POINT)
_PLACE = re.compile(rb"\w++\s*+" + POINT + rb"\s*+(\w++)\s*+")


def clip(words: bytes, size: int = 80) -> str:
    """The beginning of some text on one line, for a message."""
    return " ".join(show(words[: 2 * size]).split())[:size]


def place(text: DefText, attribute: bytes, position: int) -> tuple[int, Point, int]:
    """Status, lower left corner and orientation of a PLACED, FIXED, COVER or UNPLACED attribute."""
    word = attribute.split(None, 1)[0]
    if word == b"UNPLACED":
        return 0, (0, 0), 0
    match = _PLACE.fullmatch(attribute)
    if not match or match[3] not in ORIENT_CODES:
        mend = f"Expected {show(word)} ( x y ) and one of {' '.join(ORIENTS)}."
        text.fault(f'a place that cannot be read: "{clip(attribute)}"', position, mend)
        return 0, (0, 0), 0
    x, y = (text.whole(w, position, "coordinate") for w in match.groups()[:2])
    return STATUS[word], (x, y), ORIENT_CODES[match[3]]


def points(text: DefText, words: bytes, position: int) -> list[Point]:
    """All `( x y )` in `words`, where `*` repeats the value before."""
    out: list[Point] = []
    for x, y in _POINT.findall(words):
        px = out[-1][0] if x == b"*" and out else text.whole(x, position, "coordinate")
        py = out[-1][1] if y == b"*" and out else text.whole(y, position, "coordinate")
        out.append((px, py))
    return out


def box(corners: list[Point]) -> Rect:
    """The bounding box of points."""
    xs, ys = [p[0] for p in corners], [p[1] for p in corners]
    return min(xs), min(ys), max(xs), max(ys)


def polygon(text: DefText, corners: list[Point], position: int) -> list[Rect]:
    """Rectangles that tile a polygon, none after a fault."""
    try:
        return polygon_rects(corners)
    except ValueError as e:
        text.fault(str(e), position)
        return []
