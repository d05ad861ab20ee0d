"""What takes tracks before any net is routed: power pins and obstructions of masters, power grid, blockages."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int32, Int64

from circuit_io.arrays import blocks, expand, numbered
from circuit_io.def_ import DefDesign
from circuit_io.forms import Forms, turned
from circuit_io.gcells import RoutingLayer
from circuit_io.geometry import ORIENTS
from circuit_io.lef import LefLibrary
from circuit_io.pins import GROUND, POWER, levels_of


@dataclass(frozen=True)
class Obstacles:
    """Shapes that take tracks before any net is routed, by routing level: see FastRoute's `findObstructions`.

    Power pins and obstructions of masters by form, and what is fixed on the die: wires of the power grid and
    blockages. Apart from these the vias of the power grid, which the features leave out.
    """

    inst_form: Int32[np.ndarray, " insts"]
    inst_xy_dbu: Int64[np.ndarray, "insts 2"]
    forms: dict[int, Forms] = field(default_factory=dict)
    fixed: dict[int, Int64[np.ndarray, "n 4"]] = field(default_factory=dict)
    vias: dict[int, Int64[np.ndarray, "n 4"]] = field(default_factory=dict)

    def parts(self, level: int, *, vias: bool = False) -> Iterator[Int64[np.ndarray, "n 4"]]:
        """The shapes of one level on the die, some at a time."""
        forms = self.forms.get(level)
        if forms is not None and len(forms.rect_dbu):
            count = forms.count
            for block in blocks(len(self.inst_form)):
                form = self.inst_form[block]
                inst, nth = expand(count[form])
                rect = forms.rect_dbu[forms.ptr[form[inst]] + nth]
                rect += np.tile(self.inst_xy_dbu[block], 2)[inst]
                yield rect
        if level in self.fixed:
            yield self.fixed[level]
        if vias and level in self.vias:
            yield self.vias[level]


def obstacles_of(
    library: LefLibrary,
    placed: DefDesign,
    macro: Int64[np.ndarray, " masters"],
    size_dbu: Int64[np.ndarray, "masters 2"],
    xy_dbu: Int64[np.ndarray, "insts 2"],
    layers: tuple[RoutingLayer, ...],
) -> Obstacles:
    """Power pins and obstructions of the masters, power grid and blockages."""
    use = library.mterm_use[library.shape_mterm]
    supply = (use == POWER) | (use == GROUND)
    owner = np.concatenate([library.mterm_macro[library.shape_mterm[supply]], library.obs_macro]).astype(np.int64)
    layer = np.concatenate([library.shape_layer[supply], library.obs_layer])
    local = np.concatenate([library.shape_rect_um[supply], library.obs_rect_um]).reshape(-1, 4)
    local = local + np.tile(library.macro_origin_um[owner], (1, 2))
    local_dbu = np.rint(local * placed.dbu_per_um).astype(np.int64)
    level, turns = library.routing_level[layer], len(ORIENTS)
    used, form = numbered(placed.inst_master.astype(np.int64) * turns + placed.inst_orient, len(macro) * turns)
    wire_level = levels_of(library, placed.layer_names)
    solid_level = _blockage_level(placed, wire_level)
    via_rect, via_level = _vias(placed, wire_level)
    out = Obstacles(form, xy_dbu)
    for routing in layers:
        mine = np.flatnonzero(level == routing.level)
        mine = mine[np.argsort(owner[mine], kind="stable")]
        at = [np.searchsorted(owner[mine], macro, side=side) for side in ("left", "right")]
        of_master, nth = expand(at[1] - at[0])
        ptr = np.concatenate([[0], np.cumsum(at[1] - at[0])])
        rect = local_dbu[mine[at[0][of_master] + nth]]
        out.forms[routing.level] = turned(ptr, rect, size_dbu, used // turns, used % turns)
        wires = placed.swire_rect_dbu[wire_level[placed.swire_layer] == routing.level]
        solid = placed.blockage_rect_dbu[solid_level == routing.level]
        out.fixed[routing.level] = np.concatenate([wires.reshape(-1, 4), solid.reshape(-1, 4)])
        out.vias[routing.level] = via_rect[via_level == routing.level]
    return out


def _vias(
    placed: DefDesign, levels: Int32[np.ndarray, " layers"]
) -> tuple[Int64[np.ndarray, "n 4"], Int64[np.ndarray, " n"]]:
    """The shapes of the power grid's vias on the die, of those that the DEF defines, and their routing levels."""
    order = np.argsort(placed.via_shape_via, kind="stable")
    at = [np.searchsorted(placed.via_shape_via[order], placed.svia_via, side=side) for side in ("left", "right")]
    via, nth = expand(at[1] - at[0])
    shape = order[at[0][via] + nth]
    rect = placed.via_shape_rect_dbu[shape] + np.tile(placed.svia_xy_dbu[via], (1, 2))
    level = levels[placed.via_shape_layer[shape]].astype(np.int64) if len(shape) else np.zeros(0, np.int64)
    return rect.reshape(-1, 4), level


def _blockage_level(placed: DefDesign, levels: Int32[np.ndarray, " layers"]) -> Int64[np.ndarray, " blockages"]:
    """Routing level of each DEF blockage, 0 for placement blockages."""
    at = placed.blockage_layer.astype(np.int64)
    return np.where(at >= 0, levels[np.maximum(at, 0)] if len(levels) else 0, 0).astype(np.int64)
