"""What is shown of a prediction: markers, properties, the table, the gate, the version."""

import re
import tomllib
from pathlib import Path

import pytest
from tcl_session import HOTSPOTS, METRICS, UGLY_NAMES, Session, add_insts, percent, run_tcl

ADVISE = {"GSR_MODE": "advise"}


def prediction(tmp_path: Path, **files: str) -> Path:
    out = tmp_path / "out"
    out.mkdir()
    for name, text in {"hotspots.tsv": HOTSPOTS, "metrics.tsv": METRICS, **files}.items():
        (out / name).write_text(text, encoding="utf-8")
    return out


def annotate(tmp_path: Path, *, env: dict[str, str] | None = None, before: str = "", options: str = "") -> Session:
    script = f"puts result=[gsr_annotate -out_dir out {options}]"
    return run_tcl(tmp_path, script, env=ADVISE if env is None else env, before=before)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("08", 8),
        ("-090.5", -90.5),
        ("1e3", 1000),
        (".5", 0.5),
        *((t, None) for t in ("0x10", "inf", "1e999", "", "1 2")),
    ],
)
def test_a_number_is_decimal(tmp_path: Path, text: str, number: float | None) -> None:
    run = run_tcl(tmp_path, f"puts [gsr::is_number {{{text}}} value]:[expr {{ [info exists value] ? $value : 0 }}]")
    code, _, value = run.out.strip().splitlines()[-1].partition(":")
    assert (code, float(value)) == (("0", float(value)) if number is None else ("1", number))


# --- gsr_annotate -------------------------------------------------------------------------------


def test_markers_come_from_json(tmp_path: Path) -> None:
    out = prediction(tmp_path, **{"markers.json": "{}", "markers.rpt": "violation type: x\n"})
    run = annotate(tmp_path)
    assert run.named("dbMarkerCategory_fromJSON") == [["::chip", str(out / "markers.json")]]
    assert run.named("dbMarkerCategory_fromTR") == []
    assert "markers applied" in run.out


def test_markers_come_from_the_report_where_json_is_not_read(tmp_path: Path) -> None:
    out = prediction(tmp_path, **{"markers.json": "{}", "markers.rpt": "violation type: x\n"})
    run = annotate(tmp_path, before="rename odb::dbMarkerCategory_fromJSON {}")
    assert run.named("dbMarkerCategory_fromTR") == [["::chip", "GSR congestion", str(out / "markers.rpt")]]


def test_markers_of_a_given_file_and_category(tmp_path: Path) -> None:
    prediction(tmp_path)
    (tmp_path / "mine [1].rpt").write_text("violation type: x\n")
    run = annotate(tmp_path, options='-file "mine \\[1\\].rpt" -category {My $category} -markers')
    assert run.named("dbMarkerCategory_fromTR") == [["::chip", "My $category", str(tmp_path / "mine [1].rpt")]]


def test_markers_where_they_belong_to_the_block(tmp_path: Path) -> None:
    prediction(tmp_path, **{"markers.json": "{}"})
    older = (
        "proc odb::dbMarkerCategory_fromJSON { owner path } {\n"
        '  if { $owner ne "::block" } { error "expected a dbBlock" }\n'
        "  stub::note from_json $owner\n}"
    )
    assert annotate(tmp_path, before=older).named("from_json") == [["::block"]]


def test_markers_that_openroad_refuses_are_told_whatever_it_says(tmp_path: Path) -> None:
    prediction(tmp_path, **{"markers.json": "{}"})
    refusing = "proc odb::dbMarkerCategory_fromJSON { a b } { error {no layer named metal9} }"
    assert "[WARNING FLW-7038] No markers: skipped(no layer named metal9)" in annotate(tmp_path, before=refusing).out


@pytest.mark.parametrize("is_open", [True, False])
def test_a_window_lets_go_of_markers_that_are_replaced(tmp_path: Path, is_open: bool) -> None:
    prediction(tmp_path, **{"markers.json": "{}"})
    window = f"""
namespace eval ::gui {{
proc enabled {{}} {{ return {int(is_open)} }}
proc clear_selections {{}} {{ ::stub::note clear_selections }}
}}"""
    names = [c[0] for c in annotate(tmp_path, before=window, options="-markers").calls]
    wanted = ["clear_selections", "dbMarkerCategory_fromJSON"]
    assert [n for n in names if n in wanted] == (wanted if is_open else wanted[1:])


