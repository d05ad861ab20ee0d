"""The arms of the closed loop: what each places, which of its placements it keeps, and what the judge says of it.

Every arm begins with the same floorplan and pins. Ours predicts, plans and places again, at most so many rounds, and
keeps the placement of the least predicted overflow; the others show what that is worth.
"""

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from circuit_io.errors import ToolError
from circuit_io.fields import GCELL_FEATURES, column
from circuit_io.maps import Prediction, without_borders
from circuit_io.prediction import prediction_manifest
from circuit_io.prediction_metrics import prediction_metrics
from circuit_io.router_prediction import prediction_of_labels
from circuit_io.store import StoredDesign
from circuit_io.text import read_bytes
from circuit_io.transform import Symmetry, transform_edges
from flow_hooks.feedback.actions import Action
from flow_hooks.feedback.file import Plan, write_feedback
from flow_hooks.feedback.planner import plan_feedback
from flow_hooks.loop.cases import Case
from flow_hooks.loop.judge import Verdict
from flow_hooks.loop.steps import PLACED, Placement, Seen, Tools, clear_up, export, judge, place, predict

BASE, OURS, SWEEP = "a", "c", "e"
ARMS = {
    "a": "the flow without routability mode",
    "b": "-routability_driven with default options",
    "g": "-routability_driven with small steps",
    "p": "place_pins for the finished placement, then placed again, as often as c may; no prediction",
    "q": "as p, placed again with small steps",
    "c": "ours, the predicted map",
    "d": "ours, the router's own map",
    "e": "the best by RUDY of as many placements as c made, over densities and seeds",
    "t": "ours, the predicted map turned by 180 degrees",
}
PREDICTING = ("c", "t")
GENTLE = ("-routability_driven", "-routability_inflation_ratio_coef", "0.5", "-routability_max_inflation_ratio", "1.2")
_OPTIONS = {"a": (), "b": ("-routability_driven",), "g": GENTLE}
_PINS = {"p": (), "q": GENTLE}
# densities above the lowest possible (None: the case's own) and seeds that the sweep tries, in this order
_SWEEP: tuple[tuple[float | None, int], ...] = ((0.0, 0), (None, 2), (0.1, 0), (0.0, 2), (None, 3), (0.1, 3))
_WORST = (0.005, 0.01, 0.02, 0.05)
_TURN = Symmetry(mirror_x=True, mirror_y=True)


