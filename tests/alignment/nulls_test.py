"""Closed-form nulls in the table, against scores of models whose rows are really permuted."""

import numpy as np
import pytest

import jaxalign as ja

CLOSED = (
    *("mutual_knn", "cknna", "cka", "cka:biased", "cka:rbf", "dcor", "dcor:v", "rsa"),
    "information_imbalance",
)
CONSERVATIVE = ("cka", "cka:biased", "dcor", "dcor:v")


def off_diagonal(table, metric):
    rows = table[table["metric"] == metric]
    return rows[rows["model_a"] != rows["model_b"]]


def uneven(rng, n, d):
    """Rows with outliers and neighbors that are hubs: nulls are far from those of a Gaussian."""
    x = rng.normal(size=(n, d)) * np.linspace(1, 3, d)[None, :]
    x[: n // 10] *= 4
    return x.astype(np.float32)


# Nulls of kernels are skewed, and pairs share models: a few copies tell wrong units and no more.
@pytest.mark.parametrize(
    ("copies", "low", "high"), [(8, 0.2, 3.0), pytest.param(30, 0.5, 1.8, marks=pytest.mark.slow)]
)
def test_nulls_are_those_of_permuted_rows(rng, copies, low, high):
    n = 60
    x, y = uneven(rng, n, 3), uneven(rng, n, 12)
    # Each of these relabels its rows by itself: any two are as good as one permutation.
    models = {f"{name}{i}": rows[rng.permutation(n)] for i in range(copies)
              for name, rows in (("x", x), ("y", y))}  # fmt: skip
    table = ja.align(models, metrics=CLOSED, k=5).table
    for metric in CLOSED:
        rows = off_diagonal(table, metric)
        mixed = rows[(rows["model_a"].str[0] == "x") & (rows["model_b"].str[0] == "y")]
        assert len(mixed) >= copies * (copies - 1) / 2
        # Terms do not depend on the labels, so all have one null.
        assert mixed["null_mean"].std() < 1e-9
        z = mixed["z"]
        # Pairs share models: at least `copies` of them are independent.
        assert abs(z.mean()) < 6 / np.sqrt(copies), metric
        assert low < z.std() < high, metric


@pytest.mark.slow
def test_independent_gaussians_are_calibrated_to_zero(rng):
    """At n = 64, d = 128 the biased scores are near 1: .89 for the squared V-statistic."""
    count = 24
    models = {str(i): rng.normal(size=(64, 128)).astype(np.float32) for i in range(count)}
    table = ja.align(models, metrics=CONSERVATIVE).table
    assert off_diagonal(table, "dcor:v")["value"].mean() > 0.8
    for metric in CONSERVATIVE:
        rows = off_diagonal(table, metric)
        assert abs(rows["z"].mean()) < 6 / count
        for alpha in (0.01, 0.05):
            error = np.sqrt(alpha / (count / 2))  # of as many disjoint pairs
            assert (rows["p"] <= alpha).mean() <= alpha + 3 * error
        assert (rows["calibrated"] == 0).mean() > 0.85
        assert (rows["q"] > 0.05).mean() > 0.9


def test_aligned_models_stand_out_and_distances_point_the_same_way(rng):
    latent = rng.normal(size=(80, 3))
    seen = [latent @ rng.normal(size=(3, d)) + 0.3 * rng.normal(size=(80, d)) for d in (9, 20)]
    models = dict(zip("ab", seen, strict=True)) | {"noise": rng.normal(size=(80, 6))}
    models = {name: rows.astype(np.float32) for name, rows in models.items()}
    table = ja.align(models, metrics=CLOSED, k=5).table
    for metric in CLOSED:
        rows = off_diagonal(table, metric)
        unlike = rows[["model_a", "model_b"]].eq("noise").any(axis=1)
        found, rest = rows[~unlike], rows[unlike]
        assert (found["z"] > 5).all()
        assert (found["p"] < 1e-4).all()
        assert (found["calibrated"] > 0.2).all()
        assert (found["calibrated"] > rest["calibrated"].max()).all()
    diagonal = table[table["model_a"] == table["model_b"]]
    assert diagonal[["p", "z", "calibrated"]].isna().all(axis=None)


@pytest.mark.parametrize("how", ["groups", "platonic", "large k"])
def test_scores_without_a_closed_form_have_none(rng, how):
    models = {name: uneven(rng, 60, 4) for name in "ab"}
    settings = {"metrics": ("mutual_knn",), "k": 5}
    if how == "groups":
        settings["groups"] = np.arange(60) // 2
    if how == "platonic":
        settings["metrics"] = ("cknna:platonic", "jaccard_knn")
    if how == "large k":
        models = {name: uneven(rng, 600, 4) for name in "ab"}
        settings["k"] = 520
    table = ja.align(models, **settings).table
    assert table[["p", "z", "null_mean", "calibrated", "q"]].isna().all(axis=None)
    assert set(table["null"]) == {""}


@pytest.mark.slow
def test_nulls_of_a_resumed_run_are_those_of_the_first(rng, tmp_path):
    models = {name: uneven(rng, 50, 4) for name in "abc"}
    settings = {"metrics": ("mutual_knn", "cka:biased", "information_imbalance"), "k": 5}
    ja.align({name: models[name] for name in "ab"}, workdir=tmp_path, **settings)
    more = ja.align(models, workdir=tmp_path, **settings).table
    fresh = ja.align(models, **settings).table
    np.testing.assert_allclose(more["z"], fresh["z"], rtol=1e-9)
    np.testing.assert_allclose(more["q"], fresh["q"], rtol=1e-9)
