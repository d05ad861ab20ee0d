"""Cross-validation by family: every placement scored by the model that has not seen its family, beside the baselines.

    gsr bench quality DATA --runs RUNS [--train CONFIG] [--views N] [--out FILE]

DATA holds exports with labels, with folds.toml in it or beside it. RUNS holds a training run for each fold (`0`, `1`,
..); `--train` makes those that are missing or unfinished, and `all`, the refit on all data that is shipped. `--quick`
takes fold 0 alone. Prints the table and writes it as JSON.
"""

import argparse
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.machine import machine  # noqa: E402
from gsr_plugin.config import load_config  # noqa: E402
from gsr_plugin.dataset import find_folds, read_folds  # noqa: E402
from gsr_plugin.evaluate import Evaluation, evaluate  # noqa: E402
from gsr_plugin.metrics import PlacementScores, summarize  # noqa: E402
from gsr_plugin.train import train  # noqa: E402


def train_missing(data: Path, runs: Path, config: Path, folds: list[int | None]) -> None:
    """Train each fold that has no finished run; one that was stopped goes on where it stopped."""
    for fold in folds:
        out = runs / ("all" if fold is None else str(fold))
        if (out / "log.jsonl").is_file():
            last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
            if last.get("event") == "end" and last.get("stopped") == "done":
                continue
        found = train([data], out, config=load_config(config), fold=fold, resume=(out / "state").is_dir(), quiet=False)
        print(f"{out}: {found.steps} steps, {found.seconds:.0f} s", flush=True)


def merge(found: list[Evaluation]) -> Evaluation:
    """One evaluation over all folds."""
    placements: dict[str, list[PlacementScores]] = {}
    for part in found:
        for method, scored in part.placements.items():
            placements.setdefault(method, []).extend(scored)
    return Evaluation(
        methods={method: summarize(scored) for method, scored in placements.items()},
        placements=placements,
        fold=None,
        num_seen=sum(part.num_seen for part in found),
        weights_sha256=" ".join(part.weights_sha256[:16] for part in found),
        notes=tuple(note for part in found for note in part.notes),
    )


def main(arguments: list[str] | None = None) -> int:
    """Train what is missing, score every fold, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--train", type=Path, metavar="CONFIG")
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(arguments)
    start = time.perf_counter()
    folds = [0] if args.quick else sorted(set(read_folds(find_folds([args.data])).values()))
    if args.train:
        train_missing(args.data, args.runs, args.train, [*folds, *([] if args.quick else [None])])
    found = []
    for fold in folds:
        found.append(evaluate([args.data], args.runs / str(fold), views=args.views))
        print(f"fold {fold}: {found[-1].methods['gsr-gnn'].headline.pearson:.4f}", flush=True)
    whole = merge(found)
    print(whole.table())
    if args.out:
        result = {"bench": "quality", "views": args.views, "machine": machine(), "seconds": time.perf_counter() - start}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result | whole.to_json(), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
