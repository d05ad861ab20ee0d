"""One labelling job, in a process of its own: `python -m flow_hooks.labels.job TASK FOLDER`.

TASK is a JSON file of settings, inputs and limits. Into FOLDER go `labels/` (label tables version 1), `design/` (the
export that training reads) and `result.json`, or `error.txt`.
"""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from circuit_io.errors import InputError, did_you_mean
from circuit_io.manifest import to_json
from circuit_io.text import is_gzip
from flow_hooks.jobs.process import job_main
from flow_hooks.labels.batch_jobs import EMBEDDED, Job
from flow_hooks.labels.finished_runs import GUIDES, ODB


def run_job(job: Job, folder: Path, *, openroad: str = "") -> dict[str, Any]:
    """Label one placement into `folder`; what is said of it in the manifest.

    Raises:
        InputError: a file is bad, or holds what cannot be routed.
        ToolError: openroad failed.
    """
    from circuit_io.export import export_design
    from circuit_io.export_sources import sources_of_labels

    labels = folder / "labels"
    labels.mkdir()
    kind = job.settings["router"]["kind"]
    if kind == EMBEDDED:
        said = _route_embedded(job, labels)
    elif kind == GUIDES:
        from flow_hooks.labels.finished_run_job import label_from_guides

        said = label_from_guides(job, labels)
    else:
        from flow_hooks.labels.openroad_job import label_odb, route_openroad

        said = (label_odb if kind == ODB else route_openroad)(job, labels, openroad=openroad)
    sources = sources_of_labels(labels, lef=job.paths("lef"), lib=job.paths("lib"))
    sources = replace(sources, stage=job.settings["stage"])
    manifest = export_design(sources, folder / "design")
    return said | {"counts": manifest["counts"], "grid": [manifest["grid"]["nx"], manifest["grid"]["ny"]]}


def _route_embedded(job: Job, labels: Path) -> dict[str, Any]:
    from circuit_io.design import read_design
    from circuit_io.export_sources import fractions_of
    from circuit_io.gcells import make_grid
    from circuit_io.router_labels import write_router_labels

    (placed,) = job.paths("def")
    design = read_design(job.paths("lef"), placed, lib=job.paths("lib"))
    low, high = job.settings["signal_layers"]
    grid = make_grid(design.die_dbu, design.layers, signal_layers=(low, high), path=str(placed))
    given = fractions_of(job.settings["layer_adjustment"], "layer_adjustment")
    known = [layer.name for layer in grid.layers]
    for name in given:
        if name != "*" and name not in known:
            raise InputError(f'"{name}" is no routing layer', path="layer_adjustment", mend=did_you_mean(name, known))
    names = [layer.name for layer in grid.layers if grid.signal[0] <= layer.level <= grid.signal[1]]
    adjustment = {name: given.get(name, given.get("*", 0.0)) for name in names}
    router = job.settings["router"]
    found = write_router_labels(labels, design, grid, adjustment, runs=router["runs"], seed=job.settings["seed"])
    shutil.copyfile(placed, labels / ("placed.def.gz" if is_gzip(placed) else "placed.def"))
    write_done(job, labels, adjustment)
    return {"overflow_tracks": list(found.overflow)}


def write_done(job: Job, labels: Path, adjustment: object, more: Mapping[str, Any] | None = None) -> None:
    """`done.json` of label tables: the settings, and the adjustment that every layer had."""
    said = {key: value for key, value in job.settings.items() if key not in ("router", "env", "level_adjustments")}
    router = job.settings["router"]
    said |= {
        "schema": "gsr-labels",
        "schema_version": 1,
        "layer_adjustment": adjustment,
        "router": router["name"],
        "is_approximate": router["is_approximate"],
        "router_settings": router,
        "reduction": "tracks that layer adjustments take",
    }
    (labels / "done.json").write_bytes(to_json(said | dict(more or {})))


def _run_task(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    return run_job(Job(task["name"], task["settings"], task["inputs"]), folder, openroad=task["openroad"])


if __name__ == "__main__":
    sys.exit(job_main(_run_task))
