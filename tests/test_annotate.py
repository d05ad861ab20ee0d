"""Annotations are read back by the rules of OpenROAD's own readers, by Tcl, and by plain CSV readers."""

import csv
import gzip
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import UGLY, SyntheticDesign, make_export, make_pair, make_prediction

from circuit_io.drc_risk import find_risks
from circuit_io.errors import InputError
from circuit_io.hotspots import find_hotspots
from circuit_io.maps import VIOLATED
from circuit_io.metric_keys import METRIC_KEYS, stage_prefix
from circuit_io.prediction import Prediction, read_prediction
from circuit_io.spot_nets import first_nets, spot_wires
from flow_hooks.annotations.annotate import (
    Annotations,
    annotate,
    hotspots_tsv,
    inst_table,
    metrics_tsv,
    net_names,
    net_table,
    plan_metrics,
    table_csv,
    write_flow_metrics,
)
from flow_hooks.annotations.markers import RISK, markers_json, markers_tr
from flow_hooks.feedback.file import write_feedback
from flow_hooks.feedback.planner import plan_feedback
from flow_hooks.tsv import decode

TCL = Path(__file__).resolve().parent.parent / "flow_hooks" / "tcl"
Pair = tuple[SyntheticDesign, Prediction]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    design, folder = make_pair(tmp_path)
    return design, read_prediction(folder)


@pytest.fixture
def written(pair: Pair, tmp_path: Path) -> tuple[Path, Annotations]:
    design, prediction = pair
    return tmp_path / "notes", annotate(prediction, design, tmp_path / "notes")


def read_tr(text: str) -> list[dict[str, object]]:
    """Markers as `dbMarkerCategory::fromTR` takes a report apart, with its own regular expressions."""
    lines = iter(text.split("\n"))
    out = []
    for line in lines:
        if not line:
            continue
        kind = re.fullmatch(r"\s*violation type: (.*)", line)
        assert kind, line
        srcs = re.fullmatch(r"\s*srcs: (.*)", next(lines))
        assert srcs
        line = next(lines)
        comment = re.fullmatch(r"\s*(comment|congestion information): (.*)", line)
        if comment:
            line = next(lines)
        place = re.fullmatch(r"\s*bbox = (.*) on Layer (.*)", line)
        assert place, line
        box = re.fullmatch(r"\s*\(\s*(.*),\s*(.*)\s*\)\s*-\s*\(\s*(.*),\s*(.*)\s*\)", place[1])
        assert box, line
        out.append(
            {
                "type": kind[1],
                "sources": [s.partition(":")[2] for s in srcs[1].split(" ") if s],
                "kinds": {s.partition(":")[0] for s in srcs[1].split(" ") if s},
                "comment": comment[2] if comment else "",
                "box": tuple(float(v) for v in box.groups()),
                "layer": place[2],
            }
        )
    return out


def test_marker_report_is_read_by_openroads_rules(written: tuple[Path, Annotations]) -> None:
    folder, found = written
    *markers, risk = read_tr((folder / "markers.rpt").read_text())
    assert (risk["type"], risk["sources"], risk["layer"]) == (RISK, [], "-")
    assert len(markers) == len(found.spots) > 1
    for marker, spot in zip(markers, found.spots, strict=True):
        assert marker["type"] == f"{spot.name.capitalize()} congestion"
        assert marker["layer"] == "-"
        assert marker["kinds"] <= {"net"}
        np.testing.assert_allclose(marker["box"], spot.box_um, atol=5e-5)
        assert re.match(r"capacity:\S+ usage:\S+ congestion:\S+ ", str(marker["comment"]))


def test_ugly_names_in_markers(pair: Pair) -> None:
    spot = find_hotspots(pair[1])[:1]
    (marker,) = read_tr(markers_tr(spot, [list(UGLY)]))
    assert marker["sources"] == [r"bus\[3\]", "$x*", "größe", "u1/_44_", "p%q", '"q"', "<b>&amp;"]
    (child,) = json.loads(markers_json(spot, [[*UGLY, "\udcff"]]))["GSR congestion"]["category"].values()
    assert [s["name"] for s in child["violations"][0]["sources"]] == list(UGLY)
    assert read_tr(markers_tr(spot, [[]]))[0]["sources"] == []
    assert markers_tr([], []) == ""


