"""One reading of one file by one reader, in a process of its own: what `gsr bench readers` starts.

    python bench/reader_cases.py '{"case": "c", "format": "DEF", "path": "placed.def", ...}'

Prints one JSON object: processor seconds (user and system) and wall seconds of the reading alone, those of imports or
start apart, the peak of the resident set, and counts when asked for; or the reason why there is none of it. OpenSTA and
yosys tell the same of themselves from /proc, between their commands, to a hundredth of a second.
"""

import contextlib
import gc
import importlib
import itertools
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

Found = Any  # what some reader returns
Job = dict[str, Any]
Counts = dict[str, int]
Reader = Callable[[Job], tuple[Callable[[], Found], Callable[[Found], Counts]]]
TICKS = os.sysconf("SC_CLK_TCK")
MEMORY_LIMIT = 14 << 30

# --- ours -------------------------------------------------------------------------------------------------------------


def our_def(job: Job) -> tuple[Callable[[], Found], Callable[[Found], Counts]]:
    """`read_def`: netlist, places, ports, special wires, floorplan."""
    from circuit_io.def_ import read_def

    def counts(d: Found) -> Counts:
        placed = int(np.count_nonzero(d.inst_status))
        found = {"insts": len(d.inst_master), "placed": placed, "nets": len(d.net_names), "conns": len(d.conn_inst)}
        return found | {"ports": len(d.bterm_names)}

    return lambda: read_def(job["path"]), counts


def our_verilog(job: Job) -> tuple[Callable[[], Found], Callable[[Found], Counts]]:
    """`read_verilog`: from the text to flat nets."""
    from circuit_io.verilog import read_verilog

    importlib.import_module("scipy.sparse.csgraph")  # as read_verilog would, late

    def counts(n: Found) -> Counts:
        tied = n.const_inst[[value in ("0", "1") for value in map(str, n.const_value.tolist())]]
        conns = int((n.conn_inst >= 0).sum() + (tied >= 0).sum())
        found = {"insts": n.num_insts, "cells": n.num_insts + len(n.occ_name) - 1, "nets": n.num_nets, "conns": conns}
        return found | {"pins": _whole_pins(n)}

    return lambda: read_verilog(job["path"], job.get("top")), counts


def _whole_pins(n: Found) -> int:
    """Pins of insts, a bus as one."""
    base = {name: i for i, name in enumerate(dict.fromkeys(re.sub(r"\[-?\d+\]$", "", p) for p in n.pin_names.tolist()))}
    of_pin = np.array([base[re.sub(r"\[-?\d+\]$", "", p)] for p in n.pin_names.tolist()], np.int64)
    inst, pin = np.concatenate([n.conn_inst, n.const_inst]), np.concatenate([n.conn_pin, n.const_pin])
    return len(np.unique(inst[inst >= 0].astype(np.int64) * len(base) + of_pin[pin[inst >= 0]]))


def our_liberty(job: Job) -> tuple[Callable[[], Found], Callable[[Found], Counts]]:
    """`read_liberty`: cells, pins, arcs, and all tables as numbers."""
    from circuit_io.liberty import PIN_DIRECTIONS, read_liberty

    def counts(lib: Found) -> Counts:
        names = [re.sub(r"\[\d+\]$", "", name) for name in lib.pin_names]
        pins = dict(zip(zip(lib.pin_cell.tolist(), names, strict=True), lib.pin_direction.tolist(), strict=True))
        outer = sum(PIN_DIRECTIONS[way] != "internal" for way in pins.values())
        found = {
            "cells": lib.num_cells,
            "pins": len(pins),
            "outer_pins": outer,
            "timings": len(lib.timing_table_ptr) - 1,
        }
        return found | {"tables": len(lib.table_kind), "values": len(lib.table_values_ns)}

    return lambda: read_liberty(job["path"]), counts


# --- others in Python -------------------------------------------------------------------------------------------------


