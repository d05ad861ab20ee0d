"""A branch after its selection: products of the packed rows with the matrices of the relations, row means, self term.

`f = sum_r A_r (S W_r) + S W_self + b`; the adjoint gives the gradients of the kept values and of the weights.

If the kept values are bfloat16, the matrices are rounded to bfloat16 on the way, to nearest, ties to even. All sums and
all gradients have the dtype of the bias; the derivative of rounding is 1.
"""

from types import ModuleType
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from gsr_plugin.ops import native
from gsr_plugin.ops.backend import pick
from gsr_plugin.ops.mix import composed, cpu
from gsr_plugin.ops.scratch import FRESH, Scratch
from gsr_plugin.ops.topk import Packed

if TYPE_CHECKING:
    from gsr_plugin.plan import Plan

__all__ = ["mix", "mix_adjoint"]

_BACKENDS: dict[str, ModuleType] = {"reference": composed, "aten": composed}
if native.has_products():
    _BACKENDS["cpu"] = cpu


def mix(
    plan: "Plan", packed: Packed, weights: tuple[Tensor, ...], bias: Float[Tensor, "types h"], scratch: Scratch
) -> Float[Tensor, "nodes h"]:
    """The branch's value, in memory of `scratch`.

    Args:
        plan: the lists of the graph.
        packed: the kept entries of all nodes.
        weights: per node type `[W_1 | .. | W_m | W_self]` [h, (m + 1) h].
        bias: one row per node type.
        scratch: memory for the value and on the way to it.
    """
    f: Tensor = pick(_BACKENDS, packed.values.device).mix(plan, packed, weights, bias, scratch)
    return f


def mix_adjoint(
    plan: "Plan",
    packed: Packed,
    weights: tuple[Tensor, ...],
    grad: Float[Tensor, "nodes h"],
    *,
    dweights: tuple[Tensor, ...],
    dbias: Float[Tensor, "types h"],
    scratch: Scratch = FRESH,
) -> Float[Tensor, "nodes k"]:
    """Gradient of the kept values; those of the weights and the bias are written to `dweights` and `dbias`."""
    dvalues: Tensor = pick(_BACKENDS, grad.device).mix_adjoint(plan, packed, weights, grad, dweights, dbias, scratch)
    return dvalues
