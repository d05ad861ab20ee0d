"""What the weights keep of their training placements, and where a design lies outside of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from synthetic_graph import synthetic_graph, write_corpus, write_synthetic

from circuit_io.errors import InputError
from circuit_io.fields import GCELL_FEATURES, INST_FEATURES, column
from circuit_io.graph import CircuitGraph
from circuit_io.transform import SYMMETRIES, transform, without_liberty
from gsr_plugin.config import load_config
from gsr_plugin.dataset import KINDS, Loader, find_designs
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
    assert str(found[0]) == 'technology "other" (trained on made_up)'
    assert found[1].far == pytest.approx(2, rel=1e-3)
    assert f"{found[1].found:.3g} (trained on {low:.3g} to {high:.3g})" in str(found[1])


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
