"""What the closed loop is judged by: the same design, placed legally, routed by a process that knows its DEF alone."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from circuit_io import labels as label_files
from circuit_io.def_ import DefDesign, read_def
from circuit_io.design import read_design
from circuit_io.errors import InputError, listed
from circuit_io.pin_places import net_hpwl_um
from circuit_io.text import read_bytes
from flow_hooks.loop.cases import Case, read_table, usage_figures

FIXED = 2  # from this status of an inst on, the placer leaves it alone


@dataclass(frozen=True)
class Verdict:
    """What the judge found.

    Attributes:
        figures: overflow, overflowed_gcells, usage, wire_um, hpwl_um, and wns_ns, tns_ns where there are constraints.
        timing_fault: why there is no timing, though there are constraints.
        route_s: processor seconds of the router, where the system tells.
    """

    figures: dict[str, float]
    timing_fault: str
    route_s: float | None

    def to_json(self) -> dict[str, Any]:
        """As it is recorded."""
        return {**self.figures, "timing_fault": self.timing_fault, "route_s": self.route_s}


def check_same_design(before: Path, after: Path, *, pins_moved: bool = False) -> None:
    """Refuse a placement that is of another die or netlist than the floorplan it began with, or that moved its pins.

    Args:
        before: DEF of the floorplan.
        after: DEF of the placement.
        pins_moved: the plan says that it moved the pins.

    Raises:
        InputError: names what differs.
    """
    a, b = read_def(before), read_def(after)
    for what, of in _PARTS.items():
        if what == "places of pins" and pins_moved:
            continue
        left, right = of(a), of(b)
        if left == right:
            continue
        changed = sorted(key for key in {*left, *right} if left.get(key) != right.get(key))
        shown = listed([f'"{key}"' for key in changed[:3]], len(changed))
        raise InputError(
            f"the {what} differ from those of the floorplan ({len(changed)}: {shown})", path=after,
            mend="The judge takes only placements of the design that the loop began with.",
        )  # fmt: skip


def _insts(d: DefDesign) -> dict[str, object]:
    masters = d.master_names.tolist()
    return {n: masters[m] for n, m in zip(d.inst_names.tolist(), d.inst_master.tolist(), strict=True)}


def _fixed(d: DefDesign) -> dict[str, object]:
    names = d.inst_names.tolist()
    rows = zip(d.inst_status.tolist(), d.inst_xy_dbu.tolist(), d.inst_orient.tolist(), strict=True)
    return {names[i]: (xy, orient) for i, (status, xy, orient) in enumerate(rows) if status >= FIXED}


def _nets(d: DefDesign) -> dict[str, object]:
    insts, pins = [*d.inst_names.tolist(), ""], d.pin_names.tolist()  # a port is of inst -1
    ends = list(zip(d.conn_inst.tolist(), d.conn_pin.tolist(), strict=True))
    ptr = d.net_ptr.tolist()
    return {
        name: sorted((insts[i], pins[p]) for i, p in ends[ptr[n] : ptr[n + 1]])
        for n, name in enumerate(d.net_names.tolist())
    }


def _pins(d: DefDesign) -> dict[str, object]:
    nets, specials = d.net_names.tolist(), d.special_names.tolist()
    rows = zip(d.bterm_names.tolist(), d.bterm_net.tolist(), d.bterm_direction.tolist(), strict=True)
    return {
        name: ((nets[n] if n >= 0 else specials[-1 - n] if -1 - n < len(specials) else ""), way)
        for name, n, way in rows
    }


def _pin_places(d: DefDesign) -> dict[str, object]:
    names, layers = d.bterm_names.tolist(), d.layer_names.tolist()
    shapes: dict[str, list[object]] = {name: [] for name in names}
    rows = zip(d.bterm_shape_bterm.tolist(), d.bterm_shape_layer.tolist(), d.bterm_shape_rect_dbu.tolist(), strict=True)
    for pin, layer, rect in rows:
        shapes[names[pin]].append((layers[layer], rect))
    return {name: sorted(found, key=str) for name, found in shapes.items()}


def _power(d: DefDesign) -> dict[str, object]:
    layers = d.layer_names.tolist()
    rows = zip(d.swire_layer.tolist(), d.swire_rect_dbu.tolist(), strict=True)
    return {f"{layers[layer]} {rect}": True for layer, rect in rows}


_PARTS: dict[str, Callable[[DefDesign], dict[str, object]]] = {
    "design": lambda d: {"name": d.design, "units": d.dbu_per_um},
    "die": lambda d: {"corners": d.die_points_dbu.tolist()},
    "rows": lambda d: {
        f"{xy}": (orient, count, step)
        for xy, orient, count, step in zip(
            d.row_xy_dbu.tolist(), d.row_orient.tolist(), d.row_count.tolist(), d.row_step_dbu.tolist(), strict=True
        )
    },
    "tracks": lambda d: {
        f"{d.layer_names[layer]} {axis}": (start, count, step)
        for layer, axis, start, count, step in zip(
            d.track_layer.tolist(), d.track_axis.tolist(), d.track_start.tolist(), d.track_count.tolist(),
            d.track_step.tolist(), strict=True,
        )
    },
    "insts": _insts,
    "fixed insts": _fixed,
    "nets": _nets,
    "pins": _pins,
    "places of pins": _pin_places,
    "power grid": _power,
}  # fmt: skip


def verdict_of(case: Case, labels: Path, placed: Path, facts: dict[str, str]) -> Verdict:
    """The figures of a judged placement.

    Args:
        case: what was placed.
        labels: the tables that the judge wrote.
        placed: the DEF it read.
        facts: what else it told: processor seconds by step, and why there is no timing.
    """
    figures = usage_figures(read_table(labels))
    figures["wire_um"] = _wire_um(label_files.find(labels, "wire_length.csv"))
    figures["hpwl_um"] = float(net_hpwl_um(read_design([Path(p) for p in case.lef], placed)).sum())
    fault = facts.get("timing_fault", "")
    if case.sdc and not fault:
        if label_files.has(labels, "endpoints_grt.csv"):
            figures |= _timing(label_files.find(labels, "endpoints_grt.csv"))
        else:
            fault = "openroad told of no endpoint"
    return Verdict(figures, fault, float(facts["global_route"]) if "global_route" in facts else None)


def _wire_um(path: Path) -> float:
    rows = (line.split() for line in read_bytes(path).splitlines())
    return sum(float(words[2]) for words in rows if len(words) >= 4 and words[0] == b"grt:")


def _timing(path: Path) -> dict[str, float]:
    """Worst and total negative slack over the endpoints."""
    text = read_bytes(path).decode("utf-8", "replace")
    slack = np.asarray([float(row["slack_ns"]) for row in csv.DictReader(io.StringIO(text))])
    if not len(slack):
        return {}
    return {"wns_ns": float(min(0.0, slack.min())), "tns_ns": float(np.minimum(slack, 0.0).sum())}
