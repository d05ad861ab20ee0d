"""`gsr doctor`: openroad is asked what it can do, ORFS what it sources, and every miss says what to do about it."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tcl_session import HOOKS, TCL, find_tclsh, is_alive

from circuit_io.errors import ToolError
from flow_hooks.openroad.binary import CAPABILITIES, find_openroad, probe_openroad
from flow_hooks.openroad.orfs import attaches_us, find_flow, hook_names, read_flow
from gsr_plugin import doctor as doctor_module
from gsr_plugin.cli import main
from gsr_plugin.doctor import MISS, OK, SETTINGS, WARNING, Check, doctor, table

ROOT = Path(__file__).resolve().parent.parent


def fake_openroad(folder: Path, *, without: tuple[str, ...] = (), version: str = 'echo "26Q3-12 g5c9e48712"') -> Path:
    """An openroad of sh and the real tclsh: it has all commands and options that the hooks use, save some."""
    lines, options = [], dict[str, str]()
    for c in CAPABILITIES:
        for name in c.commands:
            if name not in without:
                space = f"namespace eval ::{name.rpartition('::')[0]} {{}}\n" if "::" in name else ""
                lines.append(f"{space}proc ::{name} {{ args }} {{}}")
        if c.option and c.option not in without:
            options[c.commands[0]] = options.get(c.commands[0], "[-region r]") + f" [{c.option} x]"
    lines += [f"set ::sta::cmd_args({command}) {{{usage}}}" for command, usage in options.items()]
    prelude = folder / "prelude.tcl"
    prelude.write_text("namespace eval ::sta {}\n" + "\n".join(lines) + "\nsource [lindex $argv 0]\n")
    return script(
        folder, f'if [ "$*" = -version ]; then {version}; exit; fi\nfor last; do :; done\n'
        f'echo "splash"; exec {find_tclsh()} {prelude} "$last"',
    )  # fmt: skip


def script(folder: Path, body: str) -> Path:
    path = folder / "openroad"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def fake_flow(folder: Path, hooks: list[str], *, is_old: bool = False) -> Path:
    """A checkout of ORFS, as far as we read it."""
    (folder / "scripts").mkdir(parents=True)
    calls = [
        f"source_env_var_if_exists {h}_TCL" if is_old else "source_step_tcl " + h.replace("_", " ", 1) for h in hooks
    ]
    (folder / "scripts" / "global_place.tcl").write_text("\n".join(calls))
    (folder / "Makefile").write_text("-include $(PRIVATE_DIR)/private.mk\n")
    return folder


def found(env: dict[str, str], name: str, **settings: Any) -> Check:  # noqa: ANN401
    """The only check of that name."""
    (check,) = [c for c in doctor({"PATH": "/usr/bin:/bin"} | env, **settings) if c.name == name]
    return check


def test_all_capabilities_of_a_new_openroad_are_seen(tmp_path: Path) -> None:
    tool = probe_openroad(fake_openroad(tmp_path))
    assert tool.version == "26Q3-12 g5c9e48712"
    assert re.match(r"[89]\.", tool.tcl)
    assert tool.has == {c.name: True for c in CAPABILITIES}


@pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda c: c.name)
def test_each_capability_can_be_missing_alone(tmp_path: Path, capability: Any) -> None:  # noqa: ANN401
    without = (capability.option,) if capability.option else capability.commands
    path = fake_openroad(tmp_path, without=without)
    if capability.commands == ("ord::get_db_block",):
        with pytest.raises(ToolError, match="is no openroad"):
            probe_openroad(path)
        return
    lacking = {name for name, has in probe_openroad(path).has.items() if not has}
    assert capability.name in lacking
    assert lacking <= {c.name for c in CAPABILITIES if set(c.commands) & set(capability.commands)}


def test_one_of_several_commands_is_enough(tmp_path: Path) -> None:
    assert probe_openroad(fake_openroad(tmp_path, without=("dpl::set_padding_inst",))).has["padding of insts"]


def test_an_old_openroad_is_a_warning_and_one_that_cannot_do_is_a_miss(tmp_path: Path) -> None:
    old = fake_openroad(tmp_path, without=("-max_density", "write_lef"))
    checks = [c for c in doctor({"GSR_OPENROAD": str(old)}) if c.name.startswith("openroad: ")]
    assert [(c.status, c.name, c.found) for c in checks] == [
        (WARNING, "openroad: write_lef, where no LEF is named", "no write_lef"),
        (WARNING, "openroad: density blockages", "no create_blockage -max_density"),
        (OK, "openroad: capabilities", f"{len(CAPABILITIES) - 2} of {len(CAPABILITIES)}"),
    ]
    bad = found({"GSR_OPENROAD": str(fake_openroad(tmp_path, without=("write_def",)))}, "openroad: write_def")
    assert (bad.status, bad.to_do) == (MISS, "Use a newer openroad.")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("exit 7", "-version fails with exit code 7"),
        ("echo 'no libtcl8.6.so' >&2; exit 127", "exit code 127: no libtcl8.6.so"),
        ("exit 0", "does not run a Tcl script"),
        ("echo 2.0; [ $# = 1 ] || { echo 'Usage: openroad'; exit 1; }", r"exit code 1\): Usage: openroad"),
        ("kill -9 $$", "-version fails with exit code -9"),
        ("exec yes", "-version: says too much: y"),
        ("echo hello; sleep 600", "does not end within 0.5 s"),
        ("exec sleep 600", "does not end within 0.5 s"),
        ('sleep 600 & echo $! > "$0.pid"; exit 0', "does not run a Tcl script|does not end"),
        ("[ $# = 1 ] || exec sleep 600", "does not end within 0.5 s"),
        ('exec >&- 2>&-; sleep 600 & echo $! > "$0.pid"; wait', "does not end within 0.5 s"),
        ("exec printf '\\377\\000'", "does not run a Tcl script"),
    ],
)
def test_a_wrong_binary_is_one_clear_message(tmp_path: Path, body: str, words: str) -> None:
    find_tclsh()
    path = script(tmp_path, f"echo $$ > {tmp_path}/pid\n{body}")
    with pytest.raises(ToolError, match=words) as caught:
        probe_openroad(path, timeout_s=0.5 if "600" in body else 60.0)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    for started in tmp_path.glob("*pid"):
        assert not is_alive(int(started.read_text() or 2**22))  # killed before it could say


def test_what_is_no_program_is_one_clear_message(tmp_path: Path) -> None:
    plain, garbage = tmp_path / "plain", tmp_path / "garbage"
    plain.write_text("#!/bin/sh\n")
    garbage.write_bytes(b"\x7fELF\x00")
    garbage.chmod(0o755)
    for path, words in (
        (plain, "not executable"),
        (garbage, "cannot be run"),
        (tmp_path, "is not there"),
        (tmp_path / "none", "is not there"),
    ):
        with pytest.raises(ToolError, match=words):
            probe_openroad(path)
        check = found({"GSR_OPENROAD": str(path)}, "openroad")
        assert check.status == MISS
        assert words in check.found
        assert "GSR_OPENROAD" in check.found
        assert check.to_do


def test_the_binary_is_found_in_the_documented_order(tmp_path: Path) -> None:
    built = tmp_path / "tools" / "install" / "OpenROAD" / "bin"
    for folder in (tmp_path / "path", built):
        folder.mkdir(parents=True)
        script(folder, "")
    env = {"FLOW_HOME": str(tmp_path / "flow")}
    assert find_openroad({}) in (None, find_openroad({"PATH": "/usr/local/bin:/usr/bin:/bin"}))
    assert find_openroad(env | {"PATH": "/nowhere"}) == (built / "openroad", "FLOW_HOME")
    env["PATH"] = str(tmp_path / "path")
    assert find_openroad(env) == (tmp_path / "path" / "openroad", "PATH")
    env["OPENROAD_EXE"] = "/orfs/openroad"
    assert find_openroad(env) == (Path("/orfs/openroad"), "OPENROAD_EXE")
    env["GSR_OPENROAD"] = "openroad"  # a name on the path
    assert find_openroad(env) == (tmp_path / "path" / "openroad", "GSR_OPENROAD")


def test_without_openroad_it_says_what_to_set() -> None:
    check = found({"PATH": "/nowhere"}, "openroad")
    assert (check.status, check.found) == (MISS, "not found")
    assert "PATH" in check.to_do
    assert "GSR_OPENROAD" in check.to_do


def test_the_hooks_of_a_new_and_of_an_old_orfs(tmp_path: Path) -> None:
    assert hook_names() == sorted(HOOKS)
    new = fake_flow(tmp_path / "new" / "flow", HOOKS)
    assert read_flow(new).hooks == set(HOOKS)
    check = found({"FLOW_HOME": str(new)}, "ORFS: hooks")
    assert (check.status, check.found) == (OK, "32 of 32 hook variables")
    five = ["POST_FLOORPLAN", "POST_PDN", "POST_CTS", "PRE_GLOBAL_ROUTE", "POST_DETAIL_ROUTE"]
    old = fake_flow(tmp_path / "old" / "flow", five, is_old=True)
    check = found({"SCRIPTS_DIR": str(old / "scripts")}, "ORFS: hooks")
    assert check.status == WARNING
    assert check.found.startswith("5 of 32 hook variables; not PRE_GLOBAL_PLACE, POST_GLOBAL_PLACE, ")
    assert "March 2026" in check.to_do
    none = found({"FLOW_HOME": str(tmp_path)}, "ORFS")
    assert (none.status, none.to_do) == (MISS, "Set FLOW_HOME to its folder flow.")


def test_orfs_is_found_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = fake_flow(tmp_path / "flow", HOOKS)
    assert find_flow({}, cwd=flow) == find_flow({}, cwd=tmp_path) == flow
    monkeypatch.chdir(tmp_path / "flow" / "scripts")
    assert found({}, "ORFS").status == WARNING


def test_private_dir_attaches_us_or_does_not(tmp_path: Path) -> None:
    flow, mine = fake_flow(tmp_path / "flow", HOOKS), tmp_path / "mine"
    env = {"FLOW_HOME": str(flow)}
    check = found(env, "ORFS: PRIVATE_DIR")
    assert (check.status, check.to_do.split(": ", 1)[1]) == (WARNING, "export PRIVATE_DIR=$(gsr hooks --path)")
    assert found(env | {"PRIVATE_DIR": str(TCL)}, "ORFS: PRIVATE_DIR").status == OK
    assert found(env | {"PRIVATE_DIR": "../mine"}, "ORFS: PRIVATE_DIR").status == WARNING  # seen from the Makefile
    mine.mkdir()
    for text, attaches in (
        ("include $(shell gsr hooks --mk)\n", True),
        ("-include $(shell gsr hooks --path)/private.mk\n", True),
        ("include /venv/lib/python3.11/site-packages/flow_hooks/tcl/private.mk\n", True),
        ("# include $(shell gsr hooks --mk)\n", False),
        ("export X = 1\n", False),
    ):
        (mine / "private.mk").write_text(text)
        assert attaches_us(mine) == attaches, text
        assert found(env | {"PRIVATE_DIR": "../mine"}, "ORFS: PRIVATE_DIR").status == (OK if attaches else WARNING)


def test_single_hook_variables_count_and_are_looked_for(tmp_path: Path) -> None:
    env = {"FLOW_HOME": str(fake_flow(tmp_path / "flow", HOOKS))}
    env["PRE_CTS_TCL"] = "/home/me/pre_cts.tcl"  # the user's own is no affair of ours
    env["POST_DETAIL_PLACE_TCL"] = str(TCL / "orfs" / "post_detail_place.tcl")
    assert found(env, "ORFS: hook variables").found == "1 set to ours"
    env["POST_CTS_TCL"] = "/old/venv/flow_hooks/tcl/orfs/post_cts.tcl"
    assert found(env, "ORFS: POST_CTS_TCL").status == MISS


@pytest.mark.parametrize(
    ("setting", "status", "words"),
    [
        ({"GSR_MODEE": "apply"}, WARNING, 'Did you mean "GSR_MODE"'),
        ({"GSR_MODE": "aply"}, WARNING, "One of observe, advise, apply, gate."),
        ({"GSR_ON_ERROR": "stop"}, WARNING, "One of warn, fail."),
        ({"GSR_TIMEOUT": "soon"}, WARNING, "A number of seconds."),
        ({"GSR_TIMEOUT": "nan"}, WARNING, "A number of seconds."),
    ],
)
def test_settings_are_looked_at(setting: dict[str, str], status: str, words: str) -> None:
    ((name, _),) = setting.items()
    check = found(setting, name)
    assert check.status == status
    assert words in check.to_do


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("/nowhere/python", "No such file"),
        ("false", "exit code 1"),
        ('sh -c "sleep 600"', "does not end within 1 s"),
        ("'", "No such file"),
        ("PYTHON -S", "No module named"),
    ],
)
@pytest.mark.parametrize("name", ["GSR_PYTHON", "PYTHON_EXE"])
def test_a_python_of_the_hooks_that_will_not_do(name: str, given: str, why: str) -> None:
    command = given.replace("PYTHON", sys.executable)
    check = found({name: command}, "python of the hooks", timeout_s=1.0 if "sleep" in given else 240.0)
    assert check.status == MISS
    assert f"(named by {name}): " in check.found
    assert why in check.found
    assert "Set GSR_PYTHON to a Python that has gsr-plugin" in check.to_do


def test_python_of_the_path_is_asked_as_the_hooks_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout the hooks have no other; what lies in the folder here or in PYTHONPATH is not theirs."""
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    monkeypatch.chdir(ROOT)
    env = {"PATH": f"{python.parent}:/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{':'.join(sys.path)}"}
    check = found(env, "python of the hooks")
    assert check.status == MISS
    assert f"{python} (named by PATH): " in check.found
    assert "No module named 'gsr_plugin'" in check.found


