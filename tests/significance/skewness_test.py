"""Third moments over all permutations against all permutations, and the tails made of them."""

import itertools

import numpy as np
import pytest
from scipy import stats

from jaxalign.significance import skewness
from jaxalign.significance.gamma import gamma_tail, gamma_threshold
from jaxalign.significance.skewness import edge_triples, third_moment


def random_graph(rng, n, k):
    """Neighbor lists and reverse positions, by looking for every edge."""
    ids = np.array([rng.permutation(np.delete(np.arange(n), i))[:k] for i in range(n)])
    reverse = np.full((n, k), -1)
    for i, a in np.ndindex(n, k):
        found = np.flatnonzero(ids[ids[i, a]] == i)
        reverse[i, a] = found[0] if len(found) else -1
    return ids, reverse


def dense(ids, weights):
    matrix = np.zeros((len(ids), len(ids)))
    np.put_along_axis(matrix, ids, weights, axis=1)
    return matrix


def moment_of_all(a, b):
    orders = np.array(list(itertools.permutations(range(len(a)))))
    terms = np.array([(a * b[np.ix_(order, order)]).sum() for order in orders])
    return ((terms - terms.mean()) ** 3).mean()


@pytest.mark.parametrize("k", [1, 2, 4])
def test_third_moment_is_that_of_all_permutations(rng, k):
    n = 6
    matrices, means = [], []
    for counted in (True, False):
        ids, reverse = random_graph(rng, n, k)
        weights = np.ones((n, k)) if counted else rng.normal(size=(n, k)) + 0.5
        matrices.append(dense(ids, weights))
        means.append(edge_triples(ids, reverse, weights))
    expected = moment_of_all(*matrices)
    np.testing.assert_allclose(third_moment(n, *means), expected, rtol=1e-7, atol=1e-9)


def test_third_moment_of_complete_graphs(rng):
    """All entries are edges; and of a constant matrix nothing is left."""
    n = 6
    ids = np.array([np.delete(np.arange(n), i) for i in range(n)])
    reverse = np.array([[i - (i > j) for j in row] for i, row in enumerate(ids)])
    weights = rng.normal(size=(2, n, n - 1)) + 3
    means = [edge_triples(ids, reverse, part) for part in weights]
    expected = moment_of_all(*(dense(ids, part) for part in weights))
    np.testing.assert_allclose(third_moment(n, *means), expected, rtol=1e-7, atol=1e-9)
    constant = edge_triples(ids, reverse, np.ones((n, n - 1)))
    assert abs(third_moment(n, means[0], constant)) < 1e-9
    assert np.isnan(third_moment(5, *means))


def test_triangles_of_a_sample_stand_for_all(rng, monkeypatch):
    n, k = 400, 6
    # Neighbors on a ring: triangles are many, and as many at each structure.
    ids = (np.arange(n)[:, None] + np.array([1, -1, 2, -2, 3, -3])[None, :]) % n
    reverse = np.tile([1, 0, 3, 2, 5, 4], (n, 1))
    weights = np.ones((n, k))
    whole = edge_triples(ids, reverse, weights)
    monkeypatch.setattr(skewness, "TRIANGLE_WORK", 50 * k**2)
    np.testing.assert_allclose(edge_triples(ids, reverse, weights), whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [-1.5, -0.2, -0.0011, 0.0, 0.0009, 0.3, 1.0, 4.0])
def test_gamma_tail_is_pearson_type_three(shape):
    for z in (-3.0, -0.4, 0.0, 1.7, 5.0):
        np.testing.assert_allclose(gamma_tail(z, shape), stats.pearson3.sf(z, shape), atol=1e-4)
    for alpha in (0.05, 1e-3):
        assert gamma_tail(gamma_threshold(shape, alpha), shape) == pytest.approx(alpha, rel=1e-6)
    assert gamma_tail(-100.0, shape) == pytest.approx(1)


def test_gamma_tails_rise_with_skewness():
    tails = [gamma_tail(3.0, shape) for shape in (-1.0, -0.1, 0.0, 0.1, 1.0, 2.0)]
    assert (np.diff(tails) > 0).all()
