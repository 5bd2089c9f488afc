"""Differences of scores: contributions against dense sums, levels and power by simulation."""

import numpy as np
import pandas as pd
import pytest

import jaxalign as ja
from jaxalign.alignment.results import ResultError
from jaxalign.analysis.precision.nearest_models import nearest_models
from jaxalign.analysis.precision.paired_scores import COLUMNS, Replicates, compare_scores
from jaxalign.analysis.precision.score_influences import score_influences
from tests import oracles_gram

N, K = 60, 5
TESTED = ("mutual_knn", "cknna", "information_imbalance", "cka", "dcor", "dcor:v", "rsa")


def views(rng, noise, n=N):
    """Models that see one latent space, each under its own noise."""
    latent = rng.normal(size=(n, 4))
    basis = np.eye(4, 10)  # one for all: equal noise gives equal alignment
    return {
        name: (latent @ basis + level * rng.normal(size=(n, 10))).astype(np.float32)
        for name, level in noise.items()
    }


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(np.random.SeedSequence().entropy)
    models = views(rng, {"a": 0.1, "b": 0.1, "c": 3.0})
    return ja.align(models, metrics=(*TESTED, "jaccard_knn"), k=K)


def neighbors(similarity):
    similarity = similarity.copy()
    np.fill_diagonal(similarity, -np.inf)
    mask = np.zeros(similarity.shape, bool)
    np.put_along_axis(mask, np.argsort(-similarity, axis=1)[:, :K], values=True, axis=1)
    return mask


def rows(result, name):
    return result.rows[name].read(0, N).astype(np.float64)


def dense_weights(result, metric, a, b):
    """[n, n] of w_ij by the definition of the metric."""
    x, y = (rows(result, name) for name in (a, b))
    if metric == "information_imbalance":
        inside = neighbors(-oracles_gram.distances(x))
        distances = oracles_gram.distances(y)
        ranks = (distances[:, None, :] < distances[:, :, None]).sum(2)
        return np.where(inside, (ranks - ranks[inside].mean()) * 2 / (N * K), 0)
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    inside = [neighbors(v @ v.T) for v in (x, y)]
    if metric == "mutual_knn":
        return (inside[0] & inside[1]) / K
    p, q = (m * (v @ (v - v.mean(0)).T) for m, v in zip(inside, (x, y), strict=True))
    terms = [p * q, p * p, q * q]
    score = terms[0].sum() / np.sqrt(terms[1].sum() * terms[2].sum())
    parts = [share * term / term.sum() for share, term in zip((1, -0.5, -0.5), terms, strict=True)]
    return N * score * sum(parts)


@pytest.mark.parametrize("metric", ["mutual_knn", "cknna", "information_imbalance"])
def test_edges_are_those_of_dense_matrices(result, metric):
    (found,) = score_influences(result, metric, [("a", "b")], K).values()
    matrix = np.zeros((N, N))
    np.add.at(matrix, (found.owners, found.neighbors), found.weights)
    np.testing.assert_allclose(matrix, dense_weights(result, metric, "a", "b"), atol=2e-5)
    assert not found.structures.any()


@pytest.mark.parametrize(
    ("metric", "kernel", "how"),
    [
        ("cka", "linear", "debiased"),
        ("dcor", "euclidean", "debiased"),
        ("dcor:v", "euclidean", "biased"),
        ("rsa", "euclidean", "pairs"),
    ],
)
def test_contributions_are_what_a_structure_changes(result, metric, kernel, how):
    """n·score − (n−1)·score without it, to first order."""
    x, y = rows(result, "a"), rows(result, "c")
    (found,) = score_influences(result, metric, [("a", "c")], None).values()
    whole = oracles_gram.score(x, y, kernel, how)
    without = [
        oracles_gram.score(np.delete(x, i, 0), np.delete(y, i, 0), kernel, how) for i in range(N)
    ]
    changed = N * whole - (N - 1) * np.array(without)
    centered = [part - part.mean() for part in (found.structures, changed)]
    assert np.corrcoef(*centered)[0, 1] > 0.97
    assert 0.75 < np.std(centered[0]) / np.std(centered[1]) < 1.3


