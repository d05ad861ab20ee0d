"""RTL to its module tree, against yosys, and the faults it finds."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from circuit_io import rtl
from circuit_io.errors import InputError
from circuit_io.hierarchy import by_rtl
from circuit_io.rtl import Rtl, read_rtl

KIT = {
    "crc_bank": 2,
    "dma_buffer": 1,
    "fir8": 1,
    "rv32_core": 1,
    "sort16": 2,
    "spn128": 3,
    "systolic4": 2,
    "xbar16": 2,
}


def write(tmp_path: Path, text: str, name: str = "a.v") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def instances(found: Rtl, module: str) -> list[tuple[str, str, int]]:
    return [(i.name, i.module, i.line) for i in found.modules[module].instances]


# --- the kit


def test_modules_of_the_kit_with_their_lines(kit: Path) -> None:
    found = read_rtl(kit / "rtl" / "spn128.v")
    assert found.top == "spn128"
    assert {m.name: (m.line, m.end_line) for m in found.modules.values()} == {
        "spn_sbox": (6, 44),
        "spn_round": (47, 76),
        "spn128": (78, 133),
    }
    assert instances(found, "spn_round") == [
        ("byte_of[*].u_sbox", "spn_sbox", 58),
        ("key_byte_of[*].u_sbox", "spn_sbox", 72),
    ]
    assert instances(found, "spn128") == [("stage[*].u_round", "spn_round", 119)]
    assert {"state", "key", "is_busy", "clk", "block_in", "first_pass"} <= found.modules["spn128"].signals
    assert all(m.path == kit / "rtl" / "spn128.v" for m in found.modules.values())


@pytest.mark.parametrize("design", KIT)
def test_yosys_elaborates_the_same_instances(kit: Path, tmp_path: Path, design: str) -> None:
    """Every instance that yosys makes of the RTL is found under its name, with its module."""
    if shutil.which("yosys") is None:
        pytest.skip("yosys is not installed")
    source = kit / "rtl" / f"{design}.v"
    out = tmp_path / "out.json"
    script = f"read_verilog {source}; read_liberty -lib {kit / 'tech/gsr45_typ.lib'}; hierarchy -top {design}; proc"
    subprocess.run(["yosys", "-q", "-p", f"{script}; write_json {out}"], check=True, timeout=60)
    modules = json.loads(out.read_text())["modules"]
    found = read_rtl(source)
    assert len(found.modules) == KIT[design]
    hierarchy, seen = by_rtl(found), 0
    stack = [(design, "")]
    while stack:
        module, path = stack.pop()
        for name, cell in modules[module]["cells"].items():
            kind = cell["type"].split("\\")[1] if cell["type"].startswith("$paramod") else cell["type"]
            if kind.startswith("$"):
                continue
            inner = f"{path}.{name}" if path else name
            steps = hierarchy.find(inner.split("."))
            assert steps is not None
            assert steps[-1].module == kind, inner
            assert steps[-1].end == len(inner.split("."))
            seen += 1
            if cell["type"] in modules and "blackbox" not in modules[cell["type"]]["attributes"]:
                stack.append((cell["type"], inner))
    assert seen == {"crc_bank": 4, "dma_buffer": 2, "sort16": 80, "spn128": 63, "systolic4": 16, "xbar16": 16}.get(
        design, 0
    )


# --- what Verilog has


def test_generate_constructs_with_and_without_names_and_the_word(tmp_path: Path) -> None:
    text = """module leaf (input a); endmodule
