"""Every labelled placement through export, predict, feedback and report: counts, seconds and scores by design.

    gsr bench designs DATA --runs RUNS --out OUT [--sets labels] [--jobs 2] [--quick]

RUNS holds one training run a fold (`0`, `1`, ..), so that each placement is predicted by a model that has not seen its
family; without it the shipped model predicts. Prints a table, writes OUT/designs.json and OUT/designs.md; exports and
predictions stay in OUT for a look. A placement that fails is reported and makes the exit code 1.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.corpus import label_folders, library_files  # noqa: E402
from bench.machine import machine  # noqa: E402
from circuit_io.errors import GsrError  # noqa: E402
from circuit_io.export import export_design  # noqa: E402
from circuit_io.export_sources import sources_of_labels  # noqa: E402
from circuit_io.store import open_design  # noqa: E402
from flow_hooks.feedback.plan_prediction import plan_prediction  # noqa: E402


@dataclass(frozen=True)
class Row:
    """One placement."""

    set: str
    technology: str
    design: str
    variant: str
    family: str
    insts: int = 0
    nets: int = 0
    gcells: int = 0
    export_s: float = 0.0
    predict_s: float = 0.0
    feedback_s: float = 0.0
    report_s: float = 0.0
    actions: int = 0
    pearson: float = float("nan")
    rudy_pearson: float = float("nan")
    overflow_tracks: float = 0.0
    predicted_overflow_tracks: float = 0.0
    error: str = ""


def pearson(guess: list[np.ndarray], truth: list[np.ndarray]) -> float:
    """Mean over H and V of Pearson's r on unmasked edges; nan where a map is constant."""
    values = []
    for g, t in zip(guess, truth, strict=True):
        seen = np.isfinite(t) & np.isfinite(g)
        if seen.sum() > 2 and g[seen].std() > 0 and t[seen].std() > 0:
            values.append(float(np.corrcoef(g[seen], t[seen])[0, 1]))
    return float(np.mean(values)) if values else float("nan")


def weights_for(family: str, data: Path, runs: Path | None) -> Path | None:
    """The run that held this family out; None is the shipped model."""
    if runs is None:
        return None
    from gsr_plugin.dataset import read_folds

    fold = read_folds(data / "folds.toml").get(family)
    return runs / str(fold) if fold is not None else None


def run_one(folder: Path, data: Path, runs: Path | None, out: Path) -> Row:
    """The whole way for one placement."""
    import torch

    from circuit_io.prediction import read_prediction
    from gsr_plugin.predict import predict
    from gsr_plugin.report import report

    torch.set_num_threads(1)
    which, technology, design, variant = folder.parts[-4:]
    head = {"set": which, "technology": technology, "design": design, "variant": variant}
    home = out / which / technology / design / variant
    try:
        lef, lib = library_files(data, technology)
        sources = sources_of_labels(folder, lef=lef, lib=lib)
        laps = [time.perf_counter()]
        manifest = export_design(sources, home / "export", overwrite=True)
        laps.append(time.perf_counter())
        weights = weights_for(manifest["family"], data, runs)
        predict(home / "export", home / "prediction", weights=weights, overwrite=True)
        laps.append(time.perf_counter())
        plan = plan_prediction(home / "prediction", home / "feedback.tsv", overwrite=True)
        laps.append(time.perf_counter())
        report(home / "prediction", home / "report.html", feedback=home / "feedback.tsv", overwrite=True)
        laps.append(time.perf_counter())
    except (GsrError, ValueError, RuntimeError, KeyError, IndexError) as e:
        return Row(**head, family="", error=f"{type(e).__name__}: {e}")
    maps, metrics = _maps(home)
    counts = manifest["counts"]
    expected = next((v for k, v in metrics.items() if k.endswith("__gsr__overflow__expected")), 0.0)
    truth = [maps["truth_h"], maps["truth_v"]]
    read_prediction(home / "prediction")
    return Row(
        **head,
        family=manifest["family"],
        insts=counts["insts"] + counts["ports"],
        nets=counts["nets"],
        gcells=manifest["grid"]["nx"] * manifest["grid"]["ny"],
        export_s=laps[1] - laps[0],
        predict_s=laps[2] - laps[1],
        feedback_s=laps[3] - laps[2],
        report_s=laps[4] - laps[3],
        actions=len(plan.actions),
        pearson=pearson([maps["congestion_h"], maps["congestion_v"]], truth),
        rudy_pearson=pearson([maps["rudy_h"], maps["rudy_v"]], truth),
        overflow_tracks=float(np.nansum(maps["overflow_h"]) + np.nansum(maps["overflow_v"])),
        predicted_overflow_tracks=float(expected),
    )


