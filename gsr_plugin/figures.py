"""Pictures of a prediction: maps with axes in um, one colour scale, and the level where all tracks are taken marked."""

import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from circuit_io.hotspots import HotSpot
from circuit_io.maps import FULL, Prediction
from flow_hooks.feedback_file import Plan, blocked_share
from gsr_plugin.document import visible

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

Map = Float[np.ndarray, "ny nx"]

FULL_INK = "#b3400a"
BOX = "#10151c"
NO_DATA = "#e9edf1"
DPI = 150
MAX_BOXES = 12
_STYLE: "dict[RcKeyType, Any]" = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": "#3c4654",
    "axes.edgecolor": "#8a94a1",
    "axes.linewidth": 0.8,
    "xtick.color": "#3c4654",
    "ytick.color": "#3c4654",
    "svg.fonttype": "none",
    "figure.facecolor": "white",
}


@dataclass(frozen=True)
class Picture:
    """One figure as PNG bytes and as an SVG element to put into a page."""

    name: str
    png: bytes
    svg: str


@dataclass(frozen=True)
class Panel:
    """One map of a figure: its title, its values, and whether hot spots carry their numbers."""

    title: str
    values: Map
    has_labels: bool = False


def congestion_colours(limit: float) -> Any:  # noqa: ANN401
    """Colours for congestion 0 .. `limit`: blues up to full, orange to dark red above it.

    Blue against orange is told apart with every common form of colour blindness, and the step lies at 1.
    """
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    steps = 400
    below = round(steps * FULL / limit)
    cool = colormaps["Blues"](np.linspace(0.04, 0.88, below))
    warm = colormaps["YlOrRd"](np.linspace(0.42, 1.0, steps - below))
    return ListedColormap(np.concatenate([cool, warm]), name="congestion")


def shared_limit(maps: Sequence[Map]) -> float:
    """Upper end of the colour scale for several congestion maps: at least 1.25, at most 2.5."""
    finite = [m[np.isfinite(m)] for m in maps]
    high = max((float(np.quantile(v, 0.999)) for v in finite if len(v)), default=1.0)
    return float(np.clip(np.ceil(high * 20) / 20, 1.25, 2.5))


def congestion_figure(
    prediction: Prediction,
    panels: Sequence[Panel],
    spots: Sequence[HotSpot],
    *,
    direction: str,
    limit: float,
) -> Picture:
    """Maps of one direction side by side on one colour scale, with the boxes of the hot spots."""
    word = "horizontal" if direction == "h" else "vertical"
    with _Maps(prediction, len(panels)) as canvas:
        mesh = None
        for ax, panel in zip(canvas.axes, panels, strict=True):
            values = _filled(panel.values, direction)
            mesh = _mesh(ax, prediction, values, vmin=0.0, vmax=limit, cmap=congestion_colours(limit))
            _boxes(ax, spots, has_labels=panel.has_labels)
            ax.set_title(panel.title)
        _mark_full(_bar(canvas, mesh, "congestion (demand / tracks)", extend="max"), limit)
        _title(canvas, prediction, f"{word.capitalize()} congestion")
        titles = {f"spot-box-{s.rank}": f"Hot spot {s.rank}: {s.name}, peak {s.peak:.2f}" for s in spots}
        return _picture(canvas, f"congestion_{direction}", titles)


def plan_figure(prediction: Prediction, plan: Plan) -> Picture:
    """What is kept free by density blockages, beside the predicted congestion that they answer."""
    share = blocked_share(plan, prediction.x_um, prediction.y_um)
    worst = np.maximum(prediction.per_gcell("congestion_h"), prediction.per_gcell("congestion_v"))
    with _Maps(prediction, 2, own_bars=True) as canvas:
        left, right = canvas.axes
        limit = shared_limit([worst])
        mesh = _mesh(left, prediction, worst, vmin=0.0, vmax=limit, cmap=congestion_colours(limit))
        left.set_title("Predicted, worse direction")
        bar = canvas.figure.colorbar(mesh, ax=left, extend="max", pad=0.02, fraction=0.045)
        bar.set_label("congestion (demand / tracks)", labelpad=8)
        _mark_full(bar, limit)
        top = max(50.0, float(100 * share.max()))
        mesh = _mesh(right, prediction, np.where(share > 0, 100 * share, np.nan), vmin=0, vmax=top, cmap="YlGnBu")
        right.set_title("Planned: area kept free of insts")
        bar = canvas.figure.colorbar(mesh, ax=right, pad=0.02, fraction=0.045)
        bar.set_label("share of the gcell (%)")
        _title(canvas, prediction, "Feedback plan")
        return _picture(canvas, "plan", {})


