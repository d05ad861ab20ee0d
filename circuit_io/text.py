"""Whole input files as bytes: plain or gzip by their first bytes, a cap against archive bombs, and line numbers."""

import gzip
import hashlib
import io
import zlib
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from circuit_io.errors import InputError

MAX_BYTES = 16 << 30  # of text after unpacking; a 1.1-million-inst flat netlist has half a gigabyte
MAX_RATIO = 200  # of text to archive; real files pack 10 to 30 times, zeros 1000 times
FREE_BYTES = 64 << 20  # that any archive may unpack to
PIECE = 1 << 24
_GZIP = b"\x1f\x8b"
_FILE = "Give a file, plain or gzip."
_NO_PIPE = (  # an export keeps the hash of every input, so it reads them twice
    "Give the file itself: x.gz in place of <(zcat x.gz), since gzip is unpacked here. "
    "Write what another program makes to a file first."
)


def read_bytes(path: Path | str) -> bytes:
    """The file's bytes, unpacked if it starts with the gzip magic, whatever its name.

    Raises:
        InputError: the file is missing, unreadable, no regular file (links are followed), a broken archive, or unpacks
            to more than `MAX_BYTES`, or to more than `FREE_BYTES` and `MAX_RATIO` times its size.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode  # before it is opened: that would wait for the writer of a pipe
        if not S_ISREG(mode):
            if S_ISDIR(mode):
                raise InputError("is a folder, not a file", path=path, mend=_FILE)
            raise InputError("is a pipe or a device, not a file", path=path, mend=_NO_PIPE)
        data = path.read_bytes()
    except (OSError, ValueError) as e:
        what = f"cannot be read: {getattr(e, 'strerror', None) or e}"
        raise InputError(what, path=path, mend="Check the path and its permissions.") from e
    if data[:2] == _GZIP:
        data = _gunzip(data, path)
    return data


def is_gzip(path: Path) -> bool:
    """Whether a file begins as an archive does, whatever its name."""
    with path.open("rb") as f:
        return f.read(2) == _GZIP


def _gunzip(data: bytes, path: Path) -> bytes:
    text, most = io.BytesIO(), min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * len(data)))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as f:
            while piece := f.read(PIECE):  # read(n) of a gzip file sets n bytes aside, however few there are
                if text.tell() + len(piece) > most:
                    raise InputError(f"unpacks to more than {most:,} bytes", path=path, mend="Give it unpacked.")
                text.write(piece)
    except (OSError, EOFError, zlib.error) as e:
        raise InputError(f"broken gzip archive: {e}", path=path, mend="Copy or compress the file again.") from e
    return text.getvalue()


def read_text(path: Path | str, mend: str, *, may_be_empty: bool = False) -> bytes:
    """The bytes of a text file, without a byte order mark.

    Raises:
        InputError: see `read_bytes`; it is binary, or empty unless that may be. `mend` is the remedy.
    """
    text = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    if (nul := text.find(b"\0")) >= 0:
        raise InputError("holds a NUL byte, so it is not text", path=path, line=line_of(text, nul), mend=mend)
    if not may_be_empty and (not text or text.isspace()):
        raise InputError("is empty", path=path, mend=mend)
    return text


def line_of(text: bytes, position: int) -> int:
    """The line number, from 1, of a byte position."""
    return text.count(b"\n", 0, position) + 1


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, without holding it."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
