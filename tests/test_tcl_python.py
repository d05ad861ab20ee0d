"""Tcl and Python read what the other writes: hook.json, plans, tables, labels."""

from pathlib import Path

import numpy as np
import pytest
from tcl_session import UGLY_NAMES, add_insts, read_record, run_tcl, statuses, tcl_word

from circuit_io.export_sources import sources_of_hook, sources_of_labels
from circuit_io.labels import read_gcell_grid, read_usage
from flow_hooks.annotations.annotate import hotspots_tsv, metrics_tsv
from flow_hooks.feedback.actions import ACTIONS, Action
from flow_hooks.feedback.file import Plan, feedback_tsv
from flow_hooks.openroad.child_python import FOREIGN, OWN, hook_python
from flow_hooks.tsv import encode

DIE = (0.0, 0.0, 100.0, 80.0)


def test_the_childs_environment_is_the_same_in_both(tmp_path: Path) -> None:
    run = run_tcl(tmp_path, "puts $::gsr::foreign_variables\nputs $::gsr::own_variables")
    foreign, own = run.out.splitlines()
    assert tuple(foreign.split()) == FOREIGN
    assert own.split() == [word for pair in OWN for word in pair]


@pytest.mark.parametrize("home", ["repo", "venv/lib/python3.11/site-packages"])
def test_both_take_the_same_python(tmp_path: Path, home: str) -> None:
    for name in ("bin/python", "bin/other", "bin/python3", "bin/with blank/python", "venv/bin/python"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    folder, packages = str(tmp_path / "bin"), tmp_path / home / "flow_hooks" / "tcl"
    given = [
        *["", f" {folder}/python ", f"{folder}/with blank/python", f"{folder}/none", "none -c x", "other -c x", "'"],
        *[f'other {{{folder}/with blank/python}} "a b" x', "other 'a b'", 'other "a', "other {a", 'other "a"b', '"'],
        "{a}",
    ]
    cases = [{"GSR_PYTHON": name, "PYTHON_EXE": exe} for name in given for exe in ("", f"{folder}/python")]
    lines = [f"set ::gsr::home {{{packages}}}", f"set ::env(PATH) {{{folder}}}"]
    for case in cases:
        lines += [f"set ::env({name}) {tcl_word(value)}" for name, value in case.items()]
        lines += ["puts [join [gsr::python_command] |]"]
    run = run_tcl(tmp_path, "\n".join(lines))
    assert run.code == 0, run.out
    both = zip(cases, run.out.splitlines(), strict=True)
    for case, found in both:
        words, named_by = hook_python(case | {"PATH": folder}, packages)
        assert found == "|".join(words), case
        assert (named_by == "GSR_PYTHON") == (case["GSR_PYTHON"] != "")


def plan_of(*actions: Action, design: str = "top", verdict: str = "", advice: tuple[str, ...] = ()) -> str:
    plan = Plan(design, DIE, (10, 8), "00", "run 1", actions=actions, verdict=verdict, advice=advice)
    return feedback_tsv(plan)


def test_verdict_and_advice_reach_log_and_record(tmp_path: Path) -> None:
    verdict, advice = 'Nothing planned: 100 % = [exit] $x; "é".', ("Do {this}\\.", "a=b\tc")
    (tmp_path / "feedback.tsv").write_text(plan_of(verdict=verdict, advice=advice), encoding="utf-8")
    run = run_tcl(tmp_path, "gsr_apply_feedback -file feedback.tsv -out_dir out", env={"GSR_MODE": "apply"})
    assert run.code == 0, run.out
    record = read_record(tmp_path / "out")
    assert (record["verdict"], record["advice"]) == (verdict, list(advice))
    assert '[INFO FLW-7007] Nothing planned: 100 % = [exit] $x; "\\u00e9".' in run.out
    assert "[INFO FLW-7008] Advice: Do {this}\\." in run.out


def test_every_action_of_the_planner_is_carried_out(tmp_path: Path) -> None:
    box = (10.0, 20.0, 30.0, 40.0)
    actions = [
        Action("density_blockage", "60", 0.5, box_um=box),
        Action("routability_gentle", "0.5;1.2", 0.5),
        Action("uniform_density", "0.02", 0.5),
        Action("placement_density_addon", "0.1", 0.5),
        Action("padding", "1;2", 0.5, target="u1"),
        Action("region_adjustment", "0.3", 0.5, box_um=box, layer="metal2"),
        Action("layer_adjustment", "0.4", 0.5, target="place", layer="metal3"),
        Action("place_pins", "metal3;metal2,metal4", 0.5),
        Action("unplace", "", 0.5, target="u1"),
    ]
    assert {a.action for a in actions} == set(ACTIONS)
    (tmp_path / "feedback.tsv").write_text(plan_of(*actions))
    script = "write_def design.def\ngsr_apply_feedback -file feedback.tsv -out_dir out\nglobal_placement -density 0.6"
    run = run_tcl(tmp_path, script, env={"GSR_MODE": "apply"}, before="stub::add_inst u1")
    assert run.code == 0, run.out
    assert statuses(tmp_path / "out") == [("applied", "")] * len(actions)


def test_names_that_python_encodes_are_found_by_tcl(tmp_path: Path) -> None:
    actions = [Action("padding", "1;2", 0.5, target=name) for name in UGLY_NAMES]
    (tmp_path / "feedback.tsv").write_bytes(plan_of(*actions, design="a [b] $c%é").encode())
    before = f"set stub::design {tcl_word('a [b] $c%é')}\n" + add_insts(UGLY_NAMES)
    run = run_tcl(
        tmp_path, "gsr_apply_feedback -file feedback.tsv -out_dir out", env={"GSR_MODE": "apply"}, before=before
    )
    assert run.code == 0, run.out
    assert [name for name, _, _ in run.named("set_padding_inst")] == UGLY_NAMES


def test_empty_tables_of_python_are_read(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "hotspots.tsv").write_text(hotspots_tsv([], []))
    (out / "metrics.tsv").write_text(metrics_tsv({"detailedplace__gsr__congestion_h__max": 1.25}))
    (out / "insts.tsv").write_text("#gsr-insts 1\ninst\tcongestion\n" + f"{encode('two words')}\t0.5\n")
    script = (
        "gsr_report_prediction -out_dir out\nputs gate=[gsr_check_gate -out_dir out -metric congestion_h__max -max 2]\n"
        "puts [gsr_annotate -out_dir out -properties]"
    )
    run = run_tcl(tmp_path, script, env={"GSR_MODE": "advise"}, before='stub::add_inst "two words"')
    assert "No predicted hot spots." in run.out
    assert "gate=1" in run.out
    assert run.named("dbDoubleProperty_create") == [["two words", "gsr_congestion", "0.5"]]


def test_python_reads_the_hook(tmp_path: Path) -> None:
    run = run_tcl(tmp_path, "gsr_export_design -out_dir {o [ut] é} -step PRE_GLOBAL_ROUTE", env={"PLATFORM": "gsr45"})
    assert run.code == 0, run.out
    sources = sources_of_hook(tmp_path / "o [ut] é" / "hook.json")
    assert sources.def_.read_text().startswith("VERSION")
    assert [p.name for p in sources.lef] == ["design.lef", "design_1.lef"]
    assert all(p.is_file() for p in sources.lef)
    assert sources.signal_layers == ("metal2", "metal4")
    assert sources.layer_adjustment["metal4"] == 0.5
    # the adjustment is a 32-bit number in the database, and stays the same one
    assert np.float32(sources.layer_adjustment["metal2"]) == np.float32(0.3)
    assert (sources.technology, sources.stage, sources.family) == ("gsr45", "cts", "top")


def test_python_reads_the_labels(tmp_path: Path) -> None:
    run_tcl(tmp_path, "gsr_export_labels -out_dir labels")
    folder = tmp_path / "labels"
    x, y = read_gcell_grid(folder / "gcell_grid.csv")
    assert (x.tolist(), y.tolist()) == ([0, 50000], [0, 40000])
    usage = read_usage(folder / "gcell_usage.csv", nx=2, ny=2)
    assert usage.usage.shape == (3, 2, 2)
    assert usage.usage[0].tolist() == [[0, 1], [2, 3]]
    assert usage.reduction is None
    sources = sources_of_labels(folder, lef=[])
    assert sources.signal_layers == ("metal2", "metal4")
    assert sources.def_.is_file()
