"""The file that says where a warm server is and holds its token; the standard library alone, so that clients are light.

The server holds a lock on the file for as long as it lives: a client tells a stale one without calling anybody, and a
second server for the same file is refused.
"""

import errno
import fcntl
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
MAX_REQUEST_BYTES = 65_536  # one line of JSON; the long lists of files are in hook.json
_HEAD = "#gsr-server 1"
_TRIES, _PAUSE_S = 50, 0.02
_KEYS = ("port", "pid", "token", "code")


class NoServerError(Exception):
    """There is no server to use; the text says why, and the work is done without.

    `has_room` says whether one could be started.
    """

    def __init__(self, text: str, *, has_room: bool = False) -> None:
        super().__init__(text)
        self.has_room = has_room


@dataclass(frozen=True)
class Address:
    """Where a server listens, its process, what it wants to be told, and the code that it runs."""

    port: int
    pid: int
    token: str
    code: str

    def to_text(self) -> str:
        """The content of the file."""
        return "\n".join([_HEAD, *(f"{key}\t{getattr(self, key)}" for key in _KEYS), ""])


class HeldAddress:
    """An address file that this process alone may write, until it is given back."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    @classmethod
    def take(cls, path: Path) -> "HeldAddress":
        """Lock the file, made with mode 0600 when there is none.

        Raises:
            NoServerError: another server holds it.
            OSError: it cannot be written, is a link, belongs to somebody else, or holds something else.
        """
        for _ in range(_TRIES):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(descriptor).st_uid != os.getuid():  # root can change its mode, and the owner back
                    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))
                if not _HEAD.encode().startswith(os.pread(descriptor, len(_HEAD), 0)):  # a kill leaves none, or a part
                    raise FileExistsError(errno.EEXIST, "it is no address file of ours", str(path))
                os.fchmod(descriptor, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(path, descriptor):
                    return cls(path, descriptor)
            except BlockingIOError:
                pass  # perhaps a client that looks for a moment, or a server that is about to remove the file
            except OSError:
                os.close(descriptor)
                raise
            os.close(descriptor)
            time.sleep(_PAUSE_S)
        raise NoServerError(f"another server holds {path}")

    def write(self, address: Address) -> None:
        """Say where the server is."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, address.to_text().encode(), 0)

    def give_back(self) -> None:
        """Remove the file and its lock."""
        with suppress(OSError):
            if _is_at(self.path, self._descriptor):
                self.path.unlink()
        os.close(self._descriptor)


def read_address(path: Path) -> Address:
    """The address of a server that lives, is ours, and runs the code that this process would.

    Raises:
        NoServerError: no such server.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as e:
        raise NoServerError(f"{path} is not there, so none runs", has_room=True) from e
    except OSError as e:
        raise NoServerError(f"{path}: {e.strerror}") from e
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise NoServerError(f"{path} is not a file that you alone can read and write")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 4096, 0).decode("utf-8", "replace")
        else:
            raise NoServerError(f"{path} is stale: its server has ended", has_room=True)
    finally:
        os.close(descriptor)
    address = _parsed(text)
    if address is None:
        raise NoServerError(f"{path} holds no address", has_room=True)  # yet, perhaps
    if address.code != code_stamp():
        raise NoServerError(f"it runs another version or installation of gsr; end it (process {address.pid})")
    return address


def _parsed(text: str) -> Address | None:
    lines = text.split("\n")
    pairs = dict(line.split("\t", 1) for line in lines[1:-1] if "\t" in line)
    if lines[0] != _HEAD or lines[-1] != "" or set(pairs) != set(_KEYS):
        return None
    if not (pairs["port"].isdecimal() and pairs["pid"].isdecimal() and 0 < int(pairs["port"]) < 65_536):
        return None
    return Address(int(pairs["port"]), int(pairs["pid"]), pairs["token"], pairs["code"])


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


def code_stamp() -> str:
    """Where the packages are and when a file of theirs changed last: a server must not answer with old code."""
    packages = Path(__file__).resolve().parent.parent
    newest = number = 0
    for name in ("circuit_io", "flow_hooks", "gsr_plugin"):
        for folder, below, files in os.walk(packages / name):
            below[:] = [b for b in below if b != "__pycache__"]
            for file in files:
                number += 1
                newest = max(newest, Path(folder, file).stat().st_mtime_ns)
    return f"{packages} {number} {newest}".replace("\n", " ").replace("\t", " ")
