"""The embedded router: capacity-aware patterns and mazes on the gcell grid, for maps, baselines and approximate labels.

Trees, an L for each segment, a Z where it is crowded, detours with a logistic price of fullness and, while edges
overflow, mazes with growing history, prices and reach; then, where none overflows, mazes on the layers. Tracks blocked
by fixed shapes count as taken. The passes are in C (`router_native`) or, where it is not built, in NumPy and Python
(`router_reference`): whole numbers, the same routes.
"""

import logging
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from circuit_io import native, router_native, router_reference
from circuit_io.errors import InputError
from circuit_io.graph import CircuitGraph, Layers
from circuit_io.router_board import Board, Detours, Plan, board_of, plan_of
from circuit_io.router_demand import Demand, Pair, check_demand, demand_of, is_edge
from circuit_io.router_maze import Round

_log = logging.getLogger(__name__)

__all__ = ["Demand", "Routing", "Run", "demand_of", "is_compiled", "route", "route_once"]

MapF = Float32[np.ndarray, "ny nx"]

_LONG = 10  # segments above this may become a Z
_EASY = ((10, 10, 10), (5, 5, 15), (1, 1, 20))  # least length, spare wires, reach of the passes before rip-up
_ROUNDS = 16  # of rip-up; FastRoute makes 30 here, in twice the time and with the same agreement
_HALF, _UNIT = 512, 1 << 24  # free wires that a price tells apart; parts of the price of an empty edge
_MAZE = 16  # gcells of a window that take as long as one cell of a maze


@runtime_checkable
class _Maze(Protocol):
    def __enter__(self) -> "_Maze": ...
    def __exit__(self, *error: object) -> None: ...
    def rip_up(self, past: Pair, settings: Round) -> int: ...
    def drop_loops(self) -> None: ...
    def lay(self, layers: Layers, reach: int) -> int: ...
    def lengths(self) -> Int64[np.ndarray, "2 nets"]: ...


@runtime_checkable
class _Passes(Protocol):
    """Where the passes are: `router_native` or `router_reference`."""

    def route_l(self, board: Board) -> None: ...
    def route_l_again(self, board: Board, *, whole: bool) -> None: ...
    def route_z(self, board: Board, least: int) -> None: ...
    def route_via(self, board: Board, detours: Detours) -> int: ...
    def Maze(self, plan: Plan, board: Board) -> _Maze: ...


@dataclass(frozen=True)
class Run:
    """One run: wires on each edge, length of each net, rounds of rip-up, wires above capacity left.

    Lengths are in gcells, and one more for each straight segment, as `report_wire_length -global_route` counts them.
    `searched` counts the gcells that its detours looked at, `_MAZE` of them for a cell of a maze: what a run costs.
    """

    wires: Pair
    net_gcells: Int64[np.ndarray, " nets"]
    rounds: int
    overflow: int
    searched: int


@dataclass(frozen=True)
class Routing:
    """Mean of several runs on every edge; nan where no edge or no track is.

    Attributes:
        h: congestion, demand over the tracks that adjustments leave (1 = full), of the edge to the right.
        v: the same of the edge above.
        spread_h: standard deviation of `h` between the runs.
        spread_v: the same of `v`.
        first_h: `h` of the first run alone.
        first_v: `v` of the first run alone.
        overflow_h: demand above capacity, in tracks.
        overflow_v: the same.
        net_gcells: routed length of each net in every run, as in `Run`.
        overflow: tracks of overflow of each run, all edges together.
        rounds: rounds of rip-up of each run.
        seed: number of the first run.
    """

    h: MapF
    v: MapF
    spread_h: MapF
    spread_v: MapF
    first_h: MapF
    first_v: MapF
    overflow_h: MapF
    overflow_v: MapF
    net_gcells: Int32[np.ndarray, "runs nets"]
    overflow: tuple[int, ...]
    rounds: tuple[int, ...]
    seed: int

    @property
    def likely_gcells(self) -> Float64[np.ndarray, " nets"]:
        """Length of each net: in the first run where that leaves no overflow, else the median of the runs."""
        runs = self.net_gcells if self.overflow[0] else self.net_gcells[:1]
        likely: Float64[np.ndarray, " nets"] = np.median(runs, axis=0)
        return likely

    @property
    def pressure(self) -> float:
        """How much a design is in want of tracks: the more, the likelier that it overflows at all; 0 where it is easy.

        Tracks of overflow a gcell, mean over the runs, and below all of them the rounds of rip-up that avoided it.
        """
        tries = (o + r / _ROUNDS for o, r in zip(self.overflow, self.rounds, strict=True))
        return sum(tries) / len(self.overflow) / self.h.size


