"""Folders of jobs below an output: each whole or absent, so that what was killed can go on.

`NAME/` of each job that is done, `failed/NAME/` of each that failed, `.running/` of those under way. What is done is
told by these folders alone: a job counts as done when its folder names its hash.
"""

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from circuit_io.atomic import write_whole
from circuit_io.errors import InputError
from circuit_io.manifest import read_json_object, to_json
from circuit_io.text import sha256_of_file
from flow_hooks.jobs.pool import End
from flow_hooks.jobs.process import ERROR, RESULT

JOB_FILE, LOG_FILE, TASK_FILE, FAILED, RUNNING = "job.json", "log.txt", "task.json", "failed", ".running"
DONE, FAIL, SKIPPED, PENDING = "done", "failed", "skipped", "pending"
_SHOWN = 2000  # signs of an error
_CHOOSE = "Choose another --out."


@contextmanager
def open_output(out: Path, *, is_ours: bool, holds: str, command: str, shared: bool = False) -> Iterator[None]:
    """Alone at work in `out`, or one of several that may be; the lock goes with the process, however that ends.

    Args:
        out: the folder to write, or to go on with.
        is_ours: whether its manifest says so.
        holds: what it must hold, for the message.
        command: who works here, for the message.
        shared: others that say so too may work here as well.

    Raises:
        InputError: an `out` of something else, or another at work in it.
    """
    if out.exists() and not out.is_dir():
        raise InputError("exists and is no folder", path=out, mend=_CHOOSE)
    if out.is_dir() and any(out.iterdir()) and not (out / RUNNING).is_dir() and not is_ours:
        raise InputError(f"holds no {holds}", path=out, mend=_CHOOSE)
    (out / RUNNING).mkdir(parents=True, exist_ok=True)
    with (out / RUNNING / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as e:
            mend = "Wait for it, or choose another --out."
            raise InputError(f"another {command} is at work here", path=out, mend=mend) from e
        yield


class JobFolders:
    """The folders of the jobs of one output."""

    def __init__(self, out: Path, *, schema: str, memory_mb: int, time_s: float) -> None:
        self._out, self._schema, self._memory_mb, self._time_s = out, schema, memory_mb, time_s

    def record(self, name: str, sha256: str) -> dict[str, Any] | None:
        """What is known of a job that has ended, done or failed, with this hash."""
        for folder in (self._out / name, self._out / FAILED / name):
            record = self._read(folder)
            if record is not None and record["sha256"] == sha256:
                return record
        return None

    def clean(self) -> None:
        """Remove what killed runs left half done."""
        for left in (self._out / RUNNING).iterdir():
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)  # a job of theirs may be just ending

    def begin(self, sha256: str, task: Mapping[str, Any]) -> Path:
        """A folder for a job that has no lasting name yet, with its task in it."""
        folder = Path(tempfile.mkdtemp(prefix=f"{sha256[:16]}.", dir=self._out / RUNNING))
        folder.chmod(0o755)
        limits = {"memory_mb": self._memory_mb, "time_s": self._time_s}
        (folder / TASK_FILE).write_bytes(to_json(dict(task) | limits))
        return folder

    def finish(self, folder: Path, name: str, end: End[Any], said: Mapping[str, Any]) -> dict[str, Any]:
        """Give the folder of an ended job its name; its record, of which `said` is a part.

        Of a failed job no folder `design` is kept: half a design is nothing for training to find.
        """
        said = {"name": name, "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())} | dict(said)
        if end.code == 0 and (folder / RESULT).is_file():
            own = (TASK_FILE, RESULT, LOG_FILE)
            files = sorted(p for p in folder.rglob("*") if p.is_file() and (p.parent != folder or p.name not in own))
            hashes = {p.relative_to(folder).as_posix(): sha256_of_file(p) for p in files}
            said |= read_json_object(folder / RESULT) | {"status": DONE, "files": hashes}
            target = self._out / name
        else:
            said |= {"status": FAIL, "reason": self._reason(folder, end), "seconds": round(end.seconds, 3)}
            shutil.rmtree(folder / "design", ignore_errors=True)
            target = self._out / FAILED / name
        record = said | {"schema": self._schema, "schema_version": 1}
        write_whole(folder / JOB_FILE, to_json(record))
        for left in (TASK_FILE, RESULT, ERROR):
            (folder / left).unlink(missing_ok=True)
        for old in (self._out / name, self._out / FAILED / name):
            if old.exists():
                old.rename(self._out / RUNNING / f"{folder.name}.{FAILED in old.parts[len(self._out.parts) :][:1]}.old")
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
        for old in (self._out / RUNNING).glob(f"{folder.name}.*.old"):
            shutil.rmtree(old)
        return record

    def _reason(self, folder: Path, end: End[Any]) -> str:
        if end.reason:
            return end.reason
        if end.is_late:
            return f"was ended after {self._time_s:g} s, its limit"
        if (folder / ERROR).is_file():
            return (folder / ERROR).read_text("utf-8", "replace")[:_SHOWN]
        log = (folder / LOG_FILE).read_text("utf-8", "replace")
        last = " ".join([line.strip() for line in log.splitlines() if line.strip()][-1:])[:_SHOWN]
        how = f"ended by signal {-end.code}" if end.code < 0 else f"exit code {end.code}"
        return f"{how} (its memory is limited to {self._memory_mb} MB){': ' if last else ''}{last}"

    def _read(self, folder: Path) -> dict[str, Any] | None:
        """The record of a job's folder, if that is whole."""
        try:
            record = read_json_object(folder / JOB_FILE)
        except InputError:
            return None
        if record.get("schema") != self._schema or not isinstance(record.get("sha256"), str) or "status" not in record:
            return None
        if any(not (folder / name).is_file() for name in record.get("files", {})):
            return None
        return record
