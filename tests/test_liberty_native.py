"""The C scanner of the Liberty reader beside the Python path: the same columns to the bit, the same error texts."""

import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_liberty import HEAD, REFUSED, SMALL, TEMPLATE, library

from circuit_io import native
from circuit_io.errors import InputError
from circuit_io.liberty import Liberty, read_liberty
from circuit_io.liberty_text import _PASSED_OVER
from circuit_io.names import Names
from circuit_io.text import read_bytes

pytestmark = pytest.mark.skipif(native.library() is None, reason="the C scanner is not built")
Read = Callable[[bytes], "Liberty | str"]
MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

RICH = (
    SMALL[: SMALL.rindex("}")]
    + r"""
  type (b4) { base_type : array; bit_from : 3; bit_to : 0; } // a bus; "
  /* passed over */ operating_conditions (x) { process : 1 ; power_rail ("A", 1) ; }
  cell ("RAM") { area:5e+0; is_macro_cell : true ; cell_leakage_power : "1.5";
    pin("E[0]", CK){direction:input;capacitance:.5}
    bus (D) { bus_type : b4; direction : input
      pin (D[3:0]) { capacitance : +4. ; } pin (D[0]) { capacitance : 1.0e-03; }
      timing () { related_pin : CK ; timing_type : "hold_rising"
        internal_power () { rise_power (p) { values ("} ; { \" ", "2"); } }
        rise_constraint (c22) { index_1 ("1 2"); values ( \
          "1, 2", \
          "3, 4"); }
        fall_constraint (c22) { values ("1, 2" "3,4") ; note : "no table of the plain kind" ; }
        cell_rise (scalar) { values (7.25); } cell_rise (scalar) { values (1e1); values ("-0.0"); } } }
    bundle (S) { members (S1, S2); direction : output; function : "(D[0] ^ CK)' + E[0]"; } }
}
"""
)


def read_both(path: Path, monkeypatch: pytest.MonkeyPatch) -> "Liberty | str":
    """What both paths make of a file, which must be the same."""
    found: list[Liberty | str] = []
    for scanner in ("python", "c"):
        monkeypatch.setenv("GSR_SCANNER", scanner)
        try:
            found.append(read_liberty(path))
        except InputError as e:
            found.append(str(e))
    assert differences(*found) == []
    return found[1]


def differences(a: "Liberty | str", b: "Liberty | str") -> list[str]:
    if isinstance(a, str) or isinstance(b, str):
        return [] if a == b else [f"{a}\n{b}"]
    return [f.name for f in fields(Liberty) if not same(getattr(a, f.name), getattr(b, f.name))]


def same(x: object, y: object) -> bool:
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() and y.flags.writeable
    if isinstance(x, Names) and isinstance(y, Names):
        return x == y and type(x.blob) is type(y.blob)
    return type(x) is type(y) and x == y


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    path = tmp_path / "in.lib"

    def read(text: bytes) -> "Liberty | str":
        path.write_bytes(text)
        return read_both(path, monkeypatch)

    return read


def is_taken(text: bytes) -> bool:
    return native.scan("scan_liberty", text) is not None


@pytest.mark.parametrize("text", [SMALL, RICH, library(""), RICH.replace("\n", "\r\n"), RICH.replace("area", "  area")])
def test_plain_text_is_the_scanner_s(both: Read, text: str) -> None:
    lib = both(text.encode())
    assert isinstance(lib, Liberty)
    assert is_taken(text.encode())


def test_every_value_of_the_rich_library(both: Read) -> None:
    lib = both(RICH.encode())
    assert isinstance(lib, Liberty)
    names = ["E[0]", "CK", "D[3]", "D[2]", "D[1]", "D[0]", "S1", "S2"]
    assert lib.pin_names.tolist()[6:] == names
    values = lib.table_values_ns[lib.table_values_ptr[6] :] / 0.01
    np.testing.assert_allclose(values, [1, 2, 3, 4, 1, 2, 3, 4, 7.25, -0.0])
    assert np.signbit(values[-1])


def real_files(data: Path, kit: Path) -> list[Path]:
    paths = [*sorted(data.glob("pdk/*/lib/*.lib*")), *sorted((kit / "tech").glob("*.lib"))]
    assert len(paths) == 14
    return paths


