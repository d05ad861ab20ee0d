"""The hooks and the warm server: who starts it, where it is, that it outlives a step, and what its absence costs."""

import json
import os
import re
import sys
from pathlib import Path

import pytest
from tcl_session import fake_python, flow_process, run_tcl, wait_for_end

from circuit_io.text import read_bytes

PREDICT = "stub::add_inst u1\nputs result=[gsr_predict -out_dir out]\nputs pid=[pid]"


def environment_of(folder: Path) -> dict[str, str]:
    lines = (folder / "environment").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_a_flow_that_wants_a_server_says_where_and_for_whom(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    env = {"GSR_PYTHON": str(python), "GSR_SERVE": "1", "OBJECTS_DIR": str(tmp_path / "objects")}
    after = PREDICT + "\nputs after=[info exists ::env(GSR_SERVER)][info exists ::env(GSR_SESSION_PID)]"
    run = run_tcl(tmp_path, after, env=env)
    child = environment_of(tmp_path / "py")
    assert child["GSR_SERVER"] == str(tmp_path / "objects" / "gsr" / "server.tsv")
    assert f"pid={child['GSR_SESSION_PID']}" in run.out.split()
    assert "after=00" in run.out


def test_the_users_own_server_and_process_are_kept(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    env = {"GSR_PYTHON": str(python), "GSR_SERVE": "1", "GSR_SERVER": "/mine.tsv", "GSR_FLOW_PID": "77"}
    run_tcl(tmp_path, PREDICT, env=env)
    child = environment_of(tmp_path / "py")
    assert (child["GSR_SERVER"], child["GSR_FLOW_PID"]) == ("/mine.tsv", "77")


@pytest.mark.parametrize("value", ["", "0", "yes"])
def test_no_server_is_started_unasked(tmp_path: Path, value: str) -> None:
    python = fake_python(tmp_path / "py")
    run = run_tcl(tmp_path, PREDICT, env={"GSR_PYTHON": str(python), "GSR_SERVE": value})
    assert "GSR_SERVER" not in environment_of(tmp_path / "py")
    assert ('FLW-7030] GSR_SERVE is "yes", not one of 0, 1; 0 is used.' in run.out) == (value == "yes")


def test_the_log_of_the_flow_says_every_reason_once_why_the_server_was_not_used(tmp_path: Path) -> None:
    note = "gsr: the server is not used: it is $REASON; this process does the work"
    python = fake_python(tmp_path / "py", body=f"echo 'before'; echo \"{note}\" >&2")
    script = PREDICT + "\ngsr_predict -out_dir other\nset ::env(REASON) away\ngsr_predict -out_dir third"
    run = run_tcl(tmp_path, script, env={"GSR_PYTHON": str(python), "REASON": "stale"})
    assert run.code == 0
    assert "result=status ok" in run.out
    assert run.out.count("[INFO FLW-7012] The server was not used: it is stale; this process does the work.") == 1
    assert run.out.count("[INFO FLW-7012] The server was not used: it is away; this process does the work.") == 1


@pytest.mark.parametrize("on_error", ["warn", "fail"])
def test_a_folder_that_cannot_be_written_is_one_message(tmp_path: Path, on_error: str) -> None:
    python = fake_python(tmp_path / "py")
    env = {"GSR_PYTHON": str(python), "GSR_ON_ERROR": on_error, "GSR_MODE": "apply"}
    run = run_tcl(tmp_path, "stub::add_inst u1\nputs result=[gsr_predict -out_dir /proc/gsr]", env=env)
    first = run.out.splitlines()[0]
    assert first.startswith("[WARNING FLW-7031]" if on_error == "warn" else "[ERROR FLW-7061]")
    assert 'can\'t create directory "/proc/gsr"' in first
    assert run.out.count("] gsr_predict: ") == 1
    assert run.code == (on_error == "fail")
    assert run.changes == []
    assert not (tmp_path / "py" / "runs").exists()


def test_a_second_flow_in_the_same_folder_is_named(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py", body='printf 1-2-3 > "$out/done"', finish=False)
    run = run_tcl(tmp_path, PREDICT, env={"GSR_PYTHON": str(python)})
    assert run.code == 0
    assert "does another flow use this folder?" in run.out


@pytest.mark.slow
def test_two_steps_of_a_flow_share_one_real_server(kit: Path, tmp_path: Path) -> None:
    placed = read_bytes(kit / "labels" / "gsr45" / "fir8" / "v0" / "placed.def.gz")
    (tmp_path / "placed.def").write_bytes(placed)
    dbu = re.search(rb"UNITS DISTANCE MICRONS (\d+)", placed)
    die = re.search(rb"DIEAREA \( (\d+) (\d+) \) \( (\d+) (\d+) \)", placed)
    assert dbu
    assert die
    before = f"""
set ::stub::design fir8
set ::stub::dbu {dbu[1].decode()}
set ::stub::die {{ {b" ".join(die.groups()).decode()} }}
set ::stub::layers {{ {" ".join(f"M{i} {'HORIZONTAL' if i % 2 else 'VERTICAL'}" for i in range(1, 9))} }}
set ::stub::routing_range {{ 2 4 }}
foreach name [dict keys $::stub::layers] {{
  dict set ::stub::adjustments $name 0.2
  interp alias {{}} ::layer_$name {{}} ::stub::layer $name
}}
proc ::write_def {{ args }} {{ file copy -force {{{tmp_path / "placed.def"}}} [lindex $args end] }}
"""
    lefs = [str(kit / "tech" / f"gsr45_{n}.lef") for n in ("tech", "cells")]
    address = tmp_path / "objects" / "gsr" / "server.tsv"
    pids, made = set(), []
    with flow_process() as flow:
        env = {"GSR_PYTHON": sys.executable, "GSR_LEFS": " ".join(lefs), "GSR_DEVICE": "cpu", "GSR_SERVE": "1"}
        env |= {"OBJECTS_DIR": str(tmp_path / "objects"), "GSR_FLOW_PID": str(flow.pid), "LOG_DIR": str(tmp_path)}
        for hook in ("POST_GLOBAL_PLACE", "POST_DETAIL_PLACE"):
            run = run_tcl(
                tmp_path, f"::gsr::run_hook {hook.replace('_', ' ', 1)}", before=before, env=env, timeout_s=240
            )
            if "another version" in run.out:
                pytest.skip("a file of the packages was edited meanwhile")
            assert run.code == 0, run.out
            assert "FLW-7031" not in run.out, run.out
            assert "FLW-7012" not in run.out, run.out
            pids.add(int(address.read_text().split("pid\t")[1].split()[0]))
            made.append(tmp_path / "objects" / "gsr" / hook.lower())
        flow.terminate()
    (pid,) = pids
    wait_for_end(pid)
    assert not address.exists()
    first, second = ((m / "prediction" / "congestion_h.csv").read_bytes() for m in made)
    assert first == second
    assert json.loads((tmp_path / "3_9_gsr_detail_place.json").read_text())
    assert os.listdir(made[1])  # noqa: PTH208
