"""What a user may hand the engine wrongly: one error that names it and the remedy; odd graphs give right numbers."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_model import DenseStack
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from synthetic_graph import write_corpus
from toy_graphs import ToyGraph, features, toy_graph

from circuit_io.errors import GsrError, InputError
from gsr_plugin.checkpoint import STATE
from gsr_plugin.config import RunConfig, load_config
from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.model import DEFAULT_RELATIONS, GsrGnn, ModelConfig
from gsr_plugin.ops.topk import Selection
from gsr_plugin.reversible import ReversibleStack, StackSpec
from gsr_plugin.train import train
from gsr_plugin.weights import load_weights

GRAPH = GraphTensors.of(toy_graph(30, 25, 7, 5))
CONFIG = ModelConfig(
    num_inst_features=5, num_net_features=4, num_gcell_features=6, layers=2, width=16, k=2, head_width=8
)
Features = list[torch.Tensor]


def changed(number: int, value: float) -> Callable[[Features], Features]:
    def change(x: Features) -> Features:
        x[number][3, 1] = value
        return x

    return change


@pytest.mark.parametrize(
    ("change", "fault", "mend"),
    [
        (changed(0, float("nan")), r"inst features\[3, 1\] = nan", "finite"),
        (changed(1, float("inf")), r"net features\[3, 1\] = inf", "finite"),
        (changed(2, -float("inf")), r"gcell features\[3, 1\] = -inf", "finite"),
        (lambda x: [x[0], x[1][:, :3], x[2]], r"net features are \(25, 3\)", "column per feature"),
        (lambda x: [x[0], x[1], x[2][1:]], r"gcell features are \(34, 6\)", "row per node"),
        (lambda x: [x[0], x[1].double(), x[2]], r"net features are torch\.float64 .* torch\.float32", r"\.to\("),
        (lambda x: [v.bfloat16() for v in x], r"inst features are torch\.bfloat16", r"\.to\("),
        (lambda x: [x[0], x[1], x[2].to("meta")], "gcell features are .* on meta, .* on cpu", r"\.to\("),
    ],
)
def test_features_that_do_not_fit_are_named(change: Callable[[Features], Features], fault: str, mend: str) -> None:
    with pytest.raises(InputError, match=f"{fault}(.|\n)*{mend}"):
        GsrGnn(CONFIG)(GRAPH, *change(list(features(GRAPH))))


@pytest.mark.parametrize(
    ("model", "graph", "fault"),
    [
        (GsrGnn(CONFIG).to("meta"), GRAPH, "weights torch.float32 on meta"),
        (GsrGnn(CONFIG), GRAPH.to("meta"), "the graph is on meta"),
    ],
)
def test_a_model_or_graph_elsewhere_is_named(model: GsrGnn, graph: GraphTensors, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        model(graph, *features(GRAPH))


def stack(
    *, k: int = 2, h: int = 8, layers: int = 2, t: int | None = 16, bf16: bool = False, variant: str = "reversible"
) -> ReversibleStack:
    spec = StackSpec(layers=layers, selection=Selection(k, bf16=bf16), t=t, variant=variant)
    return ReversibleStack(spec, DEFAULT_RELATIONS, h, seed=0)


@pytest.mark.parametrize(
    ("build", "fault"),
    [
        (lambda: stack(k=9), r"k = 9: .* must be in 1\.\.8"),
        (lambda: stack(k=0), r"k = 0: .* must be in 1\.\.8"),
        (lambda: stack(layers=0), "layers = 0"),
        (lambda: stack(t=23), r"t = 23: .* 1\.\.22"),
        (lambda: stack(t=None, variant="paper", bf16=True), "published layer .* cannot be bfloat16"),
    ],
)
def test_a_stack_that_cannot_be_built_says_why(build: Callable[[], ReversibleStack], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        build()


@pytest.mark.parametrize("reversible", [True, False])
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda s, x: (s, x[:, :15]), r"x is \(90, 15\).*need \(90, 16\)"),
        (lambda s, x: (s, x.repeat(1, 2)), r"x is \(90, 32\)(.|\n)*both groups"),
        (lambda s, x: (s, x[1:]), r"x is \(89, 16\)"),
        (lambda s, x: (s, x.double()), r"x is torch\.float64, the weights are torch\.float32(.|\n)*float32"),
        (lambda s, x: (s.half(), x.half()), r"torch\.float16(.|\n)*\.float\(\)"),
        (lambda s, x: (s.bfloat16(), x.bfloat16()), r"torch\.bfloat16(.|\n)*\.float\(\)"),
        (lambda s, x: (s, x.to("meta")), "x is on meta, the weights on cpu, the graph on cpu"),
    ],
)
def test_streams_that_do_not_fit_are_named(change: Callable[..., tuple], fault: str, reversible: bool) -> None:
    whole = stack()
    whole.reversible = reversible
    wrong, x = change(whole, torch.randn(GRAPH.num_nodes, 16))
    with pytest.raises(InputError, match=fault):
        wrong(x, GRAPH)


def on_one_net(insts: int) -> ToyGraph:
    """A net with a pin on every inst, and an empty one."""
    toy = toy_graph(insts, 2, 5, 4, seed=3)
    x, y = toy.inst_gcell % 5, toy.inst_gcell // 5
    box = np.array([[x.min(), y.min(), x.max(), y.max()], [1, 1, 0, 0]], np.int32)
    pin_inst = np.arange(insts, dtype=np.int32)
    return ToyGraph(5, 4, toy.inst_gcell, pin_inst, np.zeros(insts, np.int32), box)


def without_pins() -> ToyGraph:
    toy = toy_graph(6, 5, 3, 2)
    box = np.tile(np.array([1, 1, 0, 0], np.int32), (5, 1))
    none = np.zeros(0, np.int32)
    return ToyGraph(3, 2, toy.inst_gcell, none, none, box)


ODD = {
    "no insts": toy_graph(0, 4, 3, 2),
    "no nets": toy_graph(6, 0, 3, 2),
    "gcells alone": toy_graph(0, 0, 3, 2),
    "one gcell alone": toy_graph(0, 0, 1, 1),
    "one of each": toy_graph(1, 1, 1, 1),
    "one row of gcells": toy_graph(20, 15, 9, 1),
    "lone nodes": without_pins(),
    "one net over all insts": on_one_net(300),
}


@pytest.mark.parametrize("backend", ["cpu", "aten", "reference"])
@pytest.mark.parametrize("name", ODD)
def test_odd_graphs_give_the_numbers_and_gradients_of_dense_matrices(
    name: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSR_BACKEND", backend)
    relations = (*DEFAULT_RELATIONS, "adjacent", "near", "clique")
    ours = ReversibleStack(StackSpec(layers=2, selection=Selection(3), t=None), relations, 8, seed=0).double()
    graph, dense = GraphTensors.of(ODD[name]), DenseStack(ours, ODD[name])
    for seed in range(100):
        x = torch.randn(graph.num_nodes, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        dense.gap = float("inf")
        want = dense(x.requires_grad_())
        if dense.gap > 1e-4:
            break
    else:
        pytest.fail("no draw whose selections are clear")
    found = ours(x, graph)
    torch.testing.assert_close(found, want, rtol=1e-12, atol=1e-12)
    weights = [x, *ours.parameters()]
    for a, b in zip(*(torch.autograd.grad(out.square().sum(), weights) for out in (found, want)), strict=True):
        assert (a - b).abs().max() <= 1e-10 * b.abs().max().clamp(min=1e-12)


@pytest.mark.parametrize("size", [(0, 3), (3, 0), (0, 0)])
def test_a_grid_without_gcells_is_refused(size: tuple[int, int]) -> None:
    none = np.zeros(0, np.int32)
    with pytest.raises(InputError, match=r"the grid has no gcell(.|\n)*Export it again"):
        GraphTensors.of(ToyGraph(*size, none, none, none, np.zeros((0, 4), np.int32)))


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("reversible", [True, False])
def test_autocast_changes_no_bit_of_the_stack(reversible: bool, bf16: bool) -> None:
    found = []
    x = torch.randn(GRAPH.num_nodes, 16, requires_grad=True)
    for on in (False, True):
        spec = StackSpec(layers=3, selection=Selection(6, bf16=bf16), t=16)
        # k / h above 1/2: matrix products, which autocast would take over
        exact = ReversibleStack(spec, DEFAULT_RELATIONS, 8, reversible=reversible, seed=0)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=on):
            out = exact(x, GRAPH)
            grads = torch.autograd.grad(out.square().sum(), [x, *exact.parameters()])
        found.append([out.detach(), *grads])
    for a, b in zip(*found, strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)


@pytest.mark.parametrize("branch_dtype", ["float32", "bfloat16"])
def test_a_model_trains_under_autocast(branch_dtype: str) -> None:
    model, undone = GsrGnn(CONFIG.model_copy(update={"branch_dtype": branch_dtype}), seed=0), []
    model.stack.on_undone = lambda streams: undone.append(streams.clone())
    x = [v.clone() for v in features(GRAPH)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = model(GRAPH, *x)
        x0 = torch.cat([model.encoders[t](v) for t, v in zip(("inst", "net", "gcell"), x, strict=True)])
        (out.congestion.square().mean() + out.log_sigma.mean() + out.overflow_logit.mean()).backward()
    assert x0.dtype == torch.bfloat16
    rounded = torch.round(x0.detach().float() * 2.0**16) * 2.0**-16
    assert torch.equal(torch.cat([undone[0][0], undone[0][1]], 1), rounded)
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert bool(p.grad.isfinite().all()), name


IN_TORCHS_WRAPPER = """
import os, sys, torch
from test_engine_input import CONFIG, GRAPH, GsrGnn, features
torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1)
plain, wrapped = (GsrGnn(CONFIG, seed=0) for _ in range(2))
for model in (plain, torch.nn.parallel.DistributedDataParallel(wrapped)):
    for _ in range(2):  # gradients add up
        out = model(GRAPH, *features(GRAPH))
        (out.congestion.square().mean() + out.log_sigma.mean() + out.overflow_logit.mean()).backward()
