"""A small graph network in DGL, trained for a few steps on a design of the demo kit.

python demos/with_dgl.py [DESIGN]        # DESIGN: a folder of gsr export with labels; else one of the kit
"""

import sys
import tempfile
from pathlib import Path

import dgl
import dgl.function as fn
import torch
from torch import Tensor, nn

from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.store import open_design
from gsr_plugin.interop import to_dgl

KIT = Path(__file__).resolve().parent / "kit"


class Network(nn.Module):
    """Two rounds of weighted means over all relations, then congestion H and V of every gcell."""

    def __init__(self, graph: dgl.DGLGraph, width: int = 32) -> None:
        super().__init__()
        size = {kind: graph.nodes[kind].data["feat"].shape[1] for kind in graph.ntypes}
        self.inward = nn.ModuleDict({kind: nn.Linear(n, width) for kind, n in size.items()})
        self.rounds = nn.ModuleList(
            nn.ModuleDict({relation: nn.Linear(width, width) for relation in graph.etypes}) for _ in range(2)
        )
        self.outward = nn.Linear(width, 2)

    def forward(self, graph: dgl.DGLGraph) -> Tensor:
        """Congestion of every gcell's edges, [gcells, 2]."""
        h = {kind: layer(graph.nodes[kind].data["feat"]).relu() for kind, layer in self.inward.items()}
        for layers in self.rounds:
            for source, relation, _ in graph.canonical_etypes:
                graph.nodes[source].data[relation] = layers[relation](h[source])
            means = {r: (fn.u_mul_e(r, "weight", "m"), fn.sum("m", "sum")) for r in graph.etypes}
            graph.multi_update_all(means, "sum")
            h = {kind: (old + graph.nodes[kind].data["sum"]).relu() for kind, old in h.items()}
        return self.outward(h["gcell"])


def main(folder: Path, steps: int = 30) -> tuple[float, float]:
    """Loss before the first and after the last step."""
    graph, losses = to_dgl(open_design(folder)), []
    truth = torch.stack([graph.nodes["gcell"].data[f"congestion_{d}"] for d in "hv"], dim=1)
    seen = truth.isfinite()
    torch.manual_seed(0)
    network = Network(graph)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = (network(graph) - truth)[seen].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"DGL: {graph.num_nodes()} nodes, {graph.num_edges()} edges, loss {losses[0]:.4f} -> {losses[-1]:.4f}")
    return losses[0], losses[-1]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as out:
            lef = [KIT / "tech" / f"gsr45_{part}.lef" for part in ("tech", "cells")]
            export_design(
                sources_of_labels(KIT / "labels" / "gsr45" / "crc_bank" / "v0", lef=lef), Path(out) / "design"
            )
            main(Path(out) / "design")
