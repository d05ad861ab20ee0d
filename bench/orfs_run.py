"""Runs of OpenROAD-flow-scripts on the kit and on shared designs, as far as the global router."""

import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from circuit_io.errors import InputError
from flow_hooks.openroad.binary import FLAGS, find_openroad, run_bounded
from flow_hooks.openroad.orfs import find_flow

ROOT = Path(__file__).resolve().parent.parent
KIT_DESIGNS = ROOT / "demos" / "orfs"
SINGLE = {"NUM_CORES": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

# PLATFORM_TCL of all runs. An OpenROAD without the detailed router has no pin_access, which global_route.tcl calls;
# and every command that the flow logs says what it took, a hook among them, as does write_def.
PLATFORM_TCL = """
if { [info commands ::pin_access] eq "" } { proc ::pin_access { args } {} }
namespace eval ::bench { variable start {} }
# processor seconds of this process and of the children that it has waited for
proc ::bench::cpu_s { } {
  set channel [open /proc/self/stat]
  set text [read $channel]
  close $channel
  set fields [lrange [split [string range $text [string last ) $text] end]] 12 15]
  return [expr { [tcl::mathop::+ {*}$fields] / 100.0 }]
}
proc ::bench::enter { words op } { lappend ::bench::start [list [clock microseconds] [cpu_s]] }
proc ::bench::leave { words code result op } {
  if { [llength $::bench::start] == 0 } { return }
  lassign [lindex $::bench::start end] at cpu
  set ::bench::start [lrange $::bench::start 0 end-1]
  if { [lindex $words 0] eq "log_cmd" } { set words [lrange $words 1 end] }
  set wall [expr { ([clock microseconds] - $at) / 1e6 }]
  puts [format "bench took %.3f %.2f: %s" $wall [expr { [cpu_s] - $cpu }] [join [lrange $words 0 2]]]
}
foreach name { log_cmd write_def } {
  trace add execution ::$name enter ::bench::enter
  trace add execution ::$name leave ::bench::leave
}
"""
_TOOK = re.compile(r"^bench took ([\d.]+) ([\d.]+): (.*)$", re.M)
_PHYSICAL = re.compile(rb"^ *(?:FILLCELL_|TAPCELL_|sky130_\w+__(?:fill|decap|tap|diode))\w* +\S+ *\([^;]*\);\n", re.M)


@dataclass(frozen=True)
class Tools:
    """What a run needs beside make, bash and a Python: the folder `flow`, openroad, and a yosys that is passed over."""

    flow: Path
    openroad: Path
    yosys: Path

    @classmethod
    def find(cls, env: Mapping[str, str] = os.environ) -> "Tools":
        """From FLOW_HOME, GSR_OPENROAD and PATH.

        Raises:
            InputError: one of them is missing.
        """
        flow, openroad, yosys = find_flow(env), find_openroad(env), shutil.which("yosys", path=env.get("PATH"))
        if openroad is None or not openroad[0].is_file():
            raise InputError("no openroad", path="GSR_OPENROAD", mend="Set GSR_OPENROAD to the binary.")
        if flow is None or not (flow / "Makefile").is_file():
            raise InputError("no flow scripts", path="FLOW_HOME", mend="Set FLOW_HOME to the folder flow of ORFS.")
        if yosys is None:
            raise InputError("no yosys", path="PATH", mend="Install any yosys with Tcl: it only copies the netlist.")
        return cls(flow.resolve(), openroad[0].resolve(), Path(yosys))


@dataclass(frozen=True)
class Design:
    """A design's config.mk, and the make variables that this measurement gives on the command line."""

    name: str
    config: Path
    given: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """What a call of make said and where its files are."""

    code: int
    text: str
    work: Path
    variant: str

    def folder(self, kind: str) -> Path:
        """The folder `results`, `logs`, `reports` or `objects` of the design and variant."""
        found = sorted((self.work / kind).glob(f"*/*/{self.variant}"))
        if len(found) != 1:
            raise InputError(f"{len(found)} folders {kind}/*/*/{self.variant}", path=self.work)
        return found[0]

    def log(self, stem: str) -> str:
        """The log of a step."""
        return (self.folder("logs") / f"{stem}.log").read_text(errors="replace")

    def hook(self, name: str) -> Path:
        """The folder of one of our hooks."""
        return self.folder("objects") / "gsr" / name

    def seconds(self, stem: str) -> dict[str, tuple[float, float]]:
        """Seconds of the wall and of the processor of the commands that a step logged, the first call of each.

        A hook has the name of its file.
        """
        out: dict[str, tuple[float, float]] = {}
        for wall, cpu, words in _TOOK.findall(self.log(stem)):
            command = words.removeprefix("::").split()
            name = Path(command[1]).name if command[0] == "source" and len(command) > 1 else command[0]
            out.setdefault(name, (float(wall), float(cpu)))
        return out


def make(
    tools: Tools,
    design: Design,
    targets: Sequence[str],
    work: Path,
    *,
    variant: str = "base",
    env: Mapping[str, str] | None = None,
    given: Mapping[str, str] | None = None,
    timeout_s: float = 3600.0,
) -> Done:
    """Run targets of the flow's Makefile in the folder `work`; the hooks are attached unless GSR_ENABLE=0."""
    work.mkdir(parents=True, exist_ok=True)
    platform_tcl = work / "platform.tcl"
    platform_tcl.write_text(PLATFORM_TCL)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GSR_", "MAKE", "FLOW_"))}
    ours = {
        "OPENROAD_EXE": str(tools.openroad), "YOSYS_EXE": str(tools.yosys), "FLOW_HOME": str(tools.flow),
        "PRIVATE_DIR": str(ROOT / "flow_hooks" / "tcl"), "GSR_PYTHON": sys.executable,
        "PLATFORM_TCL": str(platform_tcl), "FLOW_VARIANT": variant,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **SINGLE,
    }  # fmt: skip
    words = [f"{name}={value}" for name, value in {**design.given, **(given or {})}.items()]
    command = ["make", f"--file={tools.flow / 'Makefile'}", f"DESIGN_CONFIG={design.config}", *words, *targets]
    done = subprocess.run(
        command, cwd=work, env={**clean, **ours, **(env or {})}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=timeout_s, check=False,
    )  # fmt: skip
    return Done(done.returncode, done.stdout.decode(errors="replace"), work, variant)


def kit_design(name: str, **given: str) -> Design:
    """A design of demos/orfs."""
    return Design(name, KIT_DESIGNS / name / "config.mk", dict(given))


def shared_design(tools: Tools, data: Path, tech: str, name: str, work: Path) -> Design:
    """ORFS's own design and platform; the netlist of the data set, without fill, and its Liberty file.

    Our data has no RTL that an old yosys reads, so the netlist of a finished flow stands in; the placer takes its
    buffers out. Operators are not swapped, since a flat netlist has none.
    """
    work.mkdir(parents=True, exist_ok=True)
    netlist = work / f"{name}.v"
    text = gzip.decompress((data / "designs" / tech / name / "netlist.v.gz").read_bytes())
    keep(netlist, _PHYSICAL.sub(b"", text))
    libs = []
    for lib in sorted((data / "pdk" / tech / "lib").glob("*.lib.gz")):
        libs.append(work / lib.stem)
        keep(libs[-1], gzip.decompress(lib.read_bytes()))
    given = {
        "SYNTH_NETLIST_FILES": str(netlist), "LIB_FILES": " ".join(map(str, libs)), "VERILOG_FILES": "",
        "SWAP_ARITH_OPERATORS": "", "OPENROAD_HIERARCHICAL": "0", "GLOBAL_ROUTE_ARGS": "-allow_congestion",
    }  # fmt: skip
    return Design(f"{tech}/{name}", tools.flow / "designs" / tech / name / "config.mk", given)


def keep(path: Path, content: bytes) -> None:
    """Write a file, unless it has this content: make would do everything again."""
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)


