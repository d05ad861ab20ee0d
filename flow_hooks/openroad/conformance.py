"""Every claim about OpenROAD that we rely on, tried on a binary and a design of the kit: what `gsr conformance` does.

A claim is a few lines of Tcl (tcl/conformance/*.tcl) that return what they saw. Each runs in an openroad of its own, so
that an error, a crash or a hang costs that claim alone; files that one leaves for later ones lie in the run's folder.
"""

import os
import platform
import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from circuit_io.drc_risk import DrcRisk
from circuit_io.errors import InputError, ToolError, did_you_mean
from circuit_io.hotspots import HotSpot
from flow_hooks import TCL
from flow_hooks.annotations.markers import markers_json, markers_tr
from flow_hooks.openroad.binary import CAPABILITIES, FLAGS, OpenRoad, probe_openroad, run_bounded
from flow_hooks.version import own_version

FOLDER = TCL / "conformance"
PASS, FAIL, ABSENT = "pass", "fail", "absent"
TIMEOUT_S = 600.0
_CLAIM = re.compile(r'^claim (\w+) (?:\\\n +)?"((?:[^"\\]|\\.)*)" \{', re.MULTILINE)
_NUM_SEEN = 400  # characters of what a claim saw


@dataclass(frozen=True)
class Claim:
    """One claim: its name, what it says, and the Tcl file it stands in."""

    name: str
    text: str
    file: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a claim: `status` is pass, fail or absent (this build has not what it speaks of)."""

    name: str
    text: str
    status: str
    seen: str


@dataclass(frozen=True)
class Conformance:
    """The outcomes of a run, and what ran."""

    tool: OpenRoad
    outcomes: tuple[Outcome, ...]

    def count(self, status: str) -> int:
        """How many claims have a status."""
        return sum(o.status == status for o in self.outcomes)


def claims() -> list[Claim]:
    """All claims, in the order in which they are tried."""
    found = []
    for file in sorted(FOLDER.glob("[0-9]_*.tcl")):
        for name, text in _CLAIM.findall(file.read_text(encoding="utf-8")):
            found.append(Claim(name, re.sub(r"\\(.)", r"\1", text), file))
    return found


def conformance(
    openroad: Path, *, only: Sequence[str] = (), timeout_s: float = TIMEOUT_S, keep: Path | None = None
) -> Conformance:
    """Try the claims on a binary.

    Args:
        openroad: the binary.
        only: names of claims; else all. What a claim needs of earlier ones is tried first.
        timeout_s: what one claim may take.
        keep: a folder for all that the claims write; else it is removed at the end.

    Raises:
        ToolError: it is not there, or is no openroad.
        InputError: there is no such claim.
    """
    chosen = _chosen(only)
    tool = probe_openroad(openroad.absolute())
    found = [] if only else list(_capabilities(tool))
    with tempfile.TemporaryDirectory(prefix="gsr-conformance-") as scratch:
        folder = keep.absolute() if keep else Path(scratch)
        _write_prediction(folder / "prediction")
        found += [_try(claim, tool.path, folder, timeout_s) for claim in chosen]
    return Conformance(tool, tuple(found))


def _chosen(only: Sequence[str]) -> list[Claim]:
    known = claims()
    names = [c.name for c in known]
    for name in only:
        if name not in names:
            raise InputError(f'no claim "{name}"', path="--claim", mend=did_you_mean(name, names))
    makers = ("floorplan", "placement", "routing")  # what the others begin with
    return [c for c in known if not only or c.name in only or c.name in makers]


def _capabilities(tool: OpenRoad) -> Iterator[Outcome]:
    """The commands and options that the hooks look for before they use them."""
    for c in CAPABILITIES:
        what = " or ".join(c.commands) + (f" {c.option}" if c.option else "")
        status = PASS if tool.has[c.name] else FAIL if c.is_needed else ABSENT
        yield Outcome("has_" + re.sub(r"\W+", "_", c.name), c.name, status, what)


def _try(claim: Claim, openroad: Path, folder: Path, timeout_s: float) -> Outcome:
    result = folder / f"{claim.name}.result"
    result.unlink(missing_ok=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith("GSR_")} | {
        "OMP_WAIT_POLICY": "passive",
        "GSR_OPENROAD": str(openroad),
        "GSR_CLAIM": claim.name,
        "GSR_CLAIM_FILE": str(claim.file),
        "GSR_CLAIM_RESULT": str(result),
        "GSR_CLAIM_PREDICTION": str(folder / "prediction"),
        "GSR_CLAIM_PYTHON": sys.executable,
    }
    try:
        code, said = run_bounded([str(openroad), *FLAGS, str(FOLDER / "run.tcl")], folder, timeout_s, env)
    except ToolError as e:
        return Outcome(claim.name, claim.text, FAIL, _short(str(e)))
    (folder / f"{claim.name}.log").write_text(said, encoding="utf-8")
    if not result.is_file():
        why = f"killed by {_signal(-code)}" if code < 0 else f"ended with exit code {code} and no result"
        return Outcome(claim.name, claim.text, FAIL, _short(f"{why}: {_last_lines(said)}"))
    status, _, seen = result.read_text(encoding="utf-8", errors="replace").partition("\n")
    if status == FAIL:
        errors = re.findall(r"^\[ERROR .*$", said, re.MULTILINE)[-1:]
        seen = " | ".join([seen, *(e for e in errors if e not in seen)])
    if code != 0:
        status, seen = FAIL, f"exit code {code} after: {seen}"
    return Outcome(claim.name, claim.text, status, _short(seen))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_lines(text: str) -> str:
    return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-3:])


def _short(text: str) -> str:
    """One line, printable, not too long."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)
    return line if len(line) <= _NUM_SEEN else line[:_NUM_SEEN] + " ..."


