"""A Slurm array over the jobs of a batch: one task a job."""

import math
import shlex
import sys
from pathlib import Path

from circuit_io.errors import InputError
from flow_hooks.labels.batch import read_batch
from flow_hooks.labels.batch_jobs import OPENROAD, jobs_of

_SPARE_S, _SPARE_MB = 120, 512  # for Python itself, and so that our own limits end a job first


def array_script(batch_file: Path, out: Path, *, router: str = OPENROAD, retry: bool = False, width: int = 1) -> str:
    """The script for `sbatch`; each task runs `gsr label BATCH --job N`, and what is done is not run again.

    Args:
        batch_file: the batch; it must not change while the array runs, since tasks are numbers of its jobs.
        out: the folder of the batch.
        router: `openroad` or `embedded`.
        retry: run jobs again that failed.
        width: how many tasks at a time.

    Raises:
        InputError: a bad batch file, or no job that can be run.
    """
    batch = read_batch(batch_file)
    jobs = jobs_of(batch, batch_file.resolve().parent, router=router, version="")
    numbers = [i for i, job in enumerate(jobs) if not job.skip and not job.fault]
    if not numbers:
        reason = (jobs[0].skip or jobs[0].fault) if jobs else "it has none"
        raise InputError(f"no job can be run: {reason}", path=batch_file, mend="gsr label BATCH tells of each job.")
    command = [sys.executable, "-m", "gsr_plugin", "label", str(batch_file.resolve()), "--out", str(out.resolve())]
    options = f"--router {router}{' --retry' if retry else ''}"
    minutes = math.ceil((batch.limits.time_s + _SPARE_S) / 60)
    return f"""#!/bin/sh
#SBATCH --job-name=gsr-label
#SBATCH --array={_ranges(numbers)}%{width}
#SBATCH --time={minutes}
#SBATCH --mem={batch.limits.memory_mb + _SPARE_MB}M
#SBATCH --cpus-per-task=1
#SBATCH --output=/dev/null
# {len(numbers)} of {len(jobs)} jobs. Afterwards the same command without --job writes the manifest and counts.
exec {shlex.join(command)} \\
  {options} --job "$SLURM_ARRAY_TASK_ID" --quiet
"""


def _ranges(numbers: list[int]) -> str:
    """`0-3,5,7-9`, from ascending numbers."""
    parts: list[list[int]] = []
    for n in numbers:
        if parts and n == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], n]
        else:
            parts.append([n])
    return ",".join("-".join(str(n) for n in part) for part in parts)
