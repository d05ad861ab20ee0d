"""Random hierarchical netlists: as text in any layout, and flattened by plain loops."""

import random
import re
from collections import defaultdict
from dataclasses import dataclass, field

Bit = tuple[str, int | None] | int  # (net, index or None), or the constants 0 and 1
Node = tuple[tuple[str, ...], str, int | None]  # path of the occurrence, net, index

NAMES = ["a", "b", "n1", "_q$", "a[0]", "x/y", "u.v;", "n//c", "sel[cause]", "w'1", "module", "d(3)", 'q"', "\\", "(*k"]
LEAFS = {"INV": ("A", "ZN"), "NAND2": ("A1", "A2", "ZN"), "esc'cell": ("p/in", "Q[0]")}


@dataclass
class Module:
    name: str
    ranges: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)  # direction: 0 in, 1 out, 2 inout
    leafs: list[tuple[str, str, dict[str, Bit | None]]] = field(default_factory=list)
    subs: list[tuple[str, "Module", dict[str, list[Bit]]]] = field(default_factory=list)
    assigns: list[tuple[list[Bit], list[Bit]]] = field(default_factory=list)

    def bits(self, name: str) -> list[Bit]:
        """All bits of a net, leftmost first."""
        ends = self.ranges[name]
        if ends is None:
            return [(name, None)]
        step = 1 if ends[1] >= ends[0] else -1
        return [(name, i) for i in range(ends[0], ends[1] + step, step)]


def random_design(rng: random.Random) -> Module:
    """The top of a random hierarchy."""
    known: list[Module] = []
    for level in range(rng.randint(1, 4)):
        known.append(_random_module(rng, f"m{level}" if rng.random() < 0.8 else f"m{level}/x", known))
    return known[-1]


def _random_module(rng: random.Random, name: str, known: list[Module]) -> Module:
    module = Module(name)
    for net in rng.sample(NAMES, rng.randint(3, 8)):
        left = rng.randint(-2, 5)
        module.ranges[net] = rng.choice(
            [None, None, (left, left + rng.randint(0, 3)), (left, left - rng.randint(0, 3))]
        )
    for net in rng.sample(list(module.ranges), rng.randint(1, 3)):
        module.ports[net] = rng.randint(0, 2)
    if "a" in module.ports:
        module.ports.pop("a[0]", None)  # a bit of `a` may have the same name as a pin of the top
    nets = [bit for net in module.ranges for bit in module.bits(net)]
    for i in range(rng.randint(1, 5)):
        master = rng.choice(list(LEAFS))
        pins = {pin: rng.choice([*nets, 0, 1, None]) for pin in LEAFS[master]}
        module.leafs.append((rng.choice([f"u{i}", f"u/{i}", f"u[{i}]"]), master, pins))
    for i in range(rng.randint(0, 3) if known else 0):
        child = rng.choice(known)
        conns = {}
        for port in rng.sample(list(child.ports), rng.randint(0, len(child.ports))):
            conns[port] = [rng.choice([*nets, 0]) for _ in child.bits(port)] if rng.random() < 0.9 else []
        module.subs.append((rng.choice([f"s{i}", f"s.{i}"]), child, conns))
    for _ in range(rng.randint(0, 2)):
        width = rng.randint(1, 3)
        pair = [[rng.choice(nets) for _ in range(width)], [rng.choice([*nets, 0]) for _ in range(width)]]
        module.assigns.append((pair[0], pair[1]))
    return module


def quoted(name: str) -> str:
    """A name as Verilog writes it; an escaped one ends with its blank."""
    if re.fullmatch(r"[A-Za-z_][\w$]*", name) and name != "module":
        return name
    return f"\\{name} "


