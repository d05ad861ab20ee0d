"""CUDA: rows gathered from W forward; gradients of the values sampled at the kept columns; the gradient of W by fixed
chunks of rows, added up in their order. No atomics.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from gsr_plugin.ops.packed_linear import reference
from gsr_plugin.ops.segment import column_sum
from gsr_plugin.ops.tiles import LAUNCH, width_of

ROWS = 16
COLUMNS = 64
MAX_SOURCES = 32  # rows of W per tile of its gradient: more would spill registers
CHUNK = 4096  # rows per partial gradient of W: fixed, so that bits are


@triton.jit
@no_type_check
def product(values, index, weight, out, n, m, K: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """A tile of `S W`: for every kept entry of a row, a row of W."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there, wide = row < n, column < m
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for j in range(K):
        value = tl.load(values + row * K + j, mask=there, other=0.0).to(tl.float32)
        source = tl.load(index + row * K + j, mask=there, other=0).to(tl.int64)
        w = tl.load(weight + source[:, None] * m + column[None, :], mask=there[:, None] & wide[None, :], other=0.0)
        total = total + value[:, None] * w.to(tl.float32)
    at = row[:, None] * m + column[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=there[:, None] & wide[None, :])


@triton.jit
@no_type_check
def product_values(index, weight, grad, dvalues, n, m, K: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Gradient of one kept entry of every row of a tile: its row of W times the row of the gradient."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    there = row < n
    at = row * K + tl.program_id(1)
    source = tl.load(index + at, mask=there, other=0).to(tl.int64)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, m, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        inside = there[:, None] & (column < m)[None, :]
        w = tl.load(weight + source[:, None] * m + column[None, :], mask=inside, other=0.0).to(tl.float32)
        g = tl.load(grad + row[:, None] * m + column[None, :], mask=inside, other=0.0).to(tl.float32)
        total = total + w * g
    tl.store(dvalues + at, tl.sum(total, axis=1).to(dvalues.dtype.element_ty), mask=there)


@triton.jit
@no_type_check
def product_weight(values, index, grad, parts, n, h, m, K: tl.constexpr, SOURCES: tl.constexpr,
                   ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHUNK: tl.constexpr):  # fmt: skip
    """A tile of `S^T grad` over one chunk of rows: tiles of S made dense, then products in full precision."""
    chunk = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    source = tl.program_id(2) * SOURCES + tl.arange(0, SOURCES)
    total = tl.zeros((SOURCES, COLUMNS), dtype=tl.float32)
    first = chunk.to(tl.int64) * CHUNK
    for start in range(0, tl.minimum(CHUNK, n - chunk * CHUNK), ROWS):
        row = first + start + tl.arange(0, ROWS)
        there = row < n
        dense = tl.zeros((SOURCES, ROWS), dtype=tl.float32)
        for j in range(K):
            value = tl.load(values + row * K + j, mask=there, other=0.0).to(tl.float32)
            kept = tl.load(index + row * K + j, mask=there, other=0).to(tl.int32)
            dense = tl.where(source[:, None] == kept[None, :], value[None, :], dense)
        inside = there[:, None] & (column < m)[None, :]
        g = tl.load(grad + row[:, None] * m + column[None, :], mask=inside, other=0.0).to(tl.float32)
        total = tl.dot(dense, g, acc=total, input_precision="ieee")
    at = (chunk.to(tl.int64) * h + source[:, None]) * m + column[None, :]
    tl.store(parts + at, total, mask=(source < h)[:, None] & (column < m)[None, :])


def packed_linear(values: Tensor, index: Tensor, weight: Tensor, out: Tensor) -> None:
    """See the package."""
    n, k = values.shape
    m = weight.shape[1]
    if out.dtype == torch.float64:
        reference.packed_linear(values, index, weight, out)
    elif n:
        grid = (-(-n // ROWS), -(-m // COLUMNS))
        args = (values.contiguous(), index.contiguous(), weight.contiguous(), out, n, m)
        product[grid](*args, K=k, ROWS=ROWS, COLUMNS=COLUMNS, **LAUNCH)


def packed_linear_adjoint(values: Tensor, index: Tensor, weight: Tensor, grad: Tensor, dweight: Tensor) -> Tensor:
    """See the package."""
    if grad.dtype == torch.float64:
        return reference.packed_linear_adjoint(values, index, weight, grad, dweight)
    (n, k), (h, m) = values.shape, weight.shape
    values, index, weight, grad = (t.contiguous() for t in (values, index, weight, grad))
    dvalues, chunks = torch.empty_like(values, dtype=grad.dtype), -(-n // CHUNK)
    if not n:
        dweight.zero_()
        return dvalues
    rows = -(-n // ROWS)
    product_values[(rows, k)](index, weight, grad, dvalues, n, m, K=k, ROWS=ROWS, COLUMNS=COLUMNS, **LAUNCH)
    parts = torch.empty(chunks, h * m, dtype=torch.float32, device=grad.device)
    sources = min(MAX_SOURCES, width_of(h))
    product_weight[(chunks, -(-m // COLUMNS), -(-h // sources))](
        values, index, grad, parts, n, h, m,
        K=k, SOURCES=sources, ROWS=ROWS, COLUMNS=COLUMNS, CHUNK=CHUNK, **LAUNCH,
    )  # fmt: skip
    dweight.copy_(column_sum(parts).view(h, m))
    return dvalues
