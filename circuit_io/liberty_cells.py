"""From a Liberty tree to columns: pins and buses, arcs, tables, units, cell flags."""

import math
from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from circuit_io.liberty_pins import Pin, Related, capacitance_of, pins_of, related_pins, starts_of
from circuit_io.liberty_tables import Layout, read_table
from circuit_io.liberty_tree import Group, Source, TableText
from circuit_io.liberty_units import Library, open_library
from circuit_io.logic import CLASS_ID, classify, is_adder, truth_table
from circuit_io.names import Names

_EDGES = ("rising_edge", "falling_edge", "setup_rising", "setup_falling", "hold_rising", "hold_falling")


class Builder:
    """Gathers columns over libraries."""

    def __init__(self, kinds: Sequence[str], directions: Sequence[str], senses: Sequence[str]) -> None:
        """Start empty; the three lists say which code stands for which word."""
        self.kinds = {k: i for i, k in enumerate(kinds)}
        self.directions = {d: i for i, d in enumerate(directions)}
        self.senses = {s: i for i, s in enumerate(senses)}
        self.rows: defaultdict[str, list[Any]] = defaultdict(list)
        self.cells: dict[str, Callable[[], object]] = {}  # name -> what its group says
        self.tables: list[tuple[Layout, np.ndarray]] = []
        self.table_kind = array("b")
        self.timing_ptr = array("q", [0])
        self.cell_pin_ptr = array("q", [0])

    def put(self, **row: Any) -> None:  # noqa: ANN401
        """Append one value to each named column."""
        for name, value in row.items():
            self.rows[name].append(value)

    def count(self, column: str) -> int:
        """Rows so far."""
        return len(self.rows[column])

    def add_library(self, group: Group, path: str, source: Source) -> None:
        """Add all cells of one library."""
        library = open_library(group, source)
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

    def _add_cell(self, cell: Group, library: Library) -> None:
        if len(cell.args) != 1 or not cell.args[0]:
            library.fault(f"{cell.title} must have one name", cell.at, "Write cell (name) { ... }.")
            return
        name = cell.args[0]
        content = library.source.content(cell)
        if name in self.cells:
            if self.cells[name]() != content():
                mend = "Give the files of one corner and one threshold flavour only."
                library.fault(f'cell "{name}" is defined twice, with different content', cell.at, mend)
            return
        self.cells[name] = content
        pins, buses = pins_of(cell, library)
        first = self.count("pin_cell")
        index = self.count("cell_names")
        ids = {pin: first + i for i, pin in enumerate(pins)}
        drive, clocks = self._add_arcs(pins, buses, ids, index, library)
        for pin in pins.values():
            self._add_pin(pin, index, pin.name in clocks, library)
        self.cell_pin_ptr.append(self.count("pin_cell"))
        self._add_cell_row(cell, pins, drive, library)

    def _add_cell_row(self, cell: Group, pins: dict[str, Pin], drive: float, library: Library) -> None:
        a = cell.attributes
        directions = [self.directions.get(p.attributes.get("direction", "").lower(), -1) for p in pins.values()]
        is_gate = "clock_gating_integrated_cell" in a
        is_latch = bool(cell.of("latch", "latch_bank")) and not is_gate
        is_macro = bool(_flag(a.get("is_macro_cell")) or cell.of("memory") or _flag(a.get("interface_timing")))
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

    def _add_pin(self, pin: Pin, cell: int, is_clock: bool, library: Library) -> None:
        a, at = pin.attributes, pin.at
        word = a.get("direction", "").lower()
        direction = self.directions.get(word, -1)
        if word and direction < 0:
            library.fault(f'pin "{pin.name}" has direction "{word}"', at, library.near(word, self.directions))
        default_cap = {0: "default_input_pin_cap", 1: "default_output_pin_cap", 2: "default_inout_pin_cap"}
        capacitance = capacitance_of(pin, library)
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
        pins: dict[str, Pin],
        buses: dict[str, list[str]],
        ids: dict[str, int],
        cell: int,
        library: Library,
    ) -> tuple[float, set[str]]:
        """Add the arcs of one cell; its steepest delay over load (kohm) and the pins that clock it."""
        timings: dict[int, tuple[int, Related]] = {}
        steepest, clocks = math.nan, set()
        for pin in pins.values():
            for group, bus, bit in pin.timings:
                if id(group) not in timings:
                    timings[id(group)] = (len(self.timing_ptr) - 1, related_pins(group, buses, ids, library))
                    steepest = _steeper(steepest, self._add_tables(group, library))
                timing, words = timings[id(group)]
                related = starts_of(words, len(buses.get(bus, ())), bit)
                library.source.spend(len(related), group.at)
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
        return steepest, clocks

    def _add_tables(self, timing: Group, library: Library) -> float:
        """Add the tables of one timing group; the steepest delay over load, kohm."""
        slope = math.nan
        for group in timing.groups:
            kind = self.kinds.get(group.name)
            if kind is None:
                continue
            table = read_table(group if isinstance(group, TableText) else group.table(), library)
            if table is None:
                continue
            layout, values = table
            self.tables.append(table)
            self.table_kind.append(kind)
            if group.name in ("cell_rise", "cell_fall"):
                slope = _steeper(slope, layout.slope(values) * 1e3)  # ns / fF = 1000 kohm
        self.timing_ptr.append(len(self.table_kind))
        return slope

    def columns(self) -> dict[str, Any]:
        """All columns by the field names of `Liberty`."""
        types = {"f8": _FLOATS, "i4": _INT32, "i1": _INT8, "i2": _INT16, "?": _BOOLS}
        out: dict[str, Any] = {}
        for dtype, names in types.items():
            for name in names:
                out[name] = np.array(self.rows[name], np.dtype(dtype))
        for name in _NAMES:
            out[name] = Names.of(self.rows[name])
        for name in _LISTS:
            out[name] = self.rows[name]
        out["cell_pin_ptr"] = np.array(self.cell_pin_ptr, np.int64)
        out["timing_table_ptr"] = np.array(self.timing_ptr, np.int64)
        out["table_kind"] = np.array(self.table_kind, np.int8)
        axes = [[layout.axes[i] for layout, _ in self.tables] for i in range(3)]
        for name, parts in zip(("index_1", "index_2", "index_3"), axes, strict=True):
            out[f"table_{name}_ptr"], out[f"table_{name}"] = _joined(parts)
        out["table_values_ptr"], out["table_values_ns"] = _joined([values for _, values in self.tables])
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


def _joined(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Where each part starts, and all of them in a row."""
    ptr = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=ptr[1:])
    return ptr, np.concatenate([np.zeros(0), *parts])


def _steeper(a: float, b: float) -> float:
    """The greater of two slopes, nan being none."""
    return b if math.isnan(a) or b > a else a


def _flag(text: str | None) -> bool:
    return text is not None and text.lower() == "true"


def _leakage(cell: Group, library: Library) -> float:
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


def _function_class(
    cell: Group,
    pins: dict[str, Pin],
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
    inputs = tuple(p.name for p, d in zip(pins.values(), directions, strict=True) if d in (0, 2))
    try:
        tables = [truth_table(p.attributes["function"], inputs) for p in outputs]
    except ValueError:
        return "other"
    if is_adder(tables, len(inputs)):
        return "adder"
    kinds = {classify(table, len(inputs)) for table in tables}
    kind = kinds.pop()
    return kind if not kinds and (len(tables) == 1 or kind == "tie") else "other"
