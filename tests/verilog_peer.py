"""yosys' flatten beside our Verilog reader: every iterm and port on the same net, every constant the same."""

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np

from circuit_io.text import read_bytes
from circuit_io.verilog import read_verilog

Pin = tuple[str, str]  # inst, or nothing for a port, and pin
FLOATING = {"x", "z"}
_BIT = re.compile(r"(.*)\[-?\d+\]", re.DOTALL)


def yosys_pins(path: Path, top: str, scratch: Path) -> list[tuple[Pin, int | str]]:
    """Each pin with its net number or constant; parts of a path are joined by dots."""
    (scratch / "in.v").write_bytes(read_bytes(path))
    script = (
        f"read_verilog in.v; hierarchy -top {top}; setattr -mod -unset keep_hierarchy; flatten; write_json out.json"
    )
    subprocess.run(["yosys", "-q", "-p", script], cwd=scratch, check=True, capture_output=True, timeout=300)
    module = json.loads((scratch / "out.json").read_text())["modules"][top]
    out: list[tuple[Pin, int | str]] = []
    for name, cell in module["cells"].items():
        for pin, bits in cell["connections"].items():
            out += [((name, pin if len(bits) == 1 else f"{pin}[{i}]"), bit) for i, bit in enumerate(bits)]
    for name, port in module["ports"].items():
        bits, offset = port["bits"], port.get("offset", 0)
        order = bits[::-1] if port.get("upto", 0) else bits
        is_bus = len(bits) > 1 or "offset" in port
        out += [(("", f"{name}[{offset + i}]" if is_bus else name), bit) for i, bit in enumerate(order)]
    return out


def our_pins(path: Path) -> tuple[str, list[tuple[Pin, int | str]]]:
    """The top, and each pin with its net number or constant."""
    n = read_verilog(path)
    insts, pins = [*n.inst_names.tolist(), ""], n.pin_names.tolist()
    net = np.repeat(np.arange(n.num_nets), np.diff(n.net_ptr)).tolist()
    on_nets = zip(n.conn_inst.tolist(), n.conn_pin.tolist(), net, strict=True)
    tied = zip(n.const_inst.tolist(), n.const_pin.tolist(), map(str, n.const_value.tolist()), strict=True)
    return n.top, [((insts[i], pins[p]), value) for rows in (on_nets, tied) for i, p, value in rows]


def _by_name(rows: list[tuple[Pin, int | str]]) -> dict[Pin, int | str]:
    """By names that both sides can say: no backslashes, one separator, no index on a bus of one bit."""
    plain = [((inst.replace("\\", "").replace("/", "."), pin.replace("\\", "")), value) for (inst, pin), value in rows]
    base = [(inst, match[1]) if (match := _BIT.fullmatch(pin)) else (inst, pin) for (inst, pin), _ in plain]
    bits = Counter(base)
    out = {b if bits[b] == 1 else name: value for b, (name, value) in zip(base, plain, strict=True)}
    if len(out) != len(rows):
        raise NotImplementedError("names differ by backslashes or separators alone")
    return out


def agree(path: Path, scratch: Path) -> None:
    """Same pins; same nets one to one, so the same degrees; same constants."""
    if shutil.which("yosys") is None:
        raise NotImplementedError("yosys is not installed")
    top, rows = our_pins(path)
    theirs = _by_name(yosys_pins(path, top, scratch))
    floating = {pin for pin, bit in theirs.items() if bit in FLOATING}
    ours = {pin: net for pin, net in _by_name(rows).items() if pin not in floating}
    theirs = {pin: bit for pin, bit in theirs.items() if pin not in floating}
    if any(
        (re.sub(r"_\d+$", "", inst), pin) in ours.keys() - theirs.keys() for inst, pin in theirs.keys() - ours.keys()
    ):
        raise NotImplementedError("yosys renamed what its dots would make the same")
    assert ours.keys() == theirs.keys(), sorted(ours.keys() ^ theirs.keys())[:3]
    forward: dict[int | str, int | str] = {}
    for pin, net in ours.items():
        assert forward.setdefault(net, theirs[pin]) == theirs[pin], pin
        assert isinstance(net, int) or net == theirs[pin], pin
    assert len(set(forward.values())) == len(forward), [k for k, n in Counter(forward.values()).items() if n > 1][:3]
