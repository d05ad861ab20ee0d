"""Parts of many names at once: what stands before the last divider, and the word that a name begins with."""

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int32, Int64, UInt8

from circuit_io.names import Names


class NameParts:
    """The bytes of a table of names, and the different ones among parts of them in order of first appearance."""

    def __init__(self, names: Names) -> None:
        self.names, self.bytes = names, np.frombuffer(names.blob, np.uint8)
        self.start, self.end = names.offsets[:-1], names.offsets[1:]

    def heads(self, of: Bool[np.ndarray, " names"]) -> tuple[Int32[np.ndarray, " names"], list[bytes]]:
        """What stands before the last `/` or `.` of each name `of`, as a number in the list, else -1."""
        divider = self._positions(b"/.")
        last = np.searchsorted(divider, self.end) - 1
        cut = np.where(last >= 0, divider[last], 0) if len(divider) else np.zeros(len(self.names), np.int64)
        rows = np.flatnonzero((cut > self.start) & of)
        code, heads = self._different(self.start[rows], cut[rows])
        out = np.full(len(self.names), -1, np.int32)
        out[rows] = code
        return out, heads

    def words(self, rows: Int64[np.ndarray, " rows"]) -> tuple[Int32[np.ndarray, " rows"], list[bytes]]:
        """What stands before the first `[` or `$` of some names, the whole name where there is none."""
        mark = np.append(self._positions(b"[$"), len(self.bytes))
        start, end = self.start[rows], self.end[rows]
        return self._different(start, np.minimum(mark[np.searchsorted(mark, start)], end))

    def is_numbered(self) -> Bool[np.ndarray, " names"]:
        """True for names as `_123_`: an underscore, digits, and one byte more."""
        size, out = self.end - self.start, np.zeros(len(self.names), bool)
        rows = np.flatnonzero(size > 2)
        rows = rows[self.bytes[self.start[rows]] == ord("_")]
        if len(rows):
            is_digit = (self.bytes >= ord("0")) & (self.bytes <= ord("9"))
            inner = np.stack([self.start[rows] + 1, self.end[rows] - 1], axis=1).ravel()
            out[rows] = np.logical_and.reduceat(is_digit, inner)[::2]
        return out

    def _positions(self, of: bytes) -> Int64[np.ndarray, " found"]:
        is_one: UInt8[np.ndarray, " bytes"] | Bool[np.ndarray, " bytes"] = self.bytes == of[0]
        for letter in of[1:]:
            is_one = is_one | (self.bytes == letter)
        return np.flatnonzero(is_one)

    def _different(
        self, begin: Int64[np.ndarray, " rows"], end: Int64[np.ndarray, " rows"]
    ) -> tuple[Int32[np.ndarray, " rows"], list[bytes]]:
        """Number and list of the parts `begin` to `end`, which follow one another in the blob."""
        offsets = np.append(np.stack([begin, end], axis=1).ravel(), end[-1:] if len(end) else [0])
        both = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), 2 * len(begin), [None, pa.py_buffer(offsets), pa.py_buffer(self.names.blob)]
        )
        found = both.take(pa.array(np.arange(0, 2 * len(begin), 2))).dictionary_encode()
        return np.asarray(found.indices), found.dictionary.to_pylist()
