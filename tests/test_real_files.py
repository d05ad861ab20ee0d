"""Every DEF, LEF, Verilog, Liberty, SPEF and SDC file of the real designs, by value beside another tool."""

import re
from collections import Counter
from pathlib import Path

import corpus
import pytest

COUNTS = {"def": 67, "lef": 17, "verilog": 38, "liberty": 13, "spef": 16, "sdc": 54}  # 204, and sky130hd's .tlef
OTHER = re.compile(r"\.(csv|md|toml|guide(\.gz)?)$|(^|/)(\w+_)?LICENSE\w*(\.0)?$")
REFUSED = {  # file: why; at most three
    "designs/sky130hd/ariane136/macros.v": r':26: "~NotWMaskIn" is an expression',
}
ROOMS = ("designs", "pdk")  # the labels below the other folders are this project's own, made from these


def files_of(data: Path) -> list[corpus.Found]:
    """The files of `ROOMS`, their paths from `data`."""
    return [
        corpus.Found(f.kind, f"{room}/{f.path}", f.digest) for room in ROOMS for f in corpus.find_files(data / room)
    ]


def test_every_real_file_has_a_reader_and_another_tool(gsr_data: Path) -> None:
    found = files_of(gsr_data)
    assert Counter(f.kind for f in found) == COUNTS
    assert sum(COUNTS.values()) == 205
    for kind in COUNTS:
        assert callable(corpus.attribute(corpus.READERS[kind]))
        assert callable(corpus.attribute(corpus.PEERS[kind]))
    everything = {str(p.relative_to(gsr_data)) for room in ROOMS for p in (gsr_data / room).rglob("*") if p.is_file()}
    assert [name for name in everything - {f.path for f in found} if not OTHER.search(name)] == []
    assert REFUSED.keys() <= {f.path for f in found}
    assert len(REFUSED) <= 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("kind", COUNTS)
def test_every_real_file_equals_another_tool(gsr_data: Path, kind: str) -> None:
    rows = list(corpus.sweep([f for f in files_of(gsr_data) if f.kind == kind], gsr_data, seconds=1200))
    assert len(rows) == COUNTS[kind]
    for row in [r for r in rows if r.path in REFUSED]:
        assert row.state == "refused"
        assert re.search(REFUSED[row.path], row.reason)
    assert {r.path: (r.state, r.reason) for r in rows if r.path not in REFUSED and r.state != "equal"} == {}
