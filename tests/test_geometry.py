"""The eight orientations against klayout, with and without ORIGIN; polygons against the even-odd rule."""

from pathlib import Path

import numpy as np
import pytest
from def_peer import NAME, klayout_top
from hypothesis import given
from hypothesis import strategies as st

from circuit_io.def_ import read_def
from circuit_io.geometry import ORIENTS, is_turned, place_points, place_rects, placed_size, polygon_rects
from circuit_io.lef import read_lef

LEF = """VERSION 5.8 ;
UNITS DATABASE MICRONS 1000 ; END UNITS
LAYER M1 TYPE ROUTING ; DIRECTION HORIZONTAL ; PITCH 0.1 ; WIDTH 0.1 ; END M1
MACRO PLAIN CLASS CORE ; ORIGIN 0 0 ; SIZE 3 BY 5 ;
 PIN p DIRECTION INPUT ; PORT LAYER M1 ; RECT 0.1 0.2 1 0.5 ; END END p END PLAIN
MACRO SHIFTED CLASS BLOCK ; ORIGIN 0.7 -0.3 ; SIZE 4 BY 2.5 ;
 PIN p DIRECTION INPUT ; PORT LAYER M1 ; RECT -0.6 0.4 1 0.9 ; END END p END SHIFTED
END LIBRARY
"""


def placed_def() -> str:
    insts = [
        f"- {macro}_{orient} {macro} + PLACED ( {1000 + 11 * i} {2000 - 7000 * k} ) {orient} ;"
        for k, macro in enumerate(("PLAIN", "SHIFTED"))
        for i, orient in enumerate(ORIENTS)
    ]
    pins = [
        f"- port_{orient} + NET port_{orient} + DIRECTION INPUT + LAYER M1 ( -10 0 ) ( 20 50 )"
        f" + PLACED ( {100 * i} 7 ) {orient} ;"
        for i, orient in enumerate(ORIENTS)
    ]
    return (
        'VERSION 5.8 ;\nDIVIDERCHAR "/" ;\nBUSBITCHARS "[]" ;\nDESIGN turns ;\nUNITS DISTANCE MICRONS 1000 ;\n'
        f"DIEAREA ( 0 0 ) ( 90000 90000 ) ;\nCOMPONENTS {len(insts)} ;\n" + "\n".join(insts) + "\nEND COMPONENTS\n"
        f"PINS {len(pins)} ;\n" + "\n".join(pins) + "\nEND PINS\nEND DESIGN\n"
    )


def test_all_orientations_equal_klayout(tmp_path: Path) -> None:
    lef, path = tmp_path / "turns.lef", tmp_path / "turns.def"
    lef.write_text(LEF)
    path.write_text(placed_def())
    library, design = read_lef(lef), read_def(path)
    layout, top = klayout_top(path, [lef], 1000)
    pin_layers = [at for at in layout.layer_indexes() if layout.get_info(at).name.endswith("PIN")]
    theirs, boxes = {}, {}
    for inst in top.each_inst():
        (shape,) = (s for at in pin_layers for s in inst.cell.shapes(at).each())
        box = shape.bbox().transformed(inst.trans)
        theirs[inst.property(NAME)] = [box.left, box.bottom, box.right, box.top]
        box = inst.bbox()
        boxes[inst.property(NAME)] = [box.left, box.bottom, box.right, box.top]
    macro = np.array([library.macro_names.find(m) for m in design.master_names.raw_list()])[design.inst_master]
    rect, size, origin = (
        np.rint(a * 1000).astype(np.int64)[macro]
        for a in (library.shape_rect_um, library.macro_size_um, library.macro_origin_um)
    )
    turned = place_rects(rect, size, design.inst_orient, design.inst_xy_dbu, origin=origin)
    assert dict(zip(design.inst_names, turned.tolist(), strict=True)) == theirs
    placed = np.concatenate([design.inst_xy_dbu, design.inst_xy_dbu + placed_size(size, design.inst_orient)], axis=1)
    assert dict(zip(design.inst_names, placed.tolist(), strict=True)) == boxes
    assert len(theirs) == 16
    assert len({tuple(np.subtract(t[:2], xy)) for t, xy in zip(turned, design.inst_xy_dbu, strict=True)}) > 12


@pytest.mark.parametrize(
    ("orient", "x", "y"),
    [("N", 1, 2), ("S", 9, 18), ("W", 18, 1), ("E", 2, 9), ("FN", 9, 2), ("FS", 1, 18), ("FW", 2, 1), ("FE", 18, 9)],
)
def test_one_point_in_a_box_of_ten_by_twenty(orient: str, x: int, y: int) -> None:
    code = ORIENTS.index(orient)
    assert place_points((1, 2), (10, 20), code, (0, 0)).tolist() == [x, y]
    assert place_points((0, 0), (10, 20), code, (100, 200), origin=(1, 2)).tolist() == [100 + x, 200 + y]
    assert bool(is_turned(code)) == (orient in ("W", "E", "FW", "FE"))


def test_a_box_keeps_its_corners_in_order_and_inside_the_placed_size() -> None:
    rect = np.tile([1.0, 2.0, 3.0, 7.0], (8, 1))
    placed = place_rects(rect, (10.0, 20.0), np.arange(8), (100.0, 200.0))
    assert (placed[:, :2] < placed[:, 2:]).all()
    low, high = np.array([100.0, 200.0]), np.array([100.0, 200.0]) + placed_size((10.0, 20.0), np.arange(8))
    assert (placed[:, :2] >= low).all()
    assert (placed[:, 2:] <= high).all()
    assert place_rects(np.zeros((0, 4)), np.zeros((0, 2)), np.zeros(0, np.int8), np.zeros((0, 2))).shape == (0, 4)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.booleans())
def test_rectilinear_polygons_are_tiled_exactly(heights: list[int], reverse: bool) -> None:
    """A skyline: columns of one width and any heights."""
    points = [(0, 0)]
    for x, height in enumerate(heights):
        points += [(x, height), (x + 1, height)]
    points.append((len(heights), 0))
    rects = polygon_rects(points[::-1] if reverse else points)
    assert sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in rects) == sum(heights)
    for x, height in enumerate(heights):
        for y in range(10):
            inside = [r for r in rects if r[0] < x + 0.5 < r[2] and r[1] < y + 0.5 < r[3]]
            assert len(inside) == (y < height)


def test_other_polygons_become_their_bounding_box() -> None:
    assert polygon_rects([(0, 0), (4, 0), (2, 3)]) == [(0, 0, 4, 3)]
    hole = [(0, 0), (6, 0), (6, 6), (0, 6), (0, 4), (4, 4), (4, 2), (0, 2)]
    assert sorted(polygon_rects(hole)) == [(0, 0, 6, 2), (0, 4, 6, 6), (4, 2, 6, 4)]
