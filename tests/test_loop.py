"""`gsr loop`: its cases, its arms on stand-ins, what the judge refuses, resume after a kill, the figures and marks."""

import gzip
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from loop_standin import Standin, make_standin
from tcl_session import find_tclsh
from test_label import processes_of

from bench.loop import main as bench_loop
from circuit_io.errors import InputError, ToolError
from circuit_io.prediction import write_prediction
from flow_hooks.feedback.config import FeedbackConfig
from flow_hooks.feedback.file import read_feedback
from flow_hooks.jobs.folders import DONE, FAIL, PENDING, SKIPPED
from flow_hooks.loop.arms import turned
from flow_hooks.loop.cases import Case, find_cases
from flow_hooks.loop.judge import check_same_design
from flow_hooks.loop.results import Mark, _ratios, family_mean, results_of
from flow_hooks.loop.runner import PREDICT, Looped, checked_arms, probe_binary, run_loop
from flow_hooks.loop.server import WarmServer
from flow_hooks.loop.steps import Tools, export, place, predict
from gsr_plugin.cli import main
from gsr_plugin.loop import plan_closed_loop

ROOT = Path(__file__).resolve().parent.parent
V0 = "labels/gsr45/crc_bank/v0"


@pytest.fixture
def standin(kit: Path, tmp_path: Path) -> Standin:
    find_tclsh()
    return make_standin(tmp_path, kit)


def edit_done(standin: Standin, **changes: object) -> None:
    path = standin.data / V0 / "done.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- cases ------------------------------------------------------------------------------


def test_cases_are_the_labels_that_overflow_the_local_ones_first(kit: Path) -> None:
    cases, num_seen = find_cases([kit / "labels"])
    assert num_seen == 32
    assert len(cases) == 11
    first = cases[0]
    assert first.name == "labels/gsr45/rv32_core/v1"
    assert first.stored["overflow"] == 137
    assert first.stored["usage"] == pytest.approx(0.760, abs=5e-4)
    assert first.signal_layers == ("M2", "M4")
    assert first.layer_adjustment == {"*": 0.2}
    assert first.density == ("density_margin", 0.05)
    assert [Path(p).name for p in first.lef] == ["gsr45_tech.lef", "gsr45_cells.lef"]
    assert Path(first.sdc).name == "rv32_core.sdc"
    assert [c.stored["usage"] for c in cases] == sorted(c.stored["usage"] for c in cases)
    some, num_seen = find_cases([kit / "labels", kit], patterns=["*/spn128/*"], min_overflow=5000)
    assert [c.name for c in some] == ["labels/gsr45/spn128/v2"]
    assert num_seen == 4, "a folder that is named twice counts once"


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda s: (s.data / "tech").unlink(), "no folder above it holds pdk/gsr45 or tech/"),
        (lambda s: edit_done(s, density_add=None), "names no tech, signal_layers or density_lb_addon"),
        (lambda s: (s.data / V0 / "gcell_grid.csv").unlink(), "no gcell_grid.csv"),
    ],
)
def test_what_a_case_lacks_is_told(standin: Standin, spoil: Callable[[Standin], None], what: str) -> None:
    spoil(standin)
    with pytest.raises(InputError, match=what):
        find_cases([standin.data / "labels"])


def test_a_folder_without_labels_and_two_cases_of_one_name_are_refused(
    standin: Standin, kit: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="holds no labels"):
        find_cases([kit / "tech"])
    other = make_standin(tmp_path / "other", kit)
    with pytest.raises(InputError, match="there is another labels/gsr45/crc_bank/v0"):
        find_cases([standin.data, other.data])


def test_a_case_comes_back_from_json(standin: Standin) -> None:
    from dataclasses import asdict

    (case,), _ = find_cases([standin.data])
    assert Case.from_json(json.loads(json.dumps(asdict(case)))) == case
    moved = replace(case, name=case.name)
    assert moved.identity({}) == case.identity({})
    assert replace(case, density=("density_margin", 0.1)).identity({}) != case.identity({})


# --- the judge --------------------------------------------------------------------------

