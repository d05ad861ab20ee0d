"""Memory for what operators give back: new for every call, or kept for the next one by who asks."""

from functools import lru_cache
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Scratch(Protocol):
    """Where operators take memory; fresh pages cost as much as the sums that fill them."""

    def take(self, name: str, like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """A tensor of this shape on the device of `like`, of its dtype or `dtype`; its contents are anything.

        It is the caller's until somebody takes the same name.
        """


class _Fresh:
    def take(self, name: str, like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        return like.new_empty(shape, dtype=dtype)


@lru_cache(maxsize=64)
def number(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A number as a tensor, made once: torch makes one, and asks for its memory, wherever a plain number is used."""
    return torch.tensor(value, dtype=dtype, device=device)


FRESH: Scratch = _Fresh()
"""New memory for every call."""
