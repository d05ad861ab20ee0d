"""Runs our Tcl in a real tclsh, with recording stand-ins for OpenROAD's commands and for Python."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

HERE = Path(__file__).resolve().parent
TCL = HERE.parent / "flow_hooks" / "tcl"
STUB = HERE / "tcl" / "openroad_stub.tcl"

STEPS = [
    *["SYNTH", "FLOORPLAN", "MACRO_PLACE", "TAPCELL", "PDN"],
    *["GLOBAL_PLACE_SKIP_IO", "IO_PLACEMENT", "GLOBAL_PLACE", "RESIZE", "DETAIL_PLACE"],
    *["CTS", "GLOBAL_ROUTE", "DETAIL_ROUTE", "FILLCELL", "DENSITY_FILL", "FINAL_REPORT"],
]
HOOKS = [f"{when}_{step}" for step in STEPS for when in ("PRE", "POST")]

# What may be called without a change of the design: files are written, names are looked up.
READ_ONLY = {
    "write_def",
    "write_lef",
    "write_verilog",
    "write_guides",
    "findInst",
    "report_wire_length",
    "suppress_message",
    "unsuppress_message",
    "find_timing_paths",
    "get_global_placement_uniform_density",
}
# Names that a careless quote, pattern or encoding would lose.
UGLY_NAMES = [
    "a[0]",
    r"esc\aped",
    "$env(HOME)",
    "star*",
    "q?mark",
    "{left",
    "right}",
    'quo"te',
    "two words",
    "semi;colon",
    "[exit 3]",
    "tab\there",
    "é",
    "名前",
    "\U0001f600",
    "100%",
    "#gsr",
    "-left",
    "a/b\\/c",
]


@dataclass(frozen=True)
class Session:
    """What a session printed, its exit code, and the calls of stand-ins in order."""

    out: str
    code: int
    calls: list[list[str]]

    def named(self, name: str) -> list[list[str]]:
        """The arguments of every call of one command."""
        return [call[1:] for call in self.calls if call[0] == name]

    @property
    def changes(self) -> list[list[str]]:
        """Calls that change the design or the session's engines, the user's own placement aside."""
        return [c for c in self.calls if c[0] not in READ_ONLY | {"global_placement", "blockages_in_force"}]


def find_tclsh() -> str:
    """The tclsh to test with: $TCLSH, or the one on the path."""
    found = os.environ.get("TCLSH") or shutil.which("tclsh") or shutil.which("tclsh8.6") or shutil.which("tclsh9.0")
    if not found:
        pytest.skip("no tclsh on the path: apt-get install tcl, or set TCLSH")
    return found


def run_tcl(
    tmp_path: Path,
    script: str,
    *,
    env: dict[str, str] | None = None,
    before: str = "",
    load: bool = True,
    timeout_s: float = 30,
) -> Session:
    """Source the stand-ins, then `before`, then gsr.tcl, then `script`; an error in it gives exit code 1."""
    calls = tmp_path / "calls.tsv"
    calls.unlink(missing_ok=True)
    source = f"source [file join {{{TCL}}} gsr.tcl]" if load else ""
    text = (
        f"source {{{STUB}}}\n"
        f"set code [catch {{\n{before}\n{source}\n{script}\n}} result details]\n"
        f"stub::dump {{{calls}}}\n"
        'if { $code } { puts "FAILED: $result\\n[dict get $details -errorinfo]"; exit 1 }\n'
    )
    file = tmp_path / "session.tcl"
    file.write_bytes(text.encode())
    # OMP_WAIT_POLICY is set by conftest.py for the tests' own torch
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GSR_") and k != "OMP_WAIT_POLICY"}
    run = subprocess.run(
        # Tcl 8.6 reads a script in the system's encoding unless told
        [find_tclsh(), "-encoding", "utf-8", str(file)],
        cwd=tmp_path,
        env={**clean, "LC_ALL": "C.UTF-8", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=timeout_s,
        check=False,
    )
    lines = calls.read_text().splitlines() if calls.exists() else []
    return Session(
        out=run.stdout.decode(errors="replace"),
        code=run.returncode,
        calls=[[unquote(word) for word in line.split("\t")] for line in lines],
    )


HOTSPOTS = (
    "#gsr-hotspots 1\n"
    "rank\tdirection\tx1\ty1\tx2\ty2\tcongestion\ttop_nets\n"
    "1\thorizontal\t10\t20\t30.5\t40\t1.25\tn%5B1%5D n2\n"
    "2\tvertical\t50\t20\t60\t40\t1.01\tclk\n"
)
METRICS = (
    "detailedplace__gsr__congestion_h__max\t1.25\n"
    "detailedplace__gsr__overflow__expected\t40\ndetailedplace__gsr__overflow__predicted\t30\n"
)


def fake_python(folder: Path, *, body: str = "", plan: str | None = None, finish: bool = True) -> Path:
    """A shell script in place of Python that writes what `gsr flow` writes; `body` runs before the end."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "python-fake"
    files = {"hotspots.tsv": HOTSPOTS, "metrics.tsv": METRICS, "markers.json": "{}\n"}
    if plan is not None:
        files["feedback.tsv"] = plan
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    # the plan of the tests is of run r1; Python's is of the hook's run
    copies = "\n".join(f'sed "1s|run_id=r1|run_id=$run_id|" "{folder / name}" > "$out/{name}"' for name in files)
    end = 'printf %s "$run_id" > "$out/done"' if finish else ""
    program.write_text(
        "#!/bin/sh\n"
        f'for word in "$@"; do printf "%s\\n" "$word"; done > "{folder}/arguments"\n'
        f'env > "{folder}/environment"\n'
        f'echo run >> "{folder}/runs"\n'
        'while [ $# -gt 0 ]; do\n  case "$1" in\n    --hook) hook=$2; shift ;;\n    --out) out=$2; shift ;;\n  esac\n'
        "  shift\ndone\n"
        'run_id=$(sed -n \'s/.*"run_id": "\\([^"]*\\)".*/\\1/p\' "$hook")\n'
        f"{copies}\n{body}\n{end}\n"
    )
    program.chmod(0o755)
    return program


