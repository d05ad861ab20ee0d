"""C kernel: scale, round, add and the largest magnitude in one pass."""

import torch
from torch import Tensor

from gsr_plugin.ops import native
from gsr_plugin.ops.residual import reference


def add_rounded_(x: Tensor, f: Tensor, sign: int, t: int | None, amax: Tensor | None) -> None:
    """See the package."""
    if x.dtype != torch.float32 or not x.is_contiguous() or not f.is_contiguous():
        reference.add_rounded_(x, f, sign, t, amax)
        return
    up, down = (0.0, float(sign)) if t is None else (2.0**t, sign * 2.0**-t)
    most = None if amax is None else amax.data_ptr()
    native.kernels().gsr_update(native.at(x), native.at(f), x.numel(), up, down, most, native.threads(len(x)))
