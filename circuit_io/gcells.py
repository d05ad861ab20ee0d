"""The router's tiles and the tracks between them, as OpenROAD's global router makes them.

Entry `[iy, ix]` of a horizontal map is the edge to the right neighbour, of a vertical map the edge to the one above.
"""

import logging
import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from circuit_io.arrays import expand
from circuit_io.errors import InputError, did_you_mean

_log = logging.getLogger(__name__)

PITCHES_PER_TILE = 15  # FastRoute's constant: a gcell is 15 track spacings wide
MAX_GCELLS = 16_000_000  # a die of 8 mm x 8 mm in tiles of 2 um
HORIZONTAL, VERTICAL = 0, 1


@dataclass(frozen=True)
class RoutingLayer:
    """One ROUTING layer: its level (1 is the lowest) and the tracks across its own direction, in dbu."""

    name: str
    level: int
    direction: int
    track_start: tuple[int, ...] = ()
    track_count: tuple[int, ...] = ()
    track_step: tuple[int, ...] = ()

    @property
    def spacing_dbu(self) -> int:
        """Step of the tracks, of several patterns their mean; 0 when the layer has no tracks.

        Source:
            `dbTrackGrid::getAverageTrackSpacing`, which counts a track of two patterns once and rounds up, in single
            precision.
        """
        if len(self.track_step) < 2:
            return self.track_step[0] if self.track_count else 0
        tracks = self.tracks_dbu()
        return math.ceil(np.float32(tracks[-1] - tracks[0]) / np.float32(len(tracks)))

    def tracks_dbu(self) -> Int64[np.ndarray, " tracks"]:
        """Coordinates of all tracks, ascending; a pattern given twice counts once."""
        patterns = set(zip(self.track_start, self.track_count, self.track_step, strict=True))
        return np.unique(np.concatenate([s + d * np.arange(n, dtype=np.int64) for s, n, d in patterns]))


