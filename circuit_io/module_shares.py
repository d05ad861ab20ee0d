"""Which modules fill a hot spot: their shares of its cell area and of its predicted demand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int

from circuit_io.hotspots import HotSpot
from circuit_io.maps import PlacedDesign, Prediction
from circuit_io.spot_nets import spot_wires

UNKNOWN = ""  # name of the row for what no module is known of


@dataclass(frozen=True)
class ModuleInSpot:
    """A module's part in a hot spot, all of its instances together.

    Attributes:
        name: of the module; its path where only that is known; empty for insts and nets of no known module.
        source: the file name and line of the RTL module, as `alu.v:12`; empty where no RTL tells.
        paths: its instances in the hot spot, the largest first; the top is "".
        area_frac: share of the area of the insts whose middle lies in the box.
        area_feeds_frac: share of it that is of no known module and feeds this one.
        demand_frac: share of the expected wire there, by the drivers of the nets.
        demand_feeds_frac: share of it whose driver is of no known module and feeds this one.
    """

    name: str
    source: str
    paths: tuple[str, ...]
    area_frac: float
    area_feeds_frac: float
    demand_frac: float
    demand_feeds_frac: float

    @property
    def total(self) -> float:
        """All four together: what modules are ranked by."""
        return self.area_frac + self.area_feeds_frac + self.demand_frac + self.demand_feeds_frac

    @property
    def is_notable(self) -> bool:
        """A known module with 5 % of area and demand: what a line that names the first modules has room for."""
        return self.name != UNKNOWN and self.total >= 0.1


def rank_modules(
    prediction: Prediction, design: PlacedDesign, spots: Sequence[HotSpot], *, top: int = 5
) -> list[list[ModuleInSpot]]:
    """For each hot spot its modules, the largest `total` first, then what is of no known module.

    Without a table of modules every list is empty.
    """
    modules = design.modules
    if modules is None or not spots:
        return [[] for _ in spots]
    x, y, width, height = (np.asarray(design.insts[n], np.float64) for n in ("x_um", "y_um", "width_um", "height_um"))
    middle, area = (x + width / 2, y + height / 2), width * height
    inst, net = (
        [np.asarray(t[column], np.int64) for column in ("module", "feeds")] for t in (design.insts, design.nets)
    )
    count, out = len(modules), []
    for spot, wire_um in zip(spots, spot_wires(prediction, design.graph, spots), strict=True):
        x1, y1, x2, y2 = spot.box_um
        inside = (middle[0] >= x1) & (middle[0] < x2) & (middle[1] >= y1) & (middle[1] < y2)
        shares = [_shares(rows[inside], area[inside], count) for rows in inst]
        shares += [_shares(rows, wire_um, count) for rows in net]
        out.append(_ranked(modules, shares, top=top))
    return out


def _shares(
    module: Int[np.ndarray, " n"], amount: Float64[np.ndarray, " n"], count: int
) -> Float64[np.ndarray, " modules_plus_1"]:
    """The share of each row of the table, and last of what has none."""
    total = float(amount.sum())
    return np.bincount(np.where(module < 0, count, module), amount, count + 1) / (total if total > 0 else 1.0)


def _ranked(modules: pa.Table, shares: list[Float64[np.ndarray, " m"]], *, top: int) -> list[ModuleInSpot]:
    """The rows of the table gathered by module; `shares` are area, area that feeds, demand, demand that feeds."""
    total = np.sum(shares, axis=0)[:-1]
    rows = np.flatnonzero(total > 0)
    rows = rows[np.argsort(-total[rows], kind="stable")]
    facts = modules.select(["path", "module", "file", "line"]).take(rows).to_pylist()
    groups: dict[str, list[int]] = {}
    for i, fact in enumerate(facts):
        groups.setdefault(fact["module"] or fact["path"], []).append(i)
    found = [
        ModuleInSpot(
            name, _source(facts[mine[0]]), tuple(facts[i]["path"] for i in mine),
            *(float(share[rows[mine]].sum()) for share in shares),
        )
        for name, mine in groups.items()
    ]  # fmt: skip
    found.sort(key=lambda m: -m.total)
    unknown = ModuleInSpot(UNKNOWN, "", (), float(shares[0][-1]), 0.0, float(shares[2][-1]), 0.0)
    return [*found[:top], *([unknown] if unknown.total > 0 else [])]


def _source(fact: dict[str, str | int]) -> str:
    name = str(fact["file"]).rpartition("/")[2]
    return f"{name}:{fact['line']}" if name else ""
