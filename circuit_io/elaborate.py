"""Flattens planned Verilog modules by whole-file array operations.

Every bit of every occurrence of a module is one node. Ports of sub-modules and assigns are edges; the connected
components are the nets. Nodes are numbered by level of hierarchy, ports first, so the lowest node of a net names it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Int8, Int32, Int64

from circuit_io.errors import InputError
from circuit_io.names import Names
from circuit_io.verilog_plan import Planner, port_bits
from circuit_io.verilog_text import most_bits
from circuit_io.verilog_words import CONST_1, NOTHING

_LEAF_COLUMNS = "leaf_inst", "leaf_pin", "leaf_bit"
MAX_NODES = 1 << 27  # bits, insts and connections of all occurrences: ten times a large chip; more is a nest of copies


@dataclass(frozen=True)
class Flat:
    """What flattening gives; `circuit_io.verilog.Netlist` tells what the fields mean."""

    inst_names: Names
    inst_master: Int32[np.ndarray, " insts"]
    inst_occ: Int32[np.ndarray, " insts"]
    master_names: Names
    net_names: Names
    net_ptr: Int64[np.ndarray, " nets_plus_1"]
    conn_inst: Int32[np.ndarray, " conns"]
    conn_pin: Int32[np.ndarray, " conns"]
    pin_names: Names
    port_names: Names
    port_direction: Int8[np.ndarray, " ports"]
    port_net: Int32[np.ndarray, " ports"]
    const_inst: Int32[np.ndarray, " consts"]
    const_pin: Int32[np.ndarray, " consts"]
    const_value: Int8[np.ndarray, " consts"]
    occ_parent: Int32[np.ndarray, " occs"]
    occ_module: Int32[np.ndarray, " occs"]
    occ_name: Names
    module_names: Names


def ranges(starts: Int64[np.ndarray, " n"], counts: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " total"]:
    """The numbers start .. start + count - 1 of each pair, one after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    numbers: Int64[np.ndarray, " total"] = np.arange(total) + np.repeat(starts - (ends - counts), counts)
    return numbers


def ranked(values: Int[np.ndarray, " n"], bound: int) -> tuple[Int64[np.ndarray, " distinct"], Int32[np.ndarray, " n"]]:
    """The distinct values, all from 0 to below `bound`, in rising order, and the place of each value among them."""
    used = np.zeros(bound, bool)
    used[values] = True
    return np.flatnonzero(used), (np.cumsum(used, dtype=np.int32) - 1)[values]


