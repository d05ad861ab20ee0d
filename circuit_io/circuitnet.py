"""CircuitNet's graph folders (N28) to a design folder: what `gsr import circuitnet` does.

    DIR/graph_information/{node,net,pin}_attr/<netlist>_{node,net,pin}_attr.npy     the netlist after synthesis
    DIR/instance_placement_gcell/<layout>.npy                                       gcells of every inst's corners
    DIR/[routability_features[_decompressed]/]congestion/...                        labels, where they are

The insts are those of both the netlist and the placement. All we know of a place is a gcell: an inst reaches from the
middle of its lower left gcell to the middle of its upper right one, and its pins lie in its middle.

Source:
    github.com/circuitnet/CircuitNet at 41ade1d: `build_graph_demo/build_graph.py`, its arrays, and
    `feature_extraction/src/read.py`; circuitnet.github.io: "Graph Features", "Routability Features", FAQ 4.
"""

import re
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from circuit_io.errors import Faults, InputError, listed
from circuit_io.gcells import MAX_GCELLS, GcellGrid, gcell_dbu
from circuit_io.imported import bare_design, write_import
from circuit_io.labels import Labels
from circuit_io.npy import read_array

DBU_PER_UM = 1000
GCELL_UM = 2.25  # of N28
MACRO_GCELLS = 5  # an inst of so many gcells in width and in height is taken as a macro: cells reach over 1 to 4
_AGAIN = "Download or unpack it again."
_LAYOUT = re.compile(r"(?:\d+-)?(?P<netlist>(?P<family>.+?)-[ab]-\d+-c\d+)(?:-.*)?")
_STAGES = {
    "congestion_GR": "congestion/congestion_global_routing",
    "congestion_eGR": "congestion/congestion_early_global_routing",
}
Map = Float32[np.ndarray, "nx ny"]
_KINDS = {"util": "utilization_based", "overflow": "overflow_based"}


