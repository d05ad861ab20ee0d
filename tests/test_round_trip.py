"""Write then read is identity: for files of the kit and real ones, and for random columns, in every format."""

import random
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_netlist import random_design, text_of
from writers import def_text, lef_text, liberty_text, spef_text, tables_of, verilog_text

from circuit_io.codes import NO_NET
from circuit_io.def_ import DefDesign, read_def
from circuit_io.lef import LefLibrary, read_lef
from circuit_io.liberty import Liberty, read_liberty
from circuit_io.names import Names
from circuit_io.spef import Spef, read_spef
from circuit_io.verilog import Netlist, read_verilog

QUICK = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def plain(found: Any, **names: Names) -> dict[str, Any]:  # noqa: ANN401
    """Columns by name, numbers of layers and vias as their names, without the path."""
    out = {f.name: getattr(found, f.name) for f in fields(found) if f.name not in ("path", "library_path")}
    for column, value in out.items():
        table = next((t for end, t in names.items() if column.endswith("_" + end)), None)
        if table is not None:
            out[column] = [table[i] if i >= 0 else "" for i in value.tolist()]
        elif isinstance(value, Names):
            out[column] = value.tolist()
    return out


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for name, x in a.items():
        y = b[name]
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype, name
            np.testing.assert_array_equal(x, y, err_msg=name)
        else:
            assert x == y, name


def def_columns(d: DefDesign) -> dict[str, Any]:
    out = plain(d, layer=d.layer_names, svia_via=d.via_names, shape_via=d.via_names)
    return {k: v for k, v in out.items() if k not in ("layer_names", "via_names")}  # those of no shape are not written


def again(text: str, folder: Path, read: Callable[[Path], Any]) -> Any:  # noqa: ANN401
    path = folder / "again"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    return read(path)


def check_def(d: DefDesign, folder: Path) -> None:
    assert_same(def_columns(d), def_columns(again(def_text(d), folder, read_def)))


def check_lef(lib: LefLibrary, folder: Path) -> None:
    by_name = lambda found: plain(found, shape_layer=found.layer_names, obs_layer=found.layer_names)  # noqa: E731
    assert_same(by_name(lib), by_name(again(lef_text(lib), folder, read_lef)))


def check_verilog(n: Netlist, folder: Path) -> None:
    found = again(verilog_text(n), folder, read_verilog)
    assert_same(nets_of(n), nets_of(found))
    for column in ("inst_names", "net_names", "port_names", "port_direction"):
        assert list(getattr(n, column)) == list(getattr(found, column)), column


def nets_of(n: Netlist) -> dict[str, Any]:
    """Nets by name with their pins, masters and constants by inst."""
    insts, pins, nets, masters = (t.tolist() for t in (n.inst_names, n.pin_names, n.net_names, n.master_names))
    net = np.repeat(np.arange(n.num_nets), np.diff(n.net_ptr)).tolist()
    conns = zip(n.conn_inst.tolist(), n.conn_pin.tolist(), net, strict=True)
    tied = zip(n.const_inst.tolist(), n.const_pin.tolist(), n.const_value.tolist(), strict=True)
    return {
        "pins": sorted((insts[i] if i >= 0 else "", pins[p], nets[k]) for i, p, k in conns),
        "tied": sorted((insts[i] if i >= 0 else "", pins[p], v) for i, p, v in tied),
        "masters": [masters[m] for m in n.inst_master.tolist()],
        "ports": [nets[k] if k >= 0 else "" for k in n.port_net.tolist()],
    }


def check_spef(s: Spef, folder: Path) -> None:
    columns = lambda found: {k: v for k, v in plain(found).items() if k != "warnings"}  # noqa: E731
    assert_same(columns(s), columns(again(spef_text(s), folder, read_spef)))


LIBRARY = re.compile(
    r"library|.*_unit_|voltage_v|temperature_c|slew_|delay_|arc_timing|timing_table|table_|cell_library"
)


def liberty_columns(lib: Liberty) -> dict[str, Any]:
    """Cells, pins and arcs with their tables; what the library says once is not written."""
    out = {k: v for k, v in plain(lib).items() if not LIBRARY.match(k)}
    out["tables"] = [
        (t.kind, t.index_1.tolist(), t.index_2.tolist(), t.values_ns.tolist())
        for a in range(len(lib.arc_pin))
        for t in tables_of(lib, a)
    ]
    return out


def check_liberty(lib: Liberty, folder: Path) -> None:
    assert_same(liberty_columns(lib), liberty_columns(again(liberty_text(lib), folder, read_liberty)))


