"""Writes that are whole or absent: to a temporary name beside the target, then renamed."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from circuit_io.errors import InputError

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
    _refuse_folder(target, schema, overwrite=overwrite)
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
        InputError: one of them exists and `overwrite` is not set, or the disk refuses; nothing has changed then.
    """
    refuse_existing(files, overwrite=overwrite)
    temporaries: dict[Path, Path] = {}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
            temporaries[path] = temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary.write_bytes(data)
        for path, temporary in temporaries.items():
            temporary.replace(path)
    except OSError as e:
        raise _cannot_write(Path(e.filename or next(iter(files))), e) from e
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


def refuse_existing(files: Iterable[Path], *, overwrite: bool = False) -> None:
    """Check before long work that files can be written afterwards.

    Raises:
        InputError: one of them is a folder, or exists and `overwrite` is not set.
    """
    for path in files:
        if path.is_dir():
            raise InputError("is a folder, not a file", path=path, mend="Name a file.")
        if path.exists() and not overwrite:
            raise InputError("exists already", path=path, mend=_OVERWRITE)


def _refuse_folder(target: Path, schema: str, *, overwrite: bool) -> None:
    if not (target.exists() or target.is_symlink()):
        return
    if not target.is_dir():
        raise InputError("exists and is not a folder", path=target, mend="Choose another --out.")
    if not any(target.iterdir()):
        return
    if not overwrite:
        raise InputError("exists already", path=target, mend=_OVERWRITE)
    try:
        found = json.loads((target / "manifest.json").read_text("utf-8"))["schema"]
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if found != schema:
        raise InputError(
            f'holds no "{schema}", so it is not replaced',
            path=target,
            mend="Remove the folder yourself, or choose another --out.",
        )


def _swap(temporary: Path, target: Path) -> None:
    if not target.exists():
        temporary.rename(target)
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.rename(old)
    try:
        temporary.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cannot_write(path: Path, e: OSError) -> InputError:
    return InputError(f"cannot be written: {e.strerror or e}", path=path, mend="Check space and permissions.")