class Elaborator:
    """Flattens the modules of a planner."""

    def __init__(self, planner: Planner) -> None:
        """Check that the result will have a sane size, then unfold the hierarchy."""
        self.planner, self.plans = planner, planner.plans
        self._check_size()
        self._unfold()

    def _check_size(self) -> None:
        times = [1] + [0] * (len(self.plans) - 1)
        total, most = 0, min(MAX_NODES, most_bits(self.planner.table.size))
        for i, plan in enumerate(self.plans):  # parents come first
            module = plan.module
            total += times[i] * (1 + module.num_bits + len(plan.leafs) + len(plan.leaf_inst) + len(plan.sub_outer))
            if total > most:
                what = f"the hierarchy unfolds to more than {most:,} nets, insts and connections"
                raise InputError(what, path=module.source.path, line=module.line, mend="Give a smaller top.")
            for sub in plan.sub_plan.tolist():
                times[sub] += times[i]

    def _unfold(self) -> None:
        """Number the occurrences level by level; the top is 0."""
        num_subs = np.array([len(p.subs) for p in self.plans], np.int64)
        first_sub = np.cumsum(num_subs) - num_subs
        sub_plan = np.concatenate([p.sub_plan for p in self.plans])
        plan, parent, sub = [np.zeros(1, np.int64)], [np.full(1, -1)], [np.full(1, -1)]
        total = 1
        while len(plan[-1]):
            counts = num_subs[plan[-1]]
            parent.append(np.repeat(np.arange(total - len(plan[-1]), total), counts))
            sub.append(ranges(first_sub[plan[-1]], counts))
            plan.append(sub_plan[sub[-1]])
            total += len(plan[-1])
        self.occ_plan, self.occ_parent, self.occ_sub = (np.concatenate(x) for x in (plan, parent, sub))
        num_bits = np.array([p.module.num_bits for p in self.plans], np.int64)[self.occ_plan]
        self.occ_base = np.cumsum(num_bits) - num_bits
        self.num_nodes = int(num_bits.sum())
        names = [
            name for p in self.plans for name in p.module.body.inst_names.take(p.subs).with_escaped_slashes().raw_list()
        ]
        self.occ_path = [b""]
        for above, own in zip(self.occ_parent[1:].tolist(), self.occ_sub[1:].tolist(), strict=True):
            path = self.occ_path[above]
            self.occ_path.append(path + b"/" + names[own] if path else names[own])

    def _rows(self, counts: np.ndarray, ids: np.ndarray, occs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of each id (their counts are given, one after the other), and the occurrence each belongs to."""
        starts = np.cumsum(counts) - counts
        return ranges(starts[ids], counts[ids]), np.repeat(occs, counts[ids])

    def run(self) -> Flat:
        """The flat netlist."""
        for plan in self.plans:
            plan.module.source.forget()
        a, b, tied, tied_value = self._edges()
        label = self._components(a, b)
        return self._flat(label, self._constants(label, tied, tied_value))

    def _edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Pairs of joined nodes; nodes tied to a constant, and to which."""
        occs = np.arange(len(self.occ_plan))
        rows, occ = self._rows(np.array([len(p.edge_a) for p in self.plans]), self.occ_plan, occs)
        a = np.concatenate([p.edge_a for p in self.plans])[rows]
        b = np.concatenate([p.edge_b for p in self.plans])[rows]
        a_base = b_base = self.occ_base[occ]
        counts = np.concatenate([np.diff(p.sub_ptr) for p in self.plans])
        rows, occ = self._rows(counts, self.occ_sub[1:], occs[1:])
        a = np.concatenate([a, np.concatenate([p.sub_inner for p in self.plans])[rows]])
        b = np.concatenate([b, np.concatenate([p.sub_outer for p in self.plans])[rows]])
        a_base = np.concatenate([a_base, self.occ_base[occ]])
        b_base = np.concatenate([b_base, self.occ_base[self.occ_parent[occ]]])
        both, left, right = (a >= 0) & (b >= 0), (a >= 0) & (b < 0), (a < 0) & (b >= 0)
        tied, value = np.concatenate([(a + a_base)[left], (b + b_base)[right]]), np.concatenate([b[left], a[right]])
        real = value != NOTHING
        return (a + a_base)[both], (b + b_base)[both], tied[real], (value[real] == CONST_1).astype(np.int8)

    def _components(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """For each node the lowest node of its net."""
        node = np.arange(self.num_nodes)
        if not len(a):
            return node
        from scipy.sparse import coo_array  # late: an export without a netlist does not wait for SciPy
        from scipy.sparse.csgraph import connected_components

        graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(self.num_nodes, self.num_nodes))
        count, label = connected_components(graph, directed=False)
        lowest = np.empty(count, np.int64)
        lowest[label[::-1]] = node[::-1]  # the last written is the lowest
        of_node: np.ndarray = lowest[label]
        return of_node

    def _constants(self, label: np.ndarray, tied: np.ndarray, value: np.ndarray) -> np.ndarray:
        """For each node 0 or 1 where its net is a constant, else -1."""
        constant = np.full(self.num_nodes, -1, np.int8)
        constant[label[tied]] = value
        clash = np.flatnonzero(constant[label[tied]] != value)
        if len(clash):
            name = self._node_names(label[tied[clash[:1]]])[0]
            path = self.plans[0].module.source.path
            raise InputError(f'net "{name}" is tied to both 0 and 1', path=path, mend="Drop one of the two.")
        of_node: np.ndarray = constant[label]
        return of_node

    def _node_names(self, nodes: np.ndarray) -> Names:
        occ = np.searchsorted(self.occ_base, nodes, side="right") - 1
        plan, bit = self.occ_plan[occ], nodes - self.occ_base[occ]
        slices = np.empty((len(nodes), 2), np.int64)
        blobs: list[bytes] = []
        size = 0
        order = np.argsort(plan, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(plan[order])) + 1):
            if len(part):
                module = self.plans[plan[part[0]]].module
                bits, inverse = ranked(bit[part], module.num_bits)
                blob, found = module.bit_names(bits)
                slices[part] = found[inverse] + size
                blobs.append(blob)
                size += len(blob)
        return self._below(b"".join(blobs), slices, occ)

    def _below(self, blob: bytes, slices: np.ndarray, occ: np.ndarray) -> Names:
        """Names given as slices, each after the path of its occurrence."""
        if not occ.any():
            return Names.of_slices(blob, slices)
        above = Names.of(path + b"/" if path else b"" for path in self.occ_path)
        both = np.stack([above.slices()[occ] + len(blob), slices], 1)
        return Names.of_slices(blob + above.blob, both.reshape(-1, 2), per_name=2)

    def _pins(self, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All pins of library cells: inst, pin name, lowest node of the net or a constant."""
        leaf_counts = np.array([len(p.leafs) for p in self.plans])[self.occ_plan]
        first_inst = np.cumsum(leaf_counts) - leaf_counts
        counts = np.array([len(p.leaf_inst) for p in self.plans])
        inst, pin, node = (np.concatenate([getattr(p, x) for p in self.plans]) for x in _LEAF_COLUMNS)
        if len(self.occ_plan) > 1:
            rows, occ = self._rows(counts, self.occ_plan, np.arange(len(self.occ_plan)))
            inst, pin, node = inst[rows] + first_inst[occ], pin[rows], node[rows]
            node = np.where(node >= 0, node + self.occ_base[occ], node)
        is_node = node >= 0
        node[is_node] = label[node[is_node]]
        return inst, pin, node

    def _flat(self, label: np.ndarray, constant: np.ndarray) -> Flat:
        ports = port_bits(self.plans[0].module)
        own_names, directions, bits = zip(*ports, strict=True) if ports else ((), (), ())
        names = Names.of(own_names).with_escaped_slashes()
        inst, pin, node = self._pins(label)
        inst = np.concatenate([np.full(len(ports), -1), inst])
        pin = np.concatenate([np.array([self.planner.pins.id(n) for n in names.raw_list()], np.int64), pin])
        node = np.concatenate([np.array([label[b] if b >= 0 else b for b in bits], np.int64), node])
        value = (node == CONST_1).astype(np.int8)
        value[node >= 0] = constant[node[node >= 0]]
        is_net, is_const = value < 0, (value >= 0) & (node != NOTHING)
        lowest, net = ranked(node[is_net], self.num_nodes)
        port_net = np.full(len(node), -1, np.int32)
        port_net[is_net] = net
        from scipy.sparse import csr_array

        each = np.ones(len(net), np.int8), (net, np.arange(len(net), dtype=np.int32))
        order = csr_array(each, shape=(len(lowest), len(net))).indices  # by net, else as they stand
        master, master_names = self._masters()
        leaf_counts = np.array([len(p.leafs) for p in self.plans])[self.occ_plan]
        return Flat(
            inst_names=self._inst_names(),
            inst_master=master.astype(np.int32),
            inst_occ=np.repeat(np.arange(len(self.occ_plan), dtype=np.int32), leaf_counts),
            master_names=master_names,
            net_names=self._node_names(lowest),
            net_ptr=np.concatenate([[0], np.cumsum(np.bincount(net, minlength=len(lowest)))]).astype(np.int64),
            conn_inst=inst[is_net][order].astype(np.int32),
            conn_pin=pin[is_net][order].astype(np.int32),
            pin_names=Names.of(self.planner.pins.names),
            port_names=names,
            port_direction=np.array(directions, np.int8),
            port_net=port_net[: len(ports)],
            const_inst=inst[is_const].astype(np.int32),
            const_pin=pin[is_const].astype(np.int32),
            const_value=value[is_const],
            occ_parent=self.occ_parent.astype(np.int32),
            occ_module=self.occ_plan.astype(np.int32),
            occ_name=Names.of(self.occ_path),
            module_names=Names.of(self.planner.order),
        )

    def _masters(self) -> tuple[np.ndarray, Names]:
        """The master of every inst, numbered in order of first use in the files, and their names."""
        names = self.planner.master_names
        first: dict[bytes, int] = {}
        merged = np.array([first.setdefault(name, i) for i, name in enumerate(names)], np.int64)
        each = [merged[p.module.body.inst_master[p.leafs]] for p in self.plans]
        counts = np.array([len(x) for x in each])
        rows, _ = self._rows(counts, self.occ_plan, np.arange(len(self.occ_plan)))
        used, master = ranked(np.concatenate(each)[rows], len(names))
        return master, Names.of(names[i] for i in used.tolist())

    def _inst_names(self) -> Names:
        own = [p.module.body.inst_names.with_escaped_slashes() for p in self.plans]
        before = np.cumsum([0, *(len(names.blob) for names in own)])
        slices = np.concatenate([n.slices()[p.leafs] + b for n, p, b in zip(own, self.plans, before, strict=False)])
        counts = np.array([len(p.leafs) for p in self.plans])
        rows, occ = self._rows(counts, self.occ_plan, np.arange(len(self.occ_plan)))
        return self._below(b"".join(names.blob for names in own), slices[rows], occ)
