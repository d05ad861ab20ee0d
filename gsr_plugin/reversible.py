"""The stack of reversible layers, as one autograd Function over two streams that are changed in place.

    forward:  X2 += R(f1(X1));  X1 += R(f2(X2))         R = round to the grid 2^-t
    backward: evaluates each f once, and uses it to take the layer back and to differentiate it

Nothing of a layer is kept. On the grid every addition is exact while both streams stay within 2^(24 - t), so the input
comes back bit for bit, whatever the branch computes, if it computes the same bits twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from circuit_io.errors import GsrError, InputError
from gsr_plugin.arena import Arenas, Lease, StaleBackwardError
from gsr_plugin.branch import (
    BranchWeights,
    kept_rows,
    node_of,
    select,
    select_adjoint_,
    value,
    value_adjoint,
    without_autocast,
)
from gsr_plugin.graph_tensors import NODE_TYPES, GraphTensors
from gsr_plugin.ops.residual import add_rounded_, round_to_grid_
from gsr_plugin.ops.scratch import FRESH, Scratch
from gsr_plugin.ops.topk import NotANumberError, Packed, Selection, index_dtype
from gsr_plugin.plan import Plan, blocks_of, plan_of

FP32_BITS = 24


class RangeError(GsrError):
    """A stream left the range in which its additions are exact."""

    exit_code = 1


@dataclass(frozen=True)
class StackSpec:
    """What a stack computes, apart from its weights.

    Attributes:
        layers: reversible layers.
        selection: the group top-k.
        t: grid 2^-t of the streams; None for no grid.
        save_indices: keep the chosen indices of every branch for the backward.
        variant: "reversible", or "paper" for the published layer.
    """

    layers: int
    selection: Selection
    t: int | None
    save_indices: bool = False
    variant: str = "reversible"

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ValueError(f"layers = {self.layers}: a stack has one at least")
        if self.t is not None and not 1 <= self.t < FP32_BITS - 1:
            raise ValueError(f"t = {self.t}: the grid 2^-t needs t in 1..{FP32_BITS - 2}")
        if self.variant == "paper" and self.t is not None:
            raise ValueError("the published layer is never inverted: it has no grid, t must be None")
        if self.variant == "paper" and self.selection.bf16:
            raise ValueError("the published layer hands its kept entries on in the stream: they cannot be bfloat16")


class Record:
    """Largest |x| of each stream after each update of one forward; NaN is kept. Layer 0 is the rounded input."""

    def __init__(self, spec: StackSpec, device: torch.device, dtype: torch.dtype) -> None:
        self.amax = torch.zeros(2 * spec.layers + 1, device=device, dtype=dtype)
        self.limit = float("inf") if spec.t is None else 2.0 ** (FP32_BITS - spec.t)
        self.t = spec.t

    def used_frac(self) -> float:
        """Largest |x| of the forward over the range; 0 without a grid. Reads the device."""
        return float(self.amax.max()) / self.limit

    def first_bad(self) -> int | None:
        """The first update that reached the range, or was not finite. Reads the device, once."""
        bad = (~(self.amax < self.limit)).nonzero()
        return int(bad[0]) if bad.numel() else None

    def error(self, update: int, node: str) -> RangeError:
        """What to raise for an update at whose largest entry `node` stands."""
        where = "the encoder's output" if update == 0 else f"layer {(update + 1) // 2}, stream {2 - (update + 1) % 2}"
        most = f"{float(self.amax[update]):.6g}"
        return RangeError(
            f"max |x| = {most} at {where}, {node}: additions are exact below {self.limit:g} only\n"
            f"  Lower t (now {self.t}; 4 less gives 16 times the range), or the learning rate."
        )


def _select(call: "_Call", x: Tensor, w: BranchWeights, layer: int, branch: int, scratch: Scratch = FRESH) -> Packed:
    try:
        return select(call.plan, x, w, call.spec.selection, scratch=scratch)
    except NotANumberError as err:
        raise NotANumberError(f"layer {layer + 1}, branch {branch + 1}: {err}", row=err.row) from err


def _load(call: "_Call", x: Tensor) -> None:
    """Fills both streams with `x`, rounded."""
    streams, h = call.lease.arena.streams, x.shape[1] // 2
    for c in (0, 1):
        round_to_grid_(streams[c].copy_(x[:, c * h : (c + 1) * h]), call.spec.t)


def _forward(call: "_Call", weights: BranchWeights, updates: int) -> None:
    """Takes both streams through the layers, two updates each, up to the given number of updates."""
    plan, arena = call.plan, call.lease.arena
    for update in range(updates):
        layer, branch = divmod(update, 2)
        w = weights.at(layer, branch)
        packed = _select(call, arena.streams[branch], w, layer, branch, arena)
        if call.saved is not None:
            call.saved[layer, branch] = packed.index
        f = value(plan, packed, w, arena)
        add_rounded_(arena.streams[1 - branch], f, sign=1, t=call.spec.t, amax=call.record.amax[update + 1])


def _check_range(call: "_Call", weights: BranchWeights, x: Tensor) -> None:
    """Raises RangeError for the first update that left the range; runs the layers again up to it to find the node."""
    update = call.record.first_bad()
    if update is None:
        return
    _load(call, x)
    (_forward if call.spec.variant != "paper" else _forward_paper)(call, weights, update)
    streams = call.lease.arena.streams
    largest = (streams if update == 0 else streams[update % 2][None]).abs().amax(2).amax(0)
    raise call.record.error(update, node_of(call.plan, int(largest.argmax())))


def _backward(call: "_Call", weights: BranchWeights, grads: BranchWeights, g: Tensor) -> None:
    """Takes both streams back through all layers and their gradients `g` with them."""
    plan, arena, selection = call.plan, call.lease.arena, call.spec.selection
    for layer in reversed(range(call.spec.layers)):
        for branch in (1, 0):
            w, dw, x = weights.at(layer, branch), grads.at(layer, branch), arena.streams[branch]
            packed = select(plan, x, w, selection, None if call.saved is None else call.saved[layer, branch], arena)
            f = value(plan, packed, w, arena)
            dvalues = value_adjoint(plan, packed, w, g[1 - branch], dw, arena)
            select_adjoint_(plan, g[branch], x, packed, dvalues, w, dw, selection, arena)
            add_rounded_(arena.streams[1 - branch], f, sign=-1, t=call.spec.t)


def _forward_paper(call: "_Call", weights: BranchWeights, updates: int) -> list[Packed]:
    """The published layer: Y2 = X2 + f1(X1), Y1 = S(GS(X1)) + f2(Y2); the kept entries of every branch stay."""
    arena, kept = call.lease.arena, []
    for update in range(updates):
        layer, branch = divmod(update, 2)
        w, target = weights.at(layer, branch), arena.streams[1 - branch]
        kept.append(_select(call, arena.streams[branch], w, layer, branch))
        f = value(call.plan, kept[-1], w, arena)
        if branch == 1:
            target.copy_(kept_rows(kept[-2], target.shape[1]))
        add_rounded_(target, f, sign=1, t=None, amax=call.record.amax[update + 1])
    return kept


def _backward_paper(call: "_Call", weights: BranchWeights, grads: BranchWeights, g: Tensor, kept: list[Packed]) -> None:
    """The exact adjoint: e2 = g2 + J2^T g1, then e1 = m1 * g1 + J1^T e2."""
    for layer in reversed(range(call.spec.layers)):
        for branch in (1, 0):
            w, dw, packed = weights.at(layer, branch), grads.at(layer, branch), kept.pop()
            dvalues = value_adjoint(call.plan, packed, w, g[1 - branch], dw)
            if branch == 0:
                dvalues += g[0].gather(1, packed.index.long())
                g[0].zero_()
            select_adjoint_(call.plan, g[branch], g[branch], packed, dvalues, w, dw, call.spec.selection)


class _Stack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        call: "_Call",
        x: Tensor,
        *params: Tensor,
    ) -> Tensor:
        spec, arena = call.spec, call.lease.arena
        weights, updates = BranchWeights.of(params), 2 * spec.layers
        _load(call, x)
        if x.numel():
            call.record.amax[0] = torch.stack([arena.streams.amax(), -arena.streams.amin()]).amax()
        if spec.variant == "paper":
            call.kept = _forward_paper(call, weights, updates)
        else:
            if call.pending and spec.save_indices:
                size = (spec.layers, 2, x.shape[0], spec.selection.k)
                call.saved = torch.empty(size, dtype=index_dtype(x.shape[1] // 2), device=x.device)
            _forward(call, weights, updates)
        _check_range(call, weights, x)
        out = torch.cat([arena.streams[c, call.read] for c in (0, 1)], 1)
        if call.pending:
            ctx.call, ctx.params = call, params
            ctx.versions = [p._version for p in params]
        else:
            call.lease.release()
        return out

    @staticmethod
    @without_autocast
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        call: _Call = ctx.call
        params: tuple[Tensor, ...] = ctx.params
        arena = call.lease.arena
        if ctx.versions != [p._version for p in params]:
            raise StaleBackwardError(
                "the weights were changed between forward and backward, so the layers cannot be taken back\n"
                "  Call backward before the optimiser's step."
            )
        g, h = arena.grads.zero_(), arena.streams.shape[2]
        for c in (0, 1):
            g[c, call.read] = grad[:, c * h : (c + 1) * h]
        dparams = [torch.zeros_like(p) for p in params]
        weights, grads = BranchWeights.of(params), BranchWeights.of(dparams)
        if call.kept is not None:
            _backward_paper(call, weights, grads, g, call.kept)
        else:
            _backward(call, weights, grads, g)
        if call.on_undone is not None:
            call.on_undone(arena.streams)
        dx = arena.give_gradient()
        call.lease.release()
        call.saved = None
        return (None, dx, *dparams)


@dataclass(eq=False)
class _Call:
    """One forward and its backward."""

    spec: StackSpec
    plan: Plan
    lease: Lease
    record: Record
    read: slice
    pending: bool
    on_undone: Callable[[Tensor], None] | None
    saved: Tensor | None = None
    kept: list[Packed] | None = None


class ReversibleStack(nn.Module):
    """Layers with stacked weights: `mix_<type>` [L, 2, h, m h], `bias`, `norm_weight`, `norm_bias` [L, 2, 3, h].

    The columns of `mix_<type>` are the relations that start at the type, in the order of `relations`, then "self".

    Attributes:
        record: largest |x| per update of the last forward; `record.used_frac()` is the used fraction of the range.
        on_undone: called at the end of a backward with the streams [2, N, h] it came back to, for tests.
    """

    def __init__(
        self, spec: StackSpec, relations: Sequence[str], h: int, *, reversible: bool = True, seed: int | None = None
    ) -> None:
        super().__init__()
        if not 1 <= spec.selection.k <= h:
            raise ValueError(f"k = {spec.selection.k}: a group has {h} channels, and k must be in 1..{h}")
        self.spec, self.relations, self.h, self.reversible = spec, tuple(relations), h, reversible
        self.record: Record | None = None
        self.on_undone: Callable[[Tensor], None] | None = None
        self._arenas = Arenas()
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        scale = (2.0 * spec.layers * h) ** -0.5
        for t, blocks in blocks_of(self.relations).items():
            w = torch.empty(spec.layers, 2, h, len(blocks) * h).normal_(0.0, scale, generator=generator)
            self.register_parameter(f"mix_{t}", nn.Parameter(w))
        self.bias = nn.Parameter(torch.zeros(spec.layers, 2, 3, h))
        if spec.variant != "paper":
            self.norm_weight = nn.Parameter(torch.ones(spec.layers, 2, 3, h))
            self.norm_bias = nn.Parameter(torch.zeros(spec.layers, 2, 3, h))

    def weights(self) -> BranchWeights:
        """All weights, stacked."""
        names = [*(f"mix_{t}" for t in NODE_TYPES), "bias"]
        if self.spec.variant != "paper":
            names += ["norm_weight", "norm_bias"]
        return BranchWeights.of([getattr(self, n) for n in names])

    def forward(
        self, x: Float[Tensor, "nodes d"], graph: GraphTensors, *, read: slice | None = None
    ) -> Float[Tensor, "rows d"]:
        """The streams after the last layer, for the rows `read` (all, if None).

        Autocast is off inside: the streams have the dtype of the weights.

        Raises:
            InputError: x, weights and graph differ in size, dtype or device, or the dtype is no float32 or float64.
            RangeError: a stream reached 2^(24 - t); layer, stream and node are named.
            NotANumberError: an entry is not finite; layer and node are named.
        """
        device = self.bias.device.type
        if torch.is_autocast_enabled(device):
            x = x.to(self.bias.dtype)
        self._check(x, graph)
        with torch.autocast(device, enabled=False):
            return self._run(x, graph, read)

    def _check(self, x: Tensor, graph: GraphTensors) -> None:
        size, dtype = (graph.num_nodes, 2 * self.h), self.bias.dtype
        if tuple(x.shape) != size:
            raise InputError(
                f"x is {tuple(x.shape)}; this graph and stack need {size}",
                path="ReversibleStack",
                mend="Give a row per inst, net and gcell, and both groups of channels side by side.",
            )
        if dtype not in (torch.float32, torch.float64) or x.dtype != dtype:
            raise InputError(
                f"x is {x.dtype}, the weights are {dtype}",
                path="ReversibleStack",
                mend="Both must be float32 (or float64), for additions to be exact: call .float() on model and x.",
            )
        if not x.device == self.bias.device == graph.device:
            raise InputError(
                f"x is on {x.device}, the weights on {self.bias.device}, the graph on {graph.device}",
                path="ReversibleStack",
                mend="Move all to one device by .to(device).",
            )

    def _run(self, x: Tensor, graph: GraphTensors, read: slice | None) -> Tensor:
        from gsr_plugin.plain import plain_stack

        plan = plan_of(graph, self.relations, x.dtype)
        read = slice(0, plan.num_nodes) if read is None else read
        self.record = Record(self.spec, x.device, x.dtype)
        weights = self.weights()
        params = weights.tensors()
        pending = torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in params))
        lease = self._arenas.lease(plan.num_nodes, self.h, x.dtype, x.device)
        call = _Call(self.spec, plan, lease, self.record, read, pending, self.on_undone)
        out: Tensor
        if not self.reversible:
            out = plain_stack(self.spec, plan, weights, x, self.record)[read]
            with torch.no_grad():
                _check_range(call, weights, x)
            return out
        out = _Stack.apply(call, x, *params)  # type: ignore[no-untyped-call]
        return out

    def free_memory(self) -> None:
        """Forget the arenas that no backward waits for."""
        self._arenas.clear()
