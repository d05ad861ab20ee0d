"""From flat names to the modules they lie in: by the RTL, by a netlist with hierarchy, or by the names alone."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from circuit_io.name_parts import NameParts
from circuit_io.names import Names
from circuit_io.rtl import Rtl, RtlInstance, RtlModule
from circuit_io.verilog import Netlist

_DIVIDER = re.compile(r"[./]")
_UNNAMED = re.compile(r"genblk\d+")
_MADE = re.compile(r"(?:ANTENNA_|(?:clkbuf|clknet|delaybuf|delaynet)(?:_leaf|_opt|_regs)?(?:_\d+)*_)+")
_OWN = re.compile(rb"[\[$]")
_OWN_NAME = -2  # the row of a name that lies in no instance


@dataclass(frozen=True)
class Step:
    """An instance on the way to a name: the parts of the name up to it, its module, and where it is instantiated."""

    end: int
    module: str
    path: Path | None = None
    line: int = 0


@dataclass(frozen=True)
class Place:
    """An instance of a module in the design, with all its parents: `path` is empty for the top, whose parent is -1."""

    path: str
    module: str
    parent: int
    file: str = ""
    line: int = 0
    inst_file: str = ""
    inst_line: int = 0


@dataclass
class Hierarchy:
    """Finds the module of a flat name; `places` gains those that names were found in.

    Parts of a name are divided by `/` or `.`, backslashes are dropped, and the last part is the object's own.

    Attributes:
        source: "rtl", "netlist" or "names".
        find: the steps to a name by its parts without the last; None where the first part is not known.
        own: words that begin the names of the top's own nets and insts.
        modules: what RTL tells of modules.
        places: the top, then the others in the order in which they were found.
    """

    source: str
    find: Callable[[list[str]], list[Step] | None]
    own: frozenset[bytes]
    modules: dict[str, RtlModule]
    places: list[Place]
    is_single: bool = False  # all is in the top
    _rows: dict[tuple[str, ...], int] = field(default_factory=dict)
    _heads: dict[bytes, int] = field(default_factory=dict)

    def rows(self, names: Names) -> Int32[np.ndarray, " names"]:
        """The row in `places` of each name's module, -1 where the name does not tell.

        The work of a walk down the tree is done once for all names of the same module.
        """
        parts = NameParts(names)
        made = np.zeros(len(names), bool)
        if self.source != "netlist":  # that knows its insts one by one; others take _123_ for what the flow made
            made = parts.is_numbered()
        code, heads = parts.heads(~made)
        row = np.asarray([self._of_raw(head) for head in heads] + [_OWN_NAME], np.int32)
        out: Int32[np.ndarray, " names"] = row[code]
        mine = np.flatnonzero((out == _OWN_NAME) & ~made) if self.own else np.zeros(0, np.int64)
        out[out == _OWN_NAME] = -1
        code, words = parts.words(mine)
        out[mine] = np.asarray([self._of_own(word.replace(b"\\", b"")) for word in words], np.int32)[code]
        return out

    def _of_raw(self, raw: bytes) -> int:
        """The row of a head as it is in the blob, `_OWN_NAME` where it is but backslashes."""
        head = raw.replace(b"\\", b"")
        if head and head not in self._heads:
            self._heads[head] = self._of_head(head.decode("utf-8", "surrogateescape"))
        return self._heads[head] if head else _OWN_NAME

    def _of_own(self, word: bytes) -> int:
        """0 for what the top declares: the word of `count[3]`, `count[3]$_DFF_P_`, `count_reg[3]`, `count_reg_3_`."""
        return 0 if word in self.own or word.rpartition(b"_reg")[0] in self.own else -1

    def _of_head(self, head: str) -> int:
        made = _MADE.match(head)  # the flow put its word before the name of a net or inst
        parts = _DIVIDER.split(head[made.end() :] if made else head)
        steps = self.find(parts)
        if steps is None:
            return -1
        row = 0
        for step in steps:
            row = self._row(tuple(parts[: step.end]), step, row)
        return row

    def _row(self, parts: tuple[str, ...], step: Step, parent: int) -> int:
        row = self._rows.get(parts)
        if row is None:
            row = self._rows[parts] = len(self.places)
            self.places.append(_place("/".join(parts), step, parent, self.modules))
        return row


def _place(path: str, step: Step, parent: int, modules: dict[str, RtlModule]) -> Place:
    found = modules.get(step.module)
    return Place(
        path, step.module, parent,
        str(found.path) if found else "", found.line if found else 0, str(step.path or ""), step.line,
    )  # fmt: skip


def by_rtl(rtl: Rtl) -> Hierarchy:
    """The hierarchy of RTL modules below the top."""
    top, modules = rtl.modules[rtl.top], dict(rtl.modules)
    firsts = [i.name.partition(".")[0].partition("[")[0] for i in top.instances]
    own = frozenset(n.encode("utf-8", "surrogateescape") for n in (*top.signals, *top.blocks, *firsts))
    place = _place("", Step(0, top.name), -1, modules)
    is_single = not any(i.module in modules for i in top.instances)
    return Hierarchy("rtl", _RtlTree(modules, rtl.top).find, own, modules, [place], is_single)


@dataclass
class _Scope:
    """A generate block, or where an instance stands, in the names of one module."""

    inner: dict[str, "_Scope"] = field(default_factory=dict)
    instance: RtlInstance | None = None


class _RtlTree:
    def __init__(self, modules: dict[str, RtlModule], top: str) -> None:
        self.modules, self.top = modules, top
        self.scopes: dict[str, _Scope] = {}

    def scope(self, module: str) -> _Scope:
        """The names in a module, made when it is first met: RTL may instantiate itself."""
        root = self.scopes.get(module)
        if root is None:
            root = self.scopes[module] = _Scope()
            for instance in self.modules[module].instances:
                at = root
                for part in instance.name.split("."):
                    at = at.inner.setdefault(part.removesuffix("[*]"), _Scope())
                at.instance = at.instance or instance
        return root

    def find(self, parts: list[str]) -> list[Step] | None:
        """See `Hierarchy.find`; generate blocks without a name may be in the name as genblk1, or not at all."""
        module, at, steps, is_known = self.top, self.scope(self.top), [], False
        for k, part in enumerate(parts):
            word = part.partition("[")[0]
            inner = at.inner.get(part) or at.inner.get(word)
            if inner is None:
                if word in self.modules[module].blocks or _UNNAMED.fullmatch(word):
                    is_known = True
                    continue
                break
            at, is_known = inner, True
            if at.instance is not None:
                found = at.instance
                steps.append(Step(k + 1, found.module, found.path, found.line))
                if found.module not in self.modules:
                    break
                module, at = found.module, self.scope(found.module)
        return steps if is_known else None


def by_netlist(netlist: Netlist) -> Hierarchy:
    """The hierarchy of a netlist that was not flattened."""
    modules = netlist.module_names.tolist()
    paths = [tuple(_DIVIDER.split(p.replace("\\", ""))) for p in netlist.occ_name.tolist()]
    of_path = {p: modules[m] for p, m in zip(paths[1:], netlist.occ_module[1:].tolist(), strict=True)}

    def find(parts: list[str]) -> list[Step] | None:
        ends = [k for k in range(1, len(parts) + 1) if tuple(parts[:k]) in of_path]
        return [Step(k, of_path[tuple(parts[:k])]) for k in ends] or None

    at_top = np.flatnonzero(netlist.inst_occ == 0)
    own = frozenset(_OWN.split(netlist.inst_names.raw(int(i)).replace(b"\\", b""), 1)[0] for i in at_top)
    return Hierarchy("netlist", find, own, {}, [Place("", netlist.top, -1)])


def by_names(design: str) -> Hierarchy:
    """What the names alone show: every part but the last is an instance, of a module without a name."""

    def find(parts: list[str]) -> list[Step] | None:
        ends = next((k for k, part in enumerate(parts) if not part or "$" in part), len(parts))
        return [Step(k, "") for k in range(1, ends + 1)] or None

    return Hierarchy("names", find, frozenset(), {}, [Place("", design, -1)])
