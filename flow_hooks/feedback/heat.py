"""How hot a predicted placement is, and where that is certain."""

import numpy as np
from jaxtyping import Bool, Float64

from circuit_io.hotspots import connected_groups
from circuit_io.maps import FULL, Prediction
from circuit_io.prediction_metrics import expected_excess
from flow_hooks.feedback.blockages import KERNEL, blur


def smoothed(prediction: Prediction) -> Float64[np.ndarray, "ny nx"]:
    """Congestion of each gcell, the worse direction, smoothed once."""
    return blur(np.maximum(*(prediction.per_gcell(f"congestion_{d}") for d in "hv")))


def mean_excess(
    prediction: Prediction, congestion: Float64[np.ndarray, "ny nx"], threshold: float
) -> Float64[np.ndarray, "ny nx"]:
    """By how much smoothed congestion is expected to exceed the threshold: the mean of max(0, r - threshold).

    Errors of neighbours are alike, so that smoothing does not lessen them. With an exact map it is the plain excess.
    """
    sigma = _sigma(prediction)
    spread = None if sigma is None else np.sqrt(blur(sigma**2))
    return np.asarray(expected_excess(congestion - threshold + FULL, spread), np.float64)


def _sigma(prediction: Prediction) -> Float64[np.ndarray, "ny nx"] | None:
    """The larger standard deviation of both directions of each gcell, where the prediction has it."""
    sigmas = [prediction.per_gcell(f"sigma_{d}") for d in "hv" if f"sigma_{d}" in prediction.maps]
    return np.maximum.reduce(sigmas).astype(np.float64) if sigmas else None


def certain_areas(hot: Bool[np.ndarray, "ny nx"], certain: Bool[np.ndarray, "ny nx"]) -> Bool[np.ndarray, "ny nx"]:
    """The connected areas of `hot` that hold a gcell of `certain`."""
    group, count = connected_groups(hot)
    holds = np.bincount(group[hot & certain], minlength=count) > 0
    out = np.zeros_like(hot)
    out[hot] = holds[group[hot]]
    return out


def uncertain(
    prediction: Prediction, excess: Float64[np.ndarray, "ny nx"], *, min_sigmas: float
) -> tuple[Bool[np.ndarray, "ny nx"], str]:
    """Gcells of hot areas whose summed plain excess is below `min_sigmas` of its uncertainty, and a note, or "".

    The smoothing averages 9 gcells; over an area of n gcells about n / 9 such averages are independent.
    """
    hot = excess > 0
    out = np.zeros_like(hot)
    spread = _sigma(prediction)
    if spread is None or min_sigmas == 0:
        return out, ""
    sigma = np.sqrt(blur(spread**2, KERNEL**2))
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
