"""The floorplan part of a DEF file: die, rows, tracks, gcell grid, vias, blockages, regions, groups."""

import re
from typing import Any

import numpy as np

from circuit_io.def_pins import ORIENT_CODE, box, points
from circuit_io.def_text import JUNK, PLUS, DefText, show
from circuit_io.geometry import polygon_rects
from circuit_io.names import Names

_ROW = re.compile(
    rb"\s+(\S+)\s+(\S+)\s+(-?\d+)\s+(-?\d+)\s+(\w+)\s*"
    rb"(?:DO\s+(\d+)\s+BY\s+(\d+)\s*(?:STEP\s+(-?\d+)\s+(-?\d+)\s*)?)?(?:\+\s+PROPERTY\s.*)?",
    re.DOTALL,
)
_GRID = re.compile(
    rb"\s+([XY])\s+(-?\d+)\s+DO\s+(\d+)\s+STEP\s+(\d+)\s*(?:MASK\s+\d+\s*(?:SAMEMASK\s*)?)?(?:LAYER\s+(.*))?", re.DOTALL
)
_POINTS = rb"(?:\s*\(\s*\S+\s+\S+\s*\))+"
_DIE = re.compile(_POINTS + rb"\s*")
_UNITS = re.compile(rb"\s+DISTANCE\s+MICRONS\s+(\d+)(?:\.0*)?\s*")
_LIST = re.compile(rb"\s*(?:-\s+([^\s;]+)\s*([^;]*);" + JUNK)
_BLOCKAGE = re.compile(rb"\s*(?:-\s+(LAYER\s+[^\s;]+|PLACEMENT)([^;]*);" + JUNK)
_AREA = re.compile(rb"(RECT|POLYGON)(" + _POINTS + rb")")
_REGION = re.compile(rb"(" + _POINTS + rb")\s*(\+.*)?", re.DOTALL)
_VIA_AREA = re.compile(rb"(RECT|POLYGON)\s+(\S+)\s*(?:\+\s+MASK\s+\d+\s*)?(" + _POINTS + rb")\s*")


def units(text: DefText) -> int:
    """Database units per um."""
    where = text.statements.get(b"UNITS")
    if not where:
        text.fail("has no UNITS DISTANCE MICRONS", 0, "Write it: without it no length is known.")
    match = _UNITS.fullmatch(text.text, *where[0])
    if not match or not 0 < int(match[1][:10]) <= 1_000_000:
        text.fail("UNITS DISTANCE MICRONS is not followed by a number from 1 to 1000000", where[0][0])
    return int(match[1])


