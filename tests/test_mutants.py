"""Readers, and what joins their files, with one mistake put in on purpose: the check beside it must fail, or it proves
nothing."""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import def_peer
import lef_peer
import liberty_peer
import numpy as np
import pytest
import sdc_peer
import spef_peer
import test_def
import test_export
import test_export_timing
import test_lef
import test_liberty
import test_modules
import test_sdc
import test_spef
import test_verilog

from circuit_io import (
    codes,
    def_nets,
    def_pins,
    export_tables,
    export_timing,
    features,
    geometry,
    lef_reader,
    lef_shapes,
    liberty_cells,
    liberty_tables,
    liberty_units,
    module_map,
    netlist_check,
    sdc_commands,
    spef_reader,
    verilog_bits,
    verilog_expr,
)
from circuit_io.def_ import read_def
from circuit_io.def_wires import WireReader
from circuit_io.design import Design, read_design
from circuit_io.elaborate import Elaborator
from circuit_io.export_sources import sources_of_labels
from circuit_io.fields import NET_FEATURES, column
from circuit_io.geometry import ORIENTS
from circuit_io.lef_reader import LefReader
from circuit_io.lef_shapes import ShapeReader, Shapes
from circuit_io.text import read_bytes

ROOT = Path(__file__).resolve().parent.parent
Patch = pytest.MonkeyPatch
Check = Callable[[Path], object]


# Checks: each takes a folder to write in, and passes for the readers as they are


def def_in_all_orientations(folder: Path) -> None:
    text = read_bytes(ROOT / "demos/kit/labels/gsr45/crc_bank/v0/placed.def.gz").decode()
    rng = random.Random(3)
    path = folder / "x.def"
    path.write_text(re.sub(r"\) (N|S|FN|FS)(?= ;)", lambda _: f") {rng.choice(ORIENTS)}", text))
    def_peer.agree(path, folder)


def def_values(test: Callable[[Any], None]) -> Check:
    def check(folder: Path) -> None:
        path = folder / "x.def"
        path.write_text(test_def.HEAD + test_def.BODY)
        test(read_def(path))

    return check


LEF_PIN = (
    "PIN A USE CLOCK ; PORT LAYER m1 ; RECT 0 0 1 1 ; WIDTH 0.2 ; PATH 0 0 0 2 ; END "
    "PORT LAYER m2 ; RECT 1 1 2 2 ; POLYGON 0 0 2 0 2 1 1 1 1 2 0 2 ; END END A "
    "OBS LAYER m3 ; RECT ITERATE 3 3 2 2 DO 2 BY 2 STEP 1 0.5 ; END"
)


def lef_shapes_of_a_macro(folder: Path) -> None:
    path = folder / "x.lef"
    path.write_text(
        test_lef.macro_with(LEF_PIN, "CLASS CORE ; ORIGIN 0.5 0 ; SIZE 1 BY 2 ;").replace("ORIGIN 0.5 0 ; ", "")
    )
    lef_peer.compare(path, folder)


def verilog_by_loops(folder: Path) -> None:
    for seed in range(25):
        test_verilog.test_nets_equal_those_of_plain_loops.hypothesis.inner_test(folder, seed)  # type: ignore[attr-defined]


def verilog_values(folder: Path) -> None:
    test_verilog.test_constants_concatenations_and_replication(folder)
    test_verilog.test_wire_and_assign_lists(folder)
    test_verilog.test_negative_and_rising_ranges(folder)
    test_verilog.test_ansi_header_carries_range_and_direction(folder)


def liberty_kit(_: Path) -> None:
    liberty_peer.assert_values_agree(ROOT / "demos/kit/tech/gsr45_typ.lib")


def spef_nets(folder: Path) -> None:
    path = folder / "x.spef"
    path.write_text((test_spef.HEAD + test_spef.MAP + test_spef.NET).replace("1 FF", "1 PF").replace("KOHM", "OHM"))
    spef_peer.compare(path)


def sdc_clocks(folder: Path) -> None:
    path = folder / "x.sdc"
    path.write_text(
        "set p 4.5\ncreate_clock -name c -period $p [get_ports clk]\nset_input_delay 1 -clock c [get_ports a]\n"
    )
    assert sdc_peer.compare(path) == 1


KIT = ROOT / "demos/kit"
LEF = [KIT / "tech/gsr45_tech.lef", KIT / "tech/gsr45_cells.lef"]


def with_liberty() -> Design:
    return read_design(LEF, KIT / "labels/gsr45/crc_bank/v0/placed.def.gz", lib=[KIT / "tech/gsr45_typ.lib"])