CHANGES = {
    "die": (("DIEAREA ( 0 0 ) ( 122870 122870 )", "DIEAREA ( 0 0 ) ( 122870 122880 )"), "the die differ"),
    "a master": (("G45_XOR2_X1 ", "G45_XNOR2_X1 "), "the insts differ"),
    "a net": (("- _0000_ ( ", "- _0000_ ( PIN clear ) ( "), "the nets differ"),
    "a fixed inst": (("+ FIXED ( 6400 6400 ) N ;", "+ FIXED ( 6800 6400 ) N ;"), "the fixed insts differ"),
    "a row": (("core 6400 6400 N DO", "core 6400 6400 FS DO"), "the rows differ"),
    "a pin": (("+ PLACED ( 122790 89200 ) N ;", "+ PLACED ( 122790 90000 ) N ;"), "the places of pins differ"),
    "a layer's tracks": (("TRACKS X 200 DO", "TRACKS X 400 DO"), "the tracks differ"),
}


@pytest.fixture(scope="module")
def kit_def(kit: Path) -> str:
    return gzip.decompress((kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz").read_bytes()).decode()


@pytest.mark.parametrize("change", CHANGES)
def test_the_judge_takes_no_other_design(kit_def: str, tmp_path: Path, change: str) -> None:
    (old, new), what = CHANGES[change]
    assert old in kit_def, change
    before, after = tmp_path / "before.def", tmp_path / "after.def"
    before.write_text(kit_def)
    after.write_text(kit_def.replace(old, new, 1))
    with pytest.raises(InputError, match=what):
        check_same_design(before, after)


def test_the_judge_takes_moved_insts_and_pins_that_a_plan_moved(kit_def: str, tmp_path: Path) -> None:
    before, after, pins = (tmp_path / name for name in ("before.def", "after.def", "pins.def"))
    before.write_text(kit_def)
    moved = kit_def.replace("+ PLACED ( 29600 25600 ) N ;", "+ PLACED ( 29600 28800 ) FS ;")
    after.write_text(moved)
    check_same_design(before, after)
    (old, new), _ = CHANGES["a pin"]
    pins.write_text(kit_def.replace(old, new, 1))
    check_same_design(before, pins, pins_moved=True)


# --- figures ----------------------------------------------------------------------------


def case_of(name: str, family: str) -> Case:
    return Case(name, family, "p.def", (), (), "", ("M2", "M4"), {"*": 0.2}, ("density_margin", 0.0), {"overflow": 1.0})


def state_of(overflow: float, *, usage: float = 0.8, tns: float | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    judged = {"overflow": overflow, "overflowed_gcells": 1.0, "usage": usage, "wire_um": 100.0, "hpwl_um": 90.0}
    judged |= {"route_s": 1.0} | ({} if tns is None else {"tns_ns": tns})
    rounds = [{"place_s": 10.0, "predict_s": 0.0, "expected": None}]
    said = {"status": DONE, "judged": judged, "rounds": rounds, "kept": 0, "why": "", "is_abstained": False}
    return said | more


def two_rounds(place_s: float) -> dict[str, Any]:
    first = {"place_s": 10.0, "predict_s": 1.0, "expected": 9.0, "plan": {"actions": {"density_blockage": 3}}}
    return {"rounds": [first, {"place_s": place_s, "predict_s": 1.0, "expected": 2.0}], "kept": 1}


def test_means_are_taken_by_family_first() -> None:
    assert family_mean([("a", 4.0), ("a", 1.0), ("b", 8.0)]) == pytest.approx(4.0)
    assert family_mean([]) is None
    row = {"family": "a", "place_s": {"a": 0.1, "c": 0.0, "t": 0.3}, "predict_s": {"a": 0.0, "c": 0.0, "t": 0.1}}
    assert _ratios([row], "time", "t", "a") == [("a", pytest.approx(4.0))]
    assert _ratios([row], "time", "c", "a") == _ratios([row], "time", "a", "c") == []  # below a tick of the clock
    states = {
        "one": {"a": state_of(190), "c": state_of(40, **two_rounds(11))},  # 50 / 200
        "two": {"a": state_of(390), "c": state_of(390, is_abstained=True)},  # 1
        "three": {"a": state_of(990, usage=0.9), "c": state_of(1030, **two_rounds(12))},  # 1040 / 1000
        "small": {"a": state_of(20), "c": {"status": SKIPPED, "reason": ""}},
        "none": {"a": {"status": PENDING}, "c": {"status": PENDING}},
    }
    cases = [case_of(name, "x" if name in ("one", "two") else name) for name in states]
    found = results_of(cases, states, 100)
    assert [row["name"] for row in found["cases"]] == ["one", "two", "three", "small"]
    assert found["means"]["local"]["c/a"] == pytest.approx(0.5)
    assert found["means"]["local"]["cases"] == 2
    assert found["means"]["local"]["families"] == 1
    assert found["means"]["all"]["c/a"] == pytest.approx(math.sqrt(0.5 * 1.04))
    assert found["worse"] == ["three"], "40 tracks more, above 20 and 2 %"
    assert found["abstained"] == ["two"]
    assert found["without_overflow"] == ["small"]
    marks = {m["figure"]: m for m in found["marks"]}
    assert marks["local: c/a"]["verdict"] == "missed"
    assert marks["local: c/g"]["verdict"] == "not measured"
    assert marks["cases made worse"]["value"] == pytest.approx(1 / 3)
    assert marks["placer time, second placement"]["value"] == pytest.approx(math.sqrt(1.1 * 1.2))
    # the loop: 10 + 11 + 2 of 10 and 10 of 10, one family; 10 + 12 + 2 of 10
    assert marks["placer time, whole loop with prediction"]["value"] == pytest.approx(math.sqrt(math.sqrt(2.3) * 2.4))
    assert marks["routed wire, mean"]["verdict"] == "reached"


def test_slack_counts_where_there_are_constraints() -> None:
    states = {"one": {"a": state_of(190, tns=-0.9), "c": state_of(40, tns=-1.9, **two_rounds(10))}}
    marks = {m["figure"]: m for m in results_of([case_of("one", "x")], states, 100)["marks"]}
    slack = marks["total negative slack + 0.1 ns, mean"]
    means = results_of([case_of("one", "x")], states | {"one": states["one"] | {"g": state_of(90, tns=-0.4)}}, 100)[
        "means"
    ]
    assert means["local"]["slack"] == {"c": pytest.approx(2.0), "g": pytest.approx(0.5)}
    assert means["local"]["time"] == {"c": pytest.approx(2.2), "g": pytest.approx(1.0)}
    assert means["local"]["wire"] == {"c": pytest.approx(1.0), "g": pytest.approx(1.0)}
    assert means["everywhere"]["slack"] == {"c": None, "g": None}
    assert (slack["value"], slack["num_cases"], slack["verdict"]) == (pytest.approx(2.0), 1, "missed")


def test_a_mark_is_reached_passed_or_missed() -> None:
    for value, verdict in ((0.2, "reached"), (0.35, "passed"), (0.36, "missed"), (None, "not measured")):
        assert Mark("x", value, 1, 0.35, 0.20).verdict == verdict
    assert Mark("x", 0.95, 1, 0.95, 0.75, is_strict=True).verdict == "missed"


# --- the steps, on stand-ins ------------------------------------------------------------


def tools_of(standin: Standin, **changes: object) -> Tools:
    plan = standin.plan()
    tools = Tools(plan.binary, plan.predict[V0], WarmServer(standin.data / "server"), FeedbackConfig(), 1, 60.0)
    return replace(tools, **changes)  # type: ignore[arg-type]


def test_a_placement_does_what_the_labels_were_made_with(standin: Standin, tmp_path: Path) -> None:
    (case,), _ = find_cases([standin.data])
    placed = place(case, tools_of(standin), tmp_path / "p", options=("-random_seed", "2"))
    assert placed.placed.read_bytes() == (tmp_path / "files" / "bad.def").read_bytes()
    assert set(placed.laps) == {"global_placement", "detailed_placement", "improve_placement"}
    job = dict(line.split("\t") for line in (tmp_path / "p" / "place.tsv").read_text().splitlines())
    assert job["density_margin"] == "0.05"
    assert job["options"] == "-random_seed 2"
    assert job["layer_adjustment"] == "M2-M5 0.4"
    assert job["unplace"] == "1"


def test_a_turned_map_is_turned_twice_the_same(standin: Standin, tmp_path: Path) -> None:
    (case,), _ = find_cases([standin.data])
    seen = predict(case, tools_of(standin), Path(case.placed), tmp_path)
    once = turned(seen.prediction, seen.design)
    h = seen.prediction.maps["congestion_h"]
    np.testing.assert_array_equal(once.maps["congestion_h"][:, :-1], h[::-1, -2::-1])
    np.testing.assert_array_equal(once.maps["congestion_v"][:-1], seen.prediction.maps["congestion_v"][-2::-1, ::-1])
    assert not np.array_equal(once.inst_congestion, seen.prediction.inst_congestion)
    twice = turned(once, seen.design)
    for name, values in seen.prediction.maps.items():
        np.testing.assert_array_equal(twice.maps[name], values)
    np.testing.assert_array_equal(twice.inst_congestion, seen.prediction.inst_congestion)
    write_prediction(tmp_path / "turned", once, export=tmp_path / "export")  # it is a prediction like any other


def test_a_prediction_that_fails_or_hangs_is_told(standin: Standin, tmp_path: Path) -> None:
    (case,), _ = find_cases([standin.data])
    export(case, Path(case.placed), tmp_path / "export")
    failing = (sys.executable, "-c", "raise SystemExit('no model here')")
    with pytest.raises(ToolError, match="exit code 1: no model here"):
        predict(case, tools_of(standin, predict=failing), Path(case.placed), tmp_path)
    hanging = (sys.executable, "-c", "import signal; signal.pause()")
    with pytest.raises(ToolError, match="was ended after 1 s"):
        predict(case, tools_of(standin, predict=hanging, time_s=1.0), Path(case.placed), tmp_path)


# --- the loop, on stand-ins -------------------------------------------------------------


def arms_of(found: Looped, name: str = V0) -> dict[str, str]:
    return {arm: said["status"] for arm, said in found.states[name].items()}


def test_the_loop_keeps_the_better_placement_and_goes_on_where_it_was(standin: Standin, tmp_path: Path) -> None:
    plan, ended = standin.plan(arms="ac"), list[str]()
    found = run_loop(plan, tmp_path / "out", on_end=lambda done, name: ended.append(name))
    assert arms_of(found) == {"a": DONE, "c": DONE}, found.text()
    assert ended == [f"{V0} a", f"{V0} c"]
    ours = found.states[V0]["c"]
    assert ours["kept"] == 1
    assert ours["rounds"][0]["plan"]["actions"]["density_blockage"] > 10
    assert ours["rounds"][1]["states"] == {"applied": sum(ours["rounds"][0]["plan"]["actions"].values())}
    assert ours["rounds"][0]["expected"] > ours["rounds"][1]["expected"]
    assert ours["judged"]["overflow"] < found.states[V0]["a"]["judged"]["overflow"]
    assert ours["judged"]["wire_um"] == 40.5
    folder = tmp_path / "out" / V0 / "c"
    assert gzip.decompress((folder / "design.def.gz").read_bytes()) == (tmp_path / "files" / "good.def").read_bytes()
    assert (folder / "round_0" / "feedback.tsv").is_file()
    assert not list(folder.rglob("export")), "what can be made again is not kept"
    results = json.loads((tmp_path / "out" / "loop.json").read_text())
    (row,) = results["cases"]
    assert row["overflow"] == {arm: found.states[V0][arm]["judged"]["overflow"] for arm in "ac"}
    assert row["is_local"]
    assert bench_loop([str(tmp_path / "out"), "--out", str(tmp_path / "bench.json")]) == 0
    assert json.loads((tmp_path / "bench.json").read_text())["arms_missing"] == 0
    before = standin.runs()
    again = run_loop(plan, tmp_path / "out")
    assert again.num_new == 0
    assert standin.runs() == before
    assert "2 done; 0 by this run" in again.text()


def test_pins_alone_are_placed_for_each_placement_and_the_last_is_judged(standin: Standin, tmp_path: Path) -> None:
    found = run_loop(standin.plan(arms="ap", rounds=2), tmp_path / "out")
    pins = found.states[V0]["p"]
    assert arms_of(found) == {"a": DONE, "p": DONE}, found.text()
    assert [r["states"] for r in pins["rounds"]] == [{}, {"applied": 1}, {"applied": 1}]
    assert (pins["kept"], pins["is_abstained"]) == (2, False)
    assert [r["predict_s"] for r in pins["rounds"]] == [0.0] * 3
    folder = tmp_path / "out" / V0 / "p"
    plan = read_feedback(folder / "round_0" / "feedback.tsv")
    assert [a.action for a in plan.actions] == ["place_pins"]
    assert "place_pins -hor_layers" in (folder / "round_1" / "place.log").read_text()
    rest = dict(line.split("\t") for line in (folder / "round_1" / "place.tsv").read_text().splitlines())
    assert rest["unplace"] == "0", "the pins are placed for the insts of the placement before"


def test_the_predictions_of_an_arm_share_a_server_that_ends_with_it(standin: Standin, tmp_path: Path) -> None:
    plan = replace(standin.plan(arms="ac", rounds=1), predict={V0: PREDICT}, config=FeedbackConfig(threshold=0.5))
    found = run_loop(plan, tmp_path / "out")
    assert arms_of(found) == {"a": DONE, "c": DONE}, found.text()
    ours = found.states[V0]["c"]["rounds"]
    assert len(ours) == 2
    assert ours[0]["predict_s"] is None or ours[0]["predict_s"] > 0
    folder = tmp_path / "out" / V0 / "c"
    for name in ("round_0", "round_1"):
        assert "the server is not used" not in (folder / name / "predict.log").read_text()
    while processes_of(tmp_path / "out"):
        time.sleep(0.01)
    log = (folder / "server.log").read_text()
    assert log.count("address in") == 1, "the second prediction found the server of the first"
    assert "ends:" in log
    assert not (folder / "server").exists()


@pytest.mark.slow
def test_all_arms(standin: Standin, tmp_path: Path) -> None:
    found = run_loop(standin.plan(), tmp_path / "out", jobs=2)
    assert set(arms_of(found).values()) == {DONE}, found.text()
    states = found.states[V0]
    overflow = {arm: said["judged"]["overflow"] for arm, said in states.items()}
    assert overflow["b"] == overflow["p"] == overflow["a"] > overflow["g"] == overflow["c"] == overflow["d"]
    assert overflow["q"] == overflow["g"]
    assert len(states["e"]["rounds"]) == len(states["c"]["rounds"]) == 2
    assert states["e"]["rounds"][1]["density_margin"] == 0.0
    assert states["t"]["rounds"][0]["plan"]["actions"]["density_blockage"] > 10
    text = found.text()
    assert f"| {V0} |" in text
    assert "| local: c/a | 0." in text


KILLED_AT_THE_SECOND_END = """
import os, signal, sys
from pathlib import Path
from test_loop import Standin
from flow_hooks.loop.runner import run_loop

def kill(done, name):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

standin = Standin(*map(Path, sys.argv[1:4]))
run_loop(standin.plan(arms="abgc"), Path(sys.argv[4]), on_end=kill)
"""


@pytest.mark.slow
def test_a_killed_loop_goes_on_with_no_arm_lost_or_run_twice(standin: Standin, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [str(p) for p in (standin.data, standin.openroad, standin.told, out)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AT_THE_SECOND_END, *words], check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    while processes_of(out):  # what it started ends with it
        time.sleep(0.01)
    assert sorted(p.parent.name for p in out.glob(f"{V0}/*/job.json")) == ["a", "b"]
    ended: list[str] = []
    found = run_loop(standin.plan(arms="abgc"), out, on_end=lambda done, name: ended.append(name))
    assert set(arms_of(found).values()) == {DONE}, found.text()
    assert ended == [f"{V0} {arm}" for arm in "gc"]
    assert [p.name for p in (out / ".running").iterdir()] == ["lock"]


def test_a_case_that_does_not_overflow_needs_no_other_arm(standin: Standin, tmp_path: Path) -> None:
    found = run_loop(replace(standin.plan(arms="abc"), min_overflow=1e6), tmp_path / "out")
    assert arms_of(found) == {"a": DONE, "b": SKIPPED, "c": SKIPPED}
    assert found.results["without_overflow"] == [V0]
    assert found.results["marks"][0]["verdict"] == "not measured"


@pytest.mark.slow
def test_an_abstention_counts_as_no_change(standin: Standin, tmp_path: Path) -> None:
    plan = replace(standin.plan(arms="ace"), config=FeedbackConfig(threshold=2.0))
    found = run_loop(plan, tmp_path / "out")
    ours = found.states[V0]["c"]
    assert ours["is_abstained"]
    assert "Nothing planned" in ours["why"]
    assert ours["judged"] == found.states[V0]["a"]["judged"]
    assert len(found.states[V0]["e"]["rounds"]) == 1, "no more placements than ours"
    assert found.results["means"]["local"]["c/a"] == 1.0
    assert found.results["abstained"] == [V0]


@pytest.mark.slow
def test_a_placement_that_fails_with_the_plan_leaves_the_one_before(
    standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOP_FAILS_STEERED", "1")
    found = run_loop(standin.plan(arms="ac"), tmp_path / "out")
    ours = found.states[V0]["c"]
    assert ours["status"] == DONE
    assert ours["kept"] == 0
    assert "the placement with the plan failed" in ours["why"]
    assert "GPL-0301" in ours["why"]
    assert not ours["is_abstained"], "it tried"


@pytest.mark.slow
def test_the_judge_refuses_what_openroad_made_of_the_netlist(
    standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "changed.def"
    (old, new), _ = CHANGES["a master"]
    changed.write_text((tmp_path / "files" / "bad.def").read_text().replace(old, new, 1))
    monkeypatch.setenv("LOOP_WRITES", str(changed))
    found = run_loop(standin.plan(arms="abc"), tmp_path / "out")
    assert arms_of(found) == {"a": FAIL, "b": SKIPPED, "c": SKIPPED}
    assert "the insts differ from those of the floorplan" in found.text()
    assert "b: skipped: arm a failed" in found.text()
    again = run_loop(standin.plan(arms="abc"), tmp_path / "out")
    assert again.num_new == 0, "what failed is run again with --retry alone"
    monkeypatch.delenv("LOOP_WRITES")
    mended = run_loop(standin.plan(arms="ab"), tmp_path / "out", retry=True)
    assert arms_of(mended) == {"a": DONE, "b": DONE}


# --- bad input --------------------------------------------------------------------------


def test_a_bad_openroad_is_told_before_anything_runs(
    standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ToolError, match="is not there"):
        probe_binary(tmp_path / "nowhere")
    broken = tmp_path / "bin" / "openroad"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    for name in ("GSR_OPENROAD", "OPENROAD_EXE", "FLOW_HOME"):
        monkeypatch.delenv(name, raising=False)
    words = ["loop", "--designs", str(standin.data), "--arms", "a,b", "--out", str(tmp_path / "o")]
    for named, path, code, says in (
        (["--openroad", str(broken)], "/nowhere", 3, f"{broken}: -version fails with exit code 3"),
        (["--openroad", "openroad"], str(broken.parent), 3, f"{broken}: -version fails with exit code 3"),
        ([], str(broken.parent), 3, f"{broken}: -version fails with exit code 3"),
        (["--openroad", "openroad"], "/nowhere", 2, "openroad: is no file (named by --openroad)"),
        ([], "/nowhere", 2, "no openroad was found\n  Name the binary, or set GSR_OPENROAD."),
    ):
        monkeypatch.setenv("PATH", path)
        run = CliRunner().invoke(main, [*words, *named])
        assert run.exit_code == code, run.output
        assert says in run.output
    assert not (tmp_path / "o").exists()


def test_arms_are_checked() -> None:
    assert checked_arms("g, b") == ("a", "b", "g")
    for text, what in (("a,x", 'no arm "x"'), ("a,e", "e makes as many placements as c")):
        with pytest.raises(InputError, match=what):
            checked_arms(text)


def folds_file(folder: Path, **folds: int) -> Path:
    rows = "".join(f'"{family}" = {fold}\n' for family, fold in folds.items())
    (folder / "folds.toml").write_text(f'schema = "gsr-folds"\nschema_version = 1\n[fold]\n{rows}')
    return folder / "folds.toml"


def test_no_weights_predict_a_family_they_have_seen(standin: Standin, tmp_path: Path) -> None:
    options: dict[str, Any] = {"openroad": standin.openroad}
    plan = plan_closed_loop([standin.data], **options)
    assert plan.predict[V0][-2] == "--weights"
    assert plan.predict[V0][-1].endswith("gsr-base")
    assert len(plan.weights[V0]["sha256"]) == 64
    assert plan_closed_loop([standin.data], weights=Path("gsr-base"), **options) == plan, "the name of shipped weights"
    edit_done(standin, family="ibex")
    with pytest.raises(InputError, match='these weights were trained on family "ibex"'):
        plan_closed_loop([standin.data], **options)
    assert plan_closed_loop([standin.data], arms="a,b,d", **options).predict == {}


def test_each_case_has_the_weights_of_its_fold(standin: Standin, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    options: dict[str, Any] = {"openroad": standin.openroad, "runs": runs}
    with pytest.raises(InputError, match=r"no folds\.toml"):
        plan_closed_loop([standin.data], **options)
    options["folds"] = folds_file(tmp_path, crc_bank=3)
    with pytest.raises(InputError, match='is not there, though family "crc_bank" is of fold 3'):
        plan_closed_loop([standin.data], **options)
    shipped = ROOT / "gsr_plugin" / "models" / "gsr-base"
    (runs / "3").symlink_to(shipped)
    plan = plan_closed_loop([standin.data], **options)
    assert plan.weights[V0]["name"] == "3"
    with pytest.raises(InputError, match="and is of fold 1"):
        plan_closed_loop([standin.data], fold=1, **options)
    options["folds"] = folds_file(tmp_path, other=3)
    plan = plan_closed_loop([standin.data], **options)
    assert plan.weights[V0]["name"] == "gsr-base", "no fold knows its family, so no run has an advantage"


def test_two_loops_do_not_work_in_one_folder_nor_in_one_of_something_else(standin: Standin, tmp_path: Path) -> None:
    import fcntl

    plan = standin.plan(arms="a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InputError, match="holds no closed loop"):
        run_loop(plan, tmp_path / "full")
    (tmp_path / "out" / ".running").mkdir(parents=True)
    with (tmp_path / "out" / ".running" / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another gsr loop is at work here"):
            run_loop(plan, tmp_path / "out")


# --- the real one -----------------------------------------------------------------------


@pytest.mark.openroad
@pytest.mark.slow
def test_a_real_openroad_closes_the_loop(kit: Path, tmp_path: Path) -> None:
    """The floorplan of the labelled placement leads back to its overflow, and the true map lowers that."""
    if not os.environ.get("GSR_OPENROAD"):
        pytest.skip("GSR_OPENROAD is not set")
    plan = plan_closed_loop(
        [kit / "labels"], openroad=Path(os.environ["GSR_OPENROAD"]), cases=["*/rv32_core/v1"], arms="a,d", rounds=1
    )
    found = run_loop(plan, tmp_path / "out")
    (arms,) = found.states.values()
    assert {said["status"] for said in arms.values()} == {DONE}, found.text()
    assert arms["a"]["judged"]["overflow"] == pytest.approx(137, abs=60)
    assert arms["d"]["judged"]["overflow"] < arms["a"]["judged"]["overflow"]
    assert set(arms["d"]["rounds"][1]["states"]) == {"applied"}
