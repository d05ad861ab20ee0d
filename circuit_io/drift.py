"""Where a design lies outside of what a model was trained on, as the prediction's manifest tells it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuit_io.errors import InputError
from circuit_io.manifest import NUMBER, TEXT, check_kinds

TECHNOLOGY = "technology"
_KINDS = {"name": TEXT.must(), "meaning": TEXT.must()}
_NUMBERS = dict.fromkeys(("found", "low", "high", "far"), NUMBER.must())
_TEXTS = dict.fromkeys(("found", "high"), TEXT.must())


@dataclass(frozen=True)
class Drift:
    """One measure of a design that lies outside.

    Attributes:
        name: of the measure, as in the weights, or "technology".
        meaning: what was measured.
        found: value in the design.
        low, high: of the training placements; of the technology "" and those that were there.
        far: distance to the nearer of the two, in widths of the range; infinite for a technology.
    """

    name: str
    meaning: str
    found: float | str
    low: float | str
    high: float | str
    far: float

    def __str__(self) -> str:
        if isinstance(self.found, str):
            return f"{self.name} {self.found} (trained on {self.high})"
        return f"{self.name} {self.found:.3g} (trained on {self.low:.3g} to {self.high:.3g})"

    def to_json(self) -> dict[str, Any]:
        """An entry of the manifest's `drift`."""
        return {**vars(self), "far": self.far if math.isfinite(self.far) else None}


def drift_of(manifest: Mapping[str, Any], *, path: Path | str = "<memory>") -> list[Drift] | None:
    """What a prediction's manifest says, the farthest first; None where the model does not know its range.

    Raises:
        InputError: an entry is garbled.
    """
    found = manifest.get("drift")
    if found is None:
        return None
    mend = "Predict again with --overwrite."
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise InputError('"drift" is no list of objects', path=path, mend=mend)
    out = []
    for row in found:
        is_technology = row.get("name") == TECHNOLOGY
        check_kinds(row, _KINDS | (_TEXTS if is_technology else _NUMBERS), path=path, mend=mend)
        far = math.inf if is_technology else float(row["far"])
        out.append(Drift(row["name"], row["meaning"], row["found"], row.get("low", ""), row["high"], far))
    return out


def drift_text(drift: Sequence[Drift], *, most: int = 4) -> str:
    """The first of them in words: "gcell.density 0.91 (trained on 0.25 to 0.84), ... and 3 more"."""
    more = f" and {len(drift) - most} more" if len(drift) > most else ""
    return ", ".join(map(str, drift[:most])) + more
