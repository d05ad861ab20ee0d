"""What the router did: label tables to arrays on the graph's grid and nets."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from circuit_io.errors import InputError
from circuit_io.gcells import HORIZONTAL, VERTICAL, GcellGrid, adjusted
from circuit_io.manifest import LAYER_RANGE, TEXT, Kind, check_kinds, read_json_object
from circuit_io.names import Names
from circuit_io.text import read_bytes

MAX_LENGTH_UM = 1e12  # of a net: far above any, and well within single precision
_SPOILED = "The file was cut or edited."
_DONE = {
    "signal_layers": LAYER_RANGE,
    "layer_adjustment": Kind("a number, or an object of layer names and numbers", lambda _: True).must(),
    **dict.fromkeys(("design", "family", "tech", "variant"), TEXT),
}


@dataclass(frozen=True)
class Labels:
    """Router results per edge, nan where masked, and routed lengths per net, nan where the router tells none.

    `congestion` is demand over the capacity that adjustments leave, 1 = full; `overflow` is in tracks.
    """

    congestion_h: Float32[np.ndarray, "ny nx"]
    congestion_v: Float32[np.ndarray, "ny nx"]
    overflow_h: Float32[np.ndarray, "ny nx"]
    overflow_v: Float32[np.ndarray, "ny nx"]
    net_length_um: Float32[np.ndarray, " nets"]


@dataclass(frozen=True)
class UsageTable:
    """`gcell_usage.csv`: capacity and usage of every signal layer, [ny, nx] each, reductions included in both."""

    layers: tuple[str, ...]
    directions: tuple[int, ...]
    capacity: Float64[np.ndarray, "layers ny nx"]
    usage: Float64[np.ndarray, "layers ny nx"]
    reduction: Float64[np.ndarray, "layers ny nx"] | None


def find(folder: Path, name: str) -> Path:
    """The file `name` or `name.gz` in a label folder; an `InputError` when there is neither."""
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise InputError(f"no {name} or {name}.gz here", path=folder, mend="Give a folder written by gsr_export_labels.")


def has(folder: Path, name: str) -> bool:
    """Whether a label folder has the file `name` or `name.gz`."""
    return (folder / name).is_file() or (folder / f"{name}.gz").is_file()


def read_parameters(folder: Path) -> dict[str, Any]:
    """`done.json` of a label folder: signal layers, adjustment, family and how the placement was made.

    Raises:
        InputError: no JSON object, no adjustment, or a value of the wrong kind.
    """
    path = find(folder, "done.json")
    found = read_json_object(path, mend="Write the labels again with gsr_export_labels.")
    check_kinds(found, _DONE, path=path)
    return found


def read_gcell_grid(path: Path) -> tuple[Int64[np.ndarray, " nx"], Int64[np.ndarray, " ny"]]:
    """Lower left borders of the router's columns and rows, in dbu."""
    rows = _rows(path, ["axis", "index", "coord_dbu"])
    try:
        x = [int(r[2]) for r in rows if r[0] == "x"]
        y = [int(r[2]) for r in rows if r[0] == "y"]
        return np.asarray(x, np.int64), np.asarray(y, np.int64)
    except (ValueError, OverflowError) as e:
        raise InputError(f"a coordinate is no number: {e}", path=path) from e


def _rows(path: Path, header: list[str]) -> list[list[str]]:
    text = read_bytes(path).decode("utf-8", "replace")
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if not rows or rows[0][: len(header)] != header:
        raise InputError(
            f"the first line is {','.join(rows[0]) if rows else 'missing'}", path=path, line=1,
            mend=f"Expected {','.join(header)}.",
        )  # fmt: skip
    width = len(rows[0])
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != width:
            raise InputError(f"{len(row)} values, expected {width}", path=path, line=number, mend="The file was cut.")
    return rows[1:]


