"""Explicit relations against their definitions, pin by pin and gcell by gcell."""

from collections import Counter

import numpy as np
import pytest

from circuit_io.graph import ENDS, RELATIONS, CircuitGraph


@pytest.fixture
def graph() -> CircuitGraph:
    """A graph with a repeated pin, a lone net, an empty net, an inst without pins and two insts in one gcell."""
    return CircuitGraph(
        nx=3, ny=2,
        inst_gcell=np.asarray([0, 0, 4, 5, 2], np.int32),
        pin_inst=np.asarray([0, 1, 1, 2, 0, 2, 3, 3], np.int32),
        pin_net=np.asarray([0, 0, 0, 0, 1, 1, 1, 3], np.int32),
        pin_gcell=np.asarray([0, 0, 1, 4, 0, 4, 5, 5], np.int32),
        net_box=np.asarray([[0, 0, 1, 1], [0, 0, 2, 1], [1, 1, 0, 0], [2, 1, 2, 1]], np.int32),
        inst_features=np.zeros((5, 1), np.float32), net_features=np.zeros((4, 1), np.float32),
        gcell_features=np.zeros((6, 1), np.float32), pin_features=np.zeros((8, 1), np.float32),
    )  # fmt: skip


def _pairs(graph: CircuitGraph, relation: str) -> Counter[tuple[int, int]]:
    """(source, target) with multiplicity, from the words of DESIGN section 4."""
    pins = list(zip(graph.pin_inst.tolist(), graph.pin_net.tolist(), strict=True))
    cells = graph.inst_gcell.tolist()
    insts, gcells = range(len(cells)), range(graph.num_gcells)
    at = {g: (g % graph.nx, g // graph.nx) for g in gcells}
    box = [
        [g for g in gcells if x0 <= at[g][0] <= x1 and y0 <= at[g][1] <= y1]
        for x0, y0, x1, y1 in graph.net_box.tolist()
    ]
    close = lambda a, b: max(abs(at[a][0] - at[b][0]), abs(at[a][1] - at[b][1])) <= 1  # noqa: E731
    side = {"west": (-1, 0), "east": (1, 0), "south": (0, -1), "north": (0, 1)}
    moved = lambda g, d: [s for s in gcells if (at[s][0] - at[g][0], at[s][1] - at[g][1]) == d]  # noqa: E731
    pairs = {
        "pin": lambda: [(i, n) for i, n in pins],
        "pinned": lambda: [(n, i) for i, n in pins],
        "in": lambda: [(i, cells[i]) for i in insts],
        "holds": lambda: [(cells[i], i) for i in insts],
        "covers": lambda: [(n, g) for n, held in enumerate(box) for g in held],
        "covered": lambda: [(g, n) for n, held in enumerate(box) for g in held],
        "near": lambda: [(a, b) for a in insts for b in insts if a != b and close(cells[a], cells[b])],
        "clique": lambda: [(a, b) for a, n in pins for b, m in pins if n == m and a != b] + [(i, i) for i in insts],
        "adjacent": lambda: [(s, g) for g in gcells for d in side.values() for s in moved(g, d)],
        **{name: lambda d=d: [(s, g) for g in gcells for s in moved(g, d)] for name, d in side.items()},
    }
    return Counter(pairs[relation]())


@pytest.mark.parametrize("relation", RELATIONS)
def test_explicit_edges_are_those_of_the_definition(graph: CircuitGraph, relation: str) -> None:
    edges = graph.explicit(relation)
    got = Counter(zip(*edges.edge_index.tolist(), strict=True))
    assert got == _pairs(graph, relation)
    count = {"inst": graph.num_insts, "net": graph.num_nets, "gcell": graph.num_gcells}[ENDS[relation][1]]
    total = np.bincount(edges.edge_index[1], weights=edges.weight, minlength=count)
    np.testing.assert_allclose(total[total > 0], 1.0)


def test_an_unknown_relation_names_the_known_ones(graph: CircuitGraph) -> None:
    with pytest.raises(ValueError, match="clique"):
        graph.explicit("friends")
