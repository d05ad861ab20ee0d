"""The Liberty reader: values by hand, against liberty-parser, on nasty and on broken input."""

import contextlib
import functools
import gzip
import itertools
import re
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from writers import tables_of

from circuit_io import liberty_tree
from circuit_io.errors import InputError
from circuit_io.liberty import FUNCTION_CLASSES, PIN_DIRECTIONS, TIMING_SENSES, Liberty, read_liberty
from circuit_io.logic import classify, is_adder, truth_table
from circuit_io.text import read_bytes

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

SMALL = r"""
/* a small library; "one quote */
library (small) {
  time_unit : "10ps"; leakage_power_unit : 1uW; capacitive_load_unit (0.1, pf);
  nom_voltage : 1.1; slew_derate_from_library : 0.5; default_max_capacitance : 3;
  slew_lower_threshold_pct_rise : 10; slew_upper_threshold_pct_fall : 90.0;
  default_input_pin_cap : 0.25; default_cell_leakage_power : 7;
  lu_table_template (t22) { variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("1, 2"); index_2 ("1000, 1001"); }
  lu_table_template (turned) { variable_1 : total_output_net_capacitance; variable_2 : input_net_transition;
    index_1 ("1, 3"); index_2 ("1, 2, 4"); }
  lu_table_template (load) { variable_1 : total_output_net_capacitance; index_1 ("1 2 3"); }
  lu_table_template (c22) { variable_1 : related_pin_transition; variable_2 : constrained_pin_transition;
    index_1 ("1, 2"); index_2 ("3, 5"); }
  cell (INV_X1) { area : 0.5; cell_leakage_power : 2.5; dont_use : true;
    pin (A) { direction : input; capacitance : 0.02; }
    pin (ZN) { direction : output; function : "!A"; max_capacitance : 0.6;
      timing () { related_pin : "A"; timing_sense : negative_unate;
        cell_rise (t22) { index_2 ("1, 3"); values ("0.10, 0.30", "0.20, 0.50"); }
        cell_fall (turned) { values ("1, 2, 3", "4, 5, 6"); }
        rise_transition (load) { values ("7 8 9"); }
        fall_transition (scalar) { values ("0.25"); } } } }
  cell (DFF) { area : 2;
    ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; clear : !RN ; }
    pin (D) { direction : input; rise_capacitance : 0.1; fall_capacitance : 0.3;
      timing () { related_pin : CK; timing_type : setup_rising; when : "RN";
        rise_constraint (c22) { values ("1, 2", "3, 4"); } } }
    pin (CK, RN) { direction : input; }
    pin (Q) { direction : output; function : "IQ";
      timing () { related_pin : "CK"; timing_type : rising_edge; timing_sense : non_unate;
        cell_rise (load) { values ("1, 2, 3"); } }
      timing () { related_pin : "RN"; timing_type : clear; } } }
}
"""


def read(folder: Path, text: str | bytes, **options: str) -> Liberty:
    path = folder / "in.lib"
    path.write_bytes(text.encode("latin-1") if isinstance(text, str) else text)
    return read_liberty(path, **options)


def library(body: str) -> str:
    return 'library (l) { time_unit : "1ns"; capacitive_load_unit (1, ff); leakage_power_unit : "1nW";\n' + body + "\n}"


def refusal(folder: Path, text: str | bytes) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, text)
    return str(caught.value).replace(str(folder) + "/", "")


def assert_same(a: Liberty, b: Liberty) -> None:
    """Every column to the bit."""
    for f in fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if f.name == "library_path":
            continue
        if isinstance(x, np.ndarray):
            assert (x.dtype, x.shape) == (y.dtype, y.shape), f.name
            np.testing.assert_array_equal(x, y, err_msg=f.name)
            assert x.tobytes() == y.tobytes(), f.name
        else:
            assert (type(x), x) == (type(y), y), f.name


def pin(lib: Liberty, cell: str, name: str) -> int:
    i = lib.cell_names.find(cell)
    pins = range(lib.cell_pin_ptr[i], lib.cell_pin_ptr[i + 1])
    return next(p for p in pins if lib.pin_names[p] == name)


# --- what the columns say -------------------------------------------------------------------------------------------


def test_units_and_library_values(tmp_path: Path) -> None:
    lib = read(tmp_path, SMALL)
    assert lib.library_names.tolist() == ["small"]
    assert lib.time_unit_ns.tolist() == [0.01]
    assert lib.cap_unit_ff == pytest.approx(100)
    assert lib.leakage_unit_nw == pytest.approx(1000)
    assert lib.voltage_v.tolist() == [1.1]
    assert np.isnan(lib.temperature_c).all()
    assert lib.slew_derate.tolist() == [0.5]
    np.testing.assert_allclose(lib.slew_threshold_frac, [[0.1, 0.2, 0.8, 0.9]])
    np.testing.assert_allclose(lib.delay_threshold_frac, [[0.5] * 4])


