"""Structural Verilog modules: one regular-expression match per statement, names and expressions interned as they come.

The common instance (named pins without nested parentheses) is checked whole by one pattern; whatever that pattern does
not take goes through a slower token reader, which either understands it or notes a fault. Nothing is skipped.
"""

import re
from array import array
from collections.abc import Iterable
from pathlib import Path

from circuit_io.errors import MAX_SHOWN, Faults, InputError
from circuit_io.text import line_of, read_bytes
from circuit_io.verilog_text import plain

CONST_0, CONST_1, NOTHING = -1, -2, -3  # codes beside bit numbers; z and x connect nothing
MAX_BITS = 1 << 20  # of one vector or expression
MAX_NESTING = 64  # of braces and parentheses in an expression

_ID = rb"(?:[A-Za-z_][\w$]*+|\\\S++)"
_PIN = rb"\.\s*+" + _ID + rb"\s*+\((?:[^()\\;]++|\\\S++)*+\)"
_PINS = rb"\s*+(?:" + _PIN + rb"\s*+(?:,\s*+" + _PIN + rb"\s*+)*+)?+"
_INST = re.compile(rb"\s*+(" + _ID + rb")\s++(" + _ID + rb")\s*+\((" + _PINS + rb")\)\s*+;").match
_EACH_PIN = re.compile(rb"\.\s*+(" + _ID + rb")\s*+\(((?:[^()\\;]++|\\\S++)*+)\)").findall
_WIRES = re.compile(rb"(?:\s*+wire\s++" + _ID + rb"\s*+;)++").match
_STATEMENT = re.compile(rb"\s*+((?:[^;\\]++|\\\S++)*+);").match
_END_WORD = re.compile(rb"\s*+(?:endmodule\b|endprimitive\b)").match
_FIRST = re.compile(rb"\s*+(?:([A-Za-z_$][\w$]*+)|(\\\S++)|(\S)|\Z)").match
_TO_END = re.compile(rb"\\\S++|\bendmodule\b").finditer
_TOKEN = re.compile(rb"\s*+(\\\S++|[A-Za-z_$][\w$]*+|\d*\s*'\s*[sS]?[bodhBODH]\s*[\w?]++|\d+|\S)").findall
_SIMPLE = re.compile(
    rb"\s*+(?:([A-Za-z_][\w$]*+)|\\(\S++))\s*+(?:\[\s*+(-?\d{1,9})\s*+(?::\s*+(-?\d{1,9})\s*+)?\]\s*+)?"
).fullmatch
_SIZED = re.compile(rb"(\d{0,9})\s*'\s*([sS]?)([bodhBODH])\s*([0-9a-fA-FxXzZ?][0-9a-fA-FxXzZ?_]*)").fullmatch

_DIRECTIONS = {b"input": 0, b"output": 1, b"inout": 2}
_NETS = {b"wire", b"tri", b"supply0", b"supply1"}
_IGNORED = {b"parameter", b"localparam", b"defparam", b"specparam"}  # ranges are numbers, so these change no structure
_PRIMITIVES = set(
    b"and nand or nor xor xnor buf not bufif0 bufif1 notif0 notif1 nmos pmos cmos rnmos rpmos rcmos tran tranif0"
    b" tranif1 rtran rtranif0 rtranif1 pullup pulldown".split()
)
_BEHAVIOURAL = set(
    b"always always_comb always_ff always_latch initial reg integer real realtime time event function task generate"
    b" genvar for if case casex casez begin fork forever repeat while specify primitive table logic bit byte interface"
    b" package import class program typedef enum struct union assert property sequence bind final wand wor triand"
    b" trior tri0 tri1 trireg deassign force release else end".split()
)
_KEYWORDS = {*_DIRECTIONS, *_NETS, *_IGNORED, *_PRIMITIVES, *_BEHAVIOURAL, b"module", b"macromodule", b"assign"}
_KEYWORDS |= {b"endmodule"}
_STRUCTURE = "Only instances, nets and plain assigns are read: give the netlist that synthesis wrote, not RTL."


