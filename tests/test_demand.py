"""Demand maps against loops over every shape of every segment."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_io import native
from circuit_io.demand import demand_l, demand_z, rudy, window_mean
from circuit_io.steiner import Trees, _prim, _prim_wide, points_of_nets, steiner_trees


@st.composite
def segments(draw: st.DrawFn) -> tuple[np.ndarray, int, int]:
    nx, ny = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    point = st.tuples(st.integers(0, nx - 1), st.integers(0, ny - 1))
    ends = [a + b for a, b in draw(st.lists(st.tuples(point, point), max_size=12)) if a != b]
    return np.asarray(ends, np.int64).reshape(-1, 4), nx, ny


class Canvas:
    """Wires counted edge by edge."""

    def __init__(self, nx: int, ny: int) -> None:
        self.h, self.v = np.zeros((ny, nx)), np.zeros((ny, nx))

    def wire(self, x0: int, y0: int, x1: int, y1: int, weight: float) -> None:
        assert x0 == x1 or y0 == y1
        self.h[y0, min(x0, x1) : max(x0, x1)] += weight if y0 == y1 else 0
        self.v[min(y0, y1) : max(y0, y1), x0] += weight if x0 == x1 else 0


@settings(deadline=None)
@given(segments())
def test_z_demand_is_the_mean_of_all_z_shapes(case: tuple[np.ndarray, int, int]) -> None:
    ends, nx, ny = case
    want = Canvas(nx, ny)
    for x0, y0, x1, y1 in ends.tolist():
        if x0 == x1 or y0 == y1:
            want.wire(x0, y0, x1, y1, 1.0)
            continue
        each = 1.0 / (abs(x1 - x0) + abs(y1 - y0) + 2)
        for c in range(min(x0, x1), max(x0, x1) + 1):
            for leg in ((x0, y0, c, y0), (c, y0, c, y1), (c, y1, x1, y1)):
                want.wire(*leg, each)
        for r in range(min(y0, y1), max(y0, y1) + 1):
            for leg in ((x0, y0, x0, r), (x0, r, x1, r), (x1, r, x1, y1)):
                want.wire(*leg, each)
    h, v = demand_z(Trees(np.zeros(len(ends), np.int64), ends), nx, ny)
    np.testing.assert_allclose(h, want.h, atol=1e-12)
    np.testing.assert_allclose(v, want.v, atol=1e-12)


@settings(deadline=None)
@given(segments())
def test_l_demand_is_the_mean_of_both_l_shapes(case: tuple[np.ndarray, int, int]) -> None:
    ends, nx, ny = case
    want = Canvas(nx, ny)
    for x0, y0, x1, y1 in ends.tolist():
        for cx, cy in ((x1, y0), (x0, y1)):
            want.wire(x0, y0, cx, cy, 0.5)
            want.wire(cx, cy, x1, y1, 0.5)
    h, v = demand_l(Trees(np.zeros(len(ends), np.int64), ends), nx, ny)
    np.testing.assert_allclose(h, want.h, atol=1e-12)
    np.testing.assert_allclose(v, want.v, atol=1e-12)


def test_rudy_spreads_one_wire_of_each_direction_over_the_box() -> None:
    box = np.asarray([[1, 0, 3, 1], [0, 0, 0, 0], [2, 2, 2, 4], [1, 1, 0, 0]])
    h, v = rudy(box, 5, 6)
    want_h, want_v = np.zeros((6, 5)), np.zeros((6, 5))
    want_h[0:2, 1:3] += 1 / 2
    want_v[0:1, 1:4] += 1 / 3
    want_v[2:4, 2:3] += 1.0
    np.testing.assert_allclose(h, want_h, atol=1e-12)
    np.testing.assert_allclose(v, want_v, atol=1e-12)


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (1, 0), (0, 1), (2, 2), (5, 5)])
def test_window_mean_is_cut_at_the_border(rows: int, columns: int) -> None:
    values = np.random.default_rng(0).random((4, 7))
    got = window_mean(values, rows, columns)
    for y in range(4):
        for x in range(7):
            part = values[max(0, y - rows) : y + rows + 1, max(0, x - columns) : x + columns + 1]
            assert got[y, x] == pytest.approx(part.mean())


@st.composite
def pin_sets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    pins = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 35)), min_size=1, max_size=60))
    table = np.asarray(pins, np.int64)
    return table[:, 0], table[:, 1], 6


def _components(points: list[tuple[int, int]], ends: np.ndarray) -> int:
    """Connected groups of a net's points once its segments join them."""
    parent = {p: p for p in points}

    def root(p: tuple[int, int]) -> tuple[int, int]:
        parent.setdefault(p, p)
        while parent[p] != p:
            p = parent[p]
        return p

    for x0, y0, x1, y1 in ends.tolist():
        parent[root((x0, y0))] = root((x1, y1))
    return len({root(p) for p in points})


