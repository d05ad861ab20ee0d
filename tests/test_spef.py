"""SPEF: sums per net against a plain tokenizer and OpenSTA, and what the grammar allows and files get wrong."""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spef_peer import compare

from circuit_io.errors import InputError
from circuit_io.spef import Spef, read_spef
from circuit_io.text import read_bytes

HEAD = """*SPEF "IEEE 1481-1998"
*DESIGN "top"
*DATE "http://no//comment"
*DIVIDER /
*DELIMITER :
*BUS_DELIMITER []
*T_UNIT 1 PS
*C_UNIT 1 FF
*R_UNIT 1 KOHM
*L_UNIT 1 HENRY
"""
MAP = r"""
*NAME_MAP
*1 n1
*2 a\[0\]
*3 REG_9\$_DFF_P_
*4 u1/u2

*PORTS
*2 I *C 1 2
"""
NET = """
*D_NET *1 6.5 *V 0
*CONN
*I *3:QN O *C 3.5 4 *D DFF_X1
*P *2 I
*N *1:7 *C 1 1
*I *4:A I *L 0.2
*CAP
1 *3:QN 1.25
2 *1:7 2.25
3 *4:A *2 3
*RES
1 *3:QN *1:7 0.5
2 *1:7 *1:7 1e-06
*END
"""


def _read(tmp_path: Path, text: str | bytes) -> Spef:
    path = tmp_path / "x.spef"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_spef(path)


def _conns(spef: Spef, net: str) -> list[tuple[str, str, int]]:
    i = spef.net_names.find(net)
    return [
        (spef.inst_names[inst] if (inst := int(spef.conn_inst[k])) >= 0 else "", spef.pin_names[int(spef.conn_pin[k])],
         int(spef.conn_direction[k]))
        for k in range(spef.net_ptr[i], spef.net_ptr[i + 1])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("design", "num_nets"),
    [("nangate45/gcd", 457), ("sky130hd/gcd", 505), ("asap7/uart", 652), ("ihp-sg13g2/fab_n_term_single2", 315)],
)
def test_every_net_is_as_a_plain_tokenizer_has_it(gsr_data: Path, design: str, num_nets: int) -> None:
    assert compare(gsr_data / "designs" / design / "parasitics.spef.gz") == num_nets