@dataclass
class Round:
    """A placement of an arm: how it was made, what it cost, what was expected of it, and the plan that this led to."""

    folder: Path
    placement: Placement
    plan: Plan | None = None
    predict_s: float | None = 0.0
    expected: float | None = None
    pins_moved: bool = False
    verdict: Verdict | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As it is recorded."""
        said: dict[str, Any] = {
            "place_s": self.placement.seconds, "laps": self.placement.laps, "predict_s": self.predict_s,
            "expected": self.expected, "states": self.placement.states, **self.more,
        }  # fmt: skip
        if self.plan is not None:
            kinds = sorted({a.action for a in self.plan.actions})
            said["plan"] = {
                "verdict": self.plan.verdict, "trouble": self.plan.trouble,
                "actions": {kind: len(self.plan.of(kind)) for kind in kinds}, "notes": list(self.plan.notes),
            }  # fmt: skip
        return said


Look = Callable[[Round], Seen]


@dataclass(frozen=True)
class Base:
    """Arm a, which the others begin with: its folder and its record."""

    folder: Path
    said: dict[str, Any]

    def as_round(self, folder: Path) -> Round:
        """Its placement as the first round of another arm."""
        folder.mkdir(parents=True)
        placed = folder / PLACED
        placed.write_bytes(read_bytes(self.folder / f"{PLACED}.gz"))
        return Round(folder, Placement(placed, dict(self.said["rounds"][0]["laps"]), {}))


def run_arm(
    arm: str, case: Case, tools: Tools, folder: Path, *, base: Base | None = None, num_placements: int = 0
) -> dict[str, Any]:
    """Run one arm of a case into `folder`; what is recorded of it.

    Args:
        arm: one of `ARMS`.
        case: the case.
        tools: what runs it.
        folder: for its files; the placement that was judged stays there, packed, with the router's tables.
        base: arm a; not for arm a itself.
        num_placements: how many placements the sweep may make, arm a's included.

    Raises:
        ToolError: openroad or the prediction failed.
        InputError: the judge refuses the placement.
    """
    if base is None or arm in _OPTIONS:
        rounds, why = [Round(folder / "round_0", place(case, tools, folder / "round_0", options=_OPTIONS[arm]))], ""
        kept = 0
    elif arm == SWEEP:
        rounds, why = _sweep(case, tools, folder, base, num_placements)
        kept = int(np.argmin([r.expected for r in rounds]))  # type: ignore[arg-type]
    elif arm in _PINS:
        rounds, why = _pins(case, tools, folder, base, _PINS[arm])
        kept = len(rounds) - 1  # nothing tells them apart
    else:
        looks = {"c": _predicted, "d": _routed, "t": _turned}
        rounds, why = _rounds(case, tools, folder, base, looks[arm](case, tools, base))
        kept = int(np.argmin([np.inf if r.expected is None else r.expected for r in rounds]))
    said = {"arm": arm, "kept": kept, "why": why, "rounds": [r.to_json() for r in rounds]}
    if base is not None and kept == 0 and arm not in _OPTIONS:
        said["judged"] = base.said["judged"]
    else:
        said["judged"] = _judged(case, tools, rounds[kept]).to_json()
        _keep(rounds[kept], folder)
    said["is_abstained"] = rounds[0].plan is not None and not rounds[0].plan.actions
    clear_up(folder)
    for r in rounds:
        (r.folder / PLACED).unlink(missing_ok=True)
    return said


def _judged(case: Case, tools: Tools, r: Round) -> Verdict:
    """What the judge says of a round, asked once."""
    if r.verdict is None:
        r.verdict = judge(case, tools, r.placement.placed, r.folder, pins_moved=r.pins_moved)
    return r.verdict


def _keep(r: Round, folder: Path) -> None:
    """The placement that was judged and the router's tables, packed."""
    (folder / f"{PLACED}.gz").write_bytes(gzip.compress(r.placement.placed.read_bytes(), 6, mtime=0))
    (r.folder / "labels").rename(folder / "labels")
    for table in sorted((folder / "labels").glob("*")):
        if table.suffix == ".def":
            table.unlink()
        elif table.name != "done.json":
            table.with_name(f"{table.name}.gz").write_bytes(gzip.compress(table.read_bytes(), 6, mtime=0))
            table.unlink()


def _rounds(case: Case, tools: Tools, folder: Path, base: Base, look: Look) -> tuple[list[Round], str]:
    """Predict, plan and place again, as long as that lowers the predicted overflow; and why it ended."""
    rounds = [base.as_round(folder / "round_0")]
    previous = None
    for number in range(tools.rounds + 1):
        here = rounds[-1]
        seen = look(here)
        here.predict_s = seen.seconds
        here.expected = predicted_overflow(seen.prediction)
        if number and here.expected >= min(r.expected for r in rounds[:-1] if r.expected is not None):
            return rounds, "the last placement was predicted to be no better"
        if number == tools.rounds:
            return rounds, ""
        plan = plan_feedback(seen.prediction, seen.design.manifest, tools.config, design=seen.design, previous=previous)
        here.plan = previous = plan
        if not plan.actions:
            return rounds, plan.verdict
        try:
            rounds.append(_next_round(case, tools, folder / f"round_{number + 1}", here, plan))
        except ToolError as e:  # a flow goes on with the placement it has
            return rounds, f"the placement with the plan failed: {e}"
    return rounds, ""


def _next_round(
    case: Case, tools: Tools, folder: Path, here: Round, plan: Plan, *, options: Sequence[str] = ()
) -> Round:
    """The placement that the plan for `here` leads to."""
    file = here.folder / "feedback.tsv"
    write_feedback(file, plan)
    made = place(case, tools, folder, plan=(plan, file), options=options)
    return Round(folder, made, pins_moved=here.pins_moved or bool(plan.of("place_pins")))


