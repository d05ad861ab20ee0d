"""The planner keeps to the measured recipe, to its budget, and to the file that Tcl reads."""

import contextlib
import json
import re
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from synthetic import UGLY, SyntheticDesign, make_export, make_prediction

from circuit_io.errors import InputError
from circuit_io.maps import Prediction
from circuit_io.metric_keys import METRIC_KEYS
from flow_hooks.feedback.actions import ACTIONS, Action
from flow_hooks.feedback.area import movable_insts, pin_density_growth_um2, site_um
from flow_hooks.feedback.blockages import blur, pool_mean
from flow_hooks.feedback.config import FeedbackConfig, feedback_config, settings_table
from flow_hooks.feedback.file import HEADER_KEYS, Plan, blocked_share, feedback_tsv, read_feedback, write_feedback
from flow_hooks.feedback.planner import plan_feedback
from flow_hooks.feedback.regions import merge_equal
from flow_hooks.tsv import decode, encode, number
from gsr_plugin.cli import main

TILE = 2.0


def predicted(values_h: np.ndarray, values_v: np.ndarray | None = None, *, sigma: float = 0.0) -> Prediction:
    """A prediction on square gcells; `sigma` 0 is an oracle."""
    values_v = values_h if values_v is None else values_v
    ny, nx = values_h.shape
    maps = {"congestion_h": values_h, "congestion_v": values_v}
    maps |= {f"capacity_{d}": np.full((ny, nx), 10.0) for d in "hv"}
    maps |= {f"sigma_{d}": np.full((ny, nx), sigma) for d in "hv"}
    maps = {key: values.astype(np.float32) for key, values in maps.items()}
    for key, values in maps.items():
        values[(slice(None), -1) if key.endswith("_h") else (-1, slice(None))] = np.nan
    return Prediction(
        manifest={"design": "d", "stage": "place", "run_id": "r"},
        x_um=np.arange(nx + 1) * TILE,
        y_um=np.arange(ny + 1) * TILE,
        maps=maps,
    )


def manifest(prediction: Prediction, *, free_frac: float = 0.4, **more: object) -> dict[str, object]:
    die = (0.0, 0.0, float(prediction.x_um[-1]), float(prediction.y_um[-1]))
    core = die[2] * die[3]
    areas = {"core_area_um2": core, "movable_area_um2": (1 - free_frac) * core, "fixed_area_um2": 0.0}
    layers = {"M2": 0.2, "M3": 0.2}
    return {
        "design": "d",
        "die_um": die,
        "core_um": die,
        "placement": areas,
        "layer_adjustment": layers,
        "def_sha256": "0" * 64,
        **more,
    }


def bump(nx: int = 20, ny: int = 16, *, height: float = 0.8, base: float = 0.4) -> np.ndarray:
    y, x = np.mgrid[:ny, :nx]
    return base + height * np.exp(-((x - 6) ** 2 + (y - 9) ** 2) / 12)


