"""Labels of finished runs of a flow: which runs there are, lengths of routed nets, usage by route guides, databases."""

import gzip
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tcl_session import TCL, run_tcl
from test_label import run_label, write_batch
from test_label_openroad import LABEL_STUB

from circuit_io.def_routes import read_route_lengths
from circuit_io.design import read_design
from circuit_io.errors import InputError
from circuit_io.gcells import HORIZONTAL, make_grid
from circuit_io.labels import edge_mask, find, read_usage
from circuit_io.router_supply import supply_of
from circuit_io.store import open_design
from flow_hooks.labels.finished_runs import find_runs
from gsr_plugin.dataset import find_designs

DEF = """VERSION 5.8 ;
DESIGN top ;
UNITS DISTANCE MICRONS 2000 ;
NETS 5 ;
- a ( u1 A ) ( u2 Y ) + USE SIGNAL
  + ROUTED metal1 ( 0 0 ) ( 2000 * ) via1 ( * 3000 0 )
    NEW metal2 ( 2000 3000 ) MASK 2 ( 2500 * ) RECT ( -100 -100 100 100 )
    NEW metal2 TAPER ( 0 0 ) via2 ;
- "b[0]" ( u1 B ) ( PIN x ) + FIXED metal3 ( 10 10 ) ( 10 10 ) VIRTUAL ( 5010 10 ) ( 5010 2010 ) + SOURCE TIMING ;
- none ( u1 C ) ( u2 D ) ;
- shielded ( u1 E ) ( u2 F ) + ROUTED metal1 ( 0 0 ) ( 1000 0 ) + NOSHIELD metal2 ( 0 0 ) ( 0 500 ) ;
- slanted ( u1 G ) ( u2 H ) + ROUTED metal9 ( 0 0 ) ( 3000 4000 ) ;
END NETS
END DESIGN
"""


def def_file(folder: Path, text: str) -> Path:
    (folder / "a.def").write_text(text)
    return folder / "a.def"


