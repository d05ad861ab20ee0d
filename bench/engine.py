"""The engine beside its peers: a training step's time and peak memory on the same graphs, and its other promises.

    gsr bench engine [--only NAME ..] [--cases CASE ..] [--rounds 7] [--cap 900] [--limit-gb 8] [--data DIR] [--quick]
                     [--out FILE]

Contests are pairs of a graph and a depth; every contestant has the same encoder, head, loss, width and input, and the
peers' stacks are used as their libraries mean them to be. First a gate: the cases that compute the same must agree.
Then the steps run in turn, round after round, in one process; CPU time of the process (other work on the machine moves
it least) and wall time, median with 20th and 80th percentile. Memory is the mark that the resident set reaches in one
step, in a process of its own that has warmed up on a tiny graph, with a fixed mmap threshold, over what was there
before; the graph's own form counts, the gradients of the weights do not. Beside it stands the peak of what torch's
allocator gave out. Peers that make a message per edge, and others on many edges, run one step, in that process. A
contestant that fails, or passes `--cap` seconds or `--limit-gb` of memory, shows its reason. `--out` keeps the
contests, cases and checks of the file that are not run again; every row names the commit and the load it was measured
at. `--rounds 0` measures memory alone, and what runs once.
"""

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from bench import engine_peers as peers  # noqa: E402
from bench.engine_graphs import arrays_of, num_edges, read_arrays  # noqa: E402
from bench.engine_marks import MARKS, checks  # noqa: E402
from bench.engine_peers import CASES, Contestant, GsrStack, PlainStack, Shape, Stream  # noqa: E402
from bench.machine import machine  # noqa: E402
from gsr_plugin.model import DEFAULT_RELATIONS  # noqa: E402
from gsr_plugin.ops import native  # noqa: E402

GSR = ("gsr", "gsr, saved indices", "gsr, bf16 branches")
OWN = (*GSR, "gsr, stored activations")
FUSED = ("PyG, factored", "DGL, factored", "PyG, fused product", "DGL, fused product")
MESSAGES = ("PyG, messages", "DGL, messages")
APART = {"PyG, fused product": 3_000_000, "DGL, fused product": 20_000_000}  # from so many edges on they run once
FLIPS = 0.02  # what a few other choices of top-k move the output by; other weights move it by 1
ROUNDED = 0.2  # and many, since bf16 chooses otherwise in every layer


@dataclass(frozen=True)
class Contest:
    """Cases on one graph.

    Attributes:
        once: one step of every case, in the process that measures memory.
        allocator: measure what torch's allocator gave out as well.
    """

    graph: str
    layers: int
    cases: tuple[str, ...]
    relations: tuple[str, ...] = ("clique",)
    once: bool = False
    allocator: bool = False


CONTESTS = {
    "cliques": Contest("7157", 32, (*GSR, *FUSED, *MESSAGES)),
    "ibex": Contest("ibex", 32, (*GSR, *FUSED, *MESSAGES)),
    "aes": Contest("aes", 32, (*GSR, *FUSED, *MESSAGES)),
    "dynamic_node": Contest("dynamic_node", 32, (*GSR, *FUSED, *MESSAGES)),
    "nvdla": Contest("nvdla_partition_a", 32, (*GSR, *FUSED, *MESSAGES)),
    "deep": Contest("ibex", 100, (*OWN, "plain torch", "checkpoint"), allocator=True),
    "shallow": Contest("ibex", 10, (*OWN, "plain torch", "checkpoint"), allocator=True),
    "model": Contest("ibex", 16, (*OWN, "gsr, no C kernels"), DEFAULT_RELATIONS),
    "model, 64 layers": Contest("ibex", 64, OWN, DEFAULT_RELATIONS),
    "gcd": Contest("gcd", 16, OWN, DEFAULT_RELATIONS),
    "replica": Contest("replica", 16, GSR[:1], DEFAULT_RELATIONS, once=True),
}


