"""The relations of the model: row means, empty rows 0, each with its exact adjoint, none of them stored as edges if it
factors (`clique`, `near`, `covers`, `covered`).
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int, Int32, Shaped
from torch import Tensor

from circuit_io.errors import GsrError, did_you_mean
from circuit_io.graph import ENDS, STEPS
from gsr_plugin.graph_tensors import Csr, GraphTensors
from gsr_plugin.ops.box import box_to_grid, grid_to_box
from gsr_plugin.ops.scratch import FRESH, Scratch
from gsr_plugin.ops.segment import segment_sum


class Ends(NamedTuple):
    """Node types that a relation joins."""

    source: str
    target: str


RELATIONS = {name: Ends(*ends) for name, ends in ENDS.items()}
"""`pin`: a net takes the mean of its pins' insts; `west`: a gcell takes the value of its neighbour at lower x;
`adjacent`: the mean of the neighbours there are. The others as in `CircuitGraph`."""


class Entries(NamedTuple):
    """A relation as a list of weighted pairs, for the relations that are lists (one entry per pin, inst or gcell)."""

    target: Int32[Tensor, " entries"]
    source: Int32[Tensor, " entries"]
    weight: Shaped[Tensor, " entries"]


@runtime_checkable
class Relation(Protocol):
    """One relation on one graph."""

    def forward(self, x: Float[Tensor, "sources h"], scratch: Scratch = FRESH) -> Float[Tensor, "targets h"]:
        """Row mean over the sources of every target, in memory of `scratch`."""

    def adjoint(self, grad: Float[Tensor, "targets h"], scratch: Scratch = FRESH) -> Float[Tensor, "sources h"]:
        """The transposed operator; no two relations give theirs in the same memory."""


def ends_of(name: str) -> Ends:
    """Source and target type of a relation.

    Raises:
        GsrError: there is no such relation.
    """
    if name not in RELATIONS:
        raise GsrError(f'"{name}" is not a relation\n  {did_you_mean(name, RELATIONS)}')
    return RELATIONS[name]


def is_listed(name: str) -> bool:
    """Whether the relation is a list of entries (the others factor through boxes, gcells or nets)."""
    return name not in _FACTORED


def entries_of(graph: GraphTensors, name: str, dtype: torch.dtype) -> Entries:
    """The entries of a listed relation, by target; weights are rounded from float64 to `dtype`."""
    if name in STEPS:
        target, source = _neighbours(graph, name)
        return Entries(target, source, torch.ones(len(target), dtype=dtype, device=graph.device))
    if name == "adjacent":
        pairs = [_neighbours(graph, step) for step in STEPS]
        target, source = (torch.cat([p[side] for p in pairs]) for side in (0, 1))
        degree = torch.bincount(target, minlength=graph.num_gcells)
        return Entries(target, source, degree.double().reciprocal().to(dtype)[target])
    if name == "holds":
        insts = torch.arange(graph.num_insts, dtype=torch.int32, device=graph.device)
        return Entries(insts, graph.inst_gcell, torch.ones_like(insts, dtype=dtype))
    csr = {"pin": graph.nets, "pinned": graph.insts, "in": graph.gcells}[name]
    degree = csr.degree()
    target = torch.repeat_interleave(torch.arange(csr.num_rows, dtype=torch.int32, device=graph.device), degree)
    return Entries(target, csr.idx, degree.double().reciprocal().to(dtype)[target])


def relation(graph: GraphTensors, name: str, *, dtype: torch.dtype = torch.float32) -> Relation:
    """The operator of one relation on `graph`."""
    ends_of(name)
    if name in _FACTORED:
        return _FACTORED[name](graph, dtype)
    return _Listed(graph, dtype, name)


def _neighbours(graph: GraphTensors, step: str) -> tuple[Tensor, Tensor]:
    dx, dy = STEPS[step]
    gcell = torch.arange(graph.num_gcells, dtype=torch.int32, device=graph.device)
    ix, iy = gcell % graph.nx + dx, gcell // graph.nx + dy
    inside = (ix >= 0) & (ix < graph.nx) & (iy >= 0) & (iy < graph.ny)
    return gcell[inside], (iy * graph.nx + ix)[inside]


def lists_of(
    rows: Tensor, sources: Tensor, weight: Tensor, num_rows: int, dtype: torch.dtype, *, in_order: bool = False
) -> tuple[Csr, Tensor]:
    """Entries listed by row, in the order in which they are given, and their weights; `in_order`: they are already."""
    ptr = torch.zeros(num_rows + 1, dtype=torch.int32, device=rows.device)
    ptr[1:] = torch.bincount(rows, minlength=num_rows).cumsum(0)
    if in_order:
        return Csr(ptr, sources.to(torch.int32)), weight.to(dtype)
    order = torch.sort(rows.to(torch.int32), stable=True).indices
    return Csr(ptr, sources.to(torch.int32)[order]), weight.to(dtype)[order]


class _Listed:
    def __init__(self, graph: GraphTensors, dtype: torch.dtype, name: str) -> None:
        e, ends = entries_of(graph, name, dtype), RELATIONS[name]
        self._lists, self._weight = lists_of(e.target, e.source, e.weight, graph.count(ends.target), dtype)
        self._back, self._back_weight = lists_of(e.source, e.target, e.weight, graph.count(ends.source), dtype)

    def forward(self, x: Tensor, scratch: Scratch = FRESH) -> Tensor:
        return segment_sum(x, self._lists.ptr, self._lists.idx, self._weight, scratch=scratch)

    def adjoint(self, grad: Tensor, scratch: Scratch = FRESH) -> Tensor:
        return segment_sum(grad, self._back.ptr, self._back.idx, self._back_weight, scratch=scratch)


def _corners(graph: GraphTensors, *, lookup: bool) -> Entries:
    """The in-grid corners of every box that is not empty: target the box, source the gcell, weight the sign.

    With `lookup`, where to read the summed-area table; without, where to add for the running sums.
    """
    x0, y0, x1, y1 = graph.net_box.unbind(1)
    box = ((x1 >= x0) & (y1 >= y0)).nonzero()[:, 0]
    x0, y0, x1, y1 = (v[box] for v in (x0, y0, x1, y1))
    low, high = ((x0 - 1, y0 - 1), (x1, y1)) if lookup else ((x0, y0), (x1 + 1, y1 + 1))
    xs = torch.stack([high[0], high[0], low[0], low[0]], 1)
    ys = torch.stack([high[1], low[1], high[1], low[1]], 1)
    inside = (xs >= 0) & (xs < graph.nx) & (ys >= 0) & (ys < graph.ny)
    sign = torch.tensor([1, -1, -1, 1], dtype=torch.int8, device=graph.device).expand(len(box), 4)
    of_box = box.to(torch.int32)[:, None].expand(-1, 4)
    return Entries(of_box[inside], (ys * graph.nx + xs)[inside], sign[inside])


def box_area(graph: GraphTensors) -> Int[Tensor, " nets"]:
    """Gcells in the box of every net; 0 for a net without pins."""
    x0, y0, x1, y1 = graph.net_box.long().unbind(1)
    return (x1 - x0 + 1).clamp(min=0) * (y1 - y0 + 1).clamp(min=0)


def _inverse(count: Tensor) -> Tensor:
    return torch.where(count > 0, count.double().reciprocal(), torch.zeros((), dtype=torch.float64).to(count.device))


class _Boxes(NamedTuple):
    """Corners of the boxes of all nets: by gcell, where to add; by net, where to look up. `sign` is int8."""

    add: Csr
    add_sign: Tensor
    look: Csr
    look_sign: Tensor
    nets_over: Tensor  # by gcell
    area: Tensor


_BOXES: "WeakKeyDictionary[GraphTensors, _Boxes]" = WeakKeyDictionary()


def _boxes_of(graph: GraphTensors) -> _Boxes:
    if graph not in _BOXES:
        add, look = _corners(graph, lookup=False), _corners(graph, lookup=True)
        by_gcell, add_sign = lists_of(add.source, add.target, add.weight, graph.num_gcells, torch.int8)
        by_net, look_sign = lists_of(look.target, look.source, look.weight, graph.num_nets, torch.int8, in_order=True)
        count = torch.zeros(graph.num_gcells, dtype=torch.int64, device=graph.device)
        count.index_add_(0, add.source, add.weight.long())
        count = count.view(graph.ny, graph.nx).cumsum(0).cumsum(1).view(-1)
        _BOXES[graph] = _Boxes(by_gcell, add_sign, by_net, look_sign, count, box_area(graph))
    return _BOXES[graph]


class _Covers:
    """net -> gcell: mean over the nets whose box holds the gcell."""

    def __init__(self, graph: GraphTensors, dtype: torch.dtype) -> None:
        boxes = _boxes_of(graph)
        self._shape = (graph.ny, graph.nx)
        self._add, self._sign = boxes.add, boxes.add_sign.to(dtype)
        self._look, self._look_sign = boxes.look, boxes.look_sign.to(dtype)
        self._inverse = _inverse(boxes.nets_over).to(dtype)[:, None]
        self._area = boxes.area.to(dtype)

    def forward(self, x: Tensor, scratch: Scratch = FRESH) -> Tensor:
        grid = box_to_grid(x, self._add.ptr, self._add.idx, self._sign, shape=self._shape, scratch=scratch)
        return grid.mul_(self._inverse)

    def adjoint(self, grad: Tensor, scratch: Scratch = FRESH) -> Tensor:
        field = _times(grad, self._inverse, scratch)
        return grid_to_box(
            field, self._look.ptr, self._look.idx, self._look_sign, self._area, shape=self._shape, scratch=scratch
        )


class _Covered:
    """gcell -> net: mean over the gcells of the net's box."""

    def __init__(self, graph: GraphTensors, dtype: torch.dtype) -> None:
        boxes = _boxes_of(graph)
        inverse = _inverse(boxes.area)
        self._shape = (graph.ny, graph.nx)
        net = torch.repeat_interleave(torch.arange(graph.num_nets, device=graph.device), boxes.look.degree().long())
        self._look, self._look_sign = boxes.look, (boxes.look_sign * inverse[net]).to(dtype)
        self._add, self._sign = boxes.add, (boxes.add_sign * inverse[boxes.add.idx.long()]).to(dtype)
        self._filled = (inverse > 0).to(dtype)

    def forward(self, x: Tensor, scratch: Scratch = FRESH) -> Tensor:
        return grid_to_box(
            x, self._look.ptr, self._look.idx, self._look_sign, self._filled, shape=self._shape, scratch=scratch
        )

    def adjoint(self, grad: Tensor, scratch: Scratch = FRESH) -> Tensor:
        return box_to_grid(grad, self._add.ptr, self._add.idx, self._sign, shape=self._shape, scratch=scratch)


