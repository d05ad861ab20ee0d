"""`gsr access-points`: the design of a library, what OpenROAD is told, the table, and what is refused."""

import json
import os
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tcl_session import HERE, find_tclsh
from test_doctor import fake_openroad

from circuit_io.access_points import read_access_points, with_access_points
from circuit_io.atomic import refuse_existing
from circuit_io.def_ import read_def
from circuit_io.design import read_design
from circuit_io.errors import InputError
from circuit_io.export_sources import sources_of_labels
from circuit_io.geometry import ORIENTS
from circuit_io.lef import read_lef
from flow_hooks.openroad.access_points import library_access_points
from flow_hooks.openroad.binary import ACCESS_POINTS, probe_openroad
from flow_hooks.openroad.library_design import X_PLACES, Y_PLACES, library_design
from gsr_plugin.cli import main

RECORDED = HERE / "recorded" / "access_points_gsr45.csv"  # of rv32_core v0, by OpenROAD 5c9e487
PLACES = X_PLACES * Y_PLACES
TECH = """VERSION 5.8 ;
UNITS DATABASE MICRONS 1000 ; END UNITS
LAYER m1 TYPE ROUTING ; DIRECTION HORIZONTAL ; PITCH 0.2 ; WIDTH 0.1 ; END m1
LAYER m2 TYPE ROUTING ; DIRECTION VERTICAL ; PITCH 0.2 ; WIDTH 0.1 ; END m2
SITE core CLASS CORE ; SIZE 0.3 BY 1.0 ; END core
SITE wide CLASS CORE ; SIZE 0.3 BY 1.5 ; END wide
"""


def macro(
    name: str, size: str, *, kind: str = "CORE", site: str = "SITE core ;", shape: str = "RECT 0.1 0.1 0.2 0.2 ;"
) -> str:
    port = f"PORT LAYER m1 ; {shape} END" if shape else ""
    return (
        f"MACRO {name} CLASS {kind} ; SIZE {size} ; {site}\n PIN A DIRECTION INPUT ; {port} END A\n"
        f" PIN VDD USE POWER ; PORT LAYER m1 ; RECT 0 0.9 0.3 1.0 ; END END VDD\nEND {name}\n"
    )


def library(folder: Path, *macros: str, tech: str = TECH) -> list[Path]:
    (folder / "tech.lef").write_text(tech)
    (folder / "cells.lef").write_text("".join(macros) + "END LIBRARY\n")
    return [folder / "tech.lef", folder / "cells.lef"]


def lef_of(kit: Path) -> list[Path]:
    return [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]


def pretended_openroad(folder: Path, *, without: tuple[str, ...] = ()) -> Path:
    """An openroad of tclsh and stand-ins that says where pins are reached."""
    binary = fake_openroad(folder, without=without)
    answers = binary.read_text().replace("#!/bin/sh\n", "")
    binary.write_text(
        '#!/bin/sh\nif [ -n "$GSR_ACCESS_JOB" ]; then\n  for last; do :; done\n'
        f'  echo "source {{{HERE / "tcl" / "openroad_access.tcl"}}}; source {{$last}}" > all.tcl\n'
        f'  [ -n "$ACCESS_CALLS" ] && echo "stub::dump {{$ACCESS_CALLS}}" >> all.tcl\n'
        f'  echo run >> "{folder}/runs"\n'
        f"  exec {find_tclsh()} all.tcl\nfi\n{answers}"
    )
    return binary


def run(kit: Path, openroad: Path, out: Path, *more: str) -> Result:
    lef = [str(path) for path in lef_of(kit)]
    words = ["access-points", "--lef", *lef, "--openroad", str(openroad), "--signal-layers", "M2-M5", "--out", str(out)]
    return CliRunner().invoke(main, [*words, *more])


