"""A case of the closed loop made of a kit design, and a pretended openroad that places and judges, or fails."""

import csv
import gzip
import io
import json
import random
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from tcl_session import HERE, find_tclsh
from test_doctor import fake_openroad

from flow_hooks.feedback.config import FeedbackConfig
from flow_hooks.loop.cases import find_cases
from flow_hooks.loop.runner import LoopPlan, probe_binary

ROUTE = (sys.executable, "-m", "gsr_plugin", "route", "--runs", "1")  # predicts without a model
ONLY_BLOCKAGES = FeedbackConfig(  # whatever the planner's rules are
    blockages="always", uniform_density="never", gentle="never", place_pins="never", unplace="never"
)
_PLACED = re.compile(r"\+ PLACED \( (\d+ \d+) \) (\w+) ;")


@dataclass(frozen=True)
class Standin:
    """A folder with a labelled case, the openroad that goes with it, and its file of what was run."""

    data: Path
    openroad: Path
    told: Path

    def plan(self, *, arms: str = "abgcdetpq", rounds: int = 2, patterns: tuple[str, ...] = ()) -> LoopPlan:
        """A plan that predicts with the embedded router."""
        cases, _ = find_cases([self.data / "labels"], patterns=patterns)
        binary, version = probe_binary(self.openroad)
        return LoopPlan(
            cases=cases,
            arms=tuple(arms),
            binary=binary,
            version=version,
            rounds=rounds,
            config=ONLY_BLOCKAGES,
            predict={case.name: ROUTE for case in cases},
            weights={case.name: {"name": "router", "sha256": "0"} for case in cases},
            step_s=60,
        )

    def runs(self) -> list[str]:
        """Scripts that were run, in order."""
        return self.told.read_text().split() if self.told.is_file() else []


def make_standin(folder: Path, kit: Path, *, cases: tuple[str, ...] = ("v0",)) -> Standin:
    """Its layout is crc_bank's with insts shuffled, so that it overflows; steered, the placer unshuffles them."""
    source = kit / "labels" / "gsr45" / "crc_bank" / "v0"
    good = gzip.decompress((source / "placed.def.gz").read_bytes()).decode()
    bad = shuffled(good)
    files = folder / "files"
    files.mkdir(parents=True)
    (files / "good.def").write_text(good)
    (files / "bad.def").write_text(bad)
    usage = _crowded(gzip.decompress((source / "gcell_usage.csv.gz").read_bytes()).decode())
    (files / "usage.csv").write_text(usage)
    done = json.loads((source / "done.json").read_text()) | {"layer_adjustment": 0.4}
    data = folder / "data"
    for name in cases:
        labels = data / "labels" / "gsr45" / "crc_bank" / name
        labels.mkdir(parents=True)
        (labels / "placed.def").write_text(bad)
        (labels / "gcell_usage.csv").write_text(usage)
        (labels / "gcell_grid.csv").write_bytes((source / "gcell_grid.csv").read_bytes())
        (labels / "done.json").write_text(json.dumps(done | {"variant": name}))
    (data / "tech").symlink_to(kit / "tech")
    die = re.search(r"DIEAREA \( (\d+ \d+) \) \( (\d+ \d+) \)", good)
    assert die
    told = folder / "told"
    binary = fake_openroad(folder)
    answers = binary.read_text().replace("#!/bin/sh\n", "")
    values = {
        "LOOP_DIE": " ".join(die.groups()), "LOOP_GOOD": files / "good.def", "LOOP_BAD": files / "bad.def",
        "LOOP_USAGE": files / "usage.csv", "LOOP_GRID": source / "gcell_grid.csv", "LOOP_TOLD": told,
    }  # fmt: skip
    exports = "\n".join(f"  export {key}={shlex.quote(str(value))}" for key, value in values.items())
    binary.write_text(
        f'#!/bin/sh\nif [ -n "$GSR_LOOP_JOB" ]; then\n  for last; do :; done\n  export LOOP_SCRIPT="$last"\n{exports}\n'
        f'  echo "source {{{HERE / "tcl" / "openroad_loop.tcl"}}}; source {{$last}}" > all.tcl\n'
        f"  exec {find_tclsh()} all.tcl\nfi\n{answers}"
    )
    return Standin(data, binary, told)


def shuffled(text: str) -> str:
    """The DEF with the places of a third of its movable insts exchanged."""
    head, _, rest = text.partition("COMPONENTS")
    insts, _, tail = rest.partition("END COMPONENTS")
    places = _PLACED.findall(insts)
    chance = random.Random(3)
    some = chance.sample(range(len(places)), len(places) // 5)
    for at, place in zip(some, [places[i] for i in chance.sample(some, len(some))], strict=True):
        places[at] = place
    of = iter(places)
    moved = _PLACED.sub(lambda _: "+ PLACED ( {} ) {} ;".format(*next(of)), insts)
    return f"{head}COMPONENTS{moved}END COMPONENTS{tail}"


def _crowded(text: str) -> str:
    """The table with usage raised until some edges overflow."""
    rows = list(csv.reader(io.StringIO(text)))
    for row in rows[1:]:
        row[5] = str(min(255, round(1.8 * float(row[5]))))
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