def recipe(h: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Recipe B in plain loops, without budget: the share of each gcell in steps of 0.05."""
    ny, nx = h.shape
    r = np.zeros((ny, nx))
    for y in range(ny):
        for x in range(nx):
            sides_h = [h[y, k] for k in (x - 1, x) if 0 <= k < nx - 1]
            sides_v = [v[k, x] for k in (y - 1, y) if 0 <= k < ny - 1]
            r[y, x] = max(sum(sides_h) / len(sides_h), sum(sides_v) / len(sides_v))
    out = np.zeros((ny, nx))
    for y in range(ny):
        for x in range(nx):
            total = 0.0
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    at = r[min(max(y + dy, 0), ny - 1), min(max(x + dx, 0), nx - 1)]
                    total += at * (2 - abs(dy)) * (2 - abs(dx)) / 16
            out[y, x] = round(min(0.5, 2 * max(0.0, total - 0.95)) / 0.05 + 1e-9) * 0.05
    return out


def test_plan_is_recipe_b_when_the_budget_allows() -> None:
    h, v = bump(), bump(height=0.7)
    prediction = predicted(h, v)
    plan = plan_feedback(prediction, manifest(prediction, free_frac=0.9))
    expected = recipe(prediction.maps["congestion_h"], prediction.maps["congestion_v"])
    assert (expected > 0).sum() > 10
    np.testing.assert_allclose(blocked_share(plan, prediction.x_um, prediction.y_um), expected, atol=1e-6)
    assert plan.used_um2 == pytest.approx(expected.sum() * TILE**2)
    assert plan.trouble == "local"
    assert {a.action for a in plan.actions} == {"density_blockage"}
    assert plan.notes == ()
    scores = [a.score for a in plan.actions]
    assert scores == sorted(scores, reverse=True)
    for a in plan.actions:
        assert 50 <= float(a.value) <= 95
        assert float(a.value) % 5 == 0


@given(
    h=arrays(np.float32, (9, 11), elements=st.floats(0, 2, width=32)),
    v=arrays(np.float32, (9, 11), elements=st.floats(0, 2, width=32)),
    free_frac=st.floats(0, 1),
    sigma=st.sampled_from([0.0, 0.1]),
    max_regions=st.integers(0, 12),
)
@settings(max_examples=100, deadline=None)
def test_never_more_than_the_budget(
    h: np.ndarray, v: np.ndarray, free_frac: float, sigma: float, max_regions: int
) -> None:
    prediction = predicted(h, v, sigma=sigma)
    source = manifest(prediction, free_frac=free_frac)
    plan = plan_feedback(prediction, source, FeedbackConfig(max_regions=max_regions))
    blockages = plan.of("density_blockage")
    share = blocked_share(plan, prediction.x_um, prediction.y_um)
    area = share.sum() * TILE**2
    assert area == pytest.approx(plan.used_um2)
    assert area <= plan.budget_um2 + 1e-6
    core = source["placement"]["core_area_um2"]
    assert plan.budget_um2 == pytest.approx(0.6 * max(0.0, core * (1 - 1.1 * (1 - free_frac))))
    assert share.max(initial=0) <= 0.5 + 1e-9
    assert len(blockages) <= max_regions
    covered = sum((a.box_um[2] - a.box_um[0]) * (a.box_um[3] - a.box_um[1]) for a in blockages if a.box_um)
    assert covered == pytest.approx((share > 0).sum() * TILE**2), "boxes do not overlap"
    for a in blockages:
        assert a.box_um is not None
        assert all(edge % TILE == 0 for edge in a.box_um)
        assert 0 <= a.box_um[0] < a.box_um[2] <= 22
        assert 0 <= a.box_um[1] < a.box_um[3] <= 18
    assert plan == plan_feedback(prediction, source, FeedbackConfig(max_regions=max_regions))
    if not plan.actions:
        assert plan.verdict.startswith("Nothing planned: ")


def test_blocked_shares_follow_the_expected_excess() -> None:
    """A map that is not exact is flatter than the router's: what may exceed the threshold counts, too."""
    sigma, prediction = 0.1, predicted(bump(), sigma=0.1)
    plan = plan_feedback(prediction, manifest(prediction, free_frac=0.9))
    r = blur(np.maximum(*(prediction.per_gcell(f"congestion_{d}") for d in "hv")))
    normal = NormalDist()
    mean = [(sigma * normal.pdf(z) + sigma * z * normal.cdf(z)) for z in ((r.ravel() - 0.95) / sigma).tolist()]
    expected = np.rint(np.minimum(0.5, 2 * np.reshape(mean, r.shape)) / 0.05 + 1e-6) * 0.05
    np.testing.assert_allclose(blocked_share(plan, prediction.x_um, prediction.y_um), expected, atol=1e-6)
    exact = predicted(bump())
    assert plan.used_um2 > plan_feedback(exact, manifest(exact, free_frac=0.9)).used_um2


def test_an_area_that_is_only_likely_to_be_hot_is_left_alone() -> None:
    values = np.full((20, 20), 0.4)
    values[3:7, 3:7] = 0.9  # below the threshold, but not by much
    values[12:17, 10:17] = 1.3
    plan = plan_feedback(predicted(values, sigma=0.1), manifest(predicted(values)))
    assert plan.actions
    assert all(a.box_um and a.box_um[1] > 16 for a in plan.actions)


def test_scaled_into_the_budget_with_a_note() -> None:
    prediction = predicted(bump(height=1.2))
    plan = plan_feedback(prediction, manifest(prediction, free_frac=0.12))
    assert 0.95 * plan.budget_um2 < plan.used_um2 <= plan.budget_um2
    assert plan.notes[0].startswith("Blocked shares scaled by 0.")


def test_many_regions_become_blocks() -> None:
    rng = np.random.default_rng(0)
    prediction = predicted(rng.uniform(0.6, 1.3, (40, 40)))
    many = plan_feedback(prediction, manifest(prediction), FeedbackConfig(max_regions=9999))
    few = plan_feedback(prediction, manifest(prediction), FeedbackConfig(max_regions=60))
    assert len(many.of("density_blockage")) > 200
    assert len(few.of("density_blockage")) <= 60
    assert any("blocks of" in note for note in few.notes)
    assert few.used_um2 > 0.6 * many.used_um2


def kinds(prediction: Prediction, source: dict[str, object], **options: object) -> list[str]:
    """The kinds of actions in a plan, in order."""
    plan = plan_feedback(prediction, source, feedback_config(options))
    return list(dict.fromkeys(a.action for a in plan.actions))


def test_short_of_tracks_everywhere_adds_uniform_density() -> None:
    prediction = predicted(bump(base=0.9))
    plan = plan_feedback(prediction, manifest(prediction))
    assert plan.trouble == "everywhere"
    assert 0.84 < plan.load <= 1.1
    assert (plan.actions[-1].action, plan.actions[-1].value) == ("uniform_density", "0")
    assert kinds(prediction, manifest(prediction)) == ["density_blockage", "uniform_density"]
    off = kinds(prediction, manifest(prediction), uniform_density="never")
    assert off == ["density_blockage"]


@pytest.mark.parametrize("base", [0.4, 0.9, 1.2])
def test_a_switch_is_obeyed_whatever_the_rules_say(base: float) -> None:
    prediction = predicted(bump(base=base))
    source = manifest(prediction, counts={"free_ports": 3}, flow={"worst_slack_ns": -1.0})
    switches = ("blockages", "uniform_density", "gentle", "place_pins", "unplace")
    assert kinds(prediction, source, **dict.fromkeys(switches, "never")) == []
    on = kinds(prediction, source, **dict.fromkeys(switches[:-1], "always"))
    assert on == ["place_pins", "density_blockage", "routability_gentle", "uniform_density"]


@pytest.mark.parametrize("base", [0.4, 0.9])
def test_pins_are_placed_again_wherever_there_is_trouble_and_some_are_known_to_be_free(base: float) -> None:
    hot, cold = predicted(bump(base=base)), predicted(bump(base=base) * 0.5)
    plan = plan_feedback(hot, manifest(hot, counts={"free_ports": 1}))
    assert [a.action for a in plan.actions][:2] == ["place_pins", "density_blockage"]
    assert plan.advice == ()
    for counts in ({}, {"free_ports": 0}):
        assert "place_pins" not in kinds(hot, manifest(hot, counts=counts))
    assert "place_pins" not in kinds(hot, manifest(hot, counts={"free_ports": 1}), place_pins="never")
    assert kinds(cold, manifest(cold, counts={"free_ports": 1})) == []


def test_gentle_steps_where_timing_is_known_to_fail() -> None:
    prediction = predicted(bump())
    for slack, wanted in ((-0.01, True), (0.0, False), (None, False)):
        flow = {} if slack is None else {"worst_slack_ns": slack}
        assert ("routability_gentle" in kinds(prediction, manifest(prediction, flow=flow))) == wanted


def test_where_no_placement_is_enough_only_pins_are_placed_again() -> None:
    prediction = predicted(bump(base=1.15))
    plan = plan_feedback(prediction, manifest(prediction))
    assert (plan.actions, plan.trouble) == ((), "hopeless")
    assert re.match(r"Nothing planned: the design wants 1\d\d % of all tracks, and above 110 % no ", plan.verdict)
    with_pins = manifest(prediction, counts={"free_ports": 5})
    plan = plan_feedback(prediction, with_pins)
    assert [a.action for a in plan.actions] == ["place_pins", "routability_gentle"]
    assert re.search(r"It helps a little: the design wants 1\d\d % of all tracks", plan.verdict)
    assert plan_feedback(prediction, with_pins, FeedbackConfig(place_pins="never", gentle="never")).actions == ()
    assert plan_feedback(prediction, manifest(prediction), FeedbackConfig(hopeless_load=2)).actions


def test_without_room_for_a_blockage_pins_and_insts_are_placed_again(design: SyntheticDesign) -> None:
    prediction = make_prediction(design)
    places = design.manifest["placement"] | {"movable_area_um2": design.manifest["placement"]["core_area_um2"]}
    source = design.manifest | {"placement": places, "counts": {"free_ports": 2}}
    plan = plan_feedback(prediction, source, design=design)
    assert plan.actions[0] == Action("place_pins", "", plan.actions[0].score)
    rows = plan.of("unplace")
    assert len(rows) == len(plan.actions) - 1 > 0
    names = design.insts["name"].to_pylist()
    middle = [
        (design.insts[axis].to_numpy() + design.insts[size].to_numpy() / 2)[[names.index(a.target) for a in rows]]
        for axis, size in (("x_um", "width_um"), ("y_um", "height_um"))
    ]
    heat = blur(np.maximum(*(prediction.per_gcell(f"congestion_{d}") for d in "hv")))
    at = [np.searchsorted(b, m, "right") - 1 for b, m in zip((prediction.x_um, prediction.y_um), middle, strict=True)]
    expected = heat[at[1], at[0]] - 1
    np.testing.assert_allclose([a.score for a in rows], expected, atol=1e-6)
    assert (expected > 0).all()
    assert [a.score for a in rows] == sorted((a.score for a in rows), reverse=True)
    bare = plan_feedback(prediction, source)
    assert [a.action for a in bare.actions] == ["place_pins"]
    assert bare.notes[-1] == "No inst is unplaced: the export's tables are needed for it."
    assert (
        plan_feedback(prediction, source | {"counts": {}}, FeedbackConfig(unplace="never"), design=design).actions == ()
    )


def test_advice_says_only_what_is_known_to_be_missing() -> None:
    hot, cold = predicted(bump()), predicted(bump() * 0.5)

    def advice(prediction: Prediction, **more: object) -> list[str]:
        return [line.split()[0] for line in plan_feedback(prediction, manifest(prediction, **more)).advice]

    told = {"improve_placement": False, "routability_driven": "default"}
    assert advice(hot) == []
    assert advice(hot, flow={"improve_placement": True, "routability_driven": "gentle"}) == []
    assert advice(hot, flow=told, counts={"free_ports": 7}) == ["Run", "-routability_driven"]  # they are placed again
    assert advice(cold, flow=told, counts={"free_ports": 7}) == ["Run"]
    source = manifest(hot, counts={"free_ports": 7})
    (line,) = plan_feedback(hot, source, FeedbackConfig(place_pins="never")).advice
    assert line.startswith("7 pins may be moved")


@pytest.mark.parametrize(
    ("options", "free_frac", "base", "text"),
    [
        ({}, 0.4, -0.2, "no gcell exceeds 0.95 after smoothing (highest 0."),
        ({}, 0.0, 0.4, "the free area is too small for any blockage"),
        ({"blockages": "never"}, 0.4, 0.4, "blockages are switched off"),
        ({"max_regions": 0}, 0.4, 0.4, "max_regions is 0"),
        ({"budget_frac": 0.0}, 0.4, 0.4, "the free area is too small"),
    ],
)
def test_says_why_nothing_is_planned(options: dict[str, object], free_frac: float, base: float, text: str) -> None:
    prediction = predicted(np.maximum(bump(base=base), 0))
    plan = plan_feedback(prediction, manifest(prediction, free_frac=free_frac), feedback_config(options))
    assert plan.actions == ()
    assert text in plan.verdict


def test_an_excess_below_its_uncertainty_is_left_alone() -> None:
    values = np.full((20, 20), 0.5)
    values[4:6, 4:6] = 1.2  # four gcells: mostly noise
    values[12:17, 8:18] = 1.3
    sure, unsure = predicted(values), predicted(values, sigma=0.2)
    assert {a.box_um[1] < 16 for a in plan_feedback(sure, manifest(sure)).actions if a.box_um} == {True, False}
    plan = plan_feedback(unsure, manifest(unsure))
    assert plan.actions
    assert all(a.box_um and a.box_um[1] > 16 for a in plan.actions)
    assert plan.notes[0].startswith("1 of 2 hot areas left alone")
    bold = plan_feedback(unsure, manifest(unsure), FeedbackConfig(min_gain_sigmas=0))
    assert len(bold.actions) > len(plan.actions)
    nothing = plan_feedback(predicted(values, sigma=2.0), manifest(unsure))
    assert "no hot area exceeds its uncertainty" in nothing.verdict


def test_fixed_insts_and_what_lies_outside_the_core_are_not_blocked() -> None:
    prediction = predicted(np.full((10, 10), 1.3))
    prediction.maps["fixed_area_um2"] = np.zeros((10, 10), np.float32)
    prediction.maps["fixed_area_um2"][2:4, 2:4] = TILE**2
    source = manifest(prediction, free_frac=0.9, core_um=[0, 0, 20, 10])
    plan = plan_feedback(prediction, source, FeedbackConfig(hopeless_load=2))
    share = blocked_share(plan, prediction.x_um, prediction.y_um)
    assert (share[2:4, 2:4] == 0).all()
    assert (share[5:] == 0).all()
    assert (share[:2] > 0).all()


def test_a_second_round_adds_to_the_first() -> None:
    first = predicted(bump())
    plan = plan_feedback(first, manifest(first, free_frac=0.9))
    other = predicted(bump()[:, ::-1].copy())
    second = plan_feedback(other, manifest(other, free_frac=0.9), previous=plan)
    before = blocked_share(plan, first.x_um, first.y_um)
    after = blocked_share(second, other.x_um, other.y_um)
    alone = blocked_share(plan_feedback(other, manifest(other, free_frac=0.9)), other.x_um, other.y_um)
    assert (alone > 0).any()
    np.testing.assert_allclose(after, np.minimum(0.5, before + alone), atol=0.026)
    assert second.notes[0].startswith("Second round")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"design": "other"}, "another design: other, the prediction's is d"),
        ({"die_um": (0.0, 0.0, 40.0, 32.002)}, "another die"),
        ({"grid": (19, 16)}, "another grid"),
    ],
)
def test_a_plan_of_another_floorplan_is_no_first_round(more: dict[str, object], text: str) -> None:
    prediction = predicted(bump())
    plan = plan_feedback(prediction, manifest(prediction))
    with pytest.raises(InputError, match=text):
        plan_feedback(prediction, manifest(prediction), previous=replace(plan, **more))
    moved = replace(plan, def_sha256="of the first placement", die_um=(0.0, 0.0, 40.0, 32.0001))
    assert plan_feedback(prediction, manifest(prediction), previous=moved).notes


