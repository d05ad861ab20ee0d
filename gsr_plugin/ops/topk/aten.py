"""Selection by `torch.topk` on an integer key: exact ties, 1.1 to 1.5 times the cost of a bare `topk`.

The key is the float as an order-preserving integer, shifted, with the column counted down in the low bits.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gsr_plugin.ops.topk import reference
from gsr_plugin.ops.topk.reference import norm_adjoint_, normed, repack

if TYPE_CHECKING:
    from gsr_plugin.ops.topk import Packed, RowNorm, Selection

__all__ = ["norm_adjoint_", "norm_topk", "repack"]

_ROWS = 8192  # rows at a time, so that the keys of h = 64 stay inside 4 MB


def norm_topk(x: Tensor, select: "Selection", norm: "RowNorm | None", out: "Packed") -> bool:
    """See `reference.norm_topk`."""
    if x.dtype != torch.float32:
        return reference.norm_topk(x, select, norm, out)
    u, mean, rstd = normed(x, norm)
    if bool(u.isnan().any()):
        return False
    for start in range(0, len(u), _ROWS):
        rows = slice(start, start + _ROWS)
        kept = _largest(u[rows], select)
        m, r = (None, None) if mean is None or rstd is None else (mean[rows], rstd[rows])
        reference.fill(out, rows, u[rows], kept, select, m, r)
    return True


def _largest(u: Tensor, select: "Selection") -> Tensor:
    h = u.shape[1]
    bits = 8 if h <= 256 else 16
    low = (1 << bits) - 1
    score = u.abs() if select.magnitude else u + 0.0
    raw = score.view(torch.int32)
    key = (raw ^ ((raw >> 31) & 0x7FFFFFFF)).to(torch.int64)  # negative floats in rising order
    key = (key << bits) | torch.arange(low, low - h, -1, device=u.device)
    return low - (key.topk(select.k, dim=1, sorted=False).values & low)
