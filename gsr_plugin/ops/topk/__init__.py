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
from gsr_plugin.ops.backend import pick
from gsr_plugin.ops.topk import cpu, reference

__all__ = ["NotANumberError", "Packed", "Selection", "norm_topk", "norm_topk_adjoint_", "repack"]

_BACKENDS: dict[str, ModuleType] = {"reference": reference, "cpu": cpu}
MAX_WIDTH = 32767  # indices above one byte are int16


class NotANumberError(GsrError):
    """A value that is not a number reached an operator."""

    exit_code = 1


@dataclass(frozen=True)
class Selection:
    """What is kept: `k` entries a row; by magnitude; clamped at 0 afterwards."""

    k: int
    magnitude: bool = False
    relu: bool = False


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
    x: Float[Tensor, "n h"],
    select: Selection,
    *,
    gamma: Float[Tensor, " h"] | None = None,
    beta: Float[Tensor, " h"] | None = None,
) -> Packed:
    """The k largest entries of each row of LayerNorm(x), or of x itself when `gamma` is None.

    Raises:
        NotANumberError: a row has no order; the message names the row.
        ValueError: k is not in 1..h.
    """
    n, h = x.shape
    if not 1 <= select.k <= h <= MAX_WIDTH:
        raise ValueError(f"k = {select.k} of h = {h} columns: k must be in 1..h, h at most {MAX_WIDTH}")
    packed = pick(_BACKENDS, x.device).norm_topk(x, select.k, gamma, beta, select.magnitude, select.relu)
    if packed is None:
        bad = int((~torch.isfinite(x).all(1)).nonzero()[0]) if n else 0
        raise NotANumberError(f"row {bad} of {n} rows is not finite: top-k has no order on it")
    values, index, mean, rstd = packed
    return Packed(values, index, mean, rstd)


def repack(
    x: Float[Tensor, "n h"],
    index: Integer[Tensor, "n k"],
    select: Selection,
    *,
    gamma: Float[Tensor, " h"] | None = None,
    beta: Float[Tensor, " h"] | None = None,
) -> Packed:
    """What `norm_topk` gave when it chose `index`, bit for bit, without choosing again."""
    values, mean, rstd = pick(_BACKENDS, x.device).repack(x, index, gamma, beta, select.relu)
    return Packed(values, index, mean, rstd)


def norm_topk_adjoint_(
    e: Float[Tensor, "n h"],
    x: Float[Tensor, "n h"],
    packed: Packed,
    dvalues: Float[Tensor, "n k"],
    select: Selection,
    *,
    gamma: Float[Tensor, " h"] | None = None,
) -> tuple[Float[Tensor, " h"], Float[Tensor, " h"]] | None:
    """Adds the gradient of `x` to `e`; gives those of gamma and beta (None without a norm).

    The selection is held fixed. `dvalues` is changed when `relu` is set.
    """
    if select.relu:
        dvalues.masked_fill_(packed.values <= 0, 0.0)
    backend = pick(_BACKENDS, x.device)
    if gamma is None:
        backend.scatter_add_(e, packed.index, dvalues)
        return None
    grads: tuple[Tensor, Tensor] = backend.norm_adjoint_(e, x, packed, dvalues, gamma)
    return grads
