import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_io.name_parts import NameParts
from circuit_io.names import Names

NAMES = st.lists(st.text("ab/.[$\\_12é", max_size=8), max_size=30)


@settings(deadline=None)
@given(NAMES)
def test_parts_are_those_found_name_by_name(texts: list[str]) -> None:
    names = Names.of(texts)
    parts, raw = NameParts(names), names.raw_list()
    code, heads = parts.heads(np.ones(len(raw), bool))
    assert [heads[c] if c >= 0 else b"" for c in code] == [n[: max(n.rfind(b"/"), n.rfind(b"."), 0)] for n in raw]
    assert len(set(heads)) == len(heads)
    assert sorted(code[code >= 0], key=lambda c: list(code).index(c)) == sorted(code[code >= 0]), "first come, first"
    rows = np.arange(0, len(raw), 2)
    code, words = parts.words(rows)
    assert [words[c] for c in code] == [re.split(rb"[\[$]", n, maxsplit=1)[0] for n in raw[::2]]
    assert parts.is_numbered().tolist() == [n[:1] == b"_" and n[1:-1].isdigit() for n in raw]
