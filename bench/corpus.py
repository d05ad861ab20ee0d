"""Export every labelled placement below a data folder, with Liberty, several at a time.

    gsr bench corpus DATA --out OUT [--sets labels,labels_hard] [--jobs 2]

DATA holds `pdk/<tech>/{lef,lib}` and `<set>/<tech>/<design>/<variant>/` (shared data), or `tech/` and
`labels/<tech>/...` (the demo kit). A placement that is in OUT already stays; one that fails is reported at the end.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from circuit_io.data_folder import library_files
from circuit_io.errors import GsrError
from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels

__all__ = ["export_one", "label_folders", "library_files", "main"]


def label_folders(data: Path, sets: list[str]) -> list[Path]:
    """All placements with labels, largest first."""
    found = [p.parent for s in sets for p in (data / s).glob("*/*/*/done.json")]
    size = lambda folder: -sum(p.stat().st_size for p in folder.glob("placed.def*"))  # noqa: E731
    return sorted(found, key=lambda p: (size(p), str(p)))


def export_one(folder: Path, data: Path, out: Path) -> tuple[str, float, str]:
    """Name, seconds and, when it failed, the error of one placement."""
    tech = folder.parts[-3]
    name = "/".join(folder.parts[-4:])
    start = time.perf_counter()
    target = out / name
    if target.is_dir():
        return name, 0.0, ""
    try:
        lef, lib = library_files(data, tech)
        export_design(sources_of_labels(folder, lef=lef, lib=lib), target)
    except GsrError as e:
        return name, time.perf_counter() - start, str(e)
    return name, time.perf_counter() - start, ""


def main(arguments: list[str] | None = None) -> int:
    """Run over the whole folder; 1 when a placement failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", default="labels")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--failed-only", action="store_true", help="name only what failed")
    args = parser.parse_args(arguments)
    folders = label_folders(args.data, args.sets.split(","))
    start, failed = time.perf_counter(), []
    by_tech = sorted(folders, key=lambda p: p.parts[-3])  # a worker then keeps one technology's library
    with ProcessPoolExecutor(args.jobs) as pool:
        work = [pool.submit(export_one, f, args.data, args.out) for f in by_tech]
        for done in work:
            name, seconds, error = done.result()
            if error or not args.failed_only:
                print(f"{name:45s} {seconds:7.2f} s {error}", flush=True)
            if error:
                failed.append(name)
    print(f"{len(folders)} placements, {len(failed)} failed, {time.perf_counter() - start:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
