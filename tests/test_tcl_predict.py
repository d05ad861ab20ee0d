"""One Python process per prediction, and what happens when it is missing, fails, hangs or lies."""

import os
import time
from pathlib import Path

import pytest
from tcl_session import fake_python, is_alive, num_runs, run_tcl

PREDICT = "stub::add_inst u1\nputs result=[gsr_predict -out_dir out -step POST_DETAIL_PLACE]"


def test_a_good_run_returns_its_metrics(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    run = run_tcl(tmp_path, PREDICT, env={"GSR_PYTHON": str(python), "LOG_DIR": str(tmp_path / "logs")})
    assert run.code == 0, run.out
    assert "result=status ok" in run.out
    assert "detailedplace__gsr__congestion_h__max 1.25" in run.out
    out = tmp_path / "out"
    words = (tmp_path / "py" / "arguments").read_text().splitlines()
    assert words == [
        *["-m", "gsr_plugin", "flow", "--hook", str(out / "hook.json"), "--out", str(out), "--mode", "observe"],
        *["--log-dir", str(tmp_path / "logs")],
    ]


def test_weights_and_device_are_passed_on(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    env = {"GSR_PYTHON": str(python), "GSR_MODEL": "my weights.safetensors", "GSR_DEVICE": "cuda:1"}
    assert run_tcl(tmp_path, PREDICT, env=env).code == 0
    words = (tmp_path / "py" / "arguments").read_text().splitlines()
    assert words[-4:] == ["--weights", str(tmp_path / "my weights.safetensors"), "--device", "cuda:1"]


def test_the_child_does_not_inherit_openroads_environment(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    env = {
        "GSR_PYTHON": str(python),
        "PYTHONPATH": "/openroad/python",
        "PYTHONHOME": "/openroad",
        "LD_LIBRARY_PATH": "/openroad/lib",
        "NUM_CORES": "3",
        "OMP_NUM_THREADS": "64",
    }
    names = "PYTHONPATH PYTHONHOME LD_LIBRARY_PATH OMP_NUM_THREADS"
    script = (
        PREDICT + "\nforeach n {" + names + "} { puts after:$n=$::env($n) }\nputs [info exists ::env(OMP_WAIT_POLICY)]"
    )
    run = run_tcl(tmp_path, script, env=env)
    child = dict(
        line.split("=", 1) for line in (tmp_path / "py" / "environment").read_text().splitlines() if "=" in line
    )
    assert not {"PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH"} & set(child)
    assert child["OMP_NUM_THREADS"] == "3"
    assert child["OMP_WAIT_POLICY"] == "passive"
    # a stray numpy.py in the flow's folder must not be imported
    assert child["PYTHONSAFEPATH"] == "1"
    # and the session has its own environment back
    assert "after:PYTHONPATH=/openroad/python" in run.out
    assert "after:OMP_NUM_THREADS=64" in run.out
    assert run.out.rstrip().endswith("0")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("missing", "was not found"),
        ("fails", "failed with exit code 7: out of luck"),
        ("killed", "was killed (SIGKILL)"),
        ("no_done", "ended without writing done"),
        ("old_done", 'left the run id "yesterday" in done'),
    ],
)
@pytest.mark.parametrize("on_error", ["warn", "fail"])
def test_a_bad_python_costs_a_warning_or_the_step_if_asked(
    tmp_path: Path, setting: str, words: str, on_error: str
) -> None:
    folder = tmp_path / "py"
    body = {
        "fails": "echo out of luck >&2; exit 7",
        "killed": "kill -9 $$",
        "old_done": 'printf yesterday > "$out/done"',
    }
    python = fake_python(folder, body=body.get(setting, ""), finish=setting not in ("no_done", "old_done"))
    if setting == "missing":
        python.unlink()
    run = run_tcl(tmp_path, PREDICT, env={"GSR_PYTHON": str(python), "GSR_ON_ERROR": on_error})
    assert words in run.out
    if on_error == "warn":
        assert run.code == 0
        assert "[WARNING FLW-7031]" in run.out
        assert "result=status failed" in run.out
    else:
        assert run.code == 1
        assert "[ERROR FLW-7061]" in run.out
    assert run.changes == []


def test_without_the_timeout_program_the_limit_holds_as_well(tmp_path: Path) -> None:
    # only what the stand-in itself needs is on the path
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "cp", "sed", "env", "sleep", "cat"):
        (programs / name).symlink_to(next(p for d in ("/bin", "/usr/bin") if (p := Path(d, name)).exists()))
    python = fake_python(tmp_path / "py", body=f"echo $$ > {tmp_path}/pid\nexec sleep 600")
    start = time.monotonic()
    env = {"GSR_PYTHON": str(python), "GSR_TIMEOUT": "0.6", "PATH": str(programs)}
    run = run_tcl(tmp_path, PREDICT, env=env)
    assert run.code == 0, run.out
    assert "ran longer than GSR_TIMEOUT (0.6 s)" in run.out
    assert time.monotonic() - start < 300
    assert not is_alive(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("body", ["exec sleep 600", "sleep 600", "trap '' TERM; while :; do sleep 0.1; done"])
def test_a_hanging_python_is_ended_with_what_it_started(tmp_path: Path, body: str) -> None:
    python = fake_python(tmp_path / "py", body=f"echo $$ > {tmp_path}/pid\n{body}")
    start = time.monotonic()
    script = "set ::gsr::patience_s 0.3\n" + PREDICT
    run = run_tcl(tmp_path, script, env={"GSR_PYTHON": str(python), "GSR_TIMEOUT": "0.5"})
    assert run.code == 0, run.out
    assert "ran longer than GSR_TIMEOUT" in run.out
    assert time.monotonic() - start < 300
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_python_that_never_stops_talking_neither_blocks_nor_fills_the_disk(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py", body="exec cat /dev/zero")
    script = "set ::gsr::max_log_bytes 100000\n" + PREDICT
    run = run_tcl(tmp_path, script, env={"GSR_PYTHON": str(python), "GSR_TIMEOUT": "0.5"})
    assert run.code == 0, run.out
    assert "ran longer than GSR_TIMEOUT" in run.out
    assert (tmp_path / "out" / "gsr.log").stat().st_size == 100_000


def test_results_of_an_earlier_run_are_not_taken_for_those_of_this_one(tmp_path: Path) -> None:
    good = fake_python(tmp_path / "good", plan="text\n")
    bad = fake_python(tmp_path / "bad", body="exit 1")
    env = {"GSR_PYTHON": str(good)}
    assert run_tcl(tmp_path, PREDICT, env=env).code == 0
    assert (tmp_path / "out" / "feedback.tsv").exists()
    bad.write_text("\n".join(line for line in bad.read_text().splitlines() if "$out/" not in line))
    logs = tmp_path / "logs"
    logs.mkdir()
    names = ("done", "feedback.tsv", "hotspots.tsv", "metrics.tsv", "markers.json", "report.html", "congestion_h.csv")
    earlier = [*(tmp_path / "out" / name for name in names), logs / "3_9_gsr_detail_place.json"]
    for path in earlier:
        path.write_text("of an earlier run")
    other = logs / "3_5_place_dp.json"
    other.write_text("the flow's own")
    run_tcl(tmp_path, PREDICT, env={"GSR_PYTHON": str(bad), "LOG_DIR": str(logs)})
    assert [path.name for path in earlier if path.exists()] == []
    assert other.exists()


def test_python_is_found_in_the_documented_order(tmp_path: Path) -> None:
    first, second = fake_python(tmp_path / "a"), fake_python(tmp_path / "b")
    env = {"PYTHON_EXE": str(second)}
    run_tcl(tmp_path, PREDICT, env=env)
    assert num_runs(tmp_path / "b") == 1
    run_tcl(tmp_path, PREDICT, env=env | {"GSR_PYTHON": str(first)})
    assert (num_runs(tmp_path / "a"), num_runs(tmp_path / "b")) == (1, 1)


def test_python_may_be_a_command_of_several_words(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    run_tcl(tmp_path, PREDICT, env={"GSR_PYTHON": f"sh {python}"})
    assert num_runs(tmp_path / "py") == 1


def test_python_of_the_environment_that_holds_the_package(tmp_path: Path) -> None:
    home = tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "flow_hooks" / "tcl"
    home.mkdir(parents=True)
    (tmp_path / "venv" / "bin").mkdir()
    python = tmp_path / "venv" / "bin" / "python3"
    python.symlink_to(fake_python(tmp_path / "py"))
    script = f"set ::gsr::home {home}\nputs python=[gsr::python_command]"
    run = run_tcl(tmp_path, script, env={"PYTHON_EXE": "/usr/bin/false"})
    assert f"python={python}" in run.out


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "0", "[exit 3]"])
def test_a_timeout_that_is_no_number_is_replaced(tmp_path: Path, value: str) -> None:
    python = fake_python(tmp_path / "py")
    run = run_tcl(tmp_path, PREDICT, env={"GSR_PYTHON": str(python), "GSR_TIMEOUT": value})
    assert "600 is used" in run.out
    assert "status ok" in run.out


def test_the_log_keeps_what_python_printed(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py", body="echo to stdout; echo to stderr >&2")
    run_tcl(tmp_path, PREDICT, env={"GSR_PYTHON": str(python)})
    assert (tmp_path / "out" / "gsr.log").read_text() == "to stdout\nto stderr\n"


def test_messages_stay_printable(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py", body=r"printf '\033[31mred é\007'; exit 1")
    run = run_tcl(tmp_path, PREDICT, env={"GSR_PYTHON": str(python)})
    assert "\033" not in run.out
    assert "\\u001b[31mred" in run.out


def test_a_device_that_is_no_name_is_refused(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py")
    run = run_tcl(tmp_path, PREDICT, env={"GSR_PYTHON": str(python), "GSR_DEVICE": "> /tmp/x"})
    assert "status failed" in run.out
    assert num_runs(tmp_path / "py") == 0


@pytest.mark.parametrize(("top", "warns"), [(4, True), (3, False), (-1, False), (9, False)])
def test_clocks_above_the_signals_are_warned_of(tmp_path: Path, top: int, warns: bool) -> None:
    python = fake_python(tmp_path / "py")
    before = f"set ::stub::routing_range {{ 2 3 }}\nset ::stub::clock_top {top}"
    run = run_tcl(tmp_path, PREDICT, before=before, env={"GSR_PYTHON": str(python)})
    assert "status ok" in run.out
    assert ("FLW-7044" in run.out) == warns
    assert not warns or "clocks may use layers up to metal4, signals up to metal3" in run.out


def test_works_without_the_clock_command(tmp_path: Path) -> None:
    """Some builds of OpenROAD have no Tcl library, hence no `clock`."""
    python = fake_python(tmp_path / "py", body="sleep 0.3")
    run = run_tcl(tmp_path, PREDICT, before="rename clock {}", env={"GSR_PYTHON": str(python)})
    assert "status ok" in run.out


def test_standard_input_of_the_session_is_left_alone(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "py", body='cat > "$out/stdin"')
    assert "status ok" in run_tcl(tmp_path, PREDICT, env={"GSR_PYTHON": str(python)}).out
    assert (tmp_path / "out" / "stdin").read_bytes() == b""


@pytest.mark.parametrize("folder", ["two words", "br[ack]et $x", "é名", "{brace"])
def test_any_output_folder(tmp_path: Path, folder: str) -> None:
    python = fake_python(tmp_path / "py")
    script = "stub::add_inst u1\nputs [gsr_predict -out_dir $::env(WHERE)]"
    run = run_tcl(tmp_path, script, env={"GSR_PYTHON": str(python), "WHERE": os.fspath(tmp_path / folder)})
    assert "status ok" in run.out, run.out
    assert (tmp_path / folder / "done").exists()


@pytest.mark.parametrize(
    ("insts", "answer"),
    [
        ("", "skipped"),
        ("stub::add_inst macro 1 1", "skipped"),
        ("stub::add_inst u1 0 0", "skipped"),
        # an unplaced design of more than one piece of reading, then with a last cell that is placed
        ("for { set i 0 } { $i < 30000 } { incr i } { stub::add_inst cell_with_a_long_name_$i 0 0 }", "skipped"),
        (
            "for { set i 0 } { $i < 30000 } { incr i } { stub::add_inst cell_with_a_long_name_$i 0 0 }\n"
            "stub::add_inst u1",
            "ok",
        ),
    ],
)
def test_nothing_to_predict_before_anything_is_placed(tmp_path: Path, insts: str, answer: str) -> None:
    python = fake_python(tmp_path / "py")
    run = run_tcl(tmp_path, "puts [gsr_predict -out_dir out]", env={"GSR_PYTHON": str(python)}, before=insts)
    assert f"status {answer}" in run.out
    assert num_runs(tmp_path / "py") == (answer == "ok")
