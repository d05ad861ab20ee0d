"""The shipped model: what `gsr predict` and `gsr flow` write with it, from the shell and from real Tcl."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tcl_session import run_tcl

from bench import scale, tiles
from bench import whole as sizes
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.prediction import read_prediction
from circuit_io.store import StoredDesign, open_design
from circuit_io.text import read_bytes
from circuit_io.transform import SYMMETRIES, transform, transform_edges
from gsr_plugin.cli import main
from gsr_plugin.predict import MAPS_MADE, predict, predict_tiles, predict_views
from gsr_plugin.shipped import find_weights
from gsr_plugin.weights import Weights, load_weights


@pytest.fixture(scope="module")
def export(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small congested layout of the kit with labels."""
    lef = [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]
    sources = sources_of_labels(
        kit / "labels" / "gsr45" / "rv32_core" / "v1", lef=lef, lib=[kit / "tech" / "gsr45_typ.lib"]
    )
    out = tmp_path_factory.mktemp("predict") / "export"
    export_design(sources, out)
    return out


@pytest.fixture(scope="module")
def design(export: Path) -> StoredDesign:
    """The same, in memory."""
    return open_design(export)


@pytest.fixture(scope="module")
def shipped() -> Weights:
    """The shipped model."""
    return load_weights(find_weights(), device="cpu")


def test_the_shipped_model_is_small_deep_and_has_a_card(shipped: Weights) -> None:
    assert shipped.card.model.layers >= 8
    assert sum(p.stat().st_size for p in find_weights().iterdir()) < 5_000_000
    assert shipped.card.fold is None  # the refit on all data
    assert len(shipped.card.families) == 32
    card = (find_weights() / "README.md").read_text()
    assert shipped.card.data_sha256 in card
    assert shipped.sha256 in card


def _pearson(guess: np.ndarray, truth: np.ndarray) -> float:
    seen = np.isfinite(truth) & np.isfinite(guess)
    return float(np.corrcoef(guess[seen], truth[seen])[0, 1])


def test_a_prediction_on_an_unseen_technology_beats_rudy(export: Path, design: StoredDesign, tmp_path: Path) -> None:
    predict(export, tmp_path / "p", device="cpu")
    found = read_prediction(tmp_path / "p")
    assert design.labels is not None
    for d, truth in (("h", design.labels.congestion_h), ("v", design.labels.congestion_v)):
        ours, rudy = found.maps[f"congestion_{d}"], found.maps[f"rudy_{d}"]
        assert _pearson(ours, truth) > max(0.8, _pearson(rudy, truth) + 0.02)
        assert (found.maps[f"sigma_{d}"][np.isfinite(ours)] > 0).all()
        assert np.nanmax(found.maps[f"overflow_prob_{d}"]) <= 1
    assert len(found.inst_congestion) == design.graph.num_insts
    assert len(found.net_demand) == design.graph.num_nets
    assert found.net_demand.sum() > 0
    assert (tmp_path / "p" / "congestion_h.csv").read_text().startswith("x0,y0,x1,y1,value")


