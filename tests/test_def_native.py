"""The C scanner of DEF against the reader in Python: the same columns, or the same words of refusal, on anything."""

import random
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from circuit_io import native
from circuit_io.def_ import DefDesign, read_def
from circuit_io.errors import InputError
from circuit_io.names import Names

pytestmark = pytest.mark.skipif(native.library() is None, reason="the C scanner is not built")

HEAD = """VERSION 5.8 ;
# a "comment ; END DESIGN
DIVIDERCHAR "/" ;
BUSBITCHARS "[]" ;
DESIGN top ;
UNITS DISTANCE MICRONS 1000 ;
DIEAREA ( 0 0 ) ( 20000 10000 ) ;
"""
COMPONENTS = """COMPONENTS 6 ;
- u1 INV + PLACED ( 100 200 ) N ;
- u2 INV + SOURCE TIMING + FIXED ( 500 1600 ) FS ;
- mem/u3[1] RAM + COVER (-40 -300 )FW + HALO 1 2 3 4 + WEIGHT 3 ;
- u4 NAND ;- u5 NAND + UNPLACED + REGION r1;
- PIN INV + WEIGHT 2 + PLACED ( 5 6 ) E + PROPERTY a "b ; - c" ;
END COMPONENTS
"""
PINS = """PINS 3 ;
- a + NET a + DIRECTION INPUT + USE SIGNAL + LAYER m2 ( -10 0 ) ( 20 50 ) + PLACED ( 1000 0 ) W ;
- y + NET y + DIRECTION OUTPUT + USE CLOCK + PORT + LAYER m1 ( 0 0 ) ( 10 10 ) + FIXED ( 5 6 ) N ;
- VDD + NET VDD + SPECIAL + DIRECTION INOUT + USE POWER ;
END PINS
"""
SPECIALNETS = """SPECIALNETS 2 ;
- VDD ( * VDD ) ( PIN VDD ) ( u4 VPB ) + USE POWER
  + ROUTED m1 100 + SHAPE FOLLOWPIN ( 0 200 ) ( 5000 * )
  NEW m2 60 + SHAPE STRIPE ( 500 0 ) ( * 3000 ) gen NEW m2 0 ( 500 -200 ) box
  NEW m3 80 ( 0 100 7 ) ( 400 100 7 ) + RECT m4 ( 1 2 ) ( 30 40 ) ;
- VSS + FIXED m1 90 ( 0 0 ) ( 0 -70 ) + USE GROUND ;
END SPECIALNETS
"""
NETS = """NETS 5 ;
- a ( PIN a ) ( u1 A ) + USE SIGNAL + ROUTED m1 ( 1 2 ) ( * 50 ) via1 NEW m2 ( -7 8 ) ( 9 * ) ;
- y ( u1 ZN ) ( u2 A + SYNTHESIZED ) ( PIN y ) + USE CLOCK ;
- open ;
- MUSTJOIN ( u4 A ) + SOURCE NETLIST + USE RESET ;- MUSTJOIN ( u5 A ) ;
- n_5 ( mem/u3[1] D(0) ) ( PIN y ) + SUBNET s ( u2 B ) ROUTED m1 ( 0 0 ) ( 5 * ) ;
END NETS
"""
TEXT = HEAD + COMPONENTS + PINS + SPECIALNETS + NETS + "END DESIGN\n"
WORDS = [
    *(w.encode() for w in sorted(set(TEXT.split()))),
    *b'- + ; ( ) * -- ++ +- ;- ;; u9 +USE +ROUTED 1_0 1.0 1e3 +5 -0 2147483648 9999999999999999999 \xff " #'.split(),
    *b"007 - + ; UNPLACED NETLIST USE SUBNET END \x1c".split(),
    *(
        b"END NETS",
        b"( u1 A )",
        b"+ SYNTHESIZED",
        b"\r\n",
        b"\x0b",
        b"( + SYNTHESIZED )",
        b"( u1+ ROUTED )",
        b"+ ROUTED ",
    ),
    *(b"+ USE SCAN", b"+ PLACED ( 7 8 ) S", b"- MUSTJOIN ;", b"- - - ;"),
]

Read = Callable[[bytes], "DefDesign | str"]


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], "DefDesign | str"]:
    """A reader that goes both ways, sees to it that they agree, and gives what they said."""
    path = tmp_path / "x.def"

    def read(text: bytes) -> "DefDesign | str":
        path.write_bytes(text)
        return read_both(path, monkeypatch)

    return read