def _pins(case: Case, tools: Tools, folder: Path, base: Base, options: Sequence[str]) -> tuple[list[Round], str]:
    """Pins for the placement that is there, and everything placed again: what costs no prediction."""
    rounds = [base.as_round(folder / "round_0")]
    for number in range(1, tools.rounds + 1):
        here = rounds[-1]
        of = export(case, here.placement.placed, here.folder / "export").manifest
        x1, y1, x2, y2 = of["die_um"]
        grid = (of["grid"]["nx"], of["grid"]["ny"])
        pins = Action("place_pins", "", 0.0)
        here.plan = Plan(
            of["design"], (x1, y1, x2, y2), grid, of["def_sha256"], "", (pins,), "Planned: pins, without a prediction."
        )
        try:
            rounds.append(_next_round(case, tools, folder / f"round_{number}", here, here.plan, options=options))
        except ToolError as e:
            return rounds, f"the placement with the pins failed: {e}"
    return rounds, ""


def predicted_overflow(prediction: Prediction) -> float:
    """Tracks by which a placement is predicted to overflow, as the hooks rank placements."""
    metrics = prediction_metrics(prediction)
    return next(v for key, v in metrics.items() if key.endswith("__gsr__overflow__predicted"))


def _predicted(case: Case, tools: Tools, base: Base) -> Look:
    return lambda here: predict(case, tools, here.placement.placed, here.folder)


def _turned(case: Case, tools: Tools, base: Base) -> Look:
    def look(here: Round) -> Seen:
        seen = predict(case, tools, here.placement.placed, here.folder)
        return replace(seen, prediction=turned(seen.prediction, seen.design))

    return look


def _routed(case: Case, tools: Tools, base: Base) -> Look:
    """The judge's own tables as a prediction; those of the first round are there already."""

    def look(here: Round) -> Seen:
        labels = base.folder / "labels"
        if here.folder.name != "round_0":
            _judged(case, tools, here)
            labels = here.folder / "labels"
        design = export(case, here.placement.placed, here.folder / "export", labels=labels)
        manifest = prediction_manifest(design.path, model={"name": "the router"}, versions={})
        return Seen(prediction_of_labels(design, manifest), design, 0.0)

    return look


def turned(prediction: Prediction, design: StoredDesign) -> Prediction:
    """The prediction with its maps of congestion turned by 180 degrees; supply and areas stay where they are."""
    maps = dict(prediction.maps)
    for kind in ("congestion", "sigma", "overflow_prob"):
        if f"{kind}_h" not in maps:
            continue
        pair = transform_edges(maps[f"{kind}_h"], maps[f"{kind}_v"], _TURN)
        for letter, values in zip("hv", pair, strict=True):
            has_tracks = np.isfinite(maps[f"{kind}_{letter}"])
            maps[f"{kind}_{letter}"] = np.where(has_tracks, np.nan_to_num(values), np.nan).astype(np.float32)
    bare = without_borders(replace(prediction, maps=maps))
    per_gcell = (bare.per_gcell("congestion_h") + bare.per_gcell("congestion_v")) / np.float32(2)
    return replace(bare, inst_congestion=per_gcell.ravel()[design.graph.inst_gcell])


def _sweep(case: Case, tools: Tools, folder: Path, base: Base, count: int) -> tuple[list[Round], str]:
    """Placements over densities and seeds; `expected` is RUDY's congestion of the worst edges."""
    rounds = [base.as_round(folder / "round_0")]
    for number, (margin, seed) in enumerate(_SWEEP[: max(0, count - 1)], start=1):
        there = folder / f"round_{number}"
        density = None if margin is None else ("density_margin", margin)
        options = ("-random_seed", str(seed)) if seed else ()
        made = Round(there, place(case, tools, there, density=density, options=options))
        made.more = {"density_margin": margin, "seed": seed}
        rounds.append(made)
    for r in rounds:
        r.expected = worst_rudy(export(case, r.placement.placed, r.folder / "export"))
    return rounds, ""


def worst_rudy(design: StoredDesign) -> float:
    """Mean RUDY over tracks of the worst 0.5, 1, 2 and 5 % of the edges, averaged: the ACE metric.

    Source:
        Y. Wei et al., "GLARE: global and local wiring aware routability evaluation", DAC 2012.
    """
    graph = design.graph
    rudy = np.concatenate([graph.gcell_features[:, column(GCELL_FEATURES, f"rudy_{letter}")] for letter in "hv"])
    worst = np.sort(rudy[np.isfinite(rudy)])[::-1].astype(np.float64)
    return float(np.mean([worst[: max(1, round(share * len(worst)))].mean() for share in _WORST]))
