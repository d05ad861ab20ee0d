"""Time and memory of a whole prediction and of a training step by size, each in a fresh process with one thread.

    gsr bench whole [SOURCE.def] [--lef F.. --lib F..] [--sizes 20000 100000 330000 1100000] [--out FILE]

Replicas of one placement are exported, kept in `--work` where it is given, and then: `predict`, what `gsr predict`
does with the shipped model; `step`, one training step of a new model of `--layers` layers and `--width` channels, from
the export in memory to the step of AdamW, on labels that are drawn. Prints CPU and wall seconds and the peak of the
resident set by stage, and the slope of a line through the sizes, log by log: 1 is linear; `own_mb` is the peak without
what the imports take. `--out` keeps the rows of the file that are not run again; every row names its commit and the
load it was measured at. `--quick` takes two small sizes.
"""

import argparse
import json
import os
import pkgutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.machine import machine  # noqa: E402
from bench.replica import replicate  # noqa: E402
from bench.scale import Stages, add_sources, measure, memory_mb, run_alone, slope  # noqa: E402

STAGES = (  # owner, function, and what it is called here; none runs inside another
    ("gsr_plugin.predict", "open_design", "read export"),
    ("gsr_plugin.predict", "write_prediction", "write prediction"),
    ("gsr_plugin.normaliser:Normaliser", "features", "normalise features"),
    ("gsr_plugin.graph_tensors:GraphTensors", "of", "lists of the graph"),
    ("gsr_plugin.reversible", "plan_of", "plan"),
    ("torch.nn:Sequential", "forward", "encoders and heads"),
    ("gsr_plugin.reversible", "_forward", "layers"),
    ("gsr_plugin.reversible", "_backward", "layers, backward"),
)
TASKS = ("predict", "step")
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "THP_MEM_ALLOC_ENABLE": "1"}  # as `gsr` sets them


def run_once(task: dict[str, Any]) -> dict[str, Any]:
    """One prediction or step; runs in a process of its own."""
    from gsr_plugin import predict, train  # noqa: F401

    stages = Stages()
    for home, name, title in STAGES:
        owner = pkgutil.resolve_name(home)
        timed = stages.timed(title, getattr(owner, name))
        setattr(owner, name, staticmethod(timed) if name == "of" else timed)
    found: dict[str, Any] = {"imports_mb": memory_mb("VmRSS")}
    cpu, wall = time.process_time(), time.perf_counter()
    if task["task"] == "predict":
        predict.predict(Path(task["export"]), Path(task["out"]), device="cpu", overwrite=True)
    else:
        found |= train_step(task)
    total = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    total["peak_mb"] = max(stages.peak, memory_mb("VmHWM"))
    total["own_mb"] = total["peak_mb"] - found["imports_mb"]
    return {"total": total, "stages": stages.rows, **found}


def train_step(task: dict[str, Any]) -> dict[str, Any]:
    """One step of a new model on drawn labels: its loss, and whether all gradients are finite."""
    import torch

    from circuit_io.labels import Labels
    from circuit_io.transform import Symmetry
    from gsr_plugin import predict
    from gsr_plugin.config import TrainConfig
    from gsr_plugin.dataset import Entry, Sample
    from gsr_plugin.losses import placement_loss
    from gsr_plugin.model import CONGESTION, DETOUR, GsrGnn
    from gsr_plugin.schedule import Step
    from gsr_plugin.shipped import find_weights
    from gsr_plugin.weights import load_weights

    shipped, export = load_weights(find_weights(), device="cpu"), Path(task["export"])
    graph = predict.open_design(export).graph
    rng = np.random.default_rng(0)
    maps = [rng.random((graph.ny, graph.nx), np.float32) for _ in range(4)]
    sample = Sample(graph, Labels(*maps, np.zeros(graph.num_nets, np.float32)))
    shape = {name: task[name] for name in ("layers", "width")} | {"save_indices": False, "tasks": (CONGESTION, DETOUR)}
    model = GsrGnn(shipped.card.model.model_copy(update=shape), seed=0)
    optimizer = torch.optim.AdamW(model.parameters())
    item = Step(Entry("", "", "replica", "", export, graph.num_gcells, ""), Symmetry(), False, 1.0)
    loss, parts = placement_loss(model, shipped.normaliser, TrainConfig(), sample, item, torch.device("cpu"))
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    finite = all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
    return {"loss": parts["loss"], "finite": finite}