def test_markers_that_cannot_be_read_are_a_warning(tmp_path: Path) -> None:
    prediction(tmp_path, **{"markers.json": "{", "markers.rpt": "{"})
    broken = "proc odb::dbMarkerCategory_fromJSON { a b } { error ODB-0238 }\n"
    broken += "proc odb::dbMarkerCategory_fromTR { a b c } { error ODB-0030 }"
    run = annotate(tmp_path, before=broken)
    assert run.code == 0
    assert "[WARNING FLW-7038] No markers: skipped(ODB-0030)" in run.out


@pytest.mark.parametrize("mode", ["observe", "gate"])
def test_modes_that_leave_the_design_alone(tmp_path: Path, mode: str) -> None:
    prediction(tmp_path, **{"markers.json": "{}"})
    run = annotate(tmp_path, env={"GSR_MODE": mode})
    assert run.changes == []
    assert f"skipped(GSR_MODE is {mode})" in run.out


def test_properties_reach_insts_of_any_name_and_are_updated(tmp_path: Path) -> None:
    names = [*UGLY_NAMES, "u1"]
    rows = "".join(f"{percent(n)}\t{i / 10}\n" for i, n in enumerate(names))
    prediction(tmp_path, **{"insts.tsv": f"#gsr-insts 1\ninst\tcongestion\n{rows}gone\t1\nu1\tnan\n"})
    run = run_tcl(
        tmp_path,
        "puts [gsr_annotate -out_dir out -properties]\nputs [gsr_annotate -out_dir out -properties]",
        env=ADVISE,
        before=add_insts(names),
    )
    assert run.code == 0, run.out
    assert [c[0] for c in run.named("dbDoubleProperty_create")] == names
    assert len(run.named("property_setValue")) == len(names)
    assert f"applied({len(names)} of {len(names) + 2})" in run.out


def test_too_many_properties_are_left_out(tmp_path: Path) -> None:
    prediction(tmp_path, **{"insts.tsv": "#gsr-insts 1\ninst\tcongestion\nu1\t1\nu2\t1\n"})
    run = run_tcl(tmp_path, "set gsr::max_properties 1\nputs [gsr_annotate -out_dir out]", env=ADVISE)
    assert "[INFO FLW-7019] No properties: skipped(2 insts" in run.out


# --- gsr_report_prediction -----------------------------------------------------------------------


def test_the_table_of_hot_spots(tmp_path: Path) -> None:
    prediction(tmp_path)
    run = run_tcl(tmp_path, "gsr_report_prediction -out_dir out -worst 1")
    lines = run.out.splitlines()
    assert lines[0].split() == ["rank", "direction", "congestion", "box", "(um)", "nets"]
    assert re.fullmatch(r" +1 +horizontal +1\.25 +\(10, 20\) - \(30\.5, 40\) +n\[1\] n2", lines[1])
    assert lines[2] == f"1 more in {tmp_path / 'out' / 'hotspots.tsv'}"


def test_the_modules_of_hot_spots_where_the_table_has_them(tmp_path: Path) -> None:
    head, names, *rows = HOTSPOTS.splitlines()
    text = [head, f"{names}\ttop_modules", f"{rows[0]}\talu%2031%25%20alu.v:12,core%209%25", f"{rows[1]}\t"]
    prediction(tmp_path, **{"hotspots.tsv": "\n".join(text) + "\n"})
    lines = run_tcl(tmp_path, "gsr_report_prediction -out_dir out").out.splitlines()
    assert lines[2].strip() == "modules: alu 31% alu.v:12,core 9%"
    assert lines[3].split()[:2] == ["2", "vertical"]
    assert len(lines) == 4


def test_no_hot_spots(tmp_path: Path) -> None:
    prediction(tmp_path, **{"hotspots.tsv": "\n".join(HOTSPOTS.splitlines()[:2]) + "\n"})
    assert run_tcl(tmp_path, "gsr_report_prediction -out_dir out").out == "No predicted hot spots.\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#gsr-hotspots 2\nrank\n",
        "#gsr-hotspots 1\nrank\tdirection\n",
        HOTSPOTS.replace("\tclk", ""),
        HOTSPOTS[:-2],
        "<html>\n",
    ],
)
def test_a_bad_table_is_a_warning(tmp_path: Path, text: str) -> None:
    prediction(tmp_path, **{"hotspots.tsv": text})
    run = run_tcl(tmp_path, "gsr_report_prediction -out_dir out")
    assert run.code == 0
    assert "[WARNING FLW-7031] gsr_report_prediction" in run.out


def test_a_hostile_table_neither_runs_nor_reaches_the_terminal(tmp_path: Path) -> None:
    prediction(tmp_path, **{"hotspots.tsv": HOTSPOTS.replace("clk", "[exit 3]%1b[31m$env(HOME)")})
    run = run_tcl(tmp_path, "gsr_report_prediction -out_dir out")
    assert run.code == 0
    assert "[exit 3]\\u001b[31m$env(HOME)" in run.out