class Writer:
    """Writes tokens with a random layout between them."""

    def __init__(self, rng: random.Random, *, plain: bool) -> None:
        self.rng, self.plain = rng, plain

    def gap(self) -> str:
        """What may stand between two tokens."""
        if self.plain:
            return " "
        return self.rng.choice([" ", "\n", "\t", "\r\n", "  ", " /* ; endmodule */ ", " // endmodule ; '\"\n", "\n\n"])

    def statement(self, *tokens: str) -> str:
        """One statement."""
        note = '(* src = "a.v:3; endmodule /* x", keep *) ' if not self.plain and self.rng.random() < 0.3 else ""
        return note + "".join(token + self.gap() for token in tokens) + self.rng.choice([" ", "\n", "\r\n"])

    def bits(self, bits: list[Bit], module: Module) -> list[str]:
        """An expression of these bits, in one of the ways the language has."""
        names = {bit[0] for bit in bits if isinstance(bit, tuple)}
        if len(names) == 1 and all(isinstance(bit, tuple) for bit in bits):
            name = next(iter(names))
            whole = module.bits(name)
            if bits == whole and self.rng.random() < 0.7:
                return [quoted(name)]
            at = whole.index(bits[0])
            if whole[at : at + len(bits)] == bits and len(bits) > 1:
                return [quoted(name), "[", str(bits[0][1]), ":", str(bits[-1][1]), "]"]
        if not bits:
            return []
        if len(set(bits)) == 1 and len(bits) > 1:
            return ["{", str(len(bits)), "{", *self.one(bits[0]), "}", "}"]
        if len(bits) == 1:
            return self.one(bits[0])
        out = ["{"]
        for i, bit in enumerate(bits):
            out += [",", *self.one(bit)] if i else self.one(bit)
        return [*out, "}"]

    def one(self, bit: Bit) -> list[str]:
        """One bit."""
        if isinstance(bit, int):
            return [self.rng.choice([f"1'b{bit}", f"1'h{bit}", f"1'B{bit}"])]
        return [quoted(bit[0])] if bit[1] is None else [quoted(bit[0]), "[", str(bit[1]), "]"]

    def module(self, m: Module) -> str:
        """The module as text."""
        out = [self.statement("module", quoted(m.name), "(", *self.commas([[quoted(p)] for p in m.ports]), ")", ";")]
        for net, ends in m.ranges.items():
            word = ["input", "output", "inout"][m.ports[net]] if net in m.ports else "wire"
            shown = ["[", str(ends[0]), ":", str(ends[1]), "]"] if ends else []
            out.append(self.statement(word, *shown, quoted(net), ";"))
        items = []
        for name, master, pins in m.leafs:
            conns = [[".", quoted(p), "(", *self.bits([] if b is None else [b], m), ")"] for p, b in pins.items()]
            items.append(self.statement(quoted(master), quoted(name), "(", *self.commas(conns), ")", ";"))
        for name, child, subs in m.subs:
            conns = [[".", quoted(p), "(", *self.bits(bits, m), ")"] for p, bits in subs.items()]
            items.append(self.statement(quoted(child.name), quoted(name), "(", *self.commas(conns), ")", ";"))
        for left, right in m.assigns:
            items.append(self.statement("assign", *self.bits(left, m), "=", *self.bits(right, m), ";"))
        return "".join([*out, *items, self.statement("endmodule")])

    @staticmethod
    def commas(parts: list[list[str]]) -> list[str]:
        """The parts with commas between them."""
        return [token for i, part in enumerate(parts) for token in ([",", *part] if i else part)]


def text_of(top: Module, rng: random.Random, *, plain: bool = False) -> str:
    """The whole file."""
    order: dict[str, Module] = {}

    def visit(module: Module) -> None:
        for _, child, _ in module.subs:
            visit(child)
        order[module.name] = module

    visit(top)
    writer = Writer(rng, plain=plain)
    return "".join(writer.module(module) for module in order.values())


@dataclass
class Reference:
    """A design flattened by plain loops over a union-find of nodes."""

    parent: dict[Node, Node] = field(default_factory=dict)
    zero: set[Node] = field(default_factory=set)
    pins: dict[tuple[str, str], Node | int] = field(default_factory=dict)
    masters: dict[str, str] = field(default_factory=dict)

    def find(self, node: Node) -> Node:
        """The representative of a node's net."""
        while self.parent.setdefault(node, node) != node:
            node = self.parent[node]
        return node

    def join(self, a: Node | int, b: Node | int) -> None:
        """Make two nodes one net, or tie one to 0."""
        if isinstance(a, int) or isinstance(b, int):
            self.zero.update(x for x in (a, b) if not isinstance(x, int))
            return
        self.parent[self.find(a)] = self.find(b)

    def visit(self, module: Module, path: tuple[str, ...]) -> None:
        """Add one occurrence and all below it."""

        def node(bit: Bit) -> Node | int:
            return bit if isinstance(bit, int) else (path, bit[0], bit[1])

        for name, master, pins in module.leafs:
            inst = path_name((*path, name))
            self.masters[inst] = master
            for pin, bit in pins.items():
                if bit is not None:
                    self.pins[inst, pin] = node(bit)
        for name, child, conns in module.subs:
            below = (*path, name)
            self.visit(child, below)
            for port, bits in conns.items():
                for inner, outer in zip(child.bits(port), bits, strict=False):
                    self.join((below, inner[0], inner[1]), node(outer))
        for left, right in module.assigns:
            for a, b in zip(left, right, strict=True):
                self.join(node(a), node(b))

    def nets(self) -> tuple[set[frozenset[tuple[str, str]]], dict[tuple[str, str], int]]:
        """Nets as sets of (inst, pin), and the pins tied to a constant."""
        zero = {self.find(node) for node in self.zero}
        nets, tied = defaultdict(set), {}
        for pin, node in self.pins.items():
            if isinstance(node, int):
                tied[pin] = node
            elif self.find(node) in zero:
                tied[pin] = 0
            else:
                nets[self.find(node)].add(pin)
        return {frozenset(pins) for pins in nets.values()}, tied


def path_name(path: tuple[str, ...]) -> str:
    """A path as the reader names it."""
    return "/".join(part.replace("/", "\\/") for part in path)


def bit_name(net: str, index: int | None) -> str:
    """A bit as the reader names it."""
    return net.replace("/", "\\/") + ("" if index is None else f"[{index}]")


def flatten(top: Module) -> Reference:
    """The design below `top`; ports of the top are pins of the inst ""."""
    reference = Reference()
    reference.visit(top, ())
    for port in top.ports:
        for name, index in top.bits(port):
            reference.pins["", bit_name(name, index)] = ((), name, index)
    return reference