def reached_tap(folder: Path) -> None:
    test_export.a_reached_tap_is_a_node(sources_of_labels(KIT / "labels/gsr45/crc_bank/v0", lef=LEF), folder)


def spef_without_lone_nets(folder: Path) -> None:
    test_export_timing.a_net_of_one_pin_may_be_missing(with_liberty(), folder)


def spef_without_a_pin(folder: Path) -> None:
    test_export_timing.test_a_pin_that_a_spef_lacks_is_told(with_liberty(), folder)


def capacitances(_: Path) -> None:
    test_export_timing.capacitances_are_those_of_loads(with_liberty())


def wide_nets_and_clocks(folder: Path) -> None:
    test_modules.wide_nets_and_clocks_tell_nothing(KIT, folder)


# Mistakes


def orient(one: bytes, other: bytes) -> Callable[[Patch], None]:
    def put(patch: Patch) -> None:
        a, b = codes.ORIENT_CODES[one], codes.ORIENT_CODES[other]
        patch.setitem(codes.ORIENT_CODES, one, b)
        patch.setitem(codes.ORIENT_CODES, other, a)

    return put


def item(table: dict[Any, Any], key: object, value: object) -> Callable[[Patch], None]:
    return lambda patch: patch.setitem(table, key, value)


def constant(owner: object, name: str, value: object) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(owner, name, value)


def wrap(owner: object, name: str, change: Callable[..., Any]) -> Callable[[Patch], None]:
    """`name` of `owner` replaced by `change`, which is given the original first."""

    def put(patch: Patch) -> None:
        original = getattr(owner, name)
        patch.setattr(owner, name, lambda *a, **k: change(original, *a, **k))

    return put


def swap(owner: object, one: str, other: str) -> Callable[[Patch], None]:
    def put(patch: Patch) -> None:
        a, b = getattr(owner, one), getattr(owner, other)
        patch.setattr(owner, one, b)
        patch.setattr(owner, other, a)

    return put


def no_origin(original: Any, self: LefReader, name: bytes, macro: Any, key: bytes, start: int) -> None:  # noqa: ANN401
    original(self, name, macro, key, start)
    macro.origin = (0.0, 0.0)


def first_port_only(original: Any, self: ShapeReader, shapes: Shapes, port: int) -> None:  # noqa: ANN401
    original(self, shapes if port == 0 else Shapes(), port)


def first_copy_only(original: Any, self: ShapeReader, words: list[bytes], at: int) -> tuple[Any, Any]:  # noqa: ANN401
    rest, shifts = original(self, words, at)
    return rest, shifts[:1]


def without_last_edge(original: Any, self: Elaborator) -> Any:  # noqa: ANN401
    a, b, tied, value = original(self)
    return a[:-1], b[:-1], tied, value


def overlapping(original: Any, self: verilog_bits.Module, name: bytes) -> None:  # noqa: ANN401
    known = len(self.vectors)
    original(self, name)
    self.num_bits -= len(self.vectors) > known


def nothing_joined(original: Any, self: verilog_bits.Module, first: int) -> None:  # noqa: ANN401
    original(self, first)
    self.edges = self.edges[:0]


def last_pin_lost(original: Any, conns: list[bytes]) -> Any:  # noqa: ANN401
    insts, pins, ptr = original(conns)
    at = int(ptr[-1]) - 1
    return insts[:at], pins[:at], np.minimum(ptr, at)


def pins_exchanged(original: Any, conns: list[bytes]) -> Any:  # noqa: ANN401
    insts, pins, ptr = original(conns)
    at = [i for i, inst in enumerate(insts) if inst not in (b"PIN", b"*")]
    for i, pin in zip(at, [pins[i] for i in at[::-1]], strict=True):
        pins[i] = pin
    return insts, pins, ptr


def box_of(_: Any, points: Any) -> Any:  # noqa: ANN401
    xs, ys = zip(*points, strict=True)
    return [(min(xs), min(ys), max(xs), max(ys))]


def no_time_unit(original: Any, text: str | None, base: int, default: str, letters: str, *rest: Any) -> float:  # noqa: ANN401
    return 1.0 if letters == "sS" else original(text, base, default, letters, *rest)


def rise_alone(_: Any, pin: Any, library: Any) -> float:  # noqa: ANN401
    found: float = library.number(pin.attributes.get("rise_capacitance", pin.attributes.get("capacitance")), pin.at, "")
    return found


def no_falls(original: Any, table: Any, library: Any) -> Any:  # noqa: ANN401
    return None if table.name == "cell_fall" else original(table, library)


def index_of_template(original: Any, table: Any, library: Any) -> Any:  # noqa: ANN401
    return original(table._replace(indices=((), (), ())), library)


