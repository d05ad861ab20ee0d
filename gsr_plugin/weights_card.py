"""What `gsr weights` says: of shipped models by their cards, of the weights of a run by what their header tells."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuit_io.errors import InputError, did_you_mean
from gsr_plugin.shipped import MODELS, Shipped, find_weights, is_shipped, named, shipped, table


@dataclass(frozen=True)
class Said:
    """For --json, for people, and whether all weights are what their cards say."""

    value: dict[str, Any]
    text: str
    is_good: bool = True


def do(action: str = "list", name: str = "", *, root: Path = MODELS) -> Said:
    """Do what `gsr weights` is asked.

    Args:
        action: "list" (of a task, when one is named), "verify" (all, or one), "show" or "choose".
        name: of a model, a task or a path, as the action takes it.
        root: where the shipped models lie.

    Raises:
        InputError: an unknown name or task; of "show" and of "verify" with a name also weights that are not whole.
    """
    if action == "choose":
        if not name:
            raise InputError("no task", path="gsr weights choose", mend="For example gsr weights choose congestion.")
        path = find_weights(task=name, root=root)
        return Said({"task": name, "path": path}, str(path))
    if action == "show":
        if not name:
            raise InputError("no name", path="gsr weights show", mend="For example gsr weights show gsr-base.")
        return Said(*show(name, root=root))
    if action == "verify":
        found = [named(name, root=root)] if name else shipped(root=root)
        lines = [m.fault or f"{m.name}: as its card says, SHA-256 {_hash(m)}" for m in found]
    else:
        found = shipped(name, root=root)
        lines = [table(found)]
    rows = [
        {"name": m.name, "path": m.path, "size_bytes": m.size_bytes, "is_default": m.is_default, "fault": m.fault,
         "tasks": m.card.words.tasks if m.card else [], "weights_sha256": _hash(m)}
        for m in found
    ]  # fmt: skip
    return Said({"weights": rows}, "\n".join(lines), not any(m.fault for m in found))


def _hash(model: Shipped) -> str:
    return model.card.weights_sha256 if model.card else ""


def show(wanted: str, *, root: Path = MODELS) -> tuple[dict[str, Any], str]:
    """The card as data and as Markdown.

    Args:
        wanted: name of shipped weights, or the path of a run folder or of weights.
        root: where the shipped models lie.

    Raises:
        InputError: neither a name nor a path, or weights that are not what their card says.
    """
    path = Path(wanted)
    names = [m.name for m in shipped(root=root)]
    if wanted in names or (path.is_dir() and is_shipped(path, root=root)):
        card = named(path.name, root=root).card
        assert card is not None
        return card.model_dump(mode="json", by_alias=True), card.markdown().rstrip()
    if not path.exists():
        raise InputError(f'no shipped weights "{wanted}", and no such path', path="weights",
                         mend=did_you_mean(wanted, names))  # fmt: skip
    from gsr_plugin.weights import load_weights

    loaded = load_weights(path, device="cpu")
    card_ = loaded.card
    parameters = sum(p.numel() for p in loaded.model.parameters())
    rows = {
        "tasks": ", ".join(card_.model.tasks),
        "network": f"GSR-GNN, {card_.model.layers} layers, {card_.model.width} channels, top {card_.model.k}; "
        f"{parameters:,} parameters",
        "trained on": f"{card_.num_placements} placements of {len(card_.families)} families: "
        f"{', '.join(card_.technologies)}",
        "held out": ", ".join(card_.held_out_families) or "nothing",
        "steps": f"{card_.step:,}",
        **{f"added: {task}": f"on {n['num_placements']} placements" for task, n in card_.added.items()},
        "begun with": " ".join(card_.base.get(k, "") for k in ("name", "weights_sha256")).strip() or "nothing",
        "training range": "known" if card_.ranges else "not known, so gsr predict does not warn of drift",
        "data hash": f"`{card_.data_sha256}`",
        "weights hash": f"`{loaded.sha256}`",
    }
    lines = [f"# {path.name}", "", "| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())]
    return card_.to_json() | {"weights_sha256": loaded.sha256}, "\n".join(lines)
