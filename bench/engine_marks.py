"""What the engine has to reach: the marks of its contest, and the promises that are no race."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from bench.engine_peers import Shape, gsr_graph
from gsr_plugin.model import DEFAULT_RELATIONS
from gsr_plugin.ops.topk import RowNorm, Selection, norm_topk
from gsr_plugin.reversible import ReversibleStack, StackSpec

Contests = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Mark:
    """A mark: `ours` over `peer` in one contest, or, without a peer, a value of a check.

    Attributes:
        time: the most that CPU time may be of the peer's.
        memory: the most that peak memory may be of the peer's.
        other: the peer's contest, if it is another one.
        check: name and key of a check, with `most` or `least` as its bound.
    """

    text: str
    contest: str = ""
    ours: str = "gsr"
    peer: str = ""
    time: float | None = None
    memory: float | None = None
    other: str = ""
    check: tuple[str, str] | None = None
    most: float | None = None
    least: float | None = None

    def judged(self, contests: Contests, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """The mark, what was measured and whether it meets it; None where something was not measured."""
        if self.check is not None:
            value = found.get(self.check[0], {}).get(self.check[1])
            met = None if value is None else bool(
                (self.most is None or value <= self.most) and (self.least is None or value >= self.least))  # fmt: skip
            measured = "not measured" if value is None else f"{value:.4g}"
            return {"mark": self.text, "met": met, "measured": measured}
        ours = _row(contests, self.contest, self.ours)
        peer = _row(contests, self.other or self.contest, self.peer)
        verdicts, words = [], []
        for key, bound, unit in (("cpu_s", self.time, "CPU time"), ("peak_bytes", self.memory, "peak memory")):
            if bound is None:
                continue
            if key in ours and key in peer:
                ratio = ours[key] / peer[key]
                verdicts.append(ratio <= bound)
                words.append(f"{ratio:.3g} of the {unit} (mark {bound:.3g})")
            else:
                words.append(f"{unit}: {peer.get('reason', 'not measured')}")
        open_ = len(verdicts) < len(words) and all(verdicts)
        return {"mark": self.text, "met": None if open_ else all(verdicts), "measured": "; ".join(words)}


def _row(contests: Contests, name: str, case: str) -> dict[str, Any]:
    return next((row for row in contests.get(name, {}).get("rows", []) if row["case"] == case), {})


_PEERS = (
    *((peer, 1 / 30, 0.05) for peer in ("PyG, messages", "DGL, messages")),
    *((peer, 1 / 3, 1.0) for peer in ("PyG, fused product", "DGL, fused product")),
    *((peer, 1 / 2, 1.0) for peer in ("PyG, factored", "DGL, factored")),
)
MARKS = (
    *(Mark(f"7157-like cliques, 32 layers: {peer}", "cliques", "gsr", peer, *most) for peer, *most in _PEERS),
    Mark("ibex, 100 layers: plain torch", "deep", "gsr", "plain torch", 1.0, 0.04),
    Mark("ibex, 100 layers: plain torch, ours with saved indices", "deep", "gsr, saved indices", "plain torch", 0.75),
    Mark("ibex, 100 layers: our kernels, stored activations", "deep", "gsr", "gsr, stored activations", 1.4),
    Mark("ibex, 100 layers: checkpoint of every layer", "deep", "gsr", "checkpoint", 0.8, 0.1),
    Mark("ibex: 100 over 10 layers", "deep", "gsr", "gsr", memory=1.02, other="shallow"),
    Mark("bits that differ in the input after 300 layers, threads 1 and 2", check=("exact", "different"), most=0),
    Mark("the same in bf16 branches", check=("exact, bf16", "different"), most=0),
    Mark("norm, top-k and pack, h = 64, k = 8: torch.topk over the C kernel", check=("select", "ratio"), least=3.0),
    Mark("gcd: our kernels, stored activations", "gcd", "gsr", "gsr, stored activations", 1.2),
)


def checks(arrays: SimpleNamespace, *, quick: bool = False, commit: str = "") -> dict[str, dict[str, Any]]:
    """The promises that are no race, on one graph."""
    found = {
        "exact": exact(arrays, 5 if quick else 300),
        "exact, bf16": exact(arrays, 5 if quick else 300, bf16=True),
        "select": select(300 if quick else 17_410, 3 if quick else 31),
    }
    for name, values in found.items():
        print(name, ", ".join(f"{k} {v:.4g}" for k, v in values.items()), flush=True)
        values["commit"] = commit
    return found


def exact(arrays: SimpleNamespace, layers: int, *, bf16: bool = False) -> dict[str, Any]:
    """How many values of the rebuilt input differ from the rounded one: forward on one thread, backward on two."""
    os.environ["GSR_BACKEND"] = "cpu"
    graph = gsr_graph(arrays, Shape(layers, 64, 8, DEFAULT_RELATIONS))
    stack = ReversibleStack(StackSpec(layers, Selection(8, bf16=bf16), 12), DEFAULT_RELATIONS, 32, seed=0)
    with torch.no_grad():
        for name, p in stack.named_parameters():
            if name.startswith("mix"):
                p *= 3.0  # so that many rows change their selection from layer to layer
    undone: list[torch.Tensor] = []
    stack.on_undone = lambda streams: undone.append(torch.cat([streams[0], streams[1]], 1))
    x = torch.randn(graph.num_nodes, 64, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    out = stack(x, graph)
    torch.set_num_threads(2)
    out.square().mean().backward()
    torch.set_num_threads(threads)
    different = int((undone[0] != torch.round(x * 2.0**12) * 2.0**-12).sum())
    return {"layers": layers, "values": x.numel(), "different": different}


def select(rows: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of norm, top-k and pack, in turn: the C kernel, and layer_norm, torch.topk, bytes."""
    h, k = 64, 8
    x = torch.randn(rows, h, generator=torch.Generator().manual_seed(0))
    norm = RowNorm(torch.ones(1, h), torch.zeros(1, h), (0, rows))

    def kernel() -> None:
        os.environ["GSR_BACKEND"] = "cpu"
        norm_topk(x, Selection(k), norm)

    def plain() -> None:
        _, index = F.layer_norm(x, (h,), norm.gamma[0], norm.beta[0]).topk(k, dim=1, sorted=False)
        index.to(torch.uint8)

    times = {run: [_cpu_ms(run) for _ in range(rounds)] for run in (kernel, plain)}
    kernel_ms, plain_ms = (float(np.median(t)) for t in times.values())
    return {"rows": rows, "h": h, "k": k, "kernel_ms": kernel_ms, "plain_ms": plain_ms, "ratio": plain_ms / kernel_ms}


def _cpu_ms(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return (time.process_time() - start) * 1e3
