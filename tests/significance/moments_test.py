"""Closed-form moments against every permutation there is, in float64."""

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxalign.significance.moments import (
    CenteredMoments,
    MatrixMoments,
    centered_pair,
    edge_moments,
    permutation_moments,
    symmetric_moments,
)
from jaxalign.significance.rank_moments import rank_moments


def every_permutation(a, b):
    """Γ of all relabellings of b."""
    n = len(a)
    return np.array(
        [np.sum(a * b[np.ix_(p, p)]) for p in map(list, itertools.permutations(range(n)))]
    )


def check(found, a, b, rtol=1e-9):
    values = every_permutation(a, b)
    np.testing.assert_allclose(found.mean, values.mean(), rtol=rtol, atol=1e-9 * abs(values).max())
    np.testing.assert_allclose(found.sd, values.std(), rtol=rtol, atol=1e-7 * abs(values).max())


def graph(rng, n, k, *, ties=False):
    """Ids, reverse positions and weights of a random neighbor graph, and its dense matrix."""
    ids = np.array([rng.permutation(np.delete(np.arange(n), i))[:k] for i in range(n)])
    reverse = np.full((n, k), -1)
    for i, a in itertools.product(range(n), range(k)):
        back = np.flatnonzero(ids[ids[i, a]] == i)
        reverse[i, a] = back[0] if len(back) else -1
    weights = np.ones((n, k)) if ties else rng.normal(size=(n, k)) + 1
    dense = np.zeros((n, n))
    np.put_along_axis(dense, ids, weights, axis=1)
    return edge_moments(ids, reverse, weights), dense


@pytest.mark.parametrize("n", [2, 3, 4, 6])
@pytest.mark.parametrize("ties", [False, True])
def test_moments_of_graphs_are_those_of_all_permutations(rng, n, ties):
    a, dense_a = graph(rng, n, min(n - 1, 2), ties=ties)
    b, dense_b = graph(rng, n, min(n - 1, 3), ties=ties)
    check(permutation_moments(a, b), dense_a, dense_b)


def test_moments_of_symmetric_matrices_are_those_of_all_permutations(rng):
    found, dense = [], []
    for width in (2, 5):
        x = rng.normal(size=(6, width)) * np.linspace(1, 3, 6)[:, None]
        matrix = cdist(x, x)
        matrix -= matrix.sum() / 30
        np.fill_diagonal(matrix, 0)
        squares, rows = np.square(matrix).sum(), np.square(matrix.sum(axis=1)).sum()
        found.append(symmetric_moments(6, squares=squares, row_squares=rows))
        dense.append(matrix)
    check(permutation_moments(*found), *dense)


def test_standard_deviation_of_u_centered_scores_depends_on_n_alone(rng):
    n = 6
    found, dense = [], []
    for width in (1, 4):
        d = cdist(*(2 * [rng.normal(size=(n, width))]))
        rows = d.sum(axis=1)
        u = d - rows[:, None] / (n - 2) - rows[None, :] / (n - 2) + d.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(u, 0)
        u /= np.sqrt(np.square(u).sum())
        found.append(symmetric_moments(n, squares=1.0, row_squares=0.0))
        dense.append(u)
    check(permutation_moments(*found), *dense)


@pytest.mark.parametrize("n", [4, 6])
def test_moments_of_centered_matrices_are_those_of_all_permutations(rng, n):
    found, dense = [], []
    for width in (1, 3):
        x = rng.normal(size=(n, width)) * np.linspace(1, 4, n)[:, None]
        x -= x.mean(axis=0)
        k = x @ x.T
        sums = np.trace(k), np.square(k).sum(), np.square(np.diag(k)).sum()
        found.append(CenteredMoments(n, *map(float, sums)))
        dense.append(k)
    check(centered_pair(*found), *dense)


def ranks(x):
    """Rank of every other row, by definition."""
    d = cdist(x, x)
    np.fill_diagonal(d, -1)
    order = np.argsort(d, axis=1, kind="stable")
    return np.argsort(order, axis=1).astype(float)


def test_rank_moments_of_all_rows_are_exact(rng):
    x = rng.normal(size=(6, 3))
    a, dense = graph(rng, 6, 2, ties=True)
    check(permutation_moments(a, rank_moments(x, 6)), dense, ranks(x))


def test_rank_moments_of_a_sample_come_near_those_of_all(rng):
    x = rng.normal(size=(600, 4)) * [3, 1, 1, 0.3]
    whole, part = rank_moments(x, 600), rank_moments(x[rng.permutation(600)[:300]], 600)
    for name in ("total", "squares", "rows"):
        assert getattr(part, name) == pytest.approx(getattr(whole, name))
    assert part.columns == pytest.approx(whole.columns, rel=0.05)
    assert part.transposed == pytest.approx(whole.transposed, rel=0.1)


def test_matrices_of_two_sizes_are_refused():
    a, b = (MatrixMoments(n, *(1.0,) * 6) for n in (5, 6))
    with pytest.raises(ValueError, match="5 and 6 rows"):
        permutation_moments(a, b)
    with pytest.raises(ValueError, match="5 and 6 rows"):
        centered_pair(CenteredMoments(5, 1.0, 1.0, 1.0), CenteredMoments(6, 1.0, 1.0, 1.0))