def test_region_adjustments_on_request() -> None:
    prediction = predicted(bump())
    plan = plan_feedback(prediction, manifest(prediction), FeedbackConfig(region_adjustment=True, max_regions=40))
    rows = plan.of("region_adjustment")
    assert 0 < len(rows) <= 40
    assert {a.layer for a in rows} == {"M2", "M3"}
    assert all(0 < float(a.value) <= 0.8 for a in rows)


# ---- areas


@pytest.fixture
def design(tmp_path: Path) -> SyntheticDesign:
    return make_export(tmp_path / "design")


def test_pin_density_growth_equals_plain_loops(design: SyntheticDesign) -> None:
    table = design.insts.to_pydict()
    pins = np.bincount(design.graph.pin_inst, minlength=design.insts.num_rows)
    area = [w * h for w, h in zip(table["width_um"], table["height_um"], strict=True)]
    density = pins.sum() / sum(area)
    growth = 0.0
    for a, n in zip(area, pins, strict=True):
        if n > 2:
            scale = min(1.2, max(0.95, (n / density / a) ** 0.5))
            growth += a * (scale**2 - 1)
    assert pin_density_growth_um2(design) == pytest.approx(growth)


def test_growth_takes_from_the_budget(design: SyntheticDesign) -> None:
    prediction = make_prediction(design)
    computed = plan_feedback(prediction, design.manifest, design=design)
    areas = design.manifest["placement"]
    growth = pin_density_growth_um2(design)
    assert growth is not None
    assert computed.free_area_um2 == pytest.approx(areas["free_area_um2"] - growth)
    assumed = plan_feedback(prediction, design.manifest)
    assert assumed.free_area_um2 == pytest.approx(areas["free_area_um2"] - 0.1 * areas["movable_area_um2"])


