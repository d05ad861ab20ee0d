"""Progress of long work: a bar on a terminal, otherwise one line a minute in the log."""

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

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

    def __enter__(self) -> Self:
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
