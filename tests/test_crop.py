"""A window of a design holds what lies in it, and the whole window is the design."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from circuit_io.crop import crop, tiles_of, window_at
from circuit_io.graph import CircuitGraph
from circuit_io.labels import Labels


def _design(nx: int, ny: int, seed: int) -> tuple[CircuitGraph, Labels]:
    rng = np.random.default_rng(seed)
    insts, nets, pins = 30, 12, 50
    net = np.sort(rng.integers(0, nets, pins)).astype(np.int32)
    inst = rng.integers(0, insts, pins).astype(np.int32)
    cell = rng.integers(0, nx * ny, insts).astype(np.int32)
    box = np.tile(np.asarray([1, 1, 0, 0], np.int32), (nets, 1))
    for n in range(nets):
        mine = cell[inst[net == n]]
        if len(mine):
            box[n] = (min(mine % nx), min(mine // nx), max(mine % nx), max(mine // nx))
    features = lambda rows: np.arange(rows, dtype=np.float32)[:, None]  # noqa: E731
    graph = CircuitGraph(nx, ny, cell, inst, net, cell[inst], box, *map(features, (insts, nets, nx * ny, pins)))
    maps = [rng.random((ny, nx)).astype(np.float32) for _ in range(4)]
    for values in maps[::2]:
        values[:, -1] = np.nan
    for values in maps[1::2]:
        values[-1] = np.nan
    return graph, Labels(*maps, rng.random(nets).astype(np.float32))


places = st.tuples(st.floats(0, 1), st.floats(0, 1))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 7), st.integers(0, 99), places)
def test_a_window_keeps_insts_nets_and_labels_at_their_places(
    nx: int, ny: int, side: int, seed: int, place: tuple[float, float]
) -> None:
    graph, labels = _design(nx, ny, seed)
    x0, y0, width, height = window = window_at(nx, ny, side, place)
    part, cut, net = crop(graph, labels, window)
    assert part.net_features.ravel().tolist() == net.tolist()
    where = lambda g, cells: (cells % g.nx, cells // g.nx)  # noqa: E731
    inside = [
        i for i, (x, y) in enumerate(zip(*where(graph, graph.inst_gcell), strict=True))
        if x0 <= x < x0 + width and y0 <= y < y0 + height
    ]  # fmt: skip
    assert part.inst_features.ravel().tolist() == inside
    x, y = where(part, part.inst_gcell)
    assert np.array_equal((y + y0) * nx + x + x0, graph.inst_gcell[inside])
    for row, old in zip(part.net_box, part.net_features.ravel().astype(int), strict=True):
        low, high = graph.net_box[old, :2] - (x0, y0), graph.net_box[old, 2:] - (x0, y0)
        assert row[:2].tolist() == np.maximum(low, 0).tolist()
        assert row[2:].tolist() == np.minimum(high, (width - 1, height - 1)).tolist()
        assert (row[:2] <= row[2:]).all()
    new = zip(part.inst_features[part.pin_inst, 0], part.net_features[part.pin_net, 0], strict=True)
    old_pins = zip(graph.pin_inst.tolist(), graph.pin_net.tolist(), strict=True)
    assert sorted((int(i), int(n)) for i, n in new) == sorted((i, n) for i, n in old_pins if i in inside)
    assert np.isnan(cut.congestion_h[:, -1]).all()
    assert np.array_equal(cut.congestion_h[:, :-1], labels.congestion_h[y0 : y0 + height, x0 : x0 + width - 1])
    assert np.array_equal(cut.congestion_v[:-1], labels.congestion_v[y0 : y0 + height - 1, x0 : x0 + width])


def test_the_whole_window_is_the_design() -> None:
    graph, labels = _design(5, 4, 1)
    part, cut, _ = crop(graph, labels, (0, 0, 5, 4))
    used = graph.net_box[:, 2] >= graph.net_box[:, 0]
    assert np.array_equal(part.inst_gcell, graph.inst_gcell)
    assert np.array_equal(part.net_box, graph.net_box[used])
    assert np.array_equal(cut.congestion_h, labels.congestion_h, equal_nan=True)
    assert np.array_equal(part.gcell_features, graph.gcell_features)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 10), st.integers(1, 4))
def test_tiles_hold_every_gcell_once_and_see_their_surroundings(nx: int, ny: int, side: int, halo: int) -> None:
    held = np.zeros((ny, nx), int)
    for (x, y, width, height), (left, low, columns, rows) in tiles_of(nx, ny, side, halo):
        assert 1 <= width <= side
        assert 1 <= height <= side
        held[y : y + height, x : x + width] += 1
        assert (left, low) == (max(x - halo, 0), max(y - halo, 0))
        assert (left + columns, low + rows) == (min(x + width + halo, nx), min(y + height + halo, ny))
    assert (held == 1).all()
