"""The label files of a routed design."""

import csv
import json
from pathlib import Path

import pytest
from tcl_session import Session, run_tcl


def labels(tmp_path: Path, options: str = "", **kwargs: object) -> Session:
    script = f"puts result=[gsr_export_labels -out_dir labels {options}]"
    return run_tcl(tmp_path, script, **kwargs)  # type: ignore[arg-type]


def test_grid_and_usage_in_the_form_of_the_labelled_designs(tmp_path: Path) -> None:
    run = labels(tmp_path)
    assert run.code == 0, run.out
    assert run.changes == []
    folder = tmp_path / "labels"
    assert (folder / "gcell_grid.csv").read_text() == ("axis,index,coord_dbu\nx,0,0\nx,1,50000\ny,0,0\ny,1,40000\n")
    rows = list(csv.reader((folder / "gcell_usage.csv").read_text().splitlines()))
    assert rows[0] == ["layer", "direction", "ix", "iy", "capacity", "usage"]
    # signal layers only, and x runs fastest
    assert [r[0] for r in rows[1::4]] == ["metal2", "metal3", "metal4"]
    assert rows[1:5] == [
        ["metal2", "VERTICAL", "0", "0", "12.0", "0.0"],
        ["metal2", "VERTICAL", "1", "0", "12.0", "1.0"],
        ["metal2", "VERTICAL", "0", "1", "12.0", "2.0"],
        ["metal2", "VERTICAL", "1", "1", "12.0", "3.0"],
    ]
    done = json.loads((folder / "done.json").read_text())
    assert done["schema"] == "gsr-labels"
    assert done["design"] == "top"
    assert done["signal_layers"] == ["metal2", "metal4"]
    assert done["layer_adjustment"]["metal4"] == 0.5
    assert done["openroad"] == "26Q3-stub"
    assert done["labels"]["grt"] == "written"
    assert "left out" in done["reduction"]


def test_guides_come_with_the_grid_where_openroad_writes_them(tmp_path: Path) -> None:
    guides = tmp_path / "labels" / "route.guide"
    assert labels(tmp_path).code == 0
    assert guides.read_text().split() == ["n1", "(", "0", "0", "100000", "40000", "metal3", ")"]
    run = labels(tmp_path, before="rename write_guides {}")
    assert run.code == 0
    assert not guides.exists(), "none of an earlier route"
    assert json.loads((tmp_path / "labels" / "done.json").read_text())["labels"]["grt"] == "written"


def test_wire_lengths_with_the_messages_suppressed(tmp_path: Path) -> None:
    run = labels(tmp_path, "-wire_length")
    names = [c[:3] for c in run.calls]
    # of a global route, of a detailed one, and of nets without a route
    quiet = ["237", "240", "241"]
    assert names[:3] == [["suppress_message", "GRT", id_] for id_ in quiet]
    assert names[3][0] == "report_wire_length"
    assert names[4:] == [["unsuppress_message", "GRT", id_] for id_ in quiet]
    assert "grt: n1 5.7 2" in (tmp_path / "labels" / "wire_length.csv").read_text()
    assert not (tmp_path / "labels" / "gcell_grid.csv").exists()
    assert not (tmp_path / "labels" / "placed.def").exists()


def test_messages_come_back_when_the_report_fails(tmp_path: Path) -> None:
    run = labels(tmp_path, "-wire_length", before="proc report_wire_length { args } { error GRT-0238 }")
    assert run.code == 0
    assert [c[0] for c in run.calls].count("unsuppress_message") == 3
    assert json.loads((tmp_path / "labels" / "done.json").read_text())["labels"] == {"wire_length": "skipped(GRT-0238)"}


def test_endpoints_one_row_each_in_ns(tmp_path: Path) -> None:
    labels(tmp_path, "-timing", before="proc sta::time_ui_sta { x } { return [expr { $x * 1e-12 }] }")
    rows = list(csv.reader((tmp_path / "labels" / "endpoints_grt.csv").read_text().splitlines()))
    # a library in ps; unconstrained endpoints have no slack
    assert rows == [["pin", "slack_ns", "clock"], ["out,[15]", "-0.000082", "core_clk"]]


def test_reports_are_copied(tmp_path: Path) -> None:
    (tmp_path / "congestion.rpt").write_text("violation type: Horizontal congestion\n")
    labels(tmp_path, "-drc", env={"REPORTS_DIR": str(tmp_path)})
    assert (tmp_path / "labels" / "congestion.rpt").exists()


def test_without_a_route_nothing_but_the_reason(tmp_path: Path) -> None:
    run = labels(tmp_path, "-grt", before='set stub::grid ""')
    assert run.code == 0
    done = json.loads((tmp_path / "labels" / "done.json").read_text())
    assert "run global_route first" in done["labels"]["grt"]


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        ("", "grt wire_length drc"),
        ("0", ""),
        ("none", ""),
        ("all", "grt wire_length timing drc"),
        ("1", "grt wire_length timing drc"),
        ("timing, grt", "timing grt"),
        ("nonsense grt", "grt"),
        ("[exit 3]", ""),
    ],
)
def test_which_labels_are_asked_for(tmp_path: Path, value: str, kinds: str) -> None:
    run = run_tcl(tmp_path, "puts kinds=[gsr::label_kinds]", env={"GSR_LABELS": value})
    assert run.out.splitlines()[-1] == f"kinds={kinds}"