def is_compiled() -> bool:
    """Whether the passes run in C."""
    return router_native.is_built()


def route(design: Demand | CircuitGraph, *, runs: int = 8, seed: int = 0, most_searched: int = 0) -> Routing:
    """Mean congestion per edge over several runs of the router, with its spread.

    Run n differs from the others in the order of the nets. It depends on n alone: runs of seed 0 are numbers 0 to
    `runs` - 1, those of seed 8 begin at 8. Number 0 keeps the design's order of nets.

    Args:
        design: a graph, or what `demand_of` made of it.
        runs: how many.
        seed: number of the first.
        most_searched: make no further run that would bring the gcells searched above this; 0 makes all. The first run
            is always made.

    Raises:
        InputError: no run, a negative seed, a grid of one gcell, pins outside the grid, maps that do not fit it or hold
            negative tracks, or a direction without any track.

    Source:
        The steps, prices and the choice among equal routes follow Y. Xu, Y. Zhang and C. Chu, "FastRoute 4.0: global
        router with efficient via minimization", ASP-DAC 2009, M. Pan and C. Chu, "FastRoute 2.0", 2007 (mazes from tree
        to tree), and OpenROAD's FastRoute. docs/how-it-works.md, "The embedded router".
    """
    if runs < 1 or seed < 0:
        raise InputError(
            f"{runs} runs from number {seed}", path="router", mend="Give 1 run or more, and a seed from 0."
        )
    task = design if isinstance(design, Demand) else demand_of(design)
    check_demand(task)
    if not is_compiled():
        _log.warning("routing in NumPy, hundreds of times as slow as in C (%s)", native.BUILD)
    shape, plan = (task.ny, task.nx), plan_of(task)
    total, square, over = (tuple(np.zeros(shape, np.int64) for _ in "hv") for _ in range(3))
    lengths: list[Int64[np.ndarray, " nets"]] = []
    overflow: list[int] = []
    rounds: list[int] = []
    first: Pair = task.blocked
    for run in _runs(plan, range(seed, seed + runs), most_searched):
        first = first if rounds else run.wires
        for d in range(2):
            need = run.wires[d].astype(np.int64) + task.blocked[d]
            total[d][:] += need
            square[d][:] += need * need
            over[d][:] += np.maximum(need - task.capacity[d], 0)
        lengths.append(run.net_gcells)
        overflow.append(run.overflow)
        rounds.append(run.rounds)
    made, maps = len(overflow), []
    for d, seen in enumerate(is_edge(shape)):
        capacity = np.where(seen & (task.capacity[d] > 0), task.capacity[d], np.nan)
        variance = np.maximum(square[d] * made - total[d] * total[d], 0)  # exact in whole numbers, times made^2
        maps += [total[d] / made / capacity, np.sqrt(variance) / made / capacity,
                 (first[d] + task.blocked[d]) / capacity,
                 np.where(np.isnan(capacity), np.nan, over[d] / made)]  # fmt: skip
    h, spread_h, first_h, over_h, v, spread_v, first_v, over_v = (m.astype(np.float32) for m in maps)
    return Routing(h, v, spread_h, spread_v, first_h, first_v, over_h, over_v, np.asarray(lengths, np.int32),
                   tuple(overflow), tuple(rounds), seed)  # fmt: skip


def _runs(plan: Plan, numbers: range, most_searched: int) -> Iterator[Run]:
    """Runs in the order of their numbers, as many as `most_searched` allows; see `route`.

    After the first they are made side by side, no more at a time than will be wanted as far as can be told.
    """
    made = searched = 0
    threads = _threads()
    with ThreadPoolExecutor(threads) as pool:
        while made < len(numbers):
            wanted = len(numbers) if not most_searched else most_searched // max(searched // max(made, 1), 1)
            batch = numbers[made : max(min(wanted, made + threads), made + 1)] if made else numbers[:1]
            for run in pool.map(partial(route_once, plan), batch):
                if most_searched and made and searched + searched // made > most_searched:
                    return
                made += 1
                searched += run.searched
                yield run