module top #(parameter N = 4, parameter KIND = "fast") (a, b);
  input [N-1:0] a; output reg [$clog2(N):0] b = 0;
  (* keep *) wire w = a[0], v;
  genvar i;
  for (i = 0; i < N; i = i + 1) begin : g
    if (i % 2) begin leaf odd (.a(a[i])); end
    else if (i == 2) leaf two (a[i]);
    else begin : other
      leaf #(.X("s"), .Y(3)) u1 (.a(a[i])), u2 (w);
    end
  end
  generate case (KIND)
    "fast", "faster": leaf f (w);
    "slow": begin : s leaf u (w); end
    default begin for (i = 0; i < 2; i = i + 1) leaf d (w); end
  endcase endgenerate
  leaf many [N-1:0] (.a(a));
  function [3:0] f1(input [3:0] x); f1 = x + 1; endfunction
  always @(posedge a[0] or negedge w) if (w) b <= 1; else case (a) 0: b <= 2; default: begin : x b <= 3; end endcase
  initial begin $display("module nothing; %d", a); #5 b = 0; repeat (3) @(posedge w); end
  assign v = (a == 1) ? w : a[1];
  defparam many.X = 3;
  specify (a => b) = 1; endspecify
  leaf last (w);
endmodule
"""
    found = read_rtl(write(tmp_path, text))
    assert instances(found, "top") == [
        ("g[*].odd", "leaf", 7),
        ("g[*].two", "leaf", 8),
        ("g[*].other.u1", "leaf", 10),
        ("g[*].other.u2", "leaf", 10),
        ("f", "leaf", 14),
        ("s.u", "leaf", 15),
        ("d", "leaf", 16),
        ("many[*]", "leaf", 18),
        ("last", "leaf", 25),
    ]
    assert found.modules["top"].signals >= {"a", "b", "w", "v", "i"}
    find = by_rtl(found).find
    for name in ("g[3].genblk1.odd", "g[2].two", "genblk2[1].d", "genblk1.genblk1.d", "many[2]"):
        steps = find(name.split("."))
        assert steps is not None
        assert [s.module for s in steps] == ["leaf"], name
    assert find(["nowhere", "odd"]) is None


def test_macros_conditions_and_includes_keep_file_and_line(tmp_path: Path) -> None:
    write(
        tmp_path,
        "`define CELL(kind, n) \\\n  kind n (.a(w))\n`define W 4\n\nmodule inner (input a); endmodule\n",
        "defs.vh",
    )
    text = """`timescale 1ns/1ps
`include "defs.vh"
module top (input w);
`ifndef SYNTHESIS
  wrong one (w);
`elsif ANY
`else
  `CELL(inner, u_first);   // comment with `undefined
