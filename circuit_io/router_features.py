"""The embedded router's maps as features of the gcells: the strongest that are known before routing."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from circuit_io.edge_maps import Map, edge_window
from circuit_io.errors import InputError
from circuit_io.fields import GCELL_FEATURES, ROUTER_FEATURES, column, names
from circuit_io.gcells import HORIZONTAL, VERTICAL
from circuit_io.graph import CircuitGraph
from circuit_io.router import MapF, Routing, is_compiled, route
from circuit_io.router_demand import Demand, MapI, is_edge

_log = logging.getLogger(__name__)

RUNS = 8
SEARCHED, SEARCHED_A_NET = 400_000_000, 5_000  # gcells: a crowded design waits for few runs; 6 ns each


def with_router(graph: CircuitGraph, task: Demand, *, runs: int | None = None) -> tuple[CircuitGraph, dict[str, Any]]:
    """The graph with the router's features, and what the manifest tells of them.

    Args:
        graph: a graph whose router features are 0.
        task: what the router is asked of it.
        runs: how many runs, 0 for none; when not given `RUNS`, fewer where each takes long, and none where the router
            would run in NumPy. How many that are follows from the design alone.
    """
    why = ""
    if runs is None and not is_compiled():
        why = "the router is not compiled"
    if runs == 0 or why:
        return graph, {"runs": 0} | ({"why": why} if why else {})
    most = max(SEARCHED, SEARCHED_A_NET * graph.num_nets) if runs is None else 0
    try:
        routing = route(task, runs=RUNS if runs is None else runs, most_searched=most)
    except InputError as e:
        _log.warning("no router features: %s", e.what)
        return graph, {"runs": 0, "why": e.what}
    features = graph.gcell_features.copy()
    for name, values in _columns(routing, task).items():
        features[:, column(GCELL_FEATURES, name)] = values.ravel()
    said = {
        "runs": len(routing.overflow),
        "rounds": list(routing.rounds),
        "overflow_tracks": list(routing.overflow),
    }
    return replace(graph, gcell_features=features), said


def _columns(routing: Routing, task: Demand) -> dict[str, Float64[np.ndarray, "ny nx"]]:
    shape = routing.h.shape
    out: dict[str, Map] = {
        "router_pressure": np.full(shape, np.log1p(routing.pressure)),
        "router_runs": np.full(shape, len(routing.overflow) / RUNS),
    }
    for direction, letter, edge in zip((HORIZONTAL, VERTICAL), "hv", is_edge(shape), strict=True):
        across, along = ((1, 0), (0, 1)) if direction == HORIZONTAL else ((0, 1), (1, 0))
        mean = _known(getattr(routing, letter))
        edges = max(float(edge.sum()), 1.0)
        columns = {
            "router": mean,
            "router_first": _known(getattr(routing, f"first_{letter}")),
            "router_spread": _known(getattr(routing, f"spread_{letter}")),
            "router_over": _over_capacity(getattr(routing, f"overflow_{letter}"), task.capacity[direction]),
            "router_across3": edge_window(mean, direction, *across),
            "router_along3": edge_window(mean, direction, *along),
            "router_box5": edge_window(mean, direction, 2, 2),
            "router_mean": np.full(shape, mean.sum() / edges),
            "router_full": np.full(shape, (mean > 1).sum() / edges),
        }
        out |= {f"{name}_{letter}": values for name, values in columns.items()}
    assert set(out) == set(names(ROUTER_FEATURES))
    return out


def _over_capacity(tracks: MapF, capacity: MapI) -> Map:
    share: Map = np.divide(_known(tracks), capacity, out=np.zeros(capacity.shape), where=capacity > 0)
    return share


def _known(values: MapF) -> Map:
    """0 where no edge or no track is."""
    return np.nan_to_num(values.astype(np.float64))
