"""Timing constraints (SDC) as data: clocks, delays at the ports, loads, driving cells, limits; the rest as commands."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from circuit_io.errors import InputError
from circuit_io.sdc_commands import Clock, PortDelay, SdcCommands
from circuit_io.sdc_tcl import WRITTEN, Command, evaluate
from circuit_io.text import read_text

__all__ = ["Clock", "Command", "PortDelay", "Sdc", "read_sdc"]


@dataclass(frozen=True)
class Sdc:
    """The constraints of a design; objects are as in `Clock`, with patterns such as `port:data[*]` kept."""

    path: Path
    design: str
    time_unit_ns: float
    cap_unit_ff: float
    clocks: tuple[Clock, ...]
    delays: tuple[PortDelay, ...]
    load_ff: dict[str, float]
    driving_cell: dict[str, str]
    max_transition_ns: float | None  # of the design; None where not set
    max_fanout: float | None
    max_capacitance_ff: float | None
    counts: dict[str, int]  # commands by name, false paths and all the rest
    commands: tuple[Command, ...]
    warnings: tuple[str, ...] = ()


def read_sdc(
    path: Path | str,
    *,
    time_unit_ns: float | None = None,
    cap_unit_ff: float | None = None,
    variables: Mapping[str, str] | None = None,
    seconds: int = 20,
    memory_mb: int = 1024,
) -> Sdc:
    """The constraints in an SDC file, plain or gzip, evaluated in a safe Tcl interpreter of a child process.

    Args:
        path: the file.
        time_unit_ns: what a number of time means; `set_units` in the file is stronger. A tool takes it from Liberty.
        cap_unit_ff: the same for capacitance.
        variables: values of flow variables that the file reads, as `CLOCK` or `env(CLOCK_PERIOD)`.
        seconds: limit of time of the evaluation.
        memory_mb: limit of its memory.

    Raises:
        InputError: no Tcl, a missing variable, a command that may not run, a limit, a wrong option or number,
            or no SDC at all.
        ToolError: there is no tclsh.
    """
    text = read_text(path, WRITTEN).replace(b"\r\n", b"\n")
    commands = evaluate(text, path=path, variables=variables or {}, seconds=seconds, memory_mb=memory_mb)
    found = SdcCommands(path, commands, time_unit_ns, cap_unit_ff)
    found.run()
    if found.strange and len(found.strange) == len(found.commands):
        raise InputError("holds no SDC command", path=path, mend="Give the constraints that the flow reads.")
    time, cap = found.units["-time"] or 1.0, found.units["-capacitance"] or 1000.0
    clocks = [
        replace(c, period_ns=c.period_ns * time, waveform_ns=tuple(w * time for w in c.waveform_ns))
        for c in found.clocks.values()
    ]
    return Sdc(
        path=Path(found.path),
        design=found.design,
        time_unit_ns=time,
        cap_unit_ff=cap,
        clocks=tuple(clocks),
        delays=tuple(replace(d, delay_ns=d.delay_ns * time) for d in found.delays),
        load_ff={target: value * cap for target, value in found.load.items()},
        driving_cell=found.driving,
        max_transition_ns=_scaled(found.limits["set_max_transition"], time),
        max_fanout=found.limits["set_max_fanout"],
        max_capacitance_ff=_scaled(found.limits["set_max_capacitance"], cap),
        counts=dict(sorted(Counter(c.name for c in found.commands).items())),
        commands=tuple(found.commands),
        warnings=tuple(_warnings(found)),
    )


def _warnings(found: SdcCommands) -> list[str]:
    out = []
    if found.strange:
        first = found.strange[0]
        out.append(f"{len(found.strange)} commands are not SDC (first: {first.name}, {found.path}:{first.line})")
    if found.units["-time"] is None and found.clocks:
        out.append("neither set_units nor Liberty tells the unit of time: periods are read as ns")
    return out


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
