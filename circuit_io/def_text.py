"""The text of one DEF or LEF file: strings and comments blanked at equal length, sections, statements, numbers."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from circuit_io.errors import Faults, InputError, did_you_mean
from circuit_io.text import line_of, read_bytes

MAX_DBU = 2**31 - 1  # OpenDB keeps coordinates in 32 bits, so no flow can write more
BARE = re.compile(rb"-(?!\S)(?<!\S-)")  # a literal first, so that the search runs at the speed of memchr
PLUS = re.compile(rb"\+(?!\S)(?<!\S\+)")
JUNK = rb"|([^\s;][^;]*+;?|;))"  # last group of a statement pattern: whatever the pattern itself does not take
_QUIET = re.compile(rb'"(?<![^\s;]")[^"]*"|#(?<![^\s;]#)[^\n]*')
_STATEMENT = re.compile(rb"\s*([^\s;]+)")
_COUNT = re.compile(rb"\s+(\d+)\s*;")
CUT = "The file may have been cut short: write or copy it again."

Statement = tuple[bytes, ...]


def _blank(match: re.Match[bytes]) -> bytes:
    text = match.group()
    return b" " * len(text) if text[0] == 35 else b'"' + b"_" * (len(text) - 2) + b'"'


def mask(text: bytes) -> bytes:
    """`text` with comments turned to spaces and the inside of strings to underscores; positions stay the same."""
    last = max(text.rfind(b'"'), text.rfind(b"#"))
    if last < 0:
        return text
    end = text.find(b"\n", last)
    end = len(text) if end < 0 else end
    return _QUIET.sub(_blank, text[:end]) + text[end:]


def read_text(path: Path | str) -> bytes:
    """The bytes of a text file, without a byte order mark; `InputError` when it is binary."""
    raw = read_bytes(path)
    if raw.startswith(b"\xef\xbb\xbf"):
        raw = raw[3:]
    if (at := raw.find(b"\0")) >= 0:
        raise InputError("holds a NUL byte, so it is not text", path=path, line=line_of(raw, at), mend=CUT)
    if not raw.strip():
        raise InputError("is empty", path=path, mend=CUT)
    return raw


class DefText:
    """One DEF file, its faults, and where its sections lie."""

    def __init__(self, path: Path | str, sections: Iterable[bytes], statements: Iterable[bytes]) -> None:
        self.path = Path(path)
        self.raw = read_text(path)
        self.text = mask(self.raw)
        self.faults = Faults(path)
        self.sections: dict[bytes, tuple[int, int]] = {}
        self.statements: dict[bytes, list[tuple[int, int]]] = {}
        self._scan(frozenset(sections), frozenset(statements))

    def fail(self, what: str, position: int, mend: str = "") -> NoReturn:
        """Raise an unrecoverable fault at a byte position."""
        raise InputError(what, path=self.path, line=line_of(self.raw, position), mend=mend)

    def fault(self, what: str, position: int, mend: str = "") -> None:
        """Note a recoverable fault at a byte position."""
        self.faults.add(what, line=line_of(self.raw, position), mend=mend)

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
                position = self._close(b"ENDEXT", match.end(), b"BEGINEXT")[1]
            elif word == b"END":
                return self._end(match.end())
            else:
                self.fail(f'"{show(word)}" starts no DEF statement', start, _near(word, sections | statements))
        self.fail("has no END DESIGN", len(self.raw.rstrip()) - 1, CUT)

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
        if word != b"PROPERTYDEFINITIONS":
            match = _COUNT.match(self.text, begin)
            if not match:
                self.fail(f"{show(word)} is not followed by a count and ;", start)
            begin = match.end()
        stop, after = self._close(word, begin, word)
        self.sections[word] = (begin, stop)
        return after

    def _close(self, word: bytes, begin: int, opener: bytes) -> tuple[int, int]:
        closer = re.compile(rb"(?<!\S)" + (word if word == b"ENDEXT" else rb"END\s+" + word) + rb"(?!\S)")
        at = begin
        while (at := self.text.find(word, at)) >= 0:
            head = at if word == b"ENDEXT" else self.text.rfind(b"END", begin, at)
            if head >= 0 and (match := closer.match(self.text, head)) and match.end() == at + len(word):
                return head, match.end()
            at += len(word)
        self.fail(
            f"section {show(opener)} has no {show(word if word == b'ENDEXT' else b'END ' + word)}", begin - 1, CUT
        )

    def rows(self, section: bytes, pattern: re.Pattern[bytes]) -> list[Statement]:
        """All statements of a section as the groups of `pattern`, whose last group is junk: each junk is a fault."""
        if section not in self.sections:
            return []
        begin, stop = self.sections[section]
        rows: list[Statement] = pattern.findall(self.text, begin, stop)
        if any(row[-1] for row in rows):
            self._junk(section, pattern)
            rows = [row for row in rows if not row[-1]]
        if len(BARE.findall(self.text, begin, stop)) > len(rows):
            self._unclosed(section, pattern)
        return rows

    def _junk(self, section: bytes, pattern: re.Pattern[bytes]) -> None:
        for match in pattern.finditer(self.text, *self.sections[section]):
            if junk := match.group(match.re.groups):
                text = " ".join(show(junk[:100]).split())
                what = f'{show(section)} has a statement that cannot be read: "{text}"'
                if not junk.endswith(b";"):
                    what = f'{show(section)} ends inside a statement: "{text}"'
                self.fault(what, match.start(match.re.groups), "See the LEF/DEF 5.8 Language Reference.")

    def _unclosed(self, section: bytes, pattern: re.Pattern[bytes]) -> None:
        begin, stop = self.sections[section]
        starts = [m.start() for m in BARE.finditer(self.text, begin, stop)]
        heads = {self.text.find(b"-", m.start(), m.end()) for m in pattern.finditer(self.text, begin, stop)}
        for at in starts:
            if at not in heads:
                self.fault(f'{show(section)}: a "-" inside a statement; the one before lacks its ;', at)

    def where(self, section: bytes, pattern: re.Pattern[bytes], row: int) -> int:
        """The byte position of statement number `row` (junk not counted) of a section."""
        for match in pattern.finditer(self.text, *self.sections[section]):
            if not match.group(match.re.groups):
                if not row:
                    return match.end() - len(match.group().lstrip())
                row -= 1
        return self.sections[section][0]

    def ints(self, words: Sequence[bytes], position: int, what: str) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """Whole numbers of at most 32 bits; a fault at `position` when one is not."""
        try:
            values = np.fromiter(map(int, words), np.int64, len(words))
        except (ValueError, OverflowError):
            values = np.fromiter((self.whole(w, position, what) for w in words), np.int64, len(words))
        if values.size and np.abs(values).max() > MAX_DBU:
            self.fault(f"{what} is beyond 32 bits: {values[np.abs(values).argmax()]}", position)
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

    def percent(self, words: Sequence[bytes], position: int) -> float:
        """A number from 0 to 100, 0 after a fault."""
        try:
            value = float(words[0])
        except (ValueError, IndexError):
            value = float("nan")
        if 0 <= value <= 100:
            return value
        self.fault("PARTIAL needs a density from 0 to 100", position)
        return 0.0


def _near(word: bytes, known: Iterable[bytes]) -> str:
    return did_you_mean(show(word), sorted(show(k) for k in known))


def show(word: bytes) -> str:
    """Bytes as text for a message."""
    return word.decode("utf-8", "backslashreplace")
