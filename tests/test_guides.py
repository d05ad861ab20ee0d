"""Route guides: which edges each net was routed over, and which of the router's nets a prediction names."""

import gzip
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import make_export, make_prediction

from circuit_io.errors import InputError
from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.guides import read_guides, read_stored_guides
from circuit_io.hotspots import find_hotspots
from circuit_io.store import open_design
from gsr_plugin.report import build_report
from gsr_plugin.report_contents import spot_contents
from gsr_plugin.report_truth import net_recalls

DATA = Path(os.environ.get("GSR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
X = np.array([0.0, 1.0, 2.0, 3.0, 4.5])
Y = np.array([0.0, 1.0, 2.0, 3.2])
NETS = ["n", "n2", "n 1"]
TEXT = """n 1
(
0 0 3000 1000 M1
2000 0 4500 1000 M1
2000 0 3000 3200 M2
2000 0 3000 3200 M2
3000 2000 4500 3200 M1
0 0 1000 1000 M3
)
n2
(
0 0 3000 2000 M1
1000 1000 2000 2000 M2
)
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "route.guide"
    path.write_text(text)
    return path


def test_wires_of_a_small_file(tmp_path: Path) -> None:
    guides = read_guides(written(tmp_path, TEXT), NETS, x_um=X, y_um=Y, dbu_per_um=1000)
    assert guides.directions() == {"M1": "h", "M2": "v"}, "of a layer with single gcells alone none is known"
    everywhere = (0, 0, 9, 9)
    assert guides.wires("h", everywhere).tolist() == [0, 4, 3], (
        "two guides over one edge count once; a wide one by rows"
    )
    assert guides.wires("v", everywhere).tolist() == [0, 0, 2], "the same guide twice counts once"
    assert guides.wires("h", (2, 0, 2, 0)).tolist() == [0, 0, 1]
    assert guides.wires("v", (2, 1, 2, 1)).tolist() == [0, 0, 1]
    assert guides.wires("v", (0, 0, 1, 2)).tolist() == [0, 0, 0]


def test_an_empty_file_has_no_wires(tmp_path: Path) -> None:
    guides = read_guides(written(tmp_path, ""), NETS, x_um=X, y_um=Y, dbu_per_um=1000)
    assert guides.wires("h", (0, 0, 9, 9)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n\n(\n0 0 1000 1000\n)\n", ':3: "0 0 1000 1000" is no guide'),
        ("n\n(\n0 0 99999999999999999999 1000 M1\n)\n", 'M1" is no guide'),
        ("n\n(\n0 0 x 1000 M1\n)\n", ':3: "0 0 x 1000 M1" is no guide'),
        ("n\n(\n0 0 1000 1500 M1\n)\n", ":3: this guide does not lie on the gcells"),
        ("n\n(\n0 0 0 1000 M1\n)\n", ":3: this guide does not lie on the gcells"),
        ("n\n(\n0 0 9000 1000 M1\n)\n", ":3: this guide does not lie on the gcells"),
        ("n\n0 0 1000 1000 M1\n", ':2: "(" expected after net "n"'),
        ("n\n(\n0 0 1000 1000 M1\n", 'ends within net "n"'),
        ("n\n(\n)\nn\n(\n)\n", ':4: net "n" is there twice'),
        ("x\n(\n)\n", ':1: net "x" is not in the design'),
    ],
)
def test_faults_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        read_guides(written(tmp_path, text), NETS, x_um=X, y_um=Y, dbu_per_um=1000)


@pytest.mark.parametrize(("length", "hits"), [(1, 10), (2, 3)])
def test_recall_counts_the_routers_first_nets(tmp_path: Path, length: int, hits: int) -> None:
    """Ten named nets have one edge of wire in the box, and seven others `length`: with one they all tie."""
    design = make_export(tmp_path / "d")
    prediction = make_prediction(design)
    spots = find_hotspots(prediction)
    contents = spot_contents(prediction, design, spots)
    spot, inside = spots[0], contents[0]
    names = design.nets["name"].to_pylist()
    named = [n.net_id for n in inside.nets[:10]]
    assert not any("\n" in names[i] for i in named)
    others = [i for i in range(len(names)) if i not in {n.net_id for n in inside.nets} and "\n" not in names[i]][:7]
    x0, y0, _, _ = spot.edges
    x, y = (np.rint(b * 1000).astype(int) for b in (prediction.x_um, prediction.y_um))

    def wire(edges: int) -> str:
        right, top = (x0 + edges + 1, y0 + 1) if spot.direction == "h" else (x0 + 1, y0 + edges + 1)
        return f"(\n{x[x0]} {y[y0]} {x[right]} {y[top]} M\n)\n"

    text = "".join(f"{names[i]}\n{wire(1)}" for i in named) + "".join(f"{names[i]}\n{wire(length)}" for i in others)
    guides = read_guides(written(tmp_path, text), names, x_um=prediction.x_um, y_um=prediction.y_um, dbu_per_um=1000)
    recall = net_recalls(guides, spots[:1], contents[:1])[0]
    assert recall is not None
    assert (recall.hits, recall.of) == (hits, 10)
    far = [s for s in spots if s.direction != spot.direction][:1]
    assert net_recalls(guides, far, contents[: len(far)]) == [None]
    markdown = build_report(prediction, design, guides=guides).markdown("f")
    assert "of the 10 with most routed wire in each of" in markdown


def test_guides_beside_labels_travel_with_the_export(kit: Path, tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    shutil.copytree(kit / "labels" / "gsr45" / "crc_bank" / "v0", folder)
    lef = [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]
    export_design(sources_of_labels(folder, lef=lef), tmp_path / "bare")
    bare = open_design(tmp_path / "bare")
    assert read_stored_guides(bare) is None
    dbu, grid, names = bare.manifest["dbu_per_um"], bare.manifest["grid"], bare.nets["name"].to_pylist()
    x, y = ([round(v * dbu) for v in grid[axis]] for axis in ("x_um", "y_um"))
    text = "".join(
        f"{name}\n(\n{x[i]} {y[0]} {x[i + 2]} {y[1]} M3\n{x[i]} {y[0]} {x[i + 1]} {y[3]} M2\n)\n"
        for i, name in enumerate(names[:3])
    )
    with gzip.open(folder / "route.guide.gz", "wt") as f:
        f.write(text)
    export_design(sources_of_labels(folder, lef=lef), tmp_path / "design")
    design = open_design(tmp_path / "design")
    guides = read_stored_guides(design)
    assert guides is not None
    assert guides.directions() == {"M3": "h", "M2": "v"}
    wanted = read_guides(
        folder / "route.guide.gz", names, x_um=np.array(grid["x_um"]), y_um=np.array(grid["y_um"]), dbu_per_um=dbu
    )
    for d, total in (("h", 1), ("v", 2)):
        wires = guides.wires(d, (0, 0, 99, 99))
        assert wires[:3].tolist() == [total] * 3
        assert wires.tolist() == wanted.wires(d, (0, 0, 99, 99)).tolist()
    cut = guides.table().set_column(0, "net", pa.array(np.full(6, 10**6, np.int32)))
    pq.write_table(cut, tmp_path / "design" / "guides.parquet")
    with pytest.raises(InputError, match="a guide lies outside the design"):
        read_stored_guides(design)


@pytest.mark.skipif(not (DATA / "designs").is_dir(), reason="needs the shared designs (GSR_DATA)")
def test_guides_of_a_real_design_lie_on_its_gcells() -> None:
    folder = DATA / "designs" / "sky130hd" / "spm"
    x, y = np.append(np.arange(14) * 6.9, 101.205), np.append(np.arange(16) * 6.9, 111.925)
    lines = (folder / "route.guide").read_text().splitlines()
    nets = [line for line in lines if " " not in line and line not in "()"]
    assert len(nets) == 384
    guides = read_guides(folder / "route.guide", nets, x_um=x, y_um=y, dbu_per_um=1000)
    ways = guides.directions()
    assert (ways["met1"], ways["met2"], ways["met3"]) == ("h", "v", "h")
    crossed: dict[str, set[tuple[str, int, int]]] = {}
    net = ""
    for line in lines:
        words = line.split()
        if len(words) == 5 and words[4] in ("met1", "met3"):
            x1, y1, x2, y2 = (round(int(w) / 6900) for w in words[:4])  # the last column and row are a little wider
            x2, y2 = max(min(x2, 14), x1 + 1), max(min(y2, 16), y1 + 1)
            crossed.setdefault(net, set()).update(
                (words[4], ix, iy) for ix in range(x1, x2 - 1) for iy in range(y1, y2)
            )
        elif len(words) == 1 and words[0] not in "()":
            net = words[0]
    found = dict(zip(nets, guides.wires("h", (0, 0, 13, 15)).tolist(), strict=True))
    assert {n: k for n, k in found.items() if k} == {n: len(e) for n, e in crossed.items() if e}
    assert sum(found.values()) > 100
