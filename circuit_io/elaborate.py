"""Flattens planned Verilog modules by whole-file array operations.

Every bit of every occurrence of a module is one node. Ports of sub-modules and assigns are edges; the connected
components are the nets. Nodes are numbered by level of hierarchy, ports first, so the lowest node of a net names it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8, Int32, Int64

from circuit_io.arrays import blocks, numbered
from circuit_io.errors import InputError
from circuit_io.names import Names
from circuit_io.verilog_bits import joined
from circuit_io.verilog_plan import Planner
from circuit_io.verilog_ports import port_bits
from circuit_io.verilog_text import most_bits
from circuit_io.verilog_words import CONST_1, NOTHING

_CODES = np.arange(NOTHING, 0, dtype=np.int32)  # the end of a table of nodes, so that a code as index finds itself
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
    numbers: Int64[np.ndarray, " total"] = np.arange(int(ends[-1]) if len(ends) else 0)
    numbers += np.repeat(starts - (ends - counts), counts)
    return numbers


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
            total += times[i] * (1 + module.num_bits + len(plan.leafs) + len(plan.leaf_pin) + len(plan.sub_outer))
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

    def _unfolded(self, *columns: list[np.ndarray]) -> list[np.ndarray]:
        """Columns that each plan has, all of the same rows: the rows of every occurrence, one after the other."""
        if len(self.occ_plan) == 1:
            return [column for (column,) in columns]
        counts = np.array([len(column) for column in columns[0]])
        rows, _ = self._rows(counts, self.occ_plan, self.occ_plan)
        return [np.concatenate(column)[rows] for column in columns]

    def run(self) -> Flat:
        """The flat netlist."""
        for plan in self.plans:
            plan.module.source.forget()
        return self._flat(self._nets(*self._edges()))

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
        return (a + a_base)[both], (b + b_base)[both], tied[real], value[real]

    def _nets(self, a: np.ndarray, b: np.ndarray, tied: np.ndarray, value: np.ndarray) -> Int32[np.ndarray, " table"]:
        """The lowest node of the net that each node belongs to, or the constant that it is tied to; then the codes."""
        net = np.arange(self.num_nodes + len(_CODES), dtype=np.int32)
        net[self.num_nodes :] = _CODES
        if len(a):
            net[: self.num_nodes] = self._components(a, b)
        lowest = net[tied]
        net[lowest] = value
        clash = np.flatnonzero(net[lowest] != value)
        if len(clash):
            name = self._node_names(lowest[clash[:1]])[0]
            path = self.plans[0].module.source.path
            raise InputError(f'net "{name}" is tied to both 0 and 1', path=path, mend="Drop one of the two.")
        of_node: Int32[np.ndarray, " table"] = net[net] if len(tied) else net
        return of_node

    def _components(self, a: np.ndarray, b: np.ndarray) -> Int32[np.ndarray, " nodes"]:
        """For each node the lowest node that edges join it with."""
        from scipy.sparse import coo_array  # late: an export without a netlist does not wait for SciPy
        from scipy.sparse.csgraph import connected_components

        graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(self.num_nodes, self.num_nodes))
        count, label = connected_components(graph, directed=False)
        lowest = np.empty(count, np.int32)
        lowest[label[::-1]] = np.arange(self.num_nodes, dtype=np.int32)[::-1]  # the last written is the lowest
        of_node: Int32[np.ndarray, " nodes"] = lowest[label]
        return of_node

    def _node_names(self, nodes: np.ndarray) -> Names:
        if len(self.occ_plan) == 1:
            return Names.of_slices(*self.plans[0].module.bit_names(nodes))
        occ = np.searchsorted(self.occ_base, nodes, side="right") - 1
        plan, bit = self.occ_plan[occ], nodes - self.occ_base[occ]
        slices = np.empty((len(nodes), 2), np.int64)
        blobs: list[bytes] = []
        size = 0
        order = np.argsort(plan, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(plan[order])) + 1):
            if len(part):
                module = self.plans[plan[part[0]]].module
                bits, inverse = numbered(bit[part], module.num_bits)
                blob, found = module.bit_names(bits)
                slices[part] = found[inverse] + size
                blobs.append(blob)
                size += len(blob)
        return self._below(b"".join(blobs), slices, occ)

    def _below(self, blob: bytes, slices: np.ndarray, occ: np.ndarray) -> Names:
        """Names given as slices, each after the path of its occurrence."""
        above = Names.of(path + b"/" if path else b"" for path in self.occ_path)
        return joined(blob + above.blob, np.stack([above.slices()[occ] + len(blob), slices], 1))

    def _pins(self, names: Names, bits: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pin names and nodes or codes, ports first, then inst by inst; the row where each of these owners begins."""
        own_pin = np.array([self.planner.pins.id(name) for name in names.raw_list()], np.int32)
        pin, node = self._unfolded([p.leaf_pin for p in self.plans], [p.leaf_bit for p in self.plans])
        if len(self.occ_plan) > 1:
            counts = np.array([len(p.leaf_pin) for p in self.plans])[self.occ_plan]
            node += np.repeat(self.occ_base.astype(np.int32), counts) * (node >= 0)
        (count,) = self._unfolded([np.diff(p.leaf_ptr) for p in self.plans])
        ptr = np.cumsum(np.concatenate([[0, len(bits)], count]), dtype=np.int32)
        return np.concatenate([own_pin, pin]), np.concatenate([np.array(bits, np.int32), node]), ptr

    def _numbered(self, node: np.ndarray, net: np.ndarray) -> np.ndarray:
        """Put numbers of nets in place of the nodes of pins; the lowest node of each net."""
        has_pin, used = np.zeros((2, len(net)), bool)
        has_pin[node] = True
        used[net[has_pin]] = True
        used[self.num_nodes :] = False
        number = np.cumsum(used, dtype=np.int32) - 1
        number[self.num_nodes :] = _CODES
        number = number[net]
        for rows in blocks(len(node)):
            np.take(number, node[rows], out=node[rows], mode="wrap")
        return np.flatnonzero(used)

    def _flat(self, net_of_node: np.ndarray) -> Flat:
        from scipy.sparse import csr_array

        ports = port_bits(self.plans[0].module)
        port_names = Names.of(name for name, _, _ in ports).with_escaped_slashes()
        pin, net, ptr = self._pins(port_names, [bit for _, _, bit in ports])
        lowest = self._numbered(net, net_of_node)
        port_net = np.maximum(net[: len(ports)], -1)
        tied = np.flatnonzero((net < 0) & (net != NOTHING))
        tied_inst, tied_pin = np.searchsorted(ptr, tied, side="right") - 2, pin[tied]
        tied_value = (net[tied] == CONST_1).astype(np.int8)
        is_conn = net >= 0
        if not is_conn.all():
            ptr = np.append(np.int32(0), np.cumsum(is_conn, dtype=np.int32))[ptr]
            pin, net = pin[is_conn], net[is_conn]
        by_net = csr_array((pin, net, ptr), shape=(len(ptr) - 1, len(lowest))).tocsc()
        master, master_names = self._masters()
        leaf_counts = np.array([len(p.leafs) for p in self.plans])[self.occ_plan]
        return Flat(
            inst_names=self._inst_names(),
            inst_master=master,
            inst_occ=np.repeat(np.arange(len(self.occ_plan), dtype=np.int32), leaf_counts),
            master_names=master_names,
            net_names=self._node_names(lowest),
            net_ptr=by_net.indptr.astype(np.int64),
            conn_inst=by_net.indices - np.int32(1),  # the ports come before the insts
            conn_pin=by_net.data,
            pin_names=Names.of(self.planner.pins.names),
            port_names=port_names,
            port_direction=np.array([direction for _, direction, _ in ports], np.int8),
            port_net=port_net,
            const_inst=tied_inst.astype(np.int32),
            const_pin=tied_pin,
            const_value=tied_value,
            occ_parent=self.occ_parent.astype(np.int32),
            occ_module=self.occ_plan.astype(np.int32),
            occ_name=Names.of(self.occ_path),
            module_names=Names.of(self.planner.order),
        )

    def _masters(self) -> tuple[np.ndarray, Names]:
        """The master of every inst, numbered in order of first use in the files, and their names."""
        names = self.planner.master_names
        first: dict[bytes, int] = {}
        merged = np.array([first.setdefault(name, i) for i, name in enumerate(names)], np.int32)
        (master,) = self._unfolded([merged[p.module.body.inst_master[p.leafs]] for p in self.plans])
        used, master = numbered(master, len(names))
        return master, Names.of(names[i] for i in used.tolist())

    def _inst_names(self) -> Names:
        own = [p.module.body.inst_names.with_escaped_slashes() for p in self.plans]
        if len(self.occ_plan) == 1:
            return own[0] if len(self.plans[0].leafs) == len(own[0]) else own[0].take(self.plans[0].leafs)
        before = np.cumsum([0, *(len(names.blob) for names in own)])
        each = [n.slices()[p.leafs] + b for n, p, b in zip(own, self.plans, before, strict=False)]
        (slices,) = self._unfolded(each)
        counts = np.array([len(p.leafs) for p in self.plans])[self.occ_plan]
        return self._below(b"".join(n.blob for n in own), slices, np.repeat(np.arange(len(counts)), counts))
