"""The export from a flow: design.def and hook.json, whatever the names and paths."""

import json
import os
from pathlib import Path

import pytest
from tcl_session import UGLY_NAMES, Session, run_tcl, tcl_word


def export(tmp_path: Path, *, env: dict[str, str] | None = None, before: str = "", options: str = "") -> Session:
    return run_tcl(tmp_path, f"gsr_export_design -out_dir out {options}", env=env, before=before)


def hook_of(tmp_path: Path) -> dict[str, object]:
    hook: dict[str, object] = json.loads((tmp_path / "out" / "hook.json").read_bytes())
    return hook


def flow_files(tmp_path: Path) -> dict[str, str]:
    for name in ("tech.lef", "cells.lef", "ram.lef", "cells.lib", "2_floorplan.sdc"):
        (tmp_path / name).write_text("text\n")
    return {
        "TECH_LEF": str(tmp_path / "tech.lef"),
        "SC_LEF": str(tmp_path / "cells.lef"),
        "ADDITIONAL_LEFS": f"{tmp_path}/ram.lef  {tmp_path}/cells.lef",
        "LIB_FILES": f"{tmp_path}/cells.lib {tmp_path}/absent.lib",
        "RESULTS_DIR": str(tmp_path),
        "PLATFORM": "nangate45",
        "DESIGN_NICKNAME": "top_nick",
    }


def test_what_a_killed_process_left_is_removed_and_that_of_a_live_one_is_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    dead, alive = (out / f"design.{pid}.tmp.def" for pid in (2**22 + 1, os.getpid()))
    for path in (dead, alive):
        path.write_text("half")
    assert export(tmp_path).code == 0
    assert [p.name for p in out.glob("*.tmp.def")] == [alive.name]
    assert (out / "design.def").is_file()


def test_hook_json_names_design_files_and_layers(tmp_path: Path) -> None:
    run = export(tmp_path, env=flow_files(tmp_path), options="-step POST_DETAIL_PLACE")
    assert run.code == 0, run.out
    hook = hook_of(tmp_path)
    out = tmp_path / "out"
    assert (out / "design.def").read_text().startswith("VERSION 5.8")
    assert hook["schema"] == "gsr-hook"
    assert hook["schema_version"] == 1
    assert hook["design"] == "top"
    assert hook["family"] == "top_nick"
    assert hook["platform"] == "nangate45"
    assert (hook["stage"], hook["step"], hook["when"]) == ("place", "detail_place", "post")
    assert hook["metrics_stage"] == "detailedplace"
    assert hook["metrics_file"] == "3_9_gsr_detail_place.json"
    assert hook["dbu_per_um"] == 1000
    assert hook["die_um"] == [0, 0, 100, 80]
    assert hook["def"] == str(out / "design.def")
    assert hook["lefs"] == [str(tmp_path / n) for n in ("tech.lef", "cells.lef", "ram.lef")]
    assert hook["libs"] == [str(tmp_path / "cells.lib")]
    assert hook["sdc"] == str(tmp_path / "2_floorplan.sdc")
    assert "verilog" not in hook
    assert hook["signal_layers"] == ["metal2", "metal4"]
    # nine digits are what a float of the database needs
    assert hook["layer_adjustment"] == {"metal1": 0, "metal2": 0.3000000119, "metal3": 0.3000000119, "metal4": 0.5}
    assert hook["tool_version"] == "26Q3-stub"
    assert hook["mode"] == "observe"
    assert not [p.name for p in out.iterdir() if "tmp" in p.name]


def test_the_rtl_is_what_the_flow_synthesised_or_what_is_named(tmp_path: Path) -> None:
    for name in ("a.v", "b.v", "mine.v"):
        (tmp_path / name).write_text("text\n")
    (tmp_path / "inc").mkdir()
    env = {
        "VERILOG_FILES": f"{tmp_path}/a.v {tmp_path}/b.v {tmp_path}/absent.v",
        "VERILOG_INCLUDE_DIRS": f"{tmp_path}/inc {tmp_path}/absent",
        "VERILOG_DEFINES": "-D FAST=1 -DWIDE",
    }
    export(tmp_path, env=env)
    hook = hook_of(tmp_path)
    assert hook["rtl"] == [str(tmp_path / "a.v"), str(tmp_path / "b.v")]
    assert hook["rtl_include"] == [str(tmp_path / "inc")]
    assert hook["rtl_defines"] == ["FAST=1", "WIDE"]
    mine = {"GSR_RTL": f"{tmp_path}/mine.v", "GSR_RTL_INCLUDE": str(tmp_path), "GSR_RTL_DEFINES": "SLOW"}
    export(tmp_path, env={**env, **mine})
    hook = hook_of(tmp_path)
    assert hook["rtl"] == [str(tmp_path / "mine.v")]
    assert (hook["rtl_include"], hook["rtl_defines"]) == ([str(tmp_path)], ["SLOW"])
    export(tmp_path, env={**env, "GSR_RTL": "none"})
    assert "rtl" not in hook_of(tmp_path)
    export(tmp_path, env=env, options=f"-rtl {tmp_path}/b.v")
    assert hook_of(tmp_path)["rtl"] == [str(tmp_path / "b.v")]