def die(text: DefText) -> Any:  # noqa: ANN401
    """Corners of the die area, `[n, 2]`, in dbu.

    Some floorplans write a row of (0 0) corners before the real ones: two or more of them are dropped.
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
    if len(corners) < 2 or len({p[0] for p in corners}) < 2 or len({p[1] for p in corners}) < 2:
        text.fault("DIEAREA has no area", begin)
    return np.array(corners, np.int64).reshape(-1, 2)


def rows(text: DefText) -> dict[str, Any]:
    """The row fields of `DefDesign`."""
    found = []
    for begin, end in text.statements.get(b"ROW", ()):
        match = _ROW.fullmatch(text.text, begin, end)
        if not match or match[5] not in ORIENT_CODE:
            text.fault("ROW cannot be read", begin, "Expected ROW name site x y orient [DO nx BY ny [STEP dx dy]] ;")
            continue
        found.append((begin, match.groups()))
    numbers = [
        text.ints([v or d for v, d in zip(g[2:4] + g[5:], (b"", b"", b"1", b"1", b"0", b"0"), strict=True)], at, "ROW")
        for at, g in found
    ]
    table = np.array(numbers, np.int64).reshape(-1, 6)
    sites = {s: i for i, s in enumerate(dict.fromkeys(g[1] for _, g in found))}
    return {
        "row_names": Names.of(g[0] for _, g in found),
        "row_site": np.array([sites[g[1]] for _, g in found], np.int32),
        "row_site_names": Names.of(sites),
        "row_xy_dbu": table[:, :2],
        "row_orient": np.array([ORIENT_CODE[g[4]] for _, g in found], np.int8),
        "row_count": table[:, 2:4].astype(np.int32),
        "row_step_dbu": table[:, 4:],
    }


def grid(text: DefText, word: bytes, layers: dict[bytes, int]) -> Any:  # noqa: ANN401
    """TRACKS or GCELLGRID: axis (0 X, 1 Y), start, count, step, layer (-1: none named), `[n, 5]`."""
    found: list[tuple[int, int, int, int, int]] = []
    for begin, end in text.statements.get(word, ()):
        match = _GRID.fullmatch(text.text, begin, end)
        if not match:
            text.fault(
                f"{show(word)} cannot be read", begin, f"Expected {show(word)} X|Y start DO count STEP step .. ;"
            )
            continue
        start, count, step = text.ints(match.groups()[1:4], begin, show(word)).tolist()
        named = [layers.setdefault(n, len(layers)) for n in (match[5] or b"").split()]
        found += [(int(match[1] == b"Y"), start, count, step, layer) for layer in named or [-1]]
    return np.array(found, np.int64).reshape(-1, 5)


def vias(text: DefText, layers: dict[bytes, int], names: dict[bytes, int]) -> dict[str, Any]:
    """Shapes of the vias that the file itself defines, about their placing point."""
    shapes: list[tuple[int, int, int, int, int, int]] = []
    for name, rest, _ in text.rows(b"VIAS", _LIST):
        via = names.setdefault(name, len(names))
        at = text.sections[b"VIAS"][0]
        parts = [p.strip() for p in PLUS.split(rest)[1:]]
        for k, part in enumerate(parts):
            if part.startswith((b"RECT", b"POLYGON")):
                if k + 1 < len(parts) and parts[k + 1].startswith(b"MASK"):
                    part += b" " + b" ".join(parts[k + 1].split()[2:])
                match = _VIA_AREA.fullmatch(part)
                corners = points(text, match[3], at) if match else []
                if not match or len(corners) < 2:
                    text.fault(f'via "{show(name)}": "{show(part)}" cannot be read', at)
                    continue
                shapes.append((via, layers.setdefault(match[2], len(layers)), *box(corners)))
        rule = {words[0]: words[1:] for p in parts if (words := p.split())}
        if b"CUTSIZE" in rule:
            shapes += [
                (via, layers.setdefault(layer, len(layers)), *rect) for layer, rect in _generated(text, name, rule, at)
            ]
    table = np.array(shapes, np.int64).reshape(-1, 6)
    return {
        "via_shape_via": table[:, 0].astype(np.int32),
        "via_shape_layer": table[:, 1].astype(np.int32),
        "via_shape_rect_dbu": table[:, 2:],
    }


def _generated(
    text: DefText, name: bytes, rule: dict[bytes, list[bytes]], at: int
) -> list[tuple[bytes, tuple[int, int, int, int]]]:
    """The two metal shapes of a via made by a rule: the array of cuts plus its enclosures."""

    def numbers(key: bytes, count: int, default: list[int]) -> list[int]:
        found = rule.get(key)
        if found is None:
            return default
        if len(found) != count:
            text.fault(f'via "{show(name)}": {show(key)} needs {count} numbers', at)
            return default
        return [text.whole(w, at, show(key)) for w in found]

    if len(rule.get(b"LAYERS", ())) != 3 or b"ENCLOSURE" not in rule or b"CUTSPACING" not in rule:
        text.fault(f'via "{show(name)}" needs LAYERS, CUTSPACING and ENCLOSURE beside CUTSIZE', at)
        return []
    (cut_x, cut_y), (gap_x, gap_y) = numbers(b"CUTSIZE", 2, [0, 0]), numbers(b"CUTSPACING", 2, [0, 0])
    cut_rows, cut_columns = numbers(b"ROWCOL", 2, [1, 1])
    origin, enclosure = numbers(b"ORIGIN", 2, [0, 0]), numbers(b"ENCLOSURE", 4, [0] * 4)
    offset = numbers(b"OFFSET", 4, [0] * 4)
    width, height = cut_columns * (cut_x + gap_x) - gap_x, cut_rows * (cut_y + gap_y) - gap_y
    x, y = origin[0] - width // 2, origin[1] - height // 2
    out = []
    for k, layer in ((0, rule[b"LAYERS"][0]), (2, rule[b"LAYERS"][2])):
        ex, ey, ox, oy = enclosure[k], enclosure[k + 1], offset[k], offset[k + 1]
        out.append((layer, (x - ex + ox, y - ey + oy, x + width + ex + ox, y + height + ey + oy)))
    return out


def blockages(text: DefText, layers: dict[bytes, int]) -> dict[str, Any]:
    """The blockage fields of `DefDesign`; blockages for fill or slots alone are left out: they block no signal wire."""
    kinds: list[tuple[int, bool, float]] = []
    rects: list[tuple[int, int, int, int]] = []
    for head, rest, _ in text.rows(b"BLOCKAGES", _BLOCKAGE):
        at = text.sections[b"BLOCKAGES"][0]
        words = rest.split()
        if b"FILLS" in words or b"SLOTS" in words:
            continue
        name = head.split()[1:]
        layer = layers.setdefault(name[0], len(layers)) if name else -1
        density = text.percent(words[words.index(b"PARTIAL") + 1 :][:1], at) if b"PARTIAL" in words else float("nan")
        left = _AREA.sub(b"", rest)
        if b"(" in left or b"RECT" in left.split() or not _AREA.search(rest):
            text.fault(f'blockage that cannot be read: "{" ".join(show(head + rest).split())[:100]}"', at)
            continue
        for shape, corners in _AREA.findall(rest):
            found = points(text, corners, at)
            if len(found) < 2 or (shape == b"RECT" and len(found) != 2):
                text.fault(f"blockage: {show(shape)} has {len(found)} points", at)
                continue
            for x1, y1, x2, y2 in [box(found)] if shape == b"RECT" else polygon_rects(list(found)):
                rects.append((int(x1), int(y1), int(x2), int(y2)))
                kinds.append((layer, b"SOFT" in words, density))
    return {
        "blockage_layer": np.array([k[0] for k in kinds], np.int32),
        "blockage_soft": np.array([k[1] for k in kinds], np.bool_),
        "blockage_density": np.array([k[2] for k in kinds], np.float64),
        "blockage_rect_dbu": np.array(rects, np.int64).reshape(-1, 4),
    }


def regions(text: DefText) -> dict[str, Any]:
    """The region and group fields of `DefDesign`."""
    names: dict[bytes, int] = {}
    rects: list[tuple[int, int, int, int, int]] = []
    fences: list[bool] = []
    for name, rest, _ in text.rows(b"REGIONS", _LIST):
        at = text.sections[b"REGIONS"][0]
        match = _REGION.fullmatch(rest.strip())
        corners = points(text, match[1], at) if match else []
        if not match or len(corners) % 2 or name in names:
            text.fault(f'region "{show(name)}" cannot be read, or is listed twice', at)
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


def _groups(text: DefText, names: dict[bytes, int]) -> dict[str, Any]:
    groups: list[bytes] = []
    region: list[int] = []
    members: list[tuple[int, bytes]] = []
    for name, rest, _ in text.rows(b"GROUPS", _LIST):
        at = text.sections[b"GROUPS"][0]
        parts = PLUS.split(rest)
        members += [(len(groups), word) for word in parts[0].split()]
        wanted = [p.split()[1] for p in parts[1:] if p.split()[:1] == [b"REGION"] and len(p.split()) == 2]
        if wanted and wanted[0] not in names:
            text.fault(f'group "{show(name)}" lies in region "{show(wanted[0])}", which REGIONS does not list', at)
        groups.append(name)
        region.append(names.get(wanted[0], -1) if wanted else -1)
    return {
        "group_names": Names.of(groups),
        "group_region": np.array(region, np.int32),
        "member_group": np.array([m[0] for m in members], np.int32),
        "member_patterns": Names.of(m[1] for m in members),
    }
