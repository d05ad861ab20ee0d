"""A circuit graph as index tensors: the int32 lists that the relations of the model read, and their row counts.

Rows of a stream are ordered inst, net, gcell. Nothing here is an edge list of a relation that factors: `covers`,
`covered`, `near` and `clique` live on the pins, the gcells of the insts and the boxes of the nets alone.
"""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor

from circuit_io.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

NODE_TYPES = ("inst", "net", "gcell")


@runtime_checkable
class GraphArrays(Protocol):
    """What `GraphTensors.of` needs of a graph; `circuit_io.graph.CircuitGraph` has it."""

    @property
    def nx(self) -> int: ...  # noqa: D102
    @property
    def ny(self) -> int: ...  # noqa: D102
    @property
    def inst_gcell(self) -> "NDArray[np.int32]": ...  # noqa: D102
    @property
    def pin_inst(self) -> "NDArray[np.int32]": ...  # noqa: D102
    @property
    def pin_net(self) -> "NDArray[np.int32]": ...  # noqa: D102
    @property
    def net_box(self) -> "NDArray[np.int32]": ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Csr:
    """Rows of sources: row `i` lists `idx[ptr[i]:ptr[i + 1]]`, in a fixed order, repeats kept."""

    ptr: Int32[Tensor, " rows_plus_one"]
    idx: Int32[Tensor, " entries"]

    @property
    def num_rows(self) -> int:
        """Rows, empty ones included."""
        return self.ptr.numel() - 1

    def degree(self) -> Int32[Tensor, " rows"]:
        """Entries of each row."""
        return self.ptr[1:] - self.ptr[:-1]

    def to(self, device: torch.device | str) -> "Csr":
        """The same lists on `device`."""
        return Csr(self.ptr.to(device), self.idx.to(device))


def csr_of(rows: "NDArray[np.integer]", sources: "NDArray[np.integer]", num_rows: int) -> Csr:
    """Lists the sources of each row, in the order in which they are given."""
    order = np.argsort(rows, kind="stable")
    ptr = np.zeros(num_rows + 1, np.int32)
    np.cumsum(np.bincount(rows, minlength=num_rows), out=ptr[1:])
    return Csr(torch.from_numpy(ptr), torch.from_numpy(np.ascontiguousarray(sources[order], np.int32)))


def _check_below(name: str, values: "NDArray[np.integer]", limit: int) -> None:
    bad = np.flatnonzero((values < 0) | (values >= limit))
    if len(bad):
        raise InputError(f"{name}[{bad[0]}] = {values[bad[0]]}: must be in 0..{limit - 1}", mend="Export it again.")


@dataclass(frozen=True, eq=False)
class GraphTensors:
    """One graph, ready for the model.

    Attributes:
        nx: gcells per row of the grid; gcell (ix, iy) has index `iy * nx + ix`.
        ny: rows of the grid.
        nets: insts of each net, one entry per pin.
        insts: nets of each inst, one entry per pin.
        gcells: insts of each gcell.
        inst_gcell: gcell of the centre of each inst.
        net_box: x0, y0, x1, y1 of the pins' gcells, both ends included; x1 < x0 for a net without pins.
    """

    nx: int
    ny: int
    nets: Csr
    insts: Csr
    gcells: Csr
    inst_gcell: Int32[Tensor, " insts"]
    net_box: Int32[Tensor, "nets 4"]

    @classmethod
    def of(cls, graph: GraphArrays) -> "GraphTensors":
        """Index tensors of `graph` on the CPU; the order of pins inside a row is the graph's own.

        Raises:
            InputError: an index lies outside the graph; the message names the array and the entry.
        """
        if min(graph.nx, graph.ny) < 1:
            raise InputError(f"nx, ny = {graph.nx}, {graph.ny}: the grid has no gcell", mend="Export it again.")
        inst_gcell = np.ascontiguousarray(graph.inst_gcell, np.int32)
        net_box = np.ascontiguousarray(graph.net_box, np.int32).reshape(-1, 4)
        pin_inst, pin_net = np.asarray(graph.pin_inst), np.asarray(graph.pin_net)
        num_insts, num_gcells = len(inst_gcell), graph.nx * graph.ny
        filled = net_box[net_box[:, 2] >= net_box[:, 0]]
        _check_below("inst_gcell", inst_gcell, num_gcells)
        _check_below("pin_inst", pin_inst, num_insts)
        _check_below("pin_net", pin_net, len(net_box))
        _check_below("net_box x", filled[:, [0, 2]].ravel(), graph.nx)
        _check_below("net_box y", filled[:, [1, 3]].ravel(), graph.ny)
        return cls(
            nx=int(graph.nx),
            ny=int(graph.ny),
            nets=csr_of(pin_net, pin_inst, len(net_box)),
            insts=csr_of(pin_inst, pin_net, num_insts),
            gcells=csr_of(inst_gcell, np.arange(num_insts), num_gcells),
            inst_gcell=torch.from_numpy(inst_gcell),
            net_box=torch.from_numpy(net_box),
        )

    @property
    def num_insts(self) -> int:
        """Insts, ports included."""
        return self.insts.num_rows

    @property
    def num_nets(self) -> int:
        """Nets."""
        return self.nets.num_rows

    @property
    def num_gcells(self) -> int:
        """Gcells."""
        return self.nx * self.ny

    @property
    def num_nodes(self) -> int:
        """Rows of a stream."""
        return self.num_insts + self.num_nets + self.num_gcells

    @property
    def device(self) -> torch.device:
        """Where the index tensors lie."""
        return self.inst_gcell.device

    def count(self, node_type: str) -> int:
        """Nodes of one type."""
        return {"inst": self.num_insts, "net": self.num_nets, "gcell": self.num_gcells}[node_type]

    def rows(self, node_type: str) -> slice:
        """Rows of one node type in a stream."""
        start = {"inst": 0, "net": self.num_insts, "gcell": self.num_insts + self.num_nets}[node_type]
        return slice(start, start + self.count(node_type))

    def to(self, device: torch.device | str) -> "GraphTensors":
        """The same graph on `device`; itself when it is there already."""
        if torch.device(device) == self.device:
            return self
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: v.to(device) for name, v in moved.items() if hasattr(v, "to")})
