#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Simulate every demo design, RTL beside netlist, on seeded random stimulus and compare both with a model in Python.

    python3 check/simulate.py [DESIGN ...]        # default: all designs of designs.toml

Needs Icarus Verilog (`iverilog`, `vvp`). Prints one line per design; the exit status is 1 if any differs.
"""

from __future__ import annotations

import gzip
import random
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

KIT = Path(__file__).resolve().parent.parent
MODELS = KIT / "tech" / "gsr45_models.v"
Row = dict[str, int]


@dataclass(frozen=True)
class Port:
    """One port of the top module."""

    name: str
    is_input: bool
    width: int


def ports_of(netlist: str) -> list[Port]:
    """Return the ports of the flat netlist in `netlist` but clk and rst_n."""
    found = re.findall(r"^  (input|output)(?: \[(\d+):0\])? (\w+);$", netlist, re.M)
    ports = [Port(name, word == "input", int(high or 0) + 1) for word, high, name in found]
    return [port for port in ports if port.name not in {"clk", "rst_n"}]


def bench(design: str, ports: list[Port], num_cycles: int) -> str:
    """Return a test bench that plays stimulus.hex and prints inputs, RTL outputs and netlist outputs at each edge."""
    inputs, outputs = [p for p in ports if p.is_input], [p for p in ports if not p.is_input]
    wires = [f"  wire [{p.width - 1}:0] {p.name} = row[{_low(inputs, p)} +: {p.width}];" for p in inputs]
    wires += [f"  wire [{p.width - 1}:0] rtl_{p.name}, net_{p.name};" for p in outputs]
    same = ", ".join(f".{p.name}({p.name})" for p in inputs)

    def links(prefix: str) -> str:
        return ", ".join([".clk(clk)", ".rst_n(rst_n)", same, *(f".{p.name}({prefix}_{p.name})" for p in outputs)])

    shown = ["row", *(f"{prefix}_{p.name}" for prefix in ("rtl", "net") for p in outputs)]
    width = sum(p.width for p in inputs)
    return "\n".join(
        [
            "`timescale 1ns/1ps",
            "module bench;",
            "  reg clk = 0, rst_n = 0;",
            f"  reg [{width - 1}:0] rows [0:{num_cycles - 1}];",
            f"  reg [{width - 1}:0] row;",
            "  integer i;",
            *wires,
            f"  {design} rtl ({links('rtl')});",
            f"  {design}_net net ({links('net')});",
            "  initial begin",
            '    $readmemh("stimulus.hex", rows);',
            "    row = 0; #10 rst_n = 1;",
            f"    for (i = 0; i < {num_cycles}; i = i + 1) begin",
            f'      row = rows[i]; #4 $display("{" ".join("%h" for _ in shown)}", {", ".join(shown)});',
            "      #1 clk = 1; #5 clk = 0;",
            "    end",
            "    $finish;",
            "  end",
            "endmodule",
            "",
        ]
    )


def _low(ports: list[Port], port: Port) -> int:
    return sum(p.width for p in ports[: ports.index(port)])


def simulate(design: str, stimulus: list[Row], work: Path) -> list[Row]:
    """Return inputs and outputs at each clock edge, after checking that RTL and netlist agree where both are known."""
    text = gzip.decompress((KIT / "netlists" / f"{design}.v.gz").read_bytes()).decode()
    ports = ports_of(text)
    inputs, outputs = [p for p in ports if p.is_input], [p for p in ports if not p.is_input]
    (work / "net.v").write_text(re.sub(rf"^module {design}\b", f"module {design}_net", text, flags=re.M))
    (work / "bench.v").write_text(bench(design, ports, len(stimulus)))
    rows = [sum(row.get(p.name, 0) << _low(inputs, p) for p in inputs) for row in stimulus]
    (work / "stimulus.hex").write_text("\n".join(f"{row:x}" for row in rows) + "\n")
    sources = [str(path) for path in (work / "bench.v", work / "net.v", KIT / "rtl" / f"{design}.v", MODELS)]
    subprocess.run(["iverilog", "-g2005", "-s", "bench", "-o", str(work / "bench.vvp"), *sources], check=True)
    out = subprocess.run(["vvp", "-n", "bench.vvp"], cwd=work, check=True, capture_output=True, text=True).stdout
    trace: list[Row] = []
    for cycle, (line, row) in enumerate(zip(out.splitlines(), stimulus, strict=True)):
        words = line.split()[1:]
        record: Row = {p.name: row.get(p.name, 0) for p in inputs}
        for port, rtl, net in zip(outputs, words[: len(outputs)], words[len(outputs) :], strict=True):
            if any(a != b and "x" not in (a + b).lower() for a, b in zip(rtl, net, strict=True)):
                raise AssertionError(f"{design}: cycle {cycle}: {port.name} is {rtl} in the RTL, {net} in the netlist")
            record[port.name] = int(re.sub("[xXzZ]", "0", net), 16)  # wide ports hold parts not yet written
        trace.append(record)
    return trace


def expect(what: str, got: object, wanted: object) -> None:
    """Raise unless both are equal."""
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, expected {wanted!r}")


def signed(value: int, bits: int) -> int:
    """Return the two's complement value of the low `bits` bits."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


