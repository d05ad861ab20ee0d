"""Whether sigma holds on unseen families: coverage and width of intervals, and the error of what is kept by certainty.

    gsr bench uncertainty DATA --results DIR [--rows recipe,router-8,trees] [--folds 0,1] [--out FILE]

DIR is a folder of `gsr bench contest DATA`: what rows predicted for the families that they had not seen. Intervals are
mean +- reach x sigma, from 0 up; the reach that covers 90 % of the calibration families' edges (each family with the
same weight) is taken from the other folds: those families are none of the tested fold, and their errors are of models
that had not seen them either. Sigma is the row's own, or a constant ("constant": plain conformal intervals), or what
fits the calibration families' errors best as a sum of a constant, the mean and the row's spread with weights from 0
("fitted").
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from scipy.optimize import nnls  # noqa: E402

from bench.contest import guesses_of, key_of  # noqa: E402
from bench.contest_rows import rows  # noqa: E402
from bench.contest_scores import paired  # noqa: E402
from bench.machine import machine  # noqa: E402
from circuit_io.errors import InputError  # noqa: E402
from circuit_io.fields import GCELL_FEATURES, TRACKS_PER_UNIT, column  # noqa: E402
from circuit_io.prediction_metrics import expected_excess  # noqa: E402
from gsr_plugin.calibration import LEVEL, Errors, coverage, deviations, quantile  # noqa: E402
from gsr_plugin.dataset import Entry, Loader, find_designs, find_folds, read_folds  # noqa: E402
from gsr_plugin.edge_weights import edge_weights  # noqa: E402
from gsr_plugin.jsonable import jsonable  # noqa: E402

LEVELS = (0.5, 0.68, 0.8, 0.95)  # besides, by the reach of 0.9 and the normal distribution
KEPT = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
HOT = 0.9  # predicted congestion from which an edge is looked at apart


@dataclass(frozen=True)
class Edges:
    """The unmasked edges of one placement, H and V: truth, mean, the row's own sigma (0 where it has none), tracks."""

    fold: int
    family: str
    design: tuple[str, str, str]
    truth: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    tracks: np.ndarray

    def errors(self, sigma: np.ndarray, keep: np.ndarray | None = None) -> Errors:
        """Errors over `sigma`, of all edges or of some."""
        ratio = np.abs(self.truth - self.mean) / np.maximum(sigma, 1e-6)
        return Errors(self.family, self.design, ratio if keep is None else ratio[keep])


Sigma = Callable[[Edges], np.ndarray]


def read_edges(name: str, results: Path, entries: list[Entry], by_family: dict[str, int], load: Loader) -> list[Edges]:
    """What a row predicted, fold by fold.

    Raises:
        InputError: a fold of it is missing.
    """
    found = []
    for fold in sorted({by_family[e.family] for e in entries}):
        guesses = guesses_of(rows()[name], results, fold)
        if guesses is None:
            raise InputError(f'has no fold {fold} of "{name}"', path=results, mend="Run gsr bench contest first.")
        for entry in (e for e in entries if by_family[e.family] == fold):
            sample, guess = load(entry), guesses[key_of(entry)]
            parts: list[list[np.ndarray]] = [[], [], [], []]
            for d in "hv":
                truth = getattr(sample.labels, f"congestion_{d}")
                seen = np.isfinite(truth)
                sigma = getattr(guess, f"sigma_{d}")
                tracks = sample.graph.gcell_features[:, column(GCELL_FEATURES, f"capacity_{d}")].reshape(truth.shape)
                maps = (truth, getattr(guess, d), np.zeros_like(truth) if sigma is None else sigma, tracks)
                for part, values in zip(parts, maps, strict=True):
                    part.append(values[seen].astype(np.float64))
            found.append(Edges(fold, entry.family, entry.design_key, *(np.concatenate(p) for p in parts)))
    return found


