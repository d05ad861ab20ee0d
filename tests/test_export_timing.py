"""SPEF, SDC and Liberty in the tables and the manifest of an export, and never in its graph."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_cli import bad, good

from circuit_io.design import OUTPUT, Design, read_design
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import parse_variables, sources_of_hook, sources_of_options
from circuit_io.export_tables import inst_table, net_table
from circuit_io.export_timing import Timing, TimingSources, find_timing
from circuit_io.features import build_graph
from circuit_io.fields import INST_FEATURES, NET_FEATURES, column
from circuit_io.gcells import make_grid
from circuit_io.liberty import FUNCTION_CLASSES
from circuit_io.nodes import drivers, select_nodes
from circuit_io.store import open_design

HEAD = '*SPEF "IEEE 1481-1998"\n*DESIGN "crc_bank"\n*DIVIDER .\n*C_UNIT 1 PF\n*R_UNIT 1 OHM\n'


@pytest.fixture(scope="module")
def design(kit: Path) -> Design:
    """The kit's smallest layout, with Liberty."""
    tech = kit / "tech"
    lef = [tech / "gsr45_tech.lef", tech / "gsr45_cells.lef"]
    layout = kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz"
    return read_design(lef, layout, lib=[tech / "gsr45_typ.lib"])


def _pins(design: Design, net: int) -> list[str]:
    """The pins of insts on a net."""
    at = np.flatnonzero((design.pin_net == net) & (design.pin_inst >= 0)).tolist()
    return [f"{design.inst_names[int(design.pin_inst[i])]}:{design.pin_names[int(design.pin_name[i])]}" for i in at]


def _spef(
    design: Design, path: Path, *, leave_out: int = 0, rename: int = 0, move: int = 0, drop: int = 0, head: str = HEAD
) -> Path:
    """A SPEF of all nets: net i has 0.001 (i + 1) pF, a quarter of it coupling, and i ohm.

    The first nets are left out, have another name, have the pins of the net after them, or lack their last pin.
    """
    rows = []
    for i, name in enumerate(design.net_names.tolist()[leave_out:], leave_out):
        name = f"other{i}" if i < rename else name
        total = 0.001 * (i + 1)
        pins = _pins(design, i + 1 if i < move else i)
        conns = "".join(f"*I {pin} I\n" for pin in pins[: len(pins) - (i < drop)])
        rows.append(f"*D_NET {name} {total}\n*CONN\n{conns}*CAP\n1 {name} {total * 0.75}\n2 {name} x {total * 0.25}\n"
                    f"*RES\n1 {name} x {i}\n*END\n")  # fmt: skip
    path.write_text(head + "".join(rows))
    return path


def test_nets_get_their_parasitics_by_name(design: Design, tmp_path: Path) -> None:
    timing = find_timing(design, TimingSources(spef=_spef(design, tmp_path / "x.spef", leave_out=2)))
    n = len(design.net_names)
    columns = {name: column.to_pylist() for name, column in timing.net_columns.items()}
    assert list(columns) == ["wire_cap_ff", "coupling_cap_ff", "wire_res_ohm", "clock"]
    assert columns["wire_cap_ff"] == [None, None, *(pytest.approx(i + 1) for i in range(2, n))]
    assert columns["coupling_cap_ff"][2:] == [pytest.approx((i + 1) / 4) for i in range(2, n)]
    assert columns["wire_res_ohm"][2:] == [pytest.approx(i) for i in range(2, n)]
    assert set(columns["clock"]) == {None}
    assert timing.warnings == (f"2 nets of the DEF are not in x.spef (first: {design.net_names[0]})",)
    assert timing.said == {}


