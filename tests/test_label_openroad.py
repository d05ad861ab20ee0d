"""Labelling jobs in OpenROAD: the job's script under stand-ins, a pretended openroad in batches, a real one if any."""

import csv
import gzip
import json
import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from tcl_session import HERE, TCL, Session, find_tclsh, run_tcl
from test_doctor import fake_openroad
from test_label import write_batch

from circuit_io import labels as label_files
from circuit_io.drc import read_drc, read_stored_drc
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.store import open_design
from flow_hooks.labels.batch import read_batch
from flow_hooks.labels.batch_jobs import Job, jobs_of
from flow_hooks.labels.labeler import Labelled, label, plan_batch
from flow_hooks.labels.openroad_job import job_text
from flow_hooks.openroad.binary import ACCESS_POINTS, DRC_LABELS, probe_openroad

LABEL_STUB = HERE / "tcl" / "openroad_label.tcl"
NETLIST = """
schema = "gsr-batch"
schema_version = 1
[technology.stub]
lef = ["tech 1.lef", "cells.lef"]
lib = ["a.lib"]
site = "core"
pin_layers = ["metal3", "metal2"]
signal_layers = "metal2-metal4"
layer_adjustment = { metal2 = 0.5, "*" = 0.2 }
taps = "taps.tcl"
power_grid = "pdn.tcl"
[design.top]
technology = "stub"
netlist = "top.v"
sdc = "top.sdc"
"""


def jobs_in(folder: Path, text: str) -> list[Job]:
    folder.mkdir(exist_ok=True)
    for name in ("tech 1.lef", "cells.lef", "a.lib", "top.v", "top.sdc", "top.def"):
        (folder / name).write_text("text\n")
    (folder / "taps.tcl").write_text("tapcell -distance 20 -tapcell_master TAP\n")
    (folder / "pdn.tcl").write_text("stub::note pdn $::env(RAIL)\n")
    path = write_batch(folder, text)
    return jobs_of(read_batch(path), folder, router="openroad", version="1")


def run_script(folder: Path, job: Job, *, before: str = "") -> Session:
    labels = folder / "labels"
    labels.mkdir()
    (folder / "job.tsv").write_text(job_text(job, labels, unpack=folder / "inputs"))
    env = {"GSR_LABEL_JOB": str(folder / "job.tsv"), "RAIL": "VDD"}
    return run_tcl(folder, f"source {{{TCL / 'gsr_label.tcl'}}}", load=False, env=env,
                   before=f"source {{{LABEL_STUB}}}\n{before}")  # fmt: skip


def test_a_netlist_is_placed_as_the_flow_does(tmp_path: Path) -> None:
    (job,) = jobs_in(tmp_path, NETLIST + "[[variant]]\nutilization = 0.7\naspect = 1.5\nseed = 7\npower_grid = true\n")
    run = run_script(tmp_path, job)
    assert run.code == 0, run.out
    wanted = [
        *["read_lef", "read_lef", "read_liberty", "read_verilog", "link_design", "read_sdc"],
        *["initialize_floorplan", "make_tracks", *["set_global_routing_layer_adjustment"] * 2, "set_routing_layers"],
        *["tapcell", "pdn", "pdngen", "global_placement", "place_pins", "global_placement", "detailed_placement"],
        *["improve_placement", "optimize_mirroring", "check_placement", "estimate_parasitics"],
        *["find_timing_paths", "global_route", "estimate_parasitics", "write_def"],
    ]
    passed = {"get_global_placement_uniform_density", "blockages_in_force"}
    assert [c[0] for c in run.calls if c[0] not in passed][: len(wanted)] == wanted
    assert run.named("read_lef")[0][0].endswith("tech 1.lef")
    floorplan = ["-utilization", "70.0", "-aspect_ratio", "1.5", "-core_space", "1", "-site", "core"]
    assert run.named("initialize_floorplan") == [floorplan]
    assert run.named("set_global_routing_layer_adjustment") == [["metal2-metal4", "0.2"], ["metal2", "0.5"]]
    assert run.named("pdn") == [["VDD"]]
    # the density of ORFS: 0.5 + (1 - 0.5) * 0.05 + 0.01
    first, second = run.named("global_placement")
    assert first == ["-skip_io", "-density", "0.5350", "-random_seed", "7"]
    assert second == ["-density", "0.5350", "-random_seed", "7", "-force_center_initial_place"]
    assert run.named("place_pins") == [["-hor_layers", "metal3", "-ver_layers", "metal2"]]
    done = json.loads((tmp_path / "labels" / "done.json").read_text())
    assert done["labels"] == {"grt": "written", "wire_length": "written", "timing": "written"}
    assert {p.name for p in (tmp_path / "labels").iterdir()} >= {"endpoints_place.csv", "endpoints_grt.csv"}


