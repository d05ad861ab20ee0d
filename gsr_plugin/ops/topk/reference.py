"""Plain torch, written from the definition: a stable sort of every row."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsr_plugin.ops.topk.norm import normalise, row_sum_

if TYPE_CHECKING:
    from gsr_plugin.ops.topk import Packed

Norm = Tensor | None


def norm_topk(
    x: Tensor, k: int, gamma: Norm, beta: Norm, magnitude: bool, relu: bool
) -> tuple[Tensor, Tensor, Norm, Norm] | None:
    """Values, indices, mean and rstd; None if an entry is not a number."""
    u, mean, rstd = _normed(x, gamma, beta)
    if bool(u.isnan().any()):
        return None
    score = u.abs() if magnitude else u + 0.0  # -0.0 + 0.0 is +0.0
    order = torch.sort(score, dim=1, descending=True, stable=True).indices[:, :k]
    index = order.sort(dim=1).values
    values = u.gather(1, index)
    return values.clamp_(min=0.0) if relu else values, _narrow(index, x.shape[1]), mean, rstd


def repack(x: Tensor, index: Tensor, gamma: Norm, beta: Norm, relu: bool) -> tuple[Tensor, Norm, Norm]:
    """Values at `index`, mean and rstd."""
    u, mean, rstd = _normed(x, gamma, beta)
    values = u.gather(1, index.long())
    return values.clamp_(min=0.0) if relu else values, mean, rstd


def norm_adjoint_(e: Tensor, x: Tensor, packed: "Packed", dvalues: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """Adds rstd * (d - mean(d) - xhat * mean(d * xhat)) to `e`, d = gamma * du; gives the sums of du * xhat and du."""
    from gsr_plugin.ops.segment import column_sum

    assert packed.mean is not None
    assert packed.rstd is not None
    h = x.shape[1]
    xhat = (x - packed.mean[:, None]).mul_(packed.rstd[:, None])
    du = torch.zeros_like(x).scatter_(1, packed.index.long(), dvalues)
    dgamma, dbeta = column_sum(du * xhat), column_sum(du)
    d = du.mul_(gamma)
    c1 = row_sum_(d.clone()) * (1.0 / h)
    c2 = row_sum_(d * xhat) * (1.0 / h)
    d.sub_(c1[:, None]).sub_(xhat.mul_(c2[:, None]))
    e.add_(d.mul_(packed.rstd[:, None]))
    return dgamma, dbeta


def scatter_add_(e: Tensor, index: Tensor, dvalues: Tensor) -> None:
    """Adds `dvalues` to the entries of `e` at `index`."""
    e.scatter_add_(1, index.long(), dvalues)


def _normed(x: Tensor, gamma: Norm, beta: Norm) -> tuple[Tensor, Norm, Norm]:
    if gamma is None or beta is None:
        return x, None, None
    xhat, mean, rstd = normalise(x)
    return xhat.mul_(gamma).add_(beta), mean, rstd


def _narrow(index: Tensor, h: int) -> Tensor:
    return index.to(torch.uint8 if h <= 256 else torch.int16)
