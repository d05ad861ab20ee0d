"""A design on disk: one folder with a manifest, Parquet tables and safetensors arrays (docs/format.md)."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32
from safetensors import SafetensorError
from safetensors.numpy import load_file

from circuit_io.atomic import new_folder
from circuit_io.errors import InputError
from circuit_io.fields import (
    GCELL_FEATURES,
    INST_FEATURES,
    NET_FEATURES,
    NET_ROUTER_FEATURES,
    PIN_FEATURES,
    ROUTER_FEATURES,
    names,
)
from circuit_io.graph import CircuitGraph, Layers
from circuit_io.labels import Labels
from circuit_io.manifest import (
    BOX,
    COUNT,
    LAYER_RANGE,
    MANIFEST,
    NUMBER,
    NUMBER_TABLE,
    NUMBERS,
    OBJECT,
    OBJECTS,
    TEXT,
    TEXT_TABLE,
    TEXTS,
    check_files,
    check_kinds,
    read_manifest,
    to_json,
)
from circuit_io.text import sha256_of_file

T = TypeVar("T")
SCHEMA, VERSION = "gsr-design", 1
LAYERS = "layers.safetensors"
_AGAIN = "Export the design again."
_DIFFER = ("name", "path")  # columns of texts that differ in every row
_DTYPES = {
    **{"<i8": "I64", "<f8": "F64", "<f4": "F32", "<i4": "I32", "<u2": "U16"},
    **{"|i1": "I8", "|u1": "U8", "|b1": "BOOL"},
}
EXPORT_KINDS = {
    **dict.fromkeys(("design", "family", "technology", "variant", "stage", "def_sha256"), TEXT),
    **dict.fromkeys(("die_um", "core_um"), BOX),
    "dbu_per_um": NUMBER,
    "signal_layers": LAYER_RANGE,
    "layer_adjustment": NUMBER_TABLE,
    "grid": OBJECT.must(),
    "grid.nx": COUNT.must(),
    "grid.ny": COUNT.must(),
    "grid.tile_um": NUMBER,
    "grid.x_um": NUMBERS,
    "grid.y_um": NUMBERS,
    "placement": NUMBER_TABLE,
    "counts": OBJECT,
    "modules": OBJECT,
    "clocks": OBJECTS,
    "endpoints": OBJECT,
    "flow": OBJECT,
    "labels_from": OBJECT,
    "access_points": NUMBER_TABLE,
    "drc_violations": NUMBER_TABLE,
    "router": OBJECT,
    "files": TEXT_TABLE,
    "fields": OBJECT.must(),
    "warnings": TEXTS,
}
FEATURES = {"inst": INST_FEATURES, "net": NET_FEATURES, "gcell": GCELL_FEATURES, "pin": PIN_FEATURES}
EARLIER = {
    "gcell": (names(GCELL_FEATURES)[: -len(ROUTER_FEATURES)],),
    "net": (names(NET_FEATURES)[: -len(NET_ROUTER_FEATURES)],),
}  # of exports that are read still


@dataclass(frozen=True)
class StoredDesign:
    """An export folder in memory: manifest, tables with names, graph; labels and modules where it has them."""

    path: Path
    manifest: dict[str, Any]
    insts: pa.Table
    nets: pa.Table
    graph: CircuitGraph
    labels: Labels | None
    modules: pa.Table | None = None


def write_design(
    out: Path,
    *,
    manifest: dict[str, Any],
    insts: pa.Table,
    nets: pa.Table,
    graph: CircuitGraph,
    labels: Labels | None = None,
    more: Mapping[str, pa.Table] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write an export folder, or nothing when that fails; returns the whole manifest. `more`: further tables by name.

    Raises:
        InputError: `out` exists and `overwrite` is off, or cannot be written.
    """
    with new_folder(out, schema=SCHEMA, overwrite=overwrite) as work:
        for name, table in {"insts": insts, "nets": nets, **(more or {})}.items():
            repeated = [c for c in table.column_names if table[c].type == pa.string() and c not in _DIFFER]
            with (work / f"{name}.parquet").open("wb") as f:  # pyarrow takes no path that is not UTF-8
                pq.write_table(table, f, use_dictionary=repeated)
        arrays = {f.name: getattr(graph, f.name) for f in fields(graph) if f.name not in ("nx", "ny", "layers")}
        write_arrays(work / "graph.safetensors", arrays)
        if graph.layers is not None:
            arrays = {f.name: np.asarray(getattr(graph.layers, f.name)) for f in fields(Layers)}
            write_arrays(work / LAYERS, arrays)
        if labels is not None:
            write_arrays(work / "labels.safetensors", {f.name: getattr(labels, f.name) for f in fields(labels)})
        files = {p.name: sha256_of_file(p) for p in sorted(work.iterdir())}
        head = {"schema": SCHEMA, "schema_version": VERSION, "files": files,
                "fields": {kind: names(declared) for kind, declared in FEATURES.items()}}  # fmt: skip
        (work / MANIFEST).write_bytes(to_json(manifest | head))
    return manifest | head


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file array by array; the library's own writers hold a second copy of all of them."""
    head, parts, at = {}, [], 0
    kinds = list(_DTYPES)  # the widest first: each array lies at its alignment
    for name in sorted(arrays, key=lambda name: (kinds.index(arrays[name].dtype.str), name)):
        values = np.ascontiguousarray(arrays[name])
        head[name] = {
            "dtype": _DTYPES[values.dtype.str],
            "shape": values.shape,
            "data_offsets": [at, at + values.nbytes],
        }
        parts.append(values)
        at += values.nbytes
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for values in parts:
            f.write(values.data.cast("B") if values.size else b"")


