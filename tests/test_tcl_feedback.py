"""Plans: what is refused, what is skipped, what is carried out, and that everything is taken back."""

from pathlib import Path

import pytest
from tcl_session import (
    HEADER,
    UGLY_NAMES,
    Session,
    add_insts,
    percent,
    plan_text,
    read_record,
    run_tcl,
    statuses,
    tcl_word,
)

APPLY = {"GSR_MODE": "apply"}
BLOCKAGE = "density_blockage||10|20|30|40||60|0.5"


def apply_plan(
    tmp_path: Path,
    text: str,
    *,
    env: dict[str, str] | None = None,
    before: str = "",
    options: str = "",
    then: str = "",
) -> Session:
    (tmp_path / "feedback.tsv").write_bytes(text.encode())
    script = f"puts result=[gsr_apply_feedback -file feedback.tsv -out_dir out {options}]\n{then}"
    return run_tcl(tmp_path, script, env=APPLY if env is None else env, before=before)


# --- a plan that is refused as a whole -----------------------------------------------------------

REFUSED = {
    "empty": "",
    "not a plan": "hello\n",
    "newer version": plan_text(BLOCKAGE, header=HEADER.replace("feedback 1", "feedback 2")),
    "other design": plan_text(BLOCKAGE, header=HEADER.replace("=top", "=other")),
    "beginning of the name": plan_text(BLOCKAGE, header=HEADER.replace("=top", "=to")),
    "pattern for the name": plan_text(BLOCKAGE, header=HEADER.replace("=top", "=*")),
    "other die": plan_text(BLOCKAGE, header=HEADER.replace("100,80", "100,90")),
    "die of three": plan_text(BLOCKAGE, header=HEADER.replace("0,0,100,80", "0,0,100")),
    "die of nan": plan_text(BLOCKAGE, header=HEADER.replace("100,80", "nan,80")),
    "no design": plan_text(BLOCKAGE, header="#gsr-feedback 1 die_um=0,0,100,80"),
    "no die": plan_text(BLOCKAGE, header="#gsr-feedback 1 design=top"),
    "bare word in header": plan_text(BLOCKAGE, header=HEADER + " [exit]"),
    "stray percent": plan_text(BLOCKAGE, header=HEADER + " x=%zz"),
    "other columns": plan_text(BLOCKAGE).replace("layer\tvalue", "value\tlayer"),
    "no columns": HEADER + "\n",
    "too few fields": plan_text(BLOCKAGE, "density_blockage||1|1|2|2||60"),
    "too many fields": plan_text(BLOCKAGE, BLOCKAGE + "|x"),
    "empty line": plan_text(BLOCKAGE, ""),
    "cut short": plan_text(BLOCKAGE, BLOCKAGE)[:-4],
    "row count": plan_text(BLOCKAGE, header=HEADER + " rows=2"),
    "NUL byte": plan_text(BLOCKAGE, "a\0b||||||||"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_malformed_or_foreign_plan_is_refused_as_a_whole(tmp_path: Path, case: str) -> None:
    run = apply_plan(tmp_path, REFUSED[case], then="global_placement -density 0.6")
    assert run.code == 0, run.out
    assert "[WARNING FLW-7031] gsr_apply_feedback" in run.out
    assert "result=status failed" in run.out
    assert run.changes == []
    record = read_record(tmp_path / "out")
    assert record["refused"]
    assert record["actions"] == []


def test_a_refused_plan_ends_the_step_when_asked(tmp_path: Path) -> None:
    run = apply_plan(tmp_path, REFUSED["other design"], env={**APPLY, "GSR_ON_ERROR": "fail"})
    assert run.code == 1
    assert 'is a plan for "other", but "top" is loaded' in run.out


def test_nothing_is_in_force_when_the_record_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    run = apply_plan(tmp_path, ALL_ACTIONS, before="stub::add_inst u1", then="global_placement -density 0.6")
    assert run.code == 0, run.out
    assert "[WARNING FLW-7031] gsr_apply_feedback: " in run.out
    assert run.changes == []
    assert run.named("global_placement") == [["-density", "0.6"]]


def test_a_placement_goes_on_when_its_record_cannot_be_written(tmp_path: Path) -> None:
    then = "file delete -force out; close [open out w]\nputs returned=[global_placement -density 0.6]"
    run = apply_plan(tmp_path, plan_text(BLOCKAGE), then=then)
    assert run.code == 0, run.out
    assert "returned=placed" in run.out
    assert "[WARNING FLW-7046]" in run.out
    assert run.named("blockages_in_force") == [["1"]]
    assert len(run.named("dbBlockage_destroy")) == 1


def test_a_missing_plan_is_a_warning(tmp_path: Path) -> None:
    run = run_tcl(tmp_path, "gsr_apply_feedback -file nowhere.tsv -out_dir out", env=APPLY)
    assert run.code == 0
    assert "nowhere.tsv does not exist" in run.out


def test_rows_in_the_header_that_agree(tmp_path: Path) -> None:
    apply_plan(tmp_path, plan_text(BLOCKAGE, header=HEADER + " rows=1"))
    assert len(statuses(tmp_path / "out")) == 1


def test_the_design_of_the_plan_may_have_any_name(tmp_path: Path) -> None:
    script = []
    for index, name in enumerate(UGLY_NAMES):
        text = plan_text(BLOCKAGE, header=HEADER.replace("=top", "=" + percent(name)))
        (tmp_path / f"{index}.tsv").write_bytes(text.encode())
        script.append(f"set stub::design {tcl_word(name)}\ngsr_apply_feedback -file {index}.tsv -out_dir {index}")
    run = run_tcl(tmp_path, "\n".join(script), env=APPLY)
    assert run.code == 0
    for index, name in enumerate(UGLY_NAMES):
        assert read_record(tmp_path / str(index))["refused"] == "", name
        assert read_record(tmp_path / str(index))["design"] == name


# --- a line that is skipped ----------------------------------------------------------------------

SKIPPED = {
    "density_blockage||10|20|30|40||nan|0": "value",
    "density_blockage||10|20|30|40||inf|0": "value",
    "density_blockage||10|20|30|40||1e999|0": "value",
    "density_blockage||10|20|30|40||0x10|0": "value",
    "density_blockage||10|20|30|40|||0": "value",
    "density_blockage||10|20|30|40||101|0": "value",
    "density_blockage||10|20|30|40||-1|0": "value",
    "density_blockage||10|20|30|40||[exit 3]|0": "value",
    "density_blockage||10|20|30|40||60; exit 3|0": "value",
    "density_blockage||$x|20|30|40||60|0": 'x1 "$x" is not a number',
    "density_blockage||10|20|30|||60|0": 'y2 "" is not a number',
    "density_blockage||10|20|10|40||60|0": "empty",
    "density_blockage||30|20|10|40||60|0": "empty",
    "density_blockage||10|20|10.0001|40||60|0": "empty",
    "density_blockage||-1|20|30|40||60|0": "inside the die",
    "density_blockage||10|20|100.002|40||60|0": "inside the die",
    "density_blockage||1e300|20|30|40||60|0": "is not a number",
    "region_adjustment||10|20|30|40|metal9|0.5|0": 'no routing layer "metal9"',
    "region_adjustment||10|20|30|40|metal*|0.5|0": "no routing layer",
    "region_adjustment||10|20|30|40||0.5|0": "no routing layer",
    "region_adjustment||10|20|30|40|metal2|1.5|0": "value",
    "layer_adjustment||||||[exit]|0.5|0": "no routing layer",
    "layer_adjustment|elsewhere||||||0.5|0": "neither place nor route",
    "routability_gentle|||||||0.5|0": "not of the form a;b",
    "routability_gentle|||||||0.5;1.2;3|0": "not of the form a;b",
    "routability_gentle|||||||0;1.2|0": "is not a coefficient",
    "routability_gentle|||||||0.5;nan|0": "is not a coefficient",
    "placement_density_addon|||||||1.5|0": "value",
    "uniform_density|||||||-0.1|0": "value",
    "padding|u1||||||1|0": "not of the form a;b",
    "padding|u1||||||1;-1|0": "is not two counts",
    "padding|u1||||||1.5;1|0": "is not two counts",
    "padding|u1||||||1;101|0": "is not two counts",
    "padding|u*||||||1;1|0": "no such inst",
    "padding|none||||||1;1|0": "no such inst",
    "padding|||||||1;1|0": "target is empty",
    "padding|u%zz||||||1;1|0": "stray %",
    "padding|u%00||||||1;1|0": "NUL",
    "padding|u%ff||||||1;1|0": "not UTF-8",
    "padding|fixed_one||||||1;1|0": "the inst is fixed",
}


def test_a_line_with_a_bad_value_is_skipped_with_its_reason(tmp_path: Path) -> None:
    run = apply_plan(
        tmp_path,
        plan_text(*SKIPPED),
        before="stub::add_inst u1; stub::add_inst fixed_one 1",
        then="global_placement -density 0.6",
    )
    assert run.code == 0, run.out
    for (row, words), (status, reason) in zip(SKIPPED.items(), statuses(tmp_path / "out"), strict=True):
        assert status == "skipped", row
        assert words in reason, row
    assert run.changes == []
    assert run.named("global_placement") == [["-density", "0.6"]]


def test_an_unknown_action_is_unsupported(tmp_path: Path) -> None:
    names = ["set_net_weight", "exec", "[exit 3]", "", "check_plan_header", "density_blockage ", "density*", "$x"]
    run = apply_plan(tmp_path, plan_text(*(f"{name}||10|20|30|40||60|0" for name in names)))
    assert run.code == 0, run.out
    assert statuses(tmp_path / "out") == [("unsupported", "no such action")] * len(names)
    assert run.changes == []


def test_good_lines_beside_bad_ones_are_carried_out(tmp_path: Path) -> None:
    text = plan_text(BLOCKAGE, "density_blockage||10|20|30|40||nan|0", BLOCKAGE.replace("60", "80"))
    run = apply_plan(tmp_path, text, then="global_placement -density 0.6")
    assert [s for s, _ in statuses(tmp_path / "out")] == ["applied", "skipped", "applied"]
    assert run.named("blockages_in_force") == [["2"]]


# --- modes, filters, capabilities -----------------------------------------------------------------

ALL_ACTIONS = plan_text(
    BLOCKAGE,
    "placement_density_addon|||||||0.1|0",
    "routability_gentle|||||||0.5;1.2|0",
    "uniform_density|||||||0|0",
    "region_adjustment||10|20|30|40|metal2|0.3|0",
    "layer_adjustment||||||metal3|0.4|0",
    "layer_adjustment|route|||||metal3|0.4|0",
    "padding|u1||||||1;2|0",
)


@pytest.mark.parametrize("mode", ["", "observe", "advise", "gate", "nonsense"])
def test_only_apply_mode_touches_anything(tmp_path: Path, mode: str) -> None:
    before = "stub::add_inst u1"
    run = apply_plan(tmp_path, ALL_ACTIONS, env={"GSR_MODE": mode}, before=before, then="global_placement -density 0.6")
    assert run.code == 0, run.out
    assert run.changes == []
    assert run.named("global_placement") == [["-density", "0.6"]]
    assert {s for s, _ in statuses(tmp_path / "out")} == {"skipped"}


def test_a_dry_run_touches_nothing(tmp_path: Path) -> None:
    run = apply_plan(tmp_path, ALL_ACTIONS, before="stub::add_inst u1", options="-dry_run")
    assert run.changes == []
    assert set(statuses(tmp_path / "out")) == {("skipped", "dry run")}


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        ("GLOBAL_PLACE", "11111100"),
        ("DETAIL_PLACE", "00000001"),
        ("CTS", "00000001"),
        ("GLOBAL_ROUTE", "00000011"),
    ],
)
def test_each_step_takes_its_own_actions(tmp_path: Path, step: str, wanted: str) -> None:
    run = apply_plan(
        tmp_path,
        ALL_ACTIONS,
        before="stub::add_inst u1",
        options=f"-step {step}",
        then="global_placement -density 0.6",
    )
    assert run.code == 0, run.out
    found = "".join("1" if s == "applied" else "0" for s, _ in statuses(tmp_path / "out"))
    assert found == wanted
    reasons = [r for s, r in statuses(tmp_path / "out") if s == "skipped"]
    assert all(r.startswith("belongs to") for r in reasons)


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_list_of_actions_leaves_out_the_others(tmp_path: Path, how: str) -> None:
    env = APPLY if how == "option" else {**APPLY, "GSR_FEEDBACK": "padding,uniform_density"}
    options = '-actions "padding uniform_density"' if how == "option" else ""
    run = apply_plan(
        tmp_path, ALL_ACTIONS, env=env, before="stub::add_inst u1", options=options, then="global_placement"
    )
    assert run.code == 0, run.out
    applied = [s == "applied" for s, _ in statuses(tmp_path / "out")]
    assert applied == [False, False, False, True, False, False, False, True]


