"""The card of a model: what it is, what it was trained on, and which features it reads."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from circuit_io.errors import Faults, InputError
from circuit_io.fields import ENDPOINT_FEATURES, Field, names
from circuit_io.manifest import (
    COUNT,
    NUMBER_TABLE,
    OBJECT,
    TEXT,
    TEXT_TABLE,
    TEXTS,
    TEXTS_TABLE,
    Kind,
    check_kinds,
    check_version,
)
from circuit_io.store import EARLIER
from gsr_plugin.config import RunConfig
from gsr_plugin.dataset import Entry, data_hash
from gsr_plugin.jsonable import jsonable
from gsr_plugin.model import SLACK, ModelConfig
from gsr_plugin.normaliser import KINDS
from gsr_plugin.overflow_blend import Blend
from gsr_plugin.training_range import QUANTILES, TrainingRange, is_table

SCHEMA, VERSION = "gsr-model", 1
MAX_HEAD_WIDTH = 65_536
_CALIBRATION = Kind(
    "an object of numbers with sigma_scale above 0",
    lambda v: v == {} or (NUMBER_TABLE.test(v) and v.get("sigma_scale", 0) > 0),
)
_STEP = Kind("a whole number from 0", lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0)
_CARD = {
    "model": OBJECT.must(),
    "features": TEXTS_TABLE.must(),
    "data_sha256": TEXT.must(),
    "num_placements": COUNT.must(),
    "families": TEXTS.must(),
    "technologies": TEXTS.must(),
    "fold": _STEP,
    "ranges": Kind(f"an object of {len(QUANTILES)} numbers each", is_table),
    "calibration": _CALIBRATION,
    "base": TEXT_TABLE,
    "added": Kind(
        "an object of numbers by task", lambda v: isinstance(v, dict) and all(map(NUMBER_TABLE.test, v.values()))
    ),
    "held_out_families": TEXTS,
    "technology_out": TEXT,
    "settings": OBJECT,
    "step": _STEP,
    "epoch": _STEP,
    "versions": TEXT_TABLE,
}


@dataclass(frozen=True)
class ModelCard:
    """What a model is, and what it was trained on."""

    model: ModelConfig
    features: dict[str, list[str]]
    data_sha256: str
    num_placements: int
    families: tuple[str, ...]
    technologies: tuple[str, ...]
    ranges: dict[str, list[float]] = field(default_factory=dict)  # see `TrainingRange`; older weights have none
    fold: int | None = None
    held_out_families: tuple[str, ...] = ()
    technology_out: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    base: dict[str, str] = field(default_factory=dict)  # weights that it began with: name and hashes
    added: dict[str, dict[str, int]] = field(default_factory=dict)  # tasks that were added, and on how much data
    calibration: dict[str, float] = field(default_factory=dict)  # see gsr_plugin/calibration.py
    step: int = 0
    epoch: int = 0
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_run(
        cls,
        config: RunConfig,
        train_set: Sequence[Entry],
        held_out: Sequence[Entry],
        *,
        ranges: TrainingRange = TrainingRange(),  # noqa: B008
        fold: int | None = None,
    ) -> "ModelCard":
        """The card of a run that begins."""
        return cls(
            model=config.model,
            features={kind: names(fields) for kind, fields in KINDS.items()}
            | ({"endpoint": names(ENDPOINT_FEATURES)} if SLACK in config.model.tasks else {}),
            data_sha256=data_hash(train_set),
            num_placements=len(train_set),
            families=tuple(sorted({e.family for e in train_set})),
            technologies=tuple(sorted({e.technology for e in train_set})),
            ranges=ranges.quantiles,
            fold=fold,
            held_out_families=tuple(sorted({e.family for e in held_out})),
            technology_out=config.data.technology_out,
            settings=config.model_dump(mode="json", include={"train", "data"}),
            versions=versions(),
        )

    @property
    def training_range(self) -> TrainingRange:
        """What the training placements were like."""
        return TrainingRange(self.technologies, self.ranges)

    @property
    def sigma_scale(self) -> float:
        """What the network's sigma is multiplied by; 1 until it is calibrated."""
        return self.calibration.get("sigma_scale", 1.0)

    @property
    def router_share(self) -> float:
        """Share of the embedded router's map in the congestion; none until it is calibrated."""
        return self.calibration.get("router_share", 0.0)

    @property
    def overflow_blend(self) -> Blend:
        """What the probability of overflow is weighed from; the head alone until it is calibrated."""
        usual = {"head": 1.0, "normal": 0.0, "offset": 0.0}
        return Blend(**{name: float(self.calibration.get(f"overflow_{name}", v)) for name, v in usual.items()})

    def tuned_from(self, base: "ModelCard", *, name: str, sha256: str, added: tuple[str, ...] = ()) -> "ModelCard":
        """The card of a run that began with the weights of `base`: what either has seen, it has seen.

        Where it alone added tasks, range, technologies and number of placements stay those of `base`.
        """
        more = {"num_placements": self.num_placements, "families": len(self.families)}
        whole = replace(
            self,
            features={**self.features, **base.features},
            families=tuple(sorted({*base.families, *self.families})),
            calibration=base.calibration,
            base={"name": name, "weights_sha256": sha256, "data_sha256": base.data_sha256},
            added={**base.added, **dict.fromkeys(added, more)},
        )
        if added:
            return replace(
                whole, num_placements=base.num_placements, technologies=base.technologies, ranges=base.ranges
            )
        return replace(
            whole,
            num_placements=base.num_placements + self.num_placements,
            technologies=tuple(sorted({*base.technologies, *self.technologies})),
            ranges=base.training_range.joined(self.training_range).quantiles,
        )

    def at(self, *, step: int, epoch: int) -> "ModelCard":
        """The card after so many steps."""
        return replace(self, step=step, epoch=epoch)

    def to_json(self) -> dict[str, Any]:
        """The content of `model.json`."""
        values: dict[str, Any] = jsonable(asdict(self) | {"model": self.model.model_dump(mode="json")})
        return {"schema": SCHEMA, "schema_version": VERSION, "grid_t": self.model.grid} | values

    @classmethod
    def from_json(cls, stored: object, *, path: Path | str = "<memory>") -> "ModelCard":
        """The card in `model.json` or in the header of the weights.

        Raises:
            InputError: another schema, a newer version, a missing key, or features that this version does not compute.
        """
        if not isinstance(stored, dict) or stored.get("schema") != SCHEMA:
            raise InputError("is no model of gsr train", path=path, mend="Give a run folder, or its weights.")
        check_version(stored, newest=VERSION, path=path)
        check_kinds(stored, _CARD, path=path, mend="Train again.")
        known = {f: stored[f] for f in cls.__dataclass_fields__ if stored.get(f) is not None}
        known["model"] = _model_config(stored["model"], path)
        for name in ("families", "technologies", "held_out_families"):
            known[name] = tuple(stored.get(name) or ())
        card = cls(**known)
        _check_features(card, path)
        if stored.get("grid_t", card.model.grid) != card.model.grid:
            what = f"grid_t = {stored['grid_t']}, but its model has the grid {card.model.grid}"
            raise InputError(what, path=path, mend="Train again: the weights hold on the grid they were trained on.")
        return card


