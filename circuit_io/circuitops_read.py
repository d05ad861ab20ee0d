"""Tables in CircuitOps' columns to a design folder: what `gsr import circuitops` does.

Read are `cell_properties`, `pin_properties`, `net_properties` and `design_properties` (plain or gzip). The edge tables
say again what `pin_properties` says (the cell and the net of every pin), and are not needed.

Source:
    github.com/NVlabs/CircuitOps at e1c9983: `scripts/python/openroad_helpers.py` and `scripts/tcl/generate_tables.tcl`
    for columns and units (dbu, F, 1 = yes), and the tables in `IRs/`.
"""

import io
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from jaxtyping import Bool, Float32, Float64, Int8, Int64

from circuit_io.design import CLOCK, INPUT, OUTPUT
from circuit_io.errors import Faults, InputError
from circuit_io.gcells import GcellGrid, gcell_dbu
from circuit_io.imported import bare_design, write_import
from circuit_io.labels import Labels
from circuit_io.text import read_bytes

TEXTS = {
    "cell_properties": ("cell_name", "libcell_name"),
    "pin_properties": ("pin_name", "cell_name", "net_name"),
    "net_properties": ("net_name",),
}
NUMBERS = {
    "cell_properties": ("x0", "y0", "x1", "y1", "is_seq", "is_macro", "is_buf", "is_inv"),
    "pin_properties": ("x", "y", "is_in_clk", "dir", "input_pin_cap"),
    "net_properties": ("net_route_length",),
}
NO_VALUE = ["", "NA", "N/A", "None", "NaN", "nan", "-nan", "inf", "-inf"]
DBU_PER_UM = (100, 200, 400, 800, 1000, 2000, 4000, 8000, 10000, 20000)  # that LEF knows
MAX_PLACE = 1 << 31  # dbu; OpenDB has 32 bits for them
MAX_LENGTH = 1 << 53
CORE_FILLED = 0.999  # of the core's width or height, spanned by insts: fillers leave no gap