@pytest.mark.parametrize(
    ("row", "absent", "lacks"),
    [
        (BLOCKAGE, "rename create_blockage {}", "create_blockage"),
        (BLOCKAGE, "rename odb::dbBlockage_destroy {}", "odb::dbBlockage_destroy"),
        (BLOCKAGE, "set sta::cmd_args(create_blockage) {-region box}", "create_blockage -max_density"),
        (BLOCKAGE, "rename global_placement {}", "global_placement"),
        ("uniform_density|||||||0|0", "rename gpl::get_global_placement_uniform_density {}", "uniform_density"),
        ("region_adjustment||1|1|9|9|metal2|0.3|0", "rename set_global_routing_region_adjustment {}", "region"),
        ("layer_adjustment||||||metal2|0.3|0", "rename set_global_routing_layer_adjustment {}", "layer"),
        ("routability_gentle|||||||0.5;1.2|0", "set sta::cmd_args(global_placement) {}", "-routability_max"),
    ],
)
def test_what_this_openroad_cannot_do_is_unsupported(tmp_path: Path, row: str, absent: str, lacks: str) -> None:
    run = apply_plan(tmp_path, plan_text(row), before=absent)
    assert run.code == 0, run.out
    [(status, reason)] = statuses(tmp_path / "out")
    assert status == "unsupported"
    assert lacks in reason
    assert run.changes == []


