"""The actions that a plan may hold: what each means, which fields it uses, which values it takes."""

from collections.abc import Callable
from dataclasses import dataclass

from flow_hooks.tsv import decode


@dataclass(frozen=True)
class Action:
    """One thing to do.

    Attributes:
        action: one of `ACTIONS`.
        value: what it means depends on the action, see `ACTIONS`.
        score: predicted excess that it acts on; the higher, the more it is worth.
        target: an inst's name, or "".
        box_um: x1, y1, x2, y2, or None.
        layer: a layer's name, or "".
    """

    action: str
    value: str
    score: float
    target: str = ""
    box_um: tuple[float, float, float, float] | None = None
    layer: str = ""


def _is_density(value: str) -> bool:
    return 0 < float(value) <= 100


def _is_gentle(value: str) -> bool:
    coefficient, ratio = map(float, value.split(";"))
    return 0 < coefficient <= 10 and 1 <= ratio <= 10


def _is_addon(value: str) -> bool:
    return 0 <= float(value) <= 0.99


def _is_margin(value: str) -> bool:
    return 0 <= float(value or 0) <= 0.5


def _is_adjustment(value: str) -> bool:
    return -1 <= float(value) <= 1


def _is_padding(value: str) -> bool:
    left, right = map(int, value.split(";"))
    return 0 <= left <= 100 and 0 <= right <= 100


def _is_pin_layers(value: str) -> bool:
    if not value:
        return True
    horizontal, vertical = ([decode(name) for name in part.split(",")] for part in value.split(";"))
    return all(horizontal) and all(vertical)


def _is_empty(value: str) -> bool:
    return not value


def _is_share(value: str) -> bool:
    return 0 <= float(value) <= 1


@dataclass(frozen=True)
class ActionKind:
    """What an action does, which fields it uses, and which values it takes."""

    meaning: str
    is_valid: Callable[[str], bool]
    has_box: bool = False
    has_target: bool = False
    has_layer: bool = False


ACTIONS: dict[str, ActionKind] = {
    "density_blockage": ActionKind(
        "soft blockage around global_placement; value: highest density, 0..100", _is_density, has_box=True
    ),
    "routability_gentle": ActionKind(
        "-routability_driven with small steps; value: inflation_ratio_coef;max_inflation_ratio", _is_gentle
    ),
    "uniform_density": ActionKind(
        "global_placement at the density that is left when blockages are in place, plus the value", _is_margin
    ),
    "placement_density_addon": ActionKind("the value instead of the flow's PLACE_DENSITY_LB_ADDON", _is_addon),
    "place_pins": ActionKind(
        "place_pins on the placement that the plan was made for, before it is placed again; value: "
        "horizontal;vertical layers, commas between, or empty for those that the pins lie on",
        _is_pin_layers,
    ),
    "unplace": ActionKind(
        "taken out of the placement that the plan was made for, and placed again by global_placement -incremental",
        _is_empty,
        has_target=True,
    ),
    "padding": ActionKind(
        "padding in detailed placement; value: sites left;right, global padding included", _is_padding, has_target=True
    ),
    "region_adjustment": ActionKind(
        "set_global_routing_region_adjustment; value: share of the tracks taken away, 0..1",
        _is_share,
        has_box=True,
        has_layer=True,
    ),
    "layer_adjustment": ActionKind(
        "set_global_routing_layer_adjustment, for placement or (target route) routing; value: share of the tracks",
        _is_adjustment,
        has_layer=True,
    ),
}
