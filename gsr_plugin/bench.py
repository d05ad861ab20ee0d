"""Runs the measurements in `bench/` of a checkout: what `gsr bench` does."""

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from circuit_io.errors import InputError

HOME = Path(__file__).resolve().parent.parent / "bench"
TOOLS = ("card", "corpus", "power", "replica")  # they make what others measure or ship


def benches() -> dict[str, str]:
    """The modules in `bench/` that have a `main`, tools last, with the first line of each; none without a checkout."""
    found = {}
    for path in sorted(HOME.glob("*.py"), key=lambda p: (p.stem in TOOLS, p.stem)):
        text = path.read_text(encoding="utf-8")
        if "\ndef main(" in text:
            found[path.stem] = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return found


def run_bench(name: str, arguments: Sequence[str] = ()) -> int:
    """Run one measurement, which prints its table and saves its numbers; returns its exit code.

    Raises:
        InputError: there is none of this name, or no checkout.
    """
    names = list(benches())
    if name not in names:
        no_checkout = "Run it in a checkout of the repository: packages do not hold bench/."
        mend = f"Known: {', '.join(names)}." if names else no_checkout
        raise InputError(f'no measurement "{name}"', path=HOME, mend=mend)
    if str(HOME.parent) not in sys.path:
        sys.path.insert(0, str(HOME.parent))
    return int(importlib.import_module(f"bench.{name}").main(list(arguments)) or 0)
