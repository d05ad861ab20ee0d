"""Liberty tables: own index before the template's, one order of axes, ns and fF."""

import math
from collections.abc import Iterable

import numpy as np

from circuit_io.liberty_text import Group
from circuit_io.liberty_units import MAX_NUMBER, Library

_SLEW_AXIS = {"input_net_transition", "input_transition_time", "related_pin_transition"}
_LOAD_AXIS = {"total_output_net_capacitance", "constrained_pin_transition", "output_net_wire_cap", "output_net_pin_cap"}
_CAP_AXES = {"total_output_net_capacitance", "output_net_wire_cap", "output_net_pin_cap"}
_CAP_AXES_3 = {"related_out_total_output_net_capacitance", "equal_or_opposite_output_net_capacitance"}


def _floats(texts: Iterable[str], library: Library, at: int, what: str) -> np.ndarray:
    words = " ".join(texts).replace(",", " ").split()
    try:
        values = np.array([float(w) for w in words])
    except ValueError:
        values = np.array([math.nan])
    if not (np.abs(values) < MAX_NUMBER).all():
        library.fault(f"{what} holds something that is not a number", at, "Write finite decimal numbers.")
        return np.zeros(0)
    return values


def _axis(texts: list[str], variable: str, library: Library, group: Group) -> np.ndarray:
    """An index, kept by its text: a library has thousands of tables and few axes."""
    key = tuple(texts)
    axis = library.axes.get(key)
    if axis is None:
        axis = library.axes[key] = _floats(texts, library, group.at, f"{variable} of {group.title}")
        if len(axis) > 1 and not (np.diff(axis) > 0).all():
            library.fault(f"{variable} of {group.title} does not rise", group.at, "Sort its index.")
    return axis


def read_table(group: Group, library: Library) -> tuple[list[np.ndarray], np.ndarray] | None:
    """Axes (transition, load or constrained transition, other) and values of a table, in ns and fF."""
    name = group.args[0] if group.args else ""
    template = library.templates.get(name)
    axes: list[np.ndarray] = []
    variables: list[str] = []
    if name != "scalar" and template is None:
        library.fault(f'template "{name}" is not defined', group.at, library.near(name, library.templates))
        return None
    for i in (1, 2, 3) if template else ():
        variable = template.attributes.get(f"variable_{i}") if template else None
        if variable is None:
            break
        texts = group.complex.get(f"index_{i}") or template.complex.get(f"index_{i}", []) if template else []
        axes.append(_axis(texts, variable, library, group))
        variables.append(variable)
    values = _floats(group.complex.get("values", []), library, group.at, f"values of {group.name}")
    if len(values) != math.prod(len(axis) for axis in axes):
        shape = " x ".join(str(len(axis)) for axis in axes) or "1"
        library.fault(f"{group.title} has {len(values)} values, its axes ask for {shape}", group.at, "Check its index.")
        return None
    return _in_order(axes, variables, values, library)


def _in_order(
    axes: list[np.ndarray], variables: list[str], values: np.ndarray, library: Library
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
