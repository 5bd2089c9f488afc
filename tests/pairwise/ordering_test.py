"""The ordering value has the same bits whatever it is computed beside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.pairwise import ordering


@pytest.mark.parametrize("value", [ordering.inner_products, ordering.squared_distances])
@pytest.mark.parametrize(
    "width", [37, *(pytest.param(width, marks=pytest.mark.slow) for width in (3, 256))]
)
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


@pytest.mark.parametrize("euclidean", [False, True])
def test_numpy_gives_the_same_bits(rng, euclidean):
    x, y = ((rng.normal(size=(130, 37)) * s).astype(np.float32) for s in (10, 1e-3))
    left, right = rng.integers(0, 130, size=(2, 1000))
    device = ordering.squared_distances if euclidean else ordering.inner_products
    host = ordering.host_squared_distances if euclidean else ordering.host_inner_products
    with jax.enable_x64(True):
        rows = (ordering.pad_width(jnp.asarray(v[ids])) for v, ids in ((x, left), (y, right)))
        expected = np.asarray(jax.jit(device)(*rows))
    np.testing.assert_array_equal(host(x, y, left, right), expected)


def test_scaling_leaves_nothing_subnormal(rng):
    x = np.array([[3e20, 1.0], [1e-15, 0.0]], np.float32)
    scaled, exponent = ordering.unit_scale(x)
    assert 1 <= np.abs(scaled).max() < 2
    np.testing.assert_array_equal(np.ldexp(scaled, exponent)[:1], x[:1])
    assert scaled[1, 0] == 0