def test_a_python_of_the_hooks_that_has_gsr() -> None:
    check = found({"PYTHON_EXE": f"env {sys.executable}"}, "python of the hooks", timeout_s=240.0)
    assert (check.status, check.to_do) == (OK, "")
    assert check.found.endswith("gsr_plugin")


def test_good_settings_are_not_mentioned() -> None:
    env = {"GSR_MODE": "Apply", "GSR_TIMEOUT": "1e3", "GSR_CHAIN_PRE_CTS_TCL": "x", "GSR_TRAIN_LR": "3", "GSR_GATE": ""}
    assert not {c.name for c in doctor(env)} & set(env)


def test_every_setting_that_is_read_is_known() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in TCL.rglob("*.tcl"))
    read = set(re.findall(r"(?:setting|setting_words|choice) (GSR_[A-Z_]*[A-Z])\b", text))
    page = (ROOT / "docs" / "flow.md").read_text(encoding="utf-8").split("## Settings")[1].split("\n## ")[0]
    told = {n for line in page.splitlines() if line.startswith("| `GSR") for n in re.findall(r"`(GSR_[A-Z_]+)`", line)}
    assert len(read) > 15
    assert len(told) > 15
    assert read | told <= set(SETTINGS)


def test_device_model_and_output(tmp_path: Path) -> None:
    assert found({"GSR_DEVICE": "cpu"}, "device").found == "cpu"
    assert found({"GSR_DEVICE": "tpu"}, "device").status == MISS
    assert found({}, "model").status == OK
    bad = found({"GSR_MODEL": str(tmp_path)}, "model")
    assert (bad.status, "GSR_MODEL" in bad.to_do) == (MISS, True)
    assert found({"GSR_OUT_ROOT": str(tmp_path / "a" / "b")}, "output").status == OK
    (tmp_path / "file").write_text("")
    assert found({"GSR_OUT_ROOT": str(tmp_path / "file" / "gsr")}, "output").status == MISS


