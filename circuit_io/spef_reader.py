"""The grammar of SPEF: marks and rows of one file to names, connections and sums of each net, in the file's units."""

import math
import re
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from circuit_io.def_text import CUT, show
from circuit_io.errors import Faults, InputError, did_you_mean
from circuit_io.names import Names
from circuit_io.text import read_text

_MAX_NUMBER = 1e30  # in any unit; more is no physical value
_KEY = re.compile(rb"\n[ \t]*+\*([A-Z][A-Z_0-9]++)(?!\S)")
_COMMENT = re.compile(rb'"[^"\n]*+"|(?<!\S)//[^\n]*+')
_VALUE = rb"([-+.\deE:]++)[ \t]*+(?=\n)"
_END_OF_ROW = rb"|\n[ \t]*+(\S[^\n]*+)"  # last group of a row pattern: whatever the pattern itself does not take
_NET = re.compile(rb"[ \t]++(\S++)[ \t]++([-+.\deE:]++)(?:[ \t]++\*V[ \t]++\S++)?+[ \t]*+(?=\n)")
_MAP = re.compile(rb"\n[ \t]*+\*(\d++)[ \t]++(\S++)[ \t]*+(?=\n)" + _END_OF_ROW)
_CONN = re.compile(rb"\n[ \t]*+\*(?:([IP])[ \t]++(\S++)[ \t]++([IOB])(?!\S)|N[ \t])[^\n]*+" + _END_OF_ROW)
_CAP = re.compile(rb"\n[ \t]*+\d++[ \t]++\S++[ \t]++(?:" + _VALUE + rb"|\S++[ \t]++" + _VALUE + rb")" + _END_OF_ROW)
_RES = re.compile(rb"\n[ \t]*+\d++[ \t]++\S++[ \t]++\S++[ \t]++" + _VALUE + _END_OF_ROW)
_DIRECTIONS = {b"I": 0, b"O": 1, b"B": 2}
_UNITS = {
    b"T_UNIT": (("S", 1e9), ("MS", 1e6), ("US", 1e3), ("NS", 1.0), ("PS", 1e-3), ("FS", 1e-6)),
    b"C_UNIT": (("F", 1e15), ("NF", 1e6), ("PF", 1e3), ("FF", 1.0)),
    b"R_UNIT": (("OHM", 1.0), ("KOHM", 1e3), ("MOHM", 1e6)),
}
_HEADER = (b"SPEF", b"DESIGN", b"DATE", b"VENDOR", b"PROGRAM", b"VERSION", b"DESIGN_FLOW", b"DIVIDER", b"DELIMITER",
           b"BUS_DELIMITER", b"L_UNIT", *_UNITS)  # fmt: skip
_IN_NET = (b"CONN", b"CAP", b"RES", b"INDUC", b"DRIVER", b"CELL", b"LOADS", b"RC", b"C2_R1_C1")
_PASSED = (b"PORTS", b"PHYSICAL_PORTS", b"POWER_NETS", b"GROUND_NETS", b"VARIATION_PARAMETERS")
_KNOWN = (*_HEADER, *_IN_NET, *_PASSED, b"NAME_MAP", b"D_NET", b"R_NET", b"END")


class Ids:
    """A number for each name, in order of first appearance."""

    def __init__(self) -> None:
        self.of: dict[bytes, int] = {}

    def __getitem__(self, name: bytes) -> int:
        return self.of.setdefault(name, len(self.of))

    def names(self) -> Names:
        """The names in the order of their numbers."""
        return Names.of(self.of)


