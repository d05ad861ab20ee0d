"""Placement in rounds: the flow's placement, a prediction, a plan, a second placement, the better of the two."""

from pathlib import Path

import pytest
from tcl_session import HEADER, Session, fake_python, num_runs, overflows, plan_text, read_record, run_tcl, statuses

BLOCKAGE = "density_blockage||10|20|30|40||60|0.5"
APPLY = {"GSR_MODE": "apply"}


def loop(
    tmp_path: Path,
    *values: float,
    plan: str | None = None,
    env: dict[str, str] | None = None,
    before: str = "",
    body: str = "",
    arguments: str = "-density 0.6",
    options: str = "",
    then: str = "",
) -> Session:
    """One global_placement in a loop; three insts, one of them fixed, one not yet placed."""
    text = plan_text(BLOCKAGE) if plan is None else plan
    python = fake_python(tmp_path / "py", plan=text, body=f"{body}\n{overflows(*values)}")
    script = (
        f"puts armed=[gsr_loop_placement -out_dir out {options}]\n"
        f"puts returned=[global_placement {arguments}]\n"
        'puts "places=$stub::places"\nputs "pins=[stub::port_shapes]"\n' + then
    )
    insts = "stub::add_inst u1\nstub::add_inst tap 1\nstub::add_inst u2 0 0\n"
    return run_tcl(tmp_path, script, env={**APPLY, "GSR_PYTHON": str(python), **(env or {})}, before=insts + before)


# where the stand-in puts insts: 1000 without a blockage, 1050 with one, from where they started
FIRST = "places=u1 {110 1000 R0} tap { 10 10 R0 } u2 {110 1000 R0}"
SECOND = "places=u1 {110 1050 R0} tap { 10 10 R0 } u2 {110 1050 R0}"
PINS = "pins={p PLACED {metal3 0 0 200 100}} {q PLACED {metal4 500 0 600 200}}"


def rounds(tmp_path: Path) -> dict[str, object]:
    found = read_record(tmp_path / "out")["loop"]
    assert isinstance(found, dict)
    return found


def test_the_better_of_two_placements_from_the_same_start(tmp_path: Path) -> None:
    run = loop(tmp_path, 40, 12.5)
    assert run.code == 0, run.out
    assert "returned=placed" in run.out
    assert SECOND in run.out
    assert run.named("blockages_in_force") == [["0"], ["1"]]
    # as u2 was before anything
    assert ["u2", "NONE"] in run.named("setPlacementStatus")
    assert statuses(tmp_path / "out") == [("applied", "")]
    found = rounds(tmp_path)
    assert found["kept"] == 1
    first, second = found["rounds"]  # type: ignore[misc]
    assert (first["predicted_overflow_tracks"], second["predicted_overflow_tracks"]) == (40, 12.5)
    assert all(r[key] >= 0 for r in (first, second) for key in ("placement_s", "prediction_s"))
    assert "predicted overflow by round: 40.0, 12.5 tracks. Kept: round 1." in run.out
    for name in ("round_0", "round_1"):
        assert (tmp_path / "out" / name / "design.def").is_file()


def test_a_placement_that_is_predicted_no_better_is_dropped(tmp_path: Path) -> None:
    run = loop(tmp_path, 40, 40)
    assert run.code == 0, run.out
    assert FIRST in run.out
    [(status, reason)] = statuses(tmp_path / "out")
    assert status == "skipped"
    assert "predicted no better: overflow 40.0, without it 40.0 tracks" in reason
    assert rounds(tmp_path)["kept"] == 0


def test_an_empty_plan_leaves_the_first_placement_and_says_why(tmp_path: Path) -> None:
    header = HEADER + " verdict=Nothing%20planned:%20all%20is%20well. advice=Run%20improve_placement.%0ASleep."
    run = loop(tmp_path, 0, plan=plan_text(header=header))
    assert run.code == 0, run.out
    assert FIRST in run.out
    assert len(run.named("global_placement")) == num_runs(tmp_path / "py") == 1
    # not a place, not a status is set by us: the stand-in notes the latter
    assert [c for c in run.changes if c[0] != "setPlacementStatus"] == []
    record = read_record(tmp_path / "out")
    assert record["verdict"] == "Nothing planned: all is well."
    assert record["advice"] == ["Run improve_placement.", "Sleep."]
    assert record["actions"] == []
    assert "[INFO FLW-7007] Nothing planned: all is well." in run.out
    assert "[INFO FLW-7008] Advice: Sleep." in run.out


