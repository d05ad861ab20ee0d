"""What a live run of OpenROAD-flow-scripts on the kit wrote, beside what the stand-ins and our readers make of it.

tests/recorded/orfs_crc_bank: crc_bank in mode observe, OpenROAD 26Q3-1551-g5c9e487120, ORFS 8c009b0b, on demos/orfs.
Its placement has a power grid, taps, a clock tree and the buffers of the flow. FLOW and KIT stand for folders.
"""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tcl_session import run_tcl

from circuit_io.export import export_design
from circuit_io.export_sources import ExportSources, sources_of_hook
from circuit_io.fields import GCELL_FEATURES, column
from circuit_io.labels import read_gcell_grid, read_parameters, read_usage, reductions
from circuit_io.maps import Prediction, heatmap_csv
from circuit_io.metric_keys import METRIC_KEYS
from circuit_io.store import open_design

RECORDED = Path(__file__).resolve().parent / "recorded" / "orfs_crc_bank"
LABELS = RECORDED / "labels"


def recorded(hook: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDED / f"{hook}.json").read_text())
    return found


@pytest.mark.parametrize("hook", ["post_detail_place", "post_global_route"])
def test_the_stand_ins_give_the_hook_json_that_openroad_gave(tmp_path: Path, kit: Path, hook: str) -> None:
    live = recorded(hook)
    sdc = Path(live["sdc"]).name
    (tmp_path / sdc).write_text("")
    # the flow hides these from its other steps
    place = {"CELL_PAD_IN_SITES_GLOBAL_PLACEMENT": "0", "PLACE_DENSITY_LB_ADDON": "0.05", "GPL_ROUTABILITY_DRIVEN": "1"}
    env = {
        "TECH_LEF": f"{kit}/tech/gsr45_tech.lef", "SC_LEF": f"{kit}/tech/gsr45_cells.lef",
        "LIB_FILES": f"{kit}/tech/gsr45_typ.lib", "GSR_RTL": f"{kit}/rtl/crc_bank.v", "RESULTS_DIR": str(tmp_path),
        "PLATFORM": "gsr45", "DESIGN_NICKNAME": "crc_bank", "CELL_PAD_IN_SITES_DETAIL_PLACEMENT": "0",
        "ENABLE_DPO": "1", **(place if hook == "post_detail_place" else {}),
    }  # fmt: skip
    layers = {f"M{i}": "HORIZONTAL" if i % 2 else "VERTICAL" for i in range(1, 9)}
    share = float(np.float32(0.2))  # as the database gives it back
    before = (
        "set stub::design crc_bank\nset stub::dbu 2000\nset stub::die {0 0 131690 131690}\n"
        "set stub::routing_range {2 5}\n"
        f"set stub::layers {{{' '.join(f'{name} {direction}' for name, direction in layers.items())}}}\n"
        + "".join(
            f"dict set stub::adjustments {name} {share if name in ('M2', 'M3', 'M4', 'M5') else 0.0}\n"
            f"interp alias {{}} ::layer_{name} {{}} ::stub::layer {name}\n"
            for name in layers
        )
    )
    run = run_tcl(tmp_path, f"gsr_export_design -step {hook} -out_dir out", env=env, before=before)
    assert run.code == 0, run.out
    made = json.loads((tmp_path / "out" / "hook.json").read_text())
    for where, of in ((str(kit), "KIT"), (str(tmp_path / "out"), Path(live["def"]).parent), (str(tmp_path), "")):
        made = json.loads(json.dumps(made).replace(where, str(of)))
    made["sdc"] = live["sdc"] if made["sdc"].endswith(sdc) else made["sdc"]
    for key in ("run_id", "tool_version"):
        assert made.pop(key) != live.pop(key)
    assert {key: made.get(key) for key in live} == live


