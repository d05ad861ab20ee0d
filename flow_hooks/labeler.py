"""Batch labelling: the jobs of a batch file, each in a folder that is whole or absent, so that a batch can go on.

Below the output: `technology/design/variant/` of each job that is done, `failed/...` of each that failed, and
`manifest.json`. What is done is told by these folders alone: a job counts as done when its folder names its hash.
"""

import fcntl
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuit_io.atomic import write_whole
from circuit_io.errors import InputError
from circuit_io.manifest import MANIFEST, read_json_object, to_json
from circuit_io.text import sha256_of_file
from flow_hooks.batch import Batch, read_batch
from flow_hooks.job_pool import End, Start, run_pool
from flow_hooks.label_jobs import EMBEDDED, OPENROAD, Job, jobs_of, own_version
from flow_hooks.openroad import find_openroad, probe_openroad

SCHEMA, JOB_SCHEMA = "gsr-label-batch", "gsr-label-job"
JOB_FILE, LOG_FILE, FAILED, RUNNING = "job.json", "log.txt", "failed", ".running"
DONE, FAIL, SKIPPED, PENDING = "done", "failed", "skipped", "pending"
_SHOWN = 2000  # signs of an error


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
    batch, binary, version = read_batch(path), "", own_version()
    if router == OPENROAD:
        found = find_openroad()
        if found is None:
            raise InputError(
                "there is no openroad", path="GSR_OPENROAD, OPENROAD_EXE and PATH",
                mend="Set GSR_OPENROAD, or take approximate labels by --router embedded.",
            )  # fmt: skip
        tool = probe_openroad(found[0])
        binary, version = str(tool.path.resolve()), tool.version
    jobs = jobs_of(batch, path.resolve().parent, router=router, version=version)
    return Plan(path, batch, jobs, router, binary, version)


