"""The report's page in a real browser: shown, switched, hovered, clicked, driven by keys, zoomed, light and dark."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from browser import CHROMIUM, Browser
from PIL import Image
from synthetic import SyntheticDesign, SyntheticLabels, make_export, make_labels, make_prediction

from circuit_io.drc import DrcCounts
from circuit_io.guides import read_guides
from circuit_io.hotspots import HotSpot, find_hotspots
from circuit_io.prediction import Prediction
from flow_hooks.feedback.file import Plan
from flow_hooks.feedback.planner import plan_feedback
from flow_hooks.feedback.record import Record
from gsr_plugin.document import visible
from gsr_plugin.report import build_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")

HOSTILE = (
    "</script><script>window.hit=1</script>",
    "<img src=http://elsewhere.invalid/x onerror=window.hit=1>",
    "\u202egnp.x\u2066",
    "\"'`${window.hit=1}\\",
    "<!--<script>",
)
NONE = "\N{EN DASH}"
READY = "document.documentElement.dataset.ready === 'yes'"


@dataclass(frozen=True)
class Case:
    """What the page shows."""

    design: SyntheticDesign
    prediction: Prediction
    labels: SyntheticLabels
    plan: Plan
    spots: list[HotSpot]
    page: Path

    def box_of(self, rank: int) -> tuple[float, float, float, float]:
        """Box of a hot spot in um."""
        return self.spots[rank - 1].box_um


def renamed(table: pa.Table) -> pa.Table:
    """Hostile names for every fifth row."""
    names = [f"{HOSTILE[i // 5 % 5]}{i}" if i % 5 == 0 else n for i, n in enumerate(table["name"].to_pylist())]
    return table.set_column(table.column_names.index("name"), "name", pa.array(names))


def with_modules(design: SyntheticDesign) -> SyntheticDesign:
    """Two modules, one of a hostile name."""
    modules = pa.table(
        {"path": ["", "u_a</script>"], "module": ["top", "a<b>"], "file": ["rtl/top.v", "rtl/a&.v"], "line": [3, 40]}
    )
    insts, nets = (
        renamed(t).append_column("module", pa.array(np.arange(len(t)) % 3 - 1)).append_column(
            "feeds", pa.array(np.full(len(t), -1))
        )
        for t in (design.insts, design.nets)
    )  # fmt: skip
    return replace(design, insts=insts, nets=nets, modules=modules)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("page")
    design = with_modules(make_export(folder / "design", design=HOSTILE[0]))
    prediction = make_prediction(design)
    labels = make_labels(prediction)
    plan = plan_feedback(prediction, design.manifest, design=design)
    states = tuple("skipped" if i % 2 else "applied" for i in range(len(plan.actions)))
    record = Record(states, tuple("<b>no</b>" if s == "skipped" else "" for s in states), "", "apply", "GLOBAL_PLACE")
    x, y = (np.rint(b * 1000).astype(int) for b in (prediction.x_um, prediction.y_um))
    line = f"0 0 {x[-1]} {y[-1]} M"
    guide = folder / "route.guide"
    guide.write_text("".join(f"{n}\n(\n{line}\n)\n" for n in design.nets["name"].to_pylist() if n.startswith("n1")))
    names = design.nets["name"].to_pylist()
    guides = read_guides(guide, names, x_um=prediction.x_um, y_um=prediction.y_um, dbu_per_um=1000)
    drc = DrcCounts(np.array([2]), np.array([1]), ("Short",), ("M2",), np.array([3]))
    made = build_report(prediction, design, plan=plan, record=record, truth=labels, guides=guides, drc=drc)
    page = folder / "report.html"
    page.write_text(made.html(), "utf-8")
    return Case(design, prediction, labels, plan, find_hotspots(prediction), page)


@pytest.fixture(scope="module")
def tab(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def fresh(tab: Browser, case: Case) -> Browser:
    """The page, loaded again."""
    tab.resize(1400, 1000)
    tab.console.clear()
    tab.requests.clear()
    tab.open("about:blank")
    tab.open(case.page.as_uri(), ready=READY)
    return tab


@pytest.fixture
def browser(tab: Browser, case: Case) -> Browser:
    """The page as it was when it was loaded."""
    if tab.run("location.pathname") != case.page.as_posix():
        tab.open(case.page.as_uri(), ready=READY)
    tab.resize(1400, 1000)
    tab.move(5, 5)
    tab.run("document.activeElement.blur(); scrollTo(0, 0); history.replaceState(null, '', location.pathname)")
    tab.run("Object.assign(state, {kind: 'prediction', d: 'w', cursor: null, hover: null, spot: null, mark: null})")
    tab.run("setTheme('light'); update(); fillPanel(); resize(); fit()")
    tab.console.clear()
    tab.requests.clear()
    return tab


def at(browser: Browser, x_um: float, y_um: float) -> tuple[float, float]:
    """Where a place of the die is in the window."""
    x, y = browser.run(
        f"(() => {{ const r = document.querySelector('#map').getBoundingClientRect(); "
        f"return [r.x + px({x_um}), r.y + py({y_um})]; }})()"
    )
    return x, y


def middle(case: Case, ix: int, iy: int) -> tuple[float, float]:
    x, y = case.prediction.x_um, case.prediction.y_um
    return (x[ix] + x[ix + 1]) / 2, (y[iy] + y[iy + 1]) / 2


def readout(browser: Browser) -> dict[str, list[str]]:
    """The rows of the values at the cursor."""
    rows = browser.run(
        "[...document.querySelectorAll('#readout tbody tr')].map((r) => [...r.children].map((c) => c.textContent))"
    )
    return {row[0]: row[1:] for row in rows}


def pixels(browser: Browser) -> np.ndarray:
    """The map's part of the window, as floats."""
    box = browser.run(
        "(() => { const r = document.querySelector('#map').getBoundingClientRect(); "
        "return [r.x, r.y, r.x + r.width, r.y + r.height].map(Math.round); })()"
    )
    with Image.open(io.BytesIO(browser.screenshot())) as image:
        return np.asarray(image.convert("RGB").crop(box)).astype(float)


