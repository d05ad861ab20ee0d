"""From a design and its gcell grid to a `CircuitGraph`: pins to gcells, maps, and the features of `fields.py`."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, Shaped

from circuit_io import fields
from circuit_io.design import CLOCK, INPUT, Design
from circuit_io.edge_maps import Maps, area_maps, edge_maps, edge_window
from circuit_io.gcells import HORIZONTAL, VERTICAL, GcellGrid
from circuit_io.graph import CircuitGraph
from circuit_io.nodes import Nodes, drivers, select_nodes
from circuit_io.pin_gcells import pin_gcells
from circuit_io.pin_places import pin_places_dbu
from circuit_io.steiner import Trees, points_of_nets, steiner_trees


def build_graph(design: Design, grid: GcellGrid, adjustment: dict[str, float]) -> tuple[CircuitGraph, Nodes]:
    """The graph of a placed design, and the nodes' origin."""
    nodes = select_nodes(design)
    gcell = pin_gcells(design, grid)
    num_nets = len(design.net_names)
    points_net, points = points_of_nets(design.pin_net, gcell, grid.nx)
    trees = steiner_trees(points_net, points, num_nets)
    box = _boxes(points_net, points, num_nets)
    maps = edge_maps(design, grid, adjustment, trees, box)
    centre = (nodes.rect_dbu[:, :2] + nodes.rect_dbu[:, 2:]) // 2
    inst_gcell = grid.row(centre[:, 1]) * grid.nx + grid.column(centre[:, 0])
    library = _library_scale(design)
    graph = CircuitGraph(
        nx=grid.nx,
        ny=grid.ny,
        inst_gcell=inst_gcell.astype(np.int32),
        pin_inst=nodes.of_pin.astype(np.int32),
        pin_net=design.pin_net,
        pin_gcell=gcell,
        net_box=box.astype(np.int32),
        inst_features=_inst_features(design, grid, nodes, centre, library),
        net_features=_net_features(design, box, trees, np.bincount(points_net, minlength=num_nets), library),
        gcell_features=_gcell_features(design, grid, maps, gcell, trees, box),
        pin_features=_pin_features(design, grid, nodes, centre, library),
    )
    return graph, nodes


def _boxes(
    net: Int32[np.ndarray, " points"], xy: Int32[np.ndarray, "points 2"], num_nets: int
) -> Int64[np.ndarray, "nets 4"]:
    """Box of each net's points, which are sorted by net; x1 < x0 for a net without any."""
    box = np.tile(np.asarray([1, 1, 0, 0]), (num_nets, 1))
    first = np.flatnonzero(np.diff(net, prepend=-1))
    if len(first):
        box[net[first], :2] = np.minimum.reduceat(xy, first, axis=0)
        box[net[first], 2:] = np.maximum.reduceat(xy, first, axis=0)
    return box


@dataclass(frozen=True)
class _Library:
    """What Liberty tells of each master, relative to the smallest inverter; zeros where it does not."""

    has: Bool[np.ndarray, " masters"]
    drive: Float64[np.ndarray, " masters"]
    input_cap: Float64[np.ndarray, " masters"]
    is_sequential: Bool[np.ndarray, " masters"]
    is_buffer: Bool[np.ndarray, " masters"]
    cap_unit_ff: float


def _library_scale(design: Design) -> _Library:
    n = len(design.masters.names)
    liberty, cell = design.liberty, design.masters.libcell
    if liberty is None:
        no = np.zeros(n, bool)
        return _Library(no, np.zeros(n), np.zeros(n), no, no, 1.0)
    has = cell >= 0
    at = np.maximum(cell, 0)
    inputs = np.where((liberty.pin_direction == INPUT) & np.isfinite(liberty.pin_cap_ff), liberty.pin_cap_ff, 0.0)
    cap = np.bincount(liberty.pin_cell, weights=inputs, minlength=len(liberty.cell_names))
    kohm = liberty.cell_drive_kohm
    inverter = np.flatnonzero(liberty.is_inverter & (cap > 0))
    if not len(inverter):
        inverter = np.flatnonzero(cap > 0)
    small = inverter[np.argmin(cap[inverter])] if len(inverter) else -1
    unit = float(cap[small]) if small >= 0 else 1.0
    base = float(kohm[small]) if small >= 0 and np.isfinite(kohm[small]) and kohm[small] > 0 else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        strength = base / kohm
    strength = np.where(np.isfinite(strength) & (strength > 0), strength, 0.0)

    def pick(column: Shaped[np.ndarray, " cells"]) -> Shaped[np.ndarray, " masters"]:
        return np.where(has, column[at], 0)

    return _Library(
        has, pick(strength), pick(cap / unit), pick(liberty.is_sequential).astype(bool),
        pick(liberty.is_buffer | liberty.is_inverter).astype(bool), unit,
    )  # fmt: skip


def _sides(x: Float64[np.ndarray, "..."], y: Float64[np.ndarray, "..."], nx: float, ny: float) -> list[np.ndarray]:
    """log1p of the distances to the four die edges, from places in gcells."""
    return [np.log1p(np.maximum(d, 0.0)) for d in (x, nx - x, y, ny - y)]


