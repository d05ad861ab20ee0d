"""A labelling job in the user's OpenROAD: what gsr_label.tcl is told, what became of it, and its tables completed."""

import gzip
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from circuit_io import labels as label_files
from circuit_io.access_points import FILE as ACCESS_FILE
from circuit_io.drc import FILE as DRC_FILE
from circuit_io.errors import InputError, ToolError
from circuit_io.export_sources import fractions_of
from circuit_io.gcells import HORIZONTAL, VERTICAL
from circuit_io.router_labels import usage_text
from flow_hooks import TCL
from flow_hooks.labels.batch_jobs import Job
from flow_hooks.openroad.script import job_tsv, layer_rows, plain_copy, run_script
from flow_hooks.tsv import number

_UNPACKED = ("lef", "def")  # what openroad reads plain alone
_COPIED = (
    "utilization", "aspect", "density_lb_addon", "core_margin_um", "site", "top", "seed", "routability_driven",
    "improve_placement", "clock_layers",
)  # fmt: skip


def route_openroad(job: Job, labels: Path, *, openroad: str) -> dict[str, Any]:
    """Run one job in openroad, whose label tables come into `labels`; the tracks of overflow.

    Raises:
        ToolError: openroad failed; its own error and the place of its log.
        InputError: what it wrote is no label, or says nothing.
    """
    folder = labels.parent
    task, log = folder / "job.tsv", folder / "openroad.log"
    task.write_text(job_text(job, labels, unpack=folder / "inputs"), "utf-8", "surrogateescape")
    run_script(openroad, TCL / "gsr_label.tcl", task, variable="GSR_LABEL_JOB", log=log, env=job.settings["env"])
    iterations = job.settings["router"].get("detailed_iterations")
    made_from = f"exact: OpenROAD detailed_route of this placement, -droute_end_iter {iterations}"
    return _complete(job, labels, {"drc": made_from} if iterations else None)


def label_odb(job: Job, labels: Path, *, openroad: str) -> dict[str, Any]:
    """Read the labels of a finished run out of its database; the tracks of overflow.

    Raises:
        ToolError: openroad failed; its own error and the place of its log.
        InputError: what it wrote is no label, or says nothing.
    """
    from flow_hooks.labels.finished_run_job import copy_drc

    folder = labels.parent
    task, log = folder / "job.tsv", folder / "openroad.log"
    rows = {"out_dir": [str(labels)]}
    for one in job.inputs:
        rows.setdefault(one["role"], []).append(one["path"])
    task.write_text(job_tsv(rows), "utf-8", "surrogateescape")
    run_script(openroad, TCL / "gsr_label_odb.tcl", task, variable="GSR_LABEL_JOB", log=log, env=job.settings["env"])
    return _complete(job, labels, {"drc": copy_drc(job, labels)})


def job_text(job: Job, labels: Path, *, unpack: Path) -> str:
    """The TSV that gsr_label.tcl reads.

    Args:
        job: the job.
        labels: where the label tables go.
        unpack: a folder for plain copies of packed files.
    """
    settings = job.settings
    adjustment = fractions_of(settings["layer_adjustment"], "layer_adjustment")
    rows: dict[str, list[str]] = {"out_dir": [str(labels)], **layer_rows(settings["signal_layers"], adjustment)}
    for key in ("congestion_iterations", "detailed_iterations", "pin_access"):
        if key in settings["router"]:
            rows[key] = [str(int(settings["router"][key]))]
    for key in _COPIED:
        if settings.get(key) is not None and settings[key] != "":
            value = settings[key]
            rows[key] = [value if isinstance(value, str) else number(value)]
    if settings.get("pin_layers"):
        rows["pin_layers"] = settings["pin_layers"]
    for one in job.inputs:
        path = one["path"]
        if one["role"] in _UNPACKED:
            path = str(plain_copy(Path(path), unpack / one["sha256"][:12]))
        rows.setdefault(one["role"], []).append(path)
    return job_tsv(rows)


def _complete(job: Job, labels: Path, also: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Check what openroad wrote, add the column `reduction`, pack the tables, write `done.json` with the settings."""
    from flow_hooks.labels.job import write_done

    done = label_files.read_parameters(labels)
    states = dict(done.get("labels") or {}) | dict(also or {})
    if states.get("grt") != "written":
        raise ToolError(f"openroad wrote no usage of gcells: {states.get('grt')}")
    if job.settings["router"].get("pin_access") and not label_files.has(labels, ACCESS_FILE):
        raise ToolError("openroad wrote no access points after pin_access")
    adjustment = fractions_of(done["layer_adjustment"], labels / "done.json")
    x, y = label_files.read_gcell_grid(label_files.find(labels, "gcell_grid.csv"))
    path = label_files.find(labels, "gcell_usage.csv")
    table = label_files.read_usage(path, nx=len(x), ny=len(y))
    reduction = label_files.reductions(table, adjustment)
    overflow = 0.0
    for direction, word in ((HORIZONTAL, "horizontal"), (VERTICAL, "vertical")):
        demand, over = label_files.congestion(table, reduction, direction)
        if not np.isfinite(demand).any():
            raise InputError(f"no edge has {word} tracks", path=path, mend="Give signal layers of both directions.")
        if not np.nansum(demand) > 0:
            raise InputError(f"no edge has a {word} wire: nothing was routed", path=path)
        overflow += float(np.nansum(over))
    text = usage_text(label_files.UsageTable(table.layers, table.directions, table.capacity, table.usage, reduction))
    path.write_text(text, "ascii")
    for name in ("gcell_usage.csv", "placed.def", "wire_length.csv", "route.guide", "congestion.rpt", DRC_FILE):
        plain = labels / name
        if plain.is_file():
            (labels / f"{name}.gz").write_bytes(gzip.compress(plain.read_bytes(), 6, mtime=0))
            plain.unlink()
    shutil.rmtree(labels.parent / "inputs", ignore_errors=True)
    more = {"openroad": done.get("openroad", ""), "labels": states, "signal_layers": done["signal_layers"]}
    write_done(job, labels, adjustment, more=more)
    return {"overflow_tracks": [overflow], "labels": states}
