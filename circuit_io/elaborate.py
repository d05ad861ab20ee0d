"""Flattens parsed Verilog modules by whole-file array operations.

Every bit of every occurrence of a module is one node. Ports of sub-modules and assigns are edges; the connected
components are the nets. Nodes are numbered by level of hierarchy, ports first, so the lowest node of a net names it.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8, Int32, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from circuit_io.errors import InputError, did_you_mean
from circuit_io.names import Names
from circuit_io.verilog_modules import CONST_0, CONST_1, NOTHING, Module, ModuleTable

MAX_NODES = 1 << 29  # bits of all occurrences: ten times the largest chips; more means a nest of copies

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Flat:
    """What flattening gives; the fields are those of `Netlist`."""

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


class _PinNames:
    """Numbers pin names, with and without a bit index."""

    def __init__(self, raw: Iterable[bytes]) -> None:
        self.ids: dict[bytes, int] = {}
        self.names: list[bytes] = []
        self.of_raw = np.array([self.id(name.removeprefix(b"\\")) for name in raw], np.int64)

    def id(self, name: bytes) -> int:
        found = self.ids.get(name)
        if found is None:
            found = self.ids[name] = len(self.names)
            self.names.append(name)
        return found


class _Plan:
    """One module made static: its leaf connections, its sub-modules, its edges."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.leafs = np.zeros(0, np.int64)  # its instances that are library cells
        self.leaf_inst = self.leaf_pin = self.leaf_bit = np.zeros(0, np.int64)  # a row per connected bit
        self.subs = np.zeros(0, np.int64)  # its instances that are modules
        self.sub_plan = np.zeros(0, np.int64)
        self.sub_ptr = np.zeros(1, np.int64)  # edges of a sub-module's ports
        self.sub_outer = self.sub_inner = np.zeros(0, np.int64)
        edges = np.array(module.edges, np.int64).reshape(-1, 2)
        self.edge_a, self.edge_b = edges[:, 0], edges[:, 1]


def escaped(name: bytes) -> bytes:
    """A name with its slashes escaped as DEF does, since `/` divides levels of hierarchy."""
    return name.replace(b"/", b"\\/") if b"/" in name else name


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers start .. start + count - 1 of each pair, one after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - counts), counts)