class Entrant:
    """A case on a graph, ready to step."""

    def __init__(self, name: str, form: Any, shape: Shape, nodes: int) -> None:  # noqa: ANN401
        self.case = CASES[name]
        os.environ["GSR_BACKEND"] = self.case.backend
        self.model = Contestant(self.case.stack(form, shape), shape.width)
        self.x = torch.randn(nodes, peers.FEATURES, generator=torch.Generator().manual_seed(1))

    def step(self) -> tuple[float, float]:
        """CPU and wall seconds of forward and backward."""
        os.environ["GSR_BACKEND"] = self.case.backend
        self.model.zero_grad(set_to_none=True)
        wall, cpu = time.perf_counter(), time.process_time()
        self.model(self.x).square().mean().backward()
        return time.process_time() - cpu, time.perf_counter() - wall


def num_nodes(arrays: Any, shape: Shape) -> int:  # noqa: ANN401
    """Rows of the stream."""
    insts = len(arrays.inst_gcell)
    return insts if shape.relations == ("clique",) else insts + len(arrays.net_box) + arrays.nx * arrays.ny


# ---- in a process of its own -----------------------------------------------------------------------------------------


def resident(mark: str) -> int:
    """Bytes of a line of /proc/self/status."""
    line = next(text for text in Path("/proc/self/status").read_text().splitlines() if text.startswith(mark))
    return int(line.split()[1]) * 1024