KIT = {
    "def": ("labels/gsr45/crc_bank/v0/placed.def.gz", read_def, check_def),
    "def 2": ("labels/gsr45/dma_buffer/v1/placed.def.gz", read_def, check_def),
    "tech": ("tech/gsr45_tech.lef", read_lef, check_lef),
    "cells": ("tech/gsr45_cells.lef", read_lef, check_lef),
    "verilog": ("netlists/crc_bank.v.gz", read_verilog, check_verilog),
    "liberty": ("tech/gsr45_typ.lib", read_liberty, check_liberty),
}
REAL = {
    "asap7 def": ("designs/asap7/gcd/design.def.gz", read_def, check_def),
    "ihp def": ("designs/ihp-sg13g2/fab_ihp_sram/design.def.gz", read_def, check_def),
    "innovus def": ("designs/nangate45/spi_top/placed.def.gz", read_def, check_def),
    "ihp lef": ("pdk/ihp-sg13g2/lef/sg13g2_stdcell.lef", read_lef, check_lef),
    "asap7 tech": ("pdk/asap7/lef/asap7_tech_1x_201209.lef", read_lef, check_lef),
    "sram lef": ("pdk/asap7/lef/sram_asap7_64x64_1rw.lef", read_lef, check_lef),
    "verilog": ("designs/nangate45/gcd/netlist.v.gz", read_verilog, check_verilog),
    "bus verilog": ("designs/ihp-sg13g2/fab_ihp_sram/netlist.v.gz", read_verilog, check_verilog),
    "sram lib": ("pdk/asap7/lib/sram_asap7_64x64_1rw.lib", read_liberty, check_liberty),
    "spef": ("designs/nangate45/gcd/parasitics.spef.gz", read_spef, check_spef),
    "sky130 spef": ("designs/sky130hd/gcd/parasitics.spef.gz", read_spef, check_spef),
}


@pytest.mark.parametrize("name", KIT)
def test_files_of_the_kit_come_back(kit: Path, tmp_path: Path, name: str) -> None:
    path, read, check = KIT[name]
    check(read(kit / path), tmp_path)


@pytest.mark.parametrize("name", REAL)
def test_real_files_come_back(gsr_data: Path, tmp_path: Path, name: str) -> None:
    path, read, check = REAL[name]
    check(read(gsr_data / path), tmp_path)


# Random columns

ODD = ["u1", r"a\/b", "x[3]", r"c\[0\]", "n-1", "a+b", "VDD!", "$y", "PIN_", "END_", "p(2)", "é", "a#b", "w.x"]


def odd_names(rng: random.Random, count: int) -> Names:
    """Different names with the signs that the formats allow in them."""
    return Names.of(f"{rng.choice(ODD)}_{i}" if rng.random() < 0.9 else f"{i}{rng.choice(ODD)}" for i in range(count))


def random_def(base: DefDesign, rng: random.Random) -> DefDesign:
    """The design with other names, places, uses, blockages, regions and rows."""
    draw = np.random.default_rng(rng.randrange(2**32))
    n, b, r = len(base.inst_names), rng.randrange(6), 1 + rng.randrange(3)
    status = draw.integers(0, 4, n).astype(np.int8)
    rect = np.sort(draw.integers(-(10**6), 10**6, (b, 2, 2)), axis=1).reshape(b, 4)
    area = np.sort(draw.integers(0, 10**6, (r, 2, 2)), axis=1).reshape(r, 4)
    return replace(
        base,
        inst_names=odd_names(rng, n),
        inst_status=status,
        inst_xy_dbu=draw.integers(-(2**31) + 1, 2**31 - 1, (n, 2)) * (status > 0)[:, None],
        inst_orient=(draw.integers(0, 8, n) * (status > 0)).astype(np.int8),
        net_names=odd_names(rng, len(base.net_names)),
        net_use=draw.integers(0, 6, len(base.net_names)).astype(np.int8),
        bterm_net=np.where(draw.random(len(base.bterm_net)) < 0.2, NO_NET, base.bterm_net).astype(np.int32),
        bterm_use=draw.integers(0, 6, len(base.bterm_use)).astype(np.int8),
        row_orient=draw.integers(0, 8, len(base.row_orient)).astype(np.int8),
        blockage_layer=draw.integers(-1, len(base.layer_names), b).astype(np.int32),
        blockage_soft=draw.random(b) < 0.5,
        blockage_density=np.where(draw.random(b) < 0.5, np.nan, draw.integers(0, 101, b) / 2),
        blockage_rect_dbu=rect,
        region_names=odd_names(rng, r),
        region_is_fence=draw.random(r) < 0.5,
        region_rect_region=np.arange(r, dtype=np.int32),
        region_rect_dbu=area,
        group_names=odd_names(rng, 2),
        group_region=draw.integers(-1, r, 2).astype(np.int32),
        member_group=np.array([0, 0, 1], np.int32),
        member_patterns=Names.of(["u1/*", "a", "b*"]),
    )