@pytest.mark.parametrize("design", ["nangate45/gcd", "sky130hd/gcd"])
def test_net_capacitances_are_opensta_s(gsr_data: Path, tmp_path: Path, design: str) -> None:
    sta = shutil.which("sta")
    if sta is None:
        pytest.skip("no OpenSTA (sta) on PATH: install Debian's opensta")
    folder, technology = gsr_data / "designs" / design, design.split("/")[0]
    lib = next((gsr_data / "pdk" / technology / "lib").glob("*t*.lib.gz"))
    for name, path in (("lib", lib), ("v", folder / "netlist.v.gz"), ("spef", folder / "parasitics.spef.gz")):
        (tmp_path / name).write_bytes(read_bytes(path))
    (tmp_path / "x.tcl").write_text(
        "read_liberty lib\nread_verilog v\nlink_design gcd\nread_spef spef\nset_cmd_units -capacitance ff\n"
        "foreach net [get_nets *] {report_net -connections -verbose -digits 9 [get_full_name $net]}\n"
    )
    command = [sta, "-exit", "-no_splash", "x.tcl"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    found = re.findall(r"^Net (\S+)\n(?: Pin .*\n)?(?: Wire capacitance: (?:r )?([-\d.e]+))?", done.stdout, re.M)
    spef = read_spef(tmp_path / "spef")
    names = [name.replace("\\", "") for name in spef.net_names]
    mine = dict(zip(names, spef.net_ground_ff + spef.net_coupling_ff, strict=True))
    theirs = {name: float(cap) for name, cap in found if cap and name in mine}
    assert len(theirs) > 0.8 * len(mine), done.stdout[-2000:] + done.stderr  # it tells none of nets that a port drives
    for name, cap_ff in theirs.items():
        assert cap_ff == pytest.approx(mine[name], rel=1e-4, abs=1e-6), name  # single precision, poles and back


def test_a_net_is_read_with_its_units_names_and_connections(tmp_path: Path) -> None:
    spef = _read(tmp_path, HEAD + MAP + NET)
    assert (spef.design, spef.divider, spef.time_unit_ns) == ("top", "/", 1e-3)
    assert spef.net_names.tolist() == ["n1"]
    assert spef.net_cap_ff.tolist() == [6.5]
    assert spef.net_ground_ff.tolist() == [3.5]
    assert spef.net_coupling_ff.tolist() == [3.0]
    assert spef.net_res_ohm.tolist() == [pytest.approx(500.001)]
    assert _conns(spef, "n1") == [(r"REG_9\$_DFF_P_", "QN", 1), ("", r"a\[0\]", 0), ("u1/u2", "A", 0)]
    assert spef.warnings == ()


def test_without_a_name_map_names_stand_for_themselves(tmp_path: Path) -> None:
    text = NET.replace("*1", "n1").replace("*3:", r"REG_9\$_DFF_P_:").replace("*2", r"a\[0\]").replace("*4", "u1/u2")
    mapped, plain = _read(tmp_path, HEAD + MAP + NET), _read(tmp_path, HEAD + text)
    for name in ("net_names", "inst_names", "pin_names"):
        assert getattr(mapped, name) == getattr(plain, name)
    assert mapped.net_res_ohm.tolist() == plain.net_res_ohm.tolist()


@pytest.mark.parametrize(
    ("unit", "factor"), [("1 PF", 1000), ("1.0 FF", 1), ("10 FF", 10), ("1  ff", 1), ("1 NF", 1e6), ("1 F", 1e15)]
)
def test_units_of_capacitance(tmp_path: Path, unit: str, factor: float) -> None:
    spef = _read(tmp_path, (HEAD + MAP + NET).replace("1 FF", unit))
    assert spef.net_cap_ff.tolist() == [pytest.approx(6.5 * factor)]


def test_a_tab_before_a_unit(tmp_path: Path) -> None:
    spaced = _read(tmp_path, HEAD + MAP + NET)
    assert _read(tmp_path, (HEAD + MAP + NET).replace("UNIT 1 ", "UNIT\t1\t ")).net_cap_ff == spaced.net_cap_ff


def _comments(text: str) -> str:
    lines = text.split("\n")
    return "// *D_NET x 1\n" + "".join(f"{line} // *END {i}\n" for i, line in enumerate(lines))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.replace("\n", "\n\n"),
        lambda t: t.replace("\n", "\n \t"),
        lambda t: t.replace(" ", "\t "),
        lambda t: t.replace("\n", " \n"),
        _comments,
        lambda t: t.removesuffix("\n"),
        lambda t: "\ufeff" + t,
        lambda t: t.replace(" 1.25\n", " 1:1.25:2\n").replace(" 6.5 ", " 6:6.5:7 "),
        lambda t: t.replace("\n1 *3:QN 1.25", "\n1000000000 *3:QN 1.25").replace("\n2 *1:7 *1:7", "\n99999999999 b b"),
        lambda t: t.replace("*END", "*INDUC\n1 a b 3\n*END"),
        lambda t: t.replace("*RES\n1 *3:QN *1:7 0.5\n", "*RES\n1 *3:QN *1:7 0.5\n*RES\n"),
    ],
)  # fmt: skip
def test_what_changes_nothing(tmp_path: Path, change: object) -> None:
    plain, other = _read(tmp_path, HEAD + MAP + NET), _read(tmp_path, change(HEAD + MAP + NET))  # type: ignore[operator]
    for name in ("design", "net_names", "inst_names", "pin_names", "warnings"):
        assert getattr(plain, name) == getattr(other, name)
    for name in ("net_cap_ff", "net_ground_ff", "net_coupling_ff", "net_res_ohm", "conn_inst", "conn_pin", "net_ptr"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(other, name), err_msg=name)


def test_gzip_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    assert _read(tmp_path, gzip.compress((HEAD + MAP + NET).encode())).net_cap_ff.tolist() == [6.5]


def test_a_total_that_is_no_sum_is_a_counted_warning(tmp_path: Path) -> None:
    spef = _read(tmp_path, HEAD + NET.replace("*1", "a").replace("*2", "b").replace("*3", "c").replace("*4", "d")
                 .replace("6.5", "7") + "*D_NET z 3\n*END\n")  # fmt: skip
    assert spef.warnings == (
        "1 of 2 nets state another capacitance than the sum of their *CAP entries (first: a, 7 fF, sum 6.5 fF)",
    )
    assert spef.differs.tolist() == [True, False]
    assert np.isnan([spef.net_ground_ff[1], spef.net_coupling_ff[1], spef.net_res_ohm[1]]).all()