def _threads() -> int:
    """Runs at a time: as many as OMP_NUM_THREADS or the cores allow, four at most."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    cores = int(told) if told.isdecimal() and int(told) else os.cpu_count() or 1
    return min(cores, 4) if is_compiled() else 1


def route_once(task: Demand | Plan, number: int, *, passes: _Passes | None = None) -> Run:
    """Run `number` of the router; `passes`, for tests: the passes to use.

    Args:
        task: what to route; see `route` for what it must be.
        number: which run, from 0.
        passes: `router_native` or `router_reference`; when not given, the former where it is built.
    """
    steps: _Passes = passes or (router_native if is_compiled() else router_reference)
    plan = task if isinstance(task, Plan) else plan_of(task)
    board = board_of(plan, number)
    steps.route_l(board)
    for wires in board.wires:
        wires //= 2
    for whole in (True, False, True):
        steps.route_l_again(board, whole=whole)
    steps.route_z(board, _LONG)
    overflow, most = board.overflow()
    height = 8.0 if most > 700 else 4.0
    searched = 0
    for least, spare, reach in _EASY:
        searched += steps.route_via(board, Detours(_price(height, _steepness(most)), least, spare, reach))
        overflow, most = board.overflow()
    with steps.Maze(plan, board) as maze:
        rounds, reach, more = _rip_up(board, maze, overflow, most)
        maze.drop_loops()
        layers = plan.task.layers
        if layers is not None and not board.overflow()[0]:
            more += maze.lay(layers, reach)
        lengths = maze.lengths().sum(axis=0)
    return Run(board.wires, lengths, rounds, board.overflow()[0], searched + _MAZE * more)


def _rip_up(board: Board, maze: _Maze, overflow: int, most: int) -> tuple[int, int, int]:
    """Route anew what crosses overflowing edges until none is left; rounds made, the last reach, and cells searched."""
    past: Pair = (np.zeros_like(board.wires[0]), np.zeros_like(board.wires[1]))
    height, steepness, reach, before, searched, bend, least = 4.0, 0.0, 15, overflow, 0, 2, 20
    for number in range(1, _ROUNDS + 1):
        if not overflow:
            return number - 1, reach, searched
        for old, wires, room in zip(past, board.wires, board.room, strict=True):
            above = wires - room
            old[:] = np.where(above > 0, old + above, old * 9 // 10)
        least = max(least - (10 if least > 15 else 4), 0)  # short edges have no detour that pays at first
        reach = min(reach + (10 if overflow > 2000 else 5), board.wires[0].shape[1] // 2)
        height += 5 if overflow < 500 else 2
        steepness = max(steepness, _steepness(most))
        price = _price(height, steepness, slope=5.0 if most == 1 else 20.0)
        told: Pair = past if number != 8 else (np.zeros_like(past[0]), np.zeros_like(past[1]))
        searched += maze.rip_up(told, Round(price, bend * _UNIT, least, reach, number // 6 + 3, number % 3 == 0))
        overflow, most = board.overflow()
        height += 5 if overflow > 0.7 * before else 0
        bend = 0 if overflow >= before else bend
        before = overflow
    return _ROUNDS, reach, searched


def _steepness(most: int) -> float:
    """Of the logistic price, by the most wires above the room of an edge; 0, so that length alone counts, for none."""
    return 2 / (1 + math.log(most)) if most > 0 else 0.0


def _price(height: float, steepness: float, slope: float = math.inf) -> Int64[np.ndarray, " free"]:
    """`1 + height / (1 + exp(free * steepness))`, and `height / slope` for each wire above the room, in `_UNIT`ths."""
    free = np.arange(-_HALF, _HALF + 1)
    price = 1 + height / (1 + np.exp(np.clip(free * steepness, -700, 700))) + height / slope * np.maximum(-free, 0)
    whole: Int64[np.ndarray, " free"] = np.rint(price * _UNIT).astype(np.int64)
    return whole
