"""Liberty text as a tree of groups, by our own scanner or by the optional `liberty-parser` package.

The scanner takes one statement per regular-expression match; groups that no column is made from (power, current-source
models, waveforms, variation tables of LVF) are passed over as one match. Comments and line continuations are blanked in
place, so a position in the text gives the line in the file. `liberty_native.py` reads the same tree faster.
"""

import re
from functools import cached_property
from typing import Any

from circuit_io.errors import Faults, InputError
from circuit_io.liberty_tree import ERRORS, STRING, Group, Source, blank_comments

MAX_DEPTH = 60  # of groups; the standard needs about eight

_STATEMENT = re.compile(
    rf"""[\s;]*+(?:
      (?P<close>\}})
    | (?P<name>[A-Za-z_][\w.]*+)\s*+(?:
        :\s*+(?P<value>{STRING}|[^;{{}}\n"]*+)
      | \((?P<args>(?:[^()"]++|{STRING}|\([^()"]*+\))*+)\)\s*+(?P<open>\{{)?
      )
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_BLANK = re.compile(r"[\s;]*+", re.ASCII)
_ARGUMENT = re.compile(rf"\s*({STRING}|[^,\"]+)\s*(?:,|\Z)?", re.DOTALL | re.ASCII)
_PASSED_OVER = re.compile(
    r"internal_power|(output|receiver|leakage|gate|pg|dynamic|switching|intrinsic|compact)_(current|capacitance"
    r"|parasitic|ccs)\w*|ccsn_\w*|ocv_\w*|em_\w*|electromigration|hyperbolic_noise\w*|noise_\w*|steady_state_\w*"
    r"|propagated_noise\w*|(rise|fall)_capacitance_range|normalized_driver_waveform|(input|output)_(voltage|ccb)\w*"
    r"|wire_load\w*|power_lut_template|power_supply|(base_)?curve\w*|sensitization|user_parameters|char_config"
    r"|(min|max)_pulse_width|fall_net_delay|rise_net_delay|dc_current\w*|pin_based_variation|operating_conditions"
)


def _nested(depth: int) -> str:
    inner = rf"[^{{}}\"]++|{STRING}"
    for _ in range(depth):
        inner = rf"[^{{}}\"]++|{STRING}|\{{(?:{inner})*+\}}"
    return rf"(?:{inner})*+\}}"


_TO_CLOSE = re.compile(_nested(5), re.DOTALL)


def unquote(text: str) -> str:
    """A value without its quotes and outer blanks."""
    text = text.strip()
    if len(text) > 1 and text[0] == '"' == text[-1]:
        text = text[1:-1]
        if "\\" in text:
            text = text.replace('\\"', '"')
    return text.strip()


def plain_value(text: str) -> str:
    """What stands after a colon, without quotes and outer blanks."""
    text = text.strip()
    return text if text[:1] != '"' else text[1:-1].strip() if "\\" not in text else unquote(text)


def arguments(text: str) -> list[str]:
    """What stands in parentheses, one text per argument, without quotes and outer blanks."""
    text = text.strip()
    if not text:
        return []
    if '"' not in text:
        return [part.strip() for part in text.split(",")]
    parts = _ARGUMENT.findall(text)
    if "\\" in text:
        return [unquote(part) for part in parts]
    return [part[1:-1].strip() if part[0] == '"' else part.strip() for part in parts]


class Scanner:
    """Scans one file into its `library` groups; faults are gathered, not raised."""

    def __init__(self, text: bytes, faults: Faults) -> None:
        """Take the text of one file."""
        self.text = blank_comments(text.decode("utf-8", ERRORS))
        self.source = Source(self.text, faults, len(text))
        self.libraries: list[Group] = []
        self._stack: list[Group] = []

    @cached_property
    def _last_quote(self) -> int:
        """Where the last string can end, or -1; one that starts there or later never closes."""
        at = len(self.text)
        while (at := self.text.rfind('"', 0, at)) >= 0:
            run = at
            while run and self.text[run - 1] == "\\":
                run -= 1
            if (at - run) % 2 == 0:
                break
        return at

    def scan(self) -> list[Group]:
        """All libraries of the file."""
        text, match, stack = self.text, _STATEMENT.match, self._stack
        at, end = 0, len(text)
        while at < end:
            found = match(text, at)
            if found is None:
                at = self._junk(at)
                continue
            at, kind = found.end(), found.lastgroup
            if kind == "open":
                at = self._open(found)
            elif not stack:
                self._outside(found)
            elif kind == "close":
                stack.pop().end = at
            elif kind == "value":
                stack[-1].attributes[found["name"]] = plain_value(found["value"])
            else:
                stack[-1].complex[found["name"]] = arguments(found["args"])
                if found["name"] == "include_file":
                    mend = "Paste its text in place, or pass both files to read_liberty if each is a whole library."
                    self.source.fault("include_file is not followed", found.start("name"), mend)
        for group in stack[-1:]:
            mend = "It is cut short, or a closing brace is missing."
            self.source.fault(f"the file ends inside {group.title}", group.at, mend)
        return self.libraries

    def _open(self, found: "re.Match[str]") -> int:
        name, at = found["name"], found.end()
        if self._stack and _PASSED_OVER.fullmatch(name):
            passed = _TO_CLOSE.match(self.text, at)
            if passed:
                return passed.end()
        group = Group(name, arguments(found["args"]), found.start("name"))
        if self._stack:
            self._stack[-1].groups.append(group)
        elif name == "library":
            self.libraries.append(group)
        else:
            self._outside(found)
        self._stack.append(group)
        if len(self._stack) > MAX_DEPTH:
            mend = "A Liberty file has about eight levels."
            self.source.fault(f"groups nested deeper than {MAX_DEPTH}", group.at, mend)
            self.source.faults.raise_if_any()
        return at

    def _outside(self, found: "re.Match[str]") -> None:
        if found.lastgroup == "close":
            self.source.fault('"}" closes nothing', found.start("close"), "Delete it.")
            return
        mend = "A Liberty file holds library (name) { ... }."
        self.source.fault(f'"{found["name"]}" stands outside a library', found.start("name"), mend)

    def _junk(self, at: int) -> int:
        """Note what is no statement and go to the next line."""
        blank = _BLANK.match(self.text, at)
        at = blank.end() if blank else at
        if at >= len(self.text):
            return at
        newline = self.text.find("\n", at)
        newline = len(self.text) if newline < 0 else newline
        shown = self.text[at : min(newline, at + 40)]
        if shown.startswith("/*"):
            self.source.fault("a comment is not closed", at, "Add */ where it ends.")
            return len(self.text)
        quote = self.text.find('"', at, newline)
        if quote >= max(0, self._last_quote):
            self.source.fault("a string is not closed", quote, 'Add " where it ends.')
            return len(self.text)
        self.source.fault(f"not a Liberty statement: {shown!r}", at, "Check quotes and braces here.")
        return newline


def scan(text: bytes, faults: Faults) -> tuple[list[Group], Source]:
    """The libraries of one file, and where they came from."""
    scanner = Scanner(text, faults)
    return scanner.scan(), scanner.source


def scan_with_liberty_parser(text: bytes, faults: Faults) -> tuple[list[Group], Source]:
    """The same tree by the package `liberty-parser`, which knows no line numbers.

    Raises:
        InputError: the package is not installed, or it refuses the file.
    """
    try:
        from liberty.parser import parse_multi_liberty
    except ImportError as e:
        mend = "pip install liberty-parser (GPL-3), or use backend='own'."
        raise InputError("backend 'liberty-parser' needs a package that is missing", mend=mend) from e
    plain = blank_comments(text.decode("utf-8", ERRORS))  # it would keep the backslash of a continuation in a name
    try:
        libraries = parse_multi_liberty(plain)
    except Exception as e:  # the package raises its own, assertion and value errors
        raise InputError(f"liberty-parser refuses the file: {e}", path=faults.path) from e
    return [_converted(group, 0) for group in libraries], Source("", faults, len(text))


def _converted(theirs: Any, depth: int) -> Group:  # noqa: ANN401
    group = Group(theirs.group_name, [_text(a) for a in theirs.args], 0)
    for attribute in theirs.attributes:
        if isinstance(attribute.value, list):
            group.complex[attribute.name] = [_text(v) for v in attribute.value]
        else:
            group.attributes[attribute.name] = _text(attribute.value)
    if depth < MAX_DEPTH:
        group.groups = [_converted(g, depth + 1) for g in theirs.groups]
    return group


def _text(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, float):
        return repr(value)
    return unquote(str(getattr(value, "value", value) if type(value).__name__ == "EscapedString" else value))
