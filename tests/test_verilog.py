"""The structural Verilog reader: against plain loops, against yosys, on nasty and on broken input."""

import ctypes
import gzip
import itertools
import random
import re
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import verilog_peer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_netlist import flatten, random_design, text_of

from circuit_io import verilog_modules
from circuit_io.def_ import read_def
from circuit_io.errors import InputError
from circuit_io.names import Names
from circuit_io.native import library, scan
from circuit_io.text import read_bytes
from circuit_io.verilog import Netlist, read_verilog
from circuit_io.verilog_rows import SharedNames, Statement, scanned_body
from circuit_io.verilog_words import KEYWORDS

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LARGE = {"ariane133", "ariane136", "swerv", "jpeg", "nvdla_partition_a"}  # seconds each in yosys


def read(folder: Path, text: str | bytes, **options: object) -> Netlist:
    path = folder / "in.v"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_verilog(path, **options)  # type: ignore[arg-type]


def refusal(folder: Path, text: str | bytes, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, text, **options)
    return str(caught.value).replace(str(folder) + "/", "")


def pins_of(netlist: Netlist) -> dict[tuple[str, str], int]:
    """(inst, pin) -> net; the inst of a port is empty."""
    names, pins = netlist.inst_names.tolist(), netlist.pin_names.tolist()
    net = np.repeat(np.arange(netlist.num_nets), np.diff(netlist.net_ptr))
    rows = zip(netlist.conn_inst.tolist(), netlist.conn_pin.tolist(), net.tolist(), strict=True)
    out = {(names[i] if i >= 0 else "", pins[p]): n for i, p, n in rows}
    assert len(out) == len(net)
    return out


def tied_of(netlist: Netlist) -> dict[tuple[str, str], int]:
    names, pins = netlist.inst_names.tolist(), netlist.pin_names.tolist()
    rows = zip(netlist.const_inst.tolist(), netlist.const_pin.tolist(), netlist.const_value.tolist(), strict=True)
    return {(names[i] if i >= 0 else "", pins[p]): v for i, p, v in rows}


def nets_of(netlist: Netlist) -> dict[str, set[str]]:
    """Net name -> its pins as inst/pin, ports by their name alone."""
    out: dict[str, set[str]] = {}
    names = netlist.net_names.tolist()
    assert len(set(names)) == len(names)
    for (inst, pin), net in pins_of(netlist).items():
        out.setdefault(names[net], set()).add(f"{inst}.{pin}" if inst else pin)
    return out


def assert_same(a: Netlist, b: Netlist) -> None:
    for f in fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        assert np.array_equal(x, y) and x.dtype == y.dtype if isinstance(x, np.ndarray) else x == y, f.name


# --- what the columns say -------------------------------------------------------------------------------------------


def test_columns_of_a_small_hierarchy(tmp_path: Path) -> None:
    n = read(
        tmp_path,
        """
        module half (input [1:0] d, output q);
          wire t;
          NAND2 u1 (.A1(d[1]), .A2(d[0]), .ZN(t));
          INV u2 (.A(t), .ZN(q));
        endmodule
        module top (a, b, y, k);
          input a, b; output y; output k;
          wire w;
          half h0 (.d({a, b}), .q(w));
          half h1 (.d({w, 1'b1}), .q(y));
          assign k = 1'b0;
        endmodule
        """,
    )
    assert n.top == "top"
    assert n.inst_names.tolist() == ["h0/u1", "h0/u2", "h1/u1", "h1/u2"]
    assert [n.master_names[m] for m in n.inst_master.tolist()] == ["NAND2", "INV", "NAND2", "INV"]
    assert nets_of(n) == {
        "a": {"a", "h0/u1.A1"},
        "b": {"b", "h0/u1.A2"},
        "y": {"y", "h1/u2.ZN"},
        "w": {"h0/u2.ZN", "h1/u1.A1"},
        "h0/t": {"h0/u1.ZN", "h0/u2.A"},
        "h1/t": {"h1/u1.ZN", "h1/u2.A"},
    }
    assert tied_of(n) == {("h1/u1", "A2"): 1, ("", "k"): 0}
    assert n.port_names.tolist() == ["a", "b", "y", "k"]
    assert n.port_direction.tolist() == [0, 0, 1, 1]
    assert [n.net_names[i] if i >= 0 else None for i in n.port_net.tolist()] == ["a", "b", "y", None]
    assert n.occ_name.tolist() == ["", "h0", "h1"]
    assert n.occ_parent.tolist() == [-1, 0, 0]
    assert [n.module_names[m] for m in n.occ_module.tolist()] == ["top", "half", "half"]
    assert n.inst_occ.tolist() == [1, 1, 2, 2]


@QUICK
@given(seed=st.integers(0, 2**32))
def test_nets_equal_those_of_plain_loops(tmp_path: Path, seed: int) -> None:
    top = random_design(random.Random(seed))
    n = read(tmp_path, text_of(top, random.Random(seed), plain=True), top=top.name)
    reference = flatten(top)
    nets, tied = reference.nets()
    mine: dict[int, set[tuple[str, str]]] = {}
    for pin, net in pins_of(n).items():
        mine.setdefault(net, set()).add(pin)
    assert {frozenset(pins) for pins in mine.values()} == nets
    assert len(mine) == n.num_nets
    assert tied_of(n) == tied
    masters = n.master_names.tolist()
    names = n.inst_names.tolist()
    assert dict(zip(names, [masters[m] for m in n.inst_master], strict=True)) == reference.masters


@settings(QUICK, max_examples=30)
@given(seed=st.integers(0, 2**32), layout=st.integers(0, 2**32))
def test_layout_changes_nothing(tmp_path: Path, seed: int, layout: int) -> None:
    top = random_design(random.Random(seed))
    text = text_of(top, random.Random(seed), plain=True)
    plain = read(tmp_path, text, top=top.name)
    other = text_of(top, random.Random(seed), plain=True).replace(" \n", "\n")
    assert_same(plain, read(tmp_path, gzip.compress(other.encode()), top=top.name))
    assert_same(plain, read(tmp_path, other.replace("\n", "\r\n"), top=top.name))
    loose = text_of(top, random.Random(layout))
    assert_same(plain, read(tmp_path, loose, top=top.name))


