"""Label tables version 1 from what a finished flow left: its route guides and its placed DEF, without OpenROAD.

Wires are those that the guides stand for, an edge once for a net and layer; tracks that fixed shapes take are our own
count (`router_supply`). On placements that OpenROAD routed here, docs/labels.md says how near that is.
"""

from pathlib import Path

import numpy as np

from circuit_io.atomic import write_files
from circuit_io.design import Design
from circuit_io.errors import InputError
from circuit_io.gcells import HORIZONTAL, GcellGrid
from circuit_io.guides import Guides, read_guides
from circuit_io.labels import UsageTable
from circuit_io.router_labels import grid_text, packed, usage_text
from circuit_io.router_supply import supply_of


def usage_of_guides(guides: Guides, design: Design, grid: GcellGrid, adjustment: dict[str, float]) -> UsageTable:
    """Usage by layer, in tracks, as the tables of the router have it: blocked tracks and reduction included."""
    supply = supply_of(design, grid, adjustment)
    wires = [
        guides.usage(layer.name, "h" if layer.direction == HORIZONTAL else "v", ny=grid.ny, nx=grid.nx)
        for layer in supply.layers
    ]
    return UsageTable(
        layers=tuple(layer.name for layer in supply.layers),
        directions=tuple(layer.direction for layer in supply.layers),
        capacity=supply.capacity.astype(np.float64),
        usage=(supply.capacity - supply.left + np.stack(wires)).astype(np.float64),
        reduction=(supply.capacity - supply.adjusted).astype(np.float64),
    )


def write_guide_labels(
    folder: Path, guide_file: Path, design: Design, grid: GcellGrid, adjustment: dict[str, float]
) -> UsageTable:
    """Write `gcell_grid.csv` and `gcell_usage.csv.gz` of the guides of a placed design into `folder`.

    Raises:
        InputError: the guides are of another design or grid.
    """
    um = 1.0 / design.dbu_per_um
    guides = read_guides(
        guide_file, design.net_names.tolist(), x_um=grid.x_dbu() * um, y_um=grid.y_dbu() * um,
        dbu_per_um=design.dbu_per_um,
    )  # fmt: skip
    low, high = grid.signal
    signal = [layer.name for layer in grid.layers if low <= layer.level <= high]
    others = sorted(set(guides.directions()) - set(signal))
    if others:
        what = f"wires run on layer {others[0]}, the signal layers are {signal[0]} to {signal[-1]}"
        raise InputError(what, path=guide_file, mend="Give the signal layers that the flow's router used.")
    usage = usage_of_guides(guides, design, grid, adjustment)
    files: dict[Path, bytes | str] = {
        folder / "gcell_grid.csv": grid_text(grid),
        folder / "gcell_usage.csv.gz": packed(usage_text(usage).encode()),
    }
    write_files(files, overwrite=True)
    return usage