def test_the_same_design_gives_the_same_bytes(export: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        predict(export, tmp_path / name, device="cpu")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_with_all_views_a_turned_design_gets_the_turned_prediction(design: StoredDesign, shipped: Weights) -> None:
    straight = predict_views(design.graph, shipped, views=8)
    symmetry = SYMMETRIES[5]
    turned = predict_views(transform(design.graph, symmetry), shipped, views=8)
    want = transform_edges(straight.congestion_h, straight.congestion_v, symmetry)
    for got, expected in zip((turned.congestion_h, turned.congestion_v), want, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-3)  # top-k of nearly equal entries may differ
    with pytest.raises(InputError, match="from 1 to 8"):
        predict_views(design.graph, shipped, views=9)


def test_a_tile_over_everything_has_the_bits_of_the_whole_run(
    design: StoredDesign, export: Path, shipped: Weights, tmp_path: Path
) -> None:
    whole = predict_views(design.graph, shipped, views=2)
    for side, halo in ((max(design.graph.nx, design.graph.ny), 1), (20, 64)):
        tiled = predict_tiles(design.graph, shipped, side=side, halo=halo, views=2)
        for name in MAPS_MADE:
            assert getattr(tiled, name).tobytes() == getattr(whole, name).tobytes(), (side, name)
    for name, options in (("whole", {}), ("tile", {"tile_gcells": 64})):
        predict(export, tmp_path / name, device="cpu", **options)
    a, b = (read_prediction(tmp_path / name) for name in ("whole", "tile"))
    assert np.array_equal(a.inst_congestion, b.inst_congestion)
    assert np.array_equal(a.net_demand, b.net_demand)
    assert "tile_gcells" not in a.manifest["model"]
    assert b.manifest["model"]["tile_gcells"] == 64
    assert a.manifest["run_id"] != b.manifest["run_id"]


def test_tiles_come_nearer_to_the_whole_run_with_a_wider_halo(design: StoredDesign, shipped: Weights) -> None:
    whole = predict_views(design.graph, shipped)
    errors = []
    for halo in (1, 4, 16):
        tiled = predict_tiles(design.graph, shipped, side=20, halo=halo)
        apart = []
        for name in MAPS_MADE:
            got, want = getattr(tiled, name), getattr(whole, name)
            assert np.array_equal(np.isnan(got), np.isnan(want)), (halo, name)  # every edge is there, once
            apart.append(np.abs(got - want)[np.isfinite(want)])
        errors.append(float(np.sqrt(np.mean(np.concatenate(apart[:2]) ** 2))))
    assert errors[0] > errors[1] > errors[2]
    assert errors[0] < 0.05 * np.nanstd(whole.congestion_h)


def test_tiles_need_a_side_and_a_halo(design: StoredDesign, shipped: Weights, export: Path, tmp_path: Path) -> None:
    for options in ({"side": 0, "halo": 8}, {"side": 8, "halo": 0}, {"side": -1, "halo": 8}):
        with pytest.raises(InputError, match="Give a number from 1"):
            predict_tiles(design.graph, shipped, **options)
    with pytest.raises(InputError, match="--tile-gcells"):
        predict(export, tmp_path / "p", device="cpu", tile_gcells=-3)
    done = CliRunner().invoke(main, ["predict", str(export), "--out", str(tmp_path / "p"), "--halo", "0"])
    assert done.exit_code == 2
    done = CliRunner().invoke(main, ["predict", str(export), "--out", str(tmp_path / "p"), "--halo", "8"])
    assert (done.exit_code, "--halo: is for tiles" in done.output) == (2, True)
    assert not (tmp_path / "p").exists()


def test_the_benches_of_size_and_of_tiles_measure_what_they_say(
    export: Path, design: StoredDesign, shipped: Weights
) -> None:
    task = {"task": "step", "export": str(export), "layers": 2, "width": 16}
    found = scale.run_alone(sizes.__file__, task, **sizes.ENVIRONMENT)
    assert found["finite"] is True
    assert found["loss"] > 0
    assert set(found["stages"]) == {title for _, _, title in sizes.STAGES} - {"write prediction"}
    edges = predict_views(design.graph, shipped)
    assert tiles.difference(edges, edges) == {"rms_share": 0, "p99": 0, "largest": 0, "hot_differ": 0}
    other = replace(edges, congestion_h=edges.congestion_h + np.float32(0.25))
    assert tiles.difference(other, edges)["largest"] == pytest.approx(0.25)
    assert tiles.pearson(other, design.labels) == pytest.approx(tiles.pearson(edges, design.labels))


def test_an_existing_prediction_and_a_changed_export_are_refused(export: Path, kit: Path, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "mine").write_text("x")
    with pytest.raises(InputError, match="exists already"):
        predict(export, tmp_path / "p", device="cpu")
    with pytest.raises(InputError, match=r"no manifest\.json"):
        predict(kit, tmp_path / "q", device="cpu")
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def _hook(kit: Path, folder: Path, **more: object) -> Path:
    label = kit / "labels" / "gsr45" / "rv32_core" / "v1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "design.def").write_bytes(read_bytes(label / "placed.def.gz"))
    hook = {
        "schema": "gsr-hook", "schema_version": 1, "run_id": "run-1", "stage": "place", "step": "detail_place",
        "when": "post", "metrics_stage": "detailedplace", "metrics_file": "3_9_gsr_detail_place.json",
        "design": "rv32_core", "platform": "gsr45", "def": "design.def", "signal_layers": ["M2", "M4"],
        "lefs": [str(kit / "tech" / f"gsr45_{n}.lef") for n in ("tech", "cells")], "libs": [],
        "layer_adjustment": {f"M{i}": 0.2 for i in range(1, 9)},
    }  # fmt: skip
    (folder / "hook.json").write_text(json.dumps(hook | more))
    return folder / "hook.json"


@pytest.mark.parametrize("mode", ["observe", "advise", "apply", "gate"])
def test_flow_does_all_of_a_hook_in_one_call(kit: Path, tmp_path: Path, mode: str) -> None:
    out, logs = tmp_path / "out", tmp_path / "logs"
    logs.mkdir()
    words = ["flow", "--hook", _hook(kit, out), "--out", out, "--mode", mode, "--log-dir", logs, "--device", "cpu"]
    done = CliRunner().invoke(main, [*map(str, words), "--quiet"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert (out / "done").read_text() == "run-1"
    metrics = json.loads((logs / "3_9_gsr_detail_place.json").read_text())
    assert metrics["detailedplace__gsr__congestion_h__max"] > 0.5
    written = {p.name for p in out.iterdir()}
    assert {"markers.rpt", "markers.json", "hotspots.tsv", "metrics.tsv", "report.html", "nets.csv"} <= written
    assert {name in written for name in ("feedback.tsv", "feedback.json")} == {mode in ("advise", "apply")}
    if mode == "apply":
        words[words.index(mode)] = "observe"
        assert CliRunner().invoke(main, [*map(str, words), "--quiet"]).exit_code == 0
        assert not {"feedback.tsv", "feedback.json"} & {p.name for p in out.iterdir()}


def test_flow_with_a_bad_hook_leaves_no_done_file(kit: Path, tmp_path: Path) -> None:
    hook = _hook(kit, tmp_path / "out", lefs=["nowhere.lef"])
    (tmp_path / "out" / "done").write_text("run-1")
    done = CliRunner().invoke(main, ["flow", "--hook", str(hook), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "nowhere.lef" in done.output
    assert not (tmp_path / "out" / "done").exists()


def test_tcl_predicts_with_the_real_program_and_reports(kit: Path, tmp_path: Path) -> None:
    """gsr_predict from tclsh: stand-ins for OpenROAD, our own Python and the shipped model for the rest."""
    hook = json.loads(_hook(kit, tmp_path / "source").read_text())
    before = f"""
set ::stub::design rv32_core
set ::stub::dbu 2000
set ::stub::die {{ 0 0 233610 233610 }}
set ::stub::layers {{ {" ".join(f"M{i} {'HORIZONTAL' if i % 2 else 'VERTICAL'}" for i in range(1, 9))} }}
set ::stub::routing_range {{ 2 4 }}
foreach name [dict keys $::stub::layers] {{
  dict set ::stub::adjustments $name 0.2
  interp alias {{}} ::layer_$name {{}} ::stub::layer $name
}}
proc ::write_def {{ args }} {{ file copy -force {{{tmp_path / "source" / "design.def"}}} [lindex $args end] }}
"""
    env = {"GSR_PYTHON": sys.executable, "GSR_LEFS": " ".join(hook["lefs"]), "GSR_DEVICE": "cpu"}
    env |= {"GSR_MODE": "advise", "GSR_OUT_DIR": str(tmp_path / "out")}
    script = "set result [gsr_predict]\nputs [dict get $result status]\ngsr_report_prediction"
    run = run_tcl(tmp_path, script, before=before, env=env, timeout_s=240)
    assert run.code == 0, run.out
    assert "ok" in run.out.splitlines()
    assert (tmp_path / "out" / "feedback.tsv").is_file()
    assert "horizontal" in run.out
