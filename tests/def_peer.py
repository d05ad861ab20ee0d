"""klayout's DEF reader beside ours: places of insts, shapes of ports and of special wires, to the dbu."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import klayout.db as kdb
import numpy as np

from circuit_io.def_ import DefDesign, read_def
from circuit_io.geometry import place_points
from circuit_io.lef import LefLibrary, read_lef
from circuit_io.pins import GROUND, POWER, pins_of
from circuit_io.text import read_bytes

NAME, PIN, WIRE = 1, 2, 3
POINT_DBU = (170, 50)  # any point without symmetry
NOWHERE = (-(2**60), 0)


def klayout_top(path: Path, lefs: list[Path], dbu_per_um: int) -> tuple[kdb.Layout, kdb.Cell]:
    """The layout that klayout makes of a DEF."""
    options = kdb.LoadLayoutOptions()
    config = options.lefdef_config
    config.dbu = 1 / dbu_per_um
    config.read_lef_with_def, config.macro_resolution_mode = False, 1
    config.lef_files = [str(p.resolve()) for p in lefs]  # else they are sought beside the DEF
    config.instance_property_name, config.pin_property_name = NAME, PIN
    config.pins_suffix, config.special_routing_suffix, config.routing_suffix = ".PORT", ".SPECIAL", ".NET"
    config.pins_datatype, config.special_routing_datatype, config.routing_datatype = 21, 22, 23
    layout = kdb.Layout()
    layout.read(str(path), options)
    return layout, layout.top_cell()


def plain_netlist(text: str) -> tuple[dict[str, str], dict[str, list[tuple[str, str]]]]:
    """Masters of insts and connections of nets, one word after the other; for files without odd writing."""
    words = iter(re.sub(r"(?<!\S)#.*", "", text).split())
    masters: dict[str, str] = {}
    nets: dict[str, list[tuple[str, str]]] = {}
    part = ""
    for word in words:
        if word in ("COMPONENTS", "NETS", "PINS", "SPECIALNETS", "VIAS", "BLOCKAGES"):
            part = word
        elif word == "END":
            next(words)
            part = ""
        elif word == "-" and part == "COMPONENTS":
            name = next(words)
            masters[name] = next(words)
        elif word == "-" and part == "NETS":
            pins = nets[next(words)] = []
            for word in words:
                if word != "(":
                    break
                pins.append((next(words), next(words)))
                next(words)
    return masters, nets


def compare_netlist(path: Path) -> int:
    """The number of connections found equal to those of a plain reader."""
    masters, nets = plain_netlist(read_bytes(path).decode("utf-8", "surrogateescape"))
    design = read_def(path)
    kinds = design.master_names.tolist()
    assert dict(zip(design.inst_names, (kinds[m] for m in design.inst_master.tolist()), strict=True)) == masters
    insts, pins = [*design.inst_names.tolist(), "PIN"], design.pin_names.tolist()
    flat = [(insts[i], pins[p]) for i, p in zip(design.conn_inst.tolist(), design.conn_pin.tolist(), strict=True)]
    ptr = design.net_ptr.tolist()
    assert {n: flat[ptr[i] : ptr[i + 1]] for i, n in enumerate(design.net_names)} == nets
    return len(flat)


def stand_in(design: DefDesign) -> str:
    """A LEF with all masters, pins and layers that a design names, their sizes made up: enough to turn and to place."""
    pins: dict[int, set[str]] = {}
    names = design.pin_names.tolist()
    for inst, pin in zip(design.conn_inst.tolist(), design.conn_pin.tolist(), strict=True):
        if inst >= 0:
            pins.setdefault(int(design.inst_master[inst]), set()).add(names[pin])
    text = f"VERSION 5.8 ;\nUNITS DATABASE MICRONS {design.dbu_per_um} ; END UNITS\n"
    for layer in [*design.layer_names, "stand_in"]:
        text += f"LAYER {layer} TYPE ROUTING ; DIRECTION HORIZONTAL ; PITCH 1 ; WIDTH 0.1 ; END {layer}\n"
    for i, master in enumerate(design.master_names):
        text += f"MACRO {master} CLASS CORE ; ORIGIN {i % 3} {i % 5} ; SIZE {2 + i % 7} BY {3 + i % 11} ;\n"
        for k, pin in enumerate(sorted(pins.get(i, ()))):
            text += f"PIN {pin} PORT LAYER stand_in ; RECT {k % 2} {k % 3} {k % 2 + 1} {k % 3 + 1} ; END END {pin}\n"
        text += f"END {master}\n"
    return text + "END LIBRARY\n"


def lefs_of(path: Path) -> list[Path]:
    """LEF files of a DEF below `<set>/<tech>/`: those of `pdk/<tech>/lef`, technology first, and those beside it."""
    for folder in path.resolve().parents:
        lefs = folder.parent.parent / "pdk" / folder.name / "lef"
        if lefs.is_dir():
            found = [p for p in sorted(lefs.iterdir()) if re.search(r"\.t?lef(\.gz)?$", p.name)]
            found.sort(key=lambda p: "tech" not in p.name and ".tlef" not in p.name)
            return found + sorted(path.parent.glob("*.lef.gz"))
    return []


def agree(path: Path, scratch: Path) -> None:
    """Any DEF: its netlist with a plain reader, places, ports and wires with klayout and its own or a made-up LEF."""
    if not (lefs := lefs_of(path)):
        lefs = [scratch / "stand_in.lef"]
        lefs[0].write_text(stand_in(read_def(path)), errors="surrogateescape")
    compare_netlist(path)
    compare(path, lefs)


@dataclass(frozen=True)
class Equal:
    """How many of each were found equal."""

    insts: int
    iterms: int
    ports: int
    wires: int


def compare(path: Path, lefs: list[Path]) -> Equal:
    """What was found equal; an AssertionError shows the first difference."""
    library, design = read_lef(*lefs), read_def(path)
    layout, top = klayout_top(path, lefs, design.dbu_per_um)
    placed = _placed(top)
    insts = _compare_insts(library, design, placed)
    iterms = _compare_iterms(library, design, layout, placed)
    ports = _boxes(layout, top, ".PORT")
    names = design.layer_names.tolist()
    ours = Counter(
        (names[a], *rect)
        for a, rect in zip(design.bterm_shape_layer.tolist(), design.bterm_shape_rect_dbu.tolist(), strict=True)
        if rect[0] < rect[2] and rect[1] < rect[3]  # klayout makes nothing of shapes without area
    )
    assert ours == ports
    wires = _boxes(layout, top, ".SPECIAL")
    mine = zip(design.swire_layer.tolist(), design.swire_rect_dbu.tolist(), strict=True)
    assert Counter((names[a], *r) for a, r in mine if r[0] < r[2] and r[1] < r[3]) == wires
    return Equal(insts, iterms, ports.total(), wires.total())


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
                if box.left < box.right and box.bottom < box.top:
                    out[name.removesuffix(suffix), box.left, box.bottom, box.right, box.top] += 1
    return out


def _placed(top: kdb.Cell) -> dict[str, kdb.Instance]:
    """Insts of a layout by their names without backslashes."""
    return {str(name).replace("\\", ""): inst for inst in top.each_inst() if (name := inst.property(NAME))}


def _macros(library: LefLibrary, design: DefDesign) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The macro of each master."""
    return np.array([library.macro_names.find(m) for m in design.master_names.raw_list()], np.int64)


