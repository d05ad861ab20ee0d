"""The tables of an export folder: insts, nets, and the areas of the placement."""

import numpy as np
import pyarrow as pa

from circuit_io.design import Design
from circuit_io.edge_maps import area_maps
from circuit_io.features import Nodes, net_hpwl_um
from circuit_io.gcells import GcellGrid
from circuit_io.geometry import ORIENTS

USES = ("SIGNAL", "POWER", "GROUND", "CLOCK", "OTHER")
STATUS = ("UNPLACED", "PLACED", "FIXED", "COVER")


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


def _clean(names: list[str]) -> list[str]:
    """Names as valid UTF-8: bytes that are not are shown as U+FFFD."""
    return [n.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for n in names]
