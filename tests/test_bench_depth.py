"""The study of depth: its runs, its marks, and that a run that is done is not done again."""

import json
from pathlib import Path

import pytest
import torch
from synthetic_graph import write_corpus

from bench import depth
from circuit_io.errors import InputError
from gsr_plugin.config import load_config
from gsr_plugin.dataset import Loader


def test_quick_run_trains_both_depths_once(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "corpus"), tmp_path / "depth.json"
    asked = [str(corpus), "--quick", "--runs", str(tmp_path / "runs"), "--out", str(out)]
    threads = torch.get_num_threads()
    try:
        depth.main(asked)
        first = out.read_text()
        logs = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("log.jsonl")}
        depth.main(asked)
        for other in (["--set", "train.lr=1e-3"], ["--steps", "50"]):
            with pytest.raises(InputError, match="is a run with other settings or designs"):
                depth.main(
                    [a for a in asked if a != "--quick"] + ["--layers", "2", "--seeds", "1", "--steps", "8", *other]
                )
    finally:
        torch.set_num_threads(threads)
    assert out.read_text() == first
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "runs").rglob("log.jsonl")} == logs
    found = json.loads(first)
    assert [row["layers"] for row in found["table"]] == [2, 4]
    assert found["table"][0]["steps"] >= 8
    assert found["marks"]["the input comes back"]
    assert found["marks"]["every loss and gradient is finite"]
    assert all(row["rebuilt_values"] > 0 and 0 < row["range_frac"] < 1 for row in found["table"])


def test_marks_are_missed_by_a_deeper_loss_that_is_higher_and_by_a_value_that_differs() -> None:
    row = {"last_loss": 1.0, "last_squared": 1.0, "all_designs_loss": 1.0, "first_loss": 2.0, "t": 16, "lr": 1e-3,
           "stack_share": 1.0, "steps": 8, "finite": True, "range_frac": 0.1, "rebuilt_values": 9,
           "rebuilt_different": 0, "at_the_start": {"gradient": 1.0}, "cpu_s": 1.0}  # fmt: skip
    table = depth.summarise([{"layers": 8, **row}, {"layers": 32, **row, "last_squared": 1.04}])
    assert all(depth.marks(table).values())
    table = depth.summarise([{"layers": 8, **row}, {"layers": 32, **row, "last_squared": 1.06, "rebuilt_different": 1}])
    missed = [text for text, met in depth.marks(table).items() if not met]
    assert missed == ["squared error of the last epochs likewise", "the input comes back"]


def test_a_new_stack_keeps_the_size_of_values_and_gradients(tmp_path: Path) -> None:
    entries = depth.small_designs(write_corpus(tmp_path / "corpus"), 10**6)
    found = {}
    for layers in (2, 40):
        config = load_config(None, [f"model.layers={layers}", "model.width=16", "model.k=4"], env={})
        found[layers] = depth.at_the_start(config, entries, Loader())
    for name, ratio in found[40].items():
        assert 0.8 < ratio / found[2][name] < 1.25, name
    assert not depth.small_designs(tmp_path / "corpus", 1)
