"""CUDA: norm, exact selection and packing in one pass over a tile of rows; the reference's bits for the selection.

The k-th largest key of a row is found bit by bit from the top, by counting; entries above it are kept, and of those
equal to it the first ones. A tile never crosses from one run of the norm to the next. A row that holds a value that is
not a number is packed as NaN and so reaches the record of the stream: asking here would wait for the device.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from gsr_plugin.ops.scratch import Scratch
from gsr_plugin.ops.segment import column_sum
from gsr_plugin.ops.tiles import NARROW, row_sum, rows_of, to_bf16, width_of
from gsr_plugin.ops.topk import reference

if TYPE_CHECKING:
    from gsr_plugin.ops.topk import Packed, RowNorm, Selection

MAX_RUNS = 3


@triton.jit
@no_type_check
def tile_rows(b1, b2, n, t1, t2, ROWS: tl.constexpr):
    """Rows of this program's tile, which of them are in its run, and the run."""
    tile = tl.program_id(0)
    run = (tile >= t1).to(tl.int32) + (tile >= t2).to(tl.int32)
    start = tl.where(run == 0, tile * ROWS, tl.where(run == 1, b1 + (tile - t1) * ROWS, b2 + (tile - t2) * ROWS))
    stop = tl.where(run == 0, b1, tl.where(run == 1, b2, n))
    row = start + tl.arange(0, ROWS)
    return row.to(tl.int64), row < stop, run


