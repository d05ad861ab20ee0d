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

from flow_hooks.conformance import FOLDER
from flow_hooks.openroad import FLAGS

TRANSCRIPT, ANSWERS = HERE / "tcl" / "transcript.tcl", HERE / "tcl" / "answers.tsv"
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


def ask_openroad(openroad: str, folder: Path) -> str:
    script = folder / "ask.tcl"
    script.write_text(LOADED.replace("kit/", f"{FOLDER / 'kit'}/") + f"source {{{TRANSCRIPT}}}\n")
    run = subprocess.run([openroad, *FLAGS, str(script)], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return run.stdout


def test_the_stand_ins_answer_as_openroad_did(tmp_path: Path) -> None:
    run = run_tcl(tmp_path, f"source {{{TRANSCRIPT}}}", before=MADE_UP, load=False)
    assert run.code == 0, run.out
    assert answers(run.out) == answers(ANSWERS.read_text())


@pytest.mark.openroad
def test_openroad_answers_as_recorded(tmp_path: Path) -> None:
    openroad = os.environ.get("GSR_OPENROAD") or pytest.skip("GSR_OPENROAD is not set")
    assert answers(ask_openroad(openroad, tmp_path)) == answers(ANSWERS.read_text())


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        said = ask_openroad(os.environ["GSR_OPENROAD"], Path(scratch))
    ANSWERS.write_text("".join(f"{line}\n" for line in said.splitlines() if line.startswith("answer\t")))
    sys.stdout.write(f"{ANSWERS}\n")
