"""The text of one DEF or LEF file: strings and comments blanked at equal length, sections, statements, numbers."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from circuit_io import native
from circuit_io.errors import Faults, InputError, did_you_mean
from circuit_io.text import line_of, read_text

MAX_DBU = 2**31 - 1  # OpenDB keeps coordinates in 32 bits, so no flow can write more
PLUS = re.compile(rb"\+(?!\S)(?<!\S\+)")  # literals first: such a search runs at the speed of memchr
POINT = rb"\(\s*+([^\s()]++)\s++([^\s()]++)\s*+\)"
JUNK = rb"|([^\s;][^;]*+;?|;))"  # last group of a statement pattern: whatever the pattern itself does not take
_BARE = re.compile(rb"-(?!\S)(?<!\S-)")
_QUIET = re.compile(rb'"(?<![^\s;]")[^"]*"|#(?<![^\s;]#)[^\n]*')
_STATEMENT = re.compile(rb"\s*+([^\s;]+)")
_COUNT = re.compile(rb"\s++(\d+)\s*+;")
_PIECE = 4096
CUT = "The file may have been cut short: write or copy it again."

Statement = tuple[bytes, ...]
Ints = np.ndarray[Any, np.dtype[np.int64]]


def _blank(match: re.Match[bytes]) -> bytes:
    text = match.group()
    return b" " * len(text) if text[0] == 35 else b'"' + b"_" * (len(text) - 2) + b'"'


def masked_end(text: bytes) -> int:
    """Where masking ends: after the last line with a `"` or a `#`."""
    last = max(text.rfind(b'"'), text.rfind(b"#"))
    end = text.find(b"\n", last) if last >= 0 else 0
    return len(text) if end < 0 else end


def mask(text: bytes) -> bytes:
    """`text` with comments turned to spaces and the inside of strings to underscores; positions stay the same."""
    end = masked_end(text)
    if not end:
        return text
    head = text[:end]
    scanned = native.scan("scan_def_mask", head)
    return b"".join((scanned.raw(0) if scanned else _QUIET.sub(_blank, head), memoryview(text)[end:]))


class DefText:
    """One DEF file, its faults, and where its sections and single statements lie."""

    def __init__(self, path: Path | str, *, sections: Iterable[bytes], statements: Iterable[bytes]) -> None:
        """Read the file and find its parts; words outside `sections` and `statements` are an error."""
        self.path = Path(path)
        raw = read_text(path, CUT)
        self.text = mask(raw)
        self._head = raw[: masked_end(raw)]  # from there on the two are equal, so one of them is kept
        self.faults = Faults(path)
        self.sections: dict[bytes, tuple[int, int]] = {}
        self.statements: dict[bytes, list[tuple[int, int]]] = {}
        self._positions: dict[bytes, list[int]] = {}
        self._scan(frozenset(sections), frozenset(statements))

    def raw(self, begin: int, end: int) -> bytes:
        """What stands there in the file, strings and comments as they are."""
        return self._head[begin:end] + self.text[max(begin, len(self._head)) : end]

    def line(self, position: int) -> int:
        """The line of a byte position."""
        return line_of(self._head, position) + self.text.count(b"\n", len(self._head), position)

    def fail(self, what: str, position: int, mend: str = "") -> NoReturn:
        """Raise an unrecoverable fault at a byte position."""
        raise InputError(what, path=self.path, line=self.line(position), mend=mend)

    def fault(self, what: str, position: int, mend: str = "") -> None:
        """Note a recoverable fault at a byte position."""
        self.faults.add(what, line=lambda: self.line(position), mend=mend)

    def _scan(self, sections: frozenset[bytes], statements: frozenset[bytes]) -> None:
        position = 0
        while match := _STATEMENT.match(self.text, position):
            word, start = match.group(1), match.start(1)
            if word in sections:
                position = self._section(word, start)
            elif word in statements:
                position = self.text.find(b";", match.end()) + 1
                if not position:
                    self.fail(f"{show(word)} has no closing ;", start, CUT)
                self.statements.setdefault(word, []).append((match.end(), position - 1))
            elif word == b"BEGINEXT":
                position = self._close(re.compile(rb"ENDEXT(?!\S)"), match.end(), b"BEGINEXT").end()
            elif word == b"END":
                return self._end(match.end())
            else:
                what = f'"{show(word[:40])}" starts no DEF statement'
                self.fail(what, start, near(word[:40], sections | statements))
        tail = self.text[len(self._head) :].rstrip()
        end = len(self._head) + len(tail) if tail else len(self._head.rstrip())
        self.fail("has no END DESIGN", end - 1, CUT)

    def _end(self, position: int) -> None:
        match = _STATEMENT.match(self.text, position)
        if not match or match.group(1) != b"DESIGN":
            self.fail("END closes no section here; END DESIGN was expected", position)
        if rest := _STATEMENT.match(self.text, match.end()):
            self.fail("text after END DESIGN", rest.start(1), "Give one design per file.")

    def _section(self, word: bytes, start: int) -> int:
        if word in self.sections:
            self.fail(f"a second section {show(word)}", start, "Join the two sections into one.")
        begin = start + len(word)
        if word not in (b"PROPERTYDEFINITIONS", b"DEFAULTCAP"):  # the count of DEFAULTCAP has no ;
            match = _COUNT.match(self.text, begin)
            if not match:
                self.fail(f"{show(word)} is not followed by a count and ;", start)
            begin = match.end()
        closer = self._close(re.compile(rb"END(?<=[\s;]END)\s++" + word + rb"(?!\S)"), begin, word)
        self.sections[word] = (begin, self._stripped(begin, closer.start()))
        return closer.end()

    def _stripped(self, begin: int, end: int) -> int:
        """Where the text of `begin:end` ends but for the spaces at its end, without a copy of a long section."""
        while begin < end:
            piece = max(begin, end - _PIECE)
            if kept := len(self.text[piece:end].rstrip()):
                return piece + kept
            end = piece
        return begin

    def _close(self, closer: re.Pattern[bytes], begin: int, word: bytes) -> re.Match[bytes]:
        at, match = self.text.find(b"END", begin), None
        while at >= 0 and not (match := closer.match(self.text, at)):  # several times as fast as closer.search
            at = self.text.find(b"END", at + 1)
        if not match:
            end = "ENDEXT" if word == b"BEGINEXT" else f"END {show(word)}"
            self.fail(f"section {show(word)} has no {end}", begin - 1, CUT)
        return match

    def rows(self, section: bytes, pattern: re.Pattern[bytes]) -> list[Statement]:
        """All statements of a section as the groups of `pattern`, whose last group is junk: each junk is a fault."""
        begin, stop = self.sections.get(section, (0, 0))
        rows: list[Statement] = pattern.findall(self.text, begin, stop)
        if any(row[-1] for row in rows):
            self._junk(section, pattern)
            rows = [row for row in rows if not row[-1]]
        elif len(_BARE.findall(self.text, begin, stop)) > len(rows):
            self._unclosed(section, pattern)
        return rows

    def _junk(self, section: bytes, pattern: re.Pattern[bytes]) -> None:
        for match in pattern.finditer(self.text, *self.sections[section]):
            if junk := match.group(pattern.groups):
                shown = " ".join(show(junk[:200]).split())[:100]
                what = f'{show(section)} has a statement that cannot be read: "{shown}"'
                if not junk.endswith(b";"):
                    what = f'{show(section)} ends inside a statement: "{shown}"'
                self.fault(what, match.start(pattern.groups), "See the LEF/DEF 5.8 Language Reference.")

    def _unclosed(self, section: bytes, pattern: re.Pattern[bytes]) -> None:
        heads = set(self.positions(section, pattern))
        for match in _BARE.finditer(self.text, *self.sections[section]):
            if match.start() not in heads:
                self.fault(f'{show(section)}: a "-" inside a statement; the one before lacks its ;', match.start())

    def positions(self, section: bytes, pattern: re.Pattern[bytes]) -> list[int]:
        """The byte position of each row that `rows` returns."""
        if section not in self._positions:
            found = pattern.finditer(self.text, *self.sections.get(section, (0, 0)))
            self._positions[section] = [m.start(1) for m in found if not m.group(pattern.groups)]
            self._positions[section] = [self.text.rfind(b"-", 0, at) for at in self._positions[section]]
        return self._positions[section]

    def ints(self, words: Sequence[bytes], what: str, where: Callable[[int], int]) -> Ints:
        """Whole numbers of at most 32 bits; a fault at position `where(i)` for each word that is none."""
        try:
            values = np.fromiter(map(int, words), np.int64, len(words))
        except (ValueError, OverflowError):
            values = np.array([self.whole(w, where(i), what) for i, w in enumerate(words)], np.int64)
        for i in np.flatnonzero((values > MAX_DBU) | (values < -MAX_DBU)).tolist():
            values[i] = self.whole(words[i], where(i), what)
        return values

    def whole(self, word: bytes, position: int, what: str) -> int:
        """One whole number of at most 32 bits, 0 after a fault."""
        try:
            value = float(word)
        except ValueError:
            value = float("nan")
        if abs(value) <= MAX_DBU and value == int(value) and b"_" not in word:
            return int(value)
        self.fault(f'{what}: "{show(word[:40])}" is not a whole number of at most 32 bits', position)
        return 0


def near(word: bytes, known: Iterable[bytes]) -> str:
    """A remedy line with the keywords nearest to `word`."""
    return did_you_mean(show(word), sorted(show(k) for k in known)) if word else ""


def show(word: bytes) -> str:
    """Bytes as text for a message."""
    return word.decode("utf-8", "backslashreplace")
