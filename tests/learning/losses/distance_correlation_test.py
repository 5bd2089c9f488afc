"""The distance correlation loss in float32."""

import jax
import numpy as np

from jaxalign.learning.losses import distance_correlation_loss
from tests.learning.losses.cases import QUICK, N, evaluate
from tests.oracles import related_pair


def test_float32_gradients_keep_their_digits(rng):
    single = jax.jit(jax.grad(distance_correlation_loss, argnums=(0, 1)), compiler_options=QUICK)
    for mean_cosine in (0.0, 0.96):
        x, y = related_pair(rng, N, 4, 3, mean_cosine, shared=3)
        _, double = evaluate("dcor", [(x, y, None)])
        for found, expected in zip(single(x, y), double, strict=True):
            np.testing.assert_allclose(
                found, expected[0], rtol=0, atol=1e-4 * np.abs(expected).max()
            )