def export_of_size(size: int, work: Path, args: argparse.Namespace) -> tuple[Path, dict[str, Any]]:
    """The export of a replica, made where it is not in `work`, and its counts."""
    folder = work / f"{args.source.resolve().parts[-3]}-{size}"
    if not (folder / "export").is_dir():
        made = replicate(args.source, folder, insts=size, verilog=False)
        task: dict[str, Any] = {name: [str(p.resolve()) for p in getattr(args, name)] for name in ("lef", "lib")}
        measure(task | {"def": str(made.def_), "out": str(folder / "export")}, "c")
    manifest = json.loads((folder / "export" / "manifest.json").read_text())
    counts = {name: manifest["counts"][name] for name in ("insts", "nets", "pins")}
    return folder / "export", counts | {"gcells": manifest["grid"]["nx"] * manifest["grid"]["ny"]}


def _print(row: dict[str, Any]) -> None:
    print(f"{row['task']}: {row['insts']:,} insts, {row['pins']:,} pins, {row['gcells']:,} gcells")
    for name, stage in [*row["stages"].items(), ("total", row["total"])]:
        line = f"  {name:20s} {stage['cpu_s']:8.2f} s CPU {stage['wall_s']:8.2f} s wall {stage['peak_mb']:8.0f} MB"
        print(line, flush=True)


def slopes_of(rows: dict[tuple[str, int], dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By task and quantity."""
    slopes = {}
    for name in TASKS:
        mine = [row for (task, _), row in sorted(rows.items()) if task == name]
        if mine:
            sizes = [row["insts"] for row in mine]
            slopes[name] = {k: slope(sizes, [row["total"][k] for row in mine]) for k in mine[0]["total"]}
    return slopes


def _write(args: argparse.Namespace, rows: dict[tuple[str, int], dict[str, Any]]) -> None:
    setting = {"layers": args.layers, "width": args.width, "source": "/".join(args.source.resolve().parts[-4:])}
    result = {"bench": "whole", "machine": machine(), "setting": setting, "slopes": slopes_of(rows),
              "rows": [row for _, row in sorted(rows.items())]}  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Measure all sizes, print tables and slopes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_sources(parser)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--work", type=Path, help="keep the exports here, and take those that are here")
    args = parser.parse_args(arguments)
    if args.task:
        print(json.dumps(run_once(json.loads(args.task))))
        return 0
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    if args.out and args.out.is_file():
        rows = {(row["task"], row["insts"]): row for row in json.loads(args.out.read_text())["rows"]}
    with tempfile.TemporaryDirectory() as scratch:
        for size in [5_000, 20_000] if args.quick else args.sizes:
            export, counts = export_of_size(size, args.work or Path(scratch), args)
            for name in args.tasks:
                task = {"task": name, "export": str(export), "out": str(Path(scratch) / "prediction")}
                found = run_alone(__file__, task | {"layers": args.layers, "width": args.width}, **ENVIRONMENT)
                run = {"task": name, "commit": machine()["commit"], "load_average": round(os.getloadavg()[0], 1)}
                rows[name, counts["insts"]] = run | counts | found
                _print(rows[name, counts["insts"]])
                if args.out:
                    _write(args, rows)
    for name, values in slopes_of(rows).items():
        print(f"slope, {name}: " + ", ".join(f"{k} {v:.3f}" for k, v in values.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
