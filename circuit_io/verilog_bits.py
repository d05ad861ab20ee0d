"""One Verilog module: its names and expressions resolved to bits, its instances as numbers."""

import re
from array import array
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int64

from circuit_io.verilog_text import SourceText

CONST_0, CONST_1, NOTHING = -1, -2, -3  # codes beside bit numbers; z and x connect nothing
MAX_BITS = 1 << 20  # of one vector or expression
MAX_MODULE_BITS = 1 << 27  # of all vectors and expressions of a module together
MAX_NESTING = 64  # of braces and parentheses in an expression

TOKENS = re.compile(rb"\s*+(\\\S++|[A-Za-z_$][\w$]*+|\d*\s*'\s*[sS]?[bodhBODH]\s*[\w?]++|\d+|\S)").findall
_SIMPLE = re.compile(
    rb"\s*+(?:([A-Za-z_][\w$]*+)|\\(\S++))\s*+(?:\[\s*+(-?\d{1,9})\s*+(?::\s*+(-?\d{1,9})\s*+)?\]\s*+)?"
).fullmatch
_SIZED = re.compile(rb"(\d{0,9})\s*'\s*([sS]?)([bodhBODH])\s*([0-9a-fA-FxXzZ?][0-9a-fA-FxXzZ?_]*)").fullmatch
_BESIDE_SIGN = re.compile(r" ?([\[\]:,(){}]) ?|(?<=[~!]) ")
_DIGIT_BITS = {b"b": 1, b"o": 3, b"h": 4}
_STRUCTURAL = "Only names, bit selects, constants and concatenations are structural."


class Refused(ValueError):
    """Something outside the structural subset, with its remedy."""

    def __init__(self, what: str = "", mend: str = "") -> None:
        """Keep both texts; the caller knows the place."""
        super().__init__(what)
        self.what, self.mend = what, mend


def show(name: bytes) -> str:
    """A name for a message."""
    return name.decode("utf-8", "replace")


def quoted(name: bytes) -> bytes:
    """The name so that `Module.bits` reads it whole."""
    return b"\\" + name + b" "


