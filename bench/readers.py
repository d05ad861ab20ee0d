"""Our readers, in Python alone and with the C scanner, beside other tools on the same files: DEF, Verilog, Liberty.

    gsr bench readers [DATA] [--only DEF Verilog Liberty] [--sizes 1100000 30000] [--rounds 5] [--out FILE] [--quick]

Files: the largest DEF, netlist and library of each technology below DATA (`GSR_DATA`, or data/ in the folder shared/
beside the checkout), the largest of the demo kit, and replicas of a kit design, flat and hierarchical; all unpacked.
Each reading is a process of its own, one thread, reader after reader, round after round. The first pass is the gate: a
reader whose counts are not ours, that fails, is missing or runs out of its limit shows its reason in place of a time.
Processor seconds are user and system of the reading alone: median, 20th and 80th percentile. `start` is what imports or
the start of a program take besides, for OpenSTA with the Liberty files of the netlist. Peak is of the whole process.
"""

import argparse
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
PATTERNS = {"DEF": "design.def*", "Verilog": "netlist.v*"}
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


def read_file(job: Job, *, rounds: int, limit_s: int) -> list[Job]:
    """The rows of all readers of one file: the gate first, then rounds in turn."""
    mb = Path(job["path"]).stat().st_size / 1e6
    rows: dict[str, Job] = {}
    for case in CASES[job["format"]]:
        rows[case] = row = {"format": job["format"], "file": job["file"], "mb": round(mb, 3), "case": case, "runs": []}
        if (flat_mb := job.get("flat_mb", mb)) > LARGEST_MB.get(case, flat_mb):
            row["reason"] = f"not run above {LARGEST_MB[case]:.0f} MB of flat text"
            continue
        found = measure(job, case, count=True, limit_s=limit_s)
        row |= {"counts": found.get("counts", {}), "runs": [found]}
        ours = rows[PYTHON].get("counts", {})
        reason = found.get("reason") or difference(ours, row["counts"])
        rows[case] = row | ({"reason": reason} if reason else {})
    fast = [case for case, row in rows.items() if "reason" not in row]
    for i in range(rounds if rounds > 1 else 0):
        for case in fast:
            row = rows[case]
            if i < SLOW_ROUNDS or row["runs"][0]["cpu_s"] < SLOW_S:
                row["runs"].append(measure(job, case, count=False, limit_s=limit_s))
    return [_summary(row) for row in rows.values()]


def _summary(row: Job) -> Job:
    """Medians and percentiles of a row; the gate counts where there was no other round."""
    runs = row.pop("runs")
    runs = runs[1:] or runs
    if (reason := row.get("reason") or next((r["reason"] for r in runs if "reason" in r), "")) or not runs:
        return row | {"reason": reason}
    low, mid, high = np.percentile([r["cpu_s"] for r in runs], [20, 50, 80])
    row |= {"rounds": len(runs), "cpu_s": mid, "cpu_p20_s": low, "cpu_p80_s": high}
    row |= {"mb_per_s": row["mb"] / max(mid, 1e-3)}
    row |= {key: np.median([r[key] for r in runs]) for key in ("wall_s", "start_s", "peak_mb")}
    row |= {"parts": runs[-1].get("parts", {})}
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
    """Measure, print the table and save it; 1 when ours with C disagrees with ours in Python."""
    args = _parser().parse_args(arguments)
    result: Job = {"bench": "readers", "machine": machine(), "peers": versions(), "load": [os.getloadavg()], "rows": []}
    result["setting"] = {"rounds": args.rounds, "limit_s": args.limit, "sizes": args.sizes, "quick": args.quick}
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs_of(args, Path(folder)):
            if job["format"] in args.only:
                rows = read_file(job, rounds=1 if args.quick else args.rounds, limit_s=args.limit)
                result["rows"] += rows
                print("\n".join(line(row) for row in rows), flush=True)
                result["load"].append(os.getloadavg())
            if args.out:
                args.out.parent.mkdir(parents=True, exist_ok=True)
                args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(any("reason" in row for row in result["rows"] if row["case"] in (PYTHON, C)))


if __name__ == "__main__":
    sys.exit(main())