def _table(columns: dict[str, np.ndarray], declared: tuple[fields.Field, ...]) -> Float32[np.ndarray, "n f"]:
    """The columns in the declared order; a missing or an extra one is our own mistake."""
    wanted = fields.names(declared)
    assert set(columns) == set(wanted), set(columns) ^ set(wanted)
    out = np.empty((len(columns[wanted[0]]), len(wanted)), np.float32)
    for i, name in enumerate(wanted):
        out[:, i] = columns[name]
    assert np.isfinite(out).all(), [n for n in wanted if not np.isfinite(columns[n]).all()]
    return out


def _inst_features(
    design: Design, grid: GcellGrid, nodes: Nodes, centre: Int64[np.ndarray, "nodes 2"], library: _Library
) -> Float32[np.ndarray, "nodes f"]:
    n, tile = len(centre), float(grid.tile_dbu)
    is_port = nodes.is_port
    size = (nodes.rect_dbu[:, 2:] - nodes.rect_dbu[:, :2]).astype(float)
    master = np.concatenate([design.inst_master[nodes.inst], np.zeros(len(nodes.port), np.int32)])

    def of_master(column: Shaped[np.ndarray, " masters"]) -> Shaped[np.ndarray, " nodes"]:
        return np.where(is_port, 0, column[master])

    driver = drivers(design)
    pins = np.bincount(nodes.of_pin, minlength=n)
    ins = np.bincount(nodes.of_pin[~driver], minlength=n)
    degree = np.bincount(design.pin_net, minlength=len(design.net_names))
    fan_out = np.bincount(nodes.of_pin[driver], weights=degree[design.pin_net[driver]] - 1.0, minlength=n)
    clocked = driver & (design.net_use[design.pin_net] == CLOCK)
    xy = (centre - np.asarray(grid.origin_dbu)) / tile
    column, row = grid.column(centre[:, 0]), grid.row(centre[:, 1])
    status = np.concatenate([design.inst_status[nodes.inst], np.full(len(nodes.port), 2, np.int8)])
    left, right, bottom, top = _sides(xy[:, 0], xy[:, 1], _extent(grid, 0), _extent(grid, 1))
    columns = {
        "width": size[:, 0] / tile,
        "height": size[:, 1] / tile,
        "area": np.log1p(size[:, 0] * size[:, 1] / float(design.row_height_dbu) ** 2),
        "pins": np.log1p(pins),
        "fan_in": np.log1p(ins),
        "fan_out": np.log1p(fan_out),
        "is_macro": of_master(design.masters.is_macro),
        "is_fixed": status >= 2,
        "is_port": is_port,
        "is_sequential": of_master(library.is_sequential),
        "is_buffer": of_master(library.is_buffer),
        "on_clock": np.bincount(nodes.of_pin[clocked], minlength=n) > 0,
        "has_liberty": of_master(library.has),
        "drive": np.log1p(of_master(library.drive)),
        "input_cap": np.log1p(of_master(library.input_cap)),
        "offset_x": np.clip(xy[:, 0] - column - 0.5, -1, 1),
        "offset_y": np.clip(xy[:, 1] - row - 0.5, -1, 1),
        "left": left, "right": right, "bottom": bottom, "top": top,
    }  # fmt: skip
    return _table(columns, fields.INST_FEATURES)


def _extent(grid: GcellGrid, axis: int) -> float:
    """Width or height of the die in gcells."""
    return (grid.die_dbu[axis + 2] - grid.die_dbu[axis]) / grid.tile_dbu


def _net_features(
    design: Design,
    box: Int64[np.ndarray, "nets 4"],
    trees: Trees,
    num_gcells: Int64[np.ndarray, " nets"],
    library: _Library,
) -> Float32[np.ndarray, "nets f"]:
    n = len(box)
    net = design.pin_net
    width, height = np.maximum(box[:, 2] - box[:, 0], 0), np.maximum(box[:, 3] - box[:, 1], 0)
    driver = drivers(design)
    of_inst = driver & (design.pin_inst >= 0)
    drive = np.zeros(n)
    np.maximum.at(drive, net[of_inst], library.drive[design.inst_master[design.pin_inst[of_inst]]])
    cap = np.where(np.isfinite(design.pin_cap_ff) & ~driver, design.pin_cap_ff, 0.0) / library.cap_unit_ff
    columns = {
        "degree": np.log1p(np.bincount(net, minlength=n)),
        "gcells": np.log1p(num_gcells),
        "box_width": np.log1p(width),
        "box_height": np.log1p(height),
        "hpwl": np.log1p(width + height),
        "tree": np.log1p(np.bincount(trees.segment_net, weights=trees.lengths(), minlength=n)),
        "segments": np.log1p(np.bincount(trees.segment_net, minlength=n)),
        "is_clock": design.net_use == CLOCK,
        "has_driver": np.bincount(net[driver], minlength=n) > 0,
        "driver": np.log1p(drive),
        "load": np.log1p(np.bincount(net, weights=cap, minlength=n)),
    }
    columns |= {name: np.zeros(n) for name in fields.names(fields.NET_ROUTER_FEATURES)}  # router_features.py
    return _table(columns, fields.NET_FEATURES)


