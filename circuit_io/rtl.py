"""RTL: which modules there are, where they stand, and what they instantiate; read with pyverilog (extra `rtl`)."""

import io
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from circuit_io.collector import collector_paused
from circuit_io.errors import InputError, did_you_mean, listed
from circuit_io.rtl_skeleton import NoEnd, skeleton
from circuit_io.rtl_text import Line, Macro, macros_of, read_rtl_text

MAX_LENIENT = 4 << 20
_LINE = re.compile(r"line:(\d+).*?(before: .*|Illegal character .*)$", re.DOTALL)
_MEND = "Verilog 2005 is read here; bring SystemVerilog into that form first (sv2v)."


@dataclass(frozen=True)
class RtlInstance:
    """An instance: its name with the generate blocks around it, as `row[*].column[*].u_pe`; `*` is any index.

    Blocks without a name are left out. `module` need not be one of those that were read.
    """

    name: str
    module: str
    path: Path
    line: int


@dataclass(frozen=True)
class RtlModule:
    """A module, its lines, its instances and the names that it declares (ports, nets, variables, blocks)."""

    name: str
    path: Path
    line: int
    end_line: int
    instances: tuple[RtlInstance, ...]
    signals: frozenset[str]
    blocks: frozenset[str]


@dataclass(frozen=True)
class Rtl:
    """The modules of a design by name, the one at the top, and what could not be read."""

    modules: Mapping[str, RtlModule]
    top: str
    warnings: tuple[str, ...] = ()


def read_rtl(
    *paths: Path | str,
    top: str | None = None,
    defines: Iterable[str] = ("SYNTHESIS",),
    include: Sequence[Path | str] = (),
    is_lenient: bool = False,
) -> Rtl:
    """The module tree of RTL files.

    Parameters, conditions and the bounds of generate loops are not evaluated: an instance stands for all of its
    indices, and every arm of a generate construct counts.

    Args:
        paths: the files, in the order of synthesis: macros that one defines hold in those after it.
        top: the module at the top; may be left out where only one is not instantiated.
        defines: macros, as NAME or NAME=TEXT.
        include: folders where `include looks, after that of the file itself.
        is_lenient: a file that cannot be read becomes a warning, and so does a module that is there twice, and a file
            of more than `MAX_LENIENT` bytes, which would take minutes.

    Raises:
        InputError: no pyverilog; a file that is not Verilog 2005, or ends too early; a module defined twice; no top.
    """
    macros = macros_of(defines)
    modules: dict[str, RtlModule] = {}
    said: list[str] = []
    _parser()
    for path in map(Path, paths):
        if is_lenient and path.is_file() and path.stat().st_size > MAX_LENIENT:
            said.append(f"{path}: larger than {MAX_LENIENT >> 20} MiB, so it is taken for a netlist and left out")
            continue
        try:
            found = _read_file(path, macros, [Path(p) for p in include])
            for module in found:
                _add(modules, module)
        except InputError as e:
            if not is_lenient:
                raise
            said.append(str(e).replace("\n ", ""))
    return Rtl(modules, _find_top(modules, top, list(paths)), tuple(said))


def _add(modules: dict[str, RtlModule], module: RtlModule) -> None:
    other = modules.setdefault(module.name, module)
    if other is not module:
        what = f'module "{module.name}" is defined already in {other.path}:{other.line}'
        raise InputError(what, path=module.path, line=module.line, mend="Leave one of the two out.")


def _find_top(modules: Mapping[str, RtlModule], top: str | None, paths: Sequence[Path | str]) -> str:
    path = ", ".join(map(str, paths)) or "RTL"
    if top is not None:
        if top not in modules:
            raise InputError(f'no module "{top}"', path=path, mend=did_you_mean(top, modules))
        return top
    used = {i.module for m in modules.values() for i in m.instances}
    free = [name for name in modules if name not in used]
    if len(free) == 1:
        return free[0]
    shown = listed(free[:10], len(free))
    what = f"{len(free)} modules could be the top: {shown}" if free else "no module could be the top"
    raise InputError(what, path=path, mend="Name one: top=...")


