"""The steps of the closed loop, each a process of its own: place, judge, predict; none reads what another left."""

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from circuit_io import labels as label_files
from circuit_io.errors import ToolError
from circuit_io.export import export_design
from circuit_io.export_sources import ExportSources
from circuit_io.maps import Prediction
from circuit_io.prediction import read_prediction
from circuit_io.store import StoredDesign, open_design
from circuit_io.text import read_bytes
from flow_hooks import TCL
from flow_hooks.feedback.config import FeedbackConfig
from flow_hooks.feedback.file import Plan
from flow_hooks.feedback.record import RECORD, read_record
from flow_hooks.loop.cases import CONGESTION_ITERATIONS, Case
from flow_hooks.loop.judge import Verdict, check_same_design, verdict_of
from flow_hooks.loop.server import WarmServer
from flow_hooks.openroad.script import job_tsv, layer_rows, plain_copy, run_script, what_it_said
from flow_hooks.tsv import number

PLACED = "design.def"  # the name under which our Tcl looks for the placement that a plan was made for
NEEDS_PLACEMENT = ("place_pins", "unplace")  # actions on the placement that was predicted
_FLOW_SETTINGS = ("GSR_", "PLACE_", "GLOBAL_PLACEMENT_", "IO_PLACER_", "FLOORPLAN_", "FOOTPRINT")


@dataclass(frozen=True)
class Tools:
    """What runs the steps.

    Attributes:
        openroad: the binary.
        predict: command that is given an export and `--out`, and writes a prediction.
        server: what answers it from its second call on.
        rounds: most placements with a plan.
        time_s: limit of each process.
    """

    openroad: str
    predict: tuple[str, ...]
    server: WarmServer
    config: FeedbackConfig
    rounds: int
    time_s: float


@dataclass(frozen=True)
class Placement:
    """A placement: its DEF, and processor seconds of each step, as far as the system tells."""

    placed: Path
    laps: dict[str, float]
    states: dict[str, int]  # actions of the plan it was made with, by what became of them

    @property
    def seconds(self) -> float | None:
        """Processor seconds of all its steps."""
        return round(sum(self.laps.values()), 3) if self.laps else None


@dataclass(frozen=True)
class Seen:
    """A prediction of a placement, the design it was made for, and processor seconds, as far as the system tells."""

    prediction: Prediction
    design: StoredDesign
    seconds: float | None


def place(
    case: Case,
    tools: Tools,
    folder: Path,
    *,
    plan: tuple[Plan, Path] | None = None,
    options: Sequence[str] = (),
    density: tuple[str, float] | None = None,
) -> Placement:
    """Place a case into `folder`, from its floorplan, with or without a plan.

    Args:
        case: the case.
        tools: what runs it.
        folder: a new folder.
        plan: a plan and its file, beside which lies the placement that it was made for.
        options: more words for `global_placement`.
        density: another way to choose the density than the case's.

    Raises:
        ToolError: openroad failed, or took too long.
    """
    folder.mkdir(parents=True)
    kind, value = density or case.density
    floorplan, keeps_insts, rows = Path(case.placed), False, dict[str, Sequence[str]]()
    if plan is not None:
        rows["plan"] = [str(plan[1])]
        floorplan = plan[1].with_name(PLACED)  # with the pins that an earlier plan may have moved
        keeps_insts = any(plan[0].of(action) for action in NEEDS_PLACEMENT)
    rows |= {
        **_design_rows(case, floorplan, folder / "inputs"),
        "unplace": [str(int(not keeps_insts))],
        kind: [number(value)],
        "options": list(options),
        "out_dir": [str(folder)],
        "placed": [str(folder / PLACED)],
    }
    facts = _run(tools, "gsr_loop_place.tcl", folder, "place", rows)
    states = read_record(folder / RECORD, plan[0]).counts() if plan else {}
    return Placement(folder / PLACED, {key: float(v) for key, v in facts.items()}, states)