def test_a_spef_of_another_design_is_refused_and_of_some_nets_told(design: Design, tmp_path: Path) -> None:
    n = len(design.net_names)
    head = HEAD.replace("crc_bank", "other")
    timing = find_timing(design, TimingSources(spef=_spef(design, tmp_path / "x.spef", rename=7, head=head)))
    assert timing.warnings == (
        f"7 of {n} nets of x.spef are not in the DEF (other0, other1, other2, other3, other4, ...)",
        'x.spef is of design "other", the DEF of "crc_bank"',
        f"7 nets of the DEF are not in x.spef (first: {design.net_names[0]})",
    )
    with pytest.raises(
        InputError, match=rf"is of another design than placed\.def\.gz: {n} of its {n} nets are not there"
    ):
        find_timing(design, TimingSources(spef=_spef(design, tmp_path / "x.spef", rename=n)))


def test_pins_on_other_nets_are_told_and_most_of_them_refused(design: Design, tmp_path: Path) -> None:
    n, num_pins = len(design.net_names), int((design.pin_inst >= 0).sum())
    moved = [pin for i in range(3) for pin in _pins(design, i + 1)]
    total = num_pins - len(_pins(design, 0)) + len(_pins(design, 3))
    timing = find_timing(design, TimingSources(spef=_spef(design, tmp_path / "x.spef", move=3)))
    first = f'{moved[0].replace(":", "/")} of "{design.net_names[0]}"'
    lost = _pins(design, 0)
    first_lost = f'{lost[0].replace(":", "/")} of "{design.net_names[0]}"'
    assert timing.warnings == (
        f"{len(moved)} of {total} pins of x.spef are on another net in the DEF (first: {first})",
        f"{len(lost)} pins that the DEF has on nets of x.spef are not in it (first: {first_lost})",
    )
    with pytest.raises(InputError, match=r"is of another design than placed\.def\.gz: \d+ of \d+ pins are on another"):
        find_timing(design, TimingSources(spef=_spef(design, tmp_path / "x.spef", move=n - 1)))


def test_a_pin_that_a_spef_lacks_is_told(design: Design, tmp_path: Path) -> None:
    timing = find_timing(design, TimingSources(spef=_spef(design, tmp_path / "x.spef", drop=2)))
    lost = _pins(design, 0)[-1].replace(":", "/")
    assert timing.warnings == (
        f'2 pins that the DEF has on nets of x.spef are not in it (first: {lost} of "{design.net_names[0]}")',
    )
    silent = (tmp_path / "x.spef").read_text().replace("*CONN\n", "").replace("*I ", "// ")
    (tmp_path / "x.spef").write_text(silent)  # reduced to its sums, as some tools write it
    assert find_timing(design, TimingSources(spef=tmp_path / "x.spef")).warnings == ()


def a_net_of_one_pin_may_be_missing(design: Design, folder: Path) -> None:
    """Nothing is routed for a net of one pin, so no writer of SPEF has it; one of two pins is missing."""
    path = _spef(design, folder / "x.spef", leave_out=2)
    for kept, lost in ((1, 1), (2, 2)):
        alone = np.ones(len(design.pin_net), bool)
        alone[np.flatnonzero(design.pin_net == 0)[kept:]] = False
        names = ("pin_net", "pin_inst", "pin_port", "pin_name", "pin_direction", "pin_cap_ff", "pin_form")
        timing = find_timing(replace(design, **{n: getattr(design, n)[alone] for n in names}), TimingSources(spef=path))
        first = design.net_names[2 - lost]
        assert timing.warnings == (f"{lost} nets of the DEF are not in x.spef (first: {first})",)


def test_a_net_of_one_pin_may_be_missing(design: Design, tmp_path: Path) -> None:
    a_net_of_one_pin_may_be_missing(design, tmp_path)


