"""The processes of one run (`torchrun`): who this one is, what they add up, and how an error in one of them ends all.

Every process takes the same steps with the same weights. The placements of a step are shared out and the gradients
added up, so that the same settings train the same model, but for rounding, on any number of processes.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from circuit_io.errors import GsrError, InputError

PATIENCE = timedelta(hours=6)  # the others wait while the first one scores; a process that ends is noticed at once


class PeerLostError(GsrError):
    """Another process of the run ended without a word."""

    exit_code = 1


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run.

    Attributes:
        rank: its number, from 0.
        size: how many there are.
        local: its number on this machine: the GPU that it takes.
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes and talks."""
        return self.rank == 0

    def share(self, costs: Sequence[int]) -> list[int]:
        """Which items this process takes: the costliest goes first, to the process that has the least so far."""
        load, mine = [0] * self.size, []
        for i in sorted(range(len(costs)), key=lambda i: -costs[i]):
            to = load.index(min(load))
            load[to] += costs[i]
            if to == self.rank:
                mine.append(i)
        return sorted(mine)

    def add_up_(self, tensors: Sequence[Tensor]) -> None:
        """Make every tensor its sum over the processes, with the same bits in all of them; dtype and device are one.

        Raises:
            PeerLostError: another process ended.
        """
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        try:
            dist.all_reduce(flat)
        except RuntimeError as e:
            raise PeerLostError(
                f"process {self.rank} lost another process of the run: {str(e).splitlines()[0]}\n"
                "  It was killed, or ran out of memory. --resume goes on from the last checkpoint."
            ) from e
        for t, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            t.copy_(part.view_as(t))


def is_one_of_several() -> bool:
    """Whether torchrun started this process, beside others."""
    return dist.is_torchelastic_launched() and os.environ.get("WORLD_SIZE") != "1"


def leave(code: int) -> NoReturn:
    """End this process at once, as one of several must.

    A thread of gloo frees the last tensor it added up when it gets to run, and needs the interpreter for that: while
    the group is taken apart it may wait for ever, and while the interpreter ends it aborts the process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def joined() -> Iterator[Ranks]:
    """This process among those that torchrun started; alone without it. It ends by `leave`.

    The first process that fails raises its error, the others end with its exit code and say nothing.
    """
    if not is_one_of_several():
        yield Ranks()
        return
    try:
        store, rank, size = next(iter(rendezvous("env://")))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    except (RuntimeError, ValueError) as e:
        raise InputError(f"the processes do not find each other: {e}", path="torchrun", mend="See --rdzv-...") from e
    try:
        yield Ranks(rank, size, int(os.environ.get("LOCAL_RANK", "0")))
    except (Exception, KeyboardInterrupt) as e:
        if store.add("gsr/failed", 1) == 1:
            raise
        code = 130 if isinstance(e, KeyboardInterrupt) else getattr(e, "exit_code", 1)
        raise SystemExit(code) from e
