"""LayerNorm with one fixed order of additions, so that every backend and thread count gives the same bits.

A row is added by halves: columns `[m, 2m)` onto `[0, m)`, m the largest power of two below the width, and so on. All
other steps are single IEEE operations (no fused multiply-add).
"""

from torch import Tensor

EPS = 1e-5


def row_sum_(t: Tensor) -> Tensor:
    """Sum of every row [n], by halves; destroys `t` [n, h]."""
    h = t.shape[1]
    while h > 1:
        m = 1 << ((h - 1).bit_length() - 1)
        t[:, : h - m] += t[:, m:h]
        h = m
    return t[:, 0].clone()


def normalise(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mean) / sqrt(var + eps) [n, h], mean [n], 1 / sqrt(var + eps) [n]."""
    h = x.shape[1]
    mean = row_sum_(x.clone()) * (1.0 / h)
    centred = x - mean[:, None]
    var = row_sum_(centred * centred) * (1.0 / h)
    rstd = (var + EPS).rsqrt()  # on CPUs two correctly rounded steps; `sqrt` alone goes to a library that is not
    return centred.mul_(rstd[:, None]), mean, rstd
