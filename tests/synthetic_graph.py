"""Made-up circuit graphs that keep the contract of `CircuitGraph`, with labels that a local model can learn."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from circuit_io.fields import GCELL_FEATURES, INST_FEATURES, NET_FEATURES, PIN_FEATURES, column, names
from circuit_io.graph import CircuitGraph
from circuit_io.labels import Labels
from circuit_io.net_lengths import tree_lengths
from circuit_io.store import write_design

TILE_UM = 2.0


def synthetic_graph(
    seed: int = 0,
    *,
    nx: int = 7,
    ny: int = 5,
    insts: int = 60,
    nets: int = 50,
    pins: int = 180,
    empty_net: bool = False,
) -> CircuitGraph:
    """A random graph: nets are clusters of insts, pins sit in their inst's gcell, one net may have no pin."""
    rng = np.random.default_rng(seed)
    inst_gcell = rng.integers(0, nx * ny, insts).astype(np.int32)
    net = rng.integers(0, nets - 1 if empty_net else nets, pins)
    inst = rng.integers(0, insts, pins)
    order = np.lexsort((inst, net))
    net, inst = net[order].astype(np.int32), inst[order].astype(np.int32)
    pin_gcell = inst_gcell[inst]
    box = np.empty((nets, 4), np.int32)
    for i in range(nets):
        cells = pin_gcell[net == i]
        x, y = cells % nx, cells // nx
        box[i] = (x.min(), y.min(), x.max(), y.max()) if len(cells) else (1, 1, 0, 0)

    def features(rows: int, fields: tuple) -> np.ndarray:
        return rng.normal(0.5, 1.0, (rows, len(fields))).astype(np.float32)

    gcell_features = features(nx * ny, GCELL_FEATURES)
    positive = {"demand_z_h", "demand_z_v", "rudy_h", "rudy_v", "layers_h", "layers_v", "router_runs"}
    for name in positive & set(names(GCELL_FEATURES)):
        at = column(GCELL_FEATURES, name)
        gcell_features[:, at] = np.abs(gcell_features[:, at])
    return CircuitGraph(
        nx=nx,
        ny=ny,
        inst_gcell=inst_gcell,
        pin_inst=inst,
        pin_net=net,
        pin_gcell=pin_gcell,
        net_box=box,
        inst_features=features(insts, INST_FEATURES),
        net_features=features(nets, NET_FEATURES),
        gcell_features=gcell_features,
        pin_features=features(pins, PIN_FEATURES),
    )


def synthetic_labels(graph: CircuitGraph, seed: int = 0) -> Labels:
    """Congestion that follows the demand features, some of it above 1, masked as the router's labels are."""
    rng = np.random.default_rng(seed)
    maps = []
    for name in ("demand_z_h", "demand_z_v"):
        demand = graph.gcell_features[:, column(GCELL_FEATURES, name)].reshape(graph.ny, graph.nx)
        maps.append((0.3 + 0.5 * demand + rng.normal(0, 0.05, demand.shape)).astype(np.float32))
    h, v = maps
    h[:, -1] = np.nan
    v[-1, :] = np.nan
    h[-1, -1] = v[-1, -1] = np.nan
    over = [np.where(np.isnan(m), m, np.maximum(0, m - 1) * 20).astype(np.float32) for m in maps]
    return Labels(h, v, over[0], over[1], np.full(graph.num_nets, np.nan, np.float32))


def synthetic_lengths(graph: CircuitGraph, seed: int = 0) -> np.ndarray:
    """Routed lengths: half of the nets take a way round, the longer the more pins; nan of every fifth net."""
    rng = np.random.default_rng(seed)
    shortest = tree_lengths(graph).shortest_um(TILE_UM)
    detour = np.where(rng.random(graph.num_nets) < 0.5, 1, 1.2 + 0.1 * np.tanh(graph.net_features[:, 0]))
    length = (shortest * detour).astype(np.float32)
    length[::5] = np.nan
    return length


def write_synthetic(
    folder: Path,
    seed: int = 0,
    *,
    family: str,
    design: str = "",
    variant: str = "v0",
    labelled: bool = True,
    lengths: bool = False,
    **size: int,
) -> CircuitGraph:
    """An export folder of a made-up design; `lengths` gives its labels routed lengths of nets."""
    graph = synthetic_graph(seed, **size)
    insts = pa.table({"name": [f"u{i}" for i in range(graph.num_insts)]})
    nets = pa.table({"name": [f"n{i}" for i in range(graph.num_nets)]})
    manifest: dict[str, Any] = {
        "design": design or family,
        "family": family,
        "technology": "made_up",
        "variant": variant,
        "grid": {"nx": graph.nx, "ny": graph.ny},
    }
    labels = synthetic_labels(graph, seed) if labelled else None
    if labels is not None and lengths:
        manifest["grid"]["tile_um"] = TILE_UM
        labels = replace(labels, net_length_um=synthetic_lengths(graph, seed))
    write_design(folder, manifest=manifest, insts=insts, nets=nets, graph=graph, labels=labels)
    return graph


def write_corpus(folder: Path, *, lengths: bool = False) -> Path:
    """Four families in two folds, one of them with two variants."""
    for i, (family, variant) in enumerate([("fa", "v0"), ("fa", "v1"), ("fb", "v0"), ("fc", "v0"), ("fd", "v0")]):
        write_synthetic(folder / family / variant, i, family=family, variant=variant, lengths=lengths)
    lines = ['schema = "gsr-folds"', "schema_version = 1", "[fold]", "fa = 0", "fb = 0", "fc = 1", "fd = 1"]
    (folder / "folds.toml").write_text("\n".join(lines))
    return folder
