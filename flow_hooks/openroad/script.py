"""A Tcl script of ours in the user's OpenROAD: its job as TSV, limits, and what OpenROAD said when it failed."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from circuit_io.errors import ToolError
from circuit_io.text import is_gzip, read_bytes
from flow_hooks.jobs.process import end_with_parent
from flow_hooks.openroad.binary import FLAGS
from flow_hooks.tsv import encode, number

_ERROR = re.compile(r"^\[ERROR [A-Z]{2,4}-\d{4}\].*$", re.MULTILINE)


def job_tsv(rows: Mapping[str, Sequence[str]]) -> str:
    """The TSV that gsr_job.tcl reads: a key, a tab, and percent-encoded words with blanks between."""
    return "".join(f"{key}\t{' '.join(encode(word) for word in words)}\n" for key, words in rows.items())


def layer_rows(signal_layers: Sequence[str], adjustment: Mapping[str, float]) -> dict[str, list[str]]:
    """The rows of a job that say which layers are used and what is taken from them; "*" stands for every layer."""
    low, high = signal_layers
    adjustments = [f"{low}-{high}", number(adjustment.get("*", 0.0))]
    for layer in sorted(set(adjustment) - {"*"}):
        adjustments += [layer, number(adjustment[layer])]
    return {"signal_layers": [f"{low}-{high}"], "layer_adjustment": adjustments}


def run_script(
    openroad: str,
    script: Path,
    task: Path,
    *,
    variable: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    time_s: float | None = None,
) -> None:
    """Run a script in the folder of its log, in the process group of the job, so that both end together.

    Args:
        openroad: the binary.
        script: the Tcl file.
        task: its job, see `job_tsv`.
        variable: environment variable that names the task.
        log: where all it says goes.
        env: more of the environment.
        time_s: how long it may take.

    Raises:
        ToolError: it failed; its own errors, or the last lines of its log.
    """
    wanted = {**os.environ, "OMP_WAIT_POLICY": "passive", **(env or {}), variable: str(task)}
    command = [openroad, *FLAGS, str(script)]
    with log.open("wb") as out:
        try:
            child = subprocess.Popen(
                command, env=wanted, cwd=log.parent, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                preexec_fn=end_with_parent,
            )  # fmt: skip
        except OSError as e:
            raise ToolError(f"{openroad}: cannot be run ({e.strerror})") from e
        try:
            code = child.wait(time_s)
        except subprocess.TimeoutExpired as e:
            raise ToolError(f"openroad was ended after {time_s:g} s, its limit ({log.name})") from e
        finally:
            child.kill()
            child.wait()
    if code:
        raise ToolError(f"openroad ended with exit code {code}: {what_it_said(log)}")


def what_it_said(log: Path) -> str:
    """OpenROAD's own errors, else the last lines of its log."""
    text = log.read_text("utf-8", "replace")
    said = _ERROR.findall(text) or [line for line in text.splitlines() if line.strip()][-3:]
    return "\n  ".join(said[-3:]) or "it said nothing"


def plain_copy(path: Path, folder: Path) -> Path:
    """The file, or a plain copy in `folder` where it is packed: openroad reads LEF and DEF plain alone."""
    if not is_gzip(path):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / path.name.removesuffix(".gz")
    copy.write_bytes(read_bytes(path))
    return copy
