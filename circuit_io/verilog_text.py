"""Verilog text made plain: comments, attributes and strings blanked, compiler directives carried out.

Newlines stay, so a position in the plain text gives the line in the file.
"""

import re
from collections.abc import Iterable

from circuit_io.errors import MAX_SHOWN, Faults
from circuit_io.text import line_of

MAX_MACRO_DEPTH = 20  # of macros that use macros
MAX_EXPANDED = 1 << 20  # bytes one macro use may grow to

_STRING = rb'"(?:[^"\\\n]++|\\.)*+(?:"|(?=\n)|\Z)'
_ATTRIBUTE = rb"\(\*(?!\s*\))(?:[^\"*]++|" + _STRING + rb"|\*(?!\)))*+(?:\*\)|\Z)"
_CODE = re.compile(rb"(?:[^\\\"/(]++|\\\S++|\\(?=\s|\Z)|/(?![/*])|\((?!\*(?!\s*\))))*+").match
_QUIET = re.compile(rb"//[^\n]*|/\*.*?(?:\*/|\Z)|" + _STRING + rb"|" + _ATTRIBUTE, re.DOTALL).match
_NOT_NEWLINE = re.compile(rb"[^\n]+")
_DIRECTIVE = re.compile(rb"\\\S+|`([A-Za-z_]\w*)?")
_WORD = re.compile(rb"[ \t]*([A-Za-z_][\w$]*)")
_DEFINE = re.compile(rb"[ \t]*([A-Za-z_][\w$]*)(\(?)([^\n]*)")
_IGNORED_LINE = {b"timescale", b"default_nettype", b"line", b"pragma", b"unconnected_drive"}
_IGNORED = {b"celldefine", b"endcelldefine", b"resetall", b"nounconnected_drive", b"begin_keywords", b"end_keywords"}


_CLOSERS = {b"/*": b"*/", b"(*": b"*)", b'"': b'"'}


def _blanked(text: bytes, faults: Faults) -> bytes:
    """The text with comments, attributes and strings as blanks; one that never closes is a fault."""
    pieces, at = [], 0
    while code := _CODE(text, at):  # an escaped name is code: it may hold // or /* or a quote
        pieces.append(text[at : code.end()])
        quiet = _QUIET(text, code.end())
        if quiet is None:
            break
        piece, at = quiet[0], quiet.end()
        opener = piece[:1] if piece[:1] == b'"' else piece[:2]
        closer = _CLOSERS.get(opener, b"")
        if len(piece) < len(opener) + len(closer) or not piece.endswith(closer):
            line = line_of(text, quiet.start()) if faults.total < MAX_SHOWN else 0
            faults.add(f"{opener.decode()} is not closed", line=line, mend="Close it where it ends.")
        pieces.append(b" " * len(piece) if b"\n" not in piece else _NOT_NEWLINE.sub(b" ", piece))
    return b"".join(pieces)


def plain(text: bytes, faults: Faults, defines: Iterable[str] = ()) -> bytes:
    """The text without comments, attributes and strings, with `ifdef and `define carried out."""
    if b"/" in text or b'"' in text or b"(*" in text:
        text = _blanked(text, faults)
    if b"`" in text:
        text = _Directives(text, faults, defines).run()
    return text


class _Directives:
    def __init__(self, text: bytes, faults: Faults, defines: Iterable[str]) -> None:
        self.text, self.faults = text, faults
        self.macros: dict[bytes, bytes] = {}
        for define in defines:
            name, _, value = define.partition("=")
            self.macros[name.strip().encode()] = value.encode()
        self.out: list[bytes] = []
        self.branches: list[tuple[bool, bool, int]] = []  # active now, some arm was active, where it began

    def fault(self, what: str, at: int, mend: str = "") -> None:
        self.faults.add(what, line=line_of(self.text, at) if self.faults.total < MAX_SHOWN else 0, mend=mend)

    @property
    def active(self) -> bool:
        return all(branch[0] for branch in self.branches)

    def keep(self, piece: bytes) -> None:
        self.out.append(piece if self.active else b"\n" * piece.count(b"\n"))

    def run(self) -> bytes:
        at = 0
        while found := _DIRECTIVE.search(self.text, at):
            if found[0][:1] == b"\\":
                self.keep(self.text[at : found.end()])
                at = found.end()
                continue
            self.keep(self.text[at : found.start()])
            at = self.directive(found)
        self.keep(self.text[at:])
        if self.branches:
            self.fault("`ifdef without `endif", self.branches[-1][2], "Add the missing `endif.")
        return b"".join(self.out)

    def directive(self, found: "re.Match[bytes]") -> int:
        """Carry out one directive; where the text goes on."""
        name, at = found[1], found.end()
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
            self.fault("`include is not followed", found.start(), "Run a preprocessor first, or paste the file in.")
            return self.end_of_line(at)
        self.keep(self.expanded(name, found.start()))
        return at

    def end_of_line(self, at: int) -> int:
        newline = self.text.find(b"\n", at)
        return len(self.text) if newline < 0 else newline

    def branch(self, name: bytes, start: int, at: int) -> int:
        if name in (b"ifdef", b"ifndef", b"elsif"):
            word = _WORD.match(self.text, at)
            if word is None:
                self.fault(f"`{name.decode()} without a name", start)
                return at
            at = word.end()
            holds = (word[1] in self.macros) != (name == b"ifndef")
            if name != b"elsif":
                self.branches.append((holds, holds, start))
                return at
        else:
            holds = True
        if not self.branches:
            self.fault(f"`{name.decode()} without `ifdef", start)
            return at
        _, done, begun = self.branches.pop()
        if name != b"endif":
            self.branches.append((holds and not done, holds or done, begun))
        return at

    def define(self, start: int, at: int) -> int:
        found = _DEFINE.match(self.text, at)
        if found is None or found[2] or found[3].rstrip().endswith(b"\\"):
            self.fault("`define with arguments or over several lines", start, "Run a preprocessor first.")
            return self.end_of_line(at)
        self.macros[found[1]] = found[3].strip()
        return found.end()

    def expanded(self, name: bytes, at: int) -> bytes:
        """The text a macro stands for, macros inside it replaced too."""
        if name not in self.macros:
            shown = (name or b"").decode()
            self.fault(f"`{shown} is not defined", at, f'Pass defines=["{shown}=..."], or run a preprocessor first.')
            return b""
        text = self.macros[name]
        for _ in range(MAX_MACRO_DEPTH):
            if b"`" not in text or len(text) > MAX_EXPANDED:
                break
            text = _DIRECTIVE.sub(lambda m: m[0] if m[0][:1] == b"\\" else self.macros.get(m[1], b""), text)
        if (b"`" in text and _DIRECTIVE.search(text)) or len(text) > MAX_EXPANDED:
            self.fault(f"`{name.decode()} stands for itself or grows too large", at)
            return b""
        return text
