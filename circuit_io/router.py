"""The embedded router: capacity-aware patterns and mazes on the gcell grid, for maps, baselines and approximate labels.

Trees, an L for each segment, a Z where it is crowded, detours with a logistic price of fullness and, while edges
overflow, mazes with growing history, prices and reach; then, where none overflows, mazes on the layers. Tracks blocked
by fixed shapes count as taken. The passes are in C (`router_native`) or, where it is not built, in NumPy and Python
(`router_reference`): whole numbers, the same routes.
"""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from circuit_io import native
from circuit_io.cores import num_cores
from circuit_io.errors import InputError
from circuit_io.graph import CircuitGraph
from circuit_io.router_board import Plan, plan_of
from circuit_io.router_demand import Demand, Pair, check_demand, demand_of, is_edge
from circuit_io.router_run import KEPT, ROUNDS, Run, finish, is_compiled, passes_here, start

_log = logging.getLogger(__name__)

MapF = Float32[np.ndarray, "ny nx"]

_EASY_GCELLS = 10  # and more to a track of overflow before the mazes: an easy design


@dataclass(frozen=True)
class Routing:
    """Mean of several runs on every edge, of their last rounds where overflow is left; nan where no edge or track is.

    Attributes:
        h: congestion, demand over the tracks that adjustments leave (1 = full), of the edge to the right.
        v: the same of the edge above.
        spread_h: standard deviation of `h` between the runs, and the last rounds of one.
        spread_v: the same of `v`.
        first_h: `h` at the end of the first run alone.
        first_v: `v` of the first run alone.
        overflow_h: demand above capacity, in tracks; mean over the runs.
        overflow_v: the same.
        net_gcells: routed length of each net in every run, as in `Run`.
        overflow: tracks of overflow of each run, all edges together.
        rounds: rounds of rip-up of each run.
        seed: number of the first run.
    """

    h: MapF
    v: MapF
    spread_h: MapF
    spread_v: MapF
    first_h: MapF
    first_v: MapF
    overflow_h: MapF
    overflow_v: MapF
    net_gcells: Int32[np.ndarray, "runs nets"]
    overflow: tuple[int, ...]
    rounds: tuple[int, ...]
    seed: int

    @property
    def likely_gcells(self) -> Float64[np.ndarray, " nets"]:
        """Length of each net: in the first run where that leaves no overflow, else the median of the runs."""
        runs = self.net_gcells if self.overflow[0] else self.net_gcells[:1]
        likely: Float64[np.ndarray, " nets"] = np.median(runs, axis=0)
        return likely

    @property
    def pressure(self) -> float:
        """How much a design is in want of tracks: the more, the likelier that it overflows at all; 0 where it is easy.

        Tracks of overflow a gcell, mean over the runs, and below all of them the rounds of rip-up that avoided it.
        """
        tries = (o + r / ROUNDS for o, r in zip(self.overflow, self.rounds, strict=True))
        return sum(tries) / len(self.overflow) / self.h.size


