"""Python's cycle collector, held back while a reader makes millions of small tuples that form no cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """No cycle collection inside: measured 15 to 40 % of the time of reading a DEF with 0.8 M connections."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
