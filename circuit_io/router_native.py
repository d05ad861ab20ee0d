"""The passes of the embedded router in C (`circuit_io/csrc/route.c`); the same results as `router_reference`."""

from ctypes import Structure, byref, c_int64, c_void_p

from circuit_io import native
from circuit_io.router_board import Board, Detours
from circuit_io.router_demand import Pair


class _Board(Structure):
    _fields_ = (
        *((name, c_int64) for name in ("nx", "ny", "count")),
        *((name, c_void_p) for name in ("ends", "box", "via", "turn")),
        *((f"{name}_{letter}", c_void_p) for name in ("wires", "room", "soft") for letter in "hv"),
    )


def is_built() -> bool:
    """Whether the C passes are there and wanted."""
    return native.function("route_via") is not None


def route_l(board: Board) -> None:
    """See `router_reference.route_l`."""
    _call("route_l", board)


def route_z(board: Board, least: int) -> None:
    """See `router_reference.route_z`."""
    _call("route_z", board, board.is_alone.ctypes.data_as(c_void_p), c_int64(least))


def route_via(board: Board, past: Pair, detours: Detours) -> int:
    """See `router_reference.route_via`.

    Raises:
        MemoryError: no memory for the window of a segment.
    """
    numbers = (len(detours.price) // 2, detours.least, detours.spare, detours.reach, detours.times)
    maps = [values.ctypes.data_as(c_void_p) for values in (*past, detours.price)]
    searched = _call("route_via", board, *maps, *map(c_int64, numbers))
    if searched < 0:
        raise MemoryError("no memory for the window of a segment")
    return searched


def _call(name: str, board: Board, *arguments: c_void_p | c_int64) -> int:
    found = native.function(name)
    assert found is not None, name
    ny, nx = board.wires[0].shape
    arrays = (board.ends, board.box, board.via, board.turn, *board.wires, *board.room, *board.soft)
    assert all(a.flags.c_contiguous for a in arrays)
    found.restype = c_int64
    return int(found(byref(_Board(nx, ny, len(board.ends), *(a.ctypes.data for a in arrays))), *arguments))
