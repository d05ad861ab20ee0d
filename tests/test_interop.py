"""Graphs to DGL and PyG and back, and a model trained on each."""

import importlib.util
import sys
import warnings
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from synthetic_graph import synthetic_graph, synthetic_labels
from test_graph import graph as small_graph  # noqa: F401

from circuit_io.errors import GsrError, InputError
from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.graph import ENDS, RELATIONS, CircuitGraph
from circuit_io.labels import Labels
from circuit_io.store import StoredDesign, open_design
from gsr_plugin import interop

DEMOS = Path(__file__).resolve().parent.parent / "demos"
WAYS = {"dgl": (interop.to_dgl, interop.from_dgl), "torch_geometric": (interop.to_pyg, interop.from_pyg)}


@pytest.fixture(params=WAYS)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each library that is installed; what it warns of at import is no matter of ours."""
    monkeypatch.setenv("DGLBACKEND", "pytorch")
    return _installed(request.param)


def _installed(name: str) -> str:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module(name)
        import_module(f"{name}.nn")
    return name


@pytest.fixture(scope="module")
def stored(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> StoredDesign:
    """The smallest labelled layout of the kit."""
    out = tmp_path_factory.mktemp("interop") / "design"
    tech = kit / "tech"
    lef = [tech / "gsr45_tech.lef", tech / "gsr45_cells.lef"]
    labels = kit / "labels" / "gsr45" / "crc_bank" / "v0"
    export_design(sources_of_labels(labels, lef=lef, lib=[tech / "gsr45_typ.lib"]), out)
    return open_design(out)


def same(a: CircuitGraph | Labels | None, b: CircuitGraph | Labels | None) -> None:
    assert type(a) is type(b)
    for f in fields(a) if a is not None else ():
        x, y = getattr(a, f.name), getattr(b, f.name)
        np.testing.assert_array_equal(x, y, err_msg=f.name)
        assert np.asarray(x).dtype == np.asarray(y).dtype, f.name


def test_a_design_comes_back_as_it_went(stored: StoredDesign, library: str) -> None:
    to, back = WAYS[library]
    """All but the layers, which are for the embedded router alone."""
    graph, labels = back(to(stored))
    same(graph, replace(stored.graph, layers=None))
    same(labels, stored.labels)


def test_a_bare_graph_comes_back_without_labels(library: str) -> None:
    to, back = WAYS[library]
    graph = synthetic_graph(seed=1)
    found, labels = back(to(graph))
    same(found, graph)
    assert labels is None
    _, labels = back(to(graph, labels=synthetic_labels(graph)))
    same(labels, synthetic_labels(graph))


def test_repeated_pins_and_empty_nets_survive(small_graph: CircuitGraph, library: str) -> None:  # noqa: F811
    to, back = WAYS[library]
    found, _ = back(to(small_graph, relations=["in", "pin"]))
    same(found, small_graph)


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_relation_is_the_explicit_one(stored: StoredDesign, library: str, relation: str) -> None:
    made = WAYS[library][0](stored, relations=[relation])
    wanted = stored.graph.explicit(relation)
    source, target = ENDS[relation]
    if library == "dgl":
        index = torch.stack(made.edges(etype=relation, order="eid"))
        weight = made.edges[relation].data["weight"]
        assert made.canonical_etypes == [(source, relation, target)]
    else:
        index, weight = made[source, relation, target].edge_index, made[source, relation, target].edge_weight
    np.testing.assert_array_equal(index, wanted.edge_index)
    np.testing.assert_array_equal(weight, wanted.weight.astype(np.float32))
    assert stored.graph.num_edges(relation) == len(wanted.weight)


@pytest.mark.parametrize("relation", ["clique", "near", "covers"])
def test_a_relation_of_too_many_edges_is_refused_with_its_number(
    stored: StoredDesign, library: str, relation: str
) -> None:
    count = stored.graph.num_edges(relation)
    with pytest.raises(InputError, match=rf'"{relation}" has {count:,} edges[\s\S]*Leave it out[\s\S]*={count}'):
        WAYS[library][0](stored, relations=["pin", relation], max_edges=count - 1)
    WAYS[library][0](stored, relations=["pin", relation], max_edges=count)


def test_nothing_big_is_made_unasked() -> None:
    assert not set(interop.LISTED) & {"clique", "near", "covers", "covered"}


def test_an_unknown_relation_and_a_foreign_graph_are_named(stored: StoredDesign, library: str) -> None:
    to, back = WAYS[library]
    with pytest.raises(GsrError, match=r'"pins" is not a relation[\s\S]*"pin"'):
        to(stored, relations=["pins"])
    with pytest.raises(InputError, match='"pin" is missing'):
        back(to(stored, relations=["in"]))
    with pytest.raises(InputError, match='"in" is missing'):
        back(to(stored, relations=["pin"]))


def test_nodes_that_lack_their_data_are_named(stored: StoredDesign, library: str) -> None:
    to, back = WAYS[library]
    made: Any = to(stored)
    if library == "dgl":
        del made.nodes["net"].data["box"]
    else:
        del made["net"].box
    with pytest.raises(InputError, match='nodes "net" lack box'):
        back(made)


def test_the_exports_arrays_are_not_shared(stored: StoredDesign, library: str) -> None:
    made: Any = WAYS[library][0](stored)
    before = stored.graph.inst_features.copy()
    (made.nodes["inst"].data["feat"] if library == "dgl" else made["inst"].x).zero_()
    np.testing.assert_array_equal(stored.graph.inst_features, before)


@pytest.mark.parametrize("name", ["dgl", "torch_geometric.data"])
def test_a_library_that_is_absent_or_broken_is_named(
    stored: StoredDesign, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(wanted: str) -> ModuleType:
        raise FileNotFoundError("libgraphbolt.so\nand much more")

    monkeypatch.setattr(interop, "import_module", fail)
    to = interop.to_dgl if name == "dgl" else interop.to_pyg
    with pytest.raises(GsrError, match=r"cannot be imported: libgraphbolt.so\n  pip install") as e:
        to(stored)
    assert "much more" not in str(e.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("demo", "needs"), [("with_dgl", "dgl"), ("with_pyg", "torch_geometric")])
def test_a_model_learns_in_the_demo(
    stored: StoredDesign, monkeypatch: pytest.MonkeyPatch, demo: str, needs: str
) -> None:
    monkeypatch.setenv("DGLBACKEND", "pytorch")
    _installed(needs)
    monkeypatch.setattr(sys, "path", [str(DEMOS), *sys.path])
    first, last = import_module(demo).main(stored.path, steps=20)
    assert last < 0.5 * first
