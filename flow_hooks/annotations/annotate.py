"""What a prediction says, in the forms that the flow and its users read: markers, hot spots, maps, metrics, tables."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from circuit_io.atomic import write_files
from circuit_io.drc_risk import find_risks
from circuit_io.errors import InputError
from circuit_io.hotspots import HotSpot, HotspotConfig, find_hotspots
from circuit_io.manifest import to_json
from circuit_io.maps import VIOLATED, PlacedDesign, Prediction, heatmap_csv
from circuit_io.metric_keys import metric, stage_prefix
from circuit_io.module_shares import ModuleInSpot, SpotModules
from circuit_io.prediction_metrics import prediction_metrics
from circuit_io.spot_nets import NetInSpot, first_nets, spot_wires
from flow_hooks.annotations.markers import markers_json, markers_tr
from flow_hooks.feedback.file import Plan
from flow_hooks.tsv import encode, number

HOTSPOT_COLUMNS = ("rank", "direction", "x1", "y1", "x2", "y2", "congestion", "top_nets")


@dataclass(frozen=True)
class Annotations:
    """What was found and where it was written."""

    spots: list[HotSpot]
    nets: list[list[NetInSpot]]
    metrics: dict[str, float]
    files: tuple[Path, ...]


def annotate(
    prediction: Prediction,
    design: PlacedDesign,
    out: Path | str,
    *,
    config: HotspotConfig | None = None,
    top_nets: int = 10,
    plan: Plan | None = None,
    overwrite: bool = False,
) -> Annotations:
    """Write all annotations of a prediction into the folder `out`.

    markers.rpt, markers.json: OpenROAD's two marker forms. hotspots.tsv: what Tcl prints. congestion_h.csv and _v.csv:
    heat maps in the GUI's columns, and drc_prob.csv where violations are predicted. metrics.json, metrics.tsv.
    nets.csv, insts.csv: worst first. insts.tsv: what Tcl makes properties from.

    Args:
        prediction: what was predicted.
        design: the export folder it was made from.
        out: the folder; made when it is not there.
        config: what counts as a hot spot.
        top_nets: nets named in a hot spot.
        plan: the feedback planned from it, for the metrics.
        overwrite: replace files that are there.

    Raises:
        InputError: design and prediction do not fit, a file exists, or the disk refuses.
    """
    check_fit(prediction, design)
    spots = [spot for spot in find_hotspots(prediction, config) if spot.is_hot]
    of_design = SpotModules(design)
    ranked: list[list[NetInSpot]] = []
    modules: list[list[ModuleInSpot]] = []
    for spot, wire_um in zip(spots, spot_wires(prediction, design.graph, spots), strict=True):
        ranked.append(first_nets(wire_um, top_nets))
        modules.append(of_design.ranked(spot, wire_um))
    names = net_names(design, ranked)
    risks, source = find_risks(prediction), f"gsr {prediction.manifest.get('run_id', '')}".strip()
    metrics = prediction_metrics(prediction) | (plan_metrics(plan, prediction.stage) if plan else {})
    contents: dict[str, str | bytes] = {
        "markers.rpt": markers_tr(spots, names, risks),
        "markers.json": markers_json(spots, names, risks, source=source),
        "hotspots.tsv": hotspots_tsv(spots, names, modules),
        "congestion_h.csv": heatmap_csv(prediction, "congestion_h"),
        "congestion_v.csv": heatmap_csv(prediction, "congestion_v"),
        "metrics.json": to_json(metrics),
        "metrics.tsv": metrics_tsv(metrics),
        "nets.csv": table_csv(net_table(prediction, design)),
        "insts.csv": table_csv(inst_table(prediction, design)),
        "insts.tsv": insts_tsv(prediction, design),
    }
    if VIOLATED in prediction.maps:
        contents[f"{VIOLATED}.csv"] = heatmap_csv(prediction, VIOLATED)
    files = {Path(out) / name: content for name, content in contents.items()}
    write_files(files, overwrite=overwrite)
    if VIOLATED not in prediction.maps:
        (Path(out) / f"{VIOLATED}.csv").unlink(missing_ok=True)  # of an earlier prediction
    return Annotations(spots, ranked, metrics, tuple(files))


def check_fit(prediction: Prediction, design: PlacedDesign) -> None:
    """Check that tables and values have the same length and the same placement.

    Raises:
        InputError: they do not.
    """
    mend = "Give the export folder that the prediction names."
    path = str(prediction.path or "prediction")
    mine, theirs = prediction.manifest.get("def_sha256"), design.manifest.get("def_sha256")
    if mine and theirs and mine != theirs:
        raise InputError("was made for another placement than this design", path=path, mend=mend)
    for what, values, table in (
        ("insts", prediction.inst_congestion, design.insts),
        ("nets", prediction.net_demand, design.nets),
    ):
        if len(values) and len(values) != len(table):
            raise InputError(f"has values for {len(values)} {what}, the design has {len(table)}", path=path, mend=mend)


def net_names(design: PlacedDesign, ranked: Sequence[Sequence[NetInSpot]]) -> list[list[str]]:
    """Names of ranked nets."""
    column = design.nets["name"]
    return [[str(column[n.net_id].as_py()) for n in nets] for nets in ranked]


def hotspots_tsv(
    spots: Sequence[HotSpot], nets: Sequence[Sequence[str]], modules: Sequence[Sequence[ModuleInSpot]] = ()
) -> str:
    """Hot spots as Tcl reads them: names percent-encoded and separated by commas, lengths in um.

    The column `top_modules` is there when modules are known: for each its name, the share of the cell area that is in
    it or feeds it, and its place in the RTL, with blanks between.
    """
    has_modules = any(modules)
    lines = ["#gsr-hotspots 1", "\t".join([*HOTSPOT_COLUMNS, *(["top_modules"] if has_modules else [])])]
    for i, (spot, names) in enumerate(zip(spots, nets, strict=True)):
        box = map(number, spot.box_um)
        fields = [str(spot.rank), spot.name, *box, f"{spot.peak:.4f}", ",".join(encode(n, ",") for n in names)]
        if has_modules:
            fields.append(",".join(encode(module_text(m), ",") for m in modules[i] if m.is_notable))
        lines.append("\t".join(fields))
    return "\n".join(lines) + "\n"


def module_text(module: ModuleInSpot) -> str:
    """A module in a line: `alu 31% alu.v:12`."""
    return f"{module.name} {100 * (module.area_frac + module.area_feeds_frac):.0f}% {module.source}".strip()


def metrics_tsv(metrics: Mapping[str, float]) -> str:
    """Metrics as Tcl reads them: key, tab, value."""
    return "".join(["#gsr-metrics 1\n", *(f"{key}\t{number(value)}\n" for key, value in sorted(metrics.items()))])


def plan_metrics(plan: Plan, stage: str) -> dict[str, float]:
    """The metrics of a plan under their full keys."""
    return {
        metric(stage, "gsr__feedback__actions"): float(len(plan.actions)),
        metric(stage, "gsr__feedback__blocked_area"): float(plan.used_um2),
    }


def net_table(prediction: Prediction, design: PlacedDesign) -> pa.Table:
    """Nets, the highest expected overflow first: `net`, what the export knows of it, `overflow_tracks`."""
    return _ranked(
        design.nets,
        prediction.net_demand,
        first="net",
        columns=("use", "degree", "hpwl_um"),
        value="overflow_tracks",
    )


def inst_table(prediction: Prediction, design: PlacedDesign) -> pa.Table:
    """Insts, the most congested first: `inst`, what the export knows of it, `congestion` (mean of H and V there)."""
    return _ranked(
        design.insts,
        prediction.inst_congestion,
        first="inst",
        columns=("master", "x_um", "y_um", "is_port"),
        value="congestion",
    )


def _ranked(table: pa.Table, values: np.ndarray, *, first: str, columns: tuple[str, ...], value: str) -> pa.Table:
    kept = [name for name in columns if name in table.column_names]
    if not len(values):  # a prediction without this task
        return pa.table({first: pa.array([], pa.string())})
    order = np.argsort(-values, kind="stable")
    chosen = table.select(["name", *kept]).take(order).rename_columns([first, *kept])
    return chosen.append_column(value, pa.array(values[order]))


def table_csv(table: pa.Table) -> bytes:
    """A table as CSV; only fields that need it are quoted."""
    out = io.BytesIO()
    out.write((",".join(table.column_names) + "\n").encode())
    csv.write_csv(table, out, csv.WriteOptions(include_header=False, quoting_style="needed"))
    return out.getvalue()


def insts_tsv(prediction: Prediction, design: PlacedDesign) -> str:
    """Congestion at each inst, for the property `gsr_congestion`; ports are left out."""
    lines = ["#gsr-insts 1", "inst\tcongestion"]
    if len(prediction.inst_congestion):
        table = design.insts
        ports = table["is_port"].to_pylist() if "is_port" in table.column_names else [False] * len(table)
        rows = zip(table["name"].to_pylist(), prediction.inst_congestion.tolist(), ports, strict=True)
        lines += [f"{encode(name)}\t{value:.4f}" for name, value, is_port in rows if not is_port]
    return "\n".join(lines) + "\n"


def write_flow_metrics(path: Path | str, stage: str, metrics: Mapping[str, float]) -> None:
    """Write metrics where OpenROAD-flow-scripts merges them into metadata.json, replacing those of an earlier run.

    Args:
        path: LOG_DIR and the `metrics_file` of hook.json.
        stage: the stage whose prefix the keys get.
        metrics: under keys of any stage.

    Raises:
        InputError: an unknown stage, or the disk refuses.
    """
    prefix = stage_prefix(stage)
    renamed = {f"{prefix}__{key.partition('__')[2]}": value for key, value in metrics.items()}
    write_files({Path(path): to_json(renamed)}, overwrite=True)