def test_cells_and_pins(tmp_path: Path) -> None:
    lib = read(tmp_path, SMALL)
    assert lib.cell_names.tolist() == ["INV_X1", "DFF"]
    np.testing.assert_allclose(lib.cell_area_um2, [0.5, 2])
    np.testing.assert_allclose(lib.cell_leakage_nw, [2500, 7000])
    assert lib.dont_use.tolist() == [True, False]
    assert [FUNCTION_CLASSES[c] for c in lib.cell_function_class] == ["inverter", "flip_flop"]
    assert lib.is_inverter.tolist() == [True, False]
    assert lib.is_sequential.tolist() == [False, True]
    assert lib.pin_names.tolist() == ["A", "ZN", "D", "CK", "RN", "Q"]
    assert lib.cell_pin_ptr.tolist() == [0, 2, 6]
    assert [PIN_DIRECTIONS[d] for d in lib.pin_direction] == ["input", "output", "input", "input", "input", "output"]
    np.testing.assert_allclose(lib.pin_cap_ff, [2, 0, 20, 25, 25, 0])  # given, output, mean of edges, default
    np.testing.assert_allclose(lib.pin_max_cap_ff, [np.nan, 60, np.nan, np.nan, np.nan, 300])
    assert lib.pin_is_clock.tolist() == [False, False, False, True, False, False]
    assert lib.pin_function == ["", "!A", "", "", "", "IQ"]


def test_arcs_and_tables(tmp_path: Path) -> None:
    lib = read(tmp_path, SMALL)
    names = lib.pin_names.tolist()
    arcs = [(names[p], names[r]) for p, r in zip(lib.arc_pin, lib.arc_related, strict=True)]
    assert arcs == [("ZN", "A"), ("D", "CK"), ("Q", "CK"), ("Q", "RN")]
    assert lib.arc_type == ["combinational", "setup_rising", "rising_edge", "clear"]
    assert [TIMING_SENSES[s] if s >= 0 else None for s in lib.arc_sense] == ["negative_unate", None, "non_unate", None]
    assert lib.arc_when == ["", "RN", "", ""]
    rise, fall, slew, scalar = tables_of(lib, 0)
    assert [t.kind for t in (rise, fall, slew, scalar)] == [
        "cell_rise",
        "cell_fall",
        "rise_transition",
        "fall_transition",
    ]
    np.testing.assert_allclose(rise.index_1, [0.01, 0.02])  # the template's
    np.testing.assert_allclose(rise.index_2, [100, 300])  # its own, not the template's dummies
    np.testing.assert_allclose(rise.values_ns[:, :, 0], [[0.001, 0.003], [0.002, 0.005]])
    np.testing.assert_allclose(fall.index_1, [0.01, 0.02, 0.04])  # turned: transition first
    np.testing.assert_allclose(fall.index_2, [100, 300])
    np.testing.assert_allclose(fall.values_ns[:, :, 0], [[0.01, 0.04], [0.02, 0.05], [0.03, 0.06]])
    assert len(slew.index_1) == 0
    np.testing.assert_allclose(slew.index_2, [100, 200, 300])
    np.testing.assert_allclose(slew.values_ns[0, :, 0], [0.07, 0.08, 0.09])
    assert scalar.values_ns.tolist() == [[[0.0025]]]
    (setup,) = tables_of(lib, 1)
    np.testing.assert_allclose(setup.index_2, [0.03, 0.05])  # constrained pin's transition: a time
    np.testing.assert_allclose(setup.values_ns[:, :, 0], [[0.01, 0.02], [0.03, 0.04]])
    assert tables_of(lib, 3) == []


def test_drive_is_the_steepest_delay_over_load(tmp_path: Path) -> None:
    lib = read(tmp_path, SMALL)
    # INV_X1: cell_rise at the upper of two slews (0.005 - 0.002) ns / 200 fF, cell_fall at the middle of three
    # (0.05 - 0.02) ns / 200 fF = 0.15 kohm; DFF: (0.03 - 0.01) ns / 200 fF = 0.1 kohm
    np.testing.assert_allclose(lib.cell_drive_kohm, [0.15, 0.1])


@pytest.mark.parametrize(
    ("function", "inputs", "kind"),
    [
        ("A", "A", "buffer"),
        ("A'", "A", "inverter"),
        ("1", "", "tie"),
        ("A & !A", "A", "tie"),
        ("(A B)'", "A B", "nand"),
        ("!A | !B | !C", "A B C", "nand"),
        ("A*B*C*D", "A B C D", "and"),
        ("!(A+B)", "A B", "nor"),
        ("!A_N & B", "A_N B", "and_not"),
        ("!(A & !B)", "A B", "or_not"),
        ("A ^ B ^ C", "A B C", "xor"),
        ("!(A ^ B)", "A B", "xnor"),
        ("(A & !B) | (!A & B)", "A B", "xor"),
        ("(A & S) | (B & !S)", "A B S", "mux"),
        ("!((A S) + (B S'))", "A B S", "mux"),
        ("(A&!S&!T)|(B&S&!T)|(C&!S&T)|(D&S&T)", "A B C D S T", "mux"),
        ("(A&B)|(B&C)|(C&A)", "A B C", "majority"),
        ("!((A & B) | C)", "A B C", "and_or_invert"),
        ("(!A1 & !B) | (!A2 & !B)", "A1 A2 B", "and_or_invert"),
        ("!((A | B) & C)", "A B C", "or_and_invert"),
        ("(A & B) | (C & D)", "A B C D", "and_or"),
        ("(A + B) (C + D)", "A B C D", "or_and"),
        ("(A & B & C) | (D ^ E)", "A B C D E", "other"),
        ("A + B ^ C & D", "A B C D", "other"),
    ],
)
def test_function_classes(function: str, inputs: str, kind: str) -> None:
    names = tuple(inputs.split())
    assert classify(truth_table(function, names), len(names)) == kind
    mirrored = names[::-1]
    assert classify(truth_table(function, mirrored), len(names)) == kind


