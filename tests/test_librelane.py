"""The LibreLane plug-in in LibreLane itself: discovery, variables, substitution, state, metrics, gate, plan, labels.

LibreLane's own scripts run in tclsh, on stand-ins for OpenROAD's commands (tests/tcl/openroad_librelane.tcl).
"""

import gzip
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from tcl_session import HERE, fake_python, find_tclsh, is_alive, num_runs, overflows

from circuit_io.metric_keys import METRIC_KEYS
from flow_hooks.annotations.markers import RISK
from flow_hooks.openroad.binary import FLAGS

PYTHON = Path(os.environ.get("GSR_LIBRELANE_PYTHON", Path(sys.prefix) / "librelane" / "bin" / "python"))
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=f"no LibreLane at {PYTHON}: make librelane")

PDK = {
    "STD_CELL_LIBRARY": "kit_cells",
    "VDD_PIN": "VDD",
    "GND_PIN": "VSS",
    "PRIMARY_GDSII_STREAMOUT_TOOL": "klayout",
    "DEFAULT_CORNER": "typ",
    "STA_CORNERS": "typ",
    "RT_MIN_LAYER": "M2",
    "RT_MAX_LAYER": "M5",
    "SCL_GROUND_PINS": "VSS",
    "SCL_POWER_PINS": "VDD",
    "FILL_CELLS": "G45_FILL1",
    "DECAP_CELLS": "G45_FILL1",
    "OUTPUT_CAP_LOAD": "5",
    "MAX_FANOUT_CONSTRAINT": "10",
    "CLOCK_UNCERTAINTY_CONSTRAINT": "0.1",
    "CLOCK_TRANSITION_CONSTRAINT": "0.1",
    "TIME_DERATING_CONSTRAINT": "5",
    "IO_DELAY_CONSTRAINT": "20",
    "SYNTH_DRIVING_CELL": "G45_BUF_X1/Y",
    "SYNTH_TIEHI_CELL": "G45_TIEHI/Y",
    "SYNTH_TIELO_CELL": "G45_TIELO/Y",
    "SYNTH_BUFFER_CELL": "G45_BUF_X1/A/Y",
    "PLACE_SITE": "gsr45_core",
    # what only the steps of Classic ask for that are not run here
    **{f"PDN_{a}{name}": "1" for a in "HV" for name in ("WIDTH", "SPACING", "PITCH", "OFFSET")},
    **{f"PDN_CORE_RING_{a}{name}": "1" for a in "HV" for name in ("WIDTH", "SPACING", "OFFSET")},
    "PDN_RAIL_OFFSET": "0",
    "PDN_RAIL_WIDTH": "0.16",
    "PDN_RAIL_LAYER": "M1",
    "PDN_HORIZONTAL_LAYER": "M7",
    "PDN_VERTICAL_LAYER": "M8",
    "CTS_ROOT_BUFFER": "G45_CLKBUF_X8",
    "CTS_CLK_BUFFERS": "G45_CLKBUF_X4",
    "TIMING_VIOLATION_CORNERS": "typ",
    "IO_PIN_H_LAYER": "M3",
    "IO_PIN_V_LAYER": "M4",
    "CELL_PAD_EXCLUDE": "",
    "GRT_LAYER_ADJUSTMENTS": "0.99,0.2,0.25",
    "DPL_CELL_PADDING": "0",
    "GPL_CELL_PADDING": "0",
}


ABSENT = [
    *["CELL_GDS", "SYNTH_EXCLUDED_CELL_FILE", "PNR_EXCLUDED_CELL_FILE", "NETGEN_SETUP"],
    *["MAGICRC", "MAGIC_TECH", "MAGIC_PDK_SETUP", "KLAYOUT_TECH", "KLAYOUT_PROPERTIES", "KLAYOUT_DEF_LAYER_MAP"],
]
TRACKS = [
    *[(f"M{i}", "0.1", "0.2", "0.2") for i in (1, 2, 3)],
    *[(f"M{i}", "0.1", "0.4", "0.4") for i in (4, 5)],
    *[(f"M{i}", "0.9", "0.8", "0.8") for i in (6, 7)],
    ("M8", "1.7", "1.6", "1.6"),
]


