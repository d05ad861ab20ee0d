"""Fixtures that find the input sets, and say why a test is skipped when one is absent."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch starts: waiting threads must not spin on busy cores
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")  # as `gsr` sets it: the same bits for any number of threads

settings.register_profile("any machine", deadline=None, derandomize=True)  # no test depends on seconds or on chance
settings.register_profile("search", deadline=None, max_examples=1000)  # pytest --hypothesis-profile=search
settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def kit() -> Path:
    """Our own demo library and designs."""
    return ROOT / "demos" / "kit"


@pytest.fixture(scope="session")
def gsr_data() -> Path:
    """Third-party designs with labels; they are never part of the repository."""
    folder = Path(os.environ.get("GSR_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "labels").is_dir():
        pytest.skip(f"no labelled designs at {folder}: set GSR_DATA to the folder that holds labels/ and pdk/")
    return folder
