"""CUDA: one program per piece of a list; lists longer than a piece are added up in a second pass. No atomics.

Pieces balance the work, since real nets have up to 11,009 pins; a list of one piece is written at once. The entries of
a piece are added in their order, the pieces of a list in theirs.
"""

from typing import NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gsr_plugin.ops.scratch import Scratch
from gsr_plugin.ops.segment import reference
from gsr_plugin.ops.tiles import NARROW, width_of

PIECE = 64  # entries


@triton.jit
@no_type_check
def sum_pieces(table, start_of, stop_of, out_row, idx, weight, out, parts, h,
               WEIGHTED: tl.constexpr, WIDTH: tl.constexpr):  # fmt: skip
    """A piece's sum, to its row of `out`, or for a list of several pieces (`out_row` = -1 - slot) to `parts`."""
    piece = tl.program_id(0)
    column = tl.arange(0, WIDTH)
    inside = column < h
    total = tl.zeros((WIDTH,), dtype=tl.float32)
    for e in range(tl.load(start_of + piece), tl.load(stop_of + piece)):
        row = tl.load(idx + e).to(tl.int64)
        value = tl.load(table + row * h + column, mask=inside, other=0.0).to(tl.float32)
        if WEIGHTED:
            value = value * tl.load(weight + e).to(tl.float32)
        total = total + value
    to = tl.load(out_row + piece).to(tl.int64)
    if to >= 0:
        tl.store(out + to * h + column, total.to(out.dtype.element_ty), mask=inside)
    else:
        tl.store(parts + (-1 - to) * h + column, total, mask=inside)


@triton.jit
@no_type_check
def sum_parts(parts, long_row, first, last, out, h, WIDTH: tl.constexpr):
    """The pieces of one long list, in order."""
    i = tl.program_id(0)
    column = tl.arange(0, WIDTH)
    inside = column < h
    total = tl.zeros((WIDTH,), dtype=tl.float32)
    start = tl.load(first + i)
    at = parts + start.to(tl.int64) * h + column
    for _ in range(start, tl.load(last + i)):
        total = total + tl.load(at, mask=inside, other=0.0)
        at += h
    row = tl.load(long_row + i).to(tl.int64)
    tl.store(out + row * h + column, total.to(out.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def sum_chunk(x, out, n, h, CHUNK: tl.constexpr, WIDTH: tl.constexpr):
    """Sum of `CHUNK` consecutive rows, one row after the other."""
    chunk = tl.program_id(0)
    column = tl.arange(0, WIDTH)
    inside = column < h
    at = x + chunk.to(tl.int64) * CHUNK * h + column
    total = tl.zeros((WIDTH,), dtype=tl.float32)
    for _ in range(0, tl.minimum(CHUNK, n - chunk * CHUNK)):
        total = total + tl.load(at, mask=inside, other=0.0).to(tl.float32)
        at += h
    tl.store(out + chunk.to(tl.int64) * h + column, total.to(out.dtype.element_ty), mask=inside)


class Pieces(NamedTuple):
    """The lists of one `ptr`, cut: entries of every piece and where its sum goes; long lists and their slots."""

    start: Tensor
    stop: Tensor
    out_row: Tensor
    long_row: Tensor
    first: Tensor
    last: Tensor


_PIECES: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def pieces_of(ptr: Tensor) -> Pieces:
    """The pieces of the lists of `ptr`, cut once."""
    if ptr not in _PIECES:
        degree = ptr.diff().long()
        count = ((degree + PIECE - 1) // PIECE).clamp(min=1)
        row = torch.repeat_interleave(torch.arange(len(degree), device=ptr.device), count)
        number = torch.arange(len(row), device=ptr.device) - (count.cumsum(0) - count)[row]
        start = ptr[:-1].long()[row] + number * PIECE
        stop = torch.minimum(start + PIECE, ptr[1:].long()[row])
        long = (count > 1).nonzero()[:, 0]
        last = count[long].cumsum(0)
        in_parts = count[row] > 1
        slot = in_parts.long().cumsum(0) - 1
        out_row = torch.where(in_parts, -1 - slot, row)
        whole = (start, stop, out_row, long, last - count[long], last)
        _PIECES[ptr] = Pieces(*(t.to(torch.int32) for t in whole))
    pieces: Pieces = _PIECES[ptr]
    return pieces


def segment_sum(table: Tensor, ptr: Tensor, idx: Tensor, weight: Tensor | None, scratch: Scratch, name: str) -> Tensor:
    """See `segment_sum` of the package."""
    if table.dtype == torch.float64:
        return reference.segment_sum(table, ptr, idx, weight, scratch, name)
    pieces, h, table = pieces_of(ptr), table.shape[1], table.contiguous()
    out = scratch.take(name, table, ptr.numel() - 1, h)
    num_parts = len(pieces.start) - len(out) + len(pieces.long_row)
    parts = scratch.take("pieces", table, num_parts, h, dtype=torch.float32)
    width = width_of(h)
    sum_pieces[(len(pieces.start),)](
        table, pieces.start, pieces.stop, pieces.out_row, idx, table if weight is None else weight, out, parts, h,
        WEIGHTED=weight is not None, WIDTH=width, **NARROW,
    )  # fmt: skip
    if len(pieces.long_row):
        sum_parts[(len(pieces.long_row),)](
            parts, pieces.long_row, pieces.first, pieces.last, out, h, WIDTH=width, **NARROW
        )
    return out


def chunk_sums(x: Tensor, scratch: Scratch, name: str) -> Tensor:
    """See `reference.chunk_sums`."""
    if x.dtype == torch.float64:
        return reference.chunk_sums(x, scratch, name)
    n, h = x.shape
    out = scratch.take(name, x, -(-n // reference.CHUNK), h)
    sum_chunk[(len(out),)](x.contiguous(), out, n, h, CHUNK=reference.CHUNK, WIDTH=width_of(h), **NARROW)
    return out
