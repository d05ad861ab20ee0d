"""The plan and its two files: feedback.tsv, which Tcl carries out, and feedback.json, which says why.

The first line of feedback.tsv is `#gsr-feedback 1 design=.. die_um=x1,y1,x2,y2 grid=nx,ny def_sha256=.. run_id=..
rows=n verdict=.. advice=..`; the second names the columns; then comes one action a line. Text is percent-encoded
(`flow_hooks.tsv`), an unused field is empty. Boxes lie on gcell edges; lengths are um.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from circuit_io.atomic import write_files
from circuit_io.errors import Faults, InputError, did_you_mean
from circuit_io.manifest import to_json
from circuit_io.text import read_bytes
from flow_hooks.feedback.actions import ACTIONS, Action
from flow_hooks.tsv import decode, encode, number

MAGIC, VERSION = "#gsr-feedback", 1
SCHEMA = "gsr-feedback"
COLUMNS = ("action", "target", "x1", "y1", "x2", "y2", "layer", "value", "score")
HEADER_KEYS = ("design", "die_um", "grid", "def_sha256", "run_id")


@dataclass(frozen=True)
class Plan:
    """What to do about a predicted congestion, and why.

    Attributes:
        verdict: one sentence: what is planned, or why nothing is.
        advice: what the user can do besides.
        trouble: "none", "local", "everywhere" or "hopeless" (docs/prediction.md).
        load: all predicted demand over all tracks.
        free_area_um2: core less fixed and movable area and what the placer adds for pin density.
        budget_um2: area that the plan may take of it; `used_um2` is what it takes.
        notes: everything a reader should know: what was cut, left out or uncertain.
    """

    design: str
    die_um: tuple[float, float, float, float]
    grid: tuple[int, int]
    def_sha256: str
    run_id: str
    actions: tuple[Action, ...] = ()
    verdict: str = ""
    advice: tuple[str, ...] = ()
    trouble: str = ""
    load: float = math.nan
    free_area_um2: float = math.nan
    budget_um2: float = math.nan
    used_um2: float = 0.0
    notes: tuple[str, ...] = ()

    def of(self, action: str) -> list[Action]:
        """The actions of one kind."""
        return [a for a in self.actions if a.action == action]


def blocked_share(
    plan: Plan, x_um: Float64[np.ndarray, " nx_plus_1"], y_um: Float64[np.ndarray, " ny_plus_1"]
) -> Float64[np.ndarray, "ny nx"]:
    """Share of each gcell that the plan's density blockages keep free, 0..1."""
    share = np.zeros((len(y_um) - 1, len(x_um) - 1))
    for action in plan.of("density_blockage"):
        if action.box_um is not None:
            x1, y1, x2, y2 = action.box_um
            ix = np.searchsorted(x_um, [x1 + 1e-6, x2 - 1e-6]) - 1
            iy = np.searchsorted(y_um, [y1 + 1e-6, y2 - 1e-6]) - 1
            share[iy[0] : iy[1] + 1, ix[0] : ix[1] + 1] = 1 - float(action.value) / 100
    return share


def feedback_tsv(plan: Plan) -> str:
    """The plan as the text of feedback.tsv."""
    values = (
        encode(plan.design),
        ",".join(map(number, plan.die_um)),
        f"{plan.grid[0]},{plan.grid[1]}",
        encode(plan.def_sha256),
        encode(plan.run_id),
    )
    pairs = (f"{key}={value}" for key, value in zip(HEADER_KEYS, values, strict=True))
    said = f"verdict={encode(plan.verdict)} advice={encode(chr(10).join(plan.advice))}"
    lines = [f"{MAGIC} {VERSION} {' '.join(pairs)} rows={len(plan.actions)} {said}", "\t".join(COLUMNS)]
    for a in plan.actions:
        box = map(number, a.box_um) if a.box_um else ("",) * 4
        lines.append("\t".join([a.action, encode(a.target), *box, encode(a.layer), a.value, number(a.score)]))
    return "\n".join(lines) + "\n"


def write_feedback(path: Path | str, plan: Plan, *, overwrite: bool = False) -> None:
    """Write feedback.tsv at `path`, and beside it the whole plan as .json.

    Raises:
        InputError: a file exists and `overwrite` is not set, or cannot be written.
    """
    path = Path(path)
    content = {**asdict(plan), "schema": SCHEMA, "schema_version": VERSION}
    content = {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in content.items()}
    write_files({path: feedback_tsv(plan), _json_path(path): to_json(content)}, overwrite=overwrite)


