"""What a prediction holds: maps on the gcell grid, values per inst and per net, and their text form."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Float64, Int32

from circuit_io.errors import Faults, did_you_mean
from circuit_io.net_lengths import RoutedLengths
from circuit_io.predicted_slacks import PredictedSlacks

Map = Float32[np.ndarray, "ny nx"]
FULL = 1.0  # congestion at which all tracks are taken
VIOLATED = "drc_prob"  # the map of DRC violations


@dataclass(frozen=True)
class MapKind:
    """One map: its unit and meaning, where its entries sit (`edge_h`, `edge_v`, `gcell`), and whether it may lack."""

    unit: str
    meaning: str
    place: str
    is_required: bool = True


MAPS: dict[str, MapKind] = {
    "congestion_h": MapKind("1 = full", "predicted demand over the tracks that adjustments leave", "edge_h"),
    "congestion_v": MapKind("1 = full", "predicted demand over the tracks that adjustments leave", "edge_v"),
    "rudy_h": MapKind("1 = full", "RUDY on the gcell boxes of the nets, over capacity", "edge_h"),
    "rudy_v": MapKind("1 = full", "RUDY on the gcell boxes of the nets, over capacity", "edge_v"),
    "capacity_h": MapKind("tracks", "what layer adjustments leave, summed over the signal layers", "edge_h"),
    "capacity_v": MapKind("tracks", "what layer adjustments leave, summed over the signal layers", "edge_v"),
    "overflow_prob_h": MapKind("0..1", "probability of congestion above 1", "edge_h", is_required=False),
    "overflow_prob_v": MapKind("0..1", "probability of congestion above 1", "edge_v", is_required=False),
    "sigma_h": MapKind("1 = full", "one standard deviation of congestion_h", "edge_h", is_required=False),
    "sigma_v": MapKind("1 = full", "one standard deviation of congestion_v", "edge_v", is_required=False),
    VIOLATED: MapKind(
        "0..1", "probability of a DRC violation in the gcell in detailed routing", "gcell", is_required=False
    ),
    "cell_area_um2": MapKind("um^2", "area of movable insts in the gcell", "gcell", is_required=False),
    "fixed_area_um2": MapKind("um^2", "area of fixed insts in the gcell", "gcell", is_required=False),
}


@dataclass(frozen=True)
class Prediction:
    """Predicted quantities of one placement on its gcell grid; entry `[iy, ix]`, row 0 at the lowest y.

    An `edge_h` map holds at `[iy, ix]` the edge to the right neighbour and NaN in the last column; an `edge_v` map
    the edge to the neighbour above and NaN in the last row. NaN elsewhere is an edge without tracks.

    Attributes:
        manifest: what is in manifest.json: design, stage, run_id, versions and hashes.
        x_um, y_um: borders of columns and rows, one more than there are gcells.
        maps: see `MAPS`.
        inst_congestion: mean of H and V at the inst's gcell, in the order of the export's insts; may be empty.
        net_demand: each net's part in the expected overflow (tracks), in the export's order; may be empty.
        net_lengths: predicted routed lengths of the nets; None where the weights have no such task.
        slacks: predicted slacks of endpoints; None without that task or without slacks in the export.
    """

    manifest: dict[str, Any]
    x_um: Float64[np.ndarray, " nx_plus_1"]
    y_um: Float64[np.ndarray, " ny_plus_1"]
    maps: dict[str, Map]
    inst_congestion: Float32[np.ndarray, " insts"] = field(default_factory=lambda: np.zeros(0, np.float32))
    net_demand: Float32[np.ndarray, " nets"] = field(default_factory=lambda: np.zeros(0, np.float32))
    net_lengths: RoutedLengths | None = None
    slacks: PredictedSlacks | None = None
    path: Path | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the maps."""
        return len(self.y_um) - 1, len(self.x_um) - 1

    @property
    def design(self) -> str:
        """Name of the design."""
        return str(self.manifest.get("design", ""))

    @property
    def stage(self) -> str:
        """Stage of the flow that the placement comes from."""
        return str(self.manifest.get("stage", "place"))

    def gcell_um(self) -> tuple[float, float]:
        """Width and height of an inner gcell."""
        return float(self.x_um[1] - self.x_um[0]), float(self.y_um[1] - self.y_um[0])

    def per_gcell(self, kind: str) -> Map:
        """A map `kind_h` or `kind_v` as a value per gcell: the mean of the gcell's two edges, 0 where it has none."""
        edges = self.maps[kind]
        before = np.full_like(edges, np.nan)
        if MAPS[kind].place == "edge_h":
            before[:, 1:] = edges[:, :-1]
        else:
            before[1:] = edges[:-1]
        pair = np.stack([before, edges])
        seen = np.isfinite(pair)
        total = np.where(seen, pair, 0).sum(0)
        return np.asarray(total / np.maximum(seen.sum(0), 1), np.float32)


@runtime_checkable
class HasNets(Protocol):
    """The part of a `CircuitGraph` that annotations use."""

    @property
    def net_box(self) -> Int32[np.ndarray, "nets 4"]:
        """x0, y0, x1, y1 of each net, inclusive gcell indices."""

    @property
    def pin_net(self) -> Int32[np.ndarray, " pins"]:
        """The net of each pin, ascending."""

    @property
    def pin_gcell(self) -> Int32[np.ndarray, " pins"]:
        """The gcell of each pin: row x columns + column."""