@pytest.mark.parametrize("design", ["crc_bank", "rv32_core"])
def test_kit_netlist_read_in_three_layouts(kit: Path, tmp_path: Path, design: str) -> None:
    text = read_bytes(kit / "netlists" / f"{design}.v.gz").split(b"\n", 1)[1]  # without its comment
    plain = read(tmp_path, text)
    assert_same(plain, read(tmp_path, text.replace(b"\n", b"\r\n")))
    assert_same(plain, read(tmp_path, gzip.compress(text)))
    assert_same(plain, read(tmp_path, text.replace(b"(", b"\n(\n").replace(b",", b" /* , */ ,\t// )\n")))
    assert_same(plain, read(tmp_path, b'(* top = 1, src = "x;\\"endmodule" *)\n' + text))


# --- nasty input (research/io.md section 8) -------------------------------------------------------------------------


def test_escaped_name_ended_by_newline(tmp_path: Path) -> None:
    n = read(
        tmp_path,
        "module t (); wire [1:0] \\aaa.aaa ;\nAND \\u3.x\n"
        "(.A1 (\\aaa.aaa\n[0]), .A2(\\aaa.aaa [0]), .Z(\\aaa.aaa\t[1]));endmodule",
    )
    assert n.inst_names.tolist() == ["u3.x"]
    assert nets_of(n) == {"aaa.aaa[0]": {"u3.x.A1", "u3.x.A2"}, "aaa.aaa[1]": {"u3.x.Z"}}


def test_escaped_scalar_beside_vector_bit(tmp_path: Path) -> None:
    n = read(tmp_path, "module t (a); input [1:0] a; wire \\a[0] ; INV u1 (.A(a[0]), .ZN(\\a[0] )); endmodule")
    pins = pins_of(n)
    assert pins["u1", "A"] == pins["", "a[0]"] != pins["u1", "ZN"]
    assert [n.net_names[i] for i in (pins["u1", "A"], pins["u1", "ZN"])] == ["a[0]", "a[0]"]  # told apart by number


def test_quote_in_module_name_and_attributes(tmp_path: Path) -> None:
    n = read(
        tmp_path,
        """
        (* keep = 1, src = "a.v:3; endmodule /* x" *)
        module \\MACC_14'1000_19_BASE (A, Y); input A; output Y;
          (* src = "b.v:9" *) INV u1 (.A(A), (* x *) .ZN(Y)); endmodule
        module t (i, o); input i; output o; \\MACC_14'1000_19_BASE m (.A(i), .Y(o)); endmodule
        """,
    )
    assert nets_of(n) == {"i": {"i", "m/u1.A"}, "o": {"o", "m/u1.ZN"}}


def test_comments_hold_statements(tmp_path: Path) -> None:
    n = read(
        tmp_path,
        "module t (a); input a; // endmodule ; module x (a);\n"
        "/* INV u0 (.A(a)); endmodule */ INV u1 (.A(a)); endmodule",
    )
    assert n.inst_names.tolist() == ["u1"]


def test_names_that_look_like_comments(tmp_path: Path) -> None:
    n = read(tmp_path, 'module t (); INV \\u//1 (.A(\\a/*b ), .ZN(\\c"d(*;e ), .X(\\endmodule ), .Y(\\`f )); endmodule')
    assert nets_of(n) == {
        "a\\/*b": {"u\\/\\/1.A"},
        'c"d(*;e': {"u\\/\\/1.ZN"},
        "endmodule": {"u\\/\\/1.X"},
        "`f": {"u\\/\\/1.Y"},
    }


def test_vector_of_an_escaped_name(tmp_path: Path) -> None:
    n = read(tmp_path, "module t (); wire [8:6] \\dcsr_q[cause] ; INV u (.A(\\dcsr_q[cause] [7])); endmodule")
    assert nets_of(n) == {"dcsr_q[cause][7]": {"u.A"}}


def test_constants_concatenations_and_replication(tmp_path: Path) -> None:
    n = read(
        tmp_path,
        """
        module t (a, y); input a; output [3:0] y;
          sub s (.d({1'b0, a, 2'b10}), .q({y[3:2], y[1], y[0]}));
          sub t (.d(4'd5), .q()); sub r (.d({4{a}}), .q());
          sub v (.d({{2{1'b1}}, {2{a}}}), .q()); sub x (.d(4'hz), .q()); sub z (.d('h3));
        endmodule
        module sub (input [3:0] d, output [3:0] q); MACRO m (.D(d), .Q(q)); endmodule
        """,
    )
    tied = tied_of(n)
    assert [tied.get(("s/m", f"D[{i}]")) for i in (3, 2, 1, 0)] == [0, None, 1, 0]
    assert [tied.get(("t/m", f"D[{i}]")) for i in (3, 2, 1, 0)] == [0, 1, 0, 1]
    assert [tied.get(("v/m", f"D[{i}]")) for i in (3, 2, 1, 0)] == [1, 1, None, None]
    assert [tied.get(("z/m", f"D[{i}]")) for i in (3, 2, 1, 0)] == [0, 0, 1, 1]
    nets = nets_of(n)
    assert nets["a"] == {"a", "s/m.D[2]", "v/m.D[1]", "v/m.D[0]", *(f"r/m.D[{i}]" for i in range(4))}
    assert nets["y[2]"] == {"y[2]", "s/m.Q[2]"}
    assert nets["x/d[3]"] == {"x/m.D[3]"}


def test_wire_and_assign_lists(tmp_path: Path) -> None:
    n = read(
        tmp_path,
        """
        module t (a, b, v, y, z); input [1:0] a; input b; input v; output y, z;
          wire [1:0] t; wire w = b, x; assign {t[1], t[0]} = a; assign y = t[0], z = v;
          INV u (.A(w), .B(t[1]));
        endmodule
        """,
    )
    nets = nets_of(n)
    assert nets == {"a[1]": {"a[1]", "u.B"}, "a[0]": {"a[0]", "y"}, "b": {"b", "u.A"}, "v": {"v", "z"}}


def test_supply_nets_tri_and_undeclared(tmp_path: Path) -> None:
    n = read(
        tmp_path,
        "module t (y); output y; supply0 VSS; supply1 VDD; tri y;INV u (.A(VSS), .B(VDD), .C(fresh), .Y(y)); endmodule",
    )
    assert tied_of(n) == {("u", "A"): 0, ("u", "B"): 1}
    assert nets_of(n) == {"fresh": {"u.C"}, "y": {"u.Y", "y"}}


