"""Labelled designs: which there are, who is held out, their graphs and labels.

Designs of one family share RTL, so splits are by family, from the one `folds.toml` beside the data.
"""

import hashlib
import json
import logging
import tomllib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from circuit_io.drc import read_stored_drc
from circuit_io.errors import InputError, did_you_mean
from circuit_io.graph import CircuitGraph
from circuit_io.labels import Labels
from circuit_io.manifest import check_kinds
from circuit_io.net_lengths import log_detour, tree_lengths
from circuit_io.store import EXPORT_KINDS, open_design
from circuit_io.text import read_bytes
from gsr_plugin.model import DETOUR, DRC, SLACK
from gsr_plugin.slack import SlackInputs, slack_inputs

_log = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class Entry:
    """One labelled placement on disk."""

    family: str
    technology: str
    design: str
    variant: str
    path: Path
    num_gcells: int
    sha256: str

    @property
    def name(self) -> str:
        """Name for logs and errors."""
        return f"{self.technology}/{self.design}/{self.variant}"

    @property
    def design_key(self) -> tuple[str, str, str]:
        """What the variants of one design share."""
        return (self.family, self.technology, self.design)


@dataclass(frozen=True)
class Sample:
    """Graph, labels and manifest of one placement."""

    graph: CircuitGraph
    labels: Labels
    manifest: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @cached_property
    def shortest_um(self) -> Float64[np.ndarray, " nets"]:
        """Shortest length of every net, see `TreeLengths`; 0 where the export tells no size of its gcells."""
        tile_um = float((self.manifest.get("grid") or {}).get("tile_um") or 0)
        return tree_lengths(self.graph).shortest_um(tile_um)

    @cached_property
    def detour(self) -> Float32[np.ndarray, " nets"]:
        """Log of routed over shortest length; nan where it is not known.

        That is so throughout where labels are approximate: their lengths are not those of the global router.
        """
        is_approximate = bool((self.manifest.get("labels_from") or {}).get("is_approximate"))
        if is_approximate or not (self.labels.net_length_um > 0).any():
            return np.full(self.graph.num_nets, np.nan, np.float32)
        return log_detour(self.labels.net_length_um, self.shortest_um)

    @cached_property
    def slack(self) -> SlackInputs | None:
        """Endpoints and the delays of the paths to them, from the export's tables; see `slack_inputs`."""
        return None if self.path is None else slack_inputs(open_design(self.path, verify=False))

    @cached_property
    def drc(self) -> Int64[np.ndarray, "ny nx"] | None:
        """Violations of a detailed route in every gcell; None where no report was exported."""
        counts = None if self.path is None else read_stored_drc(open_design(self.path, verify=False))
        return None if counts is None else counts.total(ny=self.graph.ny, nx=self.graph.nx)

    def teaches(self, task: str) -> bool:
        """Whether there are labels for a task of the model."""
        if task == DETOUR:
            return bool(np.isfinite(self.detour).any())
        if task == SLACK:
            return self.slack is not None and self.slack.num_labelled > 0
        return task != DRC or self.drc is not None


def find_designs(roots: Sequence[Path], *, labelled: bool = True) -> list[Entry]:
    """The placements below `roots`, sorted by family, technology, design and variant.

    Args:
        roots: folders that hold folders written by `gsr export`, at any depth.
        labelled: take only those with labels.

    Raises:
        InputError: a root is missing, or nothing is there.
    """
    entries: dict[Path, Entry] = {}
    unlabelled = approximate = 0
    for root in roots:
        if not root.is_dir():
            raise InputError("is no folder", path=root, mend="Give a folder that holds folders written by gsr export.")
        for path in sorted(root.rglob("manifest.json")):
            if any(part.startswith(".") for part in path.relative_to(root).parts):
                continue  # what is being written, or was when it was killed
            if path.parent.resolve() in entries:
                continue  # roots that overlap
            manifest = _manifest(path)
            if manifest is None:
                continue
            if labelled and "labels.safetensors" not in manifest.get("files", {}):
                unlabelled += 1
                continue
            entries[path.parent.resolve()] = _entry(path, manifest)
            approximate += bool((manifest.get("labels_from") or {}).get("is_approximate"))
    if not entries:
        found = f"{unlabelled} designs, but none with labels" if unlabelled else "no folder written by gsr export"
        raise InputError(found, path=roots[0] if roots else ".", mend="Write them with gsr export ... --labels DIR.")
    if labelled and approximate:
        _log.warning("%d of %d placements have approximate labels (docs/labels.md)", approximate, len(entries))
    return sorted(entries.values())


