"""The figures of a closed loop: ratios of overflow between arms by case, family and in the mean, and the marks."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flow_hooks.jobs.folders import DONE
from flow_hooks.loop.arms import ARMS, BASE, OURS
from flow_hooks.loop.cases import Case

LOCAL_USAGE = 0.86  # mean usage over capacity in arm a up to which trouble is local
SPARE_TRACKS = 10.0  # added to both sides of a ratio: some placements overflow by nothing
SPARE_TNS_NS = 0.1
WORSE_FRAC, WORSE_TRACKS = 0.02, 20.0  # a case is worse beyond both
_States = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Mark:
    """A figure that is to pass: what it is, its value (None: not measured), how low it must be and should be."""

    figure: str
    value: float | None
    num_cases: int
    passes_at: float
    reaches_for: float
    is_strict: bool = False

    @property
    def verdict(self) -> str:
        """`reached`, `passed`, `missed` or `not measured`."""
        if self.value is None:
            return "not measured"
        if self.value <= self.reaches_for:
            return "reached"
        is_passed = self.value < self.passes_at if self.is_strict else self.value <= self.passes_at
        return "passed" if is_passed else "missed"


def results_of(cases: Sequence[Case], states: _States, min_overflow: float) -> dict[str, Any]:
    """Rows by case, means, marks and counts, as far as the arms are done."""
    rows = [row for case in cases if (row := _row(case, states[case.name], min_overflow)) is not None]
    counted = [row for row in rows if row["is_case"]]
    arms = [arm for arm in dict.fromkeys(a for row in counted for a in row["overflow"]) if arm != BASE]
    means: dict[str, Any] = {}
    for group, of in _groups(counted).items():
        means[group] = {"cases": len(of), "families": len({r["family"] for r in of})}
        for arm in arms:
            means[group][f"{arm}/a"] = family_mean(_ratios(of, "overflow", arm, BASE))
            if arm != OURS:
                means[group][f"c/{arm}"] = family_mean(_ratios(of, "overflow", OURS, arm))
        for figure in ("wire", "slack", "time"):
            means[group][figure] = {arm: family_mean(_ratios(of, figure, arm, BASE)) for arm in arms}
    return {
        "cases": rows,
        "means": means,
        "marks": [asdict(m) | {"verdict": m.verdict} for m in _marks(counted)],
        "worse": sorted(row["name"] for row in counted if _is_worse(row)),
        "abstained": sorted(row["name"] for row in counted if row.get("is_abstained")),
        "without_overflow": sorted(row["name"] for row in rows if not row["is_case"]),
    }


def _row(case: Case, arms: Mapping[str, Mapping[str, Any]], min_overflow: float) -> dict[str, Any] | None:
    """The figures of one case by arm; none before arm a is done."""
    done = {arm: said for arm, said in arms.items() if said["status"] == DONE}
    if BASE not in done:
        return None
    base = done[BASE]["judged"]
    row: dict[str, Any] = {
        "name": case.name,
        "family": case.family,
        "usage": base["usage"],
        "is_local": base["usage"] <= LOCAL_USAGE,
        "is_case": base["overflow"] >= min_overflow,
        "stored_overflow": case.stored["overflow"],
        "faults": {arm: said["reason"] for arm, said in arms.items() if said.get("reason")},
    }
    for key in ("overflow", "overflowed_gcells", "usage", "wire_um", "hpwl_um", "wns_ns", "tns_ns", "route_s"):
        row["mean_usage" if key == "usage" else key] = {
            arm: said["judged"][key] for arm, said in done.items() if said["judged"].get(key) is not None
        }
    row["place_s"] = {arm: _sum(r["place_s"] for r in said["rounds"]) for arm, said in done.items()}
    row["predict_s"] = {arm: _sum(r["predict_s"] for r in said["rounds"]) for arm, said in done.items()}
    row["kept"] = {arm: said["kept"] for arm, said in done.items()}
    row["placements"] = {arm: len(said["rounds"]) for arm, said in done.items()}
    row["why"] = {arm: said["why"] for arm, said in done.items() if said["why"]}
    if OURS in done:
        rounds = done[OURS]["rounds"]
        row["is_abstained"] = done[OURS]["is_abstained"]
        row["weights"] = done[OURS].get("weights", {})
        row["plans"] = [r["plan"] for r in rounds if "plan" in r]
        row["expected_overflow"] = [r["expected"] for r in rounds]
        if len(rounds) > 1 and rounds[1]["place_s"] is not None:
            row["second_place_s"] = rounds[1]["place_s"]
    return row


def _sum(values: Iterable[float | None]) -> float | None:
    numbers = list(values)
    return None if None in numbers else round(sum(v for v in numbers if v is not None), 3)


def _groups(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    return {
        "local": [r for r in rows if r["is_local"]],
        "everywhere": [r for r in rows if not r["is_local"]],
        "all": list(rows),
    }


def _figure(row: Mapping[str, Any], figure: str, arm: str) -> float | None:
    """What ratios are taken of; None where the arm does not have it."""

    def of(key: str) -> float | None:
        value: float | None = row[key].get(arm)
        return value

    if figure == "overflow":
        overflow = of("overflow")
        return None if overflow is None else overflow + SPARE_TRACKS
    if figure == "slack":
        tns = of("tns_ns")
        return None if tns is None else SPARE_TNS_NS - tns
    if figure == "time":
        return _sum((of("place_s"), of("predict_s")))
    return of("wire_um")


def _ratios(rows: Iterable[Mapping[str, Any]], figure: str, arm: str, other: str) -> list[tuple[str, float]]:
    """A figure of an arm over another arm's, with the family, of the cases that have both.

    What took less than a tick of the clock has no time.
    """
    found = [(r["family"], _figure(r, figure, arm), _figure(r, figure, other)) for r in rows]
    return [(family, v / b) for family, v, b in found if v and b]


def family_mean(ratios: Iterable[tuple[str, float]]) -> float | None:
    """Geometric mean by family, then over families; None without any."""
    logs: dict[str, list[float]] = defaultdict(list)
    for family, ratio in ratios:
        logs[family].append(math.log(ratio))
    if not logs:
        return None
    return math.exp(sum(sum(of) / len(of) for of in logs.values()) / len(logs))


def _is_worse(row: Mapping[str, Any]) -> bool:
    if OURS not in row["overflow"]:
        return False
    before = row["overflow"][BASE]
    return bool(row["overflow"][OURS] > before + max(WORSE_FRAC * before, WORSE_TRACKS))


def _marks(rows: Sequence[Mapping[str, Any]]) -> list[Mark]:
    local = [r for r in rows if r["is_local"]]
    ours = [r for r in rows if OURS in r["overflow"]]

    def ratio(of: Sequence[Mapping[str, Any]], other: str) -> tuple[float | None, int]:
        found = _ratios(of, "overflow", OURS, other)
        return family_mean(found), len(found)

    def share(of: Callable[[Mapping[str, Any]], bool]) -> float | None:
        return sum(map(of, ours)) / len(ours) if ours else None

    wire, slack, whole = (_ratios(ours, figure, OURS, BASE) for figure in ("wire", "slack", "time"))
    second = [
        (r["family"], v / b) for r in ours if (v := r.get("second_place_s")) is not None and (b := r["place_s"][BASE])
    ]
    worst_wire = max((v for _, v in wire), default=None)
    return [
        Mark("local: c/a", *ratio(local, "a"), 0.35, 0.20),
        Mark("local: c/g", *ratio(local, "g"), 0.85, 0.60),
        Mark("local: c/e", *ratio(local, "e"), 0.85, 0.60),
        Mark("local: c/t", *ratio(local, "t"), 0.50, 0.30),
        Mark("all: c/a", *ratio(rows, "a"), 0.60, 0.45),
        Mark("all: c/g", *ratio(rows, "g"), 0.95, 0.75, is_strict=True),
        Mark("routed wire, mean", family_mean(wire), len(wire), 1.01, 1.00),
        Mark("routed wire, worst case", worst_wire, len(wire), 1.03, 1.02),
        Mark("total negative slack + 0.1 ns, mean", family_mean(slack), len(slack), 1.2, 1.0),
        Mark("placer time, second placement", family_mean(second), len(second), 1.15, 1.05),
        Mark("placer time, whole loop with prediction", family_mean(whole), len(whole), 2.5, 2.2),
        Mark("cases made worse", share(_is_worse), len(ours), 0.05, 0.0),
        Mark("cases abstained from", share(lambda r: bool(r["is_abstained"])), len(ours), 0.30, 0.0, is_strict=True),
    ]  # fmt: skip


def table_of(results: Mapping[str, Any]) -> str:
    """The results as Markdown: overflow by case and arm, means of all figures, marks."""
    arms = [arm for arm in ARMS if arm in results["arms"]]
    head = ["case", "usage", *arms, "plan", "wire", "time"]
    lines = [_line(head), _line(["---", *["---:"] * (len(arms) + 1), "---", "---:", "---:"])]
    for row in (r for r in results["cases"] if r["is_case"]):
        overflow = [f"{row['overflow'][arm]:,.0f}" if arm in row["overflow"] else "-" for arm in arms]
        lines.append(_line([row["name"], f"{row['usage']:.2f}", *overflow, *_about_ours(row)]))
    lines += ["", _line(["mean of ratios", "cases", *[f"{arm}/a" for arm in arms if arm != BASE]])]
    lines.append(_line(["---", *["---:"] * len(arms)]))
    for group, mean in results["means"].items():
        for figure in ("overflow", "wire", "slack", "time"):
            of = {arm: mean.get(f"{arm}/a") if figure == "overflow" else mean[figure].get(arm) for arm in arms}
            values = ["-" if of[arm] is None else f"{of[arm]:.2f}" for arm in arms if arm != BASE]
            lines.append(_line([f"{group}: {figure}", str(mean["cases"]), *values]))
    lines += ["", _line(["mark", "value", "cases", "pass", "reach for", "verdict"])]
    lines.append(_line(["---", "---:", "---:", "---:", "---:", "---"]))
    for m in results["marks"]:
        value = "-" if m["value"] is None else f"{m['value']:.3f}"
        numbers = [value, str(m["num_cases"]), f"{m['passes_at']:g}", f"{m['reaches_for']:g}"]
        lines.append(_line([m["figure"], *numbers, m["verdict"]]))
    for what in ("worse", "abstained"):
        if results[what]:
            lines += ["", f"{what}: {', '.join(results[what])}"]
    return "\n".join([*lines, ""])


def _about_ours(row: Mapping[str, Any]) -> list[str]:
    """The actions of arm c's plan, its wire and its time over arm a's."""
    if OURS not in row["overflow"]:
        return ["-", "-", "-"]
    plans = row["plans"][: max(1, row["placements"][OURS] - 1)]
    parts = [", ".join(f"{n} {kind}" for kind, n in p["actions"].items()) or "none" for p in plans]
    wire = row["wire_um"][OURS] / row["wire_um"][BASE]
    cost = [row[key][OURS] for key in ("place_s", "predict_s")]
    base = row["place_s"][BASE]
    time = f"{sum(cost) / base:.2f}" if base and None not in cost else "-"
    return ["; ".join(parts) + f" (kept {row['kept'][OURS]})", f"{wire:.3f}", time]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
