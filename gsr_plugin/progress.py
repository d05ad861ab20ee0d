"""Long work: a bar on a terminal, otherwise one line a minute in the log; and a stop between two steps."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_log = logging.getLogger(__name__)

SECONDS_PER_LINE = 60.0


class Progress:
    """Counts up to `total`; shows nothing when `quiet`."""

    def __init__(self, total: int, *, done: int = 0, quiet: bool = False, what: str = "train") -> None:
        self._total, self._done, self._quiet, self._what = total, done, quiet, what
        self._last_line = time.monotonic()
        self._bar: Bar | None = None

    def __enter__(self) -> "Progress":
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=Console(stderr=True))
            self._bar.start()
            self._bar.add_task(self._what, total=self._total, completed=self._done)
        return self

    def update(self, done: int, text: str = "") -> None:
        """`done` of `total` are done; `text` says how it goes."""
        self._done = done
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, description=f"{self._what}  {text}")
        elif not self._quiet and time.monotonic() - self._last_line >= SECONDS_PER_LINE:
            self._last_line = time.monotonic()
            _log.info("%s %d/%d  %s", self._what, done, self._total, text)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """A question whether Ctrl-C (or SIGTERM) came; the step under way is finished first, a second one does not wait."""
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