@QUICK
@given(data=st.data())
def test_truth_table_equals_python(data: st.DataObject) -> None:
    """Every operator in the four ways Liberty writes them, against Python's own."""
    names = ("A", "B1", "C[0]", "_d")

    def term(depth: int) -> tuple[str, str]:
        kind = data.draw(st.sampled_from(["name", "not", "tick", "or", "xor", "and"] if depth else ["name"]))
        if kind == "name":
            name = data.draw(st.sampled_from(names))
            return name, f"v[{names.index(name)}]"
        a, pa = term(depth - 1)
        if kind in ("not", "tick"):
            return (f"!({a})" if kind == "not" else f"({a})'"), f"(1 - {pa})"
        b, pb = term(depth - 1)
        sign, python = {"or": (["+", "|"], "|"), "xor": (["^"], "^"), "and": (["&", "*", " "], "&")}[kind]
        return f"({a}){data.draw(st.sampled_from(sign))}({b})", f"({pa} {python} {pb})"

    function, python = term(4)
    table = truth_table(function, names)
    for point, v in enumerate(itertools.product((0, 1), repeat=4)):
        index = sum(bit << i for i, bit in enumerate(v))
        assert (table >> index) & 1 == eval(python, {"v": v}), (function, point)


def test_adder_is_parity_and_carry() -> None:
    names = ("A", "B", "C")
    assert is_adder([truth_table("A^B^C", names), truth_table("(A B)+(B C)+(A C)", names)], 3)
    assert not is_adder([truth_table("A^B^C", names), truth_table("A B C", names)], 3)


@pytest.mark.parametrize("text", ["A &", "(A", "A)", "Z", "A % B", "!" * 500 + "A", "(" * 5000 + "A" + ")" * 5000, ""])
def test_what_is_no_function_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        truth_table(text, ("A", "B"))


# --- nasty input (research/io.md section 8) -------------------------------------------------------------------------


def test_pin_groups_buses_and_overrides(tmp_path: Path) -> None:
    lib = read(
        tmp_path,
        library("""
          type (b4) { base_type : array; bit_width : 4; bit_from : 3; bit_to : 0; downto : true; }
          type (up) { base_type : array; bit_width : 2; }
          cell (RAM) { is_macro_cell : true;
            pin (A, B) { direction : input; capacitance : 1; }
            pin ("E[0]") { direction : input; capacitance : 2; }
            bus (D) { bus_type : b4; direction : input; capacitance : 3;
              pin (D[3:0]) { capacitance : 4; } pin (D[0]) { capacitance : 5; } }
            bus (Q) { bus_type : up; direction : output;
              timing () { related_pin : "D[1:0]"; timing_sense : positive_unate; }
              timing () { related_bus_pins : "D"; } timing () { related_pin : "A B"; } }
            bundle (S) { members (S1, S2); direction : output; pin (S1) { function : "A"; } } }"""),
    )
    assert lib.pin_names.tolist() == ["A", "B", "E[0]", "D[3]", "D[2]", "D[1]", "D[0]", "Q[1]", "Q[0]", "S1", "S2"]
    assert lib.pin_cap_ff.tolist()[:7] == [1, 1, 2, 4, 4, 4, 5]
    assert lib.pin_function[-2:] == ["A", ""]
    assert lib.is_macro.tolist() == [True]
    names = lib.pin_names.tolist()
    arcs = [(names[p], names[r]) for p, r in zip(lib.arc_pin, lib.arc_related, strict=True)]
    one_to_one, all_to_all = [("Q[1]", "D[1]"), ("Q[0]", "D[0]")], list(itertools.product(["Q[1]", "Q[0]"], names[3:7]))
    assert sorted(arcs) == sorted([*one_to_one, *all_to_all, *itertools.product(["Q[1]", "Q[0]"], "AB")])
    assert len(lib.timing_table_ptr) == 4  # three groups, shared by the bits


def test_unquoted_values_and_continued_lines(tmp_path: Path) -> None:
    lib = read(
        tmp_path,
        "library (l) {\n time_unit : 1ps\n leakage_power_unit:1pW;capacitive_load_unit\\\n (1,pF);\n"
        ' vimax : VDD + 0.5 ;\n cell (L) { area:2;pin(A){direction:input;capacitance:.5}pin (CK) {direction : "input"\n'
        "capacitance : 1.\n} latch(IQ,IQN){enable : CK;clear : !RN ;data_in : A}\n"
        ' statetable ("CLK ENA SE","IQ") { \\\n table : "L L L : - : L ,\\\n H - - : - : N"; }\n'
        'pin(Q){direction:output;function:"IQ"}}\n}',
    )
    assert (lib.time_unit_ns[0], lib.cap_unit_ff[0]) == (pytest.approx(1e-3), pytest.approx(1e3))
    assert lib.leakage_unit_nw[0] == pytest.approx(1e-3)
    assert lib.pin_cap_ff.tolist() == [500, 1000, 0]
    assert lib.is_latch.tolist() == [True]
    assert [FUNCTION_CLASSES[c] for c in lib.cell_function_class] == ["latch"]


def test_strings_comments_and_bytes(tmp_path: Path) -> None:
    text = library(
        'comment : "} ; { /* \\" // é"; // lone " quote }\n /* " { */ date : "x\\\ny";\n'
        'cell ("B1") { area : 5e+0; /* pin (X) { */ pin (A) { direction : input }'
        'pin (Y) {direction : output;function:"A"}}'
    )
    lib = read(tmp_path, text)
    assert lib.cell_names.tolist() == ["B1"]
    assert lib.cell_area_um2.tolist() == [5]
    assert lib.is_buffer.tolist() == [True]
    assert_same(lib, read(tmp_path, text.replace("\n", "\r\n")))
    assert_same(lib, read(tmp_path, gzip.compress(text.encode("latin-1"))))


