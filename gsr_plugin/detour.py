"""The second task: how much longer than it must be a net is routed, as the log of that ratio.

The head says how far the log lies from that of the embedded router, or from the mean where the router was not asked.
Most nets are as short as they can be and some take a long way round, so that no one number tells of both: the head
gives the median, which is the better guess for a single net, and the mean, whose lengths add up.
"""

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from circuit_io.fields import NET_FEATURES, column
from circuit_io.graph import CircuitGraph
from gsr_plugin.normaliser import RUNS, Normaliser

_ROUTED, _RUNS = column(NET_FEATURES, "router_detour"), column(NET_FEATURES, RUNS)


def detour_loss(
    guess: Float[Tensor, "nets 2"], log_detour: Float[Tensor, " nets"], weight: Float[Tensor, " nets"]
) -> Float[Tensor, ""]:
    """Absolute error of the median plus squared error of the mean, weighted over the nets whose detour is known.

    Args:
        guess: median and mean, normalised.
        log_detour: the target, normalised; nan where it is not known.
        weight: of each net.
    """
    seen = torch.isfinite(log_detour)
    error = guess[seen] - log_detour[seen, None]
    of_net = (error[:, 0].abs() + error[:, 1].square()) * weight[seen]
    return of_net.sum() / weight[seen].sum().clamp_min(1e-9)


def usual_detour(graph: CircuitGraph, normaliser: Normaliser) -> Float32[np.ndarray, " nets"]:
    """The log detour that the head starts from: the router's, else the mean; the mean alone in models before that."""
    assert normaliser.detour is not None
    features = graph.net_features
    is_routed = (features[:, _RUNS] > 0) & (len(normaliser.mean["net"]) > _RUNS)
    usual: Float32[np.ndarray, " nets"] = np.where(is_routed, features[:, _ROUTED], np.float32(normaliser.detour[0]))
    return usual


def log_detours(
    guess: Float[Tensor, "nets 2"], graph: CircuitGraph, normaliser: Normaliser
) -> Float32[np.ndarray, "nets 2"]:
    """Median and mean of the log detour from what the head gives."""
    assert normaliser.detour is not None
    change = (guess * normaliser.detour[1]).cpu().numpy()
    values: Float32[np.ndarray, "nets 2"] = change + usual_detour(graph, normaliser)[:, None]
    return values


def lengths_um(
    log_detour: Float32[np.ndarray, " nets"], shortest_um: Float64[np.ndarray, " nets"]
) -> Float32[np.ndarray, " nets"]:
    """Routed length of every net, um; 0 within one gcell."""
    return (shortest_um * np.exp(log_detour.astype(np.float64))).astype(np.float32)
