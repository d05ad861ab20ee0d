"""Every hook file in every mode, sourced as OpenROAD-flow-scripts sources them; private.mk under make."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tcl_session import (
    HOOKS,
    STUB,
    TCL,
    Session,
    fake_python,
    find_tclsh,
    num_runs,
    plan_text,
    run_tcl,
    statuses,
    tcl_word,
)

PREDICTING = ["PRE_GLOBAL_PLACE", "POST_GLOBAL_PLACE", "POST_DETAIL_PLACE", "PRE_GLOBAL_ROUTE"]
BLOCKAGE = "density_blockage||10|20|30|40||60|0.5"
PADDING = "padding|u1||||||1;2|0"

# As util.tcl of the flow does it: the hook is sourced two procedures deep, through a logging command.
ORFS = """
proc log_cmd { cmd args } { return [uplevel 1 [list $cmd {*}$args]] }
proc source_step_tcl { when step } {
  set name ${when}_${step}_TCL
  if { [info exists ::env($name)] && $::env($name) ne "" } { log_cmd source $::env($name) }
}
"""


def hook_file(hook: str) -> Path:
    return TCL / "orfs" / f"{hook.lower()}.tcl"


def flow_env(tmp_path: Path, python: Path | None = None, **more: str) -> dict[str, str]:
    env = {f"{hook}_TCL": str(hook_file(hook)) for hook in HOOKS}
    env |= {"OBJECTS_DIR": str(tmp_path / "objects"), "LOG_DIR": str(tmp_path / "logs"), "GSR_HOME": str(TCL)}
    if python:
        env["GSR_PYTHON"] = str(python)
    return env | more


def step_commands(hook: str) -> str:
    when, step = hook.split("_", 1)
    return f"source_step_tcl {when} {step}"


def run_hooks(tmp_path: Path, hooks: list[str], env: dict[str, str], *, before: str = "", then: str = "") -> Session:
    """Source hooks in one process; global_placement is called where the flow calls it."""
    commands = []
    for hook in hooks:
        if hook == "POST_GLOBAL_PLACE" and "PRE_GLOBAL_PLACE" in hooks:
            commands.append("global_placement -density 0.6")
        commands.append(step_commands(hook))
    script = "\n".join([ORFS, *commands, then])
    return run_tcl(tmp_path, script, env=env, before="stub::add_inst u1\n" + before, load=False)


def folder_of(tmp_path: Path, hook: str) -> Path:
    return tmp_path / "objects" / "gsr" / hook.lower()


# --- the files ----------------------------------------------------------------------------------


def test_there_is_one_file_of_three_lines_for_each_hook() -> None:
    assert sorted(p.name for p in (TCL / "orfs").iterdir()) == sorted(f"{hook.lower()}.tcl" for hook in HOOKS)
    for hook in HOOKS:
        lines = hook_file(hook).read_text().splitlines()
        assert len(lines) == 3
        when, step = hook.split("_", 1)
        assert lines[2] == f"::gsr::run_hook {when} {step}"


MARKERS = ["dbMarkerCategory_fromJSON"]
PADDED = ["set_padding_inst"]
# what each hook may do to the design and to OpenROAD's engines, beside global_placement's own blockage
CHANGES = {
    "observe": {},
    "gate": {},
    "advise": dict.fromkeys(PREDICTING[1:], MARKERS),
    "apply": {
        "POST_GLOBAL_PLACE": MARKERS,
        "PRE_DETAIL_PLACE": PADDED,
        "POST_DETAIL_PLACE": MARKERS,
        # padding of the step before is set back to the flow's, then given again
        "PRE_CTS": PADDED * 2,
        "PRE_GLOBAL_ROUTE": MARKERS + PADDED * 2,
        "POST_GLOBAL_ROUTE": PADDED,
    },
}


@pytest.mark.parametrize("mode", CHANGES)
def test_every_hook_in_every_mode(tmp_path: Path, mode: str) -> None:
    python = fake_python(tmp_path / "py", plan=plan_text(BLOCKAGE, PADDING))
    env = flow_env(tmp_path, python, GSR_MODE=mode, GSR_GATE="congestion_h__max=9")
    script = ORFS
    for hook in HOOKS:
        script += f"stub::note HOOK {hook}\n{step_commands(hook)}\n"
        if hook == "PRE_GLOBAL_PLACE":
            script += "stub::note HOOK placement\nglobal_placement -density 0.6\n"
    run = run_tcl(tmp_path, script, env=env, before="stub::add_inst u1", load=False)
    assert run.code == 0, run.out
    assert "WARNING" not in run.out
    # in apply global_placement predicts itself: for the placement without the plan, and the one with it
    assert num_runs(tmp_path / "py") == len(PREDICTING) + (mode == "apply")
    changed: dict[str, list[str]] = {}
    hook = ""
    for call in run.changes:
        if call[0] == "HOOK":
            hook = call[1]
        else:
            changed.setdefault(hook, []).append(call[0])
    around = changed.pop("placement", [])
    blockage = ["create_blockage", "setSoft", "dbBlockage_destroy"]
    assert around == (["setPlacementStatus", *blockage, "setPlacementStatus"] if mode == "apply" else [])
    assert changed == CHANGES[mode]
    for hook in HOOKS:
        folder = folder_of(tmp_path, hook)
        rounds = mode == "apply" and hook == "PRE_GLOBAL_PLACE"
        assert (folder / "done").exists() == (hook in PREDICTING and not rounds)
        assert (folder / "round_1" / "done").exists() == rounds
        assert (folder / "labels" / "done.json").exists() == (hook in ("POST_GLOBAL_ROUTE", "POST_DETAIL_ROUTE"))
        applies = mode == "apply" and hook in ("PRE_GLOBAL_PLACE", "PRE_DETAIL_PLACE", "PRE_CTS", "PRE_GLOBAL_ROUTE")
        assert (folder / "gsr_feedback.json").exists() == applies


def test_every_hook_without_a_design(tmp_path: Path) -> None:
    """POST_IO_PLACEMENT, POST_FILLCELL and POST_DENSITY_FILL may run without one."""
    python = fake_python(tmp_path / "py")
    env = flow_env(tmp_path, python, GSR_MODE="apply")
    run = run_hooks(tmp_path, HOOKS, env, before="set stub::has_block 0")
    assert run.code == 0, run.out
    assert [c[0] for c in run.calls] == ["global_placement", "blockages_in_force"]
    assert num_runs(tmp_path / "py") == 0
    assert not (tmp_path / "objects").exists()


def test_observe_leaves_design_and_environment_as_they_were(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py", plan=plan_text(BLOCKAGE, PADDING))
    before = "set ::before [list [lsort [array get ::env]] $stub::adjustments $stub::blockages]"
    then = (
        "puts same=[expr { $::before eq [list [lsort [array get ::env]] $stub::adjustments $stub::blockages] }]\n"
        "puts wrapped=[llength [info commands gsr::unwrapped_global_placement]]"
    )
    run = run_hooks(tmp_path, HOOKS, flow_env(tmp_path, python, LD_LIBRARY_PATH="/x"), before=before, then=then)
    assert run.code == 0, run.out
    assert run.changes == []
    assert "same=1" in run.out
    assert "wrapped=0" in run.out
    assert run.named("global_placement") == [["-density", "0.6"]]


def test_a_hook_file_far_from_the_package_finds_it_by_gsr_home(tmp_path: Path) -> None:
    far = tmp_path / "far" / "pre_cts.tcl"
    far.parent.mkdir()
    shutil.copy(hook_file("PRE_CTS"), far)
    env = flow_env(tmp_path, PRE_CTS_TCL=str(far))
    assert run_hooks(tmp_path, ["PRE_CTS"], env).code == 0


def test_violations_lie_beside_the_labels_of_the_routed_placement(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "5_route_drc.rpt").write_text("violation type: Short\n")
    env = flow_env(tmp_path, fake_python(tmp_path / "py"), REPORTS_DIR=str(reports), GSR_LABELS="all")
    grt, route = (folder_of(tmp_path, hook) / "labels" for hook in ("POST_GLOBAL_ROUTE", "POST_DETAIL_ROUTE"))
    run = run_hooks(tmp_path, ["POST_GLOBAL_ROUTE"], env)
    assert run.code == 0, run.out
    assert not (grt / "route_drc.rpt").exists(), "of an earlier route"
    run_hooks(tmp_path, ["POST_DETAIL_ROUTE"], env)
    assert [(f / "route_drc.rpt").read_text() for f in (grt, route)] == ["violation type: Short\n"] * 2
    # wires have no parasitics then, and the gcells are those of the global router
    assert set(json.loads((route / "done.json").read_text())["labels"]) == {"wire_length", "drc"}
    assert set(json.loads((grt / "done.json").read_text())["labels"]) == {"grt", "wire_length", "timing", "drc"}
    run_hooks(tmp_path, ["POST_GLOBAL_ROUTE"], env)
    assert not (grt / "route_drc.rpt").exists()


def test_labels_of_both_routes_have_room_in_one_folder(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    one = tmp_path / "one"
    env = flow_env(
        tmp_path, fake_python(tmp_path / "py"), REPORTS_DIR=str(reports), GSR_LABELS="all", GSR_OUT_DIR=str(one)
    )
    run_hooks(tmp_path, ["POST_GLOBAL_ROUTE"], env)
    (reports / "5_route_drc.rpt").write_text("violation type: Short\n")
    run_hooks(tmp_path, ["POST_DETAIL_ROUTE"], env)
    done = [json.loads((one / name / "done.json").read_text())["labels"] for name in ("labels", "labels_route")]
    assert [set(kinds) for kinds in done] == [{"grt", "wire_length", "timing", "drc"}, {"wire_length", "drc"}]


# --- switches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0", "no", "off", "false"])
def test_switched_off(tmp_path: Path, value: str) -> None:
    python = fake_python(tmp_path / "py")
    user = tmp_path / "user.tcl"
    user.write_text('puts "user was here"\n')
    env = flow_env(tmp_path, python, GSR_ENABLE=value, GSR_CHAIN_POST_DETAIL_PLACE_TCL=str(user))
    run = run_hooks(tmp_path, HOOKS, env)
    assert run.code == 0
    assert "user was here" in run.out
    assert num_runs(tmp_path / "py") == 0


def test_where_to_predict_can_be_chosen(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    env = flow_env(tmp_path, python, GSR_PREDICT_AT="POST_CTS,POST_RESIZE")
    run_hooks(tmp_path, HOOKS, env)
    assert num_runs(tmp_path / "py") == 2
    hook = json.loads((folder_of(tmp_path, "POST_CTS") / "hook.json").read_text())
    assert (hook["stage"], hook["step"], hook["metrics_file"]) == ("cts", "cts", "4_9_gsr_cts.json")


def test_metrics_files_of_the_usual_hooks_are_merged_by_the_flow_and_distinct(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    run_hooks(tmp_path, HOOKS, flow_env(tmp_path, python))
    hooks = [json.loads((folder_of(tmp_path, h) / "hook.json").read_text()) for h in PREDICTING]
    assert [h["metrics_file"] for h in hooks] == [
        "3_0_gsr_global_place.json",
        "3_9_gsr_global_place.json",
        "3_9_gsr_detail_place.json",
        "5_0_gsr.json",
    ]
    assert [h["metrics_stage"] for h in hooks] == ["globalplace_io", "globalplace", "detailedplace", "cts"]
    assert [h["stage"] for h in hooks] == ["place", "place", "place", "cts"]


def test_a_folder_of_the_users_choice(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    run_hooks(tmp_path, ["POST_DETAIL_PLACE"], flow_env(tmp_path, python, GSR_OUT_DIR=str(tmp_path / "mine")))
    assert (tmp_path / "mine" / "done").exists()


def test_nothing_to_predict_before_anything_is_placed(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    before = "set stub::insts {}\nstub::add_inst macro 1 1\nstub::add_inst u1 0 0"
    run = run_hooks(tmp_path, ["PRE_GLOBAL_PLACE"], flow_env(tmp_path, python), before=before)
    assert "Nothing is placed yet" in run.out
    assert num_runs(tmp_path / "py") == 0


def test_an_unknown_mode_is_observe_with_one_warning(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py", plan=plan_text(BLOCKAGE))
    run = run_hooks(tmp_path, HOOKS, flow_env(tmp_path, python, GSR_MODE="aply"))
    assert run.changes == []
    assert run.out.count("[WARNING FLW-7030]") == 1


# --- failures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["exit 1", "kill -9 $$", "rm -r $out"])
def test_a_failing_python_fails_no_step(tmp_path: Path, body: str) -> None:
    python = fake_python(tmp_path / "py", body=body)
    run = run_hooks(tmp_path, HOOKS, flow_env(tmp_path, python, GSR_MODE="apply"))
    assert run.code == 0, run.out
    assert run.out.count("[WARNING FLW-7031]") == 4
    assert run.named("global_placement") == [["-density", "0.6"]]


def test_a_failing_python_fails_the_step_when_asked(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py", body="exit 1")
    env = flow_env(tmp_path, python, GSR_ON_ERROR="fail")
    run = run_hooks(tmp_path, ["POST_DETAIL_PLACE"], env)
    assert run.code == 1
    assert "[ERROR FLW-7061] POST_DETAIL_PLACE" in run.out


def test_without_any_python_the_flow_goes_on(tmp_path: Path) -> None:
    run = run_hooks(tmp_path, HOOKS, flow_env(tmp_path, Path("/nowhere/python")))
    assert run.code == 0
    assert "was not found" in run.out


def test_a_plan_that_is_broken_fails_no_step(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py", plan="#gsr-feedback 1 design=other die_um=0,0,1,1\n")
    run = run_hooks(tmp_path, HOOKS, flow_env(tmp_path, python, GSR_MODE="apply"))
    assert run.code == 0, run.out
    assert "is a plan for" in run.out
    assert "create_blockage" not in [c[0] for c in run.changes]


def test_our_own_mistake_fails_no_step(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    before = f"source {{{TCL}/gsr.tcl}}\nproc gsr::export_design {{ args }} {{ error oops }}"
    run = run_hooks(tmp_path, ["POST_DETAIL_PLACE"], flow_env(tmp_path, python), before=before)
    assert run.code == 0
    assert "POST_DETAIL_PLACE: oops" in run.out


# --- the gate ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", PREDICTING[1:])
def test_the_gate_closes_a_step(tmp_path: Path, hook: str) -> None:
    python = fake_python(tmp_path / "py")
    env = flow_env(tmp_path, python, GSR_MODE="gate", GSR_GATE="congestion_h__max=1.2")
    run = run_hooks(tmp_path, [hook], env)
    assert run.code == 1
    assert "[ERROR FLW-7090] The gate is closed: congestion_h__max is 1.25, above 1.2." in run.out


def test_a_gate_without_a_prediction_stays_open(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py", body="exit 1")
    env = flow_env(tmp_path, python, GSR_MODE="gate", GSR_GATE="congestion_h__max=1.2")
    assert run_hooks(tmp_path, ["POST_DETAIL_PLACE"], env).code == 0


# --- applying through the flow -----------------------------------------------------------------------


def test_a_plan_of_an_earlier_run_steers_placement(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (earlier / "feedback.tsv").write_text(plan_text(BLOCKAGE, PADDING))
    env = flow_env(tmp_path, python, GSR_MODE="apply", GSR_PREDICTION_DIR=str(earlier))
    run = run_hooks(tmp_path, ["PRE_GLOBAL_PLACE", "POST_GLOBAL_PLACE"], env)
    assert run.code == 0, run.out
    # no prediction of the coarse placement is needed
    assert num_runs(tmp_path / "py") == 1
    assert run.named("blockages_in_force") == [["1"]]
    assert len(run.named("dbBlockage_destroy")) == 1
    assert [s for s, _ in statuses(folder_of(tmp_path, "PRE_GLOBAL_PLACE"))] == ["applied", "skipped"]


def test_the_plan_of_this_run_steers_the_steps_after_it(tmp_path: Path) -> None:
    """Each step is its own process in the flow: padding is given again in each."""
    python = fake_python(tmp_path / "py", plan=plan_text(BLOCKAGE, PADDING))
    env = flow_env(tmp_path, python, GSR_MODE="apply")
    assert run_hooks(tmp_path, ["POST_GLOBAL_PLACE"], env).code == 0
    for hook in ("PRE_DETAIL_PLACE", "PRE_CTS", "PRE_GLOBAL_ROUTE"):
        run = run_hooks(tmp_path, [hook], env)
        assert run.named("set_padding_inst") == [["u1", "1", "2"]], run.out
        assert run.named("create_blockage") == []
        assert [s for s, _ in statuses(folder_of(tmp_path, hook))] == ["skipped", "applied"]


def test_without_a_plan_apply_says_so(tmp_path: Path) -> None:
    run = run_hooks(tmp_path, ["PRE_DETAIL_PLACE"], flow_env(tmp_path, GSR_MODE="apply"))
    assert run.code == 0
    assert "there is no plan at" in run.out


def test_a_prediction_that_is_in_use_is_not_overwritten(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    kept = folder_of(tmp_path, "POST_DETAIL_PLACE")
    kept.mkdir(parents=True)
    (kept / "feedback.tsv").write_text(plan_text(BLOCKAGE))
    env = flow_env(tmp_path, python, GSR_MODE="apply", GSR_PREDICTION_DIR=str(kept))
    run = run_hooks(tmp_path, ["PRE_GLOBAL_PLACE", "POST_GLOBAL_PLACE", "POST_DETAIL_PLACE"], env)
    assert run.code == 0, run.out
    assert (kept / "feedback.tsv").read_text() == plan_text(BLOCKAGE)
    assert "[WARNING FLW-7043]" in run.out


def test_all_hooks_in_one_process_twice(tmp_path: Path) -> None:
    """flow.tcl of the flow runs every step in one process; our Tcl is sourced 32 times in it."""
    plan = plan_text(BLOCKAGE, PADDING, "region_adjustment||10|20|30|40|metal2|0.3|0")
    python = fake_python(tmp_path / "py", plan=plan)
    env = flow_env(tmp_path, python, GSR_MODE="apply", KEEP_VARS="1")
    run = run_hooks(tmp_path, [*HOOKS, *HOOKS], env, then="puts left=[llength $stub::blockages]")
    assert run.code == 0, run.out
    assert "WARNING" not in run.out
    assert "left=0" in run.out
    assert run.named("blockages_in_force") == [["0"], ["1"]] * 2
    # what the router judges is not ours to change
    assert run.named("set_global_routing_region_adjustment") == []
    # padding for three steps, and taken back after routing
    assert run.named("set_padding_inst")[-1] == ["u1", "0", "0"]


def test_region_adjustments_that_reach_the_router_are_told(tmp_path: Path) -> None:
    plan = plan_text("region_adjustment||10|20|30|40|metal2|0.3|0")
    python = fake_python(tmp_path / "py", plan=plan)
    hooks = ["PRE_GLOBAL_PLACE", "POST_GLOBAL_PLACE", "PRE_GLOBAL_ROUTE"]
    run = run_hooks(tmp_path, hooks, flow_env(tmp_path, python, GSR_MODE="apply"))
    assert "[WARNING FLW-7037]" in run.out


# --- the user's own scripts -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain.tcl", "two words.tcl", "br[ack]et$x.tcl", "é.tcl", "{.tcl"])
def test_the_users_script_runs_first_and_in_the_same_frame(tmp_path: Path, name: str) -> None:
    python = fake_python(tmp_path / "py")
    user = tmp_path / name
    user.write_text('set local_of_the_hook 1\nputs "user:[file tail [info script]]"\n')
    env = flow_env(tmp_path, python, GSR_CHAIN_POST_DETAIL_PLACE_TCL=str(user))
    run = run_hooks(tmp_path, ["POST_DETAIL_PLACE"], env, then="puts global=[info exists ::local_of_the_hook]")
    assert run.code == 0, run.out
    assert f"user:{name}" in run.out
    assert run.out.index("user:") < run.out.index("Prediction of")
    # a plain `set` in a hook is local, as without us
    assert "global=0" in run.out


def test_every_hook_chains(tmp_path: Path) -> None:
    chains = {}
    for hook in HOOKS:
        user = tmp_path / f"my_{hook}.tcl"
        user.write_text(f'puts "user:{hook}"\n')
        chains[f"GSR_CHAIN_{hook}_TCL"] = str(user)
    run = run_hooks(tmp_path, HOOKS, flow_env(tmp_path, **chains), before="set stub::has_block 0")
    assert re.findall(r"user:(\w+)", run.out) == HOOKS


def test_an_error_in_the_users_script_is_an_error_of_the_step(tmp_path: Path) -> None:
    user = tmp_path / "user.tcl"
    user.write_text('error "my own check"\n')
    run = run_hooks(tmp_path, ["PRE_CTS"], flow_env(tmp_path, GSR_CHAIN_PRE_CTS_TCL=str(user)))
    assert run.code == 1
    assert "my own check" in run.out


def test_a_chain_that_leads_back_to_us_ends(tmp_path: Path) -> None:
    user = tmp_path / "user.tcl"
    user.write_text(f"puts turn\nsource {{{hook_file('PRE_CTS')}}}\n")
    for chain in (str(hook_file("PRE_CTS")), str(user)):
        run = run_hooks(tmp_path, ["PRE_CTS"], flow_env(tmp_path, GSR_CHAIN_PRE_CTS_TCL=chain))
        assert run.code == 0, run.out
        assert run.out.count("turn") <= 1
        assert "[WARNING FLW-7042]" in run.out


# --- living beside OpenSTA's abbreviations ---------------------------------------------------------


def test_only_names_that_begin_with_gsr_are_added(tmp_path: Path) -> None:
    script = (
        "set before [info commands ::*]\nset spaces [namespace children ::]\n"
        f"source {{{TCL}/gsr.tcl}}\n"
        "foreach c [info commands ::*] { if { $c ni $before } { puts command=$c } }\n"
        "foreach n [namespace children ::] { if { $n ni $spaces } { puts space=$n } }\n"
        "foreach v [info globals] { if { [string match gsr* $v] } { puts variable=$v } }"
    )
    run = run_tcl(tmp_path, script, load=False)
    found = re.findall(r"command=(\S+)", run.out)
    assert found
    assert all(name.startswith("::gsr_") for name in found)
    assert re.findall(r"space=(\S+)", run.out) == ["::gsr"]
    assert "variable=" not in run.out


def test_abbreviations_that_the_flow_uses_still_resolve(tmp_path: Path) -> None:
    (tmp_path / "feedback.tsv").write_text(plan_text(BLOCKAGE))
    script = (
        "gsr_apply_feedback -file feedback.tsv -out_dir out\n"
        "utl::metric_int antenna_diodes_count -1\n"
        "proc write_guides { args } { stub::note write_guides {*}$args }\nwrite_guide route.guide\n"
        "global_place -density 0.6"
    )
    run = run_tcl(tmp_path, script, env={"GSR_MODE": "apply"})
    assert run.code == 0, run.out
    assert run.named("metric_integer") == [["antenna_diodes_count", "-1"]]
    assert run.named("write_guides") == [["route.guide"]]
    assert run.named("blockages_in_force") == [["1"]]


# --- private.mk ----------------------------------------------------------------------------------

# The flow's own way: variables that a makefile set are taken out of the environment before make calls
# itself for a step; those of the environment and the command line stay.
MAKEFILE = """
SHELL = /bin/bash
.DEFAULT_GOAL := step
-include config.mk
export RESULTS_DIR = results
export LOG_DIR = logs
export REPORTS_DIR = reports
export OBJECTS_DIR = objects
define get_variables
$(foreach V, $(.VARIABLES),$(if $(filter-out $(1), $(origin $V)), $(if $(filter-out .% SUB_MAKE% UNSET_VARS%, \
  $(V)), $V$ )))
