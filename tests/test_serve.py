"""The warm server: who is let in, what it refuses, when it ends, and that nothing is lost when it cannot be used."""

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tcl_session import flow_process

from circuit_io.errors import InputError
from gsr_plugin import client, processes, serve, server_address
from gsr_plugin.processes import flow_of, started_at
from gsr_plugin.serve import Request, Server
from gsr_plugin.server_address import Address, HeldAddress, NoServerError, read_address

ROOT = Path(__file__).resolve().parent.parent
Work = Callable[[Request], dict[str, Any]]


def wait_for(is_so: Callable[[], object]) -> None:
    """Until something is so; two minutes are forever."""
    last = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < last
        time.sleep(0.01)


def echo(request: Request) -> dict[str, Any]:
    return {"exit_code": 3, "stdout": " ".join(request.arguments), "stderr": str(request.cwd)}


class Running:
    """A server in a thread of the test, and what it has said."""

    said: list[str]
    reasons: list[str]

    def __init__(self, path: Path, work: Work, **settings: Any) -> None:  # noqa: ANN401
        self.path, self.said, self.reasons = path, [], []
        self.server = Server(path, work, say=self.said.append, **settings)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        wait_for(lambda: self.address() is not None or self.reasons)

    def _run(self) -> None:
        try:
            self.reasons.append(self.server.run())
        except BaseException as e:
            self.reasons.append(repr(e))
            raise

    def address(self) -> Address | None:
        with contextlib.suppress(NoServerError):
            return read_address(self.path)
        return None

    def end(self) -> str:
        self.server.stop()
        self.thread.join()
        return self.reasons[0]

    def send(self, data: bytes) -> socket.socket:
        address = self.address()
        assert address
        connection = socket.create_connection(("127.0.0.1", address.port), timeout=60)
        connection.sendall(data)
        return connection

    def request(self, **changes: object) -> bytes:
        address = self.address()
        assert address
        request = {"token": address.token, "arguments": ["flow"], "cwd": "/", "env": {}} | changes
        return json.dumps({k: v for k, v in request.items() if v is not None}).encode() + b"\n"


@pytest.fixture(autouse=True)
def _same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the packages may be edited while the tests run."""
    for module in (serve, server_address):
        monkeypatch.setattr(module, "code_stamp", lambda: "as it is")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts servers that end with the test."""
    started = []

    def begin(work: Work = echo, **settings: Any) -> Running:  # noqa: ANN401
        started.append(Running(tmp_path / "server" / "server.tsv", work, **settings))
        return started[-1]

    yield begin
    for running in started:
        running.end()


def everything(connection: socket.socket) -> bytes:
    with connection, connection.makefile("rb") as stream:
        return stream.read()


def test_a_client_gets_exit_code_and_text(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    running = start()
    monkeypatch.chdir(tmp_path)
    code = client.answer_from_server(["predict", "é\n"], {"GSR_SERVER": str(running.path)})
    assert code == 3
    assert capsys.readouterr() == ("predict é\n", str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"token": None}, "no token"),
        ({"token": ""}, "token is wrong"),
        ({"token": "0" * 64}, "token is wrong"),
        ({"token": "\ud800é"}, "token is wrong"),
        ({"token": 7}, "no token"),
        ({"arguments": "flow"}, "not of this version"),
        ({"arguments": ["flow", 3]}, "not of this version"),
        ({"cwd": None}, "not of this version"),
        ({"env": ["x"]}, "not of this version"),
    ],
)
def test_strangers_and_odd_requests_are_refused(
    start: Callable[..., Running], changes: dict[str, object], words: str
) -> None:
    done: list[Request] = []
    running = start(lambda r: done.append(r) or echo(r))
    answer = everything(running.send(running.request(**changes)))
    assert words in json.loads(answer)["refused"]
    assert running.end() == "it was told to"
    assert done == []


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x00\xff\n", b"[]\n", b"[" * 9999 + b"\n"]
)
def test_what_is_no_request_is_refused(start: Callable[..., Running], data: bytes) -> None:
    assert b"refused" in everything(start().send(data))


def test_the_token_is_looked_at_first(start: Callable[..., Running]) -> None:
    running = start()
    answer = everything(running.send(running.request(token="x", arguments=None)))
    assert "token is wrong" in json.loads(answer)["refused"]


def test_an_oversize_request_is_refused_before_its_end(start: Callable[..., Running]) -> None:
    running = start()
    connection = running.send(running.request(arguments=["x" * 70_000])[:65_537])
    assert "longer than 65536 bytes" in json.loads(everything(connection))["refused"]
    with pytest.raises(NoServerError, match="command line is longer"):
        client.ask(read_address(running.path), ["x" * 70_000], {})


