"""Time and memory from flow files to an export by size: replicas of one placement, each step in a fresh process.

    gsr bench scale [SOURCE.def] [--lef F.. --lib F..] [--sizes 20000 100000 330000 1100000] [--out FILE]

Without files it takes a design of the demo kit. Every size is exported once with the C scanner and, with `--python`,
once in Python alone; one thread. Prints CPU and wall seconds and the peak of the resident set by stage, and the slope
of a line through them, log by log: 1 is linear. `--quick` takes two small sizes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.machine import machine  # noqa: E402
from bench.replica import replicate  # noqa: E402

KIT = ROOT / "demos" / "kit"
STAGES = (  # modules of circuit_io and the functions timed in them; none runs inside another
    ("design", ("read_lef", "read_def", "read_liberty", "join")),
    ("features", ("select_nodes", "pin_gcells", "points_of_nets", "steiner_trees", "edge_maps")),
    ("features", ("_inst_features", "_net_features", "_gcell_features", "_pin_features")),
    ("export", ("supply_of", "with_router", "find_modules", "_manifest", "inst_table", "net_table", "write_design")),
)


def memory_mb(mark: str) -> float:
    """A line of /proc/self/status in MB; nan where there is none."""
    file = Path("/proc/self/status")
    lines = file.read_text().splitlines() if file.is_file() else []
    return next((int(text.split()[1]) / 1024 for text in lines if text.startswith(mark)), float("nan"))


def _reset_peak() -> None:
    if os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")


class Stages:
    """Seconds and peak memory of functions while they are wrapped."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, float]] = {}
        self.peak = 0.0

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which notes what each call takes."""

        def run(*args: object, **options: object) -> object:
            self.peak = max(self.peak, memory_mb("VmHWM"))
            _reset_peak()
            cpu, wall = time.process_time(), time.perf_counter()
            found = function(*args, **options)
            row = self.rows.setdefault(name, {"cpu_s": 0.0, "wall_s": 0.0, "peak_mb": 0.0})
            row["cpu_s"] += time.process_time() - cpu
            row["wall_s"] += time.perf_counter() - wall
            row["peak_mb"] = max(row["peak_mb"], memory_mb("VmHWM"))
            self.peak = max(self.peak, row["peak_mb"])
            return found

        return run


def export_once(task: dict[str, Any]) -> dict[str, Any]:
    """One export; runs in a process of its own."""
    import importlib

    from circuit_io.export import export_design
    from circuit_io.export_sources import ExportSources

    stages = Stages()
    for module, names in STAGES:
        home = importlib.import_module(f"circuit_io.{module}")
        for name in names:
            setattr(home, name, stages.timed(name.strip("_"), getattr(home, name)))
    files = {name: [Path(p) for p in task[name]] for name in ("lef", "lib")}
    sources = ExportSources(**files, def_=Path(task["def"]), layer_adjustment={"*": 0.3})
    cpu, wall = time.process_time(), time.perf_counter()
    export_design(sources, Path(task["out"]))
    total = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    total["peak_mb"] = max(stages.peak, memory_mb("VmHWM"))
    return {"total": total, "stages": stages.rows}


def measure(task: dict[str, Any], scanner: str) -> dict[str, Any]:
    """`export_once` in a fresh interpreter with one thread."""
    return run_alone(__file__, task, GSR_SCANNER=scanner)


def run_alone(file: str, task: dict[str, Any], **environment: str) -> dict[str, Any]:
    """What `--task` of a bench prints, run in a fresh interpreter with one thread."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | environment
    command = [sys.executable, str(Path(file).resolve()), "--task", json.dumps(task)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def slope(sizes: list[int], values: list[float]) -> float:
    """Of the line through the points, log by log; nan for one point."""
    if len(sizes) < 2:
        return float("nan")
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])


def _print(row: dict[str, Any]) -> None:
    print(f"{row['insts']:,} insts, {row['iterms']:,} iterms, {row['def_mb']:.0f} MB of DEF, scanner {row['scanner']}")
    for name, stage in [*row["stages"].items(), ("total", row["total"])]:
        line = f"  {name:16s} {stage['cpu_s']:8.2f} s CPU {stage['wall_s']:8.2f} s wall {stage['peak_mb']:8.0f} MB"
        print(line, flush=True)


def add_sources(parser: argparse.ArgumentParser) -> None:
    """The arguments of a bench over replicas."""
    kit = KIT / "labels" / "gsr45" / "systolic4" / "v0" / "placed.def.gz"
    tech = [KIT / "tech" / name for name in ("gsr45_tech.lef", "gsr45_cells.lef", "gsr45_typ.lib")]
    parser.add_argument("source", type=Path, nargs="?", default=kit)
    parser.add_argument("--lef", type=Path, nargs="+", default=tech[:2])
    parser.add_argument("--lib", type=Path, nargs="*", default=tech[2:])
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 100_000, 330_000, 1_100_000])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--task", help=argparse.SUPPRESS)


def main(arguments: list[str] | None = None) -> int:
    """Measure all sizes, print tables and slopes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_sources(parser)
    parser.add_argument("--python", action="store_true", help="measure the path without the C scanner too")
    args = parser.parse_args(arguments)
    if args.task:
        print(json.dumps(export_once(json.loads(args.task))))
        return 0
    rows = []
    for size in [5_000, 20_000] if args.quick else args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            made = replicate(args.source, Path(folder), insts=size, verilog=False)
            task: dict[str, Any] = {name: [str(p.resolve()) for p in getattr(args, name)] for name in ("lef", "lib")}
            task["def"] = str(made.def_)
            counts = {"insts": made.insts, "nets": made.nets, "iterms": made.iterms}
            counts |= {"def_mb": made.def_.stat().st_size / 1e6}
            for scanner in ("c", "python") if args.python else ("c",):
                task["out"] = str(Path(folder) / scanner)
                rows.append({"scanner": scanner, **counts, **measure(task, scanner)})
                _print(rows[-1])
    slopes: dict[str, dict[str, float]] = {}
    for scanner in dict.fromkeys(row["scanner"] for row in rows):
        mine = [row for row in rows if row["scanner"] == scanner]
        sizes = [row["insts"] for row in mine]
        slopes[scanner] = {k: slope(sizes, [row["total"][k] for row in mine]) for k in ("cpu_s", "wall_s", "peak_mb")}
        print(f"slope, scanner {scanner}: " + ", ".join(f"{k} {v:.3f}" for k, v in slopes[scanner].items()))
    if args.out:
        source = "/".join(args.source.resolve().parts[-4:])
        result = {"bench": "scale", "machine": machine(), "source": source, "slopes": slopes, "rows": rows}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
