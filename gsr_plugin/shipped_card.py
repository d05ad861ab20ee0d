"""The card of a shipped model as data, `card.json` beside its weights, and the Markdown that is printed from it."""

import json
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from circuit_io.errors import Faults
from circuit_io.manifest import check_version, read_json_object

CARD = "card.json"
T = TypeVar("T", bound=BaseModel)
Task = Literal["congestion", "detour", "slack", "drc"]
_MEND = "Install gsr-plugin again, or make the card anew with gsr bench card."


class _Typed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScoreRow(_Typed):
    """Means over placements whose families the model had not seen; None where no placement defines a score."""

    which: str
    placements: int = Field(gt=0)
    pearson: float | None
    spearman: float | None
    kendall: float | None
    r2: float | None
    auc_overflow: float | None
    rudy_pearson: float | None = None


class Words(_Typed):
    """What no file of a run can tell; written by hand, in TOML."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    summary: str
    tasks: list[Task] = Field(min_length=1)
    licence: str
    labels: str
    data_licences: list[str]
    recipe: list[str]
    scoring: str
    limits: list[str]


class ShippedCard(_Typed):
    """All that `gsr weights show` prints."""

    schema_: Literal["gsr-model-card"] = Field(default="gsr-model-card", alias="schema")
    schema_version: Literal[1] = 1
    words: Words
    network: str
    parameters: int = Field(gt=0)
    steps: int = Field(ge=0)
    placements: int = Field(gt=0)
    technologies: list[str]
    folds: dict[str, int]
    data_sha256: str
    weights_sha256: str
    knows_range: bool
    scores: list[ScoreRow]

    def to_json(self) -> str:
        """The content of `card.json`."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=1, sort_keys=True) + "\n"

    def markdown(self) -> str:
        """The card to read."""
        families: dict[int, list[str]] = {}
        for family, fold in sorted(self.folds.items()):
            families.setdefault(fold, []).append(family)
        facts = {
            "tasks": ", ".join(self.words.tasks),
            "network": f"{self.network}; {self.parameters:,} parameters",
            "trained on": f"{self.placements} placements of {len(self.folds)} families: {', '.join(self.technologies)}",
            "labels": self.words.labels,
            "licence": self.words.licence,
            "training range": "in the weights" if self.knows_range else "not in these weights: no warning of drift",
            "data hash": f"`{self.data_sha256}`",
            "weights hash": f"`{self.weights_sha256}`",
        }
        lines = [f"# {self.words.name}", "", self.words.summary, "", "| | |", "| --- | --- |"]
        lines += [f"| {name} | {value} |" for name, value in facts.items()]
        lines += ["", "## Recipe", "", f"{self.steps:,} steps.", "", "```shell", *self.words.recipe, "```"]
        lines += ["", "## Scores", "", self.words.scoring, "", *self._score_lines()]
        lines += ["", "## Folds", "", "| fold | families |", "| --- | --- |"]
        lines += [f"| {fold} | {', '.join(names)} |" for fold, names in sorted(families.items())]
        lines += ["", "## Licences of the data", "", *(f"- {text}" for text in self.words.data_licences)]
        lines += ["", "## Limits", "", *(f"- {text}" for text in self.words.limits)]
        return "\n".join(lines) + "\n"

    def _score_lines(self) -> list[str]:
        columns = {"Pearson": "pearson", "Spearman": "spearman", "Kendall": "kendall", "R2": "r2",
                   "AUC of overflow": "auc_overflow", "RUDY: Pearson": "rudy_pearson"}  # fmt: skip
        out = [f"| | placements | {' | '.join(columns)} |", "| --- " + "| ---: " * (len(columns) + 1) + "|"]
        for row in self.scores:
            values = [getattr(row, name) for name in columns.values()]
            shown = ["-" if v is None else f"{v:.3f}" for v in values]
            out.append(f"| {row.which} | {row.placements} | {' | '.join(shown)} |")
        return out


def read_card(path: Path) -> ShippedCard:
    """The card in a file.

    Raises:
        InputError: no such file, no card, a newer version, or a value of the wrong kind; names each.
    """
    stored = read_json_object(path, mend=_MEND)
    check_version(stored, newest=1, path=path)
    return checked(ShippedCard, stored, path=path, mend=_MEND)


def checked(kind: type[T], stored: object, *, path: Path, mend: str) -> T:
    """`stored` as a card or its words.

    Raises:
        InputError: names each key that is missing, unknown, or of the wrong kind.
    """
    try:
        return kind.model_validate(stored)
    except ValidationError as e:
        faults = Faults(path)
        for fault in e.errors():
            faults.add(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}", mend=mend)
        faults.raise_if_any()
        raise