def test_movable_insts() -> None:
    table = pa.table(
        {
            "width_um": [0.38, 0.57, 1.9, 10.0, 0.0],
            "height_um": [1.4] * 5,
            "status": ["PLACED", "FIXED", "PLACED", "PLACED", "FIXED"],
            "is_macro": [False, False, False, True, False],
            "is_port": [False, False, False, False, True],
        }
    )
    only = SyntheticDesign({}, table, table, graph=None)  # type: ignore[arg-type]
    assert movable_insts(only).tolist() == [True, False, True, False, False]
    assert pin_density_growth_um2(only) is None
    assert site_um(np.array([0.38, 0.57, 1.9]), {"dbu_per_um": 2000}) == pytest.approx(0.19)
    assert movable_insts(SyntheticDesign({}, table.select(["status"]), table, graph=None)) is None  # type: ignore[arg-type]


def test_padding_on_request(design: SyntheticDesign) -> None:
    prediction = make_prediction(design)
    config = FeedbackConfig(padding=True)
    plan = plan_feedback(prediction, design.manifest, config, design=design)
    rows = plan.of("padding")
    assert rows
    assert plan.used_um2 <= plan.budget_um2
    names = design.insts["name"].to_pylist()
    heat = [prediction.inst_congestion[names.index(a.target)] for a in rows]
    assert heat == sorted(heat, reverse=True)
    assert heat[-1] > 1
    assert {a.value for a in rows} == {"0;1"}
    without = plan_feedback(prediction, design.manifest, config)
    assert not without.of("padding")
    assert without.notes[-1].startswith("No padding planned")


