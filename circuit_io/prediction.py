"""The folder of a prediction: written whole or not at all, read with its hashes checked. See docs/format.md."""

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from circuit_io.atomic import new_folder
from circuit_io.errors import InputError
from circuit_io.manifest import MANIFEST, check_files, read_manifest, to_json
from circuit_io.maps import MAPS, MapKind, PlacedDesign, Prediction, check_prediction, heatmap_csv, without_borders
from circuit_io.net_lengths import RoutedLengths
from circuit_io.predicted_slacks import FILE as SLACKS
from circuit_io.predicted_slacks import PredictedSlacks
from circuit_io.prediction_metrics import prediction_metrics
from circuit_io.text import read_bytes, sha256

__all__ = [
    "ARRAYS",
    "MAPS",
    "METRICS",
    "SCHEMA",
    "SCHEMA_VERSION",
    "MapKind",
    "PlacedDesign",
    "Prediction",
    "check_prediction",
    "export_of",
    "heatmap_csv",
    "prediction_manifest",
    "read_prediction",
    "write_prediction",
]

SCHEMA, SCHEMA_VERSION = "gsr-prediction", 1
EXPORT_SCHEMA = "gsr-design"
ARRAYS, METRICS = "prediction.safetensors", "metrics.json"
_LENGTHS = tuple(f.name for f in fields(RoutedLengths))
MADE_BY = ("weights_sha256", "views", "tile_gcells", "halo")  # what of the model's words decides over the values


def prediction_manifest(
    export: Path | str,
    *,
    model: Mapping[str, Any],
    versions: Mapping[str, str],
    run_id: str = "",
    stage: str = "",
) -> dict[str, Any]:
    """The manifest of a prediction on the design folder `export`, before `write_prediction` adds paths and hashes.

    Args:
        export: the folder that `gsr export` wrote.
        model: id of the model card, `weights_sha256` and whatever else identifies the weights.
        versions: package to version.
        run_id: names the run; when empty, made from the hashes of the design and the weights and from `MADE_BY` of
            `model`, so that the same input gives the same bytes, and another way to predict another name.
        stage: overrides the export's stage.
    """
    source, digest = _read_export_manifest(Path(export))
    how = [f"{name}={model[name]}" for name in MADE_BY if name in model]
    run_id = run_id or sha256(" ".join([digest, *how]).encode())[:16]
    kept = ("design", "family", "technology", "dbu_per_um", "die_um", "core_um", "grid", "signal_layers")
    return {
        **{key: source[key] for key in kept if key in source},
        "stage": stage or source.get("stage", "place"),
        "run_id": run_id,
        "def_sha256": source.get("def_sha256", ""),
        "model": dict(model),
        "versions": dict(versions),
    }


def write_prediction(
    out: Path | str, prediction: Prediction, *, export: Path | str, overwrite: bool = False
) -> dict[str, Any]:
    """Write the folder `out` (whole or not at all) and return its manifest.

    Raises:
        InputError: maps that do not fit together or are not finite, `out` exists, or it cannot be written.
    """
    prediction = without_borders(prediction)
    check_prediction(prediction, path=out)
    _, export_sha256 = _read_export_manifest(Path(export))
    files = {
        ARRAYS: _arrays(prediction),
        METRICS: to_json(prediction_metrics(prediction)),
        "congestion_h.csv": heatmap_csv(prediction, "congestion_h"),
        "congestion_v.csv": heatmap_csv(prediction, "congestion_v"),
    }
    if prediction.slacks is not None:
        files[SLACKS] = prediction.slacks.to_csv()
    manifest = {
        **prediction.manifest,
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "grid": {"nx": prediction.shape[1], "ny": prediction.shape[0], "tile_um": prediction.gcell_um()[0]},
        "num_insts": len(prediction.inst_congestion),
        "num_nets": len(prediction.net_demand),
        "export": _relative(Path(export), Path(out)),
        "export_sha256": export_sha256,
        "files": {name: sha256(data) for name, data in files.items()},
    }
    with new_folder(out, schema=SCHEMA, overwrite=overwrite) as folder:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        (folder / MANIFEST).write_bytes(to_json(manifest))
    return manifest


