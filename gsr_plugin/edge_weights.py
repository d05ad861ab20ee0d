"""What an edge counts where families, their designs, those' placements and their edges count alike."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64


@runtime_checkable
class OfPlacement(Protocol):
    """Some of the edges of a placement."""

    @property
    def family(self) -> str:
        """Designs that share RTL have one."""

    @property
    def design(self) -> tuple[str, str, str]:
        """What the variants of one design share."""

    @property
    def num_edges(self) -> int:
        """How many edges."""


def edge_weights(placements: Sequence[OfPlacement]) -> Float64[np.ndarray, " edges"]:
    """Weight of every edge, those of a family 1 together, shared alike by designs, by placements, and by edges."""
    designs: dict[str, dict[tuple[str, str, str], int]] = {}
    for p in placements:
        of = designs.setdefault(p.family, {})
        of[p.design] = of.get(p.design, 0) + 1
    shares = [1 / (len(designs[p.family]) * designs[p.family][p.design] * p.num_edges) for p in placements]
    return np.concatenate([np.full(p.num_edges, share) for p, share in zip(placements, shares, strict=True)])
