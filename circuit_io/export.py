"""From flow files to an export folder: what `gsr export` does."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from circuit_io import labels as label_files
from circuit_io.atomic import refuse_folder
from circuit_io.design import Design, read_design
from circuit_io.errors import Faults, InputError, did_you_mean
from circuit_io.export_modules import RtlSources, find_modules
from circuit_io.export_tables import areas, gcell_table, inst_table, master_table, net_table, pin_table
from circuit_io.export_timing import TimingSources, find_timing
from circuit_io.features import Nodes, build_graph
from circuit_io.gcells import GcellGrid, make_grid
from circuit_io.manifest import (
    BOX,
    FILE_NAME,
    LAYER_RANGE,
    NUMBER,
    OBJECT,
    TEXT,
    TEXTS,
    check_kinds,
    check_version,
    is_number,
    read_json_object,
)
from circuit_io.netlist_check import check_netlist
from circuit_io.store import SCHEMA, write_design
from circuit_io.text import sha256_of_file

_log = logging.getLogger(__name__)

SAME_ADJUSTMENT = 1e-6  # OpenROAD keeps adjustments in single precision
_HOOK = {
    "lefs": TEXTS.must(),
    "def": TEXT.must(),
    "design": TEXT.must(),
    "libs": TEXTS,
    "signal_layers": LAYER_RANGE,
    "layer_adjustment": OBJECT,
    "dbu_per_um": NUMBER,
    "die_um": BOX,
    "metrics_file": FILE_NAME,
    **dict.fromkeys(("rtl", "rtl_include", "rtl_defines"), TEXTS),
    **dict.fromkeys(("verilog", "sdc", "family", "platform", "stage", "run_id", "metrics_stage"), TEXT),
}


@dataclass(frozen=True)
class ExportSources:
    """The files of one design and what the flow knows beside them.

    `layer_adjustment` is by layer name or "*", and was read in `adjustment_path`. `hook` is what the flow's hook
    said of the design, which the DEF must agree with.
    """

    lef: list[Path]
    def_: Path
    lib: list[Path] = field(default_factory=list)
    verilog: Path | None = None
    labels: Path | None = None
    signal_layers: tuple[str, str] | None = None
    layer_adjustment: dict[str, float] = field(default_factory=dict)
    adjustment_path: Path | str = "--layer-adjustment"
    hook: Mapping[str, Any] | None = None
    gcell_um: float | None = None
    family: str | None = None
    technology: str | None = None
    stage: str = "place"
    variant: str | None = None
    rtl: RtlSources = field(default_factory=RtlSources)
    timing: TimingSources = field(default_factory=TimingSources)


def parse_layer_range(text: str) -> tuple[str, str]:
    """`met1-met4` as ("met1", "met4").

    Raises:
        InputError: the text is not LOW-HIGH.
    """
    low, dash, high = text.partition("-")
    if not (low and dash and high):
        raise InputError(f'"{text}" is no layer range', path="--signal-layers", mend="Write LOW-HIGH, as in met1-met5.")
    return low.strip(), high.strip()


def parse_adjustment(text: str) -> dict[str, float]:
    """`0.3` for all layers, or `met1=0.8,met2=0.5`, by layer name; "*" stands for every layer.

    Raises:
        InputError: a part is no number between 0 and 1, or has no layer name.
    """
    out = {}
    for part in text.split(","):
        layer, equals, value = part.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not 0 <= number <= 1 or (equals and not layer.strip()) or (not equals and "," in text):
            raise InputError(
                f'"{part}" is no adjustment', path="--layer-adjustment",
                mend="Write one number from 0 to 1, or LAYER=NUMBER,LAYER=NUMBER.",
            )  # fmt: skip
        out[layer.strip() or "*"] = number
    return out


def read_hook(path: Path) -> dict[str, Any]:
    """What a flow hook wrote into `hook.json`.

    Raises:
        InputError: not such a file, a key is missing, or a value is of the wrong kind.
    """
    hook = read_json_object(path)
    if hook.get("schema") != "gsr-hook":
        raise InputError('is not of schema "gsr-hook" version 1', path=path, mend="Use the gsr.tcl of this version.")
    check_version(hook, newest=1, path=path)
    check_kinds(hook, _HOOK, path=path, mend="Use the gsr.tcl of this version.")
    return hook


def sources_of_hook(path: Path, hook: Mapping[str, Any] | None = None) -> ExportSources:
    """The files and settings of a flow hook; paths are relative to its folder unless absolute.

    Args:
        path: hook.json.
        hook: what `read_hook` found there, if it was read already.

    Raises:
        InputError: see `read_hook`.
    """
    hook = read_hook(path) if hook is None else hook

    def place(name: str) -> Path:
        return path.parent / name

    layers = hook.get("signal_layers")
    return ExportSources(
        lef=[place(p) for p in hook["lefs"]],
        def_=place(hook["def"]),
        lib=[place(p) for p in hook.get("libs") or []],
        verilog=place(hook["verilog"]) if hook.get("verilog") else None,
        signal_layers=(layers[0], layers[1]) if layers else None,
        layer_adjustment=_fractions(hook.get("layer_adjustment") or {}, path),
        adjustment_path=path,
        hook=hook,
        family=hook.get("family") or hook["design"],
        technology=hook.get("platform") or None,
        stage=hook.get("stage") or "place",
        rtl=RtlSources(
            [place(p) for p in hook.get("rtl") or []],
            hook.get("rtl_defines") or [],
            [place(p) for p in hook.get("rtl_include") or []],
            is_lenient=True,
        ),
        timing=TimingSources(sdc=place(hook["sdc"]) if hook.get("sdc") else None, is_lenient=True),
    )


def sources_of_labels(folder: Path, *, lef: list[Path], lib: list[Path] | None = None) -> ExportSources:
    """The placement and parameters of a label folder (`placed.def`, `done.json`), labels included."""
    done, path = label_files.read_parameters(folder), label_files.find(folder, "done.json")
    layers = done.get("signal_layers")
    return ExportSources(
        lef=lef,
        def_=label_files.find(folder, "placed.def"),
        lib=lib or [],
        labels=folder,
        signal_layers=(layers[0], layers[1]) if layers else None,
        layer_adjustment=_fractions(done["layer_adjustment"], path),
        adjustment_path=path,
        family=done.get("family"),
        technology=done.get("tech"),
        variant=done.get("variant"),
    )


def gcell_dbu(gcell_um: float, dbu_per_um: int) -> int:
    """A side of a gcell in dbu.

    Raises:
        InputError: it is not finite, or less than 1 dbu.
    """
    if not math.isfinite(gcell_um) or round(gcell_um * dbu_per_um) < 1:
        mend = f"Give a side in um of at least 1 dbu, here {1 / dbu_per_um:g}."
        raise InputError(f"{gcell_um:g} is no size of a gcell", path="--gcell-um", mend=mend)
    return round(gcell_um * dbu_per_um)


def _fractions(adjustment: object, path: Path | str) -> dict[str, float]:
    """Adjustments by layer, each checked to be a number from 0 to 1; a bare one stands for every layer."""
    out = {}
    for name, value in adjustment.items() if isinstance(adjustment, Mapping) else [("*", adjustment)]:
        if not is_number(value) or not 0 <= value <= 1:
            where = "" if name == "*" else f' of layer "{name}"'
            raise InputError(f"the adjustment{where} is {value!r}", path=path, mend="Expected a number from 0 to 1.")
        out[name] = float(value)
    return out


def export_design(
    sources: ExportSources, out: Path, *, parquet: bool = False, overwrite: bool = False
) -> dict[str, Any]:
    """Read a placed design, build its graph and write it to the folder `out`; returns the manifest.

    Args:
        sources: the files of the design.
        out: the folder to write.
        parquet: write pins, gcells and masters as tables too.
        overwrite: replace an earlier export in `out`.

    Raises:
        InputError: a file is bad or does not belong to the others; `out` exists and `overwrite` is off.
    """
    refuse_folder(out, schema=SCHEMA, overwrite=overwrite)
    design = read_design(sources.lef, sources.def_, lib=sources.lib)
    if sources.hook is not None:
        _check_hook(sources.hook, design)
    grid = make_grid(
        design.die_dbu,
        design.layers,
        signal_layers=sources.signal_layers,
        gcell_dbu=None if sources.gcell_um is None else gcell_dbu(sources.gcell_um, design.dbu_per_um),
        path=str(sources.def_),
    )
    adjustment, warnings = _adjustment(sources, grid)
    netlist, said = (None, []) if sources.verilog is None else check_netlist(design, sources.verilog)
    timing = find_timing(design, sources.timing)
    for warning in (*said, *timing.warnings):
        _log.warning(warning)
    warnings += [*said, *timing.warnings]
    modules = find_modules(design, sources.rtl, netlist)
    graph, _, nodes = build_graph(design, grid, adjustment)
    labels = label_files.read_labels(sources.labels, grid, design.net_names, adjustment) if sources.labels else None
    manifest = _manifest(sources, design, grid, adjustment, graph.num_pins, nodes)
    manifest["warnings"] = [*design.warnings, *grid.warnings, *warnings, *modules.warnings]
    nets = timing.add_to(net_table(design, graph.net_box))
    insts, nets, tables, of_modules = modules.tables(inst_table(design, nodes), nets, nodes)
    manifest |= of_modules | timing.said
    more = (
        {
            "pins": pin_table(design, nodes, graph),
            "gcells": gcell_table(grid, design.dbu_per_um, graph, labels),
            "masters": master_table(design),
        }
        if parquet
        else None
    )
    write_design(
        out,
        manifest=manifest,
        insts=insts,
        nets=nets,
        graph=graph,
        labels=labels,
        more=tables | (more or {}),
        overwrite=overwrite,
    )
    return manifest


def _adjustment(sources: ExportSources, grid: GcellGrid) -> tuple[dict[str, float], list[str]]:
    """The adjustment of every signal layer, that of the labels must be the same; and warnings."""
    out = _by_layer(sources.layer_adjustment, grid, path=sources.adjustment_path)
    if sources.labels is None or not label_files.has(sources.labels, "done.json"):
        lacking = [] if "*" in sources.layer_adjustment else [k for k in out if k not in sources.layer_adjustment]
        if not lacking:
            return out, []
        warning = (
            f"no layer adjustment given for {', '.join(lacking)}: assuming 0; "
            "the capacities depend on it (--layer-adjustment)"
        )
        _log.warning(warning)
        return out, [warning]
    path = label_files.find(sources.labels, "done.json")
    routed = _by_layer(label_files.read_parameters(sources.labels)["layer_adjustment"], grid, path=path)
    if not sources.layer_adjustment:
        return routed, []
    for name, value in routed.items():
        if abs(value - out[name]) > SAME_ADJUSTMENT:
            raise InputError(
                f'the adjustment of layer "{name}" is {out[name]:g}, but the labels were routed with {value:g}',
                path=sources.adjustment_path,
                mend=f"Leave --layer-adjustment out: {path} says what the router used.",
            )
    return out, []


def _check_hook(hook: Mapping[str, Any], design: Design) -> None:
    """Refuse a DEF that is not of the design that the hook saw.

    OpenROAD may write a DEF in coarser units than its database has (`getDefUnits`), never in finer ones.
    """
    faults, dbu, um = Faults(design.path), hook.get("dbu_per_um"), 1.0 / design.dbu_per_um
    mend = "Give the DEF that gsr_export_design wrote beside hook.json, or call it again."
    if hook["design"].replace("\\", "") != design.name.replace("\\", ""):
        faults.add(f'is of design "{design.name}", the hook of "{hook["design"]}"', mend=mend)
    if dbu is not None and dbu % design.dbu_per_um:
        faults.add(f"has {design.dbu_per_um} dbu a um, the hook's database {dbu:g}", mend=mend)
    die = [v * um for v in design.die_dbu]
    if hook.get("die_um") is not None and max(abs(a - b) for a, b in zip(die, hook["die_um"], strict=True)) > um:
        faults.add(f"has a die of {_box(die)} um, the hook of {_box(hook['die_um'])} um", mend=mend)
    faults.raise_if_any()


def _box(values: list[Any]) -> str:
    return " ".join(f"{v:.12g}" for v in values)


def _by_layer(adjustment: object, grid: GcellGrid, *, path: Path | str) -> dict[str, float]:
    """The adjustment of every signal layer, "*" spread out."""
    given = _fractions(adjustment, path)
    known = [layer.name for layer in grid.layers]
    for name in given:
        if name != "*" and name not in known:
            raise InputError(f'"{name}" is no routing layer', path=path, mend=did_you_mean(name, known))
    low, high = grid.signal
    return {k.name: given.get(k.name, given.get("*", 0.0)) for k in grid.layers if low <= k.level <= high}


def _manifest(
    sources: ExportSources, design: Design, grid: GcellGrid, adjustment: dict[str, float], num_pins: int, nodes: Nodes
) -> dict[str, Any]:
    um = 1.0 / design.dbu_per_um
    inputs = [("def", sources.def_), *(("lef", p) for p in sources.lef), *(("lib", p) for p in sources.lib)]
    if sources.verilog:
        inputs.append(("verilog", sources.verilog))
    inputs += [("rtl", p) for p in sources.rtl.paths if p.is_file()]
    inputs += sources.timing.inputs
    listed = [{"role": role, "name": p.name, "sha256": sha256_of_file(p)} for role, p in inputs]
    return {
        "design": design.name,
        "family": sources.family or design.name,
        "technology": sources.technology or "",
        "variant": sources.variant or "",
        "stage": sources.stage,
        "dbu_per_um": design.dbu_per_um,
        "die_um": [v * um for v in design.die_dbu],
        "core_um": [v * um for v in design.core_dbu],
        "row_height_um": design.row_height_dbu * um,
        "signal_layers": [design.layers[level - 1].name for level in grid.signal],
        "layer_adjustment": adjustment,
        "grid": {"nx": grid.nx, "ny": grid.ny, "tile_um": grid.tile_dbu * um,
                 "x_um": (grid.x_dbu() * um).tolist(), "y_um": (grid.y_dbu() * um).tolist()},
        "counts": {"insts": len(nodes.inst), "ports": len(nodes.port), "nets": len(design.net_names), "pins": num_pins,
                   "physical_insts": design.num_insts - len(nodes.inst)},
        "placement": areas(design, grid),
        "inputs": listed,
        "def_sha256": listed[0]["sha256"],
        "has_liberty": design.liberty is not None,
    }  # fmt: skip
