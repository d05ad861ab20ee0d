"""The cases of the closed loop: labelled layouts that overflow, with the files and parameters to make them again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from circuit_io import labels as label_files
from circuit_io.data_folder import home_of, label_folders, library_files, sdc_file
from circuit_io.errors import InputError
from circuit_io.export_sources import fractions_of
from circuit_io.labels import UsageTable
from circuit_io.manifest import is_number
from circuit_io.text import sha256_of_file

MIN_OVERFLOW = 100  # tracks
CONGESTION_ITERATIONS = 30  # of global_route, as in the labels
_NAME_PARTS = 4  # set, technology, design, variant


@dataclass(frozen=True)
class Case:
    """A labelled layout and what it was made with.

    Attributes:
        name: set/technology/design/variant, its folder below the output.
        placed: the labelled placement, which gives die, rows, tracks, pins and netlist.
        density: how the placer's density was chosen: `density_margin` or `density_lb_addon`, and its value.
        stored: overflow, overflowed gcells and mean usage over capacity of the labels.
    """

    name: str
    family: str
    placed: str
    lef: tuple[str, ...]
    lib: tuple[str, ...]
    sdc: str
    signal_layers: tuple[str, str]
    layer_adjustment: dict[str, float]
    density: tuple[str, float]
    stored: dict[str, float]

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Case":
        """A case as `asdict` and JSON leave it."""
        low, high = found["signal_layers"]
        kind, value = found["density"]
        said = {"signal_layers": (low, high), "density": (str(kind), float(value))}
        return cls(**(dict(found) | {k: tuple(found[k]) for k in ("lef", "lib")} | said))

    def identity(self, hashes: dict[str, str]) -> str:
        """All that decides a result, wherever the files lie; `hashes` remembers those of files."""
        words = asdict(self)
        for key in ("placed", "lef", "lib", "sdc"):
            paths = [words[key]] if isinstance(words[key], str) else list(words[key])
            for path in paths:
                if path and path not in hashes:
                    hashes[path] = sha256_of_file(Path(path))
            words[key] = [hashes[path] for path in paths if path]
        return json.dumps(words, sort_keys=True)


def find_cases(
    roots: Sequence[Path], *, patterns: Sequence[str] = (), min_overflow: float = MIN_OVERFLOW
) -> tuple[list[Case], int]:
    """The layouts below `roots` whose labels overflow, those with most room first, and how many were looked at.

    Args:
        roots: folders that hold label folders at any depth, beside the files of their technologies.
        patterns: shell patterns of names; none takes all.
        min_overflow: tracks of overflow that the labels must have.

    Raises:
        InputError: a folder without labels, labels that cannot be read, or two layouts of one name.
    """
    cases: dict[str, Case] = {}
    seen: set[Path] = set()
    for root in roots:
        folders = label_folders(root)
        if not folders:
            raise InputError(
                "holds no labels", path=root, mend="Give a folder with labels: done.json beside placed.def."
            )
        for folder in folders:
            name = "/".join(folder.resolve().parts[-_NAME_PARTS:])
            if folder.resolve() in seen or not (not patterns or any(fnmatchcase(name, p) for p in patterns)):
                continue
            seen.add(folder.resolve())
            if name in cases:
                mend = "Rename one of the folders, or give one of them at a time."
                raise InputError(
                    f"there is another {name} below {Path(cases[name].placed).parent}", path=folder, mend=mend
                )
            if usage_figures(read_table(folder))["overflow"] >= min_overflow:
                cases[name] = read_case(folder, name)
    return sorted(cases.values(), key=lambda c: (c.stored["usage"], c.name)), len(seen)


def read_case(folder: Path, name: str) -> Case:
    """The case of one label folder.

    Raises:
        InputError: its parameters lack what is needed, or the technology's files are not there.
    """
    done, path = label_files.read_parameters(folder), label_files.find(folder, "done.json")
    layers = done.get("signal_layers")
    keys = [key for key in ("density_add", "density_lb_addon") if is_number(done.get(key))]
    if not layers or not keys or not done.get("tech"):
        mend = "The loop makes the placement again, so it needs labels that tell how that was made."
        raise InputError("names no tech, signal_layers or density_lb_addon", path=path, mend=mend)
    home = home_of(folder, done["tech"])
    lef, lib = library_files(home, done["tech"])
    sdc = sdc_file(home, done["tech"], str(done.get("design", "")))
    kind = "density_margin" if keys[0] == "density_add" else keys[0]
    return Case(
        name=name,
        family=str(done.get("family") or done.get("design", "")),
        placed=str(label_files.find(folder, "placed.def").resolve()),
        lef=tuple(str(p) for p in lef),
        lib=tuple(str(p) for p in lib),
        sdc=str(sdc or ""),
        signal_layers=(str(layers[0]), str(layers[1])),
        layer_adjustment=fractions_of(done["layer_adjustment"], path),
        density=(kind, float(done[keys[0]])),
        stored=usage_figures(read_table(folder)),
    )


def read_table(folder: Path) -> UsageTable:
    """Usage and capacity of the gcells in a label folder."""
    x, y = label_files.read_gcell_grid(label_files.find(folder, "gcell_grid.csv"))
    return label_files.read_usage(label_files.find(folder, "gcell_usage.csv"), nx=len(x), ny=len(y))


def usage_figures(table: UsageTable) -> dict[str, float]:
    """Overflow in tracks, gcells that have any, and mean usage over capacity, over all layers and entries of the table.

    Reductions are in usage and in capacity, and entries that are no edge count as the router wrote them.
    """
    over = np.maximum(0.0, table.usage - table.capacity)
    capacity = float(table.capacity.sum())
    return {
        "overflow": float(over.sum()),
        "overflowed_gcells": float((over > 0).any(axis=0).sum()),
        "usage": float(table.usage.sum()) / capacity if capacity else 0.0,
    }