def own(_: Sequence[Edges]) -> Sigma:
    """The row's own sigma."""
    return lambda e: e.spread


def constant(_: Sequence[Edges]) -> Sigma:
    """The same everywhere."""
    return lambda e: np.ones_like(e.mean)


def fitted(known: Sequence[Edges]) -> Sigma:
    """What fits the errors best as a constant and shares of mean and spread, none negative."""
    terms = lambda e: np.stack([np.ones_like(e.mean), e.mean, e.spread], axis=1)  # noqa: E731
    weight = np.sqrt(edge_weights([e.errors(np.ones_like(e.mean)) for e in known]))
    size = np.concatenate([np.abs(e.truth - e.mean) for e in known])
    shares, _ = nnls(np.concatenate([terms(e) for e in known]) * weight[:, None], size * weight)
    return lambda e: terms(e) @ shares


KINDS = {"own": own, "constant": constant, "fitted": fitted}


def intervals(edges: Sequence[Edges], make: Callable[[Sequence[Edges]], Sigma]) -> dict[str, Any]:
    """Coverage and width on each fold by the reach of the others."""
    held: dict[float, dict[str, float]] = {level: {} for level in (LEVEL, *LEVELS)}
    width: dict[str, float] = {}
    hot: dict[str, float] = {}
    reaches = {}
    for fold in sorted({e.fold for e in edges}):
        known, tested = [e for e in edges if e.fold != fold], [e for e in edges if e.fold == fold]
        sigma = make(known)
        reach = quantile([e.errors(sigma(e)) for e in known])
        reaches[fold] = reach
        errors = [e.errors(sigma(e)) for e in tested]
        for level, found in held.items():
            found |= coverage(errors, reach * deviations(level) / deviations(LEVEL))
        above = [e.errors(sigma(e), e.mean > HOT) for e in tested if (e.mean > HOT).sum() >= 10]
        hot |= coverage(above, reach)
        width |= _by_family(tested, lambda e, s=sigma, r=reach: _width(e, r * s(e)))  # type: ignore[misc]
    values = np.asarray(list(held[LEVEL].values()))
    return {
        "coverage": float(values.mean()),
        "least": float(values.min()),
        "most": float(values.max()),
        "deviation": float(values.std(ddof=1)),
        "families_85_95": int(((values >= 0.85) & (values <= 0.95)).sum()),
        "num_families": len(values),
        "width": float(np.mean(list(width.values()))),
        "coverage_at": {str(level): float(np.mean(list(held[level].values()))) for level in LEVELS},
        "hot_coverage": float(np.mean(list(hot.values()))) if hot else None,
        "hot_families": len(hot),
        "reach": reaches,
        "coverage_by_family": held[LEVEL],
        "width_by_family": width,
    }


def _width(e: Edges, half: np.ndarray) -> float:
    return float((e.mean + half - np.maximum(e.mean - half, 0)).mean())


def _by_family(edges: Sequence[Edges], value: Callable[[Edges], float]) -> dict[str, float]:
    """Mean over the placements of a design, then over the designs of a family."""
    found: dict[str, dict[tuple[str, str, str], list[float]]] = {}
    for e in edges:
        found.setdefault(e.family, {}).setdefault(e.design, []).append(value(e))
    return {f: float(np.mean([np.mean(v) for v in of.values()])) for f, of in found.items()}


def risk(edges: Sequence[Edges], sigma: Sigma) -> dict[str, Any]:
    """Mean |error| of the edges kept, the most certain of each placement first, mean over families.

    `gain` is 0 for certainty drawn by lot and 1 for the one that knows the errors, over the areas below the curves.
    """
    curves = {}
    for name, key in (("kept", lambda e: sigma(e)), ("best", lambda e: np.abs(e.truth - e.mean))):
        curves[name] = [float(np.mean(list(_by_family(edges, lambda e, s=s, k=key: _kept(e, k(e), s)).values())))
                        for s in KEPT]  # fmt: skip
    whole = curves["kept"][-1]
    area = {name: float(np.mean(curve)) for name, curve in curves.items()}
    return {"share": KEPT, **curves, "gain": (whole - area["kept"]) / (whole - area["best"])}


