"""Disputed structures against sets of neighbors; ties, row order and stored graphs."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from jaxalign.alignment.graph_cache import GraphCache
from jaxalign.alignment.plan import GraphSettings
from jaxalign.alignment.results import COLUMNS, Alignment, ResultError
from jaxalign.analysis.disagreement import (
    disputed_structures,
    neighbor_lists,
    shared_neighbors,
    structure_agreement,
)
from jaxalign.models.card import ModelCard
from jaxalign.pairwise.edges import GraphStatistics

N, K = 24, 4
LABEL = GraphSettings("l2", "inner").label


def lists(rng, k):
    """Random neighbor lists without the row itself."""
    return np.stack([rng.permutation(np.delete(np.arange(N), i))[:k] for i in range(N)]).astype(
        np.int32
    )


def graph(ids):
    reverse = [
        [list(ids[j]).index(i) if i in ids[j] else -1 for j in ids[i]] for i in range(len(ids))
    ]
    values = np.zeros(ids.shape, np.float32)
    return GraphStatistics(ids, np.array(reverse, np.int16), values, values, np.zeros(len(ids)))


def alignment(graphs, *, ids=None, k=K, wider=None):
    cache, keys = GraphCache(None), {}
    for name, found in graphs.items():
        cache.put(name, graph(found), {})
        keys[name] = {LABEL: name}
    settings = {"normalization": "l2", "similarity": "inner"}
    metrics = {"mutual_knn": {"k": k, **settings}}
    if wider:
        metrics["cknna"] = {"k": wider, **settings}
    metrics["dcor"] = {"k": None, "normalization": "none", "similarity": None}
    ids = [f"s{i:02d}" for i in range(N)] if ids is None else ids
    facts = {"metrics": metrics, "graph_keys": keys, "ids": ids, "n": N, "grouped": True}
    cards = {m: ModelCard(id=m, name=m, family="", modality="", pretrained=True) for m in graphs}
    return Alignment(pd.DataFrame(columns=list(COLUMNS)), cards, facts, cache)


def test_shared_neighbors_are_those_of_sets(rng):
    a, b = lists(rng, 6), lists(rng, 6)
    wanted = [len(set(x) & set(y)) for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(shared_neighbors(a, b), wanted)


def test_least_agreement_first(rng):
    a, b = lists(rng, 8), lists(rng, 8)
    found = disputed_structures(
        alignment({"a": a, "b": b}, wider=8), "a", "b", metric="mutual_knn", count=N
    )
    shared = [len(set(x[:K]) & set(y[:K])) / K for x, y in zip(a, b, strict=True)]
    wide = [len(set(x) & set(y)) / 8 for x, y in zip(a, b, strict=True)]
    wanted = sorted(range(N), key=lambda i: (shared[i], wide[i], f"s{i:02d}"))
    assert list(found["row"]) == wanted
    assert list(found["structure"]) == [f"s{i:02d}" for i in wanted]
    np.testing.assert_allclose(found["contribution"], np.array(shared)[wanted])
    np.testing.assert_allclose(found["wider"], np.array(wide)[wanted])
    same = [sum(shared[i] == shared[j] and wide[i] == wide[j] for j in range(N)) for i in wanted]
    assert list(found["equal"]) == same
    for row in found.itertuples():
        assert row.neighbors_a == tuple(f"s{j:02d}" for j in a[row.row][:K])
        assert row.neighbors_b == tuple(f"s{j:02d}" for j in b[row.row][:K])
        assert set(row.shared) == set(row.neighbors_a) & set(row.neighbors_b)
    assert found.attrs["k_wider"] == 8


def test_only_the_asked_count_and_no_wider_lists(rng):
    given = alignment({"a": lists(rng, K), "b": lists(rng, K)})
    found = disputed_structures(given, "a", "b", count=3)
    assert len(found) == 3
    assert found["wider"].isna().all()
    whole = disputed_structures(given, "a", "b", count=1000)
    assert len(whole) == N
    pd.testing.assert_frame_equal(whole.iloc[:3], found, check_like=False)


def test_wider_lists_that_are_not_stored_are_not_used(rng):
    """Metrics beyond the lists are computed from thresholds: k may exceed what a graph holds."""
    given = alignment({"a": lists(rng, 6), "b": lists(rng, 6)}, wider=[3, 8])
    assert disputed_structures(given, "a", "b").attrs["k_wider"] == K
    given = alignment({"a": lists(rng, 6), "b": lists(rng, 6)}, wider=[3, 6, 8])
    assert disputed_structures(given, "a", "b").attrs["k_wider"] == 6


def test_the_answer_does_not_depend_on_the_order_of_rows(rng):
    """All parts are equal here, so that ids alone decide."""
    a, b = (np.stack([np.delete(np.arange(N), i)[s] for i in range(N)]).astype(np.int32)
            for s in (slice(0, K), slice(-K, None)))  # fmt: skip
    ids = [f"s{i:02d}" for i in range(N)]
    wanted = disputed_structures(alignment({"a": a, "b": b}, ids=ids), "a", "b", count=5)
    order = rng.permutation(N)
    back = np.argsort(order).astype(np.int32)
    moved = {"a": back[a[order]], "b": back[b[order]]}
    given = alignment(moved, ids=[ids[i] for i in order])
    found = disputed_structures(given, "a", "b", count=5)
    pd.testing.assert_frame_equal(found.drop(columns="row"), wanted.drop(columns="row"))
    assert (found["equal"] == N).all()


def test_agreement_over_all_pairs(rng):
    ids = {name: lists(rng, K) for name in "abc"}
    found = structure_agreement(alignment(ids), list("abc"))
    wanted = np.mean(
        [shared_neighbors(ids[a], ids[b]) / K for a, b in itertools.combinations("abc", 2)], axis=0
    )
    np.testing.assert_allclose(found, wanted)
    assert list(found.index[:2]) == ["s00", "s01"]
    with pytest.raises(ValueError, match="two different models"):
        structure_agreement(alignment(ids), ["a", "a"])


def test_a_model_agrees_with_itself(rng):
    found = disputed_structures(alignment({"a": lists(rng, K)}), "a", "a", count=2)
    assert (found["contribution"] == 1).all()
    assert math.isclose(found["equal"][0], N)


def test_refusals(rng):
    given = alignment({"a": lists(rng, K), "b": lists(rng, K)})
    with pytest.raises(ValueError, match="unknown model 'c'"):
        disputed_structures(given, "a", "c")
    with pytest.raises(ValueError, match="not a mean over structures"):
        disputed_structures(given, "a", "b", metric="dcor")
    with pytest.raises(ValueError, match="count must be"):
        disputed_structures(given, "a", "b", count=0)
    with pytest.raises(ResultError, match="no stored graph of 9 neighbors of 'a'"):
        neighbor_lists(given, "a", k=9)
