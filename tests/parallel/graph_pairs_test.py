"""Terms of pairs of graphs have the same bits whichever device computes them."""

import jax
import numpy as np
import pytest

import tests.oracles as oracles
from jaxalign.embeddings.preprocess import normalize_rows
from jaxalign.metrics._cknna import formula_term, platonic_term
from jaxalign.metrics._cycle_knn import cycle_knn_term
from jaxalign.metrics._edit_knn import edit_knn_term
from jaxalign.metrics._jaccard_knn import jaccard_knn_term
from jaxalign.metrics._lcs_knn import lcs_knn_term
from jaxalign.metrics._mutual_knn import mutual_knn_term
from jaxalign.pairwise.edges import graph_statistics
from jaxalign.pairwise.graph_pairs import graph_pair_terms, stack_graphs
from jaxalign.parallel.mesh import make_mesh

N, M = 301, 5
COMMON = (mutual_knn_term, formula_term, platonic_term)
ORDERED = (jaccard_knn_term, lcs_knn_term, edit_knn_term, cycle_knn_term)


# Beyond 32 neighbors lists are compared by a table.
@pytest.mark.slow
@pytest.mark.parametrize(("k", "terms"), [(9, COMMON + ORDERED), (40, COMMON)])
def test_terms_have_the_bits_of_one_device(rng, k, terms):
    near = oracles.anisotropic(rng, N, 12, 0.998)
    inputs = [near, near[rng.integers(0, 60, N)], np.round(near, 2)]
    inputs += [near + 0.01 * rng.normal(size=near.shape) for _ in range(M - 3)]
    rows = [normalize_rows(x.astype(np.float32), "l2") for x in inputs]
    ids = [oracles.knn(x, k).astype(np.int32) for x in rows]
    unread = np.zeros((N, k), np.float32)
    stacked = stack_graphs([graph_statistics(x, i, unread) for x, i in zip(rows, ids, strict=True)])
    pairs = np.array([(a, b) for a in range(M) for b in range(a, M)])
    expected = graph_pair_terms(stacked, pairs, terms, mesh=make_mesh(jax.devices()[:1]))
    for devices, models in ((2, 1), (4, 1), (8, 2)):
        mesh = make_mesh(jax.devices()[:devices], models=models)
        found = graph_pair_terms(stacked, pairs, terms, mesh=mesh)
        np.testing.assert_array_equal(found, expected, err_msg=f"{devices} devices")
    # Fewer pairs than devices.
    np.testing.assert_array_equal(
        graph_pair_terms(stacked, pairs[3:5], terms, mesh=mesh), expected[3:5]
    )
    assert graph_pair_terms(stacked, pairs[:0], terms, mesh=mesh).shape == (0, len(terms))
