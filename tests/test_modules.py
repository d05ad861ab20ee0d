"""Flat names to modules, what an export stores of them, and the modules of hot spots."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import SyntheticDesign, make_export, make_prediction

from circuit_io.design import OUTPUT, read_design
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_modules import RtlSources
from circuit_io.export_sources import ExportSources, sources_of_hook, sources_of_labels
from circuit_io.hierarchy import Hierarchy, by_names, by_netlist, by_rtl
from circuit_io.hotspots import HotSpot, find_hotspots
from circuit_io.manifest import to_json
from circuit_io.maps import PlacedDesign, Prediction
from circuit_io.module_map import BY_NAME, BY_NEIGHBOURS, BY_NET, NONE, map_modules, spread
from circuit_io.module_shares import ModuleInSpot, SpotModules
from circuit_io.names import Names
from circuit_io.rtl import read_rtl
from circuit_io.spot_nets import spot_wires
from circuit_io.store import open_design
from circuit_io.text import sha256
from circuit_io.verilog import read_verilog
from flow_hooks.annotations.annotate import annotate
from flow_hooks.tsv import decode
from gsr_plugin.report import build_report

RTL = """module alu (input a); wire [3:0] x; endmodule
module core (input a);
  alu u_alu (a);
  generate for (genvar i = 0; i < 4; i = i + 1) begin : gen
    alu u (a);
  end
  if (1) alu alone (a);
  endgenerate
  missing u_box (a);
endmodule
module top (input a, output [3:0] y);
  reg [3:0] count;
  core u_core (a);
  G45_INV_X1 u_cell (.A(a));