class _Ids(dict[bytes, int]):
    """Numbers byte strings in order of first use."""

    def __missing__(self, key: bytes) -> int:
        value = self[key] = len(self)
        return value


class _Exprs(_Ids):
    """Numbers expression texts, and keeps where each was first seen."""

    now = 0

    def __init__(self) -> None:
        super().__init__()
        self.at = array("q")

    def __missing__(self, key: bytes) -> int:
        self.at.append(self.now)
        return super().__missing__(key)


class Module:
    """One module: its names resolved to bits, its instances and connections as numbers."""

    def __init__(self, name: bytes, at: int, source: "Source") -> None:
        """Start empty; `source` is the file it stands in."""
        self.name, self.at, self.source = name, at, source
        self.ranges: dict[bytes, tuple[int, int] | None] = {}
        self.directions: dict[bytes, int] = {}
        self.header: list[tuple[bytes, bytes | None]] = []  # port, expression it shows if not its own name
        self.assigns: list[tuple[bytes, bytes, int]] = []
        self.supplies: list[tuple[bytes, int]] = []
        self.exprs = _Exprs()
        self.inst_names: list[bytes] = []
        self.inst_master, self.inst_at = array("i"), array("q")
        self.pin_ptr, self.conn_pin, self.conn_expr = array("q", [0]), array("i"), array("i")
        self.scalars: dict[bytes, int] = {}
        self.vectors: dict[bytes, tuple[int, int, int]] = {}
        self.num_bits = 0
        self.ports: dict[bytes, list[int]] = {}
        self.expr_ptr, self.expr_bits = array("q", [0]), array("q")
        self.edges: list[tuple[int, int]] = []  # bits joined by assign; the second may be a constant

    @property
    def is_stub(self) -> bool:
        """Whether it says nothing but its ports: the outside of a library cell or macro."""
        return not (self.inst_names or self.assigns or self.supplies)

    @property
    def line(self) -> int:
        """Line of its `module`."""
        return self.source.line(self.at)

    def fault(self, what: str, at: int, mend: str = "") -> None:
        """Note a fault at a position of its file."""
        self.source.fault(f'{what} (module "{_show(self.name)}")', at, mend)

    def finish(self) -> None:
        """Give every port, vector and expression its bits."""
        for port, _ in self.header:
            if port not in self.directions:
                mend = "Declare it as input, output or inout."
                self.fault(f'port "{_show(port)}" has no direction', self.at, mend)
        for port in self.directions:
            if not any(port == name for name, _ in self.header) and port not in self._header_names():
                self.fault(f'"{_show(port)}" is declared as a port but is not in the port list', self.at)
        for port, shown in self.header:
            if shown is None:
                self._declare(port)
        for name, ends in self.ranges.items():
            if ends is not None:
                self._declare(name)
        for port, shown in self.header:
            self.ports[port] = self.bits(_quoted(port) if shown is None else shown, self.at)[0]
        for expr, at in zip(self.exprs, self.exprs.at, strict=True):
            self.expr_bits.extend(self.bits(expr, at)[0])
            self.expr_ptr.append(len(self.expr_bits))
        for left, right, at in self.assigns:
            self._assign(left, right, at)
        for name, code in self.supplies:
            self.edges.extend((bit, code) for bit in self.bits(_quoted(name), self.at)[0])

    def _header_names(self) -> set[bytes]:
        """Names of nets inside header port expressions, which carry the direction in their stead."""
        return {t.lstrip(b"\\") for _, shown in self.header if shown is not None for t in _TOKEN(shown)}

    def _declare(self, name: bytes) -> None:
        ends = self.ranges.get(name)
        if ends is None:
            self._scalar(name)
        elif name not in self.vectors:
            self.vectors[name] = (ends[0], ends[1], self.num_bits)
            self.num_bits += abs(ends[1] - ends[0]) + 1

    def _scalar(self, name: bytes) -> int:
        bit = self.scalars.get(name)
        if bit is None:
            bit = self.scalars[name] = self.num_bits
            self.num_bits += 1
        return bit

    def _assign(self, left: bytes, right: bytes, at: int) -> None:
        (to, _), (source, _) = self.bits(left, at), self.bits(right, at)
        if any(bit < 0 for bit in to):
            self.fault("a constant stands left of = in assign", at)
            return
        if len(to) > len(source) and to and source:
            source = [CONST_0] * (len(to) - len(source)) + source  # a shorter right side is filled with zeros
        for a, b in zip(reversed(to), reversed(source), strict=False):
            if b != NOTHING:
                self.edges.append((a, b))

    def bits(self, expr: bytes, at: int) -> tuple[list[int], bool]:
        """The bits of an expression, leftmost first, and whether its width is its own (False: an unsized number)."""
        found = _SIMPLE(expr)
        if found is None:
            if not expr.strip():
                return [], True
            return _Expression(self, expr, at).bits()
        return self.selected(found[1] or found[2], found[3], found[4], at), True

    def selected(self, name: bytes, first: bytes | None, last: bytes | None, at: int) -> list[int]:
        """The bits of `name`, `name[first]` or `name[first:last]`."""
        vector = self.vectors.get(name)
        if vector is None:
            if first is None:
                return [self._scalar(name)]
            mend = "Declare it with a range, or write the name escaped if the brackets belong to it."
            self.fault(f'"{_show(name)}" is indexed but is not a vector', at, mend)
            return []
        left, right, base = vector
        step = 1 if right >= left else -1
        start, stop = (left, right) if first is None else (int(first), int(first if last is None else last))
        a, b = (start - left) * step, (stop - left) * step
        width = abs(right - left) + 1
        if not (0 <= a <= b < width):
            shown = f"[{start}]" if start == stop else f"[{start}:{stop}]"
            self.fault(f'"{_show(name)}{shown}" is outside its range [{left}:{right}]', at)
            return []
        return list(range(base + a, base + b + 1))

    def bit_names(self) -> list[bytes]:
        """The name of each of its bits, `a[3]` for one of a vector."""
        names = [b""] * self.num_bits
        for name, bit in self.scalars.items():
            names[bit] = name
        for name, (left, right, base) in self.vectors.items():
            step = 1 if right >= left else -1
            for i in range(abs(right - left) + 1):
                names[base + i] = b"%b[%d]" % (name, left + i * step)
        return names


