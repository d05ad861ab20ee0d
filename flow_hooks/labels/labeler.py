"""Batch labelling: the jobs of a batch file, each in a folder that is whole or absent, so that a batch can go on.

Below the output: `technology/design/variant/` of each job that is done, `failed/...` of each that failed, and
`manifest.json`. What is done is told by these folders alone: a job counts as done when its folder names its hash.
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuit_io.atomic import write_whole
from circuit_io.errors import InputError
from circuit_io.manifest import MANIFEST, read_json_object, to_json
from circuit_io.text import sha256_of_file
from flow_hooks.jobs.folders import (
    DONE,
    FAIL,
    JOB_FILE,
    LOG_FILE,
    PENDING,
    RUNNING,
    SKIPPED,
    TASK_FILE,
    JobFolders,
    open_output,
)
from flow_hooks.jobs.pool import End, Start, run_pool
from flow_hooks.jobs.process import RESULT
from flow_hooks.labels.batch import Batch, read_batch
from flow_hooks.labels.batch_jobs import OPENROAD, Job, jobs_of
from flow_hooks.labels.finished_runs import ODB
from flow_hooks.openroad.binary import find_openroad, probe_openroad
from flow_hooks.version import own_version

SCHEMA, JOB_SCHEMA = "gsr-label-batch", "gsr-label-job"


@dataclass(frozen=True)
class Labelled:
    """What became of a batch: the state of every job in order, and how many were done by this run."""

    out: Path
    jobs: list[dict[str, Any]]
    num_new: int
    num_renewed: int
    strangers: list[str]

    def count(self, status: str) -> int:
        """How many jobs are in a state."""
        return sum(job["status"] == status for job in self.jobs)

    def text(self) -> str:
        """The errors and skips, and a line of counts."""
        lines = [f"{j['name']}: {j['status']}: {j['reason']}" for j in self.jobs if j["status"] in (FAIL, SKIPPED)]
        renewed = f" ({self.num_renewed} of them anew: their inputs changed)" if self.num_renewed else ""
        counts = [f"{self.count(s)} {s}" for s in (DONE, FAIL, SKIPPED, PENDING) if self.count(s) or s == DONE]
        lines.append(f"{self.out}: {len(self.jobs)} jobs: {', '.join(counts)}; {self.num_new} by this run{renewed}")
        if self.strangers:
            more = ", ..." if len(self.strangers) > 3 else ""
            shown = ", ".join(self.strangers[:3])
            lines.append(f"{len(self.strangers)} folders there are of no job that this batch has done: {shown}{more}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Plan:
    """What is to be done: the jobs of a batch file, and the router that does them."""

    path: Path
    batch: Batch
    jobs: list[Job]
    router: str
    binary: str
    version: str


def plan_batch(path: Path, *, router: str = OPENROAD) -> Plan:
    """The jobs of a batch file.

    Args:
        path: the batch, see docs/labels.md.
        router: `openroad` or `embedded`.

    Raises:
        InputError: a bad batch file, or there is no openroad.
        ToolError: openroad does not run.
    """
    batch, binary, version, lacking = read_batch(path), "", own_version(), list[str]()
    if (router == OPENROAD and batch.design) or any(runs.read == ODB for runs in batch.runs):
        found = find_openroad()
        if found is None:
            raise InputError(
                "there is no openroad", path="GSR_OPENROAD, OPENROAD_EXE and PATH",
                mend='Set GSR_OPENROAD, or take approximate labels: --router embedded, or read = "guides" in [[runs]].',
            )  # fmt: skip
        tool = probe_openroad(found[0])
        binary, version = str(tool.path.resolve()), tool.version
        lacking = [name for name, is_there in tool.has.items() if not is_there]
    jobs = jobs_of(batch, path.resolve().parent, router=router, version=version, lacking=lacking)
    return Plan(path, batch, jobs, router, binary, version)


def label(
    plan: Plan,
    out: Path,
    *,
    jobs: int | None = None,
    only: int | None = None,
    retry: bool = False,
    ray: str = "",
    on_end: Callable[[int, str], None] = lambda done, name: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Labelled:
    """Run what is not yet done of a batch; what became of it is in `out/manifest.json` too.

    Args:
        plan: what `plan_batch` found.
        out: the folder to write, or to go on with.
        jobs: how many to run at a time; by default one, on a cluster as many as it has room for.
        only: number of the one job to run, as a task of an array does; no manifest is written then.
        retry: run jobs again that failed.
        ray: address of the Ray cluster that runs them; empty for this machine.
        on_end: told of each job that ended: how many of the batch have, and which.
        should_stop: asked between jobs; those under way are given up then, and run again another time.

    Raises:
        InputError: an `out` of something else, another batch at work in it, no such job, or no cluster that can.
    """
    if only is not None and not 0 <= only < len(plan.jobs):
        raise InputError(f"there is no job {only}", path=plan.path, mend=f"It has jobs 0 to {len(plan.jobs) - 1}.")
    with open_output(
        out, is_ours=_is_batch(out), holds="batch of labels", command="gsr label", shared=only is not None
    ):
        run = _Run(out, plan)
        states = [run.state(job) for job in plan.jobs]
        if only is None:
            run.clean()
            run.write_manifest(states)
        wanted = {PENDING, FAIL} if retry else {PENDING}
        due = [
            i
            for i, (job, state) in enumerate(zip(plan.jobs, states, strict=True))
            if state["status"] in wanted and not job.fault and only in (None, i)
        ]
        renewed = sum(run.is_stale(plan.jobs[i]) for i in due)
        ends = run.on_cluster(due, ray, jobs, should_stop) if ray else run.on_this_machine(due, jobs, should_stop)
        for new, end in enumerate(ends, start=1):
            states[end.what] = run.finish(plan.jobs[end.what], end)
            on_end(len(states) - len(due) + new, plan.jobs[end.what].name)
        if only is None:
            run.write_manifest(states)
    mine = states if only is None else [states[only]]
    ended = sum(states[i]["status"] != PENDING for i in due)
    return Labelled(out, mine, ended, renewed, run.strangers(states) if only is None else [])


def _is_batch(out: Path) -> bool:
    return (out / MANIFEST).is_file() and read_json_object(out / MANIFEST).get("schema") == SCHEMA


class _Run:
    """One run over the jobs of a batch."""

    def __init__(self, out: Path, plan: Plan) -> None:
        self._out, self._plan, self._limits = out, plan, plan.batch.limits
        self._jobs = JobFolders(out, schema=JOB_SCHEMA, memory_mb=self._limits.memory_mb, time_s=self._limits.time_s)
        self._folders: dict[str, Path] = {}
        self.clean = self._jobs.clean

    def state(self, job: Job) -> dict[str, Any]:
        """What is known of a job before it runs."""
        said: dict[str, Any] = {"name": job.name, "sha256": job.sha256}
        if job.skip:
            return said | {"status": SKIPPED, "reason": job.skip}
        if job.fault:
            return said | {"status": FAIL, "reason": job.fault}
        return self._jobs.record(job.name, job.sha256) or said | {"status": PENDING}

    def is_stale(self, job: Job) -> bool:
        """Whether a folder of the job's name is there, made from other inputs."""
        return (self._out / job.name).exists()

    def strangers(self, states: list[dict[str, Any]]) -> list[str]:
        """Folders of earlier jobs that this batch has not done; training would take them for its own."""
        done = {state["name"] for state in states if state["status"] == DONE}
        names = [p.parent.relative_to(self._out).as_posix() for p in self._out.glob(f"*/*/*/{JOB_FILE}")]
        return sorted(set(names) - done)

    def on_this_machine(
        self, due: Sequence[int], width: int | None, should_stop: Callable[[], bool]
    ) -> Iterator[End[int]]:
        """The ends of the jobs with these numbers, as they come."""
        return run_pool((self.start(i) for i in due), width=width or 1, should_stop=should_stop)

    def on_cluster(
        self, due: Sequence[int], address: str, width: int | None, should_stop: Callable[[], bool]
    ) -> Iterator[End[int]]:
        """The same from the machines of a Ray cluster."""
        from flow_hooks.labels.ray_pool import check_machines, connected, run_cluster, token_in

        plan, memory = self._plan, self._limits.memory_mb << 20
        files = [one["path"] for i in due for one in plan.jobs[i].inputs]
        needs = token_in(self._out.resolve() / RUNNING, files, binary=plan.binary, binary_version=plan.version)
        try:
            with connected(address):
                room = check_machines(needs, memory_bytes=memory)
                yield from run_cluster(
                    (self.start(i) for i in due), again=self.start, needs=needs, memory_bytes=memory,
                    width=width or room, should_stop=should_stop,
                )  # fmt: skip
        finally:
            needs.token.unlink(missing_ok=True)

    def start(self, number: int) -> Start[int]:
        """A process for a job, in a folder that has no lasting name yet."""
        job = self._plan.jobs[number]
        if job.name in self._folders:  # left behind by a machine that died
            shutil.rmtree(self._folders[job.name], ignore_errors=True)
        task = {"name": job.name, "settings": job.settings, "inputs": job.inputs, "openroad": self._plan.binary}
        folder = self._folders[job.name] = self._jobs.begin(job.sha256, task).resolve()
        command = [sys.executable, "-m", "flow_hooks.labels.job", str(folder / TASK_FILE), str(folder)]
        return Start(number, command, folder / LOG_FILE, self._limits.time_s, proof=folder / RESULT)

    def finish(self, job: Job, end: End[int]) -> dict[str, Any]:
        """Give the folder of an ended job its name; its record."""
        said = {"sha256": job.sha256, "settings": job.settings, "inputs": job.inputs}
        return self._jobs.finish(self._folders.pop(job.name), job.name, end, said)

    def write_manifest(self, states: list[dict[str, Any]]) -> None:
        """`manifest.json` of the batch."""
        plan = self._plan
        counts = {s: sum(j["status"] == s for j in states) for s in (DONE, FAIL, SKIPPED, PENDING)}
        manifest = {
            "schema": SCHEMA,
            "schema_version": 1,
            "batch": {"name": plan.path.name, "sha256": sha256_of_file(plan.path)},
            "router": plan.router,
            "is_approximate": any(job.settings["router"]["is_approximate"] for job in plan.jobs),
            "versions": {"gsr-plugin": own_version(), "router": plan.version},
            "limits": self._limits.model_dump(),
            "counts": counts,
            "jobs": [{k: v for k, v in state.items() if k not in ("schema", "schema_version")} for state in states],
        }
        write_whole(self._out / MANIFEST, to_json(manifest))
