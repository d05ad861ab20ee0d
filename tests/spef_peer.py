"""A plain walk over the lines and words of a SPEF file beside our reader."""

from pathlib import Path

import numpy as np

from circuit_io.spef import read_spef
from circuit_io.text import read_bytes


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
            now = nets[names.get(words[1], words[1])] = [float(words[2]), 0.0, 0.0, 0.0]
        elif len(words) == 1 and words[0].startswith("*"):
            section = words[0]
        elif section == "*NAME_MAP" and len(words) == 2:
            names[words[0]] = words[1]
        elif section == "*CAP":
            now[1 if len(words) == 3 else 2] += float(words[-1])
        elif section == "*RES":
            now[3] += float(words[3])
    return nets


def compare(path: Path) -> int:
    """The number of nets found equal: names, totals, sums of *CAP and of *RES."""
    spef, plain = read_spef(path), _plain(read_bytes(path))
    assert spef.net_names.tolist() == list(plain)
    found = np.stack([spef.net_cap_ff, spef.net_ground_ff, spef.net_coupling_ff, spef.net_res_ohm], axis=1)
    np.testing.assert_allclose(found, np.array(list(plain.values())) * [1e3, 1e3, 1e3, 1.0], rtol=1e-12, atol=0)
    assert len(spef.net_ptr) == len(plain) + 1
    return len(plain)


def agree(path: Path, scratch: Path) -> None:
    """As `compare`."""
    del scratch
    compare(path)
