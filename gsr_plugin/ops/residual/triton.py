"""CUDA: scale, round to even, add, and the largest magnitude of every tile in one pass."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from gsr_plugin.ops.residual import reference
from gsr_plugin.ops.tiles import LAUNCH

TILE = 1024


@triton.jit
@no_type_check
def update(x, f, most, n, up, down, ROUND: tl.constexpr, MOST: tl.constexpr, TILE: tl.constexpr):
    """`x += down * round(up * f)`; `most` receives max |x| of the tile, NaN if it holds one."""
    tile = tl.program_id(0)
    at = tile.to(tl.int64) * TILE + tl.arange(0, TILE)
    inside = at < n
    value = tl.load(f + at, mask=inside, other=0.0)
    if ROUND:
        value = value * up
        low = tl.floor(value)
        over = value - low  # exact, as is every step here
        odd = tl.floor(low * 0.5) * 2.0 != low
        value = tl.where((over > 0.5) | ((over == 0.5) & odd), low + 1.0, low)
    value = tl.load(x + at, mask=inside, other=0.0) + value * down
    tl.store(x + at, value, mask=inside)
    if MOST:
        size = tl.max(tl.abs(value), axis=0)
        nan = tl.max((value != value).to(tl.int32), axis=0)
        tl.store(most + tile, tl.where(nan > 0, float("nan"), size))


def add_rounded_(x: Tensor, f: Tensor, sign: int, t: int | None, amax: Tensor | None) -> None:
    """See the package."""
    if x.dtype != torch.float32 or f.dtype != torch.float32 or not (x.is_contiguous() and f.is_contiguous()):
        reference.add_rounded_(x, f, sign, t, amax)
        return
    if not x.numel():
        if amax is not None:
            amax.zero_()
        return
    up, down = (1.0, float(sign)) if t is None else (2.0**t, sign * 2.0**-t)
    tiles = -(-x.numel() // TILE)
    most = x if amax is None else x.new_empty(tiles)
    update[(tiles,)](x, f, most, x.numel(), up, down, ROUND=t is not None, MOST=amax is not None, TILE=TILE, **LAUNCH)
    if amax is not None:
        torch.amax(most, 0, out=amax)
