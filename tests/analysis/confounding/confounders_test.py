"""Residuals against least squares in NumPy, and what is refused."""

import numpy as np
import pytest
from scipy import stats

from jaxalign.analysis.confounding.confounders import (
    moved_rows,
    regression,
    residual_rows,
    share_left,
)
from jaxalign.embeddings.sources import ArrayRows


def fractions(rng, n, p):
    """Compositions: columns that sum to one, one that is constant, one that nobody has."""
    counts = rng.integers(0, 4, size=(n, p)).astype(np.float64) + 1e-12
    parts = counts / counts.sum(axis=1, keepdims=True)
    return np.concatenate([parts, np.ones((n, 1)), np.zeros((n, 1))], axis=1)


def least_squares(z, x):
    ones = np.concatenate([np.ones((len(z), 1)), (z - z.mean(axis=0))], axis=1)
    return x - ones @ np.linalg.lstsq(ones, x, rcond=1e-8)[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_residuals_are_those_of_least_squares(rng, dtype):
    z, x = fractions(rng, 80, 6).astype(dtype), rng.normal(size=(80, 9)) + 50.0
    fit = regression(z)
    assert (fit.rank, len(fit.kept)) == (5, 80)
    rows = residual_rows(ArrayRows(x), fit)
    wanted = least_squares(z.astype(np.float64), x)
    np.testing.assert_allclose(rows.read(0, 80), wanted, atol=1e-5)
    index = rng.permutation(80)[:20]
    np.testing.assert_array_equal(rows.take(index), rows.read(0, 80)[index])
    share, reason = share_left(rows)
    total = np.square(x - x.mean(axis=0)).sum()
    assert share == pytest.approx(np.square(wanted).sum() / total, rel=1e-5)
    assert reason == ""


def test_units_do_not_matter(rng):
    z, x = rng.normal(size=(50, 3)) * [1e-9, 1.0, 1e9] + [0, 3e2, 0], rng.normal(size=(50, 4))
    plain = residual_rows(ArrayRows(x), regression(z / [1e-9, 1.0, 1e9])).read(0, 50)
    np.testing.assert_allclose(residual_rows(ArrayRows(x), regression(z)).read(0, 50), plain)


def test_a_ridge_shrinks_what_is_taken_out(rng):
    n, ridge = 40, 0.3
    z, x = rng.normal(size=(n, 60)), rng.normal(size=(n, 5))
    scaled = (z - z.mean(axis=0)) / z.std(axis=0)
    inside = np.linalg.solve(scaled.T @ scaled + ridge * n * np.eye(60), scaled.T @ x)
    wanted = x - x.mean(axis=0) - scaled @ inside
    fit = regression(z, ridge=ridge)
    np.testing.assert_allclose(residual_rows(ArrayRows(x), fit).read(0, n), wanted, atol=1e-10)


def test_structures_that_confounders_reproduce_are_left_out(rng):
    z = np.concatenate([rng.normal(size=(30, 2)), np.zeros((30, 2))], axis=1)
    z[7, 2], z[19, 3] = 0.5, 2.0  # each the only one with some element
    fit = regression(z)
    assert set(range(30)) - set(fit.kept.tolist()) == {7, 19}
    assert fit.rank == 2


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rounding_noise_is_not_compared(rng, dtype):
    z = fractions(rng, 60, 5)
    made = (z[:, :5] @ rng.normal(size=(5, 8)) + 3.0).astype(dtype)
    share, reason = share_left(residual_rows(ArrayRows(made), regression(z)))
    assert reason == "the confounders explain all of its rows"
    assert share < 1e-3 if dtype == np.float16 else share < 1e-10
    more = (made + 0.05 * rng.normal(size=made.shape)).astype(dtype)
    assert share_left(residual_rows(ArrayRows(more), regression(z)))[1] == ""
    same = np.full((60, 3), 0.1, dtype)
    assert share_left(residual_rows(ArrayRows(same), regression(z)))[1] == "all rows are equal"


def test_nothing_is_taken_out_by_constants(rng):
    x = rng.normal(size=(20, 3))
    fit = regression(np.ones((20, 2)))
    assert fit.rank == 0
    np.testing.assert_allclose(
        residual_rows(ArrayRows(x), fit).read(0, 20), x - x.mean(axis=0), atol=1e-14
    )


def test_moved_rows_are_residuals_too(rng):
    z, x = rng.normal(size=(40, 4)), rng.normal(size=(40, 6))
    fit = regression(z)
    order = rng.permutation(40)
    rows = residual_rows(ArrayRows(x), fit)
    wanted = least_squares(z, least_squares(z, x)[order])
    np.testing.assert_allclose(moved_rows(rows, order, fit).read(0, 40), wanted, atol=1e-10)


def biased_cka(x, y):
    k, m = (rows @ rows.T for rows in (x, y))
    return (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())


@pytest.mark.parametrize("seeds", [40, pytest.param(600, marks=pytest.mark.slow)])
def test_p_values_of_residuals_are_uniform_although_they_share_a_subspace(rng, seeds):
    """Thirty directions of ninety: permutations that leave the subspace make p too small."""
    n, d, draws = 90, 6, 19
    right, naive = np.empty(seeds), np.empty(seeds)
    for seed in range(seeds):
        z = np.eye(31)[rng.permutation(np.repeat(np.arange(30), 3))]
        fit = regression(z)
        shared = 3 * z @ rng.normal(size=(31, d))
        x, y = (residual_rows(ArrayRows(shared + rng.normal(size=(n, d))), fit) for _ in range(2))
        fixed, score = x.read(0, n), biased_cka(x.read(0, n), y.read(0, n))
        found = np.empty((2, draws))
        for draw in range(draws):
            order = rng.permutation(n)
            found[0, draw] = biased_cka(fixed, moved_rows(y, order, fit).read(0, n))
            found[1, draw] = biased_cka(fixed, y.take(order))
        # Made continuous: p is one of twenty values.
        right[seed], naive[seed] = (1 + (found >= score).sum(axis=1) - rng.random()) / (draws + 1)
    assert stats.kstest(right, "uniform").pvalue > 1e-5
    if seeds > 100:  # else chance may hide it
        assert naive.mean() < right.mean() - 0.03


def test_bad_confounders(rng):
    with pytest.raises(ValueError, match="20 structures: nothing could be left"):
        regression(rng.normal(size=(20, 18)))
    with pytest.raises(ValueError, match="finite"):
        regression(np.array([[np.nan], [1.0]]))
    with pytest.raises(ValueError, match="ridge=-1"):
        regression(rng.normal(size=(20, 2)), ridge=-1.0)
