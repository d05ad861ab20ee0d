"""The clocks and delays that the text of an SDC file shows, beside our reader."""

import math
import re
from pathlib import Path

import pytest

from circuit_io.sdc import Sdc, read_sdc
from circuit_io.text import read_bytes


def text_of(path: Path) -> str:
    """The text of a file, plain or packed."""
    return read_bytes(path).decode("utf-8", "surrogateescape")


def env_of(path: Path) -> dict[str, str]:
    """A made-up value for each flow variable that a file reads."""
    found = re.findall(r"\$::(env\(\w+\))", text_of(path))
    return {name: "clk" if name == "env(CLOCK_PORT)" else "10" for name in found}


def plain_clocks(path: Path) -> list[tuple[str, float]]:
    """Names and periods of create_clock by text substitution alone."""
    text = text_of(path).replace("\\\n", " ")
    values = {**env_of(path), **dict(re.findall(r"^\s*set\s+(\w+)\s+([\w.]+)\s*$", text, re.M))}
    if re.search(r"^[ \t]+set\s+\w+\s+\$::env", text, re.MULTILINE):
        raise NotImplementedError("a plain reader does not run conditions")
    unit = 1e-3 if re.search(r"^set_units .*-time [1.0]*ps", text, re.MULTILINE) else 1.0
    out = []
    for line in re.findall(r"^\s*create_clock.*$", text, re.M):
        line = re.sub(r"\$(?:::)?(\w+(?:\(\w+\))?)", lambda m: values.get(m[1], m[0]), line)
        period = re.search(r"-period (?:\[expr \{(.*?)\}\]|(\S+))", re.sub(r" +", " ", line))
        name = re.search(r'-name "?([\w.]+)', line) or re.search(r"get_ports \{?([\w.]+)", line)
        if period is None or name is None or "$" in period[0]:
            raise NotImplementedError(f"a plain reader does not understand {line.strip()}")
        factors = (period[1] or period[2]).split("*")
        out.append((name[1], unit * math.prod(map(float, factors))))
    return out


def read(path: Path) -> Sdc:
    """The file with made-up values for the flow variables that it reads."""
    return read_sdc(path, variables=env_of(path), time_unit_ns=1.0)


def compare(path: Path) -> int:
    """The number of clocks found equal."""
    sdc = read(path)
    mine = [(c.name, c.period_ns) for c in sdc.clocks if not c.is_generated]
    assert mine == [(n, pytest.approx(p)) for n, p in plain_clocks(path)], path
    count = len(re.findall(r"^\s*set_(?:in|out)put_delay", text_of(path), re.MULTILINE))
    assert sdc.counts.get("set_input_delay", 0) + sdc.counts.get("set_output_delay", 0) == count, path
    return len(mine)


def agree(path: Path, scratch: Path) -> None:
    """As `compare`."""
    del scratch
    compare(path)
