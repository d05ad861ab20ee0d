"""How good a congestion map is: scores of a placement on its unmasked edges, and means over designs and families.

A map holds one number per gcell edge (`[iy, ix]`: to the right for H, above for V); a masked edge is NaN in the truth.
A score that cannot be defined (a constant truth, no hot edge) is NaN and left out of the means.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy import ndimage, stats

HEADLINE_GCELLS = 400  # smaller placements are reported on a line of their own
HOT_FRAC = 0.05  # the hottest edges of a placement
OVERFLOW_EDGES = 10  # fewer edges above 1 than this in a placement (H and V) say nothing about overflow
SSIM_SIGMA, SSIM_RADIUS, SSIM_K1, SSIM_K2 = 1.5, 5, 0.01, 0.03

Values = Float[np.ndarray, " n"]

_S = TypeVar("_S", bound="Averaged")


@dataclass(frozen=True)
class Averaged:
    """Scores, a field each, that can be averaged."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the scores, in the order of the tables."""
        return tuple(f.name for f in fields(cls))

    @classmethod
    def mean(cls: type[_S], many: Iterable[_S]) -> _S:
        """Mean score by score; a NaN is left out, and the mean of nothing is NaN."""
        rows = [asdict(scores) for scores in many]
        return cls(**{name: _mean(row[name] for row in rows) for name in cls.names()})


@dataclass(frozen=True)
class Scores(Averaged):
    """Scores of one map, or means of them. Higher is better, but for `nrmse` and `mae`."""

    pearson: float
    spearman: float
    kendall: float
    r2: float
    nrmse: float
    mae: float
    ssim: float
    auc_top5: float
    precision_top5: float
    auc_overflow: float


@dataclass(frozen=True)
class PlacementScores:
    """Scores of one placement: of H, of V, and their mean. `num_overflow` counts its edges above 1 in both."""

    family: str
    technology: str
    design: str
    variant: str
    num_gcells: int
    num_edges: int
    num_overflow: int
    h: Scores
    v: Scores

    @property
    def mean(self) -> Scores:
        """Mean of H and V."""
        return Scores.mean([self.h, self.v])


@dataclass(frozen=True)
class Summary:
    """Means over placements of a design, then designs, then families; and over all placements alike."""

    headline: Scores
    small: Scores
    alike: Scores
    by_family: dict[str, Scores]
    by_technology: dict[str, Scores]
    num_headline: int
    num_small: int


@runtime_checkable
class Placed(Protocol):
    """A scored placement."""

    @property
    def family(self) -> str:
        """Designs that share RTL have one."""

    @property
    def technology(self) -> str:
        """Name of the technology."""

    @property
    def design(self) -> str:
        """Name of the design."""


def nested_mean(kind: type[_S], scored: Iterable[tuple[Placed, _S]]) -> _S:
    """Mean over the placements of a design, then designs, then families."""
    families: dict[str, dict[tuple[str, str], list[_S]]] = {}
    for p, scores in scored:
        families.setdefault(p.family, {}).setdefault((p.technology, p.design), []).append(scores)
    return kind.mean(kind.mean(kind.mean(found) for found in designs.values()) for designs in families.values())


def score_map(
    truth: Float[np.ndarray, "H W"], guess: Float[np.ndarray, "H W"], *, with_overflow: bool = True
) -> Scores:
    """Scores of one direction on the edges that `truth` does not mask.

    A constant `guess` has correlation 0; a guess that is not finite on an unmasked edge gives NaN throughout.

    Args:
        truth: congestion of the router, 1 = full; NaN where masked.
        guess: predicted congestion.
        with_overflow: whether the placement has enough edges above 1 for `auc_overflow`.
    """
    seen = np.isfinite(truth)
    t, g = truth[seen].astype(np.float64), guess[seen].astype(np.float64)
    if not len(t) or not np.isfinite(g).all():
        return Scores(*[math.nan] * len(Scores.names()))
    error = g - t
    spread = float(np.ptp(t))
    total = float(np.square(t - t.mean()).sum())
    hot = t >= np.quantile(t, 1 - HOT_FRAC)
    return Scores(
        pearson=pearson(t, g),
        spearman=pearson(stats.rankdata(t), stats.rankdata(g)),
        kendall=kendall(t, g),
        r2=1 - float(np.square(error).sum()) / total if spread > 0 else math.nan,
        nrmse=math.sqrt(float(np.square(error).mean())) / spread if spread > 0 else math.nan,
        mae=float(np.abs(error).mean()),
        ssim=ssim(truth, guess),
        auc_top5=auc(hot, g),
        precision_top5=precision(hot, g, num=math.ceil(HOT_FRAC * len(t))),
        auc_overflow=auc(t > 1, g) if with_overflow else math.nan,
    )


def score_placement(
    truth: tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]],
    guess: tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]],
    *,
    family: str = "",
    technology: str = "",
    design: str = "",
    variant: str = "",
) -> PlacementScores:
    """Scores of the H and V maps of one placement."""
    num_overflow = sum(int((m > 1).sum()) for m in truth)
    enough = num_overflow >= OVERFLOW_EDGES
    h, v = (score_map(t, g, with_overflow=enough) for t, g in zip(truth, guess, strict=True))
    return PlacementScores(
        family=family,
        technology=technology,
        design=design,
        variant=variant,
        num_gcells=truth[0].size,
        num_edges=sum(int(np.isfinite(m).sum()) for m in truth),
        num_overflow=num_overflow,
        h=h,
        v=v,
    )