@pytest.mark.slow
def test_gaussian_kernels_have_the_bandwidth_of_the_score(rng):
    result = ja.align(views(rng, {"a": 0.1, "b": 0.1}), metrics=("cka:rbf",))
    x, y = rows(result, "a"), rows(result, "b")
    (found,) = score_influences(result, "cka:rbf", [("a", "b")], None).values()
    a, b = (oracles_gram.centered(oracles_gram.matrix(v, "rbf"), "debiased") for v in (x, y))
    ab, aa, bb = ((p * q).sum(1) for p, q in ((a, b), (a, a), (b, b)))
    score = ab.sum() / np.sqrt(aa.sum() * bb.sum())
    expected = 2 * N * score * (ab / ab.sum() - aa / aa.sum() / 2 - bb / bb.sum() / 2)
    np.testing.assert_allclose(found.structures, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("metric", TESTED)
def test_the_clearly_closer_model_is_found(result, metric):
    table = compare_scores(
        result, metric, pairs=[(("a", "b"), ("c", "b")), (("c", "b"), ("a", "b"))]
    )
    assert tuple(table.columns) == COLUMNS
    assert list(table["closer"]) == ["ab", "cd"]
    assert (table["p"] < 1e-3).all()
    np.testing.assert_allclose(table["difference"].sum(), 0, atol=1e-12)
    np.testing.assert_allclose(table["score_ab"] - table["score_cd"], table["difference"])
    inside = table["difference"].between(table["ci_low"], table["ci_high"])
    assert (inside & (table["ci_low"] * table["ci_high"] > 0)).all()
    assert (table["units"] == N).all()


def test_all_models_against_a_reference(result):
    table = compare_scores(result, "mutual_knn", reference="c")
    assert list(zip(table["model_a"], table["model_c"], strict=True)) == [("a", "b")]
    assert (table[["model_b", "model_d"]] == "c").all(axis=None)
    # One test: corrections change nothing.
    np.testing.assert_allclose(table[["p_holm", "q"]], table["p"].iloc[0])
    grouped = compare_scores(result, "mutual_knn", reference="c", groups=np.arange(N) // 3)
    assert grouped["units"].iloc[0] == N // 3


def test_nearest_models_and_their_lead(result):
    table = nearest_models(result, "information_imbalance").set_index("model")
    assert table.loc["a", "nearest"] == "b"
    assert table.loc["b", "nearest"] == "a"
    assert table.loc[["a", "b"], "nearer"].all()
    assert (table["score"] <= table["second_score"]).all()


def test_replicates_serve_metrics_without_contributions(result, rng):
    words = "jaccard_knn has no contributions"
    table = compare_scores(result, "jaccard_knn", reference="b")
    assert table["p"].isna().all()
    assert table["reason"].str.contains(words).all()
    first, second = rng.normal(size=(2, 24)) * 0.01
    # Either order of a symmetric metric.
    replicates = Replicates({("a", "b"): first, ("b", "c"): 0.5 + second}, taken=N / 2)
    (row,) = compare_scores(
        result, "jaccard_knn", reference="b", replicates=replicates
    ).itertuples()
    drawn = first - 0.5 - second
    error = np.sqrt(np.square((drawn[::2] - drawn[1::2]) / 2).mean())
    np.testing.assert_allclose(row.t, row.difference / error)
    assert (row.method, row.units) == ("replicates", 12)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "either pairs or reference"),
        ({"pairs": [(("a", "b"), ("c", "b"))], "reference": "a"}, "either pairs or reference"),
        ({"pairs": []}, "at least one comparison"),
        ({"pairs": [(("a", "b"), ("nobody", "b"))]}, "unknown model 'nobody'"),
        ({"pairs": [(("a", "a"), ("c", "b"))]}, "with itself"),
        ({"reference": "nobody"}, "unknown model"),
        ({"reference": "a", "k": 7}, "k=7"),
        ({"reference": "a", "alpha": 0.0}, "confidence"),
        ({"reference": "a", "groups": [0] * N}, "at least 6"),
    ],
)
def test_what_cannot_be_compared_is_refused(result, settings, words):
    with pytest.raises(ValueError, match=words):
        compare_scores(result, "mutual_knn", **settings)


def test_degenerate_scores_and_copies_have_no_test(rng):
    models = views(rng, {"a": 0.3, "b": 0.3})
    models |= {"copy": models["a"], "flat": np.ones((N, 3), np.float32)}
    result = ja.align(models, metrics=("mutual_knn",), k=K)
    pairs = [(("a", "b"), ("copy", "b")), (("a", "b"), ("flat", "b"))]
    table = compare_scores(result, "mutual_knn", pairs=pairs)
    assert table["p"].iloc[0] == 1
    assert np.isnan(table["p"].iloc[1])
    assert list(table["reason"]) == [
        "both scores are made of the same contributions",
        "a score is NaN",
    ]
    assert list(table["closer"]) == ["", ""]


def test_a_loaded_result_knows_graphs_alone(rng, tmp_path):
    models = views(rng, {"a": 0.3, "b": 0.3, "c": 1.0})
    fresh = ja.align(models, metrics=("mutual_knn", "information_imbalance"), k=K, workdir=tmp_path)
    loaded = ja.load(tmp_path)
    one, other = (compare_scores(r, "mutual_knn", reference="b") for r in (fresh, loaded))
    pd.testing.assert_frame_equal(one, other)
    with pytest.raises(ResultError, match="need the embeddings"):
        compare_scores(loaded, "information_imbalance", reference="b")


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.3, 1.0, 4.0])
def test_equally_aligned_models_seldom_differ(rng, noise):
    """Triples of models, of which two are equally aligned with the third."""
    n, triples, runs = 80, 12, 10
    p = {metric: [] for metric in TESTED}
    for _ in range(runs):
        models = {}
        for number in range(triples):
            seen = views(rng, dict.fromkeys("abc", noise), n=n)
            models |= {f"{name}{number}": values for name, values in seen.items()}
        result = ja.align(models, metrics=TESTED, k=K)
        pairs = [((f"a{i}", f"b{i}"), (f"c{i}", f"b{i}")) for i in range(triples)]
        for metric in TESTED:
            p[metric].extend(compare_scores(result, metric, pairs=pairs)["p"])
    count = triples * runs
    for metric, values in p.items():
        for alpha in (0.05, 0.01):
            error = np.sqrt(alpha * (1 - alpha) / count)
            assert np.mean(np.array(values) <= alpha) <= alpha + 4 * error, (metric, alpha)
