"""Training: it learns, it resumes bit for bit, it stops cleanly, and what it writes can be read."""

import hashlib
import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from synthetic_graph import synthetic_graph, write_corpus, write_synthetic

from circuit_io.errors import InputError
from gsr_plugin.checkpoint import STATE, read_checkpoint
from gsr_plugin.config import RunConfig, TrainConfig, load_config
from gsr_plugin.dataset import Loader, find_designs
from gsr_plugin.graph_tensors import GraphTensors
from gsr_plugin.losses import placement_loss
from gsr_plugin.model import GsrGnn
from gsr_plugin.model_card import ModelCard
from gsr_plugin.normaliser import Normaliser, fit_normaliser
from gsr_plugin.schedule import Step, epoch_plan, learning_rate, stack_rate
from gsr_plugin.train import DivergedError, run_config, train
from gsr_plugin.weights import load_weights


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def config(*sets: str, epochs: int = 4) -> RunConfig:
    small = ["model.layers=2", "model.width=16", "model.k=4", "train.warm_up_steps=2", "train.drop_liberty=0.3"]
    return load_config(None, [*small, f"train.epochs={epochs}", *sets], env={})


def losses(out: Path) -> list[tuple[int, float, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["grad_norm"]) for line in lines if line["event"] == "step"]