def test_a_reduced_net_has_its_total(tmp_path: Path) -> None:
    text = "*R_NET r 4.5\n*DRIVER u:Z\n*CELL BUF\n*C2_R1_C1 1 2 3\n*LOADS\n*RC v:A 1\n*END\n"
    spef = _read(tmp_path, HEAD + text)
    assert spef.net_cap_ff.tolist() == [4.5]
    assert len(spef.conn_pin) == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("*SPEF", "*STEF", "x.spef:1: does not start with \\*SPEF"),
        ("*SPEF", "module", "x.spef:1: does not start with"),
        ("*C_UNIT 1 FF\n", "", "x.spef:20: has no \\*C_UNIT before the first net"),
        ("1 FF", "1 XF", '8: \\*C_UNIT "1 XF" is not understood'),
        ("1 FF", "-1 FF", "is not understood\n  Write 1 and one of F, NF, PF, FF"),
        ("1 KOHM", "nan KOHM", "is not understood"),
        ("*2 a", "*9 a", r'24: "\*2" is not in'),
        ("*1 n1\n", "", r'20: "\*1" is not in \*NAME_MAP'),
        ("*1 n1\n", "*1 n1 n2\n", r'13: \*NAME_MAP has an entry that cannot be read: "\*1 n1 n2"'),
        ("*4:A *2 3", "*4:A *2 x", r'30: \*CAP has an entry that cannot be read: "3 \*4:A \*2 x"'),
        ("*4:A *2 3", "*4:A *2 3 4", "30: .*cannot be read"),
        ("*4:A *2 3", "*4:A *2 1e999", '30: "1e999" is not a number'),
        ("*4:A *2 3", "*4:A *2 1:2", '30: "1:2" is not a number'),
        ("*4:A *2 3", "*4:A *2 1_0", "30: .*cannot be read"),
        (" 1.25", " --1", '28: "--1" is not a number'),
        (" 0.5\n", " nan\n", "32: .*cannot be read"),
        (" 6.5 *V 0", "", r'21: no net and capacitance in "\*D_NET \*1"'),
        (" 6.5", " 1e40", '21: "1e40" is not a number'),
        ("*I *3:QN O", "*I *3:QN X", r'23: \*CONN has an entry that cannot be read: "\*I \*3:QN X'),
        ("*END\n", "", r"21: \*D_NET has no \*END"),
        ("*RES\n1 *3:QN *1:7 0.5\n2 *1:7 *1:7 1e-06\n*END\n", "*RES\n1 *3:Q", r'32: \*RES has an entry .*"1 \*3:Q"'),
        ("*CAP", "*KAP", r'27: "\*KAP" is not read\n  Did you mean "CAP"'),
        ("*CONN", "*CONN *I", r'22: "\*I" was not expected here'),
        ("*END\n", "*END\n*END\n", r"35: \*END outside of a net"),
        ("*END\n", "*END\n*CAP\n", r"35: \*CAP outside of a net"),
        ("*RES", "*D_NET", r"21: \*D_NET has no \*END"),
        ("*RES", "*DESIGN x", r"31: \*DESIGN before \*END"),
        (NET, "", r"has no \*D_NET"),
        (NET, NET + NET, 'net "n1" comes twice'),
        ("n1", "n\0", "x.spef:13: holds a NUL byte"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = HEAD + MAP + NET
    assert old in text
    with pytest.raises(InputError, match=message):
        _read(tmp_path, text.replace(old, new, 1))


def test_faults_are_counted_in_full(tmp_path: Path) -> None:
    rows = "".join(f"{i} a 1e99\n" for i in range(1, 41))
    with pytest.raises(InputError, match=r"x\.spef: 40 faults\nx\.spef:13".replace(r"x\.spef", ".*x.spef")) as caught:
        _read(tmp_path, HEAD + f"*D_NET a 0\n*CAP\n{rows}*END\n")
    assert "and 20 more" in str(caught.value)


@given(st.data())
def test_a_spoiled_file_gives_a_result_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text = (HEAD + MAP + NET + NET.replace("*1 ", "*4 ")).encode()
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 40)))
    new = data.draw(st.sampled_from([b"", b"\n", b"*END", b"1e9", b"*D_NET ", b"//", b"*", b'"', b":", b"\xff"]))
    try:
        spef = _read(tmp_path_factory.mktemp("fuzz"), text[:start] + new + text[stop:])
    except InputError:
        return
    n = len(spef.net_names)
    assert len(spef.net_cap_ff) == len(spef.net_ground_ff) == len(spef.net_res_ohm) == len(spef.net_ptr) - 1 == n
    assert spef.net_ptr[-1] == len(spef.conn_pin) == len(spef.conn_inst)
    assert np.isfinite(spef.net_cap_ff).all()


def test_gsr_check_reads_spef(tmp_path: Path) -> None:
    from gsr_plugin.check import check

    (tmp_path / "x.spef").write_text(HEAD + MAP + NET)
    (tmp_path / "y.spef").write_text(HEAD)
    good, bad = check([tmp_path / "x.spef", tmp_path / "y.spef"])
    assert (good.kind, good.is_good, good.text) == ("SPEF", True, "top, 1 nets")
    assert not bad.is_good
