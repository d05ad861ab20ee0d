"""Which implementation of an operator runs.

    reference   plain torch, from the definition, any device
    aten        fast ATen operators; what the CPU runs where the C kernels were not built
    cpu         the C kernels of `gsr_plugin/csrc`, and `aten` for the rest
    triton      CUDA kernels; anywhere, slowly, in Triton's interpreter (TRITON_INTERPRET=1)

A backend that lacks an operator leaves it to the next one of its chain.
"""

import os
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import TypeVar

import torch

from circuit_io.errors import GsrError, did_you_mean

T = TypeVar("T")

_CHAIN = {
    "cpu": ("cpu", "aten", "reference"),
    "aten": ("aten", "reference"),
    "triton": ("triton", "reference"),
    "reference": ("reference",),
}
_BY_DEVICE = {"cpu": "cpu", "cuda": "triton"}


def interprets() -> bool:
    """Whether Triton's interpreter was asked for, which runs kernels on the CPU, slowly, for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def has_triton() -> bool:
    """Whether triton is installed and has anything to run on. (Importing it costs a second.)"""
    return find_spec("triton") is not None and (torch.cuda.is_available() or interprets())


def pick(backends: Mapping[str, T], device: torch.device) -> T:
    """The entry of `backends` for tensors on `device`: GSR_BACKEND, else the device's own, else the reference.

    Raises:
        GsrError: GSR_BACKEND names no backend, or one that does not run on the device.
    """
    asked = os.environ.get("GSR_BACKEND") or _BY_DEVICE.get(device.type, "reference")
    if asked not in _CHAIN:
        raise GsrError(f'GSR_BACKEND="{asked}" is not a backend\n  {did_you_mean(asked, _CHAIN)}')
    if asked == "triton" and not (has_triton() and (device.type == "cuda" or interprets())):
        mend = "Install triton, or set GSR_BACKEND=reference (slow)." if device.type == "cuda" else "Unset GSR_BACKEND."
        raise GsrError(f"the triton kernels cannot run on {device}\n  {mend}")
    if asked == "cpu" and device.type != "cpu":
        raise GsrError(f'GSR_BACKEND="cpu" cannot run on {device}\n  Unset it, or take "reference".')
    return next(backends[name] for name in _CHAIN[asked] if name in backends)
