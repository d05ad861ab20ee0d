"""Who takes part in the engine's contest: encoder, stack, head around ours, plain torch, PyG's and DGL's stacks.

A stack is a module that takes and gives a stream [N, D]. `dgl` and `torch_geometric` are imported here alone, each by
its own peers.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from bench.engine_graphs import Edges, InstGraph
from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.model import DEEP
from gsr_plugin.ops.topk import Selection
from gsr_plugin.plan import plan_of
from gsr_plugin.relations import relation
from gsr_plugin.reversible import ReversibleStack, StackSpec

FEATURES = 20
EPS = 1e-7  # of GENConv's messages


@dataclass(frozen=True)
class Shape:
    """What all contestants of a contest share."""

    layers: int
    width: int
    k: int
    relations: tuple[str, ...] = ("clique",)

    @property
    def h(self) -> int:
        """Channels of a group."""
        return self.width // 2


@dataclass(frozen=True)
class Case:
    """A contestant.

    Attributes:
        prepare: the graph in the form that the stack reads, from arrays and shape.
        stack: the stack, from that form and the shape.
        backend: of our operators.
        once: too slow for rounds; one step in a process of its own.
    """

    prepare: Callable[[SimpleNamespace, Shape], Any]
    stack: Callable[[Any, Shape], nn.Module]
    backend: str = "cpu"
    once: bool = False


class Contestant(nn.Module):
    """Encoder, stack, head: x [N, FEATURES] to [N, 1]; the weights of encoder and head are everyone's."""

    def __init__(self, stack: nn.Module, width: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.encoder, self.head = nn.Linear(FEATURES, width), nn.Linear(width, 1)
        self.stack = stack

    def forward(self, x: Tensor) -> Tensor:
        """The prediction."""
        out: Tensor = self.head(self.stack(self.encoder(x)))
        return out


# ---- ours ------------------------------------------------------------------------------------------------------------


def gsr_graph(arrays: SimpleNamespace, shape: Shape) -> GraphTensors:
    """Insts alone where `clique` is the only relation."""
    kind = InstGraph if shape.relations == ("clique",) else GraphTensors
    graph = kind.of(arrays)
    plan_of(graph, shape.relations, torch.float32)
    return graph


class GsrStack(nn.Module):
    """Ours on one graph."""

    def __init__(
        self,
        graph: GraphTensors,
        shape: Shape,
        *,
        reversible: bool = True,
        save_indices: bool = False,
        bf16: bool = False,
    ) -> None:
        super().__init__()
        self.shape = shape
        t = 12 if shape.layers >= DEEP else 16
        spec = StackSpec(shape.layers, Selection(shape.k, bf16=bf16), t, save_indices)
        self.graph, self.stack = graph, ReversibleStack(spec, shape.relations, shape.h, reversible=reversible, seed=0)

    def forward(self, x: Tensor) -> Tensor:
        """The stream after the last layer."""
        return self.stack(x, self.graph)  # type: ignore[no-any-return]

    def without_grid(self) -> "GsrStack":
        """The same weights on streams that are not rounded: what plain torch computes."""
        copy = GsrStack(self.graph, self.shape)
        copy.stack.spec = replace(copy.stack.spec, t=None)
        copy.stack.load_state_dict(self.stack.state_dict())
        return copy


def gsr(**options: bool) -> Callable[[Any, Shape], nn.Module]:
    """A maker of ours."""
    return lambda graph, shape: GsrStack(graph, shape, **options)


# ---- our factored cliques in ordinary torch --------------------------------------------------------------------------


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, op: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        ctx.op = op
        return op.forward(x)  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:  # noqa: ANN401
        return None, ctx.op.adjoint(grad)


class FactoredMean:
    """Mean over the clique as two sums over lists (`embedding_bag`); its adjoint likewise, which is the fast way."""

    def __init__(self, arrays: SimpleNamespace) -> None:
        self.op = relation(GraphTensors.of(arrays), "clique")

    def __call__(self, x: Tensor) -> Tensor:
        """Of x [N, h]."""
        return _Mean.apply(self.op, x)  # type: ignore[no-any-return, no-untyped-call]


class TopkBlock(nn.Module):
    """Our branch in ordinary operators: layer norm, torch.topk, one linear for both terms, mean over the clique."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        h, self.k = shape.h, shape.k
        self.norm = nn.LayerNorm(h)
        self.weight = nn.Parameter(torch.randn(h, 2 * h) * (2.0 * shape.layers * h) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(h))

    def forward(self, x: Tensor, mean: FactoredMean) -> Tensor:
        """f(x)."""
        u = self.norm(x)
        value, index = u.topk(self.k, dim=1, sorted=False)
        product = torch.zeros_like(u).scatter(1, index, value) @ self.weight
        far, own = product.chunk(2, 1)
        return mean(far.contiguous()) + own + self.bias


class Stream(nn.Module):
    """`layers` pairs of blocks on one graph, first group to second and back."""

    def __init__(self, graph: Any, shape: Shape, block: Callable[[Shape], nn.Module]) -> None:  # noqa: ANN401
        super().__init__()
        self.graph = graph
        self.pairs = nn.ModuleList(nn.ModuleList([block(shape), block(shape)]) for _ in range(shape.layers))

    def has_our_blocks(self) -> bool:
        """Whether its blocks are `TopkBlock`s."""
        return isinstance(next(self.blocks()), TopkBlock)

    def blocks(self) -> Iterator[nn.Module]:
        """All blocks."""
        return (block for pair in self.pairs for block in pair)  # type: ignore[attr-defined]


class PlainStack(Stream):
    """Ordinary autograd, every activation stored; or every layer under `torch.utils.checkpoint`."""

    def __init__(self, graph: Any, shape: Shape, *, checkpointed: bool = False) -> None:  # noqa: ANN401
        super().__init__(graph, shape, TopkBlock)
        self.checkpointed = checkpointed

    def forward(self, x: Tensor) -> Tensor:
        """The stream after the last layer."""
        streams = x.chunk(2, 1)
        for pair in self.pairs:
            if self.checkpointed:
                streams = checkpoint(self._layer, pair, *streams, use_reentrant=False)
            else:
                streams = self._layer(pair, *streams)
        return torch.cat(streams, 1)

    def _layer(self, pair: Any, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        x2 = x2 + pair[0](x1, self.graph)
        return x1 + pair[1](x2, self.graph), x2


# ---- PyG and DGL -----------------------------------------------------------------------------------------------------


class PygStack(Stream):
    """PyG's GroupAddRev, one a layer."""

    def __init__(self, graph: Any, shape: Shape, block: Callable[[Shape], nn.Module]) -> None:  # noqa: ANN401
        from torch_geometric.nn import GroupAddRev

        super().__init__(graph, shape, block)
        self.layers = nn.ModuleList(GroupAddRev(pair) for pair in self.pairs)

    def forward(self, x: Tensor) -> Tensor:
        """The stream after the last layer."""
        for layer in self.layers:
            x = layer(x, self.graph)
        return x


class _GraphFirst(nn.Module):
    """A block as DGL calls it."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, graph: Any, x: Tensor) -> Tensor:  # noqa: ANN401
        return self.block(x, graph)  # type: ignore[no-any-return]


class DglStack(Stream):
    """DGL's GroupRevRes, one a layer."""

    def __init__(self, graph: Any, shape: Shape, block: Callable[[Shape], nn.Module]) -> None:  # noqa: ANN401
        from dgl.nn.pytorch import GroupRevRes

        super().__init__(graph, shape, block)
        self.layers = nn.ModuleList(GroupRevRes(_GraphFirst(pair[0]), 2) for pair in self.pairs)
        for layer, pair in zip(self.layers, self.pairs, strict=True):
            layer.gnn_modules[1].block = pair[1]

    def forward(self, x: Tensor) -> Tensor:
        """The stream after the last layer."""
        for layer in self.layers:
            x = layer(self.graph, x)
        return x


class _Activated(nn.Module):
    """RevGNN's block: norm, ReLU, convolution (its dropout is 0)."""

    def __init__(self, shape: Shape, conv: nn.Module) -> None:
        super().__init__()
        self.norm, self.conv = nn.LayerNorm(shape.h), conv

    def forward(self, x: Tensor, graph: Any) -> Tensor:  # noqa: ANN401
        return self.conv(self.norm(x).relu(), graph)  # type: ignore[no-any-return]


def pyg_gen(shape: Shape) -> nn.Module:
    """GENConv as RevGNN's released commands have it: max, an MLP of two layers with layer norm."""
    from torch_geometric.nn import GENConv

    return _Activated(shape, GENConv(shape.h, shape.h, aggr="max", norm="layer", num_layers=2, eps=EPS))


def pyg_sage(shape: Shape) -> nn.Module:
    """SAGEConv, the layer of PyG's own example of GroupAddRev; fused where the graph is a sparse matrix."""
    from torch_geometric.nn import SAGEConv

    return _Activated(shape, SAGEConv(shape.h, shape.h))


class _DglGen(nn.Module):
    """GENConv on a DGLGraph, after DGL's example of DeeperGCN; max, as above."""

    def __init__(self, h: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(h, 2 * h, bias=False), nn.LayerNorm(2 * h), nn.ReLU(),
                                 nn.Linear(2 * h, h, bias=False))  # fmt: skip

    def forward(self, x: Tensor, graph: Any) -> Tensor:  # noqa: ANN401
        import dgl.function as fn

        with graph.local_scope():
            graph.srcdata["x"] = x
            graph.apply_edges(fn.copy_u("x", "m"))
            graph.edata["m"] = graph.edata["m"].relu() + EPS
            graph.update_all(fn.copy_e("m", "m"), fn.max("m", "far"))
            return self.mlp(x + graph.dstdata["far"])  # type: ignore[no-any-return]


class _DglSage(nn.Module):
    """Mean of the neighbours by DGL's fused product, a linear for each term."""

    def __init__(self, h: int) -> None:
        super().__init__()
        self.far, self.own = nn.Linear(h, h), nn.Linear(h, h, bias=False)

    def forward(self, x: Tensor, graph: Any) -> Tensor:  # noqa: ANN401
        import dgl.function as fn

        with graph.local_scope():
            graph.srcdata["x"] = x
            graph.update_all(fn.copy_u("x", "m"), fn.mean("m", "far"))
            return self.far(graph.dstdata["far"]) + self.own(x)  # type: ignore[no-any-return]


def pyg_edges(arrays: SimpleNamespace, _: Shape) -> Tensor:
    """`edge_index` [2, E] int64, by target."""
    edges = Edges.of(arrays)
    index = torch.empty(2, len(edges.source), dtype=torch.int64)
    index[0].copy_(torch.from_numpy(edges.source))
    ptr = torch.from_numpy(edges.ptr)
    index[1].copy_(torch.repeat_interleave(torch.arange(len(ptr) - 1, dtype=torch.int32), ptr.diff()))
    return index


def pyg_matrix(arrays: SimpleNamespace, _: Shape) -> Tensor:
    """`adj_t` as a sparse CSR tensor."""
    edges, n = Edges.of(arrays), len(arrays.inst_gcell)
    source = torch.from_numpy(edges.source).long()
    return torch.sparse_csr_tensor(torch.from_numpy(edges.ptr), source, torch.ones(len(source)), (n, n))


def dgl_graph(arrays: SimpleNamespace, shape: Shape) -> Any:  # noqa: ANN401
    """A DGLGraph with int32 ids and the formats that its products read, made beforehand."""
    os.environ.setdefault("DGLBACKEND", "pytorch")
    import dgl

    index = pyg_edges(arrays, shape).int()
    graph = dgl.graph((index[0], index[1]), num_nodes=len(arrays.inst_gcell), idtype=torch.int32)
    graph.create_formats_()
    return graph


def factored(arrays: SimpleNamespace, _: Shape) -> FactoredMean:
    """The lists of our factored mean."""
    return FactoredMean(arrays)


def _pyg(block: Callable[[Shape], nn.Module]) -> Callable[[Any, Shape], nn.Module]:
    return lambda graph, shape: PygStack(graph, shape, block)


def _dgl(block: Callable[[Shape], nn.Module]) -> Callable[[Any, Shape], nn.Module]:
    return lambda graph, shape: DglStack(graph, shape, block)


CASES: dict[str, Case] = {
    "gsr": Case(gsr_graph, gsr()),
    "gsr, saved indices": Case(gsr_graph, gsr(save_indices=True)),
    "gsr, bf16 branches": Case(gsr_graph, gsr(bf16=True)),
    "gsr, stored activations": Case(gsr_graph, gsr(reversible=False)),
    "gsr, no C kernels": Case(gsr_graph, gsr(), backend="aten"),
    "plain torch": Case(factored, PlainStack),
    "checkpoint": Case(factored, lambda graph, shape: PlainStack(graph, shape, checkpointed=True)),
    "PyG, factored": Case(factored, _pyg(TopkBlock)),
    "DGL, factored": Case(factored, _dgl(TopkBlock)),
    "PyG, fused product": Case(pyg_matrix, _pyg(pyg_sage)),
    "DGL, fused product": Case(dgl_graph, _dgl(lambda shape: _Activated(shape, _DglSage(shape.h)))),
    "PyG, messages": Case(pyg_edges, _pyg(pyg_gen), once=True),
    "DGL, messages": Case(dgl_graph, _dgl(lambda shape: _Activated(shape, _DglGen(shape.h))), once=True),
}


def load_blocks(stack: Stream, ours: ReversibleStack) -> None:
    """Gives the `TopkBlock`s of a stack the weights of ours."""
    w, h = ours.weights(), ours.h
    with torch.no_grad():
        for layer, pair in enumerate(stack.pairs):
            for branch, block in enumerate(pair):  # type: ignore[arg-type]
                at = w.at(layer, branch)
                assert at.gamma is not None
                assert at.beta is not None
                block.weight.copy_(at.mix[0])
                block.bias.copy_(at.bias[0])
                block.norm.weight.copy_(at.gamma[0])
                block.norm.bias.copy_(at.beta[0])
                assert block.weight.shape == (h, 2 * h)


def rms_difference(a: Tensor, b: Tensor) -> float:
    """Relative to the rms of `b`."""
    return float((a - b).square().mean().sqrt() / b.square().mean().sqrt())
