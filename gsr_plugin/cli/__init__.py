"""The program `gsr`: each command is a thin shell over one library function, which is imported when it is called.

stdout carries the result alone, stderr the rest. Exit codes: 0 done; 1 done and a check failed; 2 bad usage or input;
3 an outside tool failed; 130 interrupted.
"""

import os

import click

from gsr_plugin.cli.batches import access_points, label, loop
from gsr_plugin.cli.checks import bench, check, conformance, doctor
from gsr_plugin.cli.designs import export, import_
from gsr_plugin.cli.flows import flow, hooks, serve
from gsr_plugin.cli.models import calibrate, evaluate, finetune, train, weights
from gsr_plugin.cli.predictions import feedback, predict, report, route
from gsr_plugin.cli.program import Program


def _torch_settings() -> None:
    """What torch reads when it starts, unless the user has chosen: see docs/engine.md.

    Large pages for CPU memory are 3 to 6 times faster above 32 MB a tensor; threads that spin while they wait slow each
    other down by factors on a busy machine. Without MKL's strict mode sums have other bits with other threads on Intel.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gsr-plugin", prog_name="gsr")
def main() -> None:
    """Predict routing congestion of a placed design by a deep graph network, inside OpenROAD flows and outside.

    \b
    gsr export --lef tech.lef cells.lef --def placed.def \\
        --signal-layers met1-met5 --layer-adjustment 0.3 --out design
    gsr predict design --out prediction
    gsr report prediction --out report.html
    """
    _torch_settings()


for _command in (
    export, import_, train, finetune, evaluate, calibrate, predict, route, label, feedback, report, check, weights,
    bench, loop, access_points, hooks, flow, serve, doctor, conformance,
):  # fmt: skip
    main.add_command(_command)
