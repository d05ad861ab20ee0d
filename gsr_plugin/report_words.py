"""Numbers, boxes and levels of a report in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from circuit_io.hotspots import HotSpot
from gsr_plugin.document import Cell, Code

WORDS = {"h": "Horizontal", "v": "Vertical"}


def number(value: float | None, digits: int = 2) -> str:
    """With thousands apart; "-" when there is none."""
    if value is None or not np.isfinite(value):
        return "-"
    return f"{value:,.{digits}f}"


def count(n: int, what: str) -> str:
    """ "1 edge", "2 edges"."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def box_text(box: tuple[float, float, float, float] | None) -> str:
    """A box in um by its two corners."""
    if box is None:
        return ""
    return "({:.6g}, {:.6g}) - ({:.6g}, {:.6g})".format(*box)


def levels(spots: Sequence[HotSpot]) -> str:
    """Above which congestion the edges of hot spots are: "edges above 1.13", or one level a direction."""
    found = {s.name: f"{s.level:.2f}" for s in sorted(spots, key=lambda s: s.direction)}
    if len(set(found.values())) == 1:
        return f"edges above {next(iter(found.values()))}"
    return "edges above " + ", ".join(f"{level} {name}" for name, level in found.items())


def comma_separated(parts: Sequence[Code]) -> Cell:
    """Names in one cell."""
    out: list[Code | str] = []
    for part in parts:
        out += [", ", part] if out else [part]
    return tuple(out)


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings as dotted keys."""
    out: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        out += flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return out


def setting(value: object) -> Cell:
    """A setting's value; long hashes and paths as code."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return Code(text) if len(text) > 24 and " " not in text else text
