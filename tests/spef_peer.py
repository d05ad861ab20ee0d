"""A plain walk over the lines and words of a SPEF file beside our reader."""

import re
from pathlib import Path

import numpy as np

from circuit_io.spef import read_spef
from circuit_io.text import read_bytes


def _middle(word: str) -> float:
    """The number, or the middle one of min:typ:max."""
    parts = word.split(":")
    return float(parts[len(parts) // 2])


def _plain(raw: bytes) -> dict[str, list[float]]:
    """Net to total, grounded, coupling, resistance, by a walk over lines and words."""
    names: dict[str, str] = {}
    nets: dict[str, list[float]] = {}
    section, now = "", [0.0] * 4
    for line in raw.decode().splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "*D_NET":
            now = nets[names.get(words[1], words[1])] = [_middle(words[2]), 0.0, 0.0, 0.0]
        elif len(words) == 1 and words[0].startswith("*"):
            section = words[0]
        elif section == "*NAME_MAP" and len(words) == 2:
            names[words[0]] = words[1]
        elif section == "*CAP":
            now[1 if len(words) == 3 else 2] += _middle(words[-1])
        elif section == "*RES":
            now[3] += _middle(words[3])
    return nets


def _unit(raw: bytes, kind: bytes) -> float:
    """One unit of the file in fF or ohm."""
    match = re.search(rb"^\*" + kind + rb"_UNIT\s+(\S+)\s+(\S+)", raw, re.MULTILINE)
    assert match is not None
    powers = {"F": 1e15, "NF": 1e6, "PF": 1e3, "FF": 1.0, "OHM": 1.0, "KOHM": 1e3, "MOHM": 1e6}
    return float(match[1]) * powers[match[2].decode().upper()]


def compare(path: Path) -> int:
    """The number of nets found equal: names, totals, sums of *CAP and of *RES."""
    spef, raw = read_spef(path), read_bytes(path)
    plain, cap, res = _plain(raw.replace(b"*R_NET", b"*D_NET")), _unit(raw, b"C"), _unit(raw, b"R")
    assert spef.net_names.tolist() == list(plain)
    found = np.stack([spef.net_cap_ff, spef.net_ground_ff, spef.net_coupling_ff, spef.net_res_ohm], axis=1)
    found = np.nan_to_num(found, nan=0.0)  # a net without *CAP or *RES
    np.testing.assert_allclose(found, np.array(list(plain.values())) * [cap, cap, cap, res], rtol=1e-12, atol=0)
    assert len(spef.net_ptr) == len(plain) + 1
    return len(plain)


def agree(path: Path, scratch: Path) -> None:
    """As `compare`."""
    del scratch
    compare(path)