@pytest.mark.parametrize(("text", "value"), [(".02", 0.02), ("+1.", 1), ("1.0e-03", 1e-3), ("5e+0", 5), ("-2", -2)])
def test_number_forms(tmp_path: Path, text: str, value: float) -> None:
    lib = read(tmp_path, library(f"cell (A) {{ area : {text} ; }}"))
    assert lib.cell_area_um2.tolist() == [value]


def test_test_cell_pins_are_not_cell_pins(tmp_path: Path) -> None:
    ff = 'ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; }'
    pins = "pin (D) { direction : input; } pin (CK) { direction : input; clock : true; }"
    q = 'pin (Q) { direction : output; function : "IQ"; }'
    text = (
        f"cell (SDFF) {{ {ff} {pins} {q} test_cell () {{ {ff} pin (D) {{ direction : input; }} pin (T) {{ }} {q} }} }}"
    )
    lib = read(tmp_path, library(text))
    assert lib.pin_names.tolist() == ["D", "CK", "Q"]
    assert [FUNCTION_CLASSES[c] for c in lib.cell_function_class] == ["scan_flip_flop"]
    test_only = f"cell (X) {{ {pins} pin (Q) {{ direction : output; }} test_cell () {{ {ff} }} }}"
    assert read(tmp_path, library(test_only)).is_sequential.tolist() == [False]


def test_two_libraries_in_one_file_keep_their_templates(tmp_path: Path) -> None:
    def one(name: str, unit: str, index: str) -> str:
        return f"""library ({name}) {{ time_unit : {unit}; capacitive_load_unit (1, ff); leakage_power_unit : 1nW;
          voltage_map (VDD, 1); voltage_map (VSS, 0);
          lu_table_template (t) {{ variable_1 : input_net_transition; index_1 ("{index}"); }}
          cell (C_{name}) {{ pin (A) {{ direction : input; }} pin (Y) {{ direction : output; timing () {{
            related_pin : A; cell_rise (t) {{ values ("1, 2"); }} }} }} }} }}\n"""

    lib = read(tmp_path, one("a", "1ns", "1, 2") + one("b", "1ps", "3, 4"))
    assert lib.cell_library.tolist() == [0, 1]
    np.testing.assert_allclose(tables_of(lib, 0)[0].index_1, [1, 2])
    np.testing.assert_allclose(tables_of(lib, 1)[0].index_1, [0.003, 0.004])
    np.testing.assert_allclose(tables_of(lib, 1)[0].values_ns.ravel(), [0.001, 0.002])


def test_clock_gate_memory_tristate_and_physical(tmp_path: Path) -> None:
    lib = read(
        tmp_path,
        library("""
          cell (ICG) { clock_gating_integrated_cell : "latch_posedge";
            statetable ("CK E", "IQ") { table : "L L : - : L"; }
            pin (CK) { direction : input; clock_gate_clock_pin : true; } pin (E) { direction : input; }
            pin (GCK) { direction : output; state_function : "CK & IQ"; } pin (IQ) { direction : internal; } }
          cell (RAM) { memory () { type : ram; } pin (Q) { direction : output; } }
          cell (TBUF) { pin (A, E) { direction : input; }
            pin (Z) { direction : output; function : "A"; three_state : "!E"; } }
          cell (FILL) { area : 1; pg_pin (VDD) { pg_type : primary_power; } }
          cell (ANT) { pin (A) { direction : input; capacitance : 1; } }
          cell (TIE) { pin (H) { direction : output; function : "1"; } pin (L) { direction : output; function : "0"; } }
          cell (FA) { pin (A, B, CI) { direction : input; } pin (S) { direction : output; function : "A^B^CI"; }
            pin (CO) { direction : output; function : "(A B)+(B CI)+(A CI)"; } }
          cell (LEAK) { leakage_power () { value : 2; when : "A"; } leakage_power () { value : 4; when : "!A"; } }
          cell (LEAK2) { leakage_power () { value : 2; related_pg_pin : VDD; when : "A"; }
            leakage_power () { value : 3; related_pg_pin : VDD; }
            leakage_power () { value : 1; related_pg_pin : VPP; } }
        """),
    )
    kinds = [FUNCTION_CLASSES[c] for c in lib.cell_function_class]
    assert kinds == ["clock_gate", "macro", "tristate", "physical", "physical", "tie", "adder", "physical", "physical"]
    assert lib.is_clock_gate.tolist() == [True] + [False] * 8
    assert lib.is_sequential.tolist() == [True] + [False] * 8
    assert lib.pin_is_clock[pin(lib, "ICG", "CK")]
    assert PIN_DIRECTIONS[lib.pin_direction[pin(lib, "ICG", "IQ")]] == "internal"
    np.testing.assert_allclose(lib.cell_leakage_nw[-2:], [3, 4])