class _Near:
    """inst -> inst: mean over the other insts in the same or a neighbouring gcell."""

    def __init__(self, graph: GraphTensors, dtype: torch.dtype) -> None:
        self._shape, self._gcells, self._gcell = (graph.ny, graph.nx), graph.gcells, graph.inst_gcell
        count = _box3(graph.gcells.degree().double().view(*self._shape, 1)).view(-1)
        self._inverse = _inverse((count - 1)[graph.inst_gcell.long()]).to(dtype)[:, None]

    def _sum(self, x: Tensor, scratch: Scratch) -> Tensor:
        """Symmetric: its own adjoint."""
        held = segment_sum(x, self._gcells.ptr, self._gcells.idx, scratch=scratch, name="held")
        around = _box3(held.view(*self._shape, x.shape[1]), scratch).view(-1, x.shape[1])
        near = scratch.take("near", x, *x.shape)
        return torch.index_select(around, 0, self._gcell, out=near).sub_(x)

    def forward(self, x: Tensor, scratch: Scratch = FRESH) -> Tensor:
        return self._sum(x, scratch).mul_(self._inverse)

    def adjoint(self, grad: Tensor, scratch: Scratch = FRESH) -> Tensor:
        return self._sum(_times(grad, self._inverse, scratch), scratch)


