"""What a model is compared with, none of which needs a network: RUDY, straight or on a line, and the nearest gcell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from circuit_io.errors import InputError
from circuit_io.fields import GCELL_FEATURES, column
from circuit_io.graph import CircuitGraph
from gsr_plugin.dataset import Entry, Loader
from gsr_plugin.normaliser import Normaliser

NEAREST_CELLS = 20_000  # of the training set, drawn with the same number from each design
_BLOCK = 1024  # gcells whose distances are computed at once: 1024 x 20,000 floats are 82 MB

Pair = tuple[Float32[np.ndarray, "ny nx"], Float32[np.ndarray, "ny nx"]]


def rudy_maps(graph: CircuitGraph) -> Pair:
    """RUDY on gcell boxes over capacity, per edge, from the graph's features."""
    h, v = (
        graph.gcell_features[:, column(GCELL_FEATURES, name)].reshape(graph.ny, graph.nx)
        for name in ("rudy_h", "rudy_v")
    )
    return h, v


@dataclass(frozen=True)
class RudyLine:
    """The least-squares line from RUDY to congestion, each placement with the same weight.

    Attributes:
        sums: for each family the normal equations of its placements, as a matrix of (1, RUDY, congestion) products.
    """

    sums: dict[str, Float64[np.ndarray, "2 3"]]

    @classmethod
    def fit(cls, entries: Sequence[Entry], load: Loader) -> "RudyLine":
        """Sum up the labelled placements."""
        sums: dict[str, Float64[np.ndarray, "2 3"]] = {}
        for entry in entries:
            sample = load(entry)
            truth = np.concatenate([sample.labels.congestion_h.ravel(), sample.labels.congestion_v.ravel()])
            rudy = np.concatenate([m.ravel() for m in rudy_maps(sample.graph)])
            seen = np.isfinite(truth)
            x = np.stack([np.ones(int(seen.sum())), rudy[seen], truth[seen]])
            sums[entry.family] = sums.get(entry.family, 0.0) + x[:2] @ x.T / max(1, seen.sum())
        return cls(sums)

    def line(self, family: str) -> tuple[float, float]:
        """Offset and slope over the other families; over `family` itself when there is no other."""
        others = [s for f, s in self.sums.items() if f != family] or list(self.sums.values())
        total = np.sum(others, axis=0)
        offset, slope = np.linalg.lstsq(total[:, :2], total[:, 2], rcond=None)[0]
        return float(offset), float(slope)

    def predict(self, graph: CircuitGraph, entry: Entry) -> Pair:
        """RUDY brought to the scale of congestion."""
        offset, slope = self.line(entry.family)
        h, v = rudy_maps(graph)
        return offset + slope * h, offset + slope * v


@dataclass(frozen=True)
class NearestCell:
    """A sample of the training set's gcells: their normalised features, congestion (H, V), and family."""

    normaliser: Normaliser
    features: Float32[np.ndarray, "cells fields"]
    congestion: Float32[np.ndarray, "cells 2"]
    family: np.ndarray

    @classmethod
    def fit(cls, entries: Sequence[Entry], load: Loader, normaliser: Normaliser) -> "NearestCell":
        """Draw at most `NEAREST_CELLS` gcells, the same number from each placement, seed 0.

        Raises:
            InputError: there is no gcell with both labels.
        """
        rng = np.random.default_rng(0)
        share = math.ceil(NEAREST_CELLS / max(1, len(entries)))
        features, congestion, family = [], [], []
        for entry in entries:
            sample = load(entry)
            truth = np.stack([sample.labels.congestion_h.ravel(), sample.labels.congestion_v.ravel()], axis=1)
            whole = np.flatnonzero(np.isfinite(truth).all(axis=1))
            picked = np.sort(rng.choice(whole, min(share, len(whole)), replace=False))
            features.append(normaliser.features(sample.graph)["gcell"][picked])
            congestion.append(truth[picked])
            family += [entry.family] * len(picked)
        if not family:
            raise InputError("no gcell of the training set has a label")
        return cls(normaliser, np.concatenate(features), np.concatenate(congestion), np.asarray(family))

    def predict(self, graph: CircuitGraph, entry: Entry) -> Pair:
        """Congestion of the most similar gcell of another family, for each gcell."""
        others = self.family != entry.family
        known = self.features[others].astype(np.float32)
        if not len(known):
            raise InputError("the training set holds this placement's family alone", path=entry.path)
        norms: Float32[np.ndarray, " cells"] = np.square(known).sum(axis=1)
        mine = self.normaliser.features(graph)["gcell"].astype(np.float32)
        best = np.concatenate(
            [np.argmin(norms - 2 * mine[i : i + _BLOCK] @ known.T, axis=1) for i in range(0, len(mine), _BLOCK)]
        )
        found = self.congestion[others][best].reshape(graph.ny, graph.nx, 2)
        return found[:, :, 0], found[:, :, 1]
