"""Where an OpenROAD flow meets us: Tcl hooks, the feedback planner, annotations, batches of runs. Never torch.

feedback        what to do about a prediction: the plan, its rules, files and record
annotations     what a prediction says: markers, hot spots, maps, metrics, tables
jobs            processes side by side, each with limits and a folder that is whole or absent
openroad        the user's OpenROAD and ORFS: found, asked, tried, given scripts of ours
labels          `gsr label`: placements routed, here or on other machines
loop            `gsr loop`: the plans judged by placing and routing again
tcl             what runs within OpenROAD, whose files are named by path

A folder imports from those above it and from the modules beside this one, which import from no folder.
"""

from pathlib import Path

TCL = Path(__file__).parent / "tcl"