# ---- helpers


def test_blur_keeps_a_constant_and_spreads_a_point() -> None:
    np.testing.assert_allclose(blur(np.full((4, 5), 0.7)), 0.7)
    point = np.zeros((5, 5))
    point[2, 2] = 16
    np.testing.assert_array_equal(blur(point)[1:4, 1:4], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])


def test_pool_mean_keeps_the_sum() -> None:
    rng = np.random.default_rng(0)
    values, area = rng.uniform(size=(7, 5)), rng.uniform(1, 2, (7, 5))
    for side in (1, 2, 3, 8):
        pooled = pool_mean(values, area, side)
        assert (pooled * area).sum() == pytest.approx((values * area).sum())
    assert len(np.unique(pool_mean(values, area, 8))) == 1


@given(values=arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(-1, 2)))
@settings(max_examples=200, deadline=None)
def test_regions_cover_exactly(values: np.ndarray) -> None:
    painted = np.zeros_like(values)
    for r in merge_equal(values):
        inside = (slice(r.y0, r.y1 + 1), slice(r.x0, r.x1 + 1))
        assert (painted[inside] == 0).all(), "disjoint"
        assert r.num_gcells == painted[inside].size
        painted[inside] = r.value
    np.testing.assert_array_equal(painted, np.maximum(values, 0))


