"""Scores against scikit-learn, scipy and plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from gsr_plugin.metrics import (
    HEADLINE_GCELLS,
    PlacementScores,
    Scores,
    auc,
    average_precision,
    kendall,
    pearson,
    precision,
    score_map,
    score_placement,
    ssim,
    summarize,
)


def maps(seed: int = 0, ny: int = 23, nx: int = 31, *, levels: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.abs(rng.normal(0.6, 0.3, (ny, nx)))
    guess = truth + rng.normal(0, 0.2, (ny, nx))
    if levels:
        truth, guess = np.round(truth * levels) / levels, np.round(guess * levels) / levels
    truth[:, -1] = np.nan
    truth[3, 4] = np.nan
    return truth, guess


@pytest.mark.parametrize("levels", [0, 8])
def test_scores_equal_scipy_and_sklearn(levels: int) -> None:
    truth, guess = maps(levels=levels)
    seen = np.isfinite(truth)
    t, g = truth[seen], guess[seen]
    got = score_map(truth, guess)
    assert got.pearson == pytest.approx(stats.pearsonr(t, g).statistic, abs=1e-12)
    assert got.spearman == pytest.approx(stats.spearmanr(t, g).statistic, abs=1e-12)
    assert got.kendall == pytest.approx(stats.kendalltau(t, g).statistic, abs=1e-12)
    assert got.r2 == pytest.approx(sk.r2_score(t, g), abs=1e-12)
    assert got.nrmse == pytest.approx(sk.root_mean_squared_error(t, g) / (t.max() - t.min()), abs=1e-12)
    assert got.mae == pytest.approx(sk.mean_absolute_error(t, g), abs=1e-12)
    assert got.auc_top5 == pytest.approx(sk.roc_auc_score(t >= np.quantile(t, 0.95), g), abs=1e-12)
    assert got.auc_overflow == pytest.approx(sk.roc_auc_score(t > 1, g), abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40))
def test_average_precision_is_that_of_sklearn(rows: list[tuple[bool, int]]) -> None:
    hot, guess = np.array([hit for hit, _ in rows]), np.array([g for _, g in rows], np.float64)
    if not hot.any():
        assert math.isnan(average_precision(hot, guess))
    else:
        assert average_precision(hot, guess) == pytest.approx(sk.average_precision_score(hot, guess), abs=1e-12)


def test_kendall_equals_its_definition() -> None:
    rng = np.random.default_rng(1)
    t, g = rng.integers(0, 6, 60).astype(float), rng.integers(0, 5, 60).astype(float)
    pairs = [(i, j) for i in range(60) for j in range(i)]
    sign = [(np.sign(t[i] - t[j]), np.sign(g[i] - g[j])) for i, j in pairs]
    tau = sum(a * b for a, b in sign) / math.sqrt(sum(a != 0 for a, _ in sign) * sum(b != 0 for _, b in sign))
    assert kendall(t, g) == pytest.approx(tau, abs=1e-12)


def test_ssim_equals_plain_loops_over_unmasked_edges() -> None:
    truth, guess = maps(2, 9, 12)
    seen = np.isfinite(truth)
    spread = truth[seen].max() - truth[seen].min()
    c1, c2 = (0.01 * spread) ** 2, (0.03 * spread) ** 2
    total = 0.0
    for i, j in np.argwhere(seen):
        rows = []
        for a in range(max(0, i - 5), min(9, i + 6)):
            for b in range(max(0, j - 5), min(12, j + 6)):
                if seen[a, b]:
                    rows.append((math.exp(-((a - i) ** 2 + (b - j) ** 2) / (2 * 1.5**2)), truth[a, b], guess[a, b]))
        w, x, y = np.array(rows).T
        w /= w.sum()
        mx, my = w @ x, w @ y
        vx, vy, cov = w @ (x - mx) ** 2, w @ (y - my) ** 2, w @ ((x - mx) * (y - my))
        total += (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(truth, guess) == pytest.approx(total / seen.sum(), abs=1e-9)
    assert ssim(truth, truth) == pytest.approx(1, abs=1e-12)


def test_precision_counts_ties_at_the_border_by_their_share() -> None:
    hot = np.array([True, False, True, False, False, False])
    guess = np.array([3.0, 2.0, 1.0, 1.0, 0.0, 0.0])
    assert precision(hot, guess, num=1) == 1
    assert precision(hot, guess, num=2) == 0.5
    assert precision(hot, guess, num=3) == pytest.approx((1 + 0.5) / 3)
    assert precision(hot, guess, num=4) == 0.5


@given(st.integers(0, 10_000))
def test_scores_do_not_depend_on_the_order_of_edges(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, guess = maps(seed, 5, 7, levels=4)
    order = rng.permutation(truth.size)
    shuffled = score_map(truth.ravel()[order].reshape(5, 7), guess.ravel()[order].reshape(5, 7))
    straight = score_map(truth, guess)
    for name in Scores.names():
        if name != "ssim":
            assert getattr(shuffled, name) == pytest.approx(getattr(straight, name), abs=1e-12, nan_ok=True), name


def test_constant_maps_are_defined() -> None:
    truth, guess = maps()
    flat = np.full_like(guess, 0.5)
    got = score_map(truth, flat)
    assert (got.pearson, got.spearman, got.kendall) == (0, 0, 0)
    assert got.auc_top5 == 0.5
    assert got.r2 <= 0
    empty = score_map(np.where(np.isnan(truth), np.nan, 0.3), guess)
    assert math.isnan(empty.pearson)
    assert math.isnan(empty.r2)
    assert math.isnan(empty.auc_overflow)
    assert math.isnan(score_map(np.full((3, 3), np.nan), np.zeros((3, 3))).mae)
    assert math.isnan(pearson(np.zeros(3), np.arange(3.0)))
    assert math.isnan(auc(np.zeros(3, bool), np.arange(3.0)))


def test_a_guess_that_is_not_finite_scores_nan() -> None:
    truth, guess = maps()
    guess[0, 0] = np.inf
    assert math.isnan(score_map(truth, guess).pearson)
    truth[0, 0] = np.nan
    assert not math.isnan(score_map(truth, guess).pearson)


def placement(family: str, design: str, variant: str, *, value: float, gcells: int = 500) -> PlacementScores:
    scores = Scores(*[value] * len(Scores.names()))
    return PlacementScores(family, "t", design, variant, gcells, 2 * gcells, 0, scores, scores)


def test_means_weigh_variants_then_designs_then_families() -> None:
    rows = [
        placement("a", "a1", "v0", value=0.0),
        placement("a", "a1", "v1", value=1.0),
        placement("a", "a2", "v0", value=1.0),
        placement("b", "b1", "v0", value=0.25),
        placement("b", "b1", "v9", value=0.5, gcells=HEADLINE_GCELLS - 1),
    ]
    got = summarize(rows)
    assert got.by_family["a"].r2 == 0.75
    assert got.headline.r2 == 0.5
    assert got.small.r2 == 0.5
    assert got.alike.r2 == pytest.approx(2.75 / 5)
    assert (got.num_headline, got.num_small) == (4, 1)
    assert got.by_technology["t"].r2 == 0.5


def test_overflow_needs_ten_edges_in_the_placement() -> None:
    truth, guess = maps()
    calm = np.where(truth > 0.9, 0.9, truth)
    few, some = calm.copy(), calm.copy()
    few[0, :9] = 1.5
    some[0, :10] = 1.5
    assert math.isnan(score_placement((few, calm), (guess, guess)).mean.auc_overflow)
    got = score_placement((some, calm), (guess, guess), family="f", design="d")
    assert got.num_overflow == 10
    assert not math.isnan(got.h.auc_overflow)
    assert math.isnan(got.v.auc_overflow)
    assert got.mean.auc_overflow == got.h.auc_overflow


def test_mean_of_nothing_is_nan() -> None:
    assert math.isnan(Scores.mean([]).pearson)
    assert math.isnan(summarize([]).headline.pearson)
