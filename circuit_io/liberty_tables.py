"""Liberty tables: own index before the template's, one order of axes, ns and fF.

Tables of one template with the same index texts share a `Layout`: a library has thousands of tables and few of those.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from circuit_io.liberty_tree import Group, TableText
from circuit_io.liberty_units import MAX_NUMBER, Library

_SLEW_AXIS = {"input_net_transition", "input_transition_time", "related_pin_transition"}
_LOAD_AXIS = {"total_output_net_capacitance", "constrained_pin_transition", "output_net_wire_cap", "output_net_pin_cap"}
_CAP_AXES = {"total_output_net_capacitance", "output_net_wire_cap", "output_net_pin_cap"}
_CAP_AXES_3 = {"related_out_total_output_net_capacitance", "equal_or_opposite_output_net_capacitance"}
_NO_TEMPLATE = Group("lu_table_template", ["scalar"], 0)


@dataclass(frozen=True)
class Layout:
    """How the tables of one template with the same axes are laid out."""

    axes: list[np.ndarray]  # transition, load or constrained transition, other; in ns and fF, empty if absent
    written: tuple[int, ...]  # the shape as the file has it
    turn: tuple[int, ...]  # its axes in our order; empty if they are
    count: int
    load_step: float  # from the first to the last load, fF; 0 with fewer than two
    ends: tuple[int, int]  # where the values of those two loads are, at the middle transition

    def in_order(self, values: np.ndarray) -> np.ndarray:
        """Values as written, in our order, flat."""
        return values.reshape(self.written).transpose(self.turn).ravel() if self.turn else values

    def slope(self, values: np.ndarray) -> float:
        """Delay over load (ns / fF) at the middle transition, of values in our order; nan where loads do not rise."""
        if not self.load_step > 0:
            return math.nan
        first, last = self.ends
        step: float = values.item(last) - values.item(first)
        return step / self.load_step


def _floats(texts: Iterable[str], library: Library, at: int, what: str) -> np.ndarray | None:
    """Finite decimal numbers, or a noted fault."""
    text = " ".join(texts).replace(",", " ")
    try:
        values = np.array([float(w) for w in text.split()])
    except ValueError:
        values = np.array([math.nan])
    if "_" in text or not text.isascii() or not (np.abs(values) < MAX_NUMBER).all():
        library.fault(f"{what} holds something that is not a number", at, "Write finite decimal numbers.")
        return None
    return values


def _axis(texts: tuple[str, ...], variable: str, library: Library, table: TableText) -> np.ndarray | None:
    """An index, kept by its text; its fault is noted once."""
    if texts not in library.axes:
        axis = library.axes[texts] = _floats(texts, library, table.at, f"{variable} of {table.title}")
        if axis is not None and len(axis) > 1 and not (np.diff(axis) > 0).all():
            library.fault(f"{variable} of {table.title} does not rise", table.at, "Sort its index.")
    return library.axes[texts]


def read_table(table: TableText, library: Library) -> tuple[Layout, np.ndarray] | None:
    """How a table is laid out, and its values in that order, ns."""
    layout = _layout(table, library)
    if layout is None:
        return None
    values = table.values
    if isinstance(values, list):
        found = _floats(values, library, table.at, f"values of {table.name}")
        if found is None:
            return None
        values = found
    if len(values) != layout.count:
        shape = " x ".join(str(n) for n in layout.written) or "1"
        library.fault(f"{table.title} has {len(values)} values, its axes ask for {shape}", table.at, "Check its index.")
        return None
    values = layout.in_order(values)
    return layout, values if library.time_ns == 1.0 else values * library.time_ns


def _layout(table: TableText, library: Library) -> Layout | None:
    name = table.args[0] if table.args else ""
    if (name, table.indices) in library.layouts:
        return library.layouts[name, table.indices]
    template = library.templates.get(name) or _NO_TEMPLATE
    if name != "scalar" and template is _NO_TEMPLATE:
        library.fault(f'template "{name}" is not defined', table.at, library.near(name, library.templates))
        return None
    axes: list[np.ndarray | None] = []
    variables: list[str] = []
    for i in range(3):
        variable = template.attributes.get(f"variable_{i + 1}")
        if variable is None:
            break
        texts = table.indices[i] or tuple(template.complex.get(f"index_{i + 1}", ()))
        axes.append(_axis(texts, variable, library, table))
        variables.append(variable)
    known = [axis for axis in axes if axis is not None]
    layout = _placed(known, variables, library) if len(known) == len(axes) else None
    library.layouts[name, table.indices] = layout
    return layout


def _placed(axes: list[np.ndarray], variables: list[str], library: Library) -> Layout:
    """Axes in the order and the units of this module."""
    places: list[int | None] = [None, None, None]
    for i, variable in enumerate(variables):
        wanted = 0 if variable in _SLEW_AXIS else 1 if variable in _LOAD_AXIS else 2
        if places[wanted] is not None:
            wanted = places.index(None)
        places[wanted] = i
    out: list[np.ndarray] = []
    for place in places:
        if place is None:
            out.append(np.zeros(0))
            continue
        variable = variables[place]
        scale = library.cap_ff if variable in _CAP_AXES | _CAP_AXES_3 else library.time_ns
        out.append(axes[place] * (scale if variable in _SLEW_AXIS | _LOAD_AXIS | _CAP_AXES_3 else 1.0))
    written = tuple(len(axis) for axis in axes)
    turn = tuple(p for p in places if p is not None)
    step = float(out[1][-1] - out[1][0]) if len(out[1]) > 1 else 0.0
    n1, n2, n3 = (max(1, len(axis)) for axis in out)
    first = n1 // 2 * n2 * n3
    is_turned = turn != tuple(range(len(turn)))
    return Layout(out, written, turn if is_turned else (), math.prod(written), step, (first, first + (n2 - 1) * n3))