def test_current_source_models_are_passed_over(tmp_path: Path) -> None:
    vector = 'vector (v) { index_1 ("1"); values ("1, 2"); reference_time : 5; }'
    body = f"""cell (A) {{ pin (Y) {{ direction : output; function : "0"; timing () {{
        output_current_rise () {{ {vector * 3} }} receiver_capacitance1_rise (t) {{ values ("}}"); }} }}
        internal_power () {{ rise_power (p) {{ values ("1"); }} }} capacitance : 3; }} area : 9; }}"""
    lib = read(tmp_path, library(body))
    assert lib.cell_area_um2.tolist() == [9]
    assert lib.pin_cap_ff.tolist() == [3]
    assert len(lib.table_kind) == 0


def test_split_files_merge_and_repeats_count_once(tmp_path: Path) -> None:
    a, b = tmp_path / "a.lib", tmp_path / "b.lib"
    a.write_text(library("cell (A) { area : 1; }"))
    b.write_text(library("cell (B) { area : 2; }\ncell (A) { area : 1; }"))
    lib = read_liberty(a, b)
    assert lib.cell_names.tolist() == ["A", "B"]
    assert lib.cell_library.tolist() == [0, 1]
    assert lib.library_path == [str(a), str(b)]
    b.write_text(library("cell (B) { area : 2; }\ncell (A) { area : 1.5; }"))
    with pytest.raises(
        InputError, match=r'b\.lib:3: cell "A" is defined twice, with different content\n  Give the files'
    ):
        read_liberty(a, b)


@settings(QUICK, max_examples=40)
@given(seed=st.randoms(use_true_random=False))
def test_layout_changes_nothing(tmp_path: Path, seed: object) -> None:
    """Comments, continuations, line ends and missing blanks between tokens leave every column as it was."""
    tokens = re.findall(r'/\*.*?\*/|"[^"]*"|[{}();,:]|[^\s{}();,:"]+', SMALL, re.DOTALL)
    choice = seed.choice  # type: ignore[attr-defined]
    gaps = [" ", "\n", "\r\n", "\t", ' /* ; } " */ ', ' // { " \n', " \\\n ", "\n\n"]
    text = ""
    for token in tokens:
        text += token + (choice(gaps[:-1]) if token in "{};" else choice([" ", "\t", " /* } */ ", " \\\n "]))
    assert_same(read(tmp_path, SMALL), read(tmp_path, text))


# --- what is refused, and how ---------------------------------------------------------------------------------------