def test_variants_say_what_is_left_out(tmp_path: Path) -> None:
    variant = "[[variant]]\nimprove_placement = false\nroutability_driven = true\n"
    run = run_script(tmp_path, jobs_in(tmp_path, NETLIST + variant)[0])
    assert run.code == 0, run.out
    names = {c[0] for c in run.calls}
    assert not names & {"improve_placement", "pdngen", "tapcell"}
    assert "-routability_driven" in run.named("global_placement")[1]
    assert "-random_seed" not in run.named("global_placement")[1]


@pytest.mark.parametrize(
    ("clock", "told"),
    [
        ("metal2-metal4", ["-clock", "metal2-metal3"]),
        ("metal1-metal2", ["-clock", "metal1-metal2"]),
        ("metal3-metal4", None),  # one layer is left, and OpenROAD takes no range of one
    ],
)
def test_clocks_are_not_routed_above_the_signals(tmp_path: Path, clock: str, told: list[str] | None) -> None:
    layers = f'signal_layers = "metal2-metal3"\nclock_layers = "{clock}"'
    (job,) = jobs_in(tmp_path, NETLIST.replace('signal_layers = "metal2-metal4"', layers))
    run = run_script(tmp_path, job)
    assert run.code == 0, run.out
    assert run.named("set_routing_layers") == [*([told] if told else []), ["-signal", "metal2-metal3"]]


def test_a_placed_def_is_routed_as_it_is(tmp_path: Path) -> None:
    text = NETLIST.replace('netlist = "top.v"', 'def = "top.def"')
    with gzip.open(tmp_path / "packed.def.gz", "wb") as f:
        f.write(b"DESIGN top ;\n")
    (job,) = jobs_in(tmp_path, text.replace("top.def", "packed.def.gz"))
    run = run_script(tmp_path, job)
    assert run.code == 0, run.out
    (read,) = run.named("read_def")
    assert Path(read[0]).read_bytes() == b"DESIGN top ;\n", "openroad gets a plain copy"
    assert not {c[0] for c in run.calls} & {"initialize_floorplan", "global_placement", "detailed_placement"}
    assert len(run.named("global_route")) == 1


def test_a_seed_is_never_dropped_silently(tmp_path: Path) -> None:
    (job,) = jobs_in(tmp_path, NETLIST + "[[variant]]\nseed = 7\n")
    run = run_script(tmp_path, job, before="sta::define_cmd_args global_placement {-density}")
    assert run.code == 1
    assert "has no -random_seed" in run.out


def detailed_jobs(folder: Path, technology: str, design: str, *variants: str) -> list[Job]:
    text = NETLIST.replace("[design.top]", f"{technology}\n[design.top]\n{design}")
    return jobs_in(folder, text + "".join(f"[[variant]]\n{variant}\n" for variant in variants))


def test_iterations_of_the_variant_go_before_the_designs(tmp_path: Path) -> None:
    def told(technology: str, design: str, *variants: str) -> list[object]:
        jobs = detailed_jobs(tmp_path, technology, design, *variants)
        return [job.settings["router"].get("detailed_iterations") for job in jobs]

    three, two, one, none = (f"detailed_iterations = {n}" for n in (3, 2, 1, 0))
    assert told(three, two, one, "seed = 1", none) == [1, 2, None]
    assert told(three, "", "") == [3]
    assert told(three, none, "") == [None]


