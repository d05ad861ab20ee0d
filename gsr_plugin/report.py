"""The report of a prediction: a page to work with, the same as Markdown, and its maps as PNG."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from circuit_io.atomic import refuse_existing, write_files
from circuit_io.drc import DrcCounts, count_violations, read_drc, read_stored_drc
from circuit_io.errors import InputError
from circuit_io.guides import Guides, read_guides, read_stored_guides
from circuit_io.hotspots import HotspotConfig, find_hotspots
from circuit_io.maps import PlacedDesign, Prediction
from circuit_io.prediction import export_of, read_prediction
from circuit_io.prediction_metrics import prediction_metrics
from circuit_io.store import StoredDesign, open_design
from flow_hooks.annotations.annotate import check_fit, net_names
from flow_hooks.feedback.file import Plan, read_feedback
from flow_hooks.feedback.record import RECORD, Record, read_record
from gsr_plugin import report_sections as part
from gsr_plugin.document import Block, Document, Heading, Workbench, to_markdown
from gsr_plugin.document_html import to_html
from gsr_plugin.figures import Picture
from gsr_plugin.report_contents import spot_contents
from gsr_plugin.report_drc import drc_section, risk_section
from gsr_plugin.report_page import page_data
from gsr_plugin.report_plan import plan_section
from gsr_plugin.report_provenance import drift_section, provenance_section, reading_section
from gsr_plugin.report_slack import slack_section
from gsr_plugin.report_truth import Recall, Routed, accuracy_section, net_recalls, recall_paragraph

__all__ = ["Report", "Routed", "build_report", "report", "write_report"]

PICTURES = ("congestion_h", "congestion_v", "uncertainty", "plan")  # every name that a report may use


@dataclass(frozen=True)
class Report:
    """A report before it is written."""

    document: Document
    pictures: tuple[Picture, ...]

    def html(self) -> str:
        """The page."""
        return to_html(self.document)

    def markdown(self, figures: str) -> str:
        """The text, with pictures in the folder `figures`."""
        return to_markdown(self.document, figures=figures)


def report(
    pred: Path | str,
    out: Path | str,
    *,
    feedback: Path | str | None = None,
    record: Path | str | None = None,
    guides: Path | str | None = None,
    drc: Path | str | None = None,
    model_card: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the report of the prediction folder `pred`: `out` (HTML), a .md beside it and a folder of PNGs.

    Args:
        pred: what `gsr predict` wrote.
        out: the HTML file.
        feedback: a feedback.tsv to show; without it the plan that the default settings give.
        record: what became of that plan in the flow, gsr_feedback.json; without it the one beside `feedback`, if any.
        guides: route guides of this placement, which tell which nets the router led through the hot spots; without
            them those that were exported with the labels, if any.
        drc: report of a detailed route of this placement (-output_drc); without it the one that was exported with
            the labels, if any.
        model_card: the card of the weights; without it only what the prediction's manifest says of them.
        overwrite: replace files that are there.

    Raises:
        InputError: a bad folder or file, or an existing output.
    """
    from flow_hooks.feedback.planner import plan_feedback

    _figures_folder(Path(out), overwrite=overwrite)
    prediction = read_prediction(pred)
    export = export_of(pred, prediction.manifest, verify=False)  # read_prediction compared the hashes
    design = open_design(export, verify=False)
    plan = read_feedback(feedback) if feedback else plan_feedback(prediction, design.manifest, design=design)
    beside = [name for name in ("hotspots.tsv", "nets.csv") if Path(out).with_name(name).is_file()]
    made = build_report(
        prediction,
        design,
        plan=plan,
        record=find_record(feedback, record, plan),
        truth=design.labels,
        guides=_find_guides(guides, design),
        drc=_find_drc(drc, design),
        model_card=model_card,
        beside=[*beside, *(["feedback.tsv"] if feedback else [])],
    )
    return write_report(out, made, overwrite=overwrite)


def _find_guides(path: Path | str | None, design: StoredDesign) -> Guides | None:
    if path is None:
        return read_stored_guides(design)
    grid = design.manifest["grid"]
    x_um, y_um = (np.asarray(grid[axis], np.float64) for axis in ("x_um", "y_um"))
    names = design.nets["name"].to_pylist()
    return read_guides(path, names, x_um=x_um, y_um=y_um, dbu_per_um=int(design.manifest["dbu_per_um"]))


def _find_drc(path: Path | str | None, design: StoredDesign) -> DrcCounts | None:
    if path is None:
        return read_stored_drc(design)
    grid = design.manifest["grid"]
    x_um, y_um = (np.asarray(grid[axis], np.float64) for axis in ("x_um", "y_um"))
    return count_violations(read_drc(path), x_um=x_um, y_um=y_um, path=path)


def find_record(feedback: Path | str | None, record: Path | str | None, plan: Plan) -> Record | None:
    """What became of a plan: the file `record`, else the one beside `feedback` if it is of this plan.

    Raises:
        InputError: `record` is of another plan, or no record.
    """
    if record is not None:
        return read_record(record, plan)
    beside = Path(feedback).with_name(RECORD) if feedback is not None else None
    if beside is None or not beside.is_file():
        return None
    try:
        return read_record(beside, plan)
    except InputError as e:
        logging.getLogger(__name__).warning("not shown: %s", e)
        return None


