"""Networks of other kinds on the same features: a U-Net on the maps, a shallow heterogeneous GNN; and their training.

Both get the features that GSR-GNN gets, normalised alike, and predict the two edges of every gcell. They are trained
by the plan of epochs, the rates and the mean of weights of `gsr_plugin.train`, on the squared error alone.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from circuit_io.crop import crop, window_at
from circuit_io.graph import STEPS, CircuitGraph
from circuit_io.transform import transform, transform_edges
from gsr_plugin.config import TrainConfig
from gsr_plugin.dataset import Entry, Loader
from gsr_plugin.normaliser import KINDS, Normaliser
from gsr_plugin.schedule import Step, epoch_plan, learning_rate

Hide = Callable[[CircuitGraph], CircuitGraph]


@dataclass(frozen=True)
class Inputs:
    """Normalised features of one graph, and its lists: (source kind, target kind) with the two ends of each edge."""

    nx: int
    ny: int
    features: dict[str, Tensor]
    edges: dict[str, tuple[str, str, Tensor, Tensor]]


def inputs_of(graph: CircuitGraph, normaliser: Normaliser, *, with_nets: bool = True) -> Inputs:
    """What the networks read of `graph`."""
    features = {kind: torch.from_numpy(x) for kind, x in normaliser.features(graph).items()}
    edges: dict[str, tuple[str, str, Tensor, Tensor]] = {}
    if with_nets:
        of = lambda values: torch.from_numpy(np.asarray(values, np.int64))  # noqa: E731
        inst, net, cell = of(graph.pin_inst), of(graph.pin_net), of(graph.pin_gcell)
        mine = of(graph.inst_gcell)
        everyone = torch.arange(graph.num_insts)
        edges["pin"], edges["pinned"] = ("inst", "net", inst, net), ("net", "inst", net, inst)
        edges["at"], edges["under"] = ("net", "gcell", net, cell), ("gcell", "net", cell, net)
        edges["in"], edges["holds"] = ("inst", "gcell", everyone, mine), ("gcell", "inst", mine, everyone)
        index = torch.arange(graph.num_gcells).reshape(graph.ny, graph.nx)
        for name, (dx, dy) in STEPS.items():
            here = index[max(0, -dy) : graph.ny - max(0, dy), max(0, -dx) : graph.nx - max(0, dx)]
            there = index[max(0, dy) : graph.ny + min(0, dy), max(0, dx) : graph.nx + min(0, dx)]
            edges[name] = ("gcell", "gcell", there.ravel(), here.ravel())
    return Inputs(graph.nx, graph.ny, features, edges)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(4, width), nn.GELU(), nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(4, width), nn.GELU(), nn.Conv2d(width, width, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class UNet(nn.Module):
    """Three levels of residual pairs of 3 x 3, and a linear skip from the maps to the result."""

    with_nets = False

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        maps, widths = len(KINDS["gcell"]), (width, width * 3 // 2 // 4 * 4, 2 * width)
        self.enter = nn.Conv2d(maps, width, 1)
        self.down = nn.ModuleList(_Residual(w) for w in widths)
        self.widen = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        self.narrow = nn.ModuleList(nn.Conv2d(a + b, a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_Residual(w) for w in widths[:-1])
        self.leave, self.skip = nn.Conv2d(width, 2, 1), nn.Conv2d(maps, 2, 1, bias=False)
        nn.init.zeros_(self.skip.weight)

    def forward(self, inputs: Inputs) -> Tensor:
        """Normalised congestion, a row a gcell: the edge to the right, the edge above."""
        maps = inputs.features["gcell"].T.reshape(1, -1, inputs.ny, inputs.nx)
        x, kept = self.down[0](self.enter(maps)), []
        for widen, block in zip(self.widen, self.down[1:], strict=True):
            kept.append(x)
            x = block(widen(nn.functional.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)))
        for narrow, block, fine in reversed(list(zip(self.narrow, self.up, kept, strict=True))):
            grown = nn.functional.interpolate(x, size=fine.shape[-2:], mode="nearest")
            x = block(narrow(torch.cat([fine, grown], 1)))
        return (self.leave(x) + self.skip(maps))[0].reshape(2, -1).T


class HeteroGnn(nn.Module):
    """Dense, pre-norm, residual layers of mean messages between inst, net and gcell, all activations stored."""

    with_nets = True
    names = ("pin", "pinned", "at", "under", "in", "holds", *STEPS)

    def __init__(self, layers: int = 3, width: int = 40) -> None:
        super().__init__()
        self.encode = nn.ModuleDict({
            kind: nn.Sequential(nn.Linear(len(fields), width), nn.GELU(), nn.Linear(width, width))
            for kind, fields in KINDS.items()
        })  # fmt: skip
        self.norm = nn.ModuleList(nn.ModuleDict({kind: nn.LayerNorm(width) for kind in KINDS}) for _ in range(layers))
        self.own = nn.ModuleList(
            nn.ModuleDict({kind: nn.Linear(width, width) for kind in KINDS}) for _ in range(layers)
        )
        self.message = nn.ModuleList(
            nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in self.names}) for _ in range(layers)
        )
        self.mix = nn.ModuleList(
            nn.ModuleDict({kind: nn.Linear(width, width) for kind in KINDS}) for _ in range(layers)
        )
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))
        self.skip = nn.Linear(len(KINDS["gcell"]), 2, bias=False)
        nn.init.zeros_(self.skip.weight)

    def forward(self, inputs: Inputs) -> Tensor:
        """As `UNet.forward`."""
        x = {kind: self.encode[kind](values) for kind, values in inputs.features.items()}
        for norm, own, message, mix in zip(self.norm, self.own, self.message, self.mix, strict=True):
            normed = {kind: norm[kind](values) for kind, values in x.items()}
            total = {kind: own[kind](values) for kind, values in normed.items()}
            for name, (source, target, start, end) in inputs.edges.items():
                total[target] = total[target] + _mean(message[name](normed[source]), start, end, len(total[target]))
            x = {kind: x[kind] + mix[kind](nn.functional.gelu(total[kind])) for kind in x}
        return self.head(x["gcell"]) + self.skip(inputs.features["gcell"])


def _mean(values: Tensor, start: Tensor, end: Tensor, rows: int) -> Tensor:
    count = torch.bincount(end, minlength=rows).clamp_min(1).to(values.dtype)
    return values.new_zeros(rows, values.shape[1]).index_add(0, end, values[start]) / count[:, None]


def step_loss(
    model: nn.Module, normaliser: Normaliser, settings: TrainConfig, load: Loader, item: Step, hide: Hide
) -> Tensor:
    """Mean squared error of one placement as the plan takes it, in deviations of the target."""
    sample = load(item.entry)
    graph, labels = hide(sample.graph), sample.labels
    if settings.crop_gcells and max(graph.nx, graph.ny) > settings.crop_gcells:
        graph, labels, _ = crop(graph, labels, window_at(graph.nx, graph.ny, settings.crop_gcells, item.place))
    graph = transform(graph, item.symmetry)
    maps = transform_edges(labels.congestion_h, labels.congestion_v, item.symmetry)
    truth = torch.from_numpy(np.stack([m.ravel() for m in maps], axis=1))
    guess = model(inputs_of(graph, normaliser, with_nets=bool(model.with_nets)))
    seen = torch.isfinite(truth)
    target = (truth[seen] - normaliser.target_mean) / normaliser.target_std
    return (guess[seen] - target).square().mean()


def fit_network(
    model: nn.Module, normaliser: Normaliser, settings: TrainConfig, entries: list[Entry], load: Loader, hide: Hide
) -> nn.Module:
    """The model after `settings.epochs` epochs, with the running mean of its weights."""
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), settings.lr, betas=(0.9, 0.99), weight_decay=settings.weight_decay
    )
    step, total = 0, settings.epochs * len(epoch_plan(entries, settings, 0))
    for epoch in range(settings.epochs):
        for item in epoch_plan(entries, settings, epoch):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings, step, total)
            optimizer.zero_grad()
            loss = step_loss(model, normaliser, settings, load, item, hide) * item.weight
            if not math.isfinite(float(loss.detach())):
                raise RuntimeError(
                    f"{type(model).__name__}, step {step}, {item.entry.name}: loss {float(loss.detach())}"
                )
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            optimizer.step()
            step += 1
            decay = min(settings.ema, (1 + step) / (10 + step))
            with torch.no_grad():
                for mine, now in zip(average.parameters(), model.parameters(), strict=True):
                    mine.lerp_(now, 1 - decay)
    return average.eval()


def predict_network(model: nn.Module, normaliser: Normaliser, graph: CircuitGraph) -> tuple[np.ndarray, np.ndarray]:
    """Congestion of the edges to the right and above."""
    with torch.no_grad():
        out = model(inputs_of(graph, normaliser, with_nets=bool(model.with_nets)))
    values = (out * normaliser.target_std + normaliser.target_mean).clamp_min(0).numpy()
    h, v = (values[:, d].reshape(graph.ny, graph.nx).astype(np.float32) for d in (0, 1))
    h[:, -1], v[-1] = np.nan, np.nan
    return h, v
