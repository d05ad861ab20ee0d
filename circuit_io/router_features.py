"""What the embedded router finds, as features of gcells and nets: the strongest that are known before routing."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from circuit_io.edge_maps import Map, edge_window
from circuit_io.errors import InputError
from circuit_io.fields import GCELL_FEATURES, NET_FEATURES, NET_ROUTER_FEATURES, ROUTER_FEATURES, Field, column, names
from circuit_io.gcells import HORIZONTAL, VERTICAL
from circuit_io.graph import CircuitGraph
from circuit_io.net_lengths import tree_lengths
from circuit_io.router import MapF, Routing, route
from circuit_io.router_demand import Demand, MapI, is_edge
from circuit_io.router_run import is_compiled

_log = logging.getLogger(__name__)

RUNS = 8
SEARCHED, SEARCHED_A_NET = 400_000_000, 5_000  # gcells: a crowded design waits for few runs; 2.5 ns each


def with_router(graph: CircuitGraph, task: Demand, *, runs: int | None = None) -> tuple[CircuitGraph, dict[str, Any]]:
    """The graph with the router's features, and what the manifest tells of them.

    Args:
        graph: a graph whose router features are 0.
        task: what the router is asked of it.
        runs: how many runs, 0 for none; when not given `RUNS`, half of them where the first leaves overflow, fewer
            where each takes long, and none where the router would run in NumPy. How many follows from the design alone.
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
    of_gcells = _filled(graph.gcell_features, GCELL_FEATURES, _of_gcells(routing, task))
    of_nets = _filled(graph.net_features, NET_FEATURES, _of_nets(routing, graph))
    said = {
        "runs": len(routing.overflow),
        "rounds": list(routing.rounds),
        "overflow_tracks": list(routing.overflow),
    }
    return replace(graph, gcell_features=of_gcells, net_features=of_nets), said


def _filled(
    features: Float32[np.ndarray, "rows f"],
    fields: tuple[Field, ...],
    columns: Mapping[str, Float64[np.ndarray, "..."]],
) -> Float32[np.ndarray, "rows f"]:
    out = features.copy()
    for name, values in columns.items():
        out[:, column(fields, name)] = values.ravel()
    return out


def _of_nets(routing: Routing, graph: CircuitGraph) -> dict[str, Float64[np.ndarray, " nets"]]:
    trees, runs = tree_lengths(graph), routing.net_gcells
    shortest = (trees.tree + trees.segments).astype(np.float64)
    leaves = shortest > 0  # its gcell
    over = partial(np.divide, out=np.ones(len(shortest)), where=leaves)
    out = {
        "router_detour": np.log(over(routing.likely_gcells, shortest)),
        "router_mean_detour": np.log(over(runs.mean(axis=0), shortest)),
        "router_spread": np.divide(runs.std(axis=0), shortest, out=np.zeros(len(shortest)), where=leaves),
        "router_runs": np.full(len(shortest), len(runs) / RUNS),
    }
    assert set(out) == set(names(NET_ROUTER_FEATURES))
    return out


def _of_gcells(routing: Routing, task: Demand) -> dict[str, Float64[np.ndarray, "ny nx"]]:
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