# --- padding: names ---------------------------------------------------------------------------------


def test_padding_reaches_insts_of_any_name(tmp_path: Path) -> None:
    rows = [f"padding|{percent(name)}||||||1;2|0" for name in UGLY_NAMES]
    run = apply_plan(tmp_path, plan_text(*rows), before=add_insts([*UGLY_NAMES, "a0", "starfish"]))
    assert run.code == 0, run.out
    assert statuses(tmp_path / "out") == [("applied", "")] * len(UGLY_NAMES)
    assert run.named("set_padding_inst") == [[name, "1", "2"] for name in UGLY_NAMES]
    assert run.named("padding_by_pattern") == []


def test_the_documented_padding_command_takes_plain_names_only(tmp_path: Path) -> None:
    names = ["plain_1", "a/b", "a[0]", "star*", "$x", "q?", "b\\c", "two words"]
    rows = [f"padding|{percent(name)}||||||1;2|0" for name in names]
    before = add_insts([*names, "starfish"]) + "\nrename dpl::set_padding_inst {}"
    run = apply_plan(tmp_path, plan_text(*rows), before=before)
    assert run.code == 0, run.out
    assert [s for s, _ in statuses(tmp_path / "out")] == ["applied"] * 2 + ["unsupported"] * 6
    assert run.named("padding_by_pattern") == [["plain_1", "plain_1"], ["a/b", "a/b"]]


