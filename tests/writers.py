"""Columns back to text, as plainly as each format allows: what a reader gives must come back when it is read again."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from circuit_io.codes import NO_NET
from circuit_io.def_ import DefDesign
from circuit_io.geometry import ORIENTS, place_rects
from circuit_io.lef import LefLibrary
from circuit_io.liberty import FUNCTION_CLASSES, PIN_DIRECTIONS, TABLE_KINDS, TIMING_SENSES, Liberty, Table
from circuit_io.spef import Spef
from circuit_io.verilog import Netlist

STATES = ["UNPLACED", "PLACED", "FIXED", "COVER"]
DIRECTIONS = ["INPUT", "OUTPUT", "INOUT", "FEEDTHRU"]
USES = ["SIGNAL", "POWER", "GROUND", "CLOCK", "ANALOG", "RESET"]
UNTURN = np.array([0, 1, 3, 2, 4, 5, 6, 7])  # W undoes E
KINDS = ["ROUTING", "CUT", "MASTERSLICE", "OVERLAP", "IMPLANT"]


def _ranges(ptr: Any) -> list[range]:  # noqa: ANN401
    return [range(a, b) for a, b in pairwise(np.asarray(ptr).tolist())]


def _slices(owner: Any, count: int) -> list[range]:  # noqa: ANN401
    return _ranges(np.searchsorted(owner, np.arange(count + 1)))


def _box(rect: Iterable[int]) -> str:
    x1, y1, x2, y2 = rect
    return f"( {x1} {y1} ) ( {x2} {y2} )"


def _section(name: str, items: Sequence[str]) -> str:
    return f"{name} {len(items)} ;\n" + "".join(f"- {item} ;\n" for item in items) + f"END {name}\n"


def def_text(d: DefDesign) -> str:
    """A DEF of a design; special wires become RECTs, routing of signals one wire."""
    parts = [
        f'VERSION 5.8 ;\nDIVIDERCHAR "{d.divider}" ;\nBUSBITCHARS "{d.busbits}" ;\nDESIGN {d.design} ;\n'
        f"UNITS DISTANCE MICRONS {d.dbu_per_um} ;\n"
    ]
    if len(d.die_points_dbu):
        parts.append("DIEAREA " + " ".join(f"( {x} {y} )" for x, y in d.die_points_dbu.tolist()) + " ;\n")
    for i, name in enumerate(d.row_names):
        (x, y), (nx, ny), (dx, dy) = d.row_xy_dbu[i].tolist(), d.row_count[i].tolist(), d.row_step_dbu[i].tolist()
        site, orient = d.row_site_names[int(d.row_site[i])], ORIENTS[d.row_orient[i]]
        parts.append(f"ROW {name} {site} {x} {y} {orient} DO {nx} BY {ny} STEP {dx} {dy} ;\n")
    layers = d.layer_names.tolist()
    for word, kind in (("TRACKS", "track"), ("GCELLGRID", "gcell")):
        columns = (getattr(d, f"{kind}_{c}").tolist() for c in ("axis", "start", "count", "step"))
        for i, (axis, start, count, step) in enumerate(zip(*columns, strict=True)):
            layer = f" LAYER {layers[d.track_layer[i]]}" if kind == "track" and d.track_layer[i] >= 0 else ""
            parts.append(f"{word} {'XY'[axis]} {start} DO {count} STEP {step}{layer} ;\n")
    parts += _def_areas(d, layers) + _def_netlist(d, layers)
    return "".join([*parts, "END DESIGN\n"])


def _def_areas(d: DefDesign, layers: list[str]) -> list[str]:
    def rects(which: range, layer: Any, rect: Any) -> str:  # noqa: ANN401
        return "".join(f" + RECT {layers[layer[s]]} {_box(rect[s].tolist())}" for s in which)

    vias = [
        d.via_names[i] + rects(r, d.via_shape_layer, d.via_shape_rect_dbu)
        for i, r in enumerate(_slices(d.via_shape_via, len(d.via_names)))
        if len(r)
    ]  # fmt: skip
    regions = [
        f"{name} {' '.join(_box(d.region_rect_dbu[s].tolist()) for s in r)} + TYPE {'FENCE' if fence else 'GUIDE'}"
        for name, fence, r in zip(
            d.region_names,
            d.region_is_fence.tolist(),
            _slices(d.region_rect_region, len(d.region_names)),
            strict=True,
        )
    ]
    groups = [
        name
        + "".join(f" {d.member_patterns[s]}" for s in r)
        + (f" + REGION {d.region_names[int(d.group_region[i])]}" if d.group_region[i] >= 0 else "")
        for i, (name, r) in enumerate(zip(d.group_names, _slices(d.member_group, len(d.group_names)), strict=True))
    ]
    blockages = []
    for i, layer in enumerate(d.blockage_layer.tolist()):
        head = f"LAYER {layers[layer]}" if layer >= 0 else "PLACEMENT"
        head += " + SOFT" if d.blockage_soft[i] else ""
        head += f" + PARTIAL {float(d.blockage_density[i])!r}" if not np.isnan(d.blockage_density[i]) else ""
        blockages.append(f"{head} RECT {_box(d.blockage_rect_dbu[i].tolist())}")
    named = {"VIAS": vias, "REGIONS": regions, "GROUPS": groups, "BLOCKAGES": blockages}
    return [_section(name, items) for name, items in named.items() if items]


def _def_netlist(d: DefDesign, layers: list[str]) -> list[str]:
    insts, masters, pins = d.inst_names.tolist(), d.master_names.tolist(), d.pin_names.tolist()

    def place(status: int, xy: list[int], orient: int) -> str:
        return f" + {STATES[status]} ( {xy[0]} {xy[1]} ) {ORIENTS[orient]}" if status else ""

    def conns(which: range, inst: Any, pin: Any) -> str:  # noqa: ANN401
        owner = {-1: "PIN", -2: "*"}
        pairs = zip(inst[which.start : which.stop].tolist(), pin[which.start : which.stop].tolist(), strict=True)
        return "".join(f" ( {owner.get(i, '') or insts[i]} {pins[p]} )" for i, p in pairs)

    components = [
        f"{name} {masters[d.inst_master[i]]}"
        + place(int(d.inst_status[i]), d.inst_xy_dbu[i].tolist(), int(d.inst_orient[i]))
        for i, name in enumerate(insts)
    ]
    local = place_rects(
        d.bterm_shape_rect_dbu - np.tile(d.bterm_xy_dbu[d.bterm_shape_bterm], (1, 2)), 0,
        UNTURN[d.bterm_orient[d.bterm_shape_bterm]], 0,
    )  # fmt: skip
    ports = []
    for i, (name, r) in enumerate(zip(d.bterm_names, _slices(d.bterm_shape_bterm, len(d.bterm_names)), strict=True)):
        net = int(d.bterm_net[i])
        text = name + (f" + NET {d.net_names[net] if net >= 0 else d.special_names[-1 - net]}" if net != NO_NET else "")
        text += f" + DIRECTION {DIRECTIONS[d.bterm_direction[i]]}" if d.bterm_direction[i] >= 0 else ""
        text += f" + USE {USES[d.bterm_use[i]]}"
        where = place(int(d.bterm_status[i]), d.bterm_xy_dbu[i].tolist(), int(d.bterm_orient[i]))
        for port in dict.fromkeys(d.bterm_shape_port[r.start : r.stop].tolist()):
            mine = (s for s in r if d.bterm_shape_port[s] == port)
            shapes = "".join(f" + LAYER {layers[d.bterm_shape_layer[s]]} {_box(local[s].tolist())}" for s in mine)
            text += f" + PORT{shapes}{where}"
        ports.append(text if len(r) else text + where)
    specials = []
    wires, vias = (_slices(owner, len(d.special_names)) for owner in (d.swire_special, d.svia_special))
    for i, name in enumerate(d.special_names):
        r = range(*d.special_ptr[i : i + 2].tolist())
        text = name + conns(r, d.special_conn_inst, d.special_conn_pin)
        text += f" + USE {USES[d.special_use[i]]}"
        text += "".join(f" + RECT {layers[d.swire_layer[s]]} {_box(d.swire_rect_dbu[s].tolist())}" for s in wires[i])
        placed = ((d.via_names[int(d.svia_via[s])], *d.svia_xy_dbu[s].tolist()) for s in vias[i])
        text += "".join(f" + VIA {via} N ( {x} {y} )" for via, x, y in placed)
        specials.append(text)
    nets = [
        name + conns(range(*d.net_ptr[i : i + 2].tolist()), d.conn_inst, d.conn_pin) + f" + USE {USES[d.net_use[i]]}"
        for i, name in enumerate(d.net_names)
    ]
    if d.has_routing:
        nets[0] += " + ROUTED m ( 0 0 ) ( 1 * )"
    named = {"COMPONENTS": components, "PINS": ports, "SPECIALNETS": specials, "NETS": nets}
    return [_section(name, items) for name, items in named.items()]


def lef_text(lib: LefLibrary) -> str:
    """A LEF of a library; shapes are RECTs."""

    def row(word: str, *values: float) -> str:
        return f" {word} {' '.join(map(repr, map(float, values)))} ;" if not any(map(np.isnan, values)) else ""

    layers = lib.layer_names.tolist()
    parts = ["VERSION 5.8 ;\n"]
    parts += [f"UNITS DATABASE MICRONS {lib.dbu_per_um} ; END UNITS\n"] if lib.dbu_per_um else []
    for i, name in enumerate(layers):
        if (kind := int(lib.layer_kind[i])) >= 0:
            direction = ["", " DIRECTION HORIZONTAL ;", " DIRECTION VERTICAL ;"][lib.layer_direction[i] + 1]
            parts.append(f"LAYER {name} TYPE {KINDS[kind]} ;{direction}{row('PITCH', *lib.layer_pitch_um[i])}"
                         f"{row('OFFSET', *lib.layer_offset_um[i])}{row('WIDTH', lib.layer_width_um[i])}"
                         f"{row('SPACING', lib.layer_spacing_um[i])} END {name}\n")  # fmt: skip
    for i, name in enumerate(lib.site_names):
        kind = f" CLASS {lib.site_class[i]} ;" if lib.site_class[i] else ""
        w, h = lib.site_size_um[i].tolist()
        parts.append(f"SITE {name}{kind} SIZE {w!r} BY {h!r} ; END {name}\n")

    def shapes(which: Iterable[int], layer: Any, rect: Any) -> str:  # noqa: ANN401
        return "".join(f" LAYER {layers[layer[s]]} ;{row('RECT', *rect[s])}" for s in which)

    pin_shapes = _slices(lib.shape_mterm, len(lib.mterm_names))
    obs = _slices(lib.obs_macro, len(lib.macro_names))
    for i, name in enumerate(lib.macro_names):
        w, h = lib.macro_size_um[i].tolist()
        text = f"MACRO {name} SIZE {w!r} BY {h!r} ;{row('ORIGIN', *lib.macro_origin_um[i])}"
        for word, value in (("CLASS", lib.macro_class), ("SITE", lib.macro_site), ("SYMMETRY", lib.macro_symmetry)):
            text += f" {word} {value[i]} ;" if value[i] else ""
        for t in range(*lib.mterm_ptr[i : i + 2].tolist()):
            pin, r = lib.mterm_names[t], pin_shapes[t]
            text += f"\n PIN {pin} USE {USES[lib.mterm_use[t]]} ;"
            text += f" DIRECTION {DIRECTIONS[lib.mterm_direction[t]]} ;" if lib.mterm_direction[t] >= 0 else ""
            for port in range(int(lib.shape_port[r.start : r.stop].max(initial=-1)) + 1):
                mine = (s for s in r if lib.shape_port[s] == port)
                text += f" PORT{shapes(mine, lib.shape_layer, lib.shape_rect_um)} END"
            text += f" END {pin}"
        text += f"\n OBS{shapes(obs[i], lib.obs_layer, lib.obs_rect_um)} END" if len(obs[i]) else ""
        parts.append(f"{text}\nEND {name}\n")
    return "".join([*parts, "END LIBRARY\n"])


def verilog_text(n: Netlist) -> str:
    """One flat module; every name is escaped, so a bit of a bus becomes a name of its own."""

    def name(text: str) -> str:
        return "\\" + text.replace("\\/", "/") + " "

    nets, pins, masters = n.net_names.tolist(), n.pin_names.tolist(), n.master_names.tolist()
    ports = n.port_names.tolist()
    words = ["input", "output", "inout"]
    parts = [f"module {name(n.top)}({', '.join(map(name, ports))});\n"]
    parts += [f"{words[way]} {name(p)};\n" for p, way in zip(ports, n.port_direction.tolist(), strict=True)]
    parts += [f"wire {name(net)};\n" for net in nets if net not in set(ports)] if len(set(nets)) == len(nets) else []
    pins_of: list[list[str]] = [[] for _ in range(n.num_insts)]
    for net, r in enumerate(_ranges(n.net_ptr)):
        for c in r:
            inst, pin = int(n.conn_inst[c]), pins[n.conn_pin[c]]
            if inst >= 0:
                pins_of[inst].append(f".{name(pin)}({name(nets[net])})")
            elif pin != nets[net]:
                parts.append(f"assign {name(pin)}= {name(nets[net])};\n")
    for i, p, value in zip(n.const_inst.tolist(), n.const_pin.tolist(), n.const_value.tolist(), strict=True):
        if i >= 0:
            pins_of[i].append(f".{name(pins[p])}(1'b{value})")
        else:
            parts.append(f"assign {name(pins[p])}= 1'b{value};\n")
    for i, inst in enumerate(n.inst_names.tolist()):
        parts.append(f"{name(masters[n.inst_master[i]])}{name(inst)}({', '.join(pins_of[i])});\n")
    return "".join([*parts, "endmodule\n"])


def spef_text(s: Spef) -> str:
    """A SPEF with one entry for each sum."""
    head = (
        f'*SPEF "IEEE 1481-1998"\n*DESIGN "{s.design}"\n*DIVIDER {s.divider}\n*DELIMITER :\n*BUS_DELIMITER []\n'
        f"*T_UNIT {s.time_unit_ns!r} NS\n*C_UNIT 1 FF\n*R_UNIT 1 OHM\n*L_UNIT 1 HENRY\n"
    )
    parts = [head]
    for i, net in enumerate(s.net_names):
        parts.append(f"\n*D_NET {net} {float(s.net_cap_ff[i])!r}\n*CONN\n")
        for c in range(*s.net_ptr[i : i + 2].tolist()):
            inst, pin, way = int(s.conn_inst[c]), s.pin_names[int(s.conn_pin[c])], "IOB"[s.conn_direction[c]]
            parts.append(f"*P {pin} {way}\n" if inst < 0 else f"*I {s.inst_names[inst]}:{pin} {way}\n")
        if not np.isnan(s.net_ground_ff[i]):
            parts.append(f"*CAP\n1 {net}:1 {float(s.net_ground_ff[i])!r}\n")
            parts.append(f"2 {net}:1 other:1 {float(s.net_coupling_ff[i])!r}\n")
        if not np.isnan(s.net_res_ohm[i]):
            parts.append(f"*RES\n1 {net}:1 {net}:2 {float(s.net_res_ohm[i])!r}\n")
        parts.append("*END\n")
    return "".join(parts)


SLEW_LOAD = ("input_net_transition", "total_output_net_capacitance")
SLEW_SLEW = ("related_pin_transition", "constrained_pin_transition")
TEMPLATES = {"d": SLEW_LOAD, "c": SLEW_SLEW}


def liberty_text(lib: Liberty) -> str:
    """A library in ns, fF and nW; of the states only the group that makes a cell sequential."""
    parts = ['library (l) { time_unit : "1ns"; capacitive_load_unit (1, ff); leakage_power_unit : "1nW";\n']
    for letter, (one, two) in TEMPLATES.items():
        for axes, variables in (("1", [one]), ("2", [two]), ("12", [one, two])):
            text = "".join(f' variable_{k} : {v}; index_{k} ("1, 2");' for k, v in enumerate(variables, 1))
            parts.append(f"lu_table_template ({letter}{axes}) {{{text} }}\n")
    timing = lib.arc_timing.tolist()
    arcs_of: dict[int, list[int]] = {}
    for a, pin in enumerate(lib.arc_pin.tolist()):
        arcs_of.setdefault(pin, []).append(a)
    for c, name in enumerate(lib.cell_names):
        parts.append(f'cell ("{name}") {{')
        for word, value in (("area", lib.cell_area_um2[c]), ("cell_leakage_power", lib.cell_leakage_nw[c])):
            parts.append(f" {word} : {float(value)!r};" if not np.isnan(value) else "")
        parts.append(" dont_use : true;" if lib.dont_use[c] else "")
        parts.append(" is_macro_cell : true;" if lib.is_macro[c] else "")
        if lib.is_clock_gate[c]:
            parts.append(' clock_gating_integrated_cell : "latch_posedge";')
        elif lib.is_sequential[c]:
            parts.append(" latch (IQ, IQN) { }" if lib.is_latch[c] else " ff (IQ, IQN) { }")
        for p in range(*lib.cell_pin_ptr[c : c + 2].tolist()):
            parts += _liberty_pin(lib, p, [(a, timing[a]) for a in arcs_of.get(p, [])])
        parts.append("\n}\n")
    return "".join([*parts, "}\n"])


def _liberty_pin(lib: Liberty, p: int, arcs: list[tuple[int, int]]) -> list[str]:
    parts = [f'\n pin ("{lib.pin_names[p]}") {{']
    parts.append(f" direction : {PIN_DIRECTIONS[lib.pin_direction[p]]};" if lib.pin_direction[p] >= 0 else "")
    for word, value in (("capacitance", lib.pin_cap_ff[p]), ("max_capacitance", lib.pin_max_cap_ff[p])):
        parts.append(f" {word} : {float(value)!r};" if not np.isnan(value) else "")
    parts.append(" clock : true;" if lib.pin_is_clock[p] else "")
    parts.append(f' function : "{lib.pin_function[p]}";' if lib.pin_function[p] else "")
    if FUNCTION_CLASSES[lib.cell_function_class[lib.pin_cell[p]]] == "tristate" and lib.pin_function[p]:
        parts.append(' three_state : "x";')
    for a, t in arcs:
        parts.append("\n  timing () {")
        if lib.arc_related[a] >= 0:
            parts.append(f' related_pin : "{lib.pin_names[int(lib.arc_related[a])]}";')
        parts.append(f" timing_type : {lib.arc_type[a]};")
        parts.append(f" timing_sense : {TIMING_SENSES[lib.arc_sense[a]]};" if lib.arc_sense[a] >= 0 else "")
        parts.append(f' when : "{lib.arc_when[a]}";' if lib.arc_when[a] else "")
        for i in range(*lib.timing_table_ptr[t : t + 2].tolist()):
            parts.append(_liberty_table(lib, i))
        parts.append(" }")
    return [*parts, " }"]


def tables_of(lib: Liberty, arc: int) -> list[Table]:
    """All tables of one arc."""
    timing = lib.arc_timing[arc]
    return [lib.table(i) for i in range(*lib.timing_table_ptr[timing : timing + 2].tolist())]


def _liberty_table(lib: Liberty, i: int) -> str:
    table = lib.table(i)
    kind = TABLE_KINDS[lib.table_kind[i]]
    axes = [(k, axis) for k, axis in (("1", table.index_1), ("2", table.index_2)) if len(axis)]
    template = ("c" if "constraint" in kind else "d") + "".join(k for k, _ in axes) if axes else "scalar"
    index = "".join(f' index_{k} ("{", ".join(map(repr, axis.tolist()))}");' for k, (_, axis) in enumerate(axes, 1))
    values = ", ".join(map(repr, table.values_ns.ravel().tolist()))
    return f'\n   {kind} ({template}) {{{index} values ("{values}"); }}'
