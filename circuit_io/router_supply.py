"""The tracks of a placed design by layer, as FastRoute counts them, and what the embedded router is asked with them."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64

from circuit_io.design import Design
from circuit_io.gcells import HORIZONTAL, VERTICAL, GcellGrid, RoutingLayer, adjusted, blocked_tracks, crossing
from circuit_io.graph import CircuitGraph
from circuit_io.router_demand import Demand, MapI, demand_of


@dataclass(frozen=True)
class Supply:
    """Tracks of every signal layer: all, those that adjustments leave, and those that fixed shapes leave of these.

    FastRoute takes fixed shapes away first and adjusts what is left, so that a blocked track is not adjusted too.
    """

    layers: tuple[RoutingLayer, ...]
    capacity: Int64[np.ndarray, "l ny nx"]
    adjusted: Int64[np.ndarray, "l ny nx"]
    left: Int64[np.ndarray, "l ny nx"]

    def of(self, direction: int) -> list[int]:
        """Rows of the layers of one direction."""
        return [i for i, layer in enumerate(self.layers) if layer.direction == direction]

    def blocked(self, direction: int) -> MapI:
        """What fixed shapes take of the tracks that adjustments leave, in one direction."""
        mine = self.of(direction)
        taken: MapI = (self.adjusted[mine] - self.left[mine]).sum(axis=0).astype(np.int32)
        return taken


def supply_of(design: Design, grid: GcellGrid, adjustment: dict[str, float], *, inside: bool = False) -> Supply:
    """The tracks of a placed design.

    Args:
        design: the design.
        grid: its gcells.
        adjustment: by name of signal layer.
        inside: count shapes that lie inside one gcell, and the vias of the power grid, as FastRoute does: for labels.
            The features were trained without.
    """
    low, high = grid.signal
    layers = tuple(layer for layer in grid.layers if low <= layer.level <= high)
    capacity, after, left = [], [], []
    for layer in layers:
        parts = design.obstacles.parts(layer.level, vias=inside)
        shapes = list(parts) if inside else [crossing(grid, layer, part) for part in parts]
        tracks, share = grid.capacity(layer), adjustment.get(layer.name, 0.0)
        taken = np.minimum(blocked_tracks(grid, layer, np.concatenate(shapes), inside=inside), tracks)
        capacity.append(tracks)
        after.append(adjusted(tracks, share))
        left.append(adjusted(tracks - taken, share))
    return Supply(layers, np.stack(capacity), np.stack(after), np.stack(left))


def demand_left(graph: CircuitGraph, supply: Supply) -> Demand:
    """What a design asks of the router, with blocked tracks counted as FastRoute does."""
    return replace(demand_of(graph), blocked=(supply.blocked(HORIZONTAL), supply.blocked(VERTICAL)))