def _write_prediction(folder: Path) -> None:
    """Two made-up hot spots and a place of likely violations, in the files that a prediction leaves for the flow."""
    folder.mkdir(parents=True, exist_ok=True)
    spots = [_spot(1, "h", (10.0, 20.0, 30.5, 40.0)), _spot(2, "v", (30.0, 20.0, 36.0, 40.0))]
    nets = [["clk", "valid"], ["clear"]]
    risks = [DrcRisk(box_um=(40.0, 20.0, 46.0, 26.0), gcells=4, expected=2.5, peak=0.75)]
    (folder / "markers.json").write_text(markers_json(spots, nets, risks), encoding="utf-8")
    (folder / "markers.rpt").write_text(markers_tr(spots, nets, risks), encoding="utf-8")
    (folder / "metrics.tsv").write_text("detailedplace__gsr__congestion_h__max\t1.25\n", encoding="utf-8")


def _spot(rank: int, direction: str, box_um: tuple[float, float, float, float]) -> HotSpot:
    return HotSpot(
        rank=rank, direction=direction, edges=(3, 6, 9, 12), box_um=box_um, peak=1.25, mean=1.1, level=0.95,
        excess_tracks=9.0, overflow_tracks=4.0, peak_demand=18.75, peak_capacity=15.0, num_edges=40, area_um2=360.0,
        is_hot=True,
    )  # fmt: skip


def report(found: Conformance) -> str:
    """The outcomes as a text to attach to a bug report."""
    tool, wide = found.tool, max(len(o.name) for o in found.outcomes)
    lines = [
        f"openroad  {tool.version} ({tool.path})",
        f"Tcl       {tool.tcl}",
        f"gsr       {own_version()}, Python {platform.python_version()}, {platform.platform()}",
        "",
    ]
    for o in found.outcomes:
        lines += [f"{o.status:<6}  {o.name:<{wide}}  {o.text}".rstrip(), f"{'':<8}{'':<{wide}}  = {o.seen}".rstrip()]
    counts = ", ".join(f"{found.count(status)} {status}" for status in (PASS, FAIL, ABSENT))
    return "\n".join([*lines, "", counts])
