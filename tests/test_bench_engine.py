"""The contest of the engine: its graphs are what they say, its gate can fail, its table holds every case."""

import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from test_import import write_circuitnet

from bench import operators
from bench.engine import _joined, main
from bench.engine_graphs import Edges, InstGraph, arrays_of, like_7157, num_edges, read_arrays
from bench.engine_marks import Mark
from bench.engine_peers import FactoredMean, PlainStack, Shape, gsr, gsr_graph, load_blocks, rms_difference
from circuit_io.circuitnet import import_circuitnet
from circuit_io.store import open_design
from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.ops import native


def test_the_graph_has_the_law_of_7157() -> None:
    arrays = like_7157(38_656)
    size = np.bincount(arrays.pin_net)
    assert (len(arrays.inst_gcell), len(arrays.net_box)) == (38_656, 39_811)
    assert sorted(size.tolist())[-4:] == [547, 869, 927, 1476]
    assert abs(len(arrays.pin_inst) / 156_825 - 1) < 0.01
    assert abs(num_edges(arrays) / 6_768_184 - 1) < 0.01


def test_edges_are_the_factored_cliques() -> None:
    arrays = like_7157(400)
    edges = Edges.of(arrays)
    assert edges.ptr[-1] == len(edges.source) == num_edges(arrays)
    x = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    rows = x[torch.from_numpy(edges.source).long()]
    mean = torch.segment_reduce(rows, "mean", offsets=torch.from_numpy(edges.ptr))
    assert rms_difference(FactoredMean(arrays)(x), mean) < 1e-5


def test_the_graph_of_an_imported_design_may_be_taken(tmp_path: Path) -> None:
    write_circuitnet(tmp_path / "cn", num_insts=60)
    import_circuitnet(tmp_path / "cn", tmp_path / "7157")
    arrays = read_arrays(arrays_of("CircuitNet's 7157", tmp_path, tmp_path / "graphs", given=tmp_path / "7157"))
    assert len(arrays.inst_gcell) == open_design(tmp_path / "7157").graph.num_insts > 50
    assert num_edges(arrays) > 60


def test_plain_torch_computes_our_layers() -> None:
    torch.manual_seed(1)  # ours are drawn with 0
    arrays, shape = like_7157(300), Shape(3, 32, 4)
    ours, plain = gsr()(gsr_graph(arrays, shape), shape), PlainStack(FactoredMean(arrays), shape)
    assert isinstance(gsr_graph(arrays, shape), InstGraph)
    x = torch.randn(300, 32, generator=torch.Generator().manual_seed(0))
    free = ours.without_grid()  # type: ignore[operator]
    with torch.no_grad():
        assert rms_difference(plain(x), free(x)) > 0.02, "other weights"
        load_blocks(plain, free.stack)
        assert rms_difference(plain(x), free(x)) < 1e-5


def test_marks_compare_rows() -> None:
    rows = [{"case": "gsr", "cpu_s": 1.0, "peak_bytes": 4.0}, {"case": "peer", "cpu_s": 4.0, "peak_bytes": 5.0}]
    contests = {"c": {"rows": [*rows, {"case": "big", "reason": "out of memory"}]}}
    assert Mark("", "c", "gsr", "peer", time=0.25, memory=0.8).judged(contests, {})["met"] is True
    assert Mark("", "c", "gsr", "peer", time=0.25, memory=0.7).judged(contests, {})["met"] is False
    assert Mark("", "c", "gsr", "other", time=1.0).judged(contests, {})["met"] is None
    half = {"c": {"rows": [{"case": "gsr", "cpu_s": 1.0, "peak_bytes": 1.0}, {"case": "peer", "cpu_s": 4.0}]}}
    assert Mark("", "c", "gsr", "peer", time=0.25, memory=1.0).judged(half, {})["met"] is None
    assert Mark("", "c", "gsr", "peer", time=0.2, memory=1.0).judged(half, {})["met"] is False
    failed = Mark("", "c", "gsr", "big", time=0.25).judged(contests, {})
    assert (failed["met"], failed["measured"]) == (None, "CPU time: out of memory")
    assert Mark("", check=("exact", "different"), most=0).judged({}, {"exact": {"different": 1}})["met"] is False


