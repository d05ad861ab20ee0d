"""The probability that an edge overflows, weighed from the two that the network gives.

They are its head's, and that of its mean and sigma, `P(X > 1)` of a normal variable.

The head learns from all edges and tells designs apart, mean and sigma tell the edges of a design apart. The log odds of
both are weighed on families that the predicting model has not seen; docs/prediction.md says what that is worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64

from gsr_plugin.edge_weights import edge_weights

MOST_ODDS = 16.0  # log odds are cut here: a probability in float32 holds no more
GROUPS = 5  # of families, each judged by weights of the others
MOST_EDGES = 1_000  # of a placement and direction that are weighed
_LEAST_SIGMA = 1e-6
_RIDGE = 1e-4  # holds the weights where labels tell nothing


Map = Float32[np.ndarray, "ny nx"]


@dataclass(frozen=True)
class Blend:
    """Weights of the log odds of the head and of the normal variable, and what is added; the head alone by default."""

    head: float = 1.0
    normal: float = 0.0
    offset: float = 0.0

    def prob(self, head: Map, mean: Map, sigma: Map) -> Map:
        """The probability of overflow of every edge, NaN where no edge is.

        Args:
            head: what the head says.
            mean: congestion, 1 is full.
            sigma: its deviation, calibrated.
        """
        if self == Blend():
            return head
        odds = _odds(head, mean, sigma) @ (self.head, self.normal) + self.offset
        return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


@dataclass(frozen=True)
class Edges:
    """Edges of one placement and direction: what was predicted, sigma not calibrated, and whether they overflow."""

    family: str
    design: tuple[str, str, str]
    is_over: Bool[np.ndarray, " edges"]
    head: Float32[np.ndarray, " edges"]
    mean: Float32[np.ndarray, " edges"]
    sigma: Float32[np.ndarray, " edges"]

    @classmethod
    def of(cls, family: str, design: tuple[str, str, str], truth: Map, head: Map, mean: Map, sigma: Map) -> "Edges":
        """Those that `truth`, the congestion of labels, does not mask; of more than `MOST_EDGES` so many, evenly."""
        at = np.flatnonzero(np.isfinite(truth))
        at = at[:: len(at) // MOST_EDGES + 1]
        return cls(family, design, truth.ravel()[at] > 1, *(values.ravel()[at] for values in (head, mean, sigma)))


@dataclass(frozen=True)
class Fitted:
    """Weights of all families, and the cross entropy on families whose weights are of others: by the head, blended."""

    blend: Blend
    cross_entropy_head: float
    cross_entropy: float


@dataclass(frozen=True)
class _Odds:
    family: str
    design: tuple[str, str, str]
    odds: Float64[np.ndarray, "edges 2"]
    is_over: Bool[np.ndarray, " edges"]

    @property
    def num_edges(self) -> int:
        return len(self.is_over)


def fit(edges: Sequence[Edges], sigma_scale: float = 1.0, *, before: Blend = Blend()) -> Fitted:
    """The weights of least cross entropy, of two families or more; the head alone where it tells others better.

    Those of `before` stay where fewer than two families overflow anywhere: what fits them best says that nothing does.
    """
    told = [
        _Odds(e.family, e.design, _odds(e.head, e.mean, e.sigma * np.float32(sigma_scale)), e.is_over)
        for e in edges
        if len(e.is_over)  # a grid of one row has none above
    ]
    families = sorted({e.family for e in told})
    if len({e.family for e in told if e.is_over.any()}) < 2:
        return Fitted(before, _cross_entropy(told, Blend()), _cross_entropy(told, before))
    of_head, of_blend = [], []
    for group in range(min(GROUPS, len(families))):
        mine = set(families[group::GROUPS])
        blend = _least([e for e in told if e.family not in mine])
        for family in sorted(mine):
            held = [e for e in told if e.family == family]
            of_head.append(_cross_entropy(held, Blend()))
            of_blend.append(_cross_entropy(held, blend))
    head, blended = float(np.mean(of_head)), float(np.mean(of_blend))
    return Fitted(_least(told) if blended < head else Blend(), head, min(blended, head))


def _odds(head: np.ndarray, mean: np.ndarray, sigma: np.ndarray) -> Float64[np.ndarray, "... 2"]:
    p = torch.from_numpy(head.astype(np.float64))
    z = torch.from_numpy((mean.astype(np.float64) - 1) / np.maximum(sigma, _LEAST_SIGMA))
    pair = torch.stack([torch.logit(p), torch.special.log_ndtr(z) - torch.special.log_ndtr(-z)], -1)
    return np.asarray(pair.clamp(-MOST_ODDS, MOST_ODDS).numpy())


def _columns(edges: Sequence[_Odds]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log odds and 1, whether they overflow, and weights, 1 together."""
    weight, odds = edge_weights(edges), np.concatenate([e.odds for e in edges])
    x = np.concatenate([odds, np.ones((len(odds), 1))], axis=1)
    return x, np.concatenate([e.is_over for e in edges]).astype(np.float64), weight / weight.sum()


def _cross_entropy(edges: Sequence[_Odds], blend: Blend) -> float:
    x, y, weight = _columns(edges)
    u = x @ (blend.head, blend.normal, blend.offset)
    return float(weight @ (np.logaddexp(0, u) - y * u))


def _least(edges: Sequence[_Odds]) -> Blend:
    """The weights of least cross entropy, none below 0 so that more congestion never makes overflow less likely."""
    from scipy import optimize  # which no prediction waits for

    start = np.array([1.0, 0.0, 0.0])
    x, y, weight = _columns(edges)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        u = x @ w
        gap = w - start
        value = weight @ (np.logaddexp(0, u) - y * u) + _RIDGE * gap @ gap
        return float(value), x.T @ (weight * (1 / (1 + np.exp(-u)) - y)) + 2 * _RIDGE * gap

    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)])
    return Blend(*found.x.tolist())
