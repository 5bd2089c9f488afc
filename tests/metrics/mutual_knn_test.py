"""Mutual kNN against a dense float64 mask, closed forms and its invariances."""

import numpy as np
import pytest
from scipy.stats import ortho_group

import tests.oracles as oracles
from jaxalign.metrics import mutual_knn


@pytest.mark.parametrize("mean_cosine", [0.0, 0.96, 0.998])
@pytest.mark.parametrize("k", [1, 40])
def test_agrees_with_dense_masks(rng, mean_cosine, k):
    x, y = oracles.related_pair(rng, 250, 24, 24, mean_cosine)
    expected = oracles.mutual_knn(oracles.l2_rows(x), oracles.l2_rows(y), k)
    assert float(mutual_knn(x, y, k=k)) == pytest.approx(expected, abs=1e-12)


def test_identity_independent_and_complete(rng):
    x, y = (rng.normal(size=(200, 24)).astype(np.float32) for _ in "xy")
    assert float(mutual_knn(x, x, k=20)) == 1.0
    assert float(mutual_knn(x, y, k=199)) == 1.0
    # Hubs make rows dependent: allow well beyond the hypergeometric standard error of 200 rows.
    assert float(mutual_knn(x, y, k=20)) == pytest.approx(20 / 199, abs=0.03)


def test_invariant_to_rotation_and_scale_but_not_to_shear(rng):
    x, y = oracles.related_pair(rng, 300, 10, 12)
    rotation = ortho_group.rvs(10, random_state=rng)
    turned = float(mutual_knn((x @ rotation * 3).astype(np.float32), y))
    assert turned == pytest.approx(float(mutual_knn(x, y)), abs=2e-3)
    sheared = (x * 10.0 ** np.arange(10)).astype(np.float32)
    assert float(mutual_knn(sheared, y)) < float(mutual_knn(x, y)) - 0.02


def test_symmetric_and_carries_diagnostics(rng):
    x, y = oracles.related_pair(rng, 120, 8, 9)
    x[3] = 0
    x[50:55] = x[60]
    score = mutual_knn(x, y, k=7)
    assert float(score) == float(mutual_knn(y, x, k=7))
    assert score.diagnostics["n"] == 120
    assert score.diagnostics["k"] == 7
    assert score.diagnostics["normalization"] == "l2"
    assert score.diagnostics["x"]["zero_rows"] == 1
    assert score.diagnostics["x"]["duplicate_groups"] == 1
    assert score.diagnostics["x"]["duplicate_rows"] == 6
    assert score.diagnostics["y"]["duplicate_rows"] == 0


def test_a_constant_model_is_nan_with_a_reason(rng):
    score = mutual_knn(np.ones((40, 4), np.float32), np.full((40, 3), 2, np.float32))
    assert np.isnan(float(score))
    assert "all rows are equal" in score.diagnostics["reason"]


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1e20, 1e36])
def test_scale_of_raw_rows_does_not_matter(rng, scale):
    x = rng.normal(size=(120, 24)).astype(np.float32)
    scaled = (x.astype(np.float64) * scale).astype(np.float32)
    assert float(mutual_knn(x, scaled, k=5, normalize="none")) > 0.99


def test_bad_pairs_are_named(rng):
    x = rng.normal(size=(20, 3)).astype(np.float32)
    with pytest.raises(ValueError, match="same structures: got 20 and 19 rows"):
        mutual_knn(x, x[:-1])
    with pytest.raises(ValueError, match=r"got k=20, n=20; pass k <= 19"):
        mutual_knn(x, x, k=20)
    y = x.copy()
    y[4, 1] = np.inf
    with pytest.raises(ValueError, match="y holds NaN or infinity in 1 of 20 rows: 4"):
        mutual_knn(x, y)
    with pytest.raises(ValueError, match="unknown normalization"):
        mutual_knn(x, x, normalize="l3")
