"""SDC: clocks against OpenSTA and a plain reading of the text, the safe interpreter, and what files get wrong."""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import sdc_peer
from sdc_peer import compare

from circuit_io.errors import InputError, ToolError
from circuit_io.sdc import Sdc, read_sdc
from circuit_io.text import read_bytes

pytestmark = pytest.mark.skipif(shutil.which("tclsh") is None, reason="no tclsh on PATH: install Tcl")


def _read(tmp_path: Path, text: str | bytes, **options: object) -> Sdc:
    path = tmp_path / "x.sdc"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_sdc(path, **options)  # type: ignore[arg-type]


def test_clocks_of_all_files_are_those_of_the_text(gsr_data: Path) -> None:
    paths = sorted(gsr_data.glob("designs/*/*/constraints.sdc"))
    sizes = [compare(path) for path in paths]
    assert (len(sizes), sum(sizes)) == (54, 62)
    assert [path for path in paths if sdc_peer.read(path).warnings] == []


@pytest.mark.parametrize(
    "design", ["nangate45/gcd", "sky130hd/gcd", "sky130hd/fab_w_io", "ihp-sg13g2/fab_n_term_single2"]
)
def test_clocks_are_opensta_s(gsr_data: Path, tmp_path: Path, design: str) -> None:
    sta = shutil.which("sta")
    if sta is None:
        pytest.skip("no OpenSTA (sta) on PATH: install Debian's opensta")
    folder, technology = gsr_data / "designs" / design, design.split("/")[0]
    lib = next((gsr_data / "pdk" / technology / "lib").glob("*t*.lib.gz"))
    for name, path in (("lib", lib), ("v", folder / "netlist.v.gz"), ("sdc", folder / "constraints.sdc")):
        (tmp_path / name).write_bytes(read_bytes(path))
    top = re.findall(rb"^module (\w+)", (tmp_path / "v").read_bytes(), re.M)[-1].decode()
    (tmp_path / "x.tcl").write_text(
        f"read_liberty lib\nread_verilog v\nlink_design {top}\nread_sdc sdc\nreport_clock_properties\n"
    )
    command = [sta, "-exit", "-no_splash", "x.tcl"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    rows = re.findall(r"^(\S+) +([\d.]+) +([\d.]+) +([\d.]+)\s*$", done.stdout, re.M)
    theirs = {name: [float(v) for v in values] for name, *values in rows}
    mine = {
        c.name: [c.period_ns, *c.waveform_ns] for c in read_sdc(folder / "constraints.sdc", time_unit_ns=1.0).clocks
    }
    assert mine
    assert theirs == {name: pytest.approx(values, abs=0.006) for name, values in mine.items()}, done.stdout


TEXT = """
# a comment with { an open brace
set_units -time 1ps -capacitance fF
current_design top
set period 1000
set clk [get_ports {clk}]
create_clock -name core -period $period -waveform {0 400} $clk
create_clock -per [expr {$period * 2}] [get_pins u1/u2/Z]
create_clock -name virt -period 500
create_generated_clock -name half -source [get_ports clk] -divide_by 2 [get_pins ff/Q]
create_generated_clock -name fast -source u -master_clock half -multiply_by 4 [get_pins pll/CK]
set rest [lsearch -inline -all -not -exact [all_inputs] $clk]
set_input_delay -max [expr 0.2 * $period] -clock core $rest
set_input_delay -0.5 -clock [get_clocks core] -add_delay [list [get_ports {a b}] [get_ports {d[0]}]]
set_output_delay -min 5 -clock virt [get_ports {q[*]}] ; set_load 3.5 [all_outputs]
set_driving_cell -lib_cell BUF_X1 -pin Z [get_ports a]
foreach p {x y} {set_load -pin_load 2 [get_ports $p]}
foreach_in_collection p [get_ports {v w}] {set_false_path -from $p}
set_max_fanout 20 [current_design]
set_max_transition 100 top
set_max_capacitance 7 [get_ports a]
puts "hello"
if {[info exists ::env(NOT_THERE)]} {create_clock -name no -period 1}
set_clock_groups -asynchronous \\
  -group {core} -group {virt}
"""


def test_constraints_are_read_with_their_units(tmp_path: Path) -> None:
    sdc = _read(tmp_path, TEXT)
    assert (sdc.design, sdc.time_unit_ns, sdc.cap_unit_ff) == ("top", pytest.approx(1e-3), pytest.approx(1.0))
    rows = [(c.name, round(c.period_ns, 9), c.sources, c.is_generated, c.line) for c in sdc.clocks]
    assert rows == [
        ("core", 1.0, ("port:clk",), False, 7),
        ("u1/u2/Z", 2.0, ("pin:u1/u2/Z",), False, 8),
        ("virt", 0.5, (), False, 9),
        ("half", 2.0, ("pin:ff/Q",), True, 10),
        ("fast", 0.5, ("pin:pll/CK",), True, 11),
    ]
    assert sdc.clocks[0].waveform_ns == pytest.approx((0.0, 0.4))
    assert [c.master for c in sdc.clocks[3:]] == ["core", "half"]
    delays = [(d.target, round(d.delay_ns, 9), d.clock, d.is_input, d.is_min, d.is_max) for d in sdc.delays]
    assert delays == [
        ("all:inputs", 0.2, "core", True, False, True),
        ("port:a", -0.0005, "core", True, True, True),
        ("port:b", -0.0005, "core", True, True, True),
        ("port:d[0]", -0.0005, "core", True, True, True),
        ("port:q[*]", 0.005, "virt", False, True, False),
    ]
    assert sdc.load_ff == pytest.approx({"all:outputs": 3.5, "port:x": 2.0, "port:y": 2.0})
    assert sdc.driving_cell == {"port:a": "BUF_X1"}
    assert sdc.max_fanout == 20
    assert sdc.max_transition_ns == pytest.approx(0.1)
    assert sdc.max_capacitance_ff is None
    assert sdc.counts["set_false_path"] == 2
    assert sdc.counts["set_clock_groups"] == 1
    assert sdc.warnings == ()


def test_liberty_tells_the_units_where_the_file_does_not(tmp_path: Path) -> None:
    text = "create_clock -name c -period 310 [get_ports clk]\nset_load 2 [get_ports q]\n"
    sdc = _read(tmp_path, text, time_unit_ns=1e-3, cap_unit_ff=1.0)
    assert sdc.clocks[0].period_ns == pytest.approx(0.31)
    assert sdc.load_ff == {"port:q": 2.0}
    assert sdc.warnings == ()
    plain = _read(tmp_path, text)
    assert (plain.clocks[0].period_ns, plain.load_ff["port:q"]) == (310.0, 2000.0)
    assert plain.warnings == ("neither set_units nor Liberty tells the unit of time: periods are read as ns",)


def test_a_clock_without_add_takes_the_place_of_those_of_its_source(tmp_path: Path) -> None:
    more = "create_clock -name b -period 2 [get_ports c]\ncreate_clock -add -name d -period 3 [get_ports c]\n"
    sdc = _read(tmp_path, "create_clock -name a -period 1 [get_ports c]\n" + more)
    assert [(c.name, c.period_ns) for c in sdc.clocks] == [("b", 2.0), ("d", 3.0)]


@pytest.mark.parametrize("change", [lambda t: t.replace("\n", "\r\n"), lambda t: gzip.compress(t.encode())])
def test_line_ends_and_gzip_change_nothing(tmp_path: Path, change: object) -> None:
    plain, other = _read(tmp_path, TEXT), _read(tmp_path, change(TEXT))  # type: ignore[operator]
    assert plain == other


def test_flow_variables_can_be_given(tmp_path: Path) -> None:
    text = "create_clock -name c -period [expr {$::env(PERIOD) / 2}] [get_ports $port]\n"
    sdc = _read(tmp_path, text, variables={"env(PERIOD)": "5.0", "port": "a b"}, time_unit_ns=1.0)
    assert [(c.period_ns, c.sources) for c in sdc.clocks] == [(2.5, ("port:a", "port:b"))]


def test_what_is_not_sdc_is_counted(tmp_path: Path) -> None:
    sdc = _read(tmp_path, "set_units -time ns\ncreat_clock -period 1 c\nset_max_area 0\nfoo\n")
    assert sdc.warnings == (f"2 commands are not SDC (first: creat_clock, {tmp_path}/x.sdc:2)",)
    with pytest.raises(InputError, match="holds no SDC command"):
        _read(tmp_path, "library (typ) {\n}\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("while 1 {lappend x [string repeat a 1000000]}", "out of memory|cannot be evaluated within 20 s and 200 MB"),
        ("\nset a $::env(P)\n", r'x.sdc:2: reads the variable "env\(P\)", which the flow sets.*\n  Give its value'),
        ("set a $PERIOD", 'x.sdc:1: reads the variable "PERIOD", which the flow sets'),
        ("\n\nwhile 1 {}\n", "x.sdc:3: runs for more than 1 s"),
        ("proc f {} {f}\nf", "x.sdc:2: too many nested evaluations"),
        ("exec touch {}/made", 'x.sdc:1: uses "exec", which SDC does not need'),
        ("open {}/made w", 'x.sdc:1: uses "open"'),
        ("file delete {}/x.sdc", 'x.sdc:1: uses "file"'),
        ("source other.sdc", 'x.sdc:1: uses "source"'),
        ("exit 0", 'x.sdc:1: uses "exit"'),
        ("cd /", 'x.sdc:1: uses "cd"'),
        ("load x.so", 'x.sdc:1: uses "load"'),
        ("socket localhost 80", 'x.sdc:1: uses "socket"'),
        ("after 100000", 'x.sdc:1: uses "after"'),
        ("vwait forever", 'x.sdc:1: uses "vwait"'),
        ("interp eval {} {exec ls}", 'x.sdc:1: uses "interp"'),
        ("set x [string repeat x 2000000]\nwhile 1 {set_load 1 $x}", "x.sdc:2: issues too many commands"),
        ("set x [string repeat x 900000000]", "out of memory"),
        ("error [string repeat x 10000]", r"x.sdc:1: x{200}\.\.\."),
        ("set a 1\ncreate_clock {\n", "x.sdc:2: ends inside a command"),
        ("set a [get_property $x y", "x.sdc:1: ends inside a command"),
        ("get_property [get_clocks c] period", 'asks for ".*", which only a tool with the netlist knows'),
        ("create_clock -period 0 c", "create_clock: the period is 0; it must be above 0"),
        ("create_clock -period x c", 'create_clock: the period is "x", not a number'),
        ("create_clock -period 1e999 c", "not a number"),
        ("create_clock -period nan c", "not a number"),
        ("create_clock c", "create_clock: has no -period"),
        ("create_clock -period 1", "create_clock: has neither a name nor a source"),
        ("create_clock -period", "create_clock: -period has no value"),
        ("create_clock -perod 1 c", 'create_clock: has no option "-perod"\n  Did you mean "-period"'),
        ("create_generated_clock -divide_by 0 -source a b", "ratio to the master is not above 0"),
        ("set_input_delay 1", "needs a delay and ports"),
        ("set_units -time 1m", '-time "1m" is not understood\n  Write it as 1ns'),
        ("set_max_fanout", "has no value"),
        ("create_clock -period 0 a\n\nset_load x b", r"2 faults\n.*x.sdc:1: create_clock[^\n]*\n.*x.sdc:3: set_load"),
        ("set a \0", "x.sdc:1: holds a NUL byte"),
        ("  \n", "x.sdc: is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    seconds = 1 if text.endswith("while 1 {}\n") else 20
    with pytest.raises(InputError, match=message):
        _read(tmp_path, text.replace("{}/", f"{tmp_path}/"), seconds=seconds, memory_mb=200)
    assert [p.name for p in tmp_path.iterdir()] == ["x.sdc"]


def test_without_tclsh_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"no tclsh is on PATH\n  Install Tcl"):
        _read(tmp_path, "set a 1")


def test_gsr_check_reads_sdc(tmp_path: Path) -> None:
    from gsr_plugin.check import check

    (tmp_path / "x.sdc").write_text(TEXT)
    (tmp_path / "y.sdc").write_text("exec ls")
    good, bad = check([tmp_path / "x.sdc", tmp_path / "y.sdc"])
    assert (good.kind, good.is_good, good.text) == ("SDC", True, "5 clocks, 21 commands")
    assert not bad.is_good
