"""What SPEF and SDC say of a design, for the tables and the manifest of its export; never for features.

SPEF is written after routing, so it is data to analyse or to learn, not an input: a model that saw it would be told
the answer. Nothing of this module reaches `circuit_io.features`.
"""

import fnmatch
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from circuit_io.design import Design
from circuit_io.errors import GsrError, InputError
from circuit_io.sdc import Sdc, read_sdc
from circuit_io.spef import Spef, read_spef

_SHOWN = 5


@dataclass(frozen=True)
class TimingSources:
    """A SPEF and an SDC file; with `is_lenient`, what is wrong with the SDC is a warning."""

    spef: Path | None = None
    sdc: Path | None = None
    is_lenient: bool = False

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


def _nets_of(design: Design, spef: Spef, warnings: list[str]) -> np.ndarray:
    """The design's net of each net of the SPEF, -1 for none."""
    index = {_plain(name): i for i, name in enumerate(design.net_names.raw_list())}
    divider = spef.divider.encode("utf-8", "surrogateescape")
    names = spef.net_names.raw_list()  # a flat name may hold the divider as a plain letter
    net = np.asarray([index.get(_plain(n), index.get(_plain(n, divider), -1)) for n in names], np.int64)
    lacking = np.flatnonzero(net < 0)
    some = ", ".join(spef.net_names.take(lacking[:_SHOWN].tolist())) + (", ..." if len(lacking) > _SHOWN else "")
    if 2 * len(lacking) > len(net):
        what = f"{len(lacking)} of its {len(net)} nets are not there ({some})"
        mend = "Give the SPEF of this design, or leave --spef out."
        raise InputError(f"is of another design than {design.path.name}: {what}", path=spef.path, mend=mend)
    warnings += spef.warnings
    if len(lacking):
        warnings.append(f"{len(lacking)} of {len(net)} nets of {spef.path.name} are not in the DEF ({some})")
    if spef.design.replace("\\", "") != design.name.replace("\\", ""):
        warnings.append(f'{spef.path.name} is of design "{spef.design}", the DEF of "{design.name}"')
    silent = np.bincount(design.pin_net, minlength=len(design.net_names)) > 1
    silent[net[net >= 0]] = False
    if silent.any():
        first = design.net_names[int(np.argmax(silent))]
        warnings.append(f"{int(silent.sum())} nets of the DEF are not in {spef.path.name} (first: {first})")
    return net


def _plain(name: bytes, divider: bytes = b"/") -> bytes:
    """A name without backslashes, its levels of hierarchy divided by a slash."""
    if divider != b"/":
        name = re.sub(rb"(?<!\\)" + re.escape(divider), b"/", name)
    return name.replace(b"\\", b"")


def _constraints(design: Design, sources: TimingSources, warnings: list[str]) -> Sdc | None:
    if sources.sdc is None:
        return None
    liberty = design.liberty
    has_units = liberty is not None and len(liberty.time_unit_ns) > 0
    try:
        sdc = read_sdc(
            sources.sdc,
            time_unit_ns=float(liberty.time_unit_ns[0]) if liberty and has_units else None,
            cap_unit_ff=float(liberty.cap_unit_ff[0]) if liberty and has_units else None,
        )
    except GsrError as e:
        if not sources.is_lenient:
            raise
        warnings.append(f"SDC is left out: {e}".replace("\n", " "))
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
    out: dict[str, list[int]] = {name: [] for name in objects}
    is_port = np.flatnonzero(design.pin_port >= 0)
    ports = {_plain(design.port_names.raw(int(design.pin_port[i]))).decode("utf-8", "replace"): int(design.pin_net[i])
             for i in is_port.tolist()}  # fmt: skip
    insts: dict[bytes, int] | None = None
    for name in objects:
        kind, _, rest = name.partition(":")
        wanted = rest.replace("\\", "")
        if kind == "port" and wanted in ports:
            out[name] = [ports[wanted]]
        elif kind == "port" and any(c in wanted for c in "*?"):
            pattern = wanted.replace("[", "[[]")
            out[name] = sorted({net for port, net in ports.items() if fnmatch.fnmatchcase(port, pattern)})
        elif kind in ("pin", "net"):
            if insts is None:
                insts = {_plain(n): i for i, n in enumerate(design.inst_names.raw_list())}
            out[name] = _net_of(design, insts, kind, wanted.encode())
    return out


def _net_of(design: Design, insts: dict[bytes, int], kind: str, wanted: bytes) -> list[int]:
    if kind == "net":
        return [i for i, n in enumerate(design.net_names.raw_list()) if _plain(n) == wanted]
    inst, _, pin = wanted.rpartition(b"/")
    mine = np.flatnonzero(design.pin_inst == insts.get(inst, -2)).tolist()
    return [int(design.pin_net[i]) for i in mine if _plain(design.pin_names.raw(int(design.pin_name[i]))) == pin]


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