# --- one function per design: runs it, compares with a model, returns the number of things compared -----------------

Run = Callable[[list[Row]], list[Row]]


def check_crc_bank(run: Run, rng: random.Random) -> int:
    """Compare every CRC with bit-by-bit division."""
    kinds = ((8, 0x07, 0x00), (16, 0x1021, 0xFFFF), (24, 0x864CFB, 0x555555), (32, 0x04C11DB7, 0xFFFFFFFF))
    rows = [
        {"clear": rng.random() < 0.02, "valid": rng.random() < 0.8, "data": rng.getrandbits(8), "select": i // 5 % 4}
        for i in range(2000)
    ]
    state, wanted, num = [start for _, _, start in kinds], None, 0
    for record, row in zip(run(rows), rows, strict=True):
        if wanted is not None:
            expect("crc", record["crc"], wanted)
            num += 1
        wanted = state[row["select"]] ^ (0xFFFFFFFF if row["select"] == 3 else 0)
        for k, (width, poly, start) in enumerate(kinds):
            if row["clear"]:
                state[k] = start
            elif row["valid"]:
                for bit in range(7, -1, -1):
                    top = state[k] >> (width - 1) ^ row["data"] >> bit & 1
                    state[k] = (state[k] << 1 & (1 << width) - 1) ^ (poly if top else 0)
    return num


def check_fir8(run: Run, rng: random.Random) -> int:
    """Compare the output with the convolution sum."""
    coef = [signed(rng.getrandbits(10), 10) for _ in range(8)]
    rows: list[Row] = [{"coef_write": 1, "coef_address": k, "coef_data": c & 1023} for k, c in enumerate(coef)]
    rows += [{"valid_in": rng.random() < 0.7, "x": rng.getrandbits(12)} for _ in range(2000)]
    samples = [signed(row["x"], 12) for row in rows if row.get("valid_in")]
    got = [record["y"] for record in run(rows) if record["valid_out"]]
    for n, y in enumerate(got):
        wanted = sum(coef[k] * samples[n - k] for k in range(8) if n >= k)
        expect("y", signed(y, 25), wanted)
    return len(got)


def check_systolic4(run: Run, rng: random.Random) -> int:
    """Multiply matrices, the rows and columns skewed by one clock each, and read the sums out."""
    pairs = [[[[signed(rng.getrandbits(8), 8) for _ in range(4)] for _ in range(4)] for _ in "ab"] for _ in range(40)]
    rows: list[Row] = []
    for a, b in pairs:
        rows.append({"clear": 1})
        for t in range(10):
            pick = {r: t - r for r in range(4) if 0 <= t - r < 4}
            left = sum((a[r][k] & 255) << 8 * r for r, k in pick.items())
            top = sum((b[k][c] & 255) << 8 * c for c, k in pick.items())
            rows.append({"step": 1, "a_column": left, "b_row": top})
        rows += [{"drain": 1}] * 4
    trace, num = run(rows), 0
    for i, (a, b) in enumerate(pairs):
        for d in range(4):
            sums = trace[15 * i + 11 + d]["sums"]
            for r in range(4):
                wanted = sum(a[r][k] * b[k][3 - d] for k in range(4))
                expect("sum", signed(sums >> 20 * r, 20), wanted)
                num += 1
    return num


def check_sort16(run: Run, rng: random.Random) -> int:
    """Compare with the sorted keys; items stay whole."""
    rows = [{"valid_in": rng.random() < 0.8, "items_in": rng.getrandbits(192)} for _ in range(600)]

    def split(word: int) -> list[int]:
        return [word >> 12 * i & 0xFFF for i in range(16)]

    sent = [split(row["items_in"]) for row in rows if row["valid_in"]]
    got = [split(record["items_out"]) for record in run(rows) if record["valid_out"]]
    for before, after in zip(sent, got, strict=False):
        expect("keys", [item & 255 for item in after], sorted(item & 255 for item in before))
        expect("items", sorted(after), sorted(before))
    return len(got)


def check_xbar16(run: Run, rng: random.Random) -> int:
    """Follow every word from its input to its output, in order."""
    rows: list[Row] = []
    for _ in range(800):
        load = rng.choice((0.1, 0.5, 1.0))
        valid = sum((rng.random() < load) << i for i in range(16))
        rows.append({"in_valid": valid, "in_target": rng.getrandbits(64), "in_data": rng.getrandbits(128)})
    queues: dict[tuple[int, int], list[int]] = {(i, o): [] for i in range(16) for o in range(16)}
    num = 0
    for values in run(rows):
        for o in range(16):
            if values["out_valid"] >> o & 1:
                source = values["out_source"] >> 4 * o & 15
                expect("word", values["out_data"] >> 8 * o & 0xFF, queues[source, o].pop(0))
                num += 1
        for i in range(16):
            if values["in_valid"] & values["in_ready"] & 1 << i:
                queues[i, values["in_target"] >> 4 * i & 15].append(values["in_data"] >> 8 * i & 0xFF)
    if sum(map(len, queues.values())) > 32:
        raise AssertionError("xbar16: words were lost")
    return num


def _field_times(a: int, b: int) -> int:
    """Return a product in GF(16) modulo z^4 + z + 1."""
    product = 0
    for i in range(4):
        product ^= (a << i) * (b >> i & 1)
    for i in (6, 5, 4):
        product ^= (0b10011 << (i - 4)) * (product >> i & 1)
    return product


def _sbox() -> list[int]:
    """Return the S-box of spn128, found by search for each inverse rather than by its circuit."""

    def times(x: int, y: int) -> int:  # in GF(16)[w] modulo w^2 + w + z^3
        high, low = _field_times(x >> 4, y >> 4), _field_times(x & 15, y & 15)
        cross = _field_times(x >> 4, y & 15) ^ _field_times(x & 15, y >> 4)
        return (high ^ cross) << 4 | low ^ _field_times(high, 8)

    table = []
    for x in range(256):
        t = next((y for y in range(256) if times(x, y) == 1), 0)
        turned = [(t << n | t >> (8 - n)) & 255 for n in (0, 2, 5)]
        table.append(turned[0] ^ turned[1] ^ turned[2] ^ 0x4B)
    expect("S-box values", len(set(table)), 256)
    return table


def _spn_rounds(block: int, key: int, sbox: list[int]) -> int:
    state = block ^ key
    for number in (4 * turn + stage for turn in range(4) for stage in range(3)):
        data, shuffled, mixed = [sbox[state >> 8 * i & 255] for i in range(16)], 0, 0
        for i, value in enumerate(data):
            shuffled |= value << 8 * ((5 * i + 3) % 16)
        for i in range(4):
            w = shuffled >> 32 * i & 0xFFFFFFFF
            mixed |= (w ^ (w << 7 | w >> 25) & 0xFFFFFFFF ^ (w << 18 | w >> 14) & 0xFFFFFFFF) << 32 * i
        state = mixed ^ key
        turned = (key << 29 | key >> 99) & (1 << 128) - 1
        top = sum(sbox[turned >> 96 + 8 * i & 255] << 8 * i for i in range(4))
        key = top << 96 | (turned & (1 << 96) - 1) ^ top << 64 ^ 0xA0 ^ number
    return state


def check_spn128(run: Run, rng: random.Random) -> int:
    """Compare with twelve rounds of the same network in Python."""
    rows = [{"start": 1, "block_in": rng.getrandbits(128), "key_in": rng.getrandbits(128)} for _ in range(600)]
    sbox, trace = _sbox(), run(rows)
    pending: list[int] = []
    num = 0
    for record, row in zip(trace, rows, strict=True):
        if record["done"]:
            expect("block", record["block_out"], pending.pop(0))
            num += 1
        if record["ready"]:
            pending.append(_spn_rounds(row["block_in"], row["key_in"], sbox))
    return num


def _random_program(rng: random.Random, length: int) -> Iterator[int]:
    """Yield RV32E instructions: arithmetic, loads and stores in a small window, short forward branches and jumps."""
    for r in range(1, 16):
        yield rng.getrandbits(20) << 12 | r << 7 | 0x37  # LUI
    for _ in range(length):
        rd, rs1, rs2 = rng.randrange(16), rng.randrange(16), rng.randrange(16)
        kind = rng.choice(
            ["op", "op", "immediate", "immediate", "lui", "auipc", "load", "store", "branch", "jal", "jalr"]
        )
        funct = rng.randrange(8)
        if kind == "op":
            high = 0x20 if funct in (0, 5) and rng.random() < 0.5 else 0
            yield high << 25 | rs2 << 20 | rs1 << 15 | funct << 12 | rd << 7 | 0x33
        elif kind == "immediate":
            value = rng.getrandbits(12)
            if funct in (1, 5):
                value = rng.randrange(32) | (0x400 if funct == 5 and rng.random() < 0.5 else 0)
            yield value << 20 | rs1 << 15 | funct << 12 | rd << 7 | 0x13
        elif kind in ("lui", "auipc"):
            yield rng.getrandbits(20) << 12 | rd << 7 | (0x37 if kind == "lui" else 0x17)
        elif kind in ("load", "store"):  # address = x0 + offset, aligned
            size = rng.randrange(3)
            offset = rng.randrange(256) >> size << size
            if kind == "load":
                yield offset << 20 | (size | rng.choice((0, 4)) * (size < 2)) << 12 | rd << 7 | 0x03
            else:
                yield offset >> 5 << 25 | rs2 << 20 | size << 12 | (offset & 31) << 7 | 0x23
        elif kind == "branch":
            skip = rng.choice((4, 8, 12))
            funct = rng.choice((0, 1, 4, 5, 6, 7))
            yield rs2 << 20 | rs1 << 15 | funct << 12 | skip << 7 | 0x63
        elif kind == "jal":
            yield rng.choice((4, 8, 12)) << 20 | rd << 7 | 0x6F
        else:  # AUIPC then JALR; the two idle instructions keep earlier branches from landing between them
            link = rng.randrange(1, 16)
            yield from (0x13, 0x13, link << 7 | 0x17)
            yield rng.choice((8, 9, 12)) << 20 | link << 15 | rd << 7 | 0x67
    for _ in range(4):
        yield 0x13
    for r in range(16):
        yield (256 + 4 * r) >> 5 << 25 | r << 20 | 2 << 12 | (4 * r & 31) << 7 | 0x23
    yield 0x6F  # stay here


class Rv32Model:
    """An instruction-level model of RV32E without traps; memory is bytes."""

    def __init__(self, program: list[int]) -> None:
        """Start at address 0 with cleared registers and memory."""
        self.program, self.pc, self.regs, self.memory = program, 0, [0] * 16, bytearray(1024)

    def step(self) -> None:
        """Execute one instruction."""
        code = self.program[self.pc // 4]
        op, rd, funct, rs1, rs2 = code >> 2 & 31, code >> 7 & 15, code >> 12 & 7, code >> 15 & 15, code >> 20 & 15
        a, b = self.regs[rs1], self.regs[rs2]
        immediate = signed(code >> 20, 12)
        result, pc_next = None, self.pc + 4
        if op in (4, 12):
            result = self._compute(funct, a, b if op == 12 else immediate & 0xFFFFFFFF, code >> 30 & 1, op == 12)
        elif op in (13, 5):
            result = (code & 0xFFFFF000) + (self.pc if op == 5 else 0)
        elif op == 0:
            data = self.memory[a + immediate :][: 1 << (funct & 3)]
            result = int.from_bytes(data, "little", signed=funct < 4)
        elif op == 8:
            offset = a + signed(code >> 25 << 5 | code >> 7 & 31, 12)
            size = 1 << funct
            self.memory[offset : offset + size] = (b & (1 << 8 * size) - 1).to_bytes(size, "little")
        elif op == 24:
            less = (signed(a, 32) < signed(b, 32)) if funct < 6 else a < b
            if (less if funct & 4 else a == b) != bool(funct & 1):
                pc_next = self.pc + (code >> 8 & 15) * 2
        else:
            result = self.pc + 4
            pc_next = (a + immediate) & ~1 if op == 25 else self.pc + (code >> 21 & 1023) * 2
        if rd and result is not None:
            self.regs[rd] = result & 0xFFFFFFFF
        self.pc = pc_next

    @staticmethod
    def _compute(funct: int, a: int, b: int, is_other: int, is_register: bool) -> int:
        n = b & 31
        return (
            a - b if is_other and is_register else a + b,
            a << n,
            int(signed(a, 32) < signed(b, 32)),
            int(a < b),
            a ^ b,
            (signed(a, 32) if is_other else a) >> n,
            a | b,
            a & b,
        )[funct]


def check_rv32_core(run: Run, rng: random.Random) -> int:
    """Run random programs; every store on the bus must be the model's store.

    The code bus does not depend on the core here: the model tells which instruction comes when, and the
    core must then ask for that address.
    """
    num = 0
    for _ in range(8):
        program = list(_random_program(rng, 300))
        model = Rv32Model(program)
        rows: list[Row] = []
        wanted: list[tuple[int, int | None]] = []  # address of the code, index of the store
        stores: list[tuple[int, int]] = []
        while model.pc // 4 < len(program) - 1:
            code, before = program[model.pc // 4], bytes(model.memory)
            wanted.append((model.pc, None))
            rows.append({"code_data": rng.getrandbits(32)})
            opcode = code >> 2 & 31
            model.step()
            rows.append({"code_data": code})
            if opcode == 8:
                offset = signed(code >> 25 << 5 | code >> 7 & 31, 12) & ~3
                stores.append((offset, int.from_bytes(model.memory[offset : offset + 4], "little")))
            wanted.append((-1, len(stores) - 1 if opcode == 8 else None))
            if opcode == 0:
                offset = (code >> 20) & ~3
                rows.append({"code_data": code, "data_in": int.from_bytes(before[offset : offset + 4], "little")})
                wanted.append((-1, None))
        memory = bytearray(1024)
        for record, (address, store) in zip(run(rows), wanted, strict=True):
            if address >= 0:
                expect("code_address", record["code_address"], address)
            expect("store", bool(record["data_valid"] and record["data_write"]), store is not None)
            if store is not None:
                place, strobe, data = record["data_address"], record["data_strobe"], record["data_out"]
                for lane in range(4):
                    if strobe >> lane & 1:
                        memory[place + lane] = data >> 8 * lane & 255
                offset, word = stores[store]
                expect("place", place, offset)
                expect("word", int.from_bytes(memory[offset : offset + 4], "little"), word)
            num += 1
    return num


def check_dma_buffer(run: Run, rng: random.Random) -> int:
    """Send packets through and compare words, order and checksums."""
    packets = [(i == 11, rng.randrange(8), rng.randrange(2), rng.choice((0, 1, 5, 40, 255))) for i in range(12)]
    rows: list[Row] = [
        {"host_write": 1, "host_address": i, "host_data": last << 15 | channel << 12 | turn << 11 | length}
        for i, (last, channel, turn, length) in enumerate(packets)
    ]
    rows.append({"host_start": 1})
    rows += [
        {"in_valid": rng.random() < 0.9, "in_data": rng.getrandbits(32), "out_ready": rng.random() < 0.9}
        for _ in range(5000)
    ]
    taken, sent = [], []
    for record in run(rows):
        if record["in_valid"] and record["in_ready"]:
            taken.append(record["in_data"])
        if record["out_valid"] and record["out_ready"]:
            sent.append((record["out_data"], record["out_channel"], record["out_last"]))
    wanted = []
    for _, channel, turn, length in packets:
        words, taken = taken[: length + 1], taken[length + 1 :]
        checksum = 0x5A5A0000
        for word in reversed(words) if turn else words:
            wanted.append((word, channel, 0))
            checksum = ((checksum << 5 | checksum >> 27) + word) & 0xFFFFFFFF
        wanted.append((checksum, channel, 1))
    expect("packets", sent, wanted)
    return len(sent)


def main(arguments: list[str]) -> int:
    """Check the named designs, or all."""
    is_good = True
    for design in arguments or list(tomllib.loads((KIT / "designs.toml").read_text())):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)

            def run(rows: list[Row], design: str = design, work: Path = work) -> list[Row]:
                return simulate(design, rows, work)

            try:
                num = globals()[f"check_{design}"](run, random.Random(45))
                verdict = "ok" if num > 100 else "too little compared"
            except AssertionError as error:
                num, verdict = 0, f"FAILED: {error}"
        is_good = is_good and verdict == "ok"
        sys.stdout.write(f"{design}: {verdict}, {num} compared\n")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
