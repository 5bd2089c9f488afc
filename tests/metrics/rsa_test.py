"""RSA against scipy on dense distances; Spearman exact and sampled."""

import numpy as np
import pytest
import scipy.stats

import tests.oracles_gram as dense
from jaxalign.metrics._rsa import RSA, RSA_SPEARMAN, rsa
from tests.oracles import anisotropic, related_pair, stretched

N = 60
CORRELATIONS = {"pearson": scipy.stats.pearsonr, "spearman": scipy.stats.spearmanr}


def oracle(x, y, correlation):
    upper = np.triu_indices(len(x), 1)
    a, b = (dense.distances(v)[upper] for v in (x, y))
    return CORRELATIONS[correlation](a, b).statistic


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_agrees_with_scipy(rng, correlation):
    for dx, dy in ((5, 12), (64, 61)):
        x, y = related_pair(rng, N, dx, dy)
        x[3] = x[9]
        score = rsa(x, y, correlation=correlation)
        assert float(score) == pytest.approx(oracle(x, y, correlation), abs=1e-9)
        assert float(rsa(x, x, correlation=correlation)) == pytest.approx(1, abs=1e-12)
    assert score.metric == {"pearson": RSA, "spearman": RSA_SPEARMAN}[correlation].id
    assert score.diagnostics["variant"] == correlation


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_hostile_data(rng, correlation):
    plain = rng.normal(size=(N, 16)).astype(np.float32)
    for x in (
        anisotropic(rng, N, 16, 0.998),
        plain + np.float32(1e3),
        plain * np.float32(1e-20),
        plain * np.float32(1e20),
        np.repeat(plain[: N // 2], 2, axis=0),
    ):
        wanted = oracle(x.astype(np.float64) / np.abs(x).max(), plain, correlation)
        assert float(rsa(x, plain, correlation=correlation)) == pytest.approx(wanted, abs=1e-8)


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_invariances_hold_and_others_do_not(rng, correlation):
    x, y = related_pair(rng, N, 6, 9)
    score = float(rsa(x, y, correlation=correlation))
    q, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    moved = (x.astype(np.float64) @ q * 7.0 + 2.0).astype(np.float32)
    assert float(rsa(moved, y, correlation=correlation)) == pytest.approx(score, abs=1e-4)
    assert float(rsa(y, x, correlation=correlation)) == pytest.approx(score, abs=1e-12)
    changed = [float(rsa(wide, y, correlation=correlation)) for wide in stretched(x)]
    assert max(abs(value - score) for value in changed) > 1e-3


def test_a_sample_says_so(rng):
    x, y = related_pair(rng, N, 6, 9)
    exact = rsa(x, y, correlation="spearman")
    assert exact.diagnostics["exact"]
    assert exact.diagnostics["standard_error"] == 0
    sampled = rsa(x, y, correlation="spearman", pairs=800, seed=1)
    assert not sampled.diagnostics["exact"]
    assert sampled.diagnostics["pairs"] == 800
    error = sampled.diagnostics["standard_error"]
    assert 0 < error < 0.1
    assert abs(float(sampled) - float(exact)) < 6 * error


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_degenerate_input_gives_nan_with_a_reason(rng, correlation):
    y = rng.normal(size=(N, 4)).astype(np.float32)
    score = rsa(np.ones((N, 2), np.float32), y, correlation=correlation)
    assert np.isnan(float(score))
    assert score.diagnostics["reason"].startswith("x: all rows are equal")
    score = rsa(y, np.eye(N, dtype=np.float32), correlation=correlation)
    assert np.isnan(float(score))
    assert score.diagnostics["reason"]


def test_least_numbers_and_bad_arguments(rng):
    x, y = (rng.normal(size=(3, 2)).astype(np.float32) for _ in range(2))
    assert float(rsa(x, y)) == pytest.approx(oracle(x, y, "pearson"), abs=1e-9)
    with pytest.raises(ValueError, match="rsa needs at least 3 structures"):
        rsa(x[:2], y[:2])
    with pytest.raises(ValueError, match="unknown correlation 'kendall'"):
        rsa(x, y, correlation="kendall")
    with pytest.raises(ValueError, match="belong to correlation='spearman'"):
        rsa(x, y, pairs=100)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("correlation", "method"), [("pearson", "corr"), ("spearman", "spearman")])
def test_rsatoolbox_computes_the_same(rng, correlation, method):
    import rsatoolbox

    x, y = related_pair(rng, N, 6, 9)
    upper = np.triu_indices(N, 1)
    a, b = (rsatoolbox.rdm.RDMs(dense.distances(v)[upper][None]) for v in (x, y))
    theirs = rsatoolbox.rdm.compare(a, b, method=method).item()
    assert float(rsa(x, y, correlation=correlation)) == pytest.approx(theirs, abs=1e-9)
