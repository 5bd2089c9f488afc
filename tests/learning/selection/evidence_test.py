"""Evidence against a search over both precisions, rank against closed forms."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from jaxalign.learning.selection.evidence import effective_rank, log_evidence


def test_evidence_is_the_maximum_over_both_precisions(rng):
    x = rng.normal(size=(40, 5)) * 3
    y = x[:, 0] + rng.normal(size=40)
    a, b = (x - x.mean(axis=0)) / x.std(axis=0), (y - y.mean()) / y.std()

    def negative(logs):
        noise, weights = np.exp(logs)
        covariance = noise * np.eye(40) + weights * a @ a.T
        return -multivariate_normal(np.zeros(40), covariance).logpdf(b)

    best = min(minimize(negative, start, method="Nelder-Mead").fun for start in ([0, 0], [-2, -2]))
    assert log_evidence(x, y) == pytest.approx(-best / 40, abs=2e-3)


def test_evidence_prefers_what_holds_the_label(rng):
    x = rng.normal(size=(60, 8))
    assert log_evidence(x, x[:, 0]) > log_evidence(x, rng.normal(size=60)) + 0.5


def test_effective_rank_counts_equal_directions(rng):
    basis = np.linalg.qr(rng.normal(size=(50, 7)) - 0)[0]
    centered = basis - basis.mean(axis=0)
    basis = np.linalg.qr(centered)[0]
    assert effective_rank(basis[:, :4]) == pytest.approx(4.0)
    assert effective_rank(basis[:, :1] * np.array([[1.0, 2.0, 5.0]])) == pytest.approx(1.0)
    assert np.isnan(effective_rank(np.ones((5, 3))))
