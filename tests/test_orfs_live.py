"""OpenROAD-flow-scripts on the kit's smallest design, to the global router, in every mode (`pytest -m openroad`)."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.orfs_run import Design, Done, Tools, branch, different_defs, kit_design, make, run_tcl
from circuit_io.access_points import read_access_points
from circuit_io.drc import read_drc
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import read_hook, sources_of_hook
from circuit_io.prediction import read_prediction
from circuit_io.store import open_design
from flow_hooks.openroad.binary import ACCESS_POINTS, DRC_LABELS, probe_openroad

pytestmark = pytest.mark.openroad

HOOKS = ["pre_global_place", "post_global_place", "post_detail_place", "pre_global_route"]
STEPS = ["3_3_place_gp", "3_5_place_dp", "5_1_grt"]  # where they run
# Tracks that do not suffice: there is something to plan.
CROWDED = {"CORE_UTILIZATION": "75", "MAX_ROUTING_LAYER": "M4", "ROUTING_LAYER_ADJUSTMENT": "0.6",
           "GLOBAL_ROUTE_ARGS": "-allow_congestion -congestion_iterations 5",
           "SKIP_INCREMENTAL_REPAIR": "1"}  # fmt: skip


@pytest.fixture(scope="module")
def tools() -> Tools:
    try:
        return Tools.find()
    except InputError as e:
        pytest.skip(f"needs OpenROAD and OpenROAD-flow-scripts: {e}")


@pytest.fixture(scope="module")
def design() -> Design:
    return kit_design("crc_bank")


@pytest.fixture(scope="module")
def base(tools: Tools, design: Design, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The flow without us."""
    return passed(make(tools, design, ["grt"], tmp_path_factory.mktemp("flow"), env={"GSR_ENABLE": "0"}))


@pytest.fixture(scope="module")
def observed(tools: Tools, design: Design, base: Done) -> Done:
    """The flow in the default mode, from the pins on."""
    return passed(go_on(tools, design, base, "observe", "grt", env={"GSR_LABELS": "all"}))


