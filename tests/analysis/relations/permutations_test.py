"""Permutations of models: all of them or draws, within groups, and the p-values they give."""

import math

import numpy as np
import pytest

from jaxalign.analysis.relations.permutations import (
    check_alternative,
    model_permutations,
    permutation_p,
    permutations_within,
)


def test_all_permutations_where_these_are_few():
    found = model_permutations(4, 99)
    assert len(found) == len({tuple(row) for row in found}) == math.factorial(4)
    assert list(found[0]) == [0, 1, 2, 3]


def test_draws_are_permutations_and_depend_on_the_seed_alone():
    found = model_permutations(40, 50, seed=3)
    assert found.shape == (51, 40)
    np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(np.arange(40), (51, 1)))
    np.testing.assert_array_equal(found[0], np.arange(40))
    np.testing.assert_array_equal(found, model_permutations(40, 50, seed=3))
    assert (found != model_permutations(40, 50, seed=4)).any()


def test_draws_put_every_model_everywhere_equally_often():
    found = model_permutations(8, 8000)[1:]
    counts = np.stack([np.bincount(column, minlength=8) for column in found.T])
    assert abs(counts - 1000).max() < 6 * math.sqrt(1000)


def test_permutations_within_groups_keep_them(rng):
    labels = rng.integers(0, 4, size=20).astype(np.int64)
    found = permutations_within(labels, 30, seed=1)
    np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(np.arange(20), (31, 1)))
    np.testing.assert_array_equal(labels[found], np.tile(labels, (31, 1)))
    np.testing.assert_array_equal(found[0], np.arange(20))
    assert (found[1:] != found[0]).any()


def test_permutations_within_groups_reach_all_orders_equally_often():
    found = permutations_within(np.array([1, 0, 1, 0, 1]), 6000)[1:]
    counts = np.unique(found, axis=0, return_counts=True)[1]
    assert len(counts) == 12  # 3! · 2!
    assert abs(counts - 500).max() < 6 * math.sqrt(500)


@pytest.mark.parametrize(("alternative", "wanted"), [("greater", 2), ("less", 6), ("two-sided", 3)])
def test_p_counts_equal_statistics_and_the_observed_one(alternative, wanted):
    statistics = np.array([1.0, 1.0 - 1e-12, 0.2, -0.5, 0.0, -1.0])
    assert permutation_p(statistics, alternative=alternative) == pytest.approx(wanted / 6)


def test_p_of_nothing_is_nothing():
    assert math.isnan(permutation_p(np.array([math.nan, 1.0]), alternative="greater"))
    assert permutation_p(np.zeros(5), alternative="two-sided") == 1


def test_refusals():
    with pytest.raises(ValueError, match="alternative must be one of"):
        check_alternative("larger")
    with pytest.raises(ValueError, match="at least 1"):
        model_permutations(0)
