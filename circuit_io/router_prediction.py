"""What the embedded router finds as a prediction, for reports, feedback and annotations: what `gsr route` does."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from circuit_io.atomic import refuse_folder
from circuit_io.errors import InputError
from circuit_io.fields import GCELL_FEATURES, column
from circuit_io.manifest import MANIFEST
from circuit_io.maps import Map, Prediction, without_borders
from circuit_io.net_lengths import RoutedLengths, tree_lengths
from circuit_io.prediction import SCHEMA, prediction_manifest, write_prediction
from circuit_io.router import Routing, route
from circuit_io.router_demand import demand_of
from circuit_io.spot_nets import net_overflow
from circuit_io.store import StoredDesign, open_design

NAME = "embedded router (approximate)"  # in every manifest: its maps are no result of a real router


def route_export(export: Path, out: Path, *, runs: int = 8, seed: int = 0, overwrite: bool = False) -> dict[str, Any]:
    """Route an exported design and write the prediction folder `out`; returns its manifest.

    Its model is named `NAME`, and tells the runs, their overflow in tracks, their rounds of rip-up, and the pressure.

    Args:
        export: what `gsr export` wrote.
        out: the folder to write.
        runs: how many runs to average.
        seed: number of the first run.
        overwrite: replace an earlier prediction in `out`.

    Raises:
        InputError: no export, a design that cannot be routed, or `out` exists and `overwrite` is off.
    """
    refuse_folder(out, schema=SCHEMA, overwrite=overwrite)
    design = open_design(export)
    routing = route(demand_of(design.graph), runs=runs, seed=seed)
    said = {
        "name": NAME,
        "is_approximate": True,
        "runs": runs,
        "seed": seed,
        "overflow_tracks": list(routing.overflow),
        "rounds": list(routing.rounds),
        "pressure": routing.pressure,
    }
    run_id = f"router-{design.manifest.get('def_sha256', '')[:12]}-{runs}-{seed}"
    manifest = prediction_manifest(export, model=said, versions={"numpy": np.__version__}, run_id=run_id)
    return write_prediction(out, prediction_of(design, routing, manifest), export=export, overwrite=overwrite)


def prediction_of(design: StoredDesign, routing: Routing, manifest: dict[str, Any]) -> Prediction:
    """The maps of a routing, and its lengths of the nets, as a prediction; sigma is the spread between the runs.

    Raises:
        InputError: the export lacks the borders or the size of its gcells.
    """
    tile_um = design.manifest["grid"].get("tile_um")
    if not tile_um:
        raise InputError('"grid.tile_um" is missing', path=design.path / MANIFEST, mend="Export the design again.")
    um = (tree_lengths(design.graph).shortest_um(tile_um), routing.likely_gcells * tile_um,
          routing.net_gcells.mean(axis=0) * tile_um)  # fmt: skip
    lengths = RoutedLengths(*(values.astype(np.float32) for values in um))
    over = (np.nan_to_num(routing.overflow_h), np.nan_to_num(routing.overflow_v))
    spread = {"sigma_h": routing.spread_h, "sigma_v": routing.spread_v}
    found = prediction_of_maps(design, (routing.h, routing.v), over, manifest, more=spread)
    return replace(found, net_lengths=lengths)


def prediction_of_labels(design: StoredDesign, manifest: dict[str, Any]) -> Prediction:
    """What the router did to `design`, as a prediction that is certain: there is no sigma.

    Raises:
        InputError: the export has no labels, or lacks the borders of its gcells.
    """
    labels = design.labels
    if labels is None:
        raise InputError("has no labels", path=design.path, mend="Export it with --labels.")
    over = (np.nan_to_num(labels.overflow_h), np.nan_to_num(labels.overflow_v))
    return prediction_of_maps(design, (labels.congestion_h, labels.congestion_v), over, manifest)


def prediction_of_maps(
    design: StoredDesign,
    congestion: tuple[Map, Map],
    overflow: tuple[Map, Map],
    manifest: dict[str, Any],
    *,
    more: Mapping[str, Map] | None = None,
) -> Prediction:
    """A prediction of `design` with these maps of congestion and overflow in tracks, H and V, and `more`.

    Raises:
        InputError: the export lacks the borders of its gcells.
    """
    graph, grid = design.graph, design.manifest["grid"]
    borders = [np.asarray(grid.get(axis) or [], np.float64) for axis in ("x_um", "y_um")]
    for axis, found, n in zip("xy", borders, (graph.nx, graph.ny), strict=True):
        if len(found) != n + 1:
            what = f'"grid.{axis}_um" does not hold the {n + 1} borders of {n} gcells'
            raise InputError(what, path=design.path / MANIFEST, mend="Export the design again.")
    task = demand_of(graph)
    maps: dict[str, Map] = {"congestion_h": congestion[0], "congestion_v": congestion[1], **(more or {})}
    for letter, capacity in zip("hv", task.capacity, strict=True):
        maps[f"capacity_{letter}"] = capacity.astype(np.float32)
        rudy = graph.gcell_features[:, column(GCELL_FEATURES, f"rudy_{letter}")]
        maps[f"rudy_{letter}"] = rudy.reshape(graph.ny, graph.nx)
    tile = np.diff(borders[1])[:, None] * np.diff(borders[0])[None, :]
    for kind in ("cell_area", "fixed_area"):
        share = graph.gcell_features[:, column(GCELL_FEATURES, kind)].reshape(graph.ny, graph.nx)
        maps[f"{kind}_um2"] = (share * tile).astype(np.float32)
    bare = without_borders(Prediction(manifest, borders[0], borders[1], maps))
    per_gcell = (bare.per_gcell("congestion_h") + bare.per_gcell("congestion_v")) / np.float32(2)
    return Prediction(
        manifest,
        borders[0],
        borders[1],
        bare.maps,
        inst_congestion=per_gcell.ravel()[graph.inst_gcell],
        net_demand=net_overflow(graph, *overflow),
    )