@triton.jit
@no_type_check
def normed(x, inside, gamma, beta, over_h, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Norm(x), mean and 1 / sqrt(var + eps), each step one IEEE operation."""
    mean = row_sum(x, ROWS, WIDTH) * over_h
    centred = tl.where(inside, x - mean[:, None], 0.0)
    var = row_sum(centred * centred, ROWS, WIDTH) * over_h
    rstd = tl.div_rn(1.0, tl.sqrt_rn(var + 1e-5))
    return centred * rstd[:, None] * gamma[None, :] + beta[None, :], mean, rstd


@triton.jit
@no_type_check
def select(x, gamma, beta, values, index, mean, rstd, n, h, over_h, b1, b2, t1, t2,
           K: tl.constexpr, NORM: tl.constexpr, MAGNITUDE: tl.constexpr, RELU: tl.constexpr, CHOSEN: tl.constexpr,
           ROWS: tl.constexpr, WIDTH: tl.constexpr):  # fmt: skip
    """Packs a tile of rows; with `CHOSEN` the columns in `index` are taken, not chosen."""
    row, there, run = tile_rows(b1, b2, n, t1, t2, ROWS)
    column = tl.arange(0, WIDTH)
    inside = there[:, None] & (column < h)[None, :]
    u = tl.load(x + row[:, None] * h + column[None, :], mask=inside, other=0.0)
    if NORM:
        g = tl.load(gamma + run * h + column, mask=column < h, other=0.0)
        b = tl.load(beta + run * h + column, mask=column < h, other=0.0)
        u, m, r = normed(u, inside, g, b, over_h, ROWS, WIDTH)
        tl.store(mean + row, m, mask=there)
        tl.store(rstd + row, r, mask=there)
    nan = tl.max((inside & (u != u)).to(tl.int32), axis=1)
    u = tl.where(nan[:, None] > 0, float("nan"), u)
    kept = tl.where(u <= 0.0, 0.0, u) if RELU else u
    if CHOSEN:
        for j in range(K):
            chosen = tl.load(index + row * K + j, mask=there, other=0).to(tl.int32)
            value = tl.sum(tl.where(column[None, :] == chosen[:, None], kept, 0.0), axis=1)
            value = tl.where(nan > 0, float("nan"), value)
            value = to_bf16(value) if values.dtype.element_ty == tl.bfloat16 else value
            tl.store(values + row * K + j, value, mask=there)
    else:
        score = tl.abs(u) if MAGNITUDE else u + 0.0  # -0.0 + 0.0 is +0.0
        bits = score.to(tl.uint32, bitcast=True)
        key = tl.where(bits >> 31 == 0, bits | 0x80000000, ~bits)  # rises with the value; never 0
        key = tl.where(nan[:, None] > 0, 1, key)
        key = tl.where(inside, key, 0)
        kth = tl.zeros((ROWS,), dtype=tl.uint32)
        for i in range(32):
            higher = kth | (tl.full((ROWS,), 1, dtype=tl.uint32) << (31 - i))
            enough = tl.sum((key >= higher[:, None]).to(tl.int32), axis=1) >= K
            kth = tl.where(enough, higher, kth)
        above = (key > kth[:, None]).to(tl.int32)
        equal = (key == kth[:, None]).to(tl.int32)
        first = tl.cumsum(equal, axis=1) <= K - tl.sum(above, axis=1)[:, None]
        keep = (above > 0) | ((equal > 0) & first)
        place = tl.cumsum(keep.to(tl.int32), axis=1) - 1
        at = row[:, None] * K + place
        kept = to_bf16(kept) if values.dtype.element_ty == tl.bfloat16 else kept
        tl.store(values + at, kept, mask=keep & inside)
        columns = tl.broadcast_to(column[None, :], (ROWS, WIDTH))
        tl.store(index + at, columns.to(index.dtype.element_ty), mask=keep & inside)


@triton.jit
@no_type_check
def norm_adjoint(e, x, gamma, mean, rstd, dvalues, index, dgammas, dbetas, n, h, over_h, b1, b2, t1, t2,
                 K: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):  # fmt: skip
    """Adds the gradient of a tile of x to `e`; its sums of du * xhat and of du to the tile's row of the parts."""
    row, there, run = tile_rows(b1, b2, n, t1, t2, ROWS)
    column = tl.arange(0, WIDTH)
    inside = there[:, None] & (column < h)[None, :]
    at = row[:, None] * h + column[None, :]
    r = tl.load(rstd + row, mask=there, other=0.0)
    m = tl.load(mean + row, mask=there, other=0.0)
    xhat = tl.where(inside, (tl.load(x + at, mask=inside, other=0.0) - m[:, None]) * r[:, None], 0.0)
    du = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for j in range(K):
        kept = tl.load(index + row * K + j, mask=there, other=0).to(tl.int32)
        d = tl.load(dvalues + row * K + j, mask=there, other=0.0)
        du = tl.where(column[None, :] == kept[:, None], d[:, None], du)
    part = tl.program_id(0).to(tl.int64) * h + column
    tl.store(dgammas + part, tl.sum(du * xhat, axis=0), mask=column < h)
    tl.store(dbetas + part, tl.sum(du, axis=0), mask=column < h)
    d = du * tl.load(gamma + run * h + column, mask=column < h, other=0.0)[None, :]
    c1 = row_sum(d, ROWS, WIDTH) * over_h
    c2 = row_sum(d * xhat, ROWS, WIDTH) * over_h
    d = (d - c1[:, None] - xhat * c2[:, None]) * r[:, None]
    tl.store(e + at, tl.load(e + at, mask=inside, other=0.0) + d, mask=inside)


def _tiles(bounds: Sequence[int], rows: int) -> tuple[list[int], tuple[int, ...]]:
    """Tiles of every run, and the bounds as the kernels take them: b1, b2, and the first tiles of runs 1 and 2."""
    if len(bounds) > MAX_RUNS + 1:
        raise ValueError(f"{len(bounds) - 1} runs of rows: the Triton kernels take {MAX_RUNS} at most")
    b = [*bounds, *[bounds[-1]] * (MAX_RUNS + 1 - len(bounds))]
    tiles = [-(-(stop - start) // rows) for start, stop in pairwise(b)]
    return tiles[: len(bounds) - 1], (b[1], b[2], tiles[0], tiles[0] + tiles[1])


def norm_topk(x: Tensor, select: "Selection", norm: "RowNorm | None", out: "Packed") -> bool:
    """See `reference.norm_topk`; a row that is not finite becomes NaN, the answer is always True."""
    if x.dtype != torch.float32:
        return reference.norm_topk(x, select, norm, out)
    _run(x, select, norm, out, chosen=False)
    return True


def repack(
    x: Tensor, index: Tensor, select: "Selection", norm: "RowNorm | None", scratch: Scratch
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """See `reference.repack`."""
    from gsr_plugin.ops.topk import Packed

    if x.dtype != torch.float32:
        return reference.repack(x, index, select, norm, scratch)
    mean, rstd = (None, None) if norm is None else (scratch.take(m, x, len(x)) for m in ("mean", "rstd"))
    values = scratch.take("kept", x, *index.shape, dtype=select.dtype(x.dtype))
    out = Packed(values, index.contiguous(), mean, rstd)
    _run(x, select, norm, out, chosen=True)
    return out.values, out.mean, out.rstd


def _run(x: Tensor, selection: "Selection", norm: "RowNorm | None", out: "Packed", *, chosen: bool) -> None:
    n, h = x.shape
    width = width_of(h)
    tiles, bounds = _tiles((0, n) if norm is None else norm.bounds, rows_of(width))
    if not sum(tiles):
        return
    x = x.contiguous()
    gamma, beta = (x, x) if norm is None else (norm.gamma.contiguous(), norm.beta.contiguous())
    mean, rstd = (x, x) if out.mean is None or out.rstd is None else (out.mean, out.rstd)
    select[(sum(tiles),)](
        x, gamma, beta, out.values, out.index, mean, rstd, n, h, 1.0 / h, *bounds,
        K=selection.k, NORM=norm is not None, MAGNITUDE=selection.magnitude, RELU=selection.relu, CHOSEN=chosen,
        ROWS=rows_of(width), WIDTH=width, **NARROW,
    )  # fmt: skip


def norm_adjoint_(
    e: Tensor, x: Tensor, packed: "Packed", dvalues: Tensor, norm: "RowNorm", scratch: Scratch
) -> tuple[Tensor, Tensor]:
    """See `reference.norm_adjoint_`."""
    if x.dtype != torch.float32 or not e.is_contiguous():
        return reference.norm_adjoint_(e, x, packed, dvalues, norm, scratch)
    assert packed.mean is not None
    assert packed.rstd is not None
    n, h = x.shape
    width = width_of(h)
    tiles, bounds = _tiles(norm.bounds, rows_of(width))
    parts = scratch.take("norm parts", x, 2, sum(tiles), h)
    if sum(tiles):
        norm_adjoint[(sum(tiles),)](
            e, x.contiguous(), norm.gamma.contiguous(), packed.mean, packed.rstd, dvalues.contiguous(), packed.index,
            parts[0], parts[1], n, h, 1.0 / h, *bounds,
            K=packed.index.shape[1], ROWS=rows_of(width), WIDTH=width, **NARROW,
        )  # fmt: skip
    grads = scratch.take("norm gradient", x, 2, len(tiles), h)
    for side, grad in zip(parts, grads, strict=True):
        for i, part in enumerate(torch.split(side, tiles)):
            grad[i] = column_sum(part, scratch)
    return grads[0], grads[1]
