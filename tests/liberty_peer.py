"""Other tools beside our Liberty reader: liberty-parser, OpenSTA (capacitances), yosys (areas)."""

import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_liberty import assert_backends_agree

from circuit_io.liberty import PIN_DIRECTIONS, TABLE_KINDS, Liberty, read_liberty
from circuit_io.text import read_bytes

Theirs = Any  # of a package without types
STA_DIRECTIONS = {"bidirect": "inout", "tristate": "output"}
STA_SCRIPT = """
proc show {cell port} {
  if {[::sta::LibertyPort_is_bus $port]} {
    set bits [::sta::LibertyPort_member_iterator $port]
    while {[::sta::LibertyPortMemberIterator_has_next $bits]} {
      show $cell [::sta::LibertyPortMemberIterator_next $bits]
    }
    ::sta::LibertyPortMemberIterator_finish $bits
  } else {
    set cap [::sta::LibertyPort_capacitance $port rise max]
    puts "PIN $cell [get_property $port full_name] [get_property $port direction] $cap"
  }
}
read_liberty in.lib
foreach cell [get_lib_cells */*] {
  foreach port [get_lib_pins -quiet [get_property $cell full_name]/*] { show [get_property $cell base_name] $port }
}
"""


def agree(path: Path, scratch: Path) -> None:
    """Every column equal by every tool that is there, or an AssertionError."""
    assert_backends_agree(path)
    assert_values_agree(path)
    if shutil.which("sta"):
        assert_capacitances_agree(path, scratch)
    if shutil.which("yosys"):
        assert_areas_agree(path, scratch)


# --- liberty-parser's tree, read here afresh: nothing of our reader but its columns -----------------------------------


def assert_values_agree(path: Path) -> None:
    """Names, areas, functions, capacitances and tables, each as the file has it times the unit."""
    parser = pytest.importorskip("liberty.parser", reason="liberty-parser is not installed: it is the oracle")
    lib = read_liberty(path)
    text = re.sub(r"\\\r?\n", "\n", read_bytes(path).decode("latin-1"))
    text = re.sub(r"(\btime_unit\s*:\s*)([\d.]+[a-z]+)", r'\1"\2"', text)  # liberty-parser cuts a bare 1ps to 1
    cells = [(cell, library) for library in parser.parse_multi_liberty(text) for cell in library.get_groups("cell")]
    assert lib.cell_names.tolist() == [_plain(cell.args[0]) for cell, _ in cells]
    for c, (cell, library) in enumerate(cells):
        assert_close(lib.cell_area_um2[c], _number(cell.get("area")))
        ours = {lib.pin_names[p]: p for p in range(int(lib.cell_pin_ptr[c]), int(lib.cell_pin_ptr[c + 1]))}
        groups = [g for g in cell.groups if g.group_name in ("pin", "bus", "bundle")]
        for group in groups:
            name = _plain(group.args[0])
            bits = group.get_groups("pin") if group.group_name != "pin" else []
            own = {_plain(bit.args[0]): bit for bit in bits if bit.get("capacitance") is not None}
            for pin in [p for n, p in ours.items() if n == name or n.startswith(name + "[")]:
                assert lib.pin_function[pin] == _plain(group.get("function", ""))
                given = own.get(lib.pin_names[pin], group).get("capacitance")
                if given is not None:
                    assert_close(lib.pin_cap_ff[pin], _number(given) * _unit(library, "cap"))
        timings = [t for g in groups for t in [*g.get_groups("timing"), *_inner(g)]]
        theirs = [_tables(timing, library) for timing in timings]
        wanted = sorted({int(lib.arc_timing[a]) for a in np.flatnonzero(lib.arc_cell == c)})
        assert [_ours(lib, t) for t in wanted] == [[kind for kind, *_ in t] for t in theirs]
        for t, tables in zip(wanted, theirs, strict=True):
            for i, (_, axes, values) in enumerate(tables, start=int(lib.timing_table_ptr[t])):
                table = lib.table(i)
                for axis, other in zip((table.index_1, table.index_2, table.index_3), axes, strict=True):
                    assert_close(axis, other)
                assert_close(table.values_ns, values)


def assert_close(ours: Theirs, theirs: Theirs) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=0)


def _inner(group: Theirs) -> list[Theirs]:
    return (
        [t for g in group.get_groups("pin") for t in g.get_groups("timing")]
        if group.group_name in ("bus", "bundle")
        else []
    )


def _ours(lib: Liberty, timing: int) -> list[str]:
    start, stop = lib.timing_table_ptr[timing : timing + 2]
    return [TABLE_KINDS[kind] for kind in lib.table_kind[start:stop]]


def _plain(value: Theirs) -> str:
    return str(getattr(value, "value", value)).strip().strip('"').strip()


def _number(value: Theirs) -> float:
    return math.nan if value is None else float(_plain(value))


