"""Labelled designs: which there are, who is held out, their graphs and labels, and the statistics of their features.

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
from jaxtyping import Float32, Float64

from circuit_io.errors import InputError, did_you_mean
from circuit_io.fields import GCELL_FEATURES, INST_FEATURES, NET_FEATURES, ROUTER_FEATURES, Field, column, names
from circuit_io.graph import CircuitGraph
from circuit_io.labels import Labels
from circuit_io.manifest import check_kinds
from circuit_io.net_lengths import log_detour, tree_lengths
from circuit_io.store import EARLIER, EXPORT_KINDS, open_design
from circuit_io.text import read_bytes

_log = logging.getLogger(__name__)

KINDS: dict[str, tuple[Field, ...]] = {"inst": INST_FEATURES, "net": NET_FEATURES, "gcell": GCELL_FEATURES}
_OVER_CAPACITY = (
    "capacity", "low_share", "adjusted", "blocked", "rudy", "demand_l", "demand_z",
    "across3", "along3", "box5", "box11", "mean", "full",
)  # fmt: skip
MASKED_BY = {
    "inst": {"drive": "has_liberty", "input_cap": "has_liberty"},
    "gcell": {f"{name}_{d}": f"layers_{d}" for name in _OVER_CAPACITY for d in "hv"}
    | {name: "router_runs" for name in names(ROUTER_FEATURES) if name != "router_runs"},
}  # feature: the flag without which it is no data; an import has no layers
CLIP = 8.0  # normalised features are cut here: a new technology may lie far outside


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
    return Sample(stored.graph, stored.labels, stored.manifest)


@dataclass(frozen=True)
class Normaliser:
    """Mean and spread of every feature and of the targets over the training designs; stored with the weights."""

    mean: dict[str, Float32[np.ndarray, " fields"]]
    std: dict[str, Float32[np.ndarray, " fields"]]
    target_mean: float
    target_std: float
    detour: tuple[float, float] | None = None  # mean and spread of the log detour, where that is a task

    def features(self, graph: CircuitGraph) -> dict[str, Float32[np.ndarray, "rows fields"]]:
        """Normalised features of each node type; what is masked is 0, what is far out is cut at 8 deviations."""
        out = {}
        for kind in KINDS:
            values, known = features_of(graph, kind), len(self.mean[kind])
            scaled = np.clip((values[:, :known] - self.mean[kind]) / self.std[kind], -CLIP, CLIP)
            for feature, seen in feature_masks(kind, values).items():
                if feature < known:
                    scaled[:, feature] *= seen
            out[kind] = scaled
        return out

    def arrays(self) -> dict[str, Float32[np.ndarray, " n"]]:
        """The statistics as named arrays, to be stored with the weights."""
        target = np.asarray([self.target_mean, self.target_std], np.float32)
        stored = {f"{kind}_{part}": getattr(self, part)[kind] for kind in KINDS for part in ("mean", "std")}
        stored |= {"target": target}
        return stored if self.detour is None else stored | {"detour": np.asarray(self.detour, np.float32)}

    @classmethod
    def of_arrays(cls, stored: Mapping[str, Float32[np.ndarray, " n"]], *, path: Path | str) -> "Normaliser":
        """The inverse of `arrays`.

        Raises:
            InputError: an array is missing or has another length than this version's features.
        """
        for kind, declared in KINDS.items():
            for part in ("mean", "std"):
                found = stored.get(f"{kind}_{part}")
                counts = {len(declared), *map(len, EARLIER.get(kind, ()))}
                if found is None or found.ndim != 1 or len(found) not in counts:
                    raise InputError(f'statistics "{kind}_{part}" are missing or too short', path=path)
        target = stored.get("target")
        if target is None or target.shape != (2,):
            raise InputError('statistics "target" are missing', path=path)
        detour = stored.get("detour")
        if detour is not None and detour.shape != (2,):
            raise InputError('statistics "detour" are no two numbers', path=path)
        mean, std = ({kind: stored[f"{kind}_{part}"] for kind in KINDS} for part in ("mean", "std"))
        of_nets = None if detour is None else (float(detour[0]), float(detour[1]))
        return cls(mean, std, float(target[0]), float(target[1]), of_nets)


def features_of(graph: CircuitGraph, kind: str) -> Float32[np.ndarray, "rows fields"]:
    """Features of the nodes of one kind, as the model reads them.

    Of the runs of the router it reads whether there were any: other numbers than 8 are rare, so it would learn nothing
    of them but that they are far out.
    """
    values = {"inst": graph.inst_features, "net": graph.net_features, "gcell": graph.gcell_features}[kind]
    if kind == "gcell":
        values, runs = values.copy(), column(GCELL_FEATURES, "router_runs")
        values[:, runs] = values[:, runs] > 0
    return values


def feature_masks(kind: str, values: Float32[np.ndarray, "rows fields"]) -> dict[int, Float32[np.ndarray, " rows"]]:
    """Column of a feature that may be missing: 1 where it is known."""
    fields_ = KINDS[kind]
    return {
        column(fields_, feature): (values[:, column(fields_, flag)] > 0).astype(np.float32)
        for feature, flag in MASKED_BY.get(kind, {}).items()
    }


class _Moments:
    """Weighted sums of a value and its square, a column each."""

    def __init__(self) -> None:
        self.weight: Float64[np.ndarray, " f"] = np.zeros(0)
        self.sums: Float64[np.ndarray, "2 f"] = np.zeros((2, 0))

    def add(self, values: Float32[np.ndarray, "rows f"], seen: Float32[np.ndarray, "rows f"], weight: float) -> None:
        """Add the means over the rows seen, with the given weight; a column seen nowhere adds nothing."""
        if not self.sums.size:
            self.weight, self.sums = np.zeros(values.shape[1]), np.zeros((2, values.shape[1]))
        count = seen.sum(axis=0, dtype=np.float64)
        for i, power in enumerate((values, np.square(values, dtype=np.float64))):
            self.sums[i] += weight * (power * seen).sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
        self.weight += weight * (count > 0)

    def mean_std(self) -> tuple[Float32[np.ndarray, " f"], Float32[np.ndarray, " f"]]:
        """Mean and deviation; a constant column has deviation 1."""
        mean, square = self.sums / np.maximum(self.weight, 1e-300)
        std = np.sqrt(np.maximum(square - mean**2, 0))
        return mean.astype(np.float32), np.where(std > 1e-6, std, 1).astype(np.float32)


def fit_normaliser(entries: Sequence[Entry], load: Loader, *, detour: bool = False) -> Normaliser:
    """Statistics over placements, each design (all its variants together) with the same weight.

    Args:
        entries: labelled placements.
        load: reads them.
        detour: also those of the detour of nets.

    Raises:
        InputError: a feature or a label that is not finite; names the design and the feature. No placement has routed
            lengths, and they are asked for.
    """
    variants: dict[tuple[str, str, str], int] = {}
    for e in entries:
        variants[e.design_key] = variants.get(e.design_key, 0) + 1
    moments = {kind: _Moments() for kind in KINDS}
    target, of_nets = _Moments(), _Moments()
    idle: list[Entry] = []
    for e in entries:
        sample = load(e)
        weight = 1 / variants[e.design_key]
        for kind in KINDS:
            values = features_of(sample.graph, kind)
            _check_finite(values, kind, e)
            seen = np.ones_like(values)
            for feature, mask in feature_masks(kind, values).items():
                seen[:, feature] = mask
            moments[kind].add(values, seen, weight)
        maps = np.concatenate([sample.labels.congestion_h.ravel(), sample.labels.congestion_v.ravel()])[:, None]
        if not np.isfinite(maps).any():
            raise InputError("has no unmasked edge", path=e.path, mend="Leave it out, or label it again.")
        if not np.nan_to_num(maps).any():
            idle.append(e)
        target.add(np.nan_to_num(maps), np.isfinite(maps).astype(np.float32), weight)
        if detour:
            log = sample.detour[:, None]
            of_nets.add(np.nan_to_num(log), np.isfinite(log).astype(np.float32), weight)
    if idle:
        _tell_idle(idle, len(entries))
    if detour and not of_nets.weight.any():
        raise InputError(
            f"none of {len(entries)} placements has routed lengths of nets from a global router",
            path=entries[0].path,
            mend="Label with wire_length.csv (docs/labels.md), or train with --set 'model.tasks=[\"congestion\"]'.",
        )
    stats = {kind: moments[kind].mean_std() for kind in KINDS}
    target_mean, target_std = target.mean_std()
    return Normaliser(
        {k: s[0] for k, s in stats.items()},
        {k: s[1] for k, s in stats.items()},
        float(target_mean[0]),
        float(target_std[0]),
        (float(of_nets.mean_std()[0][0]), float(of_nets.mean_std()[1][0])) if detour else None,
    )


def _tell_idle(idle: Sequence[Entry], total: int) -> None:
    """Labels whose every edge is 0: a router that routed nothing, more likely than a design without wires."""
    if len(idle) == total:
        what = "congestion is 0 on every edge of every placement, so there is nothing to learn"
        raise InputError(what, path=idle[0].path, mend="Label again: the router has routed nothing.")
    _log.warning("%d of %d placements have congestion 0 on every edge (first: %s)", len(idle), total, idle[0].path)


def _check_finite(values: Float32[np.ndarray, "rows fields"], kind: str, entry: Entry) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        row, at = np.argwhere(bad)[0]
        what = f'{kind} feature "{KINDS[kind][at].name}" of {kind} {row} is {values[row, at]}'
        raise InputError(what, path=entry.path, mend="Export the design again; if it stays, report it.")
