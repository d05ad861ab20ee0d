"""Plans what to do about a predicted congestion: the recipe that closed the loop best, within a budget of area.

Soft partial density blockages on the hot gcells ("recipe B"), and where tracks are short everywhere also the placer's
routability mode with small steps at the uniform density. Constants and evidence: docs/prediction.md; measured on 11
overflowing layouts with the router's own map: overflow 0.19 of the baseline where the trouble is local, 0.81 (0.73 with
small RUDY steps) where tracks are short everywhere.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from circuit_io.errors import InputError
from circuit_io.hotspots import connected_groups
from circuit_io.maps import PlacedDesign, Prediction
from flow_hooks.area import movable_insts, pin_density_growth_um2, site_um
from flow_hooks.blockages import KERNEL, Blockages, best_blockages, blur
from flow_hooks.feedback_config import FeedbackConfig, feedback_config
from flow_hooks.feedback_file import ACTIONS, Action, Plan, blocked_share, feedback_tsv, read_feedback, write_feedback
from flow_hooks.regions import Region, merge_equal, region_sum
from flow_hooks.tsv import number

__all__ = [
    "ACTIONS",
    "Action",
    "FeedbackConfig",
    "Plan",
    "blocked_share",
    "feedback_config",
    "feedback_tsv",
    "plan_feedback",
    "read_feedback",
    "write_feedback",
]


def plan_feedback(
    prediction: Prediction,
    design_manifest: Mapping[str, Any],
    config: FeedbackConfig | None = None,
    *,
    design: PlacedDesign | None = None,
    previous: Plan | None = None,
) -> Plan:
    """What to do about a predicted congestion. The same input gives the same plan.

    Args:
        prediction: of a placement.
        design_manifest: of the export folder it was made from: die, core, areas, layers.
        config: thresholds, budget, switches.
        design: the export's tables and graph; with them the placer's growth of insts is computed instead of assumed,
            and padding can be planned.
        previous: a first round's plan; its blockages are kept and added to, when this prediction is for the placement
            that they led to.

    Raises:
        InputError: the manifest lacks a key, or belongs to another design or grid.
    """
    config = config or FeedbackConfig()
    planner = _Planner(prediction, design_manifest, config, design)
    share = planner.wanted_share(previous)
    planner.plan_blockages(share)
    planner.plan_placer_options()
    planner.plan_region_adjustments()
    planner.plan_padding()
    return planner.finish()


class _Planner:
    """One run of the planner: gathers actions and notes."""

    def __init__(
        self,
        prediction: Prediction,
        manifest: Mapping[str, Any],
        config: FeedbackConfig,
        design: PlacedDesign | None,
    ) -> None:
        self.prediction, self.config, self.design, self.manifest = prediction, config, design, manifest
        self.plan = _empty_plan(prediction, manifest)
        self.actions: list[Action] = []
        self.notes: list[str] = []
        self.congestion = blur(np.maximum(*(prediction.per_gcell(f"congestion_{d}") for d in "hv")))
        self.excess = np.maximum(0.0, self.congestion - config.threshold)
        self.load = _load(prediction)
        self.free_um2 = self._free_area()
        self.budget_um2 = config.budget_frac * self.free_um2
        self.used_um2 = 0.0
        self.reason = ""

    def _free_area(self) -> float:
        try:
            areas = self.manifest["placement"]
            core, movable, fixed = (float(areas[f"{k}_area_um2"]) for k in ("core", "movable", "fixed"))
        except (KeyError, TypeError, ValueError) as e:
            raise InputError(f"the manifest has no areas: {e!r}", path="placement", mend="Export again.") from e
        growth = self.config.growth_frac * movable
        if self.design is not None and (computed := pin_density_growth_um2(self.design)) is not None:
            growth = computed
        return max(0.0, core - fixed - movable - growth)

    def wanted_share(self, previous: Plan | None) -> Float64[np.ndarray, "ny nx"]:
        """Blocked share of each gcell before the budget: min(0.5, 2 max(0, r - 0.95)), where it is certain enough."""
        share = np.minimum(self.config.max_share_frac, self.config.gain * self.excess)
        share[self._uncertain(share > 0)] = 0.0
        if previous is not None:
            self._check_previous(previous)
            before = blocked_share(previous, self.prediction.x_um, self.prediction.y_um)
            share = np.minimum(self.config.max_share_frac, before + share)
            self.notes.append("Second round: added to the blockages of the plan before.")
        share[self._usable_area() <= 0] = 0.0
        return share

    def _check_previous(self, previous: Plan) -> None:
        """The first round must have been of the same design on the same die and grid; its placement was another."""
        mine = self.plan
        unit = 1 / float(self.manifest.get("dbu_per_um") or 1000)
        for what, same, now, before in (
            ("design", previous.design == mine.design, mine.design, previous.design),
            ("die", np.allclose(previous.die_um, mine.die_um, rtol=0, atol=unit / 2), mine.die_um, previous.die_um),
            ("grid", previous.grid == mine.grid, mine.grid, previous.grid),
        ):
            if not same:
                raise InputError(
                    f"the plan before is of another {what}: {before}, the prediction's is {now}",
                    path="--previous",
                    mend="Give the plan of an earlier round of this design and floorplan, or none.",
                )

    def _uncertain(self, hot: Bool[np.ndarray, "ny nx"]) -> Bool[np.ndarray, "ny nx"]:
        """Gcells of hot areas whose summed excess does not exceed its uncertainty.

        The blur averages 9 gcells; over an area of n gcells about n / 9 such averages are independent.
        """
        sigmas = [self.prediction.per_gcell(f"sigma_{d}") for d in "hv" if f"sigma_{d}" in self.prediction.maps]
        if not sigmas or self.config.min_gain_sigmas == 0:
            return np.zeros_like(hot)
        sigma = np.sqrt(blur(np.maximum.reduce(sigmas) ** 2, KERNEL**2))
        group, count = connected_groups(hot)
        size = np.bincount(group[hot], minlength=count)
        gain = np.bincount(group[hot], self.excess[hot], count)
        doubt = np.bincount(group[hot], sigma[hot], count) / np.sqrt(np.maximum(1.0, size / 9.0))
        weak = gain < self.config.min_gain_sigmas * doubt
        if weak.any():
            self.notes.append(
                f"{int(weak.sum())} of {count} hot areas left alone ({int(size[weak].sum())} gcells): "
                "their predicted excess does not exceed its uncertainty."
            )
        out = np.zeros_like(hot)
        out[hot] = weak[group[hot]]
        return out

    def _usable_area(self) -> Float64[np.ndarray, "ny nx"]:
        """Core area of each gcell; 0 where fixed insts fill it."""
        x1, y1, x2, y2 = self.manifest.get("core_um") or self.plan.die_um
        width = np.diff(np.clip(self.prediction.x_um, x1, x2))
        height = np.diff(np.clip(self.prediction.y_um, y1, y2))
        area = height[:, None] * width[None, :]
        fixed = self.prediction.maps.get("fixed_area_um2")
        return area if fixed is None else np.where(fixed >= 0.95 * area, 0.0, area)

    def plan_blockages(self, wanted: Float64[np.ndarray, "ny nx"]) -> None:
        """Density blockages for `wanted`, scaled into the budget, rounded, merged, and at most `max_regions`."""
        config, area = self.config, self._usable_area()
        if not config.blockages or not (wanted > 0).any():
            return
        best = best_blockages(
            wanted,
            area,
            self.excess,
            budget_um2=self.budget_um2,
            step=config.step_frac,
            max_share=config.max_share_frac,
            max_regions=config.max_regions,
        )
        self.used_um2 = float((best.share * area).sum())
        for r in best.kept:
            density = number(round(100 * (1 - r.value * best.step), 6))
            self.actions.append(Action("density_blockage", density, self._score(r), box_um=self._box(r)))
        self._note_cuts(best, float((wanted * area).sum()))

    def _note_cuts(self, best: Blockages, wanted_um2: float) -> None:
        if best.scale < 1:
            self.notes.append(
                f"Blocked shares scaled by {best.scale:.2f}: {wanted_um2:.0f} um^2 wanted, budget "
                f"{self.budget_um2:.0f} um^2 ({100 * self.config.budget_frac:.0f} % of the free area of "
                f"{self.free_um2:.0f} um^2)."
            )
        if best.pool > 1 or best.step > self.config.step_frac:
            self.notes.append(
                f"To keep the number of regions down, shares are in steps of {best.step:.2f} on blocks of "
                f"{best.pool} x {best.pool} gcells."
            )
        if len(best.kept) < best.num_regions:
            dropped = best.num_regions - len(best.kept)
            self.notes.append(f"{dropped} of {best.num_regions} regions dropped, those of the smallest score.")
        if not best.kept:
            self.reason = "max_regions is 0" if best.num_regions else "the free area is too small for any blockage"

    def _score(self, r: Region) -> float:
        return region_sum(self.excess, r)

    def _box(self, r: Region) -> tuple[float, float, float, float]:
        x, y = self.prediction.x_um, self.prediction.y_um
        return float(x[r.x0]), float(y[r.y0]), float(x[r.x1 + 1]), float(y[r.y1 + 1])

    @property
    def trouble(self) -> str:
        """Whether anything exceeds the threshold, and whether tracks are short in some places or everywhere."""
        if not (self.excess > 0).any():
            return "none"
        return "local" if self.load <= self.config.local_load else "everywhere"

    def plan_placer_options(self) -> None:
        """Gentle routability mode and uniform density, each when wanted or when tracks are short everywhere."""
        score = round(float(self.excess.sum()), 6)
        is_short = self.trouble == "everywhere"
        if self.config.gentle == "always" or (self.config.gentle == "auto" and is_short):
            self.actions.append(Action("routability_gentle", "0.5;1.2", score))
        if self.config.uniform_density == "always" or (self.config.uniform_density == "auto" and is_short):
            self.actions.append(Action("uniform_density", "0", score))

    def plan_region_adjustments(self) -> None:
        """Tracks taken from hot regions, a = 4 (r - 0.9) in steps of 0.1, on every signal layer; off by default.

        Boxes lie on gcell edges; the Tcl side grows them by one database unit, because the router inverts the
        adjustment in the outer tiles of a region whose edges lie exactly on theirs.
        """
        layers = sorted(self.manifest.get("layer_adjustment") or {})
        if not self.config.region_adjustment or not layers:
            return
        units = np.rint(10 * np.clip(4 * (self.congestion - 0.9), 0, 0.8)).astype(np.int64)
        units[self.excess <= 0] = 0
        regions = sorted(merge_equal(units), key=lambda r: (-self._score(r), r.y0, r.x0))
        kept = regions[: self.config.max_regions // len(layers)]
        if len(kept) < len(regions):
            self.notes.append(f"{len(regions) - len(kept)} of {len(regions)} region adjustments dropped.")
        for r in kept:
            for layer in layers:
                value = number(round(r.value / 10, 6))
                self.actions.append(
                    Action("region_adjustment", value, self._score(r), box_um=self._box(r), layer=layer)
                )

    def plan_padding(self) -> None:
        """Padding of the hottest movable insts, within its own and the common budget; off by default."""
        config = self.config
        if not config.padding:
            return
        insts = movable_insts(self.design) if self.design is not None else None
        heat = self.prediction.inst_congestion
        if self.design is None or insts is None or len(heat) != len(self.design.insts):
            self.notes.append("No padding planned: the export's tables are needed for it.")
            return
        table = self.design.insts
        height = table["height_um"].to_numpy()
        site = site_um(table["width_um"].to_numpy()[insts], self.manifest)
        each = (config.padding_left + config.padding_right) * site * height
        hot = np.flatnonzero(insts & (heat > 1.0))
        hot = hot[np.argsort(-heat[hot], kind="stable")]
        budget = min(config.padding_budget_frac * self.free_um2, self.budget_um2 - self.used_um2)
        chosen = hot[np.cumsum(each[hot]) <= budget]
        if len(chosen) < len(hot):
            self.notes.append(f"{len(hot) - len(chosen)} of {len(hot)} hot insts not padded: the budget is used up.")
        self.used_um2 += float(each[chosen].sum())
        names = table["name"].take(chosen).to_pylist()
        value = f"{config.padding_left};{config.padding_right}"
        self.actions += [
            Action("padding", value, round(float(heat[i]) - 1.0, 6), target=str(name))
            for i, name in zip(chosen, names, strict=True)
        ]

    def finish(self) -> Plan:
        """The plan, with a verdict."""
        counts = Counter(a.action for a in self.actions)
        if self.actions:
            parts = ", ".join(f"{n} x {name}" for name, n in counts.items())
            where = {"local": "in some places", "everywhere": "everywhere", "none": "nowhere"}[self.trouble]
            verdict = f"Planned: {parts}. Tracks are short {where}; the design wants {100 * self.load:.0f} % of them."
        else:
            verdict = f"Nothing planned: {self._why_nothing()}."
        return replace(
            self.plan,
            actions=tuple(self.actions),
            verdict=verdict,
            trouble=self.trouble,
            load=self.load,
            free_area_um2=self.free_um2,
            budget_um2=self.budget_um2,
            used_um2=self.used_um2,
            notes=tuple(self.notes),
        )

    def _why_nothing(self) -> str:
        if self.trouble == "none":
            peak = float(self.congestion.max())
            return f"no gcell exceeds {self.config.threshold:g} after smoothing (highest {peak:.2f})"
        if self.reason:
            return self.reason
        if not self.config.blockages:
            return "blockages are switched off"
        return "no hot area exceeds its uncertainty or lies where insts can be placed"


def _load(prediction: Prediction) -> float:
    """All predicted demand over all tracks, both directions."""
    demand = tracks = 0.0
    for d in "hv":
        capacity = prediction.maps[f"capacity_{d}"].astype(np.float64)
        part = prediction.maps[f"congestion_{d}"] * capacity
        seen = np.isfinite(part)
        demand, tracks = demand + float(part[seen].sum()), tracks + float(capacity[seen].sum())
    return demand / tracks if tracks > 0 else 0.0


def _empty_plan(prediction: Prediction, manifest: Mapping[str, Any]) -> Plan:
    mine, theirs = prediction.manifest.get("def_sha256"), manifest.get("def_sha256")
    if mine and theirs and mine != theirs:
        raise InputError(
            "the prediction was made for another placement than this design",
            path=str(prediction.path or "prediction"),
            mend="Give the export folder that the prediction names.",
        )
    x, y = prediction.x_um, prediction.y_um
    die = manifest.get("die_um") or (x[0], y[0], x[-1], y[-1])
    return Plan(
        design=prediction.design or str(manifest.get("design", "")),
        die_um=(float(die[0]), float(die[1]), float(die[2]), float(die[3])),
        grid=(prediction.shape[1], prediction.shape[0]),
        def_sha256=str(theirs or mine or ""),
        run_id=str(prediction.manifest.get("run_id", "")),
    )