@dataclass(frozen=True)
class GcellGrid:
    """Square tiles from the lower left of the die; the last row and column take the remainder.

    `layers` are the ROUTING layers in order of level, `signal` the lowest and highest level that signals may use.
    """

    origin_dbu: tuple[int, int]
    die_dbu: tuple[int, int, int, int]
    tile_dbu: int
    nx: int
    ny: int
    layers: tuple[RoutingLayer, ...]
    signal: tuple[int, int]
    warnings: tuple[str, ...] = field(default=())

    def x_dbu(self) -> Int64[np.ndarray, " nx_plus_1"]:
        """Borders of the columns, from the left edge of the die to the right one."""
        return np.append(self.origin_dbu[0] + self.tile_dbu * np.arange(self.nx, dtype=np.int64), self.die_dbu[2])

    def y_dbu(self) -> Int64[np.ndarray, " ny_plus_1"]:
        """Borders of the rows, from the lower edge of the die to the upper one."""
        return np.append(self.origin_dbu[1] + self.tile_dbu * np.arange(self.ny, dtype=np.int64), self.die_dbu[3])

    def column(self, x_dbu: Int64[np.ndarray, "..."]) -> Int64[np.ndarray, "..."]:
        """Column of each coordinate; what lies outside the die goes to the border column."""
        column: np.ndarray = np.clip((x_dbu - self.origin_dbu[0]) // self.tile_dbu, 0, self.nx - 1)
        return column

    def row(self, y_dbu: Int64[np.ndarray, "..."]) -> Int64[np.ndarray, "..."]:
        """Row of each coordinate; what lies outside the die goes to the border row."""
        row: np.ndarray = np.clip((y_dbu - self.origin_dbu[1]) // self.tile_dbu, 0, self.ny - 1)
        return row

    def signal_layers(self, direction: int) -> list[RoutingLayer]:
        """The layers of one direction that signals may use, from below."""
        low, high = self.signal
        return [layer for layer in self.layers if low <= layer.level <= high and layer.direction == direction]

    def capacity(self, layer: RoutingLayer) -> Int64[np.ndarray, "ny nx"]:
        """Tracks of one layer through each gcell, before any adjustment or blockage."""
        along_x = layer.direction == HORIZONTAL
        borders = self.y_dbu() if along_x else self.x_dbu()
        at = np.searchsorted(layer.tracks_dbu(), borders, side="left") if layer.track_count else np.zeros(len(borders))
        count = np.diff(at).astype(np.int64)
        return np.broadcast_to(count[:, None] if along_x else count[None, :], (self.ny, self.nx)).copy()


def adjusted(capacity: Int64[np.ndarray, "ny nx"], adjustment: float) -> Int64[np.ndarray, "ny nx"]:
    """Tracks that an adjustment leaves: `floor(cap (1 - a))` in single precision, at least 1 where there are any.

    Source:
        FastRoute's `computeUserLayerAdjustments`; equal to all labelled placements (docs/how-it-works.md).
    """
    left = np.floor(capacity.astype(np.float32) * (np.float32(1) - np.float32(adjustment))).astype(np.int64)
    return np.where(capacity > 0, np.maximum(left, 1), 0)


def gcell_dbu(gcell_um: float, dbu_per_um: int) -> int:
    """A side of a gcell in dbu.

    Raises:
        InputError: it is not finite, or less than 1 dbu.
    """
    if not math.isfinite(gcell_um) or round(gcell_um * dbu_per_um) < 1:
        mend = f"Give a side in um of at least 1 dbu, here {1 / dbu_per_um:g}."
        raise InputError(f"{gcell_um:g} is no size of a gcell", path="--gcell-um", mend=mend)
    return round(gcell_um * dbu_per_um)


def make_grid(
    die_dbu: tuple[int, int, int, int],
    layers: tuple[RoutingLayer, ...],
    *,
    signal_layers: tuple[str, str] | None = None,
    gcell_dbu: int | None = None,
    path: str = "<memory>",
) -> GcellGrid:
    """The gcell grid of a die.

    Args:
        die_dbu: x1, y1, x2, y2.
        layers: the ROUTING layers in order of level, with their tracks.
        signal_layers: names of the lowest and the highest layer for signals; when not given, level 2 up to the
            highest layer that has tracks, with a warning, since the grid depends on it.
        gcell_dbu: side of a gcell that overrides the router's rule.
        path: the file to name in an error.

    Raises:
        InputError: an unknown or reversed layer range, no tracks, a die smaller than one gcell, or of more than
            `MAX_GCELLS`.

    Source:
        FastRoute's `initGrid`: 15 times the median track spacing of levels 2 to 4, or that of the top signal layer
        if it lies below level 4; checked against every labelled placement.
    """
    warnings: list[str] = []
    with_tracks = [layer for layer in layers if layer.track_count]
    if not with_tracks:
        raise InputError("no TRACKS on any routing layer", path=path, mend="Run make_tracks before write_def.")
    if signal_layers is None:
        low, high = min(2, with_tracks[-1].level), with_tracks[-1].level
        warnings.append(
            f"no signal layers given: assuming {layers[low - 1].name} to {layers[high - 1].name}; "
            "the gcell grid depends on them (--signal-layers LOW-HIGH)"
        )
        _log.warning(warnings[-1])
    else:
        low, high = (_level(layers, name, path) for name in signal_layers)
        if low > high:
            raise InputError(
                f"signal layers {signal_layers[0]} to {signal_layers[1]} are reversed",
                path=path, mend="Name the lowest first: --signal-layers LOW-HIGH.",
            )  # fmt: skip
    tile = gcell_dbu or _tile(layers, high, path)
    width, height = die_dbu[2] - die_dbu[0], die_dbu[3] - die_dbu[1]
    nx, ny = width // tile, height // tile
    if nx < 1 or ny < 1:
        raise InputError(
            f"die of {width} x {height} dbu is smaller than one gcell ({tile} dbu)",
            path=path,
            mend="Check DIEAREA, or give a smaller --gcell-um.",
        )
    if nx * ny > MAX_GCELLS:
        raise InputError(
            f"{nx:,} x {ny:,} gcells of {tile} dbu are more than {MAX_GCELLS:,}",
            path=path,
            mend="Check DIEAREA and TRACKS, or give a larger --gcell-um.",
        )
    return GcellGrid((die_dbu[0], die_dbu[1]), die_dbu, tile, nx, ny, layers, (low, high), tuple(warnings))


def _level(layers: tuple[RoutingLayer, ...], name: str, path: str) -> int:
    for layer in layers:
        if layer.name == name:
            return layer.level
    names = [layer.name for layer in layers]
    raise InputError(f'signal layer "{name}" is no routing layer', path=path, mend=did_you_mean(name, names))


def _tile(layers: tuple[RoutingLayer, ...], top: int, path: str) -> int:
    chosen = [layers[top - 1]] if top < 4 else list(layers[1:4])
    spacings = []
    for layer in chosen:
        spacing = layer.spacing_dbu
        if spacing <= 0:
            raise InputError(
                f'routing layer "{layer.name}" has no tracks across its direction',
                path=path,
                mend="Run make_tracks before write_def, or give --gcell-um.",
            )
        spacings.append(spacing - spacing % 2)
    return PITCHES_PER_TILE * sorted(spacings)[len(spacings) // 2]


def crossing(grid: GcellGrid, layer: RoutingLayer, rect_dbu: Int64[np.ndarray, "n 4"]) -> Int64[np.ndarray, "kept 4"]:
    """The shapes that cross a border along the layer's direction inside the die: `blocked_tracks` counts no others."""
    index, a = (grid.column, 0) if layer.direction == HORIZONTAL else (grid.row, 1)
    low, high = (np.clip(rect_dbu[:, a + k], grid.die_dbu[a], grid.die_dbu[a + 2]) for k in (0, 2))
    kept: Int64[np.ndarray, "kept 4"] = rect_dbu[index(high) > index(low)]
    return kept


def blocked_tracks(
    grid: GcellGrid, layer: RoutingLayer, rect_dbu: Int64[np.ndarray, "n 4"], *, inside: bool = False
) -> Int64[np.ndarray, "ny nx"]:
    """Tracks of one layer that fixed shapes take from each edge: the union of their extents across, over the pitch.

    A shape blocks the edges it crosses along the layer's direction, as in FastRoute's obstruction adjustment; with
    `inside`, a shape that crosses none blocks the edge to the next gcell, as there. Features leave these out.
    """
    along, across = (grid.nx, grid.ny) if layer.direction == HORIZONTAL else (grid.ny, grid.nx)
    a, b = (0, 1) if layer.direction == HORIZONTAL else (1, 0)
    out = np.zeros((along, across), np.int64)
    spacing = layer.spacing_dbu
    if not len(rect_dbu) or spacing <= 0:
        return out if layer.direction == VERTICAL else out.T
    lo, hi = np.asarray(grid.die_dbu[:2]), np.asarray(grid.die_dbu[2:])
    r = np.clip(rect_dbu, np.tile(lo, 2), np.tile(hi, 2))
    index = (grid.column, grid.row)
    a0, a1 = index[a](r[:, a]), index[a](r[:, a + 2])
    b0, b1 = index[b](r[:, b]), index[b](r[:, b + 2])
    if inside:
        a1 = np.where(a1 == a0, np.minimum(a0 + 1, along - 1), a1)
    keep = (a1 > a0) & (r[:, b + 2] > r[:, b])
    r, a0, a1, b0, b1 = r[keep], a0[keep], a1[keep], b0[keep], b1[keep]
    num_a, num_b = a1 - a0, b1 - b0 + 1
    owner, nth = expand(num_a * num_b)
    ia, ib = a0[owner] + nth // num_b[owner], b0[owner] + nth % num_b[owner]
    borders = (grid.x_dbu(), grid.y_dbu())[b]
    start = np.maximum(r[owner, b], borders[ib])
    end = np.minimum(r[owner, b + 2], borders[ib + 1])
    edge = ia * across + ib
    length = _union_lengths(edge, start, end, along * across)
    out = -(-length // spacing).reshape(along, across)
    return out if layer.direction == VERTICAL else out.T


def _union_lengths(
    group: Int64[np.ndarray, " n"], start: Int64[np.ndarray, " n"], end: Int64[np.ndarray, " n"], num_groups: int
) -> Int64[np.ndarray, " groups"]:
    """Length of the union of the intervals of each group."""
    if not len(group):
        return np.zeros(num_groups, np.int64)
    base = start.min()
    span = int(end.max() - base) + 1
    lo, hi = group * span + (start - base), group * span + (end - base)
    order = np.argsort(lo, kind="stable")
    lo, hi, group = lo[order], hi[order], group[order]
    seen = np.concatenate([[np.iinfo(np.int64).min], np.maximum.accumulate(hi)[:-1]])
    new = np.maximum(0, hi - np.maximum(lo, seen))
    return np.bincount(group, weights=new, minlength=num_groups).astype(np.int64)
