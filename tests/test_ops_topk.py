"""Norm, top-k and pack: the selection by loops, ties and zeros, every backend with the same bits, the adjoint."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gsr_plugin.ops import native
from gsr_plugin.ops.topk import NotANumberError, Packed, RowNorm, Selection, norm_topk, norm_topk_adjoint_, repack

BACKENDS = ["reference", "aten", "cpu"]
SHAPES = [(1, 1, 1), (5, 2, 1), (40, 7, 3), (33, 16, 16), (100, 32, 8), (50, 50, 13), (64, 64, 8), (20, 192, 8)]
SHAPES += [(9, 256, 4), (7, 300, 40), (0, 8, 2), (8200, 8, 2)]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GSR_BACKEND", request.param)
    return str(request.param)


def by_loops(x: Tensor, k: int, *, magnitude: bool = False) -> list[list[int]]:
    kept = []
    for row in x.tolist():
        score = [abs(v) if magnitude else v for v in row]
        order = sorted(range(len(row)), key=lambda c: (-score[c], c))
        kept.append(sorted(order[:k]))
    return kept


def norm_of(n: int, h: int) -> RowNorm:
    """Three runs of rows, the second one empty."""
    g = torch.Generator().manual_seed(5)
    gamma, beta = 1.0 + 0.3 * torch.randn(3, h, generator=g), 0.2 * torch.randn(3, h, generator=g)
    return RowNorm(gamma, beta, (0, n // 3, n // 3, n))


def same_bits(a: Packed, b: Packed) -> None:
    for name in ("values", "index", "mean", "rstd"):
        x, y = getattr(a, name), getattr(b, name)
        if x is None:
            assert y is None
            continue
        assert x.dtype == y.dtype, name
        if x.is_floating_point():  # -0.0 and 0.0 differ here
            whole = {2: torch.int16, 4: torch.int32}[x.itemsize]
            x, y = x.view(whole), y.view(whole)
        assert torch.equal(x, y), name


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("n", "h", "k"), SHAPES)
def test_rows_of_small_integers_with_many_ties(n: int, h: int, k: int) -> None:
    x = torch.randint(-2, 3, (n, h), generator=torch.Generator().manual_seed(h)).float()
    x[::3] *= -1.0  # makes some -0.0
    packed = norm_topk(x, Selection(k))
    want = torch.tensor(by_loops(x, k), dtype=torch.int64).view(n, k)
    assert torch.equal(packed.index.long(), want)
    assert packed.index.dtype == (torch.uint8 if h <= 256 else torch.int16)
    assert torch.equal(packed.values, x.gather(1, want))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_options(magnitude: bool, relu: bool) -> None:
    x = torch.randint(-3, 4, (50, 12), generator=torch.Generator().manual_seed(1)).float()
    packed = norm_topk(x, Selection(5, magnitude=magnitude, relu=relu))
    want = torch.tensor(by_loops(x, 5, magnitude=magnitude))
    assert torch.equal(packed.index.long(), want)
    assert torch.equal(packed.values, x.gather(1, want).relu() if relu else x.gather(1, want))


@pytest.mark.usefixtures("backend")
def test_extremes() -> None:
    inf = float("inf")
    tiny, big = 1e-45, torch.finfo(torch.float32).max
    x = torch.tensor(
        [[-0.0, 0.0, -0.0, 0.0], [tiny, 2 * tiny, 0.0, tiny], [big, -big, big, inf], [-inf, inf, -inf, 0.0]]
    )
    packed = norm_topk(x, Selection(2))
    assert packed.index.tolist() == [[0, 1], [0, 1], [0, 3], [1, 3]]
    assert norm_topk(-x, Selection(2)).index.tolist() == [[0, 1], [0, 2], [0, 1], [0, 2]]
    assert norm_topk(torch.full((3, 5), -inf), Selection(2)).index.tolist() == [[0, 1]] * 3


@pytest.mark.parametrize("other", ["aten", "cpu"])
@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize(("n", "h", "k"), SHAPES)
def test_backends_give_the_bits_of_the_reference(
    n: int, h: int, k: int, normed: bool, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = torch.Generator().manual_seed(n)
    x = torch.randn(n, h, generator=g) * torch.rand(n, 1, generator=g) * 3.0 + torch.randn(n, 1, generator=g)
    x[::4] = x[::4].round()
    x[::7] = 1.25  # no variance
    norm = norm_of(n, h) if normed else None
    for select in (Selection(k), Selection(k, magnitude=True, relu=True), Selection(k, relu=True, bf16=True)):
        found = {}
        for name in ("reference", other):
            monkeypatch.setenv("GSR_BACKEND", name)
            packed = norm_topk(x, select, norm)
            same_bits(packed, repack(x, packed.index, select, norm))
            e = torch.full_like(x, 0.5)
            d = torch.randn(n, k, generator=torch.Generator().manual_seed(3))
            grads = norm_topk_adjoint_(e, x, packed, d, select, norm)
            found[name] = (packed, e, *(grads or ()))
        same_bits(found["reference"][0], found[other][0])
        for a, b in zip(found["reference"][1:], found[other][1:], strict=True):
            assert torch.equal(a, b)


def any_numbers(n: int, h: int) -> Tensor:
    """Every kind of float but NaN: denormal, halfway between two bfloat16, too large for one, infinite."""
    bits = torch.randint(-(2**31), 2**31, (n, h), generator=torch.Generator().manual_seed(6)).to(torch.int32)
    bits[::5] &= -65536  # bfloat16 themselves
    bits[1::5] = (bits[1::5] & -65536) | 0x8000  # halfway
    bits[2::5] &= ~0x7F800000  # denormal
    x = bits.view(torch.float32)
    x[3::50] = float("inf")
    x[4::50] = torch.finfo(torch.float32).max
    return x.masked_fill_(x.isnan(), 1.0)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("h", "k"), [(4, 4), (13, 3), (300, 9)])
def test_kept_values_are_rounded_after_the_choice(h: int, k: int) -> None:
    x = any_numbers(700, h)
    exact, rounded = norm_topk(x, Selection(k)), norm_topk(x, Selection(k, bf16=True))
    assert rounded.values.dtype == torch.bfloat16
    assert torch.equal(rounded.index, exact.index)
    assert torch.equal(rounded.values.view(torch.int16), exact.values.bfloat16().view(torch.int16))


@pytest.mark.skipif(native.library() is None, reason="the C kernels were not built")
@pytest.mark.parametrize("level", range(3))
def test_rounding_in_c_is_to_the_nearest_even_on_every_instruction_set(level: int) -> None:
    x = any_numbers(700, 9)
    out = torch.full_like(x, float("nan"))
    highest = native.kernels().gsr_level(9)
    try:
        native.kernels().gsr_level(level)
        native.kernels().gsr_round_bf16(native.at(x), x.numel(), native.at(out), 1)
        kept = norm_topk(x, Selection(9, bf16=True)).values
    finally:
        native.kernels().gsr_level(highest)
    bits = x.view(torch.int32).long() & 0xFFFFFFFF
    want = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).to(torch.int16)
    assert torch.equal(out.view(torch.int32).bitwise_right_shift(16).to(torch.int16), want)
    assert not bool((out.view(torch.int32) & 0xFFFF).any())
    assert torch.equal(kept.view(torch.int16), want)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_adjoint_of_the_norm(dtype: torch.dtype) -> None:
    n, h, k = 60, 24, 6
    g = torch.Generator().manual_seed(2)
    x = torch.randn(n, h, generator=g, dtype=torch.float64)
    norm = norm_of(n, h)
    inputs = [a.double().requires_grad_() for a in (x, norm.gamma, norm.beta)]
    run = torch.tensor([0] * 20 + [2] * 40)
    u = F.layer_norm(inputs[0], (h,), eps=1e-5) * inputs[1][run] + inputs[2][run]
    d = torch.randn(n, k, generator=g, dtype=torch.float64)
    norm = RowNorm(norm.gamma.to(dtype), norm.beta.to(dtype), norm.bounds)
    packed = norm_topk(x.to(dtype), Selection(k), norm)
    kept = u.gather(1, packed.index.long())
    truth = torch.autograd.grad(kept, inputs, d)
    e = torch.ones(n, h, dtype=dtype)
    got = norm_topk_adjoint_(e, x.to(dtype), packed, d.to(dtype), Selection(k), norm)
    assert got is not None
    tolerance = 2e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(packed.values.double(), kept.detach(), rtol=tolerance, atol=tolerance)
    for a, b in zip((e - 1.0, *got), truth, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("normed", [False, True])
def test_nan_names_its_row(normed: bool) -> None:
    x = torch.ones(9000, 16)
    x[8999, 3] = float("nan")
    with pytest.raises(NotANumberError, match="row 8999 of 9000"):
        norm_topk(x, Selection(4), norm_of(9000, 16) if normed else None)


@pytest.mark.parametrize("k", [0, 9])
def test_k_outside_the_row_is_an_error(k: int) -> None:
    with pytest.raises(ValueError, match=r"k must be in 1\.\.h"):
        norm_topk(torch.zeros(3, 8), Selection(k))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("bf16", [False, True])
def test_same_bits_for_any_number_of_threads(bf16: bool) -> None:
    x, norm = torch.randn(20000, 32, generator=torch.Generator().manual_seed(4)), norm_of(20000, 32)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            packed = norm_topk(x, Selection(8, bf16=bf16), norm)
            e = torch.zeros_like(x)
            grads = norm_topk_adjoint_(e, x, packed, packed.values.float(), Selection(8, bf16=bf16), norm)
            assert grads is not None
            found.append((packed, e, *grads))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        same_bits(found[0][0], other[0])
        assert all(torch.equal(a, b) for a, b in zip(found[0][1:], other[1:], strict=True))
