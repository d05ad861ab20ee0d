"""Runs of OpenROAD-flow-scripts up to the global router: how well it is predicted in them, and what that costs.

    FLOW_HOME=ORFS/flow GSR_OPENROAD=openroad gsr bench orfs --work DIR [--data DATA] [--designs crc_bank ..]

A design is one of demos/orfs (`xbar16:MAX_ROUTING_LAYER=M4` sets variables of make, commas between), or TECH/NAME of
DATA with ORFS's own platform and config.mk, the data set's netlist and its Liberty file. Each goes through ORFS's
Makefile in mode observe; with --compare also without us and with GSR_SERVE=1, from the same floorplan and pins, and
the DEF of every step must be the same. --resume takes the designs that are done in DIR as they are.

Accuracy: each hook's prediction, and one of the routed placement itself, against the router's gcells of the same run
after its last incremental route. Cost, in processor seconds of one thread: `global_placement` and the first
`global_route`, against the DEF that a hook writes, its export (graph included) and prediction in a process that has
done one before (medians of three), and the whole hook with a Python of its own.
"""

import argparse
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.machine import machine  # noqa: E402
from bench.orfs_run import (  # noqa: E402
    Design,
    Done,
    Tools,
    branch,
    different_defs,
    kit_design,
    make,
    shared_design,
)
from circuit_io import labels as label_files  # noqa: E402
from circuit_io.atomic import write_whole  # noqa: E402
from circuit_io.errors import InputError  # noqa: E402
from circuit_io.export import export_design  # noqa: E402
from circuit_io.export_sources import sources_of_hook  # noqa: E402
from circuit_io.labels import Labels  # noqa: E402
from circuit_io.maps import Prediction  # noqa: E402
from circuit_io.prediction import read_prediction  # noqa: E402
from circuit_io.store import open_design  # noqa: E402
from flow_hooks.openroad.binary import probe_openroad  # noqa: E402
from gsr_plugin.jsonable import jsonable, to_json_line  # noqa: E402
from gsr_plugin.metrics import PlacementScores, score_placement  # noqa: E402
from gsr_plugin.predict import predict  # noqa: E402

HOOKS = ("pre_global_place", "post_global_place", "post_detail_place", "pre_global_route")
OTHERS = {"base": {"GSR_ENABLE": "0"}, "served": {"GSR_SERVE": "1", "GSR_LABELS": "none"}}
DESIGNS = ("crc_bank", "rv32_core", "xbar16", "nangate45/gcd", "nangate45/ibex", "nangate45/aes")


def run_design(
    tools: Tools, design: Design, work: Path, *, compare: bool, access: Path | None = None
) -> dict[str, Any]:
    """The runs of one design, its scores and seconds."""
    settings = {"GSR_LABELS": "grt"} | ({"GSR_ACCESS_POINTS": str(access.resolve())} if access else {})
    watched = checked(make(tools, design, ["grt"], work, variant="observe", env=settings))
    differ: dict[str, list[str]] = {}
    for variant, env in OTHERS.items() if compare else ():
        branch(watched, variant, before="3_3")
        differ[variant] = different_defs(
            tools, watched, checked(make(tools, design, ["grt"], work, variant=variant, env=env))
        )
    scratch = work / "judged"
    shutil.rmtree(scratch, ignore_errors=True)
    truth = routed_labels(watched, scratch / "routed")
    return {
        "design": design.name,
        "different_defs": differ,
        "size": sizes(watched),
        "accuracy": accuracy(watched, truth, scratch),
        "capacity": capacity(watched, truth, scratch),
        "cost": cost(watched, scratch),
    }


def checked(done: Done) -> Done:
    """The run, if it came to its end."""
    if done.code != 0:
        raise InputError(f"make ends with exit code {done.code}: {done.text[-2000:]}", path=done.work)
    return done


