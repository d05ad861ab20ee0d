"""How hot a predicted placement is, and where that is certain."""

import numpy as np
from jaxtyping import Bool, Float64

from circuit_io.hotspots import connected_groups
from circuit_io.maps import Prediction
from flow_hooks.blockages import KERNEL, blur


def smoothed(prediction: Prediction) -> Float64[np.ndarray, "ny nx"]:
    """Congestion of each gcell, the worse direction, smoothed once."""
    return blur(np.maximum(*(prediction.per_gcell(f"congestion_{d}") for d in "hv")))


def uncertain(
    prediction: Prediction,
    excess: Float64[np.ndarray, "ny nx"],
    hot: Bool[np.ndarray, "ny nx"],
    *,
    min_sigmas: float,
) -> tuple[Bool[np.ndarray, "ny nx"], str]:
    """Gcells of hot areas whose summed excess is below `min_sigmas` of its uncertainty, and a note, or "".

    The smoothing averages 9 gcells; over an area of n gcells about n / 9 such averages are independent.
    """
    out = np.zeros_like(hot)
    sigmas = [prediction.per_gcell(f"sigma_{d}") for d in "hv" if f"sigma_{d}" in prediction.maps]
    if not sigmas or min_sigmas == 0:
        return out, ""
    sigma = np.sqrt(blur(np.maximum.reduce(sigmas) ** 2, KERNEL**2))
    group, count = connected_groups(hot)
    size = np.bincount(group[hot], minlength=count)
    gain = np.bincount(group[hot], excess[hot], count)
    doubt = np.bincount(group[hot], sigma[hot], count) / np.sqrt(np.maximum(1.0, size / 9.0))
    weak = gain < min_sigmas * doubt
    out[hot] = weak[group[hot]]
    if not weak.any():
        return out, ""
    return out, (
        f"{int(weak.sum())} of {count} hot areas left alone ({int(size[weak].sum())} gcells): "
        "their predicted excess does not exceed its uncertainty."
    )


def load(prediction: Prediction) -> float:
    """All predicted demand over all tracks, both directions."""
    demand = tracks = 0.0
    for d in "hv":
        capacity = prediction.maps[f"capacity_{d}"].astype(np.float64)
        part = prediction.maps[f"congestion_{d}"] * capacity
        seen = np.isfinite(part)
        demand, tracks = demand + float(part[seen].sum()), tracks + float(capacity[seen].sum())
    return demand / tracks if tracks > 0 else 0.0
