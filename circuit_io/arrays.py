"""What several modules do with flat arrays: rows per owner, numbers without a sort, and blocks that fit the cache."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int, Int32, Int64, Shaped

BLOCK = 1 << 18  # rows at once: temporaries of a block stay in the cache, and memory does not grow with the design


def expand(count: Int64[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " total"], Int64[np.ndarray, " total"]]:
    """For `count[i]` items of each owner i: the owner of every item and its number within the owner."""
    owner = np.repeat(np.arange(len(count)), count)
    first = np.cumsum(count) - count
    return owner, np.arange(len(owner)) - first[owner]


def blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    """Slices that cover n rows in order."""
    return (slice(begin, min(begin + size, n)) for begin in range(0, n, size))


def unique(values: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " kept"]:
    """The different values, ascending: a sort, many times as fast as the hash table of `np.unique`."""
    values = np.sort(values)
    return values[np.flatnonzero(np.diff(values, prepend=values[:1] - 1))] if len(values) else values


def counted(values: Shaped[np.ndarray, " n"]) -> tuple[Shaped[np.ndarray, " kept"], Int64[np.ndarray, " kept"]]:
    """The different values, ascending, and how often each is there."""
    values = np.sort(values)
    first = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    return values[first], np.diff(first, append=len(values))


def numbered(key: Int[np.ndarray, " n"], num_keys: int) -> tuple[Int[np.ndarray, " kept"], Int32[np.ndarray, " n"]]:
    """The different keys in 0..num_keys-1, ascending, and the row of each key among them.

    Looked up in a table of all keys where that is not much larger than the rows, else found by a sort.
    """
    if num_keys > 16 * len(key) + (1 << 16):
        found, back = np.unique(key, return_inverse=True)
        return found, back.astype(np.int32)
    row = np.zeros(num_keys, np.int32)
    row[key] = 1
    found = np.flatnonzero(row)
    row[found] = np.arange(len(found), dtype=np.int32)
    return found, row[key]
