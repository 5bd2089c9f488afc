"""Tails, false discovery and calibration against scipy and closed forms."""

import numpy as np
import pytest
import scipy.stats

from jaxalign.significance import p_values


def test_tails_are_those_of_scipy(rng):
    for z in rng.normal(size=5) * 3:
        wanted = scipy.stats.chi2(1).sf(1 + np.sqrt(2) * z)
        assert p_values.quadratic_tail(z) == pytest.approx(wanted)


def test_thresholds_have_the_level(rng):
    alpha = rng.uniform(0.001, 0.3)
    assert p_values.quadratic_tail(p_values.quadratic_threshold(alpha)) == pytest.approx(alpha)


def test_quadratic_tail_bounds_weighted_sums_of_squares(rng):
    """One weight is the worst case, and exact; many weights come near a normal variable."""
    draws = rng.normal(size=(200_000, 20))
    for weights in (np.ones(1), np.ones(20), 0.7 ** np.arange(20)):
        z = (np.square(draws[:, : len(weights)]) - 1) @ weights
        z /= np.sqrt(2) * np.linalg.norm(weights)
        for alpha in (0.001, 0.01, 0.05):
            over = np.mean(z >= p_values.quadratic_threshold(alpha))
            assert over <= alpha + 5 * np.sqrt(alpha / len(z))


def test_false_discovery_is_that_of_scipy(rng):
    p = rng.uniform(size=50) ** 3
    p[::7] = p[0]  # ties
    np.testing.assert_allclose(
        p_values.false_discovery(p), scipy.stats.false_discovery_control(p), rtol=1e-12
    )


def test_false_discovery_leaves_out_what_was_not_tested(rng):
    p = rng.uniform(size=20)
    gaps = np.insert(p, [0, 5, 20], np.nan)
    found = p_values.false_discovery(gaps)
    assert np.array_equal(np.isnan(found), np.isnan(gaps))
    np.testing.assert_array_equal(found[~np.isnan(gaps)], p_values.false_discovery(p))
    assert np.isnan(p_values.false_discovery(np.full(3, np.nan))).all()


@pytest.mark.parametrize(
    ("value", "threshold", "perfect", "wanted"),
    [
        (0.1, 0.2, 1.0, 0.0),
        (1.0, 0.2, 1.0, 1.0),
        (0.6, 0.2, 1.0, 0.5),
        (0.5, 0.9, 0.1, 0.5),  # a distance
        (0.95, 0.9, 0.1, 0.0),
        (float("nan"), 0.2, 1.0, float("nan")),
        (0.5, 1.0, 1.0, float("nan")),
    ],
)
def test_calibrated_scores(value, threshold, perfect, wanted):
    found = p_values.calibrated_score(value, threshold=threshold, perfect=perfect)
    assert found == pytest.approx(wanted, nan_ok=True)