both = zip(plain.named_parameters(), wrapped.parameters(), strict=True)
print([name for (name, a), b in both if a.grad is None or not torch.equal(a.grad, b.grad)], flush=True)
os._exit(0)  # taking gloo's group apart while its threads end may wait for ever
"""


def test_gradients_in_torchs_data_parallel_wrapper_are_those_without(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", IN_TORCHS_WRAPPER, str(tmp_path / "store")],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, RunConfig]:
    """Data, a run of one step with averaged weights, and its settings."""
    folder = tmp_path_factory.mktemp("run")
    sets = ["model.layers=1", "model.width=16", "model.k=4", "train.epochs=1", "train.ema=0.5"]
    config = load_config(None, sets, env={})
    data = write_corpus(folder / "data")
    train([data], folder / "run", config=config, stop_after=1)
    return data, folder / "run", config


def rewritten(path: Path, to: Path, change: Callable[[dict, dict], None]) -> Path:
    """A copy of a safetensors file with its tensors and header changed."""
    with safe_open(str(path), framework="pt") as f:
        head = json.loads(f.metadata()["gsr"])
    tensors = load_file(path)
    change(tensors, head)
    to.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, to, {"gsr": json.dumps(head)})
    return to


def shorter(name: str) -> Callable[[dict, dict], None]:
    return lambda tensors, head: tensors.update({name: tensors[name][:-1].clone()})


def wider(name: str) -> Callable[[dict, dict], None]:
    return lambda tensors, head: tensors.update({name: tensors[name].double()})


def without(name: str) -> Callable[[dict, dict], None]:
    return lambda tensors, head: tensors.pop(name)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (shorter("model/stack.mix_net"), r'"stack\.mix_net" is \[0, 2, .* should be \[1, 2, '),
        (wider("model/stack.bias"), r'"stack\.bias" is .* float64 but should be .* float32'),
        (without("model/head.0.weight"), r'"head\.0\.weight" is missing'),
        (lambda t, head: t.update({"model/more": torch.zeros(1)}), '"more" is none of this model'),
        (lambda t, head: head["model"].update(t=12), r"grid_t = 16, but its model has the grid 12"),
        (lambda t, head: head["model"].update(groups=4), r"groups = 4"),
        (lambda t, head: head["model"].update(branch_dtype="half"), r"model\.branch_dtype: .*'bfloat16', found half"),
        (lambda t, head: head["model"].update(branch_dtype="bfloat16", variant="paper"), "published layer hands"),
        (lambda t, head: head["model"].update(k=9), r"k = 9: a group has 8 channels"),
    ],
)
def test_weights_of_another_shape_or_grid_are_refused(
    trained: tuple[Path, Path, RunConfig], tmp_path: Path, change: Callable[[dict, dict], None], fault: str
) -> None:
    path = rewritten(trained[1] / "weights.safetensors", tmp_path / "weights.safetensors", change)
    with pytest.raises(GsrError, match=fault):
        load_weights(path)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (shorter("model/stack.mix_net"), r'"model/stack\.mix_net" is \[0, 2, .* should be \[1, 2, '),
        (shorter("average/head.0.weight"), r'"average/head\.0\.weight" is '),
        (without("average/head.0.weight"), r'"average/head\.0\.weight" is missing'),
        (shorter("optimizer/stack.bias/exp_avg_sq"), r'"optimizer/stack\.bias/exp_avg_sq" is '),
        (wider("optimizer/stack.bias/exp_avg"), r'"optimizer/stack\.bias/exp_avg" is .* float64'),
        (without("rng"), '"rng" is missing'),
        (lambda t, head: head["run"].update({"model.t": "12"}), r'model\.t = 12, this call "auto"'),
        (
            lambda t, head: head["run"].update({"model.branch_dtype": '"bfloat16"'}),
            r'model\.branch_dtype = "bfloat16", this call "float32"',
        ),
    ],
)
def test_a_checkpoint_of_another_shape_or_grid_is_refused(
    trained: tuple[Path, Path, RunConfig], tmp_path: Path, change: Callable[[dict, dict], None], fault: str
) -> None:
    data, out, config = trained
    rewritten(out / STATE, tmp_path / STATE, change)
    with pytest.raises(InputError, match=fault):
        train([data], tmp_path, config=config, resume=True)


def test_weights_and_checkpoints_from_before_bf16_branches_are_of_float32(
    trained: tuple[Path, Path, RunConfig], tmp_path: Path
) -> None:
    data, out, config = trained
    path = tmp_path / "weights.safetensors"
    rewritten(out / "weights.safetensors", path, lambda tensors, head: head["model"].pop("branch_dtype"))
    assert load_weights(path).card.model.branch_dtype == "float32"
    rewritten(out / STATE, tmp_path / STATE, lambda tensors, head: head["run"].pop("model.branch_dtype"))
    train([data], tmp_path, config=config, resume=True, stop_after=1)


def test_bf16_branches_train_and_resume_bit_for_bit(trained: tuple[Path, Path, RunConfig], tmp_path: Path) -> None:
    sets = ["model.layers=2", "model.width=16", "model.k=4", "model.branch_dtype=bfloat16", "train.epochs=2"]
    config = load_config(None, [*sets, "train.ema=0.5"], env={})
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    train([trained[0]], whole, config=config)
    train([trained[0]], parted, config=config, stop_after=1)
    train([trained[0]], parted, config=config, resume=True)
    for name in ("weights.safetensors", STATE):
        a, b = (load_file(folder / name) for folder in (whole, parted))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[n], b[n]) for n in a), name
    model = load_weights(whole)
    assert model.card.model.branch_dtype == "bfloat16"
    assert model.model.stack.spec.selection.bf16
    assert all(p.dtype == torch.float32 for p in model.model.parameters())
