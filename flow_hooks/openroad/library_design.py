"""A design of a whole library: each master in each orientation of rows, at several offsets to the tracks."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np

from circuit_io.errors import InputError, did_you_mean
from circuit_io.lef import LefLibrary

X_PLACES, Y_PLACES = 8, 2  # sites to the right, rows up; tracks repeat within these in the technologies we know
_GAP, _MARGIN = 2, 16  # sites between insts, and around all
_ORIENTS = (("N", "FN"), ("FS", "S"))  # of the two kinds of rows
ORIENTS = tuple(orient for kind in _ORIENTS for orient in kind)
_POWER = (1, 2)  # USE of mterms


@dataclass(frozen=True)
class LibraryDesign:
    """A placed DEF without tracks, and what is in it.

    Attributes:
        text: the DEF.
        pins: the signal pins of each master that it has.
        skipped: the other CORE masters with signal pins, and why.
        num_insts: insts.
    """

    text: str
    pins: dict[str, tuple[str, ...]]
    skipped: dict[str, str]
    num_insts: int


@dataclass(frozen=True)
class _Site:
    name: str
    width: int
    height: int


@dataclass(frozen=True)
class _Master:
    name: str
    sites: int
    rows: int


def library_design(lef: LefLibrary, *, path: str, site: str = "", without: Collection[str] = ()) -> LibraryDesign:
    """The design of all CORE masters that have signal pins.

    Args:
        lef: the library.
        path: what a message names.
        site: of the rows; else the one that most masters name.
        without: masters to leave out.

    Raises:
        InputError: no such master, no site, or no unit.
    """
    if not lef.dbu_per_um:
        raise InputError("no UNITS DATABASE MICRONS", path=path, mend="Give the technology LEF first.")
    pins, skipped = _signal_pins(lef)
    if not pins:
        raise InputError("no CORE macro with signal pins", path=path, mend="Give the LEF of the cells, too.")
    rows = _site(lef, site, list(pins), path)
    masters = []
    for name in (n for n in pins if n not in without):
        width, height = (round(float(v) * lef.dbu_per_um) for v in lef.macro_size_um[lef.macro_names.find(name)])
        if height % rows.height:
            skipped[name] = f"its height is not of site {rows.name}"
        else:
            masters.append(_Master(name, ceil(width / rows.width), height // rows.height))
    if not masters:
        raise InputError(f"no macro has the height of site {rows.name}", path=path, mend="Give --site NAME.")
    masters.sort(key=lambda m: (m.rows, m.name))
    used = {m.name: pins[m.name] for m in masters}
    text, num_insts = _def_text(masters, used, rows, lef.dbu_per_um)
    return LibraryDesign(text, used, skipped, num_insts)


def _signal_pins(lef: LefLibrary) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Signal pins by CORE master, and masters whose pins have no shape."""
    has_shape = np.zeros(len(lef.mterm_names), bool)
    has_shape[lef.shape_mterm] = True
    pins, skipped = dict[str, tuple[str, ...]](), dict[str, str]()
    for i, kind in enumerate(lef.macro_class):
        own = [m for m in range(lef.mterm_ptr[i], lef.mterm_ptr[i + 1]) if lef.mterm_use[m] not in _POWER]
        if kind.upper().split()[:1] != ["CORE"] or not own:
            continue
        name = str(lef.macro_names[i])
        if has_shape[own].all():
            pins[name] = tuple(str(lef.mterm_names[m]) for m in own)
        else:
            skipped[name] = "a pin has no shape"
    return pins, skipped


def _site(lef: LefLibrary, name: str, masters: list[str], path: str) -> _Site:
    known = [str(n) for n in lef.site_names]
    if not name:
        of_masters = Counter(lef.macro_site[lef.macro_names.find(m)] for m in masters)
        named = [n for n, _ in of_masters.most_common() if n in known]
        core = [n for n, kind in zip(known, lef.site_class, strict=True) if kind.upper() == "CORE"]
        if not named and len(core) != 1:
            what = f"{len(core)} CORE sites, and none that the macros name"
            raise InputError(what, path=path, mend="Give --site NAME, that of the rows.")
        name = (named or core)[0]
    elif name not in known:
        raise InputError(f'no site "{name}"', path=path, mend=did_you_mean(name, known))
    width, height = (round(float(v) * lef.dbu_per_um) for v in lef.site_size_um[known.index(name)])
    if not (width and height):
        raise InputError(f'site "{name}" has no width or height', path=path, mend="Give --site NAME, that of the rows.")
    return _Site(name, width, height)


def _def_text(masters: list[_Master], pins: dict[str, tuple[str, ...]], site: _Site, dbu: int) -> tuple[str, int]:
    places = list(_places(masters, site))
    rows = {(row, kind, shift) for _, _, row, _, kind, shift in places}
    width = (max(x + master.sites for master, _, _, x, _, _ in places) + _MARGIN) * site.width
    height = (max(row + master.rows for master, _, row, _, _, _ in places) + 1) * site.height
    lines = [
        "VERSION 5.8 ;", 'DIVIDERCHAR "/" ;', 'BUSBITCHARS "[]" ;', "DESIGN library ;",
        f"UNITS DISTANCE MICRONS {dbu} ;", f"DIEAREA ( 0 0 ) ( {width} {height} ) ;",
    ]  # fmt: skip
    for row, kind, shift in sorted(rows):
        x, y, orient = (_MARGIN + shift) * site.width, row * site.height, _ORIENTS[kind][0]
        count = width // site.width - 2 * _MARGIN - X_PLACES + 1
        lines.append(f"ROW r{row} {site.name} {x} {y} {orient} DO {count} BY 1 STEP {site.width} 0 ;")
    lines.append(f"COMPONENTS {len(places)} ;")
    nets = []
    for i, (master, orient, row, x, _, _) in enumerate(places):
        lines.append(f"- i{i} {master.name} + PLACED ( {x * site.width} {row * site.height} ) {orient} ;")
        nets += [f"( i{i} {pin} )" for pin in pins[master.name]]
    lines += ["END COMPONENTS", f"NETS {len(nets)} ;"]
    lines += [f"- n{i} {pin} ;" for i, pin in enumerate(nets)]
    return "\n".join([*lines, "END NETS", "END DESIGN", ""]), len(places)


def _places(masters: list[_Master], site: _Site) -> Iterator[tuple[_Master, str, int, int, int, int]]:
    """Master, orientation, row, site, kind of the row, and how far the row is shifted, of each inst.

    A block of rows holds all masters in all orientations; blocks differ in their offset in x and in the parity of rows.
    """
    length = sum(4 * m.rows * (m.sites + _GAP) for m in masters) * X_PLACES * Y_PLACES * site.width
    wide = max(ceil(sqrt(length * site.height) / site.width), *(m.sites for m in masters))
    row = 2
    for parity in range(Y_PLACES):
        for shift in range(X_PLACES):
            row += 1 + (row + 1 + parity) % 2  # an empty row between blocks
            first = row
            due = [[(m, orient) for m in reversed(masters) for orient in orients] for orients in _ORIENTS]
            while due[0] or due[1]:
                kind = (row - first) % 2
                x, rows = 0, 1
                while due[kind] and x + due[kind][-1][0].sites <= wide:
                    master, orient = due[kind].pop()
                    yield master, orient, row, _MARGIN + shift + x, kind, shift
                    x, rows = x + master.sites + _GAP, max(rows, master.rows)
                row += rows
