"""The program: quick help, thin commands, exit codes, clear errors, nothing half-written."""

import contextlib
import errno
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner, Result
from synthetic_graph import write_corpus, write_synthetic

from gsr_plugin import cli
from gsr_plugin.bench import TOOLS, benches
from gsr_plugin.cli_text import TWINS, commands_page

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--set", "model.layers=2", "--set", "model.width=16", "--set", "model.k=4", "--set", "train.epochs=1"]
COMMANDS = cli.main.commands


def gsr(*args: object) -> Result:
    return CliRunner().invoke(cli.main, [str(a) for a in args], prog_name="gsr")


def good(*args: object) -> str:
    result = gsr(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def bad(code: int, *args: object) -> str:
    result = gsr(*args)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "r"
    good("train", corpus, "--fold", 0, *SMALL, "--out", out, "--quiet")
    return out


@pytest.fixture(scope="module")
def placed(kit: Path) -> list[str]:
    """Arguments that name one placement of the kit."""
    lef = sorted((kit / "tech").glob("*.lef*"), key=lambda p: "tech" not in p.name)
    return ["--lef", *map(str, lef), "--labels", str(kit / "labels/gsr45/fir8/v0")]


@pytest.mark.parametrize("args", [["--help"], ["-h"], *([name, "-h"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(args: list[str]) -> None:
    code = (
        "import sys\nfrom gsr_plugin.cli import main\n"
        f"try:\n    main({args!r}, prog_name='gsr')\nexcept SystemExit as e:\n    assert e.code == 0\n"
        "bad = {'torch', 'numpy', 'pyarrow', 'scipy', 'matplotlib', 'pydantic'} & set(sys.modules)\nassert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: gsr" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_the_common_options(name: str) -> None:
    text = good(name, "-h")
    assert f"gsr {name}" in text.split("Options:")[0].split("\n", 1)[1]
    for option in ("--overwrite", "--quiet", "--json [PATH]", "-h, --help"):
        assert option in text
    assert "when no PATH follows (put it last then)" in " ".join(text.split()), "--json takes the word after it"


@pytest.mark.parametrize("args", [["-h"], ["export", "-h"]])
def test_examples_that_name_a_def_name_the_routers_settings(args: list[str]) -> None:
    examples = good(*args).replace("\\\n", " ").splitlines()
    with_def = [line for line in examples if "gsr export" in line and "--def" in line]
    assert with_def
    for line in with_def:
        assert "--signal-layers" in line
        assert "--layer-adjustment" in line


def test_the_summaries_of_commands_are_whole() -> None:
    """At 80 columns, which is also the most that the help takes."""
    lines = good("--help").split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in lines] == sorted(COMMANDS)
    assert not [line for line in lines if line.endswith("...")]


def test_every_option_has_help() -> None:
    for name, command in COMMANDS.items():
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.help, f"{name} {param.name}"


def test_the_same_option_names_openroad_everywhere() -> None:
    helps = {
        p.help for c in COMMANDS.values() for p in c.params if isinstance(p, click.Option) and p.name == "openroad"
    }
    assert len(helps) == 1


def test_the_module_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gsr_plugin", "hooks", "--path"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).joinpath("gsr.tcl").is_file()


def test_hooks_say_where_the_tcl_is() -> None:
    assert good("hooks") == good("hooks", "--path")
    assert Path(good("hooks", "--mk").strip()).name == "private.mk"
    found = json.loads(good("hooks", "--json"))
    assert set(found) == {"path", "mk", "tcl"}
    for path in found.values():
        assert Path(path).exists()


def test_train_evaluate_predict_check(corpus: Path, run: Path, tmp_path: Path) -> None:
    scores = json.loads(good("evaluate", corpus, "--weights", run, "--json"))
    assert {"methods", "placements", "fold"} <= set(scores)
    assert scores["fold"] == 0
    out = good("evaluate", corpus, "--weights", run, "--json", tmp_path / "s.json")
    assert "rudy on gcell boxes" in out
    assert json.loads((tmp_path / "s.json").read_text())["weights_sha256"] == scores["weights_sha256"]
    assert "exists already" in bad(2, "evaluate", corpus, "--weights", run, "--json", tmp_path / "s.json")
    good("check", corpus, run, corpus / "folds.toml", run / "config.toml", run / "weights.safetensors")


def test_train_writes_json_and_resumes_with_its_own_settings(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found = json.loads(good("train", corpus, *SMALL, "--set", "train.max_minutes=1e-9", "--out", out, "--json"))
    assert (found["stopped"], found["steps"]) == ("max_minutes", 1)
    text = good("train", corpus, "--resume", "--set", "train.max_minutes=0", "--out", out)
    assert "4 steps, 1 epochs" in text


def test_several_values_after_one_option(placed: list[str], tmp_path: Path) -> None:
    out = tmp_path / "design"
    assert "fir8" in good("export", *placed, "--out", out)
    again = [
        "export",
        "--lef",
        placed[1],
        "--lef",
        placed[2],
        *placed[3:],
        "--family",
        "mine",
        "--out",
        tmp_path / "again",
    ]
    manifest = json.loads(good(*again, "--json"))
    assert manifest["family"] == "mine"
    first = json.loads((out / "manifest.json").read_text())
    assert first["files"] == manifest.get("files", first["files"])
    assert "exists already" in bad(2, "export", *placed, "--out", out)
    good("export", *placed, "--out", out, "--overwrite")
    assert "with labels" in good("check", out)


def test_from_design_to_report(placed: list[str], run: Path, tmp_path: Path) -> None:
    design, pred = tmp_path / "design", tmp_path / "pred"
    good("export", *placed, "--out", design)
    good("predict", design, "--weights", run, "--views", 2, "--out", pred)
    assert (pred / "congestion_h.csv").is_file()
    assert "actions" in good("feedback", pred, "--set", "threshold=0.5", "--out", tmp_path / "f.tsv")
    good("report", pred, "--feedback", tmp_path / "f.tsv", "--out", tmp_path / "r.html")
    good("check", design, pred, tmp_path / "f.tsv")
    assert "threshold" in bad(2, "feedback", pred, "--set", "treshold=1", "--out", tmp_path / "g.tsv")
    assert not (tmp_path / "g.tsv").exists()


def test_bad_usage_is_two(tmp_path: Path) -> None:
    assert "No such command" in bad(2, "pedict")
    assert "does not exist" in bad(2, "predict", tmp_path / "none", "--out", tmp_path / "p")
    assert "--lef" in bad(2, "export", "--out", tmp_path / "d")
    lef = tmp_path / "a.lef"
    lef.write_text("END LIBRARY\n")
    assert "--def" in bad(2, "export", "--lef", lef, "--out", tmp_path / "d")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--set", "train.learning_rate=1"], 'unknown setting "train.learning_rate"'),
        (["--set", "train.epochs=0"], "train.epochs"),
        (["--fold", "9"], "no fold 9"),
    ],
)
def test_bad_settings_are_two_and_write_nothing(corpus: Path, tmp_path: Path, args: list[str], says: str) -> None:
    assert says in bad(2, "train", corpus, *args, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_check_fails_with_one(corpus: Path, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "d", family="f")
    good("check", tmp_path)
    (tmp_path / "d" / "nets.parquet").write_bytes(b"x")
    result = gsr("check", tmp_path, corpus / "folds.toml")
    assert result.exit_code == 1
    assert "BAD" in result.stdout
    assert "nets.parquet" in result.stdout
    assert "2 checked, 1 bad" in result.stdout
    found = json.loads(gsr("check", tmp_path, "--json").stdout)
    assert found["num_bad"] == 1
    (tmp_path / "readme.md").write_text("")
    assert gsr("check", tmp_path / "readme.md").exit_code == 1
    (tmp_path / "empty").mkdir()
    assert "nothing" in bad(2, "check", tmp_path / "empty")


def test_bench_runs_a_file_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "bench"
    home.mkdir()
    (home / "helper.py").write_text("x = 1\n")
    (home / "speed.py").write_text("""
def main(arguments):
    print("table", arguments)
    return 1 if "fail" in arguments else 0
""")
    monkeypatch.setattr("gsr_plugin.bench.HOME", home)
    speed = SimpleNamespace(**runpy.run_path(str(home / "speed.py")))
    monkeypatch.setitem(sys.modules, "bench.speed", speed)
    assert good("bench", "speed", "a", "--size", "3", "--quick").strip() == "table ['a', '--size', '3', '--quick']"
    assert gsr("bench", "speed", "fail").exit_code == 1
    assert json.loads(good("bench", "speed", "--json")) == {"bench": "speed", "exit_code": 0}
    assert "Known: speed." in bad(2, "bench", "sped")


def test_bench_lists_the_files_there_are() -> None:
    found = benches()
    assert "designs" in found
    assert "machine" not in found
    assert list(found)[-len(TOOLS) :] == list(TOOLS)
    assert all(found.values())
    lines = good("bench", "-h").splitlines()
    at = [next(i for i, line in enumerate(lines) if line.startswith(f"  {name} ")) for name in found]
    assert lines.index("Measurements:") < at[0] < lines.index("Tools:") < at[-1]
    assert at == sorted(at)
    assert ", ".join(found) in bad(2, "bench", "x")


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*args: object, **options: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "big.bin"), 2, "big.bin: the disk is full"),
        (OSError(errno.EACCES, "Permission denied", "x"), 2, "x: Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_outer_faults_are_one_clear_line(
    corpus: Path, run: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, says: str
) -> None:
    monkeypatch.setattr("gsr_plugin.evaluate.evaluate", failing(error))
    assert bad(code, "evaluate", corpus, "--weights", run).strip().endswith(says)


def test_a_fault_of_ours_keeps_its_trace(corpus: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gsr_plugin.evaluate.evaluate", failing(RuntimeError("ours")))
    result = gsr("evaluate", corpus, "--weights", run)
    assert isinstance(result.exception, RuntimeError)
    assert result.exit_code == 1


def test_a_full_disk_leaves_the_last_checkpoint(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    good("train", corpus, *SMALL, "--set", "train.max_minutes=1e-9", "--out", out)
    before = (out / "weights.safetensors").read_bytes()

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("circuit_io.atomic.os.fsync", full)
        assert "the disk is full" in bad(2, "train", corpus, "--resume", "--set", "train.max_minutes=0", "--out", out)
    assert (out / "weights.safetensors").read_bytes() == before
    assert not list(out.rglob("*.tmp"))
    assert "4 steps" in good("train", corpus, "--resume", "--set", "train.max_minutes=0", "--out", out)


def test_ctrl_c_is_130(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "gsr_plugin",
        "train",
        corpus,
        *SMALL,
        "--set",
        "train.epochs=100000",
        "--out",
        out,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(map(str, command), cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment)
    for _ in range(3000):  # a busy machine takes its time
        if (out / "log.jsonl").is_file() and '"step"' in (out / "log.jsonl").read_text():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130, stderr
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert "leaked" not in stderr, "of triton, where it is installed"
    assert (out / "state" / "checkpoint.safetensors").is_file()


def on_a_terminal(*args: object) -> tuple[str, str]:
    """stdout of the program, and what its stderr shows on a terminal."""
    master, slave = os.openpty()
    command = [sys.executable, "-m", "gsr_plugin", *map(str, args)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TERM": "xterm"}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=slave, env=environment)
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # a terminal whose other side has closed
        while part := os.read(master, 65536):
            shown += part
    os.close(master)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    return stdout.decode(), shown.decode().replace("\r\n", "")


def test_long_commands_show_on_a_terminal_what_they_do(placed: list[str], run: Path, tmp_path: Path) -> None:
    design, pred = tmp_path / "[red]design", tmp_path / "pred"
    stdout, shown = on_a_terminal("export", *placed, "--out", design, "--json")
    assert json.loads(stdout)["design"] == "fir8"
    assert "exporting to" in shown
    assert "[red]design" in shown, "a name is no markup"
    stdout, shown = on_a_terminal("predict", design, "--weights", run, "--out", pred)
    assert stdout.strip() == f"{pred}: prediction of fir8"
    assert "predicting" in shown
    assert "planning for" in on_a_terminal("feedback", pred, "--out", tmp_path / "f.tsv")[1]
    assert "reporting on" in on_a_terminal("report", pred, "--out", tmp_path / "r.html")[1]
    shown = on_a_terminal("feedback", pred, "--out", tmp_path / "f.tsv", "--overwrite", "--quiet")[1]
    assert shown == ""
    result = gsr("feedback", pred, "--out", tmp_path / "f.tsv", "--overwrite")
    assert "planning for" not in result.stderr, "no terminal"


def test_an_interrupt_while_loading_is_quiet() -> None:
    code = (
        "import sys\nclass Stop:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click':\n            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\nfrom gsr_plugin.__main__ import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts == {"gsr": "gsr_plugin.__main__:main"}


def test_the_page_of_commands_is_up_to_date() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page.split() == commands_page().split(), "python -m gsr_plugin.cli_text > docs/commands.md"


def test_every_command_names_its_python_twin() -> None:
    for name, twin in TWINS.items():
        module, _, function = twin.rpartition(".")
        assert name in COMMANDS
        assert callable(getattr(importlib.import_module(module), function))
    assert set(COMMANDS) - set(TWINS) == {"hooks"}