def test_a_client_that_dawdles_is_dropped(start: Callable[..., Running]) -> None:
    running = start(read_s=0.1)
    answer = everything(running.send(b'{"token"'))
    assert "took longer than 0.1 s" in json.loads(answer)["refused"]


def test_clients_that_dawdle_hold_up_nobody(start: Callable[..., Running]) -> None:
    running = start(read_s=60.0)
    slow = [running.send(b'{"token"') for _ in range(5)]
    assert client.ask(read_address(running.path), ["flow"], {})["exit_code"] == 3
    for connection in slow:
        connection.close()


def test_many_open_connections_do_not_pile_up(start: Callable[..., Running]) -> None:
    running = start(read_s=60.0)
    idle = [running.send(b"") for _ in range(40)]
    # those above the limit are closed at once
    assert [c.recv(1) for c in idle[-3:]] == [b""] * 3
    for connection in idle:
        connection.close()


def test_two_clients_at_once_are_served_one_after_the_other(start: Callable[..., Running]) -> None:
    under_way, most, waiting = 0, 0, threading.Event()

    def work(request: Request) -> dict[str, Any]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        waiting.wait(60)
        under_way -= 1
        return echo(request)

    running = start(work)
    connections = [running.send(running.request(arguments=["flow", str(i)])) for i in range(4)]
    for connection in connections:
        assert connection.recv(64) == b'{"taken": true}\n'
    waiting.set()
    texts = {json.loads(everything(connection))["stdout"] for connection in connections}
    assert (texts, most) == ({f"flow {i}" for i in range(4)}, 1)


def test_nothing_is_done_for_a_client_that_has_left_the_queue(start: Callable[..., Running]) -> None:
    done, go = [], threading.Event()

    def work(request: Request) -> dict[str, Any]:
        go.wait(60)
        done.append(request.arguments[-1])
        return echo(request)

    running = start(work)
    first = running.send(running.request(arguments=["flow", "first"]))
    first.recv(64)
    left = running.send(running.request(arguments=["flow", "left"]))
    left.recv(64)
    left.close()
    wait_for(lambda: "a client has left before its answer" in running.said)
    go.set()
    everything(first)
    last = running.send(running.request(arguments=["flow", "last"]))
    everything(last)
    assert done == ["first", "last"]