def test_risks_are_connected_gcells(pair: Pair) -> None:
    prediction = pair[1]
    prob = np.zeros(prediction.shape, np.float32)
    prob[2, 3:5], prob[3, 4], prob[6, 6], prob[0, 0] = 0.75, 0.5, 0.9, 0.4
    first, second = find_risks(replace(prediction, maps={**prediction.maps, VIOLATED: prob}))
    x, y = prediction.x_um, prediction.y_um
    assert first.box_um == (x[3], y[2], x[5], y[4])
    assert (first.gcells, first.expected, first.peak) == (3, 2.0, 0.75)
    assert (second.box_um, second.gcells) == ((x[6], y[6], x[7], y[7]), 1)
    bare = {name: values for name, values in prediction.maps.items() if name != VIOLATED}
    assert find_risks(replace(prediction, maps=bare)) == []


def test_marker_json_has_openroads_form(written: tuple[Path, Annotations]) -> None:
    folder, found = written
    ((category, top),) = json.loads((folder / "markers.json").read_text()).items()
    assert category == "GSR congestion"
    assert top["max_markers"] == "10000"
    assert set(top["category"]) == {"Horizontal congestion", "Vertical congestion", RISK}
    markers = [m for child in top["category"].values() for m in child["violations"]]
    assert len(markers) == len(found.spots) + 1
    for m in markers:
        assert set(m) == {"comment", "visited", "visible", "waived", "shape", "sources"}
        assert (m["visited"], m["visible"], m["waived"]) == ("false", "true", "false")
        (shape,) = m["shape"]
        assert shape["type"] == "box"
        low, high = ((float(p["x"]), float(p["y"])) for p in shape["points"])
        assert low < high
        assert all(s["type"] == "net" and s["name"] for s in m["sources"])
    assert json.loads(markers_json([], []))["GSR congestion"].get("category") is None


def test_our_markers_look_like_the_routers(gsr_data: Path, written: tuple[Path, Annotations]) -> None:
    report = next(iter(sorted((gsr_data / "labels").glob("*/*/*/congestion.rpt.gz"))))
    theirs = gzip.decompress(report.read_bytes()).decode()
    assert len(read_tr(theirs)) > 0

    def form(text: str) -> str:
        line = text.split("\nviolation")[0]
        line = re.sub(r"net:\S+( net:\S+)*", "net:N", re.sub(r"(Horizontal|Vertical)", "D", line))
        return re.sub(r" predicted.*", "", re.sub(r"\d+(\.\d+)?", "0", line)).strip()

    assert form(theirs) == form((written[0] / "markers.rpt").read_text())


def test_hotspots_table(written: tuple[Path, Annotations], pair: Pair) -> None:
    folder, found = written
    first, second, *rows = (folder / "hotspots.tsv").read_text().splitlines()
    assert first == "#gsr-hotspots 1"
    assert second == "rank\tdirection\tx1\ty1\tx2\ty2\tcongestion\ttop_nets"
    assert len(rows) == len(found.spots)
    names = net_names(pair[0], found.nets)
    for row, spot, nets in zip(rows, found.spots, names, strict=True):
        rank, direction, *box, peak, top = row.split("\t")
        assert (int(rank), direction, float(peak)) == (spot.rank, spot.name, pytest.approx(spot.peak, abs=1e-4))
        assert tuple(map(float, box)) == spot.box_um
        assert [decode(name) for name in top.split(",")] == nets
    (spot,) = found.spots[:1]
    assert hotspots_tsv([spot], [["a,b c", "d"]]).splitlines()[2].endswith("\ta%2Cb%20c,d")


def test_cool_designs_have_no_markers(tmp_path: Path) -> None:
    design = make_export(tmp_path / "d")
    found = annotate(make_prediction(design, base=0.3, hot=()), design, tmp_path / "out")
    assert found.spots == []
    assert (tmp_path / "out" / "markers.rpt").read_text() == ""
    assert (tmp_path / "out" / "hotspots.tsv").read_text().count("\n") == 2


