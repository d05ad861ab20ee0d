"""Fine-tuning: it begins with given weights, measures before it claims, resumes, and replaces nothing shipped."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from synthetic_graph import write_corpus, write_synthetic

from circuit_io.errors import InputError
from gsr_plugin.cli import main
from gsr_plugin.config import load_config
from gsr_plugin.dataset import Loader, find_designs
from gsr_plugin.finetune import MEASURE, PAGE, REPORT, Compared, Finetuned, finetune
from gsr_plugin.metrics import Scores
from gsr_plugin.shipped import MODELS
from gsr_plugin.train import TrainResult, train
from gsr_plugin.training_range import TrainingRange
from gsr_plugin.weights import WEIGHTS, load_weights, write_weights

SMALL = ["model.layers=2", "model.width=16", "model.k=4", "train.epochs=8", "train.lr=0.02"]
FEW = ["train.epochs=2", "train.device=cpu"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def base(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base") / "begun"
    train([corpus], out, config=load_config(None, SMALL, env={}))
    begun = load_weights(out)
    card = replace(begun.card, calibration={"sigma_scale": 1.5, "overflow_head": 0.5})  # as the shipped weights are
    write_weights(out, begun.model.state_dict(), begun.normaliser, card)
    return out


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three families that the base has not seen, one of them with two placements."""
    folder = tmp_path_factory.mktemp("own")
    for i, (family, variant) in enumerate([("na", "v0"), ("na", "v1"), ("nb", "v0"), ("nc", "v0")]):
        design = "core" if family in ("nb", "nc") else family  # a name says nothing of the family
        write_synthetic(folder / family / variant, 20 + i, family=family, design=design, variant=variant)
    return folder


@pytest.fixture(scope="module")
def tuned(base: Path, own: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finetuned]:
    out = tmp_path_factory.mktemp("tuned") / "own"
    return out, finetune([own], out, base=base, keep=[corpus], sets=FEW)


def test_every_placement_is_scored_by_weights_that_had_not_seen_its_family(
    tuned: tuple[Path, Finetuned], base: Path, own: Path
) -> None:
    out, found = tuned
    assert found.held_out is not None
    assert (found.is_by_family, found.known) == (True, ())
    assert (found.held_out.placements, found.held_out.families) == (4, 3)
    seen = [set(load_weights(out / MEASURE / str(i)).card.families) for i in range(3)]
    assert [s & {"na", "nb", "nc"} for s in seen] == [{"nb", "nc"}, {"na", "nc"}, {"na", "nb"}]
    begin, load = load_weights(base), Loader()
    truth = [load(e) for e in find_designs([own / "nb"])]
    congestion = [begin.predict(s.graph).congestion_h for s in truth]
    by_hand = [
        np.corrcoef(c[np.isfinite(s.labels.congestion_h)], s.labels.congestion_h[np.isfinite(s.labels.congestion_h)])
        for c, s in zip(congestion, truth, strict=True)
    ]
    vertical = [begin.predict(s.graph).congestion_v for s in truth]
    more = [
        np.corrcoef(c[np.isfinite(s.labels.congestion_v)], s.labels.congestion_v[np.isfinite(s.labels.congestion_v)])
        for c, s in zip(vertical, truth, strict=True)
    ]
    expected = (by_hand[0][0, 1] + more[0][0, 1]) / 2
    assert found.held_out.pearson_by_family["nb"][0] == pytest.approx(expected, abs=1e-5)


def test_the_report_holds_what_was_measured(tuned: tuple[Path, Finetuned]) -> None:
    out, found = tuned
    assert found.held_out is not None
    stored = json.loads((out / REPORT).read_text())
    assert stored["gained"] == pytest.approx(found.held_out.after.pearson - found.held_out.before.pearson)
    assert stored["verdict"] == found.verdict()
    page = (out / PAGE).read_text()
    assert found.verdict() in page
    assert f"| held out | 4 | {found.held_out.before.pearson:.3f} | {found.held_out.after.pearson:.3f} |" in page
    assert found.kept is not None
    assert f"| kept in mind | 5 | {found.kept.before.pearson:.3f} | {found.kept.after.pearson:.3f} |" in page
    assert "both scores are of seen ones" in page
    assert "90 % intervals then hold" in page


def test_it_begins_with_the_weights_and_keeps_their_statistics(
    tuned: tuple[Path, Finetuned], base: Path, own: Path, corpus: Path
) -> None:
    out, _ = tuned
    begin, end = load_weights(base), load_weights(out)
    for name, values in begin.normaliser.arrays().items():
        assert np.array_equal(values, end.normaliser.arrays()[name]), name
    assert end.card.families == ("fa", "fb", "fc", "fd", "na", "nb", "nc")
    assert end.card.num_placements == 9
    assert end.card.base == {"name": "begun", "weights_sha256": begin.sha256, "data_sha256": begin.card.data_sha256}
    both = TrainingRange.of(find_designs([own, corpus]), Loader()).quantiles
    assert {n: (q[0], q[-1]) for n, q in end.card.ranges.items()} == {n: (q[0], q[-1]) for n, q in both.items()}
    assert set(end.card.calibration) > {"sigma_scale", "coverage", "overflow_head"}
    assert end.card.sigma_scale != begin.card.sigma_scale
    none = own.parent / "no_steps"
    train([own], none, config=load_config(None, [*SMALL, "train.lr=1e-12"], env={}), base=base, stop_after=1)
    for name, t in load_weights(none).model.state_dict().items():
        assert torch.allclose(t, begin.model.state_dict()[name], atol=1e-9), name


