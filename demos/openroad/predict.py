"""openroad -python -exit demos/openroad/predict.py: congestion of a placed design, with Python's own library."""

import subprocess

from openroad import Design, Tech

home = subprocess.check_output(["gsr", "hooks", "--path"], text=True).strip()
tech = Tech()
for name in ("tech", "cells"):
    tech.readLef(f"demos/kit/tech/gsr45_{name}.lef")
tech.readLiberty("demos/kit/tech/gsr45_typ.lib")
design = Design(tech)
design.readDef("demos/kit/labels/gsr45/xbar16/v1/placed.def.gz")
design.evalTclString("set_routing_layers -signal M2-M5; set_global_routing_layer_adjustment M2-M5 0.2")
design.evalTclString(f"source {home}/gsr.tcl; gsr_predict -out_dir out/openroad/python")
design.evalTclString("gsr_report_prediction -out_dir out/openroad/python -worst 5")
