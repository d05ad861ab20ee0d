"""Finished runs of OpenROAD-flow-scripts and LibreLane below a folder, and the files of theirs that tell labels."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from circuit_io.errors import InputError
from circuit_io.manifest import is_number, read_json_object

GUIDES, ODB = "guides", "odb"  # what labels are read from
_ORFS_FILE = re.compile(r"[1-6]_\w+(-failed)?\.(odb|def|def\.gz|v)")
_LIBRELANE_CONFIG = "resolved.json"
_NEEDED = {
    GUIDES: {"def": "placed DEF", "guide": "route guides"},
    ODB: {"odb": "database of the global route"},
}  # by role


@dataclass(frozen=True)
class FinishedRun:
    """One run: its design and variant, its files by role, and what its configuration says of the router."""

    folder: Path
    flow: str
    design: str
    variant: str
    files: dict[str, Path]
    signal_layers: tuple[str, str] | None = None
    layer_adjustment: float | None = None
    level_adjustments: tuple[float, ...] = field(default=())  # of the routing layers from the lowest on

    def lacking(self, read: str) -> str:
        """What is not there of what labels are read from; empty when all is."""
        lost = [what for role, what in _NEEDED[read].items() if role not in self.files]
        return f"is not finished: {self.folder} has no {' and no '.join(lost)}" if lost else ""


def find_runs(folder: Path) -> list[FinishedRun]:
    """The runs at or below a folder, in the order of their paths.

    Raises:
        InputError: there is no such folder, it holds no run, or the configuration of a run cannot be read.
    """
    if not folder.is_dir():
        raise InputError("is no folder", path=folder)
    runs = [found for place in _folders(folder) if (found := _run(place)) is not None]
    if not runs:
        mend = "Give results/PLATFORM of OpenROAD-flow-scripts, or runs of LibreLane."
        raise InputError("holds no run of a flow", path=folder, mend=mend)
    return runs


def _folders(folder: Path) -> Iterator[Path]:
    """A folder and those below it, but nothing inside of a run."""
    yield folder
    if _run(folder) is None:
        for below in sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink()):
            yield from _folders(below)


def _run(folder: Path) -> FinishedRun | None:
    if (folder / _LIBRELANE_CONFIG).is_file():
        return _librelane(folder)
    if any(_ORFS_FILE.fullmatch(p.name) for p in folder.iterdir()):
        return _orfs(folder)
    return None


def _orfs(folder: Path) -> FinishedRun:
    """`results/PLATFORM/DESIGN/VARIANT`, with reports in the same place below `reports`."""
    place = folder.resolve()
    files = {
        "def": [folder / "6_final.def", folder / "6_final.def.gz"],
        "guide": [folder / "route.guide", folder / "route.guide.gz"],
        "odb": [folder / "5_1_grt.odb", folder / "5_1_grt-failed.odb"],
        "sdc": [folder / "5_1_grt.sdc", folder / "4_cts.sdc"],
        "verilog": [folder / "6_final.v"],
    }
    at = len(place.parts) - 4
    if at >= 0 and place.parts[at] == "results":
        reports = Path(*place.parts[:at], "reports", *place.parts[at + 1 :])
        files["drc"] = [reports / "5_route_drc.rpt"]
    return FinishedRun(folder, "orfs", place.parent.name, place.name, _there(files))


def _librelane(folder: Path) -> FinishedRun:
    """`runs/TAG` with a folder for every step; the last of a kind tells."""
    path = folder / _LIBRELANE_CONFIG
    config = read_json_object(path)
    design = config.get("DESIGN_NAME")
    if not isinstance(design, str) or not design:
        raise InputError("names no DESIGN_NAME", path=path, mend="Is it of a run of LibreLane?")
    route, detail = _step(folder, "openroad-globalrouting"), _step(folder, "openroad-detailedrouting")
    files: dict[str, list[Path]] = {}
    if route is not None:
        files |= {
            "def": [route / f"{design}.def"], "guide": [route / "after_grt.guide"], "odb": [route / f"{design}.odb"],
        }  # fmt: skip
    if detail is not None:
        files |= {"routed_def": [detail / f"{design}.def"], "drc": sorted(detail.rglob("*.drc"))}
    layers = config.get("RT_MIN_LAYER"), config.get("RT_MAX_LAYER")
    return FinishedRun(
        folder,
        "librelane",
        design,
        folder.resolve().name,
        _there(files),
        signal_layers=layers if all(isinstance(name, str) and name for name in layers) else None,  # type: ignore[arg-type]
        layer_adjustment=_share(config, "GRT_ADJUSTMENT", path),
        level_adjustments=_shares(config, path),
    )


def _step(folder: Path, kind: str) -> Path | None:
    steps = [p for p in folder.iterdir() if p.is_dir() and re.fullmatch(rf"\d+-{kind}(-\d+)?", p.name)]
    return max(steps, key=lambda p: int(p.name.partition("-")[0]), default=None)


def _there(files: dict[str, list[Path]]) -> dict[str, Path]:
    found = {role: next((p for p in places if p.is_file()), None) for role, places in files.items()}
    return {role: path for role, path in found.items() if path is not None}


def _share(config: dict[str, Any], key: str, path: Path) -> float | None:
    value = config.get(key)
    if value is None:
        return None
    if not is_number(value) or not 0 <= value <= 1:
        raise InputError(f"{key} is {value!r}", path=path, mend="Expected a number from 0 to 1.")
    return float(value)


def _shares(config: dict[str, Any], path: Path) -> tuple[float, ...]:
    values = config.get("GRT_LAYER_ADJUSTMENTS") or []
    if not isinstance(values, list) or not all(is_number(v) and 0 <= v <= 1 for v in values):
        raise InputError(f"GRT_LAYER_ADJUSTMENTS is {values!r}", path=path, mend="Expected numbers from 0 to 1.")
    return tuple(float(v) for v in values)
