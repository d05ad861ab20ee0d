"""What the router did, beside the prediction: its maps, the scores, and which of its worst nets were named."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64, Int64

from circuit_io.guides import Guides
from circuit_io.hotspots import HotSpot
from circuit_io.maps import Prediction
from circuit_io.spot_nets import largest
from gsr_plugin.document import Block, Cell, Heading, Paragraph, Plot, Table
from gsr_plugin.report_contents import Contents
from gsr_plugin.report_words import number

TOP = 10  # of the router's nets in a hot spot that the recall looks for
SCORES = {
    "pearson": "Pearson",
    "spearman": "Spearman",
    "kendall": "Kendall",
    "r2": "R2",
    "nrmse": "NRMSE (lower is better)",
    "mae": "mean absolute error (lower is better)",
    "ssim": "SSIM",
    "auc_top5": "AUC, hottest 5 %",
    "precision_top5": "precision, hottest 5 %",
    "auc_overflow": "AUC, overflow",
}


@runtime_checkable
class Routed(Protocol):
    """The router's result on the prediction's grid; a `Labels` is one."""

    @property
    def congestion_h(self) -> Float[np.ndarray, "ny nx"]:
        """Congestion of the edges to the right, NaN where masked."""

    @property
    def congestion_v(self) -> Float[np.ndarray, "ny nx"]:
        """Congestion of the edges above, NaN where masked."""


def routed_maps(truth: Routed) -> dict[str, Float[np.ndarray, "ny nx"]]:
    """The router's maps by direction."""
    return {"h": truth.congestion_h, "v": truth.congestion_v}


@dataclass(frozen=True)
class Recall:
    """Of the first `of` nets named in a hot spot, how many are among the `of` with most routed wire there.

    Wire is counted in whole gcells, so nets tie: any of those that tie for the last places may take them.
    """

    hits: int
    of: int


def net_recalls(guides: Guides, spots: Sequence[HotSpot], contents: Sequence[Contents]) -> list[Recall | None]:
    """The recall of the router's worst nets in each hot spot; None where no net was routed through its box."""
    return [
        net_recall(
            guides.wires(s.direction, s.edges).astype(np.float64), np.array([n.net_id for n in inside.nets], int)
        )
        for s, inside in zip(spots, contents, strict=True)
    ]


def net_recall(wires: Float64[np.ndarray, " nets"], named: Int64[np.ndarray, " named"]) -> Recall | None:
    """The recall of the nets with most routed `wires` among those `named`, best first; None where there is no wire."""
    of = len(true := largest(wires, TOP))
    if not of:
        return None
    least, found = wires[true[-1]], wires[named[:of]]
    places = of - int((wires > least).sum())
    return Recall(int((found > least).sum()) + min(places, int((found == least).sum())), of)


def accuracy_section(prediction: Prediction, truth: Routed, recalls: Sequence[Recall | None]) -> list[Block]:
    """Scores of the prediction and of RUDY against the router, and the recall of its nets where guides tell."""
    from gsr_plugin.metrics import (
        Scores,
        score_placement,
    )  # late: most reports have no truth, and do not wait for SciPy

    routed = (truth.congestion_h, truth.congestion_v)
    judged = {
        kind: score_placement(routed, (prediction.maps[f"{kind}_h"], prediction.maps[f"{kind}_v"]))
        for kind in ("congestion", "rudy")
    }
    columns = ["score", "prediction H", "RUDY H", "prediction V", "RUDY V", "prediction, mean", "RUDY, mean"]
    rows: list[list[Cell]] = []
    for name in Scores.names():
        cells = [
            number(getattr(part, name), 3)
            for get in ("h", "v", "mean")
            for part in (getattr(judged["congestion"], get), getattr(judged["rudy"], get))
        ]
        rows.append([SCORES.get(name, name), *cells])
    edges = judged["congestion"]
    text = (
        f"Against the global router's own result on this placement: {edges.num_edges:,} edges, "
        f"{edges.num_overflow:,} of them above full."
    )
    caption = (
        "Every edge of the grid, both directions: the router's congestion across, the estimate's up; what lies beyond "
        "the axes stands at their ends. On the dashed line they agree; the thin lines mark full."
    )
    return [
        Heading("Accuracy", "accuracy"),
        Paragraph(text),
        Table(columns, rows, frozenset(range(1, 7))),
        Plot("accuracy", "Estimates against the router, edge by edge", caption),
        *recall_paragraph(recalls),
    ]


def recall_paragraph(recalls: Sequence[Recall | None]) -> list[Block]:
    """The recall over all hot spots, when guides told it."""
    known = [r for r in recalls if r is not None]
    if not known:
        return []
    hits, of = sum(r.hits for r in known), sum(r.of for r in known)
    return [
        Paragraph(
            f"Nets: of the {TOP} with most routed wire in each of {len(known)} hot spots (by the route guides), "
            f"{100 * hits / of:.0f} % are among the {TOP} that the prediction names first ({hits} of {of})."
        )
    ]
