"""`gsr conformance`: claims about OpenROAD, one process each; what fails, crashes or hangs costs no other claim."""

import gzip
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from tcl_session import HERE
from test_doctor import fake_openroad

from circuit_io.errors import InputError, ToolError
from flow_hooks.openroad import conformance as module
from flow_hooks.openroad.conformance import ABSENT, FAIL, FOLDER, PASS, claims, conformance, report
from gsr_plugin.cli import main

ROOT = HERE.parent
CLAIMS = r"""
claim first "a file is left for later claims" {
  write_text left.txt "[pid] [file tail [pwd]]"
  return "in [file tail [pwd]]"
}
claim second "it is there, and the process another" {
  set text [string trim [text_of left.txt]]
  expect { [lindex $text 0] != [pid] } "the same process"
  return "all of
    it"
}
claim wrong "one is two" {
  expect { 1 == 2 } "1 is not 2"
  return "never"
}
claim broken "an error of Tcl" { expr { 1 / 0 } }
claim older "a command that is not there" { no::such_command 1 }
claim older_child "in a new process either" { told { ::no_such_command } }
claim lacking "a command that is not there" {
  needs_command no_such_command
}
claim killed "it survives" { exec kill -SEGV [pid] }
claim leaves "it comes back" {
  puts "last words"
  exit 0
}
claim chatty "it says little" {
  for { set i 0 } { $i < 40000 } { incr i } { puts [string repeat x 99] }
}
claim quoted "it prints \[ERROR ..\]" { return "caf\u00e9 \[\u0007" }
claim child "a script runs in a process of its own, and answers" {
  proc ::no_error_of { } {}
  expect { [string match "no error of*" [error_of_none]] } "an error is invented"
  set codes [lmap script { { exit 4 } { kill_me } } { lindex [in_new_process $script] 0 }]
  return "[told { answer [expr { 20 - 3 }] }] $codes <[told { puts nothing }]> [error_of told { kill_me }]"
}
proc error_of_none { } {
  catch { error_of ::no_error_of } message
  return $message
}
claim last "the others cost it nothing" { return "[exec cat left.txt]" }
"""


