"""Our readers, in Python alone and with the C scanner, beside other tools on the same files: DEF, Verilog, Liberty.

    gsr bench readers [DATA] [--only DEF Verilog Liberty] [--sizes 1100000 30000] [--rounds 5] [--out FILE] [--quick]

Files: the largest DEF, netlist and library of each technology below DATA (`GSR_DATA`, or data/ in the folder shared/
beside the checkout), the largest of the demo kit, and replicas of a kit design, flat and hierarchical; all unpacked.
Each reading is a process of its own, one thread, reader after reader, round after round, until all rounds are done or
Ctrl-C ends them. The first pass is the gate: a reader whose counts are not ours, that fails, is missing or runs out of
its limit shows its reason in place of a time. Processor seconds are user and system of the reading alone: median, 20th
and 80th percentile. `start` is what imports or the start of a program take besides, for OpenSTA with the Liberty files
of the netlist. Peak is of the whole process.
"""

import argparse
import contextlib
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.corpus import library_files  # noqa: E402
from bench.machine import machine  # noqa: E402
from circuit_io.def_ import read_def  # noqa: E402
from circuit_io.verilog import read_verilog  # noqa: E402

KIT = ROOT / "demos" / "kit"
PYTHON, C = "ours, Python", "ours, C"
CASES = {
    "DEF": (PYTHON, C, "klayout"),
    "Verilog": (PYTHON, C, "OpenSTA", "pyslang", "pyverilog", "yosys"),
    "Liberty": (PYTHON, C, "liberty-parser", "OpenSTA"),
}
LARGEST_MB = {"pyverilog": 5.0, "yosys": 16.0}  # of text when flat; minutes, and yosys 10 GB, beyond
SLOW_S, SLOW_ROUNDS = 8.0, 2  # a reading of more seconds runs in fewer rounds
TICK_S = 0.01  # as finely as the programs tell their time
Job = dict[str, Any]


def unpacked(path: Path, folder: Path, name: str) -> Path:
    """A copy of a file as plain text."""
    to = folder / name
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as f, to.open("wb") as out:
        shutil.copyfileobj(f, out)
    return to


def stand_in_lef(path: Path, lef: Path) -> Job:
    """The masters and layers that a DEF names, as the least LEF that klayout takes, and its dbu: no time goes there."""
    design = read_def(path)
    text = f"VERSION 5.8 ;\nUNITS DATABASE MICRONS {design.dbu_per_um} ; END UNITS\n"
    for layer in design.layer_names:
        text += f"LAYER {layer} TYPE ROUTING ; DIRECTION HORIZONTAL ; PITCH 1 ; WIDTH 0.1 ; END {layer}\n"
    for master in design.master_names:
        text += f"MACRO {master} CLASS CORE ; ORIGIN 0 0 ; SIZE 1 BY 1 ; END {master}\n"
    lef.write_text(text + "END LIBRARY\n", encoding="utf-8")
    return {"lef": str(lef), "dbu_per_um": design.dbu_per_um}


def largest(files: list[Path]) -> list[Path]:
    """The largest of some files, or none."""
    return sorted(files, key=lambda p: (-p.stat().st_size, str(p)))[:1]


def jobs_of_files(sources: list[tuple[str, Path, Path, Path]], folder: Path) -> list[Job]:
    """Jobs of the largest files of each technology: name of a set, its DEFs, netlists and library folder."""
    jobs: list[Job] = []
    for tech, defs, netlists, data in sources:
        libraries = library_files(data, tech)[1]
        libs = [unpacked(p, folder, f"{tech}_{p.name.removesuffix('.gz')}") for p in libraries]
        for path in largest(list(defs.glob("*/design.def*")) or list(defs.glob("*/v0/placed.def*"))):
            plain = unpacked(path, folder, f"{tech}.def")
            home = path.parent.parent if path.parent.name == "v0" else path.parent
            job = {"format": "DEF", "file": f"{tech} {home.name}", "path": str(plain)}
            jobs.append(job | stand_in_lef(plain, folder / f"{tech}.lef"))
        for path in largest([*netlists.glob("*/netlist.v*"), *netlists.glob("*.v.gz")]):
            plain = unpacked(path, folder, f"{tech}.v")
            name = path.parent.name if path.name.startswith("netlist") else path.name.partition(".")[0]
            job = {"format": "Verilog", "file": f"{tech} {name}", "path": str(plain), "top": read_verilog(plain).top}
            jobs.append(job | {"lib": [str(p) for p in libs]})
        for path in largest(libs):
            name = path.name.removeprefix(f"{tech}_").removesuffix(".lib")
            jobs.append({"format": "Liberty", "file": name, "path": str(path)})
    return jobs