endmodule
"""


def places(hierarchy: Hierarchy, names: list[str]) -> list[tuple[str, str] | None]:
    rows = hierarchy.rows(Names.of(names)).tolist()
    return [None if r < 0 else (hierarchy.places[r].path, hierarchy.places[r].module) for r in rows]


# --- names


@pytest.mark.parametrize(
    ("name", "path", "module"),
    [
        ("u_core/u_alu/_123_", "u_core/u_alu", "alu"),
        ("u_core.u_alu._0123_", "u_core/u_alu", "alu"),
        (r"\u_core.u_alu.x[3]$_DFF_P_ ", "u_core/u_alu", "alu"),
        (r"u_core\/u_alu\/_7_", "u_core/u_alu", "alu"),
        (r"u_core.u_alu.x\[3\]$_SDFFE_PN0P_", "u_core/u_alu", "alu"),
        (r"u_core/gen\[3\].u/_1_", "u_core/gen[3]/u", "alu"),
        ("u_core.gen[11].u.x", "u_core/gen[11]/u", "alu"),
        ("u_core.gen[11].here", "u_core", "core"),
        ("u_core.genblk1.alone._3_", "u_core/genblk1/alone", "alu"),
        ("u_core.alone._3_", "u_core/alone", "alu"),
        ("u_core/u_box/deep/inside/_3_", "u_core/u_box", "missing"),
        ("u_core/_3_", "u_core", "core"),
        (r"clkbuf_leaf_12_u_core.gen\[0\].u.clk", "u_core/gen[0]/u", "alu"),
        ("ANTENNA_clkbuf_0_1_u_core.u_alu._1__A", "u_core/u_alu", "alu"),
        ("count[2]", "", "top"),
        (r"count\[2\]$_DFF_PN0_", "", "top"),
        ("count_reg[2]", "", "top"),
        ("count_reg_2_", "", "top"),
        ("u_cell", "", "top"),
        ("y[1]", "", "top"),
    ],
)
def test_names_of_all_tools_lead_to_the_rtl_module(tmp_path: Path, name: str, path: str, module: str) -> None:
    source = tmp_path / "a.v"
    source.write_text(RTL)
    assert places(by_rtl(read_rtl(source, top="top")), [name]) == [(path, module)]


def test_names_that_tell_nothing_and_places_of_those_that_do(tmp_path: Path) -> None:
    source = tmp_path / "a.v"
    source.write_text(RTL)
    hierarchy = by_rtl(read_rtl(source, top="top"))
    silent = ["_123_", "FILLER_0_1", "clkbuf_leaf_3_clk", "elsewhere.u_alu._1_", "$abc$12$auto.cc:3:map/x", "", "."]
    assert places(hierarchy, silent) == [None] * len(silent)
    rows = hierarchy.rows(Names.of(["u_core.u_alu._1_", "u_core/u_alu/_2_", "u_core._3_", "_4_"]))
    assert rows.tolist() == [2, 2, 1, -1]
    top, core, alu = hierarchy.places
    assert (top.path, top.parent, top.line, top.inst_line) == ("", -1, 11, 0)
    assert (core.parent, core.line, core.inst_line) == (0, 2, 13)
    assert (alu.parent, alu.line, alu.inst_line, alu.file) == (1, 1, 3, str(source))


def test_rtl_that_instantiates_itself_ends(tmp_path: Path) -> None:
    source = tmp_path / "a.v"
    source.write_text("module t; if (0) begin : g t u (); end endmodule module top; t r (); endmodule")
    assert places(by_rtl(read_rtl(source)), ["r.g.u.g.u._1_"]) == [("r/g/u/g/u", "t")]


def test_names_alone_give_paths_without_modules() -> None:
    found = places(by_names("chip"), ["a/b/_1_", "a/_2_", "_3_", r"\a.b.q[3] ", "$x/y/z", "a/$p/z"])
    assert found == [("a/b", ""), ("a", ""), None, ("a/b", ""), None, ("a", "")]


def test_a_netlist_with_hierarchy_gives_modules(tmp_path: Path) -> None:
    source = tmp_path / "n.v"
    source.write_text(
        "module sub (a); input a; INV i1 (.A(a)); endmodule\n"
        "module top (a); input a; sub \\g[1].s (.a(a)); sub t (.a(a)); INV _9_ (.A(a)); endmodule\n"
    )
    hierarchy = by_netlist(read_verilog(source))
    found = places(hierarchy, [r"g\[1\].s/i1", "t/i1", "_9_", "t/new_buffer", "_1_"])
    assert found == [("g[1]/s", "sub"), ("t", "sub"), ("", "top"), ("t", "sub"), None]


# --- nets and neighbours


def test_half_of_the_connections_decide() -> None:
    module = np.array([0, 1, 1, -1, -1, -1, -1], np.int32)
    #        3: 0, 1, 1 -> 1;    4: 3, 0 -> tie of 0 and 1, 0;  5: 0, 6, 6: a third is not enough;  6: nothing known
    source = np.array([3, 3, 3, 4, 4, 5, 5, 5, 6, 6, 6])
    target = np.array([0, 1, 2, 3, 0, 0, 6, 6, 5, 5, 5])
    assert spread(module, source, target).tolist() == [0, 1, 1, 1, 0, -1, -1]
    assert spread(module, source, target, least_frac=0.0).tolist() == [0, 1, 1, 1, 0, 0, 0]
    nobody = np.full(3, -1, np.int32)
    assert spread(nobody, np.array([0, 1]), np.array([1, 0])).tolist() == [-1, -1, -1]


def test_registers_of_a_flat_netlist_are_found_by_their_nets(kit: Path) -> None:
    """systolic4 has 16 elements with 36 registers each; its insts are called _123_, its nets as in the RTL."""
    lef = [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]
    design = read_design(lef, kit / "labels" / "gsr45" / "systolic4" / "v0" / "placed.def.gz")
    found = map_modules(design, by_rtl(read_rtl(kit / "rtl" / "systolic4.v")))
    assert {p.path for p in found.places} == {"", *(f"row[{r}]/column[{c}]/u_pe" for r in range(4) for c in range(4))}
    assert {p.module for p in found.places[1:]} == {"systolic_pe"}
    is_flop = np.array([n.startswith("G45_DFF") for n in design.masters.names])[design.inst_master]
    assert is_flop.sum() == 512
    assert (found.inst_way[is_flop] == BY_NET).all()
    assert not (found.inst_way == BY_NAME).any()
    assert ((found.inst_module >= 0) == (found.inst_way != NONE)).all()
    assert (found.inst_way == BY_NEIGHBOURS).sum() > 100
    assert (found.inst_feeds[found.inst_module >= 0] == -1).all()
    assert np.mean(found.inst_feeds[found.inst_module < 0] >= 0) > 0.85  # the others drive wide nets
    nets = design.net_names.tolist()
    drives = np.flatnonzero((design.pin_direction == OUTPUT) & (design.pin_inst >= 0))
    checked = 0
    for inst, net in zip(design.pin_inst[drives].tolist(), design.pin_net[drives].tolist(), strict=True):
        if is_flop[inst] and "u_pe" in nets[net]:
            path = found.places[found.inst_module[inst]].path
            assert nets[net].replace("\\", "").replace(".", "/").startswith(path + "/")
            assert found.net_module[net] == found.inst_module[inst]
            checked += 1
    assert checked > 400


def wide_nets_and_clocks_tell_nothing(kit: Path, folder: Path) -> None:
    """Gates without a name take the module of their neighbours, but not over a clock or a net of 33 sinks."""
    nets = {"few": ("SIGNAL", 32), "many": ("SIGNAL", 33), "clock": ("CLOCK", 3)}  # use, and sinks in a module so named
    insts = [f"_{i}_" for i in range(3)] + [f"{name}/x{i}" for name, (_, n) in nets.items() for i in range(n)]
    body = f"COMPONENTS {len(insts)} ;\n"
    body += "".join(f"- {name} G45_INV_X1 + PLACED ( {800 * i} 0 ) N ;\n" for i, name in enumerate(insts))
    body += "END COMPONENTS\nNETS 3 ;\n"
    for i, (name, (use, n)) in enumerate(nets.items()):
        sinks = "".join(f" ( {name}/x{k} A )" for k in range(n))
        body += f"- _n{i}_ ( _{i}_ Y ){sinks} + USE {use} ;\n"
    head = "VERSION 5.8 ;\nDESIGN chip ;\nUNITS DISTANCE MICRONS 2000 ;\nDIEAREA ( 0 0 ) ( 90000 3200 ) ;\n"
    (folder / "x.def").write_text(f"{head}{body}END NETS\nEND DESIGN\n")
    design = read_design([kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"], folder / "x.def")
    found = map_modules(design, by_names("chip"))
    known = [found.places[m].path if m >= 0 else "" for m in found.inst_module[:3].tolist()]
    assert known == ["few", "", ""]
    assert found.inst_way[:3].tolist() == [BY_NEIGHBOURS, NONE, NONE]
    assert found.inst_feeds[:3].tolist() == [-1, -1, -1]


def test_wide_nets_and_clocks_tell_nothing(kit: Path, tmp_path: Path) -> None:
    wide_nets_and_clocks_tell_nothing(kit, tmp_path)


# --- the export


@pytest.fixture(scope="module")
def sources(kit: Path) -> ExportSources:
    """The smallest layout of the kit with its RTL."""
    lef = [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]
    found = sources_of_labels(kit / "labels" / "gsr45" / "crc_bank" / "v0", lef=lef)
    return replace(found, rtl=RtlSources([kit / "rtl" / "crc_bank.v"]))


@pytest.fixture(scope="module")
def exported(sources: ExportSources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its export folder."""
    out = tmp_path_factory.mktemp("modules") / "crc_bank"
    export_design(sources, out)
    return out


