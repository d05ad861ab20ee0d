"""The DRC report of a detailed route: read, counted by gcell, exported with labels, shown beside the prediction."""

import gzip
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import make_export, make_prediction

from circuit_io.drc import (
    DrcCounts,
    Violations,
    count_violations,
    gcell_heat,
    read_drc,
    read_stored_drc,
    violation_recall,
)
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.hotspots import find_hotspots
from circuit_io.store import open_design
from gsr_plugin.report import build_report

# In the forms of OpenROAD's dbMarker::writeTR, of its router before markers, and of its global router.
REPORT = """violation type: Metal Spacing
\tsrcs: net:_126_ net:bus[3]
\tbbox = (1.5000, 2.5000) - (1.7000, 2.6000) on Layer metal1
violation type: Short
\tsrcs: net:a\\[0\\] inst:u_1/u_2 iterm:u_1/A obstruction:
\tcomment: on a macro
\tbbox = (-0.1000, 0.0000) - (0.3000, 5.0000) on Layer metal2
  violation type: Short
    srcs: net1 net2
    bbox = (9.0000, 9.0000) - (9.0000, 9.0000) on Layer -
"""
X = Y = np.array([0.0, 3.0, 6.0, 10.0])


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def test_all_forms_are_read(tmp_path: Path) -> None:
    found = read_drc(written(tmp_path / "a.rpt", REPORT))
    assert found.kinds == ("Metal Spacing", "Short")
    assert found.layers == ("metal1", "metal2", "-")
    assert found.kind.tolist() == [0, 1, 1]
    assert found.box_um.tolist() == [[1.5, 2.5, 1.7, 2.6], [-0.1, 0, 0.3, 5], [9, 9, 9, 9]]
    assert found.sources[1] == ("net:a\\[0\\]", "inst:u_1/u_2", "iterm:u_1/A", "obstruction:")
    assert found.sources[2] == ("net1", "net2")
    counts = count_violations(found, x_um=X, y_um=Y, path="a.rpt")
    rows = list(zip(counts.iy.tolist(), counts.ix.tolist(), counts.kind, counts.layer, strict=True))
    assert rows == [(0, 0, "Metal Spacing", "metal1"), (0, 0, "Short", "metal2"), (2, 2, "Short", "-")]
    assert counts.total(ny=3, nx=3).tolist() == [[2, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert counts.by_kind() == {"Short": 2, "Metal Spacing": 1}
    assert read_drc(written(tmp_path / "none.rpt", "")).kinds == (), "a clean route leaves an empty report"


WORD = st.text(st.characters(exclude_categories=("Z", "C"), exclude_characters="\x85"), min_size=1, max_size=8)
PLACE = st.integers(-99999, 99999).map(lambda n: n / 10000)


@st.composite
def violations(draw: st.DrawFn) -> list[tuple[str, list[str], tuple[float, ...], str]]:
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        x, y = (sorted(draw(st.lists(PLACE, min_size=2, max_size=2))) for _ in "xy")
        kind = " ".join(draw(st.lists(WORD, min_size=1, max_size=3)))
        rows.append((kind, draw(st.lists(WORD, max_size=3)), (x[0], y[0], x[1], y[1]), draw(WORD)))
    return rows


def text_of(rows: list[tuple[str, list[str], tuple[float, ...], str]]) -> str:
    return "".join(
        f"violation type: {kind}\n\tsrcs:{''.join(f' net:{n}' for n in names)}\n"
        f"\tbbox = ({a:.4f}, {b:.4f}) - ({c:.4f}, {d:.4f}) on Layer {layer}\n"
        for kind, names, (a, b, c, d), layer in rows
    )


@given(rows=violations())
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    found = read_drc(written(tmp_path_factory.getbasetemp() / "w.rpt", text_of(rows)))
    got = [
        (found.kinds[k], [s.removeprefix("net:") for s in names], tuple(box), found.layers[layer])
        for k, names, box, layer in zip(found.kind, found.sources, found.box_um.tolist(), found.layer, strict=True)
    ]
    assert got == [(kind, names, box, layer) for kind, names, box, layer in rows]
    counts = count_violations(found, x_um=np.array([-10.0, 0, 10]), y_um=np.array([-10.0, 10]), path="w.rpt")
    assert counts.count.sum() == len(rows)


@given(data=st.data(), rows=violations())
def test_a_spoilt_report_is_one_error_or_is_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, rows: list
) -> None:
    text = list(text_of(rows) or REPORT)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 9))] = data.draw(st.text(max_size=4))
        if not text:
            break
    path = written(tmp_path_factory.getbasetemp() / "s.rpt", "".join(text))
    try:
        found = read_drc(path)
    except InputError as e:
        if str(path) not in str(e):
            raise
        return
    assert np.isfinite(found.box_um).all()
    assert (found.box_um[:, :2] <= found.box_um[:, 2:]).all()
    assert len(found.kind) == len(found.layer) == len(found.sources) == len(found.box_um)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("violation type: Short\n\tsrcs: a\n", "ends within violation"),
        ("violation type: \n", "a violation has no type"),
        (REPORT.replace(REPORT.splitlines()[2] + "\n", ""), 'a.rpt:2: violation "Metal Spacing" has no bbox'),
        (REPORT.replace("1.5000, 2.5", "1.8000, 2.5"), "a.rpt:3: bbox = (1.8000, 2.5000) - (1.7000, 2.6000)"),
        (REPORT.replace("metal1", ""), 'a.rpt:3: "bbox = (1.5000'),
        (REPORT.replace("(1.5000", "(nan"), "expected srcs: or bbox"),
        ("_000_\n(\n0 0 1 1 met1\n)\n", 'a.rpt:1: "_000_": expected violation type:'),
    ],
)  # fmt: skip
def test_faults_name_their_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_drc(written(tmp_path / "a.rpt", text))
    assert said in str(caught.value)


