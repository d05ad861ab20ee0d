"""liberty-parser beside our Liberty reader."""

from pathlib import Path

from test_liberty import assert_backends_agree


def agree(path: Path, scratch: Path) -> None:
    """Every column equal, or an AssertionError."""
    del scratch  # all peers take one
    assert_backends_agree(path)
