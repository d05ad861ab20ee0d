"""The closed loop with a model: the weights that predict for each case never saw its family. What `gsr loop` does."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from circuit_io.errors import InputError
from circuit_io.manifest import read_json_object
from flow_hooks.feedback.config import assigned_config
from flow_hooks.loop.arms import PREDICTING
from flow_hooks.loop.cases import MIN_OVERFLOW, Case, find_cases
from flow_hooks.loop.runner import PREDICT, LoopPlan, checked_arms, probe_binary, sha256_of_weights


def plan_closed_loop(
    designs: Sequence[Path],
    *,
    openroad: Path,
    arms: str = "a,b,g,p,q,c,d,e,t",
    cases: Sequence[str] = (),
    runs: Path | None = None,
    fold: int | None = None,
    folds: Path | None = None,
    weights: Path | None = None,
    rounds: int = 1,
    sets: Sequence[str] = (),
    min_overflow: float = MIN_OVERFLOW,
    limit_s: float = 1800.0,
    memory_mb: int = 8192,
) -> LoopPlan:
    """What `flow_hooks.loop.runner.run_loop` is to do.

    Args:
        designs: folders with labels at any depth, beside the files of their technologies.
        openroad: the binary.
        arms: letters with commas between, see `flow_hooks.loop.arms.ARMS`.
        cases: shell patterns of case names; none takes all.
        runs: folder of training runs, one a fold, named 0, 1, ..; a case is predicted by the run that held its family
            out, and one of a family that no fold knows by `weights`.
        fold: take only the cases of this fold.
        folds: which family is in which fold; else folds.toml in or beside `designs`.
        weights: a run folder, weights or the name of shipped ones; the shipped model when not given.
        rounds: most placements with a plan.
        sets: settings of the planner, like "threshold=0.9".
        min_overflow: tracks that labels, and then arm a, must overflow by.
        limit_s: limit of each placement, route and prediction.
        memory_mb: limit of each arm.

    Raises:
        InputError: no case, a bad option, or weights that saw the family of a case.
        ToolError: openroad does not run.
    """
    wanted = checked_arms(arms)
    config = assigned_config(sets)
    found, num_seen = find_cases(designs, patterns=cases, min_overflow=min_overflow)
    of_family = _folds(designs, folds) if runs is not None or fold is not None else {}
    if fold is not None:
        found = [case for case in found if of_family.get(case.family) == fold]
    if not found:
        what = f"none of {num_seen} labelled layouts overflows by {min_overflow:g} tracks"
        what += f" and is of fold {fold}" if fold is not None else ""
        raise InputError(what, path=designs[0], mend="Give other folders, --cases or --min-overflow.")
    chosen = _weights(found, of_family, runs, weights) if set(wanted) & set(PREDICTING) else {}
    binary, version = probe_binary(openroad)
    return LoopPlan(
        cases=found,
        arms=wanted,
        binary=binary,
        version=version,
        rounds=rounds,
        config=config,
        predict={name: (*PREDICT, "--weights", str(path.resolve())) for name, (path, _) in chosen.items()},
        weights={name: {"name": path.name, "sha256": sha256} for name, (path, sha256) in chosen.items()},
        min_overflow=min_overflow,
        step_s=limit_s,
        memory_mb=memory_mb,
    )


def _folds(designs: Sequence[Path], folds: Path | None) -> dict[str, int]:
    from gsr_plugin.dataset import find_folds, read_folds

    return read_folds(folds or find_folds(designs))


def _weights(
    cases: Sequence[Case], of_family: Mapping[str, int], runs: Path | None, weights: Path | None
) -> dict[str, tuple[Path, str]]:
    """Path and hash of the weights of each case."""
    from gsr_plugin.model_card import ModelCard
    from gsr_plugin.shipped import find_weights
    from gsr_plugin.weights import CARD, load_weights

    of_others = find_weights(weights)
    cards: dict[Path, tuple[frozenset[str], str]] = {}
    chosen = {}
    for case in cases:
        fold = of_family.get(case.family) if runs is not None else None
        path = of_others
        if runs is not None and fold is not None:
            path = runs / str(fold)
            if not path.is_dir():
                mend = f"Train it: gsr train .. --fold {fold} --out {path}, or leave the fold's cases out by --cases."
                raise InputError(f'is not there, though family "{case.family}" is of fold {fold}', path=path, mend=mend)
        if path not in cards:
            card = (
                ModelCard.from_json(read_json_object(path / CARD), path=path / CARD)
                if (path / CARD).is_file()
                else load_weights(path, device="cpu").card
            )
            cards[path] = frozenset(card.families), sha256_of_weights(path)
        families, sha256 = cards[path]
        if case.family in families:
            mend = "Give --runs, a folder of runs by fold (gsr train --fold N), or leave out arms c, e and t by --arms."
            raise InputError(
                f'these weights were trained on family "{case.family}" of {case.name}', path=path, mend=mend
            )
        chosen[case.name] = path, sha256
    return chosen
