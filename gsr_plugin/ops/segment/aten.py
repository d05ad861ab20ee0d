"""FBGEMM's embedding bag: 3 to 4 times a plain C loop on one thread (ibex, h = 64: 0.79 against 2.6 ms)."""

import torch.nn.functional as F
from torch import Tensor

from gsr_plugin.ops.scratch import Scratch


def segment_sum(table: Tensor, ptr: Tensor, idx: Tensor, weight: Tensor | None, scratch: Scratch, name: str) -> Tensor:
    """See `segment_sum` of the package."""
    return F.embedding_bag(idx, table, ptr, mode="sum", per_sample_weights=weight, include_last_offset=True)
