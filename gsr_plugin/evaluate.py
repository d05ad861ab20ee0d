"""How good a model is on labelled placements, with two baselines always beside it.

RUDY on gcell boxes says what needs no learning (brought to scale by one line over the other families); the nearest
training cell, which copies the label of the most similar gcell of the training set, shows what mere likeness gives:
a model that is no better has learned by heart, and a split that leaks makes it look good.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from circuit_io.errors import InputError
from circuit_io.graph import CircuitGraph
from gsr_plugin import slack_scores
from gsr_plugin.baselines import NearestCell, Pair, RudyLine
from gsr_plugin.dataset import Entry, Loader, find_designs, read_split
from gsr_plugin.detour_scores import Constants, DetourEvaluation, PlacementDetour, score_detour
from gsr_plugin.drc_scores import DrcEvaluation, PlacementDrc, score_drc
from gsr_plugin.jsonable import jsonable
from gsr_plugin.metrics import PlacementScores, Scores, Summary, score_placement, summarize
from gsr_plugin.model import DETOUR, DRC, SLACK
from gsr_plugin.predict import predict_views
from gsr_plugin.progress import Progress
from gsr_plugin.shipped import find_weights
from gsr_plugin.slack_scores import SlackEvaluation
from gsr_plugin.weights import load_weights

MODEL, RUDY, NEAREST = "gsr-gnn", "rudy on gcell boxes", "nearest training cell"


@dataclass(frozen=True)
class Evaluation:
    """Scores of the model and the baselines, over the same placements."""

    methods: dict[str, Summary]
    placements: dict[str, list[PlacementScores]]
    fold: int | None
    num_seen: int  # placements whose family the model was trained on
    weights_sha256: str
    notes: tuple[str, ...]
    detour: DetourEvaluation | None = None  # without that task of the weights, or without lengths in the labels
    slack: SlackEvaluation | None = None  # the same of slacks
    drc: DrcEvaluation | None = None  # and of violations

    def to_json(self) -> dict[str, Any]:
        """One object with stable keys; a score that is not defined is null."""
        rows = {
            name: [
                {k: getattr(p, k) for k in ("family", "technology", "design", "variant", "num_gcells", "num_overflow")}
                | {"h": p.h, "v": p.v, "mean": p.mean}
                for p in placements
            ]
            for name, placements in self.placements.items()
        }
        whole = {
            "schema": "gsr-evaluation",
            "schema_version": 1,
            "fold": self.fold,
            "num_seen": self.num_seen,
            "weights_sha256": self.weights_sha256,
            "notes": self.notes,
            "methods": self.methods,
            "placements": rows,
            "detour": None if self.detour is None else self.detour.to_json(),
            "slack": None if self.slack is None else self.slack.to_json(),
            "drc": None if self.drc is None else self.drc.to_json(),
        }
        cleaned: dict[str, Any] = jsonable(whole)
        return cleaned

    def table(self) -> str:
        """The scores as a Markdown table."""
        first = next(iter(self.methods.values()))
        lines = ["| method | placements | " + " | ".join(Scores.names()) + " |"]
        lines.append("|---" * (len(Scores.names()) + 2) + "|")
        for name, summary in self.methods.items():
            lines.append(_row(name, f"{first.num_headline} of 400 gcells and more", summary.headline))
            if first.num_small:
                lines.append(_row(name, f"{first.num_small} smaller", summary.small))
                lines.append(_row(name, f"all {first.num_headline + first.num_small}, alike", summary.alike))
        lines += ["", self.detour.table()] if self.detour else []
        lines += ["", self.slack.table()] if self.slack else []
        lines += ["", self.drc.table()] if self.drc else []
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])


def _row(name: str, which: str, scores: Scores) -> str:
    values = [getattr(scores, score) for score in Scores.names()]
    return " | ".join([f"| {name}", which, *("-" if math.isnan(v) else f"{v:.3f}" for v in values)]) + " |"


def evaluate(
    data: Sequence[Path],
    weights: Path | None = None,
    *,
    fold: int | None = None,
    folds: Path | None = None,
    everything: bool = False,
    views: int = 1,
    device: str = "auto",
    quiet: bool = True,
) -> Evaluation:
    """Scores of a model on labelled placements that it has not seen.

    Args:
        data: folders that hold folders written by `gsr export --labels`.
        weights: a run folder, a `weights.safetensors`, or the name of shipped ones; those for the task when not given.
        fold: score the families of this fold; else of the fold that the model held out.
        folds: the file that gives families their folds; else `folds.toml` in or beside the data.
        everything: score all placements, seen or not.
        views: mirrored and turned views of a design whose predictions are averaged, 1 to 8.
        device: "auto", "cpu" or "cuda".
        quiet: show no progress.

    Raises:
        InputError: no data, no such fold, or weights that do not fit.
    """
    loaded = load_weights(find_weights(weights), device=device)
    card = loaded.card
    fold = card.fold if fold is None else fold
    entries = find_designs(data)
    train_set, held_out = read_split(
        entries, data, fold=fold, folds=folds, technology_out=card.technology_out if fold is None else ""
    )
    load = Loader()
    train_set, no_edge = _with_edges(train_set, load)
    chosen, bare = _with_edges(entries if everything or not held_out else held_out, load)
    if not chosen or not train_set:
        raise InputError("no placement has an unmasked edge", path=data[0], mend="Label the designs again.")
    seen = [e for e in chosen if e.family in card.families]
    nearest = NearestCell.fit(train_set, load, loaded.normaliser)
    line = RudyLine.fit(train_set, load)
    known = {e.family for e in train_set}
    alone = [e for e in chosen if known == {e.family}]
    has_detour = DETOUR in card.model.tasks
    constants = Constants.fit(train_set if has_detour else [], load)
    has_slack = SLACK in card.model.tasks
    changes = slack_scores.Constants.fit(train_set if has_slack else [], load)
    methods: dict[str, Callable[[CircuitGraph, Entry], Pair]] = {
        RUDY: line.predict,
        NEAREST: nearest.predict,
    }
    if alone:
        del methods[NEAREST]
    placements: dict[str, list[PlacementScores]] = {name: [] for name in (MODEL, RUDY, NEAREST)}
    of_nets: list[PlacementDetour] = []
    of_ends: list[slack_scores.PlacementSlack] = []
    violated: list[PlacementDrc] = []
    with Progress(len(chosen), quiet=quiet, what="evaluate") as progress:
        for i, entry in enumerate(chosen):
            ends = load(entry).slack if has_slack else None
            found = predict_views(load(entry).graph, loaded, views=views, endpoints=ends)
            placements[MODEL].append(score_entry(found.congestion, entry, load))
            scored = None if found.detour is None else score_detour(found.detour, entry, load, constants)
            of_nets += [scored] if scored else []
            change = found.slack_change_ns
            timed = None if change is None else slack_scores.score_slack(change, entry, load, changes)
            of_ends += [timed] if timed else []
            hit = None if found.drc_prob is None else score_drc(found.drc_prob, found.congestion, entry, load)
            violated += [hit] if hit else []
            for name, method in methods.items():
                placements[name].append(score_entry(method(load(entry).graph, entry), entry, load))
            progress.update(i + 1, entry.name)
    return Evaluation(
        methods={name: summarize(scored) for name, scored in placements.items()},
        placements=placements,
        fold=fold,
        num_seen=len(seen),
        weights_sha256=loaded.sha256,
        notes=(
            *_notes(chosen, seen, held_out, alone),
            *_unscored(bare, no_edge, placements[MODEL]),
            *_of_nets(chosen, len(of_nets), load, has_detour=has_detour),
            *_of_ends(len(chosen), len(of_ends), has_slack=has_slack),
            *_of_routes(len(chosen), len(violated), has_drc=DRC in card.model.tasks),
        ),
        detour=DetourEvaluation(of_nets) if of_nets else None,
        slack=SlackEvaluation(of_ends) if of_ends else None,
        drc=DrcEvaluation(violated) if violated else None,
    )


def _with_edges(entries: Sequence[Entry], load: Loader) -> tuple[list[Entry], list[Entry]]:
    """Placements with an unmasked edge, and those without: one gcell, or no tracks."""
    good: list[Entry] = []
    bare: list[Entry] = []
    for e in entries:
        labels = load(e).labels
        is_good = bool(np.isfinite(labels.congestion_h).any() or np.isfinite(labels.congestion_v).any())
        (good if is_good else bare).append(e)
    return good, bare


def _of_nets(chosen: Sequence[Entry], num_scored: int, load: Loader, *, has_detour: bool) -> list[str]:
    if has_detour:
        left = len(chosen) - num_scored
        return [f"{left} placements have no routed lengths of nets from a global router"] if left else []
    if any((load(e).labels.net_length_um > 0).any() for e in chosen):
        return ["these weights have no detour task: routed lengths of nets are not scored"]
    return []


def _of_ends(total: int, num_scored: int, *, has_slack: bool) -> list[str]:
    if not has_slack or num_scored == total:
        return []
    return [f"{total - num_scored} placements have no slacks of endpoints before and after global route, or no Liberty"]


def _of_routes(total: int, num_scored: int, *, has_drc: bool) -> list[str]:
    left = total - num_scored
    return [f"{left} placements have no report of a detailed route"] if has_drc and left else []


def _unscored(bare: Sequence[Entry], no_edge: Sequence[Entry], scored: Sequence[PlacementScores]) -> list[str]:
    notes = []
    left_out = sorted({*bare, *no_edge})
    if left_out:
        notes.append(f"{len(left_out)} placements have no unmasked edge and are left out (first: {left_out[0].name})")
    flat = [p for p in scored if math.isnan(p.mean.pearson)]
    if flat:
        first = f"{flat[0].technology}/{flat[0].design}/{flat[0].variant}"
        notes.append(
            f"{len(flat)} placements have the same congestion on all edges of a direction and no correlation (first: "
            f"{first}): means are over the others"
        )
    return notes


def _notes(chosen: list[Entry], seen: list[Entry], held_out: list[Entry], alone: list[Entry]) -> tuple[str, ...]:
    notes = []
    if seen:
        families = sorted({e.family for e in seen})
        notes.append(
            f"{len(seen)} of {len(chosen)} placements are of families in the training set ({', '.join(families[:5])}"
            f"{', ...' if len(families) > 5 else ''}): their scores say nothing of new designs"
        )
    if alone:
        notes.append(
            f"no other family than {alone[0].family} to compare with: there is no nearest training cell, and RUDY's "
            "line is fitted on the very labels that it is scored on"
        )
    elif not held_out:
        notes.append(
            "nothing is held out: the nearest training cell and RUDY's line are of other families than the placement's"
        )
    return tuple(notes)


def score_entry(guess: Pair, entry: Entry, load: Loader) -> PlacementScores:
    """Scores of predicted maps (H, V) of one labelled placement."""
    labels = load(entry).labels
    return score_placement(
        (labels.congestion_h, labels.congestion_v),
        guess,
        family=entry.family,
        technology=entry.technology,
        design=entry.design,
        variant=entry.variant,
    )
