"""Plain torch: the rows made dense, then matrix products."""

import torch
from torch import Tensor

_ROWS = 4096  # rows per product of the weight gradient: a fixed split, so that no thread count changes the sum


def dense(values: Tensor, index: Tensor, h: int) -> Tensor:
    """The packed rows with their zeros."""
    return values.new_zeros(values.shape[0], h).scatter_(1, index.long(), values)


def packed_linear(values: Tensor, index: Tensor, weight: Tensor, out: Tensor) -> None:
    """See the package."""
    torch.mm(dense(values.to(out.dtype), index, weight.shape[0]), weight.to(out.dtype), out=out)


def packed_linear_adjoint(values: Tensor, index: Tensor, weight: Tensor, grad: Tensor, dweight: Tensor) -> Tensor:
    """See the package."""
    values, weight, h = values.to(grad.dtype), weight.to(grad.dtype), weight.shape[0]
    dweight.zero_()
    parts = [values.new_empty(0, values.shape[1])]
    for v, i, g in zip(*(torch.split(a, _ROWS) for a in (values, index, grad)), strict=True):
        dweight.addmm_(dense(v, i, h).t(), g)
        parts.append((g @ weight.t()).gather(1, i.long()))
    return torch.cat(parts)
