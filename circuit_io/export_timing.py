"""What SPEF and SDC say of a design, for the tables and the manifest of its export; never for features.

SPEF is written after routing, so it is data to analyse or to learn, not an input: a model that saw it would be told
the answer. Nothing of this module reaches `circuit_io.features`.
"""

import fnmatch
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from circuit_io.design import Design
from circuit_io.errors import MAX_NAMES, GsrError, InputError, listed
from circuit_io.names import Names
from circuit_io.sdc import Sdc, read_sdc
from circuit_io.spef import Spef, read_spef

MIN_WIRED = 2  # pins of a net that has a wire


@dataclass(frozen=True)
class TimingSources:
    """A SPEF and an SDC file, and the flow variables that the SDC reads; with `is_lenient`, its faults are warnings."""

    spef: Path | None = None
    sdc: Path | None = None
    is_lenient: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> list[tuple[str, Path]]:
        """Role and path of each file, for the manifest."""
        return [(role, path) for role, path in (("spef", self.spef), ("sdc", self.sdc)) if path is not None]


@dataclass(frozen=True)
class Timing:
    """Columns of the table of nets, null where a file is absent or silent, and what the manifest says."""

    net_columns: dict[str, pa.Array]
    said: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def add_to(self, nets: pa.Table) -> pa.Table:
        """The table of nets with the columns."""
        for name, column in self.net_columns.items():
            nets = nets.append_column(name, column)
        return nets


def find_timing(design: Design, sources: TimingSources) -> Timing:
    """Wire capacitance, coupling and resistance of nets from SPEF; clocks and their nets from SDC.

    Raises:
        InputError: a file is bad, or the SPEF is of another design.
        ToolError: SDC without a tclsh.
    """
    warnings: list[str] = []
    columns = _parasitics(design, sources.spef, warnings)
    said: dict[str, Any] = {}
    at: dict[int, list[str]] = {}
    if (sdc := _constraints(design, sources, warnings)) is not None:
        if sources.variables:
            said["sdc_variables"] = dict(sources.variables)
        said["clocks"], at = _clocks(design, sdc, warnings)
    clocks = [" ".join(at[i]) if i in at else None for i in range(len(design.net_names))]
    columns["clock"] = pa.array(clocks, pa.string())
    return Timing(columns, said, tuple(warnings))


def _parasitics(design: Design, path: Path | None, warnings: list[str]) -> dict[str, pa.Array]:
    nothing = np.full(len(design.net_names), np.nan)
    values: dict[str, Float64[np.ndarray, " nets"]] = dict.fromkeys(
        ("wire_cap_ff", "coupling_cap_ff", "wire_res_ohm"), nothing
    )
    if path is not None:
        spef = read_spef(path)
        net = _nets_of(design, spef, warnings)
        sources = (spef.net_cap_ff, spef.net_coupling_ff, spef.net_res_ohm)
        for name, source in zip(values, sources, strict=True):
            column = nothing.copy()
            column[net[net >= 0]] = source[net >= 0]
            values[name] = column
    return {name: pa.array(column, pa.float64(), from_pandas=True) for name, column in values.items()}


