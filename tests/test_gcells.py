"""The gcell grid, capacities and reductions against what OpenROAD wrote, on every labelled placement."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuit_io.errors import InputError
from circuit_io.gcells import HORIZONTAL, VERTICAL, GcellGrid, RoutingLayer, adjusted, blocked_tracks, make_grid
from circuit_io.labels import edge_mask, find, read_gcell_grid, read_parameters, read_usage, reductions
from circuit_io.lef import read_lef
from circuit_io.text import read_bytes


def lef_files(home: Path) -> list[Path]:
    """LEF files of a folder, technology first."""
    files = [p for p in home.iterdir() if p.name.removesuffix(".gz").endswith(("lef", "tlef"))]
    return sorted(files, key=lambda p: ("tech" not in p.name and "tlef" not in p.name, p.name))


@cache
def _layers_of(tech_lef: Path) -> tuple[tuple[str, int, int], ...]:
    library = read_lef(tech_lef)
    found = [
        (library.layer_names[i], int(library.routing_level[i]), int(library.layer_direction[i]))
        for i in range(len(library.layer_names))
        if library.routing_level[i]
    ]
    return tuple(found)


def grid_of(folder: Path, tech_lef: Path) -> GcellGrid:
    """The grid from DIEAREA and TRACKS alone, so that the test needs no whole DEF."""
    text = read_bytes(find(folder, "placed.def"))
    head = text[: text.index(b"COMPONENTS")].decode()
    x1, y1, x2, y2 = map(int, re.search(r"DIEAREA \( (\d+) (\d+) \) \( (\d+) (\d+) \)", head).groups())
    tracks: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    for axis, start, count, step, layer in re.findall(r"TRACKS (\w) (\d+) DO (\d+) STEP (\d+) LAYER (\S+)", head):
        tracks.setdefault((layer, axis), []).append((int(start), int(count), int(step)))
    layers = []
    for name, level, direction in _layers_of(tech_lef):
        columns = zip(*tracks.get((name, "Y" if direction == HORIZONTAL else "X"), []), strict=True)
        layers.append(RoutingLayer(name, level, direction, *columns))
    low, high = read_parameters(folder)["signal_layers"]
    return make_grid((x1, y1, x2, y2), tuple(layers), signal_layers=(low, high))


def _check(folder: Path, tech_lef: Path) -> int:
    """Layer-edges of one placement whose usage equals the reduction."""
    grid = grid_of(folder, tech_lef)
    x, y = read_gcell_grid(find(folder, "gcell_grid.csv"))
    assert np.array_equal(x, grid.x_dbu()[:-1]), folder
    assert np.array_equal(y, grid.y_dbu()[:-1]), folder
    table = read_usage(find(folder, "gcell_usage.csv"), nx=grid.nx, ny=grid.ny)
    adjustment = read_parameters(folder)["layer_adjustment"]
    reduction = reductions(table, dict.fromkeys(table.layers, adjustment))
    equal = 0
    for i, name in enumerate(table.layers):
        layer = next(k for k in grid.layers if k.name == name)
        real = ~edge_mask((grid.ny, grid.nx), layer.direction)
        assert np.array_equal(grid.capacity(layer)[real], table.capacity[i][real]), (folder, name)
        if "dma_buffer" not in folder.parts:  # under its macros the router adjusts what they leave, not all tracks
            assert (table.usage[i][real] >= reduction[i][real]).all(), (folder, name)
        equal += int((table.usage[i][real] == reduction[i][real]).sum())
    return equal


@pytest.mark.parametrize(
    ("patterns", "spacing"),
    [
        ([(190, 1315, 380)], 380),
        ([(190, 1315, 380)] * 2, 380),  # a floorplan's DEF after make_tracks: each track is there twice
        ([(0, 10, 100), (50, 10, 100)], 48),  # 950 / 20 up, as OpenROAD counts
        ([], 0),
    ],
)
def test_the_spacing_of_tracks_is_openroads(patterns: list[tuple[int, int, int]], spacing: int) -> None:
    layer = RoutingLayer("M2", 2, VERTICAL, *zip(*patterns, strict=True))
    assert layer.spacing_dbu == spacing


@pytest.mark.parametrize("tech", ["asap7", "ihp-sg13g2", "nangate45", "sky130hd"])
def test_grid_capacity_and_reduction_are_openroads_on_all_labels(gsr_data: Path, tech: str) -> None:
    tech_lef = lef_files(gsr_data / "pdk" / tech / "lef")[0]
    folders = [p.parent for p in sorted((gsr_data / "labels" / tech).glob("*/*/done.json"))]
    assert len(folders) >= 15
    assert sum(_check(folder, tech_lef) for folder in folders) > 0  # the bound is met with equality somewhere


def test_grid_and_capacity_are_openroads_on_the_kit(kit: Path) -> None:
    folders = [p.parent for p in sorted((kit / "labels").glob("*/*/*/done.json"))]
    assert len(folders) == 32
    for folder in folders:
        _check(folder, kit / "tech" / "gsr45_tech.lef")


@given(st.integers(0, 60), st.floats(0, 1))
def test_an_adjustment_leaves_at_least_one_track_where_there_was_one(capacity: int, adjustment: float) -> None:
    left = int(adjusted(np.asarray([[capacity]]), adjustment)[0, 0])
    assert left == (0 if capacity == 0 else max(1, int(np.floor(np.float32(capacity) * (1 - np.float32(adjustment))))))


def _grid(nx: int = 4, ny: int = 3) -> GcellGrid:
    layers = (
        RoutingLayer("m1", 1, HORIZONTAL, (50,), (30 * ny // 2,), (10,)),
        RoutingLayer("m2", 2, VERTICAL, (5,), (15 * nx,), (10,)),
        RoutingLayer("m3", 3, HORIZONTAL, (5,), (15 * ny,), (10,)),
        RoutingLayer("m4", 4, VERTICAL, (5,), (15 * nx,), (10,)),
    )
    return make_grid((0, 0, 150 * nx + 70, 150 * ny), layers, signal_layers=("m2", "m4"))


def test_the_last_column_takes_the_remainder() -> None:
    grid = _grid()
    assert (grid.nx, grid.ny, grid.tile_dbu) == (4, 3, 150)
    assert np.diff(grid.x_dbu()).tolist() == [150, 150, 150, 220]
    assert grid.column(np.asarray([-5, 0, 149, 150, 669, 10_000])).tolist() == [0, 0, 0, 1, 3, 3]


def test_a_shape_blocks_the_edges_it_crosses_and_overlaps_count_once() -> None:
    grid = _grid()
    m3 = grid.layers[2]
    rail = [100, 40, 320, 60]  # columns 0 to 2, row 0
    got = blocked_tracks(grid, m3, np.asarray([rail, [140, 50, 170, 75], [10, 100, 20, 120], [140, 290, 160, 310]]))
    want = np.zeros((3, 4), int)
    want[0, 0] = 4  # 40 to 75 across a pitch of 10, the overlap once
    want[0, 1] = 2
    want[1, 0] = 1  # 290 to 300
    want[2, 0] = 1  # 300 to 310
    assert got.tolist() == want.tolist()
    m2 = grid.layers[1]
    assert blocked_tracks(grid, m2, np.asarray([rail])).sum() == 0  # it crosses no border upwards
    assert blocked_tracks(grid, m2, np.zeros((0, 4), np.int64)).shape == (3, 4)
    got = blocked_tracks(grid, m3, np.asarray([[10, 100, 20, 120], [500, 100, 520, 130]]), inside=True)
    want = np.zeros((3, 4), int)
    want[0, 0] = 2  # within one gcell: the edge to the next is blocked, in the last column none is left
    assert got.tolist() == want.tolist()
    assert blocked_tracks(grid, m2, np.asarray([[10, 300, 30, 310]]), inside=True).sum() == 0, "the uppermost row"
    assert blocked_tracks(grid, m2, np.asarray([[10, 160, 30, 170]]), inside=True)[1, 0] == 2


def test_no_signal_layers_is_a_warning_and_wrong_ones_are_errors() -> None:
    layers = _grid().layers
    die = (0, 0, 600, 450)
    assert "assuming m2 to m4" in make_grid(die, layers).warnings[0]
    for given_, what in [(("m2", "m9"), "no routing layer"), (("m4", "m2"), "reversed")]:
        with pytest.raises(InputError, match=what):
            make_grid(die, layers, signal_layers=given_)
    with pytest.raises(InputError, match="smaller than one gcell"):
        make_grid((0, 0, 100, 100), layers, signal_layers=("m2", "m4"))
    bare = tuple(RoutingLayer(k.name, k.level, k.direction) for k in layers)
    with pytest.raises(InputError, match="no TRACKS"):
        make_grid(die, bare)