def test_ansi_header_carries_range_and_direction(tmp_path: Path) -> None:
    n = read(tmp_path, "module sub (input wire [3:0] d, e, output [0:3] q, inout z); INV u (.A(d[3])); endmodule")
    assert n.port_names.tolist() == [
        *(f"{p}[{i}]" for p in "de" for i in (3, 2, 1, 0)),
        *(f"q[{i}]" for i in range(4)),
        "z",
    ]
    assert n.port_direction.tolist() == [0] * 8 + [1] * 4 + [2]


def test_feed_through_merges_the_nets_outside(tmp_path: Path) -> None:
    n = read(
        tmp_path,
        """
        module t (); ft f (.a(p), .y(q), .z(r)); INV u1 (.A(p)); INV u2 (.A(q)); INV u3 (.A(r)); endmodule
        module ft (a, y, z); input a; output y, z; assign y = a; assign z = a; endmodule
        """,
    )
    assert nets_of(n) == {"p": {"u1.A", "u2.A", "u3.A"}}


def test_slash_in_names_is_not_hierarchy(tmp_path: Path) -> None:
    n = read(
        tmp_path,
        """
        module t (o); output o; s \\u/sub[0].x (.\\path/with/slash (o)); endmodule
        module s (\\path/with/slash ); output \\path/with/slash ; TIE k (.Z(\\path/with/slash )); endmodule
        """,
    )
    assert n.inst_names.tolist() == ["u\\/sub[0].x/k"]
    assert nets_of(n) == {"o": {"o", "u\\/sub[0].x/k.Z"}}


def test_negative_and_rising_ranges(tmp_path: Path) -> None:
    n = read(
        tmp_path,
        "module t (); wire [1:-2] a; wire [0:3] b; INV u1 (.A(a[-1]), .Z(b[3])); M m (.D(a), .E(b[1:2])); endmodule",
    )
    nets = nets_of(n)
    assert nets["a[-1]"] == {"u1.A", "m.D[1]"}
    assert nets["a[1]"] == {"m.D[3]"}
    assert nets["b[1]"] == {"m.E[1]"}
    assert nets["b[3]"] == {"u1.Z"}


def test_positional_pins_and_parameters(tmp_path: Path) -> None:
    n = read(
        tmp_path,
        """
        module t (a, y); parameter W = 8; localparam K = "x;y"; input a; output y;
          sub #(.W(3), .D(2)) s1 (a, w), s2 (w, y), s3 (a,); sub #(2) s4 (, w4); defparam s1.W = 4;
        endmodule
        module sub (i, o); input i; output o; BUF u (.A(i), .Z(o)); endmodule
        """,
    )
    assert nets_of(n) == {
        "a": {"a", "s1/u.A", "s3/u.A"},
        "w": {"s1/u.Z", "s2/u.A"},
        "y": {"y", "s2/u.Z"},
        "s3/o": {"s3/u.Z"},
        "s4/i": {"s4/u.A"},
        "w4": {"s4/u.Z"},
    }


def test_single_pin_nets_stay(tmp_path: Path) -> None:
    n = read(tmp_path, "module t (); wire UNCONNECTED_HIER_Z12; INV u (.ZN(UNCONNECTED_HIER_Z12)); endmodule")
    assert nets_of(n) == {"UNCONNECTED_HIER_Z12": {"u.ZN"}}


def test_header_shows_an_expression(tmp_path: Path) -> None:
    n = read(
        tmp_path,
        """
        module s (.a({b, c}), .y(z[1])); input b, c; output [2:0] z; AND u (.A(b), .B(c), .Z(z[1])); endmodule
        module t (i, o); input [1:0] i; output o; s k (.a(i), .y(o)); endmodule
        """,
    )
    assert nets_of(n) == {"i[1]": {"i[1]", "k/u.A"}, "i[0]": {"i[0]", "k/u.B"}, "o": {"o", "k/u.Z"}}
    n = read(tmp_path, "module s (.a({b, c}), .y(z)); input b, c; output z; AND u (.A(b), .B(c), .Z(z)); endmodule")
    assert n.port_names.tolist() == ["a[1]", "a[0]", "y"]
    assert n.port_direction.tolist() == [0, 0, 1]


def test_stub_gives_pin_order_and_bus_names(tmp_path: Path) -> None:
    n = read(
        tmp_path,
        """
        module RAM (input clk, input [0:1] \\a/d , output [7:4] q); endmodule
        module t (c, q); input c; output [3:0] q; wire [1:0] a;
          RAM r0 (c, a, q); RAM r1 (.clk(c), .q(q[1:0])); endmodule
        """,
    )
    assert [n.master_names[m] for m in n.inst_master.tolist()] == ["RAM", "RAM"]
    nets = nets_of(n)
    assert nets["a[1]"] == {"r0.a/d[0]"}
    assert nets["q[3]"] == {"q[3]", "r0.q[7]"}
    assert nets["q[1]"] == {"q[1]", "r0.q[5]", "r1.q[5]"}
    assert len(n.occ_parent) == 1


def test_width_mismatch_fills_and_cuts_on_the_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    n = read(
        tmp_path,
        """
        module s (input [2:0] i, output [2:0] o); M m (.I(i), .O(o)); endmodule
        module t (); wire [1:0] a, b; wire [3:0] c; s s0 (.i(a), .o(b)); s s1 (.i(c), .o(c)); s s2 (.i(7)); endmodule
        """,
    )
    assert tied_of(n) == {("s0/m", "I[2]"): 0, **{("s2/m", f"I[{i}]"): 1 for i in range(3)}}
    nets = nets_of(n)
    assert nets["a[1]"] == {"s0/m.I[1]"}
    assert nets["s0/o[2]"] == {"s0/m.O[2]"}
    assert nets["c[0]"] == {"s1/m.I[0]", "s1/m.O[0]"}
    assert "c[3]" not in nets
    assert "4 connections or assigns join vectors of different widths" in caplog.text


def test_several_tops(tmp_path: Path) -> None:
    text = "module a (); INV u (); endmodule module b (); INV u (); endmodule module c (); endmodule"
    assert refusal(tmp_path, text) == "in.v: 2 modules could be the top: a, b\n  Name one: top=..."
    assert read(tmp_path, text, top="b").top == "b"
    assert read(tmp_path, text, top="c").num_insts == 0
    assert refusal(tmp_path, text, top="aa") == 'in.v: no module "aa"\n  Did you mean "a"?'


