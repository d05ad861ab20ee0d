"""Settings of the feedback planner."""

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from circuit_io.errors import InputError, did_you_mean

Switch = Literal["auto", "always", "never"]


class FeedbackConfig(BaseModel):
    """How feedback is planned."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(default=0.95, gt=0, le=2, description="congestion above which a gcell is relieved")
    gain: float = Field(
        default=2.0, gt=0, le=10, description="blocked share per unit of congestion above the threshold"
    )
    max_share_frac: float = Field(default=0.5, gt=0, le=0.95, description="largest share of a gcell that is blocked")
    budget_frac: float = Field(
        default=0.6, ge=0, le=0.8, description="share of the free area that blockages and padding may take together"
    )
    growth_frac: float = Field(
        default=0.10,
        ge=0,
        le=0.44,
        description="growth of movable area by the placer's pin-density rule, when not computable",
    )
    step_frac: float = Field(default=0.05, gt=0, le=0.5, description="steps of the blocked share")
    max_regions: int = Field(
        default=800, ge=0, le=10_000, description="most density blockages (and most region adjustments)"
    )
    min_gain_sigmas: float = Field(
        default=1.0, ge=0, description="a hot area is relieved only if its excess is above so many standard deviations"
    )
    local_load: float = Field(
        default=0.84, gt=0, description="demand over tracks of the design up to which trouble is local"
    )
    hopeless_load: float = Field(
        default=1.10, gt=0, description="demand over tracks of the design above which no insts are moved"
    )
    blockages: Switch = Field(default="auto", description="density blockages; auto: wherever there is trouble")
    uniform_density: Switch = Field(
        default="auto", description="place at the uniform density; auto: if tracks are short everywhere"
    )
    gentle: Switch = Field(
        default="auto", description="routability mode with small steps; auto: if the worst slack is known and negative"
    )
    place_pins: Switch = Field(
        default="auto",
        description="pins placed again; auto: wherever there is trouble and some may move",
    )
    unplace: Switch = Field(
        default="auto", description="insts of gcells above full placed again; auto: if there is no room for a blockage"
    )
    region_adjustment: bool = Field(
        default=False, description="take tracks from hot regions in the placer (measured: no gain)"
    )
    padding: bool = Field(
        default=False, description="pad hot insts in detailed placement (measured: +9 to +22 % overflow)"
    )
    padding_left: int = Field(default=0, ge=0, le=20, description="sites, global padding included")
    padding_right: int = Field(default=1, ge=0, le=20, description="sites, global padding included")
    padding_budget_frac: float = Field(
        default=0.3, ge=0, le=0.8, description="share of the free area that padding may take"
    )


def feedback_config(values: Mapping[str, Any] | None = None) -> FeedbackConfig:
    """A checked configuration.

    Raises:
        InputError: an unknown key or a value out of its range.
    """
    values = dict(values or {})
    for key in values:
        if key not in FeedbackConfig.model_fields:
            mend = did_you_mean(key, FeedbackConfig.model_fields)
            raise InputError(f'unknown key "{key}"', path="[feedback]", mend=mend)
    try:
        return FeedbackConfig(**values)
    except ValidationError as e:
        first = e.errors()[0]
        key = str(first["loc"][0])
        help_ = FeedbackConfig.model_fields[key].description or ""
        raise InputError(
            f"{key} = {first['input']!r}: {first['msg']}", path="[feedback]", mend=f"{key}: {help_}."
        ) from e


def assigned_config(sets: Sequence[str]) -> FeedbackConfig:
    """A checked configuration from assignments like "threshold=0.9".

    Raises:
        InputError: no assignment, an unknown key or a value out of its range.
    """
    return feedback_config(dict(_assignment(text) for text in sets))


def _assignment(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f'--set "{text}" is no assignment', path="command line", mend="Write --set threshold=0.9.")
    try:
        return key.strip(), tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def settings_table() -> str:
    """The settings as a Markdown table, for the documentation."""
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    for name, field in FeedbackConfig.model_fields.items():
        default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        rows.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(rows)
