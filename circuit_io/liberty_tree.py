"""What the scanners make of Liberty text: groups and tables, and the source that knows their lines and comments."""

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from circuit_io.errors import Faults

ERRORS = "surrogateescape"  # bytes that are not UTF-8 survive
MAX_STEPS = 1 << 21  # pins of buses (8 each), their attributes and arcs, on top of twice the bytes of the file

STRING = r'"(?:[^"\\]++|\\.)*+"'
_QUIET_RUN = re.compile(rf'(?:[^"/]++|{STRING}|/(?![/*]))*+', re.DOTALL).match
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL).match
_NOT_NEWLINE = re.compile(r"[^\n]+")
_CONTINUED = re.compile(r"\\(?=[ \t]*\r?\n)")

Indices = tuple[tuple[str, ...], ...]


class TableText(NamedTuple):
    """A table as the file has it: the texts of its own index_1 to index_3, and its values, read already or not."""

    name: str
    at: int
    args: list[str]
    indices: Indices
    values: "list[str] | np.ndarray"

    @property
    def title(self) -> str:
        """The group as the file writes it."""
        return f"{self.name} ({', '.join(self.args)})"


class Group:
    """One Liberty group: its arguments, simple and complex attributes (the last of a name wins) and sub-groups."""

    __slots__ = ("args", "at", "attributes", "complex", "end", "groups", "name")

    def __init__(self, name: str, args: list[str], at: int) -> None:
        """Start empty, at a position of the text."""
        self.name, self.args, self.at, self.end = name, args, at, at
        self.attributes: dict[str, str] = {}
        self.complex: dict[str, list[str]] = {}
        self.groups: list[Group | TableText] = []  # tables are found among the groups of `timing` alone

    @property
    def title(self) -> str:
        """The group as the file writes it."""
        return f"{self.name} ({', '.join(self.args)})"

    def of(self, *names: str) -> "list[Group]":
        """Its sub-groups of these kinds."""
        return [g for g in self.groups if g.name in names and isinstance(g, Group)]

    def table(self) -> TableText:
        """The group as a table."""
        indices = tuple(tuple(self.complex.get(index, ())) for index in ("index_1", "index_2", "index_3"))
        return TableText(self.name, self.at, self.args, indices, self.complex.get("values", []))


def _content(group: Group | TableText) -> object:
    if isinstance(group, TableText):
        return group
    return [group.name, group.args, group.attributes, group.complex, [_content(g) for g in group.groups]]


def blank_comments(text: str) -> str:
    """The text of the same length with comments and line continuations blanked; newlines stay."""
    if "\\" in text:
        text = _CONTINUED.sub(" ", text)
    if "/*" not in text and "//" not in text:
        return text
    pieces, at = [], 0
    while True:
        run = _QUIET_RUN(text, at)
        comment = _COMMENT(text, run.end()) if run else None
        if run is None or comment is None:  # the end, or a comment or string that never closes: the scanner reports it
            pieces.append(text[at:])
            return "".join(pieces)
        pieces.append(text[at : run.end()])
        pieces.append(_NOT_NEWLINE.sub(lambda m: " " * len(m[0]), comment[0]))
        at = comment.end()


class Source:
    """Where a tree came from: the text of one file, or "" where positions are not known, and its faults."""

    def __init__(self, text: str | bytes, faults: Faults, size: int) -> None:
        """Take the text in the unit of the positions: comments blanked in a `str`, as in the file in `bytes`.

        `size` is that of the file, in bytes.
        """
        self.text, self.faults = text, faults
        self.steps_left = MAX_STEPS + 2 * size
        self._plain = ""

    def fault(self, what: str, at: int, mend: str) -> None:
        """Note a fault at a position."""
        shown = what if len(what) <= 200 else f"{what[:120]} ... {what[-60:]}"
        self.faults.add(shown, line=lambda: self._line(at), mend=mend)

    def _line(self, at: int) -> int:
        before = self.text.count("\n", 0, at) if isinstance(self.text, str) else self.text.count(b"\n", 0, at)
        return before + 1 if self.text else 0

    def spend(self, steps: int, at: int) -> None:
        """Stop what grows out of all proportion to the file: buses of buses, all bits to all bits.

        Raises:
            InputError: too much of it.
        """
        self.steps_left -= steps
        if self.steps_left < 0:
            self.fault("its buses expand to millions of pins and arcs", at, "Check the ranges of the buses here.")
            self.faults.raise_if_any()

    def content(self, group: Group) -> Callable[[], object]:
        """What a group says, to be asked only to tell a repeat from a clash; the group itself is not kept."""
        if not self.text:
            content = _content(group)
            return lambda: content
        return partial(self._between, group.at, group.end)

    def _between(self, at: int, end: int) -> bytes:
        """The text without comments, every run of blanks as one."""
        if isinstance(self.text, str):
            raw = self.text[at:end].encode("utf-8", ERRORS)
        else:
            # as latin-1 a letter is a byte, as positions are
            self._plain = self._plain or blank_comments(self.text.decode("latin-1"))
            raw = self._plain[at:end].encode("latin-1")
        return b" ".join(raw.split())