def test_names_are_joined_whatever_divider_and_backslashes(design: Design, tmp_path: Path) -> None:
    from circuit_io.names import Names

    names = design.net_names.tolist()
    names[:3] = [r"u1/a\[0\]", "u1/u2/b", r"c.d"]
    theirs = [r"u1.a\[0\]", "u1.u2.b", r"c\.d"]
    other = replace(design, net_names=Names.of(names))
    path = _spef(replace(design, net_names=Names.of([*theirs, *names[3:]])), tmp_path / "x.spef")
    timing = find_timing(other, TimingSources(spef=path))
    assert timing.net_columns["wire_cap_ff"].to_pylist()[:3] == pytest.approx([1, 2, 3])
    assert timing.warnings == ()


def _clocks(design: Design, tmp_path: Path, text: str) -> Timing:
    (tmp_path / "x.sdc").write_text(text)
    return find_timing(design, TimingSources(sdc=tmp_path / "x.sdc"))


def test_clocks_and_their_nets_are_known(design: Design, kit: Path, tmp_path: Path) -> None:
    timing = find_timing(design, TimingSources(sdc=kit / "rtl" / "crc_bank.sdc"))
    clock = {"name": "clk", "period_ns": 1.0, "sources": ["port:clk"], "nets": ["clk"], "is_generated": False}
    assert timing.said == {"clocks": [clock]}
    column = timing.net_columns["clock"].to_pylist()
    assert [design.net_names[i] for i, name in enumerate(column) if name == "clk"] == ["clk"]
    assert column.count(None) == len(column) - 1
    assert timing.warnings == ()


def test_brackets_of_a_pattern_are_those_of_a_bus(design: Design, tmp_path: Path) -> None:
    timing = _clocks(design, tmp_path, "create_clock -name a -period 2 [get_ports {data[*]}]\n")
    bus = [n.replace("\\", "") for n in design.port_names if n.startswith("data[") or n.startswith("data\\[")]
    assert len(bus) > 3
    assert sorted(timing.said["clocks"][0]["nets"]) == sorted(bus)


def test_clocks_of_pins_patterns_and_what_is_not_there(design: Design, tmp_path: Path) -> None:
    at = int(np.flatnonzero(drivers(design) & (design.pin_inst >= 0))[0])
    pin = f"{design.inst_names[int(design.pin_inst[at])]}/{design.pin_names[int(design.pin_name[at])]}"
    timing = _clocks(design, tmp_path, f"""
create_clock -name a -period 2 [get_ports clk]
create_clock -add -name b -period 4 [get_ports cl?]
create_generated_clock -name c -source [get_ports clk] -master_clock a -divide_by 2 [get_pins {pin}]
create_clock -name d -period 4 [get_ports nowhere]
create_clock -name v -period 8
create_generated_clock -name e -source [get_pins u/x] [get_pins v/y]
""")  # fmt: skip
    rows = {c["name"]: (c["period_ns"], c["nets"]) for c in timing.said["clocks"]}
    net = design.net_names[int(design.pin_net[at])]
    assert rows == {
        "a": (2.0, ["clk"]), "b": (4.0, ["clk"]), "c": (4.0, [net]), "d": (4.0, []), "v": (8.0, []), "e": (None, []),
    }  # fmt: skip
    assert timing.net_columns["clock"].to_pylist()[design.net_names.find("clk")] == "a b"
    assert timing.warnings == ("2 clock sources of x.sdc are on no net of the DEF (first: port:nowhere)",)


def test_a_bad_sdc_is_an_error_or_left_out(design: Design, tmp_path: Path) -> None:
    (tmp_path / "x.sdc").write_text("create_clock -period $::env(P) clk\n")
    sources = TimingSources(sdc=tmp_path / "x.sdc")
    with pytest.raises(InputError, match=r'x\.sdc:1: reads the variable "env\(P\)"'):
        find_timing(design, sources)
    timing = find_timing(design, replace(sources, is_lenient=True))
    assert re.match(r'SDC is left out: .*x\.sdc:1: reads the variable "env\(P\)"', timing.warnings[0])
    assert timing.said == {}


