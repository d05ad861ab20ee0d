"""A made-up placement, its export folder and a prediction of it: what annotations, plans and reports need."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from circuit_io.manifest import to_json
from circuit_io.prediction import Prediction, prediction_manifest, write_prediction
from circuit_io.spot_nets import net_overflow
from circuit_io.text import sha256

UGLY = ("a b", r"bus\[3\]", "$x*", "größe", "u1/_44_", "p%q", "t,\tb", '"q"', "<b>&amp;", "l\nf")


@dataclass(frozen=True)
class SyntheticGraph:
    """Stands for a `CircuitGraph`."""

    net_box: np.ndarray
    pin_inst: np.ndarray
    pin_net: np.ndarray
    pin_gcell: np.ndarray


@dataclass(frozen=True)
class SyntheticLabels:
    """Stands for `Labels`."""

    congestion_h: np.ndarray
    congestion_v: np.ndarray


@dataclass(frozen=True)
class SyntheticDesign:
    """Stands for a `StoredDesign`."""

    manifest: dict[str, Any]
    insts: pa.Table
    nets: pa.Table
    graph: SyntheticGraph
    labels: SyntheticLabels | None = None
    modules: pa.Table | None = None
    path: Path = field(default_factory=Path)


def make_export(
    folder: Path,
    *,
    nx: int = 30,
    ny: int = 24,
    tile_um: float = 6.0,
    num_insts: int = 600,
    num_nets: int = 500,
    utilization: float = 0.7,
    seed: int = 0,
    design: str = "synthetic",
) -> SyntheticDesign:
    """An export folder with uniformly spread insts and local nets; some names are ugly."""
    rng = np.random.default_rng(seed)
    die = (0.0, 0.0, nx * tile_um + 1.5, ny * tile_um + 2.25)  # the last column and row are wider
    core = (2.0, 2.0, die[2] - 2.0, die[3] - 2.0)
    core_area = (core[2] - core[0]) * (core[3] - core[1])
    height = 1.4
    pins = rng.integers(2, 7, num_insts)
    movable = utilization * core_area
    width = movable * pins / pins.sum() / height * rng.uniform(0.9, 1.1, num_insts)
    width = np.minimum(width, 0.5 * (core[2] - core[0]))
    x = rng.uniform(core[0], core[2] - width)
    y = rng.uniform(core[1], core[3] - height, num_insts)
    inst_names = [*UGLY, *(f"u{i}" for i in range(num_insts - len(UGLY)))]
    net_names = [*UGLY, *(f"n{i}" for i in range(num_nets - len(UGLY)))]
    insts = pa.table(
        {
            "name": inst_names,
            "master": ["CELL"] * num_insts,
            "x_um": x,
            "y_um": y,
            "width_um": width,
            "height_um": np.full(num_insts, height),
            "is_macro": np.zeros(num_insts, bool),
            "is_fixed": np.zeros(num_insts, bool),
            "is_port": np.zeros(num_insts, bool),
        }
    )
    at = np.stack([rng.integers(0, nx, num_nets), rng.integers(0, ny, num_nets)], 1)
    size = rng.integers(0, 9, (num_nets, 2))
    box = np.concatenate([at, np.minimum(at + size, [nx - 1, ny - 1])], 1).astype(np.int32)
    nets = pa.table(
        {
            "name": net_names,
            "use": ["SIGNAL"] * num_nets,
            "degree": rng.integers(2, 9, num_nets),
            "hpwl_um": (box[:, 2] - box[:, 0] + box[:, 3] - box[:, 1]) * tile_um,
        }
    )
    pin_inst = np.repeat(np.arange(num_insts, dtype=np.int32), pins)
    pin_net, pin_gcell = make_pins(box, nx)
    folder.mkdir(parents=True)
    pq.write_table(insts, folder / "insts.parquet")
    pq.write_table(nets, folder / "nets.parquet")
    arrays = {"net_box": box, "pin_inst": pin_inst, "pin_net": pin_net, "pin_gcell": pin_gcell}
    save_file(arrays, folder / "graph.safetensors")
    movable = float((width * height).sum())
    manifest = {
        "schema": "gsr-design",
        "schema_version": 1,
        "design": design,
        "family": design,
        "technology": "made-up",
        "stage": "place",
        "dbu_per_um": 1000,
        "die_um": list(die),
        "core_um": list(core),
        "signal_layers": ["M2", "M5"],
        "layer_adjustment": {"M2": 0.2, "M3": 0.2, "M4": 0.2, "M5": 0.2},
        "grid": {"nx": nx, "ny": ny, "tile_um": tile_um},
        "counts": {"insts": num_insts, "nets": num_nets},
        "def_sha256": sha256(design.encode()),
        "placement": {
            "core_area_um2": core_area,
            "movable_area_um2": movable,
            "fixed_area_um2": 0.0,
            "free_area_um2": core_area - movable,
        },
        "files": {p.name: sha256(p.read_bytes()) for p in sorted(folder.iterdir())},
    }
    (folder / "manifest.json").write_bytes(to_json(manifest))
    return SyntheticDesign(manifest, insts, nets, SyntheticGraph(box, pin_inst, pin_net, pin_gcell), path=folder)


def make_pins(box: np.ndarray, nx: int) -> tuple[np.ndarray, np.ndarray]:
    """Net and gcell of pins in two opposite corners of each net's box, and of every other net one within."""
    rng = np.random.default_rng(7)
    net = np.arange(len(box))
    inner = rng.integers(box[:, :2], box[:, 2:] + 1)[::2]
    at = np.concatenate([box[:, :2], box[:, 2:], inner])
    net = np.concatenate([net, net, net[::2]])
    order = np.argsort(net, kind="stable")
    return net[order].astype(np.int32), (at[:, 1] * nx + at[:, 0])[order].astype(np.int32)


