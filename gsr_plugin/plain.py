"""The same layers, weights and kernels by ordinary autograd, every activation stored: for tests and comparison."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from gsr_plugin.branch import (
    BranchWeights,
    kept_rows,
    select,
    select_adjoint_,
    value,
    value_adjoint,
    without_autocast,
)
from gsr_plugin.ops.residual import round_to_grid_
from gsr_plugin.ops.scratch import FRESH
from gsr_plugin.ops.topk import Selection
from gsr_plugin.plan import Plan

if TYPE_CHECKING:
    from gsr_plugin.reversible import Record, StackSpec


class _Round(torch.autograd.Function):
    """Round to the grid; the gradient passes through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, t: int | None) -> Tensor:  # noqa: ANN401  # type: ignore[override]
        return round_to_grid_(x.clone(), t)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401  # type: ignore[override]
        return grad, None


class _Branch(torch.autograd.Function):
    """f(x), and the packed rows made dense (the published layer reads them)."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        plan: Plan,
        selection: Selection,
        x: Tensor,
        *params: Tensor,
    ) -> tuple[Tensor, ...]:
        weights = BranchWeights.of(params)
        packed = select(plan, x, weights, selection)
        ctx.plan, ctx.selection, ctx.packed = plan, selection, packed
        ctx.save_for_backward(x, *params)
        f = value(plan, packed, weights, FRESH)
        return f, kept_rows(packed, x.shape[1])

    @staticmethod
    @without_autocast
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_kept: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, *params = ctx.saved_tensors
        weights, dweights = BranchWeights.of(params), BranchWeights.of([torch.zeros_like(p) for p in params])
        dvalues = value_adjoint(ctx.plan, ctx.packed, weights, grad.contiguous(), dweights)
        dvalues += grad_kept.gather(1, ctx.packed.index.long())
        e = torch.zeros_like(x)
        select_adjoint_(ctx.plan, e, x, ctx.packed, dvalues, weights, dweights, ctx.selection)
        return (None, None, e, *dweights.tensors())


def plain_stack(spec: "StackSpec", plan: Plan, weights: BranchWeights, x: Tensor, record: "Record") -> Tensor:
    """The streams after the last layer [N, D]."""
    each = [[w.unbind(0) for w in stacked.unbind(0)] for stacked in weights.tensors()]
    x1, x2 = _Round.apply(x, spec.t).chunk(2, 1)  # type: ignore[no-untyped-call]
    x1, x2 = x1.contiguous(), x2.contiguous()
    with torch.no_grad():
        record.amax[0] = torch.maximum(x1.abs().amax(), x2.abs().amax()) if x.numel() else 0.0
    for layer in range(spec.layers):
        f1, kept = _Branch.apply(plan, spec.selection, x1, *(w[layer][0] for w in each))  # type: ignore[no-untyped-call]
        x2 = x2 + _Round.apply(f1, spec.t)  # type: ignore[no-untyped-call]
        f2, _ = _Branch.apply(plan, spec.selection, x2, *(w[layer][1] for w in each))  # type: ignore[no-untyped-call]
        x1 = (kept if spec.variant == "paper" else x1) + _Round.apply(f2, spec.t)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for i, s in ((1, x2), (2, x1)):
                record.amax[2 * layer + i] = s.abs().amax() if s.numel() else 0.0
    return torch.cat([x1, x2], 1)