@pytest.mark.skipif(native.library() is None, reason="the C kernels are not built")
@pytest.mark.skipif(not (find_spec("dgl") and find_spec("torch_geometric")), reason="no dgl, no torch_geometric")
@pytest.mark.filterwarnings("ignore")  # of dgl and torch_geometric
def test_the_contest_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSR_BACKEND", "cpu")  # put back afterwards
    out, threads = tmp_path / "engine.json", torch.get_num_threads()
    try:
        assert main(["--quick", "--only", "cliques", "checks", "--out", str(out)]) == 0
    finally:
        torch.set_num_threads(threads)
    saved = json.loads(out.read_text())
    (contest,) = saved["contests"]
    assert [row["case"] for row in contest["rows"] if row["cpu_s"] > 0] == [
        "gsr", "gsr, saved indices", "gsr, bf16 branches", "PyG, factored", "DGL, factored", "PyG, fused product",
        "DGL, fused product", "PyG, messages", "DGL, messages",
    ]  # fmt: skip
    assert contest["rows"][0]["peak_bytes"] > 0
    assert saved["checks"]["exact"]["different"] == 0


@pytest.mark.skipif(native.library() is None, reason="the C kernels are not built")
@pytest.mark.skipif(shutil.which(os.environ.get("CC", "cc")) is None, reason="no C compiler")
def test_operators_are_measured_in_both_directions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSR_BACKEND", "cpu")
    out, threads = tmp_path / "operators.json", torch.get_num_threads()
    try:
        assert operators.main(["--quick", "--widths", "32", "--k", "4", "--out", str(out)]) == 0
    finally:
        torch.set_num_threads(threads)
    rows = json.loads(out.read_text())["rows"]
    names = ["select", "mix", "boxes: covers", "boxes: covered", "segment sums: clique", "update"]
    assert [(r["operator"], r["direction"]) for r in rows] == [(n, d) for n in names for d in ("forward", "adjoint")]
    assert all(r["cpu_ms"] > 0 and r["fraction"] > 0 for r in rows)


def test_the_two_directions_of_a_box_relation_are_each_others_adjoint_in_count() -> None:
    graph = GraphTensors.of(like_7157(300))
    ops = {(op.name, op.direction): op for op in operators.operators(graph, 16, 4)}
    nets, gcells = graph.num_nets * 16 * 4, graph.num_gcells * 16 * 4
    for a, b in (("covers", "covered"), ("covered", "covers")):
        forward, adjoint = ops[f"boxes: {a}", "forward"], ops[f"boxes: {b}", "adjoint"]
        assert (forward.moved, forward.flops) == (adjoint.moved, adjoint.flops)
        assert forward.moved > nets + gcells
    update = ops["update", "forward"]
    assert update.moved == 3 * 4 * 16 * graph.num_nodes


def test_rows_of_another_commit_are_not_mixed() -> None:
    old = {"contest": "gcd", "rows": [{"case": "gsr", "commit": "a", "cpu_s": 1.0, "peak_bytes": 2},
                                      {"case": "gsr, saved indices", "commit": "a", "cpu_s": 3.0}]}  # fmt: skip
    again = {"contest": "gcd", "rows": [{"case": "gsr", "commit": "a", "peak_bytes": 4}]}
    later = {"contest": "gcd", "rows": [{"case": "gsr", "commit": "b", "peak_bytes": 4}]}
    assert _joined(old, again)["rows"] == [
        {"case": "gsr", "commit": "a", "cpu_s": 1.0, "peak_bytes": 4},
        old["rows"][1],
    ]
    assert _joined(old, later)["rows"] == [{"case": "gsr", "commit": "b", "peak_bytes": 4}, old["rows"][1]]
