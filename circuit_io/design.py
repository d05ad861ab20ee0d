"""A placed design: LEF, DEF and, where at hand, Liberty joined into flat arrays."""

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8, Int32, Int64

from circuit_io.def_ import DefDesign, read_def
from circuit_io.errors import Faults, InputError, did_you_mean
from circuit_io.forms import PinForms
from circuit_io.gcells import HORIZONTAL, RoutingLayer
from circuit_io.geometry import placed_size
from circuit_io.lef import LefLibrary, read_lef
from circuit_io.liberty import Liberty, read_liberty
from circuit_io.names import Names
from circuit_io.obstacles import Obstacles, obstacles_of
from circuit_io.pins import GROUND, POWER, pins_of
from circuit_io.technology_check import check_places, check_technology

_log = logging.getLogger(__name__)

PHYSICAL_CLASSES = ("CORE SPACER", "CORE WELLTAP", "CORE FEEDTHRU", "ENDCAP", "COVER", "PAD SPACER")
INPUT, OUTPUT = 0, 1  # of pin directions
CLOCK = 3  # of `net_use`


@dataclass(frozen=True)
class Masters:
    """The masters in use; `is_physical`: no signal pin, or a filler, tap or end-cap class."""

    names: Names
    is_macro: Bool[np.ndarray, " masters"]
    is_physical: Bool[np.ndarray, " masters"]
    libcell: Int32[np.ndarray, " masters"]  # row of the Liberty table, -1 when there is none


@dataclass(frozen=True)
class Design:
    """A placed design. Insts keep DEF order and hold fillers too; pins are sorted by net, ports are pins of no inst.

    `pin_inst` is -1 for a port, whose index is then in `pin_port`. Pins of POWER and GROUND nets are left out.
    """

    name: str
    path: Path
    dbu_per_um: int
    die_dbu: tuple[int, int, int, int]
    core_dbu: tuple[int, int, int, int]
    row_height_dbu: int
    layers: tuple[RoutingLayer, ...]
    masters: Masters
    inst_names: Names
    inst_master: Int32[np.ndarray, " insts"]
    inst_rect_dbu: Int64[np.ndarray, "insts 4"]
    inst_orient: Int8[np.ndarray, " insts"]
    inst_status: Int8[np.ndarray, " insts"]
    port_names: Names
    port_xy_dbu: Int64[np.ndarray, "ports 2"]
    net_names: Names
    net_use: Int8[np.ndarray, " nets"]
    pin_names: Names  # each name once
    pin_net: Int32[np.ndarray, " pins"]
    pin_inst: Int32[np.ndarray, " pins"]
    pin_port: Int32[np.ndarray, " pins"]
    pin_name: Int32[np.ndarray, " pins"]  # row of `pin_names`
    pin_direction: Int8[np.ndarray, " pins"]
    pin_cap_ff: Float32[np.ndarray, " pins"]  # nan where no Liberty tells
    pin_form: Int32[np.ndarray, " pins"]  # in `forms`: the pin's shapes on its top layer
    forms: PinForms
    obstacles: Obstacles
    blockage_rect_dbu: Int64[np.ndarray, "blockages 4"]  # placement blockages
    blockage_frac: Float64[np.ndarray, " blockages"]  # of its area that no cell may take: less than 1 where PARTIAL
    liberty: Liberty | None
    warnings: tuple[str, ...] = ()
    num_free_ports: int = 0  # of signals, PLACED, not FIXED

    @property
    def num_insts(self) -> int:
        """Placed insts, fillers included."""
        return len(self.inst_master)

    def pin_base_dbu(self, pins: slice) -> Int64[np.ndarray, "some 2"]:
        """What is to be added to the shapes of the pins' forms: the lower left of the inst, nothing for a port."""
        inst = self.pin_inst[pins]
        base = self.inst_rect_dbu[np.maximum(inst, 0), :2] if self.num_insts else np.zeros((len(inst), 2), np.int64)
        base[inst < 0] = 0
        return base


def read_design(lef: list[Path], def_: Path, *, lib: list[Path] | None = None) -> Design:
    """The placed design of a DEF with the LEF files it was made with.

    Args:
        lef: technology first, then cells.
        def_: the placed DEF.
        lib: Liberty files; without them, capacitance, drive and function are missing features, not zeros.

    Raises:
        InputError: a file is bad, or they do not belong together (unknown master, pin, layer; nothing placed).
    """
    library, placed = _library(tuple(map(_state, lef))), read_def(def_)
    liberty = _liberty(tuple(map(_state, lib))) if lib else None
    return join(library, placed, liberty)