class Elaborator:
    """Flattens the modules below one top."""

    def __init__(self, table: ModuleTable, top: bytes) -> None:
        """Find the modules below `top` and make each static."""
        self.table = table
        self.master_names = [name.removeprefix(b"\\") for name in table.masters]
        self.pins = _PinNames(table.pins)
        self.num_resized = 0
        self.order: list[bytes] = []
        self._sort(top)
        self.number = {name: i for i, name in enumerate(self.order)}
        self.plans = [self._plan(table.modules[name]) for name in self.order]
        for source in {id(p.module.source): p.module.source for p in self.plans}.values():
            source.faults.raise_if_any()
        if self.num_resized:
            _log.warning("%d connections have another width than the port they join", self.num_resized)

    def _expanded(self, master: bytes) -> bool:
        module = self.table.modules.get(master)
        return module is not None and not module.is_stub

    def _children(self, name: bytes) -> list[bytes]:
        used = dict.fromkeys(self.table.modules[name].inst_master)
        return [master for i in used if self._expanded(master := self.master_names[i])]

    def _sort(self, top: bytes) -> None:
        """Order the modules so that a parent comes before its children; refuse one that holds itself."""
        state: dict[bytes, int] = {}
        finished: list[bytes] = []
        stack = [(top, iter(self._children(top)))]
        state[top] = 1
        while stack:
            name, children = stack[-1]
            child = next(children, None)
            if child is None:
                state[name] = 2
                finished.append(name)
                stack.pop()
            elif state.get(child) == 1:
                module = self.table.modules[child]
                shown = child.decode("utf-8", "replace")
                raise InputError(
                    f'module "{shown}" contains itself',
                    path=module.source.path,
                    line=module.line,
                    mend="Break the loop of instances.",
                )
            elif child not in state:
                state[child] = 1
                stack.append((child, iter(self._children(child))))
        self.order = finished[::-1]

    def _plan(self, module: Module) -> _Plan:
        plan = _Plan(module)
        master = np.array(module.inst_master, np.int64)
        sub_of = np.array([self.number.get(name, -1) for name in self.master_names] or [0], np.int64)
        for i, name in enumerate(self.master_names):
            if sub_of[i] >= 0 and not self._expanded(name):
                sub_of[i] = -1
        sub = sub_of[master]
        plan.leafs, plan.subs = np.flatnonzero(sub < 0), np.flatnonzero(sub >= 0)
        plan.sub_plan = sub[plan.subs]
        if len(set(module.inst_names)) < len(module.inst_names):
            self._repeated_names(module)
        pin_ptr = np.array(module.pin_ptr, np.int64)
        conn_inst = np.repeat(np.arange(len(master)), np.diff(pin_ptr))
        self._leaf_rows(plan, conn_inst, sub)
        self._sub_rows(plan, pin_ptr)
        return plan

    def _repeated_names(self, module: Module) -> None:
        seen: set[bytes] = set()
        for name, at in zip(module.inst_names, module.inst_at, strict=True):
            if name in seen:
                module.fault(f'instance "{name.decode("utf-8", "replace")}" is defined twice', at, "Rename one.")
            seen.add(name)

    def _leaf_rows(self, plan: _Plan, conn_inst: np.ndarray, sub: np.ndarray) -> None:
        module = plan.module
        conn_pin, conn_expr = np.array(module.conn_pin, np.int64), np.array(module.conn_expr, np.int64)
        ptr, bits = np.array(module.expr_ptr, np.int64), np.array(module.expr_bits, np.int64)
        width = np.diff(ptr)[conn_expr]
        known = np.array([name in self.table.modules for name in self.master_names] or [False])
        is_known = known[np.array(module.inst_master, np.int64)][conn_inst] if len(conn_inst) else width > 0
        is_leaf = sub[conn_inst] < 0
        plain = is_leaf & (width == 1) & ~is_known & (conn_pin >= 0)
        inst = conn_inst[plain]
        pin = self.pins.of_raw[conn_pin[plain]]
        bit = bits[ptr[conn_expr[plain]]]
        extra: list[tuple[int, int, int]] = []
        for c in np.flatnonzero(is_leaf & ~plain & ((width > 0) | is_known)).tolist():
            expr = int(conn_expr[c])
            value = bits[ptr[expr] : ptr[expr + 1]].tolist()
            extra += self._wide(module, int(conn_inst[c]), int(conn_pin[c]), value)
        for c in np.flatnonzero(is_leaf & (conn_pin < 0) & ~is_known & (width > 0)).tolist()[:1]:
            self._unplaced(module, int(conn_inst[c]))
        if extra:
            rows = np.array(extra, np.int64)
            inst, pin, bit = (np.concatenate(pair) for pair in zip((inst, pin, bit), rows.T, strict=True))
            order = np.argsort(inst, kind="stable")
            inst, pin, bit = inst[order], pin[order], bit[order]
        self._repeated_pins(module, inst, pin)
        used = bit != NOTHING
        place = np.cumsum(sub < 0) - 1
        plan.leaf_inst, plan.leaf_pin, plan.leaf_bit = place[inst[used]], pin[used], bit[used]

    def _repeated_pins(self, module: Module, inst: np.ndarray, pin: np.ndarray) -> None:
        key = np.sort(inst * (len(self.pins.names) + 1) + pin)
        again = key[1:][key[1:] == key[:-1]]
        for k in again.tolist()[:20]:
            i, p = divmod(k, len(self.pins.names) + 1)
            name = self.pins.names[p].decode("utf-8", "replace")
            module.fault(f'pin "{name}" is connected twice', module.inst_at[i], "Keep one of the two.")

    def _unplaced(self, module: Module, inst: int) -> None:
        master = self.master_names[module.inst_master[inst]].decode("utf-8", "replace")
        mend = f'Connect pins by name, or add "module {master} (...)" with its ports to the file.'
        module.fault(
            f'pins of "{master}" are connected by place, but its pin order is unknown', module.inst_at[inst], mend
        )

    def _wide(self, module: Module, inst: int, raw_pin: int, value: list[int]) -> list[tuple[int, int, int]]:
        """Rows of a connection to a library cell that is a bus, by place, or to a cell whose ports the file states."""
        stub = self.table.modules.get(self.master_names[module.inst_master[inst]])
        if stub is None:
            if raw_pin < 0 or not value:
                return []
            name = self.pins.names[self.pins.of_raw[raw_pin]]
            top = len(value) - 1
            return [(inst, self.pins.id(b"%b[%d]" % (name, top - i)), bit) for i, bit in enumerate(value)]
        port = self._port(module, stub, inst, raw_pin)
        if port is None:
            return []
        names = stub.bit_names()
        inner = stub.ports[port]
        outer = self._fitted(module, stub, port, value, len(inner), inst)
        return [(inst, self.pins.id(names[b]), bit) for b, bit in zip(inner, outer, strict=True) if b >= 0]

    def _port(self, module: Module, child: Module, inst: int, raw_pin: int) -> bytes | None:
        """The port of a defined module that a connection means; None and a fault if there is none."""
        names = list(child.ports)
        if raw_pin < 0:
            if -1 - raw_pin < len(names):
                return names[-1 - raw_pin]
            what = f'"{child.name.decode("utf-8", "replace")}" has {len(names)} ports, more are connected'
            module.fault(what, module.inst_at[inst])
            return None
        name = self.pins.names[self.pins.of_raw[raw_pin]]
        if name in child.ports:
            return name
        shown = name.decode("utf-8", "replace")
        what = f'"{shown}" is no port of module "{child.name.decode("utf-8", "replace")}"'
        module.fault(what, module.inst_at[inst], did_you_mean(shown, [n.decode("utf-8", "replace") for n in names]))
        return None

    def _fitted(self, module: Module, child: Module, port: bytes, value: list[int], width: int, inst: int) -> list[int]:
        """A connection cut or filled on the left to the width of its port, as the language has it."""
        if not value:
            return [NOTHING] * width
        if len(value) != width:
            self.num_resized += 1
        fill = CONST_0 if child.directions.get(port) == 0 else NOTHING
        return ([fill] * (width - len(value)) + value)[-width:] if width else []

    def _sub_rows(self, plan: _Plan, pin_ptr: np.ndarray) -> None:
        module = plan.module
        outer: list[int] = []
        inner: list[int] = []
        ends = [0]
        for inst, sub in zip(plan.subs.tolist(), plan.sub_plan.tolist(), strict=True):
            child = self.table.modules[self.order[sub]]
            seen: set[bytes] = set()
            for c in range(int(pin_ptr[inst]), int(pin_ptr[inst + 1])):
                port = self._port(module, child, inst, module.conn_pin[c])
                if port is None:
                    continue
                if port in seen:
                    module.fault(f'port "{port.decode("utf-8", "replace")}" is connected twice', module.inst_at[inst])
                seen.add(port)
                expr = module.conn_expr[c]
                value = module.expr_bits[module.expr_ptr[expr] : module.expr_ptr[expr + 1]].tolist()
                inside = child.ports[port]
                outer += self._fitted(module, child, port, value, len(inside), inst)
                inner += inside
            ends.append(len(outer))
        plan.sub_ptr = np.array(ends, np.int64)
        plan.sub_outer, plan.sub_inner = np.array(outer, np.int64), np.array(inner, np.int64)

    def run(self) -> Flat:
        """The flat netlist."""
        self._check_size()
        self._occurrences()
        a, b, tied, tied_value = self._edges()
        label = self._components(a, b)
        constant = self._constants(label, tied, tied_value)
        return self._flat(label, constant)

    def _check_size(self) -> None:
        times = [0] * len(self.plans)
        times[0] = 1
        for i, plan in enumerate(self.plans):  # parents come first
            for sub in plan.sub_plan.tolist():
                times[sub] += times[i]
            if sum(t * (p.module.num_bits + 1) for t, p in zip(times[: i + 1], self.plans, strict=False)) > MAX_NODES:
                module = plan.module
                what = f"the hierarchy unfolds to more than {MAX_NODES:,} nets"
                raise InputError(what, path=module.source.path, line=module.line, mend="Give a smaller top.")

    def _occurrences(self) -> None:
        """Unfold the hierarchy level by level."""
        num_subs = np.array([len(p.subs) for p in self.plans])
        first_sub = np.cumsum(num_subs) - num_subs
        sub_plan = np.concatenate([p.sub_plan for p in self.plans])
        plan, parent, sub = [np.zeros(1, np.int64)], [np.full(1, -1)], [np.full(1, -1)]
        total = 1
        while len(plan[-1]):
            counts = num_subs[plan[-1]]
            here = np.arange(total - len(plan[-1]), total)
            parent.append(np.repeat(here, counts))
            sub.append(ranges(first_sub[plan[-1]], counts))
            plan.append(sub_plan[sub[-1]])
            total += len(plan[-1])
        self.occ_plan, self.occ_parent, self.occ_sub = (np.concatenate(x) for x in (plan, parent, sub))
        num_bits = np.array([p.module.num_bits for p in self.plans])
        self.occ_base = np.cumsum(num_bits[self.occ_plan]) - num_bits[self.occ_plan]
        self.num_nodes = int(num_bits[self.occ_plan].sum())
        names = [p.module.inst_names[i] for p in self.plans for i in p.subs.tolist()]
        self.occ_path = [b""]
        for parent_id, sub_id in zip(self.occ_parent[1:].tolist(), self.occ_sub[1:].tolist(), strict=True):
            above = self.occ_path[parent_id]
            self.occ_path.append((above + b"/" if above else b"") + escaped(names[sub_id]))

    def _over_occurrences(self, ptr: np.ndarray, ids: np.ndarray, occs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows ptr[id] .. ptr[id + 1] for each id, and the occurrence each belongs to."""
        counts = (ptr[1:] - ptr[:-1])[ids]
        return ranges(ptr[:-1][ids], counts), np.repeat(occs, counts)

    def _edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Pairs of joined nodes; nodes tied to a constant, and to which."""
        occs = np.arange(len(self.occ_plan))
        edge_ptr = np.cumsum([0] + [len(p.edge_a) for p in self.plans])
        rows, occ = self._over_occurrences(edge_ptr, self.occ_plan, occs)
        base = self.occ_base[occ]
        a = np.concatenate([p.edge_a for p in self.plans])[rows]
        b = np.concatenate([p.edge_b for p in self.plans])[rows]
        pairs = [(a, b, base, base)]
        starts = np.cumsum([0] + [len(p.sub_outer) for p in self.plans])[:-1]
        sub_ptr = np.concatenate([[0]] + [p.sub_ptr[1:] + s for p, s in zip(self.plans, starts, strict=True)])
        rows, occ = self._over_occurrences(sub_ptr, self.occ_sub[1:], occs[1:])
        outer = np.concatenate([p.sub_outer for p in self.plans])[rows]
        inner = np.concatenate([p.sub_inner for p in self.plans])[rows]
        pairs.append((inner, outer, self.occ_base[occ], self.occ_base[self.occ_parent[occ]]))
        x, y, x_base, y_base = (np.concatenate(part) for part in zip(*pairs, strict=True))
        both = (x >= 0) & (y >= 0)
        tied = np.concatenate([(x + x_base)[(x >= 0) & (y < 0) & (y != NOTHING)], (y + y_base)[(y >= 0) & (x < 0)]])
        value = np.concatenate([y[(x >= 0) & (y < 0) & (y != NOTHING)], x[(y >= 0) & (x < 0)]])
        real = value != NOTHING
        return (x + x_base)[both], (y + y_base)[both], tied[real], (value[real] == CONST_1).astype(np.int8)

    def _components(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """For each node the lowest node of its net."""
        node = np.arange(self.num_nodes)
        if not len(a):
            return node
        graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(self.num_nodes, self.num_nodes))
        count, label = connected_components(graph, directed=False)
        lowest = np.full(count, self.num_nodes)
        np.minimum.at(lowest, label, node)
        return lowest[label]

    def _constants(self, label: np.ndarray, tied: np.ndarray, value: np.ndarray) -> np.ndarray:
        """For each node 0 or 1 where its net is a constant, else -1."""
        constant = np.full(self.num_nodes, -1, np.int8)
        constant[label[tied]] = value
        clash = np.flatnonzero(constant[label[tied]] != value)
        if len(clash):
            name = self._node_names(label[tied[clash[:1]]])[0].decode("utf-8", "replace")
            module = self.plans[0].module
            raise InputError(f'net "{name}" is tied to both 0 and 1', path=module.source.path, mend="Drop one.")
        return constant[label]

    def _node_names(self, nodes: np.ndarray) -> list[bytes]:
        occ = np.searchsorted(self.occ_base, nodes, side="right") - 1
        bit = nodes - self.occ_base[occ]
        names: dict[int, list[bytes]] = {}
        out = []
        plan = self.occ_plan[occ]
        for o, p, b in zip(occ.tolist(), plan.tolist(), bit.tolist(), strict=True):
            if p not in names:
                names[p] = [escaped(n) for n in self.plans[p].module.bit_names()]
            path = self.occ_path[o]
            out.append(path + b"/" + names[p][b] if path else names[p][b])
        return out

    def _flat(self, label: np.ndarray, constant: np.ndarray) -> Flat:
        occs = np.arange(len(self.occ_plan))
        leaf_counts = np.array([len(p.leafs) for p in self.plans])
        first_inst = np.cumsum(leaf_counts[self.occ_plan]) - leaf_counts[self.occ_plan]
        row_ptr = np.cumsum([0] + [len(p.leaf_inst) for p in self.plans])
        rows, occ = self._over_occurrences(row_ptr, self.occ_plan, occs)
        inst = np.concatenate([p.leaf_inst for p in self.plans])[rows] + first_inst[occ]
        pin = np.concatenate([p.leaf_pin for p in self.plans])[rows]
        bit = np.concatenate([p.leaf_bit for p in self.plans])[rows]
        node = np.where(bit >= 0, label[(bit + self.occ_base[occ]).clip(0)] if self.num_nodes else bit, bit)
        names, direction, port_node, port_pin = self._ports(label)
        inst = np.concatenate([np.full(len(port_pin), -1), inst])
        pin, node = np.concatenate([port_pin, pin]), np.concatenate([port_node, node])
        value = np.where(node >= 0, constant[node.clip(0)] if self.num_nodes else -1, (node == CONST_1).astype(np.int8))
        is_net, is_const = (node >= 0) & (value < 0), value >= 0
        inst_const, pin_const, value = inst[is_const], pin[is_const], value[is_const]
        lowest, net = np.unique(node[is_net], return_inverse=True)
        port_net = np.full(len(port_pin), -1, np.int32)
        port_net[is_net[: len(port_pin)]] = net[: int(is_net[: len(port_pin)].sum())]
        order = np.argsort(net, kind="stable")
        master, master_names = self._masters()
        return Flat(
            inst_names=Names.of(self._inst_names()),
            inst_master=master.astype(np.int32),
            inst_occ=np.repeat(occs, leaf_counts[self.occ_plan]).astype(np.int32),
            master_names=master_names,
            net_names=Names.of(self._node_names(lowest)),
            net_ptr=np.searchsorted(net[order], np.arange(len(lowest) + 1)).astype(np.int64),
            conn_inst=inst[is_net][order].astype(np.int32),
            conn_pin=pin[is_net][order].astype(np.int32),
            pin_names=Names.of(self.pins.names),
            port_names=Names.of(names),
            port_direction=np.array(direction, np.int8),
            port_net=port_net,
            const_inst=inst_const.astype(np.int32),
            const_pin=pin_const.astype(np.int32),
            const_value=value.astype(np.int8),
            occ_parent=self.occ_parent.astype(np.int32),
            occ_module=self.occ_plan.astype(np.int32),
            occ_name=Names.of(self.occ_path),
            module_names=Names.of(self.order),
        )

    def _ports(self, label: np.ndarray) -> tuple[list[bytes], list[int], np.ndarray, np.ndarray]:
        """Bits of the top's ports: names, directions, nets' lowest nodes (or constants), pin numbers."""
        module = self.plans[0].module
        names: list[bytes] = []
        direction: list[int] = []
        node: list[int] = []
        bit_names = module.bit_names()
        for port, bits in module.ports.items():
            own = dict(module.header).get(port) is None
            for i, bit in enumerate(bits):
                index = b"" if len(bits) == 1 else b"[%d]" % (len(bits) - 1 - i)
                names.append(escaped(bit_names[bit] if own else port + index))
                direction.append(max(0, module.directions.get(port, 2)))
                node.append(int(label[bit]) if bit >= 0 else bit)
        return names, direction, np.array(node, np.int64), np.array([self.pins.id(n) for n in names], np.int64)

    def _masters(self) -> tuple[np.ndarray, Names]:
        counts = np.array([len(p.leafs) for p in self.plans])
        ptr = np.concatenate([[0], np.cumsum(counts)])
        first = {name: i for i, name in reversed(list(enumerate(self.master_names)))}
        merged = np.array([first[name] for name in self.master_names] or [0], np.int64)
        each = [merged[np.array(p.module.inst_master, np.int64)[p.leafs]] for p in self.plans]
        rows, _ = self._over_occurrences(ptr, self.occ_plan, np.arange(len(self.occ_plan)))
        used, master = np.unique(np.concatenate(each)[rows], return_inverse=True)
        return master, Names.of(self.master_names[i] for i in used.tolist())

    def _inst_names(self) -> list[bytes]:
        own = [[escaped(p.module.inst_names[i]) for i in p.leafs.tolist()] for p in self.plans]
        out: list[bytes] = []
        for path, plan in zip(self.occ_path, self.occ_plan.tolist(), strict=True):
            out += [path + b"/" + name for name in own[plan]] if path else own[plan]
        return out
