"""Runs the measurements in `bench/` of a checkout: what `gsr bench` does."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from circuit_io.errors import InputError, did_you_mean

HOME = Path(__file__).resolve().parent.parent / "bench"


def bench_names() -> list[str]:
    """What can be measured: the modules in `bench/` that have a `main`; none where there is no checkout."""
    return sorted(p.stem for p in HOME.glob("*.py") if "\ndef main(" in p.read_text(encoding="utf-8"))


def run_bench(name: str, arguments: Sequence[str] = ()) -> int:
    """Run one measurement, which prints its table and saves its numbers; returns its exit code.

    Raises:
        InputError: there is none of this name, or no checkout.
    """
    names = bench_names()
    if name not in names:
        mend = did_you_mean(name, names) or "Run it in a checkout of the repository: packages do not hold bench/."
        raise InputError(f'no measurement "{name}"', path=HOME, mend=mend)
    if str(HOME.parent) not in sys.path:
        sys.path.insert(0, str(HOME.parent))
    return int(importlib.import_module(f"bench.{name}").main(list(arguments)) or 0)
