"""The searches of the maze passes of the embedded router in Python: see `router_reference_maze`."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Int64

from circuit_io.graph import Layers
from circuit_io.router_board import Board
from circuit_io.router_demand import Pair
from circuit_io.router_maze import Round

Cells = Int64[np.ndarray, " cells"]
Window = tuple[int, int, int, int]


class Toll:
    """Prices of the edges of the grid by what is free on them."""

    def __init__(self, board: Board, past: Pair, settings: Round) -> None:
        self.board, self.past, self.price, self.bend = board, past, settings.price, settings.bend
        self.half = len(settings.price) // 2

    def of(self, cell: int, direction: int) -> int:
        """Price of the edge to the right of a cell, or above it."""
        board, past = self.board, self.past[direction]
        left = (
            int(board.level[direction].ravel()[cell])
            - int(board.wires[direction].ravel()[cell])
            - int(past.ravel()[cell])
        )
        return int(self.price[min(max(left, -self.half), self.half) + self.half])


class Search(ABC):
    """The shortest way from some cells to others in a window; a heap as FastRoute's, since it decides among equals."""

    def __init__(self, shape: tuple[int, int], window: Window) -> None:
        (self.ny, self.nx), self.window = shape, window
        self.size = self.nx * self.ny
        self.cost: dict[int, int] = {}
        self.came: dict[int, int] = {}
        self.owner: dict[int, int] = {}
        self.heap: list[int] = []
        self.place: dict[int, int] = {}
        self.targets: set[int] = set()
        self.searched = 0

    @abstractmethod
    def step(self, cell: int) -> None:
        """Relax the neighbours of a cell."""

    def back(self, cell: int, last: int) -> tuple[int, int]:
        """The cell before a cell on the way to cell `last`, and what to call its last one."""
        return self.came[cell], cell

    def begin(self, cell: int, owner: int) -> None:
        """A cell to start from; the edge that it is of."""
        if not self._is_within(cell):
            return
        self.owner[cell] = owner
        if cell not in self.cost:
            self.cost[cell], self.came[cell] = 0, -1
            self._push(cell)

    def aim(self, cell: int, owner: int) -> None:
        """A cell to reach; the edge that it is of."""
        if self._is_within(cell):
            self.owner[cell] = owner
            self.targets.add(cell)

    def _is_within(self, cell: int) -> bool:
        (x0, y0, x1, y1), at = self.window, cell % self.size
        return x0 <= at % self.nx <= x1 and y0 <= at // self.nx <= y1

    def way(self) -> list[int] | None:
        """Cells of the way, None where there is none or no need of one."""
        while self.heap and self.heap[0] not in self.targets:
            self.searched += 1
            self.step(self._pop())
        if not self.heap or not self.cost[self.heap[0]]:
            return None
        cell, last, way = self.heap[0], -1, []
        while self.cost[cell]:
            way.append(cell)
            cell, last = self.back(cell, last)
        return [cell, *reversed(way)]

    def relax(self, cell: int, to: int, cost: int) -> None:
        """`to` can be reached from `cell` at a cost."""
        if to in self.cost and self.cost[to] <= cost:
            return
        is_new = to not in self.cost
        self.cost[to], self.came[to] = cost, cell
        if is_new:
            self._push(to)
        self._rise(self.place[to])

    def _push(self, cell: int) -> None:
        self.place[cell] = len(self.heap)
        self.heap.append(cell)

    def _rise(self, i: int) -> None:
        heap, cell = self.heap, self.heap[i]
        while i and self.cost[heap[(i - 1) // 2]] > self.cost[cell]:
            heap[i] = heap[(i - 1) // 2]
            self.place[heap[i]] = i
            i = (i - 1) // 2
        heap[i] = cell
        self.place[cell] = i

    def _pop(self) -> int:
        heap = self.heap
        first, cell = heap[0], heap.pop()
        if not heap:
            return first
        i, n, cost = 0, len(heap), self.cost
        while (left := 2 * i + 1) < n:
            child = left if cost[heap[left]] < cost[cell] else i
            if left + 1 < n and cost[heap[left + 1]] < (cost[heap[left]] if child == left else cost[cell]):
                child = left + 1
            if child == i:
                break
            heap[i] = heap[child]
            self.place[heap[i]] = i
            i = child
        heap[i] = cell
        self.place[cell] = i
        return first


class FlatSearch(Search):
    """On one plane, by a toll; where going straight through a cell spares a bend, it says so."""

    def __init__(self, shape: tuple[int, int], window: Window, toll: Toll) -> None:
        super().__init__(shape, window)
        self.toll = toll
        self.straight: set[tuple[int, int]] = set()

    def back(self, cell: int, last: int) -> tuple[int, int]:
        """See `Search.back`."""
        direction = 0 if self.nx > 1 and abs(last - cell) == 1 else 1
        if last >= 0 and (cell, direction) in self.straight:
            return 2 * cell - last, -1  # there its own way counts
        return super().back(cell, last)

    def step(self, cell: int) -> None:
        """See `Search.step`."""
        nx, toll, (x0, y0, x1, y1) = self.nx, self.toll, self.window
        x, y, cost, came = cell % nx, cell // nx, self.cost[cell], self.came[cell]
        came_by = -1 if came < 0 else 0 if nx > 1 and abs(came - cell) == 1 else 1
        for direction, ahead, at, low, high in (
            (0, -1, x, x0, x1),
            (0, 1, x, x0, x1),
            (1, -1, y, y0, y1),
            (1, 1, y, y0, y1),
        ):
            if at == (low if ahead < 0 else high):
                continue
            by = ahead * (1 if direction == 0 else nx)
            more = toll.of(min(cell, cell + by), direction)
            if cost and came_by == 1 - direction:
                more += toll.bend
                is_inner = at > low + 1 if ahead > 0 else at < high - 1
                if is_inner and (behind := cell - by) in self.cost:
                    straight = self.cost[behind] + toll.of(min(cell, behind), direction)
                    if straight < cost + toll.bend:
                        self.straight.add((cell, direction))
            self.relax(cell, cell + by, cost + more)


class LayerSearch(Search):
    """On layers, by wires and vias of one price, where there is room."""

    def __init__(self, shape: tuple[int, int], window: Window, layers: Layers, use: Cells, room: Cells) -> None:
        super().__init__(shape, window)
        self.layers, self.use, self.room = layers, use, room

    def step(self, cell: int) -> None:
        """See `Search.step`."""
        layers, (x0, y0, x1, y1) = self.layers, self.window
        layer, at = divmod(cell, self.size)
        cost = self.cost[cell] + 1
        if layer >= layers.lowest:
            along_x = bool(layers.along_x[layer])
            by, place, low, high = (1, at % self.nx, x0, x1) if along_x else (self.nx, at // self.nx, y0, y1)
            if place > low and self.use[cell - by] < self.room[cell - by]:
                self.relax(cell, cell - by, cost)
            if place < high and self.use[cell] < self.room[cell]:
                self.relax(cell, cell + by, cost)
        if layer > 0:
            self.relax(cell, cell - self.size, cost)
        if layer + 1 < len(layers.along_x):
            self.relax(cell, cell + self.size, cost)
