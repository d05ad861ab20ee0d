"""The warm server: `gsr serve` does the commands of a flow in one process that has everything loaded.

It listens on the loopback interface, where a token in a file that the user alone can read tells its clients from
strangers. One request is under way at a time, the others wait in order. It ends with the flow, or when it has had
nothing to do for a while. What it does is in `gsr_plugin.served_command`.
"""

import hmac
import json
import math
import os
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from circuit_io.errors import InputError
from gsr_plugin.processes import started_at
from gsr_plugin.server_address import HOST, MAX_REQUEST_BYTES, Address, HeldAddress, NoServerError, code_stamp

READ_S = 5.0  # for the whole of a request
MAX_CONNECTIONS = 32
TICK_S = 0.25
PATIENCE_S = 10.0  # for the end of work whose client has gone


class RefusedError(Exception):
    """A request that is not done; the text goes to the client."""


@dataclass(frozen=True)
class Request:
    """A command as a client gives it."""

    arguments: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]


@dataclass
class _Job:
    request: Request
    is_wanted: bool = True
    is_running: bool = False
    is_done: threading.Event = field(default_factory=threading.Event)
    answer: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> bool:
        """Whether it is still wanted; if so, it is under way from here on."""
        with self.lock:
            self.is_running = self.is_wanted
            return self.is_running

    def withdraw(self) -> bool:
        """Whether it is not under way; if so, it never will be."""
        with self.lock:
            self.is_wanted = self.is_wanted and self.is_running
            return not self.is_running


