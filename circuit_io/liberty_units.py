"""What a Liberty library says once: units, templates, bus types, default values."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from circuit_io.errors import did_you_mean
from circuit_io.liberty_tree import Group, Indices, Source

if TYPE_CHECKING:
    from circuit_io.liberty_tables import Layout

_EXPONENT = {"": 0, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "k": 3}
MAX_NEAR = 1000  # names looked at for a remedy
MAX_NUMBER = 1e30  # in any unit; more is no physical value and would overflow
_UNIT = re.compile(r"([-+.\deE]*?)\s*([munpfak]?)([sFfWw])", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)


@dataclass
class Library:
    """What a library says once and its cells use."""

    time_ns: float
    cap_ff: float
    leakage_nw: float
    attributes: dict[str, str]
    templates: dict[str, Group]
    types: dict[str, Group]
    source: Source
    axes: dict[tuple[str, ...], np.ndarray | None] = field(default_factory=dict)  # index texts already read
    layouts: dict[tuple[str, Indices], "Layout | None"] = field(default_factory=dict)  # liberty_tables

    def number(self, text: str | None, at: int, what: str, default: float = math.nan) -> float:
        """A finite number, or a noted fault."""
        if text is None:
            return default
        if _NUMBER.fullmatch(text) and abs(value := float(text)) < MAX_NUMBER:
            return value
        self.fault(f'{what} is "{text}", not a number', at, "Write a finite decimal number.")
        return default

    def near(self, name: str, known: Iterable[str]) -> str:
        """A remedy that lists near names, as long as the fault will be shown."""
        return did_you_mean(name, islice(known, MAX_NEAR)) if not self.source.faults.is_full else ""

    def fault(self, what: str, at: int, mend: str = "") -> None:
        """Note a fault at a position of the file."""
        self.source.fault(what, at, mend)


def _unit(text: str | None, base: int, default: str, letters: str, library: Library, at: int) -> float:
    """How many of 10**base one unit is; exact where both are powers of ten."""
    found = _UNIT.fullmatch((text or default).strip())
    if not found or found[3] not in letters:
        library.fault(f'unit "{text}" is not understood', at, f'Write it as "{default}".')
        return 1.0
    scale = library.number(found[1] or "1", at, "unit", 1.0)
    exponent = _EXPONENT[found[2].lower()] - base
    power: int = 10 ** abs(exponent)
    return scale * power if exponent >= 0 else scale / power


def open_library(group: Group, source: Source) -> Library:
    """Units, templates and bus types of a library."""
    a = group.attributes
    library = Library(1.0, 1.0, 1.0, a, {}, {}, source)
    library.time_ns = _unit(a.get("time_unit"), -9, "1ns", "sS", library, group.at)
    library.leakage_nw = _unit(a.get("leakage_power_unit"), -9, "1nW", "wW", library, group.at)
    load = group.complex.get("capacitive_load_unit") or ["1", "pf"]
    library.cap_ff = _unit("".join(load), -15, "1pf", "fF", library, group.at)
    for sub in group.of("lu_table_template"):
        library.templates[sub.args[0] if sub.args else ""] = sub
    for sub in group.of("type"):
        library.types[sub.args[0] if sub.args else ""] = sub
    return library