def test_several_files(tmp_path: Path) -> None:
    (tmp_path / "a.v").write_text("module t (i); input i; s s0 (.p(i)); endmodule")
    (tmp_path / "b.v").write_text("module s (p); input p; INV u (.A(p)); endmodule")
    n = read_verilog([tmp_path / "a.v", tmp_path / "b.v"])
    assert nets_of(n) == {"i": {"i", "s0/u.A"}}


def test_compiler_directives(tmp_path: Path) -> None:
    text = """`timescale 1ns / 1ps
        `default_nettype none
        `celldefine
        `define W 1
        module t (a); input [`W:0] a;
        `ifdef PG
          INV u1 (.A(a[0]), .VDD(a[1]));
        `elsif OTHER
          `include "gone.v" `junk
        `else
          INV u2 (.A(a[`W]));
        `endif
        `ifndef PG `ifdef X BUF b0 (); `else BUF b1 (); `endif `endif
        endmodule
        `endcelldefine
        """
    assert read(tmp_path, text).inst_names.tolist() == ["u2", "b1"]
    assert read(tmp_path, text, defines=["PG"]).inst_names.tolist() == ["u1"]
    assert read(tmp_path, text, defines=["X=1"]).inst_names.tolist() == ["u2", "b0"]


# --- what is refused, and how ---------------------------------------------------------------------------------------

