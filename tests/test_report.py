"""The report: complete, self-contained, safe against hostile names, and shown by a real browser."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import UGLY, SyntheticDesign, SyntheticLabels, make_export, make_labels, make_prediction

from circuit_io.errors import InputError
from circuit_io.hotspots import HotspotConfig, find_hotspots
from circuit_io.prediction import Prediction, write_prediction
from circuit_io.prediction_metrics import prediction_metrics
from flow_hooks.feedback import FeedbackConfig, Plan, plan_feedback
from gsr_plugin.document import Code, Details, Document, Link, Paragraph, Table, to_html, to_markdown, visible
from gsr_plugin.figures import congestion_colours, shared_limit, svg_element
from gsr_plugin.report import Report, build_report, report, write_report
from gsr_plugin.report_sections import verdict_section

HOSTILE = "</title><script>alert(1)</script>"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Ids, links, tags and text of a page; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.append((name, value or ""))
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "xlink:href") and (value or "").startswith("#"):
                self.targets.append((value or "")[1:])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


class Case:
    """A design, its prediction, the router's result, a plan and the report of it all."""

    def __init__(self, folder: Path) -> None:
        self.design: SyntheticDesign = make_export(folder / "design", design=HOSTILE)
        self.prediction: Prediction = make_prediction(self.design)
        self.labels: SyntheticLabels = make_labels(self.prediction)
        self.plan: Plan = plan_feedback(self.prediction, self.design.manifest, design=self.design)
        self.report: Report = build_report(
            self.prediction,
            self.design,
            plan=self.plan,
            truth=self.labels,
            model_card={"recipe": "r.toml", "cross_validated": {"pearson": 0.8444}},
        )


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def files(case: Case, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("out")
    return {p.relative_to(out).as_posix(): p for p in write_report(out / "report.html", case.report)}


def test_all_files_are_there(files: dict[str, Path]) -> None:
    pictures = [f"report_figures/{n}.png" for n in ("congestion_h", "congestion_v", "plan", "accuracy", "uncertainty")]
    assert list(files) == [*pictures, "report.md", "report.html"]
    for name in pictures:
        with Image.open(files[name]) as image:
            assert image.size[0] > 600
            assert len(image.convert("RGB").resize((200, 100)).getcolors(100_000) or []) > 30


def test_page_nests_links_resolve_and_ids_are_unique(files: dict[str, Path]) -> None:
    page = Page(files["report.html"].read_text("utf-8"))
    assert len(page.ids) == len(set(page.ids))
    assert set(page.targets) <= set(page.ids)
    assert page.tags.count("svg") == 5
    spots = {t for t in page.targets if re.fullmatch(r"spot-\d+", t)}
    assert spots, "boxes on the maps lead to rows of the table"


def test_page_holds_what_was_asked_for(files: dict[str, Path], case: Case) -> None:
    text = Page(files["report.html"].read_text("utf-8")).text
    for heading in ("Congestion maps", "Hot spots", "Nets in each hot spot", "Feedback plan", "Accuracy", "versions"):
        assert heading in text
    for word in ("Predicted", "RUDY, for comparison", "Router", "x (um)", "y (um)", "stage place", "1 full"):
        assert word in text, f"the maps show {word}"
    assert case.plan.verdict in text
    assert case.prediction.manifest["run_id"] in text
    assert "0.8444" in text
    assert "0.1.0" in text


def test_nothing_runs_and_nothing_is_loaded(files: dict[str, Path]) -> None:
    html = files["report.html"].read_text("utf-8")
    page = Page(html)
    assert not {"script", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert "default-src 'none'" in html
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert value.startswith(("#", "data:")), (name, value[:60])
    assert not re.search(r"@import|url\((?!#)", html)
    assert not re.search(r"""["'(]\s*https?://(?!www\.w3\.org/)""", html), "only names of XML vocabularies"


def test_hostile_names_are_only_text(files: dict[str, Path], case: Case) -> None:
    html = files["report.html"].read_text("utf-8")
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert HOSTILE in Page(html).text
    everywhere = HotspotConfig(threshold=0.01, max_frac=1.0)
    text = Page(build_report(case.prediction, case.design, hotspots=everywhere, top_nets=500).html()).text
    boxes = dict(zip(case.design.nets["name"].to_pylist(), case.design.graph.net_box, strict=True))
    routed = [name for name in UGLY if (boxes[name][2:] > boxes[name][:2]).all()]
    assert len(routed) > 5
    assert all(visible(name) in text for name in routed)


def test_markdown_says_the_same(files: dict[str, Path]) -> None:
    markdown = files["report.md"].read_text("utf-8")
    page = Page(files["report.html"].read_text("utf-8"))
    assert markdown.startswith("# Routing congestion of \\</title\\>")
    assert sum(tag in ("h1", "h2", "h3") for tag in page.tags) == len(re.findall(r"^#+ ", markdown, re.MULTILINE))
    tables = len(re.findall(r"^\| -+", markdown, re.MULTILINE))
    rows = len(re.findall(r"^\| ", markdown, re.MULTILINE)) - 2 * tables
    cards = sum(name == "class" and value.startswith("card ") for name, value in page.attributes)
    assert tables == page.tags.count("table") + 1, "the key figures are a table here"
    assert rows == page.tags.count("tr") - page.tags.count("thead") + cards
    for name in re.findall(r"!\[.*?\]\((.*?)\)", markdown):
        assert name in files


def test_same_input_same_bytes(case: Case, files: dict[str, Path], tmp_path: Path) -> None:
    again = build_report(
        case.prediction,
        case.design,
        plan=case.plan,
        truth=case.labels,
        model_card={"recipe": "r.toml", "cross_validated": {"pearson": 0.8444}},
    )
    for path in write_report(tmp_path / "report.html", again):
        assert path.read_bytes() == files[path.relative_to(tmp_path).as_posix()].read_bytes(), path.name


def test_prediction_alone(case: Case) -> None:
    bare = replace(case.prediction, maps={k: v for k, v in case.prediction.maps.items() if "sigma" not in k})
    made = build_report(bare)
    text = Page(made.html()).text
    assert [p.name for p in made.pictures] == ["congestion_h", "congestion_v"]
    assert "Accuracy" not in text
    assert "Feedback plan" not in text


def test_cool_design(tmp_path: Path) -> None:
    design = make_export(tmp_path / "d")
    prediction = make_prediction(design, base=0.3, hot=())
    plan = plan_feedback(prediction, design.manifest)
    text = Page(build_report(prediction, design, plan=plan).html()).text
    assert "No hot spot: no edge is predicted to exceed" in text
    assert "These are the fullest edges" in text
    assert "Nothing planned: no gcell exceeds 0.95" in text


def test_the_verdict_tells_levels_and_totals(tmp_path: Path) -> None:
    design = make_export(tmp_path / "d")
    prediction = make_prediction(design, base=1.1)
    spots = find_hotspots(prediction)
    assert min(s.level for s in spots) > 1.0, "the level has risen"
    text = str(verdict_section(prediction, spots).content)
    metrics = prediction_metrics(prediction)
    edges = sum(metrics[f"detailedplace__gsr__overflow_{d}__edges"] for d in "hv")
    assert text.startswith(f"{edges:.0f} edges expected above full in the whole design")
    assert f"{metrics['detailedplace__gsr__overflow__expected']:,.0f} tracks of overflow" in text
    for level in {s.level for s in spots}:
        assert f"{level:.2f}" in text
    inside = sum(s.overflow_tracks for s in spots)
    assert f"{inside:,.0f} of these tracks inside" in text
    warm = make_prediction(design, base=0.99, hot=())
    warm.maps.update({k: np.minimum(v, 0.99) for k, v in warm.maps.items() if k.startswith("congestion")})
    assert "none predicted above full" in str(verdict_section(warm, find_hotspots(warm)).content)


@pytest.mark.parametrize(("nx", "ny"), [(1, 1), (1, 3), (60, 8)])
def test_odd_grids(tmp_path: Path, nx: int, ny: int) -> None:
    design = make_export(tmp_path / "d", nx=nx, ny=ny, num_insts=20, num_nets=15)
    prediction = make_prediction(design, base=1.1)
    made = build_report(
        prediction, design, truth=make_labels(prediction), plan=plan_feedback(prediction, design.manifest)
    )
    assert "Congestion maps" in Page(made.html()).text


def test_flat_and_masked_maps(tmp_path: Path) -> None:
    design = make_export(tmp_path / "d")
    prediction = make_prediction(design)
    for key in ("congestion_h", "congestion_v", "rudy_h"):
        prediction.maps[key][:] = np.nan
    made = build_report(prediction, design, plan=plan_feedback(prediction, design.manifest))
    assert "The map is flat" in Page(made.html()).text


def test_what_does_not_belong_together_is_refused(case: Case, tmp_path: Path) -> None:
    small = make_labels(make_prediction(make_export(tmp_path / "s", nx=5, ny=4)))
    with pytest.raises(InputError, match=r"labels of \(5, 4\) gcells do not fit"):
        build_report(case.prediction, truth=small)
    with pytest.raises(InputError, match="plan was made for another placement"):
        build_report(case.prediction, plan=replace(case.plan, def_sha256="other"))
    with pytest.raises(InputError, match="plan was made for another placement"):
        build_report(case.prediction, plan=replace(case.plan, grid=(1, 1)))
    with pytest.raises(InputError, match="made for another placement than this design"):
        build_report(case.prediction, make_export(tmp_path / "o", design="other"))


def test_existing_files_need_overwrite(case: Case, tmp_path: Path) -> None:
    bare = build_report(case.prediction)
    out = tmp_path / "r.html"
    write_report(out, bare)
    with pytest.raises(InputError, match="exists already"):
        write_report(out, bare)
    out.unlink()
    with pytest.raises(InputError, match="exists already"):
        write_report(out, bare)
    assert not out.exists(), "nothing is written when one of the files is there"
    stale = out.with_name("r_figures") / "accuracy.png"
    stale.write_bytes(b"of an earlier report")
    write_report(out, bare, overwrite=True)
    assert not stale.exists()
    with pytest.raises(InputError, match=r'ends in "\.html" is expected'):
        write_report(tmp_path / "report", bare)


def test_an_existing_folder_of_figures_is_refused_before_any_work(tmp_path: Path) -> None:
    folder = tmp_path / "r_figures"
    folder.mkdir()
    with pytest.raises(InputError, match=r"r_figures: exists already\n  Pass --overwrite"):
        report(tmp_path / "no prediction", tmp_path / "r.html")
    with pytest.raises(InputError, match="no prediction"):
        report(tmp_path / "no prediction", tmp_path / "r.html", overwrite=True)
    folder.rmdir()
    folder.write_text("x")
    with pytest.raises(InputError, match="is a file, not a folder"):
        report(tmp_path / "no prediction", tmp_path / "r.html", overwrite=True)
    with pytest.raises(InputError, match=r'ends in "\.html" is expected'):
        report(tmp_path / "no prediction", tmp_path / "report")


def test_report_of_folders(kit: Path, tmp_path: Path) -> None:
    from circuit_io.export import export_design
    from circuit_io.export_sources import sources_of_labels
    from circuit_io.maps import without_borders
    from circuit_io.prediction import prediction_manifest
    from circuit_io.store import open_design
    from flow_hooks.feedback import write_feedback

    placed = kit / "labels" / "gsr45" / "crc_bank" / "v0"
    lef = [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]
    export_design(sources_of_labels(placed, lef=lef), tmp_path / "design")
    design = open_design(tmp_path / "design")
    assert design.labels is not None
    grid = design.manifest["grid"]
    maps = {}
    for d in "hv":
        routed = getattr(design.labels, f"congestion_{d}")
        maps[f"congestion_{d}"] = routed * np.float32(1.4)
        maps[f"rudy_{d}"] = routed * np.float32(0.7)
        maps[f"capacity_{d}"] = np.where(np.isfinite(routed), 20, np.nan).astype(np.float32)
    manifest = prediction_manifest(tmp_path / "design", model={"card": "none"}, versions={})
    prediction = without_borders(Prediction(manifest, np.array(grid["x_um"]), np.array(grid["y_um"]), maps))
    write_prediction(tmp_path / "pred", prediction, export=tmp_path / "design")
    plan = plan_feedback(prediction, design.manifest, FeedbackConfig(gentle="always"))
    write_feedback(tmp_path / "feedback.tsv", plan)
    paths = report(tmp_path / "pred", tmp_path / "report.html", feedback=tmp_path / "feedback.tsv")
    text = Page(paths[-1].read_text("utf-8")).text
    assert "crc_bank" in text
    assert "Accuracy" in text, "labels of the export are shown"
    assert "routability_gentle" in text
    with pytest.raises(InputError, match="exists already"):
        report(tmp_path / "pred", tmp_path / "report.html")


# ---- document and figures


def test_document_forms() -> None:
    document = Document(
        "t|<",
        "",
        [
            Paragraph(("see ", Link("there", "x"), " ", Code("a|`b`\n"))),
            Details("more", [Table(["c"], [[Code("")], ["*_[]"]])], anchor="x", is_open=True),
        ],
    )
    html = to_html(document)
    assert '<a href="#x">there</a> <code>a|`b`\\x0a</code>' in html
    assert '<details id="x" open><summary>more</summary>' in html
    markdown = to_markdown(document, figures="f")
    assert "see there ``a\\|`b`\\x0a``" in markdown
    assert to_markdown(Document("", "", [Paragraph(Code("`"))]), figures="").endswith("`` ` ``\n")
    assert "| \\*\\_\\[\\] |" in markdown
    assert markdown.startswith("# t\\|\\<")
    assert visible("\udcff\x7fö") == "\\xff\\x7fö"


def test_svg_ids_are_made_unique_but_links_out_are_kept() -> None:
    svg = (
        '<?xml version="1.0"?><svg height="72pt" width="144pt" viewBox="0 0 1 1"><metadata>x</metadata>'
        '<g id="a"><use xlink:href="#b" clip-path="url(#b)"/></g><b id="b"/><a xlink:href="#spot-1"/></svg>'
    )
    assert svg_element(svg, "p", {"a": "1 < 2"}) == (
        '<svg style="max-width:204px" viewBox="0 0 1 1"><g id="p-a"><title>1 &lt; 2</title>'
        '<use xlink:href="#p-b" clip-path="url(#p-b)"/></g><b id="p-b"/><a xlink:href="#spot-1"/></svg>'
    )


def test_colours_break_at_full() -> None:
    for limit in (1.25, 1.5, 2.5):
        colours = congestion_colours(limit)
        red, _, blue, _ = colours(0.99 / limit)
        assert blue > red, "blue below full"
        red, _, blue, _ = colours(1.02 / limit)
        assert red > blue, "orange above"
    assert shared_limit([np.array([[0.2, np.nan]])]) == 1.25
    assert shared_limit([np.full((9, 9), 9.0)]) == 2.5
    assert shared_limit([np.full((2, 2), np.nan)]) == 1.25


# ---- a browser


def browse(page: Path, folder: Path) -> tuple[Image.Image, list[str], set[str]]:
    """Screenshot, console lines and requested addresses (other than the browser's own to its maker)."""
    assert CHROMIUM
    shot, log = folder / "shot.png", folder / "net.json"
    quiet = "background-networking component-update sync default-apps domain-reliability extensions gpu"
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{word}" for word in quiet.split()),
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}",
            "--enable-logging=stderr", "--hide-scrollbars", "--window-size=1300,3000", f"--screenshot={shot}",
            page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    addresses = {str((e.get("params") or {}).get("url", "")) for e in json.loads(log.read_text())["events"]}
    own = re.compile(r"https?://([\w.-]+\.)?(google|googleapis|gvt1|gstatic)\.com/")
    requested = {a for a in addresses if a.startswith(("http", "ws", "ftp")) and not own.match(a)}
    with Image.open(shot) as image:
        return image.convert("RGB"), console, requested


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
def test_browser_shows_the_page(files: dict[str, Path], tmp_path: Path) -> None:
    image, console, requested = browse(files["report.html"], tmp_path)
    assert console == []
    assert requested == set()
    pixels = np.asarray(image).reshape(-1, 3).astype(int)
    overfull = (pixels[:, 0] > 200) & (pixels[:, 2] < 90)
    blue = (pixels[:, 2] > 120) & (pixels[:, 0] < 90)
    assert overfull.sum() > 2000, "maps show gcells above full"
    assert blue.sum() > 50_000, "and gcells below"
    bottom = np.asarray(image)[-300:]
    assert bottom.std() > 3, "the page reaches further down"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
def test_browser_test_would_notice(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text('<img src="http://elsewhere.invalid/x.png"><script>console.error("boo")</script>')
    _, console, requested = browse(page, tmp_path)
    assert any("boo" in line for line in console)
    assert requested == {"http://elsewhere.invalid/x.png"}
