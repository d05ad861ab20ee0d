"""Which actions a plan takes: few rules, from what is known of the placement. Their evidence: docs/prediction.md."""

from dataclasses import dataclass
from typing import Any

from flow_hooks.feedback.config import FeedbackConfig, Switch


@dataclass(frozen=True)
class Situation:
    """What the rules look at.

    Attributes:
        load: all predicted demand over all tracks.
        peak: highest congestion after smoothing.
        is_hot: whether a gcell exceeds the threshold at all; `is_certain`: whether one does beyond its uncertainty.
        free_ports: ports that may be moved; None when the export does not tell.
        flow: what the hook told of the flow, see `circuit_io.export_sources.HOOK_FACTS`.
    """

    load: float
    peak: float
    is_hot: bool
    is_certain: bool
    free_ports: int | None
    flow: dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """What to do.

    Attributes:
        trouble: "none", "local", "everywhere", or "hopeless": more demand than placement makes up for.
        reason: why nothing is to be done, or nothing but pins placed again; or "".
        blockages, uniform_density, gentle, place_pins: whether to.
        unplace: whether to unplace hot insts, should there be no room for a blockage; `unplace_always`: anyhow.
    """

    trouble: str
    reason: str
    blockages: bool
    uniform_density: bool
    gentle: bool
    place_pins: bool
    unplace: bool
    unplace_always: bool


def choose(found: Situation, config: FeedbackConfig) -> Choice:
    """The actions for a situation; a switch that is "always" or "never" is obeyed whatever the rules say."""
    trouble, reason = _trouble(found, config)
    acts = trouble in ("local", "everywhere")
    is_short = trouble == "everywhere"
    slack = found.flow.get("worst_slack_ns")
    free = bool(found.free_ports)
    only_pins = trouble == "hopeless" and free
    return Choice(
        trouble=trouble,
        reason=reason,
        blockages=_decide(config.blockages, acts),
        uniform_density=_decide(config.uniform_density, is_short),
        gentle=_decide(config.gentle, only_pins or (acts and slack is not None and slack < 0)),
        place_pins=_decide(config.place_pins, only_pins or (acts and free)),
        unplace=_decide(config.unplace, acts),
        unplace_always=config.unplace == "always",
    )


def _decide(switch: Switch, rule: bool) -> bool:
    return switch == "always" or (switch == "auto" and rule)


def _trouble(found: Situation, config: FeedbackConfig) -> tuple[str, str]:
    if not found.is_hot:
        return "none", f"no gcell exceeds {config.threshold:g} after smoothing (highest {found.peak:.2f})"
    if not found.is_certain:
        return "none", "no hot area exceeds its uncertainty or lies where insts can be placed"
    if found.load > config.hopeless_load:
        return "hopeless", (
            f"the design wants {100 * found.load:.0f} % of all tracks, and above {100 * config.hopeless_load:.0f} % "
            "no placement is enough: give it a larger die, more layers or lower adjustments"
        )
    return ("local" if found.load <= config.local_load else "everywhere"), ""


def advise(found: Situation, choice: Choice, *, moves_pins: bool) -> tuple[str, ...]:
    """What the user can do besides, at no cost or little; only what is known to be missing."""
    advice = []
    if found.flow.get("improve_placement") is False:
        advice.append(
            "Run improve_placement after detailed_placement (ORFS: ENABLE_DPO=1): it lowered overflow to 0.34 of what "
            "it was, more than any feedback."
        )
    if choice.trouble == "none":
        return tuple(advice)
    if found.free_ports and not moves_pins:
        advice.append(
            f"{found.free_ports} pins may be moved: place_pins for this placement, then place again from the floorplan "
            "(GSR_PLAN=place_pins=always does both): twice, it left 0.28 of the overflow of six layouts, and 0.04 with "
            "small steps of -routability_driven besides, without a prediction."
        )
    if found.flow.get("routability_driven") == "default" and not choice.gentle:
        advice.append(
            "-routability_driven with its default steps often goes back to where it began in dense cores; with "
            "-routability_inflation_ratio_coef 0.5 -routability_max_inflation_ratio 1.2 it left 0.60 instead of 0.91 "
            "of the overflow, at twice the placer's time (ORFS: GLOBAL_PLACEMENT_ARGS)."
        )
    return tuple(advice)
