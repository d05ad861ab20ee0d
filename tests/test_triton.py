"""The Triton kernels beside the reference: on a CUDA device, or in Triton's interpreter.

`make test` runs this file in a process of its own, with TRITON_INTERPRET=1; `pytest -m gpu` runs it on the device.
"""

import os
from collections.abc import Iterator

import pytest
import torch
from toy_graphs import toy_graph

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cuda":
    pytestmark = pytest.mark.gpu
elif os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs a process started with TRITON_INTERPRET=1, as `make test` does", allow_module_level=True)
pytest.importorskip("triton", reason="no triton: pip install triton")

from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.ops.box import running_sums_
from gsr_plugin.ops.packed_linear import packed_linear, packed_linear_adjoint
from gsr_plugin.ops.residual import add_rounded_
from gsr_plugin.ops.segment import column_sum, segment_sum
from gsr_plugin.ops.topk import RowNorm, Selection, norm_topk, norm_topk_adjoint_, repack
from gsr_plugin.reversible import RangeError, ReversibleStack, StackSpec

SHAPES = [(1, 1, 1), (5, 2, 1), (40, 7, 3), (33, 16, 16), (70, 32, 8), (50, 50, 13), (12, 192, 8), (7, 300, 40)]


def random(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator("cpu").manual_seed(seed), device="cpu").to(DEVICE)


