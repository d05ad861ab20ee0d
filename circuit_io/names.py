"""A table of names as one blob of bytes plus offsets: a million names cost their letters and 8 bytes each."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Int64

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

    def take(self, ids: Iterable[int]) -> "Names":
        """The table of the names at `ids`, in that order."""
        return Names.of(self.raw(int(i)) for i in ids)

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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and self.blob == other.blob and np.array_equal(self.offsets, other.offsets)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Names({len(self)}: {', '.join(self.take(range(min(3, len(self)))).tolist())}, ...)"