def _kept(e: Edges, key: np.ndarray, share: float) -> float:
    num = max(1, round(share * len(key)))
    return float(np.abs(e.truth - e.mean)[np.argsort(key, kind="stable")[:num]].mean())


def expected_overflow(edges: Sequence[Edges], scale: float) -> float:
    """Tracks above capacity that mean and `scale` x sigma expect, all placements together."""
    return sum(_tracks(e, expected_excess(e.mean, scale * e.spread if scale else None)) for e in edges)


def judged(name: str, edges: Sequence[Edges]) -> dict[str, dict[str, Any]]:
    """A row with each kind of sigma that it can have."""
    found, has_sigma = {}, all((e.spread > 0).all() for e in edges)  # the router's is 0 where its runs agree
    for kind, make in KINDS.items():
        if kind == "own" and not has_sigma:
            continue
        found[f"{name}, {kind}"] = got = intervals(edges, make)
        if kind != "constant":
            got["risk"] = risk(edges, make(edges))
        if kind == "own":
            scale = quantile([e.errors(e.spread) for e in edges]) / deviations()
            got["sigma_scale"] = scale
            got["overflow_tracks"] = sum(_tracks(e, np.maximum(e.truth - 1, 0)) for e in edges)
            got["expected_tracks"] = {str(s): expected_overflow(edges, s) for s in (0.0, 1.0, scale)}
    return found


def _tracks(e: Edges, excess: np.ndarray) -> float:
    return float((excess * e.tracks).sum() * TRACKS_PER_UNIT)


def _line(name: str, got: dict[str, Any]) -> str:
    hot = "-" if got["hot_coverage"] is None else f"{got['hot_coverage']:.3f}"
    gain = f"{got['risk']['gain']:.2f}" if "risk" in got else "-"
    within = f"{got['families_85_95']} of {got['num_families']}"
    spread = f"{got['least']:.3f} to {got['most']:.3f}"
    return f"| {name} | {got['coverage']:.3f} | {spread} | {within} | {got['width']:.3f} | {hot} | {gain} |"


def main(arguments: list[str] | None = None) -> int:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--rows", default="recipe,router-8,trees")
    parser.add_argument("--folds", default="", help="of all that there are")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(arguments)
    entries, load = find_designs([args.data]), Loader(4096)
    by_family = read_folds(find_folds([args.data]))
    if args.folds:
        entries = [e for e in entries if str(by_family[e.family]) in args.folds.split(",")]
    folds = sorted({by_family[e.family] for e in entries})
    if len(folds) < 2:
        raise InputError(f"{len(folds)} folds", path="--folds", mend="Give two: one is tested by what the other tells.")
    found: dict[str, dict[str, Any]] = {}
    heads = [
        "row, sigma",
        "coverage",
        "least to most",
        "families in 85-95 %",
        "width",
        "above 0.9",
        "gain by certainty",
    ]
    print(f"| {' | '.join(heads)} |")
    print("|---" * len(heads) + "|")
    for row in args.rows.split(","):
        got = judged(row, read_edges(row, args.results, entries, by_family, load))
        found |= got
        print("\n".join(_line(name, one) for name, one in got.items()), flush=True)
    first = next(iter(found))
    wider = {name: paired(one["width_by_family"], found[first]["width_by_family"]) for name, one in found.items()}
    for name, gap in wider.items():
        print(f"width of {name} less that of {first}: {gap['gain']:+.4f} ({gap['low']:+.4f} to {gap['high']:+.4f})")
    if args.out:
        result = {
            "bench": "uncertainty",
            "level": LEVEL,
            "machine": machine(),
            "rows": found,
            "wider_than_first": wider,
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(jsonable(result), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