_State = tuple[Path, int, int]  # a file as it is now: path, time of change in ns, bytes


def _state(path: Path) -> _State:
    try:
        found = path.stat()
    except OSError:
        return path, 0, 0  # the reader says what is wrong with it
    return path, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=2)
def _library(files: tuple[_State, ...]) -> LefLibrary:
    """The LEF library, kept for the next design of the same technology."""
    return read_lef(*(path for path, _, _ in files))


@lru_cache(maxsize=2)
def _liberty(files: tuple[_State, ...]) -> Liberty:
    return read_liberty(*(path for path, _, _ in files))


def join(library: LefLibrary, placed: DefDesign, liberty: Liberty | None) -> Design:
    """The design that a library and a placement make together; see `read_design`."""
    scale, warnings = placed.dbu_per_um, check_technology(library, placed)
    macro = _masters(library, placed)
    size = np.rint(library.macro_size_um[macro] * scale).astype(np.int64)
    mterm_use = _signal_count(library)[macro] if len(macro) else np.zeros(0, np.int64)
    classes = [library.macro_class[m] for m in macro]
    masters = Masters(
        names=placed.master_names,
        is_macro=np.asarray([c.startswith(("BLOCK", "RING", "PAD")) and "SPACER" not in c for c in classes], bool),
        is_physical=np.asarray([c.startswith(PHYSICAL_CLASSES) for c in classes], bool) | (mterm_use == 0),
        libcell=_libcells(liberty, placed.master_names),
    )
    layers = _layers(library, placed)
    if not (placed.inst_status > 0).any():
        raise InputError(
            "no inst is placed",
            path=placed.path,
            mend="Write the DEF after placement (write_def after detail_placement).",
        )
    unplaced = int((placed.inst_status == 0).sum())
    if unplaced:
        raise InputError(
            f"{unplaced} of {len(placed.inst_status)} insts have no place "
            f"(first: {placed.inst_names[int(np.argmax(placed.inst_status == 0))]})",
            path=placed.path,
            mend="Predict on a placed design: run global placement, then write_def.",
        )
    wide, of_cells = placed_size(size[placed.inst_master], placed.inst_orient), placed.blockage_layer < 0
    rect = np.concatenate([placed.inst_xy_dbu, placed.inst_xy_dbu + wide], axis=1)
    pins = pins_of(library, placed, macro, liberty, masters.libcell)
    warnings += [*check_places(placed, rect), *_without_libcell(placed, masters, liberty)]
    for warning in warnings:
        _log.warning(warning)
    return Design(
        name=placed.design,
        path=Path(placed.path),
        dbu_per_um=scale,
        die_dbu=placed.die_dbu,
        core_dbu=_core(placed, library),
        row_height_dbu=_row_height(placed, library, size, masters),
        layers=layers,
        masters=masters,
        inst_names=placed.inst_names,
        inst_master=placed.inst_master,
        inst_rect_dbu=rect,
        inst_orient=placed.inst_orient,
        inst_status=placed.inst_status,
        port_names=placed.bterm_names,
        port_xy_dbu=_port_places(placed),
        net_names=placed.net_names,
        net_use=placed.net_use,
        pin_names=placed.pin_names,
        obstacles=obstacles_of(library, placed, macro, size, rect[:, :2], layers),
        blockage_rect_dbu=placed.blockage_rect_dbu[of_cells],
        blockage_frac=1 - np.nan_to_num(placed.blockage_density[of_cells]) / 100,
        liberty=liberty,
        warnings=tuple(warnings),
        num_free_ports=int(((placed.bterm_status == 1) & ~np.isin(placed.bterm_use, (1, 2))).sum()),
        **pins,
    )


def _without_libcell(placed: DefDesign, masters: Masters, liberty: Liberty | None) -> list[str]:
    """A warning when masters of cells are in no Liberty file; an error when that is so for all of them."""
    cells = np.flatnonzero(~masters.is_physical & ~masters.is_macro)
    missing = cells[masters.libcell[cells] < 0]
    if liberty is None or not len(missing):
        return []
    first = masters.names[int(missing[0])]
    if len(missing) == len(cells):
        raise InputError(
            f"none of its {len(cells)} masters is in the Liberty files given (first: {first})",
            path=placed.path,
            mend="Give the Liberty files of the cells that this DEF uses, or none.",
        )
    return [f"{len(missing)} of {len(cells)} masters are in none of the Liberty files given (first: {first})"]


