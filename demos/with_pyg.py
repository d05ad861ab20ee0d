"""A small graph network in PyG, trained for a few steps on a design of the demo kit.

python demos/with_pyg.py [DESIGN]        # DESIGN: a folder of gsr export with labels; else one of the kit
"""

import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import GraphConv, HeteroConv

from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.store import open_design
from gsr_plugin.interop import to_pyg

KIT = Path(__file__).resolve().parent / "kit"


class Network(nn.Module):
    """Two rounds of weighted means over all relations, then congestion H and V of every gcell."""

    def __init__(self, data: HeteroData, width: int = 32) -> None:
        super().__init__()
        self.rounds = nn.ModuleList(
            HeteroConv({triple: GraphConv((-1, -1), width) for triple in data.edge_types}) for _ in range(2)
        )
        self.outward = nn.Linear(width, 2)

    def forward(self, data: HeteroData) -> Tensor:
        """Congestion of every gcell's edges, [gcells, 2]."""
        h = data.x_dict
        for layer in self.rounds:
            h = {kind: x.relu() for kind, x in layer(h, data.edge_index_dict, data.edge_weight_dict).items()}
        return self.outward(h["gcell"])


def main(folder: Path, steps: int = 30) -> tuple[float, float]:
    """Loss before the first and after the last step."""
    data, losses = to_pyg(open_design(folder)), []
    truth = torch.stack([data["gcell"].congestion_h, data["gcell"].congestion_v], dim=1)
    seen = truth.isfinite()
    torch.manual_seed(0)
    network = Network(data)
    network(data)  # gives the lazy layers their sizes
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = (network(data) - truth)[seen].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"PyG: {data.num_nodes} nodes, {data.num_edges} edges, loss {losses[0]:.4f} -> {losses[-1]:.4f}")
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
