"""Convolutions themselves are compared with their definition in the tests of the networks."""

import jax.numpy as jnp
import numpy as np

from jaxalign.models.sevennet.pair_convolution import linear


def test_linear_maps_keep_degrees_apart(rng):
    arrays = [rng.normal(size=(2 * n + 1, 4, 3)).astype(np.float32) for n in range(3)]
    weights = [rng.normal(size=(3, 5)).astype(np.float32) for _ in range(2)]
    bias = rng.normal(size=5).astype(np.float32)
    mapped = linear({"weights": weights, "bias": bias}, tuple(map(jnp.asarray, arrays)))
    assert len(mapped) == 2
    np.testing.assert_allclose(mapped[0], arrays[0] @ weights[0] + bias, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mapped[1], arrays[1] @ weights[1], rtol=1e-5, atol=1e-5)
