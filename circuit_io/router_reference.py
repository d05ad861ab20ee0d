"""The flat passes of the embedded router in NumPy: what `csrc/route.c` does, told plainly, 100 times as slow."""

from itertools import pairwise

import numpy as np
from jaxtyping import Int, Int64

from circuit_io.router_board import THEN_X, X_FIRST, Board, Detours
from circuit_io.router_demand import MapI, Pair
from circuit_io.router_reference_maze import Maze

__all__ = ["Maze", "route_l", "route_l_again", "route_via", "route_z"]

_FULL = 50_000  # of a crowded edge, beside tenths of wires that fit still


def route_l(board: Board) -> None:
    """An L for each bent segment, from half wires on both.

    The less crowded one wins, among equals the one that leaves the left end along x.
    """
    h, v = board.wires
    for s, (x1, y1, x2, y2) in enumerate(board.ends.tolist()):
        if x1 == x2 or y1 == y2:
            continue
        is_up = _bend(board, s, 5)
        sign = 1 if is_up else -1
        low, high = min(y1, y2), max(y1, y2)
        v[low:high, x1] += sign
        h[y2, x1:x2] += sign
        v[low:high, x2] -= sign
        h[y1, x1:x2] -= sign


def route_l_again(board: Board, *, whole: bool) -> None:
    """Takes nets as a whole, or segments alone, off the board and puts each segment back on the less crowded L."""
    first = np.flatnonzero(np.diff(board.net, prepend=-1)) if whole else np.arange(len(board.net))
    for low, high in pairwise([*first.tolist(), len(board.net)]):
        for s in range(low, high):
            _add(board, s, -1)
        for s in range(low, high):
            x1, y1, x2, y2 = board.ends[s].tolist()
            if x1 != x2 and y1 != y2:
                _bend(board, s, 10)
            _add(board, s, 1)


def _bend(board: Board, s: int, scale: int) -> bool:
    """Gives a bent segment its L; whether that leaves the left end along y."""
    x1, y1, x2, y2 = board.ends[s].tolist()
    (h, v), (soft_h, soft_v) = board.wires, board.soft
    span = slice(min(y1, y2), max(y1, y2))
    along_y = _over(v, soft_v, np.s_[span, x1], scale) + _over(h, soft_h, np.s_[y2, x1:x2], scale)
    along_x = _over(v, soft_v, np.s_[span, x2], scale) + _over(h, soft_h, np.s_[y1, x1:x2], scale)
    is_up = along_y < along_x
    board.turn[s], board.via[s] = (THEN_X, (x1, y2)) if is_up else (X_FIRST, (x2, y1))
    return is_up


def route_z(board: Board, least: int) -> None:
    """The best Z for bent segments longer than `least`: those alone in their net, and those over capacity.

    For the latter the first of the least crowded counts; else, among these, the one with most room.
    """
    for s, (x1, y1, x2, y2) in enumerate(board.ends.tolist()):
        if x1 == x2 or y1 == y2 or x2 - x1 + abs(y2 - y1) <= least:
            continue
        is_full = _is_full(board, s, -1, board.room)
        if not is_full and not board.is_alone[s]:
            continue
        _add(board, s, -1)
        low, high = min(y1, y2), max(y1, y2)
        over_h, test_h = _crowd(board, 0, np.s_[low : high + 1, x1:x2])
        over_v, test_v = _crowd(board, 1, np.s_[low:high, x1 : x2 + 1])
        at1, at2 = y1 - low, y2 - low
        over = _before(over_h[at1]) + _after(over_h[at2]) + over_v.sum(0)
        test = _before(test_h[at1]) + _after(test_h[at2]) + test_v.sum(0)
        best = int(over[:-1].argmin()) if is_full else int(np.lexsort((test, over))[0])
        via, turn = (x1 + best, y1), X_FIRST
        if is_full:
            below, above = (0, -1) if y1 < y2 else (-1, 0)
            sides = _before(over_v[:, below]) + _after(over_v[:, above]) + over_h.sum(1)
            row = int(sides[:-1].argmin())
            if sides[row] < over[best]:
                via, turn = (x1, low + row), THEN_X
        board.via[s], board.turn[s] = via, turn
        _add(board, s, 1)


