"""The contest for accuracy on unseen families: every method on the same folds, scores and budget.

    gsr bench contest DATA --results DIR [--also MORE ..] [--rows trees,unet,..] [--folds 0,1]
                      [--minutes 4 | --steps N] [--runs RUNS] [--set train.lr=1e-3 ..] [--out FILE]

DATA holds exports with labels and the maps of the embedded router, with folds.toml in it or beside it
(`gsr bench corpus`). A row learns from the families of the other folds, in DATA and in MORE, and predicts the
placements of its fold in DATA; what it predicts is kept in DIR, a folder for each row and fold, so that a run that
stopped goes on and rows can be added. GSR-GNN goes on in the middle of its training. `--minutes` is the processor time
of each network's training on a fold, `--steps` counts updates instead; these, `--seed`, `--set` and the data must stay
the same for a DIR. RUNS holds runs of the shipped recipe, one a fold, of `gsr bench quality`. `--rows` takes names and
patterns ("gsr-*"); without it all are run that can be. `--table` scores what DIR holds, and runs nothing.

Prints the table and, for each claim, the difference with its 95 % interval by bootstrap over families; writes JSON.
`--loto` leaves technologies out instead of folds, with every family that they hold; `--folds` names them then.
`--quick` takes fold 0 and rows that take seconds.
"""

import argparse
import fnmatch
import hashlib
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors.numpy import load_file, save  # noqa: E402

from bench.contest_rows import CLAIMS, Fold, Guess, Row, Task, forget, rows  # noqa: E402
from bench.contest_scores import Scored, claim, claim_table, score, summary, table  # noqa: E402
from bench.contest_trees import TreeTables  # noqa: E402
from bench.machine import machine  # noqa: E402
from circuit_io.atomic import write_whole  # noqa: E402
from circuit_io.errors import InputError, did_you_mean  # noqa: E402
from gsr_plugin.dataset import Entry, Loader, data_hash, find_designs, find_folds, read_folds, split  # noqa: E402
from gsr_plugin.jsonable import jsonable  # noqa: E402

GUESSES, DONE = "guesses.safetensors", "done.json"
QUICK = ("rudy", "router-1", "router-8")
MAPS = ("h", "v", "sigma_h", "sigma_v")


def run_row(row: Row, task: Task, identity: dict[str, Any]) -> dict[str, Any]:
    """Learn and predict, unless that is done; returns what is told of it.

    Raises:
        InputError: the folder holds this row with other data or another budget.
    """
    kept = task.home / DONE
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text())
        if found["identity"] != identity:
            other = sorted(k for k in identity if found["identity"].get(k) != identity[k])
            raise InputError(
                f"was made with another {', '.join(other)}", path=kept, mend="Give that, or another --results."
            )
        return found
    task.home.mkdir(parents=True, exist_ok=True)
    forget(task.home)
    assert row.fit is not None
    wall, start = time.perf_counter(), time.process_time()
    predict = row.fit(task)
    learned = time.process_time()
    arrays: dict[str, np.ndarray] = {}
    for entry in task.held_out:
        guess = predict(task.load(entry).graph, entry)
        for name in MAPS:
            values = getattr(guess, name)
            if values is not None:
                arrays[f"{key_of(entry)}/{name}"] = np.ascontiguousarray(values, np.float32)
    end = time.process_time()
    write_whole(task.home / GUESSES, save(arrays))
    train_s = task.told.pop("train_s", learned - start)
    found = {"row": row.name, "fold": task.fold, "identity": identity, "told": task.told, "train_s": train_s,
             "predict_s": end - learned, "wall_s": time.perf_counter() - wall, "machine": machine()}  # fmt: skip
    write_whole(kept, (json.dumps(found, indent=1) + "\n").encode())
    return found


def key_of(entry: Entry) -> str:
    """A placement in a file of guesses: designs of two families may have one name."""
    return f"{entry.family}/{entry.name}"


