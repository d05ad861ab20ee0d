"""Cross-validation by family: every placement scored by the model that has not seen its family, beside the baselines.

    gsr bench quality EXPORTS --runs RUNS [--sets labels,labels_hard,labels_flow] [--train CONFIG] [--out FILE]

EXPORTS holds a folder of labelled exports for each set (`gsr bench corpus`), with folds.toml in it or beside it. The
first set is the benchmark; the others are trained on inside the same folds and scored in lines of their own. RUNS holds
a training run for each fold (`0`, `1`, ..); `--train` makes those that are missing or unfinished, and `all`, the refit
on all data that is shipped. The model is scored with the embedded router's maps and with them hidden, beside the maps
themselves. `--quick` takes fold 0 alone.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.contest_scores import Scored, claim, score, summary  # noqa: E402
from bench.machine import machine  # noqa: E402
from circuit_io.fields import GCELL_FEATURES, column  # noqa: E402
from circuit_io.graph import CircuitGraph  # noqa: E402
from circuit_io.transform import without_router  # noqa: E402
from gsr_plugin.baselines import Pair  # noqa: E402
from gsr_plugin.config import load_config  # noqa: E402
from gsr_plugin.dataset import Loader, find_designs, find_folds, read_folds, read_split  # noqa: E402
from gsr_plugin.detour_scores import DetourEvaluation  # noqa: E402
from gsr_plugin.evaluate import Evaluation, evaluate  # noqa: E402
from gsr_plugin.jsonable import jsonable  # noqa: E402
from gsr_plugin.metrics import PlacementScores, summarize  # noqa: E402
from gsr_plugin.predict import predict_views  # noqa: E402
from gsr_plugin.slack_scores import SlackEvaluation  # noqa: E402
from gsr_plugin.train import train  # noqa: E402
from gsr_plugin.weights import load_weights  # noqa: E402

MODEL, HIDDEN, ROUTER = "gsr-gnn", "gsr-gnn, router hidden", "embedded router"
COLUMNS = {
    "Pearson": "pearson", "Spearman": "spearman", "Kendall": "kendall", "R2": "r2", "P@5": "precision_top5",
    "AUC of overflow": "auc_overflow", "3 x 3 Pearson": "block_pearson",
}  # fmt: skip
GROUPS = {"all": "alike", "with overflow": "with_overflow", "without": "without_overflow"}


def is_done(out: Path) -> bool:
    """Whether the run there came to its end."""
    if not (out / "log.jsonl").is_file():
        return False
    last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    return bool(last.get("event") == "end" and last.get("stopped") == "done")


def train_missing(data: list[Path], runs: Path, config: Path, folds: Path, which: list[int | None]) -> None:
    """Train each fold that has no finished run; one that was stopped goes on where it stopped."""
    for fold in which:
        out = runs / ("all" if fold is None else str(fold))
        if is_done(out):
            continue
        resume = (out / "state").is_dir()
        found = train(data, out, config=load_config(config), fold=fold, folds=folds, resume=resume, quiet=False)
        print(f"{out}: {found.steps} steps, {found.seconds:.0f} s", flush=True)


def merge(found: list[Evaluation]) -> Evaluation:
    """One evaluation over all folds."""
    placements: dict[str, list[PlacementScores]] = {}
    for part in found:
        for method, scored in part.placements.items():
            placements.setdefault(method, []).extend(scored)
    of_nets = [p for part in found if part.detour for p in part.detour.placements]
    of_ends = [p for part in found if part.slack for p in part.slack.placements]
    return Evaluation(
        methods={method: summarize(scored) for method, scored in placements.items()},
        placements=placements,
        fold=None,
        num_seen=sum(part.num_seen for part in found),
        weights_sha256=" ".join(part.weights_sha256[:16] for part in found),
        notes=tuple(note for part in found for note in part.notes),
        detour=DetourEvaluation(of_nets) if of_nets else None,
        slack=SlackEvaluation(of_ends) if of_ends else None,
    )


def score_fold(data: Path, run: Path, fold: int, folds: Path, views: int) -> dict[str, list[Scored]]:
    """Scores of the held-out placements of one set, by row; the router's where all of them have its maps."""
    weights, load = load_weights(run), Loader()
    _, held_out = read_split(find_designs([data]), [data], fold=fold, folds=folds)
    rows: dict[str, Callable[[CircuitGraph], Pair]] = {
        MODEL: lambda graph: predict_views(graph, weights, views=views).congestion,
        HIDDEN: lambda graph: predict_views(without_router(graph), weights, views=views).congestion,
        ROUTER: lambda graph: (_feature(graph, "router_h"), _feature(graph, "router_v")),
    }
    if not all(_feature(load(entry).graph, "router_runs").all() for entry in held_out):
        del rows[ROUTER]
    found: dict[str, list[Scored]] = {name: [] for name in rows}
    for entry in held_out:
        sample = load(entry)
        about = {k: getattr(entry, k) for k in ("family", "technology", "design", "variant")}
        for name, guess in rows.items():
            found[name].append(score(sample.graph, sample.labels, guess(sample.graph), about))
    return found


