"""Read every DEF, LEF, Verilog, Liberty, SPEF and SDC file below a folder, and hold the values against other tools.

    GSR_CORPUS=DIR make corpus        or        python tests/corpus.py DIR [--out TABLE.tsv] [--jobs 2]

Each file is read in a process of its own with a limit on time and memory. TABLE.tsv gains one line per file, and a run
that finds it goes on where the last one stopped; files of the same content count once. Found are files by their names,
plain or .gz; what is packed under a plain name is unpacked too. Exit code 1: a file crashed, hung or disagreed.
"""

import argparse
import contextlib
import hashlib
import importlib
import multiprocessing
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

SECONDS, MAX_BYTES = 60, 4 << 30
KINDS = {"def": "def", "lef": "lef", "tlef": "lef", "v": "verilog", "lib": "liberty", "spef": "spef", "sdc": "sdc"}
READERS = {
    "def": "circuit_io.def_:read_def",
    "lef": "circuit_io.lef:read_lef",
    "verilog": "circuit_io.verilog:read_verilog",
    "liberty": "circuit_io.liberty:read_liberty",
    "spef": "circuit_io.spef:read_spef",
    "sdc": "sdc_peer:read",
}
PEERS = {  # (path, scratch folder): an AssertionError where another tool differs
    "def": "def_peer:agree",
    "lef": "lef_peer:agree",
    "verilog": "verilog_peer:agree",
    "liberty": "liberty_peer:agree",
    "spef": "spef_peer:agree",
    "sdc": "sdc_peer:agree",
}
STATES = ["equal", "read", "refused", "disagrees", "crashed", "timed out"]  # read: the other tool refuses the file
BAD = {"disagrees", "crashed", "timed out"}
SUFFIX = re.compile(r"\.(" + "|".join(KINDS) + r")(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """One file and what became of it."""

    kind: str
    path: str
    digest: str  # of the bytes
    state: str = ""
    seconds: float = 0.0
    reason: str = ""

    def line(self) -> str:
        """One line of the table."""
        words = (self.kind, self.path, self.digest, self.state, f"{self.seconds:.2f}", self.reason)
        return "\t".join(w.encode("utf-8", "backslashreplace").decode() for w in words) + "\n"


def kind_of(path: Path) -> str:
    """The format that the name of a file says, or nothing."""
    match = SUFFIX.search(path.name)
    return KINDS[match[1].lower()] if match else ""


def find_files(folder: Path) -> list[Found]:
    """All files of the six formats, in order of their paths."""
    paths = [p for p in sorted(folder.rglob("*")) if kind_of(p) and p.is_file()]
    digests = [hashlib.sha256(p.read_bytes()).hexdigest()[:16] for p in paths]
    return [Found(kind_of(p), str(p.relative_to(folder)), d) for p, d in zip(paths, digests, strict=True)]


def attribute(where: str) -> Callable[..., Any]:
    """The function that `module:name` names."""
    module, name = where.split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def _child(pipe: Connection, kind: str, path: Path) -> None:
    """Reads, says so, compares, says so; whatever else happens, the parent sees the process end."""
    from circuit_io.errors import InputError

    os.setpgid(0, 0)  # with the tools that it starts
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MAX_BYTES, held + MAX_BYTES))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # klayout and sc-leflib print
    os.dup2(quiet, 2)
    try:
        attribute(READERS[kind])(path)
    except InputError as e:
        return pipe.send(("refused", str(e)))
    except BaseException as e:
        return pipe.send(("crashed", f"{type(e).__name__}: {e}"))
    pipe.send(("read", ""))
    try:
        with tempfile.TemporaryDirectory() as scratch:
            attribute(PEERS[kind])(path, Path(scratch))
    except AssertionError as e:
        where = traceback.extract_tb(e.__traceback__)[-1]
        return pipe.send(("disagrees", f"{Path(where.filename).name}:{where.lineno} {where.line} {e}"))
    except BaseException as e:
        return pipe.send(("read", f"no comparison: {type(e).__name__}: {e}"))
    return pipe.send(("equal", ""))


@dataclass
class _Run:
    """A process at work on one file: first the reader, then the comparison, each with its own limit of time."""

    found: Found
    pipe: Connection
    process: Any
    began: float
    state: str = ""
    reason: str = ""
    seconds: float = 0.0


def start(found: Found, folder: Path) -> _Run:
    """A process that reads one file."""
    context = multiprocessing.get_context("fork")  # a new interpreter would cost more than most files
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(there, found.kind, folder / found.path), daemon=True)
    process.start()
    there.close()
    return _Run(found, here, process, time.monotonic())


def step(run: _Run, seconds: float) -> Found | None:
    """What is known of a file once its process has spoken, ended or run out of time; None while it goes on."""
    is_late = time.monotonic() - run.began > seconds
    if run.pipe.poll():
        try:
            state, reason = run.pipe.recv()
        except EOFError:
            run.process.join()
            if not run.state:
                run.state, run.reason = "crashed", f"ended with code {run.process.exitcode}"
            elif run.state == "read" and not run.reason:
                run.reason = f"no comparison: ended with code {run.process.exitcode}"
        else:
            run.seconds = run.seconds or time.monotonic() - run.began
            run.state, run.reason, run.began = state, reason, time.monotonic()
            return None
    elif is_late:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.join()
        if not run.state:
            run.state, run.reason, run.seconds = "timed out", f"after {seconds:g} s", seconds
        elif not run.reason:
            run.reason = "no comparison: the other tool took too long"
    else:
        return None
    run.pipe.close()
    f = run.found
    reason = " | ".join(run.reason.split("\n"))[:1000].replace("\t", " ")
    return Found(f.kind, f.path, f.digest, run.state, run.seconds, reason)


def sweep(todo: list[Found], folder: Path, *, jobs: int = 2, seconds: float = SECONDS) -> Iterator[Found]:
    """Each file with its state, as they end."""
    for kind in sorted({f.kind for f in todo}):  # before the fork, so that no process imports them again
        for where in (READERS[kind], PEERS[kind]):
            try:
                attribute(where)
            except (ImportError, AttributeError) as e:
                sys.stderr.write(f"{kind}: {e}\n")
    waiting, running = todo[::-1], list[_Run]()
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(start(waiting.pop(), folder))
        wait([r.pipe for r in running], timeout=1.0)
        for run in list(running):
            if (done := step(run, seconds)) is not None:
                running.remove(run)
                yield done


def group(reason: str) -> str:
    """A reason without the places, names and numbers that differ from file to file."""
    first = reason.split(" | ")
    text = first[1] if re.fullmatch(r".*: \d+ faults", first[0]) and len(first) > 1 else first[0]
    text = re.sub(r"^\S+?(:\d+)?: ", "", text) if re.match(r"^/\S+: ", text) else text
    text = re.sub(r'"[^"]*"|\'[^\']*\'', '"..."', text)
    return re.sub(r"(?<!\w)-?\d[\d,.]*", "N", text)[:110]


def report(rows: list[Found]) -> str:
    """The table of counts, and below it the reasons in groups."""
    kinds = [k for k in READERS if any(r.kind == k for r in rows)]
    lines = ["| format | files | " + " | ".join(STATES) + " |", "| --- |" + " ---: |" * (1 + len(STATES))]
    for kind in kinds:
        count = Counter(r.state for r in rows if r.kind == kind)
        lines.append(f"| {kind} | {count.total()} | " + " | ".join(str(count[s]) for s in STATES) + " |")
    for state in STATES[1:]:
        reasons = Counter((r.kind, group(r.reason)) for r in rows if r.state == state and r.reason)
        lines += ["", f"{state}:"] if reasons else []
        for (kind, reason), n in reasons.most_common():
            first = next(r.path for r in rows if r.state == state and r.kind == kind and group(r.reason) == reason)
            lines.append(f"{n:5} {kind}: {reason}  ({first})")
    return "\n".join(lines)


def load(table: Path) -> dict[tuple[str, str], Found]:
    """The lines of an earlier run by format and content."""
    if not table.exists():
        return {}
    rows = [line.rstrip("\n").split("\t") for line in table.read_text().splitlines()]
    return {(r[0], r[2]): Found(r[0], r[1], r[2], r[3], float(r[4]), r[5]) for r in rows if len(r) == 6}


def main(arguments: list[str] | None = None) -> int:
    """Run over a folder and print the table; 1 when a file crashed, hung or disagreed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/corpus.tsv"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for the reader, and again for the other tool")
    parser.add_argument("--kinds", default=",".join(READERS), help="formats to read")
    parser.add_argument("--again", default="", help="states of an earlier run to try again, e.g. refused,crashed")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"no folder {options.folder}")
    found = [f for f in find_files(options.folder) if f.kind in options.kinds.split(",")]
    files = list({(f.kind, f.digest): f for f in found[::-1]}.values())[::-1]  # the first of each content
    known = {k: r for k, r in load(options.out).items() if r.state not in options.again.split(",")}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("a", encoding="utf-8") as table:
        todo = [f for f in files if (f.kind, f.digest) not in known]
        for i, row in enumerate(sweep(todo, options.folder, jobs=options.jobs, seconds=options.seconds)):
            known[row.kind, row.digest] = row
            table.write(row.line())
            table.flush()
            if row.state in BAD:
                sys.stderr.write(f"{i + 1}/{len(todo)} {row.state}: {row.path}: {row.reason[:200]}\n")
    rows = [known[f.kind, f.digest] for f in files]
    sys.stdout.write(report(rows) + "\n")
    return int(any(r.state in BAD for r in rows))


if __name__ == "__main__":
    sys.exit(main())
