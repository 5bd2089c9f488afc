import jax
import numpy as np
import pytest

from jaxalign.learning.networks.readouts import MeanReadout, SumReadout


@pytest.mark.parametrize(("readout", "power"), [(SumReadout(), 1), (MeanReadout(), 0)])
def test_doubled_nodes_and_padding(readout, power, rng):
    states = rng.normal(size=(1, 5, 4)).astype(np.float32)
    padding = np.full_like(states, 7.0)
    joined = np.concatenate(
        [np.concatenate(parts, axis=1) for parts in ((states, padding), (states, states))]
    )
    mask = np.repeat([[True] * 5 + [False] * 5, [True] * 10], 1, axis=0)
    shapes = jax.eval_shape(readout.init, jax.random.key(0), joined, mask)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)
    once, twice = jax.jit(readout.apply)(params, joined, mask)
    np.testing.assert_allclose(twice, 2**power * once, rtol=1e-4, atol=1e-5)
