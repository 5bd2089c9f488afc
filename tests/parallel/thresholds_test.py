"""Terms of large k: exact counts, and products to rounding, on one device and on many."""

import jax
import numpy as np
import pytest

import tests.oracles as oracles
import tests.oracles_ranks as reference
from jaxalign.embeddings.sources import model_rows
from jaxalign.pairwise.thresholds import threshold_terms_of_several
from jaxalign.parallel.mesh import make_mesh

N, D, TILE, KS = 301, 12, 64, (40, 120)


@pytest.mark.slow
def test_terms_do_not_depend_on_devices(rng):
    near = oracles.anisotropic(rng, N, D, 0.998)
    data = [near, near[rng.integers(0, 40, N)], rng.integers(-1, 2, size=(N, D))]
    data = [x.astype(np.float32) for x in data]
    models = [model_rows(x, "l2") for x in data]
    groups = rng.integers(0, 100, N)
    settings = {"ks": KS, "groups": groups, "tile_size": TILE}
    one = threshold_terms_of_several(models, mesh=make_mesh(jax.devices()[:1]), **settings)
    for k in KS:
        shared, products = reference.masked_terms([oracles.l2_rows(x) for x in data], k, groups)
        np.testing.assert_array_equal(one[k].shared, shared)
        np.testing.assert_allclose(one[k].products, products, rtol=1e-6, atol=1e-12)
    # A budget of nothing: rows are read again for every tile.
    ways = [(2, 1, True, None), (4, 1, None, 1), (8, 2, False, None)]
    for devices, columns, gather, budget in ways:
        mesh = make_mesh(jax.devices()[:devices], models=columns)
        settings |= {"mesh": mesh, "gather": gather, "memory_budget": budget}
        found = threshold_terms_of_several(models, **settings)
        for k in KS:
            np.testing.assert_array_equal(found[k].shared, one[k].shared)
            np.testing.assert_allclose(found[k].products, one[k].products, rtol=1e-12, atol=1e-15)
