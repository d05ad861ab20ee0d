"""The weights that come with the package: which there are, whether they are whole, and which a command takes."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from circuit_io.errors import InputError, did_you_mean
from circuit_io.text import sha256_of_file
from gsr_plugin.shipped_card import CARD, ShippedCard, Task, read_card

MODELS = Path(__file__).parent / "models"
# what a command takes for a task when no weights are given
DEFAULTS = {"congestion": "gsr-base", "detour": "gsr-base", "drc": "gsr-base"}
WEIGHTS = "weights.safetensors"
_MEND = "Install gsr-plugin again; in a checkout make the card anew (CONTRIBUTING.md)."


@dataclass(frozen=True)
class Shipped:
    """One shipped model; `fault` says what is wrong with it, "" when it is whole."""

    name: str
    path: Path
    card: ShippedCard | None
    size_bytes: int
    fault: str

    @property
    def is_default(self) -> bool:
        """Whether a command takes it when no weights are given."""
        return self.name in DEFAULTS.values()


def shipped(task: str = "", *, root: Path = MODELS) -> list[Shipped]:
    """The shipped models, those of a task alone when one is named; their hashes are checked.

    Raises:
        InputError: no such task.
    """
    _check_task(task)
    found = [_look(folder) for folder in sorted(root.iterdir()) if folder.is_dir()] if root.is_dir() else []
    return [m for m in found if not task or (m.card is not None and task in m.card.words.tasks)]


def _look(folder: Path) -> Shipped:
    weights, card, fault = folder / WEIGHTS, None, ""
    size = weights.stat().st_size if weights.is_file() else 0
    try:
        card = read_card(folder / CARD)
    except InputError as e:
        fault = str(e)
    if card is not None:
        found = sha256_of_file(weights) if weights.is_file() else ""
        if not found:
            fault = f"{folder}: has a {CARD} but no {WEIGHTS}"
        elif found != card.weights_sha256:
            fault = f"{weights}: its SHA-256 is {found[:12]}.., its card says {card.weights_sha256[:12]}.."
        elif card.words.name != folder.name:
            fault = f'{folder / CARD}: is the card of "{card.words.name}"'
    return Shipped(folder.name, folder, card, size, fault)


def named(name: str, *, root: Path = MODELS) -> Shipped:
    """The shipped model of that name, whole.

    Raises:
        InputError: there is none, or it is not what its card says.
    """
    known = _names(root)
    if name not in known:
        raise InputError(f'no shipped weights "{name}"', path="weights", mend=did_you_mean(name, known))
    found = _look(root / name)
    if found.fault:
        path, _, what = found.fault.partition(": ")
        raise InputError(what, path=path, mend=_MEND)
    return found


def find_weights(wanted: Path | None = None, *, task: str = "congestion", root: Path = MODELS) -> Path:
    """The weights that a command takes: a path, the name of shipped ones, or those shipped for the task.

    Raises:
        InputError: neither a path nor a name; shipped weights that are not what their card says, or without the task.
    """
    _check_task(task)
    if wanted is None:
        found = named(DEFAULTS[task], root=root)
        if found.card is None or task not in found.card.words.tasks:
            raise InputError(f"has no task {task}", path=found.path, mend="Give --weights of a run that has it.")
        return found.path
    if wanted.exists():
        return named(wanted.name, root=root).path if wanted.resolve().parent == root.resolve() else wanted
    if len(wanted.parts) == 1 and wanted.name in _names(root):
        return named(wanted.name, root=root).path
    known = _names(root)
    mend = f"Give a run folder of gsr train, its weights, or shipped ones. {did_you_mean(str(wanted), known)}"
    raise InputError("does not exist", path=wanted, mend=mend)


def is_shipped(path: Path, *, root: Path = MODELS) -> bool:
    """Whether a path lies among the shipped models, which nothing may replace."""
    return path.resolve().is_relative_to(root.resolve())


def table(models: Iterable[Shipped]) -> str:
    """The models as lines to read."""
    lines = []
    for m in models:
        about = "no card" if m.card is None else (
            f"{', '.join(m.card.words.tasks)}; {m.card.network}; {m.card.placements} placements of "
            f"{len(m.card.folds)} families; {', '.join(m.card.technologies)}"
        )  # fmt: skip
        state = m.fault or f"whole, {m.size_bytes / 1e6:.1f} MB{', the default' if m.is_default else ''}"
        lines.append(f"{m.name}: {about}\n  {state}")
    return "\n".join(lines) or "no shipped weights"


def _names(root: Path) -> list[str]:
    return sorted(folder.name for folder in root.iterdir() if folder.is_dir()) if root.is_dir() else []


def _check_task(task: str) -> None:
    if task in DEFAULTS or not task:
        return
    if task in get_args(Task):
        mend = "Train weights of your own with it (docs/training.md), and give them by --weights."
        raise InputError(f'no shipped weights have the task "{task}"', path="weights", mend=mend)
    raise InputError(f'no task "{task}"', path="weights", mend=did_you_mean(task, DEFAULTS))