def test_an_export_holds_modules(exported: Path, kit: Path) -> None:
    design = open_design(exported)
    assert design.modules is not None
    rows = design.modules.to_pylist()
    assert rows[0] | {"num_insts": 0, "area_um2": 0} == {
        "path": "", "module": "crc_bank", "parent": -1, "file": str(kit / "rtl" / "crc_bank.v"), "line": 23,
        "inst_file": "", "inst_line": 0, "num_insts": 0, "area_um2": 0,
    }  # fmt: skip
    assert {r["module"] for r in rows[1:]} == {"crc_byte"}
    assert {(r["path"], r["line"], r["inst_line"]) for r in rows[1:]} <= {
        (f"u_crc{n}", 5, line) for n, line in ((8, 44), (16, 45), (24, 46), (32, 47))
    }
    insts = design.insts.to_pylist()
    for i, row in enumerate(rows):
        mine = [x for x in insts if x["module"] == i]
        assert row["num_insts"] == len(mine)
        assert row["area_um2"] == pytest.approx(sum(x["width_um"] * x["height_um"] for x in mine))
    assert all(x["module"] == -1 for x in insts if x["is_port"])
    said = design.manifest["modules"]
    assert said["source"] == "rtl"
    for shares in (said["insts_frac"], said["area_frac"]):
        assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    cells = [x for x in insts if not x["is_port"]]
    assert said["insts_frac"]["net"] == pytest.approx(
        sum(x["module_by"] == "net" for x in cells) / len(cells), abs=1e-4
    )
    assert "rtl" in [i["role"] for i in design.manifest["inputs"]]


