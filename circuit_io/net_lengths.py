"""The length that a net needs at least on the gcell grid, as the global router counts lengths, and its detour."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from circuit_io.graph import CircuitGraph
from circuit_io.steiner import points_of_nets, steiner_trees


@dataclass(frozen=True)
class TreeLengths:
    """Of every net: length of its Steiner tree in gcells, and straight segments (two for an L); 0 within one gcell."""

    tree: Int64[np.ndarray, " nets"]
    segments: Int64[np.ndarray, " nets"]

    def shortest_um(self, tile_um: float) -> Float64[np.ndarray, " nets"]:
        """Tree and segments together: `report_wire_length -global_route` counts one gcell more for each segment."""
        lengths: Float64[np.ndarray, " nets"] = (self.tree + self.segments) * tile_um
        return lengths


@dataclass(frozen=True)
class RoutedLengths:
    """What is predicted of the routed lengths of nets, um, in the export's order; 0 where no wire leaves a gcell.

    Attributes:
        shortest_um: see `TreeLengths.shortest_um`.
        length_um: half of the nets like this one are longer: the best guess for a single net.
        mean_length_um: what adds up: the lengths of many nets together.
    """

    shortest_um: Float32[np.ndarray, " nets"]
    length_um: Float32[np.ndarray, " nets"]
    mean_length_um: Float32[np.ndarray, " nets"]

    def total_um(self) -> float:
        """Predicted routed length of all nets."""
        return float(self.mean_length_um.sum(dtype=np.float64))

    def detour(self) -> float:
        """The same over the shortest length; 1 where no net has any."""
        shortest = float(self.shortest_um.sum(dtype=np.float64))
        return self.total_um() / shortest if shortest else 1.0


def tree_lengths(graph: CircuitGraph) -> TreeLengths:
    """Trees of all nets of a graph, the same that its features are made of."""
    trees = steiner_trees(*points_of_nets(graph.pin_net, graph.pin_gcell, graph.nx), graph.num_nets)
    is_bent = (trees.ends[:, :2] != trees.ends[:, 2:]).all(axis=1)
    tree, segments = (
        np.bincount(trees.segment_net, weights=values, minlength=graph.num_nets).astype(np.int64)
        for values in (trees.lengths(), 1 + is_bent)
    )
    return TreeLengths(tree, segments)


def log_detour(
    length_um: Float32[np.ndarray, " nets"], shortest_um: Float64[np.ndarray, " nets"]
) -> Float32[np.ndarray, " nets"]:
    """Log of routed over shortest length; nan where the router tells no length, or no wire leaves the net's gcell."""
    seen = np.isfinite(length_um) & (length_um > 0) & (shortest_um > 0)
    ratio = np.divide(length_um, shortest_um, out=np.ones(len(shortest_um)), where=seen)
    return np.where(seen, np.log(ratio), np.nan).astype(np.float32)
