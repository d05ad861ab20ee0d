"""Which module each inst of a placed design belongs to, and by what it was told."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int8, Int32, Int64

from circuit_io.arrays import counted
from circuit_io.design import CLOCK, OUTPUT, Design
from circuit_io.hierarchy import Hierarchy, Place

WAYS = ("none", "name", "net", "neighbours")  # how an inst came to its module, by the number in `inst_way`
NONE, BY_NAME, BY_NET, BY_NEIGHBOURS = range(4)
MAX_FANOUT = 32  # nets with more sinks (resets, enables) say nothing of their neighbours


@dataclass(frozen=True)
class ModuleMap:
    """The module of each inst and net, as a row in `places` or -1.

    Attributes:
        source: "rtl", "netlist" or "names".
        places: the instances of modules that hold insts, and their parents.
        inst_module: of each inst of the design.
        inst_way: by what, an index into `WAYS`.
        inst_feeds: of each inst of no known module: the one that most of the signals it leads to lie in, nearest first.
        net_module: of each net: that of its driver, else of its name.
        net_feeds: of each net of no known module: what its driver feeds.
    """

    source: str
    places: tuple[Place, ...]
    inst_module: Int32[np.ndarray, " insts"]
    inst_way: Int8[np.ndarray, " insts"]
    inst_feeds: Int32[np.ndarray, " insts"]
    net_module: Int32[np.ndarray, " nets"]
    net_feeds: Int32[np.ndarray, " nets"]


def map_modules(design: Design, hierarchy: Hierarchy) -> ModuleMap:
    """Map every inst to a module: by its own name, else by the name of a net it drives, else by its neighbours.

    Synthesis of a flat netlist keeps the names of registers and of some nets, and numbers all else. A gate between
    them is given a module where at least half of its connections lead to insts of it. Of the gates of three netlists
    whose names tell, with only the registers' names shown, 3 to 42 % were given a module so, and 87 to 92 % of these
    the right one; giving all gates that of their neighbours' majority is wrong for 37 to 90 % (docs/prediction.md).
    Of the others it is only said which module they feed.
    """
    if hierarchy.is_single:
        top = np.zeros(design.num_insts, np.int32)
        ways, nets = np.full(len(top), BY_NAME, np.int8), np.zeros(len(design.net_names), np.int32)
        return ModuleMap(hierarchy.source, tuple(hierarchy.places), top, ways, top - 1, nets, nets - 1)
    module = hierarchy.rows(design.inst_names)
    way = np.where(module >= 0, BY_NAME, NONE).astype(np.int8)
    net = hierarchy.rows(design.net_names)
    driver, driven = _drivers(design)
    open_ = (module[driver] < 0) & (net[driven] >= 0)
    module[driver[open_][::-1]] = net[driven[open_]][::-1]  # the first named net of an inst counts
    way[(way == NONE) & (module >= 0)] = BY_NET
    source, target = _edges(design, driver, driven)
    module = spread(module, np.concatenate([source, target]), np.concatenate([target, source]))
    way[(way == NONE) & (module >= 0)] = BY_NEIGHBOURS
    feeds = np.where(module < 0, spread(module, source, target, least_frac=0.0), np.int32(-1))
    net_module, net_feeds = net.copy(), np.full_like(net, -1)
    net_module[driven] = np.where(module[driver] >= 0, module[driver], net[driven])
    net_feeds[driven] = np.where(net_module[driven] < 0, feeds[driver], -1)
    return ModuleMap(hierarchy.source, tuple(hierarchy.places), module, way, feeds, net_module, net_feeds)


def _drivers(design: Design) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Insts and the nets that they drive, in the order of the nets."""
    drives = np.flatnonzero((design.pin_inst >= 0) & (design.pin_direction == OUTPUT))
    return design.pin_inst[drives].astype(np.int64), design.pin_net[drives].astype(np.int64)


