"""Norm, group top-k and pack: the block's non-linearity, and its adjoint.

`u = Norm(x)`; of every row the k largest entries are kept, ties (and -0.0 = +0.0) to the lowest index, indices
ascending: values [n, k] and one-byte indices [n, k] (two bytes above h = 256), the CBSR form.
"""

from dataclasses import dataclass
from types import ModuleType

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from circuit_io.errors import GsrError
from gsr_plugin.ops import native
from gsr_plugin.ops.backend import has_triton, pick
from gsr_plugin.ops.scratch import FRESH, Scratch, number
from gsr_plugin.ops.topk import aten, cpu, reference

__all__ = [
    "NotANumberError",
    "Packed",
    "RowNorm",
    "Selection",
    "index_dtype",
    "norm_topk",
    "norm_topk_adjoint_",
    "repack",
]

_BACKENDS: dict[str, ModuleType] = {"reference": reference, "aten": aten}
if native.library() is not None:
    _BACKENDS["cpu"] = cpu
if has_triton():
    from gsr_plugin.ops.topk import triton

    _BACKENDS["triton"] = triton
MAX_WIDTH = 32767  # indices above one byte are int16


class NotANumberError(GsrError):
    """A value that is not a number reached an operator; `row` is its row."""

    exit_code = 1

    def __init__(self, what: str, *, row: int) -> None:
        super().__init__(what)
        self.row = row


@dataclass(frozen=True)
class Selection:
    """What is kept: `k` entries a row; by magnitude; clamped at 0 afterwards; rounded to bfloat16 after that.

    The choice is made before any rounding, which is to nearest, ties to even.
    """

    k: int
    magnitude: bool = False
    relu: bool = False
    bf16: bool = False

    def dtype(self, rows: torch.dtype) -> torch.dtype:
        """Of the kept values of such rows."""
        return torch.bfloat16 if self.bf16 else rows


@dataclass(frozen=True, eq=False)
class RowNorm:
    """LayerNorm with its own scale and shift for every run of rows: run `i` is rows `bounds[i]` to `bounds[i + 1]`."""

    gamma: Float[Tensor, "runs h"]
    beta: Float[Tensor, "runs h"]
    bounds: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Packed:
    """The kept entries of every row, and what the adjoint needs of the norm (None without one)."""

    values: Float[Tensor, "n k"]
    index: Integer[Tensor, "n k"]
    mean: Float[Tensor, " n"] | None
    rstd: Float[Tensor, " n"] | None


def index_dtype(h: int) -> torch.dtype:
    """One byte up to 256 columns, two above."""
    return torch.uint8 if h <= 256 else torch.int16


def norm_topk(
    x: Float[Tensor, "n h"], select: Selection, norm: RowNorm | None = None, *, scratch: Scratch = FRESH
) -> Packed:
    """The k largest entries of each row of Norm(x), or of x itself without a norm, in memory of `scratch`.

    Raises:
        NotANumberError: a row has no order.
        ValueError: k is not in 1..h.
    """
    n, h = x.shape
    if not 1 <= select.k <= h <= MAX_WIDTH:
        raise ValueError(f"k = {select.k} of h = {h} columns: k must be in 1..h, h at most {MAX_WIDTH}")
    packed = Packed(
        scratch.take("kept", x, n, select.k, dtype=select.dtype(x.dtype)),
        scratch.take("kept", x, n, select.k, dtype=index_dtype(h)),
        None if norm is None else scratch.take("mean", x, n),
        None if norm is None else scratch.take("rstd", x, n),
    )
    if not pick(_BACKENDS, x.device).norm_topk(x, select, norm, packed):
        row = int(reference.normed(x, norm)[0].isnan().any(1).nonzero()[0])
        raise NotANumberError(f"row {row} of {n} rows is not finite: top-k has no order on it", row=row)
    return packed


def repack(
    x: Float[Tensor, "n h"],
    index: Integer[Tensor, "n k"],
    select: Selection,
    norm: RowNorm | None = None,
    *,
    scratch: Scratch = FRESH,
) -> Packed:
    """What `norm_topk` gave when it chose `index`, bit for bit, without choosing again."""
    values, mean, rstd = pick(_BACKENDS, x.device).repack(x, index, select, norm, scratch)
    return Packed(values, index, mean, rstd)


def norm_topk_adjoint_(
    e: Float[Tensor, "n h"],
    x: Float[Tensor, "n h"],
    packed: Packed,
    dvalues: Float[Tensor, "n k"],
    select: Selection,
    norm: RowNorm | None = None,
    *,
    scratch: Scratch = FRESH,
) -> tuple[Float[Tensor, "runs h"], Float[Tensor, "runs h"]] | None:
    """Adds the gradient of `x` to `e`; gives those of gamma and beta (None without a norm).

    The selection is held fixed, and rounding has the derivative 1. `dvalues` is changed when `relu` is set.
    """
    if select.relu:
        clamped = scratch.take("clamped", dvalues, *dvalues.shape, dtype=torch.bool)
        zero = number(0.0, packed.values.dtype, dvalues.device)
        torch.le(packed.values, zero, out=clamped)
        dvalues.masked_fill_(clamped, number(0.0, dvalues.dtype, dvalues.device))
    backend = pick(_BACKENDS, x.device)
    if norm is None:
        e.scatter_add_(1, packed.index.long(), dvalues)
        return None
    grads: tuple[Tensor, Tensor] = backend.norm_adjoint_(e, x, packed, dvalues, norm, scratch)
    return grads