def read_usage(path: Path, *, nx: int, ny: int) -> UsageTable:
    """The label table of a placement with a grid of nx x ny.

    Raises:
        InputError: an index outside the grid, an entry that is missing or there twice, a value that is no number of
            tracks, a direction that is neither HORIZONTAL nor VERTICAL.
    """
    wanted = ["layer", "direction", "ix", "iy", "capacity", "usage"]
    try:
        rows = pyarrow.csv.read_csv(io.BytesIO(read_bytes(path)))
    except pa.ArrowInvalid as e:
        raise InputError(f"is no table of commas: {e}", path=path, mend=_SPOILED) from e
    if rows.column_names[:6] != wanted or rows.column_names[6:] not in ([], ["reduction"]):
        raise InputError(
            f"its columns are {','.join(rows.column_names)}", path=path, line=1, mend=f"Expected {','.join(wanted)}."
        )
    gaps = sum(rows[name].null_count for name in rows.column_names)
    if gaps:
        raise InputError(f"{gaps} values are missing", path=path, mend=_SPOILED)
    try:
        ix, iy = (rows[name].cast(pa.int64()).to_numpy() for name in ("ix", "iy"))
        values = [rows[name].cast(pa.float64()).to_numpy() for name in rows.column_names[4:]]
        layer, side = (
            rows[name].cast(pa.string()).dictionary_encode().combine_chunks() for name in ("layer", "direction")
        )
    except pa.ArrowException as e:
        raise InputError(f"a value is no number: {e}", path=path) from e
    if ((ix < 0) | (ix >= nx) | (iy < 0) | (iy >= ny)).any():
        raise InputError(f"an entry lies outside the grid of {nx} x {ny}", path=path, mend="Labels and DEF differ.")
    names = layer.dictionary.to_pylist()
    level = layer.indices.to_numpy()
    for name, column in zip(rows.column_names[4:], values, strict=True):
        wrong = np.flatnonzero(~(np.isfinite(column) & (column >= 0)))
        if len(wrong):
            what = f"{column[wrong[0]]:g} is no {name} in tracks"
            raise InputError(what, path=path, line=int(wrong[0]) + 2, mend=_SPOILED)
    directions = _directions(level, len(names), side, path)
    times = np.bincount((level.astype(np.int64) * ny + iy) * nx + ix, minlength=len(names) * ny * nx)
    if (times != 1).any():
        missing, more = int((times == 0).sum()), int((times > 1).sum())
        what = f"{missing} entries are missing" if missing else f"{more} entries are there more than once"
        raise InputError(what, path=path, mend=_SPOILED)
    tables = np.full((len(values), len(names), ny, nx), np.nan)
    tables[:, level, iy, ix] = values
    return UsageTable(
        layers=tuple(names),
        directions=directions,
        capacity=tables[0],
        usage=tables[1],
        reduction=tables[2] if len(values) > 2 else None,
    )


def _directions(
    level: Int32[np.ndarray, " rows"], num_layers: int, side: pa.DictionaryArray, path: Path
) -> tuple[int, ...]:
    """The direction of each layer, the same in all of its rows."""
    words = side.dictionary.to_pylist()
    for word in words:
        if word not in ("HORIZONTAL", "VERTICAL"):
            raise InputError(f'"{word}" is no direction', path=path, mend="Expected HORIZONTAL or VERTICAL.")
    of_row = np.asarray([VERTICAL if word == "VERTICAL" else HORIZONTAL for word in words], np.int64)
    of_row = of_row[side.indices.to_numpy()]
    vertical = np.bincount(level, weights=of_row, minlength=num_layers)
    if ((vertical > 0) & (vertical < np.bincount(level, minlength=num_layers))).any():
        raise InputError("a layer has two directions", path=path, mend=_SPOILED)
    return tuple(VERTICAL if n else HORIZONTAL for n in vertical)


def reductions(table: UsageTable, adjustment: dict[str, float]) -> Float64[np.ndarray, "layers ny nx"]:
    """Tracks that adjustments take: the table's own column where it has one, else from capacity and adjustment."""
    if table.reduction is not None:
        return table.reduction
    cap = table.capacity.astype(np.int64)
    left = [adjusted(c, adjustment.get(name, 0.0)) for c, name in zip(cap, table.layers, strict=True)]
    taken: Float64[np.ndarray, "layers ny nx"] = table.capacity - np.stack(left)
    return taken


