"""The C kernels of `gsr_plugin/csrc`, loaded once; every call leaves the interpreter lock to others."""

import ctypes
import logging
from ctypes import c_float, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from circuit_io.native import extension

_log = logging.getLogger(__name__)

TASK_ROWS = 256  # as in kernels.c
CHUNKS = 16
PARALLEL_ROWS = 2048
MAGNITUDE, RELU, CHOSEN, BF16 = 1, 2, 4, 8
ISA_LEVELS = ("base", "avx2", "avx512")

P, N = c_void_p, c_int64
_SIGNATURES = {
    "gsr_select": [P, P, P, P, N, N, N, N, N, P, P, P, P, N],
    "gsr_norm_adjoint": [P, P, P, P, P, P, P, N, N, N, P, P, P, N],
    "gsr_column_sums": [P, N, N, P, N],
    "gsr_segment_sum": [P, P, P, P, N, N, P, N],
    "gsr_running_sums": [P, N, N, N, N],
    "gsr_round_bf16": [P, N, P, N],
    "gsr_update": [P, P, N, c_float, c_float, P, N],
    "gsr_mix": [P, N, P, P, P, P, P, P, P, P, N, N, N, N, P, N],
    "gsr_product": [P, N, P, P, N, N, N, N, P, N],
    "gsr_mix_adjoint": [P, P, N, P, P, P, P, P, P, N, P, P, N, N, P, P, P, N],
}


@cache
def library() -> ctypes.CDLL | None:
    """The kernels, or None where they were not built (`python setup.py build_ext --inplace`)."""
    stem = Path(__file__).resolve().parent.parent / "_kernels"
    return extension(stem, _declared, otherwise="slower kernels run instead")


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    lib.gsr_level.argtypes, lib.gsr_level.restype = [c_int], c_int
    lib.gsr_set_threads.argtypes, lib.gsr_set_threads.restype = [P], None
    level = lib.gsr_level(len(ISA_LEVELS) - 1)
    for name, types in _SIGNATURES.items():
        if level == 0 and not hasattr(lib, name):
            continue  # products need fused multiply-add: left to the other backends
        function = getattr(lib, name)
        function.argtypes, function.restype = types, c_int64 if name == "gsr_select" else None
    try:
        # torch's own OpenMP runtime, whichever it is: GNU's, LLVM's and Intel's all have this entry
        lib.gsr_set_threads(ctypes.cast(ctypes.CDLL(None).GOMP_parallel, P))
    except AttributeError:
        _log.info("no OpenMP runtime in sight: the C kernels run on one thread")
    return lib


def kernels() -> ctypes.CDLL:
    """The kernels, which must be there."""
    lib = library()
    assert lib is not None
    return lib


@cache
def has_products() -> bool:
    """Whether the processor has fused multiply-add, which the products need."""
    lib = library()
    return lib is not None and lib.gsr_level(len(ISA_LEVELS) - 1) > 0


def at(t: Tensor | None) -> int | None:
    """Address of a contiguous tensor."""
    if t is None:
        return None
    assert t.is_contiguous()
    return t.data_ptr()


def threads(rows: int) -> int:
    """As many as torch uses; one where waking the others costs more than `rows` rows of work."""
    return torch.get_num_threads() if rows >= PARALLEL_ROWS else 1


def longs(values: tuple[int, ...]) -> ctypes.Array[c_int64]:
    """An array of int64."""
    return (c_int64 * len(values))(*values)


def addresses(values: list[int | None]) -> ctypes.Array[c_void_p]:
    """An array of pointers."""
    return (c_void_p * len(values))(*values)