def read_both(path: Path, monkeypatch: pytest.MonkeyPatch) -> "DefDesign | str":
    found: list[DefDesign | str] = []
    for scanner in ("python", "c"):
        monkeypatch.setenv("GSR_SCANNER", scanner)
        try:
            found.append(read_def(path))
        except InputError as e:
            found.append(str(e))
    ours, theirs = found
    assert differences(ours, theirs) == []
    return theirs


def differences(a: "DefDesign | str", b: "DefDesign | str") -> list[str]:
    if isinstance(a, str) or isinstance(b, str):
        return [] if a == b else [f"{a}\n{b}"]
    return [f.name for f in fields(DefDesign) if not same(getattr(a, f.name), getattr(b, f.name))]


def same(x: object, y: object) -> bool:
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() and y.flags.writeable
    if isinstance(x, Names) and isinstance(y, Names):
        return x == y and x.offsets.dtype == y.offsets.dtype and type(x.blob) is type(y.blob)
    return type(x) is type(y) and x == y


def test_the_scanner_takes_the_sample(both: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    scan = native.scan

    def spy(name: str, text: bytes, *where: int) -> native.Columns | None:
        taken.append((name, found := scan(name, text, *where)))
        return found

    monkeypatch.setattr(native, "scan", spy)
    design = both(TEXT.encode())
    assert isinstance(design, DefDesign)
    assert design.has_routing
    names = [name for name, found in taken if found]
    assert names == ["scan_def_mask", "scan_def_netlist"]
    assert design.inst_names.tolist() == ["u1", "u2", "mem/u3[1]", "u4", "u5", "PIN"]
    assert design.inst_status.tolist() == [1, 2, 3, 0, 0, 1]
    assert design.conn_inst.tolist() == [-1, 0, 0, 1, -1, 3, 4, 2, -1]
    assert design.net_use.tolist() == [0, 3, 0, 5, 0, 0]


def test_real_designs(gsr_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("asap7/gcd", "sky130hd/gcd", "nangate45/uart_oc", "ihp-sg13g2/fab_n_io"):
        assert isinstance(read_both(gsr_data / "designs" / name / "design.def.gz", monkeypatch), DefDesign)


@pytest.mark.slow
def test_every_real_def(gsr_data: Path, kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sorted(p for folder in (gsr_data, kit) for p in folder.rglob("*.def*") if p.is_file())
    assert len(paths) > 500
    for path in paths:
        read_both(path, monkeypatch)


def mutated(text: bytes, rng: random.Random) -> bytes:
    """`text` with some characters, words, statements or stretches changed, dropped, doubled or moved."""
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        at = rng.randrange(len(text) + 1)
        kind = rng.randrange(9)
        if kind == 0:
            text = text[:at] + bytes([rng.randrange(1, 256)]) + text[at + 1 :]
        elif kind == 1:
            text = text[:at] + rng.choice(b' \t\n\r\f\v;+-()*#"_0aUN\\').to_bytes() + text[at:]
        elif kind == 2:
            text = text[:at] + text[at + rng.choice([1, 1, 2, 5, 40]) :]
        elif kind in (3, 4):
            words = text.split(b" ")
            at = rng.randrange(len(words))
            words[at : at + rng.choice([0, 1, 1])] = [rng.choice(WORDS)]
            text = b" ".join(words)
        elif kind == 5:
            words = text.split(b" ")
            a, b = rng.randrange(len(words)), rng.randrange(len(words))
            words[a], words[b] = words[b], words[a]
            text = b" ".join(words)
        elif kind == 6:
            parts = text.split(b";")
            a = rng.randrange(len(parts))
            parts.insert(rng.randrange(len(parts)), parts[a])
            text = b";".join(parts)
        elif kind == 7:
            size = rng.randrange(60)
            to = rng.randrange(len(text) + 1)
            text = text[:to] + text[at : at + size] + text[to:]
        else:
            old, new = rng.choice(
                [(b" ", b"  "), (b" ;", b";"), (b" )", b")"), (b"\n", b"\r\n"), (b"\n", b" "), (b"+ ", b"+\n")]
            )
            text = text.replace(old, new)
    return text


def check_mutations(read: Read, seed: int, count: int) -> None:
    rng = random.Random(seed)
    taken = 0
    for _ in range(count):
        taken += isinstance(read(mutated(TEXT.encode(), rng)), DefDesign)
    assert count // 20 < taken < count


def test_mutations(both: Read) -> None:
    check_mutations(both, seed=1, count=400)


@pytest.mark.slow
def test_many_mutations(both: Read) -> None:
    check_mutations(both, seed=2, count=8_000)
