"""From the other operators: all products in one table, then one sum over lists; each operator picks its own backend."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsr_plugin.ops.packed_linear import packed_linear, packed_linear_adjoint
from gsr_plugin.ops.scratch import Scratch
from gsr_plugin.ops.segment import column_sum

if TYPE_CHECKING:
    from gsr_plugin.ops.topk import Packed
    from gsr_plugin.plan import Plan


def _rounded(weights: tuple[Tensor, ...], packed: "Packed") -> tuple[Tensor, ...]:
    return tuple(w.to(torch.bfloat16) for w in weights) if packed.values.dtype == torch.bfloat16 else weights


def mix(plan: "Plan", packed: "Packed", weights: tuple[Tensor, ...], bias: Tensor, scratch: Scratch) -> Tensor:
    """See the package."""
    h, weights = bias.shape[1], _rounded(weights, packed)
    table = scratch.take("table", bias, plan.num_table_rows, h)
    for i, t in enumerate(plan.rows):
        out = table[plan.table_rows[t]].view(-1, plan.width[t] * h)
        rows = plan.rows[t]
        packed_linear(packed.values[rows], packed.index[rows], weights[i], out=out)
        out[:, -h:] += bias[i]
    return plan.aggregate(table, scratch)


def mix_adjoint(
    plan: "Plan",
    packed: "Packed",
    weights: tuple[Tensor, ...],
    grad: Tensor,
    dweights: tuple[Tensor, ...],
    dbias: Tensor,
    scratch: Scratch,
) -> Tensor:
    """See the package."""
    table, weights = plan.adjoint(grad, scratch), _rounded(weights, packed)
    dvalues = scratch.take("dvalues", grad, *packed.values.shape)
    for i, t in enumerate(plan.rows):
        rows = plan.rows[t]
        part = table[plan.table_rows[t]].view(-1, plan.width[t] * grad.shape[1])
        dvalues[rows] = packed_linear_adjoint(
            packed.values[rows], packed.index[rows], weights[i], part, dweight=dweights[i]
        )
        dbias[i] = column_sum(grad[rows], scratch)
    return dvalues