def epochs(out: Path) -> list[tuple[int, float, float]]:
    """Step, loss and used fraction of the range of every epoch; the fraction is the largest of the epoch's steps."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    ends = [line for line in lines if line["event"] == "epoch"]
    for end in ends:
        used = [line["range_frac"] for line in lines if line["event"] == "step" and line["epoch"] == end["epoch"]]
        assert 0 < end["range_frac"] == max(used)
    return [(line["step"], line["loss"], line["range_frac"]) for line in ends]


def tensor_hash(path: Path) -> str:
    return hashlib.sha256(b"".join(t.numpy().tobytes() for _, t in sorted(load_tensors(path).items()))).hexdigest()


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path)


def test_a_run_learns_and_its_folder_is_complete(corpus: Path, tmp_path: Path) -> None:
    result = train(
        [corpus], tmp_path / "run", config=config("train.score_epochs=4", "train.lr=0.02", epochs=20), fold=0
    )
    found = losses(result.out)
    assert len(found) == result.steps == 20 * 2
    assert np.mean([x for _, x, _ in found[-4:]]) < 0.7 * np.mean([x for _, x, _ in found[:4]])
    assert result.stopped == "done"
    assert -1 <= result.held_out_pearson <= 1
    assert {p.name for p in result.out.iterdir()} == {
        "weights.safetensors", "model.json", "config.toml", "log.jsonl", "state",
    }  # fmt: skip
    card = json.loads((result.out / "model.json").read_text())
    assert card["schema"] == "gsr-model"
    assert card["families"] == ["fc", "fd"]
    assert card["held_out_families"] == ["fa", "fb"]
    assert card["grid_t"] == 16
    assert card["versions"]["torch"] == torch.__version__
    assert load_config(result.out / "config.toml", env={}).train.epochs == 20
    loaded = load_weights(result.out)
    maps = loaded.predict(synthetic_graph(9, nx=4, ny=6))
    assert maps.congestion_h.shape == (6, 4)
    assert np.isnan(maps.congestion_h[:, -1]).all()
    assert np.isnan(maps.congestion_v[-1]).all()
    assert (maps.congestion_h[:, :-1] >= 0).all()
    assert (maps.sigma_v[:-1] > 0).all()


@pytest.mark.parametrize(
    "options", [(), ("train.ema=0.9", "train.variants_per_design=0", "train.placements_per_step=2")]
)
def test_stop_and_resume_gives_the_same_losses_and_weights(
    corpus: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    one = train([corpus], whole, config=config(*options))
    assert train([corpus], parts, config=config(*options), stop_after=5).stopped == "stop_after"
    torch.manual_seed(123)
    train([corpus], parts, config=config(*options), resume=True, stop_after=2)
    # a kill after the checkpoint leaves lines that the next run must not count twice
    with (parts / "log.jsonl").open("a") as f:
        f.write('{"event": "step", "step": 8, "loss": 0.0}\n{"event": "st')
    two = train([corpus], parts, config=config(*options), resume=True)
    assert losses(parts) == losses(whole)
    assert epochs(parts) == epochs(whole) != []
    assert two.loss == one.loss
    for name in ("weights.safetensors", "state/checkpoint.safetensors"):
        assert tensor_hash(whole / name) == tensor_hash(parts / name), name


def test_resume_is_refused_for_another_run(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train([corpus], out, config=config(), stop_after=1)
    with pytest.raises(InputError, match=r"train\.lr"):
        train([corpus], out, config=config("train.lr=0.1"), resume=True)
    with pytest.raises(InputError, match="fold = null, this call 0"):
        train([corpus], out, config=config(), fold=0, resume=True)
    write_synthetic(tmp_path / "more", 7, family="fe")
    with pytest.raises(InputError, match="data ="):
        train([corpus, tmp_path / "more"], out, config=config(), resume=True)
    with pytest.raises(InputError, match="no state"):
        train([corpus], tmp_path / "none", config=config(), resume=True)
    with pytest.raises(InputError, match="no state"):
        run_config(tmp_path / "none", resume=True)
    (out / STATE).write_bytes((out / STATE).read_bytes()[:200])
    with pytest.raises(InputError, match="damaged"):
        train([corpus], out, config=config(), resume=True)


def test_a_resumed_run_keeps_its_fold_and_settings(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train([corpus], out, config=config(), fold=1, stop_after=1)
    train([corpus], out, config=run_config(out, resume=True), resume=True)
    card = load_weights(out).card
    assert (card.fold, card.families) == (1, ("fa", "fb"))
    assert card.model.layers == 2


def test_an_existing_out_is_kept(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train([corpus], out, config=config(epochs=1))
    before = (out / "weights.safetensors").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        train([corpus], out, config=config(epochs=1))
    assert (out / "weights.safetensors").read_bytes() == before
    train([corpus], out, config=config("train.seed=1", epochs=1), overwrite=True)
    assert (out / "weights.safetensors").read_bytes() != before
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds no run"):
        train([corpus], other, config=config(), overwrite=True)
    assert (other / "thesis.tex").exists()


def test_ctrl_c_leaves_a_checkpoint_that_resumes(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    long = config(epochs=500)

    def interrupt() -> None:
        while not (out / "log.jsonl").is_file() or len(losses(out)) < 3:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        train([corpus], out, config=long)
    thread.join()
    steps = read_checkpoint(out).step
    assert 3 <= steps < 1000
    assert load_weights(out).card.step == steps
    assert train([corpus], out, config=long, resume=True, stop_after=1).steps == steps + 1


def test_time_limit_stops_a_run(corpus: Path, tmp_path: Path) -> None:
    result = train([corpus], tmp_path / "run", config=config("train.max_minutes=1e-9", epochs=50))
    assert result.stopped == "max_minutes"
    assert result.steps == 1


def test_a_loss_that_is_not_finite_names_the_placement(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"step \d+, made_up/f[a-d]/v"):
        train([corpus], tmp_path / "run", config=config("train.lr=1e30", "train.warm_up_steps=0", "model.t=off"))


def test_the_same_seed_gives_the_same_files(corpus: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        train([corpus], tmp_path / name, config=config(epochs=1))
    assert (tmp_path / "a/weights.safetensors").read_bytes() == (tmp_path / "b/weights.safetensors").read_bytes()


def test_averaged_weights_are_what_is_kept(corpus: Path, tmp_path: Path) -> None:
    out = train([corpus], tmp_path / "run", config=config("train.ema=0.9")).out
    state = read_checkpoint(out).tensors
    name = "head.0.weight"
    kept = load_weights(out).model.state_dict()[name]
    assert torch.equal(kept, state[f"average/{name}"])
    assert not torch.equal(kept, state[f"model/{name}"])


def test_every_design_has_the_same_weight(corpus: Path) -> None:
    entries = find_designs([corpus])
    for per_design, expected in ((0, 5), (1, 4), (2, 5)):
        settings = TrainConfig(variants_per_design=per_design)
        plan = epoch_plan(entries, settings, 3)
        assert len(plan) == expected
        weight: dict[str, float] = {}
        for step in plan:
            weight[step.entry.family] = weight.get(step.entry.family, 0) + step.weight
        assert len(set(np.round(list(weight.values()), 12))) == 1
        assert np.mean([s.weight for s in plan]) == pytest.approx(1)
    drawn = {
        s.entry.variant for e in range(20) for s in epoch_plan(entries, TrainConfig(), e) if s.entry.family == "fa"
    }
    assert drawn == {"v0", "v1"}
    assert epoch_plan(entries, TrainConfig(), 5) == epoch_plan(entries, TrainConfig(), 5)
    assert epoch_plan(entries, TrainConfig(), 5) != epoch_plan(entries, TrainConfig(), 6)


def test_rate_rises_then_falls() -> None:
    settings = TrainConfig(lr=1.0, warm_up_steps=10, final_lr_frac=0.1)
    rates = [learning_rate(settings, i, 100) for i in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
    assert learning_rate(settings, 0, 3) > 0


def test_a_deep_stack_learns_at_its_share_of_the_rate(corpus: Path, tmp_path: Path) -> None:
    assert [stack_rate(TrainConfig(full_rate_layers=8), n) for n in (4, 8, 16, 300)] == [1, 1, 0.5, 8 / 300]
    assert stack_rate(TrainConfig(), 300) == 1
    moved = {}
    for full in (0, 1):
        settings = config(f"train.full_rate_layers={full}", "train.weight_decay=0")  # two layers
        train([corpus], tmp_path / str(full), config=settings, stop_after=1)
        before, after = (
            GsrGnn(settings.model, seed=0).state_dict(),
            load_weights(tmp_path / str(full)).model.state_dict(),
        )
        for name in ("stack.mix_inst", "encoders.inst.2.weight"):
            moved[name, full] = float((after[name] - before[name]).abs().max())
    assert moved["stack.mix_inst", 0] == pytest.approx(1e-3, rel=0.01)  # the first step of Adam, at half of lr
    assert moved["stack.mix_inst", 1] == pytest.approx(moved["stack.mix_inst", 0] / 2, rel=0.01)
    assert moved["encoders.inst.2.weight", 1] == moved["encoders.inst.2.weight", 0]


def test_the_loss_is_that_of_plain_loops(corpus: Path) -> None:
    entry = find_designs([corpus])[0]
    load = Loader()
    normaliser = fit_normaliser([entry], load)
    settings = TrainConfig(overflow_weight=0.3, sigma_weight=0.2)
    model = GsrGnn(config().model, seed=1)
    step = Step(entry, next(iter(epoch_plan([entry], TrainConfig(augment=False), 0))).symmetry, False, 1.0)
    loss, parts = placement_loss(model, normaliser, settings, load(entry), step, torch.device("cpu"))
    sample = load(entry)
    features = [torch.from_numpy(x) for x in normaliser.features(sample.graph).values()]
    with torch.no_grad():
        out = model(GraphTensors.of(sample.graph), *features)
    squared, cross, likelihood = [], [], []
    for d, truth in enumerate((sample.labels.congestion_h.ravel(), sample.labels.congestion_v.ravel())):
        for i, y in enumerate(truth):
            if np.isnan(y):
                continue
            error = float(out.congestion[i, d]) - (float(y) - normaliser.target_mean) / normaliser.target_std
            p = 1 / (1 + np.exp(-float(out.overflow_logit[i, d])))
            s = float(out.log_sigma[i, d])
            squared.append(error**2)
            cross.append(-np.log(p if y > 1 else 1 - p))
            likelihood.append(s + error**2 / (2 * np.exp(2 * s)))
    assert parts["squared"] == pytest.approx(np.mean(squared), rel=1e-4)
    assert parts["overflow"] == pytest.approx(np.mean(cross), rel=1e-4)
    assert parts["likelihood"] == pytest.approx(np.mean(likelihood), rel=1e-4, abs=1e-5)
    assert float(loss.detach()) == pytest.approx(
        np.mean(squared) + 0.3 * np.mean(cross) + 0.2 * np.mean(likelihood), rel=1e-4
    )


def test_sigma_does_not_move_the_mean(corpus: Path) -> None:
    entry = find_designs([corpus])[0]
    load = Loader()
    normaliser = fit_normaliser([entry], load)
    step = epoch_plan([entry], TrainConfig(), 0)[0]
    grads = []
    for weight in (0.0, 5.0):
        model = GsrGnn(config().model, seed=1)
        settings = TrainConfig(overflow_weight=0, sigma_weight=weight)
        placement_loss(model, normaliser, settings, load(entry), step, torch.device("cpu"))[0].backward()
        grads.append({n: p.grad for n, p in model.named_parameters() if not n.startswith("sigma_head")})
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, msg=name)


def test_damaged_weights_are_refused(corpus: Path, tmp_path: Path) -> None:
    out = train([corpus], tmp_path / "run", config=config(epochs=1)).out
    good = (out / "weights.safetensors").read_bytes()
    (out / "weights.safetensors").write_bytes(good[: len(good) // 2])
    with pytest.raises(InputError, match="no weights file"):
        load_weights(out)
    with pytest.raises(InputError, match="no weights"):
        load_weights(tmp_path / "nothing")
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="no model"):
        load_weights(tmp_path / "other.safetensors")
    card = json.loads((out / "model.json").read_text())
    huge = card | {"grid_t": 12, "model": card["model"] | {"layers": 10_000, "width": 65_534}}
    save_file({"x": torch.zeros(2)}, tmp_path / "huge.safetensors", {"gsr": json.dumps(huge)})
    with pytest.raises(InputError, match="fewer weights"):
        load_weights(tmp_path / "huge.safetensors")
    with pytest.raises(InputError, match="newer"):
        ModelCard.from_json(card | {"schema_version": 99})
    features = card["features"] | {"net": card["features"]["net"][:-1]}
    with pytest.raises(InputError, match="net features: router_runs"):
        ModelCard.from_json(card | {"features": features})
    assert ModelCard.from_json(card).to_json() == card


def test_a_card_gives_its_statistics_back(corpus: Path, tmp_path: Path) -> None:
    out = train([corpus], tmp_path / "run", config=config(epochs=1)).out
    fresh = fit_normaliser(find_designs([corpus]), Loader())
    stored = load_weights(out).normaliser
    for name, values in fresh.arrays().items():
        np.testing.assert_array_equal(stored.arrays()[name], values, err_msg=name)
    assert isinstance(stored, Normaliser)


def test_a_design_without_overflow_or_pins_trains(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "d", 0, family="f", nx=2, ny=1, insts=3, nets=2, pins=1, empty_net=True)
    assert train([tmp_path], tmp_path / "run", config=config(epochs=1)).steps == 1
