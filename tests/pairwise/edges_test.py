"""Edge values keep their precision where the kernel itself is almost constant."""

import jax.numpy as jnp
import numpy as np

import tests.oracles as oracles
from jaxalign.pairwise.edges import GraphStatistics, graph_statistics


def graph_of(rows, k):
    ids = oracles.knn(rows, k).astype(np.int32)
    scores = (rows[:, None, :] * rows[ids]).sum(-1)
    return graph_statistics(rows, ids, scores)


def test_centered_values_reverse_positions(rng):
    rows = oracles.l2_rows(oracles.anisotropic(rng, 200, 20, 0.998))
    graph = graph_of(rows, 9)
    ids = graph.ids
    K = rows.astype(np.float64) @ rows.astype(np.float64).T
    np.testing.assert_allclose(graph.means, K.mean(1), rtol=1e-12)
    expected = np.take_along_axis(K - K.mean(1, keepdims=True), ids.astype(int), 1)
    np.testing.assert_allclose(graph.centered, expected, rtol=1e-6, atol=1e-10)
    assert graph.reverse.dtype == np.int16
    for i in range(200):
        for a, j in enumerate(ids[i]):
            where = np.flatnonzero(ids[j] == i)
            assert graph.reverse[i, a] == (where[0] if len(where) else -1)


def test_a_large_offset_leaves_the_centered_values(rng):
    rows = (rng.normal(size=(150, 24)) + 1000).astype(np.float32)
    graph = graph_of(rows, 7)
    x = rows.astype(np.longdouble)
    expected = ((x[graph.ids] - x.mean(0)) * x[:, None]).sum(-1)
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(graph.centered, expected.astype(float), rtol=1e-6, atol=1e-7 * scale)


def test_everyone_is_a_neighbor_of_everyone(rng):
    rows = rng.normal(size=(12, 3)).astype(np.float32)
    graph = graph_of(rows, 11)
    assert (graph.reverse >= 0).all()
    back = graph.ids[graph.ids, graph.reverse]
    np.testing.assert_array_equal(back, np.broadcast_to(np.arange(12)[:, None], (12, 11)))


def test_prefix_is_the_graph_of_fewer_neighbors(rng):
    rows = rng.normal(size=(90, 5)).astype(np.float32)
    whole, small = graph_of(rows, 20), graph_of(rows, 6)
    for one, other in zip(whole.first(6), small, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert whole.first(20) is whole


def test_prefix_of_stacked_graphs_on_host_and_device(rng):
    graphs = [graph_of(rng.normal(size=(90, 5)).astype(np.float32), 20) for _ in range(3)]
    stacked = GraphStatistics(*(np.stack(parts) for parts in zip(*graphs, strict=True)))
    device = stacked._replace(ids=jnp.asarray(stacked.ids), reverse=jnp.asarray(stacked.reverse))
    for first in (stacked.first(6), device.first(6)):
        for number, graph in enumerate(graphs):
            for one, other in zip(first, graph.first(6), strict=True):
                np.testing.assert_array_equal(np.asarray(one[number]), other)
                assert one.dtype == other.dtype