def _unit(library: Theirs, kind: str) -> float:
    """One unit of the file, in ns or fF."""
    if kind == "cap":
        number, name = library["capacitive_load_unit"]
        return float(_plain(number)) * {"ff": 1.0, "pf": 1e3, "nf": 1e6}[_plain(name).lower()]
    number, name = re.fullmatch(r"([\d.]+)(\w+)", _plain(library.get("time_unit", "1ns"))).groups()
    return float(number) * {"fs": 1e-6, "ps": 1e-3, "ns": 1.0, "us": 1e3}[name]


def _floats(value: Theirs) -> list[float]:
    return [float(word) for text in value for word in re.split(r"[\s,]+", _plain(text)) if word]


def _tables(timing: Theirs, library: Theirs) -> list[tuple[str, list[Theirs], Theirs]]:
    """Kind, axes (transition; load or constrained transition; any other) and values of each table of a timing group."""
    found = []
    templates = {_plain(t.args[0]): t for t in library.get_groups("lu_table_template")}
    time, cap = _unit(library, "time"), _unit(library, "cap")
    for group in timing.groups:
        if group.group_name not in TABLE_KINDS:
            continue
        template = templates.get(_plain(group.args[0])) if group.args else None
        names = [template.get(f"variable_{i}") for i in (1, 2, 3)] if template else []
        axes = {
            _plain(name): _floats(group.get(f"index_{i}") or template.get(f"index_{i}"))
            for i, name in enumerate(names, start=1)
            if name is not None
        }
        values = np.array(_floats(group["values"])).reshape([len(axis) for axis in axes.values()])
        slews = [name for name in axes if name in ("input_net_transition", "related_pin_transition")]
        loads = [name for name in axes if name in ("total_output_net_capacitance", "constrained_pin_transition")]
        others = [name for name in axes if name not in (*slews, *loads)]
        if max(map(len, (slews, loads, others))) > 1:
            raise ValueError(f"axes {list(axes)} are not known here")
        values = values.transpose([list(axes).index(name) for name in (*slews, *loads, *others)])
        scale = [time if "transition" in name else cap for name in loads]
        ordered = [np.array(axes[name]) * time for name in slews] or [np.zeros(0)]
        ordered += [np.array(axes[name]) * unit for name, unit in zip(loads, scale, strict=True)] or [np.zeros(0)]
        ordered += [np.array(axes[name]) for name in others] or [np.zeros(0)]
        found.append((group.group_name, ordered, values.reshape([max(1, len(a)) for a in ordered]) * time))
    return found


# --- OpenSTA and yosys ----------------------------------------------------------------------------------------------


def assert_capacitances_agree(path: Path, scratch: Path) -> None:
    """Direction and capacitance of every pin as OpenSTA has them, in its single precision.

    OpenSTA prefers the values per edge; they are taken out, for the column is the `capacitance` of both.
    """
    text = read_bytes(path).decode("latin-1")
    text = re.sub(r"\b(?:rise|fall)_capacitance(?:_range)?\s*(?::\s*[^;\n]*|\([^)]*\))\s*;?", "", text)
    (scratch / "in.lib").write_text(text, encoding="latin-1")
    (scratch / "in.tcl").write_text(STA_SCRIPT, encoding="ascii")
    command = ["sta", "-no_splash", "-exit", "in.tcl"]
    run = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=300)
    rows = [line.split()[1:] for line in run.stdout.splitlines() if line.startswith("PIN ")]
    theirs = {(cell, pin): (direction, float(cap)) for cell, pin, direction, cap in rows}
    lib = read_liberty(path)
    if len(lib.pin_names) and not theirs:
        raise ValueError(f"OpenSTA refuses the file: {run.stdout[-500:]}")
    for p, pin in enumerate(lib.pin_names):
        direction, cap = theirs[lib.cell_names[int(lib.pin_cell[p])], pin]
        assert PIN_DIRECTIONS[lib.pin_direction[p]] == STA_DIRECTIONS.get(direction, direction), pin
        ours = np.nan_to_num(lib.pin_cap_ff[p])  # what no file tells is nan here and 0 there
        assert math.isclose(ours, cap * 1e15, rel_tol=1e-6), (pin, ours, cap)


def assert_areas_agree(path: Path, scratch: Path) -> None:
    """The area of every cell as yosys has it, to its six places, where it takes the file."""
    (scratch / "in.lib").write_bytes(read_bytes(path))
    lib = read_liberty(path)
    one = "".join(f"module t{i} (); \\{name}  u (); endmodule\n" for i, name in enumerate(lib.cell_names))
    (scratch / "in.v").write_text(one, encoding="ascii")
    command = ["yosys", "-p", "read_liberty -lib in.lib; read_verilog in.v; stat -liberty in.lib"]
    run = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=300)
    if "Syntax error in liberty file" in run.stderr:
        return  # of `clear : !RN`, for one; the areas are compared above
    theirs = dict(re.findall(r"Chip area for module '\\t(\d+)': ([\d.e+-]+)", run.stdout))
    assert len(theirs) == np.count_nonzero(np.nan_to_num(lib.cell_area_um2)), run.stderr  # no area, no line
    for c, area in theirs.items():
        assert abs(float(area) - lib.cell_area_um2[int(c)]) < 1e-6, lib.cell_names[int(c)]
