"""What fills each hot spot, worst first: nets, insts, modules and planned actions, for the page and for Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from circuit_io.hotspots import HotSpot
from circuit_io.maps import PlacedDesign, Prediction
from circuit_io.module_shares import ModuleInSpot, SpotModules
from circuit_io.spot_nets import NetInSpot, first_nets, spot_wires
from flow_hooks.feedback.file import Plan

_PLACES = {"x_um", "y_um", "width_um", "height_um"}


@dataclass(frozen=True)
class InstInSpot:
    """An inst whose middle lies in a hot spot: its row, number of pins, area and middle."""

    inst_id: int
    pins: int
    area_um2: float
    middle_um: tuple[float, float]


@dataclass(frozen=True)
class Contents:
    """What fills one hot spot.

    Attributes:
        nets: those with most expected wire in the box, see `circuit_io.spot_nets`.
        num_nets: all that are expected to have wire there.
        insts: those with most pins, the larger first among equals.
        num_insts, inst_area_um2: all whose middle lies in the box.
        modules: see `circuit_io.module_shares`; empty where no module is known.
        actions: rows of the plan whose box meets the hot spot's, or whose inst lies in it.
    """

    nets: tuple[NetInSpot, ...] = ()
    num_nets: int = 0
    insts: tuple[InstInSpot, ...] = ()
    num_insts: int = 0
    inst_area_um2: float = 0.0
    modules: tuple[ModuleInSpot, ...] = ()
    actions: tuple[int, ...] = ()


def spot_contents(
    prediction: Prediction,
    design: PlacedDesign | None,
    spots: Sequence[HotSpot],
    *,
    plan: Plan | None = None,
    top: int = 20,
) -> list[Contents]:
    """For each hot spot its contents, of nets and insts the first `top`; without a design only the actions."""
    if design is None:
        return [Contents(actions=_actions(plan, spot, set())) for spot in spots]
    modules = SpotModules(design)
    insts = _Insts.of(design)
    names = design.insts["name"]
    targeted = {a.target for a in plan.actions if a.target} if plan else set()
    out = []
    for spot, wire_um in zip(spots, spot_wires(prediction, design.graph, spots), strict=True):
        rows = insts.inside(spot) if insts else np.zeros(0, np.int64)
        here = {str(names[int(i)].as_py()) for i in rows} & targeted if targeted else set()
        out.append(
            Contents(
                nets=tuple(first_nets(wire_um, top)),
                num_nets=int(np.count_nonzero(wire_um)),
                insts=insts.ranked(rows, top) if insts else (),
                num_insts=len(rows),
                inst_area_um2=float(insts.area[rows].sum()) if insts else 0.0,
                modules=tuple(modules.ranked(spot, wire_um)),
                actions=_actions(plan, spot, here),
            )
        )
    return out


@dataclass(frozen=True)
class _Insts:
    """Middle, area and number of pins of every inst that is no port."""

    x: Float64[np.ndarray, " insts"]
    y: Float64[np.ndarray, " insts"]
    area: Float64[np.ndarray, " insts"]
    pins: Int64[np.ndarray, " insts"]

    @classmethod
    def of(cls, design: PlacedDesign) -> "_Insts | None":
        """None where the table has no places, or the graph no pins: both are so in some imports."""
        pin_inst = getattr(design.graph, "pin_inst", None)
        table = design.insts
        if pin_inst is None or not set(table.column_names) >= _PLACES:
            return None
        x, y, width, height = (np.asarray(table[c], np.float64) for c in ("x_um", "y_um", "width_um", "height_um"))
        x, y = x + width / 2, y + height / 2
        if "is_port" in table.column_names:
            x = np.where(np.asarray(table["is_port"]), np.nan, x)  # no box holds it
        return cls(x, y, width * height, np.bincount(pin_inst, minlength=len(table)))

    def inside(self, spot: HotSpot) -> Int64[np.ndarray, " k"]:
        x1, y1, x2, y2 = spot.box_um
        return np.flatnonzero((self.x >= x1) & (self.x < x2) & (self.y >= y1) & (self.y < y2))

    def ranked(self, rows: Int64[np.ndarray, " k"], top: int) -> tuple[InstInSpot, ...]:
        best = rows[np.lexsort((rows, -self.area[rows], -self.pins[rows]))][:top]
        return tuple(
            InstInSpot(int(i), int(self.pins[i]), float(self.area[i]), (float(self.x[i]), float(self.y[i])))
            for i in best
        )


def _actions(plan: Plan | None, spot: HotSpot, targets: set[str]) -> tuple[int, ...]:
    x1, y1, x2, y2 = spot.box_um
    return tuple(
        i
        for i, a in enumerate(plan.actions if plan else ())
        if a.target in targets
        or (a.box_um and a.box_um[0] < x2 and a.box_um[2] > x1 and a.box_um[1] < y2 and a.box_um[3] > y1)
    )
