"""The tables of an export folder: insts and nets, on request pins, gcells and masters; and the placement's areas."""

import numpy as np
import pyarrow as pa

from circuit_io.design import Design
from circuit_io.edge_maps import area_maps
from circuit_io.features import Nodes, drivers, net_hpwl_um, pin_places_dbu
from circuit_io.fields import GCELL_FEATURES, names
from circuit_io.gcells import GcellGrid
from circuit_io.geometry import ORIENTS
from circuit_io.graph import CircuitGraph
from circuit_io.labels import Labels

USES = ("SIGNAL", "POWER", "GROUND", "CLOCK", "OTHER")
STATUS = ("UNPLACED", "PLACED", "FIXED", "COVER")
DIRECTIONS = ("INPUT", "OUTPUT", "INOUT", "FEEDTHRU")
EDGE_LABELS = ("congestion_h", "congestion_v", "overflow_h", "overflow_v")


def areas(design: Design, grid: GcellGrid) -> dict[str, float]:
    """Areas in um^2: the core, what is fixed and movable in it, and what is free."""
    um2 = 1.0 / design.dbu_per_um**2
    movable, fixed = area_maps(design, grid)
    tile = np.diff(grid.y_dbu())[:, None] * np.diff(grid.x_dbu())[None, :] * um2
    x1, y1, x2, y2 = design.core_dbu
    core = (x2 - x1) * (y2 - y1) * um2
    moving, still = float((movable * tile).sum()), float((fixed * tile).sum())
    return {"core_area_um2": core, "movable_area_um2": moving, "fixed_area_um2": still,
            "free_area_um2": max(0.0, core - moving - still)}  # fmt: skip


def inst_table(design: Design, nodes: Nodes) -> pa.Table:
    """Names and places of the graph's insts, ports last."""
    um = 1.0 / design.dbu_per_um
    inst, port = nodes.inst, nodes.port
    names = design.inst_names.take(inst.tolist()).tolist() + design.port_names.take(port.tolist()).tolist()
    rect = nodes.rect_dbu
    master = design.masters.names.tolist()
    orient = [ORIENTS[o] for o in design.inst_orient[inst]] + ["N"] * len(port)
    status = [STATUS[s] for s in design.inst_status[inst]] + ["FIXED"] * len(port)
    return pa.table(
        {
            "name": pa.array(_clean(names), pa.string()),
            "master": pa.array([master[m] for m in design.inst_master[inst]] + [""] * len(port), pa.string()),
            "x_um": rect[:, 0] * um,
            "y_um": rect[:, 1] * um,
            "width_um": (rect[:, 2] - rect[:, 0]) * um,
            "height_um": (rect[:, 3] - rect[:, 1]) * um,
            "orient": pa.array(orient, pa.string()),
            "status": pa.array(status, pa.string()),
            "is_macro": np.concatenate([design.masters.is_macro[design.inst_master[inst]], np.zeros(len(port), bool)]),
            "is_port": nodes.is_port,
        }
    )


def net_table(design: Design, box: np.ndarray) -> pa.Table:
    """Names, use, degree and half perimeter of the nets."""
    return pa.table(
        {
            "name": pa.array(_clean(design.net_names.tolist()), pa.string()),
            "use": pa.array([USES[min(u, 4)] for u in design.net_use], pa.string()),
            "degree": np.bincount(design.pin_net, minlength=len(design.net_names)),
            "hpwl_um": net_hpwl_um(design),
            "x0": box[:, 0], "y0": box[:, 1], "x1": box[:, 2], "y1": box[:, 3],
        }
    )  # fmt: skip


def pin_table(design: Design, nodes: Nodes, graph: CircuitGraph) -> pa.Table:
    """A row a pin in the graph's order: what it joins, its name, direction, place, gcell and capacitance."""
    centre = (nodes.rect_dbu[:, :2] + nodes.rect_dbu[:, 2:]) // 2
    place = pin_places_dbu(design, centre[nodes.of_pin]) / design.dbu_per_um
    insts = design.inst_names.take(nodes.inst.tolist()).tolist() + design.port_names.take(nodes.port.tolist()).tolist()
    direction = pa.array([*DIRECTIONS, None], pa.string()).take(
        pa.array(np.where(design.pin_direction < 0, len(DIRECTIONS), design.pin_direction).astype(np.int64))
    )
    return pa.table(
        {
            "net": pa.array(_clean(design.net_names.tolist()), pa.string()).take(pa.array(design.pin_net)),
            "inst": pa.array(_clean(insts), pa.string()).take(pa.array(nodes.of_pin)),
            "pin": pa.array(_clean(design.pin_names.tolist()), pa.string()).take(pa.array(design.pin_name)),
            "direction": direction,
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
        "name": pa.array(_clean(design.masters.names.tolist()), pa.string()),
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


def _clean(texts: list[str]) -> list[str]:
    """Names as valid UTF-8: bytes that are not are shown as U+FFFD."""
    return [n.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for n in texts]