def _model_config(stored: dict[str, Any], path: Path | str) -> ModelConfig:
    faults = Faults(path)
    try:
        config = ModelConfig.model_validate(stored)
    except ValidationError as e:
        for fault in e.errors():
            name = ".".join(["model", *map(str, fault["loc"])])
            faults.add(f"{name}: {fault['msg']}, found {str(fault['input'])[:60]}", mend="Train again.")
        faults.raise_if_any()
        raise
    if config.head_width > MAX_HEAD_WIDTH:
        raise InputError(f"model.head_width: {config.head_width} is above {MAX_HEAD_WIDTH}", path=path)
    return config


def _check_features(card: ModelCard, path: Path | str) -> None:
    kinds: dict[str, tuple[Field, ...]] = {
        **KINDS,
        **({"endpoint": ENDPOINT_FEATURES} if SLACK in card.model.tasks else {}),
    }
    for kind, fields in kinds.items():
        found = card.features.get(kind)
        wanted = next((earlier for earlier in EARLIER.get(kind, ()) if earlier == found), names(fields))
        if kind in KINDS and getattr(card.model, f"num_{kind}_features") != len(wanted):
            raise InputError(f"model.num_{kind}_features is not {len(wanted)}", path=path, mend="Train again.")
        if found != wanted:
            other = sorted(set(found or ()) ^ set(names(fields))) or ["another order"]
            raise InputError(
                f"the model and this version differ in the {kind} features: {', '.join(other)}",
                path=path,
                mend=f"Train again, or use gsr-plugin {card.versions.get('gsr-plugin', '')}.",
            )


def versions() -> dict[str, str]:
    """Versions of this package and of what its numbers depend on."""
    try:
        own = metadata.version("gsr-plugin")
    except metadata.PackageNotFoundError:
        own = "source"
    return {"gsr-plugin": own, "torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
