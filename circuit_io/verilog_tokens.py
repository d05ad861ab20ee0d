"""Tokens of one Verilog statement."""

from collections.abc import Iterator

from circuit_io.verilog_expr import MAX_BITS, Refused, joined, show
from circuit_io.verilog_words import KEYWORDS, STRUCTURE


class Tokens:
    """One statement as tokens; `Refused` where it is not what was expected."""

    def __init__(self, tokens: list[bytes]) -> None:
        """Take the tokens."""
        self.tokens = [*tokens, b""]
        self.i = 0

    @property
    def next(self) -> bytes:
        """The next token, empty at the end."""
        return self.tokens[self.i]

    def take(self, wanted: bytes = b"") -> bytes:
        """The next token, which must be `wanted` if that is given."""
        token = self.tokens[self.i]
        if not token or (wanted and token != wanted):
            raise Refused
        self.i += 1
        return token

    def end(self) -> None:
        """Nothing may be left."""
        if self.next:
            raise Refused

    def name(self) -> bytes:
        """A name, an escaped one without its backslash."""
        token = self.take()
        if token[:1] == b"\\" and len(token) > 1:
            return token[1:]
        if not (token[:1].isalpha() or token[:1] == b"_"):
            raise Refused
        if token in KEYWORDS:
            raise Refused(f"keyword `{show(token)}` where a name should be", STRUCTURE)
        return token

    def number(self) -> int:
        """A number with an optional minus."""
        sign = -1 if self.next == b"-" else 1
        self.i += sign < 0
        token = self.take()
        if not token.isdigit() or len(token) > 9:
            raise Refused("a range is not made of numbers", "Give the netlist with its parameters worked out.")
        return sign * int(token)

    def range(self) -> tuple[int, int]:
        """`[left:right]`."""
        self.take(b"[")
        left = self.number()
        if self.next != b":":
            raise Refused("a range is not made of numbers", "Give the netlist with its parameters worked out.")
        self.take(b":")
        right = self.number()
        self.take(b"]")
        if abs(left - right) >= MAX_BITS:
            raise Refused(f"a vector has more than {MAX_BITS:,} bits", "Check its range.")
        return left, right

    def kind_and_range(self) -> tuple[int, int] | None:
        """Passes over `wire`, `signed` and the like; the range, if there is one."""
        while self.next in (b"wire", b"tri", b"signed", b"unsigned", b"scalared", b"vectored"):
            self.take()
        if self.next in KEYWORDS:
            raise Refused(f"behavioural construct `{show(self.next)}`", STRUCTURE)
        return self.range() if self.next == b"[" else None

    def skip_parentheses(self) -> None:
        """Passes over what stands in parentheses."""
        self.take(b"(")
        self.until_close()

    def until_close(self) -> bytes:
        """The text up to the parenthesis that closes an open one, which is taken too."""
        depth, start = 1, self.i
        while depth:
            token = self.take()
            depth += (token == b"(") - (token == b")")
        return joined(self.tokens[start : self.i - 1])

    def until_comma(self) -> bytes:
        """The text up to the next comma outside brackets, or the end."""
        depth, start = 0, self.i
        while self.next and (depth or self.next not in (b",", b")")):
            depth += (self.next in (b"{", b"(")) - (self.next in (b"}", b")"))
            self.i += 1
        if start == self.i:
            raise Refused
        return joined(self.tokens[start : self.i])

    def equations(self) -> Iterator[tuple[bytes, bytes]]:
        """`left = right, left = right`."""
        while True:
            start = self.i
            while self.take() != b"=":
                pass
            left = joined(self.tokens[start : self.i - 1])
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
                pin = self.name() if self.next != b"*" else b"*"
                if self.next != b"(":
                    raise Refused(f'".{show(pin)}" does not name its net', "Write .pin(net).")
                self.take(b"(")
                out.append((pin, self.until_close()))
            else:
                out.append((None, b"" if self.next == b"," else self.until_comma()))
            if self.next == b",":
                self.take()
                if self.next == b")":
                    out.append((None, b""))
            elif self.next != b")":
                raise Refused
        self.take(b")")
        if len({pin is None for pin, _ in out}) > 1:
            raise Refused("pins by name and by place are mixed, or a comma is left over", "Name all pins.")
        return out
