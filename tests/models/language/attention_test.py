"""Attention with shared keys, biases and masks against loops in NumPy."""

import jax.numpy as jnp
import numpy as np

from jaxalign.models.language.attention import Surroundings, attend


def test_shared_keys_biases_and_masks(rng):
    query = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
    key, value = rng.normal(size=(2, 2, 5, 2, 3)).astype(np.float32)
    bias = rng.normal(size=(1, 4, 5, 5)).astype(np.float32)
    mask = np.arange(5) < np.array([5, 3])[:, None]
    allowed = mask[:, None, :] & np.tri(5, dtype=bool)
    around = Surroundings(jnp.asarray(allowed), jnp.asarray(bias), None)
    came = np.asarray(attend(*map(jnp.asarray, (query, key, value)), around))
    for row, head, place in np.ndindex(2, 4, 5):
        keys = np.flatnonzero(allowed[row, place])
        logits = key[row, keys, head // 2] @ query[row, place, head] + bias[0, head, place, keys]
        weights = np.exp(logits - logits.max())
        wanted = weights / weights.sum() @ value[row, keys, head // 2]
        np.testing.assert_allclose(came[row, place, head], wanted, atol=2e-5)
