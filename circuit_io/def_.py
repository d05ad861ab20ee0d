"""DEF: one file in, its insts, ports, nets, wires and floorplan out as flat columns.

Source: LEF/DEF 5.8 Language Reference. Header counts are hints and are not looked at. Sections that change neither
placement nor routing resources are passed over (properties, styles, non-default rules, fills, slots, scan chains).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int16, Int32, Int64

from circuit_io import def_floorplan as floorplan
from circuit_io.codes import NO_NET
from circuit_io.collector import collector_paused
from circuit_io.def_native import scan_netlist
from circuit_io.def_nets import check_ports, read_netlist
from circuit_io.def_pins import read_pins
from circuit_io.def_text import DefText
from circuit_io.def_vias import read_vias
from circuit_io.def_wires import WireReader
from circuit_io.errors import InputError
from circuit_io.geometry import ORIENTS
from circuit_io.names import Names

__all__ = ["NO_NET", "ORIENTS", "DefDesign", "read_def"]

_SECTIONS = tuple(
    b"PROPERTYDEFINITIONS VIAS STYLES NONDEFAULTRULES REGIONS COMPONENTS PINS PINPROPERTIES "
    b"BLOCKAGES SLOTS FILLS SPECIALNETS NETS SCANCHAINS GROUPS IOTIMINGS FLOORPLANCONSTRAINTS TIMINGDISABLES "
    b"PARTITIONS ASSERTIONS CONSTRAINTS DEFAULTCAP".split()
)
_STATEMENTS = tuple(
    b"VERSION NAMESCASESENSITIVE DIVIDERCHAR BUSBITCHARS DESIGN TECHNOLOGY UNITS HISTORY DIEAREA ROW TRACKS GCELLGRID "
    b"COMPONENTMASKSHIFT ARRAY FLOORPLAN CANPLACE CANNOTOCCUPY".split()
)


@dataclass(frozen=True)
class DefDesign:
    """Columns of one DEF file; lengths in dbu, names as the file writes them (backslashes kept)."""

    path: Path
    design: str
    dbu_per_um: int
    divider: str
    busbits: str
    die_points_dbu: Int64[np.ndarray, "corners 2"]
    inst_names: Names
    master_names: Names
    inst_master: Int32[np.ndarray, " insts"]
    inst_status: Int8[np.ndarray, " insts"]  # 0 unplaced, 1 PLACED, 2 FIXED, 3 COVER
    inst_xy_dbu: Int64[np.ndarray, "insts 2"]  # lower left of the placed box; 0 when unplaced
    inst_orient: Int8[np.ndarray, " insts"]
    bterm_names: Names
    bterm_net: Int32[np.ndarray, " bterms"]  # in net_names; -1-k: special net k; NO_NET
    bterm_direction: Int8[np.ndarray, " bterms"]  # 0 INPUT 1 OUTPUT 2 INOUT 3 FEEDTHRU -1 none
    bterm_use: Int8[np.ndarray, " bterms"]  # 0 SIGNAL 1 POWER 2 GROUND 3 CLOCK 4 ANALOG 5 other
    bterm_status: Int8[np.ndarray, " bterms"]
    bterm_xy_dbu: Int64[np.ndarray, "bterms 2"]  # of the first placed PORT
    bterm_orient: Int8[np.ndarray, " bterms"]
    bterm_shape_bterm: Int32[np.ndarray, " bshapes"]
    bterm_shape_port: Int16[np.ndarray, " bshapes"]
    bterm_shape_layer: Int32[np.ndarray, " bshapes"]
    bterm_shape_rect_dbu: Int64[np.ndarray, "bshapes 4"]  # placed and turned; shapes of unplaced ports are left out
    layer_names: Names
    net_names: Names
    pin_names: Names
    net_use: Int8[np.ndarray, " nets"]
    net_ptr: Int64[np.ndarray, " nets_plus_1"]
    conn_inst: Int32[np.ndarray, " conns"]  # -1: a bterm
    conn_pin: Int32[np.ndarray, " conns"]  # in pin_names: mterm, or the bterm's name
    special_names: Names
    special_use: Int8[np.ndarray, " specials"]
    special_ptr: Int64[np.ndarray, " specials_plus_1"]
    special_conn_inst: Int32[np.ndarray, " sconns"]  # -1: a bterm, -2: "*", every inst
    special_conn_pin: Int32[np.ndarray, " sconns"]
    swire_special: Int32[np.ndarray, " swires"]
    swire_layer: Int32[np.ndarray, " swires"]
    swire_rect_dbu: Int64[np.ndarray, "swires 4"]
    svia_special: Int32[np.ndarray, " svias"]
    svia_via: Int32[np.ndarray, " svias"]
    svia_xy_dbu: Int64[np.ndarray, "svias 2"]
    via_names: Names  # defined by the file first, then the ones only used
    via_shape_via: Int32[np.ndarray, " vshapes"]
    via_shape_layer: Int32[np.ndarray, " vshapes"]
    via_shape_rect_dbu: Int64[np.ndarray, "vshapes 4"]  # about the placing point
    row_names: Names
    row_site_names: Names
    row_site: Int32[np.ndarray, " rows"]
    row_xy_dbu: Int64[np.ndarray, "rows 2"]
    row_orient: Int8[np.ndarray, " rows"]
    row_count: Int32[np.ndarray, "rows 2"]
    row_step_dbu: Int64[np.ndarray, "rows 2"]
    track_axis: Int8[np.ndarray, " tracks"]  # 0: TRACKS X, vertical wires
    track_start: Int64[np.ndarray, " tracks"]
    track_count: Int64[np.ndarray, " tracks"]
    track_step: Int64[np.ndarray, " tracks"]
    track_layer: Int32[np.ndarray, " tracks"]  # -1: none named
    gcell_axis: Int8[np.ndarray, " gcells"]
    gcell_start: Int64[np.ndarray, " gcells"]
    gcell_count: Int64[np.ndarray, " gcells"]
    gcell_step: Int64[np.ndarray, " gcells"]
    blockage_layer: Int32[np.ndarray, " blockages"]  # -1: placement
    blockage_soft: Bool[np.ndarray, " blockages"]
    blockage_density: Float64[np.ndarray, " blockages"]  # percent of PARTIAL, nan: none
    blockage_rect_dbu: Int64[np.ndarray, "blockages 4"]
    region_names: Names
    region_is_fence: Bool[np.ndarray, " regions"]
    region_rect_region: Int32[np.ndarray, " region_rects"]
    region_rect_dbu: Int64[np.ndarray, "region_rects 4"]
    group_names: Names
    group_region: Int32[np.ndarray, " groups"]  # -1: none
    member_group: Int32[np.ndarray, " members"]
    member_patterns: Names
    has_routing: bool

    @property
    def die_dbu(self) -> tuple[int, int, int, int]:
        """Bounding box of the die: x1, y1, x2, y2.

        Raises:
            InputError: the file has no DIEAREA, or one without area, as before the floorplan step.
        """
        corners = self.die_points_dbu if len(self.die_points_dbu) else np.zeros((1, 2), np.int64)
        low, high = corners.min(axis=0), corners.max(axis=0)
        if not (low < high).all():
            raise InputError(
                "has no DIEAREA, or one of no area", path=self.path, mend="Write the DEF after the floorplan."
            )
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def read_def(path: Path | str) -> DefDesign:
    """The design of one DEF file, plain or gz.

    Raises:
        InputError: the file is cut short, is not DEF, or says something outside the supported subset; up to 20 faults
            are reported together.

    Source:
        LEF/DEF 5.8 Language Reference, Cadence.
    """
    with collector_paused():
        return _read(Path(path))


def _read(path: Path) -> DefDesign:
    text = DefText(path, sections=_SECTIONS, statements=_STATEMENTS)
    layers: dict[bytes, int] = {}
    via_index: dict[bytes, int] = {}
    columns: dict[str, Any] = _header(text) | floorplan.rows(text) | floorplan.regions(text)
    for name, word in (("track", b"TRACKS"), ("gcell", b"GCELLGRID")):
        columns |= _grid_columns(name, floorplan.grid(text, word, layers))
    columns |= read_vias(text, layers, via_index) | floorplan.blockages(text, layers)
    columns |= _netlist(text, layers, via_index)
    text.faults.raise_if_any()
    columns |= {"layer_names": Names.of(layers), "via_names": Names.of(via_index)}
    return DefDesign(path=path, **columns)


def _header(text: DefText) -> dict[str, Any]:
    where = text.statements.get(b"DESIGN")
    words = _between(text, *where[0]).split() if where else []
    if len(words) != 1:
        text.fail("has no DESIGN name", where[0][0] if where else 0, "Is it a DEF file?")
    return {
        "design": words[0].decode("utf-8", "surrogateescape"),
        "dbu_per_um": floorplan.units(text),
        "divider": _quoted(text, b"DIVIDERCHAR", 1, "/"),
        "busbits": _quoted(text, b"BUSBITCHARS", 2, "[]"),
        "die_points_dbu": floorplan.die(text),
    }


def _between(text: DefText, begin: int, end: int) -> bytes:
    """What stands there, strings as they are, without the blanks and comments around it."""
    masked = text.text[begin:end]
    return text.raw(begin + len(masked) - len(masked.lstrip()), begin + len(masked.rstrip()))


def _quoted(text: DefText, word: bytes, size: int, default: str) -> str:
    if word not in text.statements:
        return default
    begin, end = text.statements[word][0]
    value = _between(text, begin, end)
    if len(value) != size + 2 or value[:1] + value[-1:] != b'""':
        text.fault(f"{word.decode()} is not followed by {size} quoted character(s)", begin)
        return default
    return value[1:-1].decode("latin-1")


def _grid_columns(name: str, table: Int64[np.ndarray, "n 5"]) -> dict[str, Any]:
    out: dict[str, Any] = {
        f"{name}_axis": table[:, 0].astype(np.int8),
        f"{name}_start": table[:, 1],
        f"{name}_count": table[:, 2],
        f"{name}_step": table[:, 3],
    }
    return out | {"track_layer": table[:, 4].astype(np.int32)} if name == "track" else out


def _netlist(text: DefText, layers: dict[bytes, int], vias: dict[bytes, int]) -> dict[str, Any]:
    netlist = scan_netlist(text) or read_netlist(text)
    wires = WireReader(text, layers, vias)
    for i, net in enumerate(netlist.wires):
        wires.read(i, net)
    columns = netlist.insts | read_pins(text, layers, netlist.net_ids, netlist.special_ids)
    check_ports(text, netlist, set(columns["bterm_names"].raw_list()))
    columns |= {("net_" if k in ("names", "use", "ptr") else "") + k: v for k, v in netlist.nets.items()}
    columns |= {f"special_{k}": v for k, v in netlist.specials.items()}
    return columns | wires.columns() | {"pin_names": netlist.pin_names, "has_routing": netlist.has_routing}
