"""Several processes of one run: the same model as one process gives, resume bit for bit, one message on an error."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from synthetic_graph import write_corpus

from circuit_io.errors import InputError
from gsr_plugin.checkpoint import read_checkpoint
from gsr_plugin.config import load_config
from gsr_plugin.ranks import Ranks, joined
from gsr_plugin.train import train

ROOT = Path(__file__).resolve().parent.parent
SETS = (
    "model.layers=2", "model.width=16", "model.k=4", "train.warm_up_steps=2", "train.ema=0.9", "train.epochs=2",
    "train.placements_per_step=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def torchrun(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", *map(str, args)]


def gsr_train(corpus: Path, out: Path, *options: str) -> list[str]:
    sets = [word for s in SETS for word in ("--set", s)]
    return torchrun("-m", "gsr_plugin", "train", corpus, "--out", out, *sets, *options)


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    env = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def steps(out: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == "step"]


@pytest.mark.parametrize("costs", [[], [5], [3, 3], [9, 1, 1, 1], [1, 2, 3, 4, 5, 6]], ids=str)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_item_goes_to_one_process_and_none_has_much_more_than_the_others(costs: list[int], size: int) -> None:
    shares = [Ranks(rank, size).share(costs) for rank in range(size)]
    assert sorted(i for share in shares for i in share) == list(range(len(costs)))
    load = [sum(costs[i] for i in share) for share in shares]
    assert max(load) - min(load) <= max(costs, default=0)
    assert Ranks().share(costs) == list(range(len(costs)))


def test_alone_nothing_is_added_up() -> None:
    with joined() as ranks:
        assert (ranks.leads, ranks.size) == (True, 1)
        t = torch.ones(3)
        ranks.add_up_([t])
        assert torch.equal(t, torch.ones(3))


def test_more_processes_than_placements_a_step_are_refused(corpus: Path, tmp_path: Path) -> None:
    config = load_config(None, [*SETS, "train.placements_per_step=1"], env={})
    with pytest.raises(InputError, match=r"placements_per_step: 1 for 2 processes(.|\n)*Set it to 2"):
        train([corpus], tmp_path / "run", config=config, ranks=Ranks(0, 2))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_train_what_one_does_and_resume_bit_for_bit(corpus: Path, tmp_path: Path) -> None:
    train([corpus], tmp_path / "one", config=load_config(None, SETS, env={}))
    done = run(gsr_train(corpus, tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("4 steps") == 1  # the first process alone talks
    one, two = (steps(tmp_path / name) for name in ("one", "two"))
    assert len(one) == len(two) == 4
    for a, b in zip(one, two, strict=True):
        assert a["designs"] == b["designs"]
        for name in ("loss", "squared", "overflow", "likelihood", "range_frac", "grad_norm"):
            assert b[name] == pytest.approx(a[name], rel=1e-6), name
    for name in ("weights.safetensors", "state/checkpoint.safetensors"):
        ours, theirs = (load_file(tmp_path / folder / name) for folder in ("two", "one"))
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            torch.testing.assert_close(value, theirs[key], rtol=0, atol=1e-6, msg=key)
    first = run(gsr_train(corpus, tmp_path / "parts", "--set", "train.max_minutes=1e-9"))
    assert "1 steps" in first.stdout, first.stderr
    alone = load_config(None, SETS, env={})
    with pytest.raises(InputError, match="processes = 2, this call 1"):
        train([corpus], tmp_path / "parts", config=alone, resume=True)
    rest = run(gsr_train(corpus, tmp_path / "parts", "--set", "train.max_minutes=0", "--resume"))
    assert rest.returncode == 0, rest.stderr
    assert steps(tmp_path / "parts") == two
    for name in ("weights.safetensors", "state/checkpoint.safetensors"):
        ours, theirs = (load_file(tmp_path / folder / name) for folder in ("parts", "two"))
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items()), name


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_after_the_same_step(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    env = dict(os.environ, OMP_NUM_THREADS="1")
    command = gsr_train(corpus, out, "--set", "train.epochs=5000")
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not ((out / "log.jsonl").is_file() and len(steps(out)) > 2):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        err = process.communicate()[1]
    assert err.count("gsr: ") == err.count("gsr: interrupted") == 1, err
    assert read_checkpoint(out).step == len(steps(out)) > 2


FAILS = """
import os, signal, sys, torch
from circuit_io.errors import GsrError
from gsr_plugin.progress import stop_signals
from gsr_plugin.ranks import joined, leave
try:
    with stop_signals(), joined() as ranks:  # as in a run: torchrun's SIGTERM to the others is noted, no more
        t = torch.ones(3)
        ranks.add_up_([t])
        assert t.tolist() == [2, 2, 2]
        if ranks.rank == 1 and sys.argv[1] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if ranks.rank == 1:
            raise GsrError("a design is damaged")
        ranks.add_up_([t])
except GsrError as e:
    print(f"gsr: {e}", file=sys.stderr)
    leave(1)
except SystemExit as e:
    leave(e.code)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "message"),
    [("raises", "gsr: a design is damaged"), ("killed", "gsr: process 0 lost")],
)
def test_an_error_in_a_process_ends_all_with_one_message(tmp_path: Path, how: str, message: str) -> None:
    (tmp_path / "fails.py").write_text(FAILS)
    ended = run(torchrun(tmp_path / "fails.py", how))
    assert ended.returncode != 0
    assert ended.stderr.count("gsr: ") == ended.stderr.count(message) == 1, ended.stderr
