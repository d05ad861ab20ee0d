"""Gcells with violations after detailed route: heads of a cross-validation's runs, beside trees and plain measures.

    gsr bench drc batch DATA --out batch.toml                         # then gsr label batch.toml --out LABELS
    gsr bench drc score LABELS --runs RUNS --folds folds.toml --work WORK [--out FILE]

`batch` writes a batch file for the placements of small designs in `bench/drc.txt`, with the layers and adjustments
there; DATA holds `pdk/<tech>/` and the sets of labels. `score` gives the run of every fold in RUNS (`gsr bench
quality`) a head for the task `drc`, trained on the placements of the other folds alone (WORK holds these runs; one that
is whole stays), and scores it on families that neither has seen. Differences have a 95 % interval by bootstrap over
families.
"""

import argparse
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.contest_scores import paired  # noqa: E402
from bench.machine import machine  # noqa: E402
from bench.quality import is_done  # noqa: E402
from circuit_io.atomic import write_whole  # noqa: E402
from circuit_io.data_folder import library_files  # noqa: E402
from circuit_io.errors import InputError  # noqa: E402
from circuit_io.graph import CircuitGraph  # noqa: E402
from circuit_io.labels import find, read_parameters  # noqa: E402
from gsr_plugin.config import load_config  # noqa: E402
from gsr_plugin.dataset import Loader, find_designs, read_folds  # noqa: E402
from gsr_plugin.drc_scores import MODEL, DrcEvaluation, DrcScores, PlacementDrc  # noqa: E402
from gsr_plugin.evaluate import evaluate  # noqa: E402
from gsr_plugin.jsonable import jsonable  # noqa: E402
from gsr_plugin.train import ADDED, train  # noqa: E402

PLACEMENTS = ROOT / "bench" / "drc.txt"
ITERATIONS = 2
TREES = "boosted trees on the same labels"


def write_batch(data: Path, out: Path) -> int:
    """Write the batch file; the number of its jobs.

    Raises:
        InputError: DATA lacks a placement.
    """
    technologies: dict[str, str] = {}
    designs = []
    for line in PLACEMENTS.read_text("utf-8").split("\n"):
        if not line or line.startswith("#"):
            continue
        place, layers, adjustment = line.split()
        labels = data / place
        if not labels.is_dir():
            raise InputError("is no folder", path=labels, mend="DATA is the folder of the shared designs.")
        name, tech, design, variant = labels.parts[-4:]
        lef, lib = library_files(data, tech)
        technologies[tech] = f"[technology.{tech}]\nlef = {_texts(lef)}\nlib = {_texts(lib)}\n"
        title = f"{name.removeprefix('labels')}_{design}_{variant}_{layers}".strip("_").replace("-", "_")
        family = str(read_parameters(labels).get("family") or design)
        designs.append(
            f'[design.{title}]\ntechnology = "{tech}"\nfamily = "{family}"\ndef = {_text(find(labels, "placed.def"))}\n'
            f'signal_layers = "{layers}"\nlayer_adjustment = {adjustment}\n'
        )
    head = 'schema = "gsr-batch"\nschema_version = 1\n\n[limits]\ntime_s = 900\nmemory_mb = 9000\n'
    tables = [f"{text}detailed_iterations = {ITERATIONS}\n" for _, text in sorted(technologies.items())]
    write_whole(out, "\n".join([head, *tables, *designs]).encode())
    return len(designs)


def _text(path: Path) -> str:
    return json.dumps(str(path.resolve()), ensure_ascii=False)


def _texts(paths: list[Path]) -> str:
    return f"[{', '.join(_text(p) for p in paths)}]"


def score(labels: Path, runs: Path, folds: Path, work: Path) -> DrcEvaluation:
    """Scores of every placement by the head that has seen neither its family's congestion nor its violations."""
    of_family = read_folds(folds)
    found: list[PlacementDrc] = []
    for fold in sorted({of_family[e.family] for e in find_designs([labels])}):
        base, out = runs / str(fold), work / str(fold)
        if not is_done(out):
            settings, resume = load_config(ADDED, ["train.threads=1"], env={}), (out / "state").is_dir()
            made = train([labels], out, config=settings, base=base, add=["drc"], fold=fold, folds=folds, resume=resume)
            print(f"fold {fold}: {made.steps} steps on {made.num_train} placements, {made.seconds:.0f} s", flush=True)
        scores = evaluate([labels], out, fold=fold, folds=folds).drc
        found += scores.placements if scores else []
    return DrcEvaluation(found)


