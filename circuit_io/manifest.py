"""JSON files that come from outside, and manifest.json of the folders we write: schema, version, hashes of files."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from circuit_io.errors import Faults, InputError
from circuit_io.text import read_bytes, sha256_of_file

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Kind:
    """What a key of a JSON object may hold, in words and as a test; null counts as absent."""

    words: str
    test: Callable[[Any], bool]
    required: bool = False

    def must(self) -> "Kind":
        """The same, and the key may not be absent."""
        return Kind(self.words, self.test, required=True)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a JSON value is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_list(value: object, of: Callable[[Any], bool], length: int | None = None) -> bool:
    return isinstance(value, list) and length in (None, len(value)) and all(map(of, value))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and value not in (".", "..") and not set(value) & set("/\\\0")


TEXT = Kind("a text", _is_text)
TEXTS = Kind("a list of texts", lambda v: _is_list(v, _is_text))
LAYER_RANGE = Kind("two layer names", lambda v: _is_list(v, lambda name: isinstance(name, str) and name != "", 2))
FILE_NAME = Kind("a plain file name", _is_file_name)
NUMBER = Kind("a finite number", is_number)
COUNT = Kind("a whole number above 0", _is_count)
FLAG = Kind("true or false", lambda v: isinstance(v, bool))
NUMBERS = Kind("a list of finite numbers", lambda v: _is_list(v, is_number))
BOX = Kind("four finite numbers", lambda v: _is_list(v, is_number, 4))
TEXT_TABLE = Kind("an object of texts", lambda v: isinstance(v, dict) and all(map(_is_text, v.values())))
TEXTS_TABLE = Kind("an object of lists of texts", lambda v: isinstance(v, dict) and all(map(TEXTS.test, v.values())))
OBJECTS = Kind("a list of objects", lambda v: _is_list(v, lambda one: isinstance(one, dict)))
OBJECT = Kind("an object", lambda v: isinstance(v, dict))
NUMBER_TABLE = Kind("an object of finite numbers", lambda v: isinstance(v, dict) and all(map(is_number, v.values())))


def read_json_object(path: Path, *, mend: str = "") -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        InputError: the file cannot be read, or holds no JSON object.
    """
    return json_object(read_bytes(path), path=path, mend=mend)


def json_object(text: bytes | str, *, path: Path | str, mend: str = "") -> dict[str, Any]:
    """The JSON object in a text that came from `path`; see `read_json_object`."""
    try:
        found = json.loads(text)
    except ValueError as e:
        raise InputError(f"is no JSON: {e}", path=path, mend=mend) from e
    except RecursionError as e:
        raise InputError("is no JSON of ours: it is nested too deeply", path=path, mend=mend) from e
    if not isinstance(found, dict):
        raise InputError("holds no JSON object", path=path, mend=mend)
    return found


def check_kinds(found: Mapping[str, Any], kinds: Mapping[str, Kind], *, path: Path | str, mend: str = "") -> None:
    """Check the kinds of the known keys of an object; a key "a.b" is that of the object at "a".

    Raises:
        InputError: names each key that is missing or holds another kind of value.
    """
    faults = Faults(path)
    for name, kind in kinds.items():
        outer, _, inner = name.rpartition(".")
        place = found.get(outer) if outer else found
        if not isinstance(place, Mapping):
            continue  # the row of `outer` tells
        value = place.get(inner)
        if value is None and kind.required:
            faults.add(f'"{name}" is missing: expected {kind.words}', mend=mend)
        elif value is not None and not kind.test(value):
            shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
            faults.add(f'"{name}" is of the wrong kind: {shown}, expected {kind.words}', mend=mend)
    faults.raise_if_any()


def read_manifest(path: Path, *, schema: str, newest: int, made_by: str) -> dict[str, Any]:
    """manifest.json of folder `path` if it holds `schema` in a version we know.

    Raises:
        InputError: missing, no JSON object, another schema, or a newer version.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise InputError(f"has no {MANIFEST}", path=path, mend=f"Name a folder written by {made_by}.")
    manifest = read_json_object(file, mend=f"Write the folder again with {made_by}.")
    found = manifest.get("schema")
    if found != schema:
        raise InputError(f'schema "{schema}" expected, found {found!r}', path=file, mend=f"{made_by} writes it.")
    check_version(manifest, newest=newest, path=file)
    return manifest


def check_version(found: Mapping[str, Any], *, newest: int, path: Path | str) -> None:
    """Refuse a `schema_version` that is no version, or newer than `newest`."""
    version = found.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"schema_version {version!r} is no version", path=path)
    if version > newest:
        raise InputError(
            f"schema_version {version} is newer than {newest}, the newest known here",
            path=path,
            mend="Update gsr-plugin.",
        )


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
            found = sha256_of_file(folder / name)
        except OSError as e:
            faults.add(f'"{name}" cannot be read: {e.strerror}', mend=mend)
            continue
        if found != expected:
            faults.add(f'"{name}" has changed since it was written', mend=mend)
    faults.raise_if_any()


def to_json(content: object) -> bytes:
    """`content` as JSON with sorted keys; the same content gives the same bytes. NaN is refused."""
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode()