def _pin_features(
    design: Design, grid: GcellGrid, nodes: Nodes, centre: Int64[np.ndarray, "nodes 2"], library: _Library
) -> Float32[np.ndarray, "pins f"]:
    offset = (pin_places_dbu(design, centre[nodes.of_pin]) - centre[nodes.of_pin]) / grid.tile_dbu
    has = np.isfinite(design.pin_cap_ff)
    columns = {
        "offset_x": offset[:, 0],
        "offset_y": offset[:, 1],
        "is_driver": drivers(design),
        "cap": np.where(has, design.pin_cap_ff, 0.0) / library.cap_unit_ff,
        "has_cap": has,
    }
    return _table(columns, fields.PIN_FEATURES)


def _gcell_features(
    design: Design,
    grid: GcellGrid,
    maps: Maps,
    gcell: Int32[np.ndarray, " pins"],
    trees: Trees,
    box: Int64[np.ndarray, "nets 4"],
) -> Float32[np.ndarray, "gcells f"]:
    shape, n = (grid.ny, grid.nx), grid.nx * grid.ny
    spread = (box[:, 2] > box[:, 0]) | (box[:, 3] > box[:, 1])
    degree = np.bincount(design.pin_net, minlength=len(box))
    local = ~spread & (degree > 1)
    corner = box[local, 1] * grid.nx + box[local, 0]
    ends = np.concatenate(
        [trees.ends[:, 1] * grid.nx + trees.ends[:, 0], trees.ends[:, 3] * grid.nx + trees.ends[:, 2]]
    )
    cell_area, fixed_area = area_maps(design, grid)
    at_x, at_y = np.arange(grid.nx) + 0.5, np.arange(grid.ny) + 0.5
    left, right, bottom, top = _sides(
        np.broadcast_to(at_x, shape), np.broadcast_to(at_y[:, None], shape), _extent(grid, 0), _extent(grid, 1)
    )
    columns: dict[str, np.ndarray] = {
        "pins": np.log1p(np.bincount(gcell[spread[design.pin_net]], minlength=n)).reshape(shape),
        "local_nets": np.log1p(np.bincount(corner, minlength=n)).reshape(shape),
        "bends": np.log1p(np.bincount(ends, minlength=n)).reshape(shape),
        "cell_area": cell_area,
        "fixed_area": fixed_area,
        "left": left, "right": right, "bottom": bottom, "top": top,
        "size": np.full(shape, np.log(n)),
        "density": np.full(shape, (cell_area + fixed_area).mean()),
    }  # fmt: skip
    for direction, letter in ((HORIZONTAL, "h"), (VERTICAL, "v")):
        columns |= _demand_columns(grid, maps, direction, letter)
    columns |= {name: np.zeros(n) for name in fields.names(fields.ROUTER_FEATURES)}  # router_features.py fills them
    return _table({k: np.asarray(v).ravel() for k, v in columns.items()}, fields.GCELL_FEATURES)


def _demand_columns(grid: GcellGrid, maps: Maps, direction: int, letter: str) -> dict[str, np.ndarray]:
    """The gcell features of one direction; demand over capacity, 0 on the border column or row that is no edge."""
    layers = grid.signal_layers(direction)
    capacity, total = maps.capacity[direction], maps.total[direction]
    scale = np.divide(1.0, capacity, out=np.zeros_like(capacity), where=capacity > 0)
    is_edge = np.ones(capacity.shape)
    if direction == HORIZONTAL:
        is_edge[:, -1] = 0
    else:
        is_edge[-1, :] = 0
    low = grid.capacity(layers[0]) if layers else np.zeros_like(total)
    z = (maps.demand_z[direction] + maps.blocked[direction]) * scale * is_edge
    across, along = ((1, 0), (0, 1)) if direction == HORIZONTAL else ((0, 1), (1, 0))
    edges = max(float(is_edge.sum()), 1.0)
    values = {
        "capacity": capacity / fields.TRACKS_PER_UNIT,
        "layers": np.full(capacity.shape, float(len(layers))),
        "low_share": np.divide(low, total, out=np.zeros_like(total), where=total > 0),
        "adjusted": np.divide(total - capacity, total, out=np.zeros_like(total), where=total > 0),
        "blocked": maps.blocked[direction] * scale * is_edge,
        "rudy": maps.rudy[direction] * scale * is_edge,
        "demand_l": (maps.demand_l[direction] + maps.blocked[direction]) * scale * is_edge,
        "demand_z": z,
        "across3": edge_window(z, direction, *across),
        "along3": edge_window(z, direction, *along),
        "box5": edge_window(z, direction, 2, 2),
        "box11": edge_window(z, direction, 5, 5),
        "mean": np.full(z.shape, z.sum() / edges),
        "full": np.full(z.shape, (z > 1).sum() / edges),
    }
    return {f"{name}_{letter}": value for name, value in values.items()}
