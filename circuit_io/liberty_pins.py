"""Pins of a Liberty cell: single pins, pin groups, the bits of buses, the members of bundles."""

import math
import re
from dataclasses import dataclass, field

from circuit_io.liberty_text import unquote
from circuit_io.liberty_tree import Group
from circuit_io.liberty_units import Library

_RANGE = re.compile(r"(.*)\[(-?\d{1,18}):(-?\d{1,18})\]", re.ASCII | re.DOTALL)
_SEPARATOR = re.compile(r"[\s,]+")
MAX_BITS = 1 << 16  # of one bus


@dataclass
class Pin:
    """One pin as its groups add up; a later group overrides an earlier one, attribute by attribute."""

    name: str
    at: int
    attributes: dict[str, str] = field(default_factory=dict)
    timings: list[tuple[Group, str, int]] = field(default_factory=list)  # group, bus it came from, bit in that bus


def pins_of(cell: Group, library: Library) -> tuple[dict[str, Pin], dict[str, list[str]]]:
    """The pins of a cell, and the bits of its buses and bundles."""
    pins: dict[str, Pin] = {}
    buses: dict[str, list[str]] = {}
    types = {g.args[0]: g for g in cell.of("type") if g.args}
    for group in cell.of("pin", "bus", "bundle"):
        if group.name == "pin":
            _merge_pin(group, pins, library, "", {})
        else:
            for name in group.args:
                if group.name == "bus":
                    bits = _bus_bits(name, group, types, library)
                else:
                    bits = [m for text in group.complex.get("members", []) for m in _SEPARATOR.split(text) if m]
                buses[name] = bits
                places = {bit: i for i, bit in enumerate(bits)}
                for i, bit in enumerate(bits):
                    _update(pins, bit, group, name, i, library)
                for sub in group.of("pin"):
                    _merge_pin(sub, pins, library, name, places)
    return pins, buses


def _merge_pin(group: Group, pins: dict[str, Pin], library: Library, bus: str, places: dict[str, int]) -> None:
    if not group.args:
        library.fault("a pin has no name", group.at, "Write pin (name) { ... }.")
    for argument in group.args:
        for name in _expand(argument, library, group.at):
            _update(pins, name, group, bus, places.get(name, -1), library)


def _update(pins: dict[str, Pin], name: str, group: Group, bus: str, bit: int, library: Library) -> None:
    pin = pins.setdefault(name, Pin(name, group.at))
    timings = group.of("timing")
    library.source.spend(8 + len(group.attributes) + len(timings), group.at)
    pin.attributes.update(group.attributes)
    pin.timings.extend((timing, bus, bit) for timing in timings)


def _expand(name: str, library: Library, at: int) -> list[str]:
    """`D[3:0]` as its four bits; any other name as it is."""
    found = _RANGE.fullmatch(name)
    return [name] if found is None else _bits(found[1], int(found[2]), int(found[3]), library, at)


def _bits(name: str, start: int, stop: int, library: Library, at: int) -> list[str]:
    if abs(stop - start) >= MAX_BITS:
        library.fault(f'bus "{name}" has more than {MAX_BITS:,} bits', at, "Check its range.")
        return []
    step = 1 if stop >= start else -1
    return [f"{name}[{i}]" for i in range(start, stop + step, step)]


def _bus_bits(name: str, group: Group, types: dict[str, Group], library: Library) -> list[str]:
    wanted = group.attributes.get("bus_type", "")
    kind = types.get(wanted) or library.types.get(wanted)
    if kind is None:
        known = library.near(wanted, [*types, *library.types])
        library.fault(f'bus "{name}" has type "{wanted}", which is not defined', group.at, known)
        return []
    ends = [library.number(kind.attributes.get(end), kind.at, end) for end in ("bit_from", "bit_to")]
    if any(math.isnan(end) for end in ends):
        width = library.number(kind.attributes.get("bit_width"), kind.at, "bit_width")
        if math.isnan(width):
            library.fault(f'type "{wanted}" has neither bit_from and bit_to nor bit_width', kind.at, "Add bit_width.")
            return []
        ends = [width - 1, 0.0]
    return _bits(name, int(ends[0]), int(ends[1]), library, group.at)


def capacitance_of(pin: Pin, library: Library) -> float:
    """`capacitance`, else the mean of the rise and fall values; in the library's unit."""
    a = pin.attributes
    if "capacitance" in a:
        return library.number(a["capacitance"], pin.at, "capacitance")
    edges = [library.number(a.get(k), pin.at, k) for k in ("rise_capacitance", "fall_capacitance")]
    return sum(edges) / 2


Related = list[tuple[bool, list[str]]]


def related_pins(group: Group, buses: dict[str, list[str]], ids: dict[str, int], library: Library) -> Related:
    """The pins a timing group starts from, word by word, each with whether a bus goes bit to bit (`related_pin`)."""
    words: Related = []
    for key in ("related_pin", "related_bus_pins"):
        for word in _SEPARATOR.split(group.attributes.get(key, "")):
            if not word:
                continue
            word = unquote(word.replace('\\"', '"'))
            found = [word] if word in ids else buses.get(word) or _expand(word, library, group.at)
            library.source.spend(len(found), group.at)
            missing = next((n for n in found if n not in ids), None)
            if missing is None:
                words.append((key == "related_pin", found))
            else:
                library.fault(f'{key} "{missing}" is no pin of its cell', group.at, library.near(missing, ids))
    return words


def starts_of(related: Related, width: int, bit: int) -> list[str]:
    """The pins from which arcs go to one pin: bit `bit` of a bus of `width`, or -1."""
    names: list[str] = []
    for is_bitwise, found in related:
        names.extend([found[bit]] if is_bitwise and len(found) == width > 1 and bit >= 0 else found)
    return names
