"""C kernel: the same additions in the same order."""

import torch
from torch import Tensor

from gsr_plugin.ops import native
from gsr_plugin.ops.box import reference


def running_sums_(grid: Tensor) -> None:
    """See the package."""
    if grid.dtype != torch.float32 or not grid.is_contiguous():
        reference.running_sums_(grid)
        return
    native.kernels().gsr_running_sums(native.at(grid), *grid.shape, native.threads(grid.shape[0] * grid.shape[1]))
