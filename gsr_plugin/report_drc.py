"""Violations of the detailed route, beside the prediction: how many of them its hottest gcells hold."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64

from circuit_io.drc import DrcCounts
from circuit_io.hotspots import HotSpot
from circuit_io.maps import Prediction
from gsr_plugin.document import Block, Cell, Heading, Paragraph, Table

SHARES = (0.01, 0.05, 0.1, 0.2)  # of the gcells, the hottest first
_SHOWN = 8  # rules


def violation_recall(violations: Int64[np.ndarray, "ny nx"], heat: Float[np.ndarray, "ny nx"], share: float) -> float:
    """The share of the violations in the hottest `share` of the gcells; of gcells that tie, the mean.

    Args:
        violations: of every gcell; one at least.
        heat: of every gcell, nan counting as the coldest.
        share: of the gcells.
    """
    values = np.where(np.isfinite(heat), heat, -np.inf).ravel()
    places, weight = share * values.size, violations.ravel().astype(np.float64)
    least = np.sort(values)[::-1][min(int(np.ceil(places)), values.size) - 1]
    above, equal = values > least, values == least
    part = (places - above.sum()) / equal.sum()
    return float((weight[above].sum() + part * weight[equal].sum()) / weight.sum())


def gcell_heat(prediction: Prediction, kind: str) -> Float[np.ndarray, "ny nx"]:
    """The worst of the edges that a gcell has, in either direction."""
    heat = np.full(prediction.shape, -np.inf)
    for direction, axis in (("h", 1), ("v", 0)):
        edges = np.where(np.isfinite(found := prediction.maps[f"{kind}_{direction}"]), found, -np.inf)
        before = np.roll(edges, 1, axis)
        before[(slice(None), 0) if axis else (0, slice(None))] = -np.inf
        heat = np.maximum(heat, np.maximum(edges, before))
    return heat


def spot_cover(spots: Sequence[HotSpot], shape: tuple[int, int]) -> Bool[np.ndarray, "ny nx"]:
    """The gcells that the edges of hot spots join."""
    inside = np.zeros(shape, bool)
    for spot in spots:
        x0, y0, x1, y1 = spot.edges
        along = (1, 0) if spot.direction == "h" else (0, 1)
        inside[y0 : y1 + 1 + along[1], x0 : x1 + 1 + along[0]] = True
    return inside


def drc_section(prediction: Prediction, counts: DrcCounts, spots: Sequence[HotSpot]) -> list[Block]:
    """How many violations there are, by rule, and how many lie where it was predicted to be hot."""
    ny, nx = prediction.shape
    violations = counts.total(ny=ny, nx=nx)
    total = int(violations.sum())
    blocks: list[Block] = [Heading("Detailed route", "drc")]
    if not total:
        return [*blocks, Paragraph("The detailed route has no DRC violations.")]
    kinds = list(counts.by_kind().items())
    shown = ", ".join(f"{name} {number:,}" for name, number in kinds[:_SHOWN])
    more = ", ..." if len(kinds) > _SHOWN else ""
    inside = spot_cover(spots, prediction.shape)
    text = (
        f"The detailed route has {total:,} DRC violations in {int((violations > 0).sum()):,} gcells: {shown}{more}. "
        f"{100 * violations[inside].sum() / total:.0f} % of them lie in the boxes of the hot spots, which cover "
        f"{100 * inside.mean():.1f} % of the gcells."
    )
    rows: list[list[Cell]] = []
    for share in SHARES:
        found = [violation_recall(violations, gcell_heat(prediction, kind), share) for kind in ("congestion", "rudy")]
        rows.append([f"{100 * share:g} %", *(f"{100 * value:.0f} %" for value in found)])
    columns = ["hottest gcells", "violations there, prediction", "violations there, RUDY"]
    return [*blocks, Paragraph(text), Table(columns, rows, frozenset((1, 2)))]
