"""Where a report comes from, and what its words mean."""

from collections.abc import Mapping, Sequence
from typing import Any

from circuit_io.drift import Drift, drift_of, drift_text
from circuit_io.maps import PlacedDesign, Prediction
from gsr_plugin.document import Block, Bullets, Cell, Code, Heading, Paragraph, Table
from gsr_plugin.report_words import flat, setting


def provenance_section(
    prediction: Prediction, design: PlacedDesign | None, model_card: Mapping[str, Any] | None
) -> list[Block]:
    """Which weights, inputs and versions this came from."""
    manifest = prediction.manifest
    rows: list[list[Cell]] = [["run", Code(str(manifest.get("run_id", "")))]]
    for key, value in [*flat(manifest.get("model") or {}), *flat(model_card or {})]:
        rows.append([f"model: {key}", setting(value)])
    rows.append(["placement (DEF), SHA-256", Code(str(manifest.get("def_sha256", "")))])
    layers = manifest.get("signal_layers")
    if layers:
        rows.append(["signal layers", " to ".join(str(x) for x in (layers[0], layers[-1]))])
    for item in (design.manifest.get("inputs") or []) if design is not None else []:
        rows.append(
            [f"input: {item.get('role', '')}", (Code(str(item.get("name", ""))), f"  {item.get('sha256', '')[:12]}")]
        )
    for name, version in sorted((manifest.get("versions") or {}).items()):
        rows.append([f"version: {name}", str(version)])
    blocks: list[Block] = [Heading("Model, inputs, versions", "provenance"), Table(["", ""], rows)]
    drift = drift_of(manifest, path=prediction.path or "prediction")
    if drift is None:
        blocks.append(Paragraph("These weights do not tell what they were trained on, so drift was not looked for."))
    else:
        blocks += _drift_table(drift)
    warnings = list(design.manifest.get("warnings") or []) if design is not None else []
    if warnings:
        blocks.append(Bullets([f"Warning of the export: {w}" for w in warnings]))
    return blocks


def drift_section(prediction: Prediction) -> list[Block]:
    """A banner where the design lies outside of what the model was trained on."""
    drift = drift_of(prediction.manifest, path=prediction.path or "prediction")
    if not drift:
        return []
    return [Paragraph(f"The design lies outside of what the model was trained on: {drift_text(drift)}.", "warn")]


def _drift_table(drift: Sequence[Drift]) -> list[Block]:
    if not drift:
        return [Paragraph("The design lies within what the model was trained on.")]
    rows: list[list[Cell]] = [
        [Code(d.name), d.meaning, *([d.found, "", str(d.high), ""] if isinstance(d.found, str) else
         [f"{v:.3g}" for v in (d.found, d.low, d.high, d.far)])]
        for d in drift
    ]  # fmt: skip
    columns = ["outside of training", "meaning", "here", "lowest in training", "highest", "widths beyond"]
    return [Table(columns, rows, frozenset({2, 3, 4, 5}))]


def reading_section() -> list[Block]:
    """What the words mean."""
    return [
        Heading("How to read this", "reading"),
        Bullets(
            [
                "Congestion of an edge between two gcells: the router's demand over the tracks that layer adjustments "
                "leave, summed over the signal layers of the direction. 1 is full; above 1 wires do not fit.",
                "Overflow: demand above full, in tracks. The expected overflow of the design counts the prediction's "
                "own uncertainty, so it is above 0 even where no edge is predicted above full.",
                "Hot spot: connected edges above 0.95 (above more, where over a tenth of the edges are), ranked by the "
                "demand above that level. The metrics hotspot__count and hotspot__area are of all edges above 0.95.",
                "RUDY: every net's wires spread evenly over its box. It is shown for comparison; it knows no detours.",
            ]
        ),
    ]