`endif
`ifdef DEEP
  `CELL(inner,
        u_{w}) ;
`endif
  wire [`W-1:0] x = "`not a macro";
  inner u_second (w);
endmodule
"""
    found = read_rtl(write(tmp_path, text))
    assert instances(found, "top") == [("u_first", "inner", 8), ("u_second", "inner", 15)]
    assert (found.modules["inner"].path, found.modules["inner"].line) == (tmp_path / "defs.vh", 5)
    assert found.modules["top"].line == 3


def test_macros_hold_in_the_files_that_follow_and_folders_are_searched(tmp_path: Path) -> None:
    (tmp_path / "inc").mkdir()
    write(tmp_path / "inc", "`define NAME u_named", "n.vh")
    first = write(tmp_path, '`include "n.vh"\n', "first.v")
    second = write(tmp_path, "module top; sub `NAME (); endmodule", "second.v")
    found = read_rtl(first, second, include=[tmp_path / "inc"])
    assert instances(found, "top") == [("u_named", "sub", 1)]
    assert instances(read_rtl(second, defines=["NAME=u_given"]), "top") == [("u_given", "sub", 1)]


def test_a_crlf_file_with_escaped_names(tmp_path: Path) -> None:
    path = tmp_path / "a.v"
    path.write_bytes(b"\xef\xbb\xbfmodule top;\r\n  sub \\a+b (.x(1'b0));\r\n\r\n  sub c ();\r\nendmodule\r\n")
    assert instances(read_rtl(path), "top") == [("a+b", "sub", 2), ("c", "sub", 4)]


def test_deep_and_long_text_is_read(tmp_path: Path) -> None:
    depth = 3000
    text = "module top;\n" + "if (1) begin\n" * depth + "sub u ();\n" + "end\n" * depth + "endmodule\n"
    assert instances(read_rtl(write(tmp_path, text)), "top") == [("u", "sub", depth + 2)]
    chain = "module top;\n" + "if (0) sub a ();\nelse " * depth + "sub z ();\nendmodule\n"
    assert len(instances(read_rtl(write(tmp_path, chain)), "top")) == depth + 1


def test_a_long_module_is_cut_into_regions_between_its_items(tmp_path: Path) -> None:
    items = [
        f"if (A) begin : g{i} sub u (); end else sub v{i} ();"
        if i % 3
        else f"sub u{i} ();\ncase (B) 0: sub w{i} (); endcase"
        for i in range(450)
    ]
    found = instances(read_rtl(write(tmp_path, "module top;\n" + "\n".join(items) + "\nendmodule\n")), "top")
    assert len(found) == 900
    assert found[:3] == [("u0", "sub", 2), ("w0", "sub", 3), ("g1.u", "sub", 4)]
    assert found[-1] == ("v449", "sub", 1 + 450 + 150)


# --- faults


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("module top;\n\n  wire w\n  sub u ();\nendmodule", 4, "not understood at"),
        ("\nmodule top;\nsub u ();\n", 2, "no endmodule"),
        ("module top;\n  `MISSING(3)\nendmodule", 2, "`MISSING is not defined"),
        ("`define TWO(a, b) a b\nmodule top;\n `TWO(1)\nendmodule", 3, "`TWO takes 2 arguments"),
        ('module top;\n`include "nowhere.vh"\nendmodule', 2, '`include "nowhere.vh" is not found'),
        ("`define A `B\n`define B `A\nmodule top;\nwire `A;\nendmodule", 4, "is defined by itself"),
        ("module top;\n/* never closed\nendmodule", 2, "is not closed"),
        ("module top;\n`ifdef X\nendmodule", 2, "without `endif"),
        ("interface bus;\nendinterface\nmodule top; endmodule", 1, "not understood at"),
        ("module a; endmodule\nmodule a; endmodule", 2, "is defined already"),
        ("module top; \0 endmodule", 1, "NUL"),
    ],
)
def test_faults_have_file_and_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=re.escape(what)) as e:
        read_rtl(path)
    assert (Path(e.value.path), e.value.line) == (path, line)
    assert e.value.mend


def test_the_top_is_named_or_the_only_one(tmp_path: Path) -> None:
    path = write(tmp_path, "module a; endmodule module b; endmodule module c; a u (); endmodule")
    with pytest.raises(InputError, match="2 modules could be the top: b, c"):
        read_rtl(path)
    assert read_rtl(path, top="c").top == "c"
    with pytest.raises(InputError, match='no module "cc"'):
        read_rtl(path, top="cc")


def test_lenient_reading_goes_on_with_the_other_files(tmp_path: Path) -> None:
    bad = write(tmp_path, "package p; endpackage", "bad.sv")
    good = write(tmp_path, "module top; sub u (); endmodule")
    found = read_rtl(bad, good, is_lenient=True)
    assert instances(found, "top") == [("u", "sub", 1)]
    assert len(found.warnings) == 1
    assert "bad.sv:1" in found.warnings[0]
    with pytest.raises(InputError, match=r"bad\.sv"):
        read_rtl(bad, good)
    large = write(tmp_path, "module large; endmodule" + " " * rtl.MAX_LENIENT, "large.v")
    found = read_rtl(large, good, is_lenient=True)
    assert list(found.modules) == ["top"]
    assert "larger than 4 MiB" in found.warnings[0]


def test_nothing_is_printed_and_no_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "module top; endmodule")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    rtl._parser.cache_clear()
    read_rtl(path)
    with pytest.raises(InputError):
        read_rtl(write(tmp_path, "module module"))
    assert capfd.readouterr() == ("", "")
    assert list((tmp_path / "work").iterdir()) == []


def test_without_pyverilog_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rtl._parser.cache_clear()
    monkeypatch.setitem(sys.modules, "pyverilog.vparser.parser", None)
    with pytest.raises(InputError, match=r"pip install 'gsr-plugin\[rtl\]'"):
        read_rtl(write(tmp_path, "module top; endmodule"))
    rtl._parser.cache_clear()