def overflows(*values: float) -> str:
    """A `body` of `fake_python` that predicts these overflows, one a run."""
    lines = [f'{k}) echo "x__gsr__overflow__predicted\t{v}" > "$out/metrics.tsv" ;;' for k, v in enumerate(values, 1)]
    return 'case $(wc -l < "${0%/*}/runs") in\n' + "\n".join(lines) + "\nesac"


def num_runs(folder: Path) -> int:
    """How often the stand-in for Python was started."""
    runs = folder / "runs"
    return len(runs.read_text().splitlines()) if runs.exists() else 0


HEADER = "#gsr-feedback 1 design=top die_um=0,0,100,80 grid=10,8 def_sha256=00 run_id=r1"
COLUMNS = "action\ttarget\tx1\ty1\tx2\ty2\tlayer\tvalue\tscore"


def percent(name: str) -> str:
    """A name as it stands in a plan: bytes other than letters, digits and a few signs as %XX."""
    safe = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.[]\\$*{}/")
    return "".join(chr(b) if b in safe else f"%{b:02X}" for b in name.encode())


def plan_text(*rows: str, header: str = HEADER) -> str:
    """A feedback plan; a row is written with | for the tabs."""
    return "\n".join([header, COLUMNS, *(row.replace("|", "\t") for row in rows)]) + "\n"


def read_record(folder: Path) -> dict[str, object]:
    """gsr_feedback.json."""
    record: dict[str, object] = json.loads((folder / "gsr_feedback.json").read_text(encoding="utf-8"))
    return record


def statuses(folder: Path) -> list[tuple[str, str]]:
    """Status and reason of every row of the plan, in order."""
    actions = read_record(folder)["actions"]
    assert isinstance(actions, list)
    return [(row["status"], row["reason"]) for row in actions]


def tcl_word(text: str) -> str:
    """A word of Tcl that stands for exactly this text."""
    # as OpenROAD makes it: from the bytes of UTF-8
    return '[encoding convertfrom utf-8 "' + "".join(f"\\u00{b:02x}" for b in text.encode()) + '"]'


def add_insts(names: list[str]) -> str:
    """Tcl that puts insts into the made-up design."""
    return "\n".join(f"stub::add_inst {tcl_word(name)}" for name in names)


def is_alive(pid: int) -> bool:
    """Whether a process still runs, half a second at most after it was told to end."""
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state in "ZX":
            return False
        time.sleep(0.01)
    return True


def wait_for_end(pid: int) -> None:
    """Until a process has ended; two minutes are forever."""
    last = time.monotonic() + 120
    while is_alive(pid):
        assert time.monotonic() < last, f"process {pid} goes on"


@contextmanager
def flow_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for a flow, and ends with the block at the latest."""
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            yield process
        finally:
            process.kill()
