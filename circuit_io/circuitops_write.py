"""A design folder to tables in CircuitOps' columns; what we do not know is left empty, never -1.

Empty are: power, timing (slew, slack, arrivals, arc delays), start and end points, maximal capacitance and slew, wire
capacitance and resistance, `func_id`, `fo4_delay`, `fix_load_delay`, `net_steiner_length`. Cells without a signal pin
(fillers, taps) are no nodes of ours and have no row. Beyond CircuitOps: a row a port in `pin_properties` (`is_port` 1,
no cell), and in `design_properties` the columns of `ADDED`.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from jaxtyping import Int64

from circuit_io.arrays import expand
from circuit_io.atomic import write_files
from circuit_io.errors import InputError
from circuit_io.fields import INST_FEATURES, column
from circuit_io.store import StoredDesign, open_design

EDGE = ("src", "tar", "src_type", "tar_type")
ADDED = ("dbu_per_um", "die_x_um", "die_y_um", "gcell_um")
FARAD = 1e-15  # a fF
WATT = 1e-9  # a nW


def to_circuitops(design: Path | str, out: Path | str, *, overwrite: bool = False) -> list[Path]:
    """Write the design folder `design` as CircuitOps' ten tables into `out`; returns their paths.

    Args:
        design: what `gsr export --parquet` wrote.
        out: the folder to write into.
        overwrite: replace tables that are there.

    Raises:
        InputError: no such folder, no tables of pins and masters in it, a name with a comma, or `out` holds tables.
    """
    out, tables = Path(out), _Tables(open_design(design))
    found = {
        "cell_properties": tables.cells(),
        "pin_properties": tables.pins(),
        "net_properties": tables.nets(),
        "libcell_properties": tables.libcells(),
        "design_properties": tables.about(),
        "cell_pin_edge": tables.cell_pin(),
        "cell_net_edge": tables.cell_net(),
        "net_pin_edge": tables.net_pin(),
        "cell_cell_edge": tables.cell_cell(),
        "pin_pin_edge": tables.pin_pin(),
    }
    files = {out / f"{name}.csv": _csv(columns, out / f"{name}.csv") for name, columns in found.items()}
    write_files(files, overwrite=overwrite)
    return list(files)


def _csv(columns: dict[str, Any], path: Path) -> bytes:
    """Columns as CSV without quotes, as CircuitOps writes it; None is a column of nothing."""
    rows = max(len(c) for c in columns.values() if c is not None)
    table = pa.table({k: pa.nulls(rows, pa.string()) if c is None else c for k, c in columns.items()})
    text = io.BytesIO()
    try:
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
        pyarrow.csv.write_csv(table, text, options)
    except pa.ArrowInvalid as e:
        mend = "Its columns are not quoted: rename what has a comma or a quotation mark in its name."
        raise InputError(f"cannot be written: {e}", path=path, mend=mend) from e
    return ",".join(columns).encode() + b"\n" + text.getvalue()


class _Tables:
    """The columns of each table, pins by inst and in the graph's order within it, as CircuitOps lists them."""

    def __init__(self, design: StoredDesign) -> None:
        self.design, self.graph = design, design.graph
        files = [design.path / f"{name}.parquet" for name in ("pins", "masters")]
        if not all(p.is_file() for p in files):
            mend = "Export it with --parquet, so that pins and masters have tables."
            raise InputError("has no pins.parquet and masters.parquet", path=design.path, mend=mend)
        pins, self.masters = (pq.read_table(p) for p in files)
        order = np.argsort(self.graph.pin_inst, kind="stable")
        self.pin = pins.take(pa.array(order))
        self.inst = self.graph.pin_inst[order].astype(np.int64)
        self.net = self.graph.pin_net[order].astype(np.int64)
        self.insts, self.num_cells = design.insts, design.manifest["counts"]["insts"]
        self.dbu = design.manifest["dbu_per_um"]
        self.inst_names = self.insts["name"].combine_chunks()
        self.net_names = design.nets["name"].combine_chunks()
        names = zip(self.pin["inst"].to_pylist(), self.pin["pin"].to_pylist(), self.inst.tolist(), strict=True)
        self.pin_names = pa.array([f"{inst}/{pin}" if i < self.num_cells else inst for inst, pin, i in names])
        direction = np.asarray(self.pin["direction"].to_pylist(), object)
        self.is_output, self.is_input = direction == "OUTPUT", direction == "INPUT"
        self.of_cell = self.inst < self.num_cells
        self.drives = self.pin["is_driver"].to_numpy()
        self.takes = np.where(self.of_cell, self.is_input, self.is_output)
        self.on_clock = pa.compute.equal(design.nets["use"], "CLOCK").to_numpy()[self.net]

    def cells(self) -> dict[str, Any]:
        """A row a cell: its box in dbu, and what its master is."""
        insts = self.insts.slice(0, self.num_cells)
        x, y, w, h = (insts[f"{k}_um"].to_numpy() for k in ("x", "y", "width", "height"))
        row = pa.compute.index_in(insts["master"], self.masters["name"].combine_chunks())
        clocked = np.bincount(self.inst[self.on_clock], minlength=self.graph.num_insts)[: self.num_cells] > 0
        kind = {k: self.masters[k].take(row).cast(pa.int8()) for k in ("is_sequential", "is_buffer", "is_inverter")}
        dbu = {k: np.rint(v * self.dbu).astype(np.int64) for k, v in
               {"x0": x, "y0": y, "x1": x + w, "y1": y + h}.items()}  # fmt: skip
        return {
            "cell_name": insts["name"],
            "is_seq": kind["is_sequential"],
            "is_macro": insts["is_macro"].cast(pa.int8()),
            "is_in_clk": clocked.astype(np.int8),
            **dbu,
            "is_filler": np.zeros(len(insts), np.int8),
            "is_buf": kind["is_buffer"],
            "is_inv": kind["is_inverter"],
            "libcell_name": insts["master"],
            "cell_static_power": None,
            "cell_dynamic_power": None,
        }

    def pins(self) -> dict[str, Any]:
        """A row a pin; places in dbu, `dir` 1 for an output, empty where neither input nor output."""
        x, y = (np.rint(self.pin[f"{k}_um"].to_numpy() * self.dbu).astype(np.int64) for k in "xy")
        cap = self.pin["cap_ff"].to_numpy().astype(np.float64) * FARAD
        names = self.inst_names.take(pa.array(self.inst))
        return {
            "pin_name": self.pin_names, "x": x, "y": y,
            "is_in_clk": self.on_clock.astype(np.int8),
            "is_port": np.where(self.of_cell, 0, 1),
            "is_startpoint": None, "is_endpoint": None,
            "dir": pa.array(np.where(self.is_output, 1, 0), mask=~(self.is_output | self.is_input)),
            "maxcap": None, "maxtran": None, "num_reachable_endpoint": None,
            "cell_name": pa.compute.if_else(pa.array(self.of_cell), names, pa.scalar(None, pa.string())),
            "net_name": self.net_names.take(pa.array(self.net)),
            "pin_tran": None, "pin_slack": None, "pin_rise_arr": None, "pin_fall_arr": None,
            "input_pin_cap": pa.array(cap, mask=~np.isfinite(cap) | self.is_output),
        }  # fmt: skip

    def nets(self) -> dict[str, Any]:
        """A row a net; the routed length in dbu where there are labels."""
        labels, count = self.design.labels, self.graph.num_nets
        length = np.full(count, np.nan) if labels is None else labels.net_length_um.astype(np.float64) * self.dbu
        known = np.isfinite(length)
        sinks = self.of_cell & self.takes
        return {
            "net_name": self.net_names,
            "net_route_length": pa.array(np.rint(np.where(known, length, 0)).astype(np.int64), mask=~known),
            "net_steiner_length": None,
            "fanout": np.bincount(self.net[sinks], minlength=count),
            "total_cap": None, "net_cap": None, "net_coupling": None, "net_res": None,
        }  # fmt: skip

    def libcells(self) -> dict[str, Any]:
        """A row a master in use; area in dbu^2, leakage in W."""
        names = self.masters["name"].combine_chunks()
        cells = self.insts.slice(0, self.num_cells)
        row = pa.compute.index_in(cells["master"], names).to_numpy()
        area = np.full(len(names), np.nan)
        area[row] = cells["width_um"].to_numpy() * cells["height_um"].to_numpy() * self.dbu**2
        cap, at = self.pin["cap_ff"].to_numpy(), self.of_cell & self.is_input
        worst = np.full(len(names), -np.inf)
        np.fmax.at(worst, row[self.inst[at]], cap[at] * FARAD)
        leakage = self.masters["leakage_nw"].to_numpy().astype(np.float64) * WATT
        return {
            "libcell_name": names,
            "func_id": None,
            "libcell_area": pa.array(np.rint(np.nan_to_num(area)).astype(np.int64), mask=np.isnan(area)),
            "worst_input_cap": pa.array(worst, mask=~np.isfinite(worst)),
            "libcell_leakage": pa.array(leakage, mask=~np.isfinite(leakage)),
            "fo4_delay": None,
            "fix_load_delay": None,
        }

    def about(self) -> dict[str, Any]:
        """The row of the design; sizes in um, and the columns of `ADDED`."""
        manifest = self.design.manifest
        die, core = manifest["die_um"], manifest["core_um"]
        out: dict[str, Any] = {"design_name": [manifest["design"]]}
        for name, (x1, y1, x2, y2) in (("die", die), ("core", core)):
            sides = (x2 - x1, y2 - y1)
            out |= {f" {name}_width": [sides[0]], f" {name}_height": [sides[1]], f" {name}_area": [sides[0] * sides[1]]}
        out |= {" insts_count": [self.num_cells], " net_count": [self.graph.num_nets]}
        out |= {" total_static_power": None, " total_dynamic_power": None}
        added = (self.dbu, die[0], die[1], manifest["grid"]["tile_um"])
        return out | {f" {name}": [value] for name, value in zip(ADDED, added, strict=True)}

    def cell_pin(self) -> dict[str, Any]:
        """Input pins to their cells, cells to their output pins."""
        return self._about_pins(self.pin_names, "pin", self.inst_names.take(pa.array(self.inst)), "cell", self.of_cell)

    def cell_net(self) -> dict[str, Any]:
        """Nets to the cells that take from them, cells to the nets that they drive."""
        nets = self.net_names.take(pa.array(self.net))
        return self._about_pins(nets, "net", self.inst_names.take(pa.array(self.inst)), "cell", self.of_cell)

    def net_pin(self) -> dict[str, Any]:
        """By net: the net to the pins that take from it, the pin that drives it to the net."""
        order = np.argsort(self.net, kind="stable")
        nets = self.net_names.take(pa.array(self.net))
        return self._about_pins(nets, "net", self.pin_names, "pin", np.ones(len(order), bool), order)

    def _about_pins(
        self, outer: pa.Array, outer_type: str, inner: pa.Array, inner_type: str, kept: np.ndarray,
        order: np.ndarray | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """An edge a pin: outer to inner where the pin takes, inner to outer where it drives."""
        rows = np.arange(len(kept)) if order is None else order
        rows = rows[(kept & (self.takes | self.drives))[rows]]
        takes = pa.array(self.takes[rows])
        first, second = outer.take(pa.array(rows)), inner.take(pa.array(rows))
        kinds = pa.scalar(outer_type), pa.scalar(inner_type)
        return dict(zip(EDGE, (
            pa.compute.if_else(takes, first, second), pa.compute.if_else(takes, second, first),
            pa.compute.if_else(takes, *kinds), pa.compute.if_else(takes, *kinds[::-1]),
        ), strict=True))  # fmt: skip

    def cell_cell(self) -> dict[str, Any]:
        """The cell that drives a net to every cell that takes from it, once a pin."""
        source, target = self._crossed(self.net, self.of_cell & self.drives, self.of_cell & self.takes)
        names = [self.inst_names.take(pa.array(self.inst[rows])) for rows in (source, target)]
        return _edges(names, "cell")

    def pin_pin(self) -> dict[str, Any]:
        """Within combinational cells every input to every output, then by net the driver to what it drives."""
        flags = self.graph.inst_features[:, [column(INST_FEATURES, k) for k in ("is_sequential", "is_macro")]]
        plain = self.of_cell & (flags[self.inst].sum(axis=1) == 0)
        inside = self._crossed(self.inst, plain & self.is_input, plain & self.is_output)
        across = self._crossed(self.net, self.drives, self.takes)
        rows = [np.concatenate(pair) for pair in zip(inside, across, strict=True)]
        is_net = np.repeat([0, 1], [len(inside[0]), len(across[0])])
        return _edges([self.pin_names.take(pa.array(r)) for r in rows], "pin") | {"is_net": is_net, "arc_delay": None}

    def _crossed(
        self, group: Int64[np.ndarray, " pins"], sources: np.ndarray, targets: np.ndarray
    ) -> tuple[Int64[np.ndarray, " edges"], Int64[np.ndarray, " edges"]]:
        """Rows of every source with every target of the same group, by source."""
        of, to = np.flatnonzero(sources), np.flatnonzero(targets)
        of, to = of[np.argsort(group[of], kind="stable")], to[np.argsort(group[to], kind="stable")]
        first = np.searchsorted(group[to], group[of], side="left")
        source, nth = expand(np.searchsorted(group[to], group[of], side="right") - first)
        return of[source], to[first[source] + nth]


def _edges(names: list[pa.Array], kind: str) -> dict[str, Any]:
    both = [np.full(len(names[0]), kind)] * 2
    return dict(zip(EDGE, [*names, *both], strict=True))
