"""LEF: against OpenROAD's own parser, odd but legal writing, files that must be refused, and junk."""

import gzip
import math
import random
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from lef_peer import compare

from circuit_io.errors import InputError
from circuit_io.lef import LefLibrary, read_lef
from circuit_io.names import Names

Write = Callable[..., Path]

TECH = """VERSION 5.8 ;
BUSBITCHARS "[]" ;
DIVIDERCHAR "/" ;
UNITS
  DATABASE MICRONS 2000 ;
END UNITS
MANUFACTURINGGRID 0.005 ;
LAYER poly
  TYPE MASTERSLICE ;
END poly
LAYER m1
  TYPE ROUTING ;
  DIRECTION HORIZONTAL ;
  PITCH 0.2 ;
  OFFSET 0.1 ;
  WIDTH 0.07 ;
  SPACING 0.065 ;
  SPACING 0.1 RANGE 0.3 10 ;
END m1
LAYER v1
  TYPE CUT ;
  SPACING 0.08 ;
  WIDTH 0.07 ;
END v1
LAYER m2
  TYPE ROUTING ;
  DIRECTION VERTICAL ;
  PITCH 0.19 0.2 ;
  WIDTH 0.07 ;
  SPACINGTABLE PARALLELRUNLENGTH 0.0 0.9
    WIDTH 0.0 0.075 0.075
    WIDTH 0.3 0.075 0.15 ;
END m2
LAYER m3
  TYPE ROUTING ;
  DIRECTION HORIZONTAL ;
  PITCH 0.28 ;
  OFFSET 0.14 0.15 ;
  WIDTH 0.14 ;
  SPACINGTABLE TWOWIDTHS
    WIDTH 0.0 PRL 0.0 0.16 0.2
    WIDTH 0.25 PRL 0.0 0.2 0.25 ;
END m3
VIA up DEFAULT
  LAYER m1 ;
    RECT -0.07 -0.05 0.07 0.05 ;
  LAYER v1 ;
    RECT -0.035 -0.035 0.035 0.035 ;
  LAYER m2 ;
    RECT -0.05 -0.07 0.05 0.07 ;
END up
SITE core
  CLASS CORE ;
  SIZE 0.2 BY 1.4 ;
END core
"""