def _feature(graph: CircuitGraph, name: str) -> np.ndarray:
    return graph.gcell_features[:, column(GCELL_FEATURES, name)].reshape(graph.ny, graph.nx)


def table(sets: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The rows of each set as Markdown: plain means over placements, and the AUC of "this design overflows"."""
    head = ["set", "row", "placements", *COLUMNS, "design overflows: AUC"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, rows in sets.items():
        for row, found in rows.items():
            technologies = [k for k, v in found.items() if isinstance(v, dict) and k in found["technologies"]]
            for group, key in (GROUPS | {k: k for k in technologies}).items():
                values = [_shown(found[key][c]) for c in COLUMNS.values()]
                last = _shown(found["design_overflow_auc"]) if key == "alike" else ""
                lines.append(" | ".join([f"| {name} | {row}", group, *values, last]) + " |")
    return "\n".join(lines)


def _shown(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def main(arguments: list[str] | None = None) -> int:
    """Train what is missing, score every fold, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports", type=Path)
    parser.add_argument("--sets", default="labels")
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--train", type=Path, metavar="CONFIG")
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(arguments)
    start = time.perf_counter()
    names = args.sets.split(",")
    data = [args.exports / name for name in names]
    file = find_folds([args.exports, *data])
    folds = [0] if args.quick else sorted(set(read_folds(file).values()))
    if args.train:
        train_missing(data, args.runs, args.train, file, [*folds, *([] if args.quick else [None])])
    found: list[Evaluation] = []
    scored: dict[str, dict[str, list[Scored]]] = {name: {} for name in names}
    for fold in folds:
        run = args.runs / str(fold)
        found.append(evaluate([data[0]], run, fold=fold, folds=file, views=args.views))
        for name, path in zip(names, data, strict=True):
            for row, placements in score_fold(path, run, fold, file, args.views).items():
                scored[name].setdefault(row, []).extend(placements)
        print(f"fold {fold}: {found[-1].methods['gsr-gnn'].headline.pearson:.4f}", flush=True)
    whole = merge(found)
    sets = {
        name: {row: summary(s) | {"technologies": sorted({p.technology for p in s})} for row, s in rows.items()}
        for name, rows in scored.items()
    }
    gain = claim(scored[names[0]][MODEL], scored[names[0]][ROUTER]) if ROUTER in scored[names[0]] else {}
    print(whole.table(), table(sets), json.dumps(gain), sep="\n\n")
    if args.out:
        result = {"bench": "quality", "views": args.views, "machine": machine(), "seconds": time.perf_counter() - start}
        more = {"training": training(args.runs, folds), "sets": sets, "gain_over_router": gain}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result | jsonable(more) | whole.to_json(), indent=1) + "\n")
    return 0


def training(runs: Path, folds: list[int]) -> dict[str, dict[str, float]]:
    """Steps and seconds of each fold's training."""
    last = {fold: json.loads((runs / str(fold) / "log.jsonl").read_text().splitlines()[-1]) for fold in folds}
    return {str(fold): {"steps": line["step"], "seconds": line["seconds"]} for fold, line in last.items()}


if __name__ == "__main__":
    sys.exit(main())
