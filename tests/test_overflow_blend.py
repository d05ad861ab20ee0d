"""The probability of overflow, weighed from head and normal variable: weights found, families left out, what stays."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

from gsr_plugin.overflow_blend import MOST_EDGES, MOST_ODDS, Blend, Edges, fit


def placement(seed: int, *, head: float, normal: float, offset: float, size: int = 900) -> Edges:
    """Edges that overflow with the probability that a blend of these weights gives them."""
    rng = np.random.default_rng(seed)
    odds, mean = rng.normal(-1, 2, size), rng.normal(0.9, 0.15, size).astype(np.float32)
    sigma = rng.uniform(0.05, 0.2, size).astype(np.float32)
    p = special.expit(odds).astype(np.float32)
    whole = Blend(float(head), float(normal), float(offset)).prob(p[None], mean[None], sigma[None])[0]
    family = f"family {seed % 6}"
    return Edges(family, (family, "tech", "a"), rng.random(size) < whole, p, mean, sigma)


def test_the_probability_is_that_of_the_weighed_log_odds() -> None:
    p, mean, sigma = np.array([[[0.2, 0.9, np.nan]], [[0.9, 1.3, np.nan]], [[0.1, 0.2, np.nan]]], np.float32)
    assert Blend().prob(p, mean, sigma) is p
    found = Blend(0.5, 0.4, -0.3).prob(p, mean, sigma)
    normal = stats.norm.cdf((mean[0, :2].astype(float) - 1) / sigma[0, :2])
    wanted = special.expit(0.5 * special.logit(p[0, :2].astype(float)) + 0.4 * special.logit(normal) - 0.3)
    np.testing.assert_allclose(found[0, :2], wanted, rtol=1e-5)
    assert math.isnan(found[0, 2])


def test_certain_edges_keep_a_probability_that_is_finite() -> None:
    p, mean, sigma = np.array([[[0.0, 1.0, 1.0]], [[0.1, 3.0, 1.0]], [[1e-3, 1e-3, 0.0]]], np.float32)
    found = Blend(1.0, 1.0, 0.0).prob(p, mean, sigma)[0]
    assert found[0] == pytest.approx(special.expit(-2 * MOST_ODDS))
    assert found[1] == 1
    assert found[2] == pytest.approx(1)


@pytest.mark.parametrize("weights", [(0.6, 0.4, -0.5), (0.0, 1.0, 0.0)])
def test_the_weights_are_found_again(weights: tuple[float, float, float]) -> None:
    head, normal, offset = weights
    found = fit([placement(s, head=head, normal=normal, offset=offset) for s in range(24)])
    np.testing.assert_allclose([found.blend.head, found.blend.normal, found.blend.offset], weights, atol=0.12)
    assert found.cross_entropy < found.cross_entropy_head


def test_the_head_stays_alone_where_it_is_right() -> None:
    edges = [placement(s, head=1, normal=0, offset=0, size=30) for s in range(6)]  # too few to tell anything better
    found = fit(edges)
    assert found.blend == Blend()
    assert found.cross_entropy == found.cross_entropy_head > 0


def test_sigma_counts_as_it_is_scaled() -> None:
    edges = [placement(s, head=0.2, normal=0.8, offset=0) for s in range(24)]
    narrow = [replace(e, sigma=e.sigma / 2) for e in edges]
    a, b = fit(edges).blend, fit(narrow, 2.0).blend
    np.testing.assert_allclose([a.head, a.normal, a.offset], [b.head, b.normal, b.offset], rtol=1e-3, atol=1e-4)


def test_families_count_alike_and_large_placements_are_thinned() -> None:
    rng = np.random.default_rng(1)
    maps = [rng.random((70, 80)).astype(np.float32) for _ in range(4)]
    maps[0][:, -1] = np.nan
    edges = Edges.of("f", ("f", "tech", "a"), *maps)
    assert MOST_EDGES / 2 < len(edges.is_over) <= MOST_EDGES
    five = [placement(s, head=0, normal=1, offset=0) for s in range(5)]
    another = [placement(6 * s + 5, head=1, normal=0, offset=0) for s in range(20)]  # more placements, one family
    found = fit([*five, *another]).blend
    assert found.normal > found.head
    none = replace(five[0], is_over=np.zeros(0, bool), head=maps[1][0, :0], mean=maps[1][0, :0], sigma=maps[1][0, :0])
    assert fit([none, *five, *another]).blend == found


@pytest.mark.parametrize("overflowing", [0, 1])
def test_data_of_fewer_than_two_families_that_overflow_leave_the_weights_alone(overflowing: int) -> None:
    calm = [placement(s, head=0, normal=0, offset=-30) for s in range(6 - overflowing)]
    assert not any(e.is_over.any() for e in calm)
    edges = [*calm, *(placement(5, head=1, normal=0, offset=0) for _ in range(overflowing))]
    found, again = fit(edges), fit(edges, before=Blend(0.5, 0.6, -0.5))
    assert (found.blend, again.blend) == (Blend(), Blend(0.5, 0.6, -0.5))
    assert found.cross_entropy == found.cross_entropy_head == again.cross_entropy_head > 0
    assert again.cross_entropy != again.cross_entropy_head