def test_padding_is_never_below_that_of_the_flow(tmp_path: Path) -> None:
    env = {**APPLY, "CELL_PAD_IN_SITES_DETAIL_PLACEMENT": "2"}
    run = apply_plan(tmp_path, plan_text("padding|u1||||||1;3|0"), env=env, before="stub::add_inst u1")
    assert run.named("set_padding_inst") == [["u1", "2", "3"]]


# --- the wrapper of global_placement ---------------------------------------------------------------


def test_blockages_stand_around_global_placement_only(tmp_path: Path) -> None:
    then = (
        "puts before=[llength $stub::blockages]\n"
        "puts returned=[global_placement -density 0.6]\n"
        "puts after=[llength $stub::blockages]\n"
        "global_placement -density 0.7"
    )
    run = apply_plan(tmp_path, plan_text(BLOCKAGE), then=then)
    assert run.code == 0, run.out
    assert "before=0" in run.out
    assert "returned=placed" in run.out
    assert "after=0" in run.out
    assert run.named("create_blockage") == [["10000", "20000", "30000", "40000", "60.0"]]
    assert run.named("setSoft") == [["::blockage_1"]]
    assert run.named("dbBlockage_destroy") == [["::blockage_1"]]
    assert run.named("blockages_in_force") == [["1"], ["0"]]
    names = [c[0] for c in run.calls]
    assert names.index("create_blockage") < names.index("global_placement") < names.index("dbBlockage_destroy")
    assert statuses(tmp_path / "out") == [("applied", "")]


