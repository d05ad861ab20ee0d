"""Modules made static for flattening: which instances are library cells, which rows each of them adds."""

import itertools
import logging
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int32

from circuit_io.errors import InputError, did_you_mean
from circuit_io.verilog_bits import Module
from circuit_io.verilog_expr import show
from circuit_io.verilog_modules import ModuleTable
from circuit_io.verilog_ports import port_bit_names
from circuit_io.verilog_rows import translated
from circuit_io.verilog_text import most_bits
from circuit_io.verilog_words import CONST_0, NOTHING

_log = logging.getLogger(__name__)
_NONE = np.zeros(0, np.int64)
MAX_BUS_BITS = 1 << 25  # on buses of all library cells and modules that the files instantiate
_FEW_PINS = 8
_NO_ROWS = np.zeros((2, 0), np.int32)
_OTHER = -9  # beside bits and codes: an expression of no bit or of several


class PinNames:
    """Numbers pin names, with and without a bit index."""

    def __init__(self, raw: Iterable[bytes]) -> None:
        """Number the names as the files write them."""
        self.ids: dict[bytes, int] = {}
        self.names: list[bytes] = []
        self.of_raw = np.array([self.id(name.removeprefix(b"\\")) for name in raw], np.int32)

    def id(self, name: bytes) -> int:
        """The number of a name, a new one at its first use."""
        found = self.ids.get(name)
        if found is None:
            found = self.ids[name] = len(self.names)
            self.names.append(name)
        return found


class Plan:
    """One module made static: its library cells and their connected bits, its sub-modules, its edges."""

    def __init__(self, module: Module) -> None:
        """Start with the edges of its assigns."""
        self.module = module
        self.leafs = _NONE  # its instances that are library cells
        self.leaf_ptr = np.zeros(1, np.int32)  # rows of each of them, one for each connected bit: pin and bit
        self.leaf_pin = self.leaf_bit = _NONE
        self.subs = self.sub_plan = _NONE  # its instances that are modules, and which
        self.sub_ptr = np.zeros(1, np.int64)  # rows of each sub-module: bit here, bit there
        self.sub_outer = self.sub_inner = _NONE
        self.edge_a, self.edge_b = module.edges.T


