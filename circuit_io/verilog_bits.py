"""One Verilog module: its names and expressions resolved to bits, its instances as numbers."""

import re
from array import array
from dataclasses import replace
from itertools import chain

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64

from circuit_io.arrays import numbered
from circuit_io.names import Names
from circuit_io.native import scan
from circuit_io.verilog_expr import STRUCTURAL, TOKENS, Expression, Refused, quoted, show
from circuit_io.verilog_rows import Body, Rows, SharedNames
from circuit_io.verilog_text import SourceText
from circuit_io.verilog_words import CONST_0, DIRECTIONS, NOTHING, SUPPLIES

MAX_MODULE_BITS = 1 << 27  # of all vectors and expressions of a module together
MAX_PORT_BITS = 1 << 22  # of all ports of a module together

_SIMPLE = re.compile(
    rb"\s*+(?:([A-Za-z_][\w$]*+)|\\(\S++))\s*+(?:\[\s*+(-?\d{1,9})\s*+(?::\s*+(-?\d{1,9})\s*+)?\]\s*+)?"
).fullmatch
_BESIDE_SIGN = re.compile(r" ?([\[\]:,(){}]) ?|(?<=[~!]) ")


class Module:
    """One module; `finish` turns its names into bit numbers, ports first."""

    def __init__(self, name: bytes, at: int, source: SourceText, shared: SharedNames) -> None:
        """Start empty; `source` is the file it stands in."""
        self.name, self.at, self.source = name, at, source
        self.ranges: dict[bytes, tuple[int, int] | None] = {}  # of ports and vectors
        self.declared: dict[bytes, int] = {}  # direction of each name declared input, output or inout
        self.header: list[tuple[bytes, bytes | None]] = []  # port, expression it shows if not its own name
        self.assigns: list[tuple[bytes, bytes, int]] = []
        self.supplies: list[tuple[bytes, int]] = []
        self.rows = Rows(shared)
        self.scanned: Body | None = None  # instead of `rows`, by the C scanner
        self.vectors: dict[bytes, tuple[int, int, int]] = {}  # left, right, first bit
        self.num_bits = 0
        self.ports: dict[bytes, list[int]] = {}
        self.directions: dict[bytes, int] = {}
        self.num_resized = 0  # assigns between different widths
        self._scalars: dict[bytes, int] = {}

    body: Body
    is_stub: bool  # says nothing but its ports: the outside of a library cell or macro
    expr_ptr: Int64[np.ndarray, " exprs_plus_1"]
    expr_bits: Int32[np.ndarray, " bits"]  # or codes of constants
    expr_sized: Bool[np.ndarray, " exprs"]
    edges: Int64[np.ndarray, "edges 2"]  # bits joined by assign; the second may be a constant
    scalar_names: Names  # slashes escaped, in order of their bits
    scalar_bit: Int64[np.ndarray, " scalars"]

    @property
    def shown(self) -> dict[bytes, bytes | None]:
        """The expression that a port shows, None where it is a net of its own name."""
        return dict(self.header)

    @property
    def line(self) -> int:
        """Line of its `module`."""
        return self.source.line(self.at)

    def fault(self, what: str, at: int, mend: str = "") -> None:
        """Note a fault at a position of its file."""
        self.source.fault(f'{what} (module "{show(self.name)}")', at, mend)

    def declare(self, name: bytes, ends: tuple[int, int] | None, word: bytes) -> None:
        """Note a declaration that begins with `word`; a net may be declared again as a port or with its range."""
        direction, known = DIRECTIONS.get(word, -1), self.ranges.get(name)
        if ends is not None and known is not None and known != ends:
            raise Refused(f'"{show(name)}" is declared with two different ranges', "Keep one of the two.")
        if ends is not None or direction >= 0:
            self.ranges[name] = ends if known is None else known
        if word in SUPPLIES:
            self.supplies.append((name, SUPPLIES[word]))
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
        most = self.source.most(MAX_MODULE_BITS)
        if self.num_bits > most:
            raise Refused(f'module "{show(self.name)}" has more than {most:,} bits')
        left = most = self.source.most(MAX_PORT_BITS)
        for port, shown in self.header:
            self.ports[port] = self.bits(quoted(port) if shown is None else shown, self.at)[0]
            left -= len(self.ports[port])
            if left < 0:
                raise Refused(f'module "{show(self.name)}" has more than {most:,} bits of ports')
        self.body = self.scanned or self.rows.body()
        self.is_stub = not (len(self.body.inst_names) or self.assigns or self.supplies)
        sides = [side for left, right, _ in self.assigns for side in (left, right)]
        more = sides + [quoted(name) for name, _ in self.supplies]
        if not self._scan_exprs(more):
            self._resolve_exprs(more)
        self._join(len(self.body.exprs))
        self.body = replace(self.body, exprs=[])
        self.scalar_names = self.scalar_names.with_escaped_slashes()
        del self.rows, self.scanned, self._scalars, self.assigns

    def _scan_exprs(self, more: list[bytes]) -> bool:
        """Bits of all expressions by the C scanner, `more` after those of the connections; False: left to Python."""
        exprs = self.body.exprs
        if not isinstance(exprs, Names):
            return False
        known, rest = Names.of([*self._scalars, *self.vectors]), Names.of(more)
        first = len(known.blob) + len(exprs.blob)
        counts = self.num_bits, len(self._scalars), len(self.vectors), len(exprs) + len(rest), len(exprs)
        ends = known.offsets, exprs.offsets[1:] + len(known.blob), rest.offsets[1:] + first
        bits, spans = list(self._scalars.values()), list(chain.from_iterable(self.vectors.values()))
        where = np.concatenate([np.array(x, np.int64) for x in (counts, *ends, bits, spans)])
        columns = scan("scan_verilog_bits", known.blob + exprs.blob + rest.blob, where)
        if columns is None:
            return False
        self.num_bits = columns.numbers[0]
        self.scalar_names, self.scalar_bit = columns.names(0, 1), columns.array(2, np.int32).astype(np.int64)
        self.expr_ptr, self.expr_bits = columns.array(3, np.int64), columns.array(4, np.int32)
        self.expr_sized = columns.array(5, np.bool_)
        return True

    def _resolve_exprs(self, more: list[bytes]) -> None:
        """The same in Python; the commonest kinds, a scalar and a bit of a vector, without a call each."""
        scalars, vectors = self._scalars, self.vectors
        expr_bits, expr_sized, expr_ptr = array("i"), array("b"), array("q", [0])
        most = self.source.most(MAX_MODULE_BITS)
        known = self.body.exprs
        exprs = [*(known.raw_list() if isinstance(known, Names) else known), *more]
        for number, expr in enumerate(exprs):
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
            bits, sized = self.bits(expr, self._expr_at(number))
            expr_bits.extend(bits)
            expr_sized.append(sized)
            expr_ptr.append(len(expr_bits))
            if len(expr_bits) + self.num_bits > most:
                raise Refused(f'module "{show(self.name)}" has more than {most:,} bits')
        self.expr_ptr, self.expr_bits = np.array(expr_ptr, np.int64), np.array(expr_bits, np.int32)
        self.expr_sized = np.array(expr_sized, np.bool_)
        self.scalar_names = Names.of(scalars)
        self.scalar_bit = np.fromiter(scalars.values(), np.int64, len(scalars))

    def _expr_at(self, number: int) -> int:
        """Position of the statement that an expression stands in."""
        side = number - len(self.body.exprs)
        if side < 0:
            return int(self.body.expr_at[number])
        return self.assigns[side // 2][2] if side < 2 * len(self.assigns) else self.at

    def _join(self, first: int) -> None:
        """Edges of assigns and supply nets, whose expressions begin at number `first`."""
        last = first + 2 * len(self.assigns)
        start, width = self.expr_ptr[:-1], np.diff(self.expr_ptr)
        left, right = np.arange(first, last, 2), np.arange(first + 1, last, 2)
        single = (width[left] == 1) & (width[right] == 1)
        pair = np.stack([self.expr_bits[start[side[single]]] for side in (left, right)], 1).astype(np.int64)
        single[single] = plain = pair[:, 0] >= 0
        edges: list[tuple[int, int]] = []
        for i in np.flatnonzero(~single).tolist():
            edges += self._assigned(first + 2 * i, first + 2 * i + 1, self.assigns[i][2])
        for i, (_, code) in enumerate(self.supplies):
            edges += [(bit, code) for bit in self.expr(last + i)]
        rest = np.array(edges, np.int64).reshape(-1, 2)
        self.edges = np.concatenate([pair[plain & (pair[:, 1] != NOTHING)], rest])

    def expr(self, number: int) -> list[int]:
        """The bits of an expression, leftmost first."""
        bits: list[int] = self.expr_bits[self.expr_ptr[number] : self.expr_ptr[number + 1]].tolist()
        return bits

    def _assigned(self, left: int, right: int, at: int) -> list[tuple[int, int]]:
        to, source = self.expr(left), self.expr(right)
        if not self.expr_sized[left] or any(bit < 0 for bit in to):
            self.fault("a constant stands left of = in assign", at, "Write the net that is driven on the left.")
            return []
        if to and source:
            self.num_resized += len(to) != len(source) and bool(self.expr_sized[right])
            source = [CONST_0] * (len(to) - len(source)) + source  # a shorter right side is filled with zeros
        return [(a, b) for a, b in zip(reversed(to), reversed(source), strict=False) if b != NOTHING]

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
        bit = self._scalars.get(name)
        if bit is None:
            bit = self._scalars[name] = self.num_bits
            self.num_bits += 1
        return bit

    def bits(self, expr: bytes, at: int) -> tuple[list[int], bool]:
        """The bits of an expression, leftmost first, and whether its width is its own (False: an unsized number)."""
        try:
            found = _SIMPLE(expr)
            if found is not None:
                return self.selected(found[1] or found[2], found[3], found[4]), True
            return Expression(expr, self.selected).bits() if expr.strip() else ([], True)
        except Refused as e:
            shown = _BESIDE_SIGN.sub(lambda m: m[1] or "", show(b" ".join(expr.split())[:60]))
            self.fault(e.what or f'"{shown}" is an expression', at, e.mend if e.what else STRUCTURAL)
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

    def bit_names(self, bits: Int[np.ndarray, " n"]) -> tuple[bytes, Int64[np.ndarray, "n 2"]]:
        """Names of bits as slices of a blob, `a[3]` for one of a vector; slashes are escaped."""
        is_scalar = np.zeros(self.num_bits, bool)
        is_scalar[self.scalar_bit] = True
        row, is_scalar = np.cumsum(is_scalar, dtype=np.int32)[bits] - 1, is_scalar[bits]
        names, more = self.scalar_names, self._index_names(bits[~is_scalar])
        slices = np.empty((len(bits), 2), np.int64)
        slices[is_scalar, 0], slices[is_scalar, 1] = (names.offsets[row[is_scalar] + i] for i in (0, 1))
        slices[~is_scalar] = more.slices() + len(names.blob)
        return names.blob + more.blob if len(more) else names.blob, slices

    def _index_names(self, bits: Int[np.ndarray, " n"]) -> Names:
        """Names of bits of vectors."""
        if not len(bits):
            return Names.of(())
        names = Names.of(self.vectors).with_escaped_slashes()
        left, right, first = np.array([*self.vectors.values()], np.int64).reshape(-1, 3).T
        vector = np.searchsorted(first, bits, side="right") - 1
        index = left[vector] + (bits - first[vector]) * np.where(right >= left, 1, -1)[vector]
        low = index.min(initial=0)
        shown, place = numbered(index - low, int(index.max(initial=0) - low) + 1)
        ends = Names.of(b"[%d]" % i for i in (shown + low).tolist())
        slices = np.stack([names.slices()[vector], ends.slices()[place] + len(names.blob)], 1)
        return joined(names.blob + ends.blob, slices)


def joined(blob: bytes, slices: Int64[np.ndarray, "n each 2"]) -> Names:
    """The names that are made of several slices of a blob each."""
    columns = scan("scan_verilog_join", blob, slices.shape[1], slices.ravel())
    return columns.names(0, 1) if columns else Names.of_slices(blob, slices.reshape(-1, 2), slices.shape[1])