def test_real_files_are_the_same(gsr_data: Path, kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in [p for p in real_files(gsr_data, kit) if p.stat().st_size < 300_000]:
        assert isinstance(read_both(path, monkeypatch), Liberty)


def test_real_files_are_the_scanner_s(gsr_data: Path, kit: Path) -> None:
    for path in real_files(gsr_data, kit):
        assert is_taken(read_bytes(path)), path


@pytest.mark.slow
def test_large_real_files_are_the_same(gsr_data: Path, kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in [p for p in real_files(gsr_data, kit) if p.stat().st_size >= 300_000]:
        assert isinstance(read_both(path, monkeypatch), Liberty)


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_are_python_s(both: Read, case: str) -> None:
    text = REFUSED[case][0]
    assert isinstance(both(text if isinstance(text, bytes) else text.encode()), str)


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + RICH.encode(),
        library('cell (\xe9) { pin (A) { function : "\xa0A\x85"; } comment : \x1c x \x1c ; }').encode(),
        library('cell (A) { comment : "\xff"; area : 1; }').encode("latin-1"),
        b"",
        b"\n;; \n",
        b"library",
        b"library (l) {} trailing : 1;",
        b"library (l) {}\\",
        b"library (l) { a : \\",
        b"library (l) { a : \\\n1; }",
        b'library (l) { a ("\\',
        b"library (l) {} /",
        b"library (l) {} /*",
        b"library (l) {} // x",
        b"library (l) { /*/ } */ }",
        b"library (l) { /***/ }",
        b"library (l) { a : }",
        b"library (l) { a : b { } }",
        b"library (l) { a ((x), (y)) ; b ((x(y))) ; }",
        b'library (l) { a (("x")) ; }',
        b"library (l) { internal_power () {{{{{{}}}}}} }",
        b"library (l) { internal_power () {{{{{{{}}}}}}} }",
        b"library (l) { internal_power () { % } }",
        b"library (l) { power.x () { % } }",
        b"internal_power () { }",
        b"library (a) { } library (b) { }",
        b"library () { timing () { cell_rise (t) { } } }",
        b'library () { timing () { cell_rise (t) { values ("1") s } a () { b ("") } c : } }',
        b'library () { timing () { cell_rise (t) { values ("1"); index_2  } } }',
        b'library () { timing () { cell_rise (t) { values ("1"); values } } }',
        b'library () { timing () { cell_rise (t) { values ("1 x")} } }',
        b"library (l) {" + b"cell (A) {" * 59 + b"}" * 60,
        b"library (l) {" + b"cell (A) {" * 60 + b"}" * 61,
    ],
)
def test_odd_text(both: Read, text: bytes) -> None:
    both(text)


@pytest.mark.parametrize("scanner", ["python", "c"])
def test_cells_given_twice_are_compared_without_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scanner: str
) -> None:
    monkeypatch.setenv("GSR_SCANNER", scanner)
    first, again = tmp_path / "a.lib", tmp_path / "b.lib"
    first.write_text(library("cell (A) { /* a */ area : 1; }"))
    again.write_text(library("/* \u00e9 */ cell (A) { /* b */ area : 1; }"))
    assert read_liberty(first, again).num_cells == 1
    again.write_text(library("cell (A) { /* a */ area :1; }"))
    with pytest.raises(InputError, match='cell "A" is defined twice'):
        read_liberty(first, again)
    again.write_text(library("cell (A) { /* a */ area : 1; }") + "%")  # the C scanner leaves it to Python
    with pytest.raises(InputError, match="not a Liberty statement: '%'"):
        read_liberty(first, again)


def test_a_cell_may_come_once_by_each_scanner(tmp_path: Path) -> None:
    cell = "cell (A) { area : 1; comment : \u00e9; }"
    first, again = tmp_path / "a.lib", tmp_path / "b.lib"
    first.write_text(library(cell))
    again.write_text(library(cell + " em_x () { " + "a () {" * 6 + "}" * 7))
    assert is_taken(first.read_bytes()) != is_taken(again.read_bytes())
    assert read_liberty(first, again).num_cells == 1


