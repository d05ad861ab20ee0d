"""Graphs of other libraries: DGL's heterographs and PyG's HeteroData, both ways.

Node types and relations are ours (`circuit_io/graph.py`), node `i` is row `i` of the export. What a graph carries:

- inst: `feat`; net: `feat`, `box` (x0, y0, x1, y1 in gcells, both ends included), `net_length_um`;
- gcell: `feat`, `xy` (column and row), `congestion_h`, `congestion_v`, `overflow_h`, `overflow_v` (nan where masked);
- every relation: `weight` (row mean: each target's weights sum to 1); `pin` also `feat` and `gcell`, in pin order.

Labels are there when they were given. In PyG the names are `x`, `edge_weight` and `edge_attr` for `feat` of nodes,
`weight`, and `feat` of pins.
"""

import os
from collections.abc import Sequence
from dataclasses import fields
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuit_io.errors import GsrError, InputError, did_you_mean
from circuit_io.graph import ENDS, RELATIONS, CircuitGraph
from circuit_io.labels import Labels
from circuit_io.store import StoredDesign

LISTED = ("pin", "pinned", "in", "holds", "adjacent")
"""The relations that are made when none are named: about one edge a pin, inst and gcell."""
MAX_EDGES = 20_000_000  # of one relation: half a gigabyte

_Nodes = dict[str, dict[str, Tensor]]
_Edges = dict[str, tuple[Tensor, dict[str, Tensor]]]
_EDGE_LABELS = ("congestion_h", "congestion_v", "overflow_h", "overflow_v")
_PYG = {"feat": "x"}
_PYG_EDGES = {"feat": "edge_attr", "weight": "edge_weight"}


def to_dgl(
    design: StoredDesign | CircuitGraph,
    *,
    relations: Sequence[str] = LISTED,
    labels: Labels | None = None,
    max_edges: int = MAX_EDGES,
) -> Any:  # noqa: ANN401
    """A DGLGraph of the given relations with features, weights and labels; see the module's text.

    Args:
        design: what `open_design` gives (its labels come along), or a graph.
        relations: names of `circuit_io.graph.RELATIONS`; `clique`, `near`, `covers`, `covered` only when named here,
            since they have many edges and factor exactly.
        labels: labels for a bare graph, or other ones.
        max_edges: refuse a relation with more edges.

    Raises:
        GsrError: no usable dgl is installed, or there is no such relation.
        InputError: a relation has more than `max_edges` edges.
    """
    dgl = _library("dgl")
    nodes, edges = _tensors(design, relations, labels, max_edges)
    count = {kind: len(data["feat"]) for kind, data in nodes.items()}
    graph = dgl.heterograph({_triple(r): (i[0], i[1]) for r, (i, _) in edges.items()}, num_nodes_dict=count)
    for kind, data in nodes.items():
        graph.nodes[kind].data.update(data)
    for relation, (_, data) in edges.items():
        graph.edges[relation].data.update(data)
    return graph


def from_dgl(graph: Any) -> tuple[CircuitGraph, Labels | None]:  # noqa: ANN401
    """The inverse of `to_dgl`, which needs the relations `pin` and `in`: every array and its dtype as they were.

    Raises:
        InputError: a node type, a relation or its data is missing.
    """
    nodes = {kind: dict(graph.nodes[kind].data) for kind in graph.ntypes}
    edges = {}
    for relation in graph.etypes:
        source, target = graph.edges(etype=relation, order="eid")
        edges[relation] = (torch.stack([source, target]), dict(graph.edges[relation].data))
    return _arrays(nodes, edges)


def to_pyg(
    design: StoredDesign | CircuitGraph,
    *,
    relations: Sequence[str] = LISTED,
    labels: Labels | None = None,
    max_edges: int = MAX_EDGES,
) -> Any:  # noqa: ANN401
    """A PyG HeteroData of the given relations; arguments and errors as in `to_dgl`."""
    data = _library("torch_geometric.data").HeteroData()
    nodes, edges = _tensors(design, relations, labels, max_edges)
    for kind, values in nodes.items():
        for name, value in values.items():
            data[kind][_PYG.get(name, name)] = value
    for relation, (index, values) in edges.items():
        store = data[_triple(relation)]
        store.edge_index = index
        for name, value in values.items():
            store[_PYG_EDGES.get(name, name)] = value
    return data


def from_pyg(data: Any) -> tuple[CircuitGraph, Labels | None]:  # noqa: ANN401
    """The inverse of `to_pyg`; needs and errors as in `from_dgl`."""
    back, back_edges = ({new: old for old, new in names.items()} for names in (_PYG, _PYG_EDGES))
    nodes = {kind: {back.get(k, k): v for k, v in data[kind].items()} for kind in data.node_types}
    edges = {}
    for triple in data.edge_types:
        values = {back_edges.get(k, k): v for k, v in data[triple].items()}
        edges[triple[1]] = (values.pop("edge_index"), values)
    return _arrays(nodes, edges)


