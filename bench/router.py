"""The embedded router against the labels: agreement per edge, overflow of whole designs, seconds.

    gsr bench router EXPORTS [--runs 8] [--seed 0] [--limit N] [--out results.json]

EXPORTS holds exported placements with labels (`gsr bench corpus DATA --out EXPORTS`). One run and the mean of `--runs`
are scored on the unmasked edges of each placement, mean of H and V (`gsr_plugin.metrics`), and averaged over
placements; `--by-family` lists the families. Prints a table and writes the numbers as JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.machine import machine  # noqa: E402
from circuit_io.router import Routing, route  # noqa: E402
from circuit_io.router_demand import demand_of  # noqa: E402
from circuit_io.router_run import is_compiled  # noqa: E402
from circuit_io.store import StoredDesign, open_design  # noqa: E402
from gsr_plugin.jsonable import jsonable  # noqa: E402
from gsr_plugin.metrics import Scores, auc, score_placement  # noqa: E402

SHOWN = ("pearson", "spearman", "r2", "precision_top5", "auc_top5", "auc_overflow")


@dataclass(frozen=True)
class Row:
    """One placement: scores of one run and of the mean, CPU seconds a run, tracks of overflow by label and router."""

    placement: str
    technology: str
    family: str
    insts: int
    gcells: int
    seconds: float
    rounds: float
    true_overflow: float
    one_overflow: float
    mean_overflow: float
    one_pressure: float
    mean_pressure: float
    one: Scores
    mean: Scores


def judged(design: StoredDesign, routing: Routing) -> Scores:
    """Scores of one placement, mean of H and V."""
    assert design.labels is not None
    truth = (design.labels.congestion_h, design.labels.congestion_v)
    return score_placement(truth, (routing.h, routing.v)).mean


def measure(folder: Path, runs: int, seed: int) -> Row | None:
    """One exported placement; None where it has no labels."""
    design = open_design(folder, verify=False)
    if design.labels is None:
        return None
    task = demand_of(design.graph)
    start = time.process_time()
    mean = route(task, runs=runs, seed=seed)
    seconds = (time.process_time() - start) / runs
    one = route(task, runs=1, seed=seed)
    over = (design.labels.overflow_h, design.labels.overflow_v)
    return Row(
        placement="/".join(folder.parts[-3:]),
        technology=str(design.manifest.get("technology") or folder.parts[-3]),
        family=str(design.manifest["family"]),
        insts=design.graph.num_insts,
        gcells=design.graph.num_gcells,
        seconds=seconds,
        rounds=float(np.mean(mean.rounds)),
        true_overflow=float(sum(np.nansum(m) for m in over)),
        one_overflow=float(one.overflow[0]),
        mean_overflow=float(np.mean(mean.overflow)),
        one_pressure=one.pressure,
        mean_pressure=mean.pressure,
        one=judged(design, one),
        mean=judged(design, mean),
    )


def of_designs(
    rows: Sequence[Row], guess: Callable[[Row], float], pressure: Callable[[Row], float]
) -> dict[str, float]:
    """How well the router says which placements overflow, and by how much."""
    true = np.asarray([r.true_overflow for r in rows])
    found = np.asarray([guess(r) for r in rows])
    return {
        "overflowing": int((true > 0).sum()),
        "found": int(((true > 0) & (found > 0)).sum()),
        "false_alarms": int(((true == 0) & (found > 0)).sum()),
        "auc_tracks": auc(true > 0, found),
        "auc": auc(true > 0, np.asarray([pressure(r) for r in rows])),
        "spearman": float(stats.spearmanr(true, found).statistic),
        "true_tracks": float(true.sum()),
        "tracks": float(found.sum()),
    }


def groups(rows: Sequence[Row], by_family: bool) -> dict[str, list[Row]]:
    """Rows by technology, by overflow, by size and, if wanted, by family."""
    out = {"all": list(rows)}
    for technology in sorted({r.technology for r in rows}):
        out[technology] = [r for r in rows if r.technology == technology]
    out["with overflow"] = [r for r in rows if r.true_overflow > 0]
    out["without"] = [r for r in rows if r.true_overflow == 0]
    out["1000 gcells or more"] = [r for r in rows if r.gcells >= 1000]
    for family in sorted({r.family for r in rows}) if by_family else ():
        out[family] = [r for r in rows if r.family == family]
    return {name: of for name, of in out.items() if of}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports", type=Path)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="the first N placements")
    parser.add_argument("--by-family", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "router.json")
    args = parser.parse_args(arguments)
    folders = sorted(p.parent for p in args.exports.rglob("manifest.json"))[: args.limit]
    rows = []
    for folder in folders:
        row = measure(folder, args.runs, args.seed)
        if row is not None:
            rows.append(row)
            print(f"{row.placement:45s} {row.one.pearson:6.3f} {row.mean.pearson:6.3f} {row.seconds:7.3f} s a run  "
                  f"overflow {row.true_overflow:7.0f} {row.mean_overflow:9.1f}", flush=True)  # fmt: skip
    if not rows:
        print(f"no exported placement with labels below {args.exports}", file=sys.stderr)
        return 2
    table: dict[str, Any] = {}
    print(f"\n{'':22s}{'n':>4s}  " + "  ".join(f"{name:>14s}" for name in SHOWN) + "   (one run / mean of runs)")
    for name, of in groups(rows, args.by_family).items():
        one, mean = Scores.mean(r.one for r in of), Scores.mean(r.mean for r in of)
        table[name] = {"placements": len(of), "one": asdict(one), "mean": asdict(mean)}
        cells = "  ".join(f"{getattr(one, k):6.3f}/{getattr(mean, k):6.3f} " for k in SHOWN)
        print(f"{name:22s}{len(of):4d}  {cells}")
    designs = {
        "one": of_designs(rows, lambda r: r.one_overflow, lambda r: r.one_pressure),
        "mean": of_designs(rows, lambda r: r.mean_overflow, lambda r: r.mean_pressure),
    }
    for name, found in designs.items():
        print(f"overflow of a design, {name}: " + ", ".join(f"{k} {v:.4g}" for k, v in found.items()))
    print(f"CPU seconds a run: all {sum(r.seconds for r in rows):.1f}, slowest {max(r.seconds for r in rows):.2f}")
    result = {"bench": "router", "machine": machine(), "runs": args.runs, "seed": args.seed,
              "compiled": is_compiled(), "groups": table, "designs": designs,
              "placements": [asdict(r) for r in rows]}  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(jsonable(result), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