class _Expression:
    """Concatenations, replications and numbers, by recursive descent with a depth limit."""

    def __init__(self, module: Module, expr: bytes, at: int) -> None:
        self.module, self.expr, self.at = module, expr, at
        self.tokens: list[bytes] = [*_TOKEN(expr), b""]
        self.i = 0
        self.depth = 0

    def bits(self) -> tuple[list[int], bool]:
        try:
            value, sized = self.primary()
            if self.tokens[self.i]:
                raise ValueError
        except ValueError as e:
            shown = _show(b" ".join(self.expr.split())[:60])
            what = str(e) or f'"{shown}" is an expression'
            mend = "Only names, bit selects, constants and concatenations are structural."
            self.module.fault(what, self.at, mend)
            return [], True
        return value, sized

    def take(self, wanted: bytes = b"") -> bytes:
        token = self.tokens[self.i]
        if (wanted and token != wanted) or not token:
            raise ValueError
        self.i += 1
        return token

    def primary(self) -> tuple[list[int], bool]:
        token = self.take()
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise ValueError(f"an expression is nested deeper than {MAX_NESTING}")
        if token == b"{":
            out = self.concatenation(), True
        elif token == b"(":
            out = self.primary()
            self.take(b")")
        elif b"'" in token and token[:1] != b"\\":
            out = self.number(token)
        elif token.isdigit():
            out = _number_bits(int(token[:18]), 32), False
        elif token[:1] == b"\\" or token[:1] == b"_" or token[:1].isalpha():
            out = self.name(token), True
        else:
            raise ValueError
        self.depth -= 1
        return out

    def name(self, token: bytes) -> list[int]:
        ends: list[bytes | None] = [None, None]
        if self.tokens[self.i] == b"[":
            self.i += 1
            ends[0] = self.integer()
            if self.tokens[self.i] == b":":
                self.i += 1
                ends[1] = self.integer()
            self.take(b"]")
        return self.module.selected(token.removeprefix(b"\\"), ends[0], ends[1], self.at)

    def integer(self) -> bytes:
        sign = b"-" if self.tokens[self.i] == b"-" else b""
        self.i += len(sign)
        token = self.take()
        if not token.isdigit() or len(token) > 9:
            raise ValueError("an index is not a number")
        return sign + token

    def concatenation(self) -> list[int]:
        if self.tokens[self.i].isdigit() and self.tokens[self.i + 1] == b"{":
            times = int(self.take()[:9])
            self.i += 1
            inner = self.concatenation()
            self.take(b"}")
            if times * len(inner) > MAX_BITS:
                raise ValueError(f"an expression has more than {MAX_BITS} bits")
            return inner * times
        out: list[int] = []
        while True:
            value, sized = self.primary()
            if not sized:
                raise ValueError("a number without a width stands in a concatenation")
            out += value
            if len(out) > MAX_BITS:
                raise ValueError(f"an expression has more than {MAX_BITS} bits")
            if self.take() == b"}":
                return out
            if self.tokens[self.i - 1] != b",":
                raise ValueError

    def number(self, token: bytes) -> tuple[list[int], bool]:
        found = _SIZED(token)
        if found is None:
            raise ValueError(f'"{_show(token)}" is not a number')
        width = int(found[1] or 32)
        if not 0 < width <= MAX_BITS:
            raise ValueError(f'"{_show(token)}" has no bits, or more than {MAX_BITS}')
        return _based_bits(found[3].lower(), found[4].replace(b"_", b"").lower(), width), bool(found[1])


