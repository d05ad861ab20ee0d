"""Wrong, cut and made-up input files: one clear error each, never a traceback and never a silent guess."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from circuit_io.atomic import write_files, write_whole
from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import ExportSources, sources_of_hook, sources_of_labels, sources_of_options
from circuit_io.labels import find
from circuit_io.prediction import read_prediction
from circuit_io.store import open_design
from circuit_io.text import read_bytes
from gsr_plugin.cli import main
from gsr_plugin.dataset import find_designs
from gsr_plugin.flow import run_flow
from gsr_plugin.predict import predict
from gsr_plugin.shipped import find_weights
from gsr_plugin.weights import WEIGHTS, load_weights, pick_device

DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def lef(kit: Path) -> list[Path]:
    """The LEF files of the kit."""
    return [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]


@pytest.fixture(scope="module")
def layout(kit: Path) -> Path:
    """The label folder of the kit's smallest layout."""
    return kit / "labels" / "gsr45" / "crc_bank" / "v0"


@pytest.fixture(scope="module")
def exported(layout: Path, lef: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its export folder."""
    out = tmp_path_factory.mktemp("bad") / "crc_bank"
    export_design(sources_of_labels(layout, lef=lef), out)
    return out


@pytest.fixture
def labels(layout: Path, tmp_path: Path) -> Path:
    """A copy of the label folder that a test may spoil."""
    return Path(shutil.copytree(layout, tmp_path / "labels"))


Hook = Callable[..., Path]


@pytest.fixture
def hook(layout: Path, lef: list[Path], tmp_path: Path) -> Hook:
    """Writes a hook.json of the layout, with some keys changed."""
    (tmp_path / "hook").mkdir()

    def write(**more: object) -> Path:
        content = {
            "schema": "gsr-hook", "schema_version": 1, "run_id": "r", "stage": "place", "design": "crc_bank",
            "platform": "gsr45", "def": str(layout / "placed.def.gz"), "lefs": [str(p) for p in lef], "libs": [],
            "signal_layers": ["M2", "M5"], "layer_adjustment": {f"M{i}": 0.2 for i in range(1, 9)},
        }  # fmt: skip
        path = tmp_path / "hook" / "hook.json"
        path.write_text(json.dumps(content | more))
        return path

    return write


def _edit(path: Path, **more: object) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in (content | more).items() if v != "gone"}))


# ---- done.json, hook.json, manifests and cards are checked before use


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"signal_layers": 3}, '"signal_layers" is of the wrong kind: 3, expected two layer names'),
        ({"signal_layers": ["M2"]}, '"signal_layers" is of the wrong kind'),
        ({"layer_adjustment": "a"}, "the adjustment is 'a'"),
        ({"layer_adjustment": None}, '"layer_adjustment" is missing'),
        ({"layer_adjustment": "gone"}, '"layer_adjustment" is missing'),
        ({"layer_adjustment": {"M2": "a"}}, "the adjustment of layer \"M2\" is 'a'"),
        ({"layer_adjustment": {"M99": 0.1}}, '"M99" is no routing layer'),
        ({"layer_adjustment": 9}, "the adjustment is 9"),
        ({"layer_adjustment": True}, "the adjustment is True"),
        ({"layer_adjustment": float("nan")}, "the adjustment is nan"),
        ({"layer_adjustment": 10**400}, "the adjustment is 1000"),
        ({"family": 3}, '"family" is of the wrong kind'),
    ],
)
def test_done_json_is_checked(
    labels: Path, lef: list[Path], tmp_path: Path, more: dict[str, object], message: str
) -> None:
    _edit(labels / "done.json", **more)
    with pytest.raises(InputError, match=message) as caught:
        export_design(sources_of_labels(labels, lef=lef), tmp_path / "out")
    assert caught.value.path == labels / "done.json"


@pytest.mark.parametrize("text", ["", "[1]", "{", "3", DEEP, '"x"', "\xff"])
def test_a_file_that_is_no_json_object_is_refused(
    labels: Path, lef: list[Path], hook: Hook, tmp_path: Path, exported: Path, text: str
) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "export"))
    for path in (labels / "done.json", hook(), folder / "manifest.json"):
        path.write_text(text, "latin-1")
    with pytest.raises(InputError, match="JSON"):
        sources_of_labels(labels, lef=lef)
    with pytest.raises(InputError, match="JSON"):
        run_flow(tmp_path / "hook" / "hook.json", tmp_path / "out")
    with pytest.raises(InputError, match="JSON"):
        open_design(folder)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"layer_adjustment": {"M2": float("nan")}}, 'the adjustment of layer "M2" is nan'),
        ({"layer_adjustment": {"M2": 5}}, 'the adjustment of layer "M2" is 5'),
        ({"layer_adjustment": 0.3}, '"layer_adjustment" is of the wrong kind'),
        ({"schema_version": -1}, "schema_version -1 is no version"),
        ({"lefs": ["x", 3]}, '"lefs" is of the wrong kind'),
        ({"def": None}, '"def" is missing'),
        ({"signal_layers": [1, 2]}, '"signal_layers" is of the wrong kind'),
        ({"family": ["x"]}, '"family" is of the wrong kind'),
        ({"run_id": {}}, '"run_id" is of the wrong kind'),
        ({"metrics_file": "m.json"}, 'no "metrics_stage"'),
        ({"improve_placement": "yes"}, '"improve_placement" is of the wrong kind'),
        ({"routability_driven": True}, '"routability_driven" is of the wrong kind'),
        ({"worst_slack_ns": "-1"}, '"worst_slack_ns" is of the wrong kind'),
    ],
)
def test_hook_json_is_checked(hook: Hook, tmp_path: Path, more: dict[str, object], message: str) -> None:
    path = hook(**more)
    with pytest.raises(InputError, match=message) as caught:
        run_flow(path, tmp_path / "out", log_dir=tmp_path)
    assert caught.value.path == path
    done = CliRunner().invoke(main, ["flow", "--hook", str(path), "--out", str(tmp_path / "o"), "--log-dir", "."])
    assert done.exit_code == 2


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--set", "treshold=1", 'unknown key "treshold"'),
        ("--set", "gentle=sometimes", "gentle = 'sometimes'"),
        ("--set", "gentle", "is no assignment"),
        ("--previous", "plan.tsv", '"#gsr-feedback 1 ..." expected'),
    ],
)
def test_what_a_hook_asks_of_the_planner_is_checked(
    hook: Hook, tmp_path: Path, option: str, text: str, message: str
) -> None:
    (tmp_path / "plan.tsv").write_text("hello\n")
    value = str(tmp_path / text) if option == "--previous" else text
    done = CliRunner().invoke(main, ["flow", "--hook", str(hook()), "--out", str(tmp_path / "o"), option, value])
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (tmp_path / "o" / "done").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"fields": 3}, '"fields" is of the wrong kind'),
        ({"fields": {}}, "its inst features are not those"),
        ({"grid": 3}, '"grid" is of the wrong kind'),
        ({"grid": {"nx": 1.5, "ny": 0}}, '"grid.nx" is of the wrong kind: 1.5'),
        ({"design": ["x"]}, '"design" is of the wrong kind'),
        ({"die_um": 3}, '"die_um" is of the wrong kind'),
        ({"placement": 3}, '"placement" is of the wrong kind'),
        ({"files": 3}, '"files" is of the wrong kind'),
        ({"files": {}}, 'lists no "files"'),
        ({"schema_version": True}, "is no version"),
    ],
)
def test_an_export_manifest_is_checked(exported: Path, tmp_path: Path, more: dict[str, object], message: str) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "export"))
    _edit(folder / "manifest.json", **more)
    with pytest.raises(InputError, match=message):
        open_design(folder)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"files": 3}, '"files" is of the wrong kind'),
        ({"family": ["x"]}, '"family" is of the wrong kind'),
        ({"grid": {"nx": "1", "ny": 2}}, '"grid.nx" is of the wrong kind'),
        (None, "is no JSON"),
    ],
)
def test_a_set_of_designs_is_checked(
    exported: Path, tmp_path: Path, more: dict[str, object] | None, message: str
) -> None:
    manifest = Path(shutil.copytree(exported, tmp_path / "set" / "export")) / "manifest.json"
    if more is None:
        manifest.write_text(DEEP)
        done = CliRunner().invoke(main, ["check", str(tmp_path / "set")])
        assert done.exception is None or isinstance(done.exception, SystemExit)
    else:
        _edit(manifest, **more)
    with pytest.raises(InputError, match=message):
        find_designs([tmp_path / "set"])


@pytest.mark.parametrize("y_um", ["gone", [0, 1]])
def test_a_prediction_needs_the_borders_of_the_gcells(exported: Path, tmp_path: Path, y_um: object) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "export"))
    grid = json.loads((folder / "manifest.json").read_text())["grid"] | {"y_um": y_um}
    _edit(folder / "manifest.json", grid={k: v for k, v in grid.items() if v != "gone"})
    with pytest.raises(InputError, match=r'"grid\.y_um" does not hold'):
        predict(folder, tmp_path / "out", device="cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": -1}, "schema_version -1 is no version"),
        ({"model": {"head_width": 10**9}}, "model.head_width: 1000000000 is above 65536"),
        ({"model": {"num_net_features": 10**9}}, "model.num_net_features is not"),
        (
            {"model": {"layers": "x", "k": 0}},
            r"2 faults\n.*model.layers: Input should be a valid integer[\s\S]*model.k",
        ),
        ({"model": 3}, '"model" is of the wrong kind'),
        ({"features": {"inst": 3}}, '"features" is of the wrong kind'),
        ({"features": {}}, "differ in the inst features"),
        ({"families": 3}, '"families" is of the wrong kind'),
        ({"data_sha256": None}, '"data_sha256" is missing'),
        (DEEP, "nested too deeply"),
        ("[]", "no JSON object"),
    ],
)
def test_the_card_of_a_model_is_checked(tmp_path: Path, change: dict[str, Any] | str, message: str) -> None:
    with safe_open(str(find_weights() / WEIGHTS), framework="pt") as f:
        card = json.loads(f.metadata()["gsr"])
    if isinstance(change, dict):
        model = change.get("model")
        change = change | ({"model": card["model"] | model} if isinstance(model, dict) else {})
    text = change if isinstance(change, str) else json.dumps(card | change)
    save_file(load_file(find_weights() / WEIGHTS), tmp_path / WEIGHTS, {"gsr": text})
    with pytest.raises(InputError, match=message) as caught:
        load_weights(tmp_path, device="cpu")
    assert "pydantic" not in str(caught.value)


def test_an_adjustment_that_contradicts_the_labels_is_refused(layout: Path, lef: list[Path], tmp_path: Path) -> None:
    for text, fits in (("0.2", True), ("0.3", False), ("M2=0.2,M3=0.2,M4=0.1,M5=0.2", False)):
        sources = sources_of_options(lef=lef, labels=layout, layer_adjustment=text)
        if fits:
            export_design(sources, tmp_path / "fits")
        else:
            with pytest.raises(InputError, match=r"but the labels were routed with 0\.2"):
                export_design(sources, tmp_path / "out")


def test_the_labels_give_the_adjustment_of_a_def(layout: Path, lef: list[Path], tmp_path: Path, exported: Path) -> None:
    layers = ("M2", "M5")
    bare = ExportSources(lef=lef, def_=layout / "placed.def.gz", labels=layout, signal_layers=layers)
    found = export_design(bare, tmp_path / "out")
    assert found["layer_adjustment"] == dict.fromkeys(("M2", "M3", "M4", "M5"), 0.2)
    for name in ("graph.safetensors", "labels.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (exported / name).read_bytes()


# ---- sizes and devices


@pytest.mark.parametrize("gcell_um", [float("nan"), float("inf"), 0.0001, -3.0, 0.0, 1e-300])
def test_a_size_of_a_gcell_is_checked(layout: Path, lef: list[Path], tmp_path: Path, gcell_um: float) -> None:
    sources = sources_of_options(lef=lef, def_=layout / "placed.def.gz", signal_layers="M2-M5", gcell_um=gcell_um)
    with pytest.raises(InputError, match="is no size of a gcell"):
        export_design(sources, tmp_path / "out")


def test_a_grid_of_too_many_gcells_is_refused(layout: Path, lef: list[Path], tmp_path: Path) -> None:
    sources = sources_of_options(lef=lef, def_=layout / "placed.def.gz", signal_layers="M2-M5", gcell_um=0.0005)
    with pytest.raises(InputError, match=r"are more than 16,000,000\n  Check DIEAREA"):
        export_design(sources, tmp_path / "out")


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:x", "cuda:-1", "meta", "", "cpu:7", "cuda:1\n", "cuda:999"])
def test_a_device_is_checked(name: str) -> None:
    with pytest.raises(InputError, match=r"is no device|no GPU"):
        pick_device(name)


def test_known_devices_are_taken() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cpu", "cuda")


# ---- what is missing is told


@pytest.mark.parametrize(
    ("text", "lacking"), [(None, "M2, M3, M4, M5"), ("M2=0.1,M4=0", "M3, M5"), ("0", ""), ("M2=0,*=0.1", "")]
)
def test_a_missing_adjustment_is_told(
    layout: Path, lef: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None, lacking: str
) -> None:
    sources = sources_of_options(lef=lef, def_=layout / "placed.def.gz", signal_layers="M2-M5", layer_adjustment=text)
    found = export_design(sources, tmp_path / "out")["warnings"]
    wanted = f"no layer adjustment given for {lacking}: assuming 0; the capacities depend on it (--layer-adjustment)"
    assert found == ([wanted] if lacking else [])
    assert caplog.messages == found
    assert open_design(tmp_path / "out").manifest["warnings"] == found


def test_labels_and_hooks_give_the_adjustment(exported: Path, hook: Hook, tmp_path: Path) -> None:
    assert open_design(exported).manifest["warnings"] == []
    assert export_design(sources_of_hook(hook()), tmp_path / "out")["warnings"] == []


# ---- writing


def test_all_files_of_an_export_have_the_same_mode(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    modes = {p.name: p.stat().st_mode for p in exported.iterdir()}
    assert set(modes.values()) == {(tmp_path / "plain").stat().st_mode}, modes


def test_a_path_that_is_no_utf8_is_written_and_read(layout: Path, lef: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "caf\udce9"
    try:
        out.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 names only")
    export_design(sources_of_labels(layout, lef=lef), out / "e")
    assert open_design(out / "e").labels is not None
    predict(out / "e", out / "p", device="cpu")
    assert read_prediction(out / "p").maps


# ---- files that fit together in part


def test_insts_out_of_the_die_are_told(
    layout: Path, lef: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = read_bytes(layout / "placed.def.gz")
    places = list(re.finditer(rb"- (\S+) \S+[^;]*?\+ PLACED \( (\d+) (\d+) \)", text))
    first, second = places[3], places[7]
    text = text[: second.start(2)] + b"-90000000" + text[second.end(2) :]
    text = text[: first.start(3)] + b"90000000" + text[first.end(3) :]
    (tmp_path / "out.def").write_bytes(text)
    sources = sources_of_options(lef=lef, def_=tmp_path / "out.def", signal_layers="M2-M5", layer_adjustment="0.2")
    found = export_design(sources, tmp_path / "out")["warnings"]
    assert len(found) == 1
    assert re.fullmatch(rf"2 of \d+ insts reach out of the die \(first: {first[1].decode()}\)", found[0])
    assert caplog.messages == found


def test_liberty_of_other_cells_is_refused_and_of_some_is_told(
    kit: Path, layout: Path, lef: list[Path], tmp_path: Path
) -> None:
    text = read_bytes(kit / "tech" / "gsr45_typ.lib")
    lib = tmp_path / "x.lib"
    lib.write_bytes(text.replace(b"G45_XOR2_X1", b"OTHER"))
    sources = sources_of_labels(layout, lef=lef, lib=[lib])
    (warning,) = export_design(sources, tmp_path / "some")["warnings"]
    assert re.fullmatch(r"1 of \d+ masters are in none of the Liberty files given \(first: G45_XOR2_X1\)", warning)
    lib.write_bytes(text.replace(b"G45_", b"OTHER_"))
    with pytest.raises(InputError, match=r"none of its \d+ masters is in the Liberty files given"):
        export_design(sources, tmp_path / "none")
    assert export_design(replace(sources, lib=[kit / "tech" / "gsr45_typ.lib"]), tmp_path / "all")["warnings"] == []


DIE = (61.435, 61.435)  # um


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"design": "crc_bank2"}, 'is of design "crc_bank", the hook of "crc_bank2"'),
        ({"die_um": [0, 0, 10, 10]}, r"has a die of 0 0 [\d.]+ [\d.]+ um, the hook of 0 0 10 10 um"),
        ({"dbu_per_um": 1000}, "has 2000 dbu a um, the hook's database 1000"),
        ({"dbu_per_um": 4000}, ""),  # OpenROAD may write coarser units than its database has
        ({"dbu_per_um": 2000, "die_um": [0.0, 0.0, *DIE]}, ""),
    ],
)
def test_a_hook_of_another_def_is_refused(hook: Hook, tmp_path: Path, more: dict[str, object], message: str) -> None:
    sources = sources_of_hook(hook(**more))
    if not message:
        export_design(sources, tmp_path / "out")
        return
    with pytest.raises(InputError, match=message):
        export_design(sources, tmp_path / "out")


@pytest.mark.parametrize("name", ["../x.json", "/tmp/x.json", "a/b", "..", "a\\b", "a\0b", 3])
def test_the_metrics_file_is_a_plain_name(hook: Hook, tmp_path: Path, name: object) -> None:
    with pytest.raises(InputError, match='"metrics_file" is of the wrong kind'):
        run_flow(hook(metrics_file=name, metrics_stage="detailedplace"), tmp_path / "out", log_dir=tmp_path)


# ---- tables of labels

LINE = 400


def _change(line: bytes, column: int, value: bytes) -> bytes:
    words = line.split(b",")
    words[column] = value
    return b",".join(words)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: _change(line, 1, b"SIDEWAYS"), '"SIDEWAYS" is no direction'),
        (lambda line: _change(line, 1, b"horizontal"), '"horizontal" is no direction'),
        (lambda line: _change(line, 1, b"HORIZONTAL" if b"VERTICAL" in line else b"VERTICAL"), "two directions"),
        (lambda line: line + b"\n" + line, "1 entries are there more than once"),
        (lambda line: b"", "1 entries are missing"),
        (lambda line: _change(line, 4, b"-1"), f"{LINE + 1}: -1 is no capacity in tracks"),
        (lambda line: _change(line, 5, b"inf"), f"{LINE + 1}: inf is no usage in tracks"),
        (lambda line: _change(line, 5, b"nan"), "nan is no usage|values are missing"),
        (lambda line: _change(line, 2, b""), "values are missing"),
        (lambda line: _change(line, 2, b"99999"), "outside the grid"),
    ],
)
def test_a_usage_table_is_checked(
    labels: Path, lef: list[Path], tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    path = find(labels, "gcell_usage.csv")
    lines = read_bytes(path).splitlines()
    lines[LINE] = change(lines[LINE])
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(InputError, match=message):
        export_design(sources_of_labels(labels, lef=lef), tmp_path / "out")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"nan", '"nan" is no length'),
        (b"-1", '"-1" is no length'),
        (b"1e300", '"1e300" is no length'),
        (b"x", '"x" is no length'),
        (b"", "is there twice"),
    ],
)
def test_a_table_of_lengths_is_checked(
    labels: Path, lef: list[Path], tmp_path: Path, value: bytes, message: str
) -> None:
    path = find(labels, "wire_length.csv")
    lines = [line for line in read_bytes(path).splitlines() if line.startswith(b"grt:")]
    words = lines[5].split()
    lines[5] = b" ".join([*words[:2], value, *words[3:]]) if value else lines[4]
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(InputError, match=message):
        export_design(sources_of_labels(labels, lef=lef), tmp_path / "out")


def test_a_grid_of_large_numbers_is_refused(labels: Path, lef: list[Path], tmp_path: Path) -> None:
    (labels / "gcell_grid.csv").write_text("axis,index,coord_dbu\nx,0," + "9" * 30 + "\n")
    with pytest.raises(InputError, match="is no number"):
        export_design(sources_of_labels(labels, lef=lef), tmp_path / "out")


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device", "/somewhere/.temporary.tmp")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_names_the_target_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text("old")
    monkeypatch.setattr(*((os, "fsync", _full) if call == "fsync" else (Path, "replace", _full)))
    with pytest.raises(InputError, match="cannot be written: the disk is full: No space left on device") as caught:
        write_files({first: "1", second: "2"}, overwrite=True)
    assert caught.value.path == first
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert first.read_text() == "old"


def test_a_write_below_a_file_names_the_target(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written") as caught:
        write_whole(tmp_path / "file" / "x.json", "1")
    assert caught.value.path == tmp_path / "file" / "x.json"


def test_a_foreign_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(DEEP)
    for overwrite, message in ((False, "exists already"), (True, 'holds no "gsr-')):
        with pytest.raises(InputError, match=message):
            export_design(ExportSources(lef=[], def_=tmp_path / "none.def"), tmp_path, overwrite=overwrite)
        with pytest.raises(InputError, match=message):
            predict(tmp_path / "none", tmp_path, overwrite=overwrite)
