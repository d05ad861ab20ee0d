"""The tables of an export folder: insts and nets, on request pins, gcells and masters; and the placement's areas."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Int64, Shaped

from circuit_io.design import INPUT, Design
from circuit_io.edge_maps import area_maps
from circuit_io.fields import GCELL_FEATURES, names
from circuit_io.gcells import GcellGrid
from circuit_io.geometry import ORIENTS
from circuit_io.graph import CircuitGraph
from circuit_io.labels import Labels
from circuit_io.liberty import FUNCTION_CLASSES
from circuit_io.names import Names
from circuit_io.nodes import Nodes, drivers
from circuit_io.pin_places import net_hpwl_um, pin_places_dbu

USES = ("SIGNAL", "POWER", "GROUND", "CLOCK", "OTHER")
STATUS = ("UNPLACED", "PLACED", "FIXED", "COVER")
DIRECTIONS = ("INPUT", "OUTPUT", "INOUT", "FEEDTHRU")
EDGE_LABELS = ("congestion_h", "congestion_v", "overflow_h", "overflow_v")


def areas(design: Design, grid: GcellGrid) -> dict[str, float]:
    """Areas in um^2: the core, what is fixed and movable in it, what is free, and power grid where layers are known."""
    um2 = 1.0 / design.dbu_per_um**2
    movable, fixed = area_maps(design, grid, core_only=True)
    tile = np.diff(grid.y_dbu())[:, None] * np.diff(grid.x_dbu())[None, :] * um2
    x1, y1, x2, y2 = design.core_dbu
    core = (x2 - x1) * (y2 - y1) * um2
    moving, still = float((movable * tile).sum()), float((fixed * tile).sum())
    found = {"core_area_um2": core, "movable_area_um2": moving, "fixed_area_um2": still,
             "free_area_um2": max(0.0, core - moving - still)}  # fmt: skip
    if grid.layers:
        found["power_grid_area_um2"] = _fixed_wires_dbu2(design, grid) * um2
    return found


def _fixed_wires_dbu2(design: Design, grid: GcellGrid) -> float:
    """Area of power grid and routing blockages on the signal layers, overlaps as often as they are drawn."""
    low, high = grid.signal
    x1, y1, x2, y2 = design.die_dbu
    total = 0.0
    for level, rect in design.obstacles.fixed.items():
        if low <= level <= high:
            inside = np.clip(rect, (x1, y1, x1, y1), (x2, y2, x2, y2)).astype(np.float64)
            total += float(((inside[:, 2] - inside[:, 0]) * (inside[:, 3] - inside[:, 1])).sum())
    return total


def inst_table(design: Design, nodes: Nodes) -> pa.Table:
    """Names and places of the graph's insts, ports last."""
    um = 1.0 / design.dbu_per_um
    inst, num_ports = nodes.inst, len(nodes.port)
    rect = nodes.rect_dbu
    master, turn, status = design.inst_master[inst], design.inst_orient[inst], design.inst_status[inst]
    return pa.table(
        {
            "name": pa.concat_arrays([_texts(design.inst_names, inst), _texts(design.port_names, nodes.port)]),
            "master": _words([*design.masters.names.tolist(), ""], np.append(master, np.full(num_ports, -1))),
            "x_um": rect[:, 0] * um,
            "y_um": rect[:, 1] * um,
            "width_um": (rect[:, 2] - rect[:, 0]) * um,
            "height_um": (rect[:, 3] - rect[:, 1]) * um,
            "orient": _words(ORIENTS, np.append(turn, np.zeros(num_ports, int))),
            "status": _words(STATUS, np.append(status, np.full(num_ports, STATUS.index("FIXED")))),
            "is_macro": np.append(design.masters.is_macro[master], np.zeros(num_ports, bool)),
            "is_port": nodes.is_port,
            **_liberty_columns(design, nodes),
        }
    )


def _liberty_columns(design: Design, nodes: Nodes) -> dict[str, pa.Array]:
    """Drive, class of function and summed input capacitance of each inst; null for ports and without Liberty."""
    n = len(design.masters.names)
    drive, caps, classes = np.full(n, np.nan), np.full(n, np.nan), np.full(n, -1)
    liberty = design.liberty
    if liberty is not None:
        known = design.masters.libcell >= 0
        cell = design.masters.libcell[known]
        weights = np.where(liberty.pin_direction == INPUT, liberty.pin_cap_ff, 0.0)  # nan where a pin tells none
        total = np.bincount(liberty.pin_cell, weights=weights, minlength=len(liberty.cell_names))
        drive[known], caps[known], classes[known] = (
            liberty.cell_drive_kohm[cell], total[cell], liberty.cell_function_class[cell],
        )  # fmt: skip
    master = design.inst_master[nodes.inst]
    none = np.full(len(nodes.port), np.nan)
    kinds = [*FUNCTION_CLASSES, None]
    return {
        "drive_kohm": pa.array(np.concatenate([drive[master], none]), from_pandas=True),
        "function_class": _words(kinds, np.append(classes[master], np.full(len(none), -1))),
        "input_cap_ff": pa.array(np.concatenate([caps[master], none]), from_pandas=True),
    }