@runtime_checkable
class PlacedDesign(Protocol):
    """The part of a stored design that annotations and reports use."""

    @property
    def manifest(self) -> dict[str, Any]:
        """The export's manifest.json."""

    @property
    def insts(self) -> pa.Table:
        """Table of insts, with `name`."""

    @property
    def nets(self) -> pa.Table:
        """Table of nets, with `name`."""

    @property
    def modules(self) -> pa.Table | None:
        """Table of modules, where they are known; insts and nets have the column `module` then."""

    @property
    def graph(self) -> HasNets:
        """The graph, with the pins of the nets."""


def check_prediction(prediction: Prediction, *, path: Path | str = "<memory>") -> None:
    """Check shapes, finiteness and the NaN rules of all maps.

    Raises:
        InputError: lists every map that is wrong.
    """
    faults = Faults(path)
    for name, borders in (("x_um", prediction.x_um), ("y_um", prediction.y_um)):
        if borders.ndim != 1 or len(borders) < 2 or not (np.isfinite(borders).all() and (np.diff(borders) > 0).all()):
            faults.add(f"{name} is no ascending row of at least two borders")
    faults.raise_if_any()
    for key, kind in MAPS.items():
        if kind.is_required and key not in prediction.maps:
            faults.add(f'map "{key}" is missing')
    for key, values in prediction.maps.items():
        _check_map(key, values, prediction.shape, faults)
    for name in ("inst_congestion", "net_demand"):
        _check_row(name, getattr(prediction, name), faults)
    if prediction.net_lengths is not None:
        for name, values in vars(prediction.net_lengths).items():
            _check_row(f"net_{name}", values, faults)
            if values.shape != prediction.net_demand.shape:
                faults.add(f"net_{name} holds {len(values)} nets, net_demand {len(prediction.net_demand)}")
            if (values < 0).any():
                faults.add(f"net_{name} holds a length below 0")
    if prediction.slacks is not None:
        for name in ("slack_ns", "routed_ns"):
            _check_row(f"endpoint {name}", getattr(prediction.slacks, name), faults)
    faults.raise_if_any()


def _check_row(name: str, values: np.ndarray, faults: Faults) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if values.ndim != 1:
        faults.add(f"{name} has {values.ndim} axes, expected 1")
    elif len(bad):
        faults.add(f"{name}[{bad[0]}] and {len(bad) - 1} more are not finite")


def without_borders(prediction: Prediction) -> Prediction:
    """The same with NaN in the last column of H maps and the last row of V maps, where no edge is.

    What lies below 0 by less than a millionth (sums of differences do) becomes 0.
    """
    maps = {key: values.copy() for key, values in prediction.maps.items()}
    for key, values in maps.items():
        place = MAPS[key].place if key in MAPS else ""
        values[(values < 0) & (values > -1e-6)] = 0.0
        if values.ndim == 2 and place == "edge_h":
            values[:, -1] = np.nan
        elif values.ndim == 2 and place == "edge_v":
            values[-1] = np.nan
    return replace(prediction, maps=maps)


def _check_map(key: str, values: Map, shape: tuple[int, int], faults: Faults) -> None:
    if key not in MAPS:
        faults.add(f'unknown map "{key}"', mend=did_you_mean(key, MAPS))
        return
    if values.shape != shape or values.dtype != np.float32:
        faults.add(f'map "{key}" is {values.dtype}{list(values.shape)}, expected float32{list(shape)}')
        return
    place = MAPS[key].place
    border = values[:, -1] if place == "edge_h" else values[-1] if place == "edge_v" else np.zeros(0)
    if np.isfinite(border).any():
        faults.add(f'map "{key}" has values in the last {"column" if place == "edge_h" else "row"}: no edge is there')
    if np.isinf(values).any() or (place == "gcell" and np.isnan(values).any()):
        faults.add(f'map "{key}" is not finite at {_first(~np.isfinite(values))}')
    elif (values < 0).any():
        faults.add(f'map "{key}" is negative at {_first(values < 0)}')


def _first(where: np.ndarray) -> str:
    iy, ix = np.argwhere(where)[0]
    return f"gcell [{iy}, {ix}]"


def heatmap_csv(prediction: Prediction, kind: str) -> bytes:
    """A map in the columns and the order of OpenROAD's `gui::dump_heatmap`: a row per gcell, um, at full precision.

    The last column of an H map and the last row of a V map repeat their neighbour; a gcell without a value has no row.
    """
    values = prediction.maps[kind].copy()
    if MAPS[kind].place == "edge_h" and values.shape[1] > 1:
        values[:, -1] = values[:, -2]
    elif MAPS[kind].place == "edge_v" and values.shape[0] > 1:
        values[-1] = values[-2]
    unit = {"1 = full": "congestion", "0..1": "probability"}.get(MAPS[kind].unit, MAPS[kind].unit)
    xs, ys = ([repr(v) for v in borders.tolist()] for borders in (prediction.x_um, prediction.y_um))
    rows = [f"x0,y0,x1,y1,value ({unit})"]
    for ix, column in enumerate(values.T.astype(str).tolist()):
        rows += [
            f"{xs[ix]},{ys[iy]},{xs[ix + 1]},{ys[iy + 1]},{value}" for iy, value in enumerate(column) if value != "nan"
        ]
    return ("\n".join(rows) + "\n").encode()