def write_report(out: Path | str, made: Report, *, overwrite: bool = False) -> list[Path]:
    """Write the HTML page `out`, the Markdown beside it, and the PNGs into `<stem>_figures`; returns all paths."""
    out = Path(out)
    folder = _figures_folder(out, overwrite=overwrite)
    files: dict[Path, bytes | str] = {folder / f"{p.name}.png": p.png for p in made.pictures}
    files[out.with_suffix(".md")] = made.markdown(folder.name.replace(" ", "%20"))
    files[out] = made.html()
    write_files(files, overwrite=overwrite)
    for path in (folder / f"{name}.png" for name in PICTURES):
        if path not in files:  # of an earlier report with more sections
            path.unlink(missing_ok=True)
    return list(files)


def _figures_folder(out: Path, *, overwrite: bool) -> Path:
    """The folder of the PNGs of the page `out`, once it is certain that all can be written.

    Raises:
        InputError: a wrong name, or a file or the folder exists and `overwrite` is not set.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError('a name that ends in ".html" is expected', path=out, mend="For example report.html.")
    folder = out.with_name(f"{out.stem}_figures")
    refuse_existing([out, out.with_suffix(".md")], overwrite=overwrite)
    if folder.exists() and not (overwrite and folder.is_dir()):
        what = "exists already" if folder.is_dir() else "is a file, not a folder"
        mend = "Pass --overwrite to replace the pictures in it, or choose another --out."
        raise InputError(what, path=folder, mend=mend if folder.is_dir() else "Choose another --out.")
    return folder


def build_report(
    prediction: Prediction,
    design: PlacedDesign | None = None,
    *,
    plan: Plan | None = None,
    record: Record | None = None,
    truth: Routed | None = None,
    guides: Guides | None = None,
    drc: DrcCounts | None = None,
    model_card: Mapping[str, Any] | None = None,
    hotspots: HotspotConfig | None = None,
    beside: Collection[str] = (),
    top: int = 20,
) -> Report:
    """The report of a prediction.

    Args:
        prediction: what was predicted.
        design: its export; without it no nets are named.
        plan: the feedback to show.
        record: what became of it.
        truth: the router's result, if known.
        guides: its route guides, if known.
        drc: violations of a detailed route, if known.
        model_card: the card of the weights.
        hotspots: what counts as hot.
        beside: files that hold what the tables leave out: any of hotspots.tsv, nets.csv and feedback.tsv.
        top: nets and insts shown for each hot spot.

    Raises:
        InputError: design, plan, truth or guides do not belong to the prediction.
    """
    _check(prediction, design, plan, truth)
    spots = find_hotspots(prediction, hotspots)
    contents = spot_contents(prediction, design, spots, plan=plan, top=top)
    names = net_names(design, [c.nets for c in contents]) if design else [[] for _ in spots]
    recalls: list[Recall | None] = [None for _ in spots]
    if guides is not None:
        recalls = net_recalls(guides, spots, contents)
    data = page_data(
        prediction, design, spots, contents, plan=plan, record=record, truth=truth, recalls=recalls, drc=drc
    )
    pictures: list[Picture] = []
    values = prediction_metrics(prediction)
    blocks: list[Block] = [
        part.verdict_section(prediction, spots, values),
        *drift_section(prediction),
        part.cards_section(prediction, spots, values, plan, truth),
        Heading("Maps", "maps"),
        Workbench(data),
        part.map_figures(prediction, spots, truth, pictures),
        *part.spots_section(spots, contents, names, design=design, beside=beside),
        *(part.worst_nets_section(prediction, design, beside) if design else []),
        *(part.long_nets_section(prediction, design) if design else []),
        *slack_section(prediction),
        *risk_section(prediction),
        *(plan_section(prediction, plan, record, pictures, beside) if plan else []),
        *(accuracy_section(prediction, truth, recalls) if truth else recall_paragraph(recalls)),
        *(drc_section(prediction, drc, spots) if drc is not None else []),
        *provenance_section(prediction, design, model_card),
        *reading_section(),
    ]
    grid = f"{prediction.shape[1]} x {prediction.shape[0]} gcells of {prediction.gcell_um()[0]:g} um"
    parts = [f"stage {prediction.stage}", prediction.manifest.get("technology"), grid]
    document = Document(
        title=f"Routing congestion of {prediction.design}, before routing",
        subtitle=", ".join(str(part) for part in parts if part),
        blocks=blocks,
        footer=f"Written by gsr report. Run {prediction.manifest.get('run_id', '')}.",
    )
    return Report(document, tuple(pictures))


def _check(prediction: Prediction, design: PlacedDesign | None, plan: Plan | None, truth: Routed | None) -> None:
    path = str(prediction.path or "prediction")
    if design is not None:
        check_fit(prediction, design)
    if truth is not None and truth.congestion_h.shape != prediction.shape:
        raise InputError(f"labels of {truth.congestion_h.shape[::-1]} gcells do not fit its grid", path=path)
    if plan is not None:
        other = plan.def_sha256 != prediction.manifest.get("def_sha256", plan.def_sha256)
        if plan.grid != prediction.shape[::-1] or other:
            raise InputError("the feedback plan was made for another placement", path=path, mend="Plan again.")
