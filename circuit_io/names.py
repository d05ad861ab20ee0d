"""A table of names as one blob of bytes plus offsets: a million names cost their letters and 8 bytes each."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Int, Int64

_CHUNK = 1 << 16  # slices put together at a time
_ERRORS = "surrogateescape"  # bytes that are not UTF-8 survive a round trip


class Names:
    """An immutable sequence of strings held as `blob` (UTF-8) and `offsets` (one more than there are names)."""

    __slots__ = ("_index", "blob", "offsets")

    def __init__(self, blob: bytes, offsets: Int64[np.ndarray, " n_plus_1"]) -> None:
        self.blob, self.offsets = blob, offsets
        self._index: dict[bytes, int] | None = None

    @classmethod
    def of(cls, names: Iterable[str | bytes]) -> "Names":
        """The table of `names`, in their order, repeats kept."""
        raw = [n if isinstance(n, bytes) else n.encode("utf-8", _ERRORS) for n in names]
        offsets = np.zeros(len(raw) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, raw), np.int64, len(raw)), out=offsets[1:])
        return cls(b"".join(raw), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def raw(self, i: int) -> bytes:
        """Name `i` as bytes."""
        return self.blob[self.offsets[i] : self.offsets[i + 1]]

    def __getitem__(self, i: int) -> str:
        if not -len(self) <= i < len(self):
            raise IndexError(i)
        return self.raw(i % len(self)).decode("utf-8", _ERRORS)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tolist())

    def raw_list(self) -> list[bytes]:
        """All names as bytes."""
        ends = self.offsets.tolist()
        return [self.blob[a:b] for a, b in itertools.pairwise(ends)]

    def tolist(self) -> list[str]:
        """All names as strings."""
        return [n.decode("utf-8", _ERRORS) for n in self.raw_list()]

    def slices(self) -> Int64[np.ndarray, "n 2"]:
        """Start and end of each name in `blob`."""
        return np.stack([self.offsets[:-1], self.offsets[1:]], 1)

    @classmethod
    def of_slices(cls, blob: bytes, slices: Int64[np.ndarray, "n 2"], per_name: int = 1) -> "Names":
        """The table of names that are made of `per_name` slices of `blob` each, one after the other."""
        offsets = np.zeros(len(slices) // per_name + 1, np.int64)
        np.cumsum(np.diff(slices).reshape(-1, per_name).sum(1), out=offsets[1:])
        if not len(slices):
            return cls(b"", offsets)
        start, end = slices.T
        breaks = np.flatnonzero(start[1:] != end[:-1]) + 1  # slices that touch are one
        start, end = start[np.append(0, breaks)[: len(start)]], end[np.append(breaks, len(end)) - 1]
        chunks = ((start[i : i + _CHUNK].tolist(), end[i : i + _CHUNK].tolist()) for i in range(0, len(start), _CHUNK))
        return cls(b"".join(b"".join([blob[a:b] for a, b in zip(*c, strict=True)]) for c in chunks), offsets)

    def take(self, ids: Iterable[int] | Int[np.ndarray, " m"]) -> "Names":
        """The table of the names at `ids`, in that order."""
        return Names.of_slices(self.blob, self.slices()[np.fromiter(ids, np.int64)])

    def with_escaped_slashes(self) -> "Names":
        """The names with their slashes escaped as DEF does, where `/` divides levels of hierarchy."""
        slashes = np.flatnonzero(np.frombuffer(self.blob, np.uint8) == ord("/"))
        if not len(slashes):
            return self
        return Names(self.blob.replace(b"/", b"\\/"), self.offsets + np.searchsorted(slashes, self.offsets))

    def plain(self) -> "Names":
        """The names without backslashes, to compare files whose writers escape other signs."""
        signs = np.flatnonzero(np.frombuffer(self.blob, np.uint8) == ord("\\"))
        if not len(signs):
            return self
        return Names(self.blob.replace(b"\\", b""), self.offsets - np.searchsorted(signs, self.offsets))

    @property
    def index(self) -> dict[bytes, int]:
        """Name (bytes) to its first position; built at the first use and kept."""
        if self._index is None:
            index: dict[bytes, int] = {}
            for i, name in enumerate(self.raw_list()):
                index.setdefault(name, i)
            self._index = index
        return self._index

    def find(self, name: str | bytes) -> int:
        """Position of `name`, or -1."""
        return self.index.get(name if isinstance(name, bytes) else name.encode("utf-8", _ERRORS), -1)

    def rows_of(self, names: "Names") -> Int64[np.ndarray, " m"]:
        """The first position here of each of `names`, or -1."""
        index = self.index
        return np.fromiter((index.get(n, -1) for n in names.raw_list()), np.int64, len(names))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and self.blob == other.blob and np.array_equal(self.offsets, other.offsets)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Names({len(self)}: {', '.join(self.take(range(min(3, len(self)))).tolist())}, ...)"