MACRO = """MACRO INV
  CLASS CORE ;
  ORIGIN 0 0 ;
  SIZE 0.4 BY 1.4 ;
  SYMMETRY X Y ;
  SITE core ;
  PIN A
    DIRECTION INPUT ;
    USE SIGNAL ;
    PORT
      LAYER m1 ;
        RECT 0.1 0.2 0.15 0.3 ;
    END
  END A
END INV
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str | bytes, name: str = "x.lef") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return put


def macro_with(pin_or_obs: str, head: str = "CLASS CORE ; SIZE 1 BY 2 ;") -> str:
    return TECH + f"MACRO X\n {head}\n {pin_or_obs}\nEND X\nEND LIBRARY\n"


def same(a: LefLibrary, b: LefLibrary) -> bool:
    for field in fields(LefLibrary):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            if not np.array_equal(x, y, equal_nan=x.dtype.kind == "f"):
                return False
        elif x != y:
            return False
    return True


# Against OpenROAD's parser


def test_the_kit_equals_openroads_parser(kit: Path, tmp_path: Path) -> None:
    counts = [compare(path, tmp_path) for path in sorted((kit / "tech").glob("*.lef"))]
    assert sum(c[0] for c in counts) > 300
    assert sum(c[1] for c in counts) > 400


def lefs_below(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.rglob("*lef*")) if re.search(r"\.t?lef(\.gz)?$", p.name)]


@pytest.mark.parametrize(("pdk", "least"), [("asap7", 1_500), ("ihp-sg13g2", 400), ("nangate45", 800)])
def test_real_cells_equal_openroads_parser(gsr_data: Path, tmp_path: Path, pdk: str, least: int) -> None:
    paths = lefs_below(gsr_data / "pdk" / pdk)
    assert sum(compare(path, tmp_path)[0] for path in paths) > least


# Values


def test_the_technology(write: Write) -> None:
    lib = read_lef(write(TECH + "END LIBRARY\n"))
    assert lib.dbu_per_um == 2000
    assert lib.layer_names.tolist() == ["poly", "m1", "v1", "m2", "m3"]
    assert lib.layer_kind.tolist() == [2, 0, 1, 0, 0]
    assert lib.layer_direction.tolist() == [-1, 0, -1, 1, 0]
    assert lib.routing_level.tolist() == [0, 1, 0, 2, 3]
    assert lib.layer_pitch_um[1:].tolist()[0] == [0.2, 0.2]
    assert lib.layer_pitch_um[3].tolist() == [0.19, 0.2]
    assert lib.layer_offset_um[4].tolist() == [0.14, 0.15]
    assert np.isnan(lib.layer_offset_um[3]).all()
    assert lib.layer_width_um[[1, 2, 3, 4]].tolist() == [0.07, 0.07, 0.07, 0.14]
    assert lib.layer_spacing_um[[1, 2, 3, 4]].tolist() == [0.065, 0.08, 0.075, 0.16]
    assert math.isnan(lib.layer_spacing_um[0])
    assert (lib.site_names.tolist(), lib.site_class, lib.site_size_um.tolist()) == (["core"], ["CORE"], [[0.2, 1.4]])


def test_a_macro(write: Write) -> None:
    lib = read_lef(write(TECH), write(MACRO, "cells.lef"))
    assert lib.macro_names.tolist() == ["INV"]
    assert (lib.macro_class, lib.macro_site, lib.macro_symmetry) == (["CORE"], ["core"], ["X Y"])
    assert lib.macro_size_um.tolist() == [[0.4, 1.4]]
    assert lib.mterm_names.tolist() == ["A"]
    assert (lib.mterm_direction.tolist(), lib.mterm_use.tolist()) == ([0], [0])
    assert lib.shape_rect_um.tolist() == [[0.1, 0.2, 0.15, 0.3]]
    assert lib.layer_names.take(lib.shape_layer.tolist()).tolist() == ["m1"]


def test_a_layer_that_only_shapes_name_comes_last_with_kind_minus_one(write: Write) -> None:
    lib = read_lef(write(MACRO), write(TECH, "tech.lef"))
    assert lib.layer_names.tolist() == ["poly", "m1", "v1", "m2", "m3"]
    alone = read_lef(write(MACRO))
    assert (alone.layer_names.tolist(), alone.layer_kind.tolist(), alone.dbu_per_um) == (["m1"], [-1], 0)


@pytest.mark.parametrize(
    ("words", "code"),
    [("INPUT", 0), ("OUTPUT", 1), ("OUTPUT TRISTATE", 1), ("INOUT", 2), ("FEEDTHRU", 3), ("input", 0)],
)
def test_directions(write: Write, words: str, code: int) -> None:
    assert read_lef(write(macro_with(f"PIN p DIRECTION {words} ; END p"))).mterm_direction.tolist() == [code]


@pytest.mark.parametrize(
    ("word", "code"),
    [("SIGNAL", 0), ("POWER", 1), ("GROUND", 2), ("CLOCK", 3), ("ANALOG", 4), ("RESET", 5), ("SCAN", 5)],
)
def test_uses(write: Write, word: str, code: int) -> None:
    lib = read_lef(write(macro_with(f"PIN p USE {word} ; END p PIN q END q")))
    assert lib.mterm_use.tolist() == [code, 0]
    assert lib.mterm_direction.tolist() == [-1, -1]


# Odd but legal (research: 29)


def test_class_glued_to_its_semicolon_and_in_small_letters(write: Write) -> None:
    lib = read_lef(write(macro_with("", "CLASS core TIEHIGH;\n ORIGIN 180 0 ;\n SIZE 1 BY 2;")))
    assert lib.macro_class == ["CORE TIEHIGH"]
    assert lib.macro_origin_um.tolist() == [[180, 0]]
    assert lib.macro_size_um.tolist() == [[1, 2]]


def test_keywords_in_any_letter_case(write: Write) -> None:
    lib = read_lef(write(TECH.replace("LAYER m1\n", "Layer m1\n").replace("TYPE ROUTING", "Type Routing")))
    assert lib.layer_kind.tolist() == [2, 0, 1, 0, 0]


def test_a_pin_with_two_ports_and_an_odd_name(write: Write) -> None:
    lib = read_lef(
        write(
            macro_with(
                "PIN VDD! USE POWER ; PORT LAYER m1 ; RECT 0 0 1 1 ; END "
                "PORT CLASS CORE ; LAYER m2 ; RECT 1 1 0 0 ; END END VDD!"
            )
        )
    )
    assert lib.mterm_names.tolist() == ["VDD!"]
    assert lib.shape_port.tolist() == [0, 1]
    assert lib.shape_rect_um.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]


def test_a_pin_listed_again_adds_ports(write: Write) -> None:
    pin = "PIN v USE POWER ; PORT LAYER m1 ; RECT 0 0 1 1 ; END END v "
    lib = read_lef(write(macro_with(pin + pin.replace("m1", "m2"))))
    assert lib.mterm_names.tolist() == ["v"]
    assert lib.shape_port.tolist() == [0, 1]


def test_masks_paths_polygons_iterations_and_vias(write: Write) -> None:
    shapes = (
        "LAYER m1 EXCEPTPGNET SPACING 0.1 ; WIDTH 0.2 ; RECT MASK 2 0 0 1 1 ; PATH 0 0 0 2 ; PATH MASK 1 3 3 ;"
        "POLYGON 0 0 2 0 2 1 1 1 1 2 0 2 ; POLYGON 0 0 4 0 2 2 ;"
        "RECT ITERATE 3 3 2 2 DO 2 BY 2 STEP 1 0.5 ; VIA 10 20 up ; VIA ITERATE 1 1 up DO 1 BY 2 STEP 0 5 ;"
    )
    lib = read_lef(write(macro_with(f"OBS {shapes} END")))
    rects = [[round(v, 6) for v in r] for r in lib.obs_rect_um.tolist()]
    assert rects[:1] == [[0, 0, 1, 1]]
    assert rects[1:3] == [[-0.1, -0.1, 0.1, 2.1], [2.9, 2.9, 3.1, 3.1]]
    assert rects[3:6] == [[0, 0, 2, 1], [0, 1, 1, 2], [0, 0, 4, 2]]
    assert rects[6:10] == [[2, 2, 3, 3], [3, 2, 4, 3], [2, 2.5, 3, 3.5], [3, 2.5, 4, 3.5]]
    assert rects[10:13] == [[9.93, 19.95, 10.07, 20.05], [9.965, 19.965, 10.035, 20.035], [9.95, 19.93, 10.05, 20.07]]
    assert len(rects) == 19
    assert lib.layer_names.take(lib.obs_layer[10:13].tolist()).tolist() == ["m1", "v1", "m2"]


def test_a_path_takes_the_width_given_after_its_layer_or_the_layers_own(write: Write) -> None:
    shapes = "LAYER m1 ; WIDTH 0.2 ; PATH 0 0 0 2 ; LAYER m3 ; PATH 0 0 0 2 ; LAYER m2 ; PATH 0 0 ;"
    lib = read_lef(write(macro_with(f"OBS {shapes} END")))
    assert [r[2] for r in lib.obs_rect_um.tolist()] == [0.1, 0.07, 0.035]


def test_names_that_are_keywords_and_strings_with_semicolons(write: Write) -> None:
    text = TECH + (
        "PROPERTYDEFINITIONS MACRO LEF58_X STRING ; END PROPERTYDEFINITIONS\nMACRO END_\n CLASS BLOCK ; SIZE 1 BY 1 ;\n"
        ' PROPERTY LEF58_X "A ; END PIN\n MACRO B # ;" ;\n OBS\n END\nEND END_\n'
        "MACRO MACRO\n SIZE 2 BY 2 ;\n PIN LAYER\n END LAYER\nEND MACRO\nEND LIBRARY"
    )
    lib = read_lef(write(text))
    assert lib.macro_names.tolist() == ["END_", "MACRO"]
    assert lib.mterm_names.tolist() == ["LAYER"]


def test_what_lef_5_3_alone_has_is_passed_over(write: Write) -> None:
    text = TECH.replace("VERSION 5.8", "VERSION 5.3\n") + (
        "NAMESCASESENSITIVE ON ;\nMINFEATURE 0.1 0.1 ;\nDIELECTRIC 0.000345 ;\n"
        "IRDROP TABLE DRESISTOR -0.1 0.2 ; END IRDROP\n"
        "ARRAY a SITE core 0 0 N DO 5 BY 1 STEP 1 0 ; FLOORPLAN f CANPLACE core 0 0 N DO 5 BY 1 STEP 1 0 ; END f "
        "DEFAULTCAP 1 MINPINS 2 WIRECAP 0.1 ; END DEFAULTCAP END a\n"
        "MACRO OLD\n CLASS CORE ;\n POWER 0.1 ;\n SIZE 2 BY 2 ;\n"
        " TIMING FROMPIN A ; TOPIN Y ; RISE INTRINSIC 0.1 0.2 VARIABLE 0.1 0.2 ; UNATENESS INVERT ; END TIMING\n"
        " PIN A DIRECTION INPUT ; RISETHRESH 1.0 ; CAPACITANCE 0.01 ; PORT LAYER m1 ; RECT 0 0 1 1 ; END END A\n"
        "END OLD\nEND LIBRARY\n"
    )
    lib = read_lef(write(text))
    assert lib.macro_names.tolist() == ["OLD"]
    assert lib.mterm_names.tolist() == ["A"]


def test_rules_and_extensions_are_passed_over(write: Write) -> None:
    text = TECH + (
        "VIARULE r GENERATE LAYER m1 ; ENCLOSURE 0 0 ; LAYER m2 ; ENCLOSURE 0 0 ; LAYER v1 ; RECT 0 0 1 1 ; "
        "SPACING 1 BY 1 ; END r\nSPACING SAMENET m1 m1 0.1 ; END SPACING\nUSEMINSPACING OBS OFF ;\n"
        "NONDEFAULTRULE wide LAYER m1 WIDTH 1 ; END m1 VIA w LAYER m1 ; RECT 0 0 1 1 ; END w END wide\n"
        'BEGINEXT "tag" anything ; END goes here ENDEXT\n' + MACRO + "END LIBRARY\n"
    )
    assert read_lef(write(text)).macro_names.tolist() == ["INV"]


def test_the_same_macro_twice_is_taken_once_another_of_its_name_is_refused(write: Write) -> None:
    once = read_lef(write(TECH + MACRO))
    again = MACRO.replace("\n", "\n   ").replace("CLASS", "# again\n CLASS")
    assert same(once, read_lef(write(TECH + MACRO, "a.lef"), write(TECH + again, "b.lef")))
    with pytest.raises(InputError, match=r'b.lef:1: macro "INV" is defined twice(.|\n)*a.lef'):
        read_lef(write(TECH + MACRO, "a.lef"), write(MACRO.replace("0.4", "0.6"), "b.lef"))
    with pytest.raises(InputError, match=r'layer "m1" is defined twice(.|\n)*x.lef:11'):
        read_lef(write(TECH + "LAYER m1 TYPE CUT ; END m1"))


# Properties


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: t.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(lambda t: re.sub(r"[ \n]+", "\n", t), id="a word a line"),
        pytest.param(lambda t: re.sub(r"\s+", " ", t), id="one line"),
        pytest.param(lambda t: t.replace("\n", ' # END "MACRO ;\n'), id="comments"),
        pytest.param(lambda t: t.replace(" ;", ";"), id="glued semicolons"),
        pytest.param(lambda t: "\ufeff" + t.replace("\n", "\n\t \n"), id="blank lines, byte order mark"),
    ],
)
def test_layout_changes_nothing(write: Write, kit: Path, change: Callable[[str], str]) -> None:
    text = "".join(
        (kit / "tech" / f"gsr45_{part}.lef").read_text().replace("END LIBRARY", "") for part in ("tech", "cells")
    )
    plain = re.sub(r"#.*", "", text)
    assert same(read_lef(write(plain, "a.lef")), read_lef(write(change(plain), "b.lef")))


def test_gz_changes_nothing(write: Write, kit: Path) -> None:
    cells = kit / "tech" / "gsr45_cells.lef"
    packed = write(gzip.compress(cells.read_bytes()), "cells.lef")
    assert same(read_lef(cells), read_lef(packed))


# Refusals


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (TECH.replace("TYPE CUT ;", "TYPE CUTS ;"), "TYPE CUTS", ["TYPE", '"CUTS"', '"CUT"']),
        (TECH.replace("WIDTH 0.14 ;", "WIDTH 0.1.4 ;"), "WIDTH 0.1.4", ["WIDTH", "0.1.4"]),
        (TECH.replace("WIDTH 0.14 ;", "WIDTH 1_0 ;"), "WIDTH 1_0", ["WIDTH", "1_0"]),
        (TECH.replace("WIDTH 0.14 ;", "WIDTH 1e400 ;"), "WIDTH 1e400", ["WIDTH", "1e400"]),
        (TECH.replace("MICRONS 2000", "MICRONS 0"), "DATABASE", ["DATABASE MICRONS"]),
        (TECH.replace("MICRONS 2000", "MICRONS 10.5"), "DATABASE", ["DATABASE MICRONS"]),
        (
            TECH.replace("MANUFACTURINGGRID", "MANUFACTURINGGRIT"),
            "MANUFACTURINGGRIT",
            ["starts no LEF statement", "MANUFACTURINGGRID"],
        ),
        (TECH.replace("  TYPE MASTERSLICE ;\n", ""), "LAYER poly", ['layer "poly" has no TYPE']),
        (TECH.replace("END poly", "END m1"), "END m1\nLAYER m1", ["expected END poly", "END m1"]),
        (TECH.replace("  SIZE 0.2 BY 1.4 ;\n", ""), "SITE core", ['site "core" has no SIZE']),
        (TECH.replace("SIZE 0.2 BY 1.4", "SIZE 0.2 1.4"), "SIZE 0.2 1.4", ["SIZE width BY height"]),
        (TECH + MACRO.replace("  SIZE 0.4 BY 1.4 ;\n", ""), "MACRO INV", ['macro "INV" has no SIZE']),
        (TECH + MACRO.replace("0.4 BY 1.4", "-0.4 BY 1.4"), "SIZE -0.4", ["SIZE below 0"]),
        (
            TECH + MACRO.replace("DIRECTION INPUT", "DIRECTON INPUT"),
            "DIRECTON",
            ['pin "A"', '"DIRECTON"', '"DIRECTION"'],
        ),
        (TECH + MACRO.replace("SITE core", "SIGHT core"), "SIGHT", ['macro "INV"', '"SIGHT"', '"SITE"']),
        (TECH + MACRO.replace("SYMMETRY X Y ;", "SYMMETRY X Y"), "SYMMETRY X Y", ["SYMMETRY"]),
        (TECH + MACRO.replace("USE SIGNAL ;", "USE SIGNAL"), "USE SIGNAL", ["USE", "lacks its ;"]),
        (TECH + MACRO.replace("0.2 0.15", "0.2 abc"), "RECT 0.1", ["RECT", "0.1 0.2 abc 0.3"]),
        (TECH + MACRO.replace("0.2 0.15", "0.2 nan"), "RECT 0.1", ["RECT", "nan"]),
        (TECH + MACRO.replace("0.2 0.15 0.3", "0.2 0.15"), "RECT 0.1", ["RECT", "4 number(s)"]),
        (TECH + MACRO.replace("LAYER m1 ;\n        RECT", "RECT"), "RECT 0.1", ["RECT before any LAYER"]),
        (macro_with("OBS LAYER poly ; PATH 0 0 1 1 ; END"), "PATH", ["PATH without a WIDTH", '"poly"']),
        (macro_with("OBS LAYER m1 ; POLYGON 0 0 1 1 ; END"), "POLYGON 0 0 1", ["POLYGON has too few points"]),
        (macro_with("OBS LAYER m1 ; VIA 0 0 down ; END"), "VIA 0 0", ["no VIA block defines", "0 0 down"]),
        (macro_with("OBS LAYER m1 ; RECT ITERATE 0 0 1 1 DO 1e9 BY 1e9 STEP 1 1 ; END"), "RECT ITERATE", ["too many"]),
        (macro_with("OBS LAYER m1 ; CIRCLE 0 0 1 ; END"), "CIRCLE", ['"CIRCLE"']),
        (TECH + MACRO + "END LIBRARY\n" + MACRO, "MACRO INV\n", ["text after END LIBRARY", "one by one"]),
        (TECH + "END MACROS\n", "END MACROS", ["END LIBRARY was expected"]),
        ("", "", ["is empty"]),
        ("VERSION 5.8 ;\n\0", "\x00", ["NUL"]),
        ("MACRO", "MACRO", ["no name"]),
    ],
)
def test_refusals_name_place_and_cause(write: Write, text: str, place: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read_lef(write(text))
    message = str(caught.value)
    line = text[: text.rindex(place)].count("\n") + 1
    assert f"x.lef:{line}: " in message if place else "x.lef: " in message
    for word in words:
        assert word in message


def test_up_to_twenty_faults_come_together_with_the_true_total(write: Write) -> None:
    with pytest.raises(InputError) as caught:
        read_lef(write(TECH + "".join(f"MACRO M{i}\n SIZ 1 BY 1 ;\nEND M{i}\n" for i in range(30))))
    assert "60 faults" in str(caught.value)
    assert str(caught.value).count("x.lef:") == 1 + 20
    assert "and 40 more" in str(caught.value)


def test_no_file_and_a_missing_one() -> None:
    with pytest.raises(InputError, match="no LEF file"):
        read_lef()
    with pytest.raises(InputError, match="cannot be read"):
        read_lef("/nowhere/at/all.lef")


def test_every_cut_is_refused_or_ends_between_blocks(write: Write) -> None:
    text = TECH + MACRO
    whole = re.sub(r"\s+", " ", text)
    for end in range(1, len(text), 2):
        try:
            read_lef(write(text[:end]))
        except InputError:
            continue
        tail = re.sub(r"\s+", " ", text[:end]).rstrip()
        assert tail.endswith(";") or re.search(r"END \w+$", tail), tail[-40:]
        assert whole.startswith(tail)


def test_junk_never_raises_anything_else(write: Write, kit: Path) -> None:
    rng = random.Random(5)
    text = (TECH + MACRO).encode()
    words = text.split()
    for _ in range(400):
        kind = rng.randrange(4)
        if kind == 0:
            data = bytearray(text)
            for _ in range(rng.randrange(1, 9)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            junk = bytes(data)
        elif kind == 1:
            junk = rng.randbytes(rng.randrange(1, 2000))
        elif kind == 2:
            shuffled = [w for w in words if rng.random() > 0.02]
            at = rng.randrange(len(shuffled))
            shuffled[at : at + 1] = rng.choices(words, k=rng.randrange(4))
            junk = b" ".join(shuffled)
        else:
            junk = text.replace(
                rng.choice([b"0.2", b"2000", b"1.4", b"m1"]), rng.choice([b"9" * 400, b"-", b"1e999", b""])
            )
        try:
            found = read_lef(write(junk))
        except InputError:
            continue
        assert isinstance(found.macro_names, Names)