def congestion(
    table: UsageTable, reduction: Float64[np.ndarray, "layers ny nx"], direction: int
) -> tuple[Float32[np.ndarray, "ny nx"], Float32[np.ndarray, "ny nx"]]:
    """Demand over supply, and overflow in tracks, of one direction; nan on edges that hold no data."""
    mine = [i for i, d in enumerate(table.directions) if d == direction]
    demand = np.maximum(0.0, table.usage[mine] - reduction[mine]).sum(axis=0)
    supply = (table.capacity[mine] - reduction[mine]).sum(axis=0)
    overflow = np.maximum(0.0, table.usage[mine].sum(axis=0) - table.capacity[mine].sum(axis=0))
    masked = edge_mask(supply.shape, direction) | (supply <= 0)
    value = np.divide(demand, supply, out=np.full(supply.shape, np.nan), where=supply > 0)
    return np.where(masked, np.nan, value).astype(np.float32), np.where(masked, np.nan, overflow).astype(np.float32)


def edge_mask(shape: tuple[int, int], direction: int) -> Bool[np.ndarray, "ny nx"]:
    """True on entries that are no edge: the last column (H) or row (V), and the corner that FastRoute fills wrongly."""
    out = np.zeros(shape, bool)
    if direction == HORIZONTAL:
        out[:, -1] = True
    else:
        out[-1, :] = True
    out[-1, -1] = True
    return out


def read_labels(folder: Path, grid: GcellGrid, net_names: Names, adjustment: dict[str, float]) -> Labels:
    """Labels of a folder in the form of version 1, on the design's grid and nets.

    Raises:
        InputError: a file is missing or cut, its grid is not the design's, or nothing was or could be routed.
    """
    path = find(folder, "gcell_grid.csv")
    x, y = read_gcell_grid(path)
    if not (np.array_equal(x, grid.x_dbu()[:-1]) and np.array_equal(y, grid.y_dbu()[:-1])):
        raise InputError(
            f"the labels' grid is {len(x)} x {len(y)}, the design's {grid.nx} x {grid.ny}, {grid.tile_dbu} dbu a gcell",
            path=path,
            mend="Give the signal layers that the router used (--signal-layers), or labels of this DEF.",
        )
    path = find(folder, "gcell_usage.csv")
    table = read_usage(path, nx=grid.nx, ny=grid.ny)
    signal = [layer.name for layer in grid.layers if grid.signal[0] <= layer.level <= grid.signal[1]]
    if sorted(signal) != sorted(table.layers):
        raise InputError(
            f"the router used layers {', '.join(table.layers)}, the design's signal layers are {', '.join(signal)}",
            path=path,
            mend="Give the signal layers that the router used (--signal-layers).",
        )
    reduction = reductions(table, adjustment)
    h, over_h = congestion(table, reduction, HORIZONTAL)
    v, over_v = congestion(table, reduction, VERTICAL)
    if not (np.isfinite(h).any() or np.isfinite(v).any()):
        what = f"no edge of its {grid.nx} x {grid.ny} gcells has tracks left"
        raise InputError(what, path=path, mend="A die of one gcell, or capacities of zero, say nothing: leave it out.")
    if not (np.nansum(h) > 0 or np.nansum(v) > 0):
        raise InputError("no edge has a wire", path=path, mend="Write the labels after global_route.")
    return Labels(h, v, over_h, over_v, _net_lengths(folder, net_names))


def _net_lengths(folder: Path, net_names: Names) -> Float32[np.ndarray, " nets"]:
    """Routed length of every net from rows `grt: net total_um pins`, or `drt:` of a detailed route; nan elsewhere."""
    out = np.full(len(net_names), np.nan, np.float32)
    try:
        path = find(folder, "wire_length.csv")
    except InputError:
        return out
    for number, line in enumerate(read_bytes(path).splitlines(), start=1):
        words = line.split()
        if len(words) < 4 or words[0] not in (b"grt:", b"drt:"):
            continue
        shown = words[1].decode(errors="replace")
        at = net_names.find(words[1])
        if at < 0:
            raise InputError(
                f'net "{shown}" is not in the design', path=path, line=number,
                mend="Labels and DEF belong to different designs.",
            )  # fmt: skip
        try:
            length = float(words[2])
        except ValueError:
            length = np.nan
        if not 0 <= length <= MAX_LENGTH_UM:
            raise InputError(f'"{words[2].decode(errors="replace")}" is no length in um', path=path, line=number)
        if not np.isnan(out[at]):
            raise InputError(f'net "{shown}" is there twice', path=path, line=number, mend=_SPOILED)
        out[at] = length
    return out
