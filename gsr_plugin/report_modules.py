"""The modules of hot spots in a report."""

from collections.abc import Mapping, Sequence
from typing import Any

from circuit_io.module_shares import ModuleInSpot
from gsr_plugin.document import Block, Cell, Code, Paragraph, Table

SOURCES = {"rtl": "the RTL", "netlist": "the hierarchy of the netlist", "names": "the names of insts and nets"}


def modules_paragraph(manifest: Mapping[str, Any]) -> Paragraph:
    """Where modules were taken from, and for how much of the cell area."""
    said = manifest.get("modules") or {}
    share = {way: 100 * frac for way, frac in (said.get("area_frac") or {}).items()}
    text = (
        f"Modules are those of {SOURCES.get(str(said.get('source')), 'the design')}. Of the design's cell area, "
        f"{share.get('name', 0):.0f} % is laid to a module by the insts' own names, {share.get('net', 0):.0f} % by the "
        f"names of nets that they drive, {share.get('neighbours', 0):.0f} % because at least half of their "
        f"connections lead to one module; {share.get('none', 0):.0f} % is of no known module. An inst counts for the "
        "module that it is in itself, not for those above, and a net's demand for the module of its driver. What is of "
        "no known module feeds the one that most of the signals it leads to lie in."
    )
    return Paragraph(text)


def modules_table(modules: Sequence[ModuleInSpot]) -> list[Block]:
    """The modules of one hot spot, with what is not known last."""
    if not modules:
        return []
    rows: list[list[Cell]] = [
        [Code(m.name) if m.name else "not known", Code(m.source) if m.source else "-", _paths(m),
         *(f"{100 * share:.1f} %" if m.name or i % 2 == 0 else "" for i, share in enumerate(
             (m.area_frac, m.area_feeds_frac, m.demand_frac, m.demand_feeds_frac)))]
        for m in modules
    ]  # fmt: skip
    columns = ["module", "RTL", "instances", "cell area", "area that feeds it", "demand", "demand that feeds it"]
    return [Table(columns, rows, frozenset({3, 4, 5, 6}))]


def first_modules(modules: Sequence[ModuleInSpot]) -> Cell:
    """The two largest modules of a hot spot in a line, each with its place in the RTL."""
    out: list[str | Code] = []
    for module in [m for m in modules if m.is_notable][:2]:
        out += [", "] if out else []
        out.append(Code(module.name))
        out += [f" ({module.source})"] if module.source else []
    return tuple(out) or "-"


def _paths(module: ModuleInSpot) -> Cell:
    if not module.paths:
        return "-"
    first = Code(module.paths[0]) if module.paths[0] else "the top"
    more = len(module.paths) - 1
    return (first, f" and {more} more") if more else first
