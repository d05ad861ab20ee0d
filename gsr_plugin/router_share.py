"""The share of the embedded router's map in predicted congestion.

The network reads that map and improves it, but the two err apart, and the truth lies between them more often than
beyond. The share is that of least squared error on families that the predicting model has not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from circuit_io.fields import GCELL_FEATURES, column
from circuit_io.graph import CircuitGraph
from gsr_plugin.edge_weights import edge_weights

Map = Float32[np.ndarray, "ny nx"]
Maps = tuple[Map, Map]


@dataclass(frozen=True)
class Edges:
    """Edges of one placement, H and V together: what is true, and what network and router say."""

    family: str
    design: tuple[str, str, str]
    truth: Float64[np.ndarray, " edges"]
    network: Float64[np.ndarray, " edges"]
    router: Float64[np.ndarray, " edges"]

    @classmethod
    def of(cls, family: str, design: tuple[str, str, str], truth: Maps, network: Maps, router: Maps) -> "Edges":
        """Those that `truth`, the congestion of labels, does not mask."""
        seen = [np.isfinite(t) for t in truth]
        flat = (np.concatenate([m[s] for m, s in zip(of, seen, strict=True)]) for of in (truth, network, router))
        return cls(family, design, *(values.astype(np.float64) for values in flat))

    @property
    def num_edges(self) -> int:
        """How many."""
        return len(self.truth)


@dataclass(frozen=True)
class Fitted:
    """The share of all families, and mean squared errors on families whose share is of others: without it, with it."""

    share: float
    error_without: float
    error: float


def router_maps(graph: CircuitGraph) -> Maps | None:
    """What the router says of the edges to the right and above, 0 where no edge is; None where it was not asked."""
    features = graph.gcell_features
    if not (features[:, column(GCELL_FEATURES, "router_runs")] > 0).all():
        return None
    h, v = (features[:, column(GCELL_FEATURES, f"router_{d}")].reshape(graph.ny, graph.nx) for d in "hv")
    return h, v


def mixed(network: Maps, router: Maps | None, share: float) -> Maps:
    """Congestion of which `share` is the router's; that of the network where there is no router."""
    if router is None or not share:
        return network
    part = np.float32(share)
    h, v = ((1 - part) * mine + part * theirs for mine, theirs in zip(network, router, strict=True))
    return h, v


def fit(placements: Sequence[Edges]) -> Fitted:
    """The share of least squared error; 0 with fewer than two families, or where it does not help those of others."""
    families = sorted({p.family for p in placements})
    if len(families) < 2:
        return Fitted(0.0, 0.0, 0.0)
    without, with_share = [], []
    for family in families:
        held = [p for p in placements if p.family == family]
        without.append(_error(held, 0.0))
        with_share.append(_error(held, _least([p for p in placements if p.family != family])))
    before, after = float(np.mean(without)), float(np.mean(with_share))
    return Fitted(_least(placements), before, after) if after < before else Fitted(0.0, before, before)


def _least(placements: Sequence[Edges]) -> float:
    weight = edge_weights(placements)
    apart = np.concatenate([p.router - p.network for p in placements])
    missed = np.concatenate([p.truth - p.network for p in placements])
    square = float(weight @ np.square(apart))
    return float(np.clip(weight @ (apart * missed) / square, 0, 1)) if square > 0 else 0.0


def _error(placements: Sequence[Edges], share: float) -> float:
    weight = edge_weights(placements)
    missed = np.concatenate([(1 - share) * p.network + share * p.router - p.truth for p in placements])
    return float(weight @ np.square(missed) / weight.sum())
