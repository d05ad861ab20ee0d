"""Files made to harm: archives and counts that ask for gigabytes, deep nests, absurd numbers, links, pipes, devices."""

import gzip
import os
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from circuit_io import sdc_tcl, text
from circuit_io.def_ import read_def
from circuit_io.errors import InputError
from circuit_io.lef import read_lef
from circuit_io.liberty import read_liberty
from circuit_io.sdc import read_sdc
from circuit_io.spef import read_spef
from circuit_io.verilog import read_verilog

SEEDS = Path(__file__).resolve().parent / "fuzz" / "seeds"
MEMORY = 64 << 20  # bytes, beside 100 for each byte of the file
READERS: dict[str, Callable[[Path], Any]] = {
    "def": read_def,
    "lef": read_lef,
    "verilog": read_verilog,
    "liberty": read_liberty,
    "spef": read_spef,
    "sdc": read_sdc,
}
DEF = "VERSION 5.8 ;\nDESIGN t ;\nUNITS DISTANCE MICRONS 1000 ;\n"
SPEF = "*SPEF x\n*C_UNIT 1 PF\n*R_UNIT 1 OHM\n"
DEPTHS = [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)]


def section(name: str, body: str, count: str = "1") -> str:
    return f"{DEF}{name} {count} ;\n{body}\nEND {name}\nEND DESIGN\n"


def comb(n: int) -> str:
    """A polygon that n teeth of different heights cut into n * n / 2 rectangles."""
    teeth = "".join(
        f"( {2 * i} {i + 1} ) ( {2 * i + 1} {i + 1} ) ( {2 * i + 1} 0 ) ( {2 * i + 2} 0 ) " for i in range(n)
    )
    return f"( 0 0 ) {teeth}( {2 * n} -1 ) ( 0 -1 )"


def macro(body: str) -> str:
    return f"MACRO X SIZE 1 BY 1 ; OBS LAYER m ; {body} END END X\nEND LIBRARY\n"


@pytest.mark.parametrize("reader", READERS)
def test_no_file_that_is_not_regular_is_waited_for(tmp_path: Path, reader: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "piped").symlink_to("pipe")
    for name, what in {
        "pipe": r"is a pipe or a device, not a file\n  Give the file itself: x.gz in place of <\(zcat x.gz\)",
        "piped": "is a pipe or a device",
        "zero": "is a pipe or a device",
        "folder": "is a folder",
        "dangling": "cannot be read: No such file",
        "loop": "cannot be read: .*symbolic links",
        "a\0b": "cannot be read: embedded null byte",
        "a" * 9999: "cannot be read: File name too long",
    }.items():
        with pytest.raises(InputError, match=what):
            READERS[reader](tmp_path / name)


def test_a_link_to_a_good_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(SEEDS / "def" / "netlist.def")
    (tmp_path / "b").symlink_to("a")
    assert read_def(tmp_path / "b").inst_names.tolist()[:2] == ["u1", "u2"]


