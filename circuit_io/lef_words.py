"""The words of one LEF file, with a place in them, and the faults found."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NoReturn

from circuit_io.def_text import CUT, mask, near, show
from circuit_io.errors import Faults, InputError
from circuit_io.text import line_of, read_text

MAX_UM = 1e6  # one metre: far beyond any die, and in 32 bits at 2000 dbu per um
NAN = float("nan")
_WORD = re.compile(rb";|[^\s;]++")
_STRUCTURE = frozenset(b"MACRO PIN PORT OBS END".split())
_MAY_NAME_STRUCTURE = frozenset(b"USEMINSPACING FOREIGN PROPERTY MUSTJOIN NETEXPR".split())


class LefWords:
    """Steps through a file word by word; `at` is the number of the next word, `;` is always one of its own."""

    def __init__(self, path: Path | str) -> None:
        """Read the file and cut it into words."""
        self.path, self.faults, self.at = path, Faults(path), 0
        self.raw = read_text(path, CUT)
        self.masked = mask(self.raw)
        self.words = self.masked.replace(b";", b" ; ").split()

    def line(self, at: int) -> int:
        """The line of word number `at`."""
        match = next(islice(_WORD.finditer(self.masked), at, None), None)
        return line_of(self.raw, match.start() if match else len(self.raw.rstrip()))

    def fail(self, what: str, at: int, mend: str = "") -> NoReturn:
        """Raise an unrecoverable fault at a word."""
        raise InputError(what, path=self.path, line=self.line(at), mend=mend)

    def fault(self, what: str, at: int, mend: str = "") -> None:
        """Note a recoverable fault at a word."""
        self.faults.add(what, line=lambda: self.line(at), mend=mend)

    def unknown(self, what: str, key: bytes, known: Iterable[bytes], at: int) -> None:
        """Note a keyword that nobody knows, with the nearest that are known."""
        self.fault(f'{what}: unknown "{show(key[:40])}"', at, near(key[:40].upper(), known))

    def key(self) -> bytes:
        """The next word in capitals, empty at the end."""
        return self.words[self.at].upper() if self.at < len(self.words) else b""

    def name(self) -> bytes:
        """The word after the next one: what a block is called."""
        if self.at + 1 >= len(self.words) or self.words[self.at + 1] == b";":
            self.fail(f"{show(self.words[self.at])} has no name", self.at, CUT)
        return self.words[self.at + 1]

    def find(self, word: bytes, begin: int) -> int:
        """The number of the first `word` from `begin` on."""
        try:
            return self.words.index(word, begin)
        except ValueError:
            self.fail(f"{show(self.words[begin][:40])} is never closed: no {show(word)} follows", begin, CUT)

    def close(self, name: bytes, begin: int) -> int:
        """The number of the word after `END name`, searched from `begin` on."""
        at = begin
        while True:
            try:
                at = self.words.index(name, at) + 1
            except ValueError:
                self.fail(f'"{show(name)}" has no END {show(name)}', begin, CUT)
            if at >= 2 and self.words[at - 2].upper() == b"END":
                return at

    def inside(self, name: bytes) -> bytes:
        """The next word in capitals while the block `name` goes on; steps over its END and returns nothing."""
        if self.at >= len(self.words):
            self.fail(f'"{show(name)}" has no END {show(name)}', len(self.words) - 1, CUT)
        key = self.words[self.at].upper()
        if key != b"END":
            return key
        if self.words[self.at + 1 : self.at + 2] != [name]:
            found = show(b" ".join(self.words[self.at : self.at + 2]))
            self.fail(f'expected END {show(name)}, found "{found}"', self.at, CUT)
        self.at += 2
        return b""

    def statement(self) -> list[bytes]:
        """The words of the statement that begins here, without its `;`; goes on to the next one."""
        begin = self.at
        end = self.find(b";", begin)
        words = self.words[begin:end]
        if not words:
            self.fail("a ; that closes nothing", begin)
        if not _STRUCTURE.isdisjoint(words[1:]) and words[0].upper() not in _MAY_NAME_STRUCTURE:
            self.fail(f"{show(words[0])} lacks its ;", begin)
        self.at = end + 1
        return words

    def numbers(self, words: Sequence[bytes], count: int, begin: int) -> list[float]:
        """`count` finite numbers; a fault at word `begin` and nan when they are not."""
        try:
            values = [float(w) for w in words]
        except ValueError:
            values = []
        if len(values) != count or not all(-MAX_UM <= v <= MAX_UM for v in values) or any(b"_" in w for w in words):
            found = show(b" ".join(words)[:60])
            self.fault(f'{show(self.words[begin])}: expected {count} number(s) in um, found "{found}"', begin)
            return [NAN] * count
        return values

    def choice(self, table: Mapping[bytes, int], words: list[bytes], at: int) -> int:
        """The code of a statement's first value, -1 after a fault."""
        value = words[1].upper() if len(words) > 1 else b""
        if value not in table:
            self.unknown(show(words[0]), value, table, at)
        return table.get(value, -1)