HEAD = 'library (l) { time_unit : "1ns"; capacitive_load_unit (1, ff); leakage_power_unit : "1nW";\n'
TEMPLATE = 'lu_table_template (t) { variable_1 : input_net_transition; index_1 ("1, 2"); }\n'
REFUSED = {
    "empty": ("", "in.lib: holds no library\n  Give a Liberty (.lib) file."),
    "not Liberty": ("module t (a); endmodule\n", "in.lib:1: not a Liberty statement: 'module t (a)"),
    "no library": (
        "cell (A) { area : 1; }",
        'in.lib:1: "cell" stands outside a library\n  A Liberty file holds library',
    ),
    "cut": (HEAD + "cell (A) {\n pin (B) {", "in.lib:3: the file ends inside pin (B)\n  It is cut short, or a closing"),
    "cut in a string": (
        HEAD + 'cell (A) { pin (B) { function : "A &',
        "in.lib: 2 faults\nin.lib:2: a string is not closed\n  Add",
    ),
    "too many braces": (HEAD + "} }", 'in.lib:2: "}" closes nothing\n  Delete it.'),
    "open comment": (HEAD + "/* }", "in.lib: 2 faults\nin.lib:2: a comment is not closed\n  Add */"),
    "junk": (HEAD + "cell (A) { area : 1; }\n%%%\n}", "in.lib:3: not a Liberty statement: '%%%'\n  Check quotes"),
    "NUL": (b"library (l) {\n\0}", "in.lib:2: holds a NUL byte, so it is not text"),
    "include": (HEAD + "include_file (x.lib);\n}", "in.lib:2: include_file is not followed\n  Paste its text"),
    "bad number": (HEAD + "cell (A) { area : 1.2.3; }\n}", 'in.lib:2: area is "1.2.3", not a number\n  Write'),
    "infinite": (HEAD + "cell (A) { area : 1e999; }\n}", 'in.lib:2: area is "1e999", not a number\n  Write'),
    "bad unit": (
        'library (l) { time_unit : "1 hour"; }',
        'in.lib:1: unit "1 hour" is not understood\n  Write it as "1ns".',
    ),
    "no such type": (
        HEAD + "type (b4) { bit_width : 4; }\ncell (A) { bus (D) { bus_type : b5; } }\n}",
        'in.lib:3: bus "D" has type "b5", which is not defined\n  Known: b4',
    ),
    "huge bus": (
        HEAD + "type (b) { bit_from : 999999999; bit_to : 0; }\ncell (A) { bus (D) { bus_type : b; } }\n}",
        'in.lib:3: bus "D" has more than 65,536 bits\n  Check its range.',
    ),
    "no such pin": (
        HEAD + "cell (A) { pin (CLK) { direction : input; } pin (Q) { direction : output;\n"
        "timing () { related_pin : CLKK; } } }\n}",
        'in.lib:3: related_pin "CLKK" is no pin of its cell\n  Did you mean "CLK"?',
    ),
    "no such template": (
        HEAD + TEMPLATE + "cell (A) { pin (Q) { timing () {\ncell_rise (tt) { values (1); } } } }\n}",
        'in.lib:4: template "tt" is not defined\n  Did you mean "t"?',
    ),
    "wrong count": (
        HEAD + TEMPLATE + "cell (A) { pin (Q) { timing () {\ncell_rise (t) { values (1, 2, 3); } } } }\n}",
        "in.lib:4: cell_rise (t) has 3 values, its axes ask for 2\n  Check its index.",
    ),
    "word in a table": (
        HEAD + TEMPLATE + "cell (A) { pin (Q) { timing () {\ncell_rise (t) { values (1, x); } } } }\n}",
        "in.lib:4: values of cell_rise holds something that is not a number\n  Write finite",
    ),
    "falling index": (
        HEAD
        + TEMPLATE
        + 'cell (A) { pin (Q) { timing () {\ncell_rise (t) { index_1 ("2, 1"); values (1, 2); } } } }\n}',
        "in.lib:4: input_net_transition of cell_rise (t) does not rise\n  Sort its index.",
    ),
    "bad direction": (
        HEAD + "cell (A) { pin (B) { direction : inputt; } }\n}",
        'in.lib:2: pin "B" has direction "inputt"\n  Did you mean "input"',
    ),
    "nameless cell": (HEAD + "cell () { area : 1; }\n}", "in.lib:2: cell () must have one name\n  Write cell (name)"),
    "nameless pin": (HEAD + "cell (A) { pin () { } }\n}", "in.lib:2: a pin has no name\n  Write pin (name)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_place_and_remedy(tmp_path: Path, case: str) -> None:
    text, message = REFUSED[case]
    got = refusal(tmp_path, text)
    assert got.startswith(message)
    assert "\n  " in got


def test_calls_that_make_no_sense() -> None:
    with pytest.raises(InputError, match='no Liberty backend "fast"\n  Known: own, liberty-parser'):
        read_liberty("x.lib", backend="fast")
    with pytest.raises(InputError, match="no Liberty file given"):
        read_liberty()
    with pytest.raises(InputError, match=r"nowhere\.lib: cannot be read"):
        read_liberty("nowhere.lib")


# --- broken input: an InputError or a library, soon -----------------------------------------------------------------


@settings(QUICK, max_examples=300)
@given(data=st.data())
def test_damaged_text_never_fails_otherwise(tmp_path: Path, data: st.DataObject) -> None:
    text = bytearray(SMALL.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        kind = data.draw(st.sampled_from(["cut", "drop", "insert", "swap"]))
        if kind == "cut":
            del text[at:]
        elif kind == "drop":
            del text[at : at + data.draw(st.integers(1, 40))]
        elif kind == "insert":
            junk = data.draw(st.sampled_from([b"(", b")", b"{", b"}", b'"', b":", b";", b"\\", b"/*", b",", b"[9:0]"]))
            text[at:at] = junk if data.draw(st.booleans()) else data.draw(st.binary(max_size=6))
        else:
            text[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
    with contextlib.suppress(InputError):
        read(tmp_path, bytes(text))


LONG = 4000


@pytest.mark.parametrize(
    "text",
    [
        b"{" * LONG,
        b"}" * LONG,
        b"library (l) {" * LONG,
        b"library (l) { " + b"internal_power () {" * LONG,
        b"library (l) { " + b"wire_load () { x () {" * LONG,
        b"library (l) {" + b"a (" * LONG,
        b"library (l) {\n" + b'a ( "x\n' * LONG,
        b"library (l) {" + b'"' * (LONG + 1),
        b"library (l) {" + b'"\\"' * LONG,
        b"library (l) {" + b"/*" * LONG,
        b"library (l) {" + b"a :\n" * LONG,
        b"library (l) {" + b"a : b c\n" * LONG,
        b"library (l) {" + b"% \n" * LONG,
        b"library (" * LONG,
        b'library (l) { cell (A) { pin ("D[' + b"9" * 9999 + b':0]") { } } }' + b"x" * LONG,
        b"\\\n" * LONG,
        bytes(range(1, 256)) * 40,
        b"\x1f\x8b" + b"junk" * 99,
    ],
)
def test_hostile_text_is_refused_at_once(tmp_path: Path, text: bytes) -> None:
    refusal(tmp_path, text)


MANY = 200_000  # what takes the square of the size would take hours


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"library (l) {" * 1_000_000, "in.lib:1: groups nested deeper than 60\n  A Liberty file has"),
        (b"library (l) {" + b"cell (A) {" * MANY + b"}" * MANY, "in.lib:1: groups nested deeper than 60"),
        (HEAD.encode() + b'a ( \\"\n' * MANY, "in.lib: 2 faults\nin.lib:2: a string is not closed\n  Add"),
        (HEAD.encode() + b'a : \\"\n' * MANY, "in.lib: 2 faults\nin.lib:2: a string is not closed\n  Add"),
        (HEAD.encode() + b'em_a () { \\"\n }\n' * MANY, "in.lib: 2 faults\nin.lib:2: a string is not closed"),
        (HEAD.encode() + b'a : "' + b"\\" * MANY, "in.lib: 2 faults\nin.lib:2: a string is not closed"),
        (HEAD.encode() + b"/* x " * MANY, "in.lib: 2 faults\nin.lib:2: a comment is not closed\n  Add */"),
        (HEAD.encode() + b"%\n" * LONG, f"in.lib: {LONG + 1} faults\nin.lib:2: not a Liberty statement: '%'"),
        (b"}\n" * LONG, f'in.lib: {LONG} faults\nin.lib:1: "}}" closes nothing'),
        (HEAD.encode() + b"cell (A) { area : " + b"1" * MANY + b"; } }", 'in.lib:2: area is "1111'),
        (HEAD.encode() + b"cell (" + b"A" * MANY + b", B) { } }", "in.lib:2: cell (AAAA"),
    ],
)
def test_millions_of_anything_are_one_short_message(tmp_path: Path, text: bytes, message: str) -> None:
    got = refusal(tmp_path, text)
    assert got.startswith(message)
    assert len(got) < 8000


WIDE = HEAD + "type (b) { bit_width : 60000; }\n"


@pytest.mark.parametrize(
    "body",
    [
        "cell (A) { bus (" + ", ".join(f"d{i}" for i in range(99)) + ") { bus_type : b; } }",
        "cell (A) { bundle (S, T) { members (" + ", ".join(f"d{i}" for i in range(9999)) + "); a : 1; b : 2; } }",
        "cell (A) { pin (" + ", ".join(f'"d{i}[59999:0]"' for i in range(99)) + ") { } }",
        "cell (A) { bus (D) { bus_type : b; } }\ncell (B) { bus (D) { bus_type : b; } }",
        "cell (A) { bus (D) { bus_type : b; " + "timing () { }" * 99 + " } }",
        'cell (A) { pin (D[99:0]) { timing () { related_bus_pins : "'
        + "D " * 9999
        + '"; } } bus (D) { bus_type : b; } }',
        'cell (A) { pin ("D[999:0]") { timing () { related_bus_pins : "' + "D[999:0] " * 99 + '"; } } }',
    ],
)
def test_buses_that_expand_to_millions_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    monkeypatch.setattr(liberty_tree, "MAX_STEPS", 50_000)
    assert re.search(
        r"its buses expand to millions of pins and arcs\n  Check the ranges", refusal(tmp_path, WIDE + body + "}")
    )


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "1e30", "nan", "inf", "-Infinity", "1_0", "0x10", "1e", "9" * 400]
)
def test_absurd_numbers_are_refused_wherever_they_stand(tmp_path: Path, number: str) -> None:
    for text in [
        f"cell (A) {{ area : {number}; }}",
        f"cell (A) {{ pin (B) {{ capacitance : {number}; }} }}",
        f"nom_voltage : {number};",
        f"type (b) {{ bit_width : {number}; }} cell (A) {{ bus (D) {{ bus_type : b; direction : input; }} }}",
        f"cell (A) {{ pin (Q) {{ timing () {{ cell_rise (scalar) {{ values ({number}); }} }} }} }}",
        TEMPLATE + f"cell (A) {{ pin (Q) {{ timing () {{ cell_rise (t) {{ index_1 (-3, {number}); }} }} }} }}",
    ]:
        assert "number" in refusal(tmp_path, HEAD + text + "}")


