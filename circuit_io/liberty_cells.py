"""From a Liberty tree to columns: pins and buses, arcs, tables, units, cell flags."""

import math
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from circuit_io.errors import Faults, did_you_mean
from circuit_io.liberty_text import Group, Scanner, unquote
from circuit_io.logic import CLASS_ID, classify, is_adder, truth_table
from circuit_io.names import Names

_PREFIX = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "a": 1e-18, "k": 1e3}
_UNIT = re.compile(r"([-+.\deE]*?)\s*([munpfak]?)([sFfWw])", re.IGNORECASE)
_RANGE = re.compile(r"(.*)\[(-?\d+):(-?\d+)\]")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_SEPARATOR = re.compile(r"[\s,]+")
_SLEW_AXIS = {"input_net_transition", "input_transition_time", "related_pin_transition"}
_LOAD_AXIS = {"total_output_net_capacitance", "constrained_pin_transition", "output_net_wire_cap", "output_net_pin_cap"}
_CAP_AXES = {"total_output_net_capacitance", "output_net_wire_cap", "output_net_pin_cap"}
_CAP_AXES_3 = {"related_out_total_output_net_capacitance", "equal_or_opposite_output_net_capacitance"}
_EDGES = ("rising_edge", "falling_edge", "setup_rising", "setup_falling", "hold_rising", "hold_falling")
MAX_BITS = 1 << 16  # of one bus


@dataclass
class _Pin:
    name: str
    at: int
    attributes: dict[str, str] = field(default_factory=dict)
    timings: list[tuple[Group, str, int]] = field(default_factory=list)  # group, bus it came from, bit in that bus


@dataclass
class _Library:
    """What a library says once and its cells use."""

    time_ns: float
    cap_ff: float
    leakage_nw: float
    attributes: dict[str, str]
    templates: dict[str, Group]
    types: dict[str, Group]
    scanner: Scanner
    faults: Faults

    def number(self, text: str | None, at: int, what: str, default: float = math.nan) -> float:
        """A finite number, or a noted fault."""
        if text is None:
            return default
        if _NUMBER.fullmatch(text) and math.isfinite(value := float(text)):
            return value
        self.fault(f'{what} is "{text}", not a number', at)
        return default

    def fault(self, what: str, at: int, mend: str = "") -> None:
        self.faults.add(what, line=self.scanner.line(at) if self.scanner.text else 0, mend=mend)


