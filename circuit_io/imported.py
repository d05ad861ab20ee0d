"""What another data set tells of a placed design, to a design folder: what its tables lack is masked, not made up.

The way is that of `gsr export` from `Design` on: without routing layers all features over capacity are 0, with
`layers_h` and `layers_v` 0 as their flag; without Liberty `drive` and `input_cap` are 0 with `has_liberty` 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Int8, Int32, Int64

from circuit_io.atomic import refuse_folder
from circuit_io.design import Design, Masters
from circuit_io.errors import InputError
from circuit_io.export_tables import areas, inst_table, net_table
from circuit_io.export_timing import TimingSources, find_timing
from circuit_io.features import build_graph
from circuit_io.fields import INST_FEATURES, column
from circuit_io.forms import PinForms
from circuit_io.gcells import MAX_GCELLS, GcellGrid
from circuit_io.labels import Labels
from circuit_io.names import Names
from circuit_io.obstacles import Obstacles
from circuit_io.store import SCHEMA, write_design
from circuit_io.text import read_bytes, sha256

PLACED = 1  # of DEF statuses
MISSING = "no routing layers, so capacity and every demand over it are masked; no Liberty, so drive and input_cap are"


def bare_design(
    *,
    name: str,
    path: Path,
    dbu_per_um: int,
    die_dbu: tuple[int, int, int, int],
    core_dbu: tuple[int, int, int, int],
    row_height_dbu: int,
    inst_names: Sequence[str],
    inst_master_names: Sequence[str],
    inst_rect_dbu: Int64[np.ndarray, "insts 4"],
    inst_is_macro: Bool[np.ndarray, " insts"],
    net_names: Sequence[str],
    net_use: Int8[np.ndarray, " nets"],
    pin_net: Int64[np.ndarray, " pins"],
    pin_inst: Int64[np.ndarray, " pins"],
    pin_port: Int64[np.ndarray, " pins"],
    pin_names: Sequence[str],
    pin_direction: Int8[np.ndarray, " pins"],
    pin_cap: Float32[np.ndarray, " pins"],
    pin_xy_dbu: Int64[np.ndarray, "pins 2"] | None = None,
    port_names: Sequence[str] = (),
) -> Design:
    """A `Design` without technology: no layers, no Liberty, pins that are points.

    Args:
        name, path, dbu_per_um, die_dbu, core_dbu, row_height_dbu: as in `Design`.
        inst_names, inst_master_names, inst_rect_dbu, inst_is_macro: a row an inst, all of them placed.
        net_names, net_use: a row a net.
        pin_net, pin_inst, pin_port, pin_names, pin_direction: a row a pin in any order; -1 where it is of no inst or
            no port.
        pin_cap: capacitance over the smallest inverter's; nan where it is not known.
        pin_xy_dbu: place of each pin; not given, pins lie in the middle of their insts.
        port_names: the ports, each placed where its pin is.
    """
    order = np.lexsort((np.where(pin_inst >= 0, pin_inst, np.iinfo(np.int64).max), pin_net))
    masters = {m: i for i, m in enumerate(dict.fromkeys(inst_master_names))}
    inst_master = np.fromiter((masters[m] for m in inst_master_names), np.int32, len(inst_master_names))
    with_pins = np.zeros(len(masters), bool)
    with_pins[inst_master[pin_inst[pin_inst >= 0]]] = True
    is_macro = np.zeros(len(masters), bool)
    is_macro[inst_master[inst_is_macro]] = True
    kinds = {n: i for i, n in enumerate(dict.fromkeys(pin_names))}
    kind = np.fromiter((kinds[n] for n in pin_names), np.int32, len(pin_names))
    port_xy = np.zeros((len(port_names), 2), np.int64)
    if pin_xy_dbu is not None:
        port_xy[pin_port[pin_port >= 0]] = pin_xy_dbu[pin_port >= 0]
    pin_form, forms = _forms(None if pin_xy_dbu is None else pin_xy_dbu[order], pin_inst[order], inst_rect_dbu)
    return Design(
        name=name, path=path, dbu_per_um=dbu_per_um, die_dbu=die_dbu, core_dbu=core_dbu, row_height_dbu=row_height_dbu,
        layers=(),
        masters=Masters(Names.of(masters), is_macro, ~with_pins, np.full(len(masters), -1, np.int32)),
        inst_names=Names.of(inst_names),
        inst_master=inst_master,
        inst_rect_dbu=inst_rect_dbu,
        inst_orient=np.zeros(len(inst_master), np.int8),
        inst_status=np.full(len(inst_master), PLACED, np.int8),
        port_names=Names.of(port_names),
        port_xy_dbu=port_xy,
        net_names=Names.of(net_names),
        net_use=net_use,
        pin_names=Names.of(kinds),
        pin_net=pin_net[order].astype(np.int32),
        pin_inst=pin_inst[order].astype(np.int32),
        pin_port=pin_port[order].astype(np.int32),
        pin_name=kind[order],
        pin_direction=pin_direction[order],
        pin_cap_ff=pin_cap[order],  # in units of the smallest inverter's, as features are without a Liberty
        pin_form=pin_form,
        forms=forms,
        obstacles=Obstacles(np.zeros(len(inst_master), np.int32), inst_rect_dbu[:, :2]),
        blockage_rect_dbu=np.zeros((0, 4), np.int64),
        blockage_frac=np.zeros(0),
        liberty=None,
    )  # fmt: skip


def _forms(
    xy_dbu: Int64[np.ndarray, "pins 2"] | None,
    pin_inst: Int64[np.ndarray, " pins"],
    inst_rect_dbu: Int64[np.ndarray, "insts 4"],
) -> tuple[Int32[np.ndarray, " pins"], PinForms]:
    """The form of each pin: its place as the only shape, about its inst; without places one form of no shape."""
    count = len(pin_inst)
    if xy_dbu is None or not count:
        none = PinForms(np.zeros(2, np.int64), np.zeros((0, 4), np.int64), np.zeros(1, np.int32))
        return np.zeros(count, np.int32), none
    of_inst = pin_inst >= 0
    place = xy_dbu.copy()
    place[of_inst] -= inst_rect_dbu[pin_inst[of_inst], :2]
    level = np.zeros(count, np.int32)
    return np.arange(count, dtype=np.int32), PinForms(np.arange(count + 1), np.concatenate([place] * 2, axis=1), level)


def write_import(
    out: Path,
    design: Design,
    *,
    source: str,
    tile_dbu: int,
    words: Mapping[str, str],
    files: Sequence[Path],
    flags: Mapping[str, Bool[np.ndarray, " insts"]] | None = None,
    labels: Callable[[GcellGrid], Labels | None] = lambda _: None,
    warnings: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the design folder `out`; returns its manifest.

    Args:
        out: the folder.
        design: what `bare_design` gave.
        source: name of the data set, kept in the manifest as `imported_from`.
        tile_dbu: side of a gcell.
        words: `family`, `technology`, `variant`, `stage` for the manifest.
        files: what was read, for the manifest's `inputs`.
        flags: inst features that the data set tells though there is no Liberty, such as `is_sequential`.
        labels: the labels on the grid.
        warnings: what else the reader of the manifest should know.
        overwrite: replace an earlier export in `out`.

    Raises:
        InputError: `out` exists and `overwrite` is off, or the die does not hold 1 to `MAX_GCELLS` gcells.
    """
    refuse_folder(out, schema=SCHEMA, overwrite=overwrite)
    grid = _grid(design, tile_dbu)
    graph, nodes = build_graph(design, grid, {})
    features = graph.inst_features.copy()
    for name, values in (flags or {}).items():
        features[: len(nodes.inst), column(INST_FEATURES, name)] = values[nodes.inst]
    um = 1.0 / design.dbu_per_um
    manifest = {
        "design": design.name, "family": design.name, "technology": "", "variant": "", "stage": "place", **words,
        "imported_from": source,
        "dbu_per_um": design.dbu_per_um,
        "die_um": [v * um for v in design.die_dbu],
        "core_um": [v * um for v in design.core_dbu],
        "row_height_um": design.row_height_dbu * um,
        "layer_adjustment": {},
        "grid": {"nx": grid.nx, "ny": grid.ny, "tile_um": tile_dbu * um,
                 "x_um": (grid.x_dbu() * um).tolist(), "y_um": (grid.y_dbu() * um).tolist()},
        "counts": {"insts": len(nodes.inst), "ports": len(nodes.port), "nets": len(design.net_names),
                   "pins": graph.num_pins, "physical_insts": design.num_insts - len(nodes.inst)},
        "placement": areas(design, grid),
        "inputs": [{"role": source, "name": p.name, "sha256": sha256(read_bytes(p))} for p in files],
        "has_liberty": False,
        "warnings": [MISSING, *warnings],
    }  # fmt: skip
    insts = inst_table(design, nodes)
    at = insts.column_names.index("orient")
    return write_design(
        out,
        manifest=manifest,
        insts=insts.set_column(at, "orient", pa.nulls(len(insts), pa.string())),
        nets=find_timing(design, TimingSources()).add_to(net_table(design, graph.net_box)),
        graph=replace(graph, inst_features=features),
        labels=labels(grid),
        overwrite=overwrite,
    )


def _grid(design: Design, tile_dbu: int) -> GcellGrid:
    x1, y1, x2, y2 = design.die_dbu
    nx, ny = (x2 - x1) // tile_dbu, (y2 - y1) // tile_dbu
    if not (nx >= 1 and ny >= 1 and nx * ny <= MAX_GCELLS):
        raise InputError(
            f"its die has {nx:,} x {ny:,} gcells of {tile_dbu / design.dbu_per_um:g} um, "
            f"expected 1 to {MAX_GCELLS:,}",
            path=design.path, mend="Give another --gcell-um.",
        )  # fmt: skip
    return GcellGrid((x1, y1), design.die_dbu, tile_dbu, nx, ny, (), (0, 0))