def capacitances_are_those_of_loads(design: Design) -> None:
    """Capacitance of an inst is that of its inputs, of a net that of the pins it drives; outputs have some too."""
    assert design.liberty is not None
    outputs = design.liberty.pin_direction == OUTPUT
    liberty = replace(design.liberty, pin_cap_ff=np.where(outputs, 77.0, design.liberty.pin_cap_ff))
    driven = (design.pin_inst >= 0) & (design.pin_direction == OUTPUT)
    caps = np.where(driven, np.float32(77), design.pin_cap_ff)
    design = replace(design, liberty=liberty, pin_cap_ff=caps)
    nodes = select_nodes(design)
    insts = inst_table(design, nodes).to_pylist()
    num_insts = len(nodes.inst)
    for row in insts[:num_insts:50]:
        cell = liberty.cell_names.find(row["master"])
        pins = [p for p in range(*liberty.cell_pin_ptr[cell : cell + 2]) if liberty.pin_direction[p] == 0]
        assert row["input_cap_ff"] == pytest.approx(sum(liberty.pin_cap_ff[p] for p in pins))
        assert row["function_class"] == FUNCTION_CLASSES[liberty.cell_function_class[cell]]
        assert row["drive_kohm"] == pytest.approx(liberty.cell_drive_kohm[cell])
    for row in insts[num_insts:]:
        assert row["is_port"]
        assert row["drive_kohm"] is row["function_class"] is row["input_cap_ff"] is None
    found = net_table(design, np.zeros((len(design.net_names), 4), np.int32))["pin_cap_ff"].to_pylist()
    for net in range(0, len(found), 97):
        mine = (design.pin_net == net) & ~driven & (design.pin_inst >= 0)
        assert found[net] == pytest.approx(float(caps[mine].sum()), rel=1e-5)
    grid = make_grid(design.die_dbu, design.layers, signal_layers=("M2", "M5"))
    graph, _ = build_graph(design, grid, {})
    unit = min(row["input_cap_ff"] for row in insts if row["master"].startswith("G45_INV_"))
    wanted = np.log1p([row["input_cap_ff"] / unit if row["input_cap_ff"] is not None else 0 for row in insts])
    np.testing.assert_allclose(graph.inst_features[:, column(INST_FEATURES, "input_cap")], wanted, rtol=1e-5)
    load = graph.net_features[:, column(NET_FEATURES, "load")]
    np.testing.assert_allclose(load, np.log1p(np.array(found) / unit), rtol=1e-5)


def test_variables_of_the_flow_reach_the_sdc(design: Design, kit: Path, tmp_path: Path) -> None:
    sdc = tmp_path / "flow.sdc"
    sdc.write_text('create_clock -name "$NAME$::env(SUFFIX)" -period $::env(CLOCK_PERIOD) [get_ports clk]\n')
    tech, layout = kit / "tech", kit / "labels" / "gsr45" / "crc_bank" / "v0"
    given = ["--lef", tech / "gsr45_tech.lef", tech / "gsr45_cells.lef", "--labels", layout, "--sdc", sdc]
    given += ["--out", tmp_path / "out", "--overwrite", "--quiet"]
    said = bad(2, "export", *given)
    assert 'flow.sdc:1: reads the variable "NAME", which the flow sets and this file does not' in said
    assert "Give its value (gsr export --sdc-variable 'NAME=VALUE'), or" in said
    good(
        "export", *given, "--sdc-variable", "NAME=a=b $x [y]", "env(SUFFIX)=", "--sdc-variable=::env(CLOCK_PERIOD)=2.5"
    )
    manifest = open_design(tmp_path / "out").manifest
    assert [(c["name"], c["period_ns"]) for c in manifest["clocks"]] == [("a=b $x [y]", 2.5)]
    assert manifest["sdc_variables"] == {"NAME": "a=b $x [y]", "env(SUFFIX)": "", "::env(CLOCK_PERIOD)": "2.5"}
    for wrong in ("NAME", "=1", "a b=1", "a(=1", "env(A)x=1", "a::b=1", "[exit]=1"):
        with pytest.raises(InputError, match=r"--sdc-variable: .* is not understood\n  Write NAME=VALUE"):
            parse_variables([wrong])
    with pytest.raises(InputError, match='--sdc-variable: "a" comes twice'):
        parse_variables(["a=1", "a=2"])
    with pytest.raises(InputError, match="--sdc-variable: no SDC file\n  Give --sdc F"):
        sources_of_options(lef=[tmp_path], def_=tmp_path, sdc_variable=["A=1"])