def test_a_stopped_run_goes_on_to_the_same_weights(
    tuned: tuple[Path, Finetuned], base: Path, own: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, whole = tuned
    part = tmp_path / "own"
    import gsr_plugin.finetune as module

    calls: list[Path] = []

    def stops(data: object, where: Path, **words: object) -> TrainResult:
        calls.append(where)
        found = train(data, where, **words, stop_after=2 if len(calls) == 2 else 0)  # type: ignore[arg-type]
        if len(calls) == 2:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(module, "train", stops)
    with pytest.raises(KeyboardInterrupt):
        finetune([own], part, base=base, keep=[corpus], sets=FEW)
    monkeypatch.undo()
    with pytest.raises(InputError, match="exists already"):
        finetune([own], part, base=base, sets=FEW)
    again = finetune([own], part, base=base, keep=[corpus], resume=True)
    assert again.held_out == whole.held_out
    ours, theirs = load_file(part / WEIGHTS), load_file(out / WEIGHTS)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(InputError, match=r"the run there has base = "):
        finetune([own], part, base=out, resume=True)
    with pytest.raises(InputError, match="no state to resume"):
        finetune([own], tmp_path / "none", base=base, resume=True)


def test_one_family_claims_no_gain_on_unseen_designs(base: Path, own: Path, tmp_path: Path) -> None:
    found = finetune([own / "na"], tmp_path / "one", base=base, sets=FEW)
    assert found.gained is None
    assert "cannot be measured: all data is of one family" in found.verdict()
    assert found.held_out is not None
    assert found.held_out.placements == 2
    assert "stay calibrated as they were" in (tmp_path / "one" / PAGE).read_text()
    assert load_weights(tmp_path / "one").card.calibration == load_weights(base).card.calibration
    assert "What it forgot was not measured" in (tmp_path / "one" / PAGE).read_text()
    single = finetune([own / "nb"], tmp_path / "single", base=base, sets=FEW)
    assert (single.held_out, single.gained) == (None, None)
    assert single.verdict().startswith("Nothing was measured")


def test_families_that_the_weights_knew_are_named(base: Path, own: Path, corpus: Path, tmp_path: Path) -> None:
    found = finetune([own / "nb", corpus / "fb"], tmp_path / "both", base=base, sets=FEW)
    assert found.known == ("fb",)
    assert "begun was trained on fb already" in (tmp_path / "both" / PAGE).read_text()


def test_a_loss_is_called_a_loss() -> None:
    scores = [Scores(p, *[0.0] * 9) for p in (0.8, 0.7)]
    held = Compared(4, 2, scores[0], scores[1], {"a": (0.8, 0.6), "b": (0.8, 0.8)})
    run = TrainResult(Path(), 1, 1, 0.0, 1, 0, 1, 0.0, "done")
    worse = Finetuned(run, "gsr-base", held, True, (), None, ())
    assert worse.gained == pytest.approx(-0.1)
    assert worse.verdict().endswith("better in 0 of 2. Nothing was gained: stay with gsr-base.")


def test_a_gain_is_told_from_chance_by_its_families() -> None:
    before, after = (Scores(p, *[0.0] * 9) for p in (0.8, 0.83))
    run = TrainResult(Path(), 1, 1, 0.0, 1, 0, 1, 0.0, "done")

    def tuned(**families: tuple[float, float]) -> Finetuned:
        held = Compared(len(families), len(families), before, after, families)
        return Finetuned(run, "gsr-base", held, True, (), None, ())

    sure = tuned(a=(0.8, 0.82), b=(0.8, 0.83), c=(0.8, 0.84))
    assert sure.interval == pytest.approx((0.02, 0.04), abs=1e-9)
    assert sure.verdict().endswith("better in 3 of 3. By families the gain is +0.020 to +0.040 (95 %).")
    assert tuned(a=(0.8, 0.9), b=(0.8, 0.79), c=(0.8, 0.79)).verdict().endswith("(95 %): it may be chance.")
    assert tuned(a=(0.8, 0.83), b=(0.8, 0.83)).verdict().endswith("2 families are too few to tell a gain from chance.")


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], prog_name="gsr")


def test_the_command_tunes_and_refuses_what_it_must(base: Path, own: Path, tmp_path: Path) -> None:
    words = ("finetune", own / "na", "--from", base, "--set", "train.epochs=1", "--quiet", "--out")
    done = run(*words, tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "all data is of one family" in done.stdout
    for out, why in (
        (MODELS / "gsr-base", "lies among the shipped weights"),
        (MODELS / "other", "lies among the shipped weights"),
        (base, "holds the weights to begin with"),
        (own, "exists already"),
    ):
        found = run(*words, out)
        assert found.exit_code == 2
        assert why in found.stderr
    assert not (MODELS / "other").exists()
    found = run(*words[:4], "--set", "model.layers=3", "--out", tmp_path / "x")
    assert "the model is that of the weights" in found.stderr
    shutil.rmtree(tmp_path / "run")


def test_training_never_replaces_shipped_weights(own: Path) -> None:
    before = {p: p.read_bytes() for p in MODELS.rglob("*") if p.is_file()}
    for options in ({}, {"overwrite": True}):
        with pytest.raises(InputError, match="lies among the shipped weights"):
            train([own], MODELS / "gsr-base", config=load_config(None, SMALL, env={}), **options)
    assert {p: p.read_bytes() for p in MODELS.rglob("*") if p.is_file()} == before
