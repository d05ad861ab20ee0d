"""The factor that makes sigma hold on families never seen."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from synthetic_graph import write_corpus

from circuit_io.errors import InputError
from gsr_plugin.calibration import Errors, calibrate, coverage, deviations, errors_of, fit, quantile
from gsr_plugin.cli import main
from gsr_plugin.config import load_config
from gsr_plugin.dataset import Loader, find_designs
from gsr_plugin.edge_weights import edge_weights
from gsr_plugin.model_card import ModelCard
from gsr_plugin.overflow_blend import Blend
from gsr_plugin.shipped import find_weights
from gsr_plugin.train import train
from gsr_plugin.weights import load_weights

SMALL = ["model.layers=2", "model.width=16", "model.k=4", "train.epochs=1"]


def _errors(family: str, ratio: np.ndarray, design: str = "d") -> Errors:
    return Errors(family, (family, "t", design), ratio)


def test_the_factor_is_that_of_the_spread() -> None:
    rng = np.random.default_rng(0)
    errors = [_errors(f, np.abs(rng.normal(0, 2.0, 20_000))) for f in "abcd"]
    found = fit(errors)
    assert found.sigma_scale == pytest.approx(2, rel=0.02)
    assert found.coverage == pytest.approx(0.9, abs=0.005)
    assert found.num_families == found.num_placements == 4


def test_families_designs_and_placements_count_alike() -> None:
    errors = [
        _errors("a", np.zeros(7), "x"),
        _errors("a", np.ones(2), "y"),
        _errors("a", np.ones(4), "y"),
        _errors("b", np.full(1000, 2.0)),
    ]
    weight = edge_weights(errors)
    assert weight.sum() == pytest.approx(2)
    assert weight[:7].sum() == pytest.approx(0.5)
    assert weight[7:9].sum() == weight[9:13].sum() == pytest.approx(0.25)
    assert [quantile(errors, level) for level in (0.2, 0.4, 0.6)] == [0, 1, 2]
    assert coverage(errors, 0.5) == {"a": pytest.approx(0.5), "b": 0}


def test_coverage_is_by_the_factor_of_the_other_families() -> None:
    found = fit([_errors("a", np.full(10, 1.0)), _errors("b", np.full(10, 2.0)), _errors("c", np.full(10, 3.0))])
    assert (found.least_coverage, found.most_coverage) == (0, 1)  # c's errors exceed all of the others'
    assert found.coverage == pytest.approx(2 / 3)
    assert found.sigma_scale == pytest.approx(3 / deviations())
    with pytest.raises(InputError, match="0 families"):
        fit([_errors("a", np.ones(9))])


def test_errors_are_of_unmasked_edges() -> None:
    truth = np.asarray([[1.0, np.nan], [2.0, 0.5]])
    got = errors_of([truth], [np.ones((2, 2))], [np.asarray([[1.0, 1.0], [0.5, 0.0]])])
    assert got == pytest.approx([0, 2, 0.5e6])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def runs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("runs")
    for name, fold, more in (("0", 0, []), ("1", 1, []), ("all", None, []), ("other", 1, ["model.width=24"])):
        train([corpus], home / name, config=load_config(None, [*SMALL, *more], env={}), fold=fold)
    return home


def test_a_refit_takes_the_factor_of_its_cross_validation(corpus: Path, runs: Path) -> None:
    entry = find_designs([corpus])[0]
    graph = Loader()(entry).graph
    before = load_weights(runs / "all").predict(graph)
    found = calibrate(runs / "all", [corpus], runs=[runs / "0", runs / "1"])
    assert (found.num_families, found.num_placements) == (4, 5)
    assert found.sigma_scale > 0
    model = load_weights(runs / "all")
    assert model.card.calibration["sigma_scale"] == pytest.approx(found.sigma_scale, abs=1e-5)
    after = model.predict(graph)
    np.testing.assert_array_equal(after.congestion_h, before.congestion_h)
    blend = model.card.overflow_blend
    assert blend == Blend(*(round(v, 5) for v in (found.overflow_head, found.overflow_normal, found.overflow_offset)))
    wanted = blend.prob(before.overflow_prob_v, before.congestion_v, after.sigma_v)
    np.testing.assert_array_equal(after.overflow_prob_v, wanted)
    assert 0 < found.cross_entropy <= found.cross_entropy_head
    for d in "hv":
        ratio = getattr(after, f"sigma_{d}") / getattr(before, f"sigma_{d}")
        assert ratio[np.isfinite(ratio)] == pytest.approx(found.sigma_scale, rel=1e-4)
    again = calibrate(runs / "all", [corpus], runs=[runs / "0", runs / "1"], overwrite=True)
    assert again == found  # not the factor of the factor


def test_the_command_tells_what_it_found(corpus: Path, runs: Path) -> None:
    asked = ["calibrate", str(runs / "1"), str(corpus), "--json"]
    found = CliRunner().invoke(main, asked)
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert (told["num_families"], told["level"]) == (2, 0.9)
    assert load_weights(runs / "1").card.sigma_scale == pytest.approx(told["sigma_scale"], abs=1e-5)
    assert CliRunner().invoke(main, asked).exit_code == 2
    text = CliRunner().invoke(main, [*asked[:-1], "--runs", str(runs), "--overwrite"])
    assert text.exit_code == 0, text.output
    assert "of 4 families" in text.stdout
    empty = CliRunner().invoke(main, [*asked[:-1], "--runs", str(corpus), "--overwrite"])
    assert empty.exit_code == 2
    assert "no runs" in empty.stderr


def test_a_run_tells_of_what_it_held_out(corpus: Path, runs: Path) -> None:
    found = calibrate(runs / "0", [corpus])
    assert (found.num_families, found.num_placements) == (2, 3)


def test_what_cannot_be_calibrated_is_refused(corpus: Path, runs: Path) -> None:
    before = (runs / "all" / "weights.safetensors").read_bytes()
    for path, with_runs, words in (
        (runs / "all", [], "0 families that the model has not seen"),
        (runs / "all", [runs / "other"], "has another model than"),
        (runs / "all", [runs / "0", runs / "0"], 'family "fa" was held out by another run too'),
        (runs / "all" / "weights.safetensors", [], "is no run folder"),
        (find_weights(), [], "is the shipped model"),
    ):
        with pytest.raises(InputError, match=words):
            calibrate(path, [corpus], runs=with_runs, overwrite=True)
    assert (runs / "all" / "weights.safetensors").read_bytes() == before
    card = load_weights(runs / "all").card
    for bad in ({"sigma_scale": 0}, {"sigma_scale": "2"}, {"level": 0.9}):
        with pytest.raises(InputError, match="sigma_scale above 0"):
            ModelCard.from_json(card.to_json() | {"calibration": bad})