def allocator_peak(entrant: Entrant) -> int:
    """Most bytes that torch's allocator had given out in a step over those before."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        entrant.step()
    events = profile.profiler.kineto_results.events()
    memory = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    given = np.cumsum([0, *(size for _, size in memory)])
    return int(given.max())


def measure_alone(task: dict[str, Any]) -> dict[str, Any]:
    """Peaks of one step; with `once` its time too."""
    layers, width, k, relations = task["shape"]
    shape = Shape(layers, width, k, tuple(relations))
    case, arrays = CASES[task["case"]], read_arrays(Path(task["path"]))
    tiny, one_layer = read_arrays(Path(task["tiny"])), Shape(1, shape.width, shape.k, shape.relations)
    Entrant(task["case"], case.prepare(tiny, one_layer), one_layer, num_nodes(tiny, shape)).step()  # code is loaded
    nodes, before = num_nodes(arrays, shape), resident("VmRSS")
    form = case.prepare(arrays, shape)
    graph_bytes = resident("VmRSS") - before
    entrant = Entrant(task["case"], form, shape, nodes)
    weights = sum(p.numel() * 4 for p in entrant.model.parameters())
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    cpu, wall = entrant.step()
    peak = resident("VmHWM") - before + graph_bytes - weights
    found = {"peak_bytes": peak, "graph_bytes": graph_bytes}
    if task["allocator"]:
        found["allocator_bytes"] = allocator_peak(Entrant(task["case"], form, shape, nodes)) - weights
    return found | ({"rounds": 1, "cpu_s": cpu, "wall_s": wall} if task["once"] else {})


def alone(task: dict[str, Any], cap: float, limit: int) -> dict[str, Any]:
    """`measure_alone` in a fresh interpreter, or {"reason": ..}."""
    env = dict(os.environ, MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TRIM_THRESHOLD_="65536")
    command = [sys.executable, "-W", "ignore", __file__, "--task", json.dumps(task)]
    at_most = lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))  # noqa: E731
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, check=False, timeout=cap, preexec_fn=at_most
        )
    except subprocess.TimeoutExpired:
        return {"reason": f"no step within {cap:.0f} s"}
    if done.returncode == 0:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found
    errors = [line for line in done.stderr.splitlines() if "Error" in line or "bad_alloc" in line]
    return {"reason": (errors[-1] if errors else f"exit code {done.returncode}")[-200:]}


# ---- all together ----------------------------------------------------------------------------------------------------


def gate(entrants: dict[str, Entrant]) -> str:
    """Why the cases disagree; empty when they do not.

    Ours must give the same bits; stacks of our blocks in plain torch the same with our weights and no grid, but for few
    choices of top-k. Other layers compute something else and are not compared. PyG and DGL begin with the second group.
    """
    ours = next(iter(entrants.values()))
    assert isinstance(ours.model.stack, GsrStack)
    with torch.no_grad():
        want, x = ours.model(ours.x), ours.model.encoder(ours.x)
        free = ours.model.stack.without_grid()
        stream = free(x)
        swapped = [torch.cat(t.chunk(2, 1)[::-1], 1) for t in (x, stream)]
        for name, entrant in entrants.items():
            os.environ["GSR_BACKEND"] = entrant.case.backend
            stack = entrant.model.stack
            if isinstance(stack, GsrStack) and stack.stack.spec.selection.bf16:
                found = peers.rms_difference(stack(x), stream)
                if not found <= ROUNDED:
                    return f"{name} differs by {found:.2g} (rms)"
            elif isinstance(stack, GsrStack):
                if not torch.equal(entrant.model(entrant.x), want):
                    return f"{name} has other bits"
            elif isinstance(stack, Stream) and stack.has_our_blocks():
                peers.load_blocks(stack, free.stack)
                x_in, x_out = (x, stream) if isinstance(stack, PlainStack) else swapped
                found = peers.rms_difference(stack(x_in.clone()), x_out)
                if not found <= FLIPS:
                    return f"{name} differs by {found:.2g} (rms)"
    return ""


def row_of(times: list[tuple[float, float]]) -> dict[str, float]:
    """Median and percentiles of the rounds."""
    cpu, wall = np.array(times).T
    low, middle, high = np.percentile(cpu, [20, 50, 80])
    return {
        "rounds": len(times),
        "cpu_s": middle,
        "cpu_p20_s": low,
        "cpu_p80_s": high,
        "wall_s": float(np.median(wall)),
    }


def compete(name: str, contest: Contest, args: argparse.Namespace, graphs: Path) -> dict[str, Any]:
    """All cases of a contest."""
    size = {"size": 300} if args.quick else {}
    given = args.circuitnet if contest.graph == "7157" else None
    graph = f"CircuitNet's {given.resolve().name}" if given else contest.graph
    path = arrays_of(graph, args.data, graphs, given=given, **size)
    tiny = arrays_of("7157", args.data, graphs, size=300)
    arrays = read_arrays(path)
    shape = Shape(2 if args.quick else contest.layers, args.width, args.k, contest.relations)
    nodes, edges = num_nodes(arrays, shape), num_edges(arrays)
    print(f"{name}: {graph}, {nodes:,} nodes, {edges:,} clique edges, {shape.layers} layers", flush=True)
    forms: dict[Any, Any] = {}
    entrants: dict[str, Entrant] = {}
    cases = [c for c in contest.cases if not args.cases or c in args.cases]
    single = {c: contest.once or CASES[c].once or edges >= APART.get(c, edges + 1) for c in cases}
    for case in cases:
        if args.rounds and (args.quick or not single[case]):
            prepare = CASES[case].prepare
            if prepare not in forms:
                forms[prepare] = prepare(arrays, shape)
            entrants[case] = Entrant(case, forms[prepare], shape, nodes)
    if entrants and (why := gate(entrants)):
        raise SystemExit(f"{name}: the cases disagree, no time is printed: {why}")
    times: dict[str, list[tuple[float, float]]] = {case: [] for case in entrants}
    for i in range(args.rounds + 1):
        for case, entrant in entrants.items():
            seconds = entrant.step()
            if i:  # the first is the warm-up
                times[case].append(seconds)
    rows = [{"case": case, **(row_of(times[case]) if case in times else {})} for case in cases]
    entrants.clear()
    forms.clear()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # other work on the machine may want what the rounds took
    for row in rows:
        case = str(row["case"])
        row |= {"commit": machine()["commit"], "load_average": round(os.getloadavg()[0], 1)}
        task = {"case": case, "shape": astuple(shape), "path": str(path), "tiny": str(tiny), "once": single[case],
                "allocator": contest.allocator}  # fmt: skip
        if not args.quick or case == "gsr":
            row.update(alone(task, args.cap, int(args.limit_gb * 2**30)))
        _print(row)
    return {"contest": name, "graph": graph, "nodes": nodes, "clique_edges": edges, "layers": shape.layers,
            "width": shape.width, "k": shape.k, "relations": list(shape.relations), "rows": rows}  # fmt: skip


def _print(row: dict[str, Any]) -> None:
    text = f"  {row['case']:24s}"
    if "cpu_s" in row:
        spread = f" ({row['cpu_p20_s']:.3f}..{row['cpu_p80_s']:.3f})" if "cpu_p20_s" in row else " (one step)"
        text += f" CPU {row['cpu_s']:8.3f} s{spread}, wall {row['wall_s']:.3f} s"
    if "peak_bytes" in row:
        text += f", peak {row['peak_bytes'] / 1e6:.1f} MB"
    if "allocator_bytes" in row:
        text += f", allocator {row['allocator_bytes'] / 1e6:.1f} MB"
    print(text + (f", {row['reason']}" if "reason" in row else ""), flush=True)


def _joined(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """A contest with the rows of `old` that were not run again, in the contest's order."""
    rows: dict[str, dict[str, Any]] = {}
    before = old or {"rows": []}
    shared = {key: before[key] for key in ("commit", "load_average") if key in before}  # of files without them in rows
    for row in [*(shared | row for row in before["rows"]), *new["rows"]]:
        rows[row["case"]] = _kept(rows.get(row["case"], {}), row) | row
    return new | {"rows": [rows[case] for case in CONTESTS[new["contest"]].cases if case in rows]}


