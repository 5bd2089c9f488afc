"""A new model against a finished run: only its row is computed, and bad input is told."""

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest

import jaxalign as ja
from jaxalign.alignment.recorded import recorded_settings, source_paths
from jaxalign.alignment.results import ResultError
from jaxalign.analysis.comparison.newcomer import IDENTICAL, SIMILAR
from jaxalign.analysis.comparison.row_intervals import row_intervals
from jaxalign.analysis.precision.paired_scores import compare_scores
from jaxalign.analysis.relations.replicates import read_replicates
from jaxalign.analysis.relations.tree import model_tree, splits
from jaxalign.embeddings.formats import read_embedding_collection

N, K = 60, 5
METRICS = ("mutual_knn",)
FAMILIES = ("mutual_knn", "cka", "information_imbalance", "id:twonn")
QUICK = {"draws": 0, "progress": False}


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(np.random.SeedSequence().entropy)


@pytest.fixture(scope="module")
def arrays(rng):
    latent = rng.normal(size=(N, 4))
    return {
        name: (latent @ np.eye(4, 10) + noise * rng.normal(size=(N, 10))).astype(np.float32)
        for name, noise in {"near": 0.1, "far": 3.0, "other": 0.4, "new": 0.1}.items()
    }


@pytest.fixture(scope="module")
def workdir(arrays, tmp_path_factory):
    """What `jaxalign align` leaves, with ids."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "files").mkdir()
    for name in ("near", "far", "other"):
        np.savez(folder / "files" / f"{name}.npz", values=arrays[name], ids=ids())
    return aligned(folder, METRICS)


def aligned(folder, metrics):
    found = read_embedding_collection(folder / "files")
    result = ja.align(found, metrics=metrics, k=K, workdir=folder)
    paths = {name: record.info["location"] for name, record in found.items()}
    result.with_facts(sources=source_paths(paths, folder)).save(folder)
    return folder


def ids():
    return np.array([f"s{number}" for number in range(N)])


def state_of(folder):
    files = [f for f in folder.rglob("*") if f.is_file() and "compare" not in f.parts]
    return {f: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def found(workdir, arrays):
    return ja.compare(arrays["new"], workdir, name="new", **QUICK)


def test_only_the_new_row_is_computed_and_the_run_is_left_alone(found, workdir, arrays):
    before = state_of(workdir)
    again = ja.compare(arrays["new"], workdir, name="new", **QUICK)
    assert state_of(workdir) == before
    work = found.alignment.diagnostics["work"]
    assert (work["graphs_computed"], work["graphs_reused"]) == (1, 3)
    assert (work["pairs_computed"], work["pairs_reused"]) == (4, 6)
    work = again.alignment.diagnostics["work"]
    assert (work["graphs_computed"], work["pairs_computed"]) == (0, 0)
    assert_whole_run(found, arrays, METRICS)


def assert_whole_run(found, arrays, metrics):
    order = ("far", "near", "other", "new")
    whole = ja.align({name: arrays[name] for name in order}, metrics=metrics, k=K).table
    columns = ["model_a", "model_b", "metric", "value", "calibrated", "p", "q"]
    joined = found.alignment.table[columns].merge(
        whole[columns], on=columns[:3], suffixes=("", "_whole")
    )
    assert len(joined) == len(whole)
    for column in columns[3:]:
        np.testing.assert_allclose(joined[column], joined[f"{column}_whole"], rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_every_family_computes_the_new_row_alone(workdir, arrays, tmp_path):
    shutil.copytree(workdir / "files", tmp_path / "files")
    aligned(tmp_path, FAMILIES)
    found = ja.compare(arrays["new"], tmp_path, name="new", metric="cka", **QUICK)
    work = found.alignment.diagnostics["work"]
    # Graphs of three kinds of one model; 4 new pairs, 7 of the directed metric, 1 dimension.
    assert (work["graphs_computed"], work["graphs_reused"]) == (2, 6)
    assert (work["pairs_computed"], work["pairs_reused"]) == (4 + 4 + 7 + 1, 6 + 6 + 9 + 3)
    assert work["accumulated"] == 2 * 4  # two sweeps, of one model with four
    assert_whole_run(found, arrays, FAMILIES)
    assert all(row["ci_low"].notna().all() for row in found.rows.values())
    resampled = ja.compare(
        arrays["new"], tmp_path, name="new", metric="cka", confidence=0.9, **QUICK
    )
    assert resampled.rows["cka"]["ci_low"].notna().all()


def test_row_has_nearest_model_intervals_and_paired_tests(found):
    row = found.rows["mutual_knn"]
    assert list(row["other"]) == ["near", "other", "far"]
    assert found.metric == "mutual_knn"
    assert row["nearest"].tolist() == [True, False, False]
    assert ((row["ci_low"] < row["value"]) & (row["value"] < row["ci_high"])).all()
    assert (row["calibrated_low"] <= row["calibrated"]).all()
    assert (row["calibrated"] <= row["calibrated_high"]).all()
    test = compare_scores(
        found.alignment, "mutual_knn", pairs=[(("new", "near"), ("new", "far"))]
    ).iloc[0]
    np.testing.assert_allclose(row["p"].iloc[2], test["p"])
    np.testing.assert_allclose(row["difference_low"].iloc[2], test["ci_low"])
    tidy = found.scores
    assert set(tidy["model_a"]) | set(tidy["model_b"]) == {"new", "near", "far", "other"}
    assert ((tidy["model_a"] == "new") | (tidy["model_b"] == "new")).all()
    assert tidy.loc[tidy["model_b"] == "new", "ci_low"].notna().sum() == 3


def test_copies_are_found(workdir, arrays, rng):
    same = ja.compare(arrays["near"], workdir, name="copy", **QUICK)
    assert same.same == {"near": IDENTICAL}
    turned = arrays["near"] @ np.linalg.qr(rng.normal(size=(10, 10)))[0].astype(np.float32)
    same = ja.compare(turned * 2, workdir, name="turned", **QUICK)
    assert same.same == {"near": SIMILAR}


def test_rows_are_matched_by_id(workdir, arrays, found, rng):
    order = rng.permutation(N)
    shuffled = ja.Embeddings(
        arrays["new"][order], tuple(ids()[order]), dataclasses.replace(found.alignment.cards["new"])
    )
    again = ja.compare(shuffled, workdir, name="shuffled", **QUICK)
    np.testing.assert_array_equal(
        again.rows["mutual_knn"]["value"], found.rows["mutual_knn"]["value"]
    )
    assert not again.matching["by_position"]


@pytest.mark.slow
def test_fewer_structures_are_compared_among_all_models(workdir, arrays):
    part = ja.Embeddings(arrays["new"][:40], tuple(ids()[:40]), ja.load(workdir).cards["near"])
    fewer = ja.compare(part, workdir, name="fewer", **QUICK)
    assert fewer.matching["n"] == fewer.alignment.diagnostics["n"] == 40
    broken = arrays["new"].copy()
    broken[40:] = np.nan
    dropped = ja.compare(broken, workdir, name="dropped", on_nonfinite="drop", **QUICK)
    assert dropped.matching["n"] == 40
    np.testing.assert_array_equal(
        dropped.rows["mutual_knn"]["value"], fewer.rows["mutual_knn"]["value"]
    )
    assert "for 40 of the 60 structures" in fewer.notes[0]


def test_a_model_of_the_run_is_placed_without_any_work(workdir):
    found = ja.compare("far", workdir, **QUICK)
    assert found.name == "far"
    assert found.alignment.diagnostics["work"]["pairs_computed"] == 0
    assert len(found.rows["mutual_knn"]) == 2


def test_bad_input_is_told(workdir, arrays, tmp_path):
    new = arrays["new"]
    with pytest.raises(ValueError, match=r"59 rows without ids, and the run 60.*s0, s1, s2"):
        ja.compare(new[1:], workdir, name="new", **QUICK)
    with pytest.raises(ValueError, match="has a model 'near' already"):
        ja.compare(new, workdir, name="near", **QUICK)
    broken = new.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="s3"):
        ja.compare(broken, workdir, name="new", **QUICK)
    card = ja.load(workdir).cards["near"]
    with pytest.raises(ValueError, match="shares no structure"):
        ja.compare(ja.Embeddings(new, tuple(map(str, range(N))), card), workdir, name="x", **QUICK)
    few = ja.Embeddings(new[:K], tuple(ids()[:K]), card)
    with pytest.raises(ValueError, match=rf"k = {K} neighbors, and only {K} structures"):
        ja.compare(few, workdir, name="x", **QUICK)
    with pytest.raises(ValueError, match="'cknna' is not of the run"):
        ja.compare(new, workdir, name="x", metric="cknna", **QUICK)
    with pytest.raises(ResultError, match="no alignment in"):
        ja.compare(new, tmp_path, name="x", **QUICK)


def test_a_run_that_has_not_noted_its_files(workdir, arrays, tmp_path):
    models = {name: arrays[name] for name in ("near", "far")}
    ja.align(models, metrics=("mutual_knn",), k=K, workdir=tmp_path)
    with pytest.raises(ResultError, match=r"does not say where.*models=\{label"):
        ja.compare(arrays["new"], tmp_path, name="new", **QUICK)
    found = ja.compare(arrays["new"], tmp_path, name="new", models=models, **QUICK)
    assert found.alignment.diagnostics["work"]["graphs_computed"] == 1
    assert found.placement is None  # three models have only one tree


def test_branches_of_the_tree_are_supported_by_halves(arrays, rng, tmp_path):
    models = {name: arrays[name] for name in ("near", "far", "other")}
    models["farther"] = rng.normal(size=(N, 10)).astype(np.float32)
    ja.align(models, metrics=METRICS, k=K, workdir=tmp_path)
    given = {"name": "new", "models": models, **QUICK}
    plain = ja.compare(arrays["new"], tmp_path, **given)
    assert plain.placement.tree.replicates == 0
    assert np.isnan(plain.placement.support)
    found = ja.compare(arrays["new"], tmp_path, **given, halves=4)
    place = found.placement
    assert place.tree.replicates == 4
    assert place.sisters == plain.placement.sisters
    scores = found.alignment.matrix("mutual_knn")
    halves = read_replicates(found.alignment.diagnostics["replicates"], scores)
    own = frozenset(("new", *place.sisters))
    with_branch = [
        any(side in (own, frozenset(place.tree.names) - own) for side in splits(tree.root))
        for tree in map(model_tree, halves)
    ]
    assert place.support == np.mean(with_branch)
    with pytest.raises(ValueError, match="in pairs"):
        ja.compare(arrays["new"], tmp_path, **given, halves=5)


def test_other_versions_and_lost_labels_are_told(workdir, arrays, found, tmp_path):
    target = tmp_path / "alignment"
    shutil.copytree(workdir / "alignment", target)
    record = json.loads((target / "alignment.json").read_text())
    record["diagnostics"]["versions"]["jax"] = "0.0.1"
    record["diagnostics"]["sources"] = {
        name: str(workdir / path) for name, path in record["diagnostics"]["sources"].items()
    }
    (target / "alignment.json").write_text(json.dumps(record))
    other = ja.compare(arrays["new"], tmp_path, name="new", **QUICK)
    assert "other versions (jax 0.0.1" in other.notes[0]
    record["diagnostics"]["grouped"] = True
    (target / "alignment.json").write_text(json.dumps(record))
    with pytest.raises(ResultError, match="did not record the labels"):
        ja.compare(arrays["new"], tmp_path, name="new", **QUICK)


@pytest.mark.slow
def test_settings_repeat_the_run(arrays, workdir, tmp_path):
    models = {name: arrays[name] for name in ("near", "far")}
    groups = [str(number // 2) for number in range(N)]
    settings = {"metrics": ("mutual_knn", "cknna"), "similarity": "euclidean", "k": (4, 6)}
    ja.align(models, **settings, groups=groups, seed=3, workdir=tmp_path)
    found = recorded_settings(ja.load(tmp_path))
    again = ja.align(models, **found, workdir=tmp_path)
    assert again.diagnostics["work"]["graphs_computed"] == 0
    assert again.diagnostics["work"]["pairs_computed"] == 0
    assert again.diagnostics["labels"]["groups"] == groups
    assert found["seed"] == 3


@pytest.mark.slow
def test_intervals_cover_the_expected_score(rng):
    """Nominal 95 %, of scores with strong, weak and almost no common signal."""
    metrics, others = ("mutual_knn", "cknna", "cka", "information_imbalance"), (0.3, 1.0, 2.5)
    found = {}
    for _ in range(60):
        latent = rng.normal(size=(200, 5)) @ np.eye(5, 12)
        models = {
            str(noise): (latent + noise * rng.normal(size=latent.shape)).astype(np.float32)
            for noise in (0.2, *others)
        }
        result = ja.align(models, metrics=metrics, k=10)
        for metric in metrics:
            row = row_intervals(result, metric, "0.2", list(map(str, others)))
            for entry in row.itertuples():
                found.setdefault((metric, entry.other), []).append(
                    (entry.value, entry.ci_low, entry.ci_high)
                )
    covered = []
    for draws in found.values():
        value, low, high = np.array(draws).T
        covered += ((low <= value.mean()) & (value.mean() <= high)).tolist()
    # 720 intervals; scores of one draw share models: allow for a standard error of .012.
    assert 0.91 < np.mean(covered) < 0.99
