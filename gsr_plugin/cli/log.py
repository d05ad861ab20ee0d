"""Remarks and warnings of all modules, on stderr."""

import logging
import sys
from typing import TextIO


class _LogToStderr(logging.StreamHandler[TextIO]):
    """Writes to what sys.stderr is at the time: above a status line while there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def log_to_stderr(*, quiet: bool) -> None:
    """Show warnings, and remarks unless `quiet`."""
    logging.basicConfig(
        format="%(levelname)s: %(message)s",
        level=logging.WARNING if quiet else logging.INFO,
        handlers=[_LogToStderr()],
    )
