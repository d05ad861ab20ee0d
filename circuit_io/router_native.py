"""The passes of the embedded router in C (`csrc/route*.c`); as `router_reference`."""

from ctypes import Structure, byref, c_int64, c_void_p
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Int64

from circuit_io import native
from circuit_io.graph import Layers
from circuit_io.router_board import Board, Detours, Plan
from circuit_io.router_demand import Pair
from circuit_io.router_maze import Round, maze_task


class _Board(Structure):
    _fields_ = (
        *((name, c_int64) for name in ("nx", "ny", "count")),
        *((name, c_void_p) for name in ("ends", "box", "via", "turn")),
        *((f"{name}_{letter}", c_void_p) for name in ("wires", "room", "level", "soft") for letter in "hv"),
    )


class _Task(Structure):
    _fields_ = (
        *((name, c_int64) for name in ("nx", "ny", "nets")),
        *((name, c_void_p) for name in ("first", "ends", "via", "turn", "first_point", "gcell", "layer")),
        *((f"{name}_{letter}", c_void_p) for name in ("wires", "room", "level") for letter in "hv"),
    )


def is_built() -> bool:
    """Whether the C passes are there and wanted."""
    return native.function("maze_open") is not None


def route_l(board: Board) -> None:
    """See `router_reference.route_l`."""
    _call("route_l", board)


def route_l_again(board: Board, *, whole: bool) -> None:
    """See `router_reference.route_l_again`."""
    _call("route_l_again", board, _at(board.net), c_int64(whole))


def route_z(board: Board, least: int) -> None:
    """See `router_reference.route_z`."""
    _call("route_z", board, _at(board.is_alone), c_int64(least))


def route_via(board: Board, detours: Detours) -> int:
    """See `router_reference.route_via`.

    Raises:
        MemoryError: no memory for the window of a segment.
    """
    numbers = (len(detours.price) // 2, board.tilt, detours.least, detours.spare, detours.reach)
    return _found(_call("route_via", board, _at(detours.price), *map(c_int64, numbers)))


class Maze:
    """See `router_reference.Maze`; its trees are in the memory of the C code, and go with `with`.

    Raises:
        MemoryError: from all that it does.
    """

    def __init__(self, plan: Plan, board: Board) -> None:
        self._task, self._board = maze_task(plan, board), board
        ny, nx = board.wires[0].shape
        task = self._task
        arrays = (task.first, board.ends, board.via, board.turn, task.first_point, task.gcell, task.layer,
                  *board.wires, *board.room, *board.level)  # fmt: skip
        assert all(a.flags.c_contiguous for a in arrays)
        opened = native.function("maze_open")
        assert opened is not None
        opened.restype = c_void_p
        self._maze = c_void_p(opened(byref(_Task(nx, ny, len(task.net), *(a.ctypes.data for a in arrays)))))
        if not self._maze:
            raise MemoryError("no memory for the trees of the nets")

    def __enter__(self) -> "Maze":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._do("maze_close", None)

    def rip_up(self, past: Pair, settings: Round) -> int:
        """See `router_reference.Maze.rip_up`."""
        numbers = (len(settings.price) // 2, settings.bend, settings.least, settings.reach, settings.times,
                   settings.by_crowd)  # fmt: skip
        return _found(self._do("maze_round", c_int64, *map(_at, (*past, settings.price)), *map(c_int64, numbers)))

    def drop_loops(self) -> None:
        """See `router_reference.Maze.drop_loops`."""
        self._do("maze_loops", None)

    def lay(self, layers: Layers, reach: int) -> int:
        """See `router_reference.Maze.lay`."""
        room = np.ascontiguousarray(layers.room, np.int32)
        along_x, use = np.ascontiguousarray(layers.along_x, np.uint8), np.zeros_like(room)
        points = np.diff(self._task.first_point)
        numbers = (c_int64(len(room)), c_int64(layers.lowest))
        arrays = [_at(values) for values in (along_x, room, use, points)]
        return _found(self._do("maze_layers", c_int64, *numbers, *arrays, c_int64(reach)))

    def lengths(self) -> Int64[np.ndarray, "2 nets"]:
        """See `router_reference.Maze.lengths`."""
        found = np.zeros((2, len(self._task.net)), np.int64)
        self._do("maze_lengths", None, _at(found[0]), _at(found[1]))
        out = np.zeros_like(found)
        out[:, self._task.net] = found
        return out

    def _do(self, name: str, kind: Any, *arguments: c_void_p | c_int64) -> Any:  # noqa: ANN401
        function = native.function(name)
        assert function is not None, name
        function.restype = kind
        return function(self._maze, *arguments)


def _at(values: np.ndarray) -> c_void_p:
    assert values.flags.c_contiguous
    return values.ctypes.data_as(c_void_p)


def _found(number: int) -> int:
    if number < 0:
        raise MemoryError("no memory for the search of a route")
    return number


def _call(name: str, board: Board, *arguments: c_void_p | c_int64) -> int:
    found = native.function(name)
    assert found is not None, name
    ny, nx = board.wires[0].shape
    arrays = (board.ends, board.box, board.via, board.turn, *board.wires, *board.room, *board.level, *board.soft)
    assert all(a.flags.c_contiguous for a in arrays)
    found.restype = c_int64
    return int(found(byref(_Board(nx, ny, len(board.ends), *(a.ctypes.data for a in arrays))), *arguments))