def import_circuitops(
    folder: Path,
    out: Path,
    *,
    gcell_um: float | None = None,
    dbu_per_um: int | None = None,
    family: str | None = None,
    technology: str | None = None,
    variant: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the design folder `out` from the tables in `folder`; returns its manifest.

    Args:
        folder: holds the tables as CSV.
        out: the folder to write.
        gcell_um: side of a gcell; needed unless the tables are from `to_circuitops`.
        dbu_per_um: the unit of coordinates; else what the tables say, or what makes the insts fill the core.
        family: designs that share RTL have the same family; else the design's name.
        technology: name of the technology.
        variant: name of this placement.
        overwrite: replace an earlier export in `out`.

    Raises:
        InputError: a table is missing or garbled, names disagree, or the unit or the gcell's side is not known.
    """
    paths = {name: _find(folder, name) for name in (*TEXTS, "design_properties")}
    cells, pins, nets = (_read(paths[name], name) for name in TEXTS)
    about = _design_properties(paths["design_properties"])
    rects = _places(cells, "a cell", ("x0", "y0", "x1", "y1"))
    if not len(rects):
        raise InputError("holds no cell", path=cells.path, mend="Write the tables again.")
    dbu = dbu_per_um or _dbu(about, rects, paths["design_properties"])
    side = gcell_um or about.numbers.get("gcell_um")
    if side is None:
        raise InputError(
            "no table says how large a gcell is", path=folder,
            mend="Give --gcell-um: in OpenROAD 15 times the median track spacing of routing levels 2 to 4.",
        )  # fmt: skip
    joined = _join(cells, pins, nets)
    die = _die(about, dbu)
    is_macro = cells.numbers["is_macro"] > 0
    heights, counts = np.unique((rects[:, 3] - rects[:, 1])[~is_macro], return_counts=True)
    design = bare_design(
        name=about.name,
        path=folder,
        dbu_per_um=dbu,
        die_dbu=die,
        core_dbu=_core(about, rects, die, dbu),
        row_height_dbu=int(heights[counts.argmax()]) if len(heights) else gcell_dbu(side, dbu),
        inst_names=cells.texts["cell_name"],
        inst_master_names=cells.texts["libcell_name"],
        inst_rect_dbu=rects,
        inst_is_macro=is_macro,
        net_names=nets.texts["net_name"],
        **joined,
    )
    flags = {"is_sequential": cells.numbers["is_seq"] > 0,
             "is_buffer": (cells.numbers["is_buf"] > 0) | (cells.numbers["is_inv"] > 0)}  # fmt: skip
    words = {"family": family or about.name, "technology": technology or "", "variant": variant or ""}
    lengths = nets.numbers["net_route_length"]
    if (np.abs(lengths) > MAX_LENGTH).any():
        raise InputError("a net is impossibly long", path=nets.path, mend="Write the tables again.")
    return write_import(
        out, design, source="circuitops", tile_dbu=gcell_dbu(side, dbu), words=words, files=list(paths.values()),
        flags=flags, labels=lambda grid: _labels((lengths / dbu).astype(np.float32), grid), overwrite=overwrite,
        warnings=["no fixed status and no orientation; no congestion labels, so it cannot be trained on alone"],
    )  # fmt: skip


@dataclass(frozen=True)
class _Table:
    """Texts ("" where there is none) and numbers (nan where there is none) of one file, a row each."""

    path: Path
    texts: dict[str, list[str]]
    numbers: dict[str, Float64[np.ndarray, " rows"]]


@dataclass(frozen=True)
class _About:
    name: str
    numbers: dict[str, float]


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / f"{name}.csv", folder / f"{name}.csv.gz"):
        if candidate.is_file():
            return candidate
    mend = "Give a folder of tables that CircuitOps or to_circuitops wrote."
    raise InputError(f"no {name}.csv or {name}.csv.gz here", path=folder, mend=mend)


def _read(path: Path, name: str) -> _Table:
    """The columns of a table that are needed; a flag or a number that the file does not have is nan."""
    types = {k: pa.string() for k in TEXTS[name]} | {k: pa.float64() for k in NUMBERS[name]}
    raw = read_bytes(path)
    header = raw.partition(b"\n")[0].decode("utf-8", "replace").strip().split(",")
    lacking = [k for k in (*TEXTS[name], *NUMBERS[name][:4]) if k not in header]
    if lacking:
        what = f"has no column {', '.join(lacking)}"
        raise InputError(what, path=path, line=1, mend=f"Expected {','.join(types)} and others.")
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(raw),
            parse_options=pyarrow.csv.ParseOptions(quote_char=False),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types, include_columns=[k for k in types if k in header], null_values=NO_VALUE,
                strings_can_be_null=True,
            ),
        )  # fmt: skip
    except pa.ArrowInvalid as e:
        raise InputError(f"is no such table: {e}", path=path, mend="Write the tables again.") from e
    nothing = np.full(len(table), np.nan)
    return _Table(
        path,
        {k: [v or "" for v in table[k].to_pylist()] for k in TEXTS[name]},
        {k: table[k].to_numpy().astype(np.float64) if k in header else nothing for k in NUMBERS[name]},
    )


def _design_properties(path: Path) -> _About:
    """Name, sizes in um and whatever else is a number; CircuitOps writes blanks after the commas of the header."""
    lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    names = [w.strip() for w in lines[0].split(",")] if lines else []
    values = lines[1].split(",") if len(lines) > 1 else []
    if len(names) != len(values) or "design_name" not in names:
        raise InputError("is not a header with one row", path=path, mend="Write the tables again.")
    found = dict(zip(names, values, strict=True))
    numbers = {}
    for name, text in found.items():
        with suppress(ValueError):
            numbers[name] = float(text)
    numbers = {name: value for name, value in numbers.items() if math.isfinite(value)}
    lacking = [k for k in ("die_width", "die_height", "core_width", "core_height") if not numbers.get(k, 0) > 0]
    if lacking:
        raise InputError(f"tells no {', '.join(lacking)}", path=path, line=2, mend="Write the tables again.")
    return _About(found["design_name"].strip(), numbers)


def _dbu(about: _About, rects: Int64[np.ndarray, "insts 4"], path: Path) -> int:
    """Database units a um: as told, or the unit in which the insts span the core, as they do with fillers."""
    if about.numbers.get("dbu_per_um", 0) >= 1:
        return round(about.numbers["dbu_per_um"])
    span = (rects[:, 2:].max(axis=0) - rects[:, :2].min(axis=0)) if len(rects) else np.zeros(2)
    core = np.asarray([about.numbers["core_width"], about.numbers["core_height"]])
    for dbu in DBU_PER_UM:
        share = span / (core * dbu)
        if share.max() > CORE_FILLED and (share < 2 - CORE_FILLED).all():
            return dbu
    raise InputError(
        f"coordinates are in dbu and no table says of which size: insts span {span[0]:g} x {span[1]:g}, "
        f"the core {core[0]:g} x {core[1]:g} um",
        path=path, mend="Give --dbu-per-um: what DATABASE MICRONS of the LEF or UNITS of the DEF says.",
    )  # fmt: skip


def _die(about: _About, dbu: int) -> tuple[int, int, int, int]:
    """The die; its lower left corner is at 0 unless the table says otherwise."""
    x, y = (round(about.numbers.get(k, 0.0) * dbu) for k in ("die_x_um", "die_y_um"))
    return x, y, x + round(about.numbers["die_width"] * dbu), y + round(about.numbers["die_height"] * dbu)


def _core(
    about: _About, rects: Int64[np.ndarray, "insts 4"], die: tuple[int, int, int, int], dbu: int
) -> tuple[int, int, int, int]:
    """The core: where insts span it they say where it lies, else it is taken in the middle of the die."""
    out = []
    for axis, key in ((0, "core_width"), (1, "core_height")):
        size = round(about.numbers[key] * dbu)
        low, high = int(rects[:, axis].min()), int(rects[:, axis + 2].max())
        spans = high - low >= CORE_FILLED * size
        start = low if spans else (die[axis] + die[axis + 2] - size) // 2
        out.append((start, start + size))
    return out[0][0], out[1][0], out[0][1], out[1][1]


def _join(cells: _Table, pins: _Table, nets: _Table) -> dict[str, Any]:
    """Pins with rows instead of names; a pin of no cell is a port, a pin of no net is left out."""
    rows = {}
    for table, key in ((cells, "cell_name"), (nets, "net_name")):
        rows[key] = {name: i for i, name in enumerate(table.texts[key])}
        if len(rows[key]) < len(table.texts[key]):
            raise InputError(f"a {key} is there twice", path=table.path, mend="Write the tables again.")
    faults = Faults(pins.path)
    at = []
    for row, (cell, net) in enumerate(zip(pins.texts["cell_name"], pins.texts["net_name"], strict=True)):
        for key, name in (("cell_name", cell), ("net_name", net)):
            if name and name not in rows[key]:
                where = "cell_properties" if key == "cell_name" else "net_properties"
                faults.add(f'"{name}" is not in {where}', line=row + 2, mend="Write the tables again, together.")
        if net:
            at.append(row)
    faults.raise_if_any()
    kept = np.asarray(at, np.int64)
    names = [pins.texts["pin_name"][i] for i in at]
    owner = [pins.texts["cell_name"][i] for i in at]
    inst = np.asarray([rows["cell_name"][c] if c else -1 for c in owner], np.int64)
    port = np.where(inst < 0, np.cumsum(inst < 0) - 1, -1)
    of_net = np.asarray([rows["net_name"][pins.texts["net_name"][i]] for i in at], np.int64)
    direction = _directions(pins.numbers["dir"][kept])
    use = np.zeros(len(rows["net_name"]), np.int8)
    use[of_net[pins.numbers["is_in_clk"][kept] > 0]] = CLOCK
    xy = _places(pins, "a pin", ("x", "y"), kept)
    return {
        "net_use": use,
        "pin_net": of_net,
        "pin_inst": inst,
        "pin_port": port,
        "pin_names": [n.removeprefix(f"{c}/") for n, c in zip(names, owner, strict=True)],
        "pin_direction": direction,
        "pin_cap": _caps(pins.numbers["input_pin_cap"][kept], inst, direction, cells),
        "pin_xy_dbu": xy,
        "port_names": [n for n, i in zip(names, inst.tolist(), strict=True) if i < 0],
    }


def _places(
    table: _Table, what: str, keys: Sequence[str], rows: Int64[np.ndarray, " rows"] | slice = slice(None)
) -> Int64[np.ndarray, "rows keys"]:
    """Coordinates in dbu."""
    found = np.rint(np.stack([table.numbers[k][rows] for k in keys], axis=1))
    if not (np.abs(found) <= MAX_PLACE).all():  # nan neither
        raise InputError(f"{what} has no place, or an impossible one", path=table.path,
                         mend="Write the tables again, after placement.")  # fmt: skip
    places: Int64[np.ndarray, "rows keys"] = found.astype(np.int64)
    return places


def _directions(dir_: Float64[np.ndarray, " pins"]) -> Int8[np.ndarray, " pins"]:
    return np.where(dir_ == 1, OUTPUT, np.where(dir_ == 0, INPUT, -1)).astype(np.int8)


def _caps(
    farad: Float64[np.ndarray, " pins"],
    inst: Int64[np.ndarray, " pins"],
    direction: Int8[np.ndarray, " pins"],
    cells: _Table,
) -> Float32[np.ndarray, " pins"]:
    """Input capacitance over that of the smallest inverter in use; nan without one. -1 stands for no value."""
    known = np.isfinite(farad) & (farad >= 0)
    mine = known & (inst >= 0) & (direction == INPUT)
    total = np.bincount(inst[mine], weights=farad[mine], minlength=len(cells.texts["cell_name"]))
    is_inverter: Bool[np.ndarray, " insts"] = (cells.numbers["is_inv"] > 0) & (total > 0)
    unit = total[is_inverter].min() if is_inverter.any() else np.nan
    return np.where(known, farad / unit, np.nan).astype(np.float32)


def _labels(length_um: Float32[np.ndarray, " nets"], grid: GcellGrid) -> Labels | None:
    """Routed lengths; CircuitOps writes 0 for every net of a design that is not routed."""
    if not (length_um > 0).any():
        return None
    nothing = np.full((grid.ny, grid.nx), np.nan, np.float32)
    told = np.where(length_um >= 0, length_um, np.nan).astype(np.float32)
    return Labels(nothing, nothing, nothing, nothing, told)
