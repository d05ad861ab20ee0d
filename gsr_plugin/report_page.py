"""What the page's script reads: maps packed small, hot spots with what fills them, and the plan, as one JSON text."""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from circuit_io.drc import DrcCounts
from circuit_io.hotspots import HotSpot
from circuit_io.maps import FULL, VIOLATED, PlacedDesign, Prediction
from flow_hooks.feedback.file import Plan, blocked_share
from flow_hooks.feedback.record import Record
from gsr_plugin.colours import COLOURS, shared_limit
from gsr_plugin.document import visible
from gsr_plugin.report_contents import Contents
from gsr_plugin.report_truth import Recall, Routed, routed_maps

Map = Float[np.ndarray, "ny nx"]
NO_VALUE = 0xFFFF
STEPS = {"capacity": 0.01}  # of the packed values; the others are shares of the tracks
SHARE_STEP = 0.0005


def pack(values: Map, *, step: float) -> dict[str, Any]:
    """A map as steps of `step` (larger where 16 bits do not reach): row by row the differences modulo 2^16.

    Low and high bytes lie apart, then comes zlib, then base64. 65535 stands for no value.
    """
    seen = np.isfinite(values)
    top = float(values[seen].max(initial=0.0))
    step = max(step, top / (NO_VALUE - 1))
    steps = np.where(seen, np.rint(np.where(seen, values, 0) / step), NO_VALUE).astype(np.int64)
    change = (np.diff(steps, axis=1, prepend=0) & 0xFFFF).astype("<u2").view(np.uint8)
    planes = change.reshape(-1, 2).T.tobytes()
    return {"step": step, "data": base64.b64encode(zlib.compress(planes, 6)).decode()}


def page_data(
    prediction: Prediction,
    design: PlacedDesign | None,
    spots: Sequence[HotSpot],
    contents: Sequence[Contents],
    *,
    plan: Plan | None,
    record: Record | None,
    truth: Routed | None,
    recalls: Sequence[Recall | None],
    drc: DrcCounts | None = None,
) -> str:
    """Everything that the page's script shows, as JSON that may stand inside a `script` element."""
    maps = _maps(prediction, truth)
    congestion = [values for name, values in maps.items() if name.startswith(("congestion", "truth"))]
    packed = {name: pack(m, step=STEPS.get(name[:-2], SHARE_STEP)) for name, m in maps.items()}
    if plan and plan.of("density_blockage"):
        packed["plan"] = pack(blocked_share(plan, prediction.x_um, prediction.y_um), step=SHARE_STEP)
    if drc is not None and len(drc.count):
        ny, nx = prediction.shape
        packed["drc"] = pack(drc.total(ny=ny, nx=nx).astype(np.float64), step=1.0)
    rows = _Rows(prediction, design)
    data = {
        "design": visible(prediction.design),
        "x_um": [round(v, 4) for v in prediction.x_um.tolist()],
        "y_um": [round(v, 4) for v in prediction.y_um.tolist()],
        "full": FULL,
        "limit": shared_limit(congestion),
        "colours": COLOURS,
        "maps": packed,
        "modules": rows.modules,
        "spots": [
            _spot(spot, inside, recall, rows, truth)
            for spot, inside, recall in zip(spots, contents, recalls, strict=True)
        ],
        "actions": _actions(plan, record),
        "hasPlan": plan is not None,
        "hasRecord": record is not None,
    }
    return script_json(data)


