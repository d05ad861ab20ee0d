"""The grammar of LEF: words of one file to layers, sites, vias and macros."""

import hashlib
import math
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from circuit_io.codes import DIRECTIONS, USES
from circuit_io.def_text import near, show
from circuit_io.lef_shapes import ShapeReader, Shapes, rectangles
from circuit_io.lef_words import NAN, LefWords

MAX_PORTS = 2**15 - 1
_KINDS = {b"ROUTING": 0, b"CUT": 1, b"MASTERSLICE": 2, b"OVERLAP": 3, b"IMPLANT": 4}
_LAYER_DIRECTIONS = {b"HORIZONTAL": 0, b"VERTICAL": 1, b"DIAG45": -1, b"DIAG135": -1}
_TOP_STATEMENTS = frozenset(
    b"VERSION NAMESCASESENSITIVE BUSBITCHARS DIVIDERCHAR MANUFACTURINGGRID USEMINSPACING CLEARANCEMEASURE FIXEDMASK "
    b"MAXVIASTACK NOWIREEXTENSIONATPIN DIELECTRIC MINFEATURE INPUTPINANTENNASIZE OUTPUTPINANTENNASIZE "
    b"INOUTPINANTENNASIZE ANTENNAINPUTGATEAREA ANTENNAINOUTDIFFAREA ANTENNAOUTPUTDIFFAREA UNIVERSALNOISEMARGIN "
    b"EDGERATETHRESHOLD1 EDGERATETHRESHOLD2 EDGERATESCALEFACTOR".split()
)
_NAMED_BLOCKS = frozenset(b"VIARULE NONDEFAULTRULE ARRAY NOISETABLE CORRECTIONTABLE".split())
_PLAIN_BLOCKS = frozenset(b"PROPERTYDEFINITIONS SPACING IRDROP".split())
_BLOCKS = frozenset(b"LAYER SITE VIA MACRO UNITS BEGINEXT END".split())
_MACRO_STATEMENTS = frozenset(
    b"FOREIGN EEQ LEQ SOURCE FIXEDMASK POWER PROPERTY GENERATE GENERATOR CLOCKTYPE FUNCTION".split()
)
_MACRO_KNOWN = _MACRO_STATEMENTS | frozenset(b"CLASS SIZE ORIGIN SITE SYMMETRY PIN OBS DENSITY TIMING".split())
_PIN_STATEMENTS = frozenset(
    b"TAPERRULE NETEXPR SUPPLYSENSITIVITY GROUNDSENSITIVITY SHAPE MUSTJOIN PROPERTY FOREIGN LEQ CAPACITANCE RESISTANCE "
    b"PULLDOWNRES RISETHRESH FALLTHRESH RISESATCUR FALLSATCUR VLO VHI TIEOFFR OUTPUTNOISEMARGIN OUTPUTRESISTANCE "
    b"INPUTNOISEMARGIN CURRENTSOURCE IV_TABLES SCANUSE MAXLOAD MAXDELAY POWER TYPE RISEVOLTAGETHRESHOLD "
    b"FALLVOLTAGETHRESHOLD RISESLEWLIMIT FALLSLEWLIMIT".split()
)
_PIN_KNOWN = _PIN_STATEMENTS | frozenset(b"DIRECTION USE PORT".split())


@dataclass
class Layer:
    """One LAYER; lengths in um."""

    kind: int = -1
    direction: int = -1
    pitch: tuple[float, ...] = (NAN, NAN)
    offset: tuple[float, ...] = (NAN, NAN)
    width: float = NAN
    spacing: float = NAN


@dataclass
class Site:
    """One SITE."""

    kind: str = ""
    size: tuple[float, ...] = (NAN, NAN)


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
    size: tuple[float, ...] = (NAN, NAN)
    origin: tuple[float, ...] = (0.0, 0.0)
    site: str = ""
    symmetry: str = ""
    pins: dict[bytes, Pin] = field(default_factory=dict)
    obs: Shapes = field(default_factory=Shapes)


@dataclass
class Library:
    """What the files read so far hold."""

    dbu_per_um: int = 0
    layers: dict[bytes, Layer] = field(default_factory=dict)
    layer_ids: dict[bytes, int] = field(default_factory=dict)  # every layer named anywhere
    sites: dict[bytes, Site] = field(default_factory=dict)
    macros: dict[bytes, Macro] = field(default_factory=dict)
    vias: dict[bytes, Shapes] = field(default_factory=dict)
    pin_rects: list[np.ndarray[Any, np.dtype[np.float64]]] = field(default_factory=list)  # per file, all its macros
    obs_rects: list[np.ndarray[Any, np.dtype[np.float64]]] = field(default_factory=list)
    seen: dict[tuple[str, bytes], tuple[bytes, str, int]] = field(default_factory=dict)  # digest, file, word

    def width(self, layer: bytes) -> float:
        """The default width of a layer in um, nan when it has none."""
        return self.layers[layer].width if layer in self.layers else NAN


