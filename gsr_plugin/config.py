"""Settings of a training run: frozen models, read from TOML, the environment and the command line.

The command line is stronger than the environment, that than the file, that than the default. `train.lr` is
`[train] lr` in the file, `GSR_TRAIN_LR` in the environment and `--set train.lr=3e-4` on the command line.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from circuit_io.errors import Faults, InputError, did_you_mean
from circuit_io.fields import GCELL_FEATURES, INST_FEATURES, NET_FEATURES
from circuit_io.text import read_bytes
from gsr_plugin.model import ModelConfig

ENV_PREFIX = "GSR_"
_FEATURE_COUNTS = {
    "num_inst_features": len(INST_FEATURES),
    "num_net_features": len(NET_FEATURES),
    "num_gcell_features": len(GCELL_FEATURES),
}


class TrainConfig(BaseModel):
    """How the network is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(
        default=30, ge=1, description="passes over the designs; each design gets the same number of steps"
    )
    variants_per_design: int = Field(
        default=1, ge=0, description="placements of a design drawn for an epoch, a step each; 0 takes all of them"
    )
    placements_per_step: int = Field(
        default=1, ge=1, description="placements whose gradients are averaged for one step"
    )
    crop_gcells: int = Field(
        default=0,
        ge=0,
        description="train on a window of at most so many gcells a side, drawn anew each step; 0 takes all",
    )
    max_minutes: float = Field(
        default=0.0, ge=0, description="stop with a valid checkpoint after this time; 0 is no limit"
    )
    lr: float = Field(default=2e-3, gt=0, description="highest rate of Adam, after the warm-up")
    final_lr_frac: float = Field(default=0.02, ge=0, le=1, description="rate at the end over the highest one (cosine)")
    full_rate_layers: int = Field(
        default=0,
        ge=0,
        description="a stack of more layers learns at lr times this over its layers, encoders and head at lr; 0: at lr",
    )
    warm_up_steps: int = Field(default=50, ge=0, description="steps over which the rate rises from 0")
    weight_decay: float = Field(default=1e-4, ge=0, description="decoupled weight decay (AdamW); 0 is Adam")
    clip: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    ema: float = Field(
        default=0.0, ge=0, lt=1, description="decay a step of the averaged weights that are kept; 0 keeps the last"
    )
    overflow_weight: float = Field(
        default=0.05, ge=0, description="weight of the cross entropy of overflow (congestion > 1)"
    )
    sigma_weight: float = Field(
        default=0.05, ge=0, description="weight of the likelihood of the error that sigma gives"
    )
    detour_weight: float = Field(
        default=0.02, ge=0, description="weight of the errors of the nets' detour, where model.tasks has it"
    )
    augment: bool = Field(default=True, description="mirror in x, in y, and exchange the axes at random")
    drop_liberty: float = Field(default=0.1, ge=0, le=1, description="share of steps that hide what Liberty tells")
    drop_router: float = Field(
        default=0.1, ge=0, le=1, description="share of steps that hide the embedded router's maps"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="seed of weights, order and augmentation")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="where to compute; auto takes a GPU if there is one"
    )
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 leaves what OMP_NUM_THREADS or torch says")
    cache_mb: int = Field(default=2048, ge=0, description="memory for loaded designs, so that they are read once")
    score_epochs: int = Field(
        default=0, ge=0, description="score the held-out placements every so many epochs; 0 never"
    )
    checkpoint_minutes: float = Field(default=5.0, ge=0, description="time between checkpoints")


class DataConfig(BaseModel):
    """Which placements are used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_gcells: int = Field(default=0, ge=0, description="leave larger placements out of training; 0 takes all")
    min_gcells: int = Field(default=0, ge=0, description="leave smaller placements out of training")
    technology_out: str = Field(
        default="", description="leave this technology, and every family it holds, out of training and score on it"
    )


def default_model() -> ModelConfig:
    """The model for the features that this version computes."""
    return ModelConfig.model_validate(_FEATURE_COUNTS)


class RunConfig(BaseModel):
    """Everything that a training run can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelConfig = Field(default_factory=default_model)
    train: TrainConfig = TrainConfig()
    data: DataConfig = DataConfig()


def load_config(
    path: Path | None = None, sets: Sequence[str] = (), *, env: Mapping[str, str] | None = None
) -> RunConfig:
    """The settings of `path` (defaults without one), overridden by `GSR_<SECTION>_<KEY>` and by `sets`.

    Args:
        path: a TOML file with the sections [model], [train] and [data].
        sets: assignments like "train.lr=3e-4".
        env: the environment; the process's own when not given.

    Raises:
        InputError: no TOML, an unknown key or a value out of range; names the key, its place and the near ones.
    """
    values: dict[str, dict[str, Any]] = {section: {} for section in RunConfig.model_fields}
    places: dict[tuple[str, ...], tuple[str, int]] = {}
    faults = Faults(path or "settings")
    if path is not None:
        _read_file(path, values, places, faults)
    for name, text in sorted((os.environ if env is None else env).items()):
        section, _, key = name.removeprefix(ENV_PREFIX).lower().partition("_")
        if name.startswith(ENV_PREFIX) and section in values and key:
            _assign(values, places, faults, section, key, _value(text), place=(name, 0))
    for text in sets:
        target, equals, value = text.partition("=")
        section, dot, key = target.strip().partition(".")
        if not equals or not dot:
            raise InputError(f'--set "{text}" is no assignment', path="command line", mend="Write --set train.lr=3e-4.")
        _assign(values, places, faults, section, key, _value(value), place=(f"--set {text}", 0))
    faults.raise_if_any()
    return _validate(values, places)