class Server:
    """Takes requests from clients, one after the other, and gives each what `work` makes of it.

    Args:
        path: the address file.
        work: does one request, in the thread of `run`; its answer is a JSON object.
        say: takes what happens, one line each.
        pid: the process to end with.
        idle_s: seconds without a request after which the server ends.
        read_s: seconds that a client has for its request.
        patience_s: seconds that work goes on for without its client before the process ends with it.
    """

    def __init__(
        self,
        path: Path,
        work: Callable[[Request], dict[str, Any]],
        *,
        say: Callable[[str], object],
        pid: int | None = None,
        idle_s: float = 900.0,
        read_s: float = READ_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.path, self.num_answers = path.absolute(), 0
        self._work, self._say = work, say
        self._pid, self._idle_s, self._read_s, self._patience_s = pid, idle_s, read_s, patience_s
        self._token = secrets.token_hex(32)
        self._jobs: queue.Queue[_Job] = queue.Queue()
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._is_ending = threading.Event()
        self._began = started_at(pid) if pid else None
        self._held: HeldAddress | None = None

    def stop(self) -> None:
        """End after the work under way; may be called from anywhere."""
        self._is_ending.set()

    def run(self, prepare: Callable[[], object] = lambda: None) -> str:
        """Serve until the end; returns the reason for it.

        Args:
            prepare: what is better done before the first request; clients wait already.

        Raises:
            InputError: the address file cannot be written, or another server holds it.
        """
        with socket.create_server((HOST, 0), backlog=MAX_CONNECTIONS) as listener:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._held = HeldAddress.take(self.path)
            except NoServerError as e:
                raise InputError(str(e), path=self.path, mend="Use it (GSR_SERVER), or give another --address.") from e
            except OSError as e:
                mend = "Name a file in a folder of your own with --address."
                raise InputError(f"cannot be written: {e.strerror}", path=self.path, mend=mend) from e
            try:
                port = listener.getsockname()[1]
                self._held.write(Address(port, os.getpid(), self._token, code_stamp()))
                self._say(f"port {port}, process {os.getpid()}, address in {self.path}")
                accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
                accepting.start()
                try:
                    prepare()
                    reason = self._loop()
                    self._say(f"ends: {reason}")
                finally:
                    self._is_ending.set()
                    accepting.join()
                    self._let_answers_out()
            finally:
                self._held.give_back()
        return reason

    def _loop(self) -> str:
        last = time.monotonic()
        while not self._is_ending.is_set():
            try:
                job = self._jobs.get(timeout=TICK_S)
            except queue.Empty:
                if self._pid and (self._began is None or started_at(self._pid) != self._began):
                    return f"the flow (process {self._pid}) has ended"
                if time.monotonic() - last > self._idle_s:
                    return f"no request for {self._idle_s:g} s"
                continue
            if job.begin():
                job.answer = self._work(job.request)
                self.num_answers += 1
            job.is_done.set()
            last = time.monotonic()
        return "it was told to"

    def _let_answers_out(self) -> None:
        """Wait until every client has its last word, which the end of the process would cut off."""
        last = time.monotonic() + READ_S
        for _ in range(MAX_CONNECTIONS):
            self._slots.acquire(timeout=max(0.0, last - time.monotonic()))

    def _accept(self, listener: socket.socket) -> None:
        listener.settimeout(TICK_S)
        while not self._is_ending.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError as e:  # too many open files, say
                self._say(f"cannot accept: {e.strerror}")
                self._is_ending.wait(TICK_S)
                continue
            if not self._slots.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        """One client, from its request to its answer."""
        try:
            with connection, suppress(OSError):
                try:
                    job = _Job(self._request(connection))
                    self._jobs.put(job)  # whoever is told so has its place before all that come later
                    with suppress(OSError):  # a client that has gone is seen to next
                        _send(connection, {"taken": True})
                    self._await(job, connection)
                    answer = job.answer
                except RefusedError as e:
                    answer = {"refused": str(e)}
                if "refused" in answer:
                    self._say(f"refused: {answer['refused']}")
                _send(connection, answer)
        finally:
            self._slots.release()

    def _request(self, connection: socket.socket) -> Request:
        """Read a request, and look at its token before anything else in it."""
        try:
            found = json.loads(_line(connection, self._read_s))
        except (ValueError, RecursionError) as e:
            raise RefusedError("the request is no JSON") from e
        if not isinstance(found, dict) or not isinstance(found.get("token"), str):
            raise RefusedError("the request has no token")
        if not hmac.compare_digest(found["token"].encode("utf-8", "surrogatepass"), self._token.encode()):
            raise RefusedError("the token is wrong")
        arguments, cwd, env = found.get("arguments"), found.get("cwd"), found.get("env")
        if not (
            _are_texts(arguments) and isinstance(cwd, str) and isinstance(env, dict) and _are_texts([*env.values()])
        ):
            raise RefusedError("the request is not of this version")
        assert isinstance(arguments, list)
        return Request(tuple(arguments), Path(cwd), env)

    def _await(self, job: _Job, connection: socket.socket) -> None:
        """Wait for the work. A client that goes away takes it along, as the end of a process would."""
        connection.settimeout(None)
        last = math.inf
        while not job.is_done.wait(TICK_S):
            if last == math.inf and _has_gone(connection):
                last = time.monotonic() + self._patience_s
                job.withdraw()
                self._say("a client has left before its answer")
            if job.is_running and time.monotonic() > last:
                self._end_at_once()
            # who is refused does the work itself, in the same folder
            if self._is_ending.is_set() and job.withdraw():
                raise RefusedError("it is about to end")

    def _end_at_once(self) -> None:
        self._say("ends: the client of the work under way has gone")
        if self._held:
            self._held.give_back()
        os._exit(1)


def _line(connection: socket.socket, limit_s: float) -> bytes:
    """The first line of what a client sends, within the limits of size and time."""
    last, data = time.monotonic() + limit_s, b""
    while b"\n" not in data:
        left = last - time.monotonic()
        if left <= 0:
            raise RefusedError(f"the request took longer than {limit_s:g} s")
        connection.settimeout(left)
        try:
            more = connection.recv(MAX_REQUEST_BYTES + 1 - len(data))
        except TimeoutError:
            continue
        if not more:
            raise RefusedError("the request has no end")
        data += more
        if len(data) > MAX_REQUEST_BYTES:
            raise RefusedError(f"the request is longer than {MAX_REQUEST_BYTES} bytes")
    return data.split(b"\n", 1)[0]


def _send(connection: socket.socket, answer: Mapping[str, Any]) -> None:
    connection.settimeout(READ_S)
    connection.sendall(json.dumps(answer).encode() + b"\n")


def _has_gone(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(v, str) for v in values)
