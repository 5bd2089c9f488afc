"""Bit-parallel recurrences against textbook tables, on both sides of a word's end."""

import jax
import numpy as np
import pytest

import tests.oracles_graphs as oracles
from jaxalign.pairwise.ordered_lists import common_subsequence, edit_distance

N = 60


def lists(rng, k, pool):
    a, b = (np.stack([rng.permutation(pool)[:k] for _ in range(N)]) for _ in "ab")
    b[0] = a[0]  # equal
    b[1] = a[1][::-1]  # reversed
    b[2] = np.roll(a[2], 1)  # shifted: one deletion, one insertion
    b[3] = a[3] + pool  # disjoint
    return a, b


@pytest.mark.parametrize(("k", "pool"), [(1, 2), (10, 14), (32, 40), (33, 36), (70, 75)])
def test_agree_with_the_textbook(rng, k, pool):
    a, b = lists(rng, k, pool)
    position = oracles.positions(a, b).astype(np.int32)
    lengths, distances = (
        np.asarray(jax.jit(f)(position)) for f in (common_subsequence, edit_distance)
    )
    np.testing.assert_array_equal(
        lengths, [oracles.common_subsequence(*p) for p in zip(a, b, strict=True)]
    )
    np.testing.assert_array_equal(
        distances, [oracles.levenshtein(*p) for p in zip(a, b, strict=True)]
    )
    assert (lengths[0], distances[0]) == (k, 0)
    assert (lengths[3], distances[3]) == (0, k)
    if k > 1:
        assert (lengths[1], lengths[2], distances[2]) == (1, k - 1, min(2, k))
