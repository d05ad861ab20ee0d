"""The predicted map in OpenROAD's window: in stand-ins for the window and the gcell grid (live: test_gui_live.py)."""

from itertools import pairwise
from pathlib import Path

import pytest
from tcl_session import Session, run_tcl

WINDOW = """
namespace eval ::gui {
proc enabled {} { return 1 }
proc set_heatmap { args } { ::stub::note set_heatmap {*}$args }
proc set_display_controls { args } { ::stub::note set_display_controls {*}$args }
}
set stub::routing_range { 2 4 }
proc stub::gcell_grid { method args } {
  if { $method ni { resetGrid addGridPatternX addGridPatternY setCapacity setUsage } } { error "no $method" }
  if { [string match ::layer_* [lindex $args 0]] } { lset args 0 [[lindex $args 0] getName] }
  stub::note $method {*}$args
}
"""
HEADER = "x0,y0,x1,y1,value (congestion)\n"
# the die is 100 x 80 um: gcells of 30 um, the last column and row take the remainder
BORDERS_X, BORDERS_Y = (0, 30, 60, 100), (0, 30, 80)


def write_maps(folder: Path, *, without: tuple[int, int] | None = None, scale: float = 1) -> None:
    folder.mkdir(exist_ok=True)
    for name, extra in (("congestion_h", 0.0), ("congestion_v", 0.5)):
        rows = [
            f"{x0 * scale},{y0 * scale},{x1 * scale},{y1 * scale},{0.1 * ix + 0.01 * iy + extra:.2f}\n"
            for ix, (x0, x1) in enumerate(pairwise(BORDERS_X))
            for iy, (y0, y1) in enumerate(pairwise(BORDERS_Y))
            if (ix, iy) != without
        ]
        (folder / f"{name}.csv").write_text(HEADER + "".join(rows))


def show(tmp_path: Path, options: str = "", *, before: str = WINDOW, then: str = "") -> Session:
    script = f"puts result=[gsr_show_heatmap -out_dir prediction {options}]\n{then}"
    return run_tcl(tmp_path, script, before=before)


def test_both_maps_fill_the_grid_that_the_window_draws(tmp_path: Path) -> None:
    write_maps(tmp_path / "prediction")
    run = show(tmp_path)
    assert run.code == 0, run.out
    assert "result=status ok" in run.out
    assert [c[0] for c in run.calls[:3]] == ["resetGrid", "addGridPatternX", "addGridPatternY"]
    assert run.named("addGridPatternX") == [["0", "3", "30000"]]
    assert run.named("addGridPatternY") == [["0", "2", "30000"]]
    usage = {tuple(c[:3]): float(c[3]) for c in run.named("setUsage")}
    # metal3 is the lowest horizontal signal layer, metal2 the lowest vertical one
    assert usage[("metal3", "2", "1")] == pytest.approx(0.21)
    assert usage[("metal2", "0", "1")] == pytest.approx(0.51)
    assert len(usage) == 12
    assert {c[3] for c in run.named("setCapacity")} == {"1.0"}
    assert run.named("set_heatmap")[0] == ["Routing", "Direction", "All"]
    assert ["Routing", "DisplayMax", "100"] in run.named("set_heatmap")
    assert run.named("set_heatmap")[-1] == ["Routing", "rebuild"]
    assert run.named("set_display_controls") == [["Heat Maps/Routing Congestion", "visible", "true"]]


def test_a_gcell_without_a_value_stays_empty_and_one_direction_can_be_chosen(tmp_path: Path) -> None:
    write_maps(tmp_path / "prediction", without=(1, 0))
    run = show(tmp_path, "-direction vertical")
    assert run.code == 0, run.out
    assert run.named("addGridPatternX") == [["0", "3", "30000"]]
    assert ["metal3", "1", "0", "1.0"] not in run.named("setCapacity")
    assert len(run.named("setUsage")) == 10
    assert run.named("set_heatmap")[0] == ["Routing", "Direction", "Vertical"]


@pytest.mark.parametrize(("direction", "highest"), [("all", "171"), ("horizontal", "101"), ("vertical", "171")])
def test_the_colours_reach_the_highest_value_that_is_shown(tmp_path: Path, direction: str, highest: str) -> None:
    write_maps(tmp_path / "prediction")
    for name, value in (("congestion_h", "1.002"), ("congestion_v", "1.71")):
        path = tmp_path / "prediction" / f"{name}.csv"
        path.write_text(path.read_text().rpartition(",")[0] + f",{value}\n")
    run = show(tmp_path, f"-direction {direction}")
    assert run.code == 0, run.out
    assert [c[2] for c in run.named("set_heatmap") if c[1] == "DisplayMax"] == [highest]
    assert ["Routing", "ShowLegend", "1"] in run.named("set_heatmap")


def test_the_design_cannot_be_saved_afterwards(tmp_path: Path) -> None:
    write_maps(tmp_path / "prediction")
    then = "puts saved=[catch { write_def out.def } message]\nputs $message"
    run = show(tmp_path, then=then)
    assert "saved=1" in run.out
    assert "load the design in a new one to save it" in run.out
    assert not (tmp_path / "out.def").exists()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("no window", "there is no window"),
        ("other die", "not of this design's die"),
        ("no maps", "congestion_h.csv does not exist"),
        ("not a map", "expected five numbers"),
    ],
)
def test_what_cannot_be_shown_touches_nothing(tmp_path: Path, fault: str, reason: str) -> None:
    write_maps(tmp_path / "prediction", scale=1.5 if fault == "other die" else 1)
    if fault == "no maps":
        (tmp_path / "prediction" / "congestion_h.csv").unlink()
    if fault == "not a map":
        with (tmp_path / "prediction" / "congestion_v.csv").open("a") as f:
            f.write("1,2,3,nan?,5\n")
    before = WINDOW.replace("return 1", "return 0") if fault == "no window" else WINDOW
    run = show(tmp_path, before=before, then="write_def out.def")
    assert run.code == 0, run.out
    assert reason in run.out
    assert [c[0] for c in run.calls] == ["write_def"]


def test_a_direction_that_there_is_not_is_an_error(tmp_path: Path) -> None:
    run = show(tmp_path, "-direction diagonal")
    assert run.code == 1
    assert "-direction is all, horizontal or vertical" in run.out