def test_access_points_travel_where_the_file_is(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("text\n")
    export(tmp_path, env={"GSR_ACCESS_POINTS": str(tmp_path / "points.csv")})
    assert hook_of(tmp_path)["access_points"] == str(tmp_path / "points.csv")
    run = export(tmp_path, env={"GSR_ACCESS_POINTS": str(tmp_path / "none.csv")})
    assert "access_points" not in hook_of(tmp_path)
    assert "FLW-7045" in run.out
    assert "none.csv" in run.out
    run = run_tcl(tmp_path, "puts [gsr_access_points -file points.csv]")
    assert "call pin_access first" in run.out
    assert (tmp_path / "points.csv").read_text() == "text\n"


def test_each_export_has_its_own_run_id(tmp_path: Path) -> None:
    run = run_tcl(
        tmp_path,
        "puts [dict get [gsr_export_design -out_dir a] run_id]; puts [dict get [gsr_export_design -out_dir b] run_id]",
    )
    first, second = run.out.split()[-2:]
    assert first != second
    assert json.loads((tmp_path / "b" / "hook.json").read_bytes())["run_id"] == second


def test_write_lef_when_no_lef_path_is_known(tmp_path: Path) -> None:
    run = export(tmp_path)
    assert run.named("write_lef") == [[str(tmp_path / "out" / "design.lef")]]
    # one file per library
    assert hook_of(tmp_path)["lefs"] == [str(tmp_path / "out" / n) for n in ("design.lef", "design_1.lef")]


def test_write_lef_when_one_of_the_flows_lefs_is_gone(tmp_path: Path) -> None:
    env = flow_files(tmp_path)
    (tmp_path / "ram.lef").unlink()
    run = export(tmp_path, env=env)
    assert len(run.named("write_lef")) == 1
    assert "Not every LEF" in run.out


def test_paths_given_as_options_win(tmp_path: Path) -> None:
    (tmp_path / "my lef.lef").write_text("x\n")
    (tmp_path / "a.lib").write_text("x\n")
    run = export(
        tmp_path,
        env=flow_files(tmp_path),
        options=f'-lef "{tmp_path}/my lef.lef" -lib "{tmp_path}/a.lib" -with_verilog',
    )
    assert run.code == 0, run.out
    hook = hook_of(tmp_path)
    assert hook["lefs"] == [str(tmp_path / "my lef.lef")]
    assert hook["libs"] == [str(tmp_path / "a.lib")]
    assert hook["verilog"] == str(tmp_path / "out" / "design.v")


def test_libraries_of_all_corners(tmp_path: Path) -> None:
    env = flow_files(tmp_path)
    del env["LIB_FILES"]
    (tmp_path / "slow.lib").write_text("x\n")
    env |= {
        "CORNERS": "slow fast",
        "SLOW_LIB_FILES": f"{tmp_path}/slow.lib",
        "FAST_LIB_FILES": f"{tmp_path}/cells.lib",
    }
    export(tmp_path, env=env)
    assert hook_of(tmp_path)["libs"] == [str(tmp_path / "slow.lib"), str(tmp_path / "cells.lib")]


def test_any_design_name_survives(tmp_path: Path) -> None:
    script = [
        f"set stub::design {tcl_word(name)}\ngsr_export_design -out_dir {index}"
        for index, name in enumerate(UGLY_NAMES)
    ]
    run = run_tcl(tmp_path, "\n".join(script))
    assert run.code == 0, run.out
    for index, name in enumerate(UGLY_NAMES):
        assert json.loads((tmp_path / str(index) / "hook.json").read_bytes())["design"] == name


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("folder", ["plain", "two words", "é名", "br[ack]et$x", "qu'ote", 'dq"'])
def test_any_path_survives_any_locale(tmp_path: Path, folder: str, locale: str) -> None:
    lef = tmp_path / folder / "t.lef"
    lef.parent.mkdir()
    lef.write_text("x\n")
    run = export(tmp_path, env={"GSR_LEFS": str(lef), "LC_ALL": locale})
    assert run.code == 0, run.out
    assert hook_of(tmp_path)["lefs"] == [str(lef)]


def test_a_path_that_is_not_utf8_survives(tmp_path: Path) -> None:
    lef = os.fsencode(tmp_path) + b"/odd\xff.lef"
    Path(os.fsdecode(lef)).write_text("x\n")
    run = export(tmp_path, env={"GSR_LEFS": os.fsdecode(lef), "LC_ALL": "C"})
    assert run.code == 0, run.out
    lefs = hook_of(tmp_path)["lefs"]
    assert isinstance(lefs, list)
    assert os.fsencode(lefs[0]) == lef


def test_signal_layers_from_the_flow_when_the_database_has_none(tmp_path: Path) -> None:
    before = "set stub::routing_range { 2 -1 }; foreach l [dict keys $stub::layers] { dict set stub::adjustments $l 0 }"
    env = {"MIN_ROUTING_LAYER": "metal2", "MAX_ROUTING_LAYER": "metal3", "ROUTING_LAYER_ADJUSTMENT": "0.25"}
    export(tmp_path, before=before, env=env)
    hook = hook_of(tmp_path)
    assert hook["signal_layers"] == ["metal2", "metal3"]
    assert hook["layer_adjustment"] == {"metal1": 0, "metal2": 0.25, "metal3": 0.25, "metal4": 0}


NONE_YET = "foreach l [dict keys $stub::layers] { dict set stub::adjustments $l 0 }"


def test_adjustments_of_the_settings_where_the_database_has_none(tmp_path: Path) -> None:
    env = {"GSR_LAYER_ADJUSTMENTS": "metal2=0.25, metal4=1", "ROUTING_LAYER_ADJUSTMENT": "0.5"}
    export(tmp_path, before=NONE_YET, env=env)
    assert hook_of(tmp_path)["layer_adjustment"] == {"metal1": 0, "metal2": 0.25, "metal3": 0, "metal4": 1}
    export(tmp_path, env=env)
    from_database = {"metal1": 0, "metal2": 0.3, "metal3": 0.3, "metal4": 0.5}
    assert hook_of(tmp_path)["layer_adjustment"] == pytest.approx(from_database)


@pytest.mark.parametrize("word", ["metal9=0.2", "metal2", "metal2=", "metal2=1.5", "metal2=[exit]", "*=0.3"])
def test_an_adjustment_that_is_none_is_told(tmp_path: Path, word: str) -> None:
    run = export(tmp_path, before=NONE_YET, env={"GSR_LAYER_ADJUSTMENTS": word})
    assert f'GSR_LAYER_ADJUSTMENTS: "{word}" is not LAYER=SHARE' in run.out


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({}, (None, None)),
        ({"ENABLE_DPO": "1", "GPL_ROUTABILITY_DRIVEN": "0"}, (True, "off")),
        ({"ENABLE_DPO": "0", "GPL_ROUTABILITY_DRIVEN": "1"}, (False, "default")),
        ({"GLOBAL_PLACEMENT_ARGS": "-routability_driven -pad_left 1"}, (None, "default")),
        (
            {"GPL_ROUTABILITY_DRIVEN": "1", "GLOBAL_PLACEMENT_ARGS": "-routability_max_inflation_ratio 1.2"},
            (None, "gentle"),
        ),
        (
            {"GPL_ROUTABILITY_DRIVEN": "1", "GLOBAL_PLACEMENT_ARGS": "{-routability_max_inflation_ratio"},
            (None, "default"),
        ),
        ({"ENABLE_DPO": "[exit]", "GLOBAL_PLACEMENT_ARGS": "{ [exit]"}, (None, None)),
    ],
)
def test_what_the_flow_does_without_us_is_told(
    tmp_path: Path, env: dict[str, str], wanted: tuple[bool | None, str | None]
) -> None:
    run = export(tmp_path, env=env)
    assert run.code == 0, run.out
    hook = hook_of(tmp_path)
    assert (hook.get("improve_placement"), hook.get("routability_driven")) == wanted


