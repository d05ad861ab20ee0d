"""The meaning of SDC commands: clocks and their masters, delays, loads, driving cells, limits, in the file's units."""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

from circuit_io.errors import Faults, InputError, did_you_mean
from circuit_io.sdc_tcl import Command
from circuit_io.sdc_words import KINDS, LIMITS, OPTIONS, PLAIN

_MAX_NUMBER = 1e12  # in any unit
_MAX_CLOCKS = 100_000
_UNIT = re.compile(r"([-+.\deE]*?)\s*([munpfa]?)([sFf])")
_PREFIX = {"": 0, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18}


@dataclass(frozen=True)
class Clock:
    """A clock. `sources` are objects (`port:NAME`, `pin:INST/PIN`); without any it is virtual.

    `period_ns` of a generated clock follows from its master; nan where the file alone does not tell.
    """

    name: str
    period_ns: float
    waveform_ns: tuple[float, ...]
    sources: tuple[str, ...]
    is_generated: bool = False
    master: str = ""
    line: int = 0


@dataclass(frozen=True)
class PortDelay:
    """An input or output delay of one object."""

    target: str
    delay_ns: float
    clock: str
    is_input: bool
    is_min: bool
    is_max: bool
    line: int


@dataclass(frozen=True)
class _Call:
    """The options and the other arguments of a command."""

    command: Command
    options: dict[str, tuple[str, ...]]
    rest: list[tuple[str, ...]]

    def text(self, name: str) -> str:
        return " ".join(self.options.get(name, ()))