@pytest.mark.parametrize("reader", READERS)
def test_a_bomb_is_refused_before_it_fills_memory(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "x.gz"
    with gzip.open(path, "wb", 1) as f:
        for _ in range(text.FREE_BYTES // text.PIECE + 2):
            f.write(bytes(text.PIECE))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"unpacks to more than [\d,]+ bytes\n  Give it unpacked"):
            READERS[reader](path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * text.FREE_BYTES + 4 * text.PIECE


def nests(n: int) -> dict[str, list[str]]:
    return {
        "def": [section("NETS", "- a " + "( " * n), section("SPECIALNETS", "- a + ROUTED m 1 " + "( " * n + ";")],
        "lef": ["MACRO a " * n, "PROPERTYDEFINITIONS " * n, "MACRO a PIN b " + "PORT " * n],
        "verilog": [
            f"module t (a); INV u (.A({'{' * n}a{'}' * n})); endmodule",
            f"module t (a); INV u {'(' * n}; endmodule",
            "`ifdef A\n" * n,
            "module a (" * n,
            f"module t; wire {'[' * n}; endmodule",
            "(* " * n,
            "/* " * n,
        ],
        "liberty": [
            "library(l){" * n,
            "library(l){cell(c){" + "internal_power(){" * n,
            f"library(l){{a{'(' * n};}}",
            f'library(l){{cell(c){{pin(a){{direction:input;}}pin(z){{direction:output;function:"{"(" * n}a";}}}}}}',
            f'library(l){{cell(c){{pin(a){{direction:input;}}pin(z){{direction:output;function:"{"!" * n}a";}}}}}}',
        ],
        "spef": [SPEF + "*D_NET n 1\n" * n, SPEF + "*D_NET n 1\n*CONN\n" + "*" * n],
        "sdc": ["[" * n, "set a " + "{" * n + "}" * n, "expr " + "(" * n],
    }


def read_or_refuse(reader: str, path: Path) -> None:
    """Either is right, but a refusal has to be short."""
    said = ""
    try:
        READERS[reader](path)
    except InputError as e:
        said = str(e)
    assert len(said) < 20_000


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("reader", "case"), [(r, i) for r, cases in nests(1).items() for i in range(len(cases))])
def test_a_million_levels(tmp_path: Path, reader: str, case: int, depth: int) -> None:
    path = tmp_path / "deep"
    path.write_text(nests(depth)[reader][case])
    read_or_refuse(reader, path)


NUMBERS = [
    "1e999",
    "-1e999",
    "nan",
    "0x7fffffff",
    "9" * 5000,
    "1" + "0" * 400,
    "1e-999",
    "-0",
    "1_0",
    "\u0661",
    "1e+-1",
]
NUMBER_TEXTS = {
    "def": [
        DEF.replace("1000", "%s") + "END DESIGN\n",
        section("COMPONENTS", "- a b + PLACED ( %s %s ) N ;"),
        section("NETS", "", "%s"),
        section("VIAS", "- v + VIARULE r + CUTSIZE %s 1 + LAYERS a b c + ENCLOSURE 1 1 1 1 + ROWCOL %s %s ;"),
        section("SPECIALNETS", "- v + ROUTED m %s ( %s 0 ) ( 0 %s ) x DO %s BY 1 STEP %s %s ;"),
        section("BLOCKAGES", "- PLACEMENT + PARTIAL %s RECT ( %s 0 ) ( 1 %s ) ;"),
        f"{DEF}ROW r s %s 0 N DO %s BY 1 STEP %s 0 ;\nTRACKS X %s DO %s STEP %s ;\nEND DESIGN\n",
        f"{DEF}DIEAREA ( %s 0 ) ( 1 1 ) ;\nEND DESIGN\n",
    ],
    "lef": [
        "UNITS DATABASE MICRONS %s ; END UNITS",
        "LAYER m TYPE ROUTING ; PITCH %s ; WIDTH %s ; SPACING %s ; END m",
        macro("RECT %s 0 1 %s ; PATH %s 0 1 1 ; POLYGON 0 0 %s 0 1 1 ;"),
        macro("RECT ITERATE 0 0 1 1 DO %s BY %s STEP %s 1 ;"),
    ],
    "verilog": [
        "module t (input [%s:0] a); INV u (.A(a[%s])); endmodule",
        "module t (input a); INV u (.A({%s{a}}), .B(%s'd1), .C('d%s), .D(8'h%s), .E(%s)); endmodule",
    ],
    "liberty": [
        'library(l){time_unit:"%sns"; capacitive_load_unit(%s,pf); nom_voltage:%s; cell(c){area:%s;}}',
        "library(l){type(b){bit_from:%s;bit_to:0;} cell(c){bus(D){bus_type:b;} pin(A[%s:0]){capacitance:%s;}}}",
        'library(l){cell(c){pin(z){timing(){cell_rise(scalar){values("%s");} rise_transition(s){index_1("%s");}}}}}',
    ],
    "spef": [
        SPEF.replace("1 PF", "%s PF") + "*D_NET a 1\n*END\n",
        SPEF + "*D_NET a %s\n*CAP\n1 a %s\n2 a b %s:%s:%s\n*RES\n1 a b %s\n*END\n",
    ],
    "sdc": [
        "create_clock -name c -period %s x\nset_load %s [get_ports y]\nset_units -time %sns\nset_max_fanout %s t\n"
    ],
}


@pytest.mark.parametrize(("reader", "case"), [(r, i) for r, cases in NUMBER_TEXTS.items() for i in range(len(cases))])
def test_absurd_numbers(tmp_path: Path, reader: str, case: int) -> None:
    path = tmp_path / "numbers"
    for number in NUMBERS if reader != "sdc" else NUMBERS[:5]:
        path.write_text(NUMBER_TEXTS[reader][case].replace("%s", number))
        read_or_refuse(reader, path)


@pytest.mark.parametrize(
    ("reader", "made"),
    [
        ("def", section("COMPONENTS", "", "1000000000")),
        ("def", section("NETS", "- a ;", "1000000000")),
        ("def", section("SPECIALNETS", f"- v + POLYGON m {comb(2000)} ;")),
        ("lef", macro(f"POLYGON {comb(2000)} ;").replace(" ( ", " ").replace(" ) ", " ")),
        ("def", section("SPECIALNETS", "- v + ROUTED m 1 ( 0 0 ) x DO 2000 BY 2000 STEP 1 1 ;")),
        ("lef", macro("RECT ITERATE 0 0 1 1 DO 1000 BY 1900 STEP 1 1 ;")),
        (
            "lef",
            "VIA v LAYER m ; " + "RECT 0 0 1 1 ; " * 99 + "END v " + macro("VIA ITERATE 0 0 v DO 9999 BY 9 STEP 1 1 ;"),
        ),
        ("verilog", "module t (a); wire [1000000:0] v = a; INV z (.A(v)); endmodule"),
        ("verilog", "module t (a); INV z (.A({1000000{a}})); endmodule"),
        (
            "verilog",
            "".join(f"module m{i} (a); m{i + 1} x (a); m{i + 1} y (a); endmodule\n" for i in range(22))
            + "module m22 (a); INV z (.A(a)); endmodule",
        ),
        ("liberty", "library(l){type(b){bit_from:1000000000;bit_to:0;} cell(c){bus(D){bus_type:b;}}}"),
        ("spef", SPEF.replace("*C_UNIT", "*NAME_MAP\n*1000000000 a\n*C_UNIT") + "*D_NET *1000000000 1\n*END\n"),
    ],
)
def test_few_words_do_not_take_much_memory(tmp_path: Path, reader: str, made: str) -> None:
    path = tmp_path / "few"
    path.write_text(made)
    tracemalloc.start()
    try:
        READERS[reader](path)
    except InputError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY + 100 * len(made)


def test_vias_of_many_shapes_at_many_places_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuit_io.lef_shapes.MAX_COPIES", 100)
    path = tmp_path / "x.lef"
    via = "VIA v LAYER m ; " + "RECT 0 0 1 1 ; " * 99 + "END v "
    path.write_text(via + macro("VIA 0 0 v ; " * 9))
    assert len(read_lef(path).obs_layer) == 891
    path.write_text(via + macro("VIA 0 0 v ; " * 99))
    with pytest.raises(InputError, match="VIA makes too many copies"):
        read_lef(path)


@pytest.mark.parametrize("reader", READERS)
def test_a_nul_byte_is_refused(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "nul"
    seed = sorted((SEEDS / reader).iterdir())[0].read_bytes()
    for at in (0, len(seed) // 2, len(seed)):
        path.write_bytes(seed[:at] + b"\0" + seed[at:])
        with pytest.raises(InputError, match="NUL byte"):
            READERS[reader](path)


def test_an_answer_of_tcl_that_is_cut_is_refused(tmp_path: Path) -> None:
    whole = b"R 1 .%b .61.62\nR 2 .%b -\nD 2 \n" % (b"set_load".hex().encode(), b"set_max_area".hex().encode())
    for end in range(len(whole)):
        done = subprocess.CompletedProcess[bytes]([], 0, whole[:end], b"")
        with pytest.raises(InputError, match="cannot be evaluated within 1 s and 2 MB"):
            sdc_tcl._records(done, tmp_path, 1, 2)
    assert len(sdc_tcl._records(subprocess.CompletedProcess([], 0, whole, b""), tmp_path, 1, 2)) == 2