def test_lengths_of_wires_by_hand(tmp_path: Path) -> None:
    found = read_route_lengths(def_file(tmp_path, DEF))
    assert dict(zip(found.names, found.length_um.tolist(), strict=True)) == {
        b"a": (2000 + 3000 + 500) / 2000,
        b'"b[0]"': 2000 / 2000,
        b"shielded": 1500 / 2000,
        b"slanted": 5000 / 2000,
    }
    bare = DEF[: DEF.index("- a")] + "END NETS\nEND DESIGN\n"
    assert read_route_lengths(def_file(tmp_path, bare)).names == ()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("( * 3000 0 )", "( * 3000", 'wiring of net "a" cannot be read'),
        ("( 0 0 ) ( 2000 * )", "( * 0 ) ( 2000 * )", 'wiring of net "a" cannot be read'),
        ("( 1000 0 )", "( 1e3 0 )", 'wiring of net "shielded" cannot be read'),
        ("END NETS", "", "no section NETS with its END"),
        ("MICRONS 2000", "MICRONS", "no UNITS DISTANCE MICRONS"),
        ("- none", "none", '"none": expected "- NET"'),
        ("( 3000 4000 ) ;", "( 3000 4000 )", 'net "slanted" has no ";"'),
    ],
)
def test_wiring_that_cannot_be_read_names_its_net(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in DEF
    with pytest.raises(InputError) as caught:
        read_route_lengths(def_file(tmp_path, DEF.replace(before, after)))
    assert said in str(caught.value)


@given(data=st.data())
def test_a_spoilt_def_is_one_error_or_is_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    words = DEF.split(" ")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(words) - 1))
        words[at] = data.draw(st.sampled_from(["(", ")", "*", ";", "+", "NEW", "ROUTED", "", "-7", "x", "RECT"]))
    path = def_file(tmp_path_factory.getbasetemp(), " ".join(words))
    try:
        found = read_route_lengths(path)
    except InputError:
        return
    assert (found.length_um >= 0).all()


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_runs_of_both_flows_are_found(tmp_path: Path) -> None:
    results = tmp_path / "flow" / "results" / "sky" / "gcd"
    touch(*(results / "base" / name for name in ("6_final.def", "route.guide", "5_1_grt.odb", "5_1_grt.sdc")))
    touch(results / "cut" / "3_place.odb", tmp_path / "flow" / "reports" / "sky" / "gcd" / "base" / "5_route_drc.rpt")
    touch(results / "full" / "5_1_grt-failed.odb")
    run = tmp_path / "spm" / "runs" / "RUN_1"
    touch(*(run / f"{n}-openroad-globalrouting" / name for n in (4, 31) for name in ("spm.def", "after_grt.guide")))
    touch(run / "45-openroad-detailedrouting" / "spm.def", run / "45-openroad-detailedrouting" / "0" / "spm.drc")
    config = {"DESIGN_NAME": "spm", "RT_MIN_LAYER": "met1", "RT_MAX_LAYER": "met4", "GRT_ADJUSTMENT": 0.3}
    (run / "resolved.json").write_text(json.dumps(config | {"GRT_LAYER_ADJUSTMENTS": [0.99, 0, 0.1]}))
    base, cut, full, spm = find_runs(tmp_path)
    assert (base.flow, base.design, base.variant) == ("orfs", "gcd", "base")
    assert base.lacking("guides") == base.lacking("odb") == ""
    assert base.files["drc"].name == "5_route_drc.rpt"
    assert "has no placed DEF and no route guides" in cut.lacking("guides")
    assert "has no database of the global route" in cut.lacking("odb")
    assert full.lacking("odb") == ""
    assert (spm.flow, spm.design, spm.variant) == ("librelane", "spm", "RUN_1")
    assert spm.files["guide"].parent.name == "31-openroad-globalrouting", "the last one"
    assert spm.files["drc"].name == "spm.drc"
    assert (spm.signal_layers, spm.layer_adjustment) == (("met1", "met4"), 0.3)
    assert spm.level_adjustments == (0.99, 0.0, 0.1)
    (run / "resolved.json").write_text(json.dumps(config | {"GRT_ADJUSTMENT": 3}))
    with pytest.raises(InputError, match="GRT_ADJUSTMENT is 3"):
        find_runs(tmp_path)
    with pytest.raises(InputError, match="holds no run of a flow"):
        find_runs(tmp_path / "flow" / "reports")


RUNS = """
schema = "gsr-batch"
schema_version = 1
[technology.gsr45]
lef = ["{tech}/gsr45_tech.lef", "{tech}/gsr45_cells.lef"]
signal_layers = "M2-M5"
layer_adjustment = 0.2
[[runs]]
technology = "gsr45"
dir = "{dir}"
read = "{read}"
"""


