"""The errors that users see: what is wrong, where, and how to mend it."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path

MAX_SHOWN = 20  # faults in full
MAX_NAMES = 5  # in one message


class GsrError(Exception):
    """Base of all errors this project raises on purpose; the command line prints it without a trace."""

    exit_code = 2


class InputError(GsrError):
    """Bad input. `str()` gives path:line, the fault and the remedy, ready to print."""

    def __init__(self, what: str, *, path: Path | str = "<memory>", line: int = 0, mend: str = "") -> None:
        self.what, self.path, self.line, self.mend = what, path, line, mend
        place = f"{path}:{line}" if line else f"{path}"
        super().__init__(f"{place}: {what}" + (f"\n  {mend}" if mend else ""))


class ToolError(GsrError):
    """An outside tool failed; exit code 3."""

    exit_code = 3


class Faults:
    """Gathers recoverable faults of one file and raises them together, the first 20 in full, with the true total."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self._shown: list[InputError] = []
        self.total = 0

    @property
    def is_full(self) -> bool:
        """Whether further faults are but counted, so that no remedy has to be looked for."""
        return len(self._shown) == MAX_SHOWN

    def add(self, what: str, *, line: int | Callable[[], int] = 0, mend: str = "") -> None:
        """Note one fault and go on; a function that finds the `line` is called for what will be shown alone."""
        self.total += 1
        if not self.is_full:
            at = line() if callable(line) else line
            self._shown.append(InputError(what, path=self.path, line=at, mend=mend))

    def raise_if_any(self) -> None:
        """Raise the only fault as it is, or all of them in one `InputError`."""
        if not self.total:
            return
        if self.total == 1:
            raise self._shown[0]
        more = self.total - len(self._shown)
        text = "".join(f"\n{fault}" for fault in self._shown) + (f"\nand {more} more" if more else "")
        raise InputError(f"{self.total} faults{text}", path=self.path)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A remedy line that lists the names nearest to `name`, or the first known ones."""
    choices = list(known)
    near = get_close_matches(name, choices, n=3)
    if near:
        return "Did you mean " + " or ".join(f'"{n}"' for n in near) + "?"
    return f"Known: {listed(choices[:10], len(choices))}" if choices else ""


def listed(texts: Iterable[str], total: int) -> str:
    """Some of `total` texts, with commas between and ", ..." where there are more."""
    shown = list(texts)
    return ", ".join(shown) + (", ..." if total > len(shown) else "")
