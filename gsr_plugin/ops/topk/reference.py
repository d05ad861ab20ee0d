"""Plain torch, written from the definition: a stable sort of every row."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsr_plugin.ops.scratch import Scratch
from gsr_plugin.ops.segment import column_sum
from gsr_plugin.ops.topk.norm import normalise, row_sum_

if TYPE_CHECKING:
    from gsr_plugin.ops.topk import Packed, RowNorm, Selection


def normed(x: Tensor, norm: "RowNorm | None") -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Norm(x), mean and 1 / sqrt(var + eps); x itself without a norm."""
    if norm is None:
        return x, None, None
    u, mean, rstd = normalise(x)
    for i, rows in runs(norm):
        u[rows].mul_(norm.gamma[i]).add_(norm.beta[i])
    return u, mean, rstd


def runs(norm: "RowNorm") -> list[tuple[int, slice]]:
    """The rows of each run."""
    return [(i, slice(*norm.bounds[i : i + 2])) for i in range(len(norm.bounds) - 1)]


def norm_topk(x: Tensor, select: "Selection", norm: "RowNorm | None", out: "Packed") -> bool:
    """Fills `out`; False if an entry is not a number."""
    u, mean, rstd = normed(x, norm)
    if bool(u.isnan().any()):
        return False
    score = u.abs() if select.magnitude else u + 0.0  # -0.0 + 0.0 is +0.0
    order = torch.sort(score, dim=1, descending=True, stable=True).indices[:, : select.k]
    fill(out, slice(None), u, order, select, mean, rstd)
    return True


def fill(
    out: "Packed", rows: slice, u: Tensor, kept: Tensor, select: "Selection", mean: Tensor | None, rstd: Tensor | None
) -> None:
    """Writes rows of `out`, the kept columns in rising order."""
    index = kept.sort(dim=1).values
    out.index[rows] = index.to(out.index.dtype)
    out.values[rows] = _values(u, index, select)
    if out.mean is not None and out.rstd is not None and mean is not None and rstd is not None:
        out.mean[rows], out.rstd[rows] = mean, rstd


def _values(u: Tensor, index: Tensor, select: "Selection") -> Tensor:
    values = u.gather(1, index)
    values = values.masked_fill_(values <= 0, 0.0) if select.relu else values
    return values.to(select.dtype(u.dtype))


def repack(
    x: Tensor, index: Tensor, select: "Selection", norm: "RowNorm | None", scratch: Scratch
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Values at `index`, mean and 1 / sqrt(var + eps)."""
    u, mean, rstd = normed(x, norm)
    return _values(u, index.long(), select), mean, rstd


def norm_adjoint_(
    e: Tensor, x: Tensor, packed: "Packed", dvalues: Tensor, norm: "RowNorm", scratch: Scratch
) -> tuple[Tensor, Tensor]:
    """Adds rstd * (d - mean(d) - xhat * mean(d * xhat)) to `e`, d = gamma * du; gives the sums of du * xhat and du."""
    assert packed.mean is not None
    assert packed.rstd is not None
    h = x.shape[1]
    dgamma, dbeta = torch.empty_like(norm.gamma), torch.empty_like(norm.beta)
    for i, rows in runs(norm):
        xhat = (x[rows] - packed.mean[rows, None]).mul_(packed.rstd[rows, None])
        du = torch.zeros_like(xhat).scatter_(1, packed.index[rows].long(), dvalues[rows])
        dgamma[i], dbeta[i] = column_sum(du * xhat), column_sum(du)
        d = du.mul_(norm.gamma[i])
        c1 = row_sum_(d.clone()) * (1.0 / h)
        c2 = row_sum_(d * xhat) * (1.0 / h)
        d.sub_(c1[:, None]).sub_(xhat.mul_(c2[:, None]))
        e[rows] += d.mul_(packed.rstd[rows, None])
    return dgamma, dbeta