def _nets_of(design: Design, spef: Spef, warnings: list[str]) -> Int64[np.ndarray, " spef_nets"]:
    """The design's net of each net of the SPEF, -1 for none."""
    net = _rows(design.net_names, spef.net_names, spef.divider)
    lacking = np.flatnonzero(net < 0)
    some = listed(spef.net_names.take(lacking[:MAX_NAMES]), len(lacking))
    pins = _compare_pins(design, spef, net)
    if 2 * len(lacking) > len(net) or 2 * pins.moved > pins.total:
        what = f"{len(lacking)} of its {len(net)} nets are not there ({some})" if len(lacking) else ""
        what += "; " if what and pins.moved else ""
        what += (
            f"{pins.moved} of {pins.total} pins are on another net (first: {pins.first_moved})" if pins.moved else ""
        )
        mend = "Give the SPEF of this design, or leave --spef out."
        raise InputError(f"is of another design than {design.path.name}: {what}", path=spef.path, mend=mend)
    warnings += spef.warnings
    name = spef.path.name
    if pins.moved:
        warnings.append(
            f"{pins.moved} of {pins.total} pins of {name} are on another net in the DEF (first: {pins.first_moved})"
        )
    if pins.missing:
        warnings.append(
            f"{pins.missing} pins that the DEF has on nets of {name} are not in it (first: {pins.first_missing})"
        )
    if len(lacking):
        warnings.append(f"{len(lacking)} of {len(net)} nets of {name} are not in the DEF ({some})")
    if spef.design.replace("\\", "") != design.name.replace("\\", ""):
        warnings.append(f'{name} is of design "{spef.design}", the DEF of "{design.name}"')
    silent = np.bincount(design.pin_net, minlength=len(design.net_names)) >= MIN_WIRED
    silent[net[net >= 0]] = False
    if silent.any():
        first = design.net_names[int(np.argmax(silent))]
        warnings.append(f"{int(silent.sum())} nets of the DEF are not in {name} (first: {first})")
    return net


def _rows(ours: Names, theirs: Names, divider: str) -> Int64[np.ndarray, " theirs"]:
    """The row in a table of the design of each name of a SPEF, -1 for none; backslashes count for nothing.

    A flat name may hold the divider as a plain letter, so it is tried as it is first, then with slashes between levels.
    """
    ours = ours.plain()
    rows = ours.rows_of(theirs.plain())
    if divider == "/":
        return rows
    sign = re.compile(rb"(?<!\\)" + re.escape(divider.encode("utf-8", "surrogateescape")))
    divided = ours.rows_of(Names.of(sign.sub(b"/", name) for name in theirs.raw_list()).plain())
    return np.where(rows >= 0, rows, divided)


@dataclass(frozen=True)
class _Pins:
    """The pins of insts on nets that a SPEF and the design share; counts, and the first of each fault in words."""

    total: int  # in the SPEF
    moved: int  # in the SPEF, on another net of the design or on none
    first_moved: str
    missing: int  # in the design alone
    first_missing: str


def _compare_pins(design: Design, spef: Spef, net: Int64[np.ndarray, " spef_nets"]) -> _Pins:
    conns = np.diff(spef.net_ptr)
    of_net = np.repeat(net, conns)
    mine = np.flatnonzero((spef.conn_inst >= 0) & (of_net >= 0))
    inst = _rows(design.inst_names, spef.inst_names, spef.divider)[spef.conn_inst[mine]]
    pin = design.pin_names.plain().rows_of(spef.pin_names.plain())[spef.conn_pin[mine]]
    known = (inst >= 0) & (pin >= 0)
    theirs = inst.astype(np.int64) * len(design.pin_names) + pin  # one number for a pin of an inst
    ours = design.pin_inst.astype(np.int64) * len(design.pin_names) + design.pin_name
    num_nets = len(design.net_names)
    wrong = mine[~(known & np.isin(theirs * num_nets + of_net[mine], ours * num_nets + design.pin_net))]
    told = np.zeros(num_nets, bool)
    told[net[(net >= 0) & (conns > 0)]] = True  # a net without *CONN tells nothing of pins
    missing = np.flatnonzero((design.pin_inst >= 0) & told[design.pin_net] & ~np.isin(ours, theirs[known]))
    first_moved = first_missing = ""
    if len(wrong):
        i = int(wrong[0])
        where = int(np.searchsorted(spef.net_ptr, i, side="right")) - 1
        name = f"{spef.inst_names[int(spef.conn_inst[i])]}/{spef.pin_names[int(spef.conn_pin[i])]}"
        first_moved = f'{name} of "{spef.net_names[where]}"'
    if len(missing):
        i = int(missing[0])
        name = f"{design.inst_names[int(design.pin_inst[i])]}/{design.pin_names[int(design.pin_name[i])]}"
        first_missing = f'{name} of "{design.net_names[int(design.pin_net[i])]}"'
    return _Pins(len(mine), len(wrong), first_moved, len(missing), first_missing)


