"""Boolean functions of library cells: Liberty text to truth table, truth table to function class.

A truth table over n inputs is one int of 2**n bits: bit p is the output where input i has the value (p >> i) & 1.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

MAX_INPUTS = 10  # a table of 1024 bits; cells with more inputs are classed "other"
MAX_DEPTH = 40  # of parentheses and signs; real functions stay below ten

FUNCTION_CLASSES = (
    "unknown",  # no function given
    "physical",  # no output pin: fill, tap, decap, antenna diode
    "tie",
    "buffer",
    "inverter",
    "and",
    "nand",
    "or",
    "nor",
    "and_not",  # AND of literals, some inverted, some not
    "or_not",
    "xor",
    "xnor",
    "and_or",
    "or_and",
    "and_or_invert",
    "or_and_invert",
    "mux",  # 2 or 4 data inputs, inverting or not
    "majority",
    "adder",  # a parity and a carry from the same inputs
    "other",  # combinational, none of the above
    "tristate",
    "latch",
    "flip_flop",
    "scan_flip_flop",
    "clock_gate",
    "sequential",  # a state table that is neither of the above
    "macro",
)
CLASS_ID = {name: i for i, name in enumerate(FUNCTION_CLASSES)}

_TOKEN = re.compile(r"\s*(?:([A-Za-z_][\w.$]*(?:\[\d+\])?|\\?\"[^\"]+\\?\")|([01])(?!\w)|([!'^&*+|()]))", re.ASCII)


class _Evaluator:
    """Recursive descent over one function text; every value is a truth table."""

    def __init__(self, text: str, columns: dict[str, int], mask: int) -> None:
        self.columns, self.mask, self.depth = columns, mask, 0
        self.tokens: list[str] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                raise ValueError(f'"{text}" is not a function')
            self.tokens.append(found[0].strip())
            at = found.end()
        self.tokens.append("")
        self.at = 0

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def sum(self) -> int:
        value = self.product()
        while self.tokens[self.at] in ("+", "|"):
            self.at += 1
            value |= self.product()
        return value

    def product(self) -> int:
        value = self.parity()
        while (token := self.tokens[self.at]) not in ("+", "|", ")", "", "^", "'"):  # two terms side by side are ANDed
            if token in ("&", "*"):
                self.at += 1
            value &= self.parity()
        return value

    def parity(self) -> int:
        value = self.term()
        while self.tokens[self.at] == "^":
            self.at += 1
            value ^= self.term()
        return value

    def term(self) -> int:
        token = self.take()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError("nested too deep")
        if token == "!":
            value = ~self.term() & self.mask
        elif token == "(":
            value = self.sum()
            if self.take() != ")":
                raise ValueError('")" missing')
        elif token in ("0", "1"):
            value = self.mask if token == "1" else 0
        else:
            name = token.strip('\\"')
            if name not in self.columns:
                raise ValueError(f'"{name}" is not an input')
            value = self.columns[name]
        self.depth -= 1
        while self.tokens[self.at] == "'":
            self.at += 1
            value = ~value & self.mask
        return value


@lru_cache(maxsize=1024)
def truth_table(function: str, inputs: tuple[str, ...]) -> int:
    """Truth table of a Liberty function; `!` and `'` bind first, then `^`, `& *` or a blank, then `+ |`.

    Raises:
        ValueError: not a function of these inputs, nested deeper than `MAX_DEPTH`, or more than `MAX_INPUTS`.
    """
    if len(inputs) > MAX_INPUTS:
        raise ValueError(f"more than {MAX_INPUTS} inputs")
    size = 1 << len(inputs)
    mask = (1 << size) - 1
    columns = {name: _column(i, size) for i, name in enumerate(inputs)}
    evaluator = _Evaluator(function, columns, mask)
    value = evaluator.sum()
    if evaluator.tokens[evaluator.at] != "":
        raise ValueError(f'"{function}" is not a function')
    return value


def _column(i: int, size: int) -> int:
    """The table of input `i` itself: 2**i zeros, 2**i ones, repeated."""
    half = 1 << i
    ones = ((1 << half) - 1) << half
    return sum(ones << at for at in range(0, size, 2 * half))


def _cofactor(table: int, n: int, i: int, value: int) -> int:
    """Table over the other n - 1 inputs with input `i` fixed."""
    low = (1 << i) - 1
    return sum(((table >> ((p & low) | (value << i) | ((p & ~low) << 1))) & 1) << p for p in range(1 << (n - 1)))


def _support(table: int, n: int) -> tuple[int, int]:
    """The table without the inputs it does not depend on, and how many are left."""
    for i in reversed(range(n)):
        if (without := _cofactor(table, n, i, 0)) == _cofactor(table, n, i, 1):
            table, n = without, n - 1
    return table, n


@lru_cache(maxsize=4096)
def classify(table: int, n: int) -> str:
    """Function class of a one-output truth table, whatever the order of its inputs."""
    table, n = _support(table, n)
    size = 1 << n
    mask = (1 << size) - 1
    if n == 0:
        return "tie"
    parity = 0
    for i in range(n):
        parity ^= _column(i, size)
    if n > 1 and table in (parity, parity ^ mask):
        return "xor" if table == parity else "xnor"
    if _is_mux(table, n):
        return "mux"
    negative = 0  # inputs in which the function falls
    for i in range(n):
        low, high = _cofactor(table, n, i, 0), _cofactor(table, n, i, 1)
        if low & ~high and high & ~low:
            return "other"
        negative |= (1 << i) if low & ~high else 0
    rising = sum(((table >> (p ^ negative)) & 1) << p for p in range(size))
    return _classify_rising(rising, n, negative.bit_count())


def _classify_rising(table: int, n: int, num_inverted: int) -> str:
    """Class of a function that rises in all its inputs, `num_inverted` of which are inverted before it."""
    full = (1 << n) - 1
    primes = _primes(table, n)
    if n == 1:
        return "inverter" if num_inverted else "buffer"
    if primes == [full]:
        return "and" if num_inverted == 0 else "nor" if num_inverted == n else "and_not"
    if len(primes) == n and all(p.bit_count() == 1 for p in primes):
        return "or" if num_inverted == 0 else "nand" if num_inverted == n else "or_not"
    if n == 3 and sorted(primes) == [3, 5, 6]:
        return "majority"
    inverted = 2 * num_inverted > n
    if _num_components(primes) > 1:
        return "or_and_invert" if inverted else "and_or"
    dual = sum((1 - ((table >> (p ^ full)) & 1)) << p for p in range(1 << n))
    if _num_components(_primes(dual, n)) > 1:
        return "and_or_invert" if inverted else "or_and"
    return "other"


def _primes(table: int, n: int) -> list[int]:
    """Prime implicants of a rising function, each as the set of its inputs: its minimal true points."""
    return [
        p
        for p in range(1 << n)
        if (table >> p) & 1 and not any((p >> i) & 1 and (table >> (p ^ (1 << i))) & 1 for i in range(n))
    ]


def _num_components(primes: list[int]) -> int:
    """Groups of implicants that share no input: more than one means the function is an OR of independent parts."""
    groups: list[int] = []
    for prime in primes:
        merged, rest = prime, []
        for group in groups:
            if group & prime:
                merged |= group
            else:
                rest.append(group)
        groups = [*rest, merged]
    return len(groups)


def _is_mux(table: int, n: int) -> bool:
    """Whether some of the inputs choose which one of the others comes through."""
    num_selects = {3: 1, 6: 2}.get(n, 0)
    return num_selects > 0 and any(_is_mux_by(table, n, selects) for selects in combinations(range(n), num_selects))


def _is_mux_by(table: int, n: int, selects: tuple[int, ...]) -> bool:
    num_data = n - len(selects)
    seen = set()
    for choice in range(1 << len(selects)):
        part, left = table, n
        for k, i in reversed(list(enumerate(selects))):
            part, left = _cofactor(part, left, i, (choice >> k) & 1), left - 1
        size = 1 << num_data
        literal = [i for i in range(num_data) if part in (_column(i, size), _column(i, size) ^ ((1 << size) - 1))]
        if len(literal) != 1:
            return False
        seen.add(literal[0])
    return len(seen) == num_data


def is_adder(tables: Sequence[int], n: int) -> bool:
    """Whether two outputs are the parity (or its inverse) and a carry (AND of two, majority of three) of n inputs."""
    if len(tables) != 2 or n not in (2, 3):
        return False
    kinds = {classify(table, n) for table in tables}
    carry = {"and", "nand"} if n == 2 else {"majority"}
    return bool(kinds & {"xor", "xnor"}) and bool(kinds & carry)
