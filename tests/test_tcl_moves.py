"""Ports placed again and insts unplaced: only for the placement that was planned for, and never by halves."""

from pathlib import Path

import pytest
from tcl_session import UGLY_NAMES, Session, add_insts, percent, plan_text, run_tcl, statuses

APPLY = {"GSR_MODE": "apply"}
FREE = "{p PLACED {metal3 0 0 200 100}} {q PLACED {metal4 500 0 600 200}}"
INSTS = "stub::add_inst u1; stub::add_inst u2; stub::add_inst tap 1; stub::add_inst a_macro; stub::add_inst new 0 0\n"


def apply_plan(
    tmp_path: Path,
    *rows: str,
    before: str = "",
    env: dict[str, str] | None = None,
    placement: str = "write_def design.def",
    options: str = "",
    then: str = "global_placement -density 0.6",
) -> Session:
    """The plan with the placement beside it that it was made for."""
    (tmp_path / "feedback.tsv").write_text(plan_text(*rows))
    script = (
        f"{placement}\ngsr_apply_feedback -file feedback.tsv -out_dir out {options}\n{then}\n"
        'puts "pins=[stub::port_shapes]"\nputs "places=$stub::places"'
    )
    return run_tcl(tmp_path, script, env={**APPLY, **(env or {})}, before=INSTS + before)


def pins(value: str = "") -> str:
    return f"place_pins|||||||{value}|1"


def test_pins_are_placed_for_the_insts_before_the_placement(tmp_path: Path) -> None:
    run = apply_plan(tmp_path, pins())
    assert run.code == 0, run.out
    assert statuses(tmp_path / "out") == [("applied", "")]
    # the layers that the ports lie on; the stand-in puts ports where the first inst is before it moves
    assert run.named("place_pins") == [["-hor_layers", "metal3", "-ver_layers", "metal4"]]
    assert "pins={p PLACED {metal4 10 0 110 200}} {q PLACED {metal4 10 0 110 200}}" in run.out
    names = [call[0] for call in run.calls]
    assert names.index("place_pins") < names.index("global_placement")


FIRM_2 = "stub::pin ::pin_2 setPlacementStatus FIRM"


@pytest.mark.parametrize(("highest", "vertical"), [(4, "metal4"), (3, "metal2")])
def test_a_direction_without_pins_takes_the_signal_layer_beside(tmp_path: Path, highest: int, vertical: str) -> None:
    run = apply_plan(tmp_path, pins(), before=f"{FIRM_2}; set stub::routing_range {{ 2 {highest} }}")
    assert run.named("place_pins") == [["-hor_layers", "metal3", "-ver_layers", vertical]], run.out


@pytest.mark.parametrize(
    ("value", "env", "horizontal", "vertical"),
    [
        ("metal1,metal3;metal2", {}, "metal1 metal3", "metal2"),
        ("metal1;met%61l2", {"IO_PLACER_H": "metal3", "IO_PLACER_V": "metal4"}, "metal1", "metal2"),
        ("", {"IO_PLACER_H": "metal1 metal3", "IO_PLACER_V": "metal2"}, "metal1 metal3", "metal2"),
        ("", {"IO_PLACER_H": "metal1"}, "metal3", "metal4"),
    ],
)
def test_layers_of_the_pins(tmp_path: Path, value: str, env: dict[str, str], horizontal: str, vertical: str) -> None:
    run = apply_plan(tmp_path, pins(value), env={**env, "PLACE_PINS_ARGS": "-min_distance 2"})
    assert run.code == 0, run.out
    assert run.named("place_pins") == ([["-hor_layers", horizontal, "-ver_layers", vertical, "-min_distance", "2"]]), (
        statuses(tmp_path / "out")
    )


@pytest.mark.parametrize(
    ("value", "before", "env", "reason"),
    [
        ("metal3", "", {}, "not of the form a;b"),
        ("metal3;", "", {}, "no vertical layer"),
        (";metal4", "", {}, "no horizontal layer"),
        ("metal9;metal4", "", {}, 'no routing layer "metal9"'),
        ("[exit];metal4", "", {}, "no routing layer"),
        ("metal4;metal3", "", {}, 'layer "metal4" is not horizontal'),
        ("%zz;metal4", "", {}, "stray %"),
        (
            "",
            f"{FIRM_2}; set stub::routing_range {{ 1 3 }}; dict set stub::layers metal2 HORIZONTAL",
            {},
            "no vertical layer",
        ),
        ("", "foreach p {1 2} { stub::pin ::pin_$p setPlacementStatus FIRM }", {}, "no pin may be moved"),
        ("", "", {"FLOORPLAN_DEF": "x.def"}, "the flow takes the pins from FLOORPLAN_DEF"),
        ("", "", {"FOOTPRINT_TCL": "x.tcl"}, "the flow takes the pins from FOOTPRINT_TCL"),
    ],
)
def test_pins_that_stay(tmp_path: Path, value: str, before: str, env: dict[str, str], reason: str) -> None:
    run = apply_plan(tmp_path, pins(value), before=before, env=env)
    assert run.code == 0, run.out
    [(status, why)] = statuses(tmp_path / "out")
    assert status == "skipped"
    assert reason in why
    assert run.named("place_pins") == []
    assert run.named("global_placement") == [["-density", "0.6"]]