def routed_labels(run: Done, out: Path) -> Labels:
    """What the router left, on the grid of the routed placement, which is exported to `out`."""
    folder = run.hook("post_global_route")
    sources = replace(sources_of_hook(folder / "hook.json"), labels=folder / "labels")
    export_design(sources, out, overwrite=True)
    labels = open_design(out).labels
    assert labels is not None
    return labels


def predicting(run: Done) -> list[str]:
    """The hooks that predicted: with ports that a floorplan has placed nothing else is before `global_placement`."""
    return [hook for hook in HOOKS if (run.hook(hook) / "prediction").is_dir()]


def sizes(run: Done) -> dict[str, Any]:
    """Insts and nets at each hook, and the grid."""
    out: dict[str, Any] = {}
    for hook in predicting(run):
        manifest = json.loads((run.hook(hook) / "export" / "manifest.json").read_text())
        out[hook] = {key: manifest["counts"][key] for key in ("insts", "nets")}
        out["gcells"] = [manifest["grid"]["nx"], manifest["grid"]["ny"]]
    return out


def scores(truth: Labels, prediction: Prediction) -> dict[str, dict[str, float]]:
    """Mean of H and V of each score, of the prediction and of RUDY."""
    routed = (truth.congestion_h, truth.congestion_v)
    judged: dict[str, PlacementScores] = {
        name: score_placement(routed, (prediction.maps[f"{kind}_h"], prediction.maps[f"{kind}_v"]))
        for name, kind in (("gsr", "congestion"), ("rudy", "rudy"))
    }
    edges = judged["gsr"]
    return {name: asdict(s.mean) for name, s in judged.items()} | {
        "edges": {"num": edges.num_edges, "above_full": edges.num_overflow}
    }


def accuracy(run: Done, truth: Labels, scratch: Path) -> dict[str, Any]:
    """Scores of the prediction of each hook, and of one made of the routed placement itself."""
    predict(scratch / "routed", scratch / "of_routed", overwrite=True)
    out = {hook: scores(truth, read_prediction(run.hook(hook) / "prediction")) for hook in predicting(run)}
    return out | {"routed": scores(truth, read_prediction(scratch / "of_routed"))}


def capacity(run: Done, truth: Labels, scratch: Path) -> dict[str, float]:
    """How far the capacities of the features are from those that the router had, over all edges with data."""
    folder = run.hook("post_global_route") / "labels"
    made = read_prediction(scratch / "of_routed").maps
    ny, nx = truth.congestion_h.shape
    table = label_files.read_usage(folder / "gcell_usage.csv", nx=nx, ny=ny)
    adjustment = label_files.read_parameters(folder)["layer_adjustment"]
    taken = label_files.reductions(table, adjustment)
    out: dict[str, float] = {}
    for direction, name in enumerate(("h", "v")):
        mine = [i for i, d in enumerate(table.directions) if d == direction]
        theirs = (table.capacity[mine] - taken[mine]).sum(axis=0)
        seen = np.isfinite(truth.congestion_h if name == "h" else truth.congestion_v)
        apart = made[f"capacity_{name}"][seen] - theirs[seen]
        out |= {
            f"edges_differ_{name}": float((np.abs(apart) > 0.5).mean()),
            f"mean_abs_tracks_{name}": float(np.abs(apart).mean()),
            f"mean_tracks_{name}": float(theirs[seen].mean()),
        }
    return out


def cost(run: Done, scratch: Path) -> dict[str, Any]:
    """Processor seconds (and of the wall) of the flow's two engines and of ours."""
    place, placed, routed = (run.seconds(stem) for stem in ("3_3_place_gp", "3_5_place_dp", "5_1_grt"))
    engines = {"global_placement": place["global_placement"], "global_route": routed["global_route"]}
    hooks = {hook: at[f"{hook}.tcl"] for hook, at in zip(HOOKS, (place, place, placed, routed), strict=True)}
    parts = {"write_def": placed["write_def"][1], **warm_parts(run, scratch)}
    ours, route = sum(parts.values()), engines["global_route"][1]
    return {
        "wall_and_cpu_s": engines | hooks, "warm_cpu_s": parts, "prediction_cpu_s": ours,
        "share": ours / (engines["global_placement"][1] + route), "route_over_prediction": route / ours,
    }  # fmt: skip


