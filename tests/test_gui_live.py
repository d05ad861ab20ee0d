"""OpenROAD with its GUI, on a screen that nobody sees: markers, heat maps and pictures (`pytest -m openroad`)."""

import csv
import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tcl_session import TCL

from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_hook
from circuit_io.store import open_design
from flow_hooks.openroad.binary import FLAGS, find_openroad

pytestmark = pytest.mark.openroad

ADJUSTMENT = 0.7  # so few tracks that there are hot spots
MAPS = {"h": "Horizontal", "v": "Vertical"}
# a picture of the die, which is 61.435 um wide
PICTURE = """
proc picture { name } {
  gui::save_image $name.png 0 0 61.435 61.435 300 0 [gui::DisplayControlMap]
}
proc dump { direction name } {
  gui::set_heatmap Routing Direction $direction
  gui::set_heatmap Routing rebuild
  gui::dump_heatmap Routing $name
}
"""
Run = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gui")


@pytest.fixture(scope="module")
def openroad(folder: Path) -> Run:
    """A script run by an openroad with a GUI: in a window with -gui."""
    found = find_openroad()
    if not found or not found[0].is_file():
        pytest.skip("no openroad: set GSR_OPENROAD to the binary")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GSR_")}
    clean |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "QT_QPA_PLATFORM": "offscreen"}
    clean |= {"GSR_MODE": "advise", "GSR_PYTHON": sys.executable}

    def run(script: str, *options: str) -> str:
        path = folder / "run.tcl"
        path.write_text(f"source {{{TCL / 'gsr.tcl'}}}\n{PICTURE}\n{script}\nputs ENDED\n")
        done = subprocess.run(
            [str(found[0]), *FLAGS, *options, str(path)], cwd=folder, env=clean, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        text = done.stdout + done.stderr
        assert "ENDED" in done.stdout, text[-3000:]
        return text

    if "gui: 1" not in run('puts "gui: [ord::openroad_gui_compiled]"'):
        pytest.skip(f"{found[0]} is built without GUI")
    return run


@pytest.fixture(scope="module")
def predicted(openroad: Run, folder: Path, kit: Path) -> Path:
    """A prediction for the kit's smallest design, its markers in advised.odb, and the router's heat maps and labels."""
    placed = kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz"
    (folder / "placed.def").write_bytes(gzip.decompress(placed.read_bytes()))
    reads = "\n".join(f"read_lef {{{kit / 'tech' / f'gsr45_{name}.lef'}}}" for name in ("tech", "cells"))
    said = openroad(f"""
{reads}
read_liberty {{{kit / "tech" / "gsr45_typ.lib"}}}
read_def placed.def
set_routing_layers -signal M2-M5
set_global_routing_layer_adjustment M2-M5 {ADJUSTMENT}
gsr_predict -out_dir prediction
gsr_annotate -out_dir prediction
write_db advised.odb
global_route -allow_congestion
dump Horizontal router_h.csv
dump Vertical router_v.csv
gsr_export_labels -out_dir labels -grt
""")
    assert "[WARNING FLW" not in said
    return folder


def rows(path: Path) -> tuple[str, np.ndarray]:
    """The header of a heat map, and its rows x0, y0, x1, y1, value."""
    with path.open(newline="") as f:
        header, *lines = csv.reader(f)
    return ",".join(header), np.array(lines, dtype=float)


def test_our_csv_lies_over_the_heat_map_of_the_routed_design(predicted: Path) -> None:
    for way in MAPS:
        header, ours = rows(predicted / "prediction" / f"congestion_{way}.csv")
        other_header, router = rows(predicted / f"router_{way}.csv")
        assert (header, other_header) == ("x0,y0,x1,y1,value (congestion)", "x0,y0,x1,y1,value (%)")
        assert len(ours) == len(router) == 400
        # the same boxes in the same order; OpenROAD writes four digits of 61.435
        np.testing.assert_allclose(ours[:, :4], router[:, :4], rtol=0, atol=0.0051)


def test_the_percentage_of_the_window_counts_what_adjustments_take_as_used(predicted: Path) -> None:
    sources = replace(sources_of_hook(predicted / "prediction" / "hook.json"), labels=predicted / "labels")
    export_design(sources, predicted / "routed")
    labels = open_design(predicted / "routed").labels
    assert labels is not None
    for way, congestion in (("h", labels.congestion_h), ("v", labels.congestion_v)):
        router, ours = (
            rows(predicted / name)[1][:, 4].reshape(20, 20).T
            for name in (f"router_{way}.csv", f"prediction/congestion_{way}.csv")
        )
        seen = np.isfinite(congestion)
        assert seen.sum() == 380
        # whole tracks are taken: of 15 eleven, not ten and a half
        of_window = 100 * (ADJUSTMENT + (1 - ADJUSTMENT) * congestion[seen])
        np.testing.assert_allclose(router[seen], of_window, rtol=0, atol=100 / 15)
        np.testing.assert_array_equal(router[seen] > 100, congestion[seen] > 1)
        assert np.corrcoef(ours[seen], router[seen])[0, 1] > 0.8
        # no edge leaves the last column or row: the router has nothing there but in the corner, we repeat the neighbour
        turned, ours = (router, ours) if way == "h" else (router.T, ours.T)
        assert (turned[:-1, -1] == 0).all()
        np.testing.assert_array_equal(ours[:, -1], ours[:, -2])


def test_the_drc_viewer_shows_the_markers_until_they_are_replaced(openroad: Run, predicted: Path) -> None:
    said = openroad(
        """
read_db advised.odb
picture none
gui::select_marker_category "GSR congestion"
picture shown
# what is selected of them is let go as well: OpenROAD would crash at the next picture
puts "selected: [gui::select Marker] [gui::select_next]"
gsr_annotate -out_dir prediction -markers
picture replaced
gui::select_marker_category "GSR congestion"
picture again
""",
        "-gui",
    )
    num_markers = (predicted / "prediction" / "markers.rpt").read_text().count("violation type:")
    assert num_markers > 0
    assert f"selected: {num_markers}" in said
    pictures = {name: (predicted / f"{name}.png").read_bytes() for name in ("none", "shown", "replaced", "again")}
    assert pictures["shown"] != pictures["none"]
    assert pictures["replaced"] == pictures["none"], "the viewer lets go of a category that is replaced"
    assert pictures["again"] == pictures["shown"]


def test_the_window_draws_the_predicted_map(openroad: Run, predicted: Path) -> None:
    said = openroad(
        """
read_db advised.odb
picture empty
foreach direction { horizontal vertical all } {
  puts "$direction: [gsr_show_heatmap -out_dir prediction -direction $direction]"
  gui::dump_heatmap Routing shown_$direction.csv
  picture $direction
}
puts "visible: [gui::check_display_controls {Heat Maps/Routing Congestion} visible]"
puts "saved: [catch { write_db shown.odb }] [catch { write_def shown.def }]"
""",
        "-gui",
    )
    ours = {way: rows(predicted / "prediction" / f"congestion_{way}.csv")[1][:, 4] for way in MAPS}
    expected = {"horizontal": ours["h"], "vertical": ours["v"], "all": np.maximum(ours["h"], ours["v"])}
    empty = (predicted / "empty.png").read_bytes()
    for direction, values in expected.items():
        assert f"{direction}: status ok" in said
        shown = rows(predicted / f"shown_{direction}.csv")[1][:, 4]
        np.testing.assert_allclose(shown, 100 * values, rtol=2e-6, atol=1e-6)
        assert (predicted / f"{direction}.png").read_bytes() != empty
    assert "visible: 1" in said
    assert "saved: 1 1" in said
    assert not list(predicted.glob("shown.[od]*"))


def test_without_a_window_the_map_is_not_shown(openroad: Run, predicted: Path) -> None:
    said = openroad("read_db advised.odb\nputs [gsr_show_heatmap -out_dir prediction]\nwrite_def plain.def\n")
    assert "there is no window: run it in openroad -gui" in said
    assert (predicted / "plain.def").is_file()