def sources(kit: Path) -> ExportSources:
    """The recorded hook of the routed design, with its labels."""
    found = sources_of_hook(RECORDED / "post_global_route.json")

    def there(path: Path) -> Path:
        return kit / path.relative_to(RECORDED / "KIT")

    rtl = replace(found.rtl, paths=[there(p) for p in found.rtl.paths])
    return replace(
        found, lef=[there(p) for p in found.lef], lib=[there(p) for p in found.lib], def_=LABELS / "placed.def.gz",
        labels=LABELS, rtl=rtl, timing=replace(found.timing, sdc=None),
    )  # fmt: skip


def test_capacity_under_the_flows_power_grid_is_the_routers(tmp_path: Path, kit: Path) -> None:
    export_design(sources(kit), tmp_path / "design")
    stored = open_design(tmp_path / "design")
    assert stored.labels is not None
    ny, nx = stored.labels.congestion_h.shape
    table = read_usage(LABELS / "gcell_usage.csv.gz", nx=nx, ny=ny)
    free = table.capacity - reductions(table, read_parameters(LABELS)["layer_adjustment"])
    for direction, name in enumerate(("h", "v")):
        mine = [i for i, d in enumerate(table.directions) if d == direction]
        seen = np.isfinite(getattr(stored.labels, f"congestion_{name}"))
        assert seen.sum() == 420
        ours = stored.graph.gcell_features[:, column(GCELL_FEATURES, f"capacity_{name}")].reshape(ny, nx)
        np.testing.assert_allclose(15 * ours[seen], free[mine].sum(axis=0)[seen], rtol=1e-6)
    assert stored.labels.congestion_h[np.isfinite(stored.labels.congestion_h)].mean() == pytest.approx(0.28, abs=0.1)


def test_our_heat_map_lies_over_openroads(tmp_path: Path, kit: Path) -> None:
    """heatmap_?.csv.gz: what `gui::dump_heatmap Routing` of a build with GUI gave for these gcells."""
    export_design(sources(kit), tmp_path / "design")
    stored = open_design(tmp_path / "design")
    assert stored.labels is not None
    ny, nx = stored.labels.congestion_h.shape
    edges = read_gcell_grid(LABELS / "gcell_grid.csv")
    die = stored.manifest["die_um"][2:]
    x_um, y_um = (np.append(np.array(e) / 2000, end) for e, end in zip(edges, die, strict=True))
    maps = {f"congestion_{way}": getattr(stored.labels, f"congestion_{way}") for way in ("h", "v")}
    truth = Prediction(manifest={}, x_um=x_um, y_um=y_um, maps=maps)
    table = read_usage(LABELS / "gcell_usage.csv.gz", nx=nx, ny=ny)
    taken = reductions(table, read_parameters(LABELS)["layer_adjustment"])
    for direction, way in enumerate(("h", "v")):
        dump = gzip.decompress((RECORDED / f"heatmap_{way}.csv.gz").read_bytes()).decode().splitlines()
        ours = heatmap_csv(truth, f"congestion_{way}").decode().splitlines()
        assert (ours[0], dump[0]) == ("x0,y0,x1,y1,value (congestion)", "x0,y0,x1,y1,value (%)")
        one, other = (np.array([line.split(",") for line in rows[1:]], dtype=float) for rows in (ours, dump))
        assert len(one) == nx * ny
        # OpenROAD writes four digits
        np.testing.assert_allclose(one[:, :4], other[:, :4], rtol=0, atol=0.0051)
        # it counts the tracks that adjustments take as capacity and as used; ours leaves them out
        mine = [i for i, d in enumerate(table.directions) if d == direction]
        share = (taken[mine].sum(axis=0) / table.capacity[mine].sum(axis=0)).T.ravel()
        seen = np.isfinite(maps[f"congestion_{way}"]).T.ravel()
        np.testing.assert_allclose(other[seen, 4], 100 * (share + (1 - share) * one[:, 4])[seen], rtol=2e-6)


def test_the_flows_metadata_holds_our_keys() -> None:
    found = json.loads((RECORDED / "metadata.json").read_text())
    stages, names = zip(*(key.split("__", 1) for key in found if "__gsr__" in key), strict=True)
    assert set(stages) == {"globalplace_io", "globalplace", "detailedplace", "cts"}
    assert set(names) <= set(METRIC_KEYS)
