"""manifest.json of the folders we write: schema, version, and the hashes of the files beside it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from circuit_io.errors import Faults, InputError
from circuit_io.text import read_bytes

MANIFEST = "manifest.json"


def read_manifest(path: Path, *, schema: str, newest: int, made_by: str) -> dict[str, Any]:
    """manifest.json of folder `path` if it holds `schema` in a version we know.

    Raises:
        InputError: missing, no JSON, another schema, or a newer version.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise InputError(f"has no {MANIFEST}", path=path, mend=f"Name a folder written by {made_by}.")
    try:
        manifest = json.loads(read_bytes(file))
    except (ValueError, RecursionError) as e:
        raise InputError(f"is no JSON: {e}", path=file, mend=f"Write the folder again with {made_by}.") from e
    found = manifest.get("schema") if isinstance(manifest, dict) else None
    if found != schema:
        raise InputError(f'schema "{schema}" expected, found {found!r}', path=file, mend=f"{made_by} writes it.")
    version = manifest.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"schema_version {version!r} is no version", path=file)
    if version > newest:
        raise InputError(
            f"schema_version {version} is newer than {newest}, the newest known here",
            path=file,
            mend="Update gsr-plugin.",
        )
    return dict(manifest)


def check_files(folder: Path, manifest: Mapping[str, Any], *, mend: str) -> None:
    """Check that every file in the manifest's `files` is in `folder` and has its SHA-256.

    Raises:
        InputError: names each missing or changed file.
    """
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        raise InputError('lists no "files"', path=folder / MANIFEST, mend=mend)
    faults = Faults(folder)
    for name, expected in sorted(files.items()):
        if Path(name).name != name:
            faults.add(f'"{name}" is no plain file name')
            continue
        try:
            with (folder / name).open("rb") as f:
                found = hashlib.file_digest(f, "sha256").hexdigest()
        except OSError as e:
            faults.add(f'"{name}" cannot be read: {e.strerror}', mend=mend)
            continue
        if found != expected:
            faults.add(f'"{name}" has changed since it was written', mend=mend)
    faults.raise_if_any()


def to_json(content: object) -> bytes:
    """`content` as JSON with sorted keys; the same content gives the same bytes. NaN is refused."""
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode()
