"""Whether depth trains: the same designs, steps and settings at 8 to 300 layers, several seeds.

    gsr bench depth DATA [--runs RUNS] [--layers 8 32 100 300] [--seeds 3] [--set train.lr=1e-3 ..] [--out FILE]

DATA holds exports with labels (`gsr bench corpus`); one placement of every design below `--max-insts` is trained on, by
the loop and loss of `gsr train`, 32 channels, whole epochs up to `--steps` steps or more: the first depth at the
default rate, to which the others are compared, and every depth with `train.full_rate_layers = 2`. Losses of a run are
means over its last two epochs, that is over all designs twice. Before the first step: how the stack changes the size of
a value and of a gradient; at the end: the loss over all designs as they are, and the input that the backward comes back
to beside the one that went in. RUNS keeps the runs: those that are done are not done again, a stopped one goes on.
`--quick` takes 2 and 4 layers, one seed, 8 steps. Exit code 1: a mark is missed.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from bench.machine import machine  # noqa: E402
from circuit_io.errors import InputError  # noqa: E402
from circuit_io.store import open_design  # noqa: E402
from circuit_io.transform import Symmetry  # noqa: E402
from gsr_plugin.config import RunConfig, load_config  # noqa: E402
from gsr_plugin.dataset import Entry, Loader, find_designs  # noqa: E402
from gsr_plugin.graph_tensors import GraphTensors  # noqa: E402
from gsr_plugin.losses import placement_loss  # noqa: E402
from gsr_plugin.model import GsrGnn  # noqa: E402
from gsr_plugin.normaliser import Normaliser  # noqa: E402
from gsr_plugin.run_folder import CONFIG  # noqa: E402
from gsr_plugin.schedule import Step, stack_rate  # noqa: E402
from gsr_plugin.train import train  # noqa: E402
from gsr_plugin.weights import load_weights  # noqa: E402

DEEPER = 1.05  # the most that a deeper stack's loss may be of the shallowest one's
CPU = torch.device("cpu")


def small_designs(data: Path, max_insts: int) -> list[Entry]:
    """The first placement of every design that is small enough, ports counted."""
    chosen: dict[tuple[str, str, str], Entry] = {}
    for entry in find_designs([data]):
        if open_design(entry.path).graph.num_insts < max_insts:
            chosen.setdefault(entry.design_key, entry)
    return list(chosen.values())


def _loss(model: GsrGnn, normaliser: Normaliser, config: RunConfig, load: Loader, entry: Entry) -> Tensor:
    """Loss of a placement as it is."""
    step = Step(entry, Symmetry(), hide_liberty=False, weight=1.0)
    return placement_loss(model, normaliser, config.train, load(entry), step, CPU)[0]


def at_the_start(config: RunConfig, entries: list[Entry], load: Loader) -> dict[str, float]:
    """Of the new stack on every graph, N(0, 1) in and N(0, 1) as the gradient of what comes out, means of ratios.

    `value` and `gradient`: output over input, gradient of the input over that of the output (rms); `first_over_last`:
    gradients of the matrices of these layers.
    """
    stack, draw = GsrGnn(config.model, seed=config.train.seed).stack, torch.Generator().manual_seed(config.train.seed)
    ratios = []
    for entry in entries:
        graph = GraphTensors.of(load(entry).graph)
        x, g = (torch.randn(graph.num_nodes, config.model.width, generator=draw) for _ in range(2))
        stack.zero_grad()
        out = stack(x.requires_grad_(), graph)
        out.backward(g)
        grads = [p.grad for name, p in stack.named_parameters() if name.startswith("mix")]
        first, last = (torch.stack([w[layer].norm() for w in grads if w is not None]).norm() for layer in (0, -1))
        assert x.grad is not None
        ratios.append(
            [float(r) for r in (out.detach().norm() / x.detach().norm(), x.grad.norm() / g.norm(), first / last)]
        )
    return dict(zip(("value", "gradient", "first_over_last"), map(fmean, zip(*ratios, strict=True)), strict=True))


def at_the_end(run: Path, config: RunConfig, entries: list[Entry], load: Loader) -> dict[str, Any]:
    """Of the trained model: loss over all designs, and what differs in the inputs that the backward comes back to."""
    weights = load_weights(run, device="cpu")
    stack, t = weights.model.stack, weights.model.config.grid
    assert t is not None
    went_in: list[Tensor] = []
    came_back: list[Tensor] = []
    stack.register_forward_pre_hook(lambda _, args: went_in.append(args[0].detach().clone()))
    stack.on_undone = lambda streams: came_back.append(torch.cat([streams[0], streams[1]], 1))
    losses, values, different = [], 0, 0
    for entry in entries:
        loss = _loss(weights.model, weights.normaliser, config, load, entry)
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
        x, back = went_in.pop(), came_back.pop()
        values += x.numel()
        different += int((back != torch.round(x * 2.0**t) * 2.0**-t).sum())
        stack.free_memory()
    return {"all_designs_loss": fmean(losses), "rebuilt_values": values, "rebuilt_different": different}


def run_once(
    layers: int, full_rate_layers: int, seed: int, base: RunConfig, entries: list[Entry], out: Path
) -> dict[str, Any]:
    """Train one model, or go on where it stopped; what was done before is read."""
    found_at = out / "depth.json"
    config = base.model_copy(update={
        "model": base.model.model_copy(update={"layers": layers}),
        "train": base.train.model_copy(update={"seed": seed, "full_rate_layers": full_rate_layers}),
    })  # fmt: skip
    if found_at.is_file():
        found: dict[str, Any] = json.loads(found_at.read_text())
        if load_config(out / CONFIG, env={}) != config or found["steps"] != config.train.epochs * len(entries):
            mend = "Give the settings and designs of that run, or other --runs."
            raise InputError("is a run with other settings or designs", path=out, mend=mend)
        return found
    load, start = Loader(), time.process_time()
    start_ratios = at_the_start(config, entries, load)
    train([e.path for e in entries], out, config=config, resume=(out / "state").is_dir(), quiet=True)
    cpu_s = time.process_time() - start
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["event"] == "step"]
    losses, last = [step["loss"] for step in steps], 2 * len(entries)
    squared = [step["squared"] for step in steps]
    found = {
        "layers": layers, "seed": seed, "t": config.model.grid,
        "lr": config.train.lr, "stack_share": stack_rate(config.train, layers),
        "steps": len(steps), "first_loss": fmean(losses[: len(entries)]), "last_loss": fmean(losses[-last:]),
        "last_squared": fmean(squared[-last:]),
        **at_the_end(out, config, entries, load),
        "finite": all(math.isfinite(step[key]) for step in steps for key in ("loss", "grad_norm")),
        "range_frac": max(step["range_frac"] for step in steps),
        "largest_grad_norm": max(step["grad_norm"] for step in steps), "at_the_start": start_ratios, "cpu_s": cpu_s,
        "commit": machine()["commit"],
    }  # fmt: skip
    found_at.write_text(json.dumps(found, indent=1) + "\n")
    return found


LOSSES = ("last_loss", "last_squared", "all_designs_loss")


def summarise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a depth and rate: means, the spread over seeds, and the losses over those of the first row."""
    table: list[dict[str, Any]] = []
    for layers, share in dict.fromkeys((row["layers"], row["stack_share"]) for row in rows):
        mine = [row for row in rows if (row["layers"], row["stack_share"]) == (layers, share)]
        mean = {key: fmean(row[key] for row in mine) for key in ("first_loss", *LOSSES)}
        first = table[0] if table else mean
        table.append({
            "layers": layers, **{key: mine[0][key] for key in ("t", "lr", "stack_share", "steps")}, **mean,
            **{f"{key}_min": min(row[key] for row in mine) for key in LOSSES},
            **{f"{key}_max": max(row[key] for row in mine) for key in LOSSES},
            **{f"{key}_ratio": mean[key] / first[key] for key in LOSSES},
            "finite": all(row["finite"] for row in mine),
            "range_frac": max(row["range_frac"] for row in mine),
            "rebuilt_values": sum(row["rebuilt_values"] for row in mine),
            "rebuilt_different": sum(row["rebuilt_different"] for row in mine),
            "at_the_start": {key: fmean(row["at_the_start"][key] for row in mine) for key in mine[0]["at_the_start"]},
            "cpu_s": fmean(row["cpu_s"] for row in mine),
        })  # fmt: skip
    return table


