"""Sums over lists of rows: `out[i] = sum_e weight[e] * table[idx[e]]` for the entries `e` of row `i`."""

from collections.abc import Callable

from jaxtyping import Float, Int32
from torch import Tensor

from gsr_plugin.ops import native
from gsr_plugin.ops.backend import has_triton, pick
from gsr_plugin.ops.scratch import FRESH, Scratch
from gsr_plugin.ops.segment import aten, cpu, reference

__all__ = ["column_sum", "segment_sum"]

_BACKENDS: dict[str, Callable[..., Tensor]] = {"reference": reference.segment_sum, "aten": aten.segment_sum}
_CHUNK_SUMS: dict[str, Callable[[Tensor, Scratch, str], Tensor]] = {"reference": reference.chunk_sums}
if native.library() is not None:
    _CHUNK_SUMS["cpu"] = cpu.chunk_sums
if native.has_products():
    _BACKENDS["cpu"] = cpu.segment_sum
if has_triton():
    from gsr_plugin.ops.segment import triton

    _BACKENDS["triton"], _CHUNK_SUMS["triton"] = triton.segment_sum, triton.chunk_sums


def segment_sum(
    table: Float[Tensor, "sources h"],
    ptr: Int32[Tensor, " rows_plus_one"],
    idx: Int32[Tensor, " entries"],
    weight: Float[Tensor, " entries"] | None = None,
    *,
    scratch: Scratch = FRESH,
    name: str = "sums",
) -> Float[Tensor, "rows h"]:
    """Weighted sum of the listed rows of `table`; an empty list gives 0.

    The entries are added in the order of the list: same bits for any number of threads. The result may lie in memory
    of `scratch` by `name`.
    """
    if ptr.numel() <= 1 or idx.numel() == 0:
        return scratch.take(name, table, ptr.numel() - 1, table.shape[1]).zero_()
    return pick(_BACKENDS, table.device)(table, ptr, idx, weight, scratch, name)


def column_sum(x: Float[Tensor, "n h"], scratch: Scratch = FRESH) -> Float[Tensor, " h"]:
    """Sum over the rows: chunks of 256 in order, then the chunks in order, whatever the number of threads.

    It lies in `scratch` until the next call, or is the only row of `x`.
    """
    level = 0
    while x.shape[0] > 1:
        x = pick(_CHUNK_SUMS, x.device)(x, scratch, f"chunks {level}")
        level += 1
    return x[0] if x.shape[0] else scratch.take("chunks 0", x, x.shape[1]).zero_()
