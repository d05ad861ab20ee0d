"""The trees of the maze passes of the embedded router in Python: see `router_reference_maze`."""

from dataclasses import dataclass, field

NO_LAYER = 2**15 - 1


@dataclass
class Node:
    """A gcell, and the layers of the pins in it."""

    at: int
    low: int = NO_LAYER  # none where low > high
    high: int = -1


@dataclass
class Edge:
    """Its nodes, and the cells of its path from the first to the second."""

    a: int
    b: int
    path: list[int]


@dataclass
class Tree:
    """Edges that are no more are None, so that the others keep their numbers; `size` is the gcells of a plane."""

    size: int
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge | None] = field(default_factory=list)

    def edge(self, number: int) -> Edge:
        """An edge that is there."""
        found = self.edges[number]
        assert found is not None
        return found

    def at_node(self, node: int) -> list[tuple[int, int]]:
        """Number and side of the edges that end at a node; side 1 is an edge's end."""
        live = [(i, e) for i, e in enumerate(self.edges) if e is not None]
        return [(i, side) for i, e in live for side in (0, 1) if (e.b if side else e.a) == node]

    def layers_of(self, node: int, skip: int, *, is_flat: bool) -> range:
        """Layers that a node reaches by its pins and the ends of its edges but `skip`."""
        if is_flat:
            return range(1)
        low, high = self.nodes[node].low, self.nodes[node].high
        for number, side in self.at_node(node):
            path = self.edge(number).path
            if number != skip and len(path) > 1:
                layer = path[-1 if side else 0] // self.size
                low, high = min(low, layer), max(high, layer)
        return range(low, high + 1)

    def move_end(self, number: int, at: int, other: int, *, at_b: bool) -> None:
        """Let one end of an edge end in gcell `at` of edge `other`.

        A node that has lost its use goes: the edges that it joined become one. Edges keep their numbers as FastRoute's
        do, since they are routed in this order.
        """
        edge = self.edge(number)
        node = edge.b if at_b else edge.a
        if self.nodes[node].at == at or other < 0:
            return
        c = self.edge(other)
        there = [n for n in (c.a, c.b) if self.nodes[n].at == at]
        half = len(self.edges)
        if there:
            to = there[0]
        else:
            flat = [cell % self.size for cell in c.path]
            if at not in flat:
                return
            first, last = flat.index(at), len(flat) - 1 - flat[::-1].index(at)
            to = len(self.nodes)
            self.nodes.append(Node(at))
            self.edges[other] = Edge(c.a, to, c.path[: first + 1])
            self.edges.append(Edge(to, c.b, c.path[last:]))
        if at_b:
            edge.b = to
        else:
            edge.a = to
        if self.nodes[node].low <= self.nodes[node].high:
            return
        left = list(dict.fromkeys(i for i, _ in self.at_node(node) if i != number))
        if len(left) != 2:
            return
        one, two = left
        joined = self._joined(node, one, two)
        if there:
            self.edges[one], self.edges[two] = joined, None
            return
        if one == other or two in (other, half):
            far = other if two == half else half
            self.edges[two if one == other else one], self.edges[other] = joined, self.edges[far]
        else:
            self.edges[one], self.edges[two], self.edges[other] = self.edges[other], self.edges[half], joined
        self.edges.pop()

    def _joined(self, node: int, one: int, two: int) -> Edge:
        """Two edges of a node as one, from the far end of the first to that of the second, with vias between."""
        p, q = self.edge(one), self.edge(two)
        if p.a == node:
            p = Edge(p.b, p.a, p.path[::-1])
        if q.b == node:
            q = Edge(q.b, q.a, q.path[::-1])
        path = [] if len(p.path) < 2 and len(q.path) > 1 else list(p.path)
        if len(q.path) > 1:
            if path:
                while path[-1] // self.size != q.path[0] // self.size:
                    path.append(path[-1] + (self.size if q.path[0] > path[-1] else -self.size))
            else:
                path.append(q.path[0])
            path += q.path[1:]
        return Edge(p.a, q.b, path)

    def gathered(self, node: int, skip: int, *, is_flat: bool) -> list[tuple[int, int]]:
        """Cells of the part of a tree at a node, without edge `skip`, and the edges they are of."""
        found = [(layer * self.size + self.nodes[node].at, -1) for layer in self.layers_of(node, skip, is_flat=is_flat)]
        seen, queue = {node}, [node]
        for at in queue:
            for number, side in self.at_node(at):
                edge = self.edge(number)
                to = edge.a if side else edge.b
                if number == skip or to in seen:
                    continue
                seen.add(to)
                queue.append(to)
                if len(edge.path) > 1:
                    place = self.nodes[to].at
                    found += [
                        (layer * self.size + place, number) for layer in self.layers_of(to, skip, is_flat=is_flat)
                    ]
                    found += [(cell, number) for cell in edge.path[1:-1]]
        return found