def test_numbers_that_are_large_but_finite_are_read(tmp_path: Path) -> None:
    table = 'cell_rise (t) { index_1 ("-1000000000, 1000000000"); values ("1e29, -1e-300"); }'
    lib = read(tmp_path, HEAD + TEMPLATE + f"cell (A) {{ pin (Q) {{ timing () {{ {table} }} }} }} }}")
    assert lib.table_index_1.tolist() == [-1e9, 1e9]
    assert lib.table_values_ns.tolist() == [1e29, -1e-300]
    got = refusal(tmp_path, HEAD + 'cell (A) { pin ("D[1000000000:0]") { } } }')
    assert got.startswith('in.lib:2: bus "D" has more than 65,536 bits')


def test_linear_delays_and_variation_tables_are_passed_over(tmp_path: Path) -> None:
    """Such an arc is there, its numbers are not: `read_liberty` says so."""
    linear = "intrinsic_rise : 1; intrinsic_fall : 2; rise_resistance : 0.1; fall_resistance : 0.2;"
    sigma = 'ocv_sigma_cell_rise (t) { sigma_type : early; values ("9, 9"); } ocv_mean_shift_cell_rise (t) { % }'
    own = 'cell_rise (t) { values ("3, 4"); }'
    lib = read(
        tmp_path,
        HEAD
        + TEMPLATE
        + "cell (A) { pin (B, C) { direction : input; } pin (Y) { direction : output;"
        + f"timing () {{ related_pin : B; {linear} }} timing () {{ related_pin : C; {sigma} {own} {sigma} }} }} }} }}",
    )
    assert [len(tables_of(lib, arc)) for arc in (0, 1)] == [0, 1]
    assert lib.table_values_ns.tolist() == [3, 4]
    assert "linear delay" in str(read_liberty.__doc__)
    assert "LVF" in str(read_liberty.__doc__)


def test_hostile_function_leaves_the_cell_unclassed(tmp_path: Path) -> None:
    deep = "(" * 5000 + "A" + ")" * 5000
    lib = read(
        tmp_path,
        library(
            f'cell (A) {{ pin (A) {{ direction : input; }} pin (Y) {{ direction : output; function : "{deep}"; }} }}'
        ),
    )
    assert [FUNCTION_CLASSES[c] for c in lib.cell_function_class] == ["other"]


# --- real libraries and the other back-end --------------------------------------------------------------------------


@functools.cache
def real(path: Path) -> Liberty:
    return read_liberty(path)


