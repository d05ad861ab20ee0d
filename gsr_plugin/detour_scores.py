"""How good predicted lengths of nets are, with what needs no learning beside: the shortest length, and constants.

Per placement over the nets that leave their gcell, then placements of a design, designs, families; the placements that
overflow also alone, since elsewhere nearly every net is as short as it can be.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from circuit_io.fields import NET_FEATURES, column
from circuit_io.net_lengths import tree_lengths
from gsr_plugin.dataset import Entry, Loader, Sample
from gsr_plugin.metrics import Averaged, nested_mean, pearson

MODEL = "gsr-gnn"
SHORTEST, MEAN, TREE = "shortest length", "shortest x mean detour", "Steiner tree x constant"
ROUTER = "embedded router"
Logs = Float[np.ndarray, " nets"]


@dataclass(frozen=True)
class DetourScores(Averaged):
    """Scores of the nets of one placement, or means of them.

    Attributes:
        mape: mean of |guess - length| / length over nets; of the model by its median.
        total: |sum of guesses / sum of lengths - 1|; of the model by its mean.
        pearson: correlation with the log detour; of the model by its mean. 0 of a constant.
    """

    mape: float
    total: float
    pearson: float

    @classmethod
    def of(cls, truth: Logs, weight: Logs, best: Logs, mean: Logs) -> "DetourScores":
        """Scores of guesses of the log detour: the best for single nets, and that whose lengths add up.

        Args:
            truth: log detour of each net.
            weight: its shortest length.
            best: guess for `mape`.
            mean: guess for the others.
        """
        total = float((weight * np.exp(mean)).sum() / (weight * np.exp(truth)).sum())
        return cls(float(np.abs(np.expm1(best - truth)).mean()), abs(total - 1), pearson(truth, mean))


@dataclass(frozen=True)
class PlacementDetour:
    """Scores of the methods on one placement."""

    family: str
    technology: str
    design: str
    variant: str
    num_nets: int
    is_overflowing: bool
    methods: dict[str, DetourScores]


@dataclass(frozen=True)
class Constants:
    """Of each family the means of log (length / (RSMT + segments)) and of log (length / RSMT), designs alike."""

    families: dict[str, list[tuple[float, float]]]

    @classmethod
    def fit(cls, entries: Sequence[Entry], load: Loader) -> "Constants":
        """Means over labelled placements; those without lengths are left out."""
        designs: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
        for entry in entries:
            sample = load(entry)
            seen = np.isfinite(sample.detour)
            if seen.any():
                truth = sample.detour[seen].astype(np.float64)
                pair = (float(truth.mean()), float((truth + _over_tree(sample)[seen]).mean()))
                designs.setdefault(entry.design_key, []).append(pair)
        families: dict[str, list[tuple[float, float]]] = {}
        for key, pairs in designs.items():
            families.setdefault(key[0], []).append((fmean(a for a, _ in pairs), fmean(b for _, b in pairs)))
        return cls(families)

    def of(self, family: str) -> tuple[float, float]:
        """Means over the designs of the other families; of `family` itself where there is no other."""
        others = [pair for f, pairs in self.families.items() if f != family for pair in pairs]
        found = others or [pair for pairs in self.families.values() for pair in pairs]
        return (fmean(a for a, _ in found), fmean(b for _, b in found)) if found else (0.0, 0.0)


def score_detour(
    guess: Float32[np.ndarray, "nets 2"], entry: Entry, load: Loader, constants: Constants
) -> PlacementDetour | None:
    """Scores of a predicted log detour (median, mean) of one labelled placement; None where no length is known."""
    sample = load(entry)
    seen = np.isfinite(sample.detour)
    if not seen.any():
        return None
    truth, weight = sample.detour[seen].astype(np.float64), sample.shortest_um[seen]
    median, mean = guess[seen].astype(np.float64).T
    detour, over_tree = constants.of(entry.family)
    flat = np.full(len(truth), detour)
    tree = over_tree - _over_tree(sample)[seen]
    guesses = {
        MODEL: (median, mean),
        ROUTER: _of_router(sample, seen),
        SHORTEST: (0 * flat, 0 * flat),
        MEAN: (flat, flat),
        TREE: (tree, tree),
    }
    return PlacementDetour(
        family=entry.family,
        technology=entry.technology,
        design=entry.design,
        variant=entry.variant,
        num_nets=len(truth),
        is_overflowing=any(bool((m > 0).any()) for m in (sample.labels.overflow_h, sample.labels.overflow_v)),
        methods={name: DetourScores.of(truth, weight, *pair) for name, pair in guesses.items()},
    )


def _of_router(sample: Sample, seen: Bool[np.ndarray, " all"]) -> tuple[Logs, Logs]:
    """Log detour by the embedded router, the best for single nets and that of the mean length; nan without it."""
    features = sample.graph.net_features[seen].astype(np.float64)
    columns = (column(NET_FEATURES, name) for name in ("router_detour", "router_mean_detour", "router_runs"))
    best, mean, runs = (features[:, at] for at in columns)
    return np.where(runs > 0, best, np.nan), np.where(runs > 0, mean, np.nan)


def _over_tree(sample: Sample) -> Logs:
    """Log of (RSMT + segments) over RSMT, of nets that have a tree; 0 of others."""
    found = tree_lengths(sample.graph)
    ratio = (found.tree + found.segments) / np.maximum(found.tree, 1)
    logs: Logs = np.log(np.maximum(ratio, 1))
    return logs


@dataclass(frozen=True)
class DetourEvaluation:
    """Scores of all methods over placements: of all, and of those that overflow."""

    placements: list[PlacementDetour]

    def means(self, *, overflowing: bool, alike: bool = False) -> dict[str, DetourScores]:
        """Of each method: mean over placements of a design, designs, families; or over all placements alike."""
        chosen = [p for p in self.placements if p.is_overflowing or not overflowing]
        if alike:
            return {n: DetourScores.mean(p.methods[n] for p in chosen) for n in self.placements[0].methods}
        return {
            name: nested_mean(DetourScores, ((p, p.methods[name]) for p in chosen))
            for name in self.placements[0].methods
        }

    def num(self, *, overflowing: bool) -> int:
        """Placements of a mean."""
        return sum(p.is_overflowing or not overflowing for p in self.placements)

    def to_json(self) -> dict[str, Any]:
        """Means and placements, with stable keys."""
        return {
            name: {
                "num_placements": self.num(overflowing=overflowing),
                "by_family": self.means(overflowing=overflowing),
                "alike": self.means(overflowing=overflowing, alike=True),
            }
            for name, overflowing in (("overflowing", True), ("all", False))
        } | {"placements": self.placements}

    def table(self) -> str:
        """The scores as a Markdown table."""
        lines = ["| routed length of nets | placements | MAPE % | error of the sum % | Pearson of log detour |"]
        lines.append("|---" * 5 + "|")
        for words, overflowing in (("that overflow", True), ("", False)):
            which = f"{self.num(overflowing=overflowing)} {words}".rstrip()
            for alike in (False, True):
                for name, s in self.means(overflowing=overflowing, alike=alike).items():
                    values = (100 * s.mape, 100 * s.total, s.pearson)
                    shown = ["-" if math.isnan(v) else f"{v:.{d}f}" for v, d in zip(values, (2, 2, 3), strict=True)]
                    lines.append(f"| {name} | {which}{', alike' if alike else ''} | {' | '.join(shown)} |")
        return "\n".join(lines)
