"""Timing endpoints of an exported design: their slack before routing, an input, and after it, a label."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int32, Int64

from circuit_io.errors import InputError
from circuit_io.graph import CircuitGraph
from circuit_io.store import StoredDesign, read_more

TABLE = "endpoints"  # in an export folder


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
