"""The floorplan part of a DEF file: units, die, rows, tracks, gcell grid, blockages, regions, groups."""

import re
from typing import Any

import numpy as np

from circuit_io.codes import ORIENT_CODES
from circuit_io.def_places import POINTS, Rect, box, clip, points, polygon
from circuit_io.def_text import JUNK, PLUS, DefText, Ints, show
from circuit_io.names import Names

_ROW = re.compile(
    rb"\s++(\S++)\s++(\S++)\s++(-?\d++)\s++(-?\d++)\s++(\w++)\s*+"
    rb"(?:DO\s++(\d++)\s++BY\s++(\d++)\s*+(?:STEP\s++(-?\d++)\s++(-?\d++)\s*+)?)?(?:\+\s++PROPERTY\s.*)?",
    re.DOTALL,
)
_GRID = re.compile(
    rb"\s++([XY])\s++(-?\d++)\s++DO\s++(\d++)\s++STEP\s++(\d++)\s*+"
    rb"(?:MASK\s++\d++\s*+(?:SAMEMASK\s*+)?)?(?:LAYER\s++(.*))?",
    re.DOTALL,
)
_DIE = re.compile(POINTS + rb"\s*+")
_UNITS = re.compile(rb"\s++DISTANCE\s++MICRONS\s++(\d++)(?:\.0*+)?\s*+")
_LIST = re.compile(rb"\s*+(?:-\s++([^\s;]++)\s*+([^;]*);" + JUNK)
_BLOCKAGE = re.compile(rb"\s*+(?:-\s++(LAYER\s++[^\s;]++|PLACEMENT(?=[\s;]))([^;]*);" + JUNK)
_AREA = re.compile(rb"(RECT|POLYGON)(" + POINTS + rb")")
_AREAS = re.compile(rb"(?:(?:RECT|POLYGON)" + POINTS + rb"\s*+)++")
_REGION = re.compile(rb"(" + POINTS + rb")\s*+(\+.*)?", re.DOTALL)
_BLOCKAGE_WORDS = re.compile(
    rb"\s*+(?:\+\s++(?:SLOTS|FILLS|PUSHDOWN|EXCEPTPGNET|SOFT|COMPONENT\s++\S++|SPACING\s++\d++|DESIGNRULEWIDTH\s++\d++|"
    rb"MASK\s++\d++|PARTIAL\s++(\S++))\s*+)*+"
)
_ROW_DEFAULTS = (b"0", b"0", b"1", b"1", b"0", b"0")
MAX_DBU_PER_UM = 1_000_000  # asap7's 4000 and the 20000 of LEF 5.8 lie far below


def units(text: DefText) -> int:
    """Database units per um."""
    where = text.statements.get(b"UNITS")
    if not where:
        text.fail("has no UNITS DISTANCE MICRONS", 0, "Write it: without it no length is known.")
    match = _UNITS.fullmatch(text.text, *where[0])
    if not match or len(match[1]) > 9 or not 0 < int(match[1]) <= MAX_DBU_PER_UM:
        text.fail(f"UNITS DISTANCE MICRONS is not followed by a number from 1 to {MAX_DBU_PER_UM}", where[0][0])
    return int(match[1])


def die(text: DefText) -> Ints:
    """Corners of the die area, `[n, 2]`, in dbu.

    Some floorplans write a row of (0 0) corners before the real ones: two or more of them are dropped, up to one that
    an odd number of corners, a rectangle's or a rectilinear polygon's, asks for.
    """
    where = text.statements.get(b"DIEAREA")
    if not where:
        return np.zeros((0, 2), np.int64)
    begin, end = where[0]
    if not _DIE.fullmatch(text.text, begin, end):
        text.fail("DIEAREA is not a list of ( x y ) points", begin)
    corners = points(text, text.text[begin:end], begin)
    zeros = next((i for i, p in enumerate(corners) if p != (0, 0)), len(corners))
    if zeros > 1:
        corners = corners[zeros - (len(corners) - zeros) % 2 :]
    return np.array(corners, np.int64).reshape(-1, 2)


def rows(text: DefText) -> dict[str, Any]:
    """The row fields of `DefDesign`."""
    found: list[tuple[bytes | Any, ...]] = []
    numbers: list[Ints] = []
    for begin, end in text.statements.get(b"ROW", ()):
        match = _ROW.fullmatch(text.text, begin, end)
        if not match or match[5] not in ORIENT_CODES:
            what = f'ROW cannot be read: "{clip(text.text[begin : min(end, begin + 160)])}"'
            text.fault(what, begin, "Expected ROW name site x y orient [DO nx BY ny [STEP dx dy]] ;")
            continue
        found.append(match.groups())
        words = [value or default for value, default in zip(match.group(3, 4, 6, 7, 8, 9), _ROW_DEFAULTS, strict=True)]
        numbers.append(text.ints(words, "ROW", lambda _, at=begin: at))  # type: ignore[misc]
    table = np.array(numbers, np.int64).reshape(-1, 6)
    sites = {site: i for i, site in enumerate(dict.fromkeys(row[1] for row in found))}
    return {
        "row_names": Names.of(row[0] for row in found),
        "row_site": np.array([sites[row[1]] for row in found], np.int32),
        "row_site_names": Names.of(sites),
        "row_xy_dbu": table[:, :2],
        "row_orient": np.array([ORIENT_CODES[row[4]] for row in found], np.int8),
        "row_count": table[:, 2:4].astype(np.int32),
        "row_step_dbu": table[:, 4:],
    }


