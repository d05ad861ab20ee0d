"""Structural Verilog statements: one regular-expression match each, names and expressions interned as they come.

The common instance (named pins without nested parentheses) is checked whole by one pattern; whatever that pattern does
not take goes through a slower token reader, which either understands it or notes a fault. Nothing is skipped.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from circuit_io.errors import InputError
from circuit_io.verilog_bits import Module
from circuit_io.verilog_expr import TOKENS, Refused, quoted, show
from circuit_io.verilog_rows import SharedNames, Statement, scanned_body
from circuit_io.verilog_text import SourceText
from circuit_io.verilog_tokens import Tokens
from circuit_io.verilog_words import BEHAVIOURAL, DIRECTIONS, IGNORED, NETS, PRIMITIVES, STRUCTURE

_STATEMENT = re.compile(rb"\s*+((?:[^;\\]++|\\\S++)*+);").match
_ENDMODULE = re.compile(rb"\s*+endmodule\b").match
_FIRST = re.compile(rb"\s*+(?:([A-Za-z_$][\w$]*+)|(\\\S++)|(\S)|\Z)").match
_TO_END = re.compile(rb"\\\S++|\bendmodule\b").finditer

SHORT = 4096  # bytes of a module that Python reads as fast as the C scanner is set up
_CUT = "The file is cut short, or the statement is not finished."


class Source(SourceText):
    """Reads the modules of one file; faults are gathered, not raised."""

    def __init__(self, path: Path | str, table: "ModuleTable", defines: Iterable[str] = ()) -> None:
        """Take the text of the file, comments blanked and directives carried out."""
        super().__init__(path, defines)
        self.table = table
        self.module: Module | None = None

    def read(self) -> None:
        """Read all modules into the table."""
        at = 0
        while at >= 0:
            before, at = self.module, self._statement(at)
            if self.module is not None and at >= 0:
                at = self._body(self.module, at, is_new=self.module is not before)
        if self.module is not None:
            mend = "The file is cut short, or endmodule is missing."
            self.fault(f'the file ends inside module "{show(self.module.name)}"', self.module.at, mend)
        self.faults.raise_if_any()

    def _body(self, module: Module, at: int, *, is_new: bool) -> int:
        """Take plain instances and wires from here on; a new module whole where the C scanner knows all of it."""
        scans = is_new and self.table.scans and self.text.find(b"endmodule", at, at + SHORT) < 0
        found = scanned_body(self.text, at, self.table.names) if scans else None
        if found is None:
            return module.rows.take(self.text, at)
        self.table.has_scanned = True
        module.scanned, statements, end = found
        for statement in statements:
            self._take(module, statement)
        return end

    def _take(self, module: Module, statement: Statement) -> None:
        """Take a declaration or an assign that the C scanner read or left to Python."""
        if not statement.word:
            self._statement(statement.at)
        elif statement.word == b"assign":
            sides = iter(statement.words)
            module.assigns.extend((left, right, statement.at) for left, right in zip(sides, sides, strict=True))
        else:
            try:
                for name in statement.words:
                    module.declare(name, statement.ends, statement.word)
            except Refused as e:
                self.fault(e.what, statement.at, e.mend)

    def _statement(self, at: int) -> int:
        """Take one statement of any other kind; -1 at the end of the file."""
        end = _ENDMODULE(self.text, at)
        if end:
            self._endmodule(end.end() - len(b"endmodule"))
            return end.end()
        first = _FIRST(self.text, at)
        assert first is not None
        if first.lastindex is None:
            return -1
        start, word = first.start(first.lastindex), first[1] or b""
        if word in PRIMITIVES:
            self.fault(f"gate primitive `{show(word)}`", start, "Map gates to library cells first.")
            return self._skip_module(start)
        if word in BEHAVIOURAL or word[:1] == b"$":
            self.fault(f"behavioural construct `{show(word)}`", start, STRUCTURE)
            return self._skip_module(start)
        found = _STATEMENT(self.text, at)
        if found is None:
            shown = show(b" ".join(self.text[start : start + 200].split())[:60])
            self.fault(f'no semicolon ends "{shown}"', start, _CUT)
            self.module = None
            return -1
        try:
            self._read_statement(word, TOKENS(found[1]), start)
        except Refused as e:
            shown = show(b" ".join(found[1].split())[:60])
            self.fault(e.what or f'not understood: "{shown}"', start, e.mend or STRUCTURE)
        return found.end()

    def _skip_module(self, at: int) -> int:
        for found in _TO_END(self.text, at):
            if found[0][:1] != b"\\":
                return found.start()
        self.module = None
        return -1

    def _endmodule(self, at: int) -> None:
        if self.module is None:
            self.fault("endmodule without module", at, "Delete it, or add the module line it closes.")
            return
        module, self.module = self.module, None
        try:
            self.table.add(module)
        except Refused as e:
            self.fault(e.what, at, e.mend or "Give a smaller module.")

    def _read_statement(self, word: bytes, tokens: list[bytes], at: int) -> None:
        reader = Tokens(tokens)
        if word in (b"module", b"macromodule"):
            if self.module is not None:
                shown = show(self.module.name)
                self.fault(f'module "{shown}" is not closed before the next', self.module.at, "Add its endmodule.")
            self._open_module(reader, at)
        elif self.module is None:
            shown = show(tokens[0][:40]) if tokens else ";"
            raise Refused(f'"{shown}" stands outside a module', "A netlist holds module ... endmodule.")
        elif not tokens or word in IGNORED:
            return
        elif word in DIRECTIONS or word in NETS:
            self._declaration(self.module, reader, at)
        elif word == b"assign":
            reader.take()
            self.module.assigns.extend((left, right, at) for left, right in reader.equations())
        else:
            self._instance(self.module, reader, at)

    def _open_module(self, reader: Tokens, at: int) -> None:
        reader.take()
        module = self.module = Module(reader.name(), at, self, self.table.names)
        if reader.next == b"#":
            reader.take()
            reader.skip_parentheses()
        if reader.next == b"(":
            reader.take()
            _header(module, reader)
        reader.end()

    def _declaration(self, module: Module, reader: Tokens, at: int) -> None:
        word = reader.take()
        ends = reader.kind_and_range()
        while True:
            name = reader.name()
            module.declare(name, ends, word)
            if reader.next == b"=":
                reader.take()
                module.assigns.append((quoted(name), reader.until_comma(), at))
            if not reader.next:
                return
            reader.take(b",")

    def _instance(self, module: Module, reader: Tokens, at: int) -> None:
        master = reader.name()
        if reader.next == b"#":
            reader.take()
            if reader.next == b"(":
                reader.skip_parentheses()
            else:
                reader.take()
        while True:
            name = reader.name()
            if reader.next == b"[":
                raise Refused(f'"{show(name)}" is an array of instances', "Write its instances one by one.")
            reader.take(b"(")
            module.rows.add(master, name, reader.connections(), at)
            if not reader.next:
                return
            reader.take(b",")


def _header(module: Module, reader: Tokens) -> None:
    """The port list: names alone, `.name(expression)`, or full declarations whose kind and range carry over."""
    word, ends = b"", None
    while reader.next != b")":
        if reader.next in DIRECTIONS:
            word = reader.take()
            ends = reader.kind_and_range()
        elif reader.next == b"[":
            ends = reader.range()
        if reader.next == b"." and not word:
            reader.take()
            port = reader.name()
            reader.take(b"(")
            module.header.append((port, reader.until_close()))
        else:
            port = reader.name()
            module.header.append((port, None))
        if word:
            module.declare(port, ends, word)
        if reader.next != b")":
            reader.take(b",")
    reader.take(b")")


class ModuleTable:
    """All modules of the files read, and the names they share."""

    def __init__(self, *, scans: bool = True) -> None:
        """Start empty; `scans` lets the C scanner read what it knows."""
        self.scans, self.has_scanned = scans, False
        self.names = SharedNames()
        self.modules: dict[bytes, Module] = {}
        self.size = 0  # bytes of the files read

    def read(self, paths: Iterable[Path | str], defines: list[str]) -> None:
        """Read the modules of all files."""
        path: Path | str = "<none>"
        for path in paths:
            source = Source(path, self, defines)
            self.size += source.size
            source.read()
        if not self.modules:
            raise InputError("holds no module", path=path, mend="Give a structural Verilog netlist.")

    def add(self, module: Module) -> None:
        """Add a finished module; a second one of the same name is a fault."""
        known = self.modules.get(module.name)
        if known is not None:
            what = f'module "{show(module.name)}" is defined twice, first at {known.source.path}:{known.line}'
            module.source.fault(what, module.at, "Delete one of them.")
            return
        module.finish()
        self.modules[module.name] = module


def read_modules(paths: Iterable[Path | str], defines: Iterable[str]) -> ModuleTable:
    """The modules of the files.

    Raises:
        InputError: something outside the structural subset, or no module at all.
    """
    paths, defines = list(paths), list(defines)
    table = ModuleTable()
    try:
        table.read(paths, defines)
    except InputError:
        if not table.has_scanned:
            raise
        table.scans = False
    if not table.scans:  # Python words all faults
        table = ModuleTable(scans=False)
        table.read(paths, defines)
    return table