def klayout_def(job: Job) -> tuple[Callable[[], Found], Callable[[Found], Counts]]:
    """A layout of insts with their names, ports and special wires; wires of nets are left out, as ours leaves them."""
    db = importlib.import_module("klayout.db")
    options = db.LoadLayoutOptions()
    config = options.lefdef_config
    config.dbu, config.read_lef_with_def, config.lef_files = 1 / job["dbu_per_um"], False, [job["lef"]]
    config.macro_resolution_mode, config.produce_routing = 1, False
    config.instance_property_name = 1

    def read() -> Found:
        layout = db.Layout()
        layout.read(job["path"], options)
        return layout

    return read, lambda layout: {"placed": sum(i.property(1) is not None for i in layout.top_cell().each_inst())}


def liberty_parser(job: Job) -> tuple[Callable[[], Found], Callable[[Found], Counts]]:
    """The tree of the text; tables stay text."""
    parser = importlib.import_module("liberty.parser")
    kinds = importlib.import_module("circuit_io.liberty").TABLE_KINDS

    def counts(libraries: Found) -> Counts:
        found: Counter[str] = Counter()
        for cell in (c for library in libraries for c in library.get_groups("cell")):
            found["cells"] += 1
            for pin in (g for g in cell.groups if g.group_name in ("pin", "bus", "bundle")):
                found["pins"] += len(pin.args)
                inner = [] if pin.group_name == "pin" else pin.get_groups("pin")
                for timing in [t for g in (pin, *inner) for t in g.get_groups("timing")]:
                    found["timings"] += 1
                    for table in (g for g in timing.groups if g.group_name in kinds):
                        found["tables"] += 1
                        found["values"] += sum(len(re.split(r"[\s,]+", v.value.strip(" ,"))) for v in table["values"])
        return dict(found)

    def read() -> Found:
        text = re.sub(r"\\\r?\n", "\n", Path(job["path"]).read_text(encoding="latin-1"))
        return parser.parse_multi_liberty(text)

    return read, counts


Statements = dict[str, list[tuple[str, int]]]  # module -> master and connected pins of each instance


def flat_counts(modules: Statements, top: str) -> Counts:
    """Library cells below `top`, modules among them as `cells`, and pins that are connected to something."""
    done: dict[str, Counter[str]] = {}

    def below(name: str) -> Counter[str]:
        if name not in done:
            total: Counter[str] = Counter()
            for (master, pins), number in Counter(modules[name]).items():
                inner = below(master) if modules.get(master) else Counter({"insts": 1, "pins": pins})
                for key, value in inner.items():
                    total[key] += number * value
                total["cells"] += number
            done[name] = total
        return done[name]

    return dict(below(top))


def pyslang_tree(job: Job) -> tuple[Callable[[], Found], Callable[[Found], Counts]]:
    """The syntax tree and, by a walk in Python, names, masters, pins and what is on them; nothing is elaborated."""
    syntax = importlib.import_module("pyslang.syntax")
    module, instances = syntax.SyntaxKind.ModuleDeclaration, syntax.SyntaxKind.HierarchyInstantiation
    named = syntax.SyntaxKind.NamedPortConnection

    def read() -> Found:
        tree = syntax.SyntaxTree.fromFile(job["path"])
        if any(d.isError() for d in tree.diagnostics):
            raise ValueError("refuses the file")
        root = tree.root
        out: dict[str, list[tuple[str, str, list[tuple[str, str]]]]] = {}
        for m in root.members if root.kind == syntax.SyntaxKind.CompilationUnit else [root]:
            if m.kind == module:
                found = out[m.header.name.valueText] = []
                for item in (i for i in m.members if i.kind == instances):
                    master = item.type.valueText
                    for inst in (i for i in item.instances if hasattr(i, "decl")):
                        pins = [(c.name.valueText, str(c.expr)) for c in inst.connections if c.kind == named]
                        found.append((inst.decl.name.valueText, master, pins))
        return out

    def counts(found: Found) -> Counts:
        lists = {m: [(master, sum(net != "None" for _, net in pins)) for _, master, pins in insts]
                 for m, insts in found.items()}  # fmt: skip
        return flat_counts(lists, job["top"])

    return read, counts


