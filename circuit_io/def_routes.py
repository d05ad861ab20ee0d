"""Lengths of the routed nets of a DEF file: its regular wiring, which the other readers pass over."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from circuit_io.errors import InputError
from circuit_io.text import read_bytes

_SECTION = re.compile(rb"^\s*NETS\s+\d+\s*;(.*?)^\s*END\s+NETS\b", re.MULTILINE | re.DOTALL)
_UNITS = re.compile(rb"^\s*UNITS\s+DISTANCE\s+MICRONS\s+(\d{1,9})\s*;", re.MULTILINE)
_STARTS = frozenset([b"ROUTED", b"FIXED", b"COVER", b"NOSHIELD"])
_SKIPPED = {b"MASK": 2, b"TAPERRULE": 2, b"STYLE": 2, b"TAPER": 1}  # words of a path that draw nothing
_MEND = "Give the DEF that the flow wrote after detailed routing."


@dataclass(frozen=True)
class RouteLengths:
    """Nets with regular wiring, as the file writes their names, and the sum of their wires' lengths."""

    names: tuple[bytes, ...]
    length_um: Float64[np.ndarray, " nets"]


def read_route_lengths(path: Path | str) -> RouteLengths:
    """The length of every net that has wires; empty for a DEF that is not routed.

    Vias and patches (RECT) add nothing, VIRTUAL connections neither; what shields nets is no wire of theirs.

    Raises:
        InputError: no units or no NETS, or wiring that cannot be read.
    """
    path = Path(path)
    text = read_bytes(path)
    units, section = _UNITS.search(text), _SECTION.search(text)
    if units is None or int(units[1]) == 0:
        raise InputError("has no UNITS DISTANCE MICRONS", path=path, mend="Is it a DEF file?")
    if section is None:
        raise InputError("has no section NETS with its END", path=path, mend="The file was cut, or has no nets.")
    names, lengths = [], []
    words = section[1].split()
    at, end = 0, len(words)
    while at < end:
        if words[at] != b"-" or at + 1 == end:
            raise InputError(f'"{_shown(words[at])}": expected "- NET"', path=path, mend=_MEND)
        name = words[at + 1]
        try:
            stop = words.index(b";", at + 2)
        except ValueError as e:
            raise InputError(f'net "{_shown(name)}" has no ";"', path=path, mend="The file was cut.") from e
        try:
            length = _length(words, at + 2, stop)
        except (ValueError, IndexError) as e:
            raise InputError(f'the wiring of net "{_shown(name)}" cannot be read', path=path, mend=_MEND) from e
        if length is not None:
            names.append(name)
            lengths.append(length)
        at = stop + 1
    return RouteLengths(tuple(names), np.array(lengths, np.float64) / int(units[1]))


def _length(words: list[bytes], at: int, stop: int) -> float | None:
    """Length in dbu of the wiring between two places of the text; None without any.

    Raises:
        ValueError: a word that is no coordinate, or a path that does not begin with a point.
        IndexError: a point that is not whole.
    """
    total, found = 0.0, False
    while at < stop:
        if words[at] == b"+" and words[at + 1] in _STARTS:
            at, found = at + 2, True
            total_path, at = _path(words, at, stop)
            total += total_path
        elif words[at] == b"NEW" and found:
            total_path, at = _path(words, at + 1, stop)
            total += total_path
        else:
            at += 1
    return total if found else None


def _path(words: list[bytes], at: int, stop: int) -> tuple[float, int]:
    """Length of one path, whose layer stands first, and where it ends."""
    at += 1
    x = y = None
    total, is_drawn = 0.0, True
    while at < stop and words[at] not in (b"NEW", b"+"):
        word = words[at]
        if word == b"(":
            close = words.index(b")", at, stop)
            if close - at not in (3, 4):  # a third value is an extension at the end of a wire
                raise ValueError(close)
            new_x = x if words[at + 1] == b"*" else int(words[at + 1])
            new_y = y if words[at + 2] == b"*" else int(words[at + 2])
            if new_x is None or new_y is None:
                raise ValueError(word)
            if x is not None and y is not None and is_drawn:
                dx, dy = abs(new_x - x), abs(new_y - y)
                total += dx + dy if 0 in (dx, dy) else float(np.hypot(dx, dy))
            x, y, is_drawn, at = new_x, new_y, True, close + 1
        elif word == b"RECT":
            at = words.index(b")", at, stop) + 1
        elif word == b"VIRTUAL":
            is_drawn, at = False, at + 1
        else:
            at += _SKIPPED.get(word, 1)  # else the name of a via, or its orientation
    return total, at


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace")[:60]
