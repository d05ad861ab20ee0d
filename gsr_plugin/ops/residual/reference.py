"""Plain torch."""

import torch
from torch import Tensor


def add_rounded_(x: Tensor, f: Tensor, sign: int, t: int | None, amax: Tensor | None) -> None:
    """See the package. Scaling by a power of two is exact, so the order of these steps cannot change a bit."""
    if t is None:
        x.add_(f, alpha=sign)
    else:
        x.add_(f.mul_(2.0**t).round_(), alpha=sign * 2.0**-t)
    if amax is not None:
        if x.numel():
            torch.amax(torch.stack([x.amax(), x.amin().neg_()]), 0, out=amax)
        else:
            amax.zero_()
