"""Plans what to do about a predicted congestion: the recipe that closed the loop best, within a budget of area.

Soft partial density blockages on the hot gcells ("recipe B"), and what `choice.py` adds to them, or does in their
place. Constants and evidence: docs/prediction.md; measured on 11 overflowing layouts with the router's own map:
overflow 0.19 of the baseline where the trouble is local, 0.81 where tracks are short everywhere.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from circuit_io.errors import InputError
from circuit_io.maps import FULL, PlacedDesign, Prediction
from flow_hooks.feedback.actions import Action
from flow_hooks.feedback.adjustments import adjustment_actions
from flow_hooks.feedback.area import pin_density_growth_um2
from flow_hooks.feedback.blockages import Blockages, best_blockages
from flow_hooks.feedback.choice import Situation, advise, choose
from flow_hooks.feedback.config import FeedbackConfig
from flow_hooks.feedback.file import Plan, blocked_share
from flow_hooks.feedback.heat import certain_areas, load, mean_excess, smoothed, uncertain
from flow_hooks.feedback.inst_actions import padding_actions, unplace_actions
from flow_hooks.feedback.regions import box_um, region_sum
from flow_hooks.tsv import number


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
    share = planner.wanted_share()
    planner.choose_actions(share)
    planner.plan_blockages(share, previous)
    planner.plan_placer_options(previous)
    planner.plan_moves(share)
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
        self.congestion = smoothed(prediction)
        self.excess = mean_excess(prediction, self.congestion, config.threshold)
        self.load = load(prediction)
        self.free_um2 = self._free_area()
        self.budget_um2 = config.budget_frac * self.free_um2
        self.used_um2 = 0.0
        self.reason = ""
        self.has_no_room = False

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

    def wanted_share(self) -> Float64[np.ndarray, "ny nx"]:
        """Blocked share of each gcell before the budget: min(0.5, 2 mean max(0, r - 0.95)), where certain enough."""
        config = self.config
        over = np.maximum(0.0, self.congestion - config.threshold)
        doubtful, note = uncertain(self.prediction, over, min_sigmas=config.min_gain_sigmas)
        self._note(note)
        self.is_hot = bool((over > 0).any())
        share = np.minimum(config.max_share_frac, config.gain * self.excess)
        hot = share >= config.step_frac / 2  # less is rounded down
        kept = certain_areas(hot, (over > 0) & ~doubtful) & ~doubtful & (self._usable_area() > 0)
        return np.where(kept, share, 0.0)

    def choose_actions(self, share: Float64[np.ndarray, "ny nx"]) -> None:
        """What is to be done, by the rules."""
        free_ports = (self.manifest.get("counts") or {}).get("free_ports")
        self.found = Situation(
            load=self.load,
            peak=float(self.congestion.max()),
            is_hot=self.is_hot,
            is_certain=bool((share > 0).any()),
            free_ports=free_ports,
            flow=dict(self.manifest.get("flow") or {}),
        )
        self.choice = choose(self.found, self.config)

    def _with_previous(self, share: Float64[np.ndarray, "ny nx"], previous: Plan) -> Float64[np.ndarray, "ny nx"]:
        """The shares of the round before and those wanted now."""
        before = blocked_share(previous, self.prediction.x_um, self.prediction.y_um)
        self.notes.append("Second round: added to the blockages of the plan before.")
        both = np.minimum(self.config.max_share_frac, before + share)
        return np.where(self._usable_area() > 0, both, 0.0)

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

    def _usable_area(self) -> Float64[np.ndarray, "ny nx"]:
        """Core area of each gcell; 0 where fixed insts fill it."""
        x1, y1, x2, y2 = self.manifest.get("core_um") or self.plan.die_um
        width = np.diff(np.clip(self.prediction.x_um, x1, x2))
        height = np.diff(np.clip(self.prediction.y_um, y1, y2))
        area = height[:, None] * width[None, :]
        fixed = self.prediction.maps.get("fixed_area_um2")
        return area if fixed is None else np.where(fixed >= 0.95 * area, 0.0, area)

    def plan_blockages(self, wanted: Float64[np.ndarray, "ny nx"], previous: Plan | None) -> None:
        """Density blockages for `wanted`, scaled into the budget, rounded, merged, and at most `max_regions`."""
        if previous is not None:
            self._check_previous(previous)
        config, area = self.config, self._usable_area()
        if not self.choice.blockages or not (wanted > 0).any():
            return
        if previous is not None:
            wanted = self._with_previous(wanted, previous)
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
            box = box_um(self.prediction, r)
            self.actions.append(Action("density_blockage", density, region_sum(self.excess, r), box_um=box))
        self._note_cuts(best, float((wanted * area).sum()))

    def _note_cuts(self, best: Blockages, wanted_um2: float) -> None:
        if best.scale < 1:
            self.notes.append(
                f"Blocked shares scaled by {best.scale:.2f}: {wanted_um2:.0f} um^2 wanted, budget "
                f"{self.budget_um2:.0f} um^2 ({100 * self.config.budget_frac:.0f} % of the free area of "
                f"{self.free_um2:.0f} um^2)."
            )
        self.notes += best.cuts(self.config.step_frac)
        if not best.kept:
            self.has_no_room = not best.num_regions
            self.reason = "the free area is too small for any blockage" if self.has_no_room else "max_regions is 0"

    def plan_placer_options(self, previous: Plan | None) -> None:
        """Uniform density beside blockages, and gentle routability mode, as chosen or as in the round before."""
        score = round(float(self.excess.sum()), 6)
        kept = {a.action for a in previous.actions} if previous is not None and self.actions else set()
        if self.choice.gentle or "routability_gentle" in kept:
            self.actions.append(Action("routability_gentle", "0.5;1.2", score))
        is_wanted = self.choice.uniform_density and (self.actions or self.config.uniform_density == "always")
        if is_wanted or "uniform_density" in kept:
            self.actions.append(Action("uniform_density", "0", score))

    def plan_moves(self, hot: Float64[np.ndarray, "ny nx"]) -> None:
        """Pins placed again, as chosen, and insts of full gcells unplaced where there is no room for blockages."""
        if self.choice.place_pins:
            self.actions.insert(0, Action("place_pins", "", round(float(self.excess.sum()), 6)))
        if self.choice.unplace_always or (self.choice.unplace and self.has_no_room):
            full = (hot > 0) & (self.congestion > FULL)
            actions, note = unplace_actions(self.prediction, self.design, self.congestion, full)
            self.actions += actions
            self._note(note)

    def plan_region_adjustments(self) -> None:
        """Tracks taken from hot regions, on request."""
        if not self.config.region_adjustment:
            return
        actions, note = adjustment_actions(
            self.prediction,
            self.congestion,
            np.maximum(0.0, self.congestion - self.config.threshold),
            layers=sorted(self.manifest.get("layer_adjustment") or {}),
            max_regions=self.config.max_regions,
        )
        self.actions += actions
        self._note(note)

    def plan_padding(self) -> None:
        """Padding of the hottest movable insts, within its own and the common budget; off by default."""
        if not self.config.padding:
            return
        left_um2 = self.budget_um2 - self.used_um2
        actions, used_um2, note = padding_actions(
            self.prediction, self.design, self.config, free_um2=self.free_um2, left_um2=left_um2
        )
        self.actions += actions
        self.used_um2 += used_um2
        self._note(note)

    def _note(self, note: str) -> None:
        if note:
            self.notes.append(note)

    def finish(self) -> Plan:
        """The plan, with a verdict."""
        trouble = self.choice.trouble
        counts = Counter(a.action for a in self.actions)
        if self.actions:
            parts = ", ".join(f"{n} x {name}" for name, n in counts.items())
            where = {"local": "in some places", "none": "nowhere"}.get(trouble, "everywhere")
            verdict = f"Planned: {parts}. Tracks are short {where}; the design wants {100 * self.load:.0f} % of them."
            if self.choice.reason and trouble == "hopeless":
                verdict += f" It helps a little: {self.choice.reason}."
        else:
            why = self.choice.reason or self.reason or "blockages are switched off"
            verdict = f"Nothing planned: {why}."
        return replace(
            self.plan,
            actions=tuple(self.actions),
            verdict=verdict,
            advice=advise(self.found, self.choice, moves_pins=counts["place_pins"] > 0),
            trouble=trouble,
            load=self.load,
            free_area_um2=self.free_um2,
            budget_um2=self.budget_um2,
            used_um2=self.used_um2,
            notes=tuple(self.notes),
        )


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
