"""Every relation against its explicit edges in float64, and the plan that merges them."""

import gc
from dataclasses import fields

import numpy as np
import pytest
import torch
from toy_graphs import mean_matrix, toy_graph

from circuit_io.errors import GsrError, InputError
from circuit_io.graph import CircuitGraph
from gsr_plugin import plan as plan_module
from gsr_plugin import relations as relations_module
from gsr_plugin.graph_tensors import NODE_TYPES, GraphTensors
from gsr_plugin.ops.mix import cpu as mix_cpu
from gsr_plugin.plan import Plan, blocks_of, plan_of
from gsr_plugin.relations import RELATIONS, ends_of, relation

SIZES = [(30, 25, 7, 5), (6, 9, 1, 4), (5, 4, 3, 1), (1, 1, 1, 1), (12, 0, 3, 3), (0, 6, 2, 3), (40, 3, 2, 2)]
BACKENDS = ["cpu", "aten", "reference"]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GSR_BACKEND", request.param)
    return str(request.param)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", RELATIONS)
@pytest.mark.usefixtures("backend")
def test_relation_equals_explicit_edges(name: str, size: tuple[int, int, int, int]) -> None:
    toy = toy_graph(*size, seed=3)
    graph = GraphTensors.of(toy)
    ends = ends_of(name)
    dense = mean_matrix(toy, name, graph.count(ends.source), graph.count(ends.target))
    op = relation(graph, name, dtype=torch.float64)
    x = torch.randn(graph.count(ends.source), 3, dtype=torch.float64)
    g = torch.randn(graph.count(ends.target), 3, dtype=torch.float64)
    torch.testing.assert_close(op.forward(x), dense @ x, rtol=0, atol=1e-12)
    torch.testing.assert_close(op.adjoint(g), dense.T @ g, rtol=0, atol=1e-12)


def test_repeated_pins_count_as_often_as_they_are() -> None:
    toy = toy_graph(4, 12, 2, 2, seed=1, mean_pins=6.0)
    assert len({*zip(toy.pin_inst.tolist(), toy.pin_net.tolist(), strict=True)}) < len(toy.pin_inst)
    graph = GraphTensors.of(toy)
    x = torch.randn(4, 2, dtype=torch.float64)
    for name in ("pin", "clique"):
        dense = mean_matrix(toy, name, 4, graph.count(ends_of(name).target))
        got = relation(graph, name, dtype=torch.float64).forward(x)
        torch.testing.assert_close(got, dense @ x, rtol=0, atol=1e-13)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("size", SIZES)
def test_plan_is_the_sum_of_its_relations(size: tuple[int, int, int, int]) -> None:
    toy = toy_graph(*size, seed=5)
    graph = GraphTensors.of(toy)
    plan = Plan(graph, tuple(RELATIONS), torch.float64)
    table = torch.randn(plan.num_table_rows, 4, dtype=torch.float64)
    grad = torch.randn(graph.num_nodes, 4, dtype=torch.float64)
    want, back = torch.zeros_like(grad), torch.zeros_like(table)
    for t, blocks in blocks_of(plan.relations).items():
        for r, name in enumerate(blocks):
            rows = slice(plan.table_rows[t].start + r, plan.table_rows[t].stop, len(blocks))
            target = graph.rows(t if name == "self" else ends_of(name).target)
            n, m = graph.count(t), target.stop - target.start
            dense = torch.eye(n, dtype=torch.float64) if name == "self" else mean_matrix(toy, name, n, m)
            want[target] += dense @ table[rows]
            back[rows] = dense.T @ grad[target]
    torch.testing.assert_close(plan.aggregate(table), want, rtol=0, atol=1e-12)
    torch.testing.assert_close(plan.adjoint(grad), back, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", RELATIONS)
def test_adjoint_identity_at_a_real_size(name: str) -> None:
    graph = GraphTensors.of(toy_graph(2000, 2500, 40, 30, seed=2))
    ends, op = ends_of(name), relation(graph, name, dtype=torch.float64)
    x = torch.randn(graph.count(ends.source), 8, dtype=torch.float64)
    g = torch.randn(graph.count(ends.target), 8, dtype=torch.float64)
    left, right = (op.forward(x) * g).sum(), (x * op.adjoint(g)).sum()
    torch.testing.assert_close(left, right, rtol=1e-11, atol=1e-9)


def test_rows_of_the_stream_are_inst_net_gcell() -> None:
    graph = GraphTensors.of(toy_graph(10, 7, 3, 2))
    assert [graph.rows(t) for t in NODE_TYPES] == [slice(0, 10), slice(10, 17), slice(17, 23)]
    assert graph.to("cpu") is graph


def test_unknown_relation_lists_the_near_ones() -> None:
    with pytest.raises(GsrError, match='"pinned"'):
        ends_of("pined")


@pytest.mark.parametrize("name", RELATIONS)
def test_relation_equals_the_edges_of_the_circuit_graph(name: str) -> None:
    toy = toy_graph(40, 30, 7, 5, seed=7)
    arrays = {f.name: getattr(toy, f.name) for f in fields(toy)}
    rows = {"inst": 40, "net": 30, "gcell": 35, "pin": len(toy.pin_inst)}
    columns = {f"{t}_features": np.zeros((n, 0), np.float32) for t, n in rows.items()}
    circuit = CircuitGraph(**arrays, pin_gcell=toy.inst_gcell[toy.pin_inst], **columns)
    graph, edges, ends = GraphTensors.of(circuit), circuit.explicit(name), ends_of(name)
    x = torch.randn(graph.count(ends.source), 3, dtype=torch.float64)
    want = torch.zeros(graph.count(ends.target), 3, dtype=torch.float64)
    source, target = torch.from_numpy(edges.edge_index)
    want.index_add_(0, target, x[source] * torch.from_numpy(edges.weight)[:, None])
    torch.testing.assert_close(relation(graph, name, dtype=torch.float64).forward(x), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("array", "value"), [("inst_gcell", 6), ("pin_inst", 10), ("pin_net", -1), ("net_box", 9)])
def test_an_index_outside_the_graph_is_an_error(array: str, value: int) -> None:
    toy = toy_graph(10, 7, 3, 2)
    if array == "net_box":
        toy.net_box[-1] = 0
    getattr(toy, array).reshape(-1)[-1] = value
    with pytest.raises(InputError, match=rf"{array}.* = {value}"):
        GraphTensors.of(toy)


def test_plans_go_with_their_graph() -> None:
    gc.collect()
    before = (len(plan_module._PLANS), len(mix_cpu._SOURCES), len(relations_module._BOXES))
    graph = GraphTensors.of(toy_graph(30, 25, 7, 5))
    plan = plan_of(graph, ("pin", "covers", "near"), torch.float32)
    assert plan_of(graph, ("pin", "covers", "near"), torch.float32) is plan
    mix_cpu._sources_of(plan)
    del graph, plan
    gc.collect()
    assert (len(plan_module._PLANS), len(mix_cpu._SOURCES), len(relations_module._BOXES)) == before
