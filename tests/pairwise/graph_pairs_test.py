"""All pairs through one driver: the terms of each pair alone, whatever else is asked for."""

import jax
import numpy as np
import pytest

import tests.oracles as oracles
from jaxalign.metrics._cknna import formula_term, platonic_term
from jaxalign.metrics._mutual_knn import mutual_knn_term
from jaxalign.pairwise import shared_edges
from jaxalign.pairwise.edges import graph_statistics
from jaxalign.pairwise.graph_pairs import graph_pair_terms, stack_graphs

TERMS = (mutual_knn_term, formula_term, platonic_term)
N, M = 120, 4


@pytest.fixture
def rows(rng):
    return [oracles.l2_rows(oracles.related_pair(rng, N, 12, 12, 0.9)[0]) for _ in range(M)]


def graphs_of(rows, k):
    ids = [oracles.knn(x, k).astype(np.int32) for x in rows]
    unread = np.zeros((N, k), np.float32)
    return [graph_statistics(x, i, unread) for x, i in zip(rows, ids, strict=True)]


def dense_terms(x, y, k):
    x, y = x.astype(np.float64), y.astype(np.float64)
    K, L, both = x @ x.T, y @ y.T, oracles.mask(x, k) * oracles.mask(y, k)
    centered = (both * (K - K.mean(1, keepdims=True)) * (L - L.mean(1, keepdims=True))).sum()
    hsic = N * (N - 3) * oracles.hsic_unbiased(both * K, both * L)
    return both.sum(), centered, hsic


@pytest.mark.parametrize("k", [9, 40])
def test_all_ordered_pairs_agree_with_dense_terms(rows, k):
    pairs = np.array([(a, b) for a in range(M) for b in range(M)])
    found = graph_pair_terms(stack_graphs(graphs_of(rows, k)), pairs, TERMS)
    expected = [dense_terms(rows[a], rows[b], k) for a, b in pairs]
    np.testing.assert_array_equal(found[:, 0], np.array(expected)[:, 0])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_a_pair_does_not_depend_on_the_others(rows):
    stacked = stack_graphs(graphs_of(rows, 9))
    pairs = np.array([(a, b) for a in range(M) for b in range(M)])
    whole = graph_pair_terms(stacked, pairs, TERMS)
    for chosen in (np.array([7]), np.array([14, 2, 2, 9])):
        np.testing.assert_array_equal(
            graph_pair_terms(stacked, pairs[chosen], TERMS), whole[chosen]
        )
    assert graph_pair_terms(stacked, pairs[:0], TERMS).shape == (0, 3)


def test_a_prefix_of_a_larger_graph_gives_the_same_terms(rows):
    pairs = np.array([[0, 1], [2, 3]])
    large = graph_pair_terms(stack_graphs([g.first(9) for g in graphs_of(rows, 20)]), pairs, TERMS)
    small = graph_pair_terms(stack_graphs(graphs_of(rows, 9)), pairs, TERMS)
    np.testing.assert_array_equal(large, small)


@pytest.mark.slow
def test_both_comparisons_of_lists_give_the_same_terms(rows, monkeypatch):
    stacked, pairs = stack_graphs(graphs_of(rows, 11)), np.array([[0, 1], [1, 2], [3, 3]])
    compared = graph_pair_terms(stacked, pairs, TERMS)
    monkeypatch.setattr(shared_edges, "COMPARED", 0)
    jax.clear_caches()
    np.testing.assert_array_equal(graph_pair_terms(stacked, pairs, TERMS), compared)
