"""Settings: their order of strength, and what an unknown or bad one says."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from circuit_io.errors import InputError
from gsr_plugin.config import RunConfig, TrainConfig, load_config, settings_table, to_toml


def write(folder: Path, text: str) -> Path:
    path = folder / "c.toml"
    path.write_text(text)
    return path


def test_command_line_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    path = write(tmp_path, "[train]\nlr = 1e-3\nepochs = 7\nclip = 2.0\n[model]\nlayers = 4\n")
    env = {"GSR_TRAIN_EPOCHS": "8", "GSR_TRAIN_CLIP": "3", "GSR_MODEL_WIDTH": "32"}
    got = load_config(path, ["train.clip=4", "model.t=12"], env=env)
    assert got.train.lr == 1e-3
    assert got.train.epochs == 8
    assert got.train.clip == 4
    assert (got.model.layers, got.model.width, got.model.t) == (4, 32, 12)
    assert got.train.seed == TrainConfig().seed


def test_words_of_the_flow_are_no_settings() -> None:
    flow = {"GSR_MODEL": "weights", "GSR_DATA": "x", "GSR_MODE": "observe", "GSR_TIMEOUT": "600"}
    assert load_config(env=flow) == RunConfig()


@pytest.mark.parametrize(
    ("text", "line", "near"),
    [
        ("[train]\nlr = 1\nepoch = 3\n", 3, "train.epochs"),
        ("[trian]\nlr = 1\n", 1, "train"),
        ("lr = 1\n", 1, "[train]"),
    ],
)
def test_an_unknown_key_names_place_and_the_near_one(tmp_path: Path, text: str, line: int, near: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as e:
        load_config(path, env={})
    assert f"{path}:{line}" in str(e.value)
    assert near in str(e.value)


def test_several_faults_come_together(tmp_path: Path) -> None:
    path = write(tmp_path, "[train]\nlr = -1\nepochs = 0\nseed = 'x'\n")
    with pytest.raises(InputError) as e:
        load_config(path, env={})
    for name in ("train.lr", "train.epochs", "train.seed", f"{path}:2"):
        assert name in str(e.value)


@pytest.mark.parametrize(
    ("sets", "env"),
    [
        (["train.learning=1"], {}),
        ([], {"GSR_TRAIN_LEARNING": "1"}),
        (["train.lr=high"], {}),
        (["lr=1"], {}),
        (["x"], {}),
    ],
)
def test_bad_assignments_are_errors(sets: list[str], env: dict[str, str]) -> None:
    with pytest.raises(InputError):
        load_config(None, sets, env=env)


def test_numbers_of_features_cannot_be_set() -> None:
    with pytest.raises(InputError, match="num_inst_features"):
        load_config(None, ["model.num_inst_features=3"], env={})


@pytest.mark.parametrize(
    ("sets", "fault"),
    [
        (["model.groups=4"], r"groups = 4: the reversible layer is built for 2 groups"),
        (["model.width=16", "model.k=9"], r"k = 9: a group has 8 channels"),
        (["model.width=17"], r"model: width = 17: two groups need an even width$"),
    ],
)
def test_a_model_that_cannot_be_built_is_refused(sets: list[str], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        load_config(None, sets, env={})


def test_no_toml_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no TOML"):
        load_config(write(tmp_path, "[train\n"), env={})
    with pytest.raises(InputError, match="cannot be read"):
        load_config(tmp_path / "none.toml", env={})


def test_resolved_settings_read_back_the_same(tmp_path: Path) -> None:
    config = load_config(None, ["train.lr=3e-4", "model.layers=5", 'data.technology_out=a "b" \\ ü'], env={})
    text = to_toml(config)
    assert tomllib.loads(text)["train"]["lr"] == 3e-4
    assert load_config(write(tmp_path, text), env={}) == config


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        RunConfig().train.lr = 1  # type: ignore[misc]


def test_every_setting_has_a_line_of_help() -> None:
    for model in (TrainConfig, type(RunConfig().data), type(RunConfig().model)):
        for name, field in model.model_fields.items():
            assert field.description, name


def test_the_manual_has_the_settings_table() -> None:
    manual = (Path(__file__).resolve().parent.parent / "docs" / "training.md").read_text(encoding="utf-8")
    assert settings_table() in manual, "write the table anew: gsr_plugin.config.settings_table()"
