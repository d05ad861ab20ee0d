"""What a warm server does: the same bytes as a process of its own, on files of its folders alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tcl_session import flow_process, wait_for_end

from bench import serve as bench_serve
from circuit_io.text import read_bytes
from gsr_plugin.cli import main
from gsr_plugin.client import VARIABLES
from gsr_plugin.serve import Request
from gsr_plugin.served_command import Folders, do_command

ROOT = Path(__file__).resolve().parent.parent
Do = Callable[..., dict[str, Any]]


@pytest.fixture
def hook(kit: Path, tmp_path: Path) -> Path:
    """hook.json of a small layout, in a folder of its own."""
    folder, label = tmp_path / "flow" / "step", kit / "labels" / "gsr45" / "fir8" / "v0"
    folder.mkdir(parents=True)
    (folder / "design.def").write_bytes(read_bytes(label / "placed.def.gz"))
    facts = {
        "schema": "gsr-hook", "schema_version": 1, "run_id": "run-1", "stage": "place", "design": "fir8",
        "platform": "gsr45", "def": "design.def", "signal_layers": ["M2", "M4"], "libs": [],
        "lefs": [str(kit / "tech" / f"gsr45_{n}.lef") for n in ("tech", "cells")],
        "layer_adjustment": {f"M{i}": 0.2 for i in range(1, 9)}, "metrics_stage": "detailedplace",
        "metrics_file": "3_9_gsr.json",
    }  # fmt: skip
    (folder / "hook.json").write_text(json.dumps(facts))
    return folder / "hook.json"


@pytest.fixture
def do(kit: Path, tmp_path: Path) -> Iterator[Do]:
    """Does a command as a server of this flow would, its words relative to the folder of the test."""
    (tmp_path / "flow").mkdir(exist_ok=True)
    folders = Folders([tmp_path / "flow"], [kit / "tech"])
    before, env = Path.cwd(), [os.environ.get(name) for name in VARIABLES]
    yield lambda *words, **variables: do_command(Request(tuple(map(str, words)), tmp_path, variables), folders)
    assert Path.cwd() == before, "the server's own folder must not change"
    assert [os.environ.get(name) for name in VARIABLES] == env


def change(hook: Path, **facts: object) -> None:
    hook.write_text(json.dumps(json.loads(hook.read_text()) | facts))


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_served_flow_writes_the_bytes_of_a_cold_one(
    hook: Path, do: Do, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cold, warm = tmp_path / "flow" / "cold" / "out", tmp_path / "flow" / "warm" / "out"
    words = ["flow", "--hook", str(hook), "--mode", "advise", "--device", "cpu", "--quiet"]
    done = CliRunner().invoke(main, [*words, "--out", str(cold), "--log-dir", str(cold.parent)])
    assert done.exit_code == 0, done.output
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]  # pytest's log took it
    assert warning.startswith("fir8 lies outside of what the model was trained on: technology gsr45")
    for _ in range(2):  # of a warm server, the second answer is the one that counts
        answer = do(*words, "--out", "flow/warm/out", "--log-dir", "flow/warm")
        assert (answer["exit_code"], answer["stderr"]) == (0, f"{done.stderr}WARNING: {warning}\n")
        assert answer["stdout"] == done.stdout.replace(str(cold), "flow/warm/out")
        assert (warm / "done").read_text() == "run-1"
        assert content(warm.parent) == content(cold.parent)


def test_export_predict_and_feedback_too(do: Do, hook: Path) -> None:
    assert do("export", "--hook", hook, "--out", "flow/design")["exit_code"] == 0
    answer = do("predict", "flow/design", "--out", "flow/pred", "--device", "cpu", "--json")
    assert json.loads(answer["stdout"])["design"] == "fir8"
    assert do("feedback", "flow/pred", "--out", "flow/feedback.tsv")["exit_code"] == 0
    again = do("predict", "flow/design", "--out", "flow/pred")
    assert (again["exit_code"], again["stdout"]) == (2, "")
    assert "exists already" in again["stderr"]


def test_the_clients_settings_hold_for_its_own_request_alone(do: Do, hook: Path) -> None:
    words = ["flow", "--hook", hook, "--out", "flow/out"]
    assert (
        "no GPU" in do(*words, GSR_DEVICE="cuda:99")["stderr"]
        or "cuda:99" in do(*words, GSR_DEVICE="cuda:99")["stderr"]
    )
    assert do(*words, GSR_DEVICE="cpu", PATH="/nowhere")["exit_code"] == 0


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_every_request_has_its_own_log_level(do: Do, hook: Path, quiet: list[str]) -> None:
    change(hook, sdc="bad.sdc")
    (hook.parent / "bad.sdc").write_text("set_units -time ns\nno_such_command\n")
    for _ in range(2):
        answer = do("flow", "--hook", hook, "--out", "flow/out", "--device", "cpu", *quiet)
        assert answer["exit_code"] == 0
        assert answer["stderr"].count("WARNING") == 2
        assert answer["stderr"].count("1 commands are not SDC") == 1
        assert answer["stderr"].count("lies outside of what the model was trained on") == 1


@pytest.mark.parametrize(
    "words", [[], ["train", "x"], ["check", "flow"], ["bench", "x"], ["serve"], ["--version"], ["-h"]]
)
def test_other_commands_are_refused(do: Do, words: list[str]) -> None:
    assert do(*words) == {"refused": "it does flow, export, predict, feedback alone"}


def test_bad_usage_is_the_commands_own_error(do: Do, tmp_path: Path) -> None:
    answer = do("predict", "--nonsense")
    assert answer["exit_code"] == 2
    assert "Usage: gsr predict" in answer["stderr"]
    assert do("flow", "--hook", "flow/none.json", "--out", "flow/o")["exit_code"] == 2


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for cwd in (tmp_path / "none", Path("\0")):
        assert "cannot go to" in do_command(Request(("flow",), cwd, {}), Folders([tmp_path]))["refused"]


def test_a_fault_of_ours_is_left_to_the_client(do: Do, hook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gsr_plugin.flow.run_flow", lambda *_, **__: 1 / 0)
    assert do("flow", "--hook", hook, "--out", "flow/out") == {
        "refused": "it failed (ZeroDivisionError: division by zero)"
    }


@pytest.mark.parametrize(
    "words",
    [
        ["flow", "--hook", "HOOK", "--out", "out"],
        ["flow", "--hook", "HOOK", "--out", "flow/../out"],
        ["flow", "--hook", "HOOK", "--out", "flow/link/out"],
        ["flow", "--hook", "HOOK", "--out", "flow/with_link"],
        ["flow", "--hook", "HOOK", "--out", "KIT/out"],
        ["flow", "--hook", "HOOK", "--out", "flow/out", "--log-dir", "logs"],
        ["flow", "--hook", "HOOK", "--out", "flow/out", "--weights", "other"],
        ["flow", "--hook", "HOOK", "--out", "flow/out", "--json", "facts.json"],
        ["flow", "--hook", "other/hook.json", "--out", "flow/out"],
        ["flow", "--hook", "flow/hook_link.json", "--out", "flow/out"],
        ["predict", "other", "--out", "flow/pred"],
        ["predict", "flow/link", "--out", "flow/pred"],
        ["predict", "flow/with_link", "--out", "flow/pred"],
        ["export", "--lef", "other/x.lef", "--def", "flow/step/design.def", "--out", "flow/d"],
        ["feedback", "flow/pred", "--out", "flow/feedback.tsv"],
    ],
)
def test_paths_outside_its_folders_are_refused(do: Do, hook: Path, tmp_path: Path, kit: Path, words: list[str]) -> None:
    flow, other = tmp_path / "flow", tmp_path / "other"
    for folder in (other, flow / "with_link", flow / "pred"):
        folder.mkdir()
    shutil.copy(hook, other / "hook.json")
    (other / "x.lef").write_text("")
    (flow / "link").symlink_to(other)
    (flow / "with_link" / "export").symlink_to(other)
    (flow / "hook_link.json").symlink_to(other / "hook.json")
    (flow / "pred" / "manifest.json").write_text(json.dumps({"export": "../../other"}))
    answer = do(*(w.replace("HOOK", str(hook)).replace("KIT", str(kit / "tech")) for w in words))
    assert "is outside the folders of the server" in answer.get("refused", ""), answer
    assert not (tmp_path / "out").exists()
    assert not (flow / "out").exists()


@pytest.mark.parametrize("name", ["lefs", "def", "libs", "verilog", "sdc", "access_points", "rtl", "rtl_include"])
def test_files_that_a_hook_names_outside_are_refused(do: Do, hook: Path, tmp_path: Path, name: str) -> None:
    outside = str(tmp_path / "other" / "file")
    change(hook, **{name: outside if name in ("def", "verilog", "sdc", "access_points") else [outside]})
    assert f"{outside} is outside" in do("flow", "--hook", hook, "--out", "flow/out")["refused"]


def test_the_model_of_the_environment_is_looked_at_too(do: Do, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "flow" / "design").mkdir()
    answer = do("predict", "flow/design", "--out", "flow/pred", GSR_MODEL=str(tmp_path / "model"))
    assert "outside" in answer["refused"]


def test_a_hook_that_cannot_be_read_is_the_commands_own_error(do: Do, hook: Path) -> None:
    hook.write_text("{")
    answer = do("flow", "--hook", hook, "--out", "flow/out")
    assert answer["exit_code"] == 2
    assert "JSON" in answer["stderr"]


def gsr(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gsr_plugin", *map(str, words)]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GSR_")}
    return subprocess.run(command, cwd=ROOT, env=clean | env, capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.slow
def test_the_first_call_of_a_flow_starts_a_server_and_the_next_ones_use_it(hook: Path, tmp_path: Path) -> None:
    address = tmp_path / "gsr" / "server.tsv"
    with flow_process() as flow:
        env = {"GSR_SERVER": str(address), "GSR_SERVE": "1", "GSR_FLOW_PID": str(flow.pid), "GSR_DEVICE": "cpu"}
        env["RESULTS_DIR"] = str(tmp_path / "results")
        pids = set()
        for out in ("gsr/one", "results/two"):
            done = gsr("export", "--hook", hook, "--out", tmp_path / out, **env)
            if "another version" in done.stderr:
                pytest.skip("a file of the packages was edited meanwhile")
            assert (done.returncode, done.stderr) == (0, ""), done.stderr
            pids.add(int(address.read_text().split("pid\t")[1].split()[0]))
        (pid,) = pids
        assert "port" in address.with_suffix(".log").read_text()
        flow.terminate()
    wait_for_end(pid)
    assert not address.exists()
    assert "has ended" in address.with_suffix(".log").read_text()
    del env["GSR_SERVE"]
    done = gsr("export", "--hook", hook, "--out", tmp_path / "three", **env)
    assert done.returncode == 0
    assert done.stderr.startswith("gsr: the server is not used: ")
    assert content(tmp_path / "three") == content(tmp_path / "gsr" / "one")


def test_a_prediction_loads_nothing_that_it_does_not_need(do: Do, hook: Path, tmp_path: Path) -> None:
    assert do("export", "--hook", hook, "--out", "flow/design")["exit_code"] == 0
    words = ["predict", "flow/design", "--out", "flow/pred", "--device", "cpu", "--quiet"]
    heavy = ["scipy", "triton", "matplotlib", "rich", "pandas", "pyarrow.dataset"]
    code = f"""if True:
        import sys
        from gsr_plugin.cli import main

        main({words}, standalone_mode=False)
        print(*[m for m in {heavy} if m in sys.modules], file=sys.stderr)
    """
    env = os.environ | {"TRITON_INTERPRET": "0", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "flow/pred: prediction of fir8\n"
    assert "WARNING: fir8 lies outside" in done.stderr
    assert done.stderr.splitlines()[-1] == ""


def test_a_server_that_cannot_start_costs_a_line(hook: Path, tmp_path: Path) -> None:
    env = {"GSR_SERVER": "/proc/gsr/server.tsv", "GSR_SERVE": "1"}
    done = gsr("predict", tmp_path / "none", "--out", tmp_path / "out", **env)
    assert done.returncode == 2
    assert "the server is not used: it cannot be started" in done.stderr
    assert "Usage: gsr predict" in done.stderr


def test_a_killed_server_is_told_from_a_living_one(hook: Path, tmp_path: Path) -> None:
    address = tmp_path / "server.tsv"
    command = [sys.executable, "-m", "gsr_plugin", "serve", "--address", str(address), "--root", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        assert "port" in server.stderr.readline()
        server.kill()
    assert address.exists()
    done = gsr("predict", tmp_path / "none", "--out", tmp_path / "out", GSR_SERVER=str(address))
    assert f"{address} is stale: its server has ended" in done.stderr
    assert "Usage: gsr predict" in done.stderr


@pytest.mark.slow
def test_a_server_that_is_told_to_end_does_so_cleanly(tmp_path: Path) -> None:
    address = tmp_path / "server.tsv"
    command = [sys.executable, "-m", "gsr_plugin", "serve", "--address", str(address), "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        assert "port" in server.stderr.readline()
        server.send_signal(signal.SIGTERM)
        out, _ = server.communicate(timeout=120)
    assert server.returncode == 0
    assert json.loads(out) == {"num_answers": 0, "reason": "it was told to"}
    assert not address.exists()


@pytest.mark.slow
def test_the_measurement_compares_every_file(kit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(kit), "--designs", "gsr45/fir8/v0", "--quick", "--out", str(tmp_path / "serve.json")]
    assert bench_serve.main(words) == 0
    (row,) = json.loads((tmp_path / "serve.json").read_text())["rows"]
    assert 0 < row["cpu_ratio"] < 1
    assert 0 < row["second_server_cpu_s"] < row["first_server_cpu_s"]
    assert row["stages"]["torch"] > 0
    assert row["num_files"] > 10
    assert f"{row['num_files']} files the same" in capsys.readouterr().out