def test_until_global_placement_runs_the_record_says_so(tmp_path: Path) -> None:
    run = apply_plan(tmp_path, plan_text(BLOCKAGE))
    assert "pending 1" in run.out
    assert statuses(tmp_path / "out") == [("skipped", "global_placement has not run since")]


def test_the_uniform_density_is_taken_after_the_blockages(tmp_path: Path) -> None:
    env = {**APPLY, "PLACE_DENSITY_LB_ADDON": "0.2"}
    then = "global_placement -density 0.61 -pad_left 1 -pad_right 2"
    run = apply_plan(tmp_path, plan_text(BLOCKAGE), env=env, then=then)
    # as ORFS computes it: 0.6 + 0.4 x 0.2 + 0.01, with the flow's own padding
    assert run.named("global_placement")[0][-2:] == ["-density", "0.6900"]
    assert run.named("get_global_placement_uniform_density")[-1] == ["-pad_left", "1", "-pad_right", "2"]


@pytest.mark.parametrize(
    ("rows", "given", "wanted"),
    [
        ([BLOCKAGE], "-density 0.65", "0.7500"),  # 0.15 above the uniform density before and after
        ([BLOCKAGE], "-density 0.4", "0.6000"),  # never below it
        ([BLOCKAGE] * 4, "-density 0.7", "0.9900"),
        ([BLOCKAGE] * 3, "", "0.8000"),  # the placer's default of 0.7 would be too low
        ([BLOCKAGE], "", None),
        ([BLOCKAGE, "uniform_density|||||||0|0"], "-density 0.9", "0.6000"),
        (["uniform_density|||||||0.05|0"], "-density 0.9", "0.5500"),
        (["placement_density_addon|||||||0.1|0"], "-density 0.9", "0.5600"),
    ],
)
def test_density_of_the_placement(tmp_path: Path, rows: list[str], given: str, wanted: str | None) -> None:
    run = apply_plan(tmp_path, plan_text(*rows), then=f"global_placement {given}")
    assert run.code == 0, run.out
    [words] = run.named("global_placement")
    assert words == given.split() + (["-density", wanted] if wanted else [])


