"""Ship the weights of a run: the model, its card as data and as Markdown, in one folder.

    gsr bench card RUN --words WORDS --scores SCORES --folds FOLDS [--exports DATA..] [--trunk RUN0] --out FOLDER

WORDS is TOML with what no file tells (bench/gsr-base-card.toml), SCORES what `gsr bench quality` wrote, FOLDS the
folds.toml that it used. Weights that do not keep the range of their training placements get it from DATA, the exports
they were trained on. Where RUN gave the weights of RUN0 a further task (`gsr train --add`), --trunk names RUN0: the
card is that of its training, and all else that RUN holds must be the same. FOLDER, gsr_plugin/models/NAME, then holds
the weights, model.json, card.json and README.md.
"""

import argparse
import math
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from circuit_io.atomic import write_whole  # noqa: E402
from circuit_io.errors import InputError  # noqa: E402
from circuit_io.manifest import read_json_object  # noqa: E402
from gsr_plugin.dataset import Loader, find_designs, read_folds  # noqa: E402
from gsr_plugin.shipped_card import CARD, ScoreRow, ShippedCard, Words, checked  # noqa: E402
from gsr_plugin.training_range import TrainingRange  # noqa: E402
from gsr_plugin.weights import Weights, load_weights, write_weights  # noqa: E402

SCORES = ("pearson", "spearman", "kendall", "r2", "auc_overflow")
MODEL, RUDY = "gsr-gnn", "rudy on gcell boxes"


def check_tasks(words: Words, weights: Weights, path: Path) -> None:
    """Refuse words that name other tasks than the weights have."""
    if tuple(words.tasks) != weights.card.model.tasks:
        what = f"names the tasks {', '.join(words.tasks)}, the weights have {', '.join(weights.card.model.tasks)}"
        raise InputError(what, path=path)


def score_rows(scores: dict[str, Any], families: set[str]) -> list[ScoreRow]:
    """The lines of a card from the file of `gsr bench quality`: the means, each technology, and the further sets.

    Raises:
        InputError: it scores other families than the model was trained on, or some that a fold's model had seen.
    """
    placements = scores["placements"][MODEL]
    found = {p["family"] for p in placements}
    for of in (scores.get("sets") or {}).values():
        found |= set(of[MODEL]["pearson_by_family"])
    if found != families or scores["num_seen"]:
        other = ", ".join(sorted(found ^ families)[:5]) or f"{scores['num_seen']} placements were seen in training"
        raise InputError(f"the scores are not of this model's data: {other}", path="--scores")
    ours, rudy = scores["methods"][MODEL], scores["methods"][RUDY]
    counts = {"headline": ours["num_headline"], "small": ours["num_small"], "alike": len(placements)}
    names = {"headline": "400 gcells and more, mean over families", "small": "smaller, mean over families",
             "alike": "all, plain mean"}  # fmt: skip
    rows = [
        ScoreRow(which=names[key], placements=n, rudy_pearson=rudy[key]["pearson"], **{s: ours[key][s] for s in SCORES})
        for key, n in counts.items()
        if n
    ]
    baseline = [p["mean"]["pearson"] for p in scores["placements"][RUDY]]
    for technology in sorted({p["technology"] for p in placements}):
        at = [i for i, p in enumerate(placements) if p["technology"] == technology]
        means = {s: _mean([placements[i]["mean"][s] for i in at]) for s in SCORES}
        rows.append(
            ScoreRow(which=f"{technology}, plain mean", placements=len(at),
                     rudy_pearson=_mean([baseline[i] for i in at]), **means)
        )  # fmt: skip
    for name, of in list((scores.get("sets") or {}).items())[1:]:
        means = {s: of[MODEL]["alike"][s] for s in SCORES}
        rows.append(ScoreRow(which=f"{name}, plain mean", placements=of[MODEL]["num_placements"], **means))
    return rows


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None and math.isfinite(v)]
    return fmean(known) if known else None


def with_range(weights: Weights, data: list[Path]) -> Weights:
    """The same weights with the range of the exports that they were trained on, unless they have it.

    Raises:
        InputError: other exports than those of the training.
    """
    card = weights.card
    if card.ranges or not data:
        return weights
    entries = [e for e in find_designs(data) if e.family not in card.held_out_families]
    if len(entries) != card.num_placements or {e.family for e in entries} != set(card.families):
        what = f"{len(entries)} placements, the weights were trained on {card.num_placements}"
        raise InputError(what, path=data[0], mend="Give the exports of the training.")
    return replace(weights, card=replace(card, ranges=TrainingRange.of(entries, Loader(1)).quantiles))


def with_trunk(weights: Weights, trunk: Path) -> Weights:
    """The same weights with the card of those that they were given a task besides.

    Raises:
        InputError: they differ in more than the heads of further tasks.
    """
    base, ours = load_weights(trunk, device="cpu"), weights.model.state_dict()
    for name, t in base.model.state_dict().items():
        if name not in ours or not torch.equal(t, ours[name]):
            raise InputError(f'tensor "{name}" is not that of {weights.path}', path=trunk, mend="Give what --from was.")
    return replace(weights, card=replace(base.card, model=weights.card.model, added=weights.card.added))


def ship(
    run: Path, out: Path, *, words: Path, scores: Path, folds: Path, exports: list[Path], trunk: Path | None = None
) -> ShippedCard:
    """Write the folder of a shipped model; returns its card."""
    text = checked(Words, tomllib.loads(words.read_text("utf-8")), path=words, mend="See bench/gsr-base-card.toml.")
    if text.name != out.name:
        raise InputError(f'is of "{text.name}"', path=words, mend=f"Give --out a folder called {text.name}.")
    weights = with_range(load_weights(run, device="cpu"), exports)
    weights = weights if trunk is None else with_trunk(weights, trunk)
    check_tasks(text, weights, words)
    card, of = weights.card, read_folds(folds)
    rows = score_rows(read_json_object(scores), set(card.families))
    out.mkdir(parents=True, exist_ok=True)
    write_weights(out, weights.model.state_dict(), weights.normaliser, card)
    model = card.model
    made = ShippedCard(
        words=text.model_copy(update={k: getattr(text, k).strip() for k in ("summary", "scoring")}),
        network=f"GSR-GNN, {model.layers} reversible layers, {model.width} channels in {model.groups} groups, "
        f"top {model.k} of {model.width // model.groups}, grid 2^-{model.grid}",
        parameters=sum(p.numel() for p in weights.model.parameters()),
        steps=card.step,
        placements=card.num_placements,
        technologies=list(card.technologies),
        folds={family: of[family] for family in card.families},
        data_sha256=card.data_sha256,
        weights_sha256=load_weights(out, device="cpu").sha256,
        knows_range=bool(card.ranges),
        scores=rows,
    )
    write_whole(out / CARD, made.to_json().encode())
    write_whole(out / "README.md", made.markdown().encode())
    return made


def main(arguments: list[str] | None = None) -> int:
    """Ship a run and print its card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--words", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--folds", type=Path, required=True)
    parser.add_argument("--exports", type=Path, nargs="*", default=[])
    parser.add_argument("--trunk", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    made = ship(
        args.run, args.out, words=args.words, scores=args.scores, folds=args.folds, exports=args.exports,
        trunk=args.trunk,
    )  # fmt: skip
    print(made.markdown(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
