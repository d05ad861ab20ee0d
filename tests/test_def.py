"""DEF: against klayout and a plain word-by-word reader, odd but legal writing, files to be refused, and junk."""

import contextlib
import gzip
import random
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from def_peer import compare, compare_netlist, compare_vias, lefs_of

from circuit_io.def_ import NO_NET, DefDesign, read_def
from circuit_io.errors import InputError
from circuit_io.geometry import ORIENTS
from circuit_io.text import read_bytes

Write = Callable[..., Path]

HEAD = """VERSION 5.8 ;
DIVIDERCHAR "/" ;
BUSBITCHARS "[]" ;
DESIGN top ;
UNITS DISTANCE MICRONS 1000 ;
DIEAREA ( 0 0 ) ( 20000 10000 ) ;
"""
BODY = """ROW r0 core 100 200 N DO 10 BY 1 STEP 200 0 ;
ROW r1 core 100 1600 FS DO 10 BY 1 STEP 200 0 ;
TRACKS X 100 DO 50 STEP 200 LAYER m2 ;
TRACKS Y 70 DO 40 STEP 140 LAYER m1 m3 ;
GCELLGRID X 0 DO 11 STEP 2000 ;
GCELLGRID Y 0 DO 6 STEP 2000 ;
VIAS 2 ;
- gen + VIARULE r + CUTSIZE 40 60 + LAYERS m1 v1 m2 + CUTSPACING 20 30 + ENCLOSURE 5 6 7 8 + ROWCOL 2 3 + ORIGIN 1 2 ;
- box + RECT m1 ( -10 -20 ) ( 10 20 ) + RECT v1 + MASK 2 ( -5 -5 ) ( 5 5 ) + RECT m2 ( -20 -10 ) ( 20 10 ) ;
END VIAS
COMPONENTS 4 ;
- u1 INV + PLACED ( 100 200 ) N ;
- u2 INV + SOURCE TIMING + FIXED ( 500 1600 ) FS ;
- mem/u3 RAM + COVER ( -40 300 ) FW ;
- u4 NAND ;
END COMPONENTS
PINS 3 ;
- a + NET a + DIRECTION INPUT + USE SIGNAL + LAYER m2 ( -10 0 ) ( 20 50 ) + PLACED ( 1000 0 ) W ;
- y + NET y + DIRECTION OUTPUT + USE CLOCK + PORT + LAYER m1 ( 0 0 ) ( 10 10 ) + FIXED ( 5 6 ) N
  + PORT + LAYER m3 ( 0 0 ) ( 10 20 ) + LAYER m3 ( 0 30 ) ( 10 40 ) + PLACED ( 100 200 ) S ;
- VDD + NET VDD + SPECIAL + DIRECTION INOUT + USE POWER ;
END PINS
BLOCKAGES 3 ;
- PLACEMENT + SOFT RECT ( 0 0 ) ( 100 200 ) RECT ( 500 500 ) ( 400 600 ) ;
- PLACEMENT + PARTIAL 40.5 RECT ( 10 10 ) ( 20 20 ) ;
- LAYER m2 + SPACING 3 RECT ( 1 2 ) ( 3 4 ) POLYGON ( 0 0 ) ( 20 0 ) ( 20 10 ) ( 10 10 ) ( 10 20 ) ( 0 20 ) ;
END BLOCKAGES
SPECIALNETS 1 ;
- VDD ( * VDD ) ( PIN VDD ) ( u4 VPB ) + USE POWER
  + ROUTED m1 100 + SHAPE FOLLOWPIN ( 0 200 ) ( 5000 * )
  NEW m2 60 + SHAPE STRIPE ( 500 0 ) ( * 3000 ) gen
  NEW m1 0 + SHAPE STRIPE ( 500 200 ) box
  + FIXED m3 80 ( 0 100 7 ) ( 300 * 9 ) ;
END SPECIALNETS
NETS 3 ;
- a ( PIN a ) ( u1 A ) ( mem/u3 D[0] ) + USE SIGNAL
  + ROUTED m1 ( 0 0 ) ( 100 * ) VIA12 NEW m2 ( 100 0 ) ( * 50 ) ;
- y ( u1 ZN ) ( u2 A ) ( PIN y ) + USE CLOCK ;
- open ;
END NETS
END DESIGN
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str | bytes, name: str = "x.def") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return put


@pytest.fixture
def design(write: Write) -> DefDesign:
    return read_def(write(HEAD + BODY))


def section(name: str, text: str, count: int = 1) -> str:
    return f"{name} {count} ;\n{text}\nEND {name}\n"


def of(*parts: str) -> str:
    return HEAD + "".join(parts) + "END DESIGN\n"


def same(a: DefDesign, b: DefDesign) -> bool:
    for field in fields(DefDesign):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if field.name == "path":
            continue
        if isinstance(x, np.ndarray):
            if not np.array_equal(x, y, equal_nan=x.dtype.kind == "f"):
                return False
        elif x != y:
            return False
    return True


def conns(design: DefDesign, net: int) -> list[tuple[str, str]]:
    at = slice(*design.net_ptr[net : net + 2].tolist())
    return [
        ("PIN" if i == -1 else design.inst_names[i], design.pin_names[p])
        for i, p in zip(design.conn_inst[at].tolist(), design.conn_pin[at].tolist(), strict=True)
    ]


# Against klayout, and against a plain reader


def kit_lefs(kit: Path) -> list[Path]:
    return [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]


@pytest.mark.parametrize("name", ["crc_bank", "dma_buffer"])
def test_places_ports_and_grids_of_the_kit_equal_klayout(kit: Path, name: str) -> None:
    path = kit / "labels" / "gsr45" / name / "v0" / "placed.def.gz"
    assert compare(path, kit_lefs(kit)).iterms > 1000
    assert compare_vias(path, kit_lefs(kit)) > (100, 4)


def test_a_kit_design_in_all_orientations_equals_klayout(kit: Path, write: Write) -> None:
    text = read_bytes(kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz").decode()
    rng = random.Random(3)
    text = re.sub(r"\) (N|S|FN|FS)(?= ;)", lambda _: f") {rng.choice(ORIENTS)}", text)
    path = write(text)
    assert compare(path, kit_lefs(kit)).iterms > 1000
    assert len(set(read_def(path).inst_orient.tolist())) == 8


@pytest.mark.parametrize(
    "name",
    ["designs/asap7/gcd/design", "designs/nangate45/gcd/design", "designs/ihp-sg13g2/fab_ihp_sram/design",
     "designs/nangate45/spi_top/placed", "labels/nangate45/gcd/v0/placed", "labels/ihp-sg13g2/fab_w_io/v1/placed"],
)  # fmt: skip
def test_real_designs_equal_klayout(gsr_data: Path, name: str) -> None:
    path = gsr_data / f"{name}.def.gz"
    assert compare(path, lefs_of(path)).iterms > 300


@pytest.mark.slow
def test_every_real_def_is_read(gsr_data: Path) -> None:
    paths = sorted(gsr_data.rglob("*.def.gz"))
    assert len(paths) > 600
    for path in paths:
        assert len(read_def(path).inst_names), path


@pytest.mark.parametrize("name", ["crc_bank", "rv32_core"])
def test_the_netlist_of_the_kit_equals_a_plain_reader(kit: Path, name: str) -> None:
    assert compare_netlist(kit / "labels" / "gsr45" / name / "v1" / "placed.def.gz") > 1000


@pytest.mark.parametrize("name", ["asap7/uart", "nangate45/aes_innovus", "sky130hd/spm", "ihp-sg13g2/fab_n_io"])
def test_real_netlists_equal_a_plain_reader(gsr_data: Path, name: str) -> None:
    assert compare_netlist(gsr_data / "designs" / name / "design.def.gz") > 1000


# Values


def test_header_and_die(design: DefDesign) -> None:
    assert (design.design, design.dbu_per_um, design.divider, design.busbits) == ("top", 1000, "/", "[]")
    assert design.die_points_dbu.tolist() == [[0, 0], [20000, 10000]]
    assert design.die_dbu == (0, 0, 20000, 10000)


def test_insts(design: DefDesign) -> None:
    assert design.inst_names.tolist() == ["u1", "u2", "mem/u3", "u4"]
    assert design.master_names.tolist() == ["INV", "RAM", "NAND"]
    assert design.inst_master.tolist() == [0, 0, 1, 2]
    assert design.inst_status.tolist() == [1, 2, 3, 0]
    assert design.inst_xy_dbu.tolist() == [[100, 200], [500, 1600], [-40, 300], [0, 0]]
    assert [ORIENTS[o] for o in design.inst_orient.tolist()] == ["N", "FS", "FW", "N"]


def test_ports(design: DefDesign) -> None:
    assert design.bterm_names.tolist() == ["a", "y", "VDD"]
    assert design.bterm_net.tolist() == [0, 1, -1]
    assert design.bterm_direction.tolist() == [0, 1, 2]
    assert design.bterm_use.tolist() == [0, 3, 1]
    assert design.bterm_status.tolist() == [1, 2, 0]
    assert design.bterm_xy_dbu.tolist() == [[1000, 0], [5, 6], [0, 0]]
    assert [ORIENTS[o] for o in design.bterm_orient.tolist()] == ["W", "N", "N"]
    assert design.bterm_shape_bterm.tolist() == [0, 1, 1, 1]
    assert design.bterm_shape_port.tolist() == [0, 0, 1, 1]
    assert [design.layer_names[a] for a in design.bterm_shape_layer.tolist()] == ["m2", "m1", "m3", "m3"]
    assert design.bterm_shape_rect_dbu.tolist() == [
        [950, -10, 1000, 20], [5, 6, 15, 16], [90, 180, 100, 200], [90, 160, 100, 170]]  # fmt: skip


def test_nets(design: DefDesign) -> None:
    assert design.net_names.tolist() == ["a", "y", "open"]
    assert design.net_use.tolist() == [0, 3, 0]
    assert conns(design, 0) == [("PIN", "a"), ("u1", "A"), ("mem/u3", "D[0]")]
    assert conns(design, 1) == [("u1", "ZN"), ("u2", "A"), ("PIN", "y")]
    assert conns(design, 2) == []
    assert design.has_routing


def test_special_nets(design: DefDesign) -> None:
    assert design.special_names.tolist() == ["VDD"]
    assert design.special_use.tolist() == [1]
    assert design.special_ptr.tolist() == [0, 3]
    assert design.special_conn_inst.tolist() == [-2, -1, 3]
    assert [design.pin_names[p] for p in design.special_conn_pin.tolist()] == ["VDD", "VDD", "VPB"]
    wires = {
        (design.layer_names[a], *rect)
        for a, rect in zip(design.swire_layer.tolist(), design.swire_rect_dbu.tolist(), strict=True)
    }
    assert wires == {("m1", 0, 150, 5000, 250), ("m2", 470, 0, 530, 3000), ("m3", -7, 60, 309, 140)}
    vias = zip(design.svia_via.tolist(), design.svia_xy_dbu.tolist(), strict=True)
    assert sorted((design.via_names[v], *xy) for v, xy in vias) == [("box", 500, 200), ("gen", 500, 3000)]


def test_via_shapes(design: DefDesign) -> None:
    shapes = [
        (design.via_names[v], design.layer_names[a], *rect)
        for v, a, rect in zip(
            design.via_shape_via.tolist(),
            design.via_shape_layer.tolist(),
            design.via_shape_rect_dbu.tolist(),
            strict=True,
        )
    ]
    # three columns of 40 with gaps of 20: 160 wide; two rows of 60 with a gap of 30: 150 high; about (1, 2)
    assert shapes == [
        ("gen", "m1", -84, -79, 86, 83),
        ("gen", "m2", -86, -81, 88, 85),
        ("box", "m1", -10, -20, 10, 20),
        ("box", "v1", -5, -5, 5, 5),
        ("box", "m2", -20, -10, 20, 10),
    ]


def test_floorplan(design: DefDesign) -> None:
    assert design.row_names.tolist() == ["r0", "r1"]
    assert design.row_site_names.tolist() == ["core"]
    assert design.row_site.tolist() == [0, 0]
    assert design.row_xy_dbu.tolist() == [[100, 200], [100, 1600]]
    assert [ORIENTS[o] for o in design.row_orient.tolist()] == ["N", "FS"]
    assert design.row_count.tolist() == [[10, 1], [10, 1]]
    assert design.row_step_dbu.tolist() == [[200, 0], [200, 0]]
    assert design.track_axis.tolist() == [0, 1, 1]
    assert design.track_start.tolist() == [100, 70, 70]
    assert design.track_count.tolist() == [50, 40, 40]
    assert design.track_step.tolist() == [200, 140, 140]
    assert [design.layer_names[a] for a in design.track_layer.tolist()] == ["m2", "m1", "m3"]
    assert design.gcell_axis.tolist() == [0, 1]
    assert design.gcell_count.tolist() == [11, 6]
    assert design.gcell_step.tolist() == [2000, 2000]
    assert design.gcell_start.tolist() == [0, 0]


def test_blockages(design: DefDesign) -> None:
    layers = [design.layer_names[a] if a >= 0 else "" for a in design.blockage_layer.tolist()]
    assert layers == ["", "", "", "m2", "m2", "m2"]
    assert design.blockage_soft.tolist() == [True, True, False, False, False, False]
    assert np.isnan(design.blockage_density).tolist() == [True, True, False, True, True, True]
    assert design.blockage_density[2] == 40.5
    assert design.blockage_rect_dbu.tolist() == [
        [0, 0, 100, 200], [400, 500, 500, 600], [10, 10, 20, 20], [1, 2, 3, 4],
        [0, 0, 20, 10], [0, 10, 10, 20]]  # fmt: skip


def test_blockages_of_fill_and_slots_alone_block_nothing(write: Write) -> None:
    text = section("BLOCKAGES", "- LAYER m1 + FILLS RECT ( 0 0 ) ( 1 1 ) ;\n- LAYER m1 + SLOTS RECT ( 0 0 ) ( 1 1 ) ;")
    assert len(read_def(write(of(text))).blockage_layer) == 0


def test_regions_and_groups(write: Write) -> None:
    text = of(
        section("REGIONS", "- f ( 0 0 ) ( 5 5 ) ( 9 9 ) ( 6 6 ) + TYPE FENCE ;\n- g ( 1 1 ) ( 2 2 ) ;", 2),
        section("GROUPS", "- one u1/* u2 + REGION g ;\n- two ;", 2),
    )
    found = read_def(write(text))
    assert found.region_names.tolist() == ["f", "g"]
    assert found.region_is_fence.tolist() == [True, False]
    assert found.region_rect_region.tolist() == [0, 0, 1]
    assert found.region_rect_dbu.tolist() == [[0, 0, 5, 5], [6, 6, 9, 9], [1, 1, 2, 2]]
    assert (found.group_names.tolist(), found.group_region.tolist()) == (["one", "two"], [1, -1])
    assert (found.member_group.tolist(), found.member_patterns.tolist()) == ([0, 0], ["u1/*", "u2"])


# Odd but legal (research: 18 to 28)


@pytest.mark.parametrize("count", ["0", "3", "182363", "1000000000", "9" * 30])
def test_header_counts_are_hints(write: Write, count: str) -> None:
    text = section("COMPONENTS", "- a M ;\n- b M ;\n- c N ;").replace("COMPONENTS 1", f"COMPONENTS {count}")
    assert read_def(write(of(text))).inst_names.tolist() == ["a", "b", "c"]


def test_attributes_before_and_after_the_place(write: Write) -> None:
    text = section(
        "COMPONENTS",
        "- I1 B + FOREIGN g ( -500 -500 ) N + PLACED ( 100 120 ) FE + HALO SOFT 5 6 7 8"
        ' + PROPERTY s "a ; b - ( # END COMPONENTS" + WEIGHT 3 + REGION r + EEQMASTER C + MASKSHIFT 12 ;\n'
        "- I2 B + PROPERTY RE 1.1 IN 2 ;\n- I3 B + UNPLACED ;\n- I4 B + SOURCE DIST + UNPLACED ;\n"
        "- I5 B + PLACED ( 1.0 -2e1 ) S + GENERATE x ;\n- I6 B + COVER ( 7 8 ) W + ROUTEHALO 1 m1 m2 ;",
    )
    found = read_def(write(of(text)))
    assert found.inst_names.tolist() == ["I1", "I2", "I3", "I4", "I5", "I6"]
    assert found.inst_status.tolist() == [1, 0, 0, 0, 1, 3]
    assert found.inst_xy_dbu.tolist() == [[100, 120], [0, 0], [0, 0], [0, 0], [1, -20], [7, 8]]
    assert [ORIENTS[o] for o in found.inst_orient.tolist()] == ["FE", "N", "N", "N", "S", "W"]


def test_parentheses_in_later_attributes_are_no_connections(write: Write) -> None:
    text = of(
        section("COMPONENTS", "- I1 M ;\n- I2 M ;"),
        section("PINS", "- P0 + NET N1 ;"),
        section(
            "NETS",
            "- N1 ( I1 A ) ( PIN P0 ) + VPIN V LAYER M3 ( -3 -3 ) ( 3 3 ) PLACED ( 1 2 ) N"
            " + SUBNET S ( I2 A ) + ROUTED M1 ( 0 0 ) ( 5 * ) ;\n"
            "- N2 ( I1 PA10 + SYNTHESIZED ) ( I2 PA11 ) + WEIGHT 2 + USE GROUND ;\n"
            "- MUSTJOIN ( I1 X ) ;\n- MUSTJOIN ( I2 X ) ;\n- N3 + FIXED M1 ( 0 0 ) ( 1 * ) ;",
        ),
    )
    found = read_def(write(text))
    assert conns(found, 0) == [("I1", "A"), ("PIN", "P0")]
    assert conns(found, 1) == [("I1", "PA10"), ("I2", "PA11")]
    assert found.net_ptr.tolist() == [0, 2, 4, 5, 6, 6]
    assert found.net_use.tolist() == [0, 2, 0, 0, 0]
    assert found.has_routing


def test_a_name_that_ends_in_END_closes_no_section(write: Write) -> None:
    found = read_def(write(of(section("COMPONENTS", "- uEND COMPONENTS ;\n- v M ;"))))
    assert found.inst_names.tolist() == ["uEND", "v"]


def test_a_net_named_routed_is_no_routing(write: Write) -> None:
    text = of(section("COMPONENTS", "- ROUTED M ;"), section("NETS", "- ROUTED ( ROUTED A ) ;"))
    assert not read_def(write(text)).has_routing


def test_names_keep_their_backslashes_brackets_and_signs(write: Write) -> None:
    names = [
        r"wishbone\/ram\/mem\[0\].u",
        r"h1/ff0\/name",
        "I12[0]",
        "a(3)",
        "a-b",
        "u+1",
        "a#b",
        "$x;".rstrip(";"),
    ]
    text = of(
        section("COMPONENTS", "\n".join(f"- {n} RM_MEM + FIXED ( 1 2 ) N ;" for n in names)),
        section("NETS", "\n".join(f"- n{n} ( {n} VDDARRAY! ) ;" for n in names)),
    )
    found = read_def(write(text))
    assert found.inst_names.tolist() == names
    assert found.net_names.tolist() == [f"n{n}" for n in names]
    assert found.conn_inst.tolist() == list(range(len(names)))
    assert found.pin_names.tolist() == ["VDDARRAY!"]


@pytest.mark.parametrize(
    ("points", "box", "count"),
    [
        ("( 0 0 ) ( 0 0 ) ( 0 0 ) ( 5 6 ) ( 70 80 )", (5, 6, 70, 80), 2),
        ("( 0 0 ) ( 0 0 ) ( 70 80 )", (0, 0, 70, 80), 2),
        ("( 0 0 ) ( 0 0 ) ( 0 0 ) ( 0 80 ) ( 70 80 ) ( 70 0 )", (0, 0, 70, 80), 4),
        ("( 0 0 ) ( 0 80 ) ( 40 80 ) ( 40 40 ) ( 70 40 ) ( 70 0 )", (0, 0, 70, 80), 6),
        ("( 5 5 ) ( -70 -80 )", (-70, -80, 5, 5), 2),
    ],
)
def test_die_areas(write: Write, points: str, box: tuple[int, ...], count: int) -> None:
    found = read_def(write(of().replace("( 0 0 ) ( 20000 10000 )", points)))
    assert found.die_dbu == box
    assert len(found.die_points_dbu) == count


@pytest.mark.parametrize("die", ["", "DIEAREA ( 0 0 ) ( 0 0 ) ;\n"])
def test_a_missing_die_is_refused_when_it_is_asked_for(write: Write, die: str) -> None:
    found = read_def(write(of().replace("DIEAREA ( 0 0 ) ( 20000 10000 ) ;\n", die)))
    with pytest.raises(InputError, match="DIEAREA"):
        _ = found.die_dbu


def test_other_characters_and_units(write: Write) -> None:
    text = of().replace('"/"', '"|"').replace('"[]"', '"<>"').replace("MICRONS 1000", "MICRONS 2000.0")
    found = read_def(write(text))
    assert (found.divider, found.busbits, found.dbu_per_um) == ("|", "<>", 2000)


def test_what_def_5_3_alone_has_is_passed_over(write: Write) -> None:
    old = (
        "NAMESCASESENSITIVE ON ;\nTECHNOLOGY t ;\nARRAY a ;\nFLOORPLAN f ;\nCANPLACE s 0 0 N DO 9 BY 1 STEP 10 0 ;\n"
        "DEFAULTCAP 2\n MINPINS 2 WIRECAP 0.1 ;\n MINPINS 3 WIRECAP 0.2 ;\nEND DEFAULTCAP\n"
        "IOTIMINGS 1 ;\n - ( PIN a ) + RISE VARIABLE 0.1 0.2 ;\nEND IOTIMINGS\n"
        "CONSTRAINTS 1 ;\n - NET n + RISEMAX 3 ;\nEND CONSTRAINTS\n"
    )
    insts = "COMPONENTS 1 ;\n- u1 INV + PLACED ( 5 7 ) N ;\nEND COMPONENTS\n"
    found = read_def(write(of(old, insts).replace("VERSION 5.8", "VERSION 5.3")))
    assert same(found, read_def(write(of(insts))))
    assert found.inst_names.tolist() == ["u1"]


def test_comments_inside_the_statements_of_the_header(write: Write) -> None:
    text = (
        of().replace('DIVIDERCHAR "/"', 'DIVIDERCHAR # "a\n "|" # b\n').replace("DESIGN top", "DESIGN # no\n top # ;\n")
    )
    found = read_def(write(text.replace('"[]"', '"<>"')))
    assert (found.design, found.divider, found.busbits) == ("top", "|", "<>")


def test_rows_of_two_sites_with_properties_and_without_do(write: Write) -> None:
    text = (
        'ROW a s1 0 0 N DO 5 BY 1 STEP 10 0 + PROPERTY X "DOG ; ROW" ;\nROW b s2 0 7 FS DO 1 BY 9 STEP 0 3 ;\n'
        "ROW c s1 -5 9 FN ;\nROW d s2 1 1 S DO 3 BY 1 ;\n"
    )
    found = read_def(write(of(text)))
    assert found.row_site.tolist() == [0, 1, 0, 1]
    assert found.row_count.tolist() == [[5, 1], [1, 9], [1, 1], [3, 1]]
    assert found.row_step_dbu.tolist() == [[10, 0], [0, 3], [0, 0], [0, 0]]


def test_tracks_with_masks_and_without_layers(write: Write) -> None:
    found = read_def(write(of("TRACKS X 5 DO 3 STEP 7 MASK 1 SAMEMASK LAYER m1 ;\nTRACKS Y -5 DO 3 STEP 7 ;\n")))
    assert found.track_start.tolist() == [5, -5]
    assert found.track_layer.tolist() == [0, -1]


def test_ports_on_special_nets_on_unlisted_nets_and_on_none(write: Write) -> None:
    pins = "- VDD + NET VDD + USE POWER ;\n- a + NET lone + USE SIGNAL ;\n- b + DIRECTION FEEDTHRU ;"
    found = read_def(
        write(of(section("PINS", pins), "SPECIALNETS 1 ;\n- VDD ;\nEND SPECIALNETS\nNETS 0 ;\nEND NETS\n"))
    )
    assert found.bterm_net.tolist() == [-1, NO_NET, NO_NET]
    assert found.bterm_direction.tolist() == [-1, -1, 3]
    assert len(found.net_names) == 0


def test_a_port_listed_again_adds_to_the_first(write: Write) -> None:
    pins = "\n".join(
        f"- {name} + NET V + USE POWER + LAYER m1 ( 0 0 ) ( 1 1 ) + FIXED ( {x} 0 ) N ;"
        for x, name in enumerate(["V", "V", "V.extra1", "V.extra2", "W.extra1", "B[3]", "B.extra1[3]"])
    )
    found = read_def(write(of(section("PINS", pins))))
    assert found.bterm_names.tolist() == ["V", "W.extra1", "B[3]"]
    assert found.bterm_shape_bterm.tolist() == [0, 0, 0, 0, 1, 2, 2]
    assert found.bterm_shape_port.tolist() == [0, 1, 2, 3, 0, 0, 1]
    assert found.bterm_shape_rect_dbu[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_port_shapes_with_masks_polygons_and_antenna_rules(write: Write) -> None:
    pin = (
        '- p + NET p + SPECIAL + DIRECTION INPUT + NETEXPR "x y" + SUPPLYSENSITIVITY VDD + USE ANALOG\n'
        "+ ANTENNAPINPARTIALMETALAREA 5 LAYER m1 + LAYER m1 MASK 2 SPACING 4 ( 5 6 ) ( 1 2 )\n"
        "+ POLYGON m2 DESIGNRULEWIDTH 3 ( 0 0 ) ( 2 0 ) ( 2 1 ) ( 1 1 ) ( 1 2 ) ( 0 2 )\n"
        "+ VIA v ( 0 0 ) + COVER ( 9 9 ) N ;"
    )
    found = read_def(write(of(section("PINS", pin))))
    assert found.bterm_shape_rect_dbu.tolist() == [[10, 11, 14, 15], [9, 9, 11, 10], [9, 10, 10, 11]]
    assert found.bterm_use.tolist() == [4]


def test_special_wires_of_every_form(write: Write) -> None:
    net = (
        "- V ( PIN V ) + ROUTED m1 10 + SHAPE RING + STYLE 1 ( 0 0 ) ( 100 * ) ( * 50 ) v1 ( 200 * )\n"
        " NEW m2 7 ( 5 5 ) ( 5 5 ) NEW m2 7 ( 0 0 ) ( 0 9 ) NEW m1 0 ( 3 4 ) v2 FN DO 2 BY 3 STEP 10 20\n"
        " NEW m1 4 MASK 1 ( 0 0 ) ( 6 6 ) NEW m1 2 ( 1 1 ) MASK 031 v1 NEW m1 2 ( 7 7 ) v1 N\n"
        " + RECT m3 ( 9 8 ) ( 1 2 ) + POLYGON m3 ( 0 0 ) ( 4 0 ) ( 4 4 ) ( 0 4 )\n"
        " + FIXED + SHAPE RING + MASK 2 + RECT m4 ( 0 0 ) ( 1 1 ) + ROUTED + VIA v3 N ( 1 1 ) ( 2 2 )\n"
        " + SHIELD other m5 20 ( 0 100 5 ) ( -50 100 ) + ROUTED m6 8 ( 1 1 ) ( * * ) ( 9 * )\n"
        " NEW m6 8 ( 20 0 4 ) ( * 30 2 ) NEW m6 8 ( 30 30 4 ) ( * 0 2 ) NEW m6 8 ( 0 50 4 ) ( 9 * 2 )\n"
        " + COVER m5 2 ( 0 0 ) ( * 3 )\n"
        ' + SOURCE NETLIST + FIXEDBUMP + WEIGHT 3 + PROPERTY p "- x ;" + USE POWER + FIXED ;'
    )
    found = read_def(write(of(section("SPECIALNETS", net))))
    wires = sorted(
        (found.layer_names[a], *rect)
        for a, rect in zip(found.swire_layer.tolist(), found.swire_rect_dbu.tolist(), strict=True)
    )
    assert wires == [
        ("m1", -2, -2, 8, 8), ("m1", 0, -5, 100, 5), ("m1", 95, 0, 105, 50), ("m1", 100, 45, 200, 55),
        ("m2", -3, 0, 3, 9), ("m3", 0, 0, 4, 4), ("m3", 1, 2, 9, 8), ("m4", 0, 0, 1, 1),
        ("m5", -50, 90, 5, 110), ("m5", -1, 0, 1, 3), ("m6", -4, 46, 11, 54),
        ("m6", 1, -3, 9, 5), ("m6", 16, -4, 24, 32), ("m6", 26, -2, 34, 34)]  # fmt: skip
    vias = zip(found.svia_via.tolist(), found.svia_xy_dbu.tolist(), strict=True)
    assert sorted((found.via_names[v], *xy) for v, xy in vias) == [
        ("v1", 1, 1), ("v1", 7, 7), ("v1", 100, 50),
        ("v2", 3, 4), ("v2", 3, 24), ("v2", 3, 44), ("v2", 13, 4), ("v2", 13, 24), ("v2", 13, 44),
        ("v3", 1, 1), ("v3", 2, 2)]  # fmt: skip
    assert found.special_use.tolist() == [1]
    assert len(found.bterm_names) == 0


def test_sections_that_change_nothing_are_passed_over(write: Write) -> None:
    text = of(
        'PROPERTYDEFINITIONS\n DESIGN x STRING "END PROPERTYDEFINITIONS" ;\nEND PROPERTYDEFINITIONS\n',
        "HISTORY any ( words - here ;\nCOMPONENTMASKSHIFT m1 m2 ;\nTECHNOLOGY t ;\n",
        section("STYLES", "- STYLE 0 ( 0 0 ) ( 1 1 ) ( 2 2 ) ;"),
        section("NONDEFAULTRULES", "- r + LAYER m1 WIDTH 5 ;"),
        section("FILLS", "- LAYER m1 RECT ( 0 0 ) ( 1 1 ) ;"),
        section("SCANCHAINS", "- s + START PIN a ;"),
        section("PINPROPERTIES", "- PIN a + PROPERTY p 3 ;"),
        'BEGINEXT "tag"\n anything ; END NETS\nENDEXT\n',
    )
    assert len(read_def(write(text)).inst_names) == 0


def test_gzip_under_a_plain_name(write: Write, design: DefDesign) -> None:
    assert same(design, read_def(write(gzip.compress((HEAD + BODY).encode()), "y.def")))


# Properties


LAYOUTS = [
    pytest.param(lambda t: t.replace("\n", "\r\n"), id="CRLF"),
    pytest.param(lambda t: re.sub(r"[ \n]+", "\n", t), id="a word a line"),
    pytest.param(lambda t: re.sub(r"\s+", " ", t), id="one line"),
    pytest.param(lambda t: re.sub(r"\s+", "\t \t", t), id="tabs"),
    pytest.param(lambda t: t.replace("\n", ' # - x ( y z ) ; END NETS "\n'), id="comments"),
    pytest.param(lambda t: "# first\n\n" + t.replace("\n", "\n\n   "), id="blank lines"),
    pytest.param(lambda t: t.replace(" ;", ";"), id="glued semicolons"),
    pytest.param(lambda t: "\ufeff" + t, id="byte order mark"),
]


@pytest.mark.parametrize("change", LAYOUTS)
def test_layout_changes_nothing(write: Write, design: DefDesign, change: Callable[[str], str]) -> None:
    assert same(design, read_def(write(change(HEAD + BODY), "y.def")))


@pytest.mark.parametrize("change", LAYOUTS)
def test_layout_of_a_kit_design_changes_nothing(write: Write, kit: Path, change: Callable[[str], str]) -> None:
    path = kit / "labels" / "gsr45" / "crc_bank" / "v2" / "placed.def.gz"
    assert same(read_def(path), read_def(write(change(read_bytes(path).decode()))))


def test_the_order_of_sections_changes_nothing_but_numbers(write: Write, design: DefDesign) -> None:
    parts = re.findall(r"(?:VIAS|COMPONENTS|PINS|BLOCKAGES|SPECIALNETS|NETS) \d+ ;.*?END \w+\n", BODY, re.DOTALL)
    found = read_def(write(of(*parts[::-1])))
    assert found.conn_inst.tolist() == design.conn_inst.tolist()
    assert found.bterm_net.tolist() == design.bterm_net.tolist()


# Refusals

PART = 'COMPONENTS has a statement that cannot be read: "'


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("UNITS DISTANCE MICRONS 1000 ;\n", "", "VERSION", ["no UNITS DISTANCE MICRONS"]),
        ("MICRONS 1000", "MICRONS 0", "UNITS", ["from 1 to 1000000"]),
        ("MICRONS 1000", "MICRONS " + "9" * 5000, "UNITS", ["from 1 to 1000000"]),
        ("DESIGN top ;\n", "", "VERSION", ["no DESIGN name"]),
        ("DESIGN top ;", "DESIGN ;", "DESIGN ;", ["no DESIGN name"]),
        ('"[]"', '"["', "BUSBITCHARS", ["BUSBITCHARS", "2 quoted"]),
        ("( 20000 10000 )", "( 20000 )", "DIEAREA", ["DIEAREA is not a list"]),
        ("( 20000 10000 )", "( 2e9 3e9 )", "DIEAREA", ["3e9", "32 bits"]),
        ("GCELLGRID X", "GCELGRID X", "GCELGRID", ["starts no DEF statement", '"GCELLGRID"']),
        ("DO 10 BY 1 STEP 200 0", "DO 10", "ROW r0", ["ROW cannot be read", "Expected ROW"]),
        ("200 N DO", "200 R0 DO", "ROW r0", ["ROW cannot be read"]),
        ("BY 1 STEP 200 0 ;\nROW r1", "BY 1 STEP 200 0\nROW r1", "ROW r0", ["ROW cannot be read"]),
        ("TRACKS X 100 DO", "TRACKS Z 100 DO", "TRACKS Z", ["TRACKS cannot be read"]),
        ("DO 50 STEP 200", "DO " + "9" * 400 + " STEP 200", "TRACKS X", ["TRACKS", "32 bits"]),
        ("+ ENCLOSURE 5 6 7 8", "+ ENCLOSURE 5 6 7", "- gen", ['via "gen"', "ENCLOSURE with 4"]),
        ("+ LAYERS m1 v1 m2 ", "+ LAYERS m1 v1 ", "- gen", ["LAYERS with 3"]),
        ("+ ROWCOL 2 3", "+ ROWCOL 2 1000000000", "- gen", ["too much area"]),
        ("+ ROWCOL 2 3", "+ ROWKOL 2 3", "- gen", ["ROWKOL", '"ROWCOL"']),
        ("- box +", "- gen +", "- gen + RECT", ["listed twice"]),
        ("- u1 INV + PLACED ( 100 200 ) N ;", "- u1 ;", "- u1", [PART + "- u1 ;"]),
        ("- u1 INV + PLACED", "u1 INV + PLACED", "u1 INV", [PART + "u1 INV"]),
        ("( 100 200 ) N ;\n- u2", "( 100 200 ) N\n- u2", "- u2", ['a "-" inside a statement', "lacks its ;"]),
        ("- u4 NAND ;", "- u4 NAND", "- u4", ["ends inside a statement", "- u4 NAND"]),
        ("( 100 200 ) N ;", "( 100 200 ) R90 ;", "- u1", ['inst "u1"', '"R90" is no orientation', "FS"]),
        ("( 100 200 ) N ;", "( 100 2147483648 ) N ;", "- u1", ['"2147483648"', "32 bits"]),
        ("( 100 200 ) N ;", f"( 100 {'9' * 5000} ) N ;", "- u1", ["32 bits"]),
        ("( 100 200 ) N ;", "( 100 2.5 ) N ;", "- u1", ['"2.5" is not a whole number']),
        ("( 100 200 ) N ;", "( 100 2_0 ) N ;", "- u1", ['"2_0" is not a whole number']),
        ("( 100 200 ) N ;", "( 100 ) N ;", "- u1", ["a place that cannot be read", "PLACED ( 100 ) N"]),
        ("+ SOURCE TIMING", "+ SAUCE TIMING", "- u2", ['unknown attribute "+ SAUCE"', '"SOURCE"']),
        ("- u2 INV", "- u1 INV", "- u1 INV + SOURCE", ['inst "u1" is listed twice']),
        ("- u4 NAND ;", "- u4 NAND net1 net2 ;", "- u4", [PART + "- u4 NAND net1"]),
        ("+ DIRECTION INPUT", "+ DIRECTION IN", "- a + NET", ['pin "a"', "DIRECTION IN"]),
        ("+ DIRECTION INPUT", "+ DIRECTON INPUT", "- a + NET", ["DIRECTON", '"DIRECTION"']),
        ("+ LAYER m2 ( -10 0 ) ( 20 50 )", "+ LAYER m2 ( -10 0 )", "- a + NET", ["a shape that cannot be read"]),
        ("- y + NET y", "- a + NET y", "- a + NET y", ["listed twice, on different nets"]),
        ("+ PARTIAL 40.5", "+ PARTIAL 140", "- PLACEMENT + PARTIAL", ['"140" is not a density']),
        ("RECT ( 1 2 ) ( 3 4 )", "RECT ( 1 2 )", "- LAYER m2", ["RECT has 1 points"]),
        ("+ SPACING 3 RECT", "+ SPARING 3 RECT", "- LAYER m2", ["blockage that cannot be read", "Expected LAYER"]),
        ("( u1 A )", "( u9 A )", "- a ( PIN a )", ['net "a" uses inst "u9"', "COMPONENTS does not list", "same run"]),
        ("( u1 A )", "( * A )", "- a ( PIN a )", ['net "a" uses inst "*"']),
        ("( u1 A )", "( + SYNTHESIZED )", "- a ( PIN a )", ['net "a" uses inst "+"']),
        ("( u1 A )", "( u1 A", "- a ( PIN a )", ['NETS has a statement that cannot be read: "- a ( PIN']),
        ("( PIN y )", "( PIN z )", "- y ( u1", ['net "y" uses pin "z"', "PINS does not list"]),
        ("+ USE CLOCK ;\n- open", "+ USE CLOK ;\n- open", "- y ( u1", ["unknown USE CLOK", '"CLOCK"']),
        ("( * 50 ) ;\n- y", "( * 50 )\n- y", "- y ( u1", ['a "-" inside a statement', "lacks its ;"]),
        ("- y ( u1", "- a ( u1", "- a ( u1", ['net "a" is listed twice']),
        ("+ FIXED m3 80 ( 0 100 7 )", "+ FIXED m3 80 ( * 100 7 )", "- VDD ( *", ["special wiring", "( * 100 7 )"]),
        ("+ FIXED m3 80", "+ FIXED m3 8O", "- VDD ( *", ['"8O" is not a whole number']),
        ("+ FIXED m3 80", "+ FXED m3 80", "- VDD ( *", ["special wiring", "+ FXED m3"]),
        ("( 500 200 ) box", "( 500 200 ) box DO 99999 BY 99999 STEP 1 1", "- VDD ( *", ["special wiring", "DO 99999"]),
        ("( 0 200 ) ( 5000", "( 0 2147483600 ) ( 5000", "- VDD ( *", ["beyond 32 bits"]),
        ("END COMPONENTS\n", "", "COMPONENTS 4", ["section COMPONENTS has no END COMPONENTS", "cut short"]),
        ("END DESIGN\n", "", "END NETS", ["has no END DESIGN", "cut short"]),
        ("END DESIGN\n", "END DESIGN\nVERSION 5.8 ;\n", "VERSION 5.8 ;\n", ["text after END DESIGN"]),
        ("COMPONENTS 4 ;", "COMPONENTS ;", "COMPONENTS ;", ["not followed by a count"]),
        ("END DESIGN", "END TOP", "END TOP", ["END DESIGN was expected"]),
        ("PINS 3 ;", "PINS 0 ;\nEND PINS\nPINS 3 ;", "PINS 3 ;", ["a second section PINS"]),
        ("VERSION 5.8 ;\n", "VERSION 5.8 ;\n\0", "\0", ["NUL"]),
        (HEAD + BODY, "  \n", "", ["is empty"]),
    ],
)  # fmt: skip
def test_refusals_name_place_and_cause(write: Write, old: str, new: str, place: str, words: list[str]) -> None:
    text = HEAD + BODY
    assert old in text
    text = text.replace(old, new, 1)
    with pytest.raises(InputError) as caught:
        read_def(write(text))
    message = str(caught.value)
    at = text.rindex(place) if place in ("VERSION 5.8 ;\n", "- a ( u1") else text.index(place)
    line = text[:at].count("\n") + 1
    assert (f"x.def:{line}: " if place else "x.def: ") in message
    for word in words:
        assert word in message


def test_a_group_of_an_unlisted_region(write: Write) -> None:
    with pytest.raises(InputError, match='region "r", which REGIONS does not list'):
        read_def(write(of(section("GROUPS", "- g u* + REGION r ;"))))


def test_faults_come_together_with_the_true_total_and_soon(write: Write) -> None:
    nets = "\n".join(f"- n{i} ( none{i} A ) ;" for i in range(20_000))
    with pytest.raises(InputError) as caught:
        read_def(write(of(section("NETS", nets))))
    message = str(caught.value)
    assert "20000 faults" in message
    assert message.count("COMPONENTS does not list") == 20
    assert "and 19980 more" in message


def test_every_cut_is_refused(write: Write) -> None:
    text = HEAD + BODY
    for end in range(0, len(text) - 2, 3):
        with pytest.raises(InputError):
            read_def(write(text[:end]))


@pytest.mark.parametrize("blank", [" ", "\n", "(", "+ ", "- ", "( a ", '"', "#", "\\", "9", "-", ") ("])
def test_long_runs_end_soon(write: Write, blank: str) -> None:
    """Patterns must not try every way to cut a long run of one thing."""
    run = blank * (60_000 // len(blank))
    for text in (
        of(section("COMPONENTS", "- a B " + run)),
        of(section("NETS", "- a " + run)),
        of(section("PINS", "- a + NET b + LAYER m1 " + run + " ;")),
        of(section("BLOCKAGES", "- LAYER m1 RECT " + run + " ;")),
        of(section("SPECIALNETS", "- a + ROUTED " + run + " ;")),
        of("ROW " + run + " ;\n", "TRACKS " + run + " ;\n"),
        HEAD + "DIEAREA " + run + " ;\nEND DESIGN\n",
        of(section("NETS", run)),
        of(section("NETS", "- a ;" + run)),
        HEAD + run,
    ):
        with contextlib.suppress(InputError):
            read_def(write(text))


def test_junk_never_raises_anything_else(write: Write) -> None:
    rng = random.Random(7)
    text = (HEAD + BODY).encode()
    words = text.split()
    for _ in range(700):
        kind = rng.randrange(4)
        if kind == 0:
            data = bytearray(text)
            for _ in range(rng.randrange(1, 9)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            junk = bytes(data)
        elif kind == 1:
            junk = rng.randbytes(rng.randrange(1, 2000))
        elif kind == 2:
            shuffled = list(words)
            for _ in range(rng.randrange(1, 5)):
                at = rng.randrange(len(shuffled))
                shuffled[at : at + rng.randrange(3)] = rng.choices(words, k=rng.randrange(3))
            junk = b" ".join(shuffled)
        else:
            old = rng.choice([b"100", b"200", b"2000", b"m1", b"VDD", b"u1", b"( ", b"0"])
            junk = text.replace(old, rng.choice([b"9" * 400, b"-", b"1e999", b"nan", b"*", b"", b"\xff\xfe"]))
        try:
            found = read_def(write(junk))
        except InputError:
            continue
        assert len(found.inst_names) == len(found.inst_xy_dbu)
