"""Violations of the detailed route: where they are predicted, and how many the hottest predicted gcells hold."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from circuit_io.drc import DrcCounts, gcell_heat, violation_recall
from circuit_io.drc_risk import LIKELY, find_risks
from circuit_io.hotspots import HotSpot
from circuit_io.maps import VIOLATED, Prediction
from gsr_plugin.document import Block, Cell, Heading, Paragraph, Table
from gsr_plugin.report_words import box_text, number

SHARES = (0.01, 0.05, 0.1, 0.2)  # of the gcells, the hottest first
_SHOWN = 8  # rules
_LIKELIEST = 10  # groups of gcells


def spot_cover(spots: Sequence[HotSpot], shape: tuple[int, int]) -> Bool[np.ndarray, "ny nx"]:
    """The gcells that the edges of hot spots join."""
    inside = np.zeros(shape, bool)
    for spot in spots:
        x0, y0, x1, y1 = spot.edges
        along = (1, 0) if spot.direction == "h" else (0, 1)
        inside[y0 : y1 + 1 + along[1], x0 : x1 + 1 + along[0]] = True
    return inside


def risk_section(prediction: Prediction) -> list[Block]:
    """How many gcells are predicted to keep violations, and where they are likely; nothing without that task."""
    prob = prediction.maps.get(VIOLATED)
    if prob is None:
        return []
    num, risks = prob.sum(dtype=np.float64), find_risks(prediction)
    text = (
        f"Detailed routing is expected to leave DRC violations in {number(num, 1)} of {prob.size:,} gcells "
        f"({100 * num / prob.size:.1f} %), with a chance of {LIKELY:g} and more in {int((prob >= LIKELY).sum()):,}. "
        "After which iteration is what the labels of the weights tell; those of shipped weights: gsr weights show."
    )
    rows: list[list[Cell]] = [
        [box_text(risk.box_um), f"{risk.gcells:,}", number(risk.expected, 1), number(risk.peak)]
        for risk in risks[:_LIKELIEST]
    ]
    columns = ["box (um)", "gcells", "of them expected violated", "highest probability"]
    blocks: list[Block] = [Heading("Likely DRC violations", "drc-risk", 3), Paragraph(text)]
    return [*blocks, Table(columns, rows, frozenset({1, 2, 3}))] if rows else blocks


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
    maps = prediction.maps
    heats = {"prediction": gcell_heat(maps["congestion_h"], maps["congestion_v"]),
             "RUDY": gcell_heat(maps["rudy_h"], maps["rudy_v"])}  # fmt: skip
    if VIOLATED in maps:
        heats = {"predicted violations": maps[VIOLATED], **heats}
    rows: list[list[Cell]] = []
    for share in SHARES:
        found = [violation_recall(violations, heat, share) for heat in heats.values()]
        rows.append([f"{100 * share:g} %", *(f"{100 * value:.0f} %" for value in found)])
    columns = ["hottest gcells", *(f"violations there, {name}" for name in heats)]
    return [*blocks, Paragraph(text), Table(columns, rows, frozenset(range(1, len(columns))))]