def write_pdk(root: Path, kit: Path) -> None:
    """The demo kit's technology as a PDK for LibreLane."""
    folder = root / "kit" / "libs.tech" / "librelane"
    (folder / "kit_cells").mkdir(parents=True)
    (root / "none.txt").touch()
    tech = kit / "tech"
    values = PDK | {
        "TECH_LEFS": f'"*" {tech / "gsr45_tech.lef"}',
        "CELL_LEFS": str(tech / "gsr45_cells.lef"),
        "LIB": f'"*" {tech / "gsr45_typ.lib"}',
        **dict.fromkeys(ABSENT, str(root / "none.txt")),
        "RCX_RULESETS": f'"*" {root / "none.txt"}',
        "FP_TRACKS_INFO": str(root / "tracks.txt"),
    }
    (root / "tracks.txt").write_text(
        "".join(f"{layer} X {x} {pitch}\n{layer} Y {y} {pitch}\n" for layer, x, y, pitch in TRACKS)
    )
    text = "".join(f"set ::env({name}) {{{value}}}\n" for name, value in values.items())
    (folder / "config.tcl").write_text(text)
    (folder / "kit_cells" / "config.tcl").write_text("\n")


@dataclass(frozen=True)
class Run:
    """A run of a flow: what it answered, what OpenROAD's commands were called with, what was printed."""

    answer: dict[str, Any]
    calls: list[list[list[str]]]
    out: str
    folder: Path

    @property
    def state(self) -> dict[str, Any]:
        """The views and metrics at the end."""
        assert self.answer["error"] == "", self.answer["error"] + self.out
        state: dict[str, Any] = self.answer["state"]
        return state

    def gsr_metrics(self) -> dict[str, float]:
        """The predicted metrics of the state."""
        return {key: value for key, value in self.state["metrics"].items() if key.startswith("gsr__")}

    def step(self, name: str) -> Path:
        """The folder of a step."""
        return next(p for p in self.folder.iterdir() if p.name.endswith(name))


class Flow:
    """A design in LibreLane: a floorplan of the kit, and the placement that OpenROAD's stand-in makes of it."""

    def __init__(self, tmp_path: Path, kit: Path, design: str) -> None:
        self.tmp_path, self.design = tmp_path, design.split("/")[0]
        write_pdk(tmp_path / "pdk", kit)
        placed = gzip.decompress((kit / "labels" / "gsr45" / design / "placed.def.gz").read_bytes()).decode()
        self.placed, self.floorplan = tmp_path / "placed.def", tmp_path / "floorplan.odb"
        self.placed.write_text(placed)
        self.floorplan.write_text(re.sub(r"(- .*)\+ PLACED \([^)]*\) \w+", r"\1+ UNPLACED", placed))
        self.openroad = tmp_path / "openroad"
        script = HERE / "tcl" / "openroad_librelane.tcl"
        self.openroad.write_text(f'#!/bin/sh\nexec "{find_tclsh()}" -encoding utf-8 "{script}" "$@"\n')
        self.openroad.chmod(0o755)

    def run(
        self,
        *steps: str,
        config: dict[str, Any] | None = None,
        state: dict[str, Any] | None = None,
        substitutions: dict[str, str] | None = None,
        env: dict[str, str] | None = None,
        tag: str = "run",
        flow: str = "",
        options: dict[str, Any] | None = None,
    ) -> Run:
        """Run steps, or a named flow, from a state, by default the floorplan."""
        asked = {
            "flow": flow,
            "steps": steps,
            "options": options or {},
            "substitutions": substitutions,
            "config": {"DESIGN_NAME": self.design, "GSR_PYTHON": sys.executable, **(config or {})},
            "state": state or {"odb": str(self.floorplan), "def": str(self.floorplan)},
            "design_dir": str(self.tmp_path),
            "pdk_root": str(self.tmp_path / "pdk"),
            "tag": tag,
        }
        folder = self.tmp_path / "runs" / tag
        folder.mkdir(parents=True)
        stub = {"STUB_PLACED": str(self.placed), "STUB_CALLS": str(folder / "calls")}
        stub["STUB_FLOORPLAN"] = str(self.floorplan)
        answer, out = ask(folder, asked, {"_LLN_OVERRIDE_OPENROAD": str(self.openroad), **stub, **(env or {})})
        files = sorted(folder.glob("calls.*"), key=lambda p: p.stat().st_mtime_ns)
        calls = [[[unquote(w) for w in line.split("\t")] for line in p.read_text().splitlines()] for p in files]
        return Run(answer, calls, out, folder)


def ask(folder: Path, asked: object, env: dict[str, str] | None = None) -> tuple[dict[str, Any], str]:
    """What LibreLane's environment answers, and what it printed."""
    (folder / "asked.json").write_text(json.dumps(asked))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GSR_") and k != "PYTHONPATH"}
    done = subprocess.run(
        [PYTHON, HERE / "librelane_session.py", folder / "asked.json", folder / "answer.json"],
        cwd=folder,
        env={**clean, "OMP_NUM_THREADS": "1", "COLUMNS": "500", **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (folder / "answer.json").exists(), done.stdout + done.stderr
    return json.loads((folder / "answer.json").read_text()), done.stdout + done.stderr


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What LibreLane knows of the plug-in."""
    return ask(tmp_path_factory.mktemp("registry"), {})[0]


@pytest.fixture
def flow(tmp_path: Path, kit: Path) -> Flow:
    """The kit's smallest design."""
    return Flow(tmp_path, kit, "crc_bank/v0")


def fake_gsr(flow: Flow, *, plan: str | None = None, body: str = "", finish: bool = True) -> dict[str, Any]:
    """Configuration with a stand-in for the Python that has gsr; see tcl_session.fake_python."""
    return {"GSR_PYTHON": str(fake_python(flow.tmp_path / "py", plan=plan, body=body, finish=finish))}


def plan_text(flow: Flow, *rows: str) -> str:
    """A plan for the design; a row is written with | for the tabs."""
    x1, y1, x2, y2 = (int(v) / 2000 for v in re.findall(r"-?\d+", flow.placed.read_text().split("DIEAREA")[1])[:4])
    header = f"#gsr-feedback 1 design={flow.design} die_um={x1},{y1},{x2},{y2} grid=20,20 def_sha256=00 run_id=r1"
    lines = ["action\ttarget\tx1\ty1\tx2\ty2\tlayer\tvalue\tscore", *(row.replace("|", "\t") for row in rows)]
    return "\n".join([header, *lines]) + "\n"


BLOCKAGE = "density_blockage||10|10|20|20||70|1"
ROUTER_ONLY = "layer_adjustment|route|||||M3|0.5|1"


# --- what LibreLane knows --------------------------------------------------------------------------------------------


def test_librelane_finds_the_plugin_without_numpy_or_torch(known: dict[str, Any]) -> None:
    assert set(known["plugins"]) == {"librelane_plugin_gsr"}
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    assert known["plugins"]["librelane_plugin_gsr"] == project["version"]
    ours = {"GSR.Predict", "GSR.GlobalPlacement", "GSR.GlobalRouting", "GSR.GateChecker", "GSR.ExportLabels"}
    assert set(known["steps"]) == ours
    assert "circuit_io" in known["loaded"]
    assert not {"numpy", "torch", "pyarrow", "gsr_plugin"} & set(known["loaded"])


def test_the_flow_is_classic_with_our_steps(known: dict[str, Any]) -> None:
    """Nothing is lost of Classic, and the gate stands between placement and clock tree."""
    names = known["flow"]
    replaced = {"GSR.GlobalPlacement": "OpenROAD.GlobalPlacement", "GSR.GlobalRouting": "OpenROAD.GlobalRouting"}
    added = {"GSR.Predict", "GSR.GateChecker", "GSR.ExportLabels"}
    assert [replaced.get(name, name) for name in names if name not in added] == known["classic"]
    at = names.index("OpenROAD.DetailedPlacement")
    assert names[at : at + 4] == ["OpenROAD.DetailedPlacement", "GSR.Predict", "GSR.GateChecker", "OpenROAD.CTS"]
    assert names[names.index("GSR.GlobalRouting") + 1] == "GSR.ExportLabels"
    assert known["gates"] == {"GSR.ExportLabels": ["RUN_GSR_EXPORT_LABELS"]}
    assert known["variables_of_flow"] > 200


def test_metrics_are_those_of_the_registry(known: dict[str, Any]) -> None:
    direction = {"higher": True, "lower": False, "neither": None}
    assert known["metrics"] == {key.name: direction[key.better] for key in METRIC_KEYS.values()}


def test_the_docs_list_every_variable(known: dict[str, Any]) -> None:
    """Name, type, units and default of the table in docs/flow.md are those that LibreLane reads."""
    text = (HERE.parent / "docs" / "flow.md").read_text().split("## LibreLane")[1].split("\n## ")[0]
    table = text.split("| variable | type | units | default | meaning |")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:5]] for line in table.splitlines() if line.startswith("| `")]
    assert {row[0].strip("`") for row in rows} == set(known["variables"])
    for name, kind, units, default in rows:
        type_, real_units, description, real_default = known["variables"][name.strip("`")]
        choices = re.findall(r"`(\w+)`", kind)
        assert re.findall(r"'(\w+)'", type_) == choices if choices else type_ == kind
        assert units == (real_units or "")
        assert description.endswith(".")
        if real_default is not None:
            assert re.findall(r"\w+", real_default) == re.findall(r"\w+", default)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("sys.modules['circuit_io.metric_keys'] = None", "ModuleNotFoundError"),
        # as if Classic had no detailed placement
        ("real = fnmatch.fnmatch; fnmatch.fnmatch = lambda a, b: 'detailed' not in b and real(a, b)", "FlowException"),
    ],
)
def test_a_librelane_that_we_do_not_fit_still_works(tmp_path: Path, change: str, reason: str) -> None:
    code = f"import fnmatch, sys; {change}; import librelane.flows as f; print(f.Flow.factory.get('Classic').__name__)"
    done = subprocess.run([PYTHON, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "Classic\n"
    assert f"does not fit this LibreLane: {reason}" in done.stderr


# --- prediction ------------------------------------------------------------------------------------------------------


def test_a_prediction_is_in_the_state(flow: Flow) -> None:
    """The real gsr on a real placement; the floorplan's view is of no use, the placed one is."""
    state = {"def": str(flow.placed), "metrics": {"design__instance__count": 1005}}
    run = flow.run("GSR.Predict", state=state, config={"GSR_DEVICE": "cpu"})
    folder = run.step("gsr-predict")
    hook = json.loads((folder / "hook.json").read_text())
    assert (hook["def"], hook["design"], hook["signal_layers"]) == (str(flow.placed), "crc_bank", ["M2", "M5"])
    assert [Path(p).name for p in hook["lefs"]] == ["gsr45_tech.lef", "gsr45_cells.lef"]
    assert [Path(p).name for p in hook["libs"]] == ["gsr45_typ.lib"]
    # by position among the routing layers; the others have that of all
    wanted = {"M1": 0.99, "M2": 0.2, "M3": 0.25, **{f"M{i}": 0.3 for i in range(4, 9)}}
    assert hook["layer_adjustment"] == pytest.approx(wanted, abs=1e-7)  # the database holds single precision
    expected = json.loads((folder / "metrics.json").read_text())
    assert run.gsr_metrics() == {key.partition("__")[2]: pytest.approx(value) for key, value in expected.items()}
    assert set(run.gsr_metrics()) <= set(METRIC_KEYS)
    assert run.state["metrics"]["design__instance__count"] == 1005
    views = {"gsr_report": "report.html", "gsr_hotspots": "hotspots.tsv", "gsr_markers": "markers.json"}
    for view, name in views.items():
        assert run.state[view] == str(folder / name)
        assert (run.folder / "final" / "gsr" / name).read_bytes() == (folder / name).read_bytes()
    assert run.state["gsr_feedback"] is None  # no plan in mode observe
    assert run.calls == []


def test_the_stand_in_is_called_as_the_settings_say(flow: Flow) -> None:
    """Command, environment and options of the child; an earlier prediction makes way."""
    config = fake_gsr(flow, plan=plan_text(flow, BLOCKAGE))
    config["GSR_PYTHON"] = f"env MARK=1 {config['GSR_PYTHON']}"
    config |= {"GSR_MODE": "advise", "GSR_MODEL": str(flow.openroad), "GSR_RTL": [str(flow.placed)], "GSR_TIMEOUT": 5}
    old = {"gsr__congestion_h__max": 9, "gsr__hotspot__peak": 9}
    state = {"def": str(flow.placed), "sdc": str(flow.openroad), "metrics": old}
    env = {"PYTHONPATH": "", "LD_LIBRARY_PATH": "/nowhere"}
    run = flow.run("GSR.Predict", state=state, config=config, env=env)
    folder = run.step("gsr-predict")
    words = (flow.tmp_path / "py" / "arguments").read_text().splitlines()
    assert words == [
        *["-m", "gsr_plugin", "flow", "--hook", str(folder / "hook.json"), "--out", str(folder), "--mode", "advise"],
        *["--device", "auto", "--weights", str(flow.openroad)],
    ]
    child = (flow.tmp_path / "py" / "environment").read_text().splitlines()
    assert {"MARK=1", "PYTHONSAFEPATH=1", "OMP_WAIT_POLICY=passive"} <= set(child)
    assert not [line for line in child if line.startswith(("PYTHONPATH=", "LD_LIBRARY_PATH="))]
    hook = json.loads((folder / "hook.json").read_text())
    assert (hook["sdc"], hook["rtl"]) == (str(flow.openroad), [str(flow.placed)])
    new = {"gsr__congestion_h__max": 1.25, "gsr__overflow__expected": 40, "gsr__overflow__predicted": 30}
    assert run.gsr_metrics() == {**new, "gsr__hotspot__peak": None}
    assert run.state["gsr_feedback"] == str(folder / "feedback.tsv")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("missing", "cannot be started: No such file"),
        ("fails", "failed with exit code 7: out of luck"),
        ("no_done", "ended without writing the id of this run"),
        ("hangs", "ran longer than GSR_TIMEOUT (0.3 s)"),
    ],
)
def test_a_failing_gsr_is_a_warning_and_leaves_no_old_prediction(flow: Flow, setting: str, words: str) -> None:
    body = {"fails": "echo out of luck >&2; exit 7", "hangs": f"sleep 60 & echo $! > {flow.tmp_path}/pid; wait"}
    config = fake_gsr(flow, body=body.get(setting, ""), finish=setting != "no_done")
    if setting == "missing":
        Path(config["GSR_PYTHON"]).unlink()
    if setting == "hangs":
        config["GSR_TIMEOUT"] = 0.3
    config |= {"GSR_GATE": {"congestion_h__max": 1}}
    state = {"def": str(flow.placed), "gsr_report": str(flow.placed), "metrics": {"gsr__congestion_h__max": 9}}
    run = flow.run("GSR.Predict", "GSR.GateChecker", state=state, config=config)
    assert run.gsr_metrics() == {"gsr__congestion_h__max": None}
    assert run.state.get("gsr_report") is None
    assert words in run.out
    assert "metric was not found" in run.out  # the gate that cannot be judged is open
    if setting == "hangs":
        assert not is_alive(int((flow.tmp_path / "pid").read_text()))


def test_a_failing_gsr_ends_the_flow_where_that_is_asked_for(flow: Flow) -> None:
    config = fake_gsr(flow, body="exit 7") | {"GSR_ON_ERROR": "fail"}
    run = flow.run("GSR.Predict", state={"def": str(flow.placed)}, config=config)
    assert run.answer["kind"] == "FlowError"
    assert "failed with exit code 7" in run.answer["error"]


# --- gate ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "error"),
    [
        ({"congestion_h__max": 1.25, "gsr__overflow__expected": 40}, ""),
        ({"congestion_h__max": 1.2, "overflow__expected": 39, "hotspot__count": 1e9}, "gate is closed"),
        (None, ""),
        ({"congestion_h__maximum": 1}, "no prediction has a metric 'gsr__congestion_h__maximum'"),
    ],
)
def test_the_gate(flow: Flow, gate: dict[str, float] | None, error: str) -> None:
    metrics = {"gsr__congestion_h__max": 1.25, "gsr__overflow__expected": 40, "gsr__hotspot__count": 3}
    config = {"GSR_GATE": gate} if gate else {}
    run = flow.run("GSR.GateChecker", state={"def": str(flow.placed), "metrics": metrics}, config=config)
    assert error in run.answer["error"]
    assert bool(run.answer["error"]) == bool(error)
    if error == "gate is closed":
        # at once, not at the end of the flow; every metric that is beyond is named
        assert run.answer["kind"] == "FlowError"
        assert "deferred" not in run.answer["error"]
        assert "1.25 gsr__congestion_h__max (limit 1.2)" in run.answer["error"]
        assert "40 gsr__overflow__expected (limit 39" in run.answer["error"]
        assert "hotspot" not in run.answer["error"]


