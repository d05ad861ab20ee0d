"""Plain torch: gather every entry, then reduce each list."""

import torch
from torch import Tensor


def segment_sum(table: Tensor, ptr: Tensor, idx: Tensor, weight: Tensor | None) -> Tensor:
    """See `segment_sum` of the package; `segment_reduce` has no atomics, so it may run inside a reversible branch."""
    rows = table[idx.long()]
    if weight is not None:
        rows = rows * weight[:, None]
    return torch.segment_reduce(rows, "sum", offsets=ptr.long(), axis=0, initial=0.0)
