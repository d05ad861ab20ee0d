"""The grammar of LEF: words of one file to layers, sites and macros."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from circuit_io.def_text import CUT, mask, read_text, show
from circuit_io.errors import Faults, InputError, did_you_mean
from circuit_io.geometry import polygon_rects
from circuit_io.text import line_of

_WORD = re.compile(rb";|[^\s;]+")
_NAN = float("nan")
MAX_UM = 1e7  # ten metres; beyond it a coordinate is a typing error, and dbu would not fit in 32 bits
MAX_COPIES = 1_000_000

_KINDS = {b"ROUTING": 0, b"CUT": 1, b"MASTERSLICE": 2, b"OVERLAP": 3, b"IMPLANT": 4}
_DIRECTIONS = {b"INPUT": 0, b"OUTPUT": 1, b"INOUT": 2, b"FEEDTHRU": 3}
_USES = {b"SIGNAL": 0, b"POWER": 1, b"GROUND": 2, b"CLOCK": 3, b"ANALOG": 4, b"RESET": 5, b"SCAN": 5, b"TIEOFF": 5}
_LAYER_DIRECTIONS = {b"HORIZONTAL": 0, b"VERTICAL": 1}
_TOP_STATEMENTS = frozenset(
    b"VERSION NAMESCASESENSITIVE BUSBITCHARS DIVIDERCHAR MANUFACTURINGGRID USEMINSPACING CLEARANCEMEASURE FIXEDMASK "
    b"MAXVIASTACK NOWIREEXTENSIONATPIN DIELECTRIC MINFEATURE INPUTPINANTENNASIZE OUTPUTPINANTENNASIZE "
    b"INOUTPINANTENNASIZE ANTENNAINPUTGATEAREA ANTENNAINOUTDIFFAREA ANTENNAOUTPUTDIFFAREA CORRECTIONFACTOR "
    b"UNIVERSALNOISEMARGIN CURRENTDEN".split()
)
_MACRO_STATEMENTS = frozenset(
    b"FOREIGN EEQ LEQ SOURCE FIXEDMASK POWER PROPERTY GENERATE GENERATOR CLOCKTYPE FUNCTION".split()
)
_PIN_STATEMENTS = frozenset(
    b"TAPERRULE NETEXPR SUPPLYSENSITIVITY GROUNDSENSITIVITY SHAPE MUSTJOIN PROPERTY FOREIGN LEQ CAPACITANCE RESISTANCE "
    b"PULLDOWNRES RISETHRESH FALLTHRESH RISESATCUR FALLSATCUR VLO VHI TIEOFFR OUTPUTNOISEMARGIN OUTPUTRESISTANCE "
    b"INPUTNOISEMARGIN CURRENTSOURCE IV_TABLES SCANUSE MAXLOAD MAXDELAY POWER TYPE RISEVOLTAGETHRESHOLD "
    b"FALLVOLTAGETHRESHOLD RISESLEWLIMIT FALLSLEWLIMIT IV_TABLE".split()
)
_STRUCTURE = frozenset(b"MACRO PIN PORT OBS END".split())


@dataclass
class Layer:
    """One LAYER; lengths in um."""

    kind: int = -1
    direction: int = -1
    pitch: tuple[float, float] = (_NAN, _NAN)
    offset: tuple[float, float] = (_NAN, _NAN)
    width: float = _NAN
    spacing: float = _NAN


@dataclass
class Site:
    """One SITE."""

    kind: str = ""
    size: tuple[float, float] = (_NAN, _NAN)


@dataclass
class Shapes:
    """Rectangles in um with their layer and PORT numbers."""

    layers: list[int] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    rects: list[tuple[float, float, float, float]] = field(default_factory=list)


@dataclass
class Pin:
    """One PIN of a macro."""

    direction: int = -1
    use: int = 0
    num_ports: int = 0
    shapes: Shapes = field(default_factory=Shapes)


@dataclass
class Macro:
    """One MACRO."""

    kind: str = ""
    size: tuple[float, float] = (_NAN, _NAN)
    origin: tuple[float, float] = (0.0, 0.0)
    site: str = ""
    symmetry: str = ""
    pins: dict[bytes, Pin] = field(default_factory=dict)
    obs: Shapes = field(default_factory=Shapes)


@dataclass
class Library:
    """What the files read so far hold."""

    dbu_per_um: int = 0
    layers: dict[bytes, Layer] = field(default_factory=dict)
    layer_ids: dict[bytes, int] = field(default_factory=dict)
    sites: dict[bytes, Site] = field(default_factory=dict)
    macros: dict[bytes, Macro] = field(default_factory=dict)
    vias: dict[bytes, Shapes] = field(default_factory=dict)
    seen: dict[tuple[str, bytes], tuple[list[bytes], str]] = field(default_factory=dict)


class LefReader:
    """Reads one file into a `Library`, word by word; `at` is the number of the next word."""

    def __init__(self, path: Path | str, library: Library) -> None:
        self.path, self.library, self.faults = path, library, Faults(path)
        self.raw = read_text(path)
        self.masked = mask(self.raw)
        self.words = self.masked.replace(b";", b" ; ").split()
        self.at = 0

    def line(self, at: int) -> int:
        """The line of word number `at`."""
        for number, match in enumerate(_WORD.finditer(self.masked)):
            if number == at:
                return line_of(self.raw, match.start())
        return line_of(self.raw, len(self.raw.rstrip()))

    def fail(self, what: str, at: int, mend: str = "") -> NoReturn:
        """Raise an unrecoverable fault at a word."""
        raise InputError(what, path=self.path, line=self.line(at), mend=mend)

    def fault(self, what: str, at: int, mend: str = "") -> None:
        """Note a recoverable fault at a word."""
        self.faults.add(what, line=self.line(at), mend=mend)

    def read(self) -> None:
        """Read the whole file."""
        words = self.words
        blocks: dict[bytes, Callable[[], None]] = {
            b"LAYER": self._layer,
            b"SITE": self._site,
            b"MACRO": self._macro,
            b"VIA": self._via,
            b"UNITS": self._units,
        }
        while self.at < len(words):
            key = words[self.at].upper()
            if key in blocks:
                blocks[key]()
            elif key in _TOP_STATEMENTS:
                self.statement()
            elif key in (b"VIARULE", b"NONDEFAULTRULE", b"ARRAY", b"NOISETABLE", b"CORRECTIONTABLE"):
                self.at = self._close(self.at + 1, self.name())
            elif key in (b"PROPERTYDEFINITIONS", b"SPACING", b"IRDROP"):
                self.at = self._close(self.at, key)
            elif key == b"BEGINEXT":
                self.at = self._find(b"ENDEXT", self.at) + 1
            elif key == b"END":
                if [w.upper() for w in words[self.at + 1 : self.at + 2]] != [b"LIBRARY"]:
                    self.fail("END closes nothing here", self.at)
                if self.at + 2 < len(words):
                    self.fail("text after END LIBRARY", self.at + 2)
                break
            else:
                self.fail(
                    f'"{show(words[self.at][:40])}" starts no LEF statement',
                    self.at,
                    _near(key, blocks.keys() | _TOP_STATEMENTS),
                )
        self.faults.raise_if_any()

    def name(self) -> bytes:
        """The word after the present one."""
        if self.at + 1 >= len(self.words) or self.words[self.at + 1] == b";":
            self.fail(f"{show(self.words[self.at])} has no name", self.at, CUT)
        return self.words[self.at + 1]

    def _find(self, word: bytes, begin: int) -> int:
        try:
            return self.words.index(word, begin)
        except ValueError:
            self.fail(f"{show(self.words[begin])} is never closed: no {show(word)} follows", begin, CUT)

    def _close(self, begin: int, name: bytes) -> int:
        """The number of the word after `END name`, searched from `begin`."""
        at = begin
        while True:
            at += 1
            try:
                at = self.words.index(name, at)
            except ValueError:
                self.fail(f'"{show(name)}" has no END {show(name)}', begin, CUT)
            if self.words[at - 1].upper() == b"END":
                return at + 1

    def statement(self) -> list[bytes]:
        """The words of the statement that begins here, without its `;`; goes on to the next one."""
        begin = self.at
        end = self._find(b";", begin)
        words = self.words[begin:end]
        if not _STRUCTURE.isdisjoint(words[1:]) and words[0].upper() != b"FOREIGN":
            self.fail(f"{show(words[0])} lacks its ;", begin)
        self.at = end + 1
        return words

    def numbers(self, words: list[bytes], count: int, begin: int) -> list[float]:
        """`count` finite numbers, nan after a fault."""
        try:
            values = [float(w) for w in words]
        except ValueError:
            values = []
        if len(values) != count or not all(-MAX_UM <= v <= MAX_UM for v in values) or any(b"_" in w for w in words):
            what = f'expected {count} number(s) in um, found "{show(b" ".join(words)[:80])}"'
            self.fault(f"{show(self.words[begin])}: {what}", begin)
            return [_NAN] * count
        return values

    def _again(self, kind: str, name: bytes, begin: int) -> bool:
        """True when `kind name`, words `begin` up to here, was defined before, word for word the same."""
        words = self.words[begin : self.at]
        known = self.library.seen.setdefault(
            (kind, name), (words, f"{self.path}:{self.line(begin)}" if 0 else f"{self.path}")
        )
        if known[0] is words:
            return False
        if known[0] != words:
            mend = f"The first one is in {known[1]}. Give only one of them, or make them the same."
            self.fault(f'{kind} "{show(name)}" is defined twice with different content', begin, mend)
        return True

    def _units(self) -> None:
        self.at += 1
        while self.words[self.at : self.at + 1] != [b"END"]:
            if self.at >= len(self.words):
                self.fail("UNITS has no END UNITS", self.at - 1, CUT)
            begin = self.at
            words = [w.upper() for w in self.statement()]
            if words[:2] == [b"DATABASE", b"MICRONS"]:
                value = self.numbers(words[2:], 1, begin)[0]
                if not (value > 0 and value == int(value)):
                    self.fault("DATABASE MICRONS is not a whole number above 0", begin)
                    continue
                self.library.dbu_per_um = int(value)
        self.at += 2

    def _body(self, name: bytes) -> bool:
        """True while the block `name` goes on; steps over its END."""
        if self.at >= len(self.words):
            self.fail(f'"{show(name)}" has no END {show(name)}', len(self.words) - 1, CUT)
        if self.words[self.at].upper() != b"END":
            return True
        if self.words[self.at + 1 : self.at + 2] != [name]:
            found = show(b" ".join(self.words[self.at : self.at + 2]))
            self.fail(f'expected END {show(name)}, found "{found}"', self.at, CUT)
        self.at += 2
        return False

    def _layer(self) -> None:
        begin, name, layer = self.at, self.name(), Layer()
        self.at += 2
        while self._body(name):
            start = self.at
            words = self.statement()
            key, rest = words[0].upper(), words[1:]
            if key == b"TYPE":
                layer.kind = self._choice(_KINDS, words, start)
            elif key == b"DIRECTION":
                layer.direction = _LAYER_DIRECTIONS.get(b"".join(rest[:1]).upper(), -1)
            elif key in (b"PITCH", b"OFFSET"):
                x, y = self.numbers((rest * 2)[:2] if len(rest) == 1 else rest, 2, start)
                setattr(layer, key.decode().lower(), (x, y))
            elif key == b"WIDTH":
                layer.width = self.numbers(rest, 1, start)[0]
            elif key == b"SPACING" and math.isnan(layer.spacing):
                layer.spacing = self.numbers(rest[:1], 1, start)[0]
            elif key == b"SPACINGTABLE" and math.isnan(layer.spacing):
                layer.spacing = self._first_spacing(rest, start)
        if not self._again("layer", name, begin):
            self.library.layers[name] = layer

    def _first_spacing(self, words: list[bytes], start: int) -> float:
        upper = [w.upper() for w in words]
        if upper[:1] not in ([b"PARALLELRUNLENGTH"], [b"TWOWIDTHS"]) or b"WIDTH" not in upper:
            return _NAN
        at = upper.index(b"WIDTH") + 2
        at += 2 if upper[at : at + 1] == [b"PRL"] else 0
        return self.numbers(words[at : at + 1], 1, start)[0]

    def _choice(self, table: dict[bytes, int], words: list[bytes], at: int) -> int:
        code = table.get(words[1].upper()) if len(words) > 1 else None
        if code is None:
            self.fault(f'unknown "{show(b" ".join(words)[:60])}"', at, _near(b"".join(words[1:2]), table))
            return -1
        return code

    def _site(self) -> None:
        begin, name, site = self.at, self.name(), Site()
        self.at += 2
        while self._body(name):
            start = self.at
            words = self.statement()
            key = words[0].upper()
            if key == b"CLASS":
                site.kind = show(b" ".join(words[1:])).upper()
            elif key == b"SIZE":
                site.size = self._size(words, start)
            elif key not in (b"SYMMETRY", b"ROWPATTERN"):
                self.fault(f'site "{show(name)}": unknown statement {show(key)}', start)
        if not self._again("site", name, begin):
            self.library.sites[name] = site

    def _size(self, words: list[bytes], start: int) -> tuple[float, float]:
        if len(words) != 4 or words[2].upper() != b"BY":
            self.fault(f'expected SIZE width BY height, found "{show(b" ".join(words)[:60])}"', start)
            return _NAN, _NAN
        width, height = self.numbers([words[1], words[3]], 2, start)
        return width, height

    def _via(self) -> None:
        begin, name, shapes = self.at, self.name(), Shapes()
        self.at += 2
        layer = -1
        if self.words[self.at : self.at + 1] and self.words[self.at].upper() in (b"DEFAULT", b"GENERATED"):
            self.at += 1
        while self._body(name):
            start = self.at
            words = self.statement()
            key = words[0].upper()
            if key == b"LAYER":
                layer = self._layer_id(words, start)
            elif key in (b"RECT", b"POLYGON"):
                self._geometry(shapes, words, layer, 0.0, 0, start)
        if not self._again("via", name, begin):
            self.library.vias[name] = shapes

    def _layer_id(self, words: list[bytes], start: int) -> int:
        if len(words) < 2:
            self.fail("LAYER has no name", start)
        ids = self.library.layer_ids
        return ids.setdefault(words[1], len(ids))

    def _macro(self) -> None:
        begin, name, macro = self.at, self.name(), Macro()
        self.at += 2
        while self._body(name):
            start = self.at
            key = self.words[start].upper()
            if key == b"PIN":
                self._pin(macro)
            elif key == b"OBS":
                self.at += 1
                self._geometries(macro.obs, 0)
            elif key in (b"DENSITY", b"TIMING"):
                self.at = self._find(b"END", start) + 1
                self.at += self.words[self.at : self.at + 1] == [b"TIMING"]
            else:
                self._macro_statement(name, macro, key, start)
        if math.isnan(macro.size[0]):
            self.fault(f'macro "{show(name)}" has no SIZE', begin)
        if not self._again("macro", name, begin):
            self.library.macros[name] = macro

    def _macro_statement(self, name: bytes, macro: Macro, key: bytes, start: int) -> None:
        words = self.statement()
        if key == b"CLASS":
            macro.kind = show(b" ".join(words[1:])).upper()
        elif key == b"SIZE":
            macro.size = self._size(words, start)
        elif key == b"ORIGIN":
            x, y = self.numbers([w for w in words[1:] if w not in (b"(", b")")], 2, start)
            macro.origin = (x, y)
        elif key == b"SITE":
            macro.site = macro.site or show(b"".join(words[1:2]))
        elif key == b"SYMMETRY":
            macro.symmetry = show(b" ".join(words[1:])).upper()
        elif key not in _MACRO_STATEMENTS:
            known = _MACRO_STATEMENTS | {b"CLASS", b"SIZE", b"ORIGIN", b"SITE", b"SYMMETRY", b"PIN", b"OBS"}
            self.fault(f'macro "{show(name)}": unknown statement {show(key[:40])}', start, _near(key, known))

    def _pin(self, macro: Macro) -> None:
        name = self.name()
        pin = macro.pins.setdefault(name, Pin())
        self.at += 2
        while self._body(name):
            start = self.at
            key = self.words[start].upper()
            if key == b"PORT":
                self.at += 1
                self._geometries(pin.shapes, pin.num_ports)
                pin.num_ports += 1
                continue
            words = self.statement()
            if key == b"DIRECTION":
                pin.direction = self._choice(_DIRECTIONS, words, start)
            elif key == b"USE":
                pin.use = max(0, self._choice(_USES, words, start))
            elif key not in _PIN_STATEMENTS and not key.startswith(b"ANTENNA"):
                known = _PIN_STATEMENTS | {b"DIRECTION", b"USE", b"PORT"}
                self.fault(f'pin "{show(name)}": unknown statement {show(key[:40])}', start, _near(key, known))

    def _geometries(self, shapes: Shapes, port: int) -> None:
        """The shapes of one PORT or OBS up to its END."""
        layer, width, words, begin = -1, 0.0, self.words, self.at
        while True:
            at = self.at
            if at >= len(words):
                self.fail("PORT or OBS has no END", begin - 1, CUT)
            word = words[at]
            if word == b"RECT" and words[at + 5 : at + 6] == [b";"] and layer >= 0:
                shapes.layers.append(layer)
                shapes.ports.append(port)
                shapes.rects.append(tuple(self.numbers(words[at + 1 : at + 5], 4, at)))  # type: ignore[arg-type]
                self.at = at + 6
                continue
            key = word.upper()
            if key == b"END":
                self.at += 1
                return
            statement = self.statement()
            if key == b"LAYER":
                layer, width = self._layer_id(statement, at), 0.0
            elif key == b"WIDTH":
                width = self.numbers(statement[1:], 1, at)[0]
            elif key in (b"RECT", b"PATH", b"POLYGON"):
                self._geometry(shapes, statement, layer, width, port, at)
            elif key == b"VIA":
                self._placed_via(shapes, statement, port, at)
            elif key not in (b"CLASS", b"PROPERTY"):
                self.fault(
                    f"unknown statement {show(key[:40])} among shapes",
                    at,
                    _near(key, [b"LAYER", b"RECT", b"PATH", b"POLYGON"]),
                )

    def _copies(self, words: list[bytes], at: int) -> tuple[list[bytes], list[tuple[float, float]]]:
        """The coordinates of a shape without MASK and ITERATE, and the shifts of its copies."""
        rest = [w for w in words[1:] if w not in (b"(", b")")]
        if rest[:1] and rest[0].upper() == b"MASK":
            rest = rest[2:]
        if not rest[:1] or rest[0].upper() != b"ITERATE":
            return rest, [(0.0, 0.0)]
        upper = [w.upper() for w in rest]
        do = upper.index(b"DO") if b"DO" in upper else len(upper)
        if len(upper) != do + 7 or upper[do + 2] != b"BY" or upper[do + 4] != b"STEP":
            self.fault("ITERATE without DO nx BY ny STEP dx dy", at)
            return rest[1:do], []
        nx, ny, dx, dy = self.numbers([rest[do + k] for k in (1, 3, 5, 6)], 4, at)
        if not (nx == nx // 1 and ny == ny // 1 and 1 <= nx * ny <= MAX_COPIES and nx >= 1):
            self.fault("ITERATE makes no or too many copies", at)
            return rest[1:do], []
        return rest[1:do], [(i * dx, j * dy) for j in range(int(ny)) for i in range(int(nx))]

    def _geometry(self, shapes: Shapes, words: list[bytes], layer: int, width: float, port: int, at: int) -> None:
        key = words[0].upper()
        if layer < 0:
            self.fault(f"{show(key)} before any LAYER", at)
            return
        rest, shifts = self._copies(words, at)
        values = self.numbers(rest, 4 if key == b"RECT" else len(rest) // 2 * 2, at)
        points = list(zip(values[::2], values[1::2], strict=True))
        if len(points) < {b"RECT": 2, b"PATH": 1, b"POLYGON": 3}[key] or any(math.isnan(v) for v in values):
            if not any(math.isnan(v) for v in values):
                self.fault(f"{show(key)} has too few points", at)
            return
        rects = {b"RECT": _rect, b"PATH": lambda p: _path(p, width), b"POLYGON": polygon_rects}[key](points)
        for dx, dy in shifts:
            for x1, y1, x2, y2 in rects:
                shapes.layers.append(layer)
                shapes.ports.append(port)
                shapes.rects.append((x1 + dx, y1 + dy, x2 + dx, y2 + dy))

    def _placed_via(self, shapes: Shapes, words: list[bytes], port: int, at: int) -> None:
        rest = [w for w in words[1:] if w not in (b"(", b")")]
        plain = [words[0], *rest]
        coordinates, shifts = self._copies(plain, at)
        via = self.library.vias.get(coordinates[2]) if len(coordinates) == 3 else None
        if via is None:
            self.fault(f'VIA that cannot be read or is not defined: "{show(b" ".join(words)[:60])}"', at)
            return
        x, y = self.numbers(coordinates[:2], 2, at)
        for dx, dy in shifts:
            shapes.layers += via.layers
            shapes.ports += [port] * len(via.layers)
            shapes.rects += [(a + x + dx, b + y + dy, c + x + dx, d + y + dy) for a, b, c, d in via.rects]


def _rect(points: list[tuple[float, float]]) -> list[tuple[float, float, float, float]]:
    return [(*points[0], *points[1])]


def _path(points: list[tuple[float, float]], width: float) -> list[tuple[float, float, float, float]]:
    """The rectangles of a path, widened by half its width on all sides, also at its ends (LEF PATH)."""
    half = width / 2
    pairs = list(zip(points, points[1:], strict=False)) or [(points[0], points[0])]
    return [
        (min(a[0], b[0]) - half, min(a[1], b[1]) - half, max(a[0], b[0]) + half, max(a[1], b[1]) + half)
        for a, b in pairs
    ]


def _near(word: bytes, known: "object") -> str:
    return did_you_mean(show(word), sorted(show(k) for k in known))  # type: ignore[attr-defined]
