"""klayout's DEF reader beside ours: places of insts, shapes of ports and of special wires, to the dbu."""

from collections import Counter
from pathlib import Path
from typing import Any

import klayout.db as kdb
import numpy as np

from circuit_io.def_ import DefDesign, read_def
from circuit_io.geometry import place_points
from circuit_io.lef import LefLibrary, read_lef

NAME, PIN, WIRE = 1, 2, 3
POINT_DBU = (170, 50)  # any point without symmetry


def klayout_top(path: Path, lefs: list[Path], dbu_per_um: int) -> tuple[kdb.Layout, kdb.Cell]:
    """The layout that klayout makes of a DEF."""
    options = kdb.LoadLayoutOptions()
    config = options.lefdef_config
    config.dbu = 1 / dbu_per_um
    config.read_lef_with_def = False
    config.lef_files = [str(p.resolve()) for p in lefs]  # else they are sought beside the DEF
    config.instance_property_name, config.pin_property_name = NAME, PIN
    config.pins_suffix, config.special_routing_suffix, config.routing_suffix = ".PORT", ".SPECIAL", ".NET"
    config.pins_datatype, config.special_routing_datatype, config.routing_datatype = 21, 22, 23
    layout = kdb.Layout()
    layout.read(str(path), options)
    return layout, layout.top_cell()


def compare(path: Path, lefs: list[Path]) -> tuple[int, int, int]:
    """Numbers of insts, port shapes and special wires found equal; an AssertionError shows the first difference."""
    library, design = read_lef(*lefs), read_def(path)
    layout, top = klayout_top(path, lefs, design.dbu_per_um)
    insts = _compare_insts(library, design, top)
    ports = _boxes(layout, top, ".PORT")
    names = design.layer_names.tolist()
    ours = Counter(
        (names[a], *rect)
        for a, rect in zip(design.bterm_shape_layer.tolist(), design.bterm_shape_rect_dbu.tolist(), strict=True)
    )
    assert ours == ports
    wires = _boxes(layout, top, ".SPECIAL")
    mine = zip(design.swire_layer.tolist(), design.swire_rect_dbu.tolist(), strict=True)
    assert Counter((names[a], *rect) for a, rect in mine) == wires
    return insts, ports.total(), wires.total()


def compare_vias(path: Path, lefs: list[Path]) -> tuple[int, int]:
    """Numbers of vias placed and of metal shapes found equal; for files whose NETS hold no wires."""
    design = read_def(path)
    layout, top = klayout_top(path, lefs, design.dbu_per_um)
    vias = design.via_names.tolist()
    ours = Counter(
        (vias[v], x, y) for v, (x, y) in zip(design.svia_via.tolist(), design.svia_xy_dbu.tolist(), strict=True)
    )
    theirs: Counter[tuple[Any, ...]] = Counter()
    metal: set[tuple[Any, ...]] = set()
    for inst in top.each_inst():
        if inst.property(NAME) is None:
            name = inst.cell.name.removeprefix("VIA_")
            theirs[name, inst.trans.disp.x, inst.trans.disp.y] += 1
            for at in layout.layer_indexes():
                for shape in inst.cell.shapes(at).each():
                    b = shape.bbox()
                    metal.add((name, layout.get_info(at).name, b.left, b.bottom, b.right, b.top))
    assert ours == theirs
    mine = {
        (vias[v], design.layer_names[a], *rect)
        for v, a, rect in zip(
            design.via_shape_via.tolist(),
            design.via_shape_layer.tolist(),
            design.via_shape_rect_dbu.tolist(),
            strict=True,
        )
        if v in set(design.svia_via.tolist())
    }
    metals = set(design.layer_names)  # cuts have no tracks, so no other part of the file names them
    assert mine == {m for m in metal if m[1] in metals}
    return theirs.total(), len(mine)


def _boxes(layout: kdb.Layout, top: kdb.Cell, suffix: str) -> Counter[tuple[Any, ...]]:
    out: Counter[tuple[Any, ...]] = Counter()
    for at in layout.layer_indexes():
        name = layout.get_info(at).name
        if name.endswith(suffix):
            for shape in top.shapes(at).each():
                box = shape.bbox()
                out[name.removesuffix(suffix), box.left, box.bottom, box.right, box.top] += 1
    return out


def _compare_insts(library: LefLibrary, design: DefDesign, top: kdb.Cell) -> int:
    """The place of one point of each placed inst, in LEF coordinates."""
    macro = np.array([library.macro_names.find(m) for m in design.master_names.raw_list()], np.int64)[
        design.inst_master
    ]
    size = np.rint(library.macro_size_um * design.dbu_per_um).astype(np.int64)[macro]
    origin = np.rint(library.macro_origin_um * design.dbu_per_um).astype(np.int64)[macro]
    placed = place_points(POINT_DBU, size, design.inst_orient, design.inst_xy_dbu, origin=origin)
    masters = design.master_names.tolist()
    ours = {
        name.replace("\\", ""): (masters[m], x, y)
        for name, m, status, (x, y) in zip(
            design.inst_names, design.inst_master.tolist(), design.inst_status.tolist(), placed.tolist(), strict=True
        )
        if status
    }
    theirs = {}
    for inst in top.each_inst():
        if name := inst.property(NAME):
            point = inst.trans * kdb.Point(*POINT_DBU)
            theirs[str(name).replace("\\", "")] = (inst.cell.name, point.x, point.y)
    assert ours.keys() == theirs.keys()
    assert {n: (ours[n], theirs[n]) for n in ours if ours[n] != theirs[n]} == {}
    return len(ours)