def summarize(placements: Sequence[PlacementScores]) -> Summary:
    """Means of many placements; the headline counts those with at least `HEADLINE_GCELLS` gcells."""
    large = [p for p in placements if p.num_gcells >= HEADLINE_GCELLS]
    small = [p for p in placements if p.num_gcells < HEADLINE_GCELLS]
    return Summary(
        headline=_over_families(large),
        small=_over_families(small),
        alike=Scores.mean(p.mean for p in placements),
        by_family=_means(large, lambda p: p.family),
        by_technology=_means(large, lambda p: p.technology),
        num_headline=len(large),
        num_small=len(small),
    )


def _over_families(placements: Sequence[PlacementScores]) -> Scores:
    return Scores.mean(_means(placements, lambda p: p.family).values())


def _means(placements: Sequence[PlacementScores], key: Callable[[PlacementScores], str]) -> dict[str, Scores]:
    """Per value of `key`: mean over the placements of a design, then over designs, then over families."""
    return {
        value: nested_mean(Scores, ((p, p.mean) for p in placements if key(p) == value))
        for value in sorted({key(p) for p in placements})
    }


def _mean(values: Iterable[float]) -> float:
    kept = [v for v in values if not math.isnan(v)]
    return fmean(kept) if kept else math.nan


def pearson(truth: Values, guess: Values) -> float:
    """Pearson's r; NaN when the truth is constant, 0 when only the guess is."""
    if np.ptp(truth) == 0:
        return math.nan
    if np.ptp(guess) == 0:
        return 0.0
    t, g = truth - truth.mean(), guess - guess.mean()
    return float((t @ g) / math.sqrt((t @ t) * (g @ g)))


def kendall(truth: Values, guess: Values) -> float:
    """Kendall's tau-b; NaN when the truth is constant, 0 when only the guess is. n log n: 20 ms at 15,000 edges."""
    if np.ptp(truth) == 0:
        return math.nan
    if np.ptp(guess) == 0:
        return 0.0
    return float(stats.kendalltau(truth, guess).statistic)


def auc(hot: Bool[np.ndarray, " n"], guess: Values) -> float:
    """Chance that a hot edge has a higher guess than another one, ties half; NaN when all are alike."""
    num_hot = int(hot.sum())
    num_cold = len(hot) - num_hot
    if not num_hot or not num_cold:
        return math.nan
    above = float(stats.rankdata(guess)[hot].sum()) - num_hot * (num_hot + 1) / 2
    return above / (num_hot * num_cold)


def average_precision(hot: Bool[np.ndarray, " n"], guess: Values) -> float:
    """Mean precision over the hot ones as the guess falls, those that tie taken together; NaN when none is hot."""
    if not hot.any():
        return math.nan
    order = np.argsort(-guess, kind="stable")
    last = np.append(np.flatnonzero(np.diff(guess[order])), len(guess) - 1)  # of those that tie
    found = np.cumsum(hot[order])[last]
    return float((np.diff(found, prepend=0) * found / (last + 1)).sum() / found[-1])


def precision(hot: Bool[np.ndarray, " n"], guess: Values, *, num: int) -> float:
    """Fraction of hot edges among the `num` highest guesses; guesses that tie at the border count by their share."""
    if not hot.any() or hot.all():
        return math.nan
    border = np.partition(guess, len(guess) - num)[len(guess) - num]
    above, tied = guess > border, guess == border
    rest = num - int(above.sum())
    return (float(hot[above].sum()) + rest * float(hot[tied].mean())) / num


def ssim(truth: Float[np.ndarray, "H W"], guess: Float[np.ndarray, "H W"]) -> float:
    """Mean structural similarity over the unmasked edges; its range is the spread of the truth.

    Source:
        Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004,
        eq. 13: Gaussian window of 11 x 11, sigma 1.5, weights renormalised over the unmasked edges.
    """
    seen = np.isfinite(truth)
    if not seen.any():
        return math.nan
    spread = float(np.ptp(truth[seen]))
    if spread == 0:
        return math.nan
    x, y = np.where(seen, truth, 0).astype(np.float64), np.where(seen, guess, 0).astype(np.float64)
    weight = _window(seen.astype(np.float64))

    def local(values: Float64[np.ndarray, "H W"]) -> Float64[np.ndarray, " n"]:
        return np.asarray(_window(values)[seen] / weight[seen])

    mean_x, mean_y = local(x), local(y)
    var_x, var_y, cov = local(x * x) - mean_x**2, local(y * y) - mean_y**2, local(x * y) - mean_x * mean_y
    c1, c2 = (SSIM_K1 * spread) ** 2, (SSIM_K2 * spread) ** 2
    ratio = ((2 * mean_x * mean_y + c1) * (2 * cov + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return float(ratio.mean())


def _window(values: Float64[np.ndarray, "H W"]) -> Float64[np.ndarray, "H W"]:
    return np.asarray(ndimage.gaussian_filter(values, SSIM_SIGMA, mode="constant", radius=SSIM_RADIUS))
