"""The report: complete, self-contained, and safe against hostile names. In a browser: test_report_page.py."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from synthetic import UGLY, SyntheticDesign, SyntheticLabels, make_export, make_labels, make_prediction

from circuit_io.errors import InputError
from circuit_io.hotspots import HotspotConfig, find_hotspots
from circuit_io.maps import VIOLATED
from circuit_io.prediction import Prediction, write_prediction
from circuit_io.prediction_metrics import prediction_metrics
from circuit_io.spot_nets import first_nets, spot_wires
from flow_hooks.feedback.config import FeedbackConfig
from flow_hooks.feedback.file import Plan, write_feedback
from flow_hooks.feedback.planner import plan_feedback
from flow_hooks.feedback.record import read_record
from gsr_plugin.colours import COLOURS, congestion_rgb, rgb, shared_limit
from gsr_plugin.document import Code, Details, Document, InMarkdown, Link, Paragraph, Table, to_markdown, visible
from gsr_plugin.document_html import to_html
from gsr_plugin.figures import congestion_picture
from gsr_plugin.report import Report, build_report, find_record, report, write_report
from gsr_plugin.report_contents import spot_contents
from gsr_plugin.report_page import pack, script_json
from gsr_plugin.report_sections import verdict_section

HOSTILE = "</title><script>alert(1)</script>"
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Ids, links, tags and text of a page; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
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
        if "script" in self.open:
            self.scripts.append(data)
        elif "style" not in self.open:
            self.text += data

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script reads."""
        return dict(json.loads(self.scripts[0]))


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
    pictures = [f"report_figures/{n}.png" for n in ("congestion_h", "congestion_v", "uncertainty", "plan")]
    assert list(files) == [*pictures, "report.md", "report.html"]
    for name in pictures:
        with Image.open(files[name]) as image:
            assert image.size[1] > 300
            assert len(image.convert("RGB").resize((200, 100)).getcolors(100_000) or []) > 30


def test_page_nests_links_resolve_and_ids_are_unique(files: dict[str, Path]) -> None:
    page = Page(files["report.html"].read_text("utf-8"))
    assert len(page.ids) == len(set(page.ids))
    assert set(page.targets) <= set(page.ids)
    spots = {t for t in page.targets if re.fullmatch(r"spot-\d+", t)}
    assert spots == {f"spot-{s['rank']}" for s in page.data["spots"]}, "ranks of the table open the hot spots"


def test_page_holds_what_was_asked_for(files: dict[str, Path], case: Case) -> None:
    page = Page(files["report.html"].read_text("utf-8"))
    for heading in ("Maps", "Hot spots", "Feedback plan", "Accuracy", "versions", "stage place"):
        assert heading in page.text
    assert case.plan.verdict in page.text
    assert case.prediction.manifest["run_id"] in page.text
    assert "0.8444" in page.text
    assert "0.1.0" in page.text
    kinds = {name[:-2] for name in page.data["maps"] if name not in ("plan", VIOLATED)}
    assert VIOLATED in page.data["maps"]
    assert kinds == {"congestion", "sigma", "rudy", "capacity", "truth"}
    assert len(page.data["actions"]) == len(case.plan.actions)


