"""Actions that name insts: which of them, hottest first."""

import numpy as np
from jaxtyping import Bool, Float64

from circuit_io.maps import FULL, PlacedDesign, Prediction
from flow_hooks.feedback.actions import Action
from flow_hooks.feedback.area import movable_insts, site_um
from flow_hooks.feedback.config import FeedbackConfig

NEEDS_TABLES = "the export's tables are needed for it"


def unplace_actions(
    prediction: Prediction,
    design: PlacedDesign | None,
    congestion: Float64[np.ndarray, "ny nx"],
    full: Bool[np.ndarray, "ny nx"],
) -> tuple[list[Action], str]:
    """Movable insts whose middle lies in a `full` gcell, and a note, or ""."""
    insts = movable_insts(design) if design is not None else None
    if design is None or insts is None or not {"x_um", "y_um"} <= set(design.insts.column_names):
        return [], f"No inst is unplaced: {NEEDS_TABLES}."
    table = design.insts
    at = []
    for axis, size, borders in (("y", "height", prediction.y_um), ("x", "width", prediction.x_um)):
        middle = table[f"{axis}_um"].to_numpy() + table[f"{size}_um"].to_numpy() / 2
        at.append(np.clip(np.searchsorted(borders, middle, "right") - 1, 0, len(borders) - 2))
    chosen = np.flatnonzero(insts & full[at[0], at[1]])
    heat = congestion[at[0], at[1]] - FULL
    chosen = chosen[np.argsort(-heat[chosen], kind="stable")]
    names = table["name"].take(chosen).to_pylist()
    actions = [
        Action("unplace", "", round(float(heat[i]), 6), target=str(name)) for i, name in zip(chosen, names, strict=True)
    ]
    return actions, ""


def padding_actions(
    prediction: Prediction, design: PlacedDesign | None, config: FeedbackConfig, *, free_um2: float, left_um2: float
) -> tuple[list[Action], float, str]:
    """Padding of the hottest movable insts, its area (um^2), and a note, or "".

    Args:
        prediction: with the congestion of each inst.
        design: its tables.
        config: padding and its budget.
        free_um2: free area of the core.
        left_um2: what is left of the budget that all actions share.
    """
    insts = movable_insts(design) if design is not None else None
    heat = prediction.inst_congestion
    if design is None or insts is None or len(heat) != len(design.insts):
        return [], 0.0, f"No padding planned: {NEEDS_TABLES}."
    table = design.insts
    site = site_um(table["width_um"].to_numpy()[insts], design.manifest)
    each = (config.padding_left + config.padding_right) * site * table["height_um"].to_numpy()
    hot = np.flatnonzero(insts & (heat > FULL))
    hot = hot[np.argsort(-heat[hot], kind="stable")]
    chosen = hot[np.cumsum(each[hot]) <= min(config.padding_budget_frac * free_um2, left_um2)]
    note = ""
    if len(chosen) < len(hot):
        note = f"{len(hot) - len(chosen)} of {len(hot)} hot insts not padded: the budget is used up."
    names = table["name"].take(chosen).to_pylist()
    value = f"{config.padding_left};{config.padding_right}"
    actions = [
        Action("padding", value, round(float(heat[i]) - FULL, 6), target=str(name))
        for i, name in zip(chosen, names, strict=True)
    ]
    return actions, float(each[chosen].sum()), note
