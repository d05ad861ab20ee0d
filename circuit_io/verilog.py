"""Structural Verilog netlists, flattened, as typed columns.

Read: modules, instances (pins by name or place, several per statement, `#(...)` passed over), vectors, concatenations,
constants, assigns of nets, supply nets, ANSI headers, `ifdef with given defines. Everything else is an `InputError`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from circuit_io.elaborate import Elaborator, Flat
from circuit_io.errors import InputError, did_you_mean, listed
from circuit_io.verilog_modules import ModuleTable, read_modules
from circuit_io.verilog_plan import Planner

__all__ = ["Netlist", "read_verilog"]


@dataclass(frozen=True)
class Netlist(Flat):
    """A flat netlist.

    Instance and net names are paths from the top, divided by `/`; a slash inside a name is `\\/`; the backslash and
    the blank around an escaped name are dropped. A net is named by its highest and first declared part, ports first.
    Pins that are tied to a constant are in `const_*` and on no net; `conn_inst` and `const_inst` are -1 for a port of
    the top, whose name is then in `conn_pin`; `port_net` is -1 for a port that is constant. Nets without pins are left
    out. A vector on a pin of a library cell that the file does not describe is taken as [width-1:0].
    A module that holds nothing but its ports counts as a library cell. Occurrence 0 is the top, its name is empty;
    `occ_name` holds paths.
    """

    top: str

    @property
    def num_insts(self) -> int:
        """Library cells and macros, not modules."""
        return len(self.inst_master)

    @property
    def num_nets(self) -> int:
        """Nets that have a pin or a port."""
        return len(self.net_names)


def read_verilog(
    path: Path | str | Iterable[Path | str], top: str | None = None, *, defines: Iterable[str] = ()
) -> Netlist:
    """The netlist of one or more files (plain or gzip), flattened below `top`.

    Args:
        path: a file, or several whose modules belong together.
        top: the module to flatten; may be left out where only one is not instantiated by another.
        defines: macros for `ifdef and text, as NAME or NAME=TEXT.

    Raises:
        InputError: behavioural code, expressions, a module defined twice, an unknown port, a file cut short, no top.
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    table = read_modules(paths, defines)
    name = _find_top(table, top, paths)
    flat = Elaborator(Planner(table, name)).run()
    return Netlist(**{f.name: getattr(flat, f.name) for f in fields(flat)}, top=name.decode("utf-8", "surrogateescape"))


def _find_top(table: ModuleTable, top: str | None, paths: list[Path | str]) -> bytes:
    modules = table.modules
    known = [name.decode("utf-8", "replace") for name in modules]
    path = ", ".join(str(p) for p in paths)
    if top is not None:
        name = top.encode("utf-8", "surrogateescape")
        if name not in modules:
            raise InputError(f'no module "{top}"', path=path, mend=did_you_mean(top, known))
        return name
    used = {name.removeprefix(b"\\") for name in table.names.masters}
    free = [name for name in modules if name not in used]
    filled = [name for name in free if not modules[name].is_stub]
    choice = filled or free
    if len(choice) == 1:
        return choice[0]
    if not choice:
        raise InputError(
            "every module is instantiated by another, so there is no top", path=path, mend="Name one: top=..."
        )
    shown = listed((name.decode("utf-8", "replace") for name in choice[:10]), len(choice))
    raise InputError(f"{len(choice)} modules could be the top: {shown}", path=path, mend="Name one: top=...")
