"""A labelling job of a finished run: from its route guides and DEF, or from its database in OpenROAD."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from circuit_io.def_routes import read_route_lengths
from circuit_io.design import Design, read_design
from circuit_io.drc import FILE as DRC_FILE
from circuit_io.export_sources import fractions_of
from circuit_io.gcells import HORIZONTAL, VERTICAL, GcellGrid, make_grid
from circuit_io.guide_labels import write_guide_labels
from circuit_io.guides import FILE as GUIDES_FILE
from circuit_io.labels import congestion
from circuit_io.router_labels import packed
from circuit_io.text import is_gzip, read_bytes
from flow_hooks.labels.batch_jobs import Job

NOT_TOLD = "not there: without openroad no report tells the slack of every endpoint"


def label_from_guides(job: Job, labels: Path) -> dict[str, Any]:
    """The label tables of a finished run without OpenROAD; what each is made from is in `done.json`.

    Raises:
        InputError: a file is bad, or guides and DEF are of different designs or grids.
    """
    from flow_hooks.labels.job import write_done

    (placed,), (guides,) = job.paths("def"), job.paths("guide")
    design = read_design(job.paths("lef"), placed, lib=job.paths("lib"))
    low, high = job.settings["signal_layers"]
    grid = make_grid(design.die_dbu, design.layers, signal_layers=(low, high), path=str(placed))
    adjustment = adjustment_of(job, grid)
    usage = write_guide_labels(labels, guides, design, grid, adjustment)
    overflow = 0.0
    for direction in (HORIZONTAL, VERTICAL):
        overflow += float(np.nansum(congestion(usage, usage.reduction, direction)[1]))  # type: ignore[arg-type]
    states = {
        "grt": "approximate: wires of the route guides, tracks that fixed shapes take by our own count",
        "wire_length": _write_lengths(job, labels, design),
        "timing": NOT_TOLD,
        "drc": copy_drc(job, labels),
    }
    _pack(placed, labels / "placed.def.gz")
    _pack(guides, labels / f"{GUIDES_FILE}.gz")
    write_done(job, labels, adjustment, more={"labels": states})
    return {"overflow_tracks": [overflow], "labels": states}


def adjustment_of(job: Job, grid: GcellGrid) -> dict[str, float]:
    """The adjustment of every signal layer: by name, else by level as LibreLane has it, else that of all."""
    given = fractions_of(job.settings["layer_adjustment"], "layer_adjustment")
    levels = job.settings.get("level_adjustments") or []
    out = {}
    for layer in grid.layers:
        if grid.signal[0] <= layer.level <= grid.signal[1]:
            by_level = levels[layer.level - 1] if layer.level <= len(levels) else given.get("*", 0.0)
            out[layer.name] = given.get(layer.name, by_level)
    return out


def _write_lengths(job: Job, labels: Path, design: Design) -> str:
    """Lengths of the routed nets of the DEF after detailed routing, in the form of report_wire_length."""
    routed = next(iter([*job.paths("routed_def"), *job.paths("def")]))
    found = read_route_lengths(routed)
    nets = [design.net_names.find(name) for name in found.names]
    if not any(net >= 0 for net in nets):
        return "not there: the DEF is not routed"
    pins = np.bincount(design.pin_net, minlength=len(design.net_names))
    rows = [
        b"drt: %s %.10g %d\n" % (name, length, pins[net])
        for name, length, net in zip(found.names, found.length_um.tolist(), nets, strict=True)
        if net >= 0
    ]
    (labels / "wire_length.csv.gz").write_bytes(packed(b"tool net total_wl #pins\n" + b"".join(rows)))
    strangers = len(nets) - len(rows)
    more = f"; {strangers} nets that came after the placement left out" if strangers else ""
    return f"exact: wires of {routed.name} after detailed routing{more}"


def copy_drc(job: Job, labels: Path) -> str:
    """The DRC report, if the run has one; what it is."""
    reports = job.paths("drc")
    if not reports:
        return "not there: the run has no DRC report"
    _pack(reports[0], labels / f"{DRC_FILE}.gz")
    return f"exact: {reports[0].name}"


def _pack(path: Path, target: Path) -> None:
    if is_gzip(path):
        shutil.copyfile(path, target)
    else:
        target.write_bytes(packed(read_bytes(path)))
