"""Access points: the table that OpenROAD writes, pins of an export where it has them, and what is refused."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from circuit_io.access_points import read_access_points, with_access_points
from circuit_io.design import Design, read_design
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_hook, sources_of_labels
from circuit_io.gcells import make_grid
from circuit_io.geometry import ORIENTS
from circuit_io.pin_gcells import pin_gcells
from circuit_io.store import open_design

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests" / "recorded" / "access_points_gsr45.csv"  # of rv32_core v0, by OpenROAD 5c9e487
HEAD = "master,orient,pin,x_um,y_um,layer\n"
OPENROAD = dict(zip(ORIENTS, ("R0", "R180", "R90", "R270", "MY", "MX", "MXR90", "MYR90"), strict=True))


@pytest.fixture(scope="module")
def lef(kit: Path) -> list[Path]:
    return [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]


@pytest.fixture(scope="module")
def labels(kit: Path) -> Path:
    return kit / "labels" / "gsr45" / "crc_bank" / "v0"


@pytest.fixture(scope="module")
def design(lef: list[Path], labels: Path) -> Design:
    return read_design(lef, sources_of_labels(labels, lef=lef).def_)


def written(folder: Path, *lines: str) -> Path:
    (folder / "points.csv").write_text(HEAD + "".join(f"{line}\n" for line in lines))
    return folder / "points.csv"


def test_every_pin_lies_where_the_table_has_it(design: Design, tmp_path: Path) -> None:
    found, said = with_access_points(design, read_access_points(TABLE))
    assert 0.9 < said["access_points"]["pins_frac"] < 1
    grid = make_grid(design.die_dbu, design.layers, signal_layers=("M2", "M5"))
    before, after = pin_gcells(design, grid), pin_gcells(found, grid)
    assert 0.02 < (before != after).mean() < 0.15
    points = read_access_points(TABLE).points
    known = 0
    for pin, inst in enumerate(design.pin_inst.tolist()):
        if inst < 0:
            assert after[pin] == before[pin]
            continue
        master, orient = int(design.inst_master[inst]), ORIENTS[int(design.inst_orient[inst])]
        key = (design.masters.names[master], orient, design.pin_names[int(design.pin_name[pin])])
        if key not in points:
            assert after[pin] == before[pin]
            continue
        known += 1
        x, y = (design.inst_rect_dbu[inst, :2] + np.rint(np.array(points[key][:2]) * design.dbu_per_um)).tolist()
        column, row = int(grid.column(np.array([int(x)]))[0]), int(grid.row(np.array([int(y)]))[0])
        assert after[pin] == row * grid.nx + column
    assert known == round(said["access_points"]["pins_frac"] * (design.pin_inst >= 0).sum())


def test_an_export_and_a_hook_take_the_table(lef: list[Path], labels: Path, tmp_path: Path) -> None:
    sources = replace(sources_of_labels(labels, lef=lef), router_runs=0)
    export_design(sources, tmp_path / "plain")
    manifest = export_design(replace(sources, access_points=TABLE), tmp_path / "moved")
    assert manifest["access_points"]["pins_frac"] > 0.9
    assert ("access_points", TABLE.name) in {(one["role"], one["name"]) for one in manifest["inputs"]}
    plain, moved = (open_design(tmp_path / name).graph for name in ("plain", "moved"))
    assert (plain.pin_gcell != moved.pin_gcell).any()
    assert "access_points" not in open_design(tmp_path / "plain").manifest
    hook = {"lefs": [], "def": "d", "design": "d", "access_points": "points.csv"}
    assert sources_of_hook(tmp_path / "hook.json", hook).access_points == tmp_path / "points.csv"


def test_what_is_no_table_of_this_library_is_refused(design: Design, tmp_path: Path) -> None:
    for lines, why in (
        (["NAND,R0,A,0.1,0.2,M1", "NAND,R0,A,0.3,0.2,M1"], "points.csv:3: pin A of NAND in R0 has a second point"),
        (["NAND,N,A,0.1,0.2,M1"], "points.csv:2: N 0.1 0.2 is no orientation and point"),
        (["NAND,R0,A,nan,0.2,M1"], "is no orientation and point"),
        (["NAND,R0,A,here,0.2,M1"], "is no table"),
    ):
        with pytest.raises(InputError, match=why):
            read_access_points(written(tmp_path, *lines))
    (tmp_path / "points.csv").write_text("pin,x\nA,1\n")
    with pytest.raises(InputError, match="has the columns pin,x"):
        read_access_points(tmp_path / "points.csv")
    with pytest.raises(InputError, match="knows no pin of this design"):
        with_access_points(design, read_access_points(written(tmp_path, "NAND,R0,A,0.1,0.2,M1")))
    inst = int(design.pin_inst[np.flatnonzero(design.pin_inst >= 0)[0]])
    master = design.masters.names[int(design.inst_master[inst])]
    pin = design.pin_names[int(design.pin_name[np.flatnonzero(design.pin_inst == inst)[0]])]
    oriented = f"{master},{OPENROAD[ORIENTS[int(design.inst_orient[inst])]]},{pin}"
    for place in ("1e300,0.2", "0.1,-50"):
        with pytest.raises(InputError, match="lies outside of its inst"):
            with_access_points(design, read_access_points(written(tmp_path, f"{oriented},{place},M1")))
    (tmp_path / "points.csv").write_bytes(b"\xff\xfe,\n1,2\n")
    with pytest.raises(InputError, match="is no table"):
        read_access_points(tmp_path / "points.csv")
    line = f"{master},{OPENROAD[ORIENTS[int(design.inst_orient[inst])]]},{pin},0.1,0.2,Q9"
    with pytest.raises(InputError, match='layer "Q9" is none of the design'):
        with_access_points(design, read_access_points(written(tmp_path, line)))


# Objects of OpenROAD's database as commands: two insts of one master, the second has its pin B connected.
DATABASE = """
proc the_block { what } { return [dict get { getInsts { i1 i2 i3 } getDbUnitsPerMicron 2000 } $what] }
foreach { name orient } { i1 R0 i2 R0 i3 MX } {
  proc $name { what } [string map [list @O $orient @N $name] {
    return [dict get { getMaster cell getOrient @O getITerms { @N.A @N.B } } $what]
  }]
}
proc cell { what } { return {BUF,X1} }
foreach inst { i1 i2 i3 } {
  foreach pin { A B } {
    proc $inst.$pin { what } [string map [list @I $inst @P $pin] {
      if { $what eq "getMTerm" } { return mterm.@P }
      if { "@I@P" eq "i1B" } { return {} }
      return point.@I
    }]
  }
}
foreach pin { A B } { proc mterm.$pin { what } "return $pin" }
foreach { inst x } { i1 200 i2 200 i3 700 } {
  proc point.$inst { what } [string map [list @X $x] {
    return [expr { $what eq "getPoint" ? [list @X 1200] : "layer" }]
  }]
}
proc layer { what } { return M1 }
"""


def test_the_table_has_each_pin_of_a_master_once(tmp_path: Path) -> None:
    out = tmp_path / "points.csv"
    script = (
        f"source {{{ROOT / 'flow_hooks' / 'tcl' / 'gsr.tcl'}}}\n{DATABASE}\n"
        f"puts [::gsr::write_access_points the_block {{{out}.first}} 1]\n"
        f"puts [::gsr::write_access_points the_block {{{out}}}]\n"
        "proc open_pin { what } { return [expr { $what eq {getMTerm} ? {mterm.A} : {} }] }\n"
        "foreach inst { i1 i2 i3 } { foreach pin { A B } { interp alias {} $inst.$pin {} open_pin } }\n"
        f"puts [::gsr::write_access_points the_block {{{out}.none}}]\n"
    )
    done = subprocess.run(["tclsh"], input=script, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["3 0", "4 0", "0 0"], done.stderr
    assert out.read_text() == HEAD + (
        '"BUF,X1",MX,A,0.35,0.6,M1\n"BUF,X1",MX,B,0.35,0.6,M1\n"BUF,X1",R0,A,0.1,0.6,M1\n"BUF,X1",R0,B,0.1,0.6,M1\n'
    )
    assert not (tmp_path / "points.csv.none").exists()
    assert read_access_points(out).points[("BUF,X1", "FS", "B")] == (0.35, 0.6, "M1")