def pyverilog_ast(job: Job) -> tuple[Callable[[], Found], Callable[[Found], Counts]]:
    """The abstract syntax tree; nothing is elaborated. The tables of its parser are made before the clock starts."""
    from pyverilog.vparser import ast, parser  # type: ignore[import-untyped]

    made = parser.VerilogParser()

    def counts(source: Found) -> Counts:
        lists: Statements = {}
        for m in source.description.definitions:
            insts = [i for item in m.items or () if isinstance(item, ast.InstanceList) for i in item.instances]
            lists[m.name] = [(i.module, sum(p.argname is not None for p in i.portlist)) for i in insts]
        return flat_counts({m.lstrip("\\"): v for m, v in lists.items()}, job["top"])

    return lambda: made.parse(Path(job["path"]).read_text(encoding="latin-1")), counts


# --- programs ---------------------------------------------------------------------------------------------------------

STA = """proc mark {name} {
  set f [open /proc/self/stat]; set text [read $f]; close $f
  set words [split [string range $text [expr {[string last ) $text] + 2}] end] { }]
  puts "MARK $name [lindex $words 11] [lindex $words 12] [clock milliseconds]"
}
proc peak {} {
  set f [open /proc/self/status]; regexp {VmHWM:\\s+(\\d+)} [read $f] all kb; close $f
  puts "PEAK $kb"
}
"""
STA_LIBERTY_COUNTS = """set pins 0
foreach cell [get_lib_cells */*] {
  foreach pin [get_lib_pins -quiet [get_property $cell full_name]/*] {
    incr pins [expr {[get_property $pin direction] ne "internal"}]
  }
}
puts "COUNT cells [llength [get_lib_cells */*]]\\nCOUNT outer_pins $pins"
"""
YOSYS_MARK = "!awk '{{print \"MARK {}\", $14, $15}}' /proc/$PPID/stat | tr '\\n' ' '; date +%s%3N\n"


def sta_run(job: Job) -> dict[str, Any]:
    """OpenSTA: a Liberty file, or a netlist read and linked after the Liberty of its technology."""
    if job["format"] == "Liberty":
        steps = f"mark start\nread_liberty {job['path']}\nmark read\n"
        counts = STA_LIBERTY_COUNTS
    else:
        steps = "".join(f"read_liberty {path}\n" for path in job["lib"])
        steps += f"mark start\nread_verilog {job['path']}\nmark read\nlink_design {job['top']}\nmark link\n"
        counts = 'puts "COUNT cells [llength [get_cells -hierarchical *]]"\n'
        counts += 'puts "COUNT nets [llength [get_nets *]]"\n' if job.get("all_nets_have_pins") else ""
    script = STA + steps + "peak\n" + (counts if job["count"] else "") + "exit\n"
    return _program(["sta", "-no_splash", "-exit"], script, "run.tcl")


def yosys_run(job: Job) -> dict[str, Any]:
    """yosys: a netlist read, then flattened."""
    steps = {"start": "", "read": f"read_verilog {job['path']}\n",
             "flatten": f"hierarchy -top {job['top']}\nsetattr -mod -unset keep_hierarchy\nflatten\n"}  # fmt: skip
    script = "".join(text + YOSYS_MARK.format(name) for name, text in steps.items())
    script += "!grep VmHWM /proc/$PPID/status\n" + ("write_json out.json\n" if job["count"] else "")
    return _program(["yosys", "-s"], script, "run.ys", job["top"])


