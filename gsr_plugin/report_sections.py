"""The sections of a report, each from what it shows."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from circuit_io.hotspots import HotSpot, NetInSpot
from circuit_io.maps import FULL, PlacedDesign, Prediction
from circuit_io.metric_keys import stage_prefix
from circuit_io.module_shares import ModuleInSpot
from circuit_io.prediction_metrics import prediction_metrics
from flow_hooks.annotate import net_table
from flow_hooks.feedback_file import ACTIONS, Plan
from gsr_plugin.document import (
    Block,
    Bullets,
    Card,
    Cards,
    Cell,
    Code,
    Details,
    Figure,
    Heading,
    Link,
    Paragraph,
    Table,
    Tone,
)
from gsr_plugin.figures import (
    Panel,
    Picture,
    accuracy_figure,
    congestion_figure,
    plan_figure,
    shared_limit,
    uncertainty_figure,
)
from gsr_plugin.metrics import Scores, score_placement
from gsr_plugin.report_modules import first_modules, modules_paragraph, modules_table

WORDS = {"h": "Horizontal", "v": "Vertical"}
SCORES = {
    "pearson": "Pearson",
    "spearman": "Spearman",
    "kendall": "Kendall",
    "r2": "R2",
    "nrmse": "NRMSE (lower is better)",
    "mae": "mean absolute error (lower is better)",
    "ssim": "SSIM",
    "auc_top5": "AUC, hottest 5 %",
    "precision_top5": "precision, hottest 5 %",
    "auc_overflow": "AUC, overflow",
}
MAX_ROWS = 40  # of a table; the files hold the rest
MAX_FOLDS = 12  # hot spots whose nets are listed


@runtime_checkable
class Routed(Protocol):
    """The router's result on the prediction's grid; a `Labels` is one."""

    @property
    def congestion_h(self) -> Float[np.ndarray, "ny nx"]:
        """Congestion of the edges to the right, NaN where masked."""

    @property
    def congestion_v(self) -> Float[np.ndarray, "ny nx"]:
        """Congestion of the edges above, NaN where masked."""


def verdict_section(prediction: Prediction, spots: Sequence[HotSpot]) -> Paragraph:
    """One sentence on how bad it is."""
    hot = [s for s in spots if s.is_hot]
    if not hot:
        return Paragraph("No hot spot: no edge is predicted to exceed 0.95 of its tracks.", "good")
    values, stage = prediction_metrics(prediction), stage_prefix(prediction.stage)
    edges = sum(values.get(f"{stage}__gsr__overflow_{d}__edges", 0.0) for d in "hv")
    overflow = values.get(f"{stage}__gsr__overflow__expected", 0.0)
    expected = (
        f"{_count(round(edges), 'edge')} expected above full in the whole design, {overflow:,.0f} tracks of overflow"
    )
    listed = f"{_count(len(hot), 'hot spot')} listed ({_levels(hot)})"
    if all(s.peak <= FULL for s in hot):
        return Paragraph(f"{listed}, none predicted above full; {expected}.", "warn")
    tracks = sum(s.overflow_tracks for s in hot)
    worst = max(hot, key=lambda s: s.peak > FULL)
    text = (
        f"{expected}. {listed}, with {tracks:,.0f} of these tracks inside. The worst is {worst.name}, peak "
        f"{worst.peak:.2f}, at {_place(worst)}."
    )
    return Paragraph(text, "bad")


def cards_section(prediction: Prediction, spots: Sequence[HotSpot], plan: Plan | None, truth: Routed | None) -> Cards:
    """The key figures."""
    values = prediction_metrics(prediction)
    stage = stage_prefix(prediction.stage)

    def value(name: str) -> float:
        return values.get(f"{stage}__gsr__{name}", float("nan"))

    def routed(d: str) -> str:
        if truth is None:
            return "1 = all tracks taken"
        values = _truth(truth, d)
        return f"router: {_number(float(values[np.isfinite(values)].max(initial=0.0)))}"

    def tone(level: float) -> Tone:
        return "bad" if level > FULL else "warn" if level > 0.95 else "good"

    cards = [
        Card(f"{WORDS[d]} peak", _number(value(f"congestion_{d}__max")), routed(d), tone(value(f"congestion_{d}__max")))
        for d in "hv"
    ]
    overflow = value("overflow__expected")
    note = "tracks, both directions"
    if truth is not None:
        note = f"tracks; router: {sum(_overflow(prediction, _truth(truth, d), d) for d in 'hv'):.0f}"
    hot = sum(s.is_hot for s in spots)
    cards += [
        Card("Expected overflow", _number(overflow, 0), note),
        Card("Load", _number(value("congestion__load")), "demand over tracks"),
        Card("Hot spots", str(hot), _levels([s for s in spots if s.is_hot]) if hot else "none above 0.95"),
    ]
    if plan:
        cards.append(
            Card("Planned actions", str(len(plan.actions)), f"trouble is {plan.trouble}" if plan.trouble else "")
        )
    return Cards(cards)


def maps_section(
    prediction: Prediction, spots: Sequence[HotSpot], truth: Routed | None, pictures: list[Picture]
) -> list[Block]:
    """Predicted, RUDY's and the router's maps, both directions; `pictures` gains them."""
    kinds = [("Predicted", "congestion"), ("RUDY, for comparison", "rudy")]
    everything = [prediction.maps[f"congestion_{d}"] for d in "hv"]
    if truth is not None:
        everything += [_truth(truth, d) for d in "hv"]
    limit = shared_limit(everything)
    blocks: list[Block] = [Heading("Congestion maps", "maps")]
    for d in "hv":
        panels = [
            Panel(title, prediction.maps[f"{kind}_{d}"], has_labels=kind == "congestion") for title, kind in kinds
        ]
        if truth is not None:
            panels.append(Panel("Router", _truth(truth, d)))
        mine = [s for s in spots if s.direction == d]
        picture = congestion_figure(prediction, panels, mine, direction=d, limit=limit)
        pictures.append(picture)
        caption = (
            f"{WORDS[d]} congestion per gcell edge: demand over the tracks that adjustments leave. All maps of this "
            "section share one colour scale: blue up to full, orange to red above it."
        )
        if mine:
            caption += " Boxes: the first hot spots of the prediction with their rank, dashed on the other maps."
        alt = f"Maps of {WORDS[d].lower()} congestion: {', '.join(p.title.lower() for p in panels)}"
        blocks.append(Figure(picture.name, picture.svg, alt, caption))
    return blocks


def spots_section(
    spots: Sequence[HotSpot],
    ranked: Sequence[Sequence[NetInSpot]],
    names: Sequence[Sequence[str]],
    modules: Sequence[Sequence[ModuleInSpot]],
    *,
    design: PlacedDesign | None,
) -> list[Block]:
    """The table of hot spots, and the modules and nets inside each."""
    blocks: list[Block] = [Heading("Hot spots", "hotspots")]
    if not spots:
        return [*blocks, Paragraph("The map is flat: nothing stands out.")]
    if not spots[0].is_hot:
        blocks.append(Paragraph("No edge is hot. These are the fullest edges of the design, for orientation."))
    has_modules = any(modules)
    columns = ["rank", "direction", "box (um)", "edges", "peak", "mean", "overflow (tracks)"]
    columns += ["first modules", "first nets"] if has_modules else ["first nets"]
    rows: list[list[Cell]] = []
    for spot, nets, inside in zip(spots[:MAX_ROWS], names, modules, strict=False):
        first = _comma_separated([Code(n) for n in nets[:3]])
        rank: Cell = Link(str(spot.rank), f"nets-{spot.rank}") if nets and spot.rank <= MAX_FOLDS else str(spot.rank)
        rows.append(
            [rank, spot.name, _place(spot), str(spot.num_edges), f"{spot.peak:.2f}", f"{spot.mean:.2f}",
             f"{spot.overflow_tracks:.1f}", *([first_modules(inside)] if has_modules else []), first or "-"]
        )  # fmt: skip
    anchors = [f"spot-{spot.rank}" for spot in spots[:MAX_ROWS]]
    blocks.append(Table(columns, rows, frozenset({3, 4, 5, 6}), anchors))
    if len(spots) > MAX_ROWS:
        blocks.append(Paragraph(f"{len(spots) - MAX_ROWS} more are in hotspots.tsv."))
    if design is not None:
        title = "Modules and nets in each hot spot" if has_modules else "Nets in each hot spot"
        blocks.append(Heading(title, "hotspot-nets", 3))
        if has_modules:
            blocks.append(modules_paragraph(design.manifest))
        blocks.append(
            Paragraph(
                "Nets ranked by their expected wire inside the box: the predicted demand of each edge, split among the "
                "nets whose boxes cover it in proportion to their RUDY density there."
            )
        )
        for spot, nets_, names_, inside in zip(spots[:MAX_FOLDS], ranked, names, modules, strict=False):
            blocks.append(_inside(spot, nets_, names_, inside))
        if len(spots) > MAX_FOLDS:
            blocks.append(Paragraph("The nets of the other hot spots are in hotspots.tsv."))
    return blocks


def _inside(spot: HotSpot, nets: Sequence[NetInSpot], names: Sequence[str], modules: Sequence[ModuleInSpot]) -> Details:
    rows: list[list[Cell]] = [
        [str(i), Code(name), f"{n.wire_um:.1f}", f"{100 * n.share_frac:.1f} %"]
        for i, (n, name) in enumerate(zip(nets, names, strict=True), 1)
    ]
    share = 100 * sum(n.share_frac for n in nets)
    summary = f"Hot spot {spot.rank}: {spot.name}, peak {spot.peak:.2f}, {_place(spot)}"
    inner: list[Block] = [Table(["", "net", "expected wire (um)", "share of the demand"], rows, frozenset({0, 2, 3}))]
    if rows:
        inner.append(Paragraph(f"Together {share:.0f} % of the expected wire in this box."))
    else:
        inner = [Paragraph("No net's box covers these edges: the demand comes from detours.")]
    return Details(summary, [*modules_table(modules), *inner], anchor=f"nets-{spot.rank}", is_open=spot.rank == 1)


def worst_nets_section(prediction: Prediction, design: PlacedDesign) -> list[Block]:
    """The nets that most of the predicted overflow falls to."""
    table = net_table(prediction, design).slice(0, 15).to_pylist()
    rows: list[list[Cell]] = [
        [Code(str(row["net"])), str(row.get("use", "")), str(row.get("degree", "")), _number(row.get("hpwl_um"), 1),
         f"{row['overflow_tracks']:.2f}"]
        for row in table if row["overflow_tracks"] > 0
    ]  # fmt: skip
    if not rows:
        return []
    columns = ["net", "use", "pins", "HPWL (um)", "overflow (tracks)"]
    text = "Nets that the predicted overflow falls to, over the whole design; all of them are in nets.csv."
    return [Heading("Nets with most overflow", "nets", 3), Paragraph(text), Table(columns, rows, frozenset({2, 3, 4}))]


def plan_section(prediction: Prediction, plan: Plan, pictures: list[Picture]) -> list[Block]:
    """What is planned and why, on a map and as a table."""
    blocks: list[Block] = [Heading("Feedback plan", "plan"), Paragraph(plan.verdict or "No reason was recorded.")]
    if plan.of("density_blockage"):
        picture = plan_figure(prediction, plan)
        pictures.append(picture)
        caption = (
            "Left: the worse of both directions, mean of a gcell's edges. Right: the share of each gcell that soft "
            "density blockages keep free during global placement."
        )
        blocks.append(Figure(picture.name, picture.svg, "Predicted congestion and planned density blockages", caption))
    if plan.free_area_um2 == plan.free_area_um2:  # not NaN
        used = f"{plan.used_um2:,.0f} of {plan.budget_um2:,.0f} um^2 of the budget used"
        blocks.append(Paragraph(f"{used}; free area {plan.free_area_um2:,.0f} um^2."))
    if plan.notes:
        blocks.append(Bullets(list(plan.notes)))
    if plan.actions:
        rows: list[list[Cell]] = [
            [a.action, Code(a.target) if a.target else "", _box(a.box_um), a.layer, a.value, f"{a.score:.2f}"]
            for a in plan.actions[:MAX_ROWS]
        ]
        columns = ["action", "inst", "box (um)", "layer", "value", "score"]
        table = Table(columns, rows, frozenset({4, 5}))
        meanings = Bullets(
            [(Code(k), f": {ACTIONS[k].meaning}.") for k in dict.fromkeys(a.action for a in plan.actions)]
        )
        more = len(plan.actions) - MAX_ROWS
        rest: list[Block] = [Paragraph(f"{more} more are in feedback.tsv.")] if more > 0 else []
        blocks.append(Details(f"All actions ({len(plan.actions)})", [meanings, table, *rest]))
    return blocks


def accuracy_section(prediction: Prediction, truth: Routed, pictures: list[Picture]) -> list[Block]:
    """Scores of the prediction and of RUDY against the router."""
    routed = (_truth(truth, "h"), _truth(truth, "v"))
    judged = {
        kind: score_placement(routed, (prediction.maps[f"{kind}_h"], prediction.maps[f"{kind}_v"]))
        for kind in ("congestion", "rudy")
    }
    columns = ["score", "prediction H", "RUDY H", "prediction V", "RUDY V", "prediction, mean", "RUDY, mean"]
    rows: list[list[Cell]] = []
    for name in Scores.names():
        cells = [
            _number(getattr(part, name), 3)
            for get in ("h", "v", "mean")
            for part in (getattr(judged["congestion"], get), getattr(judged["rudy"], get))
        ]
        rows.append([SCORES.get(name, name), *cells])
    picture = accuracy_figure(prediction, dict(zip("hv", routed, strict=True)))
    pictures.append(picture)
    caption = (
        "Each edge of the grid, both directions: the router's congestion across, the estimate's up. On the dashed line "
        "they agree; the brown lines mark full."
    )
    edges = judged["congestion"]
    text = (
        f"Against the global router's own result on this placement: {edges.num_edges:,} edges, "
        f"{edges.num_overflow:,} of them above full."
    )
    return [
        Heading("Accuracy", "accuracy"),
        Paragraph(text),
        Table(columns, rows, frozenset(range(1, 7))),
        Figure(picture.name, picture.svg, "Estimates against the router, edge by edge", caption),
    ]


def uncertainty_section(prediction: Prediction, pictures: list[Picture]) -> list[Block]:
    """Maps of the standard deviation, if the model gives one."""
    if not {"sigma_h", "sigma_v"} <= set(prediction.maps):
        return []
    picture = uncertainty_figure(prediction)
    pictures.append(picture)
    caption = "What the model claims of its own error, as one standard deviation of congestion."
    return [
        Heading("Uncertainty", "uncertainty"),
        Figure(picture.name, picture.svg, "Maps of the standard deviation, both directions", caption),
    ]


def provenance_section(
    prediction: Prediction, design: PlacedDesign | None, model_card: Mapping[str, Any] | None
) -> list[Block]:
    """Which weights, inputs and versions this came from."""
    manifest = prediction.manifest
    rows: list[list[Cell]] = [["run", Code(str(manifest.get("run_id", "")))]]
    for key, value in [*_flat(manifest.get("model") or {}), *_flat(model_card or {})]:
        rows.append([f"model: {key}", _value(value)])
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
    warnings = list(design.manifest.get("warnings") or []) if design is not None else []
    if warnings:
        blocks.append(Bullets([f"Warning of the export: {w}" for w in warnings]))
    return blocks


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


# ---- small things


def _truth(truth: Routed, d: str) -> Float[np.ndarray, "ny nx"]:
    return truth.congestion_h if d == "h" else truth.congestion_v


def _overflow(prediction: Prediction, congestion: Float[np.ndarray, "ny nx"], d: str) -> float:
    return float(np.nansum(np.maximum(congestion - FULL, 0) * prediction.maps[f"capacity_{d}"]))


def _place(spot: HotSpot) -> str:
    return _box(spot.box_um)


def _levels(spots: Sequence[HotSpot]) -> str:
    """Above which congestion the edges of hot spots are: "edges above 1.13", or one level a direction."""
    levels = {s.name: f"{s.level:.2f}" for s in sorted(spots, key=lambda s: s.direction)}
    if len(set(levels.values())) == 1:
        return f"edges above {next(iter(levels.values()))}"
    return "edges above " + ", ".join(f"{level} {name}" for name, level in levels.items())


def _box(box: tuple[float, float, float, float] | None) -> str:
    if box is None:
        return ""
    return "({:.6g}, {:.6g}) - ({:.6g}, {:.6g})".format(*box)


def _number(value: float | None, digits: int = 2) -> str:
    if value is None or not np.isfinite(value):
        return "-"
    return f"{value:,.{digits}f}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _comma_separated(parts: Sequence[Code]) -> tuple[Code | str | Link, ...]:
    out: list[Code | str | Link] = []
    for part in parts:
        out += [", ", part] if out else [part]
    return tuple(out)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested settings as dotted keys."""
    out: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        out += _flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return out


def _value(value: object) -> Cell:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return Code(text) if len(text) > 24 and " " not in text else text
