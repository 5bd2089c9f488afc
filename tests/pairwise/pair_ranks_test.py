"""Rank correlations of row pairs against scipy, exact and sampled."""

import numpy as np
import pytest
import scipy.stats

import tests.oracles_gram as dense
from jaxalign.embeddings.sources import model_rows
from jaxalign.pairwise.pair_ranks import _row_pairs, spearman_terms

N = 90


def models(rng, n=N):
    z = rng.normal(size=(n, 3))
    return [
        (z @ rng.normal(size=(3, d)) + 0.5 * rng.normal(size=(n, d))).astype(np.float32)
        for d in (5, 9, 3)
    ]


def rows(xs):
    return [model_rows(x, "none") for x in xs]


def spearman(x, y):
    upper = np.triu_indices(len(x), 1)
    return scipy.stats.spearmanr(*(dense.distances(v)[upper] for v in (x, y))).statistic


def test_all_pairs_agree_with_scipy(rng):
    xs = models(rng)
    xs.append(rng.integers(0, 3, (N, 4)).astype(np.float32))  # many equal distances
    xs.append((xs[0] * 1e-18).astype(np.float32))
    values, errors, facts = spearman_terms(rows(xs))
    wanted = [[spearman(x, y) for y in xs] for x in xs]
    assert values == pytest.approx(np.array(wanted), abs=1e-12)
    assert (errors == 0).all()
    assert facts["exact"]
    assert facts["pairs"] == facts["pairs_in_all"] == N * (N - 1) // 2


def test_a_sample_comes_with_its_standard_error(rng):
    xs = models(rng, 300)
    wanted, _, _ = spearman_terms(rows(xs))
    values, errors, facts = spearman_terms(rows(xs), pairs=4000, seed=3)
    assert not facts["exact"]
    assert facts["pairs"] == 4000
    off = ~np.eye(3, dtype=bool)
    assert (np.abs(values - wanted)[off] < 6 * errors[off]).all()
    assert (errors[off] < 0.05).all()
    again, _, _ = spearman_terms(rows(xs), pairs=4000, seed=3)
    other, _, _ = spearman_terms(rows(xs), pairs=4000, seed=4)
    assert (again == values).all()
    assert (other != values)[off].all()


def test_the_standard_error_is_the_scatter_over_seeds(rng):
    xs = rows(models(rng, 200)[:2])
    found = [spearman_terms(xs, pairs=2000, seed=seed) for seed in range(60)]
    scatter = np.std([v[0, 1] for v, _, _ in found])
    claimed = np.sqrt(np.mean([e[0, 1] ** 2 for _, e, _ in found]))
    assert 0.6 < claimed / scatter < 1.6


def test_the_budget_decides_how_many_pairs(rng):
    _, _, facts = spearman_terms(rows(models(rng)), memory_budget=8 * 9 * 1000)
    assert facts["pairs"] == 1000


def test_pair_numbers_are_all_pairs_once():
    n = 70
    every = n * (n - 1) // 2
    i, j = _row_pairs(n, every, every, 0)
    a, b = _row_pairs(n, every, every - 1, 0)
    whole = set(zip(i.tolist(), j.tolist(), strict=True))
    assert len(whole) == every
    assert all(0 <= p < q < n for p, q in whole)
    assert len(whole - set(zip(a.tolist(), b.tolist(), strict=True))) == 1
    i, j = _row_pairs(3_000_000, 3_000_000 * 2_999_999 // 2, 1000, 0)
    assert ((i >= 0) & (i < j) & (j < 3_000_000)).all()


def test_equal_distances_give_nan_and_bad_samples_are_named(rng):
    xs = [*models(rng), np.eye(N, dtype=np.float32)]
    values, _, _ = spearman_terms(rows(xs))
    assert np.isnan(values[3]).all()
    assert np.isfinite(values[:3, :3]).all()
    with pytest.raises(ValueError, match="pairs must be at least 40"):
        spearman_terms(rows(xs), pairs=10)
