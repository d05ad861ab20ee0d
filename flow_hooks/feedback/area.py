"""Areas that the placer has to find room for."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from circuit_io.maps import PlacedDesign


def pin_density_growth_um2(design: PlacedDesign) -> float | None:
    """Area that the global placer adds to movable insts so that pins spread evenly; None when the graph has no pins.

    A movable inst with more than 2 pins is scaled in both directions by `sqrt(pins / (mean pin density x area))`,
    limited to 0.95 .. 1.2, unless `-disable_pin_density_adjust` is given.

    Source:
        OpenROAD's gpl (PlacerBase); log messages GPL-0018 and GPL-0035.
    """
    pin_inst = getattr(design.graph, "pin_inst", None)
    insts = movable_insts(design)
    if pin_inst is None or insts is None:
        return None
    table = design.insts
    area = (table["width_um"].to_numpy() * table["height_um"].to_numpy())[insts]
    pins = np.bincount(pin_inst, minlength=len(table))[insts]
    if not area.sum() or not pins.sum():
        return 0.0
    density = pins.sum() / area.sum()
    scale = np.clip(np.sqrt(pins / density / np.maximum(area, 1e-12)), 0.95, 1.2)
    return float((area * np.where(pins > 2, scale**2 - 1, 0.0)).sum())


def movable_insts(design: PlacedDesign) -> Bool[np.ndarray, " insts"] | None:
    """Which insts the placer moves; None when the table does not say."""
    table = design.insts
    columns = set(table.column_names)
    if not {"width_um", "height_um", "is_port"} <= columns:
        return None
    movable = ~np.asarray(table["is_port"])
    if "is_macro" in columns:
        movable &= ~np.asarray(table["is_macro"])
    if "status" in columns:
        movable &= ~np.isin(np.asarray(table["status"]).astype(str), ("FIXED", "COVER"))
    if "is_fixed" in columns:
        movable &= ~np.asarray(table["is_fixed"])
    return movable


def site_um(width_um: Float64[np.ndarray, " insts"], manifest: Mapping[str, Any]) -> float:
    """Width of a site: the greatest common divisor of the widths of the insts."""
    dbu = float(manifest.get("dbu_per_um", 1000))
    return float(np.gcd.reduce(np.rint(width_um * dbu).astype(np.int64))) / dbu if len(width_um) else 0.0
