"""Where lines break, what blanks, line ends and comments a file has, and whether it is packed, changes nothing."""

import gzip
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sdc_peer
from writers import def_text, lef_text, liberty_text, spef_text, verilog_text

from circuit_io.def_ import read_def
from circuit_io.lef import read_lef
from circuit_io.liberty import read_liberty
from circuit_io.spef import read_spef
from circuit_io.text import read_bytes
from circuit_io.verilog import read_verilog

Relay = Callable[[str, random.Random], str]
ENDS = ["\n", "\r\n", "\n\n", "\n \t", "\r\n\r\n"]


def _loose(tokens: Sequence[str], rng: random.Random, comments: Sequence[str]) -> str:
    """Tokens with any blanks between them; one in twenty with a comment."""
    out = []
    for token in tokens:
        gap = rng.choice([" ", " ", "  ", "\t", *ENDS]) if rng.random() < 0.95 else rng.choice(comments)
        out.append(token + gap)
    return "".join(out)


def lef_def(text: str, rng: random.Random) -> str:
    """As DEF and LEF allow: comments run to the end of the line, a semicolon may stick to its word."""
    text = re.sub(r"(?<!\S)#[^\n]*", "", text)
    tokens = re.findall(r'"[^"]*"|\S+', text)
    loose = _loose(tokens, rng, [" # - x ( y ) ; END NETS\n", ' # "\r\n'])
    return re.sub(r"[ \t]+;(?!\S)", lambda m: rng.choice([";", m[0]]), loose)


def verilog(text: str, rng: random.Random) -> str:
    """Escaped names end with a blank; everything else may stand together or apart."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/|\(\*[^)].*?\*\)", " ", text, flags=re.DOTALL)
    tokens = re.findall(r"\\\S+|\d*'[bhodBHOD][0-9a-fxzA-FXZ_]+|[\w$]+|\S", text)
    return _loose(tokens, rng, [" // ; endmodule\n", " /* ( */ ", ' (* keep = "x;" *) ', "\r\n// )\r\n"]) + "\n"


def liberty(text: str, rng: random.Random) -> str:
    """Statements end at a semicolon or brace; within one a line goes on after a backslash."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)
    text = re.sub(r"\\\r?\n", " ", text)
    text = re.sub(r"(?<=[^\s{};\\])[ \t]*\n", ";\n", text)
    out = ""
    for token in re.findall(r'"[^"]*"|[{}();,:]|[^\s{}();,:"]+', text):
        out += token
        if token in "{};":
            out += rng.choice([" ", *ENDS, ' /* } ; " */ ', " // {\n"])
        else:
            out += rng.choice([" ", "\t", "  ", " \\\n "])
    return out


def spef(text: str, rng: random.Random) -> str:
    """One entry a line; blanks, line ends, empty lines and comments are free."""
    blanks = [re.sub(r"[ \t]+", lambda _: rng.choice([" ", "  ", "\t"]), line) for line in text.splitlines()]
    return "".join(line + rng.choice(["", " ", "", " // *D_NET x 1"]) + rng.choice(ENDS[:3]) for line in blanks)


def sdc(text: str, rng: random.Random) -> str:
    """As Tcl allows between commands, and after a word in a command of one line."""
    out = ""
    for line in text.splitlines():
        plain = re.fullmatch(r"[\w \[\]$.\-]+", line) and rng.random() < 0.5
        out += re.sub(r"(?<=\w) (?=-)", " \\\\\n  ", line) if plain else line
        is_open = line.endswith("\\") or line.lstrip().startswith("#")
        out += "\n" if is_open else rng.choice(["\n", "\n\n", "\r\n", " ;\n", "\n# a comment\n"])
    return out


def columns(found: Any) -> dict[str, Any]:  # noqa: ANN401
    """All fields but the paths and lines."""
    skipped = ("path", "library_path", "line")
    return {f.name: getattr(found, f.name) for f in fields(found) if f.name not in skipped}


def assert_same(a: Any, b: Any) -> None:  # noqa: ANN401
    x, y = columns(a), columns(b)
    for name in x:
        if isinstance(x[name], np.ndarray):
            np.testing.assert_array_equal(x[name], y[name], err_msg=name)
        elif isinstance(x[name], tuple):
            assert [_without_line(v) for v in x[name]] == [_without_line(v) for v in y[name]], name
        else:
            assert x[name] == y[name], name


def _without_line(value: Any) -> Any:  # noqa: ANN401
    return replace(value, line=0) if hasattr(value, "line") else value


FORMATS: dict[str, tuple[Callable[[Path], Any], Relay]] = {
    "def": (read_def, lef_def),
    "lef": (read_lef, lef_def),
    "v": (read_verilog, verilog),
    "lib": (read_liberty, liberty),
    "spef": (read_spef, spef),
    "sdc": (sdc_peer.read, sdc),
}
KIT = [
    "labels/gsr45/crc_bank/v0/placed.def.gz",
    "tech/gsr45_tech.lef",
    "tech/gsr45_cells.lef",
    "netlists/crc_bank.v.gz",
    "tech/gsr45_typ.lib",
]
REAL = [
    "designs/asap7/gcd/design.def.gz",
    "designs/sky130hd/gcd/design.def.gz",
    "pdk/ihp-sg13g2/lef/sg13g2_stdcell.lef",
    "pdk/asap7/lef/asap7_tech_1x_201209.lef",
    "designs/sky130hd/gcd/netlist.v.gz",
    "designs/asap7/uart/netlist.v.gz",
    "pdk/asap7/lib/sram_asap7_64x64_1rw.lib",
    "designs/nangate45/gcd/parasitics.spef.gz",
    "designs/asap7/gcd/constraints.sdc",
    "designs/sky130hd/fab_w_io/constraints.sdc",
]


def check(path: Path, folder: Path, *, seeds: int = 2) -> None:
    kind = path.name.removesuffix(".gz").rsplit(".", 1)[1]
    read, relay = FORMATS[kind]
    text = read_bytes(path).decode("utf-8", "surrogateescape")
    plain = read(path)
    for seed in range(seeds):
        other = folder / f"other{seed}.{kind}"
        data = relay(text, random.Random(seed)).encode("utf-8", "surrogateescape")
        other.write_bytes(gzip.compress(data, 1) if seed % 2 else data)
        assert_same(plain, read(other))


@pytest.mark.parametrize("name", KIT)
def test_files_of_the_kit(kit: Path, tmp_path: Path, name: str) -> None:
    check(kit / name, tmp_path)


@pytest.mark.parametrize("name", REAL)
def test_real_files(gsr_data: Path, tmp_path: Path, name: str) -> None:
    check(gsr_data / name, tmp_path)


def test_what_the_writers_make(kit: Path, tmp_path: Path) -> None:
    """Text of another writer, that of this project's tests."""
    made = {
        "a.def": def_text(read_def(kit / "labels" / "gsr45" / "dma_buffer" / "v1" / "placed.def.gz")),
        "a.lef": lef_text(read_lef(kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef")),
        "a.v": verilog_text(read_verilog(kit / "netlists" / "crc_bank.v.gz")),
        "a.lib": liberty_text(read_liberty(kit / "tech" / "gsr45_typ.lib")),
    }
    for name, text in made.items():
        (tmp_path / name).write_text(text)
        check(tmp_path / name, tmp_path, seeds=1)


def test_what_the_writers_make_of_parasitics(gsr_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.spef"
    path.write_text(spef_text(read_spef(gsr_data / "designs" / "nangate45" / "gcd" / "parasitics.spef.gz")))
    check(path, tmp_path)
