"""From flow files to an export folder: what `gsr export` does."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from circuit_io import labels as label_files
from circuit_io.access_points import read_access_points, with_access_points
from circuit_io.atomic import refuse_folder
from circuit_io.design import Design, read_design
from circuit_io.drc import FILE as DRC_FILE
from circuit_io.drc import TABLE as DRC
from circuit_io.drc import DrcCounts, count_violations, read_drc
from circuit_io.errors import Faults, InputError, did_you_mean
from circuit_io.export_endpoints import find_endpoints
from circuit_io.export_modules import find_modules
from circuit_io.export_sources import HOOK_FACTS, ExportSources, fractions_of
from circuit_io.export_tables import areas, gcell_table, inst_table, master_table, net_table, pin_table
from circuit_io.export_timing import find_timing
from circuit_io.features import build_graph
from circuit_io.gcells import GcellGrid, gcell_dbu, make_grid
from circuit_io.guides import FILE as GUIDES_FILE
from circuit_io.guides import TABLE as GUIDES
from circuit_io.guides import Guides, read_guides
from circuit_io.netlist_check import check_netlist
from circuit_io.nodes import Nodes
from circuit_io.router_demand import demand_of
from circuit_io.router_features import with_router
from circuit_io.router_supply import layers_of, supply_of
from circuit_io.store import SCHEMA, write_design
from circuit_io.text import sha256_of_file

_log = logging.getLogger(__name__)

SAME_ADJUSTMENT = 1e-6  # OpenROAD keeps adjustments in single precision


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
    of_access: dict[str, Any] = {}
    if sources.access_points is not None:
        design, of_access = with_access_points(design, read_access_points(sources.access_points))
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
    modules = find_modules(design, sources.rtl, netlist)
    for warning in (*said, *timing.warnings, *modules.warnings):
        _log.warning(warning)
        warnings.append(warning)
    labels = label_files.read_labels(sources.labels, grid, design.net_names, adjustment) if sources.labels else None
    graph, nodes = build_graph(design, grid, adjustment)
    done = _parameters(sources.labels)
    if done.get("is_approximate"):
        of_router: dict[str, Any] = {"runs": 0, "why": "the labels are of the embedded router itself"}
    else:
        graph = replace(graph, layers=layers_of(design, grid, supply_of(design, grid, adjustment)))
        graph, of_router = with_router(graph, demand_of(graph), runs=sources.router_runs)
    manifest = _manifest(sources, design, grid, adjustment, graph.num_pins, nodes)
    manifest["warnings"] = [*design.warnings, *grid.warnings, *warnings]
    nets = timing.add_to(net_table(design, graph.net_box))
    insts, nets, tables, of_modules = modules.tables(inst_table(design, nodes), nets, nodes)
    manifest |= of_modules | timing.said | of_access | {"router": of_router}
    ends = find_endpoints(
        design, nodes, graph, insts=insts, nets=nets, tile_um=manifest["grid"]["tile_um"],
        slack=sources.endpoint_slack, labels=sources.labels,
    )  # fmt: skip
    for warning in ends.warnings:
        _log.warning(warning)
    manifest |= ends.said
    manifest["warnings"] += ends.warnings
    manifest["inputs"] += _hashed(ends.inputs)
    tables |= ends.tables
    if parquet:
        tables |= {
            "pins": pin_table(design, nodes, graph),
            "gcells": gcell_table(grid, design.dbu_per_um, graph, labels),
            "masters": master_table(design),
        }
    if done:
        manifest["labels_from"] = {key: done[key] for key in ("router", "openroad", "is_approximate") if key in done}
    if sources.labels and label_files.has(sources.labels, GUIDES_FILE):
        tables |= {GUIDES: _guides(label_files.find(sources.labels, GUIDES_FILE), design, grid).table()}
    if sources.labels and label_files.has(sources.labels, DRC_FILE):
        violations = _violations(label_files.find(sources.labels, DRC_FILE), design, grid)
        manifest["drc_violations"] = violations.by_kind()
        tables |= {DRC: violations.table()}
    return write_design(
        out,
        manifest=manifest,
        insts=insts,
        nets=nets,
        graph=graph,
        labels=labels,
        more=tables,
        overwrite=overwrite,
    )


def _parameters(labels: Path | None) -> dict[str, Any]:
    """What `done.json` of the labels tells, if there is one."""
    if labels is None or not label_files.has(labels, "done.json"):
        return {}
    return label_files.read_parameters(labels)


def _violations(path: Path, design: Design, grid: GcellGrid) -> DrcCounts:
    um = 1.0 / design.dbu_per_um
    return count_violations(read_drc(path), x_um=grid.x_dbu() * um, y_um=grid.y_dbu() * um, path=path)


def _guides(path: Path, design: Design, grid: GcellGrid) -> Guides:
    um = 1.0 / design.dbu_per_um
    x_um, y_um = grid.x_dbu() * um, grid.y_dbu() * um
    return read_guides(path, design.net_names.tolist(), x_um=x_um, y_um=y_um, dbu_per_um=design.dbu_per_um)


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
    given = fractions_of(adjustment, path)
    known = [layer.name for layer in grid.layers]
    for name in given:
        if name != "*" and name not in known:
            raise InputError(f'"{name}" is no routing layer', path=path, mend=did_you_mean(name, known))
    low, high = grid.signal
    return {k.name: given.get(k.name, given.get("*", 0.0)) for k in grid.layers if low <= k.level <= high}


def _hashed(inputs: list[tuple[str, Path]]) -> list[dict[str, str]]:
    return [{"role": role, "name": p.name, "sha256": sha256_of_file(p)} for role, p in inputs]


def _manifest(
    sources: ExportSources, design: Design, grid: GcellGrid, adjustment: dict[str, float], num_pins: int, nodes: Nodes
) -> dict[str, Any]:
    um = 1.0 / design.dbu_per_um
    inputs = [("def", sources.def_), *(("lef", p) for p in sources.lef), *(("lib", p) for p in sources.lib)]
    if sources.verilog:
        inputs.append(("verilog", sources.verilog))
    inputs += [("rtl", p) for p in sources.rtl.paths if p.is_file()]
    inputs += sources.timing.inputs
    inputs += [("access_points", sources.access_points)] if sources.access_points else []
    listed = _hashed(inputs)
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
        "counts": {"insts": len(nodes.inst), "ports": len(nodes.port),
                   "free_ports": design.num_free_ports, "nets": len(design.net_names), "pins": num_pins,
                   "physical_insts": design.num_insts - len(nodes.inst)},
        "placement": areas(design, grid),
        "inputs": listed,
        "def_sha256": listed[0]["sha256"],
        "has_liberty": design.liberty is not None,
        "flow": {key: value for key, value in (sources.hook or {}).items() if key in HOOK_FACTS},
    }  # fmt: skip
