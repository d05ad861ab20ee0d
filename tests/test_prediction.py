"""The prediction folder, its metrics, and the hot spots found in it."""

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage, stats
from synthetic import SyntheticDesign, make_export, make_labels, make_pair, make_prediction

from circuit_io.atomic import new_folder, write_files
from circuit_io.errors import InputError
from circuit_io.hotspots import (
    HotspotConfig,
    connected_groups,
    find_hotspots,
    hot_totals,
)
from circuit_io.maps import MAPS, Prediction
from circuit_io.metric_keys import METRIC_KEYS, stage_prefix
from circuit_io.prediction import prediction_manifest, read_prediction, write_prediction
from circuit_io.prediction_metrics import expected_excess, prediction_metrics

Pair = tuple[SyntheticDesign, Path]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path)


def flat(values_h: np.ndarray, values_v: np.ndarray | None = None, *, tracks: float = 10.0) -> Prediction:
    """A prediction on gcells of 2 x 3 um with the given congestion."""
    values_v = np.zeros_like(values_h) if values_v is None else values_v
    ny, nx = values_h.shape
    maps = {"congestion_h": values_h.copy(), "congestion_v": values_v.copy()}
    for d in "hv":
        maps[f"capacity_{d}"] = np.full((ny, nx), tracks)
        maps[f"rudy_{d}"] = maps[f"congestion_{d}"].copy()
    for key, values in maps.items():
        values[(slice(None), -1) if key.endswith("_h") else (-1, slice(None))] = np.nan
    return Prediction(
        manifest={"design": "flat", "stage": "place"},
        x_um=np.arange(nx + 1) * 2.0,
        y_um=np.arange(ny + 1) * 3.0,
        maps={key: values.astype(np.float32) for key, values in maps.items()},
    )


def test_write_then_read_is_identity(pair: Pair, tmp_path: Path) -> None:
    design, folder = pair
    first = read_prediction(folder)
    assert first.design == "synthetic"
    assert first.manifest["export"] == "../design"
    assert set(first.maps) == set(MAPS)
    again = tmp_path / "again"
    write_prediction(again, first, export=design.path)
    second = read_prediction(again)
    for key in first.maps:
        np.testing.assert_array_equal(first.maps[key], second.maps[key])
    np.testing.assert_array_equal(first.net_demand, second.net_demand)
    np.testing.assert_array_equal(first.inst_congestion, second.inst_congestion)
    for file in folder.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes(), f"{file.name}: same input, same bytes"