def norm_of(n: int, h: int) -> RowNorm:
    """Three runs of rows, the second one empty."""
    return RowNorm(1.0 + 0.3 * random(3, h, seed=1), 0.2 * random(3, h, seed=2), (0, n // 3, n // 3, n))


@pytest.fixture(autouse=True)
def triton_backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GSR_BACKEND", "triton")
    torch.set_default_device(DEVICE)
    yield
    torch.set_default_device(None)


def reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSR_BACKEND", "reference")


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("select", [{}, {"magnitude": True, "relu": True}, {"bf16": True}])
@pytest.mark.parametrize(("n", "h", "k"), SHAPES)
def test_selection_has_the_bits_of_the_reference(
    n: int, h: int, k: int, normed: bool, select: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, selection, norm = random(n, h), Selection(k, **select), norm_of(n, h) if normed else None
    x[::4] = x[::4].round()  # ties
    x[::7] = 1.25  # no variance
    x[::3, ::2] *= -1.0  # some -0.0
    found = []
    for use in (lambda _: None, reference):
        use(monkeypatch)
        packed = norm_topk(x, selection, norm)
        again = repack(x, packed.index, selection, norm)
        e = torch.full_like(x, 0.5)
        grads = norm_topk_adjoint_(e, x, packed, random(n, k, seed=3), selection, norm)
        found.append((packed.index, packed.values, again.values, packed.mean, packed.rstd, e, grads))
    for a, b in zip(*(f[:6] for f in found), strict=True):
        assert (a is None and b is None) or torch.equal(a, b)
    for a, b in zip(found[0][6] or (), found[1][6] or (), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_a_row_that_is_not_finite_is_packed_as_nan() -> None:
    x = torch.ones(9, 16)
    x[4, 3] = float("nan")
    packed = norm_topk(x, Selection(3), norm_of(9, 16))
    assert packed.values[4].isnan().all()
    assert packed.index[4].tolist() == [0, 1, 2]
    assert packed.values[[0, 1, 2, 3, 5, 6, 7, 8]].isfinite().all()


@pytest.mark.parametrize("weighted", [False, True])
def test_lists_of_any_length(weighted: bool) -> None:
    ends = torch.tensor([0, 0, 3, 3, 200, 201, 265, 329, 329], dtype=torch.int32)  # 197, 1, 64 and 64 entries
    idx = random(329).mul(1e4).long().remainder(50).to(torch.int32)
    table, weight = random(50, 24), random(329, seed=1) if weighted else None
    want = torch.zeros(8, 24, dtype=torch.float64)
    rows = table.double()[idx.long()] * (1.0 if weight is None else weight.double()[:, None])
    for row in range(8):
        want[row] = rows[int(ends[row]) : int(ends[row + 1])].sum(0)
    got = segment_sum(table, ends, idx, weight)
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-5)
    assert torch.equal(got, segment_sum(table, ends, idx, weight))


@pytest.mark.parametrize("n", [1, 255, 256, 257, 1000])
def test_column_sum_has_the_bits_of_one_order(n: int) -> None:
    x = random(n, 7)
    chunks = []
    for chunk in x.split(256):
        total = torch.zeros(7)
        for row in chunk:
            total += row
        chunks.append(total)
    total = torch.zeros(7)
    for chunk in chunks:
        total += chunk
    assert torch.equal(column_sum(x), total if len(chunks) > 1 else chunks[0])


def test_running_sums_have_the_bits_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = random(13, 9, 70)
    got, want = grid.clone(), grid.clone()
    running_sums_(got)
    reference(monkeypatch)
    running_sums_(want)
    assert torch.equal(got, want)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("t", [None, 4, 16])
def test_update_has_the_bits_of_the_reference(t: int | None, sign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, f = random(300, 7) * 9.0, random(300, 7, seed=1)
    f[0, :4] = torch.tensor([0.5, 1.5, -0.5, 2.5]) * 2.0 ** -(t or 0)  # halves go to the even neighbour
    f[1, :2] = torch.tensor([3e9, -3e9])  # whole numbers already
    found = []
    for use in (lambda _: None, reference):
        use(monkeypatch)
        y, amax = x.clone(), torch.zeros(())
        add_rounded_(y, f.clone(), sign=sign, t=t, amax=amax)
        found.append((y, amax))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    monkeypatch.setenv("GSR_BACKEND", "triton")
    f[2, 3] = float("nan")
    add_rounded_(x, f, sign=sign, t=t, amax=found[0][1])
    assert found[0][1].isnan()


@pytest.mark.parametrize("normed", [False, True])
def test_kept_values_are_rounded_to_the_nearest_even(normed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    bits, norm = random(60, 16).view(torch.int32), norm_of(60, 16) if normed else None
    bits[1::4] = (bits[1::4] & -65536) | 0x8000  # halfway between two
    bits[2::4] &= ~0x7F800000  # denormal
    x, found = bits.view(torch.float32), []
    for use in (lambda _: None, reference):
        use(monkeypatch)
        packed = norm_topk(x, Selection(5, bf16=True), norm)
        assert packed.values.dtype == torch.bfloat16
        again = repack(x, packed.index, Selection(5, bf16=True), norm)
        found.append([packed.index, packed.values.view(torch.int16), again.values.view(torch.int16)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(("h", "k", "m"), [(8, 2, 3), (16, 4, 16), (32, 8, 96), (100, 3, 7)])
def test_packed_product_and_its_adjoint(h: int, k: int, m: int, bf16: bool) -> None:
    x, w, grad = random(70, h), random(h, m, seed=1), random(70, m, seed=2)
    packed = norm_topk(x, Selection(k, bf16=bf16))
    given, w = (w.bfloat16(), w.bfloat16().float()) if bf16 else (w, w)
    s = torch.zeros_like(x).scatter(1, packed.index.long(), packed.values.float())
    out, dw = torch.full((70, m), float("nan")), torch.full_like(w, float("nan"))
    packed_linear(packed.values, packed.index, given, out=out)
    dv = packed_linear_adjoint(packed.values, packed.index, given, grad, dweight=dw)
    assert dv.dtype == torch.float32
    torch.testing.assert_close(out, s @ w, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dv, (grad @ w.T).gather(1, packed.index.long()), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dw, s.T @ grad, rtol=1e-5, atol=1e-4)


RELATIONS = ("pin", "pinned", "in", "holds", "covers", "covered", "near", "clique", "adjacent")


def stack_of(t: int | None, *, bf16: bool = False) -> tuple[ReversibleStack, GraphTensors, torch.Tensor]:
    graph = GraphTensors.of(toy_graph(14, 9, 3, 2, seed=1)).to(torch.device(DEVICE))
    with torch.device("cpu"):
        stack = ReversibleStack(StackSpec(2, Selection(3, bf16=bf16), t), RELATIONS, 8, seed=5)
    stack.to(DEVICE)
    return stack, graph, random(graph.num_nodes, 16, seed=7)


@pytest.mark.parametrize("bf16", [False, True])
def test_a_step_of_the_stack_beside_the_reference(bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for use in (lambda _: None, reference):
        use(monkeypatch)
        stack, graph, x = stack_of(None, bf16=bf16)
        x.requires_grad_()
        out = stack(x, graph)
        out.square().sum().backward()
        found.append([out.detach(), x.grad, *(p.grad for p in stack.parameters())])
    for a, b in zip(*found, strict=True):
        assert a is not None
        assert b is not None
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bf16", [False, True])
def test_the_input_comes_back_bit_for_bit(bf16: bool) -> None:
    stack, graph, x = stack_of(12, bf16=bf16)
    back: list[torch.Tensor] = []
    stack.on_undone = lambda streams: back.append(streams.clone())
    x = (x * 2.0**12).round() * 2.0**-12
    stack(x.requires_grad_(), graph).sum().backward()
    assert torch.equal(torch.cat(list(back[0]), 1), x)


def test_a_stream_that_is_not_finite_is_reported_with_its_layer() -> None:
    stack, graph, x = stack_of(12)
    with torch.no_grad():
        stack.bias[1, 0, 0, 0] = float("nan")
    with pytest.raises(RangeError, match="nan at layer 2, stream 2"):
        stack(x, graph)
