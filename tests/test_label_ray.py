"""`gsr label --ray`: a real cluster of two machines on this one, of which one dies; what a machine must have."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tcl_session import is_alive
from test_label import ROOT, batch_text, run_label, write_batch
from test_label_openroad import KIT, pretended_openroad

from flow_hooks.labels.ray_pool import Needs, token_in
from flow_hooks.version import own_version

CLUSTER = """
import sys
from ray.cluster_utils import Cluster

ours = {"num_cpus": 1, "memory": 2 << 30, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=ours)
second = cluster.add_node(**ours, env_vars={"ON_SECOND": "1"})
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
    print("killed", flush=True)
cluster.shutdown()
"""


class TwoMachines:
    """A cluster in a process of its own, since Ray leaves threads and handlers behind."""

    def __init__(self) -> None:
        pytest.importorskip("ray")
        env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "default"}
        self.address = ""
        for _ in range(3):  # Ray gives a machine 30 s to start, however busy this one is
            self.child = subprocess.Popen(
                [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
            )
            assert self.child.stdout
            self.address = self.child.stdout.readline().strip()
            if self.address:
                return
            self.child.communicate()
        pytest.fail("the cluster did not start")

    def kill_second(self) -> None:
        assert self.child.stdin
        assert self.child.stdout
        self.child.stdin.write("kill\n")
        self.child.stdin.flush()
        assert self.child.stdout.readline() == "killed\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[TwoMachines]:
    machines = TwoMachines()
    yield machines
    machines.child.communicate()


def openroad_that_hangs_on_the_second(folder: Path, kit: Path) -> Path:
    """Jobs end on the first machine and are noted in `ends`; on the second they hang, and `hung` has the process."""
    (folder / "inner").mkdir()
    inner = pretended_openroad(folder / "inner", kit, "v0")
    binary = folder / "openroad"
    binary.write_text(
        f'#!/bin/sh\n[ -n "$GSR_LABEL_JOB" ] || exec {inner} "$@"\n'
        f'if [ -n "$ON_SECOND" ]; then\n  echo $$ > {folder}/hung.new; mv {folder}/hung.new {folder}/hung\n'
        f'  exec sleep 1000000\nfi\n{inner} "$@" || exit\n'
        f'basename "$(dirname "$GSR_LABEL_JOB")" | cut -c -16 >> {folder}/ends\n'
    )
    binary.chmod(0o755)
    return binary


def until(is_so: Callable[[], bool], run: "subprocess.Popen[str]") -> None:
    while not is_so():
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)


@pytest.mark.slow
def test_a_cluster_without_room_is_told(kit: Path, tmp_path: Path, cluster: TwoMachines) -> None:
    batch = write_batch(tmp_path, batch_text(kit, "crc_bank", more="[limits]\nmemory_mb = 9000"))
    run = run_label(batch, tmp_path / "out", "--ray", cluster.address)
    assert run.exit_code == 2
    assert "no machine has a CPU and 9000 MB for a job; the largest offers 2048 MB" in run.output


@pytest.mark.slow
def test_a_machine_that_dies_loses_no_job_and_none_is_run_twice(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: TwoMachines
) -> None:
    monkeypatch.setenv("GSR_OPENROAD", str(openroad_that_hangs_on_the_second(tmp_path, kit)))
    placed = kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz"
    text = KIT.format(tech=kit / "tech", placed=placed, fails="", more="") + "[limits]\nmemory_mb = 1900\n"
    batch = write_batch(tmp_path, text + "".join(f"[[variant]]\nseed = {i}\n" for i in range(3)))
    out, ends, hung = tmp_path / "out", tmp_path / "ends", tmp_path / "hung"
    command = [sys.executable, "-m", "gsr_plugin", "label", str(batch), "--out", str(out), "--ray", cluster.address]

    def begin() -> "subprocess.Popen[str]":
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ended() -> list[str]:
        return ends.read_text().split() if ends.exists() else []

    first = begin()
    until(lambda: hung.exists() and len(list(out.glob("gsr45/*/*/job.json"))) == 1, first)
    first.send_signal(signal.SIGINT)
    said = first.communicate()[0]
    assert first.returncode == 130, said
    assert " pending;" in said
    while is_alive(int(hung.read_text())):  # given up on the other machine too
        time.sleep(0.01)
    before = {p: p.stat().st_mtime_ns for p in out.glob("gsr45/*/*/job.json")}
    hung.unlink()

    second = begin()
    until(hung.exists, second)
    cluster.kill_second()
    said = second.communicate()[0]
    assert second.returncode == 0, said
    assert "3 jobs: 3 done; " in said
    assert not is_alive(int(hung.read_text()))
    assert all(p.stat().st_mtime_ns == at for p, at in before.items())
    jobs = json.loads((out / "manifest.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["done"] * 3
    done = ended()
    assert {job["sha256"][:16] for job in jobs} == set(done), "each was run"
    given_up = len(done) - 3  # one that the first machine ended just when the first command was given up
    assert given_up <= 1, done
    assert [p.name for p in (out / ".running").iterdir()] == ["lock"]


def test_what_a_machine_lacks_is_told(tmp_path: Path) -> None:
    seen = tmp_path / "a.lef"
    seen.touch()
    needs = token_in(tmp_path, [str(seen)], binary="", binary_version="")
    assert needs.fault() == ""
    cases = {
        "which all machines must share": {"token": tmp_path / "away" / "token"},
        f"has gsr-plugin {own_version()}, not 0.0.7": {"version": "0.0.7"},
        f"does not see {tmp_path}/b.def": {"files": (str(seen), f"{tmp_path}/b.def")},
        "no such openroad: is not there": {"binary": "no such openroad"},
    }
    for said, change in cases.items():
        fault = Needs(**(vars(needs) | change)).fault()
        assert said in fault, fault
    (tmp_path / "token").write_text("of another run")
    assert "which all machines must share" in Needs(**(vars(needs) | {"files": ()})).fault()


def test_options_that_do_not_go_with_a_cluster(kit: Path, tmp_path: Path) -> None:
    batch = write_batch(tmp_path, batch_text(kit, "crc_bank"))
    run = run_label(batch, tmp_path / "out", "--job", "0", "--ray")
    assert run.exit_code == 2
    assert "--ray: is for a whole batch" in run.output