def test_one_script_runs_and_nothing_is_loaded(files: dict[str, Path]) -> None:
    html = files["report.html"].read_text("utf-8")
    page = Page(html)
    assert not {"iframe", "object", "embed", "base", "form", "img", "svg"} & set(page.tags)
    policy = next(value for _, value in page.attributes if "default-src" in value)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "unsafe" not in policy
    assert page.tags.count("script") == 2, "the data, and the script that the policy names"
    digest = hashlib.sha256("".join(page.scripts[1:]).encode()).digest()
    assert rules["script-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert rules["style-src"] == f"'sha256-{base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()}'"
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "style"
        if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert value.startswith(("#", "data:")), (name, value[:60])
    for word in (
        "https?:",
        "@import",
        r"url\(",
        r"\bfetch\(",
        "XMLHttpRequest",
        r"\bimport\b",
        "WebSocket",
        "innerHTML",
    ):
        assert not re.search(word, html), word


def test_hostile_names_are_only_text(files: dict[str, Path], case: Case) -> None:
    html = files["report.html"].read_text("utf-8")
    assert html.count("<script") == 2
    assert "&lt;script&gt;alert(1)" in html
    page = Page(html)
    assert HOSTILE in page.text
    assert page.data["design"] == HOSTILE
    everywhere = HotspotConfig(threshold=0.01, max_frac=1.0)
    data = Page(build_report(case.prediction, case.design, hotspots=everywhere, top=500).html()).data
    shown = {row[0] for spot in data["spots"] for row in spot["nets"]}
    boxes = dict(zip(case.design.nets["name"].to_pylist(), case.design.graph.net_box, strict=True))
    routed = [name for name in UGLY if (boxes[name][2:] > boxes[name][:2]).all()]
    assert len(routed) > 5
    assert {visible(name) for name in routed} <= shown
    insts = {row[0] for spot in data["spots"] for row in spot["insts"]}
    assert len(insts & {visible(name) for name in UGLY}) > 5


def test_data_never_ends_its_element() -> None:
    names = ["</script>", "<!--<script>", "-->", "]]>", "\u2028", "&lt;", "\"'`${x}\\", "\u202e"]
    text = script_json({"names": names})
    assert json.loads(text)["names"] == names
    assert text.isascii()
    assert not set("<>&") & set(text)


def unpacked(packed: dict[str, Any], shape: tuple[int, int]) -> np.ndarray:
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.uint8).astype(np.int64).reshape(2, -1)
    steps = (planes[0] + 256 * planes[1]).reshape(shape).cumsum(1) % 65536
    return np.where(steps == 65535, np.nan, steps * packed["step"])


@given(
    st.integers(1, 9).flatmap(
        lambda nx: st.lists(
            st.lists(st.one_of(st.just(np.nan), st.floats(0, 1e5, width=32)), min_size=nx, max_size=nx), min_size=1
        )
    )
)
def test_packed_maps_come_back(rows: list[list[float]]) -> None:
    values = np.array(rows, np.float32)
    packed = pack(values, step=0.0005)
    back = unpacked(packed, values.shape)
    assert (np.isnan(back) == np.isnan(values)).all()
    seen = ~np.isnan(values)
    single = np.spacing(np.abs(values[seen]).max(initial=0))  # values and offset are fp32
    assert np.abs(back[seen] - values[seen]).max(initial=0) <= packed["step"] * 0.501 + single
    assert packed["step"] == pytest.approx(max(0.0005, values[seen].max(initial=0) / 65534))


def test_markdown_says_the_same(files: dict[str, Path]) -> None:
    markdown = files["report.md"].read_text("utf-8")
    page = Page(files["report.html"].read_text("utf-8"))
    assert markdown.startswith("# Routing congestion of \\</title\\>")
    assert page.tags.count("h2") == len(re.findall(r"^## ", markdown, re.MULTILINE))
    spots = page.data["spots"]
    assert len(re.findall(r"^\*\*Hot spot \d+: ", markdown, re.MULTILINE)) == min(12, len(spots)), "nets of the first"
    tables = len(re.findall(r"^\| -+", markdown, re.MULTILINE))
    folds = len(re.findall(r"\| net \| expected wire", markdown))
    assert folds >= 1
    assert tables == page.tags.count("table") + 1 + folds, "the key figures are a table here"
    for name in re.findall(r"!\[.*?\]\((.*?)\)", markdown):
        assert name in files
    assert len(re.findall(r"^!\[", markdown, re.MULTILINE)) == 4


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


def test_files_are_named_where_they_are(case: Case) -> None:
    assert "over the whole design." in case.report.markdown("f")
    named = build_report(case.prediction, case.design, beside=["nets.csv"]).markdown("f")
    assert "over the whole design; all of them are in nets.csv." in named


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