def warm_parts(run: Done, scratch: Path) -> dict[str, float]:
    """Median processor seconds of three exports (graph included) and predictions in this process, after one of each."""
    hook = run.hook("post_detail_place") / "hook.json"
    export = scratch / "timed"
    work: dict[str, Callable[[], Any]] = {
        "export": lambda: export_design(sources_of_hook(hook), export, overwrite=True),
        "predict": lambda: predict(export, scratch / "timed_prediction", overwrite=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(4):
        for name, do in work.items():
            start = time.process_time()
            do()
            seconds[name].append(time.process_time() - start)
    return {name: float(np.median(found[1:])) for name, found in seconds.items()}


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, numbers to the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def show(rows: list[dict[str, Any]]) -> None:
    """The two tables."""
    of, costs = [], []
    for row in rows:
        got, c = row["accuracy"], row["cost"]
        edges = got["routed"]["edges"]
        pearson = [f"{got[hook]['gsr']['pearson']:.3f}" if hook in got else "-" for hook in (*HOOKS, "routed")]
        insts = f"{row['size']['pre_global_route']['insts']:,}"
        counts = [insts, f"{edges['num']:,}", f"{edges['above_full']:,}"]
        of.append([row["design"], *counts, *pearson, f"{got['routed']['rudy']['pearson']:.3f}"])
        took = c["wall_and_cpu_s"]
        seconds = [
            took["global_placement"][1],
            took["global_route"][1],
            took["post_detail_place"][1],
            c["prediction_cpu_s"],
        ]
        shares = [f"{c['share']:.3f}", f"{c['route_over_prediction']:.1f}"]
        costs.append([row["design"], *(f"{s:.2f}" for s in seconds), *shares])
    print(table(["design", "insts", "edges", "above full", *HOOKS, "routed", "RUDY, routed"], of), end="\n\n")
    columns = ["global_placement, s", "global_route, s", "whole hook, cold, s", "prediction, warm, s"]
    print(table(["design", *columns, "share of both", "route / prediction"], costs))


def main(arguments: list[str] | None = None) -> int:
    """Run the designs and print the tables; 1 when a step's DEF differs from the run without us."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="for designs TECH/NAME")
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS))
    parser.add_argument(
        "--compare", action="store_true", help="also without us and with a server; the DEFs must be equal"
    )
    parser.add_argument(
        "--access-points", type=Path, help="GSR_ACCESS_POINTS: a table of the library, or of another design of it"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "orfs.json")
    parser.add_argument("--resume", action="store_true", help="leave designs alone that are done")
    parser.add_argument("--quick", action="store_true", help="crc_bank alone")
    args = parser.parse_args(arguments)
    tools, rows = Tools.find(), []
    for name in ["crc_bank"] if args.quick else args.designs:
        work = args.work.resolve() / re.sub(r"\W", "_", name)
        done = work / "row.json"
        if not (args.resume and done.exists()):
            tech, slash, design = name.partition("/")
            if slash:
                chosen = shared_design(tools, args.data, tech, design, work / "inputs")
            else:
                plain, _, given = name.partition(":")
                chosen = replace(kit_design(plain, **dict(g.split("=", 1) for g in given.split(",") if g)), name=name)
            compare = args.compare or args.quick
            row = run_design(tools, chosen, work, compare=compare, access=args.access_points)
            write_whole(done, to_json_line(row))
        rows.append(json.loads(done.read_text()))
        print(f"{name}: done", file=sys.stderr, flush=True)
    show(rows)
    found = {"machine": machine(), "openroad": probe_openroad(tools.openroad).version, "designs": jsonable(rows)}
    write_whole(args.out, json.dumps(found, indent=1, allow_nan=False) + "\n")
    print(f"\nin {args.out}")
    return 1 if any(names for row in rows for names in row["different_defs"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
