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
            means[group][f"{arm}/a"] = _mean_ratio(of, arm, BASE)
            if arm != OURS:
                means[group][f"c/{arm}"] = _mean_ratio(of, OURS, arm)
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


def _mean_ratio(rows: Sequence[Mapping[str, Any]], arm: str, other: str) -> float | None:
    """Geometric mean of (overflow + 10) of an arm over another's: of the cases of a family, then of the families."""
    return family_mean(
        (r["family"], (r["overflow"][arm] + SPARE_TRACKS) / (r["overflow"][other] + SPARE_TRACKS))
        for r in rows
        if arm in r["overflow"] and other in r["overflow"]
    )


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
        return _mean_ratio(of, OURS, other), sum(OURS in r["overflow"] and other in r["overflow"] for r in of)

    def share(of: Callable[[Mapping[str, Any]], bool]) -> float | None:
        return sum(map(of, ours)) / len(ours) if ours else None

    def over_base(key: str, value: Callable[[Mapping[str, Any]], float | None]) -> list[tuple[str, float]]:
        """A figure of arm c over arm a's, by family, of the cases that have both."""
        found = [(r["family"], value(r), r[key].get(BASE)) for r in ours]
        return [(family, v / b) for family, v, b in found if v is not None and b]

    wire = over_base("wire_um", lambda r: r["wire_um"].get(OURS))
    second = over_base("place_s", lambda r: r.get("second_place_s"))
    whole = over_base(
        "place_s",
        lambda r: (
            None if None in (r["place_s"][OURS], r["predict_s"][OURS]) else r["place_s"][OURS] + r["predict_s"][OURS]
        ),
    )
    slack = [
        (r["family"], (SPARE_TNS_NS - r["tns_ns"][OURS]) / (SPARE_TNS_NS - r["tns_ns"][BASE]))
        for r in ours
        if OURS in r["tns_ns"] and BASE in r["tns_ns"]
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
    """The results as Markdown: overflow by case and arm, means, marks."""
    arms = [arm for arm in ARMS if arm in results["arms"]]
    head = ["case", "usage", *arms, "plan", "wire", "time"]
    lines = [_line(head), _line(["---", *["---:"] * (len(arms) + 1), "---", "---:", "---:"])]
    for row in (r for r in results["cases"] if r["is_case"]):
        overflow = [f"{row['overflow'][arm]:,.0f}" if arm in row["overflow"] else "-" for arm in arms]
        lines.append(_line([row["name"], f"{row['usage']:.2f}", *overflow, *_about_ours(row)]))
    lines += ["", _line(["mean of ratios", "cases", *[f"{arm}/a" for arm in arms if arm != BASE]])]
    lines.append(_line(["---", *["---:"] * len(arms)]))
    for group, mean in results["means"].items():
        values = [mean.get(f"{arm}/a") for arm in arms if arm != BASE]
        lines.append(_line([group, str(mean["cases"]), *["-" if v is None else f"{v:.2f}" for v in values]]))
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
