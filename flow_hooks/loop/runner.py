"""The closed loop over many cases: every arm of every case in a folder that is whole or absent, so that it can go on.

Below the output: `CASE/ARM/` of each arm that is done, `failed/CASE/ARM/` of each that failed, and `loop.json` with all
figures and marks.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from circuit_io.atomic import write_whole
from circuit_io.errors import InputError, did_you_mean
from circuit_io.manifest import read_json_object, to_json
from circuit_io.text import sha256_of_file
from flow_hooks.feedback.config import FeedbackConfig
from flow_hooks.jobs.folders import DONE, FAIL, LOG_FILE, PENDING, SKIPPED, TASK_FILE, JobFolders, open_output
from flow_hooks.jobs.pool import End, Start, run_pool
from flow_hooks.loop.arms import ARMS, BASE, OURS, PREDICTING, SWEEP
from flow_hooks.loop.cases import MIN_OVERFLOW, Case
from flow_hooks.loop.results import results_of, table_of
from flow_hooks.openroad.binary import probe_openroad
from flow_hooks.version import own_version

SCHEMA, JOB_SCHEMA, RESULTS = "gsr-loop", "gsr-loop-arm", "loop.json"
PREDICT = (sys.executable, "-m", "gsr_plugin", "predict")
_PLANNED = ("c", "d", "t")  # arms that the planner's settings decide over
_IN_ROUNDS = (*_PLANNED, "p", "q")


@dataclass(frozen=True)
class LoopPlan:
    """What is to be done.

    Attributes:
        cases: in the order in which they are run.
        arms: some of `ARMS`, arm a always among them.
        predict: the command that predicts, for each case; none where no weights may be used for it.
        weights: what is recorded of the weights of each case.
        limits: `step_s` of each process, `memory_mb` of each arm.
    """

    cases: list[Case]
    arms: tuple[str, ...]
    binary: str
    version: str
    rounds: int
    config: FeedbackConfig
    predict: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, dict[str, str]]
    min_overflow: float = MIN_OVERFLOW
    step_s: float = 1800.0
    memory_mb: int = 8192


@dataclass
class Looped:
    """What became of it: the record of every arm of every case, and the figures drawn from them."""

    out: Path
    states: dict[str, dict[str, dict[str, Any]]]
    results: dict[str, Any] = field(default_factory=dict)
    num_new: int = 0

    def count(self, status: str) -> int:
        """How many arms are in a state."""
        return sum(said["status"] == status for arms in self.states.values() for said in arms.values())

    def text(self) -> str:
        """The table, the marks, and the errors and skips."""
        lines = [table_of(self.results)]
        for name, arms in self.states.items():
            lines += [
                f"{name} {arm}: {said['status']}: {said['reason']}"
                for arm, said in arms.items()
                if said["status"] in (FAIL, SKIPPED) and said.get("reason")
            ]
        counts = [f"{self.count(s)} {s}" for s in (DONE, FAIL, SKIPPED, PENDING) if self.count(s) or s == DONE]
        lines.append(f"{self.out}: {len(self.states)} cases, arms: {', '.join(counts)}; {self.num_new} by this run")
        return "\n".join(lines)


def checked_arms(text: str) -> tuple[str, ...]:
    """The arms that a text like "a,b,c" names, in their order; arm a is always there.

    Raises:
        InputError: no such arm, or e without c.
    """
    wanted = {word.strip() for word in text.split(",") if word.strip()} | {BASE}
    for arm in sorted(wanted - set(ARMS)):
        raise InputError(f'no arm "{arm}"', path="--arms", mend=did_you_mean(arm, ARMS))
    if SWEEP in wanted and OURS not in wanted:
        raise InputError("e makes as many placements as c", path="--arms", mend="Name c as well.")
    return tuple(arm for arm in ARMS if arm in wanted)


def probe_binary(path: Path) -> tuple[str, str]:
    """Path and version of an openroad that can be used.

    Raises:
        ToolError: it does not run, or is none.
        InputError: it lacks what the loop needs.
    """
    tool = probe_openroad(path)
    lacks = [what for what in ("density blockages", "uniform density", "gentle inflation") if not tool.has[what]]
    if lacks:
        raise InputError(f"has no {', '.join(lacks)}", path=path, mend="Use an OpenROAD of 2025 or later.")
    return str(tool.path.resolve()), tool.version


def run_loop(
    plan: LoopPlan,
    out: Path,
    *,
    jobs: int = 1,
    retry: bool = False,
    on_end: Callable[[int, str], None] = lambda done, name: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Looped:
    """Run what is not yet done; the figures are in `out`/loop.json too.

    Args:
        plan: the cases, arms and tools.
        out: the folder to write, or to go on with.
        jobs: how many cases to run at a time.
        retry: run arms again that failed.
        on_end: told of each arm that ended: how many of all have, and which.
        should_stop: asked between processes; those under way are given up then, and run again another time.

    Raises:
        InputError: an `out` of something else, or another loop at work in it.
    """
    is_ours = (out / RESULTS).is_file() and read_json_object(out / RESULTS).get("schema") == SCHEMA
    with open_output(out, is_ours=is_ours, holds="closed loop", command="gsr loop"):
        run = _Run(plan, out, retry)
        run.write_results()
        for start in range(0, len(plan.cases), jobs):
            run.run_cases(plan.cases[start : start + jobs], jobs, on_end, should_stop)
            run.write_results()
    return run.looped


class _Run:
    """One run over the arms of all cases."""

    def __init__(self, plan: LoopPlan, out: Path, retry: bool) -> None:
        self.plan, self.out, self.retry = plan, out.resolve(), retry
        self.jobs = JobFolders(self.out, schema=JOB_SCHEMA, memory_mb=plan.memory_mb, time_s=self._arm_s())
        self.jobs.clean()
        self.looped = Looped(out, {case.name: {} for case in plan.cases})
        self.hashes: dict[str, str] = {}
        self.folders: dict[tuple[str, str], Path] = {}
        self.retried: set[tuple[str, str]] = set()
        for case in plan.cases:
            for arm in plan.arms:
                self.looped.states[case.name][arm] = self._state(case, arm)

    def _arm_s(self) -> float:
        """The limit of an arm, from that of its processes: a placement, a prediction and a judge for each round."""
        return 3 * (self.plan.rounds + 2) * self.plan.step_s

    def _state(self, case: Case, arm: str) -> dict[str, Any]:
        """What is known of an arm now."""
        base = self.looped.states[case.name].get(BASE)
        if arm != BASE:
            assert base is not None
            if base["status"] == DONE and base["judged"]["overflow"] < self.plan.min_overflow:
                return {"status": SKIPPED, "reason": ""}
            if base["status"] != DONE:
                failed = base["status"] == FAIL
                return {"status": SKIPPED, "reason": "arm a failed"} if failed else {"status": PENDING}
            if arm in PREDICTING and not self.plan.predict.get(case.name):
                return {"status": SKIPPED, "reason": "no weights that have not seen its family"}
            if arm == SWEEP and self.looped.states[case.name][OURS]["status"] != DONE:
                stuck = self.looped.states[case.name][OURS]["status"] in (FAIL, SKIPPED)
                return {"status": SKIPPED, "reason": "arm c is not there"} if stuck else {"status": PENDING}
        sha256 = self._sha256(case, arm)
        record = self.jobs.record(f"{case.name}/{arm}", sha256)
        if record is None or (self.retry and record["status"] == FAIL and (case.name, arm) not in self.retried):
            return {"status": PENDING, "sha256": sha256}
        return record

    def _sha256(self, case: Case, arm: str) -> str:
        plan, states = self.plan, self.looped.states[case.name]
        words: list[Any] = [case.identity(self.hashes), arm, plan.version]
        if arm != BASE:
            words.append(states[BASE]["sha256"])
        if arm in _IN_ROUNDS:
            words += [own_version(), plan.rounds]
        if arm in _PLANNED:
            words.append(plan.config.model_dump())
        if arm in PREDICTING:
            words.append(plan.weights.get(case.name, {}).get("sha256", ""))
        if arm == SWEEP:
            words.append(len(states[OURS]["rounds"]))
        return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()

    def run_cases(
        self,
        cases: Sequence[Case],
        width: int,
        on_end: Callable[[int, str], None],
        should_stop: Callable[[], bool],
    ) -> None:
        """Run what is due of some cases: arm a, then all that need it, then what needs those."""
        for _ in range(3):
            for end in run_pool(self._due(cases), width=width, should_stop=should_stop):
                case, arm = end.what
                self._finish(case, arm, end)
                ended = sum(s["status"] in (DONE, FAIL) for arms in self.looped.states.values() for s in arms.values())
                on_end(ended, f"{case.name} {arm}")
            for case in cases:
                for arm in self.plan.arms:
                    self.looped.states[case.name][arm] = self._state(case, arm)

    def _due(self, cases: Sequence[Case]) -> Iterator[Start[tuple[Case, str]]]:
        for case in cases:
            for arm in self.plan.arms:
                state = self.looped.states[case.name][arm]
                if state["status"] == PENDING and "sha256" in state:
                    yield self._start(case, arm, state["sha256"])

    def _start(self, case: Case, arm: str, sha256: str) -> Start[tuple[Case, str]]:
        plan = self.plan
        ours = self.looped.states[case.name].get(OURS, {})
        task = {
            "case": asdict(case),
            "arm": arm,
            "openroad": plan.binary,
            "predict": list(plan.predict.get(case.name, ())),
            "config": plan.config.model_dump(),
            "rounds": plan.rounds,
            "step_s": plan.step_s,
            "base": "" if arm == BASE else str(self.out / case.name / BASE),
            "num_placements": len(ours["rounds"]) if arm == SWEEP else 0,
        }
        folder = self.folders[case.name, arm] = self.jobs.begin(sha256, task)
        command = [sys.executable, "-m", "flow_hooks.loop.job", str(folder / TASK_FILE), str(folder)]
        return Start((case, arm), command, folder / LOG_FILE, self._arm_s())

    def _finish(self, case: Case, arm: str, end: End[tuple[Case, str]]) -> None:
        state = self.looped.states[case.name][arm]
        said: dict[str, Any] = {"sha256": state["sha256"], "case": asdict(case)}
        if arm in PREDICTING:
            said["weights"] = self.plan.weights.get(case.name, {})
        name = f"{case.name}/{arm}"
        self.retried.add((case.name, arm))
        self.looped.states[case.name][arm] = self.jobs.finish(self.folders.pop((case.name, arm)), name, end, said)
        self.looped.num_new += 1

    def write_results(self) -> None:
        """`loop.json`."""
        plan = self.plan
        self.looped.results = {
            "schema": SCHEMA,
            "schema_version": 1,
            "versions": {"gsr-plugin": own_version(), "openroad": plan.version},
            "arms": {arm: ARMS[arm] for arm in plan.arms},
            "settings": {
                "rounds": plan.rounds, "min_overflow": plan.min_overflow, "planner": plan.config.model_dump(),
                "step_s": plan.step_s, "memory_mb": plan.memory_mb,
            },
            **results_of(plan.cases, self.looped.states, plan.min_overflow),
        }  # fmt: skip
        write_whole(self.out / RESULTS, to_json(self.looped.results))


def sha256_of_weights(path: Path) -> str:
    """Hash of the weights in a run folder, or of a file of weights."""
    return sha256_of_file(path / "weights.safetensors" if path.is_dir() else path)