def test_a_gate_may_only_warn(flow: Flow) -> None:
    config = {"GSR_GATE": {"congestion_h__max": 1}, "ERROR_ON_GSR_GATE": False}
    state = {"def": str(flow.placed), "metrics": {"gsr__congestion_h__max": 1.25}}
    run = flow.run("GSR.GateChecker", state=state, config=config)
    assert run.answer["error"] == ""
    assert re.search(r"WARNING .*1\.25 gsr__congestion_h__max", run.out)


# --- placement, routing, labels --------------------------------------------------------------------------------------


def named(calls: list[list[str]], name: str) -> list[list[str]]:
    """The arguments of every call of one command."""
    return [call[1:] for call in calls if call[0] == name]


def placed_under(odb: str | Path) -> int:
    """How many blockages were in force when a database was placed."""
    return int(Path(odb).read_text().split()[3])


def test_substitution_and_observe_leave_the_placement_as_it_is(flow: Flow) -> None:
    steps = ("OpenROAD.GlobalPlacement", "OpenROAD.DetailedPlacement")
    stock = flow.run(*steps, tag="stock")
    ours = {"OpenROAD.GlobalPlacement": "GSR.GlobalPlacement", "+OpenROAD.DetailedPlacement": "GSR.Predict"}
    planner = {"GSR_PLAN": ["gentle=always"]}
    run = flow.run(*steps, substitutions=ours, config=fake_gsr(flow) | planner, tag="ours")
    assert run.answer["steps"] == ["GSR.GlobalPlacement", "OpenROAD.DetailedPlacement", "GSR.Predict"]

    def without_paths(run: Run) -> list[list[list[str]]]:
        return [[[word for word in call if "/" not in word] for call in calls] for calls in run.calls]

    assert without_paths(run) == without_paths(stock)
    assert "FLW-" not in run.out  # nor is there anything of ours in OpenROAD
    assert Path(run.state["odb"]).read_bytes() == Path(stock.state["odb"]).read_bytes()
    assert num_runs(flow.tmp_path / "py") == 1
    assert "--set\ngentle=always\n" in (flow.tmp_path / "py" / "arguments").read_text()
    seen = {"gsr__congestion_h__max": 1.25, "gsr__overflow__expected": 40, "gsr__overflow__predicted": 30}
    assert run.gsr_metrics() == seen