def test_without_a_detailed_route_jobs_keep_their_hashes(tmp_path: Path) -> None:
    """What was labelled before there was the key is not labelled again."""
    (plain,) = jobs_in(tmp_path, NETLIST)
    assert plain.sha256 == "e1bcb7f02c48c2d0f663f6f87c30341b0589c53e7413949027846591aecbf1f2"
    (none,), (some,) = (detailed_jobs(tmp_path, f"detailed_iterations = {n}", "", 'name = "v0"') for n in (0, 1))
    assert none.sha256 == plain.sha256
    assert some.sha256 != plain.sha256


def test_pin_access_comes_before_the_global_router(tmp_path: Path) -> None:
    wanted, plain = detailed_jobs(tmp_path, "pin_access = true", "", 'name = "v0"', "pin_access = false")
    assert wanted.settings["router"]["pin_access"] is True
    assert wanted.settings["router"]["name"] == "OpenROAD global_route, congestion_iterations 30, after pin_access"
    assert "pin_access" not in plain.settings["router"]
    (before,) = jobs_in(tmp_path, NETLIST)
    assert before.sha256 != wanted.sha256, "v0 is labelled again"
    run = run_script(tmp_path, wanted)
    assert run.code == 0, run.out
    names = [c[0] for c in run.calls]
    assert names.index("check_placement") < names.index("pin_access") == names.index("global_route") - 1


def test_labels_after_pin_access_bring_its_points_to_the_export(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_POINTS", str(HERE / "recorded" / "access_points_gsr45.csv"))
    found = run_batch(tmp_path, kit, monkeypatch, more="pin_access = true")
    assert found.count("done") == 1, found.text()
    folder = tmp_path / "out" / "gsr45" / "crc_bank" / "v0"
    assert open_design(folder / "design").manifest["access_points"]["pins_frac"] > 0.9
    assert json.loads((folder / "labels" / "done.json").read_text())["router_settings"]["pin_access"] is True
    assert json.loads((folder / "job.json").read_text())["settings"]["router"]["pin_access"] is True
    lef = [kit / "tech" / name for name in ("gsr45_tech.lef", "gsr45_cells.lef")]
    assert sources_of_labels(folder / "labels", lef=lef).access_points == folder / "labels" / "access_points.csv"
    assert sources_of_labels(kit / "labels" / "gsr45" / "crc_bank" / "v0", lef=lef).access_points is None


def test_labels_after_pin_access_without_its_points_are_none(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_batch(tmp_path, kit, monkeypatch, more="pin_access = true")
    assert found.count("failed") == 1
    assert "openroad wrote no access points after pin_access" in found.text()
    found = run_batch(tmp_path, kit, monkeypatch, more="pin_access = true", without=("pin_access",))
    assert "this openroad has no pin_access: name one that has (GSR_OPENROAD)" in found.text()


@pytest.mark.parametrize("value", ["-1", "65", "2.0", "true", '"2"'])
def test_iterations_are_a_whole_number_up_to_openroads_most(tmp_path: Path, value: str) -> None:
    with pytest.raises(InputError, match=r"technology\.stub\.detailed_iterations = "):
        detailed_jobs(tmp_path, f"detailed_iterations = {value}", "")


def run_detailed(folder: Path, violations: str = "", *, reported: int = 10_000) -> Session:
    (job,) = detailed_jobs(folder, "", "detailed_iterations = 5", "")
    before = f"set ::stub::violations {{{violations}}}\nset ::stub::reported {reported}"
    return run_script(folder, job, before=before)


SHORTS = "Short {net:a net:b} {4.0 4.0 4.1 4.1} M3 {Metal Spacing} net:a {30.0 4.0 30.1 4.1} M2 "


def test_a_detailed_route_comes_after_all_other_labels(tmp_path: Path) -> None:
    run = run_detailed(tmp_path, SHORTS)
    assert run.code == 0, run.out
    report = tmp_path / "labels" / "route_drc.rpt"
    assert run.calls[-1] == ["detailed_route", "-output_drc", str(report), "-droute_end_iter", "5", "-verbose", "0"]
    assert {"write_def", "report_wire_length", "global_route"} <= {c[0] for c in run.calls[:-1]}
    assert read_drc(report).kinds == ("Short", "Metal Spacing")


def test_a_clean_detailed_route_leaves_an_empty_report(tmp_path: Path) -> None:
    run = run_detailed(tmp_path)
    assert run.code == 0, run.out
    assert (tmp_path / "labels" / "route_drc.rpt").read_text() == ""


def test_a_report_that_openroad_cut_is_no_label(tmp_path: Path) -> None:
    run = run_detailed(tmp_path, SHORTS * 2, reported=3)
    assert run.code == 1
    assert "detailed_route leaves 4 violations, of which its report holds 3" in run.out
    assert "raise detailed_iterations" in run.out


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('site = "core"', "", "technology.stub has no site"),
        ('power_grid = "pdn.tcl"', "", "technology.stub has no power_grid"),
        ('signal_layers = "metal2-metal4"', "", "technology.stub has no signal_layers"),
        ("top.sdc", "lost.sdc", "lost.sdc: No such file"),
    ],
)
def test_what_a_job_lacks_is_told_before_it_runs(tmp_path: Path, before: str, after: str, reason: str) -> None:
    text = NETLIST.replace(before, after) + "[[variant]]\npower_grid = true\n"
    assert reason in jobs_in(tmp_path, text)[0].fault


