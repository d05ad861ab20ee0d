"""The memory of a reversible stack: made once for the largest graph, changed in place by all layers and steps."""

import math

import torch
from torch import Tensor

from circuit_io.errors import GsrError


class StaleBackwardError(GsrError):
    """A backward whose activations are gone: it ran before, or its weights were changed since the forward."""

    exit_code = 1


class Arena:
    """Two streams, their gradients, and scratch by name: each one block of memory that only ever grows."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self._blocks: dict[tuple[str, torch.dtype], Tensor] = {}
        self._num_nodes, self._h = 0, 0

    def fit(self, num_nodes: int, h: int) -> "Arena":
        """Itself, for streams of this size."""
        self._num_nodes, self._h = num_nodes, h
        return self

    def capacity(self) -> int:
        """Values of the largest streams, or their gradients, that it was made for."""
        return max((self._blocks[key].numel() for key in self._blocks if key[0] in ("streams", "grads")), default=0)

    @property
    def streams(self) -> Tensor:
        """X1, X2 [2, N, h]."""
        return self._block("streams", (2, self._num_nodes, self._h), self.dtype)

    @property
    def grads(self) -> Tensor:
        """Gradients of the streams [2, N, h]."""
        return self._block("grads", (2, self._num_nodes, self._h), self.dtype)

    def give_gradient(self) -> Tensor:
        """The gradients side by side [N, 2h], in the memory of the streams, which goes with them: the peak stays."""
        n, h, grads = self._num_nodes, self._h, self.grads
        memory = self._blocks.pop(("streams", self.dtype))
        return memory[: 2 * n * h].view(n, 2, h).copy_(grads.transpose(0, 1)).view(n, 2 * h)

    def take(self, name: str, like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """The same memory for every call by this name and dtype; see `gsr_plugin.ops.scratch`."""
        return self._block(f"scratch {name}", shape, dtype or like.dtype)

    def _block(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        size, key = math.prod(shape), (name, dtype)
        if key not in self._blocks or self._blocks[key].numel() < size:
            self._blocks.pop(key, None)  # the old memory goes before the new is asked for
            self._blocks[key] = torch.empty(size, dtype=dtype, device=self.device)
        return self._blocks[key][:size].view(shape)


class Arenas:
    """Arenas that nobody owns; a forward takes one and its backward gives it back."""

    def __init__(self) -> None:
        self._free: list[Arena] = []

    def lease(self, num_nodes: int, h: int, dtype: torch.dtype, device: torch.device) -> "Lease":
        """The smallest free arena that is large enough, else the largest, which grows, else a new one."""
        free = [a for a in self._free if a.dtype == dtype and a.device == device]
        enough = [a for a in free if a.capacity() >= 2 * num_nodes * h]
        if enough:
            arena = min(enough, key=Arena.capacity)
        else:
            arena = max(free, key=Arena.capacity, default=Arena(dtype, device))
        if arena in self._free:
            self._free.remove(arena)
        return Lease(arena.fit(num_nodes, h), self._free)

    def __deepcopy__(self, memo: object) -> "Arenas":
        """A copy of a model starts without memory."""
        return Arenas()

    def clear(self) -> None:
        """Forget the free ones."""
        self._free.clear()


class Lease:
    """Sole use of an arena until `release`, or until nothing refers to the lease."""

    def __init__(self, arena: Arena, free: list[Arena]) -> None:
        self._arena: Arena | None = arena
        self._free = free

    @property
    def arena(self) -> Arena:
        """The arena.

        Raises:
            StaleBackwardError: it was given back.
        """
        if self._arena is None:
            raise StaleBackwardError(
                "this forward's activations are gone: its backward was run before\n"
                "  A reversible stack undoes its layers in the backward, so it can run only once; "
                "call the model again, or build it with reversible=False."
            )
        return self._arena

    def release(self) -> None:
        """Give the arena back."""
        if self._arena is not None:
            self._free.append(self._arena)
            self._arena = None

    def __del__(self) -> None:
        self.release()
