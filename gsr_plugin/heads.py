"""What reads the stack: heads on gcells, on nets, and on endpoints by way of the nets that end there."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

LOG_FACTOR = 4.0  # an endpoint's delays change by at most e^4 of what is usual


@dataclass(frozen=True)
class EndpointTensors:
    """Endpoints for a head.

    Attributes:
        net: the net that ends there.
        features: normalised.
        shares: parts of the estimated wire delay of its worst path: drivers, wires, a gate; they add up to 1.
    """

    net: Int64[Tensor, " endpoints"]
    features: Float[Tensor, "endpoints f"]
    shares: Float[Tensor, "endpoints 3"]


class HeadNorm(nn.Module):
    """LayerNorm whose scale and shift stand apart: torch adds up their joint gradient by threads, so its bits vary."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Rows of mean 0 and deviation 1, scaled and shifted."""
        return nn.functional.layer_norm(x, x.shape[1:]) * self.weight + self.bias


class GridHead(nn.Module):
    """A head that looks around: convolutions over the grid, the die's edge repeated beyond it."""

    def __init__(self, num_inputs: int, wide: int, convolutions: int, num_outputs: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(num_inputs, wide), nn.Linear(wide, num_outputs)
        self.around = nn.ModuleList(
            nn.Conv2d(wide, wide, 3, padding=1, padding_mode="replicate") for _ in range(convolutions)
        )

    def forward(self, x: Float[Tensor, "gcells f"], shape: tuple[int, int]) -> Float[Tensor, "gcells outputs"]:
        """Values for every gcell of a grid of `shape`."""
        grid = nn.functional.gelu(self.first(x)).view(1, *shape, -1).permute(0, 3, 1, 2)
        for convolution in self.around:
            grid = nn.functional.gelu(convolution(grid))
        out: Tensor = self.last(grid.permute(0, 2, 3, 1).reshape(len(x), -1))
        return out


class SlackHead(nn.Module):
    """Change of slack over the estimated wire delay of the worst path: each part of that delay times what it grows by.

    What is usual: near the least squares over the labelled placements of 130 to 45 nm.
    """

    usual: Tensor

    def __init__(self, d: int, num_features: int, wide: int) -> None:
        super().__init__()
        self.norm = HeadNorm(d)
        self.layers = nn.Sequential(
            nn.Linear(d + num_features, wide), nn.GELU(), nn.Linear(wide, wide), nn.GELU(), nn.Linear(wide, 3)
        )
        self.register_buffer("usual", torch.tensor([0.2, 1.0, 0.05]), persistent=False)

    def forward(self, nets: Float[Tensor, "nets d"], ends: EndpointTensors) -> Float[Tensor, " endpoints"]:
        """Change of slack over the scale of each endpoint."""
        found = self.layers(torch.cat([self.norm(nets)[ends.net], ends.features], 1))
        growth = self.usual * torch.exp(LOG_FACTOR * torch.tanh(found / LOG_FACTOR))
        change: Tensor = -(growth * ends.shares).sum(1)
        return change
