"""A placed design of any size from a small one: copies side by side on a grown die, as DEF and Verilog.

    gsr bench replica SOURCE.def --insts N --out DIR

Copy t is `core_t`, its insts and inner nets `core_t/NAME`. The copies form a chain: output j of a copy drives input j
of the next (`link_t[j]`), the first and the last link are ports. Inputs with many pins, such as clock and reset, are
one port for all copies. Rows and tracks go over the whole die; wires, power grid, blockages and fill stay behind.
Writes `replica.def`, the flat `replica.v`, and `replica_hier.v`, which elaborates to the same netlist, in a few seconds
a million insts.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from circuit_io.codes import STATUS, USES  # noqa: E402
from circuit_io.def_ import ORIENTS, DefDesign, read_def  # noqa: E402

MAX_CHAINED = 16  # pins of an input's net; a net with more goes to all copies
SHARED, INNER, NEXT, PREVIOUS = 0, 1, 2, 3
_HERE, _NEXT, _BEFORE = b"\0", b"\1", b"\2"  # in templates: `core_t/`, `link_t+1`, `link_t`
_WORDS = {code: word for word, code in STATUS.items()}


@dataclass(frozen=True)
class Replica:
    """What was written."""

    def_: Path
    flat_verilog: Path
    verilog: Path
    insts: int
    nets: int
    iterms: int
    copies: int


class _Core:
    """The source: which nets leave it and how, and the text templates of one copy."""

    def __init__(self, placed: DefDesign) -> None:
        self.placed = placed
        self.inst, self.pin = placed.conn_inst, placed.conn_pin
        self.net = np.repeat(np.arange(len(placed.net_names)), np.diff(placed.net_ptr))
        self.names = [n.decode().replace("\\", "") for n in placed.net_names.raw_list()]
        self.insts = [n.decode().replace("\\", "") for n in placed.inst_names.raw_list()]
        self.masters = placed.master_names.tolist()
        self.pins = placed.pin_names.tolist()
        self._sort_nets()

    def _sort_nets(self) -> None:
        """`kind` of each net, `port` (one bterm) of those with one, and `slot`, its bit of a link."""
        placed, n = self.placed, len(self.names)
        degree = np.diff(placed.net_ptr)
        ports: dict[int, list[int]] = {}
        for bterm, net in enumerate(placed.bterm_net.tolist()):
            if net >= 0:
                ports.setdefault(net, []).append(bterm)
        direction = placed.bterm_direction
        outs, ins = [], []
        self.kind = np.full(n, INNER, np.int8)
        self.port, self.slot = np.full(n, -1), np.full(n, -1)
        for net, bterms in ports.items():
            self.port[net] = bterms[0]
            only_out = all(direction[b] == 1 for b in bterms)
            if only_out:
                outs.append(net)
            elif degree[net] <= MAX_CHAINED and placed.net_use[net] == 0 and all(direction[b] == 0 for b in bterms):
                ins.append(net)
            else:
                self.kind[net] = SHARED
        self.width = min(len(outs), len(ins))
        for slot, (out, into) in enumerate(zip(outs, ins, strict=False)):
            self.kind[out], self.kind[into] = NEXT, PREVIOUS
            self.slot[out] = self.slot[into] = slot
        for net in ins[self.width :]:
            self.kind[net] = SHARED  # outputs without a partner stay inside and drive nothing
        self.of_kind = [np.flatnonzero(self.kind == k).tolist() for k in range(4)]
        self.of_kind[NEXT].sort(key=lambda net: self.slot[net])
        self.of_kind[PREVIOUS].sort(key=lambda net: self.slot[net])

    def conns(self, net: int) -> bytes:
        """The connections of a net to insts, as DEF, for one copy."""
        span = slice(self.placed.net_ptr[net], self.placed.net_ptr[net + 1])
        pairs = zip(self.inst[span].tolist(), self.pin[span].tolist(), strict=True)
        return b"".join(
            b" ( " + _HERE + _def_name(self.insts[i]) + b" " + self.pins[p].encode() + b" )" for i, p in pairs if i >= 0
        )

    def way(self, net: int) -> bytes:
        """Direction of the port on a net, in Verilog."""
        return (b"input", b"output", b"inout")[min(2, max(0, int(self.placed.bterm_direction[self.port[net]])))]

    def actual(self, net: int, *, flat: bool) -> bytes:
        """A net as the insts of one copy name it in Verilog; in the module of a copy when not `flat`."""
        kind = self.kind[net]
        if kind == SHARED or not flat:
            return _verilog_name(self.names[net])
        if kind == INNER:
            return b"\\" + _HERE + self.names[net].encode() + b" "
        return (_NEXT if kind == NEXT else _BEFORE) + b"[%d]" % self.slot[net]

    def verilog_insts(self, *, flat: bool) -> bytes:
        """All insts of one copy with their connections."""
        order = np.argsort(self.inst, kind="stable")
        order = order[self.inst[order] >= 0]
        begin = np.searchsorted(self.inst[order], np.arange(len(self.insts) + 1)).tolist()
        actual = [self.actual(net, flat=flat) for net in range(len(self.names))]
        joined = [b"." + _verilog_name(self.pins[p]) + b"(" + actual[n] + b")" for p, n in
                  zip(self.pin[order].tolist(), self.net[order].tolist(), strict=True)]  # fmt: skip
        out = []
        for i, name in enumerate(self.insts):
            name_text = b"\\" + _HERE + name.encode() + b" " if flat else _verilog_name(name)
            master = self.masters[self.placed.inst_master[i]].encode()
            out.append(b" " + master + b" " + name_text + b" (" + b", ".join(joined[begin[i] : begin[i + 1]]) + b");\n")
        return b"".join(out)


def _def_name(name: str) -> bytes:
    return name.replace("[", "\\[").replace("]", "\\]").encode()


def _verilog_name(name: str) -> bytes:
    plain = name.isascii() and name.replace("_", "a").isalnum() and not name[0].isdigit()
    return name.encode() if plain else b"\\" + name.encode() + b" "


@dataclass(frozen=True)
class _Floor:
    """Where the copies go, in dbu."""

    columns: int
    rows: int
    pitch: tuple[int, int]
    die: tuple[int, int, int, int]
    core: tuple[int, int]

    def place(self, copy: int) -> tuple[int, int]:
        """Shift of a copy; rows of copies run to and fro, so that neighbours in the chain touch."""
        row, column = divmod(copy, self.columns)
        column = self.columns - 1 - column if row % 2 else column
        return column * self.pitch[0], row * self.pitch[1]


def _floor(placed: DefDesign, copies: int) -> _Floor:
    """A grid of copies that is as square as it can be; their rows touch."""
    x1, y1, x2, y2 = placed.die_dbu
    low = placed.row_xy_dbu.min(axis=0)
    levels = np.unique(placed.row_xy_dbu[:, 1])
    height = int(levels[1] - levels[0])
    step = int(placed.row_step_dbu[0, 0])
    width = int((placed.row_xy_dbu[:, 0] + placed.row_count[:, 0] * placed.row_step_dbu[:, 0]).max() - low[0])
    pitch = (math.ceil(width / step) * step, math.ceil(len(levels) / 2) * 2 * height)
    columns = max(1, round(math.sqrt(copies * pitch[1] / pitch[0])))
    rows = math.ceil(copies / columns)
    end = (x2 + (columns - 1) * pitch[0], y2 + (rows - 1) * pitch[1])
    return _Floor(columns, rows, pitch, (x1, y1, *end), (int(low[0]), int(low[1])))


def _floorplan(placed: DefDesign, floor: _Floor, name: str) -> Iterator[bytes]:
    x1, y1, x2, y2 = floor.die
    yield b'VERSION 5.8 ;\nDIVIDERCHAR "/" ;\nBUSBITCHARS "[]" ;\n'
    yield f"DESIGN {name} ;\nUNITS DISTANCE MICRONS {placed.dbu_per_um} ;\n".encode()
    yield f"DIEAREA ( {x1} {y1} ) ( {x2} {y2} ) ;\n".encode()
    order = np.unique(placed.row_xy_dbu[:, 1], return_index=True)[1]
    site = placed.row_site_names.raw(int(placed.row_site[order[0]])).decode()
    step = int(placed.row_step_dbu[order[0], 0])
    height = int(np.diff(placed.row_xy_dbu[order[:2], 1])[0])
    for i in range(floor.rows * floor.pitch[1] // height):
        turn = ORIENTS[placed.row_orient[order[i % 2]]]
        x, y, count = floor.core[0], floor.core[1] + i * height, floor.columns * floor.pitch[0] // step
        yield f"ROW ROW_{i} {site} {x} {y} {turn} DO {count} BY 1 STEP {step} 0 ;\n".encode()
    for i, layer in enumerate(placed.track_layer.tolist()):
        axis, start, step = int(placed.track_axis[i]), int(placed.track_start[i]), int(placed.track_step[i])
        grown = floor.die[axis + 2] - placed.die_dbu[axis + 2]
        count = int(placed.track_count[i]) + grown // step
        at = placed.layer_names[layer]
        yield f"TRACKS {'XY'[axis]} {start} DO {count} STEP {step} LAYER {at} ;\n".encode()


def _ports(core: _Core, copies: int) -> list[tuple[str, int]]:
    """Name and source bterm of each port."""
    out = [(core.names[net], int(core.port[net])) for net in core.of_kind[SHARED]]
    out += [(f"link_0[{core.slot[net]}]", int(core.port[net])) for net in core.of_kind[PREVIOUS]]
    return out + [(f"link_{copies}[{core.slot[net]}]", int(core.port[net])) for net in core.of_kind[NEXT]]


def _pins(core: _Core, floor: _Floor, copies: int) -> Iterator[bytes]:
    """PINS; a port on the right or upper edge of the source is on that edge of the grown die."""
    placed = core.placed
    shape_of = np.searchsorted(placed.bterm_shape_bterm, np.arange(len(placed.bterm_names)))
    old, grown = np.asarray(placed.die_dbu), np.asarray(floor.die)[2:] - np.asarray(placed.die_dbu)[2:]
    found = _ports(core, copies)
    yield b"PINS %d ;\n" % len(found)
    for name, bterm in found:
        text = name.encode() if name.startswith("link_") else _def_name(name)
        way = ("INPUT", "OUTPUT", "INOUT", "FEEDTHRU")[max(0, int(placed.bterm_direction[bterm]))]
        xy = placed.bterm_xy_dbu[bterm]
        to = xy + np.where(2 * (xy - old[:2]) > old[2:] - old[:2], grown, 0)
        yield b"- %s + NET %s + DIRECTION %s + USE SIGNAL" % (text, text, way.encode())
        at = int(shape_of[bterm])
        if at < len(placed.bterm_shape_bterm) and placed.bterm_shape_bterm[at] == bterm:
            x1, y1, x2, y2 = (placed.bterm_shape_rect_dbu[at] - np.tile(xy, 2)).tolist()
            layer = placed.layer_names[int(placed.bterm_shape_layer[at])]
            yield f" + PORT + LAYER {layer} ( {x1} {y1} ) ( {x2} {y2} )".encode()
        yield b" + PLACED ( %d %d ) N ;\n" % (to[0], to[1])
    yield b"END PINS\n"


def _components(core: _Core, floor: _Floor, copies: int) -> Iterator[bytes]:
    placed = core.placed
    columns = (core.insts, placed.inst_master.tolist(), placed.inst_status.tolist(), placed.inst_orient.tolist())
    whole = "".join(
        "- core_%d/" + f"{_def_name(name).decode()} {core.masters[m]} + {_WORDS[s].decode()}".replace("%", "%%")
        + f" ( %d %d ) {ORIENTS[o]} ;\n" for name, m, s, o in zip(*columns, strict=True)
    )  # fmt: skip
    yield b"COMPONENTS %d ;\n" % (copies * len(core.insts))
    table = np.empty((len(core.insts), 3), np.int64)
    for copy in range(copies):
        table[:, 0] = copy
        table[:, 1:] = placed.inst_xy_dbu + floor.place(copy)
        yield (whole % tuple(table.ravel().tolist())).encode()
    yield b"END COMPONENTS\n"


def _nets(core: _Core, copies: int) -> Iterator[bytes]:
    words = {code: word for word, code in reversed(USES.items())}
    use = [b" + USE " + words[u] + b" ;\n" for u in core.placed.net_use.tolist()]
    into = [core.conns(net) for net in core.of_kind[PREVIOUS]]
    out = [core.conns(net) for net in core.of_kind[NEXT]]
    yield b"NETS %d ;\n" % _num_nets(core, copies)
    inner = b"".join(b"- " + _HERE + _def_name(core.names[n]) + core.conns(n) + use[n] for n in core.of_kind[INNER])
    for copy in range(copies + 1):
        here, before = b"core_%d/" % copy, b"core_%d/" % (copy - 1)
        for slot in range(core.width):
            name = b"link_%d[%d]" % (copy, slot)
            port = b" ( PIN " + name + b" )" if copy in (0, copies) else b""
            text = out[slot].replace(_HERE, before) if copy else b""
            text += into[slot].replace(_HERE, here) if copy < copies else b""
            yield b"- " + name + port + text + b" + USE SIGNAL ;\n"
        if copy < copies:
            yield inner.replace(_HERE, here)
    for net in core.of_kind[SHARED]:
        name, text = _def_name(core.names[net]), core.conns(net)
        yield b"- " + name + b" ( PIN " + name + b" )"
        yield from (text.replace(_HERE, b"core_%d/" % copy) for copy in range(copies))
        yield use[net]
    yield b"END NETS\nEND DESIGN\n"


def _num_nets(core: _Core, copies: int) -> int:
    return copies * len(core.of_kind[INNER]) + (copies + 1) * core.width + len(core.of_kind[SHARED])


def _verilog(core: _Core, copies: int, name: str, *, flat: bool) -> Iterator[bytes]:
    shared = [_verilog_name(core.names[n]) for n in core.of_kind[SHARED]]
    links = [b"link_0", b"link_%d" % copies] if core.width else []
    if not flat:
        yield from _core_module(core)
    yield b"module " + name.encode() + b" (" + b", ".join(shared + links) + b");\n"
    for net, port in zip(core.of_kind[SHARED], shared, strict=True):
        yield b" " + core.way(net) + b" " + port + b";\n"
    for i, link in enumerate(b"link_%d" % t for t in range(copies + 1) if core.width):
        way = b"input" if i == 0 else b"output" if i == copies else b"wire"
        yield b" %s [%d:0] %s;\n" % (way, core.width - 1, link)
    if flat:
        wires = b"".join(b" wire \\" + _HERE + core.names[n].encode() + b" ;\n" for n in core.of_kind[INNER])
        yield from (wires.replace(_HERE, b"core_%d/" % t) for t in range(copies))
        insts = core.verilog_insts(flat=True)
        for t in range(copies):
            text = insts.replace(_HERE, b"core_%d/" % t).replace(_NEXT, b"link_%d" % (t + 1))
            yield text.replace(_BEFORE, b"link_%d" % t)
    else:
        joined = b"".join(b", ." + port + b"(" + port + b")" for port in shared)
        for t in range(copies):
            bits = _bits(core, NEXT, b"link_%d" % (t + 1)) + _bits(core, PREVIOUS, b"link_%d" % t)
            yield b" core core_%d (" % t + (bits + joined)[2:] + b");\n"
    yield b"endmodule\n"


def _bits(core: _Core, kind: int, link: bytes) -> bytes:
    nets = core.of_kind[kind]
    return b"".join(b", ." + _verilog_name(core.names[n]) + b"(%s[%d])" % (link, core.slot[n]) for n in nets)


def _core_module(core: _Core) -> Iterator[bytes]:
    """The module of one copy."""
    nets = [n for kind in (SHARED, NEXT, PREVIOUS) for n in core.of_kind[kind]]
    ports = [_verilog_name(core.names[n]) for n in nets]
    yield b"module core (" + b", ".join(ports) + b");\n"
    for net, port in zip(nets, ports, strict=True):
        yield b" " + core.way(net) + b" " + port + b";\n"
    yield from (b" wire " + _verilog_name(core.names[n]) + b";\n" for n in core.of_kind[INNER])
    yield core.verilog_insts(flat=False) + b"endmodule\n"


def _write(path: Path, parts: Iterable[bytes]) -> Path:
    with path.open("wb", buffering=1 << 20) as f:
        f.writelines(parts)
    return path


def replicate(source: Path, out: Path, *, insts: int, verilog: bool = True) -> Replica:
    """Write the copies of a placed DEF whose insts come nearest to `insts`, at least one copy, into the folder `out`.

    Args:
        source: a placed DEF with ROWs and ports, plain or gz.
        out: a folder, made if it is not there; older files in it are replaced.
        insts: how many insts are wanted.
        verilog: write the two netlists as well.
    """
    core = _Core(read_def(source))
    copies = max(1, round(insts / len(core.insts)))
    floor, name = _floor(core.placed, copies), "replica"
    out.mkdir(parents=True, exist_ok=True)
    parts = (_floorplan(core.placed, floor, name), _components(core, floor, copies), _pins(core, floor, copies),
             _nets(core, copies))  # fmt: skip
    _write(out / "replica.def", (text for part in parts for text in part))
    if verilog:
        _write(out / "replica.v", _verilog(core, copies, name, flat=True))
        _write(out / "replica_hier.v", _verilog(core, copies, name, flat=False))
    iterms = copies * int((core.inst >= 0).sum())
    return Replica(out / "replica.def", out / "replica.v", out / "replica_hier.v", copies * len(core.insts),
                   _num_nets(core, copies), iterms, copies)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Write one replica and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--insts", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    made: dict[str, Any] = vars(replicate(args.source, args.out, insts=args.insts))
    print(", ".join(f"{key} {value}" for key, value in made.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
