"""Fine-tuning on a user's own labels: what it gained on placements that it had not seen, measured before it is used.

The families of the data are dealt into groups; for each, the weights are tuned on the others and scored on the group,
beside the weights that they began with. Only then are they tuned on all of the data. Normalisation stays that of the
weights: what their first layers learned is in its units, and without it there would be nothing to begin with.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from circuit_io.atomic import write_whole
from gsr_plugin.calibration import calibrate
from gsr_plugin.checkpoint import STATE
from gsr_plugin.config import load_config, to_toml
from gsr_plugin.dataset import Entry, Loader, find_designs
from gsr_plugin.evaluate import score_entry
from gsr_plugin.jsonable import jsonable, to_json_line
from gsr_plugin.metrics import PlacementScores, Scores
from gsr_plugin.run import with_model_of
from gsr_plugin.run_folder import CONFIG, check_out, kept_settings, refuse_base
from gsr_plugin.shipped import find_weights
from gsr_plugin.train import TrainResult, train
from gsr_plugin.weights import Weights, load_weights

SETTINGS = Path(__file__).parent / "templates" / "finetune.toml"
MEASURE, REPORT, PAGE = "measure", "finetune.json", "finetune.md"
GROUPS = 3
FEWEST, DRAWS = 3, 10_000  # families for an interval, and draws of them
SHOWN = ("pearson", "spearman", "r2", "mae")


@dataclass(frozen=True)
class Compared:
    """Scores of the same placements by the weights of the beginning and by tuned ones; plain means."""

    placements: int
    families: int
    before: Scores
    after: Scores
    pearson_by_family: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, before: Sequence[PlacementScores], after: Sequence[PlacementScores]) -> "Compared":
        """Of two lists in the same order."""
        by_family: dict[str, tuple[float, float]] = {}
        for family in sorted({p.family for p in before}):
            pairs = [Scores.mean(p.mean for p in scored if p.family == family).pearson for scored in (before, after)]
            by_family[family] = (pairs[0], pairs[1])
        means = [Scores.mean(p.mean for p in scored) for scored in (before, after)]
        return cls(len(before), len(by_family), means[0], means[1], by_family)


@dataclass(frozen=True)
class Finetuned:
    """What fine-tuning did.

    Attributes:
        run: the training on all of the data.
        base: name of the weights that it began with.
        held_out: the data, each placement by weights that were tuned without it; None where that cannot be.
        is_by_family: whether whole families were held out, else placements of the one family there is.
        known: families of the data that the weights had seen before.
        kept: data to be kept in mind, by the final weights.
        notes: what the numbers do not say.
    """

    run: TrainResult
    base: str
    held_out: Compared | None
    is_by_family: bool
    known: tuple[str, ...]
    kept: Compared | None
    notes: tuple[str, ...]

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the gain lies in 95 % of draws of as many families from those held out; None below three."""
        if self.held_out is None or not self.is_by_family or self.held_out.families < FEWEST:
            return None
        gains = np.asarray([after - before for before, after in self.held_out.pearson_by_family.values()])
        draws = np.random.default_rng(0).integers(0, len(gains), (DRAWS, len(gains)))
        low, high = np.nanquantile(gains[draws].mean(axis=1), [0.025, 0.975])
        return float(low), float(high)

    @property
    def gained(self) -> float | None:
        """Gain in Pearson on unseen designs; None where none was measured."""
        if self.held_out is None or not self.is_by_family:
            return None
        return self.held_out.after.pearson - self.held_out.before.pearson

    def verdict(self) -> str:
        """One sentence."""
        held = self.held_out
        if held is None:
            return "Nothing was measured: there is one placement only, and it was trained on."
        moved = (
            f"Pearson {held.before.pearson:.3f} before, {held.after.pearson:.3f} after, mean absolute error "
            f"{held.before.mae:.3f} before, {held.after.mae:.3f} after"
        )
        if not self.is_by_family:
            return (
                f"The gain on unseen designs cannot be measured: all data is of one family. On {held.placements} "
                f"placements of it, each held out in turn: {moved}."
            )
        better = sum(after > before for before, after in held.pearson_by_family.values())
        found = (
            f"{moved}, on {held.placements} placements of {held.families} families, each held out in turn; better in "
            f"{better} of {held.families}."
        )
        if (self.gained or 0) <= 0:
            return f"{found} Nothing was gained: stay with {self.base}."
        if self.interval is None:
            return f"{found} {held.families} families are too few to tell a gain from chance."
        low, high = self.interval
        span = f"By families the gain is {low:+.3f} to {high:+.3f} (95 %)"
        return f"{found} {span}." if low > 0 else f"{found} {span}: it may be chance."

    def to_json(self) -> dict[str, Any]:
        """One object with stable keys."""
        whole = {"schema": "gsr-finetune", "schema_version": 1, **vars(self), "gained": self.gained,
                 "interval": self.interval,
                 "verdict": self.verdict()}  # fmt: skip
        cleaned: dict[str, Any] = jsonable(whole)
        return cleaned

    def markdown(self) -> str:
        """The report."""
        lines = [f"# Fine-tuned from {self.base}", "", self.verdict(), ""]
        lines += [f"| | placements | {' | '.join(f'{s}, before | after' for s in SHOWN)} |"]
        lines += ["| --- " + "| ---: " * (1 + 2 * len(SHOWN)) + "|"]
        for name, row in (("held out", self.held_out), ("kept in mind", self.kept)):
            if row is not None:
                cells = [f"{getattr(s, n):.3f}" for n in SHOWN for s in (row.before, row.after)]
                lines.append(f"| {name} | {row.placements} | {' | '.join(cells)} |")
        if self.held_out is not None:
            lines += ["", "| family held out | Pearson before | after |", "| --- | ---: | ---: |"]
            lines += [f"| {f} | {a:.3f} | {b:.3f} |" for f, (a, b) in self.held_out.pearson_by_family.items()]
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes)]) + "\n"


