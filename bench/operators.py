"""What fraction of the machine the operators of a layer reach: time, bytes, FLOPs, beside what the core can do.

    gsr bench operators [--widths 64 128] [--graph ibex] [--rounds 21] [--data DIR] [--out FILE] [--quick]

Forward and adjoint of every operator on one graph, one thread, CPU time, warm: each is run twice in a round, and the
second counts. Bytes are the compulsory ones: every array that goes in or out, once, whatever is gathered more often or
written on the way. FLOPs are additions and multiplications of floats, a fused pair counts two; the comparisons of the
selection are none. The machine's time for an operator is the longer of two, measured in the same run: to move as many
bytes, half read, half written, by a copy or by a change in place, whichever is faster (they stay in the cache, or do
not, as the operator's arrays do); and its FLOPs at the rate of a loop of fused multiply-adds in registers. The fraction
is that time over the operator's; "bound" says which of the two it is.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from bench.engine_graphs import arrays_of, read_arrays  # noqa: E402
from bench.machine import machine  # noqa: E402
from gsr_plugin.arena import Arena  # noqa: E402
from gsr_plugin.graph_tensors import GraphTensors  # noqa: E402
from gsr_plugin.model import DEFAULT_RELATIONS  # noqa: E402
from gsr_plugin.ops import native  # noqa: E402
from gsr_plugin.ops.mix import mix, mix_adjoint  # noqa: E402
from gsr_plugin.ops.residual import add_rounded_  # noqa: E402
from gsr_plugin.ops.topk import RowNorm, Selection, norm_topk, norm_topk_adjoint_  # noqa: E402
from gsr_plugin.plan import blocks_of, plan_of  # noqa: E402
from gsr_plugin.relations import relation  # noqa: E402

LISTED = tuple(name for name in DEFAULT_RELATIONS if name not in ("covers", "covered"))
T = 16
MOVES = {"L2, 0.5 MB": 1 << 19, "L3, 8 MB": 1 << 23, "memory, 512 MB": 1 << 29}  # bytes read and written together
GEMM = 1024


@dataclass(frozen=True)
class Operator:
    """One direction of an operator on one graph.

    Attributes:
        moved: bytes of all arrays that go in and out, an array that is changed counted twice.
        flops: additions and multiplications.
    """

    name: str
    direction: str
    run: Callable[[], object]
    moved: int
    flops: int


def size_of(*tensors: Tensor) -> int:
    """Bytes of all."""
    return sum(t.numel() * t.element_size() for t in tensors)


def seconds_of(run: Callable[[], object], rounds: int) -> list[float]:
    """CPU seconds, once a round, warm."""
    times = []
    for _ in range(rounds):
        run()
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return times


def move_seconds(moved: int, rounds: int) -> float:
    """To read and write so many bytes together: a copy or a change in place, whichever is faster."""
    source = torch.ones(max(1, moved // 8))
    target = torch.empty_like(source)
    ways: list[Callable[[], object]] = [lambda: target.copy_(source), lambda: source.neg_()]
    return min(float(np.median(seconds_of(way, rounds))) for way in ways)


def fma_gflop_s(rounds: int, folder: Path) -> float:
    """Fused multiply-adds in registers, compiled for this machine."""
    library = folder / "fma.so"
    flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]
    subprocess.run(
        [os.environ.get("CC", "cc"), *flags, str(Path(__file__).with_name("fma.c")), "-o", library], check=True
    )
    compiled = ctypes.CDLL(str(library))
    loop, times = compiled.fma_rounds, 1_000_000
    return (
        times
        * 12
        * compiled.fma_width()
        * 2
        / float(np.median(seconds_of(lambda: loop(ctypes.c_long(times)), rounds)))
        / 1e9
    )


def machine_rates(rounds: int, folder: Path, *, quick: bool = False) -> dict[str, Any]:
    """GB/s by size, GFLOP/s of multiply-adds and of torch's product of two square matrices."""
    sizes = {name: size for name, size in MOVES.items() if not quick or size <= 1 << 23}
    moves = {name: size / move_seconds(size, rounds) / 1e9 for name, size in sizes.items()}
    n = 128 if quick else GEMM
    a, b, out = torch.rand(n, n), torch.rand(n, n), torch.empty(n, n)
    product = float(np.median(seconds_of(lambda: torch.mm(a, b, out=out), rounds)))
    return {"move_gb_s": moves, "fma_gflop_s": fma_gflop_s(rounds, folder), "gemm": n,
            "gemm_gflop_s": 2 * n**3 / product / 1e9}  # fmt: skip