def net_table(design: Design, box: np.ndarray) -> pa.Table:
    """Names, use, degree and half perimeter of the nets."""
    return pa.table(
        {
            "name": _texts(design.net_names),
            "use": _words(USES, np.minimum(design.net_use, 4)),
            "degree": np.bincount(design.pin_net, minlength=len(design.net_names)),
            "hpwl_um": net_hpwl_um(design),
            "x0": box[:, 0], "y0": box[:, 1], "x1": box[:, 2], "y1": box[:, 3],
            "pin_cap_ff": pa.array(_pin_caps(design), from_pandas=True),
        }
    )  # fmt: skip


def _pin_caps(design: Design) -> np.ndarray:
    """Summed capacitance of the pins of insts that each net drives; nan where Liberty tells it of not all of them."""
    loads = ~drivers(design) & (design.pin_inst >= 0)
    n = len(design.net_names)
    caps = np.bincount(design.pin_net[loads], weights=design.pin_cap_ff[loads].astype(float), minlength=n)
    return np.full(n, np.nan) if design.liberty is None else caps


def pin_table(design: Design, nodes: Nodes, graph: CircuitGraph) -> pa.Table:
    """A row a pin in the graph's order: what it joins, its name, direction, place, gcell and capacitance."""
    centre = (nodes.rect_dbu[:, :2] + nodes.rect_dbu[:, 2:]) // 2
    place = pin_places_dbu(design, centre[nodes.of_pin]) / design.dbu_per_um
    insts = pa.concat_arrays([_texts(design.inst_names, nodes.inst), _texts(design.port_names, nodes.port)])
    return pa.table(
        {
            "net": _texts(design.net_names).take(pa.array(design.pin_net)),
            "inst": insts.take(pa.array(nodes.of_pin)),
            "pin": _texts(design.pin_names).take(pa.array(design.pin_name)),
            "direction": _words([*DIRECTIONS, None], design.pin_direction),
            "is_driver": drivers(design),
            "x_um": place[:, 0],
            "y_um": place[:, 1],
            "gcell": graph.pin_gcell,
            "cap_ff": pa.array(design.pin_cap_ff, from_pandas=True),
        }
    )


def gcell_table(grid: GcellGrid, dbu_per_um: int, graph: CircuitGraph, labels: Labels | None) -> pa.Table:
    """A row a gcell: its place, its features, and the labels of its edges (null where masked)."""
    x, y = grid.x_dbu() / dbu_per_um, grid.y_dbu() / dbu_per_um
    ix, iy = np.tile(np.arange(grid.nx), grid.ny), np.repeat(np.arange(grid.ny), grid.nx)
    columns = {"ix": ix, "iy": iy, "x1_um": x[ix], "y1_um": y[iy], "x2_um": x[ix + 1], "y2_um": y[iy + 1]}
    columns |= {f"feature_{name}": graph.gcell_features[:, i] for i, name in enumerate(names(GCELL_FEATURES))}
    if labels is not None:
        columns |= {name: pa.array(getattr(labels, name).ravel(), from_pandas=True) for name in EDGE_LABELS}
    return pa.table(columns)


def master_table(design: Design) -> pa.Table:
    """A row a master in use; what only Liberty tells is null where it has no such cell."""
    columns = {
        "name": _texts(design.masters.names),
        "is_macro": design.masters.is_macro,
        "is_physical": design.masters.is_physical,
    }
    cell, liberty = design.masters.libcell, design.liberty
    for name in ("is_sequential", "is_buffer", "is_inverter", "area_um2", "leakage_nw", "drive_kohm"):
        source = name if name.startswith("is_") else f"cell_{name}"
        kind = pa.bool_() if name.startswith("is_") else pa.float64()
        values = [] if liberty is None else getattr(liberty, source).tolist()
        columns[name] = pa.array([values[c] if c >= 0 else None for c in cell.tolist()], kind, from_pandas=True)
    return pa.table(columns)


def _words(words: Sequence[str | None], code: Shaped[np.ndarray, " n"]) -> pa.Array:
    """The word of each code; -1 is the last one."""
    return pa.array(words, pa.string()).take(pa.array(np.where(code < 0, len(words) - 1, code).astype(np.int32)))


def _texts(names: Names, rows: Int64[np.ndarray, " rows"] | None = None) -> pa.Array:
    """Names, or some rows of them, as valid UTF-8: bytes that are not are shown as U+FFFD."""
    if names.blob.isascii() and len(names.blob) < 1 << 31:
        offsets = pa.py_buffer(names.offsets.astype(np.int32))
        texts = pa.StringArray.from_buffers(len(names), offsets, pa.py_buffer(names.blob))
    else:
        texts = pa.array([raw.decode("utf-8", "replace") for raw in names.raw_list()], pa.string())
    return texts if rows is None or len(rows) == len(names) else texts.take(pa.array(rows))
