"""Segment sums, box sums, packed products, the grid update, and the choice of a backend."""

import pytest
import torch
from toy_graphs import toy_graph

from circuit_io.errors import GsrError
from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.ops import native
from gsr_plugin.ops.backend import pick
from gsr_plugin.ops.box import grid_to_box, running_sums_
from gsr_plugin.ops.packed_linear import packed_linear, packed_linear_adjoint
from gsr_plugin.ops.residual import add_rounded_, round_to_grid_
from gsr_plugin.ops.segment import column_sum, segment_sum
from gsr_plugin.ops.topk import Selection, norm_topk
from gsr_plugin.relations import lists_of, relation

CPU = torch.device("cpu")


@pytest.fixture(params=["reference", "aten", "cpu"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GSR_BACKEND", request.param)
    return str(request.param)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("weighted", [False, True])
def test_segment_sum_by_loops(weighted: bool) -> None:
    g = torch.Generator().manual_seed(0)
    table = torch.randn(9, 5, generator=g, dtype=torch.float64)
    ptr = torch.tensor([0, 0, 3, 3, 10, 10], dtype=torch.int32)  # empty rows first, between and last
    idx = torch.randint(0, 9, (10,), generator=g, dtype=torch.int32)
    weight = torch.randn(10, generator=g, dtype=torch.float64) if weighted else None
    want = torch.zeros(5, 5, dtype=torch.float64)
    for row in range(5):
        for e in range(int(ptr[row]), int(ptr[row + 1])):
            want[row] += table[idx[e]] * (1.0 if weight is None else weight[e])
    torch.testing.assert_close(segment_sum(table, ptr, idx, weight), want, rtol=0, atol=1e-14)
    none = segment_sum(table, torch.zeros(4, dtype=torch.int32), idx[:0])
    assert torch.equal(none, torch.zeros(3, 5, dtype=torch.float64))


@pytest.mark.skipif(not native.has_products(), reason="the C kernels were not built")
@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("h", [1, 5, 8, 20, 32, 96, 250])
@pytest.mark.parametrize("weighted", [False, True])
def test_segment_sums_in_c_have_the_bits_of_the_embedding_bag(
    weighted: bool, h: int, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = torch.Generator().manual_seed(h)
    degree = torch.randint(0, 9, (700,), generator=g)
    degree[[0, 300, 301, -1]] = torch.tensor([0, 3000, 0, 0])  # one long list among the others
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), degree.cumsum(0)]).to(torch.int32)
    table, idx = (
        torch.randn(900, h, generator=g),
        torch.randint(0, 900, (int(ptr[-1]),), generator=g, dtype=torch.int32),
    )
    weight = torch.randn(len(idx), generator=g) if weighted else None
    monkeypatch.setenv("GSR_BACKEND", "aten")
    want = segment_sum(table, ptr, idx, weight)
    monkeypatch.setenv("GSR_BACKEND", "cpu")
    highest = native.kernels().gsr_level(9)
    try:
        native.kernels().gsr_level(level)
        assert torch.equal(segment_sum(table, ptr, idx, weight), want)
    finally:
        native.kernels().gsr_level(highest)


@pytest.mark.parametrize("n", [0, 1, 2, 255, 256, 257, 70000])
def test_column_sum_has_one_order(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, found = torch.randn(n, 7, generator=torch.Generator().manual_seed(n)), []
    for name in ("reference", "aten", "cpu"):
        monkeypatch.setenv("GSR_BACKEND", name)
        found.append(column_sum(x))
        torch.testing.assert_close(found[-1], x.sum(0), rtol=1e-4, atol=1e-3)
    assert torch.equal(found[1], found[2])


@pytest.mark.usefixtures("backend")
def test_running_sums_have_one_order() -> None:
    grid = torch.randn(13, 9, 6, generator=torch.Generator().manual_seed(1))
    want, got = grid.clone(), grid.clone()
    for y in range(1, 13):
        want[y] += want[y - 1]
    for x in range(1, 9):
        want[:, x] += want[:, x - 1]
    running_sums_(got)
    assert torch.equal(got, want)


@pytest.mark.usefixtures("backend")
def test_box_sums_of_a_positive_field_stay_exact_on_a_large_grid() -> None:
    ny = nx = 400
    g = torch.Generator().manual_seed(2)
    field = torch.rand(ny * nx, 4, generator=g)
    low = torch.randint(0, 395, (3000, 2), generator=g)
    high = torch.minimum(low + torch.randint(0, 40, (3000, 2), generator=g), torch.tensor(399))
    x1, y1, x0, y0 = high[:, 0], high[:, 1], low[:, 0] - 1, low[:, 1] - 1
    xs, ys = torch.stack([x1, x1, x0, x0], 1), torch.stack([y1, y0, y1, y0], 1)
    area = ((x1 - x0) * (y1 - y0)).double()
    inside = (xs >= 0) & (ys >= 0)
    sign = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64).expand(3000, 4) / area[:, None]
    rows = torch.arange(3000)[:, None].expand(-1, 4)[inside]
    lists, weight = lists_of(rows, (ys * nx + xs)[inside], sign[inside], 3000, torch.float32)
    got = grid_to_box(field, lists.ptr, lists.idx, weight, torch.ones(3000), shape=(ny, nx))
    cube = field.double().view(ny, nx, 4)
    want = torch.stack(
        [cube[b[1] : c[1] + 1, b[0] : c[0] + 1].mean((0, 1)) for b, c in zip(low.tolist(), high.tolist(), strict=True)]
    )
    off = (got - want).abs() / want.square().mean().sqrt()
    assert off.max() < 1e-3  # 4e-2 without the centre
    assert off.square().mean().sqrt() < 3e-5


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", ["covers", "covered"])
def test_box_sums_are_adjoint_in_float32(name: str) -> None:
    op = relation(GraphTensors.of(toy_graph(500, 600, 30, 20, seed=1)), name)
    x, g = torch.rand(600, 8), torch.rand(600, 8)  # as many nets as gcells
    left, right = (op.forward(x).double() * g).sum(), (x.double() * op.adjoint(g)).sum()
    torch.testing.assert_close(left, right, rtol=1e-5, atol=0)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(("h", "k", "m"), [(8, 2, 3), (8, 5, 24), (16, 4, 16), (300, 3, 7)])