def jobs_of_replica(source: Path, insts: int, folder: Path) -> list[Job]:
    """Jobs of a replica as DEF, flat and hierarchical netlist; written by a process of its own, for its memory."""
    out = folder / f"replica{insts}"
    command = [
        sys.executable,
        str(ROOT / "bench" / "replica.py"),
        str(source),
        "--insts",
        str(insts),
        "--out",
        str(out),
    ]
    subprocess.run(command, check=True, capture_output=True)
    name, lib = f"replica, {insts:,} insts", str(KIT / "tech" / "gsr45_typ.lib")
    netlist = {"format": "Verilog", "top": "replica", "lib": [lib]}
    def_ = {"format": "DEF", "file": name, "path": str(out / "replica.def")} | stand_in_lef(source, out / "masters.lef")
    flat = netlist | {"file": f"{name}, flat", "path": str(out / "replica.v"), "all_nets_have_pins": True}
    hierarchical = netlist | {"file": f"{name}, hierarchical", "path": str(out / "replica_hier.v")}
    return [def_, flat, hierarchical | {"flat_mb": (out / "replica.v").stat().st_size / 1e6}]


def measure(job: Job, case: str, *, count: bool, limit_s: int) -> Job:
    """One reading in a fresh interpreter with one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    env = dict(os.environ, **threads, GSR_SCANNER="python" if case == PYTHON else "c")
    task = job | {"case": case, "count": count, "limit_s": limit_s}
    command = [sys.executable, str(ROOT / "bench" / "reader_cases.py"), json.dumps(task)]
    with tempfile.TemporaryDirectory() as folder:  # pyverilog leaves the tables of its parser where it runs
        done = subprocess.run(command, env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)  # fmt: skip
    if done.returncode:
        over = done.returncode in (-24, -9)
        reason = f"over {limit_s} s" if over else (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        return {"reason": reason[:120]}
    found: Job = json.loads(done.stdout.splitlines()[-1])
    return found


def difference(ours: dict[str, int], theirs: dict[str, int]) -> str:
    """What keeps a reader's time off the table; empty where all counts that both have are equal."""
    both = [key for key in theirs if key in ours]
    wrong = [f"{key} {theirs[key]:,}, not {ours[key]:,}" for key in both if theirs[key] != ours[key]]
    return "; ".join(wrong) if both else "counts nothing that can be compared"


class Contest:
    """All readers of one file: the gate first, then as many rounds as are asked for."""

    def __init__(self, job: Job, *, limit_s: int) -> None:
        """Run the gate."""
        self.job, self.limit_s = job, limit_s
        self.runs: dict[str, list[Job]] = {case: [] for case in CASES[job["format"]]}
        self.reasons: dict[str, str] = {}
        self.mb = Path(job["path"]).stat().st_size / 1e6
        flat_mb = job.get("flat_mb", self.mb)
        for case, runs in self.runs.items():
            if flat_mb > LARGEST_MB.get(case, flat_mb):
                self.reasons[case] = f"not run above {LARGEST_MB[case]:.0f} MB of flat text"
                continue
            runs.append(measure(job, case, count=True, limit_s=limit_s))
            ours = self.runs[PYTHON][0].get("counts", {})
            if reason := runs[0].get("reason") or difference(ours, runs[0]["counts"]):
                self.reasons[case] = reason

    def play(self, number: int) -> None:
        """One round, in which the slow ones rest after their share."""
        for case, runs in self.runs.items():
            if case not in self.reasons and (number < SLOW_ROUNDS or runs[0]["cpu_s"] < SLOW_S):
                runs.append(measure(self.job, case, count=False, limit_s=self.limit_s))

    def rows(self) -> list[Job]:
        """What is known so far, a row for each reader."""
        return [self._row(case) for case in self.runs]

    def _row(self, case: str) -> Job:
        """Medians and percentiles; the gate counts where there was no other round."""
        row = {"format": self.job["format"], "file": self.job["file"], "mb": round(self.mb, 3), "case": case}
        first, *more = self.runs[case] or [{}]
        runs = more or [first]
        if reason := self.reasons.get(case) or next((r["reason"] for r in runs if "reason" in r), ""):
            return row | {"reason": reason, "counts": first.get("counts", {})}
        low, mid, high = np.percentile([r["cpu_s"] for r in runs], [20, 50, 80])
        row |= {"rounds": len(runs), "cpu_s": mid, "cpu_p20_s": low, "cpu_p80_s": high}
        row |= {key: np.median([r[key] for r in runs]) for key in ("wall_s", "start_s", "peak_mb")}
        row |= {"mb_per_s": self.mb / max(mid, TICK_S), "parts": runs[-1].get("parts", {}), "counts": first["counts"]}
        return {key: round(float(value), 4) if isinstance(value, float) else value for key, value in row.items()}


