"""Mutated texts for the C scanners under gcc's address and undefined-behaviour sanitizers: see tests/fuzz/fuzz.c."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FUZZ = ROOT / "tests" / "fuzz"
SANITIZE = ["-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
WRAP = "-Wl,--wrap=realloc,--wrap=calloc"
RUNS = int(os.environ.get("GSR_FUZZ_RUNS", "100000"))
SEED = os.environ.get("GSR_FUZZ_SEED", "1")


def scanners() -> list[str]:
    return sorted(path.stem for path in (FUZZ / "seeds").glob("scan_*"))


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The harness with all scanners, built with the sanitizers."""
    if not (gcc := shutil.which("gcc")):
        pytest.skip("no gcc")
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    trial = subprocess.run([gcc, *SANITIZE, "empty.c", "-o", "empty"], cwd=folder, capture_output=True, check=False)
    if trial.returncode or subprocess.run([folder / "empty"], capture_output=True, check=False).returncode:
        pytest.skip("gcc has no working address sanitizer")
    sources = [FUZZ / "fuzz.c", *sorted((ROOT / "circuit_io" / "csrc").glob("*.c"))]
    done = subprocess.run(
        [gcc, *SANITIZE, "-Wall", "-Wextra", WRAP, *sources, "-o", folder / "fuzz"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "fuzz"


@pytest.mark.slow
def test_every_scanner_is_fuzzed(fuzz: Path) -> None:
    listed = subprocess.run([fuzz], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(listed) == scanners()
    sources = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "circuit_io" / "csrc").glob("scan_*.c"))
    assert sources.count("SCAN_API scan_result *scan_") == len(listed)


@pytest.mark.slow
@pytest.mark.parametrize("scanner", scanners())
def test_mutated_texts(fuzz: Path, tmp_path: Path, scanner: str) -> None:
    seeds = sorted((FUZZ / "seeds").glob(f"{scanner}.*"))
    done = subprocess.run(
        [fuzz, scanner, str(RUNS), SEED, *seeds],
        env=os.environ | {"FUZZ_KEEP": str(tmp_path / "last"), "ASAN_OPTIONS": "allocator_may_return_null=1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stderr.decode(errors='replace')}\nthe text: {tmp_path}/last"
    taken = int(done.stdout.split()[-2])
    assert 0 < taken <= RUNS