@pytest.fixture
def openroad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pretended openroad, and a folder with the claims above in place of ours."""
    folder = tmp_path / "conformance"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("[0-9]_*", "kit"))
    (folder / "1_made_up.tcl").write_text(CLAIMS, encoding="utf-8")
    monkeypatch.setattr(module, "FOLDER", folder)
    return fake_openroad(tmp_path)


def test_each_claim_stands_alone(openroad: Path, tmp_path: Path) -> None:
    found = conformance(openroad, keep=tmp_path / "kept")
    got = {o.name: (o.status, o.seen) for o in found.outcomes if not o.name.startswith("has_")}
    assert got["first"] == (PASS, "in kept")
    assert got["second"] == (PASS, "all of it")
    assert got["wrong"] == (FAIL, "1 is not 2")
    assert got["broken"] == (FAIL, "divide by zero")
    assert got["older"] == (ABSENT, "there is no command no::such_command")
    assert got["older_child"] == (ABSENT, "there is no command no_such_command")
    assert got["lacking"] == (ABSENT, "there is no command no_such_command")
    assert got["killed"][0] == FAIL
    assert got["killed"][1].startswith("killed by SIGSEGV")
    assert got["leaves"] == (FAIL, "ended with exit code 0 and no result: splash | last words")
    assert got["chatty"][0] == FAIL
    assert "says too much" in got["chatty"][1]
    assert got["quoted"] == (PASS, "café [\\x07")
    assert got["child"] == (PASS, '17 4 1 <> exit code 1: splash invalid command name "kill_me"')
    assert got["last"][0] == PASS
    assert [o.text for o in found.outcomes if o.name == "quoted"] == ["it prints [ERROR ..]"]
    assert found.count(FAIL) == 5
    assert "last words" in (tmp_path / "kept" / "leaves.log").read_text()


def test_a_claim_that_hangs_is_ended(openroad: Path) -> None:
    (module.FOLDER / "1_made_up.tcl").write_text('claim hangs "it ends" {\n  after 600000\n}\n')
    found = conformance(openroad, only=["hangs"], timeout_s=1)
    assert [(o.status, o.seen.rpartition("openroad ")[2]) for o in found.outcomes] == [
        (FAIL, "-exit: does not end within 1 s: splash")
    ]


def test_capabilities_are_claims_too(tmp_path: Path, openroad: Path) -> None:
    old = fake_openroad(tmp_path, without=("write_lef", "write_def"))
    found = {o.name: o.status for o in conformance(old).outcomes}
    assert found["has_write_lef_where_no_LEF_is_named"] == ABSENT
    assert found["has_write_def"] == FAIL  # the hooks cannot do without
    assert found["has_markers"] == PASS


def test_the_report_is_made_to_be_attached(openroad: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.txt"
    run = CliRunner().invoke(main, ["conformance", "--openroad", str(openroad), "--out", str(out)])
    assert run.exit_code == 1
    text = out.read_text()
    assert run.stdout == text
    lines = text.splitlines()
    assert lines[0] == f"openroad  26Q3-12 g5c9e48712 ({openroad})"
    assert re.match(r"Tcl +[89]\.", lines[1])
    at = next(i for i, line in enumerate(lines) if line.startswith("fail    wrong "))
    assert lines[at].endswith("  one is two")
    assert lines[at + 1].strip() == "= 1 is not 2"
    assert re.fullmatch(r"\d+ pass, 5 fail, 3 absent", lines[-1])
    again = CliRunner().invoke(main, ["conformance", "--openroad", str(openroad), "--out", str(out)])
    assert again.exit_code == 2
    assert "exists already" in again.stderr


def test_absent_alone_is_no_failure(openroad: Path) -> None:
    words = ["conformance", "--openroad", "openroad", "--claim", "lacking", "--claim", "first", "--json"]
    run = CliRunner().invoke(main, words, env={"PATH": f"{openroad.parent}{os.pathsep}{os.environ['PATH']}"})
    assert run.exit_code == 0, run.stderr
    found = json.loads(run.stdout)
    assert (found["num_pass"], found["num_fail"], found["num_absent"]) == (1, 0, 1)
    assert [c["name"] for c in found["claims"]] == ["first", "lacking"]
    assert found["claims"][1]["seen"] == "there is no command no_such_command"


def test_bad_input_is_told(openroad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r'no claim "firts"\n  Did you mean'):
        conformance(openroad, only=["firts"])
    with pytest.raises(ToolError, match="is not there"):
        conformance(tmp_path / "nowhere")
    for name in ("GSR_OPENROAD", "OPENROAD_EXE", "FLOW_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    run = CliRunner().invoke(main, ["conformance"])
    assert run.exit_code == 2
    assert "no openroad was found\n  Name the binary, or set GSR_OPENROAD." in run.stderr


def test_the_kit_travels_with_the_package(kit: Path) -> None:
    """The files are links into the demo kit; a wheel holds what they lead to."""
    size = 0
    for file in (FOLDER / "kit").iterdir():
        (origin,) = kit.rglob(file.name)
        assert file.read_bytes() == origin.read_bytes()
        size += len(gzip.compress(file.read_bytes()))
    assert size < 100_000
    assert '"tcl/conformance/kit/*"' in (ROOT / "pyproject.toml").read_text()


def test_the_page_tells_every_claim() -> None:
    """docs/conformance.md has a row for each claim, with what a run gave."""
    page = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (pass|absent) \|", page, re.MULTILINE)
    names = [name for name, _ in rows]
    assert [n for n in names if not n.startswith("has_")] == [c.name for c in claims()]
    assert len(set(names)) == len(names)
    written = "".join(file.read_text(encoding="utf-8") for file in FOLDER.glob("[0-9]_*.tcl"))
    assert len(claims()) == len(re.findall(r"^claim ", written, re.MULTILINE)), "a claim is not seen"


@pytest.mark.openroad
def test_a_real_openroad_keeps_every_claim(tmp_path: Path) -> None:
    openroad = os.environ.get("GSR_OPENROAD") or pytest.skip("GSR_OPENROAD is not set")
    found = conformance(Path(openroad), keep=tmp_path)
    assert found.count(FAIL) == 0, report(found)
