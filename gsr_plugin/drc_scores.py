"""How well gcells with violations of a detailed route are told, beside what needs no such labels.

Per placement with violations, then placements of a design, designs, families; over all placements how well they are
ranked by how many gcells are violated.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int64
from scipy import stats

from circuit_io.drc import gcell_heat, violation_recall
from circuit_io.fields import GCELL_FEATURES, column
from gsr_plugin.dataset import Entry, Loader
from gsr_plugin.metrics import Averaged, auc, average_precision, nested_mean, pearson

MODEL, PREDICTED, ROUTED = "gsr-gnn", "predicted congestion", "routed congestion"
RUDY, PINS, CHANCE = "rudy on gcell boxes", "pins", "chance"
HOT_FRAC = 0.05  # of the gcells
FEWEST = 5  # violated gcells of a placement, fewer say nothing of where they are
Map = Float[np.ndarray, "ny nx"]


@dataclass(frozen=True)
class DrcScores(Averaged):
    """Scores of one placement, or means of them.

    Attributes:
        auc: of gcells with violations against the others.
        average_precision: of the same.
        recall_top5: share of the violations in the hottest 5 % of the gcells.
    """

    auc: float
    average_precision: float
    recall_top5: float

    @classmethod
    def of(cls, violations: Int64[np.ndarray, "ny nx"], heat: Map) -> "DrcScores":
        """Scores of a map; NaN throughout where fewer than `FEWEST` gcells are violated, or all."""
        hit = violations.ravel() > 0
        if not FEWEST <= hit.sum() < hit.size:
            return cls(math.nan, math.nan, math.nan)
        guess = np.where(np.isfinite(heat), heat, np.finfo(np.float32).min).ravel()
        return cls(
            auc=auc(hit, guess),
            average_precision=average_precision(hit, guess),
            recall_top5=violation_recall(violations, heat, HOT_FRAC),
        )


@dataclass(frozen=True)
class PlacementDrc:
    """Scores of the methods on one placement, and how many of its gcells each expects to be violated.

    Attributes:
        violated: share of the gcells.
        expected: that share by the model; by congestion the mean of what the worst edge of a gcell has above 1; by pins
            their mean number.
    """

    family: str
    technology: str
    design: str
    variant: str
    violations: int
    violated: float
    expected: dict[str, float]
    methods: dict[str, DrcScores]


def score_drc(
    prob: Float32[np.ndarray, "ny nx"], congestion: tuple[Map, Map], entry: Entry, load: Loader
) -> PlacementDrc | None:
    """Scores of the predicted probability of a violation in each gcell; None without a report of a detailed route.

    Args:
        prob: of each gcell.
        congestion: as predicted, H and V.
        entry: the placement.
        load: reads it.
    """
    sample = load(entry)
    if sample.drc is None:
        return None
    graph, labels = sample.graph, sample.labels

    def feature(name: str) -> Map:
        return graph.gcell_features[:, column(GCELL_FEATURES, name)].reshape(graph.ny, graph.nx)

    heats = {
        PREDICTED: gcell_heat(*congestion),
        ROUTED: gcell_heat(labels.congestion_h, labels.congestion_v),
        RUDY: gcell_heat(feature("rudy_h"), feature("rudy_v")),
    }
    flat = np.zeros_like(prob)
    maps: dict[str, Map] = {MODEL: prob, **heats, PINS: np.expm1(feature("pins")), CHANCE: flat}
    excess = {name: float(np.maximum(heat - 1, 0).mean()) for name, heat in heats.items()}
    return PlacementDrc(
        family=entry.family,
        technology=entry.technology,
        design=entry.design,
        variant=entry.variant,
        violations=int(sample.drc.sum()),
        violated=float((sample.drc > 0).mean()),
        expected={MODEL: float(prob.mean()), **excess, PINS: float(maps[PINS].mean()), CHANCE: 0.0},
        methods={name: DrcScores.of(sample.drc, heat) for name, heat in maps.items()},
    )


@dataclass(frozen=True)
class DrcEvaluation:
    """Scores of all methods over placements."""

    placements: list[PlacementDrc]

    def means(self) -> dict[str, DrcScores]:
        """Of each method: mean over placements of a design, designs, families."""
        return {
            name: nested_mean(DrcScores, ((p, p.methods[name]) for p in self.placements))
            for name in self.placements[0].methods
        }

    def ranks(self) -> dict[str, float]:
        """Of each method: rank correlation, over the placements, of what it expects with the share violated."""
        truth = stats.rankdata([p.violated for p in self.placements])
        return {
            name: pearson(truth, stats.rankdata([p.expected[name] for p in self.placements]))
            for name in self.placements[0].methods
        }

    @property
    def num_scored(self) -> int:
        """Placements with enough violated gcells to say where."""
        return sum(math.isfinite(p.methods[MODEL].auc) for p in self.placements)

    def to_json(self) -> dict[str, Any]:
        """Means and placements, with stable keys."""
        return {
            "num_placements": len(self.placements),
            "num_scored": self.num_scored,
            "by_family": self.means(),
            "ranks": self.ranks(),
            "placements": self.placements,
        }

    def table(self) -> str:
        """The scores as a Markdown table."""
        columns = ("AUC", "average precision", "violations in the hottest 5 %", "ranks of placements")
        which = f"{self.num_scored} of {len(self.placements)}"
        lines = [f"| gcells with DRC violations | placements | {' | '.join(columns)} |"]
        lines.append("|---" * (len(columns) + 2) + "|")
        ranks = self.ranks()
        for name, s in self.means().items():
            values = (s.auc, s.average_precision, s.recall_top5, ranks[name])
            shown = ["-" if math.isnan(value) else f"{value:.3f}" for value in values]
            lines.append(f"| {name} | {which} | {' | '.join(shown)} |")
        return "\n".join(lines)