endef
export UNSET_VARIABLES_NAMES := $(call get_variables,command% line environment% default automatic)
export COMMAND_LINE_ARGS := $(foreach V,$(.VARIABLES),$(if $(filter command% line, $(origin $V)),$(V)))
UNSET_VARS = for var in $(UNSET_VARIABLES_NAMES); do unset $$var; done
SUB_MAKE = $(MAKE) $(foreach V,$(COMMAND_LINE_ARGS), $(if $($V),$V=$($V),$V='')) --no-print-directory
step: ; @bash -c '$(UNSET_VARS); $(SUB_MAKE) $$@' -- do-step
do-step: ; @env | grep -E '_TCL=|^GSR_HOME=|^GSR_RTL' | sort
-include $(PRIVATE_DIR)/private.mk
"""


def make(tmp_path: Path, *arguments: str, config: str = "", env: dict[str, str] | None = None) -> str:
    if not shutil.which("make"):
        pytest.skip("no make on the path")
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "config.mk").write_text(config)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GSR_", "MAKE", "MFLAGS"))}
    run = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=tmp_path,
        env={**clean, "PRIVATE_DIR": str(TCL), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return run.stdout + run.stderr


def variables(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_private_mk_attaches_every_hook(tmp_path: Path) -> None:
    found = variables(make(tmp_path))
    assert found.pop("GSR_HOME") == str(TCL)
    assert [found.pop(name) for name in RTL] == ["", "", ""]
    assert found == {f"{hook}_TCL": str(hook_file(hook)) for hook in HOOKS}


@pytest.mark.parametrize("way", ["config", "environment", "command line"])
def test_private_mk_keeps_the_users_own_hooks(tmp_path: Path, way: str) -> None:
    mine = {"PRE_CTS_TCL": "mine/cts.tcl", "POST_GLOBAL_ROUTE_TCL": "/mine/grt.tcl"}
    if way == "config":
        text = make(tmp_path, config="".join(f"export {k} = {v}\n" for k, v in mine.items()))
    elif way == "environment":
        text = make(tmp_path, env=mine)
    else:
        text = make(tmp_path, *(f"{k}={v}" for k, v in mine.items()))
    found = variables(text)
    for name, value in mine.items():
        assert found[f"GSR_CHAIN_{name}"] == value, text
        assert found[name] == str(hook_file(name.removesuffix("_TCL")))
    assert len([k for k in found if k.startswith("GSR_CHAIN")]) == 2


RTL = ["GSR_RTL", "GSR_RTL_INCLUDE", "GSR_RTL_DEFINES"]


@pytest.mark.parametrize("env", [{}, {"GSR_RTL": "none"}], ids=["the flow's", "the user's"])
def test_private_mk_keeps_the_rtl_for_the_steps_after_synthesis(tmp_path: Path, env: dict[str, str]) -> None:
    config = "export VERILOG_FILES = a.v b.v\nexport VERILOG_INCLUDE_DIRS = inc\nexport VERILOG_DEFINES = -D X=1\n"
    found = variables(make(tmp_path, config=config, env=env))
    assert [found[name] for name in RTL] == [env.get("GSR_RTL", "a.v b.v"), "inc", "-D X=1"]


def test_private_mk_can_be_switched_off(tmp_path: Path) -> None:
    found = variables(make(tmp_path, config="export PRE_CTS_TCL = mine.tcl\n", env={"GSR_ENABLE": "0"}))
    assert found == {"PRE_CTS_TCL": "mine.tcl", "GSR_HOME": str(TCL), **dict.fromkeys(RTL, "")}


def test_private_mk_included_by_the_users_own(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "private.mk").write_text(f"include {TCL}/private.mk\n")
    assert variables(make(tmp_path, env={"PRIVATE_DIR": str(own)}))["GSR_HOME"] == str(TCL)


def openroad(tmp_path: Path) -> str:
    """A stand-in for `openroad -exit script`: the stand-ins' commands, then the script."""
    program = tmp_path / "openroad"
    text = (
        f'#!/bin/sh\nexec {find_tclsh()} "{tmp_path}/openroad.tcl" "$@"\n',
        f"source {{{STUB}}}\nstub::add_inst u1\nset code [catch {{ source [lindex $argv end] }} message]\n"
        f"stub::dump {{{tmp_path}/calls.tsv}}\nif {{ $code }} {{ puts $message; exit 1 }}\n",
    )
    program.write_text(text[0])
    program.chmod(0o755)
    (tmp_path / "openroad.tcl").write_text(text[1])
    return f"{program} -exit"