@pytest.mark.parametrize(("values", "kept"), [((40, 30, 20), 2), ((40, 30, 35), 1), ((40, 50, 20), 0)])
def test_more_rounds_as_long_as_they_help(tmp_path: Path, values: tuple[int, ...], kept: int) -> None:
    run = loop(tmp_path, *values, options="-rounds 2")
    assert run.code == 0, run.out
    assert rounds(tmp_path)["kept"] == kept
    assert len(run.named("global_placement")) == (2 if kept == 0 else 3)
    assert (SECOND if kept else FIRST) in run.out
    words = (tmp_path / "py" / "arguments").read_text().splitlines()
    if kept:
        # the second plan adds to the first
        assert words[words.index("--previous") + 1].endswith("/round_1/feedback.tsv")


@pytest.mark.parametrize("fails", ["python", "plan", "other flow", "second placement", "second prediction"])
def test_what_fails_leaves_the_first_placement(tmp_path: Path, fails: str) -> None:
    body = {
        "python": "exit 1",
        # a second flow in the same folder has put its own plan there
        "other flow": 'sed -i "1s|run_id=[^ ]*|run_id=theirs|" "$out/feedback.tsv"',
        "second prediction": 'test $(wc -l < "${0%/*}/runs") = 2 && exit 1',
    }.get(fails, "")
    before = ""
    if fails == "second placement":
        # the placer stops in the middle of it
        before = (
            "rename global_placement real_one\nproc global_placement { args } {\n"
            "  set result [real_one {*}$args]\n  if { [llength $stub::blockages] > 0 } { error GPL-0301 }\n"
            "  return $result\n}"
        )
    plan = plan_text(BLOCKAGE, header=HEADER.replace("=top", "=other")) if fails == "plan" else None
    run = loop(tmp_path, 40, 10, body=body, before=before, plan=plan)
    assert run.code == 0, run.out
    assert "returned=placed" in run.out
    assert FIRST in run.out
    assert PINS in run.out
    assert run.out.count("WARNING") == 1
    assert "[WARNING FLW-7031] global_placement with feedback: " in run.out
    assert len(run.named("create_blockage")) == len(run.named("dbBlockage_destroy"))
    record = read_record(tmp_path / "out")
    assert rounds(tmp_path)["kept"] == 0
    if fails in ("python", "plan", "other flow"):
        assert record["refused"]
        assert ("does another flow use this folder?" in str(record["refused"])) == (fails == "other flow")
    else:
        [(status, reason)] = statuses(tmp_path / "out")
        assert (status, "the placement with it failed: " in reason) == ("skipped", True)


def test_a_folder_that_cannot_be_written_costs_the_plan_alone(tmp_path: Path) -> None:
    """In the hook of the flow, with a file where the folder should be: even root cannot write there."""
    (tmp_path / "gsr").write_text("in the way")
    python = fake_python(tmp_path / "py", plan=plan_text(BLOCKAGE))
    script = "::gsr::run_hook PRE GLOBAL_PLACE\nputs [global_placement -density 0.6]"
    env = {**APPLY, "GSR_PYTHON": str(python), "GSR_OUT_ROOT": str(tmp_path / "gsr")}
    run = run_tcl(tmp_path, script, env=env)
    assert run.code == 0, run.out
    assert run.out.count("WARNING") == 1
    assert "[WARNING FLW-7031] PRE_GLOBAL_PLACE: " in run.out
    assert run.named("global_placement") == [["-density", "0.6"]]
    run = run_tcl(tmp_path, script, env={**env, "GSR_ON_ERROR": "fail"})
    assert run.code == 1
    assert run.named("global_placement") == []


def test_what_fails_ends_the_step_when_asked_but_nothing_stays_by_halves(tmp_path: Path) -> None:
    env = {"GSR_ON_ERROR": "fail"}
    run = loop(tmp_path, 40, body="exit 1", env=env, arguments='-density 0.6]\nputs "never"; puts [list')
    assert run.code == 1
    assert "never" not in run.out
    assert "[ERROR FLW-7061] global_placement with feedback: " in run.out


