"""Whether folders and files are what they say: what `gsr check` does."""

import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from circuit_io.errors import GsrError, InputError
from circuit_io.text import read_bytes

_LEF, _DEF, _LIB, _VERILOG = (".lef", ".tlef"), (".def",), (".lib",), (".v", ".vg", ".sv")
_SPEF, _SDC = (".spef",), (".sdc",)


@dataclass(frozen=True)
class Checked:
    """One thing that was looked at; `text` says what is in it, or what is wrong."""

    path: Path
    kind: str
    is_good: bool
    text: str


def check(paths: Sequence[Path]) -> list[Checked]:
    """Check each path; a folder that is none of ours is searched for folders and weights that are.

    Raises:
        InputError: a path that does not exist, or a folder with nothing to check.
    """
    out = []
    for path in paths:
        if not path.exists():
            raise InputError("does not exist", path=path)
        found = _things(path)
        if not found:
            raise InputError("holds nothing that gsr can check", path=path, mend="Give a file, or a folder gsr wrote.")
        out += [_check_one(thing) for thing in found]
    return out


def _things(path: Path) -> list[Path]:
    """The folders and files to check at or below a path."""
    if path.is_file() or _is_ours(path):
        return [path]
    inside = {p.parent for name in ("manifest.json", "weights.safetensors") for p in path.rglob(name)}
    return sorted(folder for folder in inside if _is_ours(folder))


def _is_ours(folder: Path) -> bool:
    if (folder / "weights.safetensors").is_file():
        return True
    manifest = folder / "manifest.json"
    return manifest.is_file() and _schema(manifest).startswith("gsr-")


def _schema(file: Path) -> str:
    """The schema that a JSON file names; "" when it is no JSON of ours."""
    try:
        content = json.loads(read_bytes(file))
    except (ValueError, RecursionError):
        return ""
    return str(content.get("schema", "")) if isinstance(content, dict) else ""


def _check_one(path: Path) -> Checked:
    kind = "unknown"
    try:
        kind, look = _kind(path)
        return Checked(path, kind, True, look(path))
    except GsrError as e:
        return Checked(path, kind, False, str(e))


def _kind(path: Path) -> tuple[str, Callable[[Path], str]]:
    """What a path claims to be, and how that is checked."""
    if path.is_dir():
        if (path / "weights.safetensors").is_file():
            return "model", _model
        folders = {"gsr-design": ("design", _design), "gsr-prediction": ("prediction", _prediction)}
        return folders.get(_schema(path / "manifest.json"), ("unknown", _unknown))
    name = path.name.removesuffix(".gz").lower()
    by_ending: list[tuple[tuple[str, ...], str, Callable[[Path], str]]] = [
        (_LEF, "LEF", _lef),
        (_DEF, "DEF", _def),
        (_LIB, "Liberty", _lib),
        (_VERILOG, "Verilog", _verilog),
        (_SPEF, "SPEF", _spef),
        (_SDC, "SDC", _sdc),
        ((".safetensors",), "model", _model),
        ((".tsv",), "feedback plan", _feedback),
        ((".toml",), "settings", _toml),
    ]
    for endings, kind, look in by_ending:
        if name.endswith(endings):
            return kind, look
    return "unknown", _unknown


def _unknown(path: Path) -> str:
    known = ", ".join([*_LEF, *_DEF, *_LIB, *_VERILOG, *_SPEF, *_SDC, ".safetensors", ".tsv", ".toml"])
    raise InputError("is of no kind that gsr knows", path=path, mend=f"Folders gsr wrote, or files ending in {known}.")


def _design(path: Path) -> str:
    from circuit_io.store import open_design

    design = open_design(path)
    graph = design.graph
    size = f"{graph.num_insts} insts, {graph.num_nets} nets, {graph.nx} x {graph.ny} gcells"
    return f"{design.manifest['design']}, {size}, {'with' if design.labels else 'without'} labels"


def _prediction(path: Path) -> str:
    from circuit_io.prediction import read_prediction

    prediction = read_prediction(path)
    rows, columns = prediction.shape
    return f"{prediction.manifest.get('design', '')}, {columns} x {rows} gcells, export folder unchanged"


def _model(path: Path) -> str:
    from gsr_plugin.weights import load_weights

    weights = load_weights(path, device="cpu")
    card = weights.card
    return f"{card.model.layers} layers of {card.model.width}, trained on {card.num_placements} placements"


def _feedback(path: Path) -> str:
    from flow_hooks.feedback.file import read_feedback

    plan = read_feedback(path)
    return f"{plan.design}, {len(plan.actions)} actions"


def _toml(path: Path) -> str:
    try:
        tables = tomllib.loads(read_bytes(path).decode("utf-8", "replace"))
    except tomllib.TOMLDecodeError as e:
        raise InputError(f"is no TOML: {e}", path=path) from e
    if tables.get("schema") == "gsr-folds":
        from gsr_plugin.dataset import read_folds

        folds = read_folds(path)
        return f"{len(folds)} families in {len(set(folds.values()))} folds"
    from gsr_plugin.config import load_config

    load_config(path, env={})
    return "for gsr train"


def _lef(path: Path) -> str:
    from circuit_io.lef import read_lef

    library = read_lef(path)
    return f"{len(library.macro_names)} macros, {len(library.layer_names)} layers"


def _def(path: Path) -> str:
    from circuit_io.def_ import read_def

    design = read_def(path)
    return f"{design.design}, {len(design.inst_names)} insts, {len(design.net_names)} nets"


def _lib(path: Path) -> str:
    from circuit_io.liberty import read_liberty

    return f"{len(read_liberty(path).cell_names)} cells"


def _verilog(path: Path) -> str:
    from circuit_io.verilog import read_verilog

    netlist = read_verilog(path)
    return f"{netlist.top}, {len(netlist.inst_names)} insts, {len(netlist.net_names)} nets"


def _spef(path: Path) -> str:
    from circuit_io.spef import read_spef

    spef = read_spef(path)
    return "; ".join([f"{spef.design}, {len(spef.net_names)} nets", *spef.warnings])


def _sdc(path: Path) -> str:
    from circuit_io.sdc import read_sdc

    sdc = read_sdc(path)
    return "; ".join([f"{len(sdc.clocks)} clocks, {len(sdc.commands)} commands", *sdc.warnings])
