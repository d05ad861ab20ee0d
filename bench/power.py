"""Netlists and batch files for labels with power grid and macros, which `gsr label` then makes (docs/labels.md).

    gsr bench power DATA --platforms ORFS/flow/platforms --openroad BIN --out OUT

OpenROAD writes a netlist of every design in DATA/labels, yosys (or YOSYS) those of two designs with memories. OUT gets
them, three batch files and a folds.toml that has the families of the two as well; the commands that come next are
printed. A netlist that is in OUT already stays.
"""

import argparse
import json
import os
import sys
import tempfile
import tomllib
from itertools import product
from pathlib import Path

from circuit_io.atomic import write_whole
from circuit_io.data_folder import library_files
from circuit_io.def_ import read_def
from circuit_io.errors import InputError, ToolError
from circuit_io.labels import find, read_parameters
from circuit_io.text import read_bytes
from flow_hooks.labels.batch import read_batch
from flow_hooks.labels.batch_jobs import OPENROAD, jobs_of
from flow_hooks.openroad.binary import FLAGS, chosen_openroad, run_bounded
from flow_hooks.openroad.script import plain_copy

POWER = Path(__file__).resolve().parent / "power"
MANY_INSTS = 7000  # designs with more get one variant
OWN_FOLDS = {"own_vecmac": 2, "own_pktbuf": 3}

# technology: Liberty of the memory, of the flops, of the gates, and what drives a constant
SYNTHESIS = {
    "sky130hd": (
        "fakeram130_256x16", "sky130_fd_sc_hd__tt", ("sky130_fd_sc_hd__tt",),
        "-hicell sky130_fd_sc_hd__conb_1 HI -locell sky130_fd_sc_hd__conb_1 LO",
    ),
    "asap7": (
        "sram_asap7_16x256_1rw", "asap7sc7p5t_SEQ", ("asap7sc7p5t_INVBUF", "asap7sc7p5t_SIMPLE"),
        "-hicell TIEHIx1_ASAP7_75t_R H -locell TIELOx1_ASAP7_75t_R L",
    ),
}  # fmt: skip
SCRIPT = """read_liberty -lib "{memory}"
read_verilog "{ram}" "{rtl}"
chparam -set N {banks} {design}
synth -top {design} -flatten
dfflibmap -liberty flops.lib
abc -liberty gates.lib
setundef -zero; hilomap {constants}; opt_clean -purge; rename -top {design}
write_verilog -noattr -noexpr {netlist}
"""
# batch file: variants of a design, share with power grid, highest utilization
BATCHES = {"small": (3, 1.0, 0.75), "large": (1, 1.0, 0.75), "macs": (3, 0.5, 0.65)}
SAMPLER = "\n[sampler]\ncount = {}\nseed = 7\npower_grid_frac = {}\nutilization = [0.4, {}]\n"


def run_tool(program: str, flags: tuple[str, ...], script: str, folder: Path, netlist: Path) -> None:
    """Run a script that writes a netlist.

    Raises:
        ToolError: it failed, or wrote none.
    """
    path = folder / "script"
    path.write_text(script, "utf-8")
    code, text = run_bounded([program, *flags, str(path)], folder, 600)
    written = folder / netlist.name
    if code or not written.is_file():
        said = "\n  ".join([line for line in text.splitlines() if line.strip()][-3:])
        raise ToolError(f"{program}: no {netlist.name}, exit code {code}\n  {said}")
    write_whole(netlist, written.read_bytes())
    print(netlist, flush=True)


def shared_designs(data: Path, openroad: Path, netlists: Path) -> dict[str, list[str]]:
    """Entries of the batches small and large: every labelled design, as its first placement has it."""
    first: dict[tuple[str, str], Path] = {}
    for done in sorted((data / "labels").glob("*/*/*/done.json")):
        first.setdefault((done.parts[-4], done.parts[-3]), done.parent)
    entries: dict[str, list[str]] = {"small": [], "large": []}
    for (tech, short), labels in first.items():
        name, placed = f"{tech}_{short}", find(labels, "placed.def")
        design, netlist = read_def(placed), netlists / f"{name}.v"
        if not netlist.is_file():
            with tempfile.TemporaryDirectory() as work:
                *lef, def_ = [plain_copy(p, Path(work)) for p in (*library_files(data, tech)[0], placed)]
                lines = [*(f"read_lef {{{p}}}" for p in lef), f"read_def {{{def_}}}", f"write_verilog {netlist.name}\n"]
                run_tool(str(openroad), FLAGS, "\n".join(lines), Path(work), netlist)
        size = "large" if len(design.inst_names) >= MANY_INSTS else "small"
        entries[size].append(entry(tech, name, design.design, str(read_parameters(labels).get("family") or short)))
    return entries