def test_make_gsr_predict(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    for name in ("3_place.odb", "3_3_place_gp.odb"):
        (tmp_path / "results" / name).write_text("")
    python = fake_python(tmp_path / "py")
    text = make(tmp_path, "gsr_predict", env={"OPENROAD_CMD": openroad(tmp_path), "GSR_PYTHON": str(python)})
    assert "Prediction of place" in text
    assert "horizontal" in text
    assert (folder_of(tmp_path, "POST_DETAIL_PLACE") / "done").exists()


def test_make_gsr_predict_fails_with_python(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py", body="exit 1")
    env = {"OPENROAD_CMD": openroad(tmp_path), "GSR_PYTHON": str(python), "GSR_ODB": "any.odb"}
    assert "Error 1" in make(tmp_path, "gsr_predict", env=env)


def test_make_gsr_predict_without_an_odb(tmp_path: Path) -> None:
    assert "gsr_predict: no .odb in results" in make(tmp_path, "gsr_predict")


@pytest.mark.parametrize("stem", ["5_1_grt", "5_1_grt-failed"])
def test_make_gsr_labels(tmp_path: Path, stem: str) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / f"{stem}.odb").write_text("")
    (tmp_path / "results" / "5_1_grt.sdc").write_text("")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "load.tcl").write_text(
        "proc load_design { odb sdc } { stub::note load_design $odb $sdc }\n"
    )
    env = {"OPENROAD_CMD": openroad(tmp_path), "SCRIPTS_DIR": str(tmp_path / "scripts")}
    text = make(tmp_path, "gsr_labels", env=env)
    assert (folder_of(tmp_path, "POST_GLOBAL_ROUTE") / "labels" / "done.json").exists(), text
    sdc = "5_1_grt.sdc" if stem == "5_1_grt" else "4_cts.sdc"
    assert f"load_design\t{stem}.odb\t{sdc}" in (tmp_path / "calls.tsv").read_text()


