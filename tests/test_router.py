"""The embedded router: C and NumPy alike to the bit, whole routes, seeds, capacity, bad input, and the kit's labels."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_graph import synthetic_graph

from bench.corpus import library_files
from circuit_io import router_native, router_reference
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.graph import Layers
from circuit_io.prediction import read_prediction
from circuit_io.router import route
from circuit_io.router_board import Board, Plan, board_of, plan_of
from circuit_io.router_demand import Demand, Pair, demand_of, is_edge
from circuit_io.router_maze import Round
from circuit_io.router_run import passes_here, route_once
from circuit_io.store import StoredDesign, open_design
from gsr_plugin.cli import main
from gsr_plugin.metrics import score_placement

NATIVE = pytest.mark.skipif(not router_native.is_built(), reason="the C code is not built")


def task_of(
    nx: int, ny: int, nets: list[list[tuple[int, int]]], *, tracks: int = 3, blocked: int = 0, total: int | None = None
) -> Demand:
    pins = [(n, y * nx + x) for n, points in enumerate(nets) for x, y in points]
    net, gcell = np.asarray(pins, np.int32).reshape(-1, 2).T
    full = lambda value: (np.full((ny, nx), value, np.int32), np.full((ny, nx), value, np.int32))  # noqa: E731
    order = np.argsort(net, kind="stable")
    return Demand(nx, ny, len(nets), net[order], gcell[order], full(tracks), full(total or tracks), full(blocked))


@st.composite
def tasks(draw: st.DrawFn) -> Demand:
    nx, ny = draw(st.integers(1, 9)), draw(st.integers(2, 9))
    seed, num_nets = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 16))
    rng = np.random.default_rng(seed)
    net = np.sort(rng.integers(0, max(num_nets, 1), int(num_nets * 2.5))).astype(np.int32)
    num_layers, lowest = draw(st.integers(2, 5)), draw(st.integers(0, 1))
    along_x = (np.arange(num_layers) + draw(st.integers(0, 1))) % 2 == 0
    room = rng.integers(0, draw(st.integers(3, 12)), (num_layers, ny, nx))
    room[:lowest] = 0
    room[along_x, :, -1] = 0
    room[~along_x, -1] = 0
    room[num_layers - 2 :, 0, 0] = 4
    left = [room[along_x == way].sum(axis=0).astype(np.int32) for way in (True, False)]
    blocked = (rng.integers(0, 3, (ny, nx), np.int32), rng.integers(0, 3, (ny, nx), np.int32))
    capacity = (left[0] + blocked[0], left[1] + blocked[1])
    total = tuple(c + rng.integers(0, 4, (ny, nx), np.int32) for c in capacity)
    gcell = rng.integers(0, nx * ny, len(net)).astype(np.int32)
    layers = Layers(lowest, along_x, room.astype(np.uint16), rng.integers(0, num_layers, len(net)).astype(np.uint8))
    flags = (rng.random(len(net)) < 0.3, rng.random(len(net)) < 0.2)
    return Demand(nx, ny, max(num_nets, 1), net, gcell, capacity, (total[0], total[1]), blocked, *flags, layers)


@NATIVE
@settings(deadline=None, max_examples=30)
@given(tasks())
def test_c_grows_the_trees_that_python_grows(task: Demand) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GSR_SCANNER", "python")
        python = plan_of(task).trees
    c = plan_of(task).trees
    np.testing.assert_array_equal(c.segment_net, python.segment_net)
    np.testing.assert_array_equal(c.ends, python.ends)


@NATIVE
@settings(deadline=None, max_examples=15)
@given(tasks(), st.integers(0, 9))
def test_c_routes_as_numpy_does(task: Demand, number: int) -> None:
    c, numpy = (route_once(task, number, passes=p) for p in (router_native, router_reference))
    np.testing.assert_array_equal(c.wires, numpy.wires)
    np.testing.assert_array_equal(c.tally.sums, numpy.tally.sums)
    np.testing.assert_array_equal(c.tally.squares, numpy.tally.squares)
    np.testing.assert_array_equal(c.net_gcells, numpy.net_gcells)
    assert (c.searched, c.rounds, c.overflow) == (numpy.searched, numpy.rounds, numpy.overflow)


@settings(deadline=None, max_examples=10)
@given(tasks(), st.integers(0, 4))
def test_routes_join_all_gcells_of_a_net_and_are_what_is_counted(task: Demand, number: int) -> None:
    kept: list[router_reference.Maze] = []

    class Watched:
        route_l = staticmethod(router_reference.route_l)
        route_l_again = staticmethod(router_reference.route_l_again)
        route_z = staticmethod(router_reference.route_z)
        route_via = staticmethod(router_reference.route_via)

        @staticmethod
        def Maze(plan: Plan, board: Board) -> router_reference.Maze:
            kept.append(router_reference.Maze(plan, board))
            return kept[-1]

    run = route_once(task, number, passes=Watched())
    (maze,) = kept
    size = task.nx * task.ny
    wires = [np.zeros(size, int) for _ in "hv"]
    for net, tree in zip(maze.task.net.tolist(), maze.trees, strict=True):
        paths = [edge.path for edge in tree.edges if edge is not None]
        steps = {(min(p, q), max(p, q)) for path in paths for p, q in pairwise(path)}
        own = len([1 for p, q in steps if p // size == q // size])  # what it shares with itself counts once
        assert own + (own > 0) <= run.net_gcells[net] <= 2 * own
        for path in paths:
            for p, q in pairwise(path):
                if p // size == q // size:
                    wires[int(abs(p - q) != 1 or task.nx == 1)][min(p, q) % size] += 1
                else:
                    assert abs(p - q) == size, "a via joins neighbours"
        gcells = set(task.pin_gcell[task.pin_net == net].tolist())
        parts = [{cell % size for cell in path} for path in paths]
        if len(gcells) < 2:
            assert parts == []
            continue
        joined, left = parts[0], parts[1:]
        while touching := [p for p in left if p & joined]:
            left = [p for p in left if not p & joined]
            joined = joined.union(*touching)
        assert left == []
        assert gcells <= joined
    np.testing.assert_array_equal([w.ravel() for w in run.wires], wires)


@pytest.mark.parametrize("passes", [router_reference, pytest.param(router_native, marks=NATIVE)])
def test_lengths_are_counted_as_openroad_counts_them(passes: ModuleType) -> None:
    """Gcells, and one for each straight segment; a pin or a branch ends one, and nothing counts twice."""
    nets = [[(1, 4), (6, 4)], [(1, 1), (6, 3)], [(1, 7), (4, 7), (6, 7)], [(2, 2), (2, 2)], [(8, 0), (8, 6), (9, 3)]]
    run = route_once(task_of(10, 9, nets, tracks=9), 0, passes=passes)
    assert run.net_gcells.tolist() == [5 + 1, 7 + 2, 5 + 2, 0, 7 + 3]


def test_no_wire_leaves_the_grid() -> None:
    rng = np.random.default_rng(5)
    nets = [[(int(x), int(y)) for x, y in rng.integers(0, 9, (3, 2))] for _ in range(200)]
    run = route_once(task_of(9, 9, nets), 0)
    for wires, seen in zip(run.wires, is_edge((9, 9)), strict=True):
        assert not wires[~seen].any()
        assert (wires >= 0).all()


def test_wires_keep_to_the_capacity_where_they_can() -> None:
    """Ten nets between the same two gcells, two tracks an edge: five rows are enough, three are not."""
    nets = [[(2, 5), (9, 5)]] * 10
    roomy = route_once(task_of(12, 11, [[(2 + i % 2, 5 - i // 2), (9, 5 - i // 2)] for i in range(10)], tracks=2), 0)
    assert roomy.overflow == 0
    tight = route_once(task_of(12, 11, nets, tracks=2), 0)
    at_end = 10 - 4 * 2  # a gcell has four edges of two tracks
    assert tight.overflow >= 2 * at_end
    assert max(int(w.max()) for w in tight.wires) < 10


def test_a_detour_is_taken_around_what_is_full() -> None:
    """A wall across the straight way: wires go around it, and none crosses."""
    task = task_of(12, 9, [[(1, 4), (10, 4)]] * 4, tracks=4)
    task.capacity[0][2:7, 5] = 0
    run = route_once(task, 0)
    assert run.overflow == 0
    assert not run.wires[0][2:7, 5].any()
    assert run.wires[0][:, 5].sum() == 4
    assert 9 + 2 * 3 + 3 <= run.net_gcells.min() < 9 + 2 * 3 + 9  # three rows up or down and back, a few segments


def test_blocked_tracks_count_as_taken() -> None:
    task = task_of(8, 8, [[(0, 3), (7, 3)]] * 3, tracks=4, blocked=1)
    routing = route(task, runs=1)
    assert np.nanmin(routing.h) == pytest.approx(1 / 4)
    assert np.nanmax(routing.h) == pytest.approx(4 / 4)
    assert routing.overflow == (0,)


def test_among_equal_ways_wires_leave_the_left_end_along_x() -> None:
    run = route_once(task_of(6, 6, [[(1, 1), (4, 3)], [(0, 5), (2, 4)]], tracks=9), 0)
    assert run.wires[0][1, 1:4].tolist() == [1, 1, 1]
    assert run.wires[1][1:3, 4].tolist() == [1, 1]
    assert run.wires[0][5, 0:2].tolist() == [1, 1]
    assert run.wires[1][4, 2] == 1


@pytest.mark.parametrize(("tracks", "is_left"), [(2, True), (8, False)])
def test_a_seed_gives_the_same_maps_and_runs_are_counted_on(tracks: int, is_left: bool) -> None:
    rng = np.random.default_rng(1)
    nets = [[(int(x), int(y)) for x, y in rng.integers(0, 8, (4, 2))] for _ in range(50)]
    task, steps = task_of(8, 8, nets, tracks=tracks), passes_here()
    one, again, later = route(task, runs=4), route(task, runs=4), route(task, runs=2, seed=2)
    np.testing.assert_array_equal(one.h, again.h)
    np.testing.assert_array_equal(one.spread_v, again.spread_v)
    assert one.overflow == again.overflow
    assert one.overflow[2:] == later.overflow
    assert all((left > 0) == is_left for left in one.overflow)
    rounds: list[list[np.ndarray]] = []  # what a run leaves on the edges to the right after each

    class Watched(steps.Maze):  # type: ignore[misc,name-defined]
        def __init__(self, plan: Plan, board: Board) -> None:
            super().__init__(plan, board)
            rounds.append([])
            self.watched = board

        def rip_up(self, past: Pair, settings: Round) -> int:
            searched = super().rip_up(past, settings)
            rounds[-1].append(self.watched.wires[0].copy())
            return searched

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "Maze", Watched)
        single = [route_once(task, n) for n in range(4)]
    assert any((single[0].wires[0] != s.wires[0]).any() for s in single[1:])
    np.testing.assert_allclose(one.first_h[:, :-1], single[0].wires[0][:, :-1] / tracks, rtol=1e-6)
    last = [kept[-8:] if is_left else [s.wires[0]] for kept, s in zip(rounds, single, strict=True)]
    mean, spread = (np.asarray(of([w for kept in last for w in kept], axis=0)) / tracks for of in (np.mean, np.std))
    np.testing.assert_allclose(one.h[:, :-1], mean[:, :-1], rtol=1e-6)
    np.testing.assert_allclose(one.spread_h[:, :-1], spread[:, :-1], rtol=1e-5, atol=1e-7)
    assert np.isnan(one.h[:, -1]).all()
    assert np.isnan(one.v[-1]).all()
    over = np.mean([np.maximum(np.mean(kept, axis=0) - tracks, 0) for kept in last], axis=0)
    np.testing.assert_allclose(one.overflow_h[:, :-1], over[:, :-1], rtol=1e-6, atol=1e-7)


def test_pins_in_one_gcell_and_layer_are_one_point_and_trees_grow_from_the_driver() -> None:
    """The two near corners of a square hang at the one with the driver."""
    task = task_of(8, 8, [[(0, 6), (0, 0), (6, 0), (6, 6), (0, 0)]])
    for driver, sides in ((1, [[0, 0, 0, 6], [0, 0, 6, 0]]), (3, [[0, 6, 6, 6], [6, 0, 6, 6]])):
        plan = plan_of(replace(task, is_driver=np.arange(5) == driver))
        assert plan.points.count.tolist() == [4]
        found = plan.trees.ends.tolist()
        assert len(found) == 3
        for x0, y0, x1, y1 in sides:
            assert [x0, y0, x1, y1] in found or [x1, y1, x0, y0] in found


@NATIVE
def test_runs_side_by_side_are_those_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    task = task_of(12, 12, [[(int(x), int(y)) for x, y in rng.integers(0, 12, (4, 2))] for _ in range(120)])
    for most in (0, 5 * route_once(task, 0).searched):
        found = []
        for threads in ("1", "3"):
            monkeypatch.setenv("OMP_NUM_THREADS", threads)
            found.append(route(task, most_searched=most))
        np.testing.assert_array_equal(found[0].h, found[1].h)
        np.testing.assert_array_equal(found[0].spread_v, found[1].spread_v)
        np.testing.assert_array_equal(found[0].first_h, found[1].first_h)
        assert found[0].overflow == found[1].overflow
        assert len(found[0].overflow) == (8 if not most else len(found[1].overflow))
        assert not most or 2 < len(found[0].overflow) < 8


def test_a_process_of_one_core_makes_one_run_at_a_time() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("the system keeps no processes on single cores")
    script = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from circuit_io import router; "
    script += "print(router._threads())"
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == ["1"]


@NATIVE
def test_no_run_is_made_that_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    task = task_of(12, 12, [[(int(x), int(y)) for x, y in rng.integers(0, 12, (4, 2))] for _ in range(160)])
    made: list[int] = []

    def board(plan: Plan, number: int) -> Board:
        made.append(number)
        return board_of(plan, number)

    once = route_once(task, 0).searched
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("circuit_io.router_run.board_of", board)
    counts = []
    for most in (1, once, 2 * once, 3 * once, 0):
        made.clear()
        counts.append(len(route(task, most_searched=most).overflow))
        assert made == list(range(counts[-1])), most
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, 8)
    assert 1 < counts[2] < 8


def test_nets_without_wires_give_empty_maps() -> None:
    routing = route(task_of(3, 2, [[(0, 0), (0, 0)], [(1, 1)], []]), runs=2)
    assert np.nansum(routing.h) == 0
    assert np.nansum(routing.v) == 0
    assert routing.net_gcells.tolist() == 2 * [[0, 0, 0]]
    assert routing.rounds == (0, 0)


def test_a_grid_of_one_row_has_no_vertical_edge() -> None:
    task = task_of(5, 1, [[(0, 0), (4, 0)]])
    task.capacity[1][:] = 0
    routing = route(task, runs=1)
    assert np.isnan(routing.v).all()
    np.testing.assert_allclose(routing.h[0, :4], 1 / 3, rtol=1e-6)


def test_an_edge_without_tracks_is_nan() -> None:
    task = task_of(4, 4, [[(0, 0), (3, 3)]])
    task.capacity[0][2, 1] = 0
    routing = route(task, runs=1)
    assert np.isnan(routing.h[2, 1])
    assert np.isfinite(routing.h[:, :-1]).sum() == 11


def test_without_c_a_warning_tells_why_it_is_slow(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GSR_SCANNER", "python")
    task = task_of(6, 5, [[(0, 0), (5, 4), (3, 1)]] * 9, tracks=2)
    slow = route(task, runs=2)
    assert "in NumPy" in caplog.text
    monkeypatch.delenv("GSR_SCANNER")
    np.testing.assert_array_equal(slow.h, route(task, runs=2).h)


GOOD = [[(0, 0), (2, 2)]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nx": 1, "ny": 1, "pin_gcell": np.zeros(2, np.int32)}, r"grid of 1 x 1 gcells.*\n.*--gcell-um"),
        ({"nx": 2**15, "ny": 2**15}, r"32768 x 32768 gcells on 1 layers are too many\n.*--gcell-um"),
        ({"pin_gcell": np.asarray([0, 9], np.int32)}, "a pin is of a gcell that is not there: there are 9"),
        ({"pin_gcell": np.asarray([-1, 3], np.int32)}, "a pin is of a gcell that is not there"),
        ({"pin_net": np.asarray([0, 1], np.int32)}, "a pin is of a net that is not there: there are 1"),
        ({"pin_net": np.zeros(3, np.int32)}, "3 nets of pins, 2 gcells"),
        ({"capacity": (np.zeros((3, 3), np.int32), np.ones((3, 3), np.int32))}, r"no horizontal track.*\n.*signal"),
        ({"capacity": (np.ones((3, 3), np.int32), np.zeros((3, 3), np.int32))}, "no vertical track"),
        ({"blocked": (np.ones((3, 3), np.int32), np.full((3, 3), -1, np.int32))}, "blocked_v holds negative tracks"),
        ({"total": (np.ones((3, 2), np.int32), np.ones((3, 3), np.int32))}, r"total_h is \[3, 2\], the grid \[3, 3\]"),
    ],
)
def test_what_cannot_be_routed_is_refused(change: dict[str, object], message: str) -> None:
    task = task_of(3, 3, GOOD)
    for name, value in change.items():
        object.__setattr__(task, name, value)  # past the checks of shapes, which only the tests make
    with pytest.raises(InputError, match=message):
        route(task)


@pytest.mark.parametrize(
    ("num_layers", "pin_layer", "message"),
    [(2, 2, "a pin is on a layer that is not there: there are 2"), (65, 0, "65 layers, more than 64")],
)
def test_layers_that_cannot_be_are_refused(num_layers: int, pin_layer: int, message: str) -> None:
    room = np.ones((num_layers, 3, 3), np.uint16)
    layers = Layers(0, np.arange(num_layers) % 2 == 0, room, np.full(2, pin_layer, np.uint8))
    with pytest.raises(InputError, match=message):
        route(replace(task_of(3, 3, GOOD), layers=layers))


@pytest.mark.parametrize("passes", [pytest.param(router_native, marks=NATIVE), router_reference])
def test_a_row_of_gcells_is_laid_on_its_one_layer(passes: ModuleType) -> None:
    task = task_of(6, 1, [[(0, 0), (4, 0)]])
    room = np.full((1, 1, 6), 3, np.uint16)
    room[..., -1] = 0
    layers = Layers(0, np.asarray([True]), room, np.zeros(2, np.uint8))
    run = route_once(replace(task, layers=layers), 0, passes=passes)
    assert run.wires[0].tolist() == [[1, 1, 1, 1, 0, 0]]


@pytest.mark.parametrize(("runs", "seed"), [(0, 0), (-1, 0), (8, -1)])
def test_runs_and_seed_are_checked(runs: int, seed: int) -> None:
    with pytest.raises(InputError, match=f"{runs} runs from number {seed}"):
        route(task_of(3, 3, GOOD), runs=runs, seed=seed)


def test_a_design_without_whole_tracks_is_refused() -> None:
    graph = synthetic_graph(3)
    graph.gcell_features[:, 0] = 0.1234
    with pytest.raises(InputError, match=r'"capacity_h" is no whole number of tracks\n.*Export'):
        route(graph)


@pytest.fixture(scope="module")
def fir8(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> StoredDesign:
    lef, lib = library_files(kit, "gsr45")
    folder = next(iter(sorted((kit / "labels" / "gsr45" / "fir8").iterdir())))
    out = tmp_path_factory.mktemp("router") / "fir8"
    export_design(sources_of_labels(folder, lef=lef, lib=lib), out)
    return open_design(out)


BOTH = """
import sys
import numpy as np
from circuit_io import router_native, router_reference
from circuit_io.router_demand import demand_of
from circuit_io.router_run import route_once
from circuit_io.store import open_design
task = demand_of(open_design(sys.argv[1]).graph)
c, python = (route_once(task, 1, passes=p) for p in (router_native, router_reference))
np.testing.assert_array_equal(c.wires, python.wires)
np.testing.assert_array_equal(c.net_gcells, python.net_gcells)
assert (c.searched, c.rounds, c.overflow) == (python.searched, python.rounds, python.overflow)
"""


@NATIVE
def test_c_and_numpy_agree_on_a_kit_design(fir8: StoredDesign) -> None:
    """In a process of its own, where the types of a million calls are not checked."""
    subprocess.run([sys.executable, "-c", BOTH, str(fir8.path)], check=True, cwd=Path(__file__).parents[1])


def test_tracks_are_those_of_the_labels(fir8: StoredDesign) -> None:
    """Congestion of the label table times our capacity is a whole number of tracks."""
    task, labels = demand_of(fir8.graph), fir8.labels
    assert labels is not None
    for capacity, congestion in zip(task.capacity, (labels.congestion_h, labels.congestion_v), strict=True):
        tracks = (congestion * capacity)[np.isfinite(congestion)]
        np.testing.assert_allclose(tracks, np.rint(tracks), atol=1e-3)


@NATIVE
def test_agreement_with_the_labels_of_a_kit_design(fir8: StoredDesign) -> None:
    labels = fir8.labels
    assert labels is not None
    routing = route(fir8.graph, runs=8)
    scores = score_placement((labels.congestion_h, labels.congestion_v), (routing.h, routing.v)).mean
    assert scores.pearson > 0.8
    assert scores.r2 > 0.5


@NATIVE
@pytest.mark.slow
@pytest.mark.parametrize("name", ["nangate45/gcd/v0", "asap7/gcd/v0", "sky130hd/spm/v0", "nangate45/spi_top/v0"])
def test_agreement_with_shared_placements(name: str, gsr_data: Path, tmp_path: Path) -> None:
    folder = gsr_data / "labels" / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    lef, lib = library_files(gsr_data, name.split("/")[0])
    export_design(sources_of_labels(folder, lef=lef, lib=lib), tmp_path / "design")
    design = open_design(tmp_path / "design")
    assert design.labels is not None
    routing = route(design.graph, runs=8)
    truth = (design.labels.congestion_h, design.labels.congestion_v)
    assert score_placement(truth, (routing.h, routing.v)).mean.pearson > 0.8


def test_the_command_writes_a_prediction_that_names_itself_approximate(fir8: StoredDesign, tmp_path: Path) -> None:
    out, answer = tmp_path / "routed", tmp_path / "answer.json"
    words = ["route", str(fir8.path), "--out", str(out), "--runs", "2", "--seed", "3", "--json", str(answer)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    model = json.loads(answer.read_text())["model"]
    assert model["name"] == "embedded router (approximate)"
    assert model["is_approximate"] is True
    assert (model["runs"], model["seed"], len(model["overflow_tracks"])) == (2, 3, 2)
    prediction = read_prediction(out)
    routing = route(fir8.graph, runs=2, seed=3)
    np.testing.assert_array_equal(prediction.maps["congestion_h"], routing.h)
    np.testing.assert_array_equal(prediction.maps["sigma_v"], routing.spread_v)
    assert prediction.net_lengths is not None
    tile_um = fir8.manifest["grid"]["tile_um"]
    np.testing.assert_allclose(prediction.net_lengths.length_um, routing.likely_gcells * tile_um, rtol=1e-6)
    np.testing.assert_allclose(prediction.net_lengths.mean_length_um, routing.net_gcells.mean(axis=0) * tile_um)
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 2
    assert "--overwrite" in again.output


def test_the_command_refuses_no_runs(fir8: StoredDesign, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["route", str(fir8.path), "--out", str(tmp_path / "x"), "--runs", "0"])
    assert done.exit_code == 2
    assert "0 runs from number 0" in done.output
    assert not (tmp_path / "x").exists()