RTL = "Only instances, nets and plain assigns are read: give the netlist that synthesis wrote, not RTL."
PLAIN = "Only names, bit selects, constants and concatenations are structural."
REFUSED = {
    "always": ("module t ();\n always @(*) q = d;\nendmodule", f"in.v:2: behavioural construct `always`\n  {RTL}"),
    "reg port": ("module t (output reg q); endmodule", f"in.v:1: behavioural construct `reg`\n  {RTL}"),
    "expression": (
        "module t (a, b, y); input a, b; output y;\n\nassign y = a & ~b;\nendmodule",
        f'in.v:3: "a & ~b" is an expression (module "t")\n  {PLAIN}',
    ),
    "expression on a pin": (
        "module t ();\nINV u (.A(a ^ b));\nendmodule",
        f'in.v:2: "a ^ b" is an expression (module "t")\n  {PLAIN}',
    ),
    "string on a pin": (
        'module t ();\nINV u (.A("a;)"), .Z(y)); endmodule',
        f'in.v:2: """" is an expression (module "t")\n  {PLAIN}',
    ),
    "string by place": (
        'module t ();\nINV u ("a"); endmodule',
        "in.v:2: ",
    ),
    "gate primitive": (
        "module t (); and g (y, a, b); endmodule",
        "in.v:1: gate primitive `and`\n  Map gates to library cells first.",
    ),
    "duplicate module": (
        "module a (); endmodule\nmodule b (); endmodule\nmodule a (); endmodule",
        'in.v:3: module "a" is defined twice, first at in.v:1\n  Delete one of them.',
    ),
    "cut in an instance": (
        "module t (a);\ninput a;\nINV u1 (.A(a)",
        'in.v:3: no semicolon ends "INV u1 (.A(a)"\n  The file is cut short, or the statement is not finished.',
    ),
    "cut between statements": (
        "module t (a);\ninput a;\n",
        'in.v:1: the file ends inside module "t"\n  The file is cut short, or endmodule is missing.',
    ),
    "empty": ("", "in.v: holds no module\n  Give a structural Verilog netlist."),
    "not Verilog": ("VERSION 5.8 ;\nDESIGN x ;", 'in.v: 2 faults\nin.v:1: "VERSION" stands outside a module'),
    "NUL": (b"module t ();\n\0endmodule", "in.v:2: holds a NUL byte, so it is not text"),
    "unclosed comment": ("module t ();\n/* endmodule", "in.v: 2 faults\nin.v:2: /* is not closed\n  Close it"),
    "unknown port": (
        "module s (clk); input clk; INV u (.A(clk)); endmodule\nmodule t ();\ns s0 (.clok(x));\nendmodule",
        'in.v:3: "clok" is no port of module "s" (module "t")\n  Did you mean "clk"?',
    ),
    "too many by place": (
        "module s (a); input a; INV u (.A(a)); endmodule module t (); s s0 (x, y); endmodule",
        'in.v:1: more pins are connected than the 1 ports of module "s" (module "t")\n  Remove',
    ),
    "place without order": (
        "module t (); INV u (a, b); endmodule",
        'in.v: 2 faults\nin.v:1: pins of "INV" are connected by place, but its pin order is unknown (module "t")',
    ),
    "mixed pins": ("module t (); s u (a, .b(c)); endmodule", "in.v:1: pins by name and by place are mixed"),
    "index of a scalar": (
        "module t (); wire a; INV u (.A(a[0])); endmodule",
        'in.v:1: "a" is indexed but is not a vector (module "t")\n  Declare it with a range',
    ),
    "index out of range": (
        "module t (); wire [3:0] a; INV u (.A(a[4])); endmodule",
        'in.v:1: "a[4]" is outside its range [3:0] (module "t")',
    ),
    "range turned round": (
        "module t (); wire [3:0] a; M u (.A(a[0:3])); endmodule",
        'in.v:1: "a[0:3]" is outside its range [3:0] (module "t")',
    ),
    "parameter in a range": (
        "module t (a); parameter W = 4; input [W-1:0] a; endmodule",
        "in.v: 2 faults\nin.v:1: a range is not made of numbers\n  Give the netlist with its parameters worked out.",
    ),
    "two ranges": (
        "module t (a); input [3:0] a; wire [2:0] a; endmodule",
        'in.v:1: "a" is declared with two different ranges\n  Keep one',
    ),
    "two directions": (
        "module t (a); input a; output a; endmodule",
        'in.v:1: port "a" is declared with two directions',
    ),
    "no direction": (
        "module t (a); endmodule",
        'in.v:1: port "a" has no direction (module "t")\n  Declare it input, output or inout.',
    ),
    "port not listed": ("module t (a); input a, b; endmodule", 'in.v:1: "b" is declared as a port but is not in the'),
    "port listed twice": ("module t (a, a); input a; endmodule", "in.v:1: a port is listed twice"),
    "instance twice": (
        "module t ();\nINV u ();\nINV u ();\nendmodule",
        'in.v:3: instance "u" is defined twice (module "t")\n  Rename one of them.',
    ),
    "pin twice": (
        "module t ();\nINV u (.A(a),\n.A(b));\nendmodule",
        'in.v:2: pin "A" is connected twice (module "t")\n  Keep one of them.',
    ),
    "pin twice among many": (
        f"module t ();\nRAM u ({', '.join(f'.A{i}(a)' for i in range(20))});\n"
        f"RAM v (.A0(a), {', '.join(f'.A{i}(a)' for i in range(20))}); INV w (.A(b)); endmodule",
        'in.v:3: pin "A0" is connected twice (module "t")',
    ),
    "pin twice, far apart": (
        f"module t ();\nRAM u ({', '.join(f'.A{i}(a)' for i in range(20))});\nINV w (.A(b));\n"
        f"RAM v ({', '.join(f'.A{i}(a)' for i in range(20))}, .A0(b)); endmodule",
        'in.v:4: pin "A0" is connected twice (module "t")',
    ),
    "port twice": (
        "module s (a); input a; INV u (.A(a)); endmodule\nmodule t ();\ns k (.a(x), .a(y)); endmodule",
        'in.v:3: port "a" is connected twice (module "t")',
    ),
    "module holds itself": (
        "module a (); b x (); endmodule\nmodule b (); a y (); endmodule module t (); a z (); endmodule",
        'in.v:1: module "a" contains itself\n  Break the loop of instances.',
    ),
    "no top": (
        "module a (); b x (); endmodule\nmodule b (); a y (); endmodule",
        "in.v: every module is instantiated by another, so there is no top\n  Name one: top=...",
    ),
    "tied to both": (
        "module t (); supply0 g; assign g = 1'b1; INV u (.A(g)); endmodule",
        'in.v: net "g" is tied to both 0 and 1\n  Drop one of the two.',
    ),
    "array of instances": ("module t (); INV u [3:0] (.A(a)); endmodule", 'in.v:1: "u" is an array of instances'),
    "implicit pin": ("module t (); s u (.a, .b(c)); endmodule", 'in.v:1: ".a" does not name its net'),
    "star": ("module t (); s u (.*); endmodule", 'in.v:1: ".*" does not name its net'),
    "unsized number on a cell": (
        "module t (); INV u (.A(0)); endmodule",
        'in.v:1: pin "A" of "INV" is tied to a number without a width (module "t")\n  Write it with its width: 1\'b0.',
    ),
    "constant driven": ("module t (); assign 1'b0 = a; endmodule", "in.v:1: a constant stands left of = in assign"),
    "bad digit": ("module t (); INV u (.A(1'b2)); endmodule", 'in.v:1: "2" is no digit of its base (module "t")'),
    "missing comma": ("module t (); INV u (.A(a) .B(b)); endmodule", 'in.v:1: not understood: "INV u (.A(a) .B(b))"'),
    "include": (
        '`include "x.v"\nmodule t (); endmodule',
        "in.v:1: `include is not followed\n  Run a preprocessor first",
    ),
    "unknown macro": ("module t (); INV u (.A(`X)); endmodule", 'in.v:1: `X is not defined\n  Pass defines=["X=..."]'),
    "macro with arguments": ("`define F(x) x\nmodule t (); endmodule", "in.v:1: `define with arguments"),
    "open ifdef": ("`ifdef A\nmodule t (); endmodule", "in.v:1: `ifdef without `endif\n  Add the missing `endif."),
    "stray endif": ("module t ();\n`endif\nendmodule", "in.v:2: `endif without `ifdef"),
    "module in module": (
        "module a ();\nmodule b (); endmodule",
        'in.v:1: module "a" is not closed before the next\n  Add its endmodule.',
    ),
    "endmodule alone": ("endmodule", "in.v:1: endmodule without module"),
    "text after": ("module t (); endmodule garbage", 'in.v:1: no semicolon ends "garbage"'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_place_and_remedy(tmp_path: Path, case: str) -> None:
    text, message = REFUSED[case]
    got = refusal(tmp_path, text)
    assert got.startswith(message)
    assert "\n  " in got


def test_twenty_faults_are_shown_with_the_true_total(tmp_path: Path) -> None:
    text = "module t ();\n" + "assign y = a & b;\n" * 3000 + "endmodule"
    got = refusal(tmp_path, text)
    assert got.startswith('in.v: 3000 faults\nin.v:2: "a & b" is an expression')
    assert got.endswith("and 2980 more")
    assert got.count("\nin.v:") == 20


def test_repeated_pins_are_all_counted(tmp_path: Path) -> None:
    insts = "".join(f"INV i{i} (.A(n), .A(n), .Z(m));\n" for i in range(50))
    got = refusal(tmp_path, f"module t (n);\ninput n;\nwire m;\n{insts}endmodule")
    assert got.startswith('in.v: 50 faults\nin.v:4: pin "A" is connected twice')
    assert got.endswith("and 30 more")


def test_rtl_of_the_kit_is_refused_with_a_line(kit: Path) -> None:
    for path in sorted((kit / "rtl").glob("*.v")):
        with pytest.raises(InputError, match=r"\.v:\d+: "):
            read_verilog(path)


# --- the C scanner says what Python says ----------------------------------------------------------------------------


def either(path: Path, scanner: str, **options: object) -> Netlist | str:
    """The netlist, or the text of the error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GSR_SCANNER", scanner)
        patch.setattr(verilog_modules, "SHORT", 0)
        try:
            return read_verilog(path, **options)  # type: ignore[arg-type]
        except InputError as e:
            return str(e)


def assert_scanner_agrees(path: Path, **options: object) -> None:
    python, c = either(path, "python", **options), either(path, "c", **options)
    if isinstance(python, str) or isinstance(c, str):
        assert python == c
    else:
        assert_same(python, c)


@pytest.fixture
def scanner() -> ctypes.CDLL:
    """The library, so that the test means something."""
    lib = library()
    if lib is None or not hasattr(lib, "scan_verilog_body"):
        pytest.skip("the C scanner is not built")
    return lib


def test_scanner_takes_whole_modules_and_leaves_the_rest(scanner: ctypes.CDLL, tmp_path: Path) -> None:
    body = b"input signed a; ; wire w, \\x ; tri [3:-1] v, \\y+ ; INV u (.A (a), .ZN(\\u;( [3])); wire z = a; "
    body += b"parameter P = (1); assign w = {a, v [3]}, v[1]=1'b0; supply1 s; assign w = a & v; endmodule"
    found = scanned_body(body, 0, SharedNames())
    assert found is not None
    rows, statements, end = found
    assert end == body.index(b"endmodule")
    assert statements == [
        Statement(0, b"input", None, [b"a"]),
        Statement(body.index(b"tri"), b"wire", (3, -1), [b"v", b"y+"]),
        Statement(body.index(b"wire z"), b"", None, []),
        Statement(body.index(b"assign"), b"assign", None, [b"w ", b"{a, v [3]}", b"v[1]", b"1'b0"]),
        Statement(body.index(b"supply1"), b"supply1", None, [b"s"]),
        Statement(body.rindex(b"assign"), b"", None, [b"w "]),
    ]
    assert rows.inst_names.tolist() == ["u"]
    assert list(rows.exprs) == ["a", "\\u;( [3]"]
    for other in (b"INV u (a);", b"INV #(2) u (.A(a));", b"always @(a) b = c;", b"INV u (.A((a)));", b"INV u (.A(a)"):
        assert scan("scan_verilog_body", b"wire w; " + other + b" endmodule", 0) is None
    for at in (-1, 999):
        assert scan("scan_verilog_body", b"endmodule", at) is None


@pytest.mark.parametrize("word", sorted(KEYWORDS))
def test_scanner_knows_every_keyword(scanner: ctypes.CDLL, tmp_path: Path, word: bytes) -> None:
    for text in (b"%b u (.A(a));", b"INV %b (.A(a));", b"wire x, %b;", b"wire %b;", b"INV u (.%b(a), .B(%b));"):
        path = tmp_path / "in.v"
        path.write_bytes(b"module t (); " + text.replace(b"%b", word) + b" endmodule")
        assert_scanner_agrees(path)


def test_scanner_agrees_on_every_kind_of_expression(scanner: ctypes.CDLL, tmp_path: Path) -> None:
    names = ["a", "\\a ", "v", "v[2]", "v[ 2 : 1 ]", "v[1:2]", "v[9]", "s[0]", "e [-1]", "\\e [1:-2]", "w$", "$w", "9w"]
    numbers = [
        *("1'b0", "4'b1x0z", "2'b1111", "8'b1_", "8'hx", "9'h1F", "'h3", "12'o7?1", "3'b", "0'b1", "1 'b1", "4'sd9"),
        *(
            "5",
            "'d7",
            "8'd300",
            "4'dz",
            "4'd1_0",
            "1'b2",
            "4'o8",
            "99999999999'b1",
            "40'd99999999999",
            "1'd9" + "9" * 30,
        ),
        *("64'hffff_ffff_ffff_ffff", "70'hf", "4'o8", "1048577'b1", "1'B1", "4'H_1", "6'o?7"),
    ]
    compounds = [
        *(
            "{a}",
            "{a,b}",
            "{ a , v , 1'b0 }",
            "{2{a}}",
            "{3{a,v[1]}}",
            "{2{3{a}}}",
            "{a,{2{b}},{c,{d}}}",
            "{0{a}}",
            "{}",
        ),
        *("{}", "{a,}", "{,a}", "{a", "a}", "{a}}", "{2{a}", "{2 {a} }", "{5}", "{2'b01,5}", "{{a},{b}}"),
        *(
            "{999999999{a}}",
            "{2{{}}}",
            "{a b}",
            "a b",
            "a,b",
            "~a",
            "a[b]",
            "a[1",
            "{5000{a}}",
            "{2{v}}",
            "{1024{{1024{{2{a}}}}}}",
        ),
        "{" * 40 + "a" + "}" * 40,
    ]
    for expr in [*names, *numbers, *compounds, "", " "]:
        path = tmp_path / "in.v"
        path.write_text(
            "module s (input [3:0] p, output q); M m (.P(p), .Q(q)); endmodule module t (v); input [3:0] v;"
            f" wire [1:-2] e; M m (.A({expr}), .B(c)); s k (.p({expr}), .q(a)); assign z = {expr}, {expr} = y;"
            " endmodule"
        )
        assert_scanner_agrees(path, top="t")


def test_scanner_agrees_on_every_kind_of_declaration(scanner: ctypes.CDLL, tmp_path: Path) -> None:
    words = ["input", "inout", "output", "wire", "tri", "supply0", "supply1", "parameter", "wire\\v ;input"]
    kinds = ["", "signed", "wire", "tri vectored", "reg", "\\wire ,", "signed,"]
    ranges = [
        "",
        "[3:0]",
        "[ -1 : 2 ]",
        "[- 1:2]",
        "[3]",
        "[a:0]",
        "[1048576:0]",
        "[1048575:1048570]",
        "[0000000001:0]",
        "[1'b1:0]",
    ]
    names = ["p", "\\p ", "p, x", "p ,", "x = p", "p, p", "q", "signed", "endmodule", "p, \\x/y ", "$p", "\\ p", "p p"]
    for word, kind, span, name in list(itertools.product(words, kinds, ranges, names))[::37]:
        path = tmp_path / "in.v"
        path.write_text(
            f"module t (p, q); {word} {kind} {span} {name}; inout [3:0] q; M m (.P(p), .Q(q[2]), .X(x)); endmodule"
        )
        assert_scanner_agrees(path)


def test_scanner_agrees_on_every_kind_of_assign(scanner: ctypes.CDLL, tmp_path: Path) -> None:
    sides = [
        "p",
        "v[ 1 ]",
        "{p, v[0]}",
        "\\p+ ",
        "",
        "2'b1z",
        "{2{p}}",
        "(p)",
        "p, x",
        "{p",
        "p}",
        "~p",
        "\\ ",
        "p = x",
        "'h1",
    ]
    ends = itertools.cycle(["", ", y = v[3:2]", ", z", ","])
    for (left, right), more in zip(list(itertools.product(sides, sides))[::2], ends, strict=False):
        path = tmp_path / "in.v"
        path.write_text(f"module t (p, v); inout p; inout [3:0] v; assign {left}={right}{more}; M m (.X(x)); endmodule")
        assert_scanner_agrees(path)


@pytest.mark.parametrize("seed", range(40))
def test_scanner_knows_a_net_however_it_is_written(scanner: ctypes.CDLL, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    ways = [
        "a",
        " a",
        "\\a ",
        "\\a  ",
        "{a}",
        "\\a+ ",
        " \\a+ ",
        "\\a+\t",
        "{\\a+ , b}",
        "b",
        "\\9 ",
        "\\9  ",
        "p",
        "\\p ",
    ]
    ways += ["v[0]", "\\v[0] ", "\\v [0]", "1'b0", "", "\\b$ ", "b$", "\\\\ ", "\\\\  "]
    pins = ", ".join(f".P{i}({way})" for i, way in enumerate(rng.sample(ways, rng.randrange(2, len(ways)))))
    path = tmp_path / "in.v"
    end = rng.choice(["", "assign b = a;", "supply0 a;"])
    path.write_text(f"module t (p, v); input p; input [1:0] v; M m ({pins}); {end} endmodule")
    assert_scanner_agrees(path)


@QUICK
@given(seed=st.integers(0, 2**32), layout=st.integers(0, 2**32))
def test_scanner_agrees_on_random_netlists(scanner: ctypes.CDLL, tmp_path: Path, seed: int, layout: int) -> None:
    top = random_design(random.Random(seed))
    path = tmp_path / "in.v"
    path.write_text(text_of(top, random.Random(layout), plain=bool(layout % 2)))
    assert_scanner_agrees(path, top=top.name)


# --- broken input: an InputError or a netlist, soon -----------------------------------------------------------------

BASE = b"""`define W 3
module t (a, \\y[0] ); input [`W:0] a; output \\y[0] ; wire w, v = a[1];
  NAND2 u1 (.A1(a[0]), .A2(w), .ZN(\\y[0] )); (* k = "x" *) s u2 (.p({a[3:2], 1'b0}), .q(w)); // c
  assign {x, z} = a[1:0]; `ifdef Q INV u3 (.A(x)); `else INV u4 (.A(z), .ZN()); `endif
endmodule /* d */
module s (input [2:0] p, output q); M m (p, q); supply1 one; B b (.I(one), .J(p)); endmodule
module M (input [2:0] p, output q); endmodule
"""


@settings(QUICK, max_examples=200)
@given(data=st.data())
def test_damaged_text_never_fails_otherwise(tmp_path: Path, data: st.DataObject) -> None:
    text = bytearray(BASE)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        kind = data.draw(st.sampled_from(["cut", "drop", "insert", "swap"]))
        if kind == "cut":
            del text[at:]
        elif kind == "drop":
            del text[at : at + data.draw(st.integers(1, 30))]
        elif kind == "insert":
            junk = data.draw(
                st.sampled_from([b"(", b")", b"{", b"}", b"[", b"]", b";", b"'", b"`", b'"', b"\\", b"/*"])
            )
            text[at:at] = junk if data.draw(st.booleans()) else data.draw(st.binary(max_size=6))
        else:
            text[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
    _reads_or_refuses(tmp_path, bytes(text))


def _reads_or_refuses(folder: Path, text: bytes) -> None:
    path = folder / "in.v"
    path.write_bytes(text)
    if library() is None:
        either(path, "python")
    else:
        assert_scanner_agrees(path)


LONG = 4000


@pytest.mark.parametrize(
    "text",
    [
        b"(*" * LONG,
        b"/*" * LONG,
        b'"' * (LONG + 1),
        b'"\\"' * LONG,
        b'(* k = "' * LONG,
        b"`ifdef A " * LONG,
        b"`ifndef A " * LONG,
        b"`define A " + b"x" * 99999 + b"\nmodule t (); INV u (.A(" + b"`A" * LONG + b")); endmodule",
        b"module m (" * LONG,
        b"module m ();" * LONG,
        b"module t (); assign y = " + b"{" * LONG + b"a" + b"}" * LONG + b"; endmodule",
        b"module t (); assign y = " + b"{1{" * LONG + b"a" + b"}}" * LONG + b"; endmodule",
        b"module t (); assign y = " + b"(" * LONG + b"a" + b")" * LONG + b"; endmodule",
        b"module t (); assign y = {999999999{{999999999{a}}}}; endmodule",
        b"module t (); wire [999999999:0] a; wire [99999999999:0] b; endmodule",
        b"module t (); INV u (.A(999999999999'd1), .B(9'd" + b"9" * 9999 + b")); endmodule",
        b"module t (); INV u (.A(a" * LONG,
        b"module t (); INV u (" + b".A(a), " * LONG,
        b"INV u (.A(a));\n" * LONG,
        b"\\" * LONG,
        b"\\ " * LONG,
        b";" * LONG,
        b"endmodule " * LONG,
        bytes(range(1, 256)) * 99,
        b"\x1f\x8b" + b"junk" * 99,
    ],
)
def test_hostile_text_is_refused_at_once(tmp_path: Path, text: bytes) -> None:
    refusal(tmp_path, text)


def test_nest_of_copies_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    modules = [f"module m{i} (); m{i + 1} a (); m{i + 1} b (); endmodule\n" for i in range(60)]
    got = refusal(tmp_path, "".join(modules) + "module m60 (); INV u (); endmodule")
    assert "the hierarchy unfolds to more than" in got


@pytest.mark.parametrize(
    ("limit", "text", "what"),
    [
        ("verilog_plan.MAX_BUS_BITS", "module s (input [99:0] p); INV u (.A(p[0])); endmodule", "bits of buses"),
        ("verilog_plan.MAX_BUS_BITS", "module s (input [99:0] p); endmodule", "bits of buses"),
        ("verilog_plan.MAX_BUS_BITS", "", "bits of buses"),
        ("verilog_bits.MAX_PORT_BITS", "module s (input [99:0] a, b, c, d, p); endmodule", "bits of ports"),
        ("verilog_bits.MAX_MODULE_BITS", "", "bits"),
    ],
)
def test_few_words_for_many_bits_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, text: str, what: str
) -> None:
    insts = "".join(f"s u{i} (.p(a)); " for i in range(5))
    text += f" module t (); wire [99:0] a; {insts} endmodule"
    read(tmp_path, text, top="t")
    monkeypatch.setattr(f"circuit_io.{limit}", 499 if what != "bits" else 99)
    assert f"more than {499 if what != 'bits' else 99} {what}" in refusal(tmp_path, text, top="t")


def test_a_huge_token_is_shown_in_part(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, f"module t (); INV u (.A({'9' * 99999}'d1)); endmodule")) < 300


def test_deep_hierarchy_is_read(tmp_path: Path) -> None:
    depth = 3000
    modules = [f"module m{i} (p); input p; m{i + 1} a (.p(p)); endmodule\n" for i in range(depth)]
    n = read(tmp_path, "".join(modules) + f"module m{depth} (p); input p; INV u (.A(p)); endmodule")
    assert nets_of(n) == {"p": {"p", "a/" * depth + "u.A"}}


def test_missing_file() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_verilog("nowhere.v")


# --- real designs ---------------------------------------------------------------------------------------------------


def _real(gsr_data: Path, kit: Path) -> list[Path]:
    return [*sorted(gsr_data.glob("designs/*/*/netlist.v.gz")), *sorted((kit / "netlists").glob("*.v.gz"))]


def test_every_netlist_reads(gsr_data: Path, kit: Path) -> None:
    paths = [p for p in _real(gsr_data, kit) if p.parent.name not in LARGE]
    assert len(paths) >= 40
    for path in paths:
        n = read_verilog(path)
        if library() is not None:
            python = either(path, "python")
            assert isinstance(python, Netlist)
            assert_same(n, python)
        assert n.num_insts > 500
        assert n.net_ptr[-1] == len(n.conn_inst) == len(n.conn_pin)
        assert (np.diff(n.net_ptr) > 0).all()
        assert len(set(n.inst_names.raw_list())) == n.num_insts


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LARGE))
def test_scanner_agrees_on_a_large_netlist(scanner: ctypes.CDLL, gsr_data: Path, name: str) -> None:
    (path,) = gsr_data.glob(f"designs/*/{name}/netlist.v.gz")
    assert_scanner_agrees(path)
    assert read_verilog(path).num_insts > 20_000


