"""Nets of a hot spot and of the overflow: expected wire from Steiner trees, against enumeration."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import SyntheticGraph, make_export, make_pins, make_prediction

from circuit_io.hotspots import HotSpot, find_hotspots
from circuit_io.prediction import Prediction
from circuit_io.spot_nets import first_nets, largest, net_overflow, spot_wires
from circuit_io.steiner import points_of_nets, steiner_trees


def graph_of(boxes: list[tuple[int, int, int, int]], pins: list[tuple[int, int, int]], nx: int) -> SyntheticGraph:
    """Nets with these boxes and pins (net, column, row)."""
    net, x, y = np.array(pins, np.int32).T
    return SyntheticGraph(np.array(boxes, np.int32), net, net, (y * nx + x).astype(np.int32))


def spot_of(direction: str, edges: tuple[int, int, int, int]) -> HotSpot:
    return HotSpot(1, direction, edges, (0.0, 0.0, 1.0, 1.0), 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1, 1.0, True)


def flat(nx: int, ny: int) -> Prediction:
    """Gcells of 2 x 3 um."""
    return Prediction({}, np.arange(nx + 1) * 2.0, np.arange(ny + 1) * 3.0, {})


def test_two_pins_take_either_l() -> None:
    graph = graph_of([(1, 1, 4, 3), (0, 0, 0, 0)], [(0, 1, 1), (0, 4, 3), (1, 0, 0)], nx=6)
    whole, lower, middle, part = (0, 0, 5, 4), (0, 0, 5, 1), (0, 2, 5, 2), (2, 0, 2, 4)
    for direction, edges, wanted in (
        ("h", whole, 3 * 2.0),
        ("h", lower, 1.5 * 2.0),
        ("h", middle, 0.0),
        ("h", part, 1 * 2.0),
        ("v", whole, 2 * 3.0),
        ("v", (4, 2, 4, 2), 0.5 * 3.0),
        ("v", (2, 0, 3, 4), 0.0),
    ):
        (wires,) = spot_wires(flat(6, 5), graph, [spot_of(direction, edges)])
        assert wires.tolist() == [wanted, 0.0], (direction, edges)


def test_a_straight_net_counts_once() -> None:
    graph = graph_of([(0, 2, 5, 2)], [(0, 0, 2), (0, 3, 2), (0, 5, 2), (0, 5, 2)], nx=6)
    for direction, wanted in (("h", 10.0), ("v", 0.0)):
        (wires,) = spot_wires(flat(6, 5), graph, [spot_of(direction, (0, 0, 5, 4))])
        assert wires.tolist() == [wanted]


def brute(graph: SyntheticGraph, nx: int, direction: str, box: tuple[int, int, int, int]) -> np.ndarray:
    """Expected edges of each net in the box, edge by edge of both L shapes of every segment of all trees."""
    out = np.zeros(len(graph.net_box))
    trees = steiner_trees(*points_of_nets(graph.pin_net, graph.pin_gcell, nx), len(out))
    for net, (x0, y0, x1, y1) in zip(trees.segment_net.tolist(), trees.ends.tolist(), strict=True):
        for y, x in ((y0, x1), (y1, x0)):  # first along the row y, then along the column x, or the other way round
            crossed = [(ix, y) for ix in range(min(x0, x1), max(x0, x1))]
            if direction == "v":
                crossed = [(x, iy) for iy in range(min(y0, y1), max(y0, y1))]
            out[net] += 0.5 * sum(box[0] <= ix <= box[2] and box[1] <= iy <= box[3] for ix, iy in crossed)
    return out


def random_nets(rng: np.random.Generator, nx: int, ny: int) -> SyntheticGraph:
    low = rng.integers(0, (nx, ny), (12, 2))
    box = np.concatenate([low, rng.integers(low, (nx, ny))], 1).astype(np.int32)
    net, gcell = make_pins(box, nx)
    return SyntheticGraph(box, net, net, gcell)


@given(st.integers(0, 10**6), st.sampled_from("hv"))
def test_wires_are_those_of_the_shapes(seed: int, direction: str) -> None:
    rng = np.random.default_rng(seed)
    nx, ny = rng.integers(2, 9, 2).tolist()
    graph, spots = random_nets(rng, nx, ny), []
    for _ in range(3):
        (x0, x1), (y0, y1) = np.sort(rng.integers(0, nx, 2)).tolist(), np.sort(rng.integers(0, ny, 2)).tolist()
        spots.append(spot_of(direction, (x0, y0, x1, y1)))
    for spot, wires in zip(spots, spot_wires(flat(nx, ny), graph, spots), strict=True):
        length = 2.0 if direction == "h" else 3.0
        np.testing.assert_allclose(wires, brute(graph, nx, direction, spot.edges) * length)


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_overflow_falls_to_nets_by_their_wires_on_each_edge(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nx, ny = rng.integers(2, 7, 2).tolist()
    graph = random_nets(rng, nx, ny)
    overflow = {d: np.maximum(rng.uniform(-2, 5, (ny, nx)), 0) for d in "hv"}
    overflow["h"][:, -1] = overflow["v"][-1] = np.nan  # no edge leads out of the grid
    wanted, left = np.zeros(len(graph.net_box)), 0.0
    for d, ix, iy in itertools.product("hv", range(nx), range(ny)):
        wires, tracks = brute(graph, nx, d, (ix, iy, ix, iy)), float(np.nan_to_num(overflow[d][iy, ix]))
        wanted += tracks * wires / max(wires.sum(), 0.5)
        left += tracks * (wires.sum() == 0)
    found = net_overflow(graph, overflow["h"], overflow["v"])
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert found.sum() + left == pytest.approx(sum(np.nansum(o) for o in overflow.values()), rel=1e-5)


def test_the_parts_of_nets_add_up_to_the_overflow(tmp_path: Path) -> None:
    design = make_export(tmp_path / "d")
    maps = make_prediction(design).maps
    over = [np.maximum(maps[f"congestion_{d}"] - 1, 0) * maps[f"capacity_{d}"] for d in "hv"]
    assert net_overflow(design.graph, *over).sum() == pytest.approx(sum(np.nansum(o) for o in over), rel=1e-3)


def test_ranking_of_nets(tmp_path: Path) -> None:
    design = make_export(tmp_path / "d")
    prediction = make_prediction(design)
    spots = find_hotspots(prediction)
    for spot, wire_um in zip(spots, spot_wires(prediction, design.graph, spots), strict=True):
        nets, every = first_nets(wire_um, 7), first_nets(wire_um, 999)
        assert 0 < len(nets) <= 7
        assert nets == every[:7]
        assert [n.wire_um for n in every] == sorted((n.wire_um for n in every), reverse=True)
        assert sum(n.share_frac for n in every) == pytest.approx(1)
        for n in every:
            x0, y0, x1, y1 = design.graph.net_box[n.net_id]
            assert x0 <= spot.edges[2] + 1
            assert x1 >= spot.edges[0]
            assert y0 <= spot.edges[3] + 1
            assert y1 >= spot.edges[1]


def test_no_hot_spot_and_no_pin() -> None:
    graph = SyntheticGraph(np.array([[1, 1, 0, 0]], np.int32), *(np.zeros(0, np.int32) for _ in range(3)))
    assert list(spot_wires(flat(3, 3), graph, [])) == []
    assert next(spot_wires(flat(3, 3), graph, [spot_of("h", (0, 0, 2, 2))])).tolist() == [0.0]


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0])), st.integers(1, 5))
def test_largest_is_a_stable_sort(values: list[float], top: int) -> None:
    wanted = sorted((i for i, v in enumerate(values) if v > 0), key=lambda i: (-values[i], i))[:top]
    assert largest(np.array(values, np.float64), top).tolist() == wanted