# --- gsr_check_gate ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["congestion_h__max", "detailedplace__gsr__congestion_h__max"])
def test_the_gate_stops_the_step_in_gate_mode_only(tmp_path: Path, name: str) -> None:
    prediction(tmp_path)
    script = f"puts passed=[gsr_check_gate -out_dir out -metric {name} -max 1.2]"
    run = run_tcl(tmp_path, script, env={"GSR_MODE": "gate"})
    assert run.code == 1
    assert f"[ERROR FLW-7090] The gate is closed: {name} is 1.25, above 1.2." in run.out
    run = run_tcl(tmp_path, script)
    assert run.code == 0
    assert "[WARNING FLW-7040]" in run.out
    assert "passed=0" in run.out


def test_the_gate_passes_within_its_limits(tmp_path: Path) -> None:
    prediction(tmp_path)
    options = "-metric congestion_h__max -max 1.25 -metric overflow__expected -max 50"
    run = run_tcl(tmp_path, f"puts passed=[gsr_check_gate -out_dir out {options}]", env={"GSR_MODE": "gate"})
    assert run.code == 0, run.out
    assert "passed=1" in run.out


def test_limits_from_the_environment(tmp_path: Path) -> None:
    prediction(tmp_path)
    env = {"GSR_MODE": "gate", "GSR_GATE": "congestion_h__max=1.3, overflow__expected=10"}
    run = run_tcl(tmp_path, "gsr_check_gate -out_dir out", env=env)
    assert run.code == 1
    assert "overflow__expected is 40, above 10" in run.out


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("", "set GSR_GATE"),
        ("congestion_h__max", "is not of the form metric=max"),
        ("congestion_h__max=[exit 3]", "is not of the form"),
        ("congestion_h__max=nan", "is no limit"),
        ("unknown=1", '0 metrics "unknown"'),
        ("*=1", '0 metrics "*"'),
    ],
)
def test_a_gate_that_cannot_be_judged_is_open_with_a_warning(tmp_path: Path, gate: str, words: str) -> None:
    prediction(tmp_path)
    run = run_tcl(tmp_path, "gsr_check_gate -out_dir out", env={"GSR_MODE": "gate", "GSR_GATE": gate})
    assert run.code == 0, run.out
    assert "[WARNING FLW-70" in run.out
    assert words in run.out


def test_a_metric_that_is_not_finite_is_no_judgement(tmp_path: Path) -> None:
    prediction(tmp_path, **{"metrics.tsv": "a__gsr__x\tnan\n"})
    env = {"GSR_MODE": "gate", "GSR_GATE": "x=1", "GSR_ON_ERROR": "fail"}
    run = run_tcl(tmp_path, "gsr_check_gate -out_dir out", env=env)
    assert run.code == 1
    assert "x is not a number" in run.out


@pytest.mark.parametrize("options", ["-metric x", "-max 1", "-metric x -metric y"])
def test_wrong_use_of_the_gate_is_an_error(tmp_path: Path, options: str) -> None:
    prediction(tmp_path)
    assert run_tcl(tmp_path, f"gsr_check_gate -out_dir out {options}").code == 1


# --- gsr_version ------------------------------------------------------------------------------------


def test_version_is_that_of_the_package(tmp_path: Path) -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    run = run_tcl(tmp_path, "puts [dict get [gsr_version] version]")
    assert run.out.strip() == project["version"]


def test_version_tells_what_this_openroad_can_do(tmp_path: Path) -> None:
    script = "puts [dict get [gsr_version] capabilities]"
    assert " 0" not in run_tcl(tmp_path, script).out
    assert "write_lef 0" in run_tcl(tmp_path, script, before="rename write_lef {}").out


def test_commands_are_registered_for_help(tmp_path: Path) -> None:
    run = run_tcl(tmp_path, "puts [lsort [array names sta::cmd_args gsr_*]]\nputs [lsort [info commands gsr_*]]")
    registered, defined = run.out.splitlines()
    assert registered == defined


def test_loads_and_answers_in_a_bare_tclsh(tmp_path: Path) -> None:
    """Nothing of OpenROAD is needed to load; each command fails softly."""
    script = "foreach c [info commands gsr_*] { $c }\nputs done"
    run = run_tcl(
        tmp_path,
        script,
        before="namespace delete ord utl sta gpl dpl odb\nforeach c {write_lef write_def} { rename $c {} }",
        env={"GSR_PYTHON": "/nowhere/python"},
    )
    assert run.code == 0, run.out
    assert run.out.rstrip().endswith("done")
    assert "[WARNING FLW-7031]" in run.out