class Module:
    """One module; `finish` turns its names into bit numbers, ports first."""

    def __init__(self, name: bytes, at: int, source: SourceText) -> None:
        """Start empty; `source` is the file it stands in."""
        self.name, self.at, self.source = name, at, source
        self.ranges: dict[bytes, tuple[int, int] | None] = {}
        self.declared: dict[bytes, int] = {}  # direction of each name declared input, output or inout
        self.header: list[tuple[bytes, bytes | None]] = []  # port, expression it shows if not its own name
        self.assigns: list[tuple[bytes, bytes, int]] = []
        self.supplies: list[tuple[bytes, int]] = []
        self.exprs: dict[bytes, int] = {}  # numbered in order of first use
        self.expr_at = array("q")
        self.inst_names: list[bytes] = []
        self.inst_master, self.inst_at = array("i"), array("q")
        self.pin_ptr, self.conn_pin, self.conn_expr = array("q", [0]), array("i"), array("i")
        self.scalars: dict[bytes, int] = {}
        self.vectors: dict[bytes, tuple[int, int, int]] = {}  # left, right, first bit
        self.num_bits = 0
        self.ports: dict[bytes, list[int]] = {}
        self.directions: dict[bytes, int] = {}
        self.expr_ptr, self.expr_bits, self.expr_sized = array("q", [0]), array("q"), array("b")
        self.edges: list[tuple[int, int]] = []  # bits joined by assign; the second may be a constant
        self.num_resized = 0  # assigns between different widths

    @property
    def shown(self) -> dict[bytes, bytes | None]:
        """The expression that a port shows, None where it is a net of its own name."""
        return dict(self.header)

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
        self.source.fault(f'{what} (module "{show(self.name)}")', at, mend)

    def declare(self, name: bytes, ends: tuple[int, int] | None, direction: int) -> None:
        """Note a declaration; a net may be declared again as a port or with its range."""
        known = self.ranges.get(name)
        if ends is not None and known is not None and known != ends:
            raise Refused(f'"{show(name)}" is declared with two different ranges', "Keep one of the two.")
        self.ranges[name] = ends if known is None else known
        if direction < 0:
            return
        if self.declared.get(name, direction) != direction:
            raise Refused(f'port "{show(name)}" is declared with two directions', "Keep one of the two.")
        self.declared[name] = direction

    def finish(self) -> None:
        """Give every port, vector and expression its bits."""
        self._check_ports()
        for port, shown in self.header:
            if shown is None:
                self._place(port)
        for name, ends in self.ranges.items():
            if ends is not None:
                self._place(name)
        for port, shown in self.header:
            self.ports[port] = self.bits(quoted(port) if shown is None else shown, self.at)[0]
        self._resolve_exprs()
        for left, right, at in self.assigns:
            self._assign(left, right, at)
        for name, code in self.supplies:
            self.edges.extend((bit, code) for bit in self.bits(quoted(name), self.at)[0])

    def _resolve_exprs(self) -> None:
        """Bits of all expressions; the commonest kinds, a scalar and a bit of a vector, without a call each."""
        scalars, vectors = self.scalars, self.vectors
        expr_bits, expr_sized, expr_ptr = self.expr_bits, self.expr_sized, self.expr_ptr
        for expr, at in zip(self.exprs, self.expr_at, strict=True):
            found = _SIMPLE(expr)
            if found is not None and found[4] is None:
                name = found[1] or found[2]
                vector = vectors.get(name)
                bit = -1
                if vector is None and found[3] is None:
                    bit = scalars.setdefault(name, self.num_bits)
                    self.num_bits += bit == self.num_bits
                elif vector is not None and found[3] is not None:
                    left, right, base = vector
                    index = int(found[3])
                    if left <= index <= right or left >= index >= right:
                        bit = base + abs(index - left)
                if bit >= 0:
                    expr_bits.append(bit)
                    expr_sized.append(1)
                    expr_ptr.append(len(expr_bits))
                    continue
            bits, sized = self.bits(expr, at)
            expr_bits.extend(bits)
            expr_sized.append(sized)
            expr_ptr.append(len(expr_bits))
            if len(expr_bits) + self.num_bits > MAX_MODULE_BITS:
                raise Refused(f'module "{show(self.name)}" has more than {MAX_MODULE_BITS:,} bits')

    def expr(self, text: bytes, at: int) -> int:
        """The number of an expression."""
        number = self.exprs.setdefault(text, len(self.exprs))
        if number == len(self.expr_at):
            self.expr_at.append(at)
        return number

    def _check_ports(self) -> None:
        names = {port for port, _ in self.header}
        if len(names) < len(self.header):
            self.fault("a port is listed twice", self.at, "Keep one of the two.")
        for port, shown in self.header:
            inside = [port] if shown is None else [token.removeprefix(b"\\") for token in TOKENS(shown)]
            names.update(inside)
            direction = next((self.declared[n] for n in inside if n in self.declared), -1)
            if direction < 0 and (shown is None or shown.strip()):
                self.fault(f'port "{show(port)}" has no direction', self.at, "Declare it input, output or inout.")
            self.directions[port] = max(direction, 0)
        for name in self.declared:
            if name not in names:
                mend = "Add it to the port list, or declare it wire."
                self.fault(f'"{show(name)}" is declared as a port but is not in the port list', self.at, mend)

    def _place(self, name: bytes) -> None:
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
        (to, to_sized), (source, sized) = self.bits(left, at), self.bits(right, at)
        if not to_sized or any(bit < 0 for bit in to):
            self.fault("a constant stands left of = in assign", at, "Write the net that is driven on the left.")
            return
        if to and source and len(to) != len(source) and sized:
            self.num_resized += 1
        if to and source:
            source = [CONST_0] * (len(to) - len(source)) + source  # a shorter right side is filled with zeros
        for a, b in zip(reversed(to), reversed(source), strict=False):
            if b != NOTHING:
                self.edges.append((a, b))

    def bits(self, expr: bytes, at: int) -> tuple[list[int], bool]:
        """The bits of an expression, leftmost first, and whether its width is its own (False: an unsized number)."""
        try:
            found = _SIMPLE(expr)
            if found is not None:
                return self.selected(found[1] or found[2], found[3], found[4]), True
            return _Expression(self, expr).bits() if expr.strip() else ([], True)
        except Refused as e:
            shown = _BESIDE_SIGN.sub(lambda m: m[1] or "", show(b" ".join(expr.split())[:60]))
            self.fault(e.what or f'"{shown}" is an expression', at, e.mend if e.what else _STRUCTURAL)
            return [], True

    def selected(self, name: bytes, first: bytes | None, last: bytes | None) -> list[int]:
        """The bits of `name`, `name[first]` or `name[first:last]`."""
        vector = self.vectors.get(name)
        if vector is None:
            if first is None:
                return [self._scalar(name)]
            mend = "Declare it with a range, or write the name escaped if the brackets belong to it."
            raise Refused(f'"{show(name)}" is indexed but is not a vector', mend)
        left, right, base = vector
        step = 1 if right >= left else -1
        start, stop = (left, right) if first is None else (int(first), int(first if last is None else last))
        a, b = (start - left) * step, (stop - left) * step
        if not (0 <= a <= b <= abs(right - left)):
            shown = f"[{start}]" if last is None else f"[{start}:{stop}]"
            raise Refused(f'"{show(name)}{shown}" is outside its range [{left}:{right}]', "Check the declaration.")
        return list(range(base + a, base + b + 1))

    def bit_names(self, bits: Int64[np.ndarray, " n"]) -> list[bytes]:
        """The names of bits, `a[3]` for one of a vector."""
        scalar_names, vectors = list(self.scalars), list(self.vectors.items())
        scalar_bits = np.fromiter(self.scalars.values(), np.int64, len(scalar_names))
        vector_bits = np.array([base for _, (_, _, base) in vectors], np.int64)
        in_scalars = np.searchsorted(scalar_bits, bits)  # both rise: bits are given out in order
        in_vectors = np.searchsorted(vector_bits, bits, side="right") - 1
        is_scalar = np.zeros(len(bits), bool)
        if scalar_names:
            is_scalar = scalar_bits[in_scalars.clip(max=len(scalar_names) - 1)] == bits
        out = []
        for bit, scalar, s, v in zip(
            bits.tolist(), is_scalar.tolist(), in_scalars.tolist(), in_vectors.tolist(), strict=True
        ):
            if scalar:
                out.append(scalar_names[s])
            else:
                name, (left, right, base) = vectors[v]
                out.append(b"%b[%d]" % (name, left + (bit - base) * (1 if right >= left else -1)))
        return out


