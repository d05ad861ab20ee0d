"""The clocks and delays of an SDC file by a few lines of Tcl of their own, beside our reader."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from circuit_io.sdc import Sdc, read_sdc
from circuit_io.text import read_bytes

# Every command that Tcl lacks gives back its last word, so a query gives the pattern that it was asked for.
SCRIPT = """
set box [interp create -safe]
interp alias $box say {} puts
interp alias $box puts {} list
interp limit $box time -seconds [expr {[clock seconds] + 20}]
interp eval $box {
  proc unknown args {
    if {[string match {set_*put_delay} [lindex $args 0]]} {say DELAY}
    return [lindex $args end]
  }
  proc create_clock args {
    array set at {-name {} -period {}}
    set rest {}
    for {set i 0} {$i < [llength $args]} {incr i} {
      set word [lindex $args $i]
      switch -glob -- $word {
        -add {}
        -* {set at($word) [lindex $args [incr i]]}
        default {lappend rest {*}$word}
      }
    }
    set name $at(-name)
    if {$name eq ""} {set name [lindex $rest 0]}
    say "CLOCK $at(-period) $name"
  }
}
foreach {name value} $argv {interp eval $box [list set ::$name $value]}
interp eval $box [read stdin]
"""


def text_of(path: Path) -> str:
    """The text of a file, plain or packed."""
    return read_bytes(path).decode("utf-8", "surrogateescape")


def env_of(path: Path) -> dict[str, str]:
    """A made-up value for each flow variable that a file reads."""
    found = re.findall(r"\$::(env\(\w+\))", text_of(path))
    return {name: "clk" if name == "env(CLOCK_PORT)" else "10" for name in found}


def plain_clocks(path: Path) -> tuple[dict[str, float], int]:
    """Periods in ns of the clocks that `create_clock` makes, by name, and the number of delays at ports."""
    given = [word for pair in env_of(path).items() for word in pair]
    with tempfile.NamedTemporaryFile("w", suffix=".tcl") as script:
        script.write(SCRIPT)
        script.flush()
        command = [shutil.which("tclsh") or "tclsh8.6", script.name, *given]
        run = subprocess.run(command, input=read_bytes(path), capture_output=True, timeout=60, check=False)
    if run.returncode:
        raise NotImplementedError(f"a plain reader stops at {run.stderr.decode(errors='replace')[:100]}")
    unit = 1e-3 if re.search(r"^set_units .*-time [1.0]*ps", text_of(path), re.MULTILINE) else 1.0
    lines = run.stdout.decode("utf-8", "surrogateescape").splitlines()
    clocks = [line.split(" ", 2)[1:] for line in lines if line.startswith("CLOCK ")]
    return {name: unit * float(period) for period, name in clocks}, lines.count("DELAY")


def read(path: Path) -> Sdc:
    """The file with made-up values for the flow variables that it reads."""
    return read_sdc(path, variables=env_of(path), time_unit_ns=1.0)


def compare(path: Path) -> int:
    """The number of clocks found equal."""
    sdc = read(path)
    mine = {c.name: c.period_ns for c in sdc.clocks if not c.is_generated}
    clocks, delays = plain_clocks(path)
    assert mine == pytest.approx(clocks), path
    assert sdc.counts.get("set_input_delay", 0) + sdc.counts.get("set_output_delay", 0) == delays, path
    return len(mine)


def agree(path: Path, scratch: Path) -> None:
    """As `compare`."""
    del scratch
    compare(path)
