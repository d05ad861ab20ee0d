"""The reversible stack: gradients, exactness, arenas, errors."""

import pytest
import torch
from plain_model import DenseStack
from toy_graphs import toy_graph

from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.model import DEFAULT_RELATIONS
from gsr_plugin.ops.topk import Selection
from gsr_plugin.reversible import ReversibleStack, StackSpec

TOY = toy_graph(25, 20, 5, 4, seed=4)
ALL = (*DEFAULT_RELATIONS, "adjacent", "near", "clique")


def stack_of(
    *, layers: int = 3, h: int = 8, k: int = 2, t: int | None = None, reversible: bool = True, **options: object
) -> ReversibleStack:
    relations = options.pop("relations", DEFAULT_RELATIONS)
    select = Selection(k, **{o: bool(options.pop(o, False)) for o in ("relu", "magnitude")})
    spec = StackSpec(layers=layers, selection=select, t=t, **options)  # type: ignore[arg-type]
    return ReversibleStack(spec, relations, h, reversible=reversible, seed=0)  # type: ignore[arg-type]


def stirred(stack: ReversibleStack) -> ReversibleStack:
    """In float64, with every weight away from its first value."""
    stack.double()
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in stack.parameters():
            p += 0.1 * torch.randn(p.shape, generator=g, dtype=torch.float64)
    return stack


def gradients(stack: ReversibleStack, out: torch.Tensor, x: torch.Tensor) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(2)
    seed = torch.randn(out.shape, generator=g, dtype=torch.float64).to(out.dtype)
    names, params = zip(*stack.named_parameters(), strict=True)
    grads = torch.autograd.grad(out, [x, *params], seed)
    return dict(zip(("x", *names), grads, strict=True))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"relations": ALL},
        {"save_indices": True},
        {"relu": True},
        {"magnitude": True},
        {"k": 5},
        {"k": 8},
        {"variant": "paper"},
        {"variant": "paper", "relu": True},
        {"reversible": False},
        {"reversible": False, "variant": "paper", "relu": True},
    ],
    ids=str,
)
def test_float64_gradients_equal_ordinary_autograd(
    options: dict[str, object], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSR_BACKEND", backend)
    stack, graph = stirred(stack_of(**options)), GraphTensors.of(TOY)  # type: ignore[arg-type]
    dense = DenseStack(stack, TOY)
    for seed in range(200):  # draw until no selection is close: a flip would be a different function
        x = torch.randn(graph.num_nodes, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        dense.gap = float("inf")
        want = dense(x.requires_grad_())
        if dense.gap > 1e-3:
            break
    else:
        pytest.fail("no draw with selection gaps above 1e-3")
    truth = gradients(stack, want, x)
    out = stack(x, graph)
    torch.testing.assert_close(out, want, rtol=1e-12, atol=1e-12)
    for name, grad in gradients(stack, out, x).items():
        scale = truth[name].abs().max()
        assert (grad - truth[name]).abs().max() <= 1e-10 * scale, name
