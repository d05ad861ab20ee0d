"""The whole way on a congested design of the demo kit: files to graph, prediction, plan, plan into Tcl, report.

    python demos/demo.py --out out/demo [--train] [--design xbar16/v1]

Every step but the one in Tcl is the command that a user types. The hooks' Tcl runs in tclsh with recording stand-ins
for OpenROAD's commands (tests/tcl/openroad_stub.tcl), since no OpenROAD is needed here; in a flow it is the same Tcl.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMOS = ROOT / "demos"
KIT = DEMOS / "kit"
LEF = [KIT / "tech" / name for name in ("gsr45_tech.lef", "gsr45_cells.lef")]
LIB = KIT / "tech" / "gsr45_typ.lib"

APPLY = """
source {stub}
set ::stub::design {design}
set ::stub::dbu {dbu}
set ::stub::die {{{die}}}
set ::stub::layers {{{layers}}}
foreach name [dict keys $::stub::layers] {{
  dict set ::stub::adjustments $name 0.2
  interp alias {{}} ::layer_$name {{}} ::stub::layer $name
}}
source {gsr}
set ::env(GSR_MODE) apply
set ::env(GSR_OUT_DIR) {out}
gsr_apply_feedback -file {plan} -step GLOBAL_PLACE
global_placement -density 0.8
gsr_clear_feedback
"""


def gsr(*words: str | Path) -> None:
    """Run one `gsr` command and show it; the demo ends where a command fails."""
    print("\n$ gsr " + shlex.join(str(w).replace(f"{ROOT}/", "") for w in words), flush=True)
    done = subprocess.run([sys.executable, "-m", "gsr_plugin", *map(str, words)], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def export(design: str, out: Path) -> None:
    """Export one labelled layout of the kit."""
    name, _ = design.split("/")
    files = [word for lef in LEF for word in ("--lef", lef)] + ["--rtl", KIT / "rtl" / f"{name}.v"]
    labels = KIT / "labels" / "gsr45" / design
    netlist = KIT / "netlists" / f"{name}.v.gz"
    gsr(
        "export", *files, "--lib", LIB, "--verilog", netlist, "--labels", labels, "--out", out, "--overwrite", "--quiet"
    )


def export_kit(out: Path) -> Path:
    """All labelled layouts of the kit."""
    gsr("bench", "corpus", KIT, "--out", out / "kit", "--failed-only")
    return out / "kit"


def train(kit: Path, out: Path) -> Path:
    """A model trained on the kit alone, the families of fold 0 held out."""
    gsr("train", kit, "--config", DEMOS / "kit.toml", "--folds", DEMOS / "kit-folds.toml", "--fold", "0",
        "--out", out / "run", "--overwrite")  # fmt: skip
    return out / "run"


def apply(export_dir: Path, plan: Path, out: Path) -> dict[str, int]:
    """Carry the plan out in tclsh under the stand-ins; returns how many actions were applied, skipped, unsupported."""
    manifest = json.loads((export_dir / "manifest.json").read_text())
    dbu = manifest["dbu_per_um"]
    directions = {f"M{i}": "HORIZONTAL" if i % 2 else "VERTICAL" for i in range(1, 9)}
    script = out / "apply.tcl"
    script.write_text(
        APPLY.format(
            stub=ROOT / "tests" / "tcl" / "openroad_stub.tcl",
            gsr=ROOT / "flow_hooks" / "tcl" / "gsr.tcl",
            design=manifest["design"],
            dbu=dbu,
            die=" ".join(str(round(v * dbu)) for v in manifest["die_um"]),
            layers=" ".join(f"{n} {d}" for n, d in directions.items()),
            plan=plan,
            out=out,
        )
    )
    tclsh = shutil.which("tclsh")
    if tclsh is None:
        sys.exit("tclsh is not on the path: apt-get install tcl")
    print(f"\n$ tclsh {script}    # gsr_apply_feedback; global_placement; gsr_clear_feedback", flush=True)
    subprocess.run([tclsh, str(script)], cwd=out, check=True)
    record = json.loads((out / "gsr_feedback.json").read_text())
    counts: dict[str, int] = {}
    for action in record["actions"]:
        counts[action["status"]] = counts.get(action["status"], 0) + 1
    return counts


def main() -> int:
    """Run the demo; 1 when no action of the plan was applied."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "demo")
    parser.add_argument("--design", default="xbar16/v1", help="a layout below demos/kit/labels/gsr45")
    parser.add_argument("--train", action="store_true", help="train a model from the kit first (a few minutes)")
    args = parser.parse_args()
    start, out = time.perf_counter(), args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    kit = export_kit(out)
    weights = ["--weights", train(kit, out)] if args.train else []
    export(args.design, out / "export")
    gsr("predict", out / "export", *weights, "--out", out / "prediction", "--overwrite")
    gsr("evaluate", kit, *weights, "--folds", DEMOS / "kit-folds.toml")
    plan = out / "feedback.tsv"
    gsr("feedback", out / "prediction", "--out", plan, "--overwrite")
    counts = apply(out / "export", plan, out)
    print("plan under the stand-ins: " + ", ".join(f"{n} {status}" for status, n in sorted(counts.items())))
    gsr("report", out / "prediction", "--feedback", plan, "--out", out / "report.html", "--overwrite")
    print(f"\nReport: {out / 'report.html'}")
    print(f"done in {time.perf_counter() - start:.0f} s")
    return 0 if counts.get("applied", 0) else 1


if __name__ == "__main__":
    sys.exit(main())