class SpefReader:
    """One pass over the marks of a file; a mark is a `*WORD` that starts a line."""

    def __init__(self, path: Path | str) -> None:
        self.path, self.faults = Path(path), Faults(path)
        text = read_text(path, CUT)
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        if b"//" in text:
            text = _COMMENT.sub(lambda m: m.group() if m.group()[:1] == b'"' else b"", text)
        self.text = b"\n" + text + b"\n"  # every row has a line end on either side
        self.header: dict[bytes, bytes] = {}
        self.unit: dict[bytes, float] = {}
        self.map: dict[bytes, bytes] = {}
        self.seen: dict[bytes, int] = {}  # inst by its name in this file, mapped or not
        self.delimiter = b":"
        self.nets, self.insts, self.pins = Ids(), Ids(), Ids()
        self.sums = tuple(array("d") for _ in range(4))  # total, grounded, coupling, resistance
        self.ptr = array("q", [0])
        self.conn_inst, self.conn_pin, self.conn_direction = array("i"), array("i"), array("b")
        self.open: tuple[bytes, int] | None = None  # word and position of the net whose *END is to come

    def read(self) -> None:
        """Read it all, or raise."""
        marks = _KEY.finditer(self.text)
        mark = next(marks, None)
        if mark is None or mark.group(1) != b"SPEF" or self.text[: mark.start()].strip():
            raise InputError("does not start with *SPEF", path=self.path, line=1, mend="Give a SPEF file (IEEE 1481).")
        while mark is not None:
            after = next(marks, None)
            stop = after.start() if after else len(self.text) - 1
            self._section(mark.group(1), mark.start() + 1, mark.end(), stop)
            mark = after
        if self.open:
            self._fail(f"*{show(self.open[0])} has no *END", self.open[1], CUT)
        if not self.nets.of:
            self._fail("has no *D_NET", len(self.text.rstrip()), CUT)
        self.faults.raise_if_any()

    def _section(self, word: bytes, at: int, begin: int, stop: int) -> None:
        if word in (b"D_NET", b"R_NET"):
            self._net(word, at, begin, stop)
        elif word == b"END" and self.open:
            self.open = None
            self._nothing(begin, stop)
            self.ptr.append(len(self.conn_pin))
        elif word in _IN_NET and self.open:
            if (row := {b"CONN": self._conns, b"CAP": self._caps, b"RES": self._resistors}.get(word)) is not None:
                self._nothing(begin, self.text.index(b"\n", begin))
                row(begin, stop + 1)
        elif word in _KNOWN and (self.open or word in _IN_NET or word == b"END"):
            self._fail(f"*{show(word)} {'before *END' if self.open else 'outside of a net'}", at, CUT)
        elif word == b"NAME_MAP":
            self._names(begin, stop + 1)
        elif word in _HEADER:
            self._set(word, self.text[begin:stop].strip(), at)
        elif word not in _PASSED:
            what = f'"*{show(word[:40])}" is not read'
            self._fail(what, at, did_you_mean(show(word[:40]), [show(k) for k in _KNOWN]))

    def _set(self, word: bytes, value: bytes, at: int) -> None:
        self.header[word] = value
        if word == b"DELIMITER":
            self.delimiter = value or b":"
        if word not in _UNITS:
            return
        number, name, *more = [*show(value).split(), "", ""]
        scale = None if any(more) else dict(_UNITS[word]).get(name.upper())
        try:
            factor = float(number) * scale if scale else 0.0
        except ValueError:
            factor = 0.0
        if not 0 < factor < _MAX_NUMBER:
            known = ", ".join(u for u, _ in _UNITS[word])
            self._fail(f'*{show(word)} "{show(value[:40])}" is not understood', at, f"Write 1 and one of {known}.")
        self.unit[word] = factor

    def _names(self, begin: int, stop: int) -> None:
        for number, name, junk in _MAP.findall(self.text, begin, stop):
            if junk:
                self._junk(_MAP, "*NAME_MAP", begin, stop)
                return
            self.map[number] = name

    def _net(self, word: bytes, at: int, begin: int, stop: int) -> None:
        if self.open:
            self._fail(f"*{show(self.open[0])} has no *END", self.open[1], CUT)
        for unit in (b"C_UNIT", b"R_UNIT"):
            if unit not in self.unit:
                self._fail(f"has no *{show(unit)} before the first net", at, "Write SPEF again with its units.")
        self.open = (word, at)
        found = _NET.match(self.text, begin, stop + 1)
        if not found:
            line = self.text[at : self.text.index(b"\n", at)]
            self._fail(f'no net and capacitance in "{show(line[:100])}"', at, CUT)
        if word == b"D_NET":
            self._nothing(found.end(), stop)
        name = self._name(found.group(1), at)
        if name in self.nets.of:
            self._fault(f'net "{show(name)}" comes twice', at, "Give one SPEF of the whole design.")
        _ = self.nets[name]
        for column in self.sums[1:]:
            column.append(math.nan)
        self.sums[0].append(self._sum([found.group(2)], lambda _: found.start(2)))

    def _conns(self, begin: int, stop: int) -> None:
        seen, pins = self.seen, self.pins.of
        for kind, name, direction, junk in _CONN.findall(self.text, begin, stop):
            if junk:
                self._junk(_CONN, "*CONN", begin, stop)
                return
            if not kind:
                continue  # an inner node
            inst, delimiter, pin = (b"", b"", name) if kind == b"P" else name.rpartition(self.delimiter)
            if not delimiter:
                self.conn_inst.append(-1)
                pin = self._name(pin, begin)
            elif (known := seen.get(inst)) is not None:
                self.conn_inst.append(known)
            else:
                seen[inst] = self.insts[self._name(inst, begin)]
                self.conn_inst.append(seen[inst])
            self.conn_pin.append(pins.setdefault(pin, len(pins)))
            self.conn_direction.append(_DIRECTIONS[direction])

    def _caps(self, begin: int, stop: int) -> None:
        rows = _CAP.findall(self.text, begin, stop)
        if [row for row in rows if row[-1]]:
            self._junk(_CAP, "*CAP", begin, stop)
            return
        self._add(1, [g for g, _, _ in rows if g], lambda i: self._position(_CAP, 1, i, begin, stop))
        self._add(2, [c for _, c, _ in rows if c], lambda i: self._position(_CAP, 2, i, begin, stop))

    def _resistors(self, begin: int, stop: int) -> None:
        rows = _RES.findall(self.text, begin, stop)
        if [row for row in rows if row[-1]]:
            self._junk(_RES, "*RES", begin, stop)
            return
        self._add(3, [r for r, _ in rows], lambda i: self._position(_RES, 1, i, begin, stop))

    def _add(self, column: int, words: list[bytes], where: Callable[[int], int]) -> None:
        """Add a sum to a column of the open net, whose section may come in parts."""
        before = self.sums[column][-1]
        self.sums[column][-1] = self._sum(words, where) + (0.0 if math.isnan(before) else before)

    def _sum(self, words: list[bytes], where: Callable[[int], int]) -> float:
        try:
            total = sum(map(float, words), 0.0)
            if abs(total) < _MAX_NUMBER:
                return total
        except ValueError:
            pass
        return sum((self._number(word, i, where) for i, word in enumerate(words)), 0.0)

    def _number(self, word: bytes, i: int, where: Callable[[int], int]) -> float:
        parts = word.split(b":")
        try:
            value = float(parts[len(parts) // 2]) if len(parts) in (1, 3) else math.nan
        except ValueError:
            value = math.nan
        if abs(value) < _MAX_NUMBER:
            return value
        if not self.faults.is_full:
            self._fault(f'"{show(word[:40])}" is not a number', where(i), "Write a finite number, or min:typ:max.")
        else:
            self.faults.add("")
        return 0.0

    def _position(self, pattern: re.Pattern[bytes], group: int, nth: int, begin: int, stop: int) -> int:
        """Where the `nth` row that has `group` has it."""
        rows = (m for m in pattern.finditer(self.text, begin, stop) if m.group(group))
        return next(m.start(group) for i, m in enumerate(rows) if i == nth)

    def _name(self, name: bytes, at: int) -> bytes:
        """The name that `*12` stands for; any other name is itself."""
        if name[:1] != b"*":
            return name
        found = self.map.get(name[1:])
        if found is None:
            self._fault(f'"{show(name[:40])}" is not in *NAME_MAP', max(at, self.text.find(name, at)), CUT)
            return name
        return found

    def _nothing(self, begin: int, stop: int) -> None:
        if rest := self.text[begin:stop].strip():
            at = self.text.index(rest[:20], begin)
            self._fault(f'"{show(rest.split(b"%c" % 10)[0][:60])}" was not expected here', at, CUT)

    def _junk(self, pattern: re.Pattern[bytes], section: str, begin: int, stop: int) -> None:
        for match in pattern.finditer(self.text, begin, stop):
            if junk := match.group(pattern.groups):
                at = match.start(pattern.groups)
                self._fault(f'{section} has an entry that cannot be read: "{show(junk[:100])}"', at, CUT)

    def _line(self, at: int) -> int:
        return self.text.count(b"\n", 0, at)  # the first line end is ours

    def _fault(self, what: str, at: int, mend: str = "") -> None:
        self.faults.add(what, line=lambda: self._line(at), mend=mend)

    def _fail(self, what: str, at: int, mend: str = "") -> NoReturn:
        self.faults.raise_if_any()
        raise InputError(what, path=self.path, line=self._line(at), mend=mend)