class _Expression:
    """Concatenations, replications and numbers, by recursive descent with a depth limit."""

    def __init__(self, module: Module, expr: bytes) -> None:
        self.module = module
        self.tokens: list[bytes] = [*TOKENS(expr), b""]
        self.i = 0
        self.depth = 0

    def bits(self) -> tuple[list[int], bool]:
        value, sized = self.primary()
        if self.tokens[self.i]:
            raise Refused
        return value, sized

    def take(self, wanted: bytes = b"") -> bytes:
        token = self.tokens[self.i]
        if (wanted and token != wanted) or not token:
            raise Refused
        self.i += 1
        return token

    def primary(self) -> tuple[list[int], bool]:
        token = self.take()
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise Refused(f"an expression is nested deeper than {MAX_NESTING}", _STRUCTURAL)
        if token == b"{":
            out = self.concatenation(), True
        elif token == b"(":
            out = self.primary()
            self.take(b")")
        elif token[:1] == b"\\" or token[:1] == b"_" or token[:1].isalpha():
            out = self.name(token), True
        elif b"'" in token:
            out = _number(token)
        elif token.isdigit():
            out = _number_bits(int(token[:18]), 32), False
        else:
            raise Refused
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
        return self.module.selected(token.removeprefix(b"\\"), ends[0], ends[1])

    def integer(self) -> bytes:
        sign = b"-" if self.tokens[self.i] == b"-" else b""
        self.i += len(sign)
        token = self.take()
        if not token.isdigit() or len(token) > 9:
            raise Refused("an index is not a number", _STRUCTURAL)
        return sign + token

    def concatenation(self) -> list[int]:
        out: list[int] = []
        if self.tokens[self.i].isdigit() and self.tokens[self.i + 1] == b"{":
            times = int(self.take()[:9])
            self.i += 1
            self.depth += 1
            if self.depth > MAX_NESTING:
                raise Refused(f"an expression is nested deeper than {MAX_NESTING}", _STRUCTURAL)
            out = self.limited(self.concatenation(), times)
            self.depth -= 1
            self.take(b"}")
            return out
        while True:
            value, sized = self.primary()
            if not sized:
                raise Refused("a number without a width stands in a concatenation", "Write it with its width: 1'b0.")
            out += self.limited(value, 1)
            if (token := self.take()) == b"}":
                return self.limited(out, 1)
            if token != b",":
                raise Refused

    def limited(self, bits: list[int], times: int) -> list[int]:
        if len(bits) * times > MAX_BITS:
            raise Refused(f"an expression has more than {MAX_BITS:,} bits", _STRUCTURAL)
        return bits * times


def _number(token: bytes) -> tuple[list[int], bool]:
    found = _SIZED(token)
    if found is None:
        raise Refused(f'"{show(token)}" is not a number', "Write it as 4'b0101 or 4'hA.")
    width = int(found[1] or 32)
    if not 0 < width <= MAX_BITS:
        raise Refused(f'"{show(token)}" has no bits, or more than {MAX_BITS:,}', "Check its width.")
    return _based_bits(found[3].lower(), found[4].replace(b"_", b"").lower(), width), bool(found[1])


def _number_bits(value: int, width: int) -> list[int]:
    return [CONST_1 if (value >> i) & 1 else CONST_0 for i in reversed(range(width))]


def _based_bits(base: bytes, digits: bytes, width: int) -> list[int]:
    if base == b"d":
        if not digits.isdigit():
            return [NOTHING] * width  # 'dx, 'dz
        if len(digits) > 4000:
            raise Refused("a decimal number has more than 4000 digits", "Write it in base 16.")
        return _number_bits(int(digits), width)
    size = _DIGIT_BITS[base]
    bits: list[int] = []
    for digit in digits.decode()[-width:]:
        if digit in "xz?":
            bits += [NOTHING] * size
        elif int(digit, 16) >> size:
            raise Refused(f'"{digit}" is no digit of its base', "Check the number.")
        else:
            bits += _number_bits(int(digit, 16), size)
    fill = NOTHING if bits[0] == NOTHING else CONST_0
    return ([fill] * (width - len(bits)) + bits)[-width:]


def joined(tokens: Iterable[bytes]) -> bytes:
    """Tokens as text again; escaped names keep the blank that ends them."""
    return b" ".join(tokens) + b" "