def windows(graph: CircuitGraph) -> np.ndarray:
    """Features of gcells for trees: each as it is, its means over 3 x 3 and 7 x 7, and over the design."""
    grids = graph.gcell_features.reshape(graph.ny, graph.nx, -1).astype(np.float32)
    means = [ndimage.uniform_filter(grids, (size, size, 0), mode="nearest") for size in (3, 7)]
    flat = np.broadcast_to(grids.mean(axis=(0, 1)), grids.shape)
    return np.concatenate([grids, *means, flat], axis=2).reshape(graph.ny * graph.nx, -1)


def with_trees(found: DrcEvaluation, labels: Path, folds: Path) -> DrcEvaluation:
    """The same with boosted trees beside, on the features of gcells, trained on the labels of the other folds."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    of_family, load, tables = read_folds(folds), Loader(), {}
    for e in find_designs([labels]):
        sample = load(e)
        if sample.drc is not None:
            tables[e] = (windows(sample.graph), sample.drc)
    rows, out = iter(found.placements), []
    for fold in sorted({of_family[e.family] for e in tables}):
        known = [table for e, table in tables.items() if of_family[e.family] != fold]
        weight = np.concatenate([np.full(drc.size, 1 / drc.size) for _, drc in known])
        trees = HistGradientBoostingClassifier(
            max_iter=150, max_leaf_nodes=31, min_samples_leaf=40, early_stopping=False, random_state=0
        )
        hit = np.concatenate([(drc > 0).ravel() for _, drc in known])
        trees.fit(np.concatenate([x for x, _ in known]), hit, sample_weight=weight / weight.mean())
        for e, (x, drc) in tables.items():
            if of_family[e.family] != fold:
                continue
            p, prob = next(rows), trees.predict_proba(x)[:, 1].reshape(drc.shape)
            assert (p.design, p.violations) == (e.design, drc.sum())
            methods = {**p.methods, TREES: DrcScores.of(drc, prob)}
            out.append(replace(p, methods=methods, expected={**p.expected, TREES: float(prob.mean())}))
    return DrcEvaluation(out)


def gains(found: DrcEvaluation) -> dict[str, dict[str, dict[str, float]]]:
    """Of the model over each other method, by score: means over families, and the interval of their bootstrap."""
    families = {p.family for p in found.placements}
    by_family = {f: DrcEvaluation([p for p in found.placements if p.family == f]).means() for f in sorted(families)}

    def of(method: str, name: str) -> dict[str, float]:
        values = {f: float(getattr(means[method], name)) for f, means in by_family.items()}
        return {f: value for f, value in values.items() if math.isfinite(value)}

    others = [method for method in found.placements[0].methods if method != MODEL]
    return {
        method: {name: paired(of(MODEL, name), of(method, name)) for name in DrcScores.names()} for method in others
    }


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="gsr bench drc", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    batch = actions.add_parser("batch", help="write the batch file for gsr label")
    batch.add_argument("data", type=Path)
    batch.add_argument("--out", type=Path, required=True)
    scored = actions.add_parser("score", help="train the heads, and score them")
    scored.add_argument("labels", type=Path)
    scored.add_argument("--runs", type=Path, required=True, help="runs 0, 1, .. of a cross-validation")
    scored.add_argument("--folds", type=Path, required=True)
    scored.add_argument("--work", type=Path, required=True, help="folder of the runs with heads")
    scored.add_argument("--out", type=Path, help="JSON to write")
    options = parser.parse_args(argv)
    if options.action == "batch":
        print(
            f"{options.out}: {write_batch(options.data, options.out)} jobs; next: gsr label {options.out} --out LABELS"
        )
        return 0
    found = with_trees(score(options.labels, options.runs, options.folds, options.work), options.labels, options.folds)
    gained = gains(found)
    print(found.table())
    for other, scores in gained.items():
        told = ", ".join(f"{n} {g['gain']:+.3f} ({g['low']:+.3f} to {g['high']:+.3f})" for n, g in scores.items())
        print(f"over {other}, {next(iter(scores.values()))['families']} families: {told}")
    if options.out:
        whole = {"bench": "drc", "machine": machine(), "iterations": ITERATIONS, "settings": ADDED.read_text("utf-8"),
                 **found.to_json(), "gains": gained}  # fmt: skip
        write_whole(options.out, (json.dumps(jsonable(whole), indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