def test_apply_places_twice_from_the_same_floorplan(flow: Flow) -> None:
    """In one process: placed, predicted, planned, placed again; the settings reach Python."""
    config = fake_gsr(flow, plan=plan_text(flow, BLOCKAGE), body=overflows(40, 10)) | {"GSR_MODE": "apply"}
    config |= {"GSR_PLAN": ["gentle=never", "gain=3"], "GSR_TIMEOUT": 50}
    run = flow.run("GSR.GlobalPlacement", config=config)
    (calls,) = run.calls
    assert named(calls, "read_db") == [[str(flow.floorplan)]]
    assert named(calls, "blockages_in_force") == [["0"], ["1"]]
    assert named(calls, "create_blockage") == [["20000", "20000", "40000", "40000", "70.0"]]
    assert len(named(calls, "dbBlockage_destroy")) == 1
    # every inst is put back to where it was before the second
    first, second = (i for i, call in enumerate(calls) if call[0] == "global_placement")
    restored = named(calls[first:second], "setPlacementStatus")
    assert len(restored) == flow.floorplan.read_text().count("+ UNPLACED")
    assert {status for _, status in restored} == {"NONE"}
    folder = run.step("gsr-globalplacement")
    assert placed_under(run.state["odb"]) == 1
    assert Path(run.state["odb"]).parent == folder
    record = json.loads((folder / "gsr_feedback.json").read_text())
    assert (record["num_applied"], record["loop"]["kept"]) == (1, 1)
    assert "1 applied, 0 skipped" in run.out
    hook = json.loads((folder / "round_0" / "hook.json").read_text())
    adjustment = {"M1": 0.99, "M2": 0.2, "M3": 0.25, **{f"M{i}": 0.3 for i in range(4, 9)}}
    assert hook["layer_adjustment"] == pytest.approx(adjustment)  # a database keeps them in single precision
    assert (hook["signal_layers"], hook["routability_driven"]) == (["M2", "M5"], "default")
    assert hook["improve_placement"] is False
    words = (flow.tmp_path / "py" / "arguments").read_text().splitlines()
    assert [words[i + 1] for i, word in enumerate(words) if word == "--set"] == ["gentle=never", "gain=3"]
    assert run.gsr_metrics() == {}  # the step has no metrics of its own; GSR.Predict tells them


@pytest.mark.parametrize(("setting", "words"), [("empty", "All is well."), ("failed", "failed with exit code 7")])
def test_without_a_plan_the_first_placement_is_the_result(flow: Flow, setting: str, words: str) -> None:
    plan = plan_text(flow).replace("run_id=r1", "run_id=r1 verdict=All%20is%20well.")
    body = "exit 7" if setting == "failed" else ""
    run = flow.run("GSR.GlobalPlacement", config=fake_gsr(flow, plan=plan, body=body) | {"GSR_MODE": "apply"})
    (calls,) = run.calls
    assert len(named(calls, "global_placement")) == 1
    assert words in run.out
    assert placed_under(run.state["odb"]) == 0


def test_pins_that_the_user_placed_stay(flow: Flow) -> None:
    plan = plan_text(flow, "place_pins|||||||M3;M4|1")
    config = fake_gsr(flow, plan=plan) | {"GSR_MODE": "apply", "IO_PIN_ORDER_CFG": str(flow.placed)}
    run = flow.run("GSR.GlobalPlacement", config=config)
    assert named(run.calls[0], "place_pins") == []
    (row,) = json.loads((run.step("gsr-globalplacement") / "gsr_feedback.json").read_text())["actions"]
    assert (row["status"], row["reason"]) == ("skipped", "the flow takes the pins from FLOORPLAN_DEF")


