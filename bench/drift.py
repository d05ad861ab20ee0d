"""How often the drift warning speaks: each labelled placement against the range of the others.

    gsr bench drift DATA [--scores FILE] [--out FILE]

DATA holds exports with labels. A placement is compared with the range of all placements of other families (a new design
of known technologies), and with that of all families that its technology does not hold (a new technology; there by its
measures alone, without its name). Prints, by technology, how many would be warned of at several margins; with the
scores of `gsr bench quality` also whether the model, which had not seen their families either, predicts those worse.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.machine import machine  # noqa: E402
from gsr_plugin.dataset import Entry, Loader, find_designs  # noqa: E402
from gsr_plugin.training_range import MARGIN, TrainingRange, Values, measure  # noqa: E402

MARGINS = (0.0, 0.1, MARGIN, 0.5, 1.0)
Placement = tuple[Entry, Values]


def warned(
    placements: list[Placement], key: Callable[[Entry], str], others: Callable[[Entry, str], bool]
) -> tuple[dict[str, dict[str, int]], Counter[str]]:
    """Placements warned of by margin and technology, each value of `key` left out; and by what at `MARGIN`."""
    found = {str(margin): Counter[str]() for margin in MARGINS}
    measures = Counter[str]()
    for left_out in sorted({key(e) for e, _ in placements}):
        known = TrainingRange.over((e.technology, values) for e, values in placements if others(e, left_out))
        for entry, values in placements:
            if key(entry) == left_out:
                for margin in MARGINS:
                    found[str(margin)][entry.technology] += bool(known.outside("", values, margin=margin))
                measures.update(d.name for d in known.outside("", values))
    return {margin: dict(sorted(by.items())) for margin, by in found.items()}, measures


def worse(placements: list[Placement], scores: Path) -> dict[str, dict[str, float]]:
    """How many are warned of when their family is left out, their mean and lowest Pearson; and of the others."""
    rows = json.loads(scores.read_text())["placements"]["gsr-gnn"]
    pearson = {(r["technology"], r["design"], r["variant"]): r["mean"]["pearson"] for r in rows}
    groups: dict[str, list[float]] = {"warned": [], "not warned": []}
    for family in sorted({e.family for e, _ in placements}):
        known = TrainingRange.over((e.technology, values) for e, values in placements if e.family != family)
        for entry, values in placements:
            if entry.family == family:
                group = "warned" if known.outside(entry.technology, values) else "not warned"
                groups[group].append(pearson[(entry.technology, entry.design, entry.variant)])
    return {
        name: {"placements": len(found), "pearson": fmean(found), "lowest": min(found)}
        for name, found in groups.items()
        if found
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure all placements, leave families and technologies out, print and write the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(arguments)
    load, start = Loader(1), time.perf_counter()
    placements = []
    for entry in find_designs([args.data]):
        sample = load(entry)
        placements.append((entry, measure(sample.graph, sample.manifest)))
    holds: dict[str, set[str]] = {}
    for entry, _ in placements:
        holds.setdefault(entry.technology, set()).add(entry.family)
    by_family, by_measure = warned(placements, lambda e: e.family, lambda e, out: e.family != out)
    by_technology, _ = warned(placements, lambda e: e.technology, lambda e, out: e.family not in holds[out])
    result: dict[str, Any] = {
        "bench": "drift",
        "machine": machine(),
        "seconds": time.perf_counter() - start,
        "placements": dict(sorted(Counter(e.technology for e, _ in placements).items())),
        "families": {t: len(f) for t, f in sorted(holds.items())},
        "family_left_out": by_family,
        "technology_left_out": by_technology,
        "measures": dict(by_measure.most_common()),
    }
    for what in ("family_left_out", "technology_left_out"):
        print(f"| {what.replace('_', ' ')}, margin | " + " | ".join(result["placements"]) + " |")
        print("| --- " * (len(result["placements"]) + 1) + "|")
        for margin, by in result[what].items():
            cells = [f"{by[t]} of {n}" for t, n in result["placements"].items()]
            print(f"| {margin} | " + " | ".join(cells) + " |")
    if args.scores:
        result["scores"] = worse(placements, args.scores)
        for name, row in result["scores"].items():
            print(f"{name}: {row['placements']} placements, Pearson {row['pearson']:.3f}, lowest {row['lowest']:.3f}")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
