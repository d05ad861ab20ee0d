"""Whole input files as bytes: plain or gzip by their first bytes, a cap against archive bombs, and line numbers."""

import gzip
import hashlib
import io
import zlib
from pathlib import Path

from circuit_io.errors import InputError

MAX_BYTES = 16 << 30  # of text after unpacking; a 1.1-million-inst flat netlist has half a gigabyte
PIECE = 1 << 24


def read_bytes(path: Path | str) -> bytes:
    """The file's bytes, unpacked if it starts with the gzip magic, whatever its name.

    Raises:
        InputError: the file is missing, unreadable, a broken archive, or unpacks to more than `MAX_BYTES`.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except IsADirectoryError as e:
        raise InputError("is a folder, not a file", path=path) from e
    except OSError as e:
        raise InputError(f"cannot be read: {e.strerror}", path=path, mend="Check the path and its permissions.") from e
    if data[:2] == b"\x1f\x8b":
        data = _gunzip(data, path)
    return data


def _gunzip(data: bytes, path: Path) -> bytes:
    text = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as f:
            while piece := f.read(PIECE):  # read(n) of a gzip file sets n bytes aside, however few there are
                if text.tell() + len(piece) > MAX_BYTES:
                    raise InputError(f"unpacks to more than {MAX_BYTES:,} bytes", path=path, mend="Give it unpacked.")
                text.write(piece)
    except (OSError, EOFError, zlib.error) as e:
        raise InputError(f"broken gzip archive: {e}", path=path, mend="Copy or compress the file again.") from e
    return text.getvalue()


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
