"""Edge values keep their precision where the kernel itself is almost constant."""

import numpy as np

import tests.oracles as oracles
from jaxalign.pairwise.edges import graph_statistics
from jaxalign.pairwise.neighbors import neighbors


def test_centered_values_and_reverse_positions(rng):
    rows = oracles.l2_rows(oracles.anisotropic(rng, 200, 20, 0.998))
    ids = neighbors(rows, k=9, similarity="inner").indices
    graph = graph_statistics(rows, ids)
    K = rows.astype(np.float64) @ rows.astype(np.float64).T
    np.testing.assert_allclose(graph.means, K.mean(1), rtol=1e-12)
    expected = np.take_along_axis(K - K.mean(1, keepdims=True), ids.astype(int), 1)
    np.testing.assert_allclose(graph.centered, expected, rtol=1e-6, atol=1e-10)
    for i in range(200):
        for a, j in enumerate(ids[i]):
            where = np.flatnonzero(ids[j] == i)
            assert graph.reverse[i, a] == (where[0] if len(where) else -1)


def test_prefix_is_the_graph_of_fewer_neighbors(rng):
    rows = rng.normal(size=(90, 5)).astype(np.float32)
    large = graph_statistics(rows, neighbors(rows, k=20, similarity="inner").indices).first(6)
    small = graph_statistics(rows, neighbors(rows, k=6, similarity="inner").indices)
    for one, other in zip(large, small, strict=True):
        np.testing.assert_array_equal(one, other)
