"""The tab-separated files that Tcl reads: how a value is written so that it stays one field."""

import re
from functools import cache

from circuit_io.errors import InputError

_ODD = r"\x00-\x20\x7f%\udc80-\udcff"
_HEX = "0123456789ABCDEFabcdef"


def encode(value: str, also: str = "") -> str:
    """`value` with `%`, blanks, control signs, the signs of `also` and bytes that are not UTF-8 as %XX."""
    return _odd(also).sub(_percent, value)


@cache
def _odd(also: str) -> re.Pattern[str]:
    return re.compile(f"[{_ODD}{re.escape(also)}]")


def _percent(sign: re.Match[str]) -> str:
    code = ord(sign[0])
    return f"%{code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code:02X}"  # surrogateescape keeps bytes there


def decode(field: str) -> str:
    """The value that `encode` wrote.

    Raises:
        InputError: a `%` without two hexadecimal digits.
    """
    head, *parts = field.split("%")
    out = bytearray(head.encode("utf-8", "surrogateescape"))
    for part in parts:
        if len(part) < 2 or part[0] not in _HEX or part[1] not in _HEX:
            raise InputError(f'"%{part[:2]}" is no percent code', path="<field>", mend="Write a percent sign as %25.")
        out.append(int(part[:2], 16))
        out += part[2:].encode("utf-8", "surrogateescape")
    return out.decode("utf-8", "surrogateescape")


def number(value: float) -> str:
    """The shortest text that reads back as the same number; whole numbers without a point."""
    value = float(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
