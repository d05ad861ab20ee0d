"""The eight symmetries of a placed design, on its graph and its labels: what a router does to one, it does to all.

Insts, nets and pins keep their order; gcells and edges move. An entry of an edge map that is no edge (the last column
of H, the last row of V) stays where it is.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Shaped

from circuit_io.fields import (
    GCELL_FEATURES,
    INST_FEATURES,
    NET_FEATURES,
    NET_ROUTER_FEATURES,
    PIN_FEATURES,
    ROUTER_FEATURES,
    Field,
    column,
    names,
)
from circuit_io.graph import CircuitGraph

OF_LIBERTY = {
    "inst": ("is_sequential", "is_buffer", "has_liberty", "drive", "input_cap"),
    "net": ("driver", "load"),
    "pin": ("cap", "has_cap"),
}


class Symmetry(NamedTuple):
    """Mirror in x (columns reversed), then in y (rows reversed), then exchange of the axes."""

    mirror_x: bool = False
    mirror_y: bool = False
    transpose: bool = False


SYMMETRIES = tuple(Symmetry(bool(i & 1), bool(i & 2), bool(i & 4)) for i in range(8))


def transform(graph: CircuitGraph, symmetry: Symmetry) -> CircuitGraph:
    """The graph of the mirrored or turned design: same insts, nets and pins, gcells and directed features moved."""
    if symmetry.mirror_x:
        graph = _mirror(graph, "x")
    if symmetry.mirror_y:
        graph = _mirror(graph, "y")
    return _transpose(graph) if symmetry.transpose else graph


def transform_edges(
    h: Shaped[np.ndarray, "ny nx"], v: Shaped[np.ndarray, "ny nx"], symmetry: Symmetry
) -> tuple[Shaped[np.ndarray, "rows columns"], Shaped[np.ndarray, "rows columns"]]:
    """The H and V edge maps of the mirrored or turned design."""
    if symmetry.mirror_x:
        h, v = _reverse_edges(h, 1), v[:, ::-1]
    if symmetry.mirror_y:
        h, v = h[::-1], _reverse_edges(v, 0)
    if symmetry.transpose:
        h, v = v.T, h.T
    return np.ascontiguousarray(h), np.ascontiguousarray(v)


def transform_cells(values: Shaped[np.ndarray, "ny nx"], symmetry: Symmetry) -> Shaped[np.ndarray, "rows columns"]:
    """A map of the gcells of the mirrored or turned design."""
    values = values[:, ::-1] if symmetry.mirror_x else values
    values = values[::-1] if symmetry.mirror_y else values
    return np.ascontiguousarray(values.T if symmetry.transpose else values)


def inverse(symmetry: Symmetry) -> Symmetry:
    """The symmetry that undoes `symmetry`."""
    x, y, turned = symmetry
    return Symmetry(y, x, True) if turned else symmetry


def without_liberty(graph: CircuitGraph) -> CircuitGraph:
    """The graph as it would be had no Liberty file been given: its features and their flags are 0."""
    inst = _blank(graph.inst_features, INST_FEATURES, OF_LIBERTY["inst"])
    net = _blank(graph.net_features, NET_FEATURES, OF_LIBERTY["net"])
    pin = _blank(graph.pin_features, PIN_FEATURES, OF_LIBERTY["pin"])
    return replace(graph, inst_features=inst, net_features=net, pin_features=pin)


def without_router(graph: CircuitGraph) -> CircuitGraph:
    """The graph as it would be had the embedded router not been asked."""
    gcell = _blank(graph.gcell_features, GCELL_FEATURES, names(ROUTER_FEATURES))
    return replace(
        graph, gcell_features=gcell, net_features=_blank(graph.net_features, NET_FEATURES, names(NET_ROUTER_FEATURES))
    )


def _blank(
    values: Float32[np.ndarray, "rows fields"], fields: tuple[Field, ...], unknown: Sequence[str]
) -> Float32[np.ndarray, "rows fields"]:
    out = values.copy()
    out[:, [column(fields, name) for name in unknown]] = 0
    return out


def _reverse_edges(values: Shaped[np.ndarray, "ny nx"], axis: int) -> Shaped[np.ndarray, "ny nx"]:
    """Edge i takes the place of edge n - 2 - i; the last entry, which is no edge, stays."""
    order = np.append(np.arange(values.shape[axis] - 1)[::-1], values.shape[axis] - 1)
    return np.asarray(values.take(order, axis))


def _mirror(graph: CircuitGraph, axis: str) -> CircuitGraph:
    nx, ny = graph.nx, graph.ny
    index = np.arange(nx * ny, dtype=np.int32).reshape(ny, nx)
    moved = np.ascontiguousarray(index[:, ::-1] if axis == "x" else index[::-1])  # an involution: old <-> new
    x0, y0, x1, y1 = graph.net_box.T
    box = (nx - 1 - x1, y0, nx - 1 - x0, y1) if axis == "x" else (x0, ny - 1 - y1, x1, ny - 1 - y0)
    gcell = graph.gcell_features.reshape(ny, nx, -1)
    edge_place, edge_axis = ("edge_h", 1) if axis == "x" else ("edge_v", 0)
    columns = []
    for field in GCELL_FEATURES:
        source = gcell[:, :, column(GCELL_FEATURES, _partner(field, axis) or field.name)]
        source = -source if axis in field.odd else source
        columns.append(_reverse_edges(source, edge_axis) if field.place == edge_place else np.flip(source, edge_axis))
    return replace(
        graph,
        inst_gcell=moved.ravel()[graph.inst_gcell],
        pin_gcell=moved.ravel()[graph.pin_gcell],
        net_box=np.stack(box, axis=1),
        inst_features=_exchange(graph.inst_features, INST_FEATURES, axis),
        net_features=_exchange(graph.net_features, NET_FEATURES, axis),
        pin_features=_exchange(graph.pin_features, PIN_FEATURES, axis),
        gcell_features=np.stack(columns, axis=-1).reshape(nx * ny, -1),
    )


def _transpose(graph: CircuitGraph) -> CircuitGraph:
    nx, ny = graph.nx, graph.ny
    gcell = graph.gcell_features.reshape(ny, nx, -1).transpose(1, 0, 2).reshape(nx * ny, -1)
    return replace(
        graph,
        nx=ny,
        ny=nx,
        inst_gcell=_turned(graph.inst_gcell, nx, ny),
        pin_gcell=_turned(graph.pin_gcell, nx, ny),
        net_box=np.ascontiguousarray(graph.net_box[:, [1, 0, 3, 2]]),
        inst_features=_exchange(graph.inst_features, INST_FEATURES, "t"),
        net_features=_exchange(graph.net_features, NET_FEATURES, "t"),
        pin_features=_exchange(graph.pin_features, PIN_FEATURES, "t"),
        gcell_features=_exchange(gcell, GCELL_FEATURES, "t"),
    )


def _turned(gcell: Int32[np.ndarray, " n"], nx: int, ny: int) -> Int32[np.ndarray, " n"]:
    return np.asarray((gcell % nx) * np.int32(ny) + gcell // nx)


def _exchange(
    values: Float32[np.ndarray, "rows fields"], fields: tuple[Field, ...], axis: str
) -> Float32[np.ndarray, "rows fields"]:
    """The columns in their partners' places, those that the mirror makes odd negated."""
    order = [column(fields, _partner(field, axis) or field.name) for field in fields]
    sign = np.asarray([-1 if axis in field.odd else 1 for field in fields], np.float32)
    return values[:, order] * sign


def _partner(field: Field, axis: str) -> str:
    return {"x": field.mirror_x, "y": field.mirror_y, "t": field.transpose}[axis]
