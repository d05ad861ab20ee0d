"""A hook's call done by a process of its own and by a warm server, in turns, on the same files.

    gsr bench serve DATA [--designs nangate45/gcd/v0 ..] [--repeats 7] [--base DIR] [--out FILE]

DATA holds `pdk/<tech>/` and `labels/<tech>/<design>/<variant>/`, or `tech/` and `labels/` (the demo kit). One call is
`gsr flow`: export, prediction, plan, annotations, report. In turns: a *cold* call, which does all itself; the *first*
of a flow with `GSR_SERVE=1`, which starts a server; the *second*, which that server answers; then the server is ended.
With --base, another checkout of this project with its C code built, its calls take turns with ours. Every file that the
three write is compared, and no time is printed where one differs. Seconds of the processor are of the process that was
called and of the server meanwhile (its start within the first call, its end in none); all are medians, of the wall with
the 20th and 80th percentile, of ratios over the turns. The marks are those of the issue: second over cold, of the wall.

A row also holds the `stages` of a cold call, processor seconds (`bench/serve_stages.py`).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.corpus import library_files  # noqa: E402
from bench.machine import machine  # noqa: E402
from circuit_io.export_sources import sources_of_labels  # noqa: E402
from circuit_io.text import read_bytes  # noqa: E402
from flow_hooks.loop.server import WarmServer  # noqa: E402

MARKS = {"gcd": 1 / 10, "ibex": 1 / 3}
DESIGNS = ("nangate45/gcd/v0", "sky130hd/fab_regfile/v0", "nangate45/ibex/v0")
CALLS = ("cold", "first", "second")


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


def environment() -> dict[str, str]:
    """Of a call: no settings of ours, and Python keeps what it has compiled, as it does for users."""
    return {k: v for k, v in os.environ.items() if not k.startswith("GSR_") and k != "PYTHONDONTWRITEBYTECODE"}


def call(hook: Path, out: Path, tree: Path, server: WarmServer | None) -> dict[str, float]:
    """One call of a hook: seconds of the wall, and of the processor in the process called and in its server."""
    env = environment() | (server.environment() if server else {})
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
    before, begin = server.processor_s() if server else 0.0, time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "gsr_plugin", *words], cwd=tree, env=env,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stderr
        lines = child.stderr.read().decode().splitlines()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall, after = time.perf_counter() - begin, server.processor_s() if server else 0.0
    said = [line for line in lines if "lies outside of what the model was trained on" not in line]
    if child.returncode or said or before is None or after is None:
        raise SystemExit(f"exit code {child.returncode}: {' | '.join(lines)}")
    return {"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime + after - before, "server_cpu_s": after - before}


def content(folder: Path) -> dict[str, bytes]:
    """Every file in a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def turn(hook: Path, folder: Path, tree: Path) -> dict[str, float]:
    """A cold call, and the first and second by a server."""
    server = WarmServer(folder / "server.tsv")  # it may write beside its address
    row: dict[str, float] = {}
    for name in CALLS:
        found = call(hook, folder / name / "out", tree, None if name == "cold" else server)
        row |= {f"{name}_{key}": value for key, value in found.items()}
        if content(folder / name) != content(folder / "cold"):
            raise SystemExit(f"{hook.parent.name}: cold and {name} calls wrote different files")
    row["server_mb"] = end(server)
    return row


def end(server: WarmServer) -> float:
    """End a server; the memory that it held, in MiB."""
    lines = dict(line.split("\t", 1) for line in server.address.read_text().splitlines() if "\t" in line)
    status = Path(f"/proc/{lines['pid']}/status").read_text()
    os.kill(int(lines["pid"]), signal.SIGTERM)
    last = time.monotonic() + 60
    while server.address.exists():
        if time.monotonic() > last:
            raise SystemExit(f"the server (process {lines['pid']}) does not end")
        time.sleep(0.05)
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def measure(hook: Path, trees: dict[str, Path], repeats: int) -> dict[str, Any]:
    """All calls in turns; a key begins with `base_` for the other checkout."""
    rows = []
    for _ in range(repeats):
        row: dict[str, float] = {}
        for prefix, tree in trees.items():
            calls = turn(hook, hook.parent / f"{prefix}calls", tree)
            row |= {f"{prefix}{key}": value for key, value in calls.items()}
        rows.append(row)
    found: dict[str, Any] = {key: float(np.median([r[key] for r in rows])) for key in rows[0]}
    for key in [f"{prefix}{name}_wall_s" for prefix in trees for name in CALLS]:
        found[f"{key}_20_80"] = [float(np.quantile([r[key] for r in rows], q)) for q in (0.2, 0.8)]
    for kind in ("wall", "cpu"):
        found[f"{kind}_ratio"] = _ratio(rows, f"second_{kind}_s", f"cold_{kind}_s")
        for name in CALLS if len(trees) > 1 else ():
            found[f"{name}_{kind}_over_base"] = _ratio(rows, f"{name}_{kind}_s", f"base_{name}_{kind}_s")
    return found | {"repeats": repeats, "num_files": len(content(hook.parent / "calls" / "cold"))}


def _ratio(rows: list[dict[str, float]], above: str, below: str) -> float:
    return float(np.median([r[above] / r[below] for r in rows]))


def stages(hook: Path, repeats: int) -> dict[str, float]:
    """Processor seconds of each stage of a cold call, medians."""
    script, out = Path(__file__).with_name("serve_stages.py"), hook.parent / "stages"
    words = [sys.executable, str(script), str(hook), str(out)]
    runs = [json.loads(subprocess.check_output(words, cwd=ROOT, env=environment())) for _ in range(repeats)]
    return {name: float(np.median([run[name] for run in runs])) for name in runs[0]}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print a table; exit code 1 when a mark is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--designs", nargs="+", default=DESIGNS)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(arguments)
    trees = {"": ROOT} | ({"base_": args.base.resolve()} if args.base else {})
    repeats, rows = 1 if args.quick else args.repeats, []
    with tempfile.TemporaryDirectory() as scratch:
        for name in args.designs:
            hook = hook_of(args.data, name, Path(scratch) / name.replace("/", "-"))
            found = measure(hook, trees, repeats) | {"stages": stages(hook, repeats)}
            found |= {"design": name, "mark": MARKS.get(name.split("/")[1]), "load": os.getloadavg()[0]}
            rows.append(found)
            report(found)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        said = {"bench": "serve", "machine": machine(), "has_pandas": find_spec("pandas") is not None, "rows": rows}
        args.out.write_text(json.dumps(said, indent=1) + "\n")
    return int(any(r["mark"] and r["wall_ratio"] > r["mark"] for r in rows))


def report(row: dict[str, Any]) -> None:
    """The row of a design."""
    mark = f" (mark {row['mark']:.2f})" if row["mark"] else ""
    print(f"{row['design']}: second over cold: wall {row['wall_ratio']:.3f}{mark}, processor {row['cpu_ratio']:.3f}")
    for name in CALLS:
        low, high = row[f"{name}_wall_s_20_80"]
        over = f", {row[f'{name}_cpu_over_base']:.2f} of the base" if f"{name}_cpu_over_base" in row else ""
        wall = f"wall {row[f'{name}_wall_s']:.2f} s ({low:.2f} to {high:.2f})"
        print(f"  {name:6} processor {row[f'{name}_cpu_s']:.2f} s{over}; {wall}")
    print("  stages of a cold call: " + ", ".join(f"{name} {s:.3f} s" for name, s in row["stages"].items()))
    more = f"server {row['server_mb']:.0f} MB, load {row['load']:.1f}"
    print(f"  {row['num_files']} files the same, {more}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
