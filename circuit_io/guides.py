"""Route guides as OpenROAD's `write_guides` writes them: which gcell edges each net was routed over.

A file holds for every net its name, `(`, lines `x1 y1 x2 y2 layer` in dbu, `)`. A guide of n gcells in the direction of
its layer stands for a wire over the n - 1 edges between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int, Int64

from circuit_io.errors import InputError
from circuit_io.store import StoredDesign, read_more
from circuit_io.text import read_bytes

TABLE, FILE = "guides", "route.guide"  # in an export folder, and in a label folder
_FARTHEST = 1 << 40  # from the origin, in database units
_MEND = "Give what write_guides wrote after global_route on this placement."


@dataclass(frozen=True)
class Guides:
    """Guides: net (of `num_nets` of the design), box in gcells x0, y0, x1, y1 (inclusive), layer (of `layers`)."""

    num_nets: int
    layers: tuple[str, ...]
    net: Int64[np.ndarray, " guides"]
    box: Int64[np.ndarray, "guides 4"]
    layer: Int64[np.ndarray, " guides"]

    def directions(self) -> dict[str, str]:
        """ "h" or "v" for every layer, by the way that most of its guides run; a layer without a long one has none."""
        long = self.box[:, 2:] - self.box[:, :2]
        n = len(self.layers)
        wide, tall = (np.bincount(self.layer, long[:, k], n) for k in (0, 1))
        return {name: "h" if w > t else "v" for name, w, t in zip(self.layers, wide, tall, strict=True) if w != t}

    def wires(self, direction: str, edges: tuple[int, int, int, int]) -> Int64[np.ndarray, " nets"]:
        """For every net the edges of a direction that it was routed over in the box ix0, iy0, ix1, iy1 (inclusive).

        An edge counts once for a layer, however many guides of the net lie over it.
        """
        ways = self.directions()
        mine = np.array([ways.get(name) == direction for name in self.layers], bool)[self.layer]
        return np.bincount(self._edges(mine, direction, edges)[:, 0], minlength=self.num_nets)

    def usage(self, layer: str, direction: str, *, ny: int, nx: int) -> Int64[np.ndarray, "ny nx"]:
        """How many nets were routed on a layer of a direction over each edge of a grid."""
        mine = self.layer == (self.layers.index(layer) if layer in self.layers else -1)
        keys = self._edges(mine, direction, (0, 0, nx - 1, ny - 1))
        return np.bincount(keys[:, 3] * nx + keys[:, 2], minlength=ny * nx).reshape(ny, nx)

    def _edges(
        self, mine: Bool[np.ndarray, " guides"], direction: str, edges: tuple[int, int, int, int]
    ) -> Int64[np.ndarray, "n 4"]:
        """Net, layer, ix, iy of the edges in a box that some guides stand for, each once for a net and layer."""
        step = (1, 0) if direction == "h" else (0, 1)
        low = np.maximum(self.box[:, :2], edges[:2])
        high = np.minimum(self.box[:, 2:] - step, edges[2:])
        rows = np.flatnonzero(mine & (high >= low).all(1))
        size = high[rows] - low[rows] + 1
        count = size.prod(1)
        owner = np.repeat(np.arange(len(rows)), count)
        nth = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        at = low[rows][owner] + np.stack([nth % size[owner, 0], nth // size[owner, 0]], 1)
        guide = rows[owner]
        return np.unique(np.column_stack([self.net[guide], self.layer[guide], at]), axis=0)

    def table(self) -> pa.Table:
        """A row a guide, for an export folder."""
        layer = pa.DictionaryArray.from_arrays(pa.array(self.layer, pa.int32()), pa.array(self.layers, pa.string()))
        corners = {name: pa.array(self.box[:, i], pa.int32()) for i, name in enumerate(("x0", "y0", "x1", "y1"))}
        return pa.table({"net": pa.array(self.net, pa.int32()), **corners, "layer": layer.cast(pa.string())})

    @classmethod
    def of_table(cls, table: pa.Table, num_nets: int) -> "Guides":
        """The guides that `table` gave."""
        layer = table["layer"].combine_chunks().dictionary_encode()
        box = np.stack([np.asarray(table[name], np.int64) for name in ("x0", "y0", "x1", "y1")], 1)
        net, layers = np.asarray(table["net"], np.int64), tuple(layer.dictionary.to_pylist())
        return cls(num_nets, layers, net, box, np.asarray(layer.indices, np.int64))


def read_guides(
    path: Path | str,
    nets: Sequence[str],
    *,
    x_um: Float64[np.ndarray, " nx_plus_1"],
    y_um: Float64[np.ndarray, " ny_plus_1"],
    dbu_per_um: int,
) -> Guides:
    """The guides of a file, for a design with the nets `nets` and gcells with these borders.

    Raises:
        InputError: not of that form, cut, of a net that the design has not, or its boxes do not lie on the gcells.
    """
    path = Path(path)
    row = {name: i for i, name in enumerate(nets)}
    seen: set[int] = set()
    net = -1
    layers: dict[str, int] = {}
    rows: list[tuple[int, int, int, int, int, int]] = []  # net, layer, corners
    lines: list[int] = []
    is_open, name = False, ""
    for number, line in enumerate(read_bytes(path).decode("utf-8", "surrogateescape").split("\n"), 1):
        text = line.rstrip("\r")
        words = text.split()
        if not words:
            continue
        if is_open and words == [")"]:
            is_open, name = False, ""
        elif is_open:
            try:
                x1, y1, x2, y2 = map(int, words[:-1])
                if max(map(abs, (x1, y1, x2, y2))) > _FARTHEST:
                    raise ValueError(text)
            except ValueError as e:
                what = f'"{text[:60]}" is no guide: x1 y1 x2 y2 layer expected'
                raise InputError(what, path=path, line=number, mend=_MEND) from e
            rows.append((net, layers.setdefault(words[-1], len(layers)), x1, y1, x2, y2))
            lines.append(number)
        elif words == ["("] and name:
            is_open, net = True, row.get(name, -1)
            if net < 0 or net in seen:
                what = "is there twice" if net >= 0 else "is not in the design"
                raise InputError(f'net "{name[:60]}" {what}', path=path, line=number - 1, mend=_MEND)
            seen.add(net)
        elif name:
            raise InputError(f'"(" expected after net "{name[:60]}"', path=path, line=number, mend=_MEND)
        else:
            name = text
    if is_open or name:
        raise InputError(f'ends within net "{name[:60]}"', path=path, mend="The file was cut.")
    table = np.array(rows, np.int64).reshape(-1, 6)
    box, wrong = _gcells(table[:, 2:], x_um * dbu_per_um, y_um * dbu_per_um)
    if wrong.any():
        at = lines[int(np.flatnonzero(wrong)[0])]
        raise InputError("this guide does not lie on the gcells of the prediction", path=path, line=at, mend=_MEND)
    return Guides(len(nets), tuple(layers), table[:, 0], box, table[:, 1])


def read_stored_guides(design: StoredDesign) -> Guides | None:
    """The guides of an export folder; None when its labels had none.

    Raises:
        InputError: the table does not fit the design.
    """
    graph = design.graph
    guides = read_more(design, TABLE, lambda table: Guides.of_table(table, graph.num_nets))
    if guides is None:
        return None
    low, high = guides.box[:, :2], guides.box[:, 2:]
    is_inside = (low >= 0).all() and (low <= high).all() and (high < (graph.nx, graph.ny)).all()
    if not is_inside or not ((guides.net >= 0) & (guides.net < guides.num_nets)).all():
        path = design.path / f"{TABLE}.parquet"
        raise InputError("a guide lies outside the design", path=path, mend="Export the design again.")
    return guides


def _gcells(
    corners: Int64[np.ndarray, "n 4"], x: Float64[np.ndarray, " nx_plus_1"], y: Float64[np.ndarray, " ny_plus_1"]
) -> tuple[Int64[np.ndarray, "n 4"], np.ndarray]:
    """The gcells that each box covers, and where a box does not begin and end on borders."""
    box = np.empty_like(corners)
    wrong = np.zeros(len(corners), bool)
    for axis, borders in enumerate((np.rint(x).astype(np.int64), np.rint(y).astype(np.int64))):
        first, last = _index(borders, corners[:, axis]), _index(borders, corners[:, axis + 2])
        wrong |= (first < 0) | (last <= first)
        box[:, axis], box[:, axis + 2] = first, last - 1
    return box, wrong


def _index(borders: Int64[np.ndarray, " n"], at: Int[np.ndarray, " k"]) -> Int64[np.ndarray, " k"]:
    found = np.minimum(np.searchsorted(borders, at), len(borders) - 1)
    return np.where(borders[found] == at, found, -1)
