"""Shipped models: what their cards say, that their weights are those of the cards, and which a command takes."""

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from synthetic_graph import write_corpus

from bench.card import check_tasks, score_rows, ship
from bench.card import main as make_card
from circuit_io.errors import InputError
from gsr_plugin.cli import main
from gsr_plugin.config import load_config
from gsr_plugin.dataset import Loader, find_designs
from gsr_plugin.shipped import DEFAULTS, MODELS, find_weights, named, shipped, table
from gsr_plugin.shipped_card import CARD, read_card
from gsr_plugin.train import train
from gsr_plugin.training_range import TrainingRange
from gsr_plugin.weights import WEIGHTS, load_weights
from gsr_plugin.weights_card import do

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = MODELS / "gsr-base"
WORDS, SCORES = ROOT / "bench" / "gsr-base-card.toml", ROOT / "bench" / "results" / "quality.json"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The folder of shipped models, to be spoiled."""
    return Path(shutil.copytree(MODELS, tmp_path / "models"))


def test_the_shipped_weights_are_those_of_their_card() -> None:
    (model,) = shipped()
    assert (model.name, model.fault, model.is_default) == ("gsr-base", "", True)
    assert model.card is not None
    weights = load_weights(model.path, device="cpu")
    assert weights.sha256 == model.card.weights_sha256
    assert weights.card.model.tasks == tuple(model.card.words.tasks)
    assert weights.card.data_sha256 == model.card.data_sha256
    assert set(model.card.folds) == set(weights.card.families)
    assert sum(p.numel() for p in weights.model.parameters()) == model.card.parameters
    assert model.card.knows_range is weights.card.training_range.is_known is True
    assert model.path == SHIPPED


def test_card_and_page_are_made_of_words_and_scores() -> None:
    card = read_card(SHIPPED / CARD)
    assert (SHIPPED / "README.md").read_text("utf-8") == card.markdown()
    scores = json.loads(SCORES.read_text())
    assert card.scores == score_rows(scores, set(card.folds)), "gsr bench card, after each gsr bench quality"
    for technology in card.technologies:
        assert sum(row.which.startswith(f"{technology},") for row in card.scores) == 1


def test_scores_of_other_data_are_refused() -> None:
    scores = json.loads(SCORES.read_text())
    families = {family for of in scores["sets"].values() for family in of["gsr-gnn"]["pearson_by_family"]}
    assert families > {p["family"] for p in scores["placements"]["gsr-gnn"]}, "two are in labels_power alone"
    with pytest.raises(InputError, match="not of this model's data: ibex"):
        score_rows(scores, families - {"ibex"})
    with pytest.raises(InputError, match="3 placements were seen"):
        score_rows(scores | {"num_seen": 3}, families)


def test_a_changed_file_is_one_clear_error(copy: Path) -> None:
    file = copy / "gsr-base" / WEIGHTS
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    for wanted in (None, Path("gsr-base"), copy / "gsr-base"):
        with pytest.raises(InputError, match=r"weights\.safetensors: its SHA-256 is [0-9a-f]{12}\.\., its card says"):
            find_weights(wanted, root=copy)
    said = do("verify", root=copy)
    assert not said.is_good
    assert "its SHA-256 is" in said.text
    with pytest.raises(InputError, match="its SHA-256 is"):
        do("show", "gsr-base", root=copy)


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda d: (d / WEIGHTS).unlink(), "has a card.json but no weights.safetensors"),
        (lambda d: (d / CARD).unlink(), "card.json"),
        (lambda d: (d / CARD).write_text("{"), "is no JSON"),
        (lambda d: (d / CARD).write_text((d / CARD).read_text().replace('"steps"', '"stepz"')), "stepz: Extra inputs"),
        (lambda d: d.rename(d.with_name("gsr-best")), 'is the card of "gsr-base"'),
    ],
)
def test_a_model_that_is_not_whole_is_listed_with_its_fault(copy: Path, spoil: object, fault: str) -> None:
    spoil(copy / "gsr-base")  # type: ignore[operator]
    (model,) = shipped(root=copy)
    assert fault in model.fault
    assert fault in table([model])
    with pytest.raises(InputError):
        named(model.name, root=copy)
    assert not do("list", root=copy).is_good


def test_weights_are_chosen_for_the_tasks_that_they_have(copy: Path) -> None:
    assert find_weights(task="congestion", root=copy) == copy / "gsr-base"
    path = copy / "gsr-base" / CARD
    said = json.loads(path.read_text())
    said["words"]["tasks"] = ["congestion"]
    path.write_text(json.dumps(said))
    assert shipped("detour", root=copy) == []
    with pytest.raises(InputError, match="has no task detour"):
        find_weights(task="detour", root=copy)
    said["words"]["tasks"] = ["congestion", "detour"]
    path.write_text(json.dumps(said))
    assert find_weights(task="detour", root=copy) == copy / "gsr-base"
    weights = load_weights(SHIPPED, device="cpu")
    other = [["congestion"], ["congestion", "detour"]][weights.card.model.tasks == ("congestion",)]
    words = read_card(SHIPPED / CARD).words.model_copy(update={"tasks": other})
    with pytest.raises(InputError, match="names the tasks"):
        check_tasks(words, weights, path)


def test_unknown_names_and_tasks_list_the_near_ones(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'no shipped weights "gsr-bas"(.|\n)*Did you mean "gsr-base"'):
        named("gsr-bas")
    with pytest.raises(InputError, match=r'does not exist(.|\n)*Did you mean "gsr-base"'):
        find_weights(Path("gsr-bse"))
    with pytest.raises(InputError, match=r'^weights: no task "congest"(.|\n)*Did you mean "congestion"'):
        find_weights(task="congest")
    with pytest.raises(InputError, match=r'^weights: no shipped weights have the task "slack"\n  Train weights'):
        do("choose", "slack")
    with pytest.raises(InputError, match=r'no shipped weights "gsr_base"(.|\n)*Did you mean'):
        do("show", "gsr_base")
    shutil.rmtree(copy / "gsr-base")
    with pytest.raises(InputError, match='no shipped weights "gsr-base"'):
        find_weights(root=copy)
    assert shipped(root=tmp_path / "none") == []


def test_a_path_a_name_or_nothing_gives_weights(tmp_path: Path) -> None:
    assert {task for m in shipped() if m.card for task in m.card.words.tasks} == set(DEFAULTS)
    assert find_weights() == find_weights(Path("gsr-base")) == find_weights(SHIPPED) == MODELS / DEFAULTS["congestion"]
    own = tmp_path / "gsr-base"
    own.mkdir()
    assert find_weights(own) == own


def test_the_command_lists_shows_verifies_and_chooses() -> None:
    def run(*args: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["weights", *args], prog_name="gsr")
        return done.exit_code, done.output

    assert run() == run("list")
    assert run()[0] == 0
    assert "whole" in run()[1]
    assert run("show", "gsr-base") == (0, (SHIPPED / "README.md").read_text("utf-8"))
    code, text = run("verify", "--json")
    assert code == 0
    assert json.loads(text)["weights"][0]["weights_sha256"] == read_card(SHIPPED / CARD).weights_sha256
    assert run("choose", "congestion") == (0, f"{SHIPPED}\n")
    assert run("list", "slack")[0] == run("show", "nothing")[0] == run("show")[0] == run("choose")[0] == 2


SMALL = ["model.layers=2", "model.width=16", "model.k=4", "train.epochs=1"]


def words_and_scores(folder: Path, *tasks: str) -> tuple[Path, Path]:
    """Files for a model of these tasks that was trained on `write_corpus`."""
    row = {"pearson": 0.5, "spearman": None, "kendall": 0.5, "r2": 0.1, "auc_overflow": None}
    places = [{"family": f, "technology": "made_up", "mean": row} for f in ("fa", "fa", "fb", "fc", "fd")]
    method = {"headline": row, "small": row, "alike": row, "num_headline": 0, "num_small": 5}
    names = ("gsr-gnn", "rudy on gcell boxes")
    scores = {"num_seen": 0, "methods": dict.fromkeys(names, method), "placements": dict.fromkeys(names, places)}
    (folder / "scores.json").write_text(json.dumps(scores))
    (folder / "words.toml").write_text(re.sub(r"(?m)^tasks = .*$", f"tasks = {json.dumps(tasks)}", WORDS.read_text()))
    return folder / "words.toml", folder / "scores.json"


def test_a_run_is_shipped_with_ranges_it_lacked_and_shown(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    run = tmp_path / "run"
    train([corpus], run, config=load_config(None, SMALL, env={}))
    known = load_weights(run).card.ranges
    assert "training range | known" in do("show", str(run)).text
    out = tmp_path / "gsr-base"
    words, scores = words_and_scores(tmp_path, "congestion")
    args = [str(run), "--words", str(words), "--scores", str(scores),
            "--folds", str(corpus / "folds.toml"), "--out", str(out)]  # fmt: skip
    assert make_card(args) == 0
    assert load_weights(out).card.ranges == known
    (model,) = [m for m in shipped(root=tmp_path) if m.name == "gsr-base"]
    assert model.fault == ""
    assert model.card is not None
    assert [r.which for r in model.card.scores] == ["smaller, mean over families", "all, plain mean",
                                                    "made_up, plain mean"]  # fmt: skip
    strip_ranges(run)
    assert "not known, so gsr predict does not warn" in do("show", str(run)).text
    given = {"words": words, "scores": scores, "folds": corpus / "folds.toml"}
    assert not ship(run, out, exports=[], **given).knows_range
    with pytest.raises(InputError, match="2 placements, the weights were trained on 5"):
        ship(run, out, exports=[corpus / "fa"], **given)
    assert ship(run, out, exports=[corpus], **given).knows_range
    assert load_weights(out).card.ranges == TrainingRange.of(find_designs([corpus]), Loader()).quantiles
    with pytest.raises(InputError, match='is of "gsr-base"'):
        ship(run, tmp_path / "other", exports=[], **given)


def test_weights_with_a_further_task_keep_the_card_of_their_trunk(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", lengths=True)
    trunk, run, out = tmp_path / "trunk", tmp_path / "run", tmp_path / "gsr-base"
    train([corpus], trunk, config=load_config(None, [*SMALL, "train.epochs=2"], env={}))
    train([corpus], run, config=load_config(None, SMALL[-1:], env={}), base=trunk, add=["detour"])
    words, scores = words_and_scores(tmp_path, "congestion", "detour")
    given = {"words": words, "scores": scores, "folds": corpus / "folds.toml", "exports": []}
    made = ship(run, out, trunk=trunk, **given)
    assert made.placements == 5
    assert made.steps == load_weights(trunk).card.step > load_weights(run).card.step
    found = load_weights(out).card
    assert found.model.tasks == ("congestion", "detour")
    assert found.data_sha256 == load_weights(trunk).card.data_sha256
    train([corpus], tmp_path / "other", config=load_config(None, [*SMALL, "train.seed=1"], env={}))
    with pytest.raises(InputError, match=r'tensor "encoders\S+" is not that of'):
        ship(run, out, trunk=tmp_path / "other", **given)


def strip_ranges(run: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(str(run / WEIGHTS), framework="pt") as f:
        card = json.loads(f.metadata()["gsr"])
    del card["ranges"]
    save_file(load_file(run / WEIGHTS), run / WEIGHTS, {"gsr": json.dumps(card)})
