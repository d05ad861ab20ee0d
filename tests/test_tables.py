"""The tables of an export open in pandas, polars and DuckDB, and hold what the graph holds."""

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from test_cli import good

from circuit_io.export import export_design
from circuit_io.export_sources import sources_of_labels
from circuit_io.fields import GCELL_FEATURES, names
from circuit_io.store import StoredDesign, open_design

ROOT = Path(__file__).resolve().parent.parent
TABLES = ("insts", "nets", "pins", "gcells", "masters")


@pytest.fixture(scope="module")
def stored(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> StoredDesign:
    out = tmp_path_factory.mktemp("tables") / "design"
    tech = kit / "tech"
    lef = [w for name in ("gsr45_tech.lef", "gsr45_cells.lef") for w in ("--lef", tech / name)]
    labels = kit / "labels" / "gsr45" / "crc_bank" / "v0"
    good("export", *lef, "--lib", tech / "gsr45_typ.lib", "--labels", labels, "--parquet", "--out", out, "--quiet")
    return open_design(out)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_opens_the_same_in_pandas_polars_and_duckdb(stored: StoredDesign, table: str) -> None:
    duckdb, pandas, polars = (pytest.importorskip(name) for name in ("duckdb", "pandas", "polars"))
    path = stored.path / f"{table}.parquet"
    wanted = pq.read_table(path)
    assert len(wanted) > 0
    assert pandas.read_parquet(path).columns.tolist() == wanted.column_names
    assert polars.read_parquet(path).rows() == [tuple(row.values()) for row in wanted.to_pylist()]
    assert duckdb.sql(f"SELECT * FROM '{path}'").fetchall() == [tuple(row.values()) for row in wanted.to_pylist()]


def test_the_line_in_the_docs_runs(stored: StoredDesign, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb")
    line = re.search(r"duckdb\.sql\(\"([^\"]*)\"\)", (ROOT / "docs" / "format.md").read_text(encoding="utf-8"))
    assert line is not None
    monkeypatch.chdir(stored.path.parent)
    rows = duckdb.sql(line[1]).fetchall()
    assert sum(count for _, count, _ in rows) == stored.graph.num_insts
    assert rows[0][:2] == ("G45_DFFR_X1", 127)
    assert rows[-1] == ("", stored.manifest["counts"]["ports"], 0.0)


def test_pins_and_gcells_are_the_graphs(stored: StoredDesign) -> None:
    graph, labels = stored.graph, stored.labels
    assert labels is not None
    pins, gcells = (pq.read_table(stored.path / f"{name}.parquet") for name in ("pins", "gcells"))
    inst_names, net_names = stored.insts["name"].to_pylist(), stored.nets["name"].to_pylist()
    assert pins["inst"].to_pylist() == [inst_names[i] for i in graph.pin_inst]
    assert pins["net"].to_pylist() == [net_names[n] for n in graph.pin_net]
    np.testing.assert_array_equal(pins["gcell"], graph.pin_gcell)
    np.testing.assert_array_equal(pins["is_driver"].to_numpy(), graph.pin_features[:, 2] > 0)
    first = pins.slice(0, 1).to_pylist()[0]
    assert (first["inst"], first["pin"], first["direction"]) == ("_0929_", "A", "INPUT")
    assert first["cap_ff"] == pytest.approx(1.6)
    for i, name in enumerate(names(GCELL_FEATURES)):
        np.testing.assert_array_equal(gcells[f"feature_{name}"], graph.gcell_features[:, i])
    seen = np.isfinite(labels.congestion_h.ravel())
    assert gcells["congestion_h"].null_count == int((~seen).sum()) > 0  # masked is null, so that an average skips it
    np.testing.assert_array_equal(gcells["congestion_h"].drop_null(), labels.congestion_h.ravel()[seen])
    assert (gcells["ix"][graph.nx].as_py(), gcells["iy"][graph.nx].as_py()) == (0, 1)


def test_masters_hold_what_liberty_tells_and_nothing_else(stored: StoredDesign) -> None:
    rows = {row["name"]: row for row in pq.read_table(stored.path / "masters.parquet").to_pylist()}
    assert [rows[f"G45_{n}_X1"]["is_inverter"] for n in ("INV", "BUF")] == [True, False]
    assert rows["G45_DFFR_X1"]["is_sequential"]
    assert (rows["G45_TAP"]["is_physical"], rows["G45_TAP"]["is_buffer"]) == (True, None)


def test_without_the_flag_there_are_insts_nets_and_what_the_labels_tell(kit: Path, tmp_path: Path) -> None:
    lef = [kit / "tech" / "gsr45_tech.lef", kit / "tech" / "gsr45_cells.lef"]
    export_design(sources_of_labels(kit / "labels" / "gsr45" / "crc_bank" / "v0", lef=lef), tmp_path / "d")
    assert sorted(p.stem for p in (tmp_path / "d").glob("*.parquet")) == ["endpoints", "insts", "nets"]
