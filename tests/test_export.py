"""Flow files to an export folder and back, and what happens to files that do not belong together."""

import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from test_gcells import lef_files

from circuit_io.atomic import new_folder, write_files
from circuit_io.design import read_design
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import (
    ExportSources,
    parse_adjustment,
    parse_layer_range,
    sources_of_hook,
    sources_of_labels,
)
from circuit_io.features import build_graph
from circuit_io.gcells import make_grid
from circuit_io.labels import find
from circuit_io.netlist_check import check_netlist
from circuit_io.nodes import select_nodes
from circuit_io.router_demand import demand_of
from circuit_io.router_features import with_router
from circuit_io.router_supply import layers_of, supply_of
from circuit_io.store import open_design, write_arrays
from circuit_io.text import read_bytes

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def sources(kit: Path) -> ExportSources:
    """The smallest layout of the kit, with labels and Liberty."""
    lef = [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]
    return sources_of_labels(
        kit / "labels" / "gsr45" / "crc_bank" / "v0", lef=lef, lib=[kit / "tech" / "gsr45_typ.lib"]
    )


@pytest.fixture(scope="module")
def exported(sources: ExportSources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its export folder."""
    out = tmp_path_factory.mktemp("export") / "crc_bank"
    manifest = export_design(sources, out)
    assert manifest == json.loads((out / "manifest.json").read_text())
    return out


def test_an_export_reads_back_as_it_was_built(sources: ExportSources, exported: Path) -> None:
    stored = open_design(exported)
    design = read_design(sources.lef, sources.def_, lib=sources.lib)
    grid = make_grid(design.die_dbu, design.layers, signal_layers=sources.signal_layers)
    adjustment = dict.fromkeys([k.name for k in grid.layers], sources.layer_adjustment["*"])
    bare, nodes = build_graph(design, grid, adjustment)
    bare = replace(bare, layers=layers_of(design, grid, supply_of(design, grid, adjustment)))
    graph, of_router = with_router(bare, demand_of(bare))
    assert stored.manifest["router"] == of_router
    for name in ("inst_gcell", "pin_inst", "pin_net", "pin_gcell", "net_box", "inst_features", "gcell_features"):
        np.testing.assert_array_equal(getattr(stored.graph, name), getattr(graph, name))
    assert stored.graph.layers is not None
    assert graph.layers is not None
    assert stored.graph.layers.lowest == graph.layers.lowest == 1
    for name in ("along_x", "room", "pin_layer"):
        np.testing.assert_array_equal(getattr(stored.graph.layers, name), getattr(graph.layers, name))
    counts = stored.manifest["counts"]
    assert counts["insts"] == len(nodes.inst) == 901
    assert counts["ports"] == 70
    assert counts["physical_insts"] > 0  # the kit's taps are told apart by their LEF class
    assert stored.labels is not None
    assert 0.1 < np.nanmean(stored.labels.congestion_h) < 1.0
    assert stored.nets["name"].to_pylist() == design.net_names.tolist()
    place = stored.manifest["placement"]
    assert place["free_area_um2"] == pytest.approx(
        place["core_area_um2"] - place["movable_area_um2"] - place["fixed_area_um2"]
    )


def test_the_same_input_gives_the_same_bytes(sources: ExportSources, exported: Path, tmp_path: Path) -> None:
    export_design(sources, tmp_path / "again")
    for path in exported.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_an_existing_output_stays_unless_told(sources: ExportSources, exported: Path) -> None:
    before = (exported / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        export_design(sources, exported)
    assert (exported / "manifest.json").read_bytes() == before
    export_design(sources, exported, overwrite=True)


def _edited(sources: ExportSources, tmp_path: Path, change: tuple[bytes, bytes]) -> ExportSources:
    text = read_bytes(sources.def_)
    assert change[0] in text
    path = tmp_path / "edited.def"
    path.write_bytes(text.replace(*change, 1))
    return ExportSources(lef=sources.lef, def_=path, signal_layers=("M2", "M5"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"G45_XOR2_X1", b"G45_XOR3_X1"), r'master "G45_XOR3_X1" is in no LEF file[\s\S]*Did you mean'),
        ((b"TRACKS", b"# TRACKS"), "never"),
        ((b"END DESIGN", b""), "END DESIGN"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    sources: ExportSources, tmp_path: Path, change: tuple[bytes, bytes], message: str
) -> None:
    if message == "never":  # one pattern of tracks fewer is a matter of the router, not of the reader
        export_design(_edited(sources, tmp_path, change), tmp_path / "out")
        return
    with pytest.raises(InputError, match=message):
        export_design(_edited(sources, tmp_path, change), tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["edited.def"]  # nothing half-written


def test_an_unplaced_inst_is_named(sources: ExportSources, tmp_path: Path) -> None:
    text = read_bytes(sources.def_)
    first = re.search(rb"- (\S+) (\S+)[^;]*?\+ PLACED \( \d+ \d+ \) \w+", text)
    assert first is not None
    bare = first.group(0)[: first.group(0).index(b"+ PLACED")] + b"+ UNPLACED"
    with pytest.raises(InputError, match=re.escape(first.group(1).decode())):
        export_design(_edited(sources, tmp_path, (first.group(0), bare)), tmp_path / "out")


def test_labels_of_other_signal_layers_are_refused(sources: ExportSources, tmp_path: Path) -> None:
    wrong = ExportSources(lef=sources.lef, def_=sources.def_, labels=sources.labels, signal_layers=("M2", "M3"))
    with pytest.raises(InputError, match="the router used layers M2"):
        export_design(wrong, tmp_path / "out")


def test_a_damaged_export_is_refused_with_its_file(exported: Path, sources: ExportSources, tmp_path: Path) -> None:
    export_design(sources, tmp_path / "e")
    graph = tmp_path / "e" / "graph.safetensors"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(InputError, match=r'"graph.safetensors" has changed'):
        open_design(tmp_path / "e")
    with pytest.raises(InputError, match="cannot be read"):
        open_design(tmp_path / "e", verify=False)
    manifest = json.loads((exported / "manifest.json").read_text())
    (tmp_path / "e" / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    with pytest.raises(InputError, match="newer"):
        open_design(tmp_path / "e")


def test_a_hook_file_gives_the_same_export(sources: ExportSources, exported: Path, tmp_path: Path) -> None:
    hook = {
        "schema": "gsr-hook", "schema_version": 1, "run_id": "r", "stage": "place", "design": "crc_bank",
        "platform": "gsr45", "def": str(sources.def_), "lefs": [str(p) for p in sources.lef],
        "libs": [str(p) for p in sources.lib], "signal_layers": list(sources.signal_layers or ()),
        "layer_adjustment": {f"M{i}": sources.layer_adjustment["*"] for i in range(1, 9)},
    }  # fmt: skip
    path = tmp_path / "hook.json"
    path.write_text(json.dumps(hook))
    export_design(sources_of_hook(path), tmp_path / "out")
    assert (tmp_path / "out" / "graph.safetensors").read_bytes() == (exported / "graph.safetensors").read_bytes()
    for bad, message in [({"schema": "x"}, "gsr-hook"), (hook | {"lefs": 3}, "wrong kind")]:
        path.write_text(json.dumps(bad))
        with pytest.raises(InputError, match=message):
            sources_of_hook(path)


def test_a_netlist_of_another_design_is_refused(sources: ExportSources, kit: Path, tmp_path: Path) -> None:
    for name, fits in (("crc_bank", True), ("fir8", False)):
        netlist = kit / "netlists" / f"{name}.v.gz"
        these = ExportSources(lef=sources.lef, def_=sources.def_, verilog=netlist, signal_layers=sources.signal_layers)
        if fits:
            export_design(these, tmp_path / name)
        else:
            with pytest.raises(InputError, match=r"has no module \"crc_bank\", the design of placed\.def\.gz"):
                export_design(these, tmp_path / name)


def test_labels_that_do_not_fit_are_refused_before_the_router_runs(
    sources: ExportSources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_router(*_: object, **__: object) -> None:
        raise AssertionError("routed for nothing")

    monkeypatch.setattr("circuit_io.export.with_router", with_router)
    with pytest.raises(InputError):
        export_design(replace(sources, signal_layers=("M2", "M3")), tmp_path / "out")


def test_a_folder_is_replaced_whatever_a_kill_has_left_and_by_several_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("circuit_io.atomic._umask", lambda: 0o022)  # a process has one, and here are threads
    target = tmp_path / "x"
    left = tmp_path / f".x.{os.getpid()}.old"
    left.mkdir()
    (left / "file").touch()
    refused: list[InputError] = []

    def write(number: int) -> None:
        try:
            with new_folder(target, schema="s", overwrite=True) as work:
                (work / "manifest.json").write_text(json.dumps({"schema": "s", "number": number}))
        except InputError as e:  # another one's stands there
            refused.append(e)

    write(0)
    write(1)
    assert json.loads((target / "manifest.json").read_text())["number"] == 1
    assert not refused
    target.rename(tmp_path / "elsewhere")
    target.symlink_to("elsewhere")  # a link is replaced, what it leads to stays
    write(2)
    assert not refused
    assert [json.loads((p / "manifest.json").read_text())["number"] for p in (target, tmp_path / "elsewhere")] == [2, 1]
    shutil.rmtree(tmp_path / "elsewhere")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(200)))
    assert len(refused) < 200
    assert json.loads((target / "manifest.json").read_text())["schema"] == "s"
    assert sorted(p.name for p in tmp_path.iterdir()) == [left.name, "x"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: write_files({tmp_path / "y": f"{n}"}, overwrite=True), range(200)))
    assert (tmp_path / "y").read_text().isdecimal()
    assert (tmp_path / "y").stat().st_mode & 0o777 == 0o644


def test_the_options_of_the_command_line_are_checked() -> None:
    assert parse_layer_range("met1-met4") == ("met1", "met4")
    assert parse_adjustment("0.3") == {"*": 0.3}
    assert parse_adjustment("met1=0.8,met2=0.5") == {"met1": 0.8, "met2": 0.5}
    for wrong in ("met1", "-met4", "met1-"):
        with pytest.raises(InputError, match="no layer range"):
            parse_layer_range(wrong)
    for wrong in ("x", "1.5", "nan", "-0.1", "0.3,0.4", "=0.3", "a=b", "a=0.1,b=0.2,a=0.3"):
        with pytest.raises(InputError, match="no adjustment"):
            parse_adjustment(wrong)


def a_reached_tap_is_a_node(sources: ExportSources, folder: Path) -> None:
    """A tap with a signal pin, on a net: a node with its pin; the netlist need not know it, as it is no logic."""
    text, cells = read_bytes(sources.def_), read_bytes(sources.lef[-1])
    tap = b"MACRO G45_TAP\n  CLASS CORE WELLTAP ;\n"
    net = b"- _0000_ ( _1513_ Q )"
    assert (tap in cells) + (net in text) == 2
    port = b"  PIN A\n DIRECTION INPUT ;\n PORT\n LAYER M1 ;\n RECT 0.1 0.6 0.2 0.8 ;\n END\n END A\n"
    lef, def_ = folder / "cells.lef", folder / "reached.def"
    lef.write_bytes(cells.replace(tap, tap + port))
    def_.write_bytes(text.replace(net, net + b" ( PHY_EDGE_ROW_0_Left_34 A )"))
    design = read_design([*sources.lef[:-1], lef], def_)
    assert design.masters.is_physical[design.masters.names.find("G45_TAP")]
    nodes = select_nodes(design)
    names = list(design.inst_names.take(nodes.inst))
    assert [n for n in names if n.startswith("PHY_")] == ["PHY_EDGE_ROW_0_Left_34"]
    (pin,) = np.flatnonzero(design.pin_inst == design.inst_names.find("PHY_EDGE_ROW_0_Left_34"))
    assert names[nodes.of_pin[pin]] == "PHY_EDGE_ROW_0_Left_34"
    assert nodes.of_pin.min() >= 0
    assert check_netlist(design, ROOT / "demos" / "kit" / "netlists" / "crc_bank.v.gz")[1] == []


def test_a_physical_inst_that_a_signal_reaches_is_a_node(sources: ExportSources, tmp_path: Path) -> None:
    a_reached_tap_is_a_node(sources, tmp_path)


def test_without_liberty_its_features_are_masked_not_magic(sources: ExportSources, tmp_path: Path) -> None:
    bare = ExportSources(lef=sources.lef, def_=sources.def_, signal_layers=sources.signal_layers)
    export_design(bare, tmp_path / "out")
    from circuit_io.fields import INST_FEATURES, column

    graph = open_design(tmp_path / "out").graph
    for name in ("has_liberty", "drive", "input_cap", "is_sequential", "is_buffer"):
        assert not graph.inst_features[:, column(INST_FEATURES, name)].any(), name


def test_pins_go_to_the_routers_gcells(gsr_data: Path) -> None:
    """RSMT on gcells plus straight segments gives most routed lengths to the digit (research: median error 0)."""
    folder = gsr_data / "labels" / "nangate45" / "gcd" / "v0"
    tech = lef_files(gsr_data / "pdk" / "nangate45" / "lef")
    sources = sources_of_labels(folder, lef=tech)
    design = read_design(sources.lef, sources.def_)
    grid = make_grid(design.die_dbu, design.layers, signal_layers=sources.signal_layers)
    graph, _ = build_graph(design, grid, {})
    lengths = {}
    for line in read_bytes(find(folder, "wire_length.csv")).splitlines():
        words = line.split()
        if words and words[0] == b"grt:":
            lengths[words[1]] = float(words[2])
    tile = grid.tile_dbu / design.dbu_per_um
    degree = np.bincount(graph.pin_net, minlength=graph.num_nets)
    exact = total = 0
    for i, name in enumerate(design.net_names.raw_list()):
        x0, y0, x1, y1 = graph.net_box[i].tolist()
        if degree[i] == 2 and name in lengths:
            dx, dy = x1 - x0, y1 - y0
            want = (dx + dy + (dx > 0) + (dy > 0)) * tile
            total += 1
            exact += abs(lengths[name] - want) < 0.06  # the report has one digit
    assert total > 100
    assert exact / total > 0.9


def test_arrays_are_written_as_the_library_writes_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    arrays = {f"{kind}_{n}": (100 * rng.random((n, 3))).astype(kind) for n in (0, 5) for kind in
              ("int64", "int32", "float64", "float32", "bool", "int8", "uint8")}  # fmt: skip
    write_arrays(tmp_path / "a.safetensors", arrays)
    assert (tmp_path / "a.safetensors").read_bytes() == save(arrays)


def test_a_blockage_counts_by_its_density_and_what_is_out_of_the_core_is_not_taken_from_it(
    sources: ExportSources, exported: Path, tmp_path: Path
) -> None:
    before = json.loads((exported / "manifest.json").read_text())["placement"]
    design = read_design(sources.lef, sources.def_)
    (x1, y1, x2, y2), (_, _, right, top) = design.core_dbu, design.die_dbu
    assert x1 + 4000 < x2
    assert (x2, y2) != (right, top)
    boxes = ((x1, y1, x1 + 4000, y1 + 4000), (x2, y2, right, top))
    kinds = ("+ SOFT + PARTIAL 60", "")
    lines = [f"- PLACEMENT {k} RECT ( {a} {b} ) ( {c} {d} ) ;" for k, (a, b, c, d) in zip(kinds, boxes, strict=True)]
    text = "\n".join(["BLOCKAGES 2 ;", *lines, "END BLOCKAGES", "END DESIGN"])
    changed = _edited(sources, tmp_path, (b"END DESIGN", text.encode()))
    after = export_design(replace(changed, router_runs=0), tmp_path / "out")["placement"]
    more = 0.4 * (4000 / design.dbu_per_um) ** 2
    assert after["fixed_area_um2"] == pytest.approx(before["fixed_area_um2"] + more)
    assert after["free_area_um2"] == pytest.approx(before["free_area_um2"] - more)
