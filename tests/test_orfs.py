"""The kit as a platform of OpenROAD-flow-scripts: what its makefiles name is there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tcl_session import TCL

from circuit_io.lef import read_lef

ORFS = Path(__file__).resolve().parent.parent / "demos" / "orfs"
DESIGNS = sorted(p.parent.name for p in ORFS.glob("*/config.mk") if p.parent.name != "gsr45")
# as the flow's Makefile does it
MAKEFILE = """
include $(DESIGN_CONFIG)
include $(PLATFORM_DIR)/config.mk
export PRIVATE_DIR ?= ../../private_tool_scripts
-include $(PRIVATE_DIR)/private.mk
show: ; @env -0
"""


@pytest.fixture(scope="module", params=DESIGNS)
def variables(request: pytest.FixtureRequest) -> dict[str, str]:
    """What make exports to the steps of a design."""
    if not shutil.which("make"):
        pytest.skip("no make on the path")
    config = ORFS / request.param / "config.mk"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GSR_", "MAKE", "MFLAGS", "PRIVATE_DIR"))}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    run = subprocess.run(
        ["make", "-f", "-", "--no-print-directory", f"DESIGN_CONFIG={config}", "show"],
        input=MAKEFILE, env={**clean, "PATH": path}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = dict(line.split("=", 1) for line in run.stdout.split("\0") if "=" in line)
    assert found["DESIGN_NAME"] == request.param
    return found


def test_the_one_line_attaches_the_hooks(variables: dict[str, str]) -> None:
    assert variables["PRIVATE_DIR"] == str(TCL)
    assert variables["POST_DETAIL_PLACE_TCL"] == str(TCL / "orfs" / "post_detail_place.tcl")
    assert variables["GSR_RTL"] == variables["VERILOG_FILES"]


def test_every_file_is_there(variables: dict[str, str]) -> None:
    names = ["TECH_LEF", "SC_LEF", "LIB_FILES", "SDC_FILE", "VERILOG_FILES", "SYNTH_NETLIST_FILES", "TAPCELL_TCL"]
    for name in [*names, "PDN_TCL"]:
        for path in variables[name].split():
            assert Path(path).is_file(), f"{name}: {path}"
    assert (Path(variables["PLATFORM_DIR"]) / "setRC.tcl").is_file()


def test_every_cell_pin_site_and_layer_is_in_the_library(variables: dict[str, str]) -> None:
    lef = read_lef(variables["TECH_LEF"], variables["SC_LEF"])
    masters, pins = lef.macro_names.tolist(), lef.mterm_names.tolist()
    cells = " ".join(variables[name] for name in ("DONT_USE_CELLS", "FILL_CELLS", "TAP_CELL_NAME", "CTS_BUF_LIST"))
    assert set(cells.split()) <= set(masters)
    for name in ("TIEHI_CELL_AND_PORT", "TIELO_CELL_AND_PORT", "MIN_BUF_CELL_AND_PORTS"):
        cell, *ports = variables[name].split()
        at = masters.index(cell)
        assert set(ports) <= set(pins[lef.mterm_ptr[at] : lef.mterm_ptr[at + 1]])
    layers = set(lef.layer_names.tolist())
    for name in ("IO_PLACER_H", "IO_PLACER_V", "MIN_ROUTING_LAYER", "MAX_ROUTING_LAYER"):
        assert variables[name] in layers
    assert set(re.findall(r"\bM\d\b", (Path(variables["PLATFORM_DIR"]) / "pdn.tcl").read_text())) <= layers
    assert variables["PLACE_SITE"] in lef.site_names.tolist()