def _masters(library: LefLibrary, placed: DefDesign) -> Int64[np.ndarray, " masters"]:
    """The LEF macro of each master the DEF names."""
    faults = Faults(placed.path)
    macro = library.macro_names.rows_of(placed.master_names)
    for i in np.flatnonzero(macro < 0).tolist():
        name = placed.master_names[i]
        faults.add(
            f'master "{name}" is in no LEF file given',
            mend="Give every LEF file the flow read. " + did_you_mean(name, library.macro_names.tolist()),
        )
    faults.raise_if_any()
    return macro


def _signal_count(library: LefLibrary) -> Int64[np.ndarray, " macros"]:
    """Number of mterms of each macro that are neither power nor ground."""
    is_signal = (library.mterm_use != POWER) & (library.mterm_use != GROUND)
    return np.bincount(library.mterm_macro[is_signal], minlength=len(library.macro_names))


def _libcells(liberty: Liberty | None, masters: Names) -> Int32[np.ndarray, " masters"]:
    if liberty is None:
        return np.full(len(masters), -1, np.int32)
    return liberty.cell_names.rows_of(masters).astype(np.int32)


def _layers(library: LefLibrary, placed: DefDesign) -> tuple[RoutingLayer, ...]:
    """The ROUTING layers in order of level, with the tracks that run along each layer's own direction."""
    out = []
    for i in np.flatnonzero(library.routing_level > 0).tolist():
        direction = int(library.layer_direction[i])
        at = placed.layer_names.find(library.layer_names.raw(i))
        axis = 1 if direction == HORIZONTAL else 0
        mine = (
            (placed.track_layer == at) & (placed.track_axis == axis) & (placed.track_count > 0)
            if at >= 0
            else np.zeros(0, np.int64)
        )
        table = [tuple(column[mine].tolist()) if at >= 0 else () for column in
                 (placed.track_start, placed.track_count, placed.track_step)]  # fmt: skip
        out.append(RoutingLayer(library.layer_names[i], int(library.routing_level[i]), direction, *table))
    if not out:
        raise InputError(
            "no ROUTING layer in the LEF files given", path=placed.path, mend="Give the technology LEF first."
        )
    return tuple(out)


def _core(placed: DefDesign, library: LefLibrary) -> tuple[int, int, int, int]:
    """The box of the rows; the die when there are none."""
    if not len(placed.row_names):
        return placed.die_dbu
    site = library.site_names.rows_of(placed.row_site_names)[placed.row_site]
    size = np.zeros((len(site), 2))
    known = site >= 0
    size[known] = library.site_size_um[site[known]] * placed.dbu_per_um
    turned = placed_size(np.rint(size).astype(np.int64), placed.row_orient)
    end = placed.row_xy_dbu + np.maximum(placed.row_count - 1, 0) * placed.row_step_dbu + turned
    low, high = placed.row_xy_dbu.min(axis=0), end.max(axis=0)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _row_height(placed: DefDesign, library: LefLibrary, size: Int64[np.ndarray, "masters 2"], masters: Masters) -> int:
    """Height of a row; without rows the most frequent height of a standard cell."""
    for site in placed.row_site_names.raw_list():
        at = library.site_names.find(site)
        if at >= 0:
            return round(float(library.site_size_um[at, 1]) * placed.dbu_per_um)
    cells = size[placed.inst_master[~masters.is_macro[placed.inst_master]], 1]
    values, counts = np.unique(cells, return_counts=True)
    return int(values[counts.argmax()]) if len(values) else int(size[:, 1].min())


def _port_places(placed: DefDesign) -> Int64[np.ndarray, "ports 2"]:
    """Middle of each port's shapes; its placed point when it has none."""
    xy = placed.bterm_xy_dbu.copy()
    n = len(xy)
    if len(placed.bterm_shape_bterm):
        low = np.full((n, 2), np.iinfo(np.int64).max)
        high = np.full((n, 2), np.iinfo(np.int64).min)
        np.minimum.at(low, placed.bterm_shape_bterm, placed.bterm_shape_rect_dbu[:, :2])
        np.maximum.at(high, placed.bterm_shape_bterm, placed.bterm_shape_rect_dbu[:, 2:])
        has = np.bincount(placed.bterm_shape_bterm, minlength=n) > 0
        xy[has] = (low[has] + high[has]) // 2
    return xy
