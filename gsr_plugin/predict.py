"""From an export folder and weights to a prediction folder: what `gsr predict` does."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from circuit_io.atomic import refuse_folder
from circuit_io.crop import crop_graph, held_frac, tiles_of
from circuit_io.drift import drift_text
from circuit_io.errors import InputError
from circuit_io.fields import GCELL_FEATURES, TRACKS_PER_UNIT, column
from circuit_io.graph import CircuitGraph
from circuit_io.manifest import MANIFEST
from circuit_io.maps import VIOLATED, Prediction, without_borders
from circuit_io.net_lengths import RoutedLengths, tree_lengths
from circuit_io.predicted_slacks import PredictedSlacks
from circuit_io.prediction import SCHEMA, prediction_manifest, write_prediction
from circuit_io.prediction_metrics import expected_excess
from circuit_io.spot_nets import net_overflow
from circuit_io.store import StoredDesign, open_design
from circuit_io.transform import SYMMETRIES, inverse, transform, transform_cells, transform_edges
from gsr_plugin.detour import lengths_um
from gsr_plugin.model import DETOUR, DRC, SLACK
from gsr_plugin.model_card import versions
from gsr_plugin.shipped import find_weights
from gsr_plugin.slack import SlackInputs, slack_inputs
from gsr_plugin.weights import Predicted, Weights, load_weights

_log = logging.getLogger(__name__)
KINDS = ("congestion", "overflow_prob", "sigma")
OF_NETS = ("detour", "slack_change_ns")
MAPS_MADE = tuple(f"{kind}_{letter}" for kind in KINDS for letter in "hv")
HALO = 8  # gcells; docs/prediction.md has what other widths cost


def predict(
    export: Path,
    out: Path,
    *,
    weights: Path | None = None,
    device: str = "auto",
    views: int = 1,
    tile_gcells: int = 0,
    halo: int = HALO,
    run_id: str = "",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Predict congestion for an exported design and write the prediction folder `out`; returns its manifest.

    Args:
        export: what `gsr export` wrote.
        out: the folder to write.
        weights: a run folder or weights of `gsr train`, or the name of shipped ones; those for the task when not given.
        device: "auto", "cpu" or "cuda".
        views: number of mirrored and turned views, 1 to 8, whose predictions are averaged.
        tile_gcells: predict tiles of at most so many gcells a side, one after the other; 0 takes the design whole.
        halo: gcells around a tile that its prediction sees.
        run_id: names the run; made from the inputs' hashes when empty.
        overwrite: replace an earlier prediction in `out`.

    Raises:
        InputError: no export, no weights, or weights that do not fit.
    """
    refuse_folder(out, schema=SCHEMA, overwrite=overwrite)
    design = open_design(export)
    found = find_weights(weights)
    model = load_weights(found, device=device)
    prediction = predict_design(design, model, views=views, tile_gcells=tile_gcells, halo=halo)
    tiled = {"tile_gcells": tile_gcells, "halo": halo} if tile_gcells else {}
    manifest = prediction_manifest(
        export,
        model={
            "weights_sha256": model.sha256,
            "name": found.name,
            "data_sha256": model.card.data_sha256,
            "layers": model.card.model.layers,
            "width": model.card.model.width,
            "tasks": list(model.card.model.tasks),
            "views": views,
            **tiled,
        },
        versions=versions(),
        run_id=run_id,
    )
    manifest |= _drift(design, model)
    if SLACK in model.card.model.tasks and prediction.slacks is None:
        _log.warning("%s: slack is not predicted, which takes --endpoint-slack and Liberty at export", export)
    whole = Prediction(
        manifest,
        prediction.x_um,
        prediction.y_um,
        prediction.maps,
        prediction.inst_congestion,
        prediction.net_demand,
        prediction.net_lengths,
        prediction.slacks,
    )
    return write_prediction(out, whole, export=export, overwrite=overwrite)


def _drift(design: StoredDesign, model: Weights) -> dict[str, Any]:
    """What the manifest says of the training range; warns once where the design lies outside."""
    known = model.card.training_range
    if not known.is_known:
        return {}
    drift = known.drift(design.graph, design.manifest)
    if drift:
        name = design.manifest["design"]
        _log.warning("%s lies outside of what the model was trained on: %s", name, drift_text(drift))
    return {"drift": [d.to_json() for d in drift]}


