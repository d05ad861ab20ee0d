"""The memory of a reversible stack: allocated once per graph size and width, changed in place by layers and steps."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from circuit_io.errors import GsrError


class StaleBackwardError(GsrError):
    """A backward whose activations are gone: it ran before, or its weights were changed since the forward."""

    exit_code = 1


@dataclass(eq=False)
class Arena:
    """Two streams, their gradients, and the table of products where the backend needs one.

    Attributes:
        streams: X1, X2 [2, N, h].
        num_rows: rows of the table.
    """

    streams: Tensor
    num_rows: int
    _grads: Tensor | None = field(default=None)
    _table: Tensor | None = field(default=None)

    def table(self) -> Tensor:
        """Memory for the products [rows, h]; made for the first that asks."""
        if self._table is None:
            self._table = self.streams.new_empty(self.num_rows, self.streams.shape[2])
        return self._table

    def grads(self) -> Tensor:
        """Gradients of the streams [2, N, h], set to 0."""
        if self._grads is None:
            self._grads = torch.empty_like(self.streams)
        return self._grads.zero_()


class Arenas:
    """Arenas that nobody owns, by size; a forward takes one and its backward gives it back."""

    def __init__(self) -> None:
        self._free: dict[tuple[int, int, int, torch.dtype, torch.device], list[Arena]] = {}

    def lease(self, num_nodes: int, num_rows: int, h: int, dtype: torch.dtype, device: torch.device) -> "Lease":
        """A free arena of this size, or a new one."""
        free = self._free.setdefault((num_nodes, num_rows, h, dtype, device), [])
        if free:
            return Lease(free.pop(), free)
        streams = torch.empty(2, num_nodes, h, dtype=dtype, device=device)
        return Lease(Arena(streams, num_rows), free)

    def __deepcopy__(self, memo: object) -> "Arenas":
        """A copy of a model starts without memory."""
        return Arenas()

    def clear(self) -> None:
        """Forget the free ones."""
        for free in self._free.values():
            free.clear()
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