def last_related(original: Any, *rest: Any) -> Any:  # noqa: ANN401
    return original(*rest)[-1:]


def only_logic(original: Any, design: Design) -> Any:  # noqa: ANN401
    logic = ~design.masters.is_physical[design.inst_master][np.maximum(design.pin_inst, 0)] | (design.pin_inst < 0)
    return original(replace(design, pin_inst=np.where(logic, design.pin_inst, -1)))


def physical_as_logic(original: Any, design: Design, found: Any) -> Any:  # noqa: ANN401
    no = np.zeros(len(design.masters.names), bool)
    return original(replace(design, masters=replace(design.masters, is_physical=no)), found)


def outputs_as_inputs(original: Any, design: Design, nodes: Any) -> Any:  # noqa: ANN401
    assert design.liberty is not None
    liberty = replace(design.liberty, pin_direction=np.zeros_like(design.liberty.pin_direction))
    return original(replace(design, liberty=liberty), nodes)


def loads_and_drivers(original: Any, design: Design, *rest: Any) -> Any:  # noqa: ANN401
    found = original(design, *rest)
    every = replace(design, pin_direction=np.zeros_like(design.pin_direction))
    found[:, column(NET_FEATURES, "load")] = original(every, *rest)[:, column(NET_FEATURES, "load")]
    return found


class Mutant(NamedTuple):
    """A mistake and the check that must see it."""

    put: Callable[[Patch], None]
    check: Check


