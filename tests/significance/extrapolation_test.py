"""Limits of curves that are known, and of data that do not determine one."""

import math

import numpy as np
import pytest

from jaxalign.significance.extrapolation import LINEAR, extrapolate

N = np.array([100, 200, 400, 800, 1600])


def curve(limit, slope, exponent):
    return limit + slope * N.astype(float) ** -exponent


def test_a_straight_line_in_one_over_n_is_found_exactly():
    scores, errors = curve(0.3, 12.0, 1.0), 0.02 / np.sqrt(N / 100)
    found = extrapolate(N, scores, errors, exponents=LINEAR)
    assert found.limit == pytest.approx(0.3, abs=1e-12)
    # Independent: the covariance matrix of least squares.
    design = np.stack([np.ones(len(N)), 1 / N], axis=1) / errors[:, None]
    wanted = np.sqrt(np.linalg.inv(design.T @ design)[0, 0])
    assert found.error == pytest.approx(wanted, rel=1e-9)
    assert found.reason == ""
    fit = np.polynomial.polynomial.polyfit(1 / N, scores + errors, 1, w=1 / errors)
    assert extrapolate(N, scores + errors, errors, exponents=LINEAR).limit == pytest.approx(fit[0])


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_a_precise_curve_tells_its_exponent_and_limit(exponent):
    found = extrapolate(N, curve(0.2, 1.5, exponent), np.full(5, 1e-4))
    assert found.exponent == pytest.approx(exponent, abs=0.03)
    assert abs(found.limit - 0.2) < 3 * found.error
    assert found.error < 0.02


def test_errors_cover_the_limit_about_as_often_as_they_should(rng):
    errors = 0.03 / np.sqrt(N / 100)
    hits = []
    for _ in range(200):
        noisy = curve(0.3, 3.0, 0.8) + errors * rng.normal(size=5)
        found = extrapolate(N, noisy, errors)
        hits.append(abs(found.limit - 0.3) < 2 * found.error)
    assert np.mean(hits) > 0.8


def test_a_flat_curve_has_its_value_as_limit(rng):
    found = extrapolate(N, 0.4 + 1e-4 * rng.normal(size=5), np.full(5, 1e-3))
    assert found.limit == pytest.approx(0.4, abs=0.02)
    assert found.reason == ""
    same = extrapolate(N, np.full(5, 1.0), np.zeros(5))
    assert (same.limit, same.error, same.reason) == (1.0, 0.0, "")


def test_what_the_data_do_not_determine_is_said():
    slow = extrapolate(N, curve(0.1, 0.8, 0.15), np.full(5, 0.004))
    assert "still changes with N" in slow.reason
    assert slow.error > 0.1
    few = extrapolate(N[:3], curve(0.2, 1.0, 0.5)[:3], np.full(3, 0.01))
    assert math.isnan(few.limit)
    assert "4 sizes are needed and 3" in few.reason
    gaps = curve(0.2, 1.0, 1.0)
    gaps[[0, 2, 3]] = math.nan
    assert "3 sizes are needed and 2" in extrapolate(
        N, gaps, np.full(5, 0.01), exponents=LINEAR
    ).reason  # fmt: skip
    mute = extrapolate(N, curve(0.2, 1.0, 1.0), np.zeros(5))
    assert "errors are unknown" in mute.reason


def test_a_limit_far_beyond_the_scores_is_doubted():
    steep = extrapolate(N, curve(0.05, 1.2, 0.2), np.full(5, 1e-4))
    assert "further beyond them" in steep.reason
    # Exponents that lead below the range are not possible.
    bounded = extrapolate(N, curve(0.05, 1.2, 0.2), np.full(5, 0.02), low=0.0)
    assert 0 <= bounded.limit < 0.35
    assert bounded.exponent > 0.2


def test_limits_stay_within_the_range():
    found = extrapolate(N, curve(-0.05, 10.0, 1.0), np.full(5, 1e-3), exponents=LINEAR, low=0.0)
    assert found.limit == 0.0
    assert "beyond the range" in found.reason


def test_curves_that_no_power_fits_have_larger_errors():
    bent = np.array([0.2, 0.5, 0.2, 0.5, 0.2])
    found = extrapolate(N, bent, np.full(5, 1e-3), exponents=LINEAR)
    assert found.error > 0.05