def _constraints(design: Design, sources: TimingSources, warnings: list[str]) -> Sdc | None:
    if sources.sdc is None:
        return None
    liberty = design.liberty
    has_units = liberty is not None and len(liberty.time_unit_ns) > 0
    try:
        sdc = read_sdc(
            sources.sdc,
            variables=sources.variables,
            time_unit_ns=float(liberty.time_unit_ns[0]) if liberty and has_units else None,
            cap_unit_ff=float(liberty.cap_unit_ff[0]) if liberty and has_units else None,
        )
    except GsrError as e:
        if not sources.is_lenient:
            raise
        warnings.append(f"SDC is left out: {e}".replace("\n ", ""))
        return None
    warnings += sdc.warnings
    if sdc.design and sdc.design.replace("\\", "") != design.name.replace("\\", ""):
        warnings.append(f'{sources.sdc.name} is of design "{sdc.design}", the DEF of "{design.name}"')
    return sdc


def _clocks(design: Design, sdc: Sdc, warnings: list[str]) -> tuple[list[dict[str, Any]], dict[int, list[str]]]:
    """The clocks as the manifest has them, and the clocks whose source is on a net."""
    of_object = _nets_of_objects(design, {source for clock in sdc.clocks for source in clock.sources})
    at: dict[int, list[str]] = defaultdict(list)
    lost = [s for clock in sdc.clocks for s in clock.sources if not of_object[s]]
    out = []
    for clock in sdc.clocks:
        nets = sorted({net for source in clock.sources for net in of_object[source]})
        for net in nets:
            at[net].append(clock.name)
        out.append({
            "name": clock.name, "period_ns": clock.period_ns if np.isfinite(clock.period_ns) else None,
            "sources": list(clock.sources), "nets": [_shown(design.net_names[n]) for n in nets],
            "is_generated": clock.is_generated,
        })  # fmt: skip
    if lost:
        warnings.append(f"{len(lost)} clock sources of {sdc.path.name} are on no net of the DEF (first: {lost[0]})")
    return out, at


def _nets_of_objects(design: Design, objects: set[str]) -> dict[str, list[int]]:
    """Nets of `port:NAME` (patterns too), `pin:INST/PIN` and `net:NAME`; [] where the design has none."""
    insts, nets = design.inst_names.plain(), design.net_names.plain()
    is_port = np.flatnonzero(design.pin_port >= 0)
    port_names = design.port_names.plain().take(design.pin_port[is_port])
    ports = dict(zip(port_names, design.pin_net[is_port].tolist(), strict=True))
    split = {name: name.replace("\\", "").partition(":")[::2] for name in objects}
    owner = {name: insts.find(rest.rpartition("/")[0]) for name, (kind, rest) in split.items() if kind == "pin"}
    pins = np.flatnonzero(np.isin(design.pin_inst, [i for i in owner.values() if i >= 0]))
    pin_names = design.pin_names.plain().take(design.pin_name[pins])
    keys = zip(design.pin_inst[pins].tolist(), pin_names, strict=True)
    at = dict(zip(keys, design.pin_net[pins].tolist(), strict=True))
    out: dict[str, list[int]] = {}
    for name, (kind, rest) in split.items():
        match kind:
            case "port":
                found = [ports[rest]] if rest in ports else _matching(ports, rest)
            case "pin":
                found = [at.get((owner[name], rest.rpartition("/")[2]), -1)]
            case "net":
                found = [nets.find(rest)]
            case _:
                found = []
        out[name] = [net for net in found if net >= 0]
    return out


def _matching(ports: dict[str, int], pattern: str) -> list[int]:
    """Nets of the ports that `*` and `?` of a pattern match; brackets are part of a name."""
    if not any(c in pattern for c in "*?"):
        return []
    pattern = pattern.replace("[", "[[]")
    return sorted({net for port, net in ports.items() if fnmatch.fnmatchcase(port, pattern)})


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