def test_gentle_routability_reaches_the_flow_and_leaves_it_again(tmp_path: Path) -> None:
    env = {**APPLY, "GLOBAL_PLACEMENT_ARGS": "-pad_left 1", "PLACE_DENSITY_LB_ADDON": "0.2"}
    then = (
        "puts args=$::env(GLOBAL_PLACEMENT_ARGS)\nputs addon=$::env(PLACE_DENSITY_LB_ADDON)\n"
        "global_placement {*}$::env(GLOBAL_PLACEMENT_ARGS)\n"
        "puts args=$::env(GLOBAL_PLACEMENT_ARGS)\nputs addon=$::env(PLACE_DENSITY_LB_ADDON)\n"
    )
    text = plan_text("routability_gentle|||||||0.5;1.2|0", "placement_density_addon|||||||0.05|0")
    run = apply_plan(tmp_path, text, env=env, then=then)
    gentle = "-routability_driven -routability_inflation_ratio_coef 0.5 -routability_max_inflation_ratio 1.2"
    assert f"args=-pad_left 1 {gentle}\naddon=0.05" in run.out
    assert "args=-pad_left 1\naddon=0.2" in run.out
    [words] = run.named("global_placement")
    assert words == [*f"-pad_left 1 {gentle}".split(), "-density", "0.5350"]


def test_gentle_routability_in_a_plain_script(tmp_path: Path) -> None:
    run = apply_plan(
        tmp_path,
        plan_text("routability_gentle|||||||0.5;1.2|0"),
        then="global_placement -density 0.6\nputs [info exists ::env(GLOBAL_PLACEMENT_ARGS)]",
    )
    assert run.named("global_placement")[0][2:] == (
        ["-routability_driven", "-routability_inflation_ratio_coef", "0.5", "-routability_max_inflation_ratio", "1.2"]
    )
    assert run.out.rstrip().endswith("0")


def test_layer_adjustment_of_the_placement_is_put_back(tmp_path: Path) -> None:
    run = apply_plan(tmp_path, plan_text("layer_adjustment||||||metal4|0.8|0"), then="global_placement -density 0.6")
    names = [c[0] for c in run.calls if c[0] in ("set_global_routing_layer_adjustment", "global_placement")]
    assert names == ["set_global_routing_layer_adjustment", "global_placement", "set_global_routing_layer_adjustment"]
    assert run.named("set_global_routing_layer_adjustment") == [["metal4", "0.8"], ["metal4", "0.5"]]


def test_a_placement_that_fails_with_the_plan_runs_again_without_it(tmp_path: Path) -> None:
    env = {**APPLY, "PLACE_DENSITY_LB_ADDON": "0.2"}
    text = plan_text(BLOCKAGE, "routability_gentle|||||||0.5;1.2|0", "placement_density_addon|||||||0.05|0")
    then = "puts returned=[global_placement -density 0.535 {*}$::env(GLOBAL_PLACEMENT_ARGS)]"
    run = apply_plan(tmp_path, text, env=env, before="set stub::placement_failures 1", then=then)
    assert run.code == 0, run.out
    assert "returned=placed" in run.out
    assert "[WARNING FLW-7035]" in run.out
    assert run.named("blockages_in_force") == [["1"], ["0"]]
    # with the density that the flow would have used: 0.5 + 0.5 x 0.2 + 0.01
    assert run.named("global_placement")[1] == ["-density", "0.535", "-density", "0.61"]
    assert run.named("replace_reset_cmd") == [[]]
    assert all(s == "skipped" and "failed with the plan: GPL-0301" in r for s, r in statuses(tmp_path / "out"))


def test_a_placement_that_fails_with_the_plan_ends_the_step_when_asked(tmp_path: Path) -> None:
    then = "set code [catch { global_placement -density 0.6 } message]\nputs $code:$message:[llength $stub::blockages]"
    run = apply_plan(
        tmp_path,
        plan_text(BLOCKAGE),
        env={**APPLY, "GSR_ON_ERROR": "fail"},
        before="set stub::placement_failures 1",
        then=then,
    )
    # the blockage is gone all the same
    assert "1:GPL-0301:0" in run.out
    assert len(run.named("global_placement")) == 1


def test_the_users_own_failure_stays_the_users(tmp_path: Path) -> None:
    then = "set code [catch { global_placement -density 0.6 } message]\nputs $code:$message:[llength $stub::blockages]"
    run = apply_plan(tmp_path, plan_text(BLOCKAGE), before="set stub::placement_failures 2", then=then)
    assert "1:GPL-0301:0" in run.out


