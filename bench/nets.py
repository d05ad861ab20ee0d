"""Of the ten nets with most routed wire in a box of gcells, how many are among the ten that are named first.

    gsr bench nets DATA/designs/nangate45/ibex .. [--boxes 100] [--out FILE]

Each folder holds the `design.def.gz` of a finished design; DATA/pdk holds its LEF. The placement is that DEF's, and so
are the routed wires. Boxes of 4, 8 and 16 gcells a side lie at random places off the rim, every other one for the
horizontal wires; one that fewer than ten nets are routed through is left out. Nets are named by the expected wire of
their Steiner trees (circuit_io/spot_nets.py) and of RUDY; "any" is the chance of ten nets whose boxes meet it.
"""

import argparse
import gzip
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.corpus import library_files  # noqa: E402
from bench.machine import machine  # noqa: E402
from circuit_io.export import export_design  # noqa: E402
from circuit_io.export_sources import ExportSources  # noqa: E402
from circuit_io.guides import Guides  # noqa: E402
from circuit_io.hotspots import HotSpot  # noqa: E402
from circuit_io.maps import Prediction  # noqa: E402
from circuit_io.spot_nets import largest, spot_wires  # noqa: E402
from circuit_io.store import StoredDesign, open_design  # noqa: E402
from gsr_plugin.report_truth import TOP, net_recall  # noqa: E402

SIDES = (4, 8, 16)
_POINT = re.compile(r"\(\s*(\*|-?\d+)\s+(\*|-?\d+)(?:\s+\d+)?\s*\)")  # not the four numbers of a RECT


def wire_ends(text: str, names: list[str]) -> Iterator[tuple[int, int, int, int, int]]:
    """Net and two ends (dbu) of every routed wire in the NETS of a DEF."""
    row = {name: i for i, name in enumerate(names)}
    for net in re.split(r"\n\s*- ", text[text.index("\nNETS ") : text.index("\nEND NETS")])[1:]:
        name, wiring = row[net.split(None, 1)[0]], net.partition("+ ROUTED ")[2]
        for path in re.split(r"\sNEW\s", wiring.partition(";")[0]):
            last: tuple[int, int] | None = None
            for x, y in _POINT.findall(path):
                at = (last[0] if last and x == "*" else int(x), last[1] if last and y == "*" else int(y))
                if last and last != at:
                    yield name, *np.minimum(last, at).tolist(), *np.maximum(last, at).tolist()
                last = at


def routed(design: StoredDesign, def_: Path) -> Guides:
    """The wires of a DEF in gcells; those of one direction count as on one layer."""
    ends = np.array(list(wire_ends(gzip.decompress(def_.read_bytes()).decode(), design.nets["name"].to_pylist())))
    box = np.empty((len(ends), 4), np.int64)
    for axis, name in enumerate(("x_um", "y_um")):
        borders = np.asarray(design.manifest["grid"][name]) * design.manifest["dbu_per_um"]
        for k in (axis, axis + 2):
            box[:, k] = np.clip(np.searchsorted(borders, ends[:, 1 + k], "right") - 1, 0, len(borders) - 2)
    return Guides(design.graph.num_nets, ("h", "v"), ends[:, 0], box, (ends[:, 1] == ends[:, 3]).astype(np.int64))


def rudy_wires(net_box: np.ndarray, direction: str, edges: tuple[int, int, int, int]) -> np.ndarray:
    """Expected wires of every net over the edges of a box: one straight wire, anywhere in the net's own box."""
    box, step = net_box.astype(np.int64), np.array([1, 0] if direction == "h" else [0, 1])
    meets = np.minimum(box[:, 2:] - step, edges[2:]) - np.maximum(box[:, :2], edges[:2]) + 1
    lines = (box[:, 2:] - box[:, :2] + 1)[:, int(direction == "h")]
    wires: np.ndarray = np.maximum(meets, 0).prod(1) / np.maximum(lines, 1)
    return wires


def recalls(design: StoredDesign, wires: Guides, side: int, boxes: int) -> dict[str, Any]:
    """The three recalls over the boxes of one side."""
    grid, rng = design.manifest["grid"], np.random.default_rng(0)
    flat, spots = Prediction({}, np.asarray(grid["x_um"]), np.asarray(grid["y_um"]), {}), []
    for k in range(boxes):
        x, y = (int(rng.integers(n // 8, n - n // 8 - side)) for n in (grid["nx"], grid["ny"]))
        edges = (x, y, x + side - 1, y + side - 1)
        spots.append(HotSpot(k, "hv"[k % 2], edges, (0.0,) * 4, *(0.0,) * 7, 0, 0.0, is_hot=True))
    found: list[tuple[int, int, float]] = []
    for spot, trees in zip(spots, spot_wires(flat, design.graph, spots), strict=True):
        true = wires.wires(spot.direction, spot.edges).astype(np.float64)
        rudy = rudy_wires(design.graph.net_box, spot.direction, spot.edges)
        by_trees, by_rudy = (net_recall(true, largest(guess, TOP)) for guess in (trees, rudy))
        if by_trees and by_rudy and by_trees.of == TOP:
            found.append((by_trees.hits, by_rudy.hits, TOP * TOP / max(TOP, (rudy > 0).sum())))
    means = np.mean(found, axis=0) / TOP
    return {"side": side, "boxes": len(found), **dict(zip(("trees", "rudy", "any"), means.tolist(), strict=True))}


def main(arguments: list[str] | None = None) -> int:
    """Print a row for each design and side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--boxes", type=int, default=100)
    parser.add_argument("--out", type=Path)
    args, rows = parser.parse_args(arguments), []
    for folder in args.folders:
        tech, def_ = folder.resolve().parent.name, folder / "design.def.gz"
        lef = library_files(folder.resolve().parents[2], tech)[0]
        with tempfile.TemporaryDirectory() as home:
            export_design(ExportSources(lef, def_), Path(home) / "export")
            design = open_design(Path(home) / "export")
            wires = routed(design, def_)
            for side in SIDES:
                head = {"technology": tech, "design": folder.name, "nx": design.graph.nx, "ny": design.graph.ny}
                rows.append({**head, **recalls(design, wires, side, args.boxes)})
                print(json.dumps(rows[-1]), flush=True)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({"bench": "nets", "machine": machine(), "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