def grid(text: DefText, word: bytes, layers: dict[bytes, int]) -> Ints:
    """TRACKS or GCELLGRID: axis (0 X, 1 Y), start, count, step, layer (-1: none named), `[n, 5]`."""
    found: list[tuple[int, int, int, int, int]] = []
    for begin, end in text.statements.get(word, ()):
        match = _GRID.fullmatch(text.text, begin, end)
        if not match:
            what = f'{show(word)} cannot be read: "{clip(text.text[begin : min(end, begin + 160)])}"'
            text.fault(what, begin, f"Expected {show(word)} X|Y start DO count STEP step [LAYER name ..] ;")
            continue
        start, count, step = (text.whole(w, begin, show(word)) for w in match.group(2, 3, 4))
        named = [layers.setdefault(n, len(layers)) for n in (match[5] or b"").split()]
        found += [(int(match[1] == b"Y"), start, count, step, layer) for layer in named or [-1]]
    return np.array(found, np.int64).reshape(-1, 5)


def blockages(text: DefText, layers: dict[bytes, int]) -> dict[str, Any]:
    """The blockage fields of `DefDesign`; blockages for fill or slots alone are left out: they block no signal wire."""
    kinds: list[tuple[int, bool, float]] = []
    rects: list[Rect] = []
    where = text.positions(b"BLOCKAGES", _BLOCKAGE)
    for (head, rest, _), at in zip(text.rows(b"BLOCKAGES", _BLOCKAGE), where, strict=True):
        words = _BLOCKAGE_WORDS.match(rest)
        shapes = rest[words.end() :] if words else rest
        if not words or not _AREAS.fullmatch(shapes):
            mend = "Expected LAYER name or PLACEMENT, attributes, then RECT ( x y ) ( x y ) or POLYGON ( x y ) .. ;"
            text.fault(f'blockage that cannot be read: "{clip(head + b" " + rest)}"', at, mend)
            continue
        flags = words.group().split()
        if b"FILLS" in flags or b"SLOTS" in flags:
            continue
        name = head.split()[1:]
        layer = layers.setdefault(name[0], len(layers)) if name else -1
        density = _percent(text, words[1], at) if words[1] else float("nan")
        found = _areas(text, shapes, at)
        rects += found
        kinds += [(layer, b"SOFT" in flags, density)] * len(found)
    return {
        "blockage_layer": np.array([k[0] for k in kinds], np.int32),
        "blockage_soft": np.array([k[1] for k in kinds], np.bool_),
        "blockage_density": np.array([k[2] for k in kinds], np.float64),
        "blockage_rect_dbu": np.array(rects, np.int64).reshape(-1, 4),
    }


def _areas(text: DefText, shapes: bytes, at: int) -> list[Rect]:
    out: list[Rect] = []
    for shape, corners in _AREA.findall(shapes):
        found = points(text, corners, at)
        if len(found) != 2 if shape == b"RECT" else len(found) < 3:
            text.fault(f"blockage: {show(shape)} has {len(found)} points", at)
            continue
        out += [box(found)] if shape == b"RECT" else polygon(text, found, at)
    return out


def _percent(text: DefText, word: bytes, at: int) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if 0 <= value <= 100:
        return value
    text.fault(f'PARTIAL "{show(word[:40])}" is not a density from 0 to 100', at)
    return 0.0


def regions(text: DefText) -> dict[str, Any]:
    """The region and group fields of `DefDesign`."""
    names: dict[bytes, int] = {}
    rects: list[tuple[int, int, int, int, int]] = []
    fences: list[bool] = []
    where = text.positions(b"REGIONS", _LIST)
    for (name, rest, _), at in zip(text.rows(b"REGIONS", _LIST), where, strict=True):
        match = _REGION.fullmatch(rest.strip())
        corners = points(text, match[1], at) if match else []
        if not match or len(corners) % 2 or name in names:
            text.fault(f'region "{show(name)}" is listed twice, or is not pairs of ( x y ) points', at)
            continue
        region = names.setdefault(name, len(names))
        fences.append(b"FENCE" in (match[2] or b"").split())
        rects += [(region, *box(corners[i : i + 2])) for i in range(0, len(corners), 2)]
    table = np.array(rects, np.int64).reshape(-1, 5)
    return {
        "region_names": Names.of(names),
        "region_is_fence": np.array(fences, np.bool_),
        "region_rect_region": table[:, 0].astype(np.int32),
        "region_rect_dbu": table[:, 1:],
    } | _groups(text, names)


def _groups(text: DefText, regions: dict[bytes, int]) -> dict[str, Any]:
    groups: list[bytes] = []
    region: list[int] = []
    members: list[tuple[int, bytes]] = []
    where = text.positions(b"GROUPS", _LIST)
    for (name, rest, _), at in zip(text.rows(b"GROUPS", _LIST), where, strict=True):
        parts = [part.split() for part in PLUS.split(rest)]
        members += [(len(groups), word) for word in parts[0]]
        wanted = [words[1] for words in parts[1:] if words[:1] == [b"REGION"] and len(words) == 2]
        if wanted and wanted[0] not in regions:
            text.fault(f'group "{show(name)}" lies in region "{show(wanted[0])}", which REGIONS does not list', at)
        groups.append(name)
        region.append(regions.get(wanted[0], -1) if wanted else -1)
    return {
        "group_names": Names.of(groups),
        "group_region": np.array(region, np.int32),
        "member_group": np.array([m[0] for m in members], np.int32),
        "member_patterns": Names.of(m[1] for m in members),
    }