def _compare_insts(library: LefLibrary, design: DefDesign, theirs: dict[str, kdb.Instance]) -> int:
    """The place of one point of each placed inst, in LEF coordinates."""
    macro = _macros(library, design)[design.inst_master]
    size = np.rint(library.macro_size_um * design.dbu_per_um).astype(np.int64)[macro]
    origin = np.rint(library.macro_origin_um * design.dbu_per_um).astype(np.int64)[macro]
    placed = place_points(POINT_DBU, size, design.inst_orient, design.inst_xy_dbu, origin=origin)
    masters = design.master_names.tolist()
    names = [n.replace("\\", "") for n in design.inst_names]
    assert {n for n, status in zip(names, design.inst_status.tolist(), strict=True) if status} == theirs.keys()
    for name, m, (x, y) in zip(names, design.inst_master.tolist(), placed.tolist(), strict=True):
        if inst := theirs.get(name):
            point = inst.trans * kdb.Point(*POINT_DBU)
            assert (masters[m], x, y) == (inst.cell.name, point.x, point.y), name
    return len(theirs)


def _compare_iterms(library: LefLibrary, design: DefDesign, layout: kdb.Layout, theirs: dict[str, kdb.Instance]) -> int:
    """Twice the centre of every iterm on a signal net, as the graph has it: the box of its shapes on its top layer."""
    pins = pins_of(library, design, _macros(library, design), None, np.full(len(design.master_names), -1, np.int32))
    form, at = pins["pin_form"], pins["pin_inst"] >= 0
    twice = pins["forms"].box_dbu()[form].reshape(-1, 2, 2).sum(axis=1)
    at &= pins["forms"].has_shape()[form]
    at[at] = design.inst_status[pins["pin_inst"][at]] > 0
    inst = pins["pin_inst"][at]
    ours = np.column_stack([pins["pin_net"][at], inst, twice[at] + 2 * design.inst_xy_dbu[inst]])

    net, inst, pin = (
        np.repeat(np.arange(len(design.net_names)), np.diff(design.net_ptr)),
        design.conn_inst,
        design.conn_pin,
    )
    at = (inst >= 0) & ~np.isin(design.net_use[net], (POWER, GROUND))
    at[at] = design.inst_status[inst[at]] > 0
    net, inst, pin = net[at], inst[at].astype(np.int64), pin[at].astype(np.int64)
    centre, turn = _pin_centres(library, layout), _turns(design, theirs)
    key, back = np.unique(design.inst_master[inst] * len(design.pin_names) + pin, return_inverse=True)
    masters, names = design.master_names.tolist(), design.pin_names.tolist()
    point = np.array(
        [centre.get((masters[k // len(names)], names[k % len(names)]), NOWHERE) for k in key.tolist()], np.int64
    )
    point = point.reshape(-1, 2)[back]
    at = point[:, 0] != NOWHERE[0]
    angle, mirror, shift = turn[inst[at], 0], turn[inst[at], 1], turn[inst[at], 2:]
    x, y = point[at, 0], point[at, 1] * (1 - 2 * mirror)
    quarter = [
        np.select([angle == 0, angle == 1, angle == 2], [x, -y, -x], y),
        np.select([angle == 0, angle == 1, angle == 2], [y, x, -y], -x),
    ]
    found = np.column_stack([net[at], inst[at], np.column_stack(quarter) + 2 * shift])
    assert len(ours) == len(found)
    ours, found = ours[np.lexsort(ours.T)], found[np.lexsort(found.T)]
    differ = np.flatnonzero((ours != found).any(axis=1))
    assert not len(differ), (len(differ), design.inst_names[int(ours[differ[0], 1])], ours[differ[0]], found[differ[0]])
    return len(ours)


def _pin_centres(library: LefLibrary, layout: kdb.Layout) -> dict[tuple[str, str], tuple[int, int]]:
    """Twice the centre of the box of each pin's shapes on its highest routing layer, in LEF coordinates, in dbu."""
    level = dict(zip(library.layer_names, library.routing_level.tolist(), strict=True))
    top: dict[tuple[str, str], tuple[int, kdb.Box]] = {}
    layers = [
        (level[n], i) for i in layout.layer_indexes() if (n := layout.get_info(i).name.removesuffix(".PIN")) in level
    ]
    for cell in layout.each_cell():
        for height, layer in sorted(layers):
            for shape in cell.shapes(layer).each():
                if height and (name := shape.property(PIN)) is not None:
                    key = (cell.name, str(name))
                    old = top.get(key, (0, kdb.Box()))
                    top[key] = (height, shape.bbox() + old[1] if old[0] == height else shape.bbox())
    return {key: (box.left + box.right, box.bottom + box.top) for key, (_, box) in top.items()}


def _turns(design: DefDesign, theirs: dict[str, kdb.Instance]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Quarter turns, 1 for a mirror at the x axis before them, and the shift of each inst; 0 of those not placed."""
    rows = np.zeros((len(design.inst_names), 4), np.int64)
    for i, name in enumerate(design.inst_names):
        if inst := theirs.get(name.replace("\\", "")):
            t = inst.trans
            rows[i] = t.angle, t.is_mirror(), t.disp.x, t.disp.y
    return rows