@pytest.fixture(scope="module")
def crowded(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> tuple[Design, Done]:
    """A floorplan with too few tracks, in mode advise."""
    design = kit_design("crc_bank", **CROWDED)
    folder = tmp_path_factory.mktemp("crowded")
    return design, passed(make(tools, design, ["place"], folder, variant="advise", env={"GSR_MODE": "advise"}))


def passed(done: Done) -> Done:
    assert done.code == 0, done.text[-4000:]
    return done


def go_on(
    tools: Tools, design: Design, run: Done, variant: str, target: str, *, env: dict[str, str], before: str = "3_3"
) -> Done:
    branch(run, variant, before=before)
    return make(tools, design, [target], run.work, variant=variant, env=env)


def messages(run: Done) -> list[str]:
    """Our messages in the logs of the steps."""
    logs = [run.log(stem) for stem in STEPS if (run.folder("logs") / f"{stem}.log").exists()]
    return re.findall(r"^\[\w+ FLW-70\d\d\].*", "\n".join(logs), re.M)


def warnings(run: Done) -> list[str]:
    return [m for m in messages(run) if not m.startswith("[INFO")]


def test_observe_leaves_the_def_of_every_step_as_it_is(tools: Tools, base: Done, observed: Done) -> None:
    assert different_defs(tools, base, observed) == []
    assert warnings(observed) == []
    for hook in HOOKS:
        folder = observed.hook(hook)
        assert (folder / "done").read_text() == read_hook(folder / "hook.json")["run_id"]
        assert (folder / "report.html").stat().st_size > 10_000
    assert not (base.folder("objects") / "gsr").exists()


def test_the_hooks_know_the_design_and_its_settings(observed: Done) -> None:
    for hook in HOOKS:
        facts = read_hook(observed.hook(hook) / "hook.json")
        assert (facts["design"], facts["platform"], facts["signal_layers"]) == ("crc_bank", "gsr45", ["M2", "M5"])
        of_layer = {name: facts["layer_adjustment"][name] for name in ("M1", "M2", "M5", "M6")}
        assert of_layer == pytest.approx({"M1": 0, "M2": 0.2, "M5": 0.2, "M6": 0})
        assert [Path(p).name for p in facts["lefs"]] == ["gsr45_tech.lef", "gsr45_cells.lef"]
        assert [Path(p).name for p in facts["libs"]] == ["gsr45_typ.lib"]
        assert [Path(p).name for p in facts["rtl"]] == ["crc_bank.v"]
        assert Path(facts["sdc"]).is_file()


def test_labels_are_of_the_grid_of_the_routed_placement(observed: Done, tmp_path: Path) -> None:
    folder = observed.hook("post_global_route")
    done = json.loads((folder / "labels" / "done.json").read_text())
    assert done["labels"] == {
        "grt": "written", "wire_length": "written", "timing": "written",
        "drc": "skipped(no report: nothing overflowed)",
    }  # fmt: skip
    sources = replace(sources_of_hook(folder / "hook.json"), labels=folder / "labels")
    export_design(sources, tmp_path / "routed")
    stored = open_design(tmp_path / "routed")
    assert stored.labels is not None
    seen = np.isfinite(stored.labels.congestion_h)
    assert seen.sum() > 50
    assert 0 < stored.labels.congestion_h[seen].mean() < 1
    guess = read_prediction(observed.hook("pre_global_route") / "prediction").maps["congestion_h"]
    assert np.corrcoef(guess[seen], stored.labels.congestion_h[seen])[0, 1] > 0.6


def test_a_detailed_route_leaves_its_violations_with_the_labels(
    tools: Tools, design: Design, base: Done, tmp_path: Path
) -> None:
    if not probe_openroad(tools.openroad).has[DRC_LABELS]:
        pytest.skip(f"{tools.openroad} is built without the detailed router")
    env = {"GSR_LABELS": "all", "DETAILED_ROUTE_ARGS": "-droute_end_iter 0"}
    run = passed(go_on(tools, design, base, "detailed", "route", env=env, before="5"))
    assert "[INFO DRT-" in run.log("5_1_grt"), "global_route.tcl's pin_access is OpenROAD's own"
    report = run.folder("reports") / "5_route_drc.rpt"
    num_violations = len(read_drc(report).kind)
    assert num_violations > 0
    assert "detailed route wire length" not in run.log("5_2_route"), "a line a net"
    # the hook after the detailed route gives the report to the labels of the placement
    labels = run.hook("post_global_route") / "labels"
    assert (labels / "route_drc.rpt").read_bytes() == report.read_bytes()
    # and so does a later call of make, which has the slacks of the hook as well
    slack = (labels / "endpoints_grt.csv").read_text()
    passed(make(tools, design, ["gsr_labels"], run.work, variant="detailed", env=env))
    assert (labels / "route_drc.rpt").read_bytes() == report.read_bytes()
    assert (labels / "endpoints_grt.csv").read_text() == slack
    sources = replace(sources_of_hook(labels.parent / "hook.json"), labels=labels)
    manifest = export_design(sources, tmp_path / "routed")
    assert sum(manifest["drc_violations"].values()) == num_violations


def test_metrics_reach_the_flows_metadata_and_a_rule_gates(
    tools: Tools, design: Design, observed: Done, tmp_path: Path
) -> None:
    def metadata(target: str, limit: float = 0.0) -> Done:
        key = "detailedplace__gsr__congestion_h__max"
        (tmp_path / "rules.json").write_text(json.dumps({key: {"value": limit, "compare": "<="}}))
        rules = {"RULES_JSON": str(tmp_path / "rules.json")}
        return make(tools, design, [target], observed.work, variant="observe", env=rules)

    passed(metadata("metadata-generate"))
    found = json.loads((observed.folder("reports") / "metadata.json").read_text())
    stages = {key.split("__gsr__")[0] for key in found if "__gsr__" in key}
    assert stages == {"globalplace_io", "globalplace", "detailedplace", "cts"}
    at_place = (observed.hook("post_detail_place") / "metrics.tsv").read_text()
    value = found["detailedplace__gsr__congestion_h__max"]
    assert float(dict(line.split("\t") for line in at_place.splitlines() if "\t" in line)[
        "detailedplace__gsr__congestion_h__max"
    ]) == value  # fmt: skip
    passed(metadata("metadata-check", value))
    closed = metadata("metadata-check", value / 2)
    assert closed.code != 0
    assert "[ERROR] detailedplace__gsr__congestion_h__max fail test" in closed.text


def test_your_own_hooks_run_first_and_in_the_frame_of_the_flow(
    tools: Tools, design: Design, base: Done, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.tcl"
    mine.write_text('puts "mine: [info exists ::env(PLACE_SITE)] [info level]"\n')
    own = {"PRE_GLOBAL_PLACE_TCL": str(mine), "POST_DETAIL_PLACE_TCL": str(mine), "POST_RESIZE_TCL": str(mine)}
    run = passed(go_on(tools, design, base, "chain", "place", env=own))
    without = passed(go_on(tools, design, base, "chain_without", "place", env={**own, "GSR_ENABLE": "0"}))
    for stem in ("3_3_place_gp", "3_4_place_resized", "3_5_place_dp"):
        said = re.findall(r"^mine: .*$", run.log(stem), re.M)
        assert len(said) == 1
        assert re.findall(r"^mine: \d", without.log(stem), re.M) == [said[0][: len("mine: 1")]]
    log = run.log("3_3_place_gp")
    assert log.index("mine: ") < log.index("FLW-7001")


@pytest.mark.parametrize(
    ("python", "reason"),
    [
        ("kill -9 $$", "was killed"),
        ("sleep 60", r"ran longer than GSR_TIMEOUT \(1(\.0)? s\)"),
        ("echo no gsr here; exit 3", "failed with exit code 3.*no gsr here"),
        ("exit 0", "ended without writing done"),
        (None, "was not found"),
    ],
    ids=["killed", "hanging", "failing", "lying", "missing"],
)
def test_a_step_does_not_need_our_python(
    tools: Tools, design: Design, base: Done, tmp_path: Path, python: str | None, reason: str
) -> None:
    program = tmp_path / "python"
    if python is not None:
        program.write_text(f"#!/bin/sh\n{python}\n")
        program.chmod(0o755)
    env = {"GSR_PYTHON": str(program), "GSR_TIMEOUT": "1", "GSR_MODE": "apply"}
    run = passed(go_on(tools, design, base, tmp_path.name, "place", env=env))
    assert different_defs(tools, base, run) == ["4_1_cts.odb", "4_cts.odb", "5_1_grt.odb"], "of those that it has"
    found = [w for w in warnings(run) if "FLW-7031" in w]
    assert len(found) >= 3
    assert all(re.search(reason, w) for w in found), found


def test_a_failure_ends_the_step_where_you_asked_for_it(
    tools: Tools, design: Design, base: Done, tmp_path: Path
) -> None:
    env = {"GSR_PYTHON": str(tmp_path / "none"), "GSR_ON_ERROR": "fail"}
    run = go_on(tools, design, base, "fail", "place", env=env)
    assert run.code != 0
    assert "FLW-7061" in run.text
    assert not (run.folder("results") / "3_3_place_gp.odb").exists()


def test_a_gate_ends_a_hopeless_run(tools: Tools, design: Design, base: Done) -> None:
    env = {"GSR_MODE": "gate", "GSR_GATE": "congestion_h__max=0.01"}
    closed = go_on(tools, design, base, "closed", "place", env=env)
    assert closed.code != 0
    assert re.search(r"FLW-7090\] The gate is closed: congestion_h__max is [\d.]+, above 0.01", closed.text)
    assert not (closed.folder("results") / "3_3_place_gp.odb").exists()
    opened = passed(go_on(tools, design, base, "open", "place", env={**env, "GSR_GATE": "congestion_h__max=9"}))
    assert len([m for m in messages(opened) if "FLW-7017" in m]) == 2
    assert warnings(opened) == []


ANNOTATIONS = """
set names {}
foreach category [[[ord::get_db] getChip] getMarkerCategories] { lappend names [$category getName] }
puts "categories: $names"
set count 0
foreach inst [[ord::get_db_block] getInsts] {
  if { [odb::dbDoubleProperty_find $inst gsr_congestion] ne "NULL" } { incr count }
}
puts "insts: $count"
puts "blockages: [llength [[ord::get_db_block] getBlockages]]"
"""


def annotations(tools: Tools, run: Done, stem: str) -> tuple[str, int, int]:
    """Marker categories, insts with our property, and blockages of a step's database."""
    text = run_tcl(tools, f"read_db {{{run.folder('results') / f'{stem}.odb'}}}\n{ANNOTATIONS}")
    categories, insts, blockages = (
        re.search(rf"^{k}: (.*)$", text, re.M) for k in ("categories", "insts", "blockages")
    )
    assert categories
    assert insts
    assert blockages
    return categories[1], int(insts[1]), int(blockages[1])


def test_advise_leaves_markers_and_properties_in_the_database(
    tools: Tools, crowded: tuple[Design, Done], observed: Done
) -> None:
    _, run = crowded
    assert warnings(run) == []
    categories, num_insts, _ = annotations(tools, run, "3_place")
    assert "GSR congestion" in categories
    assert num_insts > 500
    assert annotations(tools, observed, "3_place")[:2] == ("", 0)
    plan = (run.hook("post_detail_place") / "feedback.tsv").read_text()
    assert plan.startswith("#gsr-feedback 1 design=crc_bank ")


def test_apply_carries_out_a_plan_and_leaves_nothing_behind(tools: Tools, crowded: tuple[Design, Done]) -> None:
    design, first = crowded
    env = {"GSR_MODE": "apply", "GSR_PREDICTION_DIR": str(first.hook("post_detail_place"))}
    run = passed(go_on(tools, design, first, "apply", "grt", env=env))
    record = json.loads((run.hook("pre_global_place") / "gsr_feedback.json").read_text())
    assert record["refused"] == ""
    assert record["num_applied"] > 0, record
    assert record["num_pending"] == 0
    for stem in ("3_3_place_gp", "3_place", "5_1_grt"):
        assert annotations(tools, run, stem)[2] == 0
    assert different_defs(tools, first, run) != []


def test_apply_in_one_run(tools: Tools, crowded: tuple[Design, Done]) -> None:
    design, first = crowded
    run = passed(go_on(tools, design, first, "apply_alone", "place", env={"GSR_MODE": "apply"}))
    record = json.loads((run.hook("pre_global_place") / "gsr_feedback.json").read_text())
    assert record["refused"] == ""
    assert record["num_pending"] == 0
    assert annotations(tools, run, "3_place")[2] == 0


def test_a_warm_server_gives_the_same_and_ends_with_the_flow(
    tools: Tools, design: Design, base: Done, observed: Done
) -> None:
    run = passed(go_on(tools, design, base, "served", "grt", env={"GSR_SERVE": "1"}))
    assert warnings(run) == []
    assert not [m for m in messages(run) if "FLW-7012" in m], "the server was used"
    for hook in HOOKS:
        one, other = (read_prediction(r.hook(hook) / "prediction") for r in (observed, run))
        for name, values in one.maps.items():
            np.testing.assert_array_equal(other.maps[name], values, err_msg=f"{hook} {name}")
    assert different_defs(tools, base, run) == []
    folder = run.folder("objects") / "gsr"
    last, said = time.monotonic() + 300, f"{len(HOOKS)} requests done, the flow"  # the last that it says
    while said not in (folder / "server.log").read_text() and time.monotonic() < last:
        time.sleep(0.1)
    assert said in (folder / "server.log").read_text()
    assert not (folder / "server.tsv").exists()


def test_the_targets_of_a_finished_step(tools: Tools, design: Design, base: Done) -> None:
    branch(base, "targets", before="6")
    passed(make(tools, design, ["gsr_predict", "gsr_labels"], base.work, variant="targets"))
    out = base.folder("objects").parent / "targets" / "gsr"
    assert (out / "pre_global_route" / "report.html").exists()
    assert json.loads((out / "post_global_route" / "labels" / "done.json").read_text())["labels"]["grt"] == "written"


def test_the_access_points_of_the_platform(tools: Tools, design: Design, base: Done) -> None:
    if not probe_openroad(tools.openroad).has[ACCESS_POINTS]:
        pytest.skip(f"{tools.openroad} has no pin_access")
    table = base.work / "points.csv"
    env = {"GSR_ACCESS_POINTS": str(table)}
    passed(make(tools, design, ["gsr_access_points"], base.work, variant="points", env=env))
    assert len(read_access_points(table).points) == 536
