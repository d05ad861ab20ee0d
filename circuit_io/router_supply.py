"""The tracks of a placed design by layer, as FastRoute counts them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from circuit_io.design import Design
from circuit_io.gcells import HORIZONTAL, GcellGrid, RoutingLayer, adjusted, blocked_tracks
from circuit_io.graph import Layers


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


def supply_of(design: Design, grid: GcellGrid, adjustment: dict[str, float]) -> Supply:
    """The tracks of a placed design.

    Shapes that lie inside one gcell count, and so do the vias of the power grid, as they do for FastRoute.

    Args:
        design: the design.
        grid: its gcells.
        adjustment: by name of signal layer.
    """
    low, high = grid.signal
    layers = tuple(layer for layer in grid.layers if low <= layer.level <= high)
    capacity, after, left = [], [], []
    for layer in layers:
        shapes = np.concatenate(list(design.obstacles.parts(layer.level, vias=True)))
        tracks, share = grid.capacity(layer), adjustment.get(layer.name, 0.0)
        taken = np.minimum(blocked_tracks(grid, layer, shapes, inside=True), tracks)
        capacity.append(tracks)
        after.append(adjusted(tracks, share))
        left.append(adjusted(tracks - taken, share))
    return Supply(layers, np.stack(capacity), np.stack(after), np.stack(left))


def layers_of(design: Design, grid: GcellGrid, supply: Supply) -> Layers:
    """The layers of a placed design up to the highest for signals, with the tracks that are left; those of its pins."""
    low, high = grid.signal
    room = np.zeros((high, grid.ny, grid.nx), np.int64)
    room[low - 1 :] = supply.left
    along_x = np.asarray([layer.direction == HORIZONTAL for layer in grid.layers[:high]])
    room[along_x, :, -1] = 0
    room[~along_x, -1] = 0
    level = np.clip(design.forms.level[design.pin_form], 1, high)
    return Layers(low - 1, along_x, room.astype(np.uint16), (level - 1).astype(np.uint8))
