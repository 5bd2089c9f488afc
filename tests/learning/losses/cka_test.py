"""The CKA loss in float32: extreme scales, offsets, dtypes, units, and bad arguments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.learning.losses import cka_loss, cka_terms
from tests.learning.losses.cases import QUICK, oracle
from tests.oracles import related_pair

N = 40
_compiled = jax.jit(jax.value_and_grad(cka_loss), compiler_options=QUICK)
_terms = jax.jit(cka_terms, compiler_options=QUICK)


def test_float32_keeps_its_digits_at_extreme_scales_and_offsets(rng):
    x, y = related_pair(rng, N, 5, 9)
    value, gradient = _compiled(x, y)
    assert float(value) == pytest.approx(1 - oracle("cka", x, y), abs=1e-5)
    moved = x + np.float32(1e3)
    assert float(_compiled(moved, y)[0]) == pytest.approx(1 - oracle("cka", moved, y), abs=1e-5)
    for power in (-60, 60):  # squares leave the range of float32
        scale = np.float32(2.0**power)
        scaled, slopes = _compiled(x * scale, y)
        assert float(scaled) == pytest.approx(float(value), abs=1e-6)
        np.testing.assert_allclose(slopes * scale, gradient, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_results_are_float64_where_an_embedding_is_else_float32(kernel):
    loss = jax.value_and_grad(functools.partial(cka_loss, kernel=kernel))
    y = jax.ShapeDtypeStruct((N, 9), jnp.float32)
    with jax.enable_x64(True):
        for dtype in (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64):
            value, gradient = jax.eval_shape(loss, jax.ShapeDtypeStruct((N, 5), dtype), y)
            assert gradient.dtype == dtype
            assert value.dtype == (jnp.float64 if dtype == jnp.float64 else jnp.float32)


def test_terms_are_in_units_of_the_data(rng):
    x, y = related_pair(rng, N, 5, 9)
    terms, scaled = _terms(x, y), _terms(3 * x, y)
    factors = np.array([9, 81, 1, 1], np.float32)
    np.testing.assert_allclose(np.array(scaled), np.array(terms) * factors, rtol=1e-5)
    assert float(terms.score()) == pytest.approx(oracle("cka", x, y), abs=1e-5)
    assert float(terms.rows) == N


def test_bad_arguments_are_named(rng):
    x, y = related_pair(rng, N, 5, 9)
    for arguments, settings, message in (
        ((x[:3], y[:3]), {}, "at least 4 rows for this loss: got n=3"),
        ((x[:1], y[:1]), {"debiased": False}, "at least 2 rows"),
        ((x, y[:9]), {}, "same structures: got 40 and 9 rows"),
        ((x[0], y), {}, "x must have shape"),
        ((x, y.astype(int)), {}, "y must be a floating-point array"),
        ((x, y), {"kernel": "cosine"}, "unknown CKA kernel 'cosine'"),
        ((x, y), {"bandwidth": 2.0}, "linear kernel has no bandwidth"),
        ((x, y), {"kernel": "rbf", "sigma": (1.0, 0.0)}, "must be positive"),
        ((x, y), {"kernel": "rbf", "sigma": (1.0,)}, "sigma a pair"),
        ((x, y), {"normalize": "standardize"}, "unknown normalization 'standardize'"),
        ((x, y), {"mask": np.ones(N)}, "mask must be boolean with shape"),
        ((x, y), {"mask": np.ones(3, bool)}, "mask must be boolean with shape"),
    ):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(functools.partial(cka_loss, **settings), *arguments)
