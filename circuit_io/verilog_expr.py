"""Verilog expressions of nets: names, selects, numbers, concatenations and replications as bits."""

import re
from collections.abc import Callable, Iterable

from circuit_io.verilog_words import CONST_0, CONST_1, NOTHING

MAX_BITS = 1 << 20  # of one vector or expression
MAX_NESTING = 64  # of braces and parentheses in an expression

TOKENS = re.compile(rb"\s*+(\\\S++|[A-Za-z_$][\w$]*+|\d*\s*'\s*[sS]?[bodhBODH]\s*[\w?]++|\d+|\S)").findall
_SIZED = re.compile(rb"(\d{0,9})\s*'\s*([sS]?)([bodhBODH])\s*([0-9a-fA-FxXzZ?][0-9a-fA-FxXzZ?_]*)").fullmatch
_DIGIT_BITS = {b"b": 1, b"o": 3, b"h": 4}
STRUCTURAL = "Only names, bit selects, constants and concatenations are structural."


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


class Expression:
    """Concatenations, replications and numbers, by recursive descent with a depth limit."""

    def __init__(self, expr: bytes, selected: "Callable[[bytes, bytes | None, bytes | None], list[int]]") -> None:
        """`selected` gives the bits of `name`, `name[first]` or `name[first:last]`."""
        self._selected = selected
        self._tokens: list[bytes] = [*TOKENS(expr), b""]
        self._i = 0
        self._depth = 0

    def bits(self) -> tuple[list[int], bool]:
        """The bits, leftmost first, and whether their number is its own."""
        value, sized = self._primary()
        if self._tokens[self._i]:
            raise Refused
        return value, sized

    def _take(self, wanted: bytes = b"") -> bytes:
        token = self._tokens[self._i]
        if (wanted and token != wanted) or not token:
            raise Refused
        self._i += 1
        return token

    def _primary(self) -> tuple[list[int], bool]:
        token = self._take()
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise Refused(f"an expression is nested deeper than {MAX_NESTING}", STRUCTURAL)
        if token == b"{":
            out = self._concatenation(), True
        elif token == b"(":
            out = self._primary()
            self._take(b")")
        elif token[:1] == b"\\" or token[:1] == b"_" or token[:1].isalpha():
            out = self._name(token), True
        elif b"'" in token:
            out = _number(token)
        elif token.isdigit():
            out = _number_bits(int(token[:18]), 32), False
        else:
            raise Refused
        self._depth -= 1
        return out

    def _name(self, token: bytes) -> list[int]:
        ends: list[bytes | None] = [None, None]
        if self._tokens[self._i] == b"[":
            self._i += 1
            ends[0] = self._integer()
            if self._tokens[self._i] == b":":
                self._i += 1
                ends[1] = self._integer()
            self._take(b"]")
        return self._selected(token.removeprefix(b"\\"), ends[0], ends[1])

    def _integer(self) -> bytes:
        sign = b"-" if self._tokens[self._i] == b"-" else b""
        self._i += len(sign)
        token = self._take()
        if not token.isdigit() or len(token) > 9:
            raise Refused("an index is not a number", STRUCTURAL)
        return sign + token

    def _concatenation(self) -> list[int]:
        out: list[int] = []
        if self._tokens[self._i].isdigit() and self._tokens[self._i + 1] == b"{":
            times = int(self._take()[:9])
            self._i += 1
            self._depth += 1
            if self._depth > MAX_NESTING:
                raise Refused(f"an expression is nested deeper than {MAX_NESTING}", STRUCTURAL)
            out = self._limited(self._concatenation(), times)
            self._depth -= 1
            self._take(b"}")
            return out
        while True:
            value, sized = self._primary()
            if not sized:
                raise Refused("a number without a width stands in a concatenation", "Write it with its width: 1'b0.")
            out += self._limited(value, 1)
            if (token := self._take()) == b"}":
                return self._limited(out, 1)
            if token != b",":
                raise Refused

    def _limited(self, bits: list[int], times: int) -> list[int]:
        if len(bits) * times > MAX_BITS:
            raise Refused(f"an expression has more than {MAX_BITS:,} bits", STRUCTURAL)
        return bits * times


def _number(token: bytes) -> tuple[list[int], bool]:
    found, shown = _SIZED(token), show(token[:40])
    if found is None:
        raise Refused(f'"{shown}" is not a number', "Write it as 4'b0101 or 4'hA.")
    width = int(found[1] or 32)
    if not 0 < width <= MAX_BITS:
        raise Refused(f'"{shown}" has no bits, or more than {MAX_BITS:,}', "Check its width.")
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
