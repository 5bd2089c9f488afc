"""Median distances against NumPy on all pairs, and what a survey knows of a model."""

import numpy as np
import pytest
import scipy.spatial

from jaxalign.embeddings.sources import model_rows
from jaxalign.pairwise.centered_rows import median_distance, survey


def samples(rng):
    """Rows with and without ties, outliers and duplicates."""
    outliers = rng.normal(size=(301, 20)) * np.exp(3 * rng.normal(size=(301, 1)))
    return {
        "normal": rng.normal(size=(600, 40)),
        "even": rng.normal(size=(20, 3)),
        "grid": rng.integers(0, 3, (300, 4)).astype(float),
        "outliers": outliers,
        "repeated": np.repeat(rng.normal(size=(60, 7)), 5, axis=0),
        "near": rng.normal(size=(200, 5)) + 1e5,
        "two": rng.normal(size=(2, 2)),
    }


def test_the_median_is_that_of_all_pairs(rng):
    for name, sample in samples(rng).items():
        wanted = np.median(scipy.spatial.distance.pdist(sample))
        tolerance = 1e-4 if name == "near" else 1e-10
        assert median_distance(sample) == pytest.approx(wanted, rel=tolerance), name


def test_most_rows_equal_or_a_single_row(rng):
    sample = np.zeros((100, 5))
    sample[:20] = rng.normal(size=(20, 5))
    assert median_distance(sample) == 0
    assert median_distance(sample[:1]) == 0


def test_a_survey_centers_and_scales(rng):
    x = (rng.normal(size=(5000, 6)) * 1e-12 + 1e-9).astype(np.float32)
    x[:, 2] = 0.1  # constant
    sampled = rng.permutation(5000)[:50]
    found = survey(model_rows(x, "none"), sampled)
    wanted = np.ldexp(x.astype(np.float64) - found.mean, -found.exponent)
    np.testing.assert_array_equal(found.sample, wanted[sampled])
    np.testing.assert_array_equal(found.read(4000, 6000), wanted[4000:])
    assert (wanted[:, 2] == 0).all()
    assert np.abs(wanted.mean(0)).max() < 1e-7
    assert 0.25 < np.abs(wanted).max() < 4
