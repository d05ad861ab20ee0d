"""The stand-ins answer as OpenROAD does: the same questions on the same design, against answers that were recorded.

tests/tcl/answers.tsv is what OpenROAD answered; with GSR_OPENROAD it is asked again. To record:

    GSR_OPENROAD=openroad .venv/bin/python tests/test_transcript.py
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tcl_session import HERE, run_tcl

from flow_hooks.openroad.binary import FLAGS
from flow_hooks.openroad.conformance import FOLDER

TRANSCRIPT, ANSWERS = HERE / "tcl" / "transcript.tcl", HERE / "tcl" / "answers.tsv"
LABEL_STUB = HERE / "tcl" / "openroad_label.tcl"
# a line for each of some commands, with its options
ASK_OPTIONS = """
foreach name [lsort [array names ::sta::cmd_args @commands@]] {
  set found [regexp -all -inline {(?:^|[^a-z0-9_])(-[a-z][a-z_]*)} $::sta::cmd_args($name)]
  puts "options\\t$name\\t[lsort -unique [lmap { _ option } $found { set option }]]"
}
"""
# the kit design's floorplan, as far as the questions go
MADE_UP = """
set stub::design crc_bank
set stub::dbu 2000
set stub::die { 0 0 122870 122870 }
set stub::layers {}
set stub::adjustments {}
for { set level 1 } { $level <= 8 } { incr level } {
  dict set stub::layers M$level [expr { $level % 2 ? "HORIZONTAL" : "VERTICAL" }]
  dict set stub::adjustments M$level [expr { $level in { 2 3 4 5 } ? 0.20000000298023224 : 0.0 }]
  interp alias {} ::layer_M$level {} ::stub::layer M$level
}
set stub::routing_range { 2 5 }
set stub::grid ""
stub::add_inst _0451_ 0 0
"""
LOADED = """
read_lef {kit/gsr45_tech.lef}
read_lef {kit/gsr45_cells.lef}
read_liberty {kit/gsr45_typ.lib}
read_verilog {kit/crc_bank.v.gz}
link_design crc_bank
initialize_floorplan -utilization 70 -aspect_ratio 1 -core_space 3.2 -site gsr45_core
make_tracks
set_routing_layers -signal M2-M5
set_global_routing_layer_adjustment M2-M5 0.2
"""


def answers(text: str) -> list[str]:
    """The lines that answer."""
    rows = [line for line in text.splitlines() if line.startswith("answer\t")]
    assert all(row.count("\t") == 3 for row in rows), rows
    return rows


def options(text: str) -> dict[str, set[str]]:
    """The options of each command."""
    rows = [line.split("\t") for line in text.splitlines() if line.startswith("options\t")]
    return {name: set(words.split()) for _, name, words in rows}


def ask_openroad(openroad: str, folder: Path) -> str:
    script = folder / "ask.tcl"
    names = "|".join(sorted(options_of_stand_ins(folder)))
    script.write_text(
        LOADED.replace("kit/", f"{FOLDER / 'kit'}/")
        + f"source {{{TRANSCRIPT}}}\n"
        + ASK_OPTIONS.replace("@commands@", f"-regexp {{^(?:{names})$}}")
    )
    run = subprocess.run([openroad, *FLAGS, str(script)], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return run.stdout


def options_of_stand_ins(folder: Path) -> dict[str, set[str]]:
    run = run_tcl(folder, ASK_OPTIONS.replace("@commands@", ""), before=f"source {{{LABEL_STUB}}}", load=False)
    assert run.code == 0, run.out
    return options(run.out)


def test_no_stand_in_has_an_option_that_openroad_has_not(tmp_path: Path) -> None:
    recorded = options(ANSWERS.read_text())
    found = options_of_stand_ins(tmp_path)
    assert len(found) > 15
    assert {name: words - recorded[name] for name, words in found.items() if words - recorded[name]} == {}


def test_the_stand_ins_answer_as_openroad_did(tmp_path: Path) -> None:
    run = run_tcl(tmp_path, f"source {{{TRANSCRIPT}}}", before=MADE_UP, load=False)
    assert run.code == 0, run.out
    assert answers(run.out) == answers(ANSWERS.read_text())


@pytest.mark.openroad
def test_openroad_answers_as_recorded(tmp_path: Path) -> None:
    openroad = os.environ.get("GSR_OPENROAD") or pytest.skip("GSR_OPENROAD is not set")
    said = ask_openroad(openroad, tmp_path)
    assert answers(said) == answers(ANSWERS.read_text())
    found, recorded = options(said), options(ANSWERS.read_text())
    assert found == {name: recorded[name] for name in found}
    assert set(recorded) - set(found) <= {"detailed_route", "pin_access"}, "a build may lack the detailed router"


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        said = ask_openroad(os.environ["GSR_OPENROAD"], Path(scratch))
    kept = [line for line in said.splitlines() if line.startswith(("answer\t", "options\t"))]
    ANSWERS.write_text("\n".join(kept) + "\n")
    sys.stdout.write(f"{ANSWERS}\n")