class Builder:
    """Gathers columns over libraries."""

    def __init__(self, kinds: Sequence[str], directions: Sequence[str], senses: Sequence[str]) -> None:
        """Start empty; the three lists say which code stands for which word."""
        self.kinds = {k: i for i, k in enumerate(kinds)}
        self.directions = {d: i for i, d in enumerate(directions)}
        self.senses = {s: i for i, s in enumerate(senses)}
        self.rows: dict[str, list[Any]] = {}
        self.cells: dict[str, str] = {}  # name -> where and what
        self.flat = {k: array("d") for k in ("index_1", "index_2", "index_3", "values_ns")}
        self.ptr = {k: array("q", [0]) for k in ("index_1", "index_2", "index_3", "values_ns")}
        self.table_kind = array("b")
        self.timing_ptr = array("q", [0])
        self.cell_pin_ptr = array("q", [0])

    def put(self, **row: Any) -> None:  # noqa: ANN401
        """Append one value to each named column."""
        for name, value in row.items():
            self.rows.setdefault(name, []).append(value)

    def count(self, column: str) -> int:
        """Rows so far."""
        return len(self.rows.get(column, ()))

    def add_library(self, group: Group, path: str, scanner: Scanner, faults: Faults) -> None:
        """Add all cells of one library."""
        library = _open_library(group, scanner, faults)
        a = library.attributes

        def value(name: str, scale: float = 1.0, default: float = math.nan) -> float:
            return library.number(a.get(name), group.at, name, default) * scale

        self.put(
            library_names=group.args[0] if group.args else "",
            library_path=path,
            time_unit_ns=library.time_ns,
            cap_unit_ff=library.cap_ff,
            leakage_unit_nw=library.leakage_nw,
            voltage_v=value("nom_voltage"),
            temperature_c=value("nom_temperature"),
            slew_derate=value("slew_derate_from_library", default=1.0),
            slew_threshold_frac=[
                value(f"slew_{end}_threshold_pct_{edge}", 0.01, default)
                for end, default in (("lower", 20.0), ("upper", 80.0))
                for edge in ("rise", "fall")
            ],
            delay_threshold_frac=[
                value(f"{side}_threshold_pct_{edge}", 0.01, 50.0)
                for side in ("input", "output")
                for edge in ("rise", "fall")
            ],
        )
        for cell in group.of("cell"):
            self._add_cell(cell, library)

    def _add_cell(self, cell: Group, library: _Library) -> None:
        if len(cell.args) != 1 or not cell.args[0]:
            library.fault(f"{cell.title} must have one name", cell.at)
            return
        name = cell.args[0]
        content = _fingerprint(cell)
        if name in self.cells:
            if self.cells[name] != content:
                mend = "Give the files of one corner and one threshold flavour only."
                library.fault(f'cell "{name}" is defined twice, with different content', cell.at, mend)
            return
        self.cells[name] = content
        pins, buses = _pins_of(cell, library)
        first = self.count("pin_cell")
        index = self.count("cell_names")
        ids = {pin: first + i for i, pin in enumerate(pins)}
        drive, clocks = self._add_arcs(pins, buses, ids, index, library)
        for pin in pins.values():
            self._add_pin(pin, index, pin.name in clocks, library)
        self.cell_pin_ptr.append(self.count("pin_cell"))
        self._add_cell_row(cell, pins, drive, library)

    def _add_cell_row(self, cell: Group, pins: dict[str, _Pin], drive: float, library: _Library) -> None:
        a = cell.attributes
        directions = [self.directions.get(p.attributes.get("direction", "").lower(), -1) for p in pins.values()]
        is_gate = "clock_gating_integrated_cell" in a
        is_latch = bool(cell.of("latch", "latch_bank")) and not is_gate
        is_macro = bool(_flag(a.get("is_macro_cell")) or cell.of("memory") or _flag(a.get("is_memory_cell")))
        is_sequential = bool(cell.of("ff", "ff_bank", "latch", "latch_bank", "statetable")) or is_gate
        kind = _function_class(cell, pins, directions, is_macro, is_gate, is_latch, is_sequential)
        self.put(
            cell_names=cell.args[0],
            cell_library=self.count("library_names") - 1,
            cell_area_um2=library.number(a.get("area"), cell.at, "area"),
            cell_leakage_nw=_leakage(cell, library) * library.leakage_nw,
            is_sequential=is_sequential,
            is_latch=is_latch,
            is_clock_gate=is_gate,
            is_buffer=kind == "buffer",
            is_inverter=kind == "inverter",
            is_macro=is_macro,
            dont_use=_flag(a.get("dont_use")),
            cell_function_class=CLASS_ID[kind],
            cell_drive_kohm=drive,
        )

    def _add_pin(self, pin: _Pin, cell: int, is_clock: bool, library: _Library) -> None:
        a, at = pin.attributes, pin.at
        word = a.get("direction", "").lower()
        direction = self.directions.get(word, -1)
        if word and direction < 0:
            library.fault(f'pin "{pin.name}" has direction "{word}"', at, did_you_mean(word, self.directions))
        default_cap = {0: "default_input_pin_cap", 1: "default_output_pin_cap", 2: "default_inout_pin_cap"}
        capacitance = _capacitance(pin, library)
        if math.isnan(capacitance):
            default = library.attributes.get(default_cap.get(direction, ""))
            capacitance = library.number(default, at, "default pin capacitance", 0.0 if direction == 1 else math.nan)
        max_cap = a.get("max_capacitance")
        if max_cap is None and direction in (1, 2):
            max_cap = library.attributes.get("default_max_capacitance")
        self.put(
            pin_cell=cell,
            pin_names=pin.name,
            pin_direction=direction,
            pin_cap_ff=capacitance * library.cap_ff,
            pin_max_cap_ff=library.number(max_cap, at, "max_capacitance") * library.cap_ff,
            pin_is_clock=is_clock or _flag(a.get("clock")) or _flag(a.get("clock_gate_clock_pin")),
            pin_function=a.get("function", ""),
        )

    def _add_arcs(
        self,
        pins: dict[str, _Pin],
        buses: dict[str, list[str]],
        ids: dict[str, int],
        cell: int,
        library: _Library,
    ) -> tuple[float, set[str]]:
        """Add the arcs of one cell; its steepest delay over load (kohm) and the pins that clock it."""
        timings: dict[int, tuple[int, float]] = {}
        steepest, clocks = math.nan, set()
        for pin in pins.values():
            for group, bus, bit in pin.timings:
                if id(group) not in timings:
                    timings[id(group)] = (len(self.timing_ptr) - 1, self._add_tables(group, library))
                timing, slope = timings[id(group)]
                steepest = np.fmax(steepest, slope)
                related = _related(group, buses, ids, len(buses.get(bus, ())), bit, library)
                kind = group.attributes.get("timing_type", "combinational")
                if kind in _EDGES:
                    clocks.update(related)
                for name in related or [""]:
                    self.put(
                        arc_cell=cell,
                        arc_pin=ids[pin.name],
                        arc_related=ids.get(name, -1),
                        arc_type=kind,
                        arc_sense=self.senses.get(group.attributes.get("timing_sense", ""), -1),
                        arc_when=group.attributes.get("when", ""),
                        arc_timing=timing,
                    )
        return float(steepest), clocks

    def _add_tables(self, timing: Group, library: _Library) -> float:
        """Add the tables of one timing group; the steepest delay over load, kohm."""
        slope = math.nan
        for group in timing.groups:
            kind = self.kinds.get(group.name)
            if kind is None:
                continue
            table = _table(group, library)
            if table is None:
                continue
            axes, values = table
            for name, axis in zip(("index_1", "index_2", "index_3"), axes, strict=True):
                self.flat[name].extend(axis)
                self.ptr[name].append(len(self.flat[name]))
            self.flat["values_ns"].extend(values.ravel())
            self.ptr["values_ns"].append(len(self.flat["values_ns"]))
            self.table_kind.append(kind)
            if group.name in ("cell_rise", "cell_fall") and len(axes[1]) > 1:
                row = values[values.shape[0] // 2, :, 0]
                slope = np.fmax(slope, (row[-1] - row[0]) / (axes[1][-1] - axes[1][0]) * 1e3)  # ns / fF = 1000 kohm
        self.timing_ptr.append(len(self.table_kind))
        return float(slope)

    def columns(self) -> dict[str, Any]:
        """All columns by the field names of `Liberty`."""
        types = {"f8": _FLOATS, "i4": _INT32, "i1": _INT8, "i2": _INT16, "?": _BOOLS}
        out: dict[str, Any] = {}
        for dtype, names in types.items():
            for name in names:
                out[name] = np.array(self.rows.get(name, []), np.dtype(dtype))
        for name in _NAMES:
            out[name] = Names.of(self.rows.get(name, []))
        for name in _LISTS:
            out[name] = self.rows.get(name, [])
        out["cell_pin_ptr"] = np.array(self.cell_pin_ptr, np.int64)
        out["timing_table_ptr"] = np.array(self.timing_ptr, np.int64)
        out["table_kind"] = np.array(self.table_kind, np.int8)
        for name in self.flat:
            out[f"table_{name.removesuffix('_ns')}_ptr"] = np.array(self.ptr[name], np.int64)
            out[f"table_{name}"] = np.array(self.flat[name], np.float64)
        return out


_NAMES = ("library_names", "cell_names", "pin_names")
_LISTS = ("library_path", "pin_function", "arc_type", "arc_when")
_FLOATS = (
    *("time_unit_ns", "cap_unit_ff", "leakage_unit_nw", "voltage_v", "temperature_c", "slew_derate"),
    *("slew_threshold_frac", "delay_threshold_frac", "cell_area_um2", "cell_leakage_nw", "cell_drive_kohm"),
    *("pin_cap_ff", "pin_max_cap_ff"),
)
_INT32 = ("cell_library", "pin_cell", "arc_cell", "arc_pin", "arc_related", "arc_timing")
_INT16 = ("cell_function_class",)
_INT8 = ("pin_direction", "arc_sense")
_BOOLS = (
    *("is_sequential", "is_latch", "is_clock_gate", "is_buffer", "is_inverter", "is_macro", "dont_use"),
    "pin_is_clock",
)


def _flag(text: str | None) -> bool:
    return text is not None and text.lower() == "true"


def _fingerprint(group: Group) -> str:
    """The content of a group as text, to tell a repeat from a clash."""
    inner = "".join(_fingerprint(g) for g in group.groups)
    return f"{group.name}{group.args}{group.attributes}{group.complex}{{{inner}}}"


def _unit(text: str | None, base: float, default: str, letters: str, library: _Library, at: int) -> float:
    """How many `base` one unit is."""
    found = _UNIT.fullmatch((text or default).strip())
    if not found or found[3] not in letters:
        library.fault(f'unit "{text}" is not understood', at, f'Write it as "{default}".')
        return 1.0
    scale = library.number(found[1] or "1", at, "unit")
    return scale * _PREFIX[found[2].lower()] / base


def _open_library(group: Group, scanner: Scanner, faults: Faults) -> _Library:
    a = group.attributes
    library = _Library(1.0, 1.0, 1.0, a, {}, {}, scanner, faults)
    library.time_ns = _unit(a.get("time_unit"), 1e-9, "1ns", "sS", library, group.at)
    library.leakage_nw = _unit(a.get("leakage_power_unit"), 1e-9, "1nW", "wW", library, group.at)
    load = group.complex.get("capacitive_load_unit", ["1", "pf"])
    library.cap_ff = _unit("".join(load), 1e-15, "1pf", "fF", library, group.at)
    for sub in group.of("lu_table_template"):
        library.templates[sub.args[0] if sub.args else ""] = sub
    for sub in group.of("type"):
        library.types[sub.args[0] if sub.args else ""] = sub
    return library


def _pins_of(cell: Group, library: _Library) -> tuple[dict[str, _Pin], dict[str, list[str]]]:
    """The pins of a cell, and the bits of its buses and bundles."""
    pins: dict[str, _Pin] = {}
    buses: dict[str, list[str]] = {}
    types = {g.args[0]: g for g in cell.of("type") if g.args}
    for group in cell.groups:
        if group.name == "pin":
            _merge_pin(group, pins, library, "", {})
        elif group.name in ("bus", "bundle"):
            for name in group.args:
                if group.name == "bus":
                    bits = _bus_bits(name, group, types, library)
                else:
                    bits = [m for text in group.complex.get("members", []) for m in _SEPARATOR.split(text) if m]
                buses[name] = bits
                places = {bit: i for i, bit in enumerate(bits)}
                for i, bit in enumerate(bits):
                    _update(pins, bit, group, name, i)
                for sub in group.of("pin"):
                    _merge_pin(sub, pins, library, name, places)
    return pins, buses


def _merge_pin(group: Group, pins: dict[str, _Pin], library: _Library, bus: str, places: dict[str, int]) -> None:
    if not group.args:
        library.fault("a pin has no name", group.at)
    for argument in group.args:
        for name in _expand(argument, library, group.at):
            _update(pins, name, group, bus, places.get(name, -1))


def _update(pins: dict[str, _Pin], name: str, group: Group, bus: str, bit: int) -> None:
    pin = pins.setdefault(name, _Pin(name, group.at))
    pin.attributes.update(group.attributes)
    pin.timings.extend((timing, bus, bit) for timing in group.of("timing"))


def _expand(name: str, library: _Library, at: int) -> list[str]:
    """`D[3:0]` as its four bits; any other name as it is."""
    found = _RANGE.fullmatch(name)
    return [name] if found is None else _bits(found[1], int(found[2]), int(found[3]), library, at)


def _bits(name: str, start: int, stop: int, library: _Library, at: int) -> list[str]:
    if abs(stop - start) >= MAX_BITS:
        library.fault(f'bus "{name}" has more than {MAX_BITS} bits', at)
        return []
    step = 1 if stop >= start else -1
    return [f"{name}[{i}]" for i in range(start, stop + step, step)]


def _bus_bits(name: str, group: Group, types: dict[str, Group], library: _Library) -> list[str]:
    wanted = group.attributes.get("bus_type", "")
    kind = types.get(wanted) or library.types.get(wanted)
    if kind is None:
        known = did_you_mean(wanted, [*types, *library.types])
        library.fault(f'bus "{name}" has type "{wanted}", which is not defined', group.at, known)
        return []
    ends = [library.number(kind.attributes.get(end), kind.at, end) for end in ("bit_from", "bit_to")]
    if any(math.isnan(end) for end in ends):
        width = library.number(kind.attributes.get("bit_width"), kind.at, "bit_width")
        if math.isnan(width):
            library.fault(f'type "{wanted}" has neither bit_from and bit_to nor bit_width', kind.at)
            return []
        ends = [width - 1, 0.0]
    return _bits(name, int(ends[0]), int(ends[1]), library, group.at)


def _capacitance(pin: _Pin, library: _Library) -> float:
    """`capacitance`, else the mean of the rise and fall values; in the library's unit."""
    a = pin.attributes
    if "capacitance" in a:
        return library.number(a["capacitance"], pin.at, "capacitance")
    edges = [library.number(a.get(k), pin.at, k) for k in ("rise_capacitance", "fall_capacitance")]
    return sum(edges) / 2


def _leakage(cell: Group, library: _Library) -> float:
    """`cell_leakage_power`; else the mean over its states, summed over its supplies; in the library's unit."""
    a = cell.attributes
    if "cell_leakage_power" in a:
        return library.number(a["cell_leakage_power"], cell.at, "cell_leakage_power")
    supplies: dict[str, dict[bool, list[float]]] = {}
    for group in cell.of("leakage_power"):
        value = library.number(group.attributes.get("value"), group.at, "leakage value")
        states = supplies.setdefault(group.attributes.get("related_pg_pin", ""), {})
        states.setdefault("when" in group.attributes, []).append(value)
    if not supplies:
        return library.number(library.attributes.get("default_cell_leakage_power"), cell.at, "default leakage")
    return float(sum(np.mean(states.get(False) or states[True]) for states in supplies.values()))


def _related(
    group: Group, buses: dict[str, list[str]], ids: dict[str, int], width: int, bit: int, library: _Library
) -> list[str]:
    """The pins a timing group starts from; bit to bit between buses of one width, as `related_pin` means it."""
    names: list[str] = []
    for key in ("related_pin", "related_bus_pins"):
        for word in _SEPARATOR.split(group.attributes.get(key, "")):
            if not word:
                continue
            word = unquote(word.replace('\\"', '"'))
            found = [word] if word in ids else buses.get(word) or _expand(word, library, group.at)
            missing = [n for n in found if n not in ids]
            if missing:
                library.fault(f'{key} "{missing[0]}" is no pin of its cell', group.at, did_you_mean(missing[0], ids))
                continue
            if key == "related_pin" and len(found) == width > 1 and bit >= 0:
                found = [found[bit]]
            names.extend(found)
    return names


def _floats(texts: Iterable[str], library: _Library, at: int, what: str) -> np.ndarray:
    words = " ".join(texts).replace(",", " ").split()
    try:
        values = np.array([float(w) for w in words])
    except ValueError:
        values = np.array([math.nan])
    if not np.isfinite(values).all():
        library.fault(f"{what} holds something that is not a number", at)
        return np.zeros(0)
    return values


def _table(group: Group, library: _Library) -> tuple[list[np.ndarray], np.ndarray] | None:
    """Axes (transition, load or constrained transition, other) and values of a table, in ns and fF."""
    name = group.args[0] if group.args else ""
    template = library.templates.get(name)
    axes: list[np.ndarray] = []
    variables: list[str] = []
    if name != "scalar" and template is None:
        library.fault(f'template "{name}" is not defined', group.at, did_you_mean(name, library.templates))
        return None
    for i in (1, 2, 3) if template else ():
        variable = template.attributes.get(f"variable_{i}") if template else None
        if variable is None:
            break
        texts = group.complex.get(f"index_{i}") or template.complex.get(f"index_{i}", []) if template else []
        axes.append(_floats(texts, library, group.at, f"index_{i}"))
        variables.append(variable)
    values = _floats(group.complex.get("values", []), library, group.at, f"values of {group.name}")
    if len(values) != math.prod(len(axis) for axis in axes):
        shape = " x ".join(str(len(axis)) for axis in axes) or "1"
        library.fault(f"{group.title} has {len(values)} values, its axes ask for {shape}", group.at)
        return None
    for axis, variable in zip(axes, variables, strict=True):
        if len(axis) > 1 and not (np.diff(axis) > 0).all():
            library.fault(f"{group.title}: {variable} does not rise", group.at, "Sort its index.")
            return None
    return _in_order(axes, variables, values, library)


def _in_order(
    axes: list[np.ndarray], variables: list[str], values: np.ndarray, library: _Library
) -> tuple[list[np.ndarray], np.ndarray]:
    """Turn a table to the layout of this module and convert its units."""
    places: list[int | None] = [None, None, None]
    for i, variable in enumerate(variables):
        wanted = 0 if variable in _SLEW_AXIS else 1 if variable in _LOAD_AXIS else 2
        if places[wanted] is not None:
            wanted = places.index(None)
        places[wanted] = i
    shaped = values.reshape([len(axis) for axis in axes])
    shaped = shaped.transpose([p for p in places if p is not None])
    out: list[np.ndarray] = []
    for place in places:
        if place is None:
            out.append(np.zeros(0))
            continue
        variable = variables[place]
        scale = library.cap_ff if variable in _CAP_AXES | _CAP_AXES_3 else library.time_ns
        out.append(axes[place] * (scale if variable in _SLEW_AXIS | _LOAD_AXIS | _CAP_AXES_3 else 1.0))
    return out, shaped.reshape([max(1, len(axis)) for axis in out]) * library.time_ns


def _function_class(
    cell: Group,
    pins: dict[str, _Pin],
    directions: list[int],
    is_macro: bool,
    is_gate: bool,
    is_latch: bool,
    is_sequential: bool,
) -> str:
    """The class of a cell by what it computes, never by its name."""
    if is_macro or is_gate:
        return "macro" if is_macro else "clock_gate"
    outputs = [p for p, d in zip(pins.values(), directions, strict=True) if d in (1, 2)]
    if not outputs:
        return "physical"
    if is_sequential:
        if cell.of("ff", "ff_bank"):
            return "scan_flip_flop" if cell.of("test_cell") else "flip_flop"
        return "latch" if is_latch else "sequential"
    if any("three_state" in p.attributes for p in outputs):
        return "tristate"
    if any(not p.attributes.get("function") for p in outputs):
        return "unknown"
    inputs = [p.name for p, d in zip(pins.values(), directions, strict=True) if d in (0, 2)]
    try:
        tables = [truth_table(p.attributes["function"], inputs) for p in outputs]
    except ValueError:
        return "other"
    if is_adder(tables, len(inputs)):
        return "adder"
    kinds = {classify(table, len(inputs)) for table in tables}
    kind = kinds.pop()
    return kind if not kinds and (len(tables) == 1 or kind == "tie") else "other"