def test_without_rtl_and_names_there_are_no_modules(sources: ExportSources, tmp_path: Path) -> None:
    manifest = export_design(replace(sources, rtl=RtlSources()), tmp_path / "d")
    design = open_design(tmp_path / "d")
    assert design.modules is None
    assert "modules" not in manifest
    assert "module" not in design.insts.column_names


def test_rtl_of_another_design_is_refused_and_of_a_hook_only_noted(
    sources: ExportSources, kit: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = RtlSources([kit / "rtl" / "fir8.v"])
    with pytest.raises(InputError, match='no module "crc_bank"'):
        export_design(replace(sources, rtl=other), tmp_path / "d")
    hook = {
        "schema": "gsr-hook", "schema_version": 1, "design": "crc_bank", "lefs": [str(p) for p in sources.lef],
        "def": str(sources.def_), "rtl": [str(kit / "rtl" / "crc_bank.v"), "new.sv"], "rtl_defines": ["A=1"],
        "rtl_include": ["."],
    }  # fmt: skip
    path = tmp_path / "hook.json"
    (tmp_path / "new.sv").write_text("package p; endpackage\n")
    path.write_text(json.dumps(hook))
    manifest = export_design(sources_of_hook(path), tmp_path / "a")
    assert manifest["modules"]["source"] == "rtl"
    (note,) = (w for w in manifest["warnings"] if "RTL" in w)
    assert note.startswith(f"1 parts of the RTL are left out (first: {tmp_path}/new.sv:1: ")
    assert note in caplog.messages
    path.write_text(json.dumps(hook | {"rtl": [str(kit / "rtl" / "fir8.v")]}))
    manifest = export_design(sources_of_hook(path), tmp_path / "b")
    assert "modules" not in manifest
    (note,) = (w for w in manifest["warnings"] if "RTL" in w)
    assert note.startswith("RTL is left out: ")
    assert note in caplog.messages


def test_a_module_that_is_not_there_is_refused(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for path in exported.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    table = pq.read_table(folder / "insts.parquet")
    wrong = table["module"].to_pylist()
    wrong[3] = 99
    at = table.column_names.index("module")
    pq.write_table(table.set_column(at, "module", pa.array(wrong, pa.int32())), folder / "insts.parquet")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"]["insts.parquet"] = sha256((folder / "insts.parquet").read_bytes())
    (folder / "manifest.json").write_bytes(to_json(manifest))
    with pytest.raises(InputError, match="insts name a module that is not there"):
        open_design(folder)


# --- hot spots


def with_modules(design: SyntheticDesign) -> SyntheticDesign:
    """The left half of the insts in `u_left`, the others in two instances of `right`; every third is not known."""
    x = design.insts["x_um"].to_numpy()
    module = np.where(x < np.median(x), 1, 2 + (np.arange(len(x)) % 2)).astype(np.int32)
    module[::3] = -1
    table = pa.table(
        {
            "path": ["", "u_left", "u_r1", "u_r2"],
            "module": ["top", "left", "right", "right"],
            "parent": pa.array([-1, 0, 0, 0], pa.int32()),
            "file": ["rtl/top.v", "rtl/a b<i>.v", "rtl/right.v", "rtl/right.v"],
            "line": [1, 7, 9, 9],
        }
    )
    feeds = np.where(module < 0, np.int32(3), np.int32(-1))
    nets = design.nets.append_column("module", pa.array(np.arange(len(design.nets), dtype=np.int32) % 4 - 1))
    nets = nets.append_column("feeds", pa.array(np.full(len(nets), -1, np.int32)))
    manifest = design.manifest | {
        "modules": {"source": "rtl", "area_frac": {"none": 0.33, "name": 0.4, "net": 0.2, "neighbours": 0.07}}
    }
    insts = design.insts.append_column("module", pa.array(module)).append_column("feeds", pa.array(feeds))
    return replace(design, insts=insts, nets=nets, modules=table, manifest=manifest)


def modules_of(prediction: Prediction, design: PlacedDesign, spots: list[HotSpot]) -> list[list[ModuleInSpot]]:
    found = SpotModules(design)
    wires = spot_wires(prediction, design.graph, spots)
    return [found.ranked(spot, wire_um) for spot, wire_um in zip(spots, wires, strict=True)]


def test_shares_of_a_hot_spot_add_up_and_name_the_place(tmp_path: Path) -> None:
    design = with_modules(make_export(tmp_path / "d"))
    prediction = make_prediction(design)
    spots = find_hotspots(prediction)
    ranked = modules_of(prediction, design, spots)
    assert len(ranked) == len(spots) > 0
    for spot, modules in zip(spots, ranked, strict=True):
        assert sum(m.demand_frac for m in modules) == pytest.approx(1)
        assert sum(m.area_frac for m in modules) == pytest.approx(1)
        known = [m for m in modules if m.name]
        assert modules[-1].name == ""
        assert [m.total for m in known] == sorted((m.total for m in known), reverse=True)
        assert sum(m.area_feeds_frac for m in known if m.name == "right") == pytest.approx(modules[-1].area_frac)
        x1, y1, x2, y2 = spot.box_um
        inside = [
            row for row in design.insts.to_pylist()
            if x1 <= row["x_um"] + row["width_um"] / 2 < x2 and y1 <= row["y_um"] + row["height_um"] / 2 < y2
        ]  # fmt: skip
        area = sum(r["width_um"] * r["height_um"] for r in inside)
        for m, rows in (("left", {1}), ("right", {2, 3})):
            mine = sum(r["width_um"] * r["height_um"] for r in inside if r["module"] in rows)
            found = [k for k in known if k.name == m]
            assert (found[0].area_frac if found else 0) == pytest.approx(mine / area)
    right = next(m for modules in ranked for m in modules if m.name == "right")
    assert right.source == "right.v:9"
    assert set(right.paths) <= {"u_r1", "u_r2"}


def test_tables_for_tcl_and_the_report_show_modules(tmp_path: Path) -> None:
    design = with_modules(make_export(tmp_path / "d"))
    prediction = make_prediction(design)
    annotate(prediction, design, tmp_path / "out")
    lines = (tmp_path / "out" / "hotspots.tsv").read_text().splitlines()
    assert lines[1].split("\t")[-2:] == ["top_nets", "top_modules"]
    ranked = modules_of(prediction, design, [s for s in find_hotspots(prediction) if s.is_hot])
    for line, modules in zip(lines[2:], ranked, strict=True):
        words = [decode(field).split(" ", 2) for field in line.split("\t")[-1].split(",")]
        share = [f"{100 * (m.area_frac + m.area_feeds_frac):.0f}%" for m in modules]
        assert words == [[m.name, s, m.source] for m, s in zip(modules, share, strict=True) if m.is_notable]
    made = build_report(prediction, design)
    for text in (made.html(), made.markdown("figures")):
        assert "first modules" in text
        assert "not known" in text
    assert "a b\\u003ci\\u003e.v:7" in made.html()
    assert "a b<i>.v:7" in made.markdown("figures")
    assert "Modules and nets in each hot spot" in made.markdown("figures")
    bare = replace(design, modules=None)
    assert "first modules" not in build_report(prediction, bare).html()
    annotate(prediction, bare, tmp_path / "bare")
    assert (tmp_path / "bare" / "hotspots.tsv").read_text().splitlines()[1].endswith("top_nets")
