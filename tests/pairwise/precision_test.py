"""Where float64 of the devices is not IEEE, as on TPU, neighbors and ranks are exact all the same.

Devices here are made to round as coarsely as pairs of float32 numbers, and coarser.
"""

import jax
import numpy as np
import pytest

import tests.oracles as oracles
import tests.oracles_ranks as reference
from jaxalign.embeddings.sources import model_rows
from jaxalign.pairwise import (
    decide,
    full_rows,
    precision,
    ranks,
    row_keys,
    row_products,
    row_ranks,
    search,
    sweep,
)
from jaxalign.pairwise.neighbors import neighbors
from jaxalign.pairwise.ranks import rank_sums
from jaxalign.pairwise.row_keys import KeyFormat, fixed_point
from jaxalign.pairwise.thresholds import threshold_terms
from jaxalign.parallel.mesh import make_mesh

N, D, K = 400, 12, 9
_BITS = 36  # of mantissas: an error of 2⁻³⁷, of which the bounds of this test allow for more


def hostile(rng):
    near = oracles.anisotropic(rng, N, D, 0.998)
    near[100:160] = near[7] * (1 + 1e-6 * rng.normal(size=(60, D)))
    tiny = rng.integers(-30, 31, size=(N, 1))
    grid = rng.integers(0, 3, size=(N, D))
    sets = {
        "anisotropic": near,
        "duplicates": np.concatenate([near[: N // 2], near[: N // 2]]),
        # Values differ by 2⁻⁴⁰ or so, and the oracle's sums are exact.
        "grid and a tiny column": np.where(np.arange(D) > 0, grid, 2.0**-20 * tiny),
    }
    return {name: x.astype(np.float32) for name, x in sets.items()}


def rounded(x):
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=_BITS)


@pytest.fixture
def coarse(monkeypatch):
    """Devices whose float64 is not IEEE."""
    value, pack = decide._value, KeyFormat.pack
    monkeypatch.setattr(decide, "_value", lambda *xs, **o: rounded(value(*xs, **o)))
    monkeypatch.setattr(KeyFormat, "pack", lambda self, v: pack(self, rounded(v)))
    monkeypatch.setattr(precision, "_UNITS", {"cpu": 2.0**-44})
    programs = search.sharded_search, row_products._pack
    for program in programs:
        program.cache_clear()
    yield
    for program in programs:
        program.cache_clear()


@pytest.mark.slow
def test_neighbors_are_those_of_the_host(rng, coarse, monkeypatch):
    data = hostile(rng)
    for similarity in ("inner", "euclidean"):
        wrong = 0
        for name, x in data.items():
            settings = {"k": K, "similarity": similarity, "mesh": "rows:2"}
            monkeypatch.setattr(sweep, "HOST_ROWS", N)
            host = neighbors(x, **settings)
            monkeypatch.setattr(sweep, "HOST_ROWS", 0)
            found = neighbors(x, **settings)
            assert found.diagnostics["rows_searched_fully"] == 0
            np.testing.assert_array_equal(found.indices, host.indices, err_msg=name)
            np.testing.assert_allclose(found.scores, host.scores, rtol=1e-5, atol=1e-12)
            assert found.diagnostics["tie_fraction"] == host.diagnostics["tie_fraction"]
            with monkeypatch.context() as trusting:
                trusting.setattr(precision, "_UNITS", {})
                trusted = neighbors(x, **settings)
            wrong += (trusted.indices != host.indices).sum()
        assert wrong, similarity  # what devices round does matter here


@pytest.mark.parametrize("where", ["host", "device"])
def test_ranks_are_exact(rng, coarse, monkeypatch, where):
    if where == "device":
        monkeypatch.setattr(ranks, "host_ranks", row_ranks.device_ranks)
    data = list(hostile(rng).values())
    models = [model_rows(x, "none") for x in data]
    ids = [oracles.knn(x, K, "euclidean").astype(np.int32) for x in data]
    found = rank_sums(models, ids, tile_size=N, mesh=make_mesh(jax.devices()[:1]))
    expected = reference.rank_sums(ids, [reference.rank_table(x) for x in data])
    np.testing.assert_array_equal(found, expected)


def test_neighborhoods_by_thresholds_are_exact(rng, coarse):
    data = list(hostile(rng).values())
    terms = threshold_terms([model_rows(x, "none") for x in data], k=150)
    masks = []
    for x in data:
        mask = np.zeros((N, N), bool)
        nearest = neighbors(x, k=150, similarity="inner").indices  # so few are searched on the host
        np.put_along_axis(mask, nearest.astype(int), True, axis=1)
        masks.append(mask.ravel().astype(float))
    np.testing.assert_array_equal(terms.shared, np.stack(masks) @ np.stack(masks).T)


def test_values_stay_within_the_bounds_of_keys_in_fixed_point(rng, coarse):
    for name, x in hostile(rng).items():
        with jax.enable_x64(True):
            mesh = make_mesh(jax.devices()[:1])
            settings = {"mesh": mesh, "memory_budget": 2**30}
            full = full_rows.full_rows(model_rows(x, "none"), euclidean=True, **settings)
            keys = np.asarray(full.products.keys(0, N))
        assert full.values.keys.scale is not None
        assert not full.values.exact
        wide = full.values.rows.astype(np.longdouble)
        true = np.stack([((row - wide) ** 2).sum(1) for row in wide]).astype(float)
        error = np.abs(full.leading(keys) - true)
        np.fill_diagonal(error, 0)  # a row itself has no value
        bound = full.values.intercept[:, None] + full.relative_margin * true
        assert (error <= bound / 2).all(), name
        assert (keys & full.low == np.arange(N)).all()


@pytest.mark.parametrize("largest", [0.0, 1e-30, 3.0, 1e30])
def test_keys_in_fixed_point_hold_what_they_say(rng, largest):
    form = fixed_point(N, largest)
    v = largest * rng.uniform(size=(3, N))
    v[0, 0] = largest
    with jax.enable_x64(True):
        keys = np.asarray(form.pack(jax.numpy.asarray(v))) | np.arange(N)
    assert (keys >= 0).all()
    assert keys.max() < np.iinfo(np.int64).max & ~form.low
    assert np.abs(form.leading(keys) - v).max() <= form.step
    assert form.step <= largest * 2.0**-50 or largest in (0.0, 1e-30)
    assert row_keys.index_bits(N) == form.bits


def test_platforms_say_what_their_float64_is():
    mesh = make_mesh(jax.devices()[:1])
    assert precision.float64_unit(mesh) == 2.0**-53
    assert precision.is_ieee(mesh)
    assert precision._UNITS["tpu"] > 2.0**-46
