"""Masked reductions against NumPy loops over the real nodes alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.models.encoder import NodeFeatures
from jaxalign.models.pooling import POOLINGS, check_pooling, pool


def _moments(x):
    mean = x.mean(0)
    return np.concatenate([mean, ((x - mean) ** 2).mean(0), ((x - mean) ** 3).mean(0)])


ORACLES = {
    "mean": lambda x: x.mean(0),
    "sum": lambda x: x.sum(0),
    "max": lambda x: x.max(0),
    "cls": lambda x: x[0],
    "last": lambda x: x[-1],
    "cumulants": _moments,
}


@pytest.fixture
def ragged(rng):
    counts = [5, 1, 7, 0, 3]
    values = rng.normal(3.0, 2.0, (len(counts), 7, 4)).astype(np.float32)
    mask = np.arange(7) < np.array(counts)[:, None]
    return values, mask, counts


@pytest.mark.parametrize("method", POOLINGS)
def test_pools_real_nodes_alone(ragged, method):
    values, mask, counts = ragged
    poisoned = np.where(mask[..., None], values, np.nan)
    features = NodeFeatures(jnp.asarray(poisoned), jnp.asarray(mask))
    rows = np.asarray(jax.jit(pool, static_argnums=1)(features, method))
    assert rows.shape == (5, 12 if method == "cumulants" else 4)
    for row, x, count in zip(rows, values.astype(np.float64), counts, strict=True):
        wanted = ORACLES[method](x[:count]) if count else np.zeros(rows.shape[1])
        np.testing.assert_allclose(row, wanted, rtol=2e-5, atol=2e-5)


def test_max_of_negative_values_is_negative():
    features = NodeFeatures(-jnp.ones((1, 3, 2)), jnp.array([[True, False, False]]))
    np.testing.assert_array_equal(pool(features, "max"), [[-1.0, -1.0]])


def test_first_and_last_where_pooling_leaves_nodes_out(rng):
    values = rng.normal(size=(3, 5, 2)).astype(np.float32)
    mask = np.array([[0, 1, 1, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
    features = NodeFeatures(jnp.asarray(values), jnp.asarray(mask))
    last = np.asarray(pool(features, "last"))
    np.testing.assert_array_equal(last, [values[0, 4], values[1, 0], [0, 0]])
    # Zeros would pass for the embedding of a structure that has no first node to give.
    first = np.asarray(pool(features, "cls"))
    assert np.isnan(first[0]).all()
    np.testing.assert_array_equal(first[1:], [values[1, 0], [0, 0]])


def test_unknown_pooling_lists_the_known():
    with pytest.raises(ValueError, match=r"'median'.*mean, sum, max, cls, last, cumulants"):
        check_pooling("median")
