"""The heterogeneous graph of a placed design, in factored form.

Node types are inst (ports included), net and gcell; gcell (ix, iy) has index `iy * nx + ix`. The relations that factor
exactly (`clique`, `near`, `covers`) are never stored as edges; `explicit` builds any of them for tests and export.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, UInt8, UInt16

from circuit_io.arrays import expand

ENDS = {
    "pin": ("inst", "net"),
    "pinned": ("net", "inst"),
    "in": ("inst", "gcell"),
    "holds": ("gcell", "inst"),
    "west": ("gcell", "gcell"),
    "east": ("gcell", "gcell"),
    "south": ("gcell", "gcell"),
    "north": ("gcell", "gcell"),
    "adjacent": ("gcell", "gcell"),
    "covers": ("net", "gcell"),
    "covered": ("gcell", "net"),
    "near": ("inst", "inst"),
    "clique": ("inst", "inst"),
}
STEPS = {"west": (-1, 0), "east": (1, 0), "south": (0, -1), "north": (0, 1)}  # where the message comes from
RELATIONS = tuple(ENDS)


@dataclass(frozen=True)
class Edges:
    """An explicit relation: `edge_index[0]` sources, `[1]` targets; each target's weights sum to 1 (a row mean)."""

    edge_index: Int64[np.ndarray, "2 edges"]
    weight: Float64[np.ndarray, " edges"]


@dataclass(frozen=True)
class Layers:
    """Routing layers as the embedded router takes them, from the lowest of the technology to the highest for signals.

    Attributes:
        lowest: index of the lowest layer for signals; below it are pins alone.
        along_x: layers whose wires run along x.
        room: tracks from each gcell to the next along the layer that adjustments and fixed shapes leave.
        pin_layer: layer of each pin.
    """

    lowest: int
    along_x: Bool[np.ndarray, " layers"]
    room: UInt16[np.ndarray, "layers ny nx"]
    pin_layer: UInt8[np.ndarray, " pins"]


