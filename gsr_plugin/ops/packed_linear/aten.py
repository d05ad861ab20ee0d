"""Gather of k rows of W where k/h <= 1/2 (in fp32 1.9 times a GEMM at 16/32, 15 times at 8/192), a GEMM above."""

import torch
import torch.nn.functional as F
from torch import Tensor

from gsr_plugin.ops.packed_linear import reference
from gsr_plugin.ops.packed_linear.reference import packed_linear_adjoint

__all__ = ["packed_linear", "packed_linear_adjoint"]


def packed_linear(values: Tensor, index: Tensor, weight: Tensor, out: Tensor) -> None:
    """See the package."""
    n, k = values.shape
    if not n:
        return
    if 2 * k > weight.shape[0]:
        reference.packed_linear(values, index, weight, out)
        return
    values, weight = values.to(out.dtype), weight.to(out.dtype)
    bags = torch.arange(0, n * k + 1, k, dtype=torch.int32)
    flat = index.reshape(-1).to(torch.int32)
    got = F.embedding_bag(flat, weight, bags, mode="sum", per_sample_weights=values.view(-1), include_last_offset=True)
    out.copy_(got)
