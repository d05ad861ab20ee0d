"""The tab-separated files that Tcl reads: how a value is written so that it stays one field."""

from circuit_io.errors import InputError

_HEX = "0123456789ABCDEFabcdef"


def encode(value: str, also: str = "") -> str:
    """`value` with `%`, blanks, control signs, the signs of `also` and bytes that are not UTF-8 as %XX."""
    out = []
    for sign in value:
        code = ord(sign)
        if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, kept by surrogateescape
            out.append(f"%{code - 0xDC00:02X}")
        elif code <= 0x20 or code == 0x7F or sign == "%" or sign in also:
            out.append(f"%{code:02X}")
        else:
            out.append(sign)
    return "".join(out)


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