@pytest.mark.slow
def test_counts_of_a_large_hierarchy(gsr_data: Path) -> None:
    """Counts by grep on the files: statements `master name (`; ports and nets by yosys."""
    n = read_verilog(gsr_data / "designs/sky130hd/ariane136/netlist.v.gz")
    assert (n.num_insts, len(n.occ_parent), n.num_nets, len(n.conn_inst)) == (85440, 88, 90924, 391220)
    assert len(n.const_inst) == 2329


def test_flow_hack_with_an_inverter_is_refused(gsr_data: Path) -> None:
    with pytest.raises(InputError, match=r'macros\.v:26: "~NotWMaskIn" is an expression'):
        read_verilog(gsr_data / "designs/sky130hd/ariane136/macros.v")


def _bare(names: Names) -> list[bytes]:
    """Names without the backslashes that Verilog and DEF escape them with."""
    return [name.replace(b"\\", b"") for name in names.raw_list()]


def assert_def_agrees(folder: Path) -> None:
    """The DEF written from a netlist has its insts and masters, and joins the same pins."""
    n, d = read_verilog(folder / "netlist.v.gz"), read_def(folder / "design.def.gz")
    found = []
    for x in (n, d):
        insts, pins, masters = _bare(x.inst_names), _bare(x.pin_names), x.master_names.tolist()
        net = np.repeat(np.arange(len(x.net_names)), np.diff(x.net_ptr))
        rows = zip(x.conn_inst.tolist(), x.conn_pin.tolist(), net.tolist(), strict=True)
        nets = {(insts[i] if i >= 0 else b"", pins[p]): k for i, p, k in rows}
        found.append((dict(zip(insts, [masters[m] for m in x.inst_master.tolist()], strict=True)), nets))
    (mine, my_nets), (theirs, their_nets) = found
    assert mine == theirs
    both = my_nets.keys() & their_nets.keys()
    insts, pins = _bare(n.inst_names), _bare(n.pin_names)
    ties = zip(n.const_inst.tolist(), n.const_pin.tolist(), strict=True)
    tied = {(insts[i] if i >= 0 else b"", pins[p]) for i, p in ties}  # on nets of their own in the DEF
    single = {pin for _, pin in (my_nets.keys() ^ their_nets.keys()) - tied}
    assert [pin for pin in single if not re.fullmatch(rb"(?i)v(dd|ss|cc|pwr|gnd|pb|nb)[ad]?\d?", pin)] == []
    pairs = {(my_nets[pin], their_nets[pin]) for pin in both}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@pytest.mark.parametrize(
    "name",
    ["asap7/uart", "nangate45/gcd", "sky130hd/fab_lut4ab", "sky130hd/lbist_mbist_top1", "ihp-sg13g2/fab_regfile"],
)
def test_insts_and_nets_equal_the_def(gsr_data: Path, name: str) -> None:
    assert_def_agrees(gsr_data / "designs" / name)