# ---- metrics


def test_metrics_files(written: tuple[Path, Annotations]) -> None:
    folder, found = written
    assert json.loads((folder / "metrics.json").read_text()) == found.metrics
    head, *rows = (folder / "metrics.tsv").read_text().splitlines()
    assert head == "#gsr-metrics 1"
    assert {k: float(v) for k, v in (row.split("\t") for row in rows)} == found.metrics
    for key in found.metrics:
        assert key.partition("__")[2] in METRIC_KEYS
    assert metrics_tsv({"b": 1.0, "a": 0.25}) == "#gsr-metrics 1\na\t0.25\nb\t1\n"


def test_metrics_of_the_plan(pair: Pair, tmp_path: Path) -> None:
    design, prediction = pair
    plan = plan_feedback(prediction, design.manifest, design=design)
    found = annotate(prediction, design, tmp_path / "out", plan=plan)
    assert found.metrics["detailedplace__gsr__feedback__actions"] == len(plan.actions) > 0
    assert plan_metrics(plan, "cts")["cts__gsr__feedback__blocked_area"] == plan.used_um2


@pytest.mark.parametrize(
    ("stage", "key"),
    [
        ("detailedplace", "detailedplace__gsr__gcell__count"),
        ("globalplace_io", "globalplace_io__gsr__gcell__count"),
        ("GLOBAL_ROUTE", "globalroute__gsr__gcell__count"),
    ],
)
def test_flow_metrics(tmp_path: Path, stage: str, key: str) -> None:
    path = tmp_path / "logs" / "5_0_gsr.json"
    write_flow_metrics(path, stage, {"detailedplace__gsr__gcell__count": 4.0})
    assert json.loads(path.read_text()) == {key: 4.0}
    write_flow_metrics(path, stage, {})
    assert json.loads(path.read_text()) == {}, "a later run replaces it"
    with pytest.raises(InputError, match='unknown stage "x"'):
        write_flow_metrics(path, "x", {})


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="needs tclsh (apt-get install tcl)")
def test_tcl_and_python_agree_on_steps() -> None:
    script = f"""
source {{{TCL / "gsr.tcl"}}}
foreach step [dict keys $::gsr::steps] {{
  foreach when {{ PRE POST }} {{
    set facts [gsr::step_facts $when $step]
    puts "$when $step [dict get $facts metrics_file] [dict get $facts metrics_stage]"
  }}
}}
"""
    done = subprocess.run(["tclsh"], input=script, capture_output=True, text=True, timeout=60, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len({name for *_, name, _ in rows}) == len(rows) == 32
    for when, step, name, prefix in rows:
        assert re.fullmatch(r"[1-6]_.*\.json", name)
        assert stage_prefix(prefix) == prefix
        if when == "POST":
            assert stage_prefix(step) == prefix


# ---- tables


def test_tables_are_worst_first_and_keep_every_name(written: tuple[Path, Annotations], pair: Pair) -> None:
    design, prediction = pair
    for file, first, value, names, values in (
        ("nets.csv", "net", "overflow_tracks", design.nets["name"], prediction.net_demand),
        ("insts.csv", "inst", "congestion", design.insts["name"], prediction.inst_congestion),
    ):
        with (written[0] / file).open(newline="") as f:
            rows = list(csv.DictReader(f))
        assert next(iter(rows[0])) == first
        found = [np.float32(row[value]) for row in rows]
        assert found == sorted(found, reverse=True)
        expected = dict(zip(names.to_pylist(), values, strict=True))
        assert {row[first]: np.float32(row[value]) for row in rows} == expected
        assert set(UGLY) <= {row[first] for row in rows}
    assert net_table(prediction, design).column_names == ["net", "use", "degree", "hpwl_um", "overflow_tracks"]
    assert inst_table(prediction, design).column_names == ["inst", "master", "x_um", "y_um", "is_port", "congestion"]


def test_a_prediction_without_tables_has_empty_ones(pair: Pair) -> None:
    design, prediction = pair
    bare = Prediction(prediction.manifest, prediction.x_um, prediction.y_um, prediction.maps)
    assert table_csv(net_table(bare, design)) == b"net\n"
    assert list(csv.reader(io.StringIO(table_csv(inst_table(bare, design)).decode()))) == [["inst"]]


def test_inst_values_for_tcl(written: tuple[Path, Annotations], pair: Pair) -> None:
    first, second, *rows = (written[0] / "insts.tsv").read_text().splitlines()
    assert (first, second) == ("#gsr-insts 1", "inst\tcongestion")
    names = [decode(row.split("\t")[0]) for row in rows]
    assert names == pair[0].insts["name"].to_pylist()


# ---- refusals


def test_existing_files_need_overwrite(written: tuple[Path, Annotations], pair: Pair) -> None:
    design, prediction = pair
    with pytest.raises(InputError, match="exists already"):
        annotate(prediction, design, written[0])
    before = {p.name: p.read_bytes() for p in written[0].iterdir()}
    annotate(prediction, design, written[0], overwrite=True)
    assert before == {p.name: p.read_bytes() for p in written[0].iterdir()}, "same input, same bytes"


def test_another_design_is_refused(pair: Pair, tmp_path: Path) -> None:
    other = make_export(tmp_path / "other", design="other")
    with pytest.raises(InputError, match="made for another placement"):
        annotate(pair[1], other, tmp_path / "out")
    fewer = make_export(tmp_path / "fewer", num_nets=499)
    with pytest.raises(InputError, match="has values for 500 nets, the design has 499"):
        annotate(pair[1], fewer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- the Tcl side


@pytest.mark.skipif(shutil.which("tclsh") is None, reason="needs tclsh (apt-get install tcl)")
def test_tcl_reads_every_file_and_applies_the_plan(
    written: tuple[Path, Annotations], pair: Pair, tmp_path: Path
) -> None:
    design, prediction = pair
    plan = plan_feedback(prediction, design.manifest, design=design)
    write_feedback(written[0] / "feedback.tsv", plan)
    insts = [name for name in design.insts["name"].to_pylist() if "\n" not in name]
    die = [round(1000 * v) for v in plan.die_um]
    (tmp_path / "names.txt").write_text("\n".join(insts))
    script = f"""
source {{{TCL.parent.parent / "tests" / "tcl" / "openroad_stub.tcl"}}}
set ::stub::design synthetic
set ::stub::die {{ {die[0]} {die[1]} {die[2]} {die[3]} }}
set channel [open {{{tmp_path / "names.txt"}}} r]
fconfigure $channel -encoding utf-8
foreach name [split [read $channel] \\n] {{ stub::add_inst $name }}
source {{{TCL / "gsr.tcl"}}}
gsr_apply_feedback -out_dir {{{written[0]}}} -step GLOBAL_PLACE
global_placement
gsr_report_prediction -out_dir {{{written[0]}}} -worst 3
gsr_annotate -out_dir {{{written[0]}}} -properties -markers
set made 0
foreach call $::stub::calls {{ incr made [expr {{ [lindex $call 0] eq "create_blockage" }}] }}
puts "made=$made properties=[dict size $::stub::properties]"
puts "density=[dict get [gsr::read_pairs {{{written[0] / "metrics.tsv"}}}] detailedplace__gsr__hotspot__count]"
"""
    environment = {"PATH": "/usr/bin:/bin", "GSR_MODE": "apply", "GSR_ON_ERROR": "fail", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["tclsh"], input=script, capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"made={len(plan.of('density_blockage'))} properties={len(insts)}" in done.stdout
    assert f"density={written[1].metrics['detailedplace__gsr__hotspot__count']:.0f}" in done.stdout
    assert "horizontal" in done.stdout
    record = json.loads((written[0] / "gsr_feedback.json").read_text())
    assert "applied" in json.dumps(record)


def test_nets_are_named_in_the_order_of_their_demand(written: tuple[Path, Annotations], pair: Pair) -> None:
    design, prediction = pair
    wires = spot_wires(prediction, design.graph, written[1].spots)
    assert written[1].nets == [first_nets(wire_um, 10) for wire_um in wires]