MUTANTS = {
    "DEF W for E": Mutant(orient(b"W", b"E"), def_in_all_orientations),
    "DEF FW for FE": Mutant(orient(b"FW", b"FE"), def_in_all_orientations),
    "DEF S for FS": Mutant(orient(b"S", b"FS"), def_in_all_orientations),
    "DEF height forgotten in S": Mutant(
        lambda p: p.setattr(geometry, "_HY", np.zeros(8, np.int8)), def_in_all_orientations
    ),
    "DEF place without ORIGIN": Mutant(wrap(LefReader, "_macro_statement", no_origin), def_in_all_orientations),
    "DEF pins of nets exchanged": Mutant(wrap(def_nets, "_connections", pins_exchanged), def_in_all_orientations),
    "DEF last connection lost": Mutant(wrap(def_nets, "_connections", last_pin_lost), def_in_all_orientations),
    "DEF FIXED for PLACED": Mutant(item(codes.STATUS, b"FIXED", 1), def_values(test_def.test_insts)),
    "DEF wires twice as wide": Mutant(
        wrap(WireReader, "_straight", lambda f, self, t: f(self, t * [1, 2, 1, 1, 1, 1])), def_in_all_orientations
    ),
    "DEF second PORT lost": Mutant(
        wrap(def_pins, "_columns", lambda f, text, pins: f(text, [_first_port(p) for p in pins])),
        def_values(test_def.test_ports),
    ),
    "LEF second PORT ignored": Mutant(wrap(ShapeReader, "block", first_port_only), lef_shapes_of_a_macro),
    "LEF ITERATE once": Mutant(wrap(ShapeReader, "_copies", first_copy_only), lef_shapes_of_a_macro),
    "LEF PATH without width": Mutant(
        wrap(lef_shapes, "_path", lambda f, points, _: f(points, 0.0)), lef_shapes_of_a_macro
    ),
    "LEF POLYGON as its box": Mutant(wrap(lef_shapes, "polygon_rects", box_of), lef_shapes_of_a_macro),
    "LEF clock as signal": Mutant(item(codes.USES, b"CLOCK", 0), lef_shapes_of_a_macro),
    "LEF vertical as horizontal": Mutant(item(lef_reader._LAYER_DIRECTIONS, b"VERTICAL", 0), lef_shapes_of_a_macro),
    "Verilog assign dropped": Mutant(wrap(verilog_bits.Module, "_join", nothing_joined), verilog_by_loops),
    "Verilog range one short": Mutant(wrap(verilog_bits.Module, "_place", overlapping), verilog_by_loops),
    "Verilog part select turned": Mutant(
        wrap(verilog_bits.Module, "selected", lambda f, *a: f(*a)[::-1]), verilog_values
    ),
    "Verilog concatenation turned": Mutant(
        wrap(verilog_expr.Expression, "_concatenation", lambda f, self: f(self)[::-1]), verilog_by_loops
    ),
    "Verilog 0 for 1": Mutant(
        wrap(verilog_expr, "_based_bits", lambda f, *a: [{-1: -2, -2: -1}.get(b, b) for b in f(*a)]), verilog_by_loops
    ),
    "Verilog port not joined": Mutant(wrap(Elaborator, "_edges", without_last_edge), verilog_by_loops),
    "Liberty pf as 10 pf": Mutant(item(liberty_units._EXPONENT, "p", -11), test_liberty.test_cells_and_pins),
    "Liberty time unit lost": Mutant(wrap(liberty_units, "_unit", no_time_unit), test_liberty.test_arcs_and_tables),
    "Liberty axes exchanged": Mutant(
        swap(liberty_tables, "_SLEW_AXIS", "_LOAD_AXIS"), test_liberty.test_arcs_and_tables
    ),
    "Liberty rise for the mean": Mutant(
        wrap(liberty_cells, "capacitance_of", rise_alone), test_liberty.test_cells_and_pins
    ),
    "Liberty table dropped": Mutant(wrap(liberty_cells, "read_table", no_falls), liberty_kit),
    "Liberty own index ignored": Mutant(wrap(liberty_cells, "read_table", index_of_template), liberty_kit),
    "Liberty table not turned": Mutant(
        wrap(liberty_tables.Layout, "in_order", lambda _, self, values: values), test_liberty.test_arcs_and_tables
    ),
    "Liberty first related pin lost": Mutant(
        wrap(liberty_cells, "starts_of", last_related), test_liberty.test_pin_groups_buses_and_overrides
    ),
    "SPEF pF as fF": Mutant(item(spef_reader._UNITS, b"C_UNIT", (("PF", 1.0),)), spef_nets),
    "SPEF coupling as ground": Mutant(
        wrap(spef_reader.SpefReader, "_add", lambda f, self, column, *a: f(self, {2: 1}.get(column, column), *a)),
        spef_nets,
    ),
    "SPEF driver as load": Mutant(
        item(spef_reader._DIRECTIONS, b"O", 0), test_spef.test_a_net_is_read_with_its_units_names_and_connections
    ),
    "SDC period doubled": Mutant(wrap(sdc_commands.SdcCommands, "_number", lambda f, *a: 2 * f(*a)), sdc_clocks),
    "SDC ps as ns": Mutant(item(sdc_commands._PREFIX, "p", -9), test_sdc.test_constraints_are_read_with_their_units),
    "SDC generated clocks without a period": Mutant(
        lambda p: p.setattr(sdc_commands.SdcCommands, "_periods", lambda _: None),
        test_sdc.test_constraints_are_read_with_their_units,
    ),
    "graph without a physical inst on a signal": Mutant(wrap(test_export, "select_nodes", only_logic), reached_tap),
    "netlist must have a physical inst": Mutant(wrap(netlist_check, "_added", physical_as_logic), reached_tap),
    "SPEF must have nets of one pin": Mutant(constant(export_timing, "MIN_WIRED", 1), spef_without_lone_nets),
    "SPEF may lack nets of two pins": Mutant(constant(export_timing, "MIN_WIRED", 3), spef_without_lone_nets),
    "SPEF may lack pins": Mutant(
        wrap(export_timing, "_compare_pins", lambda f, *a: replace(f(*a), missing=0)), spef_without_a_pin
    ),
    "driver counted in the load of a net": Mutant(
        wrap(export_tables, "drivers", lambda f, design: np.zeros_like(f(design))), capacitances
    ),
    "output counted in the input capacitance": Mutant(
        wrap(export_tables, "_liberty_columns", outputs_as_inputs), capacitances
    ),
    "driver counted in the feature of load": Mutant(wrap(features, "_net_features", loads_and_drivers), capacitances),
    "output counted in the feature of input capacitance": Mutant(
        wrap(features, "_library_scale", lambda f, design: outputs_as_inputs(lambda d, _: f(d), design, None)),
        capacitances,
    ),
    "modules spread over clocks": Mutant(constant(module_map, "CLOCK", -1), wide_nets_and_clocks),
    "modules spread over wide nets": Mutant(constant(module_map, "MAX_FANOUT", 1 << 30), wide_nets_and_clocks),
    "modules spread one sink less": Mutant(constant(module_map, "MAX_FANOUT", 31), wide_nets_and_clocks),
}


def _first_port(pin: Any) -> Any:  # noqa: ANN401
    pin.ports = [p for p in pin.ports if p.rects][:1] or pin.ports
    return pin


@pytest.fixture(autouse=True)
def python_readers(monkeypatch: Patch) -> None:
    """The mistakes are put into the Python path; that the C scanner gives the same is another test."""
    monkeypatch.setenv("GSR_SCANNER", "python")


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_is_seen(tmp_path: Path, monkeypatch: Patch, name: str) -> None:
    mutant = MUTANTS[name]
    mutant.check(tmp_path)
    mutant.put(monkeypatch)
    with pytest.raises(AssertionError):
        mutant.check(tmp_path)