def test_a_blockage_that_is_refused_does_not_stop_the_others(tmp_path: Path) -> None:
    before = (
        "rename create_blockage real_one\nset ::count 0\n"
        'proc create_blockage { args } { if { [incr ::count] == 1 } { error "ODB-9999 {no}" }; real_one {*}$args }'
    )
    run = apply_plan(tmp_path, plan_text(BLOCKAGE, BLOCKAGE), before=before, then="global_placement -density 0.6")
    assert run.code == 0, run.out
    assert statuses(tmp_path / "out") == [("skipped", "ODB-9999 {no}"), ("applied", "")]
    assert run.named("blockages_in_force") == [["1"]]


def test_an_older_create_blockage_that_returns_nothing(tmp_path: Path) -> None:
    before = "rename create_blockage real_one\nproc create_blockage { args } { real_one {*}$args; return }"
    run = apply_plan(tmp_path, plan_text(BLOCKAGE), before=before, then="global_placement -density 0.6")
    assert run.code == 0, run.out
    assert run.named("setSoft") == [["::blockage_1"]]
    assert run.named("dbBlockage_destroy") == [["::blockage_1"]]


def test_a_create_blockage_that_makes_none_leaves_the_users_own_alone(tmp_path: Path) -> None:
    before = (
        "create_blockage -region {1 1 2 2} -max_density 50\n"
        "rename create_blockage real_one\nproc create_blockage { args } { return }"
    )
    then = "global_placement -density 0.6\nputs left=$stub::blockages"
    run = apply_plan(tmp_path, plan_text(BLOCKAGE), before=before, then=then)
    assert run.code == 0, run.out
    assert "left=::blockage_1" in run.out
    assert run.named("setSoft") == []
    assert statuses(tmp_path / "out") == [("skipped", "create_blockage made none")]


def test_applying_twice_is_as_applying_once(tmp_path: Path) -> None:
    text = plan_text(BLOCKAGE, "padding|u1||||||1;2|0")
    then = "gsr_apply_feedback -file feedback.tsv -out_dir out\nglobal_placement -density 0.6"
    run = apply_plan(tmp_path, text, before="stub::add_inst u1", then=then)
    assert run.named("blockages_in_force") == [["1"]]
    assert [s for s, _ in statuses(tmp_path / "out")] == ["applied", "applied"]


def test_a_wrapper_of_the_user_around_ours_stays(tmp_path: Path) -> None:
    then = (
        "rename global_placement users_original\n"
        'proc global_placement { args } { puts "user wraps"; users_original {*}$args }\n'
        "global_placement -density 0.6\nglobal_placement -density 0.7\n"
        "gsr_apply_feedback -file feedback.tsv -out_dir out\nglobal_placement -density 0.8"
    )
    run = apply_plan(tmp_path, plan_text(BLOCKAGE), then=then)
    assert run.out.count("user wraps") == 3
    assert run.named("blockages_in_force") == [["1"], ["0"], ["1"]]


# --- region adjustments and clearing ------------------------------------------------------------------


def test_region_adjustment_grows_by_one_unit_and_stays_inside_the_die(tmp_path: Path) -> None:
    rows = ["region_adjustment||5.7|11.4|17.1|22.8|metal2|0.3|0", "region_adjustment||0|0|100|80|metal4|0.25|0"]
    run = apply_plan(tmp_path, plan_text(*rows))
    assert run.named("set_global_routing_region_adjustment") == [
        ["5699", "11399", "17101", "22801", "metal2", "0.3"],
        ["0", "0", "100000", "80000", "metal4", "0.25"],
    ]
    assert statuses(tmp_path / "out") == [("applied", "")] * 2


def test_no_region_adjustment_in_a_flow_of_one_process(tmp_path: Path) -> None:
    row = "region_adjustment||10|20|30|40|metal2|0.3|0"
    run = apply_plan(tmp_path, plan_text(row), env={**APPLY, "KEEP_VARS": "1"})
    [(status, reason)] = statuses(tmp_path / "out")
    assert status == "skipped"
    assert "single-process flow" in reason
    assert run.changes == []