def test_one_rectangle_is_one_region() -> None:
    values = np.zeros((6, 6), np.int64)
    values[1:5, 2:4] = 3
    assert len(merge_equal(values)) == 1


@given(text=st.text())
def test_percent_codes_round_trip(text: str) -> None:
    text = text.encode("utf-8", "replace").decode("utf-8")
    field = encode(text, ",")
    assert decode(field) == text
    assert not set(field) & set(" \t\n\r,")


def test_percent_codes() -> None:
    assert encode("a b\t%\nö,", ",") == "a%20b%09%25%0Aö%2C"
    assert encode("\udcff") == "%FF"
    assert decode("%ff") == "\udcff"
    for bad in ("%", "%2", "%zz", "a%+1"):
        with pytest.raises(InputError, match="is no percent code"):
            decode(bad)
    assert [number(v) for v in (3.0, 0.1, 1e-7, -2)] == ["3", "0.1", "1e-07", "-2"]


# ---- files


def a_plan(**more: object) -> Plan:
    return Plan(
        **{
            "design": "top level",
            "die_um": (0.0, -1.5, 20.0, 12.25),
            "grid": (10, 6),
            "def_sha256": "ab",
            "run_id": "r%1",
            "actions": (
                Action("density_blockage", "85", 1.25, box_um=(2.0, 4.0, 6.0, 12.25)),
                Action("region_adjustment", "0.3", 1.0, box_um=(0.0, -1.5, 2.0, 2.0), layer="met 1"),
                Action("routability_gentle", "0.5;1.2", 3.0),
                Action("uniform_density", "0", 3.0),
                Action("placement_density_addon", "0.1", 0.0),
                *(Action("padding", "0;1", 0.5, target=name) for name in UGLY),
                Action("place_pins", "M3,met%205;M4", 1.0),
                Action("unplace", "", 0.25, target="a b"),
                Action("layer_adjustment", "0.5", 0.0, target="route", layer="met 1"),
            ),
            "verdict": "some",
            "advice": ("Do this.", "And that."),
            "trouble": "local",
            "load": 0.5,
            "free_area_um2": 10.0,
            "budget_um2": 6.0,
            "used_um2": 1.0,
            "notes": ("n",),
            **more,
        }
    )