def route_via(board: Board, detours: Detours) -> int:
    """Two L shapes by way of the best gcell around each segment whose route is full; how many gcells were searched.

    Ways are tried row by row from below, in a row the straight or Z way along it first, then from left to right those
    of three bends.
    """
    ny, nx = board.wires[0].shape
    searched = 0
    for s, (x1, y1, x2, y2) in enumerate(board.ends.tolist()):
        low, high = min(y1, y2), max(y1, y2)
        if x2 - x1 + high - low <= detours.least or not _is_full(board, s, detours.spare, board.level):
            continue
        _add(board, s, -1)
        reach = detours.reach
        x0, y0, x3, y3 = board.box[s].tolist()
        left, right = max(x1 if x0 < x1 else x1 - reach, 0), min(x2 if x3 > x2 else x2 + reach, nx - 1)
        down, up = max(low if y0 < low else low - reach, 0), min(high if y3 > high else high + reach, ny - 1)
        x, y, board.turn[s] = _search(
            _prices(board, 0, np.s_[down : up + 1, left:right], 0, detours).T,
            _prices(board, 1, np.s_[down:up, left : right + 1], board.tilt, detours),
            (x1 - left, y1 - down, x2 - left, y2 - down),
        )
        board.via[s] = x + left, y + down
        _add(board, s, 1)
        searched += (right - left + 1) * (up - down + 1)
    return searched


def _search(
    row_prices: Int64[np.ndarray, "wide_less_1 tall"],
    column_prices: Int64[np.ndarray, "tall_less_1 wide"],
    ends: tuple[int, int, int, int],
) -> tuple[int, int, int]:
    """Column, row and turns of the first best way within a window."""
    x1, y1, x2, y2 = ends
    row, column = _before(row_prices).T, _before(column_prices)
    fall, rise = np.abs(row[y1] - row[y1, x1]), np.abs(row[y2] - row[y2, x2])
    leave, arrive = np.abs(column[:, x1] - column[y1, x1]), np.abs(column[y2, x2] - column[:, x2])
    across = np.abs(row[:, x2] - row[:, x1])
    from_left = leave[:, None] + np.abs(row - row[:, [x1]]) + np.abs(column[y2] - column) + rise
    to_right = arrive[:, None] + np.abs(row[:, [x2]] - row) + np.abs(column - column[y1]) + fall
    pairs = np.stack([from_left, to_right], axis=2).reshape(len(row), -1)
    cost = np.concatenate([(leave + across + arrive)[:, None], pairs], axis=1)
    y, way = divmod(int(cost.argmin()), cost.shape[1])
    if way == 0:
        return x1, y, THEN_X
    return (way - 1) // 2, y, 0 if way % 2 else X_FIRST | THEN_X


def _prices(
    board: Board, direction: int, where: tuple[slice, slice], tilt: int, detours: Detours
) -> Int64[np.ndarray, "a b"]:
    left = board.level[direction][where] + tilt - board.wires[direction][where]
    half = len(detours.price) // 2
    prices: Int64[np.ndarray, "a b"] = detours.price[np.clip(left, -half, half) + half]
    return prices


def _before(values: Int[np.ndarray, "n ..."]) -> Int64[np.ndarray, "n_plus_1 ..."]:
    """Sum of the entries before each place between them."""
    return np.concatenate([np.zeros_like(values[:1], shape=(1, *values.shape[1:])), values.cumsum(0)])


def _after(values: Int[np.ndarray, " n"]) -> Int64[np.ndarray, " n_plus_1"]:
    """Sum of the entries behind each place between them."""
    rest: Int64[np.ndarray, " n_plus_1"] = values.sum() - _before(values)
    return rest


def _over(wires: MapI, soft: MapI, where: tuple[int | slice, ...], scale: int) -> int:
    return int(np.maximum(scale * wires[where].astype(np.int64) - soft[where], 0).sum())


def _crowd(
    board: Board, direction: int, where: tuple[slice, slice]
) -> tuple[Int64[np.ndarray, "a b"], Int64[np.ndarray, "a b"]]:
    """Tenths of wires beyond what counts as crowded; and `_FULL`, or minus those that fit."""
    x = 10 * board.wires[direction][where].astype(np.int64) - board.soft[direction][where]
    return np.maximum(x, 0), np.where(x > 0, _FULL, x)


def _legs(board: Board, s: int) -> list[tuple[int, tuple[int | slice, ...]]]:
    """Direction and place of the four straight runs of a route."""
    x1, y1, x2, y2 = board.ends[s].tolist()
    x, y = board.via[s].tolist()
    legs: list[tuple[int, tuple[int | slice, ...]]] = []
    for (xa, ya), (xb, yb), bit in (((x1, y1), (x, y), X_FIRST), ((x, y), (x2, y2), THEN_X)):
        row, column = (ya, xb) if board.turn[s] & bit else (yb, xa)
        legs.append((0, np.s_[row, min(xa, xb) : max(xa, xb)]))
        legs.append((1, np.s_[min(ya, yb) : max(ya, yb), column]))
    return legs


def _add(board: Board, s: int, by: int) -> None:
    for direction, where in _legs(board, s):
        board.wires[direction][where] += by


def _is_full(board: Board, s: int, spare: int, most: Pair) -> bool:
    return any((board.wires[d][where] >= most[d][where] - spare).any() for d, where in _legs(board, s))