class SdcCommands:
    """What the commands of a file say, one after the other; numbers stay in the units of the file."""

    def __init__(self, path: Path | str, commands: list[Command], time_ns: float | None, cap_ff: float | None) -> None:
        self.path, self.commands, self.faults = path, commands, Faults(path)
        self.units = {"-time": time_ns, "-capacitance": cap_ff}
        self.design = ""
        self.clocks: dict[str, Clock] = {}
        self.factors: dict[str, tuple[str, float]] = {}  # generated clock to its source and ratio of periods
        self.delays: list[PortDelay] = []
        self.load: dict[str, float] = {}
        self.driving: dict[str, str] = {}
        self.limits: dict[str, float | None] = dict.fromkeys(LIMITS)
        self.strange: list[Command] = []

    def run(self) -> None:
        """Take all commands, or raise."""
        does = {
            "create_clock": self._clock,
            "create_generated_clock": self._generated,
            "set_input_delay": self._delay,
            "set_output_delay": self._delay,
            "set_load": self._load,
            "set_driving_cell": self._driving,
            "set_units": self._units,
            **dict.fromkeys(self.limits, self._limit),
        }
        for command in self.commands:
            if command.name in does:
                if (call := self._call(command)) is not None:
                    does[command.name](call)
            elif command.name == "current_design" and command.words:
                self.design = " ".join(command.words[0])
            elif command.name not in PLAIN and not command.name.startswith(("get_", "all_")):
                self.strange.append(command)
        self._periods()
        self.faults.raise_if_any()

    def _fault(self, command: Command, what: str, mend: str = "") -> None:
        self.faults.add(f"{command.name}: {what}", line=command.line, mend=mend)

    def _call(self, command: Command) -> _Call | None:
        valued, flags = (text.split() for text in OPTIONS[command.name])
        options: dict[str, tuple[str, ...]] = {}
        rest: list[tuple[str, ...]] = []
        words = iter(command.words)
        for word in words:
            text = " ".join(word)
            if not text.startswith("-") or len(text) < 2 or text[1] in ".0123456789":
                rest.append(word)
                continue
            known = [*valued, *flags]
            near = [text] if text in known else [k for k in known if k.startswith(text)]
            if len(near) != 1:
                self._fault(command, f'has no option "{text[:40]}"', did_you_mean(text[:40], known))
                return None
            value = next(words, None) if near[0] in valued else ("1",)
            if value is None:
                self._fault(command, f"{near[0]} has no value")
                return None
            options[near[0]] = value
        return _Call(command, options, rest)

    def _number(self, call: _Call, text: str, what: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not abs(value) < _MAX_NUMBER or "_" in text:
            self._fault(call.command, f'{what} is "{text[:40]}", not a number')
            return math.nan
        return value

    def _clock(self, call: _Call) -> None:
        sources = _objects(call.rest)
        name = call.text("-name") or (_bare(sources[0]) if sources else "")
        if not name:
            return self._fault(call.command, "has neither a name nor a source")
        if "-period" not in call.options:
            return self._fault(call.command, "has no -period")
        period = self._number(call, call.text("-period"), "the period")
        if period <= 0:
            return self._fault(call.command, f"the period is {period:g}; it must be above 0")
        edges = [self._number(call, e, "a time of the waveform") for e in call.options.get("-waveform", ())]
        waveform = tuple(edges) or (0.0, period / 2)
        self._add(call, Clock(name, period, waveform, sources, line=call.command.line))

    def _add(self, call: _Call, clock: Clock) -> None:
        if len(self.clocks) > _MAX_CLOCKS:
            raise InputError(f"makes more than {_MAX_CLOCKS:,} clocks", path=self.path, line=clock.line)
        if "-add" not in call.options:  # a clock without -add replaces those of its sources
            mine = set(clock.sources)
            gone = [c.name for c in self.clocks.values() if c.sources and set(c.sources) <= mine]
            for name in gone:
                del self.clocks[name]
        self.clocks.pop(clock.name, None)
        self.factors.pop(clock.name, None)
        self.clocks[clock.name] = clock

    def _generated(self, call: _Call) -> None:
        sources = _objects(call.rest)
        name = call.text("-name") or (_bare(sources[0]) if sources else "")
        if not name:
            return self._fault(call.command, "has neither a name nor a source")
        factor = 1.0
        if "-divide_by" in call.options:
            factor = self._number(call, call.text("-divide_by"), "-divide_by")
        elif "-multiply_by" in call.options:
            times = self._number(call, call.text("-multiply_by"), "-multiply_by")
            factor = 1.0 / times if times > 0 else -1.0
        elif edges := call.options.get("-edges", ()):
            at = [self._number(call, e, "an edge") for e in edges]
            factor = (at[-1] - at[0]) / 2.0
        if factor <= 0:
            return self._fault(call.command, "its ratio to the master is not above 0")
        source = next(iter(_objects([call.options.get("-source", ())])), "")
        master = _bare(call.text("-master_clock"))
        self._add(call, Clock(name, math.nan, (), sources, True, master, call.command.line))
        self.factors[name] = (source, factor)

    def _periods(self) -> None:
        """Periods of generated clocks, from masters that are named or the only clock at the source."""
        for _ in range(len(self.factors)):
            changed = False
            for name, (source, factor) in self.factors.items():
                clock = self.clocks.get(name)
                if clock is None or not math.isnan(clock.period_ns):
                    continue
                at = [c for c in self.clocks.values() if source and source in c.sources and c.name != name]
                master = self.clocks.get(clock.master) if clock.master else (at[0] if len(at) == 1 else None)
                if master is not None and not math.isnan(master.period_ns):
                    self.clocks[name] = replace(clock, period_ns=master.period_ns * factor, master=master.name)
                    changed = True
            if not changed:
                return

    def _delay(self, call: _Call) -> None:
        if len(call.rest) < 2:
            return self._fault(call.command, "needs a delay and ports")
        value = self._number(call, " ".join(call.rest[0]), "the delay")
        low, high = "-min" in call.options, "-max" in call.options
        clock, is_input = _bare(call.text("-clock")), call.command.name == "set_input_delay"
        for target in _objects(call.rest[1:]):
            row = PortDelay(target, value, clock, is_input, low or not high, high or not low, call.command.line)
            self.delays.append(row)

    def _load(self, call: _Call) -> None:
        if len(call.rest) < 2:
            return self._fault(call.command, "needs a capacitance and ports")
        value = self._number(call, " ".join(call.rest[0]), "the load")
        if "-min" not in call.options or "-max" in call.options:
            self.load |= dict.fromkeys(_objects(call.rest[1:]), value)

    def _driving(self, call: _Call) -> None:
        cell = _bare(call.text("-lib_cell") or call.text("-cell"))
        self.driving |= dict.fromkeys(_objects(call.rest), cell)

    def _limit(self, call: _Call) -> None:
        if not call.rest:
            return self._fault(call.command, "has no value")
        value = self._number(call, " ".join(call.rest[0]), "the limit")
        targets = [word for words in call.rest[1:] for word in words]
        if not targets or any(t.startswith("design:") or t == self.design or t == "" for t in targets):
            self.limits[call.command.name] = value

    def _units(self, call: _Call) -> None:
        for name, letters, exponent in (("-time", "s", 9), ("-capacitance", "Ff", 15)):
            text = call.text(name)
            if not text:
                continue
            found = _UNIT.fullmatch(text.strip())
            scale = self._number(call, found[1] or "1", "a unit") if found and found[3] in letters else 0.0
            if not found or not scale > 0:
                self._fault(call.command, f'{name} "{text[:40]}" is not understood', "Write it as 1ns or 1pF.")
                continue
            self.units[name] = scale * 10.0 ** (_PREFIX[found[2]] + exponent)


def _objects(words: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Objects of a command; a bare name is a port, or a pin when it has a slash."""
    flat = [name for word in words for name in word if name]
    return tuple(n if _kind(n) else ("pin:" if "/" in n else "port:") + n for n in flat)


def _kind(name: str) -> str:
    """The kind of an object as `sdc_tcl` marks it; "" for a bare name."""
    kind, colon, _ = name.partition(":")
    return kind if colon and (kind in KINDS or kind in ("all", "query")) else ""


def _bare(name: str) -> str:
    """The name of an object without its kind."""
    return name.partition(":")[2] if _kind(name) in KINDS else name
