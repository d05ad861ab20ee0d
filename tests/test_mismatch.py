"""Files that do not belong together: one clear error, or a warning with a count; never a silent guess."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from circuit_io.def_ import read_def
from circuit_io.design import Design, read_design
from circuit_io.errors import InputError
from circuit_io.lef import LefLibrary, read_lef
from circuit_io.netlist_check import check_netlist
from circuit_io.technology_check import check_places, check_technology
from circuit_io.text import read_bytes

Change = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def lef(kit: Path) -> list[Path]:
    """The LEF files of the kit."""
    return [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]


@pytest.fixture(scope="module")
def library(lef: list[Path]) -> LefLibrary:
    """What they hold."""
    return read_lef(*lef)


@pytest.fixture(scope="module")
def placed(kit: Path) -> bytes:
    """The DEF of the kit's smallest layout."""
    return read_bytes(kit / "labels" / "gsr45" / "crc_bank" / "v0" / "placed.def.gz")


@pytest.fixture(scope="module")
def netlist(kit: Path) -> bytes:
    """The netlist it was placed from."""
    return read_bytes(kit / "netlists" / "crc_bank.v.gz")


@pytest.fixture(scope="module")
def design(placed: bytes, lef: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Design:
    """The design of that DEF."""
    path = tmp_path_factory.mktemp("mismatch") / "placed.def"
    path.write_bytes(placed)
    return read_design(lef, path)


def _swap(old: bytes, new: bytes, count: int = 1) -> Change:
    def change(text: bytes) -> bytes:
        assert old in text
        return text.replace(old, new, count)

    return change


# ---- LEF and DEF


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_swap(b" G45_", b" N28_", -1), r"none of its \d+ masters is in the LEF files given \(N28_\w+, .*, \.\.\.\)"),
        (
            _swap(b" LAYER M", b" LAYER metal", -1),
            r"none of the 8 layers of its TRACKS is in the LEF files given \(met",
        ),
    ],
)
def test_a_def_of_another_technology_is_refused(
    library: LefLibrary, placed: bytes, tmp_path: Path, change: Change, message: str
) -> None:
    (tmp_path / "x.def").write_bytes(change(placed))
    with pytest.raises(InputError, match=message + r"[\s\S]*Give the LEF files of the technology"):
        check_technology(library, read_def(tmp_path / "x.def"))


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (_swap(b"MICRONS 2000", b"MICRONS 1000"), r"34 of 34 rows step by another width than their site has \(first: "
                                                  r"ROW_0 by 0\.4 um, site gsr45_core 0\.2 um\): other units"),
        (_swap(b"STEP 400 0", b"STEP 500 0"), r"1 of 34 rows step by another width"),
        (_swap(b"DO 275 BY 1 STEP 400 0", b"DO 1 BY 1 STEP 0 500"), ""),  # one site does not step
        (_swap(b" gsr45_core ", b" other ", 3), r"3 of 34 rows are of a site that no LEF file has \(first: other\)"),
        (_swap(b"crc_bank", b"crc_bank"), ""),
    ],
)  # fmt: skip
def test_other_units_and_sites_are_told(
    library: LefLibrary, placed: bytes, tmp_path: Path, change: Change, warning: str
) -> None:
    (tmp_path / "x.def").write_bytes(change(placed))
    found = check_technology(library, read_def(tmp_path / "x.def"))
    assert len(found) == bool(warning)
    assert not found or re.match(warning, found[0])


def test_a_placement_out_of_the_die_is_refused_and_of_some_told(design: Design, placed: bytes, tmp_path: Path) -> None:
    for box, message in (("( 0 0 ) ( 3000 3000 )", "all 1005 insts lie out of the die, 0 0 1.5 1.5 um"),
                         ("( 0 0 ) ( 60000 122870 )", "")):  # fmt: skip
        (tmp_path / "x.def").write_bytes(placed.replace(b"( 0 0 ) ( 122870 122870 )", box.encode()))
        these = read_def(tmp_path / "x.def")
        if message:
            with pytest.raises(InputError, match=message):
                check_places(these, design.inst_rect_dbu)
        else:
            (warning,) = check_places(these, design.inst_rect_dbu)
            assert re.fullmatch(r"\d+ of 1005 insts reach out of the die \(first: PHY_EDGE_ROW_0_Right_0\)", warning)


