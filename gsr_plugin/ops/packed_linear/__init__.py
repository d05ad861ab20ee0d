"""Packed rows times a dense matrix: `out = S W`, S the rows whose k kept entries are (values, index).

The factors may be bfloat16; sums and gradients are of the dtype of `out` and `grad`.
"""

from types import ModuleType

from jaxtyping import Float, Integer
from torch import Tensor

from gsr_plugin.ops.backend import has_triton, pick
from gsr_plugin.ops.packed_linear import aten, reference

__all__ = ["packed_linear", "packed_linear_adjoint"]

_BACKENDS: dict[str, ModuleType] = {"reference": reference, "aten": aten}
if has_triton():
    from gsr_plugin.ops.packed_linear import triton

    _BACKENDS["triton"] = triton


def packed_linear(
    values: Float[Tensor, "n k"],
    index: Integer[Tensor, "n k"],
    weight: Float[Tensor, "h m"],
    *,
    out: Float[Tensor, "n m"],
) -> None:
    """Writes `S W` to `out`."""
    pick(_BACKENDS, values.device).packed_linear(values, index, weight, out)


def packed_linear_adjoint(
    values: Float[Tensor, "n k"],
    index: Integer[Tensor, "n k"],
    weight: Float[Tensor, "h m"],
    grad: Float[Tensor, "n m"],
    *,
    dweight: Float[Tensor, "h m"],
) -> Float[Tensor, "n k"]:
    """Gradient of the kept values, and `S^T grad` written to `dweight`."""
    dvalues: Tensor = pick(_BACKENDS, values.device).packed_linear_adjoint(values, index, weight, grad, dweight)
    return dvalues