@pytest.mark.slow
def test_insts_and_nets_of_every_design_equal_the_def(gsr_data: Path) -> None:
    folders = [
        p.parent for p in sorted(gsr_data.glob("designs/*/*/design.def.gz")) if (p.parent / "netlist.v.gz").exists()
    ]
    assert len(folders) > 30
    for folder in folders:
        assert_def_agrees(folder)


def assert_yosys_agrees(path: Path, folder: Path) -> None:
    if shutil.which("yosys") is None:
        pytest.skip("yosys is not installed: it is the oracle of this test")
    verilog_peer.agree(path, folder)


@pytest.mark.parametrize("name", ["crc_bank", "dma_buffer"])
def test_kit_netlist_equals_yosys_flatten(kit: Path, tmp_path: Path, name: str) -> None:
    assert_yosys_agrees(kit / "netlists" / f"{name}.v.gz", tmp_path)


@pytest.mark.parametrize(
    "name", ["asap7/gcd", "nangate45/gcd", "sky130hd/gcd", "sky130hd/tt03_scan_controller", "ihp-sg13g2/fab_s_cpu_irq"]
)
def test_real_netlist_equals_yosys_flatten(gsr_data: Path, tmp_path: Path, name: str) -> None:
    assert_yosys_agrees(gsr_data / "designs" / name / "netlist.v.gz", tmp_path)


def test_hierarchy_equals_yosys_flatten(tmp_path: Path) -> None:
    text = """
        module t (a, y, k); input [3:0] a; output [3:0] y; output k; wire w = a[2];
          two x (.i(a[3:2]), .o(y[3:2])); two z (.i({w, 1'b1}), .o({y[0], y[1]})); assign k = 1'b0;
        endmodule
        module two (i, o); input [1:0] i; output [0:1] o;
          ft f (.p(i[0]), .q(o[1])); INV g (.A(i[1]), .ZN(o[0])); endmodule
        module ft (p, q); input p; output q; assign q = p; B b (.I(p), .K(2'b10)); endmodule
        """
    path = tmp_path / "h.v"
    path.write_text(text)
    assert_yosys_agrees(path, tmp_path)