@pytest.mark.parametrize("is_of_route", [True, False])
def test_make_gsr_labels_after_the_detailed_route(tmp_path: Path, is_of_route: bool) -> None:
    for name in ("results", "reports", "scripts"):
        (tmp_path / name).mkdir()
    odb, report = tmp_path / "results" / "5_1_grt.odb", tmp_path / "reports" / "5_route_drc.rpt"
    odb.write_text("")
    report.write_text("violation type: Short\n")
    os.utime(odb, (1000, 1000))
    os.utime(report, (1001, 1001) if is_of_route else (999, 999))
    (tmp_path / "scripts" / "load.tcl").write_text(
        "proc load_design { odb sdc } {}\n"
        "proc estimate_parasitics { args } { stub::note estimate_parasitics {*}$args }\n"
    )
    env = {"OPENROAD_CMD": openroad(tmp_path), "SCRIPTS_DIR": str(tmp_path / "scripts"), "GSR_LABELS": "all"}
    text = make(tmp_path, "gsr_labels", env=env | {"REPORTS_DIR": str(report.parent)})
    labels = folder_of(tmp_path, "POST_GLOBAL_ROUTE") / "labels"
    assert (labels / "route_drc.rpt").exists() == is_of_route, text
    # the database holds routes, not what they cost
    calls = [line.split("\t") for line in (tmp_path / "calls.tsv").read_text().splitlines()]
    names = [c[0] for c in calls]
    assert ["estimate_parasitics", "-global_routing"] in calls
    assert names.index("estimate_parasitics") < names.index("find_timing_paths")
    assert (labels / "endpoints_grt.csv").exists()