@settings(deadline=None)
@given(pin_sets())
def test_trees_join_every_point_and_are_no_longer_than_prim(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    net, gcell, nx = case
    points_net, points = points_of_nets(net, gcell, nx)
    trees = steiner_trees(points_net, points, 6)
    assert (np.diff(trees.segment_net) >= 0).all()
    for n in range(6):
        mine = [tuple(p) for p in points[points_net == n].tolist()]
        ends = trees.ends[trees.segment_net == n]
        assert _components(mine, ends) == min(1, len(mine))
        length = int(np.abs(ends[:, 2:] - ends[:, :2]).sum())
        assert length <= _prim_length(mine)
        if mine:
            span = sum(max(c) - min(c) for c in zip(*mine, strict=True))
            assert length >= span
            if len(mine) == 3:
                assert length == span  # three points: the median is the best Steiner point


def _prim_length(points: list[tuple[int, int]]) -> int:
    left, inside, total = list(points[1:]), list(points[:1]), 0
    while left:
        d, p = min((min(abs(p[0] - q[0]) + abs(p[1] - q[1]) for q in inside), p) for p in left)
        total += d
        inside.append(p)
        left.remove(p)
    return total


def test_a_net_of_many_points_is_built_alone() -> None:
    rng = np.random.default_rng(1)
    gcell = rng.integers(0, 2500, 400)
    points_net, points = points_of_nets(np.zeros(400, np.int64), gcell, 50)
    trees = steiner_trees(points_net, points, 1)
    assert _components([tuple(p) for p in points.tolist()], trees.ends) == 1
    assert trees.lengths().sum() <= _prim_length([tuple(p) for p in points.tolist()])


def _random_points(seed: int, nets: int, pins: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return points_of_nets(rng.integers(0, nets, pins), rng.integers(0, side * side, pins), side)


@pytest.mark.parametrize(("nets", "pins", "side"), [(400, 3000, 3), (3000, 12000, 40), (40, 3000, 200), (2, 7000, 90)])
def test_trees_of_the_scanner_equal_those_of_numpy(
    monkeypatch: pytest.MonkeyPatch, nets: int, pins: int, side: int
) -> None:
    if native.library() is None:
        pytest.skip("the C scanner is not built")
    points_net, points = _random_points(5, nets, pins, side)
    found = []
    for scanner in ("c", "python"):
        monkeypatch.setenv("GSR_SCANNER", scanner)
        found.append(steiner_trees(points_net, points, nets + 1))  # the last net has no point
    assert found[0].segment_net.dtype == found[1].segment_net.dtype
    np.testing.assert_array_equal(found[0].segment_net, found[1].segment_net)
    np.testing.assert_array_equal(found[0].ends, found[1].ends)


@pytest.mark.parametrize("side", [30, 90, 3000])
def test_a_net_kept_by_neighbourhood_has_the_tree_of_the_plain_sweep(side: int) -> None:
    _, points = _random_points(side, 1, 900, side)
    for wide, plain in zip(_prim_wide(points), _prim(points[:, :1], points[:, 1:]), strict=True):
        np.testing.assert_array_equal(wide, plain)


@pytest.mark.parametrize("numbers", [[1], [-1, 0, 0], [2, 0, 0], [1, 0, 0, 0, 0], []])
def test_points_that_do_not_fit_their_counts_are_not_the_scanners(numbers: list[int]) -> None:
    if native.library() is None:
        pytest.skip("the C scanner is not built")
    text = np.asarray(numbers, np.int32).tobytes()
    assert native.scan("scan_steiner", text, 1) is None
