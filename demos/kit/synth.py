#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Map the demo designs to gsr45 with Yosys: rtl/<design>.v to netlists/<design>.v.gz, flat, and netlists/stat.csv.

    python3 synth.py [DESIGN ...]        # default: all designs of designs.toml

Needs `yosys` on the PATH (or its path in the variable YOSYS); written for version 0.23.
"""

from __future__ import annotations

import collections
import csv
import gzip
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

KIT = Path(__file__).resolve().parent
LIBERTY = "tech/gsr45_typ.lib"
TRIM_ROUNDS = 8  # the adder trees here settle in six
ABC_CONSTRAINTS = "set_driving_cell G45_BUF_X2\nset_load 5\n"
SCRIPT = """
read_liberty -lib {liberty}
read_verilog rtl/{design}.v
# word level: flatten, keep multipliers and sums as one operation, registers instead of memories
synth -flatten -top {design} -run :fine
memory_map
opt -undriven -fine
# sums of products to carry-save adders, these to adder cells, as small as their constant inputs allow
maccmap
techmap -map synth_map.v t:$fa
techmap
opt -fast
{trim}
dfflegalize -cell $_DFF_P_ x -cell $_DFF_PN0_ x -cell $_DLATCH_P_ x
techmap -map synth_map.v t:$_DLATCH_P_
# gates and flops to the library
dfflibmap -liberty {liberty}
opt -fast
abc -liberty {liberty} -constr {constraints} -D {map_ps}
setundef -zero
hilomap -hicell G45_TIEHI Y -locell G45_TIELO Y
# a buffer behind every output port, and no assign statements
iopadmap -bits -outpad G45_BUF_X2 A:Y
splitnets
opt_clean -purge
check -assert
tee -o {report} stat -liberty {liberty}
write_verilog -noattr -noexpr -nohex -nodec {netlist}
"""


def run_yosys(design: str, map_ps: int, work: Path) -> str:
    """Synthesise one design and return the text of `stat -liberty`."""
    constraints, report, script = work / "abc.constr", work / f"{design}.stat", work / f"{design}.ys"
    raw = work / f"{design}.v"
    constraints.write_text(ABC_CONSTRAINTS)
    trim = "techmap -map synth_trim.v t:G45_FA_X1 t:G45_HA_X1\nsimplemap\nopt_expr\nopt_clean\n" * TRIM_ROUNDS
    fields = {"design": design, "liberty": LIBERTY, "constraints": constraints, "map_ps": map_ps, "trim": trim}
    script.write_text(SCRIPT.format(report=report, netlist=raw, **fields))
    command = [os.environ.get("YOSYS", "yosys"), "-q", "-l", str(work / f"{design}.log"), str(script)]
    subprocess.run(command, cwd=KIT, check=True)
    lines = [line for line in raw.read_text().splitlines() if not line.startswith("/*")]
    head = (
        f"// {design}: flat netlist on the gsr45 library, written by synth.py. SPDX-License-Identifier: BSD-3-Clause\n"
    )
    text = head + "\n".join(lines).lstrip("\n") + "\n"
    (KIT / "netlists" / f"{design}.v.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    return report.read_text()


def counts_of(report: str) -> tuple[collections.Counter[str], float]:
    """Return instances of each master and the area in um^2 from the text of `stat -liberty`."""
    counts = collections.Counter({name: int(n) for name, n in re.findall(r"^ +(G45_\w+) +(\d+)$", report, re.M)})
    area = re.search(r"Chip area for module .*: ([\d.]+)", report)
    strange = re.findall(r"^ +(\$\w+) +\d+$", report, re.M)
    if strange or area is None:
        raise RuntimeError(f"left unmapped: {strange}; see the log of Yosys")
    return counts, float(area.group(1))


def main(arguments: list[str]) -> int:
    """Synthesise the named designs, or all, and write the table of counts."""
    designs = tomllib.loads((KIT / "designs.toml").read_text())
    (KIT / "netlists").mkdir(exist_ok=True)
    table = KIT / "netlists" / "stat.csv"
    rows: dict[str, dict[str, str]] = {}
    if table.exists():
        with table.open(newline="") as file:
            rows = {row["design"]: row for row in csv.DictReader(file)}
    for design in arguments or list(designs):
        with tempfile.TemporaryDirectory() as work:
            counts, area_um2 = counts_of(run_yosys(design, designs[design]["map_ps"], Path(work)))
        rows[design] = {
            "design": design,
            "num_insts": str(sum(counts.values())),
            "num_flops": str(sum(n for name, n in counts.items() if name.startswith("G45_DFF"))),
            "num_macros": str(sum(n for name, n in counts.items() if "SRAM" in name)),
            "num_masters": str(len(counts)),
            "area_um2": f"{area_um2:.2f}",
        }
        sys.stdout.write(" ".join(f"{key}={value}" for key, value in rows[design].items()) + "\n")
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(next(iter(rows.values()))), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[name] for name in designs if name in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