def uncertainty_figure(prediction: Prediction) -> Picture:
    """One standard deviation of the predicted congestion, both directions on one scale."""
    maps = [prediction.maps["sigma_h"], prediction.maps["sigma_v"]]
    limit = max(0.01, max(float(np.nanmax(m, initial=0.0, where=np.isfinite(m))) for m in maps))
    with _Maps(prediction, 2) as canvas:
        mesh = None
        for ax, values, d, word in zip(canvas.axes, maps, "hv", ("Horizontal", "Vertical"), strict=True):
            mesh = _mesh(ax, prediction, _filled(values, d), vmin=0.0, vmax=limit, cmap="cividis")
            ax.set_title(word)
        _bar(canvas, mesh, "one standard deviation of congestion", extend="neither")
        _title(canvas, prediction, "Uncertainty of the prediction")
        return _picture(canvas, "uncertainty", {})


def accuracy_figure(prediction: Prediction, truth: Mapping[str, Map]) -> Picture:
    """Predicted against routed congestion, edge by edge, for the model and for RUDY."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import ListedColormap, LogNorm
    from matplotlib.figure import Figure

    pairs = []
    for title, kind in (("Prediction", "congestion"), ("RUDY", "rudy")):
        t = np.concatenate([truth[d].ravel() for d in "hv"])
        g = np.concatenate([prediction.maps[f"{kind}_{d}"].ravel() for d in "hv"])
        seen = np.isfinite(t) & np.isfinite(g)
        pairs.append((title, t[seen], g[seen]))
    limit = float(np.clip(max([1.25, *(np.quantile(v, 0.999) for _, *both in pairs for v in both if len(v))]), 0, 3))
    span = [[0, limit], [0, limit]]
    binned = [np.histogram2d(t, g, bins=60, range=span) for _, t, g in pairs]
    most = max(10.0, *(float(counts.max()) for counts, *_ in binned))
    blues = ListedColormap(colormaps["Blues"](np.linspace(0.3, 1.0, 256)))
    with _Canvas() as canvas:
        canvas.figure = Figure(figsize=(9.4, 4.5), layout="constrained")
        FigureCanvasAgg(canvas.figure)
        canvas.axes = list(canvas.figure.subplots(1, 2, sharey=True))
        shade = None
        for ax, (title, *_), (counts, xs, ys) in zip(canvas.axes, pairs, binned, strict=True):
            shown = np.ma.masked_less(counts.T, 1)
            shade = ax.pcolormesh(xs, ys, shown, cmap=blues, norm=LogNorm(1, most), rasterized=True)
            ax.plot([0, limit], [0, limit], color="#5b6675", linewidth=1, linestyle="--")
            for line in (ax.axvline, ax.axhline):
                line(FULL, color=FULL_INK, linewidth=1)
            ax.set(
                title=title, xlabel="router: congestion of the edge", xlim=(0, limit), ylim=(0, limit), aspect="equal"
            )
        canvas.axes[0].set_ylabel("estimate: congestion of the edge")
        bar = canvas.figure.colorbar(shade, ax=canvas.axes, fraction=0.03, pad=0.02)
        bar.set_label("edges in a bin")
        _title(canvas, prediction, "Estimate against router")
        return _picture(canvas, "accuracy", {})


# ---- drawing


@dataclass
class _Canvas:
    """A figure under our style, without any global state of pyplot."""

    figure: Any = None
    axes: list[Any] = field(default_factory=list)
    _context: Any = None

    def __enter__(self) -> "_Canvas":
        import matplotlib as mpl

        self._context = mpl.rc_context(_STYLE)
        self._context.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._context.__exit__(*exception)


class _Maps(_Canvas):
    """Maps in the shape of the die: side by side, or one above the other when the die is wide and low."""

    def __init__(self, prediction: Prediction, count: int, *, own_bars: bool = False) -> None:
        """`count` panels; `own_bars` leaves room for a colour bar at each."""
        super().__init__()
        width = float(prediction.x_um[-1] - prediction.x_um[0])
        height = float(prediction.y_um[-1] - prediction.y_um[0])
        self.ratio = float(np.clip(height / width, 0.1, 2.5))
        self.count, self.own_bars = count, own_bars

    def __enter__(self) -> "_Maps":
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        super().__enter__()
        is_stacked = self.ratio < 0.5 and self.count > 1
        rows, columns = (self.count, 1) if is_stacked else (1, self.count)
        panel = 8.8 if is_stacked else 3.9 / max(1.0, self.ratio / 1.2)
        bars = 1.1 * columns if self.own_bars else 1.3
        size = (max(5.6, panel * columns + bars), max(3.2, panel * self.ratio * rows + 0.4 * rows + 0.9))
        self.figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(self.figure)
        axes = self.figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        self.axes = list(axes.ravel())
        for ax in axes[:, 0]:
            ax.set_ylabel("y (um)")
        for ax in axes[-1]:
            ax.set_xlabel("x (um)")
        for ax in self.axes:
            ax.set_facecolor(NO_DATA)
        return self


def _filled(values: Map, direction: str) -> Map:
    """The map with its last column (H) or row (V), where no edge is, repeating its neighbour."""
    out = values.copy()
    if direction == "h" and out.shape[1] > 1:
        out[:, -1] = out[:, -2]
    elif direction == "v" and out.shape[0] > 1:
        out[-1] = out[-2]
    return out


def _mesh(ax: Any, prediction: Prediction, values: Map, **options: Any) -> Any:  # noqa: ANN401
    shown = np.ma.masked_invalid(values)
    mesh = ax.pcolormesh(prediction.x_um, prediction.y_um, shown, rasterized=True, **options)
    ax.set_aspect("equal")
    ax.set_xlim(prediction.x_um[0], prediction.x_um[-1])
    ax.set_ylim(prediction.y_um[0], prediction.y_um[-1])
    return mesh


def _mark_full(bar: Any, limit: float) -> None:  # noqa: ANN401
    """Marks on a congestion bar, the one at full in its own ink."""
    step = 0.25 if limit <= 1.5 else 0.5
    at = np.arange(0, limit + 1e-9, step)
    bar.set_ticks(at, labels=[f"{v:g} full" if v == FULL else f"{v:g}" for v in at])
    label = bar.ax.get_yticklabels()[round(FULL / step)]
    label.set_color(FULL_INK)
    label.set_fontweight("bold")


def _boxes(ax: Any, spots: Sequence[HotSpot], *, has_labels: bool) -> None:  # noqa: ANN401
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    halo = withStroke(linewidth=2.6 if has_labels else 1.8, foreground="white")
    for spot in (s for s in spots if s.rank <= MAX_BOXES):
        x1, y1, x2, y2 = spot.box_um
        style = {"linewidth": 1.2} if has_labels else {"linewidth": 0.8, "linestyle": (0, (4, 2))}
        box = Rectangle((x1, y1), x2 - x1, y2 - y1, facecolor=(1, 1, 1, 0.004), edgecolor=BOX, **style)
        box.set_path_effects([halo])
        ax.add_patch(box)
        if has_labels:
            # the paint of effects has no link of its own: a bare rectangle over the box carries it
            link = Rectangle((x1, y1), x2 - x1, y2 - y1, facecolor=(1, 1, 1, 0.004), edgecolor="none")
            link.set_gid(f"spot-box-{spot.rank}")
            link.set_url(f"#spot-{spot.rank}")
            ax.add_patch(link)
            label = ax.text(x1, y2, f" {spot.rank}", color=BOX, fontsize=8.5, fontweight="bold", va="top", clip_on=True)
            label.set_path_effects([halo])


def _bar(canvas: _Canvas, mesh: Any, label: str, *, extend: str) -> Any:  # noqa: ANN401
    bar = canvas.figure.colorbar(mesh, ax=canvas.axes, extend=extend, pad=0.015, fraction=0.03, aspect=28)
    bar.set_label(label, labelpad=8)
    return bar


def _title(canvas: _Canvas, prediction: Prediction, what: str) -> None:
    ny, nx = prediction.shape
    width, height = prediction.gcell_um()
    name = visible(prediction.design)
    name = name if len(name) <= 36 else f"{name[:33]}..."
    text = f"{what} of {name}, stage {prediction.stage}\n{nx} x {ny} gcells of {width:g} x {height:g} um"
    canvas.figure.suptitle(text, x=0.012, ha="left", fontsize=9.5, color="#3c4654", parse_math=False)


def _picture(canvas: _Canvas, name: str, titles: Mapping[str, str]) -> Picture:
    import matplotlib as mpl

    canvas.figure.draw_without_rendering()
    canvas.figure.set_layout_engine("none")  # laid out once, not again for each form
    png, svg = io.BytesIO(), io.BytesIO()
    canvas.figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    with mpl.rc_context({"svg.hashsalt": name}):
        canvas.figure.savefig(svg, format="svg", dpi=DPI, metadata={"Date": None})
    return Picture(name, png.getvalue(), svg_element(svg.getvalue().decode("utf-8"), name, titles))


def svg_element(text: str, prefix: str, titles: Mapping[str, str]) -> str:
    """A picture's `svg` element for use in a page: ids made unique by `prefix`, no metadata, titles for some ids.

    Ids that nothing refers to are left out: Matplotlib repeats some.
    """
    text = text[text.index("<svg ") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg\b[^>]*?)\s+height="[^"]*"', r"\1", text, count=1)
    width = re.search(r'<svg\b[^>]*?\swidth="([\d.]+)pt"', text)
    text = re.sub(r'(<svg\b[^>]*?)\s+width="[^"]*"', r"\1", text, count=1)
    if width:  # never larger than drawn, so that text keeps its size
        text = text.replace("<svg ", f'<svg style="max-width:{float(width[1]) * 1.42:.0f}px" ', 1)
    for name, title in titles.items():
        text = text.replace(f'<g id="{name}">', f'<g id="{name}"><title>{html.escape(title)}</title>', 1)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) | set(titles)
    text = re.sub(r'\s+id="([^"]+)"', lambda m: m[0] if m[1] in used else "", text)
    ids = set(re.findall(r'\sid="([^"]+)"', text))

    def renamed(match: re.Match[str]) -> str:
        return f"{match[1]}{prefix}-{match[2]}{match[3]}" if match[2] in ids else match[0]

    return re.sub(r'(\bid="|href="#|url\(#)([^")]+)("|\))', renamed, text).strip()
