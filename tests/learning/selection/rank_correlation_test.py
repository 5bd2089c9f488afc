"""Rank correlations, regret and intervals against SciPy, enumeration and simulation."""

import itertools

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from jaxalign.learning.selection.rank_correlation import (
    chance_regret,
    family_interval,
    kendall,
    permuted_p,
    regret,
    spearman,
    without_family,
)


def test_correlations_agree_with_scipy_ties_and_all(rng):
    x = rng.integers(0, 6, size=(3, 2, 14)).astype(np.float64)
    y = rng.integers(0, 5, size=(3, 2, 14)).astype(np.float64)
    for found, oracle in ((spearman(x, y), spearmanr), (kendall(x, y), kendalltau)):
        direct = [
            [oracle(a, b)[0] for a, b in zip(*p, strict=True)] for p in zip(x, y, strict=True)
        ]
        assert np.allclose(found, direct)


def test_what_orders_nothing_counts_as_zero(rng):
    x, y = np.ones((2, 5)), rng.normal(size=(2, 5))
    assert spearman(x, y).tolist() == kendall(x, y).tolist() == [0.0, 0.0]


def test_regret_is_that_of_the_choice_or_the_mean_of_tied_ones():
    errors = np.array([0.2, 0.3, 0.5])
    assert regret(np.array([3.0, 2.0, 1.0]), errors) == pytest.approx(0.0)
    assert regret(np.array([1.0, 1.0, 2.0]), errors) == pytest.approx(1.5)
    assert regret(np.array([2.0, 2.0, 1.0]), errors) == pytest.approx(0.25)
    assert chance_regret(errors) == regret(np.ones(3), errors) == pytest.approx(2 / 3)


def test_permutation_p_is_the_share_of_all_orders(rng):
    scores, errors = rng.normal(size=(2, 5)), rng.uniform(size=(2, 5))
    orders = np.array(list(itertools.permutations(range(5))))
    found = permuted_p(scores, errors, orders)
    seen = [spearman(scores[:, order], -errors).mean() for order in orders]
    assert found == pytest.approx(np.mean(np.array(seen) >= seen[0] - 1e-9))


def test_the_interval_is_a_jackknife_of_whole_families(rng):
    families = ["a", "a", "a", "b", "c", "c", "d", "e"]
    x, y = rng.normal(size=(2, 1, 8))

    def statistic(left_out):
        kept = without_family(families, left_out)
        return np.array([spearman(x[:, kept], y[:, kept]).mean()])

    low, high, p, reason = family_interval(statistic, families, confidence=0.95)
    parts = [np.arctanh(np.clip(statistic(name)[0], -0.995, 0.995)) for name in "abcde"]
    half = 2.7764451 * np.sqrt(4 * np.var(parts))  # t of 4 degrees, 97.5 %
    middle = np.arctanh(statistic(None)[0])
    assert reason == ""
    assert (low[0], high[0]) == pytest.approx((np.tanh(middle - half), np.tanh(middle + half)))
    assert 0 <= p[0] <= 1
    assert (p[0] < 0.025) == (low[0] > 0)


@pytest.mark.parametrize(
    ("families", "words"),
    [
        (["a"] * 3 + ["b"] * 3, "2 families, of at least 3"),
        (["a"] * 6 + ["b", "c"], "almost all candidates"),
        (list("abcdef"), "the same without any family"),
    ],
)
def test_no_interval_without_families_that_tell(families, words):
    x = np.arange(len(families), dtype=np.float64)

    def statistic(left_out):
        kept = without_family(families, left_out)
        return np.array([spearman(x[kept], x[kept]) if kept.any() else np.nan])

    low, high, p, reason = family_interval(statistic, families, confidence=0.9)
    assert words in reason
    assert np.isnan([low[0], high[0], p[0]]).all()


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.7])
def test_intervals_cover_the_expected_correlation(rng, share):
    family = np.repeat(np.arange(9), [4, 1, 2, 1, 1, 3, 1, 1, 2])
    names = [str(number) for number in family]
    mix = np.linalg.cholesky([[1, 0.7], [0.7, 1]])

    def draw():
        shared, own = mix @ rng.normal(size=(2, 9)), mix @ rng.normal(size=(2, len(family)))
        return np.sqrt(share) * shared[:, family] + np.sqrt(1 - share) * own

    expected = np.mean([spearman(*draw()) for _ in range(5000)])
    covered = 0
    for _ in range(600):
        x, y = draw()

        def statistic(left_out, x=x, y=y):
            kept = without_family(names, left_out)
            return np.array([spearman(x[kept], y[kept])])

        low, high, _, _ = family_interval(statistic, names, confidence=0.95)
        covered += low[0] <= expected <= high[0]
    assert 0.91 < covered / 600 < 0.99
