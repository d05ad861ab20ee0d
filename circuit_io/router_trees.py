"""The trees that the embedded router begins with: Prim-Dijkstra trees with Steiner points, as OpenROAD grows them.

In C (`csrc/route_trees.c`) or, where it is not built, in Python: the same trees.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from circuit_io import native
from circuit_io.router_demand import Demand
from circuit_io.steiner import Trees, points_of_nets, steiner_trees

_MOST = 3000  # points of a net from which on it gets a Steiner tree of `steiner`: neighbours take time by their square
_SHY = np.float32(0.3)  # what a gcell of the way from the driver weighs beside one of a new edge: OpenROAD's default
_CLEAN = 100  # points of a net up to which its tree must not cross itself


@dataclass(frozen=True)
class Points:
    """The pins of every net as the router takes them, by net: pins in one gcell and on one layer are one.

    Attributes:
        count: of each net.
        gcell: of each point.
        layer: of each point, 0 where layers are not known.
        driver: which point of a net its tree grows from.
    """

    count: Int64[np.ndarray, " nets"]
    gcell: Int32[np.ndarray, " points"]
    layer: UInt8[np.ndarray, " points"]
    driver: Int32[np.ndarray, " nets"]

    def first(self) -> Int64[np.ndarray, " nets_plus_1"]:
        """Where the points of each net begin."""
        return np.concatenate([[0], np.cumsum(self.count)])


def points_of(task: Demand) -> Points:
    """Pins of insts from the last to the first, then ports; OpenROAD has them so after reading a DEF."""
    pins = len(task.pin_net)
    number = np.arange(pins)
    port = np.zeros(pins, bool) if task.is_port is None else task.is_port
    order = np.lexsort((np.where(port, number, -number), port, task.pin_net))
    layer = np.zeros(pins, np.uint8) if task.layers is None else task.layers.pin_layer
    key = (task.pin_net.astype(np.int64) * (task.nx * task.ny) + task.pin_gcell) << 8 | layer
    _, seen = np.unique(key[order], return_index=True)
    order = order[np.sort(seen)]
    net = task.pin_net[order]
    count = np.bincount(net, minlength=task.num_nets)
    driver = np.zeros(task.num_nets, np.int32)
    if task.is_driver is not None:
        drives = np.flatnonzero(task.is_driver[order])
        driver[net[drives]] = drives - (np.cumsum(count) - count)[net[drives]]
    return Points(count, task.pin_gcell[order].astype(np.int32), layer[order], driver)


def router_trees(task: Demand, points: Points) -> Trees:
    """The segments of every net, by net, in the order of the nodes of its tree; x0 <= x1.

    Source:
        C. J. Alpert, W.-K. Chow, K. Han, A. B. Kahng, Z. Li, D. Liu and S. Venkatesh, "Prim-Dijkstra revisited:
        achieving superior timing-driven routing trees", ISPD 2018; Steiner points and the choice among equals as in
        OpenROAD.
    """
    y, x = np.divmod(points.gcell, task.nx)
    xy = np.stack([x, y], axis=1).astype(np.int32)
    numbers = np.concatenate([points.count, points.driver, xy.ravel()], dtype=np.int32, casting="same_kind")
    columns = native.scan("route_trees", numbers.tobytes(), task.num_nets, _MOST)
    if columns is not None:
        net, ends, others = (columns.array(0, np.int32), columns.array(1, np.int32, 4), columns.array(2, np.int32))
    else:
        net, ends, others = _in_python(points, xy)
    if not len(others):
        return Trees(net, ends)
    mine = np.isin(task.pin_net, others)
    more = steiner_trees(*points_of_nets(task.pin_net[mine], task.pin_gcell[mine], task.nx), task.num_nets)
    net, ends = np.concatenate([net, more.segment_net]), np.concatenate([ends, _turned(more.ends)])
    order = np.argsort(net, kind="stable")
    return Trees(net[order], ends[order])


def _turned(ends: Int32[np.ndarray, "segments 4"]) -> Int32[np.ndarray, "segments 4"]:
    """The same segments with x0 <= x1."""
    turned: Int32[np.ndarray, "segments 4"] = np.where(ends[:, :1] > ends[:, 2:3], ends[:, [2, 3, 0, 1]], ends)
    return turned


def _in_python(
    points: Points, xy: Int32[np.ndarray, "points 2"]
) -> tuple[Int32[np.ndarray, " segments"], Int32[np.ndarray, "segments 4"], Int32[np.ndarray, " others"]]:
    """Net and ends of the segments, and the nets that get another tree."""
    nets, ends, others = [], [], []
    first = points.first()
    for net, (low, high) in enumerate(zip(first[:-1].tolist(), first[1:].tolist(), strict=True)):
        if high - low < 2:
            continue
        tree = _Tree(xy[low:high].tolist()) if high - low <= _MOST else None
        found = tree.grown(int(points.driver[net])) if tree else None
        if found is None:
            others.append(net)
        else:
            nets += [net] * len(found)
            ends += found
    return (np.asarray(nets, np.int32), np.asarray(ends, np.int32).reshape(-1, 4), np.asarray(others, np.int32))


def _distance(a: tuple[int, int], b: tuple[int, int]) -> int:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _between(at: int, a: int, b: int) -> int:
    return min(a, b) if min(a, b) > at else max(a, b) if max(a, b) < at else at


class _Tree:
    """The tree of one net: places of its nodes, ends of its edges, and the edges of every node, the newest first."""

    def __init__(self, places: list[list[int]]) -> None:
        self.at = [(x, y) for x, y in places]
        self.ends: list[list[int]] = []
        self.edges: list[list[int]] = [[] for _ in self.at]

    def grown(self, driver: int) -> list[list[int]] | None:
        """The segments by number of their node; None where the tree would cross itself."""
        points = len(self.at)
        self._grow(driver)
        _Steiner(self).add_points()
        self._split()
        parent = self._parents(driver)
        if points <= _CLEAN and not self._is_clean(parent):
            return None
        pairs = ((self.at[n], self.at[p]) for n, p in enumerate(parent))
        return [[*a, *b] if a[0] < b[0] else [*b, *a] for a, b in pairs if a != b]

    def add(self, u: int, v: int) -> None:
        for node in (u, v):
            self.edges[node].insert(0, len(self.ends))
        self.ends.append([u, v])

    def add_node(self, at: tuple[int, int]) -> int:
        self.at.append(at)
        self.edges.append([])
        return len(self.at) - 1

    def move(self, edge: int, node: int, to: int) -> None:
        """One end of an edge from `node` to `to`."""
        self.edges[node].remove(edge)
        self.ends[edge][self.ends[edge].index(node)] = to
        self.edges[to].insert(0, edge)

    def other(self, edge: int, node: int) -> int:
        u, v = self.ends[edge]
        return v if u == node else u

    def _near(self) -> list[list[int]]:
        """Neighbours of every point: those with no other point in the box of the two."""
        near: list[list[int]] = [[] for _ in self.at]
        order = sorted(range(len(near)), key=lambda i: (self.at[i][1], self.at[i][0]))
        for k, p in enumerate(order):
            x = self.at[p][0]
            for others in (reversed(order[:k]), order[k + 1 :]):
                left, right = -math.inf, math.inf  # the nearest columns met
                for q in others:
                    at = self.at[q][0]
                    if left < at < right:
                        near[p].append(q)
                        left, right = (at, right) if at < x else (left, at)
        return near

    def _grow(self, driver: int) -> None:
        """Point by point, the one of the least length of its edge and share of the way from the driver."""
        near = self._near()
        waiting = {driver: (np.float32(0), -1, driver)}
        length, done = {driver: 0}, set()
        while waiting:
            _, parent, p = min(waiting.values())
            del waiting[p]
            done.add(p)
            if parent >= 0:
                self.add(parent, p)
            for q in near[p]:
                if q in done:
                    continue
                way = _distance(self.at[p], self.at[q])
                weight = np.float32(np.float32(way) + np.float32(_SHY * np.float32(length[p])))
                if q not in waiting or weight <= waiting[q][0]:
                    waiting[q], length[q] = (weight, p, q), way + length[p]

    def _split(self) -> None:
        """A node of more than three edges keeps its two newest and a link to a second one in its place for the rest."""
        queue = list(reversed(range(len(self.at))))
        for node in queue:
            if len(self.edges[node]) <= 3:
                continue
            to = self.add_node(self.at[node])
            for edge in self.edges[node][2:]:
                self.move(edge, node, to)
            self.add(node, to)
            queue.append(to)

    def _parents(self, driver: int) -> list[int]:
        parent = [-1] * len(self.at)
        parent[driver] = driver
        queue = [driver]
        for node in queue:
            for edge in self.edges[node]:
                to = self.other(edge, node)
                if parent[to] < 0:
                    parent[to] = node
                    queue.append(to)
        return parent

    def _is_clean(self, parent: list[int]) -> bool:
        """Whether no two edges' boxes meet but in a corner of both."""
        boxes = []
        for n, p in enumerate(parent):
            if p < 0:
                return False
            (x1, y1), (x2, y2) = self.at[n], self.at[p]
            if (x1, y1) != (x2, y2):
                boxes.append((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))
        for i, a in enumerate(boxes):
            for b in boxes[i + 1 :]:
                apart = b[0] > a[2] or b[2] < a[0] or b[1] > a[3] or b[3] < a[1]
                corner = ({a[0], a[2]} & {b[0], b[2]}) and ({a[1], a[3]} & {b[1], b[3]})
                if not apart and not corner:
                    return False
        return True


