"""Coverage-guided fuzzing of the readers: `python tests/fuzz/readers.py READER -runs=100000 [corpus folder]`.

Needs atheris (`pip install atheris`), which nothing else here does. READER is a folder of `tests/fuzz/seeds`. A run
fails on any exception but `InputError`, on an input that takes more time or memory than its size allows, and, where
there is a C scanner, when it does not give what the Python path gives. libFuzzer leaves the input that failed in the
working folder; `python tests/fuzz/readers.py READER FILE` tries it again. Other options are libFuzzer's.

SDC is evaluated by Tcl in a process of its own, too slow to start a million times: `tcl` does so, and `sdc` is what
Python makes of the commands that come back, one a line, their words divided by commas; a `!` and a byte cut the end off
the answer.
"""

import os
import random
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import atheris
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
with atheris.instrument_imports(include=["circuit_io"]):
    from circuit_io import sdc, sdc_tcl, text
    from circuit_io.def_ import read_def
    from circuit_io.errors import InputError
    from circuit_io.lef import read_lef
    from circuit_io.liberty import read_liberty
    from circuit_io.sdc import read_sdc
    from circuit_io.spef import read_spef
    from circuit_io.verilog import read_verilog

SEEDS = Path(__file__).with_name("seeds")
MAX_SIZE = 1024  # bytes of an input
MAX_SECONDS = 2.0  # of processor time
MAX_MEMORY = (64 << 20, 1000)  # bytes, and bytes for each byte of the input
MAX_UNFOLDED = 400_000  # the same of Verilog, 1,024 nets a byte of which copies of modules may make
MIB = 1 << 20
ODD = rb"""0 -0 1 -1 007 +1 1. .5 1_0 1e3 1e999 -1e-999 nan inf 0x10 2147483647 2147483648 -2147483649 4294967296
1000000000 9223372036854775808 99999999999999999999 1e6 1000001 %s ( ) [ ] { } ; : , . + - * / \ " ' # ` @ ! = < > //
/* */ (* *) END \xff \x00 \xc3\xa9 \xef\xbb\xbf _ a A"""
ODD_WORDS = [w.replace(b"%s", b"9" * 400) for w in ODD.split()] + [
    b" ",
    b"\n",
    b"\r\n",
    b"\t",
    b"\x0b",
    b"\x1c",
    b"\\\n",
]
ODD_WORDS += [b"\xff", b"\0", b"\xc3\xa9", b"(" * 99, b"{" * 99, b"[" * 99, b'"' * 9, b"a" * 99, b" " * 99]
_WORD = re.compile(rb"[\w.$]+|\s+|[^\w\s]")
Read = Callable[[bytes], Any]


def words_of(reader: str) -> list[bytes]:
    """All words of the seeds, and odd ones: what the mutations put in."""
    seen: dict[bytes, None] = {}
    for path in sorted((SEEDS / reader).iterdir()):
        seen |= dict.fromkeys(w for w in _WORD.findall(path.read_bytes()) if not w.isspace())
    return [*seen, *ODD_WORDS]


def mutator(reader: str) -> Callable[[bytes, int, int], bytes]:
    """A mutation of words, statements and lines; one time in four libFuzzer's own, of bytes."""
    words = words_of(reader)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.25 or reader == "text":
            return bytes(atheris.Mutate(data, max_size))
        parts = _WORD.findall(data)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
            parts = _changed(parts, words, rng)
        return b"".join(parts)[:max_size]

    return mutate


def _changed(parts: list[bytes], words: list[bytes], rng: random.Random) -> list[bytes]:
    if not parts:
        return [rng.choice(words)]
    a, b = sorted((rng.randrange(len(parts)), rng.randrange(len(parts))))
    kind = rng.randrange(8)
    if kind <= 1:  # another word
        parts[a] = rng.choice(words)
    elif kind == 2:
        parts.insert(a, rng.choice(words) + b" ")
    elif kind == 3:
        del parts[a : a + rng.choice((1, 1, 2, 3, 9))]
    elif kind == 4:
        parts[a], parts[b] = parts[b], parts[a]
    elif kind == 5:  # a stretch again, somewhere
        stretch = parts[a : min(b, a + 40)]
        parts[rng.randrange(len(parts)) : 0] = stretch * rng.choice((1, 1, 1, 2, 20))
    elif kind == 6:
        del parts[rng.randrange(len(parts)) :]
    else:  # a stretch moved
        stretch = parts[a : min(b, a + 40)]
        del parts[a : min(b, a + 40)]
        at = rng.randrange(len(parts) + 1)
        parts[at:at] = stretch
    return parts


def same(x: object, y: object) -> bool:
    """Equal to the bit."""
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
    if is_dataclass(x) and type(x) is type(y) and not hasattr(x, "blob"):
        return all(same(getattr(x, f.name), getattr(y, f.name)) for f in fields(x))
    return type(x) is type(y) and x == y


def outcome(read: Read, data: bytes) -> object:
    """What the reader makes of an input: its columns, or its words of refusal."""
    try:
        return read(data)
    except InputError as e:
        return str(e)


