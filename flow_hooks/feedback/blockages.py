"""Which blocked share each gcell gets, as few rectangles of it as asked for, within a budget of area."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int

from flow_hooks.feedback.regions import Region, merge_equal, region_sum

KERNEL = np.outer((1, 2, 1), (1, 2, 1)) / 16.0


def blur(
    values: Float[np.ndarray, "ny nx"], kernel: Float64[np.ndarray, "3 3"] = KERNEL
) -> Float64[np.ndarray, "ny nx"]:
    """3 x 3 weighted mean (with the default kernel); the border repeats its outermost gcells."""
    padded = np.pad(values.astype(np.float64), 1, mode="edge")
    ny, nx = values.shape
    out = np.zeros((ny, nx))
    for dy in range(3):
        for dx in range(3):
            out += kernel[dy, dx] * padded[dy : dy + ny, dx : dx + nx]
    return out


@dataclass(frozen=True)
class Blockages:
    """Blockages at one resolution.

    Attributes:
        loss: area by which they miss what was wanted, um^2.
        pool: side of a block of gcells that share a value.
        step: a region's `value` counts steps of this blocked share.
        scale: by which everything was scaled to fit the budget.
        kept: the regions, the highest score first; `num_regions` were there before the least were dropped.
        share: blocked share of each gcell by the regions kept.
    """

    loss: float
    pool: int
    step: float
    scale: float
    kept: list[Region]
    num_regions: int
    share: Float64[np.ndarray, "ny nx"]

    def cuts(self, step: float) -> list[str]:
        """What a reader should know of their resolution, where it is coarser than `step` or regions were dropped."""
        notes = []
        if self.pool > 1 or self.step > step:
            notes.append(
                f"To keep the number of regions down, shares are in steps of {self.step:.2f} on blocks of "
                f"{self.pool} x {self.pool} gcells."
            )
        dropped = self.num_regions - len(self.kept)
        if dropped:
            notes.append(f"{dropped} of {self.num_regions} regions dropped, those of the smallest score.")
        return notes


def best_blockages(
    wanted: Float64[np.ndarray, "ny nx"],
    area: Float64[np.ndarray, "ny nx"],
    excess: Float64[np.ndarray, "ny nx"],
    *,
    budget_um2: float,
    step: float,
    max_share: float,
    max_regions: int,
) -> Blockages:
    """The finest blockages with at most `max_regions`, or those that miss least of what is wanted.

    Args:
        wanted: blocked share of each gcell, 0..1.
        area: area of each gcell where insts can be placed, um^2.
        excess: what a region's score sums up; it decides between gcells of equal share.
        budget_um2: largest sum of share x area.
        step: steps of the share.
        max_share: largest share.
        max_regions: largest number of rectangles.
    """
    choices = []
    for pool, unit in _resolutions(step, max_share):
        pooled = pool_mean(wanted, area, pool)
        units, scale = _fit(pooled, area, excess, step=unit, max_share=max_share, budget=budget_um2)
        units[area <= 0] = 0
        regions = merge_equal(units)
        kept = sorted(regions, key=lambda r: (-region_sum(excess, r), r.y0, r.x0))[:max_regions]
        share = np.zeros_like(wanted)
        for r in kept:
            share[r.y0 : r.y1 + 1, r.x0 : r.x1 + 1] = r.value * unit
        loss = float((np.abs(share - scale * wanted) * area).sum())
        choices.append(Blockages(loss, pool, unit, scale, kept, len(regions), share))
        if len(regions) <= max_regions:
            break
    return min(choices, key=lambda c: c.loss)


def _resolutions(step: float, max_share: float) -> list[tuple[int, float]]:
    """Sides of a block in gcells and steps of the blocked share to try; coarser ones merge into fewer regions."""
    tries = [(1, 1), (1, 2), (2, 1), (2, 2), (1, 5), (4, 1), (4, 2), (8, 1), (8, 2)]
    return [(pool, k * step) for pool, k in tries if k * step <= max_share] or [(1, max_share)]


def pool_mean(
    values: Float64[np.ndarray, "ny nx"], area: Float64[np.ndarray, "ny nx"], side: int
) -> Float64[np.ndarray, "ny nx"]:
    """Each gcell gets the mean over its block of `side` x `side` gcells, weighted with their area."""
    if side == 1:
        return values
    ny, nx = values.shape
    block = (np.arange(ny) // side)[:, None] * -(-nx // side) + np.arange(nx) // side
    total = np.bincount(block.ravel(), (values * area).ravel())
    weight = np.bincount(block.ravel(), area.ravel())
    return np.asarray((total / np.maximum(weight, 1e-12))[block], np.float64)


def _fit(
    wanted: Float64[np.ndarray, "ny nx"],
    area: Float64[np.ndarray, "ny nx"],
    excess: Float64[np.ndarray, "ny nx"],
    *,
    step: float,
    max_share: float,
    budget: float,
) -> tuple[Int[np.ndarray, "ny nx"], float]:
    """Blocked shares in units of `step` whose area fits the budget, and the scale that was needed for it.

    What rounding leaves of the budget goes, a step each, to the gcells that were rounded down most.
    """

    most = int(max_share / step + 1e-9)

    def rounded(scale: float) -> Int[np.ndarray, "ny nx"]:
        return np.minimum(np.rint(scale * wanted / step + 1e-9).astype(np.int64), most)

    def used(units: Int[np.ndarray, "ny nx"]) -> float:
        return float((units * step * area).sum())

    if used(rounded(1.0)) <= budget:
        return rounded(1.0), 1.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if used(rounded(middle)) <= budget else (low, middle)
    scale = min(1.0, budget / float((wanted * area).sum()))
    units = rounded(low)
    missing = (scale * wanted / step - units).ravel()
    order = np.lexsort((np.arange(missing.size), -excess.ravel(), -np.round(missing, 6)))
    order = order[(missing[order] > 0) & (area.ravel()[order] > 0) & (units.ravel()[order] < most)]
    taken = order[np.cumsum(step * area.ravel()[order]) <= budget - used(units)]
    units.ravel()[taken] += 1
    return units, scale
