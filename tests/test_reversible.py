"""The reversible stack: gradients, exactness, arenas, errors."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from plain_model import DenseStack
from torch.profiler import ProfilerActivity, profile
from toy_graphs import toy_graph

from gsr_plugin.arena import Arena, StaleBackwardError
from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.model import DEFAULT_RELATIONS
from gsr_plugin.ops import native
from gsr_plugin.ops.topk import NotANumberError, Selection
from gsr_plugin.reversible import RangeError, ReversibleStack, StackSpec

ROOT = Path(__file__).resolve().parent.parent
TOY = toy_graph(25, 20, 5, 4, seed=4)
ALL = (*DEFAULT_RELATIONS, "adjacent", "near", "clique")


def stack_of(
    *, layers: int = 3, h: int = 8, k: int = 2, t: int | None = None, reversible: bool = True, **options: object
) -> ReversibleStack:
    relations = options.pop("relations", DEFAULT_RELATIONS)
    select = Selection(k, **{o: bool(options.pop(o, False)) for o in ("relu", "magnitude", "bf16")})
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


@pytest.mark.parametrize("backend", ["cpu", "aten", "reference"])
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
        {"bf16": True},
        {"bf16": True, "relu": True, "save_indices": True},
        {"bf16": True, "k": 7},
        {"bf16": True, "reversible": False},
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


class Again(torch.autograd.Function):
    """Runs the forward again for every backward: gradcheck asks one output for many."""

    @staticmethod
    def forward(ctx: SimpleNamespace, run: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
        ctx.run, ctx.inputs = run, [i.detach() for i in inputs]
        return run(*ctx.inputs)

    @staticmethod
    def backward(ctx: SimpleNamespace, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs = [i.clone().requires_grad_() for i in ctx.inputs]
        with torch.enable_grad():
            return (None, *torch.autograd.grad(ctx.run(*inputs), inputs, grad))


def test_gradcheck_in_float64() -> None:
    relations = ("pin", "pinned", "holds", "covers", "west")
    stack = stirred(stack_of(layers=2, h=4, k=2, relations=relations))
    graph = GraphTensors.of(toy_graph(4, 3, 2, 1, seed=4))
    names, weights = zip(*((n, p.detach().clone().requires_grad_()) for n, p in stack.named_parameters()), strict=True)
    x = torch.randn(graph.num_nodes, 8, dtype=torch.float64, requires_grad=True)

    def run(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(stack, dict(zip(names, weights, strict=True)), (x, graph))

    everything = (x, *weights)
    assert torch.autograd.gradcheck(lambda *a: Again.apply(run, *a), everything, eps=1e-7, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize(
    "options",
    [{}, {"relations": ALL}, {"k": 7}, {"bf16": True}, {"bf16": True, "k": 7}, {"variant": "paper", "t": None}],
    ids=str,
)
def test_float32_on_the_grid_equals_stored_activations(options: dict[str, object]) -> None:
    graph = GraphTensors.of(toy_graph(400, 500, 20, 15, seed=6))
    torch.manual_seed(0)
    x = torch.randn(graph.num_nodes, 16, requires_grad=True)
    stacks = [stack_of(**{"layers": 8, "t": 16, "reversible": r, **options}) for r in (True, False)]  # type: ignore[arg-type]
    outs = [s(x, graph) for s in stacks]
    assert torch.equal(*outs)
    rebuilt, stored = (gradients(s, o, x) for s, o in zip(stacks, outs, strict=True))
    for name, grad in rebuilt.items():
        assert (grad - stored[name]).abs().max() <= 1e-6 * stored[name].abs().max(), name
    assert stacks[0].record is not None
    assert stacks[1].record is not None
    torch.testing.assert_close(stacks[0].record.amax, stacks[1].record.amax, rtol=0, atol=0)


def backward_with_input(stack: ReversibleStack, x: torch.Tensor, graph: GraphTensors, threads: tuple[int, int]) -> dict:
    """Runs forward and backward with `threads` each; the rebuilt input [N, D] and the gradients."""
    found: dict[str, torch.Tensor] = {}
    stack.on_undone = lambda streams: found.update(undone=torch.cat([streams[0], streams[1]], 1))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads[0])
        out = stack(x, graph)
        torch.set_num_threads(threads[1])
        return {**gradients(stack, out, x), **found, "out": out.detach()}
    finally:
        torch.set_num_threads(before)
        stack.on_undone = None


def churning(layers: int, *, bf16: bool = False) -> ReversibleStack:
    """Weights far from the small first ones: many rows change their selection between layers."""
    stack = stack_of(layers=layers, t=12, bf16=bf16)
    with torch.no_grad():
        for name, p in stack.named_parameters():
            if name.startswith("mix"):
                p *= 5.0
    return stack


@pytest.mark.parametrize(("backend", "bf16"), [("cpu", False), ("cpu", True), ("aten", False)])
def test_input_comes_back_bit_for_bit_after_300_layers(
    backend: str, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSR_BACKEND", backend)
    graph = GraphTensors.of(toy_graph(300, 350, 15, 10, seed=7))
    x = torch.randn(graph.num_nodes, 16, requires_grad=True)
    got = backward_with_input(churning(300, bf16=bf16), x, graph, (1, 1))
    assert torch.equal(got["undone"], torch.round(x.detach() * 2.0**12) * 2.0**-12)


@pytest.mark.parametrize(("backend", "bf16"), [("cpu", False), ("cpu", True), ("aten", False)])
@pytest.mark.parametrize("threads", [(1, 2), (2, 1), (3, 2)], ids=str)
def test_input_comes_back_for_other_threads(
    threads: tuple[int, int], backend: str, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSR_BACKEND", backend)
    graph = GraphTensors.of(toy_graph(2500, 2800, 45, 40, seed=7))
    x = torch.randn(graph.num_nodes, 16, requires_grad=True)
    got = backward_with_input(churning(5, bf16=bf16), x, graph, threads)
    assert torch.equal(got["undone"], torch.round(x.detach() * 2.0**12) * 2.0**-12)


def test_input_comes_back_after_32_layers_of_bf16_branches_in_aten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSR_BACKEND", "aten")
    graph = GraphTensors.of(toy_graph(300, 350, 15, 10, seed=7))
    x = torch.randn(graph.num_nodes, 16, requires_grad=True)
    got = backward_with_input(churning(32, bf16=True), x, graph, (1, 1))
    assert torch.equal(got["undone"], torch.round(x.detach() * 2.0**12) * 2.0**-12)


@pytest.mark.slow
@pytest.mark.parametrize("bf16", [False, True])
def test_input_comes_back_after_300_layers_on_other_threads(bf16: bool) -> None:
    graph = GraphTensors.of(toy_graph(2500, 2800, 45, 40, seed=7))
    x = torch.randn(graph.num_nodes, 16, requires_grad=True)
    got = backward_with_input(churning(300, bf16=bf16), x, graph, (1, 2))
    assert torch.equal(got["undone"], torch.round(x.detach() * 2.0**12) * 2.0**-12)


def test_without_a_grid_the_input_does_not_come_back() -> None:
    graph = GraphTensors.of(toy_graph(300, 350, 15, 10, seed=7))
    x = torch.randn(graph.num_nodes, 16, requires_grad=True)
    got = backward_with_input(stack_of(layers=40), x, graph, (1, 1))
    assert not torch.equal(got["undone"], x.detach())


def test_values_of_bf16_branches_have_the_same_bits_in_aten_and_c(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, found = GraphTensors.of(toy_graph(300, 350, 15, 10, seed=7)), []
    x = torch.randn(graph.num_nodes, 64)
    rounded, exact = (stack_of(layers=4, h=32, k=8, t=16, relations=ALL, bf16=b) for b in (True, False))
    for backend in ("cpu", "aten"):
        monkeypatch.setenv("GSR_BACKEND", backend)
        found.append(rounded(x, graph).detach())
    assert torch.equal(*found)
    off = (exact(x, graph).detach() - found[0]).square().mean().sqrt()
    assert 1e-4 < off < 0.1


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("backend", ["cpu", "aten"])
def test_same_bits_for_any_number_of_threads(backend: str, bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSR_BACKEND", backend)
    graph = GraphTensors.of(toy_graph(3000, 3500, 45, 40, seed=8))
    x = torch.randn(graph.num_nodes, 64, requires_grad=True)
    stack = stack_of(layers=1, h=32, k=8, t=16, relations=ALL, bf16=bf16)
    first, *others = (backward_with_input(stack, x, graph, (n, n)) for n in (1, 2, 3))
    for other in others:
        for name, value in first.items():
            assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("bf16", [False, True])
def test_saved_indices_change_no_bit(bf16: bool) -> None:
    graph = GraphTensors.of(TOY)
    x = torch.randn(graph.num_nodes, 16, requires_grad=True)
    plain, saved = (stack_of(layers=20, t=16, save_indices=s, bf16=bf16) for s in (False, True))
    a, b = (backward_with_input(s, x, graph, (1, 1)) for s in (plain, saved))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_two_forwards_before_their_backwards() -> None:
    stack, graph, other = stack_of(t=16), GraphTensors.of(TOY), GraphTensors.of(toy_graph(9, 8, 3, 3))
    inputs = [torch.randn(g.num_nodes, 16, requires_grad=True) for g in (graph, graph, other)]
    graphs = [graph, graph, other]
    alone = [gradients(stack, stack(x, g), x) for x, g in zip(inputs, graphs, strict=True)]
    outs = [stack(x, g) for x, g in zip(inputs, graphs, strict=True)]
    with torch.no_grad():
        stack(inputs[0] * 2.0, graph)  # a validation in between
    for i in (2, 0, 1):
        together = gradients(stack, outs[i], inputs[i])
        assert all(torch.equal(together[n], alone[i][n]) for n in together)


def test_gradients_of_several_graphs_add_up() -> None:
    graphs = [GraphTensors.of(TOY), GraphTensors.of(toy_graph(9, 8, 3, 3)), GraphTensors.of(toy_graph(60, 50, 6, 5))]
    inputs = [torch.randn(g.num_nodes, 16) for g in graphs]
    stack, alone = stack_of(t=16), [stack_of(t=16) for _ in graphs]
    for one, x, graph in zip(alone, inputs, graphs, strict=True):
        one(x, graph).square().mean().backward()
        stack(x, graph).square().mean().backward()
    for name, p in stack.named_parameters():
        grads = [one.get_parameter(name).grad for one in alone]
        assert torch.equal(p.grad, (grads[0] + grads[1]) + grads[2]), name


def test_an_arena_is_taken_again_after_backward_or_when_its_output_is_dropped() -> None:
    stack, graph = stack_of(t=16), GraphTensors.of(TOY)
    x = torch.randn(graph.num_nodes, 16, requires_grad=True)
    used: set[int] = set()
    for _ in range(3):
        stack(x, graph).sum().backward()
        used.add(stack._arenas._free[0].grads.data_ptr())
    assert len(used) == len(stack._arenas._free) == 1
    dropped = stack(x, graph)
    assert not stack._arenas._free
    del dropped
    with torch.no_grad():
        stack(x, graph)
    stack(x, graph).sum().backward()
    assert len(stack._arenas._free) == 1
    assert stack._arenas._free[0].grads.data_ptr() in used


def test_the_gradient_of_the_input_is_the_callers_own() -> None:
    stack, graph = stack_of(t=16), GraphTensors.of(TOY)
    x = torch.randn(graph.num_nodes, 16, requires_grad=True)
    first = torch.autograd.grad(stack(x, graph).square().sum(), x)[0]
    kept = first.clone()
    stack(2.0 * x, graph).square().sum().backward()
    assert torch.equal(first, kept)


def test_graphs_of_many_sizes_share_one_arena() -> None:
    stack = stack_of(t=16)
    for size in (8, 30, 12, 25, 30):
        graph = GraphTensors.of(toy_graph(size, size, 4, 4))
        x = torch.randn(graph.num_nodes, 16, requires_grad=True)
        alone = stack_of(t=16)
        for name, grad in gradients(stack, stack(x, graph), x).items():
            assert torch.equal(grad, gradients(alone, alone(x, graph), x)[name])
    assert len(stack._arenas._free) == 1
    assert stack._arenas._free[0].capacity() == 2 * (30 + 30 + 16) * 8
    stack.free_memory()
    assert not stack._arenas._free


needs_products = pytest.mark.skipif(not native.has_products(), reason="the C kernels were not built")


def allocations(call: Callable[[], object]) -> int:
    """How often torch's allocator was asked for memory."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        call()
    events = found.profiler.kineto_results.events()  # type: ignore[union-attr]
    return sum(e.name() == "[memory]" and e.nbytes() > 0 for e in events)


