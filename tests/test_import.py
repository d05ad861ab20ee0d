"""Designs of other data sets: CircuitOps' tables there and back, CircuitNet's folders, and what is refused."""

import csv
import gzip
import json
import os
import pickle
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from test_cli import SMALL, bad, good

from circuit_io.circuitnet import import_circuitnet
from circuit_io.circuitops_read import import_circuitops
from circuit_io.circuitops_write import to_circuitops
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.fields import GCELL_FEATURES, INST_FEATURES, NET_FEATURES, NET_ROUTER_FEATURES, PIN_FEATURES, names
from circuit_io.npy import read_array
from circuit_io.store import StoredDesign, open_design
from gsr_plugin.dataset import Loader, find_designs
from gsr_plugin.normaliser import MASKED_BY, fit_normaliser

LAYOUT = "12-toy-core-a-1-c2-u0.8-m1-p1-f0"
NO_LIBERTY = {"has_liberty", "drive", "input_cap", "driver", "has_cap"}
NO_LAYERS = {"layers_h", "layers_v", "router_runs", *MASKED_BY["gcell"]}


@pytest.fixture(scope="module")
def tables(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[StoredDesign, Path, StoredDesign]:
    """The smallest layout of the kit, its tables in CircuitOps' columns, and what is imported from them."""
    out = tmp_path_factory.mktemp("circuitops")
    tech = kit / "tech"
    lef = [tech / "gsr45_tech.lef", tech / "gsr45_cells.lef"]
    labels = kit / "labels" / "gsr45" / "crc_bank" / "v0"
    export_design(sources_of_labels(labels, lef=lef, lib=[tech / "gsr45_typ.lib"]), out / "d", parquet=True)
    to_circuitops(out / "d", out / "tables")
    good("import", "circuitops", out / "tables", "--out", out / "back", "--quiet")
    return open_design(out / "d"), out / "tables", open_design(out / "back")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as f:
        return list(csv.DictReader(f, skipinitialspace=True, quoting=csv.QUOTE_NONE))


def test_circuitops_tables_come_back_with_names_pins_places_and_lengths(
    tables: tuple[StoredDesign, Path, StoredDesign],
) -> None:
    there, _, back = tables
    a, b = there.graph, back.graph
    for name in ("nx", "ny", "inst_gcell", "pin_inst", "pin_net", "pin_gcell", "net_box"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    lost = ["orient", "drive_kohm", "function_class", "input_cap_ff"]  # the last three are Liberty's
    assert back.insts.drop_columns(lost) == there.insts.drop_columns(lost)
    assert back.insts["orient"].null_count == len(back.insts)
    assert back.nets.schema == there.nets.schema
    assert back.nets.drop_columns("pin_cap_ff") == there.nets.drop_columns("pin_cap_ff")
    assert there.labels is not None
    assert back.labels is not None
    np.testing.assert_allclose(back.labels.net_length_um, there.labels.net_length_um, rtol=1e-6)
    assert np.isnan(back.labels.congestion_h).all()
    for key in ("design", "die_um", "dbu_per_um", "grid"):
        assert back.manifest[key] == there.manifest[key], key
    assert back.manifest["imported_from"] == "circuitops"


@pytest.mark.parametrize(
    ("kind", "fields", "missing"),
    [
        ("inst", INST_FEATURES, NO_LIBERTY),
        ("net", NET_FEATURES, {*NO_LIBERTY, *names(NET_ROUTER_FEATURES)}),
        ("pin", PIN_FEATURES, NO_LIBERTY),
        ("gcell", GCELL_FEATURES, {*NO_LAYERS, "fixed_area", "density"}),  # taps are no nodes, so they have no row
    ],
)
def test_features_come_back_but_for_those_that_are_masked(
    tables: tuple[StoredDesign, Path, StoredDesign], kind: str, fields: tuple, missing: set[str]
) -> None:
    there, _, back = tables
    a, b = (getattr(d.graph, f"{kind}_features") for d in (there, back))
    for i, name in enumerate(names(fields)):
        if name not in missing:
            np.testing.assert_allclose(b[:, i], a[:, i], atol=2e-6, err_msg=name)
        elif name not in ("fixed_area", "density", "has_cap"):
            assert not b[:, i].any(), name


def test_an_input_pin_has_its_capacitance_after_the_round_trip(
    tables: tuple[StoredDesign, Path, StoredDesign],
) -> None:
    there, _, back = tables
    taken = there.graph.pin_features[:, names(PIN_FEATURES).index("cap")] > 0
    assert taken.any()
    assert (back.graph.pin_features[taken, names(PIN_FEATURES).index("has_cap")] == 1).all()


def test_all_ten_tables_have_circuitops_columns(tables: tuple[StoredDesign, Path, StoredDesign]) -> None:
    heads = {p.stem: p.read_text(encoding="utf-8").splitlines()[0] for p in tables[1].iterdir()}
    edge = "src,tar,src_type,tar_type"
    assert heads == {
        "cell_properties": "cell_name,is_seq,is_macro,is_in_clk,x0,y0,x1,y1,is_filler,is_buf,is_inv,libcell_name,"
        "cell_static_power,cell_dynamic_power",
        "pin_properties": "pin_name,x,y,is_in_clk,is_port,is_startpoint,is_endpoint,dir,maxcap,maxtran,"
        "num_reachable_endpoint,cell_name,net_name,pin_tran,pin_slack,pin_rise_arr,pin_fall_arr,input_pin_cap",
        "net_properties": "net_name,net_route_length,net_steiner_length,fanout,total_cap,net_cap,net_coupling,net_res",
        "libcell_properties": "libcell_name,func_id,libcell_area,worst_input_cap,libcell_leakage,fo4_delay,"
        "fix_load_delay",
        "design_properties": "design_name, die_width, die_height, die_area, core_width, core_height, core_area, "
        "insts_count, net_count, total_static_power, total_dynamic_power, dbu_per_um, die_x_um, die_y_um, gcell_um",
        **dict.fromkeys(("cell_pin_edge", "cell_net_edge", "net_pin_edge", "cell_cell_edge"), edge),
        "pin_pin_edge": f"{edge},is_net,arc_delay",
    }


def test_edge_tables_join_what_the_property_tables_hold(tables: tuple[StoredDesign, Path, StoredDesign]) -> None:
    _, folder, _ = tables
    pins = rows(folder / "pin_properties.csv")
    known = {
        kind: {r[f"{kind}_name"] for r in rows(folder / f"{kind}_properties.csv")} for kind in ("cell", "net", "pin")
    }
    for name in ("cell_pin_edge", "cell_net_edge", "net_pin_edge", "cell_cell_edge", "pin_pin_edge"):
        for r in rows(folder / f"{name}.csv"):
            assert r["src"] in known[r["src_type"]], (name, r)
            assert r["tar"] in known[r["tar_type"]], (name, r)
    of_cell = [p for p in pins if p["cell_name"]]
    wanted = Counter((p["cell_name"], p["pin_name"]) if p["dir"] == "1" else (p["pin_name"], p["cell_name"])
                     for p in of_cell)  # fmt: skip
    assert Counter((r["src"], r["tar"]) for r in rows(folder / "cell_pin_edge.csv")) == wanted
    drives, takes = {}, {}
    for p in pins:
        is_driver = (p["dir"] == "1") == (p["is_port"] == "0")
        (drives if is_driver else takes).setdefault(p["net_name"], []).append(p)
    pairs = [(d, t) for net, ds in drives.items() for d in ds for t in takes.get(net, [])]
    found = [r for r in rows(folder / "pin_pin_edge.csv") if r["is_net"] == "1"]
    assert Counter((r["src"], r["tar"]) for r in found) == Counter((d["pin_name"], t["pin_name"]) for d, t in pairs)
    cells = Counter((d["cell_name"], t["cell_name"]) for d, t in pairs if d["cell_name"] and t["cell_name"])
    assert Counter((r["src"], r["tar"]) for r in rows(folder / "cell_cell_edge.csv")) == cells
    sequential = {r["cell_name"] for r in rows(folder / "cell_properties.csv") if r["is_seq"] == "1"}
    inside = [r for r in rows(folder / "pin_pin_edge.csv") if r["is_net"] == "0"]
    assert inside
    assert not sequential & {r["src"].split("/")[0] for r in inside}


def test_what_is_not_known_is_empty(tables: tuple[StoredDesign, Path, StoredDesign]) -> None:
    first = rows(tables[1] / "pin_properties.csv")[0]
    assert {first[k] for k in ("maxcap", "maxtran", "pin_slack", "is_startpoint", "pin_rise_arr")} == {""}
    assert {r["arc_delay"] for r in rows(tables[1] / "pin_pin_edge.csv")} == {""}
    text = "".join(p.read_text(encoding="utf-8") for p in tables[1].iterdir())
    assert ",-1" not in text


def test_tables_need_an_export_with_parquet_and_stay_unless_told(
    tables: tuple[StoredDesign, Path, StoredDesign], tmp_path: Path
) -> None:
    there, folder, back = tables
    with pytest.raises(InputError, match=r"no pins.parquet[\s\S]*--parquet"):
        to_circuitops(back.path, tmp_path)
    with pytest.raises(InputError, match="exists already"):
        to_circuitops(there.path, folder)
    to_circuitops(there.path, folder, overwrite=True)


CELLS = """cell_name,is_seq,is_macro,is_in_clk,x0,y0,x1,y1,is_filler,is_buf,is_inv,libcell_name,cell_static_power
u1,0,0,0,1000,1000,2000,2400,0,0,1,INV_X1,0.0
u\\[2\\],0,0,0,2000,1000,4000,2400,0,1,0,BUF_X1,0.0
r1,1,0,1,4000,1000,9000,2400,0,0,0,DFF_X1,0.0
FILLER_1,0,0,0,9000,1000,19000,2400,1,0,0,FILL_X8,0.0
"""
PINS = (
    "pin_name,x,y,is_in_clk,is_port,is_startpoint,is_endpoint,dir,maxcap,maxtran,num_reachable_endpoint,"
    "cell_name,net_name,pin_tran,pin_slack,pin_rise_arr,pin_fall_arr,input_pin_cap\n"
    """u1/A,1200,1500,0,-1,0,0,0,0.0,1e-10,0,u1,a,1e-11,1e-11,1e-11,1e-11,1e-15
u1/ZN,1800,1500,0,-1,0,0,1,1e-13,1e-10,0,u1,b,1e-11,1e-11,1e-11,1e-11,-1
u\\[2\\]/A,2200,1500,0,-1,0,0,0,0.0,1e-10,0,u\\[2\\],b,1e-11,1e-11,1e-11,1e-11,3e-15
u\\[2\\]/Z,3800,1500,0,-1,0,0,1,0.0,1e-10,0,u\\[2\\],NA,1e-11,1e-11,1e-11,1e-11,-1
r1/D,4200,1500,0,-1,0,1,0,0.0,1e-10,0,r1,b,1e-11,1e-11,1e-11,1e-11,2e-15
r1/CK,8000,1500,1,-1,0,0,0,0.0,1e-10,0,r1,clk,1e-11,1e-11,1e-11,1e-11,2e-15
"""
)
NETS = """net_name,net_route_length,net_steiner_length,fanout,total_cap,net_cap,net_coupling,net_res
a,500,-1,1,1e-15,0.1,0.0,10
b,3000,-1,2,1e-15,0.1,0.0,10
clk,0,-1,1,1e-15,0.1,0.0,10
"""
ABOUT = """design_name, die_width, die_height, die_area, core_width, core_height, core_area, insts_count, net_count
toy,10.0,10.0,100.0,9.0,8.0,72.0,4,3
"""


@pytest.fixture
def circuitops(tmp_path: Path) -> Path:
    """Tables as CircuitOps itself writes them: no unit, no gcell, no ports, -1 and NA for what there is not."""
    folder = tmp_path / "tables"
    folder.mkdir()
    for name, text in (("cell", CELLS), ("net", NETS), ("design", ABOUT)):
        (folder / f"{name}_properties.csv").write_text(text, encoding="utf-8")
    (folder / "pin_properties.csv.gz").write_bytes(gzip.compress(PINS.encode()))
    return folder


def test_tables_as_circuitops_writes_them_are_read(circuitops: Path, tmp_path: Path) -> None:
    out = tmp_path / "design"
    good("import", "circuitops", circuitops, "--gcell-um", 2.5, "--technology", "toy45", "--out", out, "--quiet")
    design = open_design(out)
    graph, manifest = design.graph, design.manifest
    assert manifest["dbu_per_um"] == 2000  # the insts span 18000 dbu, the core 9 um
    assert (graph.nx, graph.ny, manifest["technology"], manifest["family"]) == (4, 4, "toy45", "toy")
    assert design.insts["name"].to_pylist() == ["u1", "u\\[2\\]", "r1"]  # no filler
    assert list(zip(graph.pin_net.tolist(), graph.pin_inst.tolist(), strict=True)) == [
        (0, 0), (1, 0), (1, 1), (1, 2), (2, 2),
    ]  # fmt: skip
    assert design.nets["use"].to_pylist() == ["SIGNAL", "SIGNAL", "CLOCK"]
    column = {f.name: graph.inst_features[:, i].tolist() for i, f in enumerate(INST_FEATURES)}
    assert (column["is_sequential"], column["is_buffer"]) == ([0, 0, 1], [1, 1, 0])
    cap = {f.name: graph.pin_features[:, i].tolist() for i, f in enumerate(PIN_FEATURES)}
    assert cap["cap"] == pytest.approx([1, 0, 3, 2, 2])  # over the smallest inverter in use
    assert cap["has_cap"] == [1, 0, 1, 1, 1]
    assert cap["is_driver"] == [0, 1, 0, 0, 0]
    assert design.labels is not None
    np.testing.assert_allclose(design.labels.net_length_um, [0.25, 1.5, 0.0])
    assert manifest["core_um"] == [0.5, 1.0, 9.5, 9.0]  # its width is spanned, its height lies in the middle
    assert "1 checked, 0 bad" in good("check", out)


def test_a_design_that_was_not_routed_has_no_labels(circuitops: Path, tmp_path: Path) -> None:
    text = NETS.replace("a,500", "a,0").replace("b,3000", "b,0")
    (circuitops / "net_properties.csv").write_text(text, encoding="utf-8")
    import_circuitops(circuitops, tmp_path / "d", gcell_um=2.5)
    assert open_design(tmp_path / "d").labels is None
    assert "none with labels" in bad(2, "train", tmp_path / "d", "--out", tmp_path / "run")


def test_lengths_alone_are_refused_by_train_and_the_shipped_model_by_predict(circuitops: Path, tmp_path: Path) -> None:
    import_circuitops(circuitops, tmp_path / "d", gcell_um=2.5)
    assert "has no unmasked edge" in bad(2, "train", tmp_path / "d", *SMALL, "--out", tmp_path / "run", "--quiet")
    said = bad(2, "predict", tmp_path / "d", "--out", tmp_path / "p")
    assert "without routing layers" in said
    assert "trained on imports" in said
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("cell_properties.csv", None, r"no cell_properties.csv or cell_properties.csv.gz here"),
        ("cell_properties.csv", ("x0", "left"), r"cell_properties.csv:1: has no column x0"),
        ("cell_properties.csv", ("1000,1000,2000", "1000,north,2000"), "is no such table: .*north"),
        ("cell_properties.csv", ("u1,0,0,0,1000", "u1,0,0,0,"), "a cell has no place"),
        ("cell_properties.csv", ("u1,", "r1,"), "a cell_name is there twice"),
        ("net_properties.csv", ("b,3000", "c,3000"), r'pin_properties.csv.gz: 3 faults[\s\S]*:3: "b" is not in net'),
        ("design_properties.csv", ("9.0,8.0", "9.5,8.0"), r"no table says of which size[\s\S]*--dbu-per-um"),
        ("design_properties.csv", ("10.0,10.0", "0,10.0"), "tells no die_width"),
        ("design_properties.csv", ("10.0,10.0,", "10.0,"), "is not a header with one row"),
        ("design_properties.csv", ("10.0,10.0", "1.0,10.0"), "0 x 4 gcells"),
        ("design_properties.csv", ("9.0,8.0", "inf,8.0"), "tells no core_width"),
        ("cell_properties.csv", ("1000,1000,2000", "1e300,1000,2000"), "a cell has no place, or an impossible one"),
        ("cell_properties.csv", (CELLS[CELLS.index("u1") :], ""), "holds no cell"),
        ("net_properties.csv", ("b,3000", "b,1e300"), "a net is impossibly long"),
    ],
)
def test_circuitops_tables_that_do_not_fit_are_refused(
    circuitops: Path, tmp_path: Path, file: str, change: tuple[str, str] | None, message: str
) -> None:
    path = circuitops / file
    if change is None:
        path.unlink()
    else:
        text = path.read_text(encoding="utf-8")
        assert change[0] in text
        path.write_text(text.replace(*change, 1), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        import_circuitops(circuitops, tmp_path / "d", gcell_um=2.5)
    assert not (tmp_path / "d").exists()


def test_the_side_of_a_gcell_must_be_given(circuitops: Path, tmp_path: Path) -> None:
    assert "Give --gcell-um" in bad(2, "import", "circuitops", circuitops, "--out", tmp_path / "d")
    said = bad(2, "import", "circuitops", circuitops, "--name", "x", "--out", tmp_path / "d")
    assert "--name: is no option of circuitops" in said


def _objects(rows_: Sequence[Sequence[object]]) -> np.ndarray:
    out = np.empty((len(rows_), len(rows_[0])), object)
    for i, row in enumerate(rows_):
        for j, value in enumerate(row):
            out[i, j] = value
    return out


def write_circuitnet(folder: Path, layout: str = LAYOUT, *, num_insts: int = 60, side: int = 8, seed: int = 0) -> None:
    """A made-up layout in CircuitNet's form: one SRAM with a bus pin, cells, one of which has no place."""
    rng = np.random.default_rng(seed)
    netlist = layout.split("-u")[0].split("-", 1)[1]
    insts = ["mem", *(f"u{i}" for i in range(1, num_insts))]
    pins: list[tuple[str, object, int]] = [("Q", [0, 1, 2], 0)]
    for i in range(1, num_insts):
        pins += [("ZN", i % 20, i), ("A1", int(rng.integers(0, 20)), i)]
    attributes = {
        "node": _objects([insts, ["SRAM", *["ND2_x1_0"] * (num_insts - 1)]]),
        "net": _objects([[f"n{i}" for i in range(21)]]),  # the last one has no pin
        "pin": _objects([list(column) for column in zip(*pins, strict=True)]),
    }
    for kind, array in attributes.items():
        path = folder / "graph_information" / f"{kind}_attr" / f"{netlist}_{kind}_attr.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
    placed: dict[str, list[int]] = {"mem": [0, 0, 5, 5], "FE_OFC1": [7, 7, 7, 7]}  # a buffer that the netlist lacks
    for name in insts[1:-1]:
        x, y = (int(v) for v in rng.integers(0, side, 2))
        placed[name] = [x, y, min(x + 1, side - 1), y]
    where = folder / "instance_placement_gcell"
    where.mkdir(exist_ok=True)
    np.save(where / f"{layout}.npy", np.asarray(placed, object))


def write_maps(folder: Path, layout: str = LAYOUT, *, side: tuple[int, int] = (8, 8), util: bool = True) -> np.ndarray:
    """Label maps [x, y]; returns demand over tracks, horizontal, [y, x]."""
    demand = np.linspace(0.2, 1.4, side[0] * side[1]).reshape(side)
    for direction in ("horizontal", "vertical"):
        for kind, based, values in (
            ("util", "utilization_based", np.minimum(demand, 1)),
            ("overflow", "overflow_based", np.maximum(demand - 1, 0)),
        ):
            if kind == "util" and not util:
                continue
            path = folder / "routability_features" / "congestion" / "congestion_global_routing" / based
            path = path / f"congestion_GR_{direction}_{kind}" / f"{layout}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, values)
    return demand.T


def test_a_circuitnet_layout_is_read(tmp_path: Path) -> None:
    write_circuitnet(tmp_path)
    good("import", "circuitnet", tmp_path, "--out", tmp_path / "d", "--quiet")
    design = open_design(tmp_path / "d")
    graph, manifest = design.graph, design.manifest
    assert (manifest["design"], manifest["family"], manifest["variant"]) == ("toy-core-a-1-c2", "toy-core", LAYOUT)
    assert (manifest["grid"]["tile_um"], manifest["imported_from"], design.labels) == (2.25, "circuitnet", None)
    assert graph.num_insts == 59  # the last has no place, the buffer has no pins in the netlist
    assert graph.num_nets == 20
    assert graph.num_pins == 3 + 2 * 58
    mem = design.insts.filter(pa.compute.equal(design.insts["name"], "mem")).to_pylist()[0]
    assert mem["is_macro"]
    assert (mem["x_um"], mem["width_um"]) == (1.125, 5 * 2.25)
    assert sorted(graph.pin_net[graph.pin_inst == 0].tolist()) == [0, 1, 2]
    kinds = {name: str(design.insts.schema.field(name).type) for name in ("is_macro", "is_port", "orient", "status")}
    assert kinds == {"is_macro": "bool", "is_port": "bool", "orient": "string", "status": "string"}  # without a port
    assert "1 checked, 0 bad" in good("check", tmp_path / "d")


def test_labels_of_circuitnet_are_turned_and_added(tmp_path: Path) -> None:
    write_circuitnet(tmp_path)
    demand = write_maps(tmp_path, side=(9, 8))
    import_circuitnet(tmp_path, tmp_path / "d")
    design = open_design(tmp_path / "d")
    assert (design.graph.nx, design.graph.ny) == (9, 8)
    assert design.labels is not None
    h, v = design.labels.congestion_h, design.labels.congestion_v
    np.testing.assert_allclose(h[:, :-1], demand[:, :-1], rtol=1e-6)
    np.testing.assert_allclose(v[:-1], demand[:-1], rtol=1e-6)
    assert np.isnan(h[:, -1]).all()
    assert np.isnan(v[-1]).all()
    assert np.isnan(design.labels.overflow_h).all()  # shares are told, not tracks


def test_overflow_alone_is_taken_with_a_warning(tmp_path: Path) -> None:
    write_circuitnet(tmp_path)
    demand = write_maps(tmp_path, util=False)
    manifest = import_circuitnet(tmp_path, tmp_path / "d")
    assert any("no util maps" in w for w in manifest["warnings"])
    labels = open_design(tmp_path / "d").labels
    assert labels is not None
    np.testing.assert_allclose(labels.congestion_h[:, :-1], np.maximum(demand - 1, 0)[:, :-1], atol=1e-6)


def test_a_model_learns_from_imports_and_predicts_them_and_nothing_else(
    tmp_path: Path, tables: tuple[StoredDesign, Path, StoredDesign]
) -> None:
    for i, layout in enumerate((LAYOUT, LAYOUT.replace("12-toy", "13-other"))):
        write_circuitnet(tmp_path / "cn", layout, seed=i)
        write_maps(tmp_path / "cn", layout)
        good("import", "circuitnet", tmp_path / "cn", "--name", layout, "--out", tmp_path / "data" / str(i), "--quiet")
    good("train", tmp_path / "data", *SMALL, "--out", tmp_path / "run", "--quiet")
    good("predict", tmp_path / "data" / "0", "--weights", tmp_path / "run", "--out", tmp_path / "p", "--quiet")
    assert "1 checked, 0 bad" in good("check", tmp_path / "p")
    text = (tmp_path / "p" / "congestion_h.csv").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 1 + 8 * 8  # a value on every edge, though no capacity is known
    good("evaluate", tmp_path / "data", "--weights", tmp_path / "run", "--all", "--quiet")
    good("feedback", tmp_path / "p", "--out", tmp_path / "f.tsv", "--quiet")
    good("report", tmp_path / "p", "--feedback", tmp_path / "f.tsv", "--out", tmp_path / "r.html", "--quiet")
    said = bad(2, "predict", tables[0].path, "--weights", tmp_path / "run", "--out", tmp_path / "q")
    assert "is a design with routing layers, the model was trained without" in said


def test_exports_and_imports_are_normalised_together(
    tmp_path: Path, tables: tuple[StoredDesign, Path, StoredDesign]
) -> None:
    write_circuitnet(tmp_path)
    write_maps(tmp_path)
    import_circuitnet(tmp_path, tmp_path / "d")
    there, other = tables[0].path, open_design(tmp_path / "d").graph
    alone, both = (fit_normaliser(find_designs(roots), Loader()) for roots in ([there], [there, tmp_path / "d"]))
    for kind, fields in (("inst", INST_FEATURES), ("gcell", GCELL_FEATURES)):
        seen, unseen = both.features(tables[0].graph)[kind], both.features(other)[kind]
        for i, name in enumerate(names(fields)):
            if name in MASKED_BY[kind]:  # left out of the statistics where it is not told, and 0 for the model
                np.testing.assert_allclose(both.mean[kind][i], alone.mean[kind][i], rtol=1e-6, err_msg=name)
                assert not unseen[:, i].any(), name
                assert seen[:, i].any() or alone.std[kind][i] == 1, name


def test_one_of_several_layouts_is_named(tmp_path: Path) -> None:
    for i in range(2):
        write_circuitnet(tmp_path, LAYOUT.replace("12", str(12 + i)))
    said = bad(2, "import", "circuitnet", tmp_path, "--out", tmp_path / "d")
    assert f"2 layouts\n  Give --name, one of {LAYOUT}, " in said
    assert 'no layout "14"' in bad(2, "import", "circuitnet", tmp_path, "--name", 14, "--out", tmp_path / "d")
    good("import", "circuitnet", tmp_path, "--name", f"{LAYOUT}.npy", "--out", tmp_path / "d", "--quiet")


class _Runs:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    write_circuitnet(tmp_path)
    np.save(tmp_path / "instance_placement_gcell" / f"{LAYOUT}.npy", np.asarray(_Runs(tmp_path / "ran"), object))
    with pytest.raises(InputError, match=r"cannot be read: it wants to call (posix|nt).mkdir"):
        import_circuitnet(tmp_path, tmp_path / "d")
    assert not (tmp_path / "ran").exists()


def test_arrays_come_back_as_they_were_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    mixed = [["a", 1, [1, 2], None, 1.5], [np.int64(7), np.str_("\u00fc"), {"x": [1]}, np.float32(1.5), np.True_]]
    plain = [
        np.arange(6).reshape(2, 3),
        np.asarray([["a", "bc"]], order="F"),
        np.zeros((0, 3)),
        np.arange(3, dtype=">i4"),
    ]
    for array in (*plain, _objects(mixed), np.asfortranarray(_objects(mixed))):
        np.save(path, array)
        assert read_array(path).tolist() == array.tolist()
    within = np.empty(1, object)
    within[0] = np.arange(3, dtype=">i2")
    np.save(path, within)
    assert read_array(path)[0].tolist() == [0, 1, 2]


def test_garbled_arrays_are_refused_or_read(tmp_path: Path) -> None:
    """Nothing but InputError: NumPy's and pickle's own code in C crashes on such files."""
    write_circuitnet(tmp_path, num_insts=8)
    seeds = [p.read_bytes() for p in sorted(tmp_path.rglob("*.npy"))]
    rng, path, refused = np.random.default_rng(5), tmp_path / "a.npy", 0
    for _ in range(1000):
        text = bytearray(seeds[rng.integers(len(seeds))])
        for at in rng.integers(0, len(text), rng.integers(1, 4)).tolist():
            text[at : at + int(rng.integers(0, 3))] = rng.bytes(int(rng.integers(0, 3)))
        path.write_bytes(text)
        try:
            read_array(path)
        except InputError:
            refused += 1
    assert 0 < refused < 1000


def test_arrays_of_older_numpy_are_read(tmp_path: Path) -> None:
    array = _objects([["a", 1, [2, 3]]])
    text = pickle.dumps(array, protocol=2).replace(b"numpy._core", b"numpy.core")
    assert b"cnumpy.core.multiarray\n" in text
    with (tmp_path / "a.npy").open("wb") as f:
        np.lib.format.write_array_header_1_0(f, {"descr": "|O", "fortran_order": False, "shape": array.shape})
        f.write(text)
    assert read_array(tmp_path / "a.npy").tolist() == array.tolist()


def _spoil(folder: Path, what: str) -> None:
    where, netlist = folder / "graph_information", "toy-core-a-1-c2"
    layout = folder / "instance_placement_gcell" / f"{LAYOUT}.npy"
    pins = where / "pin_attr" / f"{netlist}_pin_attr.npy"
    if what == "no pins":
        pins.unlink()
    elif what == "cut":
        pins.write_bytes(pins.read_bytes()[:-40])
    elif what == "rows":
        np.save(pins, _objects([["A"], [0]]))
    elif what == "index":
        np.save(pins, _objects([["A"], [99], [0]]))
    elif what == "text":
        pins.write_text("pin,net,node", encoding="utf-8")
    elif what == "box":
        np.save(layout, np.asarray({"mem": [3, 0, 2, 0]}, object))
    elif what == "foreign":
        np.save(layout, np.asarray({"nobody": [0, 0, 1, 1]}, object))
    elif what == "name":
        layout.rename(layout.with_name("toy.npy"))
    elif what == "small map":
        write_maps(folder, side=(4, 4))
    elif what == "no map":
        write_maps(folder)
        path = next((folder / "routability_features").rglob("congestion_GR_vertical_overflow/*.npy"))
        np.save(path, np.asarray({"mem": [0, 0, 1, 1]}, object))
    elif what == "endless":
        write_maps(folder)
        path = next((folder / "routability_features").rglob("congestion_GR_vertical_overflow/*.npy"))
        np.save(path, np.full((8, 8), np.inf))
    elif what == "no text":
        np.save(where / "net_attr" / f"{netlist}_net_attr.npy", np.zeros((1, 21)))
    elif what == "far":
        np.save(layout, np.asarray({"mem": [0, 0, 10**30, 0]}, object))
    elif what == "promise":
        with pins.open("wb") as f:
            np.lib.format.write_array_header_1_0(f, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    elif what == "digits":
        np.save(pins, _objects([["A"], [10**9999], [0]]))
    elif what == "one direction":
        write_maps(folder)
        next((folder / "routability_features").rglob("congestion_GR_vertical_overflow/*.npy")).unlink()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no pins", "pin_attr.npy: cannot be read: No such file"),
        ("cut", "pin_attr.npy: cannot be read"),
        ("rows", "holds no array of 3 rows"),
        ("index", r'pin 0, "A", has net 99 and node 0, not there'),
        ("text", "pin_attr.npy: cannot be read"),
        ("box", r'inst "mem" has the box \[3, 0, 2, 0\]'),
        ("foreign", "none of its insts is in the placement"),
        ("name", '"toy" does not name its netlist'),
        ("small map", r"label maps have the shape \(4, 4\), insts reach to 8 x 8"),
        ("no map", "congestion_GR_vertical_overflow.*holds no map of finite numbers"),
        ("endless", "congestion_GR_vertical_overflow.*holds no map of finite numbers"),
        ("no text", "net_attr.npy: holds a name that is no text"),
        ("far", r'inst "mem" has the box \[0, 0, 1'),
        ("promise", "0 bytes for an array of"),
        ("digits", "has net a number of thousands of digits and node 0"),
        ("one direction", "labels of congestion_GR are not complete: h_overflow, h_util, v_util"),
    ],
)
def test_circuitnet_folders_that_do_not_fit_are_refused(tmp_path: Path, what: str, message: str) -> None:
    write_circuitnet(tmp_path)
    _spoil(tmp_path, what)
    with pytest.raises(InputError, match=message):
        import_circuitnet(tmp_path, tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_the_same_import_gives_the_same_bytes(tmp_path: Path) -> None:
    write_circuitnet(tmp_path)
    for name in "ab":
        import_circuitnet(tmp_path, tmp_path / name)
    assert (tmp_path / "a" / "manifest.json").read_bytes() == (tmp_path / "b" / "manifest.json").read_bytes()
    assert json.loads((tmp_path / "a" / "manifest.json").read_text(encoding="utf-8"))["fields"]
