"""Tests of differences: variances against N×N sums, corrections against their definitions."""

import numpy as np
import pytest
from scipy import stats

from jaxalign.significance.paired import Influence, holm, influence_test, replicate_test


def edges(matrix, structures=None):
    n = len(matrix)
    owners, neighbors = np.nonzero(matrix)
    structures = np.zeros(n) if structures is None else structures
    return Influence(structures, owners, neighbors, matrix[owners, neighbors])


def sparse(rng, n, share=0.1):
    matrix = rng.normal(size=(n, n)) * (rng.random((n, n)) < share)
    np.fill_diagonal(matrix, 0)
    return matrix


def dyadic_variance(matrix, structures, labels):
    """By its definition over dense sums of groups."""
    n, groups = len(matrix), np.unique(labels)
    member = (labels[:, None] == groups[None, :]).astype(float)
    between = member.T @ matrix @ member
    inside = np.diag(between).copy()
    np.fill_diagonal(between, 0)
    dyads = between + between.T
    shares = dyads.sum(1) + inside + member.T @ structures
    shares -= member.sum(0) * shares.sum() / n
    whole = (shares**2).sum()
    variance = max(whole - np.triu(dyads**2).sum(), whole / 2)
    return variance / n**2 * len(groups) / (len(groups) - 1), len(groups)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("part", [0.0, 1.0])
def test_errors_are_those_of_dense_sums(rng, grouped, part):
    n = 40
    one, other = sparse(rng, n), sparse(rng, n)
    single = part * rng.normal(size=n)
    groups = rng.integers(0, 12, size=n) if grouped else np.arange(n)
    found = influence_test(
        0.1, edges(one, single), edges(other), groups=groups if grouped else None
    )
    variance, units = dyadic_variance(one - other, single, groups)
    np.testing.assert_allclose(found.error, np.sqrt(variance), rtol=1e-10)
    assert found.units == units
    np.testing.assert_allclose(found.t, 0.1 / found.error)
    np.testing.assert_allclose(found.effect, found.t / np.sqrt(units))
    np.testing.assert_allclose(found.p, 2 * stats.t.sf(abs(found.t), units - 1))
    half = stats.t.ppf(0.975, units - 1) * found.error
    np.testing.assert_allclose([found.low, found.high], [0.1 - half, 0.1 + half])


def test_without_edges_it_is_the_paired_t_test(rng):
    first, second = rng.normal(size=(2, 50)) + 1
    none = np.zeros(0, np.int64)
    parts = [Influence(part, none, none, np.zeros(0)) for part in (first, second)]
    found = influence_test(float((first - second).mean()), *parts)
    expected = stats.ttest_rel(first, second)
    np.testing.assert_allclose([found.t, found.p], [expected.statistic, expected.pvalue])


def test_independent_edges_count_once(rng):
    """Disjoint edges: their number is what is random, and its variance that of their weights."""
    n = 2000
    weights = rng.normal(size=n // 2)
    starts = np.arange(0, n, 2)
    part = Influence(np.zeros(n), starts, starts + 1, weights)
    none = np.zeros(0, np.int64)
    nothing = Influence(np.zeros(n), none, none, np.zeros(0))
    found = influence_test(0.0, part, nothing)
    expected = np.sqrt(2 * np.square(weights).sum() - np.square(weights).sum()) / n
    np.testing.assert_allclose(found.error, expected, rtol=0.01)


def test_equal_contributions_and_unknown_errors_have_no_test(rng):
    same = edges(sparse(rng, 10))
    found = influence_test(0.0, same, same)
    assert found.p == 1
    assert np.isnan(found.t)
    assert np.isnan(influence_test(0.2, same, same).p)
    assert np.isnan(replicate_test(0.2, float("nan"), replicates=20).p)


def test_replicates_have_a_t_distribution():
    found = replicate_test(0.3, 0.1, replicates=20, confidence=0.9)
    np.testing.assert_allclose(found.p, 2 * stats.t.sf(3, 19))
    np.testing.assert_allclose(found.high, 0.3 + 0.1 * stats.t.ppf(0.95, 19))
    with pytest.raises(ValueError, match="at least 6 replicates"):
        replicate_test(0.3, 0.1, replicates=5)


def test_what_cannot_be_tested_is_refused(rng):
    part = edges(sparse(rng, 10))
    with pytest.raises(ValueError, match="same structures"):
        influence_test(0.0, part, edges(sparse(rng, 11)))
    with pytest.raises(ValueError, match="one label a structure"):
        influence_test(0.0, part, part, groups=[0, 1])
    with pytest.raises(ValueError, match="got 2"):
        influence_test(0.0, part, part, groups=[0, 1] * 5)
    with pytest.raises(ValueError, match="confidence"):
        influence_test(0.0, part, part, confidence=1.0)


def test_holm_by_hand(rng):
    np.testing.assert_allclose(
        holm(np.array([0.01, np.nan, 0.04, 0.03, 0.9])), [0.04, np.nan, 0.09, 0.09, 0.9]
    )
    assert np.isnan(holm(np.array([np.nan]))).all()
    p = rng.random(30)
    expected = [min(1.0, max((np.sum(p >= other) * other) for other in p[p <= own])) for own in p]
    np.testing.assert_allclose(holm(p), expected)
