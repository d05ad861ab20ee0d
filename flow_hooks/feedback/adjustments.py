"""Tracks taken from hot regions while global_placement looks at routability; measured: no gain."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from circuit_io.maps import Prediction
from flow_hooks.feedback.actions import Action
from flow_hooks.feedback.regions import box_um, merge_equal, region_sum
from flow_hooks.tsv import number


def adjustment_actions(
    prediction: Prediction,
    congestion: Float64[np.ndarray, "ny nx"],
    excess: Float64[np.ndarray, "ny nx"],
    *,
    layers: Sequence[str],
    max_regions: int,
) -> tuple[list[Action], str]:
    """a = 4 (r - 0.9) in steps of 0.1, on every layer, where there is excess; and a note, or "".

    Boxes lie on gcell edges; the Tcl side grows them by one database unit, because the router inverts the adjustment
    in the outer tiles of a region whose edges lie exactly on theirs.
    """
    if not layers:
        return [], ""
    units = np.rint(10 * np.clip(4 * (congestion - 0.9), 0, 0.8)).astype(np.int64)
    units[excess <= 0] = 0
    regions = sorted(merge_equal(units), key=lambda r: (-region_sum(excess, r), r.y0, r.x0))
    kept = regions[: max_regions // len(layers)]
    actions = [
        Action(
            "region_adjustment",
            number(round(r.value / 10, 6)),
            region_sum(excess, r),
            box_um=box_um(prediction, r),
            layer=layer,
        )
        for r in kept
        for layer in layers
    ]
    dropped = len(regions) - len(kept)
    return actions, f"{dropped} of {len(regions)} region adjustments dropped." if dropped else ""