def _edges(
    design: Design, driver: Int64[np.ndarray, " n"], driven: Int64[np.ndarray, " n"]
) -> tuple[Int64[np.ndarray, " edges"], Int64[np.ndarray, " edges"]]:
    """Driver and sink of every connection between insts, without clocks and wide nets."""
    of_net = np.full(len(design.net_names), -1, np.int64)
    of_net[driven[::-1]] = driver[::-1]
    sinks = np.flatnonzero((design.pin_inst >= 0) & (design.pin_direction != OUTPUT))
    fanout = np.bincount(design.pin_net[sinks], minlength=len(of_net))
    of_net[(fanout > MAX_FANOUT) | (design.net_use == CLOCK)] = -1
    source = of_net[design.pin_net[sinks]]
    return source[source >= 0], design.pin_inst[sinks][source >= 0].astype(np.int64)


def spread(
    module: Int32[np.ndarray, " insts"],
    source: Int64[np.ndarray, " edges"],
    target: Int64[np.ndarray, " edges"],
    *,
    least_frac: float = 0.5,
) -> Int32[np.ndarray, " insts"]:
    """Give insts without a module the one that most of their edges lead to, in rounds until none is left.

    Args:
        module: row of each inst's module, -1 for none.
        source, target: insts at both ends of each edge; a connection that counts for both is there twice.
        least_frac: the share of an inst's edges that must lead to one module.
    """
    module = module.copy()
    count = max(int(module.max(initial=-1)) + 1, 1)
    edges = np.bincount(source, minlength=len(module))
    is_new = module >= 0
    while True:
        open_ = module[source] < 0
        source, target = source[open_], target[open_]
        may_change = np.zeros(len(module), bool)
        may_change[source[is_new[target]]] = True
        tells = (module[target] >= 0) & may_change[source]
        pair, votes = counted(source[tells] * count + module[target[tells]])
        inst, row = np.divmod(pair, count)
        order = np.lexsort((row, -votes, inst))  # ties go to the lower row
        first = order[np.flatnonzero(np.diff(inst[order], prepend=-1))]
        good = first[votes[first] >= least_frac * edges[inst[first]]]
        if not len(good):
            return module
        module[inst[good]] = row[good]
        is_new = np.zeros(len(module), bool)
        is_new[inst[good]] = True


def module_table(
    found: ModuleMap, inst: Int64[np.ndarray, " kept"], area_um2: Float64[np.ndarray, " kept"]
) -> pa.Table:
    """A row a place: what it is, where it stands, and the insts that are in it itself, not in a module below."""
    module = found.inst_module[inst]
    mine = module >= 0
    count = len(found.places)
    strings = {
        name: pa.array([getattr(p, name).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
                        for p in found.places], pa.string())
        for name in ("path", "module", "file", "inst_file")
    }  # fmt: skip
    numbers = {
        name: pa.array([getattr(p, name) for p in found.places], pa.int32()) for name in ("parent", "line", "inst_line")
    }
    return pa.table(
        {
            **{name: (strings | numbers)[name]
               for name in ("path", "module", "parent", "file", "line", "inst_file", "inst_line")},
            "num_insts": np.bincount(module[mine], minlength=count),
            "area_um2": np.bincount(module[mine], area_um2[mine], count),
        }
    )  # fmt: skip


def coverage(
    found: ModuleMap, inst: Int64[np.ndarray, " kept"], area_um2: Float64[np.ndarray, " kept"]
) -> dict[str, dict[str, float]]:
    """Shares of the insts and of their area that were mapped in each way, as `insts_frac` and `area_frac`."""
    way = found.inst_way[inst]
    counts = np.bincount(way, minlength=len(WAYS)) / max(len(way), 1)
    areas = np.bincount(way, area_um2, len(WAYS)) / max(float(area_um2.sum()), 1e-12)
    return {
        "insts_frac": dict(zip(WAYS, np.round(counts, 4).tolist(), strict=True)),
        "area_frac": dict(zip(WAYS, np.round(areas, 4).tolist(), strict=True)),
    }
