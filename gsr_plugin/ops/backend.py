"""Which implementation of an operator runs."""

import os
from collections.abc import Mapping
from typing import TypeVar

import torch

from circuit_io.errors import GsrError, did_you_mean

T = TypeVar("T")

_BY_DEVICE = {"cpu": "cpu"}


def pick(backends: Mapping[str, T], device: torch.device) -> T:
    """The entry of `backends` for tensors on `device`: GSR_BACKEND, else the device's own, else the reference.

    Raises:
        GsrError: GSR_BACKEND names a backend that the operator does not have.
    """
    asked = os.environ.get("GSR_BACKEND", "")
    if not asked:
        return backends.get(_BY_DEVICE.get(device.type, ""), backends["reference"])
    if asked not in backends:
        raise GsrError(f'GSR_BACKEND="{asked}" is not a backend of this operator\n  {did_you_mean(asked, backends)}')
    return backends[asked]
