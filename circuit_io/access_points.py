"""Where the detailed router reaches the pins of masters; after `pin_access` the global router goes there, too.

Without it a pin lies for the router where its shape has its middle. The point that is preferred follows from master,
orientation and pin, so that the table of one routed design serves the others of its library.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from circuit_io.arrays import expand
from circuit_io.design import Design
from circuit_io.errors import Faults, InputError
from circuit_io.forms import PinForms
from circuit_io.geometry import ORIENTS
from circuit_io.text import read_bytes

FILE = "access_points.csv"  # among labels that were routed after pin_access
COLUMNS = ("master", "orient", "pin", "x_um", "y_um", "layer")
_OF_OPENROAD = dict(zip(("R0", "R180", "R90", "R270", "MY", "MX", "MXR90", "MYR90"), ORIENTS, strict=True))
_MEND = "Make it with gsr access-points, or gsr_access_points in OpenROAD after pin_access."


@dataclass(frozen=True)
class AccessPoints:
    """By master, orientation (of `ORIENTS`) and pin: the point from the inst's lower left corner, um, and its layer."""

    path: Path
    points: dict[tuple[str, str, str], tuple[float, float, str]]


def read_access_points(path: Path) -> AccessPoints:
    """The table that `gsr_access_points` wrote.

    Raises:
        InputError: other columns, no numbers, an unknown orientation, or two points for one pin.
    """
    kinds = {name: pa.float64() if name.endswith("_um") else pa.string() for name in COLUMNS}
    try:
        table = csv.read_csv(pa.py_buffer(read_bytes(path)), convert_options=csv.ConvertOptions(column_types=kinds))
        names = tuple(table.column_names)
    except (pa.ArrowInvalid, UnicodeDecodeError) as e:
        raise InputError(f"is no table: {e}", path=path, mend=_MEND) from e
    if names != COLUMNS:
        raise InputError(f"has the columns {','.join(names)[:80]}", path=path, mend=_MEND)
    points: dict[tuple[str, str, str], tuple[float, float, str]] = {}
    faults = Faults(path)
    for row, (master, orient, pin, x, y, layer) in enumerate(zip(*table.to_pydict().values(), strict=True), start=2):
        key = (master, _OF_OPENROAD.get(orient, ""), pin)
        if x is None or y is None or not np.isfinite([x, y]).all() or not key[1]:
            faults.add(f"{orient} {x} {y} is no orientation and point", line=row, mend=_MEND)
        elif points.setdefault(key, (x, y, layer)) != (x, y, layer):
            faults.add(f"pin {pin} of {master} in {orient} has a second point", line=row, mend="One line a pin.")
    faults.raise_if_any()
    return AccessPoints(path, points)


def with_access_points(design: Design, access: AccessPoints) -> tuple[Design, dict[str, Any]]:
    """The design with pins of insts where the table has them; others stay. And what the manifest tells.

    Raises:
        InputError: the table knows no pin of this design, a layer that it has not, or a point far from its inst.
    """
    forms, levels = design.forms, {layer.name: layer.level for layer in design.layers}
    of_inst = np.flatnonzero(design.pin_inst >= 0)
    used, first, uses = np.unique(design.pin_form[of_inst], return_index=True, return_counts=True)
    at: dict[int, tuple[float, float, str]] = {}
    reached = 0
    for form, pin, count in zip(used.tolist(), of_inst[first].tolist(), uses.tolist(), strict=True):
        inst = int(design.pin_inst[pin])
        master = str(design.masters.names[int(design.inst_master[inst])])
        key = (master, ORIENTS[int(design.inst_orient[inst])], str(design.pin_names[int(design.pin_name[pin])]))
        if key not in access.points:
            continue
        at[form], reached = access.points[key], reached + count
        low, high = design.inst_rect_dbu[inst, :2], design.inst_rect_dbu[inst, 2:]
        point = np.array(at[form][:2]) * design.dbu_per_um
        if (point < -design.row_height_dbu).any() or (point > high - low + design.row_height_dbu).any():
            what = f"pin {key[2]} of {master} in {key[1]} lies outside of its inst"
            raise InputError(what, path=access.path, mend="Give a table of the design's library.")
    if not at:
        raise InputError("knows no pin of this design", path=access.path, mend="Give a table of the design's library.")
    lost = sorted({layer for _, _, layer in at.values()} - set(levels))
    if lost:
        raise InputError(f'layer "{lost[0]}" is none of the design', path=access.path, mend=_MEND)
    is_known = np.zeros(len(forms.level), bool)
    is_known[list(at)] = True
    count = np.where(is_known, 1, forms.count)
    ptr = np.concatenate([[0], np.cumsum(count)])
    rect, level = np.empty((ptr[-1], 4), np.int64), forms.level.copy()
    form, nth = expand(np.where(is_known, 0, forms.count))
    rect[ptr[form] + nth] = forms.rect_dbu[forms.ptr[form] + nth]
    for known, (x, y, layer) in at.items():
        point = np.rint(np.array([x, y]) * design.dbu_per_um).astype(np.int64)
        rect[ptr[known]], level[known] = np.tile(point, 2), levels[layer]
    share = reached / max(len(of_inst), 1)
    return replace(design, forms=PinForms(ptr, rect, level)), {"access_points": {"pins_frac": round(share, 6)}}
