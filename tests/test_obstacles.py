"""What takes tracks before routing, against the shapes of every inst placed one by one."""

from pathlib import Path

import numpy as np

from circuit_io.def_ import read_def
from circuit_io.design import read_design
from circuit_io.geometry import place_rects
from circuit_io.lef import read_lef
from circuit_io.pins import GROUND, POWER


def test_power_pins_and_obstructions_lie_where_their_insts_are(kit: Path) -> None:
    lef = [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]
    design = read_design(lef, kit / "labels" / "gsr45" / "dma_buffer" / "v0" / "placed.def.gz")
    library = read_lef(*lef)
    assert design.masters.is_macro[design.inst_master].any()
    assert len(set(design.inst_orient.tolist())) > 2
    use = library.mterm_use[library.shape_mterm]
    supply = (use == POWER) | (use == GROUND)
    owner = np.concatenate([library.mterm_macro[library.shape_mterm[supply]], library.obs_macro])
    layer = np.concatenate([library.shape_layer[supply], library.obs_layer])
    local = np.concatenate([library.shape_rect_um[supply], library.obs_rect_um])
    local = np.rint((local + np.tile(library.macro_origin_um[owner], 2)) * design.dbu_per_um).astype(np.int64)
    size = np.rint(library.macro_size_um * design.dbu_per_um).astype(np.int64)
    num_shapes = 0
    for level in {k.level for k in design.layers}:
        wanted = [rect.tolist() for rect in design.obstacles.fixed[level]]
        for inst, master in enumerate(design.inst_master.tolist()):
            macro = library.macro_names.find(design.masters.names[master])
            mine = np.flatnonzero((owner == macro) & (library.routing_level[layer] == level))
            orient = np.full(len(mine), design.inst_orient[inst], np.int64)
            low = np.tile(design.inst_rect_dbu[inst, :2], (len(mine), 1))
            wanted += place_rects(local[mine], np.tile(size[macro], (len(mine), 1)), orient, low).tolist()
        got = [rect for part in design.obstacles.parts(level) for rect in part.tolist()]
        assert sorted(got) == sorted(wanted)
        num_shapes += len(got)
    assert num_shapes > design.num_insts


def test_vias_of_the_power_grid_lie_where_they_are_placed(kit: Path) -> None:
    lef = [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]
    path = kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz"
    design, placed = read_design(lef, path), read_def(path)
    wanted: dict[str, list[list[int]]] = {}
    for via, (x, y) in zip(placed.svia_via, placed.svia_xy_dbu.tolist(), strict=True):
        for shape in np.flatnonzero(placed.via_shape_via == via):
            name = placed.layer_names[int(placed.via_shape_layer[shape])]
            a, b, c, d = placed.via_shape_rect_dbu[shape].tolist()
            wanted.setdefault(name, []).append([x + a, y + b, x + c, y + d])
    assert len(wanted["M2"]) > 100
    for layer in design.layers:
        before = [rect for part in design.obstacles.parts(layer.level) for rect in part.tolist()]
        got = [rect for part in design.obstacles.parts(layer.level, vias=True) for rect in part.tolist()]
        assert sorted(got) == sorted(before + wanted.get(layer.name, []))