def test_work_whose_client_was_killed_ends_with_the_server(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that ran into GSR_TIMEOUT must not leave work behind that blocks the next one."""
    ended, go = threading.Event(), threading.Event()
    monkeypatch.setattr(Server, "_end_at_once", lambda self: (ended.set(), go.set()))
    running = start(lambda r: (go.wait(60), echo(r))[1], patience_s=0.1)
    connection = running.send(running.request())
    connection.recv(64)
    connection.close()
    assert ended.wait(60)


def test_the_work_under_way_is_answered_before_the_end(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, sent, send = threading.Event(), threading.Event(), [], serve._send

    def slowly(connection: socket.socket, answer: dict[str, Any]) -> None:
        time.sleep(0.3)
        send(connection, answer)
        sent.append(answer)

    running = start(lambda r: (begun.set(), go.wait(60), echo(r))[-1])
    connections = []
    for _ in range(2):
        connections.append(running.send(running.request()))
        assert connections[-1].recv(64) == b'{"taken": true}\n'
    under_way, waiting = connections
    assert begun.wait(60)
    monkeypatch.setattr(serve, "_send", slowly)
    running.server.stop()
    go.set()
    running.thread.join(60)
    assert len(sent) == 2  # by the time the process would end
    assert json.loads(everything(under_way))["exit_code"] == 3
    assert json.loads(everything(waiting)) == {"refused": "it is about to end"}


def test_what_is_refused_at_the_end_is_not_done_as_well(start: Callable[..., Running]) -> None:
    """The client would do it at the same time, in the same folder."""
    refused, done = threading.Event(), []

    class Late(queue.Queue[Any]):
        def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401
            job = super().get(block, timeout)
            running.server.stop()
            refused.wait(60)
            return job

    running = start(lambda r: done.append(r) or echo(r))
    running.server._jobs = Late()
    connection = running.send(running.request())
    assert b'{"refused": "it is about to end"}' in everything(connection)
    refused.set()
    running.thread.join(60)
    assert done == []


def test_it_ends_with_the_process_it_was_told(start: Callable[..., Running]) -> None:
    with flow_process() as flow:
        running = start(pid=flow.pid)
        assert client.ask(read_address(running.path), ["flow"], {})
        flow.terminate()
    running.thread.join(60)
    assert running.reasons == [f"the flow (process {flow.pid}) has ended"]
    assert not running.path.exists()


def test_a_process_that_has_ended_before_is_noticed(start: Callable[..., Running]) -> None:
    with subprocess.Popen(["true"]) as flow:
        flow.wait()
    running = start(pid=flow.pid)
    running.thread.join(60)
    assert "has ended" in running.reasons[0]


def test_it_ends_when_it_has_nothing_to_do(start: Callable[..., Running]) -> None:
    running = start(idle_s=0.0)
    running.thread.join(60)
    assert running.reasons == ["no request for 0 s"]


def test_the_flow_is_the_outermost_make(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(
        "outer:\n\t@$(MAKE) --no-print-directory inner\ninner:\n\t@echo $$PPID; sleep 600; :\n"
    )
    own = flow_of(os.getpid())  # that of the suite, when that runs under make
    alone = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    with subprocess.Popen(
        ["make", "outer"], cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True, env=alone
    ) as make:
        try:
            assert make.stdout
            inner = int(make.stdout.readline())
            assert inner != make.pid
            outermost = make.pid if own == os.getpid() else own
            assert flow_of(inner) == outermost
            assert client.flow_process({"GSR_SESSION_PID": str(inner)}) == outermost
            assert client.flow_process({"GSR_SESSION_PID": "x"}) == flow_of(os.getppid())
            assert client.flow_process({"GSR_SESSION_PID": str(inner), "GSR_FLOW_PID": "77"}) == 77
        finally:
            os.killpg(make.pid, signal.SIGKILL)
    assert started_at(make.pid) is None
    assert started_at(os.getpid())


def test_in_a_container_make_may_be_process_1(monkeypatch: pytest.MonkeyPatch) -> None:
    parents, names = {1: 0, 7: 1, 9: 7}, {1: "make", 7: "sh", 9: "openroad"}
    monkeypatch.setattr(processes, "_stat", lambda pid: ["S", str(parents[pid])])
    monkeypatch.setattr(processes, "_name", names.get)
    assert flow_of(9) == client.flow_process({"GSR_SESSION_PID": "9"}) == 1
    names[1] = "systemd"
    assert flow_of(9) == 9
    assert client.flow_process({"GSR_SESSION_PID": "9", "GSR_FLOW_PID": "1"}) == 1
    assert client.flow_process({"GSR_SESSION_PID": "9", "GSR_FLOW_PID": "0"}) == 9


def test_the_address_is_for_its_owner_alone_and_goes_with_the_server(start: Callable[..., Running]) -> None:
    running = start()
    assert running.path.stat().st_mode & 0o777 == 0o600
    running.end()
    assert not running.path.exists()


def test_a_second_server_for_the_same_flow_is_refused(start: Callable[..., Running]) -> None:
    running = start()
    with pytest.raises(InputError, match="another server holds"):
        Server(running.path, echo, say=print).run()
    assert client.ask(read_address(running.path), ["flow"], {})


def test_an_address_file_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link.tsv").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "file" / "server.tsv", tmp_path / "link.tsv", Path("/proc/gsr/server.tsv")):
        with pytest.raises(InputError, match="cannot be written"):
            Server(path, echo, say=print).run()
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_is_no_address_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    with pytest.raises(OSError, match="no address file"):
        HeldAddress.take(path)
    assert path.read_text() == "my notes\n"


def test_a_file_of_somebody_else_holds_no_token_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, us = tmp_path / "server.tsv", os.getuid()
    path.touch(0o600)
    monkeypatch.setattr(os, "getuid", lambda: us + 1)
    with pytest.raises(InputError, match="cannot be written: Operation not permitted"):
        Server(path, echo, say=print).run()
    assert path.read_text() == ""


def held(path: Path, text: str) -> HeldAddress:
    holder = HeldAddress.take(path)
    path.write_text(text)
    return holder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("absent", "is not there"),
        ("stale", "is stale"),
        ("open to all", "you alone can read"),
        ("link", "symbolic links"),
        ("folder", "is not a file"),
        ("rubbish", "holds no address"),
        ("cut", "holds no address"),
        ("port", "holds no address"),
        ("old code", "another version"),
        ("nobody listens", "does not answer"),
    ],
)
def test_an_address_of_no_use_means_that_the_process_does_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, words: str
) -> None:
    path = tmp_path / "server.tsv"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]  # free again, most likely, when nobody listens
    text = Address(port, 1, "secret", "as it is").to_text()
    text = {"rubbish": "\x00", "cut": text[:-1], "port": text.replace(str(port), "99999")}.get(change, text)
    if change == "old code":
        text = Address(port, 1, "secret", "older").to_text()
    holder = held(path, text) if change not in ("absent", "folder") else None
    if change == "folder":
        path.mkdir()
    if change == "stale":
        os.close(os.dup(holder._descriptor))
        holder.give_back()
        path.write_text(text)
        path.chmod(0o600)
    if change == "open to all":
        path.chmod(0o644)
    if change == "link":
        path.rename(tmp_path / "real.tsv")
        path.symlink_to(tmp_path / "real.tsv")
    assert client.answer_from_server(["flow"], {"GSR_SERVER": str(path)}) is None
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gsr: the server is not used: ")
    assert words in err
    assert err.endswith("this process does the work\n")
    assert err.count("\n") == 1
    if holder and change != "stale":
        holder.give_back()


def test_no_server_is_started_where_another_lives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "server.tsv"
    holder = held(path, Address(1, 1, "secret", "older").to_text())
    env = {"GSR_SERVER": str(path), "GSR_SERVE": "1"}
    assert client.answer_from_server(["flow"], env) is None
    holder.give_back()
    assert "another version" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([], "ended before"),
        ([b"HTTP/1.1 400 Bad Request\r\n"], "makes no sense"),
        ([b'"taken"\n'], "makes no sense"),
        ([b"{}\n"], "does not say why"),
        ([b'{"refused": "no"}\n'], "it refuses: no"),
        ([b'{"taken": true}\n'], "ended before"),
        ([b'{"taken": true}\n', b'{"exit_code": 0'], "ended before"),
        ([b'{"taken": true}\n', b"\xff\n"], "makes no sense"),
        ([b'{"taken": true}\n', b'{"exit_code": "0", "stdout": "", "stderr": ""}\n'], "makes no sense"),
        ([b'{"taken": true}\n', b'{"refused": "outside"}\n'], "it refuses: outside"),
    ],
)
def test_a_server_that_dies_or_talks_rubbish_means_that_the_process_does_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answers: list[bytes], words: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                for answer in answers:
                    connection.sendall(answer)

        thread = threading.Thread(target=talk)
        thread.start()
        path = tmp_path / "server.tsv"
        holder = held(path, Address(listener.getsockname()[1], 1, "secret", "as it is").to_text())
        assert client.answer_from_server(["flow"], {"GSR_SERVER": str(path)}) is None
        thread.join()
        holder.give_back()
    assert words in capsys.readouterr().err


def test_a_wish_for_a_server_without_its_address_is_not_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert client.answer_from_server(["predict", "x"], {"GSR_SERVE": "1"}) is None
    assert "GSR_SERVE is 1, but GSR_SERVER names no address file; this process" in capsys.readouterr().err
    assert client.answer_from_server(["predict", "x"], {"GSR_SERVE": "0"}) is None
    assert client.answer_from_server(["train", "x"], {"GSR_SERVE": "1"}) is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments", [[], ["train", "x"], ["flow", "-h"], ["predict", "--help"], ["--version"], ["serve"]]
)
def test_other_commands_do_not_ask_the_server(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert client.answer_from_server(arguments, {"GSR_SERVER": "/nowhere/server.tsv"}) is None
    assert capsys.readouterr() == ("", "")


def test_the_client_loads_the_standard_library_alone() -> None:
    code = (
        "import sys, gsr_plugin.client\n"
        "print(*{'click', 'numpy', 'torch', 'circuit_io', 'subprocess', 'logging'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_a_started_server_may_use_the_folders_of_the_command(tmp_path: Path) -> None:
    hook = {"def": "d/design.def", "lefs": ["/pdk/lef/a.lef"], "libs": None, "rtl_include": ["/rtl/inc"], "sdc": 3}
    (tmp_path / "hook.json").write_text(json.dumps(hook))
    words = [
        "flow",
        "--hook",
        str(tmp_path / "hook.json"),
        "--out",
        "/o/step",
        "--log-dir",
        "/logs",
        "--weights",
        "/m/w",
    ]
    write, read = client.roots_of(tmp_path / "s.tsv", words, {})
    assert write == [Path("/logs"), Path("/o/step"), tmp_path]
    assert read == [Path("/m"), Path("/pdk/lef"), Path("/rtl/inc"), tmp_path / "d"]
    flow = {"RESULTS_DIR": "results/gcd", "REPORTS_DIR": "/reports", "LOG_DIR": "/logs", "OBJECTS_DIR": " "}
    wider = [Path("/logs"), Path("/o/step"), Path("/reports"), tmp_path, Path("results/gcd").absolute()]
    assert client.roots_of(tmp_path / "s.tsv", words, flow) == (sorted(wider), read)
    (tmp_path / "hook.json").write_text("[" * 99_999)
    assert client.roots_of(tmp_path / "s.tsv", words, {"GSR_MODEL": "/runs/f0"})[1] == [Path("/m"), Path("/runs")]