# --- the source -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"package\s+require", "some builds of OpenROAD have no Tcl library"),
        (r"auto_execok|parray\b|tcl_findLibrary", "some builds of OpenROAD have no Tcl library"),
        (r"-encoding\s+binary", "gone in Tcl 9: -translation binary"),
        (r"string\s+bytelength|trace\s+variable|\bcase\s", "gone in Tcl 9"),
        (r"\$(::)?tcl_precision", "gone in Tcl 9"),
        (r"(?<!namespace )\beval\b|\bsubst\b", "evaluates what should be data"),
        (
            r"(?m)^\s*source (?!\[file join|\[expr|\$::env\(_TCL_ENV_IN\))",
            "only our own files and LibreLane's are sourced",
        ),
        (r"[^\x00-\x7f]", "Tcl 8.6 reads a script in the system's encoding"),
        (r"\brand\(\)|\bsrand\(", "would change the user's own random numbers"),
        (r"\bvwait\b|\bupdate\b", "would run the session's other events"),
    ],
)
def test_what_our_tcl_must_not_hold(pattern: str, why: str) -> None:
    for path in sorted(TCL.rglob("*.tcl")):
        code = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
        code = re.sub(r'"(?:\\.|[^"\\])*"', '""', code)
        assert not re.search(pattern, code), f"{path.name}: {why}"