def finetune(
    data: Sequence[Path],
    out: Path,
    *,
    base: Path | None = None,
    keep: Sequence[Path] = (),
    config: Path | None = None,
    sets: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
) -> Finetuned:
    """Tune weights on labelled placements; `out` is then a run folder with a report of what was gained.

    Args:
        data: folders that hold folders written by `gsr export --labels`.
        out: the run folder.
        base: a run folder, weights, or the name of shipped ones; those for the task when not given.
        keep: further such folders, which are not trained on, to see what is forgotten.
        config: TOML file of settings; else templates/finetune.toml.
        sets: assignments like "train.lr=3e-4".
        resume: go on with what was begun in `out`.
        overwrite: start anew in an `out` that holds a run.
        quiet: show no progress.

    Raises:
        InputError: as of `train`; settings of a model; an `out` among the shipped weights or that of `base`.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint of the part under way is written.
    """
    path = find_weights(base)
    begin = load_weights(path)
    refuse_base(out, path)
    check_out(out, resume=resume, overwrite=overwrite)
    begun = kept_settings(out) if resume else SETTINGS
    settings = with_model_of(begin, load_config(config or begun, sets))
    entries, load = find_designs(data), Loader(settings.train.cache_mb)
    kept = find_designs(keep) if keep else []
    if not resume:
        shutil.rmtree(out / MEASURE, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / CONFIG, to_toml(settings).encode())  # marks the folder as ours from now on

    def tune(where: Path, without: Sequence[Entry]) -> tuple[TrainResult, Weights]:
        go_on = resume and (where / STATE).is_file()
        found = train(
            data, where, config=settings, base=path, hold_out=without, resume=go_on,
            overwrite=True, quiet=quiet,
        )  # fmt: skip
        return found, load_weights(where, device=settings.train.device)

    groups = _groups(entries)
    before: list[PlacementScores] = []
    after: list[PlacementScores] = []
    parts = [out / MEASURE / str(i) for i in range(len(groups))]
    for where, group in zip(parts, groups, strict=True):
        _, tuned = tune(where, group)
        before += _scores(begin, group, load)
        after += _scores(tuned, group, load)
    run, final = tune(out, [])
    families = {e.family for e in entries}
    known = tuple(sorted(families & set(begin.card.families)))
    made = Finetuned(
        run=run,
        base=path.name,
        held_out=Compared.of(before, after) if before else None,
        is_by_family=len(families) > 1,
        known=known,
        kept=Compared.of(_scores(begin, kept, load), _scores(final, kept, load)) if kept else None,
        notes=(),
    )
    made = replace(made, notes=(*_notes(made, kept, begin), _calibrated(out, data, parts, families - set(known))))
    write_whole(out / REPORT, (to_json_line(made.to_json()) + "\n").encode())
    write_whole(out / PAGE, made.markdown().encode())
    return made


def _groups(entries: Sequence[Entry]) -> list[list[Entry]]:
    """What is held out in turn: families dealt by their size, or placements of the only family; nothing of one."""
    members: dict[str, list[Entry]] = {}
    for e in entries:
        members.setdefault(e.family, []).append(e)
    parts = sorted(members.values(), key=len, reverse=True) if len(members) > 1 else [[e] for e in entries]
    num = min(GROUPS, len(parts))
    return [[e for part in parts[i::num] for e in part] for i in range(num)] if num > 1 else []


def _scores(weights: Weights, entries: Sequence[Entry], load: Loader) -> list[PlacementScores]:
    return [score_entry(weights.predict(load(e).graph).congestion, e, load) for e in entries]


def _notes(made: Finetuned, kept: Sequence[Entry], begin: Weights) -> list[str]:
    out = []
    if made.known:
        out.append(
            f"{made.base} was trained on {', '.join(made.known)} already: these designs were not new to it, and its "
            "scores on them before are too good for unseen designs."
        )
    if made.held_out is not None:
        out.append("The weights that are kept are tuned on all of the data; no score of theirs on it is given.")
    if made.kept is None:
        out.append("What it forgot was not measured: give data of the kind that must not suffer with --keep.")
    elif {e.family for e in kept} & set(begin.card.families):
        out.append(
            "Of what is kept in mind, the weights had seen designs when they began: both scores are of seen ones."
        )
    if not begin.card.training_range.is_known:
        out.append(f"{made.base} does not know its training range, so the new weights do not warn of drift either.")
    return out


def _calibrated(out: Path, data: Sequence[Path], parts: Sequence[Path], new: set[str]) -> str:
    """Bring sigma and overflow to what they are on the families held out, if there are enough; says what was done."""
    if len(new) < 2:
        return (
            "Sigma and the probability of overflow stay calibrated as they were: it takes two families that the "
            "weights had not seen to do it anew."
        )
    found = calibrate(out, data, runs=parts, overwrite=True)  # what is there is that of the weights it began with
    return (
        f"Sigma is multiplied by {found.sigma_scale:.2f}: 90 % intervals then hold {found.coverage:.0%} of the edges "
        f"of a family held out ({found.least_coverage:.0%} to {found.most_coverage:.0%}). The probability of overflow "
        "is weighed by these families, too, if two of them overflow."
    )