def pretended_openroad(folder: Path, kit: Path, variant: str, *, without: tuple[str, ...] = ()) -> Path:
    """An openroad of tclsh and the stand-ins that reports the grid and the usage of a labelled kit layout."""
    labels = kit / "labels" / "gsr45" / "crc_bank" / variant
    x, y = label_files.read_gcell_grid(labels / "gcell_grid.csv")
    with gzip.open(labels / "gcell_usage.csv.gz", "rt") as f:
        rows = list(csv.reader(f))[1:]
    usage = " ".join(f"{r[0]},{r[2]},{r[3]} {{{r[4]} {r[5]}}}" for r in rows)
    layers = " ".join(f"M{i} {'HORIZONTAL' if i % 2 else 'VERTICAL'}" for i in range(1, 9))
    (folder / "design.tcl").write_text(
        f"source {{{LABEL_STUB}}}\nset ::stub::design crc_bank\nset ::stub::layers {{{layers}}}\n"
        f"set ::stub::grid {{ x {{{' '.join(map(str, x))}}} y {{{' '.join(map(str, y))}}} }}\n"
        f"set ::stub::routing_range {{ 2 5 }}\narray set usage {{{usage}}}\n"
        f"set placed {{{labels / 'placed.def.gz'}}}\n"
        "foreach name [dict keys $::stub::layers] {\n  dict set ::stub::adjustments $name 0.20000000298\n"
        "  interp alias {} ::layer_$name {} ::stub::layer $name\n}\n"
        "proc stub::gcell_grid { method args } {\n  variable grid\n  switch -- $method {\n"
        "    getGridX { return [dict get $grid x] }\n    getGridY { return [dict get $grid y] }\n"
        "    default {\n      lassign $args layer ix iy\n      set row $::usage([$layer getName],$ix,$iy)\n"
        "      return [lindex $row [expr { $method eq {getUsage} }]]\n    }\n  }\n}\n"
        "proc write_def { path } { exec gzip -dc $::placed > $path }\n"
        "rename write_guides {}\n"
        "if { [info exists ::env(FAKE_POINTS)] } {\n  rename ::pin_access stub::access\n"
        "  proc ::pin_access { args } {\n    stub::access {*}$args\n"
        "    proc ::gsr::write_access_points { block path } {\n      file copy $::env(FAKE_POINTS) $path\n    }\n"
        "  }\n}\n"
        'proc report_wire_length { args } { write_text [lindex $args end] "grt: _0000_ 27 4" }\n'
        f"set ::stub::violations {{{SHORTS}}}\n"
    )
    probe = fake_openroad(folder, without=without)
    answers = probe.read_text().replace("#!/bin/sh\n", "")
    probe.write_text(
        '#!/bin/sh\nif [ -n "$GSR_LABEL_JOB" ]; then\n  for last; do :; done\n'
        '  [ -n "$FAKE_FAILS" ] && { echo "[ERROR GRT-0232] no tracks at all"; exit 1; }\n'
        f'  echo "source {shlex.quote(str(folder / "design.tcl"))}; source $last" > all.tcl\n'
        f"  exec {find_tclsh()} all.tcl\nfi\n{answers}"
    )
    return probe