def test_packed_product_and_its_adjoint(h: int, k: int, m: int, bf16: bool) -> None:
    g = torch.Generator().manual_seed(h)
    x = torch.randn(5000, h, generator=g, dtype=torch.float64)
    w = torch.randn(h, m, generator=g, dtype=torch.float64)
    packed = norm_topk(x, Selection(k, bf16=bf16))
    given, w = (w.bfloat16(), w.bfloat16().double()) if bf16 else (w, w)
    s = torch.zeros_like(x).scatter(1, packed.index.long(), packed.values.double())
    out, grad = x.new_full((5000, m), float("nan")), torch.randn(5000, m, generator=g, dtype=torch.float64)
    packed_linear(packed.values, packed.index, given, out=out)
    torch.testing.assert_close(out, s @ w, rtol=0, atol=1e-12)
    dw = torch.full_like(w, float("nan"))
    dv = packed_linear_adjoint(packed.values, packed.index, given, grad, dweight=dw)
    torch.testing.assert_close(dv, (grad @ w.T).gather(1, packed.index.long()), rtol=0, atol=1e-12)
    torch.testing.assert_close(dw, s.T @ grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("t", [None, 4, 16])
def test_update_has_the_bits_of_the_definition(t: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    g = torch.Generator().manual_seed(3)
    x, f = round_to_grid_(torch.randn(300, 257, generator=g) * 9.0, t), torch.randn(300, 257, generator=g)
    f[0, :4] = torch.tensor([0.5, 1.5, -0.5, 2.5]) * 2.0 ** -(t or 0)  # halves go to the even neighbour
    for name in ("reference", "cpu"):
        monkeypatch.setenv("GSR_BACKEND", name)
        y, amax = x.clone(), torch.zeros(3)
        add_rounded_(y, f.clone(), sign=1, t=t, amax=amax[1])
        rounded = f if t is None else torch.round(f * 2.0**t) * 2.0**-t
        assert torch.equal(y, x + rounded)
        assert amax.tolist() == [0.0, float((x + rounded).abs().max()), 0.0]
        add_rounded_(y, f.clone(), sign=-1, t=t)
        assert t is None or torch.equal(y, x)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_update_shows_what_is_not_finite(bad: float) -> None:
    x, f, amax = torch.zeros(70000, 2), torch.zeros(70000, 2), torch.zeros(())
    f[69999, 1] = bad
    add_rounded_(x, f, sign=1, t=16, amax=amax)
    assert not torch.isfinite(amax)


def test_backends_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSR_BACKEND", "atan")
    with pytest.raises(GsrError, match='"aten"'):
        pick({"reference": 1}, CPU)
    monkeypatch.setenv("GSR_BACKEND", "aten")
    assert pick({"reference": 1, "cpu": 2}, CPU) == 1
    assert pick({"reference": 1, "aten": 3, "cpu": 2}, CPU) == 3
    monkeypatch.setenv("GSR_BACKEND", "cpu")
    assert pick({"reference": 1, "aten": 3}, CPU) == 3
    with pytest.raises(GsrError, match="cannot run on meta"):
        pick({"reference": 1}, torch.device("meta"))
    monkeypatch.delenv("GSR_BACKEND")
    assert pick({"reference": 1, "aten": 3, "cpu": 2}, CPU) == 2
    assert pick({"reference": 1, "cpu": 2}, torch.device("meta")) == 1


@pytest.mark.skipif(native.library() is None, reason="C kernels not built")
@pytest.mark.parametrize("level", range(3))
def test_selection_has_the_same_bits_on_every_instruction_set(level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(1000, 40, generator=torch.Generator().manual_seed(4)).mul_(4.0).round_().mul_(0.25)
    want = norm_topk(x, Selection(9))
    try:
        native.kernels().gsr_level(level)
        got = norm_topk(x, Selection(9))
    finally:
        native.kernels().gsr_level(2)
    assert torch.equal(got.index, want.index)
    assert torch.equal(got.values, want.values)
