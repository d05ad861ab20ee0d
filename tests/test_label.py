"""`gsr label`: jobs of a batch, resume after a kill, limits, bad input, the embedded router's labels to training."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tcl_session import is_alive

from circuit_io.atomic import write_whole
from circuit_io.design import read_design
from circuit_io.gcells import make_grid
from circuit_io.labels import edge_mask, find, read_parameters, read_usage
from circuit_io.router import route
from circuit_io.router_demand import demand_of
from circuit_io.router_supply import layers_of, supply_of
from circuit_io.store import open_design
from flow_hooks.jobs.pool import Start, run_pool
from flow_hooks.labels.batch import keys_table, read_batch
from flow_hooks.labels.batch_jobs import Job, jobs_of
from flow_hooks.labels.labeler import label, plan_batch
from gsr_plugin.cli import main
from gsr_plugin.dataset import find_designs

ROOT = Path(__file__).resolve().parent.parent


def batch_text(kit: Path, *designs: str, more: str = "", variants: str = "") -> str:
    """A batch over placed designs of the kit."""
    tech = kit / "tech"
    rows = [
        'schema = "gsr-batch"\nschema_version = 1',
        "[router]\nruns = 1",
        "[technology.gsr45]",
        f'lef = ["{tech / "gsr45_tech.lef"}", "{tech / "gsr45_cells.lef"}"]',
        'signal_layers = "M2-M5"\nlayer_adjustment = 0.2',
    ]
    for name in designs:
        placed = kit / "labels" / "gsr45" / name / "v0" / "placed.def.gz"
        rows.append(f'[design.{name}]\ntechnology = "gsr45"\ndef = "{placed}"')
    return "\n".join([*rows, more, variants, ""])


def write_batch(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "batch.toml", text)
    return folder / "batch.toml"


def jobs_in(text: str, folder: Path, router: str = "embedded") -> list[Job]:
    path = write_batch(folder, text)
    return jobs_of(read_batch(path), folder, router=router, version="1")


def run_label(batch: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(
        main, ["label", str(batch), "--out", str(out), "--router", "embedded", *options], catch_exceptions=False
    )


VARIANTS = """
[[variant]]
[[variant]]
layer_adjustment = { M2 = 0.6, M3 = 0.3 }
signal_layers = "M2-M4"
seed = 3
"""


@pytest.fixture(scope="module")
def labelled(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variants of the smallest kit design, labelled by the embedded router."""
    folder = tmp_path_factory.mktemp("label")
    batch = write_batch(folder, batch_text(kit, "crc_bank", variants=VARIANTS))
    done = run_label(batch, folder / "out", "--jobs", "2", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["num_new"] == 2
    return folder


def test_labels_are_what_the_router_said(kit: Path, labelled: Path) -> None:
    for variant, seed in (("v0", 0), ("v1", 3)):
        folder = labelled / "out" / "gsr45" / "crc_bank" / variant
        design = open_design(folder / "design")
        assert design.labels is not None
        done = json.loads((folder / "labels" / "done.json").read_text())
        lef = [kit / "tech" / name for name in ("gsr45_tech.lef", "gsr45_cells.lef")]
        placed = read_design(lef, folder / "labels" / "placed.def.gz", lib=[])
        grid = make_grid(placed.die_dbu, placed.layers, signal_layers=tuple(done["signal_layers"]))
        supply = supply_of(placed, grid, done["layer_adjustment"])
        graph = replace(design.graph, layers=layers_of(placed, grid, supply))
        said = route(demand_of(graph), runs=1, seed=seed)
        np.testing.assert_array_equal(design.labels.congestion_h, said.h)
        np.testing.assert_array_equal(design.labels.congestion_v, said.v)
        np.testing.assert_array_equal(design.labels.overflow_h, said.overflow_h)
        assert done["is_approximate"]
        assert "approximate" in done["router"]
    assert done["layer_adjustment"] == {"M2": 0.6, "M3": 0.3, "M4": 0}


@pytest.mark.parametrize(("name", "most_below"), [("crc_bank", 0), ("dma_buffer", 4)])
def test_blocked_tracks_are_those_of_openroads_router(kit: Path, name: str, most_below: int) -> None:
    """Usage of a real route over a power grid, and macros, is not below what fixed shapes take by our count."""
    folder = kit / "labels" / "gsr45" / name / "v0"
    done = read_parameters(folder)
    lef = [kit / "tech" / name for name in ("gsr45_tech.lef", "gsr45_cells.lef")]
    design = read_design(lef, find(folder, "placed.def"), lib=[])
    grid = make_grid(design.die_dbu, design.layers, signal_layers=tuple(done["signal_layers"]))
    table = read_usage(find(folder, "gcell_usage.csv"), nx=grid.nx, ny=grid.ny)
    supply = supply_of(design, grid, dict.fromkeys(table.layers, done["layer_adjustment"]))
    order = [table.layers.index(layer.name) for layer in supply.layers]
    assert (supply.adjusted - supply.left).sum() > 900
    below = equal = 0
    for i, layer in zip(order, supply.layers, strict=True):
        edge = ~edge_mask((grid.ny, grid.nx), layer.direction)
        wires = (table.usage[i] - (supply.capacity - supply.left)[order.index(i)])[edge]
        below, equal = below + int((wires < 0).sum()), equal + int((wires == 0).sum())
    assert below <= most_below
    assert equal > 300


def test_manifest_tells_versions_parameters_and_hashes(labelled: Path, caplog: pytest.LogCaptureFixture) -> None:
    entries = find_designs([labelled / "out"])
    assert [e.name for e in entries] == ["gsr45/crc_bank/v0", "gsr45/crc_bank/v1"]
    exported = json.loads((entries[0].path / "manifest.json").read_text())
    assert exported["labels_from"] == {"router": "embedded router (approximate)", "is_approximate": True}
    assert "2 of 2 placements have approximate labels" in caplog.text
    manifest = json.loads((labelled / "out" / "manifest.json").read_text())
    assert manifest["is_approximate"]
    assert manifest["counts"] == {"done": 2, "failed": 0, "skipped": 0, "pending": 0}
    assert manifest["versions"]["gsr-plugin"]
    job = manifest["jobs"][1]
    assert job["name"] == "gsr45/crc_bank/v1"
    assert job["settings"]["signal_layers"] == ["M2", "M4"]
    assert "labels/gcell_usage.csv.gz" in job["files"]
    assert {one["role"] for one in job["inputs"]} == {"lef", "def"}
    assert job["seconds"] > 0
    assert job["peak_bytes"] > 1 << 20


@pytest.mark.slow
def test_the_result_trains_as_it_is(labelled: Path, tmp_path: Path) -> None:
    small = ["layers=2", "width=8", "k=2"]
    sets = [word for s in small for word in ("--set", f"model.{s}")]
    done = CliRunner().invoke(
        main, ["train", str(labelled / "out"), *sets, "--set", "train.epochs=1", "--out", str(tmp_path / "run")],
        catch_exceptions=False,
    )  # fmt: skip
    assert done.exit_code == 0, done.output


def test_what_is_done_is_not_done_again(labelled: Path) -> None:
    again = run_label(labelled / "batch.toml", labelled / "out")
    assert again.exit_code == 0
    assert "2 jobs: 2 done; 0 by this run" in again.output


def test_a_changed_input_is_labelled_anew_and_said(kit: Path, labelled: Path, tmp_path: Path) -> None:
    shutil.copytree(labelled / "out", tmp_path / "out")
    batch = write_batch(tmp_path, batch_text(kit, "crc_bank", variants=VARIANTS.replace("seed = 3", "seed = 4")))
    again = run_label(batch, tmp_path / "out")
    assert "2 done; 1 by this run (1 of them anew: their inputs changed)" in again.output
    batch = write_batch(tmp_path, batch_text(kit, "crc_bank"))
    fewer = run_label(batch, tmp_path / "out")
    assert "1 folders there are of no job that this batch has done: gsr45/crc_bank/v1" in fewer.output


def test_a_folder_that_lost_a_file_is_no_result(labelled: Path, tmp_path: Path) -> None:
    shutil.copytree(labelled / "out", tmp_path / "out")
    (tmp_path / "out" / "gsr45" / "crc_bank" / "v0" / "labels" / "gcell_usage.csv.gz").unlink()
    again = run_label(labelled / "batch.toml", tmp_path / "out")
    assert "2 done; 1 by this run" in again.output
    assert (tmp_path / "out" / "gsr45" / "crc_bank" / "v0" / "labels" / "gcell_usage.csv.gz").is_file()


def test_the_embedded_router_makes_no_detailed_route(kit: Path, tmp_path: Path) -> None:
    variants = "[[variant]]\ndetailed_iterations = 3\n[[variant]]\ndetailed_iterations = 0\n"
    wanted, plain = jobs_in(batch_text(kit, "crc_bank", variants=variants), tmp_path)
    assert wanted.skip == "detailed_iterations: the embedded router has no detailed_route"
    assert not plain.skip


def test_a_failing_job_stops_no_other_and_shows_its_error(kit: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.def").write_text("VERSION 5.8 ;\nDESIGN top ;\nDIEAREA ( 0 0 )")
    variants = (
        '[[variant]]\n[[variant]]\nname = "wrong"\ndesigns = ["crc_bank"]\nsignal_layers = "M2-M99"\n'
        '[[variant]]\nname = "mistyped"\ndesigns = ["crc_bank"]\nlayer_adjustment = { M22 = 0.5 }\n'
    )
    more = (
        '[design.cut]\ntechnology = "gsr45"\ndef = "cut.def"\n[design.lost]\ntechnology = "gsr45"\ndef = "lost.def"\n'
        '[design.synthesised]\ntechnology = "gsr45"\nnetlist = "top.v"\n'
    )
    batch = write_batch(tmp_path, batch_text(kit, "crc_bank", more=more, variants=variants))
    run = run_label(batch, tmp_path / "out", "--jobs", "2")
    assert run.exit_code == 1
    assert "6 jobs: 1 done, 4 failed, 1 skipped; 4 by this run" in run.output
    assert '"M99"' in run.output
    assert '"M22" is no routing layer' in run.output
    assert "cut.def:" in run.output
    assert "lost.def: No such file or directory" in run.output
    assert "gsr45/synthesised/v0: skipped: no placement" in run.output
    assert (tmp_path / "out" / "failed" / "gsr45" / "cut" / "v0" / "job.json").is_file()
    again = run_label(batch, tmp_path / "out")
    assert "1 done, 4 failed, 1 skipped; 0 by this run" in again.output
    again = run_label(batch, tmp_path / "out", "--retry", "--job", "1")
    assert "1 jobs: 0 done, 1 failed; 1 by this run" in again.output


KILLED_AT_THE_FIRST_END = """
import os, signal, sys
from pathlib import Path
from flow_hooks.labels.labeler import label, plan_batch

plan = plan_batch(Path(sys.argv[1]), router="embedded")
label(plan, Path(sys.argv[2]), jobs=2, on_end=lambda done, name: os.kill(os.getpid(), signal.SIGKILL))
"""


def processes_of(folder: Path) -> list[int]:
    """Processes that name a folder in their command."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if os.fsencode(folder) in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def test_a_killed_batch_goes_on_with_no_job_lost_or_run_twice(kit: Path, tmp_path: Path) -> None:
    seeds = "".join(f"[[variant]]\nseed = {i}\n" for i in range(3))
    batch, out = write_batch(tmp_path, batch_text(kit, "crc_bank", variants=seeds)), tmp_path / "out"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AT_THE_FIRST_END, str(batch), str(out)], check=False, cwd=ROOT
    )
    assert killed.returncode == -signal.SIGKILL
    while processes_of(out):  # jobs end with the batch
        time.sleep(0.01)
    before = {p: p.stat().st_mtime_ns for p in out.glob("gsr45/*/*/job.json")}
    assert len(before) == 1
    assert any(p.is_dir() for p in (out / ".running").iterdir()), "another was under way"
    assert len(find_designs([out])) == 1, "half done folders are no designs"
    plan = plan_batch(batch, router="embedded")
    ended: list[str] = []
    found = label(plan, out, on_end=lambda done, name: ended.append(name))
    assert found.count("done") == 3
    assert len(ended) == len(set(ended)) == 2
    assert all(p.stat().st_mtime_ns == at for p, at in before.items())
    assert [p.name for p in (out / ".running").iterdir()] == ["lock"]


def test_two_batches_do_not_work_in_one_folder(labelled: Path) -> None:
    with (labelled / "out" / ".running" / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as the task of an array has it
        again = run_label(labelled / "batch.toml", labelled / "out")
        assert again.exit_code == 2
        assert "another gsr label is at work here" in again.output
        assert run_label(labelled / "batch.toml", labelled / "out", "--job", "0").exit_code == 0


def test_a_stop_leaves_the_rest_for_another_time(kit: Path, tmp_path: Path) -> None:
    plan = plan_batch(write_batch(tmp_path, batch_text(kit, "crc_bank", variants=VARIANTS)), router="embedded")
    found = label(plan, tmp_path / "out", should_stop=lambda: True)
    assert (found.count("pending"), found.num_new) == (2, 0)
    assert "2 pending" in found.text()


def test_limits_of_time_and_memory_end_a_job(kit: Path, tmp_path: Path) -> None:
    for limit, reason in (("time_s = 0.05", "was ended after 0.05 s"), ("memory_mb = 64", "64 MB")):
        batch = write_batch(tmp_path / limit[:4], batch_text(kit, "crc_bank", more=f"[limits]\n{limit}"))
        found = label(plan_batch(batch, router="embedded"), tmp_path / limit[:4] / "out")
        assert found.count("failed") == 1
        assert reason in found.jobs[0]["reason"], found.jobs[0]["reason"]


def test_a_pool_ends_what_its_processes_left_behind(tmp_path: Path) -> None:
    script = f"sleep 100 & echo $! > {tmp_path / 'pid'}; exit 3"
    start = Start("a", ["sh", "-c", script], tmp_path / "log", 60.0)
    (end,) = run_pool([start], width=2, should_stop=lambda: False)
    assert (end.what, end.code, end.is_late) == ("a", 3, False)
    assert not is_alive(int((tmp_path / "pid").read_text()))


BAD = {
    "no TOML": ("x = [", "is no TOML"),
    "schema": ('schema = "gsr-folds"\nschema_version = 1', "Expected schema"),
    "unknown technology": ('[design.a]\ntechnology = "gsr54"', 'Did you mean "gsr45"'),
    "unknown key": ('[design.a]\ntechnology = "gsr45"\nnetlst = "a.v"', 'Did you mean "netlist"'),
    "unknown design": ('[[variant]]\ndesigns = ["crc_bnk"]', 'Did you mean "crc_bank"'),
    "adjustment": ("[[variant]]\nlayer_adjustment = 1.5", "less than or equal to 1"),
    "a name that leaves the folder": ('[[variant]]\nname = "../../x"', "variant.0.name"),
    "two of one name": ('[[variant]]\nname = "v1"\n[[variant]]', 'two variants are named "v1"'),
    "a range": ("[sampler]\ncount = 2\nutilization = [0.9, 0.5]", "runs backwards"),
    "out of range": ("[sampler]\ncount = 2\nutilization = [0.5, 1.5]", "less than or equal to 1"),
    "a folder's name": ('[technology.failed]\nlef = ["a"]', 'technology is named "failed"'),
    "both": ('[design.a]\ntechnology = "gsr45"\ndef = "a"\nnetlist = "b"', "has def and netlist"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_batch_file_is_one_error(kit: Path, tmp_path: Path, name: str) -> None:
    text, said = BAD[name]
    whole = text if name in ("no TOML", "schema") else batch_text(kit, "crc_bank", more=text)
    run = run_label(write_batch(tmp_path, whole), tmp_path / "out")
    assert run.exit_code == 2
    assert said in run.output, run.output
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(kit: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    run = run_label(write_batch(tmp_path, batch_text(kit, "crc_bank")), tmp_path / "out")
    assert run.exit_code == 2
    assert "holds no batch of labels" in run.output


def test_a_hash_is_of_contents_and_settings_not_of_places(kit: Path, tmp_path: Path) -> None:
    text = batch_text(kit, "crc_bank", variants="[[variant]]\nseed = SEED")
    placed = str(kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz")
    shutil.copy(placed, tmp_path / "moved.def.gz")
    hashes = [
        jobs_in(t, tmp_path)[0].sha256
        for t in (
            text.replace("SEED", "1"),
            text.replace("SEED", "1").replace(placed, "moved.def.gz"),
            text.replace("SEED", "2"),
        )
    ]
    assert hashes[0] == hashes[1] != hashes[2]


SAMPLER = """
[design.netlist]
technology = "grid"
netlist = "top.v"
[technology.grid]
lef = ["a.lef"]
power_grid = "pdn.tcl"
layer_adjustment = 0.2
signal_layers = "M2-M6"
[sampler]
count = 20
signal_layers = ["M2-M7", "M2-M6", "M2-M5", "M2-M4"]
"""


def drawn(kit: Path, folder: Path, text: str = SAMPLER) -> list[dict[str, Any]]:
    (folder / "top.v").touch()
    for name in ("a.lef", "pdn.tcl"):
        (folder / name).touch()
    jobs = jobs_in(batch_text(kit, "crc_bank", more=text), folder, router="openroad")
    return [job.settings for job in jobs]


def test_the_sampler_covers_every_range_and_crowds_a_part(kit: Path, tmp_path: Path) -> None:
    settings = drawn(kit, tmp_path)
    mine = [s for s in settings if s["design"] == "netlist"]
    assert len(mine) == 20
    easy, crowded = mine[:12], mine[12:]
    for part, low, steps in ((easy, 0.4, 12), (crowded, 0.7, 8)):
        width = (0.85 - low) / steps
        cells = sorted(int((s["utilization"] - low - 1e-9) / width) for s in part)
        assert cells == list(range(steps)), "one in every step"
    own = [s for s in mine if s["layer_adjustment"] == 0.2]
    assert len(own) == 3 + 2
    assert min(s["layer_adjustment"] for s in crowded if s not in own) > 0.43
    assert {tuple(s["signal_layers"]) for s in easy} == {("M2", f"M{i}") for i in (7, 6, 5, 4)}
    assert {tuple(s["signal_layers"]) for s in crowded} <= {("M2", "M5"), ("M2", "M4")}
    assert sum(s["power_grid"] for s in mine) >= 20 / 3
    assert len({s["seed"] for s in mine}) == 20
    placed = [s for s in settings if s["design"] == "crc_bank"]
    assert len(placed) == 20
    assert not any("utilization" in s for s in placed)


def test_the_sampler_says_the_same_whatever_else_is_drawn(kit: Path, tmp_path: Path) -> None:
    one = [s for s in drawn(kit, tmp_path) if s["design"] == "netlist"]
    more = SAMPLER + '[design.another]\ntechnology = "grid"\nnetlist = "top.v"\n'
    assert [s for s in drawn(kit, tmp_path, more) if s["design"] == "netlist"] == one
    other = drawn(kit, tmp_path, SAMPLER + "seed = 1\n")
    assert [s for s in other if s["design"] == "netlist"] != one


def test_a_slurm_array_has_a_task_for_each_job_that_can_run(kit: Path, tmp_path: Path) -> None:
    more = '[design.synthesised]\ntechnology = "gsr45"\nnetlist = "top.v"\n[limits]\ntime_s = 100\nmemory_mb = 2000\n'
    batch = write_batch(tmp_path, batch_text(kit, "crc_bank", more=more, variants=VARIANTS))
    script = tmp_path / "array.sh"
    assert run_label(batch, tmp_path / "out", "--slurm", str(script), "--jobs", "9").exit_code == 0
    assert not (tmp_path / "out").exists()
    subprocess.run(["sh", "-n", str(script)], check=True)
    lines = script.read_text().splitlines()
    assert [line for line in lines if line.startswith("#SBATCH")][1:4] == [
        "#SBATCH --array=0-1%9",
        "#SBATCH --time=4",
        "#SBATCH --mem=2512M",
    ]
    env = {**os.environ, "SLURM_ARRAY_TASK_ID": "1"}
    subprocess.run(["sh", str(script)], check=True, env=env, cwd=ROOT)
    assert (tmp_path / "out" / "gsr45" / "crc_bank" / "v1" / "job.json").is_file()
    assert not (tmp_path / "out" / "gsr45" / "crc_bank" / "v0").exists()
    again = ["--slurm", str(script), "--overwrite"]
    assert run_label(batch, tmp_path / "a\ntouch b #", *again, "--retry").exit_code == 0
    assert "--retry --job" in script.read_text()
    subprocess.run(["sh", str(script)], check=True, env=env, cwd=tmp_path)
    assert not (tmp_path / "b").exists()
    assert run_label(batch, tmp_path / "out", *again, "--job", "1").exit_code == 2
    assert run_label(batch, tmp_path / "out", "--overwrite").exit_code == 2


def test_the_page_has_all_keys() -> None:
    assert keys_table() in (ROOT / "docs" / "labels.md").read_text(), "flow_hooks.labels.batch.keys_table"
