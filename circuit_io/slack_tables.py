"""Tables of slacks, `pin,slack_ns,...` with a row an endpoint as `gsr_export_labels` writes them, and their pins.

A pin is INST/PIN or a port; backslashes do not count, since writers escape different signs.
"""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from circuit_io.design import Design
from circuit_io.endpoints import Endpoints
from circuit_io.errors import Faults, InputError
from circuit_io.nodes import Nodes
from circuit_io.text import read_text

PLACED, ROUTED = "endpoints_place.csv", "endpoints_grt.csv"  # in a label folder
MAX_SLACK_NS = 1e9  # a second: far beyond any clock, and what STA prints for no constraint is beyond it
_COLUMNS = ("pin", "slack_ns")
_MEND = "Expected pin,slack_ns with a row an endpoint, as gsr_export_labels writes it."


@dataclass(frozen=True)
class SlackTable:
    """A table of slacks as it was read; `line` is that of each row."""

    path: Path
    pin: tuple[str, ...]
    slack_ns: Float64[np.ndarray, " rows"]
    line: tuple[int, ...]


def read_slacks(path: Path) -> SlackTable:
    """The rows of a table of slacks; one with its header alone has none.

    Raises:
        InputError: no such columns, a row that is cut, a slack that is no number of ns, a pin that comes twice.
    """
    text = read_text(path, _MEND).decode("utf-8", "replace")
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    faults = Faults(path)
    pins: dict[str, int] = {}
    values = []
    try:
        header = next(rows, [])
        at = [header.index(name) if name in header else -1 for name in _COLUMNS]
        if min(at) < 0:
            what = f"its columns are {','.join(header)[:80]}: no {_COLUMNS[at.index(-1)]}"
            raise InputError(what, path=path, line=1, mend=_MEND)
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                what = f"{len(row)} values, expected {len(header)}"
                faults.add(what, line=rows.line_num, mend="The file was cut or edited.")
                continue
            pin, slack = row[at[0]], _number(row[at[1]])
            if abs(slack) > MAX_SLACK_NS or math.isnan(slack):
                mend = "Leave out endpoints without a constraint; slacks are in ns."
                faults.add(f'"{row[at[1]][:40]}" is no slack in ns', line=rows.line_num, mend=mend)
            if pin in pins:
                what = f'endpoint "{pin}" is there twice, first in line {pins[pin]}'
                faults.add(what, line=rows.line_num, mend="Keep its worst slack alone.")
            pins.setdefault(pin, rows.line_num)
            values.append(slack)
    except csv.Error as e:
        raise InputError(f"is no table of commas: {e}", path=path, line=rows.line_num, mend=_MEND) from e
    faults.raise_if_any()
    return SlackTable(path, tuple(pins), np.asarray(values, np.float64), tuple(pins.values()))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def match_endpoints(design: Design, nodes: Nodes, placed: SlackTable, routed: SlackTable | None = None) -> Endpoints:
    """The endpoints of a design, from the table of placement slacks and, as labels, that of routed ones.

    Endpoints that the second table alone has are left out.

    Raises:
        InputError: a pin that the design has not, or that is on no net.
    """
    at = _pins_of(design, placed)
    routed_ns = np.full(len(at), np.nan)
    if routed is not None:
        known = dict(zip(_pins_of(design, routed).tolist(), routed.slack_ns.tolist(), strict=True))
        routed_ns[:] = [known.get(pin, np.nan) for pin in at.tolist()]
    return Endpoints(
        placed.pin, nodes.of_pin[at].astype(np.int32), design.pin_net[at].astype(np.int32), placed.slack_ns, routed_ns
    )


def _pins_of(design: Design, table: SlackTable) -> Int64[np.ndarray, " rows"]:
    """Row of the design's pins of each endpoint; backslashes do not count, since writers escape other signs."""
    insts = design.inst_names.plain()
    is_port = np.flatnonzero(design.pin_port >= 0)
    port_names = design.port_names.plain().take(design.pin_port[is_port]).tolist()
    ports = dict(zip(port_names, is_port.tolist(), strict=True))
    plain = [pin.replace("\\", "") for pin in table.pin]
    owner = [-1 if pin in ports else insts.find(pin.rpartition("/")[0]) for pin in plain]
    pins = np.flatnonzero(np.isin(design.pin_inst, [i for i in set(owner) if i >= 0]))
    pin_names = design.pin_names.plain().tolist()
    keys = zip(design.pin_inst[pins].tolist(), (pin_names[i] for i in design.pin_name[pins]), strict=True)
    known = dict(zip(keys, pins.tolist(), strict=True))
    faults, found = Faults(table.path), []
    for name, pin, inst, line in zip(table.pin, plain, owner, table.line, strict=True):
        row = ports[pin] if pin in ports else known.get((inst, pin.rpartition("/")[2]), -1)
        if row < 0:
            what = f'endpoint "{name}" is no pin on a net of design "{design.name}"'
            faults.add(what, line=line, mend="Write slacks and DEF of the same placement.")
        found.append(row)
    faults.raise_if_any()
    return np.asarray(found, np.int64)