def test_insts_and_nets_have_what_liberty_tells(design: Design) -> None:
    capacitances_are_those_of_loads(design)


def test_without_liberty_its_columns_are_null(design: Design) -> None:
    bare = replace(design, liberty=None, pin_cap_ff=np.full_like(design.pin_cap_ff, np.nan))
    table = inst_table(bare, select_nodes(bare))
    for name in ("drive_kohm", "function_class", "input_cap_ff"):
        assert table[name].null_count == len(table)
    nets = net_table(bare, np.zeros((len(bare.net_names), 4), np.int32))
    assert nets["pin_cap_ff"].null_count == len(nets)


def test_parasitics_and_clocks_never_reach_the_graph(design: Design, kit: Path, tmp_path: Path) -> None:
    """The shipped model predicts what the router does: data of after routing must not change what it sees."""
    tech, layout = kit / "tech", kit / "labels" / "gsr45" / "crc_bank" / "v0"
    plain = sources_of_options(
        lef=[tech / "gsr45_tech.lef", tech / "gsr45_cells.lef"], lib=[tech / "gsr45_typ.lib"], labels=layout
    )
    full = replace(plain, timing=TimingSources(_spef(design, tmp_path / "x.spef"), kit / "rtl" / "crc_bank.sdc"))
    export_design(plain, tmp_path / "plain")
    manifest = export_design(full, tmp_path / "full")
    for name in ("graph.safetensors", "labels.safetensors", "insts.parquet"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "full" / name).read_bytes(), name
    stored = open_design(tmp_path / "full")
    assert stored.nets["wire_cap_ff"].null_count == 0
    assert stored.nets["clock"].null_count == len(stored.nets) - 1
    assert stored.manifest["clocks"][0]["period_ns"] == 1.0
    assert [i["name"] for i in manifest["inputs"] if i["role"] in ("spef", "sdc")] == ["x.spef", "crc_bank.sdc"]
    bare = open_design(tmp_path / "plain")
    assert bare.nets["wire_cap_ff"].null_count == len(bare.nets)
    assert bare.nets.schema == stored.nets.schema
    assert "clocks" not in bare.manifest
    export_design(
        replace(full, timing=TimingSources(sdc=kit / "rtl" / "crc_bank.sdc")), tmp_path / "full", overwrite=True
    )
    assert open_design(tmp_path / "full").nets["wire_cap_ff"].null_count == len(bare.nets)


def test_the_options_name_the_files(tmp_path: Path) -> None:
    given = sources_of_options(lef=[tmp_path], def_=tmp_path, spef=tmp_path / "s", sdc=tmp_path / "c")
    assert given.timing == TimingSources(tmp_path / "s", tmp_path / "c")
    assert sources_of_options(lef=[tmp_path], def_=tmp_path).timing == TimingSources()


def test_a_hook_may_name_the_sdc(kit: Path, tmp_path: Path) -> None:
    hook = {"schema": "gsr-hook", "schema_version": 1, "lefs": ["a.lef"], "def": "a.def", "design": "a", "sdc": "a.sdc"}
    path = tmp_path / "hook.json"
    path.write_text(json.dumps(hook))
    assert sources_of_hook(path).timing == TimingSources(None, tmp_path / "a.sdc", True)
    given = sources_of_options(hook=path, sdc=tmp_path / "mine.sdc")
    assert given.timing == TimingSources(None, tmp_path / "mine.sdc", False)
