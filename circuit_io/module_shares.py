"""Which modules fill a hot spot: their shares of its cell area and of its predicted demand."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int

from circuit_io.hotspots import HotSpot
from circuit_io.maps import PlacedDesign

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


class SpotModules:
    """The modules of a design, for its hot spots one by one."""

    def __init__(self, design: PlacedDesign) -> None:
        self._modules = design.modules
        if self._modules is None:
            return
        x, y, width, height = (
            np.asarray(design.insts[n], np.float64) for n in ("x_um", "y_um", "width_um", "height_um")
        )
        self._middle, self._area = (x + width / 2, y + height / 2), width * height
        self._inst, self._net = (
            [np.asarray(t[column], np.int64) for column in ("module", "feeds")] for t in (design.insts, design.nets)
        )

    def ranked(self, spot: HotSpot, wire_um: Float64[np.ndarray, " nets"], *, top: int = 5) -> list[ModuleInSpot]:
        """The modules in a hot spot, the largest `total` first, then what is of no known module.

        Args:
            spot: the hot spot.
            wire_um: its wires, of `spot_wires`.
            top: how many, besides the unknown; without a table of modules none.
        """
        if self._modules is None:
            return []
        (x, y), count, (x1, y1, x2, y2) = self._middle, len(self._modules), spot.box_um
        inside = (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
        shares = [_shares(rows[inside], self._area[inside], count) for rows in self._inst]
        shares += [_shares(rows, wire_um, count) for rows in self._net]
        return _ranked(self._modules, shares, top=top)


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
