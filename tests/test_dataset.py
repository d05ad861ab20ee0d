"""Finding, splitting, loading and normalising labelled designs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_graph import synthetic_graph, write_corpus, write_synthetic

from circuit_io.errors import InputError
from circuit_io.fields import GCELL_FEATURES, INST_FEATURES, NET_FEATURES, NET_ROUTER_FEATURES, column, names
from circuit_io.transform import without_liberty
from gsr_plugin.dataset import Entry, Loader, data_hash, find_designs, find_folds, read_folds, read_split, split
from gsr_plugin.normaliser import fit_normaliser


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def test_designs_are_found_at_any_depth_and_sorted(corpus: Path) -> None:
    entries = find_designs([corpus, corpus / "fa"])
    want = [("fa", "v0"), ("fa", "v1"), ("fb", "v0"), ("fc", "v0"), ("fd", "v0")]
    assert [e.name for e in entries] == [f"made_up/{design}/{variant}" for design, variant in want]
    assert entries[0].num_gcells == 35


def test_other_folders_and_unlabelled_designs_are_passed_over(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "a", family="f")
    write_synthetic(tmp_path / "b", family="g", labelled=False)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "manifest.json").write_text('{"schema": "gsr-prediction"}')
    assert [e.family for e in find_designs([tmp_path])] == ["f"]
    assert [e.family for e in find_designs([tmp_path], labelled=False)] == ["f", "g"]
    with pytest.raises(InputError, match="none with labels"):
        find_designs([tmp_path / "b"])
    with pytest.raises(InputError, match="no folder written"):
        find_designs([tmp_path / "c"])
    with pytest.raises(InputError, match="is no folder"):
        find_designs([tmp_path / "none"])
    (tmp_path / "c" / "manifest.json").write_text('{"schema": "gsr-design", "files": {"labels.safetensors": ""}}')
    with pytest.raises(InputError, match='"grid" is missing'):
        find_designs([tmp_path])


def test_the_data_hash_follows_contents_not_places(corpus: Path, tmp_path: Path) -> None:
    again = write_corpus(tmp_path)
    assert data_hash(find_designs([again])) == data_hash(find_designs([corpus]))
    assert data_hash(find_designs([again / "fa"])) != data_hash(find_designs([corpus]))


def test_a_fold_holds_families_out(corpus: Path) -> None:
    entries = find_designs([corpus])
    train, test = read_split(entries, [corpus], fold=1)
    assert {e.family for e in train} == {"fa", "fb"}
    assert {e.family for e in test} == {"fc", "fd"}
    assert read_split(entries, [corpus]) == (entries, [])
    with pytest.raises(InputError, match="no fold 7"):
        read_split(entries, [corpus], fold=7)


def test_a_family_without_a_fold_is_an_error(corpus: Path) -> None:
    with pytest.raises(InputError, match=r"1 families have no fold: fd(.|\n)*\"fd\" = 0"):
        split(find_designs([corpus]), fold=0, folds={"fa": 0, "fb": 0, "fc": 1})


def test_leaving_a_technology_out_drops_its_families() -> None:
    entries = [
        Entry(f, t, f, "v", Path(f"{f}{t}"), 9, "") for f, t in [("a", "t1"), ("a", "t2"), ("b", "t2"), ("c", "t1")]
    ]
    train, test = split(entries, technology_out="t2")
    assert [e.family for e in train] == ["c"]
    assert [(e.family, e.technology) for e in test] == [("a", "t2"), ("b", "t2")]
    with pytest.raises(InputError, match="t1"):
        split(entries, technology_out="t3")
    with pytest.raises(InputError, match="nothing is left"):
        split(entries[:3], technology_out="t2")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x", "no TOML"),
        ('schema = "other"', "'other'"),
        ('schema = "gsr-folds"\nschema_version = 1', "no \\[fold\\]"),
        ('schema = "gsr-folds"\nschema_version = 1\n[fold]\na = "0"', 'family "a" has fold'),
    ],
)
def test_bad_fold_files_are_errors(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "folds.toml").write_text(text)
    with pytest.raises(InputError, match=says):
        read_folds(tmp_path / "folds.toml")


def test_folds_are_found_in_or_beside_the_data(corpus: Path, tmp_path: Path) -> None:
    assert find_folds([corpus]) == corpus / "folds.toml"
    assert find_folds([corpus / "fa"]).samefile(corpus / "folds.toml")
    with pytest.raises(InputError, match="--folds"):
        find_folds([tmp_path / "x"])


def test_the_shared_folds_cover_all_families(gsr_data: Path) -> None:
    folds = read_folds(gsr_data / "folds.toml")
    families = {json.loads(p.read_text())["family"] for p in (gsr_data / "labels").glob("*/*/*/done.json")}
    assert families <= set(folds)


def test_statistics_weigh_designs_alike(corpus: Path) -> None:
    entries = find_designs([corpus])
    load = Loader()
    got = fit_normaliser(entries, load)
    known = [i for i, name in enumerate(names(NET_FEATURES)) if name not in names(NET_ROUTER_FEATURES)]
    per_design = {}
    for e in entries:
        per_design.setdefault(e.family, []).append(load(e).graph.net_features[:, known].astype(np.float64))
    first = np.mean([np.mean([x.mean(0) for x in v], axis=0) for v in per_design.values()], axis=0)
    second = np.mean([np.mean([(x**2).mean(0) for x in v], axis=0) for v in per_design.values()], axis=0)
    np.testing.assert_allclose(got.mean["net"][known], first, rtol=1e-5)
    np.testing.assert_allclose(got.std["net"][known], np.sqrt(second - first**2), rtol=1e-5)
    labels = [load(e).labels for e in entries if e.family != "fa"]
    assert np.isfinite(got.target_mean)
    assert len(labels) == 3


def test_missing_liberty_is_zero_after_normalising(corpus: Path) -> None:
    graph = synthetic_graph(1)
    drive, flag = column(INST_FEATURES, "drive"), column(INST_FEATURES, "has_liberty")
    graph.inst_features[:, drive] += 3
    graph.inst_features[:, flag] = 1
    normaliser = fit_normaliser(find_designs([corpus]), Loader())
    assert normaliser.features(graph)["inst"][:, drive].any()
    assert not normaliser.features(without_liberty(graph))["inst"][:, drive].any()


def test_far_out_features_are_cut(corpus: Path) -> None:
    normaliser = fit_normaliser(find_designs([corpus]), Loader())
    graph = synthetic_graph(1)
    graph.gcell_features[0, 0] = 1e9
    assert normaliser.features(graph)["gcell"].max() == 8


def test_the_cache_forgets_the_oldest(corpus: Path) -> None:
    entries = find_designs([corpus])
    roomy, tight = Loader(), Loader(cache_mb=0)
    assert roomy(entries[0]) is roomy(entries[0])
    first = tight(entries[0])
    tight(entries[1])
    assert tight(entries[0]) is not first


def test_a_placement_without_any_edge_is_named(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "d", family="f", nx=1, ny=1)
    with pytest.raises(InputError, match="no unmasked edge"):
        fit_normaliser(find_designs([tmp_path]), Loader())


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "d", family="f")
    file = tmp_path / "d" / "labels.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(InputError, match=r"labels\.safetensors"):
        Loader()(find_designs([tmp_path])[0])


def test_runs_of_the_router_are_read_as_known_or_not(corpus: Path) -> None:
    entries, load, at = find_designs([corpus]), Loader(), column(GCELL_FEATURES, "router_runs")
    normaliser, graph, read = fit_normaliser(entries, load), load(entries[0]).graph, []
    for runs in (1.0, 0.25, 0.0):
        features = graph.gcell_features.copy()
        features[:, at] = runs
        read.append(normaliser.features(replace(graph, gcell_features=features))["gcell"])
        assert features[0, at] == runs, "the graph stays as it is"
    np.testing.assert_array_equal(read[0], read[1])
    assert (read[2][:, at] < read[1][:, at]).all()
    assert not read[2][:, column(GCELL_FEATURES, "router_h")].any()