_DIGIT_BITS = {b"b": 1, b"o": 3, b"h": 4}


def _number_bits(value: int, width: int) -> list[int]:
    return [CONST_1 if (value >> i) & 1 else CONST_0 for i in reversed(range(width))]


def _based_bits(base: bytes, digits: bytes, width: int) -> list[int]:
    if base == b"d":
        if not digits.isdigit():
            return [NOTHING] * width  # 'dx, 'dz
        if len(digits) > 4000:
            raise ValueError("a decimal number has more than 4000 digits")
        return _number_bits(int(digits), width)
    size = _DIGIT_BITS[base]
    bits: list[int] = []
    for digit in digits.decode():
        if digit in "xz?":
            bits += [NOTHING] * size
        elif int(digit, 16) >> size:
            raise ValueError(f'"{digit}" is no digit of its base')
        else:
            bits += _number_bits(int(digit, 16), size)
    fill = NOTHING if bits[0] == NOTHING else CONST_0
    return ([fill] * (width - len(bits)) + bits)[-width:]


def _show(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _quoted(name: bytes) -> bytes:
    """The name so that `Module.bits` reads it whole."""
    return b"\\" + name + b" "


def _joined(tokens: Iterable[bytes]) -> bytes:
    """Tokens as text again; escaped names keep the blank that ends them."""
    return b" ".join(tokens) + b" "


class Source:
    """Reads the modules of one file; faults are gathered, not raised."""

    def __init__(self, path: Path | str, library: "ModuleTable", defines: Iterable[str] = ()) -> None:
        """Take the text of the file, comments blanked and directives carried out."""
        self.path, self.library = path, library
        self.faults = Faults(path)
        self.text = plain(read_bytes(path), self.faults, defines)
        self.module: Module | None = None

    def line(self, at: int) -> int:
        """Line number of a position."""
        return line_of(self.text, at)

    def fault(self, what: str, at: int, mend: str = "") -> None:
        """Note a fault; only the ones that will be shown pay for a line number."""
        self.faults.add(what, line=self.line(at) if self.faults.total < MAX_SHOWN else 0, mend=mend)

    def read(self) -> None:
        """Read all modules into the table."""
        at = 0
        while at >= 0:
            if self.module is not None:
                at = self._instances(self.module, at)
            at = self._statement(at)
        if self.module is not None:
            mend = "The file is cut short, or endmodule is missing."
            self.fault(f'the file ends inside module "{_show(self.module.name)}"', self.module.at, mend)
        self.faults.raise_if_any()

    def _instances(self, module: Module, at: int) -> int:
        """Take all plain instances and wires from here on; the position of the first thing that is neither."""
        text, exprs, masters, pins = self.text, module.exprs, self.library.masters, self.library.pins
        conn_pin, conn_expr, pin_ptr = module.conn_pin.append, module.conn_expr.append, module.pin_ptr.append
        inst_name, inst_master, inst_at = module.inst_names.append, module.inst_master.append, module.inst_at.append
        while True:
            found = _INST(text, at)
            if found is None:
                found = _WIRES(text, at)
                if found is None:
                    return at
                at = found.end()
                continue
            master, name, body = found.groups()
            if master in _KEYWORDS or name in _KEYWORDS:
                return at
            exprs.now = found.start(1)
            inst_at(found.start(1))
            inst_master(masters[master])
            inst_name(name[1:] if name[0] == 92 else name)
            for pin, expr in _EACH_PIN(body):
                conn_pin(pins[pin])
                conn_expr(exprs[expr])
            pin_ptr(len(module.conn_pin))
            at = found.end()

    def _statement(self, at: int) -> int:
        """Take one statement of any other kind; -1 at the end of the file."""
        end = _END_WORD(self.text, at)
        if end:
            self._endmodule(end.end() - len(b"endmodule"))
            return end.end()
        first = _FIRST(self.text, at)
        assert first is not None
        if first.lastindex is None:
            return -1
        start, word = first.start(first.lastindex), first[1] or b""
        if word in _BEHAVIOURAL or word in _PRIMITIVES or word[:1] == b"$":
            kind = "gate primitive" if word in _PRIMITIVES else "behavioural construct"
            mend = "Map gates to library cells first." if word in _PRIMITIVES else _STRUCTURE
            self.fault(f"{kind} `{_show(word)}`", start, mend)
            return self._skip_module(start)
        found = _STATEMENT(self.text, at)
        if found is None:
            self.fault(f"a statement without its semicolon: {self.text[start : start + 40]!r}"[:120], start)
            return -1
        try:
            self._read_statement(word, _TOKEN(found[1]), start)
        except ValueError as e:
            what = str(e) or f'not understood: "{_show(b" ".join(found[1].split())[:60])}"'
            self.fault(what, start, _STRUCTURE)
        return found.end()

    def _skip_module(self, at: int) -> int:
        for found in _TO_END(self.text, at):
            if found[0][:1] != b"\\":
                return found.start()
        self.module = None
        return -1

    def _endmodule(self, at: int) -> None:
        if self.module is None:
            self.fault("endmodule without module", at)
            return
        self.library.add(self.module)
        self.module = None

    def _read_statement(self, word: bytes, tokens: list[bytes], at: int) -> None:
        reader = _Tokens(tokens)
        if word in (b"module", b"macromodule"):
            if self.module is not None:
                shown = _show(self.module.name)
                self.fault(f'module "{shown}" is not closed before the next', self.module.at, "Add its endmodule.")
            self._open_module(reader, at)
        elif self.module is None:
            raise ValueError(f'"{_show(tokens[0]) if tokens else ";"}" stands outside a module')
        elif not tokens or word in _IGNORED:
            return
        elif word in _DIRECTIONS or word in _NETS:
            self._declaration(self.module, reader, at)
        elif word == b"assign":
            reader.take()
            for left, right in reader.equations():
                self.module.assigns.append((left, right, at))
        else:
            self._instance(self.module, reader, at)

    def _open_module(self, reader: "_Tokens", at: int) -> None:
        reader.take()
        module = self.module = Module(reader.name(), at, self)
        if reader.next == b"#":
            reader.take()
            reader.skip_parentheses()
        if reader.next == b"(":
            reader.take()
            self._header(module, reader)
        reader.end()

    def _header(self, module: Module, reader: "_Tokens") -> None:
        """The port list: names alone, `.name(expression)`, or full declarations whose kind and range carry over."""
        direction, ends = -1, None
        while reader.next != b")":
            if reader.next in _DIRECTIONS:
                direction, ends = _DIRECTIONS[reader.take()], None
                ends = reader.kind_and_range()
            elif reader.next == b"[":
                ends = reader.range()
            if reader.next == b".":
                reader.take()
                port = reader.name()
                reader.take(b"(")
                shown = reader.until_close()
                module.header.append((port, shown))
                module.directions.setdefault(port, -1)
            else:
                port = reader.name()
                module.header.append((port, None))
                if direction >= 0:
                    self._declare(module, port, ends, direction)
            if reader.next != b")":
                reader.take(b",")
        reader.take(b")")

    def _declaration(self, module: Module, reader: "_Tokens", at: int) -> None:
        word = reader.take()
        direction = _DIRECTIONS.get(word, -1)
        ends = reader.kind_and_range()
        while True:
            name = reader.name()
            self._declare(module, name, ends, direction)
            if word in (b"supply0", b"supply1"):
                module.supplies.append((name, CONST_0 if word == b"supply0" else CONST_1))
            if reader.next == b"=":
                reader.take()
                module.assigns.append((_quoted(name), reader.until_comma(), at))
            if not reader.next:
                return
            reader.take(b",")

    def _declare(self, module: Module, name: bytes, ends: tuple[int, int] | None, direction: int) -> None:
        known = module.ranges.get(name)
        if name in module.ranges and ends is not None and known is not None and known != ends:
            raise ValueError(f'"{_show(name)}" is declared with two different ranges')
        module.ranges[name] = ends if known is None else known
        if direction < 0:
            return
        if module.directions.get(name, direction) not in (-1, direction):
            raise ValueError(f'port "{_show(name)}" is declared with two directions')
        module.directions[name] = direction

    def _instance(self, module: Module, reader: "_Tokens", at: int) -> None:
        master = reader.name()
        if reader.next == b"#":
            reader.take()
            if reader.next == b"(":
                reader.skip_parentheses()
            else:
                reader.take()
        module.exprs.now = at
        while True:
            name = reader.name()
            if reader.next == b"[":
                raise ValueError(f'"{_show(name)}" is an array of instances')
            reader.take(b"(")
            conns = reader.connections()
            module.inst_at.append(at)
            module.inst_master.append(self.library.masters[master])
            module.inst_names.append(name)
            for i, (pin, expr) in enumerate(conns):
                module.conn_pin.append(-1 - i if pin is None else self.library.pins[pin])
                module.conn_expr.append(module.exprs[expr])
            module.pin_ptr.append(len(module.conn_pin))
            if not reader.next:
                return
            reader.take(b",")


class _Tokens:
    """One statement as tokens; ValueError where it is not what was expected."""

    def __init__(self, tokens: list[bytes]) -> None:
        self.tokens = [*tokens, b""]
        self.i = 0

    @property
    def next(self) -> bytes:
        return self.tokens[self.i]

    def take(self, wanted: bytes = b"") -> bytes:
        token = self.tokens[self.i]
        if not token or (wanted and token != wanted):
            raise ValueError
        self.i += 1
        return token

    def end(self) -> None:
        if self.next:
            raise ValueError

    def name(self) -> bytes:
        token = self.take()
        if token[:1] == b"\\" and len(token) > 1:
            return token[1:]
        if not (token[:1].isalpha() or token[:1] == b"_") or b"'" in token:
            raise ValueError
        if token in _KEYWORDS:
            raise ValueError(f"keyword `{_show(token)}` where a name should be")
        return token

    def number(self) -> int:
        sign = -1 if self.next == b"-" else 1
        self.i += sign < 0
        token = self.take()
        if not token.isdigit() or len(token) > 9:
            raise ValueError("a range is not made of numbers")
        return sign * int(token)

    def range(self) -> tuple[int, int]:
        self.take(b"[")
        left = self.number()
        self.take(b":")
        right = self.number()
        self.take(b"]")
        if abs(left - right) >= MAX_BITS:
            raise ValueError(f"a vector has more than {MAX_BITS} bits")
        return left, right

    def kind_and_range(self) -> tuple[int, int] | None:
        while self.next in (b"wire", b"tri", b"signed", b"unsigned", b"scalared", b"vectored"):
            self.take()
        if self.next in _KEYWORDS:
            raise ValueError(f"behavioural construct `{_show(self.next)}`")
        return self.range() if self.next == b"[" else None

    def skip_parentheses(self) -> None:
        self.take(b"(")
        self.until_close()

    def until_close(self) -> bytes:
        """The text up to the parenthesis that closes an open one, which is taken too."""
        depth, start = 1, self.i
        while depth:
            token = self.take()
            depth += (token == b"(") - (token == b")")
        return _joined(self.tokens[start : self.i - 1])

    def until_comma(self) -> bytes:
        """The text up to the next comma outside brackets, or the end."""
        depth, start = 0, self.i
        while self.next and (depth or self.next not in (b",", b")")):
            depth += (self.next in (b"{", b"(")) - (self.next in (b"}", b")"))
            self.i += 1
        return _joined(self.tokens[start : self.i])

    def equations(self) -> Iterable[tuple[bytes, bytes]]:
        """`left = right, left = right`."""
        while True:
            start = self.i
            while self.take() != b"=":
                pass
            left = _joined(self.tokens[start : self.i - 1])
            yield left, self.until_comma()
            if not self.next:
                return
            self.take(b",")

    def connections(self) -> list[tuple[bytes | None, bytes]]:
        """Pins and expressions up to the closing parenthesis; the pin is None where the place says which."""
        out: list[tuple[bytes | None, bytes]] = []
        while self.next != b")":
            if self.next == b".":
                self.take()
                pin = self.name()
                if self.next != b"(":
                    raise ValueError(f'".{_show(pin)}" without its net')
                self.take(b"(")
                out.append((pin, self.until_close()))
            else:
                out.append((None, self.until_comma()))
            if self.next == b",":
                self.take()
                if self.next == b")":
                    out.append((None, b""))
            elif self.next != b")":
                raise ValueError
        self.take(b")")
        if len({pin is None for pin, _ in out}) > 1:
            raise ValueError("pins by name and by place are mixed")
        return out


class ModuleTable:
    """All modules of the files read, and the names they share."""

    def __init__(self) -> None:
        """Start empty."""
        self.masters, self.pins = _Ids(), _Ids()
        self.modules: dict[bytes, Module] = {}

    def add(self, module: Module) -> None:
        """Add a finished module; a second one of the same name is a fault."""
        known = self.modules.get(module.name)
        if known is not None:
            what = f'module "{_show(module.name)}" is defined twice, first at {known.source.path}:{known.line}'
            module.source.fault(what, module.at, "Delete one of them.")
            return
        module.finish()
        self.modules[module.name] = module


def read_modules(paths: Iterable[Path | str], defines: Iterable[str]) -> ModuleTable:
    """The modules of the files.

    Raises:
        InputError: something outside the structural subset, or no module at all.
    """
    table = ModuleTable()
    defines = list(defines)
    path: Path | str = "<none>"
    for path in paths:
        Source(path, table, defines).read()
    if not table.modules:
        raise InputError("holds no module", path=path, mend="Give a structural Verilog netlist.")
    return table