def _library(name: str) -> Any:  # noqa: ANN401
    """A library that is no dependency of ours."""
    os.environ.setdefault("DGLBACKEND", "pytorch")  # else dgl writes its choice into the user's home
    extra, known = ("dgl", "dgl==1.1.3 packaging") if name == "dgl" else ("pyg", "torch-geometric")
    try:
        return import_module(name)
    except Exception as e:  # dgl 2 fails with whatever its shared libraries do not find
        what = f"{name.partition('.')[0]} cannot be imported: {e}".splitlines()[0]
        raise GsrError(f'{what}\n  pip install "gsr-plugin[{extra}]" (that is, {known})') from e


def _triple(relation: str) -> tuple[str, str, str]:
    source, target = ENDS[relation]
    return source, relation, target


def _tensors(
    design: StoredDesign | CircuitGraph, relations: Sequence[str], labels: Labels | None, max_edges: int
) -> tuple[_Nodes, _Edges]:
    """Data of every node type; source and target rows (int64) and data of every relation."""
    graph = design.graph if isinstance(design, StoredDesign) else design
    if labels is None and isinstance(design, StoredDesign):
        labels = design.labels
    gcell = np.arange(graph.num_gcells, dtype=np.int32)
    nodes: dict[str, dict[str, np.ndarray]] = {
        "inst": {"feat": graph.inst_features},
        "net": {"feat": graph.net_features, "box": graph.net_box},
        "gcell": {"feat": graph.gcell_features, "xy": np.stack([gcell % graph.nx, gcell // graph.nx], axis=1)},
    }
    if labels is not None:
        nodes["net"]["net_length_um"] = labels.net_length_um
        nodes["gcell"] |= {name: getattr(labels, name).ravel() for name in _EDGE_LABELS}
    edges: _Edges = {}
    for relation in dict.fromkeys(relations):
        _check_relation(graph, relation, max_edges)
        found = graph.explicit(relation)
        data = {"weight": found.weight.astype(np.float32)}
        if relation == "pin":
            data |= {"feat": graph.pin_features, "gcell": graph.pin_gcell}
        edges[relation] = (_tensor(found.edge_index), {name: _tensor(v) for name, v in data.items()})
    return {kind: {name: _tensor(v) for name, v in data.items()} for kind, data in nodes.items()}, edges


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values))  # a copy: the caller's arrays stay as they are


def _check_relation(graph: CircuitGraph, relation: str, max_edges: int) -> None:
    if relation not in RELATIONS:
        raise GsrError(f'"{relation}" is not a relation\n  {did_you_mean(relation, RELATIONS)}')
    count = graph.num_edges(relation)
    if count > max_edges:
        raise InputError(
            f'relation "{relation}" has {count:,} edges, more than max_edges = {max_edges:,}',
            path=f"relations={relation!r}",
            mend=f"Leave it out and go by way of {_WAY.get(relation, 'other relations')}, or pass max_edges={count}.",
        )


_WAY = {
    "clique": "pin and pinned (inst to net to inst)",
    "near": "in, adjacent and holds (inst to gcell to gcell to inst)",
    "covers": "the nets' box",
    "covered": "the nets' box",
}


def _arrays(nodes: _Nodes, edges: _Edges) -> tuple[CircuitGraph, Labels | None]:
    """The graph and labels that `_tensors` took apart."""
    for kind, wanted in (("inst", ("feat",)), ("net", ("feat", "box")), ("gcell", ("feat", "xy"))):
        lacking = [name for name in wanted if name not in nodes.get(kind, {})]
        if lacking:
            raise InputError(
                f'nodes "{kind}" lack {", ".join(lacking)}', mend="Give a graph that to_dgl or to_pyg made."
            )
    for relation, more in (("pin", ("feat", "gcell")), ("in", ())):
        if relation not in edges or any(name not in edges[relation][1] for name in more):
            what = f'relation "{relation}" is missing or lacks its data'
            raise InputError(what, mend='Make the graph with relations that hold "pin" and "in".')
    pins, pin_data = edges["pin"]
    inst, gcell = edges["in"][0]
    at = torch.empty(len(nodes["inst"]["feat"]), dtype=gcell.dtype).index_copy_(0, inst.cpu(), gcell.cpu())
    nx, ny = (nodes["gcell"]["xy"].amax(0) + 1).tolist()
    graph = CircuitGraph(
        nx=nx,
        ny=ny,
        inst_gcell=_numpy(at, np.int32),
        pin_inst=_numpy(pins[0], np.int32),
        pin_net=_numpy(pins[1], np.int32),
        pin_gcell=_numpy(pin_data["gcell"], np.int32),
        net_box=_numpy(nodes["net"]["box"], np.int32),
        inst_features=_numpy(nodes["inst"]["feat"], np.float32),
        net_features=_numpy(nodes["net"]["feat"], np.float32),
        gcell_features=_numpy(nodes["gcell"]["feat"], np.float32),
        pin_features=_numpy(pin_data["feat"], np.float32),
    )
    found = nodes["gcell"] | nodes["net"]
    if any(f.name not in found for f in fields(Labels)):
        return graph, None
    maps = {name: _numpy(found[name], np.float32).reshape(ny, nx) for name in _EDGE_LABELS}
    return graph, Labels(**maps, net_length_um=_numpy(found["net_length_um"], np.float32))


def _numpy(values: Tensor, kind: type) -> np.ndarray:
    return np.ascontiguousarray(values.detach().cpu().numpy().astype(kind))