@needs_products
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"relations": ALL},
        {"save_indices": True},
        {"relu": True},
        {"magnitude": True},
        {"bf16": True, "relations": ALL},
        {"bf16": True, "save_indices": True, "relu": True},
    ],
    ids=str,
)
def test_no_layer_asks_for_memory(options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSR_BACKEND", "cpu")
    graph = GraphTensors.of(toy_graph(600, 700, 15, 10, seed=7))  # several chunks of 256 rows
    found = {}
    for layers in (1, 6):
        stack = stack_of(layers=layers, t=14, **options)  # type: ignore[arg-type]
        x = torch.randn(graph.num_nodes, 16, requires_grad=True)
        stack(x, graph).sum().backward()  # the arena is made
        outs: list[torch.Tensor] = []
        forward = allocations(lambda: outs.append(stack(x, graph).sum()))  # noqa: B023
        found[layers] = (forward, allocations(lambda: outs[0].backward()))  # noqa: B023
    assert found[1] == found[6]
    assert 0 < max(found[6]) < 40, found  # outside the loop: what comes in and goes out


@needs_products
@pytest.mark.parametrize(
    "options", [{}, {"relations": ALL, "relu": True}, {"save_indices": True}, {"bf16": True, "relu": True}], ids=str
)
def test_what_lies_in_scratch_is_never_read(options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    graph, found = GraphTensors.of(TOY), []
    x = torch.randn(graph.num_nodes, 16, requires_grad=True)
    take = Arena.take

    def poisoned(self: Arena, name: str, like: torch.Tensor, *shape: int, **dtype: torch.dtype) -> torch.Tensor:
        memory = take(self, name, like, *shape, **dtype)
        return memory.fill_(float("nan") if memory.is_floating_point() else 1)

    for new in (take, poisoned):
        monkeypatch.setattr(Arena, "take", new)
        stack = stack_of(layers=4, t=14, **options)  # type: ignore[arg-type]
        found.append(backward_with_input(stack, x, graph, (1, 1)))
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_a_second_backward_raises() -> None:
    stack, graph = stack_of(t=16), GraphTensors.of(TOY)
    out = stack(torch.randn(graph.num_nodes, 16, requires_grad=True), graph).sum()
    out.backward(retain_graph=True)
    with pytest.raises(StaleBackwardError, match="run before"):
        out.backward()


def test_a_backward_after_the_weights_changed_raises() -> None:
    stack, graph = stack_of(t=16), GraphTensors.of(TOY)
    out = stack(torch.randn(graph.num_nodes, 16, requires_grad=True), graph).sum()
    with torch.no_grad():
        stack.bias += 1.0
    with pytest.raises(StaleBackwardError, match="weights were changed"):
        out.backward()


def test_the_edge_of_the_range() -> None:
    stack, graph = stack_of(t=16), GraphTensors.of(TOY)
    limit = 2.0 ** (24 - 16)
    x = torch.zeros(graph.num_nodes, 16)
    x[:, 3] = limit - 2.0**-16
    with torch.no_grad():
        for p in stack.parameters():
            p.zero_()
    got = backward_with_input(stack, x.clone().requires_grad_(), graph, (1, 1))
    assert torch.equal(got["undone"], x)
    assert stack.record is not None
    assert stack.record.used_frac() == (limit - 2.0**-16) / limit
    x[2, 3] = -limit
    with pytest.raises(RangeError, match=r"max .x. = 256 at the encoder's output, inst 2:"):
        stack(x, graph)


@pytest.mark.parametrize(("branch", "stream"), [(0, 2), (1, 1)])
@pytest.mark.parametrize("reversible", [True, False])
def test_a_stream_that_leaves_the_range_is_named(branch: int, stream: int, reversible: bool) -> None:
    stack, graph = stack_of(t=20, reversible=reversible), GraphTensors.of(TOY)
    x = torch.zeros(graph.num_nodes, 16)
    x[graph.rows("gcell").start + 7, [3, 11]] = 1.0
    with torch.no_grad():
        stack.bias[1, branch, 2, 3] = 30.0  # of gcells, and more of it where the stream had 1
        stack.bias[2, :, 1, 3] = 60.0  # what comes later is another node
    with pytest.raises(RangeError, match=f"layer 2, stream {stream}, gcell 7: .* below 16 only"):
        stack(x, graph)


def test_an_infinite_weight_of_the_published_layer_names_the_node() -> None:
    stack, graph = stack_of(variant="paper"), GraphTensors.of(TOY)
    with torch.no_grad():
        stack.bias[2, 1, 1, 3] = float("inf")
    with pytest.raises(RangeError, match=r"max .x. = inf at layer 3, stream 1, net 0"):
        stack(torch.zeros(graph.num_nodes, 16), graph)


def test_nan_is_an_error_that_names_layer_and_node() -> None:
    stack, graph = stack_of(t=16), GraphTensors.of(TOY)
    x = torch.zeros(graph.num_nodes, 16)
    x[graph.num_insts + 3, 1] = float("nan")
    with pytest.raises(NotANumberError, match="layer 1, branch 1: net 3 is not finite"):
        stack(x, graph)


def test_rows_that_are_read_carry_the_whole_gradient() -> None:
    stack, graph = stirred(stack_of()), GraphTensors.of(TOY)
    x = torch.randn(graph.num_nodes, 16, dtype=torch.float64, requires_grad=True)
    rows = graph.rows("gcell")
    part, whole = stack(x, graph, read=rows), stack(x, graph)[rows]
    assert torch.equal(part, whole)
    a, b = (gradients(stack, out, x) for out in (part, whole))
    assert all(torch.equal(a[name], b[name]) for name in a)


MEMORY = """
import sys, torch
from toy_graphs import toy_graph
from test_reversible import stack_of
from gsr_plugin.graph_tensors import GraphTensors

def mark(name):
    line = next(l for l in open("/proc/self/status") if l.startswith(name))
    return int(line.split()[1]) * 1024

torch.set_num_threads(1)
graph = GraphTensors.of(toy_graph(12000, 12000, 80, 80, seed=9))
stack = stack_of(layers=int(sys.argv[1]), h=32, k=8, t=12, save_indices=sys.argv[2] == "saved")
x = torch.randn(graph.num_nodes, 64, requires_grad=True)
for p in stack.parameters():
    p.grad = torch.zeros_like(p)
stack_of(layers=1, h=32, k=8, t=12)(x, graph).sum().backward()   # plans and code are loaded
x.grad = torch.zeros_like(x)
open("/proc/self/clear_refs", "w").write("5")
before = mark("VmRSS")
stack(x, graph).sum().backward()
weights = sum(p.numel() * 4 for p in stack.parameters())         # the gradients the step hands over
print(mark("VmHWM") - before - weights)
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_depth() -> None:
    env = dict(os.environ, OMP_NUM_THREADS="1", MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TRIM_THRESHOLD_="65536")
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    peak = {}
    for layers in (8, 64):
        command = [sys.executable, "-c", MEMORY, str(layers), "flat"]
        peak[layers] = int(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)
    assert peak[64] <= 1.05 * peak[8], peak
