"""LEF: technology and cell files in, layers, sites, macros, pins and shapes out as flat columns.

Source: LEF/DEF 5.8 Language Reference. Rules that no feature needs (antenna, density, currents, via rules) are passed
over. Keywords are taken in any letter case, and `;` may stick to the word before it: libraries in use need both.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int8, Int16, Int32, Int64

from circuit_io.collector import collector_paused
from circuit_io.errors import InputError
from circuit_io.lef_reader import LefReader, Library
from circuit_io.names import Names

__all__ = ["LefLibrary", "read_lef"]

ROUTING = 0


@dataclass(frozen=True)
class LefLibrary:
    """Columns of one or more LEF files; lengths in um, coordinates as written (before the shift by ORIGIN)."""

    dbu_per_um: int  # of the last file that has UNITS; 0: none
    layer_names: Names  # LAYER statements in their order, then layers that only shapes name
    layer_kind: Int8[np.ndarray, " layers"]  # 0 ROUTING 1 CUT 2 MASTERSLICE 3 OVERLAP 4 IMPLANT -1 only named
    layer_direction: Int8[np.ndarray, " layers"]  # 0 HORIZONTAL 1 VERTICAL -1 none
    layer_pitch_um: Float64[np.ndarray, "layers 2"]  # x, y; nan: absent
    layer_offset_um: Float64[np.ndarray, "layers 2"]
    layer_width_um: Float64[np.ndarray, " layers"]
    layer_spacing_um: Float64[np.ndarray, " layers"]
    site_names: Names
    site_size_um: Float64[np.ndarray, "sites 2"]
    site_class: list[str]
    macro_names: Names
    macro_class: list[str]
    macro_size_um: Float64[np.ndarray, "macros 2"]
    macro_origin_um: Float64[np.ndarray, "macros 2"]
    macro_site: list[str]
    macro_symmetry: list[str]
    mterm_ptr: Int64[np.ndarray, " macros_plus_1"]
    mterm_names: Names
    mterm_macro: Int32[np.ndarray, " mterms"]
    mterm_direction: Int8[np.ndarray, " mterms"]  # 0 INPUT 1 OUTPUT 2 INOUT 3 FEEDTHRU -1 none
    mterm_use: Int8[np.ndarray, " mterms"]  # 0 SIGNAL 1 POWER 2 GROUND 3 CLOCK 4 ANALOG 5 other
    shape_mterm: Int32[np.ndarray, " shapes"]
    shape_port: Int16[np.ndarray, " shapes"]
    shape_layer: Int32[np.ndarray, " shapes"]
    shape_rect_um: Float64[np.ndarray, "shapes 4"]
    obs_macro: Int32[np.ndarray, " obstructions"]
    obs_layer: Int32[np.ndarray, " obstructions"]
    obs_rect_um: Float64[np.ndarray, "obstructions 4"]

    @property
    def routing_level(self) -> Int16[np.ndarray, " layers"]:
        """1, 2, .. for ROUTING layers in the order of their definition, 0 for others."""
        routing = self.layer_kind == ROUTING
        return np.where(routing, np.cumsum(routing), 0).astype(np.int16)


def read_lef(*paths: Path | str) -> LefLibrary:
    """The library of some LEF files, technology first.

    A layer, site or macro may be defined again only word for word the same.

    Raises:
        InputError: a file is cut short, is not LEF, or says something outside the supported subset; up to 20 faults of
            one file are reported together.

    Source:
        LEF/DEF 5.8 Language Reference, Cadence.
    """
    if not paths:
        raise InputError("no LEF file given", mend="Give the technology LEF first, then those of the cells.")
    library = Library()
    with collector_paused():
        for path in paths:
            LefReader(path, library).read()
        return _columns(library)


def _columns(library: Library) -> LefLibrary:
    order = {name: i for i, name in enumerate(dict.fromkeys([*library.layers, *library.layer_ids]))}
    renumber = np.array([order[name] for name in library.layer_ids], np.int32)
    layers = [library.layers.get(name) for name in order]
    macros = library.macros.values()
    mterms = [pin for macro in macros for pin in macro.pins.values()]
    ptr = np.zeros(len(macros) + 1, np.int64)
    np.cumsum([len(m.pins) for m in macros], out=ptr[1:])
    shapes = [pin.shapes for pin in mterms]
    obs = [macro.obs for macro in macros]
    nan = float("nan")
    return LefLibrary(
        dbu_per_um=library.dbu_per_um,
        layer_names=Names.of(order),
        layer_kind=np.array([a.kind if a else -1 for a in layers], np.int8),
        layer_direction=np.array([a.direction if a else -1 for a in layers], np.int8),
        layer_pitch_um=_table([a.pitch if a else (nan, nan) for a in layers], 2),
        layer_offset_um=_table([a.offset if a else (nan, nan) for a in layers], 2),
        layer_width_um=np.array([a.width if a else nan for a in layers], np.float64),
        layer_spacing_um=np.array([a.spacing if a else nan for a in layers], np.float64),
        site_names=Names.of(library.sites),
        site_size_um=_table([s.size for s in library.sites.values()], 2),
        site_class=[s.kind for s in library.sites.values()],
        macro_names=Names.of(library.macros),
        macro_class=[m.kind for m in macros],
        macro_size_um=_table([m.size for m in macros], 2),
        macro_origin_um=_table([m.origin for m in macros], 2),
        macro_site=[m.site for m in macros],
        macro_symmetry=[m.symmetry for m in macros],
        mterm_ptr=ptr,
        mterm_names=Names.of(name for macro in macros for name in macro.pins),
        mterm_macro=np.repeat(np.arange(len(macros), dtype=np.int32), np.diff(ptr)),
        mterm_direction=np.array([p.direction for p in mterms], np.int8),
        mterm_use=np.array([p.use for p in mterms], np.int8),
        shape_mterm=np.repeat(np.arange(len(mterms), dtype=np.int32), [len(s.layers) for s in shapes]),
        shape_port=np.array([p for s in shapes for p in s.ports], np.int16),
        shape_layer=renumber[np.array([a for s in shapes for a in s.layers], np.int64)],
        shape_rect_um=np.concatenate(library.pin_rects),
        obs_macro=np.repeat(np.arange(len(macros), dtype=np.int32), [len(s.layers) for s in obs]),
        obs_layer=renumber[np.array([a for s in obs for a in s.layers], np.int64)],
        obs_rect_um=np.concatenate(library.obs_rects),
    )


def _table(values: list[Any], columns: int) -> Float64[np.ndarray, "n columns"]:
    return np.array(values, np.float64).reshape(-1, columns)
