"""RTL text after its compiler directives: macros with arguments, `include and `ifdef, and where each line came from."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from circuit_io.errors import Faults
from circuit_io.text import line_of, read_text
from circuit_io.verilog_text import Directives, blanked

MAX_DEPTH = 32  # of files that include each other, and of macros inside macros

Macro = tuple[list[bytes] | None, bytes]  # names of the arguments (None: it takes none), and the text
Line = tuple[Path, int]

_HEAD = re.compile(rb"[ \t]*([A-Za-z_][\w$]*)(?:\(([^()\n]*)\))?")
_BODY = re.compile(rb"(?:[^\\\n]++|\\\r?\n|\\)*+")
_FILE = re.compile(rb'[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)')
_WORD = re.compile(rb"[A-Za-z_][\w$]*")
_USE = re.compile(rb"`([A-Za-z_][\w$]*)")
_BLANK = re.compile(rb"\s*")
_SIGN = re.compile(rb"[(){}\[\],]")


def macros_of(defines: Iterable[str]) -> dict[bytes, Macro]:
    """Macros from NAME or NAME=TEXT."""
    pairs = (define.partition("=") for define in defines)
    return {name.strip().encode(): (None, text.encode()) for name, _, text in pairs}


def read_rtl_text(path: Path, macros: dict[bytes, Macro], include: Sequence[Path] = ()) -> tuple[str, list[Line]]:
    """The text of an RTL file without comments and directives, and the file and line that each line came from.

    Args:
        path: the file, plain or gzip.
        macros: what is defined before; gains what the file defines.
        include: folders where `include looks after that of the file itself.

    Raises:
        InputError: a directive that cannot be carried out, a file that is not there.
    """
    run = _RtlDirectives(path, macros, include, depth=0)
    run.run_file()
    text, origin = [], []
    for source, first, piece in run.segments:
        text.append(piece)
        origin += [(source, first + i) for i in range(piece.count(b"\n"))]
    return b"".join(text).decode("utf-8", "surrogateescape"), origin


class _RtlDirectives(Directives):
    """One file; what it includes runs in further objects with the same macros."""

    def __init__(self, path: Path, macros: dict[bytes, Macro], include_path: Sequence[Path], depth: int) -> None:
        self.path, self.known, self.include_path, self.depth = path, macros, include_path, depth
        text = read_text(path, "Give Verilog in ASCII or UTF-8, plain or gzip.", may_be_empty=True)
        self.source = text.replace(b"\r\n", b"\n")
        faults = Faults(path)
        super().__init__(blanked(self.source, faults), faults, ())
        self.macros = macros  # type: ignore[assignment]  # `ifdef and `undef look at names alone
        self.segments: list[tuple[Path, int, bytes]] = []
        self.first = 1

    def run_file(self) -> None:
        """Carry out everything; the result is in `segments`."""
        rest = self.run()
        self.faults.raise_if_any()
        self._close(rest)

    def _close(self, text: bytes) -> None:
        """Every segment ends its last line, so that the next begins one."""
        self.segments.append((self.path, self.first, text + b"\n"))

    def include(self, start: int, at: int) -> int:
        """Put in the lines of another file."""
        end, found = self.end_of_line(at), _FILE.match(self.source, at)
        if found is None:
            self.fault("`include without the name of a file", start, 'Write `include "name".')
            return end
        name = (found[1] or found[2]).decode("utf-8", "surrogateescape")
        places = [folder / name for folder in (self.path.parent, *self.include_path)]
        path = next((p for p in places if p.is_file()), None)
        if path is None or self.depth >= MAX_DEPTH:
            what = f'`include "{name}" is not found' if path is None else f"`include is nested {MAX_DEPTH} deep"
            self.fault(what, start, "Name its folder: --rtl-include DIR." if path is None else "Break the circle.")
            return end
        self._close(b"".join(self.out))
        child = _RtlDirectives(path, self.known, self.include_path, self.depth + 1)
        child.run_file()
        self.segments += child.segments
        self.out, self.first = [], line_of(self.text, start)
        return end

    def define(self, start: int, at: int) -> int:
        """Take up a macro: its text goes on over lines that end with a backslash."""
        head = _HEAD.match(self.text, at)
        if head is None:
            self.fault("`define without a name", start, "Write `define NAME text.")
            return self.end_of_line(at)
        body = _BODY.match(self.text, head.end())
        assert body is not None  # it matches the empty text
        names = None if head[2] is None else [n.partition(b"=")[0].strip() for n in head[2].split(b",")]
        self.known[head[1]] = names, re.sub(rb"\\\r?\n", b" ", body[0]).strip()
        self.keep(b"\n" * body[0].count(b"\n"))
        return body.end()

    def expand(self, name: bytes, start: int, at: int) -> int:
        """Put in the text of a macro with its arguments; line ends among them stay."""
        text, end = self._expansion(self.text, name, start, at, depth=0, position=start)
        self.keep(text + b"\n" * self.text.count(b"\n", at, end))
        return end

    def _expansion(
        self, text: bytes, name: bytes, start: int, at: int, *, depth: int, position: int
    ) -> tuple[bytes, int]:
        """What `name at `start` of `text` stands for, and where the text goes on; `position` is for the message."""
        shown = name.decode()
        if name not in self.known or depth > MAX_DEPTH:
            what = f"`{shown} is defined by itself" if name in self.known else f"`{shown} is not defined"
            self.fault(
                what, position, f"Define it before: --rtl-define {shown}=TEXT, or name the file that does first."
            )
            return b"", at
        names, body = self.known[name]
        if names is not None:
            values, at = _arguments(text, at)
            if values is None or len(values) != len(names):
                self.fault(f"`{shown} takes {len(names)} arguments", position, "Give it as many, in parentheses.")
                return b"", at
            given = dict(zip(names, values, strict=True))
            body = _WORD.sub(lambda word: given.get(word[0], word[0]), body)
        self.grown += len(body)
        if self.grown > 1 << 26:
            self.fault("macros add more than 64 MiB", position, "Run a preprocessor first.")
            return b"", at
        out, after = [], 0
        body = body.replace(b"``", b"")
        while use := _USE.search(body, after):
            out.append(body[after : use.start()])
            inner, after = self._expansion(body, use[1], use.start(), use.end(), depth=depth + 1, position=position)
            out.append(inner)
        return b"".join([*out, body[after:]]), at


def _arguments(text: bytes, at: int) -> tuple[list[bytes] | None, int]:
    """The arguments in parentheses after `at`, and where they end; None when there are none."""
    blank = _BLANK.match(text, at)
    at = blank.end() if blank else at
    if text[at : at + 1] != b"(":
        return None, at
    depth, begin, values = 0, at + 1, []
    for sign in _SIGN.finditer(text, at):
        place = sign.start()
        if sign[0] in b"({[":
            depth += 1
        elif sign[0] in b")}]":
            depth -= 1
        if depth == 0 or (depth == 1 and sign[0] == b","):
            values.append(text[begin:place].replace(b"\n", b" ").strip())
            begin = place + 1
        if depth == 0:
            return values, begin
    return None, at