@pytest.fixture
def finished(kit: Path, tmp_path: Path) -> Path:
    """A finished run of ORFS: a kit layout with guides of three nets, routes of two, and two DRC violations."""
    text = gzip.decompress((kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz").read_bytes()).decode()
    lef = [kit / "tech" / name for name in ("gsr45_tech.lef", "gsr45_cells.lef")]
    folder = tmp_path / "flow" / "results" / "gsr45" / "crc_bank" / "base"
    folder.mkdir(parents=True)
    head, nets = text.split("\nNETS ", 1)
    first, second, rest = nets.split(" ;\n", 3)[1:]
    routed = f" ;\n{first}\n+ ROUTED M3 ( 0 0 ) ( 4000 0 ) ;\n{second} + ROUTED M2 ( 0 0 ) ( * 1500 ) VIA23 ;\n"
    (folder / "6_final.def").write_text(f"{head}\nNETS {nets.split(' ;', 1)[0]}{routed}{rest}")
    design = read_design(lef, folder / "6_final.def", lib=[])
    x, y = (make_grid(design.die_dbu, design.layers, signal_layers=("M2", "M5")).x_dbu().tolist() for _ in "xy")
    boxes = f"{x[1]} {y[2]} {x[4]} {y[3]} M3\n{x[1]} {y[2]} {x[2]} {y[6]} M2\n{x[1]} {y[2]} {x[3]} {y[3]} M3\n"
    guides = "".join(f"{name}\n(\n{boxes})\n" for name in design.net_names.tolist()[:3])
    (folder / "route.guide").write_text(guides)
    reports = tmp_path / "flow" / "reports" / "gsr45" / "crc_bank" / "base"
    reports.mkdir(parents=True)
    one = "violation type: Short\n\tsrcs: net:a net:b\n\tbbox = (4.0000, 4.0000) - (4.1000, 4.1000) on Layer M3\n"
    (reports / "5_route_drc.rpt").write_text(one * 2)
    touch(tmp_path / "flow" / "results" / "gsr45" / "crc_bank" / "cut" / "2_floorplan.odb")
    return tmp_path / "flow"


def test_labels_by_guides_are_what_the_run_left(kit: Path, tmp_path: Path, finished: Path) -> None:
    batch = write_batch(tmp_path, RUNS.format(tech=kit / "tech", dir=finished / "results", read="guides"))
    done = run_label(batch, tmp_path / "out")
    assert "2 jobs: 1 done, 1 skipped; 1 by this run" in done.output
    assert "gsr45/crc_bank/cut: skipped: is not finished" in done.output
    folder = tmp_path / "out" / "gsr45" / "crc_bank" / "base"
    said = json.loads((folder / "labels" / "done.json").read_text())
    assert said["is_approximate"]
    assert "by its guides (approximate)" in said["router"]
    assert said["labels"]["grt"].startswith("approximate: ")
    assert said["labels"]["wire_length"] == "exact: wires of 6_final.def after detailed routing"
    assert said["labels"]["timing"].startswith("not there: ")
    assert said["labels"]["drc"] == "exact: 5_route_drc.rpt"
    lef = [kit / "tech" / name for name in ("gsr45_tech.lef", "gsr45_cells.lef")]
    design = read_design(lef, find(folder / "labels", "placed.def"), lib=[])
    grid = make_grid(design.die_dbu, design.layers, signal_layers=("M2", "M5"))
    table = read_usage(folder / "labels" / "gcell_usage.csv.gz", nx=grid.nx, ny=grid.ny)
    supply = supply_of(design, grid, dict.fromkeys(table.layers, 0.2))
    for i, layer in enumerate(supply.layers):
        wires = table.usage[i] - (supply.capacity[i] - supply.left[i])
        wires[edge_mask(wires.shape, layer.direction)] = 0
        wanted = np.zeros_like(wires)
        if layer.name == "M3":
            assert layer.direction == HORIZONTAL
            wanted[2, 1:3] = 3  # of three nets, over the edges of three gcells; the shorter guide says nothing new
        if layer.name == "M2":
            wanted[2:5, 1] = 3
        np.testing.assert_array_equal(wires, wanted)
    assert table.reduction is not None
    np.testing.assert_array_equal(table.reduction, supply.capacity - supply.adjusted)
    stored = open_design(folder / "design")
    assert stored.labels is not None
    lengths = stored.labels.net_length_um
    assert sorted(lengths[np.isfinite(lengths)].tolist()) == [0.75, 2.0], "um of 2000 dbu"
    assert stored.manifest["drc_violations"] == {"Short": 2}
    assert stored.manifest["stage"] == "route"
    assert [e.name for e in find_designs([tmp_path / "out"])] == ["gsr45/crc_bank/base"]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["is_approximate"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('signal_layers = "M2-M5"', 'signal_layers = "M3-M5"', "wires run on layer M2, the signal layers are M3 to M5"),
        ('signal_layers = "M2-M5"\n', "", "technology.gsr45 has no signal_layers"),
        ("layer_adjustment = 0.2\n", "", "technology.gsr45 has no layer_adjustment"),
        ('read = "guides"', 'read = "guide"', "Input should be 'odb' or 'guides'"),
        ('[[runs]]\ntechnology = "gsr45"', '[[runs]]\ntechnology = "gsr54"', 'Did you mean "gsr45"'),
        ("results", "results/nowhere", "is no folder"),
    ],
)
def test_runs_that_cannot_be_labelled_say_why(
    kit: Path, tmp_path: Path, finished: Path, before: str, after: str, said: str
) -> None:
    text = RUNS.format(tech=kit / "tech", dir=finished / "results", read="guides")
    assert before in text
    run = run_label(write_batch(tmp_path, text.replace(before, after)), tmp_path / "out")
    assert run.exit_code in (1, 2)
    assert said in run.output, run.output


def test_two_runs_of_one_name_are_refused(kit: Path, tmp_path: Path, finished: Path) -> None:
    text = RUNS.format(tech=kit / "tech", dir=finished / "results", read="guides")
    again = text[text.index("[[runs]]") :]
    run = run_label(write_batch(tmp_path, text + again), tmp_path / "out")
    assert run.exit_code == 2
    assert "another job is named gsr45/crc_bank/base as well" in run.output


def test_a_database_needs_openroad(kit: Path, tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GSR_OPENROAD", "OPENROAD_EXE", "FLOW_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "")
    batch = write_batch(tmp_path, RUNS.format(tech=kit / "tech", dir=finished / "results", read="odb"))
    run = run_label(batch, tmp_path / "out")
    assert run.exit_code == 2
    assert 'read = "guides" in [[runs]]' in run.output


def test_a_database_is_read_not_routed(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    rows = {"odb": "a.odb", "lib": "a.lib", "sdc": "a.sdc", "out_dir": str(tmp_path / "labels")}
    (tmp_path / "job.tsv").write_text("".join(f"{key}\t{value}\n" for key, value in rows.items()))
    before = (
        f"source {{{LABEL_STUB}}}\nproc read_db {{ path }} {{ stub::note read_db $path; lappend stub::state block }}\n"
    )
    run = run_tcl(tmp_path, f"source {{{TCL / 'gsr_label_odb.tcl'}}}", load=False, before=before,
                  env={"GSR_LABEL_JOB": str(tmp_path / "job.tsv")})  # fmt: skip
    assert run.code == 0, run.out
    names = [c[0] for c in run.calls]
    assert names[:4] == ["read_liberty", "read_db", "read_sdc", "estimate_parasitics"]
    assert "global_route" not in names
    done = json.loads((tmp_path / "labels" / "done.json").read_text())
    assert done["labels"] == {"grt": "written", "wire_length": "written", "timing": "written"}


REAL = """
read_lef {tech}/gsr45_tech.lef
read_lef {tech}/gsr45_cells.lef
read_def placed.def
set_global_routing_layer_adjustment M2-M5 0.2
set_routing_layers -signal M2-M5
global_route -allow_congestion -congestion_iterations 30
write_db {out}/5_1_grt.odb
write_guides {out}/route.guide
write_def {out}/6_final.def
report_wire_length -net * -global_route -file lengths.csv
"""


@pytest.mark.openroad
def test_a_real_database_and_its_guides_say_the_same(kit: Path, tmp_path: Path) -> None:
    if not os.environ.get("GSR_OPENROAD"):
        pytest.skip("GSR_OPENROAD is not set")
    text = gzip.decompress((kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz").read_bytes())
    (tmp_path / "placed.def").write_bytes(text)
    out = tmp_path / "results" / "gsr45" / "crc_bank" / "base"
    out.mkdir(parents=True)
    (tmp_path / "run.tcl").write_text(REAL.format(tech=kit / "tech", out=out))
    command = [os.environ["GSR_OPENROAD"], "-exit", "-no_splash", "run.tcl"]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    found = {}
    for read in ("odb", "guides"):
        batch = write_batch(tmp_path / read, RUNS.format(tech=kit / "tech", dir=tmp_path / "results", read=read))
        run = run_label(batch, tmp_path / read / "out")
        assert "1 jobs: 1 done" in run.output, run.output
        found[read] = open_design(tmp_path / read / "out" / "gsr45" / "crc_bank" / "base" / "design").labels
    exact, near = found["odb"], found["guides"]
    assert exact is not None
    assert near is not None
    rows = (line.split() for line in (tmp_path / "lengths.csv").read_text().splitlines() if line.startswith("grt:"))
    assert np.nansum(exact.net_length_um) == pytest.approx(sum(float(row[2]) for row in rows))
    for d in "hv":
        np.testing.assert_array_equal(getattr(near, f"congestion_{d}"), getattr(exact, f"congestion_{d}"))