@dataclass(frozen=True)
class CircuitGraph:
    """Structure and features of one placed design; see `fields.py` for the columns.

    Pins are sorted by net, then inst, and a pin that appears twice counts twice. `net_box` is x0, y0, x1, y1 in gcells,
    both ends included; a net without pins has x1 < x0. `layers` is there where a whole design was exported: for the
    embedded router, not for the model.
    """

    nx: int
    ny: int
    inst_gcell: Int32[np.ndarray, " insts"]
    pin_inst: Int32[np.ndarray, " pins"]
    pin_net: Int32[np.ndarray, " pins"]
    pin_gcell: Int32[np.ndarray, " pins"]
    net_box: Int32[np.ndarray, "nets 4"]
    inst_features: Float32[np.ndarray, "insts inst_fields"]
    net_features: Float32[np.ndarray, "nets net_fields"]
    gcell_features: Float32[np.ndarray, "gcells gcell_fields"]
    pin_features: Float32[np.ndarray, "pins pin_fields"]
    layers: Layers | None = None

    @property
    def num_insts(self) -> int:
        """Insts and ports."""
        return len(self.inst_gcell)

    @property
    def num_nets(self) -> int:
        """Signal and clock nets."""
        return len(self.net_box)

    @property
    def num_gcells(self) -> int:
        """Tiles of the grid."""
        return self.nx * self.ny

    @property
    def num_pins(self) -> int:
        """Incidences of insts and nets."""
        return len(self.pin_net)

    def explicit(self, relation: str) -> Edges:
        """All edges of `relation` with row-mean weights: for tests, export and peers, not for the model.

        `clique` joins every pair of pins on a net, a pin with itself left out, plus one self loop an inst.
        """
        source, target = self._pairs(relation)
        num_targets = {"inst": self.num_insts, "net": self.num_nets, "gcell": self.num_gcells}[ENDS[relation][1]]
        degree = np.bincount(target, minlength=num_targets)
        return Edges(np.stack([source, target]), 1.0 / degree[target])

    def num_edges(self, relation: str) -> int:
        """Edges of `explicit(relation)`, counted without making them."""
        if relation == "clique":
            degree = np.bincount(self.pin_net, minlength=self.num_nets).astype(np.int64)
            pair = self.pin_inst.astype(np.int64) * max(self.num_nets, 1) + self.pin_net
            same = np.unique(pair, return_counts=True)[1]
            return int((degree**2).sum() - (same**2).sum()) + self.num_insts
        if relation == "near":
            count = np.bincount(self.inst_gcell, minlength=self.num_gcells).reshape(self.ny, self.nx)
            around = np.pad(count, 1)
            window = sum(around[y : y + self.ny, x : x + self.nx] for x in range(3) for y in range(3))
            return int((count * window).sum()) - self.num_insts
        if relation in ("covers", "covered"):
            x0, y0, x1, y1 = self.net_box.astype(np.int64).T
            return int((np.maximum(x1 - x0 + 1, 0) * np.maximum(y1 - y0 + 1, 0)).sum())
        return len(self._pairs(relation)[0])

    def _pairs(self, relation: str) -> tuple[Int64[np.ndarray, " edges"], Int64[np.ndarray, " edges"]]:
        inst, net = self.pin_inst.astype(np.int64), self.pin_net.astype(np.int64)
        cell = self.inst_gcell.astype(np.int64)
        everyone = np.arange(self.num_insts)
        if relation in ("pin", "pinned"):
            return (inst, net) if relation == "pin" else (net, inst)
        if relation in ("in", "holds"):
            return (everyone, cell) if relation == "in" else (cell, everyone)
        if relation in ("covers", "covered"):
            of_net, gcell = self._covered()
            return (of_net, gcell) if relation == "covers" else (gcell, of_net)
        if relation == "clique":
            return self._clique(inst, net)
        if relation == "near":
            return self._near(cell)
        if relation == "adjacent":
            parts = [self._step(*STEPS[side]) for side in STEPS]
            return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        if relation in STEPS:
            return self._step(*STEPS[relation])
        raise ValueError(f"no relation {relation!r}; there are {', '.join(RELATIONS)}")

    def _step(self, dx: int, dy: int) -> tuple[Int64[np.ndarray, " edges"], Int64[np.ndarray, " edges"]]:
        target = np.arange(self.num_gcells)
        x, y = target % self.nx + dx, target // self.nx + dy
        inside = (x >= 0) & (x < self.nx) & (y >= 0) & (y < self.ny)
        return (y * self.nx + x)[inside], target[inside]

    def _covered(self) -> tuple[Int64[np.ndarray, " edges"], Int64[np.ndarray, " edges"]]:
        x0, y0, x1, y1 = self.net_box.astype(np.int64).T
        width = np.maximum(x1 - x0 + 1, 0)
        net, nth = expand(width * np.maximum(y1 - y0 + 1, 0))
        return net, (y0[net] + nth // width[net]) * self.nx + x0[net] + nth % width[net]

    def _clique(
        self, inst: Int64[np.ndarray, " pins"], net: Int64[np.ndarray, " pins"]
    ) -> tuple[Int64[np.ndarray, " edges"], Int64[np.ndarray, " edges"]]:
        degree = np.bincount(net, minlength=self.num_nets)
        first = np.cumsum(degree) - degree
        pin, nth = expand(degree[net])
        other = first[net[pin]] + nth
        apart = inst[pin] != inst[other]  # pins of one inst on one net make no pair
        loops = np.arange(self.num_insts)
        return np.concatenate([inst[other][apart], loops]), np.concatenate([inst[pin][apart], loops])

    def _near(
        self, cell: Int64[np.ndarray, " insts"]
    ) -> tuple[Int64[np.ndarray, " edges"], Int64[np.ndarray, " edges"]]:
        order = np.argsort(cell, kind="stable")
        count = np.bincount(cell, minlength=self.num_gcells)
        first = np.cumsum(count) - count
        sources, targets = [], []
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                x, y = cell % self.nx + dx, cell // self.nx + dy
                inside = (x >= 0) & (x < self.nx) & (y >= 0) & (y < self.ny)
                at = np.where(inside, y * self.nx + x, 0)
                target, nth = expand(np.where(inside, count[at], 0))
                source = order[first[at[target]] + nth]
                sources.append(source[source != target])
                targets.append(target[source != target])
        return np.concatenate(sources), np.concatenate(targets)