def test_every_library_reads(gsr_data: Path, kit: Path) -> None:
    paths = [*sorted(gsr_data.glob("pdk/*/lib/*.lib*")), *sorted((kit / "tech").glob("*.lib"))]
    assert len(paths) == 14
    for path in paths:
        if path.stat().st_size > 3_000_000:
            continue  # asap7 AO and OA: the slow test reads them
        lib = real(path)
        text = read_bytes(path).decode("latin-1")
        assert lib.num_cells == len(re.findall(r"^\s*cell ?\(", text, re.MULTILINE))
        assert len(lib.timing_table_ptr) - 1 == len(re.findall(r"\btiming ?\(", text))
        kinds = r"\b(?:cell_|rise_|fall_)(?:rise|fall|transition|constraint) ?\("
        assert len(lib.table_kind) == len(re.findall(kinds, text))
        inputs = lib.pin_direction == 0
        assert (lib.pin_cap_ff[inputs] > 0).mean() > 0.99
        assert (lib.cell_area_um2 >= 0).all()


def test_units_of_real_libraries_agree(gsr_data: Path) -> None:
    """Inverter input capacitances of four technologies lie within one order of magnitude of a femtofarad."""
    for path, cell, name, low, high in [
        ("nangate45/lib/NangateOpenCellLibrary_typical.lib.gz", "INV_X1", "A", 1, 3),
        ("asap7/lib/asap7sc7p5t_INVBUF_RVT_TT_nldm_220122.lib.gz", "INVx1_ASAP7_75t_R", "A", 0.3, 1),
        ("ihp-sg13g2/lib/sg13g2_stdcell_typ_1p20V_25C.lib.gz", "sg13g2_inv_1", "A", 1, 5),
        ("sky130hd/lib/sky130_fd_sc_hd__tt_025C_1v80.lib.gz", "sky130_fd_sc_hd__inv_1", "A", 1, 5),
    ]:
        lib = real(gsr_data / "pdk" / path)
        assert low < lib.pin_cap_ff[pin(lib, cell, name)] < high
        c = lib.cell_names.find(cell)
        assert lib.is_inverter[c]
        assert 1 < lib.cell_drive_kohm[c] < 30
        assert lib.cell_leakage_nw[c] > 0


def test_kit_classes(kit: Path) -> None:
    lib = real(kit / "tech" / "gsr45_typ.lib")
    kinds = {n: FUNCTION_CLASSES[c] for n, c in zip(lib.cell_names, lib.cell_function_class, strict=True)}
    for name, kind in {
        "G45_INV_X1": "inverter",
        "G45_CLKBUF_X4": "buffer",
        "G45_NAND3_X1": "nand",
        "G45_NOR4_X1": "nor",
    }.items():
        assert kinds[name] == kind
    drive = dict(zip(lib.cell_names, lib.cell_drive_kohm, strict=True))
    assert drive["G45_INV_X1"] > 1.8 * drive["G45_INV_X2"] > 3 * drive["G45_INV_X4"]


SMALL_LIBS = ["asap7/lib/sram_asap7_64x64_1rw.lib", "asap7/lib/asap7sc7p5t_SEQ_RVT_TT_nldm_201020.lib.gz"]
LARGE_LIBS = [
    "asap7/lib/asap7sc7p5t_AO_RVT_TT_nldm_211120.lib.gz",
    "asap7/lib/asap7sc7p5t_OA_RVT_TT_nldm_211120.lib.gz",
    "sky130hd/lib/sky130_fd_sc_hd__tt_025C_1v80.lib.gz",
    "nangate45/lib/NangateOpenCellLibrary_typical.lib.gz",
    "ihp-sg13g2/lib/sg13g2_stdcell_typ_1p20V_25C.lib.gz",
]


def assert_backends_agree(path: Path) -> None:
    pytest.importorskip("liberty", reason="liberty-parser is not installed: it is the oracle of this test")
    assert_same(read_liberty(path), read_liberty(path, backend="liberty-parser"))


@pytest.mark.parametrize("name", SMALL_LIBS)
def test_backend_gives_the_same_columns(gsr_data: Path, name: str) -> None:
    assert_backends_agree(gsr_data / "pdk" / name)


def test_backend_gives_the_same_columns_for_the_kit(kit: Path) -> None:
    assert_backends_agree(kit / "tech" / "gsr45_typ.lib")


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE_LIBS)
def test_backend_gives_the_same_columns_for_large_libraries(gsr_data: Path, name: str) -> None:
    assert_backends_agree(gsr_data / "pdk" / name)


def test_backend_takes_numbers_and_continuations(tmp_path: Path) -> None:
    pytest.importorskip("liberty", reason="liberty-parser is not installed: it is the oracle of this test")
    assert_same(read(tmp_path, SMALL), read(tmp_path, SMALL, backend="liberty-parser"))
    text = 'library (l) { time_unit : "1ns"; capacitive_load_unit\\\n (1,pF); cell (A) { area : .02; } }'
    assert_same(read(tmp_path, text), read(tmp_path, text, backend="liberty-parser"))


def test_backend_reports_its_own_refusals(tmp_path: Path) -> None:
    pytest.importorskip("liberty", reason="liberty-parser is not installed: it is the oracle of this test")
    with pytest.raises(InputError, match="liberty-parser refuses the file"):
        read(tmp_path, HEAD + "cell (A) {", backend="liberty-parser")


def test_missing_backend_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "liberty", None)
    monkeypatch.setitem(sys.modules, "liberty.parser", None)
    with pytest.raises(InputError, match=r"needs a package that is missing\n  pip install liberty-parser"):
        read(tmp_path, SMALL, backend="liberty-parser")


def test_default_backend_never_imports_the_gpl_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n == "liberty" or n.startswith("liberty.")]:
        monkeypatch.delitem(sys.modules, name)
    read(tmp_path, SMALL)
    assert "liberty" not in sys.modules