def predict_design(
    design: StoredDesign, model: Weights, *, views: int = 1, tile_gcells: int = 0, halo: int = HALO
) -> Prediction:
    """The prediction of one design, without the manifest's words on model and versions."""
    graph, grid = design.graph, design.manifest["grid"]
    _check_layers(design, model)
    for axis, n in (("x_um", graph.nx), ("y_um", graph.ny)):
        if len(grid.get(axis) or []) != n + 1:
            raise InputError(
                f'"grid.{axis}" does not hold the {n + 1} borders of {n} gcells',
                path=design.path / MANIFEST, mend="Export the design again.",
            )  # fmt: skip
    if DETOUR in model.card.model.tasks and not grid.get("tile_um"):
        raise InputError(
            '"grid.tile_um" is missing', path=design.path / MANIFEST, mend="Export the design again: lengths need it."
        )
    endpoints = slack_inputs(design) if SLACK in model.card.model.tasks else None
    if tile_gcells:
        found = predict_tiles(graph, model, side=tile_gcells, halo=halo, views=views, endpoints=endpoints)
    else:
        found = predict_views(graph, model, views=views, endpoints=endpoints)
    maps: dict[str, Float32[np.ndarray, "ny nx"]] = {
        name: np.asarray(getattr(found, name), np.float32) for name in MAPS_MADE
    }
    area = np.diff(grid["y_um"])[:, None] * np.diff(grid["x_um"])[None, :]
    has_layers = _has_layers(graph.gcell_features)
    _check_edges(design, has_layers=has_layers)
    for letter in "hv":
        capacity = _feature(graph, f"capacity_{letter}") * TRACKS_PER_UNIT
        maps[f"capacity_{letter}"] = capacity
        maps[f"rudy_{letter}"] = _feature(graph, f"rudy_{letter}")
        for kind in KINDS:
            is_edge = (capacity > 0) | (not has_layers)
            maps[f"{kind}_{letter}"] = np.where(is_edge, maps[f"{kind}_{letter}"], np.nan).astype(np.float32)
    if found.drc_prob is not None:
        maps[VIOLATED] = found.drc_prob
    maps["cell_area_um2"] = (_feature(graph, "cell_area") * area).astype(np.float32)
    maps["fixed_area_um2"] = (_feature(graph, "fixed_area") * area).astype(np.float32)
    x_um, y_um = (np.asarray(grid[axis], np.float64) for axis in ("x_um", "y_um"))
    bare = without_borders(Prediction(dict(design.manifest), x_um, y_um, maps))
    over = [_expected_overflow(bare, letter) for letter in "hv"]
    per_gcell = (bare.per_gcell("congestion_h") + bare.per_gcell("congestion_v")) / np.float32(2)
    return Prediction(
        bare.manifest,
        bare.x_um,
        bare.y_um,
        bare.maps,
        inst_congestion=per_gcell.ravel()[graph.inst_gcell],
        net_demand=net_overflow(graph, *over),
        net_lengths=None if found.detour is None else _net_lengths(design, found.detour),
        slacks=None
        if endpoints is None or found.slack_change_ns is None
        else _slacks(endpoints, found.slack_change_ns),
    )


def _slacks(ends: SlackInputs, change_ns: Float32[np.ndarray, " endpoints"]) -> PredictedSlacks:
    return PredictedSlacks(ends.pin, ends.slack_ns, ends.slack_ns + change_ns)


def _net_lengths(design: StoredDesign, detour: Float32[np.ndarray, "nets 2"]) -> RoutedLengths:
    shortest = tree_lengths(design.graph).shortest_um(float(design.manifest["grid"]["tile_um"]))
    length, mean = (lengths_um(column, shortest) for column in detour.T)
    return RoutedLengths(shortest.astype(np.float32), length, mean)


def _has_layers(features: Float32[np.ndarray, "... fields"]) -> bool:
    """Whether a design's gcell features, or a model's means of them, know of routing layers: an import has none."""
    return bool((features[..., [column(GCELL_FEATURES, f"layers_{letter}") for letter in "hv"]] > 0).any())


def _check_layers(design: StoredDesign, model: Weights) -> None:
    """Refuse a model that was trained with capacities where there are none, or without where there are."""
    wanted, found = _has_layers(model.normaliser.mean["gcell"]), _has_layers(design.graph.gcell_features)
    if wanted != found:
        words = {True: "with routing layers", False: "without routing layers, so without capacity and demand"}
        raise InputError(
            f"is a design {words[found]}, the model was trained {words[wanted]}",
            path=design.path, mend="Imported designs need --weights of a model trained on imports, exported ones of a "
            "model trained on exports.",
        )  # fmt: skip


def _check_edges(design: StoredDesign, *, has_layers: bool) -> None:
    """Refuse a design without a single edge to predict: no hot spot there would look like a good placement."""
    graph = design.graph
    if graph.nx * graph.ny == 1:
        raise InputError("is one gcell, which has no edge to predict", path=design.path, mend="It needs no router.")
    if has_layers and not any((_feature(graph, f"capacity_{letter}") > 0).any() for letter in "hv"):
        raise InputError(
            "has no tracks: the capacity of every gcell is 0",
            path=design.path, mend="Export it again with the router's --signal-layers and --layer-adjustment.",
        )  # fmt: skip


