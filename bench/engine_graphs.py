"""The graphs of the engine's contest: real placements, one with the degree law of CircuitNet's 7157, a replica."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.corpus import library_files
from bench.replica import replicate
from circuit_io.export import export_design
from circuit_io.export_sources import ExportSources
from circuit_io.store import open_design
from gsr_plugin.graph_tensors import GraphTensors

PLACED = {"gcd": "nangate45", "ibex": "nangate45", "aes": "nangate45", "dynamic_node": "nangate45",
          "nvdla_partition_a": "asap7"}  # fmt: skip
FIELDS = ("inst_gcell", "pin_inst", "pin_net", "net_box")
LARGEST_NETS = (1476, 927, 869, 547)  # of 7157; the others here are a geometric tail and small nets


class InstGraph(GraphTensors):
    """Insts alone are nodes, as in CircuitNet's clique graphs; the nets only join them."""

    @property
    def num_nodes(self) -> int:
        """Insts."""
        return self.num_insts

    def count(self, node_type: str) -> int:
        """Nodes of one type."""
        return self.num_insts if node_type == "inst" else 0

    def rows(self, node_type: str) -> slice:
        """Rows of one node type in a stream."""
        return slice(0 if node_type == "inst" else self.num_insts, self.num_insts)


@dataclass(frozen=True)
class Edges:
    """The explicit cliques, by target: pairs of pins of two insts on a net, and every inst with itself once."""

    ptr: np.ndarray
    source: np.ndarray

    @classmethod
    def of(cls, arrays: SimpleNamespace) -> "Edges":
        """Of a graph's pins, repeats kept."""
        n, m = len(arrays.inst_gcell), len(arrays.net_box)
        inst = np.concatenate([arrays.pin_inst, np.arange(n, dtype=np.int32)])
        net = np.concatenate([arrays.pin_net, np.arange(m, m + n, dtype=np.int32)])  # a net of its own for each inst
        on_net = inst[np.argsort(net, kind="stable")]
        size = np.bincount(net, minlength=m + n)
        start = np.cumsum(size) - size
        order = np.argsort(inst, kind="stable")
        inst, net = inst[order], net[order]
        degree = size[net]
        target = np.repeat(inst, degree)
        at = np.repeat((start[net] - (np.cumsum(degree) - degree)).astype(np.int32), degree)
        at += np.arange(len(at), dtype=np.int32)
        source = on_net[at]
        keep = source != target
        keep |= at >= len(arrays.pin_inst)
        ptr = np.zeros(n + 1, np.int64)
        np.cumsum(np.bincount(target[keep], minlength=n), out=ptr[1:])
        return cls(ptr, source[keep])


def num_edges(arrays: SimpleNamespace) -> int:
    """Of the cliques at pin level, self loops included."""
    size = np.bincount(arrays.pin_net).astype(np.int64)
    return int((size * (size - 1)).sum()) + len(arrays.inst_gcell)


def arrays_of(name: str, data: Path, home: Path, *, size: int | None = None, given: Path | None = None) -> Path:
    """The arrays of a graph in `home`, made once.

    Args:
        name: a name of `PLACED`, "7157" or "replica".
        data: the folder with `pdk/` and `designs/`; without it the placed graphs are made up with ibex's counts.
        home: a folder.
        size: make graphs of this many insts up instead (`--quick`).
        given: take the graph of this design folder, and keep it under `name`.
    """
    path = home / f"{name}{size or ''}.npz"
    if not path.is_file():
        home.mkdir(parents=True, exist_ok=True)
        if given:
            found = open_design(given).graph
        elif name == "7157":
            found = like_7157(size or 38_656)
        elif size or not (data / "designs").is_dir():
            found = like_ibex(size or 17_410)
        else:
            found = _replica(data) if name == "replica" else _exported(data, name)
        np.savez(path, nx=found.nx, ny=found.ny, **{f: getattr(found, f) for f in FIELDS})
    return path


def read_arrays(path: Path) -> SimpleNamespace:
    """What `arrays_of` wrote."""
    with np.load(path) as file:
        return SimpleNamespace(nx=int(file["nx"]), ny=int(file["ny"]), **{f: file[f] for f in FIELDS})


def _export(data: Path, tech: str, def_: Path) -> Any:  # noqa: ANN401
    lef, lib = library_files(data, tech)
    with tempfile.TemporaryDirectory() as folder:
        sources = ExportSources(lef=lef, lib=lib, def_=def_, layer_adjustment={"*": 0.3})
        export_design(sources, Path(folder) / "export")
        return open_design(Path(folder) / "export").graph


def _exported(data: Path, name: str) -> Any:  # noqa: ANN401
    return _export(data, PLACED[name], data / "designs" / PLACED[name] / name / "design.def.gz")


def _replica(data: Path) -> Any:  # noqa: ANN401
    source = data / "labels" / "nangate45" / "ibex" / "v0" / "placed.def.gz"
    with tempfile.TemporaryDirectory() as folder:
        made = replicate(source, Path(folder), insts=1_100_000, verilog=False)
        return _export(data, "nangate45", made.def_)


def _boxes(inst_gcell: np.ndarray, side: int, pin_inst: np.ndarray, degree: np.ndarray) -> np.ndarray:
    at = np.stack([inst_gcell[pin_inst] % side, inst_gcell[pin_inst] // side], 1)
    starts = np.cumsum(degree) - degree
    return np.concatenate([np.minimum.reduceat(at, starts), np.maximum.reduceat(at, starts)], 1).astype(np.int32)


def _made_up(insts: int, degree: np.ndarray, rng: np.random.Generator, *, far: int = 0) -> SimpleNamespace:
    """Nets of the given sizes over insts that are near each other; the pins of the first `far` nets lie anywhere."""
    side = max(1, round((0.518 * insts) ** 0.5))
    inst_gcell = rng.integers(0, side * side, insts).astype(np.int32)
    order = np.argsort(inst_gcell, kind="stable").astype(np.int32)
    picks = []
    for i, d in enumerate(degree.tolist()):
        span = insts if i < far else min(insts, max(3 * d, 40))
        picks.append((rng.integers(insts) + rng.choice(span, d, replace=False)) % insts)
    pin_inst = order[np.concatenate(picks)]
    pin_net = np.repeat(np.arange(len(degree), dtype=np.int32), degree)
    box = _boxes(inst_gcell, side, pin_inst, degree)
    return SimpleNamespace(nx=side, ny=side, inst_gcell=inst_gcell, pin_inst=pin_inst, pin_net=pin_net, net_box=box)


def like_ibex(insts: int) -> SimpleNamespace:
    """1.09 nets an inst, 3.5 pins a net, 0.52 gcells an inst."""
    rng = np.random.default_rng(0)
    return _made_up(insts, np.minimum(1 + rng.geometric(0.4, round(1.093 * insts)), min(60, insts)), rng)


def like_7157(insts: int) -> SimpleNamespace:
    """The law of CircuitNet's 7157 at 38,656 insts: 39,811 nets, 157k pins, 6.8M clique edges with self loops.

    Source: counts and largest nets of the public demo design zero-riscy-a; the tail between is ours, fitted to both.
    """
    rng, share = np.random.default_rng(0), insts / 38_656
    tail = 459 * 0.95 ** np.arange(60)
    large = np.unique(np.maximum(2, share * np.concatenate([LARGEST_NETS, tail])).astype(np.int64))[::-1]
    small = 1 + rng.geometric(0.383, round(39_811 * share) - len(large))
    return _made_up(insts, np.minimum(np.concatenate([large, small]), insts), rng, far=len(large))
