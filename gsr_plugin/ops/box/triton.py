"""CUDA: running sums by two own scans, since a library's float scan may change its bits from run to run."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from gsr_plugin.ops.box import reference
from gsr_plugin.ops.tiles import NARROW

COLUMNS = 64


@triton.jit
@no_type_check
def scan(grid, steps, step, lanes, other, COLUMNS: tl.constexpr):
    """Running sum of `steps` rows that lie `step` apart, for `COLUMNS` lanes of one row of the other axis."""
    base = grid + tl.program_id(0).to(tl.int64) * other
    lane = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = lane < lanes
    at = base + lane
    total = tl.load(at, mask=inside, other=0.0)
    for _ in range(1, steps):
        at += step
        total = total + tl.load(at, mask=inside, other=0.0)
        tl.store(at, total, mask=inside)


def running_sums_(grid: Tensor) -> None:
    """See the package."""
    if grid.dtype != torch.float32 or not grid.is_contiguous():
        reference.running_sums_(grid)
        return
    ny, nx, h = grid.shape
    # along y every column of the row scans on its own; along x the channels of a row
    scan[(1, -(-nx * h // COLUMNS))](grid, ny, nx * h, nx * h, 0, COLUMNS=COLUMNS, **NARROW)
    scan[(ny, -(-h // COLUMNS))](grid, nx, h, h, nx * h, COLUMNS=COLUMNS, **NARROW)
