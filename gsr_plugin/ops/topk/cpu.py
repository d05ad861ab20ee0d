"""C kernel: sixteen rows side by side, exact threshold by bisection on values, one compaction; the reference's bits."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsr_plugin.ops import native
from gsr_plugin.ops.scratch import Scratch
from gsr_plugin.ops.segment import column_sum
from gsr_plugin.ops.topk import aten, reference

if TYPE_CHECKING:
    from gsr_plugin.ops.topk import Packed, RowNorm, Selection


def norm_topk(x: Tensor, select: "Selection", norm: "RowNorm | None", out: "Packed") -> bool:
    """See `reference.norm_topk`."""
    if x.dtype != torch.float32:
        return aten.norm_topk(x, select, norm, out)
    return _run(x, select, norm, out, 0)


def repack(
    x: Tensor, index: Tensor, select: "Selection", norm: "RowNorm | None", scratch: Scratch
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """See `reference.repack`."""
    from gsr_plugin.ops.topk import Packed

    if x.dtype != torch.float32:
        return reference.repack(x, index, select, norm, scratch)
    mean, rstd = (None, None) if norm is None else (scratch.take(m, x, len(x)) for m in ("mean", "rstd"))
    values = scratch.take("kept", x, *index.shape, dtype=select.dtype(x.dtype))
    out = Packed(values, index.contiguous(), mean, rstd)
    _run(x, select, norm, out, native.CHOSEN)
    return out.values, out.mean, out.rstd


def _run(x: Tensor, select: "Selection", norm: "RowNorm | None", out: "Packed", flags: int) -> bool:
    n, h = x.shape
    x = x.contiguous()
    gamma, beta = (None, None) if norm is None else (norm.gamma.contiguous(), norm.beta.contiguous())
    bounds = (0, n) if norm is None else norm.bounds
    flags |= native.MAGNITUDE * select.magnitude | native.RELU * select.relu | native.BF16 * select.bf16
    bad: int = native.kernels().gsr_select(
        native.at(x),
        native.at(gamma),
        native.at(beta),
        native.longs(bounds),
        len(bounds) - 1,
        n,
        h,
        select.k,
        flags,
        native.at(out.values),
        native.at(out.index),
        native.at(out.mean),
        native.at(out.rstd),
        native.threads(n),
    )
    return bad < 0


def norm_adjoint_(
    e: Tensor, x: Tensor, packed: "Packed", dvalues: Tensor, norm: "RowNorm", scratch: Scratch
) -> tuple[Tensor, Tensor]:
    """See `reference.norm_adjoint_`."""
    if x.dtype != torch.float32 or not (e.is_contiguous() and x.is_contiguous()):
        return reference.norm_adjoint_(e, x, packed, dvalues, norm, scratch)
    h = x.shape[1]
    tasks = [-(-(b - a) // native.TASK_ROWS) for a, b in zip(norm.bounds, norm.bounds[1:], strict=False)]
    parts = scratch.take("norm parts", x, 2, sum(tasks), h)
    gamma, dvalues = norm.gamma.contiguous(), dvalues.contiguous()
    native.kernels().gsr_norm_adjoint(
        native.at(x),
        native.at(gamma),
        native.at(packed.mean),
        native.at(packed.rstd),
        native.at(dvalues),
        native.at(packed.index),
        native.longs(norm.bounds),
        len(tasks),
        h,
        packed.index.shape[1],
        native.at(e),
        native.at(parts[0]),
        native.at(parts[1]),
        native.threads(len(x)),
    )
    grads = scratch.take("norm gradient", x, 2, len(tasks), h)
    for side, grad in zip(parts, grads, strict=True):
        for i, part in enumerate(torch.split(side, tasks)):
            grad[i] = column_sum(part, scratch)
    return grads[0], grads[1]