@pytest.mark.parametrize("side", [100, 200, 400])
@pytest.mark.parametrize("direction", ["h", "v"])
def test_a_hot_spot_of_one_edge_is_drawn_on_a_grid_of_any_side(side: int, direction: str) -> None:
    maps = {f"congestion_{d}": np.full((side, side), 0.5, np.float32) for d in "hv"}
    maps |= {f"capacity_{d}": np.full((side, side), 10, np.float32) for d in "hv"}
    maps["congestion_h"][:, -1] = maps["congestion_v"][-1] = np.nan
    maps[f"congestion_{direction}"][7, 9] = 1.5
    at = np.arange(side + 1.0)
    prediction = Prediction({}, at, at, maps)
    spots = find_hotspots(prediction)
    assert [s.is_hot for s in spots] == [True]
    assert congestion_picture("map", [maps[f"congestion_{direction}"]], 1.5, spots).png


def test_the_verdict_tells_levels_and_totals(tmp_path: Path) -> None:
    design = make_export(tmp_path / "d")
    prediction = make_prediction(design, base=1.1)
    spots = find_hotspots(prediction)
    assert min(s.level for s in spots) > 1.0, "the level has risen"
    text = str(verdict_section(prediction, spots, prediction_metrics(prediction)).content)
    metrics = prediction_metrics(prediction)
    edges = sum(metrics[f"detailedplace__gsr__overflow_{d}__edges"] for d in "hv")
    assert text.startswith(f"{edges:,.0f} edges expected above full in the whole design")
    assert f"{metrics['detailedplace__gsr__overflow__expected']:,.0f} tracks of overflow" in text
    for level in {s.level for s in spots}:
        assert f"{level:.2f}" in text
    inside = sum(s.overflow_tracks for s in spots)
    assert f"{inside:,.0f} of these tracks inside" in text
    warm = make_prediction(design, base=0.99, hot=())
    warm.maps.update({k: np.minimum(v, 0.99) for k, v in warm.maps.items() if k.startswith("congestion")})
    assert "none predicted above full" in str(
        verdict_section(warm, find_hotspots(warm), prediction_metrics(warm)).content
    )


@pytest.mark.parametrize(("nx", "ny"), [(1, 1), (1, 3), (60, 8)])
def test_odd_grids(tmp_path: Path, nx: int, ny: int) -> None:
    design = make_export(tmp_path / "d", nx=nx, ny=ny, num_insts=20, num_nets=15)
    prediction = make_prediction(design, base=1.1)
    made = build_report(
        prediction, design, truth=make_labels(prediction), plan=plan_feedback(prediction, design.manifest)
    )
    page = Page(made.html())
    assert page.data["maps"].keys() > {"congestion_h", "truth_v"}
    assert "Accuracy" in page.text


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
    stale = out.with_name("r_figures") / "plan.png"
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


