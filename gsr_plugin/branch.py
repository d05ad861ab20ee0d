"""One branch of a layer, `f(x) = sum_r A_r (S W_r) + S W_self + b_type` with `S = GroupTopK(Norm_type(x))`, and its
adjoint at a fixed selection. Plain functions: the stack, and ordinary autograd, call the same ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gsr_plugin.graph_tensors import NODE_TYPES
from gsr_plugin.ops.packed_linear import packed_linear, packed_linear_adjoint
from gsr_plugin.ops.segment import column_sum
from gsr_plugin.ops.topk import NotANumberError, Packed, Selection, norm_topk, norm_topk_adjoint_, repack
from gsr_plugin.plan import Plan


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


def select(
    plan: Plan,
    x: Float[Tensor, "nodes h"],
    weights: BranchWeights,
    selection: Selection,
    index: Sequence[Tensor] | None = None,
) -> list[Packed]:
    """The packed rows of every node type; with `index`, at the entries chosen before."""
    packs = []
    for i, t in enumerate(NODE_TYPES):
        gamma, beta = (w if w is None else w[i] for w in (weights.gamma, weights.beta))
        rows = x[plan.rows[t]]
        try:
            if index is None:
                packs.append(norm_topk(rows, selection, gamma=gamma, beta=beta))
            else:
                packs.append(repack(rows, index[i], selection, gamma=gamma, beta=beta))
        except NotANumberError as err:
            raise NotANumberError(f"{t} nodes: {err}") from err
    return packs


def mix(
    plan: Plan, packs: Sequence[Packed], weights: BranchWeights, table: Float[Tensor, "rows h"]
) -> Float[Tensor, "nodes h"]:
    """The branch's value; `table` is scratch."""
    h = table.shape[1]
    for i, t in enumerate(NODE_TYPES):
        out = table[plan.table_rows[t]].view(-1, plan.width[t] * h)
        packed_linear(packs[i].values, packs[i].index, weights.mix[i], out=out)
        out[:, -h:] += weights.bias[i]
    return plan.aggregate(table)


def mix_adjoint(
    plan: Plan,
    packs: Sequence[Packed],
    weights: BranchWeights,
    grad: Float[Tensor, "nodes h"],
    dweights: BranchWeights,
) -> list[Tensor]:
    """Gradients of the kept values; those of `mix` and `bias` are written to `dweights`."""
    table = plan.adjoint(grad)
    dvalues = []
    for i, t in enumerate(NODE_TYPES):
        part = table[plan.table_rows[t]].view(-1, plan.width[t] * grad.shape[1])
        d = packed_linear_adjoint(packs[i].values, packs[i].index, weights.mix[i], part, dweight=dweights.mix[i])
        dvalues.append(d)
        dweights.bias[i] = column_sum(grad[plan.rows[t]])
    return dvalues


def select_adjoint_(
    plan: Plan,
    e: Float[Tensor, "nodes h"],
    x: Float[Tensor, "nodes h"],
    packs: Sequence[Packed],
    dvalues: Sequence[Tensor],
    weights: BranchWeights,
    dweights: BranchWeights,
    selection: Selection,
) -> None:
    """Adds the gradient of `x` to `e`; those of the norm are written to `dweights`."""
    for i, t in enumerate(NODE_TYPES):
        rows = plan.rows[t]
        gamma = None if weights.gamma is None else weights.gamma[i]
        grads = norm_topk_adjoint_(e[rows], x[rows], packs[i], dvalues[i], selection, gamma=gamma)
        if grads is not None and dweights.gamma is not None and dweights.beta is not None:
            dweights.gamma[i], dweights.beta[i] = grads
