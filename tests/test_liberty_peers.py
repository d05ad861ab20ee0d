"""Our Liberty columns beside liberty-parser's tree, OpenSTA and yosys; large libraries: tests/test_real_files.py."""

import shutil
from pathlib import Path

import liberty_peer
import pytest

SMALL_LIBS = [
    "asap7/lib/sram_asap7_64x64_1rw.lib",
    "sky130hd/lib/fakeram130_256x16.lib",
    "asap7/lib/asap7sc7p5t_INVBUF_RVT_TT_nldm_220122.lib.gz",
]


@pytest.fixture(params=["kit", *SMALL_LIBS])
def path(request: pytest.FixtureRequest, kit: Path) -> Path:
    if request.param == "kit":
        return kit / "tech" / "gsr45_typ.lib"
    data: Path = request.getfixturevalue("gsr_data")
    return data / "pdk" / request.param


def test_values_are_those_of_liberty_parser_s_tree(path: Path) -> None:
    liberty_peer.assert_values_agree(path)


@pytest.mark.skipif(not shutil.which("sta"), reason="no OpenSTA (sta) on PATH: install Debian's opensta")
def test_capacitances_are_opensta_s(path: Path, tmp_path: Path) -> None:
    liberty_peer.assert_capacitances_agree(path, tmp_path)


@pytest.mark.skipif(not shutil.which("yosys"), reason="no yosys on PATH: install Debian's yosys")
def test_areas_are_yosys_s(path: Path, tmp_path: Path) -> None:
    liberty_peer.assert_areas_agree(path, tmp_path)


@pytest.mark.parametrize("what", ["values", "capacitances", "areas"])
def test_a_wrong_file_is_seen(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Each comparison fails when our reader is given a library that differs in one number."""
    tool = {"values": None, "capacitances": "sta", "areas": "yosys"}[what]
    if tool and not shutil.which(tool):
        pytest.skip(f"no {tool} on PATH")
    path = kit / "tech" / "gsr45_typ.lib"
    text = path.read_text()
    old, new = {
        "values": ("0.00885, 0.01923", "0.00885, 0.01924"),
        "capacitances": ("capacitance : 1.2", "capacitance : 1.3"),
        "areas": ("area : ", "area : 1"),
    }[what]
    assert old in text
    other = tmp_path / "other.lib"
    other.write_text(text.replace(old, new, 1))
    read = liberty_peer.read_liberty
    monkeypatch.setattr(liberty_peer, "read_liberty", lambda _: read(other))
    check = getattr(liberty_peer, f"assert_{what}_agree")
    with pytest.raises(AssertionError):
        check(path, tmp_path) if tool else check(path)