def test_a_report_of_another_die_is_refused(tmp_path: Path) -> None:
    found = read_drc(written(tmp_path / "a.rpt", REPORT))
    with pytest.raises(InputError, match="violation 3, at 9, 9, 9, 9, lies outside the die"):
        count_violations(found, x_um=np.array([0.0, 3]), y_um=np.array([0.0, 12]), path="a.rpt")


def test_labels_with_a_report_are_exported(kit: Path, tmp_path: Path) -> None:
    folder, lef = tmp_path / "labels", [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]
    shutil.copytree(kit / "labels" / "gsr45" / "crc_bank" / "v0", folder)
    with gzip.open(folder / "route_drc.rpt.gz", "wt") as f:
        f.write(REPORT)
    export_design(sources_of_labels(folder, lef=lef), tmp_path / "design")
    design = open_design(tmp_path / "design")
    assert design.manifest["drc_violations"] == {"Short": 2, "Metal Spacing": 1}
    counts = read_stored_drc(design)
    assert counts is not None
    assert counts.count.sum() == 3
    pq.write_table(counts.table().set_column(0, "ix", pa.array([9999] * 3)), tmp_path / "design" / "drc.parquet")
    with pytest.raises(InputError, match="lies outside the design"):
        read_stored_drc(design)
    (folder / "route_drc.rpt.gz").write_bytes(gzip.compress(REPORT.replace("9.0000", "9999.0").encode()))
    with pytest.raises(InputError, match="lies outside the die"):
        export_design(sources_of_labels(folder, lef=lef), tmp_path / "other")


def test_recall_by_hand() -> None:
    heat, violations = np.array([[4.0, 3, 3], [1, np.nan, 3]]), np.array([[2, 1, 0], [0, 4, 3]])
    assert violation_recall(violations, heat, 1 / 6) == pytest.approx(2 / 10)
    assert violation_recall(violations, heat, 2 / 6) == pytest.approx((2 + 4 / 3) / 10), "three tie for one place"
    assert violation_recall(violations, heat, 5 / 6) == pytest.approx(6 / 10)
    assert violation_recall(violations, heat, 1.0) == pytest.approx(1.0)


def test_the_report_shows_violations(tmp_path: Path) -> None:
    prediction = make_prediction(make_export(tmp_path / "design"))
    ny, nx = prediction.shape
    h, v = (prediction.maps[f"congestion_{d}"] for d in "hv")
    heat = gcell_heat(h, v)
    assert heat[2, 3] == np.nanmax([h[2, 3], h[2, 2], v[2, 3], v[1, 3]])
    iy, ix = np.unravel_index(np.argsort(heat.ravel())[-2:], (ny, nx))
    counts = DrcCounts(ix, iy, ("Short", "Short"), ("M2", "M3"), np.array([3, 4]))
    made = build_report(prediction, drc=counts)
    text = made.markdown("figures")
    assert "The detailed route has 7 DRC violations in 2 gcells: Short 7." in text
    (row,) = re.findall(r"(?m)^\| 1 % \| (.+) % \| (.+) % \| (.+) % \|$", text)
    assert row[1] == "100"
    assert "violations there, predicted violations" in text
    assert '"drc":{' in made.html()
    clean = DrcCounts(*(np.zeros(0, np.int64),) * 2, (), (), np.zeros(0, np.int64))
    assert "has no DRC violations" in build_report(prediction, drc=clean).markdown("figures")
    assert len(find_hotspots(prediction)) > 0


def test_columns_of_an_empty_report_have_their_shapes(tmp_path: Path) -> None:
    found = read_drc(written(tmp_path / "a.rpt", "\n"))
    assert isinstance(found, Violations)
    assert found.box_um.shape == (0, 4)
    assert len(count_violations(found, x_um=X, y_um=Y, path="a").table()) == 0
