"""Verilog text made plain: comments, attributes and strings blanked, compiler directives carried out.

Newlines stay, so a position in the plain text gives the line in the file.
"""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from circuit_io.errors import Faults
from circuit_io.native import scan
from circuit_io.text import line_of, read_text

MAX_EXPANDED = 1 << 26  # bytes that all uses of macros may add
MAX_GROWTH = (1 << 18, 1 << 10)  # bits of nets, and bits for each byte of text: more than any array of arrays needs

_STRING = rb'"(?:[^"\\\n]++|\\.)*+(?:"|(?=\n)|\\?\Z)'
_ATTRIBUTE = rb"\(\*(?!\s*\))(?:[^\"*]++|" + _STRING + rb"|\*(?!\)))*+(?:\*\)|\Z)"
_CODE = re.compile(rb"(?:[^\\\"/(]++|\\\S++|\\(?=\s|\Z)|/(?![/*])|\((?!\*(?!\s*\))))*+").match
_QUIET = re.compile(rb"//[^\n]*|/\*.*?(?:\*/|\Z)|" + _STRING + rb"|" + _ATTRIBUTE, re.DOTALL).match
_NOT_NEWLINE = re.compile(rb"[^\n]+")
_NO_TICK = re.compile(rb"(?:[^\\`]++|\\\S++|\\(?=\s|\Z))*+").match
_TICK = re.compile(rb"`([A-Za-z_]\w*)?").match
_WORD = re.compile(rb"[ \t]*([A-Za-z_][\w$]*)")
_DEFINE = re.compile(rb"[ \t]*([A-Za-z_][\w$]*)(\(?)([^\n]*)")
_IGNORED_LINE = {b"timescale", b"default_nettype", b"line", b"pragma", b"unconnected_drive"}
_IGNORED = {b"celldefine", b"endcelldefine", b"resetall", b"nounconnected_drive", b"begin_keywords", b"end_keywords"}


_CLOSERS = {b"/*": b"*/", b"(*": b"*)", b'"': b'"'}