@settings(MANY, max_examples=200)
@given(word=st.from_regex(_PASSED_OVER, fullmatch=True), tail=st.sampled_from(["", "x", "_9", ".", "."]))
@example(word="wire_load", tail=".x")
@example(word="output_currents_rise", tail="")
@example(word="Internal_power", tail="")
def test_the_same_groups_are_passed_over(word: str, tail: str) -> None:
    """A body that is no Liberty tells whether a group was passed over."""
    word = "".join(c for c in word if c.isascii()) + tail
    text = f"library (l) {{ {word} () {{ % }} }}".encode()
    assert is_taken(text) == bool(_PASSED_OVER.fullmatch(word)), word


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30).map(repr),
    st.tuples(st.from_regex(r"[-+]?\d{0,25}\.?\d{0,25}", fullmatch=True), st.integers(-330, 40)).map(
        lambda t: f"{t[0]}e{t[1]}"
    ),
    st.from_regex(r"[-+]?[0-9]{1,30}(\.[0-9]{0,30})?([eE][-+]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["nan", "inf", "1_0", "1e999", "1e30", "0x10", "1e", ".", "+", "1d3", "٣", "1.5.2", "4.9e-324"]),
)


@MANY
@given(texts=st.lists(NUMBERS, min_size=1, max_size=6))
@example(texts=["9007199254740993", "0.1", "2.2250738585072011e-308", "1.7976931348623157e29", "1" * 70 + "e-60"])
def test_numbers_are_rounded_as_python_rounds_them(both: Read, texts: list[str]) -> None:
    index = ", ".join(str(i) for i in range(len(texts)))
    template = f'lu_table_template (t) {{ variable_1 : input_net_transition; index_1 ("{index}"); }}\n'
    values = ", ".join(texts)
    lib = both(
        library(
            template + f'cell (A) {{ pin (Y) {{ timing () {{ cell_rise (t) {{ values ("{values}"); }} }} }} }}'
        ).encode()
    )
    try:
        wanted = [float(text) for text in texts]
    except ValueError:
        wanted = [math.nan]
    if all(abs(v) < 1e30 for v in wanted) and "_" not in values and values.isascii():
        assert isinstance(lib, Liberty)
        assert lib.table_values_ns.tobytes() == np.array(wanted).tobytes()
    else:
        assert isinstance(lib, str)
        assert "values of cell_rise holds something that is not a number" in lib


PIECES = [
    *(b"(", b")", b"{", b"}", b'"', b":", b";", b"\\", b"/*", b"*/", b"//", b",", b"\n", b"\\\n", b" ", b"\xe9"),
    *(b"[9:0]", b"values (1);", b"index_1 (3);", b"timing () {", b"library (m) {", b"em_x () {", b"1e999", b"nan"),
]


@settings(MANY, max_examples=300)
@given(data=st.data())
def test_damaged_text_is_the_same_either_way(both: Read, data: st.DataObject) -> None:
    text = bytearray(RICH.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        size = data.draw(st.integers(1, 40))
        kind = data.draw(st.sampled_from(["cut", "drop", "insert", "insert", "copy", "byte"]))
        if kind == "cut":
            del text[at:]
        elif kind == "drop":
            del text[at : at + size]
        elif kind == "insert":
            text[at:at] = data.draw(st.sampled_from(PIECES))
        elif kind == "copy":
            start = data.draw(st.integers(0, len(text)))
            text[at:at] = text[start : start + size]
        else:
            text[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
    both(bytes(text))


def test_broken_tables_have_one_fault(both: Read) -> None:
    for index, values, what in [
        ("1, nan", "1, 2", "input_net_transition of cell_rise (t) holds something that is not a number"),
        ("1, 2", "1, 1e999", "values of cell_rise holds something that is not a number"),
        ("1, 2", "1, 1" + "0" * 400, "values of cell_rise holds something that is not a number"),
    ]:
        table = f'cell_rise (t) {{ index_1 ("{index}"); values ("{values}"); }}'
        found = both((HEAD + TEMPLATE + f"cell (A) {{ pin (Q) {{ timing () {{ {table} }} }} }}\n}}").encode())
        assert isinstance(found, str)
        assert found.endswith(f"in.lib:3: {what}\n  Write finite decimal numbers.")
