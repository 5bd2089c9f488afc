"""The median of distances that no device has whole, beside NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.learning.losses.batch import read_batch
from jaxalign.learning.losses.gram_terms import squared_distances
from jaxalign.learning.losses.median import median_distance
from jaxalign.learning.losses.rows import centered_columns
from tests.learning.losses.cases import QUICK
from tests.oracles_gram import distances

N = 12


def _median(x, mask):
    batch, x, _ = read_batch(x, x, mask=mask, axis_name=None, least=2)
    return median_distance(batch, squared_distances(batch, centered_columns(batch, x)))


_program = jax.jit(jax.value_and_grad(_median), compiler_options=QUICK)


def median(x, mask):
    with jax.enable_x64(True):
        value, gradient = _program(jnp.asarray(x, jnp.float64), jnp.asarray(mask))
    return float(value), np.asarray(gradient)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 12])  # odd and even numbers of pairs
def test_is_that_of_numpy(rng, count):
    x = rng.normal(size=(N, 3))
    x[1] = x[0]
    mask = np.arange(N) < count
    pairs = distances(x[mask])[np.triu_indices(count, 1)]
    assert median(x, mask)[0] == pytest.approx(np.median(pairs), rel=1e-12)


def test_mostly_equal_rows_have_median_zero_and_a_finite_derivative(rng):
    x = np.zeros((N, 3))
    x[:2] = rng.normal(size=(2, 3))
    value, gradient = median(x, np.ones(N, bool))
    assert value == 0
    assert (gradient == 0).all()


def test_the_derivative_is_that_of_the_middle_distances(rng):
    x, step, mask = rng.normal(size=(N, 3)), rng.normal(size=(N, 3)), np.ones(N, bool)
    _, gradient = median(x, mask)
    upper, lower = (median(x + sign * 1e-7 * step, mask)[0] for sign in (1, -1))
    assert (gradient * step).sum() == pytest.approx((upper - lower) / 2e-7, abs=1e-6)