def operators(graph: GraphTensors, h: int, k: int) -> Iterator[Operator]:
    """All of a layer's operators at width h."""
    arena, drawn = Arena(torch.float32, torch.device("cpu")).fit(graph.num_nodes, h), torch.Generator().manual_seed(0)
    n, plan = graph.num_nodes, plan_of(graph, LISTED, torch.float32)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=drawn)

    x, e, grad, dvalues = random(n, h), random(n, h), random(n, h), random(n, k)
    norm, chosen = RowNorm(torch.ones(3, h), torch.zeros(3, h), plan.bounds), Selection(k)
    packed = norm_topk(x, chosen, norm)
    assert packed.mean is not None
    assert packed.rstd is not None
    kept, moments = size_of(packed.values, packed.index), size_of(packed.mean, packed.rstd)
    yield Operator("select", "forward", lambda: norm_topk(x, chosen, norm, scratch=arena),
                   size_of(x) + kept + moments, 7 * n * h)  # fmt: skip
    yield Operator("select", "adjoint", lambda: norm_topk_adjoint_(e, x, packed, dvalues, chosen, norm, scratch=arena),
                   size_of(x, e, e, dvalues, packed.index) + moments, n * (10 * h + 4 * k))  # fmt: skip

    weights = tuple(random(h, len(blocks) * h) for blocks in blocks_of(LISTED).values())
    dweights, bias, dbias = tuple(map(torch.empty_like, weights)), random(3, h), torch.empty(3, h)
    entries, products = plan.lists.idx.numel(), plan.num_table_rows
    yield Operator("mix", "forward", lambda: mix(plan, packed, weights, bias, arena),
                   kept + size_of(plan.lists.ptr, plan.lists.idx, plan.weight, *weights, bias, x) + entries,
                   2 * products * k * h + 2 * entries * h + n * h)  # fmt: skip
    yield Operator("mix", "adjoint",
                   lambda: mix_adjoint(plan, packed, weights, grad, dweights=dweights, dbias=dbias, scratch=arena),
                   kept + size_of(grad, plan.back.ptr, plan.back.idx, plan.back_weight, *weights, *dweights, dvalues),
                   2 * entries * h + 4 * products * k * h + n * h)  # fmt: skip

    yield from _boxes(graph, h, random, arena)
    yield from _sums(graph, h, random, arena)

    f, amax, read = random(n, h) * 1e-3, torch.zeros(()), size_of(x, x, x)
    yield Operator("update", "forward", lambda: add_rounded_(x, f, sign=1, t=T, amax=amax), read, 5 * n * h)
    yield Operator("update", "adjoint", lambda: add_rounded_(x, f, sign=-1, t=T), read, 4 * n * h)


def _boxes(graph: GraphTensors, h: int, random: Callable[..., Tensor], arena: Arena) -> Iterator[Operator]:
    """Both box relations, each in both directions."""
    nets, gcells = random(graph.num_nets, h), random(graph.num_gcells, h)
    x0, y0, x1, y1 = graph.net_box.long().unbind(1)
    full = (x1 >= x0) & (y1 >= y0)
    right, above, left, below = x1 + 1 < graph.nx, y1 + 1 < graph.ny, x0 > 0, y0 > 0
    add = int(((1 + right.long()) * (1 + above.long()))[full].sum())
    look = int(((1 + left.long()) * (1 + below.long()))[full].sum())
    g, m = graph.num_gcells * h, graph.num_nets * h
    both = size_of(nets, gcells)
    to_grid, to_box = both + 8 * add + 4 * graph.num_gcells, both + 8 * look + 4 * graph.num_nets
    for name, op in ((r, relation(graph, r)) for r in ("covers", "covered")):
        spread = (2 * add * h + 2 * g, to_grid)
        gather = (4 * g + 2 * look * h + 2 * m, to_box)
        ways = {"covers": (nets, gcells, spread, gather), "covered": (gcells, nets, gather, spread)}[name]
        yield Operator(f"boxes: {name}", "forward", partial(op.forward, ways[0], arena),
                       ways[2][1], ways[2][0])  # fmt: skip
        yield Operator(f"boxes: {name}", "adjoint", partial(op.adjoint, ways[1], arena),
                       ways[3][1], ways[3][0])  # fmt: skip