def import_circuitnet(
    folder: Path,
    out: Path,
    *,
    name: str | None = None,
    gcell_um: float | None = None,
    family: str | None = None,
    technology: str | None = None,
    variant: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write the design folder `out` from one layout of a CircuitNet folder; returns its manifest.

    Args:
        folder: holds `graph_information` and `instance_placement_gcell`.
        out: the folder to write.
        name: the layout, a file of `instance_placement_gcell`; may be left out where there is one only.
        gcell_um: side of a gcell; when not given 2.25, as in N28.
        family: designs that share RTL have the same family; else as the layout's name says, without -a or -b.
        technology: name of the technology; else circuitnet-n28.
        variant: name of this placement; else the layout's.
        overwrite: replace an earlier export in `out`.

    Raises:
        InputError: an array is missing, garbled, or holds more than plain data; several layouts and no `name`.
    """
    layout = _layout(folder, name)
    match = _LAYOUT.fullmatch(layout.stem)
    if match is None:
        what = f'"{layout.stem}" does not name its netlist'
        raise InputError(what, path=layout, mend="Expected a name like 7157-zero-riscy-a-1-c2-u0.8-m1-p1-f0.npy.")
    netlist, where = match["netlist"], folder / "graph_information"
    attributes = [where / f"{kind}_attr" / f"{netlist}_{kind}_attr.npy" for kind in ("node", "net", "pin")]
    nodes, nets, pins = (read_array(p) for p in attributes)
    for found, rows, path in zip((nodes, nets, pins), (2, 1, 3), attributes, strict=True):
        if not isinstance(found, np.ndarray) or found.ndim != 2 or found.shape[0] != rows:
            raise InputError(f"holds no array of {rows} rows", path=path, mend=_AGAIN)
        if rows < 3 and not all(isinstance(name, str) for name in found.ravel().tolist()):
            raise InputError("holds a name that is no text", path=path, mend=_AGAIN)
    joined = _join(nodes, nets, pins, _boxes(layout), attributes[2])
    map_files = _find_maps(folder, layout.stem)
    maps = {name: _read_map(path) for name, path in map_files.items()}
    tile = gcell_dbu(gcell_um or GCELL_UM, DBU_PER_UM)
    nx, ny = _size(joined.box, maps, layout)
    die = (0, 0, nx * tile, ny * tile)
    rects = joined.box * tile + tile // 2
    extent = joined.box[:, 2:] - joined.box[:, :2]
    count = len(joined.pin_net)
    design = bare_design(
        name=netlist, path=folder, dbu_per_um=DBU_PER_UM, die_dbu=die, core_dbu=die, row_height_dbu=tile,
        inst_names=joined.inst_names, inst_master_names=joined.masters, inst_rect_dbu=rects,
        inst_is_macro=(extent >= MACRO_GCELLS).all(axis=1),
        net_names=joined.net_names, net_use=np.zeros(len(joined.net_names), np.int8),
        pin_net=joined.pin_net, pin_inst=joined.pin_inst, pin_port=np.full(count, -1), pin_names=joined.pin_names,
        pin_direction=np.full(count, -1, np.int8), pin_cap=np.full(count, np.nan, np.float32),
    )  # fmt: skip
    words = {"family": family or match["family"], "technology": technology or "circuitnet-n28",
             "variant": variant or layout.stem}  # fmt: skip
    warnings = ["no pin places, no directions, no clock: pins lie in the middle of their insts, no net has a driver",
                "insts are known to a gcell: a cell within one has no area"]  # fmt: skip
    if maps and not any("util" in k for k in maps):
        warnings.append(
            "congestion holds CircuitNet's overflow share (0 where nothing overflows), not demand: no util maps"
        )
    return write_import(
        out, design, source="circuitnet", tile_dbu=tile, words=words, warnings=warnings, overwrite=overwrite,
        files=[layout, *attributes, *map_files.values()],
        labels=lambda grid: _labels(maps, grid, len(joined.net_names)),
    )  # fmt: skip


def _layout(folder: Path, name: str | None) -> Path:
    """The placement to read."""
    where = folder / "instance_placement_gcell"
    found = sorted(where.glob("*.npy")) if where.is_dir() else []
    if not found:
        mend = "Give the folder with CircuitNet's graph_information and instance_placement_gcell."
        raise InputError("has no instance_placement_gcell with .npy files", path=folder, mend=mend)
    if name is None and len(found) == 1:
        return found[0]
    path = where / f"{(name or '').removesuffix('.npy')}.npy"
    if name is None or path not in found:
        what = f'no layout "{name}"' if name else f"{len(found)} layouts"
        shown = listed((p.stem for p in found[:3]), len(found))
        raise InputError(what, path=where, mend=f"Give --name, one of {shown}.")
    return path


def _boxes(path: Path) -> dict[str, list[int]]:
    """Inst name to left, bottom, right, top in gcells, both ends included."""
    placed = read_array(path)
    if not isinstance(placed, dict) or not placed:
        raise InputError("holds no dictionary of insts", path=path, mend=_AGAIN)
    faults = Faults(path)
    for name, box in placed.items():
        whole = isinstance(box, list) and len(box) == 4 and all(isinstance(v, int) for v in box)
        if not whole or box[0] > box[2] or box[1] > box[3] or min(box) < 0 or max(box) >= MAX_GCELLS:
            faults.add(
                f'inst "{name}" has the box {_shown(box)}', mend="Expected [left, bottom, right, top] in gcells."
            )
    faults.raise_if_any()
    return placed


def _shown(value: object) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:  # Python does not write out integers of thousands of digits
        return "a number of thousands of digits"


@dataclass(frozen=True)
class _Joined:
    inst_names: list[str]
    masters: list[str]
    box: Int64[np.ndarray, "insts 4"]
    net_names: list[str]
    pin_names: list[str]
    pin_inst: Int64[np.ndarray, " pins"]
    pin_net: Int64[np.ndarray, " pins"]


def _join(nodes: np.ndarray, nets: np.ndarray, pins: np.ndarray, placed: dict[str, list[int]], path: Path) -> _Joined:
    """Placed insts with a pin, the nets they are on, and an incidence a bit of a pin, as `build_graph.py` has it."""
    rows: list[tuple[int, int, str]] = []
    faults = Faults(path)
    inst_names, masters, net_names = nodes[0].tolist(), nodes[1].tolist(), nets[0].tolist()
    for pin, (name, net, node) in enumerate(zip(*pins.tolist(), strict=True)):
        bits = net if isinstance(net, list) else [net]
        known = isinstance(node, int) and 0 <= node < len(inst_names)
        if not known or not all(isinstance(n, int) and 0 <= n < len(net_names) for n in bits):
            faults.add(
                f'pin {pin}, "{name}", has net {_shown(net)} and node {_shown(node)}, not there',
                mend=_AGAIN,
            )
        elif inst_names[node] in placed:
            rows += [(node, n, str(name)) for n in bits]
    faults.raise_if_any()
    if not rows:
        raise InputError("none of its insts is in the placement", path=path, mend="Give the placement of this netlist.")
    inst, net = np.asarray([r[0] for r in rows]), np.asarray([r[1] for r in rows])
    used_insts, pin_inst = np.unique(inst, return_inverse=True)
    used_nets, pin_net = np.unique(net, return_inverse=True)
    kept = [inst_names[i] for i in used_insts.tolist()]
    return _Joined(
        inst_names=kept,
        masters=[masters[i] for i in used_insts.tolist()],
        box=np.asarray([placed[n] for n in kept], np.int64),
        net_names=[net_names[n] for n in used_nets.tolist()],
        pin_names=[r[2] for r in rows],
        pin_inst=pin_inst.astype(np.int64),
        pin_net=pin_net.astype(np.int64),
    )


def _find_maps(folder: Path, layout: str) -> dict[str, Path]:
    """Label maps of a layout, `h_util` and so on, of global routing or else of early global routing."""
    for prefix, where in _STAGES.items():
        found = {}
        for base in ("", "routability_features", "routability_features_decompressed"):
            for kind, based in _KINDS.items():
                for direction in ("horizontal", "vertical"):
                    path = folder / base / where / based / f"{prefix}_{direction}_{kind}" / f"{layout}.npy"
                    if path.is_file():
                        found[f"{direction[0]}_{kind}"] = path
        if found:
            lacking = [k for k in ("h_overflow", "v_overflow") if k not in found]
            if lacking or len(found) == 3:
                what = f"labels of {prefix} are not complete: {', '.join(sorted(found))}"
                raise InputError(
                    what, path=folder, mend="Unpack both directions of overflow_based, or remove the rest."
                )
            return found
    return {}


def _read_map(path: Path) -> Map:
    """A label map [x, y]; nan where it says nothing."""
    found = read_array(path)
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "fiub" or np.isinf(found).any():
        raise InputError("holds no map of finite numbers", path=path, mend=_AGAIN)
    return found.astype(np.float32)


def _size(box: Int64[np.ndarray, "insts 4"], maps: dict[str, Map], layout: Path) -> tuple[int, int]:
    """Columns and rows: those of the label maps [x, y], else as far as insts reach."""
    reach = (int(box[:, 2].max()) + 1, int(box[:, 3].max()) + 1)
    shapes = {values.shape for values in maps.values()}
    if not shapes:
        return reach
    shape = shapes.pop()
    if shapes or shape[0] < reach[0] or shape[1] < reach[1]:
        what = f"the label maps have the shape {shape}, insts reach to {reach[0]} x {reach[1]} gcells"
        raise InputError(what, path=layout, mend="Labels and placement are of different layouts.")
    return int(shape[0]), int(shape[1])


def _labels(maps: dict[str, Map], grid: GcellGrid, num_nets: int) -> Labels | None:
    """Demand over tracks: the share in use plus what overflows; the last column (H) and row (V) are no edges."""
    if not maps:
        return None
    out = {}
    for side in "hv":
        parts = [maps[k].T for k in (f"{side}_util", f"{side}_overflow") if k in maps]
        total: Float32[np.ndarray, "ny nx"] = np.asarray(np.sum(parts, axis=0, dtype=np.float32))
        if side == "h":
            total[:, -1] = np.nan
        else:
            total[-1] = np.nan
        out[side] = total
    unknown = np.full((grid.ny, grid.nx), np.nan, np.float32)
    return Labels(out["h"], out["v"], unknown, unknown, np.full(num_nets, np.nan, np.float32))