def test_the_plan_of_an_earlier_run_needs_one_placement(flow: Flow) -> None:
    """And a placer that fails with it places without it."""
    earlier = flow.tmp_path / "earlier"
    earlier.mkdir()
    (earlier / "feedback.tsv").write_text(plan_text(flow, BLOCKAGE))
    config = {"GSR_MODE": "apply", "GSR_PREDICTION_DIR": str(earlier)}
    run = flow.run("GSR.GlobalPlacement", config=config, tag="good")
    assert len(run.calls) == 1
    assert placed_under(run.state["odb"]) == 1
    run = flow.run("GSR.GlobalPlacement", config=config, tag="bad", env={"STUB_FAILURES": "1"})
    assert "is run again without it" in run.out
    assert placed_under(run.state["odb"]) == 0


def test_routing_leaves_the_prediction_in_the_database(flow: Flow) -> None:
    """In mode apply the router's part of the plan is in force while it runs, and no longer."""
    prediction = flow.tmp_path / "prediction"
    prediction.mkdir()
    for name, text in {
        "hotspots.tsv": "#gsr-hotspots 1\n",
        "markers.json": "{}\n",
        "feedback.tsv": plan_text(flow, ROUTER_ONLY),
    }.items():
        (prediction / name).write_text(text)
    inst = re.search(r"^ *- (\S+)", flow.placed.read_text().split("\nCOMPONENTS")[1], re.MULTILINE)
    assert inst is not None
    (prediction / "insts.tsv").write_text(f"#gsr-insts 1\ninst\tcongestion\n{inst[1]}\t0.5\nlost\t0.5\n")
    state = {"odb": str(flow.placed), "gsr_hotspots": str(prediction / "hotspots.tsv")}
    run = flow.run("GSR.GlobalRouting", state=state, config={"GSR_MODE": "apply"}, tag="apply")
    (calls,) = run.calls
    names = [call[0] for call in calls]
    at = names.index("global_route")
    (in_force,) = named(calls, "adjustments_in_force")
    assert [round(float(value), 6) for value in in_force] == [0.99, 0.2, 0.5, *[0.3] * 5]
    assert calls[at + 2] == ["set_global_routing_layer_adjustment", "M3", "0.25"]
    assert named(calls[at:], "dbMarkerCategory_fromJSON") == [["::chip", str(prediction / "markers.json")]]
    assert named(calls[at:], "dbDoubleProperty_create") == [[inst[1], "gsr_congestion", "0.5"]]
    assert names.index("dbDoubleProperty_create") < names.index("write_def")  # in the database that is written
    assert Path(run.state["odb"]).parent == run.step("gsr-globalrouting")

    run = flow.run("GSR.GlobalRouting", state=state, config={"GSR_MODE": "observe"}, tag="observe")
    assert not {"dbMarkerCategory_fromJSON", "dbDoubleProperty_create"} & {call[0] for call in run.calls[0]}
    run = flow.run("GSR.GlobalRouting", state={"odb": str(flow.placed)}, config={"GSR_MODE": "advise"}, tag="none")
    assert "no prediction to annotate the design with" in run.out


def test_labels_of_a_routed_database(flow: Flow) -> None:
    config = {"GSR_FAMILY": "crc", "GSR_LABELS": ["grt", "drc"]}
    run = flow.run("GSR.ExportLabels", state={"odb": str(flow.placed)}, config=config)
    folder = run.step("gsr-exportlabels")
    hook = json.loads((folder / "hook.json").read_text())
    assert [Path(p).name for p in hook["lefs"]] == ["gsr45_tech.lef", "gsr45_cells.lef"]
    assert [Path(p).name for p in hook["libs"]] == ["gsr45_typ.lib"]
    assert (hook["family"], hook["platform"], hook["signal_layers"]) == ("crc", "kit", ["M2", "M4"])
    done = json.loads((folder / "labels" / "done.json").read_text())
    assert done["labels"] == {"grt": "written", "drc": "skipped(REPORTS_DIR is not set)"}
    assert (folder / "labels" / "placed.def").read_text().rstrip() == flow.placed.read_text().rstrip()


def in_database(openroad: Path, odb: Path) -> dict[str, int]:
    """What OpenROAD finds of ours in a database."""
    script = odb.parent / "count.tcl"
    script.write_text(
        f"read_db {{{odb}}}\nset block [ord::get_db_block]\nset insts [$block getInsts]\n"
        "set with [lmap inst $insts { if { [odb::dbDoubleProperty_find $inst gsr_congestion] eq {NULL} } continue }]\n"
        'puts "found markers [[$block findMarkerCategory {GSR congestion}] getMarkerCount]"\n'
        'puts "found blockages [llength [$block getBlockages]]"\n'
        'puts "found insts [llength $insts]"\nputs "found properties [llength $with]"\n'
    )
    run = subprocess.run([openroad, *FLAGS, script], capture_output=True, text=True, check=True)
    return {name: int(value) for name, value in re.findall(r"^found (\w+) (\d+)$", run.stdout, re.MULTILINE)}