def read_feedback(path: Path | str) -> Plan:
    """The plan of a feedback.tsv; trouble, notes and areas come from the .json beside it, if it is there.

    Raises:
        InputError: names each line that is wrong.
    """
    path = Path(path)
    text = read_bytes(path).decode("utf-8", "surrogateescape")
    first, second, *rows = [*text.split("\n"), "", ""]
    plan, num_rows = _read_header(path, first)
    rows = [row for row in rows if row]
    if tuple(second.split("\t")) != COLUMNS:
        raise InputError(f"columns {', '.join(COLUMNS)} expected", path=path, line=2, mend="Plan again.")
    faults = Faults(path)
    actions = []
    for line, row in enumerate(rows, 3):
        try:
            actions.append(_read_row(row, plan.die_um))
        except InputError as e:
            faults.add(e.what, line=line, mend=e.mend)
    faults.raise_if_any()
    if num_rows not in (-1, len(rows)):
        raise InputError(f"{len(rows)} actions found, the first line says {num_rows}", path=path, mend="Plan again.")
    return Plan(**{**plan.__dict__, **_read_json(_json_path(path), plan.run_id), "actions": tuple(actions)})


def _json_path(path: Path) -> Path:
    return path.with_suffix(".json") if path.suffix != ".json" else path.with_suffix(".why.json")


def _read_header(path: Path, line: str) -> tuple[Plan, int]:
    """What the first line says, and its number of rows (-1 when it does not say)."""
    magic, _, rest = line.partition(" ")
    version, _, rest = rest.partition(" ")
    if magic != MAGIC:
        raise InputError(f'"{MAGIC} {VERSION} ..." expected', path=path, line=1, mend="gsr feedback writes it.")
    if not version.isdecimal() or int(version) < 1 or int(version) > VERSION:
        mend = "Update gsr-plugin."
        raise InputError(f"version {version} found, newest known is {VERSION}", path=path, line=1, mend=mend)
    values = dict(pair.partition("=")[::2] for pair in rest.split(" ") if pair)
    try:
        x1, y1, x2, y2 = (_finite(v) for v in values["die_um"].split(","))
        nx, ny = (int(v) for v in values["grid"].split(","))
        if not (x1 < x2 and y1 < y2 and nx > 0 and ny > 0):
            raise ValueError("an empty die or grid")
        num_rows = int(values.get("rows", -1))
        design, def_sha256, run_id = (decode(values[key]) for key in ("design", "def_sha256", "run_id"))
        verdict, advice = (decode(values.get(key, "")) for key in ("verdict", "advice"))
    except (KeyError, ValueError, InputError) as e:
        raise InputError(f"the first line is incomplete or wrong: {e}", path=path, line=1, mend="Plan again.") from e
    said = tuple(line for line in advice.split("\n") if line)
    plan = Plan(design, (x1, y1, x2, y2), (nx, ny), def_sha256, run_id, verdict=verdict, advice=said)
    return plan, num_rows


def _read_row(row: str, die_um: tuple[float, float, float, float]) -> Action:
    fields = row.split("\t")
    if len(fields) != len(COLUMNS):
        raise InputError(f"{len(fields)} fields found, {len(COLUMNS)} expected")
    name, target, *corners, layer, value, score = fields
    kind = ACTIONS.get(name)
    if kind is None:
        raise InputError(f'unknown action "{name}"', mend=did_you_mean(name, ACTIONS))
    try:
        box = tuple(_finite(v) for v in corners) if kind.has_box else None
        is_valid = kind.is_valid(value)
        worth = _finite(score)
    except ValueError as e:
        raise InputError(f"{name}: {e}") from e
    if not is_valid:
        raise InputError(f'{name}: value "{value}" is out of range', mend=f"{name}: {kind.meaning}.")
    if box and not (die_um[0] <= box[0] < box[2] <= die_um[2] and die_um[1] <= box[1] < box[3] <= die_um[3]):
        raise InputError(f"{name}: box {', '.join(corners)} is empty or outside the die")
    for has, text, what in ((kind.has_target, target, "target"), (kind.has_layer, layer, "layer")):
        if has and not text:
            raise InputError(f"{name}: {what} is empty")
    corners_um = (box[0], box[1], box[2], box[3]) if box else None
    return Action(name, value, worth, decode(target), corners_um, decode(layer))


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not finite")
    return value


def _read_json(path: Path, run_id: str) -> dict[str, object]:
    """What the .json beside a plan adds; nothing when it is absent or belongs to another run."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(read_bytes(path))
        if content["schema"] != SCHEMA or content["run_id"] != run_id:
            return {}
        floats = {key: content[key] for key in ("load", "free_area_um2", "budget_um2", "used_um2")}
        return {
            **{key: math.nan if value is None else float(value) for key, value in floats.items()},
            "trouble": str(content["trouble"]),
            "notes": tuple(map(str, content["notes"])),
        }
    except (ValueError, KeyError, TypeError) as e:
        raise InputError(f"is no plan: {e!r}", path=path, mend="Plan again with --overwrite.") from e
