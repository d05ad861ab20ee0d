"""C kernels: aggregation straight from the packed rows, and one pass over the sources for all of the adjoint.

No table of products is written: a target adds `w (V W[I])` of its sources; a source adds up the gradient of its
products in cache, and uses it there for its values and its weights. The products have the bits of the composed form;
gradients of values and weights are summed in another order. Above k/h = 1/2 the composed form, a GEMM, serves
(at 1/2 a step of 16 layers on 46k nodes takes 1.2 s this way and 1.8 s that way, h = 32, one thread).

Kept values in bfloat16 are read as such; the rounded matrices lie in float32, since they stay in cache and so need no
conversion where they are used.
"""

from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gsr_plugin.ops import native
from gsr_plugin.ops.mix import composed
from gsr_plugin.ops.scratch import Scratch
from gsr_plugin.ops.segment import column_sum

if TYPE_CHECKING:
    from gsr_plugin.ops.topk import Packed
    from gsr_plugin.plan import Plan


class _Sources(NamedTuple):
    """The node and the column block of every entry of a plan."""

    node: Tensor
    block: Tensor


_SOURCES: "WeakKeyDictionary[Plan, _Sources]" = WeakKeyDictionary()


def _sources_of(plan: "Plan") -> _Sources:
    if plan not in _SOURCES:
        row, width = plan.lists.idx, list(plan.width.values())
        starts = [plan.table_rows[t].start for t in plan.rows]
        of_type = (row >= starts[1]).to(torch.int32) + (row >= starts[2]).to(torch.int32)
        first_block = [0, width[0], width[0] + width[1]]
        columns = (starts, width, plan.bounds[:3], first_block)
        start, stride, first_node, first = (torch.tensor(c, dtype=torch.int32)[of_type] for c in columns)
        local = row - start
        node = torch.div(local, stride, rounding_mode="floor")
        _SOURCES[plan] = _Sources(node + first_node, (local - node * stride + first).to(torch.uint8))
    return _SOURCES[plan]


def _serves(plan: "Plan", packed: "Packed", h: int) -> bool:
    return plan.dtype == torch.float32 and 2 * packed.values.shape[1] <= h and sum(plan.width.values()) <= 256


def _rounded(weights: tuple[Tensor, ...], scratch: Scratch) -> tuple[Tensor, ...]:
    """The nearest bfloat16 numbers, in float32."""
    rounded = tuple(scratch.take(f"rounded {i}", w, *w.shape) for i, w in enumerate(weights))
    for w, r in zip(weights, rounded, strict=True):
        native.kernels().gsr_round_bf16(native.at(w), w.numel(), native.at(r), native.threads(len(w)))
    return rounded


def mix(plan: "Plan", packed: "Packed", weights: tuple[Tensor, ...], bias: Tensor, scratch: Scratch) -> Tensor:
    """See the package."""
    h = bias.shape[1]
    if not _serves(plan, packed, h):
        return composed.mix(plan, packed, weights, bias, scratch)
    sources, lib = _sources_of(plan), native.kernels()
    weights, bias = tuple(w.contiguous() for w in weights), bias.contiguous()
    (n, k), bf16 = packed.values.shape, packed.values.dtype == torch.bfloat16
    if bf16:
        weights = _rounded(weights, scratch)
    block_weight: list[int | None] = []
    block_bias: list[int | None] = []
    block_ld: list[int] = []
    for i, (w, m) in enumerate(zip(weights, plan.width.values(), strict=True)):
        block_weight += [w.data_ptr() + 4 * h * r for r in range(m)]
        block_bias += [None] * (m - 1) + [bias.data_ptr() + 4 * h * i]
        block_ld += [m * h] * m
    f = scratch.take("value", bias, n, h)
    lib.gsr_mix(
        native.at(packed.values),
        bf16,
        native.at(packed.index),
        native.addresses(block_weight),
        native.addresses(block_bias),
        native.longs(tuple(block_ld)),
        native.at(plan.lists.ptr),
        native.at(sources.node),
        native.at(sources.block),
        native.at(plan.weight),
        len(block_ld),
        n,
        h,
        k,
        native.at(f),
        native.threads(n),
    )
    for op, source, block, target in plan.factored:
        rows, at = plan.rows[source], plan.block(source, block)
        values, index = packed.values[rows], packed.index[rows]
        products = scratch.take("products", bias, len(values), h)
        lib.gsr_product(
            native.at(values),
            bf16,
            native.at(index),
            block_weight[at],
            block_ld[at],
            len(values),
            h,
            k,
            native.at(products),
            native.threads(len(values)),
        )
        f[plan.rows[target]] += op.forward(products, scratch)
    return f


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
    h = grad.shape[1]
    if not _serves(plan, packed, h):
        return composed.mix_adjoint(plan, packed, weights, grad, dweights, dbias, scratch)
    weights, grad = tuple(w.contiguous() for w in weights), grad.contiguous()
    bf16 = packed.values.dtype == torch.bfloat16
    if bf16:
        weights = _rounded(weights, scratch)
    for i, rows in enumerate(plan.rows.values()):
        dbias[i] = column_sum(grad[rows], scratch)
    given: list[Tensor | None] = [None] * sum(plan.width.values())
    for op, source, block, target in plan.factored:
        given[plan.block(source, block)] = op.adjoint(grad[plan.rows[target]], scratch)
    dvalues = scratch.take("dvalues", grad, *packed.values.shape)
    sizes = [w.numel() for w in weights]
    parts = scratch.take("weight parts", grad, native.CHUNKS, sum(sizes))
    dflat = scratch.take("weight gradient", grad, sum(sizes))
    native.kernels().gsr_mix_adjoint(
        native.at(grad),
        native.at(packed.values),
        bf16,
        native.at(packed.index),
        native.at(plan.back.ptr),
        native.at(plan.back.idx),
        native.at(plan.back_weight),
        native.longs(plan.bounds),
        native.longs(tuple(plan.width.values())),
        len(weights),
        native.addresses([w.data_ptr() for w in weights]),
        native.addresses([native.at(g) for g in given]),
        h,
        packed.values.shape[1],
        native.at(dvalues),
        native.at(parts),
        native.at(dflat),
        native.threads(len(grad)),
    )
    for dw, part in zip(dweights, torch.split(dflat, sizes), strict=True):
        dw.copy_(part.view_as(dw))
    return dvalues
