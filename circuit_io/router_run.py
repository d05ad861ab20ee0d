"""One run of the embedded router: the order of its passes, their prices and their reach."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from circuit_io import router_native, router_reference
from circuit_io.graph import Layers
from circuit_io.router_board import Board, Detours, Plan, board_of, plan_of
from circuit_io.router_demand import Demand, Pair, Pair64
from circuit_io.router_maze import Round

_LONG = 10  # segments above this may become a Z
_EASY = ((10, 10, 10), (5, 5, 15), (1, 1, 20))  # least length, spare wires, reach of the passes before rip-up
ROUNDS = 16  # of rip-up; FastRoute makes 30 here, in twice the time and with the same agreement
KEPT = 8  # last rounds that count where overflow is left: which edges it lies on changes from round to round
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


class Tally:
    """The wires on each edge and their squares, summed over the times that a run is looked at: `KEPT` for each."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.sums: Pair64 = (np.zeros(shape, np.int64), np.zeros(shape, np.int64))
        self.squares: Pair64 = (np.zeros(shape, np.int64), np.zeros(shape, np.int64))

    def add(self, wires: Pair, times: int = 1) -> None:
        """Look at these wires so many times."""
        for total, square, more in zip(self.sums, self.squares, wires, strict=True):
            weighted = more.astype(np.int64) * times
            total += weighted
            square += weighted * more


@dataclass(frozen=True)
class Run:
    """One run: wires on each edge, length of each net, rounds of rip-up, wires above capacity left.

    Lengths are in gcells, and one more for each straight segment, as `report_wire_length -global_route` counts them.
    `searched` counts the gcells that its detours looked at, `_MAZE` of them for a cell of a maze: what a run costs.
    `tally` looks at the wires after each of the last `KEPT` rounds if overflow is left, else `KEPT` times at the end.
    """

    wires: Pair
    tally: Tally
    net_gcells: Int64[np.ndarray, " nets"]
    rounds: int
    overflow: int
    searched: int


@dataclass(frozen=True)
class Start:
    """A run before its mazes: tracks of overflow, the most wires above the room of an edge, gcells searched."""

    board: Board
    overflow: int
    most: int
    searched: int


def is_compiled() -> bool:
    """Whether the passes run in C."""
    return router_native.is_built()


def passes_here() -> _Passes:
    """The passes in C where they are built, else those in NumPy."""
    return router_native if is_compiled() else router_reference


def route_once(task: Demand | Plan, number: int, *, passes: _Passes | None = None) -> Run:
    """Run `number` of the router; `passes`, for tests: the passes to use.

    Args:
        task: what to route; see `route` for what it must be.
        number: which run, from 0.
        passes: `router_native` or `router_reference`; when not given, the former where it is built.
    """
    steps = passes or passes_here()
    plan = task if isinstance(task, Plan) else plan_of(task)
    return finish(plan, start(plan, number, steps), steps)


def start(plan: Plan, number: int, steps: _Passes) -> Start:
    """Trees, L and Z shapes, and the detours before the mazes."""
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
    return Start(board, overflow, most, searched)


def finish(plan: Plan, begun: Start, steps: _Passes) -> Run:
    """Mazes, flat while edges overflow, then on the layers where none does."""
    board = begun.board
    with steps.Maze(plan, board) as maze:
        rounds, reach, more, tally = _rip_up(board, maze, begun.overflow, begun.most)
        maze.drop_loops()
        layers = plan.task.layers
        if layers is not None and not board.overflow()[0]:
            more += maze.lay(layers, reach)
        lengths = maze.lengths().sum(axis=0)
    overflow = board.overflow()[0]
    if not overflow:
        tally = Tally(board.wires[0].shape)
        tally.add(board.wires, KEPT)
    return Run(board.wires, tally, lengths, rounds, overflow, begun.searched + _MAZE * more)


def _rip_up(board: Board, maze: _Maze, overflow: int, most: int) -> tuple[int, int, int, Tally]:
    """Route anew what crosses overflowing edges until none is left.

    Returns:
        Rounds made, the last reach, cells searched, and a look at the wires after each of the last `KEPT` of `ROUNDS`.
    """
    tally = Tally(board.wires[0].shape)
    past: Pair = (np.zeros_like(board.wires[0]), np.zeros_like(board.wires[1]))
    height, steepness, reach, before, searched, bend, least = 4.0, 0.0, 15, overflow, 0, 2, 20
    for number in range(1, ROUNDS + 1):
        if not overflow:
            return number - 1, reach, searched, tally
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
        if number > ROUNDS - KEPT:
            tally.add(board.wires)
        overflow, most = board.overflow()
        height += 5 if overflow > 0.7 * before else 0
        bend = 0 if overflow >= before else bend
        before = overflow
    return ROUNDS, reach, searched, tally


def _steepness(most: int) -> float:
    """Of the logistic price, by the most wires above the room of an edge; 0, so that length alone counts, for none."""
    return 2 / (1 + math.log(most)) if most > 0 else 0.0


def _price(height: float, steepness: float, slope: float = math.inf) -> Int64[np.ndarray, " free"]:
    """`1 + height / (1 + exp(free * steepness))`, and `height / slope` for each wire above the room, in `_UNIT`ths."""
    free = np.arange(-_HALF, _HALF + 1)
    price = 1 + height / (1 + np.exp(np.clip(free * steepness, -700, 700))) + height / slope * np.maximum(-free, 0)
    whole: Int64[np.ndarray, " free"] = np.rint(price * _UNIT).astype(np.int64)
    return whole