def near(text: str, value: float) -> bool:
    """Whether a shown number is the value, up to the step that maps are packed in."""
    return (
        text == NONE
        if np.isnan(value)
        else abs(float(text.replace("\N{MINUS SIGN}", "-").replace("+", "")) - value) < 0.0056
    )


def test_page_is_quiet_and_asks_for_nothing(fresh: Browser) -> None:
    fresh.screenshot()
    assert fresh.console == []
    assert fresh.requests == set()
    assert fresh.run("window.hit") is None


def test_this_would_notice(tab: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text('<img src="http://elsewhere.invalid/x.png"><script>console.error("boo")</script>')
    tab.console.clear()
    tab.open(page.as_uri())
    assert any("boo" in line for line in tab.console)
    assert tab.requests == {"http://elsewhere.invalid/x.png"}


def test_policy_stops_a_foreign_script(fresh: Browser) -> None:
    fresh.run("document.body.insertAdjacentHTML('beforeend', '<p id=p onclick=\"window.hit=1\">x</p>')")
    fresh.run("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hit=2'}))")
    fresh.run("document.querySelector('#p').click()")
    assert fresh.run("window.hit") is None
    assert fresh.run("fetch('data:,x').then(() => 'got it', () => 'refused')") == "refused"


def test_maps_hold_what_was_predicted(browser: Browser, case: Case) -> None:
    maps: dict[str, Any] = {
        f"{k}_{d}": case.prediction.maps[f"{k}_{d}"] for k in ("congestion", "sigma", "rudy") for d in "hv"
    }
    maps |= {"truth_h": case.labels.congestion_h, "truth_v": case.labels.congestion_v}
    for name, values in maps.items():
        found = browser.run(f"[...MAPS.{name}].map((v) => Number.isNaN(v) ? null : v)")
        back = np.array([np.nan if v is None else v for v in found]).reshape(values.shape)
        np.testing.assert_allclose(back, values, atol=0.00026)
    difference = browser.run("[...MAPS.difference_h].map((v) => Number.isNaN(v) ? null : v)")
    back = np.array([np.nan if v is None else v for v in difference]).reshape(case.prediction.shape)
    np.testing.assert_allclose(back, maps["congestion_h"] - maps["truth_h"], atol=0.00051)


@pytest.mark.parametrize(("ix", "iy"), [(9, 8), (0, 0), (29, 5), (3, 23)])
def test_hover_shows_all_values_of_the_gcell(browser: Browser, case: Case, ix: int, iy: int) -> None:
    browser.move(*at(browser, *middle(case, ix, iy)))
    browser.settle()
    assert f"gcell {ix}, {iy}" in browser.text("#readout p")
    x, y = case.prediction.x_um, case.prediction.y_um
    assert f"x {x[ix]:g} to {x[ix + 1]:g}, y {y[iy]:g} to {y[iy + 1]:g} um" in browser.text("#readout p")
    rows = readout(browser)
    value = lambda name: [float(case.prediction.maps[f"{name}_{d}"][iy, ix]) for d in "hv"]  # noqa: E731
    predicted, sigma = value("congestion"), value("sigma")
    routed = [float(m[iy, ix]) for m in (case.labels.congestion_h, case.labels.congestion_v)]
    for name, wanted in (
        ("prediction", predicted), ("RUDY", value("rudy")), ("router", routed),
        ("difference", [p - t for p, t in zip(predicted, routed, strict=True)]),
    ):  # fmt: skip
        assert all(map(near, rows[name], wanted)), (name, rows[name], wanted)
    for text, p, s in zip(rows["± 2 sigma"], predicted, sigma, strict=True):
        ends = text.split(" to ") if " to " in text else [NONE, NONE]
        assert near(ends[0], float(np.maximum(0, p - 2 * s)))
        assert near(ends[1], p + 2 * s)
    assert rows["capacity (tracks)"] == [NONE if np.isnan(v) else f"{v:.1f}" for v in value("capacity")]
    assert f"gcell {ix}, {iy}: prediction worst" in browser.text("#tip")


def test_hover_ends_with_the_pointer(browser: Browser, case: Case) -> None:
    browser.move(*at(browser, *middle(case, 9, 8)))
    assert browser.run("!document.querySelector('#tip').hidden")
    browser.move(5, 5)
    browser.settle()
    assert browser.run("document.querySelector('#tip').hidden")
    assert "point at the map" in browser.text("#readout p")


def test_maps_switch_by_button_and_key(browser: Browser) -> None:
    names = ["prediction", "uncertainty", "rudy", "router", "difference", "plan", "drc", "risk"]
    assert browser.run("[...document.querySelectorAll('#kinds button')].map((b) => b.dataset.kind)") == names
    pictures = {}
    for i, name in enumerate(names, 1):
        browser.click_on(f'[data-kind="{name}"]')
        assert browser.run("state.kind") == name
        assert browser.run(f"document.querySelector('[data-kind={name}]').getAttribute('aria-pressed')") == "true"
        assert browser.run("document.querySelectorAll('#kinds [aria-pressed=true]').length") == 1
        browser.move(5, 5)
        pictures[name] = pixels(browser)
        browser.key("1")
        assert browser.run("state.kind") == "prediction"
        browser.key(str(i))
        assert browser.run("state.kind") == name
    for a in names:
        for b in names:
            if a < b:
                assert np.abs(pictures[a] - pictures[b]).mean() > 1, f"{a} and {b} look the same"
    browser.key("1")
    for key, title in (("h", "horizontal"), ("v", "vertical"), ("w", "worst")):
        browser.key(key)
        assert browser.run("state.d") == key
        assert title in browser.run("document.querySelector('#map').getAttribute('aria-label')")


def test_colours_part_at_full(fresh: Browser, case: Case) -> None:
    fresh.key("h")
    fresh.run("globalThis.kept = DATA.spots.splice(0); null")  # no boxes over the cells
    fresh.key("1")
    picture = pixels(fresh)
    values = case.prediction.maps["congestion_h"]
    origin = fresh.run(
        "(() => { const r = document.querySelector('#map').getBoundingClientRect(); return [r.x, r.y]; })()"
    )
    seen = 0
    for iy in range(0, 24, 3):
        for ix in range(0, 29, 3):
            if abs(values[iy, ix] - 1) < 0.02:
                continue
            x, y = at(fresh, *middle(case, ix, iy))
            red, _, blue = picture[round(y - origin[1]), round(x - origin[0])]
            assert (red > blue) == (values[iy, ix] > 1), (ix, iy, values[iy, ix])
            seen += values[iy, ix] > 1
    assert seen > 3
    fresh.run("DATA.spots.push(...kept)")


def test_click_opens_the_hot_spot(browser: Browser, case: Case) -> None:
    x1, y1, x2, y2 = case.box_of(1)
    browser.key(case.spots[0].direction)
    browser.click(*at(browser, (x1 + x2) / 2, (y1 + y2) / 2))
    rank = browser.run("state.spot")
    cell = browser.run("state.cursor")
    holding = [
        s for s in case.spots
        if s.direction == case.spots[0].direction
        and s.box_um[0] <= (x1 + x2) / 2 < s.box_um[2] and s.box_um[1] <= (y1 + y2) / 2 < s.box_um[3]
    ]  # fmt: skip
    size = lambda s: (s.box_um[2] - s.box_um[0]) * (s.box_um[3] - s.box_um[1])  # noqa: E731
    assert rank == min(holding, key=size).rank
    assert cell is not None
    text = browser.text("#panel")
    spot = case.spots[rank - 1]
    assert f"Hot spot {rank}" in text
    assert spot.name in text
    assert f"{spot.peak:.2f}, {spot.peak_demand:.1f} of {spot.peak_capacity:.1f} tracks" in text
    assert browser.run("location.hash") == f"#spot-{rank}"
    browser.click(*at(browser, case.prediction.x_um[29] + 1, case.prediction.y_um[0] + 1))
    assert browser.run("state.spot") is None, "a click beside all boxes closes"


def test_panel_lists_nets_insts_modules_and_actions(browser: Browser, case: Case) -> None:
    from gsr_plugin.report_contents import spot_contents

    browser.run("openSpot(1)")
    inside = spot_contents(case.prediction, case.design, case.spots, plan=case.plan)[0]
    tables = browser.run(
        "[...document.querySelectorAll('#panel table')].map((t) => [...t.tBodies[0].rows].map((r) => "
        "[r.querySelector('code')?.textContent ?? r.cells[0].textContent, "
        "...[...r.cells].slice(1).map((c) => c.textContent)]))"
    )
    nets, insts, modules, actions = tables
    names = case.design.nets["name"].to_pylist()
    assert [row[0] for row in nets] == [visible(names[n.net_id]) for n in inside.nets]
    assert [row[3] for row in nets] == [f"{100 * n.share_frac:.1f} %" for n in inside.nets]
    inst_names = case.design.insts["name"].to_pylist()
    assert [row[0] for row in insts] == [visible(inst_names[i.inst_id]) for i in inside.insts]
    assert [row[1] for row in insts] == [str(i.pins) for i in inside.insts]
    assert [row[0] for row in modules] == [m.name or "not known" for m in inside.modules]
    assert [row[0] for row in actions] == [case.plan.actions[k].action for k in inside.actions]
    for row, k in zip(actions, inside.actions, strict=True):
        assert row[3] == ("skipped<b>no</b>" if k % 2 else "applied")
    text = browser.text("#panel")
    assert f"Nets (20 of {inside.num_nets})" in text
    assert f"of {inside.num_insts:,})" in text
    assert "a.v" not in text or "a&.v:40" in text
    assert "in u_a</script> (a<b>, a&.v:40)" in text
    assert "are among the first 10" in text
    few = browser.run("facts({...DATA.spots[0], recall: [2, 3]}).textContent")
    assert few.endswith("2 of the router's first 3 are among the first 3")
    assert browser.run("document.querySelectorAll('#panel script, #panel img, #panel b').length") == 0
    assert browser.run("window.hit") is None
    assert browser.console == []
    assert "\u202e" not in text


def test_a_net_is_marked_on_the_map(browser: Browser) -> None:
    browser.run("openSpot(1)")
    browser.move(5, 5)
    before = pixels(browser)
    browser.run("document.querySelector('#panel button.name').focus()")
    assert browser.run("state.mark.length") == 4
    assert np.abs(pixels(browser) - before).mean() > 0.05
    browser.run("document.activeElement.blur()")
    assert browser.run("state.mark") is None


def test_keyboard_alone(fresh: Browser, case: Case) -> None:
    for _ in range(40):
        fresh.key("Tab")
        if fresh.run("document.activeElement.id") == "map":
            break
    assert fresh.run("document.activeElement.id") == "map"
    assert fresh.run("document.activeElement.matches(':focus-visible')")
    assert fresh.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    fresh.key("ArrowRight")
    assert fresh.run("state.cursor") == [15, 12], "the cursor begins in the middle"
    fresh.key("ArrowLeft")
    fresh.key("ArrowUp")
    assert fresh.run("state.cursor") == [14, 13]
    fresh.key("ArrowDown", shift=True)
    fresh.key("ArrowDown", shift=True)
    assert fresh.run("state.cursor") == [14, 0], "not beyond the die"
    assert fresh.text("#live").startswith("gcell 14, 0: prediction worst")
    assert "gcell 14, 0" in fresh.text("#readout p")
    spot = case.spots[0]
    ix, iy = spot.edges[:2]
    for _ in range(40):
        x, y = fresh.run("state.cursor")
        if (x, y) == (ix, iy):
            break
        fresh.key("ArrowRight" if x < ix else "ArrowLeft" if x > ix else "ArrowUp" if y < iy else "ArrowDown")
    assert fresh.run("state.cursor") == [ix, iy]
    fresh.key("Enter")
    rank = fresh.run("state.spot")
    assert rank is not None
    assert fresh.run("document.activeElement.id") == "panel"
    fresh.key("n")
    assert fresh.run("state.spot") == rank + 1
    fresh.key("p")
    fresh.key("Escape")
    assert fresh.run("state.spot") is None
    assert fresh.run("document.activeElement.id") == "map", "where it was opened from"


def test_tables_open_hot_spots(browser: Browser) -> None:
    browser.click_on("#panel [data-rank='2']")
    assert browser.run("state.spot") == 2
    browser.key("Escape")
    assert browser.run("document.activeElement.dataset.rank") == "2"
    browser.click_on("table a[href='#spot-3']")
    assert browser.run("state.spot") == 3
    assert browser.text("#panel h3").startswith("Hot spot 3")


def test_a_link_opens_its_hot_spot(browser: Browser, case: Case) -> None:
    browser.open("about:blank")
    browser.open(case.page.as_uri() + "#spot-2", ready=READY)
    assert browser.run("state.spot") == 2
    browser.open("about:blank")
    browser.open(case.page.as_uri() + "#spot-999", ready=READY)
    assert browser.run("state.spot") is None
    assert browser.console == []


def test_zoom_and_pan(browser: Browser, case: Case) -> None:
    whole = browser.run("view.k")
    target = middle(case, 9, 8)
    browser.wheel(*at(browser, *target), -300, ctrl=True)
    browser.wait(f"view.k > {whole * 1.5}")
    browser.move(*at(browser, *target))
    browser.settle()
    assert "gcell 9, 8" in browser.text("#readout p"), "zoomed about the pointer"
    x, y = at(browser, *target)
    browser.move(x, y)
    browser.press(x, y)
    browser.move(x + 60, y - 40, held=True)
    browser.release(x + 60, y - 40)
    moved = at(browser, *target)
    assert moved == pytest.approx((x + 60, y - 40), abs=1.5)
    assert browser.run("state.spot") is None, "a drag is no click"
    browser.key("0")
    assert browser.run("view.k") == pytest.approx(whole)
    browser.click_on('[data-zoom="in"]')
    assert browser.run("view.k") == pytest.approx(1.5 * whole)
    browser.key("-")
    assert browser.run("view.k") == pytest.approx(whole)


def test_light_and_dark(fresh: Browser, case: Case, tmp_path: Path) -> None:
    paper = lambda b: browser_rgb(b, "body")  # noqa: E731
    assert fresh.run("document.documentElement.dataset.theme") == "light"
    assert min(paper(fresh)) > 200
    light = pixels(fresh)
    fresh.key("t")
    assert max(paper(fresh)) < 60
    assert light.mean() - pixels(fresh).mean() > 60
    fresh.click_on("#theme")
    assert min(paper(fresh)) > 200
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    fresh.send("Emulation.setEmulatedMedia", features=features)
    try:
        fresh.wait("document.documentElement.dataset.theme === 'dark'")
        fresh.open("about:blank")
        fresh.open(case.page.as_uri(), ready=READY)
        assert max(paper(fresh)) < 60, "dark where the system is"
    finally:
        features[0]["value"] = "light"
        fresh.send("Emulation.setEmulatedMedia", features=features)


def browser_rgb(browser: Browser, selector: str) -> list[int]:
    text = browser.run(f"getComputedStyle(document.querySelector({json.dumps(selector)})).backgroundColor")
    return [int(part) for part in text[text.index("(") + 1 : -1].split(",")[:3]]


def contrast(a: list[int], b: list[int]) -> float:
    """Contrast of two colours by WCAG 2."""

    def light(rgb: list[int]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read(browser: Browser, theme: str) -> None:
    browser.run(f"setTheme('{theme}')")
    hexes = {
        name: browser.run(f"ink('--{name}')")
        for name in ("ink", "muted", "paper", "ground", "accent", "good", "warn", "bad", "press", "row")
    }
    rgb = {name: [int(text[i : i + 2], 16) for i in (1, 3, 5)] for name, text in hexes.items()}
    for name in ("ink", "muted", "accent", "good", "warn", "bad"):
        for ground in ("paper", "ground"):
            assert contrast(rgb[name], rgb[ground]) >= 4.5, (name, ground)
    assert contrast(rgb["ink"], rgb["press"]) >= 4.5
    assert contrast(rgb["muted"], rgb["row"]) >= 4.5


def test_every_control_has_a_name(browser: Browser) -> None:
    browser.run("openSpot(1)")
    unnamed = browser.run(
        "[...document.querySelectorAll('button, a, canvas, [role]')].filter((e) => !(e.getAttribute('aria-label') || "
        "e.textContent.trim() || e.id === 'live')).map((e) => e.outerHTML)"
    )
    assert unnamed == []
    heads = browser.run("[...document.querySelectorAll('#panel th')].every((e) => e.scope)")
    assert heads is True


@pytest.mark.parametrize("width", [1400, 900, 390])
def test_nothing_sticks_out(browser: Browser, width: int) -> None:
    browser.resize(width, 900)
    browser.run("openSpot(1)")
    browser.settle()
    assert browser.run("document.documentElement.scrollWidth") <= width
    plot = browser.run("plot().w")
    assert plot > 180


def test_accuracy_is_drawn(browser: Browser) -> None:
    data = "document.querySelector('#plot-accuracy').getContext('2d').getImageData(0, 0, 900, 400).data"
    assert browser.run(f"new Set({data}).size") > 20
    edges = "['h', 'v'].flatMap((d) => [...MAPS[`truth_${d}`]]).filter((v) => !Number.isNaN(v)).length"
    for limit in (0.2, 1.5, 99):  # also where most lies beyond the axes
        assert browser.run(f"counts('congestion', {limit}, 60).reduce((a, b) => a + b, 0)") == browser.run(edges) > 1000


def test_a_cool_design_has_no_hot_spot(tab: Browser, tmp_path: Path) -> None:
    design = make_export(tmp_path / "d", nx=12, ny=9)
    page = tmp_path / "cool.html"
    page.write_text(build_report(make_prediction(design, base=0.3, hot=()), design).html(), "utf-8")
    tab.open(page.as_uri(), ready=READY)
    assert tab.text("#panel h3") == "Fullest edges; none is hot"
    tab.run("openSpot(1)")
    assert tab.text("#panel h3").lower().startswith("fullest edges, 1")
    assert "hot spot" not in tab.run("sentence([DATA.spots[0].edges[0], DATA.spots[0].edges[1]])")


@pytest.mark.parametrize(("nx", "ny"), [(1, 1), (1, 3), (60, 2)])
def test_odd_grids_are_drawn(tab: Browser, tmp_path: Path, nx: int, ny: int) -> None:
    design = make_export(tmp_path / "d", nx=nx, ny=ny, num_insts=20, num_nets=15)
    page = tmp_path / "odd.html"
    page.write_text(build_report(make_prediction(design, base=1.1), design).html(), "utf-8")
    tab.console.clear()
    tab.open(page.as_uri(), ready=READY)
    assert tab.run("[...document.querySelectorAll('#kinds button')].map((b) => b.dataset.kind)") == [
        "prediction", "uncertainty", "rudy", "risk",
    ]  # fmt: skip
    for key in "123hvw+++0n":
        tab.key(key)
    tab.screenshot()
    assert tab.console == []
