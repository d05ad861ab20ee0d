"""Honest spread: the factor that makes a model's sigma hold on families that it has not seen.

With it come the router's share in its congestion (`router_share`), which comes first, and the weights of its
probability of overflow (`overflow_blend`), of the same families.

The error of a normal variable is below 1.645 standard deviations in 90 % of cases. The factor is what brings the errors
of unseen families there: the 0.9 quantile of |truth - mean| / sigma over 1.645, families, their designs, those'
placements and their edges each with the same weight. A model that was refitted on all data takes the factor of its
cross-validation, whose runs each tell of the families that they held out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy import stats

from circuit_io.errors import InputError
from gsr_plugin import router_share
from gsr_plugin.dataset import Entry, Loader, find_designs
from gsr_plugin.edge_weights import edge_weights
from gsr_plugin.overflow_blend import Edges
from gsr_plugin.overflow_blend import fit as fit_blend
from gsr_plugin.router_share import Maps
from gsr_plugin.shipped import is_shipped
from gsr_plugin.weights import Predicted, Weights, load_weights, write_weights

LEVEL = 0.9
LEAST_SIGMA = 1e-6  # a sigma of 0 would make an error infinitely many of them

Values = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Errors:
    """|truth - mean| over sigma on the unmasked edges of one placement, H and V together."""

    family: str
    design: tuple[str, str, str]
    ratio: Values

    @property
    def num_edges(self) -> int:
        """How many edges."""
        return len(self.ratio)


@dataclass(frozen=True)
class Calibration:
    """What the card tells of congestion, of sigma and of the probability of overflow.

    Attributes:
        sigma_scale: what the network's sigma is multiplied by.
        level: share of edges that `mean +- deviations x sigma` is made to hold.
        coverage: share that it holds on a family when the factor is that of the other families: mean over families.
        least_coverage: the same on the family where it is least.
        most_coverage: and where it is most.
        num_families: families that the factor is of.
        num_placements: their placements.
        overflow_head: weight of the log odds of overflow by the network's head; see `Blend`.
        overflow_normal: of those by its mean and sigma.
        overflow_offset: what is added.
        cross_entropy_head: of overflow by the head alone, mean over edges, placements, designs and families.
        cross_entropy: by the weights of the other families.
        router_share: share of the embedded router's map in the congestion; see `router_share`.
        squared_error_without: of congestion without it, mean over edges, placements, designs and families.
        squared_error: by the share of the other families.
    """

    sigma_scale: float
    level: float
    coverage: float
    least_coverage: float
    most_coverage: float
    num_families: int
    num_placements: int
    overflow_head: float = 1.0
    overflow_normal: float = 0.0
    overflow_offset: float = 0.0
    cross_entropy_head: float = 0.0
    cross_entropy: float = 0.0
    router_share: float = 0.0
    squared_error_without: float = 0.0
    squared_error: float = 0.0


def deviations(level: float = LEVEL) -> float:
    """Standard deviations either side of the mean that hold `level` of a normal variable."""
    return float(stats.norm.ppf((1 + level) / 2))


def errors_of(truth: Iterable[np.ndarray], mean: Iterable[np.ndarray], sigma: Iterable[np.ndarray]) -> Values:
    """|truth - mean| / sigma of several maps on the edges that `truth` does not mask."""
    parts = []
    for t, m, s in zip(truth, mean, sigma, strict=True):
        seen = np.isfinite(t)
        parts.append(np.abs(t[seen] - m[seen]) / np.maximum(s[seen], LEAST_SIGMA))
    return np.concatenate(parts).astype(np.float64)


def quantile(errors: Sequence[Errors], level: float = LEVEL) -> float:
    """The error that `level` of the weight does not exceed."""
    ratio, weight = np.concatenate([e.ratio for e in errors]), edge_weights(errors)
    order = np.argsort(ratio, kind="stable")
    total = np.cumsum(weight[order])
    return float(ratio[order][np.searchsorted(total, level * total[-1])])


def coverage(errors: Sequence[Errors], reach: float) -> dict[str, float]:
    """Share of the edges of each family whose error is at most `reach`."""
    found = {}
    for family in sorted({e.family for e in errors}):
        mine = [e for e in errors if e.family == family]
        ratio, weight = np.concatenate([e.ratio for e in mine]), edge_weights(mine)
        found[family] = float(weight[ratio <= reach].sum() / weight.sum())
    return found


def left_out(errors: Sequence[Errors], level: float = LEVEL) -> dict[str, float]:
    """Coverage of each family by the quantile of all others; of one family alone there is none."""
    found: dict[str, float] = {}
    for family in sorted({e.family for e in errors}):
        others = [e for e in errors if e.family != family]
        if others:
            found |= coverage([e for e in errors if e.family == family], quantile(others, level))
    return found


def fit(errors: Sequence[Errors], level: float = LEVEL) -> Calibration:
    """The factor for all families, with the coverage that it has on a family when that is left out.

    Raises:
        InputError: fewer than two families.
    """
    held = left_out(errors, level)
    if len(held) < 2:
        raise InputError(
            f"{len(held)} families that the model has not seen",
            mend="Give data of at least two: the factor of one says nothing of the next.",
        )
    return Calibration(
        sigma_scale=quantile(errors, level) / deviations(level),
        level=level,
        coverage=float(np.mean(list(held.values()))),
        least_coverage=min(held.values()),
        most_coverage=max(held.values()),
        num_families=len(held),
        num_placements=len(errors),
    )


@dataclass(frozen=True)
class Unseen:
    """A placement of a family that the model has not seen: its labels, what the model itself says, and the router."""

    family: str
    design: tuple[str, str, str]
    truth: Maps
    maps: Predicted
    router: Maps | None

    def congestion(self, share: float) -> Maps:
        """With the router's share."""
        return router_share.mixed(self.maps.congestion, self.router, share)

    def errors(self, share: float) -> Errors:
        """By the model's own sigma."""
        sigma = (self.maps.sigma_h, self.maps.sigma_v)
        return Errors(self.family, self.design, errors_of(self.truth, self.congestion(share), sigma))

    def edges(self, share: float) -> list[Edges]:
        """Of H and of V."""
        heads = (self.maps.overflow_prob_h, self.maps.overflow_prob_v)
        maps = zip(self.truth, heads, self.congestion(share), (self.maps.sigma_h, self.maps.sigma_v), strict=True)
        return [Edges.of(self.family, self.design, *of) for of in maps]


