"""The network: its configuration, its outputs, its gradients, and that it can learn."""

import copy

import pytest
import torch
from pydantic import ValidationError
from toy_graphs import features, toy_graph

from circuit_io.errors import InputError
from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.model import DEFAULT_RELATIONS, GsrGnn, ModelConfig, Output
from gsr_plugin.relations import RELATIONS

COUNTS = {"num_inst_features": 5, "num_net_features": 4, "num_gcell_features": 6}


def small(**options: object) -> ModelConfig:
    return ModelConfig(**{**COUNTS, "layers": 3, "width": 16, "k": 2, "head_width": 8, **options})  # type: ignore[arg-type]


def loss_of(out: Output, target: torch.Tensor) -> torch.Tensor:
    nll = out.log_sigma + 0.5 * (out.congestion.detach() - target).square() * torch.exp(-2.0 * out.log_sigma)
    return (out.congestion - target).square().mean() + out.overflow_logit.square().mean() + nll.mean()


@pytest.mark.parametrize("convolutions", [0, 2])
@pytest.mark.parametrize("size", [(30, 25, 7, 5), (1, 1, 1, 1), (5, 0, 2, 2)])
def test_outputs_are_a_pair_per_gcell(size: tuple[int, int, int, int], convolutions: int) -> None:
    graph = GraphTensors.of(toy_graph(*size))
    out = GsrGnn(small(head_convolutions=convolutions))(graph, *features(graph))
    for value in (out.congestion, out.overflow_logit, out.log_sigma):
        assert value.shape == (graph.num_gcells, 2)
        assert torch.isfinite(value).all()


@pytest.mark.parametrize("convolutions", [0, 2])
def test_every_parameter_gets_a_gradient(convolutions: int) -> None:
    graph = GraphTensors.of(toy_graph(40, 50, 6, 5))
    model = GsrGnn(small(relations=tuple(RELATIONS), head_convolutions=convolutions))
    loss_of(model(graph, *features(graph)), torch.ones(30, 2)).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().max() > 0, name


def test_the_spread_does_not_move_the_trunk() -> None:
    graph = GraphTensors.of(toy_graph(40, 50, 6, 5))
    model = GsrGnn(small())
    model(graph, *features(graph)).log_sigma.sum().backward()
    moved = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert moved == {"sigma_head"}


def test_a_head_of_convolutions_sees_as_many_gcells_around_as_it_has_convolutions() -> None:
    graph = GraphTensors.of(toy_graph(40, 50, 11, 9))
    model, (inst, net, gcell) = GsrGnn(small(relations=(), head_convolutions=2)), features(graph)
    before, moved = model(graph, inst, net, gcell), gcell.clone()
    moved[4 * 11 + 5] += 1  # ix = 5, iy = 4
    after = model(graph, inst, net, moved)
    seen = (after.overflow_logit != before.overflow_logit).any(1).view(9, 11)
    inside = torch.zeros(9, 11, dtype=torch.bool)
    inside[2:7, 3:8] = True
    assert torch.equal(seen, inside)