def _manifest(path: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as e:
        raise InputError(f"is no JSON: {e}", path=path, mend="Export the design again.") from e
    if not isinstance(manifest, dict) or manifest.get("schema") != "gsr-design":
        return None
    check_kinds(manifest, EXPORT_KINDS, path=path, mend="Export the design again.")
    return manifest


def _entry(path: Path, manifest: dict[str, Any]) -> Entry:
    try:
        return Entry(
            family=str(manifest["family"] or manifest["design"]),
            technology=str(manifest["technology"]),
            design=str(manifest["design"]),
            variant=str(manifest.get("variant") or path.parent.name),
            path=path.parent,
            num_gcells=int(manifest["grid"]["nx"]) * int(manifest["grid"]["ny"]),
            sha256=hashlib.sha256(json.dumps(manifest["files"], sort_keys=True).encode()).hexdigest(),
        )
    except (KeyError, TypeError, ValueError) as e:
        raise InputError(f"lacks or garbles {e}", path=path, mend="Export the design again.") from e


def data_hash(entries: Iterable[Entry]) -> str:
    """SHA-256 over the contents of all placements, whatever their folders are called."""
    lines = sorted(f"{e.family} {e.name} {e.sha256}" for e in entries)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_folds(path: Path) -> dict[str, int]:
    """Family to fold, from a file of schema gsr-folds.

    Raises:
        InputError: no TOML, another schema, or a fold that is no whole number from 0.
    """
    try:
        tables = tomllib.loads(read_bytes(path).decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise InputError(f"is no TOML: {e}", path=path) from e
    if tables.get("schema") != "gsr-folds" or tables.get("schema_version") != 1:
        found = f"{tables.get('schema')!r} version {tables.get('schema_version')!r}"
        raise InputError(f"is {found}", path=path, mend='Expected schema = "gsr-folds", schema_version = 1.')
    folds = tables.get("fold")
    if not isinstance(folds, dict) or not folds:
        raise InputError("has no [fold] table", path=path, mend='Write [fold] and lines like "aes" = 2.')
    for family, fold in folds.items():
        if not isinstance(fold, int) or isinstance(fold, bool) or fold < 0:
            raise InputError(f'family "{family}" has fold {fold!r}', path=path, mend="Folds are 0, 1, 2, ...")
    return dict(folds)


def find_folds(roots: Sequence[Path]) -> Path:
    """`folds.toml` inside or beside the first data folder that has one."""
    places = [folder / "folds.toml" for root in roots for folder in (root, root.resolve().parent)]
    for place in places:
        if place.is_file():
            return place
    raise InputError(
        "no folds.toml in it or beside it",
        path=roots[0],
        mend="Give --folds FILE, or train without --fold on all data.",
    )


def split(
    entries: Sequence[Entry], *, fold: int | None = None, folds: dict[str, int] | None = None, technology_out: str = ""
) -> tuple[list[Entry], list[Entry]]:
    """Placements for training, and the held-out ones, by family.

    Args:
        entries: all placements.
        fold: the fold to hold out; none holds nothing out.
        folds: family to fold.
        technology_out: hold this technology out, and drop every family that it holds from training.

    Raises:
        InputError: a family has no fold, the fold or the technology does not exist, or nothing is left to train on.
    """
    if technology_out:
        technologies = {e.technology for e in entries}
        if technology_out not in technologies:
            raise InputError(
                f'no design of technology "{technology_out}"', mend=did_you_mean(technology_out, technologies)
            )
        families = {e.family for e in entries if e.technology == technology_out}
        train = [e for e in entries if e.family not in families]
        test = [e for e in entries if e.technology == technology_out]
    elif fold is None:
        train, test = list(entries), []
    else:
        folds = folds or {}
        lost = sorted({e.family for e in entries} - set(folds))
        if lost:
            raise InputError(
                f"{len(lost)} families have no fold: {', '.join(lost[:10])}",
                path="folds.toml",
                mend=f'Add lines like "{lost[0]}" = 0 to its [fold], or export with --family. '
                + did_you_mean(lost[0], folds),
            )
        if fold not in folds.values():
            raise InputError(f"no fold {fold}", path="folds.toml", mend=f"There are {sorted(set(folds.values()))}.")
        train = [e for e in entries if folds[e.family] != fold]
        test = [e for e in entries if folds[e.family] == fold]
    if not train:
        raise InputError("nothing is left to train on", mend="Give data of further families.")
    _check_apart(train, test)
    return train, test


def _check_apart(train: Sequence[Entry], test: Sequence[Entry]) -> None:
    """Refuse a placement that is on both sides under the names of two families."""
    known = {e.sha256: e for e in train if e.sha256}
    for e in test:
        if e.sha256 in known:
            other = known[e.sha256]
            raise InputError(
                f"is the placement of {other.path}, held out as family {e.family} and trained on as {other.family}",
                path=e.path,
                mend="Export both with the same --family, or leave one out.",
            )


def read_split(
    entries: Sequence[Entry],
    data: Sequence[Path],
    *,
    fold: int | None = None,
    folds: Path | None = None,
    technology_out: str = "",
) -> tuple[list[Entry], list[Entry]]:
    """`split` with the folds of the file `folds`, or of the `folds.toml` in or beside `data`."""
    by_family = read_folds(folds or find_folds(data)) if fold is not None else None
    return split(entries, fold=fold, folds=by_family, technology_out=technology_out)


class Loader:
    """Reads placements and keeps the ones used last, up to `cache_mb`."""

    def __init__(self, cache_mb: int = 2048) -> None:
        self._limit = cache_mb << 20
        self._kept: OrderedDict[Path, tuple[Sample, int]] = OrderedDict()
        self._size = 0

    def __call__(self, entry: Entry) -> Sample:
        """Graph and labels of a placement.

        Raises:
            InputError: the folder is damaged, has no labels, or its labels have no edge at all.
        """
        if entry.path in self._kept:
            self._kept.move_to_end(entry.path)
            return self._kept[entry.path][0]
        sample = _read(entry.path)
        size = sum(getattr(part, f.name).nbytes for part in (sample.graph, sample.labels) for f in _arrays(part))
        self._kept[entry.path] = (sample, size)
        self._size += size
        while self._size > self._limit and len(self._kept) > 1:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._size -= dropped
        return sample


def _arrays(part: CircuitGraph | Labels) -> list[Any]:
    return [f for f in fields(part) if isinstance(getattr(part, f.name), np.ndarray)]


def _read(path: Path) -> Sample:
    stored = open_design(path)
    if stored.labels is None:
        raise InputError("has no labels", path=path, mend="Export it with --labels DIR.")
    return Sample(stored.graph, stored.labels, stored.manifest, path)
