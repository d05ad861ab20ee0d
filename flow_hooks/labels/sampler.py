"""Variants that cover the space of placements, part of them made to be congested."""

import math
from random import Random
from typing import Any

from flow_hooks.labels.batch import MAKE_PLACEMENT, DesignEntry, Sampler, Technology, Variant

_CROWDED = 2 / 3  # congested variants are drawn from above this share of each range


def sample_variants(sampler: Sampler, design_name: str, design: DesignEntry, technology: Technology) -> list[Variant]:
    """The variants of one design, named s0, s1, ...; the same seed gives the same ones, whatever else the batch holds.

    Every range is cut into as many steps as there are variants; each has its own random order (a Latin hypercube), once
    over the ordinary variants and once, in the upper third of each range, over the congested ones. A placed DEF takes
    layers, adjustments and seeds alone.
    """
    random = Random(f"{sampler.seed} {design_name}")
    crowded = round(sampler.count * sampler.congested_frac)
    stacks = technology.layer_stacks or sampler.signal_layers
    variants: list[dict[str, Any]] = []
    for count, low in ((sampler.count - crowded, 0.0), (crowded, _CROWDED)):
        variants += _hypercube(sampler, count, low, random, stacks, has_own=_has_own(design, technology))
    grids = _some(sampler.count, sampler.power_grid_frac if technology.power_grid else 0, random)
    out = []
    for i, drawn in enumerate(variants):
        values = drawn | {"name": f"s{i}", "power_grid": grids[i], "improve_placement": True}
        if design.def_:
            values = {k: v for k, v in values.items() if k not in MAKE_PLACEMENT}
        out.append(Variant.model_validate(values))
    return out


def _has_own(design: DesignEntry, technology: Technology) -> bool:
    return design.layer_adjustment is not None or technology.layer_adjustment is not None


def _hypercube(
    sampler: Sampler, count: int, low: float, random: Random, stacks: list[str], *, has_own: bool
) -> list[dict[str, Any]]:
    own = _some(count, sampler.own_adjustment_frac if has_own else 0, random)
    steps = {
        key: _steps(count, low, random) for key in ("layer_adjustment", "utilization", "density_lb_addon", "layers")
    }
    shape = _steps(count, 0.0, random)
    out = []
    for i in range(count):
        values: dict[str, Any] = {"seed": random.randrange(2**31)}
        for key in ("layer_adjustment", "utilization", "density_lb_addon"):
            values[key] = _within(getattr(sampler, key), steps[key][i])
        values["aspect"] = _within(sampler.aspect, shape[i])
        if own[i]:
            del values["layer_adjustment"]
        if stacks:
            values["signal_layers"] = stacks[min(int(steps["layers"][i] * len(stacks)), len(stacks) - 1)]
        out.append(values)
    return out


def _steps(count: int, low: float, random: Random) -> list[float]:
    """A number in each of `count` equal steps from `low` to 1, in random order."""
    values = [low + (1 - low) * (i + random.random()) / count for i in range(count)]
    return [v for _, v in sorted((random.random(), v) for v in values)]


def _some(count: int, share: float, random: Random) -> list[bool]:
    """True for at least `share` of `count`, at random."""
    rank = sorted(range(count), key=lambda _: random.random())
    chosen = set(rank[: math.ceil(share * count)])
    return [i in chosen for i in range(count)]


def _within(bounds: tuple[float, float], share: float) -> float:
    low, high = bounds
    return round(low + (high - low) * share, 4)