def make_prediction(
    design: SyntheticDesign,
    *,
    hot: tuple[tuple[float, float, float, float], ...] = ((0.3, 0.35, 0.12, 0.8), (0.75, 0.7, 0.08, 0.6)),
    base: float = 0.55,
    sigma: float = 0.05,
    seed: int = 0,
) -> Prediction:
    """A smooth map with bumps `hot` (x, y, radius as shares of the die, height) on a level `base`."""
    rng = np.random.default_rng(seed)
    grid, die = design.manifest["grid"], design.manifest["die_um"]
    nx, ny = grid["nx"], grid["ny"]
    x_um = np.append(np.arange(nx) * grid["tile_um"], die[2])
    y_um = np.append(np.arange(ny) * grid["tile_um"], die[3])
    u, v = np.meshgrid((np.arange(nx) + 0.5) / nx, (np.arange(ny) + 0.5) / ny)
    field_ = np.full((ny, nx), base)
    for x, y, radius, height in hot:
        field_ += height * np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * radius**2))
    maps: dict[str, np.ndarray] = {}
    for d, gain, tracks in (("h", 1.0, 24.0), ("v", 0.9, 20.0)):
        noisy = np.maximum(gain * field_ + rng.normal(0, 0.03, field_.shape), 0)
        maps[f"congestion_{d}"] = noisy
        maps[f"capacity_{d}"] = np.full_like(field_, tracks)
        maps[f"rudy_{d}"] = 0.6 * field_ + rng.uniform(0, 0.2, field_.shape)
        maps[f"overflow_prob_{d}"] = 1 / (1 + np.exp(-(noisy - 1) / 0.05))
        maps[f"sigma_{d}"] = np.full_like(field_, sigma)
    for key, values in maps.items():
        values[(slice(None), -1) if key.endswith("_h") else (-1, slice(None))] = np.nan
    table = design.insts
    cx = table["x_um"].to_numpy() + table["width_um"].to_numpy() / 2
    cy = table["y_um"].to_numpy() + table["height_um"].to_numpy() / 2
    ix = np.clip(np.searchsorted(x_um, cx, "right") - 1, 0, nx - 1)
    iy = np.clip(np.searchsorted(y_um, cy, "right") - 1, 0, ny - 1)
    area = np.zeros((ny, nx))
    np.add.at(area, (iy, ix), table["width_um"].to_numpy() * table["height_um"].to_numpy())
    maps["drc_prob"] = 1 / (1 + np.exp(-(field_ - 1.2) / 0.05))
    maps["cell_area_um2"], maps["fixed_area_um2"] = area, np.zeros_like(area)
    maps = {key: values.astype(np.float32) for key, values in maps.items()}
    over = [np.maximum(maps[f"congestion_{d}"] - 1, 0) * maps[f"capacity_{d}"] for d in "hv"]
    prediction = Prediction(
        manifest=prediction_manifest(
            design.path,
            model={"card": "synthetic", "weights_sha256": "0" * 64, "layers": 16},
            versions={"gsr-plugin": "0.1.0", "numpy": np.__version__},
        ),
        x_um=x_um,
        y_um=y_um,
        maps=maps,
        net_demand=net_overflow(design.graph, *over),
    )
    both = (prediction.per_gcell("congestion_h") + prediction.per_gcell("congestion_v")) / 2
    return Prediction(
        manifest=prediction.manifest,
        x_um=x_um,
        y_um=y_um,
        maps=maps,
        inst_congestion=both[iy, ix],
        net_demand=prediction.net_demand,
    )


def make_labels(prediction: Prediction, *, noise: float = 0.08, seed: int = 1) -> SyntheticLabels:
    """A router's result that differs from the prediction by noise."""
    rng = np.random.default_rng(seed)
    h, v = (
        np.maximum(prediction.maps[f"congestion_{d}"] + rng.normal(0, noise, prediction.shape), 0).astype(np.float32)
        for d in "hv"
    )
    return SyntheticLabels(h, v)


def make_pair(folder: Path, **options: float) -> tuple[SyntheticDesign, Path]:
    """An export in `folder`/design and a prediction in `folder`/pred; options go to `make_prediction`."""
    design = make_export(folder / "design")
    write_prediction(folder / "pred", make_prediction(design, **options), export=design.path)
    return design, folder / "pred"
