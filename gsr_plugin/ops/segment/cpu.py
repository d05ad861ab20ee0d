"""C kernels: the sums of lists (FBGEMM's bits, into memory that is kept) and of consecutive rows."""

import torch
from torch import Tensor

from gsr_plugin.ops import native
from gsr_plugin.ops.scratch import Scratch
from gsr_plugin.ops.segment import aten, reference


def segment_sum(table: Tensor, ptr: Tensor, idx: Tensor, weight: Tensor | None, scratch: Scratch, name: str) -> Tensor:
    """See `segment_sum` of the package."""
    if table.dtype != torch.float32 or not table.is_contiguous():
        return aten.segment_sum(table, ptr, idx, weight, scratch, name)
    n, h = ptr.numel() - 1, table.shape[1]
    out = scratch.take(name, table, n, h)
    native.kernels().gsr_segment_sum(
        native.at(table),
        native.at(ptr),
        native.at(idx),
        native.at(weight),
        n,
        h,
        native.at(out),
        native.threads(n),
    )
    return out


def chunk_sums(x: Tensor, scratch: Scratch, name: str) -> Tensor:
    """See `reference.chunk_sums`."""
    if x.dtype != torch.float32:
        return reference.chunk_sums(x, scratch, name)
    n, h = x.shape
    x, out = x.contiguous(), scratch.take(name, x, -(-n // native.TASK_ROWS), h)
    native.kernels().gsr_column_sums(native.at(x), n, h, native.at(out), native.threads(n))
    return out