def test_procedures_are_short() -> None:
    for path in sorted(TCL.rglob("*.tcl")):
        lines = path.read_text().splitlines()
        assert len(lines) <= 340, path.name
        starts = [i for i, line in enumerate(lines) if line.startswith("proc ")]
        for start in starts:
            end = next(i for i in range(start, len(lines)) if lines[i] == "}")
            assert end - start <= 45, f"{path.name}: {lines[start]}"


def test_words_of_tcl_are_built_right(tmp_path: Path) -> None:
    run = run_tcl(tmp_path, f"puts [string length {tcl_word('é[x')}]")
    assert run.out.strip() == "3"


# --- the manual ----------------------------------------------------------------------------------------

MANUAL = (TCL.parent.parent / "docs" / "flow.md").read_text()


AMONG_OURSELVES = {
    *["GSR_STEPS", "GSR_CHAIN", "GSR_LABEL_JOB", "GSR_ACCESS_JOB", "GSR_LOOP_JOB", "GSR_SESSION_PID", "GSR_CLAIM"],
    *(f"GSR_CLAIM_{word}" for word in ("ANSWER", "FILE", "PREDICTION", "PYTHON", "RESULT")),
}


def test_every_setting_and_command_is_documented() -> None:
    for path in [*TCL.rglob("*.tcl"), TCL / "private.mk"]:
        text = path.read_text()
        for name in set(re.findall(r"\bGSR_[A-Z_]*[A-Z]\b", text)):
            if name not in AMONG_OURSELVES:
                assert name in MANUAL, f"{path.name}: {name}"
        for command in re.findall(r"(?m)^proc ::(gsr_\w+)", text):
            assert f"`{command}" in MANUAL