def _read_file(
    path: Path, values: dict[str, dict[str, Any]], places: dict[tuple[str, ...], tuple[str, int]], faults: Faults
) -> None:
    try:
        text = read_bytes(path).decode("utf-8")
        tables = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise InputError(f"is no TOML: {e}", path=path, mend="Write it like docs/training.md shows.") from e
    for section, table in tables.items():
        if not isinstance(table, dict):
            mend = f"Put it under one of [{'], ['.join(values)}]."
            faults.add(f'"{section}" stands outside of a section', line=_line(text, "", section), mend=mend)
            continue
        if section not in values:
            faults.add(f"unknown section [{section}]", line=_line(text, section), mend=did_you_mean(section, values))
            continue
        for key, value in table.items():
            place = (str(path), _line(text, section, key))
            _assign(values, places, faults, section, key, value, place=place)


def _assign(
    values: dict[str, dict[str, Any]],
    places: dict[tuple[str, ...], tuple[str, int]],
    faults: Faults,
    section: str,
    key: str,
    value: object,
    *,
    place: tuple[str, int],
) -> None:
    known = field_names()
    name = f"{section}.{key}"
    if section not in known or key not in known[section]:
        where = "" if place[1] else f" ({place[0]})"
        everything = [f"{s}.{k}" for s, keys in known.items() for k in keys]
        faults.add(f'unknown setting "{name}"{where}', line=place[1], mend=did_you_mean(name, everything))
        return
    values[section][key] = value
    places[(section, key)] = place


def _validate(values: dict[str, dict[str, Any]], places: dict[tuple[str, ...], tuple[str, int]]) -> RunConfig:
    try:
        return RunConfig.model_validate(values | {"model": _FEATURE_COUNTS | values["model"]})
    except ValidationError as e:
        errors: list[InputError] = []
        for fault in e.errors():
            where = tuple(str(part) for part in fault["loc"][:2])
            path, line = places.get(where, ("settings", 0))
            found = f", found {fault['input']!r}" if where[1:] else ""  # a message on several settings names them
            what = f"{'.'.join(where)}: {fault['msg'].removeprefix('Value error, ')}{found}"
            errors.append(InputError(what, path=path, line=line, mend=_help(*where)))
        if len(errors) == 1:
            raise errors[0] from e
        raise InputError(f"{len(errors)} faults\n" + "\n".join(map(str, errors)), path="settings") from e


def _value(text: str) -> object:
    """`text` read as a TOML value, or as a bare string when it is none."""
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _line(text: str, section: str, key: str = "") -> int:
    """Line of a key (or of a section's head) in a TOML text; 0 when it is written in another form."""
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[\s*([\w.\-]+)\s*\]", line):
            current = head[1]
            if not key and current == section:
                return number
        elif key and current == section and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
            return number
    return 0


def field_names() -> dict[str, list[str]]:
    """Section to the names of its settings; the numbers of features are none, they follow from the data."""
    return {s: [f for f in model.model_fields if f not in _FEATURE_COUNTS] for s, model in _sections().items()}


def _sections() -> dict[str, type[BaseModel]]:
    return {"model": ModelConfig, "train": TrainConfig, "data": DataConfig}


def _help(section: str = "", key: str = "") -> str:
    model = _sections().get(section)
    field = model.model_fields.get(key) if model else None
    return f"{key}: {field.description}." if field and field.description else ""


def to_toml(config: RunConfig) -> str:
    """The whole of `config` as TOML, each value with its line of help."""
    out = []
    for section, model in _sections().items():
        out.append(f"[{section}]")
        for key, value in getattr(config, section).model_dump(mode="json").items():
            if value is None or key in _FEATURE_COUNTS:
                continue
            line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
            out.append(f"{line}  # {model.model_fields[key].description or key}")
        out.append("")
    return "\n".join(out)


def settings_table() -> str:
    """All settings as Markdown tables, for the documentation."""
    defaults = RunConfig()
    out = []
    for section, model in _sections().items():
        out += [f"`[{section}]`", "", "| setting | default | meaning |", "| --- | --- | --- |"]
        for key in field_names()[section]:
            default = json.dumps(getattr(defaults, section).model_dump(mode="json")[key])
            out.append(f"| `{key}` | `{default}` | {model.model_fields[key].description} |")
        out.append("")
    return "\n".join(out)
