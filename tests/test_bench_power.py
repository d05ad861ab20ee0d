"""The batches with power grid and macros: what openroad and yosys are asked for, and the jobs that come of it."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import power
from circuit_io.errors import InputError, ToolError
from flow_hooks.labels.batch import read_batch
from flow_hooks.labels.batch_jobs import OPENROAD, jobs_of
from gsr_plugin.dataset import read_folds

PLATFORM = {
    "nangate45": ("make_tracks", "setRC", "tapcell", "grid_strategy-M1-M4-M7"),
    "sky130hd": ("make_tracks", "setRC", "tapcell", "pdn"),
}
# reads what the script names and writes the netlist that it asks for, which holds the script
TOOL = r"""#!/bin/sh
for last; do :; done
grep '^read_' "$last" | grep -o '["{][^"}]*["}]' | tr -d '"{}' |
while read -r path; do head -c 2 "$path" | grep -q '[ -~]' || exit 3; done || { echo "cannot read $last"; exit 3; }
cp "$last" "$(sed -n 's/^write_verilog.* //p' "$last")"
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    tool = tmp_path / "tool"
    tool.write_text(TOOL)
    tool.chmod(0o755)
    monkeypatch.setenv("YOSYS", str(tool))
    for name, files in PLATFORM.items():
        (tmp_path / "platforms" / name).mkdir(parents=True)
        for file in files:
            (tmp_path / "platforms" / name / f"{file}.tcl").touch()
    out = tmp_path / "out"
    flags = ["--platforms", str(tmp_path / "platforms"), "--openroad", str(tool), "--out", str(out)]
    return SimpleNamespace(tool=tool, out=out, flags=flags, platforms=tmp_path / "platforms")


def test_every_design_gets_a_netlist_and_its_jobs(
    place: SimpleNamespace, gsr_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert power.main([str(gsr_data), *place.flags]) == 0
    jobs = {}
    for name in power.BATCHES:
        path = place.out / f"{name}.toml"
        jobs[name] = jobs_of(read_batch(path), path.parent, router=OPENROAD, version="1")
    assert {name: len(found) for name, found in jobs.items()} == {"small": 90, "large": 14, "macs": 24}
    assert all(job.settings["power_grid"] for job in jobs["small"] + jobs["large"])
    grids = Counter(job.settings["design"] for job in jobs["macs"] if job.settings["power_grid"])
    assert grids == {f"{t}_{d}{n}": 2 for t in ("asap7", "sky130hd") for d in ("pktbuf", "vecmac") for n in (2, 4)}
    first = next(job for job in jobs["small"] if job.name == "nangate45/nangate45_sasc/s0").settings
    assert (first["seed"], first["utilization"], first["signal_layers"]) == (1652878409, 0.5436, ["metal2", "metal5"])
    assert (first["top"], first["family"], first["env"]) == ("sasc_top", "sasc", {"TAP_CELL_NAME": "TAPCELL_X1"})
    macs = next(job for job in jobs["macs"] if job.name == "asap7/asap7_vecmac2/s0")
    assert (macs.settings["seed"], macs.settings["family"]) == (1249662353, "own_vecmac")
    assert macs.paths("macros") == [power.POWER / "macros.tcl"]
    asked = (place.out / "netlists" / "sky130hd_gcd.v").read_text().splitlines()
    assert [line.split()[0] for line in asked] == ["read_lef"] * 3 + ["read_def", "write_verilog"]
    assert asked[0].endswith("sky130_fd_sc_hd.tlef}")
    assert "chparam -set N 4 pktbuf\n" in (place.out / "netlists" / "asap7_pktbuf4.v").read_text()
    folds = read_folds(place.out / "folds.toml")
    assert folds == read_folds(gsr_data / "folds.toml") | power.OWN_FOLDS
    assert {job.settings["family"] for found in jobs.values() for job in found} <= set(folds)
    assert "macs.toml --out EXPORTS/labels_power/macs  # 24 jobs" in capsys.readouterr().out


def test_a_tool_that_fails_and_platforms_without_a_file_are_told(
    place: SimpleNamespace, gsr_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "data" / "labels" / "nangate45").mkdir(parents=True)
    for name in ("pdk", "folds.toml", "labels/nangate45/gcd"):
        (tmp_path / "data" / name).symlink_to(gsr_data.resolve() / name)
    (place.platforms / "nangate45" / "tapcell.tcl").unlink()
    with pytest.raises(InputError, match=r"nangate45_gcd/s0: .*tapcell\.tcl: No such file"):
        power.main([str(tmp_path / "data"), *place.flags])
    (place.out / "netlists" / "asap7_vecmac2.v").unlink()  # the others stay
    place.tool.write_text("#!/bin/sh\necho no licence\nexit 4\n")
    with pytest.raises(ToolError, match=r"no asap7_vecmac2\.v, exit code 4\n  no licence"):
        power.main([str(tmp_path / "data"), *place.flags])


def test_folders_that_are_not_there_are_told_before_anything_is_written(place: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere/labels: is no folder\n  Give DATA"):
        power.main([str(tmp_path / "nowhere"), *place.flags])
    assert not place.out.exists()


def test_cells_of_two_libraries_become_one() -> None:
    one, two = (b"library (%s) {\n  unit : 1;\n  cell (%s) {\n  }\n}\n" % (n, n.upper()) for n in (b"a", b"b"))
    assert power.one_library([one]).split() == one.split()
    both = power.one_library([one, two])
    assert both.split() == b"library (a) { unit : 1; cell (A) { } cell (B) { } }".split()