def own_designs(data: Path, netlists: Path) -> list[str]:
    """Entries of the batch macs: our two designs with two and with four memories in two technologies."""
    entries = []
    for tech, design, banks in product(SYNTHESIS, ("vecmac", "pktbuf"), (2, 4)):
        memory, flops, gates, constants = SYNTHESIS[tech]
        name = f"{tech}_{design}{banks}"
        entries.append(entry(tech, name, design, f"own_{design}") + f'macros = "{POWER / "macros.tcl"}"\n')
        netlist = netlists / f"{name}.v"
        if netlist.is_file():
            continue
        with tempfile.TemporaryDirectory() as work:
            (Path(work) / "flops.lib").write_bytes(read_bytes(liberty(data, tech, flops)))
            (Path(work) / "gates.lib").write_bytes(one_library([read_bytes(liberty(data, tech, g)) for g in gates]))
            script = SCRIPT.format(
                memory=liberty(data, tech, memory), ram=POWER / f"ram_{tech}.v", rtl=POWER / f"{design}.v",
                banks=banks, design=design, constants=constants, netlist=netlist.name,
            )  # fmt: skip
            run_tool(os.environ.get("YOSYS", "yosys"), ("-q", "-s"), script, Path(work), netlist)
    return entries


def liberty(data: Path, tech: str, begins: str) -> Path:
    """The Liberty file of a technology whose name begins so."""
    found = [p for p in library_files(data, tech)[1] if p.name.startswith(begins)]
    if not found:
        raise InputError(f"no Liberty file {begins}*", path=data / "pdk" / tech)
    return found[0]


def one_library(texts: list[bytes]) -> bytes:
    """The cells of all in the first library, since abc takes one."""
    first, *others = (text[: text.rstrip().rfind(b"}")] for text in texts)
    return b"".join([first, *(text[text.index(b"\n  cell (") :] for text in others), b"\n}\n"])


def entry(tech: str, name: str, top: str, family: str) -> str:
    """The table of a design in a batch file."""
    head = f'\n[design.{name}]\ntechnology = "{tech}"\nnetlist = "netlists/{name}.v"\n'
    return f'{head}top = "{top}"\nfamily = "{family}"\n'


def shared_tables(data: Path, platforms: Path) -> str:
    """What the batch files share, with the files of the data and the platforms."""
    text = (POWER / "batch.toml").read_text("utf-8")
    for tech in tomllib.loads(text)["technology"]:
        lef, lib = (json.dumps([str(p) for p in files], ensure_ascii=False) for files in library_files(data, tech))
        text = text.replace(f"[technology.{tech}]\n", f"[technology.{tech}]\nlef = {lef}\nlib = {lib}\n")
    return text.replace("$PLATFORMS", str(platforms)).replace("$POWER", str(POWER))


def write_batch(path: Path, text: str) -> int:
    """Write a batch file; the number of its jobs.

    Raises:
        InputError: a job lacks a file.
    """
    write_whole(path, text)
    jobs = jobs_of(read_batch(path), path.parent, router=OPENROAD, version="")
    for job in jobs:
        if job.fault:
            raise InputError(f"{job.name}: {job.fault}", path=path)
    return len(jobs)


def write_folds(data: Path, out: Path) -> None:
    """The folds of the data, with our two families."""
    from gsr_plugin.dataset import read_folds

    head, table, rest = (data / "folds.toml").read_text("utf-8").partition("[fold]\n")
    own = "".join(f'"{family}" = {fold}\n' for family, fold in OWN_FOLDS.items())
    write_whole(out / "folds.toml", head + table + own + rest)
    read_folds(out / "folds.toml")


def main(arguments: list[str] | None = None) -> int:
    """Write netlists, batch files and folds, and print what to run next."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--platforms", type=Path, required=True, help="platforms of OpenROAD-flow-scripts")
    parser.add_argument("--openroad", help="else GSR_OPENROAD, or the one on PATH")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    data, out, netlists = args.data.resolve(), args.out.resolve(), args.out.resolve() / "netlists"
    openroad = chosen_openroad(args.openroad)
    for folder in (data / "labels", data / "pdk", args.platforms):
        if not folder.is_dir():
            raise InputError("is no folder", path=folder, mend="Give DATA with labels/ and pdk/, and ORFS's platforms.")
    netlists.mkdir(parents=True, exist_ok=True)
    entries = shared_designs(data, openroad, netlists)
    entries["macs"] = own_designs(data, netlists)
    shared = shared_tables(data, args.platforms.resolve())
    write_folds(data, out)
    for name, numbers in BATCHES.items():
        count = write_batch(out / f"{name}.toml", shared + SAMPLER.format(*numbers) + "".join(entries[name]))
        print(f"gsr label {out / name}.toml --out EXPORTS/labels_power/{name}  # {count} jobs")
    print(f"cp {out / 'folds.toml'} EXPORTS/  # gsr train finds the families of the two designs there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
