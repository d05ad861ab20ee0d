"""What the Triton kernels share: tile sizes, sums of a fixed order, and whether Triton can run here."""

import os
from functools import cache
from importlib.util import find_spec
from typing import no_type_check

import torch

LAUNCH: dict[str, int | bool] = {"num_warps": 4, "enable_fp_fusion": False}  # every step rounds on its own
NARROW: dict[str, int | bool] = {"num_warps": 1, "enable_fp_fusion": False}  # one warp: nothing waits for another


def interprets() -> bool:
    """Whether Triton's interpreter was asked for, which runs kernels on the CPU, slowly, for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def has_triton() -> bool:
    """Whether triton is installed and has anything to run on. (Importing it costs a second.)"""
    return find_spec("triton") is not None and (torch.cuda.is_available() or interprets())


def width_of(h: int) -> int:
    """Columns of the tile that holds `h`: the next power of two, 16 at least."""
    return max(16, 1 << (h - 1).bit_length())


def rows_of(width: int) -> int:
    """Rows of a tile of so many columns that one warp takes: 256 entries, or one row; more would spill registers."""
    return max(1, 256 // width)


if find_spec("triton") is not None:
    import triton
    import triton.language as tl

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
