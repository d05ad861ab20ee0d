"""Extensions built from C beside the package, loaded by ctypes, and the scanner of `circuit_io/csrc` among them.

Every reader has a path in Python alone. Where the scanner is built, it reads the bulk of a file: it returns the same
columns, or says that the text is not its own, and the reader goes the Python path. `GSR_SCANNER=python` keeps to
Python; `GSR_SCANNER=c` insists on the scanner.
"""

import ctypes
import logging
import os
import weakref
from collections.abc import Callable
from ctypes import POINTER, Structure, c_bool, c_char_p, c_int64, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from circuit_io.errors import InputError
from circuit_io.names import Names

VARIABLE = "GSR_SCANNER"
BUILD = "python setup.py build_ext --inplace"
_DONE, _NUMBERS, _COLUMNS = 0, 7, 64  # as in scan.h
_log = logging.getLogger(__name__)


def extension(stem: Path, declare: Callable[[ctypes.CDLL], ctypes.CDLL], *, otherwise: str) -> ctypes.CDLL | None:
    """The extension whose path without suffix is `stem`, or None where it was not built or cannot be used.

    Args:
        stem: path without the suffix that names Python, processor and system.
        declare: sets the types of its functions; an `AttributeError` means that it is out of date.
        otherwise: what happens without it, for the warning about one that cannot be used.
    """
    for path in (stem.with_name(stem.name + suffix) for suffix in EXTENSION_SUFFIXES):
        if path.is_file():
            try:
                return declare(ctypes.CDLL(str(path)))
            except (OSError, AttributeError) as err:
                _log.warning("%s cannot be used (%s): %s", path, err, otherwise)
    return None


class _Column(Structure):
    _fields_ = [("data", c_void_p), ("size", c_int64), ("room", c_int64), ("failed", c_bool)]


class _Result(Structure):
    _fields_ = [("status", c_int64), ("number", c_int64 * _NUMBERS), ("column", _Column * _COLUMNS)]


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    lib.scan_drop.argtypes, lib.scan_drop.restype = [c_void_p, c_int64], None
    lib.scan_free.argtypes, lib.scan_free.restype = [c_void_p], None
    return lib


@cache
def library() -> ctypes.CDLL | None:
    """The scanner, or None where it was not built."""
    return extension(Path(__file__).with_name("_scan"), _declared, otherwise="files are read in Python")


def function(name: str) -> "ctypes._NamedFuncPointer | None":
    """A function of the C code, or None where Python has to do its work.

    Raises:
        InputError: `GSR_SCANNER` is neither `python` nor `c`, or is `c` and there is no such function.
    """
    choice = os.environ.get(VARIABLE, "")
    if choice not in ("", "python", "c"):
        raise InputError(
            f'{VARIABLE} is "{choice}"', path="environment", mend='Set it to "python" or "c", or unset it.'
        )
    if choice == "python":
        return None
    lib = library()
    found = getattr(lib, name, None)
    if found is None and choice == "c":
        what = f"{VARIABLE} is c, but the C scanner is not built" + (" anew since it changed" if lib else "")
        raise InputError(what, path="environment", mend=f"Build it (`{BUILD}`), or unset {VARIABLE}.")
    return found


def scan(name: str, text: bytes, *where: int | Int64[np.ndarray, " n"]) -> "Columns | None":
    """What function `name` of the scanner makes of `text`, or None when the reader has to read it in Python.

    Args:
        name: a function of `circuit_io/csrc` with the arguments that scan.h describes.
        text: the whole text.
        where: positions in the text, and other whole numbers that the function asks for.

    Raises:
        InputError: as `function`.
    """
    found = function(name)
    if found is None:
        return None
    found.argtypes, found.restype = [c_char_p, c_int64, c_void_p, c_int64], POINTER(_Result)
    numbers = np.concatenate([np.zeros(0, np.int64), *map(np.atleast_1d, where)])
    result, lib = found(text, len(text), numbers.ctypes.data, len(numbers)), library()
    columns = Columns(lib, result) if lib and result else None
    return columns if columns and columns.is_done else None


class Columns:
    """The columns of one result by number; each can be taken once, and leaves the scanner's memory then."""

    def __init__(self, lib: ctypes.CDLL, result: "ctypes._Pointer[_Result]") -> None:
        """`result` is freed with this object."""
        self._lib, self._at = lib, ctypes.addressof(result.contents)
        self._result = result.contents
        self.is_done: bool = self._result.status == _DONE
        self.numbers: list[int] = list(self._result.number)
        weakref.finalize(self, lib.scan_free, self._at)

    def array(self, column: int, dtype: type[np.generic], *shape: int) -> np.ndarray[Any, np.dtype[Any]]:
        """The numbers of a column, as rows of `shape` each."""
        return np.frombuffer(self.raw(column), dtype).reshape(-1, *shape)

    def raw(self, column: int) -> bytearray:
        """The bytes of a column."""
        found = self._result.column[column]
        data = bytearray((ctypes.c_char * found.size).from_address(found.data)) if found.size else bytearray()
        self._lib.scan_drop(self._at, column)
        return data

    def names(self, blob: int, offsets: int) -> Names:
        """The table of names of two columns."""
        found = self._result.column[blob]
        text = ctypes.string_at(found.data, found.size) if found.size else b""
        self._lib.scan_drop(self._at, blob)
        return Names(text, self.array(offsets, np.int64))