def script_json(data: dict[str, Any]) -> str:
    """JSON in ASCII without a sign that could end a `script` element."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _maps(prediction: Prediction, truth: Routed | None) -> dict[str, Map]:
    kinds = ("congestion", "sigma", "rudy", "capacity")
    maps = {f"{k}_{d}": prediction.maps[f"{k}_{d}"] for k in kinds for d in "hv" if f"{k}_{d}" in prediction.maps}
    if VIOLATED in prediction.maps:
        maps[VIOLATED] = prediction.maps[VIOLATED]
    if truth is not None:
        maps |= {f"truth_{d}": values for d, values in routed_maps(truth).items()}
    return maps


class _Rows:
    """Names and facts of nets, insts and modules as the page shows them."""

    def __init__(self, prediction: Prediction, design: PlacedDesign | None) -> None:
        self.design, self.congestion = design, prediction.inst_congestion
        self.modules: list[list[Any]] = []
        self._module_at: dict[int, int] = {}
        self._facts = design.modules if design is not None else None

    def module(self, table: str, row: int) -> int:
        """Where the module instance of an inst or net stands in `modules`, -1 when none is known."""
        source = getattr(self.design, table)
        if self._facts is None or "module" not in source.column_names:
            return -1
        at = int(source["module"][row].as_py())
        if at < 0:
            return -1
        if at not in self._module_at:
            fact = self._facts.slice(at, 1).to_pylist()[0]
            file = str(fact["file"]).rpartition("/")[2]
            place = f"{file}:{fact['line']}" if file else ""
            self._module_at[at] = len(self.modules)
            self.modules.append([visible(str(v)) for v in (fact["path"], fact["module"], place)])
        return self._module_at[at]

    def net(self, net_id: int) -> list[Any]:
        """Name, pins, half perimeter, box in gcells, module of the driver."""
        assert self.design is not None
        nets = self.design.nets
        has = set(nets.column_names)
        pins = int(nets["degree"][net_id].as_py()) if "degree" in has else None
        length = nets["hpwl_um"][net_id].as_py() if "hpwl_um" in has else None
        box = self.design.graph.net_box[net_id].tolist()
        return [visible(str(nets["name"][net_id].as_py())), pins, _short(length), box, self.module("nets", net_id)]

    def inst(self, inst_id: int) -> list[Any]:
        """Name, master, congestion, module."""
        assert self.design is not None
        insts = self.design.insts
        master = str(insts["master"][inst_id].as_py()) if "master" in insts.column_names else ""
        value = _short(float(self.congestion[inst_id])) if len(self.congestion) else None
        return [visible(str(insts["name"][inst_id].as_py())), visible(master), value, self.module("insts", inst_id)]


def _spot(spot: HotSpot, inside: Contents, recall: Recall | None, rows: _Rows, truth: Routed | None) -> dict[str, Any]:
    x0, y0, x1, y1 = spot.edges
    found = None
    if truth is not None:
        routed = routed_maps(truth)[spot.direction][y0 : y1 + 1, x0 : x1 + 1]
        routed = routed[np.isfinite(routed)]
        found = [_short(float(routed.max())), int((routed > FULL).sum()), len(routed)] if len(routed) else None
    return {
        "rank": spot.rank,
        "d": spot.direction,
        "edges": list(spot.edges),
        "box": [_short(v) for v in spot.box_um],
        "peak": _short(spot.peak),
        "mean": _short(spot.mean),
        "level": _short(spot.level),
        "overflow": _short(spot.overflow_tracks),
        "demand": [_short(spot.peak_demand), _short(spot.peak_capacity)],
        "count": spot.num_edges,
        "area": _short(spot.area_um2),
        "isHot": spot.is_hot,
        "router": found,
        "recall": [recall.hits, recall.of] if recall else None,
        "nets": [[*rows.net(n.net_id), _short(n.wire_um), _short(n.share_frac)] for n in inside.nets],
        "numNets": inside.num_nets,
        "insts": [
            [*rows.inst(i.inst_id), i.pins, _short(i.area_um2), *map(_short, i.middle_um)] for i in inside.insts
        ],
        "numInsts": inside.num_insts,
        "instArea": _short(inside.inst_area_um2),
        "modules": [
            [visible(m.name), visible(m.source), len(m.paths), visible(m.paths[0]) if m.paths else "",
             *map(_short, (m.area_frac, m.area_feeds_frac, m.demand_frac, m.demand_feeds_frac))]
            for m in inside.modules
        ],
        "actions": list(inside.actions),
    }  # fmt: skip


def _actions(plan: Plan | None, record: Record | None) -> list[list[Any]]:
    out = []
    for i, a in enumerate(plan.actions if plan else ()):
        state = [record.states[i], visible(record.reasons[i])] if record else ["", ""]
        box = [_short(v) for v in a.box_um] if a.box_um else None
        out.append([a.action, visible(a.value), box, visible(a.target), visible(a.layer), _short(a.score), *state])
    return out


def _short(value: float | None) -> float | None:
    """Six digits are more than is shown."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")
