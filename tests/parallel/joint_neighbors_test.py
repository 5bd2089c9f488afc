"""Joint distances of two models do not depend on the devices that share the query rows."""

import jax
import numpy as np
import pytest

import tests.oracles as oracles
from jaxalign.embeddings.sources import model_rows
from jaxalign.pairwise.joint_neighbors import joint_nearest
from jaxalign.parallel.mesh import make_mesh

N = 301


@pytest.mark.slow
def test_distances_do_not_depend_on_devices(rng):
    x, y, z = (oracles.anisotropic(rng, N, d, 0.998) for d in (6, 6, 9))
    for v in (x, y, z):
        v[:20] = v[20:40]  # equal in every model
    x[100:110] = x[110:120]  # equal in one
    models = [model_rows(v, "standardize") for v in (x, y, z)]
    pairs = [(0, 1), (0, 2), (2, 1), (2, 2)]
    expected = joint_nearest(models, pairs, mesh=make_mesh(jax.devices()[:1]))
    assert (expected[:, :40, 0] == 0).all()
    for devices, columns in ((2, 1), (8, 2)):
        mesh = make_mesh(jax.devices()[:devices], models=columns)
        found = joint_nearest(models, pairs, mesh=mesh)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        np.testing.assert_array_equal(found == 0, expected == 0)