def read_guesses(home: Path) -> dict[str, Guess]:
    """What a row predicted on a fold, by `key_of` the placement."""
    by_name: dict[str, dict[str, np.ndarray]] = {}
    for key, values in load_file(home / GUESSES).items():
        name, _, kind = key.rpartition("/")
        by_name.setdefault(name, {})[kind] = values
    return {name: Guess(**maps) for name, maps in by_name.items()}


def mean_of(guesses: list[Guess]) -> Guess:
    """The mean of several rows' maps."""
    return Guess(*(np.mean([getattr(g, d) for g in guesses], axis=0, dtype=np.float32) for d in "hv"))


def guesses_of(row: Row, results: Path, fold: Fold) -> dict[str, Guess] | None:
    """What a row or the mean of its parts predicts on a fold; None when that is not done."""
    names = row.parts or (row.name,)
    homes = [results / name / str(fold) for name in names]
    if not all((home / DONE).is_file() for home in homes):
        return None
    found = [read_guesses(home) for home in homes]
    return found[0] if not row.parts else {name: mean_of([f[name] for f in found]) for name in found[0]}


def score_fold(row: Row, results: Path, fold: Fold, held_out: list[Entry], load: Loader) -> list[Scored]:
    """Scores of a row on a fold; kept beside the predictions they are of."""
    guesses = guesses_of(row, results, fold)
    if guesses is None:
        return []
    parts = [(results / name / str(fold) / GUESSES).read_bytes() for name in row.parts or (row.name,)]
    made_of = hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in parts)).hexdigest()
    kept = results / row.name / str(fold) / "scores.json"
    if kept.is_file() and (found := json.loads(kept.read_text()))["made_of"] == made_of:
        return [
            Scored(**{**s, "values": {k: math.nan if v is None else v for k, v in s["values"].items()}})
            for s in found["scores"]
        ]
    scored = []
    for entry in held_out:
        if key_of(entry) not in guesses:
            raise InputError(
                f"has no {key_of(entry)}", path=results / row.name, mend="Remove it, and run the row again."
            )
        sample, guess = load(entry), guesses[key_of(entry)]
        about = {k: getattr(entry, k) for k in ("family", "technology", "design", "variant")}
        scored.append(score(sample.graph, sample.labels, (guess.h, guess.v), about))
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_whole(kept, json.dumps(jsonable({"made_of": made_of, "scores": scored})).encode())
    return scored


def claims(scored: dict[str, list[Scored]]) -> list[dict[str, Any]]:
    """Every claim whose rows have placements in common."""
    return [{"row": a, "than": b, **claim(scored[a], scored[b])} for a, b in CLAIMS if scored.get(a) and scored.get(b)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--also", type=Path, nargs="+", default=[], help="learned from too, not scored")
    parser.add_argument("--rows", default="*")
    parser.add_argument("--folds", default="")
    parser.add_argument("--loto", action="store_true", help="leave technologies out")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="as gsr train")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    return parser


def chosen(patterns: str) -> list[Row]:
    """The rows whose names match one of the patterns, in the order of the table.

    Raises:
        InputError: a pattern matches none.
    """
    known: dict[str, Row] = rows()
    names: set[str] = set()
    for pattern in patterns.split(","):
        found = {n for n in known if fnmatch.fnmatchcase(n, pattern)}
        if not found:
            raise InputError(f'no row "{pattern}"', path="--rows", mend=did_you_mean(pattern, known))
        names |= found
    return [row for name, row in known.items() if name in names]