def test_pins_are_back_when_they_cannot_be_placed(tmp_path: Path) -> None:
    run = apply_plan(tmp_path, pins(), "density_blockage||10|20|30|40||60|0", before="set stub::pin_failures 1")
    assert run.code == 0, run.out
    assert statuses(tmp_path / "out") == [("skipped", "PPL-0024"), ("applied", "")]
    # made anew, hence behind the other
    assert "pins={q PLACED {metal4 500 0 600 200}} {p PLACED {metal3 0 0 200 100}}" in run.out


def rows_of(*names: str) -> list[str]:
    return [f"unplace|{name}|||||||1" for name in names]


def test_named_insts_are_placed_again_among_the_others(tmp_path: Path) -> None:
    names = ["u1", "tap", "a_macro", "new", "none", "u*", "[exit]", "", "%zz"]
    run = apply_plan(tmp_path, *rows_of(*names))
    assert run.code == 0, run.out
    reasons = ["", "the inst is fixed", "the inst is a macro", "the inst is not placed", *["no such inst"] * 3]
    found = statuses(tmp_path / "out")
    assert [reason for _, reason in found][:7] == reasons
    assert [status for status, _ in found] == ["applied"] + ["skipped"] * 8
    assert run.named("setPlacementStatus") == [["u1", "NONE"]]
    assert run.named("global_placement") == [["-density", "0.6", "-incremental"]]
    # the others stay where they are
    assert "u1 {110 1000 R0} u2 { 10 10 R0 }" in run.out


def test_insts_of_any_name_are_found(tmp_path: Path) -> None:
    run = apply_plan(tmp_path, *rows_of(*map(percent, UGLY_NAMES)), before=add_insts(UGLY_NAMES))
    assert run.code == 0, run.out
    assert run.named("setPlacementStatus") == [[name, "NONE"] for name in UGLY_NAMES]


def test_a_placement_that_fails_puts_insts_and_pins_back(tmp_path: Path) -> None:
    run = apply_plan(tmp_path, *rows_of("u1"), pins(), before="set stub::placement_failures 1")
    assert run.code == 0, run.out
    assert run.named("setPlacementStatus")[-1] == ["new", "NONE"]
    assert ["u1", "PLACED"] in run.named("setPlacementStatus")
    # then the placement as the user wrote it
    assert run.named("global_placement") == [["-density", "0.6", "-incremental"], ["-density", "0.6"]]
    assert f"pins={FREE}" in run.out
    assert {status for status, _ in statuses(tmp_path / "out")} == {"skipped"}


@pytest.mark.parametrize("row", [rows_of("u1")[0], pins()])
@pytest.mark.parametrize(
    "placement", ["", "write_def design.def\nstub::inst u2 setLocation 11 10", "write_def other.def"]
)
def test_a_plan_for_another_placement_moves_nothing(tmp_path: Path, row: str, placement: str) -> None:
    run = apply_plan(tmp_path, row, placement=placement)
    assert run.code == 0, run.out
    [(status, reason)] = statuses(tmp_path / "out")
    assert (status, "what is loaded is not the placement of the plan" in reason) == ("skipped", True)
    assert run.changes == []
    assert run.named("global_placement") == [["-density", "0.6"]]


def test_the_placement_of_a_plan_may_be_named(tmp_path: Path) -> None:
    run = apply_plan(tmp_path, *rows_of("u1"), placement="write_def other.def", options="-def other.def")
    assert run.code == 0, run.out
    assert statuses(tmp_path / "out") == [("applied", "")]
    assert not list((tmp_path / "out").glob("*.tmp*"))


@pytest.mark.parametrize(
    ("row", "absent", "lacks"),
    [
        (pins(), "rename place_pins {}", "place_pins"),
        (pins(), "rename odb::dbBPin_create {}", "odb::dbBPin_create"),
        (rows_of("u1")[0], "set sta::cmd_args(global_placement) {-density}", "global_placement -incremental"),
    ],
)
def test_what_this_openroad_cannot_do_is_unsupported(tmp_path: Path, row: str, absent: str, lacks: str) -> None:
    run = apply_plan(tmp_path, row, before=absent)
    assert run.code == 0, run.out
    assert statuses(tmp_path / "out") == [("unsupported", f"this OpenROAD has no {lacks}")]
    assert run.changes == []


@pytest.mark.parametrize("mode", ["observe", "advise", "gate"])
def test_only_apply_moves(tmp_path: Path, mode: str) -> None:
    run = apply_plan(tmp_path, pins(), *rows_of("u1"), env={"GSR_MODE": mode})
    assert run.changes == []
    assert {status for status, _ in statuses(tmp_path / "out")} == {"skipped"}