def marks(table: list[dict[str, Any]]) -> dict[str, bool]:
    """What the depths have to reach."""

    def low(key: str) -> bool:
        return all(row[f"{key}_ratio"] <= DEEPER for row in table)

    return {
        "every loss and gradient is finite": all(row["finite"] for row in table),
        "loss of the last epochs, at most 1.05 of the first row's": low("last_loss"),
        "squared error of the last epochs likewise": low("last_squared"),
        "loss over all designs at the end likewise": low("all_designs_loss"),
        "the range is not reached": all(row["range_frac"] < 1 for row in table),
        "the input comes back": all(row["rebuilt_different"] == 0 for row in table),
    }


def _print(table: list[dict[str, Any]]) -> None:
    heads = ["layers", "rate of the stack", "squared error", "min..max", "to the first", "loss", "to the first",
             "all designs", "to the first", "range", "differ", "gradient", "CPU"]  # fmt: skip
    print(f"| {' | '.join(heads)} |")
    print("|---:" * len(heads) + "|")
    for r in table:
        print(f"| {r['layers']} | {r['lr'] * r['stack_share']:.2g} | {r['last_squared']:.4f} "
              f"| {r['last_squared_min']:.4f}..{r['last_squared_max']:.4f} | {r['last_squared_ratio']:.3f} "
              f"| {r['last_loss']:.4f} | {r['last_loss_ratio']:.3f} | {r['all_designs_loss']:.4f} "
              f"| {r['all_designs_loss_ratio']:.3f} | {r['range_frac']:.4f} | {r['rebuilt_different']} "
              f"| {r['at_the_start']['gradient']:.2f} | {r['cpu_s']:.0f} s |")  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, help="keeps the runs")
    parser.add_argument("--layers", type=int, nargs="+", default=[8, 32, 100, 300])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--max-insts", type=int, default=2000)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="as gsr train")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Train, print the table, save it."""
    args = _parser().parse_args(arguments)
    if args.quick:
        args.layers, args.seeds, args.steps = [2, 4], 1, 8
    torch.set_num_threads(1)
    entries = small_designs(args.data, args.max_insts)
    epochs = math.ceil(args.steps / len(entries))
    sets = ["model.width=32", "train.full_rate_layers=2", f"train.epochs={epochs}", 'train.device="cpu"', *args.set]
    config, rows = load_config(None, sets, env={}), []
    full = config.train.full_rate_layers
    kinds = [(args.layers[0], 0)] * (stack_rate(config.train, args.layers[0]) < 1) + [(n, full) for n in args.layers]
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(args.seeds):
            for layers, rule in kinds:
                out = (args.runs or Path(scratch)) / f"{layers}-{seed}{'' if rule else '-whole'}"
                rows.append(run_once(layers, rule, seed, config, entries, out))
                row = rows[-1]
                print(f"{layers} layers, seed {seed}: squared error {row['last_squared']:.4f}, "
                      f"loss {row['last_loss']:.4f}, {row['cpu_s']:.0f} s", flush=True)  # fmt: skip
    table = summarise(sorted(rows, key=lambda row: (row["layers"], -row["stack_share"], row["seed"])))
    _print(table)
    reached = marks(table)
    for text, met in reached.items():
        print(f"{met!s:6s} {text}")
    if args.out:
        setting = {"designs": [e.name for e in entries], "families": sorted({e.family for e in entries}),
                   "epochs": epochs, "settings": config.model_dump(mode="json")}  # fmt: skip
        result = {"bench": "depth", "machine": machine(), **setting, "marks": reached, "table": table, "runs": rows}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if all(reached.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
