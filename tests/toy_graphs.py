"""Random placed netlists for the tests of operators, relations and model, and the naive lists of their relations."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsr_plugin.graph_tensors import GraphTensors


@dataclass(frozen=True)
class ToyGraph:
    """The arrays of a graph that the model reads."""

    nx: int
    ny: int
    inst_gcell: NDArray[np.int32]
    pin_inst: NDArray[np.int32]
    pin_net: NDArray[np.int32]
    net_box: NDArray[np.int32]


def toy_graph(
    insts: int, nets: int, nx: int, ny: int, *, seed: int = 0, reach: int = 20, mean_pins: float = 3.0
) -> ToyGraph:
    """Insts anywhere, nets among insts that are near each other; repeated pins; some nets without any."""
    rng = np.random.default_rng(seed)
    inst_gcell = rng.integers(0, nx * ny, insts).astype(np.int32)
    degree = np.minimum(rng.geometric(1.0 / (1.0 + mean_pins), nets) - 1, 200) if insts else np.zeros(nets, int)
    pin_net = np.repeat(np.arange(nets), degree)
    order = np.argsort(inst_gcell, kind="stable")
    base = rng.integers(0, max(insts, 1), nets)
    near = (np.repeat(base, degree) + rng.integers(-reach, reach + 1, len(pin_net))) % max(insts, 1)
    pin_inst = order[near] if insts else near
    by_net = np.lexsort((pin_inst, pin_net))
    pin_net, pin_inst = pin_net[by_net].astype(np.int32), pin_inst[by_net].astype(np.int32)
    box = np.tile(np.array([1, 1, 0, 0], np.int32), (nets, 1))
    x, y = inst_gcell[pin_inst] % nx, inst_gcell[pin_inst] // nx
    starts = np.flatnonzero(np.r_[True, pin_net[1:] != pin_net[:-1]]) if len(pin_net) else np.zeros(0, int)
    if len(starts):
        ends = [np.minimum.reduceat(x, starts), np.minimum.reduceat(y, starts)]
        ends += [np.maximum.reduceat(x, starts), np.maximum.reduceat(y, starts)]
        box[pin_net[starts]] = np.stack(ends, 1)
    return ToyGraph(nx, ny, inst_gcell, pin_inst, pin_net, box)


def pairs(graph: ToyGraph, relation: str) -> list[tuple[int, int]]:
    """(source, target) of every edge, one for each multiplicity, by loops from the definitions."""
    pins = list(zip(graph.pin_inst.tolist(), graph.pin_net.tolist(), strict=True))
    gcell = graph.inst_gcell.tolist()
    nx, ny = graph.nx, graph.ny
    steps = {"west": [(-1, 0)], "east": [(1, 0)], "south": [(0, -1)], "north": [(0, 1)]}
    steps["adjacent"] = [s[0] for s in steps.values()]
    if relation in steps:
        found = []
        for iy in range(ny):
            for ix in range(nx):
                for dx, dy in steps[relation]:
                    if 0 <= ix + dx < nx and 0 <= iy + dy < ny:
                        found.append(((iy + dy) * nx + ix + dx, iy * nx + ix))
        return found
    boxed = []
    for j, (x0, y0, x1, y1) in enumerate(graph.net_box.tolist()):
        boxed += [(j, iy * nx + ix) for iy in range(y0, y1 + 1) for ix in range(x0, x1 + 1)]
    if relation == "near":
        return [
            (v, u)
            for u, gu in enumerate(gcell)
            for v, gv in enumerate(gcell)
            if u != v and abs(gu % nx - gv % nx) <= 1 and abs(gu // nx - gv // nx) <= 1
        ]
    if relation == "clique":
        on_net = defaultdict(list)
        for p, (v, j) in enumerate(pins):
            on_net[j].append((p, v))
        found = [(v, v) for v in range(len(gcell))]
        for members in on_net.values():
            found += [(v, u) for _, u in members for _, v in members if u != v]
        return found
    return {
        "pin": pins,
        "pinned": [(j, v) for v, j in pins],
        "in": list(enumerate(gcell)),
        "holds": [(g, v) for v, g in enumerate(gcell)],
        "covers": boxed,
        "covered": [(g, j) for j, g in boxed],
    }[relation]


def mean_matrix(graph: ToyGraph, relation: str, sources: int, targets: int) -> Tensor:
    """Dense row-mean operator [targets, sources] in float64."""
    a = torch.zeros(targets, sources, dtype=torch.float64)
    for s, t in pairs(graph, relation):
        a[t, s] += 1.0
    return a / a.sum(1, keepdim=True).clamp(min=1.0)


def features(
    graph: GraphTensors, *, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Normal features: 5 columns for insts, 4 for nets, 6 for gcells."""
    g = torch.Generator().manual_seed(seed)
    sizes = ((graph.num_insts, 5), (graph.num_nets, 4), (graph.num_gcells, 6))
    inst, net, gcell = (torch.randn(*s, generator=g, dtype=torch.float64).to(dtype) for s in sizes)
    return inst, net, gcell


def check_gradients(model: torch.nn.Module, names: Sequence[str], loss: Callable[[], Tensor]) -> None:
    """The gradients that a backward has left are those of central differences along one random way each."""
    for name in names:
        p, step = model.get_parameter(name), 1e-6
        assert p.grad is not None
        way = torch.randn(p.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
        found = []
        for sign in (1, -1):
            with torch.no_grad():
                p.add_(sign * step * way)
                found.append(float(loss()))
                p.sub_(sign * step * way)
        wanted = pytest.approx(float((p.grad * way).sum()), rel=1e-5, abs=1e-9)
        assert (found[0] - found[1]) / (2 * step) == wanted, name