def test_the_file_is_as_agreed() -> None:
    lines = feedback_tsv(a_plan()).splitlines()
    assert lines[0] == (
        "#gsr-feedback 1 design=top%20level die_um=0,-1.5,20,12.25 grid=10,6 def_sha256=ab run_id=r%251 "
        f"rows={8 + len(UGLY)} verdict=some advice=Do%20this.%0AAnd%20that."
    )
    assert lines[1] == "action\ttarget\tx1\ty1\tx2\ty2\tlayer\tvalue\tscore"
    assert lines[2] == "density_blockage\t\t2\t4\t6\t12.25\t\t85\t1.25"
    assert lines[3] == "region_adjustment\t\t0\t-1.5\t2\t2\tmet%201\t0.3\t1"
    assert lines[4] == "routability_gentle\t\t\t\t\t\t\t0.5;1.2\t3"
    assert lines[7] == "padding\ta%20b\t\t\t\t\t\t0;1\t0.5"
    assert all(line.count("\t") == 8 for line in lines[1:])
    assert set(ACTIONS) == {a.action for a in a_plan().actions}


def test_write_then_read_is_identity(tmp_path: Path) -> None:
    path = tmp_path / "feedback.tsv"
    write_feedback(path, a_plan())
    assert read_feedback(path) == a_plan()
    assert json.loads((tmp_path / "feedback.json").read_text())["schema"] == "gsr-feedback"
    with pytest.raises(InputError, match="exists already"):
        write_feedback(path, a_plan())
    empty = a_plan(actions=(), verdict="Nothing planned: x.", load=float("nan"))
    write_feedback(path, empty, overwrite=True)
    assert read_feedback(path).verdict == "Nothing planned: x."
    (tmp_path / "feedback.json").unlink()
    alone = read_feedback(path)
    assert (alone.actions, alone.verdict, alone.notes) == ((), "Nothing planned: x.", ())
    assert alone.advice == empty.advice


def test_the_reason_of_another_run_is_ignored(tmp_path: Path) -> None:
    write_feedback(tmp_path / "a.tsv", a_plan())
    write_feedback(tmp_path / "b.tsv", a_plan(run_id="other"))
    (tmp_path / "b.json").replace(tmp_path / "a.json")
    assert read_feedback(tmp_path / "a.tsv").notes == ()
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json: is no plan"):
        read_feedback(tmp_path / "a.tsv")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("#gsr-feedback 1", "#gsr-hotspots 1", ':1: "#gsr-feedback 1 ..." expected'),
        ("#gsr-feedback 1", "#gsr-feedback 2", ":1: version 2 found, newest known is 1\n  Update"),
        ("die_um=0,-1.5", "die_um=0,nan", ":1: the first line is incomplete or wrong: nan is not finite"),
        ("grid=10,6", "grid=10", ":1: the first line is incomplete or wrong"),
        ("design=", "dsgn=", ":1: the first line is incomplete or wrong: 'design'"),
        ("r%251", "r%2", ":1: the first line is incomplete"),
        ("rows=18", "rows=19", "18 actions found, the first line says 19"),
        ("\tscore\n", "\n", ":2: columns action, target"),
        ("density_blockage\t", "density_blokage\t", ':3: unknown action "density_blokage"\n  Did you mean "density_bl'),
        ("\t85\t", "\t0\t", ':3: density_blockage: value "0" is out of range'),
        ("\t85\t", "\tx\t", ":3: density_blockage: could not convert"),
        ("\t85\t1.25", "\t85", ":3: 8 fields found, 9 expected"),
        ("\t12.25\t\t85", "\t12.3\t\t85", ":3: density_blockage: box 2, 4, 6, 12.3 is empty or outside the die"),
        ("met%201", "", ":4: region_adjustment: layer is empty"),
        ("0.5;1.2", "0.5", ":5: routability_gentle: not enough values"),
        ("0;1", "0;1000", 'padding: value "0;1000" is out of range'),
        ("M3,met%205;M4", "M3", ":18: place_pins: not enough values"),
        ("M3,met%205;M4", "M3;", ':18: place_pins: value "M3;" is out of range'),
        ("M3,met%205;M4", "M3,;M4", ':18: place_pins: value "M3,;M4" is out of range'),
        ("unplace\ta%20b", "unplace\t", ":19: unplace: target is empty"),
        ("a%20b", "", ":8: padding: target is empty"),
        ("a%20b", "a%2", ':8: "%2" is no percent code'),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, old: str, new: str, text: str) -> None:
    path = tmp_path / "feedback.tsv"
    good = feedback_tsv(a_plan())
    assert old in good
    path.write_text(good.replace(old, new))
    with pytest.raises(InputError) as e:
        read_feedback(path)
    assert text in str(e.value)


