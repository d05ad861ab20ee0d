"""What the weights keep of their training placements, and where a design lies outside of it."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from synthetic_graph import synthetic_graph, write_corpus, write_synthetic

from circuit_io.drift import drift_of, drift_text
from circuit_io.errors import InputError
from circuit_io.fields import GCELL_FEATURES, INST_FEATURES, column
from circuit_io.graph import CircuitGraph
from circuit_io.prediction import read_prediction
from circuit_io.store import write_design
from circuit_io.transform import SYMMETRIES, transform, without_liberty
from gsr_plugin.config import load_config
from gsr_plugin.dataset import Loader, find_designs
from gsr_plugin.normaliser import KINDS
from gsr_plugin.predict import predict
from gsr_plugin.report import build_report
from gsr_plugin.train import train
from gsr_plugin.training_range import QUANTILES, TrainingRange, measure, measures
from gsr_plugin.weights import WEIGHTS, load_weights

MANIFEST = {
    "technology": "made_up", "row_height_um": 2.0, "grid": {"tile_um": 5.0}, "die_um": [0, 0, 100, 50],
    "placement": {"power_grid_area_um2": 500.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> TrainingRange:
    return TrainingRange.of(find_designs([write_corpus(tmp_path_factory.mktemp("corpus"))]), Loader())


def with_column(graph: CircuitGraph, kind: str, name: str, value: float) -> CircuitGraph:
    values = getattr(graph, f"{kind}_features").copy()
    values[:, column(KINDS[kind], name)] = value
    return CircuitGraph(**{**vars(graph), f"{kind}_features": values})


def test_a_design_is_measured_by_what_its_manifest_and_features_say() -> None:
    graph = synthetic_graph(1, nx=7, ny=5)
    found = measure(graph, MANIFEST)
    assert set(found) == set(measures())
    assert found["design.gcell_um"] == (5.0,)
    assert found["design.gcell_rows"] == (2.5,)
    assert list(found["design.power_grid"]) == pytest.approx([0.1])
    insts = {name: graph.inst_features[:, column(INST_FEATURES, name)] for name in ("is_port", "pins", "is_macro")}
    assert list(found["inst.pins"]) == pytest.approx([insts["pins"][insts["is_port"] < 0.5].mean()])
    assert list(found["inst.is_port"]) == pytest.approx([insts["is_port"].mean()])
    seen = [graph.gcell_features[graph.gcell_features[:, column(GCELL_FEATURES, f"layers_{d}")] > 0] for d in "hv"]
    rudy = [part[:, column(GCELL_FEATURES, f"rudy_{d}")] for part, d in zip(seen, "hv", strict=True)]
    assert list(found["gcell.rudy"]) == pytest.approx([part.mean() for part in rudy])
    assert list(found["gcell.rudy.high"]) == pytest.approx([np.sort(part)[int(0.99 * len(part))] for part in rudy])
    bare = measure(graph, {})
    assert not {"design.gcell_um", "design.gcell_rows", "design.power_grid"} & set(bare)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_mirrors_and_turns_do_not_move_a_design(known: TrainingRange, symmetry: object) -> None:
    graph = with_column(synthetic_graph(1), "gcell", "blocked_v", 9.0)
    for flag in ("router_runs", "layers_h", "layers_v"):  # of a real design the same everywhere
        graph = with_column(graph, "gcell", flag, 0.75)
    turned = transform(graph, symmetry)  # type: ignore[arg-type]
    mine, theirs = measure(graph, MANIFEST), measure(turned, MANIFEST)
    assert set(mine) == set(theirs)
    for name in mine:
        assert sorted(mine[name]) == pytest.approx(sorted(theirs[name]), rel=1e-5), name
    found = known.drift(turned, MANIFEST)
    assert {d.name for d in found} == {"gcell.blocked", "gcell.blocked.high"}
    assert all(d.found == 9.0 for d in found)


def test_nothing_of_the_training_set_lies_outside(known: TrainingRange, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path)
    for entry in find_designs([corpus]):
        sample = Loader()(entry)
        assert known.drift(sample.graph, sample.manifest) == []
    assert all(len(row) == len(QUANTILES) and row == sorted(row) for row in known.quantiles.values())


def test_a_design_outside_is_told_by_feature_and_distance(known: TrainingRange) -> None:
    low, *_, high = known.quantiles["gcell.density"]
    inside = with_column(synthetic_graph(1), "gcell", "density", high + 0.2 * (high - low))
    assert known.drift(inside, MANIFEST) == []
    outside = with_column(synthetic_graph(1), "gcell", "density", low - 2 * (high - low))
    found = known.drift(outside, {**MANIFEST, "technology": "other"})
    assert [d.name for d in found] == ["technology", "gcell.density"]
    assert str(found[0]) == "technology other (trained on made_up)"
    assert found[1].far == pytest.approx(2, rel=1e-3)
    assert str(found[1]) == f"gcell.density {found[1].found:.3g} (trained on {low:.3g} to {high:.3g})"


def test_a_value_that_all_training_placements_share_has_a_width(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "a", 1, family="fa")
    known = TrainingRange.of(find_designs([tmp_path]), Loader())
    layers = known.quantiles["gcell.density"]
    assert len(set(layers)) == 1
    assert known.drift(with_column(synthetic_graph(1), "gcell", "density", layers[0] + 0.02), MANIFEST) == []
    assert known.drift(with_column(synthetic_graph(1), "gcell", "density", layers[0] + 0.03), MANIFEST) != []


def test_a_missing_liberty_is_no_drift(known: TrainingRange) -> None:
    assert known.drift(without_liberty(synthetic_graph(1)), MANIFEST) == []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    small = ["model.layers=2", "model.width=16", "model.k=4", "train.epochs=1"]
    train([write_corpus(folder / "corpus")], folder / "run", config=load_config(None, small, env={}), fold=0)
    return folder / "run"


def test_training_keeps_the_range_in_the_weights(run: Path) -> None:
    held_in = [e for e in find_designs([run.parent / "corpus"]) if e.family in ("fc", "fd")]
    assert load_weights(run).card.training_range == TrainingRange.of(held_in, Loader())
    assert json.loads((run / "model.json").read_text())["ranges"]


def with_card(run: Path, out: Path, change: dict[str, object], *, drop: str = "") -> Path:
    with safe_open(str(run / WEIGHTS), framework="pt") as f:
        card = json.loads(f.metadata()["gsr"])
    card = {k: v for k, v in (card | change).items() if k != drop}
    save_file(load_file(run / WEIGHTS), out / WEIGHTS, {"gsr": json.dumps(card)})
    return out


@pytest.mark.parametrize("bad", [{"gcell.rudy": [0, 1]}, {"gcell.rudy": [0, 1, 2, 3, "x"]}, [1], {"gcell.rudy": 3}])
def test_a_garbled_range_is_refused(run: Path, tmp_path: Path, bad: object) -> None:
    with pytest.raises(InputError, match='"ranges" is of the wrong kind'):
        load_weights(with_card(run, tmp_path, {"ranges": bad}))


def test_weights_without_a_range_tell_no_drift(run: Path, tmp_path: Path) -> None:
    old = load_weights(with_card(run, tmp_path, {}, drop="ranges")).card.training_range
    assert not old.is_known
    assert old.drift(synthetic_graph(1), {"technology": "other"}) == []


def placed(folder: Path, graph_seed: int, **words: object) -> Path:
    """An export that can be predicted: with the borders of its gcells and a name."""
    graph = synthetic_graph(graph_seed)
    for name in ("capacity_h", "capacity_v", "cell_area", "fixed_area"):
        mean = float(graph.gcell_features[:, column(GCELL_FEATURES, name)].mean())
        graph = with_column(graph, "gcell", name, mean)  # a prediction checks that they are not negative
    grid = {"nx": graph.nx, "ny": graph.ny, "tile_um": 5.0,
            "x_um": [5.0 * i for i in range(graph.nx + 1)], "y_um": [5.0 * i for i in range(graph.ny + 1)]}  # fmt: skip
    insts = pa.table({"name": [f"u{i}" for i in range(graph.num_insts)]})
    nets = pa.table({"name": [f"n{i}" for i in range(graph.num_nets)]})
    manifest = {"design": "one", "family": "one", "technology": "made_up", "grid": grid, **words}
    write_design(folder, manifest=manifest, insts=insts, nets=nets, graph=graph)
    return folder


def test_a_prediction_warns_once_and_tells_metrics_and_report(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    predict(placed(tmp_path / "in", 3), tmp_path / "p_in", weights=run, device="cpu")
    assert caplog.records == []
    predict(placed(tmp_path / "out", 3, technology="x|y"), tmp_path / "p_out", weights=run, device="cpu")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message == ("one lies outside of what the model was trained on: technology x|y (trained on made_up)")
    for name, count in (("in", 0), ("out", 1)):
        metrics = json.loads((tmp_path / f"p_{name}" / "metrics.json").read_text())
        assert metrics["detailedplace__gsr__drift__count"] == count
        assert metrics["detailedplace__gsr__drift__farthest"] == 0
        text = build_report(read_prediction(tmp_path / f"p_{name}")).markdown("figures")
        assert ("The design lies outside of what the model was trained on: technology x" in text) is bool(count)
        assert ("The design lies within what the model was trained on." in text) is not bool(count)


def test_old_weights_warn_of_nothing_and_the_report_says_so(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    export = placed(tmp_path / "design", 2, technology="other")
    manifest = predict(export, tmp_path / "p", weights=with_card(run, old, {}, drop="ranges"), device="cpu")
    assert caplog.records == []
    assert "drift" not in manifest
    assert not any("drift" in key for key in json.loads((tmp_path / "p" / "metrics.json").read_text()))
    text = build_report(read_prediction(tmp_path / "p")).markdown("figures")
    assert "do not tell what they were trained on" in text


@pytest.mark.parametrize(
    "bad", ["x", [1], [{"name": "a"}], [{"name": "a", "meaning": "b", "found": 1, "low": 0, "high": "x", "far": 1}]]
)
def test_a_garbled_drift_is_refused(bad: object) -> None:
    with pytest.raises(InputError, match=r"drift|is missing|wrong kind"):
        drift_of({"drift": bad})


def test_drift_comes_back_from_its_manifest(known: TrainingRange) -> None:
    graph = with_column(synthetic_graph(1), "gcell", "density", 9.0)
    found = known.drift(graph, {**MANIFEST, "technology": "other"})
    assert drift_of({"drift": json.loads(json.dumps([d.to_json() for d in found]))}) == found
    assert drift_of({}) is None
    assert drift_text([*found, *found, *found]).endswith(" and 2 more")
