"""What a model was trained on, in numbers of whole designs, and where another design lies outside of it.

A design is measured by the mean of each of its features over nodes or gcells, for features of edges also by the value
that 1 % of the gcells exceed, and by what its manifest tells of technology and power grid. Features that mirrors or a
quarter turn exchange count as one: training shows a design from all sides.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32

from circuit_io.drift import TECHNOLOGY, Drift
from circuit_io.fields import Field, column, names
from circuit_io.graph import CircuitGraph
from circuit_io.manifest import BOX, NUMBERS, is_number
from gsr_plugin.dataset import Entry, Loader
from gsr_plugin.normaliser import KINDS, MASKED_BY, feature_masks, features_of

MARGIN = 0.25  # of the width of a range that a design may lie beyond it; docs/prediction.md has what others would give
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)  # over placements, of what the weights keep
_FROM_LIBERTY: dict[str, set[str]] = {
    "inst": {"is_sequential", "is_buffer", "drive", "input_cap"},
    "net": {"driver", "load"},
    "gcell": set(),
}
_HIGH = 0.99
_WIDTHS = {"log": 0.5, "tracks": 0.5, "count": 1.0}  # by the start of a unit; else 0.1
_OF_DESIGN = (
    Field("gcell_um", "um", "side of a gcell in um"),
    Field("gcell_rows", "ratio", "rows of insts in a gcell"),
    Field("macros", "share", "share of the die under macros"),
    Field("power_grid", "share", "power grid and routing blockages, of all signal layers, over the die"),
)

Values = dict[str, tuple[float, ...]]  # a measure, and its values in one design: of both directions, or of four sides


@dataclass(frozen=True)
class TrainingRange:
    """Quantiles of every measure over the training placements, `QUANTILES` each, and the technologies."""

    technologies: tuple[str, ...] = ()
    quantiles: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Entry], load: Loader) -> "TrainingRange":
        """The range of exported placements."""
        return cls.over((e.technology, measure(load(e).graph, load(e).manifest)) for e in entries)

    @classmethod
    def over(cls, placements: Iterable[tuple[str, Values]]) -> "TrainingRange":
        """The range of placements by technology and measures."""
        technologies, found = set(), dict[str, list[float]]()
        for technology, values in placements:
            technologies.add(technology)
            for name, several in values.items():
                found.setdefault(name, []).extend(several)
        kept = {name: [float(f"{q:.5g}") for q in np.quantile(values, QUANTILES)] for name, values in found.items()}
        return cls(tuple(sorted(technologies)), kept)

    def joined(self, other: "TrainingRange") -> "TrainingRange":
        """The range of both together; not known when one of them is not.

        The quantiles between lowest and highest, which no warning uses, are those of the wider of the two.
        """
        if not (self.is_known and other.is_known):
            return TrainingRange(tuple(sorted({*self.technologies, *other.technologies})))
        quantiles = {}
        for name in sorted({*self.quantiles, *other.quantiles}):
            rows = [r.quantiles[name] for r in (self, other) if name in r.quantiles]
            widest = max(rows, key=lambda row: row[-1] - row[0])
            quantiles[name] = [min(r[0] for r in rows), *widest[1:-1], max(r[-1] for r in rows)]
        return TrainingRange(tuple(sorted({*self.technologies, *other.technologies})), quantiles)

    @property
    def is_known(self) -> bool:
        """Whether the weights tell what they were trained on; older ones do not."""
        return bool(self.quantiles)

    def drift(self, graph: CircuitGraph, manifest: Mapping[str, Any]) -> list[Drift]:
        """Where a design lies outside, the farthest first; nothing when the range is not known."""
        if not self.is_known:
            return []
        return self.outside(str(manifest.get("technology") or ""), measure(graph, manifest))

    def outside(self, technology: str, values: Values, *, margin: float = MARGIN) -> list[Drift]:
        """The measures beyond the range by more than `margin` of its width; a technology without a name is none."""
        out = []
        if technology and technology not in self.technologies:
            known = ", ".join(self.technologies)
            out.append(Drift(TECHNOLOGY, "name of the technology", technology, "", known, math.inf))
        declared = measures()
        for name, several in values.items():
            if name not in self.quantiles:
                continue
            low, *_, high = self.quantiles[name]
            value = max(several, key=lambda v: max(low - v, v - high))
            far = max(low - value, value - high) / max(high - low, _width(declared[name].unit))
            if far > margin:
                out.append(Drift(name, declared[name].meaning, value, low, high, far))
        return sorted(out, key=lambda d: -d.far)


def is_table(found: object) -> bool:
    """Whether a JSON value is a table of measures, `QUANTILES` each."""
    return isinstance(found, dict) and all(NUMBERS.test(row) and len(row) == len(QUANTILES) for row in found.values())


def _width(unit: str) -> float:
    """The least width of a range: what of a unit counts as much where all training placements have the same value."""
    return next((width for start, width in _WIDTHS.items() if unit.startswith(start)), 0.1)


def measures() -> dict[str, Field]:
    """Every measure by name, with its unit and meaning."""
    found = {f"design.{f.name}": f for f in _OF_DESIGN}
    for kind, declared in KINDS.items():
        for orbit in _orbits(declared):
            first = orbit[0]
            name = first.name.removesuffix("_h")
            meaning = first.meaning.replace("horizontal ", "")
            found[f"{kind}.{name}"] = Field(name, first.unit, f"{meaning}; mean over {kind}s")
            if first.place != "gcell":
                found[f"{kind}.{name}.high"] = Field(name, first.unit, f"{meaning}; what 1 % of {kind}s exceed")
    return found


def measure(graph: CircuitGraph, manifest: Mapping[str, Any]) -> Values:
    """The measures of one design, without those of inputs that it does not have (Liberty, maps of the router)."""
    grid = manifest.get("grid") or {}
    tile_um, row_um = grid.get("tile_um"), manifest.get("row_height_um")
    found: Values = {}
    if is_number(tile_um) and tile_um > 0:
        found["design.gcell_um"] = (float(tile_um),)
        if is_number(row_um) and row_um > 0:
            found["design.gcell_rows"] = (tile_um / row_um,)
    wires_um2, die = (manifest.get("placement") or {}).get("power_grid_area_um2"), manifest.get("die_um")
    if is_number(wires_um2) and die is not None and BOX.test(die):
        found["design.power_grid"] = (wires_um2 / max(1e-9, (die[2] - die[0]) * (die[3] - die[1])),)
    for kind, declared in KINDS.items():
        found |= _of_kind(graph, kind, declared)
    return found


def _of_kind(graph: CircuitGraph, kind: str, declared: tuple[Field, ...]) -> Values:
    values, names_ = features_of(graph, kind), names(declared)
    if not len(values):
        return {}
    known = {names_[i]: mask > 0 for i, mask in feature_masks(kind, values).items()}
    everywhere = np.ones(len(values), bool)
    is_cell = values[:, names_.index("is_port")] < 0.5 if kind == "inst" else everywhere
    has_liberty = bool(graph.inst_features[:, column(KINDS["inst"], "has_liberty")].any())
    flags, out = set(MASKED_BY.get(kind, {}).values()), Values()
    if kind == "inst":
        macros = values[values[:, names_.index("is_macro")] > 0]
        area = (macros[:, names_.index("width")] * macros[:, names_.index("height")]).sum(dtype=np.float64)
        out["design.macros"] = (float(area) / (graph.nx * graph.ny),)
    for orbit in _orbits(declared):
        first, name = orbit[0], f"{kind}.{orbit[0].name.removesuffix('_h')}"
        if first.name in _FROM_LIBERTY[kind] and not has_liberty:
            continue
        rows = everywhere if first.name == "is_port" else is_cell
        parts = [values[rows & known.get(f.name, everywhere), names_.index(f.name)] for f in orbit]
        parts = [part for part in parts if len(part)]
        if first.name in flags and not any(part.any() for part in parts):
            continue
        if parts:
            out[name] = tuple(float(part.mean(dtype=np.float64)) for part in parts)
        if parts and first.place != "gcell":
            out[f"{name}.high"] = tuple(_high(part) for part in parts)
    return out


def _high(values: Float32[np.ndarray, " n"]) -> float:
    at = min(len(values) - 1, int(_HIGH * len(values)))
    return float(np.partition(values, at)[at])


def _orbits(declared: tuple[Field, ...]) -> list[tuple[Field, ...]]:
    """Features that mirrors and the turn exchange, together; what a mirror negates has no mean to speak of."""
    by_name = {f.name: f for f in declared}
    out, done = [], set()
    for first in declared:
        if first.name in done or first.odd:
            continue
        orbit, new = [first.name], [first.name]
        while new:
            one = by_name[new.pop()]
            for partner in (one.mirror_x, one.mirror_y, one.transpose):
                if partner and partner not in orbit:
                    orbit.append(partner)
                    new.append(partner)
        done.update(orbit)
        out.append(tuple(by_name[name] for name in orbit))
    return out