@pytest.mark.parametrize(
    "program",
    [pytest.param("stand-in", marks=pytest.mark.slow), pytest.param("openroad", marks=pytest.mark.openroad)],
)
def test_the_whole_way_from_a_netlist(tmp_path: Path, kit: Path, program: str) -> None:
    """GSRClassic on a congested design with the real gsr: floorplan, placement, prediction and plan, placement with
    the plan, prediction, gate, routing with annotations, labels. With $GSR_OPENROAD all of it in a live OpenROAD."""
    flow = Flow(tmp_path, kit, "xbar16/v1")
    if program == "openroad":
        flow.openroad = Path(os.environ.get("GSR_OPENROAD") or pytest.skip("GSR_OPENROAD names no openroad"))
    netlist = tmp_path / "xbar16.v"
    netlist.write_bytes(gzip.decompress((kit / "netlists" / "xbar16.v.gz").read_bytes()))
    config = {
        "VERILOG_FILES": [str(kit / "rtl" / "xbar16.v")],
        "CLOCK_PORT": "clk",
        "CLOCK_PERIOD": 2,
        "FP_SIZING": "absolute",
        "DIE_AREA": [0, 0, 140, 140],
        "GSR_MODE": "apply",
        "GSR_ON_ERROR": "fail",
        "RUN_GSR_EXPORT_LABELS": True,
        "GSR_GATE": {"congestion_v__max": 9},
        "GRT_ALLOW_CONGESTION": True,
        "GRT_OVERFLOW_ITERS": 5,
        "PL_TARGET_DENSITY_PCT": 90,
    }
    # without power grid, clock tree and what runs in `openroad -python`, which not every build has
    skip = ["Odb.*", "Checker.PowerGridViolations", "OpenROAD.RepairDesignPostGPL", "OpenROAD.GlobalPlacementSkipIO"]
    skip += [f"OpenROAD.{name}" for name in ("DumpRCValues", "CutRows", "TapEndcapInsertion", "GeneratePDN")]
    skip += [f"OpenROAD.{name}" for name in ("STAMidPNR*", "CTS", "ResizerTimingPostCTS")]
    options = {"frm": "OpenROAD.Floorplan", "to": "GSR.ExportLabels", "skip": skip}
    run = flow.run(flow="GSRClassic", state={"nl": str(netlist)}, config=config, options=options)
    assert run.answer["steps"] == [
        *["OpenROAD.Floorplan", "OpenROAD.IOPlacement", "GSR.GlobalPlacement", "OpenROAD.DetailedPlacement"],
        *["GSR.Predict", "GSR.GateChecker", "GSR.GlobalRouting", "GSR.ExportLabels"],
    ]
    record = json.loads((run.step("gsr-globalplacement") / "gsr_feedback.json").read_text())
    assert record["refused"] == ""
    first, second = record["loop"]["rounds"]
    assert record["loop"]["kept"] == (second["predicted_overflow_tracks"] < first["predicted_overflow_tracks"])
    if program == "stand-in":  # it places alike with and without a plan
        assert "predicted no better" in record["actions"][-1]["reason"]
    else:
        assert record["num_applied"] > 10
    metrics = run.gsr_metrics()
    assert 0.5 < metrics["gsr__congestion_v__max"] < 9
    # 140 um in gcells of 15 pitches of 0.2 um
    assert metrics["gsr__gcell__count"] == 46 * 46
    placed = (run.step("openroad-detailedplacement") / "xbar16.def").read_text()
    assert "UNPLACED" not in placed.split("COMPONENTS")[1]
    done = json.loads((run.step("gsr-exportlabels") / "labels" / "done.json").read_text())
    assert done["labels"]["grt"] == "written"
    if program == "openroad":
        left = in_database(flow.openroad, Path(run.state["odb"]))
        assert left["blockages"] == 0
        assert left["properties"] == left["insts"] > 7000
        (category,) = json.loads(Path(run.state["gsr_markers"]).read_text()).values()
        hot, likely = Path(run.state["gsr_hotspots"]).read_text().splitlines()[2:], category["category"].get(RISK)
        assert left["markers"] == len(hot) + (len(likely["violations"]) if likely else 0)
        assert hot
    # the same metric closes the gate
    run = flow.run("GSR.GateChecker", state=run.state, config={"GSR_GATE": {"congestion_v__max": 0.5}}, tag="gate")
    assert "The gate is closed" in run.answer["error"]
