"""Exact neighbors beside faiss and scikit-learn: the same lists wherever float32 can tell them."""

import numpy as np
import pytest

import tests.oracles as oracles
from jaxalign.pairwise.neighbors import neighbors

N, D, K = 3000, 24, 15


def agreement(ours, theirs):
    return np.mean([len(set(a) & set(b)) / K for a, b in zip(ours, theirs, strict=True)])


@pytest.mark.slow
def test_faiss_finds_the_same_neighbors(rng):
    import faiss

    x = oracles.l2_rows(rng.normal(size=(N, D)))
    index = faiss.IndexFlatIP(D)
    index.add(x)
    theirs = index.search(x, K + 1)[1][:, 1:]  # without duplicates, the first hit is the row itself
    assert agreement(neighbors(x, k=K, similarity="inner").indices, theirs) > 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_scikit_learn_finds_the_same_neighbors_in_float64(rng, similarity):
    from sklearn.neighbors import NearestNeighbors

    x = oracles.anisotropic(rng, N, D, 0.5)
    rows = oracles.l2_rows(x) if similarity == "cosine" else x
    model = NearestNeighbors(n_neighbors=K, algorithm="brute", metric="euclidean")
    theirs = model.fit(rows.astype(np.float64)).kneighbors(return_distance=False)
    assert agreement(neighbors(x, k=K, similarity=similarity).indices, theirs) > 0.9999