def _maps(home: Path) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    from circuit_io.prediction import read_prediction

    prediction = read_prediction(home / "prediction")
    labels = open_design(home / "export", verify=False).labels
    assert labels is not None
    maps = dict(prediction.maps) | {"truth_h": labels.congestion_h, "truth_v": labels.congestion_v}
    maps |= {"overflow_h": labels.overflow_h, "overflow_v": labels.overflow_v}
    return maps, json.loads((home / "prediction" / "metrics.json").read_text())


def by_design(rows: list[Row]) -> list[dict[str, Any]]:
    """Means over the placements of each design."""
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if not row.error:
            groups[row.set, row.technology, row.design].append(row)
    mean = lambda name, of: float(np.nanmean([getattr(r, name) for r in of]))  # noqa: E731
    keys = ("insts", "nets", "gcells", "export_s", "predict_s", "feedback_s", "report_s", "actions", "pearson",
            "rudy_pearson", "overflow_tracks", "predicted_overflow_tracks")  # fmt: skip
    return [
        {"set": s, "technology": t, "design": d, "family": of[0].family, "placements": len(of)}
        | {name: mean(name, of) for name in keys}
        for (s, t, d), of in sorted(groups.items())
    ]


COLUMNS = {
    "set": ("set", "{}"), "technology": ("technology", "{}"), "design": ("design", "{}"),
    "placements": ("placements", "{}"), "insts": ("insts", "{:,.0f}"), "nets": ("nets", "{:,.0f}"),
    "gcells": ("gcells", "{:,.0f}"), "export_s": ("export s", "{:.2f}"), "predict_s": ("predict s", "{:.2f}"),
    "feedback_s": ("feedback s", "{:.2f}"), "report_s": ("report s", "{:.2f}"), "actions": ("actions", "{:.1f}"),
    "pearson": ("Pearson", "{:.3f}"), "rudy_pearson": ("RUDY", "{:.3f}"),
    "overflow_tracks": ("overflow, tracks", "{:,.0f}"), "predicted_overflow_tracks": ("predicted", "{:,.0f}"),
}  # fmt: skip


def markdown(table: list[dict[str, Any]]) -> str:
    """The table of designs as Markdown."""
    head = "| " + " | ".join(title for title, _ in COLUMNS.values()) + " |"
    rule = "|---|---|---|" + "---:|" * (len(COLUMNS) - 3)
    rows = ["| " + " | ".join(form.format(row[name]) for name, (_, form) in COLUMNS.items()) + " |" for row in table]
    return "\n".join([head, rule, *rows]) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run over the whole folder; 1 when a placement failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=ROOT / "demos" / "kit")
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", default="labels")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--quick", action="store_true", help="the first placement of each design")
    args = parser.parse_args(arguments)
    folders = label_folders(args.data, args.sets.split(","))
    if args.quick:
        folders = [f for f in folders if f.name == "v0"]
    rows = []
    start = time.perf_counter()
    with ProcessPoolExecutor(args.jobs) as pool:
        for row in pool.map(run_one, *zip(*((f, args.data, args.runs, args.out) for f in folders), strict=True)):
            rows.append(row)
            name = f"{row.set}/{row.technology}/{row.design}/{row.variant}"
            print(f"{name:48s} {row.pearson:6.3f} (RUDY {row.rudy_pearson:.3f}) {row.error}", flush=True)
    table = by_design(rows)
    failed = [r for r in rows if r.error]
    result = {"bench": "designs", "machine": machine(), "seconds": time.perf_counter() - start, "designs": table,
              "placements": [asdict(r) for r in rows]}  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "designs.json").write_text(json.dumps(result, indent=1) + "\n")
    (args.out / "designs.md").write_text(markdown(table))
    print(f"{len(rows)} placements, {len(failed)} failed, {time.perf_counter() - start:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
