"""The residual update on a grid: `x += sign * R(f)`, R = round to 2^-t, and how large the stream became."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from gsr_plugin.ops import native
from gsr_plugin.ops.backend import has_triton, pick
from gsr_plugin.ops.residual import cpu, reference

__all__ = ["add_rounded_", "round_to_grid_"]

_BACKENDS: dict[str, Callable[..., None]] = {"reference": reference.add_rounded_}
if native.library() is not None:
    _BACKENDS["cpu"] = cpu.add_rounded_
if has_triton():
    from gsr_plugin.ops.residual import triton

    _BACKENDS["triton"] = triton.add_rounded_


def add_rounded_(
    x: Float[Tensor, "n h"],
    f: Float[Tensor, "n h"],
    *,
    sign: int,
    t: int | None,
    amax: Float[Tensor, ""] | None = None,
) -> None:
    """Adds (sign = 1) or takes away (-1) `f` rounded to 2^-t; no rounding when `t` is None. `f` is destroyed.

    `amax`, a scalar on the device, receives max |x| after the update (NaN if there is one): read once a step.
    """
    pick(_BACKENDS, x.device)(x, f, sign, t, amax)


def round_to_grid_(x: Tensor, t: int | None) -> Tensor:
    """`x`, rounded in place to multiples of 2^-t."""
    return x if t is None else x.mul_(2.0**t).round_().mul_(2.0**-t)
