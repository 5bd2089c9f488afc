"""Rows of length 1 and centered columns, where the data are hostile."""

import jax
import numpy as np

from jaxalign.learning.losses.batch import read_batch
from jaxalign.learning.losses.rows import centered_columns, l2_rows, scaled
from tests.oracles import anisotropic

_l2_rows = jax.jit(l2_rows)


def batch_of(x):
    return read_batch(x, x, mask=None, axis_name=None, least=2)[:2]


_centered_columns = jax.jit(lambda x: centered_columns(*batch_of(x)))


def test_rows_of_any_length_become_rows_of_length_one(rng):
    x = rng.normal(size=(8, 5)).astype(np.float32)
    expected = x / np.linalg.norm(x, axis=1, keepdims=True)
    for power in (-100, 0, 100):
        np.testing.assert_allclose(_l2_rows(x * np.float32(2.0**power)), expected, rtol=1e-6)


def test_a_row_of_zeros_stays_with_derivative_zero(rng):
    x = rng.normal(size=(4, 3)).astype(np.float32)
    x[2] = 0
    weights = np.arange(12, dtype=np.float32).reshape(4, 3)
    gradient = jax.jit(jax.grad(lambda x: (l2_rows(x) * weights).sum()))(x)
    assert (np.asarray(_l2_rows(x))[2] == 0).all()
    assert (gradient[2] == 0).all()
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose((gradient * x).sum(1), 0, atol=1e-5)  # tangent to the sphere


def test_an_offset_leaves_nothing_and_constant_columns_become_zero(rng):
    x = anisotropic(rng, 50, 6, 0.9)
    x[:, 3] = 0.1
    x[:, 4] = 0
    x[:, 5] += 1e6
    found = np.asarray(_centered_columns(x))
    wide = x.astype(np.float64)
    np.testing.assert_allclose(found, wide - wide.mean(0), atol=1e-7)
    assert (found[:, 3:5] == 0).all()


def test_constant_columns_still_have_derivatives(rng):
    # Their squares' second derivatives do not vanish, although the values are exact zeros.
    x = rng.normal(size=(6, 2)).astype(np.float32)
    x[:, 1] = 0.3
    step = np.eye(6, 2, -2, dtype=np.float32)
    _, slopes = jax.jvp(_centered_columns, (x,), (step,))
    expected = step - step.mean(0)
    np.testing.assert_allclose(slopes, expected, atol=1e-6)


def test_scales_are_powers_of_two(rng):
    x = rng.normal(size=(6, 2)).astype(np.float32) * np.float32(1e20)
    rows, exponent = jax.jit(lambda x: scaled(*batch_of(x)))(x)
    assert 0.5 <= np.abs(rows).max() <= 1
    np.testing.assert_array_equal(np.ldexp(np.asarray(rows), int(exponent)), x)