HEAD = """| format | file | MB | reader | CPU s | 20th..80th | wall s | start s | MB/s | peak MB |
|---|---|---:|---|---:|---|---:|---:|---:|---:|"""


def line(row: Job) -> str:
    """A row of the table."""
    begin = f"| {row['format']} | {row['file']} | {row['mb']:.1f} | {row['case']} |"
    if reason := row.get("reason"):
        return f"{begin} {reason.replace('|', '/')} | | | | | |"
    spread = f"{row['cpu_p20_s']:.2f}..{row['cpu_p80_s']:.2f}"
    times = f" {row['cpu_s']:.2f} | {spread} | {row['wall_s']:.2f} | {row['start_s']:.2f} |"
    return f"{begin}{times} {row['mb_per_s']:.1f} | {row['peak_mb']:.0f} |"


def overview(rows: list[Job]) -> str:
    """One table a format, a row a file: processor seconds and MB of text in one of them, or why there are none."""
    tables = []
    for form, cases in CASES.items():
        files = dict.fromkeys((row["file"], row["mb"]) for row in rows if row["format"] == form)
        cells = {(row["file"], row["case"]): row for row in rows if row["format"] == form}
        table = [f"| {form} | MB | {' | '.join(cases)} |", "|---|---:" + "|---:" * len(cases) + "|"]
        for name, mb in files:
            shown = [_cell(cells[name, case]) for case in cases]
            table.append(f"| {name} | {mb:.1f} | {' | '.join(shown)} |")
        tables += ["\n".join(table)] if files else []
    return "\n\n".join(tables)


def _cell(row: Job) -> str:
    if row.get("cpu_s", 1.0) < TICK_S:
        return f"under {TICK_S} s"
    return row.get("reason") or f"{row['cpu_s']:.2f} s, {row['mb_per_s']:.3g} MB/s"


def versions() -> dict[str, str]:
    """Of the other tools."""
    found = {}
    for name in ("klayout", "liberty-parser", "pyslang", "pyverilog"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    for name, command in (("OpenSTA", ["sta", "-version"]), ("yosys", ["yosys", "-V"])):
        found[name] = "absent"
        if shutil.which(command[0]):
            found[name] = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return found


def data_folder(given: Path | None) -> Path | None:
    """The folder of real designs, where there is one."""
    folder = given or Path(os.environ.get("GSR_DATA") or ROOT.parent / "shared" / "data")
    return folder if (folder / "designs").is_dir() else None


def jobs_of(args: argparse.Namespace, folder: Path) -> list[Job]:
    """All files to read, unpacked below `folder`."""
    labels = KIT / "labels" / "gsr45"
    if args.quick:
        files = jobs_of_files([("gsr45", folder, folder, KIT)], folder)
        return files + jobs_of_replica(labels / "crc_bank" / "v0" / "placed.def.gz", 2000, folder)[:2]
    sources = [("gsr45", labels, KIT / "netlists", KIT)]
    if (data := data_folder(args.data)) is None:
        print("no real designs: give DATA or set GSR_DATA", file=sys.stderr)
    else:
        sources += [(p.name, p, p, data) for p in sorted((data / "designs").iterdir())]
    source = labels / "systolic4" / "v0" / "placed.def.gz"
    jobs = [job for size in args.sizes for job in jobs_of_replica(source, size, folder)]
    return jobs + jobs_of_files(sources, folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="FORMAT")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_100_000, 30_000], help="insts of the replicas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=300, help="processor seconds of one reading")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true", help="two small files a format, the gate alone")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the tables and save them; 1 when ours with C disagrees with ours in Python."""
    args = _parser().parse_args(arguments)
    result: Job = {"bench": "readers", "machine": machine(), "peers": versions(), "load": [], "rows": []}
    result["setting"] = {"rounds": args.rounds, "limit_s": args.limit, "sizes": args.sizes, "quick": args.quick}
    contests: list[Contest] = []

    def save() -> None:
        result["rows"] = [row for contest in contests for row in contest.rows()]
        result["load"].append(round(os.getloadavg()[0], 1))
        if args.out:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):  # what is known is kept
        for job in jobs_of(args, Path(folder)):
            if job["format"] in args.only:
                contests.append(Contest(job, limit_s=args.limit))
                save()
        for number in range(0 if args.quick else args.rounds):
            for contest in contests:
                contest.play(number)
                save()
    print("\n".join([HEAD, *map(line, result["rows"]), "", overview(result["rows"])]))
    return int(any("reason" in row for row in result["rows"] if row["case"] in (PYTHON, C)))


if __name__ == "__main__":
    sys.exit(main())
