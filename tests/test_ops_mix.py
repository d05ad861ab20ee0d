"""The branch after its selection: C kernels against the composed form, at odd sizes, on every instruction set."""

from collections.abc import Iterator

import pytest
import torch
from toy_graphs import toy_graph

from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.ops import native
from gsr_plugin.ops.mix import mix, mix_adjoint
from gsr_plugin.ops.topk import Packed, Selection, norm_topk
from gsr_plugin.plan import Plan
from gsr_plugin.relations import RELATIONS

needs_c = pytest.mark.skipif(not native.has_products(), reason="C kernels not built, or no fused multiply-add")
WIDTHS = [(4, 1), (8, 2), (13, 6), (32, 8), (32, 16), (50, 7), (64, 8), (96, 9), (300, 5)]
SIZES = [(300, 350, 12, 9), (3, 4, 2, 1), (0, 5, 2, 2), (6, 0, 3, 1)]


@pytest.fixture(params=native.ISA_LEVELS[1:])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs with one instruction set, if the processor has it."""
    best, asked = len(native.ISA_LEVELS) - 1, native.ISA_LEVELS.index(request.param)
    if native.kernels().gsr_level(asked) < asked:
        native.kernels().gsr_level(best)
        pytest.skip(f"this processor has no {request.param}")
    yield str(request.param)
    native.kernels().gsr_level(best)


def problem(
    size: tuple[int, int, int, int], h: int, k: int, dtype: torch.dtype = torch.float32, *, bf16: bool = False
) -> dict:
    g = torch.Generator().manual_seed(h)
    graph = GraphTensors.of(toy_graph(*size, seed=h))
    plan = Plan(graph, tuple(RELATIONS), dtype)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)

    return {
        "plan": plan,
        "packed": norm_topk(normal(plan.num_nodes, h), Selection(k, bf16=bf16)),
        "weights": tuple(normal(h, m * h) for m in plan.width.values()),
        "bias": normal(3, h),
        "grad": normal(plan.num_nodes, h),
    }


class Poisoned:
    """Scratch full of NaN."""

    def take(self, name: str, like: torch.Tensor, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        return like.new_full(shape, float("nan"), dtype=dtype)


def run(
    plan: Plan, packed: Packed, weights: tuple[torch.Tensor, ...], bias: torch.Tensor, grad: torch.Tensor
) -> dict[str, torch.Tensor]:
    f = mix(plan, packed, weights, bias, Poisoned())
    dweights, dbias = tuple(torch.full_like(w, float("nan")) for w in weights), torch.full_like(bias, float("nan"))
    dvalues = mix_adjoint(plan, packed, weights, grad, dweights=dweights, dbias=dbias, scratch=Poisoned())
    return {"f": f, "dvalues": dvalues, "dbias": dbias, **{f"dweight{i}": d for i, d in enumerate(dweights)}}


@needs_c
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("h", "k"), WIDTHS)
def test_c_kernels_against_the_composed_form(
    h: int, k: int, size: tuple[int, int, int, int], bf16: bool, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, exact = problem(size, h, k, bf16=bf16), problem(size, h, k, torch.float64)
    found = {}
    for name in ("aten", "cpu"):
        monkeypatch.setenv("GSR_BACKEND", name)
        found[name] = run(**given)
    truth = run(
        exact["plan"],
        Packed(given["packed"].values.double(), given["packed"].index, None, None),
        tuple((w.bfloat16() if bf16 else w).double() for w in given["weights"]),
        given["bias"].double(),
        given["grad"].double(),
    )
    assert torch.equal(found["cpu"]["f"], found["aten"]["f"])
    assert torch.equal(found["cpu"]["dbias"], found["aten"]["dbias"])
    assert all(r[name].dtype == torch.float32 for r in found.values() for name in truth)
    for name, want in truth.items():  # as good as the same sums by GEMM, up to a few units in the last place
        floor = 4e-6 * float(want.abs().max()) if want.numel() else 0.0
        off = {b: float((r[name].double() - want).abs().max()) if want.numel() else 0.0 for b, r in found.items()}
        assert off["cpu"] <= 2.0 * off["aten"] + floor, (name, off)


@needs_c
@pytest.mark.parametrize("bf16", [False, True])
def test_gradients_have_the_same_bits_for_any_number_of_threads(isa: str, bf16: bool) -> None:
    given, before, found = problem((3000, 3000, 50, 40), 32, 8, bf16=bf16), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(run(**given))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for name, value in found[0].items():
            assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("bf16", [False, True])
def test_many_entries_per_row_take_the_dense_product(bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given, found = problem((300, 350, 12, 9), 16, 9, bf16=bf16), []
    for name in ("reference", "aten", "cpu"):
        monkeypatch.setenv("GSR_BACKEND", name)
        found.append(run(**given))
    for other in found[1:]:
        for name, value in found[0].items():
            torch.testing.assert_close(other[name], value, rtol=2e-5, atol=2e-4)
