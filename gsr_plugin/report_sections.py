"""The sections of a report on the prediction itself, each from what it shows."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from circuit_io.hotspots import HotSpot
from circuit_io.maps import FULL, PlacedDesign, Prediction
from circuit_io.metric_keys import stage_prefix
from flow_hooks.annotations.annotate import net_table
from flow_hooks.feedback.file import Plan
from gsr_plugin.colours import shared_limit
from gsr_plugin.document import (
    Block,
    Card,
    Cards,
    Cell,
    Code,
    Details,
    Figure,
    Heading,
    InMarkdown,
    Link,
    Paragraph,
    Table,
    Tone,
)
from gsr_plugin.figures import Picture, congestion_picture, ramp_picture
from gsr_plugin.report_contents import Contents
from gsr_plugin.report_modules import first_modules, modules_paragraph, modules_table
from gsr_plugin.report_truth import Routed, routed_maps
from gsr_plugin.report_words import WORDS, box_text, comma_separated, count, levels, number

MAX_ROWS = 40  # of a table; the files of `gsr flow` hold the rest
MAX_FOLDS = 12  # hot spots whose nets the Markdown lists
MAX_NETS = 10  # of each


def verdict_section(prediction: Prediction, spots: Sequence[HotSpot], values: Mapping[str, float]) -> Paragraph:
    """One sentence on how bad it is."""
    hot = [s for s in spots if s.is_hot]
    if not hot:
        return Paragraph("No hot spot: no edge is predicted to exceed 0.95 of its tracks.", "good")
    stage = stage_prefix(prediction.stage)
    edges = sum(values.get(f"{stage}__gsr__overflow_{d}__edges", 0.0) for d in "hv")
    overflow = values.get(f"{stage}__gsr__overflow__expected", 0.0)
    expected = (
        f"{count(round(edges), 'edge')} expected above full in the whole design, {overflow:,.0f} tracks of overflow"
    )
    listed = f"{count(len(hot), 'hot spot')} listed ({levels(hot)})"
    if all(s.peak <= FULL for s in hot):
        return Paragraph(f"{listed}, none predicted above full; {expected}.", "warn")
    tracks = sum(s.overflow_tracks for s in hot)
    worst = next(s for s in hot if s.peak > FULL)
    text = (
        f"{expected}. {listed}, with {tracks:,.0f} of these tracks inside. The worst is {worst.name}, peak "
        f"{worst.peak:.2f}, at {box_text(worst.box_um)}."
    )
    return Paragraph(text, "bad")


def cards_section(
    prediction: Prediction,
    spots: Sequence[HotSpot],
    values: Mapping[str, float],
    plan: Plan | None,
    truth: Routed | None,
) -> Cards:
    """The key figures; `values` are the metrics of the prediction."""
    stage = stage_prefix(prediction.stage)

    def value(name: str) -> float:
        return values.get(f"{stage}__gsr__{name}", float("nan"))

    def routed(d: str) -> str:
        if truth is None:
            return "1 = all tracks taken"
        values = routed_maps(truth)[d]
        return f"router: {number(float(values[np.isfinite(values)].max(initial=0.0)))}"

    def tone(level: float) -> Tone:
        return "bad" if level > FULL else "warn" if level > 0.95 else "good"

    cards = [
        Card(f"{WORDS[d]} peak", number(value(f"congestion_{d}__max")), routed(d), tone(value(f"congestion_{d}__max")))
        for d in "hv"
    ]
    overflow = value("overflow__expected")
    note = "tracks, both directions"
    if truth is not None:
        note = f"tracks; router: {sum(_overflow(prediction, routed_maps(truth)[d], d) for d in 'hv'):,.0f}"
    hot = sum(s.is_hot for s in spots)
    cards += [
        Card("Expected overflow", number(overflow, 0), note),
        Card("Load", number(value("congestion__load")), "demand over tracks"),
        Card("Hot spots", str(hot), levels([s for s in spots if s.is_hot]) if hot else "none above 0.95"),
    ]
    if plan:
        cards.append(
            Card("Planned actions", str(len(plan.actions)), f"trouble is {plan.trouble}" if plan.trouble else "")
        )
    return Cards(cards)


def map_figures(
    prediction: Prediction, spots: Sequence[HotSpot], truth: Routed | None, pictures: list[Picture]
) -> InMarkdown:
    """Predicted, RUDY's and the router's maps, both directions, and the uncertainty; `pictures` gains them."""
    everything = {d: [prediction.maps[f"{kind}_{d}"] for kind in ("congestion", "rudy")] for d in "hv"}
    titles = ["predicted", "RUDY"]
    if truth is not None:
        for d, values in routed_maps(truth).items():
            everything[d].append(values)
        titles.append("router")
    limit = shared_limit([m for d in "hv" for i, m in enumerate(everything[d]) if titles[i] != "RUDY"])
    blocks: list[Block] = []
    for d in "hv":
        mine = [s for s in spots if s.direction == d]
        pictures.append(congestion_picture(f"congestion_{d}", everything[d], limit, mine))
        caption = (
            f"{WORDS[d]} congestion per gcell edge, left to right: {', '.join(titles)}. Blue up to full, orange to red "
            f"above it; the bar runs from 0 to {limit:g}. Boxes: the hot spots of the prediction."
        )
        blocks.append(Figure(f"congestion_{d}", f"Maps of {WORDS[d].lower()} congestion", caption))
    if {"sigma_h", "sigma_v"} <= set(prediction.maps):
        sigma = [prediction.maps["sigma_h"], prediction.maps["sigma_v"]]
        top = max(0.01, *(float(m[np.isfinite(m)].max(initial=0.0)) for m in sigma))
        pictures.append(ramp_picture("uncertainty", sigma, "ramp", top))
        caption = f"One standard deviation of congestion, horizontal and vertical; the bar runs from 0 to {top:.2g}."
        blocks.append(Figure("uncertainty", "Maps of the standard deviation", caption))
    return InMarkdown(blocks)


def spots_section(
    spots: Sequence[HotSpot],
    contents: Sequence[Contents],
    names: Sequence[Sequence[str]],
    *,
    design: PlacedDesign | None,
    beside: Collection[str] = (),
) -> list[Block]:
    """The table of hot spots; in the Markdown also the modules and nets inside each."""
    blocks: list[Block] = [Heading("Hot spots", "hotspots")]
    if not spots:
        return [*blocks, Paragraph("The map is flat: nothing stands out.")]
    if not spots[0].is_hot:
        blocks.append(Paragraph("No edge is hot. These are the fullest edges of the design, for orientation."))
    has_modules = any(c.modules for c in contents)
    columns = ["rank", "direction", "box (um)", "edges", "peak", "mean", "overflow (tracks)"]
    columns += ["first modules", "first nets"] if has_modules else ["first nets"]
    rows: list[list[Cell]] = []
    for spot, inside, nets in zip(spots[:MAX_ROWS], contents, names, strict=False):
        first = comma_separated([Code(n) for n in nets[:3]])
        rows.append(
            [Link(str(spot.rank), f"spot-{spot.rank}"), spot.name, box_text(spot.box_um), str(spot.num_edges),
             f"{spot.peak:.2f}", f"{spot.mean:.2f}", f"{spot.overflow_tracks:.1f}",
             *([first_modules(inside.modules)] if has_modules else []), first or "-"]
        )  # fmt: skip
    anchors = [f"spot-{spot.rank}" for spot in spots[:MAX_ROWS]]
    blocks.append(Table(columns, rows, frozenset({3, 4, 5, 6}), anchors))
    if len(spots) > MAX_ROWS:
        where = "more are in hotspots.tsv" if "hotspots.tsv" in beside else "smaller ones are not listed"
        blocks.append(Paragraph(f"{len(spots) - MAX_ROWS} {where}."))
    if design is not None:
        blocks.append(
            Paragraph(
                "Nets are ranked by their expected wire inside the box, in its direction: each segment of a net's "
                "Steiner tree takes either of its two L shapes with equal chance. Insts are those whose middle "
                "lies in the box, ranked by their pins."
            )
        )
        if has_modules:
            blocks.append(modules_paragraph(design.manifest))
        blocks.append(InMarkdown(_folds(spots, contents, names, beside, has_modules=has_modules)))
    return blocks


def _folds(
    spots: Sequence[HotSpot],
    contents: Sequence[Contents],
    names: Sequence[Sequence[str]],
    beside: Collection[str],
    *,
    has_modules: bool,
) -> list[Block]:
    title = "Modules and nets in each hot spot" if has_modules else "Nets in each hot spot"
    blocks: list[Block] = [Heading(title, "hotspot-nets", 3)]
    for spot, inside, names_ in zip(spots[:MAX_FOLDS], contents, names, strict=False):
        rows: list[list[Cell]] = [
            [str(i), Code(name), f"{n.wire_um:.1f}", f"{100 * n.share_frac:.1f} %"]
            for i, (n, name) in enumerate(zip(inside.nets[:MAX_NETS], names_, strict=False), 1)
        ]
        inner: list[Block] = [Paragraph("No net's tree runs over these edges: the demand comes from detours.")]
        if rows:
            share = 100 * sum(n.share_frac for n in inside.nets[:MAX_NETS])
            inner = [
                Table(["", "net", "expected wire (um)", "share of all"], rows, frozenset({0, 2, 3})),
                Paragraph(
                    f"Together {share:.0f} % of the expected wire in this box, of {count(inside.num_nets, 'net')}."
                ),
            ]
        summary = f"Hot spot {spot.rank}: {spot.name}, peak {spot.peak:.2f}, {box_text(spot.box_um)}"
        blocks.append(Details(summary, [*modules_table(inside.modules), *inner]))
    if len(spots) > MAX_FOLDS:
        where = "in hotspots.tsv" if "hotspots.tsv" in beside else "not listed"
        blocks.append(Paragraph(f"The nets of the other hot spots are {where}."))
    return blocks


def worst_nets_section(prediction: Prediction, design: PlacedDesign, beside: Collection[str] = ()) -> list[Block]:
    """The nets that most of the predicted overflow falls to."""
    table = net_table(prediction, design).slice(0, 15).to_pylist()
    rows: list[list[Cell]] = [
        [Code(str(row["net"])), str(row.get("use", "")), str(row.get("degree", "")), number(row.get("hpwl_um"), 1),
         f"{row['overflow_tracks']:.2f}"]
        for row in table if row["overflow_tracks"] > 0
    ]  # fmt: skip
    if not rows:
        return []
    columns = ["net", "use", "pins", "HPWL (um)", "overflow (tracks)"]
    text = "Nets that most of the predicted overflow falls to, over the whole design"
    text += "; all of them are in nets.csv." if "nets.csv" in beside else "."
    return [Heading("Nets with most overflow", "nets", 3), Paragraph(text), Table(columns, rows, frozenset({2, 3, 4}))]


def long_nets_section(prediction: Prediction, design: PlacedDesign) -> list[Block]:
    """The nets that are predicted to be routed the farthest beyond their shortest length."""
    lengths = prediction.net_lengths
    if lengths is None:
        return []
    extra = lengths.mean_length_um - lengths.shortest_um
    first = [i for i in np.argsort(-extra, kind="stable")[:15].tolist() if extra[i] > 0]
    names = [design.nets["name"][i].as_py() for i in first]
    shown = (lengths.shortest_um, lengths.mean_length_um, extra)
    rows: list[list[Cell]] = [
        [Code(str(name)), *(number(float(values[i]), 1) for values in shown)]
        for name, i in zip(names, first, strict=True)
    ]
    text = (
        f"Predicted routed length of all nets, as the global router counts it: {lengths.total_um():,.0f} um, "
        f"{lengths.detour():.3f} times the shortest. Below, the nets with most length beyond their shortest; which of "
        "several nets goes round is open, so read them as candidates."
    )
    blocks: list[Block] = [Heading("Routed length", "lengths", 3), Paragraph(text)]
    columns = ["net", "shortest (um)", "predicted (um)", "beyond (um)"]
    return [*blocks, Table(columns, rows, frozenset({1, 2, 3}))] if rows else blocks


def _overflow(prediction: Prediction, congestion: Float[np.ndarray, "ny nx"], d: str) -> float:
    return float(np.nansum(np.maximum(congestion - FULL, 0) * prediction.maps[f"capacity_{d}"]))
