"""How many cores this process may use."""

import os


def num_cores() -> int:
    """Those that it may run on: under taskset or Slurm fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