def route(design: Demand | CircuitGraph, *, runs: int = 8, seed: int = 0, most_searched: int = 0) -> Routing:
    """Mean congestion per edge over several runs of the router, with its spread.

    Run n differs from the others in the order of the nets. It depends on n alone: runs of seed 0 are numbers 0 to
    `runs` - 1, those of seed 8 begin at 8. Number 0 keeps the design's order of nets.

    Args:
        design: a graph, or what `demand_of` made of it.
        runs: how many.
        seed: number of the first.
        most_searched: make no further run that would bring the gcells searched above this, and only half of them where
            the first leaves overflow: the mean over its last rounds says as much as several. 0 makes all. The first run
            is always made.

    Raises:
        InputError: no run, a negative seed, a grid of one gcell, pins outside the grid, maps that do not fit it or hold
            negative tracks, or a direction without any track.

    Source:
        The steps, prices and the choice among equal routes follow Y. Xu, Y. Zhang and C. Chu, "FastRoute 4.0: global
        router with efficient via minimization", ASP-DAC 2009, M. Pan and C. Chu, "FastRoute 2.0", 2007 (mazes from tree
        to tree), and OpenROAD's FastRoute. docs/how-it-works.md, "The embedded router".
    """
    if runs < 1 or seed < 0:
        raise InputError(
            f"{runs} runs from number {seed}", path="router", mend="Give 1 run or more, and a seed from 0."
        )
    task = design if isinstance(design, Demand) else demand_of(design)
    check_demand(task)
    if not is_compiled():
        _log.warning("routing in NumPy, hundreds of times as slow as in C (%s)", native.BUILD)
    shape, plan = (task.ny, task.nx), plan_of(task)
    total, square, over = (tuple(np.zeros(shape, np.int64) for _ in "hv") for _ in range(3))
    lengths: list[Int64[np.ndarray, " nets"]] = []
    overflow: list[int] = []
    rounds: list[int] = []
    first: Pair = task.blocked
    for run in _runs(plan, range(seed, seed + runs), most_searched):
        first = first if rounds else run.wires
        for d in range(2):
            total[d][:] += run.tally.sums[d]
            square[d][:] += run.tally.squares[d]
            over[d][:] += np.maximum(
                run.tally.sums[d] + KEPT * (task.blocked[d].astype(np.int64) - task.capacity[d]), 0
            )
        lengths.append(run.net_gcells)
        overflow.append(run.overflow)
        rounds.append(run.rounds)
    seen, maps = len(overflow) * KEPT, []
    for d, edge in enumerate(is_edge(shape)):
        capacity = np.where(edge & (task.capacity[d] > 0), task.capacity[d], np.nan)
        variance = np.maximum(square[d] * seen - total[d] * total[d], 0)  # exact in whole numbers, times seen^2
        need = total[d] + seen * task.blocked[d].astype(np.int64)
        maps += [need / seen / capacity, np.sqrt(variance) / seen / capacity,
                 (first[d] + task.blocked[d]) / capacity,
                 np.where(np.isnan(capacity), np.nan, over[d] / seen)]  # fmt: skip
    h, spread_h, first_h, over_h, v, spread_v, first_v, over_v = (m.astype(np.float32) for m in maps)
    return Routing(h, v, spread_h, spread_v, first_h, first_v, over_h, over_v, np.asarray(lengths, np.int32),
                   tuple(overflow), tuple(rounds), seed)  # fmt: skip


def _runs(plan: Plan, numbers: range, most_searched: int) -> Iterator[Run]:
    """Runs in the order of their numbers, as many as `most_searched` allows; see `route`.

    They are made side by side, no more at a time than will be wanted as far as can be told: where the first begins with
    hardly any overflow a second is taken for granted.
    """
    steps, threads, made, searched = passes_here(), _threads(), 0, 0
    first = start(plan, numbers[0], steps)
    is_easy = first.overflow <= plan.task.nx * plan.task.ny // _EASY_GCELLS
    most = len(numbers)
    wanted = min(most, 2) if is_easy else 1

    def run_of(number: int) -> Run:
        return finish(plan, first if number == numbers[0] else start(plan, number, steps), steps)

    with ThreadPoolExecutor(threads) as pool:
        while made < wanted:
            for run in pool.map(run_of, numbers[made : min(wanted, made + threads)]):
                if made == wanted:
                    return
                made += 1
                searched += run.searched
                if made == 1 and run.overflow and most_searched:
                    most = (most + 1) // 2
                more = max(most_searched - searched, 0) // max(searched // made, 1) if most_searched else most
                wanted = min(made + more, most)
                yield run


def _threads() -> int:
    """Runs at a time: as many as OMP_NUM_THREADS or the cores allow, four at most."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    cores = int(told) if told.isdecimal() and int(told) else num_cores()
    return min(cores, 4) if is_compiled() else 1
