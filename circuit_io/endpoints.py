"""Timing endpoints of a placed design: their slack before routing, which is an input, and after it, which is a label.

A table is `pin,slack_ns,...` with a row an endpoint, as `gsr_export_labels` writes it: pin is INST/PIN or a port.
"""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int32, Int64

from circuit_io.design import Design
from circuit_io.errors import Faults, InputError
from circuit_io.graph import CircuitGraph
from circuit_io.nodes import Nodes
from circuit_io.store import StoredDesign, read_more
from circuit_io.text import read_text

TABLE = "endpoints"  # in an export folder
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


@dataclass(frozen=True)
class Endpoints:
    """Endpoints in the order of the table of placement slacks.

    Attributes:
        pin: name, as the table has it.
        inst: node of the graph that it belongs to (an inst or a port).
        net: the net that ends there.
        slack_ns: with parasitics estimated from the placement.
        routed_ns: with those of the global route; nan where no label tells.
    """

    pin: tuple[str, ...]
    inst: Int32[np.ndarray, " endpoints"]
    net: Int32[np.ndarray, " endpoints"]
    slack_ns: Float64[np.ndarray, " endpoints"]
    routed_ns: Float64[np.ndarray, " endpoints"]

    def __len__(self) -> int:
        return len(self.pin)

    @property
    def num_labelled(self) -> int:
        """Endpoints whose slack after routing is known."""
        return int(np.isfinite(self.routed_ns).sum())

    def pins_of(self, graph: CircuitGraph) -> Int64[np.ndarray, " endpoints"]:
        """The row of each endpoint in the graph's pins; -1 where the inst has none on that net."""
        key = graph.pin_net.astype(np.int64) * graph.num_insts + graph.pin_inst  # ascending by net, then inst
        order = np.argsort(key, kind="stable")
        wanted = self.net.astype(np.int64) * graph.num_insts + self.inst
        at = np.minimum(np.searchsorted(key[order], wanted), max(len(key) - 1, 0))
        return np.where(key[order][at] == wanted, order[at], -1) if len(key) else np.full(len(self), -1)

    def table(self) -> pa.Table:
        """A row an endpoint, for an export folder."""
        return pa.table(
            {
                "pin": pa.array(self.pin, pa.string()),
                "inst": pa.array(self.inst, pa.int32()),
                "net": pa.array(self.net, pa.int32()),
                "slack_ns": pa.array(self.slack_ns, pa.float64()),
                "routed_slack_ns": pa.array(self.routed_ns, pa.float64(), from_pandas=True),
            }
        )

    @classmethod
    def of_table(cls, table: pa.Table) -> "Endpoints":
        """The endpoints that `table` gave."""
        inst, net = (np.asarray(table[name], np.int32) for name in ("inst", "net"))
        slack, routed = (np.asarray(table[name], np.float64) for name in ("slack_ns", "routed_slack_ns"))
        return cls(tuple(table["pin"].to_pylist()), inst, net, slack, routed)


def read_stored_endpoints(design: StoredDesign) -> Endpoints | None:
    """The endpoints of an export folder; None when it was made without their slacks.

    Raises:
        InputError: the table does not fit the design.
    """
    found, graph = read_more(design, TABLE, Endpoints.of_table), design.graph
    if found is None:
        return None
    within = (found.inst >= 0) & (found.inst < graph.num_insts) & (found.net >= 0) & (found.net < graph.num_nets)
    if not within.all() or not np.isfinite(found.slack_ns).all() or (found.pins_of(graph) < 0).any():
        path = design.path / f"{TABLE}.parquet"
        raise InputError("an endpoint is no pin of the design, or has no slack", path=path, mend="Export it again.")
    return found


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