def _kept(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What stays of a row that was measured again: its time, if only its memory was, at the same commit."""
    same = old.get("commit") == new.get("commit") and "reason" not in old and "reason" not in new
    return old if same else {}


def judge(contests: dict[str, dict[str, Any]], found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Every mark with what was measured."""
    return [mark.judged(contests, found) for mark in MARKS]


def _rounded(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*CONTESTS, "checks"]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--cases", nargs="+", choices=CASES, metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=7, help="0 for memory alone")
    for name, value in (("width", 64), ("k", 8), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--cap", type=float, default=900.0, help="seconds for one case in its own process")
    parser.add_argument("--limit-gb", type=float, default=8.0, help="memory for one case in its own process")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("GSR_DATA") or ROOT.parent / "shared" / "data")
    )
    parser.add_argument(
        "--circuitnet",
        type=Path,
        metavar="FOLDER",
        help="a design of `gsr import circuitnet`, such as the real 7157, in place of the made-up graph",
    )
    parser.add_argument("--graphs", type=Path, help="a folder that keeps the graphs")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true", help="300 insts, 2 layers, one round")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Print and save what was measured, and which marks it meets."""
    args = _parser().parse_args(arguments)
    torch.set_num_threads(args.threads)
    if args.task:
        print(json.dumps(measure_alone(json.loads(args.task))))
        return 0
    if native.library() is None:
        print("the C kernels are not built: python setup.py build_ext --inplace", file=sys.stderr)
        return 1
    args.rounds = 1 if args.quick else args.rounds
    old = json.loads(args.out.read_text()) if args.out and args.out.is_file() else {}
    contests = {c["contest"]: c for c in old.get("contests", [])}
    found: dict[str, dict[str, Any]] = old.get("checks", {})
    with tempfile.TemporaryDirectory() as folder:
        graphs = args.graphs or Path(folder)
        for name in args.only:
            if name == "checks":
                found = checks(read_arrays(arrays_of("ibex", args.data, graphs, size=300 if args.quick else None)),
                               quick=args.quick, commit=machine()["commit"])  # fmt: skip
            else:
                contests[name] = _joined(contests.get(name), compete(name, CONTESTS[name], args, graphs))
            if args.out:
                _write(args.out, contests, found)
    for mark in judge(contests, found):
        print(f"{mark['met']!s:8s} {mark['mark']}: {mark['measured']}")
    return 0


def _write(path: Path, contests: dict[str, dict[str, Any]], found: dict[str, dict[str, Any]]) -> None:
    order = [contests[name] for name in CONTESTS if name in contests]
    result = {"bench": "engine", "machine": machine(), "contests": order, "checks": found,
              "marks": judge(contests, found)}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(result), indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
