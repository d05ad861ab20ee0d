"""Slacks of endpoints: the tables, their pins in the design, what an export says of them, and the delay of paths."""

import gzip
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from synthetic_graph import synthetic_graph

from circuit_io.endpoints import TABLE, read_stored_endpoints
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import ExportSources, sources_of_labels
from circuit_io.fields import INST_FEATURES, PIN_FEATURES, column
from circuit_io.graph import CircuitGraph
from circuit_io.path_delays import RESISTIVITY_OHM_UM, WIRE_FF_PER_UM, path_delays
from circuit_io.slack_tables import PLACED, ROUTED, read_slacks
from circuit_io.store import open_design
from circuit_io.text import sha256_of_file
from gsr_plugin.cli import main


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_table_is_read_whatever_its_other_columns_are(tmp_path: Path) -> None:
    text = 'clock,slack_ns,pin\nclk,-0.5,u1/D\n\n,1e-3,"q,[1]"\n'
    found = read_slacks(written(tmp_path / "t.csv", text))
    assert found.pin == ("u1/D", "q,[1]")
    assert found.slack_ns.tolist() == [-0.5, 0.001]
    assert found.line == (2, 4)
    assert read_slacks(written(tmp_path / "t.csv", "pin,slack_ns,clock\n")).pin == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("pin,slack\nu/D,1\n", r"t\.csv:1: its columns are pin,slack: no slack_ns"),
        ("pin,slack_ns\nu/D\n", r"t\.csv:2: 1 values, expected 2"),
        ("pin,slack_ns\nu/D,fast\n", r't\.csv:2: "fast" is no slack in ns'),
        ("pin,slack_ns\nu/D,inf\n", r't\.csv:2: "inf" is no slack'),
        ("pin,slack_ns\nu/D,1e30\n", r't\.csv:2: "1e30" is no slack'),
        ("pin,slack_ns\nu/D,1\nu/D,2\n", r't\.csv:3: endpoint "u/D" is there twice, first in line 2'),
        ('pin,slack_ns\n"u/D,1\n', r"is no table of commas"),
    ],
)
def test_bad_tables_are_one_error(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_slacks(written(tmp_path / "t.csv", text))


@pytest.fixture(scope="module")
def sources(kit: Path) -> ExportSources:
    lef = [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]
    found = sources_of_labels(
        kit / "labels" / "gsr45" / "crc_bank" / "v0", lef=lef, lib=[kit / "tech" / "gsr45_typ.lib"]
    )
    return replace(found, router_runs=0)


@pytest.fixture(scope="module")
def export(sources: ExportSources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("slack") / "d"
    export_design(sources, out)
    return out


def _text(sources: ExportSources, name: str) -> str:
    assert sources.labels is not None
    return gzip.decompress((sources.labels / f"{name}.gz").read_bytes()).decode()


def _slacks(sources: ExportSources, name: str) -> dict[str, float]:
    rows = [line.rsplit(",", 2) for line in _text(sources, name).splitlines()[1:]]
    return {pin: float(slack) for pin, slack, _ in rows}


def test_an_export_takes_the_slacks_of_its_labels(sources: ExportSources, export: Path) -> None:
    design = open_design(export)
    found = read_stored_endpoints(design)
    assert found is not None
    placed, routed = _slacks(sources, PLACED), _slacks(sources, ROUTED)
    assert dict(zip(found.pin, found.slack_ns.tolist(), strict=True)) == placed
    assert dict(zip(found.pin, found.routed_ns.tolist(), strict=True)) == routed
    names, graph = design.insts["name"].to_pylist(), design.graph
    pins = found.pins_of(graph)
    assert (graph.pin_inst[pins] == found.inst).all()
    assert (graph.pin_net[pins] == found.net).all()
    for pin, inst in zip(found.pin, found.inst.tolist(), strict=True):
        assert names[inst].replace("\\", "") in (pin.replace("\\", ""), pin.replace("\\", "").rpartition("/")[0])
    assert design.manifest["endpoints"] == {"count": len(placed), "labelled": len(placed)}
    roles = [given["role"] for given in design.manifest["inputs"]]
    assert roles[-2:] == ["endpoint_slack", "routed_slack"]


def test_a_given_table_comes_first_and_pins_are_found_however_they_are_escaped(
    sources: ExportSources, tmp_path: Path
) -> None:
    header, *lines = _text(sources, PLACED).splitlines()
    pin = next(line.rsplit(",", 2)[0] for line in lines if "/" in line)
    bare = pin.replace("_", "\\_", 1)
    table = written(tmp_path / "mine.csv", f"{header}\n{bare},0.25,\n")
    export_design(replace(sources, endpoint_slack=table), tmp_path / "d")
    found = read_stored_endpoints(open_design(tmp_path / "d"))
    assert found is not None
    assert found.pin == (bare,)
    assert found.slack_ns.tolist() == [0.25]
    assert found.routed_ns.tolist() == [_slacks(sources, ROUTED)[pin]]


def test_slacks_of_another_design_are_refused_with_their_line(sources: ExportSources, tmp_path: Path) -> None:
    text = _text(sources, PLACED)
    first = text.splitlines()[1].rsplit(",", 2)[0]
    for bad in ("nobody/D", "nobody", f"{first}/D" if "/" not in first else f"{first}Q"):
        table = written(tmp_path / "t.csv", text + f"{bad},0.1,\n")
        says = f't.csv:{len(text.splitlines()) + 1}: endpoint "{bad}" is no pin'
        with pytest.raises(InputError, match=re.escape(says)):
            export_design(replace(sources, endpoint_slack=table), tmp_path / "d")
    with pytest.raises(InputError, match="has no endpoint"):
        export_design(replace(sources, endpoint_slack=written(tmp_path / "t.csv", "pin,slack_ns\n")), tmp_path / "d")
    assert not (tmp_path / "d").exists()


def _relabelled(sources: ExportSources, folder: Path, **texts: str) -> ExportSources:
    assert sources.labels is not None
    shutil.copytree(sources.labels, folder)
    for name, text in texts.items():
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    return replace(sources, labels=folder, def_=folder / sources.def_.name)


def test_what_labels_lack_is_masked_and_said(sources: ExportSources, tmp_path: Path) -> None:
    placed = _text(sources, PLACED)
    manifest = export_design(_relabelled(sources, tmp_path / "a", endpoints_place="pin,slack_ns\n"), tmp_path / "ad")
    assert manifest["endpoints"] == {"count": 0, "why": "endpoints_place.csv.gz of the labels is empty"}
    assert read_stored_endpoints(open_design(tmp_path / "ad")) is None
    half = "\n".join(_text(sources, ROUTED).splitlines()[:4])
    manifest = export_design(_relabelled(sources, tmp_path / "b", endpoints_grt=half), tmp_path / "bd")
    assert manifest["endpoints"]["labelled"] == 3
    manifest = export_design(_relabelled(sources, tmp_path / "c", endpoints_grt=placed), tmp_path / "cd")
    assert manifest["endpoints"]["labelled"] == 0
    assert "set_wire_rc" in manifest["warnings"][-1]
    rows = [line.rsplit(",", 2) for line in placed.splitlines()[1:]]
    in_ps = "\n".join(["pin,slack_ns,clock", *(f"{pin},{1000 * float(ns):g},{clock}" for pin, ns, clock in rows)])
    manifest = export_design(_relabelled(sources, tmp_path / "e", endpoints_place=in_ps), tmp_path / "ed")
    assert "in ps?" in manifest["warnings"][-1]
    manifest = export_design(replace(sources, lib=[]), tmp_path / "f")
    assert manifest["warnings"] == []
    assert "without Liberty" in manifest["endpoints"]["why"]
    given = written(tmp_path / "t.csv", placed)
    manifest = export_design(replace(sources, lib=[], endpoint_slack=given), tmp_path / "h")
    assert "without Liberty" in manifest["warnings"][-1]
    for name in (PLACED, ROUTED):
        (tmp_path / "a" / f"{name}.gz").unlink()
    assert "endpoints" not in export_design(replace(sources, labels=tmp_path / "a"), tmp_path / "g")


def test_the_command_takes_the_table(sources: ExportSources, tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv", "pin,slack_ns\nnobody/D,1\n")
    given = ["--lef", *sources.lef, "--labels", sources.labels, "--endpoint-slack", table, "--out", tmp_path / "d"]
    run = CliRunner().invoke(main, ["export", *map(str, given)])
    assert run.exit_code == 2
    assert f'{table}:2: endpoint "nobody/D"' in run.stderr


def test_a_stored_table_that_does_not_fit_is_refused(export: Path, tmp_path: Path) -> None:
    shutil.copytree(export, tmp_path / "d")
    path = tmp_path / "d" / f"{TABLE}.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "inst", pa.array([10**6] * len(table), pa.int32())), path)
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text())
    manifest["files"][path.name] = sha256_of_file(path)
    (tmp_path / "d" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="no pin of the design"):
        read_stored_endpoints(open_design(tmp_path / "d"))


# Delays of paths

TILE_UM = 3.0


def chain(edges: list[tuple[int, list[int]]], places: list[int], *, ends: tuple[int, ...]) -> CircuitGraph:
    """A graph on one row of gcells: of each net the driving inst and the insts it drives; `ends` are sequential."""
    rows = sorted((net, inst, i == 0) for net, (source, to) in enumerate(edges) for i, inst in enumerate([source, *to]))
    net, inst, drives = (np.array(column_, np.int32) for column_ in zip(*rows, strict=True))
    n, nets = len(places), len(edges)
    one = synthetic_graph(0, nx=max(places) + 1, ny=1, insts=n, nets=nets, pins=len(net))
    cell = np.array(places, np.int32)
    inst_features, pin_features = 0 * one.inst_features, 0 * one.pin_features
    inst_features[list(ends), column(INST_FEATURES, "is_sequential")] = 1
    pin_features[:, column(PIN_FEATURES, "is_driver")] = drives
    box = [[min(c := [places[i] for i in (s, *to)]), 0, max(c), 0] for s, to in edges]
    return replace(
        one, inst_gcell=cell, pin_inst=inst, pin_net=net, pin_gcell=cell[inst], net_box=np.array(box, np.int32),
        inst_features=inst_features, pin_features=pin_features,
    )  # fmt: skip


def _tables(kohm: list[float], cap_ff: list[float]) -> dict[str, pa.Table]:
    return {"insts": pa.table({"drive_kohm": kohm}), "nets": pa.table({"pin_cap_ff": cap_ff})}


def test_the_delay_of_a_chain_by_hand() -> None:
    edges = [(0, [1]), (1, [2, 4]), (2, [3])]
    graph = chain(edges, [0, 4, 4, 9, 1], ends=(0, 3, 4))
    kohm, caps = [2.0, 1.0, 3.0, 1.0, 1.0], [5.0, 10.0, 4.0]
    end = np.flatnonzero((graph.pin_inst == 3) & (graph.pin_net == 2))
    found = path_delays(graph, end, **_tables(kohm, caps), tile_um=TILE_UM)
    assert found is not None
    length = [4 * TILE_UM, 3 * TILE_UM, 5 * TILE_UM]
    apart = [4 * TILE_UM, 0, 5 * TILE_UM]
    wire_ff = [WIRE_FF_PER_UM * um for um in length]
    resistance = 1e-3 * 2 * RESISTIVITY_OHM_UM / (TILE_UM / 15) ** 2
    drive = sum(r * c for r, c in zip(kohm[:3], wire_ff, strict=True)) * 1e-3
    wire = sum(0.5 * resistance * um * (w + c) for um, w, c in zip(apart, wire_ff, caps, strict=True)) * 1e-3
    loads = [r * c * 1e-3 for r, c in zip(kohm[:3], caps, strict=True)]
    assert found.gate_ns == pytest.approx(np.median(loads))
    assert found.drive_ns[0] == pytest.approx(drive)
    assert found.wire_ns[0] == pytest.approx(wire)
    assert found.stages[0] == 3
    assert found.arrival_ns[0] == pytest.approx(drive + wire + sum(loads) + 3 * found.gate_ns)


def test_the_latest_of_several_paths_counts_and_loops_end() -> None:
    edges = [(0, [3]), (1, [2]), (2, [3]), (3, [4, 5]), (5, [6]), (6, [5, 7])]  # 5 and 6 are a loop
    graph = chain(edges, [0, 0, 0, 0, 0, 0, 0, 0], ends=(0, 1, 4, 7))
    tables = _tables([1.0] * 8, [1.0] * 6)
    ends = np.array([np.flatnonzero((graph.pin_inst == i) & (graph.pin_net == n))[0] for i, n in ((4, 3), (7, 5))])
    found = path_delays(graph, ends, **tables, tile_um=TILE_UM)
    assert found is not None
    assert found.stages.tolist() == [3, 5]  # by way of 1 and 2, not 0
    assert found.arrival_ns.tolist() == pytest.approx([3 * 2e-3, 5 * 2e-3])
    assert path_delays(graph, ends, **_tables([np.nan] * 8, [np.nan] * 6), tile_um=TILE_UM) is None
    bare = {"insts": pa.table({"name": ["x"] * 8}), "nets": pa.table({"name": ["n"] * 6})}
    assert path_delays(graph, ends, **bare, tile_um=TILE_UM) is None


def test_arrivals_are_those_of_a_plain_longest_path(export: Path) -> None:
    """Each arrival is the latest of its predecessors' and what lies between, by plain loops over a real design."""
    design = open_design(export)
    graph = design.graph
    given = {"insts": design.insts, "nets": design.nets, "tile_um": design.manifest["grid"]["tile_um"]}
    every = np.arange(graph.num_pins)
    found = path_delays(graph, every, **given)
    assert found is not None
    drives = graph.pin_features[:, column(PIN_FEATURES, "is_driver")] > 0
    begins = (
        graph.inst_features[:, [column(INST_FEATURES, n) for n in ("is_sequential", "is_macro", "is_port")]] > 0
    ).any(1)
    kohm, caps = (
        np.nan_to_num(design.insts["drive_kohm"].to_numpy()),
        np.nan_to_num(design.nets["pin_cap_ff"].to_numpy()),
    )
    driver_of = dict(zip(graph.pin_net[drives].tolist(), graph.pin_inst[drives].tolist(), strict=True))
    inputs: dict[int, list[int]] = {}
    for pin in np.flatnonzero(~drives).tolist():
        inputs.setdefault(int(graph.pin_inst[pin]), []).append(pin)
    checked = 0
    for pin in np.flatnonzero(~drives).tolist():
        net = int(graph.pin_net[pin])
        source = driver_of.get(net)
        if source is None:
            continue
        before = (
            0.0 if begins[source] else max((float(found.arrival_ns[p]) for p in inputs.get(source, [])), default=0.0)
        )
        if graph.net_box[net, 0] < graph.net_box[net, 2] or graph.net_box[net, 1] < graph.net_box[net, 3]:
            continue  # wires of other nets are checked by hand above
        expected = before + kohm[source] * caps[net] * 1e-3 + found.gate_ns
        assert found.arrival_ns[pin] == pytest.approx(expected, rel=1e-9)
        checked += 1
    assert checked > 20
