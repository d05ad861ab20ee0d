"""A hook's call done by a process of its own and by a warm server, in turns, on the same files.

    gsr bench serve DATA [--designs nangate45/gcd/v0 nangate45/ibex/v0] [--repeats 7] [--out FILE]

DATA holds `pdk/<tech>/` and `labels/<tech>/<design>/<variant>/`, or `tech/` and `labels/` (the demo kit). One call is
`gsr flow`: export, prediction, plan, annotations, report. A server is started and has answered once before; then cold
and warm calls take turns. Every file that they write is compared, and no time is printed where one differs. Seconds
of the wall and of the processor (the client's, and the server's meanwhile) are medians, with the 20th and 80th
percentile of the wall; the marks are those of the issue.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.corpus import library_files  # noqa: E402
from bench.machine import machine  # noqa: E402
from circuit_io.export_sources import sources_of_labels  # noqa: E402
from circuit_io.text import read_bytes  # noqa: E402
from gsr_plugin.server_address import NoServerError, read_address  # noqa: E402

MARKS = {"gcd": 1 / 10, "ibex": 1 / 3}
DESIGNS = ("nangate45/gcd/v0", "nangate45/ibex/v0")
GSR = [sys.executable, "-m", "gsr_plugin"]


def hook_of(data: Path, name: str, folder: Path) -> Path:
    """hook.json of a labelled placement, as Tcl would write it, with the placement beside it."""
    labels = data / "labels" / name
    lef, lib = library_files(data, labels.parts[-3])
    sources = sources_of_labels(labels, lef=lef, lib=lib)
    folder.mkdir(parents=True)
    (folder / "design.def").write_bytes(read_bytes(sources.def_))
    hook = {
        "schema": "gsr-hook", "schema_version": 1, "run_id": "run", "design": design_name(folder / "design.def"),
        "stage": "place", "platform": labels.parts[-3], "def": "design.def", "lefs": [str(p.resolve()) for p in lef],
        "libs": [str(p.resolve()) for p in lib], "signal_layers": sources.signal_layers,
        "layer_adjustment": sources.layer_adjustment,
        "metrics_stage": "detailedplace", "metrics_file": "3_9_gsr.json",
    }  # fmt: skip
    (folder / "hook.json").write_text(json.dumps(hook))
    return folder / "hook.json"


def design_name(path: Path) -> str:
    """What a DEF is of."""
    with path.open(encoding="utf-8") as f:
        return next(line.split()[1] for line in f if line.startswith("DESIGN "))


def server_cpu_s(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def call(hook: Path, out: Path, address: Path | None) -> dict[str, float]:
    """One call of a hook: seconds of the wall, and of the processor in the process that was called."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GSR_")}
    env |= {"GSR_SERVER": str(address)} if address else {}
    words = [
        "flow",
        "--hook",
        str(hook),
        "--out",
        str(out),
        "--log-dir",
        str(out.parent),
        "--mode",
        "advise",
        "--quiet",
    ]
    begin = time.perf_counter()
    with subprocess.Popen(
        [*GSR, *words], cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as child:
        assert child.stderr
        lines = child.stderr.read().decode().splitlines()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begin
    said = [line for line in lines if "lies outside of what the model was trained on" not in line]
    if child.returncode or said:
        raise SystemExit(f"exit code {child.returncode}: {' | '.join(lines)}")
    return {"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime}


def content(folder: Path) -> dict[str, bytes]:
    """Every file in a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def measure(hook: Path, address: Path, repeats: int) -> dict[str, Any]:
    """Cold and warm calls in turns."""
    cold, warm = hook.parent / "cold" / "out", hook.parent / "warm" / "out"
    call(hook, warm, address)
    pid, rows = read_address(address).pid, []
    for _ in range(repeats):
        row = {f"cold_{k}": v for k, v in call(hook, cold, None).items()}
        before = server_cpu_s(pid)
        row |= {f"warm_{k}": v for k, v in call(hook, warm, address).items()}
        row["server_cpu_s"] = server_cpu_s(pid) - before
        rows.append(row)
        if content(cold.parent) != content(warm.parent):
            raise SystemExit(f"{hook.parent.name}: cold and warm calls wrote different files")
    found: dict[str, Any] = {k: float(np.median([r[k] for r in rows])) for k in rows[0]}
    for name in ("cold_wall_s", "warm_wall_s"):
        found[f"{name}_20_80"] = [float(np.quantile([r[name] for r in rows], q)) for q in (0.2, 0.8)]
    status = Path(f"/proc/{pid}/status").read_text()
    found["server_mb"] = int(status.split("VmRSS:")[1].split()[0]) / 1024
    found["wall_ratio"] = float(np.median([r["warm_wall_s"] / r["cold_wall_s"] for r in rows]))
    found["cpu_ratio"] = (found["warm_cpu_s"] + found["server_cpu_s"]) / found["cold_cpu_s"]
    return found | {"repeats": repeats, "num_files": len(content(cold.parent))}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table; exit code 1 when a mark is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--designs", nargs="+", default=DESIGNS)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        work, address = Path(scratch), Path(scratch) / "server.tsv"
        words = ["serve", "--address", str(address), "--root", scratch, "--read", str(args.data), "--quiet"]
        with subprocess.Popen([*GSR, *words], cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
            try:
                await_server(address, server)
                for name in args.designs:
                    hook = hook_of(args.data, name, work / name.replace("/", "-"))
                    found = measure(hook, address, 1 if args.quick else args.repeats)
                    found |= {"design": name, "mark": MARKS.get(name.split("/")[1]), "load": os.getloadavg()[0]}
                    rows.append(found)
                    report(found)
            finally:
                server.terminate()
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({"bench": "serve", "machine": machine(), "rows": rows}, indent=1) + "\n")
    return int(any(r["mark"] and r["wall_ratio"] > r["mark"] for r in rows))


def await_server(address: Path, server: "subprocess.Popen[bytes]") -> None:
    """Until a server says where it is."""
    while server.poll() is None:
        try:
            read_address(address)
        except NoServerError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the server did not start")


def report(row: dict[str, Any]) -> None:
    """The row of a design."""
    mark = f", mark {row['mark']:.2f}" if row["mark"] else ""
    spread = "{:.2f} to {:.2f}".format
    print(
        f"{row['design']}: cold {row['cold_wall_s']:.2f} s ({spread(*row['cold_wall_s_20_80'])}), "
        f"warm {row['warm_wall_s']:.2f} s ({spread(*row['warm_wall_s_20_80'])}), ratio {row['wall_ratio']:.3f}{mark}; "
        f"processor {row['cold_cpu_s']:.2f} s against {row['warm_cpu_s']:.2f} + {row['server_cpu_s']:.2f} s, "
        f"ratio {row['cpu_ratio']:.3f}; {row['num_files']} files the same; server {row['server_mb']:.0f} MB; "
        f"load {row['load']:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
