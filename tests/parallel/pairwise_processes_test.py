"""Two processes of two devices find what one finds, though each compares only its own rows."""

import json

import numpy as np
import pytest

import tests.oracles as oracles
from jaxalign.embeddings.sources import model_rows
from jaxalign.metrics._cknna import formula_term, platonic_term
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.graph_pairs import graph_pair_terms, stack_graphs
from jaxalign.pairwise.joint_neighbors import joint_nearest
from jaxalign.pairwise.ranks import rank_rows, rank_sums
from jaxalign.pairwise.thresholds import threshold_terms
from tests.multiprocess.cluster import run_cluster

N, K, TILE = 301, 6, 64
_SOURCE = """
import json, sys
from tests.parallel.pairwise_processes_test import terms

print(json.dumps(terms(int(sys.argv[1]))))
"""


def random_graph(rng, ids):
    reverse, centered = rng.integers(-1, K, ids.shape), rng.normal(size=ids.shape)
    scores = np.zeros(ids.shape, np.float32)
    parts = reverse.astype(np.int16), centered.astype(np.float32), scores
    return GraphStatistics(ids, *parts, rng.normal(size=N))


def terms(seed):
    """Everything here that is spread over processes."""
    rng = np.random.default_rng(seed)
    near = oracles.anisotropic(rng, N, 12, 0.998)
    data = [near, near[rng.integers(0, 40, N)], rng.integers(0, 3, (N, 12))]
    models = [model_rows(x.astype(np.float32), "none") for x in data]
    ids = [oracles.knn(x, K, "euclidean").astype(np.int32) for x in data]
    graphs = stack_graphs([random_graph(rng, part) for part in ids])
    pairs = np.array([(a, b) for a in range(3) for b in range(3)])
    metrics = formula_term, platonic_term
    masked = threshold_terms(models, k=40, tile_size=TILE)
    found = {
        "ranks": rank_sums(models, ids, tile_size=TILE),
        "ranks of rows": rank_rows(ids[0], models[1], gather=False, tile_size=TILE),
        "ranks, nothing kept": rank_rows(ids[1], models[0], memory_budget=1, tile_size=TILE),
        "shared": masked.shared,
        "products": masked.products,
        "terms": graph_pair_terms(graphs, pairs, metrics),
        "terms of one pair": graph_pair_terms(graphs, pairs[1:2], metrics),
        "joint": joint_nearest(models, [(0, 1), (0, 2), (2, 2)]),
    }
    return {name: part.tolist() for name, part in found.items()}


@pytest.mark.slow
def test_two_processes_find_what_one_finds(rng):
    seed = int(rng.integers(2**31))
    expected = terms(seed)
    for result in run_cluster(_SOURCE, args=[seed], timeout=250):
        found = json.loads(result.stdout)
        for name, wanted in expected.items():
            if name in ("products", "joint"):
                np.testing.assert_allclose(found[name], wanted, 1e-6, 1e-12, err_msg=name)
            else:
                np.testing.assert_array_equal(found[name], wanted, err_msg=name)
