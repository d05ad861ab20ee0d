"""Time and memory of a training step of the stack: reversible, with saved indices, with stored activations, without C.

    gsr bench engine [--layers 16] [--width 64] [--k 8] [--threads 1] [--rounds 7] [--insts 17410] [--out FILE]

The graph is made up, with as many pins a net and gcells an inst as ibex in nangate45. The cases run in turn, round
after round, in one process, after a check that they agree; times are process CPU time, which other work on the machine
moves least, and wall time. Memory is the mark that the resident set reaches in a step, in a process of its own, less
what was there before and less the gradients of the weights.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from bench.machine import machine  # noqa: E402
from gsr_plugin.graph_tensors import GraphTensors  # noqa: E402
from gsr_plugin.model import GsrGnn, ModelConfig  # noqa: E402
from gsr_plugin.ops import native  # noqa: E402

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "reversible": ("cpu", {}),
    "saved indices": ("cpu", {"save_indices": True}),
    "stored activations": ("cpu", {"reversible": False}),
    "reversible, no C": ("aten", {}),
}


def graph_like_ibex(insts: int) -> GraphTensors:
    """1.09 nets an inst, 3.5 pins a net, 0.52 gcells an inst; nets join insts that are near each other."""
    rng = np.random.default_rng(0)
    nets, side = round(1.093 * insts), max(1, round((0.518 * insts) ** 0.5))
    inst_gcell = rng.integers(0, side * side, insts).astype(np.int32)
    degree = np.minimum(1 + rng.geometric(0.4, nets), 60)
    pin_net = np.repeat(np.arange(nets, dtype=np.int32), degree)
    order = np.argsort(inst_gcell, kind="stable")
    base = np.repeat(rng.integers(0, insts, nets), degree)
    pin_inst = order[(base + rng.integers(-40, 41, len(pin_net))) % insts].astype(np.int32)
    at = np.stack([inst_gcell[pin_inst] % side, inst_gcell[pin_inst] // side], 1)
    starts = np.cumsum(degree) - degree
    box = np.concatenate([np.minimum.reduceat(at, starts), np.maximum.reduceat(at, starts)], 1).astype(np.int32)
    arrays = {"nx": side, "ny": side, "inst_gcell": inst_gcell, "pin_inst": pin_inst, "pin_net": pin_net}
    return GraphTensors.of(SimpleNamespace(**arrays, net_box=box))


class Case:
    """One model on the graph."""

    def __init__(self, name: str, graph: GraphTensors, args: argparse.Namespace) -> None:
        self.backend, options = CASES[name]
        shape = {"layers": args.layers, "width": args.width, "k": args.k}
        counts = {"num_inst_features": 20, "num_net_features": 10, "num_gcell_features": 40}
        self.model = GsrGnn(ModelConfig(**counts, **shape, **options), seed=0)
        g = torch.Generator().manual_seed(1)
        sizes = ((graph.num_insts, 20), (graph.num_nets, 10), (graph.num_gcells, 40))
        self.inputs = (graph, *(torch.randn(*size, generator=g) for size in sizes))

    def step(self) -> tuple[float, float, float, torch.Tensor]:
        """CPU seconds of forward and backward, wall seconds of both, congestion."""
        os.environ["GSR_BACKEND"] = self.backend
        wall, start = time.perf_counter(), time.process_time()
        out = self.model(*self.inputs)
        middle = time.process_time()
        (out.congestion.square().mean() + out.overflow_logit.square().mean()).backward()
        return middle - start, time.process_time() - middle, time.perf_counter() - wall, out.congestion.detach()


def resident(mark: str) -> int:
    """Bytes of a line of /proc/self/status."""
    line = next(text for text in Path("/proc/self/status").read_text().splitlines() if text.startswith(mark))
    return int(line.split()[1]) * 1024


def peak_bytes(name: str, args: argparse.Namespace) -> int:
    """What one step adds to the resident set at most, weights' gradients apart. Runs in a process of its own."""
    case = Case(name, graph_like_ibex(args.insts), args)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    case.step()
    return resident("VmHWM") - before - sum(p.numel() * 4 for p in case.model.parameters())


def peak_in_own_process(name: str, arguments: list[str]) -> int | None:
    """`peak_bytes` in a fresh interpreter whose allocator gives pages back at once; None where /proc lacks the mark."""
    env = dict(os.environ, MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TRIM_THRESHOLD_="65536")
    command = [sys.executable, __file__, *arguments, "--peak", name]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else None


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 when the cases disagree."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("layers", 16), ("width", 64), ("k", 8), ("threads", 1), ("rounds", 7), ("insts", 17410)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peak", choices=CASES, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    if args.peak:
        print(peak_bytes(args.peak, args))
        return 0
    graph = graph_like_ibex(args.insts)
    cases = {name: Case(name, graph, args) for name in CASES if native.library() is not None or CASES[name][0] != "cpu"}
    outputs = [case.step()[3] for case in cases.values()]
    if not all(torch.equal(outputs[0], other) for other in outputs[1:]):
        print("the cases disagree: no time is printed", file=sys.stderr)
        return 1
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in cases}
    for _ in range(args.rounds):
        for name, case in cases.items():
            times[name].append(case.step()[:3])
    rows = []
    for name, found in times.items():
        forward, backward, wall = np.array(found).T
        step = np.percentile(forward + backward, [20, 50, 80])
        row = {"case": name, "cpu_s": step[1], "cpu_p20_s": step[0], "cpu_p80_s": step[2]}
        row |= {"forward_s": np.median(forward), "wall_s": np.median(wall)}
        peak = peak_in_own_process(name, arguments)
        rows.append({k: v if isinstance(v, str) else round(float(v), 4) for k, v in row.items()} | {"peak_bytes": peak})
        megabytes = "" if peak is None else f"{peak / 1e6:8.1f} MB"
        print(
            f"{name:20s} CPU {step[1]:.3f} s ({step[0]:.3f}..{step[2]:.3f}), wall {row['wall_s']:.3f} s {megabytes}",
            flush=True,
        )
    if args.out:
        setting = {k: v for k, v in vars(args).items() if k not in ("out", "peak")}
        result = {"bench": "engine", "machine": machine(), "setting": setting, "nodes": graph.num_nodes, "rows": rows}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