class _Contest:
    """What is scored, what is learned from besides, and the folder of results."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.load = args, Loader(4096)
        self.tables = TreeTables(self.load)
        self.roots = [args.data, *args.also]
        self.folds_file = find_folds(self.roots)
        self.by_family = read_folds(self.folds_file)
        self.scored, self.learned = find_designs([args.data]), find_designs(self.roots)
        self.data_sha256 = data_hash(self.learned)
        self.folds: list[Fold]
        if args.loto:
            self.folds = sorted({e.technology for e in self.scored})
        else:
            self.folds = sorted({self.by_family[e.family] for e in self.scored if e.family in self.by_family})
        if args.folds:
            known = {str(f): f for f in self.folds}
            if lost := [f for f in args.folds.split(",") if f not in known]:
                raise InputError(f'no fold "{lost[0]}"', path="--folds", mend=f"There are {', '.join(known)}.")
            self.folds = [known[f] for f in args.folds.split(",")]

    def split(self, entries: list[Entry], fold: Fold) -> tuple[list[Entry], list[Entry]]:
        """What is learned from, and what is held out."""
        if isinstance(fold, str):
            return split(entries, technology_out=fold)
        return split(entries, fold=fold, folds=self.by_family)

    def held_out(self, fold: Fold) -> list[Entry]:
        """The placements that are scored on a fold."""
        return self.split(self.scored, fold)[1]

    def identity(self, row: Row, fold: Fold) -> dict[str, Any]:
        """What must be the same for a result to stand."""
        args = self.args
        found: dict[str, Any] = {"data_sha256": self.data_sha256, "seed": args.seed}
        if row.is_trained:
            found |= {"minutes": 0 if args.steps else args.minutes, "steps": args.steps, "sets": args.set}
        if row.needs_runs:
            weights = (args.runs / str(fold) / "weights.safetensors").read_bytes()
            found["weights"] = hashlib.sha256(weights).hexdigest()
        return found

    def run(self, row: Row, fold: Fold) -> None:
        """Learn, predict and score, as far as that is not done."""
        args = self.args
        task = Task(
            data=self.roots, folds=self.folds_file, fold=fold,
            train_set=self.split(self.learned, fold)[0], held_out=self.held_out(fold),
            load=self.load, tables=self.tables, home=args.results / row.name / str(fold), minutes=args.minutes,
            steps=args.steps, seed=args.seed, runs=args.runs, sets=tuple(args.set),
        )  # fmt: skip
        found = run_row(row, task, self.identity(row, fold))
        mean = np.nanmean([s.values["pearson"] for s in self.scores(row, fold)])
        print(f"fold {fold}  {row.name:20s} Pearson {mean:.4f}  {found['train_s']:.0f} s", flush=True)

    def scores(self, row: Row, fold: Fold) -> list[Scored]:
        """Scores of a row on a fold; none when it is not done."""
        return score_fold(row, self.args.results, fold, self.held_out(fold), self.load)

    def told(self, row: Row, scored: dict[Fold, list[Scored]]) -> dict[str, Any]:
        """What the JSON holds of a row."""
        homes = [[self.args.results / n / str(fold) / DONE for n in row.parts or (row.name,)] for fold in scored]
        kept = [[json.loads(home.read_text()) for home in parts] for parts in homes]
        return {
            "what": row.what,
            "folds": sorted(scored),
            "told": [[part["told"] for part in parts] for parts in kept],
            **{key: sum(part[key] for parts in kept for part in parts) for key in ("train_s", "predict_s")},
            "scores": summary([s for of in scored.values() for s in of]),
        }


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, score what is there."""
    args = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    contest, wanted = _Contest(args), chosen(",".join(QUICK) if args.quick else args.rows)
    folds = contest.folds[:1] if args.quick else contest.folds
    for fold in folds if not args.table else ():
        for row in wanted:
            if row.fit is not None and (args.runs is not None or not row.needs_runs):
                contest.run(row, fold)
    scored, told = {}, {}
    for row in wanted:
        by_fold = {fold: got for fold in folds if (got := contest.scores(row, fold))}
        if by_fold:
            scored[row.name] = [s for got in by_fold.values() for s in got]
            told[row.name] = contest.told(row, by_fold)
    pairs = claims(scored)
    print(table(told))
    print(claim_table(pairs))
    if args.out:
        result = {"bench": "contest", "machine": machine(), "minutes": 0 if args.steps else args.minutes,
                  "steps": args.steps, "seed": args.seed, "sets": [p.name for p in contest.roots],
                  "data_sha256": contest.data_sha256, "rows": told, "claims": pairs}  # fmt: skip
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(jsonable(result), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
