"""What an epoch takes, in which order, at which rate: drawn from (seed, epoch) alone, so that a run can resume."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuit_io.transform import SYMMETRIES, Symmetry
from gsr_plugin.config import TrainConfig
from gsr_plugin.dataset import Entry


@dataclass(frozen=True)
class Step:
    """One placement as an epoch takes it."""

    entry: Entry
    symmetry: Symmetry
    hide_liberty: bool
    weight: float
    place: tuple[float, float] = (0.0, 0.0)  # of the window, when the settings cut one
    hide_router: bool = False


def epoch_plan(entries: Sequence[Entry], settings: TrainConfig, epoch: int) -> list[Step]:
    """The placements of one epoch in order, drawn from (seed, epoch) alone; every design has the same total weight."""
    rng = np.random.default_rng([settings.seed, epoch])
    designs: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        designs.setdefault(entry.design_key, []).append(entry)
    per_design = settings.variants_per_design
    plan = []
    for variants in designs.values():
        num = min(per_design, len(variants)) if per_design else len(variants)
        for i in sorted(rng.choice(len(variants), num, replace=False).tolist()):
            symmetry = SYMMETRIES[int(rng.integers(len(SYMMETRIES)))] if settings.augment else Symmetry()
            hide = bool(rng.random() < settings.drop_liberty)
            place = (float(rng.random()), float(rng.random()))
            hide_router = bool(rng.random() < settings.drop_router)
            plan.append(Step(variants[i], symmetry, hide, 1 / num, place, hide_router))
    scale = len(plan) / len(designs)
    return [replace(plan[i], weight=plan[i].weight * scale) for i in rng.permutation(len(plan)).tolist()]


def learning_rate(settings: TrainConfig, step: int, total: int) -> float:
    """Linear from 0 over the warm-up, then a cosine down to `final_lr_frac` of the highest rate."""
    warm = min(settings.warm_up_steps, total)
    if step < warm:
        return settings.lr * (step + 1) / warm
    done = (step - warm) / max(1, total - warm)
    return settings.lr * (settings.final_lr_frac + (1 - settings.final_lr_frac) * 0.5 * (1 + math.cos(math.pi * done)))


def stack_rate(settings: TrainConfig, layers: int) -> float:
    """The rate of the stack's weights over that of the others: a step of Adam moves a stack's value with its depth."""
    full = settings.full_rate_layers
    return full / layers if 0 < full < layers else 1.0