def _program(command: list[str], script: str, name: str, top: str = "") -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_text(script, encoding="utf-8")
        done = subprocess.run([*command, name], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", check=False)  # fmt: skip
        marks = re.findall(r"^MARK (\w+) (\d+) (\d+) (\d+)$", done.stdout, re.MULTILINE)
        peak = re.search(r"^(?:PEAK|VmHWM:)\s+(\d+)", done.stdout, re.MULTILINE)
        if done.returncode or peak is None:
            return {"reason": _why(done.returncode, done.stdout + done.stderr)}
        cpu = {mark: (int(user) + int(system)) / TICKS for mark, user, system, _ in marks}
        names, wall = list(cpu), [int(mark[3]) / 1000 for mark in marks]
        counts = {key: int(n) for key, n in re.findall(r"^COUNT (\w+) (\d+)$", done.stdout, re.MULTILINE)}
        if Path(folder, "out.json").is_file():
            counts = _yosys_counts(json.loads(Path(folder, "out.json").read_text(encoding="utf-8"))["modules"][top])
    parts = {b: round(cpu[b] - cpu[a], 2) for a, b in itertools.pairwise(names)}
    took = {"cpu_s": cpu[names[-1]] - cpu["start"], "wall_s": wall[-1] - wall[0], "parts": parts}
    return took | {"start_s": cpu["start"], "peak_mb": int(peak[1]) / 1024, "counts": counts}


def _yosys_counts(module: dict[str, Any]) -> Counts:
    """Of a flattened module as write_json has it; its bits are net numbers, or constants as text."""
    cells = [list(c["connections"].values()) for c in module["cells"].values()]
    bits = [bit for pins in cells for pin in pins for bit in pin if bit not in ("x", "z")]
    ports = [bit for port in module["ports"].values() for bit in port["bits"]]
    nets = {bit for bit in (*bits, *ports) if isinstance(bit, int)}
    return {"insts": len(cells), "conns": len(bits), "nets": len(nets)}


def _why(code: int, text: str) -> str:
    """The reason of a failure, in a line."""
    if code in (-24, -9):
        return "over its time limit"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wrong = [line for line in lines if re.search(r"error|unable|memory", line, re.IGNORECASE)]
    return ((wrong or lines or [f"exit code {code}"])[-1])[:120]


# --- a run ------------------------------------------------------------------------------------------------------------

PYTHON: dict[tuple[str, str], Reader] = {
    ("DEF", "ours, Python"): our_def, ("DEF", "ours, C"): our_def, ("DEF", "klayout"): klayout_def,
    ("Verilog", "ours, Python"): our_verilog, ("Verilog", "ours, C"): our_verilog,
    ("Verilog", "pyslang"): pyslang_tree, ("Verilog", "pyverilog"): pyverilog_ast,
    ("Liberty", "ours, Python"): our_liberty, ("Liberty", "ours, C"): our_liberty,
    ("Liberty", "liberty-parser"): liberty_parser,
}  # fmt: skip
PROGRAMS = {
    ("Verilog", "OpenSTA"): sta_run, ("Verilog", "yosys"): yosys_run, ("Liberty", "OpenSTA"): sta_run,
}  # fmt: skip


def peak_mb() -> float:
    """The mark that the resident set of this process reached, in MB; nan where /proc does not tell."""
    with contextlib.suppress(OSError, AttributeError):
        return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]
    return float("nan")


def run_reader(reader: Reader, job: Job) -> dict[str, Any]:
    """Time one reading in this process; Python's search for cycles is off for all, which only helps the others."""
    gc.disable()
    try:
        read, counts = reader(job)
    except ImportError as e:
        return {"reason": f"not installed ({e.name})"}
    start, wall = time.process_time(), time.perf_counter()
    found = read()
    took = {"cpu_s": time.process_time() - start, "wall_s": time.perf_counter() - wall, "start_s": start}
    took["peak_mb"] = peak_mb()
    return took | {"counts": counts(found) if job["count"] else {}}


def run_job(text: str) -> int:
    """Run a job and print what came of it."""
    job = json.loads(text)
    for kind, limit in ((resource.RLIMIT_CPU, job["limit_s"]), (resource.RLIMIT_AS, MEMORY_LIMIT)):
        resource.setrlimit(kind, (limit, limit))
    key = (job["format"], job["case"])
    try:
        result = PROGRAMS[key](job) if key in PROGRAMS else run_reader(PYTHON[key], job)
    except FileNotFoundError as e:
        result = {"reason": f"not installed ({e.filename})"}
    except MemoryError:
        result = {"reason": f"over {MEMORY_LIMIT >> 30} GB of memory"}
    except Exception as e:
        result = {"reason": f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"[:120]}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(run_job(sys.argv[1]))
