"""How long the paths that lead to endpoints are, estimated from the placement: no timer, but a known unit of time.

A stage takes as long as its driver's resistance needs to charge the wire (`drive`), the pins (`load`) and itself (a
typical gate); the wire to a pin adds half of its resistance times what hangs on the net (`wire`). The worst arrival of
all paths is found from level to level; what it is made of follows it. Sequential insts, macros and ports begin paths.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int32, Int64

from circuit_io.arrays import expand
from circuit_io.fields import INST_FEATURES, PIN_FEATURES, column
from circuit_io.gcells import PITCHES_PER_TILE
from circuit_io.graph import CircuitGraph
from circuit_io.net_lengths import tree_lengths

WIRE_FF_PER_UM = 0.2  # of routed wires in every technology from 130 to 7 nm, within a third
RESISTIVITY_OHM_UM = 0.03  # copper in narrow lines; a wire is half a track pitch wide and as thick as a pitch
ARRIVAL, DRIVE, WIRE, STAGES = range(4)  # columns of what is followed along a path


@dataclass(frozen=True)
class PathDelays:
    """Of the worst path to each of some pins.

    Attributes:
        arrival_ns: its delay.
        drive_ns: of it, what drivers need for the wires.
        wire_ns: of it, what the wires' own resistance adds.
        stages: nets on it.
        gate_ns: delay of a typical gate with a typical load of pins and no wire.
    """

    arrival_ns: Float64[np.ndarray, " ends"]
    drive_ns: Float64[np.ndarray, " ends"]
    wire_ns: Float64[np.ndarray, " ends"]
    stages: Float64[np.ndarray, " ends"]
    gate_ns: float


def path_delays(
    graph: CircuitGraph, pins: Int64[np.ndarray, " ends"], *, insts: pa.Table, nets: pa.Table, tile_um: float
) -> PathDelays | None:
    """Estimates for `pins` (rows of the graph's pins); None where Liberty tells of no driver.

    Args:
        graph: a placed design.
        pins: where paths end.
        insts: table of the export; its `drive_kohm` is the resistance of each inst's outputs.
        nets: the same; its `pin_cap_ff` is the sum of the pins that a net drives.
        tile_um: side of a gcell.
    """
    is_driver = graph.pin_features[:, column(PIN_FEATURES, "is_driver")] > 0
    kohm, cap_ff = np.zeros(graph.num_nets), _known(nets, "pin_cap_ff")
    np.maximum.at(kohm, graph.pin_net[is_driver], _known(insts, "drive_kohm")[graph.pin_inst[is_driver]])
    load_ns = kohm * cap_ff * 1e-3  # kohm x fF is ps
    if not (load_ns > 0).any():
        return None
    gate_ns = float(np.median(load_ns[load_ns > 0]))
    wire_ff = tree_lengths(graph).tree * tile_um * WIRE_FF_PER_UM
    drive_ns = kohm * wire_ff * 1e-3
    wire_ns = _wire_ns(graph, is_driver, (wire_ff + cap_ff)[graph.pin_net], tile_um)
    of_net = np.stack([drive_ns + load_ns + gate_ns, drive_ns, 0 * drive_ns, 1 + 0 * drive_ns], axis=1)
    of_pin = np.stack([wire_ns, 0 * wire_ns, wire_ns, 0 * wire_ns], axis=1)
    found = (_worst_paths(graph, is_driver, of_net, of_pin)[graph.pin_net[pins]] + of_pin[pins]).T
    return PathDelays(found[ARRIVAL], found[DRIVE], found[WIRE], found[STAGES], gate_ns)


def _known(table: pa.Table, name: str) -> Float64[np.ndarray, " rows"]:
    """A column of the table, 0 where it is null or not there."""
    if name not in table.column_names:
        return np.zeros(len(table))
    values: Float64[np.ndarray, " rows"] = np.nan_to_num(np.asarray(table[name], np.float64))
    return values


def _wire_ns(
    graph: CircuitGraph, is_driver: Bool[np.ndarray, " pins"], hangs_ff: Float64[np.ndarray, " pins"], tile_um: float
) -> Float64[np.ndarray, " pins"]:
    """Delay of the wire from a net's driver to each pin: half its resistance, straight there, times the whole load."""
    place = np.stack([graph.pin_gcell % graph.nx, graph.pin_gcell // graph.nx], axis=1).astype(np.float64)
    source = np.full((graph.num_nets, 2), np.nan)
    source[graph.pin_net[is_driver]] = place[is_driver]
    apart_um = np.nan_to_num(np.abs(place - source[graph.pin_net]).sum(axis=1)) * tile_um
    kohm_per_um = 1e-3 * 2 * RESISTIVITY_OHM_UM / (tile_um / PITCHES_PER_TILE) ** 2
    delays: Float64[np.ndarray, " pins"] = 0.5 * kohm_per_um * apart_um * hangs_ff * 1e-3
    return delays


@dataclass(frozen=True)
class _Lists:
    """Pins by inst or by net."""

    pins: Int64[np.ndarray, " some"]
    first: Int64[np.ndarray, " rows"]
    count: Int64[np.ndarray, " rows"]

    @classmethod
    def of(cls, pins: Int64[np.ndarray, " some"], owner: Int32[np.ndarray, " pins"], num_rows: int) -> "_Lists":
        count = np.bincount(owner[pins], minlength=num_rows)
        return cls(pins[np.argsort(owner[pins], kind="stable")], np.cumsum(count) - count, count)

    def __getitem__(self, rows: Int64[np.ndarray, " k"]) -> Int64[np.ndarray, " found"]:
        row, nth = expand(self.count[rows])
        found: Int64[np.ndarray, " found"] = self.pins[self.first[rows][row] + nth]
        return found


def _worst_paths(
    graph: CircuitGraph,
    is_driver: Bool[np.ndarray, " pins"],
    of_net: Float64[np.ndarray, "nets 4"],
    of_pin: Float64[np.ndarray, "pins 4"],
) -> Float64[np.ndarray, "nets 4"]:
    """What the worst path to the driver's end of each net has gathered.

    A loop is cut before the insts that it is entered by, those with fewest inputs open.
    """
    inst, net = graph.pin_inst, graph.pin_net
    begins = np.zeros(graph.num_insts, bool)
    for name in ("is_sequential", "is_macro", "is_port"):
        begins |= graph.inst_features[:, column(INST_FEATURES, name)] > 0
    drives, loads = np.flatnonzero(is_driver), np.flatnonzero(~is_driver & ~begins[inst])
    of_inst, on_net = _Lists.of(drives, inst, graph.num_insts), _Lists.of(loads, net, graph.num_nets)
    num_inputs = np.bincount(inst[loads], minlength=graph.num_insts)
    open_inputs = num_inputs.copy()
    open_drivers = np.bincount(net[drives], minlength=graph.num_nets)
    at_inst, at_net = np.zeros((graph.num_insts, 4)), np.zeros((graph.num_nets, 4))
    is_done = np.zeros(graph.num_insts, bool)
    insts, nets = np.flatnonzero(open_inputs == 0), np.flatnonzero(open_drivers == 0)
    while True:
        if not len(insts) and not len(nets):
            left = np.flatnonzero(~is_done)
            if not len(left):
                return at_net
            entered = left[open_inputs[left] < num_inputs[left]]
            left = entered if len(entered) else left
            insts = left[open_inputs[left] == open_inputs[left].min()]
        is_done[insts] = True
        pins = of_inst[insts]
        _keep_worst(at_net, net[pins], at_inst[inst[pins]] + of_net[net[pins]])
        pins = on_net[np.append(nets, _released(open_drivers, net[pins]))]
        pins = pins[~is_done[inst[pins]]]
        _keep_worst(at_inst, inst[pins], at_net[net[pins]] + of_pin[pins])
        insts, nets = _released(open_inputs, inst[pins]), nets[:0]


def _keep_worst(
    at: Float64[np.ndarray, "rows 4"], rows: Int32[np.ndarray, " n"], found: Float64[np.ndarray, "n 4"]
) -> None:
    order = np.argsort(found[:, ARRIVAL], kind="stable")
    order = order[found[order, ARRIVAL] >= at[rows[order], ARRIVAL]]
    at[rows[order]] = found[order]  # the last one of a row, its latest, stays


def _released(waits: Int64[np.ndarray, " rows"], rows: Int32[np.ndarray, " n"]) -> Int64[np.ndarray, " free"]:
    """Count down, and the rows that wait for nothing more."""
    np.subtract.at(waits, rows, 1)
    touched = np.unique(rows).astype(np.int64)
    free: Int64[np.ndarray, " free"] = touched[waits[touched] == 0]
    return free
