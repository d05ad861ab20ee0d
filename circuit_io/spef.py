"""Parasitics of routed nets (SPEF, IEEE 1481) as typed columns: sums per net, not every resistor.

Read: `*NAME_MAP`, `*D_NET` and `*R_NET` with their totals, `*CONN`, `*CAP` (grounded and coupling), `*RES`; one entry a
line, as every writer does it. Of min:typ:max the middle one counts. `*INDUC`, ports, physical and power nets are passed
over. A name is as the file writes it, backslashes kept.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int32, Int64

from circuit_io.def_text import show
from circuit_io.names import Names
from circuit_io.spef_reader import SpefReader

__all__ = ["Spef", "read_spef"]

SAME_CAP = 1e-3  # relative; writers round each number to six digits


@dataclass(frozen=True)
class Spef:
    """Parasitics by net, in the order of the file.

    `net_cap_ff` is the total that the net states, `net_ground_ff` and `net_coupling_ff` are sums of its `*CAP` entries;
    nan where there is no `*CAP` section; `net_res_ohm` sums `*RES` and is nan where there is none. Connections of net
    `i` are `net_ptr[i] : net_ptr[i + 1]`; `conn_inst` is -1 for a port, whose name is then in `conn_pin`.
    """

    path: Path
    design: str
    divider: str
    time_unit_ns: float
    net_names: Names
    net_cap_ff: Float64[np.ndarray, " nets"]
    net_ground_ff: Float64[np.ndarray, " nets"]
    net_coupling_ff: Float64[np.ndarray, " nets"]
    net_res_ohm: Float64[np.ndarray, " nets"]
    net_ptr: Int64[np.ndarray, " nets_plus_1"]
    inst_names: Names
    pin_names: Names
    conn_inst: Int32[np.ndarray, " conns"]
    conn_pin: Int32[np.ndarray, " conns"]  # in pin_names: mterm, or the port's name
    conn_direction: Int8[np.ndarray, " conns"]  # 0 input 1 output 2 both
    warnings: tuple[str, ...] = ()

    @property
    def differs(self) -> Bool[np.ndarray, " nets"]:
        """Nets whose stated total is not the sum of their `*CAP` entries."""
        found = self.net_ground_ff + self.net_coupling_ff  # nan, where there are none, differs from nothing
        size = np.maximum(np.abs(found), np.abs(self.net_cap_ff))
        differs: Bool[np.ndarray, " nets"] = np.abs(found - self.net_cap_ff) > SAME_CAP * size
        return differs


def read_spef(path: Path | str) -> Spef:
    """The parasitics in a SPEF file, plain or gzip: capacitances in fF, resistances in ohm.

    Raises:
        InputError: not SPEF, binary, cut short, no unit of capacitance, an entry or a name that cannot be read.
    """
    found = SpefReader(path)
    found.read()
    cap, ohm = found.unit[b"C_UNIT"], found.unit[b"R_UNIT"]
    total, ground, coupling, resistance = (np.array(column) for column in found.sums)
    spef = Spef(
        path=found.path,
        design=show(found.header.get(b"DESIGN", b"")).strip('"'),
        divider=show(found.header.get(b"DIVIDER") or b"/"),
        time_unit_ns=found.unit.get(b"T_UNIT", 1.0),
        net_names=found.nets.names(),
        net_cap_ff=total * cap,
        net_ground_ff=ground * cap,
        net_coupling_ff=coupling * cap,
        net_res_ohm=resistance * ohm,
        net_ptr=np.array(found.ptr, np.int64),
        inst_names=found.insts.names(),
        pin_names=found.pins.names(),
        conn_inst=np.array(found.conn_inst, np.int32),
        conn_pin=np.array(found.conn_pin, np.int32),
        conn_direction=np.array(found.conn_direction, np.int8),
    )
    return _warned(spef)


def _warned(spef: Spef) -> Spef:
    """The same, with a counted warning for totals that are not the sum of their parts."""
    at = np.flatnonzero(spef.differs)
    if not len(at):
        return spef
    i = int(at[0])
    found = spef.net_ground_ff[i] + spef.net_coupling_ff[i]
    text = (
        f"{len(at)} of {len(spef.net_names)} nets state another capacitance than the sum of their *CAP entries "
        f"(first: {spef.net_names[i]}, {spef.net_cap_ff[i]:.6g} fF, sum {found:.6g} fF)"
    )
    return replace(spef, warnings=(text,))
