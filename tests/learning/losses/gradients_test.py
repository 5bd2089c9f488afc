"""Gradients against central differences in float64, and finite where the data are hostile."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from tests.learning.losses.cases import CASES, LOSSES, N, central_differences, evaluate, oracle
from tests.oracles import related_pair

# A median of tied distances has a kink of its own.
AT_EQUAL_ROWS = [case for case in CASES if case[0] != "cka:rbf"]


def pair(rng, dx, dy, mean_cosine=0.0):
    return [v.astype(np.float64) for v in related_pair(rng, N, dx, dy, mean_cosine, shared=3)]


def check(name, x, y, *, mask=None, step=1e-5, tolerance=2e-6):
    for gradient, expected in zip(*central_differences(name, x, y, mask, step), strict=True):
        largest = np.abs(expected).max()
        assert largest > 0
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=tolerance * largest)


@pytest.mark.parametrize(("name", "dx", "dy"), CASES)
def test_gradients_are_central_differences(rng, name, dx, dy):
    x, y = pair(rng, dx, dy)
    check(name, x, y)
    check(name, *pair(rng, dx, dy, 0.9), tolerance=1e-5)  # anisotropic
    check(name, x + 1e3, y, step=1e-8, tolerance=1e-3)  # an offset of a thousand deviations
    if name != "cka:sigma":
        check(name, x * 1e-12, y * 1e12)


@pytest.mark.parametrize(("name", "dx", "dy"), AT_EQUAL_ROWS)
def test_gradients_at_equal_rows_are_those_of_both_sides_of_the_kink(rng, name, dx, dy):
    x, y = pair(rng, dx, dy)
    x[1], x[7], y[4] = x[0], x[0], y[3]
    y[1] = y[0]  # equal in both
    # The kink leaves errors of the order of the step, rounding of small distances the inverse.
    check(name, x, y, tolerance=3e-4)


@pytest.mark.parametrize(("name", "dx", "dy"), CASES)
def test_padding_has_no_influence_whatever_it_holds(rng, name, dx, dy):
    x, y = pair(rng, dx, dy)
    mask = np.ones(N, bool)
    mask[rng.choice(N, 3, replace=False)] = False
    clean = (x, y, mask)
    hostile = [v.copy() for v in (x, y)]
    for value, side in zip((np.nan, np.inf), hostile, strict=True):
        side[~mask] = value
    values, gradients = evaluate(name, [clean, (*hostile, mask)])
    assert values[0] == values[1]
    for gradient in gradients:
        np.testing.assert_array_equal(gradient[0], gradient[1])
        assert (gradient[:, ~mask] == 0).all()
    assert values[0] == pytest.approx(1 - oracle(name, x[mask], y[mask]), abs=1e-11)
    check(name, x, y, mask=mask)


@pytest.mark.parametrize(("name", "dx", "dy"), CASES)
def test_degenerate_batches_have_finite_values_and_gradients(rng, name, dx, dy):
    x, y = pair(rng, dx, dy)
    none, few = np.zeros(N, bool), np.arange(N) < (1 if name.endswith(("v", "biased")) else 3)
    zeros, constant = np.zeros_like(x), np.full_like(x, 0.1)
    mostly = np.where(np.arange(N)[:, None] < 8, 0.3, x)  # the median distance is 0
    some = np.where(np.arange(N)[:, None] < 2, 0.0, x)  # two rows of zeros
    undefined = [(constant, y, None), (zeros, y, None), (x, y, none), (x, y, few)]
    defined = [(mostly, y, None), (some, y, None), (x * 1e-200, y * 1e200, None)]
    values, gradients = evaluate(name, undefined + defined)
    assert (values[:4] == 1).all()
    assert np.isfinite(values).all()
    for gradient in gradients:
        assert (gradient[:4] == 0).all()
        assert np.isfinite(gradient[:6]).all()
    broken = x.copy()
    broken[3, 1] = np.nan
    values, _ = evaluate(name, [(broken, y, None), (x, y * np.inf, None)])
    assert np.isnan(values).all()


@pytest.mark.parametrize("name", ["dcor", pytest.param("dcor:v", marks=pytest.mark.slow)])
def test_equidistant_rows_have_no_distance_correlation(rng, name):
    _, y = pair(rng, 4, 3)
    simplex = np.eye(N)[:, :4] * 0
    simplex[:5] = np.concatenate([np.eye(4), np.full((1, 4), (1 - np.sqrt(5)) / 4)])
    values, gradients = evaluate(name, [(simplex, y, np.arange(N) < 5)])
    if name == "dcor":  # a U-centered matrix of equal distances is 0
        assert values[0] == 1
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dx", "dy"), CASES)
def test_derivatives_of_both_modes_and_second_order(rng, name, dx, dy):
    with jax.enable_x64(True):
        sides = [jnp.asarray(v) for v in pair(rng, dx, dy)]
        check_grads(
            jax.jit(LOSSES[name]), sides, order=2, modes=("fwd", "rev"), rtol=1e-4, atol=1e-6
        )