class Planner:
    """Plans of all modules below one top, parents before children."""

    def __init__(self, table: ModuleTable, top: bytes) -> None:
        """Find the modules below `top` and make each static.

        Raises:
            InputError: a module that contains itself, an unknown port, a name or pin used twice.
        """
        self.table = table
        self.master_names = [name.removeprefix(b"\\") for name in table.names.masters]
        self.pins = PinNames(table.names.pins)
        self.has_ports = np.array([name in table.modules for name in self.master_names], bool)
        self.order = self._sorted(top)
        number = {name: i for i, name in enumerate(self.order)}
        self.sub_of = np.array([number.get(name, -1) for name in self.master_names], np.int64)
        self.num_resized = self.num_bus_bits = 0
        self.bus_pins: dict[tuple[bytes, bytes | int], np.ndarray] = {}
        self.plans = [self._plan(table.modules[name]) for name in self.order]
        for source in {id(p.module.source): p.module.source for p in self.plans}.values():
            source.faults.raise_if_any()
        if resized := self.num_resized + sum(p.module.num_resized for p in self.plans):
            _log.warning("%d connections or assigns join vectors of different widths", resized)

    def _expanded(self, master: bytes) -> bool:
        return not self.table.modules[master].is_stub

    def _children(self, name: bytes) -> list[bytes]:
        masters = self.table.modules[name].body.inst_master
        used = dict.fromkeys(masters[self.has_ports[masters]].tolist())
        return [master for i in used if self._expanded(master := self.master_names[i])]

    def _sorted(self, top: bytes) -> list[bytes]:
        """The modules so that a parent comes before its children."""
        is_open: dict[bytes, bool] = {top: True}
        finished: list[bytes] = []
        stack = [(top, iter(self._children(top)))]
        while stack:
            name, children = stack[-1]
            child = next(children, None)
            if child is None:
                is_open[name] = False
                finished.append(name)
                stack.pop()
            elif is_open.get(child):
                module = self.table.modules[child]
                what, path = f'module "{show(child)}" contains itself', module.source.path
                raise InputError(what, path=path, line=module.line, mend="Break the loop of instances.")
            elif child not in is_open:
                is_open[child] = True
                stack.append((child, iter(self._children(child))))
        return finished[::-1]

    def _plan(self, module: Module) -> Plan:
        plan = Plan(module)
        sub = self.sub_of[module.body.inst_master]
        plan.leafs, plan.subs = np.flatnonzero(sub < 0), np.flatnonzero(sub >= 0)
        plan.sub_plan = sub[plan.subs]
        if module.body.has_repeats:
            _fault_repeated_names(module)
        self._add_leaf_rows(plan, sub < 0)
        self._add_sub_rows(plan)
        return plan

    def _add_leaf_rows(self, plan: Plan, is_leaf: np.ndarray) -> None:
        module, body = plan.module, plan.module.body
        width = np.diff(module.expr_ptr)
        alone = np.full(len(width), _OTHER, np.int32)  # the bit of an expression that has one
        alone[width == 1] = module.expr_bits[module.expr_ptr[:-1][width == 1]]
        raw, bit, ptr = body.conn_pin, alone[body.conn_expr], body.pin_ptr
        is_plain = (bit != _OTHER) & (raw >= 0)
        described = self.has_ports[body.inst_master]
        if described.any():
            is_plain &= np.repeat(~described, np.diff(ptr))
        wide: list[np.ndarray] = []
        if not is_plain.all():  # a connection may add no row, or several
            count = is_plain.astype(np.int32)
            wide = self._wide_rows(module, is_leaf, described, count)
            raw, bit, is_plain, ptr = *(np.repeat(x, count) for x in (raw, bit, is_plain)), _starts(count)[ptr]
        pin = translated(raw, self.pins.of_raw)
        if wide:
            pin[~is_plain], bit[~is_plain] = np.concatenate(wide, 1)
        ptr = np.append(ptr[:-1][is_leaf], ptr[-1:]).astype(np.int32)
        self._check_repeated_pins(plan, pin, ptr)
        used = bit != NOTHING
        if not used.all():
            pin, bit, ptr = pin[used], bit[used], _starts(used)[ptr]
        plan.leaf_ptr, plan.leaf_pin, plan.leaf_bit = ptr, pin, bit

    def _wide_rows(
        self, module: Module, is_leaf: np.ndarray, described: np.ndarray, count: np.ndarray
    ) -> list[np.ndarray]:
        """Pins and bits of the connections of library cells that `count` has no row of; how many goes there."""
        body, found = module.body, []
        conns = np.flatnonzero(count == 0)
        insts = np.searchsorted(body.pin_ptr, conns, side="right") - 1
        for c, i in zip(conns[is_leaf[insts]].tolist(), insts[is_leaf[insts]].tolist(), strict=True):
            expr = body.conn_expr[c]
            if module.expr_ptr[expr] < module.expr_ptr[expr + 1]:
                rows = self._rows_of(module, i, c)
                count[c] = rows.shape[1]
                found.append(rows)
            elif described[i]:
                self._port(module, self._master(module, i), i, int(body.conn_pin[c]))
        return found

    def _master(self, module: Module, inst: int) -> bytes:
        return self.master_names[int(module.body.inst_master[inst])]

    def _check_repeated_pins(self, plan: Plan, pin: np.ndarray, ptr: np.ndarray) -> None:
        """Fault pins that an inst has twice; its rows stand together, so that neighbours tell for insts of few pins."""
        module, inst = plan.module, np.repeat(plan.leafs.astype(np.int32), np.diff(ptr))
        for gap in range(1, _FEW_PINS + 1):
            of_one = inst[gap:] == inst[:-gap]
            if not of_one.any():
                return
            if (of_one & (pin[gap:] == pin[:-gap])).any():
                break
        else:
            has_many = np.zeros(inst[-1] + 1, bool)
            has_many[inst[_FEW_PINS:][of_one]] = True
            inst, pin = inst[has_many[inst]], pin[has_many[inst]]
        num_pins = len(self.pins.names) + 1
        key = np.sort(inst.astype(np.int64) * num_pins + pin)
        for again in key[1:][key[1:] == key[:-1]].tolist():
            i, p = divmod(again, num_pins)
            module.fault(
                f'pin "{show(self.pins.names[p])}" is connected twice', int(module.body.inst_at[i]), "Keep one of them."
            )

    def _rows_of(self, module: Module, inst: int, conn: int) -> Int32[np.ndarray, "2 rows"]:
        """Pins and bits of a connection of a library cell: a bus, by place, or of a cell described in the file."""
        body = module.body
        raw_pin, expr, at = int(body.conn_pin[conn]), int(body.conn_expr[conn]), int(body.inst_at[inst])
        master = self._master(module, inst)
        stub = self.table.modules.get(master)
        if stub is not None:
            port = self._port(module, master, inst, raw_pin)
            if port is None:
                return _NO_ROWS
            is_net = np.array(stub.ports[port], np.int64) >= 0
            if (master, port) not in self.bus_pins:
                names = port_bit_names(stub, port, stub.shown[port])
                self.bus_pins[master, port] = self._pin_ids(itertools.compress(names, is_net.tolist()))
            pins = self.bus_pins[master, port]
            bits = np.array(self._fitted(module, stub, port, conn), np.int32)[is_net]
            return np.stack([pins, bits])
        if raw_pin < 0:
            mend = f'Connect pins by name, or add "module {show(master)} (...); ... endmodule" with its ports.'
            module.fault(f'pins of "{show(master)}" are connected by place, but its pin order is unknown', at, mend)
            return _NO_ROWS
        name = self.pins.names[self.pins.of_raw[raw_pin]]
        if not module.expr_sized[expr]:
            what = f'pin "{show(name)}" of "{show(master)}" is tied to a number without a width'
            module.fault(what, at, "Write it with its width: 1'b0.")
            return _NO_ROWS
        bits = module.expr_bits[module.expr_ptr[expr] : module.expr_ptr[expr + 1]]
        self._count_bus(module, len(bits))
        if (name, len(bits)) not in self.bus_pins:
            self.bus_pins[name, len(bits)] = self._pin_ids(b"%b[%d]" % (name, i) for i in reversed(range(len(bits))))
        return np.stack([self.bus_pins[name, len(bits)], bits])

    def _pin_ids(self, names: Iterable[bytes]) -> np.ndarray:
        return np.array([self.pins.id(name) for name in names], np.int32)

    def _count_bus(self, module: Module, width: int) -> None:
        self.num_bus_bits += width
        if self.num_bus_bits > (most := min(MAX_BUS_BITS, most_bits(self.table.size))):
            what = f"more than {most:,} bits of buses are connected"
            raise InputError(what, path=module.source.path, line=module.line, mend="Give a smaller netlist.")

    def _port(self, module: Module, master: bytes, inst: int, raw_pin: int) -> bytes | None:
        """The port of a described module that a connection means; None and a fault if there is none."""
        ports = list(self.table.modules[master].ports)
        if raw_pin < 0:
            if -1 - raw_pin < len(ports):
                return ports[-1 - raw_pin]
            what = f'more pins are connected than the {len(ports)} ports of module "{show(master)}"'
            module.fault(what, int(module.body.inst_at[inst]), "Remove the surplus.")
            return None
        name = self.pins.names[int(self.pins.of_raw[raw_pin])]
        if name in self.table.modules[master].ports:
            return name
        near = "" if module.source.faults.is_full else did_you_mean(show(name), [show(p) for p in ports])
        module.fault(f'"{show(name)}" is no port of module "{show(master)}"', int(module.body.inst_at[inst]), near)
        return None

    def _fitted(self, module: Module, child: Module, port: bytes, conn: int) -> list[int]:
        """A connection cut or filled on the left to the width of its port, as the language has it."""
        expr, width = int(module.body.conn_expr[conn]), len(child.ports[port])
        self._count_bus(module, width)
        value = module.expr(expr)
        if not value or not width:
            return [NOTHING] * width
        self.num_resized += len(value) != width and bool(module.expr_sized[expr])
        fill = CONST_0 if child.directions[port] == 0 else NOTHING
        return ([fill] * (width - len(value)) + value)[-width:]

    def _add_sub_rows(self, plan: Plan) -> None:
        module = plan.module
        outer: list[int] = []
        inner: list[int] = []
        ends = [0]
        for inst, sub in zip(plan.subs.tolist(), plan.sub_plan.tolist(), strict=True):
            child = self.table.modules[self.order[sub]]
            seen: set[bytes] = set()
            for conn in range(module.body.pin_ptr[inst], module.body.pin_ptr[inst + 1]):
                port = self._port(module, child.name, inst, int(module.body.conn_pin[conn]))
                if port is None:
                    continue
                if port in seen:
                    what = f'port "{show(port)}" is connected twice'
                    module.fault(what, int(module.body.inst_at[inst]), "Keep one of them.")
                seen.add(port)
                outer += self._fitted(module, child, port, conn)
                inner += child.ports[port]
            ends.append(len(outer))
        plan.sub_ptr = np.array(ends, np.int64)
        plan.sub_outer, plan.sub_inner = np.array(outer, np.int64), np.array(inner, np.int64)


def _starts(count: np.ndarray) -> Int32[np.ndarray, " n_plus_1"]:
    """Where the rows of each of some begin, and where all end."""
    starts = np.zeros(len(count) + 1, np.int32)
    np.cumsum(count, out=starts[1:])
    return starts


def _fault_repeated_names(module: Module) -> None:
    seen: set[bytes] = set()
    for name, at in zip(module.body.inst_names.raw_list(), module.body.inst_at.tolist(), strict=True):
        if name in seen:
            module.fault(f'instance "{show(name)}" is defined twice', at, "Rename one of them.")
        seen.add(name)
