"""Writes that are whole or absent: to a temporary name beside the target, then renamed."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from circuit_io.errors import InputError
from circuit_io.manifest import MANIFEST, read_json_object

_OVERWRITE = "Pass --overwrite to replace it, or choose another --out."


@contextmanager
def new_folder(path: Path | str, *, schema: str, overwrite: bool = False) -> Iterator[Path]:
    """An empty temporary folder that becomes `path` when the block ends well, and vanishes when it does not.

    Args:
        path: the folder to make.
        schema: what the folder holds; only a folder whose manifest.json names the same schema is ever replaced.
        overwrite: replace such a folder; the old one stays until the new one is complete.

    Raises:
        InputError: the target exists and may not be replaced, or the disk refuses.
    """
    target = Path(path)
    refuse_folder(target, schema=schema, overwrite=overwrite)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    except OSError as e:
        raise _cannot_write(target, e) from e
    try:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        _swap(temporary, target)
    except OSError as e:
        raise _cannot_write(target, e) from e
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_files(files: Mapping[Path, bytes | str], *, overwrite: bool = False) -> None:
    """Write several files that belong together; all are complete before the first takes its name.

    Raises:
        InputError: one of them exists and `overwrite` is not set, or the disk refuses; nothing has changed then,
            unless it was a rename that was refused.
    """
    refuse_existing(files, overwrite=overwrite)
    temporaries: dict[Path, Path] = {}
    target = Path()
    try:
        for target, content in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
            handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
            temporaries[target] = Path(name)
            with open(handle, "wb") as f:  # noqa: PTH123 - of a handle
                os.fchmod(handle, 0o666 & ~_umask())
                f.write(data)
                f.flush()
                os.fsync(f.fileno())  # a rename may reach the disk before the bytes do
        for target, temporary in temporaries.items():
            temporary.replace(target)
    except OSError as e:
        raise _cannot_write(target, e) from e
    finally:
        for temporary in temporaries.values():
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write one file over an older one; a killed run leaves the last good file. See `write_files`."""
    write_files({path: content}, overwrite=True)


def refuse_existing(files: Iterable[Path], *, overwrite: bool = False) -> None:
    """Check before long work that files can be written afterwards; no folder is made.

    Raises:
        InputError: one of them is a folder, or exists and `overwrite` is not set, or the disk refuses.
    """
    for path in files:
        if path.is_dir():
            raise InputError("is a folder, not a file", path=path, mend="Name a file.")
        if path.exists() and not overwrite:
            raise InputError("exists already", path=path, mend=_OVERWRITE)
        there = next((folder for folder in path.parents if folder.exists()), path.parent)
        try:  # nothing is made yet: long work may still fail
            tempfile.TemporaryFile(dir=there).close()
        except OSError as e:
            raise _cannot_write(path, e) from e


def refuse_folder(target: Path, *, schema: str, overwrite: bool = False) -> None:
    """Check before long work that a folder can be written afterwards; an empty one may always be.

    Raises:
        InputError: it is no folder, exists and `overwrite` is not set, or holds another schema.
    """
    if not (target.exists() or target.is_symlink()):
        return
    if not target.is_dir():
        raise InputError("exists and is not a folder", path=target, mend="Choose another --out.")
    try:
        if not any(target.iterdir()):
            return
    except OSError as e:
        raise _cannot_write(target, e) from e
    if not overwrite:
        raise InputError("exists already", path=target, mend=_OVERWRITE)
    try:
        found = read_json_object(target / MANIFEST).get("schema")
    except InputError:
        found = None
    if found != schema:
        raise InputError(
            f'holds no "{schema}", so it is not replaced',
            path=target,
            mend="Remove the folder yourself, or choose another --out.",
        )


def _swap(temporary: Path, target: Path) -> None:
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    old = aside / "old"  # the folder, or the link to it
    try:
        with suppress(FileNotFoundError):  # there is none, or another process has just taken it
            target.rename(old)
        try:
            temporary.rename(target)
        except OSError:
            if os.path.lexists(old) and not target.exists():
                old.rename(target)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cannot_write(path: Path, e: OSError) -> InputError:
    full = "the disk is full: " if e.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return InputError(f"cannot be written: {full}{e.strerror or e}", path=path, mend="Check space and permissions.")
