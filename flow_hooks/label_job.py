"""One labelling job, in a process of its own: `python -m flow_hooks.label_job TASK FOLDER`.

TASK is a JSON file of settings, inputs and limits. Into FOLDER go `labels/` (label tables version 1), `design/` (the
export that training reads) and `result.json`, or `error.txt`.
"""

import json
import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from circuit_io.errors import GsrError, InputError, did_you_mean
from circuit_io.manifest import to_json
from flow_hooks.label_jobs import EMBEDDED, Job

OUT_OF_MEMORY = 4


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
    if job.settings["router"]["kind"] == EMBEDDED:
        said = _route_embedded(job, labels)
    else:
        from flow_hooks.openroad_job import route_openroad

        said = route_openroad(job, labels, openroad=openroad)
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
    shutil.copyfile(placed, labels / ("placed.def.gz" if _is_gzip(placed) else "placed.def"))
    write_done(job, labels, adjustment)
    return {"overflow_tracks": list(found.overflow)}


def write_done(job: Job, labels: Path, adjustment: object, more: Mapping[str, Any] | None = None) -> None:
    """`done.json` of label tables: the settings, and the adjustment that every layer had."""
    said = {key: value for key, value in job.settings.items() if key not in ("router", "env")}
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


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as f:
        return f.read(2) == b"\x1f\x8b"


def _end_with_parent() -> None:
    """End this process and all it started when whoever started it is gone: then its end of stdin is closed."""
    if os.getsid(0) != os.getpid():
        return  # run by hand: the group is not ours alone

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    """Run the job of the command line; 0, or the exit code of what went wrong, told in `error.txt`."""
    task_path, folder = Path(sys.argv[1]), Path(sys.argv[2])
    task = json.loads(task_path.read_bytes())
    _end_with_parent()
    memory = task["memory_mb"] << 20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    job = Job(task["name"], task["settings"], task["inputs"])
    start = time.perf_counter()
    try:
        said = run_job(job, folder, openroad=task["openroad"])
    except GsrError as e:
        (folder / "error.txt").write_text(str(e), "utf-8", "surrogateescape")
        return e.exit_code
    except MemoryError:
        (folder / "error.txt").write_text(f"needs more memory than the limit of {task['memory_mb']} MB")
        return OUT_OF_MEMORY
    used = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    said |= {"seconds": round(time.perf_counter() - start, 3), "peak_bytes": max(used) * 1024}
    (folder / "result.json").write_bytes(to_json(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
