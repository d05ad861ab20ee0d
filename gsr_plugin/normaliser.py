"""Mean and spread of every feature and target over the training designs, and what of a feature is known."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from circuit_io.errors import InputError
from circuit_io.fields import (
    ENDPOINT_FEATURES,
    GCELL_FEATURES,
    INST_FEATURES,
    NET_FEATURES,
    NET_ROUTER_FEATURES,
    ROUTER_FEATURES,
    Field,
    column,
    names,
)
from circuit_io.graph import CircuitGraph
from circuit_io.store import EARLIER
from gsr_plugin.dataset import Entry, Loader
from gsr_plugin.slack import SlackInputs

_log = logging.getLogger(__name__)

KINDS: dict[str, tuple[Field, ...]] = {"inst": INST_FEATURES, "net": NET_FEATURES, "gcell": GCELL_FEATURES}
_OVER_CAPACITY = (
    "capacity", "low_share", "adjusted", "blocked", "rudy", "demand_l", "demand_z",
    "across3", "along3", "box5", "box11", "mean", "full",
)  # fmt: skip
RUNS = "router_runs"
MASKED_BY = {
    "inst": {"drive": "has_liberty", "input_cap": "has_liberty"},
    "net": {name: RUNS for name in names(NET_ROUTER_FEATURES) if name != RUNS},
    "gcell": {f"{name}_{d}": f"layers_{d}" for name in _OVER_CAPACITY for d in "hv"}
    | {name: RUNS for name in names(ROUTER_FEATURES) if name != RUNS},
}  # feature: the flag without which it is no data; an import has no layers
CLIP = 8.0  # normalised features are cut here: a new technology may lie far outside
_OF_ENDPOINTS = ("endpoint_mean", "endpoint_std")


@dataclass(frozen=True)
class Normaliser:
    """Mean and spread of every feature and of the targets over the training designs; stored with the weights."""

    mean: dict[str, Float32[np.ndarray, " fields"]]
    std: dict[str, Float32[np.ndarray, " fields"]]
    target_mean: float
    target_std: float
    detour: tuple[float, float] | None = None  # mean and spread of the log detour, where that is a task
    endpoint: tuple[Float32[np.ndarray, " ends"], Float32[np.ndarray, " ends"]] | None = None  # where slack is one

    def features(self, graph: CircuitGraph) -> dict[str, Float32[np.ndarray, "rows fields"]]:
        """Normalised features of each node type; what is masked is 0, what is far out is cut at 8 deviations."""
        out = {}
        for kind in KINDS:
            values, known = features_of(graph, kind), len(self.mean[kind])
            scaled = np.clip((values[:, :known] - self.mean[kind]) / self.std[kind], -CLIP, CLIP)
            for feature, seen in feature_masks(kind, values).items():
                if feature < known:
                    scaled[:, feature] *= seen
            out[kind] = scaled
        return out

    def endpoints(self, inputs: SlackInputs, *, hide_router: bool = False) -> Float32[np.ndarray, "endpoints f"]:
        """Normalised features of endpoints; what is not known is 0, what is far out is cut."""
        assert self.endpoint is not None
        mean, std = self.endpoint
        scaled = np.clip((inputs.features - mean) / std, -CLIP, CLIP)
        return np.asarray(scaled * inputs.known(hide_router=hide_router), np.float32)

    def arrays(self) -> dict[str, Float32[np.ndarray, " n"]]:
        """The statistics as named arrays, to be stored with the weights."""
        target = np.asarray([self.target_mean, self.target_std], np.float32)
        stored = {f"{kind}_{part}": getattr(self, part)[kind] for kind in KINDS for part in ("mean", "std")}
        stored |= {"target": target}
        stored |= {} if self.detour is None else {"detour": np.asarray(self.detour, np.float32)}
        return stored | ({} if self.endpoint is None else dict(zip(_OF_ENDPOINTS, self.endpoint, strict=True)))

    @classmethod
    def of_arrays(cls, stored: Mapping[str, Float32[np.ndarray, " n"]], *, path: Path | str) -> "Normaliser":
        """The inverse of `arrays`.

        Raises:
            InputError: an array is missing or has another length than this version's features.
        """
        for kind, declared in KINDS.items():
            for part in ("mean", "std"):
                found = stored.get(f"{kind}_{part}")
                counts = {len(declared), *map(len, EARLIER.get(kind, ()))}
                if found is None or found.ndim != 1 or len(found) not in counts:
                    raise InputError(f'statistics "{kind}_{part}" are missing or too short', path=path)
        target = stored.get("target")
        if target is None or target.shape != (2,):
            raise InputError('statistics "target" are missing', path=path)
        detour = stored.get("detour")
        if detour is not None and detour.shape != (2,):
            raise InputError('statistics "detour" are no two numbers', path=path)
        mean, std = ({kind: stored[f"{kind}_{part}"] for kind in KINDS} for part in ("mean", "std"))
        of_nets = None if detour is None else (float(detour[0]), float(detour[1]))
        ends = [stored[name] for name in _OF_ENDPOINTS if name in stored]
        if ends and [a.shape for a in ends] != 2 * [(len(ENDPOINT_FEATURES),)]:
            raise InputError('statistics of "endpoint" are missing or too short', path=path)
        return cls(mean, std, float(target[0]), float(target[1]), of_nets, (ends[0], ends[1]) if ends else None)


def features_of(graph: CircuitGraph, kind: str) -> Float32[np.ndarray, "rows fields"]:
    """Features of the nodes of one kind, as the model reads them.

    Of the runs of the router it reads whether there were any: other numbers than 8 are rare, so it would learn nothing
    of them but that they are far out.
    """
    values = {"inst": graph.inst_features, "net": graph.net_features, "gcell": graph.gcell_features}[kind]
    if kind != "inst":
        values, runs = values.copy(), column(KINDS[kind], RUNS)
        values[:, runs] = values[:, runs] > 0
    return values


def feature_masks(kind: str, values: Float32[np.ndarray, "rows fields"]) -> dict[int, Float32[np.ndarray, " rows"]]:
    """Column of a feature that may be missing: 1 where it is known."""
    fields_ = KINDS[kind]
    return {
        column(fields_, feature): (values[:, column(fields_, flag)] > 0).astype(np.float32)
        for feature, flag in MASKED_BY.get(kind, {}).items()
    }


class _Moments:
    """Weighted sums of a value and its square, a column each."""

    def __init__(self) -> None:
        self.weight: Float64[np.ndarray, " f"] = np.zeros(0)
        self.sums: Float64[np.ndarray, "2 f"] = np.zeros((2, 0))

    def add(self, values: Float32[np.ndarray, "rows f"], seen: Float32[np.ndarray, "rows f"], weight: float) -> None:
        """Add the means over the rows seen, with the given weight; a column seen nowhere adds nothing."""
        if not self.sums.size:
            self.weight, self.sums = np.zeros(values.shape[1]), np.zeros((2, values.shape[1]))
        count = seen.sum(axis=0, dtype=np.float64)
        for i, power in enumerate((values, np.square(values, dtype=np.float64))):
            self.sums[i] += weight * (power * seen).sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
        self.weight += weight * (count > 0)

    def mean_std(self) -> tuple[Float32[np.ndarray, " f"], Float32[np.ndarray, " f"]]:
        """Mean and deviation; a constant column has deviation 1."""
        mean, square = self.sums / np.maximum(self.weight, 1e-300)
        std = np.sqrt(np.maximum(square - mean**2, 0))
        return mean.astype(np.float32), np.where(std > 1e-6, std, 1).astype(np.float32)


def fit_normaliser(entries: Sequence[Entry], load: Loader, *, detour: bool = False, slack: bool = False) -> Normaliser:
    """Statistics over placements, each design (all its variants together) with the same weight.

    Args:
        entries: labelled placements.
        load: reads them.
        detour: also those of the detour of nets.
        slack: also those of endpoints.

    Raises:
        InputError: a feature or a label that is not finite; names the design and the feature. No placement has routed
            lengths, or slacks, and they are asked for.
    """
    variants: dict[tuple[str, str, str], int] = {}
    for e in entries:
        variants[e.design_key] = variants.get(e.design_key, 0) + 1
    moments = {kind: _Moments() for kind in KINDS}
    target, of_nets, of_ends = _Moments(), _Moments(), _Moments()
    idle: list[Entry] = []
    for e in entries:
        sample = load(e)
        weight = 1 / variants[e.design_key]
        for kind in KINDS:
            values = features_of(sample.graph, kind)
            _check_finite(values, kind, e)
            seen = np.ones_like(values)
            for feature, mask in feature_masks(kind, values).items():
                seen[:, feature] = mask
            moments[kind].add(values, seen, weight)
        maps = np.concatenate([sample.labels.congestion_h.ravel(), sample.labels.congestion_v.ravel()])[:, None]
        if not np.isfinite(maps).any():
            raise InputError("has no unmasked edge", path=e.path, mend="Leave it out, or label it again.")
        if not np.nan_to_num(maps).any():
            idle.append(e)
        target.add(np.nan_to_num(maps), np.isfinite(maps).astype(np.float32), weight)
        if detour:
            log = sample.detour[:, None]
            of_nets.add(np.nan_to_num(log), np.isfinite(log).astype(np.float32), weight)
        if slack and sample.slack is not None and sample.slack.num_labelled:
            of_ends.add(sample.slack.features, sample.slack.known(), weight)
    if idle:
        _tell_idle(idle, len(entries))
    if detour and not of_nets.weight.any():
        raise InputError(
            f"none of {len(entries)} placements has routed lengths of nets from a global router",
            path=entries[0].path,
            mend="Label with wire_length.csv (docs/labels.md), or train with --set 'model.tasks=[\"congestion\"]'.",
        )
    if slack and not of_ends.weight.any():
        raise InputError(
            f"none of {len(entries)} placements has slacks of endpoints before and after global route, and Liberty",
            path=entries[0].path,
            mend="Export them with endpoints_place.csv and endpoints_grt.csv in the labels (docs/labels.md), or train "
            'without "slack" in model.tasks.',
        )
    stats = {kind: moments[kind].mean_std() for kind in KINDS}
    target_mean, target_std = target.mean_std()
    return Normaliser(
        {k: s[0] for k, s in stats.items()},
        {k: s[1] for k, s in stats.items()},
        float(target_mean[0]),
        float(target_std[0]),
        (float(of_nets.mean_std()[0][0]), float(of_nets.mean_std()[1][0])) if detour else None,
        of_ends.mean_std() if slack else None,
    )


def _tell_idle(idle: Sequence[Entry], total: int) -> None:
    """Labels whose every edge is 0: a router that routed nothing, more likely than a design without wires."""
    if len(idle) == total:
        what = "congestion is 0 on every edge of every placement, so there is nothing to learn"
        raise InputError(what, path=idle[0].path, mend="Label again: the router has routed nothing.")
    _log.warning("%d of %d placements have congestion 0 on every edge (first: %s)", len(idle), total, idle[0].path)


def _check_finite(values: Float32[np.ndarray, "rows fields"], kind: str, entry: Entry) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        row, at = np.argwhere(bad)[0]
        what = f'{kind} feature "{KINDS[kind][at].name}" of {kind} {row} is {values[row, at]}'
        raise InputError(what, path=entry.path, mend="Export the design again; if it stays, report it.")