def open_design(folder: Path | str, *, verify: bool = True) -> StoredDesign:
    """The design of an export folder.

    Args:
        folder: what `write_design` made.
        verify: compare the files with the manifest's hashes first.

    Raises:
        InputError: not such a folder, of a newer version, changed, cut, or inconsistent.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, schema=SCHEMA, newest=VERSION, made_by="gsr export")
    check_kinds(manifest, EXPORT_KINDS, path=folder / MANIFEST, mend=_AGAIN)
    if verify:
        check_files(folder, manifest, mend=_AGAIN)
    for kind, declared in FEATURES.items():
        if manifest["fields"].get(kind) not in (names(declared), *EARLIER.get(kind, ())):
            raise InputError(
                f"its {kind} features are not those of this program", path=folder / MANIFEST,
                mend="Export the design again with this version.",
            )  # fmt: skip
    try:
        arrays = load_file(folder / "graph.safetensors")
        for kind in EARLIER:
            arrays |= {f"{kind}_features": _grown(arrays[f"{kind}_features"], len(manifest["fields"][kind]), kind)}
        layers = None
        if LAYERS in manifest["files"]:
            found = load_file(folder / LAYERS)
            layers = Layers(int(found["lowest"].item()), found["along_x"], found["room"], found["pin_layer"])
        graph = CircuitGraph(nx=manifest["grid"]["nx"], ny=manifest["grid"]["ny"], layers=layers, **arrays)
        insts, nets = _table(folder / "insts.parquet"), _table(folder / "nets.parquet")
        modules = _table(folder / "modules.parquet") if "modules.parquet" in manifest["files"] else None
        labels = (
            Labels(**load_file(folder / "labels.safetensors")) if "labels.safetensors" in manifest["files"] else None
        )
    except (OSError, SafetensorError, pa.ArrowException, TypeError, KeyError, ValueError) as e:
        raise InputError(f"cannot be read: {e}", path=folder, mend=_AGAIN) from e
    _check_graph(folder, graph, insts, nets, labels)
    _check_modules(folder, modules, insts, nets)
    return StoredDesign(folder, manifest, insts, nets, graph, labels, modules)


def _grown(values: Float32[np.ndarray, "rows stored"], stored: int, kind: str) -> Float32[np.ndarray, "rows fields"]:
    """Features of an earlier export with the columns that came later, 0: not known."""
    if values.shape[1:] != (stored,):
        return values  # told by the check of shapes
    return np.pad(values, ((0, 0), (0, len(FEATURES[kind]) - stored)))


def _check_modules(folder: Path, modules: pa.Table | None, insts: pa.Table, nets: pa.Table) -> None:
    """Every module that insts, nets and modules name is there."""
    if modules is None:
        return
    for name, table, column in (
        ("insts", insts, "module"), ("insts", insts, "feeds"), ("nets", nets, "module"), ("nets", nets, "feeds"),
        ("modules", modules, "parent"),
    ):  # fmt: skip
        rows = np.asarray(table[column]) if column in table.column_names else np.full(1, -2)
        if len(rows) and not (rows.min() >= -1 and rows.max() < len(modules)):
            raise InputError(f"{name} name a module that is not there", path=folder / "modules.parquet", mend=_AGAIN)


def _table(path: Path) -> pa.Table:
    # Arrow's own file: one of Python's may be let go of by a thread of Arrow's after Python has ended, which aborts.
    with pa.OSFile(os.fsencode(path)) as f:
        return pq.ParquetFile(f).read()  # read_table loads pyarrow.dataset, and that pandas where it is installed


def read_more(design: StoredDesign, table: str, of: Callable[[pa.Table], T]) -> T | None:
    """What `of` makes of a table that not every export folder has; None where it is not there.

    Raises:
        InputError: it cannot be read.
    """
    path = design.path / f"{table}.parquet"
    if path.name not in design.manifest["files"]:
        return None
    try:
        return of(_table(path))
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as e:
        raise InputError(f"cannot be read: {e}", path=path, mend=_AGAIN) from e


def _check_graph(folder: Path, graph: CircuitGraph, insts: pa.Table, nets: pa.Table, labels: Labels | None) -> None:
    """Indices within range and lengths that agree, so that no later step can run off an array."""

    def need(ok: bool, what: str) -> None:
        if not ok:
            raise InputError(what, path=folder / "graph.safetensors", mend=_AGAIN)

    def within(index: np.ndarray, n: int) -> bool:
        return not len(index) or (int(index.min()) >= 0 and int(index.max()) < n)

    need(within(graph.pin_inst, graph.num_insts), "a pin names an inst that is not there")
    need(within(graph.pin_net, graph.num_nets), "a pin names a net that is not there")
    need(
        within(graph.pin_gcell, graph.num_gcells) and within(graph.inst_gcell, graph.num_gcells), "a gcell is not there"
    )
    need(bool((np.diff(graph.pin_net) >= 0).all()), "pins are not sorted by net")
    layers = graph.layers
    if layers is not None:
        shape, wanted = layers.room.shape, (len(layers.along_x), graph.ny, graph.nx)
        need(shape == wanted, f"layers have shape {shape}")
        need(0 <= layers.lowest < shape[0], "the lowest layer for signals is not there")
        need(len(layers.pin_layer) == graph.num_pins, "layers are of other pins")
        need(within(layers.pin_layer, shape[0]), "a pin's layer is not there")
    need(len(insts) == graph.num_insts and len(nets) == graph.num_nets, "tables and graph differ in length")
    for kind, declared in FEATURES.items():
        table = getattr(graph, f"{kind}_features")
        count = {"inst": graph.num_insts, "net": graph.num_nets, "gcell": graph.num_gcells, "pin": graph.num_pins}[kind]
        need(table.shape == (count, len(declared)), f"{kind} features have shape {table.shape}")
        need(bool(np.isfinite(table).all()), f"{kind} features hold a value that is not finite")
    if labels is not None:
        need(labels.congestion_h.shape == (graph.ny, graph.nx), "labels are of another grid")
        need(len(labels.net_length_um) == graph.num_nets, "labels are of other nets")
