"""Maps on the gcell grid in tracks and shares: supply, what fixed shapes take, expected wires, covered area."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from circuit_io import demand
from circuit_io.arrays import expand
from circuit_io.design import Design
from circuit_io.gcells import HORIZONTAL, VERTICAL, GcellGrid, adjusted, blocked_tracks, crossing
from circuit_io.steiner import Trees

Map = Float64[np.ndarray, "ny nx"]


@dataclass(frozen=True)
class Maps:
    """Edge maps in tracks: what adjustments leave, what fixed shapes take, and expected wires."""

    capacity: tuple[Map, Map]
    total: tuple[Map, Map]
    blocked: tuple[Map, Map]
    rudy: tuple[Map, Map]
    demand_l: tuple[Map, Map]
    demand_z: tuple[Map, Map]


def edge_maps(
    design: Design, grid: GcellGrid, adjustment: dict[str, float], trees: Trees, box: Int64[np.ndarray, "nets 4"]
) -> Maps:
    """All maps that features and baselines need; `adjustment` is by layer name."""
    capacity, total, blocked = [], [], []
    for direction in (HORIZONTAL, VERTICAL):
        layers = grid.signal_layers(direction)
        caps = [grid.capacity(layer) for layer in layers]
        zero = np.zeros((grid.ny, grid.nx))
        total.append(sum((c.astype(float) for c in caps), zero))
        capacity.append(
            sum(
                (adjusted(c, adjustment.get(k.name, 0.0)).astype(float) for c, k in zip(caps, layers, strict=True)),
                zero,
            )
        )
        taken = [
            np.minimum(
                blocked_tracks(
                    grid, k, np.concatenate([crossing(grid, k, part) for part in design.obstacles.parts(k.level)])
                ),
                c,
            )
            for k, c in zip(layers, caps, strict=True)
        ]
        blocked.append(sum((t.astype(float) for t in taken), zero))
    return Maps(
        (capacity[0], capacity[1]),
        (total[0], total[1]),
        (blocked[0], blocked[1]),
        demand.rudy(box, grid.nx, grid.ny),
        demand.demand_l(trees, grid.nx, grid.ny),
        demand.demand_z(trees, grid.nx, grid.ny),
    )


def area_maps(design: Design, grid: GcellGrid, *, core_only: bool = False) -> tuple[Map, Map]:
    """Share of each gcell under movable insts, and under fixed insts, macros and placement blockages.

    A partial blockage takes what it leaves no cell. `core_only`: what lies in the core alone counts.
    """
    fixed = (design.inst_status >= 2) | design.masters.is_macro[design.inst_master]
    blocks = np.concatenate([design.inst_rect_dbu[fixed], design.blockage_rect_dbu])
    part = np.concatenate([np.ones(int(fixed.sum())), design.blockage_frac])
    rects = [design.inst_rect_dbu[~fixed], blocks]
    if core_only:
        x1, y1, x2, y2 = design.core_dbu
        rects = [np.clip(rect, (x1, y1, x1, y1), (x2, y2, x2, y2)) for rect in rects]
    return _cover(rects[0], grid), np.minimum(_cover(rects[1], grid, part), 1.0)


def edge_window(values: Map, direction: int, half_rows: int, half_columns: int) -> Map:
    """Mean over a window of true edges; 0 on the border entries that are none."""
    out = np.zeros_like(values)
    edges = (slice(None), slice(0, -1)) if direction == HORIZONTAL else (slice(0, -1), slice(None))
    if values[edges].size:
        out[edges] = demand.window_mean(values[edges], half_rows, half_columns)
    return out


def _cover(rect: Int64[np.ndarray, "n 4"], grid: GcellGrid, part: Float64[np.ndarray, " n"] | None = None) -> Map:
    """Area of the rectangles, of each only `part` of it, in each gcell over the gcell's own."""
    x0, x1, y0, y1 = grid.column(rect[:, 0]), grid.column(rect[:, 2]), grid.row(rect[:, 1]), grid.row(rect[:, 3])
    width = x1 - x0 + 1
    owner, nth = expand(width * (y1 - y0 + 1))
    x, y = x0[owner] + nth % width[owner], y0[owner] + nth // width[owner]
    bx, by = grid.x_dbu(), grid.y_dbu()
    dx = np.minimum(rect[owner, 2], bx[x + 1]) - np.maximum(rect[owner, 0], bx[x])
    dy = np.minimum(rect[owner, 3], by[y + 1]) - np.maximum(rect[owner, 1], by[y])
    area = (np.maximum(dx, 0) * np.maximum(dy, 0)).astype(float)
    if part is not None:
        area *= part[owner]
    total = np.bincount(y * grid.nx + x, weights=area, minlength=grid.nx * grid.ny).reshape(grid.ny, grid.nx)
    share: Map = total / (np.diff(by)[:, None] * np.diff(bx)[None, :]).astype(float)
    return share