def test_a_head_of_convolutions_is_what_its_sums_say() -> None:
    graph = GraphTensors.of(toy_graph(40, 50, 6, 5))
    model = GsrGnn(small(relations=(), head_convolutions=1)).double()
    model.skip.weight.data.normal_()
    inst, net, gcell = (x.double() for x in features(graph))
    out, head, gelu = model(graph, inst, net, gcell), model.head, torch.nn.functional.gelu
    rows = graph.rows("gcell")
    x = torch.cat([model.encoders["inst"](inst), model.encoders["net"](net), model.encoders["gcell"](gcell)])
    read = model.stack(x, graph)
    first = gelu(head.first(torch.cat([model.head_norm(read[rows]), gcell], 1)))
    around, kernel = torch.zeros(30, 8, dtype=torch.float64), head.around[0]
    for iy in range(5):
        for ix in range(6):
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    at = min(max(iy + dy, 0), 4) * 6 + min(max(ix + dx, 0), 5)
                    around[iy * 6 + ix] += kernel.weight[:, :, dy + 1, dx + 1] @ first[at]
    mean, logit = head.last(gelu(around + kernel.bias)).chunk(2, 1)
    torch.testing.assert_close(out.overflow_logit, logit, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(out.congestion, mean + model.skip(gcell), rtol=1e-10, atol=1e-12)


def test_congestion_is_linear_in_the_gcell_features_beside_the_trunk() -> None:
    graph = GraphTensors.of(toy_graph(40, 50, 6, 5))
    model, x = GsrGnn(small()), features(graph)
    before = model(graph, *x)
    weight = torch.randn(2, 6)
    with torch.no_grad():
        model.skip.weight.copy_(weight)
    after = model(graph, *x)
    torch.testing.assert_close(after.congestion - before.congestion, x[2] @ weight.T, rtol=1e-5, atol=1e-5)
    assert torch.equal(after.overflow_logit, before.overflow_logit)


@pytest.mark.parametrize(
    "options", [{}, {"variant": "paper"}, {"save_indices": True}, {"head_convolutions": 1}], ids=str
)
def test_reversible_and_stored_models_agree(options: dict[str, object]) -> None:
    graph = GraphTensors.of(toy_graph(300, 350, 15, 10))
    x, found = features(graph), []
    for reversible in (True, False):
        model = GsrGnn(small(reversible=reversible, **options), seed=3)
        out = model(graph, *x)
        loss_of(out, torch.ones(150, 2)).backward()
        found.append((out, {n: p.grad for n, p in model.named_parameters()}))
    assert torch.equal(found[0][0].congestion, found[1][0].congestion)
    for name, grad in found[0][1].items():
        other = found[1][1][name]
        assert grad is not None
        assert other is not None
        assert (grad - other).abs().max() <= 1e-6 * other.abs().max(), name


def test_same_seed_same_model_and_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(1)
    a, x = GsrGnn(small(), seed=5), torch.rand(3)
    torch.manual_seed(1)
    b, y = GsrGnn(small(), seed=5), torch.rand(3)
    assert torch.equal(x, y)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(next(a.parameters()), next(GsrGnn(small(), seed=6).parameters()))


def test_relabelled_nodes_give_the_same_gcells() -> None:
    toy = toy_graph(60, 50, 6, 5, seed=2)
    g = torch.Generator().manual_seed(0)
    new_inst, new_net = (torch.randperm(n, generator=g).numpy() for n in (60, 50))
    inst, net, gcell = features(GraphTensors.of(toy))
    order = sorted(range(len(toy.pin_net)), key=lambda p: (new_net[toy.pin_net[p]], new_inst[toy.pin_inst[p]]))
    moved = copy.deepcopy(toy)
    object.__setattr__(moved, "pin_net", new_net[toy.pin_net][order].astype("int32"))
    object.__setattr__(moved, "pin_inst", new_inst[toy.pin_inst][order].astype("int32"))
    moved.inst_gcell[new_inst], moved.net_box[new_net] = toy.inst_gcell, toy.net_box
    inst2, net2 = torch.empty_like(inst), torch.empty_like(net)
    inst2[new_inst], net2[new_net] = inst, net
    model = GsrGnn(small(t=20))
    a, b = model(GraphTensors.of(toy), inst, net, gcell), model(GraphTensors.of(moved), inst2, net2, gcell)
    torch.testing.assert_close(a.congestion, b.congestion, rtol=0, atol=1e-4)


def test_it_learns_and_reports_its_range() -> None:
    graph = GraphTensors.of(toy_graph(100, 120, 10, 8))
    model, x = GsrGnn(small(layers=4, width=32, k=4)), features(graph)
    target = torch.stack([x[2][:, 0], x[2][:, 1].relu()], 1)
    optimiser, losses = torch.optim.Adam(model.parameters(), 3e-3), []
    for _ in range(60):
        optimiser.zero_grad()
        loss = (model(graph, *x).congestion - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]
    assert 0.0 < model.range_used_frac() < 0.5


def test_a_copy_starts_without_memory_of_the_first() -> None:
    graph = GraphTensors.of(toy_graph(30, 25, 7, 5))
    model, x = GsrGnn(small()), features(graph)
    first = model(graph, *x)
    other = copy.deepcopy(model)
    assert not other.stack._arenas._free
    assert torch.equal(other(graph, *x).congestion, first.congestion)
    first.congestion.sum().backward()


def test_first_weights_keep_the_stream_small() -> None:
    graph = GraphTensors.of(toy_graph(300, 350, 15, 10))
    model = GsrGnn(small(layers=200, t=16))
    with torch.no_grad():
        model(graph, *features(graph))
    assert model.range_used_frac() < 0.05


@pytest.mark.parametrize(("layers", "t", "grid"), [(16, "auto", 16), (99, "auto", 16), (100, "auto", 12), (16, 14, 14)])
def test_grid(layers: int, t: int | str, grid: int) -> None:
    assert small(layers=layers, t=t).grid == grid
    assert small(t="off").grid is None
    assert small(variant="paper").grid is None


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"groups": 4}, "built for 2 groups"),
        ({"width": 15}, "even width"),
        ({"k": 9}, "a group has 8 channels"),
        ({"relations": ("pin", "pin")}, "named twice"),
        ({"t": 30}, r"t in 1\.\.22"),
        ({"depth": 3}, "Extra inputs"),
    ],
)
def test_a_wrong_configuration_says_why(options: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        small(**options)


def test_unknown_relation_in_the_configuration() -> None:
    with pytest.raises(ValidationError, match='"pinned"'):
        small(relations=("pined",))


def test_config_survives_json() -> None:
    config = small(relations=DEFAULT_RELATIONS, t="off")
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config


def test_features_of_the_wrong_size_are_an_error() -> None:
    graph = GraphTensors.of(toy_graph(30, 25, 7, 5))
    inst, net, gcell = features(graph)
    with pytest.raises(InputError, match=r"net features are \(25, 3\); this graph and model need \(25, 4\)"):
        GsrGnn(small())(graph, inst, net[:, :3], gcell)


@pytest.mark.parametrize("convolutions", [0, 2])
def test_a_step_has_the_same_bits_for_any_number_of_threads(convolutions: int) -> None:
    graph = GraphTensors.of(toy_graph(3000, 3500, 45, 40, seed=8))
    x, before, found = features(graph), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            model = GsrGnn(small(layers=2, width=64, k=8, head_width=64, head_convolutions=convolutions))
            loss_of(model(graph, *x), torch.ones(1800, 2)).backward()
            found.append({n: p.grad for n, p in model.named_parameters()})
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        differing = [n for n, g in found[0].items() if not torch.equal(g, other[n])]
        assert not differing
