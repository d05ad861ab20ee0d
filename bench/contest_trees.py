"""Boosted trees over edges: the features of the export, their neighbourhoods and means over the design.

Horizontal and vertical edges share one model: a vertical edge is a horizontal one of the transposed design. A table
has a row an edge. Fields of edges in its direction ("own") are taken as they are, those of the other direction
("cross") and of gcells as the mean of the two gcells that it joins.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from scipy import ndimage

from circuit_io.fields import GCELL_FEATURES, Field
from circuit_io.graph import CircuitGraph
from circuit_io.transform import Symmetry, transform
from gsr_plugin.dataset import Entry, Loader

EDGES = 450  # of a placement and direction that are learned from
ROUNDS, LEAVES, RATE = 250, 63, 0.08  # research of this data used 200, 63, 0.08
WINDOWS_OWN = ((3, 1), (1, 3), (5, 5), (11, 11))  # rows, columns: across, along, both
WINDOWS_OTHER = ((3, 3), (7, 7))
IN_WINDOWS = ("pins", "local_nets", "bends", "cell_area")
_WINDOWS = ("across3", "along3", "box5", "box11")  # in the names of what is a window itself

Pair = tuple[np.ndarray, np.ndarray]


def without_nets(graph: CircuitGraph) -> CircuitGraph:
    """The gcells of a graph alone: quick to turn."""
    none = {name: getattr(graph, name)[:0] for name in (
        "inst_gcell", "pin_inst", "pin_net", "pin_gcell", "net_box", "inst_features", "net_features", "pin_features",
    )}  # fmt: skip
    return replace(graph, **none)


def _is_window(field: Field) -> bool:
    return any(word in field.name for word in _WINDOWS)


def _window(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mean over a window, of what lies on the grid."""
    weight = ndimage.uniform_filter(np.ones_like(values), size, mode="constant")
    return np.asarray(ndimage.uniform_filter(values, size, mode="constant") / weight)


def _shifts(values: np.ndarray) -> list[np.ndarray]:
    """The neighbours one step to either side along and across; at the border the value itself."""
    padded = np.pad(values, 1, mode="edge")
    ny, nx = values.shape
    return [padded[1 + dy : 1 + dy + ny, 1 + dx : 1 + dx + nx] for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0))]


def _per_gcell(field: Field, grid: np.ndarray) -> np.ndarray:
    """Values of gcells; of vertical edges the mean of the two at a gcell."""
    if field.place != "edge_v" or len(grid) < 2:
        return grid
    edges = grid[:-1]
    return (np.concatenate([edges[:1], edges]) + np.concatenate([edges, edges[-1:]])) / 2


def horizontal_table(graph: CircuitGraph) -> tuple[np.ndarray, list[str]]:
    """Features of the horizontal edges, row by row, and the gcell field that each column is of.

    A grid of one column has none.
    """
    ny, nx = graph.ny, graph.nx
    grids = graph.gcell_features.reshape(ny, nx, -1)
    columns: list[np.ndarray] = []
    sources: list[str] = []
    for at, field in enumerate(GCELL_FEATURES):
        if field.place == "edge_h":
            own = grids[:, : nx - 1, at]
            columns.append(own)
            if not _is_window(field):
                columns += [_window(own, size) for size in WINDOWS_OWN] + _shifts(own)
                columns += [np.full_like(own, s) for s in (own.mean(), own.std(), (own > 1).mean())]
        else:
            both = _per_gcell(field, grids[:, :, at])
            columns.append((both[:, :-1] + both[:, 1:]) / 2)
            if field.name in IN_WINDOWS or (field.place == "edge_v" and not _is_window(field)):
                columns += [_window(columns[-1], size) for size in WINDOWS_OTHER]
        sources += [field.name] * (len(columns) - len(sources))
    return np.stack([c.ravel() for c in columns], axis=1).astype(np.float32), sources


class TreeTables:
    """Tables of placements; what is learned from is drawn once for all folds."""

    def __init__(self, load: Loader) -> None:
        self.load = load
        self._samples: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def whole(self, graph: CircuitGraph) -> Pair:
        """Of all horizontal and of all vertical edges, the latter column by column."""
        bare = without_nets(graph)
        turned = transform(bare, Symmetry(transpose=True))
        return horizontal_table(bare)[0], horizontal_table(turned)[0]

    def sample(self, entry: Entry) -> tuple[np.ndarray, np.ndarray]:
        """Features and congestion of at most `EDGES` edges of either direction."""
        if entry.sha256 not in self._samples:
            rng = np.random.default_rng(int(entry.sha256[:8], 16))
            found = self.load(entry)
            truth = (found.labels.congestion_h[:, :-1], found.labels.congestion_v[:-1].T)
            features, values = [], []
            for table, labels in zip(self.whole(found.graph), truth, strict=True):
                seen = np.flatnonzero(np.isfinite(labels.ravel()))
                picked = np.sort(rng.choice(seen, min(EDGES, len(seen)), replace=False))
                features.append(table[picked])
                values.append(labels.ravel()[picked])
            self._samples[entry.sha256] = np.concatenate(features), np.concatenate(values)
        return self._samples[entry.sha256]


class Trees:
    """Gradient boosting by histograms on the squared error; every design has the same weight.

    Columns of the gcell fields called `hidden` are not used.
    """

    def __init__(
        self, tables: TreeTables, entries: list[Entry], *, hidden: Collection[str] = (), seed: int = 0, rounds: int = 0
    ) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor

        variants: dict[tuple[str, str, str], int] = {}
        for e in entries:
            variants[e.design_key] = variants.get(e.design_key, 0) + 1
        sources = horizontal_table(without_nets(tables.load(entries[0]).graph))[1]
        self.columns = np.flatnonzero([name not in hidden for name in sources])
        drawn = [tables.sample(e) for e in entries]
        weight = np.concatenate(
            [np.full(len(y), 1 / (len(y) * variants[e.design_key])) for (_, y), e in zip(drawn, entries, strict=True)]
        )
        self.tables = tables
        self.model = HistGradientBoostingRegressor(
            learning_rate=RATE, max_iter=rounds or ROUNDS, max_leaf_nodes=LEAVES, min_samples_leaf=40,
            l2_regularization=1.0, early_stopping=False, random_state=seed,
        )  # fmt: skip
        self.model.fit(
            np.concatenate([x[:, self.columns] for x, _ in drawn]),
            np.concatenate([y for _, y in drawn]),
            sample_weight=weight / weight.mean(),
        )

    def predict(self, graph: CircuitGraph) -> Pair:
        """Congestion of the edges to the right and above."""
        ny, nx = graph.ny, graph.nx
        h, v = (np.full((ny, nx), np.nan, np.float32) for _ in "hv")
        of_h, of_v = self.tables.whole(graph)
        if nx > 1:
            h[:, :-1] = np.maximum(self.model.predict(of_h[:, self.columns]), 0).reshape(ny, nx - 1)
        if ny > 1:
            v[:-1] = np.maximum(self.model.predict(of_v[:, self.columns]), 0).reshape(nx, ny - 1).T
        return h, v
