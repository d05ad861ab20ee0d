"""OpenROAD's LEF parser (sc-leflib) beside ours: both to the same plain values."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import sc_leflib

from circuit_io.geometry import polygon_rects
from circuit_io.lef import LefLibrary, read_lef
from circuit_io.text import read_bytes

KINDS = {"ROUTING": 0, "CUT": 1, "MASTERSLICE": 2, "OVERLAP": 3, "IMPLANT": 4}
DIRECTIONS = ["INPUT", "OUTPUT", "INOUT", "FEEDTHRU", None]
USES = ["SIGNAL", "POWER", "GROUND", "CLOCK", "ANALOG"]
Shape = tuple[str, float, float, float, float]


def peer_library(path: Path, scratch: Path) -> dict[str, Any] | None:
    """What sc-leflib says; it reads no gz, and gives None for a file that it refuses."""
    plain = scratch / "plain.lef"
    plain.write_bytes(read_bytes(path))
    library: dict[str, Any] | None = sc_leflib.parse(str(plain))
    return library


def _shapes(geometries: list[dict[str, Any]]) -> list[Shape]:
    out: list[Shape] = []
    for geometry in geometries:
        for shape in geometry.get("shapes", []):
            if "rect" in shape:
                rects = [shape["rect"]]
            elif "polygon" in shape:
                rects = polygon_rects([tuple(p) for p in shape["polygon"]])
            else:
                half = geometry["width"] / 2
                ends = list(zip(shape["path"], shape["path"][1:] or shape["path"], strict=False))
                rects = [
                    (min(a[0], b[0]) - half, min(a[1], b[1]) - half, max(a[0], b[0]) + half, max(a[1], b[1]) + half)
                    for a, b in ends
                ]
            many = shape.get("iterate", {"num_x": 1, "num_y": 1, "step_x": 0, "step_y": 0})
            for x1, y1, x2, y2 in rects:
                for j in range(int(many["num_y"])):
                    for i in range(int(many["num_x"])):
                        dx, dy = i * many["step_x"], j * many["step_y"]
                        box = (min(x1, x2) + dx, min(y1, y2) + dy, max(x1, x2) + dx, max(y1, y2) + dy)
                        out.append((geometry["layer"], *(round(v, 6) for v in box)))
    return sorted(out)


def _ours(library: LefLibrary, layers: np.ndarray[Any, Any], rects: np.ndarray[Any, Any]) -> list[Shape]:
    names = library.layer_names.tolist()
    return sorted((names[a], *(round(v, 6) for v in r)) for a, r in zip(layers.tolist(), rects.tolist(), strict=True))


def _same(ours: float, theirs: float | None) -> bool:
    return math.isnan(ours) if theirs is None else math.isclose(ours, theirs)


def compare(path: Path, scratch: Path) -> tuple[int, int]:
    """Numbers of pins and of shapes that were found equal; an AssertionError names the first difference."""
    theirs = peer_library(path, scratch)
    assert theirs is not None, f"sc-leflib refuses {path}"
    ours = read_lef(path)
    assert ours.dbu_per_um == theirs.get("units", {}).get("database", 0)
    defined = [n for n, kind in zip(ours.layer_names, ours.layer_kind, strict=True) if kind >= 0]
    assert defined == list(theirs.get("layers", {}))
    for i, layer in enumerate(defined):
        _compare_layer(ours, i, theirs["layers"][layer])
    sites = theirs.get("sites", {})
    assert sorted(ours.site_names) == sorted(sites)
    for site, size in zip(ours.site_names, ours.site_size_um.tolist(), strict=True):
        assert size == [sites[site]["size"]["width"], sites[site]["size"]["height"]], site
    macros = theirs.get("macros", {})
    assert sorted(ours.macro_names) == sorted(macros)
    pins, shapes = 0, 0
    for i, macro in enumerate(ours.macro_names):
        found = _compare_macro(ours, i, macros[macro])
        pins, shapes = pins + found[0], shapes + found[1]
    return pins, shapes


def agree(path: Path, scratch: Path) -> None:
    """As `compare`; a file that sc-leflib refuses has nothing to compare with."""
    if peer_library(path, scratch) is None:
        raise NotImplementedError("sc-leflib refuses the file")
    compare(path, scratch)


def _compare_layer(ours: LefLibrary, i: int, layer: dict[str, Any]) -> None:
    name = ours.layer_names[i]
    assert ours.layer_kind[i] == KINDS[layer["type"]], name
    direction = {"HORIZONTAL": 0, "VERTICAL": 1}.get(layer.get("direction", ""), -1)
    assert ours.layer_direction[i] == direction, name
    assert _same(ours.layer_width_um[i], layer.get("width")), name
    for mine, key in ((ours.layer_pitch_um, "pitch"), (ours.layer_offset_um, "offset")):
        value = layer.get(key)
        x, y = value if isinstance(value, tuple | list) else (value, value)
        assert _same(mine[i, 0], x), (name, key)
        assert _same(mine[i, 1], y), (name, key)


def _compare_macro(ours: LefLibrary, i: int, macro: dict[str, Any]) -> tuple[int, int]:
    name, count = ours.macro_names[i], 0
    size = macro.get("size", {"width": 0.0, "height": 0.0})
    assert ours.macro_size_um[i].tolist() == [size["width"], size["height"]], name
    begin, end = ours.mterm_ptr[i : i + 2].tolist()
    assert sorted(ours.mterm_names[t] for t in range(begin, end)) == sorted(macro.get("pins", {})), name
    for t in range(begin, end):
        pin = macro["pins"][ours.mterm_names[t]]
        label = f"{name}/{ours.mterm_names[t]}"
        direction = pin.get("direction", "").split()
        assert DIRECTIONS[ours.mterm_direction[t]] == (direction[0] if direction else None), label
        use = pin.get("use", "SIGNAL")
        assert ours.mterm_use[t] == (USES.index(use) if use in USES else 5), label
        mine = slice(*np.searchsorted(ours.shape_mterm, [t, t + 1]))
        found = _ours(ours, ours.shape_layer[mine], ours.shape_rect_um[mine])
        wanted = _shapes([g for port in pin.get("ports", []) for g in port.get("layer_geometries", [])])
        if ours.shape_port[mine].max(initial=0) + 1 > len(
            pin.get("ports", [])
        ):  # a pin listed twice: it keeps the last
            assert set(wanted) <= set(found), label
        else:
            assert found == wanted, label
        count += len(found)
    mine = slice(*np.searchsorted(ours.obs_macro, [i, i + 1]))
    found = _ours(ours, ours.obs_layer[mine], ours.obs_rect_um[mine])
    assert found == _shapes([g for group in macro.get("obs", []) for g in group]), name
    return end - begin, count + len(found)
