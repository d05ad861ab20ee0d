"""The modules of a design for its export: from RTL, from a netlist with hierarchy, or from names."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from circuit_io.design import Design
from circuit_io.errors import InputError
from circuit_io.hierarchy import Hierarchy, by_names, by_netlist, by_rtl
from circuit_io.module_map import WAYS, ModuleMap, coverage, map_modules, module_table
from circuit_io.nodes import Nodes
from circuit_io.rtl import read_rtl
from circuit_io.verilog import Netlist


@dataclass(frozen=True)
class RtlSources:
    """RTL files and how to read them; with `is_lenient`, what is wrong with them is a warning."""

    paths: Sequence[Path] = ()
    defines: Sequence[str] = ()
    include: Sequence[Path] = ()
    is_lenient: bool = False


@dataclass(frozen=True)
class Modules:
    """What is known of modules: nothing, where names and files show no hierarchy."""

    found: ModuleMap | None = None
    warnings: Sequence[str] = field(default_factory=tuple)

    def tables(
        self, insts: pa.Table, nets: pa.Table, nodes: Nodes
    ) -> tuple[pa.Table, pa.Table, dict[str, pa.Table], dict[str, Any]]:
        """Insts and nets with `module` and `feeds`, the table of modules, and what the manifest says of them."""
        if self.found is None:
            return insts, nets, {}, {}
        ports = np.full(len(nodes.port), -1, np.int32)
        module = np.concatenate([self.found.inst_module[nodes.inst], ports])
        feeds = np.concatenate([self.found.inst_feeds[nodes.inst], ports])
        ways = np.concatenate([self.found.inst_way[nodes.inst], np.zeros(len(ports), np.int8)])
        insts = insts.append_column("module", pa.array(module))
        insts = insts.append_column("module_by", pa.array([WAYS[w] for w in ways.tolist()], pa.string()))
        insts = insts.append_column("feeds", pa.array(feeds))
        nets = nets.append_column("module", pa.array(self.found.net_module))
        nets = nets.append_column("feeds", pa.array(self.found.net_feeds))
        kept = slice(0, len(nodes.inst))
        area = (np.asarray(insts["width_um"]) * np.asarray(insts["height_um"]))[kept]
        said = {"source": self.found.source, **coverage(self.found, nodes.inst, area)}
        return insts, nets, {"modules": module_table(self.found, nodes.inst, area)}, {"modules": said}


def find_modules(design: Design, rtl: RtlSources, netlist: Netlist | None) -> Modules:
    """Map the insts of a design to modules by the best source there is.

    Raises:
        InputError: RTL that cannot be read, or has no module of the design's name, unless that is a warning.
    """
    said: list[str] = []
    hierarchy = _by_rtl(design, rtl, said)
    if hierarchy is None and netlist is not None and len(netlist.occ_name) > 1:
        hierarchy = by_netlist(netlist)
    if hierarchy is None and any(sign in design.inst_names.blob for sign in (b"/", b".")):
        hierarchy = by_names(design.name)
    found = map_modules(design, hierarchy) if hierarchy else None
    if found is not None and found.source == "names" and len(found.places) == 1:
        found = None
    return Modules(found, said)


def _by_rtl(design: Design, rtl: RtlSources, said: list[str]) -> Hierarchy | None:
    if not rtl.paths:
        return None
    top, defines = design.name.replace("\\", ""), ("SYNTHESIS", *rtl.defines)
    try:
        found = read_rtl(*rtl.paths, top=top, defines=defines, include=rtl.include, is_lenient=rtl.is_lenient)
    except InputError as e:
        if not rtl.is_lenient:
            raise
        said.append(f"RTL is left out: {e}".replace("\n ", ""))
        return None
    if found.warnings:
        said.append(f"{len(found.warnings)} parts of the RTL are left out (first: {found.warnings[0]})")
    return by_rtl(found)