def test_a_failure_of_the_users_own_placement_is_the_users(tmp_path: Path) -> None:
    before = "set stub::placement_failures 1"
    run = loop(tmp_path, 40, before=before)
    assert run.code == 1
    assert "FAILED: GPL-0301" in run.out
    assert num_runs(tmp_path / "py") == 0


TIMED = "-density 0.6 -timing_driven -keep_resize_below_overflow 0.3"


@pytest.mark.parametrize(("values", "blockages"), [((40, 10), "1"), ((40, 50), "0"), ((), "0")])
def test_a_timing_driven_placement_runs_once_and_last(
    tmp_path: Path, values: tuple[float, ...], blockages: str
) -> None:
    """It changes the netlist, so the rounds before are without timing, and it starts from the start."""
    run = loop(tmp_path, *values, arguments=TIMED, body="" if values else "exit 1")
    assert run.code == 0, run.out
    calls = run.named("global_placement")
    assert [("-timing_driven" in words) for words in calls] == [False] * (2 if values else 1) + [True]
    # with the plan the density is that which the blockages leave; all else is the flow's
    assert calls[-1][:5] == TIMED.split()
    assert run.named("blockages_in_force")[-1] == [blockages]
    assert (SECOND if blockages == "1" else FIRST) in run.out
    if values:
        [(status, _)] = statuses(tmp_path / "out")
        assert status == ("applied" if blockages == "1" else "skipped")


def test_a_timing_driven_placement_that_fails_with_the_plan_runs_as_the_flow_wrote_it(tmp_path: Path) -> None:
    before = (
        "rename global_placement real_one\nproc global_placement { args } {\n"
        '  if { "-timing_driven" in $args && [llength $stub::blockages] > 0 } { error GPL-0305 }\n'
        "  return [real_one {*}$args]\n}"
    )
    run = loop(tmp_path, 40, 10, arguments=TIMED, before=before)
    assert run.code == 0, run.out
    assert FIRST in run.out
    assert run.named("global_placement")[-1] == TIMED.split()
    [(status, reason)] = statuses(tmp_path / "out")
    assert (status, reason) == ("skipped", "global_placement failed with the plan: GPL-0305")


def test_the_next_placement_after_the_loop_is_the_users_own(tmp_path: Path) -> None:
    run = loop(tmp_path, 40, 10, then="global_placement -density 0.7")
    assert run.named("global_placement")[-1] == ["-density", "0.7"]
    assert num_runs(tmp_path / "py") == 2


def test_a_loop_that_is_cleared_does_not_run(tmp_path: Path) -> None:
    script = "gsr_loop_placement -out_dir out\ngsr_clear_feedback\nglobal_placement -density 0.6"
    run = run_tcl(tmp_path, script, env=APPLY)
    assert run.named("global_placement") == [["-density", "0.6"]]
    assert not (tmp_path / "out" / "round_0").exists()


@pytest.mark.parametrize("mode", ["observe", "advise", "gate"])
def test_only_apply_places_in_rounds(tmp_path: Path, mode: str) -> None:
    run = loop(tmp_path, 40, 10, env={"GSR_MODE": mode})
    assert run.code == 0, run.out
    assert f"armed=status skipped reason {{GSR_MODE is {mode}, not apply}}" in run.out
    assert run.named("global_placement") == [["-density", "0.6"]]
    assert run.changes == []
    assert num_runs(tmp_path / "py") == 0


@pytest.mark.parametrize("given", ["0", "10", "two", "-1", "1.5", "[exit 3]"])
def test_a_number_of_rounds_is_checked(tmp_path: Path, given: str) -> None:
    run = run_tcl(tmp_path, "puts [gsr_loop_placement -out_dir out]", env={**APPLY, "GSR_ROUNDS": given})
    assert run.code == 0, run.out
    assert f'"{given}" is not a number of rounds (1-9)' in run.out


def test_settings_of_the_planner_reach_python_as_words(tmp_path: Path) -> None:
    loop(tmp_path, 40, 10, env={"GSR_PLAN": "gentle=always place_pins=never, x=[exit]"})
    words = (tmp_path / "py" / "arguments").read_text().splitlines()
    assert [words[i + 1] for i, word in enumerate(words) if word == "--set"] == (
        ["gentle=always", "place_pins=never", "x=[exit]"]
    )
