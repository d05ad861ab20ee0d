"""Arrays in `.npy` files, read as plain data: a pickle in one is taken apart by stand-ins that run nothing.

Source:
    numpy.org, `numpy.lib.format`: magic, header, and the array's bytes or a pickle of it.
"""

import io
import math
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from circuit_io.errors import InputError
from circuit_io.text import read_bytes

_PLAIN = re.compile(r"[biufUS]\d+")  # types whose values are their bytes
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_array(path: Path) -> Any:  # noqa: ANN401
    """What a `.npy` file holds: an array, or the object of an array without axes.

    Raises:
        InputError: no such file, no such array, or a pickle that holds more than arrays, texts, numbers and lists.
    """
    file = io.BytesIO(read_bytes(path))
    try:
        read_header = _HEADERS[np.lib.format.read_magic(file)]
        shape, is_fortran, dtype = read_header(file)
        if not dtype.hasobject:
            return _array(shape, dtype, is_fortran, file.read())
        found = _Unpickler(file).load()
    except Exception as e:  # NumPy and pickle raise what they have at hand on a garbled file
        what = f"{e}" or type(e).__name__
        raise InputError(f"cannot be read: {what[:200]}", path=path, mend="Download or unpack it again.") from e
    values = _value(found)
    return values.item() if isinstance(values, np.ndarray) and values.ndim == 0 else values


def _array(shape: tuple[int, ...], dtype: np.dtype[Any], is_fortran: bool, data: bytes) -> np.ndarray:
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{len(data)} bytes for an array of {shape}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")


class _Dtype:
    """Stands for `numpy.dtype`."""

    def __init__(self, code: str, *_: object) -> None:
        self.code, self.is_swapped = code, False

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.is_swapped = state[1] == (">" if sys.byteorder == "little" else "<")

    def made(self) -> np.dtype[Any]:
        if not _PLAIN.fullmatch(self.code):
            raise ValueError(f"an array of type {self.code[:20]}")
        return np.dtype(self.code).newbyteorder("S" if self.is_swapped else "=")


class _Array:
    """Stands for `numpy.ndarray`."""

    values: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, data = state
        if dtype.code != "O8":
            self.values = _array(shape, dtype.made(), is_fortran, data)
            return
        if len(data) != math.prod(shape):
            raise ValueError(f"{len(data)} objects for an array of {shape}")
        values = np.empty(len(data), object)
        for i, value in enumerate(data):
            values[i] = _value(value)
        self.values = values.reshape(shape)  # objects are listed by rows, whatever the order in memory


def _value(found: object) -> Any:  # noqa: ANN401
    return found.values if isinstance(found, _Array) else found


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, data: bytes) -> Any:  # noqa: ANN401
    return _array((1,), dtype.made(), False, data)[0].item()


def _encode(text: str, _: object) -> bytes:
    """How pickles of protocol 2 hold bytes."""
    return text.encode("latin-1")


_STAND_INS = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", name): function
       for core in ("core", "_core") for name, function in (("_reconstruct", _reconstruct), ("scalar", _scalar))},
}  # fmt: skip


class _Unpickler(pickle._Unpickler):  # the one in Python: that in C sets aside what a garbled file asks for
    """Reads arrays, texts, numbers, lists and dicts; refuses every pickle that wants anything else."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        """What stands for a class or function of NumPy."""
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it wants to call {module}.{name}")
        return _STAND_INS[module, name]