class LefReader(LefWords):
    """Reads one file into a `Library`."""

    def __init__(self, path: Path | str, library: Library) -> None:
        """Read the words; `read` does the rest."""
        super().__init__(path)
        self.library = library
        self.shapes = ShapeReader(self, library.layer_ids, library.vias, library.width)

    def read(self) -> None:
        """Read the whole file."""
        blocks = {b"LAYER": self._layer, b"SITE": self._site, b"VIA": self._via, b"MACRO": self._macro}
        blocks[b"UNITS"] = self._units
        before = len(self.library.macros)
        while (key := self.key()) and key != b"END":
            if key in blocks:
                blocks[key]()
            elif key in _TOP_STATEMENTS:
                self.statement()
            elif key in _NAMED_BLOCKS:
                self.at = self.close(self.name(), self.at + 2)
            elif key in _PLAIN_BLOCKS:
                self.at = self.close(self.words[self.at], self.at + 1)
            elif key == b"BEGINEXT":
                self.at = self.find(b"ENDEXT", self.at) + 1
            else:
                known = _TOP_STATEMENTS | _NAMED_BLOCKS | _PLAIN_BLOCKS | _BLOCKS
                self.fail(f'"{show(self.words[self.at][:40])}" starts no LEF statement', self.at, near(key[:40], known))
        self._end()
        made = list(self.library.macros.values())[before:]
        self.library.pin_rects.append(rectangles(self, [p.shapes for m in made for p in m.pins.values()]))
        self.library.obs_rects.append(rectangles(self, [m.obs for m in made]))
        self.faults.raise_if_any()

    def _end(self) -> None:
        if self.at == len(self.words):
            return
        if [w.upper() for w in self.words[self.at + 1 : self.at + 2]] != [b"LIBRARY"]:
            self.fail("END closes nothing here; END LIBRARY was expected", self.at)
        if self.at + 2 < len(self.words):
            self.fail("text after END LIBRARY", self.at + 2, "Give files that were joined one by one.")

    def _new(self, kind: str, name: bytes, begin: int) -> bool:
        """False when `kind name`, words `begin` up to here, was defined before, word for word the same."""
        digest = hashlib.sha256(b" ".join(self.words[begin : self.at])).digest()
        known = self.library.seen.setdefault((kind, name), (digest, str(self.path), begin))
        if known[0] != digest:
            first = known[1] + (f":{self.line(known[2])}" if known[1] == str(self.path) else "")
            mend = f"The first one is in {first}. Give only one of them, or make them the same."
            self.fault(f'{kind} "{show(name)}" is defined twice with different content', begin, mend)
        made: dict[str, Container[bytes]] = {"layer": self.library.layers, "site": self.library.sites}
        return name not in made.get(kind, self.library.macros)

    def _units(self) -> None:
        name = self.words[self.at]
        self.at += 1
        while self.inside(name):
            begin = self.at
            words = self.statement()
            if [w.upper() for w in words[:2]] == [b"DATABASE", b"MICRONS"]:
                value = self.numbers(words[2:], 1, begin)[0]
                if not (value >= 1 and value == value // 1):
                    self.fault("DATABASE MICRONS is not a whole number above 0", begin)
                else:
                    self.library.dbu_per_um = int(value)

    def _layer(self) -> None:
        begin, name, layer = self.at, self.name(), Layer()
        self.at += 2
        while key := self.inside(name):
            start, words = self.at, self.statement()
            rest = words[1:]
            if key == b"TYPE":
                layer.kind = self.choice(_KINDS, words, start)
            elif key == b"DIRECTION":
                layer.direction = self.choice(_LAYER_DIRECTIONS, words, start)
            elif key in (b"PITCH", b"OFFSET"):
                pair = tuple(self.numbers(rest * 2 if len(rest) == 1 else rest, 2, start))
                layer.pitch, layer.offset = (pair, layer.offset) if key == b"PITCH" else (layer.pitch, pair)
            elif key == b"WIDTH":
                layer.width = self.numbers(rest, 1, start)[0]
            elif key in (b"SPACING", b"SPACINGTABLE") and math.isnan(layer.spacing):
                layer.spacing = self._spacing(key, rest, start)
        if layer.kind < 0:
            self.fault(f'layer "{show(name)}" has no TYPE', begin)
        if self._new("layer", name, begin):
            self.library.layers[name] = layer

    def _spacing(self, key: bytes, words: list[bytes], start: int) -> float:
        """The value of SPACING, or the first entry of a table of them by run length or width, in um."""
        at = 0
        if key == b"SPACINGTABLE":
            upper = [w.upper() for w in words]
            if upper[:1] not in ([b"PARALLELRUNLENGTH"], [b"TWOWIDTHS"]) or b"WIDTH" not in upper:
                return NAN
            at = upper.index(b"WIDTH") + 2
            at += 2 if upper[at : at + 1] == [b"PRL"] else 0
        return self.numbers(words[at : at + 1], 1, start)[0]

    def _size(self, words: list[bytes], start: int) -> tuple[float, ...]:
        if len(words) != 4 or words[2].upper() != b"BY":
            self.fault(f'expected SIZE width BY height, found "{show(b" ".join(words)[:60])}"', start)
            return NAN, NAN
        size = tuple(self.numbers([words[1], words[3]], 2, start))
        if any(v < 0 for v in size):
            self.fault(f"SIZE below 0: {size[0]} BY {size[1]}", start)
        return size

    def _site(self) -> None:
        begin, name, site = self.at, self.name(), Site()
        self.at += 2
        while key := self.inside(name):
            start = self.at
            words = self.statement()
            if key == b"CLASS":
                site.kind = show(b" ".join(words[1:])).upper()
            elif key == b"SIZE":
                site.size = self._size(words, start)
            elif key not in (b"SYMMETRY", b"ROWPATTERN"):
                self.unknown(f'site "{show(name)}"', key, [b"CLASS", b"SIZE", b"SYMMETRY", b"ROWPATTERN"], start)
        if math.isnan(site.size[0]):
            self.fault(f'site "{show(name)}" has no SIZE', begin)
        if self._new("site", name, begin):
            self.library.sites[name] = site

    def _via(self) -> None:
        name, shapes, layer = self.name(), Shapes(), -1
        self.at += 2
        while self.key() in (b"DEFAULT", b"GENERATED"):
            self.at += 1
        while key := self.inside(name):
            start = self.at
            words = self.statement()
            if key == b"LAYER":
                layer = self.shapes.layer(words, start)
            elif key in (b"RECT", b"POLYGON"):
                self.shapes.shape(shapes, words, start, layer=layer)
        self.library.vias.setdefault(name, shapes)

    def _macro(self) -> None:
        begin, name, macro = self.at, self.name(), Macro()
        self.at += 2
        while key := self.inside(name):
            start = self.at
            if key == b"PIN":
                self._pin(macro)
            elif key == b"OBS":
                self.at += 1
                self.shapes.block(macro.obs, 0)
            elif key in (b"DENSITY", b"TIMING"):
                self.at = self.find(b"END", start) + 1
                self.at += self.key() == b"TIMING"
            else:
                self._macro_statement(name, macro, key, start)
        if math.isnan(macro.size[0]):
            self.fault(f'macro "{show(name)}" has no SIZE', begin)
        if self._new("macro", name, begin):
            self.library.macros[name] = macro

    def _macro_statement(self, name: bytes, macro: Macro, key: bytes, start: int) -> None:
        words = self.statement()
        if key == b"CLASS":
            macro.kind = show(b" ".join(words[1:])).upper()
        elif key == b"SIZE":
            macro.size = self._size(words, start)
        elif key == b"ORIGIN":
            macro.origin = tuple(self.numbers([w for w in words[1:] if w not in (b"(", b")")], 2, start))
        elif key == b"SITE":
            macro.site = macro.site or show(b"".join(words[1:2]))
        elif key == b"SYMMETRY":
            macro.symmetry = show(b" ".join(words[1:])).upper()
            if not {w.upper() for w in words[1:]} <= {b"X", b"Y", b"R90"}:
                self.fault(f'macro "{show(name)}": SYMMETRY {macro.symmetry[:40]}', start, "It is X, Y, R90.")
        elif key not in _MACRO_STATEMENTS:
            self.unknown(f'macro "{show(name)}"', key, _MACRO_KNOWN, start)

    def _pin(self, macro: Macro) -> None:
        """Read one PIN; a name that comes again adds PORTs to the first, as exported power pins do."""
        name = self.name()
        pin = macro.pins.setdefault(name, Pin())
        self.at += 2
        while key := self.inside(name):
            start = self.at
            if key == b"PORT":
                self.at += 1
                self.shapes.block(pin.shapes, pin.num_ports)
                pin.num_ports += 1
                if pin.num_ports > MAX_PORTS:
                    self.fail(f'pin "{show(name)}" has more than {MAX_PORTS} ports', start)
                continue
            words = self.statement()
            if key == b"DIRECTION":
                pin.direction = self.choice(DIRECTIONS, words, start)
            elif key == b"USE":
                pin.use = max(0, self.choice(USES, words, start))
            elif key not in _PIN_STATEMENTS and not key.startswith(b"ANTENNA"):
                self.unknown(f'pin "{show(name)}"', key, _PIN_KNOWN, start)