def _sums(graph: GraphTensors, h: int, random: Callable[..., Tensor], arena: Arena) -> Iterator[Operator]:
    """The clique's mean: two segment sums, insts to nets and back."""
    op, x = relation(graph, "clique"), random(graph.num_insts, h)
    pins = graph.nets.idx.numel()
    moved = size_of(x, x, graph.nets.ptr, graph.nets.idx, graph.insts.ptr, graph.insts.idx) + 8 * graph.num_insts
    flops = 2 * pins * h + 3 * x.numel()
    yield Operator("segment sums: clique", "forward", lambda: op.forward(x, arena), moved, flops)
    yield Operator("segment sums: clique", "adjoint", lambda: op.adjoint(x, arena), moved, flops)


def measure(graph: GraphTensors, width: int, k: int, rounds: int, rates: dict[str, Any]) -> list[dict[str, Any]]:
    """A row an operator and direction."""
    rows = []
    for op in operators(graph, width // 2, k):
        low, middle, high = np.percentile(np.array(seconds_of(op.run, rounds)) * 1e3, [20, 50, 80]).tolist()
        move_ms = move_seconds(op.moved, rounds) * 1e3
        fma_ms = op.flops / rates["fma_gflop_s"] / 1e6
        rows.append({
            "operator": op.name, "direction": op.direction, "width": width, "cpu_ms": middle, "cpu_p20_ms": low,
            "cpu_p80_ms": high, "bytes": op.moved, "flops": op.flops, "gb_s": op.moved / middle / 1e6,
            "gflop_s": op.flops / middle / 1e6, "move_ms": move_ms, "fma_ms": fma_ms,
            "bound": "bytes" if move_ms >= fma_ms else "FLOPs", "fraction": max(move_ms, fma_ms) / middle,
        })  # fmt: skip
        r = rows[-1]
        print(f"| {r['operator']} | {r['direction']} | {width} | {middle:.2f} | {op.moved / 1e6:.1f} "
              f"| {op.flops / 1e6:.0f} | {move_ms:.2f} | {fma_ms:.2f} | {r['bound']} | {r['fraction']:.2f} |",
              flush=True)  # fmt: skip
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--graph", default="ibex")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("GSR_DATA") or ROOT.parent / "shared" / "data")
    )
    parser.add_argument("--graphs", type=Path, help="a folder that keeps the graphs")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true", help="300 insts, three rounds")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Print the table and save it."""
    args = _parser().parse_args(arguments)
    if native.library() is None:
        print("the C kernels are not built: python setup.py build_ext --inplace", file=sys.stderr)
        return 1
    os.environ["GSR_BACKEND"] = "cpu"
    torch.set_num_threads(1)
    rounds, size = (3, {"size": 300}) if args.quick else (args.rounds, {})
    with tempfile.TemporaryDirectory() as folder:
        graph = GraphTensors.of(read_arrays(arrays_of(args.graph, args.data, args.graphs or Path(folder), **size)))
        rates = machine_rates(rounds, Path(folder), quick=args.quick)
    print("move " + ", ".join(f"{name}: {rate:.1f} GB/s" for name, rate in rates["move_gb_s"].items()))
    print(f"multiply-adds {rates['fma_gflop_s']:.0f} GFLOP/s, product {rates['gemm_gflop_s']:.0f} GFLOP/s")
    print("| operator | direction | D | CPU ms | MB | MFLOP | move ms | FMA ms | bound | fraction |")
    print("|---|---|" + "---:|" * 6 + "---|---:|")
    rows = [row for width in args.widths for row in measure(graph, width, args.k, rounds, rates)]
    if args.out:
        counts = {"graph": args.graph, "insts": graph.num_insts, "nets": graph.num_nets, "gcells": graph.num_gcells,
                  "pins": graph.nets.idx.numel(), "k": args.k, "rounds": rounds}  # fmt: skip
        load = [round(v, 1) for v in os.getloadavg()]
        result = {"bench": "operators", "machine": machine(), "load_average": load, **counts, **rates, "rows": rows}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