def _quiet(text: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of every comment, attribute and string."""
    columns = scan("scan_verilog_quiet", text)
    if columns is not None:
        yield from columns.array(0, np.int64, 2).tolist()
        return
    at = 0
    while code := _CODE(text, at):  # an escaped name is code: it may hold // or /* or a quote
        found = _QUIET(text, code.end())
        if found is None:
            return
        yield found.span()
        at = found.end()


def blanked(text: bytes, faults: Faults) -> bytes:
    """The text with comments and attributes as blanks, strings as empty ones; one that never closes is a fault.

    Every sign keeps its place: an emptied string is followed by blanks.
    """
    pieces: list[bytes | memoryview] = []
    view, at = memoryview(text), 0
    for start, end in _quiet(text):
        pieces.append(view[at:start])
        piece, at = text[start:end], end
        opener = piece[:1] if piece[:1] == b'"' else piece[:2]
        closer = _CLOSERS.get(opener, b"")
        if len(piece) < len(opener) + len(closer) or not piece.endswith(closer):
            line = partial(line_of, text, start)
            faults.add(f"{opener.decode()} is not closed", line=line, mend="Close it where it ends.")
        several = b"\n" in piece
        blank = _NOT_NEWLINE.sub(lambda run: b" " * len(run[0]), piece) if several else b" " * len(piece)
        pieces.append(b'""' + blank[2:] if opener == b'"' and len(piece) > 1 else blank)
    return b"".join([*pieces, view[at:]]) if pieces else text


def plain(text: bytes, faults: Faults, defines: Iterable[str] = ()) -> bytes:
    """The text without comments, attributes and what strings hold, with `ifdef and `define carried out."""
    if b"/" in text or b'"' in text or b"(*" in text:
        text = blanked(text, faults)
    if b"`" in text:
        text = Directives(text, faults, defines).run()
    return text


def most_bits(size: int) -> int:
    """How many bits `size` bytes of text may stand for: short text that asks for gigabytes is refused."""
    return MAX_GROWTH[0] + MAX_GROWTH[1] * size


class SourceText:
    """The plain text of one file, and the faults found in it."""

    def __init__(self, path: Path | str, defines: Iterable[str] = ()) -> None:
        """Read the file, blank its comments, carry out its directives."""
        self.path, self.faults = path, Faults(path)
        text = read_text(path, "Give a structural Verilog netlist in ASCII or UTF-8, plain or gzip.", may_be_empty=True)
        self.size = len(text)
        self.text = plain(text, self.faults, defines)

    def most(self, limit: int) -> int:
        """How many bits text of this size may stand for, at most `limit`."""
        return min(limit, most_bits(self.size))

    def forget(self) -> None:
        """Free the text, once no line is asked for any more."""
        self.text = b""

    def line(self, at: int) -> int:
        """Line number of a position."""
        return line_of(self.text, at)

    def fault(self, what: str, at: int, mend: str = "") -> None:
        """Note a fault at a position."""
        self.faults.add(what, line=lambda: self.line(at), mend=mend)


class Directives:
    """Carries out the compiler directives of a text without comments and strings."""

    def __init__(self, text: bytes, faults: Faults, defines: Iterable[str]) -> None:
        self.text, self.faults = text, faults
        self.macros: dict[bytes, bytes] = {}
        for define in defines:
            name, _, value = define.partition("=")
            self.macros[name.strip().encode()] = value.encode()
        self.out: list[bytes] = []
        self.grown = 0
        self.branches: list[tuple[bool, bool, int]] = []  # kept now, no other arm can be, where it began

    def fault(self, what: str, at: int, mend: str = "") -> None:
        """Note a fault at a position."""
        self.faults.add(what, line=lambda: line_of(self.text, at), mend=mend)

    @property
    def active(self) -> bool:
        """Whether no `ifdef leaves out what comes."""
        return not self.branches or self.branches[-1][0]

    def keep(self, piece: bytes) -> None:
        """Hand a piece on, or only its line ends where an `ifdef leaves it out."""
        self.out.append(piece if self.active else b"\n" * piece.count(b"\n"))

    def run(self) -> bytes:
        """The text with all directives carried out."""
        at = 0
        while code := _NO_TICK(self.text, at):
            self.keep(self.text[at : code.end()])
            tick = _TICK(self.text, code.end())
            if tick is None:
                break
            at = self.directive(tick)
        if self.branches:
            self.fault("`ifdef without `endif", self.branches[-1][2], "Add the missing `endif.")
        return b"".join(self.out)

    def directive(self, found: "re.Match[bytes]") -> int:
        """Carry out one directive; where the text goes on."""
        name, at = found[1] or b"", found.end()
        if name in (b"ifdef", b"ifndef", b"elsif", b"else", b"endif"):
            return self.branch(name, found.start(), at)
        if not self.active or name in _IGNORED:
            return at
        if name in _IGNORED_LINE:
            return self.end_of_line(at)
        if name == b"define":
            return self.define(found.start(), at)
        if name == b"undef":
            word = _WORD.match(self.text, at)
            if word:
                self.macros.pop(word[1], None)
            return word.end() if word else at
        if name == b"include":
            return self.include(found.start(), at)
        return self.expand(name, found.start(), at)

    def include(self, start: int, at: int) -> int:
        """A fault here; a reader of RTL does more."""
        self.fault("`include is not followed", start, "Run a preprocessor first, or paste the file in.")
        return self.end_of_line(at)

    def expand(self, name: bytes, start: int, at: int) -> int:
        """Put in the text of a macro; where the text goes on."""
        self.keep(self.expanded(name, start))
        return at

    def end_of_line(self, at: int) -> int:
        """Position of the line's end."""
        newline = self.text.find(b"\n", at)
        return len(self.text) if newline < 0 else newline

    def branch(self, name: bytes, start: int, at: int) -> int:
        """Carry out `ifdef, `ifndef, `elsif, `else or `endif."""
        if name in (b"ifdef", b"ifndef", b"elsif"):
            word = _WORD.match(self.text, at)
            if word is None:
                self.fault(f"`{name.decode()} without a name", start, "Write `ifdef NAME.")
                return at
            at = word.end()
            holds = (word[1] in self.macros) != (name == b"ifndef")
            if name != b"elsif":
                kept = self.active
                self.branches.append((kept and holds, holds or not kept, start))
                return at
        else:
            holds = True
        if not self.branches:
            self.fault(f"`{name.decode()} without `ifdef", start, "Delete it, or add the `ifdef.")
            return at
        _, done, begun = self.branches.pop()
        if name != b"endif":
            self.branches.append((holds and not done, holds or done, begun))
        return at

    def define(self, start: int, at: int) -> int:
        """Take up a macro of one line."""
        found = _DEFINE.match(self.text, at)
        if found is None or found[2] or b"`" in found[3] or found[3].rstrip().endswith(b"\\"):
            what = "`define with arguments, with macros inside or over several lines"
            self.fault(what, start, "Run a preprocessor first.")
            return self.end_of_line(at)
        self.macros[found[1]] = found[3].strip()
        return found.end()

    def expanded(self, name: bytes, at: int) -> bytes:
        """The text a macro stands for."""
        if name not in self.macros:
            shown = name.decode()
            self.fault(f"`{shown} is not defined", at, f'Pass defines=["{shown}=..."], or run a preprocessor first.')
            return b""
        text = self.macros[name]
        self.grown += len(text)
        if self.grown > MAX_EXPANDED:
            self.fault(f"macros add more than {MAX_EXPANDED:,} bytes", at, "Run a preprocessor first.")
            return b""
        return text