def read_prediction(path: Path | str, *, check_export: bool = True) -> Prediction:
    """The prediction in folder `path`, after checking schema, version, hashes and the design it was made for.

    Args:
        path: the folder.
        check_export: also check that the export folder is there and unchanged, file by file.

    Raises:
        InputError: names the file and what is wrong with it.
    """
    path = Path(path)
    manifest = read_manifest(path, schema=SCHEMA, newest=SCHEMA_VERSION, made_by="gsr predict")
    check_files(path, manifest, mend="Predict again with --overwrite.")
    if check_export:
        export_of(path, manifest)
    arrays = _load(path / ARRAYS)
    try:
        prediction = Prediction(
            manifest=manifest,
            x_um=arrays["x_um"],
            y_um=arrays["y_um"],
            maps={key.removeprefix("map."): value for key, value in arrays.items() if key.startswith("map.")},
            inst_congestion=arrays["inst_congestion"],
            net_demand=arrays["net_demand"],
            net_lengths=(
                RoutedLengths(**{name: arrays[f"net_{name}"] for name in _LENGTHS})
                if any(f"net_{name}" in arrays for name in _LENGTHS)
                else None
            ),
            slacks=(
                PredictedSlacks.of_csv(read_bytes(path / SLACKS), path=path / SLACKS)
                if SLACKS in manifest["files"]
                else None
            ),
            path=path,
        )
    except KeyError as e:
        raise InputError(f"has no array {e}", path=path / ARRAYS, mend="Predict again with --overwrite.") from e
    check_prediction(prediction, path=path / ARRAYS)
    return prediction


def export_of(path: Path | str, manifest: Mapping[str, Any], *, verify: bool = True) -> Path:
    """The export folder of the prediction in `path`, after checking that it is there and unchanged.

    Args:
        path: the prediction folder.
        manifest: what is in its manifest.json.
        verify: compare the hashes of its files too, as `read_prediction` does.

    Raises:
        InputError: missing, changed, or another design.
    """
    path, mend = Path(path), "Export and predict again, or restore the folder the prediction was made from."
    named = manifest.get("export")
    if not isinstance(named, str):
        raise InputError('names no "export" folder', path=path / MANIFEST, mend=mend)
    export = Path(os.path.normpath(path.resolve() / named))
    if not (export / MANIFEST).is_file():
        raise InputError(f'the export folder "{named}" it was made from is not there', path=path, mend=mend)
    source, digest = _read_export_manifest(export)
    if digest != manifest.get("export_sha256"):
        raise InputError(f'the export folder "{named}" has changed since the prediction', path=path, mend=mend)
    if verify:
        check_files(export, source, mend=mend)
    return export


def _arrays(prediction: Prediction) -> bytes:
    arrays = {f"map.{key}": np.ascontiguousarray(value) for key, value in prediction.maps.items()}
    arrays |= {name: np.ascontiguousarray(getattr(prediction, name)) for name in ("x_um", "y_um")}
    arrays |= {name: np.ascontiguousarray(getattr(prediction, name)) for name in ("inst_congestion", "net_demand")}
    if prediction.net_lengths is not None:
        of_nets = vars(prediction.net_lengths).items()
        arrays |= {f"net_{name}": np.ascontiguousarray(values) for name, values in of_nets}
    # one entry only: safetensors writes several in random order
    return bytes(save(arrays, metadata={"schema": f"{SCHEMA} {SCHEMA_VERSION}"}))


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        return dict(load(read_bytes(path)))
    except (SafetensorError, ValueError, KeyError) as e:
        raise InputError(f"is no safetensors file: {e}", path=path, mend="Predict again with --overwrite.") from e


def _relative(export: Path, out: Path) -> str:
    try:
        return Path(os.path.relpath(export.resolve(), out.resolve())).as_posix()
    except ValueError:  # another drive
        return export.resolve().as_posix()


def _read_export_manifest(export: Path) -> tuple[dict[str, Any], str]:
    manifest = read_manifest(export, schema=EXPORT_SCHEMA, newest=1, made_by="gsr export")
    return manifest, sha256(read_bytes(export / MANIFEST))