def test_a_master_of_two_files_is_refused_unless_the_same(lef: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other.lef"
    text = read_bytes(lef[1])
    other.write_bytes(text)
    assert len(read_lef(*lef, other).macro_names) == len(read_lef(*lef).macro_names)
    other.write_bytes(text.replace(b"SIZE 0.6 BY", b"SIZE 0.8 BY"))
    with pytest.raises(InputError, match=r"other\.lef:\d+: macro \"\w+\" is defined twice with different content"):
        read_lef(*lef, other)


# ---- Verilog and DEF


def _checked(design: Design, tmp_path: Path, text: bytes) -> list[str]:
    (tmp_path / "x.v").write_bytes(text)
    return check_netlist(design, tmp_path / "x.v")[1]


def test_the_netlist_of_a_design_fits(design: Design, netlist: bytes, tmp_path: Path) -> None:
    assert _checked(design, tmp_path, netlist) == []


def test_other_names_of_nets_and_aliases_do_not_matter(design: Design, netlist: bytes, tmp_path: Path) -> None:
    text = re.sub(rb"\b_(\d{4})_\b(?=[;)])", rb"other\1", netlist)
    assert text != netlist
    text = text.replace(b"endmodule", b"wire more;\nassign more = other0000;\nendmodule")
    assert _checked(design, tmp_path, text) == []


def test_a_netlist_of_another_top_is_refused(design: Design, kit: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'x\.v: has no module "crc_bank", the design of placed\.def'):
        _checked(design, tmp_path, read_bytes(kit / "netlists" / "fir8.v.gz"))


def _insts(netlist: bytes) -> list[re.Match[bytes]]:
    return list(re.finditer(rb"  (G45_\w+) (_\d+_)\s*\(([^;]*)\);", netlist))


def test_insts_and_masters_that_differ_are_counted(design: Design, netlist: bytes, tmp_path: Path) -> None:
    text = netlist
    for match in _insts(netlist)[:7]:
        text = text.replace(b" " + match[2] + b" ", b" new" + match[2] + b" ", 1)
    gone = re.sub(rb"\bG45_XOR2_X1\b", b"G45_XNOR2_X1", text)
    num_xor = text.count(b"G45_XOR2_X1")
    assert num_xor > 5
    with pytest.raises(InputError) as caught:
        _checked(design, tmp_path, gone)
    said = str(caught.value)
    assert re.search(
        r"is another netlist than placed\.def: 7 of its 901 insts are not in the DEF \((new\w+, ){5}\.\.\.\)", said
    )
    assert re.search(
        r"\d+ insts have another master \((\w+ is a G45_XNOR2_X1, in the DEF a G45_XOR2_X1, ){5}\.\.\.\)", said
    )
    assert re.search(r"7 insts of the DEF that signals reach are not in x\.v \((\w+, ){5}\.\.\.\)", said)
    assert "Give the netlist that this DEF was placed from" in said


def test_pins_on_other_nets_are_counted(design: Design, netlist: bytes, tmp_path: Path) -> None:
    xors = [m for m in _insts(netlist) if m[1] == b"G45_XOR2_X1"]
    pins = [re.findall(rb"\.(\w+)\s*\((\w+)\)", m[3]) for m in xors]
    at = next(i for i, p in enumerate(pins) if len({net for _, net in p}) == 3)
    (_, first), (_, second) = pins[at][0], pins[at][1]
    whole = xors[at][0]
    swapped = whole.replace(b"(" + first + b")", b"(#)").replace(b"(" + second + b")", b"(" + first + b")")
    swapped = swapped.replace(b"(#)", b"(" + second + b")")
    assert swapped != whole
    with pytest.raises(
        InputError, match=r"is another netlist than placed\.def: \d+ of \d+ pins are on another net"
    ) as e:
        _checked(design, tmp_path, netlist.replace(whole, swapped))
    assert f"{xors[at][2].decode()}/" in str(e.value)
    assert int(re.findall(r"(\d+) of \d+ pins", str(e.value))[0]) in (2, 3, 4)  # two moved; a net of two pins is a tie


def test_a_pin_that_is_open_is_told(design: Design, netlist: bytes, tmp_path: Path) -> None:
    loads: dict[bytes, int] = {}
    for match in _insts(netlist):
        for _, net in re.findall(rb"\.(\w+)\s*\((\w+)\)", match[3]):
            loads[net] = loads.get(net, 0) + 1
    inst, pin, net = next(
        (m, p, n) for m in _insts(netlist) for p, n in re.findall(rb"\.(\w+)\s*\((\w+)\)", m[3]) if loads[n] > 3
    )
    opened = inst[0].replace(b"(" + net + b")", b"()", 1)
    name = f"{inst[2].decode()}/{pin.decode()}"
    with pytest.raises(InputError, match=rf"1 of \d+ pins are on another net \({name} is on none, in the DEF on"):
        _checked(design, tmp_path, netlist.replace(inst[0], opened))


def test_a_net_that_is_cut_in_two_or_joined_with_another_is_told(
    design: Design, netlist: bytes, tmp_path: Path
) -> None:
    at = [m for m in _insts(netlist) if b"(_0000_)" in m[3]]
    assert len(at) == 4
    text = netlist
    for match in at[:2]:
        text = text.replace(match[0], match[0].replace(b"(_0000_)", b"(cut)"))
    with pytest.raises(
        InputError, match=r': 2 of \d+ pins are on another net \(.* is on "cut", in the DEF on "_0000_"'
    ):
        _checked(design, tmp_path, text)
    text = netlist.replace(b"endmodule", b"  assign _0000_ = _0001_;\nendmodule")
    with pytest.raises(
        InputError, match=r': 5 of \d+ pins are on another net \(.* is on "_0000_", in the DEF on "_0001_"'
    ):
        _checked(design, tmp_path, text)


def test_a_pin_that_the_def_leaves_open_is_told(placed: bytes, netlist: bytes, lef: list[Path], tmp_path: Path) -> None:
    pin = b" ( _1409_ A1 )"
    assert placed.count(pin) == 1
    (tmp_path / "placed.def").write_bytes(placed.replace(pin, b""))
    design = read_design(lef, tmp_path / "placed.def")
    with pytest.raises(
        InputError, match=r'1 of \d+ pins are on another net \(_1409_/A1 is on "_0000_", in the DEF on none'
    ):
        _checked(design, tmp_path, netlist)


def test_names_fit_whatever_is_escaped(placed: bytes, netlist: bytes, lef: list[Path], tmp_path: Path) -> None:
    for name in (rb"a\[1\]/b", rb"a[1]/b", rb"a[1]\/b"):
        (tmp_path / "placed.def").write_bytes(placed.replace(b" _1409_ ", b" " + name + b" "))
        text = netlist.replace(b" _1409_ ", b" \\a[1]/b ")
        assert _checked(read_design(lef, tmp_path / "placed.def"), tmp_path, text) == []


def test_buffers_put_in_since_are_a_warning(design: Design, netlist: bytes, tmp_path: Path) -> None:
    """As after clock-tree synthesis: the DEF has a buffer that the netlist lacks, and its loads are on a new net."""
    buffer = next(m for m in _insts(netlist) if m[1].startswith(b"G45_BUF"))
    (_, source), (_, target) = re.findall(rb"\.(\w+)\s*\((\w+)\)", buffer[3])[:2]
    text = netlist.replace(buffer[0], b"")
    ports = re.findall(rb"(?:input|output)[^;]*;", text)
    assert not any(target in p for p in ports)
    text = re.sub(rb"\(" + target + rb"\)", b"(" + source + b")", text)
    found = _checked(design, tmp_path, text)
    assert found[0] == f"1 insts of the DEF that signals reach are not in x.v ({buffer[2].decode()})"
    assert re.match(r"x\.v: \d+ of \d+ pins are on another net \(", found[1])


@pytest.mark.parametrize("design_name", ["nangate45/gcd", "sky130hd/tt03_scan_controller", "ihp-sg13g2/fab_w_io"])
def test_real_netlists_fit_their_layouts(gsr_data: Path, design_name: str) -> None:
    folder, technology = gsr_data / "designs" / design_name, gsr_data / "pdk" / design_name.split("/")[0]
    files = sorted((technology / "lef").iterdir(), key=lambda p: "tech" not in p.name and "tlef" not in p.name)
    assert check_netlist(read_design(files, folder / "design.def.gz"), folder / "netlist.v.gz")[1] == []