def test_a_broken_torch_is_a_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    check = found({}, "torch")
    assert (check.status, check.to_do) == (MISS, "pip install torch, for this Python.")


def test_what_was_not_built_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuit_io.native.library", lambda: None)
    assert found({}, "C scanner").status == WARNING
    monkeypatch.setattr(doctor_module.shutil, "which", lambda *_, **__: None)
    assert found({}, "tclsh").status == WARNING


def test_a_server_that_is_named(tmp_path: Path) -> None:
    check = found({"GSR_SERVER": str(tmp_path / "server.tsv")}, "server")
    assert (check.status, "is not there" in check.found) == (WARNING, True)
    started = found({"GSR_SERVER": str(tmp_path / "server.tsv"), "GSR_SERVE": "1"}, "server")
    assert (started.status, started.found) == (OK, "the first call starts it")
    alone = found({"GSR_SERVE": "1"}, "server")
    assert (alone.status, "GSR_SERVER" in alone.to_do) == (OK, True)
    (tmp_path / "server.tsv").mkdir()
    blocked = found({"GSR_SERVER": str(tmp_path / "server.tsv"), "GSR_SERVE": "1"}, "server")
    assert (blocked.status, "GSR_SERVE=1" in blocked.to_do) == (WARNING, False)


def test_the_command_gives_a_table_json_and_an_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSR_OPENROAD", str(fake_openroad(tmp_path)))
    monkeypatch.setenv("FLOW_HOME", str(fake_flow(tmp_path / "flow", HOOKS)))
    monkeypatch.setenv("GSR_PYTHON", sys.executable)
    monkeypatch.setattr(doctor_module, "_LOAD", "print('gsr')")
    good = CliRunner().invoke(main, ["doctor"])
    assert good.exit_code == 0, good.output
    assert "26Q3-12" in good.stdout
    monkeypatch.setenv("GSR_OPENROAD", str(tmp_path / "none"))
    bad = CliRunner().invoke(main, ["doctor", "--json"])
    assert bad.exit_code == 1
    facts = json.loads(bad.stdout)
    assert facts["num_missing"] == 1
    assert {c["name"] for c in facts["checks"] if c["status"] == "miss"} == {"openroad"}


def test_the_table_of_access_points_is_asked_for(tmp_path: Path) -> None:
    none = found({}, "access points")
    assert (none.status, "gsr access-points" in none.to_do) == (WARNING, True)
    table = tmp_path / "points.csv"
    assert found({"GSR_ACCESS_POINTS": str(table)}, "access points").found.endswith("points.csv is no file")
    table.write_text("master,orient,pin,x_um,y_um,layer\nINV,R0,A,0.1,0.2,m1\n")
    good = found({"GSR_ACCESS_POINTS": str(table)}, "access points")
    assert (good.status, good.found) == (OK, f"1 pins, {table}")
    table.write_text("pin,x\nA,1\n")
    assert found({"GSR_ACCESS_POINTS": str(table)}, "access points").status == MISS


def test_the_table_says_what_to_do_below_a_miss() -> None:
    text = table([Check("torch", OK, "2.9"), Check("openroad", MISS, "not found", "Put it on PATH.")])
    assert text.splitlines() == [
        "ok       torch     2.9",
        "miss     openroad  not found",
        "                   -> Put it on PATH.",
        "1 ok, 0 warnings, 1 missing",
    ]