def in_memory(read: Callable[[str], Any]) -> Read:
    """The reader on bytes: `read_bytes` gives them."""

    def run(data: bytes) -> object:
        text.read_bytes = lambda _: data
        return read("in")

    return run


def on_disk(data: bytes) -> bytes:
    """The bytes of a file, gzip or not."""
    path = Path("/dev/shm") / f"gsr_fuzz_{os.getpid()}"
    path.write_bytes(data)
    try:
        return text.read_bytes(path)
    except InputError as e:
        raise InputError(e.what) from e
    finally:
        path.unlink()


def rows_of(data: bytes) -> bytes:
    """Commands, one a line, as the rows that Tcl would send."""
    lost = 0
    if data[:1] == b"!":
        lost, data = data[1:2][0] if data[1:2] else 0, data[2:]
    rows = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line:
            words = (b"".join(b"." + part.hex().encode() for part in w.split(b" ") if part) for w in line.split(b","))
            rows.append(b"R %d %b\n" % (number, b" ".join(w or b"-" for w in words)))
    whole = b"".join([*rows, b"D %d \n" % (len(rows) + 1)])
    return whole[: len(whole) - lost]


def read_commands(data: bytes) -> object:
    """What Python makes of the commands of an SDC file."""
    done = subprocess.CompletedProcess[bytes]([], 0, rows_of(data), b"")
    sdc.read_text = lambda *_: b""
    sdc.evaluate = lambda *_, path, **__: sdc_tcl._records(done, path, 20, 1024)
    return read_sdc("in")


def read_tcl(data: bytes) -> object:
    """An SDC file by Tcl itself, a process for each."""
    sdc.read_text = lambda *_: data.replace(b"\0", b"")
    return read_sdc("in", seconds=1, memory_mb=200)


def read_netlist(path: str) -> object:
    """A netlist; where `top` is a module, it is the top."""
    data = text.read_bytes(path)
    return read_verilog(path, "top" if b"module top" in data else None)


READERS: dict[str, tuple[Read, bool]] = {  # and whether a C scanner serves it
    "def": (in_memory(read_def), True),
    "lef": (in_memory(read_lef), False),  # only its comments are blanked in C, as those of DEF
    "verilog": (in_memory(read_netlist), True),
    "liberty": (in_memory(read_liberty), True),
    "spef": (in_memory(read_spef), False),
    "sdc": (read_commands, False),
    "tcl": (read_tcl, False),
    "text": (on_disk, False),
}


class Meter:
    """Time and memory of one call, as multiples of what its input allows."""

    def __init__(self) -> None:
        self.marks = os.open("/proc/self/clear_refs", os.O_WRONLY)

    def start(self) -> None:
        """From here on."""
        os.write(self.marks, b"5")  # the peak of memory is what is held now
        self.used = resource.getrusage(resource.RUSAGE_SELF)  # time.process_time() takes milliseconds on some hosts

    def stop(self, size: int, each: int) -> None:
        """Raise where the limits were passed, `each` for the memory of a byte."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = used.ru_utime + used.ru_stime - self.used.ru_utime - self.used.ru_stime
        memory = (used.ru_maxrss - self.used.ru_maxrss) * 1024
        if seconds > MAX_SECONDS:
            raise AssertionError(f"{size} bytes took {seconds:.1f} s")
        if memory > MAX_MEMORY[0] + each * size:
            raise AssertionError(f"{size} bytes took {memory / MIB:.0f} MiB")


def target(reader: str) -> Callable[[bytes], None]:
    """The function that libFuzzer calls."""
    read, has_scanner = READERS[reader]
    meter = Meter()

    def one(data: bytes) -> None:
        found = []
        for scanner in ("python", "c") if has_scanner else ("python",):
            os.environ["GSR_SCANNER"] = scanner
            meter.start()
            found.append(outcome(read, data))
            meter.stop(len(data), MAX_UNFOLDED if reader == "verilog" else MAX_MEMORY[1])
        if not same(found[0], found[-1]):
            raise AssertionError(f"Python and C differ:\n{found[0]}\n{found[-1]}")

    return one


def main() -> None:
    """Fuzz one reader."""
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(READERS)} [libFuzzer's options] [corpus folder | file]")
    reader, rest = sys.argv[1], sys.argv[2:]
    places = [arg for arg in rest if not arg.startswith("-")] or [tempfile.mkdtemp()]  # the first one gains new inputs
    seeds = [] if Path(places[0]).is_file() else [str(SEEDS / reader)]
    options = [arg for arg in rest if arg.startswith("-")]
    if all(isinstance(outcome(READERS[reader][0], p.read_bytes()), str) for p in (SEEDS / reader).iterdir()):
        sys.exit("the reader refuses every seed: this would try nothing")
    usual = [f"-max_len={MAX_SIZE}", "-timeout=60", "-rss_limit_mb=4096"]
    atheris.Setup([sys.argv[0], *usual, *options, *places, *seeds], target(reader), custom_mutator=mutator(reader))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