def test_clear_takes_back_what_can_be_taken_back(tmp_path: Path) -> None:
    text = plan_text(
        BLOCKAGE,
        "padding|u1||||||3;4|0",
        "region_adjustment||10|20|30|40|metal2|0.3|0",
        "layer_adjustment|route|||||metal4|0.8|0",
        "placement_density_addon|||||||0.1|0",
    )
    env = {**APPLY, "CELL_PAD_IN_SITES_DETAIL_PLACEMENT": "1"}
    then = (
        "puts cleared=[gsr_clear_feedback]\nputs again=[gsr_clear_feedback]\nglobal_placement -density 0.6\n"
        "puts [info exists ::env(PLACE_DENSITY_LB_ADDON)]"
    )
    run = apply_plan(tmp_path, text, env=env, before="stub::add_inst u1", then=then)
    assert run.code == 0, run.out
    assert "cleared=status ok blockages 0 layer_adjustments 1 paddings 1" in run.out
    assert "region_adjustments unsupported(process-local)" in run.out
    assert "again=status ok blockages 0 layer_adjustments 0 paddings 0" in run.out
    assert run.named("set_padding_inst") == [["u1", "3", "4"], ["u1", "1", "1"]]
    assert run.named("set_global_routing_layer_adjustment") == [["metal4", "0.8"], ["metal4", "0.5"]]
    # disarmed: the placer runs as the user wrote it
    assert run.named("create_blockage") == []
    assert run.named("global_placement") == [["-density", "0.6"]]
    assert run.out.rstrip().endswith("0")
    assert statuses(tmp_path / "out")[0] == ("skipped", "cleared before global_placement ran")


def test_clear_of_one_step_leaves_the_others(tmp_path: Path) -> None:
    text = plan_text(BLOCKAGE, "padding|u1||||||3;4|0")
    run = apply_plan(
        tmp_path, text, before="stub::add_inst u1", then="gsr_clear_feedback -step GLOBAL_PLACE\nglobal_placement"
    )
    assert run.named("set_padding_inst") == [["u1", "3", "4"]]
    assert run.named("create_blockage") == []


def test_clear_with_nothing_to_clear_calls_nothing(tmp_path: Path) -> None:
    assert run_tcl(tmp_path, "gsr_clear_feedback", env=APPLY).calls == []


def test_the_record_names_plan_and_counts(tmp_path: Path) -> None:
    apply_plan(tmp_path, plan_text(BLOCKAGE, "nonsense||||||||"), then="global_placement -density 0.6")
    record = read_record(tmp_path / "out")
    assert record["schema"] == "gsr-feedback-record"
    assert (record["run_id"], record["design"], record["mode"]) == ("r1", "top", "apply")
    assert (record["num_applied"], record["num_skipped"], record["num_unsupported"]) == (1, 0, 1)
    assert record["file"] == str(tmp_path / "feedback.tsv")
    actions = record["actions"]
    assert isinstance(actions, list)
    assert actions[0]["box_um"] == [10, 20, 30, 40]
    assert actions[0]["line"] == 3


def test_a_plan_of_another_folder(tmp_path: Path) -> None:
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier" / "feedback.tsv").write_text(plan_text(BLOCKAGE))
    env = {**APPLY, "GSR_PREDICTION_DIR": "earlier"}
    run = run_tcl(tmp_path, "gsr_apply_feedback -out_dir out\nglobal_placement -density 0.6", env=env)
    assert run.code == 0, run.out
    assert statuses(tmp_path / "out") == [("applied", "")]


def test_windows_line_ends_are_read(tmp_path: Path) -> None:
    apply_plan(tmp_path, plan_text(BLOCKAGE).replace("\n", "\r\n"))
    assert len(statuses(tmp_path / "out")) == 1


def test_ten_thousand_lines_are_quick(tmp_path: Path) -> None:
    rows = [f"padding|u{i}||||||1;1|0" for i in range(10_000)]
    run = apply_plan(tmp_path, plan_text(*rows), before="stub::add_inst u5")
    assert run.code == 0
    assert read_record(tmp_path / "out")["num_applied"] == 1
