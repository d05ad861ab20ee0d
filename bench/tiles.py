"""What a prediction by tiles differs from the whole one, by the width of the halo, and what it costs.

    gsr bench tiles EXPORT.. [--sides 64] [--halos 1 2 4 8 16 32] [--weights RUN] [--out FILE]

For each export, side and halo: root mean square of the difference in congestion over all edges, as a share of the
standard deviation of the whole prediction; the 99th percentile and the largest difference; the share of the edges above
0.95 in either prediction that are above it in one only; CPU seconds against the whole run; and with labels the Pearson
correlation with them, of both.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.machine import machine  # noqa: E402
from circuit_io.labels import Labels  # noqa: E402
from circuit_io.store import open_design  # noqa: E402
from gsr_plugin.predict import predict_tiles, predict_views  # noqa: E402
from gsr_plugin.shipped import find_weights  # noqa: E402
from gsr_plugin.weights import Predicted, load_weights  # noqa: E402

HOT = 0.95  # as in circuit_io/hotspots.py


def difference(tiled: Predicted, whole: Predicted) -> dict[str, float]:
    """How far the congestion of two predictions of one design is apart; see the module."""
    a, b = (np.concatenate([m[np.isfinite(m)] for m in edges.congestion]) for edges in (tiled, whole))
    apart = np.abs(a - b)
    either = (a > HOT) | (b > HOT)
    return {
        "rms_share": float(np.sqrt(np.mean(np.square(apart, dtype=np.float64))) / b.std()),
        "p99": float(np.percentile(apart, 99)),
        "largest": float(apart.max()),
        "hot_differ": float(((a > HOT) != (b > HOT)).sum() / max(1, either.sum())),
    }


def pearson(edges: Predicted, labels: Labels | None) -> float | None:
    """Mean of H and V on unmasked edges; None without labels."""
    if labels is None:
        return None
    found = []
    for guess, truth in zip(edges.congestion, (labels.congestion_h, labels.congestion_v), strict=True):
        seen = np.isfinite(guess) & np.isfinite(truth)
        found.append(float(np.corrcoef(guess[seen], truth[seen])[0, 1]))
    return float(np.mean(found))


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports", type=Path, nargs="+")
    parser.add_argument("--sides", type=int, nargs="+", default=[64])
    parser.add_argument("--halos", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model, rows = load_weights(find_weights(args.weights), device="cpu"), []
    for export in args.exports:
        design = open_design(export)
        start = time.process_time()
        whole = predict_views(design.graph, model)
        whole_s = time.process_time() - start
        grid = design.manifest["grid"]
        head: dict[str, Any] = {key: design.manifest[key] for key in ("technology", "design", "variant")}
        head |= {"insts": design.graph.num_insts, "nx": grid["nx"], "ny": grid["ny"], "whole_cpu_s": whole_s}
        head["whole_pearson"] = pearson(whole, design.labels)
        print(json.dumps(head), flush=True)
        for side in args.sides:
            for halo in args.halos:
                start = time.process_time()
                tiled = predict_tiles(design.graph, model, side=side, halo=halo)
                row = {"side": side, "halo": halo, **difference(tiled, whole)}
                row |= {"cpu_s": time.process_time() - start, "pearson": pearson(tiled, design.labels)}
                rows.append(head | row)
                print("  " + ", ".join(f"{k} {v:.4g}" for k, v in row.items() if v is not None), flush=True)
        if args.out:  # after each design: the large ones take long
            result = {"bench": "tiles", "machine": machine(), "model": model.sha256, "rows": rows}
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
