"""The stack again, from DESIGN 5, in dense torch with ordinary autograd: no kernel, no adjoint of ours."""

import torch
import torch.nn.functional as F
from torch import Tensor
from toy_graphs import ToyGraph, mean_matrix

from gsr_plugin.graph_tensors import NODE_TYPES, GraphTensors
from gsr_plugin.plan import blocks_of
from gsr_plugin.relations import ends_of
from gsr_plugin.reversible import ReversibleStack


class _Rounded(torch.autograd.Function):
    """The nearest bfloat16; the gradient passes through."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.to(torch.bfloat16).to(x.dtype)

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return grad


class DenseStack:
    """The same weights as `stack`; `gap` is the smallest distance between a kept and a dropped entry that was met."""

    def __init__(self, stack: ReversibleStack, toy: ToyGraph) -> None:
        self.stack, self.graph, self.gap = stack, GraphTensors.of(toy), float("inf")
        self.means = {
            r: mean_matrix(toy, r, self.graph.count(ends_of(r).source), self.graph.count(ends_of(r).target))
            for r in stack.relations
        }

    def __call__(self, x: Tensor) -> Tensor:
        x1, x2 = x.chunk(2, 1)
        for layer in range(self.stack.spec.layers):
            f1, kept = self.branch(x1, layer, 0)
            x2 = x2 + f1
            f2, _ = self.branch(x2, layer, 1)
            x1 = (kept if self.stack.spec.variant == "paper" else x1) + f2
        return torch.cat([x1, x2], 1)

    def branch(self, x: Tensor, layer: int, branch: int) -> tuple[Tensor, Tensor]:
        h, kept, terms = x.shape[1], [], {t: [] for t in NODE_TYPES}
        select = self.stack.spec.selection
        for i, (t, blocks) in enumerate(blocks_of(self.stack.relations).items()):
            u = x[self.graph.rows(t)]
            if self.stack.spec.variant != "paper":
                gamma, beta = self.stack.norm_weight[layer, branch, i], self.stack.norm_bias[layer, branch, i]
                u = F.layer_norm(u, (h,), gamma, beta, 1e-5)
            score = u.detach().abs() if select.magnitude else u.detach()
            top = score.topk(min(select.k + 1, h), dim=1).values
            if select.k < h and len(u):
                self.gap = min(self.gap, float((top[:, -2] - top[:, -1]).min()))
            mask = torch.zeros_like(u).scatter_(1, score.topk(select.k, dim=1).indices, 1.0)
            s = u * mask
            s = s.relu() if select.relu else s
            kept.append(s)
            w = self.stack.get_parameter(f"mix_{t}")[layer, branch]
            if select.bf16:
                s, w = _Rounded.apply(s), _Rounded.apply(w)
            for name, w_r in zip(blocks, w.split(h, 1), strict=True):
                if name == "self":
                    terms[t].append(s @ w_r + self.stack.bias[layer, branch, i])
                else:
                    terms[ends_of(name).target].append(self.means[name] @ (s @ w_r))
        return torch.cat([torch.stack(terms[t]).sum(0) for t in NODE_TYPES]), torch.cat(kept)