KIT = """
schema = "gsr-batch"
schema_version = 1
[technology.gsr45]
lef = ["{tech}/gsr45_tech.lef", "{tech}/gsr45_cells.lef"]
signal_layers = "M2-M5"
layer_adjustment = 0.2
env = {{ FAKE_FAILS = "{fails}" }}
[design.crc_bank]
technology = "gsr45"
def = "{placed}"
{more}
"""


def run_batch(
    folder: Path,
    kit: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    fails: str = "",
    variant: str = "v0",
    more: str = "",
    without: tuple[str, ...] = (),
) -> Labelled:
    monkeypatch.setenv("GSR_OPENROAD", str(pretended_openroad(folder, kit, variant, without=without)))
    placed = kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz"
    batch = write_batch(folder, KIT.format(tech=kit / "tech", placed=placed, fails=fails, more=more))
    return label(plan_batch(batch), folder / "out")


def test_a_batch_in_openroad_gives_what_export_gives(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_batch(tmp_path, kit, monkeypatch)
    assert found.count("done") == 1, found.text()
    got = open_design(tmp_path / "out" / "gsr45" / "crc_bank" / "v0" / "design").labels
    lef = [kit / "tech" / name for name in ("gsr45_tech.lef", "gsr45_cells.lef")]
    export_design(sources_of_labels(kit / "labels" / "gsr45" / "crc_bank" / "v0", lef=lef), tmp_path / "wanted")
    wanted = open_design(tmp_path / "wanted").labels
    assert got is not None
    assert wanted is not None
    for name in ("congestion_h", "congestion_v", "overflow_h", "overflow_v"):
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name))
    folder = tmp_path / "out" / "gsr45" / "crc_bank" / "v0" / "labels"
    with gzip.open(folder / "gcell_usage.csv.gz", "rt") as f:
        header, first = list(csv.reader(f))[:2]
    assert header[4:] == ["capacity", "usage", "reduction"]
    assert first[4:] == ["15.0", "3.0", "3.0"], "floor(15 * 0.8) tracks are left"
    done = json.loads((folder / "done.json").read_text())
    assert done["is_approximate"] is False
    assert done["openroad"] == "26Q3-stub"