@given(data=st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "feedback.tsv"
    lines = feedback_tsv(a_plan()).encode().splitlines(keepends=True)
    for content in (data, lines[0] + data, b"".join(lines[:2]) + data, b"".join(lines[:3]) + data):
        path.write_bytes(content)
        with contextlib.suppress(InputError):
            read_feedback(path)


# ---- settings and mismatches


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"treshold": 1}, '[feedback]: unknown key "treshold"\n  Did you mean "threshold"?'),
        ({"budget_frac": 2}, "budget_frac = 2: Input should be less than or equal to 0.8\n  budget_frac: share of"),
        ({"gentle": "maybe"}, "gentle = 'maybe'"),
    ],
)
def test_wrong_settings(values: dict[str, object], text: str) -> None:
    with pytest.raises(InputError) as e:
        feedback_config(values)
    assert text in str(e.value)


def test_a_design_that_is_not_the_predictions_is_refused(design: SyntheticDesign) -> None:
    prediction = make_prediction(design)
    with pytest.raises(InputError, match="made for another placement"):
        plan_feedback(prediction, {**design.manifest, "def_sha256": "1"})
    with pytest.raises(InputError, match="the manifest has no areas"):
        plan_feedback(prediction, {**design.manifest, "placement": {}})


def test_the_plan_of_a_prediction_names_its_run(design: SyntheticDesign) -> None:
    prediction = make_prediction(design)
    plan = plan_feedback(prediction, design.manifest, design=design)
    assert plan.run_id == prediction.manifest["run_id"]
    assert plan.def_sha256 == design.manifest["def_sha256"]
    assert plan.design == "synthetic"
    assert plan.of("density_blockage")
    last_column = [a for a in plan.actions if a.box_um and a.box_um[2] == plan.die_um[2]]
    assert all(a.box_um and a.box_um[2] <= plan.die_um[2] for a in last_column)


def test_one_page_has_the_actions_and_the_first_line() -> None:
    docs = Path(__file__).resolve().parent.parent / "docs"
    with_table = {p.name for p in docs.glob("*.md") if "| `density_blockage` |" in p.read_text()}
    assert with_table == {"flow.md"}
    flow = (docs / "flow.md").read_text()
    first = next(line for line in flow.splitlines() if line.startswith("#gsr-feedback 1 "))
    for key in (*HEADER_KEYS, "rows", "verdict", "advice"):
        assert f"{key}=" in first
    for name in ACTIONS:
        assert f"| `{name}` |" in flow
    assert "### feedback.tsv (Python writes)" in flow
    assert "(flow.md#feedbacktsv-python-writes)" in (docs / "format.md").read_text()


def test_the_help_of_set_names_the_page_of_the_settings() -> None:
    (option,) = (p for p in main.commands["feedback"].params if p.name == "sets")
    page = re.search(r"\((docs/\w+\.md)\)", str(option.help))
    assert page
    assert settings_table() in (Path(__file__).resolve().parent.parent / page[1]).read_text()


def test_the_manual_has_every_setting_and_metric() -> None:
    manual = (Path(__file__).resolve().parent.parent / "docs" / "prediction.md").read_text()
    assert settings_table() in manual
    for key in METRIC_KEYS.values():
        assert f"| `{key.name}` | {key.unit} | {key.better} | {key.meaning} |" in manual
