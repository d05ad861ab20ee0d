"""Liberty text as a tree of groups, by the C scanner (`csrc/scan_liberty.c`): the same tree, or None.

The scanner returns one row per statement, its texts without repeats and all table values as numbers. Here the groups
are put together; every distinct text is cleaned once, by the functions that the Python path uses.
"""

import itertools

import numpy as np

from circuit_io import native
from circuit_io.errors import Faults
from circuit_io.liberty_text import arguments, plain_value
from circuit_io.liberty_tree import Group, Indices, Source, TableText

# columns and kinds of statements, as in scan_liberty.c
_KIND, _NAME, _TEXT, _AT, _NAMES, _VALUES, _ARGUMENTS = 0, 1, 2, 3, 4, 6, 8
_TABLES, _INDICES, _NUMBERS, _NUMBER_ENDS = 10, 11, 12, 13
_CLOSE, _OPEN, _VALUE, _COMPLEX, _TABLE = range(5)


def scan_natively(text: bytes, faults: Faults) -> tuple[list[Group], Source] | None:
    """The libraries of one file, and where they came from; None if Python has to read it."""
    found = native.scan("scan_liberty", text)
    return None if found is None else (_tree(found), Source(text, faults, len(text)))


def _tree(found: native.Columns) -> list[Group]:
    names, values, texts = (found.names(i, i + 1).tolist() for i in (_NAMES, _VALUES, _ARGUMENTS))
    values, lists = [plain_value(v) for v in values], [arguments(t) for t in texts]
    tables = _tables(found, lists)
    columns = [found.array(c, d).tolist() for c, d in ((_KIND, np.int8), (_NAME, np.int32), (_TEXT, np.int32))]
    top = group = Group("", [], 0)
    stack: list[Group] = []
    for kind, name, text, at in zip(*columns, found.array(_AT, np.int64).tolist(), strict=True):
        if kind == _VALUE:
            group.attributes[names[name]] = values[text]
        elif kind == _TABLE:
            group.groups.append(TableText(names[name], at, *tables[text]))
        elif kind == _OPEN:
            stack.append(group)
            group = Group(names[name], lists[text], at)
            stack[-1].groups.append(group)
        elif kind == _CLOSE:
            group.end = at
            group = stack.pop()
        else:
            group.complex[names[name]] = lists[text]
    return top.of("library")


def _tables(found: native.Columns, lists: list[list[str]]) -> list[tuple[list[str], Indices, np.ndarray]]:
    """Arguments, indices and values of each table; equal indices are one object."""
    indices: list[Indices] = [
        tuple(tuple(lists[i]) if i >= 0 else () for i in row) for row in found.array(_INDICES, np.int32, 3).tolist()
    ]
    numbers, ends = found.array(_NUMBERS, np.float64), found.array(_NUMBER_ENDS, np.int64).tolist()
    rows = found.array(_TABLES, np.int32, 2).tolist()
    spans = itertools.pairwise(ends)
    return [(lists[a], indices[i], numbers[start:stop]) for (a, i), (start, stop) in zip(rows, spans, strict=True)]