def _read_file(path: Path, macros: dict[bytes, Macro], include: Sequence[Path]) -> list[RtlModule]:
    text, origin = read_rtl_text(path, macros, include)

    def place(line: int) -> Line:
        return origin[min(max(line, 1), len(origin)) - 1] if origin else (path, line)

    parser = _parser()
    try:
        reduced = skeleton(text)
        if not reduced.strip():
            return []  # macros alone
        parser.lexer.reset_lineno()
        with _quiet(), collector_paused():
            source = parser.parse(reduced)
            return [_module(d, place) for d in source.description.definitions if type(d).__name__ == "ModuleDef"]
    except NoEnd as e:
        where, line = place(e.line)
        raise InputError(str(e), path=where, line=line, mend="Give the whole file.") from e
    except RecursionError as e:
        raise InputError("is nested too deep", path=path, mend=_MEND) from e
    except Exception as e:  # pyverilog raises what it has at hand
        found = _LINE.search(str(e))
        where, line = place(int(found[1])) if found else (path, 0)
        what = found[2].replace("before:", "not understood at") if found else f"not understood: {e}"
        raise InputError(what, path=where, line=line, mend=_MEND) from e


def _module(node: Any, place: Callable[[int], Line]) -> RtlModule:  # noqa: ANN401
    """A module from its syntax tree."""
    path, line = place(node.lineno)
    instances: list[RtlInstance] = []
    signals: set[str] = set()
    blocks: set[str] = set()
    ports = list(getattr(node.portlist, "ports", None) or ())
    stack: list[tuple[Any, tuple[str, ...], bool]] = [(n, (), False) for n in [*reversed(node.items or ()), *ports]]
    while stack:
        item, scope, is_loop = stack.pop()
        match type(item).__name__:
            case "Block":
                inner = scope
                if item.scope is not None:
                    blocks.add(item.scope)
                    inner = (*scope, item.scope + ("[*]" if is_loop else ""))
                stack += [(s, inner, False) for s in reversed(item.statements or ())]
            case "ForStatement":
                stack.append((item.statement, scope, True))
            case "IfStatement":
                stack += [(s, scope, False) for s in (item.false_statement, item.true_statement) if s is not None]
            case "GenerateStatement":
                stack += [(s, scope, False) for s in reversed(item.items or ())]
            case "InstanceList":
                for one in item.instances:
                    name = _plain(one.name) + ("[*]" if one.array is not None else "")
                    if name:
                        at = place(one.lineno or item.lineno)
                        instances.append(RtlInstance(".".join((*scope, name)), _plain(item.module), *at))
            case "Decl":
                signals.update(_plain(s.name) for s in item.list if getattr(s, "name", None))
            case "Ioport":
                signals.add(_plain(item.first.name))
            case "Port":
                signals.add(_plain(item.name))
    end = place(node.end_lineno)[1]
    return RtlModule(_plain(node.name), path, line, end, tuple(instances), frozenset(signals), frozenset(blocks))


def _plain(name: str) -> str:
    return name.removeprefix("\\")


@contextmanager
def _quiet() -> Iterator[None]:
    """No word of pyverilog or ply on stdout and stderr, and no warning about their files."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@cache
def _parser() -> Any:  # noqa: ANN401
    """pyverilog's parser; it builds its tables anew in every process (a second), and writes them where we say."""
    with _quiet(), tempfile.TemporaryDirectory(prefix="gsr_rtl_") as work:
        try:
            from pyverilog.vparser.parser import VerilogParser
        except ImportError as e:
            mend = "pip install 'gsr-plugin[rtl]'"
            raise InputError("RTL is read with pyverilog, which is not installed", path="--rtl", mend=mend) from e
        return VerilogParser(outputdir=work, debug=False)
