"""Slacks of the endpoints of a design that is exported: matched, and doubted where they cannot be what they say."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from circuit_io import labels as label_files
from circuit_io.design import Design
from circuit_io.endpoints import TABLE, Endpoints
from circuit_io.errors import InputError
from circuit_io.graph import CircuitGraph
from circuit_io.nodes import Nodes
from circuit_io.path_delays import PathDelays, path_delays
from circuit_io.slack_tables import PLACED, ROUTED, match_endpoints, read_slacks

NO_WIRES = 1e-5  # of the largest slack: a change below it is a rounding of the timer, for which no wire has any load
IN_PS = 300  # times the longest estimated path: what slacks spread over when they are 1,000 times too large


@dataclass(frozen=True)
class FoundEndpoints:
    """The table for the export folder, none where slacks are not given; what the manifest says; warnings."""

    tables: dict[str, Any]
    said: dict[str, Any]
    inputs: list[tuple[str, Path]]
    warnings: list[str]


def find_endpoints(
    design: Design,
    nodes: Nodes,
    graph: CircuitGraph,
    *,
    insts: pa.Table,
    nets: pa.Table,
    tile_um: float,
    slack: Path | None,
    labels: Path | None,
) -> FoundEndpoints:
    """Endpoints with the slacks of the file `slack`, or of the label folder, whose routed slacks are their labels.

    Raises:
        InputError: a table is bad or of another design; `slack` names a table without endpoints.
    """
    path = slack or _in(labels, PLACED)
    if path is None:
        return FoundEndpoints({}, {}, [], [])
    placed = read_slacks(path)
    if not placed.pin:
        if slack is not None:
            raise InputError("has no endpoint", path=path, mend="Write it where the design has constraints (SDC).")
        return FoundEndpoints({}, {"endpoints": {"count": 0, "why": f"{path.name} of the labels is empty"}}, [], [])
    routed = _in(labels, ROUTED)
    found = match_endpoints(design, nodes, placed, None if routed is None else read_slacks(routed))
    inputs = [("endpoint_slack", path), *([] if routed is None else [("routed_slack", routed)])]
    found, warnings = _doubted(found, path)
    delays = path_delays(graph, found.pins_of(graph), insts=insts, nets=nets, tile_um=tile_um)
    said: dict[str, Any] = {"count": len(found), "labelled": found.num_labelled}
    if delays is None:
        said |= {"why": "without Liberty there is no delay of a path, so slack after routing is not predicted"}
        warnings += [] if slack is None else [f"{path.name} is of no use: {said['why']}"]
    else:
        warnings += _unit(found, path, delays)
    return FoundEndpoints({TABLE: found.table()}, {"endpoints": said}, inputs, warnings)


def _in(labels: Path | None, name: str) -> Path | None:
    return label_files.find(labels, name) if labels is not None and label_files.has(labels, name) else None


def _doubted(found: Endpoints, path: Path) -> tuple[Endpoints, list[str]]:
    """Without the labels where routing has changed nothing."""
    change = np.abs(found.routed_ns - found.slack_ns)[np.isfinite(found.routed_ns)]
    if not len(change) or change.max() > NO_WIRES * np.abs(found.slack_ns).max():
        return found, []
    warning = (
        f"slacks after routing are those of {path.name}, so wires had no resistance and capacitance (set_wire_rc): "
        "they are no labels"
    )
    return replace(found, routed_ns=np.full(len(found), np.nan)), [warning]


def _unit(found: Endpoints, path: Path, delays: PathDelays) -> list[str]:
    spread, longest = float(np.ptp(found.slack_ns)), float(delays.arrival_ns.max())
    if not longest or spread < IN_PS * longest:
        return []
    return [f"slacks of {path.name} spread over {spread:,.0f} ns, the longest path takes about {longest:.2g}: in ps?"]
