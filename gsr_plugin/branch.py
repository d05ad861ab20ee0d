"""One branch of a layer, `f(x) = sum_r A_r (S W_r) + S W_self + b_type` with `S = GroupTopK(Norm_type(x))`, and its
adjoint at a fixed selection. Plain functions: the stack, and ordinary autograd, call the same ones.

In a branch in bfloat16 (`Selection.bf16`) S and W are rounded to it; x, the norm, every sum and every gradient are not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsr_plugin.ops.mix import mix, mix_adjoint
from gsr_plugin.ops.scratch import FRESH, Scratch
from gsr_plugin.ops.topk import NotANumberError, Packed, RowNorm, Selection, norm_topk, norm_topk_adjoint_, repack
from gsr_plugin.plan import Plan


def without_autocast(backward: Callable[..., Any]) -> Any:  # noqa: ANN401
    """A backward in the precision of its forward, whatever autocast says where it is called."""

    @wraps(backward)
    def run(ctx: Any, grad: Tensor, *others: Tensor) -> Any:  # noqa: ANN401
        with torch.autocast(grad.device.type, enabled=False):
            return backward(ctx, grad, *others)

    return run


@dataclass(frozen=True, eq=False)
class BranchWeights:
    """Weights of one branch, or of all of them when the leading axes [layers, 2] are still there.

    Attributes:
        mix: per node type `[W_1 | .. | W_m | W_self]` [h, (m + 1) h].
        bias: per node type [3, h].
        gamma: scale of the norm per node type [3, h]; None without a norm.
        beta: shift of the norm.
    """

    mix: tuple[Tensor, Tensor, Tensor]
    bias: Tensor
    gamma: Tensor | None
    beta: Tensor | None

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> "BranchWeights":
        """From the order of `tensors()`."""
        gamma, beta = (tensors[4], tensors[5]) if len(tensors) == 6 else (None, None)
        return cls((tensors[0], tensors[1], tensors[2]), tensors[3], gamma, beta)

    def tensors(self) -> tuple[Tensor, ...]:
        """All of them: mix of inst, net, gcell; bias; gamma and beta if there is a norm."""
        norm = () if self.gamma is None or self.beta is None else (self.gamma, self.beta)
        return (*self.mix, self.bias, *norm)

    def at(self, layer: int, branch: int) -> "BranchWeights":
        """Views of the weights of one branch."""
        return BranchWeights.of([w[layer, branch] for w in self.tensors()])

    def norm(self, plan: Plan) -> RowNorm | None:
        """The norm of one branch."""
        return None if self.gamma is None or self.beta is None else RowNorm(self.gamma, self.beta, plan.bounds)


def node_of(plan: Plan, row: int) -> str:
    """Type and number of the node in a row of the stream."""
    t, start = next((t, rows.start) for t, rows in plan.rows.items() if rows.start <= row < rows.stop)
    return f"{t} {row - start}"


def select(
    plan: Plan,
    x: Float[Tensor, "nodes h"],
    weights: BranchWeights,
    selection: Selection,
    index: Tensor | None = None,
    scratch: Scratch = FRESH,
) -> Packed:
    """The kept entries of all nodes; with `index`, those chosen before."""
    norm = weights.norm(plan)
    if index is not None:
        return repack(x, index, selection, norm, scratch=scratch)
    try:
        return norm_topk(x, selection, norm, scratch=scratch)
    except NotANumberError as err:
        raise NotANumberError(f"{node_of(plan, err.row)} is not finite: top-k has no order", row=err.row) from err


def value(plan: Plan, packed: Packed, weights: BranchWeights, scratch: Scratch) -> Float[Tensor, "nodes h"]:
    """f, from the kept entries."""
    return mix(plan, packed, weights.mix, weights.bias, scratch)


def value_adjoint(
    plan: Plan,
    packed: Packed,
    weights: BranchWeights,
    grad: Float[Tensor, "nodes h"],
    dweights: BranchWeights,
    scratch: Scratch = FRESH,
) -> Float[Tensor, "nodes k"]:
    """Gradient of the kept values; those of `mix` and `bias` are written to `dweights`."""
    return mix_adjoint(plan, packed, weights.mix, grad, dweights=dweights.mix, dbias=dweights.bias, scratch=scratch)


def select_adjoint_(
    plan: Plan,
    e: Float[Tensor, "nodes h"],
    x: Float[Tensor, "nodes h"],
    packed: Packed,
    dvalues: Float[Tensor, "nodes k"],
    weights: BranchWeights,
    dweights: BranchWeights,
    selection: Selection,
    scratch: Scratch = FRESH,
) -> None:
    """Adds the gradient of `x` to `e`; those of the norm are written to `dweights`."""
    grads = norm_topk_adjoint_(e, x, packed, dvalues, selection, weights.norm(plan), scratch=scratch)
    if grads is not None and dweights.gamma is not None and dweights.beta is not None:
        dweights.gamma.copy_(grads[0])
        dweights.beta.copy_(grads[1])


def kept_rows(packed: Packed, h: int) -> Float[Tensor, "nodes h"]:
    """S: the kept entries among zeros."""
    n = packed.values.shape[0]
    return torch.zeros(n, h, dtype=packed.values.dtype, device=packed.values.device).scatter_(
        1, packed.index.long(), packed.values
    )
