"""What the Triton kernels share: tile sizes and sums of a fixed order."""

from typing import no_type_check

import triton
import triton.language as tl

LAUNCH: dict[str, int | bool] = {"num_warps": 4, "enable_fp_fusion": False}  # every step rounds on its own
NARROW: dict[str, int | bool] = {"num_warps": 1, "enable_fp_fusion": False}  # one warp: nothing waits for another


def width_of(h: int) -> int:
    """Columns of the tile that holds `h`: the next power of two, 16 at least."""
    return max(16, 1 << (h - 1).bit_length())


def rows_of(width: int) -> int:
    """Rows of a tile of so many columns that one warp takes: 256 entries, or one row; more would spill registers."""
    return max(1, 256 // width)


@triton.jit
@no_type_check
def row_sum(x, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Sum of every row by halves, the order of `topk.norm.row_sum_`; columns beyond the row are 0."""
    for i in tl.static_range(1, 16):
        if (WIDTH >> i) > 0:
            low, high = tl.split(tl.permute(tl.reshape(x, (ROWS, 2, WIDTH >> i)), (0, 2, 1)))
            x = low + high
    return tl.reshape(x, (ROWS,))


@triton.jit
@no_type_check
def to_bf16(x):
    """The nearest bfloat16, ties to even: in whole numbers, since a cast in Triton's interpreter cuts off."""
    bits = x.to(tl.uint32, bitcast=True)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return tl.where(x != x, 0x7FC0, bits).to(tl.uint16).to(tl.bfloat16, bitcast=True)