def judge(case: Case, tools: Tools, placed: Path, folder: Path, *, pins_moved: bool = False) -> Verdict:
    """Judge a placement; the router's tables come into `folder`/labels.

    Raises:
        ToolError: openroad failed, found the placement not legal, or took too long.
        InputError: a placement of another design.
    """
    check_same_design(Path(case.placed), placed, pins_moved=pins_moved)
    labels = folder / "labels"
    labels.mkdir(parents=True)
    rows = {
        **_design_rows(case, placed, folder / "inputs"),
        "congestion_iterations": [str(CONGESTION_ITERATIONS)],
        "out_dir": [str(labels)],
    }
    if case.sdc and case.lib:
        rows |= {"lib": list(case.lib), "sdc": [case.sdc]}
    facts = _run(tools, "gsr_loop_judge.tcl", folder, "judge", rows)
    states = label_files.read_parameters(labels).get("labels") or {}
    for kind in ("grt", "wire_length"):
        if states.get(kind) != "written":
            raise ToolError(f"openroad wrote no {kind}: {states.get(kind)}")
    (labels / "route.guide").unlink(missing_ok=True)  # long, and nothing here reads it
    return verdict_of(case, labels, placed, facts)


def predict(case: Case, tools: Tools, placed: Path, folder: Path) -> Seen:
    """Export a placement and predict for it, by the command.

    Raises:
        ToolError: the command failed, or took too long.
        InputError: the placement cannot be exported.
    """
    began, served = _processor_s(), tools.server.processor_s()
    design = export(case, placed, folder / "export")
    command = [*tools.predict, str(folder / "export"), "--out", str(folder / "prediction")]
    log = folder / "predict.log"
    with log.open("wb") as out:
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False,
                                  timeout=tools.time_s, env=os.environ | tools.server.environment())  # fmt: skip
        except subprocess.TimeoutExpired as e:
            raise ToolError(f"the prediction was ended after {tools.time_s:g} s, its limit") from e
    if done.returncode:
        raise ToolError(f"{' '.join(command[:4])} ended with exit code {done.returncode}: {what_it_said(log)}")
    ended = tools.server.processor_s()
    seconds = None if served is None or ended is None else round(_processor_s() - began + ended - served, 3)
    return Seen(read_prediction(folder / "prediction"), design, seconds)


def export(case: Case, placed: Path, out: Path, *, labels: Path | None = None) -> StoredDesign:
    """Export a placement as `gsr export` does, with the router's tables where they are given."""
    low, high = case.signal_layers
    sources = ExportSources(
        lef=[Path(p) for p in case.lef],
        def_=placed,
        lib=[Path(p) for p in case.lib],
        labels=labels,
        signal_layers=(low, high),
        layer_adjustment=case.layer_adjustment,
        family=case.family,
    )
    export_design(sources, out, overwrite=True)
    return open_design(out, verify=False)


def clear_up(folder: Path) -> None:
    """Remove what can be made again from the placement."""
    for name in ("inputs", "export", "prediction"):
        for left in folder.rglob(name):
            shutil.rmtree(left, ignore_errors=True)


def _design_rows(case: Case, placed: Path, inputs: Path) -> dict[str, Sequence[str]]:
    lef = [plain_copy(Path(p), inputs / f"lef{i}") for i, p in enumerate(case.lef)]
    return {
        "lef": [str(p) for p in lef],
        "def": [str(plain_copy(placed, inputs))],
        **layer_rows(case.signal_layers, case.layer_adjustment),
    }


def _run(tools: Tools, script: str, folder: Path, step: str, rows: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Run one of our scripts; the keys and values that it tells."""
    task, facts = folder / f"{step}.tsv", folder / "facts.tsv"
    task.write_text(job_tsv({**rows, "facts": [str(facts)]}), "utf-8", "surrogateescape")
    blank = {name: "" for name in os.environ if name.startswith(_FLOW_SETTINGS)}  # a flow's own would steer ours
    env = blank | {"GSR_MODE": "apply", "GSR_ON_ERROR": "fail"}
    run_script(tools.openroad, TCL / script, task, variable="GSR_LOOP_JOB", log=folder / f"{step}.log", env=env,
               time_s=tools.time_s)  # fmt: skip
    if not facts.is_file():
        raise ToolError(f"openroad ended before the script did: {what_it_said(folder / f'{step}.log')}")
    rows_told = (line.partition("\t") for line in read_bytes(facts).decode("utf-8", "replace").splitlines())
    told = {key: value for key, _, value in rows_told}
    facts.unlink()
    return told


def _processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime
