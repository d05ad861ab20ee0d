"""Where the pins of a whole library are reached, before any design is routed: what `gsr access-points` does."""

import os
import re
import shlex
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from circuit_io.access_points import read_access_points
from circuit_io.atomic import refuse_existing, write_files, write_whole
from circuit_io.cores import num_cores
from circuit_io.errors import InputError, ToolError
from circuit_io.lef import read_lef
from circuit_io.text import read_bytes
from flow_hooks import TCL
from flow_hooks.openroad.binary import ACCESS_POINTS, probe_openroad
from flow_hooks.openroad.library_design import ORIENTS, LibraryDesign, library_design
from flow_hooks.openroad.script import job_tsv, plain_copy, run_script, what_it_said

_LOG = "openroad.log"
_NO_ACCESS = re.compile(r"^\[ERROR DRT-0073\] No access point for \S+/(\S+) \((\S+)\)\.", re.MULTILINE)


@dataclass(frozen=True)
class LibraryAccess:
    """What became of a library.

    Attributes:
        path: the table.
        openroad: what the binary says of itself.
        num_masters: masters in the table.
        num_pins: lines of the table: pins of a master in an orientation.
        num_differing: those that insts at other offsets to the tracks have elsewhere.
        without: the other CORE masters with signal pins, and why they are not there.
        seconds: what it took.
    """

    path: Path
    openroad: str
    num_masters: int
    num_pins: int
    num_differing: int
    without: dict[str, str]
    seconds: float

    def text(self) -> str:
        """A line of counts, and one for each master without."""
        counts = f"{self.num_pins} pins of {self.num_masters} masters in {len(ORIENTS)} orientations"
        lines = [f"without access points: {name}: {why}" for name, why in sorted(self.without.items())]
        return "\n".join([*lines, f"{self.path}: {counts}; {self.num_differing} depend on the place"])


def library_access_points(
    lef: Sequence[Path],
    out: Path,
    *,
    openroad: Path,
    signal_layers: tuple[str, str],
    site: str = "",
    tracks: Path | None = None,
    pin_access_args: str = "",
    threads: int | None = None,
    overwrite: bool = False,
) -> LibraryAccess:
    """Let `pin_access` find the access points of all CORE masters, and write them as `gsr_access_points` does.

    Args:
        lef: LEF files, the technology first.
        out: the table to write.
        openroad: a binary with the detailed router.
        signal_layers: lowest and highest layer of the signals.
        site: of the rows; else the one that most masters name.
        tracks: Tcl that makes the tracks; else `make_tracks` does.
        pin_access_args: more words for `pin_access`.
        threads: of `pin_access`; else as many as there are cores.
        overwrite: replace a table that is there.

    Raises:
        InputError: a bad LEF, no masters, no site, an openroad without `pin_access`, an output that exists or cannot be
            written, or no access point at all.
        ToolError: openroad failed; what it said is beside the output then.
    """
    began = time.perf_counter()
    refuse_existing([out], overwrite=overwrite)
    try:
        words = shlex.split(pin_access_args)
    except ValueError as e:
        raise InputError(f"{pin_access_args}: {e}", path="--pin-access-args", mend="Quote it as for a shell.") from e
    library = read_lef(*lef)
    library_design(library, path=str(lef[-1]), site=site)  # what is wrong with the LEF is told first
    tool = probe_openroad(openroad)
    if not tool.has[ACCESS_POINTS]:
        mend = "Name an openroad that was built with the detailed router."
        raise InputError("has no pin_access", path=tool.path, mend=mend)
    lost: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="gsr-access-") as scratch:
        folder = Path(scratch)
        rows = {
            "lef": [str(plain_copy(path.resolve(), folder / f"lef{i}")) for i, path in enumerate(lef)],
            "tracks": [str(tracks.resolve())] if tracks else [],
            "signal_layers": ["-".join(signal_layers)],
            "pin_access_args": words,
            "threads": [str(threads or num_cores())],
        }
        while True:  # pins without access end the process, so it goes on without their masters
            design = library_design(library, path=str(lef[-1]), site=site, without=lost)
            try:
                found = _run(str(tool.path.resolve()), design, rows, folder)
            except ToolError as e:
                kept = out.with_name(f"{out.name}.log")
                write_whole(kept, read_bytes(folder / _LOG))
                raise ToolError(f"{e}\n  All it said: {kept}") from e
            if isinstance(found, int):
                break
            lost |= found
            if not design.pins.keys() - lost.keys():
                mend = "Give tracks and layers as the flow has them: --tracks, --signal-layers."
                raise InputError("pin_access finds no access point for any macro", path=lef[-1], mend=mend)
        points = read_access_points(folder / "points.csv").points
        missing = {}
        for master, pins in design.pins.items():
            lacks = [f"{pin} ({orient})" for pin in pins for orient in ORIENTS if (master, orient, pin) not in points]
            if lacks:
                missing[master] = f"no access point for {', '.join(lacks)}"
        write_files({out: read_bytes(folder / "points.csv")}, overwrite=overwrite)
    return LibraryAccess(
        path=out, openroad=tool.version, num_masters=len({master for master, _, _ in points}), num_pins=len(points),
        num_differing=found, without=design.skipped | lost | missing, seconds=round(time.perf_counter() - began, 1),
    )  # fmt: skip


def _run(openroad: str, design: LibraryDesign, rows: dict[str, list[str]], folder: Path) -> int | dict[str, str]:
    """How many pins differ; or the masters that ended the process, and why."""
    task, log, facts, def_ = (folder / name for name in ("job.tsv", _LOG, "facts.tsv", "library.def"))
    def_.write_text(design.text, "utf-8", "surrogateescape")
    mine = {"def": def_, "points": folder / "points.csv", "facts": facts, "num_insts": design.num_insts}
    task.write_text(job_tsv(rows | {key: [str(v)] for key, v in mine.items()}), "utf-8", "surrogateescape")
    blank = {name: "" for name in os.environ if name.startswith("GSR_")}  # a flow's own would steer ours
    try:
        run_script(openroad, TCL / "gsr_library_access.tcl", task, variable="GSR_ACCESS_JOB", log=log, env=blank)
    except ToolError:
        lost = dict[str, set[str]]()  # the log names every pin without access before the process ends
        for pin, master in _NO_ACCESS.findall(log.read_text("utf-8", "replace")):
            lost.setdefault(master, set()).add(pin)
        if not lost.keys() & design.pins.keys():
            raise
        return {master: f"no access point for {', '.join(sorted(pins))}" for master, pins in lost.items()}
    if not facts.is_file():
        raise ToolError(f"openroad ended before the script did: {what_it_said(log)}")
    told = dict(line.split("\t", 1) for line in facts.read_text("utf-8").splitlines())
    return int(told["differing"])