def test_the_folder_moves_with_its_export(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in ("design", "pred"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    assert read_prediction(tmp_path / "elsewhere" / "pred").design == "synthetic"


def test_what_is_predicted_by_which_weights_and_how_makes_the_run_id(tmp_path: Path) -> None:
    design = make_export(tmp_path / "d")
    ways = [{"weights_sha256": w, "views": v, **tiles} for w in "ab" for v in (1, 8)
            for tiles in ({}, {"tile_gcells": 64, "halo": 8}, {"tile_gcells": 64, "halo": 4})]  # fmt: skip
    ids = [prediction_manifest(design.path, model=way, versions={})["run_id"] for way in ways]
    assert len(set(ids)) == len(ways)
    again = [prediction_manifest(design.path, model=way | {"name": "x"}, versions={"a": "1"})["run_id"] for way in ways]
    assert again == ids
    named = prediction_manifest(design.path, model={}, versions={}, run_id="r 1", stage="cts")
    assert (named["run_id"], named["stage"]) == ("r 1", "cts")


def test_missing_export_is_an_error(pair: Pair, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "design")
    with pytest.raises(InputError, match=r'export folder "../design" it was made from is not there'):
        read_prediction(tmp_path / "pred")
    assert read_prediction(tmp_path / "pred", check_export=False).design == "synthetic"


@pytest.mark.parametrize("name", ["manifest.json", "nets.parquet"])
def test_changed_export_is_an_error(pair: Pair, tmp_path: Path, name: str) -> None:
    file = tmp_path / "design" / name
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(InputError, match="changed since"):
        read_prediction(tmp_path / "pred")


def edit_manifest(folder: Path, **values: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.update(values)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"schema": "other"}, "schema \"gsr-prediction\" expected, found 'other'"),
        ({"schema_version": 2}, "schema_version 2 is newer than 1, the newest known here\n  Update gsr-plugin."),
        ({"schema_version": True}, "is no version"),
        ({"schema_version": None}, "is no version"),
        ({"files": {"../design/nets.parquet": "0"}}, "is no plain file name"),
        ({"files": []}, 'lists no "files"'),
        ({"files": {"absent.csv": "0"}}, '"absent.csv" cannot be read: No such file'),
        ({"export": 3}, 'names no "export" folder'),
        ({"export_sha256": "0"}, "has changed since the prediction"),
    ],
)
def test_bad_manifest(pair: Pair, values: dict[str, object], text: str) -> None:
    edit_manifest(pair[1], **values)
    with pytest.raises(InputError) as e:
        read_prediction(pair[1])
    assert text in str(e.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_broken_manifest(pair: Pair, content: bytes) -> None:
    (pair[1] / "manifest.json").write_bytes(content)
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_prediction(pair[1])


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"x" * 100])
def test_broken_arrays(pair: Pair, content: bytes) -> None:
    from circuit_io.text import sha256

    folder = pair[1]
    (folder / "prediction.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="has changed since it was written"):
        read_prediction(folder)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    edit_manifest(folder, files={**files, "prediction.safetensors": sha256(content)})
    with pytest.raises(InputError, match=r"prediction\.safetensors: (is no safetensors file|has no array)"):
        read_prediction(folder)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no manifest.json\n  Name a folder written by gsr predict"):
        read_prediction(tmp_path / "none")


@pytest.mark.parametrize(
    ("key", "change", "text"),
    [
        ("congestion_h", lambda m: np.where(m > 0.6, np.inf, m), 'map "congestion_h" is not finite at gcell'),
        ("congestion_v", lambda m: m - 5, 'map "congestion_v" is negative at gcell [0, 0]'),
        ("cell_area_um2", lambda m: m * np.nan, 'map "cell_area_um2" is not finite at gcell [0, 0]'),
        ("rudy_h", lambda m: m[:-1], 'map "rudy_h" is float32[23, 30], expected float32[24, 30]'),
        ("congestion_h", None, 'map "congestion_h" is missing'),
        ("congestion", lambda m: m, 'unknown map "congestion"\n  Did you mean "congestion_'),
    ],
)
def test_bad_maps_are_not_written(
    tmp_path: Path, key: str, change: Callable[[np.ndarray], np.ndarray] | None, text: str
) -> None:
    design = make_export(tmp_path / "d")
    prediction = make_prediction(design)
    source = prediction.maps.get(key, prediction.maps["congestion_h"])
    if change is None:
        del prediction.maps[key]
    else:
        prediction.maps[key] = change(source).astype(np.float32)
    with pytest.raises(InputError) as e:
        write_prediction(tmp_path / "out", prediction, export=design.path)
    assert text in str(e.value)
    assert not (tmp_path / "out").exists()


def test_the_border_is_masked_on_writing(tmp_path: Path) -> None:
    design = make_export(tmp_path / "d")
    prediction = make_prediction(design)
    prediction.maps["congestion_h"][:, -1] = 7.0
    prediction.maps["rudy_v"][0, 0] = -1e-9
    write_prediction(tmp_path / "out", prediction, export=design.path)
    maps = read_prediction(tmp_path / "out").maps
    assert np.isnan(maps["congestion_h"][:, -1]).all()
    assert maps["rudy_v"][0, 0] == 0, "rounding below 0 is taken off"


def test_heatmap_csv_repeats_the_neighbour_at_the_border(pair: Pair) -> None:
    prediction = read_prediction(pair[1])
    for kind, at, neighbour in (("h", (5, 29), (5, 28)), ("v", (23, 7), (22, 7))):
        with (pair[1] / f"congestion_{kind}.csv").open() as f:
            head, *rows = csv.reader(f)
        assert head == ["x0", "y0", "x1", "y1", "value (congestion)"]
        assert len(rows) == 30 * 24
        values = {(int(float(r[1]) // 6), int(float(r[0]) // 6)): np.float32(r[4]) for r in rows}
        edges = prediction.maps[f"congestion_{kind}"]
        assert values[at] == values[neighbour] == edges[neighbour]
        assert all(values[tuple(k)] == edges[tuple(k)] for k in np.argwhere(np.isfinite(edges)))
        assert max(float(r[2]) for r in rows) == design_die(prediction)[2]
        assert rows[1][:2] == ["0.0", "6.0"], "columns come first, as in gui::dump_heatmap"


def design_die(prediction: Prediction) -> list[float]:
    return prediction.manifest["die_um"]


def test_masked_edges_have_no_row(tmp_path: Path) -> None:
    from circuit_io.maps import heatmap_csv

    values = np.full((3, 4), 0.5)
    values[1, 1] = np.nan
    assert heatmap_csv(flat(values), "congestion_h").count(b"\n") == 1 + 12 - 1


def test_per_gcell_is_the_mean_of_its_edges() -> None:
    values = np.array([[1.0, 3.0, np.nan, 9.0]])
    np.testing.assert_array_equal(flat(values).per_gcell("congestion_h"), [[1, 2, 3, 0]])
    np.testing.assert_array_equal(flat(values, np.ones((1, 4))).per_gcell("congestion_v"), [[0, 0, 0, 0]])
    np.testing.assert_array_equal(
        flat(np.zeros((3, 1)), np.array([[1.0], [3.0], [9.0]])).per_gcell("congestion_v"), [[1], [2], [3]]
    )


# ---- writing whole or not at all


def test_overwrite(pair: Pair, tmp_path: Path) -> None:
    design, folder = pair
    prediction = read_prediction(folder)
    with pytest.raises(InputError, match=r"pred: exists already\n  Pass --overwrite"):
        write_prediction(folder, prediction, export=design.path)
    changed = make_prediction(design, base=0.2)
    write_prediction(folder, changed, export=design.path, overwrite=True)
    np.testing.assert_array_equal(read_prediction(folder).maps["congestion_v"], changed.maps["congestion_v"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["design", "pred"]


def test_a_foreign_folder_is_never_replaced(pair: Pair, tmp_path: Path) -> None:
    design, folder = pair
    with pytest.raises(InputError, match='holds no "gsr-prediction", so it is not replaced'):
        write_prediction(design.path, read_prediction(folder), export=design.path, overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="exists and is not a folder"):
        write_prediction(tmp_path / "file", read_prediction(folder), export=design.path, overwrite=True)
    assert (design.path / "insts.parquet").is_file()


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_write_leaves_the_old_folder(tmp_path: Path, stop: BaseException) -> None:
    with new_folder(tmp_path / "out", schema="s") as folder:
        (folder / "manifest.json").write_text('{"schema": "s"}')

    def fail() -> None:
        with new_folder(tmp_path / "out", schema="s", overwrite=True) as folder:
            (folder / "half").write_text("x")
            raise stop

    with pytest.raises((KeyboardInterrupt, InputError), match=r"No space left|^$"):
        fail()
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "manifest.json"]


def test_files_are_written_together(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "sub" / "b"
    write_files({a: "1", b: b"2"})
    with pytest.raises(InputError, match="exists already"):
        write_files({tmp_path / "c": "3", b: "4"})
    assert not (tmp_path / "c").exists()
    write_files({b: "4"}, overwrite=True)
    assert b.read_text() == "4"
    with pytest.raises(InputError, match="is a folder"):
        write_files({tmp_path / "sub": "x"}, overwrite=True)
    with pytest.raises(InputError, match="cannot be written"):
        write_files({tmp_path / "d": "x", a / "under-a-file": "x"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "sub"]


# ---- metrics


def test_metrics_are_registered_and_finite(pair: Pair) -> None:
    metrics = json.loads((pair[1] / "metrics.json").read_text())
    assert "detailedplace__gsr__congestion_h__max" in metrics
    assert "detailedplace__gsr__overflow_h__expected" in metrics
    for key, value in metrics.items():
        assert METRIC_KEYS[key.partition("__")[2]].unit
        assert math.isfinite(value)
    prediction = read_prediction(pair[1])
    edges = prediction.maps["congestion_v"][:-1]
    assert metrics["detailedplace__gsr__congestion_v__mean"] == pytest.approx(edges.mean(), rel=1e-6)
    assert metrics["detailedplace__gsr__congestion_v__p95"] == pytest.approx(np.quantile(edges, 0.95), rel=1e-6)
    assert {key.better for key in METRIC_KEYS.values()} == {"higher", "lower", "neither"}


def test_metrics_of_a_single_gcell() -> None:
    metrics = prediction_metrics(flat(np.zeros((1, 1))))
    assert metrics == {
        "detailedplace__gsr__gcell__count": 1.0,
        "detailedplace__gsr__hotspot__area": 0.0,
        "detailedplace__gsr__hotspot__count": 0.0,
    }


def test_expected_overflow_without_uncertainty_is_overflow() -> None:
    values = np.array([[0.5, 1.5, 2.0, 0.0]])
    metrics = prediction_metrics(flat(values))
    assert metrics["detailedplace__gsr__overflow_h__expected"] == pytest.approx(15.0)
    assert metrics["detailedplace__gsr__overflow_h__edges"] == 2
    assert metrics["detailedplace__gsr__hotspot__peak"] == 2.0


def test_expected_excess_is_the_mean_over_a_normal() -> None:
    rng = np.random.default_rng(0)
    for mean, sigma in ((0.9, 0.2), (1.2, 0.1), (0.5, 0.01), (1.0, 0.0)):
        draws = np.maximum(rng.normal(mean, sigma, 200_000) - 1, 0).mean()
        assert expected_excess(np.array([mean]), np.array([sigma]))[0] == pytest.approx(draws, abs=1e-3)
    z = np.array([0.3])
    assert expected_excess(1 + z, np.ones(1))[0] == pytest.approx(stats.norm.pdf(0.3) + 0.3 * stats.norm.cdf(0.3))


def test_stage_words() -> None:
    assert [stage_prefix(s) for s in ("place", "GLOBAL_PLACE", "grt", "final")] == [
        "detailedplace",
        "globalplace",
        "globalroute",
        "finish",
    ]
    with pytest.raises(InputError, match=r'unknown stage "plce"\n  Did you mean "place"'):
        stage_prefix("plce")


# ---- hot spots


def test_two_separate_spots() -> None:
    values = np.full((9, 9), 0.3)
    values[1:3, 1:4] = [[1.2, 1.1, 1.0], [1.0, 1.0, 1.0]]
    values[6, 6] = 1.5
    first, second = find_hotspots(flat(values), HotspotConfig(max_frac=1.0))
    assert (first.rank, first.direction, first.edges, first.num_edges) == (1, "h", (1, 1, 3, 2), 6)
    assert first.box_um == (2.0, 3.0, 10.0, 9.0), "the box spans the gcells that the edges join"
    assert first.area_um2 == 8 * 6
    assert first.peak == pytest.approx(1.2)
    assert first.excess_tracks == pytest.approx(10 * (0.25 + 0.15 + 4 * 0.05), rel=1e-5)
    assert first.overflow_tracks == pytest.approx(10 * (0.2 + 0.1), rel=1e-5)
    assert (second.edges, second.peak_capacity, second.name) == ((6, 6, 6, 6), 10, "horizontal")
    assert second.is_hot


def test_a_cool_design_shows_its_worst_edges() -> None:
    values = np.linspace(0, 0.5, 400).reshape(20, 20)
    spots = find_hotspots(flat(values))
    assert spots
    assert not any(s.is_hot for s in spots)
    assert prediction_metrics(flat(values))["detailedplace__gsr__hotspot__count"] == 0
    assert find_hotspots(flat(np.zeros((5, 5)))) == []
    assert find_hotspots(flat(np.full((5, 5), 0.4), np.full((5, 5), 0.4))) == []


def test_a_full_design_shows_its_worst_tenth() -> None:
    rng = np.random.default_rng(1)
    values = rng.uniform(1, 2, (40, 40))
    assert sum(s.num_edges for s in find_hotspots(flat(values), HotspotConfig(max_spots=9999))) <= 40 * 39 * 0.1
    assert find_hotspots(flat(np.full((5, 5), 1.2)))[0].num_edges == 20, "equal edges are all hot"


@given(
    values=arrays(np.float32, (6, 7), elements=st.floats(0, 2, width=32)),
    more=arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=32)),
)
@settings(max_examples=50, deadline=None)
def test_more_congestion_never_betters_a_hotspot_metric(values: np.ndarray, more: np.ndarray) -> None:
    before, after = (prediction_metrics(flat(v, v)) for v in (values, values + more))
    for name in ("count", "area", "peak"):
        key = f"detailedplace__gsr__hotspot__{name}"
        assert before.get(key, 0.0) <= after.get(key, 0.0), name


def test_hot_totals_stay_at_the_threshold_and_count_a_gcell_once() -> None:
    full = flat(np.full((20, 20), 1.2))
    full.maps["congestion_h"][:, :2] = 1.5
    totals = hot_totals(full)
    assert (totals.num_edges, totals.area_um2, totals.peak) == (20 * 19, 20 * 20 * 6.0, 1.5)
    metrics = prediction_metrics(full)
    assert metrics["detailedplace__gsr__hotspot__count"] == 20 * 19
    values = np.zeros((4, 4))
    values[1, 1] = 1.0
    both = hot_totals(flat(values, values))
    assert (both.num_edges, both.area_um2) == (2, 3 * 6.0)


@given(hot=arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
@settings(max_examples=200, deadline=None)
def test_connected_groups_equal_scipy(hot: np.ndarray) -> None:
    ours, count = connected_groups(hot)
    theirs, expected = ndimage.label(hot)
    assert count == expected
    np.testing.assert_array_equal(ours + 1, theirs)


def test_a_snake_is_one_group() -> None:
    hot = np.zeros((61, 61), bool)
    hot[::4] = True
    hot[2::4] = True
    hot[1::4, -1] = hot[3::4, 0] = True
    assert connected_groups(hot)[1] == 1


def test_labels_of_the_fixture_differ_from_the_prediction(pair: Pair) -> None:
    prediction = read_prediction(pair[1])
    labels = make_labels(prediction)
    assert not np.array_equal(labels.congestion_h, prediction.maps["congestion_h"])
