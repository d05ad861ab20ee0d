"""Plain torch: gather every entry, then reduce each list."""

import torch
from torch import Tensor

from gsr_plugin.ops.scratch import Scratch


def segment_sum(table: Tensor, ptr: Tensor, idx: Tensor, weight: Tensor | None, scratch: Scratch, name: str) -> Tensor:
    """See `segment_sum` of the package; `segment_reduce` has no atomics, so it may run inside a reversible branch."""
    rows = table[idx.long()]
    if weight is not None:
        rows = rows * weight[:, None]
    return torch.segment_reduce(rows, "sum", offsets=ptr.long(), axis=0, initial=0.0)


CHUNK = 256  # rows added one after the other before the sums of the chunks are added; fixed, so that bits are


def chunk_sums(x: Tensor, scratch: Scratch, name: str) -> Tensor:
    """Sums of every 256 rows, one row after the other."""
    from gsr_plugin.ops.segment import segment_sum

    n = x.shape[0]
    ptr = torch.arange(0, n + CHUNK, CHUNK, dtype=torch.int32, device=x.device).clamp_(max=n)
    return segment_sum(x, ptr, torch.arange(n, dtype=torch.int32, device=x.device))
