"""The maze passes of the embedded router in Python: what the files of `csrc/route_maze.h` do, told plainly.

Every net is a tree of nodes, which are gcells, and edges, which are paths. An edge is routed anew by the shortest way
between the two parts into which the tree falls without it; where that way ends within another edge, the tree changes.
A cell is a gcell on a plane. There is one plane while nets are flat; with layers a plane is a layer, its wires run one
way, and vias lead from plane to plane.
"""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from jaxtyping import Int64

from circuit_io.graph import Layers
from circuit_io.router_board import THEN_X, X_FIRST, Board, Plan
from circuit_io.router_demand import Pair
from circuit_io.router_maze import Round, maze_task
from circuit_io.router_reference_search import FlatSearch, LayerSearch, Search, Toll, Window
from circuit_io.router_reference_tree import NO_LAYER, Edge, Node, Tree

_MOST_EDGES = 1 << 14  # of a tree that is routed anew: looking at all of it for each edge takes time by their square
_LONG, _SHORT = 40, 12  # edges below these lengths are routed anew on the layers
_FAR, _CROWDED, _WRONG = 1 << 28, 1 << 22, 1 << 23


class Maze:
    """The trees of all nets of a board; passes change them and the wires of the board."""

    def __init__(self, plan: Plan, board: Board) -> None:
        self.task, self.board = maze_task(plan, board), board
        self.ny, self.nx = board.wires[0].shape
        self.size = self.nx * self.ny
        self.layers: Layers | None = None
        self.use = np.zeros(0, np.int64)
        self.trees = [self._tree(i) for i in range(len(self.task.net))]

    def __enter__(self) -> "Maze":
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to give back."""

    def rip_up(self, past: Pair, settings: Round) -> int:
        """Route anew, the longest edges of a net first, what is long enough and crosses an edge above its level.

        Args:
            past: counts as wires on each edge.
            settings: of this round.

        Returns:
            How many cells were searched.
        """
        order = list(range(len(self.trees)))
        if settings.by_crowd:
            order.sort(key=lambda i: -self._crowd(self.trees[i]))
        searched = 0
        toll = Toll(self.board, past, settings)
        flat = lambda window: FlatSearch((self.ny, self.nx), window, toll)  # noqa: E731
        for i in order:
            tree = self.trees[i]
            if not 0 < len(tree.edges) <= _MOST_EDGES:
                continue
            sizes = [0 if e is None else len(e.path) for e in tree.edges]
            for number in sorted(range(len(sizes)), key=lambda e: -sizes[e]):
                if number >= len(tree.edges) or (edge := tree.edges[number]) is None:
                    continue
                if self._length(tree, edge) <= settings.least or not self._is_full(edge):
                    continue
                reach = min(settings.times * (len(edge.path) - 1), settings.reach)
                searched += self._route_anew(tree, number, reach, flat)
        return searched

    def drop_loops(self) -> None:
        """Cut the loops out of all paths; nets are flat."""
        for edge in (e for tree in self.trees for e in tree.edges if e is not None):
            kept: dict[int, None] = {}  # cells of the path so far
            for cell in edge.path:
                if cell in kept:
                    while next(reversed(kept)) != cell:
                        kept.popitem()
                kept[cell] = None
            if len(kept) < len(edge.path):
                self._count(edge, -1)
                edge.path[:] = kept
                self._count(edge, 1)

    def lay(self, layers: Layers, reach: int) -> int:
        """Lay all nets on layers, the shortest a point first; then route the edges of nine tenths of them anew there.

        Twice: edges shorter than `_LONG` gcells, then than `_SHORT`.

        Args:
            layers: the layers.
            reach: gcells beyond the box of an edge.

        Returns:
            How many cells were searched.
        """
        points = np.diff(self.task.first_point).tolist()
        ranks = []
        for i, tree in enumerate(self.trees):
            live = [e for e in tree.edges if e is not None]
            ends = [(tree.nodes[e.a].at, tree.nodes[e.b].at) for e in live]
            length = sum(self._length(tree, e) for e in live)
            left = min((min(p % self.nx, q % self.nx) for p, q in ends), default=NO_LAYER)
            ranks.append((((length << 24) // (points[i] or 1)) << 16 | left, i))
        order = [i for _, i in sorted(ranks)]
        self.layers, self.use = layers, np.zeros(layers.room.size, np.int64)
        room = layers.room.astype(np.int64).ravel()
        for i in order:
            self._lay_net(self.trees[i], room)
        laid = lambda window: LayerSearch((self.ny, self.nx), window, layers, self.use, room)  # noqa: E731
        searched = 0
        for below in (_LONG, _SHORT):
            for i in order[: len(order) * 9 // 10]:
                tree = self.trees[i]
                if not 0 < len(tree.edges) <= _MOST_EDGES:
                    continue
                for number in range(len(tree.edges)):
                    if number >= len(tree.edges) or (edge := tree.edges[number]) is None:
                        continue
                    if 0 < self._length(tree, edge) < below:
                        searched += self._route_anew(tree, number, min(len(edge.path) - 1, reach), laid)
        use = self.use.reshape(layers.room.shape)
        for wires, along_x in zip(self.board.wires, (True, False), strict=True):
            wires[:] = use[layers.along_x == along_x].sum(axis=0)
        return searched

    def lengths(self) -> Int64[np.ndarray, "2 nets"]:
        """Of each net its wires in gcells, and the straight segments that OpenROAD makes of them.

        Two wires on end are joined where they follow each other in the routes and nothing else is at the cell between.
        What routes of a net share counts once.
        """
        out = np.zeros((2, len(self.trees)), np.int64)
        for net, tree in zip(self.task.net.tolist(), self.trees, strict=True):
            seen: set[tuple[int, int]] = set()
            steps: list[list[tuple[int, int]]] = []
            for edge in (e for e in tree.edges if e is not None):
                new = [step for step in pairwise(edge.path) if (min(step), max(step)) not in seen]
                seen |= {(min(step), max(step)) for step in new}
                steps.append(new)
            ends = Counter(cell for p, q in seen for cell in (p, q))
            for new in steps:
                before = None
                for p, q in new:
                    wires = self._wires([p, q])
                    kind = wires[0][1] if wires else None  # None: a via
                    if kind is not None:
                        out[:, net] += 1, kind != before or ends[p] != 2
                    before = kind
        return out

    # ---- trees ----

    def _tree(self, i: int) -> Tree:
        task, board, tree = self.task, self.board, Tree(self.size)
        number: dict[int, int] = {}

        def node(at: int) -> int:
            if at not in number:
                number[at] = len(tree.nodes)
                tree.nodes.append(Node(at))
            return number[at]

        for p in range(int(task.first_point[i]), int(task.first_point[i + 1])):
            found, layer = tree.nodes[node(int(task.gcell[p]))], int(task.layer[p])
            found.low, found.high = min(found.low, layer), max(found.high, layer)
        for s in range(int(task.first[i]), int(task.first[i + 1])):
            x1, y1, x2, y2 = board.ends[s].tolist()
            a, b = node(y1 * self.nx + x1), node(y2 * self.nx + x2)
            tree.edges.append(Edge(a, b, self._path(s)))
        return tree

    def _path(self, s: int) -> list[int]:
        (x, y), end = self.board.ends[s, :2].tolist(), self.board.ends[s, 2:].tolist()
        path = [y * self.nx + x]
        for goal, bit in ((self.board.via[s].tolist(), X_FIRST), (end, THEN_X)):
            for axis in (0, 1) if self.board.turn[s] & bit else (1, 0):
                while (x, y)[axis] != goal[axis]:
                    step = 1 if goal[axis] > (x, y)[axis] else -1
                    x, y = (x + step, y) if axis == 0 else (x, y + step)
                    path.append(y * self.nx + x)
        return path

    def _length(self, tree: Tree, edge: Edge) -> int:
        p, q = tree.nodes[edge.a].at, tree.nodes[edge.b].at
        return int(abs(p % self.nx - q % self.nx) + abs(p // self.nx - q // self.nx))

    # ---- wires ----

    def _wires(self, path: list[int]) -> list[tuple[int, int]]:
        """Cell and direction of each edge of the grid that a path takes; the cell is the lower or left one."""
        pairs = ((min(p, q), max(p, q)) for p, q in pairwise(path))
        return [
            (low, int(high - low != 1 or self.nx == 1)) for low, high in pairs if low // self.size == high // self.size
        ]

    def _count(self, edge: Edge, by: int) -> None:
        for low, direction in self._wires(edge.path):
            if self.layers is None:
                self.board.wires[direction].ravel()[low] += by
            else:
                self.use[low] += by

    def _is_full(self, edge: Edge) -> bool:
        board = self.board
        return any(board.wires[d].ravel()[low] > board.level[d].ravel()[low] for low, d in self._wires(edge.path))

    def _crowd(self, tree: Tree) -> int:
        board, live = self.board, [e for e in tree.edges if e is not None]
        above = (
            board.wires[d].ravel()[low] - board.room[d].ravel()[low] for e in live for low, d in self._wires(e.path)
        )
        return sum(max(int(a), 0) for a in above)

    # ---- search ----

    def _route_anew(self, tree: Tree, number: int, reach: int, searching: Callable[[Window], Search]) -> int:
        """Route an edge anew within `reach` gcells of its ends; how many cells were searched."""
        edge, nx = tree.edge(number), self.nx
        p, q = tree.nodes[edge.a].at, tree.nodes[edge.b].at
        xs, ys = sorted((p % nx, q % nx)), sorted((p // nx, q // nx))
        window = (
            max(xs[0] - reach, 0),
            max(ys[0] - reach, 0),
            min(xs[1] + reach, nx - 1),
            min(ys[1] + reach, self.ny - 1),
        )
        self._count(edge, -1)
        search, is_flat = searching(window), self.layers is None
        for cell, owner in tree.gathered(edge.a, number, is_flat=is_flat):
            search.begin(cell, owner)
        for cell, owner in tree.gathered(edge.b, number, is_flat=is_flat):
            search.aim(cell, owner)
        way = search.way()
        if way is None:
            self._count(edge, 1)
            return search.searched
        first, last = way[0] % self.size, way[-1] % self.size
        head, tail = 0, len(way) - 1
        while head < tail and way[head + 1] % self.size == first:
            head += 1
        while tail > head and way[tail - 1] % self.size == last:
            tail -= 1
        edge.path = way[head : tail + 1]
        self._count(edge, 1)
        tree.move_end(number, first, search.owner[way[0]], at_b=False)
        tree.move_end(number, last, search.owner[way[-1]], at_b=True)
        return search.searched

    # ---- layers ----

    def _lay_net(self, tree: Tree, room: Int64[np.ndarray, " cells"]) -> None:
        """Layers of all edges, from the pins on; as few vias as room allows."""
        low, high = [n.low for n in tree.nodes], [n.high for n in tree.nodes]
        is_set = [n.low <= n.high for n in tree.nodes]
        pins = [n for n, known in enumerate(is_set) if known]
        queue = list(dict.fromkeys(i for n in pins for i, _ in tree.at_node(n)))
        for number in queue:
            edge = tree.edge(number)
            if len(edge.path) > 1:
                forward = is_set[edge.a]
                start, goal = (edge.a, edge.b) if forward else (edge.b, edge.a)
                wanted = range(low[goal], high[goal] + 1)
                path = edge.path if forward else edge.path[::-1]
                layers = self._layers_along(path, range(low[start], high[start] + 1), wanted, room)
                layers = layers if forward else layers[::-1]
                for node, at in ((edge.a, layers[0]), (edge.b, layers[-1])):
                    low[node] = min(low[node], at) if is_set[node] else at
                    high[node] = max(high[node], at) if is_set[node] else at
                edge.path = self._with_vias(edge.path, layers)
            for node in (edge.a, edge.b):
                if not is_set[node]:
                    is_set[node] = True
                    queue += [i for i in dict.fromkeys(i for i, _ in tree.at_node(node)) if i not in queue]
            self._count(edge, 1)

    def _layers_along(self, path: list[int], start: range, goal: range, room: Int64[np.ndarray, " cells"]) -> list[int]:
        """The layer of each wire of a flat path, from a node with layers `start` to one with `goal`; empty: any."""
        layers = self.layers
        assert layers is not None
        every = range(len(layers.along_x))
        cost = [0 if layer in start else _FAR for layer in every]
        links = []
        for i, (low, direction) in enumerate(self._wires(path)):
            links.append(_change_layer(cost, 3 if i else 2))
            for layer in every:
                cell = layer * self.size + low
                fits = layer >= layers.lowest and bool(layers.along_x[layer]) == (direction == 0)
                more = _WRONG if not fits else 1 if self.use[cell] < room[cell] else _CROWDED
                cost[layer] = min(cost[layer] + more, _FAR)
        links.append(_change_layer(cost, 1))
        best = min(reversed(goal) if goal else every, key=cost.__getitem__)
        found = []
        for link in reversed(links[1:]):
            best = link[best]
            found.append(best)
        return found[::-1]

    def _with_vias(self, path: list[int], layers: list[int]) -> list[int]:
        """A flat path as one on layers, with the cells of its vias."""
        out = [layers[0] * self.size + path[0]]
        for k, layer in enumerate(layers):
            before = layers[max(k - 1, 0)]
            step = 1 if layer > before else -1
            out += [
                level * self.size + path[k] for level in range(before + step, layer + step, step) if before != layer
            ]
            out.append(layer * self.size + path[k + 1])
        return out


def _change_layer(cost: list[int], price: int) -> list[int]:
    """Let every layer be reached by vias of a price; from which layer."""
    link = list(range(len(cost)))
    for layer in range(len(cost)):
        for to in range(len(cost)):
            by_via = cost[layer] + price * abs(to - layer)
            if cost[to] > by_via:
                cost[to], link[to] = by_via, layer
    return link
