"""Liberty libraries as flat columns: cells, pins, timing arcs and their tables, in ns, fF and nW.

Tables are laid out one way whatever the template says: first axis the input (or related pin's) transition, second axis
the load (or the constrained pin's transition), third axis any other variable. An axis the table does not have is empty.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int16, Int32, Int64

from circuit_io.collector import collector_paused
from circuit_io.errors import Faults, InputError
from circuit_io.liberty_cells import Builder
from circuit_io.liberty_native import scan_natively
from circuit_io.liberty_text import scan, scan_with_liberty_parser
from circuit_io.liberty_tree import Group, Source
from circuit_io.logic import FUNCTION_CLASSES
from circuit_io.names import Names
from circuit_io.text import read_text

__all__ = ["FUNCTION_CLASSES", "PIN_DIRECTIONS", "TABLE_KINDS", "TIMING_SENSES", "Liberty", "Table", "read_liberty"]

PIN_DIRECTIONS = ("input", "output", "inout", "internal")
TIMING_SENSES = ("positive_unate", "negative_unate", "non_unate")
TABLE_KINDS = (
    "cell_rise",
    "cell_fall",
    "rise_transition",
    "fall_transition",
    "rise_constraint",
    "fall_constraint",
    "rise_propagation",
    "fall_propagation",
    "retaining_rise",
    "retaining_fall",
    "retain_rise_slew",
    "retain_fall_slew",
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Table:
    """One delay, transition or constraint table."""

    kind: str
    index_1: Float64[np.ndarray, " n1"]  # input or related-pin transition, ns; empty if the table has no such axis
    index_2: Float64[np.ndarray, " n2"]  # load, fF, or constrained-pin transition, ns; empty if there is none
    index_3: Float64[np.ndarray, " n3"]  # any further variable, in the file's unit
    values_ns: Float64[np.ndarray, "m1 m2 m3"]  # an absent axis has length 1


@dataclass(frozen=True)
class Liberty:
    """All cells of the given files, in the order read."""

    library_names: Names
    library_path: list[str]
    time_unit_ns: Float64[np.ndarray, " libraries"]
    cap_unit_ff: Float64[np.ndarray, " libraries"]
    leakage_unit_nw: Float64[np.ndarray, " libraries"]
    voltage_v: Float64[np.ndarray, " libraries"]  # nom_voltage; nan if absent
    temperature_c: Float64[np.ndarray, " libraries"]
    slew_derate: Float64[np.ndarray, " libraries"]  # slew_derate_from_library; tables are as written, not multiplied
    slew_threshold_frac: Float64[np.ndarray, "libraries 4"]  # lower rise, lower fall, upper rise, upper fall
    delay_threshold_frac: Float64[np.ndarray, "libraries 4"]  # input rise, input fall, output rise, output fall

    cell_names: Names
    cell_library: Int32[np.ndarray, " cells"]
    cell_area_um2: Float64[np.ndarray, " cells"]  # nan if absent
    cell_leakage_nw: Float64[np.ndarray, " cells"]  # nan if absent
    is_sequential: Bool[np.ndarray, " cells"]
    is_latch: Bool[np.ndarray, " cells"]
    is_clock_gate: Bool[np.ndarray, " cells"]
    is_buffer: Bool[np.ndarray, " cells"]
    is_inverter: Bool[np.ndarray, " cells"]
    is_macro: Bool[np.ndarray, " cells"]
    dont_use: Bool[np.ndarray, " cells"]
    cell_function_class: Int16[np.ndarray, " cells"]  # -> FUNCTION_CLASSES
    cell_drive_kohm: Float64[np.ndarray, " cells"]  # steepest delay over load of its arcs; nan without tables

    cell_pin_ptr: Int64[np.ndarray, " cells_plus_1"]
    pin_cell: Int32[np.ndarray, " pins"]
    pin_names: Names  # bits of a bus as D[3]
    pin_direction: Int8[np.ndarray, " pins"]  # -> PIN_DIRECTIONS, -1 if absent
    pin_cap_ff: Float64[np.ndarray, " pins"]  # nan if neither given nor a default; 0 for such an output
    pin_max_cap_ff: Float64[np.ndarray, " pins"]  # nan if neither given nor a default
    pin_is_clock: Bool[np.ndarray, " pins"]
    pin_function: list[str]  # "" if none

    arc_cell: Int32[np.ndarray, " arcs"]
    arc_pin: Int32[np.ndarray, " arcs"]
    arc_related: Int32[np.ndarray, " arcs"]  # pin, -1 if the group names none
    arc_type: list[str]  # timing_type, "combinational" if absent
    arc_sense: Int8[np.ndarray, " arcs"]  # -> TIMING_SENSES, -1 if absent
    arc_when: list[str]
    arc_timing: Int32[np.ndarray, " arcs"]  # timing group; arcs of the bits of a bus share one

    timing_table_ptr: Int64[np.ndarray, " timings_plus_1"]
    table_kind: Int8[np.ndarray, " tables"]  # -> TABLE_KINDS
    table_index_1_ptr: Int64[np.ndarray, " tables_plus_1"]
    table_index_1: Float64[np.ndarray, " all_1"]
    table_index_2_ptr: Int64[np.ndarray, " tables_plus_1"]
    table_index_2: Float64[np.ndarray, " all_2"]
    table_index_3_ptr: Int64[np.ndarray, " tables_plus_1"]
    table_index_3: Float64[np.ndarray, " all_3"]
    table_values_ptr: Int64[np.ndarray, " tables_plus_1"]
    table_values_ns: Float64[np.ndarray, " all_values"]

    @property
    def num_cells(self) -> int:
        """Number of cells."""
        return len(self.cell_names)

    def table(self, i: int) -> Table:
        """Table `i`, shaped."""
        axes = []
        for ptr, flat in (
            (self.table_index_1_ptr, self.table_index_1),
            (self.table_index_2_ptr, self.table_index_2),
            (self.table_index_3_ptr, self.table_index_3),
        ):
            axes.append(flat[ptr[i] : ptr[i + 1]])
        shape = tuple(max(1, len(axis)) for axis in axes)
        values = self.table_values_ns[self.table_values_ptr[i] : self.table_values_ptr[i + 1]].reshape(shape)
        return Table(TABLE_KINDS[int(self.table_kind[i])], axes[0], axes[1], axes[2], values)


def read_liberty(*paths: Path | str, backend: str = "own") -> Liberty:
    """The cells of one or more Liberty files (plain or gzip), in ns, fF and nW.

    Passed over: power, current-source models, waveforms, the variation tables of LVF (`ocv_*`) and linear delay models
    (`intrinsic_rise`, `rise_resistance` ..); the arc of a linear model is there, without a table.

    Args:
        paths: one corner's files; a cell given twice with the same text counts once.
        backend: "own", or "liberty-parser" for that optional GPL-3 package; the columns are the same.

    Raises:
        InputError: not Liberty, cut short, or a cell given twice with different text.
    """
    backends = {"own": _scan, "liberty-parser": scan_with_liberty_parser}
    if backend not in backends:
        raise InputError(f'no Liberty backend "{backend}"', mend="Known: " + ", ".join(backends))
    if not paths:
        raise InputError("no Liberty file given", mend="Pass at least one .lib file.")
    builder = Builder(TABLE_KINDS, PIN_DIRECTIONS, TIMING_SENSES)
    with collector_paused():
        for path in paths:
            _add_file(builder, path, backends[backend])
    return Liberty(**builder.columns())


def _add_file(
    builder: Builder, path: Path | str, scanner: Callable[[bytes, Faults], tuple[list[Group], Source]]
) -> None:
    faults = Faults(path)
    text = read_text(path, "Give a Liberty file in ASCII or UTF-8, plain or gzip.", may_be_empty=True)
    libraries, source = scanner(text, faults)
    faults.raise_if_any()
    if not libraries:
        raise InputError("holds no library", path=path, mend="Give a Liberty (.lib) file.")
    for library in libraries:
        builder.add_library(library, str(path), source)
    faults.raise_if_any()


def _scan(text: bytes, faults: Faults) -> tuple[list[Group], Source]:
    """Our own scanners: the one in C where it is built and the text is plain, else the one in Python."""
    return scan_natively(text, faults) or scan(text, faults)
