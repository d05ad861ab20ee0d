"""Mirrors and turns of graphs: they are a group, they move edges where the router would, and relations follow."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_graph import synthetic_graph, synthetic_labels

from circuit_io.fields import (
    GCELL_FEATURES,
    INST_FEATURES,
    NET_FEATURES,
    NET_ROUTER_FEATURES,
    PIN_FEATURES,
    ROUTER_FEATURES,
    column,
)
from circuit_io.transform import (
    SYMMETRIES,
    Symmetry,
    inverse,
    transform,
    transform_edges,
    without_liberty,
    without_router,
)

ALL_FIELDS = {"inst": INST_FEATURES, "net": NET_FEATURES, "pin": PIN_FEATURES, "gcell": GCELL_FEATURES}
RELATIONS = ("pin", "in", "adjacent", "covers", "near", "clique")


def moved_gcell(nx: int, ny: int, symmetry: Symmetry) -> np.ndarray:
    """New index of every old gcell, one by one."""
    out = np.empty(nx * ny, int)
    for iy in range(ny):
        for ix in range(nx):
            x = nx - 1 - ix if symmetry.mirror_x else ix
            y = ny - 1 - iy if symmetry.mirror_y else iy
            out[iy * nx + ix] = x * ny + y if symmetry.transpose else y * nx + x
    return out


@given(st.integers(0, 500), st.sampled_from(SYMMETRIES), st.integers(1, 6), st.integers(1, 6))
def test_a_symmetry_and_its_inverse_give_the_graph_back(seed: int, symmetry: Symmetry, nx: int, ny: int) -> None:
    graph = synthetic_graph(seed, nx=nx, ny=ny, insts=9, nets=5, pins=20, empty_net=True)
    back = transform(transform(graph, symmetry), inverse(symmetry))
    for f in fields(graph):
        np.testing.assert_array_equal(getattr(back, f.name), getattr(graph, f.name), err_msg=f.name)
    labels = synthetic_labels(graph, seed)
    edges = labels.overflow_h, labels.overflow_v
    again = transform_edges(*transform_edges(*edges, symmetry), inverse(symmetry))
    for got, want in zip(again, edges, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
@pytest.mark.parametrize("relation", RELATIONS)
def test_relations_move_with_the_gcells(symmetry: Symmetry, relation: str) -> None:
    graph = synthetic_graph(3)
    turned = transform(graph, symmetry)
    move = {"gcell": moved_gcell(graph.nx, graph.ny, symmetry)}
    ends = {"pin": ("inst", "net"), "in": ("inst", "gcell"), "adjacent": ("gcell", "gcell"), "covers": ("net", "gcell")}
    source, target = ends.get(relation, ("inst", "inst"))
    before, after = graph.explicit(relation), turned.explicit(relation)

    def rows(edges: object, moves: dict) -> list:
        s, t = edges.edge_index  # type: ignore[attr-defined]
        s = moves[source][s] if source in moves else s
        t = moves[target][t] if target in moves else t
        return sorted(zip(s.tolist(), t.tolist(), edges.weight.tolist(), strict=True))  # type: ignore[attr-defined]

    assert rows(before, move) == rows(after, {})


def test_edges_move_as_the_design_says() -> None:
    h, v = np.arange(12.0).reshape(3, 4), np.arange(100.0, 112).reshape(3, 4)
    x_h, x_v = transform_edges(h, v, Symmetry(mirror_x=True))
    for iy in range(3):
        for ix in range(3):
            assert x_h[iy, ix] == h[iy, 4 - 2 - ix]
    np.testing.assert_array_equal(x_v, v[:, ::-1])
    t_h, t_v = transform_edges(h, v, Symmetry(transpose=True))
    np.testing.assert_array_equal(t_h, v.T)
    np.testing.assert_array_equal(t_v, h.T)


@pytest.mark.parametrize("name", ["demand_z", "router", "router_first", "router_spread", "router_across3"])
@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_edge_features_move_like_edge_labels(symmetry: Symmetry, name: str) -> None:
    graph = synthetic_graph(4)
    shape, both = (graph.ny, graph.nx), (f"{name}_h", f"{name}_v")
    pick = [graph.gcell_features[:, column(GCELL_FEATURES, n)].reshape(shape) for n in both]
    want = transform_edges(pick[0], pick[1], symmetry)
    turned = transform(graph, symmetry)
    for name, expected in zip(both, want, strict=True):
        got = turned.gcell_features[:, column(GCELL_FEATURES, name)].reshape(turned.ny, turned.nx)
        np.testing.assert_array_equal(got, expected)


def test_directed_features_are_exchanged_or_negated() -> None:
    graph = synthetic_graph(5)
    turned = transform(graph, Symmetry(mirror_x=True))
    inst = lambda g, n: g.inst_features[:, column(INST_FEATURES, n)]  # noqa: E731
    np.testing.assert_array_equal(inst(turned, "offset_x"), -inst(graph, "offset_x"))
    np.testing.assert_array_equal(inst(turned, "offset_y"), inst(graph, "offset_y"))
    np.testing.assert_array_equal(inst(turned, "left"), inst(graph, "right"))
    turned = transform(graph, Symmetry(transpose=True))
    np.testing.assert_array_equal(inst(turned, "width"), inst(graph, "height"))
    np.testing.assert_array_equal(inst(turned, "offset_x"), inst(graph, "offset_y"))
    np.testing.assert_array_equal(inst(turned, "left"), inst(graph, "bottom"))


@pytest.mark.parametrize("kind", ALL_FIELDS)
def test_partners_are_mutual(kind: str) -> None:
    fields_ = {f.name: f for f in ALL_FIELDS[kind]}
    for field in fields_.values():
        for axis in ("mirror_x", "mirror_y", "transpose"):
            partner = fields_[getattr(field, axis) or field.name]
            assert (getattr(partner, axis) or partner.name) == field.name, (field.name, axis)


@given(st.sampled_from(SYMMETRIES), st.sampled_from(SYMMETRIES))
def test_symmetries_are_eight(one: Symmetry, other: Symmetry) -> None:
    graph = synthetic_graph(6, nx=3, ny=4, insts=8, nets=4, pins=12)
    twice = transform(transform(graph, one), other).gcell_features.tobytes()
    assert twice in {transform(graph, s).gcell_features.tobytes() for s in SYMMETRIES}


def test_without_liberty_clears_features_and_flags() -> None:
    graph = synthetic_graph(7)
    bare = without_liberty(graph)
    assert not bare.inst_features[:, column(INST_FEATURES, "has_liberty")].any()
    assert not bare.pin_features[:, column(PIN_FEATURES, "cap")].any()
    assert graph.pin_features[:, column(PIN_FEATURES, "cap")].any()
    np.testing.assert_array_equal(bare.gcell_features, graph.gcell_features)


def test_without_router_clears_its_features_alone() -> None:
    graph = synthetic_graph(8)
    bare = without_router(graph)
    for kind, declared, own in (
        ("gcell", GCELL_FEATURES, ROUTER_FEATURES),
        ("net", NET_FEATURES, NET_ROUTER_FEATURES),
    ):
        first, after, before = len(declared) - len(own), *(getattr(g, f"{kind}_features") for g in (bare, graph))
        assert declared[first:] == own
        assert not after[:, first:].any()
        assert before[:, first:].all()
        np.testing.assert_array_equal(after[:, :first], before[:, :first])
