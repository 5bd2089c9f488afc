"""Composition models against scikit-learn, and units of labels."""

import numpy as np
import pytest
from ase.units import Hartree
from sklearn.linear_model import LinearRegression

from jaxalign.structures.composition import energy_unit, fit_composition, without_composition


def test_the_fit_is_least_squares_without_intercept(rng):
    counts = rng.integers(0, 9, size=(50, 4)).astype(float)
    values = counts @ rng.normal(size=4) * 100 + rng.normal(size=50)
    expected = LinearRegression(fit_intercept=False).fit(counts, values)
    np.testing.assert_allclose(fit_composition(values, counts), expected.coef_, rtol=1e-9)
    np.testing.assert_allclose(
        without_composition(values, counts), values - expected.predict(counts), atol=1e-8
    )


def test_elements_that_do_not_occur_or_hardly_do(rng):
    counts = rng.integers(0, 200, size=(60, 3)).astype(float)
    counts[:, 1] = 0
    counts[:, 2] = np.arange(60) == 17
    values = counts @ [2.0, 5.0, 1e-3]
    np.testing.assert_allclose(fit_composition(values, counts), [2, 0, 1e-3], atol=1e-9)


def test_units_are_read_off_the_name():
    assert energy_unit("u0_hartree") == (Hartree, False)
    assert energy_unit("formation_energy_ev_per_atom") == (1.0, True)
    assert energy_unit("gap_ev") == (1.0, False)
    with pytest.raises(ValueError, match="got 'u0'"):
        energy_unit("u0")