@dataclass
class _Best:
    """The Steiner point of two edges of a node that saves most; sorts as the heap does."""

    gain: int = 0
    at: tuple[int, int] = (0, 0)
    edges: tuple[int, int] = (-1, -1)

    def key(self) -> tuple[int, int, int]:
        return (self.gain, *self.at)


class _Steiner:
    """Steiner points, the best of all nodes first; a heap as OpenROAD's, since it decides among equals."""

    def __init__(self, tree: _Tree) -> None:
        self.tree = tree
        self.best: dict[int, _Best] = {}
        self.heap: list[int] = []
        self.place: dict[int, int] = {}

    def add_points(self) -> None:
        tree = self.tree
        for node in reversed(range(len(tree.at))):
            self._enter(node)
        while self.heap:
            node = self.heap[0]
            self._swap(0, len(self.heap) - 1)
            self.heap.pop()
            self._sink(0)
            best = self.best[node]
            if not best.gain:
                return
            ends = [tree.other(edge, node) for edge in best.edges]
            there = [end for end in ends if tree.at[end] == best.at]
            to = there[0] if there else tree.add_node(best.at)
            for edge, end in zip(best.edges, ends, strict=True):
                if end != to:
                    tree.move(edge, node, to)
            if not there:
                tree.add(to, node)
                self._enter(to)
            self._enter(node)
            for end in ends:
                self._renew(end)

    def _find(self, node: int) -> _Best:
        tree, best = self.tree, _Best()
        (x, y), edges = tree.at[node], tree.edges[node]
        for i, one in enumerate(edges):
            x1, y1 = tree.at[tree.other(one, node)]
            for two in edges[i + 1 :]:
                x2, y2 = tree.at[tree.other(two, node)]
                at = (_between(x, x1, x2), _between(y, y1, y2))
                gain = _distance(at, (x, y))
                if gain > best.gain:
                    best = _Best(gain, at, (one, two))
        return best

    def _is_less(self, i: int, j: int) -> bool:
        return self.best[self.heap[i]].key() < self.best[self.heap[j]].key()

    def _swap(self, i: int, j: int) -> None:
        heap = self.heap
        heap[i], heap[j] = heap[j], heap[i]
        self.place[heap[i]], self.place[heap[j]] = i, j

    def _sink(self, i: int) -> None:
        while (child := 2 * i + 1) < len(self.heap):
            if child + 1 < len(self.heap) and self._is_less(child, child + 1):
                child += 1
            if self._is_less(child, i):
                return
            self._swap(i, child)
            i = child

    def _rise(self, i: int) -> None:
        while i and self._is_less((i - 1) // 2, i):
            self._swap(i, (i - 1) // 2)
            i = (i - 1) // 2

    def _enter(self, node: int) -> None:
        self.best[node] = self._find(node)
        self.heap.append(node)
        self.place[node] = len(self.heap) - 1
        self._rise(len(self.heap) - 1)

    def _renew(self, node: int) -> None:
        self.best[node] = self._find(node)
        i = self.place[node]
        if i and self._is_less((i - 1) // 2, i):
            self._rise(i)
        else:
            self._sink(i)
