"""How good predicted slacks are, with what needs no training of a network beside: none, a constant, two constants.

Per placement over the endpoints whose slack after routing is known; then placements of a design, designs, families.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64

from gsr_plugin.dataset import Entry, Loader
from gsr_plugin.metrics import Averaged, nested_mean, pearson
from gsr_plugin.slack import SlackInputs

MODEL, PLACED, MEAN, DELAYS = "gsr-gnn", "slack before routing", "less the mean change", "less wire delays x constants"
Values = Float[np.ndarray, " endpoints"]


@dataclass(frozen=True)
class SlackScores(Averaged):
    """Scores of the endpoints of one placement, or means of them.

    Attributes:
        mae_ps: mean absolute error.
        mae_frac: the same over the mean absolute change, which is that of the slack before routing.
        r2: explained variance of the change.
        pearson: correlation with the change; 0 of a constant.
        ws_ps: error of the worst slack.
        tns_frac: error of the total negative slack, as a share of it; nan where no endpoint is violated.
    """

    mae_ps: float
    mae_frac: float
    r2: float
    pearson: float
    ws_ps: float
    tns_frac: float

    @classmethod
    def of(cls, slack_ns: Values, change_ns: Values, guess_ns: Values) -> "SlackScores":
        """Scores of a guessed change of slack."""
        error, spread = np.abs(guess_ns - change_ns), float(np.square(change_ns - change_ns.mean()).sum())
        truth, guess = slack_ns + change_ns, slack_ns + guess_ns
        tns, found = (float(np.minimum(values, 0).sum()) for values in (truth, guess))
        return cls(
            mae_ps=1e3 * float(error.mean()),
            mae_frac=float(error.mean() / np.abs(change_ns).mean()),
            r2=1 - float(np.square(error).sum()) / spread if spread > 0 else math.nan,
            pearson=pearson(change_ns, guess_ns),
            ws_ps=1e3 * abs(float(guess.min() - truth.min())),
            tns_frac=abs(found / tns - 1) if tns < 0 else math.nan,
        )


@dataclass(frozen=True)
class PlacementSlack:
    """Scores of the methods on one placement."""

    family: str
    technology: str
    design: str
    variant: str
    methods: dict[str, SlackScores]


@dataclass(frozen=True)
class Constants:
    """What the labelled placements tell: mean changes, and the normal equations of change on parts of wire delays.

    Attributes:
        means: by family and technology, the mean change of each design, ns.
        sums: by family and technology, of each design the products of (drive, wire, change), ns over its mean scale.
    """

    means: dict[tuple[str, str], list[float]]
    sums: dict[tuple[str, str], list[Float64[np.ndarray, "2 3"]]]

    @classmethod
    def fit(cls, entries: Sequence[Entry], load: Loader) -> "Constants":
        """Over labelled placements, the designs alike."""
        means: dict[tuple[str, str, str], list[float]] = {}
        sums: dict[tuple[str, str, str], list[Float64[np.ndarray, "2 3"]]] = {}
        for entry in entries:
            ends = _labelled(load(entry).slack)
            if ends is None:
                continue
            key = (entry.family, entry.technology, entry.design)
            means.setdefault(key, []).append(float(ends.change_ns.mean()))
            x = np.concatenate([_delays_ns(ends), ends.change_ns[None]]) / ends.mean_scale_ns
            sums.setdefault(key, []).append(x[:2] @ x.T / x.shape[1])
        found = cls({}, {})
        for (family, technology, _), values in means.items():
            found.means.setdefault((family, technology), []).append(fmean(values))
        for (family, technology, _), products in sums.items():
            found.sums.setdefault((family, technology), []).append(np.mean(products, axis=0))
        return found

    def mean_ns(self, family: str, technology: str) -> float:
        """Mean over the other families' designs of the technology; of all technologies where there is none."""
        found = [v for key in _others(self.means, family, technology) for v in self.means[key]]
        return fmean(found) if found else 0.0

    def line(self, family: str, technology: str) -> Float64[np.ndarray, " 2"]:
        """Least squares of the change on the two parts of the wire delay, over the same designs."""
        found = [v for key in _others(self.sums, family, technology) for v in self.sums[key]]
        if not found:
            return np.zeros(2)
        total = np.sum(found, axis=0)
        return np.asarray(np.linalg.lstsq(total[:, :2], total[:, 2], rcond=None)[0])