def test_the_design_has_every_master_in_every_orientation_legally(kit: Path, tmp_path: Path) -> None:
    made = library_design(read_lef(*lef_of(kit)), path="lef")
    path = tmp_path / "library.def"
    path.write_text(made.text)
    design = read_design(lef_of(kit), path)
    names = [design.masters.names[m] for m in design.inst_master.tolist()]
    orients = [ORIENTS[o] for o in design.inst_orient.tolist()]
    assert Counter(zip(names, orients, strict=True)) == {
        (name, orient): PLACES for name in made.pins for orient in ("N", "S", "FN", "FS")
    }
    assert made.num_insts == len(names) == 43 * 4 * PLACES
    assert not made.skipped

    rect, site, height = design.inst_rect_dbu, 400, 3200
    rows = {(int(y), orient) for y, orient in zip(rect[:, 1], orients, strict=True)}
    text = read_def(path)
    of_row = dict(zip(text.row_xy_dbu[:, 1].tolist(), text.row_orient.tolist(), strict=True))
    assert len(of_row) == len(text.row_orient), "a row a height"
    for y, orient in rows:
        assert orient in (("N", "FN") if ORIENTS[of_row[y]] == "N" else ("FS", "S"))
    starts = dict(zip(text.row_xy_dbu[:, 1].tolist(), text.row_xy_dbu[:, 0].tolist(), strict=True))
    for low, y, high, _ in rect.tolist():
        assert starts[y] <= low < high <= starts[y] + int(text.row_count[0, 0]) * site, "no inst leaves its row"
    ys = sorted(of_row)
    for low, high in pairwise(ys):
        assert high - low > height or of_row[low] != of_row[high], "rows that meet share their rail"
    order = np.lexsort((rect[:, 0], rect[:, 1]))
    ahead, behind = rect[order][1:], rect[order][:-1]
    assert ((ahead[:, 0] > behind[:, 2]) | (ahead[:, 1] > behind[:, 1])).all()
    assert (rect >= 0).all()
    assert (rect[:, 2:] <= design.die_dbu[2:]).all()
    assert not (rect[:, 0] % site).any()
    assert not (rect[:, 1] % height).any()
    for name in list(made.pins)[::9]:
        for orient in ("N", "S", "FN", "FS"):
            mine = rect[[n == name and o == orient for n, o in zip(names, orients, strict=True)]]
            offsets = {(int(x // site % X_PLACES), int(y // height % Y_PLACES)) for x, y in mine[:, :2]}
            assert len(offsets) == PLACES, "each copy stands at another offset to the tracks"
    assert len(design.net_names) == len(design.pin_net) == sum(map(len, made.pins.values())) * 4 * PLACES


def test_the_table_of_a_library_before_any_design(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("GSR_LEFS", "none.lef")  # of a flow around it
    (tmp_path / "tracks.tcl").write_text("make_tracks -x_offset 0.1\n")
    openroad, out = pretended_openroad(tmp_path), tmp_path / "points.csv"
    more = (
        "--tracks",
        str(tmp_path / "tracks.tcl"),
        "--threads",
        "3",
        "--pin-access-args",
        "-via_in_pin_bottom_layer M1",
    )
    done = run(kit, openroad, out, *more)
    assert done.exit_code == 0, done.output
    assert done.output == f"{out}: 536 pins of 43 masters in 4 orientations; 0 depend on the place\n"
    calls = [line.split("\t") for line in (tmp_path / "calls").read_text().splitlines()]
    assert [call[0] for call in calls] == [
        *["read_lef", "read_lef", "read_def", "make_tracks", "set_routing_layers", "set_thread_count", "pin_access"]
    ]
    assert calls[3:] == [
        ["make_tracks", "-x_offset", "0.1"], ["set_routing_layers", "-signal", "M2-M5"], ["set_thread_count", "3"],
        ["pin_access", "-via_in_pin_bottom_layer", "M1"],
    ]  # fmt: skip
    points = read_access_points(out)
    assert set(points.points) > set(read_access_points(RECORDED).points)
    labels = sources_of_labels(kit / "labels" / "gsr45" / "crc_bank" / "v0", lef=lef_of(kit))
    _, said = with_access_points(read_design(lef_of(kit), labels.def_), points)
    assert said == {"access_points": {"pins_frac": 1.0}}
    assert "exists already" in run(kit, openroad, out).output
    done = run(kit, openroad, out / "in_a_file.csv")
    assert (done.exit_code, "cannot be written: " in done.output) == (2, True), "before openroad runs"
    refuse_existing([tmp_path / "not" / "there" / "points.csv"])
    assert not (tmp_path / "not").exists(), "a check makes no folder"
    done = run(kit, openroad, tmp_path / "another.csv", "--pin-access-args", "-a 'b")
    assert "gsr: --pin-access-args: -a 'b: No closing quotation" in done.output
    assert (tmp_path / "runs").read_text() == "run\n"
    assert run(kit, openroad, out, "--overwrite").exit_code == 0


def test_masters_without_access_points_are_named(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_NONE", "G45_INV_X1 G45_DFF_X1")
    monkeypatch.setenv("ACCESS_OPEN", "G45_AND2_X1/B")
    monkeypatch.setenv("ACCESS_MOVES", "G45_BUF_X1")
    openroad, out = pretended_openroad(tmp_path), tmp_path / "points.csv"
    done = run(kit, openroad, out, "--json", str(tmp_path / "said.json"))
    assert done.exit_code == 0, done.output
    said = json.loads((tmp_path / "said.json").read_text())
    assert set(said["without"]) == {"G45_INV_X1", "G45_DFF_X1", "G45_AND2_X1"}
    assert said["without"]["G45_AND2_X1"] == "no access point for B (N), B (FN), B (FS), B (S)"
    assert said["without"]["G45_INV_X1"] in ("no access point for A", "no access point for Y")
    assert (tmp_path / "runs").read_text() == "run\nrun\n", "all are told at once, so that one more will do"
    assert "without access points: G45_DFF_X1: no access point for" in done.output
    assert said["num_differing"] == 8, "both pins in four orientations"
    assert done.output.endswith("; 8 depend on the place\n")
    monkeypatch.setenv("ACCESS_NONE", " ".join(library_design(read_lef(*lef_of(kit)), path="lef").pins))
    done = run(kit, openroad, tmp_path / "none.csv")
    assert done.exit_code == 2
    assert "pin_access finds no access point for any macro\n  Give tracks and layers" in done.output
    points = read_access_points(out).points
    assert {m for m, _, _ in points} == set(library_design(read_lef(*lef_of(kit)), path="lef").pins) - {
        "G45_INV_X1", "G45_DFF_X1",
    }  # fmt: skip
    assert points[("G45_BUF_X1", "FS", "A")] == (0.05, 0.6, "M1"), "where most of its insts have it"


def test_an_openroad_that_cannot_or_fails(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "points.csv"
    done = run(kit, pretended_openroad(tmp_path, without=("pin_access",)), out)
    assert done.exit_code == 2
    assert "openroad: has no pin_access\n  Name an openroad that was built with the detailed router." in done.output
    (tmp_path / "tracks.tcl").write_text('puts {[ERROR GRT-0232] no tracks at all}\nerror "GRT-0232"\n')
    done = run(kit, pretended_openroad(tmp_path), out, "--tracks", str(tmp_path / "tracks.tcl"))
    assert done.exit_code == 3
    assert f"[ERROR GRT-0232] no tracks at all\n  All it said: {out}.log" in done.output
    assert "no tracks at all" in (tmp_path / "points.csv.log").read_text()
    (tmp_path / "tracks.tcl").write_text("make_tracks\nexit\n")
    done = run(kit, pretended_openroad(tmp_path), out, "--tracks", str(tmp_path / "tracks.tcl"))
    assert done.exit_code == 3
    assert "ended before the script did" in done.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("macros", "options", "why"),
    [
        ([], {}, "cells.lef: no CORE macro with signal pins"),
        ([macro("RAM", "9 BY 9", kind="BLOCK")], {}, "no CORE macro with signal pins"),
        ([macro("INV", "0.6 BY 1.0", site="")], {}, "2 CORE sites, and none that the macros name"),
        ([macro("INV", "0.6 BY 1.0")], {"site": "cores"}, 'no site "cores"'),
        ([macro("INV", "0.6 BY 1.0")], {"site": "wide"}, "no macro has the height of site wide"),
    ],
)
def test_what_is_no_library_is_refused(macros: list[str], options: dict[str, Any], why: str, tmp_path: Path) -> None:
    lef = library(tmp_path, *macros)
    with pytest.raises(InputError, match=why):
        library_access_points(lef, tmp_path / "out", openroad=tmp_path / "no", signal_layers=("m1", "m2"), **options)
    flat = library(tmp_path, macro("INV", "0.6 BY 1.0"), tech=TECH.replace("0.3 BY 1.0", "0 BY 0"))
    with pytest.raises(InputError, match='site "core" has no width or height'):
        library_design(read_lef(*flat), path="cells.lef")
    without_units = library(
        tmp_path, macro("INV", "0.6 BY 1.0"), tech=TECH.replace("UNITS DATABASE MICRONS 1000 ; END UNITS\n", "")
    )
    with pytest.raises(InputError, match="no UNITS DATABASE MICRONS"):
        library_design(read_lef(*without_units), path="cells.lef")


def test_masters_of_two_rows_of_other_sites_and_without_shapes(tmp_path: Path) -> None:
    lef = library(
        tmp_path, macro("INV", "0.6 BY 1.0"), macro("DUAL", "0.7 BY 2.0"),
        macro("TIE", "0.3 BY 1.0", kind="CORE TIEHIGH"),
        macro("OTHER", "0.6 BY 1.5", site="SITE wide ;"), macro("BARE", "0.6 BY 1.0", shape=""),
        macro("END", "0.3 BY 1.0", kind="ENDCAP PRE"),
    )  # fmt: skip
    made = library_design(read_lef(*lef), path="lef")
    assert set(made.pins) == {"INV", "DUAL", "TIE"}
    assert made.skipped == {"OTHER": "its height is not of site core", "BARE": "a pin has no shape"}
    (tmp_path / "library.def").write_text(made.text)
    rect = read_design(lef, tmp_path / "library.def").inst_rect_dbu
    assert len(rect) == 3 * 4 * PLACES
    for one in rect:
        apart = (rect[:, 0] >= one[2]) | (rect[:, 2] <= one[0]) | (rect[:, 1] >= one[3]) | (rect[:, 3] <= one[1])
        assert (~apart).sum() == 1, "nothing overlaps"


@pytest.mark.openroad
def test_a_real_pin_access_of_the_kit(kit: Path, tmp_path: Path) -> None:
    """The table holds, to the digit, all that a routed design of the library says."""
    openroad = os.environ.get("GSR_OPENROAD") or pytest.skip("GSR_OPENROAD is not set")
    if not probe_openroad(Path(openroad)).has[ACCESS_POINTS]:
        pytest.skip(f"{openroad} has no pin_access")
    done = run(kit, Path(openroad), tmp_path / "points.csv")
    assert done.exit_code == 0, done.output
    assert "536 pins of 43 masters in 4 orientations; 0 depend on the place" in done.output
    points = read_access_points(tmp_path / "points.csv").points
    for key, point in read_access_points(RECORDED).points.items():
        assert points[key] == point