def predict_views(
    graph: CircuitGraph, model: Weights, *, views: int = 1, endpoints: SlackInputs | None = None
) -> Predicted:
    """Mean of the predictions for the first `views` of the eight symmetries of the design, turned back.

    Raises:
        InputError: `views` is not 1 to 8.
    """
    if not 1 <= views <= len(SYMMETRIES):
        raise InputError(f"{views} views", path="--views", mend=f"Give a number from 1 to {len(SYMMETRIES)}.")
    found = []
    for symmetry in SYMMETRIES[:views]:
        one = model.predict(transform(graph, symmetry), endpoints)
        pairs = [(n, getattr(one, f"{n}_h"), getattr(one, f"{n}_v")) for n in KINDS]
        back = {n: transform_edges(h, v, inverse(symmetry)) for n, h, v in pairs}
        found.append({f"{n}_{d}": pair[i] for n, pair in back.items() for i, d in enumerate("hv")})
        found[-1] |= {
            name: values for name in OF_NETS if (values := getattr(one, name)) is not None
        }  # keep their order
        if one.drc_prob is not None:
            found[-1][VIOLATED] = transform_cells(one.drc_prob, inverse(symmetry))
    means = {n: np.asarray(np.mean([f[n] for f in found], axis=0, dtype=np.float32)) for n in found[0]}
    return Predicted(**means)


def predict_tiles(
    graph: CircuitGraph,
    model: Weights,
    *,
    side: int,
    halo: int = HALO,
    views: int = 1,
    endpoints: SlackInputs | None = None,
) -> Predicted:
    """The prediction made tile by tile, for designs that exceed the memory; each gcell's edges come from one tile.

    A net, and the endpoints on it, come from the tile that sees most of its box.

    Args:
        graph: the whole design.
        model: a trained model.
        side: largest side of a tile in gcells.
        halo: gcells around a tile that are predicted with it and thrown away; what lies beyond is not seen.
        views: as in `predict_views`.
        endpoints: those whose slack is to be predicted.

    Raises:
        InputError: a side or halo below 1; the edges between two tiles need a halo of 1.
    """
    for name, value in (("--tile-gcells", side), ("--halo", halo)):
        if value < 1:
            raise InputError(f"{value} gcells", path=name, mend="Give a number from 1.")
    made = (*MAPS_MADE, VIOLATED) if DRC in model.card.model.tasks else MAPS_MADE
    whole = {name: np.full((graph.ny, graph.nx), np.nan, np.float32) for name in made}
    detour, most = np.zeros((graph.num_nets, 2), np.float32), np.zeros(graph.num_nets)  # 0: a net without pins
    has_detour, ends = DETOUR in model.card.model.tasks, endpoints if SLACK in model.card.model.tasks else None
    change_ns = None if ends is None else np.zeros(len(ends.net), np.float32)
    for (x, y, nx, ny), window in tiles_of(graph.nx, graph.ny, side, halo):
        part, nets = crop_graph(graph, window)
        inside = None if ends is None else ends.on(nets)
        found = predict_views(part, model, views=views, endpoints=inside and inside[0])
        left, low = x - window[0], y - window[1]
        for name, values in whole.items():
            values[y : y + ny, x : x + nx] = getattr(found, name)[low : low + ny, left : left + nx]
        held = held_frac(graph, part, nets)
        better = held > most[nets]
        most[nets[better]] = held[better]
        if found.detour is not None:
            detour[nets[better]] = found.detour[better]
        if inside is not None and change_ns is not None and found.slack_change_ns is not None:
            mine = better[inside[0].net]
            change_ns[inside[1][mine]] = found.slack_change_ns[mine]
    return Predicted(**whole, detour=detour if has_detour else None, slack_change_ns=change_ns)


def _feature(graph: CircuitGraph, name: str) -> Float32[np.ndarray, "ny nx"]:
    return graph.gcell_features[:, column(GCELL_FEATURES, name)].reshape(graph.ny, graph.nx)


def _expected_overflow(prediction: Prediction, letter: str) -> Float32[np.ndarray, "ny nx"]:
    """Tracks by which each edge is expected to overflow; 0 where no edge is."""
    mean, sigma = prediction.maps[f"congestion_{letter}"], prediction.maps[f"sigma_{letter}"]
    seen = np.isfinite(mean)
    excess = expected_excess(np.where(seen, mean, 0).astype(np.float64), np.where(seen, sigma, 0).astype(np.float64))
    capacity = np.nan_to_num(prediction.maps[f"capacity_{letter}"])
    return np.where(seen, excess * capacity, 0).astype(np.float32)