def random_spef(rng: random.Random) -> Spef:
    draw = np.random.default_rng(rng.randrange(2**32))
    nets, insts, pins = 1 + rng.randrange(20), 1 + rng.randrange(9), 1 + rng.randrange(5)
    conns = draw.integers(0, 4, nets)
    ptr = np.concatenate([[0], np.cumsum(conns)]).astype(np.int64)
    owner = draw.integers(-1, insts, ptr[-1]).astype(np.int32)
    used = list(dict.fromkeys(owner[owner >= 0].tolist()))
    pin = draw.integers(0, pins, ptr[-1]).astype(np.int32)
    met = list(dict.fromkeys(pin.tolist()))
    ground, coupling = np.exp(draw.normal(0, 5, nets)), np.exp(draw.normal(0, 5, nets))
    bare = draw.random(nets) < 0.2
    ground[bare] = coupling[bare] = np.nan
    return Spef(
        path=Path("x"), design="d", divider="/", time_unit_ns=1.0, net_names=odd_names(rng, nets),
        net_cap_ff=np.where(bare, 3.5, ground + coupling), net_ground_ff=ground, net_coupling_ff=coupling,
        net_res_ohm=np.where(draw.random(nets) < 0.2, np.nan, draw.random(nets) * 1e4), net_ptr=ptr,
        inst_names=Names.of(f"i{k}/u" for k in range(len(used))), pin_names=Names.of(f"P{k}" for k in range(len(met))),
        conn_inst=np.array([used.index(i) if i >= 0 else -1 for i in owner.tolist()], np.int32),
        conn_pin=np.array([met.index(p) for p in pin.tolist()], np.int32),
        conn_direction=draw.integers(0, 3, ptr[-1]).astype(np.int8),
    )  # fmt: skip


@pytest.fixture(scope="module")
def small_def(kit: Path) -> DefDesign:
    return read_def(kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz")


@QUICK
@given(seed=st.integers(0, 2**32))
def test_random_designs_come_back(small_def: DefDesign, tmp_path: Path, seed: int) -> None:
    check_def(random_def(small_def, random.Random(seed)), tmp_path)


@settings(QUICK, max_examples=50)
@given(seed=st.integers(0, 2**32))
def test_random_parasitics_come_back(tmp_path: Path, seed: int) -> None:
    check_spef(random_spef(random.Random(seed)), tmp_path)


@settings(QUICK, max_examples=5)
@given(seed=st.integers(0, 2**32))
def test_random_macros_come_back(kit: Path, tmp_path: Path, seed: int) -> None:
    lib = read_lef(kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef")
    draw = np.random.default_rng(seed)
    corners = np.sort(draw.normal(0, 100, (len(lib.shape_rect_um), 2, 2)), axis=1).reshape(-1, 4)
    n = len(lib.macro_names)
    check_lef(
        replace(
            lib,
            macro_names=odd_names(random.Random(seed), n),
            macro_size_um=draw.random((n, 2)) * 100,
            macro_origin_um=draw.normal(0, 10, (n, 2)),
            mterm_use=draw.integers(0, 6, len(lib.mterm_use)).astype(np.int8),
            mterm_direction=draw.integers(-1, 4, len(lib.mterm_use)).astype(np.int8),
            shape_rect_um=corners,
        ),
        tmp_path,
    )


@QUICK
@given(seed=st.integers(0, 2**32))
def test_random_netlists_come_back(tmp_path: Path, seed: int) -> None:
    top = random_design(random.Random(seed))
    path = tmp_path / "x.v"
    path.write_text(text_of(top, random.Random(seed)))
    n = read_verilog(path, top=top.name)
    if len(set(n.net_names.tolist())) == n.num_nets:  # \a[0] beside a[0] has the same name
        found = again(verilog_text(n), tmp_path, read_verilog)
        slash = lambda name: name.replace("\\/", "/")  # noqa: E731  # a path is one name in the flat file
        mine, theirs = nets_of(n), nets_of(found)
        for rows in (mine, theirs):
            rows["pins"] = sorted((slash(i), slash(p), slash(net)) for i, p, net in rows["pins"])
            rows["tied"] = sorted((slash(i), slash(p), v) for i, p, v in rows["tied"])
            rows["ports"] = [slash(p) for p in rows["ports"]]
        assert_same(mine, theirs)


@settings(QUICK, max_examples=3)
@given(seed=st.integers(0, 2**32))
def test_random_tables_come_back(kit: Path, tmp_path: Path, seed: int) -> None:
    lib = read_liberty(kit / "tech" / "gsr45_typ.lib")
    draw = np.random.default_rng(seed)
    values = np.exp(draw.normal(-3, 3, len(lib.table_values_ns)))
    given_cap = draw.random(len(lib.pin_cap_ff)) * 50
    found = again(liberty_text(replace(lib, table_values_ns=values, pin_cap_ff=given_cap)), tmp_path, read_liberty)
    at = liberty_columns(
        replace(lib, table_values_ns=values, pin_cap_ff=given_cap, cell_drive_kohm=found.cell_drive_kohm)
    )
    assert_same(at, liberty_columns(found))
