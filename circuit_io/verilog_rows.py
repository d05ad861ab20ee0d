"""The instances of one Verilog module as columns: a row per instance, a row per connection, each expression once."""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int32, Int64

from circuit_io.names import Names
from circuit_io.native import scan
from circuit_io.verilog_words import KEYWORDS

_ID = rb"(?:[A-Za-z_][\w$]*+|\\\S++)"
_PIN = rb"\.\s*+" + _ID + rb"\s*+\((?:[^()\\;]++|\\\S++)*+\)"
_PINS = rb"\s*+(?:" + _PIN + rb"\s*+(?:,\s*+" + _PIN + rb"\s*+)*+)?+"
_INST = re.compile(rb"\s*+(" + _ID + rb")\s++(" + _ID + rb")\s*+\((" + _PINS + rb")\)\s*+;").match
_EACH_PIN = re.compile(rb"\.\s*+(" + _ID + rb")\s*+\(((?:[^()\\;]++|\\\S++)*+)\)").findall
_WORDS = b"input", b"output", b"inout", b"wire", b"supply0", b"supply1", b"assign", b""  # as in scan_verilog.c
_WIRES = re.compile(rb"(?:\s*+wire\s++" + _ID + rb"\s*+;)++").match


@dataclass(frozen=True)
class Body:
    """All instances of a module. Masters and pins are numbered by the module table, expressions by `exprs`."""

    inst_names: Names
    inst_master: Int32[np.ndarray, " insts"]
    inst_at: Int64[np.ndarray, " insts"]  # position in the text
    pin_ptr: Int64[np.ndarray, " insts_plus_1"]
    conn_pin: Int32[np.ndarray, " conns"]  # -1 - place where the place says which
    conn_expr: Int32[np.ndarray, " conns"]
    exprs: Sequence[bytes] | Names  # in order of first use
    expr_at: Int64[np.ndarray, " exprs"]
    has_repeats: bool  # of instance names


@dataclass
class SharedNames:
    """Names of masters and pins, numbered in order of first use; escaped names may keep their backslash."""

    masters: dict[bytes, int] = field(default_factory=dict)
    pins: dict[bytes, int] = field(default_factory=dict)

    def master(self, name: bytes) -> int:
        """The number of a master's name."""
        return self.masters.setdefault(name, len(self.masters))

    def pin(self, name: bytes) -> int:
        """The number of a pin's name."""
        return self.pins.setdefault(name, len(self.pins))


class Rows:
    """The instances of a module as they come, read in Python."""

    def __init__(self, shared: SharedNames) -> None:
        """Start empty."""
        self.shared = shared
        self.exprs: dict[bytes, int] = {}
        self.expr_at = array("q")
        self.inst_names: list[bytes] = []
        self.inst_master, self.inst_at = array("i"), array("q")
        self.pin_ptr, self.conn_pin, self.conn_expr = array("q", [0]), array("i"), array("i")

    def take(self, text: bytes, at: int) -> int:
        """Take all plain instances and wires from here on; the position of the first thing that is neither."""
        masters, pins = self.shared.masters, self.shared.pins
        exprs, expr_at, expr_number = self.exprs, self.expr_at.append, self.exprs.get
        conn_pin, conn_expr, pin_ptr = self.conn_pin.append, self.conn_expr.append, self.pin_ptr.append
        inst_name, inst_master, inst_at = self.inst_names.append, self.inst_master.append, self.inst_at.append
        while True:
            found = _INST(text, at)
            if found is None:
                found = _WIRES(text, at)  # scalars need no declaration, so these are checked but not kept
                if found is None:
                    return at
                at = found.end()
                continue
            master, name, body = found.groups()
            if master in KEYWORDS or name in KEYWORDS:
                return at
            start = found.start(1)
            inst_at(start)
            inst_master(masters.setdefault(master, len(masters)))
            inst_name(name[1:] if name[0] == 92 else name)
            for pin, expr in _EACH_PIN(body):
                conn_pin(pins.setdefault(pin, len(pins)))
                number = expr_number(expr)
                if number is None:
                    number = exprs[expr] = len(exprs)
                    expr_at(start)
                conn_expr(number)
            pin_ptr(len(self.conn_pin))
            at = found.end()

    def add(self, master: bytes, name: bytes, conns: list[tuple[bytes | None, bytes]], at: int) -> None:
        """Add one instance; a pin is None where its place says which."""
        self.inst_at.append(at)
        self.inst_master.append(self.shared.master(master))
        self.inst_names.append(name)
        for i, (pin, expr) in enumerate(conns):
            self.conn_pin.append(-1 - i if pin is None else self.shared.pin(pin))
            number = self.exprs.setdefault(expr, len(self.exprs))
            if number == len(self.expr_at):
                self.expr_at.append(at)
            self.conn_expr.append(number)
        self.pin_ptr.append(len(self.conn_pin))

    def body(self) -> Body:
        """What was taken, as columns."""
        return Body(
            inst_names=Names.of(self.inst_names),
            inst_master=np.array(self.inst_master, np.int32),
            inst_at=np.array(self.inst_at, np.int64),
            pin_ptr=np.array(self.pin_ptr, np.int64),
            conn_pin=np.array(self.conn_pin, np.int32),
            conn_expr=np.array(self.conn_expr, np.int32),
            exprs=list(self.exprs),
            expr_at=np.array(self.expr_at, np.int64),
            has_repeats=len(set(self.inst_names)) < len(self.inst_names),
        )


@dataclass(frozen=True)
class Statement:
    """A declaration or an assign that the C scanner read."""

    at: int
    word: bytes  # that it begins with; empty where Python has to read it
    ends: tuple[int, int] | None  # of the range of its names
    words: list[bytes]  # names, or the sides of an assign


def scanned_body(text: bytes, at: int, shared: SharedNames) -> tuple[Body, list[Statement], int] | None:
    """The instances of a module by the C scanner, or None where Python has to read the module.

    Returns:
        the instances; declarations and assigns, without those of scalar wires; position of `endmodule`.
    """
    columns = scan("scan_verilog_body", text, at)
    if columns is None:
        return None
    masters, pins = columns.names(0, 1).raw_list(), columns.names(2, 3).raw_list()
    master_of = np.array([shared.master(name) for name in masters], np.int32)
    pin_of = np.array([shared.pin(name) for name in pins], np.int32)
    exprs = columns.names(11, 12)
    body = Body(
        inst_names=columns.names(5, 6),
        inst_master=translated(columns.array(7, np.int32), master_of),
        inst_at=columns.array(8, np.int64),
        pin_ptr=columns.array(9, np.int64),
        conn_pin=translated(columns.array(4, np.int32), pin_of),
        conn_expr=columns.array(10, np.int32),
        exprs=exprs,
        expr_at=np.zeros(len(exprs), np.int64),  # Python words all faults, and reads the text again
        has_repeats=False,
    )
    rows, words = columns.array(13, np.int64, 6), columns.names(14, 15).raw_list()
    last = np.cumsum(rows[:, 2]).tolist()
    statements = [
        Statement(at, _WORDS[word], (left, right) if has_range else None, words[end - count : end])
        for (at, word, count, has_range, left, right), end in zip(rows.tolist(), last, strict=True)
    ]
    return body, statements, columns.numbers[0]


def translated(ids: Int32[np.ndarray, " n"], other: Int32[np.ndarray, " ids"]) -> Int32[np.ndarray, " n"]:
    """Other numbers in place of ids; the ids themselves where the two are the same, and any number for one below 0."""
    return ids if np.array_equal(other, np.arange(len(other))) else other.take(ids, mode="clip")
