"""Sampled and closed-form p-values of relabelled neighbor graphs, many seeds; no engine.

The statistic is the number (or weighted sum) of shared edges of two graphs; one of them is
relabelled at random, so that the null hypothesis is true whatever the graphs look like.
"""

import numpy as np
import pytest
from scipy import stats

from jaxalign.significance.gamma import gamma_tail
from jaxalign.significance.moments import edge_moments, permutation_moments
from jaxalign.significance.permutations import (
    EXCEEDANCES,
    draw_permutation,
    exchangeable_cells,
    sampled_null,
)
from jaxalign.significance.skewness import edge_triples, third_moment

LEVELS = (0.05, 0.01, 0.001)


def gaussian(rng, n):
    return rng.normal(size=(n, 16))


def hubs(rng, n):
    """Anisotropic and heavy-tailed: some structures are neighbors of half of all others."""
    radius = np.exp(0.7 * rng.normal(size=(n, 1)))
    return 1 + radius * rng.standard_t(3, size=(n, 8)) * np.logspace(0.5, -1, 8)


def duplicates(rng, n):
    """Few different structures, each several times."""
    return rng.normal(size=(n // 5, 8))[rng.integers(0, n // 5, size=n)]


class Graph:
    """Neighbors by cosine; weights are centered inner products."""

    def __init__(self, rows, k):
        n = len(rows)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        similarity = rows @ rows.T
        np.fill_diagonal(similarity, -np.inf)
        self.ids = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        same = self.ids[self.ids] == np.arange(n)[:, None, None]
        self.reverse = np.where(same.any(2), same.argmax(2), -1)
        self.centered = np.einsum("id,ikd->ik", rows, (rows - rows.mean(0))[self.ids])

    def dense(self, weights):
        matrix = np.zeros((len(self.ids), len(self.ids)))
        np.put_along_axis(matrix, self.ids, weights, axis=1)
        return matrix


def relabelled_terms(rng, a, b, weights, count):
    """Σ w_ij w'_π(i)π(j) of random π; the first graph's edges alone are looked up."""
    matrix, n = b.dense(weights[1]), len(a.ids)
    terms = np.empty(count)
    for number in range(count):
        order = rng.permutation(n)
        terms[number] = (weights[0] * matrix[order[:, None], order[a.ids]]).sum()
    return terms


def tails(a, b, weights):
    """Closed-form tails of the term: gamma with half a step, and normal."""
    sums = [edge_moments(g.ids, g.reverse, w) for g, w in zip((a, b), weights, strict=True)]
    moments = permutation_moments(*sums)
    triples = [edge_triples(g.ids, g.reverse, w) for g, w in zip((a, b), weights, strict=True)]
    skewness = third_moment(len(a.ids), *triples) / moments.sd**3
    half = 0.5 / moments.sd if (weights[0] == 1).all() else 0.0

    def both(term):
        z = (term - moments.mean) / moments.sd
        return gamma_tail(z - half, skewness), float(stats.norm.sf(z))

    return moments, skewness, both


def rates_of(rng, make, k, counted, *, pairs, count, n=150):
    """P(p ≤ α)/α of the gamma and the normal tail; mean z, and skewness seen and computed."""
    p, skews = [], []
    for _ in range(pairs):
        a, b = (Graph(make(rng, n), k) for _ in range(2))
        weights = [np.ones((n, k))] * 2 if counted else [a.centered, b.centered]
        moments, skewness, both = tails(a, b, weights)
        terms = relabelled_terms(rng, a, b, weights, count)
        z = (terms - moments.mean) / moments.sd
        p.extend(map(both, terms))
        skews.append((skewness, stats.skew(z), z.mean(), z.std()))
    p = np.array(p)
    return np.array([(p <= level).mean(axis=0) / level for level in LEVELS]), np.array(skews)


def test_normal_tails_of_few_shared_edges_are_too_small_and_gamma_tails_are_not(rng):
    rates, _ = rates_of(rng, gaussian, 1, counted=True, pairs=20, count=100, n=60)
    # 2,000 relabellings: at .01 the normal tail is exceeded thrice as often as it says.
    assert rates[1, 1] > 1.5
    assert rates[0, 0] < 1 + 4 * np.sqrt(0.95 / 0.05 / 2000)
    assert rates[1, 0] < 1 + 4 * np.sqrt(0.99 / 0.01 / 2000)


@pytest.mark.slow
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("k", [2, 5, 20])
@pytest.mark.parametrize("make", [gaussian, hubs, duplicates])
def test_closed_forms_hold_their_level_on_hubs_and_duplicates(rng, make, k, counted):
    pairs, count = 10, 2000
    rates, seen = rates_of(rng, make, k, counted, pairs=pairs, count=count)
    # The tail is one of three moments: a fifth too many at .05, half as many again at .001.
    for rate, level, slack in zip(rates[:, 0], LEVELS, (1.15, 1.25, 1.6), strict=True):
        assert rate <= slack + 4 * np.sqrt((1 - level) / level / (pairs * count)), (level, rates)
    skewness, third, mean, sd = seen.T
    assert np.abs(mean).max() < 6 / np.sqrt(count)
    assert np.abs(sd - 1).max() < 0.2
    assert abs((skewness - third).mean()) < 0.15 + 0.2 * skewness.mean()


def p_values(rng, seeds, *, permutations, n=24, k=3, groups=None):
    """Observed and null terms of as many independent pairs of graphs."""
    cells = exchangeable_cells(n, groups=groups)
    for seed in seeds:
        a, b = (Graph(gaussian(rng, n), k) for _ in range(2))
        matrix = b.dense(np.ones((n, k)))

        def term(order, a=a, matrix=matrix):
            return matrix[order[:, None], order[a.ids]].sum()

        orders = (draw_permutation(cells, n, seed=int(seed), number=i) for i in range(permutations))
        yield term(np.arange(n)), np.array([term(order) for order in orders])


def randomized(rng, value, samples):
    """Ties, the observed term among them, are broken at random: exactly uniform."""
    above, ties = np.sum(samples > value), np.sum(samples == value)
    return (above + rng.random() * (1 + ties)) / (len(samples) + 1)


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("groups", [None, [i // 2 for i in range(24)]])
def test_permutation_p_values_are_uniform(rng, count, groups):
    seeds = rng.integers(2**31, size=count)
    found = list(p_values(rng, seeds, permutations=39, groups=groups))
    uniform = [randomized(rng, value, samples) for value, samples in found]
    assert stats.kstest(uniform, "uniform").pvalue > 1e-5
    discrete = np.array([sampled_null(v, s, similarity=True, stopped=False).p for v, s in found])
    # Super-uniform at every level: nowhere is their distribution function above that of uniform
    # ones, but for chance.
    assert stats.kstest(discrete, "uniform", alternative="greater").pvalue > 1e-5
    for level in (0.025, 0.05, 0.1, 0.3):
        assert (discrete <= level).mean() <= level + 4.5 * np.sqrt(level / count)


@pytest.mark.slow
def test_p_values_of_stopped_sampling_are_super_uniform(rng):
    count = 1500
    found = []
    for value, samples in p_values(rng, rng.integers(2**31, size=count), permutations=199):
        reached = np.flatnonzero(np.cumsum(samples >= value) >= EXCEEDANCES)
        drawn = samples[: reached[0] + 1] if len(reached) else samples
        null = sampled_null(value, drawn, similarity=True, stopped=bool(len(reached)))
        found.append(null.p)
    found = np.array(found)
    assert stats.kstest(found, "uniform", alternative="greater").pvalue > 1e-5
    for level in (0.01, 0.05, 0.1, 0.3):
        assert (found <= level).mean() <= level + 4 * np.sqrt(level / count)
    # Nor are they wasteful.
    assert (found <= 0.3).mean() > 0.15
