from pathlib import Path

import pytest

from bench import scale
from bench.replica import Replica, replicate
from circuit_io.def_ import DefDesign, read_def
from circuit_io.export import export_design
from circuit_io.export_sources import ExportSources
from circuit_io.verilog import Netlist, read_verilog


@pytest.fixture(scope="module")
def source(kit: Path) -> Path:
    return kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz"


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Replica:
    num_insts = len(read_def(source).inst_master)
    return replicate(source, tmp_path_factory.mktemp("replica"), insts=3 * num_insts + 5)


def nets(found: Netlist | DefDesign) -> set[frozenset[tuple[str, str]]]:
    """The insts' pins of each net that has any: what a netlist is, whatever its nets are called."""
    insts = [name.replace("\\", "") for name in found.inst_names.tolist()]
    pins, out = found.pin_names.tolist(), set()
    for begin, end in zip(found.net_ptr[:-1].tolist(), found.net_ptr[1:].tolist(), strict=True):
        pairs = zip(found.conn_inst[begin:end].tolist(), found.conn_pin[begin:end].tolist(), strict=True)
        out.add(frozenset((insts[i], pins[p]) for i, p in pairs if i >= 0))
    return out - {frozenset()}


def test_copies_are_the_source(source: Path, made: Replica) -> None:
    old, new = read_def(source), read_def(made.def_)
    n = len(old.inst_master)
    assert (made.copies, made.insts) == (3, 3 * n)
    assert (len(new.inst_master), len(new.net_names)) == (made.insts, made.nets)
    assert int((new.conn_inst >= 0).sum()) == made.iterms == 3 * int((old.conn_inst >= 0).sum())
    for t in range(3):
        shift = new.inst_xy_dbu[t * n : (t + 1) * n] - old.inst_xy_dbu
        assert (shift == shift[0]).all()
    x1, y1, x2, y2 = new.die_dbu
    assert ((new.inst_xy_dbu >= (x1, y1)) & (new.inst_xy_dbu < (x2, y2))).all()
    assert len({tuple(xy) for xy in new.inst_xy_dbu.tolist()}) == made.insts, "copies lie apart"


def test_verilog_is_the_same_netlist(made: Replica) -> None:
    placed, flat, hierarchical = read_def(made.def_), read_verilog(made.flat_verilog), read_verilog(made.verilog)
    assert nets(placed) == nets(flat) == nets(hierarchical)
    assert len(flat.inst_master) == len(hierarchical.inst_master) == made.insts
    assert flat.port_names.tolist() == hierarchical.port_names.tolist()


def test_export_takes_it(made: Replica, kit: Path, tmp_path: Path) -> None:
    tech = kit / "tech"
    sources = ExportSources(
        lef=[tech / "gsr45_tech.lef", tech / "gsr45_cells.lef"], def_=made.def_, lib=[tech / "gsr45_typ.lib"],
        verilog=made.verilog, layer_adjustment={"*": 0.3},
    )  # fmt: skip
    manifest = export_design(sources, tmp_path / "export")
    assert manifest["counts"]["insts"] + manifest["counts"]["physical_insts"] == made.insts
    assert not [w for w in manifest["warnings"] if "out of the die" in w]


def test_the_scale_bench_times_every_stage(made: Replica, kit: Path, tmp_path: Path) -> None:
    tech = kit / "tech"
    task = {"lef": [str(tech / "gsr45_tech.lef"), str(tech / "gsr45_cells.lef")], "lib": [str(tech / "gsr45_typ.lib")],
            "def": str(made.def_), "out": str(tmp_path / "export")}  # fmt: skip
    found = scale.measure(task, "python")
    assert set(found["stages"]) == {name.strip("_") for _, names in scale.STAGES for name in names}
    assert scale.slope([10, 100, 1000], [3.0, 30.0, 300.0]) == pytest.approx(1)