def label(
    plan: Plan,
    out: Path,
    *,
    jobs: int = 1,
    only: int | None = None,
    retry: bool = False,
    on_end: Callable[[int, str], None] = lambda done, name: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Labelled:
    """Run what is not yet done of a batch; what became of it is in `out/manifest.json` too.

    Args:
        plan: what `plan_batch` found.
        out: the folder to write, or to go on with.
        jobs: how many to run at a time.
        only: number of the one job to run, as a task of an array does; no manifest is written then.
        retry: run jobs again that failed.
        on_end: told of each job that ended: how many of the batch have, and which.
        should_stop: asked between jobs; those under way are given up then, and run again another time.

    Raises:
        InputError: an `out` of something else, another batch at work in it, or no such job.
    """
    if only is not None and not 0 <= only < len(plan.jobs):
        raise InputError(f"there is no job {only}", path=plan.path, mend=f"It has jobs 0 to {len(plan.jobs) - 1}.")
    _check_out(out)
    with _locked(out, shared=only is not None):
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
        for new, end in enumerate(
            run_pool((run.start(plan.jobs[i], i) for i in due), width=jobs, should_stop=should_stop), start=1
        ):
            states[end.what] = run.finish(plan.jobs[end.what], end)
            on_end(len(states) - len(due) + new, plan.jobs[end.what].name)
        if only is None:
            run.write_manifest(states)
    mine = states if only is None else [states[only]]
    ended = sum(states[i]["status"] != PENDING for i in due)
    return Labelled(out, mine, ended, renewed, run.strangers(states) if only is None else [])


def _check_out(out: Path) -> None:
    """Refuse a folder that holds something else."""
    if out.exists() and not out.is_dir():
        raise InputError("exists and is no folder", path=out, mend="Choose another --out.")
    if out.is_dir() and any(out.iterdir()) and not (out / RUNNING).is_dir() and not _is_batch(out):
        raise InputError("holds no batch of labels", path=out, mend="Choose another --out.")
    (out / RUNNING).mkdir(parents=True, exist_ok=True)


def _is_batch(out: Path) -> bool:
    return (out / MANIFEST).is_file() and read_json_object(out / MANIFEST).get("schema") == SCHEMA


@contextmanager
def _locked(out: Path, *, shared: bool) -> Iterator[None]:
    """Alone at work in `out`, or one of the tasks of an array; the lock goes with the process, however that ends."""
    with (out / RUNNING / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as e:
            mend = "Wait for it, or choose another --out."
            raise InputError("another gsr label is at work here", path=out, mend=mend) from e
        yield


class _Run:
    """One run over the jobs of a batch."""

    def __init__(self, out: Path, plan: Plan) -> None:
        self._out, self._plan, self._limits = out, plan, plan.batch.limits
        self._folders: dict[str, Path] = {}

    def state(self, job: Job) -> dict[str, Any]:
        """What is known of a job before it runs."""
        said: dict[str, Any] = {"name": job.name, "sha256": job.sha256}
        if job.skip:
            return said | {"status": SKIPPED, "reason": job.skip}
        if job.fault:
            return said | {"status": FAIL, "reason": job.fault}
        for folder in (self._out / job.name, self._out / FAILED / job.name):
            record = _record(folder)
            if record is not None and record["sha256"] == job.sha256:
                return record
        return said | {"status": PENDING}

    def is_stale(self, job: Job) -> bool:
        """Whether a folder of the job's name is there, made from other inputs."""
        return (self._out / job.name).exists()

    def clean(self) -> None:
        """Remove what killed runs left half done."""
        for left in (self._out / RUNNING).iterdir():
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)  # a job of theirs may be just ending

    def strangers(self, states: list[dict[str, Any]]) -> list[str]:
        """Folders of earlier jobs that this batch has not done; training would take them for its own."""
        done = {state["name"] for state in states if state["status"] == DONE}
        names = [p.parent.relative_to(self._out).as_posix() for p in self._out.glob(f"*/*/*/{JOB_FILE}")]
        return sorted(set(names) - done)

    def start(self, job: Job, number: int) -> Start[int]:
        """A process for a job, in a folder that has no lasting name yet."""
        folder = Path(tempfile.mkdtemp(prefix=f"{job.sha256[:16]}.", dir=self._out / RUNNING))
        folder.chmod(0o755)
        self._folders[job.name] = folder
        task = {"name": job.name, "settings": job.settings, "inputs": job.inputs, "openroad": self._plan.binary}
        limits = {"memory_mb": self._limits.memory_mb, "time_s": self._limits.time_s}
        (folder / "task.json").write_bytes(to_json(task | limits))
        command = [sys.executable, "-m", "flow_hooks.label_job", str(folder / "task.json"), str(folder)]
        return Start(number, command, folder / LOG_FILE, self._limits.time_s)

    def finish(self, job: Job, end: End[int]) -> dict[str, Any]:
        """Give the folder of an ended job its name; its record."""
        folder = self._folders.pop(job.name)
        said: dict[str, Any] = {"name": job.name, "sha256": job.sha256, "ended": _now()}
        if end.code == 0 and (folder / "result.json").is_file():
            files = sorted(p for p in folder.glob("*/*") if p.is_file())
            hashes = {p.relative_to(folder).as_posix(): sha256_of_file(p) for p in files}
            said |= read_json_object(folder / "result.json") | {"status": DONE, "files": hashes}
            target = self._out / job.name
        else:
            said |= {"status": FAIL, "reason": self._reason(folder, end), "seconds": round(end.seconds, 3)}
            target = self._out / FAILED / job.name
        record = said | {"schema": JOB_SCHEMA, "schema_version": 1, "settings": job.settings, "inputs": job.inputs}
        write_whole(folder / JOB_FILE, to_json(record))
        for name in ("task.json", "result.json", "error.txt"):
            (folder / name).unlink(missing_ok=True)
        if said["status"] == FAIL:
            shutil.rmtree(folder / "design", ignore_errors=True)  # no half design for training to find
        for old in (self._out / job.name, self._out / FAILED / job.name):
            if old.exists():
                old.rename(self._out / RUNNING / f"{folder.name}.{old.parts[-4] == FAILED}.old")
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
        for old in (self._out / RUNNING).glob(f"{folder.name}.*.old"):
            shutil.rmtree(old)
        return record

    def _reason(self, folder: Path, end: End[int]) -> str:
        if end.is_late:
            return f"was ended after {self._limits.time_s:g} s, its limit"
        if (folder / "error.txt").is_file():
            return (folder / "error.txt").read_text("utf-8", "replace")[:_SHOWN]
        log = (folder / LOG_FILE).read_text("utf-8", "replace")
        last = " ".join([line.strip() for line in log.splitlines() if line.strip()][-1:])[:_SHOWN]
        how = f"ended by signal {-end.code}" if end.code < 0 else f"exit code {end.code}"
        return f"{how} (its memory is limited to {self._limits.memory_mb} MB){': ' if last else ''}{last}"

    def write_manifest(self, states: list[dict[str, Any]]) -> None:
        """`manifest.json` of the batch."""
        plan = self._plan
        counts = {s: sum(j["status"] == s for j in states) for s in (DONE, FAIL, SKIPPED, PENDING)}
        manifest = {
            "schema": SCHEMA,
            "schema_version": 1,
            "batch": {"name": plan.path.name, "sha256": sha256_of_file(plan.path)},
            "router": plan.router,
            "is_approximate": plan.router == EMBEDDED,
            "versions": {"gsr-plugin": own_version(), "router": plan.version},
            "limits": self._limits.model_dump(),
            "counts": counts,
            "jobs": [{k: v for k, v in state.items() if k not in ("schema", "schema_version")} for state in states],
        }
        write_whole(self._out / MANIFEST, to_json(manifest))


def _record(folder: Path) -> dict[str, Any] | None:
    """The record of a job's folder, if that is whole."""
    try:
        record = read_json_object(folder / JOB_FILE)
    except InputError:
        return None
    if record.get("schema") != JOB_SCHEMA or not isinstance(record.get("sha256"), str) or "status" not in record:
        return None
    if any(not (folder / name).is_file() for name in record.get("files", {})):
        return None
    return record


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