def unseen(weights: Weights, entries: Sequence[Entry], load: Loader) -> list[Unseen]:
    """What a model itself says of the placements whose families it has not seen."""
    plain = replace(weights, card=replace(weights.card, calibration={}))
    out = []
    for entry in entries:
        if entry.family not in weights.card.families:
            sample = load(entry)
            truth = (sample.labels.congestion_h, sample.labels.congestion_v)
            maps, router = plain.predict(sample.graph), router_share.router_maps(sample.graph)
            out.append(Unseen(entry.family, entry.design_key, truth, maps, router))
    return out


def calibrate(
    path: Path, data: Sequence[Path], *, runs: Sequence[Path] = (), device: str = "auto", overwrite: bool = False
) -> Calibration:
    """Find a model's factor for sigma, its share of the router and its weights of overflow, and store them in its card.

    Args:
        path: a run folder; its weights are written anew, with the factor in the card.
        data: folders that hold folders written by `gsr export --labels`.
        runs: run folders of the same recipe that tell of what each has not seen, those of a cross-validation; without
            them the model tells of what itself has not seen.
        device: "auto", "cpu" or "cuda".
        overwrite: replace a factor that the card holds.

    Raises:
        InputError: a factor is there and may not be replaced, a run of another recipe, fewer than two unseen families,
            a family that two runs tell of, or the shipped weights.
    """
    if not path.is_dir():
        raise InputError("is no run folder", path=path, mend="Give the folder that holds the weights.")
    if is_shipped(path):
        raise InputError("is the shipped model", path=path, mend="Copy the folder and calibrate the copy.")
    model = load_weights(path, device=device)
    if model.card.calibration and not overwrite:
        raise InputError("is calibrated already", path=path, mend="Pass --overwrite to do it anew.")
    entries, load = find_designs(data), Loader()
    held: list[Unseen] = []
    for run in runs or (path,):
        weights = load_weights(run, device=device)
        if (weights.card.model, weights.card.features) != (model.card.model, model.card.features):
            raise InputError(f"has another model than {path}", path=run, mend="Give runs of the same settings.")
        found = unseen(weights, entries, load)
        twice = {one.family for one in held} & {one.family for one in found}
        if twice:
            raise InputError(
                f'family "{min(twice)}" was held out by another run too', path=run, mend="Give each fold once."
            )
        held += found
    mixed = router_share.fit([router_share.Edges.of(one.family, one.design, one.truth, one.maps.congestion, one.router)
                              for one in held if one.router is not None])  # fmt: skip
    share = round(mixed.share, 5)
    try:
        calibration = fit([one.errors(share) for one in held])
    except InputError as e:
        raise InputError(e.what, path=path, mend=e.mend) from e
    edges = [of for one in held for of in one.edges(share)]
    blended = fit_blend(edges, calibration.sigma_scale, before=model.card.overflow_blend)
    weights_of = {f"overflow_{name}": value for name, value in vars(blended.blend).items()}
    calibration = replace(calibration, **weights_of, cross_entropy_head=blended.cross_entropy_head,
                          cross_entropy=blended.cross_entropy, router_share=share,
                          squared_error_without=mixed.error_without, squared_error=mixed.error)  # fmt: skip
    card = replace(model.card, calibration={name: round(value, 5) for name, value in vars(calibration).items()})
    write_weights(path, model.model.state_dict(), model.normaliser, card)
    return calibration
