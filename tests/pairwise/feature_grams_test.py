"""Cross-covariances against dense Gram matrices, and against the tile route."""

import numpy as np
import pytest

import tests.oracles_gram as dense
from jaxalign.embeddings.sources import model_rows
from jaxalign.pairwise.feature_grams import linear_feature_terms
from jaxalign.pairwise.grams import gram_terms

N = 100


def rows(xs):
    return [model_rows(x, "none") for x in xs]


def models(rng):
    z = rng.normal(size=(N, 4))
    wide = [z @ rng.normal(size=(4, d)) + rng.normal(size=(N, d)) + 50.0 for d in (5, 130, 64, 31)]
    return [(x * s).astype(np.float32) for x, s in zip(wide, (1, 1e-15, 1e15, 3), strict=True)]


def same(got, wanted, tolerance=1e-9):
    scale = np.sqrt(np.diag(wanted))
    assert np.abs((got - wanted) / np.outer(scale, scale)).max() < tolerance


@pytest.mark.parametrize("memory_budget", [None, 16 * 140**2])
def test_agrees_with_dense_matrices_and_with_tiles(rng, memory_budget):
    xs = models(rng)
    found = linear_feature_terms(rows(xs), memory_budget=memory_budget)
    tiles = gram_terms(rows(xs), kernels=("linear",), route="tiles")["linear"]
    matrices = [dense.matrix(x, "linear") for x in xs]
    for how in dense.CENTERINGS:
        same(getattr(found, how), dense.terms(matrices, how))
        same(getattr(found, how), getattr(tiles, how))
    sums = np.transpose([dense.row_sums(a) for a in matrices])
    np.testing.assert_allclose(found.row_sums, sums, rtol=1e-9)
    np.testing.assert_allclose(tiles.row_sums, sums, rtol=1e-6)
    assert (found.route, tiles.route) == ("features", "tiles")


@pytest.mark.parametrize("memory_budget", [None, 16 * 140**2])
def test_new_models_get_the_rows_of_the_full_result(rng, memory_budget):
    xs = models(rng)
    whole = linear_feature_terms(rows(xs))
    new = linear_feature_terms(rows(xs), new=[3, 1], memory_budget=memory_budget)
    for how in dense.CENTERINGS:
        assert getattr(new, how) == pytest.approx(getattr(whole, how)[[3, 1]], rel=1e-9)


def test_constant_rows_have_self_terms_of_zero(rng):
    equal = np.full((N, 7), 1e5 / 3, np.float32)
    found = linear_feature_terms(rows([equal, models(rng)[0]]))
    for how in dense.CENTERINGS:
        assert getattr(found, how)[0, 0] == 0
        assert getattr(found, how)[1, 1] > 0


def test_unequal_lengths_are_named(rng):
    xs = models(rng)
    with pytest.raises(ValueError, match="same structures"):
        linear_feature_terms(rows([xs[0], xs[1][2:]]))