def branch(run: Done, variant: str, *, before: str) -> None:
    """Start another variant of a run with its results of the steps before `before` (as in 3_3)."""
    for kind in ("results", "logs"):
        source = run.folder(kind)
        target = source.parent / variant
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for path in sorted(source.iterdir()):
            if path.is_file() and path.name < before:
                shutil.copy2(path, target / path.name)
    for kind in ("objects", "reports"):
        shutil.rmtree(run.folder(kind).parent / variant, ignore_errors=True)


def different_defs(tools: Tools, first: Done, second: Done) -> list[str]:
    """The steps whose DEF is not the same to the byte in two runs, or that only one of them has."""
    names = [sorted(p.name for p in run.folder("results").glob("*.odb")) for run in (first, second)]
    differ = sorted(set(names[0]) ^ set(names[1]))
    for name in sorted(set(names[0]) & set(names[1])):
        one, other = (run.folder("results") / name for run in (first, second))
        if one.read_bytes() != other.read_bytes() and def_of(tools, one) != def_of(tools, other):
            differ.append(name)
    return differ


def def_of(tools: Tools, odb: Path) -> bytes:
    """The DEF of a database."""
    out = odb.with_suffix(".compared.def")
    run_tcl(tools, f"read_db {{{odb}}}\nwrite_def {{{out}}}\n")
    found = out.read_bytes()
    out.unlink()
    return found


def run_tcl(tools: Tools, script: str, *, env: Mapping[str, str] | None = None) -> str:
    """What openroad says to a script.

    Raises:
        InputError: it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.tcl"
        path.write_text(script)
        code, text = run_bounded(
            [str(tools.openroad), *FLAGS, str(path)], Path(folder), 600.0, {**os.environ, **SINGLE, **(env or {})}
        )
    if code != 0:
        raise InputError(f"openroad ends with exit code {code}: {text[-2000:]}", path=tools.openroad)
    return text
