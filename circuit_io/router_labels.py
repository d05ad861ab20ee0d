"""Label tables version 1 from the embedded router: approximate labels, for where no OpenROAD is installed."""

import csv
import gzip
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from circuit_io.atomic import write_files
from circuit_io.design import Design
from circuit_io.features import build_graph
from circuit_io.gcells import HORIZONTAL, VERTICAL, GcellGrid
from circuit_io.labels import UsageTable
from circuit_io.router_demand import Demand, check_demand, demand_of, is_edge
from circuit_io.router_run import KEPT, route_once
from circuit_io.router_supply import Supply, layers_of, supply_of


@dataclass(frozen=True)
class RoutedTables:
    """Usage by layer, in tracks; length of each net in gcells, as in `router.Run`; tracks of overflow of each run."""

    usage: UsageTable
    net_gcells: Float64[np.ndarray, " nets"]
    overflow: tuple[int, ...]


def route_tables(task: Demand, supply: Supply, *, runs: int, seed: int) -> RoutedTables:
    """The mean of several runs of the embedded router as a table of layers.

    The mean is of two directions: its wires on an edge are shared among the layers in proportion to the tracks that are
    left there. Sums over the layers, which labels are made of, are exact.

    Args:
        task: what to route.
        supply: its tracks by layer.
        runs: how many runs, numbered from `seed`.
        seed: number of the first.

    Raises:
        InputError: what cannot be routed, see `router.route`.
    """
    check_demand(task)
    shape = (task.ny, task.nx)
    wires = tuple(np.zeros(shape, np.int64) for _ in "hv")
    length, overflow = np.zeros(task.num_nets, np.int64), []
    for number in range(seed, seed + runs):
        run = route_once(task, number)
        for total, more in zip(wires, run.tally.sums, strict=True):
            total += more
        length += run.net_gcells
        overflow.append(run.overflow)
    usage = (supply.capacity - supply.left).astype(np.float64)
    for direction, edge in zip((HORIZONTAL, VERTICAL), is_edge(shape), strict=True):
        mine = supply.of(direction)
        usage[mine] += _shares(np.where(edge, wires[direction], 0), supply.left[mine]) / (runs * KEPT)
    return RoutedTables(
        UsageTable(
            layers=tuple(layer.name for layer in supply.layers),
            directions=tuple(layer.direction for layer in supply.layers),
            capacity=supply.capacity.astype(np.float64),
            usage=usage,
            reduction=(supply.capacity - supply.adjusted).astype(np.float64),
        ),
        length / runs,
        tuple(overflow),
    )


def _shares(need: Int64[np.ndarray, "ny nx"], left: Int64[np.ndarray, "l ny nx"]) -> Int64[np.ndarray, "l ny nx"]:
    """`need` in whole parts that add up to it, in proportion to `left`; all on the first where nothing is left."""
    room = left.copy()
    room[0][room.sum(axis=0) == 0] = 1
    until = need * np.cumsum(room, axis=0) // room.sum(axis=0)
    shares: Int64[np.ndarray, "l ny nx"] = np.diff(until, axis=0, prepend=0)
    return shares


def write_router_labels(
    folder: Path, design: Design, grid: GcellGrid, adjustment: dict[str, float], *, runs: int = 8, seed: int = 0
) -> RoutedTables:
    """Route a placed design and write `gcell_grid.csv`, `gcell_usage.csv.gz` and `wire_length.csv.gz` into `folder`.

    Raises:
        InputError: what cannot be routed, see `router.route`.
    """
    graph, _ = build_graph(design, grid, adjustment)
    supply = supply_of(design, grid, adjustment)
    graph = replace(graph, layers=layers_of(design, grid, supply))
    found = route_tables(demand_of(graph), supply, runs=runs, seed=seed)
    pins = np.bincount(graph.pin_net, minlength=graph.num_nets)
    length_um = found.net_gcells * (grid.tile_dbu / design.dbu_per_um)
    names = design.net_names.raw_list()
    rows = [f" {length_um[i]:.10g} {pins[i]}\n".encode() for i in range(len(names))]
    nets = [b"grt: " + name + row for name, row, n in zip(names, rows, pins, strict=True) if n > 1]
    write_files(
        {
            folder / "gcell_grid.csv": grid_text(grid),
            folder / "gcell_usage.csv.gz": packed(usage_text(found.usage).encode()),
            folder / "wire_length.csv.gz": packed(b"tool net total_wl #pins \n" + b"".join(nets)),
        },
        overwrite=True,
    )
    return found


def grid_text(grid: GcellGrid) -> str:
    """`gcell_grid.csv`."""
    axes = (("x", grid.x_dbu()[:-1]), ("y", grid.y_dbu()[:-1]))
    rows = [f"{axis},{i},{at}" for axis, borders in axes for i, at in enumerate(borders.tolist())]
    return "\n".join(["axis,index,coord_dbu", *rows, ""])


def usage_text(table: UsageTable) -> str:
    """`gcell_usage.csv`, with the column `reduction` where the table has it."""
    columns = [table.capacity, table.usage] + ([] if table.reduction is None else [table.reduction])
    header = ["layer", "direction", "ix", "iy", "capacity", "usage", "reduction"][: 4 + len(columns)]
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    write.writerow(header)
    ny, nx = table.capacity.shape[1:]
    iy, ix = (at.ravel().tolist() for at in np.indices((ny, nx)))
    for layer, (name, direction) in enumerate(zip(table.layers, table.directions, strict=True)):
        word = "VERTICAL" if direction == VERTICAL else "HORIZONTAL"
        values = (column[layer].ravel().tolist() for column in columns)
        write.writerows((name, word, *row) for row in zip(ix, iy, *values, strict=True))
    return out.getvalue()


def packed(data: bytes) -> bytes:
    """The same bytes in gzip whenever it is written."""
    return gzip.compress(data, 6, mtime=0)