def test_the_script_of_the_manual_runs(tmp_path: Path) -> None:
    script = re.search(r"```tcl\n(.*?)```", MANUAL, re.DOTALL)
    assert script
    python = fake_python(tmp_path / "py", plan=plan_text(BLOCKAGE))
    env = {"GSR_PYTHON": str(python), "GSR_HOME": str(TCL)}
    run = run_tcl(tmp_path, script[1], env=env, before="stub::add_inst u1", load=False)
    assert run.code == 0, run.out
    assert run.named("blockages_in_force") == [["1"]]
    assert [s for s, _ in statuses(tmp_path / "second")] == ["applied"]


def test_make_gsr_access_points(tmp_path: Path) -> None:
    (tmp_path / "make_tracks.tcl").write_text("make_tracks\n")
    config = (
        "export TECH_LEF = tech.lef\nexport SC_LEF = cells.lef more.lef\nexport MIN_ROUTING_LAYER = met1\n"
        "export MAX_ROUTING_LAYER = met5\nexport PLACE_SITE = unit double\nexport PLATFORM_DIR = .\n"
        "export OPENROAD_EXE = bin/openroad\nexport NUM_CORES = 4\nexport VIA_IN_PIN_MIN_LAYER = met1\n"
    )
    env = {"GSR_PYTHON": "echo", "GSR_ACCESS_POINTS": "points.csv"}  # in place of Python, which says what it is given
    words = make(tmp_path, "-s", "gsr_access_points", config=config, env=env).split()
    assert words == [
        *["-m", "gsr_plugin", "access-points", "--lef", "tech.lef", "cells.lef", "more.lef"],
        *["--signal-layers", "met1-met5", "--site", "unit", "--tracks", "./make_tracks.tcl"],
        *["--pin-access-args", "-via_in_pin_bottom_layer", "met1", "--openroad", "bin/openroad", "--threads", "4"],
        *["--out", "points.csv", "--overwrite"],
    ]
    assert "set GSR_ACCESS_POINTS to the table to write" in make(tmp_path, "gsr_access_points", config=config)
