"""The report of a prediction: one self-contained HTML page, the same as Markdown, and its pictures as PNG."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuit_io.atomic import refuse_existing, write_files
from circuit_io.errors import InputError
from circuit_io.hotspots import HotspotConfig, find_hotspots, rank_nets
from circuit_io.maps import PlacedDesign, Prediction
from circuit_io.module_shares import rank_modules
from circuit_io.prediction import export_of, read_prediction
from flow_hooks.annotate import check_fit, net_names
from flow_hooks.feedback_file import Plan, read_feedback
from gsr_plugin import report_sections as part
from gsr_plugin.document import Block, Document, to_html, to_markdown
from gsr_plugin.figures import Picture
from gsr_plugin.report_sections import Routed

__all__ = ["Report", "Routed", "build_report", "report", "write_report"]

PICTURES = ("congestion_h", "congestion_v", "plan", "accuracy", "uncertainty")  # every name that a report may use


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
    model_card: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the report of the prediction folder `pred`: `out` (HTML), a .md beside it and a folder of PNGs.

    Args:
        pred: what `gsr predict` wrote.
        out: the HTML file.
        feedback: a feedback.tsv to show; without it the plan that the default settings give.
        model_card: the card of the weights; without it only what the prediction's manifest says of them.
        overwrite: replace files that are there.

    Raises:
        InputError: a bad folder or file, or an existing output.
    """
    from circuit_io.store import open_design
    from flow_hooks.feedback import plan_feedback

    _figures_folder(Path(out), overwrite=overwrite)
    prediction = read_prediction(pred)
    design = open_design(export_of(pred, prediction.manifest), verify=False)  # read_prediction compared the hashes
    plan = read_feedback(feedback) if feedback else plan_feedback(prediction, design.manifest, design=design)
    made = build_report(prediction, design, plan=plan, truth=design.labels, model_card=model_card)
    return write_report(out, made, overwrite=overwrite)


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
    truth: Routed | None = None,
    model_card: Mapping[str, Any] | None = None,
    hotspots: HotspotConfig | None = None,
    top_nets: int = 10,
) -> Report:
    """The report of a prediction.

    Args:
        prediction: what was predicted.
        design: its export; without it no nets are named.
        plan: the feedback to show.
        truth: the router's result, if known.
        model_card: the card of the weights.
        hotspots: what counts as hot.
        top_nets: nets shown for each hot spot.

    Raises:
        InputError: design, plan or truth do not belong to the prediction.
    """
    _check(prediction, design, plan, truth)
    spots = find_hotspots(prediction, hotspots)
    ranked = rank_nets(prediction, design.graph.net_box, spots, top=top_nets) if design else [[] for _ in spots]
    names = net_names(design, ranked) if design else [[] for _ in spots]
    modules = rank_modules(prediction, design, spots) if design else [[] for _ in spots]
    pictures: list[Picture] = []
    blocks: list[Block] = [
        part.verdict_section(prediction, spots),
        part.cards_section(prediction, spots, plan, truth),
        *part.maps_section(prediction, spots, truth, pictures),
        *part.spots_section(spots, ranked, names, modules, design=design),
        *(part.worst_nets_section(prediction, design) if design else []),
        *(part.plan_section(prediction, plan, pictures) if plan else []),
        *(part.accuracy_section(prediction, truth, pictures) if truth else []),
        *part.uncertainty_section(prediction, pictures),
        *part.provenance_section(prediction, design, model_card),
        *part.reading_section(),
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