def test_openroads_own_error_is_shown(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_batch(tmp_path, kit, monkeypatch, fails="1")
    assert found.count("failed") == 1
    assert "exit code 1: [ERROR GRT-0232] no tracks at all" in found.text()
    assert (tmp_path / "out" / "failed" / "gsr45" / "crc_bank" / "v0" / "openroad.log").is_file()


def test_violations_of_a_detailed_route_are_exported(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_batch(tmp_path, kit, monkeypatch, more="detailed_iterations = 3")
    assert found.count("done") == 1, found.text()
    folder = tmp_path / "out" / "gsr45" / "crc_bank" / "v0"
    stored = open_design(folder / "design")
    assert stored.manifest["drc_violations"] == {"Metal Spacing": 1, "Short": 1}
    counts = read_stored_drc(stored)
    assert counts is not None
    assert counts.count.tolist() == [1, 1]
    assert (folder / "labels" / "route_drc.rpt.gz").is_file()
    assert not (folder / "labels" / "route_drc.rpt").exists()
    done = json.loads((folder / "labels" / "done.json").read_text())
    assert done["labels"]["drc"] == "exact: OpenROAD detailed_route of this placement, -droute_end_iter 3"
    assert done["router_settings"]["detailed_iterations"] == 3


def test_an_openroad_without_detailed_router_is_told_before_anything_runs(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_batch(tmp_path, kit, monkeypatch, more="detailed_iterations = 3", without=("detailed_route",))
    assert found.count("failed") == 1
    assert "this openroad has no detailed_route: name one that has (GSR_OPENROAD)" in found.text()
    assert found.num_new == 0
    assert not list((tmp_path / "out").rglob("openroad.log"))
    # with a binary that has it the same command does the job, without --retry
    again = run_batch(tmp_path, kit, monkeypatch, more="detailed_iterations = 3")
    assert again.count("done") == 1, again.text()
    # and what asks for none needs none
    found = run_batch(tmp_path, kit, monkeypatch, without=("detailed_route",))
    assert found.count("done") == 1, found.text()


@pytest.mark.openroad
def test_a_real_openroad_labels_a_kit_design(kit: Path, tmp_path: Path) -> None:
    if not os.environ.get("GSR_OPENROAD"):
        pytest.skip("GSR_OPENROAD is not set")
    tech = kit / "tech"
    batch = write_batch(
        tmp_path,
        'schema = "gsr-batch"\nschema_version = 1\n[technology.gsr45]\n'
        f'lef = ["{tech}/gsr45_tech.lef", "{tech}/gsr45_cells.lef"]\nlib = ["{tech}/gsr45_typ.lib"]\n'
        'site = "gsr45_core"\npin_layers = ["M3", "M4"]\ncore_margin_um = 3.2\nsignal_layers = "M2-M5"\n'
        f'layer_adjustment = 0.2\n[design.crc_bank]\ntechnology = "gsr45"\nnetlist = "{kit}/netlists/crc_bank.v.gz"\n'
        f'sdc = "{kit}/rtl/crc_bank.sdc"\n',
    )
    found = label(plan_batch(batch), tmp_path / "out")
    assert found.count("done") == 1, found.text()
    labels = open_design(tmp_path / "out" / "gsr45" / "crc_bank" / "v0" / "design").labels
    assert labels is not None
    assert np.nanmean(labels.congestion_h) > 0.05


@pytest.mark.openroad
def test_a_real_pin_access_before_the_route(kit: Path, tmp_path: Path) -> None:
    """The router takes other ways than without it, and the export knows where it went for the pins."""
    openroad = os.environ.get("GSR_OPENROAD") or pytest.skip("GSR_OPENROAD is not set")
    if not probe_openroad(Path(openroad)).has[ACCESS_POINTS]:
        pytest.skip(f"{openroad} has no pin_access")
    placed = kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz"
    variants = '[[variant]]\nname = "with"\npin_access = true\n[[variant]]\nname = "without"\n'
    batch = write_batch(tmp_path, KIT.format(tech=kit / "tech", placed=placed, fails="", more=variants))
    found = label(plan_batch(batch), tmp_path / "out")
    assert found.count("done") == 2, found.text()
    with_, without = (open_design(tmp_path / "out" / "gsr45" / "crc_bank" / n / "design") for n in ("with", "without"))
    assert with_.manifest["access_points"] == {"pins_frac": 1.0}
    assert "access_points" not in without.manifest
    assert with_.labels is not None
    assert without.labels is not None
    one, other = with_.labels.congestion_h, without.labels.congestion_h
    assert 0.9 < np.corrcoef(one[np.isfinite(one)], other[np.isfinite(one)])[0, 1] < 0.999


@pytest.mark.slow
@pytest.mark.openroad
def test_a_real_detailed_route_of_a_kit_placement(kit: Path, tmp_path: Path) -> None:
    """Fewer iterations leave more violations, all of them where the placement is."""
    openroad = os.environ.get("GSR_OPENROAD") or pytest.skip("GSR_OPENROAD is not set")
    if not probe_openroad(Path(openroad)).has[DRC_LABELS]:
        pytest.skip(f"{openroad} has no detailed_route")
    placed = kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz"
    variants = "".join(f'[[variant]]\nname = "n{n}"\ndetailed_iterations = {n}\n' for n in (1, 20))
    batch = write_batch(tmp_path, KIT.format(tech=kit / "tech", placed=placed, fails="", more=variants))
    found = label(plan_batch(batch), tmp_path / "out")
    assert found.count("done") == 2, found.text()
    left = []
    for name in ("n1", "n20"):
        counts = read_stored_drc(open_design(tmp_path / "out" / "gsr45" / "crc_bank" / name / "design"))
        assert counts is not None
        left.append(int(counts.count.sum()))
    assert left[0] > left[1]
