"""Scores of the contest beyond those of an edge, and paired bootstrap over families."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
from scipy import stats

from circuit_io.fields import INST_FEATURES, column
from circuit_io.graph import CircuitGraph
from circuit_io.labels import Labels
from gsr_plugin.metrics import HEADLINE_GCELLS, auc, kendall, pearson, score_placement

BLOCK = 3  # gcells a side, about what placement feedback acts on
BLOCKED_GCELLS = 1000  # smaller placements have too few blocks
HOTTEST = 0.01  # share of the edges whose mean tells whether a design overflows
DRAWS = 10_000
SCORES = ("pearson", "spearman", "kendall", "r2", "precision_top5", "auc_overflow")
MORE = ("inst_pearson", "inst_spearman", "inst_kendall", "gcell_pearson", "gcell_spearman", "gcell_kendall",
        "block_pearson", "block_r2")  # fmt: skip

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Scored:
    """One placement by one row."""

    family: str
    technology: str
    design: str
    variant: str
    num_gcells: int
    overflow_tracks: float
    hottest: float
    values: dict[str, float]


def per_gcell(h: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Mean of H and V at every gcell, each the mean of the gcell's two edges; NaN where it has none."""
    total, count = np.zeros(h.shape), np.zeros(h.shape)
    for edges, axis in ((h[:, :-1], 1), (v[:-1], 0)):
        one, seen = np.zeros(h.shape), np.zeros(h.shape)
        known = np.isfinite(edges)
        for side in (slice(None, -1), slice(1, None)):
            at = (slice(None), side) if axis == 1 else (side, slice(None))
            one[at] += np.where(known, edges, 0)
            seen[at] += known
        total += one / np.maximum(seen, 1)
        count += seen > 0
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def blocks(values: np.ndarray, side: int = BLOCK) -> np.ndarray:
    """Means over blocks of `side` x `side` entries that are whole and known, in a row."""
    ny, nx = (n // side * side for n in values.shape)
    if not ny or not nx:
        return np.zeros(0)
    cut = values[:ny, :nx].reshape(ny // side, side, nx // side, side).swapaxes(1, 2).reshape(-1, side * side)
    return np.asarray(cut[np.isfinite(cut).all(axis=1)].mean(axis=1))


def _ranks(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    if len(truth) < 2:
        return dict.fromkeys(("pearson", "spearman", "kendall"), math.nan)
    return {
        "pearson": pearson(truth, guess),
        "spearman": pearson(stats.rankdata(truth), stats.rankdata(guess)),
        "kendall": kendall(truth, guess),
    }


def score(graph: CircuitGraph, labels: Labels, guess: Pair, about: Mapping[str, str]) -> Scored:
    """All scores of one placement.

    `inst_*` and `gcell_*` are of the mean of H and V at a gcell, and at the gcell of each inst that is no port; the
    published task of GSR-GNN is the former. `block_*` are of means over 3 x 3 edges, mean of H and V, on placements of
    `BLOCKED_GCELLS` gcells and more.
    """
    truth = (labels.congestion_h, labels.congestion_v)
    whole = score_placement(truth, guess, **about)
    edges = asdict(whole.mean)
    of_gcell = [per_gcell(*maps).ravel() for maps in (truth, guess)]
    cells = graph.inst_gcell[graph.inst_features[:, column(INST_FEATURES, "is_port")] == 0]
    values = dict(edges)
    for name, at in (("gcell", np.arange(graph.num_gcells)), ("inst", cells)):
        t, g = (maps[at] for maps in of_gcell)
        seen = np.isfinite(t)
        values |= {f"{name}_{k}": s for k, s in _ranks(t[seen], g[seen]).items()}
    values |= {"block_pearson": math.nan, "block_r2": math.nan}
    if graph.num_gcells >= BLOCKED_GCELLS:
        found = []
        for t, g in zip(truth, guess, strict=True):
            a, b = blocks(t), blocks(np.where(np.isfinite(t), g, np.nan))
            found.append((pearson(a, b), 1 - float(np.square(a - b).sum() / np.square(a - a.mean()).sum())))
        values |= dict(zip(("block_pearson", "block_r2"), np.mean(found, axis=0).tolist(), strict=True))
    guessed = np.concatenate([g[np.isfinite(t)] for t, g in zip(truth, guess, strict=True)])
    num = max(1, round(HOTTEST * len(guessed)))
    return Scored(
        family=whole.family,
        technology=whole.technology,
        design=whole.design,
        variant=whole.variant,
        num_gcells=whole.num_gcells,
        overflow_tracks=float(np.nansum(labels.overflow_h) + np.nansum(labels.overflow_v)),
        hottest=float(np.sort(guessed)[-num:].mean()),
        values=values,
    )


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return fmean(known) if known else math.nan


def by_family(scored: Sequence[Scored], name: str, *, least_gcells: int = 0) -> dict[str, float]:
    """Mean over the placements of a design, then over the designs of each family."""
    found: dict[str, dict[tuple[str, str], list[float]]] = {}
    for s in scored:
        if s.num_gcells >= least_gcells:
            found.setdefault(s.family, {}).setdefault((s.technology, s.design), []).append(s.values[name])
    means = {family: _mean([_mean(v) for v in designs.values()]) for family, designs in found.items()}
    return {family: mean for family, mean in sorted(means.items()) if not math.isnan(mean)}


def summary(scored: Sequence[Scored]) -> dict[str, Any]:
    """Means over families, over all placements alike, over those with overflow and without, and by technology."""
    names = (*SCORES, "nrmse", "ssim", "auc_top5", *MORE)
    families = {k: by_family(scored, k, least_gcells=HEADLINE_GCELLS) for k in names}
    groups: dict[str, Callable[[Scored], bool]] = {
        "alike": lambda s: True,
        "with_overflow": lambda s: s.overflow_tracks > 0,
        "without_overflow": lambda s: s.overflow_tracks == 0,
    }
    for technology in sorted({s.technology for s in scored}):
        groups[technology] = lambda s, t=technology: s.technology == t  # type: ignore[misc]
    true = np.asarray([s.overflow_tracks > 0 for s in scored])
    return {
        "families": {k: _mean(list(v.values())) for k, v in families.items()},
        "num_families": len(families["pearson"]),
        "num_placements": len(scored),
        **{g: {k: _mean([s.values[k] for s in scored if keep(s)]) for k in names} for g, keep in groups.items()},
        "design_overflow_auc": auc(true, np.asarray([s.hottest for s in scored])),
        "pearson_by_family": by_family(scored, "pearson"),
    }


def paired(first: Mapping[str, float], second: Mapping[str, float], *, seed: int = 0) -> dict[str, float]:
    """Mean difference over the families of both, and the 95 % interval when the families are drawn anew."""
    families = sorted(first.keys() & second.keys())
    gain = np.asarray([first[f] - second[f] for f in families])
    if len(gain) < 2:
        return {"gain": float(gain.mean()) if len(gain) else math.nan, "low": math.nan, "high": math.nan,
                "families": len(gain)}  # fmt: skip
    draws = np.random.default_rng(seed).integers(0, len(gain), (DRAWS, len(gain)))
    low, high = np.quantile(gain[draws].mean(axis=1), [0.025, 0.975])
    return {"gain": float(gain.mean()), "low": float(low), "high": float(high), "families": len(gain)}


def claim(first: Sequence[Scored], second: Sequence[Scored]) -> dict[str, Any]:
    """How much better the first row is than the second, on the placements that both have, by score.

    `headline` counts the placements of `HEADLINE_GCELLS` gcells and more, `all` every one.
    """
    key = lambda s: (s.technology, s.design, s.variant)  # noqa: E731
    both = {key(s) for s in first} & {key(s) for s in second}
    mine, other = ([s for s in scored if key(s) in both] for scored in (first, second))
    return {
        name: {
            kind: paired(by_family(mine, kind, least_gcells=least), by_family(other, kind, least_gcells=least))
            for kind in SCORES
        }
        for name, least in (("headline", HEADLINE_GCELLS), ("all", 0))
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    """The rows as Markdown: means over families of 400 gcells and more, then plain means over all placements."""
    heads = ["row", "folds", *SCORES, "inst_pearson", "block_pearson", "design AUC", "alike: Pearson", "with overflow",
             "training"]  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    shown = lambda v: "-" if v is None or math.isnan(v) else f"{v:.3f}"  # noqa: E731
    for name, row in found.items():
        s = row["scores"]
        cells = [
            name,
            str(len(row["folds"])),
            *(shown(s["families"][k]) for k in (*SCORES, "inst_pearson", "block_pearson")),
        ]
        cells += [shown(s["design_overflow_auc"]), shown(s["alike"]["pearson"]), shown(s["with_overflow"]["pearson"])]
        seconds = row["train_s"] / max(1, len(row["folds"]))
        lines.append(f"| {' | '.join([*cells, f'{seconds:.0f} s a fold'])} |")
    return "\n".join(lines)


def claim_table(found: list[dict[str, Any]]) -> str:
    """The claims as Markdown: gain, its interval, number of families."""
    lines = [
        "| row | than | Pearson, families of 400 gcells and more | all families | Spearman, all families |",
        "|---|---|---|---|---|",
    ]
    for c in found:
        cells = [c["headline"]["pearson"], c["all"]["pearson"], c["all"]["spearman"]]
        text = [f"{x['gain']:+.4f} ({x['low']:+.4f} to {x['high']:+.4f}; {x['families']})" for x in cells]
        lines.append(f"| {c['row']} | {c['than']} | {' | '.join(text)} |")
    return "\n".join(lines)