def test_no_signal_layers_rather_than_wrong_ones(tmp_path: Path) -> None:
    export(tmp_path, before="set stub::routing_range { 2 9 }", env={"MIN_ROUTING_LAYER": "[exit]"})
    assert "signal_layers" not in hook_of(tmp_path)


def test_settings_of_the_placement_travel(tmp_path: Path) -> None:
    env = {"CELL_PAD_IN_SITES_DETAIL_PLACEMENT": "1", "PLACE_DENSITY_LB_ADDON": "0.2", "PLACE_DENSITY": "nan"}
    env["GSR_WORST_SLACK_NS"] = "-0.135"
    export(tmp_path, env=env)
    hook = hook_of(tmp_path)
    assert hook["padding_sites"] == {"detail_placement": 1}
    assert hook["place_density_lb_addon"] == 0.2
    assert hook["worst_slack_ns"] == -0.135
    assert "place_density" not in hook


def test_without_a_design_a_warning_and_no_file(tmp_path: Path) -> None:
    run = export(tmp_path, before="set stub::has_block 0")
    assert run.code == 0
    assert "no design is loaded" in run.out
    assert not (tmp_path / "out" / "hook.json").exists()


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file, not a folder")
    run = export(tmp_path)
    assert run.code == 0
    assert "[WARNING FLW-7031] gsr_export_design" in run.out


def test_wrong_option_is_an_error_that_lists_the_right_ones(tmp_path: Path) -> None:
    run = run_tcl(tmp_path, "gsr_export_design -outdir x")
    assert run.code == 1
    assert '"-outdir" is not one of its options' in run.out
    assert "-out_dir" in run.out


def test_a_unique_beginning_of_an_option_is_enough(tmp_path: Path) -> None:
    assert run_tcl(tmp_path, "gsr_export_design -out out").code == 0
    assert (tmp_path / "out" / "hook.json").exists()
