"""Violations of a detailed route, as OpenROAD's `detailed_route -output_drc` reports them, and their gcells."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Float64, Int64

from circuit_io.errors import Faults, InputError
from circuit_io.store import StoredDesign, read_more
from circuit_io.text import read_bytes

TABLE, FILE = "drc", "route_drc.rpt"  # in an export folder, and in a label folder
_MEND = "Give what detailed_route -output_drc wrote, as 5_route_drc.rpt."
_OTHER = "Give the report of this placement's route."
_KIND, _SOURCES, _COMMENT = "violation type:", "srcs:", ("comment:", "congestion information:")
_REAL = r"(-?\d{1,12}(?:\.\d{1,12})?)"
_BOX = re.compile(rf"bbox = \({_REAL}, {_REAL}\) - \({_REAL}, {_REAL}\) on Layer (\S+)")


@dataclass(frozen=True)
class Violations:
    """Violations in the order of the report: rule (of `kinds`), layer (of `layers`), box in um, and what it names."""

    kinds: tuple[str, ...]
    layers: tuple[str, ...]
    kind: Int64[np.ndarray, " violations"]
    layer: Int64[np.ndarray, " violations"]
    box_um: Float64[np.ndarray, "violations 4"]
    sources: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class DrcCounts:
    """Violations counted by gcell, rule and layer; `ix`, `iy` is the gcell of the middle of the box."""

    ix: Int64[np.ndarray, " rows"]
    iy: Int64[np.ndarray, " rows"]
    kind: tuple[str, ...]
    layer: tuple[str, ...]
    count: Int64[np.ndarray, " rows"]

    def total(self, *, ny: int, nx: int) -> Int64[np.ndarray, "ny nx"]:
        """Violations of every gcell."""
        out = np.zeros((ny, nx), np.int64)
        np.add.at(out, (self.iy, self.ix), self.count)
        return out

    def by_kind(self) -> dict[str, int]:
        """Violations of each rule, the most first."""
        sums: dict[str, int] = {}
        for kind, count in zip(self.kind, self.count.tolist(), strict=True):
            sums[kind] = sums.get(kind, 0) + count
        return dict(sorted(sums.items(), key=lambda one: (-one[1], one[0])))

    def table(self) -> pa.Table:
        """A row a gcell, rule and layer, for an export folder."""
        return pa.table(
            {
                "ix": pa.array(self.ix, pa.int32()),
                "iy": pa.array(self.iy, pa.int32()),
                "type": pa.array(self.kind, pa.string()),
                "layer": pa.array(self.layer, pa.string()),
                "count": pa.array(self.count, pa.int32()),
            }
        )

    @classmethod
    def of_table(cls, table: pa.Table) -> "DrcCounts":
        """The counts that `table` gave."""
        ix, iy, count = (np.asarray(table[name], np.int64) for name in ("ix", "iy", "count"))
        return cls(ix, iy, tuple(table["type"].to_pylist()), tuple(table["layer"].to_pylist()), count)


def read_drc(path: Path | str) -> Violations:
    """The violations of a report; an empty one has none.

    Raises:
        InputError: lines of another form, a box that runs backwards, or a report that was cut.
    """
    path, faults = Path(path), Faults(path)
    kinds: dict[str, int] = {}
    layers: dict[str, int] = {}
    rows: list[tuple[int, int]] = []
    boxes: list[list[float]] = []
    sources: list[tuple[str, ...]] = []
    kind, named = "", None
    for number, line in enumerate(read_bytes(path).decode("utf-8", "surrogateescape").split("\n"), start=1):
        text = line.strip()
        if not text or (kind and text.startswith(_COMMENT)):
            continue
        if text.startswith(_KIND):
            if kind:
                faults.add(f'violation "{kind[:60]}" has no bbox', line=number - 1, mend=_MEND)
            kind, named = text.removeprefix(_KIND).strip(), None
            if not kind:
                faults.add("a violation has no type", line=number, mend=_MEND)
        elif kind and named is None and text.startswith(_SOURCES):
            named = tuple(text.removeprefix(_SOURCES).split())
        elif kind and (found := _BOX.fullmatch(text)):
            box = [float(word) for word in found.groups()[:4]]
            if box[0] > box[2] or box[1] > box[3]:
                faults.add(f"{text[:80]} runs backwards", line=number, mend="Lower left corner first.")
            rows.append((kinds.setdefault(kind, len(kinds)), layers.setdefault(found[5], len(layers))))
            boxes.append(box)
            sources.append(named or ())
            kind = ""
        else:
            expected = "srcs: or bbox = (x, y) - (x, y) on Layer NAME" if kind else "violation type:"
            faults.add(f'"{text[:60]}": expected {expected}', line=number, mend=_MEND)
    if kind:
        faults.add(f'ends within violation "{kind[:60]}"', mend="The file was cut.")
    faults.raise_if_any()
    table = np.array(rows, np.int64).reshape(-1, 2)
    box_um = np.array(boxes, np.float64).reshape(-1, 4)
    return Violations(tuple(kinds), tuple(layers), table[:, 0], table[:, 1], box_um, tuple(sources))


def count_violations(
    found: Violations,
    *,
    x_um: Float64[np.ndarray, " nx_plus_1"],
    y_um: Float64[np.ndarray, " ny_plus_1"],
    path: Path | str,
) -> DrcCounts:
    """Violations by gcell, rule and layer on gcells with these borders.

    Args:
        found: what `read_drc` found.
        x_um: borders of the columns.
        y_um: borders of the rows.
        path: the report, for messages.

    Raises:
        InputError: a violation outside the die.
    """
    faults = Faults(path)
    at = []
    for axis, borders in enumerate((x_um, y_um)):
        middle = (found.box_um[:, axis] + found.box_um[:, axis + 2]) / 2
        outside = np.flatnonzero((middle < borders[0]) | (middle > borders[-1]))
        for row in outside.tolist():
            where = ", ".join(f"{value:g}" for value in found.box_um[row])
            faults.add(f"violation {row + 1}, at {where}, lies outside the die", mend=_OTHER)
        at.append(np.clip(np.searchsorted(borders, middle, side="right") - 1, 0, len(borders) - 2))
    faults.raise_if_any()
    keys = np.column_stack([at[1], at[0], found.kind, found.layer]).astype(np.int64)
    rows, count = np.unique(keys, axis=0, return_counts=True)
    return DrcCounts(
        ix=rows[:, 1],
        iy=rows[:, 0],
        kind=tuple(found.kinds[k] for k in rows[:, 2]),
        layer=tuple(found.layers[k] for k in rows[:, 3]),
        count=count.astype(np.int64),
    )


def read_stored_drc(design: StoredDesign) -> DrcCounts | None:
    """The counted violations of an export folder; None when its labels had no report.

    Raises:
        InputError: the table does not fit the design.
    """
    counts, graph = read_more(design, TABLE, DrcCounts.of_table), design.graph
    if counts is None:
        return None
    is_inside = (counts.ix >= 0) & (counts.ix < graph.nx) & (counts.iy >= 0) & (counts.iy < graph.ny)
    if not is_inside.all() or not (counts.count > 0).all():
        path = design.path / f"{TABLE}.parquet"
        raise InputError("a row lies outside the design, or counts nothing", path=path, mend="Export the design again.")
    return counts


def violation_recall(violations: Int64[np.ndarray, "ny nx"], heat: Float[np.ndarray, "ny nx"], share: float) -> float:
    """The share of the violations in the hottest `share` of the gcells; of gcells that tie, the mean.

    Args:
        violations: of every gcell; one at least.
        heat: of every gcell, nan counting as the coldest.
        share: of the gcells.
    """
    values = np.where(np.isfinite(heat), heat, -np.inf).ravel()
    places, weight = share * values.size, violations.ravel().astype(np.float64)
    least = np.sort(values)[::-1][min(int(np.ceil(places)), values.size) - 1]
    above, equal = values > least, values == least
    part = (places - above.sum()) / equal.sum()
    return float((weight[above].sum() + part * weight[equal].sum()) / weight.sum())


def gcell_heat(h: Float[np.ndarray, "ny nx"], v: Float[np.ndarray, "ny nx"]) -> Float[np.ndarray, "ny nx"]:
    """The worst of the edges that a gcell has, in either direction; -inf where it has none."""
    heat = np.full(h.shape, -np.inf)
    for values, axis in ((h, 1), (v, 0)):
        edges = np.where(np.isfinite(values), values, -np.inf)
        before = np.roll(edges, 1, axis)
        before[(slice(None), 0) if axis else (0, slice(None))] = -np.inf
        heat = np.maximum(heat, np.maximum(edges, before))
    return heat