def _times(grad: Tensor, inverse: Tensor, scratch: Scratch) -> Tensor:
    return torch.mul(grad, inverse, out=scratch.take("times inverse", grad, *grad.shape))


def _box3(grid: Tensor, scratch: Scratch = FRESH) -> Tensor:
    rows = scratch.take("of rows", grid, *grid.shape).copy_(grid)
    rows[1:] += grid[:-1]
    rows[:-1] += grid[1:]
    out = grid.copy_(rows)
    out[:, 1:] += rows[:, :-1]
    out[:, :-1] += rows[:, 1:]
    return out


class _Clique:
    """inst -> inst: mean over all pairs of pins on a net, self loop once: A = B B^T - diag(q) + I."""

    def __init__(self, graph: GraphTensors, dtype: torch.dtype) -> None:
        self._nets, self._insts = graph.nets, graph.insts
        inst = torch.repeat_interleave(torch.arange(graph.num_insts, device=graph.device), graph.insts.degree().long())
        net = graph.insts.idx.long()
        pair, pins = torch.unique(inst * graph.num_nets + net, return_counts=True)
        q = torch.zeros(graph.num_insts, dtype=torch.int64, device=graph.device)
        q.index_add_(0, pair // max(graph.num_nets, 1), pins * pins)
        d = torch.zeros_like(q).index_add_(0, inst, graph.nets.degree().long()[net]) - q + 1
        self._own = (1 - q).to(dtype)[:, None]
        self._inverse = d.double().reciprocal().to(dtype)[:, None]

    def _sum(self, x: Tensor, scratch: Scratch) -> Tensor:
        nets = segment_sum(x, self._nets.ptr, self._nets.idx, scratch=scratch, name="of nets")
        back = segment_sum(nets, self._insts.ptr, self._insts.idx, scratch=scratch, name="clique")
        return back.addcmul_(self._own, x)

    def forward(self, x: Tensor, scratch: Scratch = FRESH) -> Tensor:
        return self._sum(x, scratch).mul_(self._inverse)

    def adjoint(self, grad: Tensor, scratch: Scratch = FRESH) -> Tensor:
        return self._sum(_times(grad, self._inverse, scratch), scratch)


_FACTORED: dict[str, Callable[[GraphTensors, torch.dtype], Relation]] = {
    "covers": _Covers,
    "covered": _Covered,
    "near": _Near,
    "clique": _Clique,
}