def test_report_of_folders(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from circuit_io.export import export_design
    from circuit_io.export_sources import sources_of_labels
    from circuit_io.maps import without_borders
    from circuit_io.prediction import prediction_manifest
    from circuit_io.store import open_design

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
    for limit in ("report_sections.MAX_ROWS", "report_sections.MAX_FOLDS", "report_plan.MAX_ROWS"):
        monkeypatch.setattr(f"gsr_plugin.{limit}", 1)
    report(tmp_path / "pred", tmp_path / "alone" / "report.html")
    text = (tmp_path / "alone" / "report.md").read_text("utf-8")
    assert re.search(r"\d smaller ones are not listed\.\n", text)
    assert "of the other hot spots are not listed." in text
    assert "more are not listed." in text
    assert not re.search(r"hotspots\.tsv|nets\.csv|feedback\.tsv", text), "no file lies beside"
    (tmp_path / "hotspots.tsv").touch()
    report(tmp_path / "pred", tmp_path / "report.html", feedback=tmp_path / "feedback.tsv", overwrite=True)
    text = (tmp_path / "report.md").read_text("utf-8")
    for words in ("more are in hotspots.tsv.", "spots are in hotspots.tsv.", "more are in feedback.tsv."):
        assert words in text


# ---- document and figures


def test_document_forms() -> None:
    document = Document(
        "t|<",
        "",
        [
            Paragraph(("see ", Link("there", "x"), " ", Code("a|`b`\n"))),
            Details("more", [Table(["c"], [[Code("")], ["*_[]"]])], anchor="x", is_open=True),
            InMarkdown([Paragraph("only in the text")]),
        ],
    )
    html = to_html(document)
    assert '<a href="#x">there</a> <code>a|`b`\\x0a</code>' in html
    assert '<details id="x" open><summary>more</summary>' in html
    assert "only in the text" not in html
    markdown = to_markdown(document, figures="f")
    assert "see there ``a\\|`b`\\x0a``" in markdown
    assert "only in the text" in markdown
    assert to_markdown(Document("", "", [Paragraph(Code("`"))]), figures="").endswith("`` ` ``\n")
    assert "| \\*\\_\\[\\] |" in markdown
    assert markdown.startswith("# t\\|\\<")


def test_signs_that_deceive_are_spelt_out() -> None:
    assert visible("\udcff\x7fö") == "\\xff\\x7fö"
    assert visible("a\u202eb\u2066c\u200fd\ufeff\u2028") == "a\\u202eb\\u2066c\\u200fd\\ufeff\\u2028"
    assert visible("u1/_44_[3] 信号 é") == "u1/_44_[3] 信号 é"


def test_colours_break_at_full() -> None:
    for limit in (1.25, 1.5, 2.5):
        below, above, none = congestion_rgb(np.array([[0.99, 1.02, np.nan]]), limit)[0].astype(int)
        assert below[2] > below[0], "blue below full"
        assert above[0] > above[2], "orange above"
        assert none.tolist() == [233, 237, 241]
    assert shared_limit([np.array([[0.2, np.nan]])]) == 1.25
    assert shared_limit([np.full((9, 9), 9.0)]) == 2.5
    assert shared_limit([np.full((2, 2), np.nan)]) == 1.25


# ---- what is in a hot spot


def test_contents_of_hot_spots(case: Case) -> None:
    spots = find_hotspots(case.prediction)
    found = spot_contents(case.prediction, case.design, spots, plan=case.plan, top=7)
    wires = list(spot_wires(case.prediction, case.design.graph, spots))
    pins = np.bincount(case.design.graph.pin_inst, minlength=len(case.design.insts))
    rows = case.design.insts.to_pylist()
    for spot, inside, wire_um in zip(spots, found, wires, strict=True):
        assert list(inside.nets) == first_nets(wire_um, 7)
        assert inside.num_nets == len(first_nets(wire_um, 10_000))
        x1, y1, x2, y2 = spot.box_um
        here = [
            i for i, r in enumerate(rows)
            if x1 <= r["x_um"] + r["width_um"] / 2 < x2 and y1 <= r["y_um"] + r["height_um"] / 2 < y2
        ]  # fmt: skip
        assert inside.num_insts == len(here)
        area = lambda i: rows[i]["width_um"] * rows[i]["height_um"]  # noqa: E731
        assert inside.inst_area_um2 == pytest.approx(sum(map(area, here)))
        assert [i.inst_id for i in inside.insts] == sorted(here, key=lambda i: (-pins[i], -area(i), i))[:7]
        meets = [
            k for k, a in enumerate(case.plan.actions)
            if a.box_um and a.box_um[0] < x2 and a.box_um[2] > x1 and a.box_um[1] < y2 and a.box_um[3] > y1
        ]  # fmt: skip
        assert list(inside.actions) == meets
    assert any(c.actions for c in found)


def test_padding_is_shown_where_its_inst_lies(case: Case) -> None:
    plan = plan_feedback(
        case.prediction, case.design.manifest, FeedbackConfig(padding=True, blockages="never"), design=case.design
    )
    assert plan.of("padding")
    spots = find_hotspots(case.prediction)
    for spot, inside in zip(spots, spot_contents(case.prediction, case.design, spots, plan=plan), strict=True):
        rows = {r["name"]: r for r in case.design.insts.to_pylist()}
        for k in inside.actions:
            r = rows[plan.actions[k].target]
            assert spot.box_um[0] <= r["x_um"] + r["width_um"] / 2 < spot.box_um[2]


# ---- the record of a plan


def record_of(plan: Plan, **changes: object) -> dict[str, object]:
    rows = [
        {"line": i + 3, "action": a.action, "status": "skipped" if i % 3 == 1 else "applied",
         "reason": "no such inst <b>" if i % 3 == 1 else ""}
        for i, a in enumerate(plan.actions)
    ]  # fmt: skip
    facts = {"mode": "apply", "step": "GLOBAL_PLACE", "refused": "", "run_id": plan.run_id, "actions": rows}
    return {"schema": "gsr-feedback-record", "schema_version": 1, **facts, **changes}


def test_record_tells_what_became_of_actions(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "gsr_feedback.json"
    path.write_text(json.dumps(record_of(case.plan)))
    record = read_record(path, case.plan)
    assert record.counts() == {s: record.states.count(s) for s in ("applied", "skipped")}
    page = Page(build_report(case.prediction, case.design, plan=case.plan, record=record).html())
    assert "mode apply, step GLOBAL_PLACE" in page.text
    assert [a[6:] for a in page.data["actions"]][:2] == [["applied", ""], ["skipped", "no such inst <b>"]]
    path.write_text(json.dumps(record_of(case.plan, refused="another design", actions=[], run_id="")))
    page = Page(build_report(case.prediction, plan=case.plan, record=read_record(path, case.plan)).html())
    assert "The flow refused the plan: another design" in page.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "gsr-feedback"}, '"gsr-feedback-record" of version 1 expected'),
        ({"schema_version": 2}, '"gsr-feedback-record" of version 1 expected'),
        ({"run_id": "other"}, 'is of run "other"'),
        (
            {"actions": [{"line": 999, "action": "x", "status": "applied", "reason": ""}]},
            "line 999 is not of this plan",
        ),
        ({"actions": [{"line": 3, "action": "x", "status": "applied", "reason": ""}]}, "line 3 is not of this plan"),
        ({"actions": [7]}, "is no record of a plan"),
    ],
)
def test_wrong_records_are_refused(case: Case, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = tmp_path / "gsr_feedback.json"
    path.write_text(json.dumps(record_of(case.plan, **changes)))
    with pytest.raises(InputError, match=re.escape(message)):
        read_record(path, case.plan)


def test_the_record_beside_the_plan_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    design = make_export(tmp_path / "design")
    prediction = make_prediction(design)
    plan = plan_feedback(prediction, design.manifest)
    write_feedback(tmp_path / "feedback.tsv", plan)
    (tmp_path / "gsr_feedback.json").write_text(json.dumps(record_of(plan, run_id="of another run")))
    assert find_record(tmp_path / "feedback.tsv", None, plan) is None
    assert "not shown" in caplog.text
    assert "is of run" in caplog.text
    with pytest.raises(InputError, match="is of run"):
        find_record(None, tmp_path / "gsr_feedback.json", plan)
    (tmp_path / "gsr_feedback.json").write_text(json.dumps(record_of(plan)))
    found = find_record(tmp_path / "feedback.tsv", None, plan)
    assert found is not None
    assert found.states[0] == "applied"
    assert find_record(None, None, plan) is None


# ---- colours


SIGHT = {  # Machado, Oliveira, Fernandes 2009, severity 1, on linear RGB
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def seen_lab(stops: list[str], sight: str) -> np.ndarray:
    """CIE Lab of 60 colours along the stops, as one sees them."""
    srgb = rgb(stops, np.linspace(0, 1, 60)[None])[0] / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(SIGHT[sight]).T, 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = linear @ np.array(to_xyz).T / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", COLOURS)
def test_colours_are_told_apart(theme: str, sight: str) -> None:
    lab = {name: seen_lab(stops, sight) for name, stops in COLOURS[theme].items()}

    def least(a: str, b: str, skip: int = 0) -> float:
        return float(np.linalg.norm(lab[a][skip:, None] - lab[b][None, skip:], axis=2).min())

    assert least("below", "above") > 20, "no colour below full looks like one above it"
    assert least("minus", "plus", skip=20) > 20, "nor do the arms of the difference, but near 0"
    for name, colours in lab.items():
        change = np.diff(colours[:, 0])
        assert (change < 0).all() or (change > 0).all(), f"{name}: lightness goes one way"
