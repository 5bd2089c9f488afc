"""The ordering value has the same bits whatever it is computed beside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.pairwise import ordering


@pytest.mark.parametrize("value", [ordering.inner_products, ordering.squared_distances])
@pytest.mark.parametrize("width", [3, 37, 256])
def test_bits_do_not_depend_on_the_shape_compared_at_once(rng, value, width):
    with jax.enable_x64(True):
        x, y = (
            ordering.pad_width(jnp.asarray((rng.normal(size=(130, width)) * s).astype(np.float32)))
            for s in (10, 1)
        )
        whole = np.asarray(jax.jit(value)(x[:, None], y[None]))
        for rows, columns in ((1, 130), (7, 33), (64, 1)):
            part = jax.jit(value)(x[:rows, None], y[None, :columns])
            np.testing.assert_array_equal(part, whole[:rows, :columns])
        np.testing.assert_array_equal(jax.jit(jax.vmap(value))(x, y), whole.diagonal())


def test_values_agree_with_exact_sums(rng):
    from math import fsum

    x, y = (
        (rng.normal(size=20) * 10.0 ** rng.integers(-3, 4, 20)).astype(np.float32) for _ in "ab"
    )
    a, b = x.astype(np.float64), y.astype(np.float64)
    with jax.enable_x64(True):
        px, py = (ordering.pad_width(jnp.asarray(v)[None])[0] for v in (x, y))
        inner = float(ordering.inner_products(px, py))
        squared = float(ordering.squared_distances(px, py))
    scale = fsum(np.abs(a * b))
    assert abs(inner - fsum(a * b)) <= 1e-14 * scale
    assert squared == pytest.approx(fsum((a - b) ** 2), rel=1e-13)


def test_integer_values_are_exact(rng):
    x, y = (rng.integers(-1000, 1000, size=(40, 16)).astype(np.float32) for _ in "ab")
    with jax.enable_x64(True):
        np.testing.assert_array_equal(
            ordering.squared_distances(jnp.asarray(x), jnp.asarray(y)),
            ((x.astype(np.int64) - y.astype(np.int64)) ** 2).sum(1),
        )