def _others(known: Iterable[tuple[str, str]], family: str, technology: str) -> list[tuple[str, str]]:
    others = [key for key in known if key[0] != family] or list(known)
    return [key for key in others if key[1] == technology] or others


def _labelled(ends: SlackInputs | None) -> SlackInputs | None:
    if ends is None or not ends.num_labelled:
        return None
    return ends.at(np.flatnonzero(np.isfinite(ends.change_ns)))


def _delays_ns(ends: SlackInputs) -> Float64[np.ndarray, "2 endpoints"]:
    delays: Float64[np.ndarray, "2 endpoints"] = ends.shares[:, :2].T.astype(np.float64) * ends.scale_ns
    return delays


def score_slack(
    change_ns: Float32[np.ndarray, " endpoints"], entry: Entry, load: Loader, constants: Constants
) -> PlacementSlack | None:
    """Scores of a predicted change of slack of one labelled placement; None where no slack after routing is known."""
    whole = load(entry).slack
    ends = _labelled(whole)
    if ends is None or whole is None:
        return None
    guess = change_ns[np.isfinite(whole.change_ns)].astype(np.float64)
    flat = np.full(len(guess), constants.mean_ns(entry.family, entry.technology))
    of_delays = constants.line(entry.family, entry.technology) @ _delays_ns(ends)
    guesses = {MODEL: guess, PLACED: 0 * flat, MEAN: flat, DELAYS: of_delays}
    return PlacementSlack(
        family=entry.family,
        technology=entry.technology,
        design=entry.design,
        variant=entry.variant,
        methods={name: SlackScores.of(ends.slack_ns, ends.change_ns, values) for name, values in guesses.items()},
    )


@dataclass(frozen=True)
class SlackEvaluation:
    """Scores of all methods over placements."""

    placements: list[PlacementSlack]

    def means(self, *, technology: str = "") -> dict[str, SlackScores]:
        """Of each method: mean over placements of a design, designs, families; of one technology where named."""
        chosen = [p for p in self.placements if technology in ("", p.technology)]
        return {
            name: nested_mean(SlackScores, ((p, p.methods[name]) for p in chosen))
            for name in self.placements[0].methods
        }

    @property
    def technologies(self) -> list[str]:
        """Those of the placements."""
        return sorted({p.technology for p in self.placements})

    def to_json(self) -> dict[str, Any]:
        """Means and placements, with stable keys."""
        return {
            "num_placements": len(self.placements),
            "by_family": self.means(),
            "by_technology": {name: self.means(technology=name) for name in self.technologies},
            "placements": self.placements,
        }

    def table(self) -> str:
        """The scores as a Markdown table."""
        columns = ("MAE ps", "MAE of change %", "R2", "Pearson", "worst slack ps", "TNS %")
        lines = [f"| slack of endpoints | placements | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
        several = self.technologies if len(self.technologies) > 1 else []
        for technology in ("", *several):
            num = sum(technology in ("", p.technology) for p in self.placements)
            for name, s in self.means(technology=technology).items():
                values = (s.mae_ps, 100 * s.mae_frac, s.r2, s.pearson, s.ws_ps, 100 * s.tns_frac)
                shown = [
                    "-" if math.isnan(v) else f"{v:.{d}f}" for v, d in zip(values, (1, 0, 2, 2, 1, 0), strict=True)
                ]
                lines.append(f"| {name} | {f'{num} {technology}'.rstrip()} | {' | '.join(shown)} |")
        return "\n".join(lines)
